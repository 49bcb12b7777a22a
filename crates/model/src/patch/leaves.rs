//! Leaves of the weights' Merkle tree, and what of the tree stands beside their paths.

use super::Edits;
use crate::{
    LEAF_BYTES,
    id::{inner, leaf},
};
use std::ops::Range;

/// Bytes of a hash.
const HASH: usize = 32;

/// Some leaves of a blob of weights: those that edits touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaves {
    /// Number and bytes, ascending.
    leaves: Vec<(u64, Vec<u8>)>,
    /// Bytes of the whole blob.
    weights: u64,
}

impl Leaves {
    /// Those that edits touch, of zeros: [`Self::fill`] brings their bytes.
    pub fn touched_by(edits: &Edits) -> Self {
        let weights = edits.weights();
        let length = |leaf: u64| (weights - leaf * LEAF_BYTES as u64).min(LEAF_BYTES as u64) as usize;
        Self {
            leaves: edits.leaves().map(|leaf| (leaf, vec![0; length(leaf)])).collect(),
            weights,
        }
    }

    /// Number and bytes of each, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.leaves.iter().map(|(number, bytes)| (*number, &bytes[..]))
    }

    /// The bytes of one.
    ///
    /// # Panics
    /// If it is not among them.
    pub(crate) fn get(&self, number: u64) -> &[u8] {
        let index = self.leaves.binary_search_by_key(&number, |(number, _)| *number);
        &self.leaves[index.expect("an edit's leaves are among those that edits touch")].1
    }

    /// Where the last of them ends in the weights.
    pub fn end(&self) -> u64 {
        let last = self.leaves.last();
        last.map_or(0, |(number, bytes)| {
            number * LEAF_BYTES as u64 + bytes.len() as u64
        })
    }

    /// Takes what belongs to them of a part of the weights that begins at `offset`.
    pub fn fill(&mut self, offset: u64, part: &[u8]) {
        let end = offset + part.len() as u64;
        let first = self
            .leaves
            .partition_point(|(number, bytes)| number * LEAF_BYTES as u64 + bytes.len() as u64 <= offset);
        for (number, bytes) in &mut self.leaves[first..] {
            let start = *number * LEAF_BYTES as u64;
            if start >= end {
                break;
            }
            let common = start.max(offset)..(start + bytes.len() as u64).min(end);
            let of = |origin: u64| (common.start - origin) as usize..(common.end - origin) as usize;
            bytes[of(start)].copy_from_slice(&part[of(offset)]);
        }
    }

    /// Applies those edits, of the same weights, that concern them.
    pub fn apply(&mut self, edits: &Edits) {
        let mut first = 0;
        for edit in edits.iter() {
            let touched = edit.leaves();
            while self
                .leaves
                .get(first)
                .is_some_and(|(number, _)| *number < touched.start)
            {
                first += 1;
            }
            for (number, bytes) in self.leaves[first..].iter_mut() {
                if *number >= touched.end {
                    break;
                }
                let start = *number * LEAF_BYTES as u64;
                let range = edit.range();
                let common = start.max(range.start)..(start + bytes.len() as u64).min(range.end);
                let of = |origin: u64| (common.start - origin) as usize..(common.end - origin) as usize;
                bytes[of(start)].copy_from_slice(&edit.bytes[of(range.start)]);
            }
        }
    }

    /// Their hashes, ascending.
    pub fn hashes(&self) -> Vec<[u8; HASH]> {
        self.iter().map(|(_, bytes)| leaf(bytes)).collect()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.leaves.len() as u64
    }
}

/// Why a proof does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Not whole hashes.
    #[error("a proof is hashes of 32 bytes one after another, got {got} bytes")]
    Length {
        /// Its bytes.
        got: usize,
    },
    /// Fewer or more hashes than the tree has beside the paths of these leaves.
    #[error(
        "the proof has {got} hashes, which are not as many as stand beside the paths of the leaves that the patch touches"
    )]
    Count {
        /// Its hashes.
        got: usize,
    },
}

/// The roots of the largest subtrees without any touched leaf, from left to right: with the touched leaves they give the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafProof(Vec<[u8; HASH]>);

impl LeafProof {
    /// Reads hashes one after another.
    ///
    /// # Errors
    /// If the bytes are not whole hashes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProofError> {
        let (hashes, rest) = bytes.as_chunks::<HASH>();
        if !rest.is_empty() {
            return Err(ProofError::Length { got: bytes.len() });
        }
        Ok(Self(hashes.to_vec()))
    }

    /// What stands beside the paths of the leaves that `edits` touch in these weights.
    pub fn of(weights: &[u8], edits: &Edits) -> Self {
        let hashes: Vec<_> = weights.chunks(LEAF_BYTES).map(leaf).collect();
        let touched: Vec<u64> = edits.leaves().collect();
        let mut proof = Vec::new();
        beside(&hashes, 0, &touched, &mut proof);
        Self(proof)
    }

    /// The hashes one after another.
    pub fn encode(&self) -> Vec<u8> {
        self.0.concat()
    }

    /// How many hashes it has.
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// Roots over the weights where the touched leaves have the hashes `before`, and where they have the hashes `after`.
    ///
    /// # Errors
    /// If the number of hashes is wrong.
    ///
    /// # Panics
    /// If `before` and `after` are not as many as the leaves.
    pub fn roots(
        &self,
        leaves: &Leaves,
        before: &[[u8; HASH]],
        after: &[[u8; HASH]],
    ) -> Result<([u8; HASH], [u8; HASH]), ProofError> {
        assert_eq!(
            (before.len(), after.len()),
            (leaves.leaves.len(), leaves.leaves.len())
        );
        let numbers: Vec<u64> = leaves.iter().map(|(number, _)| number).collect();
        let wrong = || ProofError::Count { got: self.0.len() };
        let mut walk = Walk {
            numbers: &numbers,
            before,
            after,
            beside: self.0.iter(),
        };
        let count = leaves.weights.div_ceil(LEAF_BYTES as u64).max(1);
        let roots = walk.root(0..count, 0..numbers.len()).ok_or_else(wrong)?;
        if walk.beside.next().is_some() {
            return Err(wrong());
        }
        Ok(roots)
    }
}

/// The largest power of two below `count`, which is above 1: where the tree of RFC 9162 splits.
fn split(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

fn root(hashes: &[[u8; HASH]]) -> [u8; HASH] {
    match hashes {
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(split(hashes.len() as u64) as usize);
            inner(root(left), root(right))
        }
    }
}

/// Appends what `touched` leaves do not tell of the subtree with these hashes, whose first leaf has the number `first`.
fn beside(hashes: &[[u8; HASH]], first: u64, touched: &[u64], proof: &mut Vec<[u8; HASH]>) {
    if touched.is_empty() {
        proof.push(root(hashes));
    } else if hashes.len() > 1 {
        let left = split(hashes.len() as u64);
        let (before, after) = touched.split_at(touched.partition_point(|&leaf| leaf < first + left));
        let (lower, upper) = hashes.split_at(left as usize);
        beside(lower, first, before, proof);
        beside(upper, first + left, after, proof);
    }
}

/// Walks the tree, in the order of the proof's hashes.
struct Walk<'a> {
    numbers: &'a [u64],
    before: &'a [[u8; HASH]],
    after: &'a [[u8; HASH]],
    beside: std::slice::Iter<'a, [u8; HASH]>,
}

impl Walk<'_> {
    /// Both roots of the subtree over these leaves, of which `touched` (an index range) are touched.
    fn root(&mut self, leaves: Range<u64>, touched: Range<usize>) -> Option<([u8; HASH], [u8; HASH])> {
        if touched.is_empty() {
            let &hash = self.beside.next()?;
            return Some((hash, hash));
        }
        let count = leaves.end - leaves.start;
        if count == 1 {
            return Some((self.before[touched.start], self.after[touched.start]));
        }
        let middle = leaves.start + split(count);
        let own = &self.numbers[touched.clone()];
        let between = touched.start + own.partition_point(|&leaf| leaf < middle);
        let left = self.root(leaves.start..middle, touched.start..between)?;
        let right = self.root(middle..leaves.end, between..touched.end)?;
        Some((inner(left.0, right.0), inner(left.1, right.1)))
    }
}
