//! What was read and may be asked for again, within a budget.
//!
//! Only what never becomes wrong is kept: code by its hash, and entries of a snapshot in that snapshot. So nothing needs to be
//! invalidated, and who finds nothing here reads the same from the disk.

use alloy_primitives::map::HashMap;
use parking_lot::RwLock;
use std::hash::Hash;

/// Two generations, each of a budget: what is asked for goes into the young one, and when that is full, it becomes the old one,
/// of which what nobody asked for since is forgotten.
#[derive(Debug)]
pub(crate) struct Kept<K, V> {
    generations: RwLock<Generations<K, V>>,
    /// Of each generation.
    budget: usize,
    weigh: fn(&V) -> usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// Of the young.
    weight: usize,
}

impl<K: Eq + Hash, V: Clone> Kept<K, V> {
    pub(crate) fn new(budget: usize, weigh: fn(&V) -> usize) -> Self {
        let generations = Generations {
            young: HashMap::default(),
            old: HashMap::default(),
            weight: 0,
        };
        Self {
            generations: RwLock::new(generations),
            budget,
            weigh,
        }
    }

    /// The value of a key: the one that is kept, or the one that is read now.
    pub(crate) fn get_or_read<E>(&self, key: K, read: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        if let Some(value) = self.generations.read().young.get(&key) {
            return Ok(value.clone());
        }
        let old = self.generations.write().old.remove(&key);
        let value = old.map_or_else(read, Ok)?;
        self.insert(key, value.clone());
        Ok(value)
    }

    fn insert(&self, key: K, value: V) {
        let weight = (self.weigh)(&value);
        let mut generations = self.generations.write();
        // Another thread may have read the same.
        if generations.young.insert(key, value).is_none() {
            generations.weight += weight;
        }
        if generations.weight > self.budget {
            generations.old = std::mem::take(&mut generations.young);
            generations.weight = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{cell::Cell, convert::Infallible};

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let kept = Kept::new(16, |value: &u64| *value as usize);
        let reads = Cell::new(0);
        let get = |key: u64| {
            let value = kept.get_or_read(key, || {
                reads.set(reads.get() + 1);
                Ok::<_, Infallible>(1)
            });
            assert_eq!(value, Ok(1));
        };
        for key in 1..100 {
            get(key);
            get(0);
        }
        assert_eq!(reads.get(), 100, "each once");
        {
            let generations = kept.generations.read();
            assert!(generations.young.len() + generations.old.len() <= 2 * 17);
        }
        get(1);
        assert_eq!(reads.get(), 101, "forgotten, and read again");
    }

    #[test]
    fn what_cannot_be_read_is_not_kept() {
        let kept = Kept::new(16, |_: &u8| 1);
        assert_eq!(kept.get_or_read(7, || Err("broken")), Err("broken"));
        assert_eq!(kept.get_or_read(7, || Ok::<_, &str>(1)), Ok(1));
    }
}
