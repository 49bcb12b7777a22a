//! TopK: the k greatest (or least) elements along an axis, in order, and their indices. ONNX versions 1, 10, 11 and 24.
//!
//! NaN counts as greater than every number; zeros of both signs are equal; of equals the one with the lower index comes first.
//! `sorted` = 0 allows any order, and gets this one.

use super::{
    AttributeError, DType, Definition, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    elementwise::{FloatFormat, with_float_format, with_integer},
    kernel_with_scratch, normalize_axis, streamed,
};
use crate::{
    shape::element_count,
    tensor::{Element, TensorViewMut},
};
use std::cmp::Ordering;
use synod_numerics::{float::Float, integer::Integer};

/// `TopK`
pub(super) const TOP_K: Definition = Definition {
    name: "TopK",
    since: &[1, 10, 11, 24],
    inputs: 1..=2,
    outputs: 2..=2,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(-1);
        let count = if node.version < 10 {
            node.limit_inputs(1)?;
            Some(
                node.attributes
                    .int("k")?
                    .ok_or(AttributeError::Missing { name: "k" })?,
            )
        } else {
            None
        };
        let largest = node.version < 11 || node.attributes.flag("largest", true)?;
        if node.version >= 11 {
            node.attributes.flag("sorted", true)?;
        }
        Ok(Box::new(TopK { axis, count, largest }))
    },
};

#[derive(Debug)]
struct TopK {
    axis: i64,
    /// Version 1; later ones have it as an input.
    count: Option<i64>,
    largest: bool,
}

impl TopK {
    /// The axis, and how many are wanted.
    fn axis_and_count(&self, inputs: &Inputs<'_>) -> Result<(usize, usize), OpError> {
        let x = inputs.of_types(0, NUMBERS)?;
        let axis = normalize_axis(self.axis, x.shape.len())?;
        let count = match self.count {
            Some(count) => vec![count],
            None => inputs.known_i64s(1)?,
        };
        match count[..] {
            [count] if (0..=x.shape[axis] as i64).contains(&count) => Ok((axis, count as usize)),
            _ => Err(OpError::Value(format!(
                "k is {count:?}: not one number of 0 to {}",
                x.shape[axis]
            ))),
        }
    }
}

impl Operator for TopK {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (axis, count) = self.axis_and_count(inputs)?;
        let x = inputs.required(0)?;
        let mut shape = x.shape.to_vec();
        shape[axis] = count;
        Ok(vec![
            TensorType::new(x.dtype, shape.clone())?,
            TensorType::new(DType::I64, shape)?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, length) = match (inputs.optional(0), self.axis_and_count(inputs)) {
            (Some(x), Ok((axis, _))) => (x.elements() as u64, x.shape[axis] as u64),
            _ => (0, 0),
        };
        // comparisons of elements at indices: one for each halving of the line, and a few more
        let levels = u64::from(u64::BITS - length.leading_zeros()) + 4;
        Work {
            arithmetic: elements.saturating_mul(levels).saturating_mul(160),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn floats<F: FloatFormat, S>(lines: Lines, _: S) -> Box<dyn Kernel> {
            lines.into_kernel::<F::Stored>(|a, b| {
                let (a, b) = (F::load(a), F::load(b));
                a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            })
        }
        fn integers<T: Integer + Element, S>(lines: Lines, _: S) -> Box<dyn Kernel> {
            lines.into_kernel::<T>(|a, b| a.cmp(&b))
        }
        let (axis, count) = self.axis_and_count(inputs)?;
        let x = inputs.required(0)?;
        let lines = Lines {
            outer: element_count(&x.shape[..axis]),
            length: x.shape[axis],
            inner: element_count(&x.shape[axis + 1..]),
            count,
            largest: self.largest,
        };
        Ok(if x.dtype.is_float() {
            with_float_format!(x.dtype, floats(lines, ()))
        } else {
            with_integer!(x.dtype, integers(lines, ()))
        })
    }
}

struct Lines {
    outer: usize,
    length: usize,
    inner: usize,
    count: usize,
    largest: bool,
}

impl Lines {
    fn into_kernel<S: Element>(
        self,
        order: impl Fn(S, S) -> Ordering + Send + Sync + 'static,
    ) -> Box<dyn Kernel> {
        kernel_with_scratch(self.length * size_of::<u32>(), move |io| {
            let x = io.input(0).as_slice::<S>();
            let (_, outputs, scratch) = io.split();
            let [values, indices, ..] = outputs else {
                return Ok(());
            };
            let mut values = values.as_mut().map(TensorViewMut::as_mut_slice::<S>);
            let mut indices = indices.as_mut().map(TensorViewMut::as_mut_slice::<i64>);
            let places: &mut [u32] = bytemuck::cast_slice_mut(scratch);
            let places = &mut places[..self.length];
            for line in 0..self.outer * self.inner {
                let (outer, inner) = (line / self.inner, line % self.inner);
                let element = |place: u32| x[(outer * self.length + place as usize) * self.inner + inner];
                places
                    .iter_mut()
                    .zip(0..)
                    .for_each(|(place, number)| *place = number);
                let before = |a: &u32, b: &u32| {
                    let by_value = order(element(*a), element(*b));
                    let by_value = if self.largest {
                        by_value.reverse()
                    } else {
                        by_value
                    };
                    by_value.then(a.cmp(b))
                };
                if (1..self.length).contains(&self.count) {
                    places.select_nth_unstable_by(self.count - 1, before);
                }
                let first = &mut places[..self.count];
                first.sort_unstable_by(before);
                for (rank, &place) in first.iter().enumerate() {
                    let at = (outer * self.count + rank) * self.inner + inner;
                    if let Some(values) = &mut values {
                        values[at] = element(place);
                    }
                    if let Some(indices) = &mut indices {
                        indices[at] = place.into();
                    }
                }
            }
            Ok(())
        })
    }
}
