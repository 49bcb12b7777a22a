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

use redb::{Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};

pub(crate) type ByHash<V> = TableDefinition<'static, &'static [u8; 32], V>;
pub(crate) type ByHeight<V> = TableDefinition<'static, u64, V>;

/// Each table once: its name here, its type, its name in the file.
macro_rules! tables {
    ($($table:ident: $definition:ty = $name:literal;)+) => {
        $(pub(crate) const $table: $definition = <$definition>::new($name);)+

        /// Makes sure that all tables are there.
        pub(crate) fn open_all(tx: &WriteTransaction) -> Result<(), redb::TableError> {
            $(tx.open_table($table)?;)+
            Ok(())
        }

        /// Empties all tables.
        pub(crate) fn clear_all(tx: &WriteTransaction) -> Result<(), redb::TableError> {
            $(tx.delete_table($table)?;)+
            open_all(tx)
        }

        /// Copies all tables, entries in the order of their keys.
        pub(crate) fn copy_all(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), redb::Error> {
            $(copy(from, to, $table)?;)+
            Ok(())
        }
    };
}

tables! {
    META: TableDefinition<'static, &'static str, &'static [u8]> = "meta";
    NODES: ByHash<&'static [u8]> = "nodes";
    CODES: ByHash<&'static [u8]> = "codes";
    ACCOUNTS: ByHash<&'static [u8]> = "accounts";
    STORAGE: TableDefinition<'static, &'static [u8; 64], &'static [u8; 32]> = "storage";
    HEADERS: ByHeight<&'static [u8]> = "headers";
    BODIES: ByHeight<&'static [u8]> = "bodies";
    SENDERS: ByHeight<&'static [u8]> = "senders";
    RECEIPTS: ByHeight<&'static [u8]> = "receipts";
    DIGESTS: ByHeight<&'static [u8; 32]> = "digests";
    ENVELOPES: ByHeight<&'static [u8]> = "envelopes";
    CERTIFICATES: ByHeight<&'static [u8]> = "certificates";
    HASHES: ByHash<u64> = "hashes";
    TRANSACTIONS: ByHash<(u64, u64)> = "transactions";
    EDITS: ByHeight<&'static [u8]> = "edits";
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let (entries, mut copied) = (from.open_table(table)?, to.open_table(table)?);
    for entry in entries.iter()? {
        let (key, value) = entry?;
        copied.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// [`crate::LAYOUT`], or [`UNFINISHED`].
pub(crate) const META_LAYOUT: &str = "layout";
/// height ‖ digest ‖ hash ‖ state root.
pub(crate) const META_HEAD: &str = "head";
/// The oldest height whose state is whole. Not there in an archive.
pub(crate) const META_HISTORY: &str = "history";

/// The layout of a database into which something is being imported: no version of this code takes it for a chain.
pub(crate) const UNFINISHED: u64 = u64::MAX;
