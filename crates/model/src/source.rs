//! A model as it is written: names, attributes, dimensions. Read from ONNX, then brought to canonical form.
//!
//! The tool's importer and the chain's loader read with the same code. The loader then demands that writing the result
//! gives the very bytes it was given, so whatever is tolerated here (another order, inline weights, unknown fields) is
//! tolerated in the tool only.

use crate::{
    Attribute, DType, Tensor, TensorError,
    constant::Constant,
    external::ExternalData,
    import::{DimSetting, ImportError, ImportOptions, NodeLabel},
    limits::{MAX_NODE_VALUES, MAX_NODES, MAX_OPSET, MAX_RANK, MAX_VALUES, MIN_OPSET},
    ops,
    proto::{
        AttributeProto, DimensionValue, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_type,
    },
    shape::shape_from_i64s,
};
use bytes::Bytes;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

/// Prefix of the metadata entries that hold the bounds of free dimensions.
pub(crate) const BOUND_PREFIX: &str = "synod.max.";

/// The version of `ai.onnx` of a file that states none because it has operators of other domains only.
const OPSET_OF_OTHER_DOMAINS: i64 = 20;

/// A dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SourceDim {
    Fixed(usize),
    Symbol(String),
}

/// An input or output of the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceValue {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    /// For outputs: what the file declares, `None` if it declares no shape.
    pub(crate) dims: Option<Vec<SourceDim>>,
}

/// An initialiser.
#[derive(Debug, Clone)]
pub(crate) struct SourceConstant {
    pub(crate) name: String,
    pub(crate) value: Arc<Constant>,
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct SourceNode {
    pub(crate) name: String,
    /// Empty for `ai.onnx`.
    pub(crate) domain: String,
    pub(crate) op_type: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

impl SourceNode {
    pub(crate) fn label(&self, index: usize) -> NodeLabel {
        let name = if self.name.is_empty() {
            self.outputs.first()
        } else {
            Some(&self.name)
        };
        NodeLabel {
            index,
            op_type: self.op_type.clone(),
            name: name.cloned().unwrap_or_default(),
        }
    }
}

/// The whole model.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The version of `ai.onnx`.
    pub(crate) opset: i64,
    /// The versions of other domains: in canonical form of those that nodes use.
    pub(crate) domains: BTreeMap<String, i64>,
    pub(crate) inputs: Vec<SourceValue>,
    pub(crate) outputs: Vec<SourceValue>,
    pub(crate) constants: Vec<SourceConstant>,
    pub(crate) nodes: Vec<SourceNode>,
    /// The bound of each free dimension of the inputs.
    pub(crate) bounds: BTreeMap<String, usize>,
}

impl Source {
    /// Reads a decoded model, with the weights that lie beside it.
    pub(crate) fn read(
        proto: ModelProto,
        external: &dyn ExternalData,
        options: &ImportOptions,
    ) -> Result<Self, ImportError> {
        let domains = other_domains(&proto)?;
        let opset = opset(&proto, !domains.is_empty())?;
        if !proto.functions.is_empty() {
            return Err(ImportError::Functions {
                count: proto.functions.len(),
            });
        }
        let graph = proto.graph.ok_or(ImportError::NoGraph)?;
        if !graph.sparse_initializer.is_empty() {
            return Err(ImportError::SparseInitializer);
        }
        for (what, count, limit) in [
            ("nodes", graph.node.len(), MAX_NODES),
            ("initialisers", graph.initializer.len(), MAX_VALUES),
            ("inputs", graph.input.len(), MAX_VALUES),
            ("outputs", graph.output.len(), MAX_VALUES),
        ] {
            if count > limit {
                return Err(ImportError::TooMany { what, count, limit });
            }
        }

        let mut constants = Vec::with_capacity(graph.initializer.len());
        for initializer in graph.initializer {
            let name = initializer.name.clone().unwrap_or_default();
            let value = Arc::new(Constant::new(read_tensor(initializer, &name, external)?));
            constants.push(SourceConstant { name, value });
        }
        let mut nodes = Vec::with_capacity(graph.node.len());
        for (index, node) in graph.node.into_iter().enumerate() {
            let mut node = read_node(node, index, external)?;
            drop_zip_map(&mut node);
            match constant_value(&node, index)? {
                Some(tensor) => {
                    let name = node.outputs.into_iter().next().unwrap_or_default();
                    constants.push(SourceConstant {
                        name,
                        value: Arc::new(Constant::new(tensor)),
                    });
                }
                None => nodes.push(node),
            }
        }

        // Files older than IR version 4 list their initialisers among the inputs, as defaults that a caller may
        // override. Here they are constants.
        let constant_names: BTreeSet<&str> =
            constants.iter().map(|constant| constant.name.as_str()).collect();
        let zipped: BTreeSet<String> = nodes
            .iter()
            .filter(|node| node.op_type == "Identity")
            .flat_map(|node| node.outputs.clone())
            .collect();
        let mut inputs = Vec::new();
        for input in graph.input {
            if !constant_names.contains(input.name.as_deref().unwrap_or_default()) {
                inputs.push(read_value(input)?);
            }
        }
        let outputs = graph
            .output
            .into_iter()
            .map(|output| read_output(output, &zipped))
            .collect::<Result<Vec<_>, _>>()?;
        if outputs.is_empty() {
            return Err(ImportError::NoOutputs);
        }

        let mut declared = BTreeMap::new();
        for entry in proto.metadata_props {
            if let Some(name) = entry
                .key
                .as_deref()
                .and_then(|key| key.strip_prefix(BOUND_PREFIX))
            {
                let value = entry.value.unwrap_or_default();
                let bound = value.parse().map_err(|_| ImportError::Bound {
                    name: name.to_owned(),
                    value,
                })?;
                declared.insert(name.to_owned(), bound);
            }
        }
        let mut source = Self {
            opset,
            domains,
            inputs,
            outputs,
            constants,
            nodes,
            bounds: BTreeMap::new(),
        };
        source.settle_dimensions(&declared, options)?;
        Ok(source)
    }

    /// Pins or bounds every free dimension of the inputs.
    fn settle_dimensions(
        &mut self,
        declared: &BTreeMap<String, usize>,
        options: &ImportOptions,
    ) -> Result<(), ImportError> {
        let mut unused: BTreeSet<&String> = options.dims.keys().collect();
        for input in &mut self.inputs {
            let Some(dims) = &mut input.dims else {
                return Err(ImportError::UnknownRank {
                    input: input.name.clone(),
                });
            };
            for (axis, dim) in dims.iter_mut().enumerate() {
                let SourceDim::Symbol(name) = dim else { continue };
                if name.is_empty() {
                    *name = format!("{}.{axis}", input.name);
                }
                unused.remove(name);
                match (options.dims.get(name), declared.get(name)) {
                    (Some(DimSetting::Pin(size)), bound) if bound.is_none_or(|bound| size <= bound) => {
                        *dim = SourceDim::Fixed(*size);
                    }
                    (Some(DimSetting::AtMost(max)), bound) if bound.is_none_or(|bound| max <= bound) => {
                        self.bounds.insert(name.clone(), *max);
                    }
                    (Some(setting), Some(bound)) => {
                        return Err(ImportError::AboveBound {
                            name: name.clone(),
                            setting: *setting,
                            bound: *bound,
                        });
                    }
                    (None, Some(bound)) => {
                        self.bounds.insert(name.clone(), *bound);
                    }
                    (_, None) => {
                        return Err(ImportError::FreeDimension {
                            name: name.clone(),
                            input: input.name.clone(),
                            axis,
                        });
                    }
                }
            }
        }
        for output in &mut self.outputs {
            for dim in output.dims.iter_mut().flatten() {
                if let SourceDim::Symbol(name) = dim
                    && let Some(DimSetting::Pin(size)) = options.dims.get(name)
                {
                    *dim = SourceDim::Fixed(*size);
                }
            }
        }
        match unused.first() {
            Some(name) => Err(ImportError::NoSuchDimension {
                name: (*name).clone(),
                known: self.bounds.keys().cloned().collect(),
            }),
            None => Ok(()),
        }
    }

    /// Brings the graph to canonical form: nodes in topological order (the given order where it is one), without those
    /// that no output needs, without node names; values between nodes numbered; constants in order of first use, without
    /// unused ones.
    pub(crate) fn canonicalize(&mut self) -> Result<(), ImportError> {
        let producers = self.producers()?;
        self.sort_nodes(&producers)?;
        self.drop_unused();
        self.sort_constants();
        self.rename_values();
        Ok(())
    }

    /// The node that computes each name; every name is defined once.
    fn producers(&self) -> Result<BTreeMap<String, usize>, ImportError> {
        let mut defined = BTreeSet::new();
        let given = self.inputs.iter().map(|input| &input.name);
        for name in given.chain(self.constants.iter().map(|constant| &constant.name)) {
            if name.is_empty() {
                return Err(ImportError::Unnamed);
            }
            if !defined.insert(name.as_str()) {
                return Err(ImportError::DuplicateName { name: name.clone() });
            }
        }
        let mut producers = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                if !defined.insert(name) {
                    return Err(ImportError::DuplicateName { name: name.clone() });
                }
                producers.insert(name.clone(), index);
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(name) = node
                .inputs
                .iter()
                .find(|&name| !name.is_empty() && !defined.contains(name.as_str()))
            {
                return Err(ImportError::Undefined {
                    node: node.label(index),
                    name: name.clone(),
                });
            }
        }
        let mut outputs = BTreeSet::new();
        for output in &self.outputs {
            if !defined.contains(output.name.as_str()) {
                return Err(ImportError::UndefinedOutput {
                    name: output.name.clone(),
                });
            }
            if !outputs.insert(&output.name) {
                return Err(ImportError::DuplicateName {
                    name: output.name.clone(),
                });
            }
        }
        Ok(producers)
    }

    /// Kahn's algorithm; of the nodes that are ready the one written first comes first.
    fn sort_nodes(&mut self, producers: &BTreeMap<String, usize>) -> Result<(), ImportError> {
        let count = self.nodes.len();
        let mut waiting = vec![0usize; count];
        let mut consumers = vec![Vec::new(); count];
        for (index, node) in self.nodes.iter().enumerate() {
            for producer in node.inputs.iter().filter_map(|name| producers.get(name)) {
                waiting[index] += 1;
                consumers[*producer].push(index);
            }
        }
        let mut ready: BinaryHeap<Reverse<usize>> =
            (0..count).filter(|&i| waiting[i] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(count);
        while let Some(Reverse(index)) = ready.pop() {
            order.push(index);
            for &consumer in &consumers[index] {
                waiting[consumer] -= 1;
                if waiting[consumer] == 0 {
                    ready.push(Reverse(consumer));
                }
            }
        }
        if let Some(index) = (0..count).find(|&index| waiting[index] > 0) {
            return Err(ImportError::Cycle {
                node: self.nodes[index].label(index),
            });
        }
        let mut nodes: Vec<_> = std::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order
            .into_iter()
            .filter_map(|index| nodes[index].take())
            .collect();
        Ok(())
    }

    fn drop_unused(&mut self) {
        let mut needed: BTreeSet<String> = self.outputs.iter().map(|output| output.name.clone()).collect();
        let mut keep = vec![false; self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate().rev() {
            if node.outputs.iter().any(|name| needed.contains(name)) {
                keep[index] = true;
                needed.extend(node.inputs.iter().cloned());
            }
        }
        let mut index = 0;
        self.nodes.retain(|_| {
            index += 1;
            keep[index - 1]
        });
        self.constants.retain(|constant| needed.contains(&constant.name));
        let used: BTreeSet<&str> = self.nodes.iter().map(|node| node.domain.as_str()).collect();
        self.domains.retain(|domain, _| used.contains(domain.as_str()));
    }

    fn sort_constants(&mut self) {
        let mut first_use = BTreeMap::new();
        let uses = self.nodes.iter().flat_map(|node| &node.inputs);
        for name in uses.chain(self.outputs.iter().map(|output| &output.name)) {
            let next = first_use.len();
            first_use.entry(name.as_str()).or_insert(next);
        }
        self.constants
            .sort_by_key(|constant| first_use.get(constant.name.as_str()).copied());
    }

    fn rename_values(&mut self) {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        let visible = self.inputs.iter().chain(&self.outputs).map(|value| &value.name);
        for name in visible.chain(self.constants.iter().map(|constant| &constant.name)) {
            names.insert(name.clone(), name.clone());
        }
        let kept: BTreeSet<String> = names.keys().cloned().collect();
        let mut fresh = (0..)
            .map(|number: u64| format!("v{number}"))
            .filter(|name| !kept.contains(name));
        for node in &mut self.nodes {
            node.name.clear();
            for name in node
                .inputs
                .iter_mut()
                .chain(&mut node.outputs)
                .filter(|name| !name.is_empty())
            {
                let new = names
                    .entry(name.clone())
                    .or_insert_with(|| fresh.next().expect("the numbers do not run out"));
                name.clone_from(new);
            }
            // An empty name at the end says the same as none.
            for list in [&mut node.inputs, &mut node.outputs] {
                while list.last().is_some_and(String::is_empty) {
                    list.pop();
                }
            }
        }
    }
}

/// The version of `ai.onnx`. A file that imports other domains alone has no operators of it, but may come to have some.
fn opset(proto: &ModelProto, others: bool) -> Result<i64, ImportError> {
    let of_onnx = |domain: Option<&str>| matches!(domain.unwrap_or(""), "" | "ai.onnx");
    // the same import twice, as skl2onnx writes it, says nothing new
    let mut versions: Vec<i64> = proto
        .opset_import
        .iter()
        .filter(|import| of_onnx(import.domain.as_deref()))
        .map(|import| import.version.unwrap_or(0))
        .collect();
    versions.dedup();
    let version = match versions[..] {
        [version] => version,
        [] if others => OPSET_OF_OTHER_DOMAINS,
        [] => return Err(ImportError::NoOpset),
        _ => return Err(ImportError::OpsetTwice),
    };
    if (MIN_OPSET..=MAX_OPSET).contains(&version) {
        Ok(version)
    } else {
        Err(ImportError::Opset { version })
    }
}

/// The versions of the other domains that the profile knows. What else a file imports, it may not use.
fn other_domains(proto: &ModelProto) -> Result<BTreeMap<String, i64>, ImportError> {
    let mut domains = BTreeMap::new();
    for import in &proto.opset_import {
        let name = import.domain.as_deref().unwrap_or("");
        let Some(domain) = ops::domain(name).filter(|domain| !domain.name.is_empty()) else {
            continue;
        };
        let version = import.version.unwrap_or(0);
        if !(1..=domain.max_opset).contains(&version) {
            return Err(ImportError::DomainVersion {
                domain: name.to_owned(),
                version,
                max: domain.max_opset,
            });
        }
        if domains
            .insert(name.to_owned(), version)
            .is_some_and(|other| other != version)
        {
            return Err(ImportError::OpsetTwice);
        }
    }
    Ok(domains)
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

/// An output. Where a `ZipMap` gave it, the file declares a sequence of maps of floats; `copied` has the outputs of nodes that
/// took its place, among others.
fn read_output(value: ValueInfoProto, copied: &BTreeSet<String>) -> Result<SourceValue, ImportError> {
    let name = value.name.clone().unwrap_or_default();
    let declares_tensor = value
        .r#type
        .as_ref()
        .is_some_and(|kind| kind.tensor_type.is_some());
    if !declares_tensor && copied.contains(&name) {
        return Ok(SourceValue {
            name,
            dtype: DType::F32,
            dims: None,
        });
    }
    read_value(value)
}

fn read_value(value: ValueInfoProto) -> Result<SourceValue, ImportError> {
    let name = value.name.unwrap_or_default();
    let not_tensor = || ImportError::NotTensor { name: name.clone() };
    let tensor = value
        .r#type
        .and_then(|kind| kind.tensor_type)
        .ok_or_else(not_tensor)?;
    let code = tensor.elem_type.unwrap_or(0);
    let dtype = DType::from_onnx_code(code).ok_or_else(|| ImportError::ElementType {
        what: format!("`{name}`"),
        code: DType::onnx_code_name(code),
    })?;
    let dims = tensor.shape.map(|shape| {
        shape
            .dim
            .into_iter()
            .map(|dim| match dim.value {
                // Some exporters write an unknown size as -1 or "?", where ONNX has nothing.
                Some(DimensionValue::Value(-1)) => Ok(SourceDim::Symbol(String::new())),
                Some(DimensionValue::Value(size)) => {
                    usize::try_from(size)
                        .map(SourceDim::Fixed)
                        .map_err(|_| ImportError::NegativeDimension {
                            what: format!("`{name}`"),
                            dim: size,
                        })
                }
                Some(DimensionValue::Param(symbol)) if symbol == "?" => Ok(SourceDim::Symbol(String::new())),
                Some(DimensionValue::Param(symbol)) => Ok(SourceDim::Symbol(symbol)),
                None => Ok(SourceDim::Symbol(String::new())),
            })
            .collect::<Result<Vec<_>, _>>()
    });
    let dims = dims.transpose()?;
    if let Some(dims) = &dims
        && dims.len() > MAX_RANK
    {
        return Err(ImportError::Rank {
            name,
            rank: dims.len(),
        });
    }
    Ok(SourceValue { name, dtype, dims })
}

fn read_node(node: NodeProto, index: usize, external: &dyn ExternalData) -> Result<SourceNode, ImportError> {
    let mut result = SourceNode {
        name: node.name.unwrap_or_default(),
        domain: String::new(),
        op_type: node.op_type.unwrap_or_default(),
        inputs: node.input,
        outputs: node.output,
        attributes: BTreeMap::new(),
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
    for attribute in node.attribute {
        let name = attribute.name.clone().unwrap_or_default();
        let value = read_attribute(attribute, &result, index, &name, external)?;
        if result.attributes.insert(name.clone(), value).is_some() {
            return Err(ImportError::DuplicateAttribute {
                node: result.label(index),
                name,
            });
        }
    }
    Ok(result)
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
    if attribute.ref_attr_name.is_some_and(|name| !name.is_empty()) {
        return Err(refuse(
            "it refers to an attribute of a function, and there is none around it",
        ));
    }
    if attribute.g.is_some() || !attribute.graphs.is_empty() {
        return Err(ImportError::Subgraph {
            node: node.label(index),
        });
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
        kind::GRAPH | kind::GRAPHS => {
            return Err(ImportError::Subgraph {
                node: node.label(index),
            });
        }
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

/// Reads a `TensorProto`, wherever it keeps its elements.
pub(crate) fn read_tensor(
    proto: TensorProto,
    name: &str,
    external: &dyn ExternalData,
) -> Result<Tensor, ImportError> {
    let what = || format!("tensor `{name}`");
    let fail = |error: TensorError| ImportError::Tensor {
        name: name.to_owned(),
        error,
    };
    let code = proto.data_type.unwrap_or(0);
    let dtype = DType::from_onnx_code(code).ok_or_else(|| ImportError::ElementType {
        what: what(),
        code: DType::onnx_code_name(code),
    })?;
    let shape = shape_from_i64s(&proto.dims).map_err(|error| fail(error.into()))?;
    // Before anything is converted or read: the size has to be within the limits.
    let expected = crate::shape::byte_length(dtype, &shape).map_err(|error| fail(error.into()))?;
    if proto.data_location == Some(1) {
        let data = read_external(&proto, name, expected, external)?;
        return Tensor::from_le_bytes(dtype, &shape, &data).map_err(fail);
    }
    if let Some(raw) = &proto.raw_data {
        return Tensor::from_le_bytes(dtype, &shape, raw).map_err(fail);
    }
    // Typed fields: narrow types are widened to int32 (the 16-bit floats as their bits), u32 to u64.
    let bytes: Vec<u8> = match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U64 => proto.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U32 => proto
            .uint64_data
            .iter()
            .flat_map(|&x| (x as u32).to_le_bytes())
            .collect(),
        DType::I32 => proto.int32_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F16 | DType::BF16 | DType::I16 | DType::U16 => proto
            .int32_data
            .iter()
            .flat_map(|&x| (x as u16).to_le_bytes())
            .collect(),
        DType::I8 | DType::U8 | DType::Bool => proto.int32_data.iter().map(|&x| x as u8).collect(),
    };
    Tensor::from_le_bytes(dtype, &shape, &bytes).map_err(fail)
}

fn read_external(
    proto: &TensorProto,
    name: &str,
    expected: usize,
    external: &dyn ExternalData,
) -> Result<Bytes, ImportError> {
    let fail = |why: String| ImportError::External {
        name: name.to_owned(),
        why,
    };
    let entry = |key: &str| {
        let mut found = proto
            .external_data
            .iter()
            .filter(|entry| entry.key.as_deref() == Some(key));
        found.next().map(|entry| entry.value.as_deref().unwrap_or(""))
    };
    let number = |key: &'static str| {
        let parse = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| fail(format!("{key} is `{text}`")))
        };
        entry(key).map(parse).transpose()
    };
    let location = entry("location").ok_or_else(|| fail("location is missing".into()))?;
    let length = number("length")?.unwrap_or(expected as u64);
    if length != expected as u64 {
        return Err(fail(format!(
            "length is {length}, type and shape need {expected} bytes"
        )));
    }
    let offset = number("offset")?.unwrap_or(0);
    let data = external
        .read(location, offset, expected)
        .map_err(|error| fail(error.to_string()))?;
    if data.len() == expected {
        Ok(data)
    } else {
        Err(fail(format!(
            "`{location}` gave {} bytes at {offset}, {expected} are needed",
            data.len()
        )))
    }
}
