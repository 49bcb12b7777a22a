// Who may call what, and who may call back. Usage: node access.mjs HTTP_URL
//
// Every function that writes, of every contract of contracts/src/governance and of the timelock, is in a table with what a stranger gets from
// it; a function that is in no table fails the test. The path of a model under each governor is walked to its end.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { toFunctionSignature, toHex, zeroAddress, zeroHash } from "viem";
import {
  AGAINST,
  FOR,
  Proposal,
  TIMELOCK,
  action,
  artifact,
  connect,
  registry,
  synod,
} from "../../../../examples/fleet/governance.mjs";
import { refuses, run } from "../steps.mjs";

const url = process.argv[2];
assert(url, "usage: node access.mjs HTTP_URL");
const chain = await connect(url);
const [owner, engineer, ann, bob, cleo, stranger] = [0, 1, 2, 3, 4, 9].map((index) => chain.account(index));
const of = (wallet) => wallet.account.address;
const nobody = of(stranger);
const rules = { votingDelay: 100, votingPeriod: 1_000, executionDelay: 1_000n, proposalThreshold: 1n };
const GRACE = 14 * 86_400;
const ride = fileURLToPath(new URL("../../../../examples/fleet/model.onnx", import.meta.url));
const wine = fileURLToPath(new URL("../../../../examples/cellar/model.onnx", import.meta.url));

const membership = async (name, members) => {
  const seats = await chain.deploy(owner, artifact("Membership"), [name, of(owner)]);
  for (const member of members) await chain.send(owner, seats, "enrol", [of(member), 1n]);
  await chain.pass(1);
  return seats;
};
const timelockOf = async (governor) => ({ address: await chain.read(governor, "timelock"), abi: TIMELOCK });
const ownerOf = (name) => chain.read(registry, "modelOwner", [name]);
const publish = (wallet, file, name) => synod(wallet, url, "model", "publish", file, "--dim", "batch<=64", "--name", name);

/** Sends what a stranger may try to each function that writes, and holds the answers against a table: an error's name, or "ok". */
async function everyFunction(contract, table, from = stranger) {
  const writing = contract.abi.filter(({ type, stateMutability: m }) => type === "function" && (m === "nonpayable" || m === "payable"));
  const found = writing.map(({ name }) => name).sort();
  assert.deepEqual(found, Object.keys(table).sort(), "every function that writes is in the table, and nothing else");
  for (const [name, [args, expected]] of Object.entries(table)) {
    if (expected === "ok") await chain.send(from, contract, name, args);
    else assert.equal(await chain.refused(from, contract, name, args), expected, `${name}: ${toFunctionSignature(writing.find((f) => f.name === name))}`);
  }
}

/** The tables' part that every governor shares. */
const governorTable = (call) => ({
  propose: [[[registry.address], [0n], ["0x"], "mine"], "GovernorInsufficientProposerVotes"],
  queue: [call, "GovernorUnexpectedProposalState"],
  execute: [call, "GovernorUnexpectedProposalState"],
  cancel: [call, "GovernorUnableToCancel"],
  castVote: [[1n, FOR], "GovernorNonexistentProposal"],
  castVoteWithReason: [[1n, FOR, "why not"], "GovernorNonexistentProposal"],
  castVoteWithReasonAndParams: [[1n, FOR, "why not", "0x01"], "GovernorNonexistentProposal"],
  castVoteBySig: [[1n, FOR, of(ann), toHex(new Uint8Array(65))], "GovernorInvalidSignature"],
  castVoteWithReasonAndParamsBySig: [[1n, FOR, of(ann), "", "0x01", toHex(new Uint8Array(65))], "GovernorInvalidSignature"],
  relay: [[nobody, 0n, "0x"], "GovernorOnlyExecutor"],
  setVotingDelay: [[0], "GovernorOnlyExecutor"],
  setVotingPeriod: [[1], "GovernorOnlyExecutor"],
  setProposalThreshold: [[0n], "GovernorOnlyExecutor"],
  updateTimelock: [[nobody], "GovernorOnlyExecutor"],
  onERC721Received: [[nobody, nobody, 0n, "0x"], "GovernorDisabledDeposit"],
  onERC1155Received: [[nobody, nobody, 0n, 0n, "0x"], "GovernorDisabledDeposit"],
  onERC1155BatchReceived: [[nobody, nobody, [], [], "0x"], "GovernorDisabledDeposit"],
});

const steps = {
  async "one electorate: the model goes to the timelock, and only votes change it"() {
    const seats = await membership("curators", [ann, bob, cleo]);
    const governor = await chain.deploy(owner, artifact("ModelGovernor"), ["Curators", seats.address, 50n, rules]);
    const timelock = await timelockOf(governor);
    const name = "access/ride";
    const { id } = publish(owner, ride, name);
    const other = publish(engineer, wine, "engineer/wine");

    // Nobody but the governor has a role, and no administrator but the timelock itself.
    const deployer = of(owner);
    for (const role of ["PROPOSER_ROLE", "CANCELLER_ROLE", "EXECUTOR_ROLE"]) {
      const hash = await chain.read(timelock, role);
      assert.equal(await chain.read(timelock, "hasRole", [hash, governor.address]), true, role);
      for (const account of [deployer, zeroAddress, timelock.address]) {
        assert.equal(await chain.read(timelock, "hasRole", [hash, account]), false, role);
      }
    }
    const admin = await chain.read(timelock, "DEFAULT_ADMIN_ROLE");
    assert.equal(await chain.read(timelock, "hasRole", [admin, timelock.address]), true);
    for (const account of [deployer, zeroAddress, governor.address]) {
      assert.equal(await chain.read(timelock, "hasRole", [admin, account]), false);
    }

    // An offer changes nothing until a vote takes it.
    await chain.send(owner, registry, "transferModel", [name, timelock.address]);
    assert.equal(await ownerOf(name), of(owner));
    await new Proposal(chain, governor, [action(registry, "acceptModel", [name])], "Take the model").pass([ann, bob]);
    assert.equal(await ownerOf(name), timelock.address);
    await refuses(chain.send(owner, registry, "publishId", [name, other.id]), "NotModelOwner");

    // The new version becomes `latest`; a vote goes back, deprecates, revokes, names an alias, and gives the model away.
    const vote = (actions, why) => new Proposal(chain, governor, actions, why).pass([ann, bob]);
    await vote([action(registry, "publishId", [name, other.id])], "Publish the engineer's");
    assert.equal(await chain.read(registry, "versionOf", [name]), 2n);
    assert.equal((await chain.read(registry, "versionAt", [name, 2n])).publisher, timelock.address);
    await vote(
      [
        action(registry, "setLatest", [name, 1n]),
        action(registry, "setAlias", [name, "wine", 2n]),
        action(registry, "deprecate", [name, 2n, "for rides only"]),
      ],
      "Back to the first",
    );
    assert.equal(await chain.read(registry, "versionOf", [name]), 1n);
    assert.equal(await chain.read(registry, "aliasOf", [name, "wine"]), 2n);
    await vote([action(registry, "revoke", [name, 2n, "not about rides"])], "End the second");
    assert.deepEqual(await chain.read(registry, "statusOf", [name, 2n]), [2, "not about rides"]);
    assert.equal((await chain.read(registry, "versionAt", [name, 1n])).id, id);
    // A batch does all or nothing.
    const half = new Proposal(
      chain,
      governor,
      [action(registry, "deprecate", [name, 1n, "half"]), action(registry, "setLatest", [name, 2n])],
      "Half of it can't be done",
    );
    await refuses(half.pass([ann, bob]), "VersionRevoked");
    assert.equal((await chain.read(registry, "statusOf", [name, 1n]))[0], 0);
    assert.equal(await half.state(), "queued");
    await vote([action(registry, "transferModel", [name, of(cleo)])], "Cleo may have it");
    await chain.send(cleo, registry, "acceptModel", [name]);
    assert.equal(await ownerOf(name), of(cleo));

    // Settings change by a vote, and only through the governor.
    await vote([action(governor, "setVotingDelay", [200]), action(governor, "updateQuorumNumerator", [60n])], "Slower");
    assert.equal(await chain.read(governor, "votingDelay"), 200n);
    assert.equal(await chain.read(governor, "quorumNumerator"), 60n);
    Object.assign(this, { seats, governor, timelock });
  },

  async "proposals that nobody minds expire"() {
    const { governor, seats } = this;
    const nothing = (why) => new Proposal(chain, governor, [action(seats, "acceptOwnership")], why);
    const unqueued = await nothing("Not queued").propose(ann);
    await unqueued.open();
    for (const voter of [ann, bob]) await unqueued.vote(voter, FOR);
    await unqueued.close();
    assert.equal(await unqueued.state(), "succeeded");
    await chain.pass(GRACE + 1);
    assert.equal(await unqueued.state(), "expired");
    await refuses(unqueued.queue(ann), "GovernorUnexpectedProposalState");

    const unexecuted = await nothing("Not executed").propose(ann);
    await unexecuted.open();
    for (const voter of [ann, bob]) await unexecuted.vote(voter, FOR);
    await unexecuted.close();
    await unexecuted.queue(stranger);
    await refuses(unexecuted.execute(stranger), "TimelockUnexpectedOperationState");
    await unexecuted.wait();
    await refuses(unexecuted.execute(stranger), "OwnableUnauthorizedAccount"); // the target's refusal
    assert.equal(await unexecuted.state(), "queued");
    await chain.pass(GRACE + 1);
    assert.equal(await unexecuted.state(), "expired");
    await refuses(unexecuted.execute(stranger), "GovernorUnexpectedProposalState");
  },

  async "its proposer may cancel a proposal before its vote, and nobody else"() {
    const { governor, seats } = this;
    const proposal = await new Proposal(chain, governor, [action(seats, "acceptOwnership")], "Never mind").propose(ann);
    await refuses(proposal.cancel(bob), "GovernorUnableToCancel");
    await proposal.cancel(ann);
    assert.equal(await proposal.state(), "canceled");
    const late = await new Proposal(chain, governor, [action(seats, "acceptOwnership")], "Too late").propose(ann);
    await late.open();
    await refuses(late.cancel(ann), "GovernorUnableToCancel");
  },

  async "functions of ModelGovernor and of its timelock"() {
    const { governor, timelock, seats } = this;
    const pending = await new Proposal(chain, governor, [action(seats, "acceptOwnership")], "Pending").propose(ann);
    await everyFunction(governor, {
      ...governorTable(pending.call),
      updateQuorumNumerator: [[0n], "GovernorOnlyExecutor"],
    });
    const [targets, values, data] = pending.call;
    const denied = "AccessControlUnauthorizedAccount";
    const hash = await chain.read(timelock, "PROPOSER_ROLE");
    const table = {
      schedule: [[targets[0], 0n, data[0], zeroHash, zeroHash, 1_000n], denied],
      scheduleBatch: [[targets, values, data, zeroHash, zeroHash, 1_000n], denied],
      execute: [[targets[0], 0n, data[0], zeroHash, zeroHash], denied],
      executeBatch: [[targets, values, data, zeroHash, zeroHash], denied],
      cancel: [[zeroHash], denied],
      updateDelay: [[0n], "TimelockUnauthorizedCaller"],
      grantRole: [[hash, nobody], denied],
      revokeRole: [[hash, governor.address], denied],
      renounceRole: [[hash, governor.address], "AccessControlBadConfirmation"],
    };
    await everyFunction(timelock, table);
    await everyFunction(timelock, table, owner); // who deployed it has no more rights
  },

  async "functions of ChamberGovernor; chambers that it refuses"() {
    const [left, right] = [await membership("left", [ann, bob]), await membership("right", [cleo])];
    const chamber = ({ address }, quorum = 5_000) => ({ votes: address, quorum });
    const deploy = (chambers) => chain.deploy(owner, artifact("ChamberGovernor"), ["Two", chambers, rules]);
    await refuses(deploy([]), "WrongChamberCount");
    await refuses(deploy(Array(9).fill(chamber(left))), "WrongChamberCount");
    await refuses(deploy([chamber(left), chamber(left)]), "SameChamber");
    await refuses(deploy([chamber(left), chamber(right, 0)]), "QuorumOutOfRange");
    await refuses(deploy([chamber(left, 10_001), chamber(right)]), "QuorumOutOfRange");
    const governor = await deploy([chamber(left), chamber(right)]);
    assert.equal(await chain.read(governor, "chamberCount"), 2n);
    await refuses(chain.read(governor, "chamberAt", [2n]), "UnknownChamber");
    await refuses(chain.read(governor, "chamberVotes", [1n, 2n]), "UnknownChamber");
    const pending = await new Proposal(chain, governor, [action(left, "acceptOwnership")], "Pending").propose(ann);
    await everyFunction(governor, governorTable(pending.call));
    Object.assign(this, { left, right, chambers: governor });
  },

  async "functions of Membership: the owner's, the members', nobody's"() {
    const seats = await membership("members", [ann]);
    const only = "OwnableUnauthorizedAccount";
    await everyFunction(seats, {
      enrol: [[nobody, 5n], only],
      reweigh: [[of(ann), 5n], only],
      dismiss: [[of(ann)], only],
      transferOwnership: [[nobody], only],
      acceptOwnership: [[], only],
      renounceOwnership: [[], only],
      delegate: [[of(bob)], "ok"], // of no weight
      delegateBySig: [[nobody, 0n, 0n, 27, zeroHash, zeroHash], "VotesExpiredSignature"],
    });
    assert.equal(await chain.read(seats, "getVotes", [of(bob)]), 0n);
    await refuses(chain.send(owner, seats, "enrol", [zeroAddress, 1n]), "NoMember");
    await refuses(chain.send(owner, seats, "enrol", [of(ann), 1n]), "AlreadyMember");
    await refuses(chain.send(owner, seats, "enrol", [of(bob), 0n]), "NoWeight");
    await refuses(chain.send(owner, seats, "reweigh", [of(ann), 0n]), "NoWeight");
    await refuses(chain.send(owner, seats, "reweigh", [of(bob), 1n]), "NotMember");
    await refuses(chain.send(owner, seats, "dismiss", [of(bob)]), "NotMember");
    assert.equal(await chain.read(seats, "delegates", [of(ann)]), of(ann), "a member votes from the start");
    // A stranger who chose a delegate before keeps that choice on enrolment.
    await chain.send(owner, seats, "enrol", [nobody, 7n]);
    assert.equal(await chain.read(seats, "getVotes", [of(bob)]), 7n);
    await chain.send(owner, seats, "dismiss", [nobody]);
    assert.equal(await chain.read(seats, "getVotes", [of(bob)]), 0n);
    assert.equal(await chain.read(seats, "memberCount"), 1n);
    assert(!seats.abi.some(({ name }) => /^transfer$|^transferFrom$|^approve/.test(name ?? "")), "a seat can't be sold");
  },

  async "a target that calls back finds every door shut"() {
    const { left, right, chambers: governor } = this;
    const timelock = await timelockOf(governor);
    const name = "access/reentrant";
    publish(owner, ride, name);
    await chain.send(owner, registry, "transferModel", [name, timelock.address]);
    await new Proposal(chain, governor, [action(registry, "acceptModel", [name])], "Take it").pass([ann, bob, cleo]);
    const target = await chain.deploy(stranger, artifact("Reentrant"));
    // An open vote, a queued proposal that could be executed, and the running one itself.
    const ready = await new Proposal(chain, governor, [action(left, "acceptOwnership")], "Ready, and bound to fail").propose(ann);
    await ready.open();
    for (const voter of [ann, bob, cleo]) await ready.vote(voter, FOR);
    await ready.close();
    await ready.queue(ann);
    const running = await new Proposal(chain, governor, [action(target, "act")], "Call a stranger's contract").propose(ann);
    await running.open();
    for (const voter of [ann, bob, cleo]) await running.vote(voter, FOR);
    await running.close();
    await running.queue(ann);
    await running.wait();
    const [targets, values, data] = running.call;
    const doors = [
      action(governor, "execute", running.call),
      action(governor, "queue", running.call),
      action(governor, "cancel", running.call),
      action(governor, "execute", ready.call),
      action(governor, "castVote", [running.id, AGAINST]),
      action(governor, "setVotingPeriod", [1]),
      action(governor, "relay", [registry.address, 0n, "0x"]),
      action(governor, "updateTimelock", [target.address]),
      action(governor, "propose", [targets, values, data, "Again"]),
      action(timelock, "executeBatch", [targets, values, data, zeroHash, zeroHash]),
      action(timelock, "execute", [registry.address, 0n, "0x", zeroHash, zeroHash]),
      action(timelock, "scheduleBatch", [targets, values, data, zeroHash, zeroHash, 1_000n]),
      action(timelock, "grantRole", [zeroHash, target.address]),
      action(timelock, "updateDelay", [0n]),
      action(registry, "setLatest", [name, 1n]),
      action(registry, "transferModel", [name, target.address]),
      action(right, "enrol", [target.address, 1n]),
      action(right, "delegate", [target.address]), // anybody's right: what succeeds is seen
    ];
    await chain.send(stranger, target, "prepare", [doors.map((door) => door.target), doors.map((door) => door.data)]);
    await running.execute(stranger);
    assert.equal(await running.state(), "executed");
    assert.equal(await chain.read(target, "tried"), BigInt(doors.length));
    assert.equal(await chain.read(target, "succeeded"), 1n << BigInt(doors.length - 1), "only the last");
    assert.equal(await ownerOf(name), timelock.address);
    assert.equal(await chain.read(registry, "pendingModelOwner", [name]), zeroAddress);
    await refuses(running.execute(stranger), "GovernorUnexpectedProposalState");
    assert.equal(await chain.read(target, "tried"), BigInt(doors.length), "once");
  },

  async "an electorate that calls back can't vote twice"() {
    const { left } = this;
    const hostile = await chain.deploy(stranger, artifact("Reentrant"));
    const members = [left, hostile].map(({ address }) => ({ votes: address, quorum: 5_000 }));
    const governor = await chain.deploy(owner, artifact("ChamberGovernor"), ["Hostile", members, rules]);
    const proposal = await new Proposal(chain, governor, [action(left, "acceptOwnership")], "Count me twice").propose(ann);
    await proposal.open();
    const doors = [
      action(governor, "castVote", [proposal.id, FOR]),
      action(governor, "castVoteWithReason", [proposal.id, FOR, "again"]),
      action(governor, "propose", [[hostile.address], [0n], ["0x"], "From within"]),
    ];
    await chain.send(stranger, hostile, "prepare", [doors.map((door) => door.target), doors.map((door) => door.data)]);
    await proposal.vote(ann, FOR);
    assert.deepEqual(await chain.read(governor, "chamberVotes", [proposal.id, 0n]), [0n, 1n, 0n]);
    assert.deepEqual(await chain.read(governor, "chamberVotes", [proposal.id, 1n]), [0n, 1n, 0n], "it answered 1: no call back succeeded");
    assert.equal(await chain.read(governor, "hasVoted", [proposal.id, hostile.address]), false);
  },

  async "electorates that count by another clock are refused"() {
    const contract = await chain.deploy(stranger, artifact("BlockVotes"));
    const deployed = chain.deploy(owner, artifact("ModelGovernor"), ["Blocks", contract.address, 50n, rules]);
    await refuses(deployed, "WrongClock");
    const chambers = [{ votes: contract.address, quorum: 1 }];
    await refuses(chain.deploy(owner, artifact("ChamberGovernor"), ["Blocks", chambers, rules]), "WrongClock");
  },
};

await run(steps);
