//! Recurrent networks: what a sequence means, apart from its numbers (which ONNX's node tests check).

use crate::build::{random::Random, *};
use synod_model::*;

const HIDDEN: usize = 5;
const INPUT: usize = 3;

fn floats(count: usize, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    (0..count).map(|_| random.float()).collect()
}

/// A network of this kind over `[steps, batch, INPUT]`, with lengths.
fn network(operator: &str, gates: usize, direction: &str, steps: usize, batch: usize) -> Model {
    let rows = gates * HIDDEN;
    let size = |n: usize| n as i64;
    let file = OnnxFile::new(22)
        .input("x", FLOAT, &[&steps.to_string(), &batch.to_string(), "3"])
        .input("lengths", 6, &[&batch.to_string()])
        .floats("w", &[1, size(rows), size(INPUT)], &floats(rows * INPUT, 1))
        .floats("r", &[1, size(rows), size(HIDDEN)], &floats(rows * HIDDEN, 2))
        .floats("b", &[1, size(2 * rows)], &floats(2 * rows, 3))
        .node_with(
            operator,
            &["x", "w", "r", "b", "lengths"],
            &["y", "h"],
            &[attr_string("direction", direction)],
        )
        .output("y", FLOAT)
        .output("h", FLOAT);
    load(file)
}

fn load(file: OnnxFile) -> Model {
    let canonical =
        import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default()).expect("it imports");
    Model::load(canonical.graph, canonical.weights).expect("it loads")
}

fn run(model: &Model, x: &[f32], lengths: &[i32]) -> Result<[Vec<f32>; 2], RunError> {
    let inputs = model.signature().inputs.clone();
    let x = Tensor::from_slice(DType::F32, &inputs[0].max_shape(), x).expect("it fits");
    let lengths = Tensor::from_slice(DType::I32, &[lengths.len()], lengths).expect("it fits");
    let plan = model
        .plan(&[x.shape().to_vec(), lengths.shape().to_vec()])
        .expect("it plans");
    let inputs = [x, lengths];
    let outputs = plan.run(&inputs, &mut Unmetered)?;
    assert_eq!(outputs, plan.run_reference(&inputs, &mut Unmetered)?);
    Ok([0, 1].map(|i| outputs[i].as_slice::<f32>().to_vec()))
}

const NETWORKS: [(&str, usize); 3] = [("LSTM", 4), ("GRU", 3), ("RNN", 1)];

/// Each row of a batch has the bits that it has alone, at its own length; beyond it the output is 0.
#[test]
fn a_padded_batch_equals_its_rows() {
    let (steps, batch) = (6, 3);
    let x = floats(steps * batch * INPUT, 9);
    let lengths = [6, 2, 0];
    for (operator, gates) in NETWORKS {
        for direction in ["forward", "reverse"] {
            let [y, h] = run(&network(operator, gates, direction, steps, batch), &x, &lengths).unwrap();
            for (row, &length) in lengths.iter().enumerate() {
                let length = length as usize;
                let alone: Vec<f32> = (0..length)
                    .flat_map(|t| x[(t * batch + row) * INPUT..][..INPUT].to_vec())
                    .collect();
                let model = network(operator, gates, direction, length, 1);
                let [one_y, one_h] = run(&model, &alone, &[length as i32]).unwrap();
                assert_eq!(
                    h[row * HIDDEN..][..HIDDEN],
                    one_h,
                    "{operator} {direction} row {row}"
                );
                for t in 0..steps {
                    let got = &y[(t * batch + row) * HIDDEN..][..HIDDEN];
                    let expected = one_y.get(t * HIDDEN..(t + 1) * HIDDEN).unwrap_or(&[0.0; HIDDEN]);
                    assert_eq!(got, expected, "{operator} {direction} row {row} step {t}");
                }
            }
        }
    }
}

/// Backwards over a sequence is forwards over its reverse.
#[test]
fn reverse_is_forward_over_the_reversed_input() {
    let steps = 5;
    let x = floats(steps * INPUT, 4);
    let reversed: Vec<f32> = x.chunks(INPUT).rev().flatten().copied().collect();
    for (operator, gates) in NETWORKS {
        let [y, h] = run(&network(operator, gates, "reverse", steps, 1), &x, &[5]).unwrap();
        let [other_y, other_h] =
            run(&network(operator, gates, "forward", steps, 1), &reversed, &[5]).unwrap();
        assert_eq!(h, other_h);
        let turned: Vec<f32> = other_y.chunks(HIDDEN).rev().flatten().copied().collect();
        assert_eq!(y, turned);
    }
}

#[test]
fn lengths_beyond_the_steps_stop_the_run() {
    let model = network("GRU", 3, "forward", 2, 1);
    for length in [3, -1, i32::MIN] {
        let error = run(&model, &[0.0; 2 * INPUT], &[length]).unwrap_err();
        assert!(error.to_string().contains("sequence length"), "{error}");
    }
}

/// A step of an LSTM from a state, by hand: infinities saturate gates, NaN spreads, and the clip holds what enters.
#[test]
fn special_values_of_an_lstm() {
    let cell = |x: f32, c: f32, clip: Option<f32>| -> (f32, f32) {
        let attributes: Vec<_> = clip.iter().map(|&clip| attr_float("clip", clip)).collect();
        let file = OnnxFile::new(22)
            .input("x", FLOAT, &["1", "1", "1"])
            // input, output, forget, candidate
            .floats("w", &[1, 4, 1], &[1.0, 1.0, 1.0, 1.0])
            .floats("r", &[1, 4, 1], &[0.0; 4])
            .floats("h0", &[1, 1, 1], &[0.0])
            .floats("c0", &[1, 1, 1], &[c])
            .node_with(
                "LSTM",
                &["x", "w", "r", "", "", "h0", "c0"],
                &["", "h", "c"],
                &attributes,
            )
            .output("h", FLOAT)
            .output("c", FLOAT);
        let model = load(file);
        let plan = model.plan(&[vec![1, 1, 1]]).unwrap();
        let x = [Tensor::from_slice(DType::F32, &[1, 1, 1], &[x]).unwrap()];
        let outputs = plan.run(&x, &mut Unmetered).unwrap();
        assert_eq!(outputs, plan.run_reference(&x, &mut Unmetered).unwrap());
        (outputs[0].as_slice::<f32>()[0], outputs[1].as_slice::<f32>()[0])
    };
    // all gates open: c = 1·2 + 1·1
    assert_eq!(cell(f32::INFINITY, 2.0, None).1, 3.0);
    // all gates shut: the cell is forgotten, the signs of zero follow
    let (h, c) = cell(f32::NEG_INFINITY, 2.0, None);
    assert_eq!((h.to_bits(), c), (0.0_f32.to_bits(), 0.0));
    assert_eq!(cell(f32::NAN, 2.0, None).0.to_bits(), 0x7fc0_0000);
    // a clip of 0 makes every gate a half and the candidate 0
    let (h, c) = cell(100.0, 2.0, Some(0.0));
    assert_eq!(c, 1.0);
    assert!((h - 0.5 * 0.761_594_2).abs() < 1e-6);
}

#[test]
fn what_does_not_fit_is_refused() {
    let file = |operator: &str, shapes: [&[i64]; 3], attributes: &[Vec<u8>]| {
        let count = |dims: &[i64]| floats(dims.iter().product::<i64>() as usize, 1);
        OnnxFile::new(22)
            .floats("x", shapes[0], &count(shapes[0]))
            .floats("w", shapes[1], &count(shapes[1]))
            .floats("r", shapes[2], &count(shapes[2]))
            .node_with(operator, &["x", "w", "r"], &["y"], attributes)
            .output("y", FLOAT)
    };
    let fits: [&[i64]; 3] = [&[2, 1, 3], &[1, 4, 3], &[1, 4, 1]];
    let refused = |file: OnnxFile| {
        import_onnx(&file.encode(), &NoExternalData, &ImportOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert!(
        import_onnx(
            &file("LSTM", fits, &[]).encode(),
            &NoExternalData,
            &ImportOptions::default()
        )
        .is_ok()
    );
    for (attribute, reason) in [
        (attr_string("direction", "sideways"), "direction"),
        (attr_float("clip", -1.0), "clip"),
        (attr_float("clip", f32::NAN), "clip"),
        (attr_int("hidden_size", 2), "hidden_size"),
        (attr_strings("activations", &["Tanh"]), "activations"),
        (attr_strings("activations", &["Tanh", "Tanh", "Gauss"]), "Gauss"),
        (
            attr_strings("activations", &["Affine", "Tanh", "Tanh"]),
            "activation_alpha",
        ),
        (attr_string("direction", "bidirectional"), "needed"),
    ] {
        let why = refused(file("LSTM", fits, &[attribute]));
        assert!(why.contains(reason), "{why}");
    }
    assert!(refused(file("GRU", fits, &[])).contains("needed"));
    assert!(refused(file("LSTM", [&[2, 3], fits[1], fits[2]], &[])).contains("three dimensions"));
}
