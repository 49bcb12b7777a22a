//! Benchmarks, in one run, into `docs/benchmarks.md`.

use crate::{
    bench_engine, bench_text, clients,
    command::{cargo, command, root, run, target},
    quantize,
};
use eyre::Result;

/// Where npm puts anvil's binary on this kind of machine.
const ANVIL: &str = "testing/bench/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil";

/// Options of `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Megabytes of weights of the networks that are published.
    #[arg(long, default_value = "14,100")]
    publish: String,
    /// What to measure, if not the node.
    #[command(subcommand)]
    part: Option<Part>,
}

/// A benchmark of its own.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Measure the engine beside ONNX Runtime, OpenVINO and tract, into `docs/benchmarks-engine.md`.
    Engine(bench_engine::Options),
    /// Measure pipelines: a translator beside ONNX Runtime, texts and pictures in transactions, into `docs/benchmarks-text.md`.
    Text(bench_text::Options),
    /// Measure a cluster of four processes on this machine, into `docs/benchmarks-cluster.md`.
    Cluster,
    /// Measure calls and transactions over RPC beside anvil into `docs/benchmarks.md`, beside what is there.
    Rpc,
    /// Measure large states (time of a root, memory, disk, export and import) into `docs/benchmarks.md`, beside what is there.
    State(StateOptions),
    /// Quantise trained networks and measure what that costs and saves, into `docs/benchmarks-quantization.md`.
    Quantize,
}

/// Options of `cargo xtask bench state`.
#[derive(Debug, clap::Args)]
struct StateOptions {
    /// Accounts of the states.
    #[arg(long, default_value = "100000,1000000")]
    accounts: String,
}

/// Options of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct SoakOptions {
    /// How long, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// The seed of the kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Builds `synod` and the benchmarks with the release profile; the command line begins with what both need.
fn release() -> Result<std::process::Command> {
    run(
        "build with the release profile",
        cargo().args(["build", "--release", "-p", "synod", "-p", "synod-bench"]),
    )?;
    let release = target().join("release");
    let mut bench = command(release.join("synod-bench"));
    bench.arg("--synod").arg(release.join("synod"));
    bench.arg("--root").arg(root());
    Ok(bench)
}

/// Kills validators of a cluster under load, and asks whether anything was lost.
///
/// # Errors
/// When something was.
pub(crate) fn soak(options: &SoakOptions) -> Result<()> {
    let mut bench = release()?;
    bench.args(["--soak", &options.seconds.to_string()]);
    bench.args(["--seed", &options.seed.to_string()]);
    bench.arg("--output").arg("-");
    run("soak", &mut bench)
}

/// Builds with the release profile, runs everything beside anvil, writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(options: &Options) -> Result<()> {
    match &options.part {
        Some(Part::Engine(options)) => return bench_engine::bench(options),
        Some(Part::Text(options)) => return bench_text::bench(options),
        Some(Part::Quantize) => return quantize::bench(),
        Some(Part::Cluster) => {
            let mut bench = release()?;
            bench.arg("--cluster");
            bench
                .arg("--output")
                .arg(root().join("docs/benchmarks-cluster.md"));
            return run("benchmarks of a cluster", &mut bench);
        }
        Some(Part::Rpc) => {
            clients::npm(&root().join("testing/bench"))?;
            let mut bench = release()?;
            bench.arg("--rpc");
            bench.arg("--output").arg(root().join("docs/benchmarks.md"));
            beside_anvil(&mut bench);
            return run("benchmarks of RPC", &mut bench);
        }
        Some(Part::State(options)) => {
            let mut bench = release()?;
            bench.args(["--state", "--accounts", &options.accounts]);
            bench.arg("--output").arg(root().join("docs/benchmarks.md"));
            return run("benchmarks of large states", &mut bench);
        }
        None => {}
    }
    clients::npm(&root().join("testing/bench"))?;
    let mut bench = release()?;
    bench
        .args(["--publish", &options.publish])
        .arg("--output")
        .arg(root().join("docs/benchmarks.md"));
    beside_anvil(&mut bench);
    run("benchmarks", &mut bench)
}

/// Lets the benchmarks compare with anvil, on machines for which npm has it.
fn beside_anvil(bench: &mut std::process::Command) {
    let anvil = root().join(ANVIL);
    if anvil.exists() {
        bench.arg("--anvil").arg(anvil);
    }
}
