//! `synod cluster`

mod council;
mod folder;
mod init;
mod join;
mod key;
mod up;

use crate::show::Form;
use clap::Subcommand;
use eyre::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Make a genesis file, keys and a folder for each validator
    Init(init::InitArgs),
    /// Make keys and a folder for a validator that is to join a running cluster
    Join(join::JoinArgs),
    /// Show or change what the validators decide together: who votes, who may do what, upgrades
    Council(council::CouncilArgs),
    /// Run all validators of a cluster as processes on this machine, to try it
    Up(up::UpArgs),
    /// Encrypt a validator's key file, decrypt it, or print its public parts
    #[command(subcommand)]
    Key(key::KeyCommand),
}

pub(crate) fn run(command: ClusterCommand, form: Form) -> Result<()> {
    match command {
        ClusterCommand::Init(args) => init::run(args, form),
        ClusterCommand::Join(args) => join::run(args, form),
        ClusterCommand::Council(args) => super::block_on(council::run(args, form)),
        ClusterCommand::Up(args) => super::block_on(up::run(args, form)),
        ClusterCommand::Key(command) => key::run(command, form),
    }
}
