//! Networks of floats, made networks of integers, beside each other.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod network;

use network::*;
use prost::Message as _;
use std::collections::BTreeMap;
use synod_model::{
    DType, DimSetting, ExternalData, ImportOptions, Model, NoExternalData, Shape, Tensor, Unmetered,
    import_onnx, proto::ModelProto,
};
use synod_quantize::{Bound, Evaluation, Keep, Options, QuantizeError, Quantized, evaluate, quantize};

fn run(
    file: &[u8],
    external: &dyn ExternalData,
    input: &str,
    samples: &Tensor,
    keep: Keep,
) -> Result<Quantized, QuantizeError> {
    let options = Options {
        keep,
        ..Options::default()
    };
    quantize(
        file,
        external,
        &[(input.to_owned(), samples.clone())],
        &options,
        &mut (),
    )
}

fn compare(quantized: &Quantized, input: &str, samples: &Tensor, labels: Option<&[i64]>) -> Evaluation {
    evaluate(quantized, &[(input.to_owned(), samples.clone())], labels, &mut ()).unwrap()
}

/// The operators of a file.
fn operators(file: &[u8]) -> BTreeMap<String, usize> {
    let graph = ModelProto::decode(file).unwrap().graph.unwrap();
    let mut operators = BTreeMap::new();
    for node in graph.node {
        *operators.entry(node.op_type.unwrap()).or_default() += 1;
    }
    operators
}

/// Loads a file with a batch of this size, checks that canonical form is the canonical form of itself, and that the fast kernels give the
/// reference's bits.
fn check(quantized: &Quantized, batch: Option<usize>, shape: &[usize], input: &Tensor) {
    let options = ImportOptions {
        dims: batch
            .map(|batch| ("batch".to_owned(), DimSetting::Pin(batch)))
            .into_iter()
            .collect(),
        ..ImportOptions::default()
    };
    let canonical = import_onnx(&quantized.onnx, &NoExternalData, &options).unwrap();
    let model = Model::load(canonical.graph, canonical.weights).unwrap();
    let shapes: [Shape; 1] = [shape.to_vec()];
    let plan = model.plan(&shapes).unwrap();
    let count: usize = shape.iter().product();
    let x = Tensor::from_slice(DType::F32, shape, &input.as_slice::<f32>()[..count]).unwrap();
    let fast = plan.run(std::slice::from_ref(&x), &mut Unmetered).unwrap();
    let reference = plan.run_reference(&[x], &mut Unmetered).unwrap();
    assert_eq!(fast, reference);
}

#[test]
fn trained_examples_keep_their_accuracy_on_samples_never_seen() {
    for (example, most_lost, least_decibels) in [(cellar(), 1, 20.0), (fleet(), 1, 20.0)] {
        let seen = every_other(&example.samples, 0);
        let unseen = every_other(&example.samples, 1);
        let labels: Vec<i64> = example.labels.iter().skip(1).step_by(2).copied().collect();
        let quantized = run(&example.file, &NoExternalData, &example.input, &seen, Keep::None).unwrap();
        let result = compare(&quantized, &example.input, &unseen, Some(&labels));
        assert_eq!(result.answers, labels.len());
        let (before, after) = (result.float_correct.unwrap(), result.integer_correct.unwrap());
        assert!(
            before * 10 > labels.len() * 9,
            "the float network is {before} right"
        );
        assert!(after + most_lost >= before, "{before} right, then {after}");
        assert!(result.agree + most_lost >= labels.len());
        assert!(result.decibels > least_decibels, "{} dB", result.decibels);
        assert!(quantized.onnx.len() < example.file.len() * 2);
        let mut shape = example.samples.shape().to_vec();
        shape[0] = 5;
        check(&quantized, Some(5), &shape, &unseen);
    }
}

#[test]
fn everything_of_a_mobile_network_is_found() {
    for opset in [11, 13, 17] {
        let file = mobile(opset);
        let samples = images(24, [3, 16, 16], 5);
        let quantized = run(&file, &NoExternalData, "image", &samples, Keep::None).unwrap();
        // six BatchNormalizations, and a factor and a summand of the convolution on the right
        assert_eq!(quantized.folded, 8);
        assert_eq!(quantized.layers.len(), 9);
        let counts = operators(&quantized.onnx);
        let count = |op: &str| counts.get(op).copied().unwrap_or_default();
        assert_eq!(count("QLinearConv"), 7);
        assert_eq!(count("MatMulInteger"), 2);
        for gone in ["Conv", "Gemm", "MatMul", "BatchNormalization", "Clip", "Relu"] {
            assert_eq!(count(gone), 0, "{gone}");
        }
        // bytes are pooled as bytes where the version has that
        let graph = ModelProto::decode(&quantized.onnx[..]).unwrap().graph.unwrap();
        let of = |op: &str| {
            let mut nodes = graph.node.iter();
            nodes.find(|node| node.op_type.as_deref() == Some(op)).unwrap()
        };
        let joined_as_bytes = of("Concat").output[0] != "both";
        assert_eq!(
            of("MaxPool").output[0] != "pooled",
            joined_as_bytes && opset >= 12
        );
        let other = images(40, [3, 16, 16], 6);
        let result = compare(&quantized, "image", &other, None);
        assert_eq!(result.answers, 40);
        assert!(result.decibels > 25.0, "{} dB", result.decibels);
        assert!(result.agree >= 38, "{} of 40", result.agree);
        check(&quantized, Some(3), &[3, 3, 16, 16], &other);
    }
}

#[test]
fn the_same_comes_out_twice() {
    let samples = images(12, [3, 16, 16], 9);
    let file = mobile(13);
    let [a, b] = [1, 3].map(|threads| {
        synod_numerics::pool::set_threads(threads);
        run(&file, &NoExternalData, "image", &samples, Keep::Most(2)).unwrap()
    });
    assert_eq!(a.onnx, b.onnx);
    assert_eq!(a.layers, b.layers);
}

#[test]
fn layers_can_stay_in_float() {
    let samples = images(12, [3, 16, 16], 10);
    let file = mobile(13);
    let all = run(&file, &NoExternalData, "image", &samples, Keep::None).unwrap();
    let most = run(&file, &NoExternalData, "image", &samples, Keep::Most(3)).unwrap();
    let mut losses: Vec<f64> = all.layers.iter().filter_map(|layer| layer.decibels).collect();
    losses.sort_by(f64::total_cmp);
    let kept: Vec<f64> = most
        .layers
        .iter()
        .filter(|layer| layer.kept)
        .filter_map(|layer| layer.decibels)
        .collect();
    assert_eq!(kept.len(), 3);
    assert!(
        kept.iter().all(|&decibels| decibels <= losses[2]),
        "{kept:?} of {losses:?}"
    );
    let better = compare(&most, "image", &samples, None).decibels;
    let plain = compare(&all, "image", &samples, None).decibels;
    assert!(better > plain, "{better} dB with three in float, {plain} without");

    let named = Keep::Named(vec!["logits".into(), "stem".into()]);
    let named = run(&file, &NoExternalData, "image", &samples, named).unwrap();
    let names: Vec<&str> = named
        .layers
        .iter()
        .filter(|layer| layer.kept)
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(names, ["stem", "logits"]);
    let counts = operators(&named.onnx);
    assert_eq!((counts["Conv"], counts["Gemm"]), (1, 1));
    check(&named, Some(1), &[1, 3, 16, 16], &samples);
}

#[test]
fn as_few_layers_stay_in_float_as_a_bound_asks_for() {
    let samples = images(24, [3, 16, 16], 10);
    let file = mobile(13);
    let with = |keep: Keep| run(&file, &NoExternalData, "image", &samples, keep);
    let plain = compare(&with(Keep::None).unwrap(), "image", &samples, None).decibels;

    // What all layers with integers reach needs none in float.
    let loose = with(Keep::Until(Bound::Decibels(plain - 1.0))).unwrap();
    assert!(loose.layers.iter().all(|layer| !layer.kept));
    assert_eq!(loose.trials.len(), 1);
    assert!(loose.trials[0].met && loose.trials[0].kept == 0);

    let bound = plain + 6.0;
    let tight = with(Keep::Until(Bound::Decibels(bound))).unwrap();
    let kept = tight.layers.iter().filter(|layer| layer.kept).count();
    let reached = compare(&tight, "image", &samples, None).decibels;
    assert!(reached >= bound, "{reached} dB, not {bound}");
    // One fewer was tried and is not enough; they are those that lose most.
    let trial = |count: usize| tight.trials.iter().find(|trial| trial.kept == count).unwrap();
    assert!(
        kept > 0 && trial(kept).met && !trial(kept - 1).met,
        "{:?}",
        tight.trials
    );
    assert!(
        tight
            .trials
            .iter()
            .all(|trial| trial.met == (trial.decibels >= bound))
    );
    assert_eq!(with(Keep::Most(kept)).unwrap().onnx, tight.onnx);
    check(&tight, Some(2), &[2, 3, 16, 16], &samples);

    let error = with(Keep::Until(Bound::Decibels(400.0))).unwrap_err();
    assert!(
        matches!(&error, QuantizeError::BoundNotMet { layers: 9, last, .. } if last.kept == 8 && !last.met),
        "{error}"
    );
    assert!(error.to_string().contains("give a looser bound"));
}

#[test]
fn an_exporters_mobilenet_v2_runs_with_integers() {
    let folder = repository("testing/exports/models/pytorch-dynamo-mobilenet-v2");
    let file = std::fs::read(folder.join("model.onnx")).unwrap();
    let samples = [("image".to_owned(), images(2, [3, 224, 224], 21))];
    // too much to measure here: so what is taken without measurements is tried too
    let options = Options {
        stage_multiply_adds: 0,
        ..Options::default()
    };
    let quantized = quantize(&file, &Recipes, &samples, &options, &mut ()).unwrap();
    assert!(quantized.rounding.bias_correction);
    assert!(quantized.layers.iter().all(|layer| layer.decibels.is_none()));
    let counts = operators(&quantized.onnx);
    assert_eq!((counts["QLinearConv"], counts["MatMulInteger"]), (52, 1));
    assert!(!counts.contains_key("Conv") && !counts.contains_key("BatchNormalization"));
    let result = compare(&quantized, "image", &images(1, [3, 224, 224], 22), None);
    assert!(result.decibels > 15.0, "{} dB", result.decibels);
}

#[test]
fn what_cannot_be_quantised_is_refused_with_a_reason() {
    let file = mobile(13);
    let good = images(4, [3, 16, 16], 1);
    let refuse = |file: &[u8], samples: &Tensor, keep: Keep| {
        run(file, &NoExternalData, "image", samples, keep).unwrap_err()
    };
    let with = |shape: &[usize], value: f32| {
        let mut values = vec![0.5f32; shape.iter().product()];
        if let Some(last) = values.last_mut() {
            *last = value;
        }
        Tensor::from_slice(DType::F32, shape, &values).unwrap()
    };
    let error = refuse(&file, &with(&[2, 3, 16, 16], f32::NAN), Keep::None);
    assert!(
        matches!(error, QuantizeError::SampleNotFinite { element: 1535, .. }),
        "{error}"
    );
    let error = refuse(&file, &with(&[2, 3, 16, 15], 0.0), Keep::None);
    assert!(error.to_string().contains("[batch, 3, 16, 16]"), "{error}");
    assert!(matches!(
        refuse(&file, &with(&[3, 16], 0.0), Keep::None),
        QuantizeError::SampleShape { .. }
    ));
    assert!(matches!(
        refuse(&file, &with(&[0, 3, 16, 16], 0.0), Keep::None),
        QuantizeError::NoSamples { .. }
    ));
    let halves = Tensor::zeros(DType::F64, &[2, 3, 16, 16]).unwrap();
    assert!(matches!(
        refuse(&file, &halves, Keep::None),
        QuantizeError::SampleType {
            expected: DType::F32,
            got: DType::F64,
            ..
        }
    ));
    let error = run(&file, &NoExternalData, "picture", &good, Keep::None).unwrap_err();
    assert!(
        matches!(error, QuantizeError::MissingInput { ref input } if input == "image"),
        "{error}"
    );
    let error = refuse(&file, &good, Keep::Named(vec!["nothing".into()]));
    assert!(error.to_string().contains("project"), "{error}");
    assert!(matches!(
        refuse(&file, &good, Keep::Most(9)),
        QuantizeError::AllKept { layers: 9 }
    ));
    assert!(matches!(
        refuse(&mobile(9), &good, Keep::None),
        QuantizeError::Opset { opset: 9 }
    ));
    assert!(matches!(
        refuse(b"no network", &good, Keep::None),
        QuantizeError::Import(_)
    ));

    let none = Builder::new(13)
        .input("image", &["batch", "4"])
        .node("Relu", &["image"], "y", &[])
        .output("y")
        .encode();
    let error = refuse(&none, &with(&[2, 4], 0.0), Keep::None);
    assert!(error.to_string().contains("Relu"), "{error}");

    let weights = |value: f32| {
        Builder::new(13)
            .input("image", &["batch", "2"])
            .constant("w", &[2, 2], &[1.0, value, 1.0, 1.0])
            .constant("tiny", &[], &[1e-30])
            .node("Div", &["image", "tiny"], "large", &[])
            .node("Div", &["large", "tiny"], "larger", &[])
            .node("MatMul", &["larger", "w"], "y", &[])
            .output("y")
            .encode()
    };
    let error = refuse(&weights(f32::INFINITY), &with(&[2, 2], 0.0), Keep::None);
    assert!(matches!(error, QuantizeError::WeightNotFinite { .. }), "{error}");
    let error = refuse(&weights(1.0), &with(&[2, 2], 1.0), Keep::None);
    assert!(
        matches!(error, QuantizeError::ValueNotFinite { ref name, .. } if name == "larger"),
        "{error}"
    );

    let quantized = run(&file, &NoExternalData, "image", &good, Keep::None).unwrap();
    let error = evaluate(&quantized, &[("image".into(), good)], Some(&[1, 2]), &mut ()).unwrap_err();
    assert!(
        matches!(
            error,
            QuantizeError::Labels {
                labels: 2,
                answers: 4
            }
        ),
        "{error}"
    );
}

/// Weights and samples at the edges of what bytes can say.
#[test]
fn channels_of_zeros_large_biases_and_constant_samples_are_no_trouble() {
    let file = Builder::new(13)
        .input("image", &["batch", "2", "4", "4"])
        .constant("w", &[3, 2, 1, 1], &[0.0, 0.0, 1e-12, 2e-12, 1.0, -1.0])
        .constant("b", &[3], &[5.0, 1000.0, 0.0])
        .node("Conv", &["image", "w", "b"], "y", &[])
        .output("y")
        .encode();
    for value in [0.0f32, 0.75, -2.0] {
        let samples = Tensor::from_slice(DType::F32, &[2, 2, 4, 4], &[value; 64]).unwrap();
        let quantized = run(&file, &NoExternalData, "image", &samples, Keep::None).unwrap();
        let result = compare(&quantized, "image", &samples, None);
        assert!(result.decibels > 40.0, "{value}: {} dB", result.decibels);
        check(&quantized, Some(2), &[2, 2, 4, 4], &samples);
    }
}

/// Trained networks that packages ship (`testing/real-models`), on the inputs of their first call. They say that they are skipped where they
/// are not.
#[test]
fn shipped_networks_still_give_their_answers() {
    let given = std::env::var_os("SYNOD_REAL_MODELS").map(std::path::PathBuf::from);
    let folder = given.clone().unwrap_or_else(|| repository("target/real-models"));
    if !folder.is_dir() {
        assert!(given.is_none(), "{} is not there", folder.display());
        eprintln!("skipped: no models in {}", folder.display());
        return;
    }
    for (name, least_decibels) in [("pp-ocr-v2-cls", 15.0), ("pp-ocr-v4-rec", 10.0)] {
        let case = folder.join(name);
        let file = std::fs::read(case.join("model.onnx")).unwrap();
        let input = std::fs::read(case.join("test_data_set_0/input_0.pb")).unwrap();
        let samples = [synod_model::decode_tensor_proto(&input).unwrap()];
        let options = Options {
            stage_multiply_adds: 0,
            ..Options::default()
        };
        let quantized = quantize(&file, &NoExternalData, &samples, &options, &mut ()).unwrap();
        let result = evaluate(&quantized, &samples, None, &mut ()).unwrap();
        eprintln!(
            "{name}: {} dB, {} of {}",
            result.decibels, result.agree, result.answers
        );
        assert!(result.decibels > least_decibels, "{name}: {} dB", result.decibels);
        assert!(
            result.agree * 10 >= result.answers * 9,
            "{name}: {} of {}",
            result.agree,
            result.answers
        );
        assert!(quantized.onnx.len() * 2 < file.len(), "{name}");
    }
}
