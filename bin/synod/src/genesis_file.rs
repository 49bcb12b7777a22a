//! Genesis files that the command line names.

use eyre::{Context as _, Result};
use std::{fs, path::Path};
use synod_chain::ChainSpec;

/// The chain of a genesis file.
pub(crate) fn read(path: &Path) -> Result<ChainSpec> {
    Ok(read_text(path)?.0)
}

/// The same with the file's text.
pub(crate) fn read_text(path: &Path) -> Result<(ChainSpec, String)> {
    let text = fs::read_to_string(path)
        .wrap_err_with(|| format!("cannot read the genesis file {}", path.display()))?;
    let spec =
        ChainSpec::from_json(&text).wrap_err_with(|| format!("{} is no genesis file", path.display()))?;
    Ok((spec, text))
}
