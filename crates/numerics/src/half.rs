//! The two 16-bit formats, as bits: binary16 and bfloat16.
//!
//! Operators on them compute in `f32` and round once at their end. All conversions round to nearest, ties to even, keep
//! subnormals, overflow to infinity, and give the canonical NaN.

use crate::float::Float;

/// The canonical quiet NaN of binary16.
pub const F16_NAN: u16 = 0x7e00;
/// The canonical quiet NaN of bfloat16.
pub const BF16_NAN: u16 = 0x7fc0;

/// binary16 to `f32`: exact.
#[must_use]
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff);
    let value = if magnitude > 0x7c00 {
        return <f32 as Float>::NAN;
    } else if magnitude == 0x7c00 {
        f32::INFINITY
    } else {
        // as if the exponent had f32's bias, then lifted by the difference of the biases: exact for subnormals too
        f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23)
    };
    f32::from_bits(value.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// `f32` to binary16.
#[must_use]
#[inline(always)]
pub fn f32_to_f16(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = x.to_bits() & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return F16_NAN;
    }
    // from 65520, half way between the largest number and what would come next, all is infinite
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // below 2^-14: the result is a multiple of 2^-24, and so is the last bit of a sum with 0.5
        let rounded = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5_f32.to_bits();
        return sign | rounded as u16;
    }
    // the exponent's bias changes by 112; adding just below half a unit, and the last kept bit, rounds to even
    let even = magnitude >> 13 & 1;
    sign | ((magnitude - (112 << 23) + 0xfff + even) >> 13) as u16
}

/// bfloat16 to `f32`: exact.
#[must_use]
#[inline(always)]
pub fn bf16_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16).canonical()
}

/// `f32` to bfloat16.
#[must_use]
#[inline(always)]
pub fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    if bits & 0x7fff_ffff > 0x7f80_0000 {
        return BF16_NAN;
    }
    let even = bits >> 16 & 1;
    ((bits + 0x7fff + even) >> 16) as u16
}

/// `f64` to `f32`, rounded to odd: towards zero, with the last bit set if anything was lost. Rounding the result once more, to
/// a format with at least two bits less, gives what rounding `x` directly gives.
#[must_use]
#[inline(always)]
fn f64_to_f32_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let back = f64::from(nearest);
    if back == x || x.is_nan() {
        return nearest;
    }
    let bits = nearest.to_bits();
    // towards zero: one step back if rounding went away from it (never below zero, which is exact or went towards it)
    let truncated = if Float::abs(back) > Float::abs(x) {
        bits - 1
    } else {
        bits
    };
    f32::from_bits(truncated | 1)
}

/// `f64` to binary16, rounded once.
#[must_use]
pub fn f64_to_f16(x: f64) -> u16 {
    f32_to_f16(f64_to_f32_odd(x))
}

/// `f64` to bfloat16, rounded once.
#[must_use]
pub fn f64_to_bf16(x: f64) -> u16 {
    f32_to_bf16(f64_to_f32_odd(x))
}

/// An integer as an `f64` rounded to odd (see [`f64_to_f16`]'s way): to be rounded once more to a 16-bit format or `f32`.
#[must_use]
pub fn integer_to_f64_odd(x: i128) -> f64 {
    let magnitude = x.unsigned_abs();
    let excess = (128 - magnitude.leading_zeros()).saturating_sub(53);
    let lost = magnitude & ((1_u128 << excess) - 1) != 0;
    let kept = (magnitude >> excess) as u64 | u64::from(lost);
    // exact: at most 53 bits, scaled by a power of two
    let value = kept as f64 * f64::from_bits(u64::from(1023 + excess) << 52);
    if x < 0 { -value } else { value }
}
