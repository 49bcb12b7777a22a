//! The council contract as the chain reads it: who the validators are, how long an epoch is, which upgrades are due.
//!
//! `contracts/src/Council.sol` lives at [`COUNCIL`] in the genesis state of a cluster. A chain without it (a development
//! chain, an Ethereum chain) has one epoch for ever, no permissions and no upgrades.
//!
//! The chain asks the contract itself, in the EVM, at the state after a block: nobody else needs to know how Solidity lays
//! out its storage. Only what every transaction needs (its sender's rights) and what a proof shows (the hash of the list of
//! validators) is read straight from its slots.

use crate::{Chain, ChainError, Factory, StateView, chain::relax};
use alloy_consensus::Header;
use alloy_evm::{Database, Evm as _, EvmEnv, EvmFactory as _};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{B256, Bytes, KECCAK256_EMPTY, TxKind, U256};
use alloy_sol_types::{SolCall, SolInterface as _};
use revm::{
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB, WrapDatabaseRef},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};
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

/// Gas of a question to the contract, or of its first call: far more than 256 validators need.
const GAS: u64 = 1 << 32;

/// Why the contract has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CouncilError {
    /// It refused.
    #[error("the council refuses: {0}")]
    Refused(String),
    /// It did not run, or answered something else than its interface says.
    #[error("the council's contract does not work: {0}")]
    Broken(String),
}

/// The council's account in a genesis file, with its first validators seated.
///
/// # Errors
/// When the contract refuses them: two with one name, key or account, a name too long, an epoch too short.
pub fn genesis_account(
    epoch_blocks: u64,
    validators: Vec<Validator>,
) -> Result<GenesisAccount, CouncilError> {
    let code = Council::DEPLOYED_BYTECODE.clone();
    let mut db = CacheDB::new(EmptyDB::default());
    let account = AccountInfo::default().with_code(Bytecode::new_raw(code.clone()));
    db.insert_account_info(COUNCIL, AccountInfo { nonce: 1, ..account });
    let mut env = EvmEnv::default();
    env.cfg_env.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
    let first = Council::initialiseCall {
        blocks: epoch_blocks,
        first: validators,
    };
    let (_, state) = run(&Factory::default(), &mut db, env, first.abi_encode().into())?;
    let slots = state
        .get(&COUNCIL)
        .into_iter()
        .flat_map(|account| &account.storage);
    let storage = slots
        .map(|(slot, value)| (B256::from(*slot), B256::from(value.present_value)))
        .filter(|(_, value)| !value.is_zero());
    Ok(GenesisAccount {
        nonce: Some(1),
        code: Some(code),
        storage: Some(storage.collect()),
        ..Default::default()
    })
}

/// The contract at the state after one block.
#[derive(Debug)]
pub struct CouncilView<'a> {
    factory: &'a Factory,
    view: StateView,
    env: EvmEnv,
}

impl Chain {
    /// The council at the state after the final block with this header, `None` if the chain has none.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn council(&self, header: &Header) -> Result<Option<CouncilView<'_>>, ChainError> {
        let view = StateView::at(self.snapshot()?, header.state_root);
        if view
            .account(COUNCIL)?
            .is_none_or(|account| account.code_hash == KECCAK256_EMPTY)
        {
            return Ok(None);
        }
        Ok(Some(CouncilView {
            factory: self.factory(),
            view,
            env: self.call_env(header),
        }))
    }
}

impl CouncilView<'_> {
    /// The validators, as decided so far.
    ///
    /// # Errors
    /// When the contract does not answer.
    pub fn validators(&self) -> Result<Vec<Validator>, CouncilError> {
        self.ask(&Council::validatorsCall {})
    }

    /// Blocks of an epoch.
    ///
    /// # Errors
    /// When the contract does not answer.
    pub fn epoch_blocks(&self) -> Result<u64, CouncilError> {
        self.ask(&Council::epochBlocksCall {})
    }

    /// All upgrades, past and to come, by epoch.
    ///
    /// # Errors
    /// When the contract does not answer.
    pub fn upgrades(&self) -> Result<Vec<Upgrade>, CouncilError> {
        self.ask(&Council::upgradesCall {})
    }

    /// Changes with every change of a validator, and costs one read to look at.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn committee(&self) -> Result<B256, ChainError> {
        Ok(self.view.storage(COUNCIL, U256::from(COMMITTEE_SLOT))?.into())
    }

    fn ask<C: SolCall>(&self, question: &C) -> Result<C::Return, CouncilError> {
        let db = WrapDatabaseRef(self.view.clone());
        let (answer, _) = run(self.factory, db, self.env.clone(), question.abi_encode().into())?;
        C::abi_decode_returns(&answer).map_err(|error| CouncilError::Broken(error.to_string()))
    }
}

/// Calls the contract; nothing is written.
fn run(
    factory: &Factory,
    db: impl Database,
    mut env: EvmEnv,
    data: Bytes,
) -> Result<(Bytes, revm::state::EvmState), CouncilError> {
    relax(&mut env);
    env.block_env.basefee = 0;
    env.block_env.gas_limit = GAS;
    let call = TxEnv {
        kind: TxKind::Call(COUNCIL),
        gas_limit: GAS,
        chain_id: None,
        data,
        ..Default::default()
    };
    let mut evm = factory.create_evm(db, env);
    let outcome = evm
        .transact_raw(call)
        .map_err(|error| CouncilError::Broken(error.to_string()))?;
    match outcome.result {
        ExecutionResult::Success { output, .. } => Ok((output.into_data(), outcome.state)),
        ExecutionResult::Revert { output, .. } => Err(CouncilError::Refused(reason(&output))),
        ExecutionResult::Halt { reason, .. } => Err(CouncilError::Broken(format!("{reason:?}"))),
    }
}

/// A revert's reason in words.
#[must_use]
pub fn reason(output: &[u8]) -> String {
    match Council::CouncilErrors::abi_decode(output) {
        Ok(error) => format!("{error:?}"),
        Err(_) => format!("it reverted with 0x{}", alloy_primitives::hex::encode(output)),
    }
}
