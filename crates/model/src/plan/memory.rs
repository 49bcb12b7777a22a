//! Slots: memory that values take in turns.

use std::collections::BTreeSet;

/// The slots while planning.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) bytes: Vec<usize>,
    /// Free slots, each behind its size: finding one must not take longer the more there are.
    free: BTreeSet<(usize, usize)>,
}

impl Slots {
    /// The smallest free slot that is large enough, else the largest one, which grows, else a new one.
    pub(super) fn take(&mut self, bytes: usize) -> usize {
        let fitting = self.free.range((bytes, 0)..).next();
        match fitting.or_else(|| self.free.last()).copied() {
            Some(found) => {
                self.free.remove(&found);
                let (size, slot) = found;
                self.bytes[slot] = size.max(bytes);
                slot
            }
            None => self.take_new(bytes),
        }
    }

    pub(super) fn release(&mut self, slot: usize) {
        self.free.insert((self.bytes[slot], slot));
    }

    pub(super) fn take_new(&mut self, bytes: usize) -> usize {
        self.bytes.push(bytes);
        self.bytes.len() - 1
    }

    /// Bytes of all of them.
    pub(super) fn total(&self) -> usize {
        self.bytes.iter().fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }
}
