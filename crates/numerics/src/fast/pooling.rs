//! Pools: windows cut to the input, so that their inner loop has no condition.

use std::ops::Range;

use super::reduction::{in_any_order, in_lanes};
use crate::float::Float;
use crate::isa::multiversion;
use crate::pool;
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

/// The windows of which a tap lies over the input.
#[inline(always)]
fn windows_over_input(axis: &Axis, tap: usize) -> Range<usize> {
    let reach = tap * axis.dilation;
    let first = axis.pad_begin.saturating_sub(reach).div_ceil(axis.stride);
    let end = (axis.pad_begin + axis.input)
        .saturating_sub(reach)
        .div_ceil(axis.stride)
        .min(axis.output);
    first.min(end)..end
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
                            let windows = windows_over_input(width, kw);
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
                let windows = windows_over_input(width, kw);
                if !windows.is_empty() {
                    let first = windows.start * width.stride + kw * width.dilation - width.pad_begin;
                    take_each(&mut line[windows], &folded[first..], width.stride, T::greater);
                }
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
            let sum = in_lanes(&x[c * size..][..size], T::ZERO, |sum, x| sum + x, |a, b| a + b);
            *out = (sum / count).canonical();
        }
    }
}

multiversion! {
    /// The values of [`crate::reference::global_max_pool`].
    pub fn global_max_pool[T: Order](x: &[T], size: usize, out: &mut [T]) {
        assert_eq!(x.len(), size * out.len(), "input of a global pool");
        for (c, out) in out.iter_mut().enumerate() {
            *out = in_any_order(&x[c * size..][..size], T::LOWEST, T::greater);
        }
    }
}
