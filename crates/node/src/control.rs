//! What the RPC may ask of the node.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use alloy_primitives::B256;
use parking_lot::Mutex;
use synod_chain::{Chain, pool::PoolError};
use synod_consensus::single::Handle;
use synod_rpc::{Control, DevControl};

use crate::feed::Feed;

/// The controls of a development node.
pub(crate) struct DevNode {
    chain: Arc<Chain>,
    feed: Arc<Feed>,
    engine: Handle,
    runtime: tokio::runtime::Handle,
    snapshots: Mutex<Snapshots>,
}

/// Heads to come back to.
#[derive(Debug, Default)]
struct Snapshots {
    last: u64,
    /// Height and hash by number.
    heads: BTreeMap<u64, (u64, B256)>,
}

impl DevNode {
    /// Must be called within a runtime; the engine's answers are waited for on it.
    pub(crate) fn new(chain: Arc<Chain>, feed: Arc<Feed>, engine: Handle) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self {
            chain,
            feed,
            engine,
            runtime,
            snapshots: Mutex::default(),
        }
    }

    /// Waits for the engine. The RPC calls from threads that may block.
    fn wait<T, E: std::fmt::Display>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, String> {
        self.runtime.block_on(answer).map_err(|e| e.to_string())
    }

    fn follow(&self) -> Result<(), String> {
        self.feed.follow().map_err(|e| e.to_string())
    }
}

impl Control for DevNode {
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        let added = self.feed.submit(raw)?;
        if !added.ready.is_empty() {
            self.engine.transaction_arrived();
        }
        Ok(added.hash)
    }

    fn dev(&self) -> Option<&dyn DevControl> {
        Some(self)
    }
}

impl DevControl for DevNode {
    fn mine(&self, timestamp: Option<u64>) -> Result<(), String> {
        if let Some(seconds) = timestamp {
            self.wait(self.engine.set_next_timestamp(seconds))?;
        }
        self.wait(self.engine.mine(1, Duration::ZERO))?;
        self.follow()
    }

    fn snapshot(&self) -> Result<u64, String> {
        let mut snapshots = self.snapshots.lock();
        let head = self.chain.head();
        snapshots.last += 1;
        let id = snapshots.last;
        snapshots.heads.insert(id, (head.number(), head.hash()));
        Ok(id)
    }

    fn revert(&self, id: u64) -> Result<bool, String> {
        let mut snapshots = self.snapshots.lock();
        let Some((height, hash)) = snapshots.heads.get(&id).copied() else {
            return Ok(false);
        };
        snapshots.heads.split_off(&id);
        let chain = self.chain.clone();
        let rewound = self
            .wait(self.engine.exclusive(move || {
                // Heads of later snapshots are forgotten with them, so the block is there unless somebody else rewound.
                if chain.hash_of(height)? != Some(hash) {
                    return Ok(false);
                }
                chain.rewind(height).map(|()| true)
            }))?
            .map_err(|e: synod_chain::ChainError| e.to_string())?;
        self.follow()?;
        Ok(rewound)
    }

    fn increase_time(&self, seconds: u64) -> Result<u64, String> {
        self.wait(self.engine.advance_time(Duration::from_secs(seconds)))
    }

    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String> {
        self.wait(self.engine.set_next_timestamp(timestamp))
    }
}
