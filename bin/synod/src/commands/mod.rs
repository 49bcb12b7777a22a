//! The commands, one file each.

mod audit;
mod cluster;
mod completions;
mod db;
mod demo;
mod dev;
mod file;
mod model;
mod node;
mod predict;
mod verify_block;

pub(crate) use audit::Different;
pub(crate) use db::Damaged;
pub(crate) use model::{Engine, execute};
pub(crate) use predict::predict;

use crate::show::Form;
use clap::{Parser, Subcommand};
use eyre::Result;

/// An EVM blockchain whose contracts run neural networks.
#[derive(Debug, Parser)]
#[command(
    name = "synod",
    version,
    about,
    max_term_width = 100,
    propagate_version = true
)]
pub(crate) struct Cli {
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Two trained networks, two contracts that act on their answers, on a chain of their own
    Demo(demo::DemoArgs),
    /// Run a single node for development
    Dev(dev::DevArgs),
    /// Make a cluster of validators, and try it on one machine
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Run a node of a cluster
    Node(node::NodeArgs),
    /// Look after a node's chain on the disk: sizes, checks, pruning, export and import
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Check that a block is final, from the validators' public keys alone
    VerifyBlock(verify_block::VerifyBlockArgs),
    /// Recompute every predict of a past transaction, and say whether the bits agree and who put the weights there
    Audit(audit::AuditArgs),
    /// Look at, publish, run and fetch networks
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Store files on the chain, and fetch them
    #[command(subcommand)]
    File(file::FileCommand),
    /// Ask a network on the chain
    Predict(predict::PredictArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
}

/// Does what the command line asks for.
pub(crate) fn run(cli: Cli) -> Result<()> {
    let form = if cli.json { Form::Json } else { Form::Text };
    match cli.command {
        Command::Demo(args) => block_on(demo::run(args, form)),
        Command::Dev(args) => block_on(dev::run(args, form)),
        Command::Cluster(command) => cluster::run(command, form),
        Command::Node(args) => block_on(node::run(args, form)),
        Command::Db(command) => db::run(command, form),
        Command::VerifyBlock(args) => block_on(verify_block::run(args, form)),
        Command::Audit(args) => audit::run(args, form),
        Command::Model(command) => model::run(command, form),
        Command::File(command) => file::run(command, form),
        Command::Predict(args) => block_on(predict::run(args, form)),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Runs a command that talks to others.
fn block_on(command: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
