//! Conv and ConvTranspose. ONNX versions 1, 11 and 22 of both.
//!
//! Each output element is one chain of fused multiply-adds from +0.0 over (input channel of the group, taps in row-major
//! order), ascending; a tap over padding multiplies with +0.0; the bias is added at the end. Of a transposed convolution
//! only the taps that fall on an input element, or beyond the input's ends, are terms; those between two are not.

use super::{
    DType, Definition, FLOATS, Inputs, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, Purpose, on_floats, required},
    matmul::product_arithmetic,
    streamed,
    window::{AutoPad, Window, image, in_three, within},
};
use std::sync::Arc;
use synod_numerics::{
    fast::{convolution, epilogue::Epilogue},
    reference,
    shape::ConvShape,
};

/// `Conv`
pub(super) const CONV: Definition = Definition {
    name: "Conv",
    since: &[1, 11, 22],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(Conv::parse(node)?)),
};

/// `ConvTranspose`
pub(super) const CONV_TRANSPOSE: Definition = Definition {
    name: "ConvTranspose",
    since: &[1, 11, 22],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(ConvTranspose {
            window: Window::parse(node, true)?,
            groups: groups(node)?,
            output_padding: within(node, "output_padding", 0)?,
            output_shape: within(node, "output_shape", 1)?,
        }))
    },
};

fn groups(node: &mut NodeSpec<'_>) -> Result<usize, OpError> {
    let groups = node.attributes.int("group")?.unwrap_or(1);
    usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0)
        .ok_or_else(|| OpError::Shape(format!("attribute `group` is {groups}; it must be at least 1")))
}

/// The attributes of a convolution.
#[derive(Debug)]
pub(super) struct Conv {
    window: Window,
    groups: usize,
}

#[derive(Debug)]
struct ConvTranspose {
    window: Window,
    groups: usize,
    output_padding: Option<Vec<i64>>,
    output_shape: Option<Vec<i64>>,
}

/// Checks the bias: one element for each output channel.
fn check_bias(inputs: &Inputs<'_>, channels: usize) -> Result<(), OpError> {
    let x = inputs.required(0)?;
    if inputs.optional(2).is_some() && inputs.like(2, x.dtype)?.shape != [channels] {
        return Err(OpError::Shape(format!(
            "the bias must have the shape [{channels}]"
        )));
    }
    Ok(())
}

/// The type of the output: batch, channels, space.
fn output_type(inputs: &Inputs<'_>, shape: &ConvShape) -> Result<Vec<TensorType>, OpError> {
    let x = inputs.required(0)?;
    let axes = &shape.axes[3 - (x.shape.len() - 2)..];
    let mut dims = vec![shape.batch, shape.groups * shape.out_channels];
    dims.extend(axes.iter().map(|axis| axis.output));
    Ok(vec![TensorType::new(x.dtype, dims)?])
}

impl Conv {
    pub(super) fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        Ok(Self {
            window: Window::parse(node, true)?,
            groups: groups(node)?,
        })
    }

    /// The geometry for an input (0) and weights (1).
    pub(super) fn shape(&self, inputs: &Inputs<'_>) -> Result<ConvShape, OpError> {
        let (x, w) = (inputs.required(0)?, inputs.required(1)?);
        let (batch, channels, space) = image(x.shape)?;
        let refuse = || {
            OpError::Shape(format!(
                "weights of shape {:?} do not fit an input of shape {:?} in {} groups",
                w.shape, x.shape, self.groups
            ))
        };
        let [out_channels, in_channels, kernel @ ..] = w.shape else {
            return Err(refuse());
        };
        if in_channels.checked_mul(self.groups) != Some(channels)
            || !out_channels.is_multiple_of(self.groups)
            || kernel.len() != space.len()
        {
            return Err(refuse());
        }
        let kernel = self.window.kernel(Some(kernel), space.len())?;
        let axes = self.window.axes(space, &kernel, false)?;
        Ok(ConvShape {
            batch,
            groups: self.groups,
            in_channels: *in_channels,
            out_channels: out_channels / self.groups,
            axes: in_three(&axes),
        })
    }
}

/// Finding the elements under the taps, which the first run does for all others but has to be paid by any: where each term lies, and
/// for sixteen positions at a time which elements are under each tap. Up to a size that is done once for all images and groups.
fn finding_arithmetic(shape: &ConvShape) -> u64 {
    const TERM: u64 = 64;
    const TAP: u64 = 230;
    const ONCE: u64 = 1 << 15;
    let terms = (shape.terms() as u64).saturating_mul(TERM);
    let width = shape.axes[2].output;
    let rows = (shape.output_size() / width.max(1)) as u64;
    let pieces = rows
        .saturating_mul(width.div_ceil(16) as u64)
        .saturating_mul(shape.kernel_size() as u64);
    let times = match (pieces <= ONCE, convolution::adds_tap_by_tap(shape)) {
        (true, _) if shape.kernel_size() > 1 => 1,
        (false, true) => (shape.batch * shape.groups) as u64,
        // products find them while they gather columns, which is a part of their price
        _ => 0,
    };
    terms.saturating_add(pieces.saturating_mul(TAP).saturating_mul(times))
}

impl Operator for Conv {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        inputs.like(1, x.dtype)?;
        let shape = self.shape(inputs)?;
        check_bias(inputs, shape.groups * shape.out_channels)?;
        output_type(inputs, &shape)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let arithmetic = self.shape(inputs).map_or(0, |shape| {
            let product = if outputs[0].dtype == DType::F64 {
                // every weight walks over a plane, row by row
                let terms = shape.terms().saturating_mul(shape.out_channels) as u64;
                let width = shape.axes[2].output.max(1);
                let rows = (shape.output_size() / width) as u64;
                terms.saturating_mul(rows.saturating_mul(width as u64 * 8 + 120).saturating_add(240))
            } else if shape.out_channels >= convolution::CHANNELS_OF_A_PRODUCT {
                let (channels, positions, terms) = (shape.out_channels, shape.output_size(), shape.terms());
                let product = |rows, columns| product_arithmetic(outputs[0].dtype, rows, columns, terms);
                // gathering a column costs about as much as two rows of multiply-adds
                let by_positions = product(channels.max(2) + 2, positions);
                if positions == 1 && shape.groups == 1 {
                    // one row, of which the channels are the columns
                    by_positions.min(product(1, channels))
                } else {
                    by_positions
                }
            } else {
                // added tap by tap: each term is a load, a multiply-add and a store
                let terms = shape.terms().saturating_mul(shape.out_channels) as u64;
                terms
                    .saturating_mul(shape.output_size().next_multiple_of(8) as u64)
                    .saturating_mul(4)
            };
            let images = (shape.batch * shape.groups) as u64;
            product
                .saturating_mul(images)
                .saturating_add(if outputs[0].dtype == DType::F64 {
                    0
                } else {
                    finding_arithmetic(&shape)
                })
        });
        Work {
            arithmetic,
            bytes: streamed(inputs, outputs),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let terms = self.shape(inputs).map_or(0, |shape| shape.terms());
        (outputs[0].elements() as u64).saturating_mul(terms as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(&Direct(self.shape(inputs)?), inputs, outputs))
    }

    fn is_total(&self) -> bool {
        true
    }
}

/// A convolution of a concrete shape.
struct Direct(ConvShape);

impl FloatOperation for Direct {
    fn build<T: Compute>(&self, known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        let shape = self.0;
        let parameters = [shape.groups, shape.out_channels, shape.terms()];
        let arrange = |w: &[T]| T::arrange(&shape, w);
        Box::new(DirectKernel {
            shape,
            geometry: T::geometry(&shape),
            arranged: known.arranged(
                1,
                Purpose::Convolution,
                parameters,
                arrange,
                None::<fn(&T::Arranged) -> Vec<T>>,
            ),
        })
    }
}

struct DirectKernel<T: Compute> {
    shape: ConvShape,
    geometry: T::Geometry,
    /// The weights, if they are known in advance.
    arranged: Option<Arc<T::Arranged>>,
}

impl<T: Compute> FloatKernel<T> for DirectKernel<T> {
    fn scratch(&self) -> usize {
        T::conv_scratch(&self.shape)
    }

    fn reads(&self, path: Path, input: usize) -> bool {
        input != 1 || self.arranged.is_none() || path == Path::Reference
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let out = &mut *outputs[0];
        match path {
            Path::Reference => {
                let (x, bias) = (required(inputs, 0), inputs.get(2).copied().flatten());
                reference::conv(&self.shape, x, required(inputs, 1), bias, out);
            }
            Path::Fast => self.fast(inputs, None, out),
        }
    }

    fn in_blocks(&self, input: bool, output: bool) -> Option<Box<dyn FloatKernel<T>>> {
        Some(Box::new(Self {
            shape: self.shape,
            geometry: T::geometry_in_blocks(&self.shape, input, output)?,
            arranged: self.arranged.clone(),
        }))
    }

    fn takes_epilogue(&self) -> bool {
        true
    }

    fn run_then(&self, inputs: &[Option<&[T]>], out: &mut [T], _: &mut [T], epilogue: &dyn Epilogue) {
        self.fast(inputs, Some(epilogue), out);
    }
}

impl<T: Compute> DirectKernel<T> {
    fn fast(&self, inputs: &[Option<&[T]>], epilogue: Option<&dyn Epilogue>, out: &mut [T]) {
        let (x, bias) = (required(inputs, 0), inputs.get(2).copied().flatten());
        match &self.arranged {
            Some(w) => T::conv(&self.geometry, x, w, bias, epilogue, out),
            None => {
                let w = T::arrange(&self.shape, required(inputs, 1));
                T::conv(&self.geometry, x, &w, bias, epilogue, out);
            }
        }
    }
}

impl ConvTranspose {
    fn shape(&self, inputs: &Inputs<'_>) -> Result<ConvShape, OpError> {
        let (x, w) = (inputs.required(0)?, inputs.required(1)?);
        let (batch, channels, space) = image(x.shape)?;
        let refuse = || {
            OpError::Shape(format!(
                "weights of shape {:?} do not fit an input of shape {:?} in {} groups",
                w.shape, x.shape, self.groups
            ))
        };
        let [in_channels, out_channels, kernel @ ..] = w.shape else {
            return Err(refuse());
        };
        if *in_channels != channels || !channels.is_multiple_of(self.groups) || kernel.len() != space.len() {
            return Err(refuse());
        }
        let rank = space.len();
        let kernel = self.window.kernel(Some(kernel), rank)?;
        let mut axes = self.window.spaced(space, &kernel)?;
        for (i, axis) in axes.iter_mut().enumerate() {
            let output_padding = match &self.output_padding {
                None => 0,
                Some(values) => *values.get(i).filter(|_| values.len() == rank).ok_or_else(|| {
                    OpError::Shape(format!("attribute `output_padding` needs {rank} values"))
                })? as usize,
            };
            let reach = (axis.kernel - 1) * axis.dilation + 1;
            let Some(last) = axis.input.checked_sub(1) else {
                return Err(OpError::Shape("an axis of space is empty".into()));
            };
            let whole = last * axis.stride + reach + output_padding;
            let wanted = match &self.output_shape {
                // some exporters write batch and channels too
                Some(values) if values.len() == rank || values.len() == rank + 2 => {
                    Some(values[values.len() - rank + i] as usize)
                }
                Some(values) => {
                    return Err(OpError::Shape(format!(
                        "attribute `output_shape` has {} values; {rank} are needed",
                        values.len()
                    )));
                }
                None if matches!(self.window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) => {
                    Some(axis.input * axis.stride)
                }
                None => None,
            };
            if let Some(wanted) = wanted {
                (axis.pad_begin, axis.pad_end) = self.window.halves(whole.saturating_sub(wanted));
                axis.output = wanted;
            } else {
                axis.output = whole
                    .checked_sub(axis.pad_begin + axis.pad_end)
                    .filter(|&output| output > 0)
                    .ok_or_else(|| {
                        OpError::Shape(format!(
                            "paddings leave nothing of the {whole} elements of an axis"
                        ))
                    })?;
            }
        }
        Ok(ConvShape {
            batch,
            groups: self.groups,
            in_channels: channels / self.groups,
            out_channels: *out_channels,
            axes: in_three(&axes),
        })
    }
}

impl Operator for ConvTranspose {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        inputs.like(1, x.dtype)?;
        let shape = self.shape(inputs)?;
        check_bias(inputs, shape.groups.saturating_mul(shape.out_channels))?;
        output_type(inputs, &shape)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // every output visits every tap; those of a row are spread over it with the stride
        let arithmetic = self.shape(inputs).map_or(0, |shape| {
            let [.., width] = &shape.axes;
            let rows = (outputs[0].elements() / width.output.max(1)) as u64;
            let visits = (width.output.div_ceil(width.stride) + 8) as u64;
            rows.saturating_mul(shape.terms() as u64)
                .saturating_mul(visits)
                .saturating_mul(64)
        });
        Work {
            arithmetic,
            bytes: streamed(inputs, outputs),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> u64 {
        let per_element = self
            .shape(inputs)
            .map_or(0, |shape| shape.out_channels.saturating_mul(shape.kernel_size()));
        let elements = inputs.optional(0).map_or(0, |x| x.elements());
        (elements as u64).saturating_mul(per_element as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(&Transposed(self.shape(inputs)?), inputs, outputs))
    }

    fn is_total(&self) -> bool {
        true
    }
}

/// A transposed convolution of a concrete shape.
#[derive(Clone)]
struct Transposed(ConvShape);

impl FloatOperation for Transposed {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Transposed {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, w, bias) = (
            required(inputs, 0),
            required(inputs, 1),
            inputs.get(2).copied().flatten(),
        );
        match path {
            Path::Fast => convolution::conv_transpose(&self.0, x, w, bias, outputs[0]),
            Path::Reference => reference::conv_transpose(&self.0, x, w, bias, outputs[0]),
        }
    }
}
