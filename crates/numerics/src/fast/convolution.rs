//! Convolutions of `f32`.
//!
//! A group of a convolution is the product of its weights (out channels × terms) and the matrix whose column for each output
//! position holds the elements under its taps. That matrix is never made: panels of sixteen columns are gathered into scratch
//! memory while the product runs, in the order of the terms (input channel, depth, height and width tap).
//!
//! With few output channels in a group (depthwise convolutions have one) most of a tile would be padding. There each term is
//! added to a whole row of output positions at once instead.
//!
//! A transposed convolution goes the second way too.

use super::matrix::{PackedRows, product_of_rows, rows_scratch};
use crate::float::Float;
use crate::isa::{Isa, multiversion};
use crate::reference;
use crate::shape::{Axis, ConvShape, Matrix, Source};

/// From as many output channels in a group on, a convolution is a product of matrices.
pub const CHANNELS_OF_A_PRODUCT: usize = 4;
/// Columns that are gathered together.
const COLUMNS: usize = 16;

/// Weights of a convolution, arranged for the kernel that will use them. They serve any extent of space.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvWeights {
    groups: usize,
    out_channels: usize,
    terms: usize,
    layout: Layout,
}

#[derive(Debug, Clone, PartialEq)]
enum Layout {
    /// One packed matrix for each group.
    Products(Vec<PackedRows>),
    /// As ONNX has them.
    Plain(Vec<f32>),
}

impl ConvWeights {
    /// Arranges the weights w\[groups·out channels, terms\], terms being the input channels of a group times the taps.
    ///
    /// # Panics
    /// If there are not as many weights as that.
    #[must_use]
    pub fn new(groups: usize, out_channels: usize, terms: usize, w: &[f32]) -> Self {
        let size = out_channels * terms;
        assert_eq!(w.len(), groups * size, "weights of a convolution");
        let layout = if goes_by_rows(out_channels, terms) {
            Layout::Plain(w.to_vec())
        } else {
            let pack = |w| PackedRows::new(out_channels, terms, Matrix::row_major(w, terms));
            Layout::Products(w.chunks_exact(size).map(pack).collect())
        };
        ConvWeights {
            groups,
            out_channels,
            terms,
            layout,
        }
    }
}

/// Whether a convolution adds each term to whole rows, rather than being a product of packed matrices.
fn goes_by_rows(out_channels: usize, terms: usize) -> bool {
    out_channels < CHANNELS_OF_A_PRODUCT || terms == 0
}

/// Scratch elements that [`conv`] and [`conv_packed`] want (room to arrange the weights is [`conv`]'s own).
#[must_use]
pub fn conv_scratch(shape: &ConvShape) -> usize {
    if goes_by_rows(shape.out_channels, shape.terms()) {
        padded_size(shape)
    } else {
        rows_scratch(shape.output_size(), shape.terms())
    }
}

/// y = conv(x, w) + bias; the bits of [`reference::conv`].
///
/// # Panics
/// If a slice does not fit the shape or the scratch memory is shorter than [`conv_scratch`].
pub fn conv(
    shape: &ConvShape,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    shape.check(x, w, bias, out);
    if Isa::current() == Isa::Scalar {
        return reference::conv(shape, x, w, bias, out);
    }
    let w = ConvWeights::new(shape.groups, shape.out_channels, shape.terms(), w);
    conv_packed(shape, &w, x, bias, out, scratch);
}

/// y = conv(x, w) + bias with the weights arranged before; the bits of [`reference::conv`].
///
/// # Panics
/// If a slice or the weights do not fit the shape or the scratch memory is shorter than [`conv_scratch`].
pub fn conv_packed(
    shape: &ConvShape,
    w: &ConvWeights,
    x: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    scratch: &mut [f32],
) {
    assert_eq!(
        (w.groups, w.out_channels, w.terms),
        (shape.groups, shape.out_channels, shape.terms()),
        "weights arranged for this convolution"
    );
    let shape = shape.simplified();
    let (input, output) = (shape.input_size(), shape.output_size());
    let channels = shape.groups * shape.out_channels;
    assert_eq!(
        x.len(),
        shape.batch * shape.groups * shape.in_channels * input,
        "input of a convolution"
    );
    assert_eq!(
        out.len(),
        shape.batch * channels * output,
        "output of a convolution"
    );
    assert!(
        bias.is_none_or(|bias| bias.len() == channels),
        "one bias for each output channel"
    );
    if out.is_empty() {
        return;
    }
    for (at, out) in out.chunks_exact_mut(shape.out_channels * output).enumerate() {
        let group = at % shape.groups;
        let x = &x[at * shape.in_channels * input..][..shape.in_channels * input];
        match &w.layout {
            Layout::Products(groups) => product_of_rows(
                &groups[group],
                output,
                out,
                scratch,
                |start, terms, first, panel| {
                    gather(&shape, x, start, terms, first, panel);
                },
            ),
            Layout::Plain(w) => {
                let size = shape.out_channels * shape.terms();
                by_rows(&shape, x, &w[group * size..][..size], out, scratch);
            }
        }
        let bias = bias.map(|bias| &bias[group * shape.out_channels..][..shape.out_channels]);
        add_bias(out, output, bias);
    }
}

multiversion! {
    /// Adds each channel's bias, if there are any, and leaves canonical NaNs.
    fn add_bias[](out: &mut [f32], size: usize, bias: Option<&[f32]>) {
        match bias {
            Some(bias) => {
                for (out, &bias) in out.chunks_exact_mut(size).zip(bias) {
                    for y in out {
                        *y = (*y + bias).canonical();
                    }
                }
            }
            None => {
                for y in out {
                    *y = y.canonical();
                }
            }
        }
    }
}

impl ConvShape {
    /// The same convolution with as few axes as possible: one of 1 × 1 taps sees no neighbours, so its space is one axis.
    fn simplified(&self) -> ConvShape {
        let plain = |axis: &Axis| Axis {
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad_begin: 0,
            ..*axis
        };
        let pointwise = self.axes.iter().all(|axis| {
            axis.output == axis.input
                && Axis {
                    dilation: 1,
                    pad_end: 0,
                    ..*axis
                } == Axis {
                    pad_end: 0,
                    ..plain(axis)
                }
        });
        if !pointwise {
            return *self;
        }
        let size = self.input_size();
        ConvShape {
            axes: [
                Axis::UNIT,
                Axis::UNIT,
                Axis {
                    input: size,
                    output: size,
                    ..Axis::UNIT
                },
            ],
            ..*self
        }
    }
}

/// Writes terms `start`… of the columns of sixteen output positions from `first`; +0.0 for padding and beyond the end.
fn gather(shape: &ConvShape, x: &[f32], start: usize, terms: usize, first: usize, panel: &mut [f32]) {
    let [depth, height, width] = &shape.axes;
    let last = (first + COLUMNS).min(shape.output_size());
    if last < first + COLUMNS {
        panel.fill(0.0);
    }
    let taps = shape.kernel_size();
    // the sixteen positions in pieces that lie in one row of the output
    let mut position = first;
    while position < last {
        let (row, ow) = (position / width.output, position % width.output);
        let (od, oh) = (row / height.output, row % height.output);
        let length = (width.output - ow).min(last - position);
        let column = position - first;
        let (mut channel, mut tap) = (start / taps, start % taps);
        for panel in panel.as_chunks_mut::<COLUMNS>().0.iter_mut().take(terms) {
            let target = &mut panel[column..column + length];
            let (kd, kh, kw) = (
                tap / (height.kernel * width.kernel),
                tap / width.kernel % height.kernel,
                tap % width.kernel,
            );
            match (depth.element(od, kd), height.element(oh, kh)) {
                (Some(d), Some(h)) => {
                    let line =
                        &x[((channel * depth.input + d) * height.input + h) * width.input..][..width.input];
                    copy_line(width, line, ow, kw, target);
                }
                _ => target.fill(0.0),
            }
            tap += 1;
            if tap == taps {
                (tap, channel) = (0, channel + 1);
            }
        }
        position += length;
    }
}

/// Writes the elements of a line of the input under one tap of consecutive windows from `window`.
#[inline(always)]
fn copy_line(width: &Axis, line: &[f32], window: usize, tap: usize, target: &mut [f32]) {
    let first = window * width.stride + tap * width.dilation;
    if width.stride == 1 && first >= width.pad_begin && first - width.pad_begin + target.len() <= line.len() {
        target.copy_from_slice(&line[first - width.pad_begin..][..target.len()]);
        return;
    }
    for (i, element) in target.iter_mut().enumerate() {
        let at = (first + i * width.stride).wrapping_sub(width.pad_begin);
        *element = line.get(at).copied().unwrap_or(0.0);
    }
}

/// Extent of an axis of the input that the windows see, padding included.
fn extent(axis: &Axis) -> usize {
    axis.output.saturating_sub(1) * axis.stride + (axis.kernel.saturating_sub(1)) * axis.dilation + 1
}

/// Elements of one channel of the input, padded.
fn padded_size(shape: &ConvShape) -> usize {
    shape.axes.iter().map(extent).fold(1, usize::saturating_mul)
}

/// A convolution that adds each term to whole rows of outputs. The chains lie in `out`.
fn by_rows(shape: &ConvShape, x: &[f32], w: &[f32], out: &mut [f32], scratch: &mut [f32]) {
    let [_, height, width] = &shape.axes;
    let (padded_height, padded_width) = (extent(height), extent(width));
    let padded = &mut scratch[..padded_size(shape)];
    out.fill(0.0);
    for ci in 0..shape.in_channels {
        pad(shape, &x[ci * shape.input_size()..][..shape.input_size()], padded);
        for (co, plane) in out.chunks_exact_mut(shape.output_size()).enumerate() {
            let taps = &w[(co * shape.in_channels + ci) * shape.kernel_size()..][..shape.kernel_size()];
            add_taps(&shape.axes, padded, (padded_height, padded_width), taps, plane);
        }
    }
}

multiversion! {
    /// Adds the products of one input channel's taps to the chains of an output channel.
    fn add_taps[](axes: &[Axis; 3], padded: &[f32], extents: (usize, usize), taps: &[f32], plane: &mut [f32]) {
        let [depth, height, width] = axes;
        let (padded_height, padded_width) = extents;
        for (row, line) in plane.chunks_exact_mut(width.output).enumerate() {
            let (od, oh) = (row / height.output, row % height.output);
            for (tap, &weight) in taps.iter().enumerate() {
                let (kd, kh) = (tap / (height.kernel * width.kernel), tap / width.kernel % height.kernel);
                let d = od * depth.stride + kd * depth.dilation;
                let h = oh * height.stride + kh * height.dilation;
                let start = (d * padded_height + h) * padded_width + tap % width.kernel * width.dilation;
                let source = &padded[start..];
                if width.stride == 1 {
                    for (chain, &x) in line.iter_mut().zip(source) {
                        *chain = weight.mul_add(x, *chain);
                    }
                } else {
                    for (chain, &x) in line.iter_mut().zip(source.iter().step_by(width.stride)) {
                        *chain = weight.mul_add(x, *chain);
                    }
                }
            }
        }
    }
}

/// Copies a channel of the input into the middle of its padding.
fn pad(shape: &ConvShape, plane: &[f32], padded: &mut [f32]) {
    let [depth, height, width] = &shape.axes;
    let (padded_height, padded_width) = (extent(height), extent(width));
    for (row, target) in padded.chunks_exact_mut(padded_width).enumerate() {
        let d = (row / padded_height)
            .checked_sub(depth.pad_begin)
            .filter(|&d| d < depth.input);
        let h = (row % padded_height)
            .checked_sub(height.pad_begin)
            .filter(|&h| h < height.input);
        let (Some(d), Some(h)) = (d, h) else {
            target.fill(0.0);
            continue;
        };
        let line = &plane[(d * height.input + h) * width.input..][..width.input];
        let begin = width.pad_begin.min(padded_width);
        let copied = line.len().min(padded_width - begin);
        target[..begin].fill(0.0);
        target[begin..begin + copied].copy_from_slice(&line[..copied]);
        target[begin + copied..].fill(0.0);
    }
}

/// y = transposed conv(x, w) + bias; the bits of [`reference::conv_transpose`].
///
/// # Panics
/// If a slice does not fit the shape.
pub fn conv_transpose<T: Float>(shape: &ConvShape, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    shape.check(x, w, bias, out);
    if out.is_empty() {
        return;
    }
    let output = shape.output_size();
    for (channel, plane) in out.chunks_exact_mut(output).enumerate() {
        let (image, co) = (channel / shape.out_channels, channel % shape.out_channels);
        let group = image % shape.groups;
        let size = shape.in_channels * shape.input_size();
        let bias = bias.map(|bias| bias[group * shape.out_channels + co]);
        let w = &w[group * shape.in_channels * shape.out_channels * shape.kernel_size()..];
        transpose_channel(shape, &x[image * size..][..size], w, co, bias, plane);
    }
}

multiversion! {
    /// One output channel of a transposed convolution, from its group's input and weights.
    fn transpose_channel[T: Float](
        shape: &ConvShape, x: &[T], w: &[T], co: usize, bias: Option<T>, plane: &mut [T]
    ) {
        let [depth, height, width] = &shape.axes;
        let taps = shape.kernel_size();
        for (row, line) in plane.chunks_exact_mut(width.output).enumerate() {
            let (od, oh) = (row / height.output, row % height.output);
            line.fill(T::ZERO);
            for ci in 0..shape.in_channels {
                let weights = &w[(ci * shape.out_channels + co) * taps..][..taps];
                for (tap, &weight) in weights.iter().enumerate() {
                    let (kd, kh) = (tap / (height.kernel * width.kernel), tap / width.kernel % height.kernel);
                    let source = match (depth.source(od, kd), height.source(oh, kh)) {
                        (Source::None, _) | (_, Source::None) => continue,
                        (Source::Element(d), Source::Element(h)) => {
                            &x[((ci * depth.input + d) * height.input + h) * width.input..][..width.input]
                        }
                        _ => &[],
                    };
                    spread(width, tap % width.kernel, weight, source, line);
                }
            }
            for y in line {
                *y = bias.map_or(*y, |bias| *y + bias).canonical();
            }
        }
    }
}

/// Adds a tap's products to the chains of a row of outputs; an empty `source` stands for a line beyond the input.
#[inline(always)]
fn spread<T: Float>(width: &Axis, tap: usize, weight: T, source: &[T], line: &mut [T]) {
    // the tap falls on every stride-th output from the first whose distance to it is a multiple of the stride
    let shift = tap * width.dilation;
    let first = (shift % width.stride + width.stride - width.pad_begin % width.stride) % width.stride;
    for (i, chain) in line.iter_mut().skip(first).step_by(width.stride).enumerate() {
        let element = (first + i * width.stride + width.pad_begin).wrapping_sub(shift);
        let x = if (element as isize) < 0 {
            None
        } else {
            source.get(element / width.stride)
        };
        *chain = weight.fma(x.copied().unwrap_or(T::ZERO), *chain);
    }
}
