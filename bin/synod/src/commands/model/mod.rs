//! `synod model …`

mod compare;
mod diff_run;
mod engine;
mod import;
mod inspect;
mod list;
mod profile;
mod publish;
mod pull;
mod run;
mod trace;

pub(crate) use engine::Engine;
pub(crate) use run::execute;

use super::block_on;
use crate::show::Form;
use clap::Subcommand;
use eyre::Result;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Make an ONNX file of a Keras model (.keras, .h5), and compare it with Keras layer by layer
    Import(import::ImportArgs),
    /// Show what a model file is, needs and costs
    Inspect(inspect::InspectArgs),
    /// Put a model on the chain under a name
    Publish(publish::PublishArgs),
    /// Run a model file here, with the chain's arithmetic: the same bits
    Run(run::RunArgs),
    /// Compare another runtime's outputs with the chain's arithmetic: absolute, relative, in units of the last place
    Compare(compare::CompareArgs),
    /// Find the first node whose bits differ between two arithmetics or two machines
    DiffRun(diff_run::DiffRunArgs),
    /// Fetch a model from the chain and check that it is the one its id names
    Pull(pull::PullArgs),
    /// List the names on the chain
    List(list::ListArgs),
}

pub(crate) fn run(command: ModelCommand, form: Form) -> Result<()> {
    match command {
        ModelCommand::Import(args) => import::run(&args, form),
        ModelCommand::Inspect(args) => block_on(inspect::run(args, form)),
        ModelCommand::Publish(args) => block_on(publish::run(args, form)),
        ModelCommand::Run(args) => run::run(&args, form),
        ModelCommand::Compare(args) => compare::run(&args, form),
        ModelCommand::DiffRun(args) => diff_run::run(&args, form),
        ModelCommand::Pull(args) => block_on(pull::run(args, form)),
        ModelCommand::List(args) => block_on(list::run(args, form)),
    }
}
