//! A state that comes from elsewhere.
//!
//! [`Snapshot::for_each_node`] gives the nodes of a state in the order of a walk from its root; [`Import`] takes them in that
//! order. Each node must have the hash that a node before it named, the first the state root, so what has come to its end *is*
//! the state with that root, and a wrong node is refused when it comes. The flat tables follow from the leaves.
//!
//! **All or nothing.** While an import is under way the database has a layout that nobody opens; the marker and the real layout
//! are written last, in one transaction. An import that was interrupted begins anew.

use crate::{
    Account, Keep, Marker, Receipt, Seal, SealedBlock, Snapshot, StateError, Store,
    commitment::decode,
    prune::Marked,
    store::{encode_account, flat_key, write_history, write_marker, write_parts},
    tables::{ACCOUNTS, CODES, META, META_HEAD, META_LAYOUT, NODES, STORAGE, UNFINISHED, clear_all},
    walk::{Sub, Visitor, extend, key_of, root_of, walk},
};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256, map::B256Set};
use alloy_rlp::Encodable;
use alloy_trie::{Nibbles, TrieAccount};
use redb::{ReadableTable, ReadableTableMetadata};
use std::{path::Path, sync::Arc};

/// Bytes that wait until they are written together.
const BATCH: usize = 32 << 20;

/// Why something was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    /// A node that is not the one that must follow.
    #[error("trie node {index} of the state has the hash {found}, and must have {expected}")]
    Node {
        /// Its place in the order of the walk, from 0.
        index: u64,
        /// Its hash.
        found: B256,
        /// What the nodes before it name.
        expected: B256,
    },
    /// A node after the state's end.
    #[error("the state is whole after {0} trie nodes, and more follow")]
    Extra(u64),
    /// A node or a code that is missing at the end.
    #[error("the state is not whole: {nodes} trie nodes and {codes} codes at least are missing")]
    Incomplete {
        /// Nodes that were named and did not come.
        nodes: usize,
        /// Codes that were named and did not come.
        codes: usize,
    },
    /// A code that no account has.
    #[error("no account has the code with hash {0}")]
    Code(B256),
    /// The store.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Snapshot {
    /// Calls `visit` with each node of a state, in the order in which [`Import`] takes them. A storage trie follows the leaf of
    /// its account. Gives the hashes of the codes that accounts have, in the order of their first one.
    ///
    /// # Errors
    /// When the state is not whole, when the disk cannot be read, and what `visit` gives.
    pub fn for_each_node(
        &self,
        root: B256,
        visit: &mut dyn FnMut(&Bytes) -> Result<(), StateError>,
    ) -> Result<Vec<B256>, StateError> {
        let mut export = ExportState {
            snapshot: self,
            visit,
            seen: B256Set::default(),
            codes: Vec::new(),
        };
        walk(self, root, &mut export)?;
        Ok(export.codes)
    }

    /// The nodes, and the hashes of the codes, that it takes to read and prove single accounts of some states (by their roots),
    /// in ascending order of hashes.
    ///
    /// # Errors
    /// When a node is missing and when the disk cannot be read.
    pub fn nodes_of_accounts(
        &self,
        accounts: &[(B256, Address)],
    ) -> Result<(Vec<Bytes>, Vec<B256>), StateError> {
        let mut marked = Marked::default();
        for (root, address) in accounts {
            marked.account(self, *root, *address)?;
        }
        let sorted = |set: &B256Set| {
            let mut hashes: Vec<_> = set.iter().copied().collect();
            hashes.sort_unstable();
            hashes
        };
        let mut found = Vec::with_capacity(marked.nodes.len());
        for hash in sorted(&marked.nodes) {
            let node = crate::NodeReader::node(self, &hash)?;
            found.push(node.ok_or(StateError::MissingNode(hash))?);
        }
        Ok((found, sorted(&marked.codes)))
    }

    /// How many accounts the head's state has.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn account_count(&self) -> Result<u64, StateError> {
        self.accounts.len().map_err(|e| self.store().name(e.into()))
    }
}

struct ExportState<'a> {
    snapshot: &'a Snapshot,
    visit: &'a mut dyn FnMut(&Bytes) -> Result<(), StateError>,
    seen: B256Set,
    codes: Vec<B256>,
}

impl Visitor for ExportState<'_> {
    fn node(&mut self, _: &B256, bytes: &Bytes) -> Result<(), StateError> {
        (self.visit)(bytes)
    }

    fn leaf(&mut self, _: B256, _: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        let Some(leaf) = new else { return Ok(()) };
        let account: TrieAccount = decode(leaf)?;
        if account.code_hash != KECCAK256_EMPTY && self.seen.insert(account.code_hash) {
            self.codes.push(account.code_hash);
        }
        walk(
            self.snapshot,
            account.storage_root,
            &mut ExportStorage(self.visit),
        )
    }
}

struct ExportStorage<'a>(&'a mut dyn FnMut(&Bytes) -> Result<(), StateError>);

impl Visitor for ExportStorage<'_> {
    fn node(&mut self, _: &B256, bytes: &Bytes) -> Result<(), StateError> {
        (self.0)(bytes)
    }

    fn leaf(&mut self, _: B256, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<(), StateError> {
        Ok(())
    }
}

/// A node that must come.
#[derive(Debug)]
struct Expected {
    hash: B256,
    path: Nibbles,
    /// The account (its hashed address) whose storage it is in; `None` in the trie of accounts.
    storage_of: Option<B256>,
}

/// What waits to be written.
#[derive(Debug, Default)]
struct Batch {
    nodes: Vec<(B256, Bytes)>,
    accounts: Vec<(B256, [u8; 72])>,
    storage: Vec<([u8; 64], [u8; 32])>,
    codes: Vec<(B256, Bytes)>,
    blocks: Vec<(SealedBlock, Vec<Receipt>, Seal)>,
    bytes: usize,
}

/// A chain on its way into an empty store.
#[derive(Debug)]
pub struct Import {
    store: Arc<Store>,
    batch: Batch,
    /// The next one last.
    expected: Vec<Expected>,
    taken: u64,
    codes: B256Set,
    /// Bytes after which a batch is written.
    limit: usize,
}

impl Import {
    /// Removes what an import that failed has left in a folder, in which there was no chain before.
    pub fn discard(self) {
        let file = self.store.dir.join(crate::store::FILE);
        drop(self);
        // If it stays, the next import begins by emptying it.
        let _ = std::fs::remove_file(file);
    }

    /// With small batches.
    #[cfg(test)]
    pub(crate) fn in_batches_of(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// Begins an import into `dir`, which holds nothing, or an import that was interrupted.
    ///
    /// # Errors
    /// [`StateError::NotEmpty`] for a chain; what [`Store::open`] gives.
    pub fn begin(dir: &Path) -> Result<Self, StateError> {
        Self::into_store(Store::at(dir)?)
    }

    /// The same on a backend of the caller's choice.
    #[cfg(test)]
    pub(crate) fn on(backend: impl redb::StorageBackend) -> Result<Self, StateError> {
        Self::into_store(Store::raw(backend)?)
    }

    fn into_store(store: Store) -> Result<Self, StateError> {
        let tx = store.begin_write()?;
        let found = (|| {
            let meta = tx.open_table(META)?;
            let layout = meta.get(META_LAYOUT)?.map(|v| v.value().to_vec());
            let head = meta.get(META_HEAD)?.map(|v| v.value().to_vec());
            Ok::<_, redb::Error>((layout, head))
        })();
        let (layout, head) = found.map_err(|e| store.name(e))?;
        let layout = layout.and_then(|bytes| <[u8; 8]>::try_from(&bytes[..]).ok());
        let layout = layout.map_or(crate::LAYOUT, u64::from_be_bytes);
        if layout != crate::LAYOUT && layout != UNFINISHED {
            return Err(StateError::Layout {
                path: store.dir,
                found: layout,
                expected: crate::LAYOUT,
            });
        }
        if let Some(head) = head {
            let height = store.decode_marker(&head)?.height;
            return Err(StateError::NotEmpty {
                path: store.dir,
                height,
            });
        }
        (|| {
            clear_all(&tx)?;
            tx.open_table(META)?
                .insert(META_LAYOUT, &UNFINISHED.to_be_bytes()[..])?;
            Ok::<_, redb::Error>(())
        })()
        .map_err(|e| store.name(e))?;
        store.finish(tx)?;
        Ok(Self {
            store: Arc::new(store),
            batch: Batch::default(),
            expected: Vec::new(),
            taken: 0,
            codes: B256Set::default(),
            limit: BATCH,
        })
    }

    /// Takes a block. That it belongs to the chain is for the caller to know.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn block(
        &mut self,
        block: SealedBlock,
        receipts: Vec<Receipt>,
        seal: Seal,
    ) -> Result<(), StateError> {
        /// Bytes of a header, its seal, a sender.
        const REST: usize = 1024;
        let receipt_bytes: usize = receipts.iter().map(Encodable::length).sum();
        self.batch.bytes += REST + block.body.length() + receipt_bytes;
        self.batch.blocks.push((block, receipts, seal));
        self.flush_if_full()
    }

    /// The state that is to come now, node by node.
    pub fn state(&mut self, root: B256) {
        let expected = root_of(root).map(|_| Expected {
            hash: root,
            path: Nibbles::new(),
            storage_of: None,
        });
        self.expected = expected.into_iter().collect();
    }

    /// Takes the next node of the state.
    ///
    /// # Errors
    /// When it is not the next one, and when the disk cannot be written.
    pub fn node(&mut self, bytes: Bytes) -> Result<(), ImportFault> {
        let next = self.expected.pop().ok_or(ImportFault::Extra(self.taken))?;
        let found = keccak256(&bytes);
        if found != next.hash {
            return Err(ImportFault::Node {
                index: self.taken,
                found,
                expected: next.hash,
            });
        }
        self.taken += 1;
        let mut below = Vec::new();
        if let Some(sub) = Sub::decode(&bytes)? {
            self.descend(sub, next.path, next.storage_of, &mut below)?;
        }
        self.expected.extend(below.into_iter().rev());
        self.loose_node(bytes)?;
        Ok(())
    }

    /// What a node says: values go into the flat tables, nodes below it must come.
    fn descend(
        &mut self,
        sub: Sub,
        mut path: Nibbles,
        storage_of: Option<B256>,
        below: &mut Vec<Expected>,
    ) -> Result<(), StateError> {
        match sub {
            Sub::Stored(hash) => below.push(Expected {
                hash,
                path,
                storage_of,
            }),
            Sub::Path(nibbles, end) => {
                extend(&mut path, &nibbles)?;
                self.descend(*end, path, storage_of, below)?;
            }
            Sub::Branch(children) => {
                for (nibble, child) in (0..).zip(*children) {
                    if let Some(child) = child {
                        let mut path = path;
                        extend(&mut path, &Nibbles::from_nibbles([nibble]))?;
                        self.descend(child, path, storage_of, below)?;
                    }
                }
            }
            Sub::Value(value) => self.value(key_of(&path)?, &value, storage_of, below)?,
        }
        Ok(())
    }

    fn value(
        &mut self,
        key: B256,
        value: &[u8],
        storage_of: Option<B256>,
        below: &mut Vec<Expected>,
    ) -> Result<(), StateError> {
        if let Some(account) = storage_of {
            let value: U256 = decode(value)?;
            let entry = (flat_key(account, key), value.to_be_bytes());
            self.batch.bytes += 96;
            self.batch.storage.push(entry);
            return Ok(());
        }
        let account: TrieAccount = decode(value)?;
        if account.code_hash != KECCAK256_EMPTY {
            self.codes.insert(account.code_hash);
        }
        below.extend(root_of(account.storage_root).map(|_| Expected {
            hash: account.storage_root,
            path: Nibbles::new(),
            storage_of: Some(key),
        }));
        let account = Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        };
        self.batch.bytes += 104;
        self.batch.accounts.push((key, encode_account(&account)));
        Ok(())
    }

    /// Takes a node that is not of the state: one of those by which single accounts of older states stay readable.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn loose_node(&mut self, bytes: Bytes) -> Result<(), StateError> {
        self.batch.bytes += 32 + bytes.len();
        self.batch.nodes.push((keccak256(&bytes), bytes));
        self.flush_if_full()
    }

    /// Takes a code that accounts of the state have, each once.
    ///
    /// # Errors
    /// When no account has it, and when the disk cannot be written.
    pub fn code(&mut self, bytes: Bytes) -> Result<(), ImportFault> {
        let hash = keccak256(&bytes);
        if !self.codes.remove(&hash) {
            return Err(ImportFault::Code(hash));
        }
        Ok(self.loose_code(bytes)?)
    }

    /// Takes a code of an account of an older state.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub fn loose_code(&mut self, bytes: Bytes) -> Result<(), StateError> {
        self.batch.bytes += 32 + bytes.len();
        self.batch.codes.push((keccak256(&bytes), bytes));
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), StateError> {
        if self.batch.bytes < self.limit {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StateError> {
        let Batch {
            mut nodes,
            accounts,
            storage,
            codes,
            blocks,
            ..
        } = std::mem::take(&mut self.batch);
        // Neighbours in the table are written together.
        nodes.sort_unstable_by_key(|(hash, _)| *hash);
        let tx = self.store.begin_write()?;
        let write = || {
            let mut table = tx.open_table(NODES)?;
            for (hash, node) in &nodes {
                table.insert(&hash.0, &node[..])?;
            }
            let mut table = tx.open_table(CODES)?;
            for (hash, code) in &codes {
                table.insert(&hash.0, &code[..])?;
            }
            let mut table = tx.open_table(ACCOUNTS)?;
            for (key, account) in &accounts {
                table.insert(&key.0, &account[..])?;
            }
            let mut table = tx.open_table(STORAGE)?;
            for (key, value) in &storage {
                table.insert(key, value)?;
            }
            for (block, receipts, seal) in &blocks {
                write_parts(&tx, block, receipts, seal)?;
            }
            Ok::<_, redb::Error>(())
        };
        write().map_err(|e| self.store.name(e))?;
        self.store.finish(tx)
    }

    /// Makes what came a chain whose head is `marker`, if the state and the accounts of older states that `keep` names are
    /// whole. History starts at the head, since no older state came.
    ///
    /// # Errors
    /// When something is missing, and when the disk cannot be written. Nothing that was imported is visible then.
    pub fn finish(&mut self, marker: &Marker, keep: &Keep) -> Result<Arc<Store>, ImportFault> {
        if !self.expected.is_empty() || !self.codes.is_empty() {
            return Err(ImportFault::Incomplete {
                nodes: self.expected.len(),
                codes: self.codes.len(),
            });
        }
        self.flush()?;
        let store = self.store.clone();
        let snapshot = store.snapshot()?;
        snapshot.nodes_of_accounts(&keep.accounts)?;
        let tx = store.begin_write()?;
        let write = || {
            write_marker(&tx, marker)?;
            write_history(&tx, marker.height)?;
            tx.open_table(META)?
                .insert(META_LAYOUT, &crate::LAYOUT.to_be_bytes()[..])?;
            Ok::<_, redb::Error>(())
        };
        write().map_err(|e| store.name(e))?;
        store.finish(tx)?;
        Ok(store)
    }
}
