//! Products and convolutions of 8-bit integers: MatMulInteger, ConvInteger (version 10), QLinearMatMul (versions 10, 21),
//! QLinearConv (version 10).
//!
//! Sums are exact in 32 bits: they wrap and never saturate, whatever the order. The QLinear operators then quantise again:
//! with factor = (scale of a × scale of b) ÷ scale of y, two roundings in f32, y is f32(sum) × factor rounded to an integer (ties
//! to even), plus y's zero point, held within the range of its type. Padding stands for the real number 0.

use super::{
    DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operand, Operator, Path, TensorType, Work,
    conv::Conv,
    matmul::{Stack, product_arithmetic, stack},
    quantize::{integer_range, read_floats, read_integers},
    streamed,
};
use crate::tensor::{Element, TensorView};
use std::sync::Arc;
use synod_numerics::{
    fast::integer::{
        PackedBytes, PackedFilters, integer_conv, integer_conv_scratch, integer_gemm, integer_gemm_scratch,
        pack_columns,
    },
    quantize::{Byte, Grid, requantize, requantize_each},
    reference,
    shape::{ConvShape, Matrix},
};

const BYTES: &[DType] = &[DType::U8, DType::I8];
const SCALES: &[DType] = &[DType::F32, DType::F16, DType::BF16];

/// Multiply-add equivalents of widening and packing an element of the left operand.
const PER_PACKED: u64 = 60;
/// Rows that arranging the right operand costs as much as, where it is not known in advance.
const PACKING_ROWS: usize = 60;
/// Rows that gathering windows costs as much as.
const GATHERING_ROWS: usize = 100;
/// Of quantising a sum.
const PER_SUM: u64 = 60;
/// Of one tap over one position, where there are too few channels for tiles; of one row of positions.
const PER_TAP: u64 = 80;
const PER_ROW: u64 = 600;

/// `MatMulInteger`
pub(super) const MAT_MUL_INTEGER: Definition = Definition {
    name: "MatMulInteger",
    since: &[10],
    inputs: 2..=4,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Product { quantizes: false })),
};

/// `QLinearMatMul`
pub(super) const Q_LINEAR_MAT_MUL: Definition = Definition {
    name: "QLinearMatMul",
    since: &[10, 21],
    inputs: 8..=8,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Product { quantizes: true })),
};

/// `ConvInteger`
pub(super) const CONV_INTEGER: Definition = Definition {
    name: "ConvInteger",
    since: &[10],
    inputs: 2..=4,
    outputs: 1..=1,
    parse: |node| convolution(node, false),
};

/// `QLinearConv`
pub(super) const Q_LINEAR_CONV: Definition = Definition {
    name: "QLinearConv",
    since: &[10],
    inputs: 8..=9,
    outputs: 1..=1,
    parse: |node| convolution(node, true),
};

/// Where an operator lists its operands.
#[derive(Debug, Clone, Copy)]
struct Places {
    /// The two operands.
    values: [usize; 2],
    /// Their zero points.
    zeros: [usize; 2],
}

/// Of MatMulInteger and ConvInteger.
const PLAIN: Places = Places {
    values: [0, 1],
    zeros: [2, 3],
};
/// Of the QLinear operators; scales come before zero points, y's at 6 and 7, a bias at 8.
const QUANTIZING: Places = Places {
    values: [0, 3],
    zeros: [2, 5],
};
const A_SCALE: usize = 1;
const B_SCALE: usize = 4;
const Y_SCALE: usize = 6;
const Y_ZERO: usize = 7;
const BIAS: usize = 8;

/// Checks that an operand is a single number.
fn single(inputs: &Inputs<'_>, index: usize) -> Result<(), OpError> {
    let operand = inputs.required(index)?;
    if operand.elements() == 1 {
        Ok(())
    } else {
        Err(OpError::Shape(format!(
            "input {index} has the shape {:?}; a single number is needed",
            operand.shape
        )))
    }
}

/// Pieces of scratch memory, one after another.
struct Pieces<'a>(&'a mut [u8]);

impl<'a> Pieces<'a> {
    fn take<T: Element>(&mut self, count: usize) -> &'a mut [T] {
        let (piece, rest) = std::mem::take(&mut self.0).split_at_mut(count * size_of::<T>());
        self.0 = rest;
        bytemuck::cast_slice_mut(piece)
    }

    fn integers(&mut self, view: Option<TensorView<'_>>, count: usize) -> &'a [i32] {
        let out = self.take(count);
        match view {
            Some(view) => read_integers(&view, 0, out),
            None => out.fill(0),
        }
        out
    }

    fn floats(&mut self, view: &TensorView<'_>, count: usize) -> &'a [f32] {
        let out = self.take(count);
        read_floats(view, 0, out);
        out
    }
}

/// Calls a generic function with the Rust type of a byte type.
macro_rules! with_byte {
    ($dtype:expr, $t:ident => $body:expr) => {
        if $dtype == DType::U8 {
            type $t = u8;
            $body
        } else {
            type $t = i8;
            $body
        }
    };
}

fn grid(io: &Io<'_, '_>, dtype: DType) -> Grid {
    let mut zero = [0];
    read_integers(&io.input(Y_ZERO), 0, &mut zero);
    let (low, high) = integer_range(dtype).expect("inference checked the type");
    Grid {
        zero: zero[0],
        low,
        high,
    }
}

fn number(view: &TensorView<'_>) -> f32 {
    let mut out = [0.0];
    read_floats(view, 0, &mut out);
    out[0]
}

// ------------------------------------------------------------------------------------------------- matrix products

#[derive(Debug)]
struct Product {
    quantizes: bool,
}

impl Product {
    fn places(&self) -> Places {
        if self.quantizes { QUANTIZING } else { PLAIN }
    }

    fn stack(&self, inputs: &Inputs<'_>) -> Result<Stack, OpError> {
        let [a, b] = self.places().values;
        stack(inputs.required(a)?.shape, inputs.required(b)?.shape)
    }

    /// Checks numbers that go with rows of a or columns of b: one for all, one for each row (column) of every matrix, or one
    /// for each row (column) of each matrix.
    fn check_lines(&self, inputs: &Inputs<'_>, index: usize, of_rows: bool) -> Result<(), OpError> {
        let operand = inputs.required(index)?;
        let [a, b] = self.places().values;
        let whole = inputs.required(if of_rows { a } else { b })?;
        let fits = match (operand.shape, whole.shape) {
            _ if operand.elements() == 1 && operand.shape.len() <= 1 => true,
            ([lines], [.., rows, columns]) => lines == if of_rows { rows } else { columns },
            (given, [batch @ .., rows, columns]) => {
                let mut expected = batch.to_vec();
                expected.extend(if of_rows { [*rows, 1] } else { [1, *columns] });
                given == expected
            }
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(OpError::Shape(format!(
                "input {index} of shape {:?} goes with neither all nor each {} of shape {:?}",
                operand.shape,
                if of_rows { "row" } else { "column" },
                whole.shape
            )))
        }
    }

    fn known_right<'a>(&self, inputs: &Inputs<'a>, stack: &Stack) -> Option<Operand<'a>> {
        inputs
            .optional(self.places().values[1])
            .filter(|b| b.value().is_some() && stack.b_batch.iter().all(|&dim| dim == 1))
    }
}

impl Operator for Product {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let Places {
            values: [a, b],
            zeros,
        } = self.places();
        let types = [inputs.of_types(a, BYTES)?.dtype, inputs.of_types(b, BYTES)?.dtype];
        let stack = self.stack(inputs)?;
        for (place, of_rows) in [(0, true), (1, false)] {
            if self.quantizes || inputs.optional(zeros[place]).is_some() {
                inputs.like(zeros[place], types[place])?;
                self.check_lines(inputs, zeros[place], of_rows)?;
            }
        }
        let mut dtype = DType::I32;
        if self.quantizes {
            for index in [A_SCALE, B_SCALE, Y_SCALE] {
                inputs.of_types(index, SCALES)?;
            }
            self.check_lines(inputs, A_SCALE, true)?;
            self.check_lines(inputs, B_SCALE, false)?;
            single(inputs, Y_SCALE)?;
            single(inputs, Y_ZERO)?;
            dtype = inputs.of_types(Y_ZERO, BYTES)?.dtype;
        }
        Ok(vec![TensorType::new(dtype, stack.output)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(stack) = self.stack(inputs) else {
            return Work::default();
        };
        let known = self.known_right(inputs, &stack).is_some();
        let (m, k, n) = (stack.m, stack.k, stack.n);
        let products = stack.batch.iter().product::<usize>() as u64;
        let rows = m + if known { 2 } else { PACKING_ROWS };
        let one = product_arithmetic(DType::F32, rows, n, k)
            .saturating_add(((m * k) as u64).saturating_mul(PER_PACKED))
            .saturating_add(((m * n) as u64).saturating_mul(PER_SUM));
        Work {
            arithmetic: one.saturating_mul(products),
            bytes: streamed(inputs, outputs)
                .saturating_add(((n * k) as u64).saturating_mul(2).saturating_mul(products)),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let k = self.stack(inputs).map_or(0, |stack| stack.k);
        (outputs[0].elements() as u64).saturating_mul(k as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let stack = self.stack(inputs)?;
        let places = self.places();
        let (k, n) = (stack.k, stack.n);
        let packed = self.known_right(inputs, &stack).and_then(|b| {
            b.arranged(&[k, n], |value| {
                with_byte!(b.dtype, B => {
                    PackedBytes::new(k, n, Matrix::row_major(value.as_slice::<B>(), n))
                })
            })
        });
        let count = |index: usize| inputs.optional(index).map_or(1, |operand| operand.elements());
        Ok(Box::new(ProductKernel {
            quantizes: self.quantizes,
            places,
            dims: [stack.m, n, k],
            pairs: stack.pairs(),
            zeros: places.zeros.map(count),
            scales: if self.quantizes {
                [A_SCALE, B_SCALE].map(count)
            } else {
                [0, 0]
            },
            packed,
            dtype: outputs[0].dtype,
        }))
    }
}

struct ProductKernel {
    quantizes: bool,
    places: Places,
    /// m, n, k of one product.
    dims: [usize; 3],
    /// For each product, which matrix of each operand it takes.
    pairs: Vec<(usize, usize)>,
    /// How many zero points, and scales, the operands have.
    zeros: [usize; 2],
    scales: [usize; 2],
    packed: Option<Arc<PackedBytes>>,
    dtype: DType,
}

/// The numbers of one matrix among those of all: one for all, one for each line of every matrix, or of each matrix.
fn lines<T>(all: &[T], matrix: usize, lines: usize) -> &[T] {
    if all.len() > lines {
        &all[matrix * lines..][..lines]
    } else {
        all
    }
}

fn of_line<T: Copy>(numbers: &[T], line: usize) -> T {
    numbers[if numbers.len() == 1 { 0 } else { line }]
}

impl ProductKernel {
    fn sums<A: Byte + Element, B: Byte + Element>(
        &self,
        io: &Io<'_, '_>,
        index: usize,
        zeros: [&[i32]; 2],
        out: &mut [i32],
        panels: &mut [i16],
        scratch: &mut [i16],
    ) {
        let [m, n, k] = self.dims;
        let (at_a, at_b) = self.pairs[index];
        let [a, b] = self.places.values.map(|place| io.input(place));
        let a = Matrix::row_major(&a.as_slice::<A>()[at_a * m * k..][..m * k], k);
        let b = Matrix::row_major(&b.as_slice::<B>()[at_b * k * n..][..k * n], n);
        let (a_zeros, b_zeros) = (lines(zeros[0], at_a, m), lines(zeros[1], at_b, n));
        let a_zero = |i: usize| of_line(a_zeros, i);
        match io.path {
            Path::Reference => {
                reference::integer_gemm(m, n, k, a, a_zero, b, |j| of_line(b_zeros, j), out);
            }
            Path::Fast => {
                let panels = match &self.packed {
                    Some(packed) => packed.panels(),
                    None => {
                        pack_columns(k, n, b, panels);
                        panels
                    }
                };
                integer_gemm(m, n, k, a, a_zero, panels, b_zeros, out, scratch);
            }
        }
    }
}

impl Kernel for ProductKernel {
    fn scratch_bytes(&self) -> usize {
        let [m, n, k] = self.dims;
        let numbers = self.zeros.iter().chain(&self.scales).sum::<usize>();
        let quantizing = if self.quantizes { m * n + n } else { 0 };
        let panels = if self.packed.is_some() {
            0
        } else {
            PackedBytes::packed_len(k, n)
        };
        4 * (numbers + quantizing) + 2 * (panels + integer_gemm_scratch(m, k))
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let [m, n, k] = self.dims;
        if m * n == 0 || self.pairs.is_empty() {
            return Ok(());
        }
        let mut pieces = Pieces(std::mem::take(&mut io.scratch));
        let zeros: [&[i32]; 2] =
            [0, 1].map(|i| pieces.integers(io.optional_input(self.places.zeros[i]), self.zeros[i]));
        let scales: [&[f32]; 2] = if self.quantizes {
            [(A_SCALE, 0), (B_SCALE, 1)].map(|(place, i)| pieces.floats(&io.input(place), self.scales[i]))
        } else {
            [&[], &[]]
        };
        let own_sums = pieces.take::<i32>(if self.quantizes { m * n } else { 0 });
        let factors = pieces.take::<f32>(if self.quantizes { n } else { 0 });
        let panels = pieces.take::<i16>(if self.packed.is_some() {
            0
        } else {
            PackedBytes::packed_len(k, n)
        });
        let scratch = pieces.take::<i16>(integer_gemm_scratch(m, k));
        let types = self.places.values.map(|place| io.input(place).dtype());
        let (_, outputs, _) = io.split();
        let Some(mut output) = outputs.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let quantizing = self
            .quantizes
            .then(|| (grid(io, self.dtype), number(&io.input(Y_SCALE))));
        for index in 0..self.pairs.len() {
            let mut sums = |sums: &mut [i32]| {
                with_byte!(types[0], A => with_byte!(types[1], B => {
                    self.sums::<A, B>(io, index, zeros, sums, panels, scratch);
                }));
            };
            let Some((grid, y_scale)) = quantizing else {
                sums(&mut output.as_mut_slice::<i32>()[index * m * n..][..m * n]);
                continue;
            };
            sums(own_sums);
            let (at_a, at_b) = self.pairs[index];
            let (a_scales, b_scales) = (lines(scales[0], at_a, m), lines(scales[1], at_b, n));
            for (i, sums) in own_sums.chunks_exact(n).enumerate() {
                for (j, factor) in factors.iter_mut().enumerate() {
                    *factor = of_line(a_scales, i) * of_line(b_scales, j) / y_scale;
                }
                let at = (index * m + i) * n;
                with_byte!(self.dtype, Y => {
                    requantize_each::<Y>(sums, factors, grid, &mut output.as_mut_slice::<Y>()[at..][..n]);
                });
            }
        }
        Ok(())
    }
}

// ------------------------------------------------------------------------------------------------- convolutions

fn convolution(node: &mut NodeSpec<'_>, quantizes: bool) -> Result<Box<dyn Operator>, OpError> {
    Ok(Box::new(Convolution {
        of: Conv::parse(node)?,
        quantizes,
    }))
}

#[derive(Debug)]
struct Convolution {
    of: Conv,
    quantizes: bool,
}

impl Convolution {
    fn places(&self) -> Places {
        if self.quantizes { QUANTIZING } else { PLAIN }
    }

    fn shape(&self, inputs: &Inputs<'_>) -> Result<ConvShape, OpError> {
        let operands = self.places().values.map(|place| inputs.optional(place));
        self.of.shape(&Inputs(&operands))
    }

    /// Checks numbers that go with output channels: one for all or one each.
    fn check_channels(inputs: &Inputs<'_>, index: usize, channels: usize) -> Result<(), OpError> {
        let operand = inputs.required(index)?;
        if (operand.elements() == 1 && operand.shape.len() <= 1) || operand.shape == [channels] {
            Ok(())
        } else {
            Err(OpError::Shape(format!(
                "input {index} has the shape {:?}; one number or [{channels}] is needed",
                operand.shape
            )))
        }
    }
}

impl Operator for Convolution {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let Places {
            values: [x, w],
            zeros: [x_zero, w_zero],
        } = self.places();
        let (x, w) = (inputs.of_types(x, BYTES)?, inputs.of_types(w, BYTES)?);
        let shape = self.shape(inputs)?;
        let channels = shape.groups * shape.out_channels;
        if self.quantizes || inputs.optional(x_zero).is_some() {
            inputs.like(x_zero, x.dtype)?;
            single(inputs, x_zero)?;
        }
        if self.quantizes || inputs.optional(w_zero).is_some() {
            inputs.like(w_zero, w.dtype)?;
            Self::check_channels(inputs, w_zero, channels)?;
        }
        let mut dtype = DType::I32;
        if self.quantizes {
            for index in [A_SCALE, B_SCALE, Y_SCALE] {
                inputs.of_types(index, &[DType::F32])?;
            }
            single(inputs, A_SCALE)?;
            Self::check_channels(inputs, B_SCALE, channels)?;
            single(inputs, Y_SCALE)?;
            single(inputs, Y_ZERO)?;
            dtype = inputs.of_types(Y_ZERO, BYTES)?.dtype;
            if inputs.optional(BIAS).is_some() && inputs.of_types(BIAS, &[DType::I32])?.shape != [channels] {
                return Err(OpError::Shape(format!(
                    "the bias must have the shape [{channels}]"
                )));
            }
        }
        let mut dims = vec![shape.batch, channels];
        let axes = &shape.axes[3 - (x.shape.len() - 2)..];
        dims.extend(axes.iter().map(|axis| axis.output));
        // the sums must be a possible tensor too
        TensorType::new(DType::I32, dims.clone())?;
        Ok(vec![TensorType::new(dtype, dims)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(shape) = self.shape(inputs) else {
            return Work::default();
        };
        let (m, terms, positions) = (shape.out_channels, shape.terms(), shape.output_size());
        let product = if m >= 4 {
            product_arithmetic(DType::F32, m + GATHERING_ROWS, positions, terms)
        } else {
            let rows = positions / shape.axes[2].output.max(1);
            let one = (positions.next_multiple_of(8) as u64)
                .saturating_mul(PER_TAP)
                .saturating_add((rows as u64).saturating_mul(PER_ROW));
            one.saturating_mul((m * terms) as u64)
        };
        let known = inputs
            .optional(self.places().values[1])
            .is_some_and(|w| w.value().is_some());
        let packing = if known { 0 } else { (m * terms) as u64 * PER_PACKED };
        Work {
            arithmetic: product
                .saturating_mul(shape.batch as u64)
                .saturating_add(packing)
                .saturating_mul(shape.groups as u64)
                .saturating_add((outputs[0].elements() as u64).saturating_mul(PER_SUM)),
            bytes: streamed(inputs, outputs).saturating_add(outputs[0].elements() as u64 * 4),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let terms = self.shape(inputs).map_or(0, |shape| shape.terms());
        (outputs[0].elements() as u64).saturating_mul(terms as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = self.shape(inputs)?;
        let places = self.places();
        let filters = inputs.required(places.values[1])?.arranged(
            &[shape.groups, shape.out_channels, shape.terms()],
            |value| with_byte!(value.dtype(), W => PackedFilters::new(&shape, value.as_slice::<W>())),
        );
        let count = |index: usize| inputs.optional(index).map_or(1, |operand| operand.elements());
        Ok(Box::new(ConvolutionKernel {
            quantizes: self.quantizes,
            places,
            zeros: count(places.zeros[1]),
            scales: if self.quantizes { count(B_SCALE) } else { 0 },
            shape,
            filters,
            elements: outputs[0].elements(),
            dtype: outputs[0].dtype,
        }))
    }
}

struct ConvolutionKernel {
    quantizes: bool,
    places: Places,
    /// How many zero points, and scales, the weights have.
    zeros: usize,
    scales: usize,
    shape: ConvShape,
    filters: Option<Arc<PackedFilters>>,
    elements: usize,
    dtype: DType,
}

impl Kernel for ConvolutionKernel {
    fn scratch_bytes(&self) -> usize {
        let sums = if self.quantizes { self.elements } else { 0 };
        4 * (self.zeros + self.scales + sums) + 2 * integer_conv_scratch(&self.shape)
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let mut pieces = Pieces(std::mem::take(&mut io.scratch));
        let [x_zero, w_zero] = self.places.zeros.map(|place| io.optional_input(place));
        let w_zeros = pieces.integers(w_zero, self.zeros);
        let mut x_zeros = [0];
        if let Some(zero) = x_zero {
            read_integers(&zero, 0, &mut x_zeros);
        }
        let scales: &[f32] = if self.quantizes {
            pieces.floats(&io.input(B_SCALE), self.scales)
        } else {
            &[]
        };
        let own_sums = pieces.take::<i32>(if self.quantizes { self.elements } else { 0 });
        let scratch = pieces.take::<i16>(integer_conv_scratch(&self.shape));
        let [x, w] = self.places.values.map(|place| io.input(place));
        let (_, outputs, _) = io.split();
        let Some(mut output) = outputs.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let sums: &mut [i32] = if self.quantizes {
            own_sums
        } else {
            output.as_mut_slice()
        };
        with_byte!(x.dtype(), X => with_byte!(w.dtype(), W => {
            let (x, w) = (x.as_slice::<X>(), w.as_slice::<W>());
            match io.path {
                Path::Fast => integer_conv(
                    &self.shape, x, x_zeros[0], w, self.filters.as_deref(), w_zeros, sums, scratch,
                ),
                Path::Reference => {
                    reference::integer_conv(&self.shape, x, x_zeros[0], w, |m| of_line(w_zeros, m), sums);
                }
            }
        }));
        let positions = self.shape.output_size();
        if !self.quantizes || positions == 0 {
            return Ok(());
        }
        let (grid, y_scale) = (grid(io, self.dtype), number(&io.input(Y_SCALE)));
        let x_scale = number(&io.input(A_SCALE));
        let bias = io.optional_input(BIAS).map(|bias| bias.as_slice::<i32>());
        let channels = self.shape.groups * self.shape.out_channels;
        for (index, sums) in own_sums.chunks_exact_mut(positions).enumerate() {
            let channel = index % channels;
            if let Some(bias) = bias {
                sums.iter_mut()
                    .for_each(|sum| *sum = sum.wrapping_add(bias[channel]));
            }
            let factor = x_scale * of_line(scales, channel) / y_scale;
            with_byte!(self.dtype, Y => {
                let out = &mut output.as_mut_slice::<Y>()[index * positions..][..positions];
                requantize::<Y>(sums, factor, grid, out);
            });
        }
        Ok(())
    }
}
