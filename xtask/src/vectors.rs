//! Golden vectors: what is missing is made, what is there is kept.

use crate::command::{cargo, run};
use eyre::Result;

/// Adds to `vectors/` what it lacks: operators that have come, networks, functions.
///
/// # Errors
/// If what is there does not hold, or something cannot be written.
pub(crate) fn make() -> Result<()> {
    run(
        "make the golden vectors that are missing",
        cargo().args(["run", "--package", "synod-vectors", "--", "make"]),
    )
}
