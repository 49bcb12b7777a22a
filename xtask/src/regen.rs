//! Files that are committed although a program makes them: makes them again.

use crate::{
    clients,
    command::{command, root, run},
};
use eyre::{Result, WrapErr};

/// Trains and exports the scikit-learn models of `testing/sklearn`; exports the PyTorch networks of `testing/exports`.
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
    let models = root().join("testing/exports/models");
    if models.exists() {
        std::fs::remove_dir_all(&models).wrap_err_with(|| format!("cannot empty {}", models.display()))?;
    }
    run(
        "export the networks of testing/exports",
        command(python)
            .arg(root().join("testing/exports/export_torch.py"))
            .arg(models),
    )
}
