//! How a file's bytes lie on the chain: chunks, and a manifest that lists them. docs/spec/predict.md §3 is the specification.
//!
//! ```text
//! file code      00 ‖ "SYNOD" ‖ 04 ‖ length u64 ‖ chunks u32 ‖ address of each chunk                (integers big-endian)
//! ```
//!
//! The address of a file follows from its bytes and from where they are cut, as those of all pieces do ([`address_of`]): whoever
//! names a file by its address names these bytes and no others.

use crate::{
    chunks,
    engine::{gather, stands_at},
    failure::Failure,
    gas::{self, GasMeter},
    interface::IPredict as errors,
    manifest::{self, Cutter, address_of},
};
use alloy_evm::EvmInternals;
use alloy_primitives::{Address, Bytes};

const VERSION: u8 = 4;

/// Which accounts hold the bytes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileManifest {
    /// How many bytes it has.
    pub bytes: u64,
    /// Its chunks, in order.
    pub chunks: Vec<Address>,
}

/// Why code is not the manifest of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It does not begin with `00 "SYNOD" 04`.
    #[error("the code does not begin with 00 \"SYNOD\" and 04: it lists no file")]
    Magic,
    /// Its length is not what its count asks for.
    #[error("a manifest of {chunks} chunks does not have {got} bytes")]
    Length {
        /// Chunks announced (0 if even the header is cut).
        chunks: u32,
        /// Bytes of code.
        got: usize,
    },
    /// There are bytes but no chunks, chunks but no bytes, or more chunks than bytes.
    #[error("{bytes} bytes cannot lie in {chunks} chunks")]
    Chunks {
        /// Bytes announced.
        bytes: u64,
        /// Chunks announced.
        chunks: u32,
    },
}

impl FileManifest {
    /// Cuts a file into chunks of `chunk_size` bytes; returns the manifest and the code of every distinct chunk, in the order of
    /// first use.
    pub fn cut(file: &[u8], chunk_size: usize) -> (Self, Vec<Bytes>) {
        let mut cutter = Cutter::default();
        let manifest = Self {
            bytes: file.len() as u64,
            chunks: cutter.cut(file, chunk_size),
        };
        (manifest, cutter.codes)
    }

    /// The manifest's code.
    pub fn encode(&self) -> Bytes {
        let mut code = manifest::header(VERSION);
        code.extend_from_slice(&self.bytes.to_be_bytes());
        code.extend_from_slice(&(self.chunks.len() as u32).to_be_bytes());
        manifest::list(&self.chunks, &mut code);
        code.into()
    }

    /// Reads a manifest's code. Total: any bytes are accepted or refused in time proportional to their length.
    ///
    /// # Errors
    /// If the code is not exactly the manifest of a file.
    pub fn decode(code: &[u8]) -> Result<Self, FileError> {
        let body = manifest::body(code, VERSION).ok_or(FileError::Magic)?;
        let cut = |chunks| FileError::Length {
            chunks,
            got: code.len(),
        };
        let (bytes, body) = body.split_first_chunk().ok_or(cut(0))?;
        let (chunks, body) = body.split_first_chunk().ok_or(cut(0))?;
        let (bytes, chunks) = (u64::from_be_bytes(*bytes), u32::from_be_bytes(*chunks));
        let addresses = manifest::listed(body, chunks.into()).ok_or(cut(chunks))?;
        if !manifest::is_possible(bytes, chunks) {
            return Err(FileError::Chunks { bytes, chunks });
        }
        Ok(Self {
            bytes,
            chunks: addresses,
        })
    }

    /// The address of the file: that of its manifest's account.
    pub fn address(&self) -> Address {
        address_of(&self.encode())
    }
}

/// The manifest at an address, whose content says that it stands there. Charges for reading it, and for reading all chunks.
pub(crate) fn open(
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    address: Address,
) -> Result<FileManifest, Failure> {
    let refuse = || Failure::from(errors::InvalidFile { file: address });
    meter.charge(gas::CHUNK_ACCOUNT)?;
    let code = chunks::code(state, address)?;
    meter.charge(gas::validate(code.len() as u64))?;
    if !stands_at(&code, address) {
        return Err(refuse());
    }
    let manifest = FileManifest::decode(&code).map_err(|_| refuse())?;
    meter.charge(gas::CHUNK_ACCOUNT.saturating_mul(manifest.chunks.len() as u64))?;
    Ok(manifest)
}

/// The bytes of a file whose manifest was opened, each chunk charged for and checked.
pub(crate) fn read(
    state: &mut EvmInternals<'_>,
    meter: &mut GasMeter,
    manifest: &FileManifest,
) -> Result<Bytes, Failure> {
    gather(state, meter, &manifest.chunks, Some(manifest.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_is_cut_and_listed() {
        let file = [vec![1u8; 8192], vec![2; 10]].concat();
        let (manifest, codes) = FileManifest::cut(&file, 4096);
        assert_eq!((manifest.bytes, manifest.chunks.len()), (8202, 3));
        assert_eq!(codes.len(), 2, "equal chunks once");
        assert_eq!(FileManifest::decode(&manifest.encode()), Ok(manifest));
        let (empty, codes) = FileManifest::cut(&[], 4096);
        assert!(codes.is_empty());
        assert_eq!(FileManifest::decode(&empty.encode()), Ok(empty));
    }

    #[test]
    fn refuses_what_lists_no_file() {
        let (manifest, _) = FileManifest::cut(&[7; 9000], 4096);
        let good = manifest.encode();
        for cut in 0..good.len() {
            assert!(FileManifest::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(FileManifest::decode(&[&good[..], &[0]].concat()).is_err());
        for (bytes, chunks) in [(0, 1), (1, 0), (1, 2)] {
            let none = FileManifest {
                bytes,
                chunks: vec![Address::ZERO; chunks],
            };
            let chunks = chunks as u32;
            assert_eq!(
                FileManifest::decode(&none.encode()),
                Err(FileError::Chunks { bytes, chunks })
            );
        }
    }

    proptest! {
        #[test]
        fn decoding_is_total_and_canonical(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
            let code = [b"\0SYNOD\x04".as_slice(), &tail].concat();
            if let Ok(manifest) = FileManifest::decode(&code) {
                prop_assert_eq!(manifest.encode(), code);
            }
        }
    }
}
