//! What a development chain may do and no other: change its state between two blocks, and take transactions of accounts
//! without their keys.
//!
//! **Edits.** A test suite gives an account a balance, a contract other code, a slot another value. Each edit is one durable
//! write of its own ([`synod_state::Store::edit`]): the new state is there at once for every reader, survives a kill, and is
//! what the next block stands on. Every header still has the root of the state that its block left; the root in between is in no
//! header, so a chain that was edited cannot be run again by others, and proofs of an edited state fit no header.
//!
//! **Impersonation.** A transaction of an account without a key carries that account's address in place of a signature
//! ([`impersonated`]). No key gives such a signature: whoever recovers the sender of one finds another account, or none. So
//! only a node that was told the sender beside the transaction can take it, and blocks with one are valid nowhere else.

use crate::{Chain, ChainError};
use alloy_consensus::{TxEnvelope, TypedTransaction, transaction::Recovered};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, Signature, U256, keccak256};
use revm::bytecode::Bytecode;
use synod_state::{Account, AccountChange, StateChanges, StateView};

/// A change of the state between two blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateEdit {
    /// Sets the balance, in wei.
    Balance {
        /// Of which account.
        address: Address,
        /// The new one.
        balance: U256,
    },
    /// Adds to the balance, in wei; it ends at 2²⁵⁶ - 1.
    AddBalance {
        /// Of which account.
        address: Address,
        /// How much.
        amount: U256,
    },
    /// Sets the nonce.
    Nonce {
        /// Of which account.
        address: Address,
        /// The new one.
        nonce: u64,
    },
    /// Sets the code.
    Code {
        /// Of which account.
        address: Address,
        /// The new one; empty takes it away.
        code: Bytes,
    },
    /// Sets a slot.
    Storage {
        /// Of which account.
        address: Address,
        /// Which.
        slot: U256,
        /// The new value.
        value: B256,
    },
    /// Puts an account in the place of whatever is there, storage included.
    Account {
        /// Where.
        address: Address,
        /// The account.
        account: GenesisAccount,
    },
}

/// Why an edit was not made. Nothing of the others that came with it was made either.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// Bytes that no account can have as its code.
    #[error("{address} cannot have this code: {reason}")]
    Code {
        /// The account.
        address: Address,
        /// What is wrong with them.
        reason: String,
    },
    /// The chain cannot be read or written.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl From<synod_state::StateError> for EditError {
    fn from(error: synod_state::StateError) -> Self {
        Self::Chain(error.into())
    }
}

impl Chain {
    /// Changes the state after the last final block, durably. For a chain of one node only, and between two of its blocks:
    /// what is not final is forgotten.
    ///
    /// # Errors
    /// When an edit cannot be, or the chain cannot be read or written; then nothing is changed.
    pub fn edit(&self, edits: &[StateEdit]) -> Result<(), EditError> {
        self.edit_with(|state| changes(state, edits))
    }
}

/// What edits come to, one after another, on a state.
fn changes(state: &StateView, edits: &[StateEdit]) -> Result<StateChanges, EditError> {
    let mut all = StateChanges::default();
    for edit in edits {
        let address = edit.address();
        let change = match all.accounts.remove(&address) {
            Some(change) => change,
            None => AccountChange {
                account: state.account(address)?,
                ..Default::default()
            },
        };
        let change = apply(change, edit, &mut all)?;
        all.accounts.insert(address, change);
    }
    Ok(all)
}

fn apply(
    mut change: AccountChange,
    edit: &StateEdit,
    all: &mut StateChanges,
) -> Result<AccountChange, EditError> {
    let mut account = change.account.unwrap_or_default();
    match edit {
        StateEdit::Balance { balance, .. } => account.balance = *balance,
        StateEdit::AddBalance { amount, .. } => account.balance = account.balance.saturating_add(*amount),
        StateEdit::Nonce { nonce, .. } => account.nonce = *nonce,
        StateEdit::Code { address, code } => account.code_hash = keep_code(*address, code, all)?,
        StateEdit::Storage { slot, value, .. } => {
            change.storage.insert(*slot, (*value).into());
        }
        StateEdit::Account {
            address,
            account: given,
        } => {
            account = Account {
                nonce: given.nonce.unwrap_or_default(),
                balance: given.balance,
                code_hash: keep_code(*address, given.code.as_ref().unwrap_or_default(), all)?,
            };
            change.wiped = true;
            let slots = given.storage.iter().flatten();
            change.storage = slots
                .map(|(slot, value)| ((*slot).into(), (*value).into()))
                .collect();
        }
    }
    // An account without nonce, balance and code does not exist (EIP-161); one whose slots are being set is about to get code.
    let exists = account != Account::default() || change.storage.values().any(|value| !value.is_zero());
    change.account = exists.then_some(account);
    Ok(change)
}

fn keep_code(address: Address, code: &Bytes, all: &mut StateChanges) -> Result<B256, EditError> {
    if code.is_empty() {
        return Ok(KECCAK256_EMPTY);
    }
    Bytecode::new_raw_checked(code.clone()).map_err(|e| EditError::Code {
        address,
        reason: e.to_string(),
    })?;
    let hash = keccak256(code);
    all.codes.insert(hash, code.clone());
    Ok(hash)
}

impl StateEdit {
    /// The account that it concerns.
    #[must_use]
    pub const fn address(&self) -> Address {
        match self {
            Self::Balance { address, .. }
            | Self::AddBalance { address, .. }
            | Self::Nonce { address, .. }
            | Self::Code { address, .. }
            | Self::Storage { address, .. }
            | Self::Account { address, .. } => *address,
        }
    }
}

/// A transaction of an account whose key nobody has: see the [module](self).
#[must_use]
pub fn impersonate(sender: Address, transaction: TypedTransaction) -> Recovered<TxEnvelope> {
    let number = U256::from_be_slice(sender.as_slice());
    let signature = Signature::new(number, number, false);
    let signed = alloy_consensus::SignableTransaction::into_signed(transaction, signature);
    Recovered::new_unchecked(signed.into(), sender)
}

/// Whether a transaction is of an account whose key nobody has.
#[must_use]
pub fn impersonated(transaction: &Recovered<TxEnvelope>) -> bool {
    let number = U256::from_be_slice(transaction.signer().as_slice());
    let signature = transaction.inner().signature();
    !transaction.is_eip4844() && signature.r() == number && signature.s() == number && !signature.v()
}
