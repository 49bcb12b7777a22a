//! What one block changes, in an order that does not depend on any hash map.

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use revm::database::BundleState;
use std::collections::{BTreeMap, BTreeSet};

/// An account without its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Transactions sent, or contracts created by it plus one.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// keccak-256 of its code, [`KECCAK256_EMPTY`] when it has none.
    pub code_hash: B256,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            nonce: 0,
            balance: U256::ZERO,
            code_hash: KECCAK256_EMPTY,
        }
    }
}

/// What became of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountChange {
    /// The account after the block; `None` when it is gone.
    pub account: Option<Account>,
    /// Storage held before the block is gone (self-destruction), whatever `storage` then sets.
    pub wiped: bool,
    /// Slots written, with the values that stand after the block. Zero clears a slot.
    pub storage: BTreeMap<U256, U256>,
}

/// Everything that one block changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateChanges {
    /// Accounts touched.
    pub accounts: BTreeMap<Address, AccountChange>,
    /// New code by its hash.
    pub codes: BTreeMap<B256, Bytes>,
}

impl StateChanges {
    /// Sets an account as it stands at genesis.
    pub fn genesis_account(
        &mut self,
        address: Address,
        nonce: u64,
        balance: U256,
        code: Option<&Bytes>,
        storage: impl IntoIterator<Item = (B256, B256)>,
    ) {
        let code_hash = match code {
            Some(code) if !code.is_empty() => {
                let hash = keccak256(code);
                self.codes.insert(hash, code.clone());
                hash
            }
            _ => KECCAK256_EMPTY,
        };
        let storage = storage
            .into_iter()
            .filter(|(_, v)| !v.is_zero())
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        let account = Some(Account {
            nonce,
            balance,
            code_hash,
        });
        self.accounts.insert(
            address,
            AccountChange {
                account,
                wiped: false,
                storage,
            },
        );
    }
}

impl From<BundleState> for StateChanges {
    /// Keeps what differs. A slot that was written back to its old value is no change, except in an account whose old
    /// storage is gone.
    fn from(bundle: BundleState) -> Self {
        let accounts = bundle
            .state
            .into_iter()
            .map(|(address, account)| {
                let wiped = account.was_destroyed();
                let storage = account
                    .storage
                    .iter()
                    .filter(|(_, slot)| wiped || slot.is_changed())
                    .map(|(key, slot)| (*key, slot.present_value))
                    .collect();
                let account = account.info.map(|info| Account {
                    nonce: info.nonce,
                    balance: info.balance,
                    code_hash: info.code_hash,
                });
                (
                    address,
                    AccountChange {
                        account,
                        wiped,
                        storage,
                    },
                )
            })
            .collect();
        let codes = bundle
            .contracts
            .into_iter()
            .filter(|(hash, _)| *hash != KECCAK256_EMPTY)
            .map(|(hash, code)| (hash, code.original_bytes()))
            .collect();
        Self { accounts, codes }
    }
}

/// What a development chain changed in a state between two blocks, all edits of that state together. Whoever lists the accounts
/// of a state must look here too, since no transaction tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Edits {
    /// The state root after them.
    pub root: B256,
    /// The accounts that they touched.
    pub accounts: Vec<EditedAccount>,
}

/// An account that edits touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct EditedAccount {
    /// Where.
    pub address: Address,
    /// The slots that they wrote, ascending.
    pub slots: Vec<U256>,
}

impl Edits {
    /// Notes what some changes touch.
    pub(crate) fn touch(&mut self, changes: &StateChanges) {
        let mut accounts: BTreeMap<Address, BTreeSet<U256>> = std::mem::take(&mut self.accounts)
            .into_iter()
            .map(|account| (account.address, account.slots.into_iter().collect()))
            .collect();
        for (address, change) in &changes.accounts {
            accounts
                .entry(*address)
                .or_default()
                .extend(change.storage.keys());
        }
        self.accounts = accounts
            .into_iter()
            .map(|(address, slots)| EditedAccount {
                address,
                slots: slots.into_iter().collect(),
            })
            .collect();
    }
}
