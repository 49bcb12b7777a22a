//! Powers. Two arguments cannot be tried exhaustively, so the algorithm is the definition.
//!
//! x^y is computed in `f64` and rounded once to its type:
//! 1. the special cases of IEEE 754 (`pow`, clause 9.2.1);
//! 2. an integral |y| ≤ 64: by squaring, from the lowest bit of y up, with 1/x^|y| for negative y, so that
//!    squares and cubes are what one expects;
//! 3. y = ±½: square root (and reciprocal);
//! 4. else e^(y·log|x|), where log|x| has two parts and the product's error is carried, with the sign of an odd
//!    power of a negative number.

use super::{exp, log, pair::split};
use crate::float::Float;

/// x^y; an exponent of any type is first converted to `f64` (only integers beyond 2^53 are rounded by that).
#[must_use]
#[inline(always)]
pub fn pow<T: Float>(x: T, y: f64) -> T {
    let x = x.to_f64();
    if y == 2.0 {
        // the common case, and what the general path gives
        return T::from_f64(x * x).canonical();
    }
    T::from_f64(pow_f64(x, y)).canonical()
}

/// x^y in `f64`: see the module's head.
#[must_use]
fn pow_f64(x: f64, y: f64) -> f64 {
    if y == 0.0 || x == 1.0 {
        return 1.0;
    }
    if x.is_nan() || y.is_nan() {
        return <f64 as Float>::NAN;
    }
    let magnitude = Float::abs(x);
    let integral = Float::floor(y) == y;
    // above 2^53 every number is even
    let odd = integral && Float::abs(y) < 9_007_199_254_740_992.0 && (y as i64) & 1 == 1;
    let negative = x.is_sign_negative() && odd;
    let signed = |y: f64| if negative { -y } else { y };
    if y.is_infinite() {
        return if magnitude == 1.0 {
            1.0
        } else if (magnitude > 1.0) == (y > 0.0) {
            f64::INFINITY
        } else {
            0.0
        };
    }
    if magnitude == 0.0 || magnitude == f64::INFINITY {
        return signed(if (magnitude == 0.0) == (y > 0.0) {
            0.0
        } else {
            f64::INFINITY
        });
    }
    if x < 0.0 && !integral {
        return <f64 as Float>::NAN;
    }
    if integral && Float::abs(y) <= 64.0 {
        let power = by_squaring(x, Float::abs(y) as u32);
        return if y < 0.0 { 1.0 / power } else { power };
    }
    if y == 0.5 {
        return Float::sqrt(magnitude);
    }
    if y == -0.5 {
        return 1.0 / Float::sqrt(magnitude);
    }
    signed(through_logarithm(magnitude, y))
}

/// x^n, multiplying in the squares of x from the lowest bit of n up.
fn by_squaring(x: f64, mut n: u32) -> f64 {
    let (mut power, mut square) = (1.0, x);
    while n > 0 {
        if n & 1 == 1 {
            power *= square;
        }
        square *= square;
        n >>= 1;
    }
    power
}

/// e^(y·log x) for a positive finite x.
fn through_logarithm(x: f64, y: f64) -> f64 {
    // log x is at least 2^-53 in magnitude unless 0, so a larger y than 2^64 changes nothing: 0, 1 or infinity
    let limit = 18_446_744_073_709_551_616.0;
    let y = if y > limit {
        limit
    } else if y < -limit {
        -limit
    } else {
        y
    };
    let subnormal = x < f64::MIN_POSITIVE;
    let lifted = if subnormal {
        x * 18_014_398_509_481_984.0
    } else {
        x
    };
    let (mut high, mut low) = log::log_in_parts(lifted);
    if subnormal {
        low += -54.0 * exp::LN2_LOW;
        let sum = high - 54.0 * exp::LN2_HIGH;
        low += high - (sum + 54.0 * exp::LN2_HIGH);
        high = sum;
    }
    // renormalise, then multiply with the exact error of the product (Dekker)
    let sum = high + low;
    low -= sum - high;
    high = sum;
    let product = y * high;
    if Float::abs(product) >= 800.0 {
        return if product > 0.0 { f64::INFINITY } else { 0.0 };
    }
    let (y_high, y_low) = split(y);
    let (h_high, h_low) = split(high);
    let error = ((y_high * h_high - product) + y_high * h_low + y_low * h_high) + y_low * h_low;
    let correction = error + y * low;
    let power = exp::exp_full(product);
    if power.is_infinite() {
        power
    } else {
        power + power * correction
    }
}

/// base^exponent of integers modulo 2^64, by squaring: an operator on a narrower type cuts the result to it,
/// which is the same as wrapping at every step.
#[must_use]
pub fn powi_wrapping(base: i64, exponent: u64) -> i64 {
    let (mut power, mut square, mut n) = (1_i64, base, exponent);
    while n > 0 {
        if n & 1 == 1 {
            power = power.wrapping_mul(square);
        }
        square = square.wrapping_mul(square);
        n >>= 1;
    }
    power
}
