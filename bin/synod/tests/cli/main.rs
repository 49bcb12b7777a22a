//! The command line as a script sees it: exit code, stdout, stderr.
//!
//! Each test runs the real binary. Whatever is wrong with what a user gives, the answer is one line on stderr that begins
//! with `error:` and says what to do, an empty stdout and a non-zero exit code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod bad_models;
mod chain;
mod db;
mod demo;
mod keras;
mod pipelines;
mod quantize;
mod run;
mod second_implementation;
mod tools;
mod usage;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// What a run of `synod` left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `synod` without anything of the environment that could name a node or a key.
pub(crate) fn synod<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synod"));
    for name in [
        "ETH_RPC_URL",
        "ETH_PRIVATE_KEY",
        "ETH_MNEMONIC",
        "ETH_KEYSTORE",
        "ETH_KEYSTORE_ACCOUNT",
        "ETH_PASSWORD",
    ] {
        command.env_remove(name);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
    Ran {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

impl Ran {
    /// The command did its job; gives its stdout.
    #[track_caller]
    pub(crate) fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "stderr: {}", self.stderr);
        self.stdout
    }

    /// The command refused with one line that has all of `parts` in it.
    #[track_caller]
    pub(crate) fn refuses(self, parts: &[&str]) {
        assert_eq!(
            self.code,
            Some(1),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        assert_eq!(self.stdout, "", "nothing but results goes to stdout");
        let errors: Vec<&str> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error:"))
            .collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        assert_eq!(
            self.stderr.lines().last(),
            Some(errors[0]),
            "the error comes last"
        );
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        for part in parts {
            assert!(errors[0].contains(part), "{part:?} is missing in: {}", errors[0]);
        }
    }
}

/// A file of the worked examples.
pub(crate) fn example(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(path)
}

/// The path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("paths of the tests are UTF-8")
}
