//! Why an operator refuses: its attributes, its inputs, or a value while it runs.

use crate::{DType, NodeLabel, PlanError, RunError, SizeError};

/// What is wrong with an attribute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttributeError {
    /// Not an attribute of this version of the operator.
    #[error("attribute `{name}` is not part of this operator's version {version}")]
    Unknown {
        /// Its name.
        name: String,
        /// The version of the operator.
        version: i64,
    },
    /// Of another type.
    #[error("attribute `{name}` should be {expected}, found {got}")]
    Type {
        /// Its name.
        name: &'static str,
        /// What is taken.
        expected: &'static str,
        /// What was found.
        got: &'static str,
    },
    /// Not there.
    #[error("attribute `{name}` is required")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// Not text.
    #[error("attribute `{name}` is not UTF-8")]
    NotUtf8 {
        /// Its name.
        name: &'static str,
    },
    /// A value out of range, or one whose meaning is not part of the profile.
    #[error("attribute `{name}` is {value}; supported: {expected}")]
    Value {
        /// Its name.
        name: &'static str,
        /// What was found.
        value: String,
        /// What is taken.
        expected: &'static str,
    },
}

/// Why an operator refuses a node, its shapes, or, when running, a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// An attribute.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// The model's opset is older than what is known of this operator.
    #[error("not supported at opset {opset}: supported from opset {first}")]
    Version {
        /// The model's opset.
        opset: i64,
        /// The first supported.
        first: i64,
    },
    /// Too few or too many inputs.
    #[error("has {got} inputs; it takes {min} to {max}")]
    InputCount {
        /// Listed.
        got: usize,
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// Too few or too many outputs.
    #[error("has {got} outputs; it gives {min} to {max}")]
    OutputCount {
        /// Listed.
        got: usize,
        /// At least.
        min: usize,
        /// At most.
        max: usize,
    },
    /// A required input is skipped.
    #[error("input {index} is required")]
    MissingInput {
        /// Its position.
        index: usize,
    },
    /// An element type that the operator, or the profile, does not take there.
    #[error("input {index} has elements of type {got}; supported: {}", list(expected))]
    DType {
        /// Its position.
        index: usize,
        /// Its type.
        got: DType,
        /// What is taken.
        expected: &'static [DType],
    },
    /// Inputs that should have the same type do not.
    #[error("input {index} has elements of type {got}, the others of type {expected}")]
    DTypeMismatch {
        /// Its position.
        index: usize,
        /// Its type.
        got: DType,
        /// The others'.
        expected: DType,
    },
    /// Shapes that do not fit together.
    #[error("{0}")]
    Shape(String),
    /// A shape beyond the limits.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A value that decides a shape depends on the model's inputs.
    #[error(
        "input {index} decides a shape, but its value depends on the model's inputs; \
         only shapes that follow from the inputs' shapes are supported"
    )]
    DataDependent {
        /// Its position.
        index: usize,
    },
    /// A value out of its range.
    #[error("{0}")]
    Value(String),
    /// A graph within the node does not plan.
    #[error(transparent)]
    InPlan(Box<PlanError>),
    /// A graph within the node stopped.
    #[error(transparent)]
    InRun(Box<RunError>),
}

impl OpError {
    /// This error of a node, or of one within it.
    pub(crate) fn of_node(self, label: &NodeLabel) -> PlanError {
        match self {
            Self::InPlan(error) => *error,
            error => PlanError::Node {
                node: label.clone(),
                error,
            },
        }
    }

    /// This error of a node that runs, or of one within it.
    pub(crate) fn of_run(self, label: &NodeLabel) -> RunError {
        match self {
            Self::InRun(error) => *error,
            Self::InPlan(error) => RunError::Plan(*error),
            error => RunError::Node {
                node: label.clone(),
                error,
            },
        }
    }
}

impl From<PlanError> for OpError {
    fn from(error: PlanError) -> Self {
        Self::InPlan(Box::new(error))
    }
}

impl From<RunError> for OpError {
    fn from(error: RunError) -> Self {
        Self::InRun(Box::new(error))
    }
}

fn list(types: &[DType]) -> String {
    types
        .iter()
        .map(|dtype| dtype.name())
        .collect::<Vec<_>>()
        .join(", ")
}
