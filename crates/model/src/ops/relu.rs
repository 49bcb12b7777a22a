//! Relu: `y = x > 0 ? x : +0`; NaN stays NaN. ONNX `Relu`, versions 6, 13 and 14.

use super::{Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel};

/// `Relu`
pub(super) const RELU: Definition = Definition {
    name: "Relu",
    since: &[6, 13, 14],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Relu)),
};

#[derive(Debug)]
struct Relu;

impl Operator for Relu {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, &FLOATS[..1])?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 1)
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(kernel(|io| {
            let (x, y) = io.unary::<f32, f32>(0, 0);
            for (y, &x) in y.iter_mut().zip(x) {
                *y = if x > 0.0 || x.is_nan() { x } else { 0.0 };
            }
            Ok(())
        }))
    }
}
