//! Products and convolutions of 8-bit integers: exact sums in 32 bits, wrapping, never saturating.

use crate::quantize::Byte;
use crate::shape::{ConvShape, Matrix};

/// out\[m, n\] = Σ over k of (a\[i, k\] − zero of row i) × (b\[k, j\] − zero of column j), modulo 2³².
///
/// # Panics
/// If a slice is too short for the shape.
#[expect(clippy::too_many_arguments, reason = "a product has this many operands")]
pub fn integer_gemm<A: Byte, B: Byte>(
    m: usize,
    n: usize,
    k: usize,
    a: Matrix<'_, A>,
    a_zero: impl Fn(usize) -> i32,
    b: Matrix<'_, B>,
    b_zero: impl Fn(usize) -> i32,
    out: &mut [i32],
) {
    for i in 0..m {
        for j in 0..n {
            let mut sum = 0i32;
            for p in 0..k {
                let (x, y) = (i32::from(a.at(i, p).widen()), i32::from(b.at(p, j).widen()));
                sum = sum.wrapping_add((x - a_zero(i)) * (y - b_zero(j)));
            }
            out[i * n + j] = sum;
        }
    }
}

/// A convolution of integers: Σ over (input channel, taps) of (x − x_zero) × (w − zero of the output channel), modulo 2³².
/// Padding stands for 0.
///
/// # Panics
/// If a slice is too short for the shape.
pub fn integer_conv<X: Byte, W: Byte>(
    shape: &ConvShape,
    x: &[X],
    x_zero: i32,
    w: &[W],
    w_zero: impl Fn(usize) -> i32,
    out: &mut [i32],
) {
    let [depth, height, width] = &shape.axes;
    let (input, output, taps) = (shape.input_size(), shape.output_size(), shape.kernel_size());
    let channels = shape.groups * shape.in_channels;
    let out_channels = shape.groups * shape.out_channels;
    for index in 0..shape.batch * out_channels {
        let (image, channel) = (index / out_channels, index % out_channels);
        let group = channel / shape.out_channels;
        for position in 0..output {
            let [od, oh, ow] = [
                position / width.output / height.output,
                position / width.output % height.output,
                position % width.output,
            ];
            let mut sum = 0i32;
            for term in 0..shape.in_channels * taps {
                let (ci, tap) = (term / taps, term % taps);
                let [kd, kh, kw] = [
                    tap / width.kernel / height.kernel,
                    tap / width.kernel % height.kernel,
                    tap % width.kernel,
                ];
                if let (Some(d), Some(h), Some(v)) = (
                    depth.element(od, kd),
                    height.element(oh, kh),
                    width.element(ow, kw),
                ) {
                    let plane = (image * channels + group * shape.in_channels + ci) * input;
                    let x = i32::from(x[plane + (d * height.input + h) * width.input + v].widen());
                    let w = i32::from(w[channel * shape.in_channels * taps + term].widen());
                    sum = sum.wrapping_add((x - x_zero) * (w - w_zero(channel)));
                }
            }
            out[index * output + position] = sum;
        }
    }
}
