//! `x[…]`: elements, slices and new axes, by Python's rules.

use super::super::{
    Context,
    call::{Argument, Call},
    config::{Layer, shown},
    tensor::{Dim, Layout, Tensor},
};
use crate::ImportError;
use serde_json::Value as Json;

/// The longest step of a slice, so that positions can be computed with.
const MAX_STEP: u64 = 1 << 31;

/// What stands for an axis, or for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// One element: the axis goes.
    Index(i64),
    /// From, to, step.
    Slice(Option<i64>, Option<i64>, i64),
    /// As many axes as are left, whole.
    Rest,
    /// An axis of length 1 that was not there.
    New,
}

/// Reads an item as Keras 3 writes it (`{"class_name": "__slice__", "config": {…}}`) or Keras 2 (`{"start": …}`).
fn item(value: &Json) -> Option<Item> {
    let bound = |value: Option<&Json>| match value {
        None | Some(Json::Null) => Some(None),
        Some(value) => value.as_i64().map(Some),
    };
    match value {
        Json::Null => Some(Item::New),
        Json::Number(index) => Some(Item::Index(index.as_i64()?)),
        Json::Object(object) => {
            let slice = match object.get("class_name").and_then(Json::as_str) {
                Some("__ellipsis__") => return Some(Item::Rest),
                Some(_) => object.get("config")?.as_object()?,
                None if object.contains_key("start") => object,
                None => return None,
            };
            let step = bound(slice.get("step"))?.unwrap_or(1);
            (step != 0 && step.unsigned_abs() <= MAX_STEP).then_some(Item::Slice(
                bound(slice.get("start"))?,
                bound(slice.get("stop"))?,
                step,
            ))
        }
        _ => None,
    }
}

/// The items of a key.
fn items(layer: &Layer<'_>, key: &Argument<'_>) -> Result<Vec<Item>, ImportError> {
    let read = |argument: &Argument<'_>| match argument {
        Argument::Value(value) => item(value).ok_or_else(|| {
            layer.call_error(format!(
                "{} in brackets is not supported: numbers, slices, … and None are",
                shown(Some(value))
            ))
        }),
        other => Err(layer.call_error(format!("{} in brackets is not supported", other.shown()))),
    };
    match key {
        Argument::List(list) => list.iter().map(read).collect(),
        one => Ok(vec![read(one)?]),
    }
}

/// From where to where a slice goes over an axis of a known length, and how many elements it has (`slice.indices`).
fn bounds(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> usize {
    let length = length as i64;
    let clamp = |bound: i64, low: i64, high: i64| {
        let bound = if bound < 0 {
            bound.saturating_add(length)
        } else {
            bound
        };
        bound.clamp(low, high)
    };
    let count = if step > 0 {
        let (start, stop) = (
            start.map_or(0, |at| clamp(at, 0, length)),
            stop.map_or(length, |at| clamp(at, 0, length)),
        );
        (stop - start + step - 1) / step
    } else {
        let start = start.map_or(length - 1, |at| clamp(at, -1, length - 1));
        let stop = stop.map_or(-1, |at| clamp(at, -1, length - 1));
        (start - stop - step - 1) / -step
    };
    usize::try_from(count).unwrap_or(0)
}

/// `x[key]`
pub(super) fn get_item<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = match call.args.first() {
        Some(Argument::Tensor(tensor)) => tensor.clone(),
        _ => call.one(layer)?,
    };
    let key = ["key", "slice_spec"]
        .into_iter()
        .find_map(|name| call.args.get(1).or_else(|| call.kwargs.get(name)));
    let key = key.ok_or_else(|| layer.call_error("it is called without what stands in brackets"))?;
    let mut items = items(layer, key)?;
    let taken = items
        .iter()
        .filter(|item| matches!(item, Item::Index(_) | Item::Slice(..)))
        .count();
    let rest = x
        .rank()
        .checked_sub(taken)
        .ok_or_else(|| layer.call_error(format!("more stands in brackets than {} has axes", x.shown())))?;
    let place = items.iter().position(|item| *item == Item::Rest);
    let whole = std::iter::repeat_n(Item::Slice(None, None, 1), rest);
    match place {
        Some(place) => {
            items.splice(place..=place, whole);
        }
        None => items.extend(whole),
    }
    let (mut starts, mut ends, mut axes, mut steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut cut: Vec<Dim> = Vec::new();
    let (mut gone, mut added) = (Vec::new(), Vec::new());
    let mut shape: Vec<Dim> = Vec::new();
    for item in items {
        let axis = cut.len();
        match item {
            Item::Rest => return Err(layer.call_error("two ellipses stand in brackets")),
            Item::New => {
                added.push(shape.len() as i64);
                shape.push(Some(1));
            }
            Item::Index(index) => {
                if let Some(length) = x.shape[axis]
                    && !(-(length as i64)..length as i64).contains(&index)
                {
                    return Err(
                        layer.call_error(format!("element {index} is outside axis {axis} of {}", x.shown()))
                    );
                }
                starts.push(index);
                // Behind the last element counted from the end there is none.
                ends.push(if index == -1 {
                    i64::MAX
                } else {
                    index.saturating_add(1)
                });
                axes.push(axis as i64);
                steps.push(1);
                gone.push(axis as i64);
                cut.push(Some(1));
            }
            Item::Slice(None, None, 1) => {
                cut.push(x.shape[axis]);
                shape.push(x.shape[axis]);
            }
            Item::Slice(start, stop, step) => {
                let size = x.shape[axis].map(|length| bounds(length, start, stop, step));
                if size == Some(0) {
                    return Err(layer.call_error(format!("of axis {axis} of {} nothing is left", x.shown())));
                }
                starts.push(start.unwrap_or(if step > 0 { 0 } else { i64::MAX }));
                ends.push(stop.unwrap_or(if step > 0 { i64::MAX } else { i64::MIN + 1 }));
                axes.push(axis as i64);
                steps.push(step);
                cut.push(size);
                shape.push(size);
            }
        }
    }
    let w = &mut context.writer;
    let mut value = w.keras(&x)?;
    if !axes.is_empty() {
        let parameters = [
            ("starts", starts),
            ("ends", ends),
            ("axes", axes),
            ("steps", steps),
        ]
        .map(|(name, values)| w.graph.ints(name, &values));
        let mut inputs = vec![value.as_str()];
        inputs.extend(parameters.iter().map(String::as_str));
        value = w.graph.node("Slice", &inputs, vec![])?;
    }
    for (op, places) in [("Squeeze", gone), ("Unsqueeze", added)] {
        if !places.is_empty() {
            let places = w.graph.ints("axes", &places);
            value = w.graph.node(op, &[&value, &places], vec![])?;
        }
    }
    Ok(vec![w.tensor(value, Layout::Keras, shape, x.dtype)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_as_long_as_in_python() {
        // len(range(7)[start:stop:step])
        for (start, stop, step, count) in [
            (None, None, 1, 7),
            (Some(1), Some(-1), 2, 3),
            (Some(-3), None, 1, 3),
            (None, None, -1, 7),
            (Some(5), Some(1), -2, 2),
            (Some(9), None, 1, 0),
            (Some(4), Some(2), 1, 0),
        ] {
            assert_eq!(bounds(7, start, stop, step), count, "{start:?}:{stop:?}:{step}");
        }
    }
}
