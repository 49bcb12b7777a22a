//! `vectors/pictures/golden.json`: what Pillow and transformers make of the pictures there.

use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// All that is known to be right; `testing/image/generate.py` writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Golden {
    /// File, width, height, mode, the beginning of the SHA-256 of the pixels.
    pub(crate) pictures: Vec<(String, u32, u32, String, String)>,
    /// Width and height before, width and height after, channels, filter, hash.
    pub(crate) resized: Vec<(u32, u32, u32, u32, usize, String, String)>,
    /// Configuration, picture, shape, hash of the little-endian elements.
    pub(crate) rules: Vec<(String, String, [usize; 4], String)>,
}

impl Golden {
    /// Reads the file in its folder.
    pub(crate) fn read(folder: &Path) -> std::io::Result<Self> {
        let bytes = std::fs::read(folder.join("golden.json"))?;
        Ok(serde_json::from_slice(&bytes)?)
    }
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
