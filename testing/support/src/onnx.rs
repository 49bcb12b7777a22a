//! Small ONNX files, written with `prost` from the few messages they need (field numbers of `onnx.proto`).

use prost::Message;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
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
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, tag = "1")]
    dim_value: i64,
}

/// `TensorProto.FLOAT`.
const FLOAT: i32 = 1;

fn value(name: &str, shape: [usize; 2]) -> ValueInfo {
    let dim = shape
        .iter()
        .map(|&size| Dimension {
            dim_value: size as i64,
        })
        .collect();
    let tensor_type = Some(TensorType {
        elem_type: FLOAT,
        shape: Some(Shape { dim }),
    });
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(Type { tensor_type }),
    }
}

/// The bytes of an ONNX file (opset 13): `layers` layers `h = relu(h · W)` of `width` units, from `x[1, width]` to
/// `y[1, width]`, whose weights follow from `seed`. Its weights take `4 · layers · width²` bytes.
pub fn network(layers: usize, width: usize, seed: u64) -> Vec<u8> {
    let mut weight = crate::weights(seed);
    let mut node = Vec::new();
    let mut initializer = Vec::new();
    let mut last = "x".to_owned();
    for layer in 0..layers {
        let (weights, product) = (format!("w{layer}"), format!("p{layer}"));
        let output = if layer + 1 == layers {
            "y".to_owned()
        } else {
            format!("h{layer}")
        };
        initializer.push(Tensor {
            dims: vec![width as i64; 2],
            data_type: FLOAT,
            name: weights.clone(),
            raw_data: (0..width * width).flat_map(|_| weight().to_le_bytes()).collect(),
        });
        let (matmul, relu) = ("MatMul".to_owned(), "Relu".to_owned());
        node.push(Node {
            input: vec![last, weights],
            output: vec![product.clone()],
            op_type: matmul,
        });
        node.push(Node {
            input: vec![product],
            output: vec![output.clone()],
            op_type: relu,
        });
        last = output;
    }
    let graph = Graph {
        node,
        name: "network".to_owned(),
        initializer,
        input: vec![value("x", [1, width])],
        output: vec![value("y", [1, width])],
    };
    Model {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![Opset { version: 13 }],
    }
    .encode_to_vec()
}

/// The initialisers of an ONNX file that are f32 with raw data: name and values, in the file's order.
///
/// # Errors
/// If `file` is not protobuf of that form.
pub fn initializers(file: &[u8]) -> Result<Vec<(String, Vec<f32>)>, prost::DecodeError> {
    let graph = Model::decode(file)?.graph.unwrap_or_default();
    let floats = |raw: &[u8]| {
        raw.as_chunks()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    };
    let tensors = graph
        .initializer
        .into_iter()
        .filter(|tensor| tensor.data_type == FLOAT);
    Ok(tensors
        .map(|tensor| (tensor.name, floats(&tensor.raw_data)))
        .collect())
}
