//! Blocks that are not final: a small tree above the last final block.
//!
//! A voted block may still lose to a sibling, so several blocks of one height can stand side by side, each with the state
//! it leaves as an [`Overlay`] on its parent's. When one becomes final, its ancestors become final with it and everything
//! that does not descend from it is dropped.

use crate::{BlockData, Digest, Timestamp};
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

/// The last final block.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) digest: Digest,
    pub(crate) data: Arc<BlockData>,
    pub(crate) timestamp: Timestamp,
}

/// The last final block and what stands on it.
#[derive(Debug)]
pub(crate) struct Tree {
    head: Head,
    blocks: BTreeMap<Digest, Unfinalised>,
}

impl Tree {
    pub(crate) const fn new(head: Head) -> Self {
        Self {
            head,
            blocks: BTreeMap::new(),
        }
    }

    pub(crate) const fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Unfinalised> {
        self.blocks.get(digest)
    }

    /// Keeps a block whose parent is here. A block that lost its parent meanwhile is not kept.
    pub(crate) fn insert(&mut self, digest: Digest, block: Unfinalised) {
        if block.parent == self.head.digest || self.blocks.contains_key(&block.parent) {
            self.blocks.insert(digest, block);
        }
    }

    /// The blocks from the child of the head to `digest`, oldest first; `None` when it does not descend from the head.
    pub(crate) fn path(&self, digest: Digest) -> Option<Vec<Unfinalised>> {
        let mut path = Vec::new();
        let mut at = digest;
        while at != self.head.digest {
            let block = self.blocks.get(&at)?;
            at = block.parent;
            path.push(block.clone());
        }
        path.reverse();
        Some(path)
    }

    /// Makes an unfinalised block the head; keeps only what descends from it.
    pub(crate) fn advance(&mut self, head: Head) {
        let mut kept = BTreeSet::from([head.digest]);
        // Parents are inserted before children, but digests are not in that order: repeat until nothing is added.
        loop {
            let before = kept.len();
            kept.extend(
                self.blocks
                    .iter()
                    .filter(|(_, b)| kept.contains(&b.parent))
                    .map(|(d, _)| *d)
                    .collect::<Vec<_>>(),
            );
            if kept.len() == before {
                break;
            }
        }
        kept.remove(&head.digest);
        self.blocks.retain(|digest, _| kept.contains(digest));
        self.head = head;
    }

    /// Forgets everything but a head.
    pub(crate) fn reset(&mut self, head: Head) {
        self.blocks.clear();
        self.head = head;
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }
}
