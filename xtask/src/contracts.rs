//! Solidity: compile with the pinned compiler, or check that the committed artefacts are what it makes.

use crate::{
    clients,
    command::{command, root, run},
};
use eyre::Result;

/// Options of `cargo xtask contracts`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Compile, compare with the committed artefacts, and fail where they differ; write nothing.
    #[arg(long)]
    pub(crate) check: bool,
}

/// Runs `contracts/build.mjs`.
///
/// # Errors
/// When npm or the compiler fails, or the artefacts differ.
pub(crate) fn build(options: &Options) -> Result<()> {
    clients::npm(&root().join("contracts"))?;
    let mut build = command("node");
    build.arg("contracts/build.mjs");
    if options.check {
        build.arg("--check");
    }
    run(
        if options.check {
            "contract artefacts match their sources"
        } else {
            "compile the contracts"
        },
        &mut build,
    )?;
    if options.check {
        run(
            "the contracts install as a package",
            command("node").arg("contracts/consumer.mjs"),
        )?;
    }
    Ok(())
}
