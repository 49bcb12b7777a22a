#!/bin/sh
# An account without money on a chain where gas is free: cast's own choice of fees. Usage: free.sh HTTP_URL
set -eu
url=${1:?usage: free.sh HTTP_URL}
. "$(dirname "$0")/common.sh"

key=0x00000000000000000000000000000000000000000000000000000000f0000d1e

poor=$("$cast" wallet address "$key")
same "balance" 0 "$("$cast" balance "$poor")"
bytecode=$(field bytecode < "$here/contracts/Counter.json")
args=$("$cast" abi-encode 'f(uint256)' 5)
receipt=$("$cast" send --json --private-key "$key" --create "$bytecode${args#0x}")
same "status of the deployment" 0x1 "$(echo "$receipt" | field status)"
same "price of gas" 0x0 "$(echo "$receipt" | field effectiveGasPrice)"
counter=$(echo "$receipt" | field contractAddress)
same "status of a call" 0x1 "$("$cast" send --json --private-key "$key" "$counter" 'burn(uint256)' 1 | field status)"
same "status of a legacy call" 0x1 "$("$cast" send --json --legacy --private-key "$key" "$counter" 'burn(uint256)' 1 | field status)"
same "balance" 0 "$("$cast" balance "$poor")"
echo "ok    cast deploys and calls without money"
