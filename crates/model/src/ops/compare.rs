//! Comparisons (Equal, Greater, GreaterOrEqual, Less, LessOrEqual) and logic (And, Or, Xor, Not), with NumPy's broadcasting.
//!
//! Nothing compares true with NaN; zeros of both signs are equal.

use super::{
    DType, Definition, Inputs, Io, Kernel, NUMBERS, OpError, Operator, Path, TensorType, Work,
    elementwise::{Brain, Format, Half, Pair, binary_type, elementwise_work, pair},
    kernel,
};
use synod_numerics::isa;

/// `Equal`
pub(super) const EQUAL: Definition =
    comparison("Equal", &[7, 11, 13, 19], |_| Ok(Box::new(Comparison::Equal)));

/// `Greater`
pub(super) const GREATER: Definition =
    comparison("Greater", &[7, 9, 13], |_| Ok(Box::new(Comparison::Greater)));

/// `Less`
pub(super) const LESS: Definition = comparison("Less", &[7, 9, 13], |_| Ok(Box::new(Comparison::Less)));

/// `GreaterOrEqual`
pub(super) const GREATER_OR_EQUAL: Definition = comparison("GreaterOrEqual", &[12, 16], |_| {
    Ok(Box::new(Comparison::GreaterOrEqual))
});

/// `LessOrEqual`
pub(super) const LESS_OR_EQUAL: Definition = comparison("LessOrEqual", &[12, 16], |_| {
    Ok(Box::new(Comparison::LessOrEqual))
});

/// `And`
pub(super) const AND: Definition = comparison("And", &[7], |_| Ok(Box::new(Logic::And)));

/// `Or`
pub(super) const OR: Definition = comparison("Or", &[7], |_| Ok(Box::new(Logic::Or)));

/// `Xor`
pub(super) const XOR: Definition = comparison("Xor", &[7], |_| Ok(Box::new(Logic::Xor)));

type Parse = fn(&mut super::NodeSpec<'_>) -> Result<Box<dyn Operator>, OpError>;

const fn comparison(name: &'static str, since: &'static [i64], parse: Parse) -> Definition {
    Definition {
        name,
        since,
        inputs: 2..=2,
        outputs: 1..=1,
        parse,
    }
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Everything but strings.
const ALL: &[DType] = &DType::ALL;

impl Operator for Comparison {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let types = if matches!(self, Self::Equal) { ALL } else { NUMBERS };
        Ok(vec![TensorType {
            dtype: DType::Bool,
            ..binary_type(inputs, types)?
        }])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let wide = inputs.optional(0).is_some_and(|x| x.dtype.size() == 8);
        // the results are bytes, whatever is compared
        elementwise_work(inputs, outputs, if wide { 28 } else { 10 })
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn of<F: Format<Value: PartialOrd>>(comparison: Comparison, operands: Pair) -> Box<dyn Kernel> {
            match comparison {
                Comparison::Equal => {
                    pair::<F::Stored, F::Stored, u8>(operands, |a, b| (F::load(a) == F::load(b)).into())
                }
                Comparison::Greater => {
                    pair::<F::Stored, F::Stored, u8>(operands, |a, b| (F::load(a) > F::load(b)).into())
                }
                Comparison::GreaterOrEqual => {
                    pair::<F::Stored, F::Stored, u8>(operands, |a, b| (F::load(a) >= F::load(b)).into())
                }
                Comparison::Less => {
                    pair::<F::Stored, F::Stored, u8>(operands, |a, b| (F::load(a) < F::load(b)).into())
                }
                Comparison::LessOrEqual => {
                    pair::<F::Stored, F::Stored, u8>(operands, |a, b| (F::load(a) <= F::load(b)).into())
                }
            }
        }
        let operands = Pair::of(inputs, &outputs[0].shape)?;
        Ok(match inputs.required(0)?.dtype {
            DType::F32 => of::<f32>(*self, operands),
            DType::F64 => of::<f64>(*self, operands),
            DType::F16 => of::<Half>(*self, operands),
            DType::BF16 => of::<Brain>(*self, operands),
            DType::I8 => of::<i8>(*self, operands),
            DType::I16 => of::<i16>(*self, operands),
            DType::I32 => of::<i32>(*self, operands),
            DType::I64 => of::<i64>(*self, operands),
            DType::U8 | DType::Bool => of::<u8>(*self, operands),
            DType::U16 => of::<u16>(*self, operands),
            DType::U32 => of::<u32>(*self, operands),
            DType::U64 => of::<u64>(*self, operands),
        })
    }
}

#[derive(Debug, Clone, Copy)]
enum Logic {
    And,
    Or,
    Xor,
}

impl Operator for Logic {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![binary_type(inputs, &[DType::Bool])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 4)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let operands = Pair::of(inputs, &outputs[0].shape)?;
        Ok(match self {
            Self::And => pair::<u8, u8, u8>(operands, |a, b| a & b),
            Self::Or => pair::<u8, u8, u8>(operands, |a, b| a | b),
            Self::Xor => pair::<u8, u8, u8>(operands, |a, b| a ^ b),
        })
    }
}

/// `Not`
pub(super) const NOT: Definition = Definition {
    name: "Not",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Not)),
};

#[derive(Debug)]
struct Not;

impl Operator for Not {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, &[DType::Bool])?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 2)
    }

    fn specialize(&self, _: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(kernel(|io: &mut Io<'_, '_>| {
            let path = io.path;
            let (x, out) = io.unary::<u8, u8>(0, 0);
            match path {
                Path::Fast => isa::map(x, out, |x| x ^ 1),
                Path::Reference => out
                    .iter_mut()
                    .zip(x)
                    .for_each(|(out, x)| *out = u8::from(*x == 0)),
            }
            Ok(())
        }))
    }
}
