//! Normalisations.

use super::reduce::in_lanes;
use crate::float::Float;

/// Mean and 1/√(variance + epsilon) of one normalised group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moments<T> {
    /// Sum in lanes divided by the length.
    pub mean: T,
    /// 1 / √(v + epsilon), where v = Σ fma(d, d, lane) / length over d = x − mean.
    pub inverse_deviation: T,
}

impl<T: Float> Moments<T> {
    /// The moments of a group.
    pub fn of(x: &[T], epsilon: T) -> Self {
        let length = T::from_count(x.len());
        let mean = in_lanes(x.iter(), T::ZERO, |sum, &x| sum + x, |a, b| a + b) / length;
        let squares = in_lanes(
            x.iter(),
            T::ZERO,
            |sum, &x| (x - mean).fma(x - mean, sum),
            |a, b| a + b,
        );
        Moments::from_sums(mean, squares / length, epsilon)
    }

    pub(crate) fn from_sums(mean: T, variance: T, epsilon: T) -> Self {
        let inverse_deviation = T::ONE / (variance + epsilon).sqrt();
        Moments {
            mean: mean.canonical(),
            inverse_deviation: inverse_deviation.canonical(),
        }
    }
}

/// LayerNormalization over rows of `scale.len()` elements: with n = (x − mean) · inverse deviation, y = fma(n, scale, bias),
/// or n · scale without bias. The moments of each row are handed to `moments`.
pub fn layer_norm<T: Float>(
    x: &[T],
    scale: &[T],
    bias: Option<&[T]>,
    epsilon: T,
    out: &mut [T],
    mut moments: impl FnMut(Moments<T>),
) {
    assert_eq!(x.len(), out.len(), "output of a layer normalisation");
    assert!(
        bias.is_none_or(|bias| bias.len() == scale.len()),
        "as many biases as scales"
    );
    if scale.is_empty() {
        return;
    }
    for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
        let of_row = Moments::of(x, epsilon);
        moments(of_row);
        for i in 0..scale.len() {
            let n = (x[i] - of_row.mean) * of_row.inverse_deviation;
            out[i] = bias
                .map_or(n * scale[i], |bias| n.fma(scale[i], bias[i]))
                .canonical();
        }
    }
}

/// InstanceNormalization of x\[batch, channels, size\]: with n = (x − mean) · inverse deviation of each image's channel,
/// y = fma(n, scale, bias).
pub fn instance_norm<T: Float>(x: &[T], size: usize, scale: &[T], bias: &[T], epsilon: T, out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "output of an instance normalisation");
    assert_eq!(scale.len(), bias.len(), "as many biases as scales");
    if size == 0 || scale.is_empty() {
        return;
    }
    for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
        let channel = c % scale.len();
        let moments = Moments::of(x, epsilon);
        for (x, out) in x.iter().zip(out) {
            *out = ((*x - moments.mean) * moments.inverse_deviation)
                .fma(scale[channel], bias[channel])
                .canonical();
        }
    }
}

/// BatchNormalization of x\[batch, channels, size\] with given moments: y = fma(x − mean, factor, bias), where
/// factor = scale / √(variance + epsilon).
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
    assert_eq!(x.len(), out.len(), "output of a batch normalisation");
    assert!(
        bias.len() == scale.len() && mean.len() == scale.len() && variance.len() == scale.len(),
        "one scale, bias, mean and variance for each channel"
    );
    if size == 0 || scale.is_empty() {
        return;
    }
    for (c, (x, out)) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)).enumerate() {
        let channel = c % scale.len();
        let factor = scale[channel] / (variance[channel] + epsilon).sqrt();
        for (x, out) in x.iter().zip(out) {
            *out = (*x - mean[channel]).fma(factor, bias[channel]).canonical();
        }
    }
}

/// Mean and (population) variance of each channel of x\[batch, channels, size\], over images and space in ascending order, in
/// lanes: what BatchNormalization normalises with while it trains.
pub fn batch_moments<T: Float>(x: &[T], channels: usize, size: usize, mean: &mut [T], variance: &mut [T]) {
    assert!(
        mean.len() == channels && variance.len() == channels,
        "one mean and variance for each channel"
    );
    if channels == 0 {
        return;
    }
    for c in 0..channels {
        let of_channel = || x.chunks(size.max(1)).skip(c).step_by(channels).flatten();
        let count = T::from_count(of_channel().count());
        let average = in_lanes(of_channel(), T::ZERO, |sum, &x| sum + x, |a, b| a + b) / count;
        let squares = in_lanes(
            of_channel(),
            T::ZERO,
            |sum, &x| (x - average).fma(x - average, sum),
            |a, b| a + b,
        );
        mean[c] = average.canonical();
        variance[c] = (squares / count).canonical();
    }
}

/// RMSNormalization over rows of `scale.len()` elements: with r = 1 / √(Σ fma(x, x) / n + epsilon), y = x · r · scale.
pub fn rms_norm<T: Float>(x: &[T], scale: &[T], epsilon: T, out: &mut [T]) {
    assert_eq!(x.len(), out.len(), "output of a normalisation");
    if scale.is_empty() {
        return;
    }
    for (x, out) in x.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
        let squares = in_lanes(x.iter(), T::ZERO, |sum, &x| x.fma(x, sum), |a, b| a + b);
        let root = (squares / T::from_count(x.len()) + epsilon).sqrt();
        let inverse = T::ONE / root;
        for i in 0..x.len() {
            out[i] = (x[i] * inverse * scale[i]).canonical();
        }
    }
}

/// GroupNormalization of x\[batch, channels, size\] in groups of `of_group` channels side by side: with n = (x − mean) · inverse
/// deviation of the group, y = fma(n, scale, bias) of the channel.
pub fn group_norm<T: Float>(
    x: &[T],
    size: usize,
    of_group: usize,
    scale: &[T],
    bias: &[T],
    epsilon: T,
    out: &mut [T],
) {
    assert_eq!(x.len(), out.len(), "output of a group normalisation");
    assert_eq!(scale.len(), bias.len(), "as many biases as scales");
    let whole = size * of_group;
    if whole == 0 || scale.is_empty() {
        return;
    }
    for (g, (x, out)) in x.chunks_exact(whole).zip(out.chunks_exact_mut(whole)).enumerate() {
        let moments = Moments::of(x, epsilon);
        for i in 0..whole {
            let channel = (g * of_group + i / size) % scale.len();
            out[i] = ((x[i] - moments.mean) * moments.inverse_deviation)
                .fma(scale[channel], bias[channel])
                .canonical();
        }
    }
}
