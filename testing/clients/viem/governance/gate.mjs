// The gate: what it takes as an exam, how it scores, what it lets pass. Usage: node gate.mjs HTTP_URL
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { concatHex, encodeFunctionResult, numberToHex, toHex } from "viem";
import { artifact, connect, engine, heldOut, publishVariant, registry, synod, testData } from "../../../../examples/fleet/governance.mjs";
import { generator, refuses, run } from "../steps.mjs";

const url = process.argv[2];
assert(url, "usage: node gate.mjs HTTP_URL");
const chain = await connect(url);
const [owner, engineer, controller, stranger] = [0, 1, 2, 9].map((index) => chain.account(index));
const of = (wallet) => wallet.account.address;
const example = (name) => fileURLToPath(new URL(`../../../../examples/${name}/model.onnx`, import.meta.url));
const publish = (wallet, file, name) => synod(wallet, url, "model", "publish", file, "--dim", "batch<=64", "--name", name).id;
const name = "gate/ride";
const samples = heldOut();
const gateOf = (exam, open = false) => chain.deploy(owner, artifact("AccuracyGate"), [name, of(controller), open, exam]);
const scoreAll = async (gate, id, count = 64n) => {
  for (let scored = 0n; scored < samples.length; ) [scored] = (await chain.send(stranger, gate, "score", [id, count])).events.map(({ args }) => args.scored);
};

const steps = {
  async "an exam that is none is refused"() {
    this.id = publish(owner, example("fleet"), name);
    const data = testData(samples);
    this.chunks = await chain.store(stranger, data);
    assert.equal(this.chunks.length, 4);
    this.exam = { chunks: this.chunks, inputBytes: 600n, classes: 2, threshold: 9_812 };
    const refused = (change, error) => refuses(gateOf({ ...this.exam, ...change }), error);
    await refused({ threshold: 0 }, "ThresholdOutOfRange");
    await refused({ threshold: 10_001 }, "ThresholdOutOfRange");
    await refused({ chunks: [] }, "EmptyTestSet");
    await refused({ inputBytes: 0n }, "EmptyTestSet");
    await refused({ classes: 1 }, "ClassesOutOfRange");
    await refused({ classes: 65_537 }, "ClassesOutOfRange");
    await refused({ inputBytes: 601n }, "WrongTestSetLength");
    await refused({ inputBytes: 2n ** 64n - 1n }, "WrongTestSetLength");
    await refused({ chunks: [of(stranger)] }, "InvalidTestChunk");
    await refused({ chunks: [registry.address] }, "InvalidTestChunk");
    await refused({ chunks: [...this.chunks.slice(1), this.chunks[0]] }, "WrongChunkLength");
    await refused({ chunks: [this.chunks[0], this.chunks[3], this.chunks[2]] }, "WrongChunkLength");
    // The same bytes at another address are no chunk: their address does not follow from them.
    const code = await chain.client.getCode({ address: this.chunks[3] });
    const copy = await chain.deploy(stranger, { abi: [], bytecode: concatHex(["0x600b5981380380925939f3", code]) });
    assert.equal(await chain.client.getCode({ address: copy.address }), code);
    await refused({ chunks: [...this.chunks.slice(0, 3), copy.address] }, "InvalidTestChunk");
    // A label that no class has.
    const wrong = await chain.store(stranger, testData([...samples.slice(0, 3), { ...samples[3], label: 2 }]));
    await refused({ chunks: wrong }, "LabelOutOfRange");
  },

  async "samples are read as they were stored, across chunks"() {
    this.gate = await gateOf(this.exam);
    for (const [i, { input, label }] of samples.entries()) {
      assert.deepEqual(await chain.read(this.gate, "sampleAt", [BigInt(i)]), [toHex(input), BigInt(label)], `sample ${i}`);
    }
    // Samples of uneven length in small chunks: every way of lying across them.
    const odd = Array.from({ length: 11 }, (_, i) => ({ label: i % 3, input: Uint8Array.from({ length: 7 }, (_, j) => i * 7 + j) }));
    const data = testData(odd);
    const chunks = [];
    for (let at = 0; at < data.length; at += 4) chunks.push(...(await chain.store(stranger, data.subarray(at, at + 4))));
    const gate = await gateOf({ chunks, inputBytes: 7n, classes: 3, threshold: 1 });
    for (const [i, { input, label }] of odd.entries()) {
      assert.deepEqual(await chain.read(gate, "sampleAt", [BigInt(i)]), [toHex(input), BigInt(label)], `odd sample ${i}`);
    }
  },

  async "the score is what `classify` says of each sample, however it is cut"() {
    let right = 0;
    for (const { input, label } of samples) {
      const [said] = await chain.read(engine, "classifyId", [this.id, toHex(input)]);
      if (said === BigInt(label)) right += 1;
    }
    assert.equal(right, 157, "as score.json has it");
    await refuses(chain.send(stranger, this.gate, "score", [this.id, 0n]), "NothingToScore");
    const { below } = generator(1);
    let scored = 0n;
    while (scored < 160n) {
      const count = BigInt(1 + below(50));
      const { events } = await chain.send(stranger, this.gate, "score", [this.id, count]);
      const { args } = events[0];
      assert.equal(args.scored, scored + count > 160n ? 160n : scored + count);
      scored = args.scored;
      const prefix = await chain.read(this.gate, "scoreOf", [this.id]);
      assert.deepEqual(prefix, [args.scored, args.correct]);
    }
    assert.deepEqual(await chain.read(this.gate, "scoreOf", [this.id]), [160n, 157n]);
    // No second chance.
    await refuses(chain.send(stranger, this.gate, "score", [this.id, 1n]), "AlreadyScored");
  },

  async "a model that does not fit the test set has no score"() {
    const wine = publish(engineer, example("cellar"), "engineer/wine");
    await refuses(chain.send(stranger, this.gate, "score", [wine, 1n]), "WrongClassCount");
    const three = await gateOf({ ...this.exam, classes: 3 });
    await refuses(chain.send(stranger, three, "score", [wine, 1n]), "WrongFreeInputLength");
    // Two windows as one input are a batch of two for the model, whose answer is not that to one sample.
    const pairs = [0, 2].map((i) => ({ label: 0, input: Buffer.concat([samples[i].input, samples[i + 1].input]) }));
    const doubled = await gateOf({ ...this.exam, chunks: await chain.store(stranger, testData(pairs)), inputBytes: 1_200n });
    await refuses(chain.send(stranger, doubled, "score", [this.id, 1n]), "WrongAnswerLength");
    await refuses(chain.send(stranger, this.gate, "score", [`0x${"11".repeat(32)}`, 1n]), "UnknownModelId");
    await refuses(chain.send(stranger, this.gate, "score", [this.id, 2n ** 256n - 1n]), "AlreadyScored");
    assert.deepEqual(await chain.read(this.gate, "scoreOf", [wine]), [0n, 0n]);
    await refuses(chain.read(this.gate, "requirePass", [wine]), "NotScored");
    this.wine = wine;
  },

  async "functions: anybody's, the controller's, and what each may do"() {
    const { gate, id, wine, exam } = this;
    const only = "OwnableUnauthorizedAccount";
    const table = {
      accept: [[], "NotPendingOwner"],
      score: [[id, 1n], "AlreadyScored"],
      activate: [[id], only],
      setExam: [[exam], only],
      setAlias: [["stable", 1n], only],
      removeAlias: [["stable"], only],
      deprecate: [[1n, "no"], only],
      restore: [[1n], only],
      revoke: [[1n, "no"], only],
      transferModel: [[of(stranger)], only],
      transferOwnership: [[of(stranger)], only],
      acceptOwnership: [[], only],
      renounceOwnership: [[], only],
    };
    const writing = gate.abi.filter(({ type, stateMutability }) => type === "function" && stateMutability === "nonpayable");
    assert.deepEqual(writing.map((f) => f.name).sort(), Object.keys(table).sort(), "every function that writes is in the table");
    for (const who of [stranger, owner]) {
      for (const [name, [args, expected]] of Object.entries(table)) {
        assert.equal(await chain.refused(who, gate, name, args), expected, name);
      }
    }
    // The controller can't do more than the owner of the model: the gate has not got it yet.
    await refuses(chain.send(controller, gate, "deprecate", [1n, "no"]), "NotModelOwner");
    await chain.send(owner, registry, "transferModel", [name, gate.address]);
    await chain.send(stranger, gate, "accept");
    assert.equal(await chain.read(registry, "modelOwner", [name]), gate.address);
    // Nor get past the exam.
    await refuses(chain.send(controller, gate, "activate", [wine]), "NotScored");
    await chain.send(controller, gate, "activate", [id]);
    assert.equal(await chain.read(registry, "versionOf", [name]), 1n);
    await chain.send(controller, gate, "setAlias", ["stable", 1n]);
    await refuses(chain.send(controller, gate, "setAlias", ["stable", 2n]), "UnknownVersion");
    await chain.send(controller, gate, "removeAlias", ["stable"]);
    await chain.send(controller, gate, "deprecate", [1n, "old"]);
    await chain.send(controller, gate, "restore", [1n]);
  },

  async "the threshold counts to the last sample, and scores stay with their test set"() {
    const { gate, id, exam } = this;
    await chain.send(controller, gate, "setExam", [{ ...exam, threshold: 9_813 }]); // 157 of 160 are 98.125 %
    await refuses(chain.send(controller, gate, "activate", [id]), "BelowThreshold");
    await chain.send(controller, gate, "setExam", [{ ...exam, threshold: 9_812 }]);
    await chain.send(controller, gate, "activate", [id]);
    // Another test set: nothing is known of the model.
    const hard = samples.filter((_, i) => [0, 128, 151, 154].includes(i)); // it gets all but the first wrong
    const chunks = await chain.store(stranger, testData(hard));
    await chain.send(controller, gate, "setExam", [{ ...exam, chunks, threshold: 2_500 }]);
    assert.deepEqual(await chain.read(gate, "scoreOf", [id]), [0n, 0n]);
    await refuses(chain.send(controller, gate, "activate", [id]), "NotScored");
    await chain.send(stranger, gate, "score", [id, 2n ** 256n - 1n]);
    assert.deepEqual(await chain.read(gate, "scoreOf", [id]), [4n, 1n]);
    await chain.send(controller, gate, "activate", [id]); // a quarter is a quarter
    await chain.send(controller, gate, "setExam", [{ ...exam, chunks, threshold: 2_501 }]);
    await refuses(chain.send(controller, gate, "activate", [id]), "BelowThreshold");
    await refuses(chain.send(controller, gate, "setAlias", ["stable", 1n]), "BelowThreshold");
    // The first test set again, and its scores with it. Other classes are another test set.
    await chain.send(controller, gate, "setExam", [exam]);
    assert.deepEqual(await chain.read(gate, "scoreOf", [id]), [160n, 157n]);
    await chain.send(controller, gate, "setExam", [{ ...exam, classes: 3 }]);
    assert.deepEqual(await chain.read(gate, "scoreOf", [id]), [0n, 0n]);
    await chain.send(controller, gate, "setExam", [exam]);
    // The controller may end a version, and give the model away.
    await chain.send(controller, gate, "revoke", [1n, "over"]);
    await refuses(chain.send(controller, gate, "activate", [id]), "VersionRevoked");
    await chain.send(controller, gate, "transferModel", [of(controller)]);
    await chain.send(controller, registry, "acceptModel", [name]);
    await refuses(chain.send(controller, gate, "activate", [id]), "NotModelOwner");
  },

  async "an open gate lets anybody activate what passes and is better, and nothing else"() {
    const name = "gate/open";
    await chain.send(owner, registry, "publishId", ["gate/again", this.id]);
    const lenient = publishVariant(owner, url, "gate/again@1", name, -Math.log(64)); // 151 of 160
    const careless = publishVariant(engineer, url, `${name}@1`, "engineer/careless", -100); // 80 of 160
    const exam = { ...this.exam, threshold: 9_400 };
    const gate = await chain.deploy(owner, artifact("AccuracyGate"), [name, of(controller), true, exam]);
    await chain.send(owner, registry, "transferModel", [name, gate.address]);
    await chain.send(stranger, gate, "accept");
    await refuses(chain.send(stranger, gate, "activate", [this.id]), "NotScored");
    await scoreAll(gate, this.id);
    await refuses(chain.send(stranger, gate, "activate", [this.id]), "NotScored"); // the active one is not
    await scoreAll(gate, lenient);
    const { events } = await chain.send(stranger, gate, "activate", [this.id]);
    assert.equal(events.find(({ eventName }) => eventName === "Activated").args.version, 2n);
    assert.equal(await chain.read(registry, "versionOf", [name]), 2n);
    assert.equal((await chain.read(registry, "versionAt", [name, 2n])).id, this.id);
    // Not back, not again, not to what does not pass: only the owner may go back, to what passes.
    for (const id of [lenient, this.id]) await refuses(chain.send(stranger, gate, "activate", [id]), "NotBetter");
    await scoreAll(gate, careless);
    await refuses(chain.send(stranger, gate, "activate", [careless]), "NotBetter");
    await refuses(chain.send(controller, gate, "activate", [careless]), "BelowThreshold");
    await refuses(chain.send(owner, gate, "revoke", [2n, "mine"]), "OwnableUnauthorizedAccount");
    await chain.send(controller, gate, "activate", [lenient]);
    assert.equal(await chain.read(registry, "versionOf", [name]), 1n);
  },

  async "labels follow from packed scores of every type"() {
    const harness = await chain.deploy(stranger, artifact("AnswersHarness"));
    const signature = (outputs) =>
      encodeFunctionResult({ abi: engine.abi, functionName: "signatureId", result: [[], outputs] });
    const port = (dtype, ...sizes) => ({
      name: "scores",
      dtype,
      shape: sizes.map((size) => (typeof size === "string" ? { symbol: size, size: 64n } : { symbol: "", size: BigInt(size) })),
    });
    const label = (outputs, answer) => chain.read(harness, "label", [signature(outputs), answer]);
    // Types of which JavaScript knows the numbers, with random scores and ties.
    const kinds = [
      [1, 4, "setFloat32", (g) => (g.below(7) - 3) / 4],
      [11, 8, "setFloat64", (g) => (g.below(7) - 3) * 1e-300],
      [2, 1, "setUint8", (g) => g.below(256)],
      [3, 1, "setInt8", (g) => g.below(256) - 128],
      [4, 2, "setUint16", (g) => g.below(65_536)],
      [5, 2, "setInt16", (g) => g.below(65_536) - 32_768],
      [6, 4, "setInt32", (g) => g.below(5) - 2],
      [12, 4, "setUint32", (g) => g.next()],
      [7, 8, "setBigInt64", (g) => BigInt(g.below(9) - 4) << 40n],
      [13, 8, "setBigUint64", (g) => BigInt(g.next()) << 32n],
    ];
    const g = generator(2);
    for (const [dtype, width, set, draw] of kinds) {
      for (let round = 0; round < 12; round += 1) {
        const classes = 2 + g.below(6);
        const values = Array.from({ length: classes }, () => draw(g));
        const bytes = new DataView(new ArrayBuffer(classes * width));
        values.forEach((value, i) => bytes[set](i * width, value));
        const best = values.reduce((found, value, i) => (value > values[found] ? i : found), 0);
        const answer = toHex(new Uint8Array(bytes.buffer));
        assert.equal(await label([port(dtype, "batch", classes)], answer), BigInt(best), `type ${dtype}: ${values}`);
      }
    }
    // Halves, by their bits: -inf < -1 < -0 = 0 < the smallest < 1.
    const halves = (dtype, ...bits) => [[port(dtype, 1, bits.length)], concatHex(bits.map((b) => numberToHex(b, { size: 2 })))];
    for (const [dtype, one] of [[10, 0x3c00], [16, 0x3f80]]) {
      assert.equal(await label(...halves(dtype, 0x8000 | one, 0x8000, 0)), 1n, "zeros are equal");
      assert.equal(await label(...halves(dtype, 0, 1, 0x8001)), 1n);
      assert.equal(await label(...halves(dtype, 1, one, 0x8000 | one)), 1n);
    }
    // No label without an order.
    for (const [dtype, bits] of [[10, 0x7c00], [10, 0xfe00], [16, 0x7f80], [16, 0xffc0]]) {
      await refuses(label(...halves(dtype, 0, bits)), "ScoreNotFinite");
    }
    await refuses(label([port(1, 2)], "0x000000007f800000"), "ScoreNotFinite");
    await refuses(label([port(1, 2)], "0x7fc0000000000000"), "ScoreNotFinite");
    await refuses(label([port(11, 2)], `0x${"00".repeat(8)}fff0000000000000`), "ScoreNotFinite");
    // The first floating-point output has the scores, wherever it is; else the first output.
    const outputs = [port(7, 1), port(1, "n", 3), port(1, 3)];
    const answer = concatHex(["0x0000000000000063", "0x3f8000004000000000000000", "0x000000000000000041000000"]);
    assert.equal(await label(outputs, answer), 1n);
    const form = await chain.read(harness, "layoutOf", [signature(outputs)]);
    assert.deepEqual([form.length, form.offset, form.width, form.classes, form.dtype], [32n, 8n, 4n, 3n, 1]);
    assert.equal(await label([port(2, 3), port(3, 2)], "0x0507060900"), 1n);
    await refuses(label([port(1, 3)], "0x3f80000040000000"), "WrongAnswerLength");
    await refuses(label([port(1, 2, 3)], `0x${"00".repeat(24)}`), "NotAClassifier");
    await refuses(label([port(8, 3)], "0x000000"), "UnsupportedScores");
    await refuses(label([], "0x"), "NotAClassifier");
  },
};

await run(steps);
