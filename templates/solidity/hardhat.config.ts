import networkHelpers from "@nomicfoundation/hardhat-network-helpers";
import nodeTestRunner from "@nomicfoundation/hardhat-node-test-runner";
import viem from "@nomicfoundation/hardhat-viem";
import { defineConfig } from "hardhat/config";

export default defineConfig({
  plugins: [viem, networkHelpers, nodeTestRunner],
  solidity: {
    version: "0.8.37",
    // Without a network: the compiler of the npm package `solc`.
    path: process.env.SOLC,
    settings: { optimizer: { enabled: true, runs: 1000 }, evmVersion: "osaka" },
  },
  networks: {
    synod: {
      type: "http",
      chainType: "l1",
      url: process.env.SYNOD_URL ?? "http://127.0.0.1:8545",
      accounts: "remote",
    },
  },
});
