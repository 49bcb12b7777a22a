//! Quotients by one divisor, made of its reciprocal.

use crate::float::Float;
use crate::isa::{self, Isa, multiversion};

/// A number to divide by, again and again. Where multiply-adds are instructions, quotients are made of its reciprocal: a division takes
/// a vector unit as long as a dozen of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Divisor {
    pub(crate) by: f32,
    /// Its reciprocal, rounded.
    pub(crate) reciprocal: f32,
}

impl Divisor {
    /// `None` where [`Self::quotient`] is not as good as a division.
    pub(crate) fn new(by: f32) -> Option<Self> {
        // 2^±60: neither the reciprocal nor a rest that matters is near the ends of what f32 holds
        let is_moderate = (8.673_617_4e-19..=1.152_921_5e18).contains(&by.abs());
        (is_moderate && Isa::current() >= Isa::Avx2).then(|| Divisor {
            by,
            reciprocal: by.recip(),
        })
    }

    /// x ÷ by, correctly rounded where its magnitude is between 2^-30 and 2^20, and on the same side of these ends where it is not.
    ///
    /// The first approximation is at most one and a half units in the last place away, the second less than one; then the rest is
    /// exact, and the quotient corrected by it once more is the rounded one (P. Markstein, *Computation of elementary functions on the
    /// IBM RISC System/6000 processor*, 1990).
    #[inline(always)]
    pub(crate) fn quotient(self, x: f32) -> f32 {
        let first = x * self.reciprocal;
        // beyond, a rest may be infinite or NaN
        if first.abs() < LARGEST {
            self.moderate_quotient(x)
        } else {
            first
        }
    }

    /// The same without a look at how large it is: nothing on the way may be beyond what `f32` holds.
    #[inline(always)]
    fn moderate_quotient(self, x: f32) -> f32 {
        let first = x * self.reciprocal;
        let second = (-first).mul_add(self.by, x).mul_add(self.reciprocal, first);
        (-second).mul_add(self.by, x).mul_add(self.reciprocal, second)
    }
}

/// 2^20, beyond the steps of any grid of bytes or words.
const LARGEST: f32 = 1_048_576.0;

/// 2^±60: quotients of such numbers, by divisors as [`Divisor::new`] takes them, are normal, and so is what is left of them.
const MODERATE: std::ops::Range<u32> = (127 - 60) << 23..(127 + 60) << 23;

/// out = x ÷ by, rounded; NaNs canonical.
///
/// # Panics
/// If the slices differ in length.
pub fn divide(x: &[f32], by: f32, out: &mut [f32]) {
    match Divisor::new(by) {
        Some(by) => by_reciprocal(x, by, out),
        None => isa::apply(x, out, move |x: f32| (x / by).canonical()),
    }
}

multiversion! {
    /// [`divide`], a block at a time, since all of one have to be moderate or +0.
    fn by_reciprocal[](x: &[f32], by: Divisor, out: &mut [f32]) {
        const BLOCK: usize = 64;
        assert_eq!(x.len(), out.len(), "an elementwise function has as many outputs as inputs");
        for (x, out) in x.chunks(BLOCK).zip(out.chunks_mut(BLOCK)) {
            let moderate = x.iter().fold(true, |all, x| {
                let bits = x.to_bits();
                all & (bits == 0 || MODERATE.contains(&(bits & 0x7fff_ffff)))
            });
            if moderate {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = by.moderate_quotient(x);
                }
            } else {
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = (x / by.by).canonical();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quotient itself, over all mantissas of the number divided.
    #[test]
    fn quotients_by_multiplication_are_rounded_correctly() {
        let divisors = [
            3.0,
            1.0 / 3.0,
            f32::from_bits(0x3fff_ffff),
            f32::from_bits(0x3f80_0001),
            0.017_234_5,
        ];
        for divisor in divisors.iter().filter_map(|&by| Divisor::new(by)) {
            let x: Vec<f32> = (0x3f80_0000..0x4000_0000_u32)
                .step_by(3)
                .map(f32::from_bits)
                .collect();
            let mut out = vec![0.0; x.len()];
            isa::apply(&x, &mut out, move |x: f32| divisor.quotient(x));
            for (x, out) in x.iter().zip(out) {
                assert_eq!(
                    out.to_bits(),
                    (x / divisor.by).to_bits(),
                    "{x:e} / {:e}",
                    divisor.by
                );
            }
        }
    }

    #[test]
    fn quotients_of_every_kind_of_number_are_divisions() {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        };
        let ends = [
            0.0,
            -0.0,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::NAN,
            f32::MAX,
            1e-45,
        ];
        for round in 0..400 {
            let by = match round {
                0 => std::f32::consts::SQRT_2,
                1 => -3.0,
                2 => 1e-18,
                3 => 1e18,
                4 => 0.0,
                5 => f32::INFINITY,
                _ => f32::from_bits((next() & 0x807f_ffff) | (70 + round % 110) << 23),
            };
            // blocks of ordinary numbers and zeros, and such that hold anything
            let x: Vec<f32> = (0..64 * 20 + 9)
                .map(|at| match (at / 64 % 4, next() % 50) {
                    (0, _) => f32::from_bits(next()),
                    (1, 0) => ends[next() as usize % ends.len()],
                    (_, 1) => 0.0,
                    _ => next() as f32 / 4_294_967_296.0 - 0.5,
                })
                .collect();
            let mut out = vec![9.0; x.len()];
            divide(&x, by, &mut out);
            for (x, out) in x.iter().zip(out) {
                assert_eq!(out.to_bits(), (x / by).canonical().to_bits(), "{x:e} / {by:e}");
            }
        }
    }
}
