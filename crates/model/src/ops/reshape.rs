//! The operators that only change the shape: the elements stay where they are.
//!
//! - `Reshape` (versions 5 to 25): a 0 in the wanted shape copies the input's dimension (unless `allowzero`), one −1 is
//!   inferred.
//! - `Flatten` (1 to 25): two dimensions, split at `axis`.
//! - `Squeeze` and `Unsqueeze` (1 to 25): take out or put in dimensions of 1; the axes are an attribute until version 11, an
//!   input from 13.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{copy, distinct_axes},
    normalize_axis,
};
use crate::shape::{Shape, element_count};

/// `Reshape`
pub(super) const RESHAPE: Definition = Definition {
    name: "Reshape",
    since: &[5, 13, 14, 19, 21, 23, 24, 25],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let allow_zero = node.version >= 14 && node.attributes.flag("allowzero", false)?;
        Ok(Box::new(Reshaping {
            to: To::Shape { allow_zero },
        }))
    },
};

/// `Flatten`
pub(super) const FLATTEN: Definition = Definition {
    name: "Flatten",
    since: &[1, 9, 11, 13, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(1);
        Ok(Box::new(Reshaping {
            to: To::Matrix { axis },
        }))
    },
};

/// `Squeeze`
pub(super) const SQUEEZE: Definition = Definition {
    name: "Squeeze",
    since: &[1, 11, 13, 21, 23, 24, 25],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| {
        let axes = axes_attribute(node)?;
        Ok(Box::new(Reshaping {
            to: To::Squeezed { axes },
        }))
    },
};

/// `Unsqueeze`
pub(super) const UNSQUEEZE: Definition = Definition {
    name: "Unsqueeze",
    since: &[1, 11, 13, 21, 23, 24, 25],
    inputs: 1..=2,
    outputs: 1..=1,
    parse: |node| {
        let axes = axes_attribute(node)?;
        Ok(Box::new(Reshaping {
            to: To::Unsqueezed { axes },
        }))
    },
};

fn axes_attribute(node: &mut super::NodeSpec<'_>) -> Result<Option<Vec<i64>>, OpError> {
    if node.version >= 13 {
        return Ok(None);
    }
    node.limit_inputs(1)?;
    node.attributes.ints("axes")
}

#[derive(Debug)]
struct Reshaping {
    to: To,
}

#[derive(Debug)]
enum To {
    Shape { allow_zero: bool },
    Matrix { axis: i64 },
    Squeezed { axes: Option<Vec<i64>> },
    Unsqueezed { axes: Option<Vec<i64>> },
}

impl Operator for Reshaping {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        // Until version 11 the axes are an attribute, from 13 on an input; `parse` leaves the attribute `None` then.
        let axes = |attribute: &Option<Vec<i64>>| match attribute {
            Some(axes) => Ok(Some(axes.clone())),
            None => inputs.known_i64s_if_given(1),
        };
        let shape = match &self.to {
            To::Shape { allow_zero } => reshaped(data.shape, &inputs.known_i64s(1)?, *allow_zero)?,
            To::Matrix { axis } => {
                let rank = data.shape.len();
                let axis = if *axis == rank as i64 {
                    rank
                } else {
                    normalize_axis(*axis, rank)?
                };
                vec![
                    element_count(&data.shape[..axis]),
                    element_count(&data.shape[axis..]),
                ]
            }
            To::Squeezed { axes: attribute } => squeezed(data.shape, axes(attribute)?.as_deref())?,
            To::Unsqueezed { axes: attribute } => unsqueezed(
                data.shape,
                &axes(attribute)?.ok_or(OpError::MissingInput { index: 1 })?,
            )?,
        };
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::moving(inputs, outputs)
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(copy())
    }

    fn is_view(&self) -> bool {
        true
    }
}

fn reshaped(from: &[usize], wanted: &[i64], allow_zero: bool) -> Result<Shape, OpError> {
    let refuse = || OpError::Shape(format!("cannot reshape {from:?} to {wanted:?}"));
    let mut inferred = None;
    let mut shape = Vec::with_capacity(wanted.len());
    for (axis, &size) in wanted.iter().enumerate() {
        shape.push(match size {
            0 if !allow_zero => *from.get(axis).ok_or_else(refuse)?,
            -1 if inferred.is_none() => {
                inferred = Some(axis);
                1
            }
            _ => usize::try_from(size).map_err(|_| refuse())?,
        });
    }
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size))
        .ok_or_else(refuse)?;
    let elements = element_count(from);
    match inferred {
        Some(axis) if count > 0 && elements.is_multiple_of(count) => shape[axis] = elements / count,
        Some(_) => return Err(refuse()),
        None if count == elements => {}
        None => return Err(refuse()),
    }
    Ok(shape)
}

fn squeezed(from: &[usize], axes: Option<&[i64]>) -> Result<Shape, OpError> {
    let Some(axes) = axes else {
        return Ok(from.iter().copied().filter(|&size| size != 1).collect());
    };
    let axes = distinct_axes(axes, from.len())?;
    if let Some(axis) = axes.iter().find(|&&axis| from[axis] != 1) {
        return Err(OpError::Shape(format!(
            "dimension {axis} of {from:?} is not 1 and cannot be squeezed"
        )));
    }
    Ok((0..from.len())
        .filter(|axis| !axes.contains(axis))
        .map(|axis| from[axis])
        .collect())
}

fn unsqueezed(from: &[usize], axes: &[i64]) -> Result<Shape, OpError> {
    // Axes count in the output. Its rank is bounded before anything is sized by it.
    let rank = from.len() + axes.len();
    if rank > crate::limits::MAX_RANK {
        return Err(crate::SizeError::Rank { rank }.into());
    }
    let axes = distinct_axes(axes, rank)?;
    let mut rest = from.iter().copied();
    Ok((0..rank)
        .map(|axis| {
            if axes.contains(&axis) {
                1
            } else {
                rest.next().unwrap_or(1)
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_infers_and_copies_dimensions() {
        assert_eq!(reshaped(&[2, 3, 4], &[0, -1], false), Ok(vec![2, 12]));
        assert_eq!(reshaped(&[0, 3], &[3, 0], true), Ok(vec![3, 0]));
        assert_eq!(reshaped(&[], &[1], false), Ok(vec![1]));
        for (from, wanted, allow_zero) in [
            (&[2usize, 3][..], &[5i64][..], false),
            (&[2, 3], &[-1, -1], false),
            (&[2, 3], &[-2, 3], false),
            (&[2], &[1, 2, 0], false),
            (&[0], &[0, -1], true),
            (&[4], &[i64::MAX, i64::MAX], false),
        ] {
            assert!(
                reshaped(from, wanted, allow_zero).is_err(),
                "{from:?} to {wanted:?}"
            );
        }
    }

    #[test]
    fn squeeze_and_unsqueeze_check_their_axes() {
        assert_eq!(squeezed(&[1, 2, 1], None), Ok(vec![2]));
        assert_eq!(squeezed(&[1, 2, 1], Some(&[-1])), Ok(vec![1, 2]));
        assert!(squeezed(&[1, 2], Some(&[1])).is_err());
        assert!(squeezed(&[1, 2], Some(&[0, 0])).is_err());
        assert_eq!(unsqueezed(&[2], &[0, -1]), Ok(vec![1, 2, 1]));
        assert!(unsqueezed(&[2], &[0, 0]).is_err());
        assert!(unsqueezed(&[2], &[0; 100]).is_err());
    }
}
