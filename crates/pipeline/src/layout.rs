//! The ports of exported graphs, by their names: what goes into each, and where caches come out.

use crate::{Misfit, Role, Task};
use synod_model::{DType, Dim, Model, TensorSignature};

/// What a graph's input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// Tokens, `[batch, length]`.
    Ids,
    /// Ones for the tokens of the text, and what went before, `[batch, all]`.
    Mask,
    /// Zeros, as the ids.
    TypeIds,
    /// Places of the tokens.
    Positions,
    /// What the encoder gave.
    EncoderStates,
    /// Ones for the encoder's tokens.
    EncoderMask,
    /// A picture.
    Pixels,
    /// A part of the cache.
    Past(usize),
}

/// A graph with what its ports mean.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    pub(crate) role: Role,
    pub(crate) model: Model,
    pub(crate) inputs: Vec<(Input, DType)>,
    /// The output with logits, states or the vector.
    pub(crate) result: usize,
    /// For each part of the cache the output that gives it; `None` where it stays as it was.
    pub(crate) present: Vec<Option<usize>>,
}

/// Refuses a port.
fn refuse(role: Role, port: &str, reason: impl Into<String>) -> Misfit {
    Misfit::new(format!("{role}.{port}"), reason.into())
}

impl Graph {
    /// Reads the ports of a graph. `cache` are the names of a cache's parts, as far as they are known.
    pub(crate) fn read(task: Task, role: Role, model: &Model, cache: &[String]) -> Result<Self, Misfit> {
        let signature = model.signature();
        let inputs = signature
            .inputs
            .iter()
            .map(|port| {
                let input = input(task, role, port, cache)?;
                Ok((input, port.dtype))
            })
            .collect::<Result<Vec<_>, Misfit>>()?;
        for (index, (input, _)) in inputs.iter().enumerate() {
            if inputs[..index].iter().any(|(other, _)| other == input) {
                return Err(refuse(
                    role,
                    &signature.inputs[index].name,
                    "two inputs mean the same",
                ));
            }
        }
        let (first, name) = match task {
            Task::ImageClassification => (Input::Pixels, "pixel_values"),
            _ => (Input::Ids, "input_ids"),
        };
        if !inputs.iter().any(|(input, _)| *input == first) {
            return Err(refuse(role, name, "there is no such input"));
        }
        let results: &[&str] = match (task, role) {
            (_, Role::Encoder) => &["last_hidden_state"],
            (Task::FeatureExtraction, _) => &["sentence_embedding", "pooler_output"],
            _ => &["logits"],
        };
        let find = |name: &str| signature.outputs.iter().position(|port| port.name == name);
        let result = results
            .iter()
            .find_map(|name| find(name))
            .ok_or_else(|| refuse(role, results[0], "there is no such output"))?;
        let rank = signature.outputs[result].dims.len();
        let expected = if role == Role::Model { 2 } else { 3 };
        if rank != expected || signature.outputs[result].dtype != DType::F32 {
            let port = &signature.outputs[result];
            let reason = format!(
                "it is {} with {rank} dimensions; expected is float32 with {expected}",
                port.dtype
            );
            return Err(refuse(role, &port.name, reason));
        }
        let present = cache
            .iter()
            .map(|name| find(&format!("present.{name}")))
            .collect();
        Ok(Self {
            role,
            model: model.clone(),
            inputs,
            result,
            present,
        })
    }

    /// The last dimension of the result, which must be fixed.
    pub(crate) fn width(&self) -> Result<usize, Misfit> {
        let port = &self.model.signature().outputs[self.result];
        match port.dims.last() {
            Some(Dim::Fixed(size)) => Ok(*size),
            _ => Err(refuse(self.role, &port.name, "its last dimension is not fixed")),
        }
    }
}

/// The names of a cache's parts: what follows `past_key_values.` in the inputs of the decoder with a past, in their order. Each must be
/// an output of the decoder without one, `present.…`, and of the same type.
pub(crate) fn cache_names(decoder: &Model, with_past: &Model) -> Result<Vec<String>, Misfit> {
    let mut names = Vec::new();
    for port in &with_past.signature().inputs {
        let Some(name) = port.name.strip_prefix(PAST) else {
            continue;
        };
        let given = format!("present.{name}");
        let first = decoder
            .signature()
            .outputs
            .iter()
            .find(|output| output.name == given);
        let Some(first) = first else {
            let reason = format!("the decoder has no output `{given}`");
            return Err(refuse(Role::DecoderWithPast, &port.name, reason));
        };
        let again = with_past
            .signature()
            .outputs
            .iter()
            .find(|output| output.name == given);
        for output in std::iter::once(first).chain(again) {
            if output.dtype != port.dtype || output.dims.len() != 4 || port.dims.len() != 4 {
                let reason = "caches are of one type, with four dimensions, where they go in and out";
                return Err(refuse(Role::DecoderWithPast, &port.name, reason));
            }
        }
        names.push(name.to_owned());
    }
    if names.is_empty() {
        return Err(refuse(
            Role::DecoderWithPast,
            "past_key_values",
            "there is no such input",
        ));
    }
    Ok(names)
}

pub(crate) const PAST: &str = "past_key_values.";

fn input(task: Task, role: Role, port: &TensorSignature, cache: &[String]) -> Result<Input, Misfit> {
    use Role::{Decoder, DecoderWithPast, Encoder, Model};
    let two_sided = task == Task::TextToText;
    let input = match (port.name.as_str(), role) {
        ("pixel_values", Model) if task == Task::ImageClassification => Input::Pixels,
        (name, _) if task == Task::ImageClassification => {
            let reason = "a network that looks at pictures has one input, `pixel_values`";
            return Err(refuse(role, name, reason));
        }
        ("input_ids", _) => Input::Ids,
        ("attention_mask", Encoder | Model) => Input::Mask,
        ("attention_mask", Decoder | DecoderWithPast) if !two_sided => Input::Mask,
        ("token_type_ids", Model) => Input::TypeIds,
        ("position_ids", Decoder | DecoderWithPast | Model) => Input::Positions,
        ("encoder_hidden_states", Decoder | DecoderWithPast) if two_sided => Input::EncoderStates,
        ("encoder_attention_mask", Decoder | DecoderWithPast) if two_sided => Input::EncoderMask,
        (name, DecoderWithPast) if name.starts_with(PAST) => {
            let part = cache.iter().position(|part| *part == name[PAST.len()..]);
            Input::Past(part.ok_or_else(|| refuse(role, name, "it is no part of the cache"))?)
        }
        (name, _) => {
            let reason = format!(
                "an input of this name is not known here, for the task {}",
                task.name()
            );
            return Err(refuse(role, name, reason));
        }
    };
    let (types, rank): (&[DType], usize) = match input {
        Input::Past(_) => return Ok(input),
        Input::EncoderStates => (&[DType::F32], 3),
        Input::Pixels => (&[DType::F32, DType::U8], 4),
        _ => (&[DType::I64, DType::I32], 2),
    };
    if !types.contains(&port.dtype) || port.dims.len() != rank {
        let expected: Vec<String> = types.iter().map(ToString::to_string).collect();
        let reason = format!(
            "it is {} with {} dimensions; expected is {} with {rank}",
            port.dtype,
            port.dims.len(),
            expected.join(" or ")
        );
        return Err(refuse(role, &port.name, reason));
    }
    Ok(input)
}
