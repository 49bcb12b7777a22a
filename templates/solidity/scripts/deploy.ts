import { network } from "hardhat";

const { viem } = await network.create();
const tasting = await viem.deployContract("Tasting", ["template/wine"]);
console.log(`Tasting is at ${tasting.address}`);
