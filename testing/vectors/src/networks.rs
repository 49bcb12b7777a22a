//! Small whole networks, and nodes that are not drawn well: classical models and what else needs care.

use crate::build::random::Random;
use crate::{
    build::{OnnxFile, *},
    generate,
};
use eyre::{Result, WrapErr};
use std::path::Path;
use synod_model::{
    CanonicalModel, DType, DimSetting, ImportError, ImportOptions, NoExternalData, Tensor,
    decode_tensor_proto, import_onnx, ops::ML_DOMAIN,
};

/// A network with inputs.
pub struct Network {
    /// The model.
    pub canonical: CanonicalModel,
    /// One tensor for each input.
    pub inputs: Vec<Tensor>,
}

/// Every network by name.
///
/// # Errors
/// If one is refused: they are all valid.
pub fn all() -> Result<Vec<(String, Network)>> {
    let mut networks: Vec<(String, Network)> = Vec::new();
    for (name, file, shapes) in [
        ("mlp", mlp(), vec![(DType::F32, vec![5, 37])]),
        ("cnn", cnn(), vec![(DType::F32, vec![2, 3, 11, 9])]),
        ("depthwise", depthwise(), vec![(DType::F32, vec![1, 4, 13, 10])]),
        ("transformer", transformer(), vec![(DType::F32, vec![2, 7, 24])]),
        ("lstm", lstm(), vec![(DType::F32, vec![6, 3, 10])]),
        ("mixed-types", mixed_types(), vec![(DType::F16, vec![3, 20])]),
        ("quantized", quantized(), vec![(DType::F32, vec![1, 3, 10, 10])]),
        ("upsampler", upsampler(), vec![(DType::F32, vec![1, 4, 5, 6])]),
        ("features", features(), vec![(DType::F32, vec![4, 2])]),
        ("tree-ensemble", tree_ensemble(), vec![(DType::F32, vec![5, 1])]),
        ("labels", labels(), vec![(DType::F32, vec![6])]),
        ("categories", categories(), vec![(DType::F32, vec![9])]),
        ("control-flow", control_flow(), vec![(DType::F32, vec![4])]),
        (
            "detector",
            detector(),
            vec![(DType::F32, vec![1, 9, 4]), (DType::F32, vec![1, 2, 9])],
        ),
    ] {
        let canonical = import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
            .wrap_err_with(|| name.to_owned())?;
        let mut random = Random(0x5eed);
        let inputs = shapes
            .iter()
            .map(|(dtype, shape)| generate::tame(*dtype, shape, &mut random))
            .collect();
        networks.push((name.to_owned(), Network { canonical, inputs }));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sklearn/models");
    for name in [
        "binarizer",
        "forest",
        "forest-three",
        "boosting-two",
        "ridge",
        "scaled-logistic",
        "svr-radial",
        "svc-two",
        "svc-votes",
        "svc-three-probabilities",
        "normalizer-l2",
    ] {
        networks.push((
            format!("sklearn-{name}"),
            trained(&folder.join(name)).wrap_err_with(|| name.to_owned())?,
        ));
    }
    Ok(networks)
}

/// A model that scikit-learn trained.
fn trained(folder: &Path) -> Result<Network> {
    let file = std::fs::read(folder.join("model.onnx"))?;
    let (_, input) = decode_tensor_proto(&std::fs::read(folder.join("input_0.pb"))?)?;
    let mut options = ImportOptions::default();
    let canonical = loop {
        match import_onnx(&file, &NoExternalData, &options) {
            Err(ImportError::FreeDimension { name, axis, .. }) => {
                options.dims.insert(name, DimSetting::Pin(input.shape()[axis]));
            }
            other => break other?,
        }
    };
    Ok(Network {
        canonical,
        inputs: vec![input],
    })
}

fn mlp() -> OnnxFile {
    let mut random = Random(1);
    OnnxFile::new(13)
        .input("x", FLOAT, &["5", "37"])
        .floats("W1", &[37, 29], &random.floats(37 * 29))
        .floats("b1", &[29], &random.floats(29))
        .floats("W2", &[29, 11], &random.floats(29 * 11))
        .floats("b2", &[11], &random.floats(11))
        .node("Gemm", &["x", "W1", "b1"], &["h"])
        .node("Relu", &["h"], &["r"])
        .node("MatMul", &["r", "W2"], &["m"])
        .node("Add", &["m", "b2"], &["logits"])
        .node_with("Softmax", &["logits"], &["y"], &[attr_int("axis", 1)])
        .output("logits", FLOAT)
        .output("y", FLOAT)
}

fn cnn() -> OnnxFile {
    let mut random = Random(2);
    let positive: Vec<f32> = random.floats(8).into_iter().map(|x| x + 1.5).collect();
    let kernel = |size: i64| attr_ints("kernel_shape", &[size, size]);
    OnnxFile::new(15)
        .input("x", FLOAT, &["2", "3", "11", "9"])
        .floats("K1", &[8, 3, 3, 3], &random.floats(216))
        .floats("b1", &[8], &random.floats(8))
        .floats("scale", &[8], &random.floats(8))
        .floats("shift", &[8], &random.floats(8))
        .floats("mean", &[8], &random.floats(8))
        .floats("var", &[8], &positive)
        .floats("K2", &[8, 8, 3, 3], &random.floats(576))
        .floats("W", &[8, 10], &random.floats(80))
        .node_with(
            "Conv",
            &["x", "K1", "b1"],
            &["c"],
            &[attr_ints("pads", &[1, 1, 1, 1])],
        )
        .node(
            "BatchNormalization",
            &["c", "scale", "shift", "mean", "var"],
            &["n"],
        )
        .node("Relu", &["n"], &["a"])
        .node_with(
            "MaxPool",
            &["a"],
            &["p"],
            &[kernel(2), attr_ints("strides", &[2, 2])],
        )
        .node_with("Conv", &["p", "K2"], &["d"], &[attr_ints("pads", &[1, 1, 1, 1])])
        .node("Add", &["d", "p"], &["s"])
        .node("Relu", &["s"], &["t"])
        .node("GlobalAveragePool", &["t"], &["g"])
        .node("Flatten", &["g"], &["f"])
        .node("MatMul", &["f", "W"], &["y"])
        .output("t", FLOAT)
        .output("y", FLOAT)
}

fn depthwise() -> OnnxFile {
    let mut random = Random(3);
    OnnxFile::new(14)
        .input("x", FLOAT, &["1", "4", "13", "10"])
        .floats("E", &[24, 4, 1, 1], &random.floats(96))
        .floats("D", &[24, 1, 3, 3], &random.floats(216))
        .floats("b", &[24], &random.floats(24))
        .floats("P", &[6, 24, 1, 1], &random.floats(144))
        .floats("low", &[], &[0.0])
        .floats("high", &[], &[6.0])
        .node("Conv", &["x", "E", "b"], &["e"])
        .node("Clip", &["e", "low", "high"], &["e6"])
        .node_with(
            "Conv",
            &["e6", "D", "b"],
            &["d"],
            &[
                attr_int("group", 24),
                attr_ints("strides", &[2, 2]),
                attr_ints("pads", &[1, 1, 1, 1]),
            ],
        )
        .node("HardSwish", &["d"], &["h"])
        .node("Conv", &["h", "P"], &["y"])
        .output("y", FLOAT)
}

fn transformer() -> OnnxFile {
    let mut random = Random(4);
    OnnxFile::new(20)
        .input("x", FLOAT, &["2", "7", "24"])
        .floats("g", &[24], &random.floats(24))
        .floats("b", &[24], &random.floats(24))
        .floats("Q", &[24, 24], &random.floats(576))
        .floats("K", &[24, 24], &random.floats(576))
        .floats("F", &[24, 40], &random.floats(960))
        .i64s("axes", &[1], &[1])
        .node("LayerNormalization", &["x", "g", "b"], &["n"])
        .node("MatMul", &["n", "Q"], &["q"])
        .node("MatMul", &["n", "K"], &["k"])
        .node_with("Transpose", &["k"], &["kt"], &[attr_ints("perm", &[0, 2, 1])])
        .node("MatMul", &["q", "kt"], &["s"])
        .node_with("Softmax", &["s"], &["p"], &[attr_int("axis", -1)])
        .node("MatMul", &["p", "n"], &["o"])
        .node("Add", &["o", "x"], &["r"])
        .node("MatMul", &["r", "F"], &["f"])
        .node("Gelu", &["f"], &["e"])
        .node("Tanh", &["e"], &["h"])
        .node_with("ReduceMean", &["h", "axes"], &["y"], &[attr_int("keepdims", 0)])
        .output("e", FLOAT)
        .output("y", FLOAT)
}

fn lstm() -> OnnxFile {
    let mut random = Random(5);
    OnnxFile::new(14)
        .input("x", FLOAT, &["6", "3", "10"])
        .floats("W", &[2, 48, 10], &random.floats(960))
        .floats("R", &[2, 48, 12], &random.floats(1152))
        .floats("B", &[2, 96], &random.floats(192))
        .node_with(
            "LSTM",
            &["x", "W", "R", "B"],
            &["all", "last", "cell"],
            &[
                attr_int("hidden_size", 12),
                attr_string("direction", "bidirectional"),
            ],
        )
        .output("all", FLOAT)
        .output("last", FLOAT)
        .output("cell", FLOAT)
}

/// f16 through f32, f64 and bf16 to i8.
fn mixed_types() -> OnnxFile {
    let mut random = Random(6);
    let to = |dtype: DType| [attr_int("to", dtype.onnx_code().into())];
    let halves = generate::tame(DType::F16, &[20, 9], &mut random);
    OnnxFile::new(21)
        .input("x", DType::F16.onnx_code(), &["3", "20"])
        .initializer("W", DType::F16.onnx_code(), &[20, 9], halves.bytes())
        .node("MatMul", &["x", "W"], &["m"])
        .node("Sigmoid", &["m"], &["s"])
        .node_with("Cast", &["s"], &["d"], &to(DType::F64))
        .node("Log", &["d"], &["l"])
        .node_with("Cast", &["l"], &["b"], &to(DType::BF16))
        .node("Exp", &["b"], &["e"])
        .node_with("Cast", &["m"], &["i"], &to(DType::I8))
        .output("m", DType::F16.onnx_code())
        .output("l", DType::F64.onnx_code())
        .output("e", DType::BF16.onnx_code())
        .output("i", DType::I8.onnx_code())
}

/// A quantised convolution with 255 × 127 among its products, whose sums saturate where pairs are added in 16 bits.
fn quantized() -> OnnxFile {
    let mut random = Random(7);
    let code = |dtype: DType| dtype.onnx_code();
    let mut weights: Vec<u8> = (0..6 * 3 * 9).map(|_| random.next() as u8).collect();
    weights[..27].fill(127);
    let scales: Vec<f32> = random
        .floats(6)
        .into_iter()
        .map(|x| x.abs() / 64.0 + 1e-3)
        .collect();
    let bias: Vec<u8> = (0..6).flat_map(|i| (i * 1000 - 2500_i32).to_le_bytes()).collect();
    OnnxFile::new(21)
        .input("x", FLOAT, &["1", "3", "10", "10"])
        .floats("xs", &[], &[0.031_25])
        .initializer("xz", code(DType::U8), &[], &[131])
        .initializer("w", code(DType::I8), &[6, 3, 3, 3], &weights)
        .floats("ws", &[6], &scales)
        .initializer("wz", code(DType::I8), &[6], &[0; 6])
        .floats("ys", &[], &[0.7])
        .initializer("yz", code(DType::I8), &[], &[3])
        .initializer("b", code(DType::I32), &[6], &bias)
        .initializer("full", code(DType::U8), &[2, 64], &[255; 128])
        .initializer("most", code(DType::I8), &[64, 3], &[127; 192])
        .node("QuantizeLinear", &["x", "xs", "xz"], &["q"])
        .node_with(
            "QLinearConv",
            &["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"],
            &["c"],
            &[attr_ints("pads", &[1, 1, 1, 1])],
        )
        .node("DequantizeLinear", &["c", "ys", "yz"], &["y"])
        .node("MatMulInteger", &["full", "most"], &["exact"])
        .output("c", code(DType::I8))
        .output("y", FLOAT)
        .output("exact", code(DType::I32))
}

fn upsampler() -> OnnxFile {
    let mut random = Random(8);
    OnnxFile::new(19)
        .input("x", FLOAT, &["1", "4", "5", "6"])
        .floats("T", &[4, 5, 2, 2], &random.floats(80))
        .floats("one", &[5], &random.floats(5))
        .floats("scales", &[4], &[1.0, 1.0, 1.5, 0.8])
        .node_with(
            "ConvTranspose",
            &["x", "T"],
            &["t"],
            &[attr_ints("strides", &[2, 2])],
        )
        .node("InstanceNormalization", &["t", "one", "one"], &["n"])
        .node_with("LeakyRelu", &["n"], &["a"], &[attr_float("alpha", 0.1)])
        .node_with(
            "Resize",
            &["a", "", "scales"],
            &["r"],
            &[attr_string("mode", "cubic")],
        )
        .node_with(
            "AveragePool",
            &["r"],
            &["y"],
            &[
                attr_ints("kernel_shape", &[3, 3]),
                attr_ints("pads", &[1, 0, 1, 0]),
            ],
        )
        .output("y", FLOAT)
}

fn features() -> OnnxFile {
    OnnxFile::new(18)
        .with_ml(1)
        .input("x", FLOAT, &["4", "2"])
        .i64s("columns", &[3], &[1, 0, 1])
        .node_of(
            ML_DOMAIN,
            "Imputer",
            &["x"],
            &["a"],
            &[
                attr_floats("imputed_value_floats", &[5.0, 6.0]),
                attr_float("replaced_value_float", f32::NAN),
            ],
        )
        .node_of(
            ML_DOMAIN,
            "Scaler",
            &["a"],
            &["b"],
            &[attr_floats("offset", &[1.0]), attr_floats("scale", &[2.0, 0.3])],
        )
        .node_of(
            ML_DOMAIN,
            "Normalizer",
            &["b"],
            &["c"],
            &[attr_string("norm", "L1")],
        )
        .node_of(
            ML_DOMAIN,
            "FeatureVectorizer",
            &["a", "c"],
            &["d"],
            &[attr_ints("inputdimensions", &[2, 2])],
        )
        .node_of(ML_DOMAIN, "ArrayFeatureExtractor", &["d", "columns"], &["e"], &[])
        .output("b", FLOAT)
        .output("d", FLOAT)
        .output("e", FLOAT)
}

/// Version 5: nodes by position, a set of members.
fn tree_ensemble() -> OnnxFile {
    let of = |name: &str, code: i32, raw: &[u8]| {
        let count = if code == FLOAT { raw.len() / 4 } else { raw.len() };
        let value = tensor("", code, &[count as i64], raw);
        [field(1, name.as_bytes()), field(5, &value), int(20, 4)].concat()
    };
    let raw = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let attributes = [
        of("nodes_splits", FLOAT, &raw(&[0.0, 1.5])),
        of("nodes_modes", 2, &[6, 0]),
        of("membership_values", FLOAT, &raw(&[0.5, -0.5, f32::NAN])),
        of("leaf_weights", FLOAT, &raw(&[1.0, 2.0, 4.1])),
        attr_ints("nodes_featureids", &[0, 0]),
        attr_ints("nodes_truenodeids", &[0, 1]),
        attr_ints("nodes_falsenodeids", &[1, 2]),
        attr_ints("nodes_trueleafs", &[1, 1]),
        attr_ints("nodes_falseleafs", &[0, 1]),
        attr_ints("leaf_targetids", &[0, 1, 1]),
        attr_ints("tree_roots", &[0]),
        attr_int("n_targets", 2),
    ];
    OnnxFile::new(18)
        .with_ml(5)
        .input("x", FLOAT, &["5", "1"])
        .node_of(ML_DOMAIN, "TreeEnsemble", &["x"], &["y"], &attributes)
        .output("y", FLOAT)
}

fn labels() -> OnnxFile {
    let attributes = [
        attr_floats("keys_floats", &[0.5, f32::NAN, 0.0, 1.5]),
        attr_ints("values_int64s", &[10, 20, 30, 40]),
        attr_int("default_int64", -7),
    ];
    OnnxFile::new(18)
        .with_ml(2)
        .input("x", FLOAT, &["6"])
        .node_of(ML_DOMAIN, "LabelEncoder", &["x"], &["y"], &attributes)
        .output("y", INT64)
}

fn categories() -> OnnxFile {
    OnnxFile::new(18)
        .with_ml(1)
        .input("x", FLOAT, &["9"])
        .node_of(
            ML_DOMAIN,
            "OneHotEncoder",
            &["x"],
            &["y"],
            &[attr_ints("cats_int64s", &[0, 1, -2, 3, 1, 2, 65_519])],
        )
        .output("y", FLOAT)
}

/// A loop that its condition ends, a running sum over what it collected, and a branch that looks at the result.
fn control_flow() -> OnnxFile {
    let decay = Graph::new()
        .inputs(&["i", "going", "state"])
        .outputs(&["more", "next", "seen"])
        .node("Mul", &["state", "half"], &["halved"])
        .node("Add", &["halved", "step"], &["next"])
        .node("Abs", &["next"], &["seen"])
        .node_with("ReduceSum", &["seen"], &["size"], &[attr_int("keepdims", 0)])
        .node("Greater", &["size", "small"], &["more"]);
    let total = Graph::new()
        .inputs(&["sum", "row"])
        .outputs(&["sum_out", "so_far"])
        .node("Add", &["sum", "row"], &["sum_out"])
        .node("Identity", &["sum_out"], &["so_far"]);
    let positive = Graph::new().outputs(&["a"]).node("NonZero", &["last"], &["a"]);
    let negative =
        Graph::new()
            .outputs(&["b"])
            .node("Relu", &["last"], &["r"])
            .node("NonZero", &["r"], &["b"]);
    OnnxFile::new(17)
        .input("x", FLOAT, &["4"])
        .i64s("most", &[1], &[40])
        .initializer("go", DType::Bool.onnx_code(), &[], &[1])
        .floats("half", &[], &[0.5])
        .floats("step", &[4], &[0.125, 0.0, -0.25, 0.01])
        .floats("small", &[], &[0.8])
        .floats("zeros", &[4], &[0.0; 4])
        .node_with(
            "Loop",
            &["most", "go", "x"],
            &["last", "all"],
            &[decay.attribute("body")],
        )
        .node_with(
            "Scan",
            &["zeros", "all"],
            &["total", "running"],
            &[total.attribute("body"), attr_int("num_scan_inputs", 1)],
        )
        .node_with("ReduceSum", &["total"], &["sum"], &[attr_int("keepdims", 0)])
        .node("Greater", &["sum", "small"], &["up"])
        .node_with(
            "If",
            &["up"],
            &["places"],
            &[
                positive.attribute("then_branch"),
                negative.attribute("else_branch"),
            ],
        )
        .output_of("total", FLOAT, &["4"])
        .output_of("running", FLOAT, &["steps", "4"])
        .output_of("places", INT64, &["1", "found"])
}

/// Boxes that overlap little, and their scores.
fn detector() -> OnnxFile {
    OnnxFile::new(17)
        .input("boxes", FLOAT, &["1", "9", "4"])
        .input("scores", FLOAT, &["1", "2", "9"])
        .i64s("each", &[1], &[3])
        .floats("overlap", &[1], &[0.3])
        .floats("least", &[1], &[-1.0])
        .i64s("column", &[1], &[2])
        .node(
            "NonMaxSuppression",
            &["boxes", "scores", "each", "overlap", "least"],
            &["chosen"],
        )
        .node_with("Gather", &["chosen", "column"], &["of"], &[attr_int("axis", 1)])
        .node_with("Gather", &["boxes", "of"], &["found"], &[attr_int("axis", 1)])
        .output_of("chosen", INT64, &["found", "3"])
        .output_of("found", FLOAT, &["1", "found", "1", "4"])
}
