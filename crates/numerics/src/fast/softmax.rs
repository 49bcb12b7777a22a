//! Softmax of rows of `f32`, each row while it is in the first-level cache: maximum, exponentials of the differences, their sum in
//! the sixteen lanes of the definition, quotients.
//!
//! A NaN among the elements, or an infinite maximum, makes the sum NaN, and so the whole row, as the definition has it.

#[cfg(target_arch = "x86_64")]
use super::doubles::{self, Doubles};
#[cfg(target_arch = "x86_64")]
use super::lanes::{self, Lanes, first_lanes};
#[cfg(target_arch = "x86_64")]
use super::reduction::tree;
#[cfg(target_arch = "x86_64")]
use super::transcendental::exp_of_differences;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::reference::LANES;

/// Rows shorter than a vector are not worth one.
const LEAST: usize = 16;

/// The bits of [`crate::reference::softmax`] over rows of `length` elements, if this machine and such rows have the kernel; whether they
/// have.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn softmax_rows(length: usize, x: &[f32], out: &mut [f32]) -> bool {
    assert_eq!(x.len(), out.len(), "output of a softmax");
    match Isa::current() {
        _ if length < LEAST => false,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => {
            // SAFETY: the processor has what `Isa::current` says.
            unsafe { avx512(length, x, out) };
            true
        }
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            // SAFETY: as above.
            unsafe { avx2(length, x, out) };
            true
        }
        _ => false,
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
fn avx512(length: usize, x: &[f32], out: &mut [f32]) {
    // SAFETY: these features are enabled here.
    unsafe { rows::<lanes::Avx512, doubles::Avx512>(length, x, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(length: usize, x: &[f32], out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { rows::<lanes::Avx2, doubles::Avx2>(length, x, out) }
}

/// # Safety
/// As [`Lanes`] and [`Doubles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn rows<L: Lanes, D: Doubles>(length: usize, x: &[f32], out: &mut [f32]) {
    for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
        // SAFETY: the contract; a row has at least sixteen elements.
        unsafe {
            let max = maximum::<L>(x);
            exponentials::<D>(x, max, out);
            let sum = sum::<L>(out);
            if sum.is_nan() {
                out.fill(f32::from_bits(0x7fc0_0000));
            } else {
                divide::<L>(out, sum);
            }
        }
    }
}

/// The greatest of at least sixteen elements; a NaN among them may go unnoticed here.
///
/// # Safety
/// As [`Lanes`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn maximum<L: Lanes>(x: &[f32]) -> f32 {
    let (start, end) = (x.as_ptr(), x.len() - LANES);
    let mut lanes = [f32::NEG_INFINITY; LANES];
    // SAFETY: sixteen elements are there at `at` as long as it is at most `end`. The last vector may overlap the one before: an
    // element counts twice then, which changes no maximum.
    unsafe {
        let mut greatest = [L::load(lanes.as_ptr()); 4];
        let mut at = 0;
        while at + 3 * LANES <= end {
            let mut i = 0;
            while i < 4 {
                greatest[i] = L::load(start.add(at + i * LANES)).greater(greatest[i]);
                i += 1;
            }
            at += 4 * LANES;
        }
        while at < end {
            greatest[0] = L::load(start.add(at)).greater(greatest[0]);
            at += LANES;
        }
        greatest[1] = L::load(start.add(end)).greater(greatest[1]);
        let [a, b, c, d] = greatest;
        a.greater(b).greater(c.greater(d)).store(lanes.as_mut_ptr());
    }
    tree(lanes, |a, b| if a > b { a } else { b })
}

/// out = e^(x − max)
///
/// # Safety
/// As [`Doubles`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn exponentials<D: Doubles>(x: &[f32], max: f32, out: &mut [f32]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (results, last) = out.as_chunks_mut::<LANES>();
    // SAFETY: the contract; masks keep to the elements.
    unsafe {
        for (x, out) in blocks.iter().zip(results) {
            exp_of_differences::<D>(x.as_ptr(), max, out.as_mut_ptr());
        }
        if !rest.is_empty() {
            let (mut x, mut of_them) = ([max; LANES], [0.0; LANES]);
            x[..rest.len()].copy_from_slice(rest);
            exp_of_differences::<D>(x.as_ptr(), max, of_them.as_mut_ptr());
            last.copy_from_slice(&of_them[..rest.len()]);
        }
    }
}

/// The sum in lanes. Zeros behind the last element change nothing: no lane is −0.
///
/// # Safety
/// As [`Lanes`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn sum<L: Lanes>(x: &[f32]) -> f32 {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    // SAFETY: the contract; masks keep to the elements.
    unsafe {
        let mut sums = L::zero();
        for x in blocks {
            sums = sums.add(L::load(x.as_ptr()));
        }
        sums = sums.add(L::load_some(rest.as_ptr(), first_lanes(rest.len())));
        sums.store(lanes.as_mut_ptr());
    }
    tree(lanes, |a, b| a + b)
}

/// 2^−100.
#[cfg(target_arch = "x86_64")]
const LEAST_MODERATE: u32 = (127 - 100) << 23;

/// 2^24. A quotient of 2^−100 by less is at least 2^−124: normal, so that what its correction leaves is exact.
#[cfg(target_arch = "x86_64")]
const SUM_OF_MODERATE: f32 = 16_777_216.0;

/// x = x ÷ sum, for exponentials, of which the greatest is 1. A division takes a vector unit as long as a dozen multiply-adds. So
/// quotients are made of the reciprocal, corrected twice by what is left, which gives the rounded one as long as what is left is not
/// below what `f32` holds (see [`crate::quotient`]): where all exponentials are +0 or at least 2^−100, and their sum is below 2^24.
///
/// # Safety
/// As [`Lanes`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn divide<L: Lanes>(x: &mut [f32], sum: f32) {
    let is_moderate = |x: &f32| x.to_bits().wrapping_sub(1) >= LEAST_MODERATE - 1;
    let moderate = x.iter().fold(true, |all, x| all & is_moderate(x)) && sum < SUM_OF_MODERATE;
    let (blocks, rest) = x.as_chunks_mut::<LANES>();
    // SAFETY: the contract; masks keep to the elements.
    unsafe {
        let mask = first_lanes(rest.len());
        if moderate {
            let reciprocal = L::splat(&(1.0 / sum));
            let minus = L::splat(&-sum);
            for x in blocks {
                quotient(L::load(x.as_ptr()), minus, reciprocal).store(x.as_mut_ptr());
            }
            let x = L::load_some(rest.as_ptr(), mask);
            quotient(x, minus, reciprocal).store_some(rest.as_mut_ptr(), mask);
            return;
        }
        let sum = L::splat(&sum);
        for x in blocks {
            L::load(x.as_ptr()).div(sum).store(x.as_mut_ptr());
        }
        L::load_some(rest.as_ptr(), mask)
            .div(sum)
            .store_some(rest.as_mut_ptr(), mask);
    }
}

/// x ÷ sum of what is moderate; `minus` is −sum.
///
/// # Safety
/// As [`Lanes`].
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn quotient<L: Lanes>(x: L, minus: L, reciprocal: L) -> L {
    // SAFETY: the contract.
    unsafe {
        let first = x.fma(reciprocal, L::zero());
        let second = first.fma(minus, x).fma(reciprocal, first);
        second.fma(minus, x).fma(reciprocal, second)
    }
}
