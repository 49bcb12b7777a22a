//! Graphs within nodes: the branches of an `If`, the bodies of `Loop` and `Scan`.
//!
//! Where the shapes in them follow from shapes, they are planned once, with the graph around them, and run as the kernel of
//! their node ([`Nested`]). Where they follow from values, they are planned when the values are there, in
//! [`stages`](crate::stages).
//!
//! A graph sees the values around it. Those that it uses are inputs of its node, behind the listed ones, so that nothing else
//! has to know about scopes.

use crate::{
    Meter, RunError, Tensor,
    analysis::{Analysis, Value},
    constant::Constant,
    cost::{Bound, NodeCost},
    derived::Derived,
    model::{Block, ValueId},
    ops::{Inputs, Kernel, OpError, Operand, Path, TensorType, Work},
    plan::{Arguments, Given, Plan, Workspace},
    stages::Stages,
    tensor::TensorView,
};
use std::{fmt, sync::Arc};

/// A graph within a node, resolved.
#[derive(Debug, Clone)]
pub struct Subgraph {
    /// Its own inputs, the first of its given values.
    pub(crate) inputs: usize,
    /// Values of the graph around it that it uses, the given values after them.
    pub(crate) captures: usize,
    pub(crate) block: Arc<Block>,
}

impl Subgraph {
    /// Number of its outputs.
    pub(crate) fn outputs(&self) -> usize {
        self.block.outputs.len()
    }

    /// Plans it for these values of its inputs and captures.
    ///
    /// # Errors
    /// [`OpError::DataDependent`] if its shapes do not follow from them.
    pub(crate) fn plan(&self, given: Vec<Value>, foldable: &mut usize) -> Result<SubPlan, OpError> {
        let count = given.len();
        let analysis = Analysis::of_subgraph(&self.block, given, foldable)?;
        if analysis.end.is_some() {
            return Err(UNPLANNABLE);
        }
        let Analysis {
            values, mut steps, ..
        } = analysis;
        let computed: Vec<ValueId> = (0..count).filter(|&value| !values[value].is_known()).collect();
        let given = computed.iter().map(|&value| Given {
            value,
            name: String::new(),
            kind: values[value].tensor_type(),
        });
        let plan = Plan::new(
            &self.block,
            given.collect(),
            &values,
            &mut steps,
            &self.block.outputs,
            &Derived::default(),
        )?;
        let outputs = self
            .block
            .outputs
            .iter()
            .map(|&output| values[output].clone())
            .collect();
        Ok(SubPlan {
            plan,
            computed,
            outputs,
        })
    }
}

/// A graph within a node whose shapes are not known while the graph around it is planned.
pub(crate) const UNPLANNABLE: OpError = OpError::DataDependent { index: usize::MAX };

/// What is known of an operand.
pub(crate) fn value_of(operand: &Operand<'_>) -> Value {
    match operand.constant {
        Some(constant) => Value::Known(Arc::clone(constant)),
        None => Value::Computed(Arc::new(operand.tensor_type())),
    }
}

/// A planned graph within a node.
pub(crate) struct SubPlan {
    pub(crate) plan: Plan,
    /// The given values that the plan takes, in order; it knows the others.
    computed: Vec<ValueId>,
    /// What is known of its outputs.
    pub(crate) outputs: Vec<Value>,
}

impl SubPlan {
    /// Types of its outputs.
    pub(crate) fn output_types(&self) -> impl Iterator<Item = TensorType> + '_ {
        self.outputs.iter().map(Value::tensor_type)
    }

    /// The costs of its nodes in `times` runs.
    pub(crate) fn costs(&self, times: u64) -> Vec<NodeCost> {
        let nodes = &self.plan.cost().nodes;
        nodes
            .iter()
            .map(|cost| NodeCost {
                times: cost.times.saturating_mul(times),
                ..*cost
            })
            .collect()
    }

    pub(crate) fn bound(&self) -> Bound {
        self.plan.cost().bound
    }

    /// Runs it; `given` finds a given value by its number.
    pub(crate) fn run<'v>(
        &self,
        path: Path,
        meter: &mut dyn Meter,
        given: impl Fn(ValueId) -> TensorView<'v>,
    ) -> Result<Vec<Tensor>, RunError> {
        let inputs: Vec<_> = self.computed.iter().map(|&value| given(value)).collect();
        self.plan.execute(path, &inputs, meter, None)
    }

    /// Runs of it one after another, in the same memory.
    pub(crate) fn runs(&self, path: Path) -> Runs<'_> {
        Runs {
            graph: self,
            path,
            workspace: None,
            outputs: Vec::new(),
        }
    }
}

/// A graph that runs several times: memory is allocated by the first.
pub(crate) struct Runs<'p> {
    graph: &'p SubPlan,
    path: Path,
    workspace: Option<Workspace>,
    /// Of the last run. The next one writes over them: they may be exchanged for tensors of the same types.
    pub(crate) outputs: Vec<Tensor>,
}

impl Runs<'_> {
    /// Runs it; `given` finds a given value by its number.
    pub(crate) fn run<'v>(
        &mut self,
        meter: &mut dyn Meter,
        given: impl Fn(ValueId) -> TensorView<'v>,
    ) -> Result<(), RunError> {
        let SubPlan { plan, computed, .. } = self.graph;
        if self.path == Path::Reference {
            self.outputs = self.graph.run(self.path, meter, given)?;
            return Ok(());
        }
        let workspace = self.workspace.get_or_insert_with(|| {
            self.outputs = plan.new_outputs();
            plan.workspace()
        });
        let few: [_; FEW];
        let many: Vec<_>;
        let inputs = match computed[..] {
            [] => &[][..],
            [first, ..] if computed.len() <= FEW => {
                let value = |index: usize| given(computed.get(index).copied().unwrap_or(first));
                few = std::array::from_fn(value);
                &few[..computed.len()]
            }
            _ => {
                many = computed.iter().map(|&value| given(value)).collect();
                &many
            }
        };
        plan.execute_in(
            workspace,
            Arguments::Views(inputs),
            &mut self.outputs,
            meter,
            None,
        )
    }
}

/// Inputs of a graph without an allocation for them.
const FEW: usize = 16;

/// Control flow, planned for given types.
pub struct Nested {
    /// Types of all outputs.
    pub(crate) outputs: Vec<TensorType>,
    /// The outputs that are known already.
    pub(crate) known: Vec<Option<Arc<Constant>>>,
    /// The work of the node itself, once.
    pub(crate) work: Work,
    /// The rest: of its iterations, and of the nodes in its graphs.
    pub(crate) costs: Vec<NodeCost>,
    pub(crate) bound: Bound,
    pub(crate) multiply_adds: u64,
    pub(crate) kernel: Box<dyn Kernel>,
}

impl fmt::Debug for Nested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nested")
            .field("outputs", &self.outputs)
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}

/// An operator that runs graphs.
pub trait Control: fmt::Debug {
    /// Plans its graphs for these inputs; `node` is its number for the meter, `foldable` how many bytes planning may still
    /// compute ahead.
    ///
    /// # Errors
    /// [`OpError::DataDependent`] if values decide the shapes in them, or which of them runs and the shapes differ.
    fn nested(&self, node: usize, inputs: &Inputs<'_>, foldable: &mut usize) -> Result<Nested, OpError>;

    /// Runs it with all inputs at hand, planning its graphs on the way. Of what [`Stages`] counts as alive, the outputs are
    /// added.
    ///
    /// # Errors
    /// If the meter stops it, a graph does not plan, or a value is out of its range.
    fn run(
        &self,
        node: usize,
        inputs: &[Option<Arc<Constant>>],
        stages: &mut Stages<'_>,
    ) -> Result<Vec<Tensor>, OpError>;
}
