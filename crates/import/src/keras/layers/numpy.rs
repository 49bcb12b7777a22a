//! Operations of `keras.ops` that come from NumPy: they move elements, repeat them, or say where they are.

use super::super::{
    Context,
    call::{Argument, Call},
    config::{Layer, shown, size_of},
    tensor::{Dim, Layout, Tensor, axis_of},
};
use super::{
    core::{known, transpose},
    dtype_name,
    encoding::{MAX_CATEGORIES, vectors},
    operations::{axis, flag, integers, reduced},
};
use crate::{
    ImportError,
    onnx::{int, string},
};
use serde_json::Value as Json;
use synod_model::DType;

/// How many times elements may be repeated: a file of some bytes may name any number.
const MAX_REPEATS: usize = 1 << 20;

/// One of the operations; `None` if it is none of them.
pub(super) fn convert<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    name: &str,
    x: &Tensor,
) -> Result<Option<Tensor>, ImportError> {
    Ok(Some(match name {
        "Argmax" => extreme(context, layer, call, x, "ArgMax")?,
        "Argmin" => extreme(context, layer, call, x, "ArgMin")?,
        "Cumsum" => running_sum(context, layer, call, x)?,
        "Flip" => flipped(context, layer, call, x)?,
        "Isinf" => tested(context, x, "IsInf")?,
        "Isnan" => tested(context, x, "IsNaN")?,
        "Moveaxis" => {
            let from = one_axis(layer, x, "source")?;
            let to = one_axis(layer, x, "destination")?;
            let mut axes: Vec<usize> = (0..x.rank()).filter(|&axis| axis != from).collect();
            axes.insert(to, from);
            transpose(context, x, &axes)?
        }
        "OneHot" => one_hot(context, layer, x)?,
        "OnesLike" => filled(context, layer, x, 1.0)?,
        "Pad" => padded(context, layer, call, x)?,
        "Repeat" => repeated(context, layer, x)?,
        "Std" => {
            let variance = variance(context, layer, call, x)?;
            context.writer.pointwise("Sqrt", &variance, vec![])?
        }
        "Swapaxes" => {
            let mut axes: Vec<usize> = (0..x.rank()).collect();
            axes.swap(one_axis(layer, x, "axis1")?, one_axis(layer, x, "axis2")?);
            transpose(context, x, &axes)?
        }
        "Take" => taken(context, layer, call, x)?,
        "Tile" => tiled(context, layer, x)?,
        "Tril" => triangle(context, layer, x, 0)?,
        "Triu" => triangle(context, layer, x, 1)?,
        "Var" => variance(context, layer, call, x)?,
        "ZerosLike" => filled(context, layer, x, 0.0)?,
        _ => return Ok(None),
    }))
}

fn one_axis(layer: &Layer<'_>, x: &Tensor, option: &str) -> Result<usize, ImportError> {
    match layer.integers(option)?.as_deref() {
        Some([axis]) => axis_of(*axis, x.rank()),
        _ => None,
    }
    .ok_or_else(|| layer.refuse(option, format!("one axis of {} is", x.shown())))
}

/// An axis that must be named: NumPy looks at all elements in a row without.
fn named_axis(layer: &Layer<'_>, call: &Call<'_>, x: &Tensor) -> Result<usize, ImportError> {
    match integers(layer, call, 1, "axis")?.as_deref() {
        Some([axis]) => axis_of(*axis, x.rank()),
        _ => None,
    }
    .ok_or_else(|| layer.refuse("axis", format!("one axis of {} is", x.shown())))
}

fn repetitions(layer: &Layer<'_>, value: &Json) -> Result<usize, ImportError> {
    size_of(value)
        .filter(|times| (1..=MAX_REPEATS).contains(times))
        .ok_or_else(|| layer.refuse("repeats", format!("numbers from 1 to {MAX_REPEATS} are")))
}

/// A test of each element.
fn tested(context: &mut Context, x: &Tensor, op: &str) -> Result<Tensor, ImportError> {
    let x = context.writer.float(x)?;
    let mut result = context.writer.pointwise(op, &x, vec![])?;
    result.dtype = DType::Bool;
    Ok(result)
}

/// Where the first of the greatest or least elements is.
fn extreme(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
    op: &str,
) -> Result<Tensor, ImportError> {
    let axis = named_axis(layer, call, x)?;
    let keep = flag(layer, call, "keepdims")?;
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let attributes = vec![int("axis", axis as i64), int("keepdims", i64::from(keep))];
    let value = w.graph.node(op, &[&value], attributes)?;
    let mut shape = x.shape.clone();
    if keep {
        shape[axis] = Some(1);
    } else {
        shape.remove(axis);
    }
    let place = w.tensor(value, Layout::Keras, shape, DType::I64);
    w.cast(&place, DType::I32)
}

/// The mean square of the distances to the mean.
fn variance(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let x = context.writer.float(x)?;
    let named = integers(layer, call, 1, "axis")?.unwrap_or_else(|| (0..x.rank() as i64).collect());
    let axes: Option<Vec<usize>> = named.iter().map(|&axis| axis_of(axis, x.rank())).collect();
    let axes = axes.ok_or_else(|| layer.refuse("axis", format!("axes of {} are", x.shown())))?;
    let w = &mut context.writer;
    let layout = w.layout(&x);
    let value = w.value(&x);
    let places: Vec<i64> = axes
        .iter()
        .map(|&axis| layout.place(axis, x.rank()) as i64)
        .collect();
    let places = w.graph.ints("axes", &places);
    let mean = w
        .graph
        .node("ReduceMean", &[&value, &places], vec![int("keepdims", 1)])?;
    let distance = w.graph.node("Sub", &[&value, &mean], vec![])?;
    let square = w.graph.node("Mul", &[&distance, &distance], vec![])?;
    let square = w.like(&x, square);
    reduced(context, layer, call, &square, "ReduceMean")
}

fn running_sum(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    layer.refuse_any("dtype", "the dtype of the input is")?;
    let axis = named_axis(layer, call, x)?;
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let axis = w.graph.integer("axis", axis as i64);
    let value = w.graph.node("CumSum", &[&value, &axis], vec![])?;
    Ok(w.tensor(value, Layout::Keras, x.shape.clone(), x.dtype))
}

/// Axes from the end to the beginning.
fn flipped(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let axis = match integers(layer, call, 1, "axis")? {
        None => return Err(layer.refuse("axis", "one axis is")),
        Some(_) => axis_of(axis(layer, call, 0)?, x.rank()),
    };
    let axis = axis.ok_or_else(|| layer.refuse("axis", format!("an axis of {} is", x.shown())))?;
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let [starts, ends, axes, steps] = [
        ("starts", -1),
        ("ends", i64::MIN + 1),
        ("axes", axis as i64),
        ("steps", -1),
    ]
    .map(|(name, number)| w.graph.ints(name, &[number]));
    let value = w
        .graph
        .node("Slice", &[&value, &starts, &ends, &axes, &steps], vec![])?;
    Ok(w.tensor(value, Layout::Keras, x.shape.clone(), x.dtype))
}

/// A constant, or what a mirror at the edge shows, around a tensor.
fn padded(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let mode = match layer.text("mode", "constant")? {
        mode @ ("constant" | "reflect") => mode,
        _ => return Err(layer.refuse("mode", "constant and reflect are")),
    };
    let pair = |value: &Json| -> Option<(usize, usize)> {
        match value.as_array()?.as_slice() {
            [both] => size_of(both).map(|both| (both, both)),
            [before, behind] => Some((size_of(before)?, size_of(behind)?)),
            _ => None,
        }
    };
    let sides = match layer.get("pad_width") {
        Some(Json::Array(list)) if list.len() == x.rank() => list.iter().map(pair).collect(),
        Some(one @ Json::Number(_)) => size_of(one).map(|both| vec![(both, both); x.rank()]),
        _ => None,
    };
    let sides: Vec<(usize, usize)> = sides
        .ok_or_else(|| layer.refuse("pad_width", format!("a pair for each axis of {} is", x.shown())))?;
    let constant = match call.argument(1, "constant_values") {
        None => 0.0,
        Some(argument) => argument
            .number()
            .ok_or_else(|| layer.call_error(format!("constant_values are {}", argument.shown())))?,
    };
    let w = &mut context.writer;
    let x = w.float(x)?;
    let value = w.keras(&x)?;
    let before = sides.iter().map(|side| side.0 as i64);
    let pads: Vec<i64> = before.chain(sides.iter().map(|side| side.1 as i64)).collect();
    let pads = w.graph.ints("pads", &pads);
    let constant = w.graph.scalar("constant", constant as f32);
    let attributes = vec![string("mode", mode)];
    let value = w.graph.node("Pad", &[&value, &pads, &constant], attributes)?;
    let grown = x.shape.iter().zip(&sides);
    let grown = grown.map(|(dim, side)| dim.map(|size| size + side.0 + side.1));
    let grown = grown.collect();
    Ok(w.tensor(value, Layout::Keras, grown, DType::F32))
}

/// The whole so many times along each axis.
fn tiled(context: &mut Context, layer: &Layer<'_>, x: &Tensor) -> Result<Tensor, ImportError> {
    let times = match layer.get("repeats") {
        Some(Json::Array(list)) if list.len() == x.rank() => list.iter(),
        _ => return Err(layer.refuse("repeats", format!("a number for each axis of {} is", x.shown()))),
    };
    let times: Vec<usize> = times
        .map(|value| repetitions(layer, value))
        .collect::<Result<_, _>>()?;
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let repeats: Vec<i64> = times.iter().map(|&times| times as i64).collect();
    let repeats = w.graph.ints("repeats", &repeats);
    let value = w.graph.node("Tile", &[&value, &repeats], vec![])?;
    let shape = x.shape.iter().zip(times);
    let shape = shape
        .map(|(dim, times)| dim.map(|size| size.saturating_mul(times)))
        .collect();
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

/// Each element of an axis so many times.
fn repeated(context: &mut Context, layer: &Layer<'_>, x: &Tensor) -> Result<Tensor, ImportError> {
    let axis = one_axis(layer, x, "axis")?;
    let times = repetitions(layer, layer.get("repeats").unwrap_or(&Json::Null))?;
    if axis == 0 {
        return Err(layer.refuse("axis", "an axis besides the batch is"));
    }
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let behind = w.graph.ints("axes", &[axis as i64 + 1]);
    let value = w.graph.node("Unsqueeze", &[&value, &behind], vec![])?;
    let mut sizes = vec![1; x.rank() + 1];
    sizes[axis + 1] = times as i64;
    let sizes = w.graph.ints("shape", &sizes);
    let value = w.graph.node("Expand", &[&value, &sizes], vec![])?;
    // what is before is copied, what is behind known
    let mut sizes = vec![0; axis];
    sizes.push(-1);
    let mut shape = x.shape.clone();
    shape[axis] = shape[axis].map(|size| size.saturating_mul(times));
    for place in axis + 1..x.rank() {
        sizes.push(known(layer, x, place)? as i64);
    }
    let w = &mut context.writer;
    let sizes = w.graph.ints("shape", &sizes);
    let value = w.graph.node("Reshape", &[&value, &sizes], vec![])?;
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

/// Elements of an axis by their places: a list, or a tensor.
fn taken(
    context: &mut Context,
    layer: &Layer<'_>,
    call: &Call<'_>,
    x: &Tensor,
) -> Result<Tensor, ImportError> {
    let axis = one_axis(layer, x, "axis")?;
    let argument = call
        .argument(1, "indices")
        .ok_or_else(|| layer.call_error("it is called without indices"))?;
    let (places, of_places): (String, Vec<Dim>) = match argument {
        Argument::Tensor(tensor) => {
            let tensor = match tensor.dtype {
                DType::I32 | DType::I64 => tensor.clone(),
                _ => context.writer.cast(tensor, DType::I32)?,
            };
            (context.writer.keras(&tensor)?, tensor.shape.clone())
        }
        other => {
            let places = other
                .integers()
                .ok_or_else(|| layer.call_error(format!("its indices are {}", other.shown())))?;
            let size = known(layer, x, axis)? as i64;
            if let Some(place) = places.iter().find(|place| !(-size..size).contains(*place)) {
                return Err(layer.call_error(format!("{place} is outside axis {axis} of {}", x.shown())));
            }
            let graph = &mut context.writer.graph;
            match other {
                Argument::List(_) => (graph.ints("indices", &places), vec![Some(places.len())]),
                _ => (graph.integer("index", places[0]), vec![]),
            }
        }
    };
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let value = w
        .graph
        .node("Gather", &[&value, &places], vec![int("axis", axis as i64)])?;
    let mut shape = x.shape.clone();
    shape.splice(axis..=axis, of_places);
    Ok(w.tensor(value, Layout::Keras, shape, x.dtype))
}

/// Integers as vectors of zeros with a one at their place; of those without a place, all zeros.
fn one_hot(context: &mut Context, layer: &Layer<'_>, x: &Tensor) -> Result<Tensor, ImportError> {
    layer.refuse_flag("sparse", "dense tensors are")?;
    if layer.integer("axis", -1)? != -1 {
        return Err(layer.refuse("axis", "the last axis is"));
    }
    if let Some(dtype) = layer.get("dtype")
        && dtype_name(dtype) != Some("float32")
    {
        return Err(layer.refuse("dtype", "float32 is"));
    }
    let count = layer.size("num_classes")?;
    if count > MAX_CATEGORIES {
        return Err(layer.refuse("num_classes", format!("numbers up to {MAX_CATEGORIES} are")));
    }
    let value = vectors(context, x, count)?;
    let shape = x.shape.iter().copied().chain([Some(count)]).collect();
    Ok(context.writer.tensor(value, Layout::Keras, shape, DType::F32))
}

/// A tensor of the same shape with one value everywhere.
fn filled(context: &mut Context, layer: &Layer<'_>, x: &Tensor, with: f32) -> Result<Tensor, ImportError> {
    layer.refuse_any("dtype", "the dtype of the input is")?;
    let w = &mut context.writer;
    if x.dtype != DType::F32 {
        return Err(layer.call_error(format!(
            "its input has the type {}, float32 is supported",
            x.dtype
        )));
    }
    let value = w.value(x);
    let shape = w.graph.node("Shape", &[&value], vec![])?;
    let zeros = w.graph.node("ConstantOfShape", &[&shape], vec![])?;
    let zeros = w.like(x, zeros);
    if with == 0.0 {
        return Ok(zeros);
    }
    w.with_scalar("Add", &zeros, with)
}

/// The lower or upper triangle of matrices, the rest zeros.
fn triangle(context: &mut Context, layer: &Layer<'_>, x: &Tensor, upper: i64) -> Result<Tensor, ImportError> {
    if x.rank() < 2 {
        return Err(layer.call_error(format!("{} has no matrices", x.shown())));
    }
    let diagonal = layer.integer("k", 0)?;
    let w = &mut context.writer;
    let value = w.keras(x)?;
    let diagonal = w.graph.integer("k", diagonal);
    let value = w
        .graph
        .node("Trilu", &[&value, &diagonal], vec![int("upper", upper)])?;
    Ok(w.tensor(value, Layout::Keras, x.shape.clone(), x.dtype))
}

/// Products and sums by Einstein's convention, of letters alone.
pub(super) fn einsum<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Tensor, ImportError> {
    let equation = layer.text("subscripts", "")?;
    let refused = || {
        layer.refuse(
            "subscripts",
            "letters for each axis with `->` before the result's are",
        )
    };
    let (inputs, output) = equation.split_once("->").ok_or_else(refused)?;
    let terms: Vec<&str> = inputs.split(',').map(str::trim).collect();
    let tensors = call.tensors();
    if terms.len() != tensors.len() {
        return Err(refused());
    }
    let letters = |term: &str, tensor: &Tensor| {
        term.len() == tensor.rank() && term.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    let mut values = Vec::with_capacity(tensors.len());
    let mut sizes: Vec<(char, Dim)> = Vec::new();
    for (term, tensor) in terms.iter().zip(&tensors) {
        if !letters(term, tensor) {
            return Err(refused());
        }
        let tensor = context.writer.float(tensor)?;
        sizes.extend(term.chars().zip(tensor.shape.iter().copied()));
        values.push(context.writer.keras(&tensor)?);
    }
    let size_of = |letter: char| {
        let mut of_letter = sizes
            .iter()
            .filter(|(of, _)| *of == letter)
            .map(|(_, size)| *size);
        let first = of_letter.next()?;
        Some(first.or_else(|| of_letter.flatten().next()))
    };
    let shape: Option<Vec<Dim>> = output.trim().chars().map(size_of).collect();
    let shape = shape.ok_or_else(|| {
        layer.call_error(format!(
            "{} has a letter in the result that is in no input",
            shown(layer.config.get("subscripts"))
        ))
    })?;
    let w = &mut context.writer;
    let inputs: Vec<&str> = values.iter().map(String::as_str).collect();
    let value = w
        .graph
        .node("Einsum", &inputs, vec![string("equation", equation)])?;
    Ok(w.tensor(value, Layout::Keras, shape, DType::F32))
}
