//! The way back from windows: MaxUnpool (versions 9, 11, 22) and Col2Im (18).
//!
//! - `MaxUnpool`: zeros, and every element at the index that MaxPool gave for it; a later one replaces an earlier one. An index out
//!   of range stops the run.
//! - `Col2Im`: every element of an image is the sum of the columns' elements for it, by ascending tap, from +0.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    data::by_size,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    kernel, streamed,
    window::{AutoPad, Window, image, in_three, within},
};
use crate::{
    shape::{Shape, element_count, shape_from_i64s, strides},
    tensor::TensorViewMut,
};
use synod_numerics::shape::{Axis, Source};

/// `MaxUnpool`
pub(super) const MAX_UNPOOL: Definition = Definition {
    name: "MaxUnpool",
    since: &[9, 11, 22],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        let kernel =
            within(node, "kernel_shape", 1)?.ok_or(AttributeError::Missing { name: "kernel_shape" })?;
        let pads = within(node, "pads", 0)?;
        Ok(Box::new(MaxUnpool {
            kernel,
            strides: within(node, "strides", 1)?,
            pads,
        }))
    },
};

#[derive(Debug)]
struct MaxUnpool {
    kernel: Vec<i64>,
    strides: Option<Vec<i64>>,
    pads: Option<Vec<i64>>,
}

impl MaxUnpool {
    /// The shape in which indices count.
    fn indexed(&self, shape: &[usize]) -> Result<Shape, OpError> {
        let (batch, channels, space) = image(shape)?;
        let rank = space.len();
        let strides = self.strides.clone().unwrap_or_else(|| vec![1; rank]);
        let pads = self.pads.clone().unwrap_or_else(|| vec![0; 2 * rank]);
        if self.kernel.len() != rank || strides.len() != rank || pads.len() != 2 * rank {
            return Err(OpError::Shape(format!(
                "kernel_shape, strides or pads do not fit {rank} axes of space"
            )));
        }
        let mut indexed = vec![batch, channels];
        for (axis, &size) in space.iter().enumerate() {
            let whole = (size as i64)
                .saturating_sub(1)
                .saturating_mul(strides[axis])
                .saturating_add(self.kernel[axis]);
            let left = whole - pads[axis] - pads[rank + axis];
            indexed.push(
                usize::try_from(left).map_err(|_| OpError::Shape(format!("an axis of {left} elements")))?,
            );
        }
        Ok(indexed)
    }
}

impl Operator for MaxUnpool {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (x, indices) = (inputs.of_types(0, FLOATS)?, inputs.of_types(1, &[DType::I64])?);
        if x.shape != indices.shape {
            return Err(OpError::Shape(format!(
                "indices of shape {:?} do not fit elements of shape {:?}",
                indices.shape, x.shape
            )));
        }
        let indexed = self.indexed(x.shape)?;
        // the size within which indices are valid is bounded too
        TensorType::new(x.dtype, indexed.clone())?;
        let shape = match inputs.known_i64s_if_given(2)? {
            None => indexed,
            Some(shape) => shape_from_i64s(&shape)?,
        };
        if shape.len() != x.shape.len() || shape[..2] != x.shape[..2] {
            return Err(OpError::Shape(format!(
                "{shape:?} is not the shape of an unpooled {:?}",
                x.shape
            )));
        }
        Ok(vec![TensorType::new(x.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = inputs.optional(0).map_or(0, |x| x.elements() as u64);
        Work {
            arithmetic: elements.saturating_mul(600),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let indexed = self.indexed(inputs.required(0)?.shape)?;
        let to = outputs[0].shape.clone();
        let size = outputs[0].dtype.size();
        let count = element_count(&indexed);
        let (own, whole) = (strides(&to), strides(&indexed));
        Ok(kernel(move |io| {
            let (x, indices) = (io.input(0).bytes(), io.input(1).as_slice::<i64>());
            let Some(out) = io.output(0).map(TensorViewMut::bytes_mut) else {
                return Ok(());
            };
            out.fill(0);
            by_size!(size, Word => {
                let (x, out): (&[Word], &mut [Word]) = (bytemuck::cast_slice(x), bytemuck::cast_slice_mut(out));
                for (&x, &index) in x.iter().zip(indices) {
                    let refuse = || OpError::Value(format!("index {index} is out of range for {indexed:?} and {to:?}"));
                    let place = usize::try_from(index).ok().filter(|&place| place < count).ok_or_else(refuse)?;
                    let mut at = 0;
                    for axis in 0..to.len() {
                        let coordinate = place / whole[axis] % indexed[axis];
                        if coordinate >= to[axis] {
                            return Err(refuse());
                        }
                        at += coordinate * own[axis];
                    }
                    out[at] = x;
                }
            });
            Ok(())
        }))
    }
}

/// `Col2Im`
pub(super) const COL_2_IM: Definition = Definition {
    name: "Col2Im",
    since: &[18],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Col2Im {
            window: Window::parse(node, true)?,
        }))
    },
};

#[derive(Debug)]
struct Col2Im {
    window: Window,
}

/// Images, channels, and the windows over each axis.
struct Columns {
    batch: usize,
    channels: usize,
    axes: Vec<Axis>,
}

impl Col2Im {
    fn columns(&self, inputs: &Inputs<'_>) -> Result<Columns, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let (space, block) = (
            shape_from_i64s(&inputs.known_i64s(1)?)?,
            shape_from_i64s(&inputs.known_i64s(2)?)?,
        );
        let refuse = || {
            OpError::Shape(format!(
                "columns of shape {:?} are not blocks {block:?} of an image {space:?}",
                x.shape
            ))
        };
        let &[batch, rows, count] = x.shape else {
            return Err(refuse());
        };
        if self.window.auto_pad != AutoPad::NotSet
            || block.contains(&0)
            || block.len() != space.len()
            || !(1..=3).contains(&block.len())
            || space.iter().chain(&block).any(|&size| size > 1 << 20)
        {
            return Err(refuse());
        }
        let axes = self.window.axes(&space, &block, false)?;
        let taps = element_count(&block);
        let windows: usize = axes.iter().map(|axis| axis.output).product();
        if rows % taps != 0 || windows != count {
            return Err(refuse());
        }
        Ok(Columns {
            batch,
            channels: rows / taps,
            axes,
        })
    }
}

impl Operator for Col2Im {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let columns = self.columns(inputs)?;
        let space = columns.axes.iter().map(|axis| axis.input);
        let shape = [columns.batch, columns.channels]
            .into_iter()
            .chain(space)
            .collect();
        Ok(vec![TensorType::new(inputs.required(0)?.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let taps = self.columns(inputs).map_or(0, |columns| {
            columns
                .axes
                .iter()
                .fold(1_u64, |taps, axis| taps.saturating_mul(axis.kernel as u64))
        });
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(taps.saturating_mul(400).saturating_add(400)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let columns = self.columns(inputs)?;
        // seen from the image, windows are what is read: the input of a transposed convolution
        let axes = in_three(&columns.axes).map(|axis| Axis {
            input: axis.output,
            output: axis.input,
            ..axis
        });
        Ok(on_floats(&Overlap { axes }, inputs, outputs))
    }
}

#[derive(Clone)]
struct Overlap {
    axes: [Axis; 3],
}

impl FloatOperation for Overlap {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Overlap {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, input: usize) -> bool {
        // sizes were read while planning
        input == 0
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, out) = (required(inputs, 0), &mut *outputs[0]);
        let [depth, height, width] = &self.axes;
        let windows = depth.input * height.input * width.input;
        let size = depth.output * height.output * width.output;
        for (number, y) in out.iter_mut().enumerate() {
            let (plane, place) = (number / size, number % size);
            let (w, h, d) = (
                place % width.output,
                place / width.output % height.output,
                place / width.output / height.output,
            );
            let mut sum = T::ZERO;
            for kd in 0..depth.kernel {
                let Source::Element(d) = depth.source(d, kd) else {
                    continue;
                };
                for kh in 0..height.kernel {
                    let Source::Element(h) = height.source(h, kh) else {
                        continue;
                    };
                    for kw in 0..width.kernel {
                        let Source::Element(w) = width.source(w, kw) else {
                            continue;
                        };
                        let tap = (kd * height.kernel + kh) * width.kernel + kw;
                        let row = plane * depth.kernel * height.kernel * width.kernel + tap;
                        sum = sum + x[row * windows + (d * height.input + h) * width.input + w];
                    }
                }
            }
            *y = sum.canonical();
        }
    }
}
