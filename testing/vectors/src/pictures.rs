//! Pictures: what they decode to, resized, and as tensors. Their arithmetic (`docs/spec/image.md`) has one implementation for all machines.

use crate::golden::Golden;
use eyre::{Result, WrapErr, bail};
use std::path::Path;

/// Checks every picture, resizing and tensor of `pictures/golden.json` in `folder`; says how many they are.
///
/// # Errors
/// If any differs, naming them.
pub fn check(folder: &Path) -> Result<usize> {
    let folder = folder.join("pictures");
    let golden = Golden::read(&folder).wrap_err_with(|| format!("cannot read {}", folder.display()))?;
    let wrong = [
        golden.wrong_pictures(&folder),
        golden.wrong_sizes(),
        golden.wrong_tensors(&folder),
    ]
    .concat();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(golden.pictures.len() + golden.resized.len() + golden.rules.len())
}
