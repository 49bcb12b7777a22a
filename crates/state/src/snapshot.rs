//! What is stored, as it stood at one moment.

use crate::{
    Account, Body, Edits, Marker, NodeReader, Receipt, Seal, SealedBlock, StateError, Store,
    TransactionLocation,
    commitment::hash_slot,
    kept::Kept,
    store::{decode_account, flat_key},
    tables::{
        ACCOUNTS, BODIES, ByHeight, CERTIFICATES, CODES, DIGESTS, EDITS, ENVELOPES, HASHES, HEADERS, META,
        META_HEAD, META_HISTORY, NODES, RECEIPTS, SENDERS, STORAGE, TRANSACTIONS,
    },
};
use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTableMetadata};
use std::sync::Arc;

/// Accounts that a snapshot keeps in each generation.
const READ_ACCOUNTS: usize = 1 << 12;
/// Slots that a snapshot keeps in each generation.
const READ_SLOTS: usize = 1 << 14;

/// The store as it stood when the snapshot was taken. Cheap to take, meant to be short-lived: while it lives the
/// database cannot reuse the pages it shows.
pub struct Snapshot {
    store: Arc<Store>,
    pub(crate) tx: ReadTransaction,
    marker: Option<Marker>,
    oldest_state: u64,
    nodes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    codes: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub(crate) accounts: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    pub(crate) storage: ReadOnlyTable<&'static [u8; 64], &'static [u8; 32]>,
    /// Of the latest state: what most calls and transactions ask for is the same.
    read_accounts: Kept<Address, Option<Account>>,
    read_slots: Kept<(Address, U256), U256>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("marker", &self.marker)
            .finish_non_exhaustive()
    }
}

impl Snapshot {
    /// What is stored now.
    pub(crate) fn of(store: &Arc<Store>) -> Result<Self, StateError> {
        let tx = store.db.begin_read().map_err(|e| store.name(e.into()))?;
        let open = || {
            let meta = tx.open_table(META)?;
            let marker = meta.get(META_HEAD)?.map(|v| v.value().to_vec());
            let history = meta.get(META_HISTORY)?.map(|v| v.value().to_vec());
            Ok::<_, redb::Error>((
                marker,
                history,
                tx.open_table(NODES)?,
                tx.open_table(CODES)?,
                tx.open_table(ACCOUNTS)?,
                tx.open_table(STORAGE)?,
            ))
        };
        let (marker, history, nodes, codes, accounts, storage) = open().map_err(|e| store.name(e))?;
        let marker = marker.map(|bytes| store.decode_marker(&bytes)).transpose()?;
        let oldest_state = match history {
            None => 0,
            Some(bytes) => <[u8; 8]>::try_from(&bytes[..])
                .map(u64::from_be_bytes)
                .map_err(|_| store.corrupt("the height at which history starts does not have 8 bytes"))?,
        };
        Ok(Self {
            store: store.clone(),
            tx,
            marker,
            oldest_state,
            nodes,
            codes,
            accounts,
            storage,
            read_accounts: Kept::new(READ_ACCOUNTS, |_| 1),
            read_slots: Kept::new(READ_SLOTS, |_| 1),
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The last whole block, `None` in an empty store.
    #[must_use]
    pub const fn marker(&self) -> Option<&Marker> {
        self.marker.as_ref()
    }

    /// The oldest height whose state is whole, 0 in an archive. Blocks and receipts are there from the first one on, always.
    #[must_use]
    pub const fn oldest_state(&self) -> u64 {
        self.oldest_state
    }

    pub(crate) fn by_height(
        &self,
        table: ByHeight<&'static [u8]>,
        height: u64,
    ) -> Result<Option<Vec<u8>>, StateError> {
        let read = || {
            let table = self.tx.open_table(table)?;
            Ok::<_, redb::Error>(table.get(height)?.map(|v| v.value().to_vec()))
        };
        read().map_err(|e| self.store.name(e))
    }

    fn decoded<T: Decodable>(
        &self,
        table: ByHeight<&'static [u8]>,
        height: u64,
    ) -> Result<Option<T>, StateError> {
        let Some(bytes) = self.by_height(table, height)? else {
            return Ok(None);
        };
        T::decode(&mut &bytes[..]).map(Some).map_err(|e| {
            self.store
                .corrupt(format!("{table} {height} does not decode: {e}"))
        })
    }

    /// The header at a height.
    pub fn header(&self, height: u64) -> Result<Option<Header>, StateError> {
        self.decoded(HEADERS, height)
    }

    /// The hash of the block at a height.
    pub fn block_hash(&self, height: u64) -> Result<Option<B256>, StateError> {
        if let Some(marker) = &self.marker
            && marker.height == height
        {
            return Ok(Some(marker.hash));
        }
        Ok(self.by_height(HEADERS, height)?.map(keccak256))
    }

    /// The block at a height.
    pub fn block(&self, height: u64) -> Result<Option<SealedBlock>, StateError> {
        let Some(bytes) = self.by_height(HEADERS, height)? else {
            return Ok(None);
        };
        let gone = || self.store.corrupt(format!("a part of block {height} is gone"));
        let body: Body = self.decoded(BODIES, height)?.ok_or_else(gone)?;
        let senders = self.by_height(SENDERS, height)?.ok_or_else(gone)?;
        if senders.len() != 20 * body.transactions.len() {
            return Err(gone());
        }
        Ok(Some(SealedBlock {
            hash: keccak256(&bytes),
            header: self.header(height)?.ok_or_else(gone)?,
            body,
            senders: senders.chunks_exact(20).map(Address::from_slice).collect(),
        }))
    }

    /// The receipts of the block at a height.
    pub fn receipts(&self, height: u64) -> Result<Option<Vec<Receipt>>, StateError> {
        self.decoded(RECEIPTS, height)
    }

    /// The height of the block with this hash.
    pub fn height(&self, hash: &B256) -> Result<Option<u64>, StateError> {
        let read = || Ok::<_, redb::Error>(self.tx.open_table(HASHES)?.get(&hash.0)?.map(|v| v.value()));
        read().map_err(|e| self.store.name(e))
    }

    /// Where the transaction with this hash stands.
    pub fn transaction(&self, hash: &B256) -> Result<Option<TransactionLocation>, StateError> {
        let read = || {
            let table = self.tx.open_table(TRANSACTIONS)?;
            Ok::<_, redb::Error>(table.get(&hash.0)?.map(|v| v.value()))
        };
        let found = read().map_err(|e| self.store.name(e))?;
        Ok(found.map(|(block_number, index)| TransactionLocation { block_number, index }))
    }

    /// The digest that consensus decided on at a height.
    pub fn digest(&self, height: u64) -> Result<Option<B256>, StateError> {
        let read = || {
            let table = self.tx.open_table(DIGESTS)?;
            Ok::<_, redb::Error>(table.get(height)?.map(|v| B256::from(*v.value())))
        };
        read().map_err(|e| self.store.name(e))
    }

    /// What consensus says about the block at a height.
    pub fn seal(&self, height: u64) -> Result<Option<Seal>, StateError> {
        let Some(digest) = self.digest(height)? else {
            return Ok(None);
        };
        let gone = || {
            self.store
                .corrupt(format!("a part of the seal of block {height} is gone"))
        };
        let envelope = self.by_height(ENVELOPES, height)?.ok_or_else(gone)?.into();
        let certificate = self.by_height(CERTIFICATES, height)?.ok_or_else(gone)?.into();
        Ok(Some(Seal {
            digest,
            envelope,
            certificate,
        }))
    }

    /// Whether a development chain ever changed a state without a block.
    pub fn was_edited(&self) -> Result<bool, StateError> {
        let read = || Ok::<_, redb::Error>(!self.tx.open_table(EDITS)?.is_empty()?);
        read().map_err(|e| self.store.name(e))
    }

    /// What a development chain changed in the state after the block at a height, if it did.
    pub fn edits(&self, height: u64) -> Result<Option<Edits>, StateError> {
        self.decoded(EDITS, height)
    }

    /// The root of the state on which the block after this one stands: the header's, or that of the edits made since.
    ///
    /// # Errors
    /// [`StateError::Pruned`] if the state is not kept any more.
    pub fn state_root(&self, header: &Header) -> Result<B256, StateError> {
        if header.number < self.oldest_state {
            return Err(StateError::Pruned {
                height: header.number,
                oldest: self.oldest_state,
            });
        }
        if let Some(marker) = &self.marker
            && marker.height == header.number
        {
            return Ok(marker.state_root);
        }
        let edits = self.edits(header.number)?;
        Ok(edits.map_or(header.state_root, |edits| edits.root))
    }

    /// The code with this hash.
    pub fn code(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        let found = self.codes.get(&hash.0).map_err(|e| self.store.name(e.into()))?;
        Ok(found.map(|v| Bytes::copy_from_slice(v.value())))
    }

    /// The account in the latest state.
    pub(crate) fn flat_account(&self, address: Address) -> Result<Option<Account>, StateError> {
        self.read_accounts.get_or_read(address, || {
            let found = self
                .accounts
                .get(&keccak256(address).0)
                .map_err(|e| self.store.name(e.into()))?;
            found
                .map(|v| {
                    let wrong = || {
                        self.store
                            .corrupt("an entry of the table of accounts does not have 72 bytes")
                    };
                    decode_account(v.value()).ok_or_else(wrong)
                })
                .transpose()
        })
    }

    /// The slot in the latest state; zero when it is not set.
    pub(crate) fn flat_storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.read_slots.get_or_read((address, slot), || {
            let key = flat_key(keccak256(address), hash_slot(slot));
            let found = self.storage.get(&key).map_err(|e| self.store.name(e.into()))?;
            Ok(found.map_or(U256::ZERO, |v| U256::from_be_bytes(*v.value())))
        })
    }
}

impl NodeReader for Snapshot {
    fn node(&self, hash: &B256) -> Result<Option<Bytes>, StateError> {
        let found = self.nodes.get(&hash.0).map_err(|e| self.store.name(e.into()))?;
        Ok(found.map(|v| Bytes::copy_from_slice(v.value())))
    }
}
