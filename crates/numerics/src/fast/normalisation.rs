//! Normalisations and softmax.

use super::reduction::in_lanes;
use crate::float::Float;
use crate::isa::vectorised;
use crate::reference::Moments;
use crate::shape::ReduceShape;

/// The bits of [`Moments::of`].
#[inline(always)]
fn moments<T: Float>(x: &[T], epsilon: T) -> Moments<T> {
    let length = T::from_count(x.len());
    let mean = in_lanes(x, T::ZERO, |sum, x| sum + x, |a, b| a + b) / length;
    let squares = in_lanes(x, T::ZERO, |sum, x| (x - mean).fma(x - mean, sum), |a, b| a + b);
    Moments::from_sums(mean, squares / length, epsilon)
}

/// The bits of [`crate::reference::layer_norm`].
pub fn layer_norm<T: Float>(
    x: &[T],
    scale: &[T],
    bias: Option<&[T]>,
    epsilon: T,
    out: &mut [T],
    mut report: impl FnMut(Moments<T>),
) {
    assert_eq!(x.len(), out.len(), "output of a layer normalisation");
    assert!(
        bias.is_none_or(|bias| bias.len() == scale.len()),
        "as many biases as scales"
    );
    if scale.is_empty() {
        return;
    }
    vectorised(|| {
        for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
            let Moments {
                mean,
                inverse_deviation,
            } = moments(x, epsilon);
            report(Moments {
                mean,
                inverse_deviation,
            });
            let operands = out.iter_mut().zip(x).zip(scale);
            if let Some(bias) = bias {
                for (((out, &x), &scale), &bias) in operands.zip(bias) {
                    *out = ((x - mean) * inverse_deviation).fma(scale, bias).canonical();
                }
            } else {
                for ((out, &x), &scale) in operands {
                    *out = ((x - mean) * inverse_deviation * scale).canonical();
                }
            }
        }
    });
}

/// The bits of [`crate::reference::instance_norm`].
pub fn instance_norm<T: Float>(x: &[T], size: usize, scale: &[T], bias: &[T], epsilon: T, out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "output of an instance normalisation");
    assert_eq!(scale.len(), bias.len(), "as many biases as scales");
    if size == 0 || scale.is_empty() {
        return;
    }
    vectorised(|| {
        for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
            let (scale, bias) = (scale[c % scale.len()], bias[c % bias.len()]);
            let Moments {
                mean,
                inverse_deviation,
            } = moments(x, epsilon);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = ((x - mean) * inverse_deviation).fma(scale, bias).canonical();
            }
        }
    });
}

/// The bits of [`crate::reference::batch_norm`].
#[expect(clippy::too_many_arguments, reason = "the operator has this many operands")]
pub fn batch_norm<T: Float>(
    x: &[T],
    size: usize,
    scale: &[T],
    bias: &[T],
    mean: &[T],
    variance: &[T],
    epsilon: T,
    out: &mut [T],
) {
    // its loops are over independent elements already
    vectorised(|| crate::reference::batch_norm(x, size, scale, bias, mean, variance, epsilon, out));
}

/// The bits of [`crate::reference::softmax`].
pub fn softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    if shape.inner != 1 || shape.length == 0 {
        return vectorised(|| crate::reference::softmax(shape, x, out));
    }
    assert_eq!(x.len(), shape.outer * shape.length, "input of a softmax");
    assert_eq!(out.len(), x.len(), "output of a softmax");
    vectorised(|| {
        for (x, out) in x
            .chunks_exact(shape.length)
            .zip(out.chunks_exact_mut(shape.length))
        {
            let max = in_lanes(x, -T::INFINITY, T::maximum, T::maximum);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - max).exp();
            }
            let sum = in_lanes(out, T::ZERO, |sum, e| sum + e, |a, b| a + b);
            for out in out {
                *out = (*out / sum).canonical();
            }
        }
    });
}

/// The bits of [`crate::reference::log_softmax`].
pub fn log_softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    if shape.inner != 1 || shape.length == 0 {
        return vectorised(|| crate::reference::log_softmax(shape, x, out));
    }
    assert_eq!(x.len(), shape.outer * shape.length, "input of a softmax");
    assert_eq!(out.len(), x.len(), "output of a softmax");
    vectorised(|| {
        for (x, out) in x
            .chunks_exact(shape.length)
            .zip(out.chunks_exact_mut(shape.length))
        {
            let max = in_lanes(x, -T::INFINITY, T::maximum, T::maximum);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - max).exp();
            }
            let log = in_lanes(out, T::ZERO, |sum, e| sum + e, |a, b| a + b).log();
            for (out, &x) in out.iter_mut().zip(x) {
                *out = ((x - max) - log).canonical();
            }
        }
    });
}
