//! The council contract as the chain reads it: who the validators are, how long an epoch is, which upgrades are due.
//!
//! `contracts/src/Council.sol` lives at [`COUNCIL`] in the genesis state of a cluster. A chain without it (a development
//! chain, an Ethereum chain) has one epoch for ever, no permissions and no upgrades.
//!
//! The chain asks the contract itself, in the EVM, at the state after a block: nobody else needs to know how Solidity lays
//! out its storage. Only what every transaction needs (its sender's rights) and what a proof shows (the hash of the list of
//! validators) is read straight from its slots.

mod contract;
mod epochs;
mod proof;
mod rules;
#[cfg(test)]
mod tests;
mod voters;

pub use contract::{CouncilError, CouncilView, genesis_account, reason};
pub use epochs::Epochs;
pub use proof::{ListProof, ListProofError};
pub(crate) use voters::Changes;
pub use voters::{Handover, Sitting};

use crate::{Chain, ChainError};
use alloy_consensus::Header;
use synod_state::StateView;

pub use synod_evm::{addresses::COUNCIL, interface::Council};

/// A validator as the contract knows it.
pub type Validator = Council::Validator;

/// An upgrade as the contract knows it.
pub type Upgrade = Council::Upgrade;

/// The slot that holds `keccak256(abi.encode(validators))`.
pub const COMMITTEE_SLOT: u64 = 7;

/// Blocks of an epoch that a new cluster has unless it is told otherwise: an hour of empty blocks, a quarter of an hour of
/// full ones.
pub const DEFAULT_EPOCH_BLOCKS: u64 = 3600;

impl Chain {
    /// The council at the state after the final block with this header, `None` if the chain has none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn council(&self, header: &Header) -> Result<Option<CouncilView<'_>>, ChainError> {
        if self.epochs().is_none() {
            // It is in the genesis state or never.
            return Ok(None);
        }
        self.council_in(StateView::at(self.snapshot()?, header.state_root), header)
    }

    /// The same in a state that need not be final.
    fn council_in(&self, view: StateView, header: &Header) -> Result<Option<CouncilView<'_>>, ChainError> {
        Ok(CouncilView::open(
            self.factory(),
            view,
            self.spec.evm_env(header),
        )?)
    }

    /// The council after the final block at a height.
    fn council_after(&self, height: u64) -> Result<Option<CouncilView<'_>>, ChainError> {
        self.council(&self.final_header(height)?)
    }

    /// The chain's epochs; `None` on a chain without a council.
    #[must_use]
    pub fn epochs(&self) -> Option<Epochs> {
        self.epochs.get().copied()
    }
}
