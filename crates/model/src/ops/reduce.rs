//! Reductions: ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceProd, ReduceL1, ReduceL2, ReduceSumSquare, ReduceLogSum,
//! ReduceLogSumExp; ArgMax and ArgMin.
//!
//! The reduced elements are taken in row-major order of the reduced axes. Floats are summed and multiplied in sixteen lanes
//! that one fixed tree combines; integers wrap, and their mean is the wrapped sum divided towards zero (0 of nothing).
//! Maxima and minima are exact: NaN if there is one, -0 below +0; of nothing, the lowest (highest) value of the type. Of
//! equal extremes an Arg operator takes the first, or the last, and a NaN before any number.

use super::{
    DType, Definition, FLOATS, Inputs, Io, Kernel, NUMBERS, NodeSpec, OpError, Operator, Path, TensorType,
    Work,
    data::{Strided, distinct_axes, signed_strides},
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    kernel, kernel_with_scratch, normalize_axis, streamed,
};
use crate::tensor::{Element, TensorView, TensorViewMut};
use synod_numerics::{
    fast::{self, IntegerFold},
    half::{bf16_to_f32, f16_to_f32},
    integer::Integer,
    reference::{self, Extreme, Order},
    shape::ReduceShape,
};

/// What is made of the reduced elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sum,
    Mean,
    Product,
    Extreme(Extreme),
    /// Sum of magnitudes.
    L1,
    /// Root of the sum of squares.
    L2,
    SumSquare,
    /// Logarithm of the sum.
    LogSum,
    /// Logarithm of the sum of exponentials.
    LogSumExp,
}

impl Kind {
    /// Whether the elements are replaced by a function of them before they are summed.
    fn transforms(self) -> bool {
        matches!(self, Self::L1 | Self::LogSumExp)
    }

    fn types(self) -> &'static [DType] {
        match self {
            Self::Extreme(_) => EXTREME_TYPES,
            Self::LogSum | Self::LogSumExp => FLOATS,
            _ => SUM_TYPES,
        }
    }
}

/// `ReduceL1`
pub(super) const REDUCE_L1: Definition = Definition {
    name: "ReduceL1",
    since: &[1, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::L1, 18),
};

/// `ReduceL2`
pub(super) const REDUCE_L2: Definition = Definition {
    name: "ReduceL2",
    since: &[1, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::L2, 18),
};

/// `ReduceSumSquare`
pub(super) const REDUCE_SUM_SQUARE: Definition = Definition {
    name: "ReduceSumSquare",
    since: &[1, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::SumSquare, 18),
};

/// `ReduceLogSum`
pub(super) const REDUCE_LOG_SUM: Definition = Definition {
    name: "ReduceLogSum",
    since: &[1, 11, 13, 18, 28],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::LogSum, 18),
};

/// `ReduceLogSumExp`
pub(super) const REDUCE_LOG_SUM_EXP: Definition = Definition {
    name: "ReduceLogSumExp",
    since: &[1, 11, 13, 18, 28],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::LogSumExp, 18),
};

/// `ReduceSum`
pub(super) const REDUCE_SUM: Definition = Definition {
    name: "ReduceSum",
    since: &[1, 11, 13],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::Sum, 13),
};

/// `ReduceMean`
pub(super) const REDUCE_MEAN: Definition = Definition {
    name: "ReduceMean",
    since: &[1, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::Mean, 18),
};

/// `ReduceProd`
pub(super) const REDUCE_PROD: Definition = Definition {
    name: "ReduceProd",
    since: &[1, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::Product, 18),
};

/// `ReduceMax`
pub(super) const REDUCE_MAX: Definition = Definition {
    name: "ReduceMax",
    since: &[1, 11, 12, 13, 18, 20],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::Extreme(Extreme::Max), 18),
};

/// `ReduceMin`
pub(super) const REDUCE_MIN: Definition = Definition {
    name: "ReduceMin",
    since: &[1, 11, 12, 13, 18, 20],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| Reduce::parse(node, Kind::Extreme(Extreme::Min), 18),
};

#[derive(Debug)]
struct Reduce {
    kind: Kind,
    /// The axes, where they are an attribute; later versions have them as input 1.
    axes: Option<Vec<i64>>,
    keep_dims: bool,
    /// Without axes: nothing is reduced, instead of everything.
    noop: bool,
}

const SUM_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U32,
    DType::U64,
];

const EXTREME_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U32,
    DType::U64,
    DType::Bool,
];

impl Reduce {
    fn parse(node: &mut NodeSpec<'_>, kind: Kind, axes_are_input: i64) -> Result<Box<dyn Operator>, OpError> {
        let keep_dims = node.attributes.flag("keepdims", true)?;
        let as_input = node.version >= axes_are_input;
        if !as_input && node.inputs.len() > 1 {
            return Err(OpError::InputCount {
                got: node.inputs.len(),
                min: 1,
                max: 1,
            });
        }
        let axes = if as_input {
            None
        } else {
            node.attributes.ints("axes")?
        };
        let noop = as_input && node.attributes.flag("noop_with_empty_axes", false)?;
        Ok(Box::new(Reduce {
            kind,
            axes,
            keep_dims,
            noop,
        }))
    }

    /// For each dimension, whether it is reduced.
    fn reduced(&self, inputs: &Inputs<'_>) -> Result<Vec<bool>, OpError> {
        let rank = inputs.required(0)?.shape.len();
        let axes = match &self.axes {
            Some(axes) => Some(axes.clone()),
            None => inputs.known_i64s_if_given(1)?,
        };
        let mut reduced = vec![false; rank];
        match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => {
                distinct_axes(&axes, rank)?
                    .into_iter()
                    .for_each(|axis| reduced[axis] = true);
            }
            None => reduced.fill(!self.noop),
        }
        Ok(reduced)
    }
}

/// The shape of a reduction's result.
fn result_shape(shape: &[usize], reduced: &[bool], keep_dims: bool) -> Vec<usize> {
    let dims = shape.iter().zip(reduced);
    if keep_dims {
        dims.map(|(&dim, &reduced)| if reduced { 1 } else { dim })
            .collect()
    } else {
        dims.filter(|(_, reduced)| !**reduced)
            .map(|(&dim, _)| dim)
            .collect()
    }
}

/// How a reduction of some axes becomes one of a middle axis.
#[derive(Debug, Clone)]
pub(super) struct Arrangement {
    pub(super) shape: ReduceShape,
    /// If the reduced axes do not lie side by side: gathers them behind the kept ones.
    gather: Option<Strided>,
    elements: usize,
}

impl Arrangement {
    pub(super) fn new(shape: &[usize], reduced: &[bool]) -> Self {
        let elements = shape.iter().product();
        // dimensions of 1 may count as reduced or not
        let wide: Vec<usize> = (0..shape.len()).filter(|&axis| shape[axis] != 1).collect();
        let first = wide.iter().position(|&axis| reduced[axis]);
        let last = wide.iter().rposition(|&axis| reduced[axis]);
        let product = |axes: &[usize]| axes.iter().map(|&axis| shape[axis]).product::<usize>();
        let (Some(first), Some(last)) = (first, last) else {
            let length = shape
                .iter()
                .zip(reduced)
                .filter(|(_, reduced)| **reduced)
                .map(|(dim, _)| dim)
                .product();
            return Self {
                shape: ReduceShape {
                    outer: elements,
                    length,
                    inner: 1,
                },
                gather: None,
                elements,
            };
        };
        if wide[first..=last].iter().all(|&axis| reduced[axis]) {
            let shape = ReduceShape {
                outer: product(&wide[..first]),
                length: product(&wide[first..=last]),
                inner: product(&wide[last + 1..]),
            };
            return Self {
                shape,
                gather: None,
                elements,
            };
        }
        let (back, front): (Vec<usize>, Vec<usize>) = wide.iter().partition(|&&axis| reduced[axis]);
        let shape_of = ReduceShape {
            outer: product(&front),
            length: product(&back),
            inner: 1,
        };
        let own = signed_strides(shape);
        let order: Vec<usize> = front.into_iter().chain(back).collect();
        let gathered: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let strides = order.iter().map(|&axis| own[axis]).collect();
        Self {
            shape: shape_of,
            gather: Some(Strided::new(&gathered, strides, 0)),
            elements,
        }
    }

    /// Elements of scratch memory for gathering.
    pub(super) fn scratch(&self) -> usize {
        if self.gather.is_some() { self.elements } else { 0 }
    }

    /// The elements, with the reduced ones in the middle.
    pub(super) fn arranged<'a, T: bytemuck::Pod + Send + Sync>(
        &self,
        x: &'a [T],
        scratch: &'a mut [T],
    ) -> &'a [T] {
        match &self.gather {
            None => x,
            Some(gather) => {
                let scratch = &mut scratch[..self.elements];
                gather.run(x, scratch);
                scratch
            }
        }
    }
}

impl Operator for Reduce {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, self.kind.types())?;
        let reduced = self.reduced(inputs)?;
        Ok(vec![TensorType::new(
            x.dtype,
            result_shape(x.shape, &reduced, self.keep_dims),
        )?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = inputs.optional(0).map_or(0, |x| x.elements()) as u64;
        let gathers = match (inputs.optional(0), self.reduced(inputs)) {
            (Some(x), Ok(reduced)) => Arrangement::new(x.shape, &reduced).gather.is_some(),
            _ => false,
        };
        let per_element = if gathers { 80 } else { 7 }
            + match self.kind {
                Kind::L1 => 16,
                Kind::LogSumExp => 320,
                _ => 0,
            };
        let results = outputs[0].elements() as u64;
        Work {
            arithmetic: elements
                .saturating_mul(per_element)
                .saturating_add(results.saturating_mul(1_500)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let arrangement = Arrangement::new(inputs.required(0)?.shape, &self.reduced(inputs)?);
        let reduction = Reduction {
            kind: self.kind,
            arrangement,
        };
        let kernel = match outputs[0].dtype {
            DType::I8 => reduction.of_integers::<i8>(),
            DType::I32 => reduction.of_integers::<i32>(),
            DType::I64 => reduction.of_integers::<i64>(),
            // false and true are ordered as 0 and 1
            DType::U8 | DType::Bool => reduction.of_integers::<u8>(),
            DType::U32 => reduction.of_integers::<u32>(),
            DType::U64 => reduction.of_integers::<u64>(),
            _ => on_floats(&reduction, inputs, outputs),
        };
        Ok(if outputs[0].dtype == DType::Bool {
            bounded(self.kind, kernel)
        } else {
            kernel
        })
    }
}

/// The maximum of no bools is false, which is what the lowest byte means; the minimum of none is true, not the highest byte.
fn bounded(kind: Kind, inner: Box<dyn Kernel>) -> Box<dyn Kernel> {
    if kind != Kind::Extreme(Extreme::Min) {
        return inner;
    }
    kernel_with_scratch(inner.scratch_bytes(), move |io: &mut Io<'_, '_>| {
        inner.run(io)?;
        if let Some(out) = io.output(0) {
            out.as_mut_slice::<u8>().iter_mut().for_each(|y| *y = (*y).min(1));
        }
        Ok(())
    })
}

#[derive(Clone)]
struct Reduction {
    kind: Kind,
    arrangement: Arrangement,
}

impl Reduction {
    fn of_integers<T: Integer + Element + Order>(self) -> Box<dyn Kernel> {
        let bytes = self.arrangement.scratch().saturating_mul(size_of::<T>());
        kernel_with_scratch(bytes, move |io: &mut Io<'_, '_>| {
            let (path, x) = (io.path, io.input(0).as_slice::<T>());
            let (_, outputs, scratch) = io.split();
            let out = outputs.first_mut().and_then(Option::as_mut);
            let out = out.map_or(&mut [][..], TensorViewMut::as_mut_slice::<T>);
            let x = self.arrangement.arranged(x, bytemuck::cast_slice_mut(scratch));
            let shape = &self.arrangement.shape;
            match (path, self.kind) {
                (Path::Fast, Kind::Extreme(extreme)) => fast::reduce_extreme(extreme, shape, x, out),
                (Path::Reference, Kind::Extreme(extreme)) => {
                    reference::reduce_extreme(extreme, shape, x, out)
                }
                (Path::Fast, kind) => {
                    match kind {
                        Kind::Product => fast::reduce_integers(IntegerFold::Product, shape, x, out),
                        Kind::L1 => fast::reduce_integers(IntegerFold::Magnitudes, shape, x, out),
                        Kind::L2 | Kind::SumSquare => {
                            fast::reduce_integers(IntegerFold::Squares, shape, x, out);
                        }
                        _ => fast::reduce_integers(IntegerFold::Sum, shape, x, out),
                    }
                    finish_integers(kind, shape.length, out);
                }
                (Path::Reference, kind) => {
                    reduce_integers(kind, shape, x, out);
                    finish_integers(kind, shape.length, out);
                }
            }
            Ok(())
        })
    }
}

/// Sums and products of integers, one element after the other; they wrap, so that any other order gives the same. A root is that of the wrapped sum as an `f64`, truncated.
fn reduce_integers<T: Integer>(kind: Kind, shape: &ReduceShape, x: &[T], out: &mut [T]) {
    let one = T::wrap(1);
    for o in 0..shape.outer {
        let out = &mut out[o * shape.inner..][..shape.inner];
        out.fill(if kind == Kind::Product { one } else { T::default() });
        for row in
            x[o * shape.length * shape.inner..][..shape.length * shape.inner].chunks_exact(shape.inner.max(1))
        {
            for (y, &x) in out.iter_mut().zip(row) {
                *y = match kind {
                    Kind::Product => y.mul(x),
                    Kind::L1 => y.add(x.abs()),
                    Kind::L2 | Kind::SumSquare => y.add(x.mul(x)),
                    _ => y.add(x),
                };
            }
        }
    }
}

/// What follows the sum of `length` elements.
fn finish_integers<T: Integer>(kind: Kind, length: usize, out: &mut [T]) {
    if kind == Kind::L2 {
        out.iter_mut()
            .for_each(|y| *y = T::from_float((y.to_i128() as f64).sqrt()));
    }
    if kind == Kind::Mean {
        let length = T::wrap(length as i128);
        out.iter_mut().for_each(|y| *y = y.div(length));
    }
}

impl FloatOperation for Reduction {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Reduction {
    fn scratch(&self) -> usize {
        let shape = &self.arrangement.shape;
        match self.kind {
            Kind::L1 => self.arrangement.elements,
            // the shifted exponentials, and what each line was shifted by
            Kind::LogSumExp => self.arrangement.elements + shape.outer * shape.inner,
            _ => self.arrangement.scratch(),
        }
    }

    fn reads(&self, _path: Path, input: usize) -> bool {
        // the axes were read while planning
        input == 0
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (shape, out) = (&self.arrangement.shape, &mut *outputs[0]);
        if self.kind.transforms() {
            return self.transformed(path, required(inputs, 0), out, scratch);
        }
        let x = self.arrangement.arranged(required(inputs, 0), scratch);
        match (path, self.kind) {
            (Path::Fast, Kind::L2 | Kind::SumSquare) => fast::reduce_sum_of_squares(shape, x, out),
            (Path::Reference, Kind::L2 | Kind::SumSquare) => reference::reduce_sum_of_squares(shape, x, out),
            (Path::Fast, Kind::LogSum) => fast::reduce_sum(shape, x, out),
            (Path::Reference, Kind::LogSum) => reference::reduce_sum(shape, x, out),
            (_, Kind::L1 | Kind::LogSumExp) => unreachable!("these transform their elements"),
            (Path::Fast, Kind::Sum) => fast::reduce_sum(shape, x, out),
            (Path::Reference, Kind::Sum) => reference::reduce_sum(shape, x, out),
            (Path::Fast, Kind::Mean) => fast::reduce_mean(shape, x, out),
            (Path::Reference, Kind::Mean) => reference::reduce_mean(shape, x, out),
            (Path::Fast, Kind::Product) => fast::reduce_product(shape, x, out),
            (Path::Reference, Kind::Product) => reference::reduce_product(shape, x, out),
            (Path::Fast, Kind::Extreme(extreme)) => fast::reduce_extreme(extreme, shape, x, out),
            (Path::Reference, Kind::Extreme(extreme)) => reference::reduce_extreme(extreme, shape, x, out),
        }
        match self.kind {
            Kind::L2 => out.iter_mut().for_each(|y| *y = y.sqrt().canonical()),
            Kind::LogSum => out.iter_mut().for_each(|y| *y = y.log()),
            _ => {}
        }
    }
}

impl Reduction {
    /// Sums of magnitudes, and log Σ e^x: with c the greatest of a line (0 if that is not finite), log Σ e^(x − c) + c.
    fn transformed<T: Compute>(&self, path: Path, x: &[T], out: &mut [T], scratch: &mut [T]) {
        let shape = &self.arrangement.shape;
        let (elements, shifts) = scratch.split_at_mut(self.arrangement.elements);
        match &self.arrangement.gather {
            Some(gather) => gather.run(x, elements),
            None => elements.copy_from_slice(x),
        }
        let sum = match path {
            Path::Fast => fast::reduce_sum::<T>,
            Path::Reference => reference::reduce_sum::<T>,
        };
        if self.kind == Kind::L1 {
            elements.iter_mut().for_each(|x| *x = x.abs());
            return sum(shape, elements, out);
        }
        let shifts = &mut shifts[..out.len()];
        match path {
            Path::Fast => fast::reduce_extreme(Extreme::Max, shape, elements, shifts),
            Path::Reference => reference::reduce_extreme(Extreme::Max, shape, elements, shifts),
        }
        shifts
            .iter_mut()
            .for_each(|c| *c = if c.abs() < T::INFINITY { *c } else { T::ZERO });
        let lines = elements.chunks_exact_mut(shape.inner.max(1));
        for (number, line) in lines.enumerate() {
            let outer = number / shape.length.max(1);
            let shifts = &shifts[outer * shape.inner..][..line.len()];
            line.iter_mut()
                .zip(shifts)
                .for_each(|(x, &c)| *x = (*x - c).exp());
        }
        sum(shape, elements, out);
        out.iter_mut()
            .zip(&*shifts)
            .for_each(|(y, &c)| *y = (y.log() + c).canonical());
    }
}

/// `ArgMax`
pub(super) const ARG_MAX: Definition = Definition {
    name: "ArgMax",
    since: &[1, 11, 12, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Arg::parse(node, Extreme::Max),
};

/// `ArgMin`
pub(super) const ARG_MIN: Definition = Definition {
    name: "ArgMin",
    since: &[1, 11, 12, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Arg::parse(node, Extreme::Min),
};

#[derive(Debug)]
struct Arg {
    extreme: Extreme,
    axis: i64,
    keep_dims: bool,
    last: bool,
}

impl Arg {
    fn parse(node: &mut NodeSpec<'_>, extreme: Extreme) -> Result<Box<dyn Operator>, OpError> {
        let axis = node.attributes.int("axis")?.unwrap_or(0);
        let keep_dims = node.attributes.flag("keepdims", true)?;
        let last = node.version >= 12 && node.attributes.flag("select_last_index", false)?;
        Ok(Box::new(Arg {
            extreme,
            axis,
            keep_dims,
            last,
        }))
    }

    fn shape(&self, shape: &[usize]) -> Result<(ReduceShape, Vec<bool>), OpError> {
        let axis = normalize_axis(self.axis, shape.len())?;
        if shape[axis] == 0 {
            return Err(OpError::Shape(format!(
                "axis {axis} of {shape:?} has no element to choose"
            )));
        }
        let product = |dims: &[usize]| dims.iter().product();
        let reduce = ReduceShape {
            outer: product(&shape[..axis]),
            length: shape[axis],
            inner: product(&shape[axis + 1..]),
        };
        Ok((reduce, (0..shape.len()).map(|other| other == axis).collect()))
    }
}

impl Operator for Arg {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, NUMBERS)?;
        let (_, reduced) = self.shape(x.shape)?;
        Ok(vec![TensorType::new(
            DType::I64,
            result_shape(x.shape, &reduced, self.keep_dims),
        )?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = inputs.optional(0).map_or(0, |x| x.elements()) as u64;
        Work {
            arithmetic: elements.saturating_mul(120),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let (shape, _) = self.shape(x.shape)?;
        let choose = Choose {
            extreme: self.extreme,
            last: self.last,
            shape,
        };
        Ok(match x.dtype {
            DType::F32 => choose.of::<f32>(),
            DType::F64 => choose.of::<f64>(),
            DType::F16 => choose.of_halves(f16_to_f32),
            DType::BF16 => choose.of_halves(bf16_to_f32),
            DType::I8 => choose.of::<i8>(),
            DType::I16 => choose.of::<i16>(),
            DType::I32 => choose.of::<i32>(),
            DType::I64 => choose.of::<i64>(),
            DType::U8 | DType::Bool => choose.of::<u8>(),
            DType::U16 => choose.of::<u16>(),
            DType::U32 => choose.of::<u32>(),
            DType::U64 => choose.of::<u64>(),
        })
    }
}

/// An Arg operator of a concrete shape. One implementation serves both paths: it is the reference's.
#[derive(Clone, Copy)]
struct Choose {
    extreme: Extreme,
    last: bool,
    shape: ReduceShape,
}

impl Choose {
    fn write<T: Order>(&self, x: &[T], out: Option<&mut TensorViewMut<'_>>) {
        if let Some(out) = out {
            reference::arg_extreme(self.extreme, self.last, &self.shape, x, out.as_mut_slice::<i64>());
        }
    }

    fn of<T: Element + Order>(self) -> Box<dyn Kernel> {
        kernel(move |io: &mut Io<'_, '_>| {
            let x = io.input(0).as_slice::<T>();
            self.write(x, io.output(0));
            Ok(())
        })
    }

    fn of_halves(self, widen: fn(u16) -> f32) -> Box<dyn Kernel> {
        let elements = self.shape.outer * self.shape.length * self.shape.inner;
        kernel_with_scratch(elements.saturating_mul(4), move |io: &mut Io<'_, '_>| {
            let (inputs, outputs, scratch) = io.split();
            let x = inputs[0].map_or(&[][..], |x: TensorView<'_>| x.as_slice::<u16>());
            let wide: &mut [f32] = &mut bytemuck::cast_slice_mut(scratch)[..x.len()];
            wide.iter_mut().zip(x).for_each(|(wide, &x)| *wide = widen(x));
            self.write(wide, outputs.first_mut().and_then(Option::as_mut));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_side_by_side_are_reduced_in_place() {
        let arrangement = Arrangement::new(&[2, 3, 4, 5], &[false, true, true, false]);
        assert_eq!(
            arrangement.shape,
            ReduceShape {
                outer: 2,
                length: 12,
                inner: 5
            }
        );
        assert!(arrangement.gather.is_none());
        // a dimension of 1 between reduced ones does not separate them
        let arrangement = Arrangement::new(&[2, 3, 1, 4], &[false, true, false, true]);
        assert_eq!(
            arrangement.shape,
            ReduceShape {
                outer: 2,
                length: 12,
                inner: 1
            }
        );
        assert!(arrangement.gather.is_none());
        // nothing reduced, or only dimensions of 1
        let arrangement = Arrangement::new(&[2, 1], &[false, true]);
        assert_eq!(
            arrangement.shape,
            ReduceShape {
                outer: 2,
                length: 1,
                inner: 1
            }
        );
    }

    #[test]
    fn axes_apart_are_gathered_in_row_major_order() {
        let arrangement = Arrangement::new(&[2, 3, 2], &[true, false, true]);
        assert_eq!(
            arrangement.shape,
            ReduceShape {
                outer: 3,
                length: 4,
                inner: 1
            }
        );
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut scratch = vec![0.0; arrangement.scratch()];
        let gathered = arrangement.arranged(&x, &mut scratch);
        assert_eq!(gathered, [0., 1., 6., 7., 2., 3., 8., 9., 4., 5., 10., 11.]);
    }
}
