//! Shape and Size: a tensor's dimensions and element count as `int64`. They depend on the input's type alone, so planning
//! computes them and they never run.
//!
//! ONNX `Shape`, versions 1 to 25 (from 15 with `start` and `end`), and `Size`, versions 1 to 25.

use super::{Definition, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel};
use crate::{DType, Tensor, tensor::TensorViewMut};

/// `Shape`
pub(super) const SHAPE: Definition = Definition {
    name: "Shape",
    since: &[1, 13, 15, 19, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let (mut start, mut end) = (0, None);
        if node.version >= 15 {
            start = node.attributes.int("start")?.unwrap_or(0);
            end = node.attributes.int("end")?;
        }
        Ok(Box::new(Measure {
            of: Of::Dimensions { start, end },
        }))
    },
};

/// `Size`
pub(super) const SIZE: Definition = Definition {
    name: "Size",
    since: &[1, 13, 19, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Measure { of: Of::Elements })),
};

#[derive(Debug)]
struct Measure {
    of: Of,
}

#[derive(Debug)]
enum Of {
    Dimensions { start: i64, end: Option<i64> },
    Elements,
}

impl Measure {
    fn value(&self, inputs: &Inputs<'_>) -> Result<(Vec<usize>, Vec<i64>), OpError> {
        let data = inputs.required(0)?;
        Ok(match self.of {
            Of::Elements => (Vec::new(), vec![data.elements() as i64]),
            Of::Dimensions { start, end } => {
                let rank = data.shape.len() as i64;
                let hold =
                    |at: i64| if at < 0 { at.saturating_add(rank) } else { at }.clamp(0, rank) as usize;
                let (start, end) = (hold(start), hold(end.unwrap_or(rank)));
                let dims: Vec<_> = data.shape[start..end.max(start)]
                    .iter()
                    .map(|&size| size as i64)
                    .collect();
                (vec![dims.len()], dims)
            }
        })
    }
}

impl Operator for Measure {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![TensorType::new(DType::I64, self.value(inputs)?.0)?])
    }

    fn value_from_types(&self, inputs: &Inputs<'_>) -> Option<Tensor> {
        let (shape, dims) = self.value(inputs).ok()?;
        Tensor::from_slice(DType::I64, &shape, &dims).ok()
    }

    fn work(&self, _inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: 0,
            bytes: outputs[0].bytes() as u64,
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, dims) = self.value(inputs)?;
        Ok(kernel(move |io| {
            io.output(0)
                .map_or(&mut [][..], TensorViewMut::as_mut_slice::<i64>)
                .copy_from_slice(&dims);
            Ok(())
        }))
    }
}
