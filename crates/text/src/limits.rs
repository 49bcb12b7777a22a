//! Limits: of the file, checked before memory is spent on what they bound; of texts.

/// Bytes of a `tokenizer.json`.
pub const MAX_FILE_BYTES: usize = 16 << 20;

/// Bytes of JSON of a section other than the model's: normaliser, pre-tokeniser, post-processor, decoder. The largest is a table of
/// characters in base 64.
pub const MAX_SECTION_BYTES: usize = 1 << 20;

/// Entries of the model's vocabulary.
pub const MAX_VOCABULARY: usize = 262_144;

/// Merges of a BPE model.
pub const MAX_MERGES: usize = 524_288;

/// Bytes of an entry of the vocabulary.
pub const MAX_TOKEN_BYTES: usize = 4_096;

/// Bytes of an entry of a Unigram or WordPiece model's vocabulary: they are looked for at every place of a text.
pub const MAX_PIECE_BYTES: usize = 512;

/// Nodes of the tree of prefixes of a Unigram model's vocabulary.
pub const MAX_PREFIXES: usize = 1 << 20;

/// Ids are below this.
pub const MAX_ID: u32 = 1 << 22;

/// Added tokens.
pub const MAX_ADDED_TOKENS: usize = 4_096;

/// Bytes of an added token.
pub const MAX_ADDED_TOKEN_BYTES: usize = 64;

/// Components of a normaliser, a pre-tokeniser, a decoder, a post-processor, those of sequences counted one by one.
pub const MAX_COMPONENTS: usize = 12;

/// Regular expressions of a pre-tokeniser: each takes milliseconds to compile.
pub const MAX_REGULAR_EXPRESSIONS: usize = 2;

/// Bytes of a pattern that is a string, or of what takes its place.
pub const MAX_REPLACEMENT_BYTES: usize = 16;

/// Bytes that an entry of a table of characters may become.
pub const MAX_CHARACTER_BYTES: usize = 64;

/// `max_input_chars_per_word` of a WordPiece model.
pub const MAX_WORD_CHARS: usize = 256;

/// Special tokens that a post-processor adds.
pub const MAX_TEMPLATE_TOKENS: usize = 16;

/// Bytes of a text to encode.
pub const MAX_TEXT_BYTES: usize = 65_536;

/// Tokens to decode.
pub const MAX_TOKENS: usize = 65_536;

/// Bytes of all tokens that are decoded at once.
pub const MAX_DECODED_BYTES: usize = 1 << 20;

/// Bytes that a text of `bytes` may have when it is normalised and split: characters may become several, and separators be added.
pub const fn normalized_limit(bytes: usize) -> usize {
    bytes.saturating_mul(4).saturating_add(256)
}
