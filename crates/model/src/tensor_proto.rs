//! Tensors as ONNX `TensorProto` files (`.pb`).

use crate::{
    Tensor,
    external::NoExternalData,
    import::ImportError,
    proto::{TensorProto, WireError, check_tensor_wire},
    source::read_tensor,
};
use bytes::Bytes;
use prost::Message;

/// Reads a `TensorProto`, the form of ONNX's test data; gives its name too (often empty).
///
/// # Errors
/// If the bytes are not a `TensorProto` with its elements inside, of a type of the profile.
pub fn decode_tensor_proto(bytes: &[u8]) -> Result<(String, Tensor), ImportError> {
    check_tensor_wire(bytes)?;
    let proto = TensorProto::decode(Bytes::copy_from_slice(bytes))
        .map_err(|error| WireError::Decode(error.to_string()))?;
    let name = proto.name.clone().unwrap_or_default();
    let tensor = read_tensor(proto, &name, &NoExternalData)?;
    Ok((name, tensor))
}
