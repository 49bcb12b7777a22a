//! Code that was read, ready to run.
//!
//! To run code is to know its jump destinations, which takes a look at every byte. The busiest contracts are asked every
//! millisecond. Code is kept by its hash, so it is right in every state, and needs no invalidation.

use alloy_primitives::{B256, map::HashMap};
use parking_lot::Mutex;
use revm::bytecode::Bytecode;

/// Bytes of code in each of the two generations.
const BUDGET: usize = 16 << 20;
/// What an entry takes beside its code: its key, its jump table.
const ENTRY: usize = 256;

/// Two generations: what is asked for goes into the young one, and when that is full, it becomes the old one, whose codes that
/// nobody asked for since are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Codes(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<B256, Bytecode>,
    old: HashMap<B256, Bytecode>,
    /// Of the young.
    bytes: usize,
}

impl Codes {
    pub(crate) fn get(&self, hash: &B256) -> Option<Bytecode> {
        let mut generations = self.0.lock();
        if let Some(code) = generations.young.get(hash) {
            return Some(code.clone());
        }
        let code = generations.old.remove(hash)?;
        generations.insert(*hash, code.clone());
        Some(code)
    }

    pub(crate) fn insert(&self, hash: B256, code: Bytecode) {
        self.0.lock().insert(hash, code);
    }
}

impl Generations {
    fn insert(&mut self, hash: B256, code: Bytecode) {
        self.bytes += code.len() + code.len() / 8 + ENTRY;
        self.young.insert(hash, code);
        if self.bytes > BUDGET {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_goes() {
        let codes = Codes::default();
        let code = Bytecode::new_raw(vec![0; 1 << 20].into());
        let hash = |index: u64| B256::left_padding_from(&index.to_be_bytes());
        codes.insert(hash(0), code.clone());
        for index in 1..100 {
            codes.insert(hash(index), code.clone());
            assert_eq!(
                codes.get(&hash(0)).map(|code| code.len()),
                Some(1 << 20),
                "{index}"
            );
        }
        assert!(codes.get(&hash(1)).is_none());
        let generations = codes.0.lock();
        assert!(generations.young.len() + generations.old.len() <= 2 * (BUDGET >> 20));
    }
}
