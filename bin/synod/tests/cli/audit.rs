//! `synod audit`: what a past transaction asked, recomputed from proofs alone, and nodes that lie about it.

use super::{arg, example, synod};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use alloy_sol_types::{SolCall as _, SolConstructor as _, SolEvent as _};
use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::{IPredict, ModelRegistry},
    manifest::{Manifest, chunk_size, deployment},
};
use synod_testing::{Node, account};

mod contracts {
    #![allow(missing_docs, unreachable_pub, reason = "generated")]
    alloy_sol_types::sol!(Cellar, "../../examples/cellar/artifacts/Cellar.json");
    alloy_sol_types::sol!(Prober, "../../contracts/artifacts/Prober.json");
}
use contracts::{Cellar, Prober};

const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Gas of a transaction whose estimate would fail.
const GAS: u64 = 20_000_000;

/// A node with the network of the cellar, and what publishing it said.
struct Chain {
    node: Node,
    published: Value,
    _folder: tempfile::TempDir,
}

impl Chain {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_synod"));
        let node = Node::synod(binary, &folder.path().join("data")).await.unwrap();
        let model = example("cellar/model.onnx");
        let mut publish = vec!["model", "publish", arg(&model), "--dim", "batch<=8", "--json"];
        publish.extend([
            "--name",
            "cellar/wine",
            "--rpc-url",
            node.url(),
            "--private-key",
            KEY,
        ]);
        let published = serde_json::from_str(&synod(publish).succeeds()).unwrap();
        Self {
            node,
            published,
            _folder: folder,
        }
    }

    async fn send(&self, from: u32, request: TransactionRequest) -> TransactionReceipt {
        let sent = self.node.signing(from).send_transaction(request).await.unwrap();
        sent.get_receipt().await.unwrap()
    }

    async fn create(&self, code: Vec<u8>) -> Address {
        let request = TransactionRequest {
            to: Some(TxKind::Create),
            input: Bytes::from(code).into(),
            ..Default::default()
        };
        self.send(0, request).await.contract_address.unwrap()
    }

    async fn prober(&self) -> Address {
        let arguments = Prober::constructorCall {
            model: String::new(),
            input: Bytes::new(),
        };
        self.create([&Prober::BYTECODE[..], &arguments.abi_encode()].concat())
            .await
    }

    /// Calls a contract in a transaction, which may fail.
    async fn call(&self, to: Address, data: Vec<u8>) -> B256 {
        let request = TransactionRequest {
            gas: Some(GAS),
            ..request(to, data)
        };
        self.send(0, request).await.transaction_hash
    }

    fn audit(&self, transaction: B256, more: &[&str]) -> Value {
        let text = transaction.to_string();
        let common = ["audit", &text, "--rpc-url", self.node.url(), "--json"];
        let out = synod(common.iter().chain(more)).succeeds();
        serde_json::from_str(&out).unwrap()
    }

    /// An order of wine and its delivery, which the network judges.
    async fn deliver(&self) -> TransactionReceipt {
        let cellar = self.create(Cellar::BYTECODE.to_vec()).await;
        let order = Cellar::orderCall {
            supplier: Address::repeat_byte(0x5a),
            laboratory: account(2).address(),
            promised: 1,
        };
        let order = TransactionRequest {
            value: Some(U256::from(1_000)),
            ..request(cellar, order.abi_encode())
        };
        self.send(1, order).await;
        let deliver = Cellar::deliverCall {
            number: U256::ONE,
            analysis: analysis(1).into(),
        };
        let delivered = self.send(2, request(cellar, deliver.abi_encode())).await;
        assert!(delivered.status());
        delivered
    }
}

fn request(to: Address, data: Vec<u8>) -> TransactionRequest {
    TransactionRequest::default()
        .to(to)
        .input(Bytes::from(data).into())
}

/// Measurements of so many wines, packed.
fn analysis(wines: u8) -> Vec<u8> {
    (0..13 * wines)
        .flat_map(|i| (f32::from(i) / 4.0).to_be_bytes())
        .collect()
}

/// A command that reports, and then says that bits differ.
#[track_caller]
fn differs(ran: super::Ran, parts: &[&str]) -> String {
    assert_eq!(ran.code, Some(4), "{}{}", ran.stdout, ran.stderr);
    let error = ran.stderr.lines().last().unwrap_or_default();
    assert!(error.starts_with("error: the bits differ: "), "{}", ran.stderr);
    for part in parts {
        assert!(error.contains(part), "{part:?} is missing in: {error}");
    }
    ran.stdout
}

/// All that one transaction's report must say if everything agrees.
#[track_caller]
fn agrees(report: &Value, predicts: usize) {
    assert_eq!(report["receipt"]["equal"], true, "{report:#}");
    assert_eq!(report["effects"]["equal"], true, "{report:#}");
    assert_eq!(report["trace"]["equal"], true, "{report:#}");
    let found = report["predicts"].as_array().unwrap();
    assert_eq!(found.len(), predicts, "{report:#}");
    assert!(found.iter().all(|predict| predict["verdict"] == "equal"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_learns_which_weights_gave_an_answer_and_who_put_them_there() {
    let chain = Chain::start().await;
    let delivered = chain.deliver().await;
    let found = delivered.logs().iter().find_map(|log| {
        let confirmed = Cellar::Confirmed::decode_log(&log.inner).map(|event| event.found);
        let refused = Cellar::Refused::decode_log(&log.inner).map(|event| event.found);
        confirmed.or(refused).ok()
    });
    let transaction = delivered.transaction_hash;

    let report = chain.audit(transaction, &[]);
    agrees(&report, 1);
    assert_eq!(report["block"]["finality"]["by"], "node");
    assert_eq!(report["gas_used"], delivered.gas_used);
    assert!(
        report["effects"]["slots"].as_u64() >= Some(1) && report["effects"]["accounts"].as_u64() >= Some(3)
    );
    let predict = &report["predicts"][0];
    assert_eq!(
        (&predict["function"], &predict["depth"]),
        (&"classify".into(), &1.into())
    );
    assert_eq!(predict["caller"], json!(delivered.to.unwrap()));
    assert_eq!(predict["input"]["bytes"], 52);
    assert_eq!(predict["input"]["keccak256"], json!(keccak256(analysis(1))));
    let said = format!("label {}, score ", found.unwrap());
    assert!(
        predict["answer"].as_str().unwrap().starts_with(&said),
        "{predict:#}"
    );
    let model = &predict["model"];
    assert_eq!(model["asked"], "cellar/wine@1");
    assert_eq!(
        (&model["name"], &model["version"]),
        (&"cellar/wine".into(), &1.into())
    );
    assert_eq!(model["id"], chain.published["id"]);
    assert_eq!(model["publisher"], json!(account(0).address()));
    assert_eq!(model["published_in"]["proof"], "node");
    let by: B256 = serde_json::from_value(model["published_in"]["transaction"].clone()).unwrap();
    let publication = chain
        .node
        .provider()
        .get_transaction_receipt(by)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(publication.to, Some(MODEL_REGISTRY));

    // Any arithmetic gives these bits, and a folder of proven code saves fetching it again.
    let cache = tempfile::tempdir().unwrap();
    let reference = chain.audit(
        transaction,
        &["--engine", "reference", "--cache-dir", arg(cache.path())],
    );
    assert_eq!(reference["predicts"][0]["output"], predict["output"]);
    assert_eq!(reference["replay"]["engine"], "reference");
    let files = || {
        fs::read_dir(cache.path())
            .unwrap()
            .map(|file| file.unwrap().path())
    };
    let chunk = files()
        .find(|path| fs::read(path).unwrap().starts_with(&[0]))
        .expect("chunks begin with STOP");
    // Damage to it is found and repaired.
    fs::write(&chunk, b"\0vinegar").unwrap();
    let cached = chain.audit(transaction, &["--cache-dir", arg(cache.path())]);
    assert_eq!(cached["predicts"], report["predicts"]);
    assert_ne!(fs::read(&chunk).unwrap(), b"\0vinegar");

    // For people.
    let hash = delivered.block_hash.unwrap().to_string();
    let text = transaction.to_string();
    let command = [
        "audit",
        &text,
        "--rpc-url",
        chain.node.url(),
        "--block-hash",
        &hash,
    ];
    let shown = synod(command).succeeds();
    for part in [
        "succeeded",
        "the block's hash is the one you gave",
        "receipt    EQUAL",
        "writes     EQUAL",
        "predict 1 of 1: classify, STATICCALL at depth 1",
        "cellar/wine@1",
        "verdict    EQUAL",
        &by.to_string(),
        &said,
    ] {
        assert!(shown.contains(part), "{part:?} is missing in\n{shown}");
    }
    let other = B256::repeat_byte(1).to_string();
    let command = [
        "audit",
        &text,
        "--rpc-url",
        chain.node.url(),
        "--block-hash",
        &other,
    ];
    synod(command).refuses(&["block", &hash, &other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn predicts_of_every_kind_are_recomputed() {
    let chain = Chain::start().await;
    let prober = chain.prober().await;
    let (model, input) = ("cellar/wine".to_owned(), Bytes::from(analysis(1)));

    // Three of one model: loading is paid once.
    let thrice = Prober::thriceCall {
        model: model.clone(),
        input: input.clone(),
    };
    let report = chain.audit(chain.call(prober, thrice.abi_encode()).await, &[]);
    agrees(&report, 3);
    let gas = |report: &Value, index: usize| report["predicts"][index]["gas_used"].as_u64().unwrap();
    assert!(gas(&report, 0) > gas(&report, 1) && gas(&report, 1) == gas(&report, 2));

    // In a frame that is reverted, and again after it.
    let again = Prober::afterRevertCall {
        model: model.clone(),
        input: input.clone(),
    };
    let report = chain.audit(chain.call(prober, again.abi_encode()).await, &[]);
    agrees(&report, 2);
    assert_eq!(report["predicts"][0]["undone"], true);
    assert_eq!(report["predicts"][1]["undone"], false);
    assert_eq!(
        gas(&report, 0),
        gas(&report, 1),
        "the mark of loading is undone as well"
    );

    // In a transaction that fails.
    let fails = Prober::runAndRevertCall {
        model: model.clone(),
        input: input.clone(),
    };
    let report = chain.audit(chain.call(prober, fails.abi_encode()).await, &[]);
    agrees(&report, 1);
    assert_eq!(
        (&report["succeeded"], &report["predicts"][0]["undone"]),
        (&false.into(), &true.into())
    );

    // Refused, and the contract goes on.
    let refused = Prober::caughtCall {
        model: model.clone(),
        input: vec![1, 2, 3].into(),
    };
    let report = chain.audit(chain.call(prober, refused.abi_encode()).await, &[]);
    agrees(&report, 1);
    assert_eq!(
        (&report["succeeded"], &report["predicts"][0]["outcome"]),
        (&true.into(), &"refused".into())
    );
    assert!(report["predicts"][0]["answer"].as_str().unwrap().contains('3'));

    // A batch, straight from an account; bounded, by id; a question; nobody's name; no call of the interface.
    let id: B256 = serde_json::from_value(chain.published["id"].clone()).unwrap();
    let batch = IPredict::runBatchCall {
        model: model.clone(),
        inputs: vec![analysis(1).into(), analysis(3).into()],
    };
    let report = chain.audit(chain.call(PREDICT, batch.abi_encode()).await, &[]);
    agrees(&report, 1);
    assert_eq!(
        (
            &report["predicts"][0]["function"],
            &report["predicts"][0]["depth"]
        ),
        (&"runBatch".into(), &0.into())
    );

    let by_id = IPredict::runIdCall {
        id,
        input: input.clone(),
    };
    let bounded = IPredict::withMaxGasCall {
        maxGas: 10_000_000,
        call: by_id.abi_encode().into(),
    };
    let report = chain.audit(chain.call(PREDICT, bounded.abi_encode()).await, &[]);
    agrees(&report, 1);
    let predict = &report["predicts"][0];
    assert_eq!(
        (&predict["function"], &predict["max_gas"]),
        (&"runId".into(), &10_000_000.into())
    );
    assert_eq!(
        (&predict["model"]["name"], &predict["model"]["version"]),
        (&"cellar/wine".into(), &1.into())
    );
    assert_eq!(predict["output"]["bytes"], 12, "three packed floats");
    assert!(
        predict["answer"].as_str().unwrap().starts_with("cultivar ["),
        "{predict:#}"
    );
    assert_eq!(predict["model"]["publisher"], json!(account(0).address()));

    let question = IPredict::quoteCall { model: model.clone() };
    let report = chain.audit(chain.call(PREDICT, question.abi_encode()).await, &[]);
    agrees(&report, 1);
    assert_eq!(report["predicts"][0]["prediction"], false);

    let nobody = IPredict::runCall {
        model: "cellar/vinegar".into(),
        input: input.clone(),
    };
    let report = chain.audit(chain.call(PREDICT, nobody.abi_encode()).await, &[]);
    agrees(&report, 1);
    assert_eq!(report["predicts"][0]["model"]["id"], Value::Null);
    let report = chain.audit(chain.call(PREDICT, vec![1, 2, 3]).await, &[]);
    agrees(&report, 1);

    // A transfer asks nothing.
    let transfer = request(Address::repeat_byte(9), vec![]).value(U256::from(7));
    let sent = chain.send(3, transfer).await.transaction_hash.to_string();
    let shown = synod(["audit", &sent, "--rpc-url", chain.node.url()]).succeeds();
    assert!(shown.contains("the transaction asks no network"), "{shown}");
}

/// The name stands for another model before and after the block, and for yet another in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_means_what_it_meant_at_that_moment() {
    let chain = Chain::start().await;
    let prober = chain.prober().await;
    let options = synod_model::ImportOptions {
        dims: [("batch".to_owned(), synod_model::DimSetting::AtMost(3))].into(),
        ..Default::default()
    };
    let file = fs::read(example("cellar/model.onnx")).unwrap();
    let model = synod_model::import_onnx(&file, &synod_model::NoExternalData, &options).unwrap();
    let (manifest, chunks) = Manifest::cut(&model.graph, &model.weights, chunk_size(128 << 10));
    // The weights' chunk is there already, of the other model with the same weights.
    let mut deployments = Vec::new();
    for code in chunks.iter().chain([&manifest.encode()]) {
        let address = synod_evm::manifest::address_of(code);
        if chain
            .node
            .provider()
            .get_code_at(address)
            .await
            .unwrap()
            .is_empty()
        {
            deployments.push(deployment(code));
        }
    }
    let once = Prober::publishAndRunCall {
        name: "prober/fresh".into(),
        deployments,
        manifest: manifest.address(),
        input: analysis(1).into(),
    };
    let transaction = chain.call(prober, once.abi_encode()).await;
    let other = ModelRegistry::publishIdCall {
        name: "other/name".into(),
        id: serde_json::from_value(chain.published["id"].clone()).unwrap(),
    };
    chain.call(MODEL_REGISTRY, other.abi_encode()).await;
    let report = chain.audit(transaction, &[]);
    // `publish` has the engine validate, then the network runs: published and asked in one transaction.
    agrees(&report, 2);
    assert_eq!(report["predicts"][0]["function"], "validate");
    let predict = &report["predicts"][1];
    assert_eq!(predict["model"]["id"], model.id().to_string());
    assert_eq!(predict["model"]["publisher"], json!(prober));
    assert_eq!(
        predict["model"]["published_in"]["transaction"],
        json!(transaction)
    );
    assert!(
        predict["answer"].as_str().unwrap().starts_with("cultivar ["),
        "{predict:#}"
    );
}

/// What a lying node changes in its answers: method, parameters, answer.
type Lie = Box<dyn Fn(&str, &Value, &mut Value) + Send + Sync>;

/// A node that passes questions on and lies in its answers.
struct Liar {
    url: String,
    relay: Arc<Relay>,
}

struct Relay {
    upstream: String,
    lie: Lie,
    /// How often it was asked something; several questions may come in one exchange.
    exchanges: AtomicUsize,
}

impl Liar {
    async fn start(upstream: &str, lie: impl Fn(&str, &Value, &mut Value) + Send + Sync + 'static) -> Self {
        let relay = Arc::new(Relay {
            upstream: upstream.into(),
            lie: Box::new(lie),
            exchanges: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(pass_on)).with_state(relay.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, relay }
    }
}

async fn pass_on(State(relay): State<Arc<Relay>>, Json(question): Json<Value>) -> Json<Value> {
    relay.exchanges.fetch_add(1, Ordering::Relaxed);
    let request = reqwest::Client::new()
        .post(&relay.upstream)
        .header("content-type", "application/json")
        .body(question.to_string());
    let answer = request.send().await.unwrap().text().await.unwrap();
    let mut answer: Value = serde_json::from_str(&answer).unwrap();
    let lie = |question: &Value, answer: &mut Value| {
        (relay.lie)(
            question["method"].as_str().unwrap(),
            &question["params"],
            &mut answer["result"],
        );
    };
    match (&question, &mut answer) {
        // Questions of one exchange are numbered upwards, as are the answers.
        (Value::Array(questions), Value::Array(answers)) => {
            answers.sort_by_key(|answer| answer["id"].as_u64());
            questions
                .iter()
                .zip(answers)
                .for_each(|(question, answer)| lie(question, answer));
        }
        (question, answer) => lie(question, answer),
    }
    Json(answer)
}

/// Changes one hexadecimal digit, this many from the end.
fn flip(text: &mut Value, from_end: usize) {
    let mut digits: Vec<char> = text.as_str().unwrap().chars().collect();
    let at = digits.len() - 1 - from_end;
    digits[at] = if digits[at] == '0' { '1' } else { '0' };
    *text = digits.into_iter().collect::<String>().into();
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_found_out() {
    let chain = Chain::start().await;
    let transaction = chain.deliver().await.transaction_hash.to_string();
    let audit = |liar: &Liar| synod(["audit", &transaction, "--rpc-url", &liar.url]);
    let liar = |lie: fn(&str, &Value, &mut Value)| Liar::start(chain.node.url(), lie);

    // Honest, as a check of the relay.
    audit(&liar(|_, _, _| {}).await).succeeds();

    // The trace: the answer, its gas, a call left out.
    let other_output = liar(|method, _, answer| {
        if method == "debug_traceTransaction" {
            flip(&mut answer["calls"][0]["output"], 0);
        }
    });
    let shown = differs(
        audit(&other_output.await),
        &[
            "predict 1",
            "another output from byte 63 on",
            "trace that is wrong",
        ],
    );
    assert!(
        shown.contains("verdict    DIFFERENT") && shown.contains("receipt    EQUAL"),
        "{shown}"
    );
    let other_gas = liar(|method, _, answer| {
        if method == "debug_traceTransaction" {
            answer["calls"][0]["gasUsed"] = "0x1".into();
        }
    });
    differs(audit(&other_gas.await), &["1 gas"]);
    let left_out = liar(|method, _, answer| {
        if method == "debug_traceTransaction" {
            answer["calls"] = json!([]);
        }
    });
    differs(
        audit(&left_out.await),
        &["has 0 calls of the precompile, the transaction makes 1"],
    );
    // No trace is no lie: what the block commits to was compared all the same.
    let none = liar(|method, _, answer| {
        if method == "debug_traceTransaction" {
            *answer = json!({ "calls": 7 });
        }
    });
    let shown = audit(&none.await).succeeds();
    assert!(shown.contains("trace      not compared"), "{shown}");

    // The state: a byte of a chunk, a proof of an account, of a slot, a value.
    let other_weights = liar(|method, _, answer| {
        if method == "eth_getCode" && answer.as_str().unwrap().starts_with("0x00") {
            flip(answer, 0);
        }
    });
    audit(&other_weights.await).refuses(&["the node's code of", "do not trust this node"]);
    let false_account = liar(|method, _, answer| {
        if method == "eth_getProof" {
            flip(&mut answer["accountProof"][0], 3);
        }
    });
    audit(&false_account.await).refuses(&["proof of account", "do not trust this node"]);
    let richer = liar(|method, _, answer| {
        if method == "eth_getProof" {
            answer["balance"] = "0x123456789abcdef".into();
        }
    });
    audit(&richer.await).refuses(&["proof of account"]);
    let false_slot = liar(|method, _, answer| {
        if method == "eth_getProof" && answer["storageProof"][0]["proof"][0].is_string() {
            flip(&mut answer["storageProof"][0]["proof"][0], 3);
        }
    });
    audit(&false_slot.await).refuses(&["proof of slot", "do not trust this node"]);
    let no_slot = liar(|method, _, answer| {
        if method == "eth_getProof" {
            answer["storageProof"] = json!([]);
        }
    });
    audit(&no_slot.await).refuses(&["proof of slot"]);

    // The block: its header, its transactions, where the transaction is.
    let other_block = liar(|method, _, answer| {
        if method == "debug_getRawBlock" {
            flip(answer, 200);
        }
    });
    audit(&other_block.await).refuses(&["do not trust this node"]);
    let other_parent = liar(|method, params, answer| {
        // by its hash; the first block is asked for by its number
        if method == "debug_getRawHeader" && params[0].to_string().len() > 60 {
            flip(answer, 0);
        }
    });
    audit(&other_parent.await).refuses(&["header", "do not trust this node"]);
    let first_block = liar(|method, _, answer| {
        if method == "debug_getRawHeader" {
            flip(answer, 0);
        }
    });
    audit(&first_block.await).refuses(&["begins with", "--genesis"]);
    let elsewhere = liar(|method, _, answer| {
        if method == "eth_getTransactionReceipt" {
            answer["blockHash"] = json!(B256::repeat_byte(7));
        }
    });
    audit(&elsewhere.await).refuses(&["header not found"]);

    // Who published it.
    let other_publication = liar(|method, _, answer| {
        if method == "synod_getInclusionProof" {
            flip(&mut answer["receipt"], 0);
        }
    });
    audit(&other_publication.await).refuses(&["publication", "proves nothing"]);
    let unknown = liar(|method, _, answer| {
        if method == "eth_getLogs" {
            *answer = json!([]);
        }
    });
    let shown = audit(&unknown.await).succeeds();
    assert!(shown.contains("in a transaction that was not found"), "{shown}");

    // A node that no longer has the state.
    let pruned = liar(|method, _, answer| {
        if method == "eth_getProof" {
            *answer = Value::Null;
        }
    });
    audit(&pruned.await).refuses(&["does not tell the state of block", "ask a node that keeps it"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_block_reads_is_proven_in_few_exchanges() {
    let chain = Chain::start().await;
    // A publication reads and writes many slots and all pieces of the network.
    let published = chain.published["transaction"].as_str().unwrap();
    let audited = async |lie: fn(&str, &Value, &mut Value)| {
        let node = Liar::start(chain.node.url(), lie).await;
        let out = synod(["audit", published, "--rpc-url", &node.url, "--json"]).succeeds();
        let report: Value = serde_json::from_str(&out).unwrap();
        (
            node.relay.exchanges.load(Ordering::Relaxed),
            report["replay"].clone(),
        )
    };
    let (few, replay) = audited(|_, _, _| {}).await;
    let entries = ["accounts", "slots"].map(|what| replay[what].as_u64().unwrap());
    assert!(entries.iter().sum::<u64>() > 30, "{replay}");
    assert!(few <= 40, "{few} exchanges for {replay}");
    // Nothing rests on what the node says that the block reads: it may say nothing, or what is not so.
    for lie in [
        (|method: &str, _: &Value, answer: &mut Value| {
            if method == "debug_traceBlockByHash" {
                *answer = Value::Null;
            }
        }) as fn(&str, &Value, &mut Value),
        |method, _, answer| {
            if method == "debug_traceBlockByHash" {
                let (somebody, slot) = (Address::repeat_byte(0x77), B256::repeat_byte(1));
                *answer = json!([{ "result": { somebody.to_string(): { "storage": { slot.to_string(): slot } } } }]);
            }
        },
    ] {
        let (many, _) = audited(lie).await;
        assert!(many > few + 10, "{many} exchanges, and {few} with a hint");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_node_is_not_waited_for() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It takes connections and says nothing.
    let silence = tokio::spawn(async move {
        let mut taken = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            taken.push(connection);
        }
    });
    let transaction = B256::repeat_byte(3).to_string();
    let ran = tokio::task::spawn_blocking(move || {
        synod(["audit", &transaction, "--rpc-url", &url, "--rpc-timeout", "1"])
    });
    ran.await
        .unwrap()
        .refuses(&["silent for 1 s", "--rpc-timeout gives it longer"]);
    silence.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_audited_is_refused_with_the_way_out() {
    let chain = Chain::start().await;
    let folder = tempfile::tempdir().unwrap();
    let url = ["--rpc-url", chain.node.url()];
    let nothing = B256::repeat_byte(3).to_string();
    synod(["audit", &nothing, url[0], url[1]]).refuses(&["knows no transaction", "1337"]);
    assert_eq!(synod(["audit", "0x12", url[0], url[1]]).code, Some(2));

    let waiting = Node::synod_with(
        Path::new(env!("CARGO_BIN_EXE_synod")),
        &folder.path().join("waiting"),
        &["--no-mining".as_ref()],
    )
    .await
    .unwrap();
    let transfer = request(Address::repeat_byte(9), vec![]);
    let sent = waiting.signing(0).send_transaction(transfer).await.unwrap();
    let hash = sent.tx_hash().to_string();
    synod(["audit", &hash, "--rpc-url", waiting.url()]).refuses(&["in no block yet"]);

    // Under other rules other bits come out: a genesis file whose first block is the same, but not the price of call data.
    let transaction = chain.deliver().await.transaction_hash.to_string();
    let mut genesis = serde_json::to_value(synod_chain::spec::dev_genesis()).unwrap();
    let write = |name: &str, genesis: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, genesis.to_string()).unwrap();
        arg(&path).to_owned()
    };
    let right = write("right.json", &genesis);
    synod(["audit", &transaction, url[0], url[1], "--genesis", &right]).succeeds();
    genesis["config"]["synod"]["gas"]["calldataByte"] = 3.into();
    let cheap = write("cheap.json", &genesis);
    let shown = differs(
        synod(["audit", &transaction, url[0], url[1], "--genesis", &cheap]),
        &["receipt", "gas until then"],
    );
    assert!(shown.contains("receipt    DIFFERENT"), "{shown}");
    genesis["gasLimit"] = "0x20000000".into();
    let other = write("other.json", &genesis);
    synod(["audit", &transaction, url[0], url[1], "--genesis", &other])
        .refuses(&["begins with", "--genesis"]);
    genesis["config"]["chainId"] = 7.into();
    let other = write("another.json", &genesis);
    synod(["audit", &transaction, url[0], url[1], "--genesis", &other]).refuses(&["chain 7", "1337"]);
}
