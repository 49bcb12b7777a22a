//! Tensors made from a few numbers: Range (versions 11, 27), EyeLike (9, 22), OneHot (9, 11, 28).
//!
//! - `Range`: start + i·delta, product and sum rounded, for i below ceil((limit - start) / delta). Integers are exact.
//! - `EyeLike`: ones on a diagonal of a matrix of the input's shape.
//! - `OneHot`: along a new axis `values[1]` at each index, `values[0]` elsewhere; an index outside -depth..depth is nowhere.

use super::{
    AttributeError, DType, Definition, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    cast::{cast, converted, dtype_attribute},
    data::by_size,
    elementwise::{FloatFormat, with_float_format, with_integer},
    kernel, kernel_with_scratch,
};
use crate::{
    Tensor,
    shape::element_count,
    tensor::{Element, TensorViewMut},
};
use bytemuck::Pod;
use synod_numerics::{float::Float, integer::Integer};

/// `Range`
pub(super) const RANGE: Definition = Definition {
    name: "Range",
    since: &[11, 27],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        if node.version >= 27 {
            // what 16-bit floats accumulate in: f32 here, always
            match node.attributes.int("stash_type")? {
                None | Some(1) => {}
                Some(other) => {
                    return Err(AttributeError::Value {
                        name: "stash_type",
                        value: other.to_string(),
                        expected: "1",
                    }
                    .into());
                }
            }
        }
        Ok(Box::new(Range))
    },
};

#[derive(Debug)]
struct Range;

const RANGE_TYPES: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I16,
    DType::I32,
    DType::I64,
];

/// The numbers of a range, in the type they are computed in.
#[derive(Debug, Clone, Copy)]
enum Progression {
    Floats { start: f64, delta: f64, count: f64 },
    Integers { start: i128, delta: i128, count: i128 },
}

impl Progression {
    fn of(inputs: &Inputs<'_>) -> Result<Self, OpError> {
        let dtype = inputs.of_types(0, RANGE_TYPES)?.dtype;
        for index in 0..3 {
            if inputs.like(index, dtype)?.elements() != 1 {
                return Err(OpError::Shape("start, limit and delta are single numbers".into()));
            }
        }
        let refuse = || OpError::Value("delta is 0, or a bound of the range is not a finite number".into());
        if dtype.is_float() {
            let number = |index| -> Result<f64, OpError> {
                Ok(converted(inputs.known(index)?, DType::F64)?.as_slice::<f64>()[0])
            };
            let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
            if delta == 0.0 || !(start.is_finite() && limit.is_finite() && delta.is_finite()) {
                return Err(refuse());
            }
            let count = if dtype == DType::F64 {
                ((limit - start) / delta).ceil()
            } else {
                // the numbers are those of an f32
                f64::from(((limit as f32 - start as f32) / delta as f32).ceil())
            };
            return Ok(Self::Floats { start, delta, count });
        }
        let number = |index| -> Result<i128, OpError> {
            Ok(converted(inputs.known(index)?, DType::I64)?.as_slice::<i64>()[0].into())
        };
        let (start, limit, delta) = (number(0)?, number(1)?, number(2)?);
        if delta == 0 {
            return Err(refuse());
        }
        // of i64 numbers: nothing overflows in i128
        let distance = (limit - start) * delta.signum();
        let count = if distance <= 0 {
            0
        } else {
            (distance + delta.abs() - 1) / delta.abs()
        };
        Ok(Self::Integers { start, delta, count })
    }

    fn count(self) -> usize {
        match self {
            // a float beyond the range of usize becomes its greatest, which is refused as a size; below 0 it becomes 0
            Self::Floats { count, .. } => count as usize,
            Self::Integers { count, .. } => usize::try_from(count).unwrap_or(usize::MAX),
        }
    }
}

impl Operator for Range {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let count = Progression::of(inputs)?.count();
        Ok(vec![TensorType::new(inputs.required(0)?.dtype, vec![count])?])
    }

    fn work(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: (outputs[0].elements() as u64).saturating_mul(64),
            bytes: outputs[0].bytes() as u64,
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn floats<F: FloatFormat, S>([start, delta]: [f64; 2], _: S) -> Box<dyn Kernel> {
            let [start, delta] = [start, delta].map(F::Value::from_f64);
            written::<F::Stored>(move |i| F::store((start + F::Value::from_count(i) * delta).canonical()))
        }
        fn integers<T: Integer + Element, S>(start: i128, delta: i128, _: S) -> Box<dyn Kernel> {
            let (start, delta) = (T::wrap(start), T::wrap(delta));
            written::<T>(move |i| start.add(T::wrap(i as i128).mul(delta)))
        }
        Ok(match Progression::of(inputs)? {
            Progression::Floats { start, delta, .. } => {
                with_float_format!(outputs[0].dtype, floats([start, delta], ()))
            }
            Progression::Integers { start, delta, .. } => {
                with_integer!(outputs[0].dtype, integers(start, delta, ()))
            }
        })
    }
}

/// A kernel that writes f(i) for every i.
fn written<T: Element>(f: impl Fn(usize) -> T + Send + Sync + 'static) -> Box<dyn Kernel> {
    kernel(move |io| {
        let out = io.output(0).map_or(&mut [][..], TensorViewMut::as_mut_slice::<T>);
        out.iter_mut().enumerate().for_each(|(i, y)| *y = f(i));
        Ok(())
    })
}

/// 1 of a type, as bytes.
fn one(dtype: DType) -> Result<Vec<u8>, OpError> {
    let mut one = Tensor::zeros(DType::U8, &[])?;
    one.as_mut_slice::<u8>()[0] = 1;
    Ok(converted(&one, dtype)?.to_le_bytes())
}

/// `EyeLike`
pub(super) const EYE_LIKE: Definition = Definition {
    name: "EyeLike",
    since: &[9, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let k = node.attributes.int("k")?.unwrap_or(0);
        Ok(Box::new(EyeLike {
            k,
            dtype: dtype_attribute(node, "dtype")?,
        }))
    },
};

#[derive(Debug)]
struct EyeLike {
    k: i64,
    dtype: Option<DType>,
}

impl Operator for EyeLike {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.required(0)?;
        if x.shape.len() != 2 {
            return Err(OpError::Shape(format!("{:?} is not a matrix", x.shape)));
        }
        Ok(vec![TensorType::new(
            self.dtype.unwrap_or(x.dtype),
            x.shape.to_vec(),
        )?])
    }

    fn work(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work {
            arithmetic: (outputs[0].elements() as u64).saturating_mul(16),
            bytes: outputs[0].bytes() as u64,
        }
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (one, k, columns) = (one(outputs[0].dtype)?, self.k, outputs[0].shape[1]);
        Ok(kernel(move |io| {
            let out = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            out.fill(0);
            let rows = out.chunks_exact_mut((columns * one.len()).max(1));
            for (row, number) in rows.zip(0_i64..) {
                let column = number
                    .checked_add(k)
                    .and_then(|column| usize::try_from(column).ok());
                if let Some(column) = column.filter(|&column| column < columns) {
                    row[column * one.len()..][..one.len()].copy_from_slice(&one);
                }
            }
            Ok(())
        }))
    }
}

/// `OneHot`
pub(super) const ONE_HOT: Definition = Definition {
    name: "OneHot",
    since: &[9, 11, 28],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(OneHot {
            axis: node.attributes.int("axis")?.unwrap_or(-1),
        }))
    },
};

#[derive(Debug)]
struct OneHot {
    axis: i64,
}

impl OneHot {
    /// The new axis, and its size.
    fn axis_and_depth(&self, inputs: &Inputs<'_>) -> Result<(usize, usize), OpError> {
        let rank = inputs.of_types(0, NUMBERS)?.shape.len();
        let axis = super::normalize_axis(self.axis, rank + 1)?;
        inputs.of_types(1, NUMBERS)?;
        let depth = converted(inputs.known(1)?, DType::I64)?;
        match depth.as_slice::<i64>() {
            &[depth] if depth >= 0 => Ok((axis, usize::try_from(depth).unwrap_or(usize::MAX))),
            other => Err(OpError::Value(format!(
                "the depth is {other:?}, not one number from 0"
            ))),
        }
    }
}

impl Operator for OneHot {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (axis, depth) = self.axis_and_depth(inputs)?;
        let values = inputs.required(2)?;
        if values.elements() != 2 {
            return Err(OpError::Shape(format!(
                "the values off and on have the shape {:?}, not [2]",
                values.shape
            )));
        }
        let mut shape = inputs.required(0)?.shape.to_vec();
        shape.insert(axis, depth);
        Ok(vec![TensorType::new(values.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let indices = inputs.optional(0).map_or(0, |indices| indices.elements() as u64);
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(16)
                .saturating_add(indices.saturating_mul(600)),
            bytes: super::streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (axis, depth) = self.axis_and_depth(inputs)?;
        let indices = inputs.required(0)?;
        let (count, inner) = (indices.elements(), element_count(&indices.shape[axis..]));
        let size = outputs[0].dtype.size();
        // indices of every type are brought to i64
        Ok(kernel_with_scratch(count * size_of::<i64>(), move |io| {
            let (indices, values) = (io.input(0), io.input(2).bytes());
            let (_, outputs, scratch) = io.split();
            let wanted: &mut [u8] = &mut scratch[..count * size_of::<i64>()];
            let shape = [count];
            cast(
                &indices,
                &mut TensorViewMut {
                    dtype: DType::I64,
                    shape: &shape,
                    bytes: &mut *wanted,
                },
            );
            let wanted: &[i64] = bytemuck::cast_slice(wanted);
            let out = outputs.first_mut().and_then(Option::as_mut);
            let out = out.map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                light::<Word>(wanted, bytemuck::cast_slice(values), [depth, inner], bytemuck::cast_slice_mut(out));
            });
            Ok(())
        }))
    }
}

fn light<W: Pod>(indices: &[i64], values: &[W], [depth, inner]: [usize; 2], out: &mut [W]) {
    out.fill(values[0]);
    if depth == 0 || inner == 0 {
        return;
    }
    for (block, indices) in out
        .chunks_exact_mut(depth * inner)
        .zip(indices.chunks_exact(inner))
    {
        for (column, &index) in indices.iter().enumerate() {
            let index = if index < 0 {
                index.saturating_add(depth as i64)
            } else {
                index
            };
            if let Some(row) = usize::try_from(index).ok().filter(|&row| row < depth) {
                block[row * inner + column] = values[1];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Operand;
    use super::*;
    use crate::constant::Constant;
    use std::sync::Arc;

    fn range<T: Element>(dtype: DType, numbers: [T; 3]) -> Result<usize, OpError> {
        let constants =
            numbers.map(|number| Arc::new(Constant::new(Tensor::from_slice(dtype, &[], &[number]).unwrap())));
        let operands: Vec<_> = constants
            .iter()
            .map(|constant| Some(Operand::known(constant)))
            .collect();
        Progression::of(&Inputs(&operands)).map(Progression::count)
    }

    #[test]
    fn ranges_end_before_their_limit() {
        assert_eq!(range(DType::I64, [3_i64, 9, 3]), Ok(2));
        assert_eq!(range(DType::I64, [10_i64, 4, -2]), Ok(3));
        assert_eq!(range(DType::I32, [10_i32, 4, 2]), Ok(0));
        assert_eq!(range(DType::F32, [0.0_f32, 1.0, 0.3]), Ok(4));
        assert_eq!(range(DType::F64, [0.0_f64, -1.0, 0.3]), Ok(0));
        assert_eq!(range(DType::I64, [i64::MIN, i64::MAX, 1]), Ok(usize::MAX));
        assert!(range(DType::I64, [0_i64, 1, 0]).is_err());
        assert!(range(DType::F32, [0.0_f32, f32::INFINITY, 1.0]).is_err());
    }

    #[test]
    fn indices_outside_light_nothing() {
        let mut out = [9_u8; 8];
        light(&[1, -1, 4, -5], &[0, 1], [2, 1], &mut out);
        assert_eq!(out, [0, 1, 0, 1, 0, 0, 0, 0]);
        let mut out = [9_u8; 4];
        light(&[1, 0], &[5, 6], [2, 2], &mut out);
        assert_eq!(out, [5, 6, 6, 5]);
    }
}
