//! Cast and CastLike: elements converted to another type.
//!
//! ONNX `Cast`, versions 6 to 28, `CastLike`, versions 15 to 25. The rules where ONNX leaves cases open:
//! - to a float: rounded to nearest, ties to even, once, from the exact value;
//! - float to integer: truncated, held within the type's range; NaN gives 0;
//! - integer to integer: the low bits are kept;
//! - to bool: anything but zero is true, NaN too; from bool: 0 or 1.

use super::{
    AttributeError, Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    elementwise::{LINE, nanoseconds},
    kernel,
};
use crate::{
    DType, Tensor,
    tensor::{TensorView, TensorViewMut},
};
use bytemuck::{Pod, Zeroable};
use synod_numerics::{
    float::Float,
    half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f64_to_bf16, f64_to_f16, integer_to_f64_odd},
    integer::Integer,
    isa, pool,
};

/// `Cast`
pub(super) const CAST: Definition = Definition {
    name: "Cast",
    since: &[6, 9, 13, 19, 21, 23, 24, 25, 28],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let to = dtype_attribute(node, "to")?.ok_or(AttributeError::Missing { name: "to" })?;
        ignore_8_bit_attributes(node)?;
        Ok(Box::new(Cast { to: Some(to) }))
    },
};

/// `CastLike`
pub(super) const CAST_LIKE: Definition = Definition {
    name: "CastLike",
    since: &[15, 19, 21, 23, 24, 25],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        ignore_8_bit_attributes(node)?;
        Ok(Box::new(Cast { to: None }))
    },
};

/// An attribute that names an element type by ONNX's code.
pub(super) fn dtype_attribute(
    node: &mut super::NodeSpec<'_>,
    name: &'static str,
) -> Result<Option<DType>, OpError> {
    let Some(code) = node.attributes.int(name)? else {
        return Ok(None);
    };
    match i32::try_from(code).ok().and_then(DType::from_onnx_code) {
        Some(dtype) => Ok(Some(dtype)),
        None => {
            let type_name = i32::try_from(code).map_or("unknown", DType::onnx_code_name);
            let expected = "a float of 16 to 64 bits, an integer of 8 to 64, or bool";
            Err(AttributeError::Value {
                name,
                value: format!("{code} ({type_name})"),
                expected,
            }
            .into())
        }
    }
}

/// `saturate` (from 19) and `round_mode` (from 24) say something about 8-bit floats only, which the profile does not have.
fn ignore_8_bit_attributes(node: &mut super::NodeSpec<'_>) -> Result<(), OpError> {
    if node.version >= 19 {
        node.attributes.flag("saturate", true)?;
    }
    if node.version >= 24 {
        node.attributes.string("round_mode")?;
    }
    Ok(())
}

#[derive(Debug)]
struct Cast {
    /// `None`: the type of input 1.
    to: Option<DType>,
}

impl Operator for Cast {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let to = match self.to {
            Some(to) => to,
            None => inputs.required(1)?.dtype,
        };
        Ok(vec![TensorType::new(to, data.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Some(data) = inputs.optional(0) else {
            return Work::default();
        };
        let bytes = data.elements() * data.dtype.size() + outputs[0].bytes();
        let (from, to) = (data.dtype, outputs[0].dtype);
        // vectors turn floats into floats, and narrow integers into them
        let in_vectors = to.is_float() && (from.is_float() || from.size() < 8);
        let each = if in_vectors { 8 } else { 24 };
        Work {
            arithmetic: (outputs[0].elements() as u64).saturating_mul(each),
            bytes: bytes as u64,
        }
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(kernel(|io| {
            let input = io.input(0);
            if let Some(output) = io.output(0) {
                cast(&input, output);
            }
            Ok(())
        }))
    }
}

/// A tensor converted to another type.
pub(super) fn converted(tensor: &Tensor, to: DType) -> Result<Tensor, OpError> {
    let mut result = Tensor::zeros(to, tensor.shape())?;
    cast(&tensor.view(), &mut result.view_mut());
    Ok(result)
}

/// Converts every element.
pub(super) fn cast(input: &TensorView<'_>, output: &mut TensorViewMut<'_>) {
    match input.dtype() {
        DType::F32 => cast_from::<f32>(input, output),
        DType::F64 => cast_from::<f64>(input, output),
        DType::F16 => cast_from::<F16>(input, output),
        DType::BF16 => cast_from::<BF16>(input, output),
        DType::I8 => cast_from::<i8>(input, output),
        DType::I16 => cast_from::<i16>(input, output),
        DType::I32 => cast_from::<i32>(input, output),
        DType::I64 => cast_from::<i64>(input, output),
        DType::U8 => cast_from::<u8>(input, output),
        DType::U16 => cast_from::<u16>(input, output),
        DType::U32 => cast_from::<u32>(input, output),
        DType::U64 => cast_from::<u64>(input, output),
        DType::Bool => cast_from::<Bool>(input, output),
    }
}

fn cast_from<S: Number>(input: &TensorView<'_>, output: &mut TensorViewMut<'_>) {
    let input = bytemuck::cast_slice(input.bytes());
    match output.dtype() {
        DType::F32 => convert::<S, f32>(input, output.bytes_mut()),
        DType::F64 => convert::<S, f64>(input, output.bytes_mut()),
        DType::F16 => convert::<S, F16>(input, output.bytes_mut()),
        DType::BF16 => convert::<S, BF16>(input, output.bytes_mut()),
        DType::I8 => convert::<S, i8>(input, output.bytes_mut()),
        DType::I16 => convert::<S, i16>(input, output.bytes_mut()),
        DType::I32 => convert::<S, i32>(input, output.bytes_mut()),
        DType::I64 => convert::<S, i64>(input, output.bytes_mut()),
        DType::U8 => convert::<S, u8>(input, output.bytes_mut()),
        DType::U16 => convert::<S, u16>(input, output.bytes_mut()),
        DType::U32 => convert::<S, u32>(input, output.bytes_mut()),
        DType::U64 => convert::<S, u64>(input, output.bytes_mut()),
        DType::Bool => convert::<S, Bool>(input, output.bytes_mut()),
    }
}

fn convert<S: Number, D: Number>(input: &[S], output: &mut [u8]) {
    let output = bytemuck::cast_slice_mut::<u8, D>(output);
    pool::share(
        output,
        LINE,
        nanoseconds::<(S, D)>(input.len()),
        |first, output| {
            isa::apply(&input[first..][..output.len()], output, Convert);
        },
    );
}

/// [`Number::from_number`] as a function that is vectorised.
#[derive(Clone, Copy)]
struct Convert;

impl<S: Number, D: Number> isa::Unary<S, D> for Convert {
    #[inline(always)]
    fn call(self, from: S) -> D {
        D::from_number(from)
    }
}

/// The bits of a binary16 number.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct F16(u16);

/// The bits of a bfloat16 number.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct BF16(u16);

/// 0 or 1.
#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(transparent)]
struct Bool(u8);

/// An element that converts to and from every other type.
trait Number: Pod + Send + Sync {
    /// Whether [`Self::integer`] is the value.
    const IS_INTEGER: bool;
    /// The value, rounded to nearest.
    fn nearest(self) -> f64;
    /// The value, rounded to odd if `f64` does not hold it: can be rounded once more to a narrower type.
    fn odd(self) -> f64;
    /// The value, rounded once to `f32`.
    fn single(self) -> f32;
    /// The value as `f32`, if that holds every value of the type.
    fn exact_single(self) -> Option<f32> {
        None
    }
    /// The value of an integer or bool.
    fn integer(self) -> i128;
    /// Whether it is not zero.
    fn truth(self) -> bool;
    /// The conversion to this type.
    fn from_number<S: Number>(from: S) -> Self;
}

macro_rules! float {
    ($type:ty, |$value:ident| $wide:expr, |$v:ident| $single:expr, exact: $exact:expr, |$from:ident| $narrow:expr) => {
        impl Number for $type {
            const IS_INTEGER: bool = false;
            #[inline(always)]
            fn nearest(self) -> f64 {
                let $value = self;
                $wide
            }
            #[inline(always)]
            fn odd(self) -> f64 {
                self.nearest()
            }
            #[inline(always)]
            fn single(self) -> f32 {
                let $v = self;
                $single
            }
            #[inline(always)]
            fn exact_single(self) -> Option<f32> {
                $exact.then(|| self.single())
            }
            #[inline(always)]
            fn integer(self) -> i128 {
                0
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self.nearest() != 0.0
            }
            #[inline(always)]
            fn from_number<S: Number>($from: S) -> Self {
                $narrow
            }
        }
    };
}
float!(f32, |x| f64::from(x), |x| x, exact: true, |from| from.single().canonical());
float!(f64, |x| x, |x| x as f32, exact: false, |from| from.nearest().canonical());
float!(F16, |x| f64::from(f16_to_f32(x.0)), |x| f16_to_f32(x.0), exact: true, |from| F16(
    match from.exact_single() {
        Some(single) => f32_to_f16(single),
        None => f64_to_f16(from.odd()),
    }
));
float!(BF16, |x| f64::from(bf16_to_f32(x.0)), |x| bf16_to_f32(x.0), exact: true, |from| BF16(
    match from.exact_single() {
        Some(single) => f32_to_bf16(single),
        None => f64_to_bf16(from.odd()),
    }
));

macro_rules! integers {
    ($($type:ty, odd: |$value:ident| $odd:expr, exact: $exact:expr;)+) => {$(
        impl Number for $type {
            const IS_INTEGER: bool = true;
            #[inline(always)]
            fn nearest(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn odd(self) -> f64 {
                let $value = self;
                $odd
            }
            #[inline(always)]
            fn single(self) -> f32 {
                self as f32
            }
            #[inline(always)]
            fn exact_single(self) -> Option<f32> {
                $exact.then(|| self.single())
            }
            #[inline(always)]
            fn integer(self) -> i128 {
                self.to_i128()
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0
            }
            #[inline(always)]
            fn from_number<S: Number>(from: S) -> Self {
                if S::IS_INTEGER { <$type>::wrap(from.integer()) } else { <$type>::from_float(from.nearest()) }
            }
        }
    )+};
}
integers! {
    i8, odd: |x| f64::from(x), exact: true;
    i16, odd: |x| f64::from(x), exact: true;
    i32, odd: |x| f64::from(x), exact: false;
    i64, odd: |x| integer_to_f64_odd(x.to_i128()), exact: false;
    u8, odd: |x| f64::from(x), exact: true;
    u16, odd: |x| f64::from(x), exact: true;
    u32, odd: |x| f64::from(x), exact: false;
    u64, odd: |x| integer_to_f64_odd(x.to_i128()), exact: false;
}

impl Number for Bool {
    const IS_INTEGER: bool = true;
    #[inline(always)]
    fn nearest(self) -> f64 {
        f64::from(self.0)
    }
    #[inline(always)]
    fn odd(self) -> f64 {
        f64::from(self.0)
    }
    #[inline(always)]
    fn single(self) -> f32 {
        f32::from(self.0)
    }
    #[inline(always)]
    fn exact_single(self) -> Option<f32> {
        Some(self.single())
    }
    #[inline(always)]
    fn integer(self) -> i128 {
        self.0.into()
    }
    #[inline(always)]
    fn truth(self) -> bool {
        self.0 != 0
    }
    #[inline(always)]
    fn from_number<S: Number>(from: S) -> Self {
        Self(u8::from(from.truth()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Element, Tensor};

    fn cast_all<S: Element, D: Element>(from: DType, values: &[S], to: DType) -> Vec<D> {
        let input = Tensor::from_slice(from, &[values.len()], values).unwrap();
        let mut output = Tensor::zeros(to, &[values.len()]).unwrap();
        cast(&input.view(), &mut output.view_mut());
        output.as_slice().to_vec()
    }

    #[test]
    fn floats_become_integers_by_truncation_within_range() {
        let floats = [1.9f32, -1.9, f32::NAN, f32::INFINITY, -1e30, 300.0];
        assert_eq!(
            cast_all::<f32, i32>(DType::F32, &floats, DType::I32),
            [1, -1, 0, i32::MAX, i32::MIN, 300]
        );
        assert_eq!(
            cast_all::<f32, u8>(DType::F32, &floats, DType::U8),
            [1, 0, 0, 255, 0, 255]
        );
        assert_eq!(
            cast_all::<f32, u8>(DType::F32, &[0.0, -0.0, f32::NAN], DType::Bool),
            [0, 0, 1]
        );
    }

    #[test]
    fn integers_round_once() {
        // 2^54 + 2^30 + 1: by way of a rounded f64 this would be a tie in f32 and go down.
        let value = (1i64 << 54) + (1 << 30) + 1;
        assert_eq!(
            cast_all::<i64, f32>(DType::I64, &[value], DType::F32),
            [18_014_400_656_965_632.0f32]
        );
        assert_eq!(
            cast_all::<i64, i8>(DType::I64, &[-1, 128, 256], DType::I8),
            [-1, -128, 0]
        );
        assert_eq!(
            cast_all::<u64, f64>(DType::U64, &[u64::MAX], DType::F64),
            [18_446_744_073_709_551_616.0]
        );
    }

    #[test]
    fn narrow_floats_round_to_even_and_keep_one_nan() {
        let doubles = [1.0 + 1.0 / 2048.0, 65520.0, f64::NAN, -0.0];
        assert_eq!(
            cast_all::<f64, u16>(DType::F64, &doubles, DType::F16),
            [0x3c00, 0x7c00, 0x7e00, 0x8000]
        );
        assert_eq!(cast_all::<u16, u16>(DType::F16, &[0x3c01], DType::BF16), [0x3f80]);
        assert_eq!(cast_all::<u16, f32>(DType::BF16, &[0x3fc0], DType::F32), [1.5]);
    }
}
