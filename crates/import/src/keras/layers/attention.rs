//! Attention: dot products of queries with keys decide how values are mixed.

use super::super::{
    Context,
    call::{Argument, Call},
    config::Layer,
    tensor::{Dim, Layout, Tensor},
};
use super::core::known;
use crate::{
    ImportError,
    onnx::{int, ints},
};
use std::rc::Rc;
use synod_model::DType;

/// What is added to a score that does not count: its exponential is 0.
const NOT_COUNTED: f32 = -1e9;

/// Inputs (queries, values, keys), keys being the values if they are not given.
fn three(context: &mut Context, layer: &Layer<'_>, call: &Call<'_>) -> Result<[Tensor; 3], ImportError> {
    let mut tensors = call.tensors();
    for name in ["query", "value", "key"] {
        tensors.extend(call.named_tensors(name));
    }
    let mut floats = Vec::with_capacity(3);
    for tensor in &tensors {
        floats.push(context.writer.float(tensor)?);
    }
    let [query, value, key] = match <[Tensor; 3]>::try_from(floats) {
        Ok(three) => three,
        Err(two) => match <[Tensor; 2]>::try_from(two) {
            Ok([query, value]) => [query, value.clone(), value],
            Err(other) => {
                return Err(layer.call_error(format!(
                    "it takes two or three inputs, the file gives it {}",
                    other.len()
                )));
            }
        },
    };
    for tensor in [&query, &value, &key] {
        if tensor.rank() != 3 {
            return Err(layer.call_error(format!(
                "its input {} is not (batch, time, features)",
                tensor.shown()
            )));
        }
    }
    Ok([query, value, key])
}

/// A lower triangle of `true` as large as the scores `(…, queries, keys)`.
fn causal(context: &mut Context, scores: &str) -> Result<String, ImportError> {
    let graph = &mut context.writer.graph;
    let shape = graph.node("Shape", &[scores], vec![int("start", -2)])?;
    let zeros = graph.node("ConstantOfShape", &[&shape], vec![])?;
    let one = graph.scalar("one", 1.0);
    let ones = graph.node("Add", &[&zeros, &one], vec![])?;
    let triangle = graph.node("Trilu", &[&ones], vec![int("upper", 0)])?;
    graph.node("Cast", &[&triangle], vec![int("to", 9)])
}

/// Scores of which only those count for which a mask is true.
fn counted(context: &mut Context, scores: &str, mask: &str) -> Result<String, ImportError> {
    let graph = &mut context.writer.graph;
    let low = graph.scalar("not_counted", NOT_COUNTED);
    graph.node("Where", &[mask, scores, &low], vec![])
}

/// The mixture of values by scores, and the weights in it.
fn mixed(context: &mut Context, scores: &str, value: &Tensor) -> Result<(String, String), ImportError> {
    let w = &mut context.writer;
    let weights = w.graph.node("Softmax", &[scores], vec![int("axis", -1)])?;
    let value = w.keras(value)?;
    Ok((w.graph.node("MatMul", &[&weights, &value], vec![])?, weights))
}

/// The masks of queries and values: those that the call names in a list, or those that come with the tensors.
fn masks(
    layer: &Layer<'_>,
    call: &Call<'_>,
    inputs: [&Tensor; 2],
) -> Result<[Option<Rc<Tensor>>; 2], ImportError> {
    let wrong = |mask: &Argument<'_>| {
        layer.call_error(format!(
            "its mask is {}: a list of one for the queries and one for the values is supported",
            mask.shown()
        ))
    };
    let named = |mask: &Argument<'_>| match mask {
        Argument::Tensor(tensor) => Ok(Some(Rc::new(tensor.clone()))),
        other if other.is_null() => Ok(None),
        other => Err(wrong(other)),
    };
    match call.kwargs.get("mask").filter(|mask| !mask.is_null()) {
        None => Ok(inputs.map(|tensor| tensor.mask.clone())),
        // that of the keys, if it is there, is not looked at
        Some(Argument::List(list)) if matches!(list.len(), 2 | 3) => Ok([named(&list[0])?, named(&list[1])?]),
        Some(other) => Err(wrong(other)),
    }
}

/// Outputs of Attention and AdditiveAttention.
fn finish(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    mut scores: String,
    inputs: [&Tensor; 3],
) -> Result<Vec<Tensor>, ImportError> {
    let [query, value, _] = inputs;
    if call.asks("use_causal_mask") || layer.flag("causal", false)? {
        let triangle = causal(context, &scores)?;
        scores = counted(context, &scores, &triangle)?;
    }
    let [of_query, of_value] = masks(layer, call, [query, value])?;
    if let Some(mask) = of_value {
        let mask = mask_along(context, &mask, &[1])?;
        scores = counted(context, &scores, &mask)?;
    }
    let (mut mixture, weights) = mixed(context, &scores, value)?;
    if let Some(mask) = &of_query {
        // steps of the queries that do not count become 0
        let mask = context.writer.cast(mask, DType::F32)?;
        let mask = mask_along(context, &Rc::new(mask), &[2])?;
        mixture = context.writer.graph.node("Mul", &[&mixture, &mask], vec![])?;
    }
    let w = &mut context.writer;
    let shape = vec![query.shape[0], query.shape[1], value.shape[2]];
    let mixture = w.tensor(mixture, Layout::Keras, shape, DType::F32);
    let mut outputs = vec![mixture.masked(of_query)];
    if call.asks("return_attention_scores") {
        let shape = vec![query.shape[0], query.shape[1], value.shape[1]];
        outputs.push(w.tensor(weights, Layout::Keras, shape, DType::F32));
    }
    Ok(outputs)
}

/// Attention: Luong's, by dot products.
pub(super) fn attention<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    if layer.text("score_mode", "dot")? != "dot" {
        return Err(layer.refuse("score_mode", "dot is"));
    }
    let [query, value, key] = three(context, layer, call)?;
    let w = &mut context.writer;
    let (q, k) = (w.keras(&query)?, w.keras(&key)?);
    let turned = w.graph.node("Transpose", &[&k], vec![ints("perm", [0, 2, 1])])?;
    let mut scores = w.graph.node("MatMul", &[&q, &turned], vec![])?;
    if layer.flag("use_scale", false)? {
        let scale = layer.weight("scale", &[])?;
        let scale = context.writer.graph.scalar("scale", scale.values[0]);
        scores = context.writer.graph.node("Mul", &[&scores, &scale], vec![])?;
    }
    finish(context, layer, call, scores, [&query, &value, &key])
}

/// AdditiveAttention: Bahdanau's, by the tanh of sums.
pub(super) fn additive<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let [query, value, key] = three(context, layer, call)?;
    let scale = if layer.flag("use_scale", true)? {
        let size = known(layer, &query, 2)?;
        Some((layer.weight("scale", &[size])?, size))
    } else {
        None
    };
    let w = &mut context.writer;
    let (q, k) = (w.keras(&query)?, w.keras(&key)?);
    let rows = w.graph.ints("axes", &[2]);
    let columns = w.graph.ints("axes", &[1]);
    let q = w.graph.node("Unsqueeze", &[&q, &rows], vec![])?;
    let k = w.graph.node("Unsqueeze", &[&k, &columns], vec![])?;
    let sum = w.graph.node("Add", &[&q, &k], vec![])?;
    let mut terms = w.graph.node("Tanh", &[&sum], vec![])?;
    if let Some((scale, size)) = scale {
        let scale = w.graph.floats("scale", &[size], &scale.values);
        terms = w.graph.node("Mul", &[&terms, &scale], vec![])?;
    }
    let last = w.graph.ints("axes", &[-1]);
    let scores = w
        .graph
        .node("ReduceSum", &[&terms, &last], vec![int("keepdims", 0)])?;
    finish(context, layer, call, scores, [&query, &value, &key])
}

/// A projection of (batch, time, features) to (batch, heads, time, size of a head).
fn heads(
    context: &mut Context,
    layer: &Layer<'_>,
    names: [&str; 2],
    x: &Tensor,
    heads: usize,
    size: usize,
) -> Result<String, ImportError> {
    let part = layer.with_weights(layer.weights.child(&names));
    let features = known(layer, x, 2)?;
    let kernel = part.weight(&format!("{}/kernel", names[0]), &[features, heads, size])?;
    let bias = match layer.flag("use_bias", true)? {
        true => Some(part.weight(&format!("{}/bias", names[0]), &[heads, size])?),
        false => None,
    };
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let kernel = w
        .graph
        .floats(names[0], &[features, heads * size], &kernel.values);
    let mut value = w.graph.node("MatMul", &[&value, &kernel], vec![])?;
    if let Some(bias) = bias {
        let bias = w.graph.floats("bias", &[heads * size], &bias.values);
        value = w.graph.node("Add", &[&value, &bias], vec![])?;
    }
    let shape = w.graph.ints("shape", &[0, 0, heads as i64, size as i64]);
    let value = w.graph.node("Reshape", &[&value, &shape], vec![])?;
    w.graph
        .node("Transpose", &[&value], vec![ints("perm", [0, 2, 1, 3])])
}

/// A mask (batch, time) with axes of length 1 among its own, in the form of scores.
fn mask_along(context: &mut Context, mask: &Rc<Tensor>, axes: &[i64]) -> Result<String, ImportError> {
    let w = &mut context.writer;
    let value = w.keras(mask)?;
    let axes = w.graph.ints("axes", axes);
    w.graph.node("Unsqueeze", &[&value, &axes], vec![])
}

/// Heads of queries; those of keys and values, each of which serves as many of queries; and the sizes of both, and of the result.
struct Heads {
    queries: usize,
    values: usize,
    key_size: usize,
    value_size: usize,
    width: usize,
}

/// MultiHeadAttention over one time axis.
pub(super) fn multi_head<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    if let Some(axes) = layer.integers("attention_axes")?
        && axes != [1]
        && axes != [-2]
    {
        return Err(layer.refuse("attention_axes", "attention along axis 1 is"));
    }
    let inputs = three(context, layer, call)?;
    let (queries, key_size) = (layer.size("num_heads")?, layer.size("key_dim")?);
    let width = match layer.integers("output_shape")?.as_deref() {
        None => known(layer, &inputs[0], 2)?,
        Some([one]) => usize::try_from(*one).unwrap_or(0),
        Some(_) => return Err(layer.refuse("output_shape", "one size is")),
    };
    let sizes = Heads {
        queries,
        values: queries,
        key_size,
        value_size: layer.size_or("value_dim", key_size)?,
        width,
    };
    attend(context, layer, call, inputs, &sizes)
}

/// GroupedQueryAttention: several heads of queries share one of keys and values.
pub(super) fn grouped_query<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let inputs = three(context, layer, call)?;
    let (queries, values) = (layer.size("num_query_heads")?, layer.size("num_key_value_heads")?);
    if !queries.is_multiple_of(values) {
        return Err(layer.refuse("num_key_value_heads", format!("a divisor of {queries} heads is")));
    }
    let size = layer.size("head_dim")?;
    let sizes = Heads {
        queries,
        values,
        key_size: size,
        value_size: size,
        width: known(layer, &inputs[0], 2)?,
    };
    attend(context, layer, call, inputs, &sizes)
}

/// Each of some heads (batch, heads, time, size) for as many of the queries as share it.
fn shared(context: &mut Context, value: String, sizes: &Heads, size: usize) -> Result<String, ImportError> {
    let each = sizes.queries / sizes.values;
    if each == 1 {
        return Ok(value);
    }
    let graph = &mut context.writer.graph;
    let axes = graph.ints("axes", &[2]);
    let value = graph.node("Unsqueeze", &[&value, &axes], vec![])?;
    let times = graph.ints("shape", &[1, 1, each as i64, 1, 1]);
    let value = graph.node("Expand", &[&value, &times], vec![])?;
    let shape = graph.ints("shape", &[0, sizes.queries as i64, -1, size as i64]);
    graph.node("Reshape", &[&value, &shape], vec![])
}

fn attend<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    [query, value, key]: [Tensor; 3],
    sizes: &Heads,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_flag("use_gate", "attention without a gate is")?;
    layer.refuse_any("sliding_window", "attention to all steps is")?;
    let &Heads {
        queries,
        values,
        key_size,
        value_size,
        width,
    } = sizes;
    // Keras scales the queries.
    let q = heads(
        context,
        layer,
        ["query_dense", "_query_dense"],
        &query,
        queries,
        key_size,
    )?;
    let k = heads(
        context,
        layer,
        ["key_dense", "_key_dense"],
        &key,
        values,
        key_size,
    )?;
    let v = heads(
        context,
        layer,
        ["value_dense", "_value_dense"],
        &value,
        values,
        value_size,
    )?;
    let k = shared(context, k, sizes, key_size)?;
    let v = shared(context, v, sizes, value_size)?;
    let out = layer.with_weights(layer.weights.child(&["output_dense", "_output_dense"]));
    let kernel = out.weight("output_dense/kernel", &[queries, value_size, width])?;
    let bias = match layer.flag("use_bias", true)? {
        true => Some(out.weight("output_dense/bias", &[width])?),
        false => None,
    };
    let graph = &mut context.writer.graph;
    // Correctly rounded operations: the same factor wherever it is computed.
    let factor = graph.scalar("scale", (1.0 / (key_size as f64).sqrt()) as f32);
    let q = graph.node("Mul", &[&q, &factor], vec![])?;
    let k = graph.node("Transpose", &[&k], vec![ints("perm", [0, 1, 3, 2])])?;
    let mut scores = graph.node("MatMul", &[&q, &k], vec![])?;
    let mut masks = Vec::new();
    if call.asks("use_causal_mask") {
        masks.push(causal(context, &scores)?);
    }
    // A mask comes with its tensor, or by name.
    for (tensor, name, axes) in [
        (&query, "query_mask", [1, 3]),
        (&value, "value_mask", [1, 2]),
        (&key, "key_mask", [1, 2]),
    ] {
        let named = call.named_tensors(name).into_iter().next().map(Rc::new);
        if let Some(mask) = named.or_else(|| tensor.mask.clone()) {
            masks.push(mask_along(context, &mask, &axes)?);
        }
    }
    if let [mask] = call.named_tensors("attention_mask").as_slice() {
        // (batch, queries, keys), or with heads before queries
        let w = &mut context.writer;
        let mask = w.cast(mask, DType::Bool)?;
        let value = w.keras(&mask)?;
        masks.push(match mask.rank() {
            4 => value,
            _ => {
                let axes = w.graph.ints("axes", &[1]);
                w.graph.node("Unsqueeze", &[&value, &axes], vec![])?
            }
        });
    }
    for mask in masks {
        scores = counted(context, &scores, &mask)?;
    }
    let graph = &mut context.writer.graph;
    let weights = graph.node("Softmax", &[&scores], vec![int("axis", -1)])?;
    let mixture = graph.node("MatMul", &[&weights, &v], vec![])?;
    let mixture = graph.node("Transpose", &[&mixture], vec![ints("perm", [0, 2, 1, 3])])?;
    let shape = graph.ints("shape", &[0, 0, (queries * value_size) as i64]);
    let joined = graph.node("Reshape", &[&mixture, &shape], vec![])?;
    let kernel = graph.floats("output_dense", &[queries * value_size, width], &kernel.values);
    let mut result = graph.node("MatMul", &[&joined, &kernel], vec![])?;
    if let Some(bias) = bias {
        let bias = graph.floats("bias", &[width], &bias.values);
        result = graph.node("Add", &[&result, &bias], vec![])?;
    }
    let w = &mut context.writer;
    let steps: [Dim; 2] = [query.shape[0], query.shape[1]];
    let shape = vec![steps[0], steps[1], Some(width)];
    let mut outputs = vec![w.tensor(result, Layout::Keras, shape, DType::F32)];
    if call.asks("return_attention_scores") {
        let shape = vec![steps[0], Some(queries), steps[1], value.shape[1]];
        outputs.push(w.tensor(weights, Layout::Keras, shape, DType::F32));
    }
    Ok(outputs)
}
