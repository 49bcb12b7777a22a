//! `synod model run --profile`, `compare` and `diff-run`.

use super::{Ran, arg, example, synod};
use serde_json::Value;
use std::{fs, path::Path};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in\n{text}"))
}

/// A command that reports and then says with its exit code that something differs.
#[track_caller]
fn differs(ran: Ran, parts: &[&str]) -> String {
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    let error = ran.stderr.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: "), "{}", ran.stderr);
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    ran.stdout
}

#[test]
fn a_profile_says_where_time_and_gas_go() {
    let (model, input) = (example("fleet/model.onnx"), example("fleet/sample.npy"));
    let common = ["model", "run", arg(&model), "--input", arg(&input), "--profile"];
    let text = synod(common).succeeds();
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for part in ["Conv", "Gemm", "gas", "█", "fastest of"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let report = json(&synod(common.iter().chain(&["--json"])).succeeds());
    let profile = &report["profile"];
    let steps = profile["steps"].as_array().unwrap();
    let times: Vec<f64> = steps
        .iter()
        .map(|step| step["seconds"].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "slowest first: {times:?}");
    let shares: f64 = steps.iter().map(|step| step["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    // the gas is that of the schedule, as `inspect` has it at the same shapes
    let batch = format!("batch={}", report["outputs"][0]["shape"][0]);
    let inspected = json(&synod(["--json", "model", "inspect", arg(&model), "--dim", &batch]).succeeds());
    assert_eq!(profile["gas"], inspected["gas"]["execution"]);
}

#[test]
fn every_engine_gives_the_same_bits_with_any_number_of_threads() {
    let (model, input) = (example("fleet/model.onnx"), example("fleet/heldout.npy"));
    let hash = |more: &[&str]| {
        let common = ["--json", "model", "run", arg(&model), "--input", arg(&input)];
        let report = json(&synod(common.iter().chain(more)).succeeds());
        report["outputs"][0]["keccak256"].clone()
    };
    let expected = hash(&["--engine", "reference"]);
    for engine in ["fast", "scalar", "sse2"] {
        for threads in ["1", "2", "3", "8"] {
            let got = hash(&["--engine", engine, "--threads", threads]);
            assert_eq!(got, expected, "{engine}, {threads} threads");
        }
    }
    let none = [
        "model",
        "run",
        arg(&model),
        "--input",
        arg(&input),
        "--threads",
        "0",
    ];
    assert_eq!(synod(none).code, Some(2));
}

/// Changes one bit of the last element of an array.
fn change_last_element(npy: &Path) {
    let mut bytes = fs::read(npy).expect("the file was just written");
    let last = bytes.len() - 4;
    bytes[last] ^= 1;
    fs::write(npy, bytes).expect("a folder of our own");
}

#[test]
fn outputs_of_another_runtime_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (model, input) = (example("fleet/model.onnx"), example("fleet/sample.npy"));
    let out = arg(folder.path());
    let common = ["--input", arg(&input)];
    synod(
        ["model", "run", arg(&model), "--output-dir", out]
            .iter()
            .chain(&common),
    )
    .succeeds();
    let theirs = folder.path().join("ride.npy");
    let compare = |more: &[&str]| {
        let start = ["model", "compare", arg(&model), "--with", arg(&theirs)];
        synod(start.iter().chain(&common).chain(more))
    };
    let same = json(&compare(&["--json", "--tolerance", "0"]).succeeds());
    assert_eq!(same["outputs"][0]["differing"], 0);
    assert_eq!(same["outputs"][0]["max_ulps"], 0);

    change_last_element(&theirs);
    let text = differs(compare(&["--tolerance", "0"]), &["ride", "tolerance of 0"]);
    assert!(
        text.contains("where") && text.lines().all(|line| line.chars().count() <= 100),
        "{text}"
    );
    let report = json(&compare(&["--json", "--tolerance", "1e-3"]).succeeds());
    let output = &report["outputs"][0];
    assert_eq!(
        (&output["differing"], &output["max_ulps"]),
        (&1.into(), &1.into())
    );
    assert_eq!(output["at"]["index"].as_array().unwrap().last(), Some(&1.into()));
    // without a tolerance it is a report, not a judgement
    compare(&[]).succeeds();
    let named = format!("speed={}", arg(&theirs));
    synod(
        ["model", "compare", arg(&model), "--with", &named]
            .iter()
            .chain(&common),
    )
    .refuses(&["no output", "speed", "ride"]);
    synod(
        ["model", "compare", arg(&model), "--with", arg(&input)]
            .iter()
            .chain(&common),
    )
    .refuses(&["ride", "shape"]);
}

#[test]
fn the_first_node_that_differs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (model, input) = (example("fleet/model.onnx"), example("fleet/sample.npy"));
    let diff_run = |more: &[&str]| {
        let start = ["model", "diff-run", arg(&model), "--input", arg(&input)];
        synod(start.iter().chain(more))
    };
    // two arithmetics of this machine
    assert!(diff_run(&[]).succeeds().contains("the same bits"));
    let sse2 = json(&diff_run(&["--json", "--with", "sse2", "--threads", "2"]).succeeds());
    assert!(
        sse2["tensors"].as_u64() > Some(3) && sse2["first"].is_null(),
        "{sse2}"
    );

    // a machine that agrees
    let trace = folder.path().join("out.trace");
    diff_run(&["--trace", arg(&trace), "--values", "--engine", "reference"]).succeeds();
    let report = json(&diff_run(&["--json", "--against", arg(&trace)]).succeeds());
    assert!(
        report["there"].as_str().unwrap().starts_with("reference on "),
        "{report}"
    );

    // a machine that has one bit of one tensor otherwise, and so all that follow from it
    let text = fs::read_to_string(&trace).unwrap();
    let mut lines: Vec<Value> = text.lines().map(json).collect();
    let common: Vec<u64> = {
        let fast = folder.path().join("fast.trace");
        diff_run(&["--trace", arg(&fast)]).succeeds();
        let text = fs::read_to_string(fast).unwrap();
        text.lines()
            .skip(1)
            .map(|line| json(line)["node"].as_u64().unwrap())
            .collect()
    };
    let wanted = common[common.len() / 2];
    for line in lines
        .iter_mut()
        .skip(1)
        .filter(|line| line["node"].as_u64() >= Some(wanted))
    {
        let digest = line["digest"].as_str().unwrap();
        let first = if digest.starts_with('0') { "1" } else { "0" };
        line["digest"] = format!("{first}{}", &digest[1..]).into();
        let values = line["values"].as_str().unwrap();
        let lowest = u8::from_str_radix(&values[..2], 16).unwrap() ^ 1;
        line["values"] = format!("{lowest:02x}{}", &values[2..]).into();
    }
    let write = |lines: &[Value]| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&trace, text).unwrap();
    };
    write(&lines);
    let node = format!("node {wanted} ");
    let text = differs(diff_run(&["--against", arg(&trace)]), &[&node]);
    assert!(
        text.contains("is the first that differs") && text.contains("element [0"),
        "{text}"
    );
    let report = json(&differs(
        diff_run(&["--json", "--against", arg(&trace)]),
        &[&node],
    ));
    let first = &report["first"];
    assert_eq!(first["node"], wanted);
    let bits = |side: &str| u32::from_str_radix(first["element"][side].as_str().unwrap(), 16).unwrap();
    assert_eq!(bits("bits_here") ^ bits("bits_there"), 1);

    // without elements the node is named all the same
    lines
        .iter_mut()
        .for_each(|line| drop(line.as_object_mut().unwrap().remove("values")));
    write(&lines);
    let text = differs(diff_run(&["--against", arg(&trace)]), &[&node]);
    assert!(text.contains("--values"), "{text}");

    // a trace of something else
    let other = example("cellar/model.onnx");
    let sample = example("cellar/sample.csv");
    synod([
        "model",
        "diff-run",
        arg(&other),
        "--input",
        arg(&sample),
        "--against",
        arg(&trace),
    ])
    .refuses(&["the trace is of the model"]);
    write(&lines[..lines.len() - 1]);
    diff_run(&["--against", arg(&trace)]).refuses(&["it was cut off"]);
    fs::write(&trace, "{}").unwrap();
    diff_run(&["--against", arg(&trace)]).refuses(&["is not a trace"]);
}
