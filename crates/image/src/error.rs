//! What is wrong with a file, a rule or a picture, one variant a cause.

use crate::encoded::Format;
use crate::image::Channels;
use crate::limits::{MAX_PIXELS, MAX_RULE_BYTES, MAX_SIDE};

/// Why a file is not decoded. Offsets count bytes from the file's beginning.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Neither a PNG nor a JPEG file.
    #[error("not a picture that is understood: it begins with {}, and a PNG begins with 89 50 4e 47 0d 0a 1a 0a, a JPEG with ff d8 ff", hex(.0))]
    UnknownFormat(Vec<u8>),
    /// The file ends too early.
    #[error("the {format} ends at byte {at}, where {expected} should be: it is cut short")]
    Truncated {
        /// Of what the file begins as.
        format: Format,
        /// The file's length.
        at: usize,
        /// What is missing.
        expected: &'static str,
    },
    /// The file is not what its format says.
    #[error("the {format} is damaged at byte {at}: {what}")]
    Malformed {
        /// Of what the file begins as.
        format: Format,
        /// Where.
        at: usize,
        /// What is wrong, with the value.
        what: String,
    },
    /// The file is of its format, and uses a part of it that is left out here.
    #[error("{what} at byte {at} of the {format} is not supported: {instead}")]
    Unsupported {
        /// Of what the file begins as.
        format: Format,
        /// Where.
        at: usize,
        /// What is not supported.
        what: String,
        /// What to do.
        instead: &'static str,
    },
    /// The picture is too large.
    #[error(
        "a picture of {width} × {height} pixels is too large: at most {MAX_SIDE} along a side and {MAX_PIXELS} in all"
    )]
    TooLarge {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// The compressed data do not make the picture that the header announces.
    #[error("the compressed data of the {format} are damaged: {what}")]
    Data {
        /// Of what the file begins as.
        format: Format,
        /// In the decoder's words.
        what: String,
    },
    /// A pixel's number is not in the palette.
    #[error("the pixel at ({x}, {y}) has colour {index} of a palette of {entries}")]
    Palette {
        /// Across.
        x: u32,
        /// Down.
        y: u32,
        /// The pixel's number.
        index: u8,
        /// How many colours the palette has.
        entries: usize,
    },
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing".to_owned();
    }
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// Why pixels do not make an [`Image`](crate::Image).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A side of 0, or beyond the limits.
    #[error(
        "a picture of {width} × {height} pixels: each side has 1 to {MAX_SIDE} pixels, the picture at most {MAX_PIXELS}"
    )]
    Size {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
    /// Too many or too few bytes.
    #[error("{found} bytes for a picture of {width} × {height} pixels, which has {expected}")]
    Bytes {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// Pixels times channels.
        expected: usize,
        /// Bytes that were given.
        found: usize,
    },
}

/// Why a rule is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Longer than any rule.
    #[error("{0} bytes are more than a rule has: at most {MAX_RULE_BYTES}")]
    TooLong(usize),
    /// Not JSON, or not the fields of a rule.
    #[error("not a rule: {0}")]
    Json(#[from] serde_json::Error),
    /// A rule that is right, and written otherwise than its one canonical form.
    #[error(
        "a rule has one form, without spaces, with its fields in order: it differs at byte {0}; write it with Rule::to_json"
    )]
    NotCanonical(usize),
    /// Another version.
    #[error("a rule of version {0}: this build knows version {version}", version = crate::VERSION)]
    Version(u32),
    /// A field that is known and has a value which makes no sense.
    #[error("{field} is {value}: {expected}")]
    Value {
        /// The field, dotted.
        field: String,
        /// What it says.
        value: String,
        /// What it may say.
        expected: String,
    },
    /// A field of `preprocessor_config.json` that is not known.
    #[error("{field} is {value}: this field is not known, and may change what the network sees")]
    UnknownField {
        /// Its name.
        field: String,
        /// What it says.
        value: String,
    },
}

/// Why a rule cannot be applied to a picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Resizing makes a picture beyond the limits, or one without pixels.
    #[error(
        "the rule makes {to_width} × {to_height} pixels of {width} × {height}: each side has 1 to {MAX_SIDE} pixels, the picture at most {MAX_PIXELS}"
    )]
    Size {
        /// Of the picture.
        width: u32,
        /// Of the picture.
        height: u32,
        /// After resizing.
        to_width: u64,
        /// After resizing.
        to_height: u64,
    },
    /// What is to be filled up is larger already.
    #[error("{width} × {height} pixels are to be filled up to {} × {}: they are more", pad.width, pad.height)]
    Pad {
        /// After resizing and cropping.
        width: u32,
        /// After resizing and cropping.
        height: u32,
        /// The rule's.
        pad: crate::Pad,
    },
    /// The picture's channels are not those that were announced.
    #[error("a picture in {0} where the cost was asked for another")]
    Channels(Channels),
}
