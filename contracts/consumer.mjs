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

/** solc's warning about code that no chain would take: governors are too large unless they are optimised. */
const TOO_LARGE = "5574";

const consumer = `
  // SPDX-License-Identifier: MIT
  pragma solidity ^0.8.24;
  import {Predict} from "@synod/contracts/src/Predict.sol";
  import {IPredict} from "@synod/contracts/src/IPredict.sol";
  import {ModelRegistry} from "@synod/contracts/src/ModelRegistry.sol";
  import {AccuracyGate, Exam} from "@synod/contracts/src/governance/AccuracyGate.sol";
  import {ChamberGovernor} from "@synod/contracts/src/governance/ChamberGovernor.sol";
  import {Membership} from "@synod/contracts/src/governance/Membership.sol";
  import {ModelGovernor} from "@synod/contracts/src/governance/ModelGovernor.sol";

  contract Drivers is Membership {
      constructor() Membership("drivers", msg.sender) {}
  }

  contract OpenGate is AccuracyGate {
      constructor(Exam memory exam) AccuracyGate("org/model", msg.sender, true, exam) {}
  }

  contract Consumer {
      ModelRegistry public registry;
      ModelGovernor public governor;
      ChamberGovernor public chambers;
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
      const file = path.startsWith("@openzeppelin/") ? join(here, "node_modules", path) : find(path);
      return { contents: readFileSync(file, "utf8") };
    } catch {
      return { error: `${path} is not in the package` };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const messages = (output.errors ?? []).filter(
    ({ severity, errorCode, sourceLocation }) =>
      severity === "error" || !(errorCode === TOO_LARGE || sourceLocation?.file.startsWith("@openzeppelin/")),
  );
  for (const message of messages) console.error(message.formattedMessage);
  const made = Object.values(output.contracts?.["Consumer.sol"] ?? {});
  if (messages.length > 0 || made.length === 0 || made.some(({ evm }) => !evm.bytecode.object)) {
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
  const extra = readdirSync(join(packed, "src"), { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && entry.name !== "governance",
  );
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
