//! The database: one redb file, one durable transaction a block.
//!
//! What the tables hold is told where they are defined (`tables.rs`).
//!
//! A write transaction of redb is atomic and, when `commit` returns, on the disk. Everything a block brings goes into
//! one, the marker included, so after a crash at any instant the store holds whole blocks and its marker names the last.

use crate::{
    Account, Committed, Edits, LAYOUT, Marker, Overlay, Receipt, Seal, SealedBlock, Snapshot, StateChanges,
    StateError,
    commitment::{decode, hash_slot},
    kept::Kept,
    prune::{Written, whole},
    tables::{
        ACCOUNTS, BODIES, CERTIFICATES, CODES, DIGESTS, EDITS, ENVELOPES, HASHES, HEADERS, META, META_HEAD,
        META_HISTORY, META_LAYOUT, NODES, RECEIPTS, SENDERS, STORAGE, TRANSACTIONS, UNFINISHED, open_all,
    },
    walk::{Visitor, diff},
};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, TrieAccount};
use parking_lot::Mutex;
use redb::{Database, ReadableTable, Table, WriteTransaction, backends::FileBackend};
use revm::bytecode::Bytecode;
use same_file::Handle;
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Memory that redb may keep pages in. Its own default is 1 GiB, more than a node beside models should take.
pub(crate) const CACHE_BYTES: usize = 256 << 20;
/// Bytes of code that was run, in each generation of those that are kept.
const CODE_BYTES: usize = 16 << 20;
/// What code takes beside its bytes and its jump table.
const ENTRY: usize = 256;
/// The name of the file in the data folder.
pub(crate) const FILE: &str = "state.redb";
/// height ‖ digest ‖ hash ‖ state root.
const MARKER_LEN: usize = 8 + 3 * 32;

/// The database of one node.
#[derive(Debug)]
pub struct Store {
    pub(crate) db: Database,
    pub(crate) dir: PathBuf,
    /// While states are pruned, what was written since that began. Touched only by who holds redb's one write transaction.
    pub(crate) written: Mutex<Option<Written>>,
    /// Held by whoever prunes.
    pub(crate) pruner: Mutex<()>,
    /// States that somebody may come back to, by how many.
    pub(crate) held: Mutex<BTreeMap<B256, usize>>,
    /// How many transactions were written.
    version: AtomicU64,
    /// Code that was run, by its hash: to run code is to know its jump destinations, which takes a look at every byte.
    pub(crate) codes: Kept<B256, Bytecode>,
}

/// A block on its way into the store.
#[derive(Clone, Copy, Debug)]
pub struct BlockCommit<'a> {
    /// The block.
    pub block: &'a SealedBlock,
    /// Its receipts, one a transaction.
    pub receipts: &'a [Receipt],
    /// What consensus says.
    pub seal: &'a Seal,
    /// The state it leaves, with new nodes and code.
    pub overlay: &'a Overlay,
}

impl Store {
    /// Opens (or creates) `dir/state.redb`.
    pub fn open(dir: &Path) -> Result<Arc<Self>, StateError> {
        Self::at(dir)?.prepared()
    }

    /// Opens (or creates) the file, whatever is in it.
    pub(crate) fn at(dir: &Path) -> Result<Self, StateError> {
        let io = |source: std::io::Error| StateError::from_redb(dir, redb::Error::Io(source));
        std::fs::create_dir_all(dir).map_err(io)?;
        let path = dir.join(FILE);
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(io)?;
            let opened = file.try_clone().and_then(Handle::from_file).map_err(io)?;
            let db = FileBackend::new(file)
                .and_then(|file| {
                    Database::builder()
                        .set_cache_size(CACHE_BYTES)
                        .create_with_backend(file)
                })
                .map_err(|e| StateError::from_redb(dir, e.into()))?;
            // Between opening the file and locking it, `compact` may have put another in its place and let go of this one. Whoever
            // went on with it would write where nobody looks again.
            if Handle::from_path(&path).map_err(io)? == opened {
                return Ok(Self::with(db, dir.to_path_buf()));
            }
        }
    }

    fn with(db: Database, dir: PathBuf) -> Self {
        Self {
            db,
            dir,
            written: Mutex::default(),
            pruner: Mutex::default(),
            held: Mutex::default(),
            version: AtomicU64::new(0),
            codes: Kept::new(CODE_BYTES, |code| code.len() + code.len() / 8 + ENTRY),
        }
    }

    /// A store without a disk, for tests and throw-away chains. It is forgotten when dropped.
    pub fn in_memory() -> Result<Arc<Self>, StateError> {
        Self::on(redb::backends::InMemoryBackend::new())
    }

    /// A store on a backend of the caller's choice: memory, or a disk that fails when told.
    pub(crate) fn on(backend: impl redb::StorageBackend) -> Result<Arc<Self>, StateError> {
        Self::raw(backend)?.prepared()
    }

    /// The same, whatever is in it.
    pub(crate) fn raw(backend: impl redb::StorageBackend) -> Result<Self, StateError> {
        let dir = PathBuf::from("<memory>");
        let db = Database::builder()
            .create_with_backend(backend)
            .map_err(|e| StateError::from_redb(&dir, e.into()))?;
        Ok(Self::with(db, dir))
    }

    /// Creates the tables and checks the layout.
    fn prepared(self) -> Result<Arc<Self>, StateError> {
        let tx = self.begin_write()?;
        let found = (|| {
            open_all(&tx)?;
            let mut meta = tx.open_table(META)?;
            let found = meta.get(META_LAYOUT)?.map(|v| v.value().to_vec());
            if found.is_none() {
                meta.insert(META_LAYOUT, &LAYOUT.to_be_bytes()[..])?;
            }
            Ok::<_, redb::Error>(found)
        })()
        .map_err(|e| self.name(e))?;
        self.finish(tx)?;
        match found.map(|bytes| <[u8; 8]>::try_from(&bytes[..]).map(u64::from_be_bytes)) {
            None | Some(Ok(LAYOUT)) => Ok(Arc::new(self)),
            Some(Ok(UNFINISHED)) => Err(StateError::Unfinished { path: self.dir }),
            Some(Ok(found)) => Err(StateError::Layout {
                path: self.dir,
                found,
                expected: LAYOUT,
            }),
            Some(Err(_)) => Err(self.corrupt("its layout number does not have 8 bytes")),
        }
    }

    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, StateError> {
        self.db.begin_write().map_err(|e| self.name(e.into()))
    }

    /// Makes what was written durable.
    pub(crate) fn finish(&self, tx: WriteTransaction) -> Result<(), StateError> {
        tx.commit().map_err(|e| self.name(e.into()))?;
        self.version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Changes with everything that is written: a snapshot that was taken after this was read shows all there is for as long as
    /// it stays.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn name(&self, error: redb::Error) -> StateError {
        StateError::from_redb(&self.dir, error)
    }

    /// The error for stored bytes that cannot be right.
    #[must_use]
    pub fn corrupt(&self, reason: impl Into<String>) -> StateError {
        StateError::Corrupt {
            path: self.dir.clone(),
            reason: reason.into(),
        }
    }

    /// A consistent view of everything, as of the last whole block.
    pub fn snapshot(self: &Arc<Self>) -> Result<Arc<Snapshot>, StateError> {
        Snapshot::of(self).map(Arc::new)
    }

    pub(crate) fn decode_marker(&self, bytes: &[u8]) -> Result<Marker, StateError> {
        if bytes.len() != MARKER_LEN {
            return Err(self.corrupt(format!(
                "the head's marker has {} bytes, not {MARKER_LEN}",
                bytes.len()
            )));
        }
        let mut height = [0; 8];
        height.copy_from_slice(&bytes[..8]);
        Ok(Marker {
            height: u64::from_be_bytes(height),
            digest: B256::from_slice(&bytes[8..40]),
            hash: B256::from_slice(&bytes[40..72]),
            state_root: B256::from_slice(&bytes[72..]),
        })
    }

    /// Writes blocks, oldest first, in one durable transaction. All of them are stored, or none.
    ///
    /// The first must follow the stored head (anything may come into an empty store), each other the one before it.
    pub fn commit(self: &Arc<Self>, blocks: &[BlockCommit<'_>]) -> Result<(), StateError> {
        let mut head = self.snapshot()?.marker().copied();
        for BlockCommit { block, .. } in blocks {
            let (height, parent) = (block.header.number, block.header.parent_hash);
            if let Some(Marker {
                height: head_height,
                hash: head_hash,
                ..
            }) = head
                && (head_height.checked_add(1) != Some(height) || head_hash != parent)
            {
                return Err(StateError::NotNext {
                    height,
                    parent,
                    head_height,
                    head_hash,
                });
            }
            head = Some(Marker {
                height,
                hash: block.hash,
                digest: B256::ZERO,
                state_root: B256::ZERO,
            });
        }
        let tx = self.begin_write()?;
        for block in blocks {
            write_block(&tx, block).map_err(|e| self.name(e))?;
            self.note(&block.overlay.changes, &block.overlay.nodes);
        }
        self.finish(tx)
    }

    /// Tells whoever prunes that these nodes and this code are of use again. To be called while the write transaction is open.
    fn note(&self, changes: &StateChanges, nodes: &BTreeMap<B256, Bytes>) {
        if let Some(written) = &mut *self.written.lock() {
            written.nodes.extend(nodes.keys());
            written.codes.extend(changes.codes.keys());
        }
    }

    /// Changes the state after the last block without a block, durably: `committed` is what `changes` make of it. The next
    /// block stands on the new state; no header ever names its root, so it is kept with the block's height.
    ///
    /// Only a chain whose blocks one node decides alone may do this.
    pub fn edit(self: &Arc<Self>, changes: &StateChanges, committed: &Committed) -> Result<(), StateError> {
        let snapshot = self.snapshot()?;
        let Some(marker) = snapshot.marker().copied() else {
            return Err(StateError::NoSuchBlock { to: 0, head: 0 });
        };
        let mut edits = snapshot.edits(marker.height)?.unwrap_or_default();
        edits.root = committed.root;
        edits.touch(changes);
        let marker = Marker {
            state_root: committed.root,
            ..marker
        };
        let tx = self.begin_write()?;
        (|| {
            write_state(&tx, changes, &committed.nodes)?;
            tx.open_table(EDITS)?
                .insert(marker.height, &alloy_rlp::encode(&edits)[..])?;
            write_marker(&tx, &marker)
        })()
        .map_err(|e| self.name(e))?;
        self.note(changes, &committed.nodes);
        self.finish(tx)
    }

    /// Makes block `to` the head again and forgets the blocks above it. Trie nodes and code stay. With `edits`, the state is the
    /// one that they left; without, the one that the block left. It takes as long as the two states differ.
    ///
    /// Only a chain whose blocks one node decides alone may do this.
    pub fn rewind(self: &Arc<Self>, to: u64, edits: Option<&Edits>) -> Result<(), StateError> {
        // From here on nobody else writes, so what a snapshot shows is what the transaction changes.
        let tx = self.begin_write()?;
        let snapshot = self.snapshot()?;
        let Some(head) = snapshot.marker().copied() else {
            return Err(StateError::NoSuchBlock { to, head: 0 });
        };
        let missing = || StateError::NoSuchBlock {
            to,
            head: head.height,
        };
        if to > head.height {
            return Err(missing());
        }
        let header = snapshot.header(to)?.ok_or_else(missing)?;
        let digest = snapshot.digest(to)?.ok_or_else(missing)?;
        let marker = Marker {
            height: to,
            digest,
            hash: header.hash_slow(),
            state_root: edits.map_or(header.state_root, |edits| edits.root),
        };
        let mut removed = Vec::new();
        for height in to + 1..=head.height {
            let block = snapshot
                .block(height)?
                .ok_or_else(|| self.corrupt(format!("block {height} is gone")))?;
            removed.push(block);
        }
        remove_blocks(&tx, &removed).map_err(|e| self.name(e))?;
        keep_edits(&tx, to, edits).map_err(|e| self.name(e))?;
        let pruned = |error| match error {
            StateError::MissingNode(_) if to < snapshot.oldest_state() => StateError::Pruned {
                height: to,
                oldest: snapshot.oldest_state(),
            },
            other => other,
        };
        self.change_flat(&tx, &snapshot, head.state_root, marker.state_root)
            .map_err(pruned)?;
        if to < snapshot.oldest_state() {
            // Somebody kept this state. Of a height that counts as kept, all states are.
            let nodes = whole(&*snapshot, header.state_root).map_err(pruned)?;
            if let Some(written) = &mut *self.written.lock() {
                written.nodes.extend(nodes);
            }
            write_history(&tx, to).map_err(|e| self.name(e))?;
        }
        write_marker(&tx, &marker).map_err(|e| self.name(e))?;
        self.finish(tx)
    }

    /// Takes the flat tables from one state to another.
    fn change_flat(
        &self,
        tx: &WriteTransaction,
        snapshot: &Snapshot,
        from: B256,
        to: B256,
    ) -> Result<(), StateError> {
        let name = |e: redb::Error| self.name(e);
        let mut accounts = Flat {
            store: self,
            nodes: snapshot,
            accounts: tx.open_table(ACCOUNTS).map_err(|e| name(e.into()))?,
            storage: tx.open_table(STORAGE).map_err(|e| name(e.into()))?,
            walked: Vec::new(),
        };
        diff(snapshot, from, to, &mut accounts)?;
        // The state may have been on its way out.
        if let Some(written) = &mut *self.written.lock() {
            written.nodes.extend(accounts.walked);
        }
        Ok(())
    }
}

/// The flat tables on their way from one state to another.
struct Flat<'a> {
    store: &'a Store,
    nodes: &'a Snapshot,
    accounts: Table<'a, &'static [u8; 32], &'static [u8]>,
    storage: Table<'a, &'static [u8; 64], &'static [u8; 32]>,
    /// Nodes of the new state that the old one does not have.
    walked: Vec<B256>,
}

impl Visitor for Flat<'_> {
    fn node(&mut self, hash: &B256, _: &Bytes) -> Result<(), StateError> {
        self.walked.push(*hash);
        Ok(())
    }

    fn leaf(&mut self, key: B256, old: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        let name = |e: redb::StorageError| self.store.name(e.into());
        let old_root = match old {
            Some(leaf) => decode::<TrieAccount>(leaf)?.storage_root,
            None => EMPTY_ROOT_HASH,
        };
        let Some(new) = new else {
            self.accounts.remove(&key.0).map_err(name)?;
            return remove_storage(&mut self.storage, key).map_err(name);
        };
        let account: TrieAccount = decode(new)?;
        let flat = Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash: account.code_hash,
        };
        self.accounts
            .insert(&key.0, &encode_account(&flat)[..])
            .map_err(name)?;
        let nodes = self.nodes;
        let mut slots = FlatSlots {
            account: key,
            flat: self,
        };
        diff(nodes, old_root, account.storage_root, &mut slots)
    }
}

/// The slots of one account.
struct FlatSlots<'a, 'b> {
    account: B256,
    flat: &'a mut Flat<'b>,
}

impl Visitor for FlatSlots<'_, '_> {
    fn node(&mut self, hash: &B256, _: &Bytes) -> Result<(), StateError> {
        self.flat.walked.push(*hash);
        Ok(())
    }

    fn leaf(&mut self, slot: B256, _: Option<&[u8]>, new: Option<&[u8]>) -> Result<(), StateError> {
        let key = flat_key(self.account, slot);
        let changed = match new {
            Some(value) => {
                let value: U256 = decode(value)?;
                self.flat.storage.insert(&key, &value.to_be_bytes()).map(drop)
            }
            None => self.flat.storage.remove(&key).map(drop),
        };
        changed.map_err(|e| self.flat.store.name(e.into()))
    }
}

fn remove_storage(
    storage: &mut Table<'_, &'static [u8; 64], &'static [u8; 32]>,
    account: B256,
) -> Result<(), redb::StorageError> {
    let (first, last) = (
        flat_key(account, B256::ZERO),
        flat_key(account, B256::repeat_byte(0xff)),
    );
    storage.retain_in::<&[u8; 64], _>(&first..=&last, |_, _| false)
}

pub(crate) fn flat_key(address: B256, slot: B256) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(address.as_slice());
    key[32..].copy_from_slice(slot.as_slice());
    key
}

/// nonce ‖ balance ‖ code hash.
pub(crate) fn encode_account(account: &Account) -> [u8; 72] {
    let mut bytes = [0; 72];
    bytes[..8].copy_from_slice(&account.nonce.to_be_bytes());
    bytes[8..40].copy_from_slice(&account.balance.to_be_bytes::<32>());
    bytes[40..].copy_from_slice(account.code_hash.as_slice());
    bytes
}

pub(crate) fn decode_account(bytes: &[u8]) -> Option<Account> {
    let bytes: &[u8; 72] = bytes.try_into().ok()?;
    let mut nonce = [0; 8];
    nonce.copy_from_slice(&bytes[..8]);
    Some(Account {
        nonce: u64::from_be_bytes(nonce),
        balance: U256::from_be_slice(&bytes[8..40]),
        code_hash: B256::from_slice(&bytes[40..]),
    })
}

pub(crate) fn write_marker(tx: &WriteTransaction, marker: &Marker) -> Result<(), redb::Error> {
    let mut bytes = Vec::with_capacity(MARKER_LEN);
    bytes.extend_from_slice(&marker.height.to_be_bytes());
    for hash in [marker.digest, marker.hash, marker.state_root] {
        bytes.extend_from_slice(hash.as_slice());
    }
    tx.open_table(META)?.insert(META_HEAD, &bytes[..])?;
    Ok(())
}

/// Says that the states from this height on are whole, and no older ones.
pub(crate) fn write_history(tx: &WriteTransaction, oldest: u64) -> Result<(), redb::Error> {
    tx.open_table(META)?
        .insert(META_HISTORY, &oldest.to_be_bytes()[..])?;
    Ok(())
}

/// Writes trie nodes and code, and changes the flat tables.
fn write_state(
    tx: &WriteTransaction,
    changes: &StateChanges,
    fresh: &BTreeMap<B256, Bytes>,
) -> Result<(), redb::Error> {
    let mut nodes = tx.open_table(NODES)?;
    for (hash, node) in fresh {
        nodes.insert(&hash.0, &node[..])?;
    }
    let mut codes = tx.open_table(CODES)?;
    for (hash, code) in &changes.codes {
        codes.insert(&hash.0, &code[..])?;
    }
    let mut accounts = tx.open_table(ACCOUNTS)?;
    let mut storage = tx.open_table(STORAGE)?;
    for (address, change) in &changes.accounts {
        let hashed = keccak256(address);
        match &change.account {
            Some(account) => accounts.insert(&hashed.0, &encode_account(account)[..])?,
            None => accounts.remove(&hashed.0)?,
        };
        if change.wiped || change.account.is_none() {
            remove_storage(&mut storage, hashed)?;
        }
        if change.account.is_some() {
            for (slot, value) in &change.storage {
                let key = flat_key(hashed, hash_slot(*slot));
                if value.is_zero() {
                    storage.remove(&key)?;
                } else {
                    storage.insert(&key, &value.to_be_bytes())?;
                }
            }
        }
    }
    Ok(())
}

fn write_block(tx: &WriteTransaction, commit: &BlockCommit<'_>) -> Result<(), redb::Error> {
    let BlockCommit {
        block,
        receipts,
        seal,
        overlay,
    } = *commit;
    let height = block.header.number;
    write_state(tx, &overlay.changes, &overlay.nodes)?;
    write_parts(tx, block, receipts, seal)?;
    let (hash, state_root) = (block.hash, block.header.state_root);
    write_marker(
        tx,
        &Marker {
            height,
            digest: seal.digest,
            hash,
            state_root,
        },
    )
}

/// Writes all of a block but the state that it leaves, and its place at the head.
pub(crate) fn write_parts(
    tx: &WriteTransaction,
    block: &SealedBlock,
    receipts: &[Receipt],
    seal: &Seal,
) -> Result<(), redb::Error> {
    let height = block.header.number;
    tx.open_table(HEADERS)?
        .insert(height, &alloy_rlp::encode(&block.header)[..])?;
    tx.open_table(BODIES)?
        .insert(height, &alloy_rlp::encode(&block.body)[..])?;
    let senders: Vec<u8> = block.senders.iter().flat_map(|s| s.0.0).collect();
    tx.open_table(SENDERS)?.insert(height, &senders[..])?;
    let mut encoded = Vec::new();
    alloy_rlp::encode_list(receipts, &mut encoded);
    tx.open_table(RECEIPTS)?.insert(height, &encoded[..])?;
    tx.open_table(DIGESTS)?.insert(height, &seal.digest.0)?;
    tx.open_table(ENVELOPES)?.insert(height, &seal.envelope[..])?;
    tx.open_table(CERTIFICATES)?
        .insert(height, &seal.certificate[..])?;
    tx.open_table(HASHES)?.insert(&block.hash.0, height)?;
    let mut transactions = tx.open_table(TRANSACTIONS)?;
    // In the order of the table's keys, so that what falls on one page comes at once.
    let mut places: Vec<_> = (0..)
        .zip(&block.body.transactions)
        .map(|(index, transaction)| (transaction.trie_hash(), (height, index)))
        .collect();
    places.sort_unstable();
    for (hash, place) in places {
        transactions.insert(&hash.0, place)?;
    }
    Ok(())
}

fn remove_blocks(tx: &WriteTransaction, blocks: &[SealedBlock]) -> Result<(), redb::Error> {
    let mut transactions = tx.open_table(TRANSACTIONS)?;
    let mut hashes = tx.open_table(HASHES)?;
    for block in blocks {
        let height = block.header.number;
        for table in [HEADERS, BODIES, SENDERS, RECEIPTS, ENVELOPES, CERTIFICATES] {
            tx.open_table(table)?.remove(height)?;
        }
        tx.open_table(DIGESTS)?.remove(height)?;
        hashes.remove(&block.hash.0)?;
        for transaction in &block.body.transactions {
            transactions.remove(&transaction.trie_hash().0)?;
        }
    }
    Ok(())
}

/// Forgets the edits of the states from a height on, but for those of the state after it that are given.
fn keep_edits(tx: &WriteTransaction, height: u64, kept: Option<&Edits>) -> Result<(), redb::Error> {
    let mut edits = tx.open_table(EDITS)?;
    edits.retain_in(height.., |_, _| false)?;
    if let Some(kept) = kept {
        edits.insert(height, &alloy_rlp::encode(kept)[..])?;
    }
    Ok(())
}
