//! Pools. Taps over padding are skipped.

use super::conv::positions;
use super::reduce::{Order, in_lanes};
use crate::float::Float;
use crate::math;
use crate::shape::PoolShape;

/// MaxPool: the greatest under each window, by [`Order::greater`]; the lowest value if the window holds only padding.
///
/// `winner` is called for each output element with its place, and the place within the channel's plane of the first tap
/// that no later one exceeds (the first NaN, if there is one).
pub fn max_pool<T: Order>(
    shape: &PoolShape,
    x: &[T],
    out: &mut [T],
    mut winner: impl FnMut(usize, [usize; 3]),
) {
    each_window(shape, x, out, |place, taps| {
        let (mut max, mut best) = (T::LOWEST, None::<(T, [usize; 3])>);
        for (at, x, _) in taps {
            let Some(x) = x else { continue };
            max = max.greater(x);
            if best.is_none_or(|(b, _)| !b.unordered() && (x.unordered() || x > b)) {
                best = Some((x, at));
            }
        }
        winner(place, best.map_or([0; 3], |(_, at)| at));
        max
    });
}

/// AveragePool: the sum of the taps in ascending order from +0.0, divided by their number.
///
/// The number is that of the taps over the input, or with `count_padding` also those over its padding. NaN if it is 0.
pub fn average_pool<T: Float>(shape: &PoolShape, count_padding: bool, x: &[T], out: &mut [T]) {
    each_window(shape, x, out, |_, taps| {
        let (mut sum, mut count) = (T::ZERO, 0);
        for (_, x, within_padding) in taps {
            if let Some(x) = x {
                sum = sum + x;
                count += 1;
            } else if count_padding && within_padding {
                count += 1;
            }
        }
        (sum / T::from_count(count)).canonical()
    });
}

/// LpPool: the p-norm of the taps, their powers added in ascending order from +0.0. For p = 2 the squares are fused into the sum.
pub fn norm_pool<T: Float>(shape: &PoolShape, p: u32, x: &[T], out: &mut [T]) {
    let exponent = f64::from(p);
    each_window(shape, x, out, |_, taps| {
        let terms = taps.filter_map(|(_, x, _)| x);
        match p {
            1 => terms.fold(T::ZERO, |sum, x| sum + x.abs()).canonical(),
            2 => terms.fold(T::ZERO, |sum, x| x.fma(x, sum)).sqrt().canonical(),
            _ => math::pow(
                terms.fold(T::ZERO, |sum, x| sum + math::pow(x.abs(), exponent)),
                1.0 / exponent,
            ),
        }
    });
}

/// GlobalAveragePool: the mean of each channel's plane of `size` elements, summed in lanes.
pub fn global_average_pool<T: Float>(x: &[T], size: usize, out: &mut [T]) {
    assert_eq!(x.len(), size * out.len(), "input of a global pool");
    for (c, out) in out.iter_mut().enumerate() {
        let plane = x[c * size..][..size].iter();
        *out = (in_lanes(plane, T::ZERO, |sum, &x| sum + x, |a, b| a + b) / T::from_count(size)).canonical();
    }
}

/// GlobalMaxPool: the greatest of each channel's plane of `size` elements.
pub fn global_max_pool<T: Order>(x: &[T], size: usize, out: &mut [T]) {
    assert_eq!(x.len(), size * out.len(), "input of a global pool");
    for (c, out) in out.iter_mut().enumerate() {
        *out = x[c * size..][..size]
            .iter()
            .fold(T::LOWEST, |max, &x| max.greater(x));
    }
}

/// Calls `pool` with the taps of each window: their place in the plane, their value if they are over the input, and whether
/// they are over the input or its padding.
fn each_window<T: Copy>(
    shape: &PoolShape,
    x: &[T],
    out: &mut [T],
    mut pool: impl FnMut(usize, &mut dyn Iterator<Item = ([usize; 3], Option<T>, bool)>) -> T,
) {
    assert_eq!(x.len(), shape.channels * shape.input_size(), "input of a pool");
    assert_eq!(
        out.len(),
        shape.channels * shape.output_size(),
        "output of a pool"
    );
    let [depth, height, width] = &shape.axes;
    let mut place = 0;
    for c in 0..shape.channels {
        let plane = &x[c * shape.input_size()..][..shape.input_size()];
        for (od, oh, ow) in positions(depth.output, height.output, width.output) {
            let mut taps = positions(depth.kernel, height.kernel, width.kernel).map(|(kd, kh, kw)| {
                let within = depth.within_padding(od, kd)
                    && height.within_padding(oh, kh)
                    && width.within_padding(ow, kw);
                match (
                    depth.element(od, kd),
                    height.element(oh, kh),
                    width.element(ow, kw),
                ) {
                    (Some(d), Some(h), Some(w)) => (
                        [d, h, w],
                        Some(plane[(d * height.input + h) * width.input + w]),
                        within,
                    ),
                    _ => ([0; 3], None, within),
                }
            });
            out[place] = pool(place, &mut taps);
            place += 1;
        }
    }
}
