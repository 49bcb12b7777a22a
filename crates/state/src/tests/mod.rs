//! The store against a model in memory, a second trie, and disks that fail.

mod check;
mod compact;
mod crash;
mod history;
mod import;
mod prune;
mod refusals;

use crate::{
    Account, AccountChange, BlockCommit, Overlay, Seal, SealedBlock, StateChanges, StateView, Store,
};
use alloy_consensus::{BlockBody, Header};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount, root};
use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

/// What a state is, said as plainly as can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) accounts: BTreeMap<Address, (Account, BTreeMap<U256, U256>)>,
}

impl Model {
    pub(super) fn apply(&mut self, changes: &StateChanges) {
        for (address, change) in &changes.accounts {
            let Some(account) = change.account else {
                self.accounts.remove(address);
                continue;
            };
            let entry = self.accounts.entry(*address).or_default();
            entry.0 = account;
            if change.wiped {
                entry.1.clear();
            }
            for (slot, value) in &change.storage {
                if value.is_zero() {
                    entry.1.remove(slot);
                } else {
                    entry.1.insert(*slot, *value);
                }
            }
        }
    }

    /// The leaf of an account, by `alloy_trie`.
    pub(super) fn leaf(account: &Account, storage: &BTreeMap<U256, U256>) -> TrieAccount {
        let slots = storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
        TrieAccount {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
            storage_root: root::storage_root_unhashed(slots),
        }
    }

    /// The state root, by `alloy_trie` from all leaves at once.
    pub(super) fn root(&self) -> B256 {
        let leaves = self
            .accounts
            .iter()
            .map(|(a, (account, storage))| (*a, Self::leaf(account, storage)));
        root::state_root_unhashed(leaves)
    }
}

/// A block with nothing in it but what it changes.
pub(super) struct Step {
    pub(super) block: SealedBlock,
    pub(super) overlay: Arc<Overlay>,
    pub(super) seal: Seal,
}

impl Step {
    pub(super) fn new(view: &StateView, number: u64, parent_hash: B256, changes: StateChanges) -> Self {
        let committed = view.commit(&changes).unwrap();
        let header = Header {
            number,
            parent_hash,
            state_root: committed.root,
            ..Default::default()
        };
        let hash = header.hash_slow();
        let block = SealedBlock {
            hash,
            header,
            body: BlockBody::default(),
            senders: Vec::new(),
        };
        let overlay = Overlay {
            number,
            hash,
            root: committed.root,
            changes,
            nodes: committed.nodes,
        };
        let seal = Seal {
            digest: keccak256(hash),
            ..Default::default()
        };
        Self {
            block,
            overlay: Arc::new(overlay),
            seal,
        }
    }

    pub(super) fn commit(&self) -> BlockCommit<'_> {
        BlockCommit {
            block: &self.block,
            receipts: &[],
            seal: &self.seal,
            overlay: &self.overlay,
        }
    }
}

/// The state of the store's last block.
pub(super) fn latest(store: &Arc<Store>) -> StateView {
    let snapshot = store.snapshot().unwrap();
    let root = snapshot.marker().map_or(EMPTY_ROOT_HASH, |m| m.state_root);
    StateView::at(snapshot, root)
}

/// Builds a block on the store's last one and stores it.
pub(super) fn extend(store: &Arc<Store>, changes: StateChanges) -> Result<Step, crate::StateError> {
    let view = latest(store);
    let marker = store.snapshot()?.marker().copied();
    let step = Step::new(
        &view,
        marker.map_or(0, |m| m.height + 1),
        marker.map_or(B256::ZERO, |m| m.hash),
        changes,
    );
    store.commit(&[step.commit()])?;
    Ok(step)
}

/// Checks the whole store; gives how many nodes are of no use.
#[track_caller]
pub(super) fn in_order(store: &Arc<Store>) -> u64 {
    let report = store
        .check(&Default::default(), &|_| true, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert!(report.finished);
    assert_eq!((report.wrong, &report.findings[..]), (0, &[][..]));
    report.unreachable
}

pub(super) fn account(nonce: u64, balance: u64, code: Option<&Bytes>) -> Account {
    Account {
        nonce,
        balance: U256::from(balance),
        code_hash: code.map_or(alloy_primitives::KECCAK256_EMPTY, keccak256),
    }
}

/// An account set to a balance, with slots.
pub(super) fn set(changes: &mut StateChanges, index: u8, balance: u64, slots: &[(u64, u64)]) {
    let storage = slots
        .iter()
        .map(|(k, v)| (U256::from(*k), U256::from(*v)))
        .collect();
    let change = AccountChange {
        account: Some(account(1, balance, None)),
        wiped: false,
        storage,
    };
    changes.accounts.insert(Address::repeat_byte(index), change);
}
