//! Chores of the project: `cargo xtask help` lists them.
//!
//! Everything that needs more than `cargo` lives here, so that a person and a continuous-integration
//! machine do the same thing by the same name. What a chore needs beyond Rust (npm and pip packages) it
//! installs into `target/` or a `node_modules/` beside the lock file that pins it; nothing is installed
//! for the whole machine.

mod bench;
mod bench_engine;
mod bench_text;
mod calibrate;
mod clients;
mod command;
mod contracts;
mod cross;
mod exhaustive;
mod kill;
mod lint;
mod onnx_runtime;
mod onnx_tests;
mod quantize;
mod regen;
mod sanitize;
mod simulate;
mod test;
mod vectors;

use clap::{Parser, Subcommand};

/// The command line of `cargo xtask`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Chores of the Synod project")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

/// One chore each.
#[derive(Debug, Subcommand)]
enum Chore {
    /// Run every test, installing what the tests need beyond Rust.
    Test(test::Options),
    /// Formatting, clippy, documentation warnings, licences and bans.
    Lint,
    /// Compile the Solidity contracts into `contracts/artifacts`, or check the committed ones.
    Contracts(contracts::Options),
    /// Measure predict, RPC beside anvil, publishing and start-up, into `docs/benchmarks.md`; `bench engine` measures the engine alone.
    Bench(bench::Options),
    /// Measure gas against time for every operator, into `docs/gas-calibration.md`.
    Calibrate,
    /// Kill a busy node a thousand times and ask whether anything seen was lost.
    Kill(kill::Options),
    /// Kill validators of a cluster of processes under load for ten minutes, and ask whether anything was lost.
    Soak(bench::SoakOptions),
    /// Run the cluster's faults in the simulator with thousands of seeds.
    Simulate(simulate::Options),
    /// Install the client programs that end-to-end tests drive (viem, web3.py, cast).
    Clients,
    /// Generate ONNX's own node tests into `target/onnx-node-tests`.
    OnnxTests,
    /// Make the fixtures again that programs made: scikit-learn's models.
    Regen,
    /// Add to `vectors/`, the golden models, what is missing.
    Vectors,
    /// Run the golden vectors on emulated processors: x86-64 without FMA and AVX, and aarch64.
    Cross(cross::Options),
    /// Try all 2^32 inputs of the correctly rounded functions against independent oracles.
    Exhaustive(exhaustive::Options),
    /// Run the kernels' tests under an address sanitizer (needs a nightly toolchain).
    Sanitize,
}

fn main() {
    let result = match Cli::parse().chore {
        Chore::Test(options) => test::all(&options),
        Chore::Lint => lint::check(),
        Chore::Contracts(options) => contracts::build(&options),
        Chore::Bench(options) => bench::bench(&options),
        Chore::Calibrate => calibrate::calibrate(),
        Chore::Kill(options) => kill::kill(&options),
        Chore::Soak(options) => bench::soak(&options),
        Chore::Simulate(options) => simulate::simulate(&options),
        Chore::Clients => clients::install().map(drop),
        Chore::OnnxTests => onnx_tests::generate().map(drop),
        Chore::Regen => regen::regen(),
        Chore::Vectors => vectors::make(),
        Chore::Cross(options) => cross::cross(&options),
        Chore::Exhaustive(options) => exhaustive::exhaustive(&options),
        Chore::Sanitize => sanitize::sanitize(),
    };
    if let Err(error) = result {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}
