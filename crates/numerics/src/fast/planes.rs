//! Convolutions of any float type: the weight of a tap is multiplied with all elements that lie under it, a plane at a time.
//!
//! Every output element is still one chain over (input channel, taps) in ascending order; the chains of a plane grow side by side.

use crate::float::Float;
use crate::isa::multiversion;
use crate::shape::{Axis, ConvShape};

multiversion! {
    /// Adds the terms of one weight to a plane of chains.
    fn add_tap[T: Float](
        axes: &[Axis; 3], taps: [usize; 3], weight: T, x: &[T], chains: &mut [T]
    ) {
        let [depth, height, width] = axes;
        let inside = width.windows_over_input(taps[2]);
        // under the first of them
        let element = (inside.start * width.stride + taps[2] * width.dilation).saturating_sub(width.pad_begin);
        // over padding a weight multiplies with +0.0
        let outside = |chains: &mut [T]| chains.iter_mut().for_each(|chain| *chain = weight.fma(T::ZERO, *chain));
        for (row, chains) in chains.chunks_exact_mut(width.output).enumerate() {
            let place = (
                depth.element(row / height.output, taps[0]),
                height.element(row % height.output, taps[1]),
            );
            let (Some(d), Some(h)) = place else {
                outside(chains);
                continue;
            };
            let x = &x[(d * height.input + h) * width.input..][..width.input];
            outside(&mut chains[..inside.start]);
            outside(&mut chains[inside.end..]);
            let chains = &mut chains[inside.clone()];
            if chains.is_empty() {
                continue;
            }
            if width.stride == 1 {
                for (chain, &x) in chains.iter_mut().zip(&x[element..]) {
                    *chain = weight.fma(x, *chain);
                }
            } else {
                for (chain, &x) in chains.iter_mut().zip(x[element..].iter().step_by(width.stride)) {
                    *chain = weight.fma(x, *chain);
                }
            }
        }
    }
}

/// y = conv(x, w) + bias; the bits of [`crate::reference::conv`].
///
/// # Panics
/// If a slice does not fit the shape.
pub fn conv_planes<T: Float>(shape: &ConvShape, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    shape.check(x, w, bias, out);
    let (input, output) = (shape.input_size(), shape.output_size());
    if out.is_empty() {
        return;
    }
    let axes = merged(shape);
    let [depth, height, width] = &axes;
    let channels = shape.groups * shape.out_channels;
    for (index, chains) in out.chunks_exact_mut(output).enumerate() {
        let (image, channel) = (index / channels, index % channels);
        let group = channel / shape.out_channels;
        chains.fill(T::ZERO);
        let mut weights = w[channel * shape.terms()..][..shape.terms()].iter();
        for ci in 0..shape.in_channels {
            let plane = (image * shape.groups + group) * shape.in_channels + ci;
            let x = &x[plane * input..][..input];
            for kd in 0..depth.kernel {
                for kh in 0..height.kernel {
                    for (kw, &weight) in (0..width.kernel).zip(&mut weights) {
                        add_tap(&axes, [kd, kh, kw], weight, x, chains);
                    }
                }
            }
        }
        let bias = bias.map(|bias| bias[channel]);
        for chain in chains {
            *chain = bias.map_or(*chain, |bias| *chain + bias).canonical();
        }
    }
}

/// The axes of the same convolution, as one long one if a window is one element and windows lie on all elements in turn.
fn merged(shape: &ConvShape) -> [Axis; 3] {
    let plain = |axis: &Axis| {
        axis.kernel == 1 && axis.stride == 1 && axis.pad_begin == 0 && axis.input == axis.output
    };
    if !shape.axes.iter().all(plain) {
        return shape.axes;
    }
    let size = shape.input_size();
    let whole = Axis {
        input: size,
        output: size,
        ..Axis::UNIT
    };
    [Axis::UNIT, Axis::UNIT, whole]
}
