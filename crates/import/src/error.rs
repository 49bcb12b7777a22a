//! Why a file is not imported.

/// Why a file is not imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Neither of Keras' formats.
    #[error(
        "neither a .keras file (a zip archive) nor an .h5 file (HDF5): it begins with the bytes {beginning:02x?}"
    )]
    NotKeras {
        /// The first bytes, at most eight.
        beginning: Vec<u8>,
    },
    /// The archive cannot be read.
    #[error("the .keras archive cannot be read: {why}")]
    Archive {
        /// What the zip reader says.
        why: String,
    },
    /// The archive lacks a member.
    #[error("the .keras archive has no `{member}`{advice}")]
    MissingMember {
        /// The member.
        member: &'static str,
        /// What to do, with a colon before it; empty if nothing is known.
        advice: &'static str,
    },
    /// The HDF5 part cannot be read.
    #[error("`{path}` of the HDF5 file cannot be read: {why}")]
    Hdf5 {
        /// The object inside the file.
        path: String,
        /// What the reader says.
        why: String,
    },
    /// An HDF5 file without a model's description.
    #[error(
        "the HDF5 file has no attribute `model_config`: it holds weights alone. Save the whole model with \
         model.save(\"model.keras\")"
    )]
    WeightsAlone,
    /// The description is not JSON.
    #[error("the model's description is not JSON: {why}")]
    Json {
        /// What the parser says.
        why: String,
    },
    /// The description is JSON, yet not what Keras writes.
    #[error("{place}: expected {expected}, got {got}")]
    Config {
        /// Where.
        place: String,
        /// What should be there.
        expected: &'static str,
        /// What is there, shortened.
        got: String,
    },
    /// A class of models or layers without a conversion.
    #[error("layer `{layer}`: {class} is not supported: {advice}")]
    UnsupportedLayer {
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// What to do.
        advice: &'static str,
    },
    /// An option of a layer without a conversion.
    #[error("layer `{layer}` ({class}): {option} = {value} is not supported: {advice}")]
    UnsupportedOption {
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What to do.
        advice: String,
    },
    /// A layer is called with what it does not take.
    #[error("layer `{layer}` ({class}): {why}")]
    Call {
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// What does not fit, with the shapes.
        why: String,
    },
    /// Weights that are not there or do not fit the layer.
    #[error("layer `{layer}` ({class}): weight `{weight}`: {why}")]
    Weights {
        /// The layer's name.
        layer: String,
        /// Its class.
        class: String,
        /// Which weight, by Keras' name.
        weight: String,
        /// What is wrong.
        why: String,
    },
    /// The safetensors file cannot be read.
    #[error("the safetensors file cannot be read: {why}")]
    Safetensors {
        /// What the reader says.
        why: String,
    },
    /// The ONNX file cannot be read.
    #[error("the ONNX file cannot be read: {why}")]
    Onnx {
        /// What the reader says.
        why: String,
    },
    /// A tensor is not what the graph has under its name.
    #[error("tensor `{name}`: the graph has {expected}, the safetensors file {got}")]
    TensorMismatch {
        /// Its name.
        name: String,
        /// What the graph says.
        expected: String,
        /// What the file has.
        got: String,
    },
    /// Tensors of floats that nothing in the graph is called like.
    #[error(
        "{count} floating-point tensors of the safetensors file have no place in the graph ({unplaced}); names of the graph without a tensor: {free}. \
         Export the graph with the module's own parameter names"
    )]
    UnplacedTensors {
        /// How many.
        count: usize,
        /// Some of them.
        unplaced: String,
        /// Some initialisers that got no tensor.
        free: String,
    },
    /// The graph of layers does not hang together.
    #[error("model `{model}`: {why}")]
    Graph {
        /// The model's name.
        model: String,
        /// What is wrong.
        why: String,
    },
    /// Something is larger than the importer takes.
    #[error("{what} is {size}; the limit is {limit}")]
    TooLarge {
        /// What.
        what: String,
        /// How large.
        size: u64,
        /// At most.
        limit: u64,
    },
}
