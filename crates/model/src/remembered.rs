//! What a plan leaves for the next one of the same graph.
//!
//! Each generated token is a run of a decoder whose cache is one longer than before: another shape, so another plan, in which most nodes have
//! the very operands that they had. What a node becomes when it is planned (types and values of its outputs, its work, its kernel) is a
//! function of its operands, so where these are the same it is taken over. A plan is the same plan whatever was planned before, and planning is
//! charged for as if nothing had been.
//!
//! One plan is remembered for a model, the last one. What that holds beside the plan itself is small: types, values that were computed ahead,
//! and kernels, whose arranged weights the model's constants hold anyway.

use crate::{
    analysis::{Analysis, Value},
    model::ValueId,
    ops::{Kernel, TensorType, Work},
};
use std::{fmt, sync::Arc};

/// What a node became.
#[derive(Debug, Clone)]
pub(crate) enum Became {
    /// A step: types of all its outputs, skipped ones included, and what it costs.
    Step {
        outputs: Arc<[TensorType]>,
        work: Work,
        multiply_adds: u64,
    },
    /// Values, for so many of the bytes that may be computed ahead.
    Known {
        /// Bytes.
        bytes: usize,
    },
}

/// The kernels of a step.
#[derive(Clone)]
pub(crate) struct Kernels {
    /// As the plan states the node.
    pub(crate) stated: Arc<dyn Kernel>,
    /// One that knows what is derived, if that makes a difference.
    pub(crate) derived: Option<Arc<dyn Kernel>>,
}

/// The last plan, as far as another may take it over.
pub(crate) struct Remembered {
    /// Types of the graph's inputs, its first values.
    inputs: Vec<Arc<TensorType>>,
    /// Values that are given, constants included.
    given: usize,
    /// The others. Constants are not held here: a plan may let go of their values.
    computed: Vec<Value>,
    /// For each node; `None` where that depends on more than its operands.
    nodes: Vec<Option<Became>>,
    /// For each node that runs.
    kernels: Vec<Option<Kernels>>,
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered")
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl Remembered {
    /// Keeps what an analysis of a whole graph found, with the kernels that were made for it: by node.
    pub(crate) fn new(
        mut analysis: Analysis,
        inputs: usize,
        given: usize,
        kernels: Vec<Option<Kernels>>,
    ) -> Self {
        let computed = analysis.values.split_off(given);
        let inputs = analysis
            .values
            .iter()
            .take(inputs)
            .map(|value| Arc::clone(value.kind()));
        Self {
            inputs: inputs.collect(),
            given,
            computed,
            nodes: analysis.nodes,
            kernels,
        }
    }

    /// For each of the given values, whether it is what it was.
    pub(crate) fn same_given(&self, values: &[Value]) -> Vec<bool> {
        let of_inputs = values.iter().zip(&self.inputs);
        let mut same: Vec<bool> = of_inputs.map(|(value, kind)| value.is_of_type(kind)).collect();
        // constants are what they are
        same.resize(self.given, true);
        same
    }

    /// What a node became.
    pub(crate) fn node(&self, node: usize) -> Option<&Became> {
        self.nodes[node].as_ref()
    }

    /// A value that was not given.
    pub(crate) fn computed(&self, value: ValueId) -> &Value {
        &self.computed[value - self.given]
    }

    /// The kernels of a node, if it ran.
    pub(crate) fn kernels(&self, node: usize) -> Option<&Kernels> {
        self.kernels[node].as_ref()
    }
}
