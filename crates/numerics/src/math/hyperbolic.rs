//! Hyperbolic sine and cosine and the inverse functions as sums of two `f64`.

use super::exp::{LN2_HIGH, LN2_LOW, TAYLOR, power_of_two, reduce_in_parts};
use super::horner;
use super::log::log_in_parts;
use super::pair::{Pair, ordered_sum, product, root, signed, sum};
use crate::float::Float;

/// Below this a series' first two terms are enough.
const TINY: f64 = f64::from_bits((1023 - 27) << 52);
/// Below this the inverse functions are series.
const SMALL: f64 = f64::from_bits((1023 - 7) << 52);
/// From here on x² ± 1 is x² to the last bit that matters.
const LARGE: f64 = f64::from_bits((1023 + 28) << 52);

/// −1/6, 3/40, −15/336, 105/3456
const ARC_SINE: [f64; 4] = [-1.0 / 6.0, 3.0 / 40.0, -15.0 / 336.0, 105.0 / 3_456.0];
/// 1/3, 1/5, 1/7, 1/9
const ARC_TANGENT: [f64; 4] = [1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0];

/// 4 · (e^a ∓ e^−a) / 8 before the 4, for 0 ≤ a ≤ 711; `sign` is −1 for the sine, 1 for the cosine.
fn half_sum(a: f64, sign: f64) -> Pair {
    let (k, (r, r_low)) = reduce_in_parts(a);
    // e^r = 1 + r + more(r)
    let more = |r: f64| r * r * horner(&REST, r);
    let growing = power_of_two(k - 3);
    // beyond k = 60 the other exponential is below the last bit of the low part
    let falling = sign * if k <= 60 { power_of_two(-k - 3) } else { 0.0 };
    let (ones, ones_low) = sum(growing, falling);
    let (lines, lines_low) = sum(growing * r, -falling * r);
    let (high, lost) = sum(ones, lines);
    let tail = growing * (r_low * (1.0 + r) + more(r)) + falling * (more(-r) - r_low * (1.0 - r));
    ordered_sum(high, lost + ((ones_low + lines_low) + tail))
}

/// 1/2!, 1/3!, … 1/13!
const REST: [f64; 12] = {
    let mut rest = [0.0; 12];
    let mut i = 0;
    while i < 12 {
        rest[i] = TAYLOR[i + 1];
        i += 1;
    }
    rest
};

/// Beyond this both are infinite.
fn held(a: f64) -> f64 {
    if a < 711.0 { a } else { 711.0 }
}

/// sinh x of any number but NaN. What is beyond the largest number comes out infinite, with a second part of no meaning.
pub(super) fn sinh(x: f64) -> Pair {
    let a = Float::abs(x);
    if a < TINY {
        return (x, x * (a * a) * (1.0 / 6.0));
    }
    let (high, low) = half_sum(held(a), -1.0);
    signed((4.0 * high, 4.0 * low), x)
}

/// cosh x likewise.
pub(super) fn cosh(x: f64) -> Pair {
    let (high, low) = half_sum(held(Float::abs(x)), 1.0);
    (4.0 * high, 4.0 * low)
}

/// The logarithm of a positive sum.
fn log((high, low): Pair) -> Pair {
    let (top, rest) = log_in_parts(high);
    ordered_sum(top, rest + low / high)
}

/// log 2a for a from 2^28 to infinity: what the inverse functions are there.
fn log_of_double(a: f64) -> Pair {
    if a == f64::INFINITY {
        return (a, 0.0);
    }
    let (top, rest) = log_in_parts(a);
    let (high, lost) = sum(top, LN2_HIGH);
    ordered_sum(high, lost + (rest + LN2_LOW))
}

/// The inverse of sinh, of any number but NaN.
pub(super) fn asinh(x: f64) -> Pair {
    let a = Float::abs(x);
    if a < SMALL {
        let square = a * a;
        return (x, x * square * horner(&ARC_SINE, square));
    }
    if a >= LARGE {
        return signed(log_of_double(a), x);
    }
    let (square, lost) = product(a, a);
    let (high, low) = sum(square, 1.0);
    let (s, s_low) = root((high, low + lost));
    let (high, lost) = sum(s, a);
    signed(log((high, lost + s_low)), x)
}

/// The inverse of cosh, for x ≥ 1.
pub(super) fn acosh(x: f64) -> Pair {
    if x >= LARGE {
        return log_of_double(x);
    }
    let (square, lost) = product(x, x);
    let (high, low) = sum(square, -1.0);
    let (s, s_low) = root((high, low + lost));
    let (high, lost) = sum(x, s);
    log((high, lost + s_low))
}

/// The inverse of tanh, for |x| ≤ 1.
pub(super) fn atanh(x: f64) -> Pair {
    let a = Float::abs(x);
    if a < SMALL {
        let square = a * a;
        return (x, x * square * horner(&ARC_TANGENT, square));
    }
    if a == 1.0 {
        return signed((f64::INFINITY, 0.0), x);
    }
    let ((p, p_low), (m, m_low)) = (log(sum(1.0, a)), log(sum(1.0, -a)));
    let (high, lost) = sum(p, -m);
    signed((0.5 * high, 0.5 * (lost + (p_low - m_low))), x)
}
