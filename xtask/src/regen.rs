//! Files that are committed although a program makes them: makes them again.

use crate::{
    clients,
    command::{command, root, run},
};
use eyre::Result;

/// Trains and exports the scikit-learn models of `testing/sklearn`.
///
/// # Errors
/// When Python or a package fails.
pub(crate) fn regen() -> Result<()> {
    let python = clients::environment("venv-sklearn", &["testing/sklearn/requirements.txt"])?;
    run(
        "train and export the models of testing/sklearn",
        command(python).arg(root().join("testing/sklearn/generate.py")),
    )
}
