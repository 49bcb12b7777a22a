//! What is refused, and why.

use crate::limits;

/// Why bytes are not a tokenizer that can be used here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// More bytes than a file may have.
    #[error("the file has {length} bytes; the limit is {}", limits::MAX_FILE_BYTES)]
    TooLarge {
        /// Its length.
        length: usize,
    },
    /// Not JSON, or not of the file's form.
    #[error("line {line}, column {column}: {reason}")]
    Json {
        /// Where, from 1 on.
        line: usize,
        /// Where, from 1 on.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// A component, or a value in it, that is not on the list.
    #[error("{field}: {value} is not supported; {expected}")]
    Unsupported {
        /// The path of the field, as `pre_tokenizer.pretokenizers[0].pattern`.
        field: String,
        /// What it says, shortened.
        value: String,
        /// What may stand there.
        expected: String,
    },
    /// A field that is needed and is not there.
    #[error("{field}: missing")]
    Missing {
        /// The path of the field.
        field: String,
    },
    /// More than a limit allows.
    #[error("{field}: {got} is above the limit of {limit}")]
    Limit {
        /// The path of the field.
        field: String,
        /// What there is.
        got: usize,
        /// What there may be.
        limit: usize,
    },
    /// Two parts of the file that do not go together.
    #[error("{field}: {reason}")]
    Inconsistent {
        /// The path of the field.
        field: String,
        /// What does not fit.
        reason: String,
    },
}

/// Why a text or tokens give nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Bytes that are not UTF-8.
    #[error("not UTF-8 from byte {position} on")]
    NotUtf8 {
        /// The first byte that does not belong to a character.
        position: usize,
    },
    /// A text above the limit.
    #[error("the text has {length} bytes; the limit is {}", limits::MAX_TEXT_BYTES)]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// A text that grows too much as it is normalised.
    #[error("normalised and split, the text has more than {limit} bytes: its characters expand too much")]
    Expands {
        /// What it may have ([`limits::normalized_limit`]).
        limit: usize,
    },
    /// More tokens than may be decoded at once.
    #[error("{count} tokens; the limit is {}", limits::MAX_TOKENS)]
    TooManyTokens {
        /// How many.
        count: usize,
    },
    /// Tokens whose texts are too long together.
    #[error("the tokens have more than {} bytes together", limits::MAX_DECODED_BYTES)]
    DecodedTooLong,
    /// A component refused the text. That no file does which was loaded, is the intention; the text of the reason is no rule.
    #[error("the tokenizer failed: {reason}")]
    Failed {
        /// In its words.
        reason: String,
    },
}
