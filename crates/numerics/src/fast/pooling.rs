//! Pools: windows cut to the input, so that their inner loop has no condition.

use std::ops::Range;

use super::integer::{Layout, change_layout};
use super::lanes::{first_lanes, on_isa};
use super::reduction::{first_in_lanes, in_any_order};
use super::tile::VECTOR;
use crate::float::Float;
use crate::isa::{Isa, multiversion};
use crate::pool::{self, Plain};
use crate::quantize::Byte;
use crate::reference::Order;
use crate::shape::{Axis, PoolShape};

/// Windows of a line from which on a tap is taken for all of them together.
const LANES: usize = 16;

/// The taps of a window that lie over the input.
#[inline(always)]
fn over_input(axis: &Axis, window: usize) -> Range<usize> {
    let start = window * axis.stride;
    let first = axis.pad_begin.saturating_sub(start).div_ceil(axis.dilation);
    let end = (axis.pad_begin + axis.input)
        .saturating_sub(start)
        .div_ceil(axis.dilation);
    first.min(axis.kernel)..end.min(axis.kernel)
}

/// out\[i\] = take(out\[i\], line\[i × stride\]).
#[inline(always)]
fn take_each<T: Copy>(out: &mut [T], line: &[T], stride: usize, take: impl Fn(T, T) -> T) {
    match stride {
        1 => {
            for (out, &x) in out.iter_mut().zip(line) {
                *out = take(*out, x);
            }
        }
        2 => {
            let (pairs, rest) = line.as_chunks::<2>();
            for (out, pair) in out.iter_mut().zip(pairs) {
                *out = take(*out, pair[0]);
            }
            if let (Some(out), [x]) = (out.get_mut(pairs.len()), rest) {
                *out = take(*out, *x);
            }
        }
        _ => {
            for (out, &x) in out.iter_mut().zip(line.iter().step_by(stride)) {
                *out = take(*out, x);
            }
        }
    }
}

/// The number of taps of a window that lie over the input or its padding.
#[inline(always)]
fn over_padding(axis: &Axis, window: usize) -> usize {
    (axis.pad_begin + axis.input + axis.pad_end)
        .saturating_sub(window * axis.stride)
        .div_ceil(axis.dilation)
        .min(axis.kernel)
}

multiversion! {
    /// Folds the elements under each window in ascending order, then hands the result and the window to `finish`.
    fn each_window[T: Copy, A: Fn(T, T) -> T + Copy, F: Fn(T, [usize; 3], usize) -> T + Copy](
        shape: &PoolShape, x: &[T], out: &mut [T], start: T, take: A, finish: F
    ) {
    assert_eq!(x.len(), shape.channels * shape.input_size(), "input of a pool");
    assert_eq!(
        out.len(),
        shape.channels * shape.output_size(),
        "output of a pool"
    );
    if out.is_empty() {
        return;
    }
    let [depth, height, width] = &shape.axes;
    let size = shape.input_size();
    {
        for (channel, out) in out.chunks_exact_mut(shape.output_size()).enumerate() {
            let plane = &x[channel * size..][..size];
            for (row, line) in out.chunks_exact_mut(width.output).enumerate() {
                let (od, oh) = (row / height.output, row % height.output);
                let (depths, heights) = (over_input(depth, od), over_input(height, oh));
                if line.len() < LANES {
                    for (ow, out) in line.iter_mut().enumerate() {
                        let widths = over_input(width, ow);
                        let mut result = start;
                        for kd in depths.clone() {
                            let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                            for kh in heights.clone() {
                                let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                                let x = &plane[(d * height.input + h) * width.input..][..width.input];
                                for kw in widths.clone() {
                                    let at = ow * width.stride + kw * width.dilation - width.pad_begin;
                                    result = take(result, x[at]);
                                }
                            }
                        }
                        *out = finish(result, [od, oh, ow], depths.len() * heights.len() * widths.len());
                    }
                    continue;
                }
                // a tap at a time over the whole line: each window still takes its elements in ascending order
                line.fill(start);
                for kd in depths.clone() {
                    let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                    for kh in heights.clone() {
                        let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                        let x = &plane[(d * height.input + h) * width.input..][..width.input];
                        for kw in 0..width.kernel {
                            let windows = width.windows_over_input(kw);
                            if windows.is_empty() {
                                continue;
                            }
                            let first = windows.start * width.stride + kw * width.dilation - width.pad_begin;
                            take_each(&mut line[windows], &x[first..], width.stride, take);
                        }
                    }
                }
                for (ow, out) in line.iter_mut().enumerate() {
                    let taps = depths.len() * heights.len() * over_input(width, ow).len();
                    *out = finish(*out, [od, oh, ow], taps);
                }
            }
        }
    }
}
}

/// Shares the channels out to the pool's threads.
fn shared<T: Copy + Send + Sync>(
    shape: &PoolShape,
    x: &[T],
    out: &mut [T],
    pool_channels: impl Fn(&PoolShape, &[T], &mut [T]) + Sync,
) {
    assert_eq!(x.len(), shape.channels * shape.input_size(), "input of a pool");
    let (from, to) = (shape.input_size(), shape.output_size());
    let taps: usize = shape.axes.iter().map(|axis| axis.kernel).product();
    // a tap takes about half a nanosecond
    let pieces = pool::pieces((out.len() as u64).saturating_mul(taps as u64) / 2).min(shape.channels);
    if pieces <= 1 || to == 0 {
        return pool_channels(shape, x, out);
    }
    let channels = shape.channels.div_ceil(pieces);
    pool::chunks(out, channels * to, |index, out| {
        let shape = PoolShape {
            channels: out.len() / to,
            ..*shape
        };
        pool_channels(
            &shape,
            &x[index * channels * from..][..shape.channels * from],
            out,
        );
    });
}

/// Elements of an input line that are folded at a time.
const LINE: usize = 512;

multiversion! {
    /// The greatest of each window. The order does not matter, so that lines are folded before columns: by whole vectors, and only
    /// once where windows overlap along a line.
    fn greatest[T: Order](shape: &PoolShape, x: &[T], out: &mut [T]) {
    let [depth, height, width] = &shape.axes;
    let (size, to) = (shape.input_size(), shape.output_size());
    let mut folded = [T::LOWEST; LINE];
    let folded = &mut folded[..width.input];
    for (channel, out) in out.chunks_exact_mut(to).enumerate() {
        let plane = &x[channel * size..][..size];
        for (row, line) in out.chunks_exact_mut(width.output).enumerate() {
            let (od, oh) = (row / height.output, row % height.output);
            let mut first = true;
            for kd in over_input(depth, od) {
                let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                for kh in over_input(height, oh) {
                    let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                    let x = &plane[(d * height.input + h) * width.input..][..width.input];
                    if std::mem::take(&mut first) {
                        folded.copy_from_slice(x);
                    } else {
                        take_each(folded, x, 1, T::greater);
                    }
                }
            }
            if first {
                folded.fill(T::LOWEST);
            }
            line.fill(T::LOWEST);
            for kw in 0..width.kernel {
                let windows = width.windows_over_input(kw);
                if !windows.is_empty() {
                    let first = windows.start * width.stride + kw * width.dilation - width.pad_begin;
                    take_each(&mut line[windows], &folded[first..], width.stride, T::greater);
                }
            }
        }
    }
}
}

/// [`max_pool`] of images with so many channels that come last: a window's pixels are folded whole.
///
/// # Panics
/// If the slices do not fit the shape, or the channels are not those of whole images.
pub fn max_pool_channels_last<T: Order + Send + Sync>(
    shape: &PoolShape,
    channels: usize,
    x: &[T],
    out: &mut [T],
) {
    let (from, to) = (shape.input_size() * channels, shape.output_size() * channels);
    assert_eq!(x.len(), shape.channels * shape.input_size(), "input of a pool");
    assert_eq!(
        out.len(),
        shape.channels * shape.output_size(),
        "output of a pool"
    );
    if out.is_empty() {
        return;
    }
    assert!(shape.channels.is_multiple_of(channels), "whole images");
    let taps: usize = shape.axes.iter().map(|axis| axis.kernel).product();
    // a vector of channels takes about a nanosecond
    let pieces = pool::pieces((out.len() as u64).saturating_mul(taps as u64) / 32);
    let rows = shape.output_size() / shape.axes[2].output;
    for (x, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        let of_piece = rows.div_ceil(pieces.min(rows));
        pool::chunks(out, of_piece * shape.axes[2].output * channels, |piece, out| {
            greatest_pixels(shape, channels, piece * of_piece, x, out);
        });
    }
}

/// [`max_pool_channels_last`] into images whose channels come first, if an image of the output fits the thread's memory.
///
/// # Panics
/// As [`max_pool_channels_last`]; if an image does not fit ([`can_put_first`]).
pub fn max_pool_channels_last_to_first<B: Byte + Order + Plain>(
    shape: &PoolShape,
    channels: usize,
    x: &[B],
    out: &mut [B],
) {
    let (from, to) = (shape.input_size() * channels, shape.output_size() * channels);
    if out.is_empty() {
        return;
    }
    let of_image = PoolShape { channels, ..*shape };
    for (x, out) in x.chunks_exact(from).zip(out.chunks_exact_mut(to)) {
        pool::with_buffer(to, |last: &mut [B]| {
            max_pool_channels_last(&of_image, channels, x, last);
            // SAFETY: a `Byte` is one byte, of which every bit pattern is a value.
            let (last, out) = unsafe {
                (
                    std::slice::from_raw_parts(last.as_ptr().cast::<u8>(), to),
                    std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), to),
                )
            };
            change_layout(last, channels, shape.output_size(), Layout::ChannelsFirst, out);
        });
    }
}

/// Whether an image of bytes of so many channels can be turned by [`max_pool_channels_last_to_first`].
#[must_use]
pub fn can_put_first(shape: &PoolShape, channels: usize) -> bool {
    shape.output_size().saturating_mul(channels) <= pool::BUFFER_BYTES
}

multiversion! {
    /// Rows of an image's outputs from row `first` on.
    fn greatest_pixels[T: Order](shape: &PoolShape, channels: usize, first: usize, x: &[T], out: &mut [T]) {
    let [depth, height, width] = &shape.axes;
    for (row, line) in out.chunks_exact_mut(width.output * channels).enumerate() {
        let (od, oh) = ((first + row) / height.output, (first + row) % height.output);
        for (ow, out) in line.chunks_exact_mut(channels).enumerate() {
            out.fill(T::LOWEST);
            for kd in over_input(depth, od) {
                let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                for kh in over_input(height, oh) {
                    let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                    for kw in over_input(width, ow) {
                        let w = ow * width.stride + kw * width.dilation - width.pad_begin;
                        let pixel = (d * height.input + h) * width.input + w;
                        take_each(out, &x[pixel * channels..][..channels], 1, T::greater);
                    }
                }
            }
        }
    }
}
}

/// [`max_pool`] of floats, by whole vectors: lines are folded into one with −∞ at its ends, then its windows are taken together.
pub fn max_pool_of_floats(shape: &PoolShape, x: &[f32], out: &mut [f32]) {
    let [.., width] = &shape.axes;
    if out.is_empty() || !(1..=2).contains(&width.stride) || line_of_windows(width) > LINE {
        return max_pool(shape, x, out);
    }
    let isa = Isa::current();
    shared(shape, x, out, |shape, x, out| {
        if out.is_empty() {
            return;
        }
        // SAFETY: the machine has the instruction set; a line of windows fits the buffer.
        unsafe {
            match shape.axes[2].stride {
                1 => greatest_of_floats::<1>(isa, shape, x, out),
                _ => greatest_of_floats::<2>(isa, shape, x, out),
            }
        }
    });
}

/// Elements that the windows of a line lie over, padding among them.
fn line_of_windows(axis: &Axis) -> usize {
    let taps = (axis.kernel - 1).saturating_mul(axis.dilation);
    (axis.output - 1)
        .saturating_mul(axis.stride)
        .saturating_add(taps)
        .saturating_add(1)
}

on_isa! {
    /// # Safety
    /// The machine must have the instruction set, and a line of windows at most [`LINE`] elements; there is an output.
    unsafe fn greatest_of_floats<L, const STRIDE: usize>(shape: &PoolShape, x: &[f32], out: &mut [f32]) {
        let [depth, height, width] = &shape.axes;
        let (size, to) = (shape.input_size(), shape.output_size());
        // vectors may be read beyond the last window
        let mut folded = [f32::NEG_INFINITY; LINE + 4 * VECTOR];
        let before = width.pad_begin.min(LINE);
        let length = width.input.min(line_of_windows(width).saturating_sub(before));
        let lowest = f32::NEG_INFINITY;
        for (channel, out) in out.chunks_exact_mut(to).enumerate() {
            let plane = &x[channel * size..][..size];
            for (row, line) in out.chunks_exact_mut(width.output).enumerate() {
                let (depths, heights) = (
                    over_input(depth, row / height.output),
                    over_input(height, row % height.output),
                );
                let (top, front) = (row % height.output * height.stride, row / height.output * depth.stride);
                let mut first = 0;
                while first < length {
                    let mask = first_lanes(VECTOR.min(length - first));
                    // SAFETY: the mask keeps within the lines of the plane and the buffer has room for the line.
                    unsafe {
                        let mut greatest = L::splat(&lowest);
                        for kd in depths.start..depths.end {
                            let d = front + kd * depth.dilation - depth.pad_begin;
                            for kh in heights.start..heights.end {
                                let h = top + kh * height.dilation - height.pad_begin;
                                let at = (d * height.input + h) * width.input + first;
                                let elements = L::load_some(plane[at..].as_ptr(), mask);
                                greatest = greatest.greater(elements);
                            }
                        }
                        greatest.store_some(folded[before + first..].as_mut_ptr(), mask);
                    }
                    first += VECTOR;
                }
                let mut first = 0;
                while first < width.output {
                    let mask = first_lanes(VECTOR.min(width.output - first));
                    // SAFETY: the buffer has room for whole vectors behind the line; the mask keeps within the output's.
                    unsafe {
                        let mut greatest = L::splat(&lowest);
                        for kw in 0..width.kernel {
                            let from = folded[first * STRIDE + kw * width.dilation..][..2 * VECTOR].as_ptr();
                            let elements = if STRIDE == 1 {
                                L::load(from)
                            } else {
                                L::load_pairs(from, u32::MAX).0
                            };
                            greatest = greatest.greater(elements);
                        }
                        greatest.store_some(line[first..].as_mut_ptr(), mask);
                    }
                    first += VECTOR;
                }
            }
        }
    }
}

/// The values of [`crate::reference::max_pool`].
pub fn max_pool<T: Order + Send + Sync>(shape: &PoolShape, x: &[T], out: &mut [T]) {
    shared(shape, x, out, |shape, x, out| {
        if out.is_empty() {
            return;
        }
        if shape.axes[2].input <= LINE {
            greatest(shape, x, out);
        } else {
            each_window(shape, x, out, T::LOWEST, T::greater, |max, _, _| max);
        }
    });
}

/// The bits of [`crate::reference::average_pool`].
pub fn average_pool<T: Float>(shape: &PoolShape, count_padding: bool, x: &[T], out: &mut [T]) {
    let axes = &shape.axes;
    each_window(
        shape,
        x,
        out,
        T::ZERO,
        |sum, x| sum + x,
        |sum, window, taps| {
            let count = if count_padding {
                (0..3)
                    .map(|axis| over_padding(&axes[axis], window[axis]))
                    .product()
            } else {
                taps
            };
            (sum / T::from_count(count)).canonical()
        },
    );
}

multiversion! {
    /// The bits of [`crate::reference::global_average_pool`].
    pub fn global_average_pool[T: Float](x: &[T], size: usize, out: &mut [T]) {
        assert_eq!(x.len(), size * out.len(), "input of a global pool");
        let count = T::from_count(size);
        for (c, out) in out.iter_mut().enumerate() {
            let sum = first_in_lanes(&x[c * size..], size, T::ZERO, |sum, x| sum + x, |a, b| a + b);
            *out = (sum / count).canonical();
        }
    }
}

/// The values of [`crate::reference::global_max_pool`].
///
/// # Panics
/// If the input has not `size` elements for each of the output.
pub fn global_max_pool<T: Order + Send + Sync>(x: &[T], size: usize, out: &mut [T]) {
    assert_eq!(x.len(), size * out.len(), "input of a global pool");
    // a vector takes about two nanoseconds
    pool::share(out, 1, x.len() as u64 / 8, |first, out| {
        greatest_of_each(&x[first * size..][..out.len() * size], size, out);
    });
}

multiversion! {
    /// The greatest of each `size` elements.
    fn greatest_of_each[T: Order](x: &[T], size: usize, out: &mut [T]) {
        for (c, out) in out.iter_mut().enumerate() {
            *out = in_any_order(&x[c * size..][..size], T::LOWEST, T::greater);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    #[test]
    fn the_place_of_channels_does_not_matter() {
        let axis = |input: usize, kernel: usize, stride: usize, pad: usize| Axis {
            input,
            output: (input + 2 * pad - kernel) / stride + 1,
            kernel,
            stride,
            dilation: 1,
            pad_begin: pad,
            pad_end: pad,
        };
        for (height, width) in [
            (axis(7, 3, 2, 1), axis(9, 2, 1, 0)),
            (axis(4, 2, 2, 0), axis(600, 3, 2, 1)),
            (axis(1, 1, 1, 0), axis(33, 3, 3, 1)),
        ] {
            let (images, channels) = (2, 5);
            let shape = PoolShape {
                channels: images * channels,
                axes: [Axis::UNIT, height, width],
            };
            let (from, to) = (shape.input_size(), shape.output_size());
            let mut state = 1u32;
            let x: Vec<u8> = (0..shape.channels * from)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            let mut expected = vec![0; shape.channels * to];
            reference::max_pool(&shape, &x, &mut expected, |_, _| {});
            let mut first = vec![0; expected.len()];
            max_pool(&shape, &x, &mut first);
            assert_eq!(first, expected);
            let turned: Vec<u8> = (0..x.len())
                .map(|at| {
                    let (image, pixel, channel) =
                        (at / (from * channels), at / channels % from, at % channels);
                    x[(image * channels + channel) * from + pixel]
                })
                .collect();
            let mut first = vec![0; expected.len()];
            max_pool_channels_last_to_first(&shape, channels, &turned, &mut first);
            assert_eq!(first, expected);
            let mut last = vec![0; expected.len()];
            max_pool_channels_last(&shape, channels, &turned, &mut last);
            for (at, &y) in last.iter().enumerate() {
                let (image, pixel, channel) = (at / (to * channels), at / channels % to, at % channels);
                assert_eq!(y, expected[(image * channels + channel) * to + pixel]);
            }
        }
    }
}
