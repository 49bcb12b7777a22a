//! Gemm: `y = alpha * A' * B' + beta * C`, where A' and B' may be transposed. ONNX `Gemm`, versions 7, 9, 11 and 13.
//!
//! The product is one chain of fused multiply-adds in ascending k from +0.0; then each of `alpha *`, `beta *` and `+` is
//! one rounding (a factor of 1 changes nothing).

use super::{Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel, streamed};
use crate::{
    shape::{broadcast, broadcast_strides},
    tensor::TensorViewMut,
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

impl Gemm {
    /// m, k, n.
    fn dimensions(&self, inputs: &Inputs<'_>) -> Result<(usize, usize, usize), OpError> {
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
        if k == b_k { Ok((m, k, n)) } else { Err(refuse()) }
    }
}

impl Operator for Gemm {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let a = inputs.of_types(0, &FLOATS[..1])?;
        inputs.like(1, a.dtype)?;
        let (m, _, n) = self.dimensions(inputs)?;
        if inputs.optional(2).is_some() {
            let c = inputs.like(2, a.dtype)?;
            if broadcast(&[c.shape, &[m, n]]).as_deref() != Some(&[m, n]) {
                return Err(OpError::Shape(format!(
                    "C of shape {:?} does not broadcast to {:?}",
                    c.shape,
                    [m, n]
                )));
            }
        }
        Ok(vec![TensorType::new(a.dtype, vec![m, n])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: self.multiply_adds(inputs, outputs),
            bytes: streamed(inputs, outputs),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let k = self.dimensions(inputs).map_or(0, |(_, k, _)| k);
        (outputs[0].elements() as u64).saturating_mul(k as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (m, k, n) = self.dimensions(inputs)?;
        let (alpha, beta) = (self.alpha, self.beta);
        let [a_row, a_k] = if self.transpose_a { [1, m] } else { [k, 1] };
        let [b_k, b_column] = if self.transpose_b { [1, k] } else { [n, 1] };
        let c_strides = inputs.optional(2).map(|c| broadcast_strides(c.shape, &[m, n]));
        Ok(kernel(move |io| {
            let (a, b) = (io.input(0).as_slice::<f32>(), io.input(1).as_slice::<f32>());
            let c = io.optional_input(2).map(|c| c.as_slice::<f32>());
            let out = io
                .output(0)
                .map_or(&mut [][..], TensorViewMut::as_mut_slice::<f32>);
            for row in 0..m {
                for column in 0..n {
                    let product = (0..k).fold(0.0f32, |sum, i| {
                        a[row * a_row + i * a_k].mul_add(b[i * b_k + column * b_column], sum)
                    });
                    let mut y = alpha * product;
                    if let (Some(c), Some(strides)) = (c, &c_strides) {
                        y += beta * c[row * strides[0] + column * strides[1]];
                    }
                    out[row * n + column] = if y.is_nan() {
                        f32::from_bits(0x7fc0_0000)
                    } else {
                        y
                    };
                }
            }
            Ok(())
        }))
    }
}
