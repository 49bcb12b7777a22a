//! What kernels keep beside the weights, within bounds for the whole process: tables that one makes when it first needs them, and weights in a
//! second form.
//!
//! A plan of a hostile model may have tens of thousands of convolutions, each of a shape that wants a table of a quarter of a MiB. So
//! planning makes none: the first run does, which pays for it, and keeps it for the next one as long as all that are kept
//! in this process take no more than [`TABLES`] allows. Beyond that a table is made anew for each run.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are kept at most, and now.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    taken: AtomicUsize,
}

impl Budget {
    pub(super) const fn new(most: usize) -> Self {
        let taken = AtomicUsize::new(0);
        Self { most, taken }
    }

    /// Room for so many bytes until it is dropped, if there is as much.
    pub(super) fn take(&'static self, bytes: usize) -> Option<Room> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|&sum| sum <= self.most);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()
            .map(|_| Room(self, bytes))
    }
}

/// That of tables: some ten times those of a network like ResNet-50.
static TABLES: Budget = Budget::new(32 << 20);

/// A table that is made on first use.
pub(super) struct Kept<T>(OnceLock<(T, Room)>);

/// Bytes of a budget, given back at the end.
#[derive(Debug)]
pub(super) struct Room(&'static Budget, usize);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(self.1, Ordering::Relaxed);
    }
}

impl<T> Kept<T> {
    /// The table, made now if it was not before; `None` if there is no room for its `bytes`.
    pub(super) fn get(&self, bytes: impl FnOnce() -> usize, make: impl FnOnce() -> T) -> Option<&T> {
        if let Some((table, _)) = self.0.get() {
            return Some(table);
        }
        let room = TABLES.take(bytes())?;
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
        assert!(vast.get(|| TABLES.most + 1, make).is_none());
        assert_eq!(
            [
                vast.with(|| TABLES.most + 1, make, |&n| n),
                vast.with(|| TABLES.most + 1, make, |&n| n)
            ],
            [2, 3]
        );
        assert_eq!(kept.clone().with(|| 8, make, |&n| n), 4);
    }

    #[test]
    fn room_is_given_back() {
        static BUDGET: Budget = Budget::new(10);
        let room = BUDGET.take(8);
        assert!(room.is_some() && BUDGET.take(3).is_none() && BUDGET.take(2).is_some());
        drop(room);
        assert!(BUDGET.take(11).is_none() && BUDGET.take(10).is_some());
    }
}
