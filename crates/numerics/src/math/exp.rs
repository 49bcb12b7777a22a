//! e^x and e^x − 1 in `f64`, from which tanh, sigmoid and the composites are made.
//!
//! x = k·ln 2 + r with |r| ≤ ln 2 / 2 (Cody and Waite: ln 2 in two parts, the first short enough that k times it
//! is exact), then e^r − 1 as its Taylor polynomial of degree 13, whose remainder is below 2^−57.

use super::horner;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
/// ln 2 to 32 bits.
pub(super) const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
/// The rest of ln 2.
pub(super) const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
/// 1.5·2^52: adding and subtracting it rounds to an integer, and its low bits then hold that integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// 1/1!, 1/2!, … 1/13!
pub(super) const TAYLOR: [f64; 13] = [
    1.0,
    0.5,
    1.0 / 6.0,
    1.0 / 24.0,
    1.0 / 120.0,
    1.0 / 720.0,
    1.0 / 5_040.0,
    1.0 / 40_320.0,
    1.0 / 362_880.0,
    1.0 / 3_628_800.0,
    1.0 / 39_916_800.0,
    1.0 / 479_001_600.0,
    1.0 / 6_227_020_800.0,
];

/// r and k with x = k·ln 2 + r, for |x| < 2^31.
#[inline(always)]
fn reduce(x: f64) -> (f64, i64) {
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (x - k * LN2_HIGH) - k * LN2_LOW;
    // the low 32 bits of the mantissa are k in two's complement
    (r, ((shifted.to_bits() as i64) << 32) >> 32)
}

/// [`reduce`] with r as a sum of two numbers.
#[inline(always)]
pub(super) fn reduce_in_parts(x: f64) -> (i64, super::pair::Pair) {
    let shifted = x * LOG2_E + ROUND;
    let k = shifted - ROUND;
    // the first difference is exact
    let r = super::pair::sum(x - k * LN2_HIGH, -(k * LN2_LOW));
    (((shifted.to_bits() as i64) << 32) >> 32, r)
}

/// e^r − 1 for |r| ≤ ln 2 / 2.
#[inline(always)]
fn expm1_reduced(r: f64) -> f64 {
    horner(&TAYLOR, r) * r
}

/// 2^k for −1022 ≤ k ≤ 1023.
#[inline(always)]
pub(super) fn power_of_two(k: i64) -> f64 {
    f64::from_bits(((k + 1023) << 52) as u64)
}

/// e^x where the result is a normal `f64`: |x| ≤ 708.
#[inline(always)]
pub(super) fn exp_normal(x: f64) -> f64 {
    let (r, k) = reduce(x);
    (expm1_reduced(r) + 1.0) * power_of_two(k)
}

/// e^x − 1 for |x| ≤ 708, without cancellation near 0.
#[inline(always)]
pub(super) fn expm1_normal(x: f64) -> f64 {
    let (r, k) = reduce(x);
    let e = expm1_reduced(r);
    let scale = power_of_two(k);
    // e·2^k + (2^k − 1): for k = 0 this is e itself
    e * scale + (scale - 1.0)
}

/// e^x for every x that is not NaN, subnormal and infinite results included.
#[inline(always)]
pub(super) fn exp_full(x: f64) -> f64 {
    let x = if x > 710.0 { 710.0 } else { x };
    let x = if x < -746.0 { -746.0 } else { x };
    let (r, k) = reduce(x);
    // in two steps: the first product is exact, so only the second rounds
    let half = k >> 1;
    (expm1_reduced(r) + 1.0) * power_of_two(half) * power_of_two(k - half)
}
