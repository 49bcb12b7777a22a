//! A file's inputs before the import: what they are called, and fixing one of them for good.
//!
//! The chain's models take shapes, axes and repeats as constants, since they must be known before anything runs. Files
//! exist that take them as inputs (ONNX's own tests do). A tool that has the values at hand can bind them.

use crate::{
    DType, Tensor,
    canonical::inline_tensor,
    import::ImportError,
    proto::{GraphProto, ModelProto, decode_model},
};
use bytes::Bytes;
use prost::Message;

/// Names and element types of the inputs that a caller of this file has to give, in order; `None` for a type that the
/// profile does not have. Nothing else about the file is checked.
///
/// # Errors
/// If the file is not ONNX.
pub fn declared_inputs(file: &[u8]) -> Result<Vec<(String, Option<DType>)>, ImportError> {
    let graph = decode_model(Bytes::copy_from_slice(file))?
        .graph
        .ok_or(ImportError::NoGraph)?;
    let is_constant = |name: &str| {
        graph
            .initializer
            .iter()
            .any(|constant| constant.name.as_deref() == Some(name))
    };
    Ok(graph
        .input
        .iter()
        .map(|input| {
            let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
            let code = tensor.and_then(|tensor| tensor.elem_type).unwrap_or(0);
            (
                input.name.clone().unwrap_or_default(),
                DType::from_onnx_code(code),
            )
        })
        .filter(|(name, _)| !is_constant(name))
        .collect())
}

/// Makes an input of a file a constant, by appending an initialiser of its name: protobuf merges a message that comes in
/// two pieces.
pub fn bind_input(file: &mut Vec<u8>, name: &str, value: &Tensor) {
    let graph = GraphProto {
        initializer: vec![inline_tensor(value, name)],
        ..Default::default()
    };
    let piece = ModelProto {
        graph: Some(graph),
        ..Default::default()
    };
    file.extend(piece.encode_to_vec());
}
