//! Edits: ranges of the weights, and the bytes that they become.
//!
//! Encoded one after another, in ascending order:
//!
//! ```text
//! gap: varint      bytes between the end of the edit before (at first: the beginning) and this one
//! length: varint   at least 1
//! bytes            so many
//! ```
//!
//! A varint is that of Protocol Buffers: seven bits in a byte, low ones first.

use bytes::Bytes;
use prost::encoding::{decode_varint, encode_varint, encoded_len_varint};
use std::ops::Range;

use super::WeightMap;
use crate::LEAF_BYTES;

/// Why bytes are not edits of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditsError {
    /// There is none.
    #[error("a patch without an edit changes nothing")]
    Empty,
    /// A number is cut or does not fit 64 bits.
    #[error("the edit at byte {at} of the patch begins with a number that is cut or too large")]
    Number {
        /// Where the edit begins in the encoding.
        at: usize,
    },
    /// It has no bytes, or fewer than announced.
    #[error(
        "the edit at byte {at} of the patch announces {length} bytes; it needs at least 1, and {left} are left"
    )]
    Length {
        /// Where the edit begins in the encoding.
        at: usize,
        /// The length announced.
        length: u64,
        /// What is left of the encoding.
        left: usize,
    },
    /// It ends behind the weights.
    #[error("the edit at byte {at} of the patch ends behind the {weights} bytes of weights")]
    Range {
        /// Where the edit begins in the encoding.
        at: usize,
        /// How many bytes of weights there are.
        weights: u64,
    },
}

/// One range of the weights, and what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<'a> {
    /// Where it begins in the weights.
    pub offset: u64,
    /// The new bytes, at least one.
    pub bytes: &'a [u8],
}

impl Edit<'_> {
    /// The range of the weights.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes.len() as u64
    }

    /// The numbers of the leaves that it touches.
    pub fn leaves(&self) -> Range<u64> {
        let range = self.range();
        range.start / LEAF_BYTES as u64..range.end.div_ceil(LEAF_BYTES as u64)
    }
}

/// Edits of weights, checked: ascending, apart from each other, within the weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edits {
    encoded: Bytes,
    weights: u64,
    count: u64,
}

/// Bytes that stay as they are and are sent all the same, rather than beginning another edit: what beginning one takes.
const WORTH_JOINING: usize = 3;

impl Edits {
    /// Reads edits of `weights` bytes of weights. Total: any bytes are accepted or refused in time proportional to their length.
    ///
    /// # Errors
    /// If they are not edits of so many bytes.
    pub fn decode(encoded: Bytes, weights: u64) -> Result<Self, EditsError> {
        let (mut rest, mut end, mut count) = (&encoded[..], 0u64, 0);
        while !rest.is_empty() {
            let at = encoded.len() - rest.len();
            let number = |rest: &mut &[u8]| decode_varint(rest).map_err(|_| EditsError::Number { at });
            let (gap, length) = (number(&mut rest)?, number(&mut rest)?);
            let held = usize::try_from(length).ok().filter(|&length| length > 0);
            let bytes = held.and_then(|length| rest.split_off(..length));
            if bytes.is_none() {
                return Err(EditsError::Length {
                    at,
                    length,
                    left: rest.len(),
                });
            }
            let next = end.checked_add(gap).and_then(|start| start.checked_add(length));
            end = next
                .filter(|&end| end <= weights)
                .ok_or(EditsError::Range { at, weights })?;
            count += 1;
        }
        if count == 0 {
            return Err(EditsError::Empty);
        }
        Ok(Self {
            encoded,
            weights,
            count,
        })
    }

    /// The edits that make `new` of `old`, two blobs of the same length, `None` if there is no difference. None of them reaches from
    /// one tensor into another.
    pub fn between(map: &WeightMap, old: &[u8], new: &[u8]) -> Option<Self> {
        debug_assert_eq!(old.len(), new.len());
        let mut encoded = Vec::new();
        let (mut end, mut count) = (0, 0);
        for tensor in map.ranges() {
            for range in differences(&old[tensor.clone()], &new[tensor.clone()]) {
                let range = tensor.start + range.start..tensor.start + range.end;
                encode_varint((range.start - end) as u64, &mut encoded);
                encode_varint(range.len() as u64, &mut encoded);
                encoded.extend_from_slice(&new[range.clone()]);
                end = range.end;
                count += 1;
            }
        }
        (count > 0).then(|| Self {
            encoded: encoded.into(),
            weights: old.len() as u64,
            count,
        })
    }

    /// The encoding.
    pub fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// How many there are, at least one.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of the weights that they edit.
    pub fn weights(&self) -> u64 {
        self.weights
    }

    /// Each edit, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Edit<'_>> {
        let (mut rest, mut end) = (&self.encoded[..], 0);
        std::iter::from_fn(move || {
            let (Ok(gap), Ok(length)) = (decode_varint(&mut rest), decode_varint(&mut rest)) else {
                return None; // the end: all else was refused when it was read
            };
            let offset = end + gap;
            end = offset + length;
            Some(Edit {
                offset,
                bytes: rest.split_off(..length as usize)?,
            })
        })
    }

    /// The numbers of all leaves that they touch, ascending, each once.
    pub fn leaves(&self) -> impl Iterator<Item = u64> {
        let mut from = 0;
        self.iter().flat_map(move |edit| {
            let leaves = edit.leaves();
            let own = leaves.start.max(from)..leaves.end;
            from = leaves.end;
            own
        })
    }

    /// Edits weights, which have the length for which this was read.
    pub fn apply(&self, weights: &mut [u8]) {
        for edit in self.iter() {
            let start = edit.offset as usize;
            weights[start..start + edit.bytes.len()].copy_from_slice(edit.bytes);
        }
    }
}

/// Where two tensors differ, ranges that are close to each other joined.
fn differences(old: &[u8], new: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let next = move |from: usize| {
        let equal = old[from..].iter().zip(&new[from..]).position(|(a, b)| a != b);
        equal.map(|equal| from + equal)
    };
    let mut start = next(0);
    std::iter::from_fn(move || {
        let first = start?;
        let mut end = first + 1;
        loop {
            let Some(other) = next(end) else {
                start = None;
                break;
            };
            let beginning = encoded_len_varint((other - end) as u64) + 1;
            if other - end > beginning.max(WORTH_JOINING) {
                start = Some(other);
                break;
            }
            end = other + 1;
        }
        Some(first..end)
    })
}
