//! `synod model import`, and Keras files where ONNX files are.

use super::{arg, synod};
use serde_json::Value;
use std::{fs, io::Read as _, path::Path};

/// Unpacks a member of a fixture of `testing/keras` into a folder.
fn unpack(case: &str, member: &str, folder: &Path) -> std::path::PathBuf {
    let archive =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../testing/keras/models/{case}.zip"));
    let mut archive = zip::ZipArchive::new(fs::File::open(archive).unwrap()).unwrap();
    let mut content = Vec::new();
    archive
        .by_name(member)
        .unwrap()
        .read_to_end(&mut content)
        .unwrap();
    let path = folder.join(member);
    fs::write(&path, content).unwrap();
    path
}

#[test]
fn an_import_says_how_far_each_layer_is() {
    let folder = tempfile::tempdir().unwrap();
    for (case, member) in [("functional", "model.keras"), ("functional-h5", "model.h5")] {
        let model = unpack(case, member, folder.path());
        let sample = unpack(case, "sample.npz", folder.path());
        let out = synod([
            "model",
            "import",
            arg(&model),
            "--sample",
            arg(&sample),
            "--tolerance",
            "1e-5",
            "--json",
        ])
        .succeeds();
        let report: Value = serde_json::from_str(&out).unwrap();
        let compared = report["differences"].as_array().unwrap();
        assert!(
            compared.iter().any(|row| row["name"] == "layer:inner") || compared.len() > 3,
            "{out}"
        );
        assert!(
            compared
                .iter()
                .all(|row| row["max_absolute"].as_f64().unwrap() < 1e-4),
            "{out}"
        );
        let layers = report["layers"].as_array().unwrap();
        assert!(
            layers
                .iter()
                .any(|row| row["layer"] == "inner/c1" && row["class"] == "Conv2D"),
            "{out}"
        );
        let written = report["onnx"].as_str().unwrap();
        assert_eq!(written, arg(&folder.path().join("model.onnx")));

        // The file that was written and the one of Keras are the same model to every command.
        let id = |file: &str| {
            let out = synod(["model", "inspect", file, "--dim", "batch<=4", "--json"]).succeeds();
            serde_json::from_str::<Value>(&out).unwrap()["id"].clone()
        };
        assert_eq!(id(written), id(arg(&model)));
    }
}

#[test]
fn a_sample_of_another_model_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sample = unpack("dense", "sample.npz", folder.path());
    let model = unpack("functional", "model.keras", folder.path());
    synod(["model", "import", arg(&model), "--sample", arg(&sample)]).refuses(&["left", "docs/keras.md"]);
    synod(["model", "import", arg(&sample)]).refuses(&["config.json"]);
    let onnx = super::example("cellar/model.onnx");
    synod(["model", "import", arg(&onnx)]).refuses(&["needs no import"]);
}

#[test]
fn a_network_written_as_keras_file_and_as_onnx_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (keras, onnx) = (folder.path().join("n.keras"), folder.path().join("n.onnx"));
    fs::write(&keras, synod_testing::keras::network(3, 16, 7).unwrap()).unwrap();
    fs::write(&onnx, synod_testing::onnx::network(3, 16, 7)).unwrap();
    let input = folder.path().join("x.json");
    let row: Vec<f32> = (0..16u8).map(|index| f32::from(index) - 7.5).collect();
    fs::write(&input, serde_json::json!({ "x": [row] }).to_string()).unwrap();
    let [keras, onnx] = [&keras, &onnx].map(|file| {
        let out = synod(["model", "run", arg(file), "--input", arg(&input), "--json"]).succeeds();
        let report: Value = serde_json::from_str(&out).unwrap();
        report["outputs"][0]["values"].clone()
    });
    assert_eq!(keras, onnx);
    assert_eq!(keras.as_array().unwrap().len(), 16);
}
