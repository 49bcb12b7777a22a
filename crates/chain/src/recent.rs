//! The last final blocks, decoded: what clients ask about right after a block.
//!
//! A block of chunks is megabytes, and each of its forty publishers polls for a receipt; without this every poll would read
//! and decode the whole block. It is a cache of what is on the disk, so it changes time only.

use crate::BlockData;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::B256;
use std::{collections::VecDeque, sync::Arc};

/// Bytes of transactions and logs to keep at most. The last block is kept whatever it weighs.
const BUDGET: usize = 64 << 20;
/// Blocks to keep at most: empty ones weigh nothing, but are not worth keeping for ever.
const BLOCKS: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Oldest first, each with its weight; heights without a gap.
    blocks: VecDeque<(Arc<BlockData>, usize)>,
    weight: usize,
}

fn weigh(data: &BlockData) -> usize {
    let transactions = data
        .block
        .body
        .transactions
        .iter()
        .map(Encodable2718::encode_2718_len);
    let logs = data
        .receipts
        .iter()
        .flat_map(|r| r.logs())
        .map(|log| log.data.data.len() + 32 * 4);
    transactions.chain(logs).sum()
}

impl Recent {
    /// Takes the block that follows the newest one; with any other it starts anew.
    pub(crate) fn push(&mut self, data: Arc<BlockData>) {
        let follows = self
            .blocks
            .back()
            .is_some_and(|(last, _)| last.number().checked_add(1) == Some(data.number()));
        if !follows {
            self.clear();
        }
        let weight = weigh(&data);
        self.weight += weight;
        self.blocks.push_back((data, weight));
        while self.blocks.len() > 1 && (self.weight > BUDGET || self.blocks.len() > BLOCKS) {
            if let Some((_, weight)) = self.blocks.pop_front() {
                self.weight -= weight;
            }
        }
    }

    pub(crate) fn by_number(&self, number: u64) -> Option<Arc<BlockData>> {
        let (first, _) = self.blocks.front()?;
        let index = usize::try_from(number.checked_sub(first.number())?).ok()?;
        self.blocks.get(index).map(|(data, _)| data.clone())
    }

    pub(crate) fn by_hash(&self, hash: B256) -> Option<Arc<BlockData>> {
        // What is asked for is nearly always the newest.
        self.blocks
            .iter()
            .rev()
            .find(|(data, _)| data.hash() == hash)
            .map(|(data, _)| data.clone())
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_consensus::{BlockBody, Header, Receipt, ReceiptEnvelope};
    use alloy_primitives::{Address, Bytes, Log};
    use synod_state::SealedBlock;

    fn block(number: u64, bytes: usize) -> Arc<BlockData> {
        let header = Header {
            number,
            ..Default::default()
        };
        let block = SealedBlock {
            hash: header.hash_slow(),
            header,
            body: BlockBody::default(),
            senders: Vec::new(),
        };
        let log = Log::new_unchecked(Address::ZERO, Vec::new(), Bytes::from(vec![0; bytes]));
        let receipt = Receipt {
            logs: vec![log],
            ..Default::default()
        };
        Arc::new(BlockData {
            block,
            receipts: vec![ReceiptEnvelope::Legacy(receipt.into())],
        })
    }

    #[test]
    fn it_finds_what_it_keeps_and_keeps_within_its_budget() {
        let mut recent = Recent::default();
        assert!(recent.by_number(0).is_none());
        for number in 5..15 {
            recent.push(block(number, BUDGET / 4));
        }
        let kept: Vec<_> = (0..20).filter(|n| recent.by_number(*n).is_some()).collect();
        assert_eq!(kept, [12, 13, 14]);
        for number in kept {
            let data = recent.by_number(number).unwrap();
            assert_eq!(recent.by_hash(data.hash()).unwrap().number(), number);
        }
        recent.push(block(15, 2 * BUDGET));
        assert!(recent.by_number(15).is_some() && recent.by_number(14).is_none());
        // After a gap there is nothing between.
        recent.push(block(20, 1));
        recent.push(block(21, 1));
        assert!(recent.by_number(15).is_none() && recent.by_number(20).is_some());
        for number in 22..22 + 2 * BLOCKS as u64 {
            recent.push(block(number, 1));
        }
        assert_eq!(recent.blocks.len(), BLOCKS);
        recent.clear();
        assert!(recent.by_number(22).is_none());
    }
}
