//! Filters that are asked again and again (`eth_newFilter` and its kin).
//!
//! A filter is a cursor: the height up to which its client has seen everything. It keeps no results, so a client that
//! never comes back costs a few bytes until the filter expires; only filters of waiting transactions hold a bounded
//! channel. After a rewind of a development node the cursor is above the head: the filter then continues at the head.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use alloy_primitives::B256;
use alloy_rpc_types_eth::{Filter, FilterBlockOption, FilterChanges};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::TryRecvError};

use crate::{
    backend::{Backend, View},
    error::{RpcError, RpcResult},
    logs::{self, SearchLimits},
};

/// A filter that nobody asks for so long is forgotten (geth's time).
const LIFETIME: Duration = Duration::from_secs(5 * 60);
/// Filters of all clients together.
const MAX_FILTERS: usize = 10_000;

/// The filters of all clients.
#[derive(Debug, Default)]
pub(crate) struct Filters {
    entries: Mutex<BTreeMap<u64, Entry>>,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    asked: Instant,
}

#[derive(Debug)]
enum Kind {
    /// Next block to report.
    Blocks {
        next: u64,
    },
    /// Next block whose logs are to be reported.
    Logs {
        next: u64,
        filter: Box<Filter>,
    },
    Pending(broadcast::Receiver<B256>),
}

impl Filters {
    fn install(&self, kind: Kind) -> RpcResult<u64> {
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.asked.elapsed() < LIFETIME);
        if entries.len() >= MAX_FILTERS {
            return Err(RpcError::TooMuch(format!(
                "{MAX_FILTERS} filters are installed: uninstall some"
            )));
        }
        // Not to be guessed, so that one client does not take another's changes away.
        let id = loop {
            let id = rand::random();
            if !entries.contains_key(&id) {
                break id;
            }
        };
        entries.insert(
            id,
            Entry {
                kind,
                asked: Instant::now(),
            },
        );
        Ok(id)
    }

    pub(crate) fn new_blocks(&self, view: &View) -> RpcResult<u64> {
        self.install(Kind::Blocks {
            next: view.height() + 1,
        })
    }

    pub(crate) fn new_logs(&self, view: &View, filter: Filter) -> RpcResult<u64> {
        if let FilterBlockOption::Range { from_block, to_block } = filter.block_option {
            // A range that can never hold anything is a mistake of the client; one that lies ahead is not.
            if let (Some(from), Some(to)) = (from_block, to_block) {
                logs::range(view, Some(from), Some(to))?;
            }
        }
        self.install(Kind::Logs {
            next: view.height() + 1,
            filter: Box::new(filter),
        })
    }

    pub(crate) fn new_pending(&self, backend: &Backend) -> RpcResult<u64> {
        self.install(Kind::Pending(backend.ready.subscribe()))
    }

    pub(crate) fn uninstall(&self, id: u64) -> bool {
        self.entries.lock().remove(&id).is_some()
    }

    /// What happened since the filter was asked last.
    pub(crate) fn changes(&self, view: &View, id: u64, limits: SearchLimits) -> RpcResult<FilterChanges> {
        let head = view.height();
        let (filter, from) = {
            let mut entries = self.entries.lock();
            let entry = entries
                .get_mut(&id)
                .filter(|entry| entry.asked.elapsed() < LIFETIME);
            let entry = entry.ok_or(RpcError::FilterNotFound)?;
            entry.asked = Instant::now();
            match &mut entry.kind {
                Kind::Blocks { next } => {
                    let from = (*next).min(head + 1);
                    *next = head + 1;
                    let hashes = (from..=head)
                        .filter_map(|number| view.snapshot().block_hash(number).transpose())
                        .collect::<Result<Vec<_>, _>>()?;
                    return Ok(FilterChanges::Hashes(hashes));
                }
                Kind::Pending(receiver) => return Ok(FilterChanges::Hashes(drain(receiver))),
                Kind::Logs { next, filter } => {
                    let from = (*next).min(head + 1);
                    *next = head + 1;
                    (filter.clone(), from)
                }
            }
        };
        // The search runs without the lock: it may be long, and other clients have filters too.
        let (from, to) = match filter.block_option {
            FilterBlockOption::Range { from_block, to_block } => (
                from.max(from_block.and_then(|tag| tag.as_number()).unwrap_or_default()),
                to_block.and_then(|tag| tag.as_number()).unwrap_or(head).min(head),
            ),
            FilterBlockOption::AtBlockHash(_) => return Ok(FilterChanges::Empty),
        };
        Ok(FilterChanges::Logs(logs::in_range(
            view, &filter, from, to, limits,
        )?))
    }

    /// Everything that a log filter matches, not only what is new.
    pub(crate) fn all_logs(
        &self,
        view: &View,
        id: u64,
        limits: SearchLimits,
    ) -> RpcResult<Vec<alloy_rpc_types_eth::Log>> {
        let filter = {
            let mut entries = self.entries.lock();
            let entry = entries
                .get_mut(&id)
                .filter(|entry| entry.asked.elapsed() < LIFETIME);
            let entry = entry.ok_or(RpcError::FilterNotFound)?;
            entry.asked = Instant::now();
            match &entry.kind {
                Kind::Logs { filter, .. } => filter.clone(),
                _ => return Err(RpcError::FilterNotFound),
            }
        };
        logs::search(view, &filter, limits)
    }
}

/// The hashes that wait in a channel. A client that asks too rarely loses the oldest, as its filter says it may.
fn drain(receiver: &mut broadcast::Receiver<B256>) -> Vec<B256> {
    let mut hashes = Vec::new();
    loop {
        match receiver.try_recv() {
            Ok(hash) => hashes.push(hash),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return hashes,
        }
    }
}
