//! Pools: over windows, and over whole images.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Layout, Tensor},
};
use super::{
    DataFormat,
    conv::{Image, Padding, Window},
    spatial_axes,
};
use crate::{ImportError, onnx::int};
use synod_model::DType;

fn pool<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    op: &str,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let kernel = layer.sizes("pool_size", axes, Some(&vec![2; axes]))?;
    let window = Window {
        strides: layer.sizes("strides", axes, Some(&kernel))?,
        dilations: vec![1; axes],
        padding: match Padding::of(layer, axes)? {
            Padding::Causal => return Err(layer.refuse("padding", "valid and same are")),
            padding => padding,
        },
        kernel,
    };
    over_windows(context, layer, &image, op, &window)
}

fn over_windows(
    context: &mut Context,
    layer: &Layer<'_>,
    image: &Image,
    op: &str,
    window: &Window,
) -> Result<Vec<Tensor>, ImportError> {
    let sizes = window.output(layer, &image.sizes)?;
    let value = image.value(context)?;
    // What is added around an image is no part of it: ONNX's default for averages, as for maxima.
    let value = context
        .writer
        .graph
        .node(op, &[&value], window.attributes(&image.sizes))?;
    Ok(vec![image.result(context, value, image.channels, sizes)])
}

/// AveragePooling1D, AveragePooling2D, AveragePooling3D
pub(super) fn average<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    pool(context, layer, call, "AveragePool")
}

/// MaxPooling1D, MaxPooling2D, MaxPooling3D
pub(super) fn max<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    pool(context, layer, call, "MaxPool")
}

/// A pool of whose output the size is given. Where that does not divide the input's, windows overlap: no operator of ONNX does so.
fn adaptive<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    op: &str,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let wanted = layer.sizes("output_size", axes, None)?;
    let kernel = image.sizes.iter().zip(&wanted).map(|(size, &wanted)| {
        size.filter(|size| size.is_multiple_of(wanted))
            .map(|size| size / wanted)
    });
    let kernel: Vec<usize> = kernel.collect::<Option<_>>().ok_or_else(|| {
        let divisor = format!(
            "a divisor of the size of {} along each axis is",
            image.tensor.shown()
        );
        layer.refuse("output_size", divisor)
    })?;
    let window = Window {
        strides: kernel.clone(),
        dilations: vec![1; axes],
        padding: Padding::Valid,
        kernel,
    };
    over_windows(context, layer, &image, op, &window)
}

/// AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D
pub(super) fn adaptive_average<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    adaptive(context, layer, call, "AveragePool")
}

/// AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D
pub(super) fn adaptive_max<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    adaptive(context, layer, call, "MaxPool")
}

fn global<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    op: &str,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let keep = layer.flag("keepdims", false)?;
    let value = image.value(context)?;
    let w = &mut context.writer;
    let pooled = w.graph.node(op, &[&value], vec![])?;
    if keep {
        return Ok(vec![image.result(
            context,
            pooled,
            image.channels,
            vec![Some(1); axes],
        )]);
    }
    let flat = w.graph.node("Flatten", &[&pooled], vec![int("axis", 1)])?;
    let shape = vec![image.tensor.shape[0], Some(image.channels)];
    Ok(vec![w.tensor(flat, Layout::Keras, shape, DType::F32)])
}

/// GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D
pub(super) fn global_average<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let mask = super::incoming_mask(call)?.filter(|_| spatial_axes(layer.class) == 1);
    let Some(mask) = mask else {
        return global(context, layer, call, "GlobalAveragePool");
    };
    // The mean of the steps that count.
    let x = call.one_of_rank(layer, 3)?;
    let format = DataFormat::of(layer)?;
    let keep = layer.flag("keepdims", false)?;
    let time = format.first_spatial();
    let w = &mut context.writer;
    let x = w.float(&x)?;
    let value = w.keras(&x)?;
    let mask = w.cast(&mask, DType::F32)?;
    let mask = w.keras(&mask)?;
    let features = w.graph.ints("axes", &[format.channels(3) as i64]);
    let mask = w.graph.node("Unsqueeze", &[&mask, &features], vec![])?;
    let kept = w.graph.node("Mul", &[&value, &mask], vec![])?;
    let axes = w.graph.ints("axes", &[time as i64]);
    let keepdims = || vec![int("keepdims", i64::from(keep))];
    let sum = w.graph.node("ReduceSum", &[&kept, &axes], keepdims())?;
    let count = w.graph.node("ReduceSum", &[&mask, &axes], keepdims())?;
    let mean = w.graph.node("Div", &[&sum, &count], vec![])?;
    let mut shape = x.shape.clone();
    if keep {
        shape[time] = Some(1);
    } else {
        shape.remove(time);
    }
    Ok(vec![w.tensor(mean, Layout::Keras, shape, DType::F32)])
}

/// GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D
pub(super) fn global_max<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    global(context, layer, call, "GlobalMaxPool")
}
