//! Operators on the bits of integers: BitShift (versions 11, 28), BitwiseAnd, BitwiseOr, BitwiseXor, BitwiseNot (18), with NumPy's
//! broadcasting; BitCast (26), which reads the bits of any type as another of the same width.
//!
//! Shifts by the width or more, or by a negative number, leave nothing but what is shifted in: 0, or to the right of a negative
//! number -1.

use super::{
    AttributeError, DType, Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::copy,
    elementwise::{BinaryIntegerOnly, binary_integer, binary_type, elementwise_work, with_integer},
    kernel,
};
use crate::tensor::Element;
use synod_numerics::{integer::Integer, isa};

/// The integers.
const INTEGERS: &[DType] = &[
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
];

/// The integers without a sign, which alone could be shifted before version 28.
const UNSIGNED: &[DType] = &[DType::U8, DType::U16, DType::U32, DType::U64];

/// `BitShift`
pub(super) const BIT_SHIFT: Definition = Definition {
    name: "BitShift",
    since: &[11, 28],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let kind = match node.attributes.string("direction")?.as_deref() {
            Some("LEFT") => Kind::Left,
            Some("RIGHT") => Kind::Right,
            None => return Err(AttributeError::Missing { name: "direction" }.into()),
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "direction",
                    value: other.to_owned(),
                    expected: "LEFT, RIGHT",
                }
                .into());
            }
        };
        let types = if node.version < 28 { UNSIGNED } else { INTEGERS };
        Ok(Box::new(Binary { kind, types }))
    },
};

/// `BitwiseAnd`
pub(super) const BITWISE_AND: Definition = bitwise("BitwiseAnd", |_| Ok(Box::new(Binary::of(Kind::And))));

/// `BitwiseOr`
pub(super) const BITWISE_OR: Definition = bitwise("BitwiseOr", |_| Ok(Box::new(Binary::of(Kind::Or))));

/// `BitwiseXor`
pub(super) const BITWISE_XOR: Definition = bitwise("BitwiseXor", |_| Ok(Box::new(Binary::of(Kind::Xor))));

type Parse = fn(&mut super::NodeSpec<'_>) -> Result<Box<dyn Operator>, OpError>;

const fn bitwise(name: &'static str, parse: Parse) -> Definition {
    Definition {
        name,
        since: &[18],
        inputs: 2..=2,
        outputs: 1..=1,
        parse,
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Left,
    Right,
    And,
    Or,
    Xor,
}

#[derive(Debug, Clone, Copy)]
struct Binary {
    kind: Kind,
    types: &'static [DType],
}

impl Binary {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            types: INTEGERS,
        }
    }
}

impl BinaryIntegerOnly for Binary {
    #[inline(always)]
    fn integer<T: Integer>(self, a: T, b: T) -> T {
        match self.kind {
            Kind::Left => a.shift_left(b),
            Kind::Right => a.shift_right(b),
            Kind::And => a.and(b),
            Kind::Or => a.or(b),
            Kind::Xor => a.xor(b),
        }
    }
}

impl Operator for Binary {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![binary_type(inputs, self.types)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 32)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        binary_integer(inputs, &outputs[0], *self)
    }
}

/// `BitwiseNot`
pub(super) const BITWISE_NOT: Definition = Definition {
    name: "BitwiseNot",
    since: &[18],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(BitwiseNot)),
};

#[derive(Debug)]
struct BitwiseNot;

impl Operator for BitwiseNot {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, INTEGERS)?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        elementwise_work(inputs, outputs, 6)
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn build<T: Integer + Element, S>(_: S) -> Box<dyn Kernel> {
            kernel(|io| {
                let (x, out) = io.unary::<T, T>(0, 0);
                // −1 has all bits
                isa::map(x, out, |x: T| x.xor(T::wrap(-1)));
                Ok(())
            })
        }
        Ok(with_integer!(outputs[0].dtype, build(())))
    }
}

/// `BitCast`
pub(super) const BIT_CAST: Definition = Definition {
    name: "BitCast",
    since: &[26],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let to = super::cast::dtype_attribute(node, "to")?.ok_or(AttributeError::Missing { name: "to" })?;
        Ok(Box::new(BitCast { to }))
    },
};

#[derive(Debug)]
struct BitCast {
    to: DType,
}

impl Operator for BitCast {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        if data.dtype.size() != self.to.size() {
            return Err(OpError::Shape(format!(
                "{} and {} differ in width: bits can only be read as a type of the same width",
                data.dtype, self.to
            )));
        }
        Ok(vec![TensorType::new(self.to, data.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 16)
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        // Every NaN that appears must be the canonical one, every bool 0 or 1.
        Ok(match outputs[0].dtype {
            DType::F32 => map::<u32>(|x| {
                if x & 0x7fff_ffff > 0x7f80_0000 {
                    0x7fc0_0000
                } else {
                    x
                }
            }),
            DType::F64 => map::<u64>(|x| {
                if x & (u64::MAX >> 1) > 0x7ff0 << 48 {
                    0x7ff8 << 48
                } else {
                    x
                }
            }),
            DType::F16 => map::<u16>(|x| if x & 0x7fff > 0x7c00 { 0x7e00 } else { x }),
            DType::BF16 => map::<u16>(|x| if x & 0x7fff > 0x7f80 { 0x7fc0 } else { x }),
            DType::Bool => map::<u8>(|x| u8::from(x != 0)),
            _ => copy(),
        })
    }
}

/// A kernel that applies a function to the bits of every element.
fn map<W: bytemuck::Pod>(f: impl Fn(W) -> W + Copy + Send + Sync + 'static) -> Box<dyn Kernel> {
    kernel(move |io| {
        let x: &[W] = bytemuck::cast_slice(io.input(0).bytes());
        if let Some(out) = io.output(0) {
            isa::map(x, bytemuck::cast_slice_mut(out.bytes_mut()), f);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_beyond_the_width_leave_what_is_shifted_in() {
        let (left, right) = (Binary::of(Kind::Left), Binary::of(Kind::Right));
        assert_eq!(left.integer(3_u8, 7), 128);
        assert_eq!(left.integer(3_u8, 8), 0);
        assert_eq!(right.integer(200_u8, 3), 25);
        assert_eq!(right.integer(-200_i16, 3), -25);
        assert_eq!(right.integer(-200_i16, 16), -1);
        assert_eq!(right.integer(-200_i16, -1), -1);
        assert_eq!(right.integer(200_i16, -1), 0);
        assert_eq!(left.integer(-1_i64, 63), i64::MIN);
        assert_eq!(left.integer(-1_i64, -63), 0);
        assert_eq!(left.integer(1_u64, u64::MAX), 0);
    }

    #[test]
    fn bits_combine() {
        assert_eq!(Binary::of(Kind::And).integer(-2_i8, 7), 6);
        assert_eq!(Binary::of(Kind::Or).integer(0x50_u16, 0x05), 0x55);
        assert_eq!(Binary::of(Kind::Xor).integer(-1_i64, 1), -2);
    }
}
