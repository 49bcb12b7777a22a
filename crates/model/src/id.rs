//! The model id: a Merkle root over profile version, graph and weights.
//!
//! `docs/spec/model.md` §4 is the normative text. The id depends on the canonical bytes alone: not on how they were cut
//! into chunks, when they were published, or by whom. Leaves of 4 KiB are what a patch replaces and a dispute opens.
//!
//! SHA-256 with one-byte domain tags, so that a leaf can never be taken for an inner node or a root: hardware computes it
//! (SHA-NI, ARMv8), and a contract can check an opening with the precompile at `0x02`.

use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use synod_numerics::pool;

/// Bytes of a leaf.
pub const LEAF_BYTES: usize = 4096;

const LEAF: u8 = 0;
const INNER: u8 = 1;
const ROOT: u8 = 2;

/// Identifies a model: equal ids mean equal graphs, weights and arithmetic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub [u8; 32]);

impl ModelId {
    /// The id of a graph and a weight blob under a profile version.
    pub fn compute(profile: u32, graph: &[u8], weights: &[u8]) -> Self {
        let part = |bytes: &[u8]| (bytes.len() as u64, merkle_root(bytes));
        Self::of_roots(profile, part(graph), part(weights))
    }

    /// The id of which only the lengths and [Merkle roots](merkle_root) of graph and weights are known.
    pub fn of_roots(profile: u32, graph: (u64, [u8; 32]), weights: (u64, [u8; 32])) -> Self {
        let mut hash = Sha256::new();
        hash.update([ROOT]);
        hash.update(b"synod model");
        hash.update(profile.to_be_bytes());
        for (length, root) in [graph, weights] {
            hash.update(length.to_be_bytes());
            hash.update(root);
        }
        Self(hash.finalize().into())
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not `0x` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a model id is 0x and 64 hexadecimal digits, got `{0}`")]
pub struct ParseModelIdError(String);

impl FromStr for ModelId {
    type Err = ParseModelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseModelIdError(text.to_owned());
        let digits = text.strip_prefix("0x").ok_or_else(refuse)?.as_bytes();
        if digits.len() != 64 {
            return Err(refuse());
        }
        let mut id = [0; 32];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(refuse);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(id))
    }
}

/// Leaves that are hashed before they are joined, and those that one thread takes: 64 KiB, some tens of microseconds.
const TOGETHER: usize = 1024;
const OF_ONE: usize = 16;

/// The root over the 4 KiB leaves of `bytes` (the last may be shorter; no bytes are one empty leaf). The tree is the one
/// of RFC 9162: the left part of n leaves is the largest power of two below n.
pub fn merkle_root(bytes: &[u8]) -> [u8; 32] {
    // One root for each set bit of the number of leaves so far: complete subtrees, largest first.
    let mut complete: Vec<(u32, [u8; 32])> = Vec::new();
    let mut add = |leaf: [u8; 32]| {
        let mut subtree = (0, leaf);
        while let Some(&(height, left)) = complete.last()
            && height == subtree.0
        {
            complete.pop();
            subtree = (height + 1, inner(left, subtree.1));
        }
        complete.push(subtree);
    };
    if bytes.is_empty() {
        add(leaf(bytes));
    }
    // threads share the leaves out, a part of the bytes at a time
    let mut leaves = [[0; 32]; TOGETHER];
    for part in bytes.chunks(TOGETHER * LEAF_BYTES) {
        let leaves = &mut leaves[..part.len().div_ceil(LEAF_BYTES)];
        pool::chunks(leaves, OF_ONE, |piece, leaves| {
            let chunks = part[piece * OF_ONE * LEAF_BYTES..].chunks(LEAF_BYTES);
            leaves
                .iter_mut()
                .zip(chunks)
                .for_each(|(to, chunk)| *to = leaf(chunk));
        });
        leaves.iter().for_each(|&leaf| add(leaf));
    }
    let (_, last) = complete.pop().expect("at least one leaf was added");
    complete
        .into_iter()
        .rev()
        .fold(last, |right, (_, left)| inner(left, right))
}

pub(crate) fn leaf(bytes: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([LEAF])
        .chain_update(bytes)
        .finalize()
        .into()
}

pub(crate) fn inner(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([INNER])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162 §2.1.1, word for word.
    fn recursive(leaves: &[&[u8]]) -> [u8; 32] {
        match leaves {
            [] => leaf(&[]),
            [one] => leaf(one),
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                inner(recursive(&leaves[..split]), recursive(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_tree_is_the_one_of_rfc_9162() {
        for length in [
            0,
            1,
            4095,
            4096,
            4097,
            8192,
            3 * 4096,
            5 * 4096 + 7,
            8 * 4096,
            13 * 4096,
        ] {
            let bytes: Vec<u8> = (0..length).map(|i: usize| (i * 31 % 251) as u8).collect();
            let leaves: Vec<&[u8]> = bytes.chunks(LEAF_BYTES).collect();
            assert_eq!(merkle_root(&bytes), recursive(&leaves), "{length} bytes");
        }
    }

    #[test]
    fn every_part_of_the_id_counts() {
        let id = ModelId::compute(1, b"graph", b"weights");
        let others = [
            ModelId::compute(2, b"graph", b"weights"),
            ModelId::compute(1, b"grapH", b"weights"),
            ModelId::compute(1, b"graph", b"weightS"),
            ModelId::compute(1, b"graphw", b"eights"),
            ModelId::compute(1, b"graph", b""),
        ];
        assert!(others.iter().all(|&other| other != id));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            id.to_string(),
            "0x0cdc7a676f965ae3da15d0d22f1afa600c755ad9eb23b2dccf826d73df8a3a06",
            "the id of these bytes is part of the specification"
        );
    }
}
