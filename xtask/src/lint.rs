//! What the code must satisfy beside its tests.

use crate::command::{cargo, root, run, target};
use eyre::Result;

/// Packages of fuzz targets: outside the workspace, so nothing else compiles them.
const FUZZ_PACKAGES: &[&str] = &["crates/model/fuzz", "crates/evm/fuzz", "crates/chain/fuzz"];

/// Formatting, clippy and documentation without warnings, fuzz targets that compile, then licences and bans where `cargo-deny` is there.
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
    for package in FUZZ_PACKAGES {
        run(
            &format!("fuzz targets of {package}"),
            cargo()
                .arg("check")
                .current_dir(root().join(package))
                .env("CARGO_TARGET_DIR", target().join("fuzz")),
        )?;
    }
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
