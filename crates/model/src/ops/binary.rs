//! Functions of two elements (Add, Sub, Mul, Div, Pow) and of any number (Min, Max), with NumPy's broadcasting; Clip.
//!
//! Sums, differences, products and quotients of floats are IEEE 754's; of integers they wrap, and a division by zero gives 0.
//! Min and Max give NaN if an operand is NaN, and order -0 below +0. Clip is min(max(x, low), high), so `high` wins if the
//! bounds cross.

use super::{
    DType, Definition, FLOATS, Inputs, Io, Kernel, NUMBERS, OpError, Operator, Path, TensorType, Work,
    elementwise::{
        BinaryFloat, BinaryInteger, Elementwise, FloatFormat, InRegisters, Pair, PerElement, UnaryFloat,
        binary_elementwise, broadcast_of, elementwise_work, fold_number, unary_elementwise,
        with_float_format, zip_of,
    },
    kernel, kernel_with_scratch,
};
use crate::tensor::{Element, TensorViewMut};
use synod_numerics::{
    fast::arithmetic::Operation,
    float::Float,
    half::{bf16_to_f32, f16_to_f32},
    integer::Integer,
    isa, math,
    quotient::divide,
    reference::Order,
};

/// Defines an operator of numbers.
macro_rules! numbers {
    (
        $constant:ident, $name:ident, $since:expr, $inputs:expr, $work:expr,
        |$a:ident, $b:ident| $float:expr, |$i:ident, $j:ident| $integer:expr, operation: $operation:expr $(, in_registers: $in_registers:expr)? $(, elementwise: $elementwise:expr)?
    ) => {
        #[doc = concat!("`", stringify!($name), "`")]
        pub(super) const $constant: Definition = Definition {
            name: stringify!($name),
            since: &$since,
            inputs: $inputs,
            outputs: 1..=1,
            parse: |_| Ok(Box::new($name)),
        };

        #[derive(Debug, Clone, Copy)]
        struct $name;

        impl BinaryFloat for $name {
            #[inline(always)]
            fn float<T: Float>(self, $a: T, $b: T) -> T {
                $float
            }
        }

        impl BinaryInteger for $name {
            #[inline(always)]
            fn integer<T: Integer>(self, $i: T, $j: T) -> T {
                $integer
            }
        }

        impl Operator for $name {
            fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
                fold_type(inputs)
            }

            fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
                let folds = inputs.len().saturating_sub(1).max(1) as u64;
                let each = PerElement::from($work);
                let each = PerElement {
                    f32: each.f32.saturating_mul(folds),
                    f64: each.f64.saturating_mul(folds),
                    integers: each.integers.saturating_mul(folds),
                };
                elementwise_work(inputs, outputs, each)
            }

            fn specialize(
                &self,
                inputs: &Inputs<'_>,
                outputs: &[TensorType],
            ) -> Result<Box<dyn Kernel>, OpError> {
                fold_number(inputs, &outputs[0], *self)
            }

            fn elementwise(&self, inputs: &Inputs<'_>) -> Option<Elementwise> {
                $(if let Some(function) = $elementwise(inputs) {
                    return Some(function);
                })?
                let operation: Option<Operation> = $operation;
                (inputs.len() == 2).then(|| operation.map_or_else(|| binary_elementwise(*self), Elementwise::Arithmetic))
            }

            $(fn in_registers(&self, inputs: &Inputs<'_>) -> Option<InRegisters> {
                (inputs.len() == 2).then_some($in_registers)
            })?
        }
    };
}

/// Quotients by one number that is known in advance.
fn by_known(inputs: &Inputs<'_>) -> Option<Elementwise> {
    let divisor = inputs.optional(1).filter(|divisor| divisor.dtype == DType::F32)?;
    let &[by] = divisor.value()?.as_slice::<f32>() else {
        return None;
    };
    Some(Elementwise::Unary(Box::new(move |x: &[f32], out: &mut [f32]| {
        divide(x, by, out);
    })))
}

/// Any number of operands of one type.
fn fold_type(inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
    let first = inputs.of_types(0, NUMBERS)?;
    let operands: Result<Vec<_>, _> = (0..inputs.len())
        .map(|index| inputs.like(index, first.dtype))
        .collect();
    let shapes: Vec<_> = operands?.iter().map(|operand| operand.shape).collect();
    Ok(vec![TensorType::new(first.dtype, broadcast_of(&shapes)?)?])
}

numbers!(
    ADD,
    Add,
    [7, 13, 14],
    2..=2,
    6,
    |a, b| (a + b).canonical(),
    |i, j| i.add(j),
    operation: Some(Operation::Add),
    in_registers: InRegisters::Add
);
numbers!(
    SUB,
    Sub,
    [7, 13, 14],
    2..=2,
    6,
    |a, b| (a - b).canonical(),
    |i, j| i.sub(j),
    operation: Some(Operation::Subtract)
);
numbers!(
    MUL,
    Mul,
    [7, 13, 14],
    2..=2,
    6,
    |a, b| (a * b).canonical(),
    |i, j| i.mul(j),
    operation: Some(Operation::Multiply)
);
numbers!(
    DIV,
    Div,
    [7, 13, 14],
    2..=2,
    PerElement {
        integers: 64,
        ..24.into()
    },
    |a, b| (a / b).canonical(),
    |i, j| i.div(j),
    operation: Some(Operation::Divide),
    elementwise: by_known
);
numbers!(
    MIN,
    Min,
    [6, 8, 12, 13],
    1..=usize::MAX,
    10,
    |a, b| a.minimum(b),
    |i, j| Ord::min(i, j),
    operation: None
);
numbers!(
    MAX,
    Max,
    [6, 8, 12, 13],
    1..=usize::MAX,
    10,
    |a, b| a.maximum(b),
    |i, j| Ord::max(i, j),
    operation: None
);

/// `Pow`
pub(super) const POW: Definition = Definition {
    name: "Pow",
    since: &[7, 12, 13, 15],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Pow)),
};

/// The algorithm of `synod_numerics::math::pow` for float bases, the exponent taken as an `f64`. Integer bases with integer
/// exponents wrap (`Integer::pow`); with float exponents the power is computed in `f64`, truncated and held within range.
#[derive(Debug)]
struct Pow;

const POW_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
];

impl Operator for Pow {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (base, exponent) = (inputs.of_types(0, POW_TYPES)?, inputs.of_types(1, NUMBERS)?);
        Ok(vec![TensorType::new(
            base.dtype,
            broadcast_of(&[base.shape, exponent.shape])?,
        )?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let squares = inputs
            .optional(1)
            .and_then(|exponent| exponent.value())
            .is_some_and(|exponent| {
                exponent.dtype() == DType::F32 && exponent.as_slice::<f32>().iter().all(|&y| y == 2.0)
            });
        elementwise_work(
            inputs,
            outputs,
            PerElement::through_f64(if squares { 20 } else { 2_400 }),
        )
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn of_float<F: FloatFormat, S>(operands: Pair, exponent: DType, _: S) -> Box<dyn Kernel> {
            converting::<F::Stored, f64>(operands, exponent, |x, y| F::store(math::pow(F::load(x), y)))
        }
        fn of_integer<T: Integer + Element>(operands: Pair, exponent: DType) -> Box<dyn Kernel> {
            if exponent.is_float() {
                converting::<T, f64>(operands, exponent, |x, y| {
                    T::from_float(math::pow(x.to_i128() as f64, y))
                })
            } else {
                converting::<T, i64>(operands, exponent, T::pow)
            }
        }
        let operands = Pair::of(inputs, &outputs[0].shape)?;
        let exponent = inputs.required(1)?.dtype;
        Ok(match outputs[0].dtype {
            DType::I32 => of_integer::<i32>(operands, exponent),
            DType::I64 => of_integer::<i64>(operands, exponent),
            dtype => with_float_format!(dtype, of_float(operands, exponent, ())),
        })
    }
}

/// What exponents of all types are converted to before the powers are computed: one power function then serves them all.
trait Exponent: Element {
    fn of_float(value: f64) -> Self;
    /// An integer; an unsigned one beyond `i64` becomes its greatest.
    fn of_integer(value: i128) -> Self;
}

impl Exponent for f64 {
    fn of_float(value: f64) -> Self {
        value
    }
    fn of_integer(value: i128) -> Self {
        value as f64
    }
}

impl Exponent for i64 {
    fn of_float(value: f64) -> Self {
        value as i64
    }
    fn of_integer(value: i128) -> Self {
        i64::try_from(value).unwrap_or(i64::MAX)
    }
}

/// A kernel of two operands that converts the second one, in scratch memory.
fn converting<T: Element, E: Exponent>(
    operands: Pair,
    exponent: DType,
    f: impl Fn(T, E) -> T + Copy + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    let f = zip_of(f);
    let scratch = operands.second_elements().saturating_mul(size_of::<E>());
    kernel_with_scratch(scratch, move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let (x, y) = (io.input(0).as_slice::<T>(), io.input(1));
        let (_, outputs, scratch) = io.split();
        let exponents: &mut [E] = bytemuck::cast_slice_mut(scratch);
        match exponent {
            DType::F32 => fill(exponents, y.as_slice::<f32>(), |y| E::of_float(y.into())),
            DType::F64 => fill(exponents, y.as_slice::<f64>(), E::of_float),
            DType::F16 => fill(exponents, y.as_slice::<u16>(), |y| {
                E::of_float(f16_to_f32(y).into())
            }),
            DType::BF16 => fill(exponents, y.as_slice::<u16>(), |y| {
                E::of_float(bf16_to_f32(y).into())
            }),
            DType::I8 => fill(exponents, y.as_slice::<i8>(), |y| E::of_integer(y.into())),
            DType::I16 => fill(exponents, y.as_slice::<i16>(), |y| E::of_integer(y.into())),
            DType::I32 => fill(exponents, y.as_slice::<i32>(), |y| E::of_integer(y.into())),
            DType::I64 => fill(exponents, y.as_slice::<i64>(), |y| E::of_integer(y.into())),
            DType::U8 | DType::Bool => fill(exponents, y.as_slice::<u8>(), |y| E::of_integer(y.into())),
            DType::U16 => fill(exponents, y.as_slice::<u16>(), |y| E::of_integer(y.into())),
            DType::U32 => fill(exponents, y.as_slice::<u32>(), |y| E::of_integer(y.into())),
            DType::U64 => fill(exponents, y.as_slice::<u64>(), |y| E::of_integer(y.into())),
        }
        let out = outputs.first_mut().and_then(Option::as_mut);
        operands.run(
            path,
            x,
            exponents,
            out.map_or(&mut [][..], TensorViewMut::as_mut_slice::<T>),
            &f,
        );
        Ok(())
    })
}

fn fill<A: Copy, B>(to: &mut [B], from: &[A], convert: impl Fn(A) -> B) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, &from)| *to = convert(from));
}

/// `Clip`
pub(super) const CLIP: Definition = Definition {
    name: "Clip",
    since: &[6, 11, 12, 13],
    inputs: 1..=3,
    outputs: 1..=1,
    parse: |node| {
        if node.version >= 11 {
            return Ok(Box::new(Clip { bounds: None }));
        }
        // the defaults are the greatest finite numbers: an infinity is clipped to them
        let low = node.attributes.float("min")?.unwrap_or(f32::MIN);
        let high = node.attributes.float("max")?.unwrap_or(f32::MAX);
        Ok(Box::new(Clip {
            bounds: Some([low, high]),
        }))
    },
};

#[derive(Debug)]
struct Clip {
    /// The bounds of versions that have them as attributes; later ones have them as inputs.
    bounds: Option<[f32; 2]>,
}

impl Clip {
    /// The bounds of `f32` elements, if they are known.
    fn known_bounds(&self, inputs: &Inputs<'_>) -> Option<[f32; 2]> {
        if self.bounds.is_some() {
            return self.bounds;
        }
        // a bound that is not given is one that no element crosses; one that is computed is not known here
        let bound = |index: usize, none: f32| match inputs.optional(index) {
            None => Some(none),
            Some(bound) => bound.value().map(|value| value.as_slice::<f32>()[0]),
        };
        Some([bound(1, -f32::INFINITY)?, bound(2, f32::INFINITY)?])
    }
}

impl Operator for Clip {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, if self.bounds.is_some() { FLOATS } else { NUMBERS })?;
        for index in 1..inputs.len() {
            if self.bounds.is_some() {
                return Err(OpError::InputCount {
                    got: inputs.len(),
                    min: 1,
                    max: 1,
                });
            }
            if inputs.optional(index).is_some() && inputs.like(index, x.dtype)?.elements() != 1 {
                return Err(OpError::Shape("the bounds of Clip are single numbers".into()));
            }
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 16)
    }

    fn elementwise(&self, inputs: &Inputs<'_>) -> Option<Elementwise> {
        let [low, high] = self.known_bounds(inputs)?;
        Bounds::new(low, high).map(unary_elementwise)
    }

    fn in_registers(&self, inputs: &Inputs<'_>) -> Option<InRegisters> {
        let [low, high] = self.known_bounds(inputs)?;
        let ceiling = (high < f32::INFINITY).then_some(high);
        (low.to_bits() == 0 && high > 0.0).then_some(InRegisters::Bounds(ceiling))
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        // a bound that is not given is one that no element crosses
        fn of_float<F: FloatFormat, S>(bounds: Option<[f32; 2]>, _: S) -> Box<dyn Kernel> {
            let infinity = F::Value::INFINITY;
            let bounds = bounds.map_or([-infinity, infinity], |bounds| bounds.map(F::Value::from_f32));
            clip::<F::Stored>(bounds.map(F::store), |x, low, high| {
                F::store(F::load(x).maximum(F::load(low)).minimum(F::load(high)))
            })
        }
        fn of_order<T: Element + Order>() -> Box<dyn Kernel> {
            clip::<T>([T::LOWEST, T::HIGHEST], |x, low, high| {
                x.greater(low).smaller(high)
            })
        }
        Ok(match outputs[0].dtype {
            DType::I8 => of_order::<i8>(),
            DType::I16 => of_order::<i16>(),
            DType::I32 => of_order::<i32>(),
            DType::I64 => of_order::<i64>(),
            DType::U8 => of_order::<u8>(),
            DType::U16 => of_order::<u16>(),
            DType::U32 => of_order::<u32>(),
            DType::U64 => of_order::<u64>(),
            dtype => with_float_format!(dtype, of_float(self.bounds, ())),
        })
    }
}

/// Clipping of floats to bounds of which none is NaN, by two comparisons. A bound of -0 is below +0, which a comparison does not see:
/// the number next to it is compared with instead.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    low: f32,
    high: f32,
    /// What is at most this becomes `low`.
    at_most: f32,
    /// What is above this becomes `high`.
    above: f32,
}

impl Bounds {
    fn new(low: f32, high: f32) -> Option<Self> {
        let least = f32::from_bits(1);
        let is_negative_zero = |bound: f32| bound.to_bits() == (-0.0_f32).to_bits();
        (!low.is_nan() && !high.is_nan()).then(|| Self {
            low,
            high,
            at_most: if is_negative_zero(low) { -least } else { low },
            above: if is_negative_zero(high) { -least } else { high },
        })
    }
}

impl UnaryFloat for Bounds {
    #[inline(always)]
    fn float<T: Float>(self, x: T) -> T {
        let low = T::from_f32(self.low);
        let x = if x <= T::from_f32(self.at_most) { low } else { x };
        if x > T::from_f32(self.above) {
            T::from_f32(self.high)
        } else {
            x
        }
    }
}

/// A kernel that clips to inputs 1 and 2, or to these bounds where they are not given.
fn clip<T: Element>(
    bounds: [T; 2],
    f: impl Fn(T, T, T) -> T + Copy + Send + Sync + 'static,
) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let path = io.path;
        let bound = |index: usize| io.optional_input(index).map(|bound| bound.as_slice::<T>()[0]);
        let (low, high) = (bound(1).unwrap_or(bounds[0]), bound(2).unwrap_or(bounds[1]));
        let (x, out) = io.unary::<T, T>(0, 0);
        match path {
            Path::Fast => isa::map(x, out, |x| f(x, low, high)),
            Path::Reference => out.iter_mut().zip(x).for_each(|(out, &x)| *out = f(x, low, high)),
        }
        Ok(())
    })
}
