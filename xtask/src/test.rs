//! Every test, in one command.

use crate::{
    clients,
    command::{cargo, command, run, target},
    contracts, onnx_runtime, onnx_tests, regen,
};
use eyre::{Result, WrapErr, ensure};
use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Options of `cargo xtask test`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// A program beside other chores; ended when dropped.
struct Aside(Child);

impl Aside {
    fn begin(what: &str, command: &mut Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .wrap_err_with(|| format!("{what}: cannot start {:?}", command.get_program()))?;
        Ok(Aside(child))
    }

    /// Waits for it; whether all went well.
    fn end(mut self, what: &str) -> Result<bool> {
        Ok(self.0.wait().wrap_err_with(|| what.to_owned())?.success())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // it may have ended
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Begins the build of the workspace's tests beside what else they need, most of which waits for the network. What it would say, the
/// tests' own run says.
fn begin_build() -> Result<Aside> {
    let mut build = cargo();
    build
        .args(["test", "--workspace", "--no-run", "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Aside::begin("build the tests", &mut build)
}

/// The golden vectors on emulated processors, beside the tests, of which those of clusters mostly wait: when these leave it a
/// processor.
struct Emulation {
    chore: Aside,
    says: PathBuf,
}

impl Emulation {
    fn begin() -> Result<Self> {
        let says = target().join("cross.log");
        let log = File::create(&says).wrap_err_with(|| format!("cannot write {}", says.display()))?;
        let mut chore = command("nice");
        chore
            .args(["-n", "19"])
            .arg(std::env::current_exe().wrap_err("this program has no path")?)
            .args(["cross", "--built"])
            .stdout(Stdio::null())
            .stderr(log);
        let chore = Aside::begin("golden vectors on other processors", &mut chore)?;
        Ok(Emulation { chore, says })
    }

    /// Waits for it and repeats what it said.
    fn end(self) -> Result<()> {
        let what = "golden vectors on other processors, which began with the tests";
        eprintln!("==> {what}");
        let well = self.chore.end(what)?;
        let says = std::fs::read_to_string(&self.says)
            .wrap_err_with(|| format!("cannot read {}", self.says.display()))?;
        eprint!("{says}");
        ensure!(well, "{what}: see above");
        Ok(())
    }
}

/// Installs the clients, checks the contract artefacts and fuzzes the contracts, generates ONNX's node tests, asks ONNX Runtime about trained and random models,
/// runs the workspace's tests, and beside them the golden vectors on emulated processors.
///
/// # Errors
/// At the first step that fails.
pub(crate) fn all(options: &Options) -> Result<()> {
    let build = begin_build()?;
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
    eprintln!("==> build the tests, which began at the start");
    build.end("build the tests")?;
    let emulation = match options.filter {
        None => Some(Emulation::begin()?),
        Some(_) => None,
    };
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
    emulation.map_or(Ok(()), Emulation::end)
}
