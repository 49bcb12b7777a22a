//! Inference gas: what PREDICT charges, counted apart from the rest of a transaction's gas; and the rules of inference in a block.
//!
//! A chain may give a block less gas for networks than for everything else, so somebody must count it. The journal cannot: a
//! revert would undo the count although the work was done. So the count belongs to the EVM, beside the journal: it starts
//! at zero with each transaction, grows with every call of the precompile, and never shrinks, whatever becomes of the frame
//! that called. It follows from the transaction and its state alone, as the gas does.

use crate::{
    precompiles::SynodPrecompiles,
    rights::{Right, Rights},
};
use alloy_evm::{
    Database, Evm, EvmEnv,
    eth::{EthEvm, EthEvmContext},
    revm::{
        Inspector,
        context::{
            BlockEnv, CfgEnv, TxEnv,
            result::{EVMError, HaltReason, InvalidTransaction, ResultAndState},
        },
        primitives::hardfork::SpecId,
    },
};
use alloy_primitives::{Address, Bytes};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use synod_model::limits::PROFILE_VERSION;

/// What the chain's rules say about inference in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InferenceRules {
    /// What PREDICT may charge in one transaction, at most. At the limit a call of the precompile is out of gas, as if it had
    /// been given no more.
    pub gas_limit: u64,
    /// The profile that models are validated against. Those of earlier profiles run as they did.
    pub profile: u32,
}

impl Default for InferenceRules {
    /// No limit, the newest profile.
    fn default() -> Self {
        Self {
            gas_limit: u64::MAX,
            profile: PROFILE_VERSION,
        }
    }
}

/// The inference of the transaction that runs: its rules, and the gas that it took.
///
/// An EVM runs on one thread; the atomic is there because a precompile must be `Sync`.
#[derive(Debug)]
pub(crate) struct Inference {
    rules: InferenceRules,
    used: AtomicU64,
}

impl Inference {
    pub(crate) fn new(rules: InferenceRules) -> Self {
        Self {
            rules,
            used: AtomicU64::new(0),
        }
    }

    /// The profile in force.
    pub(crate) fn profile(&self) -> u32 {
        self.rules.profile
    }

    /// What the transaction may still spend.
    pub(crate) fn left(&self) -> u64 {
        self.rules.gas_limit.saturating_sub(self.used())
    }

    pub(crate) fn spend(&self, gas: u64) {
        self.used.store(self.used().saturating_add(gas), Relaxed);
    }

    fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    fn begin(&self) {
        self.used.store(0, Relaxed);
    }
}

/// Ethereum's EVM with PREDICT, which knows how much of a transaction's gas went to networks.
#[expect(missing_debug_implementations, reason = "the EVM inside has none")]
pub struct SynodEvm<DB: Database, I> {
    inner: EthEvm<DB, I, SynodPrecompiles>,
    inference: Arc<Inference>,
}

impl<DB: Database, I> SynodEvm<DB, I> {
    pub(crate) fn new(inner: EthEvm<DB, I, SynodPrecompiles>, inference: Arc<Inference>) -> Self {
        Self { inner, inference }
    }

    /// What the precompile charged in the last transaction, in all its calls, also those whose frames reverted or halted.
    pub fn inference_gas(&self) -> u64 {
        self.inference.used()
    }

    /// Whether an account with code may be the sender of the next transaction, which EIP-3607 forbids.
    pub fn let_contracts_send(&mut self, allowed: bool) {
        self.inner.cfg.disable_eip3607 = allowed;
    }
}

impl<DB: Database, I: Inspector<EthEvmContext<DB>>> Evm for SynodEvm<DB, I> {
    type DB = DB;
    type Tx = TxEnv;
    type Error = EVMError<DB::Error>;
    type HaltReason = HaltReason;
    type Spec = SpecId;
    type BlockEnv = BlockEnv;
    type Precompiles = SynodPrecompiles;
    type Inspector = I;

    fn block(&self) -> &BlockEnv {
        self.inner.block()
    }

    fn cfg_env(&self) -> &CfgEnv<SpecId> {
        self.inner.cfg_env()
    }

    fn chain_id(&self) -> u64 {
        self.inner.chain_id()
    }

    fn transact_raw(&mut self, tx: TxEnv) -> Result<ResultAndState<HaltReason>, Self::Error> {
        self.inference.begin();
        if tx.kind.is_create() {
            let rights = Rights::of(self.db_mut(), tx.caller).map_err(EVMError::Database)?;
            rights
                .require(Right::Deploy, tx.caller)
                .map_err(|denied| InvalidTransaction::from(denied.to_string()))?;
        }
        self.inner.transact_raw(tx)
    }

    fn transact_system_call(
        &mut self,
        caller: Address,
        contract: Address,
        data: Bytes,
    ) -> Result<ResultAndState<HaltReason>, Self::Error> {
        self.inference.begin();
        self.inner.transact_system_call(caller, contract, data)
    }

    fn finish(self) -> (DB, EvmEnv<SpecId>) {
        self.inner.finish()
    }

    fn set_inspector_enabled(&mut self, enabled: bool) {
        self.inner.set_inspector_enabled(enabled);
    }

    fn components(&self) -> (&DB, &I, &SynodPrecompiles) {
        self.inner.components()
    }

    fn components_mut(&mut self) -> (&mut DB, &mut I, &mut SynodPrecompiles) {
        self.inner.components_mut()
    }
}
