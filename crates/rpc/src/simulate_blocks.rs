//! `eth_simulateV1`: blocks that could follow, with calls in place of signed transactions.
//!
//! Each simulated block is a whole one: system calls, receipts, roots, a hash, and the next one stands on it. Its transactions
//! are what the calls would be if they were signed, with empty signatures. Without `validation` a call may do what one of
//! `eth_call` may; with it, nonces, fees and funds are as in a block. What follows from a header and what geth adds (empty blocks
//! in gaps of numbers, twelve seconds from one to the next, all calls together within the node's cap of gas) is as in geth, so
//! that the hashes are the same.

use std::collections::BTreeMap;

use alloy_consensus::{
    BlockHeader as _, Header, Receipt, ReceiptEnvelope, SignableTransaction, Transaction as _, TxEip4844,
    TxEnvelope, TxReceipt, TypedTransaction,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_receipt_root, calculate_transaction_root, calculate_withdrawals_root},
};
use alloy_eips::eip4895::Withdrawals;
use alloy_evm::{
    Evm, EvmEnv, EvmFactory, FromRecoveredTx,
    block::{SystemCaller, state_changes::post_block_balance_increments},
    overrides::apply_state_overrides,
    revm::context_interface::block::BlobExcessGasAndPrice,
};
use alloy_hardforks::EthereumHardforks;
use alloy_network::NetworkTransactionBuilder;
use alloy_primitives::{Address, B64, B256, Bloom, Bytes, Log, LogData, Signature, U256, address, b256};
use alloy_rpc_types_eth::{
    Block, BlockOverrides, Log as RpcLog, TransactionRequest,
    simulate::{
        MAX_SIMULATE_BLOCKS, SimBlock, SimCallResult, SimulateError, SimulatePayload, SimulatedBlock,
    },
    state::StateOverride,
};
use revm::{
    Inspector,
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    database::{
        DatabaseCommitExt as _, EmptyDB, State, WrapDatabaseRef, states::bundle_state::BundleRetention,
    },
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, Interpreter, interpreter::EthInterpreter,
    },
};
use synod_chain::{Chain, ChainSpec, SealedBlock, StateView};

use crate::{
    backend::{Backend, View},
    convert,
    deadline::{CallLimits, Deadline},
    error::{REVERTED, RpcError, RpcResult},
    simulate::halted,
};

/// Seconds from one simulated block to the next.
const SECONDS: u64 = 12;
/// Where the logs of transfers of ether seem to come from.
const ETHER: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// keccak-256 of `Transfer(address,address,uint256)`.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

type Db = State<WrapDatabaseRef<StateView>>;

/// Runs the blocks of a request on the block with this header.
pub(crate) fn simulate(
    backend: &Backend,
    view: &View,
    base: Header,
    payload: SimulatePayload,
    limits: CallLimits,
) -> RpcResult<Vec<SimulatedBlock>> {
    let blocks = in_order(&base, payload.block_state_calls)?;
    let view_of_base = view.state(&base)?;
    let mut simulator = Simulator {
        backend,
        spec: backend.chain.spec(),
        chain: &backend.chain,
        state: State::builder()
            .with_database_ref(view_of_base.clone())
            .with_bundle_update()
            .build(),
        base: view_of_base,
        validation: payload.validation,
        trace_transfers: payload.trace_transfers,
        full: payload.return_full_transactions,
        gas_left: limits.gas,
        deadline: Deadline::after(limits.time),
    };
    let mut parent = base;
    let mut simulated = Vec::with_capacity(blocks.len());
    for block in blocks {
        let (header, result) = simulator.block(&parent, block)?;
        parent = header;
        simulated.push(result);
    }
    Ok(simulated)
}

fn refused(code: i32, message: impl Into<String>) -> RpcError {
    RpcError::Simulation {
        code,
        message: message.into(),
    }
}

/// Gives each block its number and time, and fills the gaps between numbers with empty blocks.
fn in_order(base: &Header, given: Vec<SimBlock>) -> RpcResult<Vec<SimBlock>> {
    if given.is_empty() {
        return Err(RpcError::InvalidParams("empty input".into()));
    }
    let too_many = || refused(-38026, "too many blocks");
    if given.len() as u64 > MAX_SIMULATE_BLOCKS {
        return Err(too_many());
    }
    let (mut number, mut time) = (base.number, base.timestamp);
    let mut blocks = Vec::new();
    for mut block in given {
        let mut overrides = block.block_overrides.take().unwrap_or_default();
        let wanted = overrides
            .number
            .map_or(number.saturating_add(1), |n| n.saturating_to());
        if wanted <= number {
            let message = format!("block numbers must be in order: {wanted} <= {number}");
            return Err(refused(-38020, message));
        }
        if wanted - base.number > MAX_SIMULATE_BLOCKS {
            return Err(too_many());
        }
        for between in number + 1..wanted {
            time = time.saturating_add(SECONDS);
            let overrides = BlockOverrides {
                number: Some(U256::from(between)),
                time: Some(time),
                ..Default::default()
            };
            blocks.push(SimBlock::default().with_block_overrides(overrides));
        }
        number = wanted;
        let at = overrides.time.unwrap_or(time.saturating_add(SECONDS));
        if at <= time {
            let message = format!("block timestamps must be in order: {at} <= {time}");
            return Err(refused(-38021, message));
        }
        time = at;
        overrides.number = Some(U256::from(number));
        overrides.time = Some(time);
        blocks.push(SimBlock {
            block_overrides: Some(overrides),
            ..block
        });
    }
    Ok(blocks)
}

struct Simulator<'a> {
    backend: &'a Backend,
    spec: &'a ChainSpec,
    chain: &'a Chain,
    base: StateView,
    state: Db,
    validation: bool,
    trace_transfers: bool,
    full: bool,
    /// What all calls to come may use.
    gas_left: u64,
    deadline: Deadline,
}

/// What a call came to, and its logs with their places in the block.
type Outcome = (ExecutionResult<HaltReason>, Vec<(u64, Log)>);

/// What the calls of a block came to.
#[derive(Default)]
struct Ran {
    transactions: Vec<TxEnvelope>,
    senders: Vec<Address>,
    receipts: Vec<ReceiptEnvelope>,
    results: Vec<Outcome>,
    /// Logs until now, those of failed frames too: geth counts them.
    logs: u64,
    gas_used: u64,
    blob_gas_used: u64,
}

impl Simulator<'_> {
    fn header(&self, parent: &Header, overrides: &BlockOverrides) -> Header {
        let number = overrides.number.unwrap_or_default().saturating_to();
        let time = overrides.time.unwrap_or_default();
        let spec = self.spec;
        let forks = spec.forks_at(number);
        let cancun = forks.is_cancun_active_at_timestamp(time);
        let merged = forks.is_paris_active_at_block(number);
        let given = overrides.base_fee.map(|fee| fee.saturating_to());
        // Calls that name no fee are to run: without validation gas is free unless somebody says otherwise.
        let base_fee = given.or_else(|| match self.validation {
            true => spec.next_base_fee(parent),
            false => Some(0),
        });
        let excess = spec
            .blob_params(number, time)
            .map(|params| parent.next_block_excess_blob_gas(params).unwrap_or_default());
        Header {
            parent_hash: parent.hash_slow(),
            ommers_hash: EMPTY_OMMER_ROOT_HASH,
            beneficiary: overrides.coinbase.unwrap_or(parent.beneficiary),
            difficulty: match merged {
                true => U256::ZERO,
                false => overrides.difficulty.unwrap_or(parent.difficulty),
            },
            number,
            gas_limit: overrides.gas_limit.unwrap_or(parent.gas_limit),
            timestamp: time,
            mix_hash: overrides.random.unwrap_or_default(),
            nonce: B64::ZERO,
            base_fee_per_gas: base_fee.filter(|_| forks.is_london_active_at_block(number)),
            excess_blob_gas: excess.filter(|_| cancun),
            parent_beacon_block_root: cancun.then(|| overrides.beacon_root.unwrap_or_default()),
            ..Default::default()
        }
    }

    fn block(&mut self, parent: &Header, block: SimBlock) -> RpcResult<(Header, SimulatedBlock)> {
        let overrides = block.block_overrides.unwrap_or_default();
        let mut header = self.header(parent, &overrides);
        let forks = self.spec.forks_at(header.number);
        let withdrawals = forks
            .is_shanghai_active_at_timestamp(header.timestamp)
            .then(Withdrawals::default);

        let mut env = self.spec.evm_env(&header);
        let moves = self.override_state(block.state_overrides.unwrap_or_default(), &env)?;
        let cfg = &mut env.cfg_env;
        cfg.disable_eip3607 = true;
        cfg.disable_nonce_check = !self.validation;
        cfg.tx_gas_limit_cap = Some(u64::MAX);
        if let Some(price) = overrides.blob_base_fee {
            env.block_env.blob_excess_gas_and_price = Some(BlobExcessGasAndPrice {
                excess_blob_gas: header.excess_blob_gas.unwrap_or_default(),
                blob_gasprice: price.saturating_to(),
            });
        }

        let mut ran = Ran::default();
        let rules = self.spec.inference_rules(header.number);
        let factory = self.chain.factory().clone().with_rules(rules);
        let system = |e: &dyn std::fmt::Display| RpcError::internal(e.to_string());
        {
            let mut evm = factory.create_evm(&mut self.state, env.clone());
            SystemCaller::new(forks)
                .apply_pre_execution_changes(&header, &mut evm)
                .map_err(|e| system(&e))?;
        }
        for request in block.calls {
            self.call(&factory, &env, &moves, &header, request, &mut ran)?;
        }
        let prague = forks.is_prague_active_at_timestamp(header.timestamp);
        if prague {
            let mut evm = factory.create_evm(&mut self.state, env.clone());
            let requests = SystemCaller::new(forks)
                .apply_post_execution_changes(&mut evm)
                .map_err(|e| system(&e))?;
            header.requests_hash = Some(requests.requests_hash());
        }
        let increments = post_block_balance_increments(
            forks,
            &env.block_env,
            &[] as &[Header],
            withdrawals.as_deref().map(|w| &w[..]),
        );
        self.state
            .increment_balances(increments)
            .map_err(|e| system(&e))?;

        self.state.merge_transitions(BundleRetention::PlainState);
        let changes = self.state.bundle_state.clone().into();
        header.state_root = self.base.commit(&changes)?.root;
        header.transactions_root = calculate_transaction_root(&ran.transactions);
        header.receipts_root = calculate_receipt_root(&ran.receipts);
        header.logs_bloom = ran
            .receipts
            .iter()
            .fold(Bloom::ZERO, |bloom, receipt| bloom | receipt.bloom());
        header.gas_used = ran.gas_used;
        header.blob_gas_used = header.excess_blob_gas.map(|_| ran.blob_gas_used);
        header.withdrawals_root = withdrawals.as_ref().map(|w| calculate_withdrawals_root(w));
        let hash = header.hash_slow();
        self.state.block_hashes.insert(header.number, hash);

        let calls = calls(&header, hash, &ran);
        let sealed = SealedBlock {
            hash,
            header: header.clone(),
            body: alloy_consensus::BlockBody {
                transactions: ran.transactions,
                ommers: Vec::new(),
                withdrawals,
            },
            senders: ran.senders,
        };
        let inner: Block = convert::block(&sealed, self.full, self.backend.prices(&header));
        Ok((header, SimulatedBlock { inner, calls }))
    }

    /// Applies overrides of the state. Returns what becomes of precompiles: each address that is overridden loses its, and
    /// some go to another address.
    fn override_state(
        &mut self,
        overrides: StateOverride,
        env: &EvmEnv,
    ) -> RpcResult<BTreeMap<Address, Option<Address>>> {
        let known = self.chain.factory().create_evm(EmptyDB::default(), env.clone());
        let mut moves = BTreeMap::new();
        for (address, account) in &overrides {
            moves.insert(*address, account.move_precompile_to);
            let Some(target) = account.move_precompile_to else {
                continue;
            };
            if known.precompiles().get(address).is_none() {
                return Err(refused(-32000, format!("account {address} is not a precompile")));
            }
            if target == *address {
                let message = format!("account {address} moves its precompile to itself");
                return Err(refused(-38022, message));
            }
            if overrides.contains_key(&target) {
                let message = format!("account {target} is overridden twice");
                return Err(refused(-38023, message));
            }
        }
        apply_state_overrides(overrides, &mut self.state)
            .map_err(|e| RpcError::InvalidParams(e.to_string()))?;
        Ok(moves)
    }

    fn call(
        &mut self,
        factory: &synod_chain::Factory,
        env: &EvmEnv,
        moves: &BTreeMap<Address, Option<Address>>,
        header: &Header,
        request: TransactionRequest,
        ran: &mut Ran,
    ) -> RpcResult<()> {
        let sender = request.from.unwrap_or_default();
        let transaction = self.transaction(header, request, ran.gas_used)?;
        let mut tx = TxEnv::from_recovered_tx(&transaction, sender);
        self.spec.waive_fees(&mut tx);
        let mut env = env.clone();
        env.cfg_env.disable_base_fee = !self.validation
            && transaction.max_fee_per_gas() == 0
            && transaction.priority_fee_or_price() == 0;

        let mut watcher = CallLogs::new(self.trace_transfers, ran.logs);
        let outcome = {
            let inspectors = (&mut watcher, &mut self.deadline);
            let mut evm = factory.create_evm_with_inspector(&mut self.state, env, inspectors);
            move_precompiles(&mut evm, moves)?;
            evm.transact_commit(tx)
        };
        self.deadline.kept()?;
        let result = outcome.map_err(invalid)?;

        let used = result.tx_gas_used();
        self.gas_left = self.gas_left.saturating_sub(used);
        ran.gas_used = ran.gas_used.saturating_add(used);
        ran.blob_gas_used = ran
            .blob_gas_used
            .saturating_add(transaction.blob_gas_used().unwrap_or_default());
        let receipt = Receipt {
            status: result.is_success().into(),
            cumulative_gas_used: ran.gas_used,
            logs: result.logs().to_vec(),
        };
        ran.receipts
            .push(ReceiptEnvelope::from_typed(transaction.tx_type(), receipt));
        ran.logs = watcher.next;
        ran.results.push((result, watcher.logs));
        ran.transactions.push(transaction);
        ran.senders.push(sender);
        Ok(())
    }

    /// The transaction that a call would be, unsigned.
    fn transaction(
        &mut self,
        header: &Header,
        mut request: TransactionRequest,
        gas_used: u64,
    ) -> RpcResult<TxEnvelope> {
        if request.gas_price.is_some()
            && (request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some())
        {
            return Err(RpcError::InvalidParams(
                "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into(),
            ));
        }
        if request.nonce.is_none() {
            let account = revm::Database::basic(&mut self.state, request.from.unwrap_or_default())
                .map_err(|e| RpcError::internal(e.to_string()))?;
            request.nonce = Some(account.unwrap_or_default().nonce);
        }
        let left = header.gas_limit().saturating_sub(gas_used);
        let gas = request.gas.unwrap_or(left);
        if gas > left {
            let message = format!(
                "block gas limit reached: {gas_used} + {gas} > {}",
                header.gas_limit()
            );
            return Err(refused(-38015, message));
        }
        request.gas = Some(gas.min(self.gas_left));
        request.chain_id.get_or_insert(self.spec.chain_id());
        request.value.get_or_insert_default();
        request.to.get_or_insert(alloy_primitives::TxKind::Create);
        if request.gas_price.is_some() || header.base_fee_per_gas.is_none() {
            request.gas_price.get_or_insert_default();
            request.access_list = None;
        } else {
            request.max_fee_per_gas.get_or_insert_default();
            request.max_priority_fee_per_gas.get_or_insert_default();
        }
        if request.blob_versioned_hashes.is_some() {
            request.max_fee_per_blob_gas.get_or_insert_default();
        }
        let transaction = match blobs(&request) {
            Some(transaction) => TypedTransaction::Eip4844(transaction.into()),
            None => request
                .build_unsigned()
                .map_err(|e| RpcError::InvalidParams(e.to_string()))?,
        };
        let unsigned = Signature::new(U256::ZERO, U256::ZERO, false);
        Ok(transaction.into_signed(unsigned).into())
    }
}

/// A transaction with blobs, of which only the hashes are needed here.
fn blobs(request: &TransactionRequest) -> Option<TxEip4844> {
    let hashes = request.blob_versioned_hashes.clone()?;
    Some(TxEip4844 {
        chain_id: request.chain_id?,
        nonce: request.nonce?,
        gas_limit: request.gas?,
        max_fee_per_gas: request.max_fee_per_gas?,
        max_priority_fee_per_gas: request.max_priority_fee_per_gas?,
        to: *request.to?.to()?,
        value: request.value?,
        access_list: request.access_list.clone().unwrap_or_default(),
        blob_versioned_hashes: hashes,
        max_fee_per_blob_gas: request.max_fee_per_blob_gas?,
        input: request.input.input().cloned().unwrap_or_default(),
    })
}

fn move_precompiles<DB, I>(
    evm: &mut synod_evm::SynodEvm<DB, I>,
    moves: &BTreeMap<Address, Option<Address>>,
) -> RpcResult<()>
where
    DB: alloy_evm::Database,
    I: Inspector<alloy_evm::eth::EthEvmContext<DB>>,
{
    if moves.is_empty() {
        return Ok(());
    }
    let (_, _, precompiles) = evm.components_mut();
    let precompiles = precompiles.to_mut();
    let moved = moves.iter().filter_map(|(from, to)| Some((*from, (*to)?)));
    precompiles
        .move_precompiles(moved)
        .map_err(|e| refused(-32000, e.to_string()))?;
    for (address, target) in moves {
        if target.is_none() {
            precompiles.apply_precompile(address, |_| None);
        }
    }
    Ok(())
}

/// What each call came to, as the client sees it.
fn calls(header: &Header, hash: B256, ran: &Ran) -> Vec<SimCallResult> {
    let calls = ran.results.iter().zip(&ran.transactions).enumerate();
    let calls = calls.map(|(position, ((result, logs), transaction))| {
        let logs = logs.iter().map(|(index, log)| RpcLog {
            inner: log.clone(),
            block_hash: Some(hash),
            block_number: Some(header.number),
            block_timestamp: Some(header.timestamp),
            transaction_hash: Some(*transaction.tx_hash()),
            transaction_index: Some(position as u64),
            log_index: Some(*index),
            removed: false,
        });
        SimCallResult {
            logs: logs.collect(),
            return_data: match result {
                ExecutionResult::Success { output, .. } => output.data().clone(),
                // The data of a revert are in the error.
                ExecutionResult::Revert { .. } | ExecutionResult::Halt { .. } => Bytes::new(),
            },
            gas_used: result.tx_gas_used(),
            max_used_gas: Some(result.gas().total_gas_spent().max(result.gas().floor_gas())),
            status: result.is_success(),
            error: match result {
                ExecutionResult::Success { .. } => None,
                ExecutionResult::Revert { output, .. } => Some(SimulateError {
                    code: REVERTED,
                    message: RpcError::Reverted(output.clone()).to_string(),
                    data: Some(output.clone()),
                }),
                ExecutionResult::Halt { reason, .. } => Some(SimulateError {
                    code: SimulateError::VM_EXECUTION_ERROR_CODE,
                    message: halted(reason).to_string(),
                    data: None,
                }),
            },
        }
    });
    calls.collect()
}

/// Why a call cannot be in a block, with geth's code for it.
fn invalid<E: std::fmt::Display>(error: EVMError<E>) -> RpcError {
    let refusal = match error {
        EVMError::Database(error) => return RpcError::internal(error.to_string()),
        EVMError::Transaction(refusal) => refusal,
        other => return RpcError::internal(other.to_string()),
    };
    let code = match &refusal {
        InvalidTransaction::NonceTooLow { .. } => -38010,
        InvalidTransaction::NonceTooHigh { .. } => -38011,
        InvalidTransaction::GasPriceLessThanBasefee => -38012,
        InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
        | InvalidTransaction::GasFloorMoreThanGasLimit { .. } => -38013,
        InvalidTransaction::LackOfFundForMaxFee { .. } => -38014,
        InvalidTransaction::CallerGasLimitMoreThanBlock => -38015,
        InvalidTransaction::RejectCallerWithCode => -38024,
        InvalidTransaction::CreateInitCodeSizeLimit => -38025,
        _ => -32603,
    };
    refused(code, refusal.to_string())
}

/// The logs of a call as a client of `eth_simulateV1` sees them: those of contracts and, if wanted, one for each transfer of
/// ether. What a frame logged is gone if it fails.
#[derive(Debug)]
struct CallLogs {
    transfers: bool,
    /// With their numbers in the block.
    logs: Vec<(u64, Log)>,
    /// The number of the next one.
    next: u64,
    /// How many logs there were when each open frame began.
    frames: Vec<usize>,
}

impl CallLogs {
    const fn new(transfers: bool, next: u64) -> Self {
        Self {
            transfers,
            next,
            logs: Vec::new(),
            frames: Vec::new(),
        }
    }

    fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if self.transfers && !value.is_zero() {
            let topics = vec![TRANSFER, from.into_word(), to.into_word()];
            self.push(Log {
                address: ETHER,
                data: LogData::new_unchecked(topics, value.to_be_bytes_vec().into()),
            });
        }
    }

    fn push(&mut self, log: Log) {
        self.logs.push((self.next, log));
        self.next += 1;
    }

    fn begin(&mut self) {
        self.frames.push(self.logs.len());
    }

    fn end(&mut self, succeeded: bool) {
        let before = self.frames.pop().unwrap_or_default();
        if !succeeded {
            self.logs.truncate(before);
        }
    }
}

impl<C> Inspector<C, EthInterpreter> for CallLogs
where
    C: revm::context_interface::ContextTr<Journal: revm::context_interface::JournalTr>,
{
    fn log(&mut self, _: &mut C, log: Log) {
        self.push(log);
    }

    fn log_full(&mut self, _: &mut Interpreter<EthInterpreter>, _: &mut C, log: Log) {
        self.push(log);
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.begin();
        if let Some(value) = inputs.transfer_value() {
            self.transfer(inputs.transfer_from(), inputs.transfer_to(), value);
        }
        None
    }

    fn call_end(&mut self, _: &mut C, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        use revm::context_interface::JournalTr as _;
        self.begin();
        if self.transfers && !inputs.value().is_zero() {
            // A caller that cannot be read fails the execution itself.
            let caller = context.journal_mut().load_account(inputs.caller()).ok()?;
            let nonce = caller.data.info.nonce;
            self.transfer(inputs.caller(), inputs.created_address(nonce), inputs.value());
        }
        None
    }

    fn create_end(&mut self, _: &mut C, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(outcome.result.result.is_ok());
    }

    fn selfdestruct(&mut self, contract: Address, target: Address, value: U256) {
        self.transfer(contract, target, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_get_numbers_and_times_in_order() {
        let base = Header {
            number: 10,
            timestamp: 100,
            ..Default::default()
        };
        let at = |number: Option<u64>, time: Option<u64>| {
            SimBlock::default().with_block_overrides(BlockOverrides {
                number: number.map(U256::from),
                time,
                ..Default::default()
            })
        };
        let places = |blocks: Vec<SimBlock>| {
            in_order(&base, blocks).map(|blocks| {
                let overrides = blocks.into_iter().filter_map(|block| block.block_overrides);
                overrides
                    .map(|o| (o.number.unwrap().to::<u64>(), o.time.unwrap()))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(
            places(vec![SimBlock::default(), at(Some(14), Some(200)), at(None, None)]).unwrap(),
            [(11, 112), (12, 124), (13, 136), (14, 200), (15, 212)]
        );
        let code = |blocks: Vec<SimBlock>| match places(blocks).unwrap_err() {
            RpcError::Simulation { code, .. } => code,
            other => panic!("{other}"),
        };
        assert_eq!(code(vec![at(Some(10), None)]), -38020);
        assert_eq!(code(vec![at(None, Some(100))]), -38021);
        assert_eq!(code(vec![at(Some(10 + MAX_SIMULATE_BLOCKS + 1), None)]), -38026);
        assert!(places(Vec::new()).is_err());
    }
}
