//! Operators: one file each, one line each in [`OPERATORS`].
//!
//! An operator's file holds everything about it: which versions of it are known, how its attributes are read, its shape
//! and type rule, its cost, how it is specialised for concrete shapes, its documentation and its tests. The parts are
//! methods without defaults of [`Operator`] and fields of [`Definition`]: one forgotten does not compile.
//!
//! # Writing an operator
//!
//! ```text
//! //! Relu: `y = x > 0 ? x : +0`, NaN stays NaN. ONNX `Relu`, opsets 6, 13, 14.
//! pub(super) const RELU: Definition = Definition {
//!     name: "Relu",
//!     since: &[6, 13, 14],          // every version of ONNX's schema that `parse` understands
//!     inputs: 1..=1,                // how many may be given; the framework checks
//!     outputs: 1..=1,
//!     parse: |_node| Ok(Box::new(Relu)),
//! };
//!
//! #[derive(Debug)]
//! struct Relu;
//!
//! impl Operator for Relu {
//!     fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
//!         let x = inputs.of_types(0, FLOATS)?;                // refuses other element types, naming them
//!         Ok(vec![x.tensor_type()])
//!     }
//!     fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
//!         Work::elementwise(inputs, outputs, 1)               // one multiply-add equivalent an element
//!     }
//!     fn specialize(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
//!         Ok(kernel(move |io| {
//!             // `io.path` says which arithmetic; `io.input(0)`, `io.split()` give typed slices.
//!             Ok(())
//!         }))
//!     }
//! }
//! ```
//!
//! Rules:
//! - `infer` must be total: it gets whatever a stranger wrote. Use checked arithmetic and [`TensorType::new`], which
//!   enforces the size limits. What it accepts, `specialize` and the kernel must be able to run without panicking.
//! - An input whose *value* decides a shape is read with [`Inputs::known`]; it fails by name if the value depends on the
//!   model's inputs.
//! - A kernel writes every element of its outputs: the buffers hold leftovers of earlier values.
//! - The [`Path::Fast`] and [`Path::Reference`] results agree bit for bit, and no float result is a NaN other than the
//!   canonical one.
//! - `work` states multiply-add equivalents (one lane of a packed f32 fused multiply-add), padded to the tiles of the
//!   kernels where those matter, and bytes streamed.

mod activation;
mod attention;
mod binary;
mod bits;
mod cast;
mod causal_conv;
mod classify;
mod compare;
mod concat;
mod constant_of_shape;
mod control;
mod conv;
mod cumulative;
mod data;
mod deform_conv;
mod det;
mod dropout;
mod einsum;
mod elementwise;
mod error;
mod expand;
mod floats;
mod fourier;
mod gather;
mod gather_elements;
mod gemm;
mod generate;
mod grid_sample;
mod group_normalization;
mod identity;
mod indices;
mod inputs;
mod integer_products;
mod late;
mod linear_attention;
mod loss;
mod matmul;
mod mel;
mod ml;
mod modulo;
mod non_max_suppression;
mod nonzero;
mod normalization;
mod norms;
mod pad;
mod pool;
mod quantize;
mod recurrent;
mod reduce;
mod reshape;
mod resize;
mod roi_align;
mod rotary_embedding;
mod sampling;
mod scatter;
mod select;
mod shape;
mod shrink;
mod shuffle;
mod slice;
mod softmax;
mod sum;
mod tfidf;
mod topk;
mod transpose;
mod trilu;
mod unary;
mod unique;
mod unpool;
mod window;
mod windows;

use crate::{
    Attributes, DType, Meter, Tensor,
    shape::{Shape, SizeError, byte_length, element_count},
    subgraph::{Control, Subgraph},
    tensor::{Element, TensorView, TensorViewMut},
};
use std::{collections::BTreeMap, fmt, ops::RangeInclusive, sync::Arc};
use synod_numerics::fast::epilogue::Epilogue;

pub use elementwise::{Elementwise, FromBytes, InRegisters, Map, ToBytes, Zip};
pub use error::{AttributeError, OpError};
pub use inputs::{Inputs, Operand};

/// Every operator of the profile, sorted by name.
pub static OPERATORS: &[&Definition] = &[
    &unary::ABS,
    &unary::ACOS,
    &unary::ACOSH,
    &binary::ADD,
    &grid_sample::AFFINE_GRID,
    &compare::AND,
    &reduce::ARG_MAX,
    &reduce::ARG_MIN,
    &unary::ASIN,
    &unary::ASINH,
    &unary::ATAN,
    &unary::ATANH,
    &attention::ATTENTION,
    &pool::AVERAGE_POOL,
    &normalization::BATCH_NORMALIZATION,
    &bits::BIT_CAST,
    &bits::BIT_SHIFT,
    &bits::BITWISE_AND,
    &bits::BITWISE_NOT,
    &bits::BITWISE_OR,
    &bits::BITWISE_XOR,
    &windows::BLACKMAN_WINDOW,
    &cast::CAST,
    &cast::CAST_LIKE,
    &causal_conv::CAUSAL_CONV_WITH_STATE,
    &unary::CEIL,
    &activation::CELU,
    &pad::CENTER_CROP_PAD,
    &binary::CLIP,
    &unpool::COL_2_IM,
    &nonzero::COMPRESS,
    &concat::CONCAT,
    &constant_of_shape::CONSTANT_OF_SHAPE,
    &conv::CONV,
    &integer_products::CONV_INTEGER,
    &conv::CONV_TRANSPOSE,
    &unary::COS,
    &unary::COSH,
    &cumulative::CUM_PROD,
    &cumulative::CUM_SUM,
    &fourier::DFT,
    &deform_conv::DEFORM_CONV,
    &shuffle::DEPTH_TO_SPACE,
    &quantize::DEQUANTIZE_LINEAR,
    &det::DET,
    &binary::DIV,
    &dropout::DROPOUT,
    &quantize::DYNAMIC_QUANTIZE_LINEAR,
    &einsum::EINSUM,
    &activation::ELU,
    &compare::EQUAL,
    &unary::ERF,
    &unary::EXP,
    &expand::EXPAND,
    &generate::EYE_LIKE,
    &reshape::FLATTEN,
    &unary::FLOOR,
    &recurrent::GRU,
    &gather::GATHER,
    &gather_elements::GATHER_ELEMENTS,
    &gather_elements::GATHER_ND,
    &activation::GELU,
    &gemm::GEMM,
    &pool::GLOBAL_AVERAGE_POOL,
    &pool::GLOBAL_LP_POOL,
    &pool::GLOBAL_MAX_POOL,
    &compare::GREATER,
    &compare::GREATER_OR_EQUAL,
    &grid_sample::GRID_SAMPLE,
    &group_normalization::GROUP_NORMALIZATION,
    &windows::HAMMING_WINDOW,
    &windows::HANN_WINDOW,
    &activation::HARD_SIGMOID,
    &activation::HARD_SWISH,
    &softmax::HARDMAX,
    &identity::IDENTITY,
    &control::IF,
    &normalization::INSTANCE_NORMALIZATION,
    &classify::IS_INF,
    &classify::IS_NAN,
    &norms::LRN,
    &recurrent::LSTM,
    &normalization::LAYER_NORMALIZATION,
    &activation::LEAKY_RELU,
    &compare::LESS,
    &compare::LESS_OR_EQUAL,
    &linear_attention::LINEAR_ATTENTION,
    &unary::LOG,
    &softmax::LOG_SOFTMAX,
    &control::LOOP,
    &norms::LP_NORMALIZATION,
    &pool::LP_POOL,
    &matmul::MATMUL,
    &integer_products::MAT_MUL_INTEGER,
    &binary::MAX,
    &pool::MAX_POOL,
    &unpool::MAX_UNPOOL,
    &sum::MEAN,
    &norms::MEAN_VARIANCE_NORMALIZATION,
    &mel::MEL_WEIGHT_MATRIX,
    &binary::MIN,
    &activation::MISH,
    &modulo::MOD,
    &binary::MUL,
    &unary::NEG,
    &loss::NEGATIVE_LOG_LIKELIHOOD_LOSS,
    &non_max_suppression::NON_MAX_SUPPRESSION,
    &nonzero::NON_ZERO,
    &compare::NOT,
    &generate::ONE_HOT,
    &compare::OR,
    &activation::PRELU,
    &pad::PAD,
    &binary::POW,
    &integer_products::Q_LINEAR_CONV,
    &integer_products::Q_LINEAR_MAT_MUL,
    &quantize::QUANTIZE_LINEAR,
    &group_normalization::RMS_NORMALIZATION,
    &recurrent::RNN,
    &generate::RANGE,
    &unary::RECIPROCAL,
    &reduce::REDUCE_L1,
    &reduce::REDUCE_L2,
    &reduce::REDUCE_LOG_SUM,
    &reduce::REDUCE_LOG_SUM_EXP,
    &reduce::REDUCE_MAX,
    &reduce::REDUCE_MEAN,
    &reduce::REDUCE_MIN,
    &reduce::REDUCE_PROD,
    &reduce::REDUCE_SUM,
    &reduce::REDUCE_SUM_SQUARE,
    &activation::RELU,
    &reshape::RESHAPE,
    &resize::RESIZE,
    &shuffle::REVERSE_SEQUENCE,
    &roi_align::ROI_ALIGN,
    &rotary_embedding::ROTARY_EMBEDDING,
    &unary::ROUND,
    &fourier::STFT,
    &control::SCAN,
    &scatter::SCATTER,
    &scatter::SCATTER_ELEMENTS,
    &scatter::SCATTER_ND,
    &activation::SELU,
    &shape::SHAPE,
    &shrink::SHRINK,
    &activation::SIGMOID,
    &unary::SIGN,
    &unary::SIN,
    &unary::SINH,
    &shape::SIZE,
    &slice::SLICE,
    &softmax::SOFTMAX,
    &loss::SOFTMAX_CROSS_ENTROPY_LOSS,
    &activation::SOFTPLUS,
    &activation::SOFTSIGN,
    &shuffle::SPACE_TO_DEPTH,
    &concat::SPLIT,
    &unary::SQRT,
    &reshape::SQUEEZE,
    &binary::SUB,
    &sum::SUM,
    &activation::SWI_GLU,
    &activation::SWISH,
    &unary::TAN,
    &activation::TANH,
    &shuffle::TENSOR_SCATTER,
    &tfidf::TF_IDF_VECTORIZER,
    &activation::THRESHOLDED_RELU,
    &expand::TILE,
    &topk::TOP_K,
    &transpose::TRANSPOSE,
    &trilu::TRILU,
    &unique::UNIQUE,
    &reshape::UNSQUEEZE,
    &resize::UPSAMPLE,
    &select::WHERE,
    &compare::XOR,
];

/// The operator of this name in `ai.onnx`, if the profile has it.
pub fn find(name: &str) -> Option<&'static Definition> {
    DOMAINS[0].find(name)
}

/// The domain of classical machine learning.
pub const ML_DOMAIN: &str = "ai.onnx.ml";

/// A domain of operators, with versions of its own.
#[derive(Debug)]
pub struct Domain {
    /// As nodes state it; `ai.onnx` has the empty name.
    pub name: &'static str,
    /// The newest version whose operators were reviewed.
    pub max_opset: i64,
    /// Its operators, sorted by name.
    pub operators: &'static [&'static Definition],
}

/// Every domain of the profile.
pub static DOMAINS: &[Domain] = &[
    Domain {
        name: "",
        max_opset: crate::limits::MAX_OPSET,
        operators: OPERATORS,
    },
    Domain {
        name: ML_DOMAIN,
        max_opset: 5,
        operators: ml::OPERATORS,
    },
];

/// The domain of this name, if the profile has it; `ai.onnx` may be written out.
pub fn domain(name: &str) -> Option<&'static Domain> {
    let name = if name == "ai.onnx" { "" } else { name };
    DOMAINS.iter().find(|domain| domain.name == name)
}

impl Domain {
    /// Its operator of this name.
    pub fn find(&self, name: &str) -> Option<&'static Definition> {
        self.operators
            .binary_search_by(|definition| definition.name.cmp(name))
            .ok()
            .map(|index| self.operators[index])
    }
}

/// What an operator's file registers.
#[derive(Debug)]
pub struct Definition {
    /// ONNX's `op_type`.
    pub name: &'static str,
    /// The opsets at which ONNX changed this operator and whose meaning `parse` knows, ascending.
    pub since: &'static [i64],
    /// How many inputs a node may list (empty names of skipped optional inputs count).
    pub inputs: RangeInclusive<usize>,
    /// How many outputs a node may list.
    pub outputs: RangeInclusive<usize>,
    /// Reads the node's attributes. Attributes left untaken make the framework refuse the node.
    pub parse: fn(&mut NodeSpec<'_>) -> Result<Box<dyn Operator>, OpError>,
}

impl Definition {
    /// Parses a node of a model that imports `opset` of `ai.onnx`.
    ///
    /// # Errors
    /// If the opset is older than the operator, or attributes or counts are not what it takes.
    pub fn parse(&self, opset: i64, node: &mut NodeSpec<'_>) -> Result<Box<dyn Operator>, OpError> {
        let version = self.since.iter().rev().find(|&&since| since <= opset);
        node.version = *version.ok_or(OpError::Version {
            opset,
            first: self.since[0],
        })?;
        let (inputs, outputs) = (node.inputs.len(), node.outputs.len());
        if !self.inputs.contains(&inputs) {
            return Err(OpError::InputCount {
                got: inputs,
                min: *self.inputs.start(),
                max: *self.inputs.end(),
            });
        }
        if !self.outputs.contains(&outputs) {
            return Err(OpError::OutputCount {
                got: outputs,
                min: *self.outputs.start(),
                max: *self.outputs.end(),
            });
        }
        let operator = (self.parse)(node)?;
        let left = node.attributes.left();
        match left.chain(node.graphs.keys().map(String::as_str)).next() {
            Some(name) => Err(AttributeError::Unknown {
                name: name.to_owned(),
                version: node.version,
            }
            .into()),
            None => Ok(operator),
        }
    }
}

/// A node as an operator's `parse` sees it.
#[derive(Debug)]
pub struct NodeSpec<'a> {
    /// The version of the operator: the last of [`Definition::since`] that is not above the model's opset.
    pub version: i64,
    /// The attributes not taken yet.
    pub attributes: &'a mut Attributes,
    /// The graphs not taken yet.
    pub graphs: &'a mut BTreeMap<String, Subgraph>,
    /// For each listed input, whether it is given (an empty name skips an optional input).
    pub inputs: &'a [bool],
    /// For each listed output, whether it is wanted.
    pub outputs: &'a [bool],
}

impl NodeSpec<'_> {
    /// Takes a graph.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn graph(&mut self, name: &'static str) -> Result<Subgraph, OpError> {
        let missing = AttributeError::Missing { name };
        self.graphs.remove(name).ok_or_else(|| missing.into())
    }

    /// For versions that take fewer inputs than [`Definition::inputs`] allows.
    ///
    /// # Errors
    /// If the node lists more than `max` inputs.
    pub fn limit_inputs(&self, max: usize) -> Result<(), OpError> {
        let got = self.inputs.len();
        if got > max {
            Err(OpError::InputCount { got, min: 1, max })
        } else {
            Ok(())
        }
    }
}

/// Element type and shape of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Shape,
}

impl TensorType {
    /// A type whose rank and size are within the limits.
    ///
    /// # Errors
    /// If they are not.
    pub fn new(dtype: DType, shape: Shape) -> Result<Self, SizeError> {
        byte_length(dtype, &shape)?;
        Ok(Self { dtype, shape })
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        element_count(&self.shape)
    }

    /// Number of bytes.
    pub fn bytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }
}

/// What running a node takes, apart from memory.
///
/// Time on a machine is estimated by the larger of the two: arithmetic at the rate of packed fused multiply-adds, bytes
/// at the rate of memory. Sums saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-add equivalents: one is one lane of a packed f32 fused multiply-add. Padded to the kernels' tiles.
    pub arithmetic: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Work {
    /// Work of an operator that streams its inputs and outputs once and spends `per_element` multiply-add equivalents on
    /// each element of its first output.
    pub fn elementwise(inputs: &Inputs<'_>, outputs: &[TensorType], per_element: u64) -> Self {
        let elements = outputs.first().map_or(0, |output| output.elements() as u64);
        Self {
            arithmetic: elements.saturating_mul(per_element),
            bytes: streamed(inputs, outputs),
        }
    }

    /// Work of an operator that computes nothing and streams its inputs and outputs once.
    pub fn moving(inputs: &Inputs<'_>, outputs: &[TensorType]) -> Self {
        Self {
            arithmetic: 0,
            bytes: streamed(inputs, outputs),
        }
    }
}

/// Bytes of all inputs and outputs together.
pub fn streamed(inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
    let read = inputs
        .iter()
        .map(|operand| (operand.elements() * operand.dtype.size()) as u64);
    let written = outputs.iter().map(|output| output.bytes() as u64);
    read.chain(written).fold(0, u64::saturating_add)
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.arithmetic = self.arithmetic.saturating_add(other.arithmetic);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A node's operation with its attributes read: everything about it that does not depend on shapes.
pub trait Operator: fmt::Debug + Send + Sync {
    /// Shape and type inference: the types of all outputs, in order, for these inputs.
    ///
    /// # Errors
    /// If the inputs do not fit together, have unsupported types, or a size would be beyond the limits.
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError>;

    /// What a run takes; `outputs` is what [`Self::infer`] returned.
    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work;

    /// Specialises the operation for these shapes; `outputs` is what [`Self::infer`] returned.
    ///
    /// # Errors
    /// If a known value is out of its range.
    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError>;

    /// Whether and how shapes, or what runs at all, depend on values.
    fn flow(&self) -> Flow<'_> {
        Flow::Plain
    }

    /// The output, if types and shapes of the inputs alone decide it (Shape, Size).
    fn value_from_types(&self, _inputs: &Inputs<'_>) -> Option<Tensor> {
        None
    }

    /// The operation as a function of elements, where it is one: an executor runs chains of them block by block. It must give
    /// the bits of the kernel.
    fn elementwise(&self, _inputs: &Inputs<'_>) -> Option<Elementwise> {
        None
    }

    /// The same function in a form that kernels can apply in registers, if it is one of those.
    fn in_registers(&self, _inputs: &Inputs<'_>) -> Option<InRegisters> {
        None
    }

    /// Whether the first output has the bytes of the first input, whatever their shapes, so that nothing needs to be copied.
    fn is_view(&self) -> bool {
        false
    }

    /// Whether the outputs are elements of the inputs in other places, as many at most as those have. What such an operator makes of
    /// constants is known when a model is loaded.
    fn moves_data(&self) -> bool {
        false
    }

    /// Whether every element of the outputs has the bits of an element of the inputs: nothing is computed, so that 16-bit floats stay
    /// as they are.
    fn copies_bits(&self) -> bool {
        self.moves_data() || self.is_view()
    }

    /// Whether no run of its kernels on floats fails, so that an executor may run it later than its place.
    fn is_total(&self) -> bool {
        false
    }

    /// Multiply-adds in the sense of the literature (unpadded), for the figures that people compare.
    fn multiply_adds(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> u64 {
        0
    }
}

/// How an operator's outputs follow from its inputs.
#[derive(Debug)]
pub enum Flow<'a> {
    /// Their shapes follow from the inputs' shapes, and from values that are asked for with [`Inputs::known`].
    Plain,
    /// Their shapes follow from the inputs' values.
    Values(&'a dyn DataDependent),
    /// Graphs within the node compute them.
    Control(&'a dyn Control),
}

/// How much an operator has to do with inputs that it has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Extent {
    /// Work to come.
    pub work: Work,
    /// Bytes held at most, outputs included.
    pub memory: u64,
}

/// An operator whose outputs' shapes are known only when its inputs have been seen.
pub trait DataDependent: fmt::Debug {
    /// What it takes to look at the inputs and find out how much is to be done, from their types.
    ///
    /// # Errors
    /// If the inputs do not fit together or have unsupported types.
    fn work(&self, inputs: &Inputs<'_>) -> Result<Work, OpError>;

    /// What it takes beside that, and bytes that it holds at most, outputs included. The work has been charged: the inputs may
    /// be read.
    ///
    /// # Errors
    /// If the inputs do not fit together, or an output would be beyond the limits.
    fn extent(&self, inputs: &[Option<&Tensor>]) -> Result<Extent, OpError>;

    /// Computes all outputs.
    ///
    /// # Errors
    /// If a value is out of its range.
    fn evaluate(&self, inputs: &[Option<&Tensor>], path: Path) -> Result<Vec<Tensor>, OpError>;
}

/// An operation specialised for concrete shapes, ready to run any number of times on any thread.
pub trait Kernel: Send + Sync {
    /// Computes the outputs.
    ///
    /// # Errors
    /// If an input's value is out of its range (an index beyond its axis, for example).
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError>;

    /// Bytes of scratch memory that a run wants.
    fn scratch_bytes(&self) -> usize {
        0
    }

    /// Bytes that a run allocates by itself at most, beside its scratch memory: those of the graphs of control flow.
    fn held_bytes(&self) -> u64 {
        0
    }

    /// The same kernel for images whose channels lie together, in the first input, in the only output, or both; `None` if there is no
    /// such form. Bytes have their channels last then, floats in blocks of sixteen ([`synod_numerics::fast::blocks`]). Only the fast
    /// path runs it.
    fn with_channels_together(&self, _input: bool, _output: bool) -> Option<Arc<dyn Kernel>> {
        None
    }

    /// Whether the fast path reads the elements of an input: what the kernel has arranged for itself it need not.
    fn reads_input(&self, _index: usize) -> bool {
        true
    }

    /// Whether the fast path runs `Io::epilogue` on its only output.
    fn takes_epilogue(&self) -> bool {
        false
    }
}

impl<F: Fn(&mut Io<'_, '_>) -> Result<(), OpError> + Send + Sync> Kernel for F {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        self(io)
    }
}

/// A kernel from a closure without scratch memory.
pub fn kernel<F>(run: F) -> Box<dyn Kernel>
where
    F: Fn(&mut Io<'_, '_>) -> Result<(), OpError> + Send + Sync + 'static,
{
    Box::new(run)
}

/// A kernel from a closure that wants this many bytes of scratch memory.
pub fn kernel_with_scratch<F>(scratch_bytes: usize, run: F) -> Box<dyn Kernel>
where
    F: Fn(&mut Io<'_, '_>) -> Result<(), OpError> + Send + Sync + 'static,
{
    struct WithScratch<F>(usize, F);
    impl<F: Fn(&mut Io<'_, '_>) -> Result<(), OpError> + Send + Sync> Kernel for WithScratch<F> {
        fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
            (self.1)(io)
        }
        fn scratch_bytes(&self) -> usize {
            self.0
        }
    }
    Box::new(WithScratch(scratch_bytes, run))
}

/// Which implementation of the arithmetic runs. Both give the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The fastest kernels of this machine.
    Fast,
    /// The scalar reference: the specification in code.
    Reference,
}

/// Inputs, outputs and scratch memory of one run of a kernel. The types are those that [`Operator::infer`] saw and gave.
pub struct Io<'a, 'b> {
    /// Which arithmetic to use.
    pub path: Path,
    pub(crate) inputs: &'b [Option<TensorView<'a>>],
    pub(crate) outputs: &'b mut [Option<TensorViewMut<'a>>],
    /// Scratch memory of [`Kernel::scratch_bytes`], aligned to 64, with leftovers in it.
    pub scratch: &'b mut [u8],
    /// What the nodes of graphs within this one are charged to.
    pub(crate) meter: &'b mut dyn Meter,
    /// What is done to the elements of the output when they are computed, if the kernel [takes](Kernel::takes_epilogue) it.
    pub(crate) epilogue: Option<&'b dyn Epilogue>,
}

impl<'a, 'b> Io<'a, 'b> {
    /// A required input.
    ///
    /// # Panics
    /// If the node skips it, which [`Operator::infer`] has refused.
    pub fn input(&self, index: usize) -> TensorView<'a> {
        self.optional_input(index)
            .expect("inference checked that the input is given")
    }

    /// An optional input.
    pub fn optional_input(&self, index: usize) -> Option<TensorView<'a>> {
        self.inputs.get(index).copied().flatten()
    }

    /// Inputs, outputs and scratch memory at once.
    pub fn split(
        &mut self,
    ) -> (
        &'b [Option<TensorView<'a>>],
        &mut [Option<TensorViewMut<'a>>],
        &mut [u8],
    ) {
        (self.inputs, self.outputs, self.scratch)
    }

    /// An output, unless the node does not want it.
    pub fn output(&mut self, index: usize) -> Option<&mut TensorViewMut<'a>> {
        self.outputs.get_mut(index).and_then(Option::as_mut)
    }

    /// Input `input` and output `output` as typed slices; an empty slice for an output that the node does not want.
    ///
    /// # Panics
    /// If the types are not what inference said.
    pub fn unary<I: Element, O: Element>(&mut self, input: usize, output: usize) -> (&'a [I], &mut [O]) {
        let read = self.input(input).as_slice();
        let written = self
            .output(output)
            .map_or(&mut [][..], TensorViewMut::as_mut_slice);
        (read, written)
    }
}

/// The float types.
pub const FLOATS: &[DType] = &[DType::F32, DType::F64, DType::F16, DType::BF16];

/// Types of indices, axes and sizes.
pub const INDICES: &[DType] = &[DType::I32, DType::I64];

/// Floats and integers.
pub const NUMBERS: &[DType] = &[
    DType::F32,
    DType::F64,
    DType::F16,
    DType::BF16,
    DType::I8,
    DType::I16,
    DType::I32,
    DType::I64,
    DType::U8,
    DType::U16,
    DType::U32,
    DType::U64,
];

/// An axis counted from the front, from one that may count from the back.
///
/// # Errors
/// If it is outside `-rank..rank`.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    let signed_rank = rank as i64;
    let from_front = if axis < 0 {
        axis.checked_add(signed_rank)
    } else {
        Some(axis)
    };
    match from_front.and_then(|axis| usize::try_from(axis).ok()) {
        Some(axis) if axis < rank => Ok(axis),
        _ => Err(OpError::Shape(format!(
            "axis {axis} is out of range for {rank} dimensions"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_complete() {
        assert!(
            OPERATORS.is_sorted_by(|a, b| a.name < b.name),
            "sort OPERATORS by name"
        );
        for definition in OPERATORS {
            assert!(
                definition.since.is_sorted_by(|a, b| a < b),
                "{}: sort `since`",
                definition.name
            );
            assert_eq!(
                find(definition.name).map(|found| found.name),
                Some(definition.name)
            );
        }
        assert!(find("NoSuchOperator").is_none());
        let ml = domain(ML_DOMAIN).expect("it is there");
        assert!(
            ml.operators.is_sorted_by(|a, b| a.name < b.name),
            "sort ml::OPERATORS by name"
        );
        for definition in ml.operators {
            assert!(definition.since.iter().all(|&since| since <= ml.max_opset));
        }
        assert_eq!(domain("ai.onnx").map(|domain| domain.name), Some(""));
    }

    #[test]
    fn axes_count_from_both_ends() {
        assert_eq!(normalize_axis(-1, 3), Ok(2));
        assert_eq!(normalize_axis(0, 3), Ok(0));
        for (axis, rank) in [(3, 3), (-4, 3), (0, 0), (i64::MIN, 3), (i64::MAX, 3)] {
            assert!(normalize_axis(axis, rank).is_err());
        }
    }
}
