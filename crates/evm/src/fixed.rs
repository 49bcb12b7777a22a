//! Fixed point: `int256` values that stand for `value / 10^decimals`, to and from the elements of tensors.
//!
//! Both directions are exact rationals rounded once, to nearest, ties to even, so a value means the same for a contract,
//! for a wallet that prepares it and for the engine. No floating-point instruction is involved: the bits follow from integer
//! arithmetic alone. 512 bits are enough: `int256` has 255, `10^76` 253, an `f64` 53.

use alloy_primitives::{I256, Sign, U256, U512, ruint::UintTryFrom};
use synod_model::DType;

/// Decimals, at most: `10^77` does not fit `int256`.
pub const MAX_DECIMALS: u8 = 76;

/// Why a number has no counterpart on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FixedError {
    /// The value does not fit the element type, or the element does not fit `int256`.
    #[error("the number is out of range")]
    OutOfRange,
    /// The element is a NaN or an infinity.
    #[error("the number is not finite")]
    NotFinite,
}

/// Converts between fixed point with a set number of decimals and elements of one type.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    dtype: DType,
    /// `10^decimals`.
    unit: U512,
}

/// A binary floating-point format of IEEE 754, or bfloat16.
#[derive(Debug, Clone, Copy)]
struct Format {
    /// Significant bits, the hidden one included.
    precision: u32,
    /// Exponent of the smallest normal number.
    min_exponent: i32,
    /// Bytes of an element.
    size: usize,
}

impl Format {
    fn of(dtype: DType) -> Option<Self> {
        Some(match dtype {
            DType::F16 => Self {
                precision: 11,
                min_exponent: -14,
                size: 2,
            },
            DType::BF16 => Self {
                precision: 8,
                min_exponent: -126,
                size: 2,
            },
            DType::F32 => Self {
                precision: 24,
                min_exponent: -126,
                size: 4,
            },
            DType::F64 => Self {
                precision: 53,
                min_exponent: -1022,
                size: 8,
            },
            _ => return None,
        })
    }

    /// Exponent of the last place of subnormal numbers.
    fn smallest_place(&self) -> i32 {
        self.min_exponent - (self.precision as i32 - 1)
    }

    fn sign_bit(&self) -> u64 {
        1 << (self.size * 8 - 1)
    }

    /// The encoding of positive infinity; finite magnitudes encode below it.
    fn infinity(&self) -> u64 {
        self.sign_bit() - (1 << (self.precision - 1))
    }

    /// The encoding of the magnitude nearest to `(quotient + fraction) / 2^shift`, where `0 < fraction < 1` if
    /// `inexact` and zero otherwise. `quotient` must have more than `precision` bits.
    fn round(&self, quotient: U512, inexact: bool, shift: i32) -> Result<u64, FixedError> {
        let exponent = quotient.bit_len() as i32 - 1 - shift;
        let place = (exponent - (self.precision as i32 - 1)).max(self.smallest_place());
        let dropped = usize::try_from(place + shift).expect("the quotient has more bits than the format");
        let significand = shift_right_to_even(quotient, dropped, inexact);
        let significand = u64::try_from(significand).expect("at most precision + 1 bits are left");
        // The hidden bit of a normal number adds one to the exponent field; a carry out of rounding adds another.
        let field = (place - self.smallest_place()) as u64;
        let bits = (field << (self.precision - 1)) + significand;
        if bits < self.infinity() {
            Ok(bits)
        } else {
            Err(FixedError::OutOfRange)
        }
    }

    /// The finite magnitude `significand * 2^place` of an encoding without its sign.
    fn split(&self, magnitude: u64) -> Result<(u64, i32), FixedError> {
        if magnitude >= self.infinity() {
            return Err(FixedError::NotFinite);
        }
        let hidden = 1 << (self.precision - 1);
        let field = magnitude / hidden;
        let fraction = magnitude % hidden;
        Ok(match field {
            0 => (fraction, self.smallest_place()),
            _ => (fraction + hidden, self.smallest_place() + (field as i32 - 1)),
        })
    }
}

impl Scale {
    /// Conversions of `dtype` with this many decimals; `None` above [`MAX_DECIMALS`].
    pub fn new(dtype: DType, decimals: u8) -> Option<Self> {
        (decimals <= MAX_DECIMALS).then(|| Self {
            dtype,
            unit: U512::from(10).pow(U512::from(decimals)),
        })
    }

    /// Appends the big-endian element nearest to `value / 10^decimals`.
    ///
    /// # Errors
    /// If that element would be infinite, or outside the integer type.
    pub fn encode(&self, value: I256, out: &mut Vec<u8>) -> Result<(), FixedError> {
        let (sign, magnitude) = value.into_sign_and_abs();
        let negative = sign == Sign::Negative;
        let magnitude = U512::from(magnitude);
        let bits = match Format::of(self.dtype) {
            _ if self.dtype == DType::Bool => u64::from(!magnitude.is_zero()),
            Some(_) if magnitude.is_zero() => 0,
            Some(format) => {
                // Scaled so that the quotient keeps at least 512 - 253 bits.
                let shift = magnitude.leading_zeros();
                let (quotient, rest) = (magnitude << shift).div_rem(self.unit);
                let encoded = format.round(quotient, !rest.is_zero(), shift as i32)?;
                if negative {
                    encoded | format.sign_bit()
                } else {
                    encoded
                }
            }
            None => {
                let (quotient, rest) = magnitude.div_rem(self.unit);
                integer_bits(self.dtype, negative, round_quotient(quotient, rest, self.unit))?
            }
        };
        out.extend_from_slice(&bits.to_be_bytes()[8 - self.dtype.size()..]);
        Ok(())
    }

    /// `element * 10^decimals` of one big-endian element, rounded.
    ///
    /// # Errors
    /// If the element is not finite or the result does not fit `int256`.
    pub fn decode(&self, element: &[u8]) -> Result<I256, FixedError> {
        let bits = element
            .iter()
            .fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
        let (negative, magnitude) = if let Some(format) = Format::of(self.dtype) {
            let negative = bits & format.sign_bit() != 0;
            let (significand, place) = format.split(bits & !format.sign_bit())?;
            let product = U512::from(significand) * self.unit;
            let magnitude = if place < 0 {
                shift_right_to_even(product, place.unsigned_abs() as usize, false)
            } else if product.bit_len() + place as usize <= 256 {
                product << place as usize
            } else {
                return Err(FixedError::OutOfRange);
            };
            (negative, magnitude)
        } else {
            let (negative, magnitude) = integer_value(self.dtype, bits);
            (negative, U512::from(magnitude) * self.unit)
        };
        let sign = if negative { Sign::Negative } else { Sign::Positive };
        U256::uint_try_from(magnitude)
            .ok()
            .and_then(|magnitude| I256::checked_from_sign_and_abs(sign, magnitude))
            .ok_or(FixedError::OutOfRange)
    }
}

/// `value / 2^count` to nearest, ties to even, where `inexact` says that a fraction below `value` was cut off before.
fn shift_right_to_even(value: U512, count: usize, inexact: bool) -> U512 {
    if count == 0 {
        return value;
    }
    if count > U512::BITS {
        return U512::ZERO;
    }
    let floor = value >> count;
    let half = value.bit(count - 1);
    let below_half = inexact || value.trailing_zeros() < count - 1;
    if half && (below_half || floor.bit(0)) {
        floor + U512::ONE
    } else {
        floor
    }
}

/// `quotient + rest / divisor` to nearest, ties to even.
fn round_quotient(quotient: U512, rest: U512, divisor: U512) -> U512 {
    let twice = rest << 1;
    let up = twice > divisor || (twice == divisor && quotient.bit(0));
    if up { quotient + U512::ONE } else { quotient }
}

/// The two's complement bits of an integer, if the type has it.
fn integer_bits(dtype: DType, negative: bool, magnitude: U512) -> Result<u64, FixedError> {
    let width = dtype.size() * 8;
    let signed = is_signed(dtype);
    let largest = match (signed, negative) {
        (true, true) => 1u64 << (width - 1),
        (true, false) => (1u64 << (width - 1)) - 1,
        (false, true) => 0,
        (false, false) => u64::MAX >> (64 - width),
    };
    let magnitude = u64::try_from(magnitude)
        .ok()
        .filter(|&m| m <= largest)
        .ok_or(FixedError::OutOfRange)?;
    Ok(if negative {
        magnitude.wrapping_neg()
    } else {
        magnitude
    })
}

/// Sign and magnitude of an integer or bool element.
fn integer_value(dtype: DType, bits: u64) -> (bool, u64) {
    let unused = 64 - dtype.size() * 8;
    if is_signed(dtype) {
        let value = (bits << unused) as i64 >> unused;
        (value < 0, value.unsigned_abs())
    } else {
        (false, bits)
    }
}

fn is_signed(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(dtype: DType, value: I256, decimals: u8) -> Result<Vec<u8>, FixedError> {
        let mut out = Vec::new();
        Scale::new(dtype, decimals)
            .unwrap()
            .encode(value, &mut out)
            .map(|()| out)
    }

    fn decode(dtype: DType, element: &[u8], decimals: u8) -> Result<I256, FixedError> {
        Scale::new(dtype, decimals).unwrap().decode(element)
    }

    fn int(value: i128) -> I256 {
        I256::try_from(value).unwrap()
    }

    /// Decimal text, which the standard library parses with correct rounding.
    fn text(value: i128, decimals: u8) -> String {
        format!("{value}e-{decimals}")
    }

    proptest! {
        #[test]
        fn floats_are_correctly_rounded(value in any::<i128>(), shift in 0u32..127, decimals in 0u8..=MAX_DECIMALS) {
            let value = value >> shift;
            let single: f32 = text(value, decimals).parse().unwrap();
            let double: f64 = text(value, decimals).parse().unwrap();
            // Zero has one sign in fixed point.
            let sign_of_zero = |bits: u64, zero: bool| if zero && value == 0 { 0 } else { bits };
            let bits = sign_of_zero(u64::from(single.to_bits()), single == 0.0) as u32;
            prop_assert_eq!(encode(DType::F32, int(value), decimals).unwrap(), bits.to_be_bytes());
            let bits = sign_of_zero(double.to_bits(), double == 0.0);
            prop_assert_eq!(encode(DType::F64, int(value), decimals).unwrap(), bits.to_be_bytes());
        }

        #[test]
        fn every_f32_comes_back_through_enough_decimals(bits in any::<u32>()) {
            let element = bits.to_be_bytes();
            match decode(DType::F32, &element, 60) {
                Ok(value) if f32::from_bits(bits).abs() >= 1e-40 => {
                    prop_assert_eq!(encode(DType::F32, value, 60).unwrap(), element);
                }
                Ok(_) => prop_assert!(f32::from_bits(bits).abs() < 1e-40),
                Err(FixedError::NotFinite) => prop_assert!(!f32::from_bits(bits).is_finite()),
                Err(FixedError::OutOfRange) => prop_assert!(f32::from_bits(bits).abs() > 1e16),
            }
        }

        #[test]
        fn integers_come_back(value in any::<i64>(), decimals in 0u8..=57) {
            let scaled = int(i128::from(value)) * I256::try_from(10).unwrap().pow(U256::from(decimals));
            let element = encode(DType::I64, scaled, decimals).unwrap();
            prop_assert_eq!(&element, &value.to_be_bytes());
            prop_assert_eq!(decode(DType::I64, &element, decimals).unwrap(), scaled);
        }
    }

    #[test]
    fn ties_go_to_even() {
        for (value, rounded) in [(5, 0), (15, 2), (25, 2), (-5, 0), (-15, -2), (26, 3), (24, 2)] {
            let byte = i8::from_be_bytes(encode(DType::I8, int(value), 1).unwrap().try_into().unwrap());
            assert_eq!(byte, rounded, "{value}/10");
        }
        // 2^24 + 1 lies between two floats; so do 0.5 and 1.5 between integers.
        assert_eq!(
            encode(DType::F32, int((1 << 24) + 1), 0).unwrap(),
            16_777_216f32.to_be_bytes()
        );
        assert_eq!(
            encode(DType::F32, int((1 << 24) + 3), 0).unwrap(),
            16_777_220f32.to_be_bytes()
        );
        for (element, rounded) in [
            (0.5f32, 0),
            (1.5, 2),
            (2.5, 2),
            (-0.5, 0),
            (-1.5, -2),
            (2.500_000_2, 3),
        ] {
            assert_eq!(
                decode(DType::F32, &element.to_be_bytes(), 0),
                Ok(int(rounded)),
                "{element}"
            );
        }
    }

    #[test]
    fn ranges_end_where_the_types_end() {
        for (value, dtype, fits) in [
            (127, DType::I8, true),
            (128, DType::I8, false),
            (-128, DType::I8, true),
            (-129, DType::I8, false),
            (255, DType::U8, true),
            (256, DType::U8, false),
            (-1, DType::U8, false),
            (65_519, DType::F16, true),
            (65_520, DType::F16, false),
            (i128::from(u64::MAX), DType::U64, true),
            (i128::from(u64::MAX) + 1, DType::U64, false),
        ] {
            assert_eq!(encode(dtype, int(value), 0).is_ok(), fits, "{value} as {dtype}");
        }
        assert_eq!(encode(DType::F32, I256::MAX, 0), Err(FixedError::OutOfRange));
        assert!(encode(DType::F32, I256::MIN, 39).is_ok());
        assert_eq!(encode(DType::F32, I256::MIN, 38), Err(FixedError::OutOfRange));
        assert!(encode(DType::F64, I256::MIN, 0).is_ok());
        assert!(encode(DType::BF16, int(i128::MAX), 0).is_ok());
        assert_eq!(
            decode(DType::F32, &f32::MAX.to_be_bytes(), 76),
            Err(FixedError::OutOfRange)
        );
        assert_eq!(
            decode(DType::F64, &f64::INFINITY.to_be_bytes(), 0),
            Err(FixedError::NotFinite)
        );
        assert_eq!(decode(DType::BF16, &[0x7f, 0xc0], 0), Err(FixedError::NotFinite));
        // -2^255 is the one magnitude that only the negative side has.
        assert_eq!(
            decode(DType::F64, &(-(255f64.exp2_exact())).to_be_bytes(), 0),
            Ok(I256::MIN)
        );
        assert_eq!(
            decode(DType::F64, &255f64.exp2_exact().to_be_bytes(), 0),
            Err(FixedError::OutOfRange)
        );
        assert!(Scale::new(DType::F32, 77).is_none());
    }

    #[test]
    fn small_formats_round_once() {
        // 1 + 2^-11 is a tie in f16 and would be rounded the other way by a detour over a wider type that rounds up first.
        for (value, decimals, bits) in [
            (100_048_828_125i128, 11, 0x3c00u16),    // 1 + 2^-11 exactly: tie, to even
            (100_048_828_125_000_001, 17, 0x3c01),   // just above
            (5_960_464_477_539_063, 23, 0x0001),     // just above 2^-24: the smallest subnormal
            (2_980_232_238_769_531_250, 26, 0x0000), // 2^-25 exactly: tie, to zero
            (2_980_232_238_769_531_251, 26, 0x0001), // just above
        ] {
            assert_eq!(
                encode(DType::F16, int(value), decimals).unwrap(),
                bits.to_be_bytes(),
                "{value}e-{decimals}"
            );
        }
        assert_eq!(encode(DType::Bool, int(-7), 3).unwrap(), [1]);
        assert_eq!(encode(DType::Bool, int(0), 3).unwrap(), [0]);
        assert_eq!(decode(DType::Bool, &[1], 2), Ok(int(100)));
    }

    /// Powers of two without the platform's mathematics.
    trait Exp2 {
        fn exp2_exact(self) -> f64;
    }
    impl Exp2 for f64 {
        fn exp2_exact(self) -> f64 {
            f64::from_bits((1023 + self as u64) << 52)
        }
    }
}
