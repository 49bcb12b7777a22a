//! The tables of the database.
//!
//! | table | key | value |
//! |---|---|---|
//! | `meta` | name | layout, the head's marker, where history starts |
//! | `nodes` | keccak-256 | trie node |
//! | `codes` | keccak-256 | code |
//! | `accounts` | keccak-256 of address | account of the latest state |
//! | `storage` | keccak-256 of address ‖ keccak-256 of slot | value of the latest state |
//! | `headers`, `bodies`, `senders`, `receipts`, `digests`, `envelopes`, `certificates` | height | |
//! | `hashes` | block hash | height |
//! | `transactions` | transaction hash | height ‖ index |
//! | `edits` | height | [`crate::Edits`] that a development chain made on the state after this block |

use redb::{TableDefinition, WriteTransaction};

pub(crate) type ByHash<V> = TableDefinition<'static, &'static [u8; 32], V>;
pub(crate) type ByHeight<V> = TableDefinition<'static, u64, V>;

pub(crate) const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");
pub(crate) const NODES: ByHash<&'static [u8]> = ByHash::new("nodes");
pub(crate) const CODES: ByHash<&'static [u8]> = ByHash::new("codes");
pub(crate) const ACCOUNTS: ByHash<&'static [u8]> = ByHash::new("accounts");
pub(crate) const STORAGE: TableDefinition<'static, &'static [u8; 64], &'static [u8; 32]> =
    TableDefinition::new("storage");
pub(crate) const HEADERS: ByHeight<&'static [u8]> = ByHeight::new("headers");
pub(crate) const BODIES: ByHeight<&'static [u8]> = ByHeight::new("bodies");
pub(crate) const SENDERS: ByHeight<&'static [u8]> = ByHeight::new("senders");
pub(crate) const RECEIPTS: ByHeight<&'static [u8]> = ByHeight::new("receipts");
pub(crate) const DIGESTS: ByHeight<&'static [u8; 32]> = ByHeight::new("digests");
pub(crate) const ENVELOPES: ByHeight<&'static [u8]> = ByHeight::new("envelopes");
pub(crate) const CERTIFICATES: ByHeight<&'static [u8]> = ByHeight::new("certificates");
pub(crate) const HASHES: ByHash<u64> = ByHash::new("hashes");
pub(crate) const TRANSACTIONS: ByHash<(u64, u64)> = ByHash::new("transactions");
pub(crate) const EDITS: ByHeight<&'static [u8]> = ByHeight::new("edits");

/// [`crate::LAYOUT`], or [`UNFINISHED`].
pub(crate) const META_LAYOUT: &str = "layout";
/// height ‖ digest ‖ hash ‖ state root.
pub(crate) const META_HEAD: &str = "head";
/// The oldest height whose state is whole. Not there in an archive.
pub(crate) const META_HISTORY: &str = "history";

/// The layout of a database into which something is being imported: no version of this code takes it for a chain.
pub(crate) const UNFINISHED: u64 = u64::MAX;

/// Makes sure that all tables are there.
pub(crate) fn open_all(tx: &WriteTransaction) -> Result<(), redb::TableError> {
    tx.open_table(META)?;
    for table in [NODES, CODES, ACCOUNTS] {
        tx.open_table(table)?;
    }
    tx.open_table(STORAGE)?;
    for table in [HEADERS, BODIES, SENDERS, RECEIPTS, ENVELOPES, CERTIFICATES, EDITS] {
        tx.open_table(table)?;
    }
    tx.open_table(DIGESTS)?;
    tx.open_table(HASHES)?;
    tx.open_table(TRANSACTIONS)?;
    Ok(())
}

/// Empties all tables.
pub(crate) fn clear_all(tx: &WriteTransaction) -> Result<(), redb::TableError> {
    tx.delete_table(META)?;
    for table in [NODES, CODES, ACCOUNTS] {
        tx.delete_table(table)?;
    }
    tx.delete_table(STORAGE)?;
    for table in [HEADERS, BODIES, SENDERS, RECEIPTS, ENVELOPES, CERTIFICATES, EDITS] {
        tx.delete_table(table)?;
    }
    tx.delete_table(DIGESTS)?;
    tx.delete_table(HASHES)?;
    tx.delete_table(TRANSACTIONS)?;
    open_all(tx)
}
