//! `synod completions SHELL`

use super::Cli;
use crate::show::print_raw;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use eyre::Result;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "synod", &mut script);
    print_raw(&String::from_utf8(script)?)
}
