//! ONNX's own node tests, generated from the pinned `onnx` package.

use crate::{
    clients,
    command::{command, root, run, target},
};
use eyre::Result;
use std::path::PathBuf;

/// Generates the tests into `target/onnx-node-tests` unless they are there; returns the folder.
///
/// # Errors
/// When Python or the `onnx` package fails.
pub(crate) fn generate() -> Result<PathBuf> {
    let folder = target().join("onnx-node-tests");
    let done = folder.join(".complete");
    if !done.exists() {
        let python = clients::python()?;
        let script = root().join("testing/onnx-node-tests/generate.py");
        run(
            "generate ONNX's node tests",
            command(python).arg(script).arg(&folder),
        )?;
        std::fs::write(done, "")?;
    }
    Ok(folder)
}
