//! Running a block: the one place where transactions meet the EVM, for building and verifying alike.

use crate::{ChainError, ChainSpec, Factory, InvalidBlock};
use alloy_consensus::{
    BlockHeader, Header, TxReceipt,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{eip4895::Withdrawals, eip7685::Requests};
use alloy_evm::{
    EvmFactory,
    block::{BlockExecutionError, BlockExecutor, BlockValidationError},
    eth::{EthBlockExecutionCtx, EthBlockExecutor, receipt_builder::AlloyReceiptBuilder},
};
use alloy_primitives::{Address, Bloom};
use revm::database::{State, states::bundle_state::BundleRetention};
use std::borrow::Cow;
use synod_state::{Committed, Receipt, StateChanges, StateView, Transaction};

/// Everything that running a block gives.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) blob_gas_used: u64,
    pub(crate) requests: Requests,
    pub(crate) changes: StateChanges,
    pub(crate) committed: Committed,
}

impl Executed {
    pub(crate) fn logs_bloom(&self) -> Bloom {
        self.receipts
            .iter()
            .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom())
    }
}

/// Why a block did not run to its end.
#[derive(Debug)]
pub(crate) enum ExecutionError {
    Invalid(InvalidBlock),
    Fault(ChainError),
    Cancelled,
}

impl From<ChainError> for ExecutionError {
    fn from(fault: ChainError) -> Self {
        Self::Fault(fault)
    }
}

/// What the supplier of transactions wants after one was offered to the block.
pub(crate) enum Next {
    /// Run this one.
    Run(Box<Recovered<Transaction>>),
    /// The block is complete.
    Finish,
    /// Nobody waits for the block any more.
    Cancel,
}

/// Supplies transactions and hears what became of them.
pub(crate) trait Script {
    /// The next transaction. `gas_left` is what the block has left.
    fn next(&mut self, gas_left: u64) -> Next;

    /// A transaction did not run. An error ends the block.
    fn refused(&mut self, transaction: &Recovered<Transaction>, reason: String) -> Result<(), InvalidBlock>;
}

/// Runs a block on `view`. Of `header` only the fields that execution reads must be right: number, time, gas limit, base
/// fee, beneficiary, randomness, parent hash, parent beacon root, excess blob gas, difficulty.
pub(crate) fn execute(
    spec: &ChainSpec,
    factory: &Factory,
    view: &StateView,
    header: &Header,
    ommers: &[Header],
    withdrawals: Option<&Withdrawals>,
    script: &mut dyn Script,
) -> Result<Executed, ExecutionError> {
    let env = spec.evm_env(header);
    let mut state = State::builder()
        .with_database_ref(view.clone())
        .with_bundle_update()
        .build();
    let evm = factory.create_evm(&mut state, env);
    let context = EthBlockExecutionCtx {
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        ommers,
        withdrawals: withdrawals.map(|w| Cow::Borrowed(&w[..])),
        extra_data: header.extra_data.clone(),
        tx_count_hint: None,
        slot_number: None,
    };
    let mut executor = EthBlockExecutor::new(evm, context, spec, AlloyReceiptBuilder::default());
    executor.apply_pre_execution_changes().map_err(judge)?;
    loop {
        let gas_left = header.gas_limit().saturating_sub(executor.cumulative_tx_gas_used);
        let transaction = match script.next(gas_left) {
            Next::Run(transaction) => *transaction,
            Next::Finish => break,
            Next::Cancel => return Err(ExecutionError::Cancelled),
        };
        match executor.execute_transaction(&transaction) {
            Ok(_) => {}
            Err(error) => match judge(error) {
                ExecutionError::Invalid(rule) => {
                    let reason = match rule {
                        InvalidBlock::Execution(reason) => reason,
                        other => other.to_string(),
                    };
                    script
                        .refused(&transaction, reason)
                        .map_err(ExecutionError::Invalid)?;
                }
                other => return Err(other),
            },
        }
    }
    let (evm, result) = executor.finish().map_err(judge)?;
    drop(evm);
    state.merge_transitions(BundleRetention::PlainState);
    let changes = StateChanges::from(state.take_bundle());
    let committed = view
        .commit(&changes)
        .map_err(|e| ExecutionError::Fault(e.into()))?;
    Ok(Executed {
        receipts: result.receipts,
        gas_used: result.gas_used,
        blob_gas_used: result.blob_gas_used,
        requests: result.requests,
        changes,
        committed,
    })
}

/// Separates what is in the block from what is in this machine.
fn judge(error: BlockExecutionError) -> ExecutionError {
    match error {
        BlockExecutionError::Validation(BlockValidationError::IncrementBalanceFailed) => {
            // The database failed while a balance was read; alloy-evm hides the cause.
            ExecutionError::Fault(ChainError::Evm("a balance could not be read".into()))
        }
        BlockExecutionError::Validation(rule) => {
            ExecutionError::Invalid(InvalidBlock::Execution(rule.to_string()))
        }
        BlockExecutionError::Internal(fault) => ExecutionError::Fault(ChainError::Evm(fault.to_string())),
    }
}

/// The transactions of a given block, all of which must run.
pub(crate) struct Given<'a> {
    transactions: std::slice::Iter<'a, Transaction>,
    senders: std::slice::Iter<'a, Address>,
    cancelled: &'a dyn Fn() -> bool,
}

impl<'a> Given<'a> {
    pub(crate) fn new(
        transactions: &'a [Transaction],
        senders: &'a [Address],
        cancelled: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            transactions: transactions.iter(),
            senders: senders.iter(),
            cancelled,
        }
    }
}

impl Script for Given<'_> {
    fn next(&mut self, _gas_left: u64) -> Next {
        if (self.cancelled)() {
            return Next::Cancel;
        }
        match (self.transactions.next(), self.senders.next()) {
            (Some(transaction), Some(sender)) => {
                Next::Run(Box::new(Recovered::new_unchecked(transaction.clone(), *sender)))
            }
            _ => Next::Finish,
        }
    }

    fn refused(&mut self, _: &Recovered<Transaction>, reason: String) -> Result<(), InvalidBlock> {
        Err(InvalidBlock::Execution(reason))
    }
}

/// The senders of transactions, in order.
pub(crate) fn recover_senders(transactions: &[Transaction]) -> Result<Vec<Address>, InvalidBlock> {
    transactions
        .iter()
        .enumerate()
        .map(|(index, transaction)| {
            transaction
                .recover_signer()
                .map_err(|_| InvalidBlock::Signature { index })
        })
        .collect()
}
