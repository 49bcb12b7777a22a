// Compiles every contract of the project with the pinned solc and writes one artefact each.
//
//   node build.mjs            contracts/src -> contracts/artifacts, examples/*/*.sol -> examples/*/artifacts
//   node build.mjs --check    changes nothing; fails if a committed artefact differs from what its source gives
//
// Artefacts are committed, so that building the node needs no compiler for Solidity. The metadata hash is left out of the
// bytecode: it would change with every comment, and the registry's code is part of the genesis state.
import { createRequire } from "node:module";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const solc = createRequire(import.meta.url)("solc");
const contractsDir = dirname(fileURLToPath(import.meta.url));
const rootDir = resolve(contractsDir, "..");
const check = process.argv.includes("--check");

const settings = {
  optimizer: { enabled: true, runs: 1000 },
  evmVersion: "osaka",
  metadata: { appendCBOR: false, bytecodeHash: "none" },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

/** All files below `dir` with this extension, in a fixed order. */
function sources(dir, extension) {
  if (!existsSync(dir)) return [];
  return readdirSync(dir, { recursive: true })
    .filter((name) => name.endsWith(extension) && !name.includes("node_modules"))
    .sort()
    .map((name) => join(dir, name));
}

/** Imports are relative, or begin with the package's own name or that of one which it depends on. */
function findImport(path) {
  const file = path.startsWith("@synod/contracts/")
    ? join(contractsDir, path.slice("@synod/contracts/".length))
    : path.startsWith("@")
      ? join(contractsDir, "node_modules", path)
      : join(rootDir, path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `${path} not found` };
}

/** Compiles files in one run and returns [source file, contract name, artefact] for each contract defined in them. */
function compile(language, files, extra = {}) {
  if (files.length === 0) return [];
  const names = files.map((file) => relative(rootDir, file));
  const input = {
    language,
    sources: Object.fromEntries(files.map((file, i) => [names[i], { content: readFileSync(file, "utf8") }])),
    settings: { ...settings, ...extra },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
  // Warnings about packages that we depend on are their authors' business.
  const messages = (output.errors ?? []).filter(
    ({ severity, sourceLocation }) => severity === "error" || !sourceLocation?.file.startsWith("@"),
  );
  for (const message of messages) console.error(message.formattedMessage ?? message.message);
  if (messages.some((message) => message.severity === "error")) process.exit(1);
  return names.flatMap((name, i) =>
    Object.entries(output.contracts[name] ?? {}).map(([contract, { abi, evm }]) => [
      files[i],
      contract,
      {
        contractName: contract,
        sourceName: name,
        compiler: solc.version(),
        abi: abi ?? [],
        bytecode: "0x" + evm.bytecode.object,
        deployedBytecode: "0x" + (evm.deployedBytecode?.object ?? ""),
      },
    ]),
  );
}

/** The folder that holds the artefacts of a source file. */
function artefactDir(file) {
  return file.startsWith(join(contractsDir, "src")) ? join(contractsDir, "artifacts") : join(dirname(file), "artifacts");
}

const examples = join(rootDir, "examples");
const solidity = [
  ...sources(join(contractsDir, "src"), ".sol"),
  ...(existsSync(examples)
    ? readdirSync(examples, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .flatMap((entry) => readdirSync(join(examples, entry.name)).filter((f) => f.endsWith(".sol")).sort()
          .map((f) => join(examples, entry.name, f)))
    : []),
];
const artefacts = compile("Solidity", solidity);
// solc takes one Yul file a run.
for (const file of sources(join(contractsDir, "src"), ".yul")) artefacts.push(...compile("Yul", [file]));

const wanted = new Map();
for (const [file, contract, artefact] of artefacts) {
  const path = join(artefactDir(file), `${contract}.json`);
  if (wanted.has(path)) {
    console.error(`two contracts are called ${contract}: ${wanted.get(path).sourceName} and ${artefact.sourceName}`);
    process.exit(1);
  }
  wanted.set(path, artefact);
}

const present = [...new Set([...wanted.keys()].map(dirname))]
  .filter(existsSync)
  .flatMap((dir) => readdirSync(dir).filter((f) => f.endsWith(".json")).map((f) => join(dir, f)));
const stale = present.filter((path) => !wanted.has(path));
const changed = [...wanted].filter(([path, artefact]) => {
  const text = JSON.stringify(artefact, null, 2) + "\n";
  return !existsSync(path) || readFileSync(path, "utf8") !== text;
});

if (check) {
  for (const path of stale) console.error(`${relative(rootDir, path)}: its source is gone`);
  for (const [path] of changed) console.error(`${relative(rootDir, path)}: differs from its source`);
  if (stale.length + changed.length > 0) {
    console.error("run `node contracts/build.mjs` and commit the result");
    process.exit(1);
  }
  console.error(`${wanted.size} artefacts match their sources`);
} else {
  for (const path of stale) rmSync(path);
  for (const [path, artefact] of changed) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, JSON.stringify(artefact, null, 2) + "\n");
    console.error(`wrote ${relative(rootDir, path)} (${basename(artefact.sourceName)})`);
  }
}
