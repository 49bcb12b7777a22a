//! Gather: slices of `data` along an axis, picked by indices. ONNX `Gather`, versions 1, 11 and 13.
//!
//! Indices may count from the back. One outside `-size..size` stops the run with an error.

use super::{
    Definition, INDICES, Inputs, Kernel, OpError, Operator, TensorType, Work, indices::position, kernel,
    normalize_axis,
};
use crate::shape::element_count;

/// `Gather`
pub(super) const GATHER: Definition = Definition {
    name: "Gather",
    since: &[1, 11, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Gather {
            axis: node.attributes.int("axis")?.unwrap_or(0),
        }))
    },
};

#[derive(Debug)]
struct Gather {
    axis: i64,
}

impl Operator for Gather {
    fn copies_bits(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let indices = inputs.of_types(1, INDICES)?;
        let axis = normalize_axis(self.axis, data.shape.len())?;
        let shape = [&data.shape[..axis], indices.shape, &data.shape[axis + 1..]].concat();
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // Only the picked slices are read, each from another place.
        let picked = inputs.optional(1).map_or(0, |indices| indices.elements() as u64);
        let outer = inputs
            .optional(0)
            .map_or(1, |data| match normalize_axis(self.axis, data.shape.len()) {
                Ok(axis) => element_count(&data.shape[..axis]) as u64,
                Err(_) => 1,
            });
        Work {
            arithmetic: picked.saturating_mul(outer).saturating_mul(512),
            bytes: (outputs[0].bytes() as u64)
                .saturating_mul(2)
                .saturating_add(picked.saturating_mul(8)),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let axis = normalize_axis(self.axis, data.shape.len())?;
        let size = data.shape[axis];
        let outer = element_count(&data.shape[..axis]);
        let slice = data.dtype.size() * element_count(&data.shape[axis + 1..]);
        Ok(kernel(move |io| {
            let data = io.input(0).bytes();
            let indices = io.input(1);
            let Some(output) = io.output(0) else { return Ok(()) };
            let count = element_count(indices.shape());
            // Every index is checked, even where there is nothing to copy.
            let positions = (0..count).map(|number| position(&indices, number, size));
            for (number, from) in positions.enumerate() {
                let from = from?;
                for block in 0..outer {
                    let to = (block * count + number) * slice;
                    let from = (block * size + from) * slice;
                    output.bytes_mut()[to..to + slice].copy_from_slice(&data[from..from + slice]);
                }
            }
            Ok(())
        }))
    }
}
