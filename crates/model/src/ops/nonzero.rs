//! NonZero: the places of the elements that are not zero. Compress: the elements, or slices along an axis, that a condition
//! selects. ONNX `NonZero`, opsets 9 and 13; `Compress`, opsets 9 and 11.
//!
//! A NaN is not zero; zeros of both signs are. Places and slices come in ascending order.

use super::{
    DType, DataDependent, Definition, Extent, Inputs, OpError, Path, TensorType, Work,
    late::{Late, bytes_of},
    normalize_axis,
};
use crate::Tensor;

/// `NonZero`
pub(super) const NON_ZERO: Definition = Definition {
    name: "NonZero",
    since: &[9, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Late(NonZero))),
};

/// `Compress`
pub(super) const COMPRESS: Definition = Definition {
    name: "Compress",
    since: &[9, 11, 28],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?;
        Ok(Box::new(Late(Compress { axis })))
    },
};

/// A required tensor.
fn given<'t>(inputs: &[Option<&'t Tensor>], index: usize) -> Result<&'t Tensor, OpError> {
    let input = inputs.get(index).copied().flatten();
    input.ok_or(OpError::MissingInput { index })
}

#[derive(Debug)]
struct NonZero;

/// The indices of the elements that are not zero.
fn nonzero(x: &Tensor) -> impl Iterator<Item = usize> + '_ {
    let (size, float) = (x.dtype().size(), x.dtype().is_float());
    x.bytes()
        .chunks_exact(size)
        .enumerate()
        .filter(move |(_, element)| {
            let (&last, rest) = element.split_last().expect("an element has bytes");
            // The sign of a float does not count.
            let last = if float { last & 0x7f } else { last };
            last != 0 || rest.iter().any(|&byte| byte != 0)
        })
        .map(|(index, _)| index)
}

impl DataDependent for NonZero {
    fn work(&self, inputs: &Inputs<'_>) -> Result<Work, OpError> {
        Ok(Work {
            arithmetic: (inputs.required(0)?.elements() as u64).saturating_mul(80),
            bytes: bytes_of(inputs),
        })
    }

    fn extent(&self, inputs: &[Option<&Tensor>]) -> Result<Extent, OpError> {
        let x = given(inputs, 0)?;
        let count = nonzero(x).count();
        let places = TensorType::new(DType::I64, vec![x.shape().len(), count])?;
        let coordinates = places.elements() as u64;
        Ok(Extent {
            work: Work {
                arithmetic: (x.elements() as u64)
                    .saturating_mul(80)
                    .saturating_add(coordinates.saturating_mul(260)),
                bytes: (places.bytes() as u64).saturating_add(x.bytes().len() as u64),
            },
            memory: places.bytes() as u64,
        })
    }

    fn evaluate(&self, inputs: &[Option<&Tensor>], _: Path) -> Result<Vec<Tensor>, OpError> {
        let x = given(inputs, 0)?;
        let (shape, count) = (x.shape(), nonzero(x).count());
        let mut places = Tensor::zeros(DType::I64, &[shape.len(), count])?;
        let coordinates = places.as_mut_slice::<i64>();
        for (place, mut index) in nonzero(x).enumerate() {
            for (axis, &size) in shape.iter().enumerate().rev() {
                coordinates[axis * count + place] = (index % size) as i64;
                index /= size;
            }
        }
        Ok(vec![places])
    }
}

#[derive(Debug)]
struct Compress {
    axis: Option<i64>,
}

/// How a tensor is cut: runs of slices, slices of a run, bytes of a slice.
struct Cut {
    outer: usize,
    length: usize,
    bytes: usize,
}

impl Compress {
    /// The cut, and the shape of the result with `count` slices.
    fn cut(&self, x: &Tensor, count: usize) -> Result<(Cut, Vec<usize>), OpError> {
        let (shape, size) = (x.shape(), x.dtype().size());
        let Some(axis) = self.axis else {
            let cut = Cut {
                outer: 1,
                length: x.elements(),
                bytes: size,
            };
            return Ok((cut, vec![count]));
        };
        let axis = normalize_axis(axis, shape.len())?;
        let cut = Cut {
            outer: shape[..axis].iter().product(),
            length: shape[axis],
            bytes: shape[axis + 1..].iter().product::<usize>() * size,
        };
        let mut result = shape.to_vec();
        result[axis] = count;
        Ok((cut, result))
    }

    fn selected(&self, inputs: &[Option<&Tensor>]) -> Result<Vec<usize>, OpError> {
        let x = given(inputs, 0)?;
        let condition = given(inputs, 1)?;
        let length = self.cut(x, 0)?.0.length;
        let selected: Vec<usize> = nonzero(condition).collect();
        match selected.last() {
            Some(&last) if last >= length => Err(OpError::Value(format!(
                "the condition selects slice {last} of {length}"
            ))),
            _ => Ok(selected),
        }
    }
}

impl DataDependent for Compress {
    fn work(&self, inputs: &Inputs<'_>) -> Result<Work, OpError> {
        let condition = inputs.of_types(1, &[DType::Bool])?;
        if condition.shape.len() != 1 {
            return Err(OpError::Shape(format!(
                "the condition has {} dimensions, not one",
                condition.shape.len()
            )));
        }
        Ok(Work {
            arithmetic: (condition.elements() as u64).saturating_mul(240),
            bytes: condition.elements() as u64,
        })
    }

    fn extent(&self, inputs: &[Option<&Tensor>]) -> Result<Extent, OpError> {
        let x = given(inputs, 0)?;
        let selected = self.selected(inputs)?;
        let (cut, shape) = self.cut(x, selected.len())?;
        let result = TensorType::new(x.dtype(), shape)?;
        let slices = (cut.outer as u64).saturating_mul(selected.len() as u64);
        Ok(Extent {
            work: Work {
                arithmetic: slices.saturating_mul(512),
                bytes: (result.bytes() as u64)
                    .saturating_mul(2)
                    .saturating_add(slices.saturating_mul(64)),
            },
            memory: (result.bytes() as u64).saturating_add(16 * selected.len() as u64),
        })
    }

    fn evaluate(&self, inputs: &[Option<&Tensor>], _: Path) -> Result<Vec<Tensor>, OpError> {
        let x = given(inputs, 0)?;
        let selected = self.selected(inputs)?;
        let (cut, shape) = self.cut(x, selected.len())?;
        let mut result = Tensor::zeros(x.dtype(), &shape)?;
        let mut view = result.view_mut();
        let written = view.bytes_mut();
        for outer in 0..cut.outer {
            for (place, &slice) in selected.iter().enumerate() {
                let from = (outer * cut.length + slice) * cut.bytes;
                let to = (outer * selected.len() + place) * cut.bytes;
                written[to..to + cut.bytes].copy_from_slice(&x.bytes()[from..from + cut.bytes]);
            }
        }
        Ok(vec![result])
    }
}
