// Deploying, proposing, voting: what a program does with the contracts of contracts/src/governance, by viem, on a development node.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  concatHex,
  createPublicClient,
  createTestClient,
  createWalletClient,
  decodeErrorResult,
  encodeFunctionData,
  getAddress,
  getCreate2Address,
  http,
  keccak256,
  parseAbi,
  parseEventLogs,
  toBytes,
  toHex,
  zeroHash,
} from "viem";
import { mnemonicToAccount } from "viem/accounts";
import { foundry } from "viem/chains";

const MNEMONIC = "test test test test test test test test test test test junk";
const CHUNK_FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C";
/** Data of one chunk: a contract's code holds 24,576 bytes, the first of which is 0. */
const CHUNK_BYTES = 24_575;

export const REGISTRY = "0x000000000000000000000000000000000000ae02";
export const ENGINE = "0x000000000000000000000000000000000000ae01";

/** A compiled contract of this project, from the folder of its artefacts. */
export const artifact = (name, folder = "contracts/artifacts") =>
  JSON.parse(readFileSync(new URL(`../../${folder}/${name}.json`, import.meta.url)));

export const registry = { address: REGISTRY, abi: artifact("ModelRegistry").abi };
export const engine = { address: ENGINE, abi: artifact("IPredict").abi };

/** What the tools need of OpenZeppelin's timelock. */
export const TIMELOCK = parseAbi([
  "function getMinDelay() view returns (uint256)",
  "function hasRole(bytes32 role, address account) view returns (bool)",
  "function PROPOSER_ROLE() view returns (bytes32)",
  "function CANCELLER_ROLE() view returns (bytes32)",
  "function EXECUTOR_ROLE() view returns (bytes32)",
  "function DEFAULT_ADMIN_ROLE() view returns (bytes32)",
  "function schedule(address target, uint256 value, bytes data, bytes32 predecessor, bytes32 salt, uint256 delay)",
  "function scheduleBatch(address[] targets, uint256[] values, bytes[] payloads, bytes32 predecessor, bytes32 salt, uint256 delay)",
  "function execute(address target, uint256 value, bytes payload, bytes32 predecessor, bytes32 salt) payable",
  "function executeBatch(address[] targets, uint256[] values, bytes[] payloads, bytes32 predecessor, bytes32 salt) payable",
  "function cancel(bytes32 id)",
  "function updateDelay(uint256 newDelay)",
  "function grantRole(bytes32 role, address account)",
  "function revokeRole(bytes32 role, address account)",
  "function renounceRole(bytes32 role, address callerConfirmation)",
  "error TimelockUnauthorizedCaller(address caller)",
  "error TimelockInsufficientDelay(uint256 delay, uint256 minDelay)",
  "error TimelockUnexpectedOperationState(bytes32 operationId, bytes32 expectedStates)",
  "error AccessControlUnauthorizedAccount(address account, bytes32 neededRole)",
  "error AccessControlBadConfirmation()",
]);

/** How to vote, as OpenZeppelin's governors number it. */
export const AGAINST = 0;
export const FOR = 1;
export const ABSTAIN = 2;

/** States of a proposal, as OpenZeppelin's governors number them. */
const STATES = ["pending", "active", "canceled", "defeated", "succeeded", "queued", "expired", "executed"];

/** A call that the chain refused; `name` is the error that the contract reverted with. */
export class Refused extends Error {
  constructor(what, name, args) {
    super(`${what}: ${name}(${(args ?? []).join(", ")})`);
    this.name = "Refused";
    this.error = name;
    this.args = args;
  }
}

/** Connects to a development node. */
export async function connect(url) {
  const probe = createPublicClient({ transport: http(url) });
  const chain = { ...foundry, id: await probe.getChainId(), name: "synod" };
  const options = { chain, transport: http(url), pollingInterval: 20 };
  return new Chain(createPublicClient(options), createTestClient({ ...options, mode: "hardhat" }), options);
}

class Chain {
  #options;
  #wallets = new Map();
  #errors = new Map();

  constructor(client, dev, options) {
    this.client = client;
    this.dev = dev;
    this.#options = options;
    for (const { abi } of [registry, engine, { abi: TIMELOCK }]) this.#learn(abi);
  }

  /** Remembers a contract's errors: what reverts is often not the contract that was called. */
  #learn(abi) {
    for (const item of abi) if (item.type === "error") this.#errors.set(JSON.stringify(item), item);
  }

  /** One of the node's funded accounts. */
  account(index) {
    if (!this.#wallets.has(index)) {
      const account = mnemonicToAccount(MNEMONIC, { addressIndex: index });
      this.#wallets.set(index, createWalletClient({ ...this.#options, account }));
    }
    return this.#wallets.get(index);
  }

  /** Deploys a contract and returns its address and interface. */
  async deploy(from, { abi, bytecode }, args = [], value = 0n) {
    this.#learn(abi);
    let receipt;
    try {
      receipt = await this.#mined(await from.deployContract({ abi, bytecode, args, value }));
    } catch (error) {
      throw this.#refusal("deployment", error);
    }
    return { address: getAddress(receipt.contractAddress), abi };
  }

  /** Sends a call as a transaction. Returns its receipt, with the contract's events; throws `Refused` if the chain refuses it. */
  async send(from, { address, abi }, functionName, args = [], value = 0n) {
    this.#learn(abi);
    try {
      const call = { address, abi, functionName, args, value, account: from.account };
      // Weights are kept by seconds: a change costs more in the first block of a second, which may come between the estimate and the block.
      const gas = 2n * (await this.client.estimateContractGas(call));
      const receipt = await this.#mined(await from.writeContract({ ...call, gas }));
      return { ...receipt, events: parseEventLogs({ abi, logs: receipt.logs }) };
    } catch (error) {
      throw this.#refusal(functionName, error);
    }
  }

  /**
   * Sends a call that is to be refused, mines it all the same, and returns the name of the error that it reverts with. Throws if
   * the chain takes it.
   */
  async refused(from, { address, abi }, functionName, args = []) {
    this.#learn(abi);
    let refusal;
    try {
      await this.client.simulateContract({ address, abi, functionName, args, account: from.account });
    } catch (error) {
      refusal = this.#refusal(functionName, error);
    }
    const data = encodeFunctionData({ abi, functionName, args });
    const hash = await from.sendTransaction({ to: address, data, gas: 5_000_000n });
    const receipt = await this.client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "reverted" || !refusal) throw new Error(`${functionName} was not refused`);
    return refusal.error;
  }

  /** Asks a contract. */
  async read({ address, abi }, functionName, args = []) {
    this.#learn(abi);
    try {
      return await this.client.readContract({ address, abi, functionName, args });
    } catch (error) {
      throw this.#refusal(functionName, error);
    }
  }

  /** Lets seconds pass, and a block come. */
  async pass(seconds) {
    await this.dev.increaseTime({ seconds: Number(seconds) });
    await this.dev.mine({ blocks: 1 });
  }

  /** Deploys data as chunks, whose addresses follow from their content, unless they are there; returns the addresses. */
  async store(from, data) {
    const chunks = [];
    for (let offset = 0; offset < data.length; offset += CHUNK_BYTES) {
      const initCode = concatHex(["0x600b5981380380925939f300", toHex(data.subarray(offset, offset + CHUNK_BYTES))]);
      const address = getCreate2Address({ from: CHUNK_FACTORY, salt: zeroHash, bytecode: initCode });
      if (!(await this.client.getCode({ address }))) {
        await this.#mined(await from.sendTransaction({ to: CHUNK_FACTORY, data: concatHex([zeroHash, initCode]) }));
      }
      chunks.push(address);
    }
    return chunks;
  }

  async #mined(hash) {
    const receipt = await this.client.waitForTransactionReceipt({ hash });
    if (receipt.status !== "success") throw new Error(`transaction ${hash} reverted`);
    return receipt;
  }

  /** The refusal in a client's error; any other error as it is. */
  #refusal(what, error) {
    if (!error.walk) return error;
    const found = error.walk((e) => typeof (e.data?.data ?? e.raw ?? e.data) === "string");
    const data = [found?.raw, found?.data?.data, found?.data].find((d) => typeof d === "string" && d.length >= 10);
    if (!data) return error;
    try {
      const { errorName, args } = decodeErrorResult({ abi: [...this.#errors.values()], data });
      return new Refused(what, errorName, args);
    } catch {
      return new Refused(what, data.slice(0, 10), []);
    }
  }
}

/** Runs the command line tool as one of the accounts and returns what it prints as JSON; SYNOD names the binary, `synod` by default. */
export function synod(wallet, url, ...args) {
  const key = toHex(wallet.account.getHdKey().privateKey);
  const options = {
    env: { ...process.env, ETH_RPC_URL: url, ETH_PRIVATE_KEY: key },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  };
  return JSON.parse(execFileSync(process.env.SYNOD ?? "synod", ["--json", ...args], options));
}

/**
 * Publishes a version of this example's judge, `fleet/ride@1` or another name's, with another opinion about what is harsh, and returns its id: `shift` is
 * added to the bias of that class.
 */
export function publishVariant(wallet, url, from, to, shift) {
  const folder = mkdtempSync(join(tmpdir(), "synod-variant-"));
  try {
    synod(wallet, url, "model", "pull", from, "--output-dir", folder);
    const file = join(folder, "weights.bin");
    const weights = readFileSync(file);
    // `output.bias` is the last tensor, and the bias of the harsh class its last element.
    const at = weights.length - 4;
    weights.writeFloatLE(weights.readFloatLE(at) + shift, at);
    writeFileSync(file, weights);
    return synod(wallet, url, "model", "publish", join(folder, "model.onnx"), "--name", to).id;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** One action of a proposal. */
export const action = ({ address, abi }, functionName, args = []) => ({
  target: address,
  data: encodeFunctionData({ abi, functionName, args }),
});

/** A proposal on its way through a governor. */
export class Proposal {
  #chain;
  #governor;
  #call;

  constructor(chain, governor, actions, description) {
    this.#chain = chain;
    this.#governor = governor;
    this.description = description;
    this.#call = [
      actions.map(({ target }) => target),
      actions.map(() => 0n),
      actions.map(({ data }) => data),
      keccak256(toBytes(description)),
    ];
  }

  /** Proposes it; its vote opens after the voting delay. */
  async propose(from) {
    const args = [...this.#call.slice(0, 3), this.description];
    const { events } = await this.#chain.send(from, this.#governor, "propose", args);
    this.id = events.find(({ eventName }) => eventName === "ProposalCreated").args.proposalId;
    return this;
  }

  /** Lets time pass until its vote is open. */
  async open() {
    await this.#chain.pass((await this.#chain.read(this.#governor, "votingDelay")) + 1n);
  }

  vote(from, support) {
    return this.#chain.send(from, this.#governor, "castVote", [this.id, support]);
  }

  /** Lets time pass until its vote is over. */
  async close() {
    await this.#chain.pass((await this.#chain.read(this.#governor, "votingPeriod")) + 1n);
  }

  queue(from) {
    return this.#chain.send(from, this.#governor, "queue", this.#call);
  }

  /** Lets time pass until it may be executed. */
  async wait() {
    const timelock = { address: await this.#chain.read(this.#governor, "timelock"), abi: TIMELOCK };
    await this.#chain.pass((await this.#chain.read(timelock, "getMinDelay")) + 1n);
  }

  execute(from) {
    return this.#chain.send(from, this.#governor, "execute", this.#call);
  }

  cancel(from) {
    return this.#chain.send(from, this.#governor, "cancel", this.#call);
  }

  /** What the transactions above carry. */
  get call() {
    return this.#call;
  }

  async state() {
    return STATES[await this.#chain.read(this.#governor, "state", [this.id])];
  }

  /** The whole way, with these accounts for it. */
  async pass(voters) {
    await this.propose(voters[0]);
    await this.open();
    for (const voter of voters) await this.vote(voter, FOR);
    await this.close();
    await this.queue(voters[0]);
    await this.wait();
    return this.execute(voters[0]);
  }
}

/** Samples as `TestSets` wants them: each a label (u16, big-endian) and a packed input. */
export function testData(samples) {
  const width = samples[0].input.length;
  const data = new Uint8Array(samples.length * (2 + width));
  samples.forEach(({ label, input }, i) => {
    data.set([label >> 8, label & 255], i * (2 + width));
    data.set(input, i * (2 + width) + 2);
  });
  return data;
}

/** The held-out windows of this example, packed as PREDICT wants them, with the truth about each. */
export function heldOut() {
  const npy = readFileSync(new URL("heldout.npy", import.meta.url));
  const header = npy.toString("latin1", 10, 10 + npy.readUInt16LE(8));
  if (!header.includes("'<f4'") || !header.includes("(160, 6, 25)")) throw new Error(`heldout.npy: unexpected ${header}`);
  const [, ...labels] = readFileSync(new URL("labels.csv", import.meta.url), "utf8").trim().split(/\r?\n/);
  const values = npy.subarray(10 + npy.readUInt16LE(8));
  return labels.map((label, i) => {
    const window = Buffer.from(values.subarray(i * 600, (i + 1) * 600));
    return { label: Number(label), input: Uint8Array.from(window.swap32()) };
  });
}
