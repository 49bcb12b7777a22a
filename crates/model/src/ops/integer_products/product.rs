//! MatMulInteger and QLinearMatMul.

use super::{
    A_SCALE, B_SCALE, BYTES, PER_SUM, PLAIN, Pieces, Places, QUANTIZING, Y_SCALE, Y_ZERO, arithmetic, grid,
    number, of_line, single, with_byte,
};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, OpError, Operand, Operator, Path, TensorType, Work,
    matmul::{Stack, product_padding, stack},
    streamed,
};
use crate::tensor::{Element, Tensor, TensorView};
use std::sync::Arc;
use synod_numerics::{
    fast::integer::{
        GemmOutput, Operand as Bytes, PackedBytes, Unit, gemm_columns, integer_gemm,
        integer_gemm_nanoseconds, integer_gemm_scratch,
    },
    pool,
    quantize::{Byte, Grid, requantize_each},
    reference,
    shape::Matrix,
};

const SCALES: &[DType] = &[DType::F32, DType::F16, DType::BF16];
/// Multiply-add equivalents of starting a product.
const STARTING: u64 = 9_000;
/// Of a column: its zero point and scale are brought into the kernels' order.
const PER_COLUMN: u64 = 20;
/// Of a row.
const PER_ROW: u64 = 12;
/// Of an element of the left operand, of which a sum may be needed.
const PER_LEFT: u64 = 4;
/// Of an element of the right operand that is not known in advance: it is brought into the kernels' order.
const PER_PACKED: u64 = 24;

/// `MatMulInteger`
pub(in crate::ops) const MAT_MUL_INTEGER: Definition = Definition {
    name: "MatMulInteger",
    since: &[10],
    inputs: 2..=4,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Product { quantizes: false })),
};

/// `QLinearMatMul`
pub(in crate::ops) const Q_LINEAR_MAT_MUL: Definition = Definition {
    name: "QLinearMatMul",
    since: &[10, 21],
    inputs: 8..=8,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Product { quantizes: true })),
};

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
        let each = |count: usize, of_one: u64| (count as u64).saturating_mul(of_one);
        let mut one = arithmetic(m, n, k)
            .saturating_add(STARTING)
            .saturating_add(each(n, PER_COLUMN))
            .saturating_add(each(m, PER_ROW))
            .saturating_add(each(m * k, PER_LEFT))
            .saturating_add(each(m * n, PER_SUM));
        let mut packed = product_padding(n, k);
        if !known {
            one = one.saturating_add(each(n * k, PER_PACKED));
            packed = packed.saturating_add(each(n * k, 2));
        }
        Work {
            arithmetic: one.saturating_mul(products),
            bytes: streamed(inputs, outputs).saturating_add(packed.saturating_mul(products)),
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

impl ProductKernel {
    /// Into how large groups products are shared out that are enough for all threads, or each too small for several; `None` if they
    /// are not.
    fn shared_out(&self, path: Path, row_scales: usize) -> Option<usize> {
        let [_, n, k] = self.dims;
        let count = self.pairs.len();
        let alone = integer_gemm_nanoseconds(self.dims);
        let fits = path == Path::Fast
            && self.packed.is_none()
            && row_scales <= 1
            && integer_gemm_scratch(k) == 0
            && PackedBytes::bytes(k, n) <= pool::BUFFER_BYTES;
        if !fits || pool::pieces(alone) > 1 && count < 2 * pool::threads() {
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
