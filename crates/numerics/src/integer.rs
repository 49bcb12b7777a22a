//! Integer arithmetic, and conversions between integers and floats, where ONNX leaves cases open.
//!
//! Sums, differences, products and negations wrap. Division truncates; by zero it gives 0; the smallest divided by −1
//! wraps to itself. A float becomes an integer by truncation, held within the type's range; NaN becomes 0. An integer
//! becomes a narrower one by dropping high bits. Anything but zero becomes `true`, NaN too.

/// Integer types of tensors.
pub trait Integer: Copy + Ord + Default + Send + Sync + 'static {
    /// Sum, wrapping.
    #[must_use]
    fn add(self, other: Self) -> Self;
    /// Difference, wrapping.
    #[must_use]
    fn sub(self, other: Self) -> Self;
    /// Product, wrapping.
    #[must_use]
    fn mul(self, other: Self) -> Self;
    /// Quotient towards zero; 0 if `other` is 0; wraps.
    #[must_use]
    fn div(self, other: Self) -> Self;
    /// Negation, wrapping.
    #[must_use]
    fn neg(self) -> Self;
    /// Magnitude, wrapping: the smallest stays itself.
    #[must_use]
    fn abs(self) -> Self;
    /// −1, 0 or 1.
    #[must_use]
    fn sign(self) -> Self;
    /// self^exponent, wrapping. A negative exponent gives the truncated reciprocal: ±1 for a base of ±1, else 0 (0 for a
    /// base of 0 too).
    #[must_use]
    fn pow(self, exponent: i64) -> Self;
    /// The bits that both have.
    #[must_use]
    fn and(self, other: Self) -> Self;
    /// The bits that either has.
    #[must_use]
    fn or(self, other: Self) -> Self;
    /// The bits that one of the two has.
    #[must_use]
    fn xor(self, other: Self) -> Self;
    /// Shifted to the left; 0 if by less than 0 or by the width and more.
    #[must_use]
    fn shift_left(self, by: Self) -> Self;
    /// Shifted to the right, the sign shifted in; nothing but that if by less than 0 or by the width and more.
    #[must_use]
    fn shift_right(self, by: Self) -> Self;
    /// To the widest type.
    fn to_i128(self) -> i128;
    /// From the widest type, dropping high bits.
    fn wrap(value: i128) -> Self;
    /// From a float: truncated, held within range; NaN gives 0.
    fn from_float(value: f64) -> Self;
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Integer for $t {
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline(always)]
            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline(always)]
            fn div(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            #[inline(always)]
            fn neg(self) -> Self {
                self.wrapping_neg()
            }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one macro for signed and unsigned")]
            fn abs(self) -> Self {
                if self < 0 { self.wrapping_neg() } else { self }
            }
            #[inline(always)]
            #[allow(unused_comparisons, reason = "one macro for signed and unsigned")]
            fn sign(self) -> Self {
                if self > 0 {
                    1
                } else if self < 0 {
                    (0 as Self).wrapping_sub(1)
                } else {
                    0
                }
            }
            #[inline]
            #[allow(unused_comparisons, reason = "one macro for signed and unsigned")]
            fn pow(self, exponent: i64) -> Self {
                if exponent >= 0 {
                    // the low bits of a product depend on the low bits of its factors only
                    return crate::math::powi_wrapping(self as i64, exponent as u64) as Self;
                }
                let minus_one = (0 as Self).wrapping_sub(1);
                if self == 1 || (self < 0 && self == minus_one && exponent % 2 == 0) {
                    1
                } else if self < 0 && self == minus_one {
                    minus_one
                } else {
                    0
                }
            }
            #[inline(always)]
            fn and(self, other: Self) -> Self {
                self & other
            }
            #[inline(always)]
            fn or(self, other: Self) -> Self {
                self | other
            }
            #[inline(always)]
            fn xor(self, other: Self) -> Self {
                self ^ other
            }
            #[inline(always)]
            fn shift_left(self, by: Self) -> Self {
                // a negative shift is a huge one as an unsigned number
                if (by as u64) < u64::from(Self::BITS) { self << by } else { 0 }
            }
            #[inline(always)]
            fn shift_right(self, by: Self) -> Self {
                let last = Self::BITS - 1;
                if (by as u64) < u64::from(Self::BITS) { self >> by } else { (self >> last) >> 1 }
            }
            #[inline(always)]
            fn to_i128(self) -> i128 {
                i128::from(self)
            }
            #[inline(always)]
            fn wrap(value: i128) -> Self {
                value as Self
            }
            #[inline(always)]
            fn from_float(value: f64) -> Self {
                value as Self
            }
        }
    )*};
}
integer!(i8, i16, i32, i64, u8, u16, u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_onnx_leaves_open_is_defined() {
        assert_eq!(Integer::add(i8::MAX, 1), i8::MIN);
        assert_eq!(Integer::div(7_i32, 0), 0);
        assert_eq!(Integer::div(i64::MIN, -1), i64::MIN);
        assert_eq!(Integer::div(-7_i32, 2), -3);
        assert_eq!(Integer::abs(i16::MIN), i16::MIN);
        assert_eq!(Integer::sign(-5_i64), -1);
        assert_eq!(Integer::sign(5_u8), 1);
        assert_eq!(<u8 as Integer>::from_float(-1.5), 0);
        assert_eq!(<u8 as Integer>::from_float(1e9), 255);
        assert_eq!(<i32 as Integer>::from_float(f64::NAN), 0);
        assert_eq!(<i32 as Integer>::from_float(-2.9), -2);
        assert_eq!(<i8 as Integer>::wrap(200), -56);
    }

    #[test]
    fn powers_wrap_and_truncate() {
        assert_eq!(Integer::pow(3_i32, 4), 81);
        assert_eq!(Integer::pow(-2_i64, 63), i64::MIN);
        assert_eq!(Integer::pow(2_u8, 9), 0);
        assert_eq!(Integer::pow(7_u8, 3), 87);
        assert_eq!(Integer::pow(2_i32, -1), 0);
        assert_eq!(Integer::pow(-1_i32, -3), -1);
        assert_eq!(Integer::pow(-1_i32, -4), 1);
        assert_eq!(Integer::pow(u64::MAX, -2), 0);
        assert_eq!(Integer::pow(0_i32, 0), 1);
    }
}
