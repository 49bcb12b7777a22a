//! Gemm: `y = alpha * A' * B' + beta * C`, where A' and B' may be transposed. ONNX `Gemm`, versions 7, 9, 11 and 13.
//!
//! The product is one chain of fused multiply-adds in ascending k from +0.0; then each of `alpha *`, `beta *` and `+` is
//! one rounding (a factor of 1 changes nothing). Integers wrap, and take integral factors only.

use super::{
    AttributeError, DType, Definition, Inputs, Io, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, Purpose, Then, on_floats, required},
    kernel,
    matmul::{PRODUCT_TYPES, integer_product, product_arithmetic, product_padding},
    streamed,
};
use crate::{
    shape::{broadcast, broadcast_strides},
    tensor::Element,
};
use std::sync::Arc;
use synod_numerics::{
    fast::epilogue::{Epilogue, Simple},
    integer::Integer,
    isa, reference,
    shape::Matrix,
};

/// `Gemm`
pub(super) const GEMM: Definition = Definition {
    name: "Gemm",
    since: &[7, 9, 11, 13],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Gemm {
            alpha: node.attributes.float("alpha")?.unwrap_or(1.0),
            beta: node.attributes.float("beta")?.unwrap_or(1.0),
            transpose_a: node.attributes.int("transA")?.unwrap_or(0) != 0,
            transpose_b: node.attributes.int("transB")?.unwrap_or(0) != 0,
        }))
    },
};

#[derive(Debug)]
struct Gemm {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
}

/// A Gemm of concrete shapes.
#[derive(Clone)]
struct Sized {
    alpha: f32,
    beta: f32,
    transpose_a: bool,
    transpose_b: bool,
    /// m, n, k.
    dims: [usize; 3],
    /// Row and column strides of C, 0 where it is repeated.
    c_strides: Option<[usize; 2]>,
}

impl Gemm {
    fn sized(&self, inputs: &Inputs<'_>) -> Result<Sized, OpError> {
        let (a, b) = (inputs.required(0)?, inputs.required(1)?);
        let refuse = || {
            OpError::Shape(format!(
                "matrices of shapes {:?} and {:?} cannot be multiplied",
                a.shape, b.shape
            ))
        };
        let (&[a0, a1], &[b0, b1]) = (a.shape, b.shape) else {
            return Err(refuse());
        };
        let (m, k) = if self.transpose_a { (a1, a0) } else { (a0, a1) };
        let (b_k, n) = if self.transpose_b { (b1, b0) } else { (b0, b1) };
        if k != b_k {
            return Err(refuse());
        }
        let c_strides = match inputs.optional(2) {
            None => None,
            Some(c) if broadcast(&[c.shape, &[m, n]]).as_deref() == Some(&[m, n]) => {
                let strides = broadcast_strides(c.shape, &[m, n]);
                Some([strides[0], strides[1]])
            }
            Some(c) => {
                return Err(OpError::Shape(format!(
                    "C of shape {:?} does not broadcast to {:?}",
                    c.shape,
                    [m, n]
                )));
            }
        };
        Ok(Sized {
            alpha: self.alpha,
            beta: self.beta,
            transpose_a: self.transpose_a,
            transpose_b: self.transpose_b,
            dims: [m, n, k],
            c_strides,
        })
    }
}

impl Operator for Gemm {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let a = inputs.of_types(0, PRODUCT_TYPES)?;
        inputs.like(1, a.dtype)?;
        if inputs.optional(2).is_some() {
            inputs.like(2, a.dtype)?;
        }
        if a.dtype.is_integer() {
            integral("alpha", self.alpha)?;
            integral("beta", self.beta)?;
        }
        let [m, n, _] = self.sized(inputs)?.dims;
        Ok(vec![TensorType::new(a.dtype, vec![m, n])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let dtype = outputs[0].dtype;
        let (arithmetic, padding) = self
            .sized(inputs)
            .map_or((0, 0), |Sized { dims: [m, n, k], .. }| {
                (
                    // the additions of C are a few instructions for each vector of the output
                    product_arithmetic(dtype, m, n, k).saturating_add((m * n) as u64 * 2),
                    product_padding(n, k).saturating_mul(dtype.size() as u64),
                )
            });
        Work {
            arithmetic,
            bytes: streamed(inputs, outputs).saturating_add(padding),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let k = self.sized(inputs).map_or(0, |sized| sized.dims[2]);
        (outputs[0].elements() as u64).saturating_mul(k as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let sized = self.sized(inputs)?;
        Ok(match outputs[0].dtype {
            DType::I32 => integer_kernel::<i32>(sized),
            DType::I64 => integer_kernel::<i64>(sized),
            DType::U32 => integer_kernel::<u32>(sized),
            DType::U64 => integer_kernel::<u64>(sized),
            _ => on_floats(&sized, inputs, outputs),
        })
    }

    fn is_total(&self) -> bool {
        true
    }
}

/// A factor as an integer.
fn integral(name: &'static str, factor: f32) -> Result<i64, OpError> {
    let integer = factor as i64;
    if integer as f32 == factor {
        Ok(integer)
    } else {
        Err(AttributeError::Value {
            name,
            value: factor.to_string(),
            expected: "whole numbers, for integers",
        }
        .into())
    }
}

impl Sized {
    fn a<'a, T: Copy>(&self, a: &'a [T]) -> Matrix<'a, T> {
        let [m, _, k] = self.dims;
        if self.transpose_a {
            Matrix::transposed(a, m)
        } else {
            Matrix::row_major(a, k)
        }
    }

    fn b<'a, T: Copy>(&self, b: &'a [T]) -> Matrix<'a, T> {
        let [_, n, k] = self.dims;
        if self.transpose_b {
            Matrix::transposed(b, k)
        } else {
            Matrix::row_major(b, n)
        }
    }
}

fn integer_kernel<T: Integer + Element>(sized: Sized) -> Box<dyn Kernel> {
    let (alpha, beta) = (
        T::wrap((sized.alpha as i64).into()),
        T::wrap((sized.beta as i64).into()),
    );
    kernel(move |io: &mut Io<'_, '_>| {
        let b = io.input(1).as_slice::<T>();
        let c = io.optional_input(2).map(|c| c.as_slice::<T>());
        let (a, out) = io.unary::<T, T>(0, 0);
        integer_product(sized.dims, sized.a(a), sized.b(b), out);
        let n = sized.dims[1];
        for (index, y) in out.iter_mut().enumerate() {
            *y = y.mul(alpha);
            if let (Some(c), Some([row, column])) = (c, sized.c_strides) {
                *y = y.add(beta.mul(c[index / n * row + index % n * column]));
            }
        }
        Ok(())
    })
}

impl FloatOperation for Sized {
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        let [m, n, k] = self.dims;
        // a single row streams its matrix once: packing only helps if the columns do not lie side by side
        let pack = m > 1 || self.transpose_b;
        let packed = pack
            .then(|| {
                let parameters = [k, n, self.transpose_b.into()];
                let transposed = self.transpose_b;
                let restore = move |packed: &T::Packed| {
                    let rows = T::unpack(packed);
                    if transposed {
                        (0..n * k).map(|at| rows[at % k * n + at / k]).collect()
                    } else {
                        rows
                    }
                };
                let pack = |b: &[T]| T::pack(k, n, self.b(b));
                known.arranged(1, Purpose::Product, parameters, pack, Some(restore))
            })
            .flatten();
        Box::new(Product {
            sized: self.clone(),
            packed,
        })
    }
}

struct Product<T: Compute> {
    sized: Sized,
    /// B, if it is known in advance.
    packed: Option<Arc<T::Packed>>,
}

impl<T: Compute> FloatKernel<T> for Product<T> {
    fn scratch(&self) -> usize {
        let [m, n, k] = self.sized.dims;
        if self.packed.is_some() {
            T::gemm_packed_scratch(m, k)
        } else {
            T::gemm_scratch(m, n, k)
        }
    }

    fn reads(&self, path: Path, input: usize) -> bool {
        input != 1 || self.packed.is_none() || path == Path::Reference
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let out = &mut *outputs[0];
        if path == Path::Fast {
            return self.fast(inputs, None, out, scratch);
        }
        let sized = &self.sized;
        let [m, n, k] = sized.dims;
        let a = sized.a(required(inputs, 0));
        reference::gemm(m, n, k, a, sized.b(required(inputs, 1)), out);
        let (alpha, beta) = (T::from_f32(sized.alpha), T::from_f32(sized.beta));
        let c = inputs.get(2).copied().flatten();
        for (index, y) in out.iter_mut().enumerate() {
            *y = match (c, sized.c_strides) {
                (Some(c), Some([row, column])) => alpha * *y + beta * c[index / n * row + index % n * column],
                _ => alpha * *y,
            }
            .canonical();
        }
    }

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn run_then(&self, inputs: &[Option<&[T]>], out: &mut [T], scratch: &mut [T], epilogue: &dyn Epilogue) {
        self.fast(inputs, Some(epilogue), out, scratch);
    }
}

impl<T: Compute> Product<T> {
    fn fast(
        &self,
        inputs: &[Option<&[T]>],
        epilogue: Option<&dyn Epilogue>,
        out: &mut [T],
        scratch: &mut [T],
    ) {
        let sized = &self.sized;
        let a = sized.a(required(inputs, 0));
        let c = inputs.get(2).copied().flatten();
        let finish = |first: usize, y: &mut [T]| {
            let n = sized.dims[1].max(1);
            for (row, y) in y.chunks_mut(n).enumerate() {
                self.finish(c, first + row * n, y);
            }
            if let Some(epilogue) = epilogue {
                T::apply(epilogue, first, y);
            }
        };
        let finish = Then {
            work: &finish,
            simple: self.simple(c, epilogue),
        };
        match &self.packed {
            Some(b) => T::gemm_packed(sized.dims, a, b, Some(&finish), out, scratch),
            None => {
                let b = sized.b(required(inputs, 1));
                T::gemm(sized.dims, a, b, Some(&finish), out, scratch);
            }
        }
    }

    /// What [`Self::finish`] and then the epilogue do, if that is additions and bounds.
    fn simple<'a>(&self, c: Option<&'a [T]>, epilogue: Option<&'a dyn Epilogue>) -> Option<Simple<'a>> {
        let sized = &self.sized;
        let simple = match epilogue {
            Some(epilogue) => epilogue.simple()?,
            None => Simple::default(),
        };
        if sized.alpha != 1.0 {
            return None;
        }
        let (Some(c), Some(strides)) = (c, sized.c_strides) else {
            return Some(simple);
        };
        let [_, n, _] = sized.dims;
        let c = T::floats(c).filter(|_| sized.beta == 1.0)?;
        match strides {
            [0, 1] if simple.row.is_none() => Some(Simple {
                row: Some(c),
                ..simple
            }),
            [row, 1] if row == n && simple.row.is_none() && simple.add.is_none() => Some(Simple {
                add: Some(c),
                ..simple
            }),
            _ => None,
        }
    }

    /// y = alpha · y + beta · C, of elements of one row from number `first` on.
    fn finish(&self, c: Option<&[T]>, first: usize, y: &mut [T]) {
        let sized = &self.sized;
        let n = sized.dims[1];
        let (alpha, beta) = (T::from_f32(sized.alpha), T::from_f32(sized.beta));
        match (c, sized.c_strides) {
            (Some(c), Some([row, 0])) => {
                let c = beta * c[first / n * row];
                isa::update(y, move |y: T| (alpha * y + c).canonical());
            }
            (Some(c), Some([row, _])) => {
                T::scale_and_add(y, alpha, &c[first / n * row + first % n..][..y.len()], beta);
            }
            _ if sized.alpha == 1.0 => {}
            _ => isa::update(y, move |y: T| (alpha * y).canonical()),
        }
    }
}
