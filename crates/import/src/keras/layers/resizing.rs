//! Images of other sizes: UpSampling and Resizing.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Dim, Tensor},
};
use super::{conv::Image, spatial_axes};
use crate::{
    ImportError,
    onnx::{Attribute, int, string},
};

/// The attributes of ONNX's Resize for one of TensorFlow's ways to interpolate; all of them put pixels' centres at halves.
fn attributes(interpolation: &str) -> Option<Vec<Attribute>> {
    let half = || string("coordinate_transformation_mode", "half_pixel");
    match interpolation {
        "nearest" => Some(vec![
            string("mode", "nearest"),
            half(),
            string("nearest_mode", "round_prefer_ceil"),
        ]),
        "bilinear" => Some(vec![string("mode", "linear"), half()]),
        _ => None,
    }
}

fn node(
    context: &mut Context,
    image: &Image,
    attributes: Vec<Attribute>,
    scales: Option<Vec<f32>>,
    sizes: Vec<Dim>,
) -> Result<Tensor, ImportError> {
    let value = image.value(context)?;
    let w = &mut context.writer;
    let value = match scales {
        Some(scales) => {
            let scales: Vec<f32> = [1.0, 1.0].into_iter().chain(scales).collect();
            let scales = w.graph.floats("scales", &[scales.len()], &scales);
            w.graph.node("Resize", &[&value, "", &scales], attributes)?
        }
        None => {
            // Batch and channels as they are: ONNX Runtime refuses sizes of some axes alone.
            let kept = w
                .graph
                .node("Shape", &[&value], vec![int("start", 0), int("end", 2)])?;
            let wanted: Vec<i64> = sizes.iter().flatten().map(|&size| size as i64).collect();
            let wanted = w.graph.ints("sizes", &wanted);
            let wanted = w.graph.node("Concat", &[&kept, &wanted], vec![int("axis", 0)])?;
            w.graph.node("Resize", &[&value, "", "", &wanted], attributes)?
        }
    };
    Ok(image.result(context, value, image.channels, sizes))
}

/// UpSampling1D, UpSampling2D, UpSampling3D
pub(super) fn up_sampling<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let axes = spatial_axes(layer.class);
    let image = Image::of(context, layer, call, axes)?;
    let factors = layer.sizes("size", axes, Some(&vec![2; axes]))?;
    let attributes = match layer.text("interpolation", "nearest")? {
        // Each element is repeated: no coordinate is between two.
        "nearest" => Some(vec![
            string("mode", "nearest"),
            string("coordinate_transformation_mode", "asymmetric"),
            string("nearest_mode", "floor"),
        ]),
        other => attributes(other),
    };
    let attributes = attributes.ok_or_else(|| layer.refuse("interpolation", "nearest and bilinear are: of others TensorFlow looks coefficients up in a table that ONNX does not have"))?;
    let sizes = image.sizes.iter().zip(&factors);
    let sizes = sizes
        .map(|(size, factor)| size.map(|size| size.saturating_mul(*factor)))
        .collect();
    let scales = factors.iter().map(|&factor| factor as f32).collect();
    Ok(vec![node(context, &image, attributes, Some(scales), sizes)?])
}

/// Resizing to a fixed height and width.
pub(super) fn resizing<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    for option in ["crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"] {
        layer.refuse_flag(option, "resize images before the network instead")?;
    }
    let image = Image::of(context, layer, call, 2)?;
    let sizes = vec![Some(layer.size("height")?), Some(layer.size("width")?)];
    let interpolation = layer.text("interpolation", "bilinear")?;
    let attributes = attributes(interpolation).ok_or_else(|| layer.refuse("interpolation", "nearest and bilinear are: of others TensorFlow looks coefficients up in a table that ONNX does not have"))?;
    Ok(vec![node(context, &image, attributes, None, sizes)?])
}
