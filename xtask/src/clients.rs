//! The client programs of the end-to-end tests, pinned by lock files.
//!
//! viem, ethers, Hardhat, cast and forge come from npm into `testing/clients/node_modules` (viem for the fleet's vote into `examples/fleet/node_modules`); web3.py and the ONNX package come from pip
//! into a virtual environment at `target/venv`. A stamp of the lock files' contents makes a second call free.

use crate::command::{command, root, run, target};
use eyre::{Result, WrapErr};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

/// Folders with a `package-lock.json`.
const NPM: &[&str] = &["contracts", "testing/clients", "examples/fleet"];
/// Files that pin pip packages.
const PIP: &[&str] = &[
    "testing/clients/web3py/requirements.txt",
    "testing/onnx-node-tests/requirements.txt",
];

/// Installs everything that is not there yet, and returns the Python interpreter of the virtual environment.
///
/// # Errors
/// When npm, python3 or pip is missing or fails.
pub(crate) fn install() -> Result<PathBuf> {
    for folder in NPM {
        npm(&root().join(folder))?;
    }
    python()
}

/// Installs the packages that `folder/package-lock.json` pins.
///
/// # Errors
/// When npm is missing or fails.
pub(crate) fn npm(folder: &Path) -> Result<()> {
    once(
        &folder.join("node_modules/.stamp"),
        &[folder.join("package-lock.json")],
        || {
            run(
                &format!(
                    "npm ci in {}",
                    folder.strip_prefix(root()).unwrap_or(folder).display()
                ),
                command("npm")
                    .args(["ci", "--no-audit", "--no-fund"])
                    .current_dir(folder),
            )
        },
    )
}

/// A virtual environment with every pinned pip package; returns its interpreter.
///
/// # Errors
/// When python3 or pip is missing or fails.
pub(crate) fn python() -> Result<PathBuf> {
    environment("venv", PIP)
}

/// A Python environment in `target/` with what these files pin.
///
/// # Errors
/// When python3 or pip is missing or fails.
pub(crate) fn environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    install_into(name, requirements, &[])
}

/// A Python environment in `target/` with just the packages that these files pin: nothing that those depend on.
///
/// # Errors
/// When python3 or pip is missing or fails.
pub(crate) fn exact_environment(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    install_into(name, requirements, &["--no-deps"])
}

fn install_into(name: &str, requirements: &[&str], options: &[&str]) -> Result<PathBuf> {
    let venv = target().join(name);
    let interpreter = venv.join("bin/python");
    let requirements: Vec<PathBuf> = requirements.iter().map(|file| root().join(file)).collect();
    once(&venv.join(".stamp"), &requirements, || {
        run(
            "create a Python environment",
            command("python3").args(["-m", "venv"]).arg(&venv),
        )?;
        let mut pip = command(&interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(options);
        for file in &requirements {
            pip.arg("-r").arg(file);
        }
        run("pip install the pinned packages", &mut pip)
    })?;
    Ok(interpreter)
}

/// Installs what a file pins into the environment of an interpreter, without what the packages depend on: for packages of which
/// only files are wanted.
///
/// # Errors
/// When pip fails.
pub(crate) fn packages_alone(interpreter: &Path, requirements: &str) -> Result<()> {
    let file = root().join(requirements);
    let stamp = interpreter.with_file_name(".stamp-packages-alone");
    once(&stamp, std::slice::from_ref(&file), || {
        let mut pip = command(interpreter);
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "-r",
        ]);
        run("pip install packages alone", pip.arg(&file))
    })
}

/// Calls `install` unless `stamp` says that it succeeded for the present contents of `inputs`.
pub(crate) fn once(stamp: &Path, inputs: &[PathBuf], install: impl FnOnce() -> Result<()>) -> Result<()> {
    let mut hasher = DefaultHasher::new();
    for input in inputs {
        std::fs::read(input)
            .wrap_err_with(|| format!("cannot read {}", input.display()))?
            .hash(&mut hasher);
    }
    let want = format!("{:016x}", hasher.finish());
    if std::fs::read_to_string(stamp).is_ok_and(|have| have == want) {
        return Ok(());
    }
    install()?;
    std::fs::write(stamp, want).wrap_err_with(|| format!("cannot write {}", stamp.display()))
}
