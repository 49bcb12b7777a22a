//! A graph that is being rewritten: ONNX's messages under the author's names, constants at hand by name.

use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use synod_model::{
    ExternalData, ImportError, plain_onnx,
    proto::{
        AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorTypeProto, TypeProto,
        ValueInfoProto, attribute_type,
    },
};

/// ONNX's numbers for element types.
pub(crate) const FLOAT: i32 = 1;
pub(crate) const UINT8: i32 = 2;
pub(crate) const INT8: i32 = 3;
pub(crate) const INT32: i32 = 6;

/// A constant of floats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Floats {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

/// A model whose nodes are in topological order.
#[derive(Debug, Clone)]
pub(crate) struct Graph {
    /// All but nodes and constants.
    rest: ModelProto,
    pub(crate) nodes: Vec<NodeProto>,
    constants: BTreeMap<String, TensorProto>,
}

impl Graph {
    pub(crate) fn read(file: &[u8], external: &dyn ExternalData) -> Result<Self, ImportError> {
        let mut rest = plain_onnx(file, external)?;
        let graph = rest.graph.get_or_insert_default();
        let nodes = std::mem::take(&mut graph.node);
        let constants = std::mem::take(&mut graph.initializer).into_iter();
        let constants = constants.map(|constant| (constant.name.clone().unwrap_or_default(), constant));
        Ok(Self {
            nodes,
            constants: constants.collect(),
            rest,
        })
    }

    /// The version of `ai.onnx`.
    pub(crate) fn opset(&self) -> i64 {
        let of_onnx = |domain: Option<&str>| matches!(domain.unwrap_or(""), "" | "ai.onnx");
        let imports = self.rest.opset_import.iter();
        imports
            .filter(|import| of_onnx(import.domain.as_deref()))
            .find_map(|import| import.version)
            .unwrap_or_default()
    }

    pub(crate) fn inputs(&self) -> &[ValueInfoProto] {
        self.rest.graph.as_ref().map_or(&[], |graph| &graph.input)
    }

    /// The names of the model's outputs.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = &str> {
        let graph = self.rest.graph.as_ref();
        let outputs = graph.map_or(&[][..], |graph| &graph.output).iter();
        outputs.filter_map(|output| output.name.as_deref())
    }

    /// Whether a value is an input of the model.
    pub(crate) fn is_input(&self, name: &str) -> bool {
        self.inputs()
            .iter()
            .any(|input| input.name.as_deref() == Some(name))
    }

    pub(crate) fn is_constant(&self, name: &str) -> bool {
        self.constants.contains_key(name)
    }

    /// A constant of floats; `None` if there is none of this name, or its elements are others.
    pub(crate) fn floats(&self, name: &str) -> Option<Floats> {
        let tensor = self.constants.get(name)?;
        if tensor.data_type != Some(FLOAT) {
            return None;
        }
        let dims = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok());
        let raw = tensor.raw_data.as_ref()?;
        let values = raw.chunks_exact(4);
        Some(Floats {
            dims: dims.collect::<Option<_>>()?,
            values: values
                .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                .collect(),
        })
    }

    /// Adds a constant; gives its name.
    pub(crate) fn add_floats(&mut self, wish: &str, floats: &Floats) -> String {
        let name = self.unique(wish);
        let tensor = float_tensor(&name, &floats.dims, &floats.values);
        self.constants.insert(name.clone(), tensor);
        name
    }

    /// A name that no value has.
    pub(crate) fn unique(&self, wish: &str) -> String {
        let names = self.names();
        unique(wish, &|name| names.contains(name))
    }

    /// Every name of a value.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        let mut names: BTreeSet<&str> = self.constants.keys().map(String::as_str).collect();
        names.extend(self.inputs().iter().filter_map(|input| input.name.as_deref()));
        names.extend(self.outputs());
        for node in &self.nodes {
            names.extend(reads(node));
            names.extend(node.output.iter().map(String::as_str));
        }
        names
    }

    /// How often each value is read, the model's outputs counted.
    pub(crate) fn uses(&self) -> BTreeMap<&str, usize> {
        let mut uses = BTreeMap::new();
        for name in self.nodes.iter().flat_map(reads).chain(self.outputs()) {
            *uses.entry(name).or_default() += 1;
        }
        uses
    }

    /// Which node computes each value.
    pub(crate) fn producers(&self) -> BTreeMap<&str, usize> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .flat_map(|(index, node)| node.output.iter().map(move |name| (name.as_str(), index)))
            .collect()
    }

    /// The model with other nodes, and more constants; those that nothing reads are left out.
    pub(crate) fn with_nodes(&self, nodes: Vec<NodeProto>, more: Vec<TensorProto>) -> ModelProto {
        let mut model = self.rest.clone();
        let graph = model.graph.get_or_insert_default();
        graph.node = nodes;
        let outputs: Vec<String> = self.outputs().map(str::to_owned).collect();
        let mut read: BTreeSet<&str> = graph.node.iter().flat_map(reads).collect();
        read.extend(outputs.iter().map(String::as_str));
        let constants = self.constants.values().cloned().chain(more);
        graph.initializer = constants
            .filter(|constant| read.contains(constant.name.as_deref().unwrap_or_default()))
            .collect();
        model
    }

    /// The model as it stands.
    pub(crate) fn to_model(&self) -> ModelProto {
        self.with_nodes(self.nodes.clone(), Vec::new())
    }

    /// The model with these values as its outputs.
    pub(crate) fn exposing(&self, values: &[String]) -> ModelProto {
        expose(self.to_model(), values)
    }
}

/// Gives a model these values as its outputs instead of its own; those that are not outputs are floats.
pub(crate) fn expose(mut model: ModelProto, values: &[String]) -> ModelProto {
    let graph = model.graph.get_or_insert_default();
    let declared = std::mem::take(&mut graph.output);
    let floats = |name: &String| ValueInfoProto {
        name: Some(name.clone()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(FLOAT),
                shape: None,
            }),
            ..Default::default()
        }),
    };
    let output = |name: &String| {
        let of_model = declared.iter().find(|output| output.name.as_ref() == Some(name));
        of_model.cloned().unwrap_or_else(|| floats(name))
    };
    graph.output = values.iter().map(output).collect();
    model
}

/// A name that is not taken: the one wished for, or with a number behind it.
pub(crate) fn unique(wish: &str, taken: &dyn Fn(&str) -> bool) -> String {
    if !taken(wish) {
        return wish.to_owned();
    }
    (2..)
        .map(|number| format!("{wish}_{number}"))
        .find(|name| !taken(name))
        .unwrap_or_default()
}

/// What a node reads: its inputs, and every name in the graphs within it (values have one name in the whole model).
pub(crate) fn reads(node: &NodeProto) -> impl Iterator<Item = &str> {
    fn within<'g>(graph: &'g GraphProto, names: &mut Vec<&'g str>) {
        names.extend(graph.output.iter().filter_map(|output| output.name.as_deref()));
        for node in &graph.node {
            names.extend(node.input.iter().map(String::as_str));
            for graph in node
                .attribute
                .iter()
                .filter_map(|attribute| attribute.g.as_deref())
            {
                within(graph, names);
            }
        }
    }
    let mut inner = Vec::new();
    for graph in node
        .attribute
        .iter()
        .filter_map(|attribute| attribute.g.as_deref())
    {
        within(graph, &mut inner);
    }
    let names = node.input.iter().map(String::as_str).chain(inner);
    names.filter(|name| !name.is_empty())
}

/// Whether a node is this operator of `ai.onnx`.
pub(crate) fn is(node: &NodeProto, op_type: &str) -> bool {
    matches!(node.domain.as_deref(), None | Some("")) && node.op_type.as_deref() == Some(op_type)
}

/// The name of the first output.
pub(crate) fn output(node: &NodeProto) -> &str {
    node.output.first().map_or("", String::as_str)
}

/// An input that is given.
pub(crate) fn input(node: &NodeProto, place: usize) -> Option<&str> {
    let name = node.input.get(place)?;
    (!name.is_empty()).then_some(name.as_str())
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute
        .iter()
        .find(|attribute| attribute.name.as_deref() == Some(name))
}

pub(crate) fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    let given = attribute(node, name);
    given.map_or(default, |attribute| attribute.i.unwrap_or_default())
}

pub(crate) fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    let given = attribute(node, name);
    given.map_or(default, |attribute| attribute.f.unwrap_or_default())
}

/// An integer attribute.
pub(crate) fn int_attribute(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: Some(name.to_owned()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..Default::default()
    }
}

/// A node with one output.
pub(crate) fn node(op_type: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: Some(op_type.to_owned()),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// A constant with its elements in little-endian order.
pub(crate) fn tensor(name: &str, kind: i32, dims: &[usize], raw: Bytes) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(kind),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        raw_data: Some(raw),
        ..Default::default()
    }
}

pub(crate) fn float_tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, FLOAT, dims, raw.into())
}

/// The bytes of a file.
pub(crate) fn encode(model: &ModelProto) -> Bytes {
    model.encode_to_vec().into()
}
