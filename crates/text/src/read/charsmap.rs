//! SentencePiece's table of characters: a double array of prefixes, and the strings that they become.
//!
//! The library that reads it follows what the table says. So every place that a text could lead to is visited once when the table is
//! loaded: it must lie within the array, and the strings within theirs, short and ended.

use super::fields::{Fields, unsupported};
use crate::{LoadError, limits::MAX_CHARACTER_BYTES};
use base64::{Engine, engine::general_purpose::STANDARD};
use spm_precompiled::Precompiled;

/// Reads a table; `None` if it is empty.
pub(super) fn read(fields: &mut Fields<'_>, name: &'static str) -> Result<Option<Precompiled>, LoadError> {
    let text = fields.string(name)?;
    let field = fields.at(name);
    let bytes = STANDARD
        .decode(text)
        .map_err(|error| unsupported(&field, text, &format!("base 64 stands here ({error})")))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let invalid = |reason: &str| LoadError::Inconsistent {
        field: field.clone(),
        reason: format!("the table is not valid: {reason}"),
    };
    check(&bytes).map_err(invalid)?;
    Precompiled::from(&bytes)
        .map(Some)
        .map_err(|error| invalid(&error.to_string()))
}

/// The units of the double array, as Darts-clone has them.
struct Unit(usize);

impl Unit {
    fn has_leaf(&self) -> bool {
        (self.0 >> 8) & 1 == 1
    }

    fn value(&self) -> usize {
        self.0 & ((1 << 31) - 1)
    }

    fn label(&self) -> usize {
        self.0 & ((1 << 31) | 0xff)
    }

    fn offset(&self) -> usize {
        (self.0 >> 10) << ((self.0 & (1 << 9)) >> 6)
    }
}

fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or("it has no length")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (array, strings) = rest.split_at_checked(length).ok_or("it is cut off")?;
    if !length.is_multiple_of(4) {
        return Err("its array does not have whole units");
    }
    let strings = std::str::from_utf8(strings).map_err(|_| "its strings are not UTF-8")?;
    let units = length / 4;
    let unit = |position: usize| {
        let bytes = &array[4 * position..4 * position + 4];
        Unit(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    };
    // from a position a byte leads to one of 255 others with the same high bits
    let inside = |position: usize| (position | 0xff) < units;
    if units == 0 || !inside(unit(0).offset()) {
        return Err("its array is too short");
    }
    let mut visited = vec![false; units];
    let mut open = vec![unit(0).offset()];
    visited[unit(0).offset()] = true;
    while let Some(position) = open.pop() {
        for byte in 1..=255 {
            let child = position ^ byte;
            let found = unit(child);
            if found.label() != byte {
                continue;
            }
            let next = child ^ found.offset();
            if !inside(next) {
                return Err("its array points outside");
            }
            if found.has_leaf() {
                string_at(strings, unit(next).value())?;
            }
            if !std::mem::replace(&mut visited[next], true) {
                open.push(next);
            }
        }
    }
    Ok(())
}

fn string_at(strings: &str, start: usize) -> Result<(), &'static str> {
    let string = strings.get(start..).ok_or("it points outside of its strings")?;
    let window = &string.as_bytes()[..string.len().min(MAX_CHARACTER_BYTES + 1)];
    if window.contains(&0) || string.len() <= MAX_CHARACTER_BYTES {
        Ok(())
    } else {
        Err("one of its strings is too long")
    }
}
