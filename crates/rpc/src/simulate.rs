//! Running a call without a block: `eth_call`, `eth_estimateGas`, `eth_createAccessList`.
//!
//! A call runs in the environment of a block, on the state after it, through the chain's own EVM, so PREDICT costs and
//! answers exactly what it would in a transaction. What a call may do that a transaction may not:
//!
//! * any account may be the caller, contracts too (EIP-3607 is off), with any nonce;
//! * with no gas price given, gas is free and `BASEFEE` reads 0, as in geth;
//! * the caller needs no right to send transactions; what it lacks of the others is as in a transaction of its, and nobody
//!   (the zero address) lacks none;
//! * the gas limit is only capped by the node ([`crate::Limits::call_gas`]), not by EIP-7825.

use alloy_eips::{BlockId, eip2930::AccessList};
use alloy_evm::{
    Evm, EvmEnv, EvmFactory,
    call::caller_gas_allowance,
    overrides::{apply_block_overrides, apply_state_overrides},
    rpc::TryIntoTxEnv,
};
use alloy_primitives::{Bytes, TxKind};
use alloy_rpc_types_eth::{
    BlockOverrides, TransactionRequest,
    state::{EvmOverrides, StateOverride},
};
use alloy_rpc_types_trace::geth::{GethDebugTracingOptions, GethTrace};
use revm::{
    context::{
        Cfg, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, OutOfGasError},
    },
    database::CacheDB,
};
use revm_inspectors::access_list::AccessListInspector;
use synod_chain::{Chain, Factory, StateError, StateView};

use crate::{
    backend::View,
    bounds::Bounds,
    brief,
    deadline::CallLimits,
    debug,
    error::{RpcError, RpcResult},
};

/// Gas of a plain transfer.
const TRANSFER: u64 = 21_000;
/// The stipend that a callee may return unspent.
const STIPEND: u64 = 2_300;

type Db = CacheDB<StateView>;

/// A place where calls run: a state with its overrides, and an environment.
pub(crate) struct Simulation<'a> {
    chain: &'a Chain,
    /// With the limit of predictions that holds at the block.
    factory: Factory,
    db: Db,
    env: EvmEnv,
    /// The node's cap for the gas of one call.
    gas_cap: u64,
    bounds: Bounds,
}

impl<'a> Simulation<'a> {
    /// A simulation at a block, with the client's overrides.
    pub(crate) fn new(
        view: &View,
        chain: &'a Chain,
        id: BlockId,
        overrides: EvmOverrides,
        limits: CallLimits,
    ) -> RpcResult<Self> {
        Self::bounded(view, chain, id, overrides, limits.gas, Bounds::time(limits.time))
    }

    /// One for what may be small enough to be done at once; the caller asks whether it was ([`Self::was_brief`]).
    pub(crate) fn brief(view: &View, chain: &'a Chain, id: BlockId, limits: CallLimits) -> RpcResult<Self> {
        let overrides = EvmOverrides::default();
        Self::bounded(view, chain, id, overrides, limits.gas, Bounds::brief())
    }

    fn bounded(
        view: &View,
        chain: &'a Chain,
        id: BlockId,
        overrides: EvmOverrides,
        gas_cap: u64,
        bounds: Bounds,
    ) -> RpcResult<Self> {
        let header = view.header(id)?;
        let env = view.env(id, &header);
        let number = header.number.saturating_add(u64::from(id.is_pending()));
        let mut rules = chain.spec().inference_rules(number);
        if bounds.are_brief() {
            rules.gas_limit = brief::inference_gas(rules.gas_limit);
        }
        let mut simulation = Self {
            chain,
            factory: chain.factory().clone().with_rules(rules),
            db: CacheDB::new(view.state(&header)?),
            env,
            gas_cap,
            bounds,
        };
        simulation.apply(overrides.block.map(|block| *block), overrides.state)?;
        let cfg = &mut simulation.env.cfg_env;
        cfg.disable_eip3607 = true;
        cfg.disable_nonce_check = true;
        Ok(simulation)
    }

    fn apply(&mut self, block: Option<BlockOverrides>, state: Option<StateOverride>) -> RpcResult<()> {
        if let Some(block) = block {
            apply_block_overrides(block, &mut self.db, &mut self.env.block_env);
        }
        if let Some(state) = state {
            apply_state_overrides(state, &mut self.db).map_err(|e| RpcError::InvalidParams(e.to_string()))?;
        }
        Ok(())
    }

    /// Turns a request into a transaction, with gas that the node, the block and the caller's balance allow.
    fn prepare(&mut self, mut request: TransactionRequest, cap: u64) -> RpcResult<TxEnv> {
        let requested = request.gas;
        request.gas = Some(requested.unwrap_or(cap).min(cap));
        // The nonce is not checked, but it decides the address of a created contract.
        if request.nonce.is_none() {
            let caller = request.from.unwrap_or_default();
            request.nonce = Some(self.nonce(caller)?);
        }
        let mut tx = request
            .try_into_tx_env(&self.env)
            .map_err(|e| RpcError::InvalidTransaction(e.to_string()))?;
        self.chain.spec().waive_fees(&mut tx);
        if tx.gas_price == 0 {
            self.env.block_env.basefee = 0;
        } else {
            let allowance = caller_gas_allowance(&mut self.db, &tx)
                .map_err(|e| RpcError::InvalidTransaction(e.to_string()))?;
            tx.gas_limit = tx.gas_limit.min(allowance);
        }
        Ok(tx)
    }

    fn nonce(&mut self, address: alloy_primitives::Address) -> RpcResult<u64> {
        Ok(revm::Database::basic(&mut self.db, address)?
            .unwrap_or_default()
            .nonce)
    }

    fn run(&mut self, tx: TxEnv) -> RpcResult<ExecutionResult<HaltReason>> {
        self.transact(tx)?.map_err(refused)
    }

    /// What a transaction comes to, if there is time for it.
    fn transact(
        &mut self,
        tx: TxEnv,
    ) -> RpcResult<Result<ExecutionResult<HaltReason>, EVMError<StateError>>> {
        let outcome = {
            let mut evm =
                self.factory
                    .create_evm_with_inspector(&mut self.db, self.env.clone(), &mut self.bounds);
            evm.transact(tx)
        };
        self.bounds.kept()?;
        Ok(outcome.map(|outcome| outcome.result))
    }

    /// Whether all that ran was small. If not, what came out means nothing.
    pub(crate) const fn was_brief(&self) -> bool {
        self.bounds.were_brief()
    }

    /// The output of a call.
    pub(crate) fn call(&mut self, request: TransactionRequest) -> RpcResult<Bytes> {
        let cap = self.gas_cap.min(self.env.block_env.gas_limit);
        self.env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        let tx = self.prepare(request, cap)?;
        output(self.run(tx)?)
    }

    /// The least gas limit, within 1.5 %, with which the transaction succeeds.
    ///
    /// Gas limits and success are not linked by a formula: a call passes on 63/64 of what is left (EIP-150), refunds
    /// come after the end, and a prediction that cannot be paid burns its frame. So the limit is searched for, by
    /// running the transaction with limits in the middle of what is known to fail and what is known to succeed.
    pub(crate) fn estimate(&mut self, request: TransactionRequest) -> RpcResult<u64> {
        let cfg = &self.env.cfg_env;
        let cap = self
            .gas_cap
            .min(self.env.block_env.gas_limit)
            .min(cfg.tx_gas_limit_cap());
        let tx = self.prepare(request, cap)?;
        let mut high = tx.gas_limit;
        let with_gas = |gas: u64| TxEnv {
            gas_limit: gas,
            ..tx.clone()
        };

        // Most transactions are transfers.
        if tx.data.is_empty()
            && tx.authorization_list.is_empty()
            && tx.access_list.0.is_empty()
            && let TxKind::Call(to) = tx.kind
            && high >= TRANSFER
            && !self.has_code(to)?
            && self.succeeds(with_gas(TRANSFER))?
        {
            return Ok(TRANSFER);
        }

        let (gas_used, refunded) = match self.run(with_gas(high)) {
            Ok(result @ ExecutionResult::Success { .. }) => {
                (result.tx_gas_used(), result.gas().inner_refunded())
            }
            Ok(ExecutionResult::Revert { output, .. }) => return Err(RpcError::Reverted(output)),
            Ok(ExecutionResult::Halt {
                reason: HaltReason::OutOfGas(_),
                ..
            }) => {
                return Err(RpcError::GasAllowance { allowance: high });
            }
            Ok(ExecutionResult::Halt { reason, .. }) => return Err(halted(&reason)),
            Err(error) => return Err(error),
        };
        let mut low = gas_used.saturating_sub(1);
        // A guess that is right for most: what was used before the refund, and what EIP-150 holds back in one call.
        let optimistic = gas_used
            .saturating_add(refunded)
            .saturating_add(STIPEND)
            .saturating_mul(64)
            / 63;
        if optimistic < high {
            if self.succeeds(with_gas(optimistic))? {
                high = optimistic
            } else {
                low = optimistic
            }
        }
        while low.saturating_add(1) < high && (high - low) * 1_000 > high.saturating_mul(15) {
            // The answer is most often near the lower end.
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(low + 1));
            if self.succeeds(with_gas(middle))? {
                high = middle
            } else {
                low = middle
            }
        }
        Ok(high)
    }

    fn has_code(&mut self, address: alloy_primitives::Address) -> RpcResult<bool> {
        let info = revm::Database::basic(&mut self.db, address)?;
        let is_precompile = {
            let evm = self.factory.create_evm(&mut self.db, self.env.clone());
            evm.precompiles().addresses().contains(&address)
        };
        Ok(is_precompile || info.is_some_and(|info| !info.is_empty_code_hash()))
    }

    /// Whether the transaction succeeds; too little gas to begin is a failure like any other.
    fn succeeds(&mut self, tx: TxEnv) -> RpcResult<bool> {
        match self.transact(tx)? {
            Ok(result) => Ok(result.is_success()),
            Err(EVMError::Transaction(
                InvalidTransaction::CallGasCostMoreThanGasLimit { .. }
                | InvalidTransaction::GasFloorMoreThanGasLimit { .. },
            )) => Ok(false),
            Err(error) => Err(refused(error)),
        }
    }

    /// What an inspector sees in a call.
    pub(crate) fn trace(
        mut self,
        request: TransactionRequest,
        options: GethDebugTracingOptions,
    ) -> RpcResult<GethTrace> {
        let cap = self.gas_cap.min(self.env.block_env.gas_limit);
        self.env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
        let tx = self.prepare(request, cap)?;
        let (trace, _) = debug::watch(
            &self.factory,
            &mut self.db,
            self.env,
            tx,
            None,
            options,
            &mut self.bounds,
        )?;
        self.bounds.kept()?;
        Ok(trace)
    }

    /// The accounts and slots that the transaction touches, the gas it uses when it lists them, and how it failed if
    /// it did.
    pub(crate) fn access_list(
        mut self,
        request: TransactionRequest,
    ) -> RpcResult<(AccessList, u64, Option<String>)> {
        let cap = self
            .gas_cap
            .min(self.env.block_env.gas_limit)
            .min(self.env.cfg_env.tx_gas_limit_cap());
        let given = request.access_list.clone().unwrap_or_default();
        let mut tx = self.prepare(request, cap)?;
        let mut inspector = AccessListInspector::new(given);
        {
            let mut evm = self.factory.create_evm_with_inspector(
                &mut self.db,
                self.env.clone(),
                (&mut inspector, &mut self.bounds),
            );
            evm.transact(tx.clone()).map_err(refused)?;
        }
        self.bounds.kept()?;
        let list = inspector.into_access_list();
        tx.access_list = list.clone();
        // The list turns a request without a type into an EIP-2930 transaction.
        tx.tx_type = tx.tx_type.max(1);
        let result = self.run(tx)?;
        let error = match &result {
            ExecutionResult::Success { .. } => None,
            ExecutionResult::Revert { output, .. } => Some(RpcError::Reverted(output.clone()).to_string()),
            ExecutionResult::Halt { reason, .. } => Some(halted(reason).to_string()),
        };
        Ok((list, result.tx_gas_used(), error))
    }
}

/// The output of a finished execution, or the error that it is for the client.
pub(crate) fn output(result: ExecutionResult<HaltReason>) -> RpcResult<Bytes> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(RpcError::Reverted(output)),
        ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
    }
}

/// What stopped an execution, in the words of geth.
pub(crate) fn halted(reason: &HaltReason) -> RpcError {
    let reason = match reason {
        HaltReason::OutOfGas(OutOfGasError::Basic | OutOfGasError::Memory | OutOfGasError::MemoryLimit) => {
            "out of gas".to_owned()
        }
        HaltReason::OutOfGas(kind) => format!("out of gas: {kind:?}"),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::StackOverflow => "stack limit reached 1024".to_owned(),
        HaltReason::StackUnderflow => "stack underflow".to_owned(),
        HaltReason::CallTooDeep => "max call depth exceeded".to_owned(),
        HaltReason::CreateCollision => "contract address collision".to_owned(),
        HaltReason::CreateContractSizeLimit => "max code size exceeded".to_owned(),
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => {
            "write protection".to_owned()
        }
        other => format!("{other:?}"),
    };
    RpcError::Halted { reason }
}

fn refused(error: EVMError<StateError>) -> RpcError {
    match error {
        EVMError::Database(error) => error.into(),
        EVMError::Transaction(InvalidTransaction::LackOfFundForMaxFee { fee, balance }) => {
            RpcError::InvalidTransaction(format!(
                "insufficient funds for gas * price + value: balance {balance}, tx cost {fee}"
            ))
        }
        EVMError::Transaction(InvalidTransaction::CallGasCostMoreThanGasLimit {
            initial_gas,
            gas_limit,
        }) => RpcError::InvalidTransaction(format!(
            "intrinsic gas too low: gas {gas_limit}, minimum needed {initial_gas}"
        )),
        EVMError::Transaction(other) => RpcError::InvalidTransaction(other.to_string()),
        other => RpcError::internal(other.to_string()),
    }
}
