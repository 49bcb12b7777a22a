// Drivers and passengers vote about the network that judges them, with real transactions on a development node.
//
//   synod dev                                    # in another terminal, on a fresh folder
//   npm ci && node vote.mjs [HTTP_URL]           # http://127.0.0.1:8545 if none is given; SYNOD names the binary, `synod` by default
//
// Every claim that is printed was checked; the first that does not hold ends the program with an error.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { bytesToHex, formatEther, parseEther, zeroAddress, zeroHash } from "viem";
import {
  AGAINST,
  FOR,
  Proposal,
  Refused,
  TIMELOCK,
  action,
  artifact,
  connect,
  heldOut,
  publishVariant,
  registry,
  synod,
  testData,
} from "./governance.mjs";

const MODEL = "fleet/ride";
/** 98 %: 157 of 160 windows. */
const THRESHOLD = 9_800;
const url = process.argv[2] ?? "http://127.0.0.1:8545";
const chain = await connect(url);
const [operator, engineer, recorder, outsider] = [0, 1, 8, 9].map((index) => chain.account(index));
const [drivers, passengers] = [[2, 3, 4], [5, 6, 7]].map((seats) => seats.map((index) => chain.account(index)));
const addressOf = (wallet) => wallet.account.address;

const chapter = (text) => console.log(`\n${text}`);
const line = (text) => console.log(`  ${text}`);

/** Asserts that something is refused with this error. */
const refuses = (promise, error) =>
  assert.rejects(promise, (refusal) => {
    assert(refusal instanceof Refused, refusal);
    assert.equal(refusal.error, error);
    return true;
  });

// ---------------------------------------------------------------------------------------------------------------------------

chapter("The operator publishes the judge of rides and pays by whatever version its bare name stands for");
const file = fileURLToPath(new URL("model.onnx", import.meta.url));
const first = synod(operator, url, "model", "publish", file, "--dim", "batch<=256", "--name", MODEL).id;
assert.equal(await chain.read(registry, "countOf", [MODEL]), 1n, "play on a fresh chain");
const [fare, penalty] = [parseEther("0.01"), parseEther("0.006")];
const fleetCode = artifact("VotedFleet", "examples/fleet/artifacts");
const fleet = await chain.deploy(operator, fleetCode, [addressOf(recorder), fare, penalty], parseEther("1"));
line(`${MODEL}@1 is ${first.slice(0, 18)}…, its owner ${addressOf(operator)}: he alone may change it`);

chapter("Two chambers, a governor with a timelock of its own, and a gate with a test set");
const membership = async (name, members, weights) => {
  const seats = await chain.deploy(operator, artifact("Membership"), [name, addressOf(operator)]);
  for (const [i, member] of members.entries()) await chain.send(operator, seats, "enrol", [addressOf(member), weights[i]]);
  return seats;
};
const driverSeats = await membership("drivers", drivers, [120n, 60n, 20n]); // rides driven
const passengerSeats = await membership("passengers", passengers, [10n, 10n, 10n]);
const [hour, day] = [3_600, 86_400];
const rules = { votingDelay: hour, votingPeriod: 3 * day, executionDelay: BigInt(2 * day), proposalThreshold: 1n };
const chambers = [driverSeats, passengerSeats].map(({ address }) => ({ votes: address, quorum: 5_000 }));
const governor = await chain.deploy(operator, artifact("ChamberGovernor"), ["Fleet", chambers, rules]);
const timelock = { address: await chain.read(governor, "timelock"), abi: TIMELOCK };
const samples = heldOut();
const exam = { chunks: await chain.store(engineer, testData(samples)), inputBytes: 600n, classes: 2, threshold: THRESHOLD };
const gate = await chain.deploy(operator, artifact("AccuracyGate"), [MODEL, timelock.address, false, exam]);
line(`drivers: 3 seats by rides driven; passengers: 3 equal seats; each chamber needs a majority and half of its weight`);
line(`test set: ${samples.length} windows in ${exam.chunks.length} chunks; ${THRESHOLD / 100} % must be right`);

chapter("The operator hands over: the model to the gate, the lists of members to the timelock");
await chain.send(operator, registry, "transferModel", [MODEL, gate.address]);
await chain.send(outsider, gate, "accept");
for (const seats of [driverSeats, passengerSeats]) await chain.send(operator, seats, "transferOwnership", [timelock.address]);
const everybody = [...drivers, ...passengers];
await chain.pass(1); // who proposes must have had a seat a second ago
const takeOver = [driverSeats, passengerSeats].map((seats) => action(seats, "acceptOwnership"));
await new Proposal(chain, governor, takeOver, "We take over the lists of members").pass(everybody);
assert.equal(await chain.read(registry, "modelOwner", [MODEL]), gate.address);
assert.equal(await chain.read(gate, "owner"), timelock.address);
for (const seats of [driverSeats, passengerSeats]) assert.equal(await chain.read(seats, "owner"), timelock.address);
line("passed by both chambers, waited two days, done: nobody owns anything any more but the vote");

chapter("An engineer publishes three candidates in a namespace of her own, and the chain itself scores them");
const candidates = { lenient: -Math.log(64), strict: Math.log(4), careless: -100 };
const ids = {};
for (const [name, shift] of Object.entries(candidates)) {
  ids[name] = publishVariant(engineer, url, `${MODEL}@1`, `engineer/${name}`, shift);
  const { commitment } = await chain.read(gate, "testSet");
  let gas = 0n;
  let scored = 0n;
  while (scored < samples.length) {
    const { events, gasUsed } = await chain.send(outsider, gate, "score", [ids[name], 40n]);
    const { args } = events.find(({ eventName }) => eventName === "Scored");
    assert.equal(args.commitment, commitment);
    scored = args.scored;
    gas += gasUsed;
  }
  const [, correct] = await chain.read(gate, "scoreOf", [ids[name]]);
  line(`engineer/${name.padEnd(9)} ${String(correct).padStart(3)} of ${samples.length} right  (4 transactions, ${gas} gas)`);
}

/** Proposes to activate a candidate, with a vote for each chamber. */
async function voteAbout(name, ofDrivers, ofPassengers) {
  const proposal = new Proposal(chain, governor, [action(gate, "activate", [ids[name]])], `Let engineer/${name} judge our rides`);
  await proposal.propose(drivers[0]);
  assert.equal(await proposal.state(), "pending");
  await proposal.open();
  for (const driver of drivers) await proposal.vote(driver, ofDrivers);
  for (const passenger of passengers) await proposal.vote(passenger, ofPassengers);
  await proposal.close();
  return proposal;
}
const latest = () => chain.read(registry, "versionOf", [MODEL]);

chapter("The lenient judge: drivers approve, passengers refuse");
const lenient = await voteAbout("lenient", FOR, AGAINST);
assert.equal(await lenient.state(), "defeated");
await refuses(lenient.queue(drivers[0]), "GovernorUnexpectedProposalState");
assert.equal(await latest(), 1n);
line(`200 for in one chamber, 30 against in the other: defeated, ${MODEL} is version 1`);

chapter("The strict judge: both approve");
const window = bytesToHex(samples[154].input); // a lull in a game of badminton
const ride = async () => {
  const { events } = await chain.send(recorder, fleet, "ride", [addressOf(drivers[0]), window]);
  return events.find(({ eventName }) => eventName === "Ride").args;
};
const before = await ride();
assert.equal(before.paid, fare);
const strict = await voteAbout("strict", FOR, FOR);
assert.equal(await strict.state(), "succeeded");
await strict.queue(outsider);
await refuses(strict.execute(outsider), "TimelockUnexpectedOperationState");
line("passed and queued; executing it before two days have passed is refused");
assert.equal((await ride()).paid, fare);
await strict.wait();
await strict.execute(outsider);
assert.equal(await strict.state(), "executed");
assert.equal(await latest(), 2n);
assert.equal((await chain.read(registry, "versionAt", [MODEL, 2n])).id, ids.strict);
const after = await ride();
assert.equal(after.paid, fare - penalty);
line(`${MODEL} is version 2; the same ride paid ${formatEther(before.paid)} ether before, ${formatEther(after.paid)} now`);

chapter("The careless judge, who calls everything calm: both chambers approve, the gate does not");
const careless = await voteAbout("careless", FOR, FOR);
await careless.queue(drivers[0]);
await careless.wait();
await refuses(careless.execute(drivers[0]), "BelowThreshold");
assert.equal(await latest(), 2n);
await chain.pass(15 * day);
assert.equal(await careless.state(), "expired");
line("a vote can't get it past the test set; after two weeks the proposal expires");

chapter("The operator, who owned all this, tries everything, each time with a transaction");
const of = addressOf(operator);
const role = await chain.read(timelock, "PROPOSER_ROLE");
const call = action(registry, "setLatest", [MODEL, 1n]);
const manifest = (await chain.read(registry, "modelOf", [first])).manifest;
const attempts = [
  [registry, "publish", [MODEL, manifest], "NotModelOwner"],
  [registry, "publishId", [MODEL, ids.careless], "NotModelOwner"],
  [registry, "publishOnly", [MODEL, manifest], "NotModelOwner"],
  [registry, "publishIdOnly", [MODEL, ids.careless], "NotModelOwner"],
  [registry, "setLatest", [MODEL, 1n], "NotModelOwner"],
  [registry, "setAlias", [MODEL, "stable", 1n], "NotModelOwner"],
  [registry, "removeAlias", [MODEL, "stable"], "NotModelOwner"],
  [registry, "deprecate", [MODEL, 2n, "mine"], "NotModelOwner"],
  [registry, "restore", [MODEL, 2n], "NotModelOwner"],
  [registry, "revoke", [MODEL, 2n, "mine"], "NotModelOwner"],
  [registry, "transferModel", [MODEL, of], "NotModelOwner"],
  [registry, "acceptModel", [MODEL], "NotPendingOwner"],
  [gate, "activate", [first], "OwnableUnauthorizedAccount"],
  [gate, "setExam", [exam], "OwnableUnauthorizedAccount"],
  [gate, "setAlias", ["stable", 1n], "OwnableUnauthorizedAccount"],
  [gate, "removeAlias", ["stable"], "OwnableUnauthorizedAccount"],
  [gate, "deprecate", [2n, "mine"], "OwnableUnauthorizedAccount"],
  [gate, "restore", [2n], "OwnableUnauthorizedAccount"],
  [gate, "revoke", [2n, "mine"], "OwnableUnauthorizedAccount"],
  [gate, "transferModel", [of], "OwnableUnauthorizedAccount"],
  [gate, "transferOwnership", [of], "OwnableUnauthorizedAccount"],
  [gate, "acceptOwnership", [], "OwnableUnauthorizedAccount"],
  [gate, "renounceOwnership", [], "OwnableUnauthorizedAccount"],
  [gate, "accept", [], "NotPendingOwner"],
  ...[driverSeats, passengerSeats].flatMap((seats) => [
    [seats, "enrol", [of, 1_000_000n], "OwnableUnauthorizedAccount"],
    [seats, "reweigh", [addressOf(drivers[0]), 1n], "OwnableUnauthorizedAccount"],
    [seats, "dismiss", [addressOf(drivers[0])], "OwnableUnauthorizedAccount"],
    [seats, "transferOwnership", [of], "OwnableUnauthorizedAccount"],
    [seats, "acceptOwnership", [], "OwnableUnauthorizedAccount"],
    [seats, "renounceOwnership", [], "OwnableUnauthorizedAccount"],
  ]),
  [timelock, "schedule", [call.target, 0n, call.data, zeroHash, zeroHash, BigInt(2 * day)], "AccessControlUnauthorizedAccount"],
  [timelock, "scheduleBatch", [[call.target], [0n], [call.data], zeroHash, zeroHash, BigInt(2 * day)], "AccessControlUnauthorizedAccount"],
  [timelock, "execute", [call.target, 0n, call.data, zeroHash, zeroHash], "AccessControlUnauthorizedAccount"],
  [timelock, "executeBatch", [[call.target], [0n], [call.data], zeroHash, zeroHash], "AccessControlUnauthorizedAccount"],
  [timelock, "cancel", [zeroHash], "AccessControlUnauthorizedAccount"],
  [timelock, "grantRole", [role, of], "AccessControlUnauthorizedAccount"],
  [timelock, "revokeRole", [role, governor.address], "AccessControlUnauthorizedAccount"],
  [timelock, "renounceRole", [role, governor.address], "AccessControlBadConfirmation"],
  [timelock, "updateDelay", [0n], "TimelockUnauthorizedCaller"],
  [governor, "propose", [[call.target], [0n], [call.data], "Mine again"], "GovernorInsufficientProposerVotes"],
  [governor, "cancel", strict.call, "GovernorUnableToCancel"],
  [governor, "execute", careless.call, "GovernorUnexpectedProposalState"],
  [governor, "relay", [call.target, 0n, call.data], "GovernorOnlyExecutor"],
  [governor, "setVotingDelay", [0], "GovernorOnlyExecutor"],
  [governor, "setVotingPeriod", [1], "GovernorOnlyExecutor"],
  [governor, "setProposalThreshold", [0n], "GovernorOnlyExecutor"],
  [governor, "updateTimelock", [of], "GovernorOnlyExecutor"],
];
for (const [contract, functionName, args, error] of attempts) {
  assert.equal(await chain.refused(operator, contract, functionName, args), error, functionName);
}
assert.equal(await latest(), 2n);
assert.equal(await chain.read(registry, "countOf", [MODEL]), 2n);
assert.equal(await chain.read(registry, "modelOwner", [MODEL]), gate.address);
assert.equal(await chain.read(registry, "pendingModelOwner", [MODEL]), zeroAddress);
assert.equal((await ride()).paid, fare - penalty);
line(`${attempts.length} attempts, ${attempts.length} refusals; ${MODEL} is version 2, and rides are judged by it`);
