// What a developer does with viem, done against a node. Usage: node flow.mjs HTTP_URL
import { run } from "./steps.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  decodeFunctionResult,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  http,
  keccak256,
  parseEther,
  parseEventLogs,
  parseGwei,
  webSocket,
} from "viem";
import { generatePrivateKey, mnemonicToAccount, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const url = process.argv[2];
assert(url, "usage: node flow.mjs HTTP_URL");
const wsUrl = url.replace(/^http/, "ws");
const mnemonic = "test test test test test test test test test test test junk";
const alice = mnemonicToAccount(mnemonic);
const bob = mnemonicToAccount(mnemonic, { addressIndex: 1 });
const chain = { ...foundry, id: 1337, name: "synod" };
const { abi, bytecode } = JSON.parse(readFileSync(new URL("../contracts/Counter.json", import.meta.url)));

const pollingInterval = 50;
const client = createPublicClient({ chain, transport: http(url), pollingInterval });
const wallet = createWalletClient({ account: alice, chain, transport: http(url), pollingInterval });
const dev = createTestClient({ mode: "hardhat", chain, transport: http(url) });
const mined = async (hash) => {
  const receipt = await client.waitForTransactionReceipt({ hash });
  assert.equal(receipt.status, "success", `transaction ${hash}`);
  return receipt;
};
/** Resolves when `ready` is true; the overall timeout of the test is the only clock. */
const until = async (ready, what) => {
  for (let tries = 0; !ready(); tries += 1) {
    assert(tries < 1200, `no ${what} after a minute`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

const steps = {
  async "chain id, client and funded accounts"() {
    assert.equal(await client.getChainId(), 1337);
    assert.equal(await client.request({ method: "net_version" }), "1337");
    const accounts = await client.request({ method: "eth_accounts" });
    assert.equal(accounts.length, 10);
    assert.equal(accounts[0].toLowerCase(), alice.address.toLowerCase());
    assert.equal(await client.getBalance({ address: bob.address, blockTag: "earliest" }), parseEther("10000"));
  },

  async "transfers of all types move exactly what they say"() {
    const to = privateKeyToAccount(generatePrivateKey()).address;
    const value = parseEther("1.5");
    const kinds = [
      { type: "legacy" },
      { type: "eip2930", accessList: [{ address: to, storageKeys: [] }] },
      { type: "eip1559" },
    ];
    for (const kind of kinds) {
      const before = await client.getBalance({ address: alice.address });
      const receipt = await mined(await wallet.sendTransaction({ to, value, ...kind }));
      assert.equal(receipt.type, kind.type);
      const after = await client.getBalance({ address: alice.address });
      assert.equal(before - after, value + receipt.gasUsed * receipt.effectiveGasPrice, kind.type);
      const transaction = await client.getTransaction({ hash: receipt.transactionHash });
      assert.equal(transaction.type, kind.type);
      assert.equal(transaction.blockNumber, receipt.blockNumber);
      assert.equal(transaction.from.toLowerCase(), alice.address.toLowerCase());
    }
    assert.equal(await client.getBalance({ address: to }), value * 3n);
  },

  async "a contract is deployed, called and sent to"() {
    const nonce = await client.getTransactionCount({ address: alice.address });
    const hash = await wallet.deployContract({ abi, bytecode, args: [5n], value: 7n });
    const receipt = await mined(hash);
    const address = getContractAddress({ from: alice.address, nonce: BigInt(nonce) });
    assert.equal(receipt.contractAddress.toLowerCase(), address.toLowerCase());
    assert((await client.getCode({ address })).length > 2);
    assert.equal(await client.getBalance({ address }), 7n);
    assert.equal(await client.readContract({ address, abi, functionName: "value" }), 5n);
    assert.equal(BigInt(await client.getStorageAt({ address, slot: "0x0" })), 5n);

    const call = { address, abi, functionName: "count", args: [3n, "three"], account: alice };
    const { result, request } = await client.simulateContract(call);
    assert.equal(result, 8n);
    const sent = await mined(await wallet.writeContract(request));
    assert.equal(await client.readContract({ address, abi, functionName: "value" }), 8n);
    const [event] = parseEventLogs({ abi, logs: sent.logs });
    assert.equal(event.eventName, "Counted");
    assert.deepEqual(event.args, { by: alice.address, value: 8n, note: "three" });

    // The past stays readable.
    const past = { address, abi, functionName: "value", blockNumber: receipt.blockNumber };
    assert.equal(await client.readContract(past), 5n);
    assert.equal(await client.getCode({ address, blockNumber: receipt.blockNumber - 1n }), undefined);
    this.counter = address;
    this.deployed = receipt.blockNumber;
  },

  async "reverts of each kind are recognised"() {
    const call = (by) =>
      client.simulateContract({ address: this.counter, abi, functionName: "count", args: [by, ""], account: alice });
    await assert.rejects(call(101n), (error) => {
      const cause = error.walk((e) => e.data?.errorName);
      assert.deepEqual(cause.data.args, [101n, 100n]);
      return cause.data.errorName === "TooMuch";
    });
    await assert.rejects(call(13n), /unlucky/);
    await assert.rejects(call(14n), /assert|Panic|0x01/i);
    await assert.rejects(
      wallet.writeContract({ address: this.counter, abi, functionName: "count", args: [13n, ""] }),
      /unlucky/,
    );
    // With a gas limit of its own nothing is tried before, and the failure is in the receipt.
    const hash = await wallet.writeContract({
      address: this.counter,
      abi,
      functionName: "count",
      args: [13n, ""],
      gas: 100_000n,
    });
    const receipt = await client.waitForTransactionReceipt({ hash });
    assert.equal(receipt.status, "reverted");
    assert.equal(receipt.logs.length, 0);
  },

  async "estimates are enough and not far too much"() {
    for (const functionName of ["burn", "nestedOrRevert"]) {
      const call = { address: this.counter, abi, functionName, args: [300n], account: alice };
      const gas = await client.estimateContractGas(call);
      const receipt = await mined(await wallet.writeContract({ ...call, gas }));
      assert(gas < receipt.gasUsed * 2n, `${functionName}: ${gas} for ${receipt.gasUsed}`);
    }
    assert.equal(await client.estimateGas({ account: alice, to: bob.address, value: 1n }), 21_000n);
    await assert.rejects(
      client.estimateGas({ account: alice, to: bob.address, value: parseEther("1000000") }),
      /exceeds the balance|insufficient funds/,
    );
  },

  async "logs are found by address, topic and block"() {
    const count = async (by, note) =>
      mined(await wallet.writeContract({ address: this.counter, abi, functionName: "count", args: [by, note] }));
    const first = await count(1n, "a");
    const second = await count(2n, "b");
    const fromBlock = first.blockNumber;
    const all = await client.getContractEvents({ address: this.counter, abi, fromBlock });
    assert.deepEqual(all.map((log) => log.args.note), ["a", "b"]);
    assert.deepEqual(all.map((log) => log.blockHash), [first.blockHash, second.blockHash]);
    const [{ args }] = all;
    const byTopic = await client.getContractEvents({
      address: this.counter,
      abi,
      eventName: "Counted",
      args: { by: alice.address, value: args.value },
      fromBlock,
    });
    assert.equal(byTopic.length, 1);
    const nobody = { address: this.counter, abi, eventName: "Counted", args: { by: bob.address }, fromBlock };
    assert.equal((await client.getContractEvents(nobody)).length, 0);
    const atHash = await client.getLogs({ blockHash: second.blockHash });
    assert.equal(atHash.length, 1);
  },

  async "filters give what is new, once"() {
    const blocks = await client.createBlockFilter();
    const events = await client.createContractEventFilter({ address: this.counter, abi });
    const receipt = await mined(
      await wallet.writeContract({ address: this.counter, abi, functionName: "count", args: [1n, "filtered"] }),
    );
    assert((await client.getFilterChanges({ filter: blocks })).includes(receipt.blockHash));
    assert.deepEqual((await client.getFilterChanges({ filter: events })).map((log) => log.args.note), ["filtered"]);
    assert.deepEqual(await client.getFilterChanges({ filter: events }), []);
    assert.equal(await client.uninstallFilter({ filter: events }), true);
    await assert.rejects(client.getFilterChanges({ filter: events }), /filter not found/);
  },

  async "blocks, receipts and proofs agree with each other"() {
    const block = await client.getBlock({ includeTransactions: true });
    assert.equal(block.number, await client.getBlockNumber({ cacheTime: 0 }));
    const byHash = await client.getBlock({ blockHash: block.hash });
    assert.deepEqual(byHash.transactions, block.transactions.map((transaction) => transaction.hash));
    assert.equal(await client.getBlockTransactionCount({ blockHash: block.hash }), block.transactions.length);
    for (const blockTag of ["safe", "finalized"]) {
      assert.equal((await client.getBlock({ blockTag })).hash, block.hash);
    }
    const receipts = await client.request({ method: "eth_getBlockReceipts", params: ["latest"] });
    assert.deepEqual(receipts.map((receipt) => receipt.transactionHash), byHash.transactions);
    const proof = await client.getProof({ address: this.counter, storageKeys: [`0x${"0".repeat(64)}`] });
    const value = await client.readContract({ address: this.counter, abi, functionName: "value" });
    assert.equal(proof.storageProof[0].value, value);
    assert(proof.accountProof.length > 0);
    assert.equal(keccak256(proof.accountProof[0]), block.stateRoot);
    const { accessList } = await client.createAccessList({
      account: alice,
      to: this.counter,
      data: encodeFunctionData({ abi, functionName: "value" }),
    });
    assert.deepEqual(
      accessList.map((entry) => [entry.address.toLowerCase(), entry.storageKeys.length]),
      [[this.counter.toLowerCase(), 1]],
    );
  },

  async "fees are told and suggested"() {
    const history = await client.getFeeHistory({ blockCount: 3, rewardPercentiles: [25, 75] });
    assert.equal(history.baseFeePerGas.length, 4);
    assert.equal(history.gasUsedRatio.length, 3);
    assert(history.reward.every((row) => row.length === 2));
    const block = await client.getBlock();
    assert.equal(history.baseFeePerGas[2], block.baseFeePerGas);
    assert((await client.getGasPrice()) >= block.baseFeePerGas);
    const { maxFeePerGas, maxPriorityFeePerGas } = await client.estimateFeesPerGas();
    assert(maxFeePerGas >= block.baseFeePerGas + maxPriorityFeePerGas);
    assert((await client.getBlobBaseFee()) >= 0n);
  },

  async "EIP-7702: an account borrows a contract's code"() {
    const eoa = privateKeyToAccount(generatePrivateKey());
    const authorization = await createWalletClient({ account: eoa, chain, transport: http(url) }).signAuthorization({
      contractAddress: this.counter,
    });
    const hash = await wallet.sendTransaction({
      to: eoa.address,
      authorizationList: [authorization],
      data: encodeFunctionData({ abi, functionName: "count", args: [9n, "delegated"] }),
    });
    const receipt = await mined(hash);
    assert.equal(receipt.type, "eip7702");
    assert.equal(
      (await client.getCode({ address: eoa.address })).toLowerCase(),
      `0xef0100${this.counter.slice(2).toLowerCase()}`,
    );
    assert.equal(await client.readContract({ address: eoa.address, abi, functionName: "value" }), 9n);
  },

  async "refusals say what is wrong"() {
    const to = bob.address;
    const pauper = privateKeyToAccount(generatePrivateKey());
    const poor = createWalletClient({ account: pauper, chain, transport: http(url) });
    await assert.rejects(
      poor.sendTransaction({ to, value: 1n, gas: 21_000n, nonce: 0 }),
      (error) => error.walk((e) => e.name === "InsufficientFundsError") !== null,
    );
    await assert.rejects(
      wallet.sendTransaction({ to, nonce: 0, gas: 21_000n }),
      (error) => error.walk((e) => e.name === "NonceTooLowError") !== null,
    );
    await assert.rejects(
      wallet.sendTransaction({ to, gas: 20_000n }),
      (error) => error.walk((e) => e.name === "IntrinsicGasTooLowError") !== null,
    );
    await assert.rejects(client.sendRawTransaction({ serializedTransaction: "0x02c0" }), /invalid transaction encoding/);
    const wrongChain = await alice.signTransaction({
      to,
      chainId: 1,
      nonce: 0,
      gas: 21_000n,
      maxFeePerGas: parseGwei("100"),
      type: "eip1559",
    });
    await assert.rejects(client.sendRawTransaction({ serializedTransaction: wrongChain }), /invalid chain id/);
    await assert.rejects(client.request({ method: "eth_noSuchMethod" }), /not found|does not exist|not available/i);
    await assert.rejects(client.request({ method: "eth_getBalance", params: ["0x12"] }), (error) => {
      assert.equal(error.walk((e) => e.code === -32602)?.code, -32602);
      return true;
    });
  },

  async "a WebSocket tells of heads, logs and waiting transactions"() {
    const socket = createPublicClient({ chain, transport: webSocket(wsUrl) });
    const [heads, events, waiting] = [[], [], []];
    const errors = [];
    const onError = (error) => errors.push(error);
    const stop = [
      socket.watchBlocks({ onBlock: (block) => heads.push(block), onError }),
      socket.watchContractEvent({ address: this.counter, abi, onLogs: (logs) => events.push(...logs), onError }),
      socket.watchPendingTransactions({ onTransactions: (hashes) => waiting.push(...hashes), onError }),
    ];
    // Subscribing has no answer that the watcher shows; the first head proves that all are in place.
    await until(() => {
      if (heads.length === 0) dev.mine({ blocks: 1 }).catch(onError);
      return heads.length > 0;
    }, "head");
    const hash = await wallet.writeContract({
      address: this.counter,
      abi,
      functionName: "count",
      args: [4n, "over the socket"],
    });
    const receipt = await mined(hash);
    await until(() => heads.some((head) => head.hash === receipt.blockHash), "head of the block");
    await until(() => events.some((log) => log.args.note === "over the socket"), "log");
    await until(() => waiting.includes(hash), "waiting transaction");
    assert.deepEqual(errors, []);
    // Calls work over the socket too.
    assert.equal(await socket.getBlockNumber({ cacheTime: 0 }), await client.getBlockNumber({ cacheTime: 0 }));
    stop.forEach((end) => end());
    (await socket.transport.getRpcClient()).close();
  },

  async "the node's accounts are signed for, and calls may come from anywhere"() {
    const unlocked = createWalletClient({ chain, transport: http(url) });
    const hash = await unlocked.sendTransaction({ account: bob.address, to: alice.address, value: 1n });
    const receipt = await mined(hash);
    assert.equal(receipt.from.toLowerCase(), bob.address.toLowerCase());
    const { data } = await client.call({
      account: this.counter, // a contract
      to: this.counter,
      data: encodeFunctionData({ abi, functionName: "value" }),
    });
    assert.equal(typeof decodeFunctionResult({ abi, functionName: "value", data }), "bigint");
    const overridden = await client.readContract({
      address: this.counter,
      abi,
      functionName: "value",
      stateOverride: [{ address: this.counter, stateDiff: [{ slot: `0x${"0".repeat(64)}`, value: `0x${"1".padStart(64, "0")}` }] }],
    });
    assert.equal(overridden, 1n);
    const { data: created } = await client.call({ data: encodeDeployData({ abi, bytecode, args: [1n] }) });
    assert(created.length > 2, "a call without `to` gives the code that would be deployed");
  },

  async "many transactions at once are all mined, in nonce order"() {
    const nonce = await client.getTransactionCount({ address: bob.address, blockTag: "pending" });
    const bobs = createWalletClient({ account: bob, chain, transport: http(url) });
    const order = [7, 3, 0, 1, 2, 4, 6, 5];
    const hashes = await Promise.all(
      order.map((i) => bobs.sendTransaction({ to: alice.address, value: BigInt(i), nonce: nonce + i, gas: 21_000n })),
    );
    const receipts = await Promise.all(hashes.map(mined));
    const positions = order
      .map((i, position) => [i, receipts[position]])
      .sort(([a], [b]) => a - b)
      .map(([, receipt]) => Number(receipt.blockNumber) * 1_000 + receipt.transactionIndex);
    assert.deepEqual(positions, [...positions].sort((a, b) => a - b));
  },

  async "snapshots, clocks and mining on demand"() {
    const id = await dev.snapshot();
    const value = await client.readContract({ address: this.counter, abi, functionName: "value" });
    const head = await client.getBlock();
    await mined(await wallet.writeContract({ address: this.counter, abi, functionName: "count", args: [50n, ""] }));
    await dev.increaseTime({ seconds: 3600 });
    await dev.mine({ blocks: 2 });
    const later = await client.getBlock();
    assert(later.timestamp >= head.timestamp + 3600n);
    assert.equal(later.number, head.number + 3n);
    await dev.setNextBlockTimestamp({ timestamp: later.timestamp + 100n });
    await dev.mine({ blocks: 1 });
    assert.equal((await client.getBlock()).timestamp, later.timestamp + 100n);
    await dev.revert({ id });
    assert.equal((await client.getBlock()).hash, head.hash);
    assert.equal(await client.readContract({ address: this.counter, abi, functionName: "value" }), value);
    await mined(await wallet.sendTransaction({ to: bob.address, value: 1n }));
  },
};

await run(steps);
