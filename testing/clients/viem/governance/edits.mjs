// A vote about a few weights: members pass edits of a model's bytes themselves, and nobody publishes a candidate. Usage: node edits.mjs HTTP_URL
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bytesToHex, toHex } from "viem";
import {
  AGAINST,
  FOR,
  Proposal,
  TIMELOCK,
  action,
  artifact,
  connect,
  engine,
  heldOut,
  publishVariant,
  registry,
  synod,
} from "../../../../examples/fleet/governance.mjs";
import { refuses, run } from "../steps.mjs";

const url = process.argv[2];
assert(url, "usage: node edits.mjs HTTP_URL");
const chain = await connect(url);
const [owner, engineer, stranger] = [0, 1, 9].map((index) => chain.account(index));
const members = [2, 3, 4].map((index) => chain.account(index));
const of = (wallet) => wallet.account.address;
const MODEL = "fleet/ride";
const file = fileURLToPath(new URL("../../../../examples/fleet/model.onnx", import.meta.url));
const window = bytesToHex(heldOut()[154].input);
const ask = (name) => chain.read(engine, "run", [name, window]);
const latest = () => chain.read(registry, "versionOf", [MODEL]);

/** A number as Protocol Buffers write it. */
const varint = (n) => (n < 128 ? [n] : [(n % 128) | 128, ...varint(Math.floor(n / 128))]);

/** One edit: these bytes at this place of the weights (docs/spec/model.md §8). */
const edit = (at, bytes) => toHex(Uint8Array.from([...varint(at), ...varint(bytes.length), ...bytes]));

/** The last element of a published network's weights: of this example, the bias of the harsh class. */
function biasOf(name) {
  const folder = mkdtempSync(join(tmpdir(), "synod-bias-"));
  try {
    synod(owner, url, "model", "pull", name, "--output-dir", folder);
    return readFileSync(join(folder, "weights.bin")).subarray(-4);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A float32 as weights have it. */
function float(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

const steps = {
  async "the model is handed to a vote"() {
    this.first = synod(owner, url, "model", "publish", file, "--dim", "batch<=64", "--name", MODEL).id;
    const seats = await chain.deploy(owner, artifact("Membership"), ["members", of(owner)]);
    for (const member of members) await chain.send(owner, seats, "enrol", [of(member), 1n]);
    const rules = { votingDelay: 60, votingPeriod: 600, executionDelay: 600n, proposalThreshold: 1n };
    this.governor = await chain.deploy(owner, artifact("ModelGovernor"), ["Ride", seats.address, 50n, rules]);
    this.timelock = { address: await chain.read(this.governor, "timelock"), abi: TIMELOCK };
    await chain.send(owner, registry, "transferModel", [MODEL, this.timelock.address]);
    await chain.pass(1); // who proposes must have had a seat a second ago
    await new Proposal(chain, this.governor, [action(registry, "acceptModel", [MODEL])], "The model is ours").pass(members);
    assert.equal(await chain.read(registry, "modelOwner", [MODEL]), this.timelock.address);
  },

  async "nobody but the vote edits it"() {
    this.at = Number((await chain.read(registry, "modelOf", [this.first])).weightBytes) - 4;
    this.bias = biasOf(MODEL);
    const strict = float(this.bias.readFloatLE() + Math.log(4));
    this.publish = [MODEL, this.first, edit(this.at, strict), "0x", true];
    for (const wallet of [owner, engineer, stranger, members[0]]) {
      assert.equal(await chain.refused(wallet, registry, "publishEdits", this.publish), "NotModelOwner");
    }
  },

  async "a vote that fails changes nothing"() {
    const proposal = new Proposal(chain, this.governor, [action(registry, "publishEdits", this.publish)], "Be strict?");
    await proposal.propose(members[0]);
    await proposal.open();
    await proposal.vote(members[0], FOR);
    for (const member of members.slice(1)) await proposal.vote(member, AGAINST);
    await proposal.close();
    assert.equal(await proposal.state(), "defeated");
    await refuses(proposal.queue(stranger), "GovernorUnexpectedProposalState");
    assert.equal(await latest(), 1n);
  },

  async "a vote that passes publishes the edited model and makes it latest"() {
    const before = await ask(MODEL);
    const proposal = new Proposal(chain, this.governor, [action(registry, "publishEdits", this.publish)], "Be strict");
    await proposal.propose(members[0]);
    await proposal.open();
    for (const member of members) await proposal.vote(member, FOR);
    await proposal.close();
    await proposal.queue(stranger);
    await refuses(proposal.execute(stranger), "TimelockUnexpectedOperationState");
    assert.equal(await ask(MODEL), before);
    await proposal.wait();
    const { gasUsed } = await proposal.execute(stranger);
    assert(gasUsed < 5_000_000n, `${gasUsed}`);
    assert.equal(await latest(), 2n);
    const version = await chain.read(registry, "versionAt", [MODEL, 2n]);
    assert.equal(version.publisher, this.timelock.address);
    assert.equal((await chain.read(registry, "modelOf", [version.id])).patches, 1);
    assert.notEqual(await ask(MODEL), before);
    assert.equal(await ask(`${MODEL}@1`), before);
    // Whoever publishes the same bytes in full gets the same model.
    assert.equal(publishVariant(engineer, url, `${MODEL}@1`, "engineer/strict", Math.log(4)), version.id);
    this.second = version.id;
  },

  async "edits of edits, with another action in the same vote"() {
    const back = [MODEL, this.second, edit(this.at, this.bias), "0x", true];
    await refuses(
      new Proposal(chain, this.governor, [action(registry, "publishEdits", back)], "Back, afresh").pass(members),
      "AlreadyPublished",
    );
    assert.equal(await latest(), 2n);
    const actions = [
      action(registry, "publishEdits", [MODEL, this.second, edit(this.at, float(-100)), "0x", false]),
      action(registry, "setAlias", [MODEL, "careless", 3n]),
    ];
    await new Proposal(chain, this.governor, actions, "Something to compare with").pass(members);
    assert.equal(await latest(), 2n);
    assert.notEqual(await ask(`${MODEL}@careless`), await ask(MODEL));
  },

  async "edits that are none are refused when the vote is carried out, and may not be half done"() {
    const beyond = edit(this.at + 4, Buffer.alloc(4));
    const actions = [
      action(registry, "setLatest", [MODEL, 1n]),
      action(registry, "publishEdits", [MODEL, this.first, beyond, "0x", true]),
    ];
    await refuses(new Proposal(chain, this.governor, actions, "Beyond the end").pass(members), "InvalidPatch");
    assert.equal(await latest(), 2n);
    assert.equal(await chain.read(registry, "countOf", [MODEL]), 3n);
  },
};

await run(steps);
