//! How large a store is, and what of it.

use crate::{Marker, StateError, Store};
use redb::{ReadableTableMetadata, TableHandle};
use std::sync::Arc;

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    /// Its name.
    pub name: String,
    /// Entries.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub stored_bytes: u64,
    /// Bytes of the pages that hold them: with inner pages and what is free between entries.
    pub page_bytes: u64,
}

/// A store in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// The last whole block; `None` in an empty store.
    pub head: Option<Marker>,
    /// The oldest height whose state is whole, 0 in an archive.
    pub oldest_state: u64,
    /// The tables, by name.
    pub tables: Vec<TableSize>,
    /// Bytes of the file, 0 for a store in memory.
    pub file_bytes: u64,
    /// Bytes of pages in use.
    pub used_bytes: u64,
    /// Bytes of pages and of parts of pages that hold nothing. A page that is free is used again before the file grows.
    pub free_bytes: u64,
}

impl Store {
    /// Sizes and counts. It looks at every page of the database.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub fn stats(self: &Arc<Self>) -> Result<StoreStats, StateError> {
        let snapshot = self.snapshot()?;
        let read = || {
            let mut tables = Vec::new();
            for handle in snapshot.tx.list_tables()? {
                let name = handle.name().to_owned();
                let table = snapshot.tx.open_untyped_table(handle)?;
                let stats = table.stats()?;
                tables.push(TableSize {
                    name,
                    entries: table.len()?,
                    stored_bytes: stats.stored_bytes(),
                    page_bytes: stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes(),
                });
            }
            tables.sort_by(|a, b| a.name.cmp(&b.name));
            Ok::<_, redb::Error>(tables)
        };
        let tables = read().map_err(|e| self.name(e))?;
        // Only a write transaction tells of free pages; it changes nothing.
        let tx = self.begin_write()?;
        let pages = tx.stats().map_err(|e| self.name(e.into()))?;
        tx.abort().map_err(|e| self.name(e.into()))?;
        let file = std::fs::metadata(self.dir.join(crate::store::FILE));
        Ok(StoreStats {
            head: snapshot.marker().copied(),
            oldest_state: snapshot.oldest_state(),
            tables,
            file_bytes: file.map_or(0, |file| file.len()),
            used_bytes: pages.allocated_pages() * pages.page_size() as u64,
            free_bytes: pages.fragmented_bytes(),
        })
    }
}
