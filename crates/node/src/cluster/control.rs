//! What the RPC and the gossip may ask of a cluster's node.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{B256, Bytes};
use parking_lot::Mutex;
use synod_chain::pool::PoolError;
use synod_consensus::simplex::{Handle, Transactions};
use synod_rpc::{Control, DevControl, Evidence};

use super::evidence::EvidenceStore;
use crate::feed::Feed;

/// Transactions of this node's clients that are remembered, to be sent to the peers again while they wait.
const REMEMBERED: usize = 16_384;

/// A validator's pool between its clients and its peers.
pub(super) struct Exchange {
    feed: Arc<Feed>,
    engine: Handle,
    own: Mutex<BTreeMap<B256, Bytes>>,
    evidence: Arc<EvidenceStore>,
}

impl Exchange {
    pub(super) fn new(feed: Arc<Feed>, engine: Handle, evidence: Arc<EvidenceStore>) -> Self {
        Self {
            feed,
            engine,
            own: Mutex::default(),
            evidence,
        }
    }
}

impl Control for Exchange {
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        let added = self.feed.submit(raw)?;
        let raw = Bytes::copy_from_slice(raw);
        {
            let mut own = self.own.lock();
            if own.len() < REMEMBERED {
                own.insert(added.hash, raw.clone());
            }
        }
        self.engine.send_transaction(raw);
        if !added.ready.is_empty() {
            self.engine.transaction_arrived();
        }
        Ok(added.hash)
    }

    fn dev(&self) -> Option<&dyn DevControl> {
        None
    }

    fn evidence(&self) -> Vec<Evidence> {
        self.evidence.all()
    }
}

impl Transactions for Exchange {
    fn received(&self, raw: &[u8]) {
        match self.feed.submit(raw) {
            Ok(added) if !added.ready.is_empty() => self.engine.transaction_arrived(),
            Ok(_) => {}
            // It is here already, or final, or no longer payable: nothing that a validator did wrong.
            Err(error) => tracing::debug!(%error, "a peer's transaction was not taken"),
        }
    }

    fn waiting(&self, limit: usize) -> Vec<Bytes> {
        let pool = self.feed.pool();
        let mut own = self.own.lock();
        own.retain(|hash, _| pool.get(hash).is_some());
        own.values().take(limit).cloned().collect()
    }
}
