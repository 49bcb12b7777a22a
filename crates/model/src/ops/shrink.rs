//! Shrink: towards zero by `bias`, and to zero within `lambd` of it. ONNX `Shrink`, version 9.
//!
//! Integers are compared and moved as `f64` numbers and converted back.

use super::{
    Definition, FLOATS, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    elementwise::{UnaryFloat, UnaryInteger, elementwise_work, unary_number},
};
use synod_numerics::{float::Float, integer::Integer};

/// `Shrink`
pub(super) const SHRINK: Definition = Definition {
    name: "Shrink",
    since: &[9],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let bias = node.attributes.float("bias")?.unwrap_or(0.0);
        let lambd = node.attributes.float("lambd")?.unwrap_or(0.5);
        Ok(Box::new(Shrink { bias, lambd }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Shrink {
    bias: f32,
    lambd: f32,
}

impl UnaryFloat for Shrink {
    #[inline(always)]
    fn float<T: Float>(self, x: T) -> T {
        let (bias, lambd) = (T::from_f32(self.bias), T::from_f32(self.lambd));
        if x < -lambd {
            (x + bias).canonical()
        } else if x > lambd {
            (x - bias).canonical()
        } else {
            T::ZERO
        }
    }
}

impl UnaryInteger for Shrink {
    #[inline(always)]
    fn integer<T: Integer>(self, x: T) -> T {
        T::from_float(self.float(x.to_i128() as f64))
    }
}

impl Operator for Shrink {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, NUMBERS)?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let float = FLOATS.contains(&outputs[0].dtype);
        elementwise_work(inputs, outputs, if float { 20 } else { 200 })
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(unary_number(outputs[0].dtype, *self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_outside_is_left() {
        let shrink = Shrink {
            bias: 1.5,
            lambd: 1.5,
        };
        assert_eq!(
            [-2.0_f32, -1.5, 0.0, 1.5, 2.0].map(|x| shrink.float(x)),
            [-0.5, 0.0, 0.0, 0.0, 0.5]
        );
        assert_eq!(shrink.float(f32::NAN), 0.0);
        assert_eq!(shrink.integer(-7_i8), -5);
        assert_eq!(shrink.integer(7_u8), 5);
    }
}
