//! Running a block: the one place where transactions meet the EVM, for building and verifying alike.

use crate::{ChainError, ChainSpec, Factory, InvalidBlock, edit};
use alloy_consensus::{
    BlockHeader, Header, Transaction as _, TxReceipt,
    transaction::{Recovered, SignerRecoverable},
};
use alloy_eips::{eip4895::Withdrawals, eip7685::Requests};
use alloy_evm::{
    Evm as _, EvmFactory,
    block::{BlockExecutionError, BlockExecutionResult, BlockExecutor, BlockValidationError, TxResult as _},
    eth::{EthBlockExecutionCtx, EthBlockExecutor, EthEvmContext, receipt_builder::AlloyReceiptBuilder},
};
use alloy_primitives::{Address, Bloom};
use revm::{
    Inspector,
    database::{DatabaseCommitExt as _, State, states::bundle_state::BundleRetention},
    inspector::NoOpInspector,
    state::EvmState,
};
use std::{
    borrow::Cow,
    fmt::{Debug, Display},
};
use synod_evm::rights::{NotPermitted, Rights};
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

/// What a block has left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) gas: u64,
    /// Gas for predictions.
    pub(crate) inference_gas: u64,
}

/// Supplies transactions and hears what became of them.
pub(crate) trait Script {
    /// The next transaction.
    fn next(&mut self, room: Room) -> Next;

    /// A transaction cannot be in the block, by this rule; nothing of it stays. An error ends the block.
    fn refused(
        &mut self,
        transaction: &Recovered<Transaction>,
        rule: InvalidBlock,
    ) -> Result<(), InvalidBlock>;

    /// About how many transactions run: memory for as many is set aside at once, as what grows is copied again and again.
    fn expected(&self) -> usize {
        0
    }

    /// Whether the inspector sees the transaction that runs at this position, and [`Self::ran`] hears of it.
    fn watches(&self, _index: usize) -> bool {
        false
    }

    /// What a watched transaction changed.
    fn ran(&mut self, _changed: &EvmState) {}
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
    let (changes, result) = changes(spec, factory, view, header, ommers, withdrawals, script)?;
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

/// The part of [`execute`] that needs no trie: what the block changes.
pub(crate) fn changes(
    spec: &ChainSpec,
    factory: &Factory,
    view: &StateView,
    header: &Header,
    ommers: &[Header],
    withdrawals: Option<&Withdrawals>,
    script: &mut dyn Script,
) -> Result<(StateChanges, BlockExecutionResult<Receipt>), ExecutionError> {
    let state = State::builder()
        .with_database_ref(view.clone())
        .with_bundle_update()
        .build();
    let (mut state, result) = run(
        spec,
        factory,
        state,
        header,
        ommers,
        withdrawals,
        script,
        NoOpInspector {},
    )?;
    state.merge_transitions(BundleRetention::PlainState);
    Ok((StateChanges::from(state.take_bundle()), result))
}

/// Runs a block on any state of its parent, and gives it back with what it changed.
/// `inspector` sees the transactions that the script wants watched.
#[expect(clippy::too_many_arguments, reason = "a block's surroundings")]
pub(crate) fn run<DB, I>(
    spec: &ChainSpec,
    factory: &Factory,
    state: State<DB>,
    header: &Header,
    ommers: &[Header],
    withdrawals: Option<&Withdrawals>,
    script: &mut dyn Script,
    inspector: I,
) -> Result<(State<DB>, BlockExecutionResult<Receipt>), ExecutionError>
where
    DB: revm::Database + Debug,
    I: Inspector<EthEvmContext<State<DB>>>,
{
    let env = spec.evm_env(header);
    let factory = factory.clone().with_rules(spec.inference_rules(header.number));
    let mut evm = factory.create_evm_with_inspector(state, env, inspector);
    evm.disable_inspector();
    let context = EthBlockExecutionCtx {
        parent_hash: header.parent_hash,
        parent_beacon_block_root: header.parent_beacon_block_root,
        ommers,
        withdrawals: withdrawals.map(|w| Cow::Borrowed(&w[..])),
        extra_data: header.extra_data.clone(),
        tx_count_hint: Some(script.expected()),
        slot_number: None,
    };
    let forks = spec.forks_at(header.number);
    let mut executor = EthBlockExecutor::new(evm, context, forks, AlloyReceiptBuilder::default());
    executor.apply_pre_execution_changes().map_err(judge)?;
    let limit = spec.inference_gas_limit(header.number);
    let mut inference_gas = 0u64;
    loop {
        let room = Room {
            gas: header.gas_limit().saturating_sub(executor.cumulative_tx_gas_used),
            inference_gas: limit.saturating_sub(inference_gas),
        };
        let transaction = match script.next(room) {
            Next::Run(transaction) => *transaction,
            Next::Finish => break,
            Next::Cancel => return Err(ExecutionError::Cancelled),
        };
        let index = executor.receipts().len();
        let permitted = permitted(executor.evm_mut().db_mut(), &transaction)?;
        if let Err(source) = permitted {
            let rule = InvalidBlock::NotPermitted { index, source };
            script
                .refused(&transaction, rule)
                .map_err(ExecutionError::Invalid)?;
            continue;
        }
        let watched = script.watches(index);
        executor.evm_mut().set_inspector_enabled(watched);
        executor
            .evm_mut()
            .let_contracts_send(edit::impersonated(&transaction));
        let parts = (spec.tx_env(&transaction), &transaction);
        let rule = match executor.execute_transaction_without_commit(parts) {
            Ok(outcome) => {
                let used = inference_gas.saturating_add(executor.evm().inference_gas());
                if used <= limit {
                    inference_gas = used;
                    if watched {
                        script.ran(&outcome.result().state);
                    }
                    executor.commit_transaction(outcome);
                    continue;
                }
                InvalidBlock::InferenceGas { index, used, limit }
            }
            Err(error) => match judge(error) {
                ExecutionError::Invalid(rule) => rule,
                other => return Err(other),
            },
        };
        script
            .refused(&transaction, rule)
            .map_err(ExecutionError::Invalid)?;
    }
    executor.evm_mut().disable_inspector();
    let (evm, result) = executor.finish().map_err(judge)?;
    let (mut state, _) = evm.finish();
    if let Some(recipient) = spec.fee_recipient(header.number) {
        let base_fee = u128::from(header.base_fee_per_gas.unwrap_or_default());
        // Execution has taken exactly this from the senders, and given it to nobody.
        let fees = base_fee.saturating_mul(u128::from(result.gas_used));
        if fees > 0 {
            state
                .increment_balances([(recipient, fees)])
                .map_err(|e| ChainError::Evm(e.to_string()))?;
        }
    }
    Ok((state, result))
}

/// Whether the sender may send a transaction in the state before it, and create if it creates.
fn permitted<DB: revm::Database<Error: Display>>(
    db: &mut DB,
    transaction: &Recovered<Transaction>,
) -> Result<Result<(), NotPermitted>, ChainError> {
    let sender = transaction.signer();
    let rights = Rights::of(db, sender).map_err(|e| ChainError::Evm(e.to_string()))?;
    Ok(rights.for_transaction(sender, transaction.is_create()))
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
    fn next(&mut self, _: Room) -> Next {
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

    fn refused(&mut self, _: &Recovered<Transaction>, rule: InvalidBlock) -> Result<(), InvalidBlock> {
        Err(rule)
    }

    fn expected(&self) -> usize {
        self.transactions.len()
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
