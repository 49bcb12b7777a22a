//! What the code must satisfy beside its tests.

use crate::command::{cargo, run};
use eyre::Result;

/// Formatting, clippy and documentation without warnings, then licences and bans where `cargo-deny` is there.
///
/// # Errors
/// At the first of them that complains.
pub(crate) fn check() -> Result<()> {
    run("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    run(
        "clippy",
        cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    )?;
    run(
        "documentation",
        cargo()
            .args(["doc", "--workspace", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    let deny = cargo()
        .args(["deny", "--version"])
        .output()
        .is_ok_and(|out| out.status.success());
    if deny {
        run(
            "licences, bans, sources",
            cargo().args(["deny", "check", "licenses", "bans", "sources"]),
        )
    } else {
        eprintln!("==> licences and bans not checked: `cargo install cargo-deny --locked` brings the tool");
        Ok(())
    }
}
