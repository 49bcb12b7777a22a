//! The micro-kernel: a tile of 6 × 16 output elements of a product of matrices.
//!
//! Both operands come packed: for each k, six elements of a column of the left matrix, and sixteen of a row of the right
//! one. Twelve vector registers hold the tile's chains; for each k the sixteen are loaded and the six broadcast, which
//! keeps both multipliers of an AVX2 core busy. Chains may be cut anywhere in k and resumed from memory: storing an
//! `f32` loses nothing.

#![expect(
    clippy::needless_range_loop,
    reason = "rows and columns of a tile are clearer by index"
)]

use crate::isa::Isa;

/// Rows of a tile.
pub(super) const ROWS: usize = 6;
/// Columns of a tile.
pub(super) const COLUMNS: usize = 16;

/// Continues (or, unless `resume`, starts) the chains of a tile: c\[i·stride + j\] for i < 6, j < 16.
///
/// `a` holds 6 elements for each k and `b` 16; their lengths give the number of terms.
#[inline(always)]
pub(super) fn run(isa: Isa, a: &[f32], b: &[f32], c: &mut [f32], stride: usize, resume: bool) {
    debug_assert_eq!(
        a.len() / ROWS,
        b.len() / COLUMNS,
        "operands of a tile have the same number of terms"
    );
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Isa::Avx2` exists only where the processor has AVX2 and FMA (`Isa::detect`).
        Isa::Avx2 => unsafe { avx2(a, b, c, stride, resume) },
        _ => portable(a, b, c, stride, resume),
    }
}

/// Any machine: fused multiply-add in hardware where the target always has it, else emulated exactly.
fn portable(a: &[f32], b: &[f32], c: &mut [f32], stride: usize, resume: bool) {
    let mut chains = [[0.0_f32; COLUMNS]; ROWS];
    if resume {
        for (i, chains) in chains.iter_mut().enumerate() {
            chains.copy_from_slice(&c[i * stride..][..COLUMNS]);
        }
    }
    for (a, b) in a.as_chunks::<ROWS>().0.iter().zip(b.as_chunks::<COLUMNS>().0) {
        for i in 0..ROWS {
            for j in 0..COLUMNS {
                chains[i][j] = fma(a[i], b[j], chains[i][j]);
            }
        }
    }
    for (i, chains) in chains.iter().enumerate() {
        c[i * stride..][..COLUMNS].copy_from_slice(chains);
    }
}

/// a·b + c rounded once, fast on every target.
#[inline(always)]
pub(super) fn fma(a: f32, b: f32, c: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) {
        a.mul_add(b, c)
    } else {
        fma_in_software(a, b, c)
    }
}

/// a·b + c rounded once, from `f64` sums (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
///
/// The product of two 24-bit numbers is exact in `f64`. The sum with c is rounded to odd there: what is inexact gets an
/// odd last bit, so that the rounding to `f32`, more than two bits shorter, cannot mistake it for a tie.
#[inline(always)]
pub(super) fn fma_in_software(a: f32, b: f32, c: f32) -> f32 {
    let product = f64::from(a) * f64::from(b);
    let c = f64::from(c);
    let sum = product + c;
    // what the sum lost, exactly (Knuth's TwoSum); NaN if the sum is not finite, which the comparison refuses
    let c_part = sum - product;
    let lost = (product - (sum - c_part)) + (c - c_part);
    let bits = sum.to_bits();
    let inexact = lost.abs() > 0.0;
    let outwards = (lost > 0.0) == (sum > 0.0);
    let odd = if outwards {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f64::from_bits(if inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(a: &[f32], b: &[f32], c: &mut [f32], stride: usize, resume: bool) {
    use std::arch::x86_64::{
        __m256, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    /// Two registers' worth of elements.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn load(x: &[f32; COLUMNS]) -> [__m256; 2] {
        // SAFETY: both loads of eight elements lie within the sixteen.
        unsafe { [_mm256_loadu_ps(x.as_ptr()), _mm256_loadu_ps(x.as_ptr().add(8))] }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn step(a: &[f32; ROWS], b: &[f32; COLUMNS], chains: &mut [[__m256; 2]; ROWS]) {
        let [b0, b1] = load(b);
        for i in 0..ROWS {
            let x = _mm256_set1_ps(a[i]);
            chains[i][0] = _mm256_fmadd_ps(x, b0, chains[i][0]);
            chains[i][1] = _mm256_fmadd_ps(x, b1, chains[i][1]);
        }
    }

    /// Row i of the tile; checks that it lies within the slice.
    fn row(c: &mut [f32], start: usize) -> &mut [f32; COLUMNS] {
        (&mut c[start..][..COLUMNS])
            .try_into()
            .expect("a slice of sixteen is an array of sixteen")
    }

    let mut chains = [[_mm256_setzero_ps(); 2]; ROWS];
    if resume {
        for i in 0..ROWS {
            chains[i] = load(row(c, i * stride));
        }
    }
    // four terms at a time, so that the loop's own instructions do not count
    let (a_fours, a_rest) = a.as_chunks::<{ 4 * ROWS }>();
    let (b_fours, b_rest) = b.as_chunks::<{ 4 * COLUMNS }>();
    for (a, b) in a_fours.iter().zip(b_fours) {
        for (a, b) in a.as_chunks::<ROWS>().0.iter().zip(b.as_chunks::<COLUMNS>().0) {
            step(a, b, &mut chains);
        }
    }
    for (a, b) in a_rest
        .as_chunks::<ROWS>()
        .0
        .iter()
        .zip(b_rest.as_chunks::<COLUMNS>().0)
    {
        step(a, b, &mut chains);
    }
    for i in 0..ROWS {
        let row = row(c, i * stride);
        // SAFETY: both stores of eight elements lie within the row of sixteen.
        unsafe {
            _mm256_storeu_ps(row.as_mut_ptr(), chains[i][0]);
            _mm256_storeu_ps(row.as_mut_ptr().add(8), chains[i][1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that differ in sign and exponent, subnormals, zeros, infinities and NaN among them.
    fn numbers(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bits = (state >> 32) as u32;
            match state >> 16 & 15 {
                0 => f32::from_bits(bits & 0x807f_ffff),
                1 => f32::from_bits(bits & 0x8000_0000),
                2 => f32::from_bits((bits & 0x80ff_ffff) | 0x7f00_0000),
                3..=7 => f32::from_bits((bits & 0x81ff_ffff) | 0x3f00_0000),
                _ => f32::from_bits(bits),
            }
        }
    }

    #[test]
    fn emulated_fma_is_the_hardware_s() {
        let mut next = numbers(1);
        for _ in 0..3_000_000 {
            let (a, b) = (next(), next());
            // often close to the negated product, where cancellation shows the product's low bits
            let c = if next() > 0.0 { next() } else { -(a * b) };
            let (ours, theirs) = (fma_in_software(a, b, c), a.mul_add(b, c));
            assert!(
                ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()),
                "fma({a:e}, {b:e}, {c:e}) is {theirs:e}, not {ours:e}"
            );
        }
    }

    #[test]
    fn a_tile_writes_its_own_elements_only() {
        for isa in Isa::available() {
            for (terms, stride) in [(0, 16), (1, 16), (5, 19), (9, 40)] {
                let a = vec![1.5; terms * ROWS];
                let b = vec![2.0; terms * COLUMNS];
                // exactly as long as the tile needs: one element more written or read would be out of the slice
                let mut c = vec![7.0; (ROWS - 1) * stride + COLUMNS];
                run(*isa, &a, &b, &mut c, stride, false);
                for (at, &value) in c.iter().enumerate() {
                    let inside = at % stride < COLUMNS;
                    assert_eq!(
                        value,
                        if inside { 3.0 * terms as f32 } else { 7.0 },
                        "{isa:?} at {at}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn a_tile_beyond_its_output_is_refused() {
        let mut c = vec![0.0; 5 * 16 + 15];
        run(Isa::detect(), &[0.0; 6], &[0.0; 16], &mut c, 16, false);
    }
}
