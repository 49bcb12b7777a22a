//! Why a run gives no outputs.

use crate::{
    DType,
    import::NodeLabel,
    model::PlanError,
    ops::{OpError, TensorType},
    shape::Shape,
};

/// Why a run gave no outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Not one tensor for each input.
    #[error("the model has {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the model.
        expected: usize,
        /// Given.
        got: usize,
    },
    /// A tensor of another type or shape than planned.
    #[error("input `{name}` is {dtype}{shape:?}; the plan takes {}{:?}", expected.dtype, expected.shape)]
    Input {
        /// The input.
        name: String,
        /// What the plan takes.
        expected: TensorType,
        /// The type given.
        dtype: DType,
        /// The shape given.
        shape: Shape,
    },
    /// Something in the process (a C library) has changed rounding or flushes subnormals: results would differ from
    /// other machines'. An internal fault, never the caller's.
    #[error("this thread's floating-point environment is not the default: a library has changed it")]
    FloatEnvironment,
    /// The meter stopped the run.
    #[error("stopped by the meter before {node}")]
    Stopped {
        /// The node that was not paid for.
        node: NodeLabel,
    },
    /// A later stage does not plan, or an output is not what the model declares.
    #[error(transparent)]
    Plan(PlanError),
    /// A value out of an operator's range.
    #[error("{node}: {error}")]
    Node {
        /// The node.
        node: NodeLabel,
        /// The reason.
        error: OpError,
    },
}
