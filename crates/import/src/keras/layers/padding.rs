//! Edges: zeros added, rows and columns cut off.

use super::super::{Context, call::Call, config::Layer, tensor::Tensor};
use super::{DataFormat, core::known, spatial_axes};
use crate::ImportError;
use serde_json::Value as Json;

/// What an option says of each axis: (before, behind). One number is for all, a list of numbers gives both sides of each axis
/// the same (one axis: the two sides), a list of pairs says everything.
fn edges(
    layer: &Layer<'_>,
    option: &str,
    axes: usize,
    default: usize,
) -> Result<Vec<(usize, usize)>, ImportError> {
    let size = super::super::config::size_of;
    let pair = |value: &Json| -> Option<(usize, usize)> {
        match value.as_array()?.as_slice() {
            [before, behind] => Some((size(before)?, size(behind)?)),
            _ => None,
        }
    };
    let read = |value: &Json| -> Option<Vec<(usize, usize)>> {
        match value {
            Json::Array(list) if axes == 1 && list.len() == 2 && list.iter().all(Json::is_number) => {
                Some(vec![pair(value)?])
            }
            Json::Array(list) if list.len() == axes => list
                .iter()
                .map(|item| pair(item).or_else(|| size(item).map(|both| (both, both))))
                .collect(),
            one => size(one).map(|both| vec![(both, both); axes]),
        }
    };
    match layer.get(option) {
        None => Ok(vec![(default, default); axes]),
        Some(value) => read(value).ok_or_else(|| {
            layer.refuse(
                option,
                "one number, one for each axis, or a pair for each axis is",
            )
        }),
    }
}

/// An input with its edges.
struct Edged {
    x: Tensor,
    first: usize,
    edges: Vec<(usize, usize)>,
}

fn edged<'a>(layer: &Layer<'a>, call: &Call<'a>, option: &str) -> Result<Edged, ImportError> {
    let axes = spatial_axes(layer.class);
    let x = call.one_of_rank(layer, axes + 2)?;
    Ok(Edged {
        x,
        first: DataFormat::of(layer)?.first_spatial(),
        edges: edges(layer, option, axes, 1)?,
    })
}

/// ZeroPadding1D, ZeroPadding2D, ZeroPadding3D
pub(super) fn pad<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let Edged { x, first, edges } = edged(layer, call, "padding")?;
    let x = context.writer.float(&x)?;
    let rank = x.rank();
    let mut sides = vec![(0, 0); rank];
    sides[first..first + edges.len()].copy_from_slice(&edges);
    let w = &mut context.writer;
    let layout = w.layout(&x);
    let placed = layout.order(&sides);
    let before = placed.iter().map(|side| side.0 as i64);
    let pads: Vec<i64> = before.chain(placed.iter().map(|side| side.1 as i64)).collect();
    let pads = w.graph.ints("pads", &pads);
    let value = w.graph.node("Pad", &[&w.value(&x), &pads], vec![])?;
    let grown = x
        .shape
        .iter()
        .zip(&sides)
        .map(|(dim, side)| dim.map(|size| size + side.0 + side.1));
    let y = w.tensor(value, layout, grown.collect(), x.dtype);
    w.note_padding(&y, x, sides);
    Ok(vec![y])
}

/// Cropping1D, Cropping2D, Cropping3D
pub(super) fn crop<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    cut(context, layer, edged(layer, call, "cropping")?)
}

/// CenterCrop: the middle of an image that is at least as large as what is left. The odd row or column goes behind.
pub(super) fn center<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one_of_rank(layer, 4)?;
    let x = context.writer.float(&x)?;
    let first = DataFormat::of(layer)?.first_spatial();
    let mut edges = Vec::with_capacity(2);
    for (axis, option) in [(first, "height"), (first + 1, "width")] {
        let left = layer.size(option)?;
        let over = known(layer, &x, axis)?.checked_sub(left).ok_or_else(|| {
            layer.refuse(
                option,
                format!("a size within {} is: a smaller image would be resized", x.shown()),
            )
        })?;
        edges.push((over / 2, over - over / 2));
    }
    cut(context, layer, Edged { x, first, edges })
}

fn cut(
    context: &mut Context,
    layer: &Layer<'_>,
    Edged { x, first, edges }: Edged,
) -> Result<Vec<Tensor>, ImportError> {
    let mut shape = x.shape.clone();
    let (mut starts, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let layout = context.writer.layout(&x);
    for (axis, (before, behind)) in (first..).zip(edges) {
        shape[axis] = match shape[axis] {
            None => None,
            Some(size) => Some(
                size.checked_sub(before + behind)
                    .filter(|&left| left > 0)
                    .ok_or_else(|| {
                        layer.call_error(format!(
                            "of axis {axis} of its input {} nothing is left",
                            x.shown()
                        ))
                    })?,
            ),
        };
        starts.push(before as i64);
        ends.push(if behind == 0 { i64::MAX } else { -(behind as i64) });
        places.push(layout.place(axis, x.rank()) as i64);
    }
    let w = &mut context.writer;
    let [starts, ends, axes] = [("starts", starts), ("ends", ends), ("axes", places)]
        .map(|(name, values)| w.graph.ints(name, &values));
    let value = w
        .graph
        .node("Slice", &[&w.value(&x), &starts, &ends, &axes], vec![])?;
    Ok(vec![w.tensor(value, layout, shape, x.dtype)])
}
