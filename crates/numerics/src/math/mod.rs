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

mod circular;
mod composite;
pub mod double;
pub(crate) mod erf;
mod exp;
mod hyperbolic;
mod log;
mod pair;
mod pow;
mod remainder;

#[cfg(target_arch = "x86_64")]
pub(crate) use composite::SQRT_2_OVER_PI;
pub use composite::{
    celu, elu, gelu, gelu_tanh, hard_sigmoid, hard_swish, leaky_relu, mish, selu, softplus, swish,
};
#[cfg(target_arch = "x86_64")]
pub(crate) use log::R as LOG;
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

/// A function's value from the sum of two numbers that it was computed as. In `f32` it is correctly rounded: `hardest` are the inputs
/// for which the sum is not close enough, with their results, as bits.
#[inline]
fn settled<T: Float>(x: T, (high, low): pair::Pair, hardest: &[(u32, u32)]) -> T {
    if size_of::<T>() == size_of::<f64>() || low == 0.0 || Float::abs(high) == f64::INFINITY {
        // an infinity has no second part
        let whole = if Float::abs(high) == f64::INFINITY || low == 0.0 {
            high
        } else {
            high + low
        };
        return T::from_f64(whole).canonical();
    }
    let bits = (x.to_f64() as f32).to_bits();
    match hardest.iter().find(|(hard, _)| *hard == bits) {
        Some(&(_, result)) => T::from_f32(f32::from_bits(result)),
        None => T::from_f64(sum_to_odd(high, low)).canonical(),
    }
}

/// Defines a function of one variable: where it has a value, what it is computed by, and its hardest inputs in `f32`.
macro_rules! elementary {
    ($(#[$doc:meta])* $name:ident: |$x:ident| $defined:expr, $keeps_zero:expr, $pair:path, $hardest:expr) => {
        $(#[$doc])*
        #[must_use]
        pub fn $name<T: Float>(x: T) -> T {
            let $x = x.to_f64();
            // what is not a number is nowhere
            if $defined {
                if $keeps_zero && $x == 0.0 { x } else { settled(x, $pair($x), $hardest) }
            } else {
                T::NAN
            }
        }
    };
}

elementary!(
    /// Sine; NaN of an infinity.
    sin: |x| Float::abs(x) < f64::INFINITY, true, circular::sin, &[]
);
elementary!(
    /// Cosine; NaN of an infinity.
    cos: |x| Float::abs(x) < f64::INFINITY, false, circular::cos, &[]
);
elementary!(
    /// Tangent; NaN of an infinity.
    tan: |x| Float::abs(x) < f64::INFINITY, true, circular::tan, &[]
);
elementary!(
    /// Arc sine; NaN beyond ±1.
    asin: |x| Float::abs(x) <= 1.0, true, circular::asin, &[]
);
elementary!(
    /// Arc cosine; NaN beyond ±1.
    acos: |x| Float::abs(x) <= 1.0, false, circular::acos, &[]
);
elementary!(
    /// Arc tangent.
    atan: |x| !x.is_nan(), true, circular::atan, &[]
);
elementary!(
    /// Hyperbolic sine.
    sinh: |x| !x.is_nan(), true, hyperbolic::sinh, &[]
);
elementary!(
    /// Hyperbolic cosine.
    cosh: |x| !x.is_nan(), false, hyperbolic::cosh, &[]
);
elementary!(
    /// Inverse of sinh.
    asinh: |x| !x.is_nan(), true, hyperbolic::asinh, &[]
);
elementary!(
    /// Inverse of cosh; NaN below 1.
    acosh: |x| x >= 1.0, false, hyperbolic::acosh, &[]
);
elementary!(
    /// Inverse of tanh; NaN beyond ±1.
    atanh: |x| Float::abs(x) <= 1.0, true, hyperbolic::atanh, &[]
);

/// Error function, correctly rounded.
#[must_use]
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = erf::erf_for_f32(f64::from(x.abs())) as f32;
    let y = f32::from_bits(magnitude.to_bits() | (x.to_bits() & 0x8000_0000));
    if x.is_nan() { <f32 as Float>::NAN } else { y }
}
