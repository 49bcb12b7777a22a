//! Blocks that are not final: a small tree above the last final block.
//!
//! A voted block may still lose to a sibling, so several blocks of one height can stand side by side, each with the state
//! it leaves as an [`Overlay`] on its parent's. When one becomes final, its ancestors become final with it and everything
//! that does not descend from it is dropped.
//!
//! **Bounded.** While nothing becomes final, the tree must not eat the machine. There are two cases:
//!
//! - *Rivals.* A proposer may have many blocks verified that never win. Beyond the limits of [`TreeLimits`] the oldest
//!   blocks that the newest one does not stand on are forgotten. That loses time only: a block that is needed again is
//!   delivered and verified again.
//! - *One long path.* It cannot be cut. Above [`TreeLimits::bytes`] it goes on with empty blocks only, which cost next to
//!   nothing and through which finality can still come; above [`TreeLimits::blocks`] it waits.

use crate::{BlockData, Digest, Timestamp};
use alloy_consensus::TxReceipt;
use alloy_primitives::B256;
use alloy_rlp::Encodable;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use synod_state::{Overlay, Seal};

/// A block that is not final.
#[derive(Clone, Debug)]
pub(crate) struct Unfinalised {
    pub(crate) parent: Digest,
    pub(crate) data: Arc<BlockData>,
    pub(crate) overlay: Arc<Overlay>,
    /// Without a certificate yet.
    pub(crate) seal: Seal,
    pub(crate) timestamp: Timestamp,
}

impl Unfinalised {
    /// Bytes that the block holds, roughly; the same on every node.
    fn weight(&self) -> usize {
        /// Keys, pointers and counters around an entry of a map or list.
        const ENTRY: usize = 128;
        let BlockData { block, receipts } = &*self.data;
        let logs = receipts.iter().flat_map(TxReceipt::logs);
        let receipts: usize =
            logs.map(|log| log.length() + ENTRY).sum::<usize>() + receipts.len() * 4 * ENTRY;
        block.body.length() + block.body.transactions.len() * 4 * ENTRY + receipts + self.overlay.weight()
    }
}

/// How much may wait to become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLimits {
    /// Most blocks.
    pub blocks: usize,
    /// Bytes above which only empty blocks are added.
    pub bytes: usize,
}

impl Default for TreeLimits {
    /// A GiB holds ten of the worst blocks of 300 Mgas (22 MB of code, carried by as much calldata, or 13,000 new slots with
    /// their trie nodes) and thousands of ordinary ones.
    fn default() -> Self {
        Self {
            blocks: 1024,
            bytes: 1 << 30,
        }
    }
}

/// Too much already waits to become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{blocks} blocks with {bytes} bytes already wait to become final below it; this node keeps {} blocks, and beyond {} bytes only empty ones",
    .limits.blocks, .limits.bytes
)]
pub struct TooFarAhead {
    /// Blocks on the path from the last final one.
    pub blocks: usize,
    /// Their bytes.
    pub bytes: usize,
    /// What this node keeps.
    pub limits: TreeLimits,
}

/// What may be added on a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Any block.
    Any,
    /// A block without transactions.
    Empty(TooFarAhead),
}

/// The last final block.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) digest: Digest,
    pub(crate) data: Arc<BlockData>,
    pub(crate) timestamp: Timestamp,
    /// The state on which the next block stands: the one that the block left, unless a development chain edited it.
    pub(crate) state_root: B256,
}

/// The last final block and what stands on it.
#[derive(Debug)]
pub(crate) struct Tree {
    head: Head,
    blocks: BTreeMap<Digest, Node>,
    limits: TreeLimits,
    /// The weights of `blocks`, in sum.
    bytes: usize,
    /// How many were ever added.
    added: u64,
}

#[derive(Debug)]
struct Node {
    block: Unfinalised,
    weight: usize,
    /// The order of arrival.
    order: u64,
}

impl Tree {
    pub(crate) const fn new(head: Head, limits: TreeLimits) -> Self {
        Self {
            head,
            blocks: BTreeMap::new(),
            limits,
            bytes: 0,
            added: 0,
        }
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Unfinalised> {
        self.blocks.get(digest).map(|node| &node.block)
    }

    /// What may be added on a block that is here.
    pub(crate) fn room_on(&self, parent: Digest) -> Result<Room, TooFarAhead> {
        let path = self.ancestors(parent);
        let full = TooFarAhead {
            blocks: path.len(),
            bytes: path
                .iter()
                .filter_map(|d| self.blocks.get(d))
                .map(|n| n.weight)
                .sum(),
            limits: self.limits,
        };
        if full.blocks >= full.limits.blocks {
            Err(full)
        } else if full.bytes >= full.limits.bytes {
            Ok(Room::Empty(full))
        } else {
            Ok(Room::Any)
        }
    }

    /// Keeps a block whose parent is here, and forgets old rivals of it where there is not enough room. A block that lost its
    /// parent meanwhile is not kept.
    pub(crate) fn insert(&mut self, digest: Digest, block: Unfinalised) {
        if block.parent != self.head.digest && !self.blocks.contains_key(&block.parent) {
            return;
        }
        let weight = block.weight();
        let order = self.added;
        self.added += 1;
        self.bytes += weight;
        let before = self.blocks.insert(digest, Node { block, weight, order });
        self.bytes -= before.map_or(0, |node| node.weight);
        let kept = self.ancestors(digest);
        while self.blocks.len() > self.limits.blocks || self.bytes > self.limits.bytes {
            let rivals = self.blocks.iter().filter(|(digest, _)| !kept.contains(digest));
            let Some(oldest) = rivals
                .min_by_key(|(_, node)| node.order)
                .map(|(digest, _)| *digest)
            else {
                break;
            };
            let gone = self.descendants(oldest);
            self.retain(|digest| !gone.contains(digest));
        }
    }

    /// The blocks from the child of the head to `digest`, oldest first; `None` when it does not descend from the head.
    pub(crate) fn path(&self, digest: Digest) -> Option<Vec<Unfinalised>> {
        let mut path = Vec::new();
        let mut at = digest;
        while at != self.head.digest {
            let block = self.get(&at)?;
            at = block.parent;
            path.push(block.clone());
        }
        path.reverse();
        Some(path)
    }

    /// Makes an unfinalised block the head; keeps only what descends from it.
    pub(crate) fn advance(&mut self, head: Head) {
        let kept = self.descendants(head.digest);
        self.retain(|digest| *digest != head.digest && kept.contains(digest));
        self.head = head;
    }

    /// Forgets everything but a head.
    pub(crate) fn reset(&mut self, head: Head) {
        self.blocks.clear();
        self.bytes = 0;
        self.head = head;
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// A block and the unfinalised ones below it.
    fn ancestors(&self, digest: Digest) -> BTreeSet<Digest> {
        let mut path = BTreeSet::new();
        let mut at = digest;
        while let Some(node) = self.blocks.get(&at) {
            path.insert(at);
            at = node.block.parent;
        }
        path
    }

    /// A block and all that stand on it.
    fn descendants(&self, digest: Digest) -> BTreeSet<Digest> {
        let mut found = BTreeSet::from([digest]);
        // A parent arrives before its children.
        let mut nodes: Vec<_> = self.blocks.iter().collect();
        nodes.sort_unstable_by_key(|(_, node)| node.order);
        for (digest, node) in nodes {
            if found.contains(&node.block.parent) {
                found.insert(*digest);
            }
        }
        found
    }

    fn retain(&mut self, keep: impl Fn(&Digest) -> bool) {
        self.blocks.retain(|digest, _| keep(digest));
        self.bytes = self.blocks.values().map(|node| node.weight).sum();
    }
}
