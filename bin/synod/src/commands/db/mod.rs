//! `synod db …`: a node's chain on the disk, while the node does not run.

mod check;
mod export;
mod import;
mod prune;
mod stats;

pub(crate) use check::Damaged;

use crate::{
    genesis_file,
    show::{Bar, Form},
};
use clap::{Args, Subcommand};
use eyre::{Result, WrapErr as _, bail};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};
use synod_chain::{Chain, ChainSpec, Progress};

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Say how large the chain is on the disk, and what of it
    Stats(stats::StatsArgs),
    /// Check that all that is stored fits together: hashes, roots, states, indices
    Check(check::CheckArgs),
    /// Forget the states of old blocks; blocks and receipts stay
    Prune(prune::PruneArgs),
    /// Write the chain into a file, with the state after its last block if asked
    Export(export::ExportArgs),
    /// Take up a chain from a file
    Import(import::ImportArgs),
}

pub(crate) fn run(command: DbCommand, form: Form) -> Result<()> {
    match command {
        DbCommand::Stats(args) => stats::run(&args, form),
        DbCommand::Check(args) => check::run(&args, form),
        DbCommand::Prune(args) => prune::run(&args, form),
        DbCommand::Export(args) => export::run(&args, form),
        DbCommand::Import(args) => import::run(&args, form),
    }
}

/// Where a chain is, and which.
#[derive(Debug, Args)]
struct ChainArgs {
    /// The node's data folder; the node must be stopped
    #[arg(long, value_name = "DIR", default_value = "synod-data")]
    data_dir: PathBuf,

    /// The chain's genesis file; without it the development chain
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,
}

/// Where the database is: the folder itself, or `chain` in it, as nodes of clusters have it.
fn folder(data_dir: &Path) -> Result<PathBuf> {
    let candidates = [data_dir.to_path_buf(), data_dir.join("chain")];
    let found = candidates
        .into_iter()
        .find(|folder| folder.join("state.redb").is_file());
    match found {
        Some(folder) => Ok(folder),
        None => bail!(
            "{} has no chain: name a node's data folder with --data-dir",
            data_dir.display()
        ),
    }
}

impl ChainArgs {
    fn folder(&self) -> Result<PathBuf> {
        folder(&self.data_dir)
    }

    fn spec(&self) -> Result<ChainSpec> {
        match &self.genesis {
            Some(file) => genesis_file::read(file),
            None => Ok(ChainSpec::dev()),
        }
    }

    fn open(&self) -> Result<Arc<Chain>> {
        let folder = self.folder()?;
        Chain::open(&folder, self.spec()?)
            .wrap_err_with(|| format!("cannot open the chain in {}", folder.display()))
    }
}

/// Shows how far long work is, a bar for each stage.
#[derive(Default)]
struct Stages(Option<(&'static str, u64, Bar)>);

impl Stages {
    fn show(&mut self, progress: Progress) -> ControlFlow<()> {
        let Progress { stage, done, total } = progress;
        if self.0.as_ref().is_none_or(|(shown, ..)| *shown != stage) {
            self.finish();
            self.0 = Some((stage, 0, Bar::count(stage, total)));
        }
        if let Some((_, before, bar)) = &mut self.0 {
            bar.advance(done.saturating_sub(*before));
            *before = done;
        }
        ControlFlow::Continue(())
    }

    fn finish(&mut self) {
        if let Some((.., bar)) = self.0.take() {
            bar.finish();
        }
    }
}
