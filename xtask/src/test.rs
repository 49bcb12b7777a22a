//! Every test, in one command.

use crate::{
    clients,
    command::{cargo, command, run},
    contracts, cross, onnx_runtime, onnx_tests, regen,
};
use eyre::{Result, WrapErr};
use std::process::{Child, Stdio};

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// The build of the workspace's tests beside what else they need, most of which waits for the network; ended when dropped. What it would
/// say, the tests' own run says.
struct Build(Child);

impl Build {
    fn begin() -> Result<Self> {
        let build = cargo()
            .args(["test", "--workspace", "--no-run", "--quiet"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .wrap_err("build the tests: cannot start cargo")?;
        Ok(Build(build))
    }

    /// Waits until it is done, well or not.
    fn end(mut self) -> Result<()> {
        eprintln!("==> build the tests, which began at the start");
        self.0.wait().wrap_err("build the tests")?;
        Ok(())
    }
}

impl Drop for Build {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Installs the clients, checks the contract artefacts and fuzzes the contracts, generates ONNX's node tests, asks ONNX Runtime about trained and random models,
/// runs the workspace's tests, and the golden vectors on emulated processors.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn all(options: &Options) -> Result<()> {
    let build = Build::begin()?;
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
    build.end()?;
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
