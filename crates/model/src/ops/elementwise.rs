//! What elementwise operators share: one loop for each number of operands, on every element type.
//!
//! An operator states its function once, generically: for floats and, if it has them, for integers. On the fast path the function is vectorised over runs of elements that lie side by side; the
//! reference path computes the place of every element on its own. 16-bit floats are widened, computed and rounded element by
//! element, which is one rounding for each operator.

use super::{
    DType, Inputs, Io, Kernel, OpError, Path, TensorType, Work,
    data::{BYTES_OF_A_NANOSECOND, Rows},
    kernel, kernel_with_scratch, streamed,
};
use crate::{
    shape::{broadcast, broadcast_strides, element_count, strides},
    tensor::{Element, TensorViewMut},
};
use std::{fmt::Debug, marker::PhantomData};
use synod_numerics::{
    fast::{Transcendental, arithmetic::Operation},
    float::Float,
    half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16},
    integer::Integer,
    isa, pool,
    quantize::Steps,
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
pub(super) use with_integer;

/// out\[i\] = f(x\[i\]) over slices of one length.
pub type Map<T> = dyn Fn(&[T], &mut [T]) + Send + Sync;

/// out\[i\] = f(a\[i\], b\[i\]) over slices of one length.
///
/// Behind a pointer, so that the walk over shapes is compiled once for each combination of types instead of once for each
/// operator: a function brings one vectorised loop with it and no more.
pub type Zip<A, B, U> = dyn Fn(&[A], &[B], &mut [U]) + Send + Sync;

/// What kernels can do to an element in a register ([`synod_numerics::fast::epilogue::Simple`]), with the bits of [`Elementwise`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum InRegisters {
    /// The sum with the element of another tensor of the same shape.
    Add,
    /// max(x, +0), then min(x, a bound above 0) if there is one.
    Bounds(Option<f32>),
    /// The float that a byte stands for.
    FromSteps(Steps),
    /// The byte that stands for a float.
    ToSteps(Steps),
}

/// An operation as a function of elements: of `f32`, or of bytes on one side.
pub enum Elementwise {
    /// Of the first input; others are accounted for.
    Unary(Box<Map<f32>>),
    /// Of the first two inputs, which may be broadcast.
    Binary(Box<Zip<f32, f32, f32>>),
    /// An operation on the first input, with the second; either may be broadcast.
    Arithmetic(Operation),
    /// From the bytes of the first input; the others are accounted for.
    FromBytes(Box<FromBytes>),
    /// To bytes, of the first input; the others are accounted for.
    ToBytes(Box<ToBytes>),
}

/// out\[i\] = f(x\[i\]) of bytes (u8 or i8) over slices of one length.
pub type FromBytes = dyn Fn(&[u8], &mut [f32]) + Send + Sync;

/// out\[i\] = f(x\[i\]) as bytes (u8 or i8) over slices of one length.
pub type ToBytes = dyn Fn(&[f32], &mut [u8]) + Send + Sync;

/// A function of one float as an [`Elementwise`].
pub(super) fn unary_elementwise(function: impl UnaryFloat) -> Elementwise {
    if let Some(many) = function.many() {
        return Elementwise::Unary(Box::new(move |x: &[f32], out: &mut [f32]| many.map(x, out)));
    }
    let f = Between::<f32, _>(function, PhantomData);
    Elementwise::Unary(Box::new(move |x: &[f32], out: &mut [f32]| isa::apply(x, out, f)))
}

/// A function of two floats as an [`Elementwise`].
pub(super) fn binary_elementwise(function: impl BinaryFloat) -> Elementwise {
    Elementwise::Binary(zip_of(Between::<f32, _>(function, PhantomData)))
}

/// The [`Zip`] of a function of two elements.
pub(super) fn zip_of<A: Copy, B: Copy, U>(
    f: impl isa::Binary<A, B, U> + Send + Sync + 'static,
) -> Box<Zip<A, B, U>> {
    Box::new(move |a: &[A], b: &[B], out: &mut [U]| isa::apply_binary(a, b, out, f))
}

/// A function of floats, between load and store of a format.
struct Between<F, O>(O, PhantomData<fn() -> F>);

impl<F, O: Copy> Clone for Between<F, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F, O: Copy> Copy for Between<F, O> {}

impl<F: FloatFormat, O: UnaryFloat> isa::Unary<F::Stored, F::Stored> for Between<F, O> {
    #[inline(always)]
    fn call(self, x: F::Stored) -> F::Stored {
        F::store(self.0.float(F::load(x)))
    }
}

impl<F: FloatFormat, O: BinaryFloat> isa::Binary<F::Stored, F::Stored, F::Stored> for Between<F, O> {
    #[inline(always)]
    fn call(self, a: F::Stored, b: F::Stored) -> F::Stored {
        F::store(self.0.float(F::load(a), F::load(b)))
    }
}

/// Elements that a repeated operand is spread over at a time: enough for the vectorised loop to run long, few enough to stay
/// in the first-level cache.
const SPREAD: usize = 256;

/// An operand within a run: its elements, or one that is repeated, spread.
enum Run<'a, T> {
    Elements(&'a [T]),
    Repeated(&'a [T; SPREAD]),
}

impl<T> Run<'_, T> {
    fn part(&self, start: usize, length: usize) -> &[T] {
        match self {
            Run::Elements(elements) => &elements[start..][..length],
            Run::Repeated(spread) => &spread[..length],
        }
    }
}

/// out = f(a, b), run by run, for the runs from number `first` on that `out` has.
fn combine<A: Copy, B: Copy, U>(
    rows: &Rows<2>,
    first: usize,
    a: &[A],
    b: &[B],
    out: &mut [U],
    f: &Zip<A, B, U>,
) {
    let (Some(&some_a), Some(&some_b)) = (a.first(), b.first()) else {
        return;
    };
    let (mut spread_a, mut spread_b) = ([some_a; SPREAD], [some_b; SPREAD]);
    let length = rows.length;
    let step = if rows.strides.contains(&0) {
        SPREAD
    } else {
        length.max(1)
    };
    let count = out.len() / length.max(1);
    let mut runs = out.chunks_exact_mut(length.max(1));
    rows.for_each_of(first..first + count, |at| {
        let Some(out) = runs.next() else { return };
        let [at_a, at_b] = at.map(|at| at as usize);
        let filled = length.min(SPREAD);
        let a = if rows.strides[0] == 0 {
            spread_a[..filled].fill(a[at_a]);
            Run::Repeated(&spread_a)
        } else {
            Run::Elements(&a[at_a..][..length])
        };
        let b = if rows.strides[1] == 0 {
            spread_b[..filled].fill(b[at_b]);
            Run::Repeated(&spread_b)
        } else {
            Run::Elements(&b[at_b..][..length])
        };
        for (part, out) in out.chunks_mut(step).enumerate() {
            f(
                a.part(part * step, out.len()),
                b.part(part * step, out.len()),
                out,
            );
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

/// Two operands of concrete shapes.
#[derive(Clone)]
pub(super) struct Pair {
    /// Of the operands and the output.
    shapes: [Vec<usize>; 3],
    rows: Rows<2>,
}

impl Pair {
    pub(super) fn new(a: &[usize], b: &[usize], output: &[usize]) -> Self {
        Self {
            shapes: [a, b, output].map(<[usize]>::to_vec),
            rows: Rows::broadcast(output, [a, b]),
        }
    }

    /// Of a node with two inputs.
    pub(super) fn of(inputs: &Inputs<'_>, output: &[usize]) -> Result<Self, OpError> {
        Ok(Self::new(
            inputs.required(0)?.shape,
            inputs.required(1)?.shape,
            output,
        ))
    }

    /// Elements of the second operand.
    pub(super) fn second_elements(&self) -> usize {
        element_count(&self.shapes[1])
    }

    /// out = f(a, b).
    pub(super) fn run<A: Copy + Sync, B: Copy + Sync, U: Send>(
        &self,
        path: Path,
        a: &[A],
        b: &[B],
        out: &mut [U],
        f: &Zip<A, B, U>,
    ) {
        match path {
            Path::Fast => {
                let (rows, length) = (&self.rows, self.rows.length.max(1));
                let nanoseconds = nanoseconds::<(A, B, U)>(out.len());
                if rows.count() == 1 && rows.strides == [1, 1] {
                    return pool::share(out, length.min(LINE), nanoseconds, |first, out| {
                        f(&a[first..][..out.len()], &b[first..][..out.len()], out);
                    });
                }
                pool::share(out, length, nanoseconds, |first, out| {
                    combine(rows, first / length, a, b, out, f);
                });
            }
            Path::Reference => {
                let [a_shape, b_shape, output] = &self.shapes;
                for index in 0..out.len() {
                    let (a, b) = (
                        a[element(index, a_shape, output)],
                        b[element(index, b_shape, output)],
                    );
                    f(&[a], &[b], &mut out[index..=index]);
                }
            }
        }
    }
}

/// Elements of a cache line at most: what one thread writes begins with a line.
pub(super) const LINE: usize = 64;

/// How long one thread takes to do little with so many elements, roughly, of which each is all of `T`.
pub(super) fn nanoseconds<T>(elements: usize) -> u64 {
    (elements as u64).saturating_mul(size_of::<T>() as u64) / BYTES_OF_A_NANOSECOND
}

/// A function of one element.
pub(super) trait UnaryFloat: Copy + Debug + Send + Sync + 'static {
    /// The function on floats. NaNs leave canonical.
    fn float<T: Float>(self, x: T) -> T;

    /// The same function in its fast form for many elements, if it has one.
    fn many(self) -> Option<Transcendental> {
        None
    }
}

/// A function of one element that integers have too.
pub(super) trait UnaryInteger: UnaryFloat {
    /// The function on integers.
    fn integer<T: Integer>(self, x: T) -> T;
}

/// A kernel of one input and one output of the same float type.
pub(super) fn unary_float(dtype: DType, function: impl UnaryFloat) -> Box<dyn Kernel> {
    fn build<F: FloatFormat, O: UnaryFloat>(function: O) -> Box<dyn Kernel> {
        unary::<F::Stored>(Between::<F, O>(function, PhantomData))
    }
    if let (DType::F32, Some(many)) = (dtype, function.many()) {
        return kernel(move |io: &mut Io<'_, '_>| {
            let path = io.path;
            let (x, out) = io.unary::<f32, f32>(0, 0);
            match path {
                Path::Fast => many.map(x, out),
                Path::Reference => out
                    .iter_mut()
                    .zip(x)
                    .for_each(|(out, &x)| *out = function.float(x)),
            }
            Ok(())
        });
    }
    if let (DType::F16 | DType::BF16, Some(many)) = (dtype, function.many()) {
        return if dtype == DType::F16 {
            many_halves::<Half>(function, many)
        } else {
            many_halves::<Brain>(function, many)
        };
    }
    with_float_format!(dtype, build(function))
}

/// Elements that are widened at a time: they stay in the first-level cache.
const WIDENED: usize = 512;

/// The kernel of a function with a fast form on 16-bit floats: widened block by block.
fn many_halves<F: FloatFormat<Stored = u16, Value = f32>>(
    function: impl UnaryFloat,
    many: Transcendental,
) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (x, out) = io.unary::<u16, u16>(0, 0);
        if path == Path::Reference {
            for (out, &x) in out.iter_mut().zip(x) {
                *out = F::store(function.float(F::load(x)));
            }
            return Ok(());
        }
        let (mut wide, mut results) = ([0.0; WIDENED], [0.0; WIDENED]);
        for (x, out) in x.chunks(WIDENED).zip(out.chunks_mut(WIDENED)) {
            let (wide, results) = (&mut wide[..x.len()], &mut results[..x.len()]);
            isa::apply(x, wide, Widen::<F>(PhantomData));
            many.map(wide, results);
            isa::apply(results, out, Narrow::<F>(PhantomData));
        }
        Ok(())
    })
}

/// [`Format::load`] as a function that is vectorised.
struct Widen<F>(PhantomData<fn() -> F>);

/// [`Format::store`] as a function that is vectorised.
struct Narrow<F>(PhantomData<fn() -> F>);

impl<F> Clone for Widen<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Widen<F> {}

impl<F> Clone for Narrow<F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<F> Copy for Narrow<F> {}

impl<F: Format> isa::Unary<F::Stored, F::Value> for Widen<F> {
    #[inline(always)]
    fn call(self, x: F::Stored) -> F::Value {
        F::load(x)
    }
}

impl<F: Format> isa::Unary<F::Value, F::Stored> for Narrow<F> {
    #[inline(always)]
    fn call(self, x: F::Value) -> F::Stored {
        F::store(x)
    }
}

/// A kernel of one input and one output of the same type, integers included.
pub(super) fn unary_number(dtype: DType, function: impl UnaryInteger) -> Box<dyn Kernel> {
    fn build<T: Integer + Element, O: UnaryInteger>(function: O) -> Box<dyn Kernel> {
        unary::<T>(move |x: T| function.integer(x))
    }
    if dtype.is_float() {
        unary_float(dtype, function)
    } else {
        with_integer!(dtype, build(function))
    }
}

fn unary<T: Element>(f: impl isa::Unary<T, T> + Send + Sync + 'static) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (x, out) = io.unary::<T, T>(0, 0);
        match path {
            Path::Fast => pool::share(out, LINE, nanoseconds::<[T; 2]>(x.len()), |first, out| {
                isa::apply(&x[first..][..out.len()], out, f);
            }),
            Path::Reference => out.iter_mut().zip(x).for_each(|(out, &x)| *out = f.call(x)),
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

/// A function of two elements that only integers have.
pub(super) trait BinaryIntegerOnly: Copy + Debug + Send + Sync + 'static {
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

/// A kernel of two inputs and one output of the same float type.
pub(super) fn binary_float(
    inputs: &Inputs<'_>,
    output: &TensorType,
    function: impl BinaryFloat,
) -> Result<Box<dyn Kernel>, OpError> {
    fn build<F: FloatFormat, O: BinaryFloat>(operands: Pair, function: O) -> Box<dyn Kernel> {
        pair_of::<F::Stored, F::Stored, F::Stored>(operands, zip_of(Between::<F, O>(function, PhantomData)))
    }
    let operands = Pair::of(inputs, &output.shape)?;
    Ok(with_float_format!(output.dtype, build(operands, function)))
}

/// A kernel of two inputs and one output of the same integer type.
pub(super) fn binary_integer(
    inputs: &Inputs<'_>,
    output: &TensorType,
    function: impl BinaryIntegerOnly,
) -> Result<Box<dyn Kernel>, OpError> {
    fn build<T: Integer + Element, O: BinaryIntegerOnly>(operands: Pair, function: O) -> Box<dyn Kernel> {
        pair::<T, T, T>(operands, move |a, b| function.integer(a, b))
    }
    let operands = Pair::of(inputs, &output.shape)?;
    Ok(with_integer!(output.dtype, build(operands, function)))
}

/// A kernel of any number of inputs and one output of one type: the function is applied from the left.
pub(super) fn fold_number(
    inputs: &Inputs<'_>,
    output: &TensorType,
    function: impl BinaryInteger,
) -> Result<Box<dyn Kernel>, OpError> {
    fn floats<F: FloatFormat, O: BinaryFloat>(pairs: Vec<Pair>, function: O) -> Box<dyn Kernel> {
        fold::<F::Stored>(pairs, zip_of(Between::<F, O>(function, PhantomData)))
    }
    fn integers<T: Integer + Element, O: BinaryInteger>(pairs: Vec<Pair>, function: O) -> Box<dyn Kernel> {
        fold::<T>(pairs, zip_of(move |a: T, b: T| function.integer(a, b)))
    }
    let shapes = (0..inputs.len()).map(|index| Ok(inputs.required(index)?.shape));
    let shapes = shapes.collect::<Result<Vec<_>, OpError>>()?;
    let shape = &output.shape[..];
    let pairs = match shapes[..] {
        [a] => vec![Pair::new(a, a, shape)],
        [a, b, ref rest @ ..] => {
            let others = rest.iter().map(|other| Pair::new(shape, other, shape));
            std::iter::once(Pair::new(a, b, shape)).chain(others).collect()
        }
        [] => return Err(OpError::MissingInput { index: 0 }),
    };
    Ok(if output.dtype.is_float() {
        with_float_format!(output.dtype, floats(pairs, function))
    } else {
        with_integer!(output.dtype, integers(pairs, function))
    })
}

/// Folds the inputs from the left: the first pair is of two inputs (of one and itself if it is alone), each other one of what was
/// computed so far and the next input. A fold of 16-bit floats rounds after every function, which changes nothing for those
/// that return one of their operands (Min, Max), the only ones with more than two inputs.
fn fold<T: Element>(pairs: Vec<Pair>, f: Box<Zip<T, T, T>>) -> Box<dyn Kernel> {
    let so_far = if pairs.len() > 1 {
        element_count(&pairs[0].shapes[2])
    } else {
        0
    };
    let scratch = so_far.saturating_mul(size_of::<T>());
    kernel_with_scratch(scratch, move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (inputs, outputs, scratch) = io.split();
        let read = |index: usize| inputs[index].map_or(&[][..], |view| view.as_slice::<T>());
        let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
            return Ok(());
        };
        let out = out.as_mut_slice::<T>();
        if inputs.len() == 1 {
            out.copy_from_slice(read(0));
            return Ok(());
        }
        pairs[0].run(path, read(0), read(1), out, &f);
        for (index, pair) in pairs.iter().enumerate().skip(1) {
            let so_far: &mut [T] = &mut bytemuck::cast_slice_mut(scratch)[..out.len()];
            so_far.copy_from_slice(out);
            pair.run(path, so_far, read(index + 1), out, &f);
        }
        Ok(())
    })
}

/// A kernel from two operands of possibly different types to a third.
pub(super) fn pair<A: Element, B: Element, U: Element>(
    pair: Pair,
    f: impl Fn(A, B) -> U + Copy + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    pair_of(pair, zip_of(f))
}

fn pair_of<A: Element, B: Element, U: Element>(pair: Pair, f: Box<Zip<A, B, U>>) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let (path, a, b) = (io.path, io.input(0).as_slice::<A>(), io.input(1).as_slice::<B>());
        let out = io.output(0).map_or(&mut [][..], TensorViewMut::as_mut_slice::<U>);
        pair.run(path, a, b, out, &f);
        Ok(())
    })
}

/// Multiply-add equivalents of a function of an element.
#[derive(Debug, Clone, Copy)]
pub(super) struct PerElement {
    /// In floats of 16 and 32 bits.
    pub(super) f32: u64,
    /// In `f64`.
    pub(super) f64: u64,
    /// In integers.
    pub(super) integers: u64,
}

impl From<u64> for PerElement {
    /// Twice as many in `f64`, of which vectors hold half as many.
    fn from(each: u64) -> Self {
        Self {
            f32: each,
            f64: each.saturating_mul(2),
            integers: each,
        }
    }
}

impl PerElement {
    /// As many in `f64`: the other types are computed in it.
    pub(super) fn through_f64(each: u64) -> Self {
        Self {
            f64: each,
            ..each.into()
        }
    }
}

/// Work of an elementwise operator, with a fixed part for each run, whose length is the last dimension.
pub(super) fn elementwise_work(
    inputs: &Inputs<'_>,
    outputs: &[TensorType],
    per_element: impl Into<PerElement>,
) -> Work {
    let per_element = per_element.into();
    let Some(output) = outputs.first() else {
        return Work::default();
    };
    let elements = output.elements() as u64;
    let per_element = match output.dtype {
        DType::F64 => per_element.f64,
        DType::F32 | DType::F16 | DType::BF16 => per_element.f32,
        // a vector holds four times as many
        DType::I8 | DType::U8 | DType::Bool => per_element.integers.div_ceil(2),
        _ => per_element.integers,
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
        // the first ones are shared out among threads
        synod_numerics::pool::set_threads(3);
        let shapes: [([usize; 3], [usize; 3]); 10] = [
            ([30, 40, 50], [30, 40, 50]),
            ([30, 40, 50], [1, 40, 1]),
            ([300, 1, 1], [1, 1, 257]),
            ([2, 3, 4], [2, 3, 4]),
            ([2, 3, 4], [1, 3, 1]),
            ([2, 1, 4], [2, 3, 1]),
            ([1, 1, 1], [1, 1, 1]),
            ([1, 3, 1], [2, 1, 1]),
            ([0, 3, 1], [1, 1, 4]),
            ([1, 1, 700], [2, 1, 1]),
        ];
        for (a_shape, b_shape) in shapes {
            let output = broadcast(&[&a_shape, &b_shape]).unwrap();
            let a: Vec<i32> = (0..element_count(&a_shape) as i32).collect();
            let b: Vec<i32> = (0..element_count(&b_shape) as i32).map(|i| 100 * i).collect();
            let pair = Pair::new(&a_shape, &b_shape, &output);
            let mut results =
                [Path::Fast, Path::Reference].map(|path| (path, vec![-1; element_count(&output)]));
            for (path, out) in &mut results {
                pair.run(*path, &a, &b, out, &zip_of(|a: i32, b: i32| a + b));
            }
            assert_eq!(results[0].1, results[1].1, "{a_shape:?} and {b_shape:?}");
        }
    }
}
