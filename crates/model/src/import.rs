//! Import: any ONNX file of the profile's operators to canonical form. The tool's side; the chain only loads.
//!
//! What the import does to a model, and all it does:
//! - `Constant` nodes become initialisers; initialisers listed as inputs stop being inputs;
//! - calls of the file's own functions are replaced by the functions' nodes, and so are operators of ONNX Runtime's that have a meaning in
//!   ONNX's; constants of subgraphs become the model's;
//! - constants of 2 and 4 bits become bytes, and names of classes the numbers of their places;
//! - nodes that no output needs, unused initialisers, value infos, names of nodes, doc strings and metadata are dropped;
//! - nodes are put in topological order; values between nodes are renumbered `v0`, `v1`, …;
//! - weights move to one blob; NaNs among them become the canonical NaN;
//! - free dimensions of the inputs are pinned or bounded as the caller says; the outputs' shapes are computed.
//!
//! No arithmetic is changed: what changes roundings (folding a BatchNormalization into a convolution) is the business of
//! other tools, before the import, where the author sees it.
//!
//! Importing a canonical model gives it back unchanged.

use crate::{
    TensorError,
    canonical::{CanonicalModel, Layout, encode_graph, model_proto},
    external::ExternalData,
    limits::{MAX_OPSET, MAX_RANK, MIN_OPSET},
    model::{Model, PlanError},
    ops::OpError,
    proto::{ModelProto, WireError, decode_model},
    shape::Shape,
    source::{Source, SourceDim},
};
use bytes::Bytes;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// How the import settles what a file leaves open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// A size or a bound for each free dimension, by its name. A dimension without a name is called `INPUT.AXIS`.
    pub dims: BTreeMap<String, DimSetting>,
    /// Whether quantised graphs, written as floats between DequantizeLinear and QuantizeLinear, are brought to the operators that
    /// compute with integers (QLinearConv, QLinearMatMul, MatMulInteger), as runtimes do when they load such files. The sums are exact
    /// then instead of rounded term by term, so that outputs may differ by a step: it is another model, with an id of its own.
    pub integers: bool,
}

/// What becomes of a free dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DimSetting {
    /// It is always this size.
    Pin(usize),
    /// A call chooses its size, up to this one.
    AtMost(usize),
}

impl fmt::Display for DimSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(size) => write!(f, "={size}"),
            Self::AtMost(max) => write!(f, "<={max}"),
        }
    }
}

/// A `--dim` argument: `NAME=SIZE` or `NAME<=BOUND`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DimArgument {
    /// The dimension.
    pub name: String,
    /// What becomes of it.
    pub setting: DimSetting,
}

/// Text that is not a `--dim` argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected NAME=SIZE or NAME<=BOUND with a size of at least 1, got `{0}`")]
pub struct ParseDimError(String);

impl FromStr for DimArgument {
    type Err = ParseDimError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            // The last sign counts: a name may contain one.
            let (name, size) = text.rsplit_once('=')?;
            let size = size.trim().parse().ok().filter(|&size: &usize| size > 0)?;
            let (name, setting) = match name.strip_suffix('<') {
                Some(name) => (name, DimSetting::AtMost(size)),
                None => (name, DimSetting::Pin(size)),
            };
            let name = name.trim().to_owned();
            (!name.is_empty()).then_some(Self { name, setting })
        };
        parse().ok_or_else(|| ParseDimError(text.to_owned()))
    }
}

/// Brings an ONNX file to canonical form, or says why it cannot be published.
///
/// # Errors
/// If the file is not ONNX, uses what the profile does not have, leaves dimensions open, or does not fit together.
pub fn import_onnx(
    file: &[u8],
    external: &dyn ExternalData,
    options: &ImportOptions,
) -> Result<CanonicalModel, ImportError> {
    import_proto(decode_model(Bytes::copy_from_slice(file))?, external, options)
}

/// [`import_onnx`] of a file that was decoded, or built.
///
/// # Errors
/// As [`import_onnx`].
pub fn import_proto(
    proto: ModelProto,
    external: &dyn ExternalData,
    options: &ImportOptions,
) -> Result<CanonicalModel, ImportError> {
    let mut source = Source::read(proto, external, options)?;
    if options.integers {
        source.compute_with_integers();
    }
    source.canonicalize()?;
    declare_outputs(&mut source)?;
    let layout = Layout::new(&source);
    Ok(CanonicalModel {
        graph: encode_graph(&source, &layout),
        weights: layout.weights(&source),
    })
}

/// The graph of a file in one message, for tools that rewrite graphs: what [`import_onnx`] makes of it before it settles what the file
/// leaves open and numbers its values. Functions are inlined, constants are initialisers with their elements inside, nodes are in topological
/// order, and there is nothing that no output needs; names and free dimensions are the author's. Operators are not looked at.
///
/// # Errors
/// If the file is not ONNX, or does not hang together.
pub fn plain_onnx(file: &[u8], external: &dyn ExternalData) -> Result<ModelProto, ImportError> {
    let mut source = Source::read_open(decode_model(Bytes::copy_from_slice(file))?, external)?;
    source.tidy()?;
    Ok(model_proto(&source, &Layout::inline(&source)))
}

/// Writes the outputs' shapes as they are computed. A dimension that follows a free one keeps the name the file gave it.
fn declare_outputs(source: &mut Source) -> Result<(), ImportError> {
    let max_shapes = |bounds: &BTreeMap<String, usize>| -> Vec<Vec<usize>> {
        let size = |dim: &SourceDim| match dim {
            SourceDim::Fixed(size) => *size,
            SourceDim::Symbol(name) => bounds.get(name).copied().unwrap_or(1),
        };
        source
            .inputs
            .iter()
            .map(|input| input.dims.iter().flatten().map(size).collect())
            .collect()
    };
    let model = Model::resolve(source)?;
    let largest = model
        .output_shapes(&max_shapes(&source.bounds))
        .map_err(ImportError::Plan)?;
    // Which output dimensions move when a free one does? Shrink each in turn and look. A size at which the model does
    // not plan tells nothing, so a few are tried.
    let mut probes = vec![(source.bounds.clone(), largest.clone())];
    for (name, &bound) in &source.bounds {
        for size in [bound / 2, 1, bound.saturating_sub(1)]
            .into_iter()
            .filter(|&size| 0 < size && size < bound)
        {
            let mut bounds = source.bounds.clone();
            bounds.insert(name.clone(), size);
            if let Ok(shapes) = model.output_shapes(&max_shapes(&bounds)) {
                probes.push((bounds, shapes));
            }
        }
    }
    for (number, (output, shape)) in source.outputs.iter_mut().zip(&largest).enumerate() {
        let Some(shape) = shape else {
            // It depends on the inputs' values: what the file says is all that is known.
            let Some(dims) = &mut output.dims else {
                return Err(ImportError::OpenRank {
                    output: output.name.clone(),
                });
            };
            for (axis, dim) in dims.iter_mut().enumerate() {
                if let SourceDim::Symbol(name) = dim
                    && name.is_empty()
                {
                    *name = format!("{}.{axis}", output.name);
                }
            }
            continue;
        };
        let declared = output.dims.take().filter(|dims| dims.len() == shape.len());
        let dims = shape.iter().enumerate().map(|(axis, &size)| {
            let seen = |shapes: &[Option<Shape>]| shapes[number].as_ref()?.get(axis).copied();
            if probes.iter().all(|(_, shapes)| seen(shapes) == Some(size)) {
                return SourceDim::Fixed(size);
            }
            if let Some(SourceDim::Symbol(name)) = declared.as_ref().map(|dims| &dims[axis])
                && !name.is_empty()
            {
                return SourceDim::Symbol(name.clone());
            }
            // A dimension that goes with one of the inputs' has its name.
            let goes_with = |name: &&String| {
                probes
                    .iter()
                    .all(|(sizes, shapes)| seen(shapes) == Some(sizes[*name]))
            };
            let same = source.bounds.keys().find(goes_with).cloned();
            SourceDim::Symbol(same.unwrap_or_else(|| format!("{}.{axis}", output.name)))
        });
        output.dims = Some(dims.collect());
    }
    Ok(())
}

/// Names a node in messages: its position, its operator, its name (or its first output's).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLabel {
    /// Position in the file's list of nodes; in topological order once canonical.
    pub index: usize,
    /// ONNX's `op_type`.
    pub op_type: String,
    /// The node's name, or its first output's if it has none.
    pub name: String,
}

impl fmt::Display for NodeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} ({} `{}`)", self.index, self.op_type, self.name)
    }
}

/// Why a model is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not protobuf, truncated, or too many messages.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Protobuf without a graph.
    #[error("not an ONNX file: it holds no graph")]
    NoGraph,
    /// Above a limit.
    #[error("the graph has {count} {what}; the limit is {limit}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: usize,
        /// At most.
        limit: usize,
    },
    /// No version of `ai.onnx` is imported.
    #[error("the file imports no opset of ai.onnx")]
    NoOpset,
    /// Two versions of `ai.onnx` are imported.
    #[error("the file imports two versions of one domain")]
    OpsetTwice,
    /// A version of `ai.onnx` that the profile does not have.
    #[error("opset {version} of ai.onnx is not supported: {MIN_OPSET} to {MAX_OPSET} are")]
    Opset {
        /// The version.
        version: i64,
    },
    /// An operator of another domain.
    #[error(
        "{node} is of domain `{domain}`: only the operators of ai.onnx and ai.onnx.ml are supported, and some of com.microsoft"
    )]
    UnknownDomain {
        /// The node.
        node: NodeLabel,
        /// Its domain.
        domain: String,
    },
    /// A call of an operator of `com.microsoft` that has no meaning in ONNX's operators.
    #[error("{node} of com.microsoft cannot be written in ONNX's operators: {why}")]
    Microsoft {
        /// The node.
        node: NodeLabel,
        /// What is in the way.
        why: String,
    },
    /// A domain whose version the file does not state.
    #[error("{node} is of domain `{domain}`, but the file does not import it")]
    NoDomainVersion {
        /// The node.
        node: NodeLabel,
        /// Its domain.
        domain: String,
    },
    /// A version of a domain that is not known.
    #[error("the file imports version {version} of domain `{domain}`; 1 to {max} are supported")]
    DomainVersion {
        /// The domain.
        domain: String,
        /// The version.
        version: i64,
        /// The newest known.
        max: i64,
    },
    /// An operator that the profile does not have.
    #[error("{node}: the operator is not supported (opset {opset})")]
    UnknownOperator {
        /// The node.
        node: NodeLabel,
        /// The model's opset.
        opset: i64,
    },
    /// A call of a function of the file's own that cannot be inlined.
    #[error("{node} calls a function of the file, but {why}")]
    FunctionCall {
        /// The node.
        node: NodeLabel,
        /// What is wrong.
        why: &'static str,
    },
    /// Sparse weights.
    #[error("the file has sparse initialisers, which are not supported: store them dense")]
    SparseInitializer,
    /// An input or output that is a sequence, map or optional, or has no type.
    #[error("`{name}` is not a tensor")]
    NotTensor {
        /// Its name.
        name: String,
    },
    /// An element type that the profile does not have.
    #[error("{what} has elements of type {code}, which is not supported")]
    ElementType {
        /// Of what.
        what: String,
        /// ONNX's name for the type.
        code: &'static str,
    },
    /// A constant of 2 or 4 bits where its type makes a difference.
    #[error(
        "{node} reads `{name}`, whose elements have 2 or 4 bits: these types are supported as constants that are moved, cast or dequantised"
    )]
    Narrow {
        /// The node.
        node: NodeLabel,
        /// The constant, or what was moved of it.
        name: String,
    },
    /// A dimension below zero.
    #[error("{what} has the negative dimension {dim}")]
    NegativeDimension {
        /// Of what.
        what: String,
        /// The dimension.
        dim: i64,
    },
    /// Too many dimensions.
    #[error("`{name}` has {rank} dimensions; the limit is {MAX_RANK}")]
    Rank {
        /// Of what.
        name: String,
        /// How many.
        rank: usize,
    },
    /// An input without a shape.
    #[error("input `{input}` declares no shape, not even its number of dimensions")]
    UnknownRank {
        /// The input.
        input: String,
    },
    /// An output without a shape, where only a run tells it.
    #[error(
        "the shape of output `{output}` depends on the inputs' values, and the file does not declare even its number of \
         dimensions"
    )]
    OpenRank {
        /// The output.
        output: String,
    },
    /// A free dimension that nothing settles.
    #[error(
        "dimension {axis} of input `{input}` is free: pin it with --dim '{name}=SIZE' or bound it with \
         --dim '{name}<=BOUND'"
    )]
    FreeDimension {
        /// The dimension's name.
        name: String,
        /// The input.
        input: String,
        /// Its position there.
        axis: usize,
    },
    /// A setting for a dimension that the model does not have.
    #[error("no input has a free dimension `{name}`{}", known_dimensions(known))]
    NoSuchDimension {
        /// The name.
        name: String,
        /// The free dimensions that there are.
        known: Vec<String>,
    },
    /// A setting beyond the bound that the file states.
    #[error("--dim '{name}{setting}' is above the bound {bound} that the model states")]
    AboveBound {
        /// The dimension.
        name: String,
        /// The setting.
        setting: DimSetting,
        /// The bound.
        bound: usize,
    },
    /// A bound that is not a number.
    #[error("the bound of dimension `{name}` is `{value}`, not a number")]
    Bound {
        /// The dimension.
        name: String,
        /// What is written.
        value: String,
    },
    /// A tensor's elements.
    #[error("tensor `{name}`: {error}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        error: TensorError,
    },
    /// A tensor's external data.
    #[error("external data of tensor `{name}`: {why}")]
    External {
        /// The tensor.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// An attribute that is written wrong.
    #[error("{node}: attribute `{name}`: {why}")]
    Attribute {
        /// The node.
        node: NodeLabel,
        /// The attribute.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// An attribute given twice.
    #[error("{node}: attribute `{name}` is given twice")]
    DuplicateAttribute {
        /// The node.
        node: NodeLabel,
        /// The attribute.
        name: String,
    },
    /// An input or initialiser without a name.
    #[error("an input or initialiser has no name")]
    Unnamed,
    /// A name defined twice.
    #[error("`{name}` is defined twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A node reads what nothing defines.
    #[error("{node} reads `{name}`, which nothing defines")]
    Undefined {
        /// The node.
        node: NodeLabel,
        /// The name.
        name: String,
    },
    /// An output that nothing defines.
    #[error("output `{name}` is not computed by any node")]
    UndefinedOutput {
        /// The name.
        name: String,
    },
    /// No outputs.
    #[error("the graph has no outputs")]
    NoOutputs,
    /// A cycle.
    #[error("the graph has a cycle through {node}")]
    Cycle {
        /// A node of the cycle, or behind it.
        node: NodeLabel,
    },
    /// An operator refuses its node.
    #[error("{node}: {error}")]
    Node {
        /// The node.
        node: NodeLabel,
        /// The reason.
        error: OpError,
    },
    /// The model does not plan at its largest shapes.
    #[error(transparent)]
    Plan(PlanError),
}

fn known_dimensions(known: &[String]) -> String {
    if known.is_empty() {
        String::new()
    } else {
        format!("; free are: {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dim_arguments() {
        let parse = |text: &str| text.parse::<DimArgument>().map(|dim| (dim.name, dim.setting));
        assert_eq!(parse("batch=1"), Ok(("batch".into(), DimSetting::Pin(1))));
        assert_eq!(parse("seq <= 512"), Ok(("seq".into(), DimSetting::AtMost(512))));
        assert_eq!(parse("a=b=3"), Ok(("a=b".into(), DimSetting::Pin(3))));
        for bad in [
            "", "batch", "batch=", "=1", "<=1", "batch=0", "batch=-1", "batch=x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
