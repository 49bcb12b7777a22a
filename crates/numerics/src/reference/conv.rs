//! Convolutions over one, two or three axes of space.

use crate::float::Float;
use crate::shape::{ConvShape, Source};

/// y = conv(x, w) + bias, with x\[batch, channels, space\], w\[out channels, in channels of the group, taps\].
///
/// Each output element is one chain from +0.0 over (input channel, depth tap, height tap, width tap), ascending, the
/// last fastest: chain = fma(w, x, chain). A tap over padding multiplies with +0.0. The bias is added at the end
/// with its own rounding.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv<T: Float>(shape: &ConvShape, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    shape.check(x, w, bias, out);
    let [depth, height, width] = &shape.axes;
    let channel = |n, group, ci| (n * shape.groups + group) * shape.in_channels + ci;
    let mut position = 0;
    for n in 0..shape.batch {
        for group in 0..shape.groups {
            for co in 0..shape.out_channels {
                let output_channel = group * shape.out_channels + co;
                for (od, oh, ow) in positions(depth.output, height.output, width.output) {
                    let mut chain = T::ZERO;
                    let mut weight = output_channel * shape.terms();
                    for ci in 0..shape.in_channels {
                        let plane = &x[channel(n, group, ci) * shape.input_size()..][..shape.input_size()];
                        for (kd, kh, kw) in positions(depth.kernel, height.kernel, width.kernel) {
                            let tap = (
                                depth.element(od, kd),
                                height.element(oh, kh),
                                width.element(ow, kw),
                            );
                            let value = match tap {
                                (Some(d), Some(h), Some(w)) => {
                                    plane[(d * height.input + h) * width.input + w]
                                }
                                _ => T::ZERO,
                            };
                            chain = w[weight].fma(value, chain);
                            weight += 1;
                        }
                    }
                    out[position] = bias
                        .map_or(chain, |bias| chain + bias[output_channel])
                        .canonical();
                    position += 1;
                }
            }
        }
    }
}

/// y = transposed conv(x, w) + bias, with x\[batch, channels, space\], w\[in channels, out channels of the group, taps\].
///
/// Each output element is one chain from +0.0 over (input channel, depth tap, height tap, width tap), ascending.
/// A tap that would fall between two input elements (stride > 1) is no term; one that falls outside the input
/// multiplies with +0.0. The bias is added at the end.
///
/// # Panics
/// If a slice's length does not fit the shape.
pub fn conv_transpose<T: Float>(shape: &ConvShape, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    shape.check(x, w, bias, out);
    let [depth, height, width] = &shape.axes;
    let mut position = 0;
    for n in 0..shape.batch {
        for group in 0..shape.groups {
            for co in 0..shape.out_channels {
                for (od, oh, ow) in positions(depth.output, height.output, width.output) {
                    let mut chain = T::ZERO;
                    for ci in 0..shape.in_channels {
                        let input_channel = group * shape.in_channels + ci;
                        let plane =
                            &x[(n * shape.groups * shape.in_channels + input_channel) * shape.input_size()..];
                        let taps = &w[(input_channel * shape.out_channels + co) * shape.kernel_size()..];
                        let order = positions(depth.kernel, height.kernel, width.kernel);
                        for ((kd, kh, kw), &weight) in order.zip(taps) {
                            let sources = [depth.source(od, kd), height.source(oh, kh), width.source(ow, kw)];
                            let value = match sources {
                                [Source::Element(d), Source::Element(h), Source::Element(w)] => {
                                    plane[(d * height.input + h) * width.input + w]
                                }
                                _ if sources.contains(&Source::None) => continue,
                                _ => T::ZERO,
                            };
                            chain = weight.fma(value, chain);
                        }
                    }
                    let bias = bias.map(|bias| bias[group * shape.out_channels + co]);
                    out[position] = bias.map_or(chain, |bias| chain + bias).canonical();
                    position += 1;
                }
            }
        }
    }
}

/// All (d, h, w) of a box, the last fastest.
pub(super) fn positions(
    depth: usize,
    height: usize,
    width: usize,
) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| (d, h, w))))
}
