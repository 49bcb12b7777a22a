//! Where: picks between two tensors element by element, with NumPy's broadcasting. ONNX `Where`, versions 9 and 16.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{Rows, by_size},
    kernel,
};
use crate::{DType, shape::broadcast, tensor::TensorViewMut};
use bytemuck::Pod;

/// `Where`
pub(super) const WHERE: Definition = Definition {
    name: "Where",
    since: &[9, 16],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Where)),
};

#[derive(Debug)]
struct Where;

impl Operator for Where {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let condition = inputs.of_types(0, &[DType::Bool])?;
        let yes = inputs.required(1)?;
        let no = inputs.like(2, yes.dtype)?;
        let shapes = [condition.shape, yes.shape, no.shape];
        let shape = broadcast(&shapes)
            .ok_or_else(|| OpError::Shape(format!("shapes {shapes:?} do not broadcast")))?;
        Ok(vec![TensorType::new(yes.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shapes = [
            inputs.required(0)?.shape,
            inputs.required(1)?.shape,
            inputs.required(2)?.shape,
        ];
        let rows = Rows::broadcast(&outputs[0].shape, shapes);
        let size = outputs[0].dtype.size();
        Ok(kernel(move |io| {
            let (condition, yes, no) = (io.input(0).bytes(), io.input(1).bytes(), io.input(2).bytes());
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                pick::<Word>(
                    &rows,
                    condition,
                    bytemuck::cast_slice(yes),
                    bytemuck::cast_slice(no),
                    bytemuck::cast_slice_mut(output),
                );
            });
            Ok(())
        }))
    }
}

fn pick<W: Pod>(rows: &Rows<3>, condition: &[u8], yes: &[W], no: &[W], output: &mut [W]) {
    let mut output = output.chunks_exact_mut(rows.length.max(1));
    // Broadcast strides are never negative.
    let strides = rows.strides.map(|stride| stride as usize);
    rows.for_each(|at| {
        let Some(row) = output.next() else { return };
        let at = at.map(|at| at as usize);
        for (i, element) in row.iter_mut().enumerate() {
            let [condition_at, yes_at, no_at] =
                std::array::from_fn(|operand| at[operand] + i * strides[operand]);
            *element = if condition[condition_at] != 0 {
                yes[yes_at]
            } else {
                no[no_at]
            };
        }
    });
}
