#!/bin/sh
# What a developer does with cast, done against a node. Usage: flow.sh HTTP_URL
set -eu
url=${1:?usage: flow.sh HTTP_URL}
. "$(dirname "$0")/common.sh"

key=0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80
alice=0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266
bob=0x70997970C51812dc3A010C7d01b50e0d17dc79C8


same "chain id" 1337 "$("$cast" chain-id)"
same "balance at genesis" 10000000000000000000000 "$("$cast" balance --block earliest "$bob")"
ok "chain id, balance"

bytecode=$(field bytecode < "$here/contracts/Counter.json")
args=$("$cast" abi-encode 'f(uint256)' 5)
receipt=$("$cast" send --json --private-key "$key" --create "$bytecode${args#0x}")
same "status of the deployment" 0x1 "$(echo "$receipt" | field status)"
counter=$(echo "$receipt" | field contractAddress)
deployed=$(echo "$receipt" | field blockNumber)
same "value" 5 "$("$cast" call "$counter" 'value()(uint256)')"
same "storage" 0x0000000000000000000000000000000000000000000000000000000000000005 "$("$cast" storage "$counter" 0)"
[ "$("$cast" code "$counter")" != 0x ] || fail "no code at $counter"
ok "deploy, call, storage, code"

receipt=$("$cast" send --json --private-key "$key" "$counter" 'count(uint256,string)' 3 three)
same "status" 0x1 "$(echo "$receipt" | field status)"
same "type" 0x2 "$(echo "$receipt" | field type)"
transaction=$(echo "$receipt" | field transactionHash)
same "value after" 8 "$("$cast" call "$counter" 'value()(uint256)')"
same "value before" 5 "$("$cast" call --block "$((deployed))" "$counter" 'value()(uint256)')"
same "sender" "$alice" "$("$cast" tx "$transaction" from)"
same "receipt" "$transaction" "$("$cast" receipt "$transaction" transactionHash)"
ok "send, receipt, historical call"

same "legacy type" 0x0 "$("$cast" send --json --legacy --private-key "$key" "$bob" --value 1 | field type)"
same "access list type" 0x1 "$("$cast" send --json --legacy --access-list --private-key "$key" "$counter" 'count(uint256,string)' 1 listed | field type)"
authority=0x$("$cast" keccak "$(date +%s%N)" | cut -c3-)
delegated=$("$cast" wallet address --private-key "$authority")
authorization=$("$cast" wallet sign-auth "$counter" --private-key "$authority" --chain 1337 --nonce 0)
receipt=$("$cast" send --json --private-key "$key" --auth "$authorization" "$delegated" 'count(uint256,string)' 9 delegated)
same "EIP-7702 type" 0x4 "$(echo "$receipt" | field type)"
same "value of the delegated account" 9 "$("$cast" call "$delegated" 'value()(uint256)')"
ok "legacy, EIP-2930, EIP-1559 and EIP-7702 transactions"

gas=$("$cast" estimate --from "$alice" "$counter" 'nestedOrRevert(uint256)' 200)
same "status with estimated gas" 0x1 "$("$cast" send --json --gas-limit "$gas" --private-key "$key" "$counter" 'nestedOrRevert(uint256)' 200 | field status)"
same "transfer" 21000 "$("$cast" estimate --from "$alice" "$bob" --value 1)"
ok "estimates"

"$cast" logs --from-block "$((deployed))" --address "$counter" 'Counted(address indexed,uint256 indexed,string)' | grep -q "$transaction" || fail "no log of $transaction"
ok "logs"

"$cast" call "$counter" 'count(uint256,string)' 13 '' 2>&1 | grep -q unlucky || fail "no reason in the revert"
"$cast" call "$counter" 'count(uint256,string)' 101 '' 2>&1 | grep -qi revert || fail "a custom error is no revert"
"$cast" send --private-key "$key" --nonce 0 --gas-limit 21000 "$bob" 2>&1 | grep -q 'nonce too low' || fail "an old nonce is taken"
ok "reverts and refusals"

"$cast" block latest --field baseFeePerGas | grep -q '^[0-9]' || fail "no base fee"
"$cast" gas-price | grep -q '^[0-9]' || fail "no gas price"
"$cast" rpc eth_feeHistory 0x2 latest '[50]' | grep -q gasUsedRatio || fail "no fee history"
"$cast" proof "$counter" 0 | grep -q accountProof || fail "no proof"
"$cast" access-list "$counter" 'value()' | grep -qi "$counter" || fail "no access list"
ok "blocks, fees, proofs, access lists"
