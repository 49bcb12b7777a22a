#!/usr/bin/env node
// Runs the fuzz tests and invariants in contracts/test with forge, if npm has its binary for this machine.
//
//   node forge.mjs [forge test's options]
//
// forge wants a compiler that it can call; the pinned one is a library for Node. So forge is given this very file as its compiler, which answers
// as solc does to the two things that forge asks of it.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(import.meta.url);
const here = dirname(file);
const options = process.argv.slice(2);

if (options.includes("--version") || options.includes("--standard-json")) {
  const solc = createRequire(file)("solc");
  if (options.includes("--version")) {
    console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
  } else {
    process.stdout.write(solc.compile(readFileSync(0, "utf8")));
  }
} else {
  const packages = join(here, "../testing/clients/node_modules/@foundry-rs");
  const names = existsSync(packages) ? readdirSync(packages) : [];
  const forge = names.filter((name) => name.startsWith("forge-")).map((name) => join(packages, name, "bin/forge")).find(existsSync);
  if (!forge) {
    console.error("no forge for this machine in testing/clients/node_modules: its tests of the contracts were not run");
  } else {
    execFileSync("chmod", ["+x", file]);
    const { status } = spawnSync(forge, ["test", "--root", here, "--use", file, "--offline", ...options], { stdio: "inherit" });
    process.exitCode = status ?? 1;
  }
}
