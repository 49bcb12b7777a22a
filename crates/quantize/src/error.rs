//! Why a network is not quantised.

use crate::{Bound, Trial};
use synod_model::{DType, ImportError, ModelError, PlanError, RunError, Shape};

/// Why a network is not quantised.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The file, or what would be made of it, does not import.
    #[error(transparent)]
    Import(Box<ImportError>),
    /// The model does not load.
    #[error(transparent)]
    Load(Box<ModelError>),
    /// The model does not take the samples' shapes.
    #[error("the network does not take the samples: {0}")]
    Plan(#[from] PlanError),
    /// The model refuses the samples' values.
    #[error("sample {call} cannot be run: {error}")]
    Run {
        /// Which call, from 0.
        call: usize,
        /// What the engine says.
        error: Box<RunError>,
    },
    /// Too old a file.
    #[error(
        "the file is of opset {opset}, integers are known from opset {MIN_OPSET} on: convert it first \
         (onnx.version_converter.convert_version(model, 13))"
    )]
    Opset {
        /// The file's version of `ai.onnx`.
        opset: i64,
    },
    /// Nothing in the network can be computed with integers.
    #[error(
        "there is nothing to quantise: the network has no Conv, Gemm or MatMul with constant f32 weights; its operators are {}",
        operators.join(", ")
    )]
    NothingToQuantize {
        /// The operators that it has.
        operators: Vec<String>,
    },
    /// All layers are to stay as they are.
    #[error("all {layers} layers are kept in float: keep fewer")]
    AllKept {
        /// How many layers there are.
        layers: usize,
    },
    /// A bound on the loss that integers do not keep.
    #[error(
        "with all but one of {layers} layers in float the network still loses more than the bound ({bound}): {last}; \
         give a looser bound, or publish the network of floats"
    )]
    BoundNotMet {
        /// The bound.
        bound: Bound,
        /// How many layers there are.
        layers: usize,
        /// What was measured last.
        last: Trial,
    },
    /// A layer that is to stay in float is not there.
    #[error("there is no layer `{name}` to keep in float; the layers are {}", layers.join(", "))]
    UnknownLayer {
        /// The name.
        name: String,
        /// The layers.
        layers: Vec<String>,
    },
    /// An input without samples.
    #[error("no samples are given for input `{input}`")]
    MissingInput {
        /// The input.
        input: String,
    },
    /// An empty set of samples.
    #[error("the samples of input `{input}` are none: its array has the shape {shape:?}")]
    NoSamples {
        /// The input.
        input: String,
        /// The array's shape.
        shape: Shape,
    },
    /// Samples of another type.
    #[error("the samples of input `{input}` hold {got}, the network takes {expected}")]
    SampleType {
        /// The input.
        input: String,
        /// What the network takes.
        expected: DType,
        /// What was given.
        got: DType,
    },
    /// Samples of another shape.
    #[error(
        "the samples of input `{input}` have the shape {got:?}, the network takes {expected}: give an array of samples, one behind \
         the other along the first axis"
    )]
    SampleShape {
        /// The input.
        input: String,
        /// What the network takes, in words.
        expected: String,
        /// What was given.
        got: Shape,
    },
    /// Inputs with different numbers of samples.
    #[error("input `{input}` has samples for {got} calls, the inputs before it for {expected}")]
    SampleCount {
        /// The input.
        input: String,
        /// The number before.
        expected: usize,
        /// The number here.
        got: usize,
    },
    /// A sample with NaN or infinity.
    #[error(
        "element {element} of the samples of input `{input}` is {value}: calibration needs finite numbers"
    )]
    SampleNotFinite {
        /// The input.
        input: String,
        /// The position in the array.
        element: usize,
        /// The element.
        value: f32,
    },
    /// The network of floats itself gives NaN or infinity.
    #[error(
        "in sample {call} the float network computes {value} in `{name}`: calibration needs finite numbers"
    )]
    ValueNotFinite {
        /// The value in the graph.
        name: String,
        /// Which call, from 0.
        call: usize,
        /// What was found.
        value: f32,
    },
    /// A weight that is NaN or infinite.
    #[error("layer `{layer}` has the weight {value}: weights must be finite")]
    WeightNotFinite {
        /// The layer.
        layer: String,
        /// The weight.
        value: f32,
    },
    /// Labels for another number of answers.
    #[error("{labels} labels are given for {answers} answers of the network")]
    Labels {
        /// How many labels there are.
        labels: usize,
        /// How many answers there are.
        answers: usize,
    },
}

impl From<ImportError> for QuantizeError {
    fn from(error: ImportError) -> Self {
        Self::Import(Box::new(error))
    }
}

impl From<ModelError> for QuantizeError {
    fn from(error: ModelError) -> Self {
        Self::Load(Box::new(error))
    }
}

/// The first version of `ai.onnx` with QLinearConv and its like.
pub(crate) const MIN_OPSET: i64 = 10;
