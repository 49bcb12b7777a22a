//! `synod model log ORG/MODEL`

use crate::{
    client::{Client, RpcArgs, Status},
    show::{Form, note, table},
};
use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U256};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::{SolCall, SolEventInterface as _};
use clap::Args;
use eyre::{Result, ensure};
use serde::Serialize;
use std::fmt;
use synod_evm::{
    addresses::MODEL_REGISTRY,
    interface::ModelRegistry::{self, ModelRegistryEvents as Event},
    name::ModelName,
};

/// Versions, or aliases, asked for in one call.
const PAGE: u64 = 128;

/// Blocks searched for events in one request: what nodes allow unless they were told otherwise.
const BLOCKS: u64 = 100_000;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The name, without a version
    #[arg(value_name = "ORG/MODEL")]
    name: ModelName,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Report {
    name: String,
    owner: Address,
    /// Whom it is offered to.
    #[serde(skip_serializing_if = "Option::is_none")]
    offered_to: Option<Address>,
    /// The version that the bare name stands for; 0 if there is none.
    latest: u64,
    versions: Vec<Entry>,
    /// The events, oldest first; null if the node does not give them.
    changes: Option<Vec<Change>>,
}

/// A version.
#[derive(Serialize)]
struct Entry {
    version: u64,
    id: B256,
    publisher: Address,
    /// Seconds since 1970.
    published_at: u64,
    #[serde(flatten)]
    status: Status,
    aliases: Vec<String>,
    transaction: Option<B256>,
}

/// An event of the registry.
#[derive(Serialize)]
struct Change {
    block: Option<u64>,
    transaction: Option<B256>,
    by: Address,
    what: String,
    /// The version that it published.
    #[serde(skip)]
    published: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  owner {}", self.name, self.owner)?;
        if let Some(to) = self.offered_to {
            write!(f, "  offered to {to}")?;
        }
        let rows: Vec<Vec<String>> = self.versions.iter().rev().map(|entry| self.row(entry)).collect();
        let header = ["version", "published", "publisher", "id", "pointers", "status"];
        write!(f, "\n\n{}", table(&header, &rows))?;
        let Some(changes) = &self.changes else {
            return Ok(());
        };
        let rows: Vec<Vec<String>> = changes
            .iter()
            .rev()
            .map(|change| {
                vec![
                    change.block.map_or_else(String::new, |block| block.to_string()),
                    change.by.to_string(),
                    change.what.clone(),
                    change
                        .transaction
                        .map_or_else(String::new, |hash| hash.to_string()),
                ]
            })
            .collect();
        write!(f, "\n{}", table(&["block", "by", "change", "transaction"], &rows))
    }
}

impl Report {
    fn row(&self, entry: &Entry) -> Vec<String> {
        let latest = (entry.version == self.latest).then_some("latest");
        let pointers: Vec<&str> = latest
            .into_iter()
            .chain(entry.aliases.iter().map(String::as_str))
            .collect();
        vec![
            entry.version.to_string(),
            date(entry.published_at),
            entry.publisher.to_string(),
            entry.id.to_string(),
            pointers.join(", "),
            entry.status.to_string(),
        ]
    }
}

/// `2026-01-31T12:00:00Z`
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{seconds} s"), |time| time.to_string())
}

pub(crate) async fn run(args: LogArgs, form: Form) -> Result<()> {
    ensure!(
        args.name.is_bare(),
        "the log is that of all versions: give {} alone",
        args.name.path()
    );
    let client = args.rpc.connect().await?;
    // One block for all questions, so that they fit together.
    let number = client.block_number().await?;
    let block = BlockId::number(number);
    let name = || args.name.path().to_owned();
    let pointers = pages(async |offset, limit| {
        let call = ModelRegistry::aliasesCall {
            name: name(),
            offset,
            limit,
        };
        client.call(MODEL_REGISTRY, &call, block).await
    })
    .await?;
    let found = pages(async |offset, limit| {
        let call = ModelRegistry::versionsCall {
            name: name(),
            offset,
            limit,
        };
        client.call(MODEL_REGISTRY, &call, block).await
    })
    .await?;
    ensure!(
        !found.is_empty(),
        "no model is called {:?} on this chain: `synod model list` shows the names",
        name()
    );
    let latest = ask(&client, block, ModelRegistry::versionOfCall { name: name() }).await?;
    let owner = ask(&client, block, ModelRegistry::modelOwnerCall { name: name() }).await?;
    let pending = ask(
        &client,
        block,
        ModelRegistry::pendingModelOwnerCall { name: name() },
    )
    .await?;
    let changes = match changes(&client, &args.name, number).await {
        Ok(changes) => Some(changes),
        Err(error) => {
            note(format_args!("the node does not give the events: {error:#}"));
            None
        }
    };
    let versions = (1..)
        .zip(found)
        .map(|(version, found)| Entry {
            version,
            id: found.id,
            publisher: found.publisher,
            published_at: found.publishedAt,
            status: Status::new(found.status, found.reason),
            aliases: pointers
                .iter()
                .filter(|pointer| pointer.version == version)
                .map(|pointer| pointer.aliasName.clone())
                .collect(),
            transaction: changes
                .iter()
                .flatten()
                .find(|change| change.published == Some(version))
                .and_then(|change| change.transaction),
        })
        .collect();
    form.print(&Report {
        name: name(),
        owner,
        offered_to: (!pending.is_zero()).then_some(pending),
        latest: latest.saturating_to(),
        versions,
        changes,
    })
}

async fn ask<C: SolCall>(client: &Client, block: BlockId, call: C) -> Result<C::Return> {
    client.call(MODEL_REGISTRY, &call, block).await
}

/// All entries of a list that is asked for page by page.
async fn pages<T>(page: impl AsyncFn(U256, U256) -> Result<Vec<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    loop {
        let found = page(U256::from(all.len()), U256::from(PAGE)).await?;
        let last = (found.len() as u64) < PAGE;
        all.extend(found);
        if last {
            return Ok(all);
        }
    }
}

/// What the registry told of a model up to a block.
async fn changes(client: &Client, name: &ModelName, last: u64) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    let mut from = 0;
    while from <= last {
        let to = last.min(from.saturating_add(BLOCKS - 1));
        let filter = Filter::new()
            .address(MODEL_REGISTRY)
            .topic1(name.hash())
            .from_block(from)
            .to_block(to);
        changes.extend(client.logs(&filter).await?.iter().filter_map(change));
        from = to + 1;
    }
    Ok(changes)
}

fn change(log: &Log) -> Option<Change> {
    let event = Event::decode_log(&log.inner).ok()?.data;
    let mut published = None;
    let state = |status| match status {
        1 => "deprecated",
        2 => "revoked",
        _ => "active",
    };
    let (by, what) = match event {
        Event::ModelCreated(e) => (e.owner, "created".to_owned()),
        Event::ModelPublished(e) => {
            published = Some(e.version);
            (e.publisher, format!("version {}: id {}", e.version, e.id))
        }
        Event::LatestChanged(e) => (e.by, format!("latest: {} to {}", e.from, e.to)),
        Event::AliasChanged(e) if e.to == 0 => (e.by, format!("{}: removed, was {}", e.aliasName, e.from)),
        Event::AliasChanged(e) => (e.by, format!("{}: {} to {}", e.aliasName, e.from, e.to)),
        Event::StatusChanged(e) if e.reason.is_empty() => {
            let (from, to) = (state(e.from), state(e.to));
            (e.by, format!("version {}: {from} to {to}", e.version))
        }
        Event::StatusChanged(e) => {
            let (from, to) = (state(e.from), state(e.to));
            let reason = e.reason.escape_debug();
            (e.by, format!("version {}: {from} to {to}: {reason}", e.version))
        }
        Event::ModelTransferStarted(e) if e.to.is_zero() => (e.from, "offer withdrawn".to_owned()),
        Event::ModelTransferStarted(e) => (e.from, format!("offered to {}", e.to)),
        Event::ModelTransferred(e) => (e.to, format!("taken from {}", e.from)),
        _ => return None,
    };
    Some(Change {
        block: log.block_number,
        transaction: log.transaction_hash,
        by,
        what,
        published,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(super::date(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(super::date(u64::MAX), "18446744073709551615 s");
    }
}
