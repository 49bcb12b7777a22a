//! Sums by AVX2: bytes widened to words, `vpmaddwd`; and words.

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
    heights!(rows, tile(rows, words, width, panel, out));
}

/// One panel of pairs of words, `width` panels apart from pair to pair.
///
/// # Safety
/// As [`super::words`]; `words` points to the first pair, 32 words for each of `width` panels of every pair.
pub(super) unsafe fn words(rows: Rows<'_>, words: *const i16, width: usize, out: *mut i32, stride: usize) {
    heights!(rows, pairs(rows, words, width, out, stride));
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
                    let x = _mm256_set1_epi32(start.add(offset + 4 * quad).cast::<i32>().read_unaligned());
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
