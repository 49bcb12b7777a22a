//! The same functions in `f64`: the algorithm is the definition, the error is at most a few ulp.

use super::circular;
use super::erf::erf_of_magnitude;
use super::exp::{exp_full, expm1_normal};
use super::log::log_normal;
use crate::float::Float;

/// e^x.
#[must_use]
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        <f64 as Float>::NAN
    } else {
        exp_full(x)
    }
}

/// sin x, rounded once from a sum of two `f64`: nearly always the nearest. NaN of what is not finite.
#[must_use]
pub fn sin(x: f64) -> f64 {
    if Float::abs(x) < f64::INFINITY {
        circular::sin(x).0
    } else {
        <f64 as Float>::NAN
    }
}

/// cos x, as [`sin`].
#[must_use]
pub fn cos(x: f64) -> f64 {
    if Float::abs(x) < f64::INFINITY {
        circular::cos(x).0
    } else {
        <f64 as Float>::NAN
    }
}

/// e^x − 1, without cancellation near zero; −0 of −0.
#[must_use]
#[inline(always)]
pub fn expm1(x: f64) -> f64 {
    if x.is_nan() {
        return <f64 as Float>::NAN;
    }
    let clamped = if x < 700.0 { x } else { 700.0 };
    let y = expm1_normal(if clamped > -50.0 { clamped } else { -50.0 });
    // e^x − 1 and e^x are the same number here, and only the latter can overflow
    let y = if x > 60.0 { exp_full(x) } else { y };
    if x == 0.0 { x } else { y }
}

/// Natural logarithm: −∞ of zero, NaN below.
#[must_use]
#[inline(always)]
pub fn log(x: f64) -> f64 {
    if x < 0.0 || x.is_nan() {
        return <f64 as Float>::NAN;
    }
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    if x < f64::MIN_POSITIVE {
        // 2^54 lifts every subnormal into the normal range
        let lifted = x * 18_014_398_509_481_984.0;
        return log_normal(lifted) - 54.0 * std::f64::consts::LN_2;
    }
    log_normal(x)
}

/// log(1 + x) for x in [0, 1], accurate for small x.
///
/// With u = 1 + x rounded, log(1 + x) = log u + (x − (u − 1))/u, the last term being what the rounding lost.
#[must_use]
#[inline(always)]
pub fn log1p_unit(x: f64) -> f64 {
    let u = 1.0 + x;
    log_normal(u) + (x - (u - 1.0)) / u
}

/// tanh x = (e^2x − 1) / (e^2x + 1); −0 of −0.
#[must_use]
#[inline(always)]
pub fn tanh(x: f64) -> f64 {
    if x.is_nan() {
        return <f64 as Float>::NAN;
    }
    let clamped = if x < 22.0 { x } else { 22.0 };
    let e = expm1_normal(2.0 * if clamped > -22.0 { clamped } else { -22.0 });
    if x == 0.0 { x } else { e / (e + 2.0) }
}

/// 1 / (1 + e^−x) for x ≥ 0, e^x / (1 + e^x) below, which neither overflows nor cancels.
#[must_use]
#[inline(always)]
pub fn sigmoid(x: f64) -> f64 {
    if x.is_nan() {
        return <f64 as Float>::NAN;
    }
    let e = exp_full(-Float::abs(x));
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// Error function; −0 of −0.
#[must_use]
#[inline(always)]
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return <f64 as Float>::NAN;
    }
    let magnitude = erf_of_magnitude(Float::abs(x));
    if x.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}
