//! MatMul: NumPy's `matmul`. ONNX `MatMul`, versions 1, 9 and 13.
//!
//! Each output element is one chain of fused multiply-adds in ascending k from +0.0.

use super::{Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel, streamed};
use crate::{
    Shape,
    shape::{broadcast, broadcast_strides, element_count, strides},
    tensor::TensorViewMut,
};

/// `MatMul`
pub(super) const MATMUL: Definition = Definition {
    name: "MatMul",
    since: &[1, 9, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(MatMul)),
};

#[derive(Debug)]
struct MatMul;

/// The operands as stacks of matrices: `batch` of m×k by k×n.
struct Stack {
    batch: Shape,
    a_batch: Shape,
    b_batch: Shape,
    m: usize,
    k: usize,
    n: usize,
    output: Shape,
}

fn stack(a: &[usize], b: &[usize]) -> Result<Stack, OpError> {
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
    Ok(Stack {
        batch,
        a_batch,
        b_batch,
        m: m.unwrap_or(1),
        k,
        n: n.unwrap_or(1),
        output,
    })
}

impl Operator for MatMul {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let a = inputs.of_types(0, &FLOATS[..1])?;
        let b = inputs.like(1, a.dtype)?;
        Ok(vec![TensorType::new(a.dtype, stack(a.shape, b.shape)?.output)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: self.multiply_adds(inputs, outputs),
            bytes: streamed(inputs, outputs),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let k = inputs
            .optional(0)
            .and_then(|a| a.shape.last().copied())
            .unwrap_or(0);
        (outputs[0].elements() as u64).saturating_mul(k as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let Stack {
            batch,
            a_batch,
            b_batch,
            m,
            k,
            n,
            ..
        } = stack(inputs.required(0)?.shape, inputs.required(1)?.shape)?;
        let (a_strides, b_strides) = (
            broadcast_strides(&a_batch, &batch),
            broadcast_strides(&b_batch, &batch),
        );
        let batch_strides = strides(&batch);
        Ok(kernel(move |io| {
            let (a, b) = (io.input(0).as_slice::<f32>(), io.input(1).as_slice::<f32>());
            let out = io
                .output(0)
                .map_or(&mut [][..], TensorViewMut::as_mut_slice::<f32>);
            for index in 0..element_count(&batch) {
                let offset = |strides: &[usize]| -> usize {
                    (0..batch.len())
                        .map(|axis| index / batch_strides[axis] % batch[axis] * strides[axis])
                        .sum()
                };
                let a = &a[offset(&a_strides) * m * k..][..m * k];
                let b = &b[offset(&b_strides) * k * n..][..k * n];
                for row in 0..m {
                    for column in 0..n {
                        let sum =
                            (0..k).fold(0.0f32, |sum, i| a[row * k + i].mul_add(b[i * n + column], sum));
                        out[(index * m + row) * n + column] = if sum.is_nan() {
                            f32::from_bits(0x7fc0_0000)
                        } else {
                            sum
                        };
                    }
                }
            }
            Ok(())
        }))
    }
}
