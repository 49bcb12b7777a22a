//! The golden vectors on other machines: x86-64 with fewer instructions and aarch64, emulated by QEMU.
//!
//! Emulation shows what a processor computes, not how fast. x86-64 runs the binary of this toolchain; for aarch64 Debian's
//! `rustc-web` brings the standard library that a rustup installation may not have. Debian packages are installed if this
//! process is root's; otherwise they have to be there.

use crate::command::{cargo, command, root, run, target};
use eyre::{Result, WrapErr, bail, ensure};
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// What emulation needs, as Debian calls it (12 and later).
const PACKAGES: &[&str] = &[
    "rustc-web",
    "libstd-rust-web-dev:arm64",
    "gcc-aarch64-linux-gnu",
    "libc6-dev-arm64-cross",
    "qemu-user",
];

/// The same, as files that must be there afterwards.
const FILES: &[&str] = &[
    "/usr/bin/rustc",
    "/usr/lib/rustlib/aarch64-unknown-linux-gnu/lib",
    "/usr/bin/aarch64-linux-gnu-gcc",
    "/usr/bin/qemu-aarch64",
    "/usr/bin/qemu-x86_64",
];

const AARCH64: &str = "aarch64-unknown-linux-gnu";

/// A processor that is emulated.
struct Machine {
    name: &'static str,
    emulator: &'static [&'static str],
    /// The target to build for; this toolchain's own if there is none.
    target: Option<&'static str>,
    threads: &'static str,
}

const MACHINES: &[Machine] = &[
    Machine {
        name: "x86-64 without FMA and AVX",
        emulator: &["qemu-x86_64", "-cpu", "max,-avx,-avx2,-fma"],
        target: None,
        threads: "1,3",
    },
    Machine {
        name: "x86-64 with AVX2",
        emulator: &["qemu-x86_64", "-cpu", "max"],
        target: None,
        threads: "1,3",
    },
    Machine {
        name: "aarch64",
        emulator: &["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"],
        target: Some(AARCH64),
        // QEMU 7.2 hangs on aarch64 with several threads.
        threads: "1",
    },
];

/// Options of `cargo xtask cross`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Run the vectors' program as it was built before.
    #[arg(long)]
    built: bool,
}

/// Builds the vectors' program, and runs the golden vectors on every machine, this one first.
///
/// # Errors
/// If a bit differs, a build fails, or, where the environment has `CI`, emulation is not possible.
pub(crate) fn cross(options: &Options) -> Result<()> {
    if !options.built {
        run(
            "build the vectors' program",
            cargo().args(["build", "--package", "synod-vectors"]),
        )?;
    }
    if cfg!(not(all(target_arch = "x86_64", target_os = "linux"))) {
        return skip("it runs on x86-64 Linux only");
    }
    if let Err(why) = install() {
        return skip(&format!("{why:#}"));
    }
    let native = target().join("debug/synod-vectors");
    let emulated = target().join("cross");
    run(
        "build it for aarch64 with Debian's rustc",
        cargo()
            .args([
                "build",
                "--package",
                "synod-vectors",
                "--target",
                AARCH64,
                "--target-dir",
            ])
            .arg(&emulated)
            .env("RUSTC", "/usr/bin/rustc")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env(
                "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER",
                "aarch64-linux-gnu-gcc",
            ),
    )?;
    let here = check("this machine", command(&native).args(["check"]))?;
    for machine in MACHINES {
        let binary = match machine.target {
            Some(target) => emulated.join(target).join("debug/synod-vectors"),
            None => native.clone(),
        };
        let mut emulator = command(machine.emulator[0]);
        emulator
            .args(&machine.emulator[1..])
            .arg(binary)
            .args(["check", "--threads", machine.threads])
            .arg(root().join("vectors"));
        let there = check(machine.name, &mut emulator)?;
        ensure!(
            there == here,
            "{}: the hash of all results is {there}, on this machine {here}",
            machine.name
        );
    }
    eprintln!("==> the same bits on all machines: {here}");
    Ok(())
}

/// Runs the program; gives the one hash that all its arithmetics agree on.
fn check(machine: &str, command: &mut Command) -> Result<String> {
    eprintln!("==> golden vectors on {machine}");
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .wrap_err_with(|| format!("cannot start {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().for_each(|line| eprintln!("    {line}"));
    ensure!(output.status.success(), "{machine}: {}", output.status);
    // the first line counts, each of the others is a hash and what gave it
    let mut hashes: Vec<&str> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split(' ').next())
        .collect();
    hashes.sort_unstable();
    hashes.dedup();
    match hashes[..] {
        [one] => Ok(one.to_owned()),
        _ => bail!("{machine}: its arithmetics differ"),
    }
}

/// Says loudly that nothing was shown; on a machine of continuous integration that is a failure.
fn skip(why: &str) -> Result<()> {
    if std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false") {
        bail!("other processors cannot be emulated here: {why}");
    }
    eprintln!("==> NOT RUN: the golden vectors on other processors. {why}");
    eprintln!(
        "    To run them: dpkg --add-architecture arm64 && apt-get install {}",
        PACKAGES.join(" ")
    );
    Ok(())
}

/// Installs the packages, unless they are there.
fn install() -> Result<()> {
    let missing = || FILES.iter().find(|file| !Path::new(file).exists());
    let Some(first) = missing() else {
        return Ok(());
    };
    let user = Command::new("id").arg("-u").output().map(|output| output.stdout);
    ensure!(
        matches!(user, Ok(id) if id == b"0\n") && Path::new("/usr/bin/apt-get").exists(),
        "{first} is missing, and only root can install it with apt-get"
    );
    run(
        "packages of arm64",
        Command::new("dpkg").args(["--add-architecture", "arm64"]),
    )?;
    run(
        "list of packages",
        Command::new("apt-get").args(["update", "-qq"]),
    )?;
    run(
        "compiler and emulator",
        Command::new("apt-get")
            .args(["install", "-qq", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()),
    )?;
    match missing() {
        Some(file) => bail!("{file} is missing although its package was installed"),
        None => Ok(()),
    }
}
