//! `synod db check`

use super::{ChainArgs, Stages};
use crate::show::{Form, thousands};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_chain::{Chain, CheckReport, Finding, StateError, Store};

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    chain: ChainArgs,
}

/// A check was made, and something is wrong.
#[derive(Debug, thiserror::Error)]
#[error(
    "the chain in {} is damaged in {wrong} places: take a copy from another node (synod db export --state), or begin with an empty folder and follow",
    folder.display()
)]
pub(crate) struct Damaged {
    folder: PathBuf,
    wrong: u64,
}

#[derive(Serialize)]
struct Report {
    folder: PathBuf,
    blocks: u64,
    transactions: u64,
    states: u64,
    accounts: u64,
    slots: u64,
    nodes: u64,
    unreachable_nodes: u64,
    codes: u64,
    wrong: u64,
    findings: Vec<Place>,
}

#[derive(Serialize)]
struct Place {
    place: String,
    what: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Place { place, what } in &self.findings {
            writeln!(f, "{place}: {what}")?;
        }
        if self.wrong > self.findings.len() as u64 {
            writeln!(
                f,
                "and {} more",
                thousands(self.wrong - self.findings.len() as u64)
            )?;
        }
        writeln!(
            f,
            "{} blocks with {} transactions, {} states, {} accounts and {} slots in the last one,\n\
             {} trie nodes ({} of them of no state that is kept), {} codes: {}",
            thousands(self.blocks),
            thousands(self.transactions),
            thousands(self.states),
            thousands(self.accounts),
            thousands(self.slots),
            thousands(self.nodes),
            thousands(self.unreachable_nodes),
            thousands(self.codes),
            match self.wrong {
                0 => "all in order".to_owned(),
                wrong => format!("{} wrong", thousands(wrong)),
            }
        )
    }
}

pub(crate) fn run(args: &CheckArgs, form: Form) -> Result<()> {
    let folder = args.chain.folder()?;
    let spec = args.chain.spec()?;
    let mut stages = Stages::default();
    let mut watch = |progress| stages.show(progress);
    let report = match Chain::open(&folder, spec) {
        Ok(chain) => chain.check_store(&mut watch)?,
        Err(error) if opens_at_least(&error) => {
            // The tables may tell more than the chain did.
            let mut report = Store::open(&folder)?.check(&Default::default(), &|_| true, &mut watch)?;
            report.wrong += 1;
            let (place, what) = ("the chain".to_owned(), error.to_string());
            report.findings.insert(0, Finding { place, what });
            report
        }
        Err(error) => return Err(error.into()),
    };
    stages.finish();
    let CheckReport {
        blocks,
        transactions,
        nodes,
        unreachable,
        codes,
        states,
        accounts,
        slots,
        findings,
        wrong,
        ..
    } = report;
    form.print(&Report {
        folder: folder.clone(),
        blocks,
        transactions,
        states,
        accounts,
        slots,
        nodes,
        unreachable_nodes: unreachable,
        codes,
        wrong,
        findings: findings
            .into_iter()
            .map(|Finding { place, what }| Place { place, what })
            .collect(),
    })?;
    match wrong {
        0 => Ok(()),
        wrong => Err(Damaged { folder, wrong }.into()),
    }
}

/// Whether a chain that does not open is still a store that does.
fn opens_at_least(error: &synod_chain::ChainError) -> bool {
    matches!(
        error,
        synod_chain::ChainError::State(
            StateError::Corrupt { .. }
                | StateError::MissingNode(_)
                | StateError::MissingCode(_)
                | StateError::BadNode(_)
        ) | synod_chain::ChainError::Council(_)
            | synod_chain::ChainError::UnknownHeight(_)
    )
}
