//! What operators make of values at the edge: empty inputs, NaN, infinities, zeros, indices out of range. ONNX's node tests have
//! none of these; `docs/spec/arithmetic.md` states each.

use crate::build::*;
use synod_model::*;

/// One input of a node.
enum Given<'a> {
    F32(&'a [usize], &'a [f32]),
    /// A constant.
    Numbers(&'a [i64]),
    I64(&'a [usize], &'a [i64]),
}
use Given::*;

/// Runs one node on both arithmetics; gives its outputs.
fn outputs(
    (operator, opset): (&str, i64),
    given: &[Given<'_>],
    attributes: &[Vec<u8>],
    types: &[DType],
) -> Result<Vec<Tensor>, RunError> {
    let mut file = OnnxFile::new(opset);
    let (mut names, mut inputs) = (Vec::new(), Vec::new());
    for (index, given) in given.iter().enumerate() {
        let name = format!("i{index}");
        let (shape, tensor) = match given {
            Numbers(values) => {
                file = file.i64s(&name, &[values.len() as i64], values);
                names.push(name);
                continue;
            }
            F32(shape, values) => (shape, Tensor::from_slice(DType::F32, shape, values)),
            I64(shape, values) => (shape, Tensor::from_slice(DType::I64, shape, values)),
        };
        let tensor = tensor.expect("the test gives as many values as its shape has");
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
        file = file.input(&name, tensor.dtype().onnx_code(), &dims);
        inputs.push(tensor);
        names.push(name);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let results: Vec<String> = (0..types.len()).map(|index| format!("o{index}")).collect();
    let results: Vec<&str> = results.iter().map(String::as_str).collect();
    file = file.node_with(operator, &names, &results, attributes);
    for (name, dtype) in results.iter().zip(types) {
        file = file.output(name, dtype.onnx_code());
    }
    let canonical = import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
        .unwrap_or_else(|error| panic!("{operator}: {error}"));
    let model = Model::load(canonical.graph, canonical.weights).expect("what imports loads");
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).expect("what loads plans");
    let outputs = plan.run(&inputs, &mut Unmetered)?;
    assert_eq!(
        outputs,
        plan.run_reference(&inputs, &mut Unmetered)?,
        "{operator}"
    );
    Ok(outputs)
}

/// Of a node whose only output is f32.
fn floats(operator: (&str, i64), given: &[Given<'_>], attributes: &[Vec<u8>]) -> Vec<f32> {
    let outputs = outputs(operator, given, attributes, &[DType::F32])
        .unwrap_or_else(|error| panic!("{operator:?}: {error}"));
    outputs[0].as_slice::<f32>().to_vec()
}

#[track_caller]
fn assert_bits(got: &[f32], expected: &[f32]) {
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(got), bits(expected), "got {got:?}, expected {expected:?}");
}

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::from_bits(0x7fc0_0000);

#[test]
fn reductions_of_nothing_and_of_infinities() {
    let line = |operator, x: &[f32]| {
        floats(
            (operator, 18),
            &[F32(&[x.len()], x), Numbers(&[0])],
            &[attr_int("keepdims", 0)],
        )[0]
    };
    for (operator, of_nothing) in [
        ("ReduceL1", 0.0),
        ("ReduceL2", 0.0),
        ("ReduceSumSquare", 0.0),
        ("ReduceLogSum", -INF),
        ("ReduceLogSumExp", -INF),
    ] {
        assert_bits(&[line(operator, &[])], &[of_nothing]);
        assert!(line(operator, &[1.0, f32::NAN]).is_nan(), "{operator}");
    }
    assert_bits(&[line("ReduceLogSumExp", &[INF, -INF, 3.0])], &[INF]);
    assert_bits(&[line("ReduceLogSumExp", &[-INF, -INF])], &[-INF]);
    assert_bits(
        &[line("ReduceLogSumExp", &[1000.0, 1000.0])],
        &[1000.0 + std::f32::consts::LN_2],
    );
    assert_bits(&[line("ReduceL1", &[-3.0, -0.0, 4.0])], &[7.0]);
    assert_bits(&[line("ReduceL2", &[-3.0, 4.0])], &[5.0]);
    assert!(line("ReduceLogSum", &[-1.0]).is_nan());
    let root = outputs(
        ("ReduceL2", 18),
        &[I64(&[2], &[2, 2]), Numbers(&[0])],
        &[attr_int("keepdims", 0)],
        &[DType::I64],
    );
    assert_eq!(root.unwrap()[0].as_slice::<i64>(), [2]);
}

#[test]
fn normalisations_by_zero() {
    let x = F32(&[2, 2], &[0.0, -0.0, 3.0, -4.0]);
    assert_bits(
        &floats(("LpNormalization", 22), &[x], &[]),
        &[0.0, 0.0, 0.6, -0.8],
    );
    let x = F32(&[1, 2], &[1.0, INF]);
    assert_bits(
        &floats(("LpNormalization", 22), &[x], &[attr_int("p", 1)]),
        &[0.0, NAN],
    );
    let x = F32(&[2, 2], &[5.0, 5.0, 1.0, 3.0]);
    let axes = attr_ints("axes", &[1]);
    assert_bits(
        &floats(("MeanVarianceNormalization", 13), &[x], &[axes]),
        &[0.0, 0.0, -1.0, 1.0],
    );
    // a neighbourhood that reaches beyond the channels on both sides
    let x = F32(&[1, 2, 1], &[1.0, 2.0]);
    let given = [
        attr_int("size", 5),
        attr_float("alpha", 5.0),
        attr_float("beta", 1.0),
    ];
    assert_bits(&floats(("LRN", 13), &[x], &given), &[1.0 / 6.0, 2.0 / 6.0]);
}

#[test]
fn losses_of_what_is_ignored_or_no_class() {
    let x = || F32(&[3, 2], &[-1.0, -2.0, -3.0, -4.0, -5.0, -6.0]);
    let ignore = || attr_int("ignore_index", 7);
    let loss = |given: &[Given<'_>], reduction| {
        floats(
            ("NegativeLogLikelihoodLoss", 22),
            given,
            &[ignore(), attr_string("reduction", reduction)],
        )
    };
    let classes = || I64(&[3], &[0, 7, 1]);
    assert_bits(&loss(&[x(), classes()], "none"), &[1.0, 0.0, 6.0]);
    assert_bits(&loss(&[x(), classes()], "mean"), &[3.5]);
    let weights = || F32(&[2], &[0.5, 2.0]);
    assert_bits(&loss(&[x(), classes(), weights()], "sum"), &[12.5]);
    assert_bits(&loss(&[x(), classes(), weights()], "mean"), &[5.0]);
    assert_bits(&loss(&[x(), I64(&[3], &[7, 7, 7])], "mean"), &[NAN]);
    let wrong = outputs(
        ("SoftmaxCrossEntropyLoss", 13),
        &[x(), I64(&[3], &[0, 2, 1])],
        &[],
        &[DType::F32],
    );
    assert!(wrong.unwrap_err().to_string().contains("class 2"));
    // a class that cannot be: its logarithm is −∞, its loss +∞
    let x = F32(&[1, 2], &[0.0, -INF]);
    assert_bits(
        &floats(("SoftmaxCrossEntropyLoss", 13), &[x, I64(&[1], &[1])], &[]),
        &[INF],
    );
}

#[test]
fn indices_out_of_range_stop_the_run() {
    let data = || F32(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let stops = |operator, given: &[Given<'_>]| {
        let stopped = outputs(operator, given, &[], &[DType::F32]);
        assert!(
            stopped.unwrap_err().to_string().contains("out of range"),
            "{operator:?}"
        );
    };
    stops(("GatherElements", 13), &[data(), I64(&[1, 1], &[2])]);
    stops(("GatherND", 13), &[data(), I64(&[1, 2], &[0, -3])]);
    stops(
        ("ScatterND", 18),
        &[data(), I64(&[1, 1], &[2]), F32(&[1, 2], &[0.0, 0.0])],
    );
    stops(
        ("ScatterElements", 18),
        &[data(), I64(&[1, 1], &[-3]), F32(&[1, 1], &[0.0])],
    );
}

#[test]
fn updates_of_one_place_are_taken_in_order() {
    let scatter = |reduction| {
        let given = [
            F32(&[3], &[1.0, -0.0, 5.0]),
            I64(&[4], &[0, 0, 1, -3]),
            F32(&[4], &[2.0, 3.0, 0.0, 4.0]),
        ];
        floats(
            ("ScatterElements", 18),
            &given,
            &[attr_string("reduction", reduction)],
        )
    };
    assert_bits(&scatter("none"), &[4.0, 0.0, 5.0]);
    assert_bits(&scatter("add"), &[10.0, 0.0, 5.0]);
    assert_bits(&scatter("mul"), &[24.0, -0.0, 5.0]);
    assert_bits(&scatter("max"), &[4.0, 0.0, 5.0]);
    assert_bits(&scatter("min"), &[1.0, -0.0, 5.0]);
}

#[test]
fn the_greatest_come_first_nan_before_all() {
    let top = |largest| {
        let x = F32(&[6], &[1.0, f32::NAN, 0.0, INF, -0.0, 1.0]);
        let given = [attr_int("largest", largest)];
        let outputs = outputs(
            ("TopK", 24),
            &[x, Numbers(&[4])],
            &given,
            &[DType::F32, DType::I64],
        )
        .unwrap();
        (
            outputs[0].as_slice::<f32>().to_vec(),
            outputs[1].as_slice::<i64>().to_vec(),
        )
    };
    let (values, indices) = top(1);
    assert_bits(&values, &[NAN, INF, 1.0, 1.0]);
    assert_eq!(indices, [1, 3, 0, 5]);
    let (values, indices) = top(0);
    assert_bits(&values, &[0.0, -0.0, 1.0, 1.0]);
    assert_eq!(indices, [2, 4, 0, 5]);
}

#[test]
fn lengths_and_places_of_sequences_are_checked() {
    let x = || F32(&[3, 1], &[1.0, 2.0, 3.0]);
    assert_bits(
        &floats(("ReverseSequence", 10), &[x(), I64(&[1], &[0])], &[]),
        &[1.0, 2.0, 3.0],
    );
    assert_bits(
        &floats(("ReverseSequence", 10), &[x(), I64(&[1], &[2])], &[]),
        &[2.0, 1.0, 3.0],
    );
    for wrong in [4, -1] {
        assert!(
            outputs(
                ("ReverseSequence", 10),
                &[x(), I64(&[1], &[wrong])],
                &[],
                &[DType::F32]
            )
            .is_err()
        );
    }
    let cache = || F32(&[1, 3, 1], &[1.0, 2.0, 3.0]);
    let update = || F32(&[1, 2, 1], &[7.0, 8.0]);
    let circular = [attr_string("mode", "circular")];
    assert_bits(
        &floats(
            ("TensorScatter", 24),
            &[cache(), update(), I64(&[1], &[-1])],
            &circular,
        ),
        &[8.0, 2.0, 7.0],
    );
    assert!(
        outputs(
            ("TensorScatter", 24),
            &[cache(), update(), I64(&[1], &[2])],
            &[],
            &[DType::F32]
        )
        .is_err()
    );
}

#[test]
fn regions_and_indices_of_what_is_not_there_stop_the_run() {
    let x = || F32(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let regions = || F32(&[1, 4], &[0.0, 0.0, 1.0, 1.0]);
    for image in [1, -1] {
        let given = [x(), regions(), I64(&[1], &[image])];
        assert!(
            outputs(("RoiAlign", 16), &given, &[], &[DType::F32]).is_err(),
            "{image}"
        );
    }
    // of a region without an extent there is nothing to sample
    let given = [x(), F32(&[1, 4], &[1.0, 1.0, 1.0, 1.0]), I64(&[1], &[0])];
    assert_bits(&floats(("RoiAlign", 16), &given, &[]), &[0.0]);
    let kernel = [attr_ints("kernel_shape", &[2, 2])];
    for (index, right) in [(0, true), (8, true), (9, false), (-1, false)] {
        let given = [x(), I64(&[1, 1, 2, 2], &[index; 4])];
        assert_eq!(
            outputs(("MaxUnpool", 22), &given, &kernel, &[DType::F32]).is_ok(),
            right,
            "{index}"
        );
    }
}

#[test]
fn images_are_sampled_where_the_specification_says() {
    let resize = |scale: f32, mode: &str| {
        let given = [
            F32(&[3], &[1.0, INF, 3.0]),
            Numbers(&[]),
            Numbers(&[]),
            Numbers(&[(3.0 * scale) as i64]),
        ];
        let coordinates = attr_string("coordinate_transformation_mode", "asymmetric");
        floats(("Resize", 19), &given, &[attr_string("mode", mode), coordinates])
    };
    // a tap of weight 0 does not count, not even on an infinity
    assert_bits(&resize(2.0, "linear"), &[1.0, INF, INF, INF, 3.0, 3.0]);
    assert_bits(&resize(2.0, "nearest"), &[1.0, 1.0, INF, INF, 3.0, 3.0]);
    let grid = F32(&[1, 3, 1], &[f32::NAN, INF, 0.0]);
    let border = [
        attr_string("padding_mode", "border"),
        attr_string("mode", "nearest"),
    ];
    assert_bits(
        &floats(
            ("GridSample", 22),
            &[F32(&[1, 1, 3], &[1.0, 2.0, 3.0]), grid],
            &border,
        ),
        &[1.0, 3.0, 2.0],
    );
}
