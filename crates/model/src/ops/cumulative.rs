//! CumSum (versions 11, 14) and CumProd (26): sums and products of all elements up to each one, along an axis.
//!
//! One after another along the axis, from its other end with `reverse`; with `exclusive` an element counts from its successor
//! on. 16-bit floats accumulate in `f32`; every output rounds on its own. The axis is an input, read when the node runs.

use super::{
    DType, Definition, INDICES, Inputs, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
    elementwise::{FloatFormat, with_float_format, with_integer},
    kernel, normalize_axis, streamed,
};
use crate::{
    shape::element_count,
    tensor::{Element, TensorViewMut},
};
use synod_numerics::{float::Float, integer::Integer};

/// `CumSum`
pub(super) const CUM_SUM: Definition = Definition {
    name: "CumSum",
    since: &[11, 14],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| Cumulative::parse(node, false),
};

/// `CumProd`
pub(super) const CUM_PROD: Definition = Definition {
    name: "CumProd",
    since: &[26],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| Cumulative::parse(node, true),
};

const TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U32,
    DType::U64,
];

/// Lines that are walked side by side.
const LINES: usize = 16;

#[derive(Debug, Clone, Copy)]
struct Cumulative {
    product: bool,
    exclusive: bool,
    reverse: bool,
}

impl Cumulative {
    fn parse(node: &mut NodeSpec<'_>, product: bool) -> Result<Box<dyn Operator>, OpError> {
        let exclusive = node.attributes.flag("exclusive", false)?;
        let reverse = node.attributes.flag("reverse", false)?;
        Ok(Box::new(Cumulative {
            product,
            exclusive,
            reverse,
        }))
    }

    /// Walks every line along the axis: `start` is the sum or product of nothing, `take` adds an element to it.
    fn run<S: Element, V: Copy>(
        self,
        [length, inner]: [usize; 2],
        x: &[S],
        out: &mut [S],
        (start, load, store): (V, impl Fn(S) -> V, impl Fn(V) -> S),
        take: impl Fn(V, V) -> V,
    ) {
        let plane = length * inner;
        if plane == 0 {
            return;
        }
        if inner == 1 {
            for (x, out) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)) {
                let mut so_far = start;
                let mut step = |x: &S, out: &mut S| {
                    let next = take(so_far, load(*x));
                    *out = store(if self.exclusive { so_far } else { next });
                    so_far = next;
                };
                if self.reverse {
                    x.iter().zip(out).rev().for_each(|(x, out)| step(x, out));
                } else {
                    x.iter().zip(out).for_each(|(x, out)| step(x, out));
                }
            }
            return;
        }
        for (x, out) in x.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            // several lines at once, as many as share lines of the cache
            for first in (0..inner).step_by(LINES) {
                let lines = LINES.min(inner - first);
                let mut so_far = [start; LINES];
                for step in 0..length {
                    let place = if self.reverse { length - 1 - step } else { step };
                    let at = place * inner + first;
                    let elements = x[at..at + lines].iter().zip(&mut out[at..at + lines]);
                    for (so_far, (&x, out)) in so_far.iter_mut().zip(elements) {
                        let next = take(*so_far, load(x));
                        *out = store(if self.exclusive { *so_far } else { next });
                        *so_far = next;
                    }
                }
            }
        }
    }
}

impl Operator for Cumulative {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, TYPES)?;
        if inputs.of_types(1, INDICES)?.elements() != 1 {
            return Err(OpError::Shape("the axis is not one number".into()));
        }
        if inputs.optional(1).is_some_and(|axis| axis.is_known()) {
            let axis = inputs.known_i64s(1)?[0];
            normalize_axis(axis, x.shape.len())?;
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            // along any axis but the last one, every element lies in another line of memory
            arithmetic: (outputs[0].elements() as u64).saturating_mul(64),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn floats<F: FloatFormat, S>(me: Cumulative, shape: Vec<usize>, _: S) -> Box<dyn Kernel> {
            on_axis::<F::Stored>(shape, move |dims, x, out| {
                let start = if me.product { F::Value::ONE } else { F::Value::ZERO };
                let formats = (start, F::load, |value: F::Value| F::store(value.canonical()));
                if me.product {
                    me.run(dims, x, out, formats, |a, b| a * b);
                } else {
                    me.run(dims, x, out, formats, |a, b| a + b);
                }
            })
        }
        fn integers<T: Integer + Element, S>(me: Cumulative, shape: Vec<usize>, _: S) -> Box<dyn Kernel> {
            on_axis::<T>(shape, move |dims, x, out| {
                let formats = (T::wrap(i128::from(me.product)), |x| x, |y| y);
                if me.product {
                    me.run(dims, x, out, formats, T::mul);
                } else {
                    me.run(dims, x, out, formats, T::add);
                }
            })
        }
        let x = inputs.required(0)?;
        let shape = x.shape.to_vec();
        Ok(if x.dtype.is_float() {
            with_float_format!(x.dtype, floats(*self, shape, ()))
        } else {
            with_integer!(x.dtype, integers(*self, shape, ()))
        })
    }
}

/// A kernel that reads the axis, input 1, and hands the lengths of the axis and of all behind it on.
fn on_axis<T: Element>(
    shape: Vec<usize>,
    run: impl Fn([usize; 2], &[T], &mut [T]) + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    kernel(move |io| {
        let axis = io.input(1);
        let axis = match axis.dtype() {
            DType::I32 => i64::from(axis.as_slice::<i32>()[0]),
            _ => axis.as_slice::<i64>()[0],
        };
        let axis = normalize_axis(axis, shape.len()).map_err(|error| OpError::Value(error.to_string()))?;
        let x = io.input(0).as_slice::<T>();
        let out = io.output(0).map_or(&mut [][..], TensorViewMut::as_mut_slice::<T>);
        run([shape[axis], element_count(&shape[axis + 1..])], x, out);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(exclusive: bool, reverse: bool) -> Vec<i32> {
        let mut out = vec![0; 6];
        let sum = Cumulative {
            product: false,
            exclusive,
            reverse,
        };
        sum.run(
            [3, 2],
            &[1, 10, 2, 20, 3, 30],
            &mut out,
            (0, |x| x, |x| x),
            |a, b| a + b,
        );
        out
    }

    #[test]
    fn sums_run_either_way_with_or_without_the_element() {
        assert_eq!(sums(false, false), [1, 10, 3, 30, 6, 60]);
        assert_eq!(sums(true, false), [0, 0, 1, 10, 3, 30]);
        assert_eq!(sums(false, true), [6, 60, 5, 50, 3, 30]);
        assert_eq!(sums(true, true), [5, 50, 3, 30, 0, 0]);
    }
}
