//! The state after the last final block as a genesis file's accounts.
//!
//! A cluster that has lost more than f of its validators for good cannot go on: its quorum is gone. What it agreed on is not:
//! every account, contract, slot and network goes into the genesis file of a new chain. The store knows accounts and slots by
//! their hashes, so their names come from running the blocks once more, each on its parent's state. That what comes out is
//! whole is checked in the end: the accounts have the state root of the last final block.

use crate::{
    Chain, ChainError,
    execution::{self, ExecutionError, Given},
};
use alloy_consensus::Header;
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use std::collections::{BTreeMap, BTreeSet};
use synod_state::{StateChanges, StateError, StateView, Store};

/// The state after a block.
#[derive(Clone, Debug)]
pub struct ExportedState {
    /// The block's header.
    pub header: Header,
    /// Everything that is not empty.
    pub accounts: BTreeMap<Address, GenesisAccount>,
}

/// Why a state cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The chain cannot be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The states of old blocks are gone.
    #[error(
        "to name the accounts of a state, every block is run again from the first on, and this node has states only from block {oldest} \
         on: export from a node with all of them (--history archive)"
    )]
    Pruned {
        /// The oldest height whose state is here.
        oldest: u64,
    },
    /// A block does not run as it did.
    #[error("block {number} does not run as it did: {reason}")]
    Block {
        /// Its number.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// What came out is not the state.
    #[error("the accounts found have the state root {found}, block {number} has {expected}: this is a bug")]
    Incomplete {
        /// The last final block.
        number: u64,
        /// Its state root.
        expected: B256,
        /// The root of what came out.
        found: B256,
    },
}

impl From<StateError> for ExportError {
    fn from(error: StateError) -> Self {
        Self::Chain(error.into())
    }
}

impl Chain {
    /// Exports the state after the last final block; `progress` hears the number of each block that was run.
    ///
    /// # Errors
    /// When blocks cannot be read or do not run as they did.
    pub fn export(&self, progress: &mut dyn FnMut(u64)) -> Result<ExportedState, ExportError> {
        let head = self.head().header().clone();
        let mut touched = BTreeMap::<Address, BTreeSet<U256>>::new();
        let mut touch = |changes: &StateChanges| {
            for (address, change) in &changes.accounts {
                touched.entry(*address).or_default().extend(change.storage.keys());
            }
        };
        touch(&self.spec.genesis_state());
        let first = self.spec.genesis().number.unwrap_or_default();
        let oldest = self.oldest_state()?;
        if oldest > first {
            return Err(ExportError::Pruned { oldest });
        }
        for number in first.saturating_add(1)..=head.number {
            touch(&self.changes_of(number)?);
            progress(number);
        }
        let snapshot = self.snapshot()?;
        for number in first..=head.number {
            for account in snapshot
                .edits(number)?
                .into_iter()
                .flat_map(|edits| edits.accounts)
            {
                touched.entry(account.address).or_default().extend(account.slots);
            }
        }
        let state = self.state()?;
        let mut changes = StateChanges::default();
        let mut accounts = BTreeMap::new();
        for (address, slots) in touched {
            let Some(account) = state.account(address)? else {
                continue;
            };
            let mut storage = BTreeMap::new();
            for slot in slots {
                let value = state.storage(address, slot)?;
                if !value.is_zero() {
                    storage.insert(B256::from(slot), B256::from(value));
                }
            }
            let code = match account.code_hash {
                KECCAK256_EMPTY => None,
                hash => Some(state.code(hash)?),
            };
            changes.genesis_account(
                address,
                account.nonce,
                account.balance,
                code.as_ref(),
                storage.clone(),
            );
            let exported = GenesisAccount {
                nonce: (account.nonce > 0).then_some(account.nonce),
                balance: account.balance,
                code,
                storage: (!storage.is_empty()).then_some(storage),
                private_key: None,
            };
            accounts.insert(address, exported);
        }
        let empty = StateView::at(Store::in_memory()?.snapshot()?, alloy_trie::EMPTY_ROOT_HASH);
        let found = empty.commit(&changes)?.root;
        if found != state.root() {
            return Err(ExportError::Incomplete {
                number: head.number,
                expected: state.root(),
                found,
            });
        }
        Ok(ExportedState {
            header: head,
            accounts,
        })
    }

    /// What a final block changed. Its root is not computed again: whether everything is there is seen in the end.
    fn changes_of(&self, number: u64) -> Result<StateChanges, ExportError> {
        let wrong = |reason: String| ExportError::Block { number, reason };
        let missing = || wrong("it is not on this disk".into());
        let data = self.block(number)?.ok_or_else(missing)?;
        let parent = self.state_at(number.saturating_sub(1))?.ok_or_else(missing)?;
        let block = &data.block;
        let ran = execution::changes(
            &self.spec,
            &self.factory,
            &parent,
            &block.header,
            &block.body.ommers,
            block.body.withdrawals.as_ref(),
            &mut Given::new(&block.body.transactions, &block.senders, &|| false),
        );
        let (changes, result) = ran.map_err(|error| match error {
            ExecutionError::Invalid(rule) => wrong(rule.to_string()),
            ExecutionError::Fault(fault) => fault.into(),
            ExecutionError::Cancelled => wrong("it was cancelled".into()),
        })?;
        let (found, expected) = (result.gas_used, block.header.gas_used);
        if found != expected {
            return Err(wrong(format!("it uses {found} gas, and used {expected}")));
        }
        Ok(changes)
    }
}
