//! Layers of several inputs.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    tensor::{Dim, Layout, Tensor, axis_of},
};
use super::normalization::to_length_one;
use crate::{
    ImportError,
    onnx::{int, ints},
};
use synod_model::DType;

/// The inputs of a layer as floats, at least so many.
fn inputs(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    least: usize,
) -> Result<Vec<Tensor>, ImportError> {
    let tensors = call.tensors();
    if tensors.len() < least {
        return Err(layer.call_error(format!(
            "it takes {least} inputs or more, the file gives it {}",
            tensors.len()
        )));
    }
    tensors
        .iter()
        .map(|tensor| context.writer.float(tensor))
        .collect()
}

/// Brings tensors to one rank as Keras' layers do: axes of length 1 behind the batch.
fn same_rank(
    context: &mut Context,
    layer: &Layer<'_>,
    tensors: Vec<Tensor>,
) -> Result<Vec<Tensor>, ImportError> {
    let rank = tensors.iter().map(Tensor::rank).max().unwrap_or(0);
    tensors
        .into_iter()
        .map(|tensor| {
            if tensor.rank() == rank {
                return Ok(tensor);
            }
            let added = rank - tensor.rank();
            let w = &mut context.writer;
            let value = w.keras(&tensor)?;
            let axes = w.graph.ints("axes", &(1..=added as i64).collect::<Vec<_>>());
            let value = w.graph.node("Unsqueeze", &[&value, &axes], vec![])?;
            let mut shape = tensor.shape.clone();
            if shape.is_empty() {
                return Err(layer.call_error("an input without dimensions is not supported"));
            }
            shape.splice(1..1, std::iter::repeat_n(Some(1), added));
            Ok(w.tensor(value, Layout::Keras, shape, tensor.dtype))
        })
        .collect()
}

/// The shape of what two shapes of one rank broadcast to.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let padded = |shape: &[Dim]| -> Vec<Dim> {
        std::iter::repeat_n(Some(1), rank - shape.len())
            .chain(shape.iter().copied())
            .collect()
    };
    padded(a)
        .into_iter()
        .zip(padded(b))
        .map(|pair| match pair {
            (Some(1), other) | (other, Some(1)) => Some(other),
            (Some(a), Some(b)) if a != b => None,
            (Some(size), _) | (_, Some(size)) => Some(Some(size)),
            (None, None) => Some(None),
        })
        .collect()
}

/// A binary operator on two tensors, element by element with broadcasting from the right.
pub(super) fn binary(
    context: &mut Context,
    layer: &Layer<'_>,
    op: &str,
    a: &Tensor,
    b: &Tensor,
) -> Result<Tensor, ImportError> {
    let w = &mut context.writer;
    let layout = if a.rank() == b.rank() {
        w.common_layout(&[a.clone(), b.clone()])
    } else {
        Layout::Keras
    };
    let shape = broadcast(&a.shape, &b.shape).ok_or_else(|| {
        layer.call_error(format!(
            "its inputs {} and {} do not broadcast",
            a.shown(),
            b.shown()
        ))
    })?;
    let (x, y) = (w.value_as(a, layout)?, w.value_as(b, layout)?);
    let value = w.graph.node(op, &[&x, &y], vec![])?;
    Ok(w.tensor(value, layout, shape, a.dtype))
}

fn folded<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    op: &str,
) -> Result<Tensor, ImportError> {
    let tensors = inputs(context, layer, call, 1)?;
    let tensors = same_rank(context, layer, tensors)?;
    let mut sum = tensors[0].clone();
    for tensor in &tensors[1..] {
        sum = binary(context, layer, op, &sum, tensor)?;
    }
    Ok(sum)
}

/// Add: from the first input to the last.
pub(super) fn add<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Ok(vec![folded(context, layer, call, "Add")?])
}

/// CustomScaleLayer of InceptionResNetV2: the first input and a multiple of the second.
pub(super) fn scaled_sum<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let inputs = inputs(context, layer, call, 2)?;
    let [first, second] = <[Tensor; 2]>::try_from(inputs).map_err(|other| {
        layer.call_error(format!("it takes two inputs, the file gives it {}", other.len()))
    })?;
    let scale = layer.number("scale", 1.0)?;
    let scaled = context.writer.with_scalar("Mul", &second, scale)?;
    Ok(vec![binary(context, layer, "Add", &first, &scaled)?])
}

/// Multiply
pub(super) fn multiply<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Ok(vec![folded(context, layer, call, "Mul")?])
}

/// Maximum
pub(super) fn maximum<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Ok(vec![folded(context, layer, call, "Max")?])
}

/// Minimum
pub(super) fn minimum<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    Ok(vec![folded(context, layer, call, "Min")?])
}

/// Average: the sum by the number.
pub(super) fn average<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let count = call.tensors().len();
    let sum = folded(context, layer, call, "Add")?;
    Ok(vec![context.writer.with_scalar("Div", &sum, count as f32)?])
}

/// Subtract
pub(super) fn subtract<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    if call.tensors().len() != 2 {
        return Err(layer.call_error("it takes two inputs"));
    }
    Ok(vec![folded(context, layer, call, "Sub")?])
}

/// Concatenate along an axis.
pub(super) fn concatenate<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let tensors = call.tensors();
    Ok(vec![joined(
        context,
        layer,
        &tensors,
        layer.integer("axis", -1)?,
    )?])
}

/// Tensors behind each other along an axis.
pub(super) fn joined(
    context: &mut Context,
    layer: &Layer<'_>,
    tensors: &[Tensor],
    axis: i64,
) -> Result<Tensor, ImportError> {
    let first = tensors
        .first()
        .ok_or_else(|| layer.call_error("it is called without inputs"))?;
    let rank = first.rank();
    let axis = axis_of(axis, rank)
        .ok_or_else(|| layer.call_error(format!("its input {} has no axis {axis}", first.shown())))?;
    if tensors
        .iter()
        .any(|tensor| tensor.rank() != rank || tensor.dtype != first.dtype)
    {
        return Err(
            layer.call_error("its inputs differ in their number of dimensions or in their element types")
        );
    }
    let mut shape = first.shape.clone();
    for tensor in &tensors[1..] {
        for (place, dim) in tensor.shape.iter().enumerate() {
            shape[place] = match (place == axis, shape[place], *dim) {
                (true, a, b) => a.zip(b).and_then(|(a, b)| a.checked_add(b)),
                (false, a, b) => a.or(b),
            };
        }
    }
    let w = &mut context.writer;
    let layout = w.common_layout(tensors);
    let values: Vec<String> = tensors
        .iter()
        .map(|tensor| w.value_as(tensor, layout))
        .collect::<Result<_, _>>()?;
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let place = layout.place(axis, rank) as i64;
    let value = w.graph.node("Concat", &values, vec![int("axis", place)])?;
    Ok(w.tensor(value, layout, shape, first.dtype))
}

/// Dot: products of two inputs along an axis of each, for every sample.
pub(super) fn dot<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let tensors = inputs(context, layer, call, 2)?;
    let [mut x, mut y] =
        <[Tensor; 2]>::try_from(tensors).map_err(|_| layer.call_error("it takes two inputs"))?;
    let axes = match layer.integers("axes")?.as_deref() {
        Some([both]) => [*both, *both],
        Some([a, b]) => [*a, *b],
        _ => return Err(layer.refuse("axes", "an axis, or one of each input is")),
    };
    let axis = |tensor: &Tensor, axis: i64| {
        let found = tensor
            .axis(axis)
            .filter(|&axis| axis > 0 && matches!(tensor.rank(), 2 | 3));
        found.ok_or_else(|| {
            layer.call_error(format!(
                "axis {axis} of its input {} with two or three dimensions is needed",
                tensor.shown()
            ))
        })
    };
    let (a, b) = (axis(&x, axes[0])?, axis(&y, axes[1])?);
    if layer.flag("normalize", false)? {
        x = to_length_one(context, layer, &x, &[a])?;
        y = to_length_one(context, layer, &y, &[b])?;
    }
    let (of_x, of_y) = (x.rank(), y.rank());
    let rest = |tensor: &Tensor, axis: usize| -> Vec<Dim> {
        let others = tensor
            .shape
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(place, _)| *place != axis);
        others.map(|(_, dim)| *dim).collect()
    };
    // (batch, rows, k) times (batch, k, columns)
    let w = &mut context.writer;
    let ones =
        |w: &mut super::super::tensor::Writer, tensor: &Tensor, at: i64| -> Result<String, ImportError> {
            let value = w.keras(tensor)?;
            let axes = w.graph.ints("axes", &[at]);
            w.graph.node("Unsqueeze", &[&value, &axes], vec![])
        };
    let turned = |w: &mut super::super::tensor::Writer, tensor: &Tensor| -> Result<String, ImportError> {
        let value = w.keras(tensor)?;
        w.graph
            .node("Transpose", &[&value], vec![ints("perm", [0, 2, 1])])
    };
    let left = match (of_x, a) {
        (2, _) => ones(w, &x, 1)?,
        (_, 1) => turned(w, &x)?,
        _ => w.keras(&x)?,
    };
    let right = match (of_y, b) {
        (2, _) => ones(w, &y, 2)?,
        (_, 2) => turned(w, &y)?,
        _ => w.keras(&y)?,
    };
    let product = w.graph.node("MatMul", &[&left, &right], vec![])?;
    let mut shape: Vec<Dim> = vec![x.shape[0].or(y.shape[0])];
    let (rows, columns) = (rest(&x, a), rest(&y, b));
    // Axes that were added go again; one stays where nothing else is left.
    let mut gone: Vec<i64> = Vec::new();
    if rows.is_empty() {
        gone.push(1);
    }
    if columns.is_empty() && !rows.is_empty() {
        gone.push(2);
    }
    shape.extend(rows);
    shape.extend(columns);
    if shape.len() == 1 {
        shape.push(Some(1));
    }
    let value = if gone.is_empty() {
        product
    } else {
        let axes = w.graph.ints("axes", &gone);
        w.graph.node("Squeeze", &[&product, &axes], vec![])?
    };
    Ok(vec![w.tensor(value, Layout::Keras, shape, DType::F32)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_broadcast_from_the_right() {
        assert_eq!(
            broadcast(&[None, Some(3)], &[None, Some(1)]),
            Some(vec![None, Some(3)])
        );
        assert_eq!(
            broadcast(&[None, Some(2), Some(3)], &[Some(3)]),
            Some(vec![None, Some(2), Some(3)])
        );
        assert_eq!(broadcast(&[Some(2)], &[Some(3)]), None);
    }
}
