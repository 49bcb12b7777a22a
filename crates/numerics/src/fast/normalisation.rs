//! Normalisations and softmax.

use super::Transcendental;
use super::reduction::{in_any_order, in_lanes, tree};
use crate::float::Float;
use crate::isa::multiversion;
use crate::pool::{self, Disjoint};
use crate::reference::{LANES, Moments};
use crate::shape::ReduceShape;

/// The bits of [`Moments::of`].
#[inline(always)]
fn moments<T: Float>(x: &[T], epsilon: T) -> Moments<T> {
    let length = T::from_count(x.len());
    let mean = in_lanes(x, T::ZERO, |sum, x| sum + x, |a, b| a + b) / length;
    let squares = in_lanes(x, T::ZERO, |sum, x| (x - mean).fma(x - mean, sum), |a, b| a + b);
    Moments::from_sums(mean, squares / length, epsilon)
}

/// The bits of [`crate::reference::layer_norm`]; each row's mean and inverse deviation go into `moments`, where these are not empty.
///
/// # Panics
/// If a slice does not fit the others.
pub fn layer_norm<T: Float>(
    x: &[T],
    scale: &[T],
    bias: Option<&[T]>,
    epsilon: T,
    out: &mut [T],
    moments: [&mut [T]; 2],
) {
    assert_eq!(x.len(), out.len(), "output of a layer normalisation");
    assert!(
        bias.is_none_or(|bias| bias.len() == scale.len()),
        "as many biases as scales"
    );
    if scale.is_empty() {
        return;
    }
    let [means, deviations] = moments.map(Disjoint::new);
    pool::share(out, scale.len(), x.len() as u64 / 2, |first, out| {
        let x = &x[first..][..out.len()];
        let (row, rows) = (first / scale.len(), out.len() / scale.len());
        let of_rows = |all: usize| if all == 0 { 0..0 } else { row..row + rows };
        // SAFETY: pieces have rows of their own.
        let [means, deviations] = unsafe { [&means, &deviations].map(|all| all.slice(of_rows(all.len()))) };
        layer_norm_rows(x, scale, bias, epsilon, out, means, deviations);
    });
}

multiversion! {
    fn layer_norm_rows[T: Float](
        x: &[T], scale: &[T], bias: Option<&[T]>, epsilon: T, out: &mut [T], means: &mut [T], deviations: &mut [T]
    ) {
        let (mut means, mut deviations) = (means.iter_mut(), deviations.iter_mut());
        for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
            let Moments { mean, inverse_deviation } = moments(x, epsilon);
            if let Some(to) = means.next() {
                *to = mean;
            }
            if let Some(to) = deviations.next() {
                *to = inverse_deviation;
            }
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
    }
}

multiversion! {
    /// The bits of [`crate::reference::instance_norm`].
    pub fn instance_norm[T: Float](
        x: &[T], size: usize, scale: &[T], bias: &[T], epsilon: T, out: &mut [T]
    ) {
        assert_eq!(x.len(), out.len(), "output of an instance normalisation");
        assert_eq!(scale.len(), bias.len(), "as many biases as scales");
        if size == 0 || scale.is_empty() {
            return;
        }
        for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
            let (scale, bias) = (scale[c % scale.len()], bias[c % bias.len()]);
            let Moments { mean, inverse_deviation } = moments(x, epsilon);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = ((x - mean) * inverse_deviation).fma(scale, bias).canonical();
            }
        }
    }
}

multiversion! {
    /// The bits of [`crate::reference::batch_norm`].
    pub fn batch_norm[T: Float](
        x: &[T], size: usize, scale: &[T], bias: &[T], mean: &[T], variance: &[T], epsilon: T, out: &mut [T]
    ) {
        assert_eq!(x.len(), out.len(), "output of a batch normalisation");
        assert!(
            bias.len() == scale.len() && mean.len() == scale.len() && variance.len() == scale.len(),
            "one scale, bias, mean and variance for each channel"
        );
        if size == 0 || scale.is_empty() {
            return;
        }
        for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
            let c = c % scale.len();
            let factor = scale[c] / (variance[c] + epsilon).sqrt();
            let (mean, bias) = (mean[c], bias[c]);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = (x - mean).fma(factor, bias).canonical();
            }
        }
    }
}

multiversion! {
    /// The bits of [`crate::reference::rms_norm`].
    pub fn rms_norm[T: Float](x: &[T], scale: &[T], epsilon: T, out: &mut [T]) {
        assert_eq!(x.len(), out.len(), "output of a normalisation");
        if scale.is_empty() {
            return;
        }
        for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
            let squares = in_lanes(x, T::ZERO, |sum, x| x.fma(x, sum), |a, b| a + b);
            let inverse = T::ONE / (squares / T::from_count(x.len()) + epsilon).sqrt();
            for ((out, &x), &scale) in out.iter_mut().zip(x).zip(scale) {
                *out = (x * inverse * scale).canonical();
            }
        }
    }
}

multiversion! {
    /// The bits of [`crate::reference::group_norm`].
    pub fn group_norm[T: Float](
        x: &[T], size: usize, of_group: usize, scale: &[T], bias: &[T], epsilon: T, out: &mut [T]
    ) {
        assert_eq!(x.len(), out.len(), "output of a group normalisation");
        assert_eq!(scale.len(), bias.len(), "as many biases as scales");
        let whole = size * of_group;
        if whole == 0 || scale.is_empty() {
            return;
        }
        for (g, (x, out)) in x.chunks_exact(whole).zip(out.chunks_exact_mut(whole)).enumerate() {
            let Moments { mean, inverse_deviation } = moments(x, epsilon);
            for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
                let channel = (g * of_group + c) % scale.len();
                let (scale, bias) = (scale[channel], bias[channel]);
                for (out, &x) in out.iter_mut().zip(x) {
                    *out = ((x - mean) * inverse_deviation).fma(scale, bias).canonical();
                }
            }
        }
    }
}

/// Columns of a softmax along another axis than the last that are taken side by side.
const COLUMNS: usize = 64;

/// The bits of [`crate::reference::softmax`].
pub fn softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    on_threads(shape, x, out, |shape, x, out| {
        if shape.inner > 1 || !T::softmax_rows(shape.length, x, out) {
            softmax_of(shape, x, out);
        }
    });
}

/// The bits of [`crate::reference::log_softmax`].
pub fn log_softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    on_threads(shape, x, out, log_softmax_of);
}

/// Shares the outer dimension out.
fn on_threads<T: Float>(
    shape: &ReduceShape,
    x: &[T],
    out: &mut [T],
    compute: fn(&ReduceShape, &[T], &mut [T]),
) {
    assert_eq!(
        x.len(),
        shape.outer * shape.length * shape.inner,
        "input of a softmax"
    );
    assert_eq!(out.len(), x.len(), "output of a softmax");
    if x.is_empty() {
        return;
    }
    let slab = shape.length * shape.inner;
    pool::share(out, slab, x.len() as u64, |first, out| {
        let shape = ReduceShape {
            outer: out.len() / slab,
            ..*shape
        };
        compute(&shape, &x[first..][..out.len()], out);
    });
}

multiversion! {
    fn softmax_of[T: Float](shape: &ReduceShape, x: &[T], out: &mut [T]) {
        either_softmax(shape, x, out, |_, exponential, sum| exponential / sum, |sum| sum);
    }
}

multiversion! {
    fn log_softmax_of[T: Float](shape: &ReduceShape, x: &[T], out: &mut [T]) {
        either_softmax(shape, x, out, |difference, _, log| difference - log, T::log);
    }
}

/// A softmax that ends with `finish(x − m, e^(x − m), of_sum(Σ e^(x − m)))`.
#[inline(always)]
fn either_softmax<T: Float>(
    shape: &ReduceShape,
    x: &[T],
    out: &mut [T],
    finish: impl Fn(T, T, T) -> T + Copy,
    of_sum: impl Fn(T) -> T + Copy,
) {
    if shape.inner == 1 {
        for (x, out) in x
            .chunks_exact(shape.length)
            .zip(out.chunks_exact_mut(shape.length))
        {
            let max = in_any_order(x, -T::INFINITY, T::maximum);
            for (out, &x) in out.iter_mut().zip(x) {
                *out = x - max;
            }
            T::update_all(out, Transcendental::Exp);
            let sum = of_sum(in_lanes(out, T::ZERO, |sum, e| sum + e, |a, b| a + b));
            for (out, &x) in out.iter_mut().zip(x) {
                *out = finish(x - max, *out, sum).canonical();
            }
        }
        return;
    }
    let (slab, inner) = (shape.length * shape.inner, shape.inner);
    for (x, out) in x.chunks_exact(slab).zip(out.chunks_exact_mut(slab)) {
        for first in (0..inner).step_by(COLUMNS) {
            let columns = first..inner.min(first + COLUMNS);
            let mut max = [-T::INFINITY; COLUMNS];
            for row in x.chunks_exact(inner) {
                for (max, &x) in max.iter_mut().zip(&row[columns.clone()]) {
                    *max = max.maximum(x);
                }
            }
            for (x, out) in x.chunks_exact(inner).zip(out.chunks_exact_mut(inner)) {
                let out = &mut out[columns.clone()];
                for ((out, &x), &max) in out.iter_mut().zip(&x[columns.clone()]).zip(&max) {
                    *out = x - max;
                }
                if inner > COLUMNS {
                    T::update_all(out, Transcendental::Exp);
                }
            }
            if inner <= COLUMNS {
                // short rows: all of them at once
                T::update_all(out, Transcendental::Exp);
            }
            let mut lanes = [[T::ZERO; COLUMNS]; LANES];
            for (l, row) in out.chunks_exact(inner).enumerate() {
                for (sum, &e) in lanes[l % LANES].iter_mut().zip(&row[columns.clone()]) {
                    *sum = *sum + e;
                }
            }
            let sums = tree(lanes, |a, b| std::array::from_fn(|j| a[j] + b[j])).map(of_sum);
            for (x, out) in x.chunks_exact(inner).zip(out.chunks_exact_mut(inner)) {
                let operands = x[columns.clone()].iter().zip(&max).zip(&sums);
                for (out, ((&x, &max), &sum)) in out[columns.clone()].iter_mut().zip(operands) {
                    *out = finish(x - max, *out, sum).canonical();
                }
            }
        }
    }
}
