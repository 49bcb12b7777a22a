//! ConstantOfShape: a tensor of a given shape filled with one value (f32 zero by default). ONNX `ConstantOfShape`, versions
//! 9 to 25.

use super::{AttributeError, Definition, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel};
use crate::{DType, shape::shape_from_i64s, tensor::TensorViewMut};

/// `ConstantOfShape`
pub(super) const CONSTANT_OF_SHAPE: Definition = Definition {
    name: "ConstantOfShape",
    since: &[9, 20, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let (dtype, value) = match node.attributes.tensor("value")? {
            None => (DType::F32, vec![0; 4]),
            Some(tensor) if tensor.elements() == 1 => (tensor.dtype(), tensor.to_le_bytes()),
            Some(tensor) => {
                let value = format!("a tensor of {} elements", tensor.elements());
                return Err(AttributeError::Value {
                    name: "value",
                    value,
                    expected: "one element",
                }
                .into());
            }
        };
        Ok(Box::new(ConstantOfShape { dtype, value }))
    },
};

#[derive(Debug)]
struct ConstantOfShape {
    dtype: DType,
    value: Vec<u8>,
}

impl Operator for ConstantOfShape {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![TensorType::new(
            self.dtype,
            shape_from_i64s(&inputs.known_i64s(0)?)?,
        )?])
    }

    fn work(&self, _inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: 0,
            bytes: outputs[0].bytes() as u64,
        }
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let value = self.value.clone();
        Ok(kernel(move |io| {
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            output
                .chunks_exact_mut(value.len())
                .for_each(|element| element.copy_from_slice(&value));
            Ok(())
        }))
    }
}
