//! Mod: the remainder of a division, with NumPy's broadcasting. ONNX `Mod`, versions 10, 13 and 28.
//!
//! With `fmod` = 1 the quotient is truncated and the remainder has the dividend's sign; with 0 it is floored and the
//! remainder has the divisor's. Both are exact. By zero: 0 of integers, NaN of floats. Before version 28 floats have `fmod` = 1
//! only.

use super::{
    AttributeError, Definition, FLOATS, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    elementwise::{
        BinaryFloat, BinaryIntegerOnly, binary_float, binary_integer, binary_type, elementwise_work,
    },
};
use synod_numerics::{float::Float, integer::Integer, math};

/// `Mod`
pub(super) const MOD: Definition = Definition {
    name: "Mod",
    since: &[10, 13, 28],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let truncates = node.attributes.flag("fmod", false)?;
        Ok(Box::new(Mod {
            truncates,
            floors_floats: node.version >= 28,
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Mod {
    truncates: bool,
    floors_floats: bool,
}

impl BinaryFloat for Mod {
    #[inline(always)]
    fn float<T: Float>(self, a: T, b: T) -> T {
        // f32 operands are f64 numbers, and so is their remainder
        a.through_f64(|a| {
            if self.truncates {
                math::remainder(a, b.to_f64())
            } else {
                math::modulo(a, b.to_f64())
            }
        })
    }
}

impl BinaryIntegerOnly for Mod {
    #[inline(always)]
    fn integer<T: Integer>(self, a: T, b: T) -> T {
        let rest = a.sub(a.div(b).mul(b));
        let rest = if b == T::default() { T::default() } else { rest };
        let signs_differ = rest != T::default() && (rest < T::default()) != (b < T::default());
        if signs_differ && !self.truncates {
            rest.add(b)
        } else {
            rest
        }
    }
}

impl Operator for Mod {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let output = binary_type(inputs, NUMBERS)?;
        if FLOATS.contains(&output.dtype) && !self.truncates && !self.floors_floats {
            return Err(AttributeError::Value {
                name: "fmod",
                value: "0".into(),
                expected: "1 for floats before opset 28",
            }
            .into());
        }
        Ok(vec![output])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // floats: one division of 128 by 64 bits for each 64 bits that the operands' exponents differ by
        let float = outputs[0].dtype.is_float();
        elementwise_work(inputs, outputs, if float { 3_000 } else { 160 })
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        if outputs[0].dtype.is_float() {
            binary_float(inputs, &outputs[0], *self)
        } else {
            binary_integer(inputs, &outputs[0], *self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOORED: Mod = Mod {
        truncates: false,
        floors_floats: true,
    };
    const TRUNCATED: Mod = Mod {
        truncates: true,
        floors_floats: true,
    };

    #[test]
    fn integers_follow_the_sign_of_divisor_or_dividend() {
        for (a, b, floored, truncated) in [
            (7, 3, 1, 1),
            (-7, 3, 2, -1),
            (7, -3, -2, 1),
            (-7, -3, -1, -1),
            (6, -3, 0, 0),
        ] {
            assert_eq!(FLOORED.integer::<i32>(a, b), floored, "{a} mod {b}");
            assert_eq!(TRUNCATED.integer::<i32>(a, b), truncated, "{a} rem {b}");
        }
        assert_eq!(FLOORED.integer(5_i8, 0), 0);
        assert_eq!(FLOORED.integer(i64::MIN, -1), 0);
        assert_eq!(FLOORED.integer(200_u8, 7), 4);
    }

    #[test]
    fn floats_are_exact_and_their_special_values_stated() {
        assert_eq!(TRUNCATED.float(-7.5_f32, 2.0), -1.5);
        assert_eq!(FLOORED.float(-7.5_f32, 2.0), 0.5);
        assert_eq!(FLOORED.float(7.5_f32, -2.0), -0.5);
        assert_eq!(FLOORED.float(-1.0_f32, f32::INFINITY), f32::INFINITY);
        assert_eq!(TRUNCATED.float(-1.0_f32, f32::INFINITY), -1.0);
        let negative_zero = FLOORED.float(0.0_f32, -3.0);
        assert_eq!(negative_zero.to_bits(), (-0.0_f32).to_bits());
        for (a, b) in [(f32::INFINITY, 1.0), (1.0, 0.0), (f32::NAN, 1.0), (1.0, f32::NAN)] {
            assert!(
                TRUNCATED.float(a, b).is_nan() && FLOORED.float(a, b).is_nan(),
                "{a} {b}"
            );
        }
    }
}
