//! The micro-kernels: sums of products of a few rows of bytes with a block of packed columns.

/// Calls a function for a tile's height: its first argument is the rows, of which there are one to six.
#[cfg(target_arch = "x86_64")]
macro_rules! heights {
    ($rows:expr, $tile:ident($($argument:expr),*)) => {
        heights!(@ $rows, $tile($($argument),*), 1 2 3 4 5 6)
    };
    (@ $rows:expr, $tile:ident $arguments:tt, $($height:literal)*) => {
        match $rows.starts.len() {
            $($height => heights!(@call $tile $height $arguments),)*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
    (@call $tile:ident $height:literal ($($argument:expr),*)) => {
        // SAFETY: by the caller's contract; the unit is available.
        unsafe { $tile::<$height>($($argument),*) }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;

use super::super::tile::Next;
use super::pack::{PANEL, Panels};
use super::unit::Unit;

/// Rows of a tile, at most.
pub(super) const ROWS: usize = 8;
/// Columns of a tile, at most.
pub(super) const COLUMNS: usize = 4 * PANEL;

/// Moves a quad of i8 to u8.
const FLIP: i32 = 0x8080_8080_u32 as i32;

/// The left operand of a tile, and what is read after it.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// The first byte of each row.
    pub(super) starts: &'a [*const u8],
    /// Bytes from one run of terms to the next, for each run but the first: the same for all rows.
    pub(super) offsets: &'a [usize],
    /// Quads of a run.
    pub(super) quads: usize,
    /// Whether the bytes are i8.
    pub(super) signed: bool,
    /// Panels that come next: some of them are fetched with each quad, by the 512-bit kernel.
    pub(super) next: Next,
}

/// Rows of a tile of `width` panels. The kernel is the unit's and the packed form's: a unit that is forced after packing may find
/// words where it would have packed bytes.
pub(super) fn rows_of(unit: Unit, panels: Panels<'_>, width: usize) -> usize {
    match (unit, panels) {
        (Unit::Avx512Vnni | Unit::Amx, Panels::Bytes(_)) if width < 4 => ROWS,
        _ => 6,
    }
}

/// The sums of products of the rows and a block of `width` panels: `out[row][column]`.
///
/// # Safety
/// Each row must have readable bytes at each of its runs, four for each quad; the rows are at most [`rows_of`]. The unit must be
/// available.
pub(super) unsafe fn sums(
    unit: Unit,
    rows: Rows<'_>,
    panels: Panels<'_>,
    width: usize,
    out: &mut [[i32; COLUMNS]; ROWS],
) {
    let (quads, length) = match panels {
        Panels::Bytes(panels) => (rows.offsets.len() * rows.quads, panels.len()),
        Panels::Words(panels) => (rows.offsets.len() * rows.quads, panels.len()),
    };
    assert_eq!(
        length,
        quads * width * PANEL * 4,
        "the operands of a tile have the same terms"
    );
    assert!(rows.starts.len() <= rows_of(unit, panels, width));
    match (unit, panels) {
        #[cfg(target_arch = "x86_64")]
        (Unit::Avx512Vnni | Unit::Amx, Panels::Bytes(panels)) => {
            // SAFETY: the unit is available, the rows are readable by the contract, and the panels have the quads (above).
            unsafe { avx512::sums(rows, panels.as_ptr(), width, out) }
        }
        #[cfg(target_arch = "x86_64")]
        (Unit::AvxVnni, Panels::Bytes(panels)) => {
            for panel in 0..width {
                // SAFETY: as above.
                unsafe { avx_vnni::sums(rows, panels.as_ptr().add(panel * 64), width, panel, out) }
            }
        }
        #[cfg(target_arch = "x86_64")]
        (Unit::Avx2 | Unit::AvxVnni | Unit::Avx512Vnni | Unit::Amx, Panels::Words(panels)) => {
            for panel in 0..width {
                // SAFETY: as above.
                unsafe { avx2::sums(rows, panels.as_ptr().add(panel * 64), width, panel, out) }
            }
        }
        (_, Panels::Bytes(panels)) => {
            // SAFETY: as above.
            unsafe {
                portable(
                    rows,
                    panels,
                    width,
                    |quad| std::array::from_fn(|t| quad[t].into()),
                    out,
                )
            };
        }
        (_, Panels::Words(panels)) => {
            // SAFETY: as above.
            unsafe { portable_words(rows, panels, width, out) };
        }
    }
}

/// Whether [`words`] has a kernel.
pub(super) fn multiplies_words(unit: Unit) -> bool {
    matches!(unit, Unit::Avx2 | Unit::Avx512Vnni)
}

/// Rows of a tile of words and `width` panels.
pub(super) fn rows_of_words(unit: Unit, width: usize) -> usize {
    if unit.has_wide_vnni() && width < 4 {
        ROWS
    } else {
        6
    }
}

/// The sums of products of rows of 16-bit words and a block of `width` panels of them, modulo 2³²: row i is written at `out + i × stride`.
/// Words are multiplied in pairs: a pair of each of sixteen columns makes a panel, as in [`Panels`] a quad of bytes does.
///
/// # Safety
/// Each row must have readable pairs of words, four bytes for each "quad", in one run; the rows are at most [`rows_of_words`]. [`multiplies_words`] must
/// hold of the unit, which must be available. `out` must have sixteen elements for each panel in each row.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(unused_variables, reason = "no unit here multiplies words")
)]
pub(super) unsafe fn words(
    unit: Unit,
    rows: Rows<'_>,
    panels: &[i16],
    width: usize,
    out: *mut i32,
    stride: usize,
) {
    assert_eq!(
        (panels.len(), rows.offsets.len()),
        (rows.quads * width * PANEL * 2, 1),
        "the operands of a tile have the same terms"
    );
    match unit {
        #[cfg(target_arch = "x86_64")]
        Unit::Avx512Vnni => {
            // SAFETY: the unit is available, the rows are readable by the contract, and the panels have the pairs (above).
            unsafe { avx512::words(rows, panels.as_ptr(), width, out, stride) }
        }
        #[cfg(target_arch = "x86_64")]
        Unit::Avx2 => {
            for panel in 0..width {
                let words = panels.as_ptr().wrapping_add(panel * 32);
                // SAFETY: as above.
                unsafe { avx2::words(rows, words, width, out.wrapping_add(panel * PANEL), stride) }
            }
        }
        unit => unreachable!("{unit:?} has no kernel for words"),
    }
}

/// Any machine, from bytes.
///
/// # Safety
/// As [`sums`].
unsafe fn portable(
    rows: Rows<'_>,
    panels: &[i8],
    width: usize,
    widen: impl Fn(&[i8; 4]) -> [i32; 4],
    out: &mut [[i32; COLUMNS]; ROWS],
) {
    for (start, out) in rows.starts.iter().zip(out) {
        *out = [0; COLUMNS];
        let mut quads = panels.as_chunks::<4>().0.chunks_exact(width * PANEL);
        for &offset in rows.offsets {
            for (quad, columns) in (0..rows.quads).zip(&mut quads) {
                // SAFETY: by the contract the row has this quad.
                let x = unsafe { quad_of(start.add(offset + 4 * quad), rows.signed) };
                for (out, column) in out.iter_mut().zip(columns) {
                    let w = widen(column);
                    let sum = x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
                    *out = out.wrapping_add(sum);
                }
            }
        }
    }
}

/// Any machine, from words.
///
/// # Safety
/// As [`sums`].
unsafe fn portable_words(rows: Rows<'_>, panels: &[i16], width: usize, out: &mut [[i32; COLUMNS]; ROWS]) {
    for (start, out) in rows.starts.iter().zip(out) {
        *out = [0; COLUMNS];
        let mut quads = panels.as_chunks::<64>().0.chunks_exact(width);
        for &offset in rows.offsets {
            for (quad, panels) in (0..rows.quads).zip(&mut quads) {
                // SAFETY: by the contract the row has this quad.
                let x = unsafe { quad_of(start.add(offset + 4 * quad), rows.signed) };
                for (out, panel) in out.as_chunks_mut::<PANEL>().0.iter_mut().zip(panels) {
                    for (j, out) in out.iter_mut().enumerate() {
                        let w = |at: usize| i32::from(panel[2 * j + at]);
                        let sum = x[0] * w(0) + x[2] * w(1) + x[1] * w(32) + x[3] * w(33);
                        *out = out.wrapping_add(sum);
                    }
                }
            }
        }
    }
}

/// Four terms of a row.
///
/// # Safety
/// They must be readable.
unsafe fn quad_of(at: *const u8, signed: bool) -> [i32; 4] {
    // SAFETY: by the contract.
    let quad = unsafe { at.cast::<i32>().read_unaligned() };
    let quad = if signed { quad ^ FLIP } else { quad };
    quad.to_ne_bytes().map(i32::from)
}
