//! The canonical form: one way to write a model down (`docs/spec/model.md` §2 and §3).
//!
//! Writing is a function of what was read: fields in order of their numbers, no unknown ones, no doc strings, attributes
//! by name, weights as external data of one blob. A reader can therefore demand that bytes be canonical by writing them
//! again and comparing.

use crate::{
    Attribute, DType, ModelId, Tensor,
    external::{ExternalData, ExternalDataError},
    import::ImportError,
    limits::PROFILE_VERSION,
    proto::{
        AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TensorTypeProto,
        TypeProto, ValueInfoProto, attribute_type, decode_model,
    },
    source::{BOUND_PREFIX, Source, SourceDim, SourceGraph, SourceNode, SourceValue, read_tensor},
};
use bytes::Bytes;
use prost::Message;

/// The file name by which a canonical graph refers to its weights.
pub const WEIGHTS_FILE: &str = "weights.bin";

/// Alignment of each tensor in the weight blob: a cache line.
const ALIGNMENT: usize = 64;

/// `int32` and `int64` tensors of up to this many elements and at most one dimension stay in the graph: they are axes,
/// sizes and shapes, which belong to the structure, and other runtimes want them there. All else is weights.
const MAX_INLINE_ELEMENTS: usize = 64;

/// The IR version of ONNX that canonical models state: the newest that onnxruntime 1.17 and later read.
const IR_VERSION: i64 = 9;

/// A model in canonical form: together, saved as `NAME.onnx` and [`WEIGHTS_FILE`] beside it, they are an ONNX model that
/// other runtimes open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalModel {
    /// The `ModelProto`.
    pub graph: Bytes,
    /// The weight blob.
    pub weights: Bytes,
}

impl CanonicalModel {
    /// The Merkle root that identifies the model, under the newest profile.
    pub fn id(&self) -> ModelId {
        self.id_under(PROFILE_VERSION)
    }

    /// The Merkle root that identifies the model under a profile.
    pub fn id_under(&self, profile: u32) -> ModelId {
        ModelId::compute(profile, &self.graph, &self.weights)
    }

    /// What it is made of, for tools that show or compare models.
    ///
    /// # Errors
    /// If the graph cannot be decoded, or names weights that are not there.
    pub fn parts(&self) -> Result<Parts, ImportError> {
        let graph = decode_model(self.graph.clone())?
            .graph
            .ok_or(ImportError::NoGraph)?;
        let weights = WeightBlob(self.weights.clone());
        let initializer = |proto: TensorProto| {
            let name = proto.name.clone().unwrap_or_default();
            let tensor = read_tensor(proto, &name, &weights)?;
            Ok((name, tensor))
        };
        Ok(Parts {
            initializers: graph
                .initializer
                .into_iter()
                .map(initializer)
                .collect::<Result<_, ImportError>>()?,
            nodes: graph.node,
        })
    }
}

/// What a canonical model is made of, beside its signature.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Initialisers by their names, in order of first use.
    pub initializers: Vec<(String, Tensor)>,
    /// Nodes in canonical order. They have no names; what flows between them is numbered.
    pub nodes: Vec<NodeProto>,
}

/// The weight blob of a canonical model as external data.
pub(crate) struct WeightBlob(pub(crate) Bytes);

impl ExternalData for WeightBlob {
    fn read(&self, location: &str, offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        if location != WEIGHTS_FILE {
            return Err(ExternalDataError::NotFound {
                location: location.to_owned(),
            });
        }
        let needed = offset.saturating_add(length as u64);
        let got = self.0.len() as u64;
        if needed > got {
            return Err(ExternalDataError::TooShort {
                location: location.to_owned(),
                needed,
                got,
            });
        }
        Ok(self.0.slice(offset as usize..needed as usize))
    }
}

/// Where the weights of a model go.
pub(crate) struct Layout {
    /// For each constant its offset in the blob, or `None` if it stays in the graph.
    offsets: Vec<Option<usize>>,
    length: usize,
}

impl Layout {
    pub(crate) fn new(source: &Source) -> Self {
        let mut length: usize = 0;
        let mut place = |tensor: &Tensor| {
            if is_inline(tensor) {
                return None;
            }
            let offset = length.next_multiple_of(ALIGNMENT);
            length = offset + tensor.bytes().len();
            Some(offset)
        };
        let offsets = source
            .constants
            .iter()
            .map(|constant| place(constant.value.tensor()))
            .collect();
        Self { offsets, length }
    }

    /// Everything stays in the graph.
    pub(crate) fn inline(source: &Source) -> Self {
        Self {
            offsets: vec![None; source.constants.len()],
            length: 0,
        }
    }

    /// The blob.
    pub(crate) fn weights(&self, source: &Source) -> Bytes {
        let mut blob = Vec::with_capacity(self.length);
        for (constant, offset) in source.constants.iter().zip(&self.offsets) {
            if let Some(offset) = offset {
                blob.resize(*offset, 0);
                blob.extend_from_slice(constant.value.tensor().bytes());
            }
        }
        blob.into()
    }

    /// Where `blob` first differs from what [`Self::weights`] would give, without building it.
    pub(crate) fn first_difference(&self, source: &Source, blob: &[u8]) -> Option<usize> {
        if blob.len() != self.length {
            return Some(blob.len().min(self.length));
        }
        let mut at = 0;
        for (constant, offset) in source.constants.iter().zip(&self.offsets) {
            let Some(offset) = *offset else { continue };
            if let Some(padding) = blob[at..offset].iter().position(|&byte| byte != 0) {
                return Some(at + padding);
            }
            let own = constant.value.tensor().bytes();
            at = offset + own.len();
            // what shares the blob is the blob
            if !std::ptr::eq(&blob[offset..at], own) && blob[offset..at] != *own {
                return Some(offset);
            }
        }
        None
    }
}

/// Whether a constant is part of the graph, not of the weights.
pub(crate) fn is_inline(tensor: &Tensor) -> bool {
    let structural = matches!(tensor.dtype(), DType::I32 | DType::I64) && tensor.shape().len() <= 1;
    tensor.bytes().is_empty() || structural && tensor.elements() <= MAX_INLINE_ELEMENTS
}

/// The bytes of the graph; `source` has been canonicalised.
pub(crate) fn encode_graph(source: &Source, layout: &Layout) -> Bytes {
    model_proto(source, layout).encode_to_vec().into()
}

/// The model as ONNX's message.
pub(crate) fn model_proto(source: &Source, layout: &Layout) -> ModelProto {
    let graph = GraphProto {
        node: source.nodes.iter().map(node).collect(),
        name: Some("model".into()),
        initializer: source
            .constants
            .iter()
            .zip(&layout.offsets)
            .map(|(constant, offset)| tensor(constant.value.tensor(), Some(&constant.name), *offset))
            .collect(),
        input: source.inputs.iter().map(value).collect(),
        output: source.outputs.iter().map(value).collect(),
        ..Default::default()
    };
    ModelProto {
        ir_version: Some(IR_VERSION),
        graph: Some(graph),
        opset_import: std::iter::once((&String::new(), &source.opset))
            .chain(&source.domains)
            .map(|(domain, version)| OperatorSetIdProto {
                domain: Some(domain.clone()),
                version: Some(*version),
            })
            .collect(),
        metadata_props: source
            .bounds
            .iter()
            .map(|(name, max)| entry(&format!("{BOUND_PREFIX}{name}"), &max.to_string()))
            .collect(),
        functions: Vec::new(),
    }
}

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto {
        key: Some(key.into()),
        value: Some(value.into()),
    }
}

fn node(node: &SourceNode) -> NodeProto {
    NodeProto {
        input: node.inputs.clone(),
        output: node.outputs.clone(),
        name: (!node.name.is_empty()).then(|| node.name.clone()),
        op_type: Some(node.op_type.clone()),
        attribute: attributes(node),
        domain: (!node.domain.is_empty()).then(|| node.domain.clone()),
        overload: None,
    }
}

/// All attributes, graphs among them, by name.
fn attributes(node: &SourceNode) -> Vec<AttributeProto> {
    let plain = node.attributes.iter().map(|(name, value)| attribute(name, value));
    let graphs = node.graphs.iter().map(|(name, value)| AttributeProto {
        name: Some(name.clone()),
        g: Some(Box::new(graph(name, value))),
        r#type: Some(attribute_type::GRAPH),
        ..Default::default()
    });
    let mut all: Vec<_> = plain.chain(graphs).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// A graph within a node. The types of its inputs and outputs follow from the graph around it.
fn graph(name: &str, graph: &SourceGraph) -> GraphProto {
    let named = |name: &String| ValueInfoProto {
        name: Some(name.clone()),
        r#type: None,
    };
    GraphProto {
        node: graph.nodes.iter().map(node).collect(),
        name: Some(name.to_owned()),
        input: graph.inputs.iter().map(named).collect(),
        output: graph.outputs.iter().map(named).collect(),
        ..Default::default()
    }
}

fn attribute(name: &str, value: &Attribute) -> AttributeProto {
    let mut proto = AttributeProto {
        name: Some(name.into()),
        ..Default::default()
    };
    let kind = match value {
        Attribute::Int(value) => {
            proto.i = Some(*value);
            attribute_type::INT
        }
        Attribute::Float(value) => {
            proto.f = Some(*value);
            attribute_type::FLOAT
        }
        Attribute::String(value) => {
            proto.s = Some(value.clone().into());
            attribute_type::STRING
        }
        Attribute::Tensor(value) => {
            proto.t = Some(tensor(value, None, None));
            attribute_type::TENSOR
        }
        Attribute::Ints(value) => {
            proto.ints.clone_from(value);
            attribute_type::INTS
        }
        Attribute::Floats(value) => {
            proto.floats.clone_from(value);
            attribute_type::FLOATS
        }
        Attribute::Strings(value) => {
            proto.strings = value.iter().map(|text| text.clone().into()).collect();
            attribute_type::STRINGS
        }
    };
    proto.r#type = Some(kind);
    proto
}

/// A tensor with its elements inside the message.
pub(crate) fn inline_tensor(value: &Tensor, name: &str) -> TensorProto {
    tensor(value, Some(name), None)
}

fn tensor(tensor: &Tensor, name: Option<&str>, offset: Option<usize>) -> TensorProto {
    let mut proto = TensorProto {
        dims: tensor.shape().iter().map(|&dim| dim as i64).collect(),
        data_type: Some(tensor.dtype().onnx_code()),
        name: name.map(str::to_owned),
        ..Default::default()
    };
    match offset {
        None => proto.raw_data = Some(tensor.to_le_bytes().into()),
        Some(offset) => {
            proto.external_data = vec![
                entry("location", WEIGHTS_FILE),
                entry("offset", &offset.to_string()),
                entry("length", &tensor.bytes().len().to_string()),
            ];
            proto.data_location = Some(1);
        }
    }
    proto
}

fn value(value: &SourceValue) -> ValueInfoProto {
    let dim = |dim: &SourceDim| DimensionProto {
        value: match dim {
            SourceDim::Fixed(size) => Some(DimensionValue::Value(*size as i64)),
            SourceDim::Symbol(name) if name.is_empty() => None,
            SourceDim::Symbol(name) => Some(DimensionValue::Param(name.clone())),
        },
    };
    let shape = value.dims.as_ref().map(|dims| TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    });
    let tensor_type = TensorTypeProto {
        elem_type: Some(value.dtype.onnx_code()),
        shape,
    };
    ValueInfoProto {
        name: Some(value.name.clone()),
        r#type: Some(TypeProto {
            tensor_type: Some(tensor_type),
            ..TypeProto::default()
        }),
    }
}
