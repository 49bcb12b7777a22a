//! The two floating-point types that operators compute in, behind one trait.
//!
//! Everything here is exact or correctly rounded (IEEE 754, round to nearest, ties to even), except the
//! transcendental functions in f64, which are stated algorithms (see [`crate::math`]).

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::fast::{Transcendental, softmax_rows};
use crate::isa;
use crate::math;

/// `f32` or `f64`: what operators compute in. `f16` and `bf16` compute in `f32` and round once.
pub trait Float:
    Copy
    + Debug
    + Default
    + PartialEq
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// +0.0
    const ZERO: Self;
    /// 1.0
    const ONE: Self;
    /// 0.5
    const HALF: Self;
    /// The canonical quiet NaN: `0x7fc00000`, `0x7ff8000000000000`.
    const NAN: Self;
    /// Positive infinity.
    const INFINITY: Self;

    /// `self * a + b`, rounded once.
    #[must_use]
    fn fma(self, a: Self, b: Self) -> Self;
    /// Square root; NaN below zero, −0 of −0.
    #[must_use]
    fn sqrt(self) -> Self;
    /// The value without its sign.
    #[must_use]
    fn abs(self) -> Self;
    /// The largest integer not above.
    #[must_use]
    fn floor(self) -> Self;
    /// The smallest integer not below; −0 for what lies in (−1, 0).
    #[must_use]
    fn ceil(self) -> Self;
    /// The nearest integer, ties to even; the sign of zero stays.
    #[must_use]
    fn round_even(self) -> Self;
    /// A count (an element count, a divisor), rounded.
    fn from_count(count: usize) -> Self;
    /// A value of `f64` (an attribute), rounded.
    fn from_f64(value: f64) -> Self;
    /// A value of `f32` (an attribute as ONNX stores it), exact.
    fn from_f32(value: f32) -> Self;
    /// To `f64`, exact.
    fn to_f64(self) -> f64;
    /// The smaller of two that compare equal is −0, the greater +0: the bits' `and`.
    #[must_use]
    fn and_bits(self, other: Self) -> Self;
    /// The bits' `or`.
    #[must_use]
    fn or_bits(self, other: Self) -> Self;
    /// Exponential function.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn log(self) -> Self;
    /// Hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// 1 / (1 + e^−x)
    #[must_use]
    fn sigmoid(self) -> Self;
    /// Error function.
    #[must_use]
    fn erf(self) -> Self;

    /// Writes a function of every element over it: the bits of [`Transcendental::of`].
    fn update_all(x: &mut [Self], function: Transcendental);

    /// Softmax of rows of `length` elements by a kernel for this type, if there is one for such rows; whether there is.
    fn softmax_rows(_length: usize, _x: &[Self], _out: &mut [Self]) -> bool {
        false
    }

    /// Applies a stated `f64` formula and rounds its result once.
    #[must_use]
    #[inline(always)]
    fn through_f64(self, formula: impl Fn(f64) -> f64) -> Self {
        Self::from_f64(formula(self.to_f64())).canonical()
    }

    /// The same value, but every NaN is the canonical one.
    ///
    /// This is done on the bits, as integers. To the compiler the sign of a NaN that an operation returns is not determined,
    /// so it is free to drop `if x.is_nan() { NAN } else { x }`, and does after a square root.
    #[must_use]
    fn canonical(self) -> Self;

    /// Whether this is not a number.
    #[inline(always)]
    #[expect(clippy::eq_op, reason = "NaN is what differs from itself")]
    fn is_nan(self) -> bool {
        self != self
    }

    /// The greater of two: NaN if either is NaN; −0 is below +0.
    #[must_use]
    #[inline(always)]
    fn maximum(self, other: Self) -> Self {
        // selections, which vectors have: no branch depends on another
        let greater = if self > other { self } else { other };
        let of_equals = if self == other {
            self.and_bits(other)
        } else {
            greater
        };
        if self.is_nan() | other.is_nan() {
            Self::NAN
        } else {
            of_equals
        }
    }

    /// The smaller of two: NaN if either is NaN; −0 is below +0.
    #[must_use]
    #[inline(always)]
    fn minimum(self, other: Self) -> Self {
        let smaller = if self < other { self } else { other };
        let of_equals = if self == other {
            self.or_bits(other)
        } else {
            smaller
        };
        if self.is_nan() | other.is_nan() {
            Self::NAN
        } else {
            of_equals
        }
    }
}

impl Float for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const HALF: Self = 0.5;
    const NAN: Self = f32::from_bits(0x7fc0_0000);
    const INFINITY: Self = f32::INFINITY;

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f32::from_bits(self.to_bits() & 0x7fff_ffff)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        f32::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        f32::ceil(self)
    }
    #[inline(always)]
    fn round_even(self) -> Self {
        self.round_ties_even()
    }
    #[inline(always)]
    fn from_count(count: usize) -> Self {
        count as f32
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn and_bits(self, other: Self) -> Self {
        f32::from_bits(self.to_bits() & other.to_bits())
    }
    #[inline(always)]
    fn or_bits(self, other: Self) -> Self {
        f32::from_bits(self.to_bits() | other.to_bits())
    }
    #[inline(always)]
    fn canonical(self) -> Self {
        let bits = self.to_bits();
        f32::from_bits(if bits & 0x7fff_ffff > 0x7f80_0000 {
            0x7fc0_0000
        } else {
            bits
        })
    }
    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(self)
    }
    #[inline(always)]
    fn log(self) -> Self {
        math::log(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        math::tanh(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        math::sigmoid(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        math::erf(self)
    }
    fn update_all(x: &mut [Self], function: Transcendental) {
        function.update(x);
    }
    fn softmax_rows(length: usize, x: &[Self], out: &mut [Self]) -> bool {
        softmax_rows(length, x, out)
    }
}

impl Float for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const HALF: Self = 0.5;
    const NAN: Self = f64::from_bits(0x7ff8_0000_0000_0000);
    const INFINITY: Self = f64::INFINITY;

    #[inline(always)]
    fn fma(self, a: Self, b: Self) -> Self {
        self.mul_add(a, b)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::from_bits(self.to_bits() & 0x7fff_ffff_ffff_ffff)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        f64::floor(self)
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        f64::ceil(self)
    }
    #[inline(always)]
    fn round_even(self) -> Self {
        self.round_ties_even()
    }
    #[inline(always)]
    fn from_count(count: usize) -> Self {
        count as f64
    }
    #[inline(always)]
    fn from_f64(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn and_bits(self, other: Self) -> Self {
        f64::from_bits(self.to_bits() & other.to_bits())
    }
    #[inline(always)]
    fn or_bits(self, other: Self) -> Self {
        f64::from_bits(self.to_bits() | other.to_bits())
    }
    #[inline(always)]
    fn canonical(self) -> Self {
        let bits = self.to_bits();
        f64::from_bits(if bits & (u64::MAX >> 1) > 0x7ff0 << 48 {
            0x7ff8 << 48
        } else {
            bits
        })
    }
    #[inline(always)]
    fn exp(self) -> Self {
        math::double::exp(self)
    }
    #[inline(always)]
    fn log(self) -> Self {
        math::double::log(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        math::double::tanh(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> Self {
        math::double::sigmoid(self)
    }
    #[inline(always)]
    fn erf(self) -> Self {
        math::double::erf(self)
    }
    fn update_all(x: &mut [Self], function: Transcendental) {
        // the algorithms are the definition, operation by operation; a loop for each, since the choice would keep it scalar
        match function {
            Transcendental::Exp => isa::update(x, math::double::exp),
            Transcendental::Log => isa::update(x, math::double::log),
            Transcendental::Sigmoid => isa::update(x, math::double::sigmoid),
            Transcendental::Tanh => isa::update(x, math::double::tanh),
            Transcendental::Erf => isa::update(x, math::double::erf),
            Transcendental::Gelu => isa::update(x, math::gelu::<f64>),
            Transcendental::GeluTanh => isa::update(x, math::gelu_tanh::<f64>),
            Transcendental::Softplus => isa::update(x, math::softplus::<f64>),
            Transcendental::Mish => isa::update(x, math::mish::<f64>),
        }
    }
}

/// Replaces every NaN by the canonical one.
pub fn canonicalise<T: Float>(x: &mut [T]) {
    crate::isa::update(x, T::canonical);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// The results of operations that make a NaN, canonicalised in a loop that the compiler vectorises and in its remainder.
    fn made<T: Float>(operation: impl Fn(T) -> T, x: T) -> Vec<T> {
        let x = black_box(vec![x; 37]);
        let mut scalar = vec![T::ZERO; x.len()];
        scalar
            .iter_mut()
            .zip(&x)
            .for_each(|(y, &x)| *y = operation(x).canonical());
        let mut fast = vec![T::ZERO; x.len()];
        crate::isa::map(&x, &mut fast, |x| operation(x).canonical());
        scalar.extend(fast);
        scalar
    }

    #[test]
    fn no_optimisation_brings_back_another_nan() {
        let all = |made: Vec<f32>| made.iter().all(|y| y.to_bits() == 0x7fc0_0000);
        assert!(all(made(f32::sqrt, -1.0)), "square root of a negative number");
        assert!(all(made(|x| x / x, 0.0)), "0 / 0");
        assert!(all(made(|x| x - x, f32::INFINITY)), "infinity - infinity");
        assert!(all(made(|x| x * 0.0, f32::NEG_INFINITY)), "infinity * 0");
        assert!(
            all(made(|x| x.fma(0.0, 1.0), f32::INFINITY)),
            "fma(infinity, 0, 1)"
        );
        assert!(
            all(made(|x| -x, f32::from_bits(0x7fc0_1234))),
            "a payload, negated"
        );
        let all = |made: Vec<f64>| made.iter().all(|y| y.to_bits() == 0x7ff8 << 48);
        assert!(all(made(f64::sqrt, -1.0)), "square root of a negative number");
        assert!(all(made(|x| x / x, 0.0)), "0 / 0");
        assert!(all(made(|x| x - x, f64::INFINITY)), "infinity - infinity");
    }
}
