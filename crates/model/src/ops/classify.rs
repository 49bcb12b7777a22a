//! What kind of number a float is: IsNaN (versions 9, 13, 20) and IsInf (10, 20).

use super::{
    DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work,
    elementwise::{FloatFormat, elementwise_work, with_float_format},
    kernel,
};
use synod_numerics::{float::Float, isa};

/// `IsNaN`
pub(super) const IS_NAN: Definition = Definition {
    name: "IsNaN",
    since: &[9, 13, 20],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Kind::Nan)),
};

/// `IsInf`
pub(super) const IS_INF: Definition = Definition {
    name: "IsInf",
    since: &[10, 20],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let negative = node.attributes.flag("detect_negative", true)?;
        let positive = node.attributes.flag("detect_positive", true)?;
        Ok(Box::new(Kind::Infinity { negative, positive }))
    },
};

#[derive(Debug, Clone, Copy)]
enum Kind {
    Nan,
    Infinity { negative: bool, positive: bool },
}

impl Kind {
    #[inline(always)]
    fn holds<T: Float>(self, x: T) -> bool {
        match self {
            Self::Nan => x.is_nan(),
            Self::Infinity { negative, positive } => {
                (positive && x == T::INFINITY) || (negative && x == -T::INFINITY)
            }
        }
    }
}

impl Operator for Kind {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        Ok(vec![TensorType::new(DType::Bool, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 8)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn build<F: FloatFormat, S>(kind: Kind, _: S) -> Box<dyn Kernel> {
            kernel(move |io| {
                let (x, out) = io.unary::<F::Stored, u8>(0, 0);
                isa::map(x, out, |x| u8::from(kind.holds(F::load(x))));
                Ok(())
            })
        }
        Ok(with_float_format!(inputs.required(0)?.dtype, build(*self, ())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_are_told_apart() {
        let positive = Kind::Infinity {
            negative: false,
            positive: true,
        };
        assert!(positive.holds(f32::INFINITY));
        assert!(!positive.holds(f32::NEG_INFINITY));
        assert!(!positive.holds(f64::MAX));
        assert!(!positive.holds(f64::NAN));
        assert!(Kind::Nan.holds(f32::NAN) && !Kind::Nan.holds(f32::INFINITY));
    }
}
