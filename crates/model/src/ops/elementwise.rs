//! Add: the sum with NumPy's broadcasting. ONNX `Add`, versions 7, 13 and 14.

use super::{Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel};
use crate::{
    shape::{broadcast, broadcast_strides, strides},
    tensor::TensorViewMut,
};

/// `Add`
pub(super) const ADD: Definition = Definition {
    name: "Add",
    since: &[7, 13, 14],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Add)),
};

#[derive(Debug)]
struct Add;

impl Operator for Add {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let a = inputs.of_types(0, &FLOATS[..1])?;
        let b = inputs.like(1, a.dtype)?;
        let shape = broadcast(&[a.shape, b.shape]).ok_or_else(|| {
            OpError::Shape(format!("shapes {:?} and {:?} do not broadcast", a.shape, b.shape))
        })?;
        Ok(vec![TensorType::new(a.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 1)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = outputs[0].shape.clone();
        let a_strides = broadcast_strides(inputs.required(0)?.shape, &shape);
        let b_strides = broadcast_strides(inputs.required(1)?.shape, &shape);
        let out_strides = strides(&shape);
        Ok(kernel(move |io| {
            let (a, b) = (io.input(0).as_slice::<f32>(), io.input(1).as_slice::<f32>());
            let out = io
                .output(0)
                .map_or(&mut [][..], TensorViewMut::as_mut_slice::<f32>);
            for (index, out) in out.iter_mut().enumerate() {
                let (mut at_a, mut at_b) = (0, 0);
                for axis in 0..shape.len() {
                    let coordinate = index / out_strides[axis] % shape[axis];
                    at_a += coordinate * a_strides[axis];
                    at_b += coordinate * b_strides[axis];
                }
                let sum = a[at_a] + b[at_b];
                *out = if sum.is_nan() {
                    f32::from_bits(0x7fc0_0000)
                } else {
                    sum
                };
            }
            Ok(())
        }))
    }
}
