//! A product of rows of bytes, wherever they lie, and packed columns, tile by tile.

use super::super::tile::Next;
#[cfg(target_arch = "x86_64")]
use super::amx::OnTiles;
use super::epilogue::{Requantize, requantize_row};
use super::pack::{self, PANEL, Panels, Terms};
use super::tile::{self, COLUMNS, ROWS, Rows};
use super::unit::Unit;
use crate::isa;
use std::ops::Range;

/// Where rows of the left operand begin: on lines of equally spaced rows, at equal distances.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// The first row.
    pub(super) start: *const u8,
    /// Rows of a line.
    pub(super) width: usize,
    /// Bytes from row to row.
    pub(super) row: usize,
    /// Bytes from line to line.
    pub(super) line: usize,
}

/// What goes with the columns of a product.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// What each column's sum starts at.
    pub(super) starts: &'a [i32],
    /// What its weights add up to, as packed.
    pub(super) sums: &'a [i32],
    /// The zero points of the columns (as packed), if any is not 0.
    pub(super) zeros: Option<&'a [i32]>,
    /// What a row's zero point (as multiplied) is multiplied by and taken off, and those zero points, if rows have their own.
    pub(super) row_zeros: Option<(&'a [i32], &'a [i32])>,
}

/// Where results go.
#[derive(Clone, Copy)]
pub(super) enum Sink<'a> {
    /// Sums, so many elements from row to row and from column to column.
    Sums {
        out: *mut i32,
        row: usize,
        column: usize,
    },
    /// Bytes, so many from row to row, the columns side by side.
    Bytes {
        out: *mut u8,
        row: usize,
        requantize: Requantize<'a>,
    },
}

/// Writes a row of sums, added to what they start at if that is not in them, so many elements from column to column.
///
/// # Safety
/// There must be room for them.
#[inline(always)]
pub(super) unsafe fn put_sums(sums: &[i32], starts: Option<&[i32]>, out: *mut i32, column: usize) {
    if column == 1 {
        // SAFETY: by the contract.
        let out = unsafe { std::slice::from_raw_parts_mut(out, sums.len()) };
        match starts {
            None => out.copy_from_slice(sums),
            Some(starts) => isa::apply_binary(sums, starts, out, i32::wrapping_add),
        }
        return;
    }
    for (j, sum) in sums.iter().enumerate() {
        let start = starts.map_or(0, |starts| starts[j]);
        // SAFETY: by the contract.
        unsafe { *out.add(j * column) = sum.wrapping_add(start) };
    }
}

/// One product.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    pub(super) unit: Unit,
    pub(super) panels: Panels<'a>,
    /// Number of columns.
    pub(super) columns: usize,
    pub(super) terms: Terms,
    /// Bytes from the start of a row to each of its runs.
    pub(super) offsets: &'a [usize],
    /// Whether the left operand is i8.
    pub(super) signed: bool,
    /// Whether every fourth term fills up a pixel of three channels.
    pub(super) filled: bool,
    pub(super) with: Columns<'a>,
}

impl Product<'_> {
    /// Multiplies `count` rows, the first of which is number `first` of the walk, with some blocks of columns. Results of the first
    /// row and of column 0 go where the sink begins.
    ///
    /// # Safety
    /// Each row must have readable bytes at each of its runs, four for each quad. The sink must have room for the results, and nobody
    /// else may use it.
    pub(super) unsafe fn run(
        &self,
        walk: Walk,
        first: usize,
        count: usize,
        blocks: Range<usize>,
        sink: Sink<'_>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if let Some(on_tiles) = OnTiles::new(self, &walk, first, count, &sink) {
            // SAFETY: by the contract.
            return unsafe { on_tiles.run(blocks, sink) };
        }
        for index in blocks.clone() {
            let block = pack::block(self.columns, index);
            let panels = self.panels.part(
                block.first * self.terms.padded(),
                block.panels * PANEL * self.terms.padded(),
            );
            let columns = (self.columns - block.first).min(block.panels * PANEL);
            let tiles = count
                .div_ceil(tile::rows_of(self.unit, panels, block.panels))
                .max(1);
            let next = match panels {
                Panels::Bytes(panels) if tiles > 1 && index + 1 < blocks.end => {
                    Next::shared(panels.as_ptr_range().end, 4 * block.panels * PANEL, tiles)
                }
                _ => Next::NOTHING,
            };
            let (mut line, mut place) = (first / walk.width, first % walk.width);
            for index in 0..tiles {
                let (begin, end) = (index * count / tiles, (index + 1) * count / tiles);
                let mut starts = [walk.start; ROWS];
                let starts = &mut starts[..end - begin];
                for start in starts.iter_mut() {
                    *start = walk.start.wrapping_add(line * walk.line + place * walk.row);
                    place += 1;
                    if place == walk.width {
                        (line, place) = (line + 1, 0);
                    }
                }
                let rows = Rows {
                    starts,
                    offsets: self.offsets,
                    quads: self.terms.quads(),
                    signed: self.signed,
                    next: next.after(index * self.offsets.len() * self.terms.quads()),
                };
                // SAFETY: by the contract.
                unsafe { self.tile(rows, panels, block, columns, first + begin, begin, sink) };
            }
        }
    }

    /// One tile; `row` is the number of its first row among those that may have zero points, `at` among those of the sink.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "what it works on")]
    unsafe fn tile(
        &self,
        rows: Rows<'_>,
        panels: Panels<'_>,
        block: pack::Block,
        columns: usize,
        row: usize,
        at: usize,
        sink: Sink<'_>,
    ) {
        let first = block.first;
        // what a tile can do to its sums before it writes them
        #[cfg(target_arch = "x86_64")]
        let in_registers = match sink {
            Sink::Bytes { requantize, .. } => requantize.finite,
            Sink::Sums { column, .. } => {
                column == 1 && self.with.starts.len() >= first + block.panels * PANEL
            }
        };
        #[cfg(target_arch = "x86_64")]
        if let Panels::Bytes(panels) = panels
            && self.unit.has_wide_vnni()
            && self.with.row_zeros.is_none()
            && in_registers
        {
            assert_eq!(
                panels.len(),
                rows.offsets.len() * rows.quads * block.panels * PANEL * 4,
                "the operands of a tile have the same terms"
            );
            let mask = if columns == 64 {
                u64::MAX
            } else {
                (1 << columns) - 1
            };
            let mut totals = [0; ROWS];
            if self.with.zeros.is_some() {
                // SAFETY: the rows are readable by the contract.
                unsafe { tile::avx512::totals(rows, self.terms.length, self.filled, &mut totals) };
            }
            let taken_off = self.with.zeros.map(|zeros| (zeros, &totals));
            match sink {
                Sink::Bytes { out, row, requantize } => {
                    // SAFETY: the rows are readable and the sink has the columns by the contract; the panels have the quads.
                    unsafe {
                        tile::avx512::requantized(
                            rows,
                            panels.as_ptr(),
                            block.panels,
                            &requantize,
                            taken_off,
                            first,
                            mask,
                            out.wrapping_add(at * row + first),
                            row,
                        );
                    }
                }
                Sink::Sums { out, row, .. } => {
                    let of_block = taken_off.map(|(zeros, totals)| (&zeros[first..], totals));
                    // SAFETY: as above.
                    unsafe {
                        tile::avx512::summed(
                            rows,
                            panels.as_ptr(),
                            block.panels,
                            &self.with.starts[first..],
                            of_block,
                            mask,
                            out.wrapping_add(at * row + first),
                            row,
                        );
                    }
                }
            }
            return;
        }
        let plain = self.with.zeros.is_none() && self.with.row_zeros.is_none();
        let mut sums = [[0; COLUMNS]; ROWS];
        // SAFETY: by the contract.
        unsafe { tile::sums(self.unit, rows, panels, block.panels, &mut sums) };
        if !plain {
            // SAFETY: by the contract.
            unsafe { self.take_off(rows, first, columns, row, &mut sums) };
        }
        for (i, sums) in sums[..rows.starts.len()].iter().enumerate() {
            match sink {
                Sink::Sums { out, row, column } => {
                    let starts = &self.with.starts[first..][..columns];
                    let out = out.wrapping_add((at + i) * row + first * column);
                    // SAFETY: by the contract the sink has this row and its columns.
                    unsafe { put_sums(&sums[..columns], Some(starts), out, column) };
                }
                Sink::Bytes { out, row, requantize } => {
                    // SAFETY: by the contract the sink has these columns of the row.
                    let out = unsafe {
                        std::slice::from_raw_parts_mut(out.wrapping_add((at + i) * row + first), columns)
                    };
                    requantize_row(sums, &requantize, first, out);
                }
            }
        }
    }

    /// Takes off what zero points of columns and of rows add: Σ x(w − z) = Σ xw − zΣx.
    ///
    /// # Safety
    /// As [`Self::run`].
    unsafe fn take_off(
        &self,
        rows: Rows<'_>,
        first: usize,
        columns: usize,
        row: usize,
        sums: &mut [[i32; COLUMNS]; ROWS],
    ) {
        for (i, (&start, sums)) in rows.starts.iter().zip(sums).enumerate() {
            if let Some(zeros) = self.with.zeros {
                let flip = if self.signed { 0x80 } else { 0 };
                let mut total = 0i32;
                for &offset in self.offsets {
                    // SAFETY: the run is readable by the contract.
                    let run = unsafe { std::slice::from_raw_parts(start.add(offset), self.terms.length) };
                    let counts = |term: usize| !self.filled || term % 4 != 3;
                    total = run.iter().enumerate().fold(total, |sum, (term, &x)| {
                        sum.wrapping_add(if counts(term) { i32::from(x ^ flip) } else { 0 })
                    });
                }
                for (sum, zero) in sums.iter_mut().zip(&zeros[first..][..columns]) {
                    *sum = sum.wrapping_sub(zero.wrapping_mul(total));
                }
            }
            if let Some((factors, zeros)) = self.with.row_zeros {
                let zero = zeros[row + i];
                for (sum, factor) in sums.iter_mut().zip(&factors[first..][..columns]) {
                    *sum = sum.wrapping_sub(zero.wrapping_mul(*factor));
                }
            }
        }
    }
}
