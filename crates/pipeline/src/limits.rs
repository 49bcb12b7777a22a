//! Limits of a description.

/// Bytes of its encoding.
pub const MAX_DESCRIPTION_BYTES: usize = 1 << 20;

/// Labels, and bytes of each.
pub const MAX_LABELS: usize = 65_536;

/// Bytes of a label.
pub const MAX_LABEL_BYTES: usize = 256;

/// Beams.
pub const MAX_BEAMS: u32 = 16;

/// Ids that end a sequence.
pub const MAX_EOS: usize = 8;

/// Ids and sequences of ids that a rule forbids.
pub const MAX_FORBIDDEN: usize = 1_024;

/// Ids of one such sequence.
pub const MAX_FORBIDDEN_LENGTH: usize = 16;

/// Tokens of a text, and tokens that are generated.
pub const MAX_TOKENS: u32 = 65_536;
