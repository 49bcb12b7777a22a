//! Categories: bins of numbers, and integers as vectors of zeros and ones.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Layout, Tensor},
};
use super::preprocessing::numbers_of;
use crate::{ImportError, onnx::int};
use synod_model::DType;

/// How many categories a layer may tell apart: a file of some bytes may name any number.
pub(super) const MAX_CATEGORIES: usize = 1 << 20;

/// CategoryEncoding: integers below a number, as vectors of that length.
pub(super) fn category<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    if !call.named_tensors("count_weights").is_empty() {
        return Err(layer.call_error("count_weights are not supported"));
    }
    let x = call.one(layer)?;
    if !matches!(
        x.dtype,
        DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8
    ) {
        return Err(layer.call_error(format!(
            "its input has the type {}: give it integers, by dtype=\"int64\" in keras.Input",
            x.dtype
        )));
    }
    let categories = layer.size("num_tokens")?;
    let mode = layer.text("output_mode", "multi_hot")?;
    Ok(vec![encoded(context, layer, &x, categories, mode)?])
}

/// Discretization: how many of the boundaries a number has reached.
pub(super) fn discretization<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let boundaries = numbers_of(layer, "bin_boundaries")?;
    let w = &mut context.writer;
    let x = w.float(&x)?;
    let value = w.keras(&x)?;
    let last = w.graph.ints("axes", &[-1]);
    let value = w.graph.node("Unsqueeze", &[&value, &last], vec![])?;
    let constant = w.graph.floats("boundaries", &[boundaries.len()], &boundaries);
    let reached = w.graph.node("GreaterOrEqual", &[&value, &constant], vec![])?;
    let ones = w.graph.node("Cast", &[&reached], vec![int("to", 7)])?;
    let value = w
        .graph
        .node("ReduceSum", &[&ones, &last], vec![int("keepdims", 0)])?;
    let bins = w.tensor(value, Layout::Keras, x.shape.clone(), DType::I64);
    match layer.text("output_mode", "int")? {
        "int" => Ok(vec![context.writer.cast(&bins, DType::I32)?]),
        mode => Ok(vec![encoded(context, layer, &bins, boundaries.len() + 1, mode)?]),
    }
}

/// Categories as vectors: each its own (`one_hot`), or those of a sample together: whether one is there (`multi_hot`), or how often (`count`).
fn encoded(
    context: &mut Context,
    layer: &Layer<'_>,
    x: &Tensor,
    categories: usize,
    mode: &str,
) -> Result<Tensor, ImportError> {
    layer.refuse_flag("sparse", "dense tensors are")?;
    if categories > MAX_CATEGORIES {
        return Err(ImportError::TooLarge {
            what: format!("layer `{}`: the number of categories", layer.name),
            size: categories as u64,
            limit: MAX_CATEGORIES as u64,
        });
    }
    let reduction = match mode {
        "one_hot" => None,
        "multi_hot" => Some("ReduceMax"),
        "count" => Some("ReduceSum"),
        _ => return Err(layer.refuse("output_mode", "one_hot, multi_hot and count are")),
    };
    let [.., last] = x.shape[..] else {
        return Err(layer.call_error("an input without dimensions is not supported"));
    };
    let alone = last == Some(1) && x.rank() > 1;
    let mut value = vectors(context, x, categories)?;
    let w = &mut context.writer;
    let mut shape = x.shape.clone();
    let of_sample = w.graph.ints("axes", &[-2]);
    match reduction {
        // a lone category's axis becomes that of the vector
        None if alone => {
            value = w.graph.node("Squeeze", &[&value, &of_sample], vec![])?;
            shape.pop();
        }
        None => {}
        Some(op) => {
            value = w
                .graph
                .node(op, &[&value, &of_sample], vec![int("keepdims", 0)])?;
            shape.pop();
        }
    }
    shape.push(Some(categories));
    Ok(w.tensor(value, Layout::Keras, shape, DType::F32))
}

/// Each category as a vector of its own along a new last axis; zeros for what is none.
pub(super) fn vectors(context: &mut Context, x: &Tensor, categories: usize) -> Result<String, ImportError> {
    let w = &mut context.writer;
    let ids = w.cast(x, DType::I64)?;
    let value = w.keras(&ids)?;
    let last = w.graph.ints("axes", &[-1]);
    let value = w.graph.node("Unsqueeze", &[&value, &last], vec![])?;
    let all: Vec<i64> = (0..categories as i64).collect();
    let all = w.graph.ints("categories", &all);
    let equal = w.graph.node("Equal", &[&value, &all], vec![])?;
    w.graph.node("Cast", &[&equal], vec![int("to", 1)])
}
