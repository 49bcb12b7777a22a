//! The compressed rows of a PNG, inflated in a time that their length bounds.
//!
//! A block of deflate may define its codes anew in a dozen bytes and hold nothing, and building the decoder's tables takes
//! microseconds: a megabyte of such blocks is a third of a second. So blocks are counted here, which encoders fill with thousands of
//! bytes each; more than [`most_blocks`] are refused. What the `png` crate is handed then are the same rows in
//! blocks that are stored as they are.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags::*};

use crate::encoded::Format;
use crate::error::DecodeError;

/// The most blocks in which so many bytes of rows may be compressed.
pub(super) const fn most_blocks(rows: u64) -> u64 {
    64 + rows / 512
}

/// The rows, of which there are `length` bytes, from the bodies of the IDAT chunks. Data beyond them are left alone, as other
/// decoders do; checksums of chunks have been compared, so Adler's sum is not.
pub(super) fn inflate<'a>(
    bodies: impl Iterator<Item = &'a [u8]>,
    length: usize,
) -> Result<Vec<u8>, DecodeError> {
    const FLAGS: u32 = TINFL_FLAG_PARSE_ZLIB_HEADER
        | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
        | TINFL_FLAG_HAS_MORE_INPUT
        | TINFL_FLAG_IGNORE_ADLER32
        | TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
    let bad = |what: String| DecodeError::Data {
        format: Format::Png,
        what,
    };
    let mut state = Box::<DecompressorOxide>::default();
    let mut out = vec![0; length];
    let (mut at, mut blocks) = (0, 1);
    'bodies: for mut body in bodies {
        loop {
            let (status, read, written) = decompress(&mut state, body, &mut out, at, FLAGS);
            body = &body[read..];
            at += written;
            if at == length {
                break 'bodies;
            }
            match status {
                TINFLStatus::NeedsMoreInput => break,
                TINFLStatus::BlockBoundary => {
                    blocks += 1;
                    if blocks > most_blocks(length as u64) {
                        return Err(bad(format!(
                            "more than {} blocks for {length} bytes of rows: save it again",
                            most_blocks(length as u64)
                        )));
                    }
                }
                TINFLStatus::Done => break 'bodies,
                _ => {
                    return Err(bad(format!(
                        "no deflate data behind {at} of {length} bytes of rows"
                    )));
                }
            }
        }
    }
    if at < length {
        return Err(bad(format!("{at} bytes of rows, where the picture has {length}")));
    }
    Ok(out)
}

/// The longest stored block.
const STORED: usize = 0xffff;

/// A file made of slices, one behind the other.
pub(super) struct Pieces<'a> {
    pieces: Vec<&'a [u8]>,
    next: usize,
}

/// The head of each stored block of so many bytes.
pub(super) fn stored_heads(length: usize) -> Vec<[u8; 5]> {
    let blocks = length.div_ceil(STORED);
    (0..blocks)
        .map(|block| {
            let size = (length - block * STORED).min(STORED) as u16;
            let ([low, high], [not_low, not_high]) = (size.to_le_bytes(), (!size).to_le_bytes());
            [u8::from(block + 1 == blocks), low, high, not_low, not_high]
        })
        .collect()
}

impl<'a> Pieces<'a> {
    /// Begins with `before` and ends with `behind`; between them stand the rows, each piece behind its head.
    pub(super) fn new(before: &'a [u8], heads: &'a [[u8; 5]], rows: &'a [u8], behind: &'a [u8]) -> Self {
        let mut pieces = vec![before];
        for (head, rows) in heads.iter().zip(rows.chunks(STORED)) {
            pieces.push(head);
            pieces.push(rows);
        }
        pieces.push(behind);
        Self { pieces, next: 0 }
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.pieces.get(self.next).is_some_and(|piece| piece.is_empty()) {
            self.next += 1;
        }
        Ok(self.pieces.get(self.next).copied().unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        if let Some(piece) = self.pieces.get_mut(self.next) {
            *piece = &piece[amount..];
        }
    }
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl Seek for Pieces<'_> {
    /// The decoder asks for it and does not use it.
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
