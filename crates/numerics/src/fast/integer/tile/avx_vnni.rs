//! Sums by AVX-VNNI: `vpdpbusd` on 256 bits.

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
    heights!(rows, tile(rows, bytes, width, panel, out));
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
                    let x = _mm256_set1_epi32(start.add(offset + 4 * quad).cast::<i32>().read_unaligned());
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
