//! Tables that a kernel makes when it first needs them.
//!
//! A plan of a hostile model may have tens of thousands of convolutions, each of a shape that wants a table of a quarter of a MiB. So
//! planning makes none: the first run does, which pays for it, and keeps it for the next one as long as all that are kept
//! in this process take no more than [`MOST`] bytes. Beyond that a table is made anew for each run.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are kept at most: some ten times the tables of a network like ResNet-50.
const MOST: usize = 32 << 20;

/// Bytes that are kept now.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A table that is made on first use.
pub(super) struct Kept<T>(OnceLock<(T, Room)>);

/// Bytes of [`MOST`], given back at the end.
struct Room(usize);

impl Room {
    fn take(bytes: usize) -> Option<Self> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= MOST);
        TAKEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()
            .map(|_| Self(bytes))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl<T> Kept<T> {
    /// The table, made now if it was not before; `None` if there is no room for its `bytes`.
    pub(super) fn get(&self, bytes: impl FnOnce() -> usize, make: impl FnOnce() -> T) -> Option<&T> {
        if let Some((table, _)) = self.0.get() {
            return Some(table);
        }
        let room = Room::take(bytes())?;
        Some(&self.0.get_or_init(|| (make(), room)).0)
    }

    /// Lends the table, kept or made for this once.
    pub(super) fn with<R>(
        &self,
        bytes: impl FnOnce() -> usize,
        make: impl Fn() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> R {
        match self.get(bytes, &make) {
            Some(table) => f(table),
            None => f(&make()),
        }
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

/// A copy makes its own.
impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Tables follow from what they belong to.
impl<T> PartialEq for Kept<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> fmt::Debug for Kept<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() {
            "kept"
        } else {
            "not made"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_once_while_there_is_room_and_every_time_without() {
        let made = AtomicUsize::new(0);
        let make = || made.fetch_add(1, Ordering::Relaxed) + 1;
        let kept = Kept::default();
        assert_eq!(
            [kept.with(|| 8, make, |&n| n), kept.with(|| 8, make, |&n| n)],
            [1, 1]
        );
        let vast = Kept::default();
        assert!(vast.get(|| MOST + 1, make).is_none());
        assert_eq!(
            [
                vast.with(|| MOST + 1, make, |&n| n),
                vast.with(|| MOST + 1, make, |&n| n)
            ],
            [2, 3]
        );
        assert_eq!(kept.clone().with(|| 8, make, |&n| n), 4);
    }
}
