//! Constants of 2 and 4 bits, as quantised weights: read into bytes.
//!
//! The profile has no such type. A number of few bits is the same number in a byte, so that what dequantises it, moves it or casts it may take
//! it so. What rounds to the range of the type (QuantizeLinear) may not, and is refused.

use super::{BYTE_MOVERS, ImportError, SourceNode, read_tensor};
use crate::{DType, Tensor, external::ExternalData, proto::TensorProto, shape::shape_from_i64s};
use std::collections::BTreeSet;

/// The bits of a `TensorProto.DataType` that is narrower than a byte, and the type that its numbers are read into.
pub(super) fn widened(code: i32) -> Option<(usize, DType)> {
    match code {
        21 => Some((4, DType::U8)),
        22 => Some((4, DType::I8)),
        25 => Some((2, DType::U8)),
        26 => Some((2, DType::I8)),
        _ => None,
    }
}

/// Reads a tensor of such a type, several numbers in a byte, the first in its lowest bits.
pub(super) fn read_narrow(
    proto: TensorProto,
    (bits, dtype): (usize, DType),
    name: &str,
    external: &dyn ExternalData,
) -> Result<Tensor, ImportError> {
    let fail = |error| ImportError::Tensor {
        name: name.to_owned(),
        error,
    };
    let shape = shape_from_i64s(&proto.dims).map_err(|error| fail(error.into()))?;
    let elements = crate::shape::byte_length(dtype, &shape).map_err(|error| fail(error.into()))?;
    let packed = elements.div_ceil(8 / bits);
    let bytes = TensorProto {
        data_type: Some(DType::U8.onnx_code()),
        dims: vec![packed as i64],
        ..proto
    };
    let bytes = read_tensor(bytes, name, external)?;
    let number = |index: usize| {
        let byte = bytes.bytes()[index * bits / 8];
        let high = byte << (8 - bits - index * bits % 8);
        if dtype == DType::I8 {
            ((high as i8) >> (8 - bits)) as u8
        } else {
            high >> (8 - bits)
        }
    };
    let numbers: Vec<u8> = (0..elements).map(number).collect();
    Tensor::from_le_bytes(dtype, &shape, &numbers).map_err(fail)
}

/// Refuses nodes to which it makes a difference that these values are not of the types that the file gave them.
pub(super) fn check(nodes: &[SourceNode], mut narrow: BTreeSet<String>) -> Result<(), ImportError> {
    let mut before = None;
    while before != Some(narrow.len()) && !narrow.is_empty() {
        before = Some(narrow.len());
        for (index, node) in nodes.iter().enumerate() {
            let reads = node.reads();
            let Some(read) = reads.iter().find(|name| narrow.contains(**name)) else {
                continue;
            };
            let of_onnx = node.domain.is_empty() && node.graphs.is_empty();
            match node.op_type.as_str() {
                "Cast" | "DequantizeLinear" if of_onnx => {}
                moving if of_onnx && BYTE_MOVERS.contains(&moving) && moving != "MaxPool" => {
                    narrow.extend(node.outputs.iter().cloned());
                }
                _ => {
                    return Err(ImportError::Narrow {
                        node: node.label(index),
                        name: (*read).to_owned(),
                    });
                }
            }
        }
    }
    Ok(())
}
