//! Reductions: the sixteen lanes of the definition are one or two vectors, and columns are taken side by side.

use crate::float::Float;
use crate::integer::Integer;
use crate::isa::multiversion;
use crate::reference::{Extreme, LANES, Order};
use crate::shape::ReduceShape;

/// Columns that are reduced side by side.
const COLUMNS: usize = 16;

/// [`crate::reference::tree`] in steps of known length, which are vectors.
#[inline(always)]
pub(super) fn tree<T: Copy>(lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let eight: [T; 8] = std::array::from_fn(|l| combine(lanes[l], lanes[l + 8]));
    let four: [T; 4] = std::array::from_fn(|l| combine(eight[l], eight[l + 4]));
    let two: [T; 2] = std::array::from_fn(|l| combine(four[l], four[l + 2]));
    combine(two[0], two[1])
}

/// Reduces one row in lanes.
#[inline(always)]
pub(super) fn in_lanes<T: Copy, S: Copy>(
    x: &[T],
    start: S,
    take: impl Fn(S, T) -> S,
    combine: impl Fn(S, S) -> S,
) -> S {
    first_in_lanes(x, x.len(), start, take, combine)
}

/// Reduces the first `length` elements in lanes, the last of them by a whole vector if there are other elements behind them.
#[inline(always)]
pub(super) fn first_in_lanes<T: Copy, S: Copy>(
    x: &[T],
    length: usize,
    start: S,
    take: impl Fn(S, T) -> S,
    combine: impl Fn(S, S) -> S,
) -> S {
    let mut lanes = [start; LANES];
    let (chunks, rest) = x[..length].as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = take(lanes[l], chunk[l]);
        }
    }
    if let Some(whole) = x[length - rest.len()..].first_chunk::<LANES>() {
        for l in 0..LANES {
            let taken = take(lanes[l], whole[l]);
            lanes[l] = if l < rest.len() { taken } else { lanes[l] };
        }
    } else {
        for (lane, &x) in lanes.iter_mut().zip(rest) {
            *lane = take(*lane, x);
        }
    }
    tree(lanes, combine)
}

/// Folds one row by a function that needs no order and may take an element twice (a maximum, a minimum): four vectors of lanes do not
/// wait for each other, and the last of them end with the row.
///
/// The function is handed on as a copy: through a reference it would be called, element by element.
#[inline(always)]
pub(super) fn in_any_order<T: Copy>(x: &[T], start: T, fold: impl Fn(T, T) -> T + Copy) -> T {
    const WIDTH: usize = 4 * LANES;
    if x.len() < WIDTH {
        return in_lanes(x, start, fold, fold);
    }
    let mut lanes = [start; WIDTH];
    for first in (0..x.len()).step_by(WIDTH) {
        let chunk = &x[first.min(x.len() - WIDTH)..][..WIDTH];
        for l in 0..WIDTH {
            lanes[l] = fold(lanes[l], chunk[l]);
        }
    }
    in_lanes(&lanes, start, fold, fold)
}

multiversion! {
    /// Folds every row of `length` elements, of which there is one at least, by a function that needs no order.
    fn fold_rows[T: Copy, F: Fn(T, T) -> T + Copy](x: &[T], length: usize, start: T, fold: F, out: &mut [T]) {
        assert_eq!(x.len(), length * out.len(), "input of a reduction");
        for (x, out) in x.chunks_exact(length).zip(out) {
            *out = in_any_order(x, start, fold);
        }
    }
}

/// Columns that are folded side by side by a function that needs no order: several vectors.
const MANY_COLUMNS: usize = 4 * LANES;

multiversion! {
    /// Folds the middle axis of x\[outer, length, inner\], all of which are at least 1, by a function that needs no order.
    fn fold_columns[T: Copy, F: Fn(T, T) -> T + Copy](
        shape: &ReduceShape, x: &[T], start: T, fold: F, out: &mut [T]
    ) {
        assert_eq!(x.len(), shape.outer * shape.length * shape.inner, "input of a reduction");
        assert_eq!(out.len(), shape.outer * shape.inner, "output of a reduction");
        for (x, out) in x.chunks_exact(shape.length * shape.inner).zip(out.chunks_exact_mut(shape.inner)) {
            for (block, out) in out.chunks_mut(MANY_COLUMNS).enumerate() {
                let mut folded = [start; MANY_COLUMNS];
                for row in x.chunks_exact(shape.inner) {
                    let row = &row[block * MANY_COLUMNS..][..out.len()];
                    if let Ok(row) = <&[T; MANY_COLUMNS]>::try_from(row) {
                        for j in 0..MANY_COLUMNS {
                            folded[j] = fold(folded[j], row[j]);
                        }
                    } else {
                        for (folded, &x) in folded.iter_mut().zip(row) {
                            *folded = fold(*folded, x);
                        }
                    }
                }
                out.copy_from_slice(&folded[..out.len()]);
            }
        }
    }
}

multiversion! {
    /// Reduces the middle axis of x\[outer, length, inner\], then applies `finish`.
    fn reduce[T: Copy, A: Fn(T, T) -> T + Copy, B: Fn(T, T) -> T + Copy, F: Fn(T) -> T + Copy](
        shape: &ReduceShape, x: &[T], out: &mut [T], start: T, take: A, combine: B, finish: F
    ) {
        assert_eq!(x.len(), shape.outer * shape.length * shape.inner, "input of a reduction");
        assert_eq!(out.len(), shape.outer * shape.inner, "output of a reduction");
        if shape.length == 0 || out.is_empty() {
            for out in out {
                *out = finish(tree([start; LANES], combine));
            }
            return;
        }
        if shape.inner == 1 {
            for (row, out) in out.iter_mut().enumerate() {
                let x = &x[row * shape.length..];
                *out = finish(first_in_lanes(x, shape.length, start, take, combine));
            }
            return;
        }
        for (x, out) in x.chunks_exact(shape.length * shape.inner).zip(out.chunks_exact_mut(shape.inner)) {
            for (block, out) in out.chunks_mut(COLUMNS).enumerate() {
                let mut lanes = [[start; COLUMNS]; LANES];
                for (l, row) in x.chunks_exact(shape.inner).enumerate() {
                    let lane = &mut lanes[l % LANES];
                    let row = &row[block * COLUMNS..][..out.len()];
                    if let Ok(row) = <&[T; COLUMNS]>::try_from(row) {
                        for j in 0..COLUMNS {
                            lane[j] = take(lane[j], row[j]);
                        }
                    } else {
                        for (lane, &x) in lane.iter_mut().zip(row) {
                            *lane = take(*lane, x);
                        }
                    }
                }
                let sums = tree(lanes, |a, b| std::array::from_fn(|j| combine(a[j], b[j])));
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = finish(sum);
                }
            }
        }
    }
}

/// Sums: the bits of [`crate::reference::reduce_sum`].
pub fn reduce_sum<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    reduce(shape, x, out, T::ZERO, |a, b| a + b, |a, b| a + b, T::canonical);
}

/// Sums of squares: the bits of [`crate::reference::reduce_sum_of_squares`].
pub fn reduce_sum_of_squares<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    reduce(
        shape,
        x,
        out,
        T::ZERO,
        |sum, x| x.fma(x, sum),
        |a, b| a + b,
        T::canonical,
    );
}

/// Means: the bits of [`crate::reference::reduce_mean`].
pub fn reduce_mean<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    let length = T::from_count(shape.length);
    reduce(
        shape,
        x,
        out,
        T::ZERO,
        |a, b| a + b,
        |a, b| a + b,
        |sum| (sum / length).canonical(),
    );
}

/// Products: the bits of [`crate::reference::reduce_product`].
pub fn reduce_product<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    reduce(shape, x, out, T::ONE, |a, b| a * b, |a, b| a * b, T::canonical);
}

/// Maxima or minima: the values of [`crate::reference::reduce_extreme`].
pub fn reduce_extreme<T: Order>(extreme: Extreme, shape: &ReduceShape, x: &[T], out: &mut [T]) {
    let some = shape.length > 0 && !out.is_empty();
    let (rows, columns) = (some && shape.inner == 1, some && shape.inner > 1);
    match extreme {
        Extreme::Max if columns => fold_columns(shape, x, T::LOWEST, T::greater, out),
        Extreme::Min if columns => fold_columns(shape, x, T::HIGHEST, T::smaller, out),
        Extreme::Max if rows => fold_rows(x, shape.length, T::LOWEST, T::greater, out),
        Extreme::Min if rows => fold_rows(x, shape.length, T::HIGHEST, T::smaller, out),
        Extreme::Max => reduce(shape, x, out, T::LOWEST, T::greater, T::greater, |x| x),
        Extreme::Min => reduce(shape, x, out, T::HIGHEST, T::smaller, T::smaller, |x| x),
    }
}

/// What is folded of integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegerFold {
    /// Their sum.
    Sum,
    /// The sum of their magnitudes.
    Magnitudes,
    /// The sum of their squares.
    Squares,
    /// Their product.
    Product,
}

/// Sums and products of integers: they wrap, so that the order does not matter.
pub fn reduce_integers<T: Integer>(fold: IntegerFold, shape: &ReduceShape, x: &[T], out: &mut [T]) {
    let (zero, one) = (T::default(), T::wrap(1));
    match fold {
        IntegerFold::Sum => reduce(shape, x, out, zero, |y, x| y.add(x), |a, b| a.add(b), |y| y),
        IntegerFold::Magnitudes => reduce(shape, x, out, zero, |y, x| y.add(x.abs()), |a, b| a.add(b), |y| y),
        IntegerFold::Squares => reduce(
            shape,
            x,
            out,
            zero,
            |y, x| y.add(x.mul(x)),
            |a, b| a.add(b),
            |y| y,
        ),
        IntegerFold::Product => reduce(shape, x, out, one, |y, x| y.mul(x), |a, b| a.mul(b), |y| y),
    }
}
