//! Sums by AVX-512 VNNI: `vpdpbusd` and, of words, `vpdpwssd` on 512 bits; and what becomes of them in registers.

use super::super::epilogue::Requantize;
use super::{COLUMNS, FLIP, ROWS, Rows};
use std::arch::x86_64::{
    __m512, __m512i, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _MM_HINT_T1, _mm_prefetch,
    _mm512_add_epi64, _mm512_adds_epi16, _mm512_cvt_roundps_epi32, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32,
    _mm512_dpwssd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_epi8,
    _mm512_mask_storeu_epi32, _mm512_maskz_loadu_epi8, _mm512_maskz_mov_epi8, _mm512_min_ps, _mm512_mul_ps,
    _mm512_mullo_epi32, _mm512_packs_epi32, _mm512_packus_epi16, _mm512_permutexvar_epi32,
    _mm512_reduce_add_epi64, _mm512_sad_epu8, _mm512_set1_epi8, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_set1_ps, _mm512_setr_epi32, _mm512_setzero_si512, _mm512_storeu_si512, _mm512_sub_epi32,
    _mm512_xor_si512,
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
pub(super) unsafe fn sums(rows: Rows<'_>, bytes: *const i8, width: usize, out: &mut [[i32; COLUMNS]; ROWS]) {
    sizes!(rows.starts.len(), width, store(rows, bytes, out));
}

/// Σx of each row over all terms, as they are multiplied: of runs of `length` terms, without every fourth if those only fill up.
///
/// # Safety
/// As [`super::sums`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
pub(in super::super) unsafe fn totals(rows: Rows<'_>, length: usize, filled: bool, out: &mut [i32; ROWS]) {
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
    let mut next = rows.next.from;
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
                if HEIGHT > 3 {
                    _mm_prefetch::<_MM_HINT_T1>(next.cast());
                    next = next.wrapping_add(rows.next.bytes);
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
pub(super) unsafe fn words(rows: Rows<'_>, words: *const i16, width: usize, out: *mut i32, stride: usize) {
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
            steps[j] = _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(real);
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
