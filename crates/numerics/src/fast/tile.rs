//! The micro-kernel: a tile of 6 × 16 output elements of a product of matrices.
//!
//! Both operands come packed: for each k, six elements of a column of the left matrix, and sixteen of a row of the right
//! one. Twelve vector registers hold the tile's chains; for each k the sixteen are loaded and the six broadcast, which
//! keeps both multipliers of an AVX2 core busy. Chains may be cut anywhere in k and resumed from memory: storing an
//! `f32` loses nothing.

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
        Isa::Avx2 | Isa::Avx512 => unsafe { avx2(a, b, c, stride, resume) },
        _ => portable(a, b, c, stride, resume),
    }
}

/// Any machine: fused multiply-add in hardware where the target always has it, else emulated exactly.
fn portable(a: &[f32], b: &[f32], c: &mut [f32], stride: usize, resume: bool) {
    assert!(
        b.len() >= a.len() / ROWS * COLUMNS,
        "the packed operands of a tile have the same number of terms"
    );
    let last_row = c.get((ROWS - 1) * stride..).map_or(0, <[f32]>::len);
    assert!(last_row >= COLUMNS, "a tile lies within its output");
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
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    let terms = a.len() / ROWS;
    assert!(
        b.len() >= terms * COLUMNS,
        "the packed operands of a tile have the same number of terms"
    );
    let last_row = c.get((ROWS - 1) * stride..).map_or(0, <[f32]>::len);
    assert!(last_row >= COLUMNS, "a tile lies within its output");
    let c = c.as_mut_ptr();
    let (mut a, mut b) = (a.as_ptr(), b.as_ptr());
    // Each chain is a variable of its own: the compiler keeps twelve of them in registers, but not an array of twelve.
    macro_rules! tile {
        ($($i:literal: $left:ident $right:ident),*) => {
            // SAFETY: row i of the tile lies at c + i·stride, and the last of the six ends within `c` (checked above). Each term
            // reads six elements of `a` and sixteen of `b`; there are as many terms in both (checked above), and the pointers
            // move on by exactly what was read.
            unsafe {
                $(let (mut $left, mut $right) = (_mm256_setzero_ps(), _mm256_setzero_ps());)*
                if resume {
                    $($left = _mm256_loadu_ps(c.add($i * stride));
                    $right = _mm256_loadu_ps(c.add($i * stride + 8));)*
                }
                macro_rules! term {
                    ($t:literal) => {
                        let b0 = _mm256_loadu_ps(b.add($t * COLUMNS));
                        let b1 = _mm256_loadu_ps(b.add($t * COLUMNS + 8));
                        $(let x = _mm256_broadcast_ss(&*a.add($t * ROWS + $i));
                        $left = _mm256_fmadd_ps(x, b0, $left);
                        $right = _mm256_fmadd_ps(x, b1, $right);)*
                    };
                }
                let mut left = terms;
                // four at a time, so that the loop's own instructions do not count
                while left >= 4 {
                    term!(0);
                    term!(1);
                    term!(2);
                    term!(3);
                    a = a.add(4 * ROWS);
                    b = b.add(4 * COLUMNS);
                    left -= 4;
                }
                while left > 0 {
                    term!(0);
                    a = a.add(ROWS);
                    b = b.add(COLUMNS);
                    left -= 1;
                }
                $(_mm256_storeu_ps(c.add($i * stride), $left);
                _mm256_storeu_ps(c.add($i * stride + 8), $right);)*
            }
        };
    }
    tile!(0: r0 s0, 1: r1 s1, 2: r2 s2, 3: r3 s3, 4: r4 s4, 5: r5 s5);
}

/// A row times packed panels of sixteen columns, four panels side by side while there are as many: sixty-four chains, so that
/// enough of them are in flight. `a` has a term for each `stride` elements.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(super) fn row_avx2(terms: usize, a: &[f32], stride: usize, panels: &[f32], out: &mut [f32]) {
    use std::arch::x86_64::{
        _mm256_broadcast_ss, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_setzero_ps, _mm256_storeu_ps,
    };

    const TOGETHER: usize = 4;
    let panel = terms * COLUMNS;
    assert!(
        terms == 0 || (terms - 1) * stride < a.len(),
        "a row has all its terms"
    );
    assert!(
        panels.len() >= out.len().div_ceil(COLUMNS) * panel,
        "there is a panel for every sixteen outputs"
    );
    // The chains of vectors `v` of the panels from `first` on, two vectors for each panel; written to a buffer.
    macro_rules! chains {
        ($first:expr, $buffer:ident, $($v:literal: $chain:ident),*) => {
            // SAFETY: `a` has `terms` elements `stride` apart, and panels `first` + v / 2 lie within `panels`: there is one for every
            // sixteen outputs (both checked above), and the callers below take those of outputs that exist. The buffer has
            // eight elements for each vector.
            unsafe {
                let start = panels.as_ptr().add($first * panel);
                $(let mut $chain = _mm256_setzero_ps();)*
                for t in 0..terms {
                    let x = _mm256_broadcast_ss(&*a.as_ptr().add(t * stride));
                    $(let y = _mm256_loadu_ps(start.add($v / 2 * panel + t * COLUMNS + $v % 2 * 8));
                    $chain = _mm256_fmadd_ps(x, y, $chain);)*
                }
                $(_mm256_storeu_ps($buffer.as_mut_ptr().add($v * 8), $chain);)*
            }
        };
    }
    let mut outputs = out.chunks_exact_mut(TOGETHER * COLUMNS);
    let mut first = 0;
    for out in &mut outputs {
        let mut buffer = [0.0_f32; TOGETHER * COLUMNS];
        chains!(first, buffer, 0: c0, 1: c1, 2: c2, 3: c3, 4: c4, 5: c5, 6: c6, 7: c7);
        out.copy_from_slice(&buffer);
        first += TOGETHER;
    }
    for out in outputs.into_remainder().chunks_mut(COLUMNS) {
        let mut buffer = [0.0_f32; COLUMNS];
        chains!(first, buffer, 0: c0, 1: c1);
        out.copy_from_slice(&buffer[..out.len()]);
        first += 1;
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
    #[should_panic(expected = "a tile lies within its output")]
    fn a_tile_beyond_its_output_is_refused() {
        let mut c = vec![0.0; 5 * 16 + 15];
        run(Isa::detect(), &[0.0; 6], &[0.0; 16], &mut c, 16, false);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn a_row_reads_its_panels_and_no_further() {
        if Isa::detect() < Isa::Avx2 {
            return;
        }
        for columns in [1, 15, 16, 17, 63, 64, 65, 130] {
            let (terms, a) = (3, [1.0, 9.0, 2.0, 9.0, 3.0]);
            // exactly as long as the columns need; column j of term t is t + j
            let panels: Vec<f32> = (0..columns_padded(columns) * terms)
                .map(|at| (at / COLUMNS % terms + at / (COLUMNS * terms) * COLUMNS + at % COLUMNS) as f32)
                .collect();
            let mut out = vec![0.0; columns];
            // SAFETY: the processor has AVX2 and FMA, as was asked above.
            unsafe { row_avx2(terms, &a, 2, &panels, &mut out) };
            for (j, y) in out.into_iter().enumerate() {
                assert_eq!(y, (6 * j + 2 + 6) as f32, "column {j} of {columns}");
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn columns_padded(columns: usize) -> usize {
        columns.div_ceil(COLUMNS) * COLUMNS
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    #[should_panic(expected = "a panel for every sixteen outputs")]
    fn a_row_without_enough_panels_is_refused() {
        assert!(
            Isa::detect() >= Isa::Avx2,
            "there is a panel for every sixteen outputs, but no kernel to try"
        );
        // SAFETY: the processor has AVX2 and FMA, as was asserted.
        unsafe { row_avx2(2, &[1.0, 1.0], 1, &[0.0; 32], &mut [0.0; 17]) };
    }

    #[test]
    #[should_panic(expected = "the same number of terms")]
    fn operands_of_different_lengths_are_refused() {
        run(Isa::detect(), &[0.0; 12], &[0.0; 16], &mut [0.0; 96], 16, false);
    }
}
