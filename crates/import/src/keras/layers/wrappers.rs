//! TimeDistributed.

use super::super::{
    Context,
    call::Call,
    config::Layer,
    model,
    tensor::{Dim, Layout, Tensor, one_free, product},
};
use crate::{ImportError, onnx::int};

/// Whether a layer gives the same for each step, however many there are before its last axis.
fn takes_any_rank(layer: &Layer<'_>) -> bool {
    matches!(
        layer.class,
        "Dense" | "Activation" | "Dropout" | "ReLU" | "LeakyReLU" | "ELU" | "Rescaling" | "Identity"
    )
}

/// TimeDistributed: a layer for each step. Steps become samples, and samples steps again.
pub(super) fn time_distributed<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let x = call.one(layer)?;
    if x.rank() < 3 {
        return Err(layer.call_error(format!(
            "its input has the shape {}, it takes (batch, time, …)",
            x.shown()
        )));
    }
    let inner = layer.inner("layer", layer.weights.child(&["layer"]))?;
    if takes_any_rank(&inner) {
        return super::convert(context, &inner, &Call::of([x]));
    }
    let of_step = &x.shape[2..];
    let samples = x.shape[0]
        .zip(x.shape[1])
        .and_then(|(batch, time)| product(&[Some(batch), Some(time)]));
    let shape: Vec<Dim> = std::iter::once(samples).chain(of_step.iter().copied()).collect();
    let steps = context.writer.reshape(&x, shape)?.ok_or_else(|| {
        layer.call_error(format!(
            "the shape of a step of its input {} is needed: give it in keras.Input",
            x.shown()
        ))
    })?;
    let call = Call::of([steps]);
    let outputs = if model::is_model(inner.class) {
        let weights = inner.weights.clone().into_model(&inner.name)?;
        model::convert_nested(context, &inner, &call, &weights)?
    } else {
        super::convert(context, &inner, &call)?
    };
    let mut all = Vec::with_capacity(outputs.len());
    for output in outputs {
        let shape: Vec<Dim> = x.shape[..2].iter().chain(&output.shape[1..]).copied().collect();
        all.push(if one_free(&shape).is_some() {
            let value = context.writer.keras(&output)?;
            let w = &mut context.writer;
            let sizes = w.graph.ints("shape", &one_free(&shape).unwrap_or_default());
            let value = w.graph.node("Reshape", &[&value, &sizes], vec![])?;
            w.tensor(value, Layout::Keras, shape, output.dtype)
        } else {
            // Neither batch nor time is known: both come from the input as it is called.
            let rest = one_free(&output.shape[1..])
                .filter(|rest| !rest.contains(&-1))
                .ok_or_else(|| {
                    layer.call_error(format!(
                        "the shape of a step's result {} is needed",
                        output.shown()
                    ))
                })?;
            let w = &mut context.writer;
            let value = w.keras(&output)?;
            let from = w.keras(&x)?;
            let steps = w
                .graph
                .node("Shape", &[&from], vec![int("start", 0), int("end", 2)])?;
            let rest = w.graph.ints("shape", &rest);
            let sizes = w.graph.node("Concat", &[&steps, &rest], vec![int("axis", 0)])?;
            let value = w.graph.node("Reshape", &[&value, &sizes], vec![])?;
            w.tensor(value, Layout::Keras, shape, output.dtype)
        });
    }
    Ok(all)
}
