//! Activation functions, as layers and as options of layers.

use super::super::{
    Context,
    call::Call,
    config::{Layer, object, text},
    tensor::{Tensor, axis_of},
};
use crate::{
    ImportError,
    onnx::{float, int, string},
};
use serde_json::Value as Json;

/// Negative slope of the LeakyReLU layer where the file does not state it.
const LEAKY_RELU_LAYER_SLOPE: f64 = 0.3;
/// The same of the function `leaky_relu`.
const LEAKY_RELU_FUNCTION_SLOPE: f32 = 0.2;
/// ONNX's defaults for Selu differ from these in the last digits.
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;
/// Threshold of `soft_shrink` and `hard_shrink`.
const SHRINK_THRESHOLD: f32 = 0.5;
/// `b` of `squareplus`.
const SQUAREPLUS_B: f32 = 4.0;

/// Applies the function that a layer's option names.
pub(super) fn of_option<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    option: &str,
    tensor: Tensor,
) -> Result<Tensor, ImportError> {
    match layer.get(option) {
        None => Ok(tensor),
        Some(Json::String(name)) => by_name(context, layer, option, name, &tensor),
        Some(described) => {
            let place = format!("layer `{}`, option {option}", layer.name);
            let fields = object(&place, described)?;
            match (text(&place, "class_name", fields)?, fields.get("config")) {
                ("function", Some(Json::String(name))) => by_name(context, layer, option, name, &tensor),
                _ => {
                    // a layer instead of a function
                    let inner = layer.inner(option, layer.weights.child(&[option]))?;
                    let mut outputs = super::convert(context, &inner, &Call::of([tensor]))?;
                    Ok(outputs.remove(0))
                }
            }
        }
    }
}

/// Applies a function of `keras.activations`.
pub(super) fn by_name(
    context: &mut Context,
    layer: &Layer<'_>,
    option: &str,
    name: &str,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    match name {
        "linear" => Ok(x.clone()),
        "relu" => w.pointwise("Relu", x, vec![]),
        "relu6" => clip(context, x, Some(0.0), Some(6.0)),
        "leaky_relu" => w.pointwise("LeakyRelu", x, vec![float("alpha", LEAKY_RELU_FUNCTION_SLOPE)]),
        "elu" => w.pointwise("Elu", x, vec![float("alpha", 1.0)]),
        "celu" => w.pointwise("Celu", x, vec![float("alpha", 1.0)]),
        "selu" => w.pointwise("Selu", x, vec![float("alpha", SELU_ALPHA), float("gamma", SELU_SCALE)]),
        "softplus" => w.pointwise("Softplus", x, vec![]),
        "softsign" => w.pointwise("Softsign", x, vec![]),
        "tanh" => w.pointwise("Tanh", x, vec![]),
        "sigmoid" => w.pointwise("Sigmoid", x, vec![]),
        "exponential" | "exp" => w.pointwise("Exp", x, vec![]),
        "hard_sigmoid" => {
            let attributes = hard_sigmoid(layer.version);
            w.pointwise("HardSigmoid", x, attributes)
        }
        "hard_silu" | "hard_swish" => w.pointwise("HardSwish", x, vec![]),
        "silu" | "swish" => {
            let gate = w.pointwise("Sigmoid", x, vec![])?;
            both(context, "Mul", x, &gate)
        }
        "gelu" => w.pointwise("Gelu", x, vec![]),
        "mish" => w.pointwise("Mish", x, vec![]),
        "softmax" => along(context, layer, "Softmax", x, -1),
        "log_softmax" => along(context, layer, "LogSoftmax", x, -1),
        "log_sigmoid" => {
            let minus = w.pointwise("Neg", x, vec![])?;
            let plus = w.pointwise("Softplus", &minus, vec![])?;
            w.pointwise("Neg", &plus, vec![])
        }
        "hard_tanh" => clip(context, x, Some(-1.0), Some(1.0)),
        "tanh_shrink" => {
            let tanh = w.pointwise("Tanh", x, vec![])?;
            both(context, "Sub", x, &tanh)
        }
        "soft_shrink" => {
            let attributes = vec![float("bias", SHRINK_THRESHOLD), float("lambd", SHRINK_THRESHOLD)];
            w.pointwise("Shrink", x, attributes)
        }
        "hard_shrink" => w.pointwise("Shrink", x, vec![float("lambd", SHRINK_THRESHOLD)]),
        "squareplus" => {
            let square = both(context, "Mul", x, x)?;
            let w = &mut context.writer;
            let sum = w.with_scalar("Add", &square, SQUAREPLUS_B)?;
            let root = w.pointwise("Sqrt", &sum, vec![])?;
            let sum = both(context, "Add", x, &root)?;
            context.writer.with_scalar("Div", &sum, 2.0)
        }
        "sparse_sigmoid" => {
            let sum = w.with_scalar("Add", x, 1.0)?;
            let half = w.with_scalar("Mul", &sum, 0.5)?;
            clip(context, &half, Some(0.0), Some(1.0))
        }
        "sparse_plus" => {
            // (x + 1)² / 4 between −1 and 1, where it meets 0 and x.
            let inside = clip(context, x, Some(-1.0), Some(1.0))?;
            let sum = context.writer.with_scalar("Add", &inside, 1.0)?;
            let square = both(context, "Mul", &sum, &sum)?;
            let w = &mut context.writer;
            let quarter = w.with_scalar("Mul", &square, 0.25)?;
            let one = w.graph.scalar("one", 1.0);
            let above = w.graph.node("Greater", &[&w.value(x), &one], vec![])?;
            let value = w.graph.node("Where", &[&above, &w.value(x), &w.value(&quarter)], vec![])?;
            Ok(w.like(x, value))
        }
        "glu" => {
            let last = x.rank().saturating_sub(1);
            let half = match x.shape.last() {
                Some(Some(size)) if size % 2 == 0 => size / 2,
                _ => return Err(layer.call_error(format!("glu halves the last axis of {}", x.shown()))),
            };
            let layout = w.layout(x);
            let axis = layout.place(last, x.rank()) as i64;
            let halves = w.graph.node_with(
                "Split",
                &[&w.value(x)],
                2,
                vec![int("axis", axis), int("num_outputs", 2)],
            )?;
            let gate = w.graph.node("Sigmoid", &[&halves[1]], vec![])?;
            let value = w.graph.node("Mul", &[&halves[0], &gate], vec![])?;
            let mut shape = x.shape.clone();
            shape[last] = Some(half);
            Ok(w.tensor(value, layout, shape, x.dtype))
        }
        _ => Err(layer.refuse(
            option,
            "it is not among Keras' functions with a counterpart: use one of those, or layers that compute it",
        )),
    }
}

/// What `hard_sigmoid` is: Keras 3 has relu6(x + 3) / 6, Keras 2 had a slope of 0.2.
pub(super) fn hard_sigmoid(version: u32) -> Vec<crate::onnx::Attribute> {
    let slope = if version >= 3 { 1.0 / 6.0 } else { 0.2 };
    vec![float("alpha", slope), float("beta", 0.5)]
}

/// A binary operator on two tensors of one shape that lie alike.
fn both(context: &mut Context, op: &str, a: &Tensor, b: &Tensor) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    let value = w.graph.node(op, &[&w.value(a), &w.value(b)], vec![])?;
    Ok(w.like(a, value))
}

/// Bounds a tensor.
pub(super) fn clip(
    context: &mut Context,
    x: &Tensor,
    min: Option<f32>,
    max: Option<f32>,
) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    let min = min.map_or_else(String::new, |min| w.graph.scalar("min", min));
    let max = max.map(|max| w.graph.scalar("max", max));
    let value = w.value(x);
    let mut inputs = vec![value.as_str(), min.as_str()];
    inputs.extend(max.as_deref());
    let value = w.graph.node("Clip", &inputs, vec![])?;
    Ok(w.like(x, value))
}

/// Softmax or LogSoftmax along an axis.
pub(super) fn along(
    context: &mut Context,
    layer: &Layer<'_>,
    op: &str,
    x: &Tensor,
    axis: i64,
) -> Result<Tensor, ImportError> {
    let rank = x.rank();
    let axis = axis_of(axis, rank)
        .ok_or_else(|| layer.call_error(format!("its input {} has no axis {axis}", x.shown())))?;
    let place = context.writer.layout(x).place(axis, rank);
    context.writer.pointwise(op, x, vec![int("axis", place as i64)])
}

/// Activation
pub(super) fn activation<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    Ok(vec![of_option(context, layer, "activation", x)?])
}

/// ELU
pub(super) fn elu<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let alpha = layer.number("alpha", 1.0)?;
    Ok(vec![context.writer.pointwise(
        "Elu",
        &x,
        vec![float("alpha", alpha)],
    )?])
}

/// LeakyReLU: `negative_slope` of Keras 3, `alpha` of Keras 2.
pub(super) fn leaky_relu<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let slope = match layer.number_if_any("negative_slope")? {
        Some(slope) => slope,
        None => layer.number("alpha", LEAKY_RELU_LAYER_SLOPE)?,
    };
    Ok(vec![context.writer.pointwise(
        "LeakyRelu",
        &x,
        vec![float("alpha", slope)],
    )?])
}

/// PReLU
pub(super) fn prelu<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let shared = layer.integers("shared_axes")?.unwrap_or_default();
    let mut shape = Vec::with_capacity(x.rank().saturating_sub(1));
    for (axis, dim) in x.shape.iter().enumerate().skip(1) {
        shape.push(if shared.contains(&(axis as i64)) {
            1
        } else {
            dim.ok_or_else(|| {
                layer.call_error(format!("axis {axis} of its input {} is not known", x.shown()))
            })?
        });
    }
    let slopes = layer.weight("alpha", &shape)?;
    let w = &mut context.writer;
    // The slopes have Keras' axes; images that lie otherwise come back for this layer, unless all but channels are shared.
    let only_channels = shape.iter().rev().skip(1).all(|&size| size == 1);
    let (value, layout, slopes) = if only_channels {
        let layout = w.layout(&x);
        (
            w.value(&x),
            layout,
            w.along_last("slope", &slopes.values, layout, x.rank()),
        )
    } else {
        let value = w.keras(&x)?;
        (
            value,
            super::Layout::Keras,
            w.graph.floats("slope", &shape, &slopes.values),
        )
    };
    let value = w.graph.node("PRelu", &[&value, &slopes], vec![])?;
    Ok(vec![w.tensor(value, layout, x.shape.clone(), x.dtype)])
}

/// ReLU with a threshold, a slope below it and a largest value.
pub(super) fn relu<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let max = layer.number_if_any("max_value")?;
    let slope = layer.number("negative_slope", 0.0)?;
    let threshold = layer.number("threshold", 0.0)?;
    Ok(vec![rectify(context, &x, max, slope, threshold)?])
}

/// `max_value` from there on, x from the threshold on, `slope · (x − threshold)` below.
pub(super) fn rectify(
    context: &mut Context,
    x: &Tensor,
    max: Option<f32>,
    slope: f32,
    threshold: f32,
) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    if threshold == 0.0 && slope == 0.0 {
        return match max {
            None => w.pointwise("Relu", x, vec![]),
            max => clip(context, x, Some(0.0), max),
        };
    }
    let lower = if threshold == 0.0 {
        w.pointwise("LeakyRelu", x, vec![float("alpha", slope)])?
    } else {
        let from = w.graph.scalar("threshold", threshold);
        let above = w.graph.node("GreaterOrEqual", &[&w.value(x), &from], vec![])?;
        let below = w.with_scalar("Sub", x, threshold)?;
        let below = w.with_scalar("Mul", &below, slope)?;
        let value = w
            .graph
            .node("Where", &[&above, &w.value(x), &w.value(&below)], vec![])?;
        w.like(x, value)
    };
    match max {
        None => Ok(lower),
        max => clip(context, &lower, None, max),
    }
}

/// ThresholdedReLU of Keras 2: x above theta, else 0.
pub(super) fn thresholded_relu<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let theta = layer.number("theta", 1.0)?;
    Ok(vec![context.writer.pointwise(
        "ThresholdedRelu",
        &x,
        vec![float("alpha", theta)],
    )?])
}

/// Softmax along one axis.
pub(super) fn softmax<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let tensors = call.tensors();
    if tensors.len() > 1
        || tensors.iter().any(|tensor| tensor.mask.is_some())
        || call.kwargs.get("mask").is_some_and(|mask| !mask.is_null())
    {
        return Err(layer.call_error(
            "a mask is not supported: add a large negative number where it is false before the layer",
        ));
    }
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axis = match layer.integers("axis")?.as_deref() {
        None => -1,
        Some([axis]) => *axis,
        Some(_) => return Err(layer.refuse("axis", "one axis is")),
    };
    Ok(vec![along(context, layer, "Softmax", &x, axis)?])
}

/// Gelu, exact or by tanh.
pub(super) fn gelu(context: &mut Context, x: &Tensor, approximate: bool) -> Result<Tensor, ImportError> {
    let kind = if approximate { "tanh" } else { "none" };
    context
        .writer
        .pointwise("Gelu", x, vec![string("approximate", kind)])
}
