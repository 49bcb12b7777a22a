//! Transposed convolutions.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Dim, Tensor},
};
use super::{
    activation,
    conv::{Image, permuted},
    spatial_axes,
};
use crate::{ImportError, onnx::ints};

/// More than any stride, so that sizes can be computed with.
const MAX_OUTPUT_PADDING: i64 = 1 << 31;

/// What of an axis goes into ONNX's attributes.
struct Edge {
    /// What is cut before.
    before: i64,
    /// What is cut behind.
    after: i64,
    /// What is added behind.
    added: i64,
}

/// Conv1DTranspose, Conv2DTranspose, Conv3DTranspose: the gradient of a convolution by its input.
///
/// The output's size follows from Keras' rule (`compute_conv_transpose_output_shape`), and where it lies in the full product from
/// TensorFlow's: the convolution that this is the gradient of pads the output by its rule for "same", the odd element at the end.
pub(super) fn conv_transpose<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let ones = vec![1; axes];
    let kernel_size = layer.sizes("kernel_size", axes, None)?;
    let strides = layer.sizes("strides", axes, Some(&ones))?;
    let dilations = layer.sizes("dilation_rate", axes, Some(&ones))?;
    if dilations != ones {
        return Err(layer.refuse(
            "dilation_rate",
            "Keras' back ends disagree about transposed convolutions with dilation; use UpSampling and a dilated convolution",
        ));
    }
    let same = match layer.text("padding", "valid")? {
        "valid" => false,
        "same" => true,
        _ => return Err(layer.refuse("padding", "valid and same are")),
    };
    let output_padding = layer.integers("output_padding")?;
    let output_padding = match output_padding.as_deref() {
        None => None,
        Some([one]) => Some(vec![*one; axes]),
        Some(list) if list.len() == axes => Some(list.to_vec()),
        Some(_) => return Err(layer.refuse("output_padding", "one number, or one for each axis is")),
    };
    if output_padding
        .iter()
        .flatten()
        .any(|size| !(0..MAX_OUTPUT_PADDING).contains(size))
    {
        return Err(layer.refuse("output_padding", "sizes from 0 are"));
    }
    let groups = layer.size_or("groups", 1)?;
    if groups != 1 {
        return Err(layer.refuse("groups", "one group is"));
    }
    let filters = layer.size("filters")?;
    let mut shape = kernel_size.clone();
    shape.extend([filters, image.channels]);
    let order: Vec<usize> = [axes + 1, axes].into_iter().chain(0..axes).collect();
    let kernel = permuted(&layer.weight("kernel", &shape)?, &order);
    let bias = if layer.flag("use_bias", true)? {
        Some(layer.weight("bias", &[filters])?)
    } else {
        None
    };

    let mut edges = Vec::with_capacity(axes);
    let mut sizes: Vec<Dim> = Vec::with_capacity(axes);
    for axis in 0..axes {
        let (kernel, stride) = (kernel_size[axis] as i64, strides[axis] as i64);
        // How much longer the full product is than the output; it does not depend on the input's size.
        let excess = match (&output_padding, same) {
            (None, false) => kernel - stride - (kernel - stride).max(0),
            (None, true) => kernel - stride,
            (Some(padding), false) => -padding[axis],
            (Some(padding), true) => 2 * (kernel / 2) - padding[axis],
        };
        let cut = excess.max(0);
        edges.push(Edge {
            before: cut / 2,
            after: cut - cut / 2,
            added: (-excess).max(0),
        });
        let full = |size: usize| {
            (size as i64 - 1)
                .checked_mul(stride)?
                .checked_add(kernel - excess)
        };
        sizes.push(match image.sizes[axis] {
            None => None,
            Some(size) => Some(
                full(size)
                    .and_then(|size| usize::try_from(size).ok())
                    .filter(|&size| size > 0)
                    .ok_or_else(|| layer.call_error(format!("of {size} elements nothing is left")))?,
            ),
        });
    }
    let as_i64 = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<_>>();
    let mut attributes = vec![
        ints("kernel_shape", as_i64(&kernel_size)),
        ints("strides", as_i64(&strides)),
    ];
    let pads = edges
        .iter()
        .map(|edge| edge.before)
        .chain(edges.iter().map(|edge| edge.after));
    attributes.push(ints("pads", pads));
    if edges.iter().any(|edge| edge.added > 0) {
        attributes.push(ints("output_padding", edges.iter().map(|edge| edge.added)));
    }
    let value = image.value(context)?;
    let graph = &mut context.writer.graph;
    let kernel = graph.floats("kernel", &kernel.shape, &kernel.values);
    let bias = bias.map(|bias| graph.floats("bias", &[filters], &bias.values));
    let mut inputs = vec![value.as_str(), kernel.as_str()];
    inputs.extend(bias.as_deref());
    let value = graph.node("ConvTranspose", &inputs, attributes)?;
    let y = image.result(context, value, filters, sizes);
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}
