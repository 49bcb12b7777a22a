//! Attention: dot products of queries with keys decide how values are mixed.

use super::super::{
    Context,
    call::Call,
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

/// Whether a call sets a flag.
fn asks(call: &Call<'_>, name: &str) -> bool {
    matches!(
        call.kwargs.get(name),
        Some(super::super::call::Argument::Value(serde_json::Value::Bool(true)))
    )
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

/// Outputs of Attention and AdditiveAttention.
fn finish(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    mut scores: String,
    inputs: [&Tensor; 3],
) -> Result<Vec<Tensor>, ImportError> {
    let [query, value, _] = inputs;
    if asks(call, "use_causal_mask") || layer.flag("causal", false)? {
        let triangle = causal(context, &scores)?;
        scores = counted(context, &scores, &triangle)?;
    }
    let (mixture, weights) = mixed(context, &scores, value)?;
    let w = &mut context.writer;
    let shape = vec![query.shape[0], query.shape[1], value.shape[2]];
    let mut outputs = vec![w.tensor(mixture, Layout::Keras, shape, DType::F32)];
    if asks(call, "return_attention_scores") {
        let shape = vec![query.shape[0], query.shape[1], value.shape[1]];
        outputs.push(w.tensor(weights, Layout::Keras, shape, DType::F32));
    }
    Ok(outputs)
}

fn refuse_masks(layer: &Layer<'_>, inputs: [&Tensor; 3]) -> Result<(), ImportError> {
    if inputs.iter().any(|tensor| tensor.mask.is_some()) {
        return Err(layer.call_error(
            "masks of its inputs are not supported: use MultiHeadAttention, or drop them before the layer",
        ));
    }
    Ok(())
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
    refuse_masks(layer, [&query, &value, &key])?;
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
    refuse_masks(layer, [&query, &value, &key])?;
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

/// A mask (batch, time) in the form of scores (batch, heads, queries, keys), along queries or keys.
fn mask_along(context: &mut Context, mask: &Rc<Tensor>, axes: [i64; 2]) -> Result<String, ImportError> {
    let w = &mut context.writer;
    let value = w.keras(mask)?;
    let axes = w.graph.ints("axes", &axes);
    w.graph.node("Unsqueeze", &[&value, &axes], vec![])
}

/// MultiHeadAttention over one time axis.
pub(super) fn multi_head<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_flag("use_gate", "attention without a gate is")?;
    layer.refuse_any("sliding_window", "attention to all steps is")?;
    if let Some(axes) = layer.integers("attention_axes")?
        && axes != [1]
        && axes != [-2]
    {
        return Err(layer.refuse("attention_axes", "attention along axis 1 is"));
    }
    let [query, value, key] = three(context, layer, call)?;
    let (count, key_size) = (layer.size("num_heads")?, layer.size("key_dim")?);
    let value_size = layer.size_or("value_dim", key_size)?;
    // Keras scales the queries.
    let q = heads(
        context,
        layer,
        ["query_dense", "_query_dense"],
        &query,
        count,
        key_size,
    )?;
    let k = heads(context, layer, ["key_dense", "_key_dense"], &key, count, key_size)?;
    let v = heads(
        context,
        layer,
        ["value_dense", "_value_dense"],
        &value,
        count,
        value_size,
    )?;
    let out = layer.with_weights(layer.weights.child(&["output_dense", "_output_dense"]));
    let width = match layer.integers("output_shape")?.as_deref() {
        None => known(layer, &query, 2)?,
        Some([one]) => usize::try_from(*one).unwrap_or(0),
        Some(_) => return Err(layer.refuse("output_shape", "one size is")),
    };
    let kernel = out.weight("output_dense/kernel", &[count, value_size, width])?;
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
    if asks(call, "use_causal_mask") {
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
            masks.push(mask_along(context, &mask, axes)?);
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
    let shape = graph.ints("shape", &[0, 0, (count * value_size) as i64]);
    let joined = graph.node("Reshape", &[&mixture, &shape], vec![])?;
    let kernel = graph.floats("output_dense", &[count * value_size, width], &kernel.values);
    let mut result = graph.node("MatMul", &[&joined, &kernel], vec![])?;
    if let Some(bias) = bias {
        let bias = graph.floats("bias", &[width], &bias.values);
        result = graph.node("Add", &[&result, &bias], vec![])?;
    }
    let w = &mut context.writer;
    let steps: [Dim; 2] = [query.shape[0], query.shape[1]];
    let shape = vec![steps[0], steps[1], Some(width)];
    let mut outputs = vec![w.tensor(result, Layout::Keras, shape, DType::F32)];
    if asks(call, "return_attention_scores") {
        let shape = vec![steps[0], Some(count), steps[1], value.shape[1]];
        outputs.push(w.tensor(weights, Layout::Keras, shape, DType::F32));
    }
    Ok(outputs)
}
