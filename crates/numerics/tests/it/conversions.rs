//! Conversions to and from the 16-bit formats, against LLVM's software floats.

use rustc_apfloat::ieee::{BFloat, Double, Half, Single};
use rustc_apfloat::{Float as _, FloatConvert, Round};
use synod_numerics::half::{
    bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f64_to_bf16, f64_to_f16, integer_to_f64_odd,
};

use crate::Numbers;

/// Converts bits between two formats, NaN to the canonical one.
fn convert<A: rustc_apfloat::Float + FloatConvert<B>, B: rustc_apfloat::Float>(
    bits: u128,
    nan: u128,
) -> u128 {
    let converted: B = A::from_bits(bits).convert(&mut false).value;
    if converted.is_nan() {
        nan
    } else {
        converted.to_bits()
    }
}

#[test]
fn every_16_bit_number_widens_exactly_and_comes_back() {
    for bits in 0..=u16::MAX {
        let wide = f16_to_f32(bits);
        assert_eq!(
            u128::from(wide.to_bits()),
            convert::<Half, Single>(bits.into(), 0x7fc0_0000),
            "f16 {bits:#06x}"
        );
        assert_eq!(f32_to_f16(wide), if wide.is_nan() { 0x7e00 } else { bits });
        let wide = bf16_to_f32(bits);
        assert_eq!(
            u128::from(wide.to_bits()),
            convert::<BFloat, Single>(bits.into(), 0x7fc0_0000),
            "bf16 {bits:#06x}"
        );
        assert_eq!(f32_to_bf16(wide), if wide.is_nan() { 0x7fc0 } else { bits });
    }
}

#[test]
fn narrowing_rounds_once() {
    let mut numbers = Numbers::new(30);
    for i in 0..400_000_u64 {
        // all exponents that matter, and mantissas close to the middle of two results
        let x = match i % 4 {
            0 => numbers.any(),
            1 => f16_to_f32(numbers.next() as u16) * (1.0 + (numbers.below(5) as f32 - 2.0) * f32::EPSILON),
            2 => f32::from_bits((numbers.next() as u32 & 0xffff_e000) | 0x1000 | (numbers.next() as u32 & 1)),
            _ => f32::from_bits((numbers.next() as u32 & 0xffff_0000) | 0x8000 | (numbers.next() as u32 & 1)),
        };
        let bits = u128::from(x.to_bits());
        assert_eq!(
            u128::from(f32_to_f16(x)),
            convert::<Single, Half>(bits, 0x7e00),
            "{x:e} to f16"
        );
        assert_eq!(
            u128::from(f32_to_bf16(x)),
            convert::<Single, BFloat>(bits, 0x7fc0),
            "{x:e} to bf16"
        );
        let wide = f64::from(x) * (1.0 + (numbers.below(5) as f64 - 2.0) * f64::EPSILON);
        let bits = u128::from(wide.to_bits());
        assert_eq!(
            u128::from(f64_to_f16(wide)),
            convert::<Double, Half>(bits, 0x7e00),
            "{wide:e} to f16"
        );
        assert_eq!(
            u128::from(f64_to_bf16(wide)),
            convert::<Double, BFloat>(bits, 0x7fc0),
            "{wide:e} to bf16"
        );
        let any = numbers.next();
        assert_eq!(
            u128::from(f64_to_f16(f64::from_bits(any))),
            convert::<Double, Half>(any.into(), 0x7e00)
        );
        assert_eq!(
            u128::from(f64_to_bf16(f64::from_bits(any))),
            convert::<Double, BFloat>(any.into(), 0x7fc0)
        );
    }
}

#[test]
fn integers_become_16_bit_floats_with_one_rounding() {
    let mut numbers = Numbers::new(31);
    for _ in 0..100_000 {
        let x = (numbers.next() as i64) >> numbers.below(64);
        // numbers just beside the middle of two bfloat16, which a rounding on the way would move onto it
        for x in [x, (x & !0xff) | 1, x.wrapping_add(1) & !1] {
            let exact = i128::from(x);
            let ours = (
                f64_to_f16(integer_to_f64_odd(exact)),
                f64_to_bf16(integer_to_f64_odd(exact)),
            );
            let half = Half::from_i128_r(exact, Round::NearestTiesToEven).value.to_bits();
            let brain = BFloat::from_i128_r(exact, Round::NearestTiesToEven)
                .value
                .to_bits();
            assert_eq!((u128::from(ours.0), u128::from(ours.1)), (half, brain), "{x}");
        }
    }
    let most = i128::from(u64::MAX);
    assert_eq!(
        u128::from(f64_to_bf16(integer_to_f64_odd(most))),
        BFloat::from_i128(most).value.to_bits()
    );
}
