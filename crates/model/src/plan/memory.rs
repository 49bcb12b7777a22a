//! Slots: memory that values take in turns.

use std::collections::{BTreeMap, BTreeSet};

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

/// When a value is in memory: from the action that writes it to the last that reads it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lifetime {
    pub(super) bytes: usize,
    pub(super) first: usize,
    pub(super) last: usize,
}

/// Places values, which come in the order in which they are written: the slot of each, and the slots' bytes. Of two ways the one that
/// takes less memory is chosen.
pub(super) fn assign(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<usize>) {
    let total = |(_, slots): &(Vec<usize>, Vec<usize>)| {
        slots
            .iter()
            .fold(0_usize, |sum, &bytes| sum.saturating_add(bytes))
    };
    let (in_order, largest_first) = (in_order(lifetimes), largest_first(lifetimes));
    if total(&largest_first) < total(&in_order) {
        largest_first
    } else {
        in_order
    }
}

/// Each value in its turn, as [`Slots`] does it.
fn in_order(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<usize>) {
    let mut slots = Slots::default();
    let mut taken = BTreeSet::new();
    let mut place = |lifetime: &Lifetime| {
        while let Some(&(last, slot)) = taken.first()
            && last < lifetime.first
        {
            taken.pop_first();
            slots.release(slot);
        }
        let slot = slots.take(lifetime.bytes);
        taken.insert((lifetime.last, slot));
        slot
    };
    let places = lifetimes.iter().map(&mut place).collect();
    (places, slots.bytes)
}

/// The largest value first: each goes to the first slot that is free while it lives.
fn largest_first(lifetimes: &[Lifetime]) -> (Vec<usize>, Vec<usize>) {
    /// Slots that are tried: planning must not take longer the more there are.
    const TRIED: usize = 16;
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&value| (usize::MAX - lifetimes[value].bytes, value));
    let mut places = vec![0; lifetimes.len()];
    let mut bytes = Vec::new();
    // for each slot the lifetimes in it: when each begins, and when it ends
    let mut taken: Vec<BTreeMap<usize, usize>> = Vec::new();
    for value in order {
        let lifetime = lifetimes[value];
        let free = |taken: &BTreeMap<usize, usize>| {
            let before = taken.range(..=lifetime.last).next_back();
            before.is_none_or(|(_, &last)| last < lifetime.first)
        };
        let slot = taken.iter().take(TRIED).position(free).unwrap_or_else(|| {
            taken.push(BTreeMap::new());
            bytes.push(lifetime.bytes);
            taken.len() - 1
        });
        taken[slot].insert(lifetime.first, lifetime.last);
        places[value] = slot;
    }
    (places, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_live_together_lie_apart() {
        let mut state = 1u32;
        let mut below = |end: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % end
        };
        for _ in 0..200 {
            let mut first = 0;
            let lifetimes: Vec<Lifetime> = (0..1 + below(60))
                .map(|_| {
                    first += below(2) as usize;
                    Lifetime {
                        bytes: below(1000) as usize,
                        first,
                        last: first + below(9) as usize,
                    }
                })
                .collect();
            for (places, bytes) in [in_order(&lifetimes), largest_first(&lifetimes)] {
                for (i, a) in lifetimes.iter().enumerate() {
                    assert!(a.bytes <= bytes[places[i]]);
                    for (j, b) in lifetimes.iter().enumerate().skip(i + 1) {
                        let together = a.first <= b.last && b.first <= a.last;
                        assert!(!together || places[i] != places[j], "{a:?} and {b:?}");
                    }
                }
            }
        }
        // a small value first would take a slot of its own
        let value = |bytes, first, last| Lifetime { bytes, first, last };
        let (_, bytes) = assign(&[
            value(10, 0, 1),
            value(100, 1, 2),
            value(100, 3, 4),
            value(10, 4, 5),
        ]);
        assert_eq!(bytes.iter().sum::<usize>(), 110);
    }
}
