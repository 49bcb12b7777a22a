//! Identity: the output is the input, any type. ONNX `Identity`, versions 1 to 25 (later ones widen the types).

use super::{Definition, Inputs, Kernel, OpError, Operator, TensorType, Work, data::copy};

/// `Identity`
pub(super) const IDENTITY: Definition = Definition {
    name: "Identity",
    since: &[1, 13, 14, 16, 19, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Identity)),
};

#[derive(Debug)]
struct Identity;

impl Operator for Identity {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.required(0)?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::moving(inputs, outputs)
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(copy())
    }

    fn is_view(&self) -> bool {
        true
    }
}
