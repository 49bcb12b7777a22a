//! Normalisation: by batch statistics, by layer, by groups, to length 1.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Layout, Tensor, axis_of},
};
use super::core::{known, made};
use crate::{
    ImportError,
    onnx::{float, int},
};
use synod_model::DType;

/// The axes that an option names, counted from the front and sorted; the last one if it is absent.
fn axes_of(layer: &Layer<'_>, x: &Tensor) -> Result<Vec<usize>, ImportError> {
    let named = layer.integers("axis")?.unwrap_or_else(|| vec![-1]);
    let axes: Option<Vec<usize>> = named.iter().map(|&axis| axis_of(axis, x.rank())).collect();
    let mut axes = axes.ok_or_else(|| layer.refuse("axis", format!("an axis of {} is", x.shown())))?;
    axes.sort_unstable();
    Ok(axes)
}

/// BatchNormalization with the statistics that training has left.
pub(super) fn batch<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_flag("renorm", "batch renormalisation is not")?;
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axis = match axes_of(layer, &x)?.as_slice() {
        [axis] if *axis > 0 => *axis,
        _ => return Err(layer.refuse("axis", "one axis besides the first is")),
    };
    let channels = known(layer, &x, axis)?;
    let parameter = |option: Option<&str>, name: &str, default: f32| match option
        .map_or(Ok(true), |option| layer.flag(option, true))?
    {
        true => layer.weight(name, &[channels]).map(|array| array.values),
        false => made(layer, &[channels], default),
    };
    let gamma = parameter(Some("scale"), "gamma", 1.0)?;
    let beta = parameter(Some("center"), "beta", 0.0)?;
    let mean = parameter(None, "moving_mean", 0.0)?;
    let variance = parameter(None, "moving_variance", 1.0)?;
    let epsilon = layer.number("epsilon", 1e-3)?;
    // ONNX normalises axis 1.
    let layout = if axis == 1 {
        Layout::Keras
    } else if axis == x.rank() - 1 {
        Layout::ChannelsSecond
    } else {
        return Err(layer.refuse("axis", format!("axis 1 or the last of {} is", x.shown())));
    };
    let w = &mut context.writer;
    let value = w.value_as(&x, layout)?;
    let constants: Vec<String> = [
        ("gamma", gamma),
        ("beta", beta),
        ("moving_mean", mean),
        ("moving_variance", variance),
    ]
    .iter()
    .map(|(name, values)| w.graph.floats(name, &[channels], values))
    .collect();
    let mut inputs = vec![value.as_str()];
    inputs.extend(constants.iter().map(String::as_str));
    let value = w
        .graph
        .node("BatchNormalization", &inputs, vec![float("epsilon", epsilon)])?;
    Ok(vec![w.tensor(value, layout, x.shape.clone(), x.dtype)])
}

/// LayerNormalization over the last axes.
pub(super) fn layer<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_flag(
        "rms_scaling",
        "build it from keras.ops: x * rsqrt(mean(x * x) + epsilon)",
    )?;
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axes = axes_of(layer, &x)?;
    let first = axes[0];
    if !axes.iter().copied().eq(first..x.rank()) {
        return Err(layer.refuse("axis", "the last axis, or the last few are"));
    }
    let shape: Vec<usize> = axes
        .iter()
        .map(|&axis| known(layer, &x, axis))
        .collect::<Result<_, _>>()?;
    let scale = match layer.flag("scale", true)? {
        true => layer.weight("gamma", &shape)?.values,
        false => made(layer, &shape, 1.0)?,
    };
    let bias = match layer.flag("center", true)? {
        true => Some(layer.weight("beta", &shape)?.values),
        false => None,
    };
    let epsilon = layer.number("epsilon", 1e-3)?;
    let w = &mut context.writer;
    // What lies time first has its last axis last all the same.
    let layout = match w.layout(&x) {
        Layout::TimeFirst if first >= 2 => Layout::TimeFirst,
        _ => Layout::Keras,
    };
    let value = w.value_as(&x, layout)?;
    let scale = w.graph.floats("gamma", &shape, &scale);
    let bias = bias.map(|bias| w.graph.floats("beta", &shape, &bias));
    let mut inputs = vec![value.as_str(), scale.as_str()];
    inputs.extend(bias.as_deref());
    let attributes = vec![int("axis", first as i64), float("epsilon", epsilon)];
    let value = w.graph.node("LayerNormalization", &inputs, attributes)?;
    Ok(vec![w.tensor(value, layout, x.shape.clone(), x.dtype)])
}

/// GroupNormalization of channels in groups; −1 groups are as many as channels.
pub(super) fn group<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axis = match axes_of(layer, &x)?.as_slice() {
        [axis] if x.rank() > 2 && (*axis == 1 || *axis == x.rank() - 1) => *axis,
        _ => {
            return Err(layer.refuse(
                "axis",
                "axis 1 or the last of an input with three dimensions or more is",
            ));
        }
    };
    let channels = known(layer, &x, axis)?;
    let groups = match layer.integer("groups", 32)? {
        -1 => channels,
        groups => usize::try_from(groups)
            .ok()
            .filter(|&groups| groups > 0 && channels.is_multiple_of(groups))
            .ok_or_else(|| layer.refuse("groups", format!("a divisor of {channels} channels is")))?,
    };
    let parameter = |option: &str, name: &str, default: f32| match layer.flag(option, true)? {
        true => layer.weight(name, &[channels]).map(|array| array.values),
        false => made(layer, &[channels], default),
    };
    let scale = parameter("scale", "gamma", 1.0)?;
    let bias = parameter("center", "beta", 0.0)?;
    let epsilon = layer.number("epsilon", 1e-3)?;
    let layout = if axis == 1 {
        Layout::Keras
    } else {
        Layout::ChannelsSecond
    };
    let w = &mut context.writer;
    let value = w.value_as(&x, layout)?;
    let scale = w.graph.floats("gamma", &[channels], &scale);
    let bias = w.graph.floats("beta", &[channels], &bias);
    let attributes = vec![int("num_groups", groups as i64), float("epsilon", epsilon)];
    let value = w
        .graph
        .node("GroupNormalization", &[&value, &scale, &bias], attributes)?;
    Ok(vec![w.tensor(value, layout, x.shape.clone(), x.dtype)])
}

/// RMSNormalization: divided by the root of the mean square over the last axes.
pub(super) fn root_mean_square<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axes = axes_of(layer, &x)?;
    if !axes.iter().copied().eq(axes[0]..x.rank()) {
        return Err(layer.refuse("axis", "the last axis, or the last few are"));
    }
    let shape: Vec<usize> = axes
        .iter()
        .map(|&axis| known(layer, &x, axis))
        .collect::<Result<_, _>>()?;
    let scale = layer.weight("scale", &shape)?;
    let epsilon = layer.number("epsilon", 1e-6)?;
    let w = &mut context.writer;
    let value = w.keras(&x)?;
    let square = w.graph.node("Mul", &[&value, &value], vec![])?;
    let places: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
    let places = w.graph.ints("axes", &places);
    let mean = w
        .graph
        .node("ReduceMean", &[&square, &places], vec![int("keepdims", 1)])?;
    let epsilon = w.graph.scalar("epsilon", epsilon);
    let mean = w.graph.node("Add", &[&mean, &epsilon], vec![])?;
    let root = w.graph.node("Sqrt", &[&mean], vec![])?;
    let value = w.graph.node("Div", &[&value, &root], vec![])?;
    let scale = w.graph.floats("scale", &shape, &scale.values);
    let value = w.graph.node("Mul", &[&value, &scale], vec![])?;
    Ok(vec![w.tensor(value, Layout::Keras, x.shape.clone(), DType::F32)])
}

/// UnitNormalization: divided by the length along axes.
pub(super) fn unit<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let axes = axes_of(layer, &x)?;
    Ok(vec![to_length_one(context, layer, &x, &axes)?])
}

/// x divided by its length along axes, or by a very short length if that is less.
pub(super) fn to_length_one(
    context: &mut Context,
    layer: &Layer<'_>,
    x: &Tensor,
    axes: &[usize],
) -> Result<Tensor, ImportError> {
    // Keras 3 bounds the length by 1e-12, Keras 2 its square.
    let least = if layer.version >= 3 { 1e-24 } else { 1e-12 };
    let w = &mut context.writer;
    let layout = w.layout(x);
    let value = w.value(x);
    let places: Vec<i64> = axes
        .iter()
        .map(|&axis| layout.place(axis, x.rank()) as i64)
        .collect();
    let places = w.graph.ints("axes", &places);
    let square = w
        .graph
        .node("ReduceSumSquare", &[&value, &places], vec![int("keepdims", 1)])?;
    let least = w.graph.scalar("epsilon", least);
    let bounded = w.graph.node("Max", &[&square, &least], vec![])?;
    let length = w.graph.node("Sqrt", &[&bounded], vec![])?;
    let value = w.graph.node("Div", &[&value, &length], vec![])?;
    Ok(w.like(x, value))
}

/// LayerScale of ConvNeXt: a factor for each channel.
pub(super) fn layer_scale<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let channels = known(layer, &x, x.rank() - 1)?;
    let gamma = layer.weight("gamma", &[channels])?;
    let w = &mut context.writer;
    let layout = w.layout(&x);
    let gamma = w.along_last("gamma", &gamma.values, layout, x.rank());
    let value = w.graph.node("Mul", &[&w.value(&x), &gamma], vec![])?;
    Ok(vec![w.like(&x, value)])
}
