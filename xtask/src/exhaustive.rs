//! The correctly rounded functions on every input there is.

use crate::command::{cargo, run};
use eyre::Result;

/// Options of `cargo xtask exhaustive`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Functions to try: exp, tanh, erf, log, sigmoid, sin, cos, gelu, gelutanh, …; all if none is named
    functions: Vec<String>,
}

/// Compares each function with CORE-MATH (sigmoid with 300-bit arithmetic) at all 2^32 inputs, and its fast form for many elements, if it
/// has one, with it on every instruction set: minutes for each.
///
/// # Errors
/// If one result differs.
pub(crate) fn exhaustive(options: &Options) -> Result<()> {
    run(
        "every input of every function",
        cargo()
            .args([
                "run",
                "--release",
                "--package",
                "synod-numerics",
                "--example",
                "exhaustive",
                "--",
            ])
            .args(&options.functions),
    )
}
