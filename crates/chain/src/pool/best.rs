//! The order in which a block takes ready transactions.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeSet, BinaryHeap, VecDeque},
    sync::Arc,
};

use alloy_primitives::Address;

use super::PoolTransaction;

/// Ready transactions, the highest tip first, each sender's in nonce order; of equal tips the earlier arrival first.
///
/// A transaction that cannot pay the base fee hides those of its sender that follow it.
#[derive(Debug)]
pub struct Best {
    heads: BinaryHeap<Run>,
    skipped: BTreeSet<Address>,
    base_fee: u64,
}

#[derive(Debug)]
struct Run {
    tip: u128,
    head: Arc<PoolTransaction>,
    rest: VecDeque<Arc<PoolTransaction>>,
}

impl Run {
    fn new(mut transactions: VecDeque<Arc<PoolTransaction>>, base_fee: u64) -> Option<Self> {
        let head = transactions.pop_front()?;
        let tip = head.tip(base_fee)?;
        Some(Self {
            tip,
            head,
            rest: transactions,
        })
    }

    fn rank(&self) -> (u128, Reverse<u64>) {
        (self.tip, Reverse(self.head.arrival))
    }
}

impl Ord for Run {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Run {}

impl Best {
    pub(super) fn new<T>(senders: impl Iterator<Item = T>, base_fee: u64) -> Self
    where
        T: Iterator<Item = Arc<PoolTransaction>>,
    {
        let heads = senders
            .filter_map(|run| Run::new(run.collect(), base_fee))
            .collect();
        Self {
            heads,
            skipped: BTreeSet::new(),
            base_fee,
        }
    }

    /// Leaves out what is still to come of `sender`: its last transaction could not be executed, so none after it can.
    pub fn skip_sender(&mut self, sender: Address) {
        self.skipped.insert(sender);
    }
}

impl Iterator for Best {
    type Item = Arc<PoolTransaction>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Run { head, rest, .. } = self.heads.pop()?;
            if self.skipped.contains(&head.sender()) {
                continue;
            }
            self.heads.extend(Run::new(rest, self.base_fee));
            return Some(head);
        }
    }
}
