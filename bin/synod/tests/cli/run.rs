//! `synod model run` and `inspect` on the worked examples, with good and bad inputs.

use super::{arg, example, synod};
use serde_json::Value;
use std::fs;

const DIM: [&str; 2] = ["--dim", "batch<=256"];

#[test]
fn a_table_a_list_and_an_array_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (model, csv) = (example("cellar/model.onnx"), example("cellar/sample.csv"));
    let numbers = fs::read_to_string(&csv)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    let json = folder.path().join("input.json");
    fs::write(&json, format!("{{\"analysis\": [[{numbers}]]}}")).unwrap();
    let npy = folder.path().join("input.npy");
    let floats: Vec<u8> = numbers
        .split(',')
        .flat_map(|x| x.parse::<f32>().unwrap().to_le_bytes())
        .collect();
    let header = format!(
        "{:<117}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 13), }"
    );
    fs::write(
        &npy,
        [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &floats].concat(),
    )
    .unwrap();

    let hash = |input: &str| {
        let out = synod(["model", "run", arg(&model), "--input", input, "--json"]).succeeds();
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["outputs"][0]["name"], "cultivar");
        assert_eq!(report["outputs"][0]["shape"], serde_json::json!([1, 3]));
        assert_eq!(report["outputs"][0]["values"].as_array().unwrap().len(), 3);
        report["outputs"][0]["keccak256"].clone()
    };
    let expected = hash(arg(&csv));
    assert_eq!(hash(arg(&json)), expected);
    assert_eq!(hash(arg(&npy)), expected);
    assert_eq!(hash(&format!("analysis={}", arg(&npy))), expected);
}

#[test]
fn outputs_are_written_as_arrays_and_the_reference_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let (fast, slow) = (folder.path().join("fast"), folder.path().join("slow"));
    let (model, held_out) = (example("fleet/model.onnx"), example("fleet/heldout.npy"));
    let common = ["model", "run", arg(&model), "--input", arg(&held_out)];
    synod(common.iter().chain(&["--output-dir", arg(&fast)])).succeeds();
    synod(common.iter().chain(&["--output-dir", arg(&slow), "--reference"])).succeeds();
    let (fast, slow) = (
        fs::read(fast.join("ride.npy")).unwrap(),
        fs::read(slow.join("ride.npy")).unwrap(),
    );
    assert_eq!(fast.len(), 128 + 160 * 2 * 4);
    assert_eq!(fast, slow);
}

#[test]
fn inspect_says_what_a_model_is_and_costs() {
    let model = example("fleet/model.onnx");
    let text = synod(["model", "inspect", arg(&model), DIM[0], DIM[1]]).succeeds();
    for part in [
        "window f32[batch<=256, 6, 25]",
        "ride f32[batch<=256, 2]",
        "1,838",
        "Conv",
        "GlobalAveragePool",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let json = synod(["--json", "model", "inspect", arg(&model), DIM[0], DIM[1]]).succeeds();
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["parameters"], 1838);
    let gas = &report["gas"];
    let sum = ["load", "planning", "execution"]
        .map(|part| gas[part].as_u64().unwrap())
        .iter()
        .sum::<u64>();
    assert_eq!(gas["total"], sum);
    let pinned = synod(["--json", "model", "inspect", arg(&model), "--dim", "batch=1"]).succeeds();
    let pinned: Value = serde_json::from_str(&pinned).unwrap();
    assert!(pinned["multiply_adds"].as_u64() < report["multiply_adds"].as_u64());
    assert_ne!(pinned["id"], report["id"], "another signature is another model");
}

#[test]
fn bad_inputs_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let model = example("cellar/model.onnx");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let doubles = format!(
        "{:<117}\n",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 13), }"
    );
    let doubles = [b"\x93NUMPY\x01\x00\x76\x00", doubles.as_bytes(), &[0; 104]].concat();
    let row = |count: usize| vec!["1"; count].join(",");
    for (path, parts) in [
        (
            file("narrow.csv", row(12).as_bytes()),
            &["narrow.csv", "[1, 12]", "analysis", "f32[", "13"][..],
        ),
        (
            file("nan.csv", format!("{},nan", row(12)).as_bytes()),
            &["number 13", "nan"],
        ),
        (
            file("word.csv", format!("1\n{}", row(13)).as_bytes()),
            &["word.csv"],
        ),
        (file("doubles.npy", &doubles), &["f64", "astype", "float32"]),
        (file("cut.npy", &doubles[..150]), &["cut.npy", "cut off"]),
        (file("empty.npy", b""), &["empty.npy"]),
        (
            file("ragged.json", b"[[1, 2], [3]]"),
            &["ragged.json", "differ in length"],
        ),
        (file("input.txt", b"1"), &["input.txt", ".npy"]),
        (file("broken.npz", b"PK"), &["broken.npz"]),
        (
            folder.path().join("missing.npy"),
            &["missing.npy", "No such file"],
        ),
    ] {
        synod(["model", "run", arg(&model), DIM[0], DIM[1], "--input", arg(&path)]).refuses(parts);
    }
    let sample = example("cellar/sample.csv");
    let named = format!("grapes={}", arg(&sample));
    synod(["model", "run", arg(&model), "--dim", "batch=1", "--input", &named])
        .refuses(&["grapes", "analysis"]);
    synod(["model", "run", arg(&model), "--dim", "batch=1"]).refuses(&["analysis", "--input"]);
    let sample = format!("--input={}", arg(&sample));
    let twice = ["model", "run", arg(&model), "--dim", "batch=1", &sample, &sample];
    synod(twice).refuses(&["one input too many"]);
    let large = example("cellar/heldout.csv");
    let bounded = [
        "model",
        "run",
        arg(&model),
        "--dim",
        "batch<=8",
        "--input",
        arg(&large),
    ];
    synod(bounded).refuses(&["[72, 13]", "batch<=8"]);
}

/// A length-delimited protobuf field, short enough for one byte of key and one of length.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short");
    assert!(number < 16 && length < 128);
    [&[number << 3 | 2, length], content].concat()
}

/// `y = Reshape(x, shape)` with `x` f32[rows, columns] and `shape` i64[2], both inputs: field numbers of `onnx.proto`.
fn reshape() -> Vec<u8> {
    let value = |name: &str, element: u8, dims: &[Vec<u8>]| {
        let shape: Vec<u8> = dims.iter().flat_map(|dim| field(1, dim)).collect();
        let tensor = [&[0x08, element][..], &field(2, &shape)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    };
    let (rows, columns, two) = (field(2, b"rows"), field(2, b"columns"), vec![0x08, 2]);
    let node = [
        field(1, b"x"),
        field(1, b"shape"),
        field(2, b"y"),
        field(4, b"Reshape"),
    ]
    .concat();
    let graph = [
        field(1, &node),
        field(2, b"g"),
        field(11, &value("x", 1, &[rows, columns])),
        field(11, &value("shape", 7, &[two])),
        field(12, &value("y", 1, &[field(2, b"long"), field(2, b"wide")])),
    ];
    [vec![0x08, 8], field(7, &graph.concat()), field(8, &[0x10, 17])].concat()
}

#[test]
fn what_a_file_leaves_to_its_inputs_is_settled_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        arg(&path).to_owned()
    };
    let (model, x) = (
        write("reshape.onnx", &reshape()),
        write("x.json", b"[[1, 2, 3], [4, 5, 6]]"),
    );
    let shape = write("shape.json", b"[3, 2]");
    let out = synod(["model", "run", &model, "--input", &x, "--input", &shape, "--json"]).succeeds();
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["outputs"][0]["shape"], serde_json::json!([3, 2]));
    assert_eq!(
        report["outputs"][0]["values"],
        serde_json::json!([1, 2, 3, 4, 5, 6])
    );
    // Without the inputs the shape of the output stays open, which is no reason to refuse the model.
    synod([
        "model",
        "inspect",
        &model,
        "--dim",
        "rows=2",
        "--dim",
        "columns=3",
    ])
    .succeeds();
    let wrong = write("wrong.json", b"[4, 2]");
    synod(["model", "run", &model, "--input", &x, "--input", &wrong]).refuses(&["Reshape"]);
}
