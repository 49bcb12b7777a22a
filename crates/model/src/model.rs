//! A loaded model: validated once, planned for concrete shapes as often as needed.
//!
//! [`Model::load`] is the chain's side and total: any two byte strings are accepted or refused with a reason, in time and
//! memory bounded by their lengths and the [limits](crate::limits).

use crate::{
    CanonicalModel, DType, ModelId,
    analysis::{Analysis, Value},
    attributes::Attributes,
    canonical::{Layout, WeightBlob, encode_graph, is_inline},
    constant::Constant,
    cost::Cost,
    derived::Derived,
    import::{ImportError, NodeLabel},
    limits::{MAX_FOLDED_ARITHMETIC, MAX_GRAPH_BYTES, PROFILE_VERSION},
    ops::{self, NodeSpec, OpError, Operator, TensorType, Work},
    plan::{Given, Plan, check_output},
    proto::decode_model,
    remembered::Remembered,
    shape::{Shape, SizeError},
    source::{Source, SourceDim, SourceNode},
    stages::{self, Rest},
    subgraph::Subgraph,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

/// Index of a value: the inputs first, then the constants, then what nodes compute.
pub(crate) type ValueId = usize;

/// A node of a validated graph.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its index counts all nodes of the model, those of a node's graphs after it.
    pub(crate) label: Arc<NodeLabel>,
    pub(crate) operator: Box<dyn Operator>,
    /// Those that it lists; then, for each of its graphs in the order of their names, what that one captures.
    pub(crate) inputs: Vec<Option<ValueId>>,
    pub(crate) outputs: Vec<Option<ValueId>>,
    /// What planning it takes, with all graphs within it, in multiply-add equivalents.
    pub(crate) planning: u64,
}

/// A graph: the model's own, or one within a node.
#[derive(Debug)]
pub(crate) struct Block {
    /// Values that are there before it runs, the first ones: the model's inputs and constants; a subgraph's inputs and captures.
    pub(crate) given: usize,
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: usize,
    pub(crate) outputs: Vec<ValueId>,
}

/// A validated model. Cheap to clone: clones share everything.
#[derive(Debug, Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: ModelId,
    steady: bool,
    graph: Arc<ResolvedGraph>,
}

/// The graph with names resolved, operators parsed and weights at hand.
#[derive(Debug)]
pub(crate) struct ResolvedGraph {
    pub(crate) opset: i64,
    pub(crate) signature: Signature,
    /// A plan may let go of values ([`Self::let_go`]).
    constants: RwLock<Vec<Arc<Constant>>>,
    /// What follows from them.
    derived: Derived,
    pub(crate) block: Arc<Block>,
    /// Every node, those of subgraphs after the one that holds them.
    labels: Vec<NodeLabel>,
    /// What planning takes, in multiply-add equivalents.
    planning: u64,
    /// Of the last plan.
    remembered: Mutex<Option<Arc<Remembered>>>,
}

/// What a model takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Inputs, in order.
    pub inputs: Vec<TensorSignature>,
    /// Outputs, in order.
    pub outputs: Vec<TensorSignature>,
}

/// Name, element type and dimensions of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSignature {
    /// The name in the file.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub dims: Vec<Dim>,
}

/// A dimension of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dim {
    /// Always this size.
    Fixed(usize),
    /// Chosen by the call. Inputs' dimensions of the same name have the same size.
    Symbol {
        /// Its name.
        name: String,
        /// Its largest size.
        max: usize,
    },
    /// Of an output: known only when the model has run, since it depends on the values of the inputs.
    Open {
        /// Its name.
        name: String,
    },
}

impl Dim {
    /// The largest size; `usize::MAX` if no bound is known.
    pub fn max(&self) -> usize {
        match self {
            Self::Fixed(size) | Self::Symbol { max: size, .. } => *size,
            Self::Open { .. } => usize::MAX,
        }
    }
}

impl Signature {
    /// The inputs' shapes with every dimension at its largest.
    pub fn max_shapes(&self) -> Vec<Shape> {
        self.inputs.iter().map(TensorSignature::max_shape).collect()
    }
}

impl TensorSignature {
    /// The shape with every dimension at its largest.
    pub fn max_shape(&self) -> Shape {
        self.dims.iter().map(Dim::max).collect()
    }
}

impl Model {
    /// Validates a canonical model, under the newest profile.
    ///
    /// # Errors
    /// If the bytes are not canonical, the graph is not valid, or the weights are not the ones it describes.
    pub fn load(graph: Bytes, weights: Bytes) -> Result<Self, ModelError> {
        Self::load_under(PROFILE_VERSION, graph, weights)
    }

    /// Validates a canonical model of a profile. So far the profile decides about the id alone: where a later one has other
    /// bits, other limits or another price of work, this is where both are told apart.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_under(profile: u32, graph: Bytes, weights: Bytes) -> Result<Self, ModelError> {
        if graph.len() > MAX_GRAPH_BYTES {
            return Err(ModelError::GraphTooLarge { length: graph.len() });
        }
        let id = CanonicalModel {
            graph: graph.clone(),
            weights: weights.clone(),
        }
        .id_under(profile);
        let proto = decode_model(graph.clone()).map_err(ImportError::from)?;
        let mut source = Source::read_canonical(proto, &WeightBlob(weights.clone()))?;
        source.canonicalize()?;
        let layout = Layout::new(&source);
        let canonical = encode_graph(&source, &layout);
        if canonical != graph {
            let offset = canonical.iter().zip(&graph).take_while(|(a, b)| a == b).count();
            return Err(ModelError::NotCanonical { offset });
        }
        if let Some(offset) = layout.first_difference(&source, &weights) {
            return Err(ModelError::Weights {
                offset,
                length: weights.len(),
            });
        }
        let mut resolved = Self::resolve(&source)?;
        // At its largest shapes the model must plan, and give what it declares.
        let max_shapes: Vec<_> = resolved
            .signature
            .inputs
            .iter()
            .map(TensorSignature::max_shape)
            .collect();
        let constants = resolved.constants();
        constants.iter().for_each(|constant| constant.forget_reads());
        let shapes = resolved.output_shapes(&max_shapes).map_err(ImportError::Plan)?;
        let steady = constants
            .iter()
            .zip(&source.constants)
            .all(|(constant, named)| !constant.was_read() || is_inline(named.value.tensor()));
        for (output, shape) in resolved.signature.outputs.iter_mut().zip(shapes) {
            let Some(shape) = shape else {
                // Known only when the model has run: then it is compared.
                for dim in &mut output.dims {
                    if let Dim::Symbol { name, .. } = dim {
                        *dim = Dim::Open {
                            name: std::mem::take(name),
                        };
                    }
                }
                continue;
            };
            let agrees = output.dims.len() == shape.len()
                && output.dims.iter().zip(&shape).all(|(dim, size)| match dim {
                    Dim::Fixed(declared) => declared == size,
                    Dim::Symbol { .. } | Dim::Open { .. } => true,
                });
            if !agrees {
                return Err(ModelError::OutputShape {
                    name: output.name.clone(),
                    computed: shape,
                });
            }
            for (dim, size) in output.dims.iter_mut().zip(shape) {
                if let Dim::Symbol { max, .. } = dim {
                    *max = size;
                }
            }
        }
        Ok(Self {
            shared: Arc::new(Shared {
                id,
                steady,
                graph: Arc::new(resolved),
            }),
        })
    }

    /// Resolves names and parses operators of a canonicalised source.
    pub(crate) fn resolve(source: &Source) -> Result<ResolvedGraph, ImportError> {
        let given: Vec<&str> = source
            .inputs
            .iter()
            .map(|input| input.name.as_str())
            .chain(source.constants.iter().map(|constant| constant.name.as_str()))
            .collect();
        let outputs = source.outputs.iter().map(|output| output.name.as_str());
        let mut resolver = Resolver {
            source,
            labels: Vec::new(),
        };
        let block = resolver.block(&given, &source.nodes, outputs)?;
        let labels = resolver.labels;
        let tensor = |value: &crate::source::SourceValue| TensorSignature {
            name: value.name.clone(),
            dtype: value.dtype,
            dims: value
                .dims
                .iter()
                .flatten()
                .map(|dim| match dim {
                    SourceDim::Fixed(size) => Dim::Fixed(*size),
                    SourceDim::Symbol(name) => Dim::Symbol {
                        name: name.clone(),
                        max: source.bounds.get(name).copied().unwrap_or(0),
                    },
                })
                .collect(),
        };
        let signature = Signature {
            inputs: source.inputs.iter().map(tensor).collect(),
            outputs: source.outputs.iter().map(tensor).collect(),
        };
        let constants: Vec<_> = source
            .constants
            .iter()
            .map(|constant| constant.value.clone())
            .collect();
        Ok(ResolvedGraph {
            opset: source.opset,
            derived: Derived::new(&block, signature.inputs.len(), &constants),
            signature,
            constants: RwLock::new(constants),
            planning: block.planning(),
            block: Arc::new(block),
            labels,
            remembered: Mutex::default(),
        })
    }

    /// The model id: the Merkle root of the bytes it was loaded from.
    pub fn id(&self) -> ModelId {
        self.shared.id
    }

    /// Whether nothing that validation established depends on the values of the weights: with any others of the same shapes the
    /// graph is valid too, so a [patch](crate::patch) need not be validated from the beginning. It does depend where weights are
    /// sizes, axes or scales that shapes follow from, or where planning computes with them ahead.
    pub fn is_steady(&self) -> bool {
        self.shared.steady
    }

    /// What the model takes and gives.
    pub fn signature(&self) -> &Signature {
        &self.shared.graph.signature
    }

    /// The opset of `ai.onnx` that it imports.
    pub fn opset(&self) -> i64 {
        self.shared.graph.opset
    }

    /// The operators of its nodes, those of subgraphs after the node that holds them.
    pub fn operators(&self) -> impl ExactSizeIterator<Item = &str> {
        self.shared
            .graph
            .labels
            .iter()
            .map(|label| label.op_type.as_str())
    }

    /// Elements of its constants: the parameters.
    pub fn parameters(&self) -> u64 {
        self.shared
            .graph
            .constants()
            .iter()
            .map(|constant| crate::shape::element_count(constant.shape()) as u64)
            .sum()
    }

    /// Bytes that the loaded constants take in memory, with what is made of them ahead.
    pub fn constant_bytes(&self) -> u64 {
        let graph = &self.shared.graph;
        let constants = graph.constants().into_iter();
        let constants = constants.map(|constant| constant.bytes() as u64);
        constants
            .sum::<u64>()
            .saturating_add(graph.derived.bytes() as u64)
    }

    /// What planning takes at most, whatever the shapes: charged before [`Self::plan`], whether or not a plan is cached.
    pub fn planning_work(&self) -> Work {
        Work {
            arithmetic: self.shared.graph.planning,
            bytes: 0,
        }
    }

    /// Specialises the model for concrete shapes of its inputs.
    ///
    /// # Errors
    /// If the shapes are not what the signature allows, or the graph does not fit together at them.
    pub fn plan(&self, input_shapes: &[Shape]) -> Result<Plan, PlanError> {
        self.shared.graph.plan(input_shapes)
    }

    /// What a run at these shapes costs, without specialising kernels for it.
    ///
    /// # Errors
    /// As [`Self::plan`].
    pub fn cost(&self, input_shapes: &[Shape]) -> Result<Cost, PlanError> {
        Ok(self.plan(input_shapes)?.cost().clone())
    }

    /// A node in words, for messages about its index in a [`Cost`].
    pub fn node(&self, index: usize) -> Option<&NodeLabel> {
        self.shared.graph.labels.get(index)
    }
}

/// Multiply-add equivalents of planning a node: rules and specialisation take up to three microseconds, at 1/15 ns for one; what is
/// computed ahead is bounded.
const PLAN_NODE: u64 = 45_000 + MAX_FOLDED_ARITHMETIC;

/// Multiply-add equivalents of planning a value, used or not: it has a type, a last use and a location.
const PLAN_VALUE: u64 = 6_000;

impl Block {
    fn planning(&self) -> u64 {
        let nodes = self.nodes.iter().map(|node| node.planning);
        let given = (self.given as u64).saturating_mul(PLAN_VALUE);
        nodes.fold(given, u64::saturating_add)
    }
}

/// Turns names into numbers.
struct Resolver<'s> {
    source: &'s Source,
    labels: Vec<NodeLabel>,
}

/// The numbers of values by name.
type Named<'n> = Vec<(&'n str, ValueId)>;

impl Resolver<'_> {
    fn block<'n>(
        &mut self,
        given: &[&'n str],
        nodes: &'n [SourceNode],
        outputs: impl Iterator<Item = &'n str>,
    ) -> Result<Block, ImportError> {
        let mut ids: BTreeMap<&str, ValueId> =
            given.iter().enumerate().map(|(id, &name)| (name, id)).collect();
        let mut values = ids.len();
        let mut resolved = Vec::with_capacity(nodes.len());
        for node in nodes {
            let label = node.label(self.labels.len());
            self.labels.push(label.clone());
            let inputs: Vec<Option<ValueId>> = node
                .inputs
                .iter()
                .map(|name| ids.get(name.as_str()).copied())
                .collect();
            let mut node = self.node(node, label, inputs, &ids, &mut values)?;
            for (name, id) in node.1 {
                ids.insert(name, id);
            }
            let computed = node.0.outputs.iter().flatten().count() as u64;
            node.0.planning = (computed.saturating_mul(PLAN_VALUE)).saturating_add(node.0.planning);
            resolved.push(node.0);
        }
        let outputs = outputs
            .map(|name| ids.get(name).copied())
            .collect::<Option<Vec<_>>>()
            .expect("reading checked that every output is defined");
        Ok(Block {
            given: given.len(),
            nodes: resolved,
            values,
            outputs,
        })
    }

    /// A node, and the numbers of its outputs by name.
    fn node<'n>(
        &mut self,
        node: &'n SourceNode,
        label: NodeLabel,
        mut inputs: Vec<Option<ValueId>>,
        ids: &BTreeMap<&str, ValueId>,
        values: &mut usize,
    ) -> Result<(Node, Named<'n>), ImportError> {
        let opset = if node.domain.is_empty() {
            self.source.opset
        } else {
            let version = self.source.domains.get(&node.domain);
            *version.ok_or_else(|| ImportError::NoDomainVersion {
                node: label.clone(),
                domain: node.domain.clone(),
            })?
        };
        let definition = ops::domain(&node.domain)
            .and_then(|domain| domain.find(&node.op_type))
            .ok_or_else(|| ImportError::UnknownOperator {
                node: label.clone(),
                opset,
            })?;
        let mut planning = PLAN_NODE;
        let mut graphs = BTreeMap::new();
        for (name, graph) in &node.graphs {
            let captures = graph.captures();
            let own: Vec<&str> = graph.inputs.iter().map(String::as_str).collect();
            let given = [own, captures.clone()].concat();
            let block = self.block(&given, &graph.nodes, graph.outputs.iter().map(String::as_str))?;
            planning = planning.saturating_add(block.planning());
            inputs.extend(captures.iter().map(|name| ids.get(name).copied()));
            let subgraph = Subgraph {
                inputs: graph.inputs.len(),
                captures: captures.len(),
                block: Arc::new(block),
            };
            graphs.insert(name.clone(), subgraph);
        }
        let presence = |names: &[String]| names.iter().map(|name| !name.is_empty()).collect::<Vec<_>>();
        let mut spec = NodeSpec {
            version: 0,
            attributes: &mut Attributes::new(node.attributes.clone()),
            graphs: &mut graphs,
            inputs: &presence(&node.inputs),
            outputs: &presence(&node.outputs),
        };
        let operator = definition
            .parse(opset, &mut spec)
            .map_err(|error| ImportError::Node {
                node: label.clone(),
                error,
            })?;
        let mut outputs = Vec::with_capacity(node.outputs.len());
        let mut names = Vec::with_capacity(node.outputs.len());
        for name in &node.outputs {
            outputs.push((!name.is_empty()).then_some(*values));
            if !name.is_empty() {
                names.push((name.as_str(), *values));
                *values += 1;
            }
        }
        let node = Node {
            label: Arc::new(label),
            operator,
            inputs,
            outputs,
            planning,
        };
        Ok((node, names))
    }
}

impl ResolvedGraph {
    /// Specialises the model for concrete shapes of its inputs, as far as they decide.
    pub(crate) fn plan(self: &Arc<Self>, input_shapes: &[Shape]) -> Result<Plan, PlanError> {
        let before = self.remembered().clone();
        let mut analysis = self.analyse(input_shapes, before.as_deref())?;
        let given: Vec<_> = self
            .signature
            .inputs
            .iter()
            .enumerate()
            .map(|(value, input)| Given {
                value,
                name: input.name.clone(),
                kind: analysis.values[value].tensor_type(),
            })
            .collect();
        let Some(end) = analysis.end else {
            let (mut plan, kernels) = Plan::after(
                &self.block,
                given,
                &analysis.values,
                &mut analysis.steps,
                &self.block.outputs,
                &self.derived,
                before.as_deref(),
            )?;
            for (signature, kind) in self.signature.outputs.iter().zip(plan.output_types()) {
                check_output(signature, kind)?;
            }
            // values that were given are dropped: their arrangements are held by the plan and the constants
            let inputs = self.signature.inputs.len();
            let remembered = Remembered::new(analysis, inputs, self.block.given, kernels);
            *self.remembered() = Some(Arc::new(remembered));
            self.let_go(&mut plan);
            return Ok(plan);
        };
        let Analysis {
            values, mut steps, ..
        } = analysis;
        let kept = stages::needed_after(&self.block, &values, end.node);
        // later stages are planned anew and read what this one computed
        let plan = Plan::new(
            &self.block,
            given,
            &values,
            &mut steps,
            &kept,
            &Derived::default(),
        )?;
        Ok(plan.followed_by(Rest {
            block: Arc::clone(&self.block),
            signature: self.signature.outputs.clone(),
            end,
            values,
            kept,
        }))
    }

    /// What the last plan left.
    fn remembered(&self) -> MutexGuard<'_, Option<Arc<Remembered>>> {
        // it is there or not, and whole if it is
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The constants.
    pub(crate) fn constants(&self) -> Vec<Arc<Constant>> {
        let constants = self.constants.read();
        constants.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go of the values that a plan reads only as they are arranged for its kernels. Those that stay get memory of their own, aligned
    /// for the widest loads, so that the bytes from which the model was loaded can go.
    fn let_go(&self, plan: &mut Plan) {
        let mut constants = self.constants.write().unwrap_or_else(PoisonError::into_inner);
        plan.let_go(&mut constants);
        plan.keep_apart(&mut constants);
    }

    fn analyse(&self, input_shapes: &[Shape], before: Option<&Remembered>) -> Result<Analysis, PlanError> {
        self.check_input_shapes(input_shapes)?;
        let mut values = Vec::with_capacity(self.block.values);
        for (input, shape) in self.signature.inputs.iter().zip(input_shapes) {
            let kind = TensorType::new(input.dtype, shape.clone()).map_err(|error| PlanError::InputSize {
                name: input.name.clone(),
                error,
            })?;
            values.push(Value::Computed(Arc::new(kind)));
        }
        values.extend(self.constants().into_iter().map(Value::Known));
        let analysis = Analysis::new(&self.block, values, before)?;
        for (output, &value) in self.signature.outputs.iter().zip(&self.block.outputs) {
            if let Some(value) = analysis.values.get(value)
                && value.dtype() != output.dtype
            {
                return Err(PlanError::OutputType {
                    name: output.name.clone(),
                    declared: output.dtype,
                    computed: value.dtype(),
                });
            }
        }
        Ok(analysis)
    }

    /// The outputs' shapes; `None` for those that depend on the inputs' values.
    pub(crate) fn output_shapes(&self, input_shapes: &[Shape]) -> Result<Vec<Option<Shape>>, PlanError> {
        let analysis = self.analyse(input_shapes, None)?;
        let shape = |&output: &ValueId| analysis.values.get(output).map(|value| value.shape().to_vec());
        Ok(self.block.outputs.iter().map(shape).collect())
    }

    fn check_input_shapes(&self, shapes: &[Shape]) -> Result<(), PlanError> {
        let inputs = &self.signature.inputs;
        if shapes.len() != inputs.len() {
            return Err(PlanError::InputCount {
                expected: inputs.len(),
                got: shapes.len(),
            });
        }
        let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
        for (input, shape) in inputs.iter().zip(shapes) {
            let refuse = || PlanError::InputShape {
                name: input.name.clone(),
                expected: input.dims.clone(),
                got: shape.clone(),
            };
            if shape.len() != input.dims.len() {
                return Err(refuse());
            }
            for (dim, &size) in input.dims.iter().zip(shape) {
                match dim {
                    Dim::Fixed(expected) if size == *expected => {}
                    Dim::Fixed(_) => return Err(refuse()),
                    Dim::Open { .. } => {}
                    Dim::Symbol { max, .. } if size > *max => return Err(refuse()),
                    Dim::Symbol { name, .. } => {
                        let first = *sizes.entry(name).or_insert(size);
                        if first != size {
                            return Err(PlanError::SymbolMismatch {
                                name: name.clone(),
                                first,
                                second: size,
                            });
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Why bytes are not a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A graph above the limit.
    #[error("the graph has {length} bytes; the limit is {MAX_GRAPH_BYTES}")]
    GraphTooLarge {
        /// Its length.
        length: usize,
    },
    /// Valid perhaps, but not written the one way.
    #[error("the graph is not in canonical form (first difference at byte {offset}): import it first")]
    NotCanonical {
        /// Where the bytes first differ from the canonical ones.
        offset: usize,
    },
    /// Weights that are not the ones that the graph describes, or not laid out the one way.
    #[error(
        "the weights of {length} bytes are not what the graph describes (first difference at byte {offset})"
    )]
    Weights {
        /// Where they first differ.
        offset: usize,
        /// Their length.
        length: usize,
    },
    /// An output's declared shape is not the computed one.
    #[error("output `{name}` has another shape than declared: {computed:?}")]
    OutputShape {
        /// The output.
        name: String,
        /// Its shape at the inputs' largest shapes.
        computed: Shape,
    },
    /// Refused for a reason that the import has too.
    #[error(transparent)]
    Refused(#[from] ImportError),
}

/// Why a model does not plan at given shapes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Not one shape for each input.
    #[error("the model has {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the model.
        expected: usize,
        /// Given.
        got: usize,
    },
    /// A shape that the signature does not allow.
    #[error("input `{name}` has shape {got:?}; it takes {}", dims_text(expected))]
    InputShape {
        /// The input.
        name: String,
        /// What it takes.
        expected: Vec<Dim>,
        /// What was given.
        got: Shape,
    },
    /// Two sizes for one free dimension.
    #[error("dimension `{name}` is {first} in one place and {second} in another")]
    SymbolMismatch {
        /// The dimension.
        name: String,
        /// Its size where it is met first.
        first: usize,
        /// Its other size.
        second: usize,
    },
    /// An input above the limits.
    #[error("input `{name}`: {error}")]
    InputSize {
        /// The input.
        name: String,
        /// What is too large.
        error: SizeError,
    },
    /// An operator refuses its inputs.
    #[error("{node}: {error}")]
    Node {
        /// The node.
        node: NodeLabel,
        /// The reason.
        error: OpError,
    },
    /// An output is of another type than declared.
    #[error("output `{name}` is declared as {declared} and computed as {computed}")]
    OutputType {
        /// The output.
        name: String,
        /// As declared.
        declared: DType,
        /// As computed.
        computed: DType,
    },
    /// An output's fixed dimension is another at these shapes.
    #[error(
        "output `{name}` has shape {computed:?} here; it is declared as {}",
        dims_text(declared)
    )]
    OutputShape {
        /// The output.
        name: String,
        /// As declared.
        declared: Vec<Dim>,
        /// As computed.
        computed: Shape,
    },
}

fn dims_text(dims: &[Dim]) -> String {
    let text = |dim: &Dim| match dim {
        Dim::Fixed(size) => size.to_string(),
        Dim::Symbol { name, max } => format!("{name}<={max}"),
        Dim::Open { name } => name.clone(),
    };
    format!("[{}]", dims.iter().map(text).collect::<Vec<_>>().join(", "))
}
