//! Operations of `keras.ops` (and of TensorFlow, in files of Keras 2) between layers: `x + 3`, `keras.ops.mean(x, axis=1)`.

use super::super::{
    Context,
    call::{Argument, Call},
    config::{Layer, shown},
    tensor::{Dim, Layout, Tensor, axis_of, product},
};
use super::{
    activation::{along, by_name, clip, gelu},
    core::{target_shape, transpose},
    dtype_name,
    merge::{binary, joined},
    numpy,
    slicing::get_item,
};
use crate::{ImportError, onnx::int};
use serde_json::Value as Json;
use synod_model::DType;

/// Functions of one tensor that are functions of `keras.activations` too.
const ACTIVATIONS: &[(&str, &str)] = &[
    ("Celu", "celu"),
    ("Elu", "elu"),
    ("Exp", "exponential"),
    ("Glu", "glu"),
    ("HardSigmoid", "hard_sigmoid"),
    ("HardSilu", "hard_silu"),
    ("HardTanh", "hard_tanh"),
    ("LogSigmoid", "log_sigmoid"),
    ("Mish", "mish"),
    ("Relu", "relu"),
    ("Relu6", "relu6"),
    ("Selu", "selu"),
    ("Sigmoid", "sigmoid"),
    ("Silu", "silu"),
    ("Softplus", "softplus"),
    ("Softsign", "softsign"),
    ("Squareplus", "squareplus"),
    ("Tanh", "tanh"),
    ("TanhShrink", "tanh_shrink"),
];

/// Functions of one tensor that ONNX has, element by element.
const UNARY: &[(&str, &str)] = &[
    ("Abs", "Abs"),
    ("Absolute", "Abs"),
    ("Arccos", "Acos"),
    ("Arccosh", "Acosh"),
    ("Arcsin", "Asin"),
    ("Arcsinh", "Asinh"),
    ("Arctan", "Atan"),
    ("Arctanh", "Atanh"),
    ("Ceil", "Ceil"),
    ("Cos", "Cos"),
    ("Cosh", "Cosh"),
    ("Erf", "Erf"),
    ("Floor", "Floor"),
    ("Log", "Log"),
    ("Negative", "Neg"),
    ("Reciprocal", "Reciprocal"),
    ("Round", "Round"),
    ("Sign", "Sign"),
    ("Sin", "Sin"),
    ("Sinh", "Sinh"),
    ("Sqrt", "Sqrt"),
    ("Tan", "Tan"),
];

/// Functions of two.
const BINARY: &[(&str, &str)] = &[
    ("Add", "Add"),
    ("Divide", "Div"),
    ("Maximum", "Max"),
    ("Minimum", "Min"),
    ("Multiply", "Mul"),
    ("Power", "Pow"),
    ("Subtract", "Sub"),
    ("TrueDivide", "Div"),
];

/// Comparisons of two.
const COMPARISONS: &[(&str, &str)] = &[
    ("Equal", "Equal"),
    ("Greater", "Greater"),
    ("GreaterEqual", "GreaterOrEqual"),
    ("Less", "Less"),
    ("LessEqual", "LessOrEqual"),
    ("NotEqual", "Equal"),
];

/// Functions of two truth values.
const LOGICAL: &[(&str, &str)] = &[("LogicalAnd", "And"), ("LogicalOr", "Or"), ("LogicalXor", "Xor")];

/// Functions along axes.
const REDUCTIONS: &[(&str, &str)] = &[
    ("Amax", "ReduceMax"),
    ("Amin", "ReduceMin"),
    ("Logsumexp", "ReduceLogSumExp"),
    ("Max", "ReduceMax"),
    ("Mean", "ReduceMean"),
    ("Min", "ReduceMin"),
    ("Prod", "ReduceProd"),
    ("Sum", "ReduceSum"),
];

/// TensorFlow's names for the same, as Keras 2 writes them.
const OF_TENSORFLOW: &[(&str, &str)] = &[
    ("__operators__.add", "Add"),
    ("__operators__.mul", "Multiply"),
    ("__operators__.sub", "Subtract"),
    ("__operators__.truediv", "Divide"),
    ("cast", "Cast"),
    ("clip_by_value", "Clip"),
    ("concat", "Concatenate"),
    ("expand_dims", "ExpandDims"),
    ("linalg.matmul", "Matmul"),
    ("math.abs", "Abs"),
    ("math.add", "Add"),
    ("math.divide", "Divide"),
    ("math.exp", "Exp"),
    ("math.log", "Log"),
    ("math.maximum", "Maximum"),
    ("math.minimum", "Minimum"),
    ("math.multiply", "Multiply"),
    ("math.negative", "Negative"),
    ("math.pow", "Power"),
    ("math.reduce_max", "Max"),
    ("math.reduce_mean", "Mean"),
    ("math.reduce_min", "Min"),
    ("math.reduce_sum", "Sum"),
    ("math.rsqrt", "Rsqrt"),
    ("math.sigmoid", "Sigmoid"),
    ("math.softplus", "Softplus"),
    ("math.sqrt", "Sqrt"),
    ("math.square", "Square"),
    ("math.subtract", "Subtract"),
    ("math.tanh", "Tanh"),
    ("math.truediv", "Divide"),
    ("nn.elu", "Elu"),
    ("nn.gelu", "Gelu"),
    ("nn.relu", "Relu"),
    ("nn.relu6", "Relu6"),
    ("nn.selu", "Selu"),
    ("nn.sigmoid", "Sigmoid"),
    ("nn.silu", "Silu"),
    ("nn.softmax", "Softmax"),
    ("nn.swish", "Silu"),
    ("nn.tanh", "Tanh"),
    ("reshape", "Reshape"),
    ("squeeze", "Squeeze"),
    ("stack", "Stack"),
    ("transpose", "Transpose"),
];

fn find(table: &[(&'static str, &'static str)], name: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| *value)
}

fn unsupported(layer: &Layer<'_>, operation: &str) -> ImportError {
    ImportError::UnsupportedLayer {
        layer: layer.name.clone(),
        class: format!("the operation {operation}"),
        advice: "compute it with layers, or with the operations that docs/keras.md lists",
    }
}

/// An operation of TensorFlow between layers of Keras 2.
pub(super) fn of_tensorflow<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let function = layer.text("function", "")?;
    match find(OF_TENSORFLOW, function) {
        Some(name) => apply(context, layer, call, name),
        None => Err(unsupported(layer, function)),
    }
}

/// An operation of `keras.ops`.
pub(super) fn convert<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    apply(context, layer, call, layer.class)
}

/// An operand: a tensor, a number, or a list of numbers along the last axis.
enum Operand {
    Tensor(Tensor),
    Number(f32),
    Vector(Vec<f32>),
}

fn operand(layer: &Layer<'_>, argument: Option<&Argument<'_>>) -> Result<Operand, ImportError> {
    let argument = argument.ok_or_else(|| layer.call_error("it takes two operands"))?;
    let wrong = || {
        layer.call_error(format!(
            "an operand is {}: tensors, numbers and lists of numbers are supported",
            argument.shown()
        ))
    };
    match argument {
        Argument::Tensor(tensor) => Ok(Operand::Tensor(tensor.clone())),
        Argument::Value(_) => Ok(Operand::Number(argument.number().ok_or_else(wrong)? as f32)),
        Argument::List(list) => {
            let values: Option<Vec<f32>> = list.iter().map(|item| Some(item.number()? as f32)).collect();
            values.map(Operand::Vector).ok_or_else(wrong)
        }
    }
}

fn of_two(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    op: &str,
) -> Result<Tensor, ImportError> {
    let second = ["x2", "y"].into_iter().find_map(|name| call.argument(1, name));
    // Keras 2 puts both tensors into one list.
    let (first, second) = match (call.args.first(), second) {
        (Some(Argument::List(pair)), None) if pair.len() == 2 => (pair.first(), pair.get(1)),
        (_, second) => (
            ["x1", "x"].into_iter().find_map(|name| call.argument(0, name)),
            second,
        ),
    };
    match (operand(layer, first)?, operand(layer, second)?) {
        (Operand::Tensor(a), Operand::Tensor(b)) => {
            let (a, b) = if a.dtype == b.dtype {
                (a, b)
            } else {
                (context.writer.float(&a)?, context.writer.float(&b)?)
            };
            binary(context, layer, op, &a, &b)
        }
        (Operand::Tensor(x), other) => with_constant(context, layer, op, &x, &other, false),
        (other, Operand::Tensor(x)) => with_constant(context, layer, op, &x, &other, true),
        _ => Err(layer.call_error("none of its operands is a tensor")),
    }
}

/// One of two, element by element.
fn chosen(context: &mut Context, layer: &Layer<'_>, call: &Call<'_>) -> Result<Tensor, ImportError> {
    let condition = match call.argument(0, "condition") {
        Some(Argument::Tensor(tensor)) => context.writer.cast(tensor, DType::Bool)?,
        _ => return Err(layer.call_error("its condition is not a tensor")),
    };
    let mut shape = condition.shape.clone();
    let mut values = Vec::with_capacity(2);
    for (place, name) in [(1, "x1"), (2, "x2")] {
        values.push(match operand(layer, call.argument(place, name))? {
            Operand::Tensor(x) => {
                let x = context.writer.float(&x)?;
                shape = super::merge::broadcast(&shape, &x.shape).ok_or_else(|| {
                    layer.call_error(format!(
                        "{} and {} do not broadcast",
                        condition.shown(),
                        x.shown()
                    ))
                })?;
                context.writer.keras(&x)?
            }
            Operand::Number(number) => context.writer.graph.scalar("constant", number),
            Operand::Vector(values) => context.writer.graph.floats("constant", &[values.len()], &values),
        });
    }
    let w = &mut context.writer;
    let condition = w.keras(&condition)?;
    let value = w
        .graph
        .node("Where", &[&condition, &values[0], &values[1]], vec![])?;
    Ok(w.tensor(value, Layout::Keras, shape, DType::F32))
}

/// An operator on a tensor and numbers, these being the first operand if `first`.
fn with_constant(
    context: &mut Context,
    layer: &Layer<'_>,
    op: &str,
    x: &Tensor,
    other: &Operand,
    first: bool,
) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    // Whole numbers leave integers what they are; all else makes floats of them.
    let whole = match other {
        Operand::Number(number)
            if number.fract() == 0.0 && number.abs() < 1e9 && op != "Div" && op != "Pow" =>
        {
            Some(*number as i32)
        }
        _ => None,
    };
    let (x, integer) = match (x.dtype, whole) {
        (DType::I32, Some(number)) => (x.clone(), Some(number.to_le_bytes().to_vec())),
        (DType::I64, Some(number)) => (x.clone(), Some(i64::from(number).to_le_bytes().to_vec())),
        _ => (w.float(x)?, None),
    };
    let layout = w.layout(&x);
    let constant = match other {
        Operand::Number(_) if integer.is_some() => {
            w.graph
                .constant("constant", x.dtype, &[], integer.unwrap_or_default().into())
        }
        Operand::Number(number) => w.graph.scalar("constant", *number),
        Operand::Vector(values) if x.shape.last() == Some(&Some(values.len())) => {
            w.along_last("constant", values, layout, x.rank())
        }
        Operand::Vector(values) => {
            return Err(layer.call_error(format!(
                "{} numbers do not fit the last axis of {}",
                values.len(),
                x.shown()
            )));
        }
        Operand::Tensor(_) => return Err(layer.call_error("it takes a constant")),
    };
    let value = w.value(&x);
    let inputs: [&str; 2] = if first {
        [&constant, &value]
    } else {
        [&value, &constant]
    };
    let value = w.graph.node(op, &inputs, vec![])?;
    Ok(w.like(&x, value))
}

/// An argument of the call, or of the operation itself.
fn option<'c, 'a>(
    layer: &Layer<'a>,
    call: &'c Call<'a>,
    place: usize,
    name: &str,
) -> Option<&'c Argument<'a>> {
    call.argument(place, name).filter(|_| layer.get(name).is_none())
}

pub(super) fn integers(
    layer: &Layer<'_>,
    call: &Call<'_>,
    place: usize,
    name: &str,
) -> Result<Option<Vec<i64>>, ImportError> {
    if layer.get(name).is_some() {
        return layer.integers(name);
    }
    match option(layer, call, place, name) {
        None => Ok(None),
        Some(argument) => argument
            .integers()
            .map(Some)
            .ok_or_else(|| layer.call_error(format!("{name} is {}, integers are needed", argument.shown()))),
    }
}

pub(super) fn flag(layer: &Layer<'_>, call: &Call<'_>, name: &str) -> Result<bool, ImportError> {
    match call.kwargs.get(name) {
        Some(Argument::Value(Json::Bool(value))) => Ok(*value),
        _ => layer.flag(name, false),
    }
}

fn number(layer: &Layer<'_>, call: &Call<'_>, place: usize, name: &str) -> Result<Option<f32>, ImportError> {
    match layer.number_if_any(name)? {
        Some(number) => Ok(Some(number)),
        None => Ok(call
            .argument(place, name)
            .and_then(Argument::number)
            .map(|number| number as f32)),
    }
}

pub(super) fn axis(layer: &Layer<'_>, call: &Call<'_>, default: i64) -> Result<i64, ImportError> {
    match integers(layer, call, 1, "axis")?.as_deref() {
        None => Ok(default),
        Some([axis]) => Ok(*axis),
        Some(_) => Err(layer.call_error("one axis is supported")),
    }
}

fn apply<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    name: &str,
) -> Result<Vec<Tensor>, ImportError> {
    if let Some(op) = find(BINARY, name) {
        return Ok(vec![of_two(context, layer, call, op)?]);
    }
    if matches!(name, "Concatenate" | "Stack") {
        let tensors = call.tensors();
        let axis = match axis(layer, call, if name == "Stack" { 0 } else { -1 })? {
            axis if name == "Concatenate" => return Ok(vec![joined(context, layer, &tensors, axis)?]),
            axis => axis,
        };
        let mut raised = Vec::with_capacity(tensors.len());
        for tensor in &tensors {
            raised.push(expanded(context, layer, tensor, axis)?);
        }
        return Ok(vec![joined(context, layer, &raised, axis)?]);
    }
    if let Some(op) = find(COMPARISONS, name) {
        let mut result = of_two(context, layer, call, op)?;
        result.dtype = DType::Bool;
        if name == "NotEqual" {
            result = context.writer.pointwise("Not", &result, vec![])?;
        }
        return Ok(vec![result]);
    }
    if let Some(op) = find(LOGICAL, name) {
        return Ok(vec![of_two(context, layer, call, op)?]);
    }
    if name == "Where" {
        return Ok(vec![chosen(context, layer, call)?]);
    }
    if name == "GetItem" {
        return get_item(context, layer, call);
    }
    if name == "Matmul" {
        return Ok(vec![matmul(context, layer, call)?]);
    }
    if name == "Einsum" {
        return Ok(vec![numpy::einsum(context, layer, call)?]);
    }
    let x = match call.args.first() {
        Some(Argument::Tensor(tensor)) => tensor.clone(),
        _ => call.one(layer)?,
    };
    let w = &mut context.writer;
    let one = if let Some(function) = find(ACTIVATIONS, name) {
        let x = w.float(&x)?;
        by_name(context, layer, name, function, &x)?
    } else if let Some(op) = find(UNARY, name) {
        w.pointwise(op, &x, vec![])?
    } else if let Some(op) = find(REDUCTIONS, name) {
        reduced(context, layer, call, &x, op)?
    } else {
        match name {
            "Copy" | "Identity" | "StopGradient" => x,
            // masks are made tensors before they are handed on
            "ConvertToTensor" if layer.get("dtype").is_none() => x,
            "LogicalNot" => w.pointwise("Not", &x, vec![])?,
            // Of zeros and ones the greatest says whether any is one, the least whether all are.
            "Any" | "All" => {
                let numbers = w.cast(&x, DType::F32)?;
                let op = if name == "Any" { "ReduceMax" } else { "ReduceMin" };
                let reduced = reduced(context, layer, call, &numbers, op)?;
                context.writer.cast(&reduced, DType::Bool)?
            }
            "Square" => {
                let value = w.value(&x);
                let value = w.graph.node("Mul", &[&value, &value], vec![])?;
                w.like(&x, value)
            }
            "Rsqrt" => {
                let root = w.pointwise("Sqrt", &x, vec![])?;
                w.pointwise("Reciprocal", &root, vec![])?
            }
            "LeakyRelu" => {
                let x = w.float(&x)?;
                let slope = number(layer, call, 1, "negative_slope")?.unwrap_or(0.2);
                context
                    .writer
                    .pointwise("LeakyRelu", &x, vec![crate::onnx::float("alpha", slope)])?
            }
            "Gelu" => {
                let x = w.float(&x)?;
                // The operation's default is the approximation, other than the activation's.
                let approximate = match layer.get("approximate") {
                    None => call.kwargs.is_empty() && layer.operation,
                    Some(_) => layer.flag("approximate", true)?,
                };
                gelu(context, &x, approximate)?
            }
            "Softmax" | "LogSoftmax" => {
                let x = w.float(&x)?;
                let axis = axis(layer, call, -1)?;
                along(context, layer, name, &x, axis)?
            }
            "Clip" => {
                let least = match number(layer, call, 1, "x_min")? {
                    None => number(layer, call, 1, "clip_value_min")?,
                    least => least,
                };
                let most = match number(layer, call, 2, "x_max")? {
                    None => number(layer, call, 2, "clip_value_max")?,
                    most => most,
                };
                let x = context.writer.float(&x)?;
                clip(context, &x, least, most)?
            }
            "Cast" => {
                let dtype = layer.get("dtype").and_then(dtype_name);
                match dtype.or_else(|| match call.argument(1, "dtype") {
                    Some(Argument::Value(value)) => dtype_name(value),
                    _ => None,
                }) {
                    Some("float32") => w.float(&x)?,
                    Some("int32") => w.cast(&x, DType::I32)?,
                    Some("int64") => w.cast(&x, DType::I64)?,
                    Some("bool") => w.cast(&x, DType::Bool)?,
                    other => {
                        return Err(layer.call_error(format!(
                            "a cast to {other:?} is not supported: float32, int32, int64 and bool are"
                        )));
                    }
                }
            }
            "Reshape" => {
                let shape = match integers(layer, call, 1, "newshape")? {
                    None => integers(layer, call, 1, "shape")?,
                    shape => shape,
                };
                let shape = shape.ok_or_else(|| layer.call_error("its shape is not a list of integers"))?;
                reshaped(context, layer, &x, &shape)?
            }
            "Transpose" => {
                let axes = match integers(layer, call, 1, "axes")? {
                    None => integers(layer, call, 1, "perm")?,
                    axes => axes,
                };
                let axes: Option<Vec<usize>> = match axes {
                    None => Some((0..x.rank()).rev().collect()),
                    Some(axes) => axes.iter().map(|&axis| axis_of(axis, x.rank())).collect(),
                };
                let axes = axes.filter(|axes| {
                    let mut sorted = axes.clone();
                    sorted.sort_unstable();
                    sorted.iter().copied().eq(0..x.rank())
                });
                let axes = axes.ok_or_else(|| {
                    layer.call_error(format!("its axes are no order of those of {}", x.shown()))
                })?;
                transpose(context, &x, &axes)?
            }
            "ExpandDims" => {
                let axis = axis(layer, call, -1)?;
                expanded(context, layer, &x, axis)?
            }
            "Squeeze" => squeezed(context, layer, call, &x)?,
            "Split" => return split(context, layer, call, &x),
            _ => {
                let result = numpy::convert(context, layer, call, name, &x)?;
                result.ok_or_else(|| unsupported(layer, name))?
            }
        }
    };
    Ok(vec![one])
}

fn matmul(context: &mut Context, layer: &Layer<'_>, call: &Call<'_>) -> Result<Tensor, ImportError> {
    let tensors = call.tensors();
    let named = ["x1", "x2", "a", "b"]
        .into_iter()
        .flat_map(|name| call.named_tensors(name));
    let tensors: Vec<Tensor> = tensors.into_iter().chain(named).collect();
    let [a, b] = <[Tensor; 2]>::try_from(tensors).map_err(|_| layer.call_error("it takes two tensors"))?;
    if a.rank() < 2 || b.rank() < 2 || flag(layer, call, "transpose_a")? || flag(layer, call, "transpose_b")?
    {
        return Err(layer.call_error(format!(
            "products of {} and {} as matrices are supported",
            a.shown(),
            b.shown()
        )));
    }
    let (rows, columns) = (a.shape[a.rank() - 2], b.shape[b.rank() - 1]);
    let batch = super::merge::broadcast(&a.shape[..a.rank() - 2], &b.shape[..b.rank() - 2])
        .ok_or_else(|| layer.call_error(format!("{} and {} do not broadcast", a.shown(), b.shown())))?;
    let w = &mut context.writer;
    let (x, y) = (w.keras(&a)?, w.keras(&b)?);
    let value = w.graph.node("MatMul", &[&x, &y], vec![])?;
    let shape = batch.into_iter().chain([rows, columns]).collect();
    Ok(w.tensor(value, Layout::Keras, shape, a.dtype))
}

/// A sum, mean, product or extreme along axes; without axes along all.
pub(super) fn reduced(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
    op: &str,
) -> Result<Tensor, ImportError> {
    let rank = x.rank();
    let named = integers(layer, call, 1, "axis")?.unwrap_or_else(|| (0..rank as i64).collect());
    let axes: Option<Vec<usize>> = named.iter().map(|&axis| axis_of(axis, rank)).collect();
    let axes =
        axes.ok_or_else(|| layer.call_error(format!("its input {} has no axes {named:?}", x.shown())))?;
    let keep = flag(layer, call, "keepdims")?;
    let w = &mut context.writer;
    // What is left must lie in an order that has a name: with its axes kept, or channels alone left of an image.
    let left: Vec<usize> = (0..rank).filter(|axis| !axes.contains(axis)).collect();
    let layout = match w.layout(x) {
        Layout::ChannelsSecond if keep || left.is_empty() || left == [0, rank - 1] => Layout::ChannelsSecond,
        Layout::TimeFirst if keep => Layout::TimeFirst,
        _ => Layout::Keras,
    };
    let value = w.value_as(x, layout)?;
    let places: Vec<i64> = axes.iter().map(|&axis| layout.place(axis, rank) as i64).collect();
    let places = w.graph.ints("axes", &places);
    let value = w
        .graph
        .node(op, &[&value, &places], vec![int("keepdims", i64::from(keep))])?;
    let shape: Vec<Dim> = if keep {
        (0..rank)
            .map(|axis| {
                if axes.contains(&axis) {
                    Some(1)
                } else {
                    x.shape[axis]
                }
            })
            .collect()
    } else {
        left.iter().map(|&axis| x.shape[axis]).collect()
    };
    let layout = if keep { layout } else { Layout::Keras };
    Ok(w.tensor(value, layout, shape, x.dtype))
}

/// Another shape, the batch included.
fn reshaped(
    context: &mut Context,
    layer: &Layer<'_>,
    x: &Tensor,
    shape: &[i64],
) -> Result<Tensor, ImportError> {
    let wrong = || {
        layer.call_error(format!(
            "its input {} does not take the shape {shape:?}",
            x.shown()
        ))
    };
    let (first, rest) = shape.split_first().ok_or_else(wrong)?;
    let rest_known: Option<Vec<Dim>> = rest
        .iter()
        .map(|&size| usize::try_from(size).ok().map(Some))
        .collect();
    let dims = match (first, rest_known) {
        // As many samples as before, if a sample has as many elements.
        (-1, Some(rest)) => {
            let same = product(&rest) == product(&x.shape[1..]);
            let batch = if same { x.shape[0] } else { None };
            std::iter::once(batch).chain(rest).collect()
        }
        _ => target_shape(&x.shape, shape).ok_or_else(wrong)?,
    };
    context.writer.reshape(x, dims)?.ok_or_else(wrong)
}

fn expanded(context: &mut Context, layer: &Layer<'_>, x: &Tensor, axis: i64) -> Result<Tensor, ImportError> {
    let rank = x.rank() + 1;
    let axis =
        axis_of(axis, rank).ok_or_else(|| layer.call_error(format!("axis {axis} is none of {rank}")))?;
    let mut shape = x.shape.clone();
    shape.insert(axis, Some(1));
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let axes = w.graph.ints("axes", &[axis as i64]);
    let value = w.graph.node("Unsqueeze", &[&value, &axes], vec![])?;
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

fn squeezed(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let named = integers(layer, call, 1, "axis")?;
    let axes: Option<Vec<usize>> = match &named {
        None => Some((0..x.rank()).filter(|&axis| x.shape[axis] == Some(1)).collect()),
        Some(axes) => axes.iter().map(|&axis| axis_of(axis, x.rank())).collect(),
    };
    let axes = axes
        .filter(|axes| axes.iter().all(|&axis| x.shape[axis] == Some(1)))
        .ok_or_else(|| {
            layer.call_error(format!(
                "axes {named:?} of its input {} do not have length 1",
                x.shown()
            ))
        })?;
    let shape = (0..x.rank())
        .filter(|axis| !axes.contains(axis))
        .map(|axis| x.shape[axis])
        .collect();
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let axes = w
        .graph
        .ints("axes", &axes.iter().map(|&axis| axis as i64).collect::<Vec<_>>());
    let value = w.graph.node("Squeeze", &[&value, &axes], vec![])?;
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

/// Parts along an axis: so many equal ones, or cut where a list says.
fn split(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Vec<Tensor>, ImportError> {
    let axis = match integers(layer, call, 2, "axis")?.as_deref() {
        None => 0,
        Some([axis]) => *axis,
        Some(_) => return Err(layer.call_error("one axis is supported")),
    };
    let axis = axis_of(axis, x.rank())
        .ok_or_else(|| layer.call_error(format!("its input {} has no axis {axis}", x.shown())))?;
    let size = super::core::known(layer, x, axis)?;
    let wrong = || {
        layer.call_error(format!(
            "axis {axis} of {} is not split by {}",
            x.shown(),
            shown(layer.config.get("indices_or_sections"))
        ))
    };
    let listed = layer.get("indices_or_sections").is_some_and(Json::is_array);
    let sizes: Vec<usize> = match integers(layer, call, 1, "indices_or_sections")?
        .ok_or_else(wrong)?
        .as_slice()
    {
        [count] if !listed => {
            let count = usize::try_from(*count)
                .ok()
                .filter(|&count| count > 0 && count <= size && size.is_multiple_of(count));
            let count = count.ok_or_else(wrong)?;
            vec![size / count; count]
        }
        cuts => {
            let mut sizes = Vec::with_capacity(cuts.len() + 1);
            let mut from = 0usize;
            for &cut in cuts.iter().chain([&(size as i64)]) {
                let cut = usize::try_from(cut)
                    .ok()
                    .filter(|&cut| cut > from && cut <= size)
                    .ok_or_else(wrong)?;
                sizes.push(cut - from);
                from = cut;
            }
            sizes
        }
    };
    let w = &mut context.writer;
    let layout = w.layout(x);
    let place = layout.place(axis, x.rank()) as i64;
    let lengths = w.graph.ints(
        "split",
        &sizes.iter().map(|&size| size as i64).collect::<Vec<_>>(),
    );
    let value = w.value(x);
    let values = w.graph.node_with(
        "Split",
        &[&value, &lengths],
        sizes.len(),
        vec![int("axis", place)],
    )?;
    let mut parts = Vec::with_capacity(sizes.len());
    for (value, size) in values.into_iter().zip(sizes) {
        let mut shape = x.shape.clone();
        shape[axis] = Some(size);
        parts.push(w.tensor(value, layout, shape, x.dtype));
    }
    Ok(parts)
}
