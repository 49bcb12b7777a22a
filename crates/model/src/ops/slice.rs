//! Slice: a strided part of a tensor, NumPy's `data[start:end:step]` on some axes.
//!
//! ONNX `Slice`: version 1 has starts, ends and axes as attributes; 10, 11 and 13 as inputs, with steps, which may be
//! negative. Starts and ends beyond an axis are held within it.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{Strided, distinct_axes, signed_strides},
};

/// `Slice`
pub(super) const SLICE: Definition = Definition {
    name: "Slice",
    since: &[1, 10, 11, 13],
    inputs: 1..=5,
    outputs: 1..=1,
    parse: |node| {
        if node.version >= 10 {
            return Ok(Box::new(Slice { attributes: None }));
        }
        node.limit_inputs(1)?;
        let required = |name| super::AttributeError::Missing { name };
        let starts = node.attributes.ints("starts")?.ok_or(required("starts"))?;
        let ends = node.attributes.ints("ends")?.ok_or(required("ends"))?;
        let axes = node.attributes.ints("axes")?;
        Ok(Box::new(Slice {
            attributes: Some(SliceAttributes { starts, ends, axes }),
        }))
    },
};

#[derive(Debug)]
struct Slice {
    /// Version 1.
    attributes: Option<SliceAttributes>,
}

#[derive(Debug)]
struct SliceAttributes {
    starts: Vec<i64>,
    ends: Vec<i64>,
    axes: Option<Vec<i64>>,
}

/// The part of one axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    start: usize,
    step: isize,
    size: usize,
}

impl Slice {
    fn parts(&self, inputs: &Inputs<'_>) -> Result<Vec<Part>, OpError> {
        let shape = inputs.required(0)?.shape;
        let (starts, ends, axes, steps) = match &self.attributes {
            Some(given) => (given.starts.clone(), given.ends.clone(), given.axes.clone(), None),
            None => (
                inputs.known_i64s(1)?,
                inputs.known_i64s(2)?,
                inputs.known_i64s_if_given(3)?,
                inputs.known_i64s_if_given(4)?,
            ),
        };
        let count = starts.len();
        let axes = match axes {
            Some(axes) => distinct_axes(&axes, shape.len())?,
            None if count <= shape.len() => (0..count).collect(),
            None => Vec::new(),
        };
        let steps = steps.unwrap_or_else(|| vec![1; count]);
        if ends.len() != count || axes.len() != count || steps.len() != count {
            return Err(OpError::Shape(format!(
                "{count} starts, {} ends, {} axes and {} steps do not fit together and {} dimensions",
                ends.len(),
                axes.len(),
                steps.len(),
                shape.len()
            )));
        }
        let mut parts: Vec<_> = shape
            .iter()
            .map(|&size| Part {
                start: 0,
                step: 1,
                size,
            })
            .collect();
        for (index, axis) in axes.into_iter().enumerate() {
            parts[axis] = part(shape[axis], starts[index], ends[index], steps[index])?;
        }
        Ok(parts)
    }
}

/// ONNX's rule for one axis of `size`: NumPy's, but that a step backwards from before the first element starts there.
fn part(size: usize, start: i64, end: i64, step: i64) -> Result<Part, OpError> {
    if step == 0 {
        return Err(OpError::Value("a step of 0".into()));
    }
    let length = size as i64;
    let from_front = |index: i64| {
        if index < 0 {
            index.saturating_add(length)
        } else {
            index
        }
    };
    // Forwards the positions 0..=length are meaningful; backwards 0..=length-1 to start from and -1..=length-1 to end before.
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let start = from_front(start).max(0).min(high);
    let end = from_front(end).max(low).min(high);
    let distance = if step > 0 { end - start } else { start - end };
    let count = if distance > 0 {
        (distance as u64).div_ceil(step.unsigned_abs()) as usize
    } else {
        0
    };
    // An empty part has no first element; a step beyond the axis is never taken.
    Ok(Part {
        start: if count == 0 { 0 } else { start as usize },
        step: if count <= 1 { 1 } else { step as isize },
        size: count,
    })
}

impl Operator for Slice {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let shape = self.parts(inputs)?.into_iter().map(|part| part.size).collect();
        Ok(vec![TensorType::new(inputs.required(0)?.dtype, shape)?])
    }

    fn work(&self, _inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // Only what is kept is read.
        let bytes = outputs[0].bytes() as u64;
        let elements = outputs[0].elements() as u64;
        let rows = elements / outputs[0].shape.last().map_or(1, |&last| last.max(1) as u64);
        Work {
            arithmetic: elements
                .saturating_mul(20)
                .saturating_add(rows.saturating_mul(64)),
            bytes: bytes.saturating_mul(2),
        }
    }

    fn moves_data(&self) -> bool {
        true
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let own = signed_strides(data.shape);
        let parts = self.parts(inputs)?;
        let start = parts
            .iter()
            .zip(&own)
            .map(|(part, stride)| part.start * *stride as usize)
            .sum();
        let strides = parts
            .iter()
            .zip(&own)
            .map(|(part, stride)| part.step * stride)
            .collect();
        Ok(Strided::new(&outputs[0].shape, strides, start).into_kernel(data.dtype.size()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_numpy() {
        let numpy = |size, start, end, step| part(size, start, end, step).map(|p| (p.start, p.step, p.size));
        assert_eq!(numpy(10, 2, 8, 3), Ok((2, 3, 2)));
        assert_eq!(numpy(10, -3, i64::MAX, 1), Ok((7, 1, 3)));
        assert_eq!(numpy(10, i64::MAX, i64::MIN, -1), Ok((9, -1, 10)));
        assert_eq!(numpy(10, 20, 0, -4), Ok((9, -4, 3)));
        assert_eq!(numpy(10, 5, 2, 1), Ok((0, 1, 0)));
        assert_eq!(numpy(0, 0, 5, 1), Ok((0, 1, 0)));
        assert_eq!(numpy(0, 0, -5, -1), Ok((0, 1, 0)));
        assert_eq!(numpy(0, i64::MIN, i64::MIN, -1), Ok((0, 1, 0)));
        assert_eq!(numpy(4, i64::MIN, i64::MAX, i64::MAX), Ok((0, 1, 1)));
        assert_eq!(numpy(4, i64::MAX, i64::MIN, i64::MIN), Ok((3, 1, 1)));
        assert!(part(4, 0, 4, 0).is_err());
        // NumPy: none.
        assert_eq!(numpy(4, -9, -9, -1), Ok((0, 1, 1)));
    }
}
