//! NumPy's `.npz`: a zip archive of `.npy` files, stored or deflated.

use super::npy;
use eyre::{Context as _, Result, ensure};
use std::io::{Cursor, Read as _};
use synod_model::Tensor;

/// The largest array unpacked: a few kilobytes of archive can claim to hold anything.
const MAX_ARRAY_BYTES: u64 = 4 << 30;

/// The arrays of an archive with their names, in the archive's order.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    let mut arrays = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let member = archive.by_index(index)?;
        let Some(name) = member.name()?.strip_suffix(".npy").map(str::to_owned) else {
            continue;
        };
        let mut array = Vec::new();
        member
            .take(MAX_ARRAY_BYTES + 1)
            .read_to_end(&mut array)
            .wrap_err_with(|| format!("array {name:?}"))?;
        ensure!(
            array.len() as u64 <= MAX_ARRAY_BYTES,
            "array {name:?} is larger than any network takes"
        );
        let tensor = npy::read(&array).wrap_err_with(|| format!("array {name:?}"))?;
        arrays.push((name, tensor));
    }
    ensure!(!arrays.is_empty(), "it holds no arrays");
    Ok(arrays)
}
