//! Running other programs: every chore says what it runs and stops at the first failure.

use eyre::{Result, WrapErr, bail};
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
        .to_path_buf()
}

/// Cargo's build folder, which also holds what chores install.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A command that runs in the root of the workspace.
///
/// It gets nothing of what `cargo run` tells this program of itself: build scripts look at that (`ring`'s does), so a cargo that a
/// chore starts, by whatever name, would build half of the workspace anew after the same command was given in a shell.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    let of_a_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(of_a_package) {
            command.env_remove(name);
        }
    }
    command
}

/// `cargo` of the toolchain that runs this chore.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` to its end, telling what it is and how long it took; fails unless it succeeds.
///
/// # Errors
/// When the program can't be started or ends with another status than 0.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    eprintln!("==> {what}");
    let start = Instant::now();
    let status = command.status().wrap_err_with(|| {
        format!(
            "{what}: cannot start {:?}; is it installed?",
            command.get_program()
        )
    })?;
    if !status.success() {
        bail!("{what}: {:?} ended with {status}", command.get_program());
    }
    eprintln!("    {what}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
