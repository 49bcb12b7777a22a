//! Pools: windows cut to the input, so that their inner loop has no condition.

use std::ops::Range;

use super::reduction::in_lanes;
use crate::float::Float;
use crate::isa::multiversion;
use crate::reference::Order;
use crate::shape::{Axis, PoolShape};

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
                for (ow, out) in line.iter_mut().enumerate() {
                    let widths = over_input(width, ow);
                    let mut result = start;
                    for kd in depths.clone() {
                        let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                        for kh in heights.clone() {
                            let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                            let line = &plane[(d * height.input + h) * width.input..][..width.input];
                            for kw in widths.clone() {
                                result = take(
                                    result,
                                    line[ow * width.stride + kw * width.dilation - width.pad_begin],
                                );
                            }
                        }
                    }
                    *out = finish(result, [od, oh, ow], depths.len() * heights.len() * widths.len());
                }
            }
        }
    }
}
}

/// The values of [`crate::reference::max_pool`].
pub fn max_pool<T: Order>(shape: &PoolShape, x: &[T], out: &mut [T]) {
    each_window(shape, x, out, T::LOWEST, T::greater, |max, _, _| max);
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
            *out = in_lanes(&x[c * size..][..size], T::LOWEST, T::greater, T::greater);
        }
    }
}
