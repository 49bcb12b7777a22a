# What the scripts here share. Before: `url` is the node's address.
here=$(cd "$(dirname "$0")/.." && pwd)
# npm holds back the package's install script, so its launcher may not find the binary: take the binary itself.
cast=$(ls -d "$here"/node_modules/@foundry-rs/cast-*/bin/cast | head -n 1)
export ETH_RPC_URL=$url
export FOUNDRY_DISABLE_NIGHTLY_WARNING=1 NO_COLOR=1

ok() { echo "ok    $1"; }
fail() { echo "FAIL  $1" >&2; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"; }
# The value of a field of a JSON object on standard input.
field() { node -e 'const o = JSON.parse(require("fs").readFileSync(0)); console.log(o[process.argv[1]])' "$1"; }
