//! Reductions: sixteen interleaved lanes and one fixed tree.
//!
//! Element i of the reduced length goes to lane i mod 16, ascending; then lane l takes lane l + 8 for l < 8, then
//! l + 4 for l < 4, l + 2 for l < 2, l + 1. The order depends on the reduced length and on nothing else, suits every
//! vector width up to sixteen, and its error grows with a sixteenth of the length.

use crate::float::Float;
use crate::shape::ReduceShape;

/// Lanes of a reduction.
pub const LANES: usize = 16;

/// Combines the lanes of a reduction.
#[must_use]
#[inline(always)]
pub fn tree<T: Copy>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    for half in [8, 4, 2, 1] {
        for l in 0..half {
            lanes[l] = combine(lanes[l], lanes[l + half]);
        }
    }
    lanes[0]
}

/// Reduces values in lanes that start at `start`.
pub(crate) fn in_lanes<T: Copy, S: Copy>(
    values: impl Iterator<Item = T>,
    start: S,
    take: impl Fn(S, T) -> S,
    combine: impl Fn(S, S) -> S,
) -> S {
    let mut lanes = [start; LANES];
    for (i, value) in values.enumerate() {
        lanes[i % LANES] = take(lanes[i % LANES], value);
    }
    tree(lanes, combine)
}

/// The sum of values in lanes; +0.0 of nothing.
pub fn sum_in_lanes<T: Float>(values: impl Iterator<Item = T>) -> T {
    in_lanes(values, T::ZERO, |sum, x| sum + x, |a, b| a + b)
}

/// Calls `reduce` with the values of each output element.
fn each<T: Copy, U>(
    shape: &ReduceShape,
    x: &[T],
    out: &mut [U],
    reduce: impl Fn(&mut dyn Iterator<Item = T>) -> U,
) {
    assert_eq!(
        x.len(),
        shape.outer * shape.length * shape.inner,
        "input of a reduction"
    );
    assert_eq!(out.len(), shape.outer * shape.inner, "output of a reduction");
    for o in 0..shape.outer {
        for i in 0..shape.inner {
            let element = |l| x[(o * shape.length + l) * shape.inner + i];
            out[o * shape.inner + i] = reduce(&mut (0..shape.length).map(element));
        }
    }
}

/// Sums; +0.0 of nothing.
pub fn reduce_sum<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    each(shape, x, out, |values| {
        in_lanes(values, T::ZERO, |sum, x| sum + x, |a, b| a + b).canonical()
    });
}

/// Sums of squares, each square fused into its lane: lane = fma(x, x, lane).
pub fn reduce_sum_of_squares<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    each(shape, x, out, |values| {
        in_lanes(values, T::ZERO, |sum, x| x.fma(x, sum), |a, b| a + b).canonical()
    });
}

/// Sums divided by the length; NaN of nothing.
pub fn reduce_mean<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    let length = T::from_count(shape.length);
    each(shape, x, out, |values| {
        (in_lanes(values, T::ZERO, |sum, x| sum + x, |a, b| a + b) / length).canonical()
    });
}

/// Products; 1 of nothing.
pub fn reduce_product<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    each(shape, x, out, |values| {
        in_lanes(values, T::ONE, |product, x| product * x, |a, b| a * b).canonical()
    });
}

/// Which end of the order is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extreme {
    /// The greatest.
    Max,
    /// The smallest.
    Min,
}

/// What can be ordered: floats with [`Float::maximum`]'s rule, integers, booleans.
pub trait Order: Copy + PartialOrd {
    /// The greater of two.
    #[must_use]
    fn greater(self, other: Self) -> Self;
    /// The smaller of two.
    #[must_use]
    fn smaller(self, other: Self) -> Self;
    /// Below every other value: what the maximum of nothing is.
    const LOWEST: Self;
    /// Above every other value: what the minimum of nothing is.
    const HIGHEST: Self;
    /// Whether this is not a number.
    fn unordered(self) -> bool;
}

macro_rules! order_of_floats {
    ($($t:ty),*) => {$(
        impl Order for $t {
            const LOWEST: Self = <$t>::NEG_INFINITY;
            const HIGHEST: Self = <$t>::INFINITY;
            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                Float::maximum(self, other)
            }
            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                Float::minimum(self, other)
            }
            #[inline(always)]
            fn unordered(self) -> bool {
                Float::is_nan(self)
            }
        }
    )*};
}
order_of_floats!(f32, f64);

macro_rules! order_of_integers {
    ($($t:ty: $low:expr, $high:expr;)*) => {$(
        impl Order for $t {
            const LOWEST: Self = $low;
            const HIGHEST: Self = $high;
            #[inline(always)]
            fn greater(self, other: Self) -> Self {
                Ord::max(self, other)
            }
            #[inline(always)]
            fn smaller(self, other: Self) -> Self {
                Ord::min(self, other)
            }
            #[inline(always)]
            fn unordered(self) -> bool {
                false
            }
        }
    )*};
}
order_of_integers! {
    i8: i8::MIN, i8::MAX; i16: i16::MIN, i16::MAX; i32: i32::MIN, i32::MAX; i64: i64::MIN, i64::MAX;
    u8: u8::MIN, u8::MAX; u16: u16::MIN, u16::MAX; u32: u32::MIN, u32::MAX; u64: u64::MIN, u64::MAX;
    bool: false, true;
}

/// Maxima or minima. Exact, so without an order; NaN if any is NaN; the lowest (highest) value of nothing.
pub fn reduce_extreme<T: Order>(extreme: Extreme, shape: &ReduceShape, x: &[T], out: &mut [T]) {
    match extreme {
        Extreme::Max => each(shape, x, out, |values| values.fold(T::LOWEST, T::greater)),
        Extreme::Min => each(shape, x, out, |values| values.fold(T::HIGHEST, T::smaller)),
    }
}

/// The index of the extreme: of the first (or last) NaN if there is one, else of the first (or last) of those that
/// compare equal to it, zeros of both signs being equal. 0 of nothing.
pub fn arg_extreme<T: Order>(extreme: Extreme, last: bool, shape: &ReduceShape, x: &[T], out: &mut [i64]) {
    each(shape, x, out, |values| {
        let mut best: Option<(usize, T)> = None;
        for (i, x) in values.enumerate() {
            let replaces = match best {
                None => true,
                Some((_, b)) if b.unordered() => last && x.unordered(),
                Some((_, b)) => {
                    x.unordered() || (if extreme == Extreme::Max { x > b } else { x < b }) || (last && x == b)
                }
            };
            if replaces {
                best = Some((i, x));
            }
        }
        best.map_or(0, |(i, _)| i as i64)
    });
}
