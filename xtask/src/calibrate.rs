//! Gas against time: measures every operator and step with the release profile and writes `docs/gas-calibration.md`.
//!
//! The measuring program is an example of `synod-evm`, so that this crate builds quickly. Its figures are judged by people: a
//! case below 100 Mgas/s calls for another constant in `crates/evm/src/gas.rs`, or for a faster kernel.

use crate::command::{cargo, command, root, run, target};
use eyre::{Result, WrapErr};

/// Builds, measures, writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn calibrate() -> Result<()> {
    run(
        "build with the release profile",
        cargo().args([
            "build",
            "--release",
            "--package",
            "synod-evm",
            "--example",
            "calibrate",
        ]),
    )?;
    let path = root().join("docs/gas-calibration.md");
    let report = std::fs::File::create(&path).wrap_err_with(|| format!("cannot write {}", path.display()))?;
    let mut measure = command(target().join("release/examples/calibrate"));
    run(
        "measure (a quiet machine gives the best figures)",
        measure.stdout(report),
    )
}
