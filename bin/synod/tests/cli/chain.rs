//! Commands that talk to a node, and nodes that cannot start.

use super::{Ran, arg, example, synod};
use serde_json::Value;
use std::{fs, net::TcpListener, path::Path};
use synod_testing::Node;

const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OTHER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// An account that nobody funded.
const POOR_KEY: &str = "0x0000000000000000000000000000000000000000000000000000000000000abc";

async fn node(folder: &Path) -> Node {
    let node = Node::synod(Path::new(env!("CARGO_BIN_EXE_synod")), &folder.join("data")).await;
    node.unwrap_or_else(|error| panic!("{error}"))
}

fn publish(node: &Node, name: &str, key: &str) -> Ran {
    let model = example("cellar/model.onnx");
    let (url, dim) = (node.url(), "batch<=128");
    synod([
        "model",
        "publish",
        arg(&model),
        "--dim",
        dim,
        "--name",
        name,
        "--rpc-url",
        url,
        "--private-key",
        key,
        "--json",
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_list_predict_and_pull_agree_with_a_run_here() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let first = publish(&node, "cellar/wine", KEY);
    for said in [
        "analysis f32[batch<=128, 13]",
        "a prediction costs gas",
        "at most 3 chunks, gas",
    ] {
        assert!(
            first.stderr.contains(said),
            "{said:?} is missing in\n{}",
            first.stderr
        );
    }
    let first: Value = serde_json::from_str(&first.succeeds()).unwrap();
    assert_eq!(
        (&first["name"], &first["version"]),
        (&"cellar/wine".into(), &1.into())
    );
    assert!(first["chunks_sent"].as_u64() >= Some(2) && first["gas_used"].as_u64() > Some(21_000));
    // The same again is no error, costs nothing, and sends nothing.
    let again: Value = serde_json::from_str(&publish(&node, "cellar/wine", KEY).succeeds()).unwrap();
    assert_eq!((&again["id"], &again["version"]), (&first["id"], &1.into()));
    assert_eq!(
        (&again["chunks_sent"], &again["gas_used"]),
        (&0.into(), &0.into())
    );
    // Another name for it needs no chunks.
    let other: Value = serde_json::from_str(&publish(&node, "cellar/claret", KEY).succeeds()).unwrap();
    assert_eq!((&other["id"], &other["chunks_sent"]), (&first["id"], &0.into()));

    let list = synod(["model", "list", "--rpc-url", node.url(), "--json"]).succeeds();
    let list: Value = serde_json::from_str(&list).unwrap();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["cellar/wine", "cellar/claret"]);

    let held_out = example("cellar/heldout.csv");
    let (chain, here) = (folder.path().join("chain"), folder.path().join("here"));
    let out = synod([
        "predict",
        "cellar/wine",
        "--input",
        arg(&held_out),
        "--rpc-url",
        node.url(),
        "--output-dir",
        arg(&chain),
        "--json",
    ]);
    let report: Value = serde_json::from_str(&out.succeeds()).unwrap();
    assert_eq!(report["model_id"], first["id"]);
    let gas = &report["gas"];
    let parts = ["transfer", "load", "planning", "execution"].map(|part| gas[part].as_u64().unwrap());
    assert_eq!(gas["total"], parts.iter().sum::<u64>());

    let pulled = folder.path().join("pulled");
    synod([
        "model",
        "pull",
        "cellar/wine@1",
        "--rpc-url",
        node.url(),
        "--output-dir",
        arg(&pulled),
    ])
    .succeeds();
    let model = pulled.join("model.onnx");
    let run = [
        "model",
        "run",
        arg(&model),
        "--input",
        arg(&held_out),
        "--output-dir",
        arg(&here),
        "--json",
    ];
    let run: Value = serde_json::from_str(&synod(run).succeeds()).unwrap();
    assert_eq!(
        run["model_id"], first["id"],
        "what was pulled is the model, byte for byte"
    );
    assert_eq!(
        fs::read(chain.join("cultivar.npy")).unwrap(),
        fs::read(here.join("cultivar.npy")).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn inspect_foretells_what_the_chain_charges() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    for (file, name, input) in [
        ("cellar", "cellar/one", "cellar/sample.csv"),
        ("fleet", "fleet/one", "fleet/sample.npy"),
    ] {
        let model = example(&format!("{file}/model.onnx"));
        let model = [
            "model",
            "inspect",
            arg(&model),
            "--dim",
            "batch=1",
            "--json",
            "--rpc-url",
            node.url(),
        ];
        let foretold: Value = serde_json::from_str(&synod(model).succeeds()).unwrap();
        let publish = [
            "model",
            "publish",
            model[2],
            "--dim",
            "batch=1",
            "--json",
            "--rpc-url",
            node.url(),
        ];
        let signed = ["--private-key", KEY, "--name", name];
        let publish = publish.iter().chain(&signed);
        let published: Value = serde_json::from_str(&synod(publish).succeeds()).unwrap();
        assert_eq!(published["id"], foretold["id"]);
        let (bound, used) = (
            foretold["publishing"]["gas"].as_u64(),
            published["gas_used"].as_u64(),
        );
        assert!(
            used <= bound && bound <= used.map(|gas| 2 * gas),
            "foretold {bound:?}, used {used:?}"
        );

        let sample = example(input);
        let predict = [
            "predict",
            name,
            "--input",
            arg(&sample),
            "--json",
            "--rpc-url",
            node.url(),
        ];
        let report: Value = serde_json::from_str(&synod(predict).succeeds()).unwrap();
        for part in ["load", "planning", "execution"] {
            assert_eq!(report["gas"][part], foretold["gas"][part], "{part} of {name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chain_refuses_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let url = ["--rpc-url", node.url()];
    publish(&node, "cellar/wine", KEY).succeeds();

    publish(&node, "cellar/port", OTHER_KEY).refuses(&["cellar", "belongs to"]);
    publish(&node, "other/wine", POOR_KEY).refuses(&["insufficient funds"]);
    publish(&node, "other/wine", "0x1234").refuses(&["private key", "64 hexadecimal digits"]);
    let sample = example("cellar/sample.csv");
    let predict = |name: &str, input: &Path| synod(["predict", name, "--input", arg(input), url[0], url[1]]);
    predict("cellar/vinegar", &sample).refuses(&["cellar/vinegar", "synod model list"]);
    predict("cellar/wine@2", &sample).refuses(&["cellar/wine@2"]);

    let narrow = folder.path().join("narrow.csv");
    fs::write(&narrow, "1,2,3\n").unwrap();
    predict("cellar/wine", &narrow).refuses(&["narrow.csv", "[1, 3]"]);
    let infinite = folder.path().join("infinite.npy");
    let header = format!(
        "{:<117}\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 13), }"
    );
    let floats = [f32::INFINITY; 13].map(f32::to_le_bytes).concat();
    fs::write(
        &infinite,
        [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &floats].concat(),
    )
    .unwrap();
    predict("cellar/wine", &infinite).refuses(&["element 0", "infinite"]);

    let model = example("cellar/model.onnx");
    let versioned = [
        "model",
        "publish",
        arg(&model),
        "--dim",
        "batch=1",
        "--name",
        "cellar/wine@7",
        url[0],
        url[1],
    ];
    synod(versioned.iter().chain(&["--private-key", KEY])).refuses(&["counts versions itself"]);
    synod(versioned.iter().take(6).chain(&["cellar/wine", url[0], url[1]]))
        .refuses(&["--private-key", "--keystore"]);
}

#[test]
fn a_node_that_is_not_there_is_said_to_be_so() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let url = format!("http://127.0.0.1:{port}");
    synod(["model", "list", "--rpc-url", &url]).refuses(&[&url, "synod dev"]);
    synod(["model", "list", "--rpc-url", "ws://127.0.0.1:1"]).refuses(&["http"]);
    synod(["model", "list", "--rpc-url", "http://"]).refuses(&["http"]);
}

#[test]
fn a_port_in_use_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    synod(["dev", "--port", &port, "--data-dir", arg(folder.path())]).refuses(&[&port, "in use"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = node(folder.path()).await;
    let data = folder.path().join("data");
    synod(["dev", "--port", "0", "--data-dir", arg(&data)]).refuses(&["data", "another"]);
}
