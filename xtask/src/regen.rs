//! Files that are committed although a program makes them: makes them again.

use crate::{
    clients,
    command::{command, root, run},
};
use eyre::{Result, WrapErr};
use std::path::PathBuf;

/// Trains and exports the scikit-learn models of `testing/sklearn`; exports the PyTorch networks of `testing/exports`; saves the Keras
/// models of `testing/keras`.
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
