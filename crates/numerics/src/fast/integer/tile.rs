//! The micro-kernels: sums of products of a few rows of bytes with a block of packed columns.

use super::pack::{PANEL, Panels};
use super::unit::Unit;

/// Rows of a tile, at most.
pub(super) const ROWS: usize = 8;
/// Columns of a tile, at most.
pub(super) const COLUMNS: usize = 4 * PANEL;

/// Moves a quad of i8 to u8.
const FLIP: i32 = 0x8080_8080_u32 as i32;

/// The left operand of a tile.
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

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{COLUMNS, FLIP, PANEL, ROWS, Rows};
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_and_si256, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_setzero_si256, _mm256_srli_epi16, _mm256_storeu_si256, _mm256_xor_si256,
    };

    /// One panel of words, `width` panels apart from quad to quad.
    ///
    /// # Safety
    /// As [`super::sums`]; `panel` points to the words of the first quad, 64 for each of `width` panels of every quad.
    pub(super) unsafe fn sums(
        rows: Rows<'_>,
        words: *const i16,
        width: usize,
        panel: usize,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        macro_rules! heights {
            ($($height:literal)*) => {
                match rows.starts.len() {
                    $($height => {
                        // SAFETY: by the contract; AVX2 is available.
                        unsafe { tile::<$height>(rows, words, width, panel, out) }
                    })*
                    rows => unreachable!("a tile of {rows} rows"),
                }
            };
        }
        heights!(1 2 3 4 5 6);
    }

    /// One panel of pairs of words, `width` panels apart from pair to pair.
    ///
    /// # Safety
    /// As [`super::words`]; `words` points to the first pair, 32 words for each of `width` panels of every pair.
    pub(super) unsafe fn words(
        rows: Rows<'_>,
        words: *const i16,
        width: usize,
        out: *mut i32,
        stride: usize,
    ) {
        macro_rules! heights {
            ($($height:literal)*) => {
                match rows.starts.len() {
                    $($height => {
                        // SAFETY: by the contract; AVX2 is available.
                        unsafe { pairs::<$height>(rows, words, width, out, stride) }
                    })*
                    rows => unreachable!("a tile of {rows} rows"),
                }
            };
        }
        heights!(1 2 3 4 5 6);
    }

    #[target_feature(enable = "avx2")]
    unsafe fn pairs<const HEIGHT: usize>(
        rows: Rows<'_>,
        mut words: *const i16,
        width: usize,
        out: *mut i32,
        stride: usize,
    ) {
        let mut starts = [std::ptr::null::<u8>(); HEIGHT];
        starts.copy_from_slice(&rows.starts[..HEIGHT]);
        let mut sums = [[_mm256_setzero_si256(); 2]; HEIGHT];
        for pair in 0..rows.quads {
            // SAFETY: the pair has 32 words here, and each row has four bytes.
            unsafe {
                let w = [
                    _mm256_loadu_si256(words.cast()),
                    _mm256_loadu_si256(words.add(16).cast()),
                ];
                for (sums, start) in sums.iter_mut().zip(starts) {
                    let x = _mm256_set1_epi32(start.add(4 * pair).cast::<i32>().read_unaligned());
                    for half in 0..2 {
                        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(x, w[half]));
                    }
                }
            }
            words = words.wrapping_add(32 * width);
        }
        for (i, sums) in sums.iter().enumerate() {
            // SAFETY: the row has sixteen elements of 32 bits.
            unsafe {
                _mm256_storeu_si256(out.add(i * stride).cast(), sums[0]);
                _mm256_storeu_si256(out.add(i * stride + 8).cast(), sums[1]);
            }
        }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn tile<const HEIGHT: usize>(
        rows: Rows<'_>,
        mut words: *const i16,
        width: usize,
        panel: usize,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        let mut starts = [std::ptr::null::<u8>(); HEIGHT];
        starts.copy_from_slice(&rows.starts[..HEIGHT]);
        let flip = _mm256_set1_epi32(if rows.signed { FLIP } else { 0 });
        let low = _mm256_set1_epi16(255);
        let mut sums = [[_mm256_setzero_si256(); 2]; HEIGHT];
        for &offset in rows.offsets {
            for quad in 0..rows.quads {
                // SAFETY: the quad has 64 words here, and each row has four bytes.
                unsafe {
                    let mut w = [_mm256_setzero_si256(); 4];
                    for (i, w) in w.iter_mut().enumerate() {
                        *w = _mm256_loadu_si256(words.add(16 * i).cast());
                    }
                    for (sums, start) in sums.iter_mut().zip(starts) {
                        let x =
                            _mm256_set1_epi32(start.add(offset + 4 * quad).cast::<i32>().read_unaligned());
                        let x = _mm256_xor_si256(x, flip);
                        let (even, odd) = (_mm256_and_si256(x, low), _mm256_srli_epi16::<8>(x));
                        for half in 0..2 {
                            let sum = _mm256_add_epi32(
                                _mm256_madd_epi16(even, w[half]),
                                _mm256_madd_epi16(odd, w[2 + half]),
                            );
                            sums[half] = _mm256_add_epi32(sums[half], sum);
                        }
                    }
                }
                words = words.wrapping_add(64 * width);
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            let out = &mut out[panel * PANEL..][..PANEL];
            // SAFETY: `out` has sixteen elements of 32 bits.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(out.as_mut_ptr().add(8).cast(), sums[1]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx_vnni {
    use super::{COLUMNS, FLIP, PANEL, ROWS, Rows};
    use std::arch::x86_64::{
        _mm256_dpbusd_avx_epi32, _mm256_loadu_si256, _mm256_set1_epi32, _mm256_setzero_si256,
        _mm256_storeu_si256, _mm256_xor_si256,
    };

    /// One panel of bytes, `width` panels apart from quad to quad.
    ///
    /// # Safety
    /// As [`super::sums`]; `bytes` points to the first quad, 64 bytes for each of `width` panels of every quad.
    pub(super) unsafe fn sums(
        rows: Rows<'_>,
        bytes: *const i8,
        width: usize,
        panel: usize,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        macro_rules! heights {
            ($($height:literal)*) => {
                match rows.starts.len() {
                    $($height => {
                        // SAFETY: by the contract; AVX-VNNI is available.
                        unsafe { tile::<$height>(rows, bytes, width, panel, out) }
                    })*
                    rows => unreachable!("a tile of {rows} rows"),
                }
            };
        }
        heights!(1 2 3 4 5 6);
    }

    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn tile<const HEIGHT: usize>(
        rows: Rows<'_>,
        mut bytes: *const i8,
        width: usize,
        panel: usize,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        let mut starts = [std::ptr::null::<u8>(); HEIGHT];
        starts.copy_from_slice(&rows.starts[..HEIGHT]);
        let flip = _mm256_set1_epi32(if rows.signed { FLIP } else { 0 });
        let mut sums = [[_mm256_setzero_si256(); 2]; HEIGHT];
        for &offset in rows.offsets {
            for quad in 0..rows.quads {
                // SAFETY: the quad has 64 bytes here, and each row has four.
                unsafe {
                    let mut w = [_mm256_setzero_si256(); 2];
                    for (i, w) in w.iter_mut().enumerate() {
                        *w = _mm256_loadu_si256(bytes.add(32 * i).cast());
                    }
                    for (sums, start) in sums.iter_mut().zip(starts) {
                        let x =
                            _mm256_set1_epi32(start.add(offset + 4 * quad).cast::<i32>().read_unaligned());
                        let x = _mm256_xor_si256(x, flip);
                        sums[0] = _mm256_dpbusd_avx_epi32(sums[0], x, w[0]);
                        sums[1] = _mm256_dpbusd_avx_epi32(sums[1], x, w[1]);
                    }
                }
                bytes = bytes.wrapping_add(64 * width);
            }
        }
        for (sums, out) in sums.iter().zip(out) {
            let out = &mut out[panel * PANEL..][..PANEL];
            // SAFETY: `out` has sixteen elements of 32 bits.
            unsafe {
                _mm256_storeu_si256(out.as_mut_ptr().cast(), sums[0]);
                _mm256_storeu_si256(out.as_mut_ptr().add(8).cast(), sums[1]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use super::super::epilogue::Requantize;
    use super::{COLUMNS, FLIP, ROWS, Rows};
    use std::arch::x86_64::{
        __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _mm_prefetch,
        _mm512_add_epi64, _mm512_adds_epi16, _mm512_cvt_roundps_epi32, _mm512_cvtepi32_ps,
        _mm512_dpbusd_epi32, _mm512_dpwssd_epi32, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_epi8, _mm512_mask_storeu_epi32, _mm512_maskz_loadu_epi8, _mm512_maskz_mov_epi8,
        _mm512_min_ps, _mm512_mul_ps, _mm512_mullo_epi32, _mm512_packs_epi32, _mm512_packus_epi16,
        _mm512_permutexvar_epi32, _mm512_reduce_add_epi64, _mm512_sad_epu8, _mm512_set1_epi8,
        _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_si512,
        _mm512_storeu_si512, _mm512_sub_epi32, _mm512_xor_si512,
    };

    /// Calls a tile function for a height and a width.
    macro_rules! sizes {
        ($rows:expr, $width:expr, $tile:ident($($argument:expr),*)) => {
            sizes!(@ $rows, $width, $tile($($argument),*),
                (1 1) (2 1) (3 1) (4 1) (5 1) (6 1) (7 1) (8 1)
                (1 2) (2 2) (3 2) (4 2) (5 2) (6 2) (7 2) (8 2)
                (1 3) (2 3) (3 3) (4 3) (5 3) (6 3) (7 3) (8 3)
                (1 4) (2 4) (3 4) (4 4) (5 4) (6 4))
        };
        (@ $rows:expr, $width:expr, $tile:ident $arguments:tt, $(($height:literal $panels:literal))*) => {
            match ($rows, $width) {
                $(($height, $panels) => {
                    sizes!(@call $tile $height $panels $arguments)
                })*
                (rows, panels) => unreachable!("a tile of {rows} rows and {panels} panels"),
            }
        };
        (@call place $height:literal $panels:literal ($rows:expr, $bytes:expr, $requantize:expr, $taken_off:expr, $($argument:expr),*)) => {
            // SAFETY: by the caller's contract.
            unsafe {
                match $taken_off {
                    None => place::<$height, $panels, false>($rows, $bytes, $requantize, NOTHING, $($argument),*),
                    Some(taken_off) => place::<$height, $panels, true>($rows, $bytes, $requantize, taken_off, $($argument),*),
                }
            }
        };
        (@call $tile:ident $height:literal $panels:literal ($($argument:expr),*)) => {
            // SAFETY: by the caller's contract.
            unsafe { $tile::<$height, $panels>($($argument),*) }
        };
    }

    /// Quads of panels that are on their way while one is multiplied: panels are read once for a few tiles of rows, and what holds them
    /// may be a third-level cache that answers late. Few rows are multiplied as fast as quads are loaded.
    const AHEAD: usize = 32;

    /// What the left operand of [`products`] is: u8, i8, or pairs of i16, which are multiplied with pairs of i16.
    const UNSIGNED: u8 = 0;
    const SIGNED: u8 = 1;
    const WORDS: u8 = 2;

    /// What nothing takes off.
    const NOTHING: (&[i32], &[i32; ROWS]) = (&[], &[0; ROWS]);

    /// Sums as they are.
    ///
    /// # Safety
    /// As [`super::sums`]; `bytes` points to the quads.
    pub(super) unsafe fn sums(
        rows: Rows<'_>,
        bytes: *const i8,
        width: usize,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        sizes!(rows.starts.len(), width, store(rows, bytes, out));
    }

    /// Σx of each row over all terms, as they are multiplied: of runs of `length` terms, without every fourth if those only fill up.
    ///
    /// # Safety
    /// As [`super::sums`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    pub(in super::super) unsafe fn totals(
        rows: Rows<'_>,
        length: usize,
        filled: bool,
        out: &mut [i32; ROWS],
    ) {
        let counted: u64 = if filled { 0x7777_7777_7777_7777 } else { u64::MAX };
        let flip = _mm512_set1_epi32(FLIP);
        for (&start, out) in rows.starts.iter().zip(out) {
            let mut total = _mm512_setzero_si512();
            for &offset in rows.offsets {
                for first in (0..length).step_by(64) {
                    let left = length - first;
                    let mask = counted & if left < 64 { (1 << left) - 1 } else { u64::MAX };
                    // SAFETY: by the contract; masked instructions do not touch bytes whose bit is 0.
                    let mut x =
                        unsafe { _mm512_maskz_loadu_epi8(mask, start.wrapping_add(offset + first).cast()) };
                    if rows.signed {
                        x = _mm512_maskz_mov_epi8(mask, _mm512_xor_si512(x, flip));
                    }
                    total = _mm512_add_epi64(total, _mm512_sad_epu8(x, _mm512_setzero_si512()));
                }
            }
            *out = _mm512_reduce_add_epi64(total) as i32;
        }
    }

    /// Sums that start at `starts`, to where they belong: `mask` tells which of the columns exist; row i is written at `out + i × stride`.
    /// `taken_off` are the columns' zero points, of which each row's total takes a multiple off.
    ///
    /// # Safety
    /// As [`super::sums`]; `out` must have the columns of the mask in each row.
    ///
    /// # Panics
    /// If there are not `16 × width` starts and zero points.
    #[expect(
        clippy::too_many_arguments,
        reason = "a kernel has as many operands as it has"
    )]
    pub(in super::super) unsafe fn summed(
        rows: Rows<'_>,
        bytes: *const i8,
        width: usize,
        starts: &[i32],
        taken_off: Option<(&[i32], &[i32; ROWS])>,
        mask: u64,
        out: *mut i32,
        stride: usize,
    ) {
        sizes!(
            rows.starts.len(),
            width,
            put(rows, bytes, starts, taken_off, mask, out, stride)
        );
    }

    /// Sums requantised: `mask` tells which of the columns exist; row i is written at `out + i × stride`. `taken_off` are the columns'
    /// zero points, of which each row's total takes a multiple off.
    ///
    /// # Safety
    /// As [`super::sums`]; the factors must be finite and have `16 × width` columns from `first`, as the zero points; `out` must have the
    /// columns of the mask in each row.
    #[expect(
        clippy::too_many_arguments,
        reason = "a kernel has as many operands as it has"
    )]
    pub(in super::super) unsafe fn requantized(
        rows: Rows<'_>,
        bytes: *const i8,
        width: usize,
        requantize: &Requantize<'_>,
        taken_off: Option<(&[i32], &[i32; ROWS])>,
        first: usize,
        mask: u64,
        out: *mut u8,
        stride: usize,
    ) {
        sizes!(
            rows.starts.len(),
            width,
            place(rows, bytes, requantize, taken_off, first, mask, out, stride)
        );
    }

    /// The sums, which start at those given for each column. A part of its callers, which have the instructions: a function of its own
    /// would hand the sums over in memory.
    ///
    /// # Safety
    /// As [`super::sums`].
    #[inline(always)]
    unsafe fn products<const HEIGHT: usize, const PANELS: usize, const LEFT: u8>(
        rows: Rows<'_>,
        mut bytes: *const i8,
        start: [__m512i; PANELS],
    ) -> [[__m512i; PANELS]; HEIGHT] {
        // loops, not closures: what is called from outside a function of these instructions is not inlined
        let mut starts = [std::ptr::null::<u8>(); HEIGHT];
        starts.copy_from_slice(&rows.starts[..HEIGHT]);
        let mut totals = [start; HEIGHT];
        // SAFETY: each quad has 64 bytes for each panel, and each row has four.
        unsafe {
            let flip = _mm512_set1_epi32(FLIP);
            for &offset in rows.offsets {
                let mut at = starts;
                for start in &mut at {
                    *start = start.wrapping_add(offset);
                }
                for quad in 0..rows.quads {
                    let mut w = [_mm512_setzero_si512(); PANELS];
                    for (j, w) in w.iter_mut().enumerate() {
                        *w = _mm512_loadu_si512(bytes.add(64 * j).cast());
                        if HEIGHT > 3 {
                            _mm_prefetch::<_MM_HINT_T0>(bytes.wrapping_add(64 * (AHEAD * PANELS + j)));
                        }
                    }
                    for i in 0..HEIGHT {
                        let mut x = _mm512_set1_epi32(at[i].add(4 * quad).cast::<i32>().read_unaligned());
                        if LEFT == SIGNED {
                            x = _mm512_xor_si512(x, flip);
                        }
                        for j in 0..PANELS {
                            totals[i][j] = if LEFT == WORDS {
                                _mm512_dpwssd_epi32(totals[i][j], x, w[j])
                            } else {
                                _mm512_dpbusd_epi32(totals[i][j], x, w[j])
                            };
                        }
                    }
                    bytes = bytes.wrapping_add(64 * PANELS);
                }
            }
        }
        totals
    }

    /// Sums of products of words: row i is written at `out + i × stride`.
    ///
    /// # Safety
    /// As [`super::words`]; `words` points to the pairs.
    pub(super) unsafe fn words(
        rows: Rows<'_>,
        words: *const i16,
        width: usize,
        out: *mut i32,
        stride: usize,
    ) {
        sizes!(rows.starts.len(), width, put_words(rows, words, out, stride));
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn put_words<const HEIGHT: usize, const PANELS: usize>(
        rows: Rows<'_>,
        words: *const i16,
        out: *mut i32,
        stride: usize,
    ) {
        let start = [_mm512_setzero_si512(); PANELS];
        // SAFETY: by the contract of `words`: a pair of words takes four bytes, as a quad of bytes does.
        let sums: [_; HEIGHT] = unsafe { products::<HEIGHT, PANELS, WORDS>(rows, words.cast(), start) };
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                // SAFETY: the row has sixteen elements for each panel.
                unsafe { _mm512_storeu_si512(out.add(i * stride + 16 * j).cast(), sum) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn store<const HEIGHT: usize, const PANELS: usize>(
        rows: Rows<'_>,
        bytes: *const i8,
        out: &mut [[i32; COLUMNS]; ROWS],
    ) {
        let start = [_mm512_setzero_si512(); PANELS];
        // SAFETY: by the contract of `sums`.
        let sums: [_; HEIGHT] = unsafe {
            if rows.signed {
                products::<HEIGHT, PANELS, SIGNED>(rows, bytes, start)
            } else {
                products::<HEIGHT, PANELS, UNSIGNED>(rows, bytes, start)
            }
        };
        for (sums, out) in sums.iter().zip(out) {
            for (&sum, out) in sums.iter().zip(out.as_chunks_mut::<16>().0) {
                // SAFETY: `out` has sixteen elements of 32 bits.
                unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), sum) };
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn put<const HEIGHT: usize, const PANELS: usize>(
        rows: Rows<'_>,
        bytes: *const i8,
        starts: &[i32],
        taken_off: Option<(&[i32], &[i32; ROWS])>,
        mask: u64,
        out: *mut i32,
        stride: usize,
    ) {
        let start = load(starts);
        // SAFETY: by the contract of `sums`.
        let mut sums: [_; HEIGHT] = unsafe {
            if rows.signed {
                products::<HEIGHT, PANELS, SIGNED>(rows, bytes, start)
            } else {
                products::<HEIGHT, PANELS, UNSIGNED>(rows, bytes, start)
            }
        };
        if let Some((zeros, totals)) = taken_off {
            take_off(&mut sums, load(zeros), totals);
        }
        for (i, sums) in sums.iter().enumerate() {
            for (j, &sum) in sums.iter().enumerate() {
                let columns = (mask >> (16 * j)) as u16;
                let out = out.wrapping_add(i * stride + 16 * j);
                // SAFETY: the row has the columns of the mask here; a masked instruction does not touch others.
                unsafe { _mm512_mask_storeu_epi32(out, columns, sum) };
            }
        }
    }

    /// Numbers that go with the columns of some panels.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn load<const PANELS: usize>(columns: &[i32]) -> [__m512i; PANELS] {
        let columns = columns[..16 * PANELS].as_ptr();
        let mut panels = [_mm512_setzero_si512(); PANELS];
        for (j, panel) in panels.iter_mut().enumerate() {
            // SAFETY: there are as many.
            *panel = unsafe { _mm512_loadu_si512(columns.add(16 * j).cast()) };
        }
        panels
    }

    /// Takes off each row's total of the columns' zero points.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn take_off<const HEIGHT: usize, const PANELS: usize>(
        sums: &mut [[__m512i; PANELS]; HEIGHT],
        zeros: [__m512i; PANELS],
        totals: &[i32; ROWS],
    ) {
        for (sums, &total) in sums.iter_mut().zip(totals) {
            for (sum, zero) in sums.iter_mut().zip(zeros) {
                let product = _mm512_mullo_epi32(zero, _mm512_set1_epi32(total));
                *sum = _mm512_sub_epi32(*sum, product);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    #[expect(clippy::too_many_arguments, reason = "as above")]
    unsafe fn place<const HEIGHT: usize, const PANELS: usize, const TAKES_OFF: bool>(
        rows: Rows<'_>,
        bytes: *const i8,
        requantize: &Requantize<'_>,
        (zeros, totals): (&[i32], &[i32; ROWS]),
        first: usize,
        mask: u64,
        out: *mut u8,
        stride: usize,
    ) {
        let start = load(&requantize.starts[first..]);
        let factors = requantize.factors[first..][..16 * PANELS].as_ptr();
        // SAFETY: by the contract.
        let mut sums: [_; HEIGHT] = unsafe {
            if rows.signed {
                products::<HEIGHT, PANELS, SIGNED>(rows, bytes, start)
            } else {
                products::<HEIGHT, PANELS, UNSIGNED>(rows, bytes, start)
            }
        };
        if TAKES_OFF {
            take_off(&mut sums, load(&zeros[first..]), totals);
        }
        // SAFETY: by the contract there are as many factors, and each row has the columns of the mask.
        unsafe {
            if PANELS == 4 || requantize.large {
                // from memory: faster where the sums fill the registers, and shorter where it is rare
                let mut rows = [[_mm512_setzero_si512(); COLUMNS / 16]; HEIGHT];
                let mut places = [None; HEIGHT];
                for i in 0..HEIGHT {
                    rows[i][..PANELS].copy_from_slice(&sums[i]);
                    places[i] = Some(out.wrapping_add(i * stride));
                }
                finish_rows::<PANELS>(rows.as_ptr().cast(), factors, requantize, mask, &places);
            } else {
                let placing = Placing::new(requantize);
                for (i, &sums) in sums.iter().enumerate() {
                    write::<PANELS, false>(sums, factors, placing, mask, out.wrapping_add(i * stride));
                }
            }
        }
    }

    /// What requantisation is made of. One form for all types: a loop over rows with branches in it would keep the sums in memory.
    #[derive(Clone, Copy)]
    struct Placing {
        /// The zero point of the results as u8.
        zero: __m512i,
        /// Turns results from u8 to what they are.
        flip: __m512i,
        /// A conversion of more than 2³¹ gives the least integer.
        most: __m512,
        /// Lanes of four columns of each panel, to sixteen columns of each panel.
        order: __m512i,
    }

    impl Placing {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        fn new(requantize: &Requantize<'_>) -> Self {
            let (shift, flip) = if requantize.signed { (128, 0x80) } else { (0, 0) };
            Placing {
                zero: _mm512_set1_epi16(requantize.zero + shift),
                flip: _mm512_set1_epi8(flip as i8),
                most: _mm512_set1_ps(1e6),
                order: _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
            }
        }
    }

    /// A row of sums requantised. A part of its callers, as [`products`] is.
    ///
    /// # Safety
    /// There must be 16 × PANELS factors, and room for the columns of the mask.
    #[inline(always)]
    unsafe fn write<const PANELS: usize, const LARGE: bool>(
        sums: [__m512i; PANELS],
        factors: *const f32,
        placing: Placing,
        mask: u64,
        out: *mut u8,
    ) {
        // SAFETY: by the contract; the caller has the instructions.
        unsafe {
            let mut steps = [_mm512_setzero_si512(); 4];
            for j in 0..PANELS {
                let factor = _mm512_loadu_ps(factors.add(16 * j));
                let mut real = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]), factor);
                if LARGE {
                    real = _mm512_min_ps(real, placing.most);
                }
                steps[j] =
                    _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(real);
            }
            // held within 16 bits, which changes nothing that is within 8 in the end
            let low = _mm512_adds_epi16(_mm512_packs_epi32(steps[0], steps[1]), placing.zero);
            let high = _mm512_adds_epi16(_mm512_packs_epi32(steps[2], steps[3]), placing.zero);
            let packed = _mm512_xor_si512(_mm512_packus_epi16(low, high), placing.flip);
            let packed = _mm512_permutexvar_epi32(placing.order, packed);
            _mm512_mask_storeu_epi8(out.cast(), mask, packed);
        }
    }

    /// Rows of sums that lie in memory, [`COLUMNS`] apart, requantised: each where `places` says, if it does.
    ///
    /// # Safety
    /// The unit must be available; there must be as many rows as places, 16 × `panels` sums in each, as many finite factors,
    /// and room for the columns of the mask at each place.
    pub(in super::super) unsafe fn finish(
        sums: *const i32,
        panels: usize,
        factors: &[f32],
        requantize: &Requantize<'_>,
        mask: u64,
        places: &[Option<*mut u8>],
    ) {
        assert!(factors.len() >= 16 * panels);
        macro_rules! widths {
            ($($panels:literal)*) => {
                match panels {
                    $($panels => {
                        // SAFETY: by the contract.
                        unsafe { finish_rows::<$panels>(sums, factors.as_ptr(), requantize, mask, places) }
                    })*
                    panels => unreachable!("a block of {panels} panels"),
                }
            };
        }
        widths!(1 2 3 4);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn finish_rows<const PANELS: usize>(
        sums: *const i32,
        factors: *const f32,
        requantize: &Requantize<'_>,
        mask: u64,
        places: &[Option<*mut u8>],
    ) {
        let placing = Placing::new(requantize);
        for (row, place) in places.iter().enumerate() {
            let Some(out) = *place else { continue };
            let mut totals = [_mm512_setzero_si512(); PANELS];
            for (j, total) in totals.iter_mut().enumerate() {
                // SAFETY: the row has these sums.
                *total = unsafe { _mm512_loadu_si512(sums.add(row * COLUMNS + 16 * j).cast()) };
            }
            // SAFETY: by the contract.
            unsafe {
                if requantize.large {
                    write::<PANELS, true>(totals, factors, placing, mask, out);
                } else {
                    write::<PANELS, false>(totals, factors, placing, mask, out);
                }
            }
        }
    }
}
