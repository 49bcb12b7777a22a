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
use crate::tensor::{Element, Tensor, TensorView, TensorViewMut};
use std::sync::Arc;
use synod_numerics::{
    fast::integer::{
        ConvOutput, GemmOutput, Layout, Operand as Bytes, PackedBytes, PackedFilters, Prepared, Unit,
        conv_column, conv_columns, gemm_columns, integer_conv, integer_conv_scratch, integer_gemm,
        integer_gemm_scratch,
    },
    pool,
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

/// Terms beyond which those of a position may need scratch memory.
const LONG: usize = 131_072;

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
            .filter(|b| b.is_known() && stack.b_batch.iter().all(|&dim| dim == 1))
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
            let arrange = |value: &Tensor| {
                with_byte!(b.dtype, B => {
                    PackedBytes::new(k, n, Matrix::row_major(value.as_slice::<B>(), n))
                })
            };
            b.arranged(
                &[k, n, Unit::current() as usize],
                arrange,
                Some(PackedBytes::unpack),
            )
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

/// What a product of two matrices takes from scratch memory.
struct ProductPieces<'a> {
    starts: &'a mut [i32],
    columns: &'a mut [i32],
    factors: &'a mut [f32],
    /// Memory for sums that are not requantised at once.
    sums: &'a mut [i32],
    rest: &'a mut [u8],
}

/// The scales of a product, if it quantises: of a's rows, b's columns, and y.
#[derive(Clone, Copy)]
struct ProductScales<'a> {
    rows: &'a [f32],
    columns: &'a [f32],
    y: f32,
    grid: Grid,
}

impl ProductScales<'_> {
    /// What sums of a row are multiplied by.
    fn factors(&self, row: usize, factors: &mut [f32]) {
        for (column, factor) in factors.iter_mut().enumerate() {
            *factor = of_line(self.rows, row) * of_line(self.columns, column) / self.y;
        }
    }
}

impl ProductKernel {
    /// One product; `zeros` are those of a's rows and b's columns.
    #[expect(clippy::too_many_arguments, reason = "what it works on")]
    fn multiply<A: Byte + Element, B: Byte + Element, Y: Byte>(
        &self,
        path: Path,
        a: &[A],
        b: &[B],
        packed: &PackedBytes,
        zeros: [&[i32]; 2],
        scales: Option<ProductScales<'_>>,
        pieces: &mut ProductPieces<'_>,
        out: ProductOutput<'_, Y>,
    ) {
        let [m, n, k] = self.dims;
        let (of, row_zeros) = match zeros[0] {
            [zero] => (Bytes::of::<A>(*zero), None),
            zeros => (Bytes::of::<A>(0), Some(zeros)),
        };
        let common = if row_zeros.is_some() { of.unshifted() } else { of };
        let product = |sums: &mut [i32], pieces: &mut ProductPieces<'_>| match path {
            Path::Reference => {
                let (a, b) = (Matrix::row_major(a, k), Matrix::row_major(b, n));
                let (a_zero, b_zero) = (|i| of_line(zeros[0], i), |j| of_line(zeros[1], j));
                reference::integer_gemm(m, n, k, a, a_zero, b, b_zero, sums);
            }
            Path::Fast => {
                let prepared = packed.prepare(common, zeros[1], None, pieces.starts, pieces.columns);
                let output = GemmOutput::Sums(sums);
                integer_gemm(
                    m,
                    A::bytes(a),
                    of,
                    row_zeros,
                    packed,
                    prepared,
                    output,
                    pieces.rest,
                );
            }
        };
        let (out, scales) = match (out, scales) {
            (ProductOutput::Sums(out), _) => return product(out, pieces),
            (ProductOutput::Bytes(out), Some(scales)) => (out, scales),
            (ProductOutput::Bytes(_), None) => unreachable!("a product that quantises has scales"),
        };
        if scales.rows.len() == 1 && path == Path::Fast {
            scales.factors(0, &mut pieces.factors[..n]);
            let prepared = packed.prepare(common, zeros[1], None, pieces.starts, pieces.columns);
            let output = GemmOutput::Bytes {
                out: Y::bytes_mut(out),
                factors: pieces.factors,
                of: Bytes::of::<Y>(scales.grid.zero),
            };
            integer_gemm(
                m,
                A::bytes(a),
                of,
                row_zeros,
                packed,
                prepared,
                output,
                pieces.rest,
            );
            return;
        }
        let own = std::mem::take(&mut pieces.sums);
        product(own, pieces);
        for (row, (sums, out)) in own.chunks_exact(n).zip(out.chunks_exact_mut(n)).enumerate() {
            scales.factors(row, &mut pieces.factors[..n]);
            requantize_each::<Y>(sums, &pieces.factors[..n], scales.grid, out);
        }
        pieces.sums = own;
    }
}

/// Where a product's results go.
enum ProductOutput<'a, Y> {
    Sums(&'a mut [i32]),
    Bytes(&'a mut [Y]),
}

impl Kernel for ProductKernel {
    fn reads_input(&self, index: usize) -> bool {
        index != self.places.values[1] || self.packed.is_none()
    }

    fn scratch_bytes(&self) -> usize {
        let [m, n, k] = self.dims;
        let numbers = self.zeros.iter().chain(&self.scales).sum::<usize>();
        let sums = if self.quantizes { m * n } else { 0 };
        // where b is not known its packed form lives while the product runs, beside the scratch memory but counted here
        let packed = if self.packed.is_some() {
            0
        } else {
            PackedBytes::bytes(k, n)
        };
        4 * (numbers + sums + 3 * gemm_columns(n)) + packed + integer_gemm_scratch(k)
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let [m, n, _] = self.dims;
        if m * n == 0 || self.pairs.is_empty() {
            return Ok(());
        }
        let mut memory = Pieces(std::mem::take(&mut io.scratch));
        let zeros: [&[i32]; 2] =
            [0, 1].map(|i| memory.integers(io.optional_input(self.places.zeros[i]), self.zeros[i]));
        let scales: [&[f32]; 2] = if self.quantizes {
            [(A_SCALE, 0), (B_SCALE, 1)].map(|(place, i)| memory.floats(&io.input(place), self.scales[i]))
        } else {
            [&[], &[]]
        };
        let mut pieces = ProductPieces {
            starts: memory.take(gemm_columns(n)),
            columns: memory.take(gemm_columns(n)),
            factors: memory.take(gemm_columns(n)),
            sums: memory.take(if self.quantizes { m * n } else { 0 }),
            rest: memory.0,
        };
        pieces.factors.fill(0.0);
        let [a, b] = self.places.values.map(|place| io.input(place));
        let (_, outputs, _) = io.split();
        let Some(mut output) = outputs.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let quantizing = self
            .quantizes
            .then(|| (grid(io, self.dtype), number(&io.input(Y_SCALE))));
        let operands = Matrices {
            a,
            b,
            zeros,
            scales,
            quantizing,
        };
        let together = self.shared_out(io.path, scales[0].len());
        with_byte!(self.dtype, Y => {
            if self.quantizes {
                let out = output.as_mut_slice::<Y>();
                self.each::<Y, Y>(io.path, &operands, together, out, &mut pieces);
            } else {
                let out = output.as_mut_slice::<i32>();
                self.each::<Y, i32>(io.path, &operands, together, out, &mut pieces);
            }
        });
        Ok(())
    }
}

/// Elements of results: sums, or what is made of them.
trait Results<Y>: Sized {
    fn output(out: &mut [Self]) -> ProductOutput<'_, Y>;
}

impl<Y> Results<Y> for i32 {
    fn output(out: &mut [Self]) -> ProductOutput<'_, Y> {
        ProductOutput::Sums(out)
    }
}

impl Results<u8> for u8 {
    fn output(out: &mut [Self]) -> ProductOutput<'_, u8> {
        ProductOutput::Bytes(out)
    }
}

impl Results<i8> for i8 {
    fn output(out: &mut [Self]) -> ProductOutput<'_, i8> {
        ProductOutput::Bytes(out)
    }
}

/// What products are computed from.
struct Matrices<'a> {
    a: TensorView<'a>,
    b: TensorView<'a>,
    zeros: [&'a [i32]; 2],
    scales: [&'a [f32]; 2],
    /// The range and zero point of the results, and their scale, if they are quantised.
    quantizing: Option<(Grid, f32)>,
}

/// Multiply-adds in a nanosecond, about.
const PER_NANOSECOND: u64 = 128;

impl ProductKernel {
    /// Into how large groups products are shared out that are each too small for several threads; `None` if they are not.
    fn shared_out(&self, path: Path, row_scales: usize) -> Option<usize> {
        let [m, n, k] = self.dims;
        let count = self.pairs.len();
        let alone = (m as u64 * n as u64).saturating_mul(k as u64) / PER_NANOSECOND;
        let fits = path == Path::Fast
            && self.packed.is_none()
            && row_scales <= 1
            && integer_gemm_scratch(k) == 0
            && PackedBytes::bytes(k, n) <= pool::BUFFER_BYTES;
        if !fits || pool::pieces(alone) > 1 {
            return None;
        }
        let pieces = pool::pieces(alone.saturating_mul(count as u64));
        let parts = pieces.min(pool::threads()).min(count);
        (parts > 1).then(|| count.div_ceil(parts))
    }

    /// Every product, in its place of `out`.
    fn each<Y: Byte + Element, O: Element + Results<Y>>(
        &self,
        path: Path,
        operands: &Matrices<'_>,
        together: Option<usize>,
        out: &mut [O],
        pieces: &mut ProductPieces<'_>,
    ) {
        let [m, n, _] = self.dims;
        let Some(together) = together else {
            return self.some(path, operands, 0, out, pieces);
        };
        let columns = gemm_columns(n);
        pool::chunks(out, together * m * n, |piece, out| {
            // as little as a thread's own memory
            let (mut starts, mut zeros, mut factors) =
                (vec![0; columns], vec![0; columns], vec![0.0; columns]);
            let mut pieces = ProductPieces {
                starts: &mut starts,
                columns: &mut zeros,
                factors: &mut factors,
                sums: &mut [],
                rest: &mut [],
            };
            self.some(path, operands, piece * together, out, &mut pieces);
        });
    }

    /// The products from number `first` on that fill `out`.
    fn some<Y: Byte + Element, O: Element + Results<Y>>(
        &self,
        path: Path,
        operands: &Matrices<'_>,
        first: usize,
        out: &mut [O],
        pieces: &mut ProductPieces<'_>,
    ) {
        let [m, n, k] = self.dims;
        let mut own_packed = None;
        for (&(at_a, at_b), out) in self.pairs[first..].iter().zip(out.chunks_exact_mut(m * n)) {
            let zeros = [
                lines(operands.zeros[0], at_a, m),
                lines(operands.zeros[1], at_b, n),
            ];
            let scales = operands.quantizing.map(|(grid, y)| ProductScales {
                rows: lines(operands.scales[0], at_a, m),
                columns: lines(operands.scales[1], at_b, n),
                y,
                grid,
            });
            with_byte!(operands.a.dtype(), A => with_byte!(operands.b.dtype(), B => {
                let a = &operands.a.as_slice::<A>()[at_a * m * k..][..m * k];
                let b = if path == Path::Fast && self.packed.is_some() {
                    &[]
                } else {
                    &operands.b.as_slice::<B>()[at_b * k * n..][..k * n]
                };
                let packed = match &self.packed {
                    Some(packed) => &**packed,
                    None => {
                        let packed = own_packed.get_or_insert_with(|| PackedBytes::empty(k, n));
                        if path == Path::Fast {
                            packed.fill(Matrix::row_major(b, n));
                        }
                        &*packed
                    }
                };
                self.multiply::<A, B, Y>(path, a, b, packed, zeros, scales, pieces, O::output(out));
            }));
        }
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
            .is_some_and(|w| w.is_known());
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
            &PackedFilters::parameters(&shape),
            |value| with_byte!(value.dtype(), W => PackedFilters::new(&shape, value.as_slice::<W>())),
            None::<fn(&PackedFilters) -> Vec<u8>>,
        );
        let count = |index: usize| inputs.optional(index).map_or(1, |operand| operand.elements());
        let mut kernel = ConvolutionKernel {
            layouts: [Layout::ChannelsFirst; 2],
            quantizes: self.quantizes,
            places,
            zeros: count(places.zeros[1]),
            scales: if self.quantizes { count(B_SCALE) } else { 0 },
            shape,
            filters,
            numbers: None,
            elements: outputs[0].elements(),
            dtype: outputs[0].dtype,
        };
        kernel.numbers = kernel.known_numbers(inputs).map(Arc::new);
        Ok(Box::new(kernel))
    }
}

/// What goes with the output channels of a convolution: see [`PackedFilters::prepare`].
struct ChannelNumbers {
    starts: Vec<i32>,
    zeros: Vec<i32>,
    factors: Vec<f32>,
}

#[derive(Clone)]
struct ConvolutionKernel {
    /// Of the images and of the results, on the fast path.
    layouts: [Layout; 2],
    quantizes: bool,
    places: Places,
    /// How many zero points, and scales, the weights have.
    zeros: usize,
    scales: usize,
    shape: ConvShape,
    filters: Option<Arc<PackedFilters>>,
    /// If all that they are made of is known before the model runs.
    numbers: Option<Arc<ChannelNumbers>>,
    elements: usize,
    dtype: DType,
}

impl ConvolutionKernel {
    /// What the sums of each channel are multiplied by, at the channel's place.
    fn factors(&self, x_scale: f32, scales: &[f32], y_scale: f32, factors: &mut [f32]) {
        factors.fill(0.0);
        for channel in 0..self.shape.groups * self.shape.out_channels {
            factors[conv_column(&self.shape, channel)] = x_scale * of_line(scales, channel) / y_scale;
        }
    }

    fn known_numbers(&self, inputs: &Inputs<'_>) -> Option<ChannelNumbers> {
        let filters = self.filters.as_ref()?;
        let view = |index: usize| {
            inputs
                .optional(index)
                .map(|operand| operand.value().map(Tensor::view))
        };
        let integers = |index: usize, count: usize| {
            let mut out = vec![0; count];
            if let Some(value) = view(index) {
                read_integers(&value?, 0, &mut out);
            }
            Some(out)
        };
        let floats = |index: usize, count: usize| {
            let mut out = vec![0.0; count];
            read_floats(&view(index)??, 0, &mut out);
            Some(out)
        };
        let x = inputs.optional(self.places.values[0])?;
        let x = Bytes {
            zero: integers(self.places.zeros[0], 1)?[0],
            signed: x.dtype == DType::I8,
        };
        let w_zeros = integers(self.places.zeros[1], self.zeros)?;
        let columns = conv_columns(&self.shape);
        let mut numbers = ChannelNumbers {
            starts: vec![0; columns],
            zeros: vec![0; columns],
            factors: vec![0.0; columns],
        };
        let mut bias = None;
        if self.quantizes {
            let [x_scale, y_scale] = [floats(A_SCALE, 1)?[0], floats(Y_SCALE, 1)?[0]];
            let scales = floats(B_SCALE, self.scales)?;
            self.factors(x_scale, &scales, y_scale, &mut numbers.factors);
            if let Some(value) = view(BIAS) {
                bias = Some(value?.as_slice::<i32>());
            }
        }
        filters.prepare(
            &self.shape,
            x,
            &w_zeros,
            bias,
            &mut numbers.starts,
            &mut numbers.zeros,
        );
        Some(numbers)
    }
}

impl Kernel for ConvolutionKernel {
    fn with_channels_together(&self, input: bool, output: bool) -> Option<Arc<dyn Kernel>> {
        let layout = |last: bool| {
            if last {
                Layout::ChannelsLast
            } else {
                Layout::ChannelsFirst
            }
        };
        // sums are given with their channels first
        (self.quantizes || !output).then(|| {
            let kernel: Arc<dyn Kernel> = Arc::new(Self {
                layouts: [layout(input), layout(output)],
                ..self.clone()
            });
            kernel
        })
    }

    fn scratch_bytes(&self) -> usize {
        let sums = if self.quantizes { self.elements } else { 0 };
        // bounds that hold for every way of packing; where the weights are not known their packed form lives while the
        // convolution runs, beside the scratch memory but counted here
        let ConvShape {
            groups,
            in_channels,
            out_channels,
            ..
        } = self.shape;
        let columns = groups * out_channels.next_multiple_of(16);
        let terms = self.shape.kernel_size() * in_channels.next_multiple_of(4);
        let packed = if self.filters.is_some() {
            0
        } else {
            2 * (columns + 64) * terms + 4 * (columns + 64)
        };
        let gathered = if terms > LONG { terms } else { 0 };
        debug_assert!(columns + 64 >= conv_columns(&self.shape));
        debug_assert!(self.filters.is_some() || packed >= PackedFilters::bytes(&self.shape));
        debug_assert!(gathered >= integer_conv_scratch(&self.shape));
        4 * (self.zeros + self.scales + sums + 3 * (columns + 64)) + packed + gathered
    }

    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let mut memory = Pieces(std::mem::take(&mut io.scratch));
        let [x_zero, w_zero] = self.places.zeros.map(|place| io.optional_input(place));
        let w_zeros = memory.integers(w_zero, self.zeros);
        let mut x_zeros = [0];
        if let Some(zero) = x_zero {
            read_integers(&zero, 0, &mut x_zeros);
        }
        let scales: &[f32] = if self.quantizes {
            memory.floats(&io.input(B_SCALE), self.scales)
        } else {
            &[]
        };
        let [x, w] = self.places.values.map(|place| io.input(place));
        let (_, outputs, _) = io.split();
        let Some(mut output) = outputs.first_mut().and_then(Option::take) else {
            return Ok(());
        };
        let quantizing = self.quantizes.then(|| {
            let number = |index: usize| number(&io.input(index));
            (grid(io, self.dtype), number(A_SCALE), number(Y_SCALE))
        });
        let bias = quantizing.and_then(|_| io.optional_input(BIAS));
        let bias = bias.as_ref().map(|bias| bias.as_slice::<i32>());
        match io.path {
            Path::Fast => with_byte!(x.dtype(), X => with_byte!(w.dtype(), W => with_byte!(self.dtype, Y => {
                let of = Bytes::of::<X>(x_zeros[0]);
                let packed;
                let filters = match &self.filters {
                    Some(filters) => filters,
                    None => {
                        packed = PackedFilters::new(&self.shape, w.as_slice::<W>());
                        &packed
                    }
                };
                let columns = conv_columns(&self.shape);
                let starts: &mut [i32] = memory.take(columns);
                let zeros: &mut [i32] = memory.take(columns);
                let own_factors: &mut [f32] = memory.take(columns);
                let (prepared, factors) = match (&self.numbers, quantizing) {
                    (Some(known), _) => (Prepared::new(&known.starts, &known.zeros), &known.factors[..]),
                    (None, quantizing) => {
                        if let Some((_, x_scale, y_scale)) = quantizing {
                            self.factors(x_scale, scales, y_scale, own_factors);
                        }
                        (filters.prepare(&self.shape, of, w_zeros, bias, starts, zeros), &*own_factors)
                    }
                };
                let output = match quantizing {
                    Some((grid, ..)) => ConvOutput::Bytes {
                        out: Y::bytes_mut(output.as_mut_slice::<Y>()),
                        layout: self.layouts[1],
                        factors,
                        of: Bytes::of::<Y>(grid.zero),
                    },
                    None => ConvOutput::Sums(output.as_mut_slice()),
                };
                let x = X::bytes(x.as_slice::<X>());
                let layout = self.layouts[0];
                integer_conv(&self.shape, x, of, layout, filters, prepared, output, memory.0);
            }))),
            Path::Reference => {
                let own_sums = memory.take::<i32>(if self.quantizes { self.elements } else { 0 });
                let convolve = |sums: &mut [i32]| {
                    with_byte!(x.dtype(), X => with_byte!(w.dtype(), W => {
                        let (x, w) = (x.as_slice::<X>(), w.as_slice::<W>());
                        reference::integer_conv(&self.shape, x, x_zeros[0], w, |m| of_line(w_zeros, m), sums);
                    }))
                };
                match quantizing {
                    Some((grid, x_scale, y_scale)) => {
                        convolve(own_sums);
                        let factor = |channel: usize| x_scale * of_line(scales, channel) / y_scale;
                        self.requantize_each(own_sums, bias, factor, grid, &mut output);
                    }
                    None => convolve(output.as_mut_slice()),
                }
            }
        }
        Ok(())
    }
}

impl ConvolutionKernel {
    /// What becomes of the sums, one channel after another.
    fn requantize_each(
        &self,
        sums: &mut [i32],
        bias: Option<&[i32]>,
        factor: impl Fn(usize) -> f32,
        grid: Grid,
        output: &mut TensorViewMut<'_>,
    ) {
        let positions = self.shape.output_size();
        if positions == 0 {
            return;
        }
        let channels = self.shape.groups * self.shape.out_channels;
        for (index, sums) in sums.chunks_exact_mut(positions).enumerate() {
            let channel = index % channels;
            if let Some(bias) = bias {
                sums.iter_mut()
                    .for_each(|sum| *sum = sum.wrapping_add(bias[channel]));
            }
            with_byte!(self.dtype, Y => {
                let out = &mut output.as_mut_slice::<Y>()[index * positions..][..positions];
                requantize::<Y>(sums, factor(channel), grid, out);
            });
        }
    }
}
