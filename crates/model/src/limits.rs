//! The limits that make loading total: whatever the bytes say, time and memory stay bounded by their length.
//!
//! They belong to the profile: every node must refuse the same models, so a change is a scheduled upgrade.

/// Dimensions of a tensor, at most.
pub const MAX_RANK: usize = 8;

/// Bytes of one tensor, at most (2 GiB); every product of dimensions is checked against it, zero or not.
pub const MAX_TENSOR_BYTES: u64 = 1 << 31;

/// Bytes of a canonical graph, at most.
pub const MAX_GRAPH_BYTES: usize = 4 << 20;

/// Nodes of a model, at most, those of subgraphs included.
pub const MAX_NODES: usize = 1 << 16;

/// Inputs, outputs and constants of a graph, at most, each.
pub const MAX_VALUES: usize = 1 << 16;

/// Length-delimited fields (messages, strings, byte strings) of a graph's protobuf, at most. Decoding turns a message of
/// two bytes into a structure of a few hundred: this is what bounds the memory of it.
pub const MAX_PROTO_FIELDS: usize = 1 << 18;

/// Graphs within graphs, at most, the model's own counted: the body of a loop in a branch of a model has depth 3.
pub const MAX_GRAPH_DEPTH: usize = 8;

/// Inputs and outputs that one node lists, at most, each.
pub const MAX_NODE_VALUES: usize = 4096;

/// Elements of a tensor that planning may compute ahead, at most: shapes and indices are tiny, and planning must stay
/// cheap next to running.
pub const MAX_FOLDED_ELEMENTS: usize = 1024;

/// Bytes of all that planning computes ahead, at most; what comes after is computed by the run.
pub const MAX_FOLDED_BYTES: usize = 4 << 20;

/// Arithmetic of a node that planning computes ahead, at most, in multiply-add equivalents: about two microseconds.
pub const MAX_FOLDED_ARITHMETIC: u64 = 1 << 15;

/// The lowest opset of `ai.onnx`. Operators state from which version on they are known: all from what was in force at
/// opset 7 (which brought NumPy's broadcasting), those that have not changed since also before.
pub const MIN_OPSET: i64 = 1;

/// The newest opset of `ai.onnx` whose operators were reviewed.
pub const MAX_OPSET: i64 = 28;

/// The newest version of arithmetic and canonical form that this build knows. The version is hashed into every model id.
pub const PROFILE_VERSION: u32 = 1;
