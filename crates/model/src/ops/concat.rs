//! Concat and Split: tensors joined along an axis, and taken apart.
//!
//! - `Concat` (versions 4, 11 and 13).
//! - `Split`: sizes are an attribute in versions 2 and 11, an input from 13; equal parts without them. From 18 `num_outputs`
//!   parts, the last smaller if they do not come out even.

use super::{
    AttributeError, Definition, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel, normalize_axis,
};
use crate::shape::{element_count, shape_from_i64s};

/// Of copying a piece, whatever its length.
const PER_PIECE: u64 = 64;

/// `Concat`
pub(super) const CONCAT: Definition = Definition {
    name: "Concat",
    since: &[4, 11, 13],
    inputs: 1..=usize::MAX,
    outputs: 1..=1,
    parse: |node| {
        let axis = node
            .attributes
            .int("axis")?
            .ok_or(AttributeError::Missing { name: "axis" })?;
        Ok(Box::new(Concat { axis }))
    },
};

/// `Split`
pub(super) const SPLIT: Definition = Definition {
    name: "Split",
    since: &[2, 11, 13, 18],
    inputs: 1..=2,
    outputs: 1..=usize::MAX,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(0);
        let sizes = if node.version < 13 {
            node.attributes.ints("split")?
        } else {
            None
        };
        let stated = if node.version >= 18 {
            node.attributes.int("num_outputs")?
        } else {
            None
        };
        if let Some(stated) = stated
            && usize::try_from(stated) != Ok(node.outputs.len())
        {
            let value = format!("{stated}, with {} outputs listed", node.outputs.len());
            return Err(AttributeError::Value {
                name: "num_outputs",
                value,
                expected: "the number of outputs",
            }
            .into());
        }
        // Before version 18 parts without sizes have to be equal.
        Ok(Box::new(Split {
            axis,
            sizes,
            parts: node.outputs.len(),
            uneven: node.version >= 18,
        }))
    },
};

#[derive(Debug)]
struct Concat {
    axis: i64,
}

impl Operator for Concat {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let first = inputs.required(0)?;
        let axis = normalize_axis(self.axis, first.shape.len())?;
        let mut shape = first.shape.to_vec();
        for index in 1..inputs.len() {
            let next = inputs.like(index, first.dtype)?;
            let fits = next.shape.len() == shape.len()
                && (0..shape.len()).all(|other| other == axis || next.shape[other] == shape[other]);
            if !fits {
                return Err(OpError::Shape(format!(
                    "{:?} and {:?} cannot be joined along axis {axis}",
                    first.shape, next.shape
                )));
            }
            shape[axis] = shape[axis].saturating_add(next.shape[axis]);
        }
        Ok(vec![TensorType::new(first.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let axis = normalize_axis(self.axis, outputs[0].shape.len()).unwrap_or(0);
        let slabs = element_count(&outputs[0].shape[..axis]);
        in_pieces(slabs.saturating_mul(inputs.len()), inputs, outputs)
    }

    fn moves_data(&self) -> bool {
        true
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let output = &outputs[0];
        let axis = normalize_axis(self.axis, output.shape.len())?;
        let size = output.dtype.size();
        // The bytes that each input gives to every slab of the output around the axis.
        let pieces: Vec<_> = inputs
            .iter()
            .map(|input| size * element_count(&input.shape[axis..]))
            .collect();
        let slab = size * element_count(&output.shape[axis..]);
        Ok(kernel(move |io| {
            let (inputs, outputs, _) = io.split();
            let Some(Some(output)) = outputs.first_mut() else {
                return Ok(());
            };
            if slab == 0 {
                return Ok(());
            }
            for (number, slab) in output.bytes_mut().chunks_exact_mut(slab).enumerate() {
                let mut at = 0;
                for (input, &piece) in inputs.iter().flatten().zip(&pieces) {
                    slab[at..at + piece].copy_from_slice(&input.bytes()[number * piece..][..piece]);
                    at += piece;
                }
            }
            Ok(())
        }))
    }
}

/// Work of copying everything in so many pieces.
fn in_pieces(pieces: usize, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
    Work {
        arithmetic: (pieces as u64).saturating_mul(PER_PIECE),
        ..Work::moving(inputs, outputs)
    }
}

#[derive(Debug)]
struct Split {
    axis: i64,
    sizes: Option<Vec<i64>>,
    parts: usize,
    uneven: bool,
}

impl Split {
    fn sizes(&self, inputs: &Inputs<'_>) -> Result<(usize, Vec<usize>), OpError> {
        let shape = inputs.required(0)?.shape;
        let axis = normalize_axis(self.axis, shape.len())?;
        let total = shape[axis];
        let stated = match &self.sizes {
            Some(sizes) => Some(sizes.clone()),
            None => inputs.known_i64s_if_given(1)?,
        };
        let refuse = |sizes: &dyn std::fmt::Debug| {
            OpError::Shape(format!(
                "axis {axis} of {shape:?} does not split into {} parts of {sizes:?}",
                self.parts
            ))
        };
        let sizes = match stated {
            Some(sizes) => shape_from_i64s(&sizes)?,
            None if self.uneven || total.is_multiple_of(self.parts) => {
                let each = total.div_ceil(self.parts);
                (0..self.parts)
                    .map(|part| total.saturating_sub(part * each).min(each))
                    .collect()
            }
            None => return Err(refuse(&"equal size")),
        };
        let sum = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if sizes.len() == self.parts && sum == Some(total) {
            Ok((axis, sizes))
        } else {
            Err(refuse(&sizes))
        }
    }
}

impl Operator for Split {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let (axis, sizes) = self.sizes(inputs)?;
        let mut types = Vec::with_capacity(sizes.len());
        for size in sizes {
            let mut shape = data.shape.to_vec();
            shape[axis] = size;
            types.push(TensorType::new(data.dtype, shape)?);
        }
        Ok(types)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let slabs = match (self.sizes(inputs), inputs.optional(0)) {
            (Ok((axis, _)), Some(data)) => element_count(&data.shape[..axis]),
            _ => 0,
        };
        in_pieces(slabs.saturating_mul(outputs.len()), inputs, outputs)
    }

    fn moves_data(&self) -> bool {
        true
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let (axis, _) = self.sizes(inputs)?;
        let size = data.dtype.size();
        let pieces: Vec<_> = outputs
            .iter()
            .map(|output| size * element_count(&output.shape[axis..]))
            .collect();
        let slab = size * element_count(&data.shape[axis..]);
        Ok(kernel(move |io| {
            let input = io.input(0).bytes();
            if slab == 0 {
                return Ok(());
            }
            let mut at = 0;
            for (index, &piece) in pieces.iter().enumerate() {
                if let Some(output) = io.output(index).filter(|_| piece > 0) {
                    for (slab, part) in input
                        .chunks_exact(slab)
                        .zip(output.bytes_mut().chunks_exact_mut(piece))
                    {
                        part.copy_from_slice(&slab[at..at + piece]);
                    }
                }
                at += piece;
            }
            Ok(())
        }))
    }
}
