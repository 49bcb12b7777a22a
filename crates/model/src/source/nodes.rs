//! Reading nodes: attributes, the graphs within them, and the functions that they call.
//!
//! **Names.** A name in a subgraph may be that of another subgraph's value, and hides one of the graphs around it. What is read
//! here has one name for one value in the whole model, so that nothing after it has to know about scopes.
//!
//! **Constants** of subgraphs become the model's.
//!
//! **Functions** of the file's own are inlined where they are called, and so are operators that only ONNX Runtime has (see [`microsoft`]).

use super::{
    Attribute, ImportError, SourceConstant, SourceGraph, SourceNode, labels::Labels, microsoft,
    tensors::read_tensor,
};
use crate::{
    DType, Tensor,
    constant::Constant,
    external::ExternalData,
    limits::{MAX_GRAPH_DEPTH, MAX_NODE_VALUES, MAX_NODES, MAX_VALUES},
    ops,
    proto::{AttributeProto, FunctionProto, GraphProto, NodeProto, ValueInfoProto, attribute_type},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The names that a graph or a function body sees.
struct Scope<'s> {
    /// From the names written there to those in the model.
    names: BTreeMap<String, String>,
    /// In a function's body the attributes of the call.
    attributes: Option<BTreeMap<String, AttributeProto>>,
    /// The graph around it; a function's body sees nothing around it.
    parent: Option<&'s Scope<'s>>,
    /// Graphs that enclose it, itself counted.
    graphs: usize,
    /// Calls of functions that enclose it.
    calls: usize,
}

impl Scope<'_> {
    fn find(&self, name: &str) -> Option<&String> {
        let around = || self.parent.and_then(|parent| parent.find(name));
        self.names.get(name).or_else(around)
    }

    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        match &self.attributes {
            Some(attributes) => attributes.get(name),
            None => self.parent.and_then(|parent| parent.attribute(name)),
        }
    }

    fn in_function(&self) -> bool {
        self.attributes.is_some() || self.parent.is_some_and(Scope::in_function)
    }
}

/// Reads the nodes of a model.
pub(super) struct Reader<'r> {
    external: &'r dyn ExternalData,
    /// By domain, name and overload.
    functions: BTreeMap<(String, String, String), &'r FunctionProto>,
    /// The model's version of `ai.onnx`, which functions must share.
    opset: i64,
    /// What the file says of its values, if operators of ONNX Runtime's are replaced.
    inlines: Option<BTreeMap<String, microsoft::Declared>>,
    /// Every name in use.
    taken: BTreeSet<String>,
    fresh: u64,
    nodes: usize,
    /// The numbers of strings, where operators of ONNX Runtime's are replaced.
    pub(super) labels: Labels,
    /// What becomes initialisers: constants of subgraphs and functions, and `Constant` nodes.
    pub(super) constants: Vec<SourceConstant>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        external: &'r dyn ExternalData,
        functions: &'r [FunctionProto],
        opset: i64,
        inlines: Option<BTreeMap<String, microsoft::Declared>>,
    ) -> Result<Self, ImportError> {
        let mut known = BTreeMap::new();
        for function in functions {
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let key = (
                text(&function.domain),
                text(&function.name),
                text(&function.overload),
            );
            if let Some(other) = known.insert(key, function) {
                return Err(ImportError::DuplicateName {
                    name: text(&other.name),
                });
            }
        }
        Ok(Self {
            external,
            functions: known,
            opset,
            inlines,
            taken: BTreeSet::new(),
            fresh: 0,
            nodes: 0,
            labels: Labels::default(),
            constants: Vec::new(),
        })
    }

    /// Reads the model's own nodes; `given` are the names of its inputs and initialisers.
    pub(super) fn read_model(
        &mut self,
        nodes: Vec<NodeProto>,
        given: impl Iterator<Item = String>,
    ) -> Result<Vec<SourceNode>, ImportError> {
        let computed = nodes.iter().flat_map(|node| node.output.iter().cloned());
        self.taken = given.chain(computed).filter(|name| !name.is_empty()).collect();
        let scope = Scope {
            names: self
                .taken
                .iter()
                .map(|name| (name.clone(), name.clone()))
                .collect(),
            attributes: None,
            parent: None,
            graphs: 1,
            calls: 0,
        };
        let mut read = Vec::with_capacity(nodes.len());
        self.read_nodes(nodes, &scope, &mut read)?;
        Ok(read)
    }

    fn read_nodes(
        &mut self,
        nodes: Vec<NodeProto>,
        scope: &Scope<'_>,
        read: &mut Vec<SourceNode>,
    ) -> Result<(), ImportError> {
        for (index, node) in nodes.into_iter().enumerate() {
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(ImportError::TooMany {
                    what: "nodes",
                    count: self.nodes,
                    limit: MAX_NODES,
                });
            }
            let text = |field: &Option<String>| field.clone().unwrap_or_default();
            let key = (text(&node.domain), text(&node.op_type), text(&node.overload));
            if let Some(&function) = self.functions.get(&key) {
                self.inline(function, node, index, scope, read)?;
                continue;
            }
            if self.inlines.is_some() && microsoft::is_known(&key.0, &key.1, self.opset) {
                self.inline_microsoft(node, index, scope, read)?;
                continue;
            }
            let mut node = self.read_node(node, index, scope)?;
            drop_zip_map(&mut node);
            if self.inlines.is_some() {
                self.labels.replace(&mut node);
            }
            match constant_value(&node, index)? {
                Some(tensor) => {
                    let name = node.outputs.into_iter().next().unwrap_or_default();
                    self.add_constant(name, tensor)?;
                }
                None => read.push(node),
            }
        }
        Ok(())
    }

    fn add_constant(&mut self, name: String, tensor: Tensor) -> Result<(), ImportError> {
        if self.constants.len() >= MAX_VALUES {
            return Err(ImportError::TooMany {
                what: "initialisers",
                count: self.constants.len() + 1,
                limit: MAX_VALUES,
            });
        }
        let value = Arc::new(Constant::new(tensor));
        self.constants.push(SourceConstant { name, value });
        Ok(())
    }

    /// A name that nothing else has: this one, or one made of it.
    fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        while !self.taken.insert(unique.clone()) {
            self.fresh += 1;
            unique = format!("{name}.{}", self.fresh);
        }
        unique
    }

    fn read_node(
        &mut self,
        node: NodeProto,
        index: usize,
        scope: &Scope<'_>,
    ) -> Result<SourceNode, ImportError> {
        let mut result = SourceNode {
            name: node.name.unwrap_or_default(),
            domain: String::new(),
            op_type: node.op_type.unwrap_or_default(),
            inputs: node.input,
            outputs: node.output,
            attributes: BTreeMap::new(),
            graphs: BTreeMap::new(),
        };
        for (what, list) in [
            ("inputs of a node", &result.inputs),
            ("outputs of a node", &result.outputs),
        ] {
            if list.len() > MAX_NODE_VALUES {
                return Err(ImportError::TooMany {
                    what,
                    count: list.len(),
                    limit: MAX_NODE_VALUES,
                });
            }
        }
        let domain = node.domain.unwrap_or_default();
        match ops::domain(&domain) {
            Some(domain) => result.domain = domain.name.to_owned(),
            None => {
                return Err(ImportError::UnknownDomain {
                    node: result.label(index),
                    domain,
                });
            }
        }
        self.resolve_names(&mut result, index, scope)?;
        for attribute in node.attribute {
            let name = attribute.name.clone().unwrap_or_default();
            let duplicate = result.attributes.contains_key(&name) || result.graphs.contains_key(&name);
            if duplicate {
                return Err(ImportError::DuplicateAttribute {
                    node: result.label(index),
                    name,
                });
            }
            let Some(mut attribute) = referred(attribute, scope, &result, index)? else {
                continue;
            };
            match attribute.g.take() {
                Some(graph) => {
                    let graph = self.read_graph(*graph, &result, index, scope)?;
                    result.graphs.insert(name, graph);
                }
                None => {
                    let value = read_attribute(attribute, &result, index, &name, self.external)?;
                    result.attributes.insert(name, value);
                }
            }
        }
        Ok(result)
    }

    /// Replaces the names that a node has in its file by the model's.
    fn resolve_names(
        &self,
        node: &mut SourceNode,
        index: usize,
        scope: &Scope<'_>,
    ) -> Result<(), ImportError> {
        let mut inputs = std::mem::take(&mut node.inputs);
        for name in inputs.iter_mut().filter(|name| !name.is_empty()) {
            match scope.find(name) {
                Some(known) => name.clone_from(known),
                // Of the model's own graph it is found out when all its nodes are read.
                None if scope.parent.is_none() && scope.attributes.is_none() => {}
                None => {
                    return Err(ImportError::Undefined {
                        node: node.label(index),
                        name: name.clone(),
                    });
                }
            }
        }
        node.inputs = inputs;
        for name in node.outputs.iter_mut().filter(|name| !name.is_empty()) {
            if let Some(known) = scope.names.get(name) {
                name.clone_from(known);
            }
        }
        Ok(())
    }

    /// A graph within `node`.
    fn read_graph(
        &mut self,
        graph: GraphProto,
        node: &SourceNode,
        index: usize,
        around: &Scope<'_>,
    ) -> Result<SourceGraph, ImportError> {
        if around.graphs >= MAX_GRAPH_DEPTH {
            return Err(crate::WireError::TooDeep.into());
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(ImportError::SparseInitializer);
        }
        let constants: BTreeSet<String> = graph
            .initializer
            .iter()
            .map(|constant| constant.name.clone().unwrap_or_default())
            .collect();
        let mut inputs = Vec::new();
        for input in graph.input {
            let name = input_name(input)?;
            if !constants.contains(&name) {
                inputs.push(name);
            }
        }
        let mut names = BTreeMap::new();
        let initializers = graph.initializer.iter().map(|constant| constant.name.clone());
        let given = inputs
            .iter()
            .cloned()
            .chain(initializers.map(Option::unwrap_or_default));
        for name in given.collect::<Vec<_>>() {
            if name.is_empty() {
                return Err(ImportError::Unnamed);
            }
            self.define(&mut names, &name)?;
        }
        for name in graph.node.iter().flat_map(|node| &node.output) {
            if !name.is_empty() {
                self.define(&mut names, name)?;
            }
        }
        let scope = Scope {
            names,
            attributes: None,
            parent: Some(around),
            graphs: around.graphs + 1,
            calls: around.calls,
        };
        for initializer in graph.initializer {
            let name = scope.names[initializer.name.as_deref().unwrap_or_default()].clone();
            let tensor = read_tensor(initializer, &name, self.external)?;
            self.add_constant(name, tensor)?;
        }
        let inputs = inputs
            .iter()
            .map(|name| scope.names[name].clone())
            .collect::<Vec<_>>();
        let mut nodes = Vec::with_capacity(graph.node.len());
        self.read_nodes(graph.node, &scope, &mut nodes)?;
        let mut own: BTreeSet<String> = nodes.iter().flat_map(|node| node.outputs.clone()).collect();
        own.extend(inputs.iter().cloned());
        let mut outputs = Vec::with_capacity(graph.output.len());
        for output in graph.output {
            let written = input_name(output)?;
            let name = scope.find(&written).ok_or_else(|| ImportError::Undefined {
                node: node.label(index),
                name: written.clone(),
            })?;
            // A graph gives values of its own, each once: of others, and of constants, it gives copies.
            if own.remove(name) {
                outputs.push(name.clone());
            } else {
                let copy = self.unique(name);
                nodes.push(SourceNode {
                    name: String::new(),
                    domain: String::new(),
                    op_type: "Identity".into(),
                    inputs: vec![name.clone()],
                    outputs: vec![copy.clone()],
                    attributes: BTreeMap::new(),
                    graphs: BTreeMap::new(),
                });
                outputs.push(copy);
            }
        }
        Ok(SourceGraph {
            inputs,
            outputs,
            nodes,
        })
    }

    /// Gives a name of a graph or function one of the model.
    fn define(&mut self, names: &mut BTreeMap<String, String>, name: &str) -> Result<(), ImportError> {
        let unique = self.unique(name);
        match names.insert(name.to_owned(), unique) {
            None => Ok(()),
            Some(_) => Err(ImportError::DuplicateName {
                name: name.to_owned(),
            }),
        }
    }

    /// Puts what a call of an operator that only ONNX Runtime has stands for in its place.
    fn inline_microsoft(
        &mut self,
        mut call: NodeProto,
        index: usize,
        scope: &Scope<'_>,
        read: &mut Vec<SourceNode>,
    ) -> Result<(), ImportError> {
        let node = SourceNode::called(&call);
        let mut attributes = Vec::with_capacity(call.attribute.len());
        for attribute in std::mem::take(&mut call.attribute) {
            attributes.extend(referred(attribute, scope, &node, index)?);
        }
        call.attribute = attributes;
        let declared: Vec<_> = call
            .input
            .iter()
            .map(|name| self.inlines.as_ref()?.get(scope.find(name).unwrap_or(name)))
            .collect();
        let function = microsoft::function(&call, self.opset, &declared);
        let function = function.map_err(|why| ImportError::Microsoft {
            node: node.label(index),
            why,
        })?;
        call.attribute.clear();
        self.inline(&function, call, index, scope, read)
    }

    /// Puts the nodes of a function in the place of a call.
    fn inline(
        &mut self,
        function: &FunctionProto,
        call: NodeProto,
        index: usize,
        scope: &Scope<'_>,
        read: &mut Vec<SourceNode>,
    ) -> Result<(), ImportError> {
        let mut node = SourceNode::called(&call);
        let refuse = |why: &'static str| ImportError::FunctionCall {
            node: node.label(index),
            why,
        };
        if scope.calls >= MAX_FUNCTION_DEPTH {
            return Err(refuse("functions call each other too deeply, or themselves"));
        }
        let other_opset = function.opset_import.iter().find(|import| {
            matches!(import.domain.as_deref().unwrap_or(""), "" | "ai.onnx")
                && import.version.unwrap_or(0) != self.opset
        });
        if other_opset.is_some() {
            return Err(refuse("the function has another opset of ai.onnx than the model"));
        }
        if node.inputs.len() > function.input.len() || node.outputs.len() > function.output.len() {
            return Err(refuse("it has more inputs or outputs than the function"));
        }
        self.resolve_names(&mut node, index, scope)?;
        let mut attributes = BTreeMap::new();
        for attribute in &function.attribute_proto {
            attributes.insert(attribute.name.clone().unwrap_or_default(), attribute.clone());
        }
        for attribute in call.attribute {
            let name = attribute.name.clone().unwrap_or_default();
            let known = attributes.contains_key(&name) || function.attribute.contains(&name);
            if !known {
                return Err(ImportError::FunctionCall {
                    node: node.label(index),
                    why: "it has an attribute that the function does not take",
                });
            }
            if let Some(attribute) = referred(attribute, scope, &node, index)? {
                attributes.insert(name, attribute);
            }
        }
        // Parameters stand for what the call gives; all else in the body gets names of its own.
        let mut names = BTreeMap::new();
        for (position, parameter) in function.input.iter().enumerate() {
            let given = node.inputs.get(position).cloned().unwrap_or_default();
            names.insert(parameter.clone(), given);
        }
        let results: BTreeMap<&String, &String> = function.output.iter().zip(&node.outputs).collect();
        let mut copies = Vec::new();
        for (result, wanted) in &results {
            if let Some(parameter) = names.get(*result) {
                copies.push((parameter.clone(), (*wanted).clone()));
            }
        }
        for name in function.node.iter().flat_map(|node| &node.output) {
            if name.is_empty() {
                continue;
            }
            let unique = match results.get(name) {
                Some(wanted) if !wanted.is_empty() => (*wanted).clone(),
                _ => self.unique(name),
            };
            if names.insert(name.clone(), unique).is_some() {
                return Err(ImportError::DuplicateName { name: name.clone() });
            }
        }
        let body = Scope {
            names,
            attributes: Some(attributes),
            parent: None,
            graphs: scope.graphs,
            calls: scope.calls + 1,
        };
        self.read_nodes(function.node.clone(), &body, read)?;
        for (from, to) in copies.into_iter().filter(|(_, to)| !to.is_empty()) {
            read.push(SourceNode {
                name: String::new(),
                domain: String::new(),
                op_type: "Identity".into(),
                inputs: vec![from],
                outputs: vec![to],
                attributes: BTreeMap::new(),
                graphs: BTreeMap::new(),
            });
        }
        Ok(())
    }
}

impl SourceNode {
    /// A call of a function, without its attributes.
    fn called(call: &NodeProto) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self {
            name: text(&call.name),
            domain: text(&call.domain),
            op_type: text(&call.op_type),
            inputs: call.input.clone(),
            outputs: call.output.clone(),
            attributes: BTreeMap::new(),
            graphs: BTreeMap::new(),
        }
    }
}

/// Functions that call functions, at most.
const MAX_FUNCTION_DEPTH: usize = 16;

/// The name of a subgraph's input or output; its type follows from the graph around it.
fn input_name(value: ValueInfoProto) -> Result<String, ImportError> {
    let name = value.name.unwrap_or_default();
    match value.r#type {
        Some(kind) if kind.is_other() => Err(ImportError::NotTensor { name }),
        _ => Ok(name),
    }
}

/// An attribute, or the one of the call that it refers to in a function's body; nothing if the call leaves that one out.
fn referred(
    attribute: AttributeProto,
    scope: &Scope<'_>,
    node: &SourceNode,
    index: usize,
) -> Result<Option<AttributeProto>, ImportError> {
    let Some(target) = attribute.ref_attr_name.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(Some(attribute));
    };
    if !scope.in_function() {
        return Err(ImportError::Attribute {
            node: node.label(index),
            name: attribute.name.unwrap_or_default(),
            why: "it refers to an attribute of a function, and there is none around it",
        });
    }
    Ok(scope.attribute(target).map(|found| AttributeProto {
        name: attribute.name,
        ..found.clone()
    }))
}

/// `ZipMap` makes a map from class to probability of each row, for people. Networks have tensors: the probabilities
/// themselves are given instead, in the order of the classes.
fn drop_zip_map(node: &mut SourceNode) {
    if node.domain == ops::ML_DOMAIN && node.op_type == "ZipMap" {
        node.domain.clear();
        node.op_type = "Identity".into();
        node.attributes.clear();
    }
}

fn read_attribute(
    attribute: AttributeProto,
    node: &SourceNode,
    index: usize,
    name: &str,
    external: &dyn ExternalData,
) -> Result<Attribute, ImportError> {
    use attribute_type as kind;
    let refuse = |why: &'static str| ImportError::Attribute {
        node: node.label(index),
        name: name.to_owned(),
        why,
    };
    if !attribute.graphs.is_empty() {
        return Err(refuse("lists of graphs are not supported"));
    }
    let kind = attribute.r#type.filter(|&kind| kind != 0).unwrap_or({
        // The oldest files leave the type to be guessed from the field that is set.
        if attribute.f.is_some() {
            kind::FLOAT
        } else if attribute.i.is_some() {
            kind::INT
        } else if attribute.s.is_some() {
            kind::STRING
        } else if attribute.t.is_some() {
            kind::TENSOR
        } else if !attribute.floats.is_empty() {
            kind::FLOATS
        } else if !attribute.strings.is_empty() {
            kind::STRINGS
        } else {
            kind::INTS
        }
    });
    let canonical = |value: f32| {
        if value.is_nan() {
            f32::from_bits(0x7fc0_0000)
        } else {
            value
        }
    };
    Ok(match kind {
        kind::FLOAT => Attribute::Float(canonical(attribute.f.unwrap_or(0.0))),
        kind::INT => Attribute::Int(attribute.i.unwrap_or(0)),
        kind::STRING => Attribute::String(attribute.s.unwrap_or_default().to_vec()),
        kind::TENSOR => {
            let tensor = attribute.t.ok_or_else(|| refuse("the tensor is missing"))?;
            Attribute::Tensor(read_tensor(tensor, name, external)?)
        }
        kind::FLOATS => Attribute::Floats(attribute.floats.into_iter().map(canonical).collect()),
        kind::INTS => Attribute::Ints(attribute.ints),
        kind::STRINGS => Attribute::Strings(attribute.strings.iter().map(|s| s.to_vec()).collect()),
        _ => {
            return Err(refuse(
                "its type is not supported (sparse tensors and type descriptions are not)",
            ));
        }
    })
}

/// The value of a `Constant` node, which becomes an initialiser. ONNX `Constant`, opsets 1 to 25.
fn constant_value(node: &SourceNode, index: usize) -> Result<Option<Tensor>, ImportError> {
    if node.op_type != "Constant" || !node.domain.is_empty() {
        return Ok(None);
    }
    let refuse = |why| ImportError::Attribute {
        node: node.label(index),
        name: "value".into(),
        why,
    };
    let mut attributes = node.attributes.iter();
    let (Some((name, value)), None) = (attributes.next(), attributes.next()) else {
        return Err(refuse(
            "a Constant has exactly one of value, value_float(s) and value_int(s)",
        ));
    };
    let tensor = match (name.as_str(), value) {
        ("value", Attribute::Tensor(tensor)) => return Ok(Some(tensor.clone())),
        ("value_float", Attribute::Float(x)) => Tensor::from_slice(DType::F32, &[], &[*x]),
        ("value_floats", Attribute::Floats(xs)) => Tensor::from_slice(DType::F32, &[xs.len()], xs),
        ("value_int", Attribute::Int(x)) => Tensor::from_slice(DType::I64, &[], &[*x]),
        ("value_ints", Attribute::Ints(xs)) => Tensor::from_slice(DType::I64, &[xs.len()], xs),
        _ => {
            return Err(refuse(
                "only dense tensors, floats and ints are supported as constants",
            ));
        }
    };
    tensor.map(Some).map_err(|error| ImportError::Tensor {
        name: node.outputs.concat(),
        error,
    })
}
