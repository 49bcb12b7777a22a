//! Plans against a naive interpreter, and batches against their rows.

use crate::build::{random::Random, *};
use synod_model::*;

fn load(file: OnnxFile, options: &ImportOptions) -> Model {
    let canonical = import_onnx(&file.encode(), &NoExternalData, options).expect("the model is valid");
    Model::load(canonical.graph, canonical.weights).expect("what imports loads")
}

/// Random graphs of values that live long and short, large and small: memory that is handed on must be free, and every
/// output must be what computing node by node gives.
#[test]
fn reused_memory_never_holds_a_value_that_is_still_needed() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let x = random.floats(3);
        let mut file = OnnxFile::new(13).input("x", FLOAT, &["3"]);
        let mut values = vec![("x".to_owned(), x.clone())];
        for node in 0..2 + random.below(40) {
            let (a, a_value) = values[random.below(values.len())].clone();
            let (b, b_value) = values[random.below(values.len())].clone();
            let name = format!("n{node}");
            let (op, value): (&str, Vec<f32>) = if a_value.len() + b_value.len() < 64 && random.below(3) == 0
            {
                file = file.node_with("Concat", &[&a, &b], &[&name], &[attr_int("axis", 0)]);
                ("Concat", a_value.iter().chain(&b_value).copied().collect())
            } else if a_value.len() == b_value.len() {
                file = file.node("Add", &[&a, &b], &[&name]);
                ("Add", a_value.iter().zip(&b_value).map(|(a, b)| a + b).collect())
            } else {
                file = file.node("Relu", &[&a], &[&name]);
                (
                    "Relu",
                    a_value.iter().map(|&a| if a > 0.0 { a } else { 0.0 }).collect(),
                )
            };
            assert!(value.iter().all(|x| x.is_finite()), "{op} stays finite");
            values.push((name, value));
        }
        let mut wanted: Vec<_> = (0..1 + random.below(4))
            .map(|_| random.below(values.len()))
            .collect();
        wanted.push(values.len() - 1);
        wanted.sort_unstable();
        wanted.dedup();
        for &index in &wanted {
            file = file.output(&values[index].0, FLOAT);
        }
        let model = load(file, &ImportOptions::default());
        let plan = model.plan(&[vec![3]]).unwrap();
        let input = Tensor::from_slice(DType::F32, &[3], &x).unwrap();
        let outputs = plan.run(&[input], &mut Unmetered).unwrap();
        for (output, &index) in outputs.iter().zip(&wanted) {
            assert_eq!(
                output.as_slice::<f32>(),
                values[index].1,
                "seed {seed}, value {}",
                values[index].0
            );
        }
    }
}

#[test]
fn memory_is_reused() {
    // A chain of 50 values of 4 KiB: two are alive at a time.
    let mut file = OnnxFile::new(13).input("v", FLOAT, &["1024"]);
    for node in 0..50 {
        let from = if node == 0 {
            "v".to_owned()
        } else {
            format!("n{}", node - 1)
        };
        file = file.node("Relu", &[&from], &[&format!("n{node}")]);
    }
    let model = load(file.output("n49", FLOAT), &ImportOptions::default());
    // The input, two slots, the output.
    assert_eq!(model.plan(&[vec![1024]]).unwrap().cost().peak_memory, 4 * 4096);
}

/// Runs a model whose input `x` is [batch, row...] on batches of several sizes and on their rows one by one.
fn assert_batches_equal_their_rows(file: OnnxFile, row: &[usize], random: &mut Random) {
    let dims = [("batch".to_owned(), DimSetting::AtMost(64))].into();
    let model = load(
        file,
        &ImportOptions {
            dims,
            ..ImportOptions::default()
        },
    );
    let size: usize = row.iter().product();
    let run = |x: &[f32]| {
        let shape = [&[x.len() / size], row].concat();
        let plan = model
            .plan(std::slice::from_ref(&shape))
            .expect("the size is within its bound");
        let input = Tensor::from_slice(DType::F32, &shape, x).expect("the length is right");
        let outputs = plan
            .run(&[input], &mut Unmetered)
            .expect("nothing in it depends on values");
        outputs[0].to_le_bytes()
    };
    for rows in [1, 2, 5, 6, 7, 16, 33, 64] {
        let mut x = random.floats(rows * size);
        x[0] = f32::NAN;
        x[rows * size - 1] = f32::INFINITY;
        let one_by_one: Vec<u8> = x.chunks(size).flat_map(run).collect();
        assert_eq!(run(&x), one_by_one, "{rows} rows");
    }
}

#[test]
fn a_batch_equals_its_rows_bit_for_bit() {
    let mut random = Random(7);
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["batch", "37"])
        .floats("W1", &[37, 29], &random.floats(37 * 29))
        .floats("b1", &[29], &random.floats(29))
        .floats("W2", &[29, 11], &random.floats(29 * 11))
        .floats("b2", &[11], &random.floats(11))
        .node("Gemm", &["x", "W1", "b1"], &["h"])
        .node("Relu", &["h"], &["r"])
        .node("MatMul", &["r", "W2"], &["m"])
        .node("Add", &["m", "b2"], &["y"])
        .output("y", FLOAT);
    assert_batches_equal_their_rows(file, &[37], &mut random);
}

#[test]
fn a_batch_of_images_equals_them_one_by_one() {
    let mut random = Random(8);
    let positive: Vec<f32> = random.floats(8).into_iter().map(|x| x + 1.5).collect();
    let kernel = |size: i64| attr_ints("kernel_shape", &[size, size]);
    let file = OnnxFile::new(15)
        .input("x", FLOAT, &["batch", "3", "11", "9"])
        .floats("K1", &[8, 3, 3, 3], &random.floats(216))
        .floats("b1", &[8], &random.floats(8))
        .floats("scale", &[8], &random.floats(8))
        .floats("shift", &[8], &random.floats(8))
        .floats("mean", &[8], &random.floats(8))
        .floats("var", &[8], &positive)
        .floats("D", &[8, 1, 3, 3], &random.floats(72))
        .floats("T", &[8, 5, 2, 2], &random.floats(160))
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
        .node("HardSwish", &["n"], &["a"])
        .node_with(
            "MaxPool",
            &["a"],
            &["p"],
            &[kernel(2), attr_ints("strides", &[2, 2])],
        )
        .node_with("Conv", &["p", "D"], &["d"], &[attr_int("group", 8)])
        .node("InstanceNormalization", &["d", "scale", "shift"], &["i"])
        .node_with(
            "ConvTranspose",
            &["i", "T"],
            &["t"],
            &[attr_ints("strides", &[2, 2])],
        )
        .node_with("AveragePool", &["t"], &["v"], &[kernel(3)])
        .node("GlobalAveragePool", &["v"], &["g"])
        .node("Flatten", &["g"], &["f"])
        .node_with("Softmax", &["f"], &["y"], &[attr_int("axis", -1)])
        .output("y", FLOAT);
    assert_batches_equal_their_rows(file, &[3, 11, 9], &mut random);
}

#[test]
fn a_batch_of_sequences_equals_them_one_by_one() {
    let mut random = Random(9);
    let file = OnnxFile::new(20)
        .input("x", FLOAT, &["batch", "7", "24"])
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
        .output("y", FLOAT);
    assert_batches_equal_their_rows(file, &[7, 24], &mut random);
}

#[test]
fn shapes_are_computed_while_planning() {
    // The usual export of `x.reshape(x.size(0), 3, -1)`.
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["n", "6"])
        .node("Shape", &["x"], &["s"])
        .i64s("first", &[], &[0])
        .i64s("axes", &[1], &[0])
        .i64s("rest", &[2], &[3, -1])
        .node("Gather", &["s", "first"], &["n"])
        .node("Unsqueeze", &["n", "axes"], &["nn"])
        .node_with("Concat", &["nn", "rest"], &["to"], &[attr_int("axis", 0)])
        .node("Reshape", &["x", "to"], &["y"])
        .output("y", FLOAT)
        .output("s", INT64);
    let dims = [("n".to_owned(), DimSetting::AtMost(8))].into();
    let model = load(
        file,
        &ImportOptions {
            dims,
            ..ImportOptions::default()
        },
    );
    let signature = model.signature();
    assert_eq!(signature.outputs[0].dims[1..], [Dim::Fixed(3), Dim::Fixed(2)]);
    assert_eq!(
        signature.outputs[0].dims[0],
        Dim::Symbol {
            name: "n".into(),
            max: 8
        }
    );
    let plan = model.plan(&[vec![5, 6]]).unwrap();
    assert_eq!(plan.cost().output_shapes, Some(vec![vec![5, 3, 2], vec![2]]));
    // Only the Reshape is left to run.
    assert_eq!(plan.cost().nodes.len(), 1);
    let input = Tensor::zeros(DType::F32, &[5, 6]).unwrap();
    assert_eq!(
        plan.run(&[input], &mut Unmetered).unwrap()[1].as_slice::<i64>(),
        [5, 6]
    );
}

#[test]
fn unneeded_parts_are_dropped_and_nodes_sorted() {
    let messy = OnnxFile::new(13)
        .node("Relu", &["h"], &["y"])
        .node("Add", &["x", "unused"], &["dead"])
        .node("Add", &["x", "b"], &["h"])
        .floats("unused", &[1], &[3.0])
        .floats("b", &[1], &[1.0])
        .input("x", FLOAT, &["1"])
        .output("y", FLOAT);
    let tidy = OnnxFile::new(13)
        .input("x", FLOAT, &["1"])
        .floats("b", &[1], &[1.0])
        .node("Add", &["x", "b"], &["other name"])
        .node("Relu", &["other name"], &["y"])
        .output("y", FLOAT);
    let model = load(messy, &ImportOptions::default());
    assert_eq!(model.operators().collect::<Vec<_>>(), ["Add", "Relu"]);
    assert_eq!(model.parameters(), 1);
    assert_eq!(model.id(), load(tidy, &ImportOptions::default()).id());
}

#[test]
fn initializers_listed_as_inputs_are_constants() {
    let file = OnnxFile::new(7)
        .input("x", FLOAT, &["1"])
        .input("b", FLOAT, &["1"])
        .floats("b", &[1], &[1.0])
        .node("Add", &["x", "b"], &["y"])
        .output("y", FLOAT);
    let model = load(file, &ImportOptions::default());
    assert_eq!(model.signature().inputs.len(), 1);
}
