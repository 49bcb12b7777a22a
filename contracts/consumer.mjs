// Installs this folder as others do, and compiles a contract that imports it.
//
//   node consumer.mjs
//
// What npm would publish is packed, unpacked in a temporary folder, and imported twice: as npm lays packages out
// (node_modules/@synod/contracts) and as forge does (lib/contracts with a remapping). Only packed files can be found, so a file
// that is missing from package.json's `files` fails here, not at a user's.
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const here = dirname(fileURLToPath(import.meta.url));

const consumer = `
  // SPDX-License-Identifier: MIT
  pragma solidity ^0.8.24;
  import {Predict} from "@synod/contracts/src/Predict.sol";
  import {IPredict} from "@synod/contracts/src/IPredict.sol";
  import {ModelRegistry} from "@synod/contracts/src/ModelRegistry.sol";

  contract Consumer {
      ModelRegistry public registry;
      function label(int256[] calldata values) external view returns (uint256 best) {
          (best,) = Predict.classifyFixed("org/model", values, 6);
      }
      function careful(bytes calldata input) external view returns (bytes memory output) {
          try Predict.ENGINE.run("org/model", input) returns (bytes memory found) { output = found; }
          catch (bytes memory reason) {
              if (bytes4(reason) != IPredict.UnknownModel.selector) revert();
          }
      }
  }`;

function compile(layout, remappings, find) {
  const input = {
    language: "Solidity",
    sources: { "Consumer.sol": { content: consumer } },
    settings: { remappings, outputSelection: { "*": { "*": ["evm.bytecode.object"] } } },
  };
  const read = (path) => {
    try {
      return { contents: readFileSync(find(path), "utf8") };
    } catch {
      return { error: `${path} is not in the package` };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const messages = output.errors ?? [];
  for (const message of messages) console.error(message.formattedMessage);
  if (messages.length > 0 || !output.contracts["Consumer.sol"].Consumer.evm.bytecode.object) {
    throw new Error(`a contract that imports the package does not compile as ${layout} installs it`);
  }
}

const temporary = mkdtempSync(join(tmpdir(), "synod-contracts-"));
try {
  execFileSync("npm", ["pack", "--silent", "--pack-destination", temporary], { cwd: here, stdio: ["ignore", "ignore", "inherit"] });
  const [tarball] = readdirSync(temporary);
  execFileSync("tar", ["-xzf", join(temporary, tarball), "-C", temporary]);
  const packed = join(temporary, "package");

  compile("npm", [], (path) => join(packed, path.replace(/^@synod\/contracts\//, "")));
  compile("forge", ["@synod/contracts/=lib/contracts/"], (path) => join(packed, path.replace(/^lib\/contracts\//, "")));

  // The tests' and benchmarks' contracts are no part of the library.
  const extra = readdirSync(join(packed, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  if (extra.length > 0) throw new Error(`the package holds src/${extra[0].name}, which is for this project's own tests`);
  for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) {
    if (readFileSync(join(packed, name), "utf8") !== readFileSync(join(here, "..", name), "utf8")) {
      throw new Error(`contracts/${name} differs from the project's ${name}`);
    }
  }
  console.error("the package installs and compiles as npm and as forge lay it out");
} finally {
  rmSync(temporary, { recursive: true });
}
