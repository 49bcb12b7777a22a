//! The contract itself: put into a genesis state, and asked in the state after a block.

use crate::{
    ChainError, Factory,
    chain::relax,
    council::{COMMITTEE_SLOT, COUNCIL, Council, Epochs, ListProof, Upgrade, Validator},
};
use alloy_evm::{Database, Evm as _, EvmEnv, EvmFactory as _};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256};
use alloy_sol_types::{SolCall, SolInterface as _, SolValue as _};
use revm::{
    DatabaseRef,
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB, WrapDatabaseRef},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};
use std::fmt::Debug;
use synod_state::StateView;

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
    let nobody = Address::ZERO;
    let (_, state) = run(
        &Factory::default(),
        &mut db,
        env,
        nobody,
        first.abi_encode().into(),
    )?;
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

/// The contract in the state after one block.
#[derive(Debug)]
pub struct CouncilView<'a, S = StateView> {
    factory: &'a Factory,
    state: Alone<S>,
    env: EvmEnv,
}

/// A state in which there is nobody but the council. Its answers depend on nothing else, and of the ends of epochs that are long
/// past a node that prunes keeps nothing else ([`crate::Chain::lasting_councils`]).
#[derive(Debug)]
struct Alone<S>(S);

impl<S: DatabaseRef> DatabaseRef for Alone<S> {
    type Error = S::Error;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Self::Error> {
        if address == COUNCIL {
            self.0.basic_ref(address)
        } else {
            Ok(None)
        }
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Self::Error> {
        self.0.code_by_hash_ref(hash)
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, Self::Error> {
        if address == COUNCIL {
            self.0.storage_ref(address, slot)
        } else {
            Ok(U256::ZERO)
        }
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Self::Error> {
        self.0.block_hash_ref(number)
    }
}

impl<'a, S: DatabaseRef + Debug> CouncilView<'a, S> {
    /// The contract in the state after a block, which `env` is of; `None` if there is none.
    pub(super) fn open(factory: &'a Factory, state: S, env: EvmEnv) -> Result<Option<Self>, S::Error> {
        let state = Alone(state);
        let account = state.basic_ref(COUNCIL)?;
        let has_code = account.is_some_and(|account| account.code_hash != KECCAK256_EMPTY);
        Ok(has_code.then_some(Self { factory, state, env }))
    }

    /// The validators, as decided so far.
    ///
    /// # Errors
    /// When the contract does not answer.
    pub fn validators(&self) -> Result<Vec<Validator>, CouncilError> {
        self.ask(&Council::validatorsCall {})
    }

    /// How long epochs are.
    ///
    /// # Errors
    /// When the contract does not answer, or its storage says what it never would.
    pub fn epochs(&self) -> Result<Epochs, CouncilError> {
        let blocks = self.ask(&Council::epochBlocksCall {})?;
        Epochs::new(blocks).ok_or_else(|| CouncilError::Broken(format!("an epoch of {blocks} blocks")))
    }

    /// All upgrades, past and to come, by epoch.
    ///
    /// # Errors
    /// When the contract does not answer.
    pub fn upgrades(&self) -> Result<Vec<Upgrade>, CouncilError> {
        self.ask(&Council::upgradesCall {})
    }

    fn ask<C: SolCall>(&self, question: &C) -> Result<C::Return, CouncilError> {
        let (env, question) = (self.env.clone(), question.abi_encode().into());
        let db = WrapDatabaseRef(&self.state);
        let (answer, _) = run(self.factory, db, env, Address::ZERO, question)?;
        C::abi_decode_returns(&answer).map_err(|error| CouncilError::Broken(error.to_string()))
    }
}

impl CouncilView<'_> {
    /// Changes with every change of a validator, and costs one read to look at.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn committee(&self) -> Result<B256, ChainError> {
        Ok(self.state.0.storage(COUNCIL, U256::from(COMMITTEE_SLOT))?.into())
    }

    /// The list of validators with its proof under the state's root.
    ///
    /// # Errors
    /// When the contract does not answer, or the state cannot be read.
    pub fn prove(&self) -> Result<ListProof, ChainError> {
        let proof = self.state.0.prove(COUNCIL, &[U256::from(COMMITTEE_SLOT)])?;
        Ok(ListProof {
            validators: self.validators()?.abi_encode().into(),
            account: proof.account.map(alloy_rlp::encode).unwrap_or_default().into(),
            account_proof: proof.proof,
            storage_proof: proof
                .storage
                .into_iter()
                .next()
                .map(|slot| slot.proof)
                .unwrap_or_default(),
        })
    }
}

/// Calls the contract; nothing is written.
pub(super) fn run(
    factory: &Factory,
    db: impl Database,
    mut env: EvmEnv,
    caller: Address,
    data: Bytes,
) -> Result<(Bytes, revm::state::EvmState), CouncilError> {
    relax(&mut env);
    env.block_env.basefee = 0;
    env.block_env.gas_limit = GAS;
    let call = TxEnv {
        caller,
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
