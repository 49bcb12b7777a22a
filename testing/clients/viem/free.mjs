// An account without money on a chain where gas is free: viem's own choice of fees. Usage: node free.mjs HTTP_URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createPublicClient, createWalletClient, http, parseGwei } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const url = process.argv[2];
assert(url, "usage: node free.mjs HTTP_URL");
const chain = { ...foundry, id: 1337, name: "synod" };
const { abi, bytecode } = JSON.parse(readFileSync(new URL("../contracts/Counter.json", import.meta.url)));
const account = privateKeyToAccount(generatePrivateKey());
const client = createPublicClient({ chain, transport: http(url), pollingInterval: 50 });
const wallet = createWalletClient({ account, chain, transport: http(url), pollingInterval: 50 });
const mined = async (hash) => {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success");
  assert.equal(receipt.effectiveGasPrice, 0n);
  return receipt;
};

assert.equal(await client.getGasPrice(), 0n);
const deployed = await mined(await wallet.deployContract({ abi, bytecode, args: [5n] }));
const counter = { abi, address: deployed.contractAddress };
await mined(await wallet.writeContract({ ...counter, functionName: "burn", args: [1n] }));
// Other tools offer a gwei or two, whatever a node says.
const fees = { maxFeePerGas: parseGwei("3"), maxPriorityFeePerGas: parseGwei("1.5") };
await mined(await wallet.writeContract({ ...counter, functionName: "burn", args: [1n], ...fees }));
assert.equal(await client.getBalance({ address: account.address }), 0n);
assert.equal(await client.getTransactionCount({ address: account.address }), 3);
console.log("ok    viem deploys and calls without money");
