//! The cluster's faults with many seeds.

use crate::command::{cargo, run};
use eyre::Result;

/// Options of `cargo xtask simulate`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many seeds each fault is tried with.
    #[arg(long, default_value_t = 10_000)]
    seeds: u64,
    /// The first seed; a failure names the one it was found with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only faults whose name contains this.
    filter: Option<String>,
}

/// Runs `crates/consensus/tests/simplex` for longer than the test suite does. Signatures take most of its time, whose code is the same in
/// every profile; so it is the tests' own, with its checks.
///
/// # Errors
/// When a check fails.
pub(crate) fn simulate(options: &Options) -> Result<()> {
    run(
        &format!("{} seeds from {} on", options.seeds, options.seed),
        cargo()
            .args(["test", "--workspace", "--test", "simplex", "--"])
            .args(&options.filter)
            .env("SYNOD_SEEDS", options.seeds.to_string())
            .env("SYNOD_SEED", options.seed.to_string()),
    )
}
