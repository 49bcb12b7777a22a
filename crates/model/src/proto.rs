//! ONNX's protobuf messages, as far as the profile reads them (field numbers of `onnx.proto`, IR version 14).
//!
//! Declared by hand with `prost`'s derive, so that building needs no `protoc`. What is not declared is skipped when
//! decoding: the importer ignores it or refuses the parts that would change meaning (which are declared as plain bytes,
//! just to notice them), and the chain's loader refuses it because the bytes would not come out again.
//!
//! Graphs nest: a node's attribute may hold one. `check_wire` bounds the depth of them and the memory that decoding can
//! take, before it starts.
//!
//! Public for those who write ONNX files: importers of other formats build a [`ModelProto`] and hand its encoding to
//! [`import_onnx`](crate::import_onnx), as they would hand it a file.

#![allow(missing_docs, reason = "the fields are onnx.proto's, under its names")]

use crate::limits::{MAX_GRAPH_DEPTH, MAX_PROTO_FIELDS};
use bytes::Bytes;
use prost::Message;

/// `ModelProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
}

/// `FunctionProto`: what a node of its name, domain and overload stands for.
#[derive(Clone, PartialEq, Message)]
pub struct FunctionProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Attributes without a default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    #[prost(string, optional, tag = "10")]
    pub domain: Option<String>,
    /// Attributes with a default.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    #[prost(string, optional, tag = "13")]
    pub overload: Option<String>,
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct OperatorSetIdProto {
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringStringEntryProto {
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// `ValueInfoProto`s of values between nodes, undecoded: the tool's importer alone looks at them.
    #[prost(bytes = "bytes", repeated, tag = "13")]
    pub value_info: Vec<Bytes>,
    /// `SparseTensorProto`s, undecoded.
    #[prost(bytes = "bytes", repeated, tag = "15")]
    pub sparse_initializer: Vec<Bytes>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    /// Which of several functions of one name is meant.
    #[prost(string, optional, tag = "8")]
    pub overload: Option<String>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<Bytes>,
    #[prost(message, optional, tag = "5")]
    pub t: Option<TensorProto>,
    /// A subgraph.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    /// Subgraphs, undecoded.
    #[prost(bytes = "bytes", repeated, tag = "11")]
    pub graphs: Vec<Bytes>,
    /// `AttributeType`: one of [`attribute_type`]; absent in the oldest files.
    #[prost(int32, optional, tag = "20")]
    pub r#type: Option<i32>,
    /// Refers to an attribute of an enclosing function.
    #[prost(string, optional, tag = "21")]
    pub ref_attr_name: Option<String>,
}

/// `AttributeProto.AttributeType`.
pub mod attribute_type {
    pub const FLOAT: i32 = 1;
    pub const INT: i32 = 2;
    pub const STRING: i32 = 3;
    pub const TENSOR: i32 = 4;
    pub const GRAPH: i32 = 5;
    pub const FLOATS: i32 = 6;
    pub const INTS: i32 = 7;
    pub const STRINGS: i32 = 8;
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 0 (default): in the message; 1: external.
    #[prost(int32, optional, tag = "14")]
    pub data_location: Option<i32>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
}

/// `TypeProto`: only tensors are part of the profile; the other kinds are noticed and refused.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
    #[prost(message, optional, tag = "4")]
    pub sequence_type: Option<OtherTypeProto>,
    #[prost(message, optional, tag = "5")]
    pub map_type: Option<OtherTypeProto>,
    #[prost(message, optional, tag = "8")]
    pub sparse_tensor_type: Option<OtherTypeProto>,
    #[prost(message, optional, tag = "9")]
    pub optional_type: Option<OtherTypeProto>,
}

impl TypeProto {
    /// Whether it states a type that is not a tensor's. Some exporters write a type that states nothing.
    pub(crate) fn is_other(&self) -> bool {
        self.sequence_type.is_some()
            || self.map_type.is_some()
            || self.sparse_tensor_type.is_some()
            || self.optional_type.is_some()
    }
}

/// A type that is not a tensor's: what it says is not read.
#[derive(Clone, PartialEq, Message)]
pub struct OtherTypeProto {}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    #[prost(int32, optional, tag = "1")]
    pub elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub struct DimensionProto {
    #[prost(oneof = "DimensionValue", tags = "1, 2")]
    pub value: Option<DimensionValue>,
}

/// The `oneof` of a dimension.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum DimensionValue {
    #[prost(int64, tag = "1")]
    Value(i64),
    #[prost(string, tag = "2")]
    Param(String),
}

/// Why bytes are not the wire form of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, or cut short.
    #[error("not an ONNX file, or a truncated one: the protobuf breaks off at byte {offset}")]
    Malformed {
        /// Where, in bytes from the beginning.
        offset: usize,
    },
    /// Protobuf, yet not these messages.
    #[error("not an ONNX file: {0}")]
    Decode(String),
    /// More messages than the limit.
    #[error("the graph has more than {MAX_PROTO_FIELDS} messages and strings")]
    TooManyFields,
    /// Graphs within graphs beyond the limit.
    #[error("graphs are nested deeper than {MAX_GRAPH_DEPTH}")]
    TooDeep,
}

/// The fields of a message that hold messages again, for [`check_wire`].
struct Nesting(&'static [(u32, &'static Nesting)]);

static LEAF: Nesting = Nesting(&[]);
static TENSOR: Nesting = Nesting(&[(13, &LEAF)]);
/// The one message that leads back to another: a graph in an attribute.
static ATTRIBUTE: Nesting = Nesting(&[(5, &TENSOR), (6, &GRAPH)]);
static NODE: Nesting = Nesting(&[(5, &ATTRIBUTE)]);
static SHAPE: Nesting = Nesting(&[(1, &LEAF)]);
static TENSOR_TYPE: Nesting = Nesting(&[(2, &SHAPE)]);
static TYPE: Nesting = Nesting(&[(1, &TENSOR_TYPE)]);
static VALUE_INFO: Nesting = Nesting(&[(2, &TYPE)]);
static GRAPH: Nesting = Nesting(&[(1, &NODE), (5, &TENSOR), (11, &VALUE_INFO), (12, &VALUE_INFO)]);
static FUNCTION: Nesting = Nesting(&[(7, &NODE), (9, &LEAF), (11, &ATTRIBUTE)]);
static MODEL: Nesting = Nesting(&[(7, &GRAPH), (8, &LEAF), (14, &LEAF), (25, &FUNCTION)]);

/// Walks the wire form of a `ModelProto` without building anything: every length stays inside its message, graphs are not
/// nested deeper than [`MAX_GRAPH_DEPTH`], and there are no more than [`MAX_PROTO_FIELDS`] length-delimited fields.
pub(crate) fn check_wire(model: &[u8]) -> Result<(), WireError> {
    walk(model, 0, model.len(), &MODEL, 0, &mut 0)
}

/// [`check_wire`] for a `TensorProto`.
pub(crate) fn check_tensor_wire(tensor: &[u8]) -> Result<(), WireError> {
    walk(tensor, 0, tensor.len(), &TENSOR, 0, &mut 0)
}

fn walk(
    bytes: &[u8],
    mut at: usize,
    end: usize,
    nesting: &'static Nesting,
    mut graphs: usize,
    fields: &mut usize,
) -> Result<(), WireError> {
    if std::ptr::eq(nesting, &GRAPH) {
        graphs += 1;
        if graphs > MAX_GRAPH_DEPTH {
            return Err(WireError::TooDeep);
        }
    }
    while at < end {
        let malformed = WireError::Malformed { offset: at };
        let (key, after_key) = varint(bytes, at, end).ok_or(malformed.clone())?;
        let (value, after) = match key & 7 {
            0 => varint(bytes, after_key, end).ok_or(malformed.clone())?,
            1 => (0, after_key + 8),
            5 => (0, after_key + 4),
            2 => {
                let (length, start) = varint(bytes, after_key, end).ok_or(malformed.clone())?;
                let length = usize::try_from(length).map_err(|_| malformed.clone())?;
                (length as u64, start.checked_add(length).ok_or(malformed.clone())?)
            }
            _ => return Err(malformed),
        };
        if after > end || key >> 3 == 0 {
            return Err(malformed);
        }
        if key & 7 == 2 {
            *fields += 1;
            if *fields > MAX_PROTO_FIELDS {
                return Err(WireError::TooManyFields);
            }
            let field = key >> 3;
            if let Some((_, inner)) = nesting.0.iter().find(|(number, _)| u64::from(*number) == field) {
                // `value` is the length; the field's bytes end at `after`.
                walk(bytes, after - value as usize, after, inner, graphs, fields)?;
            }
        }
        at = after;
    }
    Ok(())
}

/// A varint at `at` and where it ends.
fn varint(bytes: &[u8], mut at: usize, end: usize) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        if at >= end {
            return None;
        }
        let byte = bytes[at];
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((value, at));
        }
    }
    None
}

/// Decodes a `ModelProto`; byte strings share the memory of `bytes`.
pub fn decode_model(bytes: Bytes) -> Result<ModelProto, WireError> {
    check_wire(&bytes)?;
    ModelProto::decode(bytes).map_err(|error| WireError::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_round_trip() {
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(GraphProto {
                node: vec![NodeProto {
                    input: vec!["x".into(), String::new()],
                    attribute: vec![AttributeProto {
                        i: Some(0),
                        ints: vec![0, -1],
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(decode_model(model.encode_to_vec().into()), Ok(model));
    }

    #[test]
    fn what_is_not_protobuf_is_refused_where_it_breaks() {
        assert_eq!(check_wire(b"PK\x03\x04"), Err(WireError::Malformed { offset: 2 }));
        // The graph claims five bytes and has one.
        assert_eq!(check_wire(&[0x3a, 5, 0]), Err(WireError::Malformed { offset: 0 }));
        assert_eq!(check_wire(&[0xff; 20]), Err(WireError::Malformed { offset: 0 }));
        assert!(check_wire(&[]).is_ok());
    }

    #[test]
    fn a_bomb_of_empty_messages_is_refused() {
        // Two bytes (`node {}`) each: decoded they would take hundreds of megabytes.
        let nodes = [0x0a, 0x00].repeat(MAX_PROTO_FIELDS + 1);
        let mut bytes = vec![0x3a];
        prost::encoding::encode_varint(nodes.len() as u64, &mut bytes);
        bytes.extend(nodes);
        assert_eq!(check_wire(&bytes), Err(WireError::TooManyFields));
    }
}
