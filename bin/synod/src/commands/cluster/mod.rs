//! `synod cluster`

mod init;
mod up;

use crate::show::Form;
use clap::Subcommand;
use eyre::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make a genesis file, keys and a folder for each validator
    Init(init::InitArgs),
    /// Run all validators of a cluster as processes on this machine, to try it
    Up(up::UpArgs),
}

pub(crate) fn run(command: ClusterCommand, form: Form) -> Result<()> {
    match command {
        ClusterCommand::Init(args) => init::run(args, form),
        ClusterCommand::Up(args) => super::block_on(up::run(args, form)),
    }
}
