//! A least-recently-used cache bounded in bytes.

use std::collections::BTreeMap;

/// Keeps the most recently used values whose sizes sum to at most a capacity.
#[derive(Debug)]
pub(crate) struct ByteLru<K, V> {
    capacity: usize,
    size: usize,
    clock: u64,
    entries: BTreeMap<K, Entry<V>>,
    /// Keys by time of last use; times are unique.
    by_age: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    size: usize,
    last_use: u64,
}

impl<K: Ord + Clone, V: Clone> ByteLru<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            size: 0,
            clock: 0,
            entries: BTreeMap::new(),
            by_age: BTreeMap::new(),
        }
    }

    /// The value of `key`, which becomes the most recently used.
    pub(crate) fn get(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        self.clock += 1;
        self.by_age.remove(&entry.last_use);
        self.by_age.insert(self.clock, key.clone());
        entry.last_use = self.clock;
        Some(entry.value.clone())
    }

    /// Keeps `value`, and drops what was not used for longest to make room. A value larger than the cache is not kept.
    pub(crate) fn insert(&mut self, key: K, value: V, size: usize) {
        self.remove(&key);
        if size > self.capacity {
            return;
        }
        while self.size + size > self.capacity {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            if let Some(entry) = self.entries.remove(&oldest) {
                self.size -= entry.size;
            }
        }
        self.clock += 1;
        self.size += size;
        self.by_age.insert(self.clock, key.clone());
        self.entries.insert(
            key,
            Entry {
                value,
                size,
                last_use: self.clock,
            },
        );
    }

    /// Number of values and their bytes.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.entries.len(), self.size)
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.size -= entry.size;
            self.by_age.remove(&entry.last_use);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_the_least_recently_used() {
        let mut cache = ByteLru::new(10);
        cache.insert("a", 1, 4);
        cache.insert("b", 2, 4);
        assert_eq!(cache.get(&"a"), Some(1));
        cache.insert("c", 3, 4);
        assert_eq!(
            (cache.get(&"a"), cache.get(&"b"), cache.get(&"c")),
            (Some(1), None, Some(3))
        );
        assert_eq!(cache.usage(), (2, 8));
        cache.insert("a", 5, 10);
        assert_eq!((cache.get(&"a"), cache.get(&"c")), (Some(5), None));
        cache.insert("d", 6, 11);
        assert_eq!((cache.get(&"d"), cache.get(&"a")), (None, Some(5)));
        assert_eq!(cache.usage(), (1, 10));
    }
}
