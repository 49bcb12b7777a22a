//! Sine, cosine, tangent and their inverses as sums of two `f64`.
//!
//! An angle beyond π/4 is reduced exactly (Payne and Hanek): the bits of 2/π that matter are multiplied as integers, so that the
//! largest angle is as good as a small one. The polynomials are Taylor's. The inverses are the angle of a point: of the sixteenths
//! of the tangent the nearest is taken from a table, the rest is a short series.

use super::horner;
use super::pair::{Pair, ordered_sum, product, quotient, root, signed, sum};
use crate::float::Float;

/// The bits of 2/π behind the binary point.
const TWO_OVER_PI: [u64; 20] = [
    0xa2f9_836e_4e44_1529,
    0xfc27_57d1_f534_ddc0,
    0xdb62_9599_3c43_9041,
    0xfe51_63ab_debb_c561,
    0xb724_6e3a_424d_d2e0,
    0x0649_2eea_09d1_921c,
    0xfe1d_eb1c_b129_a73e,
    0xe882_35f5_2ebb_4484,
    0xe99c_7026_b45f_7e41,
    0x3991_d639_8353_39f4,
    0x9c84_5f8b_bdf9_283b,
    0x1ff8_97ff_de05_980f,
    0xef2f_118b_5a0a_6d1f,
    0x6d36_7ecf_27cb_09b7,
    0x4f46_3f66_9e5f_ea2d,
    0x7527_bac7_ebe5_f17b,
    0x3d07_39f7_8a52_92ea,
    0x6bfb_5fb1_1f8d_5d08,
    0x5603_3046_fc7b_6bab,
    0xf0cf_bc20_9af4_361d,
];

/// π/2 and what it lacks.
const QUARTER: Pair = (
    f64::from_bits(0x3ff9_21fb_5444_2d18),
    f64::from_bits(0x3c91_a626_3314_5c07),
);

/// Arc tangents of sixteenths, as bits of sums.
const ARC_TANGENTS: [[u64; 2]; 17] = [
    [0x0000_0000_0000_0000, 0x0000_0000_0000_0000],
    [0x3faf_f55b_b72c_fdea, 0xbc3c_934d_86d2_3f1d],
    [0x3fbf_d5ba_9aac_2f6e, 0xbc4c_d376_8676_0c17],
    [0x3fc7_b97b_4bce_5b02, 0x3c53_47b0_b4f8_81ca],
    [0x3fcf_5b75_f92c_80dd, 0x3c68_ab6e_3cf7_afbd],
    [0x3fd3_6277_3707_ebcc, 0xbc69_63a5_44b6_72d8],
    [0x3fd6_f619_41e4_def1, 0xbc7c_63aa_e6f6_e918],
    [0x3fda_64ee_c3cc_23fd, 0xbc72_4dec_1b50_b7ff],
    [0x3fdd_ac67_0561_bb4f, 0x3c7a_2b7f_222f_65e2],
    [0x3fe0_657e_94db_30d0, 0xbc7d_5b49_5f63_49e6],
    [0x3fe1_e00b_abde_feb4, 0xbc59_28df_287a_668f],
    [0x3fe3_45f0_1cce_37bb, 0x3c81_0211_37c7_1102],
    [0x3fe4_978f_a326_9ee1, 0x3c72_419a_87f2_a458],
    [0x3fe5_d589_8716_9b18, 0x3c60_028e_4bc5_e7ca],
    [0x3fe7_00a7_c578_4634, 0xbc78_c34d_25aa_def6],
    [0x3fe8_19d0_b715_8a4d, 0xbc7b_f762_29d3_b917],
    [0x3fe9_21fb_5444_2d18, 0x3c81_a626_3314_5c07],
];

/// −1/3!, 1/5!, … 1/17!
const SINE: [f64; 8] = [
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5_040.0,
    1.0 / 362_880.0,
    -1.0 / 39_916_800.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 355_687_428_096_000.0,
];

/// 1/4!, −1/6!, … −1/18!
const COSINE: [f64; 8] = [
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40_320.0,
    -1.0 / 3_628_800.0,
    1.0 / 479_001_600.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 20_922_789_888_000.0,
    -1.0 / 6_402_373_705_728_000.0,
];

/// −1/3, 1/5, … 1/13
const ARC: [f64; 6] = [
    -1.0 / 3.0,
    1.0 / 5.0,
    -1.0 / 7.0,
    1.0 / 9.0,
    -1.0 / 11.0,
    1.0 / 13.0,
];

/// 64 bits of 2/π, the first of them the one of weight 2^−first; there are none before the binary point.
fn bits_of_two_over_pi(first: i32) -> u64 {
    let word = |index: i32| {
        usize::try_from(index)
            .ok()
            .and_then(|index| TWO_OVER_PI.get(index))
            .copied()
            .unwrap_or(0)
    };
    let (index, shift) = ((first - 1).div_euclid(64), (first - 1).rem_euclid(64));
    if shift == 0 {
        word(index)
    } else {
        word(index) << shift | word(index + 1) >> (64 - shift)
    }
}

/// A finite angle less a multiple of quarter turns: how many modulo 4, and the rest, at most π/4 and a little.
fn reduce(x: f64) -> (u32, Pair) {
    let a = Float::abs(x);
    if a <= QUARTER.0 / 2.0 {
        return (0, (x, 0.0));
    }
    // x is m·2^e; in turns of a quarter it is m·2^e·2/π, of which the whole part matters modulo 4
    let bits = a.to_bits();
    let (m, e) = ((bits & ((1 << 52) - 1)) | 1 << 52, (bits >> 52) as i32 - 1075);
    let window = u128::from(bits_of_two_over_pi(e - 1)) << 64 | u128::from(bits_of_two_over_pi(e + 63));
    let behind = (u128::from(m) * u128::from(bits_of_two_over_pi(e + 127))) >> 64;
    // two bits of whole quarters, 126 of the fraction
    let turned = window.wrapping_mul(m.into()).wrapping_add(behind);
    let quarters = (turned.wrapping_add(1 << 125) >> 126) as u32;
    let rest = turned.wrapping_sub(u128::from(quarters) << 126) as i128;
    let high = rest as f64;
    let low = (rest - high as i128) as f64;
    let unit = f64::from_bits((1023 - 126) << 52);
    let (high, low) = (high * unit, low * unit);
    let (p, lost) = product(high, QUARTER.0);
    let (r, l) = ordered_sum(p, lost + (high * QUARTER.1 + low * QUARTER.0));
    if x < 0.0 {
        (quarters.wrapping_neg() & 3, (-r, -l))
    } else {
        (quarters & 3, (r, l))
    }
}

/// sin r for |r| ≤ π/4.
fn sine((high, low): Pair) -> Pair {
    let square = high * high;
    let rest = high * square * horner(&SINE, square) + low * (1.0 - 0.5 * square);
    ordered_sum(high, rest)
}

/// cos r for |r| ≤ π/4.
fn cosine((high, low): Pair) -> Pair {
    let (square, lost) = product(high, high);
    let (top, rest) = ordered_sum(1.0, -0.5 * square);
    let rest = rest - (0.5 * lost + high * low) + square * square * horner(&COSINE, square);
    ordered_sum(top, rest)
}

fn negated((high, low): Pair) -> Pair {
    (-high, -low)
}

/// sin x of a finite x.
pub(super) fn sin(x: f64) -> Pair {
    let (quarters, r) = reduce(x);
    match quarters {
        0 => sine(r),
        1 => cosine(r),
        2 => negated(sine(r)),
        _ => negated(cosine(r)),
    }
}

/// cos x of a finite x.
pub(super) fn cos(x: f64) -> Pair {
    let (quarters, r) = reduce(x);
    match quarters {
        0 => cosine(r),
        1 => negated(sine(r)),
        2 => negated(cosine(r)),
        _ => sine(r),
    }
}

/// tan x of a finite x.
pub(super) fn tan(x: f64) -> Pair {
    let (quarters, r) = reduce(x);
    if quarters & 1 == 0 {
        quotient(sine(r), cosine(r))
    } else {
        negated(quotient(cosine(r), sine(r)))
    }
}

/// The angle of the point (x, y), both coordinates from 0 to 2^900 and not both 0.
fn angle(y: Pair, x: Pair) -> Pair {
    let beyond = y.0 > x.0;
    let (y, x) = if beyond { (x, y) } else { (y, x) };
    let nearest = (y.0 / x.0 * 16.0 + 0.5).floor();
    let c = nearest / 16.0;
    let t = if c == 0.0 {
        quotient(y, x)
    } else {
        // tan(a − b) = (tan a − tan b) / (1 + tan a · tan b)
        let ((above, lost_above), (below, lost_below)) = (product(c, x.0), product(c, y.0));
        let (n, n_low) = sum(y.0, -above);
        let (d, d_low) = sum(x.0, below);
        quotient(
            (n, n_low + (y.1 - lost_above - c * x.1)),
            (d, d_low + (x.1 + lost_below + c * y.1)),
        )
    };
    let square = t.0 * t.0;
    let rest = t.1 + t.0 * square * horner(&ARC, square);
    let [high, low] = ARC_TANGENTS[nearest as usize].map(f64::from_bits);
    let (high, lost) = sum(high, t.0);
    let (high, low) = ordered_sum(high, lost + (low + rest));
    if beyond {
        let (top, lost) = ordered_sum(QUARTER.0, -high);
        ordered_sum(top, lost + (QUARTER.1 - low))
    } else {
        (high, low)
    }
}

/// Below this a series' first two terms are enough.
const TINY: f64 = f64::from_bits((1023 - 27) << 52);

/// The arc tangent of any number but NaN.
pub(super) fn atan(x: f64) -> Pair {
    let a = Float::abs(x);
    if a < TINY {
        return (x, x * (a * a) * (-1.0 / 3.0));
    }
    // from 2^60 on the angle is a quarter turn to the last bit
    let most = f64::from_bits((1023 + 60) << 52);
    signed(angle((if a < most { a } else { most }, 0.0), (1.0, 0.0)), x)
}

/// √(1 − x²) for |x| ≤ 1.
fn other_leg(x: f64) -> Pair {
    let (square, lost) = product(x, x);
    let (high, low) = ordered_sum(1.0, -square);
    root((high, low - lost))
}

/// The arc sine for |x| ≤ 1.
pub(super) fn asin(x: f64) -> Pair {
    let a = Float::abs(x);
    if a < TINY {
        return (x, x * (a * a) * (1.0 / 6.0));
    }
    signed(angle((a, 0.0), other_leg(a)), x)
}

/// The arc cosine for |x| ≤ 1.
pub(super) fn acos(x: f64) -> Pair {
    let a = Float::abs(x);
    let (high, low) = angle(other_leg(a), (a, 0.0));
    if x < 0.0 {
        let (top, lost) = ordered_sum(2.0 * QUARTER.0, -high);
        ordered_sum(top, lost + (2.0 * QUARTER.1 - low))
    } else {
        (high, low)
    }
}
