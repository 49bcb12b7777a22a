//! Making the file as small as it can be.
//!
//! redb moves pages to the front of the file and cuts it off behind them, but leaves each page as full as it is. Entries under hashes come in
//! no order and go in none, so that their pages are half empty, or less after pruning. They are written anew in the order of their keys first,
//! one table in a transaction: whatever happens, a table is there once and whole.

use crate::{
    StateError, Store,
    tables::{ACCOUNTS, CODES, HASHES, NODES, STORAGE, TRANSACTIONS},
};
use redb::{CompactionError, Key, ReadableTable, TableDefinition, Value, WriteTransaction};
use std::sync::Arc;

impl Store {
    /// Makes the file as small as it can be. Nobody else may have the store or a snapshot of it; otherwise nothing happens and
    /// `false` comes back. On the way the file may grow by the largest table.
    ///
    /// # Errors
    /// When the disk cannot be read or written.
    pub fn compact(self: &mut Arc<Self>) -> Result<bool, StateError> {
        let Some(store) = Arc::get_mut(self) else {
            return Ok(false);
        };
        store.repack(NODES)?;
        store.repack(CODES)?;
        store.repack(ACCOUNTS)?;
        store.repack(STORAGE)?;
        store.repack(HASHES)?;
        store.repack(TRANSACTIONS)?;
        match store.db.compact() {
            Ok(_) => Ok(true),
            Err(CompactionError::Storage(error)) => Err(self.name(error.into())),
            Err(_) => Ok(false),
        }
    }

    fn repack<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDefinition<'static, K, V>,
    ) -> Result<(), StateError> {
        let tx = self.begin_write()?;
        copy_in_order(&tx, table).map_err(|e| self.name(e))?;
        self.finish(tx)
    }
}

fn copy_in_order<K: Key + 'static, V: Value + 'static>(
    tx: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), redb::Error> {
    let copy = TableDefinition::<K, V>::new("copy");
    {
        let entries = tx.open_table(table)?;
        let mut copied = tx.open_table(copy)?;
        for entry in entries.iter()? {
            let (key, value) = entry?;
            copied.insert(key.value(), value.value())?;
        }
    }
    tx.delete_table(table)?;
    tx.rename_table(copy, table)?;
    Ok(())
}
