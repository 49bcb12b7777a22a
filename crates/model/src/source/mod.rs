//! A model as it is written: names, attributes, dimensions. Read from ONNX, then brought to canonical form.
//!
//! The tool's importer and the chain's loader read with the same code. The loader then demands that writing the result
//! gives the very bytes it was given, so whatever is tolerated here (another order, inline weights, unknown fields) is
//! tolerated in the tool only.

mod canonicalize;
mod integers;
mod labels;
mod microsoft;
mod narrow;
mod nodes;
mod tensors;

use crate::{
    Attribute, DType,
    constant::Constant,
    external::ExternalData,
    import::{DimSetting, ImportError, ImportOptions, NodeLabel},
    limits::{MAX_NODES, MAX_OPSET, MAX_RANK, MAX_VALUES, MIN_OPSET},
    ops,
    proto::{DimensionValue, ModelProto, ValueInfoProto},
};
use nodes::Reader;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use integers::{BYTE_MOVERS, MAX_POOL_OF_BYTES};
pub use microsoft::microsoft_operators;
pub(crate) use tensors::read_tensor;

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
    /// The graphs in attributes of control flow.
    pub(crate) graphs: BTreeMap<String, SourceGraph>,
}

/// A graph within a node. It sees the values around it, and has no constants of its own: they are the model's.
#[derive(Debug, Clone)]
pub(crate) struct SourceGraph {
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
    pub(crate) nodes: Vec<SourceNode>,
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
        Self::read_open(proto, external)?.settled(options)
    }

    /// [`Self::read`] of what claims to be canonical: calls are not inlined, so that reading takes no more than the graph has nodes.
    pub(crate) fn read_canonical(
        mut proto: ModelProto,
        external: &dyn ExternalData,
    ) -> Result<Self, ImportError> {
        proto.functions.clear();
        Self::read_nodes(proto, external, false)?.settled(&ImportOptions::default())
    }

    fn settled(mut self, options: &ImportOptions) -> Result<Self, ImportError> {
        let declared = std::mem::take(&mut self.bounds);
        self.settle_dimensions(&declared, options)?;
        Ok(self)
    }

    /// [`Self::read`] with free dimensions as the file has them, and the bounds that it states.
    pub(crate) fn read_open(proto: ModelProto, external: &dyn ExternalData) -> Result<Self, ImportError> {
        Self::read_nodes(proto, external, true)
    }

    /// Reads the parts of a model; `inlines` says whether what the profile does not have, operators of ONNX Runtime's, integers of few bits, names of
    /// classes, is replaced by what it stands for.
    fn read_nodes(
        proto: ModelProto,
        external: &dyn ExternalData,
        inlines: bool,
    ) -> Result<Self, ImportError> {
        let domains = other_domains(&proto)?;
        let opset = opset(&proto, !domains.is_empty())?;
        let functions = proto.functions;
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

        let declared = inlines.then(|| microsoft::Declared::of(&graph));
        let mut reader = Reader::new(external, &functions, opset, declared)?;
        let mut constants = Vec::with_capacity(graph.initializer.len());
        let mut narrow = BTreeSet::new();
        for initializer in graph.initializer {
            let name = initializer.name.clone().unwrap_or_default();
            let code = initializer.data_type.unwrap_or(0);
            let tensor = match narrow::widened(code) {
                Some(widened) if inlines => {
                    narrow.insert(name.clone());
                    narrow::read_narrow(initializer, widened, &name, external)?
                }
                _ if inlines && code == labels::STRING => reader.labels.read_tensor(&initializer, &name)?,
                _ => read_tensor(initializer, &name, external)?,
            };
            let value = Arc::new(Constant::new(tensor));
            constants.push(SourceConstant { name, value });
        }
        let given = graph
            .input
            .iter()
            .map(|input| input.name.clone().unwrap_or_default());
        let given = given.chain(constants.iter().map(|constant| constant.name.clone()));
        let nodes = reader.read_model(graph.node, given)?;
        narrow::check(&nodes, narrow)?;
        constants.append(&mut reader.constants);
        if constants.len() > MAX_VALUES {
            return Err(ImportError::TooMany {
                what: "initialisers",
                count: constants.len(),
                limit: MAX_VALUES,
            });
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
            .map(|output| read_output(output, &zipped, inlines))
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
        Ok(Self {
            opset,
            domains,
            inputs,
            outputs,
            constants,
            nodes,
            bounds: declared,
        })
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

/// An output. Where a `ZipMap` gave it, the file declares a sequence of maps of floats; `copied` has the outputs of nodes that
/// took its place, among others. Where the file `names` labels, they are numbers here.
fn read_output(
    mut value: ValueInfoProto,
    copied: &BTreeSet<String>,
    names: bool,
) -> Result<SourceValue, ImportError> {
    let name = value.name.clone().unwrap_or_default();
    let tensor = value.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut());
    let declares_tensor = tensor.is_some();
    if let Some(tensor) = tensor
        && names
        && tensor.elem_type == Some(labels::STRING)
    {
        tensor.elem_type = Some(DType::I64.onnx_code());
    }
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
