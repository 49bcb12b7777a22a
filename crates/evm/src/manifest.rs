//! How a model's bytes lie on the chain: chunks, and a manifest that lists them.
//!
//! ```text
//! chunk code     00 ‖ data
//! manifest code  00 ‖ "SYNOD" ‖ 01 ‖ graph length u64 ‖ weights length u64 ‖ graph chunks u32 ‖ weight chunks u32
//!                   ‖ address of each graph chunk ‖ address of each weight chunk           (integers big-endian)
//! patch code     00 ‖ "SYNOD" ‖ 02 ‖ id of the base ‖ address of the base's manifest or patch ‖ chunks u32
//!                   ‖ address of each chunk, or the edits themselves if there is none
//! ```
//!
//! All are code of accounts whose address follows from the content ([`address_of`]): the CREATE2 factory, salt zero, and an
//! init code that does nothing but return what follows it. So equal chunks are one account, an upload resumes where it
//! stopped, and nothing else can ever stand at such an address: the leading `00` (STOP) keeps the code from running, and
//! since the init code is known there was no constructor that could have scheduled the account for destruction
//! (EIP-6780 removes accounts destroyed in the transaction that created them).

use crate::addresses::CHUNK_FACTORY;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use std::collections::BTreeSet;

/// Init code that returns whatever follows its eleven bytes:
/// `PUSH1 0b, MSIZE, DUP2, CODESIZE, SUB, DUP1, SWAP3, MSIZE, CODECOPY, RETURN`.
pub const INIT_CODE_PREFIX: [u8; 11] = [0x60, 0x0b, 0x59, 0x81, 0x38, 0x03, 0x80, 0x92, 0x59, 0x39, 0xf3];

/// The salt of every deployment.
pub const SALT: B256 = B256::ZERO;

const STOP: u8 = 0x00;
const MAGIC: &[u8; 5] = b"SYNOD";
const VERSION: u8 = 1;
const PATCH_VERSION: u8 = 2;

/// Bytes of a leaf of the model id's Merkle tree; chunks of whole leaves keep equal parts of two versions equal chunks.
const LEAF: usize = 4096;

/// The largest chunk of whole leaves on a chain that allows contracts of `code_size_limit` bytes, at least one leaf.
pub const fn chunk_size(code_size_limit: usize) -> usize {
    let leaves = code_size_limit.saturating_sub(1) / LEAF;
    if leaves == 0 { LEAF } else { leaves * LEAF }
}

/// The code of a chunk with this data.
pub fn chunk_code(data: &[u8]) -> Bytes {
    [&[STOP], data].concat().into()
}

/// The data of a chunk's code, `None` if it is not a chunk.
pub fn chunk_data(code: &[u8]) -> Option<&[u8]> {
    code.strip_prefix(&[STOP]).filter(|data| !data.is_empty())
}

/// Whether init code deploys what a chunk or a manifest is: code that begins with STOP, which nothing can run.
pub(crate) fn is_deployment(init_code: &[u8]) -> bool {
    let code = init_code.strip_prefix(&INIT_CODE_PREFIX);
    code.is_some_and(|code| code.first() == Some(&STOP))
}

/// Init code that deploys `code`.
pub fn init_code(code: &[u8]) -> Bytes {
    [&INIT_CODE_PREFIX, code].concat().into()
}

/// Call data for the factory that deploys `code`.
pub fn deployment(code: &[u8]) -> Bytes {
    [SALT.as_slice(), &INIT_CODE_PREFIX, code].concat().into()
}

/// The address at which the factory deploys `code` (EIP-1014).
pub fn address_of(code: &[u8]) -> Address {
    CHUNK_FACTORY.create2(SALT, keccak256(init_code(code)))
}

/// The beginning of what lists pieces, of this version.
pub(crate) fn header(version: u8) -> Vec<u8> {
    [&[STOP][..], MAGIC, &[version]].concat()
}

/// What follows the [`header`] of this version, `None` if code begins otherwise.
pub(crate) fn body(code: &[u8], version: u8) -> Option<&[u8]> {
    code.strip_prefix(&[STOP])?
        .strip_prefix(MAGIC)?
        .strip_prefix(&[version])
}

/// Addresses, one after another.
pub(crate) fn list(addresses: &[Address], code: &mut Vec<u8>) {
    addresses
        .iter()
        .for_each(|address| code.extend_from_slice(address.as_slice()));
}

/// Exactly so many addresses, and nothing else.
pub(crate) fn listed(body: &[u8], count: u64) -> Option<Vec<Address>> {
    let (addresses, rest) = body.as_chunks::<20>();
    let exact = addresses.len() as u64 == count && rest.is_empty();
    exact.then(|| addresses.iter().map(Address::from).collect())
}

/// Whether bytes can lie in so many chunks: each has one at least.
pub(crate) fn is_possible(bytes: u64, chunks: u32) -> bool {
    u64::from(chunks) <= bytes && (chunks == 0) == (bytes == 0)
}

/// Cuts bytes into chunks, and keeps the code of every distinct one in the order of first use.
#[derive(Debug, Default)]
pub(crate) struct Cutter {
    pub(crate) codes: Vec<Bytes>,
    seen: BTreeSet<Address>,
}

impl Cutter {
    /// The chunks of some bytes, each of `chunk_size` but the last.
    pub(crate) fn cut(&mut self, bytes: &[u8], chunk_size: usize) -> Vec<Address> {
        let place = |data: &[u8]| {
            let code = chunk_code(data);
            let address = address_of(&code);
            if self.seen.insert(address) {
                self.codes.push(code);
            }
            address
        };
        bytes.chunks(chunk_size.max(1)).map(place).collect()
    }
}

/// What the account that a validated-model record names says of the model's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// They lie in chunks.
    Whole(Manifest),
    /// They are those of another model, but for some of the weights.
    Patched(Patch),
}

impl Content {
    /// Reads either.
    ///
    /// # Errors
    /// If the code is neither a manifest nor a patch.
    pub fn decode(code: &Bytes) -> Result<Self, ManifestError> {
        match code.get(HEADER_VERSION) {
            Some(&PATCH_VERSION) => Patch::decode(code).map(Self::Patched),
            _ => Manifest::decode(code).map(Self::Whole),
        }
    }
}

/// Where a code states which of the two it is.
const HEADER_VERSION: usize = 1 + MAGIC.len();

/// A model as edits of another one's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patch {
    /// The id of the base.
    pub base_id: B256,
    /// The account with the base's manifest or patch.
    pub base: Address,
    /// The chunks that hold the edits; none if they follow here.
    pub chunks: Vec<Address>,
    /// The edits, unless they lie in chunks.
    pub edits: Bytes,
}

impl Patch {
    /// A patch with these edits ([`synod_model::patch::Edits`]), on a chain that allows contracts of `code_size_limit` bytes; and the
    /// code of every chunk that it needs beside its own.
    pub fn cut(base_id: B256, base: Address, edits: &Bytes, code_size_limit: usize) -> (Self, Vec<Bytes>) {
        let mut patch = Self {
            base_id,
            base,
            chunks: Vec::new(),
            edits: edits.clone(),
        };
        if patch.encode().len() <= code_size_limit {
            return (patch, Vec::new());
        }
        let codes: Vec<Bytes> = edits
            .chunks(chunk_size(code_size_limit))
            .map(chunk_code)
            .collect();
        patch.chunks = codes.iter().map(|code| address_of(code)).collect();
        patch.edits = Bytes::new();
        (patch, codes)
    }

    /// The patch's code.
    pub fn encode(&self) -> Bytes {
        let mut code = header(PATCH_VERSION);
        code.extend_from_slice(self.base_id.as_slice());
        code.extend_from_slice(self.base.as_slice());
        code.extend_from_slice(&(self.chunks.len() as u32).to_be_bytes());
        list(&self.chunks, &mut code);
        code.extend_from_slice(&self.edits);
        code.into()
    }

    /// Reads a patch's code. Total, and the edits are not looked at.
    ///
    /// # Errors
    /// If the code is not exactly a patch.
    pub fn decode(code: &Bytes) -> Result<Self, ManifestError> {
        let body = body(code, PATCH_VERSION).ok_or(ManifestError::Magic)?;
        let cut = |chunks| ManifestError::Length {
            graph: 0,
            weights: chunks,
            got: code.len(),
        };
        let (base_id, body) = body.split_first_chunk::<32>().ok_or(cut(0))?;
        let (base, body) = body.split_first_chunk::<20>().ok_or(cut(0))?;
        let (chunks, body) = body.split_first_chunk().ok_or(cut(0))?;
        let chunks = u32::from_be_bytes(*chunks);
        let (addresses, edits) = match chunks {
            0 => (&[][..], code.slice_ref(body)),
            _ => match body.as_chunks::<20>() {
                (addresses, []) if addresses.len() as u64 == u64::from(chunks) => (addresses, Bytes::new()),
                _ => return Err(cut(chunks)),
            },
        };
        Ok(Self {
            base_id: base_id.into(),
            base: base.into(),
            chunks: addresses.iter().map(Address::from).collect(),
            edits,
        })
    }

    /// The address of the patch's account.
    pub fn address(&self) -> Address {
        address_of(&self.encode())
    }
}

/// Which accounts hold the two byte strings of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Bytes of the graph.
    pub graph_bytes: u64,
    /// Bytes of the weights.
    pub weight_bytes: u64,
    /// The chunks of the graph, in order.
    pub graph: Vec<Address>,
    /// The chunks of the weights, in order.
    pub weights: Vec<Address>,
}

/// Why code is not a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not begin with `00 "SYNOD" 01` or `00 "SYNOD" 02`.
    #[error("the code does not begin with 00 \"SYNOD\" and 01 (a manifest) or 02 (a patch)")]
    Magic,
    /// Its length is not what its counts ask for.
    #[error("a manifest of {graph} graph and {weights} weight chunks does not have {got} bytes")]
    Length {
        /// Graph chunks announced (0 if even the header is cut).
        graph: u32,
        /// Weight chunks announced (0 if even the header is cut).
        weights: u32,
        /// Bytes of code.
        got: usize,
    },
    /// A byte string has bytes but no chunks, chunks but no bytes, or more chunks than bytes.
    #[error("{bytes} bytes cannot lie in {chunks} chunks")]
    Chunks {
        /// Bytes announced.
        bytes: u64,
        /// Chunks announced.
        chunks: u32,
    },
}

impl Manifest {
    /// Cuts a model into chunks of `chunk_size` bytes; returns the manifest and the code of every distinct chunk, in the order
    /// of first use.
    pub fn cut(graph: &[u8], weights: &[u8], chunk_size: usize) -> (Self, Vec<Bytes>) {
        let mut cutter = Cutter::default();
        let manifest = Self {
            graph_bytes: graph.len() as u64,
            weight_bytes: weights.len() as u64,
            graph: cutter.cut(graph, chunk_size),
            weights: cutter.cut(weights, chunk_size),
        };
        (manifest, cutter.codes)
    }

    /// The manifest's code.
    pub fn encode(&self) -> Bytes {
        let mut code = header(VERSION);
        code.extend_from_slice(&self.graph_bytes.to_be_bytes());
        code.extend_from_slice(&self.weight_bytes.to_be_bytes());
        code.extend_from_slice(&(self.graph.len() as u32).to_be_bytes());
        code.extend_from_slice(&(self.weights.len() as u32).to_be_bytes());
        list(&self.graph, &mut code);
        list(&self.weights, &mut code);
        code.into()
    }

    /// Reads a manifest's code. Total: any bytes are accepted or refused in time proportional to their length.
    ///
    /// # Errors
    /// If the code is not exactly a manifest.
    pub fn decode(code: &[u8]) -> Result<Self, ManifestError> {
        let body = body(code, VERSION).ok_or(ManifestError::Magic)?;
        let cut = ManifestError::Length {
            graph: 0,
            weights: 0,
            got: code.len(),
        };
        let (graph_bytes, body) = body.split_first_chunk().ok_or(cut)?;
        let (weight_bytes, body) = body.split_first_chunk().ok_or(cut)?;
        let (graph, body) = body.split_first_chunk().ok_or(cut)?;
        let (weights, body) = body.split_first_chunk().ok_or(cut)?;
        let (graph_bytes, weight_bytes) = (
            u64::from_be_bytes(*graph_bytes),
            u64::from_be_bytes(*weight_bytes),
        );
        let (graph, weights) = (u32::from_be_bytes(*graph), u32::from_be_bytes(*weights));
        let mut addresses =
            listed(body, u64::from(graph) + u64::from(weights)).ok_or(ManifestError::Length {
                graph,
                weights,
                got: code.len(),
            })?;
        for (bytes, chunks) in [(graph_bytes, graph), (weight_bytes, weights)] {
            if !is_possible(bytes, chunks) {
                return Err(ManifestError::Chunks { bytes, chunks });
            }
        }
        let weights = addresses.split_off(graph as usize);
        Ok(Self {
            graph_bytes,
            weight_bytes,
            graph: addresses,
            weights,
        })
    }

    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.graph.len() + self.weights.len()
    }

    /// The address of the manifest's account.
    pub fn address(&self) -> Address {
        address_of(&self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cuts_store_equal_chunks_once() {
        let weights = [vec![1u8; 8192], vec![2u8; 4096], vec![1u8; 4096], vec![3]].concat();
        let (manifest, codes) = Manifest::cut(b"graph", &weights, 4096);
        assert_eq!((manifest.graph.len(), manifest.weights.len()), (1, 5));
        assert_eq!(codes.len(), 4, "graph, ones, twos, three");
        assert_eq!(manifest.weights[0], manifest.weights[3]);
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn chunks_hold_whole_leaves() {
        assert_eq!(chunk_size(24_576), 20_480);
        assert_eq!(chunk_size(128 << 10), 126_976);
        assert_eq!(chunk_size(1), 4096);
    }

    #[test]
    fn addresses_follow_eip_1014() {
        // The init code of an empty chunk, hashed by hand: keccak(ff ‖ factory ‖ salt ‖ keccak(init code)).
        let code = chunk_code(b"apple");
        let hash = keccak256([&INIT_CODE_PREFIX[..], b"\0apple"].concat());
        let preimage = [
            &[0xff],
            CHUNK_FACTORY.as_slice(),
            SALT.as_slice(),
            hash.as_slice(),
        ]
        .concat();
        assert_eq!(address_of(&code), Address::from_word(keccak256(preimage)));
        assert_eq!(deployment(&code)[..32], [0; 32]);
        assert_eq!(chunk_data(&code), Some(b"apple".as_slice()));
        assert_eq!(chunk_data(&[0]), None);
        assert_eq!(chunk_data(&[0x60, 1]), None);
    }

    #[test]
    fn refuses_what_is_not_exactly_a_manifest() {
        let (manifest, _) = Manifest::cut(b"graph", &[0; 10_000], 4096);
        let good = manifest.encode();
        for cut in 0..good.len() {
            assert!(Manifest::decode(&good[..cut]).is_err(), "cut at {cut}");
        }
        assert!(Manifest::decode(&[&good[..], &[0]].concat()).is_err());
        for at in 0..7 {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert_eq!(Manifest::decode(&bad), Err(ManifestError::Magic));
        }
        let none = Manifest {
            graph_bytes: 5,
            weight_bytes: 0,
            graph: vec![],
            weights: vec![],
        };
        assert_eq!(
            Manifest::decode(&none.encode()),
            Err(ManifestError::Chunks { bytes: 5, chunks: 0 })
        );
        let many = Manifest {
            graph_bytes: 0,
            weight_bytes: 1,
            graph: vec![],
            weights: vec![Address::ZERO; 2],
        };
        assert_eq!(
            Manifest::decode(&many.encode()),
            Err(ManifestError::Chunks { bytes: 1, chunks: 2 })
        );
    }

    proptest! {
        #[test]
        fn decoding_is_total_and_canonical(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
            let code = [b"\0SYNOD\x01".as_slice(), &tail].concat();
            if let Ok(manifest) = Manifest::decode(&code) {
                prop_assert_eq!(manifest.encode(), code);
            }
        }
    }
}
