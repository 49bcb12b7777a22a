// Against a real chain, where the network is. In other terminals:
//
//   synod dev
//   synod model publish model.onnx --name template/wine --dim 'batch<=128'
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { network } from "hardhat";

/** Measurements as the network takes them: big-endian single-precision floats. */
function packed(values: number[]): `0x${string}` {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeFloatBE(value, 4 * i));
  return `0x${bytes.toString("hex")}`;
}

const { viem, networkHelpers } = await network.create("synod");
const lines = readFileSync(new URL("../sample.csv", import.meta.url), "utf8").trim().split("\n");
const glass = packed(lines.at(-1)!.split(",").map(Number));
const deployed = async () => await viem.deployContract("Tasting", ["template/wine"]);

describe("Tasting", () => {
  it("counts what the network finds", async () => {
    const tasting = await networkHelpers.loadFixture(deployed);
    const { result: label } = await tasting.simulate.taste([glass]);
    await tasting.write.taste([glass]);
    await tasting.write.taste([glass]);
    assert.equal(await tasting.read.found([label]), 2n);
    const events = await tasting.getEvents.Tasted();
    assert.equal(events.at(-1)?.args.label, label);
  });

  it("is told why an input is refused", async () => {
    const tasting = await networkHelpers.loadFixture(deployed);
    // WrongInputLength(52, 1), an error of IPredict.
    await assert.rejects(tasting.write.taste(["0x00"]), /reverted/);
  });
});
