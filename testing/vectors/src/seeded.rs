//! Networks too large to commit: their weights come from a seed. They are large enough that every tile, block and share of a
//! thread is used, edges included.

use crate::build::{OnnxFile, random::Random, *};
use eyre::{Result, bail};
use synod_model::{CanonicalModel, DType, ImportOptions, NoExternalData, Tensor, import_onnx};

/// What [`make`] can make.
pub const NAMES: &[&str] = &["attention", "convolutions", "dense", "int8", "recurrent"];

/// A network and its inputs.
///
/// # Errors
/// If there is none of this name.
pub fn make(name: &str) -> Result<(CanonicalModel, Vec<Tensor>)> {
    let mut random = Random(0x5eed);
    let (file, shapes): (OnnxFile, Vec<Vec<usize>>) = match name {
        "dense" => (dense(&mut random), vec![vec![19, 331]]),
        "convolutions" => (convolutions(&mut random), vec![vec![2, 3, 35, 37]]),
        "attention" => (attention(&mut random), vec![vec![2, 33, 96]]),
        "recurrent" => (recurrent(&mut random), vec![vec![9, 5, 43]]),
        "int8" => (int8(&mut random), vec![vec![1, 16, 21, 23], vec![17, 259]]),
        _ => bail!("no network {name}; there are {}", NAMES.join(", ")),
    };
    let canonical = import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())?;
    let inputs = shapes
        .iter()
        .map(|shape| {
            let x: Vec<f32> = random
                .floats(shape.iter().product())
                .into_iter()
                .map(|x| x * 3.0)
                .collect();
            Ok(Tensor::from_slice(DType::F32, shape, &x)?)
        })
        .collect::<Result<_>>()?;
    Ok((canonical, inputs))
}

/// Weights that keep the size of values through a layer of `fan_in` terms.
fn weights(random: &mut Random, dims: &[i64], fan_in: usize) -> Vec<f32> {
    let count: i64 = dims.iter().product();
    let scale = 1.0 / (fan_in as f32).sqrt();
    random
        .floats(count as usize)
        .into_iter()
        .map(|x| x * 2.0 * scale)
        .collect()
}

fn dense(random: &mut Random) -> OnnxFile {
    OnnxFile::new(17)
        .input("x", FLOAT, &["19", "331"])
        .floats("A", &[331, 257], &weights(random, &[331, 257], 331))
        .floats("a", &[257], &random.floats(257))
        .floats("B", &[103, 257], &weights(random, &[103, 257], 257))
        .floats("C", &[103, 1031], &weights(random, &[103, 1031], 103))
        .floats("D", &[1031, 7], &weights(random, &[1031, 7], 1031))
        .node("Gemm", &["x", "A", "a"], &["h"])
        .node("Tanh", &["h"], &["t"])
        .node_with("Gemm", &["t", "B"], &["u"], &[attr_int("transB", 1)])
        .node("Erf", &["u"], &["e"])
        .node("MatMul", &["e", "C"], &["m"])
        .node("Sigmoid", &["m"], &["s"])
        .node("MatMul", &["s", "D"], &["l"])
        .node_with("LogSoftmax", &["l"], &["y"], &[attr_int("axis", 1)])
        .output("m", FLOAT)
        .output("y", FLOAT)
}

fn convolutions(random: &mut Random) -> OnnxFile {
    let pads = |by: i64| attr_ints("pads", &[by; 4]);
    OnnxFile::new(17)
        .input("x", FLOAT, &["2", "3", "35", "37"])
        .floats("S", &[16, 3, 7, 7], &weights(random, &[16, 3, 7, 7], 147))
        .floats("s", &[16], &random.floats(16))
        .floats("A", &[40, 16, 3, 3], &weights(random, &[40, 16, 3, 3], 144))
        .floats("D", &[40, 1, 5, 5], &weights(random, &[40, 1, 5, 5], 25))
        .floats("P", &[24, 40, 1, 1], &weights(random, &[24, 40, 1, 1], 40))
        .floats("G", &[24, 12, 3, 3], &weights(random, &[24, 12, 3, 3], 108))
        .floats("T", &[24, 6, 3, 3], &weights(random, &[24, 6, 3, 3], 216))
        .node_with(
            "Conv",
            &["x", "S", "s"],
            &["c"],
            &[pads(3), attr_ints("strides", &[2, 2])],
        )
        .node("Relu", &["c"], &["r"])
        .node_with(
            "MaxPool",
            &["r"],
            &["m"],
            &[attr_ints("kernel_shape", &[3, 3]), pads(1)],
        )
        .node_with("Conv", &["m", "A"], &["a"], &[pads(1)])
        .node("HardSwish", &["a"], &["h"])
        .node_with("Conv", &["h", "D"], &["d"], &[pads(2), attr_int("group", 40)])
        .node("Conv", &["d", "P"], &["p"])
        .node_with(
            "Conv",
            &["p", "G"],
            &["g"],
            &[
                attr_ints("pads", &[2; 4]),
                attr_int("group", 2),
                attr_ints("dilations", &[2, 2]),
            ],
        )
        .node("Add", &["g", "p"], &["q"])
        .node_with(
            "ConvTranspose",
            &["q", "T"],
            &["t"],
            &[attr_ints("strides", &[2, 2])],
        )
        .node("GlobalAveragePool", &["q"], &["v"])
        .output("t", FLOAT)
        .output("v", FLOAT)
}

fn attention(random: &mut Random) -> OnnxFile {
    let square = [96, 96];
    let mut file = OnnxFile::new(23)
        .input("x", FLOAT, &["2", "33", "96"])
        .floats("scale", &[96], &random.floats(96))
        .floats("shift", &[96], &random.floats(96));
    for name in ["Q", "K", "V", "O"] {
        file = file.floats(name, &square, &weights(random, &square, 96));
    }
    file.floats("F", &[96, 384], &weights(random, &[96, 384], 96))
        .floats("E", &[384, 96], &weights(random, &[384, 96], 384))
        .node("LayerNormalization", &["x", "scale", "shift"], &["n"])
        .node("MatMul", &["n", "Q"], &["q"])
        .node("MatMul", &["n", "K"], &["k"])
        .node("MatMul", &["n", "V"], &["v"])
        .node_with(
            "Attention",
            &["q", "k", "v"],
            &["a"],
            &[
                attr_int("q_num_heads", 6),
                attr_int("kv_num_heads", 6),
                attr_int("is_causal", 1),
            ],
        )
        .node("MatMul", &["a", "O"], &["o"])
        .node("Add", &["o", "x"], &["r"])
        .node("RMSNormalization", &["r", "scale"], &["m"])
        .node("MatMul", &["m", "F"], &["f"])
        .node("Gelu", &["f"], &["g"])
        .node("MatMul", &["g", "E"], &["e"])
        .node("Add", &["e", "r"], &["y"])
        .output("a", FLOAT)
        .output("y", FLOAT)
}

fn recurrent(random: &mut Random) -> OnnxFile {
    OnnxFile::new(14)
        .input("x", FLOAT, &["9", "5", "43"])
        .floats("W", &[1, 4 * 53, 43], &weights(random, &[4 * 53, 43], 43))
        .floats("R", &[1, 4 * 53, 53], &weights(random, &[4 * 53, 53], 53))
        .floats("U", &[1, 3 * 31, 53], &weights(random, &[3 * 31, 53], 53))
        .floats("S", &[1, 3 * 31, 31], &weights(random, &[3 * 31, 31], 31))
        .i64s("axes", &[1], &[1])
        .node_with("LSTM", &["x", "W", "R"], &["l"], &[attr_int("hidden_size", 53)])
        .node("Squeeze", &["l", "axes"], &["z"])
        .node_with(
            "GRU",
            &["z", "U", "S"],
            &["g", "last"],
            &[attr_int("hidden_size", 31)],
        )
        .output("g", FLOAT)
        .output("last", FLOAT)
}

fn int8(random: &mut Random) -> OnnxFile {
    let (u8s, i8s, i32s) = (
        DType::U8.onnx_code(),
        DType::I8.onnx_code(),
        DType::I32.onnx_code(),
    );
    let mut raw = |count: usize| -> Vec<u8> { (0..count).map(|_| random.next() as u8).collect() };
    let (kernel, depthwise, matrix) = (raw(48 * 16 * 9), raw(48 * 9), raw(259 * 131));
    let scales: Vec<f32> = (0..48).map(|i| 0.001 + i as f32 * 0.000_37).collect();
    let bias: Vec<u8> = (0..48)
        .flat_map(|i| (i * 997 - 20_000_i32).to_le_bytes())
        .collect();
    OnnxFile::new(21)
        .input("x", FLOAT, &["1", "16", "21", "23"])
        .input("r", FLOAT, &["17", "259"])
        .floats("xs", &[], &[0.027])
        .initializer("xz", u8s, &[], &[119])
        .initializer("w", i8s, &[48, 16, 3, 3], &kernel)
        .floats("ws", &[48], &scales)
        .initializer("wz", i8s, &[48], &[0; 48])
        .floats("ys", &[], &[0.61])
        .initializer("yz", u8s, &[], &[101])
        .initializer("b", i32s, &[48], &bias)
        .initializer("d", i8s, &[48, 1, 3, 3], &depthwise)
        .initializer("m", i8s, &[259, 131], &matrix)
        .node("QuantizeLinear", &["x", "xs", "xz"], &["q"])
        .node_with(
            "QLinearConv",
            &["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
            &["c"],
            &[attr_ints("pads", &[1; 4])],
        )
        .node_with(
            "QLinearConv",
            &["c", "ys", "yz", "d", "ws", "wz", "ys", "yz"],
            &["e"],
            &[
                attr_ints("pads", &[1; 4]),
                attr_int("group", 48),
                attr_ints("strides", &[2, 2]),
            ],
        )
        .node("DequantizeLinear", &["e", "ys", "yz"], &["y"])
        .node("DynamicQuantizeLinear", &["r"], &["rq", "rs", "rz"])
        .node("MatMulInteger", &["rq", "m", "rz"], &["p"])
        .output("y", FLOAT)
        .output("p", i32s)
}
