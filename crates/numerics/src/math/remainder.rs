//! Remainders, exact: a − q·b, where the quotient q is truncated or floored to an integer.

use crate::float::Float;

/// The whole number m and exponent e with |x| = m·2^e, for x that is finite.
fn parts(x: f64) -> (u64, i32) {
    let bits = x.to_bits();
    let fraction = bits & ((1 << 52) - 1);
    match (bits >> 52) & 0x7ff {
        0 => (fraction, -1074),
        exponent => (fraction | 1 << 52, exponent as i32 - 1075),
    }
}

/// m·2^e, where m < 2^53 and the number is representable.
fn assemble(mut m: u64, mut e: i32) -> f64 {
    if m == 0 {
        return 0.0;
    }
    // as far up as the format allows: the leading bit to position 52, the exponent not below that of subnormals
    let shift = (m.leading_zeros() as i32 - 11).min(e + 1074);
    m <<= shift;
    e -= shift;
    if m < 1 << 52 {
        f64::from_bits(m)
    } else {
        f64::from_bits((m & ((1 << 52) - 1)) | ((e + 1075) as u64) << 52)
    }
}

/// a − trunc(a / b)·b, with the sign of a: C's `fmod`. NaN if a is infinite or b is zero.
#[must_use]
#[inline]
pub fn remainder(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() || Float::abs(a) == f64::INFINITY || b == 0.0 {
        return <f64 as Float>::NAN;
    }
    if Float::abs(a) < Float::abs(b) {
        return a;
    }
    let ((mut m, e), (divisor, least)) = (parts(a), parts(b));
    // |a| ≥ |b|, so its exponent is not below b's
    let mut distance = (e - least).max(0);
    m %= divisor;
    while distance > 0 && m != 0 {
        let step = distance.min(64);
        m = ((u128::from(m) << step) % u128::from(divisor)) as u64;
        distance -= step;
    }
    let magnitude = assemble(m, least);
    if a.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// a − floor(a / b)·b, with the sign of b, zeros too: Python's `%`. NaN if a is infinite or b is zero. Where the signs of a and b
/// differ the sum of remainder and b is rounded.
#[must_use]
#[inline]
pub fn modulo(a: f64, b: f64) -> f64 {
    let rest = remainder(a, b);
    if rest.is_nan() {
        rest
    } else if rest == 0.0 {
        if b.is_sign_negative() { -0.0 } else { 0.0 }
    } else if rest.is_sign_negative() != b.is_sign_negative() {
        rest + b
    } else {
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remainder_is_that_of_the_processor() {
        let mut state = 7_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state
        };
        let mut tried = 0;
        for _ in 0..200_000 {
            let (a, b) = (
                f64::from_bits(next()),
                f64::from_bits(next() >> (next() % 3) << (next() % 3)),
            );
            if a.is_nan() || b.is_nan() {
                continue;
            }
            let expected = a % b;
            let got = remainder(a, b);
            assert!(
                got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(),
                "{a:e} % {b:e}: {got:e}, not {expected:e}"
            );
            tried += 1;
        }
        assert!(tried > 100_000);
        assert_eq!(remainder(5.5, f64::from_bits(1)), 0.0);
        assert_eq!(remainder(f64::from_bits(7), f64::from_bits(4)), f64::from_bits(3));
        assert_eq!(
            remainder(f64::MIN_POSITIVE * 1.5, f64::MIN_POSITIVE),
            f64::MIN_POSITIVE / 2.0
        );
    }
}
