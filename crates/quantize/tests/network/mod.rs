//! Networks for tests: the repository's trained examples, an exporter's MobileNetV2 with recipes as weights, and one with everything that
//! the quantiser looks for.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses its part"
)]

use bytes::Bytes;
use prost::Message as _;
use std::{fs, path::PathBuf};
use synod_model::{
    DType, ExternalData, ExternalDataError, Tensor,
    proto::{
        AttributeProto, DimensionProto, DimensionValue, GraphProto, ModelProto, NodeProto,
        OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
        attribute_type,
    },
};

#[path = "../../../model/tests/build/random.rs"]
mod random;

pub use random::Random;

pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A trained network of `examples/`, with its held-out set and labels.
pub struct Example {
    pub file: Vec<u8>,
    pub input: String,
    pub samples: Tensor,
    pub labels: Vec<i64>,
}

pub fn cellar() -> Example {
    let text = fs::read_to_string(repository("examples/cellar/heldout.csv")).unwrap();
    let rows = text.lines().skip(1);
    let values: Vec<f32> = rows
        .flat_map(|row| row.split(','))
        .map(|word| word.parse().unwrap())
        .collect();
    Example {
        file: fs::read(repository("examples/cellar/model.onnx")).unwrap(),
        input: "analysis".into(),
        samples: Tensor::from_slice(DType::F32, &[values.len() / 13, 13], &values).unwrap(),
        labels: labels("examples/cellar/labels.csv"),
    }
}

pub fn fleet() -> Example {
    let npy = fs::read(repository("examples/fleet/heldout.npy")).unwrap();
    let header = usize::from(u16::from_le_bytes([npy[8], npy[9]]));
    let data = &npy[10 + header..];
    Example {
        file: fs::read(repository("examples/fleet/model.onnx")).unwrap(),
        input: "window".into(),
        samples: Tensor::from_le_bytes(DType::F32, &[data.len() / 600, 6, 25], data).unwrap(),
        labels: labels("examples/fleet/labels.csv"),
    }
}

fn labels(path: &str) -> Vec<i64> {
    let text = fs::read_to_string(repository(path)).unwrap();
    text.lines().skip(1).map(|word| word.parse().unwrap()).collect()
}

/// Every other sample from the first or second on.
pub fn every_other(samples: &Tensor, first: usize) -> Tensor {
    let shape = samples.shape();
    let row: usize = shape[1..].iter().product();
    let rows: Vec<f32> = samples
        .as_slice::<f32>()
        .chunks_exact(row)
        .skip(first)
        .step_by(2)
        .flatten()
        .copied()
        .collect();
    let mut shape = shape.to_vec();
    shape[0] = rows.len() / row;
    Tensor::from_slice(DType::F32, &shape, &rows).unwrap()
}

/// Makes weights of an export from recipes (`testing/exports/fixture.py`).
pub struct Recipes;

impl ExternalData for Recipes {
    fn read(&self, location: &str, _offset: u64, length: usize) -> Result<Bytes, ExternalDataError> {
        let mut words = location.split_whitespace().skip(1);
        let seed: u64 = words.next().unwrap().parse().unwrap();
        let mut bound = || words.next().unwrap().parse::<f64>().unwrap() as f32;
        let (low, high) = (bound(), bound());
        let element = |index: u64| {
            let mut state = seed.wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            state = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            state = (state ^ (state >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            state ^= state >> 31;
            low + (high - low) * ((state >> 40) as f32 * 2f32.powi(-24))
        };
        let elements = (0..length as u64 / 4).map(element);
        Ok(elements.flat_map(f32::to_le_bytes).collect())
    }
}

/// A file under construction.
#[derive(Default)]
pub struct Builder {
    pub graph: GraphProto,
    pub opset: i64,
    random: u64,
}

impl Builder {
    pub fn new(opset: i64) -> Self {
        Self {
            opset,
            random: 17,
            ..Self::default()
        }
    }

    pub fn input(mut self, name: &str, dims: &[&str]) -> Self {
        self.graph.input.push(value(name, dims));
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(value(name, &["?"; 0]));
        if let Some(kind) = &mut self.graph.output.last_mut().unwrap().r#type {
            kind.tensor_type.as_mut().unwrap().shape = None;
        }
        self
    }

    pub fn constant(mut self, name: &str, dims: &[usize], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: Some(1),
            raw_data: Some(raw.into()),
            ..Default::default()
        });
        self
    }

    /// Random numbers around a centre.
    pub fn random(mut self, name: &str, dims: &[usize], centre: f32, spread: f32) -> Self {
        self.random += 1;
        let values = Random(self.random).floats(dims.iter().product());
        let values: Vec<f32> = values.iter().map(|x| centre + spread * x).collect();
        self.constant(name, dims, &values)
    }

    pub fn node(mut self, op: &str, inputs: &[&str], output: &str, ints: &[(&str, &[i64])]) -> Self {
        let attribute = |(name, values): &(&str, &[i64])| AttributeProto {
            name: Some((*name).into()),
            i: (values.len() == 1).then(|| values[0]),
            ints: if values.len() == 1 {
                Vec::new()
            } else {
                values.to_vec()
            },
            r#type: Some(if values.len() == 1 {
                attribute_type::INT
            } else {
                attribute_type::INTS
            }),
            ..Default::default()
        };
        self.graph.node.push(NodeProto {
            op_type: Some(op.into()),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            attribute: ints.iter().map(attribute).collect(),
            ..Default::default()
        });
        self
    }

    /// A convolution without bias, and its BatchNormalization.
    pub fn conv_bn(self, from: &str, to: &str, sizes: [usize; 4], stride: i64) -> Self {
        let [inputs, outputs, kernel, groups] = sizes;
        let pad = kernel as i64 / 2;
        let fan = (inputs / groups * kernel * kernel) as f32;
        let names = ["w", "scale", "shift", "mean", "variance", "conv"].map(|part| format!("{to}.{part}"));
        let [w, scale, shift, mean, variance, conv] = names.each_ref().map(String::as_str);
        self.random(
            w,
            &[outputs, inputs / groups, kernel, kernel],
            0.0,
            (3.0 / fan).sqrt(),
        )
        .random(scale, &[outputs], 1.0, 0.5)
        .random(shift, &[outputs], 0.2, 0.5)
        .random(mean, &[outputs], 0.0, 0.3)
        .random(variance, &[outputs], 1.0, 0.6)
        .node(
            "Conv",
            &[from, w],
            conv,
            &[
                ("pads", &[pad; 4]),
                ("strides", &[stride; 2]),
                ("group", &[groups as i64]),
            ],
        )
        .node(
            "BatchNormalization",
            &[conv, scale, shift, mean, variance],
            to,
            &[],
        )
    }

    pub fn encode(self) -> Vec<u8> {
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto {
                domain: None,
                version: Some(self.opset),
            }],
            graph: Some(self.graph),
            ..Default::default()
        }
        .encode_to_vec()
    }
}

fn value(name: &str, dims: &[&str]) -> ValueInfoProto {
    let dim = |dim: &&str| DimensionProto {
        value: Some(match dim.parse() {
            Ok(size) => DimensionValue::Value(size),
            Err(_) => DimensionValue::Param((*dim).into()),
        }),
    };
    ValueInfoProto {
        name: Some(name.into()),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: Some(1),
                shape: Some(TensorShapeProto {
                    dim: dims.iter().map(dim).collect(),
                }),
            }),
            ..Default::default()
        }),
    }
}

/// An inverted residual of MobileNetV2 between a stem and a head, with a pool, a concatenation, an element-by-element activation, a factor for
/// each channel, and a second head of another kind.
pub fn mobile(opset: i64) -> Vec<u8> {
    Builder::new(opset)
        .input("image", &["batch", "3", "16", "16"])
        .constant("zero", &[], &[0.0])
        .constant("six", &[], &[6.0])
        .random("gain", &[1, 8, 1, 1], 1.0, 0.3)
        .random("gain.shift", &[8, 1, 1], 0.0, 0.3)
        .conv_bn("image", "stem", [3, 8, 3, 1], 2)
        .node("Clip", &["stem", "zero", "six"], "stem6", &[])
        .conv_bn("stem6", "expand", [8, 24, 1, 1], 1)
        .node("Clip", &["expand", "zero", "six"], "expand6", &[])
        .conv_bn("expand6", "depth", [24, 24, 3, 24], 1)
        .node("Clip", &["depth", "zero", "six"], "depth6", &[])
        .conv_bn("depth6", "project", [24, 8, 1, 1], 1)
        .node("Add", &["project", "stem6"], "sum", &[])
        .conv_bn("sum", "left", [8, 8, 1, 1], 1)
        .node("Relu", &["left"], "left.relu", &[])
        .node("Mul", &["left.relu", "gain"], "left.gain", &[])
        .random("right.w", &[8, 8, 1, 1], 0.0, 0.6)
        .node("Conv", &["sum", "right.w"], "right.conv", &[])
        .node("Mul", &["right.conv", "gain"], "right.scaled", &[])
        .node("Add", &["right.scaled", "gain.shift"], "right", &[])
        .node("Relu", &["right"], "right.relu", &[])
        .node("Concat", &["left.relu", "right.relu"], "both", &[("axis", &[1])])
        .node(
            "MaxPool",
            &["both"],
            "pooled",
            &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])],
        )
        .conv_bn("pooled", "last", [16, 16, 1, 1], 1)
        .node("HardSigmoid", &["last"], "gate", &[])
        .node("Mul", &["last", "gate"], "swish", &[])
        .node("GlobalAveragePool", &["swish"], "average", &[])
        .node("Flatten", &["average"], "flat", &[])
        .random("head.w", &[10, 16], 0.0, 0.8)
        .random("head.b", &[10], 0.0, 0.5)
        .node(
            "Gemm",
            &["flat", "head.w", "head.b"],
            "logits",
            &[("transB", &[1])],
        )
        .node("Softmax", &["logits"], "classes", &[])
        .random("second.w", &[16, 4], 0.0, 0.8)
        .node("MatMul", &["flat", "second.w"], "second", &[])
        .node("GlobalAveragePool", &["left.gain"], "third", &[])
        .output("classes")
        .output("second")
        .output("third")
        .encode()
}

/// Images with some structure: waves of random frequency.
pub fn images(count: usize, dims: [usize; 3], seed: u64) -> Tensor {
    let [channels, height, width] = dims;
    let mut random = Random(seed);
    let mut values = Vec::with_capacity(count * channels * height * width);
    for _ in 0..count {
        for _ in 0..channels {
            let [a, b, c] = [0; 3].map(|_| random.float());
            for y in 0..height {
                for x in 0..width {
                    let phase = (a * x as f32 + b * y as f32 + c) % 2.0;
                    values.push(phase.abs() * 2.0 - 1.0 + 0.1 * random.float());
                }
            }
        }
    }
    Tensor::from_slice(DType::F32, &[count, channels, height, width], &values).unwrap()
}
