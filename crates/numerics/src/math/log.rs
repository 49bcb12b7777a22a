//! The natural logarithm in `f64`.
//!
//! x = 2^k·m with m in [√½, √2), then with f = m − 1 and s = f/(2 + f), log m = 2 atanh s =
//! f − f²/2 + s·(f²/2 + R(s²)). The reduction and the seven coefficients of R are those of fdlibm's `e_log.c`
//! (Sun Microsystems, freely usable), whose error is below 1 ulp of `f64`.

use super::exp::{LN2_HIGH, LN2_LOW};
use super::horner;

/// The bits of √½.
const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
/// 2^52 as bits: `from_bits(TWO_52 | n) - 2^52` is n.
const TWO_52: u64 = 0x4330_0000_0000_0000;
const TWO_52_VALUE: f64 = 4_503_599_627_370_496.0;

pub(crate) const R: [f64; 7] = [
    f64::from_bits(0x3fe5_5555_5555_5593), // 0.6666666666666735
    f64::from_bits(0x3fd9_9999_9997_fa04), // 0.3999999999940942
    f64::from_bits(0x3fd2_4924_9422_9359), // 0.2857142874366239
    f64::from_bits(0x3fcc_71c5_1d8e_78af), // 0.22222198432149784
    f64::from_bits(0x3fc7_4664_96cb_03de), // 0.1818357216161805
    f64::from_bits(0x3fc3_9a09_d078_c69f), // 0.15313837699209373
    f64::from_bits(0x3fc2_f112_df3e_5244), // 0.14798198605116586
];

/// The inputs whose logarithm lies so close to the middle of two `f32` that an `f64` of 1 ulp error falls on the wrong
/// side, with their logarithms, as bits. The exhaustive comparison found these and no others.
pub(super) const HARDEST: [(u32, u32); 5] = [
    (0x3c41_3d3a, 0xc08e_158f), // 0.011794383
    (0x4117_8feb, 0x400f_e5e7), // 9.472636
    (0x4c5d_65a5, 0x418f_034b), // 5.8037908e7
    (0x65d8_90d3, 0x4254_d1f9), // 1.2783784e23
    (0x6f31_a8ec, 0x4284_5a89), // 5.498306e28
];

/// k and f = m − 1 of a positive normal number.
#[inline(always)]
fn reduce(x: f64) -> (f64, f64) {
    // adding 1 − √½ in bits carries into the exponent exactly when the mantissa is at least that of √½
    let bits = x.to_bits() + (1.0_f64.to_bits() - SQRT_HALF);
    let exponent = bits >> 52;
    let mantissa = (bits & 0x000f_ffff_ffff_ffff) + SQRT_HALF;
    let k = (f64::from_bits(TWO_52 | exponent) - TWO_52_VALUE) - 1023.0;
    (k, f64::from_bits(mantissa) - 1.0)
}

/// The logarithm of a positive normal number as a sum: the first part is rounded from k·ln 2 + f, the second is
/// the rest.
#[inline(always)]
pub(super) fn log_in_parts(x: f64) -> (f64, f64) {
    let (k, f) = reduce(x);
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * horner(&R, z);
    let half_square = 0.5 * f * f;
    let rest = s * (half_square + r) + k * LN2_LOW;
    // k·LN2_HIGH is exact, and either 0 or larger than |f|: the error of the sum is found exactly
    let base = k * LN2_HIGH;
    let high = base + f;
    let lost = if k == 0.0 { 0.0 } else { f - (high - base) };
    (high, (rest - half_square) + lost)
}

/// The logarithm of a positive normal number.
#[inline(always)]
pub(super) fn log_normal(x: f64) -> f64 {
    let (high, low) = log_in_parts(x);
    high + low
}
