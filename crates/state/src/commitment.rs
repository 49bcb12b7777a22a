//! Ethereum's commitment to the state: a Merkle-Patricia trie over keccak-256 of addresses, with one more trie for the
//! storage of each account.
//!
//! [`StateCommitment`] is the seam: it computes roots, reads and proofs from nodes that a [`NodeReader`] supplies, and
//! returns new nodes instead of writing them. Nothing here touches a disk, so an unfinalised block can keep its nodes in
//! memory and throw them away. [`Mpt`] implements it on `eth_trie`; its roots are checked against a second
//! implementation (`alloy_trie`) by a property test.
//!
//! `eth_trie::root_hash` writes *and deletes*: it removes the nodes that the new root no longer reaches. Here deletion
//! is a no-op, for two reasons. Old roots stay readable (until they are pruned, which is another matter), and nodes are
//! shared: two accounts with equal storage have one storage trie, which the first of them must not tear down.

use crate::{Account, StateChanges, StateError};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use eth_trie::{DB, EthTrie, Trie, TrieError};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// Supplies trie nodes by hash.
pub trait NodeReader: Send + Sync {
    /// The node with this keccak-256, `None` when it is not stored.
    fn node(&self, hash: &B256) -> Result<Option<Bytes>, StateError>;
}

/// A new root and the nodes that it needs beyond those of the old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The new state root.
    pub root: B256,
    /// New nodes by hash.
    pub nodes: BTreeMap<B256, Bytes>,
}

/// A proof for one storage slot (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot, before hashing.
    pub key: U256,
    /// Its value.
    pub value: U256,
    /// Nodes from the storage root down.
    pub proof: Vec<Bytes>,
}

/// A proof for one account and some of its slots (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account.
    pub address: Address,
    /// What the trie holds for it, `None` when there is no such account (the proof then shows its absence).
    pub account: Option<TrieAccount>,
    /// Nodes from the state root down.
    pub proof: Vec<Bytes>,
    /// One for each slot asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// One way to commit to a state.
pub trait StateCommitment {
    /// The root after `changes` on `root`, and the nodes it adds.
    fn commit(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        changes: &StateChanges,
    ) -> Result<Committed, StateError>;

    /// The leaf of an account.
    fn account(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        hashed_address: B256,
    ) -> Result<Option<TrieAccount>, StateError>;

    /// The value of a slot under a storage root; zero when there is none.
    fn storage(
        &self,
        nodes: &dyn NodeReader,
        storage_root: B256,
        hashed_slot: B256,
    ) -> Result<U256, StateError>;

    /// Proofs for an account and some of its slots.
    fn prove(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        address: Address,
        slots: &[U256],
    ) -> Result<AccountProof, StateError>;
}

/// The hash of a slot's key.
#[must_use]
pub fn hash_slot(slot: U256) -> B256 {
    keccak256(B256::from(slot))
}

/// Ethereum's secure Merkle-Patricia trie.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mpt;

/// `eth_trie`'s view of a [`NodeReader`]: reads go down, writes stay here, deletions do nothing.
struct Session<'a> {
    nodes: &'a dyn NodeReader,
    fresh: Mutex<BTreeMap<B256, Bytes>>,
    /// `eth_trie` turns errors into text; the typed one waits here.
    fault: Mutex<Option<StateError>>,
}

/// Tells `eth_trie` that the real error is in [`Session::fault`].
#[derive(Debug, thiserror::Error)]
#[error("see the store's error")]
struct Faulted;

impl DB for Session<'_> {
    type Error = Faulted;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Faulted> {
        let Ok(hash) = B256::try_from(key) else {
            return Ok(None);
        };
        if let Some(node) = self.fresh.lock().get(&hash) {
            return Ok(Some(node.to_vec()));
        }
        match self.nodes.node(&hash) {
            Ok(node) => Ok(node.map(|n| n.to_vec())),
            Err(error) => {
                *self.fault.lock() = Some(error);
                Err(Faulted)
            }
        }
    }

    fn insert(&self, key: &[u8], value: Vec<u8>) -> Result<(), Faulted> {
        self.fresh.lock().insert(B256::from_slice(key), value.into());
        Ok(())
    }

    fn remove(&self, _key: &[u8]) -> Result<(), Faulted> {
        Ok(())
    }

    fn flush(&self) -> Result<(), Faulted> {
        Ok(())
    }
}

impl<'a> Session<'a> {
    fn new(nodes: &'a dyn NodeReader) -> Arc<Self> {
        Arc::new(Self {
            nodes,
            fresh: Mutex::default(),
            fault: Mutex::default(),
        })
    }

    fn name(&self, error: TrieError) -> StateError {
        if let Some(fault) = self.fault.lock().take() {
            return fault;
        }
        match error {
            TrieError::MissingTrieNode { node_hash, .. } => StateError::MissingNode(node_hash),
            other => StateError::BadNode(other.to_string()),
        }
    }

    fn trie(self: &Arc<Self>, root: B256) -> Result<EthTrie<Session<'a>>, StateError> {
        if root == EMPTY_ROOT_HASH {
            return Ok(EthTrie::new(self.clone()));
        }
        EthTrie::from(self.clone(), root).map_err(|e| match e {
            TrieError::InvalidStateRoot => StateError::MissingNode(root),
            other => self.name(other),
        })
    }

    fn account(&self, trie: &EthTrie<Session<'a>>, hashed: B256) -> Result<Option<TrieAccount>, StateError> {
        let leaf = trie.get(hashed.as_slice()).map_err(|e| self.name(e))?;
        leaf.map(|bytes| decode(&bytes)).transpose()
    }
}

/// Decodes a leaf's value.
pub(crate) fn decode<T: Decodable>(mut bytes: &[u8]) -> Result<T, StateError> {
    T::decode(&mut bytes).map_err(|e| StateError::BadNode(e.to_string()))
}

impl StateCommitment for Mpt {
    fn commit(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        changes: &StateChanges,
    ) -> Result<Committed, StateError> {
        if changes.accounts.is_empty() {
            return Ok(Committed {
                root,
                nodes: BTreeMap::new(),
            });
        }
        let session = Session::new(nodes);
        let mut accounts = session.trie(root)?;
        for (address, change) in &changes.accounts {
            let key = keccak256(address);
            let Some(Account {
                nonce,
                balance,
                code_hash,
            }) = change.account
            else {
                accounts.remove(key.as_slice()).map_err(|e| session.name(e))?;
                continue;
            };
            let old_root = if change.wiped {
                EMPTY_ROOT_HASH
            } else {
                session
                    .account(&accounts, key)?
                    .map_or(EMPTY_ROOT_HASH, |a| a.storage_root)
            };
            let storage_root = if change.storage.is_empty() {
                old_root
            } else {
                let mut storage = session.trie(old_root)?;
                for (slot, value) in &change.storage {
                    let key = hash_slot(*slot);
                    if value.is_zero() {
                        storage.remove(key.as_slice()).map_err(|e| session.name(e))?;
                    } else {
                        storage
                            .insert(key.as_slice(), &alloy_rlp::encode(value))
                            .map_err(|e| session.name(e))?;
                    }
                }
                storage.root_hash().map_err(|e| session.name(e))?
            };
            let leaf = TrieAccount {
                nonce,
                balance,
                storage_root,
                code_hash,
            };
            accounts
                .insert(key.as_slice(), &alloy_rlp::encode(leaf))
                .map_err(|e| session.name(e))?;
        }
        let root = accounts.root_hash().map_err(|e| session.name(e))?;
        drop(accounts);
        let nodes = std::mem::take(&mut *session.fresh.lock());
        Ok(Committed { root, nodes })
    }

    fn account(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        hashed_address: B256,
    ) -> Result<Option<TrieAccount>, StateError> {
        let session = Session::new(nodes);
        session.account(&session.trie(root)?, hashed_address)
    }

    fn storage(
        &self,
        nodes: &dyn NodeReader,
        storage_root: B256,
        hashed_slot: B256,
    ) -> Result<U256, StateError> {
        let session = Session::new(nodes);
        let trie = session.trie(storage_root)?;
        let value = trie.get(hashed_slot.as_slice()).map_err(|e| session.name(e))?;
        value.map_or(Ok(U256::ZERO), |bytes| decode(&bytes))
    }

    fn prove(
        &self,
        nodes: &dyn NodeReader,
        root: B256,
        address: Address,
        slots: &[U256],
    ) -> Result<AccountProof, StateError> {
        let session = Session::new(nodes);
        let proof_of = |trie: &mut EthTrie<Session<'_>>, key: B256| -> Result<Vec<Bytes>, StateError> {
            let proof = trie.get_proof(key.as_slice()).map_err(|e| session.name(e))?;
            Ok(proof.into_iter().map(Bytes::from).collect())
        };
        let key = keccak256(address);
        let mut accounts = session.trie(root)?;
        let account = session.account(&accounts, key)?;
        let proof = proof_of(&mut accounts, key)?;
        let mut storage_trie = session.trie(account.map_or(EMPTY_ROOT_HASH, |a| a.storage_root))?;
        let mut storage = Vec::with_capacity(slots.len());
        for slot in slots {
            let key = hash_slot(*slot);
            let value = storage_trie.get(key.as_slice()).map_err(|e| session.name(e))?;
            let value = value.map_or(Ok(U256::ZERO), |bytes| decode(&bytes))?;
            storage.push(StorageProof {
                key: *slot,
                value,
                proof: proof_of(&mut storage_trie, key)?,
            });
        }
        Ok(AccountProof {
            address,
            account,
            proof,
            storage,
        })
    }
}
