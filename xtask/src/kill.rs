//! `kill -9`, a thousand times, at seeded instants.

use crate::command::{cargo, run};
use eyre::Result;

/// Options of `cargo xtask kill`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How many times the node is killed.
    #[arg(long, default_value_t = 1_000)]
    kills: u64,
    /// The seed of the instants; a failure names the one it was found with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the durability test of `bin/synod/tests/durability` for longer than the test suite does.
///
/// # Errors
/// When a check fails.
pub(crate) fn kill(options: &Options) -> Result<()> {
    run(
        &format!("{} kills with seed {}", options.kills, options.seed),
        cargo()
            .args(["test", "--workspace", "--test", "durability", "--", "--nocapture"])
            .env("SYNOD_KILLS", options.kills.to_string())
            .env("SYNOD_SEED", options.seed.to_string()),
    )
}
