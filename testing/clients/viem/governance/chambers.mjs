// Random votes in two chambers, held against a simple model. Usage: node chambers.mjs HTTP_URL [SEED [ROUNDS]]
//
// Seats come and go, weights change, members delegate, before a vote opens and after; then everybody votes at random, some twice. The model keeps
// plain objects: what each account's weight was when the vote opened, and what was voted. After each round the chain and the model must agree
// on every weight, every tally and the result.
import assert from "node:assert/strict";
import { zeroAddress } from "viem";
import { ABSTAIN, AGAINST, FOR, Proposal, action, artifact, connect } from "../../../../examples/fleet/governance.mjs";
import { generator, refuses, run } from "../steps.mjs";

const url = process.argv[2];
assert(url, "usage: node chambers.mjs HTTP_URL [SEED [ROUNDS]]");
const seed = Number(process.argv[3] ?? 2026);
const rounds = Number(process.argv[4] ?? 40);
const chain = await connect(url);
const owner = chain.account(0);
const accounts = Array.from({ length: 8 }, (_, i) => chain.account(i + 1));
const of = (wallet) => wallet.account.address;
const QUORUMS = [3_000, 4_001];

/** A chamber as it should be. */
class Seats {
  weights = new Map();
  delegates = new Map();

  enrol(member, weight) {
    if (!this.delegates.get(member)) this.delegates.set(member, member);
    this.weights.set(member, weight);
  }
  votesOf(account) {
    let votes = 0n;
    for (const [member, weight] of this.weights) if (this.delegates.get(member) === account) votes += weight;
    return votes;
  }
  get total() {
    return [...this.weights.values()].reduce((sum, weight) => sum + weight, 0n);
  }
  snapshot() {
    return { total: this.total, votes: new Map(accounts.map((account) => [of(account), this.votesOf(of(account))])) };
  }
}

const steps = {
  async "what random votes decide is what a simple model says"() {
    const g = generator(seed);
    const seats = [];
    for (const name of ["drivers", "passengers"]) seats.push(await chain.deploy(owner, artifact("Membership"), [name, of(owner)]));
    const chambers = seats.map(({ address }, i) => ({ votes: address, quorum: QUORUMS[i] }));
    const rules = { votingDelay: 1_000, votingPeriod: 1_000, executionDelay: 0n, proposalThreshold: 0n };
    const governor = await chain.deploy(owner, artifact("ChamberGovernor"), ["Fuzz", chambers, rules]);
    const models = seats.map(() => new Seats());

    /** One random change of a chamber, on the chain and in the model. */
    const change = async () => {
      const i = g.below(2);
      const account = g.pick(accounts);
      const member = of(account);
      const seated = models[i].weights.has(member);
      const weight = 1n + BigInt(g.below(5)); // small, so that there are ties
      if (g.chance(30)) {
        const to = g.chance(15) ? zeroAddress : of(g.pick(accounts));
        await chain.send(account, seats[i], "delegate", [to]);
        models[i].delegates.set(member, to === zeroAddress ? undefined : to);
      } else if (!seated) {
        await chain.send(owner, seats[i], "enrol", [member, weight]);
        models[i].enrol(member, weight);
      } else if (g.chance(40)) {
        await chain.send(owner, seats[i], "dismiss", [member]);
        models[i].weights.delete(member);
      } else {
        await chain.send(owner, seats[i], "reweigh", [member, weight]);
        models[i].weights.set(member, weight);
      }
    };
    const changes = async (count) => {
      for (let i = 0; i < count; i += 1) await change();
    };

    await changes(16);
    const outcomes = { succeeded: 0, defeated: 0 };
    // How often just one chamber's quorum, or majority, decided against a proposal.
    const decisive = [[0, 0], [0, 0]];
    for (let round = 0; round < rounds; round += 1) {
      const at = `seed ${seed}, round ${round}`;
      const proposal = await new Proposal(chain, governor, [action(seats[0], "acceptOwnership")], at).propose(g.pick(accounts));
      await changes(g.below(3));
      await refuses(proposal.vote(accounts[0], FOR), "GovernorUnexpectedProposalState");
      await proposal.open();
      const opened = models.map((model) => model.snapshot());
      await changes(g.below(4)); // too late for this vote
      const tallies = [[0n, 0n, 0n], [0n, 0n, 0n]];
      // Rounds lean to one side, or few would pass.
      const lean = g.pick([[FOR], [FOR, FOR, ABSTAIN], [FOR, FOR, AGAINST, ABSTAIN], [FOR, AGAINST], [FOR, FOR, AGAINST]]);
      const turnout = 50 + g.below(51);
      for (const account of accounts) {
        if (!g.chance(turnout)) continue;
        const support = g.pick(lean);
        if (g.chance(10)) await refuses(proposal.vote(account, 3 + g.below(200)), "GovernorInvalidVoteType");
        const { events } = await proposal.vote(account, support);
        const weights = opened.map(({ votes }) => votes.get(of(account)));
        weights.forEach((weight, i) => (tallies[i][support] += weight));
        const counted = events.filter(({ eventName }) => eventName === "ChamberVote").map(({ args }) => [args.chamber, args.weight]);
        assert.deepEqual(counted, weights.map((weight, i) => [BigInt(i), weight]).filter(([, weight]) => weight > 0n), at);
        assert.equal(events.find(({ eventName }) => eventName === "VoteCast").args.weight, weights[0] + weights[1], at);
        if (g.chance(25)) await refuses(proposal.vote(account, g.pick([FOR, AGAINST, ABSTAIN])), "GovernorAlreadyCastVote");
      }

      const snapshot = await chain.read(governor, "proposalSnapshot", [proposal.id]);
      const [passes, short] = [[], []];
      for (const [i, { total, votes }] of opened.entries()) {
        assert.equal(await chain.read(seats[i], "getPastTotalSupply", [snapshot]), total, at);
        for (const [account, weight] of votes) {
          assert.equal(await chain.read(seats[i], "getPastVotes", [account, snapshot]), weight, at);
          assert.equal(await chain.read(seats[i], "getVotes", [account]), models[i].votesOf(account), at);
        }
        assert.deepEqual(await chain.read(governor, "chamberVotes", [proposal.id, BigInt(i)]), tallies[i], at);
        const [against, inFavour, abstain] = tallies[i];
        const quorum = (total * BigInt(QUORUMS[i]) + 9_999n) / 10_000n;
        assert.equal(await chain.read(governor, "chamberQuorum", [BigInt(i), snapshot]), quorum, at);
        if (inFavour + abstain < quorum) short.push([0, i]);
        if (inFavour <= against) short.push([1, i]);
        passes.push(inFavour + abstain >= quorum && inFavour > against);
        assert.equal(await chain.read(governor, "chamberPasses", [proposal.id, BigInt(i)]), passes[i], at);
      }
      const sums = [0, 1, 2].map((support) => tallies[0][support] + tallies[1][support]);
      assert.deepEqual(await chain.read(governor, "proposalVotes", [proposal.id]), sums, at);
      await proposal.close();
      await refuses(proposal.vote(owner, FOR), "GovernorUnexpectedProposalState");
      const expected = passes.every(Boolean) ? "succeeded" : "defeated";
      assert.equal(await proposal.state(), expected, at);
      outcomes[expected] += 1;
      if (short.length === 1) decisive[short[0][0]][short[0][1]] += 1;
      if (expected === "defeated") await refuses(proposal.queue(owner), "GovernorUnexpectedProposalState");
    }
    console.log(`      seed ${seed}: ${JSON.stringify(outcomes)}; alone decided quorums ${decisive[0]}, majorities ${decisive[1]}`);
    if (process.argv.length === 3) {
      assert(outcomes.succeeded > 0, "nothing passed: such votes test little");
      assert(decisive.flat().every((count) => count > 0), "a rule never decided alone: its absence would not be seen");
    }
  },

  async "a chamber without weight passes nothing"() {
    const seats = [];
    for (const name of ["some", "none"]) seats.push(await chain.deploy(owner, artifact("Membership"), [name, of(owner)]));
    await chain.send(owner, seats[0], "enrol", [of(accounts[0]), 1n]);
    const chambers = seats.map(({ address }) => ({ votes: address, quorum: 1 }));
    const rules = { votingDelay: 0, votingPeriod: 100, executionDelay: 0n, proposalThreshold: 0n };
    const governor = await chain.deploy(owner, artifact("ChamberGovernor"), ["Empty", chambers, rules]);
    const proposal = await new Proposal(chain, governor, [action(seats[0], "acceptOwnership")], "Alone").propose(accounts[0]);
    await proposal.open();
    await proposal.vote(accounts[0], FOR);
    await proposal.close();
    assert.equal(await proposal.state(), "defeated");
  },
};

await run(steps);
