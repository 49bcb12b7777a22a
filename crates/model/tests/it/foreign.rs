//! What files hold that the profile does not have, and the import reads as something that it has: operators of ONNX Runtime's in forms that
//! its processor kernels do not run (the others are held against it by `onnxruntime_fuzz.rs`), integers of few bits, names of classes.

use crate::build::{random::Random, *};
use synod_model::*;

const MICROSOFT: &str = "com.microsoft";
const HALF: i32 = 10;
const UINT4: i32 = 21;
const INT4: i32 = 22;
const STRING: i32 = 8;

fn import(file: OnnxFile) -> Result<CanonicalModel, ImportError> {
    import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
}

fn refusal(file: OnnxFile) -> String {
    import(file).expect_err("the file is refused").to_string()
}

fn load(file: OnnxFile) -> Model {
    let canonical = import(file).expect("the file is imported");
    Model::load(canonical.graph, canonical.weights).expect("what the import writes is loaded")
}

fn run(file: OnnxFile, inputs: &[Tensor]) -> Vec<Tensor> {
    let model = load(file);
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).expect("it plans");
    plan.run(inputs, &mut Unmetered).expect("it runs")
}

fn floats(shape: &[usize], seed: u64) -> Tensor {
    let mut random = Random(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.float()).collect();
    Tensor::from_slice(DType::F32, shape, &values).expect("a value for each element")
}

fn call(
    file: OnnxFile,
    operator: &str,
    inputs: &[&str],
    outputs: &[&str],
    attributes: &[Vec<u8>],
) -> OnnxFile {
    file.node_of(MICROSOFT, operator, inputs, outputs, attributes)
}

#[test]
fn packed_projections_are_those_that_lie_apart() {
    let heads = [attr_int("num_heads", 2)];
    let x = [floats(&[2, 3, 2, 3, 4], 1)];
    let packed = OnnxFile::new(17).input("x", FLOAT, &["2", "3", "2", "3", "4"]);
    let packed = call(packed, "MultiHeadAttention", &["x"], &["y"], &heads).output("y", FLOAT);
    let mut apart = OnnxFile::new(17).input("x", FLOAT, &["2", "3", "2", "3", "4"]);
    apart = apart.i64s("to", &[3], &[0, 0, 8]);
    for (place, name) in ["q", "k", "v"].into_iter().enumerate() {
        let (index, part) = (format!("{name}.index"), format!("{name}.part"));
        apart = apart
            .i64s(&index, &[], &[place as i64])
            .node_with("Gather", &["x", &index], &[&part], &[attr_int("axis", 3)])
            .node("Reshape", &[&part, "to"], &[name]);
    }
    let apart = call(apart, "MultiHeadAttention", &["q", "k", "v"], &["y"], &heads).output("y", FLOAT);
    assert_eq!(run(packed, &x), run(apart, &x));
}

#[test]
fn keys_that_were_kept_need_a_declared_rank() {
    let file = |declared: bool| {
        let file = OnnxFile::new(17)
            .input("q", FLOAT, &["1", "3", "8"])
            .input("kept", FLOAT, &["1", "2", "5", "4"])
            .node("Neg", &["kept"], &["k"]);
        let info = field(13, &value_info("k", FLOAT, Some(&["1", "2", "5", "4"])));
        let file = if declared { file.raw(&info) } else { file };
        let heads = [attr_int("num_heads", 2)];
        call(file, "MultiHeadAttention", &["q", "k", "k"], &["y"], &heads).output("y", FLOAT)
    };
    let y = run(file(true), &[floats(&[1, 3, 8], 1), floats(&[1, 2, 5, 4], 2)]);
    assert_eq!(y[0].shape(), [1, 3, 8]);
    let refused = refusal(file(false));
    assert!(refused.contains("Transpose"), "{refused}");
}

#[test]
fn convolutions_with_channels_last_are_those_with_channels_first_turned() {
    let weights = floats(&[4, 3, 2, 3], 1);
    let kernel = [attr_ints("kernel_shape", &[2, 3])];
    let file = |nhwc: bool| {
        let file = OnnxFile::new(17).input("x", FLOAT, &["1", "5", "6", "3"]).floats(
            "w",
            &[4, 3, 2, 3],
            weights.as_slice::<f32>(),
        );
        if nhwc {
            let attributes = [kernel[0].clone(), attr_string("activation", "Relu")];
            return call(file, "NhwcFusedConv", &["x", "w"], &["y"], &attributes).output("y", FLOAT);
        }
        file.node_with(
            "Transpose",
            &["x"],
            &["first"],
            &[attr_ints("perm", &[0, 3, 1, 2])],
        )
        .node_with("Conv", &["first", "w"], &["sums"], &kernel)
        .node("Relu", &["sums"], &["rectified"])
        .node_with(
            "Transpose",
            &["rectified"],
            &["y"],
            &[attr_ints("perm", &[0, 2, 3, 1])],
        )
        .output("y", FLOAT)
    };
    let x = [floats(&[1, 5, 6, 3], 2)];
    assert_eq!(run(file(true), &x), run(file(false), &x));
    let unknown = OnnxFile::new(17)
        .input("x", FLOAT, &["1", "5", "6", "3"])
        .node("Relu", &["x"], &["r"])
        .floats("w", &[4, 3, 2, 3], weights.as_slice::<f32>());
    let unknown = call(unknown, "NhwcConv", &["r", "w"], &["y"], &[]).output("y", FLOAT);
    assert_eq!(
        refusal(unknown),
        "node 1 (NhwcConv `y`) of com.microsoft cannot be written in ONNX's operators: nothing tells how many dimensions it has: \
         `kernel_shape` would"
    );
}

/// Constants of a function have the type of what it is called with, declared or not.
#[test]
fn halves_meet_halves() {
    for declared in [true, false] {
        let file = OnnxFile::new(17).input("x", HALF, &["2", "8"]);
        let (file, x) = if declared {
            (file, "x")
        } else {
            (file.node("Neg", &["x"], &["negative"]), "negative")
        };
        let file = call(file, "QuickGelu", &[x], &["y"], &[]).output("y", HALF);
        let x = Tensor::zeros(DType::F16, &[2, 8]).expect("it is small");
        assert_eq!(run(file, &[x])[0].dtype(), DType::F16);
    }
}

#[test]
fn forms_that_are_not_supported_are_refused_with_the_reason() {
    let query = |attributes: &[Vec<u8>], more: &[&str]| {
        let mut file = OnnxFile::new(17)
            .input("x", FLOAT, &["1", "3", "32"])
            .input("last", 6, &["1"])
            .input("total", 6, &[]);
        for name in more.iter().filter(|name| !name.is_empty()) {
            file = file.input(name, FLOAT, &["16"]);
        }
        let inputs = [&["x", "x", "x", "", "", "last", "total"], more].concat();
        let heads = [attr_int("num_heads", 2), attr_int("kv_num_heads", 2)];
        let attributes = [&heads[..], attributes].concat();
        refusal(call(file, "GroupQueryAttention", &inputs, &["y"], &attributes).output("y", FLOAT))
    };
    for (refused, why) in [
        (
            query(&[attr_int("sliding_window_cache", 1)], &[]),
            "attribute `sliding_window_cache` is 1; only 0 is supported",
        ),
        (
            query(&[attr_int("do_rotary", 1)], &[]),
            "do_rotary is set, and there are no tables of cosines and sines",
        ),
        (
            query(&[], &["", "", "", "", "", "", "", "norm", "norm"]),
            "its input `q_norm_weight` is not supported",
        ),
        (
            query(&[attr_int("no_such_thing", 1)], &[]),
            "attribute `no_such_thing` is not known",
        ),
    ] {
        let expected = format!(
            "node 0 (GroupQueryAttention `y`) of com.microsoft cannot be written in ONNX's operators: {why}"
        );
        assert_eq!(refused, expected);
    }
}

#[test]
fn weights_of_four_bits_are_dequantised_as_bytes_are() {
    // -8 … 7 twice, two in a byte, the first in the lower half
    let numbers: Vec<i8> = (0..32).map(|place| place % 16 - 8).collect();
    let packed: Vec<u8> = numbers
        .chunks(2)
        .map(|pair| (pair[0] & 15) as u8 | (pair[1] << 4) as u8)
        .collect();
    let bytes: Vec<u8> = numbers.iter().map(|&number| number as u8).collect();
    let file = |code: i32, raw: &[u8], zero: &[u8]| {
        OnnxFile::new(21)
            .input("x", INT64, &["3"])
            .initializer("w", code, &[2, 16], raw)
            .initializer("zero", code, &[2, 1], zero)
            .floats("scale", &[2, 1], &[0.5, 0.25])
            .node("Gather", &["w", "x"], &["rows"])
            .node_with(
                "DequantizeLinear",
                &["w", "scale", "zero"],
                &["weights"],
                &[attr_int("axis", 1), attr_int("block_size", 16)],
            )
            .node("Gather", &["weights", "x"], &["y"])
            .node_with("Cast", &["rows"], &["z"], &[attr_int("to", 1)])
            .output("y", FLOAT)
            .output("z", FLOAT)
    };
    let x = [Tensor::from_slice(DType::I64, &[3], &[0i64, 1, 0]).expect("three")];
    // zero points -1 and 2
    let narrow = run(file(INT4, &packed, &[0x2f]), &x);
    let wide = run(file(3, &bytes, &[0xff, 2]), &x);
    assert_eq!(narrow, wide);
    assert_eq!(narrow[0].as_slice::<f32>()[..3], [-3.5, -3.0, -2.5]);
    assert_eq!(narrow[1].as_slice::<f32>()[..3], [-8.0, -7.0, -6.0]);
}

#[test]
fn numbers_of_four_bits_that_a_range_follows_from_are_refused() {
    let file = OnnxFile::new(21)
        .input("x", FLOAT, &["4"])
        .floats("scale", &[], &[0.5])
        .initializer("zero", UINT4, &[], &[3])
        .node("QuantizeLinear", &["x", "scale", "zero"], &["q"])
        .node("DequantizeLinear", &["q", "scale", "zero"], &["y"])
        .output("y", FLOAT);
    assert_eq!(
        refusal(file),
        "node 0 (QuantizeLinear `q`) reads `zero`, whose elements have 2 or 4 bits: these types are supported as constants that are \
         moved, cast or dequantised"
    );
}

#[test]
fn names_of_classes_become_their_numbers() {
    let names = ["versicolor", "setosa", "virginica"];
    let file = OnnxFile::new(18)
        .with_ml(3)
        .input("x", FLOAT, &["3", "1"])
        .node_of(
            "ai.onnx.ml",
            "LinearClassifier",
            &["x"],
            &["label", "scores"],
            &[
                attr_strings("classlabels_strings", &names),
                attr_floats("coefficients", &[-1.0, 0.0, 1.0]),
                attr_floats("intercepts", &[0.0, 0.5, 0.0]),
            ],
        )
        .node("Identity", &["label"], &["y"])
        .node_of(
            "ai.onnx.ml",
            "LabelEncoder",
            &["label"],
            &["z"],
            &[
                attr_strings("keys_strings", &["setosa", "virginica"]),
                attr_floats("values_floats", &[10.0, 20.0]),
                attr_float("default_float", 30.0),
            ],
        )
        .output("y", STRING)
        .output("z", FLOAT);
    let x = Tensor::from_slice(DType::F32, &[3, 1], &[-2.0f32, 0.0, 2.0]).expect("three");
    let outputs = run(file, &[x]);
    assert_eq!(outputs[0].as_slice::<i64>(), [0, 1, 2]);
    assert_eq!(outputs[1].as_slice::<f32>(), [30.0, 10.0, 20.0]);

    let text = OnnxFile::new(18)
        .input("x", STRING, &["3"])
        .node("Identity", &["x"], &["y"])
        .output("y", STRING);
    assert_eq!(
        refusal(text),
        "`x` has elements of type string, which is not supported"
    );
}
