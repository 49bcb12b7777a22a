//! Pools of images whose channels lie in blocks: a window's pixels are folded sixteen channels at a time.

use std::ops::Range;

use super::super::lanes::on_isa;
use super::super::reduction::tree;
use super::super::tile::VECTOR;
use super::turn;
use crate::float::Float;
use crate::isa::Isa;
use crate::pool::{self, Disjoint};
use crate::reference::LANES;
use crate::shape::{Axis, PoolShape};

/// Whether [`max_pool`] gives an output whose channels do not lie in blocks: a block of it fits a thread's memory.
#[must_use]
pub fn can_turn(shape: &PoolShape) -> bool {
    let positions = shape.output_size().checked_next_multiple_of(VECTOR);
    positions.is_some_and(|positions| positions <= pool::BUFFER_BYTES / 4 / VECTOR)
}

/// The values of [`crate::reference::max_pool`] of an input in blocks, into an output in blocks or not.
///
/// # Panics
/// If the slices do not fit the shape, or its channels blocks; if the output is too large to be turned ([`can_turn`]).
pub fn max_pool(shape: &PoolShape, x: &[f32], blocks: bool, out: &mut [f32]) {
    let (from, to) = (shape.input_size() * VECTOR, shape.output_size() * VECTOR);
    assert_eq!(x.len(), shape.channels * shape.input_size(), "input of a pool");
    assert_eq!(
        out.len(),
        shape.channels * shape.output_size(),
        "output of a pool"
    );
    assert!(shape.channels.is_multiple_of(VECTOR), "whole blocks");
    if out.is_empty() {
        return;
    }
    let (isa, taps) = (
        Isa::current(),
        shape.axes.iter().map(|axis| axis.kernel).product::<usize>(),
    );
    // a vector of channels takes about a nanosecond
    let pieces = pool::pieces((out.len() as u64).saturating_mul(taps as u64) / 16);
    let count = shape.channels / VECTOR;
    let pieces = pieces.min(count);
    let out = Disjoint::new(out);
    pool::run(pieces, &|piece| {
        for block in pool::part(count, 1, pieces, piece) {
            let x = &x[block * from..][..from];
            // SAFETY: this block is this piece's.
            let out = unsafe { out.slice(block * to..(block + 1) * to) };
            if blocks {
                // SAFETY: the machine has the instruction set.
                unsafe { greatest(isa, shape, x, out) };
                continue;
            }
            let positions = shape.output_size();
            pool::with_buffer(
                positions.next_multiple_of(VECTOR) * VECTOR,
                |buffer: &mut [f32]| {
                    // SAFETY: as above; the buffer has room for whole vectors of positions.
                    unsafe {
                        greatest(isa, shape, x, &mut buffer[..to]);
                        turn(
                            isa,
                            buffer.as_ptr(),
                            VECTOR,
                            VECTOR,
                            positions,
                            out.as_mut_ptr(),
                            positions,
                        );
                    }
                },
            );
        }
    });
}

/// The taps of a window that lie over the input.
#[inline(always)]
fn over_input(axis: &Axis, window: usize) -> Range<usize> {
    let start = window * axis.stride;
    if axis.dilation == 1 {
        // without a division: this is asked for every pixel
        let first = axis.pad_begin.saturating_sub(start);
        let end = (axis.pad_begin + axis.input).saturating_sub(start);
        return first.min(axis.kernel)..end.min(axis.kernel);
    }
    let first = axis.pad_begin.saturating_sub(start).div_ceil(axis.dilation);
    let end = (axis.pad_begin + axis.input)
        .saturating_sub(start)
        .div_ceil(axis.dilation);
    first.min(axis.kernel)..end.min(axis.kernel)
}

on_isa! {
    /// The greatest elements of one block.
    ///
    /// # Safety
    /// The machine must have the instruction set.
    unsafe fn greatest<L>(shape: &PoolShape, x: &[f32], out: &mut [f32]) {
        let [depth, height, width] = &shape.axes;
        let lowest = f32::NEG_INFINITY;
        assert_eq!(x.len(), shape.input_size() * VECTOR, "a block of the input");
        let mut position = 0;
        for od in 0..depth.output {
            let depths = over_input(depth, od);
            for oh in 0..height.output {
                let heights = over_input(height, oh);
                for ow in 0..width.output {
                    let widths = over_input(width, ow);
                    let count = widths.end.saturating_sub(widths.start);
                    let first = ow * width.stride + widths.start * width.dilation;
                    // SAFETY: taps over the input, which has sixteen elements for each pixel; so has the output (checked).
                    unsafe {
                        let mut greatest = L::splat(&lowest);
                        let mut kd = depths.start;
                        while kd < depths.end {
                            let d = od * depth.stride + kd * depth.dilation - depth.pad_begin;
                            let mut kh = heights.start;
                            while kh < heights.end {
                                let h = oh * height.stride + kh * height.dilation - height.pad_begin;
                                let line = (d * height.input + h) * width.input;
                                let mut pixel = (line + first).wrapping_sub(width.pad_begin);
                                for _ in 0..count {
                                    greatest = greatest.greater(L::load(x.as_ptr().add(pixel * VECTOR)));
                                    pixel += width.dilation;
                                }
                                kh += 1;
                            }
                            kd += 1;
                        }
                        greatest.store(out[position * VECTOR..][..VECTOR].as_mut_ptr());
                    }
                    position += 1;
                }
            }
        }
    }
}

/// The bits of [`crate::reference::global_average_pool`] of an input in blocks, whose channels have `size` elements.
///
/// # Panics
/// If the slices do not fit, or the channels blocks.
pub fn global_average_pool(x: &[f32], size: usize, out: &mut [f32]) {
    assert_eq!(x.len(), size * out.len(), "input of a global pool");
    assert!(out.len().is_multiple_of(VECTOR), "whole blocks");
    let (isa, count) = (Isa::current(), f32::from_count(size));
    for (x, out) in x
        .chunks_exact((size * VECTOR).max(1))
        .zip(out.chunks_exact_mut(VECTOR))
    {
        let mut lanes = [[0.0; VECTOR]; LANES];
        // SAFETY: the machine has the instruction set.
        unsafe { sum_in_lanes(isa, x, &mut lanes) };
        let sums = tree(lanes, |a, b| {
            std::array::from_fn(|channel| a[channel] + b[channel])
        });
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = (sum / count).canonical();
        }
    }
}

on_isa! {
    /// Adds the pixels of one block to the lanes of the definition: sixteen for each channel.
    ///
    /// # Safety
    /// The machine must have the instruction set.
    #[allow(clippy::needless_range_loop, reason = "loops of constant length over registers are unrolled as they are")]
    unsafe fn sum_in_lanes<L>(x: &[f32], lanes: &mut [[f32; 16]; LANES]) {
        let pixels = x.len() / VECTOR;
        // SAFETY: every pixel and lane has sixteen elements.
        unsafe {
            let mut sums = [L::zero(); LANES];
            let mut first = 0;
            while first + LANES <= pixels {
                for lane in 0..LANES {
                    sums[lane] = sums[lane].add(L::load(x.as_ptr().add((first + lane) * VECTOR)));
                }
                first += LANES;
            }
            for lane in 0..LANES {
                if first + lane < pixels {
                    sums[lane] = sums[lane].add(L::load(x.as_ptr().add((first + lane) * VECTOR)));
                }
                sums[lane].store(lanes[lane].as_mut_ptr());
            }
        }
    }
}
