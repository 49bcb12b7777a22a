//! What whoever runs a node does with its store: forgetting old states, checking, measuring.

use crate::{Chain, ChainError};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::B256;
use synod_state::{CheckReport, Held, Keep, Pace, PruneReport, StoreStats, Watch};

impl Chain {
    /// Forgets the states of all blocks but the last `blocks`. Blocks and receipts stay, and of every state at the end of an
    /// epoch the council's account. The chain may go on meanwhile.
    ///
    /// # Errors
    /// When the disk cannot be read or written, or a state that is to be kept is not whole.
    pub fn prune(&self, blocks: u64, pace: Pace, watch: &mut Watch<'_>) -> Result<PruneReport, ChainError> {
        // The state on which the next block is built is that of this head or of a later one ([`Chain::state_of`]).
        let from = self.head().number().saturating_sub(blocks.max(1) - 1);
        let keep = Keep {
            from,
            ..self.lasting()?
        };
        Ok(self.store.prune(&keep, pace, watch)?)
    }

    fn lasting(&self) -> Result<Keep, ChainError> {
        Ok(Keep {
            from: 0,
            accounts: self.lasting_councils()?,
        })
    }

    /// The oldest height whose state is whole, 0 in an archive.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn oldest_state(&self) -> Result<u64, ChainError> {
        Ok(self.snapshot()?.oldest_state())
    }

    /// Keeps a state of the last final block, by its root, for somebody who may come back to it.
    #[must_use]
    pub fn hold(&self, root: B256) -> Held {
        self.store.hold(root)
    }

    /// Whether all that is stored fits together.
    ///
    /// # Errors
    /// When the disk cannot be read. What is wrong with the data is in the report.
    pub fn check_store(&self, watch: &mut Watch<'_>) -> Result<CheckReport, ChainError> {
        // Before Byzantium receipts had state roots, which are not kept.
        let receipts_root = |header: &alloy_consensus::Header| {
            let forks = self.spec.forks_at(header.number);
            forks.is_byzantium_active_at_block(header.number)
        };
        Ok(self.store.check(&self.lasting()?, &receipts_root, watch)?)
    }

    /// Sizes and counts.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn store_stats(&self) -> Result<StoreStats, ChainError> {
        Ok(self.store.stats()?)
    }
}
