//! `synod model …`

mod change;
mod compare;
mod diff;
mod diff_run;
mod draw;
mod engine;
mod import;
mod inspect;
mod list;
mod log;
mod profile;
mod publish;
mod pull;
mod quantize;
mod run;
mod trace;

pub(crate) use engine::{Engine, EngineArgs};
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
    /// Make a network of 8-bit integers of one of floats, with what it loses in accuracy and saves in size and gas
    Quantize(quantize::QuantizeArgs),
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
    /// Show a name's versions, what points at them, and every change
    Log(log::LogArgs),
    /// Show what differs between two models, files or versions on the chain: signature, graph, weights, bytes, gas
    Diff(diff::DiffArgs),
    /// Make a bare name stand for another version
    Latest(change::LatestArgs),
    /// Make an alias stand for a version, or for nothing
    Alias(change::AliasArgs),
    /// Advise against a version; it runs as before
    Deprecate(change::StatusArgs),
    /// Undo a deprecation
    Restore(change::RestoreArgs),
    /// End a version, for ever: predictions by name are refused
    Revoke(change::StatusArgs),
    /// Offer a model or a namespace to another account
    Transfer(change::TransferArgs),
    /// Take a model or a namespace that was offered
    Accept(change::AcceptArgs),
}

pub(crate) fn run(command: ModelCommand, form: Form) -> Result<()> {
    match command {
        ModelCommand::Import(args) => import::run(&args, form),
        ModelCommand::Inspect(args) => block_on(inspect::run(args, form)),
        ModelCommand::Quantize(args) => quantize::run(&args, form),
        ModelCommand::Publish(args) => block_on(publish::run(args, form)),
        ModelCommand::Run(args) => run::run(&args, form),
        ModelCommand::Compare(args) => compare::run(&args, form),
        ModelCommand::DiffRun(args) => diff_run::run(&args, form),
        ModelCommand::Pull(args) => block_on(pull::run(args, form)),
        ModelCommand::List(args) => block_on(list::run(args, form)),
        ModelCommand::Log(args) => block_on(log::run(args, form)),
        ModelCommand::Diff(args) => block_on(diff::run(args, form)),
        ModelCommand::Latest(args) => block_on(change::latest(args, form)),
        ModelCommand::Alias(args) => block_on(change::alias(args, form)),
        ModelCommand::Deprecate(args) => block_on(change::deprecate(args, form)),
        ModelCommand::Restore(args) => block_on(change::restore(args, form)),
        ModelCommand::Revoke(args) => block_on(change::revoke(args, form)),
        ModelCommand::Transfer(args) => block_on(change::transfer(args, form)),
        ModelCommand::Accept(args) => block_on(change::accept(args, form)),
    }
}
