//! Samples for the inputs of a network, and running it on them.

use crate::{
    error::QuantizeError,
    graph::{Graph, encode},
};
use std::collections::BTreeMap;
use synod_model::{
    DType, DimSetting, ImportOptions, Model, NoExternalData, Plan, Shape, Tensor, Unmetered, import_onnx,
    proto::{DimensionValue, ModelProto, ValueInfoProto},
};

/// Samples for every input, in the network's order, and how many a call takes.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    inputs: Vec<Input>,
    calls: usize,
    /// How free dimensions are settled for a call.
    dims: BTreeMap<String, DimSetting>,
}

/// An array with the samples of an input.
#[derive(Debug, Clone)]
struct Input {
    tensor: Tensor,
    /// The shape of a call.
    shape: Shape,
}

impl Samples {
    /// Matches arrays with the inputs of a network. An array has one axis more than the input, along which samples lie; or as many,
    /// with samples along the first.
    pub(crate) fn new(
        graph: &Graph,
        given: &[(String, Tensor)],
        dims: &BTreeMap<String, DimSetting>,
    ) -> Result<Self, QuantizeError> {
        let mut samples = Self {
            inputs: Vec::new(),
            calls: 0,
            dims: dims.clone(),
        };
        for declared in graph.inputs() {
            let name = declared.name.clone().unwrap_or_default();
            let (_, tensor) = given
                .iter()
                .find(|(given, _)| *given == name)
                .ok_or(QuantizeError::MissingInput { input: name.clone() })?;
            let (shape, calls) = samples.fit(declared, &name, tensor)?;
            if samples.inputs.is_empty() {
                samples.calls = calls;
            } else if samples.calls != calls {
                return Err(QuantizeError::SampleCount {
                    input: name,
                    expected: samples.calls,
                    got: calls,
                });
            }
            samples.inputs.push(Input {
                tensor: tensor.clone(),
                shape,
            });
        }
        Ok(samples)
    }

    /// The shape that a call has of an array, and for how many calls it is enough.
    fn fit(
        &mut self,
        declared: &ValueInfoProto,
        name: &str,
        tensor: &Tensor,
    ) -> Result<(Shape, usize), QuantizeError> {
        let kind = declared
            .r#type
            .as_ref()
            .and_then(|kind| kind.tensor_type.as_ref());
        let code = kind.and_then(|kind| kind.elem_type).unwrap_or_default();
        if let Some(expected) = DType::from_onnx_code(code)
            && expected != tensor.dtype()
        {
            return Err(QuantizeError::SampleType {
                input: name.to_owned(),
                expected,
                got: tensor.dtype(),
            });
        }
        let dims = kind.and_then(|kind| kind.shape.as_ref());
        let dims = dims.map_or(&[][..], |shape| &shape.dim);
        let words: Vec<String> = dims
            .iter()
            .map(|dim| match &dim.value {
                Some(DimensionValue::Value(size)) => size.to_string(),
                Some(DimensionValue::Param(name)) => name.clone(),
                None => "?".to_owned(),
            })
            .collect();
        let wrong = || QuantizeError::SampleShape {
            input: name.to_owned(),
            expected: format!("[{}]", words.join(", ")),
            got: tensor.shape().to_vec(),
        };
        let along_first = match tensor.shape().len().checked_sub(dims.len()) {
            Some(0) if !dims.is_empty() => true,
            Some(1) => false,
            _ => return Err(wrong()),
        };
        if tensor.elements() == 0 {
            return Err(QuantizeError::NoSamples {
                input: name.to_owned(),
                shape: tensor.shape().to_vec(),
            });
        }
        let given = &tensor.shape()[usize::from(!along_first)..];
        let mut shape = Vec::with_capacity(dims.len());
        for (axis, (dim, &size)) in dims.iter().zip(given).enumerate() {
            let counts = along_first && axis == 0;
            shape.push(match &dim.value {
                Some(DimensionValue::Value(fixed)) if *fixed >= 0 => {
                    let fixed = *fixed as usize;
                    let fits = if counts {
                        fixed > 0 && size.is_multiple_of(fixed)
                    } else {
                        fixed == size
                    };
                    if !fits {
                        return Err(wrong());
                    }
                    fixed
                }
                free => {
                    let symbol = match free {
                        Some(DimensionValue::Param(symbol)) if !symbol.is_empty() && symbol != "?" => {
                            symbol.clone()
                        }
                        _ => format!("{name}.{axis}"),
                    };
                    let wanted = if counts { 1 } else { size };
                    match self.dims.get(&symbol) {
                        None => {
                            self.dims.insert(symbol, DimSetting::Pin(wanted));
                            wanted
                        }
                        Some(DimSetting::AtMost(most)) if wanted <= *most => wanted,
                        Some(DimSetting::Pin(pinned)) if wanted == *pinned => wanted,
                        Some(DimSetting::Pin(pinned)) if counts && size.is_multiple_of(*pinned) => *pinned,
                        Some(_) => return Err(wrong()),
                    }
                }
            });
        }
        let rows = if along_first { shape[0] } else { 1 };
        Ok((shape, tensor.shape()[0] / rows))
    }

    /// Refuses NaN and infinity.
    pub(crate) fn check_finite(&self, graph: &Graph) -> Result<(), QuantizeError> {
        for (input, declared) in self.inputs.iter().zip(graph.inputs()) {
            if input.tensor.dtype() != DType::F32 {
                continue;
            }
            let values = input.tensor.as_slice::<f32>();
            if let Some(element) = values.iter().position(|value| !value.is_finite()) {
                return Err(QuantizeError::SampleNotFinite {
                    input: declared.name.clone().unwrap_or_default(),
                    element,
                    value: values[element],
                });
            }
        }
        Ok(())
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// How free dimensions are settled for a call.
    pub(crate) fn dims(&self) -> &BTreeMap<String, DimSetting> {
        &self.dims
    }

    /// The inputs of a call.
    pub(crate) fn call(&self, call: usize) -> Result<Vec<Tensor>, QuantizeError> {
        let part = |input: &Input| {
            let dtype = input.tensor.dtype();
            let length = input.shape.iter().product::<usize>() * dtype.size();
            let bytes = &input.tensor.bytes()[call * length..(call + 1) * length];
            Tensor::from_le_bytes(dtype, &input.shape, bytes).map_err(|error| {
                synod_model::ImportError::Tensor {
                    name: "sample".into(),
                    error,
                }
            })
        };
        Ok(self.inputs.iter().map(part).collect::<Result<_, _>>()?)
    }

    /// A plan of a model for calls.
    pub(crate) fn plan(&self, model: &Model) -> Result<Plan, QuantizeError> {
        let shapes: Vec<Shape> = self.inputs.iter().map(|input| input.shape.clone()).collect();
        Ok(model.plan(&shapes)?)
    }

    /// Loads a model with free dimensions as the samples have them.
    pub(crate) fn load(&self, model: &ModelProto) -> Result<Model, QuantizeError> {
        self.load_file(&encode(model))
    }

    /// [`Self::load`] of a file.
    pub(crate) fn load_file(&self, file: &[u8]) -> Result<Model, QuantizeError> {
        let options = ImportOptions {
            dims: self.dims.clone(),
            ..ImportOptions::default()
        };
        let canonical = import_onnx(file, &NoExternalData, &options)?;
        Ok(Model::load(canonical.graph, canonical.weights)?)
    }

    /// Runs a plan on a call.
    pub(crate) fn run(&self, plan: &Plan, call: usize) -> Result<Vec<Tensor>, QuantizeError> {
        let inputs = self.call(call)?;
        plan.run(&inputs, &mut Unmetered)
            .map_err(|error| QuantizeError::Run {
                call,
                error: Box::new(error),
            })
    }
}
