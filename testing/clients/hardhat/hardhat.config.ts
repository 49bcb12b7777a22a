import networkHelpers from "@nomicfoundation/hardhat-network-helpers";
import nodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";
import viem from "@nomicfoundation/hardhat-viem";
import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";

export default defineConfig({
  plugins: [viem, networkHelpers, nodeTestRunner],
  solidity: {
    version: "0.8.37",
    path: createRequire(import.meta.url).resolve("solc/soljson.js"),
    npmFilesToBuild: [
      "@openzeppelin/contracts/governance/TimelockController.sol",
      "@openzeppelin/contracts/proxy/ERC1967/ERC1967Proxy.sol",
      "@openzeppelin/contracts/proxy/beacon/BeaconProxy.sol",
      "@openzeppelin/contracts/proxy/beacon/UpgradeableBeacon.sol",
      "@openzeppelin/contracts/proxy/transparent/ProxyAdmin.sol",
      "@openzeppelin/contracts/proxy/transparent/TransparentUpgradeableProxy.sol",
    ],
    settings: { optimizer: { enabled: true, runs: 200 }, evmVersion: "osaka" },
  },
  networks: {
    synod: { type: "http", chainType: "l1", url: process.env.SYNOD_URL!, accounts: "remote" },
  },
});
