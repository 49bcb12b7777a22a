//! Softmax and its logarithm, over the middle axis of x\[outer, length, inner\].

use super::reduce::in_lanes;
use crate::float::Float;
use crate::shape::ReduceShape;

/// e^(x − m) / Σ e^(x − m), where m is the maximum: difference, exponential, lane-wise sum and quotient each rounded.
pub fn softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    each_column(shape, x, out, |column, write| {
        let (max, sum) = max_and_sum(column);
        for (i, &x) in column.iter().enumerate() {
            write(i, ((x - max).exp() / sum).canonical());
        }
    });
}

/// (x − m) − log Σ e^(x − m), each step rounded.
pub fn log_softmax<T: Float>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    each_column(shape, x, out, |column, write| {
        let (max, sum) = max_and_sum(column);
        let log = sum.log();
        for (i, &x) in column.iter().enumerate() {
            write(i, ((x - max) - log).canonical());
        }
    });
}

fn max_and_sum<T: Float>(column: &[T]) -> (T, T) {
    let max = column.iter().fold(-T::INFINITY, |max, &x| max.maximum(x));
    let sum = in_lanes(
        column.iter(),
        T::ZERO,
        |sum, &x| sum + (x - max).exp(),
        |a, b| a + b,
    );
    (max, sum)
}

fn each_column<T: Float>(
    shape: &ReduceShape,
    x: &[T],
    out: &mut [T],
    compute: impl Fn(&[T], &mut dyn FnMut(usize, T)),
) {
    assert_eq!(
        x.len(),
        shape.outer * shape.length * shape.inner,
        "input of a softmax"
    );
    assert_eq!(out.len(), x.len(), "output of a softmax");
    for o in 0..shape.outer {
        for i in 0..shape.inner {
            let place = |l: usize| (o * shape.length + l) * shape.inner + i;
            let column: Vec<T> = (0..shape.length).map(|l| x[place(l)]).collect();
            compute(&column, &mut |l, y| out[place(l)] = y);
        }
    }
}
