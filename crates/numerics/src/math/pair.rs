//! Numbers as sums of two `f64`, the second of which is what rounding the first lost: about 106 bits.
//!
//! Sums and products of two `f64` have an exact such form (Knuth, Dekker). Functions that are computed so and rounded once are
//! right but for a handful of inputs, which the exhaustive comparison finds.

use crate::float::Float;

/// high + low, |low| small beside |high|.
pub(super) type Pair = (f64, f64);

/// a + b, exactly.
#[inline(always)]
pub(super) fn sum(a: f64, b: f64) -> Pair {
    let high = a + b;
    let of_b = high - a;
    (high, (a - (high - of_b)) + (b - of_b))
}

/// a + b, exactly, for |a| ≥ |b|.
#[inline(always)]
pub(super) fn ordered_sum(a: f64, b: f64) -> Pair {
    let high = a + b;
    (high, b - (high - a))
}

/// x as the sum of two numbers of at most 26 bits (Veltkamp). For |x| < 2^900.
#[inline(always)]
pub(super) fn split(x: f64) -> Pair {
    let scaled = x * 134_217_729.0;
    let high = scaled - (scaled - x);
    (high, x - high)
}

/// a · b, exactly unless the low part underflows, for factors below 2^900.
#[inline(always)]
pub(super) fn product(a: f64, b: f64) -> Pair {
    let high = a * b;
    let ((a_high, a_low), (b_high, b_low)) = (split(a), split(b));
    (
        high,
        ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low,
    )
}

/// a / b.
#[inline(always)]
pub(super) fn quotient(a: Pair, b: Pair) -> Pair {
    let high = a.0 / b.0;
    let (p, lost) = product(high, b.0);
    let rest = ((a.0 - p) - lost) + (a.1 - high * b.1);
    ordered_sum(high, rest / b.0)
}

/// √x for x ≥ 0.
#[inline(always)]
pub(super) fn root(x: Pair) -> Pair {
    let high = Float::sqrt(x.0);
    if high == 0.0 {
        return (0.0, 0.0);
    }
    let (square, lost) = product(high, high);
    ordered_sum(high, (((x.0 - square) - lost) + x.1) / (2.0 * high))
}

/// The sum with the sign of x.
#[inline(always)]
pub(super) fn signed((high, low): Pair, x: f64) -> Pair {
    if x.is_sign_negative() {
        (-high, -low)
    } else {
        (high, low)
    }
}
