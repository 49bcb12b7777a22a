//! Windows over space: the attributes that convolutions and pools share, and the geometry that follows from them.

use super::{AttributeError, NodeSpec, OpError};
use crate::limits::MAX_TENSOR_BYTES;
use synod_numerics::shape::Axis;

/// Strides, dilations, paddings and kernel extents, at most: far above what networks have, far below what would overflow.
const MAX_EXTENT: i64 = 1 << 20;

/// `auto_pad`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// As `pads` says.
    NotSet,
    /// As many outputs as input elements divided by the stride; the odd element of padding at the end.
    SameUpper,
    /// The same, the odd element at the beginning.
    SameLower,
    /// No padding.
    Valid,
}

/// The attributes, as read.
#[derive(Debug, Clone)]
pub(super) struct Window {
    pub(super) auto_pad: AutoPad,
    kernel_shape: Option<Vec<i64>>,
    strides: Option<Vec<i64>>,
    dilations: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
}

impl Window {
    /// Takes the attributes; `dilations` only if this version of the operator has them.
    pub(super) fn parse(node: &mut NodeSpec<'_>, has_dilations: bool) -> Result<Self, OpError> {
        let auto_pad = match node.attributes.string("auto_pad")?.as_deref() {
            None | Some("NOTSET" | "") => AutoPad::NotSet,
            Some("SAME_UPPER") => AutoPad::SameUpper,
            Some("SAME_LOWER") => AutoPad::SameLower,
            Some("VALID") => AutoPad::Valid,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "auto_pad",
                    value: other.to_owned(),
                    expected: "NOTSET, SAME_UPPER, SAME_LOWER, VALID",
                }
                .into());
            }
        };
        Ok(Self {
            auto_pad,
            kernel_shape: within(node, "kernel_shape", 1)?,
            strides: within(node, "strides", 1)?,
            dilations: if has_dilations {
                within(node, "dilations", 1)?
            } else {
                None
            },
            pads: within(node, "pads", 0)?,
        })
    }

    /// A window as large as the image.
    pub(super) fn whole(space: &[usize]) -> Self {
        Self {
            auto_pad: AutoPad::NotSet,
            kernel_shape: Some(space.iter().map(|&size| size as i64).collect()),
            strides: None,
            dilations: None,
            pads: None,
        }
    }

    /// The kernel's extents: the attribute, which must agree with the weights if there are any.
    pub(super) fn kernel(&self, weights: Option<&[usize]>, rank: usize) -> Result<Vec<usize>, OpError> {
        match (&self.kernel_shape, weights) {
            (None, None) => Err(AttributeError::Missing { name: "kernel_shape" }.into()),
            (None, Some(weights)) => Ok(weights.to_vec()),
            (Some(_), weights) => {
                let kernel = per_axis("kernel_shape", self.kernel_shape.as_deref(), rank)?;
                if weights.is_some_and(|weights| weights != kernel) {
                    return Err(OpError::Shape(format!(
                        "kernel_shape is {kernel:?}, but the weights have {:?}",
                        weights.unwrap_or_default()
                    )));
                }
                Ok(kernel)
            }
        }
    }

    /// The axes of an operator whose windows slide over `space`; a window may reach beyond the end with `ceil_mode`.
    pub(super) fn axes(
        &self,
        space: &[usize],
        kernel: &[usize],
        ceil_mode: bool,
    ) -> Result<Vec<Axis>, OpError> {
        let mut axes = self.spaced(space, kernel)?;
        let mut total = 1u64;
        for axis in &mut axes {
            let reach = (axis.kernel - 1) * axis.dilation + 1;
            match self.auto_pad {
                AutoPad::NotSet => {}
                AutoPad::Valid => (axis.pad_begin, axis.pad_end) = (0, 0),
                AutoPad::SameUpper | AutoPad::SameLower => {
                    let outputs = axis.input.div_ceil(axis.stride).max(1);
                    let padding = ((outputs - 1) * axis.stride + reach).saturating_sub(axis.input);
                    (axis.pad_begin, axis.pad_end) = self.halves(padding);
                }
            }
            let padded = axis.input + axis.pad_begin + axis.pad_end;
            let Some(room) = padded.checked_sub(reach) else {
                return Err(OpError::Shape(format!(
                    "a window that reaches over {reach} elements does not fit into {padded} (padding included)"
                )));
            };
            axis.output = room / axis.stride + 1;
            if ceil_mode && self.auto_pad == AutoPad::NotSet && !room.is_multiple_of(axis.stride) {
                // a last window over what is left, unless it would lie over the padding at the end alone
                axis.output += usize::from(axis.output * axis.stride < axis.input + axis.pad_begin);
            }
            total = total.saturating_mul(padded as u64);
        }
        if total > MAX_TENSOR_BYTES / 4 {
            return Err(OpError::Shape(format!(
                "the padded input has {total} elements, more than a tensor may have"
            )));
        }
        Ok(axes)
    }

    /// Axes with input, kernel, stride, dilation and the paddings of the attribute; outputs are left 0.
    pub(super) fn spaced(&self, space: &[usize], kernel: &[usize]) -> Result<Vec<Axis>, OpError> {
        let rank = space.len();
        if !(1..=3).contains(&rank) {
            return Err(OpError::Shape(format!(
                "has {rank} axes of space; 1, 2 and 3 are supported"
            )));
        }
        if kernel.len() != rank || kernel.contains(&0) {
            return Err(OpError::Shape(format!(
                "a kernel of shape {kernel:?} does not fit {rank} axes of space"
            )));
        }
        let strides = per_axis("strides", self.strides.as_deref(), rank)?;
        let dilations = per_axis("dilations", self.dilations.as_deref(), rank)?;
        let pads = match &self.pads {
            None => vec![0; 2 * rank],
            Some(_) if self.auto_pad != AutoPad::NotSet => vec![0; 2 * rank],
            Some(_) => per_axis("pads", self.pads.as_deref(), 2 * rank)?,
        };
        Ok((0..rank)
            .map(|axis| Axis {
                input: space[axis],
                output: 0,
                kernel: kernel[axis],
                stride: strides[axis],
                dilation: dilations[axis],
                pad_begin: pads[axis],
                pad_end: pads[rank + axis],
            })
            .collect())
    }

    /// Padding divided between beginning and end.
    pub(super) fn halves(&self, padding: usize) -> (usize, usize) {
        let (less, more) = (padding / 2, padding - padding / 2);
        if self.auto_pad == AutoPad::SameUpper {
            (less, more)
        } else {
            (more, less)
        }
    }
}

/// Takes integers that are all at least `least` and not huge.
pub(super) fn within(
    node: &mut NodeSpec<'_>,
    name: &'static str,
    least: i64,
) -> Result<Option<Vec<i64>>, OpError> {
    let values = node.attributes.ints(name)?;
    if values
        .iter()
        .flatten()
        .any(|value| !(least..=MAX_EXTENT).contains(value))
    {
        let expected = if least == 0 {
            "0 to 1048576 each"
        } else {
            "1 to 1048576 each"
        };
        return Err(AttributeError::Value {
            name,
            value: format!("{values:?}"),
            expected,
        }
        .into());
    }
    // an empty list is how some exporters write the default
    Ok(values.filter(|values| !values.is_empty()))
}

/// One value for each axis, 1 if the attribute is not given.
fn per_axis(name: &'static str, values: Option<&[i64]>, count: usize) -> Result<Vec<usize>, OpError> {
    match values {
        None => Ok(vec![1; count]),
        Some(values) if values.len() == count => Ok(values.iter().map(|&value| value as usize).collect()),
        Some(values) => Err(OpError::Shape(format!(
            "attribute `{name}` has {} values; {count} are needed",
            values.len()
        ))),
    }
}

/// Depth, height and width, with the leading ones filled up.
pub(super) fn in_three(axes: &[Axis]) -> [Axis; 3] {
    let mut three = [Axis::UNIT; 3];
    three[3 - axes.len()..].copy_from_slice(axes);
    three
}

/// Batch, channels and space of an input.
pub(super) fn image(shape: &[usize]) -> Result<(usize, usize, &[usize]), OpError> {
    match shape {
        [batch, channels, space @ ..] if !space.is_empty() => Ok((*batch, *channels, space)),
        _ => Err(OpError::Shape(format!(
            "input of shape {shape:?} has no space: batch, channels and at least one axis are needed"
        ))),
    }
}
