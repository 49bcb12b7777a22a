//! Inputs brought to scale.

use super::super::{
    Context,
    call::Call,
    config::{Layer, number_of},
    tensor::{Layout, Tensor, axis_of},
};
use super::core::{known, made};
use crate::ImportError;
use serde_json::Value as Json;

/// The least standard deviation that Normalization divides by: Keras' epsilon.
const LEAST_DEVIATION: f32 = 1e-7;

/// Numbers, however deep in lists.
fn numbers(value: &Json, found: &mut Vec<f32>) -> Option<()> {
    match value {
        Json::Array(list) => list.iter().try_for_each(|item| numbers(item, found)),
        one => {
            found.push(number_of(one)? as f32);
            Some(())
        }
    }
}

pub(super) fn numbers_of(layer: &Layer<'_>, option: &str) -> Result<Vec<f32>, ImportError> {
    let mut found = Vec::new();
    let read = layer.get(option).and_then(|value| {
        // Keras 3 wraps arrays: {"class_name": "__numpy__", "config": {"value": …}}
        let value = value
            .get("config")
            .and_then(|config| config.get("value"))
            .unwrap_or(value);
        numbers(value, &mut found)
    });
    read.map(|()| found)
        .ok_or_else(|| layer.refuse(option, "a number, or a list of numbers is"))
}

/// Rescaling: a factor and an offset, for all or for each channel.
pub(super) fn rescaling<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    let mut x = context.writer.float(&x)?;
    for (option, op, neutral) in [("scale", "Mul", 1.0), ("offset", "Add", 0.0)] {
        if layer.get(option).is_none() {
            continue;
        }
        let values = numbers_of(layer, option)?;
        let w = &mut context.writer;
        x = match values.as_slice() {
            [one] if *one == neutral => x,
            [one] => w.with_scalar(op, &x, *one)?,
            many => {
                if x.shape.last().copied().flatten() != Some(many.len()) {
                    return Err(
                        layer.refuse(option, format!("one number for each channel of {} is", x.shown()))
                    );
                }
                let layout = w.layout(&x);
                let constant = w.along_last(option, many, layout, x.rank());
                let value = w.graph.node(op, &[&w.value(&x), &constant], vec![])?;
                w.like(&x, value)
            }
        };
    }
    Ok(vec![x])
}

/// Normalization: (x − mean) / max(√variance, 1e−7), learnt (`adapt`) or given.
pub(super) fn normalization<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    layer.refuse_flag("invert", "undo a normalisation behind the network instead")?;
    let x = call.one(layer)?;
    let x = context.writer.float(&x)?;
    let rank = x.rank();
    // Of an axis that is kept each element has statistics of its own. `axis` null: one for all.
    let axes = match layer.config.get("axis") {
        None => vec![-1],
        Some(Json::Null) => vec![],
        Some(_) => layer.integers("axis")?.unwrap_or_default(),
    };
    let mut kept: Vec<usize> = axes
        .iter()
        .map(|&axis| axis_of(axis, rank).filter(|&axis| axis > 0))
        .collect::<Option<_>>()
        .ok_or_else(|| layer.refuse("axis", format!("an axis of {} besides the first is", x.shown())))?;
    kept.sort_unstable();
    let shape: Vec<usize> = kept
        .iter()
        .map(|&axis| known(layer, &x, axis))
        .collect::<Result<_, _>>()?;
    let count = made(layer, &shape, 0.0)?.len();
    let (mean, variance) = if layer.get("mean").is_some() {
        let spread = |option: &str| -> Result<Vec<f32>, ImportError> {
            match numbers_of(layer, option)? {
                one if one.len() == 1 => Ok(vec![one[0]; count]),
                many if many.len() == count => Ok(many),
                _ => Err(layer.refuse(option, format!("{count} numbers are"))),
            }
        };
        (spread("mean")?, spread("variance")?)
    } else {
        (
            layer.weight("mean", &shape)?.values,
            layer.weight("variance", &shape)?.values,
        )
    };
    let deviation: Vec<f32> = variance
        .iter()
        .map(|variance| {
            let root = variance.sqrt();
            if root > LEAST_DEVIATION {
                root
            } else {
                LEAST_DEVIATION
            }
        })
        .collect();
    let w = &mut context.writer;
    let last_alone = kept.is_empty() || kept == [rank - 1];
    let layout = if last_alone { w.layout(&x) } else { Layout::Keras };
    let value = w.value_as(&x, layout)?;
    let [mean, deviation] = [("mean", mean), ("deviation", deviation)].map(|(name, values)| {
        if kept.is_empty() {
            w.graph.floats(name, &[], &values)
        } else if last_alone {
            w.along_last(name, &values, layout, rank)
        } else {
            let dims: Vec<usize> = (kept[0]..rank)
                .map(|axis| {
                    kept.iter()
                        .position(|&of| of == axis)
                        .map_or(1, |place| shape[place])
                })
                .collect();
            w.graph.floats(name, &dims, &values)
        }
    });
    let value = w.graph.node("Sub", &[&value, &mean], vec![])?;
    let value = w.graph.node("Div", &[&value, &deviation], vec![])?;
    Ok(vec![w.tensor(value, layout, x.shape.clone(), x.dtype)])
}
