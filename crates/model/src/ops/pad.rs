//! Pad: elements added around a tensor (or, where a pad is negative, taken away). CenterCropPad (version 18): the same of what
//! makes an axis as long as wanted, on both sides alike, the odd one at the end.
//!
//! ONNX `Pad`: version 2 has pads and value as attributes; 11 and later as inputs; 18 adds axes, 19 the mode `wrap`.
//! `constant` adds a value, `edge` repeats the border, `reflect` mirrors without repeating the border, `wrap` continues from
//! the other side. `reflect` and `wrap` continue periodically where a pad is longer than the axis, as NumPy does.

use super::{
    AttributeError, Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{by_size, distinct_axes},
    kernel,
};
use crate::{
    DType,
    shape::{Shape, shape_from_i64s, strides},
    tensor::TensorViewMut,
};
use bytemuck::Pod;

/// `Pad`
pub(super) const PAD: Definition = Definition {
    name: "Pad",
    since: &[2, 11, 13, 18, 19, 21, 23, 24, 25],
    inputs: 1..=4,
    outputs: 1..=1,
    parse: |node| {
        let mode = match node.attributes.string("mode")?.as_deref() {
            None | Some("constant") => Mode::Constant,
            Some("edge") => Mode::Edge,
            Some("reflect") => Mode::Reflect,
            Some("wrap") if node.version >= 19 => Mode::Wrap,
            Some(other) => {
                let expected = "constant, edge, reflect, and from opset 19 wrap";
                return Err(AttributeError::Value {
                    name: "mode",
                    value: other.to_owned(),
                    expected,
                }
                .into());
            }
        };
        let attributes = if node.version < 11 {
            node.limit_inputs(1)?;
            let pads = node
                .attributes
                .ints("pads")?
                .ok_or(AttributeError::Missing { name: "pads" })?;
            Some((pads, node.attributes.float("value")?.unwrap_or(0.0)))
        } else {
            node.limit_inputs(if node.version < 18 { 3 } else { 4 })?;
            None
        };
        Ok(Box::new(PadOperator { mode, attributes }))
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Constant,
    Edge,
    Reflect,
    Wrap,
}

impl Mode {
    /// Where along an axis of `size` the element at `position` (before it if negative) comes from; `None`: from the value.
    fn source(self, position: i64, size: i64) -> Option<i64> {
        if (0..size).contains(&position) {
            return Some(position);
        }
        match self {
            Self::Constant => None,
            Self::Edge => Some(if position < 0 { 0 } else { size - 1 }),
            Self::Wrap => Some(position.rem_euclid(size)),
            Self::Reflect if size == 1 => Some(0),
            Self::Reflect => {
                let period = 2 * (size - 1);
                let folded = position.rem_euclid(period);
                Some(if folded < size { folded } else { period - folded })
            }
        }
    }
}

#[derive(Debug)]
struct PadOperator {
    mode: Mode,
    /// Version 2: pads and value.
    attributes: Option<(Vec<i64>, f32)>,
}

impl PadOperator {
    /// For each axis what is added before and after.
    fn pads(&self, inputs: &Inputs<'_>) -> Result<Vec<(i64, i64)>, OpError> {
        let rank = inputs.required(0)?.shape.len();
        let (pads, axes) = match &self.attributes {
            Some((pads, _)) => (pads.clone(), None),
            None => (inputs.known_i64s(1)?, inputs.known_i64s_if_given(3)?),
        };
        let axes = match axes {
            Some(axes) => distinct_axes(&axes, rank)?,
            None => (0..rank).collect(),
        };
        if pads.len() != 2 * axes.len() {
            return Err(OpError::Shape(format!(
                "{} pads do not fit {} axes",
                pads.len(),
                axes.len()
            )));
        }
        let mut result = vec![(0, 0); rank];
        for (index, &axis) in axes.iter().enumerate() {
            result[axis] = (pads[index], pads[axes.len() + index]);
        }
        Ok(result)
    }
}

impl Operator for PadOperator {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        if self.attributes.is_some() && data.dtype != DType::F32 {
            // Version 2 states the value as an f32 attribute; its rounding to other types is not defined there.
            return Err(OpError::DType {
                index: 0,
                got: data.dtype,
                expected: &[DType::F32],
            });
        }
        if inputs.optional(2).is_some() && inputs.like(2, data.dtype)?.elements() != 1 {
            return Err(OpError::Shape("the value to pad with is not one element".into()));
        }
        let mut shape = Shape::with_capacity(data.shape.len());
        for (&size, (before, after)) in data.shape.iter().zip(self.pads(inputs)?) {
            let refuse = || {
                OpError::Shape(format!(
                    "pads of {before} and {after} do not fit a dimension of {size}"
                ))
            };
            let padded = (size as i64)
                .checked_add(before)
                .and_then(|size| size.checked_add(after));
            let padded = padded
                .and_then(|size| usize::try_from(size).ok())
                .ok_or_else(refuse)?;
            // There is nothing to repeat in an empty axis.
            if size == 0 && padded > 0 && self.mode != Mode::Constant {
                return Err(refuse());
            }
            shape.push(padded);
        }
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let padding = Padding {
            mode: self.mode,
            before: self.pads(inputs)?.into_iter().map(|(before, _)| before).collect(),
            from: data.shape.to_vec(),
            to: outputs[0].shape.clone(),
        };
        let value = self.attributes.as_ref().map(|(_, value)| value.to_le_bytes());
        Ok(kernel(move |io| {
            let input = io.input(0);
            let given = io.optional_input(2);
            // A padded element that no input gives is zero.
            let zero = [0; 8];
            let size = input.dtype().size();
            let fill = match (&value, &given) {
                (Some(value), _) => &value[..],
                (None, Some(given)) => given.bytes(),
                (None, None) => &zero[..size],
            };
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                let fill: Word = bytemuck::pod_read_unaligned(fill);
                padding.run(bytemuck::cast_slice(input.bytes()), bytemuck::cast_slice_mut(output), fill);
            });
            Ok(())
        }))
    }
}

/// `CenterCropPad`
pub(super) const CENTER_CROP_PAD: Definition = Definition {
    name: "CenterCropPad",
    since: &[18],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(CenterCropPad {
            axes: node.attributes.ints("axes")?,
        }))
    },
};

#[derive(Debug)]
struct CenterCropPad {
    axes: Option<Vec<i64>>,
}

impl Operator for CenterCropPad {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let axes = match &self.axes {
            Some(axes) => distinct_axes(axes, data.shape.len())?,
            None => (0..data.shape.len()).collect(),
        };
        let sizes = shape_from_i64s(&inputs.known_i64s(1)?)?;
        if sizes.len() != axes.len() {
            return Err(OpError::Shape(format!(
                "{sizes:?} are not sizes of {} axes",
                axes.len()
            )));
        }
        let mut shape = data.shape.to_vec();
        axes.into_iter()
            .zip(sizes)
            .for_each(|(axis, size)| shape[axis] = size);
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let sizes = data.shape.iter().zip(&outputs[0].shape);
        let padding = Padding {
            mode: Mode::Constant,
            // towards zero on both sides: an odd element is taken or added at the end
            before: sizes.map(|(&from, &to)| (to as i64 - from as i64) / 2).collect(),
            from: data.shape.to_vec(),
            to: outputs[0].shape.clone(),
        };
        let size = data.dtype.size();
        Ok(kernel(move |io| {
            let input = io.input(0).bytes();
            let output = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            by_size!(size, Word => {
                padding.run::<Word>(bytemuck::cast_slice(input), bytemuck::cast_slice_mut(output), 0);
            });
            Ok(())
        }))
    }
}

#[derive(Debug)]
struct Padding {
    mode: Mode,
    before: Vec<i64>,
    from: Shape,
    to: Shape,
}

impl Padding {
    /// The input's coordinate along `axis` for the output's.
    fn source(&self, axis: usize, coordinate: usize) -> Option<usize> {
        let source = self
            .mode
            .source(coordinate as i64 - self.before[axis], self.from[axis] as i64)?;
        Some(source as usize)
    }

    fn run<W: Pod>(&self, input: &[W], output: &mut [W], fill: W) {
        let Some((&row, outer)) = self.to.split_last() else {
            output.copy_from_slice(input);
            return;
        };
        if output.is_empty() {
            return;
        }
        let strides = strides(&self.from);
        let last = outer.len();
        let mut coordinates = vec![0; outer.len()];
        for row in output.chunks_exact_mut(row) {
            let base: Option<usize> = coordinates
                .iter()
                .enumerate()
                .map(|(axis, &at)| Some(self.source(axis, at)? * strides[axis]))
                .sum();
            match base {
                None => row.fill(fill),
                Some(base) => {
                    for (at, element) in row.iter_mut().enumerate() {
                        *element = self.source(last, at).map_or(fill, |at| input[base + at]);
                    }
                }
            }
            for (coordinate, &size) in coordinates.iter_mut().zip(outer).rev() {
                *coordinate += 1;
                if *coordinate < size {
                    break;
                }
                *coordinate = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_continue_as_numpy_does() {
        let row = |mode: Mode, size: i64| (-4..size + 4).map(|at| mode.source(at, size)).collect::<Vec<_>>();
        let all = |sources: &[i64]| sources.iter().map(|&at| Some(at)).collect::<Vec<_>>();
        assert_eq!(row(Mode::Edge, 3), all(&[0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2]));
        assert_eq!(row(Mode::Wrap, 3), all(&[2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]));
        assert_eq!(row(Mode::Reflect, 3), all(&[0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]));
        assert_eq!(row(Mode::Reflect, 1), all(&[0; 9]));
        assert_eq!(Mode::Constant.source(-1, 3), None);
    }
}
