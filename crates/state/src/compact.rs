//! Making the file as small as it can be.
//!
//! All tables are written anew into another file, entries in the order of their keys, which fills its pages; then that file takes the place
//! of the first. redb's own compaction moves pages within the file, but leaves each as full as it is (entries under hashes come in no order
//! and leave theirs half empty, or less after pruning), and ends at the first large one that has no room further ahead.
//!
//! Until the copy is whole and on the disk nobody knows of it: a run that is killed leaves the first file as it was, and a copy that the next
//! one begins anew.

use crate::{
    StateError, Store,
    store::{CACHE_BYTES, FILE},
    tables::copy_all,
};
use redb::{Database, ReadableDatabase};
use std::{
    fs::{self, File},
    io,
    path::Path,
};

/// The copy, as long as it is not whole.
const COPY: &str = "state.redb.copy";

impl Store {
    /// Makes the file in `dir` as small as it can be. The disk needs room for what is left of it once more.
    ///
    /// # Errors
    /// [`StateError::Locked`] while somebody has the store; when the disk cannot be read or written. The store is what it was then.
    pub fn compact(dir: &Path) -> Result<(), StateError> {
        // held until the copy is in its place, so that nobody writes meanwhile
        let store = Self::open(dir)?;
        let (file, copy) = (dir.join(FILE), dir.join(COPY));
        let io = |error| StateError::from_redb(dir, redb::Error::Io(error));
        discard(&copy).map_err(io)?;
        if let Err(error) = store.write_copy(&copy) {
            // What is left of it takes room on a disk that may be full. The error that matters is the first.
            let _ = discard(&copy);
            return Err(store.name(error));
        }
        File::open(&copy).and_then(|copy| copy.sync_all()).map_err(io)?;
        fs::rename(&copy, &file).map_err(io)?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)
    }

    fn write_copy(&self, path: &Path) -> Result<(), redb::Error> {
        let mut copy = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let (from, to) = (self.db.begin_read()?, copy.begin_write()?);
        copy_all(&from, &to)?;
        to.commit()?;
        // pages that the transaction needed on its way
        copy.compact().map(drop).map_err(|error| match error {
            redb::CompactionError::Storage(error) => error.into(),
            other => redb::Error::Io(io::Error::other(other)),
        })
    }
}

fn discard(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
