//! Small ONNX files, written field by field (numbers of `onnx.proto`).

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OpsetProto>,
}

#[derive(Clone, PartialEq, Message)]
struct OpsetProto {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    node: Vec<NodeProto>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueProto>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueProto>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueProto {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorTypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorTypeProto {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<DimProto>,
}

#[derive(Clone, PartialEq, Message)]
struct DimProto {
    #[prost(int64, optional, tag = "1")]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    dim_param: Option<String>,
}

/// A dimension of an input or output.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dim {
    Size(i64),
    Free(&'static str),
}

/// ONNX's code of f32.
pub(crate) const F32: i32 = 1;
/// ONNX's code of i64.
pub(crate) const I64: i32 = 7;
/// ONNX's code of bool.
pub(crate) const BOOL: i32 = 9;

/// A graph under construction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Graph(GraphProto);

impl Graph {
    pub(crate) fn input(mut self, name: &str, dtype: i32, dims: &[Dim]) -> Self {
        self.0.input.push(value(name, dtype, dims));
        self
    }

    pub(crate) fn output(mut self, name: &str, dtype: i32, dims: &[Dim]) -> Self {
        self.0.output.push(value(name, dtype, dims));
        self
    }

    pub(crate) fn weights(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        self.constant(
            name,
            F32,
            dims,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    }

    pub(crate) fn i64s(self, name: &str, values: &[i64]) -> Self {
        let dims = [values.len() as i64];
        self.constant(
            name,
            I64,
            &dims,
            values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        )
    }

    fn constant(mut self, name: &str, data_type: i32, dims: &[i64], raw_data: Vec<u8>) -> Self {
        self.0.initializer.push(TensorProto {
            dims: dims.to_vec(),
            data_type,
            name: name.into(),
            raw_data,
        });
        self
    }

    pub(crate) fn node(mut self, op_type: &str, input: &[&str], output: &[&str]) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        self.0.node.push(NodeProto {
            input: names(input),
            output: names(output),
            op_type: op_type.into(),
        });
        self
    }

    /// The bytes of the file.
    pub(crate) fn file(mut self) -> Vec<u8> {
        self.0.name = "graph".into();
        ModelProto {
            ir_version: 8,
            graph: Some(self.0),
            opset_import: vec![OpsetProto { version: 13 }],
        }
        .encode_to_vec()
    }
}

fn value(name: &str, elem_type: i32, dims: &[Dim]) -> ValueProto {
    let dim = dims
        .iter()
        .map(|dim| match dim {
            Dim::Size(size) => DimProto {
                dim_value: Some(*size),
                dim_param: None,
            },
            Dim::Free(symbol) => DimProto {
                dim_value: None,
                dim_param: Some(symbol.to_string()),
            },
        })
        .collect();
    let tensor_type = Some(TensorTypeProto {
        elem_type,
        shape: Some(ShapeProto { dim }),
    });
    ValueProto {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type }),
    }
}
