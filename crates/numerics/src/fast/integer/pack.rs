//! The packed operand of products: the weights of a layer, usually.
//!
//! **Terms** are packed in quads, four that lie side by side in the other operand: what one lane of `vpdpbusd` multiplies. The other
//! operand is read where it lies, in *runs* of terms that are contiguous there (a row of a matrix; a row of a window over an image
//! whose channels lie together). A run whose length is no multiple of four ends with zeros here, and whatever follows it there.
//!
//! **Columns** (output channels) are packed in panels of sixteen, and up to four panels in a block: a tile of the 512-bit kernel is as
//! wide as a block. Within a block: for each quad, for each panel, sixteen columns of four terms: sixteen quads of a panel, a block's
//! panels apart, are also a tile of AMX as it lies.
//!
//! **Signs.** The left operand is multiplied as u8, the right one as i8, whatever the types are: the others are moved by 128, and so
//! are their zero points.

use super::super::aligned::Aligned;
use super::unit::Unit;
use crate::quantize::Byte;

/// Columns of a panel.
pub(super) const PANEL: usize = 16;
/// Panels of a block, at most.
const BLOCK: usize = 4;

/// How the terms of a product lie: runs of equal length, in both operands in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    /// Number of runs.
    pub(super) runs: usize,
    /// Terms of each.
    pub(super) length: usize,
}

impl Terms {
    /// Quads of a run.
    pub(super) fn quads(&self) -> usize {
        self.length.div_ceil(4)
    }

    /// Terms with what fills up quads.
    pub(super) fn padded(&self) -> usize {
        self.runs * self.quads() * 4
    }
}

/// A block of panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Its first column.
    pub(super) first: usize,
    /// Its panels.
    pub(super) panels: usize,
}

/// Number of blocks of so many columns.
pub(super) fn blocks(columns: usize) -> usize {
    columns.div_ceil(PANEL).div_ceil(BLOCK)
}

/// A block; all have about the same number of panels.
pub(super) fn block(columns: usize, index: usize) -> Block {
    let (panels, blocks) = (columns.div_ceil(PANEL), blocks(columns));
    let start = |index: usize| index * panels / blocks;
    Block {
        first: start(index) * PANEL,
        panels: start(index + 1) - start(index),
    }
}

/// Elements that packed columns take.
pub(super) fn packed_len(columns: usize, terms: Terms) -> usize {
    columns.next_multiple_of(PANEL) * terms.padded()
}

/// Packed columns, as the unit in use when they were packed wants them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Panels<'a> {
    /// Quads of bytes.
    Bytes(&'a [i8]),
    /// Quads widened to 16 bits: the terms 0 and 2 of sixteen columns, then the terms 1 and 3.
    Words(&'a [i16]),
}

impl<'a> Panels<'a> {
    /// A part.
    pub(super) fn part(self, start: usize, length: usize) -> Self {
        match self {
            Panels::Bytes(panels) => Panels::Bytes(&panels[start..][..length]),
            Panels::Words(panels) => Panels::Words(&panels[start..][..length]),
        }
    }
}

/// Memory of packed columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Store {
    Bytes(Aligned<i8>),
    Words(Aligned<i16>),
}

impl Store {
    /// Memory for so many elements, zero, in the form that the unit in use takes.
    pub(super) fn new(length: usize) -> Self {
        if Unit::current().takes_bytes() {
            Store::Bytes(Aligned::zeroed(length))
        } else {
            Store::Words(Aligned::zeroed(length))
        }
    }

    pub(super) fn panels(&self) -> Panels<'_> {
        match self {
            Store::Bytes(panels) => Panels::Bytes(panels.get()),
            Store::Words(panels) => Panels::Words(panels.get()),
        }
    }

    /// Packs columns into a part of the memory, which holds zeros; `at(column, run, term)` is a term, `None` for what fills up. Adds up each column's terms in
    /// `sums`.
    pub(super) fn pack<B: Byte>(
        &mut self,
        start: usize,
        columns: usize,
        terms: Terms,
        at: impl Fn(usize, usize, usize) -> Option<B>,
        sums: &mut [i32],
    ) {
        let length = packed_len(columns, terms);
        match self {
            Store::Bytes(panels) => pack(
                &mut panels.get_mut()[start..][..length],
                columns,
                terms,
                at,
                sums,
                |place, value| (place, value),
            ),
            Store::Words(panels) => pack(
                &mut panels.get_mut()[start..][..length],
                columns,
                terms,
                at,
                sums,
                |place, value| (word_of(place), i16::from(value)),
            ),
        }
    }
}

impl Store {
    /// [`Self::pack`] of a matrix of k × n bytes, the columns side by side and the rows `stride` apart, into the whole memory. `unsigned`
    /// bytes are moved by 128.
    pub(super) fn pack_rows(
        &mut self,
        k: usize,
        n: usize,
        data: &[u8],
        stride: usize,
        unsigned: bool,
        sums: &mut [i32],
    ) {
        let terms = Terms { runs: 1, length: k };
        let flip = if unsigned { 0x80 } else { 0 };
        sums[..n].fill(0);
        for index in 0..blocks(n) {
            let Block { first, panels: width } = block(n, index);
            for quad in 0..terms.quads() {
                for panel in 0..width {
                    let column = first + panel * PANEL;
                    let count = PANEL.min(n - column);
                    let mut rows = [[flip; PANEL]; 4];
                    for (row, term) in rows.iter_mut().zip(4 * quad..k) {
                        row[..count].copy_from_slice(&data[term * stride + column..][..count]);
                    }
                    let quads = interleave(&rows, flip, &mut sums[column..][..count]);
                    let at = first * terms.padded() + (quad * width + panel) * PANEL * 4;
                    match self {
                        Store::Bytes(panels) => {
                            panels.get_mut()[at..][..PANEL * 4].copy_from_slice(quads.as_flattened())
                        }
                        Store::Words(panels) => {
                            let words = &mut panels.get_mut()[at..][..PANEL * 4];
                            for (column, quad) in quads.iter().enumerate() {
                                for (term, &value) in quad.iter().enumerate() {
                                    words[term % 2 * 32 + column * 2 + term / 2] = value.into();
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Store {
    /// Calls `each` with every column, term and value of columns of one run of terms that fill the memory.
    pub(super) fn unpack(&self, columns: usize, terms: Terms, mut each: impl FnMut(usize, usize, i8)) {
        for index in 0..blocks(columns) {
            let Block { first, panels: width } = block(columns, index);
            for column in first..columns.min(first + width * PANEL) {
                let (panel, lane) = ((column - first) / PANEL, (column - first) % PANEL);
                for term in 0..terms.length {
                    let place = ((term / 4 * width + panel) * PANEL + lane) * 4 + term % 4;
                    let start = first * terms.padded();
                    let value = match self {
                        Store::Bytes(panels) => panels.get()[start + place],
                        Store::Words(panels) => panels.get()[start + word_of(place)] as i8,
                    };
                    each(column, term, value);
                }
            }
        }
    }
}

/// Where the word of a byte is, see [`Panels::Words`].
fn word_of(place: usize) -> usize {
    let (quad, column, term) = (place / 64, place / 4 % 16, place % 4);
    quad * 64 + term % 2 * 32 + column * 2 + term / 2
}

/// Sixteen columns of four rows of bytes as quads of i8; adds the columns up. Loops, not closures, which might be called.
#[inline]
fn interleave(rows: &[[u8; PANEL]; 4], flip: u8, sums: &mut [i32]) -> [[i8; 4]; PANEL] {
    let mut quads = [[0; 4]; PANEL];
    let mut totals = [0; PANEL];
    for column in 0..PANEL {
        let mut total = 0;
        for term in 0..4 {
            let value = (rows[term][column] ^ flip) as i8;
            quads[column][term] = value;
            total += i32::from(value);
        }
        totals[column] = total;
    }
    for (sum, total) in sums.iter_mut().zip(totals) {
        *sum = sum.wrapping_add(total);
    }
    quads
}

fn pack<B: Byte, E: Copy>(
    panels: &mut [E],
    columns: usize,
    terms: Terms,
    at: impl Fn(usize, usize, usize) -> Option<B>,
    sums: &mut [i32],
    place: impl Fn(usize, i8) -> (usize, E),
) {
    for index in 0..blocks(columns) {
        let Block { first, panels: width } = block(columns, index);
        let panels = &mut panels[first * terms.padded()..][..width * PANEL * terms.padded()];
        let end = columns.min(first + width * PANEL);
        for (column, total) in (first..end).zip(&mut sums[first..end]) {
            let (panel, lane) = ((column - first) / PANEL, (column - first) % PANEL);
            let mut sum = 0i32;
            for run in 0..terms.runs {
                for term in 0..terms.length {
                    let value = at(column, run, term).map_or(0, Byte::shifted_signed);
                    sum = sum.wrapping_add(value.into());
                    let quad = run * terms.quads() + term / 4;
                    let (place, value) = place(((quad * width + panel) * PANEL + lane) * 4 + term % 4, value);
                    panels[place] = value;
                }
            }
            *total = sum;
        }
    }
}
