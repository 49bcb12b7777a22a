//! Other frameworks' model files into ONNX models: Keras' `.keras` and `.h5`, and safetensors beside a graph.
//!
//! ```text
//!   model.keras ─┐                  ┌─ layers: a table from class name to converter, a file a family
//!   model.h5 ────┴─► import_keras ──┤
//!                                   └─► Imported: an ONNX file, and which of its values each layer gives
//!                                          │
//!                                          ▼ synod_model::import_onnx, or any other runtime
//! ```
//!
//! The result is a plain ONNX file (opset 21) that other runtimes open: nothing of it depends on this project. The crate knows
//! nothing of chains; only the tool uses it.
//!
//! # How images are laid out
//! Keras keeps channels last, ONNX's convolutions and pools want them second. Each tensor is tracked with the order in which
//! its axes really lie (`Layout` in `keras/tensor.rs`); operators that work element by element take any order, others ask for the
//! one they need, and a tensor that exists in two orders remembers both. So a network transposes its image once, at its first
//! convolution, and back where somebody needs Keras' order: at Flatten, or at an output. Sequences are handled alike
//! (ONNX's recurrent operators want time first). Weights are transposed here, once.
//!
//! # What can go wrong
//! Files come from strangers. A layer or option that has no exact counterpart is refused by name, never approximated; sizes are
//! checked before anything is allocated; a file that lies gives an error.

mod error;
mod keras;
mod onnx;
mod safetensors;

pub use self::safetensors::with_safetensors;
pub use error::ImportError;
pub use keras::{Imported, KerasOptions, LAYER_PREFIX, LayerOutput, LayerReport, import_keras, is_keras};
