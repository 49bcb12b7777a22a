//! Every test, in one command.

use crate::{
    clients,
    command::{cargo, command, run},
    contracts, cross, onnx_runtime, onnx_tests, regen,
};
use eyre::Result;

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// Installs the clients, checks the contract artefacts and fuzzes the contracts, generates ONNX's node tests, asks ONNX Runtime about trained and random models,
/// runs the workspace's tests, and the golden vectors on emulated processors.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn all(options: &Options) -> Result<()> {
    let python = clients::install()?;
    contracts::build(&contracts::Options { check: true })?;
    run(
        "fuzz tests and invariants of the contracts",
        command("node").arg("contracts/forge.mjs"),
    )?;
    let node_tests = onnx_tests::generate()?;
    let real_models = onnx_runtime::real_models()?;
    let fuzz_cases = onnx_runtime::fuzz_cases()?;
    let real_tokenizers = regen::real_tokenizers()?;
    run(
        "tests of the workspace",
        cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(&options.filter)
            .env("SYNOD_ONNX_NODE_TESTS", node_tests)
            .env("SYNOD_REAL_MODELS", real_models)
            .env("SYNOD_ONNXRUNTIME_FUZZ", fuzz_cases)
            .env("SYNOD_REAL_TOKENIZERS", real_tokenizers)
            .env("SYNOD_PYTHON", python),
    )?;
    if options.filter.is_none() {
        cross::check_built()?;
    }
    Ok(())
}
