//! A small writer of ONNX files for tests, independent of the crate's own protobuf types: it writes the wire form itself.
//!
//! It can write wrong files too: nothing is checked.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses its part"
)]

mod control;
pub mod nodes;
pub mod random;
pub mod shaped;

pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;
pub const BOOL: i32 = 9;

/// A `ModelProto` under construction.
#[derive(Clone)]
pub struct OnnxFile {
    opset: i64,
    ml_opset: i64,
    graph: Vec<u8>,
}

/// A varint.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A length-delimited field.
pub fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    [
        varint(u64::from(number) << 3 | 2),
        varint(bytes.len() as u64),
        bytes.to_vec(),
    ]
    .concat()
}

/// A varint field.
pub fn int(number: u32, value: i64) -> Vec<u8> {
    [varint(u64::from(number) << 3), varint(value as u64)].concat()
}

/// An attribute.
pub fn attr_int(name: &str, value: i64) -> Vec<u8> {
    [field(1, name.as_bytes()), int(3, value), int(20, 2)].concat()
}

/// An attribute.
pub fn attr_ints(name: &str, values: &[i64]) -> Vec<u8> {
    let mut bytes = field(1, name.as_bytes());
    values.iter().for_each(|&value| bytes.extend(int(8, value)));
    bytes.extend(int(20, 7));
    bytes
}

/// An attribute.
pub fn attr_float(name: &str, value: f32) -> Vec<u8> {
    let value = [varint(2 << 3 | 5), value.to_le_bytes().to_vec()].concat();
    [field(1, name.as_bytes()), value, int(20, 1)].concat()
}

/// An attribute.
pub fn attr_string(name: &str, value: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(4, value.as_bytes()), int(20, 3)].concat()
}

/// An attribute.
pub fn attr_strings(name: &str, values: &[&str]) -> Vec<u8> {
    let mut bytes = field(1, name.as_bytes());
    values
        .iter()
        .for_each(|value| bytes.extend(field(9, value.as_bytes())));
    bytes.extend(int(20, 8));
    bytes
}

/// An attribute.
pub fn attr_floats(name: &str, values: &[f32]) -> Vec<u8> {
    let mut bytes = field(1, name.as_bytes());
    for value in values {
        bytes.extend(varint(7 << 3 | 5));
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(int(20, 6));
    bytes
}

/// An attribute that holds a subgraph: the bytes of a `GraphProto`.
pub fn attr_graph(name: &str, graph: &[u8]) -> Vec<u8> {
    [field(1, name.as_bytes()), field(6, graph), int(20, 5)].concat()
}

/// A `GraphProto` for an attribute. Its inputs and outputs have names alone: their types follow.
#[derive(Clone, Default)]
pub struct Graph(Vec<u8>);

impl Graph {
    pub fn new() -> Self {
        Self(field(2, b"body"))
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn inputs(self, names: &[&str]) -> Self {
        let infos = names
            .iter()
            .flat_map(|name| field(11, &field(1, name.as_bytes())));
        self.raw(&infos.collect::<Vec<_>>())
    }

    pub fn outputs(self, names: &[&str]) -> Self {
        let infos = names
            .iter()
            .flat_map(|name| field(12, &field(1, name.as_bytes())));
        self.raw(&infos.collect::<Vec<_>>())
    }

    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, &[])
    }

    pub fn node_with(self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Self {
        self.raw(&field(1, &node("", op, inputs, outputs, attributes)))
    }

    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.raw(&field(5, &tensor(name, FLOAT, dims, &raw)))
    }

    pub fn i64s(self, name: &str, dims: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.raw(&field(5, &tensor(name, INT64, dims, &raw)))
    }

    pub fn bool(self, name: &str, value: bool) -> Self {
        self.raw(&field(5, &tensor(name, BOOL, &[], &[u8::from(value)])))
    }

    pub fn attribute(self, name: &str) -> Vec<u8> {
        attr_graph(name, &self.0)
    }
}

/// A `NodeProto`.
pub fn node(domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    inputs
        .iter()
        .for_each(|name| bytes.extend(field(1, name.as_bytes())));
    outputs
        .iter()
        .for_each(|name| bytes.extend(field(2, name.as_bytes())));
    bytes.extend(field(4, op.as_bytes()));
    attributes
        .iter()
        .for_each(|attribute| bytes.extend(field(5, attribute)));
    if !domain.is_empty() {
        bytes.extend(field(7, domain.as_bytes()));
    }
    bytes
}

/// A `TensorProto` with its elements in `raw_data`.
pub fn tensor(name: &str, code: i32, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let mut bytes: Vec<u8> = dims.iter().flat_map(|&dim| int(1, dim)).collect();
    bytes.extend(int(2, code.into()));
    bytes.extend(field(8, name.as_bytes()));
    bytes.extend(field(9, raw));
    bytes
}

/// A `ValueInfoProto`; dimensions are sizes, names, or empty.
pub fn value_info(name: &str, code: i32, dims: Option<&[&str]>) -> Vec<u8> {
    let mut tensor_type = int(1, code.into());
    if let Some(dims) = dims {
        let dim = |dim: &&str| match dim.parse::<i64>() {
            Ok(size) => field(1, &int(1, size)),
            Err(_) if dim.is_empty() => field(1, &[]),
            Err(_) => field(1, &field(2, dim.as_bytes())),
        };
        tensor_type.extend(field(2, &dims.iter().flat_map(dim).collect::<Vec<_>>()));
    }
    [field(1, name.as_bytes()), field(2, &field(1, &tensor_type))].concat()
}

impl OnnxFile {
    pub fn new(opset: i64) -> Self {
        Self {
            opset,
            ml_opset: 0,
            graph: field(2, b"test"),
        }
    }

    /// Imports a version of `ai.onnx.ml` too.
    pub fn with_ml(mut self, version: i64) -> Self {
        self.ml_opset = version;
        self
    }

    /// Adds raw bytes to the graph.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.graph.extend(bytes);
        self
    }

    fn value(self, number: u32, name: &str, code: i32, dims: Option<&[&str]>) -> Self {
        self.raw(&field(number, &value_info(name, code, dims)))
    }

    /// An input; dimensions are sizes, names, or empty.
    pub fn input(self, name: &str, code: i32, dims: &[&str]) -> Self {
        self.value(11, name, code, Some(dims))
    }

    /// An output without a shape.
    pub fn output(self, name: &str, code: i32) -> Self {
        self.value(12, name, code, None)
    }

    /// An output with dimensions.
    pub fn output_of(self, name: &str, code: i32, dims: &[&str]) -> Self {
        self.value(12, name, code, Some(dims))
    }

    pub fn initializer(self, name: &str, code: i32, dims: &[i64], raw: &[u8]) -> Self {
        let bytes = field(5, &tensor(name, code, dims, raw));
        self.raw(&bytes)
    }

    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name, FLOAT, dims, &raw)
    }

    pub fn i64s(self, name: &str, dims: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.initializer(name, INT64, dims, &raw)
    }

    pub fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, &[])
    }

    /// A node with attributes made by `attr_int` and its like.
    pub fn node_with(self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Self {
        self.node_of("", op, inputs, outputs, attributes)
    }

    /// A node of another domain.
    pub fn node_of(
        self,
        domain: &str,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[Vec<u8>],
    ) -> Self {
        self.raw(&field(1, &node(domain, op, inputs, outputs, attributes)))
    }

    pub fn encode(self) -> Vec<u8> {
        let opset = [field(1, b""), int(2, self.opset)].concat();
        let ml = field(8, &[field(1, b"ai.onnx.ml"), int(2, self.ml_opset)].concat());
        let ml = if self.ml_opset > 0 { ml } else { vec![] };
        [int(1, 8), field(7, &self.graph), field(8, &opset), ml].concat()
    }
}
