//! MatMul: NumPy's `matmul`. ONNX `MatMul`, versions 1, 9 and 13.
//!
//! Each output element is one chain of fused multiply-adds in ascending k from +0.0; of integers, a sum that wraps.

use super::{
    DType, Definition, Inputs, Io, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, Purpose, Then, on_floats, required},
    kernel, streamed,
};
use crate::{
    Shape,
    shape::{broadcast, broadcast_strides, element_count, strides},
    tensor::Element,
};
use std::sync::Arc;
use synod_numerics::{
    fast::{
        epilogue::{Epilogue, Simple},
        matrix::gemm_nanoseconds,
    },
    integer::Integer,
    pool::{self, BUFFER_BYTES},
    reference,
    shape::Matrix,
};

/// `MatMul`
pub(super) const MATMUL: Definition = Definition {
    name: "MatMul",
    since: &[1, 9, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(MatMul)),
};

/// Element types of matrix products.
pub(super) const PRODUCT_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::U32,
    DType::U64,
];

/// Elements that fill up the columns of a right operand: they are read like the others.
pub(super) fn product_padding(n: usize, k: usize) -> u64 {
    ((n.next_multiple_of(16) - n) as u64).saturating_mul(k as u64)
}

/// Multiply-add equivalents of an m × n × k product: padded to the tiles of six rows and sixteen columns, where starting and
/// storing a tile takes about as long as a dozen terms. A single row is computed without tiles, sixteen columns at a time.
pub(super) fn product_arithmetic(dtype: DType, m: usize, n: usize, k: usize) -> u64 {
    if matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        let rows = if m == 1 { 1 } else { m.next_multiple_of(6) };
        return [rows, n.next_multiple_of(16), k.saturating_add(12)]
            .iter()
            .fold(1u64, |work, &d| work.saturating_mul(d as u64));
    }
    // row by row, without tiles
    let (per_term, per_result) = match (dtype, n) {
        (DType::F64, _) => (16, 160),
        // a row by a column
        (_, 1) => (10, 60),
        _ => (24, 60),
    };
    (m as u64)
        .saturating_mul(n as u64)
        .saturating_mul((k as u64).saturating_mul(per_term).saturating_add(per_result))
}

#[derive(Debug)]
struct MatMul;

/// The operands as stacks of matrices: `batch` of m×k by k×n.
#[derive(Clone)]
pub(super) struct Stack {
    pub(super) batch: Shape,
    pub(super) a_batch: Shape,
    pub(super) b_batch: Shape,
    pub(super) m: usize,
    pub(super) k: usize,
    pub(super) n: usize,
    pub(super) output: Shape,
}

/// The products of operands of these shapes, by NumPy's rule.
pub(super) fn stack(a: &[usize], b: &[usize]) -> Result<Stack, OpError> {
    let refuse = || OpError::Shape(format!("matrices of shapes {a:?} and {b:?} cannot be multiplied"));
    let (a_batch, m, k) = match a {
        [] => return Err(refuse()),
        [k] => (&[][..], None, *k),
        [batch @ .., m, k] => (batch, Some(*m), *k),
    };
    let (b_batch, b_k, n) = match b {
        [] => return Err(refuse()),
        [k] => (&[][..], *k, None),
        [batch @ .., k, n] => (batch, *k, Some(*n)),
    };
    if k != b_k {
        return Err(refuse());
    }
    let batch = broadcast(&[a_batch, b_batch]).ok_or_else(refuse)?;
    let output = batch.iter().copied().chain(m).chain(n).collect();
    let (a_batch, b_batch) = (a_batch.to_vec(), b_batch.to_vec());
    let (m, n) = (m.unwrap_or(1), n.unwrap_or(1));
    Ok(Stack {
        batch,
        a_batch,
        b_batch,
        m,
        k,
        n,
        output,
    })
}

impl Stack {
    /// A stack times one matrix is one product of taller matrices: the same chains, fewer and fuller tiles.
    fn merged(mut self) -> Self {
        if self.b_batch.iter().all(|&dim| dim == 1)
            && element_count(&self.a_batch) == element_count(&self.batch)
        {
            self.m *= element_count(&self.batch);
            self.batch.clear();
            self.a_batch.clear();
            self.b_batch.clear();
        }
        self
    }

    /// For each product, which matrix of each operand it takes.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let a_strides = broadcast_strides(&self.a_batch, &self.batch);
        let b_strides = broadcast_strides(&self.b_batch, &self.batch);
        let batch_strides = strides(&self.batch);
        let at = |index: usize, strides: &[usize]| -> usize {
            let axes = 0..self.batch.len();
            axes.map(|axis| index / batch_strides[axis] % self.batch[axis] * strides[axis])
                .sum()
        };
        (0..element_count(&self.batch))
            .map(|index| (at(index, &a_strides), at(index, &b_strides)))
            .collect()
    }
}

impl Operator for MatMul {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let a = inputs.of_types(0, PRODUCT_TYPES)?;
        let b = inputs.like(1, a.dtype)?;
        Ok(vec![TensorType::new(a.dtype, stack(a.shape, b.shape)?.output)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (Some(a), Some(b)) = (inputs.optional(0), inputs.optional(1)) else {
            return Work::default();
        };
        let (arithmetic, padding) = stack(a.shape, b.shape).map_or((0, 0), |stack| {
            let Stack { batch, m, n, k, .. } = stack.merged();
            let products = element_count(&batch) as u64;
            // starting a product costs as much as some hundred multiply-adds
            let arithmetic = product_arithmetic(a.dtype, m, n, k).saturating_add(800);
            let padding = product_padding(n, k).saturating_mul(a.dtype.size() as u64);
            (
                arithmetic.saturating_mul(products),
                padding.saturating_mul(products),
            )
        });
        Work {
            arithmetic,
            bytes: streamed(inputs, outputs).saturating_add(padding),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let k = inputs
            .optional(0)
            .and_then(|a| a.shape.last().copied())
            .unwrap_or(0);
        (outputs[0].elements() as u64).saturating_mul(k as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (a, b) = (inputs.required(0)?, inputs.required(1)?);
        let stack = stack(a.shape, b.shape)?.merged();
        Ok(match a.dtype {
            DType::I32 => integer_kernel::<i32>(stack),
            DType::I64 => integer_kernel::<i64>(stack),
            DType::U32 => integer_kernel::<u32>(stack),
            DType::U64 => integer_kernel::<u64>(stack),
            _ => on_floats(&stack, inputs, outputs),
        })
    }

    fn is_total(&self) -> bool {
        true
    }
}

fn integer_kernel<T: Integer + Element>(stack: Stack) -> Box<dyn Kernel> {
    let pairs = stack.pairs();
    kernel(move |io: &mut Io<'_, '_>| {
        let (m, n, k) = (stack.m, stack.n, stack.k);
        let b = io.input(1).as_slice::<T>();
        let (a, out) = io.unary::<T, T>(0, 0);
        for (index, &(at_a, at_b)) in pairs.iter().enumerate() {
            let (a, b) = (&a[at_a * m * k..][..m * k], &b[at_b * k * n..][..k * n]);
            integer_product(
                [m, n, k],
                Matrix::row_major(a, k),
                Matrix::row_major(b, n),
                &mut out[index * m * n..][..m * n],
            );
        }
        Ok(())
    })
}

/// A product of integers, wrapping.
pub(super) fn integer_product<T: Integer>(
    [m, n, k]: [usize; 3],
    a: Matrix<'_, T>,
    b: Matrix<'_, T>,
    out: &mut [T],
) {
    for i in 0..m {
        for j in 0..n {
            out[i * n + j] = (0..k).fold(T::default(), |sum, t| sum.add(a.at(i, t).mul(b.at(t, j))));
        }
    }
}

impl FloatOperation for Stack {
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        // a single row streams its matrix once whatever its layout: nothing to gain from packing
        let packed = (self.batch.is_empty() && self.m > 1)
            .then(|| {
                let pack = |b: &[T]| T::pack(self.k, self.n, Matrix::row_major(b, self.n));
                known.arranged(1, Purpose::Product, [self.k, self.n, 0], pack, Some(T::unpack))
            })
            .flatten();
        Box::new(Products {
            pairs: self.pairs(),
            dims: [self.m, self.n, self.k],
            packed,
        })
    }
}

struct Products<T: Compute> {
    pairs: Vec<(usize, usize)>,
    dims: [usize; 3],
    /// The only right operand, if it is known in advance.
    packed: Option<Arc<T::Packed>>,
}

impl<T: Compute> FloatKernel<T> for Products<T> {
    fn scratch(&self) -> usize {
        let [m, n, k] = self.dims;
        if self.packed.is_some() {
            T::gemm_packed_scratch(m, k)
        } else {
            T::gemm_scratch(m, n, k)
        }
    }

    fn reads(&self, path: Path, input: usize) -> bool {
        input == 0 || self.packed.is_none() || path == Path::Reference
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let out = &mut *outputs[0];
        if path == Path::Fast {
            return self.fast(inputs, None, out, scratch);
        }
        let [m, n, k] = self.dims;
        let a = required(inputs, 0);
        for (out, &(at_a, at_b)) in out.chunks_exact_mut((m * n).max(1)).zip(&self.pairs) {
            let a = Matrix::row_major(&a[at_a * m * k..][..m * k], k);
            let b = Matrix::row_major(&required(inputs, 1)[at_b * k * n..][..k * n], n);
            reference::gemm(m, n, k, a, b, out);
        }
    }

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn run_then(&self, inputs: &[Option<&[T]>], out: &mut [T], scratch: &mut [T], epilogue: &dyn Epilogue) {
        self.fast(inputs, Some(epilogue), out, scratch);
    }
}

impl<T: Compute> Products<T> {
    fn fast(
        &self,
        inputs: &[Option<&[T]>],
        epilogue: Option<&dyn Epilogue>,
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let [m, n, k] = self.dims;
        let count = self.pairs.len();
        // products are shared out whole where there are enough for all threads, or each is too small for several
        let alone = gemm_nanoseconds(self.dims);
        let own = T::gemm_scratch(m, n, k);
        let whole = count >= 2 * pool::threads() || pool::pieces(alone) == 1;
        let pieces = if self.packed.is_none() && whole && own <= BUFFER_BYTES / size_of::<T>() {
            pool::pieces(alone.saturating_mul(count as u64)).min(count)
        } else {
            1
        };
        if pieces <= 1 {
            return self.some(0, inputs, epilogue, out, scratch);
        }
        let together = count.div_ceil(pieces);
        pool::chunks(out, (together * m * n).max(1), |piece, out| {
            pool::with_buffer(own, |scratch: &mut [T]| {
                self.some(piece * together, inputs, epilogue, out, scratch);
            });
        });
    }

    /// The products from number `first` on that fill `out`.
    fn some(
        &self,
        first: usize,
        inputs: &[Option<&[T]>],
        epilogue: Option<&dyn Epilogue>,
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let [m, n, k] = self.dims;
        let a = required(inputs, 0);
        let size = (m * n).max(1);
        for (index, out) in (first..).zip(out.chunks_exact_mut(size)) {
            let (at_a, at_b) = self.pairs[index];
            let work = epilogue
                .map(|epilogue| move |first: usize, y: &mut [T]| T::apply(epilogue, index * size + first, y));
            let simple = epilogue.and_then(Epilogue::simple).map(|simple| Simple {
                add: simple.add.map(|add| &add[index * size..][..size]),
                ..simple
            });
            let then = work.as_ref().map(|work| Then { work, simple });
            let then = then.as_ref();
            let a = Matrix::row_major(&a[at_a * m * k..][..m * k], k);
            if let Some(b) = &self.packed {
                T::gemm_packed(self.dims, a, b, then, out, scratch);
                continue;
            }
            let b = Matrix::row_major(&required(inputs, 1)[at_b * k * n..][..k * n], n);
            T::gemm(self.dims, a, b, then, out, scratch);
        }
    }
}
