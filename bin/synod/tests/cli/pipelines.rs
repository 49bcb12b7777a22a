//! Texts, pictures and files: published, asked and fetched with commands.

use super::{arg, example, synod};
use crate::chain::{KEY, node};
use serde_json::Value;
use std::{fs, path::Path};
use synod_testing::Node;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Publishes a folder: as its dry run said, and nothing more the second time.
fn published(node: &Node, folder: &Path, name: &str, task: &str) -> Value {
    let publish = |more: &[&str]| {
        let args = [
            "model",
            "publish",
            arg(folder),
            "--name",
            name,
            "--rpc-url",
            node.url(),
        ];
        let rest = ["--private-key", KEY, "--json"];
        synod(args.iter().chain(&rest).chain(more))
    };
    let outlook = json(&publish(&["--dry-run"]).succeeds());
    let published = publish(&[]);
    let said = format!("a pipeline for {task}");
    assert!(published.stderr.contains(&said), "{}", published.stderr);
    let published = json(&published.succeeds());
    assert_eq!(
        (&published["name"], &published["version"]),
        (&name.into(), &1.into())
    );
    let (used, most) = (published["gas_used"].as_u64(), outlook["gas"].as_u64());
    assert!(used <= most, "{used:?} > {most:?}");
    // again: nothing is sent
    let again = json(&publish(&[]).succeeds());
    assert_eq!(
        (&again["id"], &again["chunks_sent"]),
        (&published["id"], &0.into())
    );
    published
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_published_and_a_picture_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let url = node.url();
    let guard = example("gate/model");
    let published = published(&node, &guard, "gate/guard", "image-classification");

    let ask = |picture: &str| {
        let args = [
            "predict",
            "gate/guard",
            "--picture",
            picture,
            "--rpc-url",
            url,
            "--json",
        ];
        json(&synod(args).succeeds())
    };
    for (name, label) in [("7.png", "7"), ("4.jpg", "4"), ("cat.jpg", "none")] {
        let path = example("gate/pictures").join(name);
        let seen = ask(arg(&path));
        assert_eq!(
            (&seen["label"], &seen["model_id"]),
            (&label.into(), &published["id"])
        );
        let args = [
            "file",
            "put",
            arg(&path),
            "--rpc-url",
            url,
            "--private-key",
            KEY,
            "--json",
        ];
        let stored = json(&synod(args).succeeds());
        let again = ask(stored["file"].as_str().unwrap());
        assert_eq!(
            (&again["label"], &again["score"]),
            (&seen["label"], &seen["score"])
        );
    }

    let pulled = folder.path().join("pulled");
    let args = [
        "model",
        "pull",
        "gate/guard",
        "--output-dir",
        arg(&pulled),
        "--rpc-url",
        url,
    ];
    synod(args).succeeds();
    assert!(pulled.join("model/model.onnx").exists() && pulled.join("pipeline.json").exists());

    // numbers, texts and what is no picture are refused in words
    let sample = example("cellar/sample.csv");
    let with = |what: &str, value: &str| synod(["predict", "gate/guard", what, value, "--rpc-url", url]);
    with("--input", arg(&sample)).refuses(&["is a pipeline", "--picture"]);
    with("--text", "seven").refuses(&["image-classification"]);
    with("--picture", arg(&sample)).refuses(&["sample.csv", "not a picture"]);
    with("--picture", "0x0000000000000000000000000000000000000007").refuses(&["synod file put"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_published_and_writes_the_same_text_there_and_here() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let url = node.url();
    let translator = example("translate/en-de");
    let published = published(&node, &translator, "words/en-de", "text-to-text");

    let text = "The apples are good.";
    let ask = |more: &[&str]| {
        let args = [
            "predict",
            "words/en-de",
            "--text",
            text,
            "--rpc-url",
            url,
            "--max-tokens",
            "5",
            "--json",
        ];
        json(&synod(args.iter().chain(more)).succeeds())
    };
    let (there, here) = (ask(&[]), ask(&["--stream"]));
    for field in ["text", "input_tokens", "output_tokens", "finish", "model_id"] {
        assert_eq!(there[field], here[field], "{field}");
    }
    assert_eq!(there["model_id"], published["id"]);
    assert!(there["gas_at_most"].as_u64() > Some(21_000));

    let pulled = folder.path().join("pulled");
    let args = [
        "model",
        "pull",
        "words/en-de",
        "--output-dir",
        arg(&pulled),
        "--rpc-url",
        url,
    ];
    synod(args).succeeds();
    let tokenizer = fs::read(pulled.join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer, fs::read(translator.join("tokenizer.json")).unwrap());
    assert!(pulled.join("encoder/model.onnx").exists() && pulled.join("pipeline.json").exists());

    // numbers and pictures are refused in words
    let sample = example("cellar/sample.csv");
    synod([
        "predict",
        "words/en-de",
        "--input",
        arg(&sample),
        "--rpc-url",
        url,
    ])
    .refuses(&["is a pipeline", "--text"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_stored_once_and_fetched_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let path = folder.path().join("picture.bin");
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    fs::write(&path, &bytes).unwrap();
    let put = || {
        let args = [
            "file",
            "put",
            arg(&path),
            "--rpc-url",
            node.url(),
            "--private-key",
            KEY,
            "--json",
        ];
        json(&synod(args).succeeds())
    };
    let (first, again) = (put(), put());
    assert_eq!(first["file"], again["file"]);
    assert_eq!(
        (&first["bytes"], &again["pieces_sent"]),
        (&300_000.into(), &0.into())
    );
    let out = folder.path().join("again.bin");
    let address = first["file"].as_str().unwrap();
    let get = |address: &str| {
        synod([
            "file",
            "get",
            address,
            "--output",
            arg(&out),
            "--rpc-url",
            node.url(),
        ])
    };
    get(address).succeeds();
    assert_eq!(fs::read(&out).unwrap(), bytes);
    get("0x0000000000000000000000000000000000000007").refuses(&["no file"]);
    let args = [
        "file",
        "put",
        "nowhere.png",
        "--rpc-url",
        node.url(),
        "--private-key",
        KEY,
    ];
    synod(args).refuses(&["nowhere.png"]);
}

#[test]
fn a_folder_that_is_no_pipeline_is_refused_by_file_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let guard = example("gate/model");
    let copy = |name: &str| fs::copy(guard.join(name), folder.path().join(name)).unwrap();
    let publish = || {
        let folder = arg(folder.path());
        synod([
            "model",
            "publish",
            folder,
            "--name",
            "gate/x",
            "--private-key",
            KEY,
        ])
    };
    publish().refuses(&["config.json"]);
    copy("config.json");
    publish().refuses(&["preprocessor_config.json"]);
    copy("preprocessor_config.json");
    publish().refuses(&["model.onnx"]);
    copy("model.onnx");
    let change = |name: &str, edit: &dyn Fn(&mut Value)| {
        let mut value = json(&fs::read_to_string(guard.join(name)).unwrap());
        edit(&mut value);
        fs::write(folder.path().join(name), value.to_string()).unwrap();
    };
    change("preprocessor_config.json", &|rule| rule["do_flip"] = true.into());
    publish().refuses(&["preprocessor_config.json", "do_flip"]);
    copy("preprocessor_config.json");
    change("config.json", &|config| {
        config["id2label"].as_object_mut().unwrap().remove("10");
    });
    publish().refuses(&["labels", "10 labels for 11 classes"]);
    copy("config.json");
    let model = fs::read(guard.join("model.onnx")).unwrap();
    fs::write(folder.path().join("model.onnx"), &model[..model.len() / 2]).unwrap();
    publish().refuses(&["model.onnx"]);
}
