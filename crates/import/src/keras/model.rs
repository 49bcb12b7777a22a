//! Sequential and Functional models: layers in the order in which their inputs are there.

use super::{
    Context, Converted,
    archive::Opened,
    call::{Call, Reference, Written, WrittenCall},
    config::{Layer, check_origin, object, shown, size_of, text},
    layers,
    tensor::{Dim, Layout, Tensor},
    weights::{LayerWeights, ModelWeights},
};
use crate::ImportError;
use serde_json::{Map, Value as Json};
use std::collections::{BTreeMap, BTreeSet};
use synod_model::DType;

/// Dimensions of an input, at most.
const MAX_RANK: usize = synod_model::limits::MAX_RANK;

/// Characters of a layer's name with those of the models around it, at most: every value's name begins with it.
const MAX_NAME: usize = 1024;

/// Calls of layers, at most: models that call each other twice would otherwise multiply without end.
const MAX_CALLS: usize = synod_model::limits::MAX_NODES;

/// Classes of models that say what their layers are.
pub(crate) fn is_model(class: &str) -> bool {
    matches!(class, "Functional" | "Model" | "Sequential")
}

/// Whether a description is of an operation of `keras.ops` rather than of a layer: some have the same names. An `.h5` file does not
/// say where a class is from, but every layer may be trained, or is known and has an element type (which Cast has too).
fn is_operation(class: &str, described: &Map<String, Json>, config: &Map<String, Json>) -> bool {
    match described.get("module").and_then(Json::as_str) {
        Some(module) => module.contains(".ops."),
        None => {
            let known = layers::is_layer(class) && config.contains_key("dtype");
            let keys = ["trainable", "batch_shape", "batch_input_shape"];
            !is_model(class) && !known && !keys.iter().any(|key| config.contains_key(*key))
        }
    }
}

/// A layer as a model describes it.
struct Described<'a> {
    name: &'a str,
    class: &'a str,
    /// Whether it is an operation of `keras.ops`.
    operation: bool,
    config: &'a Map<String, Json>,
    /// What it is called with, call by call.
    calls: Vec<WrittenCall<'a>>,
    weights: LayerWeights<'a>,
}

/// A model within its surroundings.
struct Surroundings<'a, 'w> {
    /// What names of layers begin with.
    prefix: String,
    /// The model's own name.
    name: String,
    version: u32,
    weights: &'w ModelWeights<'a>,
}

/// Converts the model of a file; returns its name, and its outputs by name.
pub(super) fn convert_root(
    context: &mut Context,
    opened: &Opened,
) -> Result<(String, Vec<(String, Tensor)>), ImportError> {
    let described = object("the model", &opened.config)?;
    let class = text("the model", "class_name", described)?;
    let config = described.get("config").unwrap_or(&Json::Null);
    let name = config
        .get("name")
        .and_then(Json::as_str)
        .unwrap_or("model")
        .to_owned();
    let weights = opened.store.root()?;
    let surroundings = Surroundings {
        prefix: String::new(),
        name: name.clone(),
        version: opened.version,
        weights: &weights,
    };
    let outputs = surroundings.convert(context, class, described, config, None)?;
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let named = outputs
        .iter()
        .map(|(layer, tensor)| {
            let count = seen.entry(layer).or_default();
            let name = if *count == 0 {
                layer.clone()
            } else {
                format!("{layer}_{count}")
            };
            *count += 1;
            (name, tensor.clone())
        })
        .collect();
    Ok((name, named))
}

/// Converts a model that is called as a layer.
pub(crate) fn convert_nested<'a>(
    context: &mut Context,
    layer: &Layer<'a>,
    call: &Call<'a>,
    weights: &ModelWeights<'a>,
) -> Result<Vec<Tensor>, ImportError> {
    let surroundings = Surroundings {
        prefix: format!("{}/", layer.name),
        name: layer.name.clone(),
        version: layer.version,
        weights,
    };
    // The layer's options are the model's description.
    let config = layer.config;
    let mut inputs = call.tensors();
    if inputs.is_empty() {
        inputs = call.named_tensors("inputs");
    }
    let outputs = match layer.class {
        "Sequential" => surroundings.sequential(context, config, config.get("layers"), Some(inputs))?,
        _ => surroundings.functional(context, config, Some(inputs))?,
    };
    Ok(outputs.into_iter().map(|(_, tensor)| tensor).collect())
}

impl<'a> Surroundings<'a, '_> {
    fn convert(
        &self,
        context: &mut Context,
        class: &'a str,
        described: &'a Map<String, Json>,
        config: &'a Json,
        inputs: Option<Vec<Tensor>>,
    ) -> Result<Vec<(String, Tensor)>, ImportError> {
        match (class, config) {
            // Keras before 2.2.3 wrote the list alone.
            ("Sequential", Json::Array(_)) => self.sequential(context, described, Some(config), inputs),
            ("Sequential", Json::Object(options)) => {
                self.sequential(context, options, options.get("layers"), inputs)
            }
            ("Functional" | "Model", Json::Object(options)) if options.contains_key("layers") => {
                self.functional(context, options, inputs)
            }
            _ => Err(ImportError::UnsupportedLayer {
                layer: self.name.clone(),
                class: class.to_owned(),
                advice: "only Sequential and Functional models say in the file what they compute; build this one with \
                         keras.Model(inputs, outputs) and save that",
            }),
        }
    }

    fn error(&self, why: impl Into<String>) -> ImportError {
        ImportError::Graph {
            model: self.name.clone(),
            why: why.into(),
        }
    }

    /// The descriptions of layers, with their weights.
    fn described(&self, layers: Option<&'a Json>) -> Result<Vec<Described<'a>>, ImportError> {
        let layers = layers
            .and_then(Json::as_array)
            .ok_or_else(|| ImportError::Config {
                place: format!("model `{}`, layers", self.name),
                expected: "a list",
                got: shown(layers),
            })?;
        let mut all = Vec::with_capacity(layers.len());
        for (index, described) in layers.iter().enumerate() {
            let place = format!("model `{}`, layer {index}", self.name);
            let described = object(&place, described)?;
            let class = text(&place, "class_name", described)?;
            let config = described.get("config").unwrap_or(&Json::Null);
            let config = object(&format!("{place}: config"), config)?;
            let name = match described.get("name").and_then(Json::as_str) {
                Some(name) => name,
                None => text(&format!("{place}: config"), "name", config)?,
            };
            check_origin(&format!("{}{name}", self.prefix), class, described)?;
            let calls = described.get("inbound_nodes").and_then(Json::as_array);
            let calls: Option<Vec<WrittenCall<'_>>> =
                calls.into_iter().flatten().map(WrittenCall::read).collect();
            let calls = calls.ok_or_else(|| {
                self.error(format!(
                    "the inputs of layer `{name}` are not written as Keras 2 or 3 write them"
                ))
            })?;
            let operation = is_operation(class, described, config);
            // Operations are no layers: they are not counted among those of a class.
            let counted = if operation { "" } else { class };
            let weights = self.weights.layer(name, counted)?;
            all.push(Described {
                name,
                class,
                operation,
                config,
                calls,
                weights,
            });
        }
        Ok(all)
    }

    /// Converts a call of a layer.
    fn call(
        &self,
        context: &mut Context,
        described: &Described<'a>,
        number: usize,
        call: &Call<'a>,
    ) -> Result<Vec<Tensor>, ImportError> {
        let repeated = if number == 0 {
            String::new()
        } else {
            format!(":{number}")
        };
        let layer = Layer {
            name: format!("{}{}", self.prefix, described.name),
            class: described.class,
            operation: described.operation,
            config: described.config,
            version: self.version,
            weights: described.weights.again(),
        };
        let name = format!("{}{repeated}", layer.name);
        for (what, size, limit) in [
            ("the length of a layer's name", name.len(), MAX_NAME),
            ("the number of calls of layers", context.calls.len(), MAX_CALLS),
        ] {
            if size > limit {
                return Err(ImportError::TooLarge {
                    what: what.to_owned(),
                    size: size as u64,
                    limit: limit as u64,
                });
            }
        }
        let outside = context.writer.graph.enter(name.clone());
        let outputs = if is_model(layer.class) {
            let weights = self.weights.model(described.name, layer.weights.clone())?;
            convert_nested(context, &layer, call, &weights)?
        } else {
            layers::convert(context, &layer, call)?
        };
        context.writer.graph.enter(outside);
        context.calls.push(Converted {
            name,
            class: layer.class.to_owned(),
            outputs: outputs.clone(),
        });
        Ok(outputs)
    }

    fn sequential(
        &self,
        context: &mut Context,
        config: &'a Map<String, Json>,
        layers: Option<&'a Json>,
        inputs: Option<Vec<Tensor>>,
    ) -> Result<Vec<(String, Tensor)>, ImportError> {
        let layers = self.described(layers)?;
        let mut rest = layers.iter().peekable();
        let mut tensor = match inputs {
            Some(inputs) => match <[Tensor; 1]>::try_from(inputs) {
                Ok([input]) => {
                    rest.next_if(|layer| layer.class == "InputLayer");
                    input
                }
                Err(inputs) => {
                    return Err(self.error(format!(
                        "a Sequential model takes one input, it is called with {}",
                        inputs.len()
                    )));
                }
            },
            None => match rest.next_if(|layer| layer.class == "InputLayer") {
                Some(layer) => self.input(context, layer.name, layer.config)?,
                None => {
                    let first = rest.peek().ok_or_else(|| self.error("it has no layers"))?;
                    let shape = ["batch_input_shape", "batch_shape"]
                        .iter()
                        .find_map(|key| first.config.get(*key))
                        .or_else(|| config.get("build_input_shape"))
                        .ok_or_else(|| {
                            self.error(
                                "its input's shape is not in the file: call the model or model.build(input_shape) before saving",
                            )
                        })?;
                    let dtype = match first.class {
                        "Embedding" => Some("int32"),
                        _ => None,
                    };
                    self.graph_input(context, &format!("{}_input", first.name), shape, dtype)?
                }
            },
        };
        let mut last = self.name.clone();
        let mut outputs = vec![tensor.clone()];
        for layer in rest {
            outputs = self.call(context, layer, 0, &Call::of([tensor]))?;
            last = layer.name.to_owned();
            tensor = outputs
                .first()
                .cloned()
                .ok_or_else(|| self.error(format!("layer `{}` gives nothing", layer.name)))?;
        }
        Ok(outputs.into_iter().map(|tensor| (last.clone(), tensor)).collect())
    }

    fn functional(
        &self,
        context: &mut Context,
        config: &'a Map<String, Json>,
        inputs: Option<Vec<Tensor>>,
    ) -> Result<Vec<(String, Tensor)>, ImportError> {
        let layers = self.described(config.get("layers"))?;
        let ends = |key: &str| {
            let mut found = Vec::new();
            Written::read_ends(config.get(key).unwrap_or(&Json::Null)).references(&mut found);
            found
        };
        let (begin, end) = (ends("input_layers"), ends("output_layers"));
        let by_name: BTreeMap<&str, usize> = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| (layer.name, index))
            .collect();
        if by_name.len() != layers.len() {
            return Err(self.error("two of its layers have one name"));
        }
        let offsets = call_offsets(&layers, &end, self.version);
        let mut values: BTreeMap<(usize, usize), Vec<Tensor>> = BTreeMap::new();
        self.begin(context, &layers, &by_name, &begin, inputs, &mut values)?;

        // Calls wait for the calls that they take outputs of; those that may go do so in the file's order.
        let lookup = |(name, call, output): Reference<'a>,
                      offset_of: fn(&Offsets) -> usize|
         -> Result<(usize, usize, usize), ImportError> {
            let layer = *by_name.get(name).ok_or_else(|| {
                self.error(format!(
                    "a layer takes an output of `{name}`, which it does not have"
                ))
            })?;
            let call = call
                .checked_sub(offsets.get(&layer).map_or(0, offset_of))
                .ok_or_else(|| self.error(format!("layer `{name}` has no call {call}")))?;
            Ok((layer, call, output))
        };
        let inside = |offsets: &Offsets| offsets.inside;
        let at_end = |offsets: &Offsets| offsets.at_end;
        let mut waiting: BTreeMap<(usize, usize), BTreeSet<(usize, usize)>> = BTreeMap::new();
        let mut missing: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut ready: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (index, layer) in layers.iter().enumerate() {
            if layer.class == "InputLayer" {
                continue;
            }
            for (number, call) in layer.calls.iter().enumerate() {
                let mut needs = BTreeSet::new();
                for reference in call.references() {
                    let (layer, call, _) = lookup(reference, inside)?;
                    if !values.contains_key(&(layer, call)) {
                        needs.insert((layer, call));
                    }
                }
                if needs.is_empty() {
                    ready.insert((index, number));
                }
                missing.insert((index, number), needs.len());
                for need in needs {
                    waiting.entry(need).or_default().insert((index, number));
                }
            }
        }
        let output_of = |values: &BTreeMap<(usize, usize), Vec<Tensor>>,
                         reference: Reference<'a>,
                         offset_of: fn(&Offsets) -> usize| {
            let (layer, call, output) = lookup(reference, offset_of)?;
            let outputs = values.get(&(layer, call));
            outputs
                .and_then(|outputs| outputs.get(output))
                .cloned()
                .ok_or_else(|| {
                    self.error(format!(
                        "layer `{}` has no output {output} in call {call}",
                        reference.0
                    ))
                })
        };
        while let Some((index, number)) = ready.pop_first() {
            let layer = &layers[index];
            let call = layer.calls[number].resolve(|reference| output_of(&values, reference, inside))?;
            let outputs = self.call(context, layer, number, &call)?;
            values.insert((index, number), outputs);
            for next in waiting.remove(&(index, number)).unwrap_or_default() {
                if let Some(count) = missing.get_mut(&next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert(next);
                    }
                }
            }
        }
        if end.is_empty() {
            return Err(self.error("it has no outputs"));
        }
        end.iter()
            .map(|&reference| {
                let tensor =
                    output_of(&values, reference, at_end).map_err(|error| match waiting.is_empty() {
                        true => error,
                        false => self.error("its layers take each other's outputs in a circle"),
                    })?;
                Ok((reference.0.to_owned(), tensor))
            })
            .collect()
    }

    /// The tensors of the input layers: those that the model is called with, or inputs of the graph.
    fn begin(
        &self,
        context: &mut Context,
        layers: &[Described<'a>],
        by_name: &BTreeMap<&str, usize>,
        begin: &[Reference<'a>],
        inputs: Option<Vec<Tensor>>,
        values: &mut BTreeMap<(usize, usize), Vec<Tensor>>,
    ) -> Result<(), ImportError> {
        let given = inputs.as_ref().map(Vec::len);
        if given.is_some_and(|given| given != begin.len()) {
            return Err(self.error(format!(
                "it has {} inputs and is called with {}",
                begin.len(),
                given.unwrap_or_default()
            )));
        }
        for (place, (name, _, _)) in begin.iter().enumerate() {
            let index = *by_name
                .get(name)
                .ok_or_else(|| self.error(format!("its input layer `{name}` is not among its layers")))?;
            let tensor = match &inputs {
                Some(inputs) => inputs[place].clone(),
                None => self.input(context, name, layers[index].config)?,
            };
            values.insert((index, 0), vec![tensor]);
        }
        for (index, layer) in layers.iter().enumerate() {
            if layer.class == "InputLayer" && !values.contains_key(&(index, 0)) {
                return Err(self.error(format!(
                    "the input layer `{}` is not among its inputs",
                    layer.name
                )));
            }
        }
        Ok(())
    }

    /// An input of the graph, from the options of an InputLayer.
    fn input(
        &self,
        context: &mut Context,
        name: &str,
        config: &'a Map<String, Json>,
    ) -> Result<Tensor, ImportError> {
        for option in ["sparse", "ragged", "optional"] {
            if config.get(option) == Some(&Json::Bool(true)) {
                return Err(ImportError::UnsupportedOption {
                    layer: name.to_owned(),
                    class: "InputLayer".to_owned(),
                    option: option.to_owned(),
                    value: "true".to_owned(),
                    advice: "inputs are dense tensors: build the model with a plain keras.Input".to_owned(),
                });
            }
        }
        let shape = ["batch_shape", "batch_input_shape"]
            .iter()
            .find_map(|key| config.get(*key))
            .unwrap_or(&Json::Null);
        let dtype = config.get("dtype").and_then(layers::dtype_name);
        self.graph_input(context, name, shape, dtype)
    }

    fn graph_input(
        &self,
        context: &mut Context,
        name: &str,
        shape: &Json,
        dtype: Option<&str>,
    ) -> Result<Tensor, ImportError> {
        let dim = |dim: &Json| -> Option<Dim> {
            match dim {
                Json::Null => Some(None),
                size => size_of(size).map(Some),
            }
        };
        let dims: Option<Vec<Dim>> = shape.as_array().and_then(|dims| dims.iter().map(dim).collect());
        let dims = dims
            .filter(|dims| !dims.is_empty() && dims.len() <= MAX_RANK)
            .ok_or_else(|| ImportError::Config {
                place: format!("the shape of input `{name}`"),
                expected: "1 to 8 dimensions, each a size or null",
                got: shown(Some(shape)),
            })?;
        let dtype = match dtype.unwrap_or("float32") {
            "float32" => DType::F32,
            "float16" => DType::F16,
            "bfloat16" => DType::BF16,
            "float64" => DType::F64,
            "int8" => DType::I8,
            "int16" => DType::I16,
            "int32" => DType::I32,
            "int64" => DType::I64,
            "uint8" => DType::U8,
            "uint16" => DType::U16,
            "uint32" => DType::U32,
            "uint64" => DType::U64,
            "bool" => DType::Bool,
            other => {
                return Err(ImportError::UnsupportedOption {
                    layer: name.to_owned(),
                    class: "InputLayer".to_owned(),
                    option: "dtype".to_owned(),
                    value: other.to_owned(),
                    advice: "inputs are numbers: do what makes numbers of them before the network".to_owned(),
                });
            }
        };
        let writer = &mut context.writer;
        let names = writer.dims(name, &dims);
        let value = writer.graph.input(name, dtype, &names);
        Ok(writer.tensor(value, Layout::Keras, dims, dtype))
    }
}

/// The number of a nested model's first call, as references count.
#[derive(Debug, Clone, Copy)]
struct Offsets {
    /// In inputs of layers.
    inside: usize,
    /// Among the outputs of the model.
    at_end: usize,
}

/// For models within the model, the number of their first call: Keras counts the call with their own inputs as call 0 and does not write
/// it down. Keras 2 counts so everywhere, Keras 3 only where a model's outputs are listed, and only for Functional models.
fn call_offsets<'a>(
    layers: &[Described<'a>],
    end: &[Reference<'a>],
    version: u32,
) -> BTreeMap<usize, Offsets> {
    let mut largest: BTreeMap<&str, usize> = BTreeMap::new();
    let inside = layers
        .iter()
        .flat_map(|layer| layer.calls.iter().flat_map(WrittenCall::references));
    let old_end = end.iter().copied().filter(|_| version < 3);
    for (name, call, _) in inside.chain(old_end) {
        let seen = largest.entry(name).or_default();
        *seen = (*seen).max(call);
    }
    let offset = |(index, layer): (usize, &Described<'_>)| {
        if !is_model(layer.class) {
            return None;
        }
        let largest = largest
            .get(layer.name)
            .map_or(0, |largest| largest.saturating_add(1));
        let inside = usize::from(largest == layer.calls.len() + 1);
        let at_end = match version {
            3.. => usize::from(layer.class != "Sequential"),
            _ => inside,
        };
        Some((index, Offsets { inside, at_end }))
    };
    layers.iter().enumerate().filter_map(offset).collect()
}
