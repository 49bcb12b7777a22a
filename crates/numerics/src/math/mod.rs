//! Transcendental functions.
//!
//! **In `f32` the functions of one variable are correctly rounded**: the result is the real number's nearest
//! `f32`, ties to even. So there is nothing to agree on but mathematics, and `examples/exhaustive.rs` tries all
//! 2^32 inputs of each against an independent oracle. Each is computed in `f64` from additions,
//! multiplications and divisions only (no fused ones), in an order fixed here, without branches, and rounded
//! once: the compiler can vectorise it, and the bits do not depend on what the hardware offers.
//!
//! **In `f64`, and for functions of two variables and composites, the algorithm is the definition.** It is
//! written here and in `docs/spec/arithmetic.md`; none calls the platform's mathematical library, which differs
//! from machine to machine. Their error is a few ulp at most.

mod composite;
pub mod double;
mod erf;
mod exp;
mod log;
mod pow;
mod remainder;

pub use composite::{
    celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, leaky_relu, mish, selu, softplus, swish,
};
pub use pow::{pow, powi_wrapping};
pub use remainder::{modulo, remainder};

use crate::float::Float;

/// c\[0\] + x·(c\[1\] + x·(…)), innermost first, each product and sum rounded.
#[inline(always)]
fn horner<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let mut sum = coefficients[N - 1];
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum * x + coefficients[i];
    }
    sum
}

/// x held within [low, high]; NaN becomes something within.
#[inline(always)]
fn clamp(x: f32, low: f32, high: f32) -> f64 {
    let x = if x < high { x } else { high };
    f64::from(if x > low { x } else { low })
}

/// e^x, correctly rounded.
#[must_use]
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // beyond these the result is infinite or rounds to 0; within, the final conversion does all the rounding
    let y = exp::exp_normal(clamp(x, -110.0, 100.0)) as f32;
    if x.is_nan() { <f32 as Float>::NAN } else { y }
}

/// 1 / (1 + e^−x), correctly rounded.
///
/// With e = e^−x − 1 this is 1 / (2 + e), and near zero 0.5 − 0.5·e / (2 + e): there the sum often lies a hair beside
/// the middle of two `f32`, and is rounded to odd so that the hair still counts in the last rounding.
#[must_use]
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp::expm1_normal(-clamp(x, -110.0, 100.0));
    let reciprocal = 1.0 / (2.0 + e);
    let near_zero = sum_to_odd(0.5, -0.5 * (e * reciprocal));
    let y = (if Float::abs(x) < 0.25 {
        near_zero
    } else {
        reciprocal
    }) as f32;
    if x.is_nan() { <f32 as Float>::NAN } else { y }
}

/// high + low, where |high| ≥ |low|, rounded to odd: what is inexact gets an odd last bit. A further rounding to a format with
/// at least two bits less then gives what rounding the exact sum gives.
#[inline(always)]
fn sum_to_odd(high: f64, low: f64) -> f64 {
    let sum = high + low;
    let lost = low - (sum - high);
    let bits = sum.to_bits();
    let odd = if (lost > 0.0) == (sum > 0.0) {
        bits.wrapping_add(1)
    } else {
        bits.wrapping_sub(1)
    };
    f64::from_bits(if lost != 0.0 && bits & 1 == 0 { odd } else { bits })
}

/// tanh x = (e^2x − 1) / (e^2x + 1), correctly rounded.
#[must_use]
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp::expm1_normal(2.0 * clamp(x, -10.0, 10.0));
    let y = (e / (e + 2.0)) as f32;
    // keeps the sign of zero
    let y = if x == 0.0 { x } else { y };
    if x.is_nan() { <f32 as Float>::NAN } else { y }
}

/// Natural logarithm, correctly rounded: −∞ of zero, NaN below.
#[must_use]
#[inline(always)]
pub fn log(x: f32) -> f32 {
    let positive = x > 0.0 && x < f32::INFINITY;
    let y = log::log_normal(if positive { f64::from(x) } else { 1.0 }) as f32;
    let y = log::HARDEST.iter().fold(y, |y, &(hard, log)| {
        if x.to_bits() == hard {
            f32::from_bits(log)
        } else {
            y
        }
    });
    let y = if x == f32::INFINITY { x } else { y };
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x < 0.0 || x.is_nan() {
        <f32 as Float>::NAN
    } else {
        y
    }
}

/// Error function, correctly rounded.
#[must_use]
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = erf::erf_for_f32(f64::from(x.abs())) as f32;
    let y = f32::from_bits(magnitude.to_bits() | (x.to_bits() & 0x8000_0000));
    if x.is_nan() { <f32 as Float>::NAN } else { y }
}
