//! Files that are not models, or not models for this chain.

use super::{arg, example, synod};
use std::{fs, path::Path};

/// The wine network with one byte string replaced by another of the same length.
fn patched(from: &[u8], to: &[u8], path: &Path) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(example("cellar/model.onnx")).expect("the example is there");
    let at = bytes
        .windows(from.len())
        .rposition(|window| window == from)
        .expect("the bytes occur");
    bytes[at..at + to.len()].copy_from_slice(to);
    fs::write(path, bytes).expect("the temporary folder takes a file");
}

fn inspect(path: &Path) -> super::Ran {
    synod(["model", "inspect", arg(path), "--dim", "batch=1"])
}

#[test]
fn what_is_no_onnx_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for content in [
        &b"hello, I am not a network"[..],
        b"",
        &[0xff; 64],
        b"\x89PNG\r\n\x1a\n0000000000",
    ] {
        fs::write(&path, content).unwrap();
        inspect(&path).refuses(&["model.onnx"]);
    }
    inspect(&folder.path().join("missing.onnx")).refuses(&["missing.onnx", "No such file"]);
    inspect(folder.path()).refuses(&["is a folder", "synod model publish"]);
}

#[test]
fn truncated_files_are_refused_wherever_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let whole = fs::read(example("cellar/model.onnx")).expect("the example is there");
    for length in [1, 10, whole.len() / 3, whole.len() / 2, whole.len() - 40] {
        fs::write(&path, &whole[..length]).unwrap();
        inspect(&path).refuses(&["model.onnx"]);
    }
}

#[test]
fn unknown_operators_and_opsets_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    patched(b"\"\x04Relu", b"\"\x04Grow", &path);
    inspect(&path).refuses(&["Grow", "node 3"]);
    // opset_import { version: 17 } becomes 127.
    patched(&[0x42, 0x02, 0x10, 0x11], &[0x42, 0x02, 0x10, 0x7f], &path);
    inspect(&path).refuses(&["opset 127"]);
}

#[test]
fn free_dimensions_need_a_bound() {
    let model = example("cellar/model.onnx");
    synod(["model", "inspect", arg(&model)]).refuses(&["analysis", "free", "--dim 'batch<=", "'batch="]);
    synod([
        "model",
        "inspect",
        arg(&model),
        "--dim",
        "batch=1",
        "--dim",
        "rows=1",
    ])
    .refuses(&["rows"]);
    synod([
        "model",
        "inspect",
        arg(&model),
        "--dim",
        "batch=1",
        "--dim",
        "batch=2",
    ])
    .refuses(&["batch", "twice"]);
    synod(["model", "inspect", arg(&model), "--dim", "batch<=9000000000000"]).refuses(&["model.onnx"]);
}

#[test]
fn weights_that_do_not_match_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    // The first weight matrix is declared [16, 13]; [16, 12] needs fewer bytes than there are.
    patched(&[0x08, 0x10, 0x08, 0x0d], &[0x08, 0x10, 0x08, 0x0c], &path);
    inspect(&path).refuses(&["hidden.weight"]);
}
