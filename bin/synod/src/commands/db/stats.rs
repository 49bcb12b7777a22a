//! `synod db stats`

use super::folder;
use crate::show::{Form, bytes, table, thousands};
use alloy_primitives::B256;
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_chain::Store;

#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// The node's data folder; the node must be stopped
    #[arg(long, value_name = "DIR", default_value = "synod-data")]
    data_dir: PathBuf,
}

#[derive(Serialize)]
struct Report {
    folder: PathBuf,
    head: Option<Head>,
    /// The oldest block whose state is there; 0 in an archive.
    oldest_state: u64,
    tables: Vec<Table>,
    file_bytes: u64,
    used_bytes: u64,
    /// Of pages and parts of pages that hold nothing.
    free_bytes: u64,
}

#[derive(Serialize)]
struct Head {
    number: u64,
    hash: B256,
    state_root: B256,
}

#[derive(Serialize)]
struct Table {
    name: String,
    entries: u64,
    stored_bytes: u64,
    page_bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.folder.display())?;
        match &self.head {
            Some(head) => writeln!(
                f,
                "block {} {}\nstate root {}, states from block {} on",
                head.number, head.hash, head.state_root, self.oldest_state
            )?,
            None => writeln!(f, "no block")?,
        }
        writeln!(
            f,
            "file {}, {} of it in pages that are used; {} hold nothing ({} %)\n",
            bytes(self.file_bytes),
            bytes(self.used_bytes),
            bytes(self.free_bytes),
            100 * self.free_bytes / self.file_bytes.max(1)
        )?;
        let rows: Vec<_> = self
            .tables
            .iter()
            .map(|table| {
                vec![
                    table.name.clone(),
                    thousands(table.entries),
                    thousands(table.stored_bytes),
                    thousands(table.page_bytes),
                ]
            })
            .collect();
        f.write_str(&table(&["table", "entries", "bytes", "bytes of pages"], &rows))
    }
}

pub(crate) fn run(args: &StatsArgs, form: Form) -> Result<()> {
    let folder = folder(&args.data_dir)?;
    let stats = Store::open(&folder)?.stats()?;
    form.print(&Report {
        folder,
        head: stats.head.map(|head| Head {
            number: head.height,
            hash: head.hash,
            state_root: head.state_root,
        }),
        oldest_state: stats.oldest_state,
        tables: stats
            .tables
            .into_iter()
            .map(|table| Table {
                name: table.name,
                entries: table.entries,
                stored_bytes: table.stored_bytes,
                page_bytes: table.page_bytes,
            })
            .collect(),
        file_bytes: stats.file_bytes,
        used_bytes: stats.used_bytes,
        free_bytes: stats.free_bytes,
    })
}
