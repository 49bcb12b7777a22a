//! Quantised networks, as their file says it and computed with integers.

mod build;

use build::{random::Random, *};
use synod_model::*;

const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;

fn load(file: &OnnxFile, integers: bool) -> Model {
    let options = ImportOptions {
        integers,
        ..ImportOptions::default()
    };
    let canonical =
        import_onnx(&file.clone().encode(), &NoExternalData, &options).expect("the model is valid");
    Model::load(canonical.graph, canonical.weights).expect("what imports loads")
}

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.next() as u8).collect()
}

/// A node between DequantizeLinear and QuantizeLinear of the value `from`: gives `to`, of this scale.
fn quantised(
    file: OnnxFile,
    op: &str,
    from: [&str; 2],
    to: [&str; 2],
    more: &[&str],
    attributes: &[Vec<u8>],
) -> OnnxFile {
    let floats = format!("{}/floats", to[0]);
    let result = format!("{}/result", to[0]);
    let inputs: Vec<&str> = std::iter::once(floats.as_str())
        .chain(more.iter().copied())
        .collect();
    file.node("DequantizeLinear", &[from[0], from[1], "zero"], &[&floats])
        .node_with(op, &inputs, &[&result], attributes)
        .node("QuantizeLinear", &[&result, to[1], "zero"], &[to[0]])
}

/// A convolution, a pool, a change of shape, a Gemm and a MatMul, as ONNX Runtime's quantiser writes them.
fn network(random: &mut Random) -> OnnxFile {
    let scales: Vec<f32> = (0..8).map(|_| 0.01 + random.float().abs() / 50.0).collect();
    let bias_scales: Vec<f32> = scales.iter().map(|scale| 0.02 * scale).collect();
    let bias: Vec<u8> = (0..8i32).flat_map(|i| (i * 100 - 300).to_le_bytes()).collect();
    let bias_10: Vec<u8> = (0..10i32).flat_map(|i| (i * 50).to_le_bytes()).collect();
    let file = OnnxFile::new(13)
        .input("x", FLOAT, &["1", "3", "12", "12"])
        .initializer("zero", UINT8, &[], &[128])
        .floats("s0", &[], &[0.02])
        .floats("s1", &[], &[0.15])
        .floats("s2", &[], &[0.4])
        .floats("s3", &[], &[1.5])
        .initializer("w1", INT8, &[8, 3, 3, 3], &bytes(random, 8 * 27))
        .floats("w1s", &[8], &scales)
        .initializer("w1z", INT8, &[8], &[0; 8])
        .initializer("b1", INT32, &[8], &bias)
        .floats("b1s", &[8], &bias_scales)
        .initializer("w2", INT8, &[10, 288], &bytes(random, 2880))
        .floats("w2s", &[], &[0.004])
        .initializer("wz", INT8, &[], &[0])
        .initializer("b2", INT32, &[10], &bias_10)
        .floats("b2s", &[], &[0.15 * 0.004])
        .initializer("w3", INT8, &[10, 4], &bytes(random, 40))
        .floats("w3s", &[], &[0.01])
        .i64s("shape", &[2], &[1, 288])
        .node_with(
            "DequantizeLinear",
            &["w1", "w1s", "w1z"],
            &["w1f"],
            &[attr_int("axis", 0)],
        )
        .node_with(
            "DequantizeLinear",
            &["b1", "b1s"],
            &["b1f"],
            &[attr_int("axis", 0)],
        )
        .node("DequantizeLinear", &["w2", "w2s", "wz"], &["w2f"])
        .node("DequantizeLinear", &["b2", "b2s"], &["b2f"])
        .node("DequantizeLinear", &["w3", "w3s", "wz"], &["w3f"])
        .node("QuantizeLinear", &["x", "s0", "zero"], &["q0"]);
    let file = quantised(
        file,
        "Conv",
        ["q0", "s0"],
        ["q1", "s1"],
        &["w1f", "b1f"],
        &[attr_ints("pads", &[1; 4])],
    );
    let halves = [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 2])];
    let file = quantised(file, "MaxPool", ["q1", "s1"], ["q2", "s1"], &[], &halves);
    let file = quantised(file, "Reshape", ["q2", "s1"], ["q3", "s1"], &["shape"], &[]);
    let file = quantised(
        file,
        "Gemm",
        ["q3", "s1"],
        ["q4", "s2"],
        &["w2f", "b2f"],
        &[attr_int("transB", 1)],
    );
    quantised(file, "MatMul", ["q4", "s2"], ["q5", "s3"], &["w3f"], &[])
        .node("DequantizeLinear", &["q5", "s3", "zero"], &["y"])
        .output("y", FLOAT)
}

#[test]
fn a_quantised_network_computes_with_integers_if_it_is_asked_to() {
    let mut random = Random(11);
    let file = network(&mut random);
    let (floats, integers) = (load(&file, false), load(&file, true));
    assert_ne!(floats.id(), integers.id());
    let has = |model: &Model, name: &str| {
        (0..)
            .map_while(|node| model.node(node))
            .any(|label| label.op_type == name)
    };
    for op in [
        "QLinearConv",
        "QLinearMatMul",
        "MatMulInteger",
        "MaxPool",
        "Reshape",
    ] {
        assert!(has(&integers, op), "{op}");
    }
    for op in ["Conv", "Gemm", "MatMul"] {
        assert!(has(&floats, op) && !has(&integers, op), "{op}");
    }
    let shape = vec![1, 3, 12, 12];
    for _ in 0..20 {
        let x = Tensor::from_slice(DType::F32, &shape, &random.floats(3 * 144)).unwrap();
        let run = |model: &Model| {
            let plan = model.plan(std::slice::from_ref(&shape)).unwrap();
            let outputs = plan.run(std::slice::from_ref(&x), &mut Unmetered).unwrap();
            assert_eq!(
                plan.run_reference(std::slice::from_ref(&x), &mut Unmetered)
                    .as_ref(),
                Ok(&outputs)
            );
            outputs[0].as_slice::<f32>().to_vec()
        };
        // a step of a value in the middle is less than one at the end
        for (a, b) in run(&floats).into_iter().zip(run(&integers)) {
            assert!((a - b).abs() <= 1.5, "{a} and {b}");
        }
    }
}

#[test]
fn what_does_not_fit_stays_as_it_is() {
    let mut random = Random(12);
    // a bias of another scale, and a pool between different scales
    let file = OnnxFile::new(13)
        .input("x", UINT8, &["1", "3", "8", "8"])
        .initializer("zero", UINT8, &[], &[128])
        .floats("s0", &[], &[0.02])
        .floats("s1", &[], &[0.15])
        .floats("s2", &[], &[0.2])
        .initializer("w", INT8, &[4, 3, 1, 1], &bytes(&mut random, 12))
        .floats("ws", &[], &[0.1])
        .initializer("wz", INT8, &[], &[0])
        .initializer("b", INT32, &[4], &[1; 16])
        .floats("bs", &[], &[0.5])
        .node("DequantizeLinear", &["w", "ws", "wz"], &["wf"])
        .node("DequantizeLinear", &["b", "bs"], &["bf"]);
    let file = quantised(file, "Conv", ["x", "s0"], ["q1", "s1"], &["wf", "bf"], &[]);
    let halves = [attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 2])];
    let file = quantised(file, "MaxPool", ["q1", "s1"], ["y", "s2"], &[], &halves).output("y", UINT8);
    assert_eq!(load(&file, false).id(), load(&file, true).id());
}

/// Random networks of integers: convolutions, pools and elementwise nodes on bytes, whose images may lie in either order between them.
#[test]
fn the_order_of_channels_and_pixels_does_not_show() {
    for seed in 0..150 {
        let random = &mut Random(1000 + seed);
        let (images, channels) = (1 + random.below(2), 1 + random.below(9));
        let (height, width) = (1 + random.below(14), 1 + random.below(14));
        let dims = [images, channels, height, width].map(|dim| dim.to_string());
        let mut file = OnnxFile::new(13)
            .input("v0", UINT8, &dims.each_ref().map(String::as_str))
            .initializer("zero", UINT8, &[], &[100 + random.below(60) as u8])
            .initializer("wz", INT8, &[], &[0])
            .floats("s", &[], &[0.5])
            .floats("f", &[], &[1.5])
            .i64s("flat", &[2], &[images as i64, -1]);
        let mut values = vec![("v0".to_owned(), [channels, height, width])];
        for node in 1..3 + random.below(9) {
            let back = random.below(3).min(values.len() - 1);
            let (x, [channels, height, width]) = values[values.len() - 1 - back].clone();
            let name = format!("v{node}");
            match random.below(6) {
                0..3 => {
                    let depthwise = random.below(3) == 0;
                    let out = if depthwise { channels } else { 1 + random.below(20) };
                    let each = if depthwise { 1 } else { channels };
                    let kernel = if height > 2 && width > 2 {
                        1 + 2 * random.below(2)
                    } else {
                        1
                    };
                    let pad = random.below(kernel / 2 + 1);
                    let stride = 1 + random.below(2);
                    let (w, ws) = (format!("w{node}"), format!("ws{node}"));
                    let size = |input: usize| (input + 2 * pad - kernel) / stride + 1;
                    let k = kernel as i64;
                    file = file
                        .initializer(
                            &w,
                            INT8,
                            &[out as i64, each as i64, k, k],
                            &bytes(random, out * each * kernel * kernel),
                        )
                        .floats(&ws, &[], &[0.02 / (each * kernel) as f32])
                        .node_with(
                            "QLinearConv",
                            &[&x, "s", "zero", &w, &ws, "wz", "s", "zero"],
                            &[&name],
                            &[
                                attr_ints("pads", &[pad as i64; 4]),
                                attr_ints("strides", &[stride as i64; 2]),
                                attr_int("group", if depthwise { channels as i64 } else { 1 }),
                            ],
                        );
                    values.push((name, [out, size(height), size(width)]));
                }
                3 if height > 1 && width > 1 => {
                    let shape = [channels, height - 1, width - 1];
                    file = file.node_with("MaxPool", &[&x], &[&name], &[attr_ints("kernel_shape", &[2, 2])]);
                    values.push((name, shape));
                }
                4 => {
                    let same: Vec<String> = values
                        .iter()
                        .filter(|(_, shape)| *shape == [channels, height, width])
                        .map(|(name, _)| name.clone())
                        .collect();
                    let other = same[random.below(same.len())].clone();
                    let [a, b, c] = ["a", "b", "c"].map(|part| format!("{name}/{part}"));
                    file = file
                        .node("DequantizeLinear", &[&x, "s", "zero"], &[&a])
                        .node("DequantizeLinear", &[&other, "f", "zero"], &[&b])
                        .node("Add", &[&a, &b], &[&c])
                        .node("QuantizeLinear", &[&c, "s", "zero"], &[&name]);
                    values.push((name, [channels, height, width]));
                }
                _ => {
                    let [a, b] = ["a", "b"].map(|part| format!("{name}/{part}"));
                    file = file
                        .node("DequantizeLinear", &[&x, "s", "zero"], &[&a])
                        .node("Sigmoid", &[&a], &[&b])
                        .node("QuantizeLinear", &[&b, "s", "zero"], &[&name]);
                    values.push((name, [channels, height, width]));
                }
            }
        }
        let last = values.len() - 1;
        let name = &values[last].0;
        file = match random.below(2) {
            0 => file.node("Reshape", &[name, "flat"], &["y"]),
            _ => file.node("Identity", &[name], &["y"]),
        };
        file = file.output("y", UINT8);
        let some = random.below(values.len());
        if some > 0 && some < last {
            file = file.output(&values[some].0, UINT8);
        }
        let model = load(&file, false);
        let shape = vec![images, channels, height, width];
        let plan = model.plan(std::slice::from_ref(&shape)).unwrap();
        let x = [Tensor::from_slice(DType::U8, &shape, &bytes(random, shape.iter().product())).unwrap()];
        let outputs = plan.run(&x, &mut Unmetered).unwrap();
        assert_eq!(
            plan.run_reference(&x, &mut Unmetered).as_ref(),
            Ok(&outputs),
            "seed {seed}"
        );
        synod_numerics::pool::set_threads(3);
        assert_eq!(
            plan.run(&x, &mut Unmetered).as_ref(),
            Ok(&outputs),
            "seed {seed}, 3 threads"
        );
        synod_numerics::pool::set_threads(1);
    }
}
