//! QuantizeLinear, DequantizeLinear (versions 10 to 28) and DynamicQuantizeLinear (version 11).
//!
//! Quantised numbers stand for (q − zero point) × scale, with one scale for a tensor, for each place along an axis, or for each
//! block of places. All arithmetic is in f32: the quotient is rounded, then rounded to an integer (ties to even), then the
//! zero point is added and the sum held within the type's range. Backwards, the difference is exact in 32 bits (wrapping), and
//! becomes f32, and the product is rounded once more where it is stored in 16 bits.

use super::{
    AttributeError, DType, Definition, Elementwise, InRegisters, Inputs, Io, Kernel, NodeSpec, OpError,
    Operand, Operator, TensorType, Work, kernel_with_scratch, normalize_axis, streamed,
};
use crate::tensor::{TensorView, TensorViewMut};
use synod_numerics::{
    fast,
    float::Float,
    half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16},
    isa,
    quantize::{Grid, Steps, dequantize, dequantize_each, quantize, quantize_bytes, quantize_each},
    reference::Extreme,
    shape::ReduceShape,
};

/// What QuantizeLinear reads.
const READ: &[DType] = &[DType::F32, DType::F16, DType::BF16, DType::I32];
/// What it writes, and DequantizeLinear reads.
const QUANTIZED: &[DType] = &[DType::I8, DType::U8, DType::I16, DType::U16];
/// What DequantizeLinear reads.
const STORED: &[DType] = &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I32];
/// What it writes.
const WRITTEN: &[DType] = &[DType::F32, DType::F16, DType::BF16];

/// Multiply-add equivalents of an element.
const PER_ELEMENT: u64 = 48;
/// Of each run of elements with one scale, or with a row of scales.
const PER_RUN: u64 = 2_000;
/// Elements converted at a time.
const CHUNK: usize = 256;

/// The range of a quantised type.
pub(super) fn integer_range(dtype: DType) -> Option<(i32, i32)> {
    Some(match dtype {
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        DType::I16 => (-32_768, 32_767),
        DType::U16 => (0, 65_535),
        _ => return None,
    })
}

/// `QuantizeLinear`
pub(super) const QUANTIZE_LINEAR: Definition = Definition {
    name: "QuantizeLinear",
    since: &[10, 13, 19, 21, 23, 24, 25, 28],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        if node.version >= 19 {
            // how floats of 8 bits overflow
            node.attributes.flag("saturate", true)?;
        }
        if node.version >= 23 {
            float_type(node, "precision")?;
        }
        let layout = Layout::parse(node)?;
        let output = output_type(node, 21, QUANTIZED, "a quantised type of the profile")?;
        Ok(Box::new(QuantizeLinear { layout, output }))
    },
};

/// `DequantizeLinear`
pub(super) const DEQUANTIZE_LINEAR: Definition = Definition {
    name: "DequantizeLinear",
    since: &[10, 13, 19, 21, 23, 24, 25, 28],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        let layout = Layout::parse(node)?;
        let output = output_type(node, 23, WRITTEN, "1, 10 or 16")?;
        Ok(Box::new(DequantizeLinear { layout, output }))
    },
};

/// An attribute that names a float type, or 0 for none.
fn float_type(node: &mut NodeSpec<'_>, name: &'static str) -> Result<(), OpError> {
    match node.attributes.int(name)?.unwrap_or(0) {
        0 | 1 | 10 | 16 => Ok(()),
        other => Err(AttributeError::Value {
            name,
            value: other.to_string(),
            expected: "1, 10 or 16",
        }
        .into()),
    }
}

/// The attribute `output_dtype`, which is there from version `first`.
fn output_type(
    node: &mut NodeSpec<'_>,
    first: i64,
    types: &[DType],
    expected: &'static str,
) -> Result<Option<DType>, OpError> {
    let name = "output_dtype";
    let code = if node.version >= first {
        node.attributes.int(name)?.unwrap_or(0)
    } else {
        0
    };
    if code == 0 {
        return Ok(None);
    }
    let dtype = i32::try_from(code).ok().and_then(DType::from_onnx_code);
    match dtype.filter(|dtype| types.contains(dtype)) {
        Some(dtype) => Ok(Some(dtype)),
        None => Err(AttributeError::Value {
            name,
            value: code.to_string(),
            expected,
        }
        .into()),
    }
}

/// How scales are spread, as the attributes say it.
#[derive(Debug, Clone, Copy)]
struct Layout {
    axis: i64,
    block: usize,
}

impl Layout {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let axis = if node.version >= 13 {
            node.attributes.int("axis")?.unwrap_or(1)
        } else {
            1
        };
        let block = if node.version >= 21 {
            node.attributes.int("block_size")?.unwrap_or(0)
        } else {
            0
        };
        let block = usize::try_from(block).map_err(|_| AttributeError::Value {
            name: "block_size",
            value: block.to_string(),
            expected: "0 or more",
        })?;
        Ok(Self { axis, block })
    }

    fn spread(&self, x: &[usize], scale: &[usize]) -> Result<Spread, OpError> {
        let refuse = || {
            OpError::Shape(format!(
                "scales of shape {scale:?} do not fit an input of shape {x:?} (axis {}, block_size {})",
                self.axis, self.block
            ))
        };
        if self.block == 0 && scale.iter().product::<usize>() == 1 && scale.len() <= 1 {
            return Ok(Spread::One);
        }
        let axis = normalize_axis(self.axis, x.len())?;
        let (length, inner) = (x[axis], x[axis + 1..].iter().product());
        if self.block == 0 {
            return if scale == [length] {
                Ok(Spread::Axis { length, inner })
            } else {
                Err(refuse())
            };
        }
        let blocks = length.div_ceil(self.block);
        let mut blocked = x.to_vec();
        blocked[axis] = blocks;
        if scale != blocked {
            return Err(refuse());
        }
        Ok(Spread::Blocks {
            length,
            inner,
            block: self.block,
            blocks,
        })
    }
}

/// Which scale an element has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// The only one.
    One,
    /// That of its place along an axis.
    Axis { length: usize, inner: usize },
    /// That of its block along an axis.
    Blocks {
        length: usize,
        inner: usize,
        block: usize,
        blocks: usize,
    },
}

/// The scales of a run of elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scales {
    /// All have this one.
    All(usize),
    /// The first has this one, each other the next.
    From(usize),
}

impl Spread {
    /// Number of runs among so many elements.
    fn runs(&self, elements: usize) -> usize {
        match *self {
            Self::One => 1,
            Self::Axis { length, inner: 1 } => elements / length.max(1),
            Self::Axis { inner, .. } => elements / inner.max(1),
            Self::Blocks {
                length,
                inner: 1,
                blocks,
                ..
            } => elements / length.max(1) * blocks,
            Self::Blocks { inner, .. } => elements / inner.max(1),
        }
    }

    /// Calls `run` with the start and length of each run, and its scales.
    fn each_run(&self, elements: usize, mut run: impl FnMut(usize, usize, Scales)) {
        match *self {
            _ if elements == 0 => {}
            Self::One => run(0, elements, Scales::All(0)),
            Self::Axis { length, inner: 1 } => {
                for start in (0..elements).step_by(length) {
                    run(start, length, Scales::From(0));
                }
            }
            Self::Axis { length, inner } => {
                for (index, start) in (0..elements).step_by(inner).enumerate() {
                    run(start, inner, Scales::All(index % length));
                }
            }
            Self::Blocks {
                length,
                inner: 1,
                block,
                blocks,
            } => {
                for (line, start) in (0..elements).step_by(length).enumerate() {
                    for b in 0..blocks {
                        let size = block.min(length - b * block);
                        run(start + b * block, size, Scales::All(line * blocks + b));
                    }
                }
            }
            Self::Blocks {
                length,
                inner,
                block,
                blocks,
            } => {
                for (index, start) in (0..elements).step_by(inner).enumerate() {
                    let (line, place) = (index / length, index % length);
                    run(
                        start,
                        inner,
                        Scales::From((line * blocks + place / block) * inner),
                    );
                }
            }
        }
    }
}

/// Checks that the zero points lie as the scales do.
fn check_zeros(scale: &Operand<'_>, zero: &Operand<'_>) -> Result<(), OpError> {
    if scale.shape == zero.shape || (scale.elements() == 1 && zero.elements() == 1) {
        Ok(())
    } else {
        Err(OpError::Shape(format!(
            "scales have the shape {:?}, zero points {:?}",
            scale.shape, zero.shape
        )))
    }
}

fn work(inputs: &Inputs<'_>, outputs: &[TensorType], layout: &Layout) -> Work {
    let elements = outputs[0].elements();
    let runs = inputs.optional(1).map_or(0, |scale| {
        layout
            .spread(&outputs[0].shape, scale.shape)
            .map_or(0, |spread| spread.runs(elements))
    });
    Work {
        arithmetic: (elements as u64)
            .saturating_mul(PER_ELEMENT)
            .saturating_add((runs as u64).saturating_mul(PER_RUN)),
        bytes: streamed(inputs, outputs),
    }
}

/// Numbers from `start` as f32, integers rounded.
pub(super) fn read_floats(view: &TensorView<'_>, start: usize, out: &mut [f32]) {
    fn each<A: Copy>(from: &[A], out: &mut [f32], convert: impl Fn(A) -> f32) {
        out.iter_mut().zip(from).for_each(|(out, &x)| *out = convert(x));
    }
    match view.dtype() {
        DType::F32 => out.copy_from_slice(&view.as_slice::<f32>()[start..][..out.len()]),
        DType::F16 => each(&view.as_slice::<u16>()[start..], out, f16_to_f32),
        DType::BF16 => each(&view.as_slice::<u16>()[start..], out, bf16_to_f32),
        _ => each(&view.as_slice::<i32>()[start..], out, |x| x as f32),
    }
}

/// Integers from `start`.
pub(super) fn read_integers(view: &TensorView<'_>, start: usize, out: &mut [i32]) {
    fn each<A: Copy + Into<i32>>(from: &[A], out: &mut [i32]) {
        out.iter_mut().zip(from).for_each(|(out, &x)| *out = x.into());
    }
    match view.dtype() {
        DType::I8 => each(&view.as_slice::<i8>()[start..], out),
        DType::U8 => each(&view.as_slice::<u8>()[start..], out),
        DType::I16 => each(&view.as_slice::<i16>()[start..], out),
        DType::U16 => each(&view.as_slice::<u16>()[start..], out),
        _ => each(&view.as_slice::<i32>()[start..], out),
    }
}

fn write_integers(values: &[i32], out: &mut TensorViewMut<'_>, start: usize) {
    fn each<B>(values: &[i32], out: &mut [B], convert: impl Fn(i32) -> B) {
        out.iter_mut().zip(values).for_each(|(out, &x)| *out = convert(x));
    }
    match out.dtype() {
        DType::I8 => each(values, &mut out.as_mut_slice::<i8>()[start..], |x| x as i8),
        DType::U8 => each(values, &mut out.as_mut_slice::<u8>()[start..], |x| x as u8),
        DType::I16 => each(values, &mut out.as_mut_slice::<i16>()[start..], |x| x as i16),
        _ => each(values, &mut out.as_mut_slice::<u16>()[start..], |x| x as u16),
    }
}

fn write_floats(values: &[f32], out: &mut TensorViewMut<'_>, start: usize) {
    fn each<B>(values: &[f32], out: &mut [B], convert: impl Fn(f32) -> B) {
        out.iter_mut().zip(values).for_each(|(out, &x)| *out = convert(x));
    }
    match out.dtype() {
        DType::F16 => each(values, &mut out.as_mut_slice::<u16>()[start..], f32_to_f16),
        DType::BF16 => each(values, &mut out.as_mut_slice::<u16>()[start..], f32_to_bf16),
        _ => each(values, &mut out.as_mut_slice::<f32>()[start..], Float::canonical),
    }
}

/// Scratch bytes of [`factors`].
fn factors_bytes(scales: usize) -> usize {
    8usize.saturating_mul(scales)
}

/// Scales and zero points of a run.
fn factors<'a>(
    scale: &TensorView<'_>,
    zero: Option<&TensorView<'_>>,
    scratch: &'a mut [u8],
) -> (&'a [f32], &'a [i32]) {
    let count: usize = scale.shape().iter().product();
    let (scales, zeros) = scratch[..factors_bytes(count)].split_at_mut(4 * count);
    let (scales, zeros): (&mut [f32], &mut [i32]) =
        (bytemuck::cast_slice_mut(scales), bytemuck::cast_slice_mut(zeros));
    read_floats(scale, 0, scales);
    match zero {
        Some(zero) => read_integers(zero, 0, zeros),
        None => zeros.fill(0),
    }
    (scales, zeros)
}

#[derive(Debug)]
struct QuantizeLinear {
    layout: Layout,
    output: Option<DType>,
}

impl Operator for QuantizeLinear {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, READ)?;
        let scale = inputs.of_types(1, READ)?;
        let mut dtype = self.output.unwrap_or(DType::U8);
        if inputs.optional(2).is_some() {
            let zero = match self.output {
                Some(output) => inputs.like(2, output)?,
                None => inputs.of_types(2, QUANTIZED)?,
            };
            check_zeros(&scale, &zero)?;
            dtype = zero.dtype;
        }
        self.layout.spread(x.shape, scale.shape)?;
        Ok(vec![TensorType::new(dtype, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        work(inputs, outputs, &self.layout)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let scale = inputs.required(1)?;
        let spread = self.layout.spread(&outputs[0].shape, scale.shape)?;
        let elements = outputs[0].elements();
        let (low, high) = integer_range(outputs[0].dtype)
            .ok_or_else(|| OpError::Value(format!("{} is no quantised type", outputs[0].dtype)))?;
        let scratch = factors_bytes(scale.elements());
        Ok(kernel_with_scratch(scratch, move |io: &mut Io<'_, '_>| {
            let (x, scale) = (io.input(0), io.input(1));
            let zero = io.optional_input(2);
            let (_, outputs, scratch) = io.split();
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let (scales, zeros) = factors(&scale, zero.as_ref(), scratch);
            let grid = |index: usize| Grid {
                zero: zeros[index],
                low,
                high,
            };
            spread.each_run(elements, |start, length, of| {
                for first in (0..length).step_by(CHUNK) {
                    let count = CHUNK.min(length - first);
                    let (mut read, mut written) = ([0.0f32; CHUNK], [0i32; CHUNK]);
                    let (read, written) = (&mut read[..count], &mut written[..count]);
                    read_floats(&x, start + first, read);
                    match of {
                        Scales::All(index) => quantize(read, scales[index], grid(index), written),
                        Scales::From(index) => {
                            let own = index + first..index + first + count;
                            quantize_each(read, &scales[own.clone()], &zeros[own], low, high, written);
                        }
                    }
                    write_integers(written, out, start + first);
                }
            });
            Ok(())
        }))
    }

    fn elementwise(&self, inputs: &Inputs<'_>) -> Option<Elementwise> {
        let (scale, grid) = one_scale(inputs, DType::F32)?;
        Some(Elementwise::ToBytes(Box::new(
            move |x: &[f32], out: &mut [u8]| quantize_bytes(x, scale, grid, out),
        )))
    }

    fn in_registers(&self, inputs: &Inputs<'_>) -> Option<InRegisters> {
        let (scale, grid) = one_scale(inputs, DType::F32)?;
        Some(InRegisters::ToSteps(Steps { scale, grid }))
    }
}

/// The scale and the grid of bytes, if they are known and the same for all elements of an input of this type.
fn one_scale(inputs: &Inputs<'_>, of: DType) -> Option<(f32, Grid)> {
    let (scale, zero) = (inputs.optional(1)?, inputs.optional(2)?);
    let (low, high) = integer_range(zero.dtype)?;
    let fits = inputs.optional(0)?.dtype == of
        && matches!(zero.dtype, DType::U8 | DType::I8)
        && scale.dtype == DType::F32
        && scale.elements() == 1
        && scale.shape.len() <= 1
        && zero.elements() == 1;
    if !fits {
        return None;
    }
    let zero = i32::try_from(*zero.value()?.to_i64s()?.first()?).ok()?;
    Some((scale.value()?.as_slice::<f32>()[0], Grid { zero, low, high }))
}

#[derive(Debug)]
struct DequantizeLinear {
    layout: Layout,
    output: Option<DType>,
}

impl Operator for DequantizeLinear {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, STORED)?;
        let scale = inputs.of_types(1, WRITTEN)?;
        if inputs.optional(2).is_some() {
            check_zeros(&scale, &inputs.like(2, x.dtype)?)?;
        }
        self.layout.spread(x.shape, scale.shape)?;
        let dtype = self.output.unwrap_or(scale.dtype);
        Ok(vec![TensorType::new(dtype, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        work(inputs, outputs, &self.layout)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let scale = inputs.required(1)?;
        let spread = self.layout.spread(&outputs[0].shape, scale.shape)?;
        let elements = outputs[0].elements();
        let scratch = factors_bytes(scale.elements());
        Ok(kernel_with_scratch(scratch, move |io: &mut Io<'_, '_>| {
            let (x, scale) = (io.input(0), io.input(1));
            let zero = io.optional_input(2);
            let (_, outputs, scratch) = io.split();
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let (scales, zeros) = factors(&scale, zero.as_ref(), scratch);
            let convert = |of: Scales, first: usize, read: &[i32], written: &mut [f32]| match of {
                Scales::All(index) => dequantize(read, scales[index], zeros[index], written),
                Scales::From(index) => {
                    let own = index + first..index + first + read.len();
                    dequantize_each(read, &scales[own.clone()], &zeros[own], written);
                }
            };
            if x.dtype() == DType::I32 && out.dtype() == DType::F32 {
                // sums of products: nothing to convert before or after
                let (x, out) = (x.as_slice::<i32>(), out.as_mut_slice::<f32>());
                spread.each_run(elements, |start, length, of| {
                    let run = start..start + length;
                    convert(of, 0, &x[run.clone()], &mut out[run]);
                });
                return Ok(());
            }
            let (mut read, mut written) = ([0i32; CHUNK], [0.0f32; CHUNK]);
            spread.each_run(elements, |start, length, of| {
                for first in (0..length).step_by(CHUNK) {
                    let count = CHUNK.min(length - first);
                    let (read, written) = (&mut read[..count], &mut written[..count]);
                    read_integers(&x, start + first, read);
                    convert(of, first, read, written);
                    write_floats(written, out, start + first);
                }
            });
            Ok(())
        }))
    }

    fn in_registers(&self, inputs: &Inputs<'_>) -> Option<InRegisters> {
        let dtype = inputs.optional(0)?.dtype;
        let (scale, grid) = one_scale(inputs, dtype)?;
        let same =
            inputs.optional(2)?.dtype == dtype && self.output.is_none_or(|output| output == DType::F32);
        same.then_some(InRegisters::FromSteps(Steps { scale, grid }))
    }

    fn elementwise(&self, inputs: &Inputs<'_>) -> Option<Elementwise> {
        let dtype = inputs.optional(0)?.dtype;
        let (scale, Grid { zero, .. }) = one_scale(inputs, dtype)?;
        if inputs.optional(2)?.dtype != dtype || self.output.is_some_and(|output| output != DType::F32) {
            return None;
        }
        let value = move |q: i32| ((q - zero) as f32 * scale).canonical();
        // of a finite scale no product is NaN
        let finite = move |q: i32| (q - zero) as f32 * scale;
        Some(Elementwise::FromBytes(match (dtype, scale.is_finite()) {
            (DType::I8, true) => Box::new(move |x: &[u8], out: &mut [f32]| {
                isa::apply(x, out, move |q: u8| finite(i32::from(q as i8)));
            }),
            (DType::I8, false) => Box::new(move |x: &[u8], out: &mut [f32]| {
                isa::apply(x, out, move |q: u8| value(i32::from(q as i8)));
            }),
            (_, true) => Box::new(move |x: &[u8], out: &mut [f32]| {
                isa::apply(x, out, move |q: u8| finite(i32::from(q)));
            }),
            (_, false) => Box::new(move |x: &[u8], out: &mut [f32]| {
                isa::apply(x, out, move |q: u8| value(i32::from(q)));
            }),
        }))
    }
}

/// `DynamicQuantizeLinear`
pub(super) const DYNAMIC_QUANTIZE_LINEAR: Definition = Definition {
    name: "DynamicQuantizeLinear",
    since: &[11],
    inputs: 1..=1,
    outputs: 1..=3,
    parse: |_| Ok(Box::new(DynamicQuantizeLinear)),
};

#[derive(Debug)]
struct DynamicQuantizeLinear;

impl Operator for DynamicQuantizeLinear {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, &[DType::F32])?;
        Ok(vec![
            TensorType::new(DType::U8, x.shape.to_vec())?,
            TensorType::new(DType::F32, vec![])?,
            TensorType::new(DType::U8, vec![])?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(PER_ELEMENT)
                .saturating_add(3 * PER_RUN),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = ReduceShape {
            outer: 1,
            length: outputs[0].elements(),
            inner: 1,
        };
        Ok(kernel_with_scratch(0, move |io: &mut Io<'_, '_>| {
            let x = io.input(0).as_slice::<f32>();
            let (mut max, mut min) = ([0.0f32], [0.0f32]);
            if !x.is_empty() {
                fast::reduce_extreme(Extreme::Max, &shape, x, &mut max);
                fast::reduce_extreme(Extreme::Min, &shape, x, &mut min);
            }
            let (max, min) = (Float::maximum(max[0], 0.0), Float::minimum(min[0], 0.0));
            let scale = ((max - min) / 255.0).canonical();
            let grid = Grid {
                zero: 0,
                low: 0,
                high: 255,
            };
            let zero = grid.place((0.0 - min) / scale);
            let grid = Grid { zero, ..grid };
            if let Some(out) = io.output(0) {
                quantize_bytes(x, scale, grid, out.as_mut_slice::<u8>());
            }
            if let Some(out) = io.output(1) {
                out.as_mut_slice::<f32>().fill(scale);
            }
            if let Some(out) = io.output(2) {
                out.as_mut_slice::<u8>().fill(zero as u8);
            }
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(spread: Spread, elements: usize) -> Vec<(usize, usize, Scales)> {
        let mut runs = Vec::new();
        spread.each_run(elements, |start, length, scales| {
            runs.push((start, length, scales))
        });
        assert_eq!(runs.len(), spread.runs(elements), "{spread:?}");
        runs
    }

    #[test]
    fn scales_are_spread_over_axes_and_blocks() {
        let layout = |axis, block| Layout { axis, block };
        let spread = |axis, block, x: &[usize], scale: &[usize]| layout(axis, block).spread(x, scale);
        assert_eq!(spread(1, 0, &[2, 3], &[]), Ok(Spread::One));
        let per_axis = spread(0, 0, &[2, 3], &[2]).unwrap();
        assert_eq!(
            runs(per_axis, 6),
            [(0, 3, Scales::All(0)), (3, 3, Scales::All(1))]
        );
        let last = spread(-1, 0, &[2, 3], &[3]).unwrap();
        assert_eq!(runs(last, 6), [(0, 3, Scales::From(0)), (3, 3, Scales::From(0))]);
        // three places in blocks of two: the last block is shorter
        let blocks = spread(1, 2, &[2, 3], &[2, 2]).unwrap();
        assert_eq!(
            runs(blocks, 6),
            [
                (0, 2, Scales::All(0)),
                (2, 1, Scales::All(1)),
                (3, 2, Scales::All(2)),
                (5, 1, Scales::All(3))
            ]
        );
        let columns = spread(0, 2, &[3, 2], &[2, 2]).unwrap();
        assert_eq!(
            runs(columns, 6),
            [
                (0, 2, Scales::From(0)),
                (2, 2, Scales::From(0)),
                (4, 2, Scales::From(2))
            ]
        );
        for (axis, block, scale) in [
            (1, 0, vec![2]),
            (5, 0, vec![3]),
            (1, 2, vec![2, 3]),
            (0, 0, vec![1, 1, 1]),
        ] {
            assert!(
                spread(axis, block, &[2, 3], &scale).is_err(),
                "{axis} {block} {scale:?}"
            );
        }
    }
}
