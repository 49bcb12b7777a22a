//! Writing an ONNX model: a graph under construction, with names that are unique and constants that are stored once.

use crate::ImportError;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use synod_model::{
    DType,
    limits::MAX_NODES,
    proto::{
        AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
        attribute_type,
    },
};

/// The opset of what is written: the lowest in which every operator used here has its present meaning
/// (GroupNormalization's scale for each channel is the newest).
const OPSET: i64 = 21;
/// The version of ONNX's file format that goes with [`OPSET`].
const IR_VERSION: i64 = 10;
/// Bytes of a file, at most: protobuf's limit.
const MAX_FILE_BYTES: usize = (1 << 31) - 1;

/// A dimension of an input or output: a size, or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OnnxDim {
    Size(usize),
    Name(String),
}

/// A graph to which nodes are added in topological order.
#[derive(Debug, Default)]
pub(crate) struct GraphWriter {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    inputs: Vec<ValueInfoProto>,
    outputs: Vec<ValueInfoProto>,
    /// Every name of a value.
    names: BTreeSet<String>,
    /// The last number put behind a name that was wished for again: searching from the beginning would take time by the square of
    /// the graph.
    numbers: BTreeMap<String, usize>,
    /// Constants by element type, dimensions and bytes: equal ones are stored once, as are the weights of a layer that
    /// is called twice.
    constants: HashMap<(i32, Vec<i64>, Bytes), String>,
    /// What names of values begin with: the layer that is being converted.
    scope: String,
    /// Outputs of nodes that are outputs of the graph, with the names that they get in the file.
    renamed: BTreeMap<String, String>,
}

impl GraphWriter {
    /// Gives new values names that begin with this; returns the scope before.
    pub(crate) fn enter(&mut self, scope: String) -> String {
        std::mem::replace(&mut self.scope, scope)
    }

    /// The present scope.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// A name that no value has yet: the one wished for, or with a number behind it.
    pub(crate) fn unique(&mut self, wish: &str) -> String {
        if self.names.insert(wish.to_owned()) {
            return wish.to_owned();
        }
        let number = self.numbers.entry(wish.to_owned()).or_insert(1);
        let mut name;
        loop {
            *number += 1;
            name = format!("{wish}_{number}");
            if self.names.insert(name.clone()) {
                break;
            }
        }
        name
    }

    /// An input of the graph; returns its name, which is the one wished for unless there is such a value already.
    pub(crate) fn input(&mut self, wish: &str, dtype: DType, dims: &[OnnxDim]) -> String {
        let name = self.unique(wish);
        self.inputs.push(value_info(&name, dtype, dims));
        name
    }

    /// Adds a node with one output and returns the name of that.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String, ImportError> {
        Ok(self.node_with(op, inputs, 1, attributes)?.remove(0))
    }

    /// Adds a node with several outputs.
    pub(crate) fn node_with(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: usize,
        attributes: Vec<AttributeProto>,
    ) -> Result<Vec<String>, ImportError> {
        if self.nodes.len() == MAX_NODES {
            return Err(ImportError::TooLarge {
                what: "the graph's number of nodes".to_owned(),
                size: MAX_NODES as u64 + 1,
                limit: MAX_NODES as u64,
            });
        }
        let wish = format!("{}/{op}", self.scope);
        let outputs: Vec<String> = (0..outputs).map(|_| self.unique(&wish)).collect();
        self.nodes.push(node(op, inputs, outputs.clone(), attributes));
        Ok(outputs)
    }

    /// A constant of floats.
    pub(crate) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let mut bytes = Vec::with_capacity(4 * values.len());
        for value in values {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        self.constant(name, DType::F32, dims, bytes.into())
    }

    /// A constant of one float without dimensions.
    pub(crate) fn scalar(&mut self, name: &str, value: f32) -> String {
        self.floats(name, &[], &[value])
    }

    /// A constant of 64-bit integers, as shapes and axes are.
    pub(crate) fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, DType::I64, &[values.len()], bytes.into())
    }

    /// A constant of one integer without dimensions.
    pub(crate) fn integer(&mut self, name: &str, value: i64) -> String {
        self.constant(name, DType::I64, &[], value.to_le_bytes().to_vec().into())
    }

    /// A constant of any type, its elements in little-endian order.
    pub(crate) fn constant(&mut self, name: &str, dtype: DType, dims: &[usize], raw: Bytes) -> String {
        let dims: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let key = (code(dtype), dims.clone(), raw.clone());
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.unique(&format!("{}/{name}", self.scope));
        self.initializers.push(TensorProto {
            dims,
            data_type: Some(code(dtype)),
            name: Some(name.clone()),
            raw_data: Some(raw),
            ..Default::default()
        });
        self.constants.insert(key, name.clone());
        name
    }

    /// Makes a value an output of the graph under the name wished for, or one like it if there is another value of that name.
    ///
    /// The node that computes the value is renamed, unless the value is an input or an output already.
    pub(crate) fn output(&mut self, value: &str, wish: &str, dtype: DType, dims: &[OnnxDim]) -> String {
        let is_input = self
            .inputs
            .iter()
            .any(|input| input.name.as_deref() == Some(value));
        let name = self.unique(wish);
        if is_input || self.renamed.contains_key(value) {
            self.nodes
                .push(node("Identity", &[value], vec![name.clone()], Vec::new()));
        } else {
            self.renamed.insert(value.to_owned(), name.clone());
        }
        self.outputs.push(value_info(&name, dtype, dims));
        name
    }

    /// The name that a value has in the file.
    pub(crate) fn final_name<'n>(&'n self, value: &'n str) -> &'n str {
        self.renamed.get(value).map_or(value, String::as_str)
    }

    /// Whether a value is in the file, once [`Self::drop_unused`] has been called.
    pub(crate) fn has(&self, value: &str) -> bool {
        let is = |name: &String| name == value;
        self.nodes.iter().any(|node| node.output.iter().any(is))
            || self
                .inputs
                .iter()
                .any(|input| input.name.as_deref() == Some(value))
    }

    /// Drops nodes and constants that no output of the graph needs: masks that nobody asks for, edges that a convolution adds itself.
    pub(crate) fn drop_unused(&mut self) {
        let mut needed: BTreeSet<&str> = self.renamed.keys().map(String::as_str).collect();
        needed.extend(self.outputs.iter().filter_map(|output| output.name.as_deref()));
        let mut kept = vec![false; self.nodes.len()];
        // A node comes after those whose outputs it takes.
        for (place, node) in self.nodes.iter().enumerate().rev() {
            if node.output.iter().any(|output| needed.contains(output.as_str())) {
                kept[place] = true;
                needed.extend(node.input.iter().map(String::as_str));
                let graphs = node
                    .attribute
                    .iter()
                    .filter_map(|attribute| attribute.g.as_deref());
                for inner in graphs.flat_map(|graph| &graph.node) {
                    needed.extend(inner.input.iter().map(String::as_str));
                }
            }
        }
        let named = |tensor: &TensorProto| tensor.name.as_deref().is_some_and(|name| needed.contains(name));
        let of_tensors: Vec<bool> = self.initializers.iter().map(named).collect();
        let mut keep = kept.into_iter();
        self.nodes.retain(|_| keep.next().unwrap_or(true));
        let mut keep = of_tensors.into_iter();
        self.initializers.retain(|_| keep.next().unwrap_or(true));
    }

    /// The file.
    pub(crate) fn encode(mut self, name: &str) -> Result<Bytes, ImportError> {
        let places = self.nodes.iter_mut();
        for place in places.flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if let Some(name) = self.renamed.get(place.as_str()) {
                name.clone_into(place);
            }
        }
        let model = ModelProto {
            ir_version: Some(IR_VERSION),
            opset_import: vec![OperatorSetIdProto {
                domain: None,
                version: Some(OPSET),
            }],
            graph: Some(GraphProto {
                name: Some(name.to_owned()),
                node: self.nodes,
                initializer: self.initializers,
                input: self.inputs,
                output: self.outputs,
                ..Default::default()
            }),
            ..Default::default()
        };
        let size = model.encoded_len();
        if size > MAX_FILE_BYTES {
            return Err(ImportError::TooLarge {
                what: "the ONNX file in bytes".to_owned(),
                size: size as u64,
                limit: MAX_FILE_BYTES as u64,
            });
        }
        Ok(model.encode_to_vec().into())
    }
}

/// A node; its name is its first output's.
fn node(op: &str, inputs: &[&str], outputs: Vec<String>, attributes: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|&input| input.to_owned()).collect(),
        name: outputs.first().cloned(),
        output: outputs,
        op_type: Some(op.to_owned()),
        attribute: attributes,
        ..Default::default()
    }
}

/// The body of a Scan: a graph of its own that sees the values of the graph around it.
#[derive(Debug)]
pub(crate) struct Body {
    graph: GraphProto,
    prefix: String,
}

impl Body {
    /// A body whose values have names that begin with `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            graph: GraphProto {
                name: Some(format!("{prefix}/body")),
                ..Default::default()
            },
            prefix: prefix.to_owned(),
        }
    }

    /// An input, whose type and shape follow from the node that holds the body.
    pub(crate) fn input(&mut self, name: &str, dtype: DType) -> String {
        let name = format!("{}/{name}", self.prefix);
        self.graph.input.push(value_info_without_shape(&name, dtype));
        name
    }

    /// Adds a node; `outputs` are the names of its outputs, empty for one that is not wanted.
    pub(crate) fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Vec<String> {
        let names: Vec<String> = outputs
            .iter()
            .map(|output| {
                if output.is_empty() {
                    String::new()
                } else {
                    format!("{}/{output}", self.prefix)
                }
            })
            .collect();
        let mut added = node(op, inputs, names.clone(), attributes);
        added.name = names.iter().find(|name| !name.is_empty()).cloned();
        self.graph.node.push(added);
        names
    }

    /// Makes a value an output.
    pub(crate) fn output(&mut self, name: &str, dtype: DType) {
        self.graph.output.push(value_info_without_shape(name, dtype));
    }

    /// The body as an attribute.
    pub(crate) fn attribute(self, name: &str) -> AttributeProto {
        AttributeProto {
            g: Some(Box::new(self.graph)),
            ..attribute(name, attribute_type::GRAPH)
        }
    }
}

fn tensor_type(dtype: DType, shape: Option<TensorShapeProto>) -> TypeProto {
    TypeProto {
        tensor_type: Some(TensorTypeProto {
            elem_type: Some(code(dtype)),
            shape,
        }),
        ..Default::default()
    }
}

fn value_info_without_shape(name: &str, dtype: DType) -> ValueInfoProto {
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(tensor_type(dtype, None)),
    }
}

fn value_info(name: &str, dtype: DType, dims: &[OnnxDim]) -> ValueInfoProto {
    let dim = |dim: &OnnxDim| DimensionProto {
        value: Some(match dim {
            OnnxDim::Size(size) => DimensionValue::Value(*size as i64),
            OnnxDim::Name(name) => DimensionValue::Param(name.clone()),
        }),
    };
    let shape = TensorShapeProto {
        dim: dims.iter().map(dim).collect(),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(tensor_type(dtype, Some(shape))),
    }
}

/// An attribute of a node.
pub(crate) use synod_model::proto::AttributeProto as Attribute;

/// ONNX's number for an element type.
pub(crate) fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I8 => 3,
        DType::U16 => 4,
        DType::I16 => 5,
        DType::I32 => 6,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F16 => 10,
        DType::F64 => 11,
        DType::U32 => 12,
        DType::U64 => 13,
        DType::BF16 => 16,
    }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        r#type: Some(kind),
        ..Default::default()
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: Some(value),
        ..attribute(name, attribute_type::INT)
    }
}

/// An attribute of integers.
pub(crate) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    AttributeProto {
        ints: values.into_iter().collect(),
        ..attribute(name, attribute_type::INTS)
    }
}

/// A float attribute.
pub(crate) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: Some(value),
        ..attribute(name, attribute_type::FLOAT)
    }
}

/// An attribute of floats.
pub(crate) fn floats(name: &str, values: impl IntoIterator<Item = f32>) -> AttributeProto {
    AttributeProto {
        floats: values.into_iter().collect(),
        ..attribute(name, attribute_type::FLOATS)
    }
}

/// A string attribute.
pub(crate) fn string(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: Some(Bytes::copy_from_slice(value.as_bytes())),
        ..attribute(name, attribute_type::STRING)
    }
}

/// An attribute of strings.
pub(crate) fn strings<'s>(name: &str, values: impl IntoIterator<Item = &'s str>) -> AttributeProto {
    AttributeProto {
        strings: values
            .into_iter()
            .map(|value| Bytes::copy_from_slice(value.as_bytes()))
            .collect(),
        ..attribute(name, attribute_type::STRINGS)
    }
}
