//! The digest of a tensor: what two machines compare to know that they hold the same bits.
//!
//! `docs/spec/model.md` §6 is the normative text. SHA-256 over
//!
//! ```text
//! element type    ONNX's code, 4 bytes little-endian
//! rank            4 bytes little-endian
//! dimensions      8 bytes little-endian each, outermost first
//! elements        little-endian, packed, row-major; a bool is one byte, 0 or 1
//! ```
//!
//! Every NaN in a tensor is the canonical one, so equal values are equal bytes; +0 and −0 are different ones.

use crate::{DType, Tensor, TensorView};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// Equal digests mean equal element types, shapes and bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorDigest(pub [u8; 32]);

impl TensorDigest {
    fn compute(dtype: DType, shape: &[usize], elements: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(dtype.onnx_code().to_le_bytes());
        hash.update((shape.len() as u32).to_le_bytes());
        for &size in shape {
            hash.update((size as u64).to_le_bytes());
        }
        hash.update(elements);
        Self(hash.finalize().into())
    }
}

impl Tensor {
    /// The digest of element type, shape and elements.
    pub fn digest(&self) -> TensorDigest {
        self.view().digest()
    }
}

impl TensorView<'_> {
    /// As [`Tensor::digest`].
    pub fn digest(&self) -> TensorDigest {
        TensorDigest::compute(self.dtype(), self.shape(), self.bytes())
    }
}

impl fmt::Display for TensorDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TensorDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a tensor's digest is 64 hexadecimal digits, got `{0}`")]
pub struct ParseTensorDigestError(String);

impl FromStr for TensorDigest {
    type Err = ParseTensorDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || ParseTensorDigestError(text.to_owned());
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(refuse());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(refuse);
            *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
        }
        Ok(Self(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_shape_and_every_bit_count() {
        let of = |dtype, shape: &[usize], bytes: &[u8]| {
            Tensor::from_le_bytes(dtype, shape, bytes)
                .expect("the length is right")
                .digest()
        };
        let digest = of(DType::F32, &[2, 1], &[0; 8]);
        assert_eq!(
            digest.to_string(),
            "c11fc8715a6c6aeafc724681657a5cfe20df9fec1739b754f2834bf0dc2173b9",
            "the digest of these bytes is part of the specification"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        let others = [
            of(DType::I32, &[2, 1], &[0; 8]),
            of(DType::F32, &[1, 2], &[0; 8]),
            of(DType::F32, &[2], &[0; 8]),
            of(DType::F32, &[2, 1], &[0, 0, 0, 0, 0, 0, 0, 0x80]),
        ];
        assert!(others.iter().all(|&other| other != digest));
        let nan = |bits: u32| of(DType::F32, &[1], &bits.to_le_bytes());
        assert_eq!(nan(0x7fc0_0000), nan(0xffc0_1234), "there is one NaN");
    }
}
