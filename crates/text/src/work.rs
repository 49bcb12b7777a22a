//! How much work encoding, decoding and loading is: bounds that follow from lengths and a tokenizer's figures, before anything runs.
//!
//! One unit is a nanosecond of the reference machine. The constants are measured worst cases (`examples/text_throughput.rs`), rounded up.

use crate::{limits::normalized_limit, tokenizer::Figures};

/// A model's algorithm, with what its time depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Bpe,
    /// The longest word that is cut, in characters; the bytes of the prefix of its further pieces.
    WordPiece {
        word: usize,
        prefix: usize,
    },
    WordLevel,
    /// Bytes of the longest token, and how many tokens at most begin one another.
    Unigram {
        longest_token: usize,
        chain: usize,
    },
}

/// Loading a tokenizer from so many bytes, whatever is in them.
pub const fn load(bytes: usize) -> u64 {
    LOAD_BASE.saturating_add((bytes as u64).saturating_mul(LOAD_BYTE))
}

/// Regular expressions to compile, and what any file takes.
const LOAD_BASE: u64 = 20_000_000;
const LOAD_BYTE: u64 = 150;
const CALL: u64 = 60_000;
/// A byte of the text, searched for added tokens: once, and for each byte of the longest of them.
const FIND: u64 = 200;
const FIND_ADDED: u64 = 6;
const NORMALIZE: u64 = 120;
const PRE_TOKENIZE: u64 = 300;
const MERGE: u64 = 60;
const MERGE_LEVEL: u64 = 40;

/// Encoding a text of so many bytes.
pub(crate) fn encode(figures: &Figures, bytes: usize) -> u64 {
    let text = bytes as u64 + 1;
    let normalized = normalized_limit(bytes) as u64;
    let find = FIND + FIND_ADDED * figures.longest_added as u64;
    let model = match figures.algorithm {
        Algorithm::Bpe => MERGE + MERGE_LEVEL * u64::from(normalized.ilog2()),
        Algorithm::WordLevel => MERGE,
        Algorithm::WordPiece { word, prefix } => {
            let (word, prefix) = (word as u64, prefix as u64);
            // of a word each beginning is tried with each end
            100 + word.div_ceil(2) * (50 + prefix) + word * word / 3
        }
        Algorithm::Unigram { longest_token, chain } => {
            let (longest, chain) = (longest_token as u64, chain as u64);
            150 + longest * 12 + chain * (60 + longest / 4)
        }
    };
    let per_byte = 2 * find
        + NORMALIZE * figures.normalizers as u64
        + PRE_TOKENIZE * figures.pre_tokenizers as u64
        + model;
    CALL.saturating_add(text.saturating_mul(find))
        .saturating_add(normalized.saturating_mul(per_byte))
}

/// Decoding so many tokens.
pub(crate) fn decode(figures: &Figures, tokens: usize) -> u64 {
    let token = figures.longest_token as u64;
    let step = 600 + 40 * token;
    CALL.saturating_add((tokens as u64).saturating_mul(step.saturating_mul(1 + figures.decoders as u64)))
}
