//! Commands that talk to a node, and nodes that cannot start.

use super::{Ran, arg, example, synod};
use serde_json::Value;
use std::{fs, net::TcpListener, path::Path};
use synod_testing::Node;

pub(crate) const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
const OTHER_KEY: &str = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
/// An account that nobody funded.
const POOR_KEY: &str = "0x0000000000000000000000000000000000000000000000000000000000000abc";

pub(crate) async fn node(folder: &Path) -> Node {
    let node = Node::synod(Path::new(env!("CARGO_BIN_EXE_synod")), &folder.join("data")).await;
    node.unwrap_or_else(|error| panic!("{error}"))
}

fn publish(node: &Node, name: &str, key: &str) -> Ran {
    publish_as(node, name, key, "batch<=128", &[])
}

fn publish_as(node: &Node, name: &str, key: &str, dim: &str, more: &[&str]) -> Ran {
    let model = example("cellar/model.onnx");
    let url = node.url();
    let args = [
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
    ];
    synod(args.iter().chain(more))
}

/// A command of `synod model` about names, signed.
fn model(node: &Node, key: &str, args: &[&str]) -> Ran {
    let rest = ["--rpc-url", node.url(), "--private-key", key, "--json"];
    synod(["model"].iter().chain(args).chain(&rest))
}

/// A question about names.
fn ask(node: &Node, args: &[&str]) -> Value {
    let rest = ["--rpc-url", node.url(), "--json"];
    serde_json::from_str(&synod(["model"].iter().chain(args).chain(&rest)).succeeds()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_list_predict_and_pull_agree_with_a_run_here() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let first = publish(&node, "cellar/wine", KEY);
    for said in [
        "analysis f32[batch<=128, 13]",
        "a prediction costs gas",
        "in 4 transactions, gas",
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
async fn names_are_pointed_handed_over_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    publish(&node, "cellar/wine", KEY).succeeds();
    publish_as(&node, "cellar/wine", KEY, "batch=1", &["--keep-latest"]).succeeds();
    let list = ask(&node, &["list"]);
    assert_eq!(
        (&list[0]["version"], &list[0]["count"], &list[0]["status"]),
        (&1.into(), &2.into(), &"active".into())
    );
    let sample = example("cellar/sample.csv");
    let predict = |name: &str| {
        let rest = ["--input", arg(&sample), "--rpc-url", node.url(), "--json"];
        synod(["predict", name].iter().chain(&rest))
    };
    let version = |ran: Ran| {
        let report: Value = serde_json::from_str(&ran.succeeds()).unwrap();
        report["version"].as_u64().unwrap()
    };
    assert_eq!(version(predict("cellar/wine")), 1);

    predict("cellar/wine@stable").refuses(&["cellar/wine@stable"]);
    model(&node, KEY, &["alias", "cellar/wine@2", "stable"]).succeeds();
    assert_eq!(version(predict("cellar/wine@stable")), 2);
    model(&node, KEY, &["alias", "cellar/wine@2", "latest"]).refuses(&["cannot be an alias"]);
    model(&node, OTHER_KEY, &["latest", "cellar/wine@2"]).refuses(&["belongs to"]);
    model(&node, KEY, &["latest", "cellar/wine@stable"]).succeeds();
    assert_eq!(version(predict("cellar/wine@latest")), 2);

    model(
        &node,
        KEY,
        &["deprecate", "cellar/wine@1", "--reason", "old\u{1b}[2J"],
    )
    .succeeds();
    let old = predict("cellar/wine@1");
    assert!(
        old.stderr.contains("version 1 is deprecated: old\\u{1b}[2J"),
        "no control character reaches a terminal: {}",
        old.stderr
    );
    assert_eq!(version(old), 1);
    model(&node, KEY, &["restore", "cellar/wine@1"]).succeeds();
    model(&node, KEY, &["restore", "cellar/wine@1"]).refuses(&["not deprecated"]);
    model(&node, KEY, &["revoke", "cellar/wine", "--reason", "x"]).refuses(&["by its number or id"]);
    model(
        &node,
        KEY,
        &["revoke", "cellar/wine@1", "--reason", "wrong labels"],
    )
    .succeeds();
    predict("cellar/wine@1").refuses(&["revoked", "synod model log cellar/wine"]);
    model(&node, KEY, &["latest", "cellar/wine@1"]).refuses(&["final"]);
    // Its bytes stay.
    let pulled = folder.path().join("pulled");
    let rest = ["--rpc-url", node.url(), "--output-dir", arg(&pulled)];
    let pull = synod(["model", "pull", "cellar/wine@1"].iter().chain(&rest));
    assert!(
        pull.stderr.contains("version 1 is revoked: wrong labels"),
        "{}",
        pull.stderr
    );
    pull.succeeds();

    // The account of OTHER_KEY.
    let other = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
    model(&node, OTHER_KEY, &["accept", "cellar/wine"]).refuses(&["not offered"]);
    model(&node, KEY, &["transfer", "cellar/wine", "--to", other]).succeeds();
    assert_eq!(
        ask(&node, &["log", "cellar/wine"])["offered_to"],
        other.to_lowercase()
    );
    model(&node, OTHER_KEY, &["accept", "cellar/wine"]).succeeds();
    model(&node, KEY, &["transfer", "cellar", "--to", other]).succeeds();
    model(&node, OTHER_KEY, &["accept", "cellar"]).succeeds();
    publish_as(&node, "cellar/wine", KEY, "batch=2", &[]).refuses(&["belongs to"]);

    let log = ask(&node, &["log", "cellar/wine"]);
    assert_eq!(
        (&log["latest"], &log["owner"]),
        (&2.into(), &other.to_lowercase().into())
    );
    let [first, second] = [0, 1].map(|index| &log["versions"][index]);
    assert_eq!(
        (&first["status"], &first["reason"]),
        (&"revoked".into(), &"wrong labels".into())
    );
    assert_eq!(
        (&second["status"], &second["aliases"][0]),
        (&"active".into(), &"stable".into())
    );
    assert!(first["transaction"].is_string() && second["published_at"].as_u64() > Some(0));
    let changes: Vec<&str> = log["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["what"].as_str().unwrap())
        .collect();
    let told = [
        "created",
        "latest: 0 to 1",
        "stable: 0 to 2",
        "latest: 1 to 2",
        "version 1: deprecated to active",
        "version 1: active to revoked: wrong labels",
        &format!("offered to {other}"),
    ];
    for what in told {
        assert!(changes.contains(&what), "{what:?} is missing in {changes:?}");
    }
    let text = synod(["model", "log", "cellar/wine", "--rpc-url", node.url()]).succeeds();
    assert!(
        text.contains("latest, stable") && text.contains("revoked: wrong labels"),
        "{text}"
    );
    synod(["model", "log", "cellar/port", "--rpc-url", node.url()])
        .refuses(&["cellar/port", "synod model list"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn diff_says_what_differs_between_versions_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    publish(&node, "cellar/wine", KEY).succeeds();
    publish_as(&node, "cellar/wine", KEY, "batch=1", &[]).succeeds();
    let versions = ask(&node, &["diff", "cellar/wine@1", "cellar/wine@2"]);
    assert_eq!(versions["signature"][0]["a"], "analysis f32[batch<=128, 13]");
    assert_eq!(versions["signature"][0]["b"], "analysis f32[1, 13]");
    assert_eq!(versions["nodes"]["added"], Value::Array(vec![]));
    assert_eq!(versions["initializers"]["changed"], Value::Array(vec![]));
    assert!(versions["a"]["gas"]["total"].as_u64() > versions["b"]["gas"]["total"].as_u64());

    // One weight is another.
    let pulled = folder.path().join("pulled");
    let rest = ["--rpc-url", node.url(), "--output-dir", arg(&pulled)];
    synod(["model", "pull", "cellar/wine@1"].iter().chain(&rest)).succeeds();
    let weights = pulled.join("weights.bin");
    let mut bytes = fs::read(&weights).unwrap();
    let before = f32::from_le_bytes(bytes[..4].try_into().unwrap());
    bytes[..4].copy_from_slice(&(before + 1.0).to_le_bytes());
    fs::write(&weights, bytes).unwrap();
    let file = pulled.join("model.onnx");
    let changed = ask(&node, &["diff", "cellar/wine@1", arg(&file)]);
    assert_eq!(changed["signature"], Value::Array(vec![]));
    let tensors = changed["initializers"]["changed"].as_array().unwrap();
    assert_eq!((tensors.len(), &tensors[0]["differing"]), (1, &1.into()));
    let largest = tensors[0]["max_absolute"].as_f64().unwrap();
    assert!((largest - 1.0).abs() < 1e-5, "{largest}");
    assert!(
        changed["new_chunks"].as_u64() >= Some(2),
        "the weights and the manifest"
    );
    let text = synod([
        "model",
        "diff",
        "cellar/wine@1",
        arg(&file),
        "--rpc-url",
        node.url(),
    ])
    .succeeds();
    assert!(
        text.contains("1 of") && text.contains("signature: the same"),
        "{text}"
    );

    // Files alone need no node.
    let same = synod([
        "model",
        "diff",
        arg(&file),
        arg(&file),
        "--rpc-url",
        "http://127.0.0.1:1",
    ])
    .succeeds();
    assert!(same.contains("the same model, byte for byte"), "{same}");
    let unknown = [
        "model",
        "diff",
        "cellar/port",
        arg(&file),
        "--rpc-url",
        node.url(),
    ];
    synod(unknown).refuses(&["cellar/port"]);
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

#[tokio::test(flavor = "multi_thread")]
async fn an_update_sends_the_weights_that_differ() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(folder.path()).await;
    let first: Value = serde_json::from_str(&publish(&node, "cellar/wine", KEY).succeeds()).unwrap();
    let rpc = ["--rpc-url", node.url()];
    let pull = |name: &str, to: &str| {
        let to = folder.path().join(to);
        synod([&["model", "pull", name, "--output-dir", arg(&to)][..], &rpc].concat()).succeeds();
        to
    };
    let better = pull("cellar/wine", "better");
    let weights = better.join("weights.bin");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[..4].copy_from_slice(&0.125f32.to_le_bytes());
    fs::write(&weights, &bytes).unwrap();

    let file = better.join("model.onnx");
    let update = |name: &str, from: &str, key: &str, more: &[&str]| {
        let args = [
            "model",
            "publish",
            arg(&file),
            "--name",
            name,
            "--from",
            from,
            "--json",
        ];
        synod([&args[..], &rpc, &["--private-key", key], more].concat())
    };
    let estimate = update("cellar/wine", "cellar/wine@1", KEY, &["--dry-run"]);
    let estimate: Value = serde_json::from_str(&estimate.succeeds()).unwrap();
    assert_eq!(
        (&estimate["form"], &estimate["edits"]),
        (&"patch".into(), &1.into())
    );
    assert_eq!(estimate["transactions"], 1);
    let published: Value =
        serde_json::from_str(&update("cellar/wine", "cellar/wine@1", KEY, &[]).succeeds()).unwrap();
    assert_eq!(
        (&published["version"], &published["chunks_sent"]),
        (&2.into(), &0.into())
    );
    assert_ne!(published["id"], first["id"]);
    let gas = |value: &Value| value.as_u64().unwrap();
    assert!(gas(&published["gas_used"]) <= gas(&estimate["gas"]));
    assert!(gas(&published["gas_used"]) < gas(&first["gas_used"]));

    // What comes back is the file, and its answers are those of a run here.
    let again = pull("cellar/wine@2", "again");
    assert_eq!(fs::read(again.join("weights.bin")).unwrap(), bytes);
    let held_out = example("cellar/heldout.csv");
    let (chain, here) = (folder.path().join("chain"), folder.path().join("here"));
    let predict = [
        "predict",
        "cellar/wine",
        "--input",
        arg(&held_out),
        "--output-dir",
        arg(&chain),
    ];
    synod([&predict[..], &rpc].concat()).succeeds();
    synod([
        "model",
        "run",
        arg(&file),
        "--input",
        arg(&held_out),
        "--output-dir",
        arg(&here),
    ])
    .succeeds();
    let answer = |folder: &Path| fs::read(folder.join("cultivar.npy")).unwrap();
    assert_eq!(answer(&chain), answer(&here));

    // The same again, a base that is not there, somebody else's model.
    update("cellar/wine", "cellar/wine@2", KEY, &[]).refuses(&["already is", "nothing to publish"]);
    update("cellar/wine", "cellar/wine@9", KEY, &[]).refuses(&["cellar/wine@9"]);
    update("cellar/wine", "cellar/wine@1", OTHER_KEY, &[]).refuses(&["belongs to"]);
}
