//! Activations made of several functions. Each is a stated formula, computed in `f64` and rounded once to its
//! type, so that nothing is lost between the steps.

use super::double::{erf, expm1, log1p_unit, sigmoid, tanh};
use crate::float::Float;

/// √½
const SQRT_HALF: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// √(2/π), the constant of the tanh form of GELU.
pub(crate) const SQRT_2_OVER_PI: f64 = f64::from_bits(0x3fe9_8845_33d4_3651);

/// x for x ≥ 0, slope·x below, rounded in the type itself.
#[must_use]
#[inline(always)]
pub fn leaky_relu<T: Float>(x: T, slope: T) -> T {
    (if x < T::ZERO { slope * x } else { x }).canonical()
}

/// x for x > 0, alpha·(e^x − 1) else.
#[must_use]
#[inline(always)]
pub fn elu<T: Float>(x: T, alpha: f32) -> T {
    let alpha = f64::from(alpha);
    x.through_f64(|x| if x > 0.0 { x } else { alpha * expm1(x) })
}

/// x for x > 0, alpha·(e^(x / alpha) − 1) else.
#[must_use]
#[inline(always)]
pub fn celu<T: Float>(x: T, alpha: f32) -> T {
    let alpha = f64::from(alpha);
    x.through_f64(|x| if x > 0.0 { x } else { alpha * expm1(x / alpha) })
}

/// x·tanh(softplus(x)).
#[must_use]
#[inline(always)]
pub fn mish<T: Float>(x: T) -> T {
    // −∞ would be −∞·0; the limit is 0
    x.through_f64(|x| {
        if x == f64::NEG_INFINITY {
            -0.0
        } else {
            x * tanh(softplus(x))
        }
    })
}

/// x / (1 + e^(−alpha·x)), in `f64`: it is a factor of others.
#[must_use]
#[inline(always)]
pub fn swish(x: f64, alpha: f32) -> f64 {
    let gate = sigmoid(f64::from(alpha) * x);
    // an infinity that the gate shuts would be ∞·0; the limit is 0
    if gate == 0.0 && !x.is_nan() {
        if x < 0.0 { -0.0 } else { 0.0 }
    } else {
        x * gate
    }
}

/// gamma·x for x > 0, gamma·(alpha·(e^x − 1)) else.
#[must_use]
#[inline(always)]
pub fn selu<T: Float>(x: T, alpha: f32, gamma: f32) -> T {
    let (alpha, gamma) = (f64::from(alpha), f64::from(gamma));
    x.through_f64(|x| gamma * if x > 0.0 { x } else { alpha * expm1(x) })
}

/// log(1 + e^x) as max(x, 0) + log(1 + e^−|x|).
#[must_use]
#[inline(always)]
pub fn softplus<T: Float>(x: T) -> T {
    x.through_f64(|x| {
        let positive = if x > 0.0 { x } else { 0.0 };
        if x.is_nan() {
            x
        } else {
            positive + log1p_unit(super::double::exp(-Float::abs(x)))
        }
    })
}

/// 0.5·x·(1 + erf(x·√½)).
#[must_use]
#[inline(always)]
pub fn gelu<T: Float>(x: T) -> T {
    // −∞ would be −∞·0; the limit is 0
    x.through_f64(|x| {
        if x == f64::NEG_INFINITY {
            -0.0
        } else {
            0.5 * x * (1.0 + erf(x * SQRT_HALF))
        }
    })
}

/// The tanh form of GELU: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
#[must_use]
#[inline(always)]
pub fn gelu_tanh<T: Float>(x: T) -> T {
    x.through_f64(|x| {
        if x == f64::NEG_INFINITY {
            -0.0
        } else {
            0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044715 * (x * x * x))))
        }
    })
}

/// max(0, min(1, alpha·x + beta)), the product and sum fused.
#[must_use]
#[inline(always)]
pub fn hard_sigmoid<T: Float>(x: T, alpha: f32, beta: f32) -> T {
    T::from_f32(alpha)
        .fma(x, T::from_f32(beta))
        .minimum(T::ONE)
        .maximum(T::ZERO)
}

/// x·max(0, min(1, x/6 + 0.5)), where 1/6 is rounded to the type, product and sum fused.
#[must_use]
#[inline(always)]
pub fn hard_swish<T: Float>(x: T) -> T {
    let sixth = T::from_f64(1.0 / 6.0);
    (x * sixth.fma(x, T::HALF).minimum(T::ONE).maximum(T::ZERO)).canonical()
}
