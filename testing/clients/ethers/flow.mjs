// What a developer does with ethers v6, done against a node. Usage: node flow.mjs HTTP_URL
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import {
  BrowserProvider,
  Contract,
  ContractFactory,
  HDNodeWallet,
  JsonRpcProvider,
  NonceManager,
  WebSocketProvider,
  ZeroHash,
  id,
  isError,
  parseEther,
  verifyMessage,
  verifyTypedData,
} from "ethers";
import { run } from "../viem/steps.mjs";

const url = process.argv[2];
assert(url, "usage: node flow.mjs HTTP_URL");
const { abi, bytecode } = JSON.parse(readFileSync(new URL("../contracts/Counter.json", import.meta.url)));
const provider = new JsonRpcProvider(url, undefined, { pollingInterval: 50, cacheTimeout: -1 });
const phrase = "test test test test test test test test test test test junk";
const key = (index) => HDNodeWallet.fromPhrase(phrase, undefined, `m/44'/60'/0'/0/${index}`).connect(provider);
const [alice, bob] = [key(0), key(1)];

const steps = {
  async "network, accounts, balances, fees"() {
    assert.equal((await provider.getNetwork()).chainId, 1337n);
    assert.equal(await (await provider.getSigner(0)).getAddress(), alice.address);
    assert((await provider.getBalance(bob.address, 0)) === parseEther("10000"));
    const fees = await provider.getFeeData();
    assert(fees.maxFeePerGas > 0n);
  },

  async "deploy, call, send, read events"() {
    const factory = new ContractFactory(abi, bytecode, alice);
    const counter = await factory.deploy(5n);
    await counter.waitForDeployment();
    assert.equal(await counter.value(), 5n);
    const receipt = await (await counter.count(3n, "three")).wait();
    assert.equal(receipt.status, 1);
    assert.equal(await counter.value(), 8n);
    const [event] = await counter.queryFilter(counter.filters.Counted(), receipt.blockNumber);
    assert.equal(event.transactionHash, receipt.hash);
    assert.equal(await counter.value({ blockTag: receipt.blockNumber - 1 }), 5n);
    this.counter = counter;
  },

  async "reverts are told from failures"() {
    await assert.rejects(this.counter.count(13n, ""), (error) => {
      assert(isError(error, "CALL_EXCEPTION"));
      assert.match(error.reason, /unlucky/);
      return true;
    });
    await assert.rejects(this.counter.count.staticCall(101n, ""), (error) => isError(error, "CALL_EXCEPTION") && error.revert !== null);
    const sender = { to: bob.address, nonce: 0 };
    await assert.rejects(alice.sendTransaction(sender), (error) => isError(error, "NONCE_EXPIRED"));
    const poor = HDNodeWallet.createRandom().connect(provider);
    await assert.rejects(
      poor.sendTransaction({ to: bob.address, value: 1n, gasLimit: 21_000n }),
      (error) => isError(error, "INSUFFICIENT_FUNDS"),
    );
  },

  async "every type of transaction"() {
    for (const type of [0, 1, 2]) {
      const receipt = await (await alice.sendTransaction({ to: bob.address, value: 1n, type })).wait();
      assert.equal(receipt.type, type);
    }
    const authority = HDNodeWallet.createRandom().connect(provider);
    const authorization = await authority.authorize({ address: await this.counter.getAddress(), nonce: 0, chainId: 1337 });
    const delegated = await (
      await alice.sendTransaction({
        type: 4,
        to: authority.address,
        authorizationList: [authorization],
        data: this.counter.interface.encodeFunctionData("count", [9n, "delegated"]),
      })
    ).wait();
    assert.equal(delegated.type, 4);
    assert.match(await provider.getCode(authority.address), /^0xef0100/);
  },

  async "many at once, with nonces of their own"() {
    const manager = new NonceManager(bob);
    const sent = await Promise.all([1n, 2n, 3n, 4n].map((value) => manager.sendTransaction({ to: alice.address, value })));
    const receipts = await Promise.all(sent.map((transaction) => transaction.wait()));
    assert(receipts.every(({ status }) => status === 1));
  },

  async "signatures of messages and typed data"() {
    const signer = await provider.getSigner(0);
    assert.equal(verifyMessage("hello", await signer.signMessage("hello")), alice.address);
    const domain = { name: "Test", chainId: 1337 };
    const types = { Mail: [{ name: "text", type: "string" }] };
    for (const own of [signer, alice]) {
      const signature = await own.signTypedData(domain, types, { text: "hello" });
      assert.equal(verifyTypedData(domain, types, { text: "hello" }, signature), alice.address);
    }
    const [address, data] = [alice.address, { domain, types: { Mail: [{ name: "text", type: "Unknown" }] }, primaryType: "Mail", message: {} }];
    await assert.rejects(provider.send("eth_signTypedData_v4", [address, data]), ({ error }) => error.code === -32602);
  },

  async "subscriptions over WebSocket"() {
    const socket = new WebSocketProvider(url.replace("http", "ws"));
    // Not `once`: it unsubscribes by itself, and a provider that is destroyed before the answer fails on it.
    const block = new Promise((resolve) => socket.on("block", resolve));
    const counted = new Promise((resolve) => new Contract(this.counter.target, abi, socket).on("Counted", (...all) => resolve(all)));
    // Until both subscriptions stand, an event may pass unseen.
    await socket.getBlockNumber();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const receipt = await (await this.counter.count(1n, "watched")).wait();
    assert.equal(await block, receipt.blockNumber);
    assert.equal((await counted).at(-1).log.transactionHash, receipt.hash);
    await socket.destroy();
  },

  async "a wallet in the browser, and a development node's own methods"() {
    const browser = new BrowserProvider({ request: ({ method, params }) => provider.send(method, params ?? []) });
    const signer = await browser.getSigner();
    assert.equal(signer.address, alice.address);
    const snapshot = await provider.send("evm_snapshot", []);
    const stranger = `0x${id("stranger").slice(26)}`;
    await provider.send("hardhat_setBalance", [stranger, "0xde0b6b3a7640000"]);
    await provider.send("hardhat_impersonateAccount", [stranger]);
    const impersonated = await provider.getSigner(stranger).catch(() => null);
    const hash = await provider.send("eth_sendTransaction", [{ from: stranger, to: bob.address, value: "0x1" }]);
    const receipt = await provider.waitForTransaction(hash);
    assert.equal(receipt.from.toLowerCase(), stranger);
    assert.equal(impersonated, null, "eth_accounts lists only accounts with keys");
    await provider.send("evm_revert", [snapshot]);
    assert.equal(await provider.getTransactionReceipt(hash), null);
    assert.equal(await provider.getBalance(stranger), 0n);
    assert.notEqual((await provider.getBlock("latest")).hash, ZeroHash);
  },
};

await run(steps);
