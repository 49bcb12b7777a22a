//! Functions of one element: Abs, Ceil, Erf, Exp, Floor, Log, Neg, Reciprocal, Round, Sign, Sqrt; the trigonometric and hyperbolic
//! functions and their inverses.
//!
//! In `f32` all are correctly rounded (those not exact), in `f64` those that are not exact are the algorithms of the specification;
//! 16-bit floats compute in `f32` and round once. Round takes halves to the even neighbour and keeps the sign of zero. Integers wrap: the smallest has itself as magnitude and negation.
//! Sign of ±0 is +0, of NaN is NaN.

use super::{
    DType, Definition, FLOATS, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    elementwise::{
        Elementwise, PerElement, UnaryFloat, UnaryInteger, elementwise_work, unary_elementwise, unary_float,
        unary_number,
    },
};
use synod_numerics::{fast::Transcendental, float::Float, integer::Integer, math};

/// Defines an operator on floats, perhaps with the name of its form for many elements.
macro_rules! on_floats {
    ($constant:ident, $name:ident, $since:expr, $work:expr, |$x:ident: $t:ident| $body:expr $(, $many:ident)?) => {
        #[doc = concat!("`", stringify!($name), "`")]
        pub(super) const $constant: Definition = Definition {
            name: stringify!($name),
            since: &$since,
            inputs: 1..=1,
            outputs: 1..=1,
            parse: |_| Ok(Box::new($name)),
        };

        #[derive(Debug, Clone, Copy)]
        struct $name;

        impl UnaryFloat for $name {
            #[inline(always)]
            fn float<$t: Float>(self, $x: $t) -> $t {
                $body
            }

            $(fn many(self) -> Option<Transcendental> {
                Some(Transcendental::$many)
            })?
        }

        impl Operator for $name {
            fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
                Ok(vec![inputs.of_types(0, FLOATS)?.tensor_type()])
            }

            fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
                elementwise_work(inputs, outputs, $work)
            }

            fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
                Ok(unary_float(outputs[0].dtype, *self))
            }

            fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
                Some(unary_elementwise(*self))
            }
        }
    };
}

/// Defines an operator on floats and integers.
macro_rules! on_numbers {
    ($constant:ident, $name:ident, $since:expr, $types:expr, |$x:ident: $t:ident| $body:expr, |$i:ident| $integer:expr) => {
        #[doc = concat!("`", stringify!($name), "`")]
        pub(super) const $constant: Definition = Definition {
            name: stringify!($name),
            since: &$since,
            inputs: 1..=1,
            outputs: 1..=1,
            parse: |_| Ok(Box::new($name)),
        };

        #[derive(Debug, Clone, Copy)]
        struct $name;

        impl UnaryFloat for $name {
            #[inline(always)]
            fn float<$t: Float>(self, $x: $t) -> $t {
                $body
            }
        }

        impl UnaryInteger for $name {
            #[inline(always)]
            fn integer<T: Integer>(self, $i: T) -> T {
                $integer
            }
        }

        impl Operator for $name {
            fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
                Ok(vec![inputs.of_types(0, $types)?.tensor_type()])
            }

            fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
                elementwise_work(inputs, outputs, 6)
            }

            fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
                Ok(unary_number(outputs[0].dtype, *self))
            }

            fn elementwise(&self, _: &Inputs<'_>) -> Option<Elementwise> {
                Some(unary_elementwise(*self))
            }
        }
    };
}

/// Floats and signed integers.
const SIGNED: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
];

on_numbers!(ABS, Abs, [6, 13], NUMBERS, |x: T| x.abs().canonical(), |i| i
    .abs());
on_numbers!(NEG, Neg, [6, 13], SIGNED, |x: T| (-x).canonical(), |i| i.neg());
on_numbers!(SIGN, Sign, [9, 13], NUMBERS, |x: T| sign(x), |i| i.sign());
on_floats!(CEIL, Ceil, [6, 13], 14, |x: T| x.ceil().canonical());
on_floats!(FLOOR, Floor, [6, 13], 14, |x: T| x.floor().canonical());
on_floats!(ROUND, Round, [11, 22], 14, |x: T| x.round_even().canonical());
on_floats!(SQRT, Sqrt, [6, 13], 16, |x: T| x.sqrt().canonical());
on_floats!(RECIPROCAL, Reciprocal, [6, 13], 16, |x: T| (T::ONE / x)
    .canonical());
on_floats!(
    EXP,
    Exp,
    [6, 13],
    PerElement::through_f64(100),
    |x: T| x.exp(),
    Exp
);
on_floats!(LOG, Log, [6, 13], 180, |x: T| x.log(), Log);
on_floats!(ERF, Erf, [9, 13], 190, |x: T| x.erf(), Erf);

on_floats!(SIN, Sin, [7, 22], PerElement::through_f64(1_000), |x: T| {
    math::sin(x)
});
on_floats!(COS, Cos, [7, 22], PerElement::through_f64(1_000), |x: T| {
    math::cos(x)
});
on_floats!(TAN, Tan, [7, 22], PerElement::through_f64(2_000), |x: T| {
    math::tan(x)
});
on_floats!(ASIN, Asin, [7, 22], PerElement::through_f64(2_500), |x: T| {
    math::asin(x)
});
on_floats!(ACOS, Acos, [7, 22], PerElement::through_f64(2_500), |x: T| {
    math::acos(x)
});
on_floats!(ATAN, Atan, [7, 22], PerElement::through_f64(2_500), |x: T| {
    math::atan(x)
});
on_floats!(SINH, Sinh, [9, 22], PerElement::through_f64(1_000), |x: T| {
    math::sinh(x)
});
on_floats!(COSH, Cosh, [9, 22], PerElement::through_f64(1_500), |x: T| {
    math::cosh(x)
});
on_floats!(ASINH, Asinh, [9, 22], PerElement::through_f64(2_500), |x: T| {
    math::asinh(x)
});
on_floats!(ACOSH, Acosh, [9, 22], PerElement::through_f64(2_500), |x: T| {
    math::acosh(x)
});
on_floats!(ATANH, Atanh, [9, 22], PerElement::through_f64(2_500), |x: T| {
    math::atanh(x)
});

/// 1, +0, -1 or NaN.
#[inline(always)]
fn sign<T: Float>(x: T) -> T {
    if x > T::ZERO {
        T::ONE
    } else if x < T::ZERO {
        -T::ONE
    } else if x == T::ZERO {
        T::ZERO
    } else {
        T::NAN
    }
}
