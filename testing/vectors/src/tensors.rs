//! Tensors of a vector: `inputs.pb` and `outputs.pb` are ONNX `GraphProto`s that hold nothing but `initializer`s.

use eyre::{OptionExt, Result, ensure};
use synod_model::{Tensor, decode_tensor_proto};

/// `GraphProto.initializer`, a message.
const INITIALIZER: u64 = 5 << 3 | 2;

/// The named tensors of a file.
///
/// # Errors
/// If the bytes are not such a file.
pub fn read(mut bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let mut tensors = Vec::new();
    while !bytes.is_empty() {
        ensure!(
            read_varint(&mut bytes)? == INITIALIZER,
            "something else than an initializer"
        );
        let length = read_varint(&mut bytes)? as usize;
        let (message, rest) = bytes.split_at_checked(length).ok_or_eyre("the file is cut off")?;
        tensors.push(decode_tensor_proto(message)?);
        bytes = rest;
    }
    Ok(tensors)
}

fn read_varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_eyre("the file is cut off")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    eyre::bail!("a number of more than nine bytes")
}
