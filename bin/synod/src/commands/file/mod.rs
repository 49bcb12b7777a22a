//! `synod file …`

mod get;
mod put;

use super::block_on;
use crate::show::Form;
use clap::Subcommand;
use eyre::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum FileCommand {
    /// Store a file on the chain: a picture for a contract to look at
    Put(put::PutArgs),
    /// Fetch a file from the chain, and check that it is the one that its address stands for
    Get(get::GetArgs),
}

pub(crate) fn run(command: FileCommand, form: Form) -> Result<()> {
    match command {
        FileCommand::Put(args) => block_on(put::run(args, form)),
        FileCommand::Get(args) => block_on(get::run(args, form)),
    }
}
