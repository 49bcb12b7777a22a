//! The council contract as the chain reads it: who the validators are, how long an epoch is, which upgrades are due.
//!
//! `contracts/src/Council.sol` lives at [`COUNCIL`] in the genesis state of a cluster. A chain without it (a development
//! chain, an Ethereum chain) has one epoch for ever, no permissions and no upgrades.
//!
//! The chain asks the contract itself, in the EVM, at the state after a block: nobody else needs to know how Solidity lays
//! out its storage. Only what every transaction needs (its sender's rights) and what a proof shows (the hash of the list of
//! validators) is read straight from its slots.

use crate::{Chain, ChainError, ChainSpec, Factory, ReplayError, StateView, chain::relax};
use alloy_consensus::Header;
use alloy_evm::{Database, Evm as _, EvmEnv, EvmFactory as _};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, TxKind, U256, keccak256};
use alloy_rlp::Decodable as _;
use alloy_sol_types::{SolCall, SolInterface as _, SolValue as _};
use alloy_trie::{Nibbles, TrieAccount, proof::verify_proof};
use revm::{
    context::{TxEnv, result::ExecutionResult},
    database::{CacheDB, EmptyDB, WrapDatabaseRef},
    primitives::hardfork::SpecId,
    state::{AccountInfo, Bytecode},
};
use serde::{Deserialize, Serialize};
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

/// How heights are cut into epochs: block `n` is in epoch `n / blocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epochs(u64);

impl Epochs {
    /// Epochs of so many blocks; `None` for fewer than two.
    #[must_use]
    pub const fn new(blocks: u64) -> Option<Self> {
        if blocks < 2 { None } else { Some(Self(blocks)) }
    }

    /// Blocks of an epoch.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        self.0
    }

    /// The epoch of a block.
    #[must_use]
    pub const fn of(self, height: u64) -> u64 {
        height / self.0
    }

    /// The first block of an epoch.
    #[must_use]
    pub const fn first(self, epoch: u64) -> u64 {
        epoch.saturating_mul(self.0)
    }

    /// The last block of an epoch.
    #[must_use]
    pub const fn last(self, epoch: u64) -> u64 {
        self.first(epoch).saturating_add(self.0 - 1)
    }

    /// The epoch that begins after a block, if one does.
    #[must_use]
    pub const fn begins_after(self, height: u64) -> Option<u64> {
        let next = height.saturating_add(1);
        if next.is_multiple_of(self.0) {
            Some(self.of(next))
        } else {
            None
        }
    }
}

/// Gas of a question to the contract, or of its first call: far more than 256 validators need.
const GAS: u64 = 1 << 32;

/// The council's list of validators, with the proof that a state root commits to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListProof {
    /// `abi.encode(validators)`; its hash is in slot [`COMMITTEE_SLOT`].
    pub validators: Bytes,
    /// RLP of the council's account: nonce, balance, storage root, code hash.
    pub account: Bytes,
    /// Nodes of the state trie down to the account, the root first.
    pub account_proof: Vec<Bytes>,
    /// Nodes of the account's storage trie down to the slot, the root first.
    pub storage_proof: Vec<Bytes>,
}

/// A change of the committee: the last block of an epoch, and what the council named by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// RLP of the header of the last block of an epoch.
    pub header: Bytes,
    /// Its certificate, in the engine's encoding.
    pub certificate: Bytes,
    /// The list after that block, proven under the header's state root.
    pub list: ListProof,
}

/// Who votes, and who will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sitting {
    /// The epoch of the block after the last final one.
    pub epoch: u64,
    /// How long it is.
    pub epochs: Epochs,
    /// Those who vote in it.
    pub validators: Vec<Validator>,
    /// Those who will vote in the next, as decided so far.
    pub next: Vec<Validator>,
}

/// A list that the state does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListProofError {
    /// The account.
    #[error("the council's account is not proven under state root {0}")]
    Account(B256),
    /// The slot.
    #[error("the hash of the council's list is not proven under storage root {0}")]
    Slot(B256),
    /// The list.
    #[error("the list does not decode")]
    List,
}

impl ListProof {
    /// The validators, if a state with this root holds them.
    ///
    /// # Errors
    /// When it does not, or the proof does not show it.
    pub fn verify(&self, state_root: B256) -> Result<Vec<Validator>, ListProofError> {
        let holds = |root, key: B256, value: Vec<u8>, nodes: &[Bytes]| {
            verify_proof(root, Nibbles::unpack(key), Some(value), nodes).is_ok()
        };
        let (account, nodes) = (self.account.to_vec(), &self.account_proof);
        let account = TrieAccount::decode(&mut &self.account[..])
            .ok()
            .filter(|_| holds(state_root, keccak256(COUNCIL), account, nodes))
            .ok_or(ListProofError::Account(state_root))?;
        let slot = keccak256(B256::from(U256::from(COMMITTEE_SLOT)));
        let value = alloy_rlp::encode(U256::from_be_bytes(keccak256(&self.validators).0));
        if !holds(account.storage_root, slot, value, &self.storage_proof) {
            return Err(ListProofError::Slot(account.storage_root));
        }
        <Vec<Validator>>::abi_decode(&self.validators).map_err(|_| ListProofError::List)
    }
}

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

/// The contract at the state after one block.
#[derive(Debug)]
pub struct CouncilView<'a> {
    factory: &'a Factory,
    view: StateView,
    env: EvmEnv,
}

/// Which epochs ended with other voters than they began with, as far as that was looked up.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// The list at the end of the last epoch that was looked at, and that epoch's number.
    looked_at: Option<(ListMark, u64)>,
    /// The epochs that end with other voters.
    changed: Vec<u64>,
}

/// What tells two lists of validators apart.
#[derive(Clone, Copy, Debug)]
struct ListMark {
    /// [`CouncilView::committee`]: cheap to read.
    list: B256,
    /// The same without the hosts. Every validator may change its own at any time, alone; a proof need not show that, or one liar
    /// could make all proofs longer with every epoch.
    voters: B256,
}

impl ListMark {
    fn of(council: Option<&CouncilView<'_>>) -> Result<Self, ChainError> {
        let Some(council) = council else {
            return Ok(Self {
                list: B256::ZERO,
                voters: B256::ZERO,
            });
        };
        let mut validators = council.validators()?;
        for validator in &mut validators {
            validator.host.clear();
        }
        Ok(Self {
            list: council.committee()?,
            voters: keccak256(validators.abi_encode()),
        })
    }
}

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
        let account = view.account(COUNCIL)?;
        let has_code = account.is_some_and(|account| account.code_hash != KECCAK256_EMPTY);
        Ok(has_code.then(|| CouncilView {
            factory: self.factory(),
            view,
            env: self.call_env(header),
        }))
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

    /// Looks up how long epochs are, and takes up the rules of the one that runs: what a chain does when it is opened.
    pub(crate) fn take_up_epoch(&self) -> Result<(), ChainError> {
        let genesis = self.spec.genesis().number.unwrap_or_default();
        let header = self.final_header(genesis)?;
        let view = StateView::at(self.snapshot()?, header.state_root);
        let Some(council) = self.council_in(view, &header)? else {
            return Ok(());
        };
        let epochs = *self.epochs.get_or_init({
            let epochs = council.epochs()?;
            move || epochs
        });
        let next = self.head().number().saturating_add(1);
        if let Some(before) = epochs.first(epochs.of(next)).checked_sub(1) {
            let header = self.final_header(before)?;
            let view = StateView::at(self.snapshot()?, header.state_root);
            if let Some(rules) = self.rules_after(view, &header)? {
                self.take_up_rules(&rules);
            }
        }
        self.spec.known_at(next)?;
        Ok(())
    }

    /// What begins after a block whose state is `view`, if it is the last of its epoch: the epoch, and the upgrades that had been
    /// decided by then.
    pub(crate) fn rules_after(
        &self,
        view: StateView,
        header: &Header,
    ) -> Result<Option<(u64, Vec<Upgrade>)>, ChainError> {
        let begins = self
            .epochs()
            .and_then(|epochs| epochs.begins_after(header.number));
        let (Some(epoch), Some(council)) = (begins, self.council_in(view, header)?) else {
            return Ok(None);
        };
        Ok(Some((epoch, council.upgrades()?)))
    }

    /// Lets an epoch begin.
    pub(crate) fn take_up_rules(&self, (epoch, upgrades): &(u64, Vec<Upgrade>)) {
        if let Some(epochs) = self.epochs() {
            self.spec.take_up(upgrades, *epoch, epochs);
            let rules = self.spec.inference_rules(epochs.first(*epoch));
            self.factory.set_rules(rules);
        }
    }

    /// The council's account, with the roots of the states in which somebody may ask for it however old they are: those after the
    /// genesis block and after the last block of each epoch. By it a node knows and proves who voted when. A chain without a
    /// council is asked whether it has one when it is opened, in the genesis state.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn lasting_councils(&self) -> Result<Vec<(B256, Address)>, ChainError> {
        let (first, head) = (
            self.spec.genesis().number.unwrap_or_default(),
            self.head().number(),
        );
        let ends = self.epochs().into_iter().flat_map(|epochs| {
            let ends = (epochs.of(first)..).map(move |epoch| epochs.last(epoch));
            ends.take_while(|last| *last <= head)
        });
        std::iter::once(first)
            .chain(ends)
            .map(|height| Ok((self.final_header(height)?.state_root, COUNCIL)))
            .collect()
    }

    /// The changes of the committee before the epoch of a final block, oldest first; that a validator moved to another host is none. Each epoch is looked at once in the life of
    /// the process; a change costs a proof each time.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn handovers(&self, height: u64) -> Result<Vec<Handover>, ChainError> {
        let Some(epochs) = self.epochs() else {
            return Ok(Vec::new());
        };
        self.changed_before(epochs, epochs.of(height))?
            .into_iter()
            .map(|epoch| {
                let last = epochs.last(epoch);
                let header = self.final_header(last)?;
                let missing = || ChainError::UnknownHeight(last);
                let council = self.council(&header)?.ok_or_else(missing)?;
                Ok(Handover {
                    header: alloy_rlp::encode(&header).into(),
                    certificate: self.seal(last)?.ok_or_else(missing)?.certificate,
                    list: council.prove()?,
                })
            })
            .collect()
    }

    /// The epochs before this one that end with other voters than they began with.
    fn changed_before(&self, epochs: Epochs, epoch: u64) -> Result<Vec<u64>, ChainError> {
        let mut changes = self.changes.lock();
        let (mut mark, first) = match changes.looked_at {
            Some((mark, last)) => (mark, last + 1),
            None => {
                let genesis = self.spec.genesis().number.unwrap_or_default();
                (ListMark::of(self.council_after(genesis)?.as_ref())?, 0)
            }
        };
        for ended in first..epoch {
            let council = self.council_after(epochs.last(ended))?;
            let list = council.as_ref().map_or(Ok(B256::ZERO), CouncilView::committee)?;
            if list != mark.list {
                let now = ListMark::of(council.as_ref())?;
                if now.voters != mark.voters {
                    changes.changed.push(ended);
                }
                mark = now;
            }
            changes.looked_at = Some((mark, ended));
        }
        let before = changes.changed.iter().copied();
        Ok(before.take_while(|changed| *changed < epoch).collect())
    }

    /// Who votes now and in the next epoch; `None` if the chain has no council.
    ///
    /// # Errors
    /// When the chain cannot be read.
    pub fn sitting(&self) -> Result<Option<Sitting>, ChainError> {
        let head = self.head();
        let (Some(epochs), Some(council)) = (self.epochs(), self.council(head.header())?) else {
            return Ok(None);
        };
        let epoch = epochs.of(head.number().saturating_add(1));
        let before = epochs.first(epoch).saturating_sub(1);
        let sitting = self
            .council_after(before)?
            .ok_or(ChainError::UnknownHeight(before))?;
        Ok(Some(Sitting {
            epoch,
            epochs,
            validators: sitting.validators()?,
            next: council.validators()?,
        }))
    }
}

/// A state in which there is nobody but the council. Its answers depend on nothing else, and of the ends of epochs that are long
/// past a node that prunes keeps nothing else ([`Chain::lasting_councils`]).
#[derive(Debug)]
struct Alone<'a>(&'a StateView);

impl revm::DatabaseRef for Alone<'_> {
    type Error = synod_state::StateError;

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

impl CouncilView<'_> {
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

    /// Changes with every change of a validator, and costs one read to look at.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub fn committee(&self) -> Result<B256, ChainError> {
        Ok(self.view.storage(COUNCIL, U256::from(COMMITTEE_SLOT))?.into())
    }

    /// The list of validators with its proof under the state's root.
    ///
    /// # Errors
    /// When the contract does not answer, or the state cannot be read.
    pub fn prove(&self) -> Result<ListProof, ChainError> {
        let proof = self.view.prove(COUNCIL, &[U256::from(COMMITTEE_SLOT)])?;
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

    fn ask<C: SolCall>(&self, question: &C) -> Result<C::Return, CouncilError> {
        let db = WrapDatabaseRef(Alone(&self.view));
        let (env, question) = (self.env.clone(), question.abi_encode().into());
        let (answer, _) = run(self.factory, db, env, Address::ZERO, question)?;
        C::abi_decode_returns(&answer).map_err(|error| CouncilError::Broken(error.to_string()))
    }
}

impl ChainSpec {
    /// Takes up the rules that hold in the block after `parent`, as the council in the state after `parent` has them: what a
    /// chain does when it is opened, for one who has no chain but a state.
    ///
    /// # Errors
    /// When the contract does not answer, or the rules are unknown to this build.
    pub fn take_up_from<DB: revm::DatabaseRef + std::fmt::Debug>(
        &self,
        factory: &Factory,
        parent: &Header,
        state: DB,
    ) -> Result<(), ReplayError> {
        let mut db = WrapDatabaseRef(state);
        let account =
            revm::Database::basic(&mut db, COUNCIL).map_err(|error| ChainError::Evm(error.to_string()))?;
        if account.is_none_or(|account| account.code_hash == KECCAK256_EMPTY) {
            return Ok(());
        }
        let mut ask = |question: Vec<u8>| {
            let (answer, _) = run(
                factory,
                &mut db,
                self.evm_env(parent),
                Address::ZERO,
                question.into(),
            )?;
            Ok::<_, CouncilError>(answer)
        };
        let broken = |error: alloy_sol_types::Error| CouncilError::Broken(error.to_string());
        let blocks = ask(Council::epochBlocksCall {}.abi_encode())?;
        let blocks = Council::epochBlocksCall::abi_decode_returns(&blocks).map_err(broken)?;
        let epochs = Epochs::new(blocks)
            .ok_or_else(|| CouncilError::Broken(format!("an epoch of {blocks} blocks")))?;
        let upgrades = ask(Council::upgradesCall {}.abi_encode())?;
        let upgrades = Council::upgradesCall::abi_decode_returns(&upgrades).map_err(broken)?;
        let number = parent.number.saturating_add(1);
        // Upgrades of epochs that have begun cannot change any more, so any block of the epoch tells them.
        self.take_up(&upgrades, epochs.of(number), epochs);
        Ok(self.known_at(number)?)
    }
}

/// Calls the contract; nothing is written.
fn run(
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use revm::DatabaseCommit as _;

    /// A field, and what makes it wrong.
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Validator));

    /// The contract after some calls.
    struct Contract {
        db: CacheDB<EmptyDB>,
        block: u64,
    }

    fn account(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    fn validator(number: u8) -> Validator {
        Validator {
            name: format!("validator-{number}"),
            account: account(number),
            identity: B256::repeat_byte(number),
            voteKey: vec![number; 48].into(),
            possession: vec![number; 96].into(),
            host: String::new(),
        }
    }

    impl Contract {
        fn new(validators: u8) -> Self {
            let seats = (1..=validators).map(validator).collect();
            let genesis = genesis_account(10, seats).unwrap();
            let mut db = CacheDB::new(EmptyDB::default());
            let info = AccountInfo::default().with_code(Bytecode::new_raw(genesis.code.unwrap()));
            db.insert_account_info(COUNCIL, info);
            for (slot, value) in genesis.storage.unwrap() {
                db.insert_account_storage(COUNCIL, slot.into(), value.into())
                    .unwrap();
            }
            Self { db, block: 1 }
        }

        fn call<C: SolCall>(&mut self, from: u8, call: &C) -> Result<C::Return, String> {
            let mut env: EvmEnv = EvmEnv::default();
            env.cfg_env.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
            env.block_env.number = U256::from(self.block);
            let data = call.abi_encode().into();
            let (answer, state) = run(&Factory::default(), &mut self.db, env, account(from), data)
                .map_err(|error| error.to_string())?;
            self.db.commit(state);
            Ok(C::abi_decode_returns(&answer).unwrap())
        }

        fn names(&mut self) -> Vec<String> {
            let all = self.call(0, &Council::validatorsCall {}).unwrap();
            all.into_iter().map(|validator| validator.name).collect()
        }

        /// All of these want it.
        fn all(&mut self, from: &[u8], call: &impl SolCall) {
            for from in from {
                self.call(*from, call).map(drop).unwrap();
            }
        }
    }

    #[test]
    fn more_than_two_thirds_decide() {
        for (validators, needed) in [(1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (6, 5), (7, 5), (10, 7)] {
            let mut contract = Contract::new(validators);
            assert_eq!(
                contract.call(0, &Council::quorumCall {}).unwrap(),
                U256::from(needed)
            );
            let add = Council::addValidatorCall {
                validator: validator(100),
            };
            let early: Vec<_> = (1..needed).collect();
            contract.all(&early, &add);
            assert_eq!(contract.names().len(), usize::from(validators));
            contract.call(needed, &add).unwrap();
            assert_eq!(
                contract.names().len(),
                usize::from(validators) + 1,
                "of {validators}"
            );
        }
    }

    #[test]
    fn a_decision_takes_one_call_of_each() {
        let mut contract = Contract::new(4);
        let one = Council::setListedCall { rights: 1 };
        let other = Council::setListedCall { rights: 2 };
        assert!(contract.call(9, &one).unwrap_err().contains("NotValidator"));
        contract.all(&[1, 2], &one);
        assert!(contract.call(1, &one).unwrap_err().contains("AlreadyApproved"));
        contract.all(&[3, 4], &other);
        assert_eq!(
            contract.call(0, &Council::listedCall {}).unwrap(),
            0,
            "two wishes of two"
        );
        // One takes its wish back, and one who wanted it is gone.
        let action = keccak256(one.abi_encode());
        contract.call(2, &Council::withdrawCall { action }).unwrap();
        assert!(
            contract
                .call(2, &Council::withdrawCall { action })
                .unwrap_err()
                .contains("NotApproved")
        );
        assert_eq!(
            contract.call(0, &Council::approvalsOfCall { action }).unwrap(),
            [account(1)]
        );
        let identity = validator(1).identity;
        contract.all(&[2, 3, 4], &Council::removeValidatorCall { identity });
        contract.all(&[2, 3], &one);
        assert_eq!(
            contract.call(0, &Council::listedCall {}).unwrap(),
            0,
            "the wish of one who is gone"
        );
        contract.call(4, &one).unwrap();
        assert_eq!(contract.call(0, &Council::listedCall {}).unwrap(), 1);
    }

    #[test]
    fn seats_stay_in_order_when_one_goes() {
        let mut contract = Contract::new(4);
        let mark = |contract: &mut Contract| contract.call(0, &Council::committeeCall {}).unwrap();
        let before = mark(&mut contract);
        let identity = validator(2).identity;
        contract.all(&[1, 2, 3], &Council::removeValidatorCall { identity });
        assert_eq!(contract.names(), ["validator-1", "validator-4", "validator-3"]);
        let all = contract.call(0, &Council::validatorsCall {}).unwrap();
        assert_eq!(mark(&mut contract), keccak256(all.abi_encode()));
        assert_ne!(mark(&mut contract), before);
        for (number, rights) in [(1, 7), (3, 7), (4, 7), (2, 7)] {
            let call = Council::rightsOfCall {
                account: account(number),
            };
            assert_eq!(contract.call(0, &call).unwrap(), rights, "open to all");
        }
        contract.all(&[1, 3, 4], &Council::setListedCall { rights: 7 });
        let rights = |contract: &mut Contract, number| {
            let call = Council::rightsOfCall {
                account: account(number),
            };
            contract.call(0, &call).unwrap()
        };
        assert_eq!((rights(&mut contract, 4), rights(&mut contract, 2)), (7, 0));
        let host = Council::setHostCall { host: "h:1".into() };
        contract.call(4, &host).unwrap();
        assert!(contract.call(2, &host).unwrap_err().contains("NotValidator"));
        let hosts = contract.call(0, &Council::validatorsCall {}).unwrap();
        let hosts: Vec<_> = hosts.iter().map(|validator| validator.host.as_str()).collect();
        assert_eq!(hosts, ["", "h:1", ""]);
    }

    #[test]
    fn what_cannot_sit_is_refused_by_name() {
        let mut contract = Contract::new(4);
        let cases: [Case<'_>; 9] = [
            ("name", &|v| v.name = String::new()),
            ("name", &|v| v.name = "n".repeat(65)),
            ("account", &|v| v.account = Address::ZERO),
            ("voteKey", &|v| v.voteKey = vec![1; 47].into()),
            ("possession", &|v| v.possession = vec![1; 95].into()),
            ("account", &|v| v.account = account(1)),
            ("identity", &|v| v.identity = validator(1).identity),
            ("voteKey", &|v| v.voteKey = validator(1).voteKey),
            ("name", &|v| v.name = validator(1).name),
        ];
        for (field, change) in cases {
            let mut seat = validator(9);
            change(&mut seat);
            let add = Council::addValidatorCall { validator: seat };
            contract.all(&[1, 2], &add);
            let error = contract.call(3, &add).unwrap_err();
            assert!(error.contains(field), "{field}: {error}");
        }
        assert!(
            genesis_account(1, vec![validator(1)]).is_err(),
            "an epoch of one block"
        );
        assert!(genesis_account(10, Vec::new()).is_err());
        assert!(genesis_account(10, vec![validator(1), validator(1)]).is_err());
        let mut alone = Contract::new(1);
        let identity = validator(1).identity;
        let error = alone
            .call(1, &Council::removeValidatorCall { identity })
            .unwrap_err();
        assert!(error.contains("CommitteeSize"), "{error}");
        let again = Council::initialiseCall {
            blocks: 5,
            first: vec![validator(7)],
        };
        assert!(
            contract
                .call(1, &again)
                .unwrap_err()
                .contains("AlreadyInitialised")
        );
    }

    #[test]
    fn heights_fall_into_epochs() {
        assert!(Epochs::new(0).is_none() && Epochs::new(1).is_none());
        let epochs = Epochs::new(5).unwrap();
        assert_eq!(
            (epochs.of(4), epochs.of(5), epochs.first(1), epochs.last(1)),
            (0, 1, 5, 9)
        );
        assert_eq!((epochs.begins_after(4), epochs.begins_after(5)), (Some(1), None));
        let longest = Epochs::new(u64::MAX).unwrap();
        assert_eq!((longest.of(u64::MAX - 1), longest.last(1)), (0, u64::MAX));
    }

    #[test]
    fn a_genesis_file_with_epochs_that_cannot_be_is_an_error() {
        let mut genesis = crate::spec::dev_genesis();
        let mut council = genesis_account(10, vec![validator(1)]).unwrap();
        // As somebody could write it by hand: slot 4 holds the length.
        let slot = B256::from(U256::from(4));
        for blocks in [0_u64, 1] {
            council
                .storage
                .as_mut()
                .unwrap()
                .insert(slot, U256::from(blocks).into());
            genesis.alloc.insert(COUNCIL, council.clone());
            let spec = crate::ChainSpec::from_genesis(genesis.clone()).unwrap();
            let error = Chain::in_memory(spec).unwrap_err().to_string();
            assert!(error.contains(&format!("an epoch of {blocks} blocks")), "{error}");
        }
    }

    #[test]
    fn upgrades_stand_by_epoch_and_what_has_begun_stays() {
        let mut contract = Contract::new(4);
        let schedule = |first: u64| Council::scheduleUpgradeCall {
            first,
            protocol: first,
            parameters: String::new(),
        };
        for first in [5, 3, 9] {
            contract.all(&[1, 2, 3], &schedule(first));
        }
        let epochs = |contract: &mut Contract| {
            let all = contract.call(0, &Council::upgradesCall {}).unwrap();
            all.into_iter().map(|upgrade| upgrade.epoch).collect::<Vec<_>>()
        };
        assert_eq!(epochs(&mut contract), [3, 5, 9]);
        let refused = |contract: &mut Contract, call: &dyn Fn(&mut Contract, u8) -> Result<(), String>| {
            call(contract, 1).unwrap();
            call(contract, 2).unwrap();
            call(contract, 3).unwrap_err().contains("InvalidEpoch")
        };
        assert!(refused(&mut contract, &|contract, from| {
            let twice = Council::scheduleUpgradeCall {
                first: 5,
                protocol: 1,
                parameters: "{}".into(),
            };
            contract.call(from, &twice).map(drop)
        }));
        contract.all(&[1, 2, 3], &Council::cancelUpgradeCall { first: 5 });
        assert_eq!(epochs(&mut contract), [3, 9]);
        contract.block = 35;
        assert_eq!(contract.call(0, &Council::epochCall {}).unwrap(), 3);
        assert!(refused(&mut contract, &|contract, from| {
            contract
                .call(from, &Council::cancelUpgradeCall { first: 3 })
                .map(drop)
        }));
        assert!(refused(&mut contract, &|contract, from| contract
            .call(from, &schedule(2))
            .map(drop)));
        assert_eq!(epochs(&mut contract), [3, 9]);
    }
}
