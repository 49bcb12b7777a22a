//! Reading call data in place.
//!
//! A general ABI decoder copies what it decodes, and call data can make it copy the same bytes many times: thousands of
//! offsets may point at one long string. The reader here only ever borrows, so its memory is bounded by a small constant
//! for each word it looks at, and its time by the call data, which was paid for by the word. It is as lenient as Solidity:
//! offsets may overlap or point anywhere inside, and padding is not looked at.
//!
//! Every position is a byte offset into the arguments (the call data after the selector).

use alloy_primitives::{B256, U256};

/// An offset, a length or a small integer that is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Byte of the arguments at which the offending word starts.
    pub(crate) position: usize,
}

/// Bytes of a word.
pub(crate) const WORD: usize = 32;

/// A tuple of an ABI encoding: heads start at `base`, and offsets count from there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuple<'a> {
    data: &'a [u8],
    base: usize,
}

/// An array: its number of elements, and their heads as a tuple.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Array<'a> {
    pub(crate) length: usize,
    heads: Tuple<'a>,
}

impl<'a> Tuple<'a> {
    /// The arguments of a call.
    pub(crate) fn arguments(data: &'a [u8]) -> Self {
        Self { data, base: 0 }
    }

    fn position(&self, index: usize) -> Result<usize, Malformed> {
        index
            .checked_mul(WORD)
            .and_then(|offset| offset.checked_add(self.base))
            .ok_or(Malformed { position: self.base })
    }

    /// The word at head `index`.
    pub(crate) fn word(&self, index: usize) -> Result<B256, Malformed> {
        let position = self.position(index)?;
        word_at(self.data, position)
    }

    /// The unsigned integer at head `index`, which must fit 64 bits.
    pub(crate) fn u64(&self, index: usize) -> Result<u64, Malformed> {
        let position = self.position(index)?;
        u64::try_from(U256::from_be_bytes(word_at(self.data, position)?.0))
            .map_err(|_| Malformed { position })
    }

    /// The unsigned integer at head `index`, which must fit 32 bits.
    pub(crate) fn u32(&self, index: usize) -> Result<u32, Malformed> {
        let position = self.position(index)?;
        u32::try_from(self.u64(index)?).map_err(|_| Malformed { position })
    }

    /// The unsigned integer at head `index`, which must fit 8 bits.
    pub(crate) fn u8(&self, index: usize) -> Result<u8, Malformed> {
        let position = self.position(index)?;
        u8::try_from(self.u64(index)?).map_err(|_| Malformed { position })
    }

    /// The address at head `index`; its twelve leading bytes must be zero.
    pub(crate) fn address(&self, index: usize) -> Result<alloy_primitives::Address, Malformed> {
        let position = self.position(index)?;
        let word = word_at(self.data, position)?;
        if word[..12].iter().any(|&byte| byte != 0) {
            return Err(Malformed { position });
        }
        Ok(alloy_primitives::Address::from_word(word))
    }

    /// Where the dynamic value of head `index` starts.
    fn tail(&self, index: usize) -> Result<usize, Malformed> {
        let position = self.position(index)?;
        let offset = U256::from_be_bytes(word_at(self.data, position)?.0);
        usize::try_from(offset)
            .ok()
            .and_then(|offset| self.base.checked_add(offset))
            .filter(|&tail| tail <= self.data.len())
            .ok_or(Malformed { position })
    }

    /// The tuple that head `index` points at.
    pub(crate) fn tuple(&self, index: usize) -> Result<Self, Malformed> {
        Ok(Self {
            data: self.data,
            base: self.tail(index)?,
        })
    }

    /// The bytes or string that head `index` points at.
    pub(crate) fn bytes(&self, index: usize) -> Result<&'a [u8], Malformed> {
        let tail = self.tail(index)?;
        let length = length_at(self.data, tail, 1)?;
        Ok(&self.data[tail + WORD..tail + WORD + length])
    }

    /// The array that head `index` points at; each of its elements has a head of one word.
    pub(crate) fn array(&self, index: usize) -> Result<Array<'a>, Malformed> {
        let tail = self.tail(index)?;
        let length = length_at(self.data, tail, WORD)?;
        Ok(Array {
            length,
            heads: Self {
                data: self.data,
                base: tail + WORD,
            },
        })
    }
}

impl<'a> Array<'a> {
    /// The elements' heads as one tuple.
    pub(crate) fn heads(&self) -> Tuple<'a> {
        self.heads
    }

    /// The elements of an array of words.
    pub(crate) fn words(&self) -> impl ExactSizeIterator<Item = &'a [u8; WORD]> + use<'a> {
        let start = self.heads.base;
        let (words, _) = self.heads.data[start..start + self.length * WORD].as_chunks::<WORD>();
        words.iter()
    }
}

fn word_at(data: &[u8], position: usize) -> Result<B256, Malformed> {
    position
        .checked_add(WORD)
        .and_then(|end| data.get(position..end))
        .map(B256::from_slice)
        .ok_or(Malformed { position })
}

/// The length at `position`, of which every unit takes `unit` bytes that must be there.
fn length_at(data: &[u8], position: usize, unit: usize) -> Result<usize, Malformed> {
    let length = U256::from_be_bytes(word_at(data, position)?.0);
    let available = (data.len() - position - WORD) / unit;
    usize::try_from(length)
        .ok()
        .filter(|&length| length <= available)
        .ok_or(Malformed { position })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::IPredict;
    use alloy_primitives::I256;
    use alloy_sol_types::SolCall;

    #[test]
    fn reads_what_solidity_encodes() {
        let call = IPredict::runTensorsCall {
            model: "org/model".into(),
            inputs: vec![
                IPredict::Tensor {
                    dtype: 1,
                    shape: vec![2, 3],
                    data: vec![7; 24].into(),
                },
                IPredict::Tensor {
                    dtype: 9,
                    shape: vec![],
                    data: vec![1].into(),
                },
            ],
        }
        .abi_encode();
        let arguments = Tuple::arguments(&call[4..]);
        assert_eq!(arguments.bytes(0), Ok(b"org/model".as_slice()));
        let tensors = arguments.array(1).unwrap();
        assert_eq!(tensors.length, 2);
        let first = tensors.heads().tuple(0).unwrap();
        assert_eq!(first.u8(0), Ok(1));
        let shape = first.array(1).unwrap();
        assert_eq!(
            (shape.length, shape.heads().u64(0), shape.heads().u64(1)),
            (2, Ok(2), Ok(3))
        );
        assert_eq!(first.bytes(2), Ok([7; 24].as_slice()));
        let second = tensors.heads().tuple(1).unwrap();
        assert_eq!(second.array(1).unwrap().length, 0);
        assert_eq!(second.bytes(2), Ok([1].as_slice()));

        let values: Vec<I256> = [-1i64, 0, i64::MAX].map(|v| I256::try_from(v).unwrap()).to_vec();
        let call = IPredict::runFixedCall {
            model: "a/b".into(),
            values: values.clone(),
            inDecimals: 6,
            outDecimals: 18,
        };
        let call = call.abi_encode();
        let arguments = Tuple::arguments(&call[4..]);
        let words: Vec<I256> = arguments
            .array(1)
            .unwrap()
            .words()
            .map(|word| I256::from_be_bytes(*word))
            .collect();
        assert_eq!(words, values);
        assert_eq!((arguments.u8(2), arguments.u8(3)), (Ok(6), Ok(18)));
    }

    #[test]
    fn refuses_what_points_outside() {
        let call = IPredict::runCall {
            model: "org/model".into(),
            input: vec![1, 2, 3].into(),
        }
        .abi_encode();
        let good = &call[4..];
        for cut in 0..good.len() {
            let arguments = Tuple::arguments(&good[..cut]);
            let whole = arguments.bytes(0).is_ok() && arguments.bytes(1).is_ok();
            // Only the padding of the last argument may be missing.
            assert_eq!(whole, cut >= good.len() - 29, "cut at {cut}");
        }
        for position in [0, 32, 64, 128] {
            for value in [U256::MAX, U256::from(u64::MAX), U256::from(good.len() + 1)] {
                let mut bad = good.to_vec();
                bad[position..position + WORD].copy_from_slice(&value.to_be_bytes::<WORD>());
                let arguments = Tuple::arguments(&bad);
                let refused = arguments.bytes(0).and(arguments.bytes(1));
                assert_eq!(refused, Err(Malformed { position }), "{value} at {position}");
            }
        }
        let overlong = Tuple::arguments(good).word(usize::MAX / 16);
        assert!(overlong.is_err());
    }
}
