//! Running a final block again, on whatever holds the state of its parent.
//!
//! An auditor has no disk with the chain on it. What it has is a state root, and somebody who proves entry by entry what lies
//! under it. [`replay`] runs the block on such a state with the very code that built and verified it, and gives what can be
//! held against the block: its receipts, and what one of its transactions wrote, as it stands after the block.

use crate::{
    ChainError, ChainSpec, Factory, InvalidBlock, UnknownProtocol,
    council::CouncilError,
    execution::{self, ExecutionError, Given, Next, Room, Script},
};
use alloy_consensus::{Block, transaction::Recovered};
use alloy_evm::eth::EthEvmContext;
use alloy_primitives::{Address, U256};
use revm::{
    Database as _, DatabaseRef, Inspector,
    database::{State, WrapDatabaseRef},
    state::{AccountInfo, EvmState},
};
use std::collections::BTreeMap;
use synod_state::{Receipt, Transaction};

/// What a block did when it ran again.
#[derive(Debug)]
pub struct Replayed {
    /// One receipt a transaction.
    pub receipts: Vec<Receipt>,
    /// Gas of all of them.
    pub gas_used: u64,
    /// The accounts that the watched transaction changed, as they are after the block.
    pub changed: Vec<ChangedAccount>,
}

/// An account that a transaction changed, as it is after the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedAccount {
    /// Where.
    pub address: Address,
    /// The account; `None` if it does not exist.
    pub account: Option<AccountInfo>,
    /// The slots that the transaction wrote.
    pub slots: Vec<(U256, U256)>,
}

/// Why a block did not run again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// On this state and under these rules it is not valid.
    #[error("the block is not valid on its parent's state: {0}")]
    Invalid(#[from] InvalidBlock),
    /// The state did not answer.
    #[error(transparent)]
    State(#[from] ChainError),
    /// The council did not say which rules hold.
    #[error(transparent)]
    Council(#[from] CouncilError),
    /// The block is of a time whose rules this build does not know.
    #[error(transparent)]
    Rules(#[from] UnknownProtocol),
}

/// Runs a block on the state of its parent; `inspector` sees the transaction at `watched`. The rules are those of `spec`, which
/// must have taken up the upgrades that count for this block ([`ChainSpec::take_up_from`]).
///
/// # Errors
/// When a sender is nobody's, the block is not valid, or the state does not answer.
pub fn replay<DB, I>(
    spec: &ChainSpec,
    factory: &Factory,
    parent: DB,
    block: &Block<Transaction>,
    watched: usize,
    inspector: I,
) -> Result<Replayed, ReplayError>
where
    DB: DatabaseRef + std::fmt::Debug,
    I: Inspector<EthEvmContext<State<WrapDatabaseRef<DB>>>>,
{
    let senders = execution::recover_senders(&block.body.transactions)?;
    let state = State::builder().with_database_ref(parent).build();
    let mut script = Watching {
        given: Given::new(&block.body.transactions, &senders, &|| false),
        watched,
        changed: BTreeMap::new(),
    };
    let result = execution::run(
        spec,
        factory,
        state,
        &block.header,
        &block.body.ommers,
        block.body.withdrawals.as_ref(),
        &mut script,
        inspector,
    );
    let (mut state, result) = match result {
        Ok(ran) => ran,
        Err(ExecutionError::Invalid(rule)) => return Err(rule.into()),
        Err(ExecutionError::Fault(fault)) => return Err(fault.into()),
        Err(ExecutionError::Cancelled) => unreachable!("nobody cancels a replay"),
    };
    let fault = |error: &dyn std::fmt::Display| ChainError::Evm(error.to_string());
    let changed = script.changed.into_iter().map(|(address, slots)| {
        let slots = slots
            .into_iter()
            .map(|slot| Ok((slot, state.storage(address, slot).map_err(|e| fault(&e))?)))
            .collect::<Result<_, ChainError>>()?;
        let account = state.basic(address).map_err(|e| fault(&e))?;
        Ok(ChangedAccount {
            address,
            account: account.filter(|account| !account.is_empty()),
            slots,
        })
    });
    Ok(Replayed {
        gas_used: result.gas_used,
        receipts: result.receipts,
        changed: changed.collect::<Result<_, ChainError>>()?,
    })
}

/// The transactions of a block, of which one is watched.
struct Watching<'a> {
    given: Given<'a>,
    watched: usize,
    /// What it wrote.
    changed: BTreeMap<Address, Vec<U256>>,
}

impl Script for Watching<'_> {
    fn next(&mut self, room: Room) -> Next {
        self.given.next(room)
    }

    fn refused(
        &mut self,
        transaction: &Recovered<Transaction>,
        rule: InvalidBlock,
    ) -> Result<(), InvalidBlock> {
        self.given.refused(transaction, rule)
    }

    fn expected(&self) -> usize {
        self.given.expected()
    }

    fn watches(&self, index: usize) -> bool {
        index == self.watched
    }

    fn ran(&mut self, changed: &EvmState) {
        for (address, account) in changed {
            let written = account.changed_storage_slots().map(|(slot, _)| *slot);
            let mut slots: Vec<U256> = written.collect();
            slots.sort_unstable();
            if account.is_touched() || !slots.is_empty() {
                self.changed.insert(*address, slots);
            }
        }
    }
}
