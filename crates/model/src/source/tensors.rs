//! Reading tensors: wherever a `TensorProto` keeps its elements.

use super::ImportError;
use crate::{DType, Tensor, TensorError, external::ExternalData, proto::TensorProto, shape::shape_from_i64s};
use bytes::Bytes;

/// Reads a `TensorProto`, wherever it keeps its elements.
pub(crate) fn read_tensor(
    proto: TensorProto,
    name: &str,
    external: &dyn ExternalData,
) -> Result<Tensor, ImportError> {
    let what = || format!("tensor `{name}`");
    let fail = |error: TensorError| ImportError::Tensor {
        name: name.to_owned(),
        error,
    };
    let code = proto.data_type.unwrap_or(0);
    let dtype = DType::from_onnx_code(code).ok_or_else(|| ImportError::ElementType {
        what: what(),
        code: DType::onnx_code_name(code),
    })?;
    let shape = shape_from_i64s(&proto.dims).map_err(|error| fail(error.into()))?;
    // Before anything is converted or read: the size has to be within the limits.
    let expected = crate::shape::byte_length(dtype, &shape).map_err(|error| fail(error.into()))?;
    if proto.data_location == Some(1) {
        let data = read_external(&proto, name, expected, external)?;
        return Tensor::sharing(dtype, &shape, data).map_err(fail);
    }
    if let Some(raw) = &proto.raw_data {
        return Tensor::from_le_bytes(dtype, &shape, raw).map_err(fail);
    }
    // Typed fields: narrow types are widened to int32 (the 16-bit floats as their bits), u32 to u64.
    let bytes: Vec<u8> = match dtype {
        DType::F32 => proto.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F64 => proto.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::I64 => proto.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U64 => proto.uint64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::U32 => proto
            .uint64_data
            .iter()
            .flat_map(|&x| (x as u32).to_le_bytes())
            .collect(),
        DType::I32 => proto.int32_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::F16 | DType::BF16 | DType::I16 | DType::U16 => proto
            .int32_data
            .iter()
            .flat_map(|&x| (x as u16).to_le_bytes())
            .collect(),
        DType::I8 | DType::U8 | DType::Bool => proto.int32_data.iter().map(|&x| x as u8).collect(),
    };
    Tensor::from_le_bytes(dtype, &shape, &bytes).map_err(fail)
}

fn read_external(
    proto: &TensorProto,
    name: &str,
    expected: usize,
    external: &dyn ExternalData,
) -> Result<Bytes, ImportError> {
    let fail = |why: String| ImportError::External {
        name: name.to_owned(),
        why,
    };
    let entry = |key: &str| {
        let mut found = proto
            .external_data
            .iter()
            .filter(|entry| entry.key.as_deref() == Some(key));
        found.next().map(|entry| entry.value.as_deref().unwrap_or(""))
    };
    let number = |key: &'static str| {
        let parse = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| fail(format!("{key} is `{text}`")))
        };
        entry(key).map(parse).transpose()
    };
    let location = entry("location").ok_or_else(|| fail("location is missing".into()))?;
    let length = number("length")?.unwrap_or(expected as u64);
    if length != expected as u64 {
        return Err(fail(format!(
            "length is {length}, type and shape need {expected} bytes"
        )));
    }
    let offset = number("offset")?.unwrap_or(0);
    let data = external
        .read(location, offset, expected)
        .map_err(|error| fail(error.to_string()))?;
    if data.len() == expected {
        Ok(data)
    } else {
        Err(fail(format!(
            "`{location}` gave {} bytes at {offset}, {expected} are needed",
            data.len()
        )))
    }
}
