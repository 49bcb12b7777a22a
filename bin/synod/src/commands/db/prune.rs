//! `synod db prune --keep N`

use super::{ChainArgs, Stages};
use crate::show::{Form, bytes, note, thousands};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, num::NonZeroU64};
use synod_chain::{Pace, Store};

#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    chain: ChainArgs,

    /// How many of the last blocks' states to keep
    #[arg(long, value_name = "BLOCKS")]
    keep: NonZeroU64,

    /// Leave the file as large as it is; what is freed in it is used again. Otherwise what is left is written into another file first, for which
    /// the disk needs room
    #[arg(long)]
    no_compact: bool,
}

#[derive(Serialize)]
struct Report {
    head: u64,
    oldest_state: u64,
    nodes_kept: u64,
    nodes_removed: u64,
    codes_removed: u64,
    bytes_removed: u64,
    file_bytes_before: u64,
    file_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "states of blocks {} to {} are kept: {} trie nodes stay, {} and {} codes are gone ({})",
            self.oldest_state,
            self.head,
            thousands(self.nodes_kept),
            thousands(self.nodes_removed),
            thousands(self.codes_removed),
            bytes(self.bytes_removed)
        )?;
        writeln!(
            f,
            "the file had {} and has {}",
            bytes(self.file_bytes_before),
            bytes(self.file_bytes)
        )
    }
}

pub(crate) fn run(args: &PruneArgs, form: Form) -> Result<()> {
    let folder = args.chain.folder()?;
    let file = folder.join("state.redb");
    let file_bytes_before = std::fs::metadata(&file)?.len();
    let chain = args.chain.open()?;
    let head = chain.head().number();
    let mut stages = Stages::default();
    let report = chain.prune(args.keep.get(), Pace::ALONE, &mut |progress| {
        stages.show(progress)
    })?;
    stages.finish();
    drop(chain);
    if !args.no_compact {
        note("making the file smaller");
        Store::compact(&folder)?;
    }
    form.print(&Report {
        head,
        oldest_state: report.oldest,
        nodes_kept: report.nodes_kept,
        nodes_removed: report.nodes_removed,
        codes_removed: report.codes_removed,
        bytes_removed: report.bytes_removed,
        file_bytes_before,
        file_bytes: std::fs::metadata(&file)?.len(),
    })
}
