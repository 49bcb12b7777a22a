//! Ethereum's own RPC cases, answered from Ethereum's own test chain.
//!
//! `testing/conformance/data/execution-apis` holds a chain of 54 blocks, from Frontier to BPO2, and recorded requests and
//! answers (`METHOD/case.io`: `//` comment, `>>` request, `<<` answer). The chain is imported by the real executor, PREDICT
//! and all, and each request is put to the real methods. Answers are compared as JSON; of errors only the code of a
//! revert and its data are, as the suite's own runner does. Cases marked `speconly` say that an answer must have the
//! right form, not the same values.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::B256;
use serde_json::Value;
use synod_chain::{
    Chain, ChainSpec,
    pool::{Head, Limits as PoolLimits, Pool, PoolError},
};
use synod_rpc::{Backend, Control, DevControl, Limits, Wallet};
use tokio::sync::broadcast;

/// Methods that this node does not have, and why.
const NOT_OFFERED: &[(&str, &str)] = &[(
    "testing_buildBlockV1",
    "for consensus clients under test; this chain has another seam",
)];

/// Cases that this node answers otherwise, and why.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "debug_getRawReceipts/get-block-n.io",
        "before Byzantium a receipt holds the state root after its transaction; the executor keeps the status only",
    ),
    ("eth_getBlockReceipts/get-block-receipts-n.io", "as above"),
    (
        "eth_sendRawTransaction/send-blob-tx.io",
        "this chain keeps no blobs",
    ),
    (
        "eth_simulateV1/ethSimulate-overflow-nonce.io",
        "an account whose nonce is the greatest there is sends nothing; geth's nonce overflows where nothing is validated",
    ),
    (
        "eth_simulateV1/ethSimulate-override-ecrecover.io",
        "a precompile that was moved is warm at its new address; in geth it is cold",
    ),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/conformance/data/execution-apis")
}

fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A node that only reads, and puts what it is sent into its pool.
struct PoolOnly(Arc<Pool>);

impl Control for PoolOnly {
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        self.0.add_raw(raw).map(|added| added.hash)
    }

    fn dev(&self) -> Option<&dyn DevControl> {
        None
    }
}

fn backend() -> Backend {
    let genesis = String::from_utf8(read("genesis.json")).unwrap();
    let chain = Chain::in_memory(ChainSpec::from_json(&genesis).unwrap()).unwrap();
    assert_eq!(chain.import_rlp(&read("chain.rlp")).unwrap(), 54);
    let env = chain.pending_env(chain.head_digest().1);
    let head = Head {
        env,
        accounts: Arc::new(chain.state().unwrap()),
        gas_is_free: false,
    };
    let pool = Arc::new(Pool::new(PoolLimits::default(), head));
    Backend {
        chain,
        control: Arc::new(PoolOnly(pool.clone())),
        pool,
        ready: broadcast::Sender::new(16),
        wallet: Arc::new(Wallet::empty()),
    }
}

/// A recorded exchange of one or more requests.
struct Case {
    name: String,
    spec_only: bool,
    exchanges: Vec<(String, Value)>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let offered = !NOT_OFFERED.iter().any(|(name, _)| method.ends_with(name));
        if !method.is_dir() || !offered {
            continue;
        }
        for file in fs::read_dir(&method).unwrap().map(|entry| entry.unwrap().path()) {
            let text = fs::read_to_string(&file).unwrap();
            let name = file.strip_prefix(folder()).unwrap().display().to_string();
            let mut case = Case {
                name,
                spec_only: false,
                exchanges: Vec::new(),
            };
            let mut request = None;
            for line in text.lines() {
                if let Some(comment) = line.strip_prefix("//") {
                    case.spec_only |= comment.trim_start().starts_with("speconly");
                } else if let Some(sent) = line.strip_prefix(">>") {
                    request = Some(sent.trim().to_owned());
                } else if let Some(answer) = line.strip_prefix("<<") {
                    let sent = request.take().expect("an answer follows a request");
                    case.exchanges.push((sent, serde_json::from_str(answer).unwrap()));
                }
            }
            cases.push(case);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Why an answer is not the recorded one; `None` if it is.
fn difference(case: &Case, expected: &Value, answer: &Value) -> Option<String> {
    match (expected.get("error"), answer.get("error")) {
        (Some(expected), Some(got)) => {
            // A revert is recognised by its code and read from its data; for all else the codes differ between nodes.
            let revert =
                |error: &Value| (error["code"] == 3).then(|| (error["code"].clone(), error["data"].clone()));
            (revert(expected) != revert(got)).then(|| format!("error {expected}\n      not {got}"))
        }
        (None, Some(error)) => Some(format!("an error: {error}")),
        (Some(error), None) => Some(format!("no error, but expected {error}; got {answer}")),
        (None, None) if case.spec_only => same_form("result", &expected["result"], &answer["result"]),
        (None, None) => first_difference("result", &expected["result"], &answer["result"]),
    }
}

fn first_difference(path: &str, expected: &Value, got: &Value) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let keys: BTreeMap<&String, ()> =
                expected.keys().chain(got.keys()).map(|key| (key, ())).collect();
            keys.into_keys().find_map(|key| {
                let (expected, got) = (expected.get(key), got.get(key));
                match (expected, got) {
                    (Some(expected), Some(got)) => first_difference(&format!("{path}.{key}"), expected, got),
                    (Some(expected), None) => Some(format!("{path}.{key} is missing, expected {expected}")),
                    (None, got) => Some(format!("{path}.{key} is not expected: {got:?}")),
                }
            })
        }
        (Value::Array(expected), Value::Array(got)) if expected.len() == got.len() => expected
            .iter()
            .zip(got)
            .enumerate()
            .find_map(|(i, (expected, got))| first_difference(&format!("{path}[{i}]"), expected, got)),
        _ => (expected != got).then(|| format!("{path}: expected {expected}, got {got}")),
    }
}

/// Whether two values have the same kind and, for objects, the fields that are expected.
fn same_form(path: &str, expected: &Value, got: &Value) -> Option<String> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            expected.iter().find_map(|(key, value)| match got.get(key) {
                Some(got) => same_form(&format!("{path}.{key}"), value, got),
                None => Some(format!("{path}.{key} is missing")),
            })
        }
        (Value::Array(_), Value::Array(_)) | (Value::String(_), Value::String(_)) => None,
        (Value::Bool(_), Value::Bool(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Null, Value::Null) => None,
        _ => Some(format!("{path}: expected something like {expected}, got {got}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorded_cases_are_answered_as_recorded() {
    // geth's cap, with which the cases were recorded: it is the gas limit of simulated transactions that name none.
    let limits = Limits {
        call_gas: 50_000_000,
        call_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let methods = synod_rpc::methods(backend(), limits);
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 80, "only {} cases found", cases.len());
    for case in &cases {
        let excused = DEVIATIONS.iter().any(|(name, _)| *name == case.name);
        let mut differences = Vec::new();
        for (request, expected) in &case.exchanges {
            let (answer, _) = methods.raw_json_request(request, 1).await.unwrap();
            let answer: Value = serde_json::from_str(answer.get()).unwrap();
            differences.extend(difference(case, expected, &answer));
        }
        match (differences.is_empty(), excused) {
            (false, false) => wrong.push(format!("{}\n      {}", case.name, differences.join("\n      "))),
            (true, true) => wrong.push(format!(
                "{} passes: take it off the list of deviations",
                case.name
            )),
            _ => {}
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// A parameter of each method that only a development node has.
const DEVELOPMENT: &[(&str, &str)] = &[
    ("evm_mine", "[]"),
    ("evm_mineBlock", "[]"),
    ("anvil_mineDetailed", "[]"),
    ("hardhat_mine", "[]"),
    ("evm_setAutomine", "[true]"),
    ("hardhat_getAutomine", "[]"),
    ("evm_setIntervalMining", "[1000]"),
    ("anvil_setIntervalMining", "[1]"),
    ("anvil_getIntervalMining", "[]"),
    ("evm_snapshot", "[]"),
    ("evm_revert", "[1]"),
    ("hardhat_reset", "[]"),
    ("anvil_rollback", "[]"),
    ("evm_increaseTime", "[1]"),
    ("evm_setNextBlockTimestamp", "[2000000000]"),
    ("evm_setTime", "[2000000000]"),
    ("anvil_setBlockTimestampInterval", "[1]"),
    ("anvil_removeBlockTimestampInterval", "[]"),
    ("hardhat_setCoinbase", "[ADDRESS]"),
    ("hardhat_setNextBlockBaseFeePerGas", "[1]"),
    ("hardhat_setPrevRandao", "[\"0x1\"]"),
    ("evm_setBlockGasLimit", "[1]"),
    ("hardhat_setMinGasPrice", "[\"0x1\"]"),
    ("hardhat_setBalance", "[ADDRESS, \"0x1\"]"),
    ("anvil_addBalance", "[ADDRESS, \"0x1\"]"),
    ("hardhat_setNonce", "[ADDRESS, 1]"),
    ("hardhat_setCode", "[ADDRESS, \"0x\"]"),
    ("hardhat_setStorageAt", "[ADDRESS, \"0x0\", \"0x1\"]"),
    ("anvil_dumpState", "[]"),
    ("anvil_loadState", "[\"0x\"]"),
    ("hardhat_impersonateAccount", "[ADDRESS]"),
    ("hardhat_stopImpersonatingAccount", "[ADDRESS]"),
    ("anvil_autoImpersonateAccount", "[true]"),
    ("hardhat_dropTransaction", "[HASH]"),
    ("anvil_dropAllTransactions", "[]"),
    ("anvil_removePoolTransactions", "[ADDRESS]"),
    ("anvil_nodeInfo", "[]"),
    ("hardhat_metadata", "[]"),
    ("hardhat_setLoggingEnabled", "[true]"),
    ("eth_sendUnsignedTransaction", "[{}]"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_no_development_node_refuses_its_methods() {
    let methods = synod_rpc::methods(backend(), Limits::default());
    let plain = |name: &str| {
        name.split('_')
            .next_back()
            .unwrap_or_default()
            .to_ascii_lowercase()
    };
    // Whatever name a method goes by, it stands in the list under one of its names.
    let listed: Vec<String> = DEVELOPMENT.iter().map(|(name, _)| plain(name)).collect();
    for name in methods.method_names() {
        let development = ["evm_", "hardhat_", "anvil_"]
            .iter()
            .any(|space| name.starts_with(space));
        let alias = plain(name).replace("account", "");
        let known = listed.iter().any(|listed| listed.replace("account", "") == alias);
        assert!(
            !development || known || name.contains("etailed"),
            "{name} is not in the list"
        );
    }
    let (address, hash) = (
        format!("\"0x{}\"", "11".repeat(20)),
        format!("\"0x{}\"", "11".repeat(32)),
    );
    for (name, params) in DEVELOPMENT {
        let params = params.replace("ADDRESS", &address).replace("HASH", &hash);
        let request = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{name}","params":{params}}}"#);
        let (answer, _) = methods.raw_json_request(&request, 1).await.unwrap();
        let answer: Value = serde_json::from_str(answer.get()).unwrap();
        assert_eq!(answer["error"]["code"], -32000, "{name}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains("needs a development node"), "{name}: {message}");
    }
}

#[test]
fn the_openrpc_document_has_every_method_and_no_other() {
    let methods = synod_rpc::methods(backend(), Limits::default());
    let document: Value = serde_json::from_str(synod_rpc::OPENRPC).unwrap();
    let mut described: Vec<&str> = document["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["name"].as_str().unwrap())
        .collect();
    let mut offered: Vec<&str> = methods
        .method_names()
        .filter(|name| name.starts_with("synod_"))
        .collect();
    described.sort_unstable();
    offered.sort_unstable();
    assert_eq!(
        described, offered,
        "crates/rpc/openrpc.json describes the methods of `synod_`"
    );
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    // Every reference leads somewhere.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
}
