//! What a layer is called with: tensors and values, as Keras 3 and Keras 2 write them down.

use super::{
    config::{Layer, number_of, shown},
    tensor::Tensor,
};
use crate::ImportError;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

/// An output of a call of a layer: the layer's name, the number of the call, the number of the output.
pub(crate) type Reference<'a> = (&'a str, usize, usize);

/// An argument as it is written.
#[derive(Debug)]
pub(crate) enum Written<'a> {
    Reference(Reference<'a>),
    Value(&'a Json),
    List(Vec<Written<'a>>),
}

/// Arguments as they are written.
#[derive(Debug, Default)]
pub(crate) struct WrittenCall<'a> {
    pub(crate) args: Vec<Written<'a>>,
    pub(crate) kwargs: BTreeMap<&'a str, Written<'a>>,
}

/// An argument.
#[derive(Debug)]
pub(crate) enum Argument<'a> {
    Tensor(Tensor),
    Value(&'a Json),
    List(Vec<Argument<'a>>),
}

/// The arguments of a call.
#[derive(Debug, Default)]
pub(crate) struct Call<'a> {
    pub(crate) args: Vec<Argument<'a>>,
    pub(crate) kwargs: BTreeMap<&'a str, Argument<'a>>,
}

impl<'a> Written<'a> {
    /// Reads an argument of Keras 3.
    fn read(value: &'a Json) -> Self {
        match value {
            Json::Array(list) => Self::List(list.iter().map(Self::read).collect()),
            Json::Object(object) => match object.get("class_name").and_then(Json::as_str) {
                Some("__keras_tensor__") => object
                    .get("config")
                    .and_then(|config| config.get("keras_history"))
                    .and_then(reference)
                    .map_or(Self::Value(value), Self::Reference),
                Some("__tuple__") => match object.get("items").and_then(Json::as_array) {
                    Some(items) => Self::List(items.iter().map(Self::read).collect()),
                    None => Self::Value(value),
                },
                _ => Self::Value(value),
            },
            _ => Self::Value(value),
        }
    }

    /// Reads a named argument of Keras 2, where references are lists.
    fn read_legacy(value: &'a Json) -> Self {
        match (reference(value), value) {
            (Some(found), _) => Self::Reference(found),
            (None, Json::Array(list)) => Self::List(list.iter().map(Self::read_legacy).collect()),
            _ => Self::Value(value),
        }
    }

    /// Reads the list of a model's inputs or outputs: a reference, a list or a dictionary of them.
    pub(crate) fn read_ends(value: &'a Json) -> Self {
        match (reference(value), value) {
            (Some(found), _) => Self::Reference(found),
            (None, Json::Array(list)) => Self::List(list.iter().map(Self::read_ends).collect()),
            // As Keras flattens dictionaries: by their keys, whatever order the file has them in.
            (None, Json::Object(object)) => {
                let by_key: BTreeMap<_, _> = object.iter().collect();
                Self::List(by_key.into_values().map(Self::read_ends).collect())
            }
            _ => Self::Value(value),
        }
    }

    /// Every reference, in order.
    pub(crate) fn references(&self, found: &mut Vec<Reference<'a>>) {
        match self {
            Self::Reference(reference) => found.push(*reference),
            Self::Value(_) => {}
            Self::List(list) => list.iter().for_each(|item| item.references(found)),
        }
    }

    fn resolve(
        &self,
        tensor: &mut impl FnMut(Reference<'a>) -> Result<Tensor, ImportError>,
    ) -> Result<Argument<'a>, ImportError> {
        Ok(match self {
            Self::Reference(reference) => Argument::Tensor(tensor(*reference)?),
            Self::Value(value) => Argument::Value(value),
            Self::List(list) => {
                let items: Result<Vec<_>, _> = list.iter().map(|item| item.resolve(tensor)).collect();
                Argument::List(items?)
            }
        })
    }
}

/// `[layer, call, output]`, perhaps with more behind.
fn reference(value: &Json) -> Option<Reference<'_>> {
    match value.as_array()?.as_slice() {
        [layer, call, output, ..] => {
            let number = |value: &Json| usize::try_from(value.as_u64()?).ok();
            Some((layer.as_str()?, number(call)?, number(output)?))
        }
        _ => None,
    }
}

impl<'a> WrittenCall<'a> {
    /// Reads an entry of `inbound_nodes`.
    pub(crate) fn read(node: &'a Json) -> Option<Self> {
        match node {
            Json::Object(node) => {
                let args = node.get("args")?.as_array()?;
                let kwargs = node.get("kwargs").and_then(Json::as_object);
                Some(Self {
                    args: args.iter().map(Written::read).collect(),
                    kwargs: named(kwargs, Written::read),
                })
            }
            Json::Array(entries) => Self::read_legacy(node, entries),
            _ => None,
        }
    }

    /// An entry of Keras 2: inputs, each a reference with the named arguments behind; a lone input without a list around it.
    fn read_legacy(node: &'a Json, entries: &'a [Json]) -> Option<Self> {
        let entries = if entries.first().is_some_and(Json::is_string) {
            std::slice::from_ref(node)
        } else {
            entries
        };
        let mut args = Vec::new();
        let mut kwargs = BTreeMap::new();
        for entry in entries {
            let parts = entry.as_array()?;
            kwargs.extend(named(
                parts.get(3).and_then(Json::as_object),
                Written::read_legacy,
            ));
            args.push(match (parts.first()?.as_str()?, reference(entry)) {
                ("_CONSTANT_VALUE", _) => Written::Value(parts.get(2)?),
                (_, Some(found)) => Written::Reference(found),
                _ => return None,
            });
        }
        if args.len() > 1 {
            args = vec![Written::List(args)];
        }
        Some(Self { args, kwargs })
    }

    /// Every reference.
    pub(crate) fn references(&self) -> Vec<Reference<'a>> {
        let mut found = Vec::new();
        let arguments = self.args.iter().chain(self.kwargs.values());
        arguments.for_each(|argument| argument.references(&mut found));
        found
    }

    /// The arguments, each reference looked up.
    pub(crate) fn resolve(
        &self,
        mut tensor: impl FnMut(Reference<'a>) -> Result<Tensor, ImportError>,
    ) -> Result<Call<'a>, ImportError> {
        let args: Result<Vec<_>, _> = self.args.iter().map(|arg| arg.resolve(&mut tensor)).collect();
        let kwargs: Result<BTreeMap<_, _>, ImportError> = self
            .kwargs
            .iter()
            .map(|(&name, arg)| Ok((name, arg.resolve(&mut tensor)?)))
            .collect();
        Ok(Call {
            args: args?,
            kwargs: kwargs?,
        })
    }
}

fn named<'a>(
    kwargs: Option<&'a Map<String, Json>>,
    read: impl Fn(&'a Json) -> Written<'a>,
) -> BTreeMap<&'a str, Written<'a>> {
    kwargs
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), read(value)))
        .collect()
}

impl<'a> Argument<'a> {
    /// A value as a number.
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Value(value) => number_of(value),
            _ => None,
        }
    }

    /// A value as an integer.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Self::Value(value) => value.as_i64(),
            _ => None,
        }
    }

    /// Integers: one, or a list.
    pub(crate) fn integers(&self) -> Option<Vec<i64>> {
        match self {
            Self::List(list) => list.iter().map(Self::integer).collect(),
            one => one.integer().map(|one| vec![one]),
        }
    }

    /// Every tensor, in order.
    fn tensors(&self, found: &mut Vec<Tensor>) {
        match self {
            Self::Tensor(tensor) => found.push(tensor.clone()),
            Self::Value(_) => {}
            Self::List(list) => list.iter().for_each(|item| item.tensors(found)),
        }
    }

    /// Whether it is absent in effect: null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Value(Json::Null))
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Tensor(tensor) => format!("a tensor {}", tensor.shown()),
            Self::Value(value) => shown(Some(value)),
            Self::List(list) => format!("a list of {}", list.len()),
        }
    }
}

impl<'a> Call<'a> {
    /// A call with these tensors.
    pub(crate) fn of(tensors: impl IntoIterator<Item = Tensor>) -> Self {
        Self {
            args: tensors.into_iter().map(Argument::Tensor).collect(),
            kwargs: BTreeMap::new(),
        }
    }

    /// An argument by its place or name.
    pub(crate) fn argument(&self, place: usize, name: &str) -> Option<&Argument<'a>> {
        self.args
            .get(place)
            .or_else(|| self.kwargs.get(name))
            .filter(|argument| !argument.is_null())
    }

    /// The tensors among the arguments by place, lists included.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        let mut found = Vec::new();
        self.args.iter().for_each(|argument| argument.tensors(&mut found));
        found
    }

    /// The tensors of a named argument, lists included.
    pub(crate) fn named_tensors(&self, name: &str) -> Vec<Tensor> {
        let mut found = Vec::new();
        if let Some(argument) = self.kwargs.get(name) {
            argument.tensors(&mut found);
        }
        found
    }

    /// Whether it sets a flag.
    pub(crate) fn asks(&self, name: &str) -> bool {
        matches!(self.kwargs.get(name), Some(Argument::Value(Json::Bool(true))))
    }

    /// The only tensor.
    pub(crate) fn one(&self, layer: &Layer<'_>) -> Result<Tensor, ImportError> {
        let mut tensors = self.tensors();
        if tensors.is_empty() {
            // Keras' layers call their first argument so.
            tensors = ["inputs", "x", "sequences"]
                .into_iter()
                .flat_map(|name| self.named_tensors(name))
                .collect();
        }
        match tensors.len() {
            1 => Ok(tensors.remove(0)),
            count => Err(layer.call_error(format!("it takes one input, the file gives it {count}"))),
        }
    }

    /// The only tensor, which must have this many axes.
    pub(crate) fn one_of_rank(&self, layer: &Layer<'_>, rank: usize) -> Result<Tensor, ImportError> {
        let tensor = self.one(layer)?;
        if tensor.rank() != rank {
            return Err(layer.call_error(format!(
                "its input has the shape {}, it takes {rank} dimensions",
                tensor.shown()
            )));
        }
        Ok(tensor)
    }
}
