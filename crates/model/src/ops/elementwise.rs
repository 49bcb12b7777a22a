//! What elementwise operators share: one loop for each number of operands, on every element type.
//!
//! An operator states its function once, generically: for floats and, if it has them, for integers. On the fast path the function is vectorised over runs of elements that lie side by side; the
//! reference path computes the place of every element on its own. 16-bit floats are widened, computed and rounded element by
//! element, which is one rounding for each operator.

use super::{DType, Inputs, Io, Kernel, OpError, Path, TensorType, Work, data::Rows, kernel, streamed};
use crate::{
    shape::{broadcast, broadcast_strides, element_count, strides},
    tensor::{Element, TensorViewMut},
};
use std::fmt::Debug;
use synod_numerics::{
    float::Float,
    half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16},
    integer::Integer,
    isa,
};

/// How elements of a type are stored, and what they are computed in.
pub(super) trait Format: 'static {
    /// As they lie in a tensor.
    type Stored: Element;
    /// What operators compute with.
    type Value: Copy;
    /// To compute with.
    fn load(stored: Self::Stored) -> Self::Value;
    /// To store; rounds if the format is narrower.
    fn store(value: Self::Value) -> Self::Stored;
}

/// Formats of floats.
pub(super) trait FloatFormat: Format<Value: Float> {}

macro_rules! plain_format {
    ($($t:ty),*) => {$(
        impl Format for $t {
            type Stored = $t;
            type Value = $t;
            #[inline(always)]
            fn load(stored: $t) -> $t {
                stored
            }
            #[inline(always)]
            fn store(value: $t) -> $t {
                value
            }
        }
    )*};
}
plain_format!(f32, f64, i8, i16, i32, i64, u8, u16, u32, u64);

/// binary16.
pub(super) enum Half {}

impl Format for Half {
    type Stored = u16;
    type Value = f32;
    #[inline(always)]
    fn load(stored: u16) -> f32 {
        f16_to_f32(stored)
    }
    #[inline(always)]
    fn store(value: f32) -> u16 {
        f32_to_f16(value)
    }
}

/// bfloat16.
pub(super) enum Brain {}

impl Format for Brain {
    type Stored = u16;
    type Value = f32;
    #[inline(always)]
    fn load(stored: u16) -> f32 {
        bf16_to_f32(stored)
    }
    #[inline(always)]
    fn store(value: f32) -> u16 {
        f32_to_bf16(value)
    }
}

impl FloatFormat for f32 {}
impl FloatFormat for f64 {}
impl FloatFormat for Half {}
impl FloatFormat for Brain {}

/// Calls a generic function with the format of a float type.
macro_rules! with_float_format {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            DType::F64 => $function::<f64, _>($($argument),*),
            DType::F16 => $function::<$crate::ops::elementwise::Half, _>($($argument),*),
            DType::BF16 => $function::<$crate::ops::elementwise::Brain, _>($($argument),*),
            _ => $function::<f32, _>($($argument),*),
        }
    };
}
/// Calls a generic function with an integer type.
macro_rules! with_integer {
    ($dtype:expr, $function:ident($($argument:expr),*)) => {
        match $dtype {
            DType::I8 => $function::<i8, _>($($argument),*),
            DType::I16 => $function::<i16, _>($($argument),*),
            DType::I32 => $function::<i32, _>($($argument),*),
            DType::U8 | DType::Bool => $function::<u8, _>($($argument),*),
            DType::U16 => $function::<u16, _>($($argument),*),
            DType::U32 => $function::<u32, _>($($argument),*),
            DType::U64 => $function::<u64, _>($($argument),*),
            _ => $function::<i64, _>($($argument),*),
        }
    };
}
pub(super) use with_float_format;

/// out = f(a, b), vectorised over runs.
fn combine<A: Copy, B: Copy, U: Copy>(
    rows: &Rows<2>,
    a: &[A],
    b: &[B],
    out: &mut [U],
    f: impl Fn(A, B) -> U + Copy,
) {
    let length = rows.length;
    let mut runs = out.chunks_exact_mut(length.max(1));
    rows.for_each(|at| {
        let Some(out) = runs.next() else { return };
        let [at_a, at_b] = at.map(|at| at as usize);
        match rows.strides {
            [0, 0] => out.fill(f(a[at_a], b[at_b])),
            [0, _] => {
                let x = a[at_a];
                isa::map(&b[at_b..][..length], out, |y| f(x, y));
            }
            [_, 0] => {
                let y = b[at_b];
                isa::map(&a[at_a..][..length], out, |x| f(x, y));
            }
            _ => isa::zip(&a[at_a..][..length], &b[at_b..][..length], out, f),
        }
    });
}

/// out = f(out, b), vectorised over runs.
fn combine_into<A: Copy, B: Copy>(rows: &Rows<1>, out: &mut [A], b: &[B], f: impl Fn(A, B) -> A + Copy) {
    let mut runs = out.chunks_exact_mut(rows.length.max(1));
    rows.for_each(|[at]| {
        let Some(out) = runs.next() else { return };
        let b = &b[at as usize..];
        if rows.strides == [0] {
            let y = b[0];
            isa::update(out, |x| f(x, y));
        } else {
            isa::vectorised(|| out.iter_mut().zip(b).for_each(|(x, &y)| *x = f(*x, y)));
        }
    });
}

/// The element of an operand of `shape` that output element `index` reads, computed on its own.
fn element(index: usize, shape: &[usize], output: &[usize]) -> usize {
    let (own, whole) = (broadcast_strides(shape, output), strides(output));
    (0..output.len())
        .map(|axis| index / whole[axis] % output[axis] * own[axis])
        .sum()
}

/// A function of one element.
pub(super) trait UnaryFloat: Copy + Debug + Send + Sync + 'static {
    /// The function on floats. NaNs leave canonical.
    fn float<T: Float>(self, x: T) -> T;
}

/// A function of one element that integers have too.
pub(super) trait UnaryInteger: UnaryFloat {
    /// The function on integers.
    fn integer<T: Integer>(self, x: T) -> T;
}

/// A kernel of one input and one output of the same float type.
pub(super) fn unary_float(dtype: DType, function: impl UnaryFloat) -> Box<dyn Kernel> {
    fn build<F: FloatFormat, O: UnaryFloat>(function: O) -> Box<dyn Kernel> {
        unary::<F::Stored>(move |x| F::store(function.float(F::load(x))))
    }
    with_float_format!(dtype, build(function))
}

/// A kernel of one input and one output of the same type, integers included.
pub(super) fn unary_number(dtype: DType, function: impl UnaryInteger) -> Box<dyn Kernel> {
    fn build<T: Integer + Element, O: UnaryInteger>(function: O) -> Box<dyn Kernel> {
        unary::<T>(move |x| function.integer(x))
    }
    if dtype.is_float() {
        unary_float(dtype, function)
    } else {
        with_integer!(dtype, build(function))
    }
}

fn unary<T: Element>(f: impl Fn(T) -> T + Copy + Send + Sync + 'static) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (x, out) = io.unary::<T, T>(0, 0);
        match path {
            Path::Fast => isa::map(x, out, f),
            Path::Reference => out.iter_mut().zip(x).for_each(|(out, &x)| *out = f(x)),
        }
        Ok(())
    })
}

/// A function of two elements.
pub(super) trait BinaryFloat: Copy + Debug + Send + Sync + 'static {
    /// The function on floats. NaNs leave canonical.
    fn float<T: Float>(self, a: T, b: T) -> T;
}

/// A function of two elements that integers have too.
pub(super) trait BinaryInteger: BinaryFloat {
    /// The function on integers.
    fn integer<T: Integer>(self, a: T, b: T) -> T;
}

/// The type of a binary operator's output: the operands' own, the shape they broadcast to.
pub(super) fn binary_type(inputs: &Inputs<'_>, types: &'static [DType]) -> Result<TensorType, OpError> {
    let a = inputs.of_types(0, types)?;
    let b = inputs.like(1, a.dtype)?;
    Ok(TensorType::new(a.dtype, broadcast_of(&[a.shape, b.shape])?)?)
}

/// The shape that operands broadcast to.
pub(super) fn broadcast_of(shapes: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    broadcast(shapes).ok_or_else(|| OpError::Shape(format!("shapes {shapes:?} do not broadcast")))
}

/// A kernel of any number of inputs and one output of one type: the function is applied from the left.
pub(super) fn fold_number(
    inputs: &Inputs<'_>,
    output: &TensorType,
    function: impl BinaryInteger,
) -> Result<Box<dyn Kernel>, OpError> {
    fn floats<F: FloatFormat, O: BinaryFloat>(shapes: Shapes, function: O) -> Box<dyn Kernel> {
        fold::<F::Stored>(shapes, move |a, b| {
            F::store(function.float(F::load(a), F::load(b)))
        })
    }
    fn integers<T: Integer + Element, O: BinaryInteger>(shapes: Shapes, function: O) -> Box<dyn Kernel> {
        fold::<T>(shapes, move |a, b| function.integer(a, b))
    }
    let shapes = Shapes::new(inputs, &output.shape)?;
    Ok(if output.dtype.is_float() {
        with_float_format!(output.dtype, floats(shapes, function))
    } else {
        with_integer!(output.dtype, integers(shapes, function))
    })
}

/// Shapes of a fold's operands and output.
pub(super) struct Shapes {
    inputs: Vec<Vec<usize>>,
    output: Vec<usize>,
}

impl Shapes {
    pub(super) fn new(inputs: &Inputs<'_>, output: &[usize]) -> Result<Self, OpError> {
        let shapes = (0..inputs.len()).map(|index| Ok(inputs.required(index)?.shape.to_vec()));
        Ok(Self {
            inputs: shapes.collect::<Result<_, OpError>>()?,
            output: output.to_vec(),
        })
    }
}

/// Folds the inputs from the left. A fold of 16-bit floats rounds after every function, which changes nothing for those that
/// return one of their operands (Min, Max), the only ones with more than two inputs.
fn fold<T: Element>(shapes: Shapes, f: impl Fn(T, T) -> T + Copy + Send + Sync + 'static) -> Box<dyn Kernel> {
    let Shapes {
        inputs: shapes,
        output,
    } = shapes;
    let first = Rows::broadcast(&output, [&shapes[0], shapes.get(1).unwrap_or(&shapes[0])]);
    let rest: Vec<_> = shapes
        .iter()
        .skip(2)
        .map(|shape| Rows::broadcast(&output, [&shape[..]]))
        .collect();
    kernel(move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (inputs, outputs, _) = io.split();
        let read = |index: usize| inputs[index].map_or(&[][..], |view| view.as_slice::<T>());
        let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
            return Ok(());
        };
        let out = out.as_mut_slice::<T>();
        if path == Path::Reference {
            for (index, out) in out.iter_mut().enumerate() {
                let operand = |i: usize| read(i)[element(index, &shapes[i], &output)];
                *out = (1..shapes.len()).fold(operand(0), |so_far, i| f(so_far, operand(i)));
            }
            return Ok(());
        }
        if shapes.len() == 1 {
            out.copy_from_slice(read(0));
            return Ok(());
        }
        combine(&first, read(0), read(1), out, f);
        for (index, rows) in rest.iter().enumerate() {
            combine_into(rows, out, read(index + 2), f);
        }
        Ok(())
    })
}

/// Two operands of concrete shapes.
pub(super) struct Pair {
    shapes: Shapes,
    rows: Rows<2>,
}

impl Pair {
    pub(super) fn new(shapes: Shapes) -> Self {
        let rows = Rows::broadcast(&shapes.output, [&shapes.inputs[0], &shapes.inputs[1]]);
        Self { shapes, rows }
    }

    /// Elements of an operand.
    pub(super) fn elements(&self, operand: usize) -> usize {
        element_count(&self.shapes.inputs[operand])
    }

    /// out = f(a, b).
    pub(super) fn run<A: Copy, B: Copy, U: Copy>(
        &self,
        path: Path,
        a: &[A],
        b: &[B],
        out: &mut [U],
        f: impl Fn(A, B) -> U + Copy,
    ) {
        match path {
            Path::Fast => combine(&self.rows, a, b, out, f),
            Path::Reference => {
                let Shapes { inputs, output } = &self.shapes;
                for (index, out) in out.iter_mut().enumerate() {
                    *out = f(
                        a[element(index, &inputs[0], output)],
                        b[element(index, &inputs[1], output)],
                    );
                }
            }
        }
    }
}

/// A kernel from two operands of possibly different types to a third.
pub(super) fn pair<A: Element, B: Element, U: Element>(
    shapes: Shapes,
    f: impl Fn(A, B) -> U + Copy + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    let pair = Pair::new(shapes);
    kernel(move |io: &mut Io<'_, '_>| {
        let (path, a, b) = (io.path, io.input(0).as_slice::<A>(), io.input(1).as_slice::<B>());
        let out = io.output(0).map_or(&mut [][..], TensorViewMut::as_mut_slice::<U>);
        pair.run(path, a, b, out, f);
        Ok(())
    })
}

/// Work of an elementwise operator: `per_element` multiply-add equivalents in `f32`, more in types that are converted or half as
/// wide in a vector; a fixed part for each run, whose length is the last dimension.
pub(super) fn elementwise_work(inputs: &Inputs<'_>, outputs: &[TensorType], per_element: u64) -> Work {
    let Some(output) = outputs.first() else {
        return Work::default();
    };
    let elements = output.elements() as u64;
    let per_element = match output.dtype {
        DType::F16 | DType::BF16 => per_element.saturating_add(250),
        DType::F64 => per_element.saturating_mul(4),
        _ => per_element,
    };
    let broadcasts = inputs
        .iter()
        .any(|operand| element_count(operand.shape) != output.elements());
    let runs = match output.shape.last() {
        Some(&last) if broadcasts && last > 0 => elements / last as u64,
        _ => 1,
    };
    Work {
        arithmetic: elements
            .saturating_mul(per_element)
            .saturating_add(runs.saturating_mul(1_000)),
        bytes: streamed(inputs, outputs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_visit_the_same_elements() {
        let shapes: [([usize; 3], [usize; 3]); 6] = [
            ([2, 3, 4], [2, 3, 4]),
            ([2, 3, 4], [1, 3, 1]),
            ([2, 1, 4], [2, 3, 1]),
            ([1, 1, 1], [1, 1, 1]),
            ([1, 3, 1], [2, 1, 1]),
            ([0, 3, 1], [1, 1, 4]),
        ];
        for (a_shape, b_shape) in shapes {
            let output = broadcast(&[&a_shape, &b_shape]).unwrap();
            let a: Vec<i32> = (0..element_count(&a_shape) as i32).collect();
            let b: Vec<i32> = (0..element_count(&b_shape) as i32).map(|i| 100 * i).collect();
            let mut fast = vec![-1; element_count(&output)];
            combine(
                &Rows::broadcast(&output, [&a_shape, &b_shape]),
                &a,
                &b,
                &mut fast,
                |a, b| a + b,
            );
            let plain: Vec<_> = (0..fast.len())
                .map(|i| a[element(i, &a_shape, &output)] + b[element(i, &b_shape, &output)])
                .collect();
            assert_eq!(fast, plain, "{a_shape:?} and {b_shape:?}");
            let mut again = fast.clone();
            combine_into(&Rows::broadcast(&output, [&b_shape]), &mut again, &b, |x, b| {
                x - b
            });
            let a_alone: Vec<_> = (0..fast.len())
                .map(|i| a[element(i, &a_shape, &output)])
                .collect();
            assert_eq!(again, a_alone, "{a_shape:?} and {b_shape:?}");
        }
    }
}
