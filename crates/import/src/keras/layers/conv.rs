//! Convolutions: plain, depthwise, separable.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    hdf5::Array,
    tensor::{Dim, Tensor},
};
use super::{DataFormat, activation, core::known, spatial_axes};
use crate::{
    ImportError,
    onnx::{Attribute, int, ints, string},
};
use synod_model::DType;

/// What Keras adds around an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Padding {
    /// Nothing.
    Valid,
    /// As much as makes the output `ceil(input / stride)` long, the odd element at the end.
    Same,
    /// All of it before: no output sees what comes later.
    Causal,
}

impl Padding {
    pub(super) fn of(layer: &Layer<'_>, axes: usize) -> Result<Self, ImportError> {
        match layer.text("padding", "valid")? {
            "valid" => Ok(Self::Valid),
            "same" => Ok(Self::Same),
            "causal" if axes == 1 => Ok(Self::Causal),
            _ => Err(layer.refuse("padding", "valid and same are, and causal along one axis")),
        }
    }
}

/// The window of a convolution or pool along each axis.
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) strides: Vec<usize>,
    pub(super) dilations: Vec<usize>,
    pub(super) padding: Padding,
}

impl Window {
    /// From the options of a convolution.
    pub(super) fn of_conv(layer: &Layer<'_>, axes: usize) -> Result<Self, ImportError> {
        let ones = vec![1; axes];
        Ok(Self {
            kernel: layer.sizes("kernel_size", axes, None)?,
            strides: layer.sizes("strides", axes, Some(&ones))?,
            dilations: layer.sizes("dilation_rate", axes, Some(&ones))?,
            padding: Padding::of(layer, axes)?,
        })
    }

    /// From how many elements to how many the window reaches along an axis.
    fn reach(&self, axis: usize) -> usize {
        (self.kernel[axis] - 1)
            .saturating_mul(self.dilations[axis])
            .saturating_add(1)
    }

    /// The sizes that it leaves of an image's.
    pub(super) fn output(&self, layer: &Layer<'_>, image: &[Dim]) -> Result<Vec<Dim>, ImportError> {
        let size = |(axis, size): (usize, &Dim)| -> Result<Dim, ImportError> {
            let Some(size) = *size else { return Ok(None) };
            let (reach, stride) = (self.reach(axis), self.strides[axis]);
            match self.padding {
                Padding::Same | Padding::Causal => Ok(Some(size.div_ceil(stride))),
                Padding::Valid if size >= reach => Ok(Some((size - reach) / stride + 1)),
                Padding::Valid => Err(layer.call_error(format!(
                    "its window reaches over {reach} elements, its input has {size}"
                ))),
            }
        };
        image.iter().enumerate().map(size).collect()
    }

    /// The attributes of ONNX's operator for an image of these sizes.
    pub(super) fn attributes(&self, image: &[Dim]) -> Vec<Attribute> {
        self.attributes_with(image, &[])
    }

    /// The same, with zeros around the image that a layer before has put there.
    fn attributes_with(&self, image: &[Dim], edges: &[(usize, usize)]) -> Vec<Attribute> {
        let as_i64 = |sizes: &[usize]| sizes.iter().map(|&size| size as i64).collect::<Vec<_>>();
        let mut attributes = vec![
            ints("kernel_shape", as_i64(&self.kernel)),
            ints("strides", as_i64(&self.strides)),
        ];
        if self.dilations.iter().any(|&dilation| dilation != 1) {
            attributes.push(ints("dilations", as_i64(&self.dilations)));
        }
        match self.padding {
            Padding::Valid if edges.is_empty() => {}
            Padding::Valid => {
                let before = edges.iter().map(|edge| edge.0 as i64);
                attributes.push(ints("pads", before.chain(edges.iter().map(|edge| edge.1 as i64))));
            }
            Padding::Causal => {
                let before = (0..image.len()).map(|axis| self.reach(axis) as i64 - 1);
                attributes.push(ints("pads", before.chain(image.iter().map(|_| 0))));
            }
            Padding::Same => match self.same_pads(image) {
                Some(pads) => attributes.push(ints("pads", pads)),
                // The sizes are known only when the model is called; ONNX's rule is TensorFlow's.
                None => attributes.push(string("auto_pad", "SAME_UPPER")),
            },
        }
        attributes
    }

    /// What "same" adds before and after each axis, if that can be known.
    fn same_pads(&self, image: &[Dim]) -> Option<Vec<i64>> {
        let total = |(axis, size): (usize, &Dim)| -> Option<usize> {
            let (reach, stride) = (self.reach(axis), self.strides[axis]);
            match size {
                Some(size) => {
                    let needed = (size.div_ceil(stride).saturating_sub(1)).saturating_mul(stride) + reach;
                    Some(needed.saturating_sub(*size))
                }
                None if stride == 1 => Some(reach - 1),
                None => None,
            }
        };
        let totals: Vec<usize> = image.iter().enumerate().map(total).collect::<Option<_>>()?;
        let before = totals.iter().map(|total| (total / 2) as i64);
        let after = totals.iter().map(|total| (total - total / 2) as i64);
        Some(before.chain(after).collect())
    }
}

/// An array with its axes moved: axis i of the result is axis `axes[i]`.
pub(super) fn permuted(array: &Array, axes: &[usize]) -> Array {
    let shape: Vec<usize> = axes.iter().map(|&axis| array.shape[axis]).collect();
    let mut strides = vec![1usize; array.shape.len()];
    for axis in (1..array.shape.len()).rev() {
        strides[axis - 1] = strides[axis] * array.shape[axis];
    }
    let steps: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    let mut index = vec![0; shape.len()];
    let mut from = 0;
    let mut values = Vec::with_capacity(array.values.len());
    for _ in 0..array.values.len() {
        values.push(array.values[from]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            from += steps[axis];
            if index[axis] < shape[axis] {
                break;
            }
            from -= steps[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    Array { shape, values }
}

/// The parts of a layer's input that convolutions look at.
pub(super) struct Image {
    pub(super) tensor: Tensor,
    pub(super) format: DataFormat,
    pub(super) channels: usize,
    pub(super) sizes: Vec<Dim>,
}

impl Image {
    /// The only input of a layer, as floats.
    pub(super) fn of(
        context: &mut Context,
        layer: &Layer<'_>,
        call: &Call<'_>,
        axes: usize,
    ) -> Result<Self, ImportError> {
        let x = call.one_of_rank(layer, axes + 2)?;
        let tensor = context.writer.float(&x)?;
        let format = DataFormat::of(layer)?;
        let first = format.first_spatial();
        Ok(Self {
            channels: known(layer, &tensor, format.channels(axes + 2))?,
            sizes: tensor.shape[first..first + axes].to_vec(),
            tensor,
            format,
        })
    }

    /// A shape in Keras' order.
    pub(super) fn shape(&self, channels: usize, sizes: Vec<Dim>) -> Vec<Dim> {
        let mut shape = sizes;
        let at = match self.format {
            DataFormat::ChannelsLast => shape.len(),
            DataFormat::ChannelsFirst => 0,
        };
        shape.insert(at, Some(channels));
        shape.insert(0, self.tensor.shape[0]);
        shape
    }

    /// The value with channels second.
    pub(super) fn value(&self, context: &mut Context) -> Result<String, ImportError> {
        context.writer.value_as(&self.tensor, self.format.layout())
    }

    /// The tensor of a value with channels second.
    pub(super) fn result(
        &self,
        context: &mut Context,
        value: String,
        channels: usize,
        sizes: Vec<Dim>,
    ) -> Tensor {
        let shape = self.shape(channels, sizes);
        context
            .writer
            .tensor(value, self.format.layout(), shape, DType::F32)
    }
}

fn bias<'a>(layer: &Layer<'a>, filters: usize) -> Result<Option<Array>, ImportError> {
    if layer.flag("use_bias", true)? {
        layer.weight("bias", &[filters]).map(Some)
    } else {
        Ok(None)
    }
}

/// A Conv node; the kernel has ONNX's axes (output channels, input channels of a group, window).
#[allow(clippy::too_many_arguments, reason = "what a convolution has")]
fn conv_node(
    context: &mut Context,
    layer: &Layer<'_>,
    image: &Image,
    window: &Window,
    name: &str,
    kernel: &Array,
    groups: usize,
    bias: Option<&Array>,
) -> Result<Tensor, ImportError> {
    let sizes = window.output(layer, &image.sizes)?;
    let filters = kernel.shape[0];
    // Zeros that a layer before put around the image are ONNX's padding: the same sums without a copy of the image.
    let mut edges = Vec::new();
    let mut value = None;
    if window.padding == Padding::Valid
        && let Some((from, sides)) = context.writer.padding_of(&image.tensor).cloned()
    {
        let first = image.format.first_spatial();
        edges = sides[first..first + image.sizes.len()].to_vec();
        value = Some(context.writer.value_as(&from, image.format.layout())?);
    }
    let value = match value {
        Some(value) => value,
        None => image.value(context)?,
    };
    let graph = &mut context.writer.graph;
    let kernel = graph.floats(name, &kernel.shape, &kernel.values);
    let bias = bias.map(|bias| graph.floats("bias", &[filters], &bias.values));
    let mut attributes = window.attributes_with(&image.sizes, &edges);
    if groups != 1 {
        attributes.push(int("group", groups as i64));
    }
    let mut inputs = vec![value.as_str(), kernel.as_str()];
    inputs.extend(bias.as_deref());
    let value = graph.node("Conv", &inputs, attributes)?;
    Ok(image.result(context, value, filters, sizes))
}

/// The axes of a kernel, its last two first: Keras has the window first.
fn kernel_axes(axes: usize, last: [usize; 2]) -> Vec<usize> {
    last.into_iter().chain(0..axes).collect()
}

/// Conv1D, Conv2D, Conv3D
pub(super) fn conv<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_any(
        "lora_rank",
        "merge the adapters first: save the model after loading it without enable_lora",
    )?;
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let window = Window::of_conv(layer, axes)?;
    let (filters, groups) = (layer.size("filters")?, layer.size_or("groups", 1)?);
    if !image.channels.is_multiple_of(groups) || !filters.is_multiple_of(groups) {
        return Err(layer.refuse(
            "groups",
            format!(
                "a divisor of {} channels and {filters} filters is",
                image.channels
            ),
        ));
    }
    let mut shape = window.kernel.clone();
    shape.extend([image.channels / groups, filters]);
    let kernel = permuted(
        &layer.weight("kernel", &shape)?,
        &kernel_axes(axes, [axes + 1, axes]),
    );
    let bias = bias(layer, filters)?;
    let y = conv_node(
        context,
        layer,
        &image,
        &window,
        "kernel",
        &kernel,
        groups,
        bias.as_ref(),
    )?;
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}

/// The depthwise kernel (window, channels, multiplier) as ONNX's kernel of as many groups as channels.
fn depthwise_kernel<'a>(
    layer: &Layer<'a>,
    window: &Window,
    channels: usize,
    multiplier: usize,
) -> Result<Array, ImportError> {
    let axes = window.kernel.len();
    let mut shape = window.kernel.clone();
    shape.extend([channels, multiplier]);
    let name = "depthwise_kernel";
    let mut kernel = permuted(&layer.weight(name, &shape)?, &kernel_axes(axes, [axes, axes + 1]));
    kernel.shape = [channels * multiplier, 1]
        .into_iter()
        .chain(window.kernel.clone())
        .collect();
    Ok(kernel)
}

/// DepthwiseConv1D, DepthwiseConv2D
pub(super) fn depthwise<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let window = Window::of_conv(layer, axes)?;
    let multiplier = layer.size_or("depth_multiplier", 1)?;
    let kernel = depthwise_kernel(layer, &window, image.channels, multiplier)?;
    let bias = bias(layer, kernel.shape[0])?;
    let y = conv_node(
        context,
        layer,
        &image,
        &window,
        "depthwise_kernel",
        &kernel,
        image.channels,
        bias.as_ref(),
    )?;
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}

/// SeparableConv1D, SeparableConv2D: a depthwise convolution, then one of single pixels.
pub(super) fn separable<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let window = Window::of_conv(layer, axes)?;
    let (filters, multiplier) = (layer.size("filters")?, layer.size_or("depth_multiplier", 1)?);
    let kernel = depthwise_kernel(layer, &window, image.channels, multiplier)?;
    let channels = kernel.shape[0];
    let mut shape = vec![1; axes];
    shape.extend([channels, filters]);
    let pointwise = layer.weight("pointwise_kernel", &shape)?;
    let pointwise = permuted(&pointwise, &kernel_axes(axes, [axes + 1, axes]));
    let bias = bias(layer, filters)?;
    let between = conv_node(
        context,
        layer,
        &image,
        &window,
        "depthwise_kernel",
        &kernel,
        image.channels,
        None,
    )?;
    let first = image.format.first_spatial();
    let image = Image {
        sizes: between.shape[first..first + axes].to_vec(),
        channels,
        format: image.format,
        tensor: between,
    };
    let pixel = Window {
        kernel: vec![1; axes],
        strides: vec![1; axes],
        dilations: vec![1; axes],
        padding: Padding::Valid,
    };
    let y = conv_node(
        context,
        layer,
        &image,
        &pixel,
        "pointwise_kernel",
        &pointwise,
        1,
        bias.as_ref(),
    )?;
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_moved() {
        let array = Array {
            shape: vec![2, 3],
            values: vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0],
        };
        let moved = permuted(&array, &[1, 0]);
        assert_eq!(moved.shape, [3, 2]);
        assert_eq!(moved.values, [0.0, 10.0, 1.0, 11.0, 2.0, 12.0]);
    }

    #[test]
    fn the_odd_element_of_same_is_at_the_end() {
        let window = Window {
            kernel: vec![3],
            strides: vec![2],
            dilations: vec![1],
            padding: Padding::Same,
        };
        // TensorFlow: of 4 elements 2 outputs, one element added, behind
        assert_eq!(window.same_pads(&[Some(4)]), Some(vec![0, 1]));
        assert_eq!(window.same_pads(&[Some(5)]), Some(vec![1, 1]));
        assert_eq!(window.same_pads(&[None]), None);
    }
}
