//! What `testing/image/generate.py` wrote: pictures, and what Pillow and transformers make of them.

use std::path::PathBuf;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// `golden.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    /// File, width, height, mode, the beginning of the SHA-256 of the pixels.
    pub(crate) pictures: Vec<(String, u32, u32, String, String)>,
    /// Width and height before, width and height after, channels, filter, hash.
    pub(crate) resized: Vec<(u32, u32, u32, u32, usize, String, String)>,
    /// Configuration, picture, shape, hash of the little-endian elements.
    pub(crate) rules: Vec<(String, String, [usize; 4], String)>,
}

/// All that is known to be right.
pub(crate) fn golden() -> Golden {
    serde_json::from_slice(&file("golden.json")).expect("written by the generator")
}

/// The bytes of a fixture.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The beginning of a SHA-256, as the generator writes it.
pub(crate) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Bytes that look random with runs of black and white, by the generator's formula.
pub(crate) fn formula(count: usize) -> Vec<u8> {
    (0..count as u64)
        .map(|index| match (index / 37) % 5 {
            1 => 0,
            3 => 255,
            _ => (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8,
        })
        .collect()
}

/// A stream of numbers from a seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
