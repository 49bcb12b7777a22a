//! The state after some block: finalised, historical, or not final yet.

use crate::{
    Account, AccountProof, Committed, Mpt, NodeReader, Snapshot, StateChanges, StateCommitment, StateError,
    commitment::hash_slot,
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use revm::{DatabaseRef, bytecode::Bytecode, state::AccountInfo};
use std::{collections::BTreeMap, sync::Arc};

/// What one unfinalised block adds to the state of its parent. Dropping it undoes the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    /// Height of the block.
    pub number: u64,
    /// Hash of the block.
    pub hash: B256,
    /// State root after the block.
    pub root: B256,
    /// What the block changes.
    pub changes: StateChanges,
    /// Trie nodes that the new root needs beyond its parent's.
    pub nodes: BTreeMap<B256, Bytes>,
}

impl Overlay {
    /// Bytes that the overlay holds, roughly: what it keeps, and the keys and pointers around it.
    #[must_use]
    pub fn weight(&self) -> usize {
        /// A key with its place in a map, the value's own pointers, an account's fields.
        const ENTRY: usize = 128;
        let accounts = self.changes.accounts.values();
        let accounts: usize = accounts.map(|change| (1 + change.storage.len()) * ENTRY).sum();
        let blobs = self.changes.codes.values().chain(self.nodes.values());
        accounts + blobs.map(|bytes| bytes.len() + ENTRY).sum::<usize>()
    }
}

/// The state after a block: a snapshot of the store, and above it the overlays of blocks that are not final.
///
/// Reads look through the overlays, newest first, then into the flat tables when the snapshot's head is exactly the
/// state below the overlays, and else into the trie under that root. The roads give the same values; the trie is the
/// truth, the flat tables are faster.
#[derive(Clone, Debug)]
pub struct StateView {
    snapshot: Arc<Snapshot>,
    /// Newest first.
    overlays: Arc<[Arc<Overlay>]>,
    root: B256,
    base_root: B256,
    flat: bool,
}

impl StateView {
    /// The state under a root that the store knows.
    #[must_use]
    pub fn at(snapshot: Arc<Snapshot>, root: B256) -> Self {
        Self::over(snapshot, root, [].into())
    }

    /// The state after the newest of `overlays` (newest first), which stand on the stored root `base_root`.
    #[must_use]
    pub fn over(snapshot: Arc<Snapshot>, base_root: B256, overlays: Arc<[Arc<Overlay>]>) -> Self {
        let root = overlays.first().map_or(base_root, |o| o.root);
        let flat = snapshot.marker().is_some_and(|m| m.state_root == base_root);
        Self {
            snapshot,
            overlays,
            root,
            base_root,
            flat,
        }
    }

    /// The state root.
    #[must_use]
    pub const fn root(&self) -> B256 {
        self.root
    }

    /// The account, `None` when there is none.
    pub fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        for overlay in self.overlays.iter() {
            if let Some(change) = overlay.changes.accounts.get(&address) {
                return Ok(change.account);
            }
        }
        if self.flat {
            return self.snapshot.flat_account(address);
        }
        let leaf = Mpt.account(&*self.snapshot, self.base_root, keccak256(address))?;
        Ok(leaf.map(|a| Account {
            nonce: a.nonce,
            balance: a.balance,
            code_hash: a.code_hash,
        }))
    }

    /// The value of a slot; zero when it is not set.
    pub fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        for overlay in self.overlays.iter() {
            if let Some(change) = overlay.changes.accounts.get(&address) {
                if change.account.is_none() {
                    return Ok(U256::ZERO);
                }
                if let Some(value) = change.storage.get(&slot) {
                    return Ok(*value);
                }
                if change.wiped {
                    return Ok(U256::ZERO);
                }
            }
        }
        if self.flat {
            return self.snapshot.flat_storage(address, slot);
        }
        match Mpt.account(&*self.snapshot, self.base_root, keccak256(address))? {
            Some(account) if account.storage_root != EMPTY_ROOT_HASH => {
                Mpt.storage(&*self.snapshot, account.storage_root, hash_slot(slot))
            }
            _ => Ok(U256::ZERO),
        }
    }

    /// The code with this hash.
    pub fn code(&self, hash: B256) -> Result<Bytes, StateError> {
        if hash == KECCAK256_EMPTY {
            return Ok(Bytes::new());
        }
        for overlay in self.overlays.iter() {
            if let Some(code) = overlay.changes.codes.get(&hash) {
                return Ok(code.clone());
            }
        }
        self.snapshot.code(&hash)?.ok_or(StateError::MissingCode(hash))
    }

    /// The code of an account; empty when it has none.
    pub fn code_at(&self, address: Address) -> Result<Bytes, StateError> {
        match self.account(address)? {
            Some(account) => self.code(account.code_hash),
            None => Ok(Bytes::new()),
        }
    }

    /// Proofs for an account and some of its slots (EIP-1186).
    pub fn prove(&self, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
        Mpt.prove(self, self.root, address, slots)
    }

    /// The root after `changes`, with the nodes it adds. Nothing is written.
    pub fn commit(&self, changes: &StateChanges) -> Result<Committed, StateError> {
        Mpt.commit(self, self.root, changes)
    }
}

impl NodeReader for StateView {
    fn node(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        for overlay in self.overlays.iter() {
            if let Some(node) = overlay.nodes.get(hash) {
                return Ok(Some(node.clone()));
            }
        }
        self.snapshot.node(hash)
    }
}

impl DatabaseRef for StateView {
    type Error = StateError;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, StateError> {
        // `code: None` asks revm to fetch the code by its hash; `AccountInfo::default()` would claim empty code.
        Ok(self.account(address)?.map(|account| AccountInfo {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
            code: None,
            ..Default::default()
        }))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, StateError> {
        let codes = &self.snapshot.store().codes;
        codes.get_or_read(hash, || Ok(Bytecode::new_raw(self.code(hash)?)))
    }

    fn storage_ref(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.storage(address, slot)
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, StateError> {
        for overlay in self.overlays.iter() {
            if overlay.number == number {
                return Ok(overlay.hash);
            }
        }
        Ok(self.snapshot.block_hash(number)?.unwrap_or_default())
    }
}
