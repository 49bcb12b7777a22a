//! Benchmarks, in one run, into `docs/benchmarks.md`.

use crate::{
    bench_engine, clients,
    command::{cargo, command, root, run, target},
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
}

/// Builds with the release profile, runs everything beside anvil, writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(options: &Options) -> Result<()> {
    if let Some(Part::Engine(options)) = &options.part {
        return bench_engine::bench(options);
    }
    clients::npm(&root().join("testing/bench"))?;
    run(
        "build with the release profile",
        cargo().args(["build", "--release", "--workspace"]),
    )?;
    let release = target().join("release");
    let mut bench = command(release.join("synod-bench"));
    bench
        .arg("--synod")
        .arg(release.join("synod"))
        .arg("--root")
        .arg(root());
    bench
        .args(["--publish", &options.publish])
        .arg("--output")
        .arg(root().join("docs/benchmarks.md"));
    let anvil = root().join(ANVIL);
    if anvil.exists() {
        bench.arg("--anvil").arg(anvil);
    }
    run("benchmarks", &mut bench)
}
