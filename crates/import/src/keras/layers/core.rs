//! Products, look-ups and changes of shape.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Dim, Layout, Tensor, product},
};
use super::{DataFormat, activation};
use crate::{
    ImportError,
    onnx::{int, ints, string},
};
use std::rc::Rc;
use synod_model::DType;

/// What gives its input.
pub(super) fn identity<'a>(
    _context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Ok(vec![call.one(layer)?])
}

/// Lambda: code of Python, which nobody but Python runs.
pub(super) fn lambda<'a>(
    _context: &mut Context,
    layer: &Layer<'a>,
    _call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Err(ImportError::UnsupportedLayer {
        layer: layer.name.clone(),
        class: layer.class.to_owned(),
        advice: "it holds Python's bytecode; write what it computes with layers or keras.ops and save the model again",
    })
}

/// The size of an axis that weights have.
pub(super) fn known(layer: &Layer<'_>, x: &Tensor, axis: usize) -> Result<usize, ImportError> {
    x.shape.get(axis).copied().flatten().ok_or_else(|| {
        layer.call_error(format!(
            "the size of axis {axis} of its input {} is needed and not in the file: give it in keras.Input",
            x.shown()
        ))
    })
}

/// Elements of a constant that no weight gives, at most.
const MAX_MADE: usize = 1 << 24;

/// A constant of one value for each element of a shape, where a layer has no weight: a file of some bytes may name any shape.
pub(super) fn made(layer: &Layer<'_>, shape: &[usize], value: f32) -> Result<Vec<f32>, ImportError> {
    let count = shape
        .iter()
        .try_fold(1usize, |count, &size| count.checked_mul(size));
    match count.filter(|&count| count <= MAX_MADE) {
        Some(count) => Ok(vec![value; count]),
        None => Err(ImportError::TooLarge {
            what: format!("layer `{}`: the number of elements of {shape:?}", layer.name),
            size: count.map_or(u64::MAX, |count| count as u64),
            limit: MAX_MADE as u64,
        }),
    }
}

/// Dense: a product along the last axis.
pub(super) fn dense<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_any("quantization_config", "save the model before quantize()")?;
    layer.refuse_any(
        "lora_rank",
        "merge the adapters first: save the model after loading it without enable_lora",
    )?;
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    if x.rank() < 2 {
        return Err(layer.call_error(format!(
            "its input has the shape {}, it takes two dimensions or more",
            x.shown()
        )));
    }
    let (inputs, units) = (known(layer, &x, x.rank() - 1)?, layer.size("units")?);
    let kernel = layer.weight("kernel", &[inputs, units])?;
    let bias = if layer.flag("use_bias", true)? {
        Some(layer.weight("bias", &[units])?)
    } else {
        None
    };
    let w = &mut context.writer;
    let layout = match w.layout(&x) {
        Layout::ChannelsSecond => Layout::Keras,
        other => other,
    };
    let value = w.value_as(&x, layout)?;
    let kernel = w.graph.floats("kernel", &[inputs, units], &kernel.values);
    let bias = bias.map(|bias| w.graph.floats("bias", &[units], &bias.values));
    let value = match bias {
        Some(bias) if x.rank() == 2 => w.graph.node("Gemm", &[&value, &kernel, &bias], vec![])?,
        Some(bias) => {
            let product = w.graph.node("MatMul", &[&value, &kernel], vec![])?;
            w.graph.node("Add", &[&product, &bias], vec![])?
        }
        None => w.graph.node("MatMul", &[&value, &kernel], vec![])?,
    };
    let mut shape = x.shape.clone();
    shape[x.rank() - 1] = Some(units);
    let y = w.tensor(value, layout, shape, DType::F32);
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}

/// EinsumDense: a product of the input and a kernel by Einstein's convention.
pub(super) fn einsum_dense<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let equation = layer.text("equation", "")?;
    let wrong = || {
        layer.refuse(
            "equation",
            "an equation like `abc,cd->abd` is, with `...` before or behind",
        )
    };
    let (inputs, output) = equation.split_once("->").ok_or_else(wrong)?;
    let (input, kernel) = inputs.split_once(',').ok_or_else(wrong)?;
    // Each letter's size follows from the input or the kernel.
    let letters: Vec<char> = input.replace("...", "").chars().collect();
    let dots = x.rank().checked_sub(letters.len()).ok_or_else(wrong)?;
    let leading = input.starts_with("...");
    let places: Vec<usize> = if leading {
        (dots..x.rank()).collect()
    } else {
        (0..letters.len()).collect()
    };
    let stored = layer
        .weights
        .take_any("kernel", |stored| {
            (stored.len() != kernel.chars().count())
                .then(|| format!("it has the shape {stored:?} for {kernel:?}"))
        })
        .map_err(|error| layer.weight_error(error))?;
    let size_of = |letter: char| -> Option<Dim> {
        if let Some(place) = kernel.chars().position(|of| of == letter) {
            return Some(Some(stored.shape[place]));
        }
        let place = letters.iter().position(|&of| of == letter)?;
        Some(x.shape[places[place]])
    };
    let of_dots: Vec<Dim> = if leading {
        x.shape[..dots].to_vec()
    } else {
        x.shape[letters.len()..].to_vec()
    };
    let mut shape: Vec<Dim> = output
        .replace("...", "")
        .chars()
        .map(size_of)
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    if output.starts_with("...") {
        shape.splice(0..0, of_dots);
    } else if output.ends_with("...") {
        shape.extend(of_dots);
    }
    let w = &mut context.writer;
    let value = w.keras(&x)?;
    let weights = w.graph.floats("kernel", &stored.shape, &stored.values);
    let mut value = w
        .graph
        .node("Einsum", &[&value, &weights], vec![string("equation", equation)])?;
    if let Some(axes) = layer.get("bias_axes").and_then(|axes| axes.as_str()) {
        // The bias has the axes named, in the output's order, and 1 between them.
        let letters = output.replace("...", "");
        let first = letters.chars().position(|letter| axes.contains(letter));
        let mut dims = Vec::new();
        for letter in letters.chars().skip(first.unwrap_or(0)) {
            dims.push(if axes.contains(letter) {
                size_of(letter)
                    .flatten()
                    .ok_or_else(|| layer.refuse("bias_axes", "axes whose size is in the file are"))?
            } else {
                1
            });
        }
        let stored = layer
            .weights
            .take_any("bias", |stored| {
                (without_ones(stored) != without_ones(&dims))
                    .then(|| format!("it has the shape {stored:?}, the layer's options say {dims:?}"))
            })
            .map_err(|error| layer.weight_error(error))?;
        let bias = context.writer.graph.floats("bias", &dims, &stored.values);
        value = context.writer.graph.node("Add", &[&value, &bias], vec![])?;
    }
    let y = context.writer.tensor(value, Layout::Keras, shape, DType::F32);
    Ok(vec![activation::of_option(context, layer, "activation", y)?])
}

/// The sizes of a shape other than 1.
fn without_ones(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&size| size != 1).collect()
}

/// Embedding: a row of a table for each index.
pub(super) fn embedding<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_any("quantization_config", "save the model before quantize()")?;
    let x = call.one(layer)?;
    let (rows, columns) = (layer.size("input_dim")?, layer.size("output_dim")?);
    let table = layer.weight("embeddings", &[rows, columns])?;
    let w = &mut context.writer;
    // Keras takes anything and makes indices of it.
    let indices = match x.dtype {
        DType::I32 | DType::I64 => x.clone(),
        _ => w.cast(&x, DType::I32)?,
    };
    let table = w.graph.floats("embeddings", &[rows, columns], &table.values);
    let value = w.keras(&indices)?;
    let value = w.graph.node("Gather", &[&table, &value], vec![int("axis", 0)])?;
    let shape = x.shape.iter().copied().chain([Some(columns)]).collect();
    let y = w.tensor(value, Layout::Keras, shape, DType::F32);
    if !layer.flag("mask_zero", false)? {
        return Ok(vec![y]);
    }
    let zero = match indices.dtype {
        DType::I64 => w.graph.constant("zero", DType::I64, &[], vec![0; 8].into()),
        _ => w.graph.constant("zero", DType::I32, &[], vec![0; 4].into()),
    };
    let value = w.keras(&indices)?;
    let equal = w.graph.node("Equal", &[&value, &zero], vec![])?;
    let value = w.graph.node("Not", &[&equal], vec![])?;
    let mask = w.tensor(value, Layout::Keras, x.shape.clone(), DType::Bool);
    Ok(vec![y.masked(Some(Rc::new(mask)))])
}

/// ReversibleEmbedding: an Embedding, or with `reverse` the product of a vector with every row of the table.
pub(super) fn reversible_embedding<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let tied = layer.flag("tie_weights", true)?;
    let (rows, columns) = (layer.size("input_dim")?, layer.size("output_dim")?);
    let of_reverse = |layer: &Layer<'_>| layer.weight("reverse_embeddings", &[columns, rows]);
    if !call.asks("reverse") {
        let embedded = embedding(context, layer, call)?;
        if !tied {
            of_reverse(layer)?;
        }
        return Ok(embedded);
    }
    layer.refuse_any("quantization_config", "save the model before quantize()")?;
    layer.refuse_any("reverse_dtype", "the dtype of the layer is")?;
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    if x.rank() < 2 || known(layer, &x, x.rank() - 1)? != columns {
        return Err(layer.call_error(format!(
            "its input {} does not have {columns} elements along the last axis",
            x.shown()
        )));
    }
    let table = layer.weight("embeddings", &[rows, columns])?;
    let w = &mut context.writer;
    let table = match tied {
        true => {
            let table = w.graph.floats("embeddings", &[rows, columns], &table.values);
            w.graph.node("Transpose", &[&table], vec![ints("perm", [1, 0])])?
        }
        false => {
            let table = of_reverse(layer)?;
            w.graph
                .floats("reverse_embeddings", &[columns, rows], &table.values)
        }
    };
    let value = w.keras(&x)?;
    let value = w.graph.node("MatMul", &[&value, &table], vec![])?;
    let mut shape = x.shape.clone();
    shape[x.rank() - 1] = Some(rows);
    let mut logits = w.tensor(value, Layout::Keras, shape, DType::F32);
    if let Some(cap) = layer.number_if_any("logit_soft_cap")? {
        logits = w.with_scalar("Div", &logits, cap)?;
        logits = w.pointwise("Tanh", &logits, vec![])?;
        logits = w.with_scalar("Mul", &logits, cap)?;
    }
    Ok(vec![logits])
}

/// Masking: steps all of whose elements have one value do not count, and become 0.
pub(super) fn masking<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let w = &mut context.writer;
    let x = w.float(&x)?;
    let masked = layer.number("mask_value", 0.0)?;
    let value = w.keras(&x)?;
    let constant = w.graph.scalar("mask_value", masked);
    let equal = w.graph.node("Equal", &[&value, &constant], vec![])?;
    let differs = w.graph.node("Not", &[&equal], vec![])?;
    // "Any" is a maximum of zeros and ones.
    let ones = w.graph.node("Cast", &[&differs], vec![int("to", 1)])?;
    let axes = w.graph.ints("axes", &[-1]);
    let any = w
        .graph
        .node("ReduceMax", &[&ones, &axes], vec![int("keepdims", 1)])?;
    let counts = w.graph.node("Cast", &[&any], vec![int("to", 9)])?;
    let zero = w.graph.scalar("zero", 0.0);
    let kept = w.graph.node("Where", &[&counts, &value, &zero], vec![])?;
    let mask = w.graph.node("Squeeze", &[&counts, &axes], vec![])?;
    let steps = x.shape[..x.rank() - 1].to_vec();
    let mask = w.tensor(mask, Layout::Keras, steps, DType::Bool);
    let y = w.tensor(kept, Layout::Keras, x.shape.clone(), DType::F32);
    Ok(vec![y.masked(Some(Rc::new(mask)))])
}

/// Flatten: all axes but the first as one, channels last.
pub(super) fn flatten<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let x = match DataFormat::of(layer)? {
        // Keras moves channels last before it flattens.
        DataFormat::ChannelsFirst if x.rank() > 2 => {
            let axes: Vec<usize> = [0].into_iter().chain(2..x.rank()).chain([1]).collect();
            transpose(context, &x, &axes)?
        }
        _ => x,
    };
    let shape = vec![
        x.shape[0],
        if x.rank() == 1 {
            Some(1)
        } else {
            product(&x.shape[1..])
        },
    ];
    reshaped(context, layer, &x, shape)
}

/// Another shape, or an error that says why ONNX cannot state it.
fn reshaped(
    context: &mut Context,
    layer: &Layer<'_>,
    x: &Tensor,
    shape: Vec<Dim>,
) -> Result<Vec<Tensor>, ImportError> {
    let reshaped = context.writer.reshape(x, shape)?;
    let y = reshaped.ok_or_else(|| {
        layer.call_error(format!(
            "its input {} has several dimensions that only a call tells, so the result's shape cannot be written down",
            x.shown()
        ))
    })?;
    Ok(vec![y])
}

/// Moves axes: axis i of the result is axis `axes[i]`.
pub(super) fn transpose(context: &mut Context, x: &Tensor, axes: &[usize]) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    let shape = axes.iter().map(|&axis| x.shape[axis]).collect();
    if axes.is_sorted() {
        return Ok(x.clone());
    }
    let value = w.keras(x)?;
    let perm = ints("perm", axes.iter().map(|&axis| axis as i64));
    let value = w.graph.node("Transpose", &[&value], vec![perm])?;
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

/// Reshape
pub(super) fn reshape<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let target = layer.integers("target_shape")?.unwrap_or_default();
    let shape = target_shape(&x.shape[1..], &target).ok_or_else(|| {
        layer.call_error(format!(
            "its input {} does not take the shape {target:?}",
            x.shown()
        ))
    })?;
    reshaped(
        context,
        layer,
        &x,
        std::iter::once(x.shape[0]).chain(shape).collect(),
    )
}

/// The dimensions that a target shape with at most one −1 means.
pub(super) fn target_shape(from: &[Dim], target: &[i64]) -> Option<Vec<Dim>> {
    let known: Vec<Dim> = target.iter().map(|&size| usize::try_from(size).ok()).collect();
    if target.iter().any(|&size| size < -1) || known.iter().filter(|size| size.is_none()).count() > 1 {
        return None;
    }
    let given: Vec<Dim> = known.iter().copied().filter(Option::is_some).collect();
    let given = product(&given)?;
    let all = product(from);
    let free = match all {
        Some(all) if given > 0 && all % given == 0 => Some(all / given),
        Some(_) if known.iter().any(Option::is_none) => return None,
        _ => None,
    };
    if known.iter().all(Option::is_some) && all.is_some_and(|all| all != given) {
        return None;
    }
    Some(known.into_iter().map(|size| size.or(free)).collect())
}

/// Permute: axes counted from 1.
pub(super) fn permute<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let dims = layer.integers("dims")?.unwrap_or_default();
    let axes: Vec<usize> = std::iter::once(0)
        .chain(dims.iter().filter_map(|&axis| usize::try_from(axis).ok()))
        .collect();
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.rank()) {
        return Err(layer.refuse("dims", format!("an order of the axes of {} is", x.shown())));
    }
    Ok(vec![transpose(context, &x, &axes)?])
}

/// RepeatVector: a vector for each of n steps.
pub(super) fn repeat_vector<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one_of_rank(layer, 2)?;
    let count = layer.size("n")?;
    let w = &mut context.writer;
    let value = w.value(&x);
    let axes = w.graph.ints("axes", &[1]);
    let value = w.graph.node("Unsqueeze", &[&value, &axes], vec![])?;
    let shape = w.graph.ints("shape", &[1, count as i64, 1]);
    let value = w.graph.node("Expand", &[&value, &shape], vec![])?;
    Ok(vec![w.tensor(
        value,
        Layout::Keras,
        vec![x.shape[0], Some(count), x.shape[1]],
        x.dtype,
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_size_follows_from_the_others() {
        let from = [Some(4), Some(6)];
        assert_eq!(target_shape(&from, &[-1, 3]), Some(vec![Some(8), Some(3)]));
        assert_eq!(target_shape(&from, &[24]), Some(vec![Some(24)]));
        assert_eq!(target_shape(&from, &[-1, 5]), None);
        assert_eq!(target_shape(&from, &[5, 5]), None);
        assert_eq!(target_shape(&from, &[-1, -1]), None);
        assert_eq!(
            target_shape(&[None, Some(2)], &[-1, 4]),
            Some(vec![None, Some(4)])
        );
    }
}
