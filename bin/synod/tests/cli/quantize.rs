//! `synod model quantize`.

use super::{arg, example, synod};
use serde_json::Value;
use std::fs;

#[test]
fn a_network_is_quantised_compared_and_published_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("fleet.int8.onnx");
    let (model, samples) = (example("fleet/model.onnx"), example("fleet/heldout.npy"));
    let labels = example("fleet/labels.csv");
    let common = [
        "model",
        "quantize",
        arg(&model),
        "--calibration",
        arg(&samples),
        "--evaluate",
        arg(&samples),
        "--labels",
        arg(&labels),
        "-o",
        arg(&out),
    ];
    let text = synod(common).succeeds();
    for part in ["loses most", "size", "gas", "top-1", "points", "Conv", "Gemm"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let report = synod(common.iter().chain(&["--json", "--keep-float", "1"])).succeeds();
    let report: Value = serde_json::from_str(&report).unwrap();
    let (float, int8) = (&report["float"], &report["int8"]);
    let correct = |of: &Value| of["correct"].as_u64().unwrap();
    assert_eq!(report["evaluation"]["answers"], 160);
    assert!(correct(float) > 150, "{report}");
    assert!(correct(int8) + 2 >= correct(float), "{report}");
    let kept = |row: &&Value| row["kept_float"] == true;
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(layers.iter().filter(kept).count(), 1);
    assert_eq!(layers[0]["kept_float"], true, "what loses most comes first");

    let bounded = common.iter().chain(&["--keep-float", "auto:55dB"]);
    let text = synod(bounded).succeeds();
    for part in ["at least 55 dB over its error", "not met", "classes changed"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let usual = synod(common.iter().chain(&["--json", "--keep-float", "auto"])).succeeds();
    let usual: Value = serde_json::from_str(&usual).unwrap();
    let last = usual["trials"].as_array().unwrap().last().unwrap();
    assert!(last["changed"].as_u64().unwrap() <= 1, "of 160, {usual}");
    synod(common.iter().chain(&["--json", "--keep-float", "1"])).succeeds();

    // what was written is the model of the report to every command
    let inspected = synod(["model", "inspect", arg(&out), "--dim", "batch=1", "--json"]).succeeds();
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["id"], int8["model_id"]);
    assert_eq!(inspected["gas"]["total"], int8["gas"]);
    let operators = inspected["operators"].as_array().unwrap();
    assert!(operators.iter().any(|row| row["operator"] == "QLinearConv"));
}

#[test]
fn what_does_not_go_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, samples) = (example("cellar/model.onnx"), example("cellar/heldout.csv"));
    let quantize = |more: &[&str]| synod(["model", "quantize", arg(&model)].iter().chain(more));
    let given = ["--calibration", arg(&samples)];
    quantize(&[&given[..], &["-o", arg(&model)]].concat()).refuses(&["replace"]);
    quantize(&[&given[..], &["--keep-float", "nothing"]].concat()).refuses(&["/hidden/Gemm"]);
    let nonsense = quantize(&[&given[..], &["--keep-float", "auto:little"]].concat());
    assert_eq!(nonsense.code, Some(2));
    assert!(
        nonsense.stderr.contains("`little` is no bound"),
        "{}",
        nonsense.stderr
    );
    quantize(&[&given[..], &["--keep-float", "auto:500dB"]].concat()).refuses(&["looser bound"]);
    quantize(&["--calibration", arg(&example("fleet/heldout.npy"))])
        .refuses(&["[batch, 13]", "[160, 6, 25]"]);
    let few = folder.path().join("labels.csv");
    fs::write(&few, "1\n0\n").unwrap();
    let with_labels = ["--evaluate", arg(&samples), "--labels", arg(&few)];
    quantize(&[&given[..], &with_labels].concat()).refuses(&["2 labels", "72 answers"]);
    let words = folder.path().join("words.csv");
    fs::write(&words, "class\n0.5\n").unwrap();
    let with_labels = ["--evaluate", arg(&samples), "--labels", arg(&words)];
    quantize(&[&given[..], &with_labels].concat()).refuses(&["whole numbers"]);
}
