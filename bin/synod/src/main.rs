//! The `synod` command.
//!
//! Contract with scripts: the result of a command goes to stdout and nothing else does; `--json` changes its form, not
//! its content; notes, progress and errors go to stderr; an error is one line that begins with `error:` and says what to
//! do; the exit code is 0 only if the command did its job (2: it was not understood, 1: it failed, 3: the
//! chain goes on under rules that this build does not know, so starting it again is of no use, 4: an audit was made and the
//! bits differ, 5: a chain on the disk was checked and is damaged).

mod client;
mod commands;
mod demo;
mod genesis_file;
mod logging;
mod model_file;
mod outputs;
mod passphrase;
mod show;
mod tensors;

use clap::Parser as _;
use mimalloc::MiMalloc;
use std::process::ExitCode;
use synod_chain::{ChainError, UnknownProtocol};

/// A node allocates small things on many threads at once (requests, transactions, nodes of the trie), which the C library's
/// allocator is slow at.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    use_small_pages();
    let cli = commands::Cli::parse();
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            show::note(format_args!("error: {}", one_line(&error)));
            if needs_upgrade(&error) {
                ExitCode::from(3)
            } else if error.is::<commands::Different>() {
                ExitCode::from(4)
            } else if error.is::<commands::Damaged>() {
                ExitCode::from(5)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Has memory come in pages of 4 KiB where the kernel would give 2 MiB.
///
/// The allocator asks for huge pages. A node that makes blocks hands memory back and takes it again many times a second, and
/// each time the kernel clears 2 MiB of which a fraction is used: a tenth of a burst's time. Networks run as fast without.
fn use_small_pages() {
    // A kernel that refuses gives what it gives: slower, not wrong.
    #[cfg(target_os = "linux")]
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
}

fn needs_upgrade(error: &eyre::Report) -> bool {
    let unknown = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(ChainError::Upgrade(_))) || cause.is::<UnknownProtocol>()
    };
    error.chain().any(unknown)
}

/// An error with its causes, on one line.
fn one_line(error: &eyre::Report) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        // Some errors already repeat their cause.
        if line.ends_with(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use eyre::{WrapErr as _, eyre};

    #[test]
    fn errors_are_one_line_and_do_not_repeat_themselves() {
        let error = Err::<(), _>(eyre!("no such\n  file"))
            .wrap_err("cannot read x")
            .unwrap_err();
        assert_eq!(one_line(&error), "cannot read x: no such file");
        let repeated = Err::<(), _>(eyre!("inner")).wrap_err("outer: inner").unwrap_err();
        assert_eq!(one_line(&repeated), "outer: inner");
    }
}
