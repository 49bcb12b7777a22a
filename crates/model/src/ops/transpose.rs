//! Transpose: permutes dimensions; without `perm` reverses them. ONNX `Transpose`, versions 1 to 25.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{Strided, distinct_axes, signed_strides},
};

/// `Transpose`
pub(super) const TRANSPOSE: Definition = Definition {
    name: "Transpose",
    since: &[1, 13, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Transpose {
            permutation: node.attributes.ints("perm")?,
        }))
    },
};

#[derive(Debug)]
struct Transpose {
    permutation: Option<Vec<i64>>,
}

impl Transpose {
    /// For each axis of the output the input's axis.
    fn permutation(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        match &self.permutation {
            None => Ok((0..rank).rev().collect()),
            Some(axes) if axes.len() == rank => distinct_axes(axes, rank),
            Some(axes) => Err(OpError::Shape(format!(
                "perm {axes:?} does not fit {rank} dimensions"
            ))),
        }
    }
}

impl Operator for Transpose {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let permutation = self.permutation(data.shape.len())?;
        let shape = permutation.into_iter().map(|axis| data.shape[axis]).collect();
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let shape = &outputs[0].shape;
        let row = shape.last().map_or(1, |&last| last.max(1));
        let kept = self
            .permutation(shape.len())
            .is_ok_and(|order| order.last().is_some_and(|&last| last + 1 == shape.len()));
        if !kept {
            // scattered reads: an element costs more than its bytes
            return Work::elementwise(inputs, outputs, 24);
        }
        let rows = (outputs[0].elements() / row) as u64;
        let mut work = Work::elementwise(inputs, outputs, 2);
        work.arithmetic = work.arithmetic.saturating_add(rows.saturating_mul(100));
        work
    }

    fn moves_data(&self) -> bool {
        true
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let own = signed_strides(data.shape);
        let strides = self
            .permutation(data.shape.len())?
            .into_iter()
            .map(|axis| own[axis])
            .collect();
        Ok(Strided::new(&outputs[0].shape, strides, 0).into_kernel(data.dtype.size()))
    }
}
