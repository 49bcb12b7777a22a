//! What is accepted at most. The limits are part of the definition: a picture beyond them is refused everywhere.

/// Pixels of a picture along one side.
pub const MAX_SIDE: u32 = 32_768;

/// Pixels of a picture, of a file as of a resized one.
pub const MAX_PIXELS: u64 = 1 << 26;

/// Scans of a JPEG file. Encoders write about ten; each is a pass over all coefficients.
pub const MAX_SCANS: usize = 256;

/// Normalisations of a rule, one behind the other.
pub const MAX_NORMALIZATIONS: usize = 4;

/// Bytes of a `preprocessor_config.json` or of a rule.
pub const MAX_RULE_BYTES: usize = 1 << 16;
