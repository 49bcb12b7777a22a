//! A node in this process: started, asked, stopped, started again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use alloy_primitives::{B256, Bytes, U256, keccak256};
use jsonrpsee::{
    core::client::{ClientT, Error, Subscription, SubscriptionClientT},
    http_client::{HttpClient, HttpClientBuilder},
    rpc_params,
    ws_client::WsClientBuilder,
};
use serde_json::{Value, json};
use synod_chain::{
    ChainSpec,
    council::{self, COUNCIL, Validator},
    spec::{dev_accounts, dev_genesis},
};
use synod_evm::{
    addresses::CHUNK_FACTORY,
    manifest::{chunk_code, deployment},
};
use synod_node::{Mining, Node, NodeConfig, NodeError};
use tempfile::TempDir;

#[path = "node/dev.rs"]
mod dev;
#[path = "node/history.rs"]
mod history;
#[path = "node/hostile.rs"]
mod hostile;

struct World {
    node: Node,
    client: HttpClient,
    folder: TempDir,
}

impl World {
    async fn start(configure: impl FnOnce(&mut NodeConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = NodeConfig::dev(folder.path());
        configure(&mut config);
        let node = Node::start(config).await.unwrap();
        let client = HttpClientBuilder::default()
            .build(format!("http://{}", node.http_addr()))
            .unwrap();
        Self { node, client, folder }
    }

    async fn ask(&self, method: &str, params: Value) -> Result<Value, Error> {
        let Value::Array(params) = params else {
            panic!("parameters are an array")
        };
        self.client.request(method, params).await
    }

    async fn send(&self, transaction: Value) -> String {
        let hash = self
            .ask("eth_sendTransaction", json!([transaction]))
            .await
            .unwrap();
        hash.as_str().unwrap().to_owned()
    }

    /// Waits for a receipt; the test's own timeout is the only clock.
    async fn receipt(&self, hash: &str) -> Value {
        loop {
            let receipt = self
                .ask("eth_getTransactionReceipt", json!([hash]))
                .await
                .unwrap();
            if !receipt.is_null() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn accounts(&self) -> Vec<Value> {
        let accounts = self.ask("eth_accounts", json!([])).await.unwrap();
        accounts.as_array().unwrap().clone()
    }
}

fn code(error: &Error) -> i32 {
    match error {
        Error::Call(object) => object.code(),
        other => panic!("not an answer of the node: {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_mined_is_there_after_a_restart() {
    let world = World::start(|_| ()).await;
    let accounts = world.accounts().await;
    let hash = world
        .send(json!({"from": accounts[0], "to": accounts[1], "value": "0x7"}))
        .await;
    let receipt = world.receipt(&hash).await;
    assert_eq!(receipt["status"], "0x1");
    let World { node, folder, .. } = world;
    node.stop().await.unwrap();

    let node = Node::start(NodeConfig::dev(folder.path())).await.unwrap();
    let client = HttpClientBuilder::default()
        .build(format!("http://{}", node.http_addr()))
        .unwrap();
    let again: Value = client
        .request("eth_getTransactionReceipt", rpc_params![hash])
        .await
        .unwrap();
    assert_eq!(again, receipt);
    let head: Value = client.request("eth_blockNumber", rpc_params![]).await.unwrap();
    assert_eq!(head, receipt["blockNumber"]);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_folder_or_the_port_says_so_and_harms_nothing() {
    let world = World::start(|_| ()).await;
    let same_folder = Node::start(NodeConfig::dev(world.folder.path()))
        .await
        .unwrap_err();
    assert!(matches!(same_folder, NodeError::Open { .. }), "{same_folder}");
    assert!(
        same_folder.to_string().contains("another node uses this folder"),
        "{same_folder}"
    );

    let other = TempDir::new().unwrap();
    let mut config = NodeConfig::dev(other.path().join("data"));
    config.port = world.node.http_addr().port();
    let same_port = Node::start(config).await.unwrap_err();
    assert!(matches!(same_port, NodeError::PortInUse(_)), "{same_port}");
    assert!(
        !other.path().join("data").exists(),
        "the port is tried before the folder is made"
    );

    assert_eq!(world.ask("eth_blockNumber", json!([])).await.unwrap(), "0x0");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_standard_codes() {
    let world = World::start(|_| ()).await;
    let cases = [
        ("eth_noSuchMethod", json!([]), -32601),
        ("eth_getBalance", json!(["0x12", "latest"]), -32602),
        ("eth_getBalance", json!([]), -32602),
        (
            "eth_getBalance",
            json!([format!("0x{}", "00".repeat(20)), "0xffffff"]),
            -32000,
        ),
        ("eth_sendRawTransaction", json!(["0x02c0"]), -32000),
        ("eth_sendRawTransaction", json!(["0x"]), -32000),
        ("eth_feeHistory", json!(["0x1", "latest", [50, 20]]), -32602),
        ("eth_getFilterChanges", json!(["0x1234"]), -32000),
        (
            "eth_sendTransaction",
            json!([{"from": format!("0x{}", "11".repeat(20))}]),
            -32000,
        ),
        // A contract whose constructor is REVERT(0, 0).
        ("eth_call", json!([{"data": "0x5f5ffd"}]), 3),
        // INVALID.
        ("eth_call", json!([{"data": "0xfe"}]), -32000),
    ];
    for (method, params, expected) in cases {
        let error = world.ask(method, params.clone()).await.expect_err(method);
        assert_eq!(code(&error), expected, "{method} {params}: {error}");
    }
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_with_endless_calls_does_not_keep_another_waiting() {
    let world = World::start(|config| config.rpc.workers = 1).await;
    // JUMPDEST PUSH1 0 JUMP: burns whatever gas it gets, in the only place for long work.
    let burn = json!([{"data": "0x5b5f56", "gas": "0x4000000"}]);
    let busy = WsClientBuilder::default()
        .build(format!("ws://{}", world.node.http_addr()))
        .await
        .unwrap();
    let busy = std::sync::Arc::new(busy);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (busy, burn) = (busy.clone(), burn.clone());
            tokio::spawn(async move {
                let Value::Array(params) = burn else {
                    unreachable!()
                };
                busy.request::<Value, _>("eth_call", params).await
            })
        })
        .collect();
    // Reads and transactions go through while the place is taken and a line stands before it.
    let accounts = world.accounts().await;
    let raw = world
        .ask("eth_getBalance", json!([accounts[0], "latest"]))
        .await
        .unwrap();
    assert_ne!(raw, "0x0");
    assert_eq!(world.ask("eth_blockNumber", json!([])).await.unwrap(), "0x0");
    for call in calls {
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(code(&error), -32000, "{error}");
    }
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn interval_mining_makes_blocks_by_the_clock_and_manual_mining_when_told() {
    let world = World::start(|config| config.mining = Mining::Interval(Duration::from_millis(20))).await;
    let socket = WsClientBuilder::default()
        .build(format!("ws://{}", world.node.http_addr()))
        .await
        .unwrap();
    let mut heads: Subscription<Value> = socket
        .subscribe("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe")
        .await
        .unwrap();
    let first = heads.next().await.unwrap().unwrap();
    let second = heads.next().await.unwrap().unwrap();
    assert_eq!(second["parentHash"], first["hash"]);
    world.node.stop().await.unwrap();

    let world = World::start(|config| config.mining = Mining::Manual).await;
    let accounts = world.accounts().await;
    let hash = world
        .send(json!({"from": accounts[0], "to": accounts[1], "value": "0x7"}))
        .await;
    let pending = world
        .ask("eth_getTransactionByHash", json!([hash]))
        .await
        .unwrap();
    assert_eq!(pending["blockNumber"], Value::Null);
    assert_eq!(
        world
            .ask("eth_getTransactionCount", json!([accounts[0], "latest"]))
            .await
            .unwrap(),
        "0x0"
    );
    assert_eq!(
        world
            .ask("eth_getTransactionCount", json!([accounts[0], "pending"]))
            .await
            .unwrap(),
        "0x1"
    );
    assert_eq!(
        world.ask("txpool_status", json!([])).await.unwrap(),
        json!({"pending": "0x1", "queued": "0x0"})
    );
    world.ask("evm_mine", json!([])).await.unwrap();
    assert_eq!(world.receipt(&hash).await["blockNumber"], "0x1");
    assert_eq!(
        world.ask("txpool_status", json!([])).await.unwrap(),
        json!({"pending": "0x0", "queued": "0x0"})
    );
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_transaction_shows_its_steps() {
    let world = World::start(|_| ()).await;
    let accounts = world.accounts().await;
    // Deploys code that is empty: PUSH0 PUSH0 RETURN.
    let hash = world.send(json!({"from": accounts[0], "data": "0x5f5ff3"})).await;
    assert_eq!(world.receipt(&hash).await["status"], "0x1");
    let trace = world.ask("debug_traceTransaction", json!([hash])).await.unwrap();
    let steps: Vec<_> = trace["structLogs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["op"].clone())
        .collect();
    assert_eq!(steps, ["PUSH0", "PUSH0", "RETURN"]);
    let calls = world
        .ask("debug_traceTransaction", json!([hash, {"tracer": "callTracer"}]))
        .await
        .unwrap();
    assert_eq!(calls["type"], "CREATE");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pending_block_is_the_next_one_with_what_waits() {
    let world = World::start(|config| config.mining = Mining::Manual).await;
    let accounts = world.accounts().await;
    let get = async |tag: &str, full: bool| {
        let block = world.ask("eth_getBlockByNumber", json!([tag, full])).await;
        block.unwrap()
    };
    let latest = get("latest", false).await;
    let empty = get("pending", false).await;
    assert_eq!(empty["number"], "0x1");
    assert_eq!(empty["parentHash"], latest["hash"]);
    assert_eq!(empty["stateRoot"], latest["stateRoot"]);
    assert_eq!(empty["transactions"], json!([]));
    let first = world
        .send(json!({"from": accounts[0], "to": accounts[1], "value": "0x7"}))
        .await;
    let second = world
        .send(json!({"from": accounts[0], "to": accounts[1], "value": "0x8"}))
        .await;
    let pending = get("pending", false).await;
    assert_eq!(pending["transactions"], json!([first, second]));
    let full = get("pending", true).await;
    assert_eq!(full["transactions"][1]["value"], "0x8");
    let count = |method: &'static str| world.ask(method, json!(["pending"]));
    assert_eq!(
        count("eth_getBlockTransactionCountByNumber").await.unwrap(),
        "0x2"
    );
    assert_eq!(count("eth_getBlockReceipts").await.unwrap(), Value::Null);
    let by_index = world.ask(
        "eth_getTransactionByBlockNumberAndIndex",
        json!(["pending", "0x0"]),
    );
    assert_eq!(by_index.await.unwrap()["hash"], first.as_str());
    let nonce = world.ask("eth_getTransactionCount", json!([accounts[0], "pending"]));
    assert_eq!(nonce.await.unwrap(), "0x2");
    let nonce = world.ask("eth_getTransactionCount", json!([accounts[0], "latest"]));
    assert_eq!(nonce.await.unwrap(), "0x0");
    // A call there runs in the next block: NUMBER, MSTORE, RETURN.
    let number = json!({"data": "0x435f5260205ff3"});
    let call = async |tag: &str| {
        let answer = world.ask("eth_call", json!([number, tag])).await.unwrap();
        u64::from_str_radix(&answer.as_str().unwrap()[2..], 16).unwrap()
    };
    assert_eq!((call("latest").await, call("pending").await), (0, 1));
    // The block that comes has the promised number, fee and transactions.
    world.ask("evm_mine", json!([])).await.unwrap();
    let mined = get("latest", false).await;
    for field in [
        "number",
        "parentHash",
        "baseFeePerGas",
        "gasLimit",
        "transactions",
    ] {
        assert_eq!(mined[field], pending[field], "{field}");
    }
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_names_the_precompile_and_its_contracts() {
    let world = World::start(|_| ()).await;
    let config = world.ask("eth_config", json!([])).await.unwrap();
    let current = &config["current"];
    assert_eq!(current["activationTime"], 0);
    assert_eq!(current["chainId"], "0x539");
    let predict = "0x000000000000000000000000000000000000ae01";
    assert_eq!(current["precompiles"]["PREDICT"], predict);
    let registry = "0x000000000000000000000000000000000000ae02";
    assert_eq!(current["systemContracts"]["MODEL_REGISTRY_ADDRESS"], registry);
    assert_eq!(current["systemContracts"].as_object().unwrap().len(), 6);
    assert_eq!(config["next"], Value::Null);
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_gets_more_gas_than_the_node_gives() {
    let world = World::start(|config| config.rpc.call_gas = 1_000_000).await;
    // Without end: JUMPDEST PUSH0 JUMP. The caller asks for all the gas there is.
    let endless = json!({"data": "0x5b5f56", "gas": "0xffffffffffffffff"});
    for method in ["eth_call", "eth_estimateGas", "eth_createAccessList"] {
        let answer = world.ask(method, json!([endless, "latest"])).await;
        let said = match &answer {
            Err(error) => error.to_string(),
            Ok(value) => value.to_string(),
        };
        assert!(
            said.contains("out of gas") || said.contains("allowance"),
            "{method}: {said}"
        );
    }
    // GAS, as it is seen inside: MSTORE, RETURN.
    let gas = json!({"data": "0x5a5f5260205ff3", "gas": "0xffffffffffffffff"});
    let left = world.ask("eth_call", json!([gas])).await.unwrap();
    let left = u64::from_str_radix(left.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    assert!((900_000..1_000_000).contains(&left), "{left}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_cut_off_and_its_thread_is_free() {
    let world = World::start(|config| {
        config.rpc.call_time = Duration::from_millis(100);
        config.rpc.workers = 1;
        // Gas enough for minutes, in a block that allows it.
        config.rpc.call_gas = u64::MAX;
        let mut genesis = config.spec.genesis().clone();
        genesis.gas_limit = 1 << 50;
        config.spec = synod_chain::ChainSpec::from_genesis(genesis).unwrap();
    })
    .await;
    let start = std::time::Instant::now();
    // JUMPDEST PUSH0 JUMP in a frame, and in frames within frames: JUMPDEST, then all the gas to a call of itself, again.
    let itself = "0x5b5f5f5f5f5f305af15f56";
    let here = "0x00000000000000000000000000000000000000cc";
    let overrides = json!({ here: {"code": itself} });
    let gas = "0x3ffffffffffff";
    let cases = [
        ("eth_call", json!([{"data": "0x5b5f56", "gas": gas}, "latest"])),
        ("eth_call", json!([{"to": here, "gas": gas}, "latest", overrides])),
        ("eth_createAccessList", json!([{"data": "0x5b5f56"}, "latest"])),
        (
            "debug_traceCall",
            json!([{"data": "0x5b5f56", "gas": gas}, "latest", {"tracer": "callTracer"}]),
        ),
    ];
    for (method, params) in cases {
        let error = world.ask(method, params).await.expect_err(method);
        assert_eq!(code(&error), -32000, "{method}: {error}");
        assert!(error.to_string().contains("timed out"), "{method}: {error}");
    }
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // The only place is free again.
    assert_eq!(
        world.ask("eth_call", json!([{"data": "0x"}])).await.unwrap(),
        "0x"
    );
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_too_much_is_refused() {
    use jsonrpsee::core::params::BatchRequestBuilder;
    let world = World::start(|config| {
        config.rpc.request_bytes = 4_096;
        config.rpc.response_bytes = 16_384;
        config.rpc.batch = 3;
        config.rpc.subscriptions = 2;
    })
    .await;
    let long = format!("0x{}", "00".repeat(4_096));
    let large = world.ask("web3_sha3", json!([long])).await.unwrap_err();
    assert!(large.to_string().contains("413"), "{large}");
    // 17 kB of zeros.
    let answer = world.ask("eth_call", json!([{"data": "0x6122005ff3"}])).await;
    let answer = answer.unwrap_err();
    assert!(answer.to_string().contains("too big"), "{answer}");

    let batch = |requests: usize| {
        let mut batch = BatchRequestBuilder::new();
        for _ in 0..requests {
            batch.insert("eth_blockNumber", rpc_params![]).unwrap();
        }
        world.client.batch_request::<Value>(batch)
    };
    assert_eq!(batch(3).await.unwrap().num_successful_calls(), 3);
    // The answer is one error, which this client does not expect for a batch.
    assert!(batch(4).await.is_err());

    let url = format!("ws://{}", world.node.http_addr());
    let socket = WsClientBuilder::default().build(&url).await.unwrap();
    let subscribe =
        || socket.subscribe::<Value, _>("eth_subscribe", rpc_params!["newHeads"], "eth_unsubscribe");
    let _kept = (subscribe().await.unwrap(), subscribe().await.unwrap());
    let third = subscribe().await.unwrap_err();
    assert!(third.to_string().contains("subscription"), "{third}");
    drop(socket);
    world.node.stop().await.unwrap();

    let world = World::start(|config| config.rpc.connections = 1).await;
    let url = format!("ws://{}", world.node.http_addr());
    let first = WsClientBuilder::default().build(&url).await.unwrap();
    assert!(
        WsClientBuilder::default().build(&url).await.is_err(),
        "a second connection"
    );
    drop(first);
    world.node.stop().await.unwrap();
}

/// A method that is not there, or refuses: nobody who reaches the port can steer the node.
#[tokio::test(flavor = "multi_thread")]
async fn no_method_steers_a_node_that_signs_for_nobody() {
    let world = World::start(|config| config.accounts = None).await;
    for method in [
        "admin_addPeer",
        "admin_nodeInfo",
        "admin_startHTTP",
        "miner_start",
        "personal_unlockAccount",
        "personal_importRawKey",
        "debug_setHead",
        "debug_chaindbCompact",
        "engine_newPayloadV4",
    ] {
        let error = world.ask(method, json!([])).await.expect_err(method);
        assert_eq!(code(&error), -32601, "{method}: {error}");
    }
    assert_eq!(world.ask("eth_accounts", json!([])).await.unwrap(), json!([]));
    world.node.stop().await.unwrap();
}

/// A development chain with `config.synod` as given, changed once more.
fn spec_with(synod: Value, change: impl FnOnce(&mut alloy_genesis::Genesis)) -> ChainSpec {
    let mut genesis = dev_genesis();
    genesis.config.extra_fields.insert("synod".into(), synod);
    change(&mut genesis);
    ChainSpec::from_genesis(genesis).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_gas_is_free_tools_see_prices_of_nothing_and_accounts_need_no_money() {
    let world = World::start(|config| {
        config.spec = spec_with(json!({"fees": {"free": true}}), |genesis| {
            genesis
                .alloc
                .values_mut()
                .for_each(|account| account.balance = Default::default());
        });
    })
    .await;
    let accounts = world.accounts().await;
    let balance = world.ask("eth_getBalance", json!([accounts[0], "latest"])).await;
    assert_eq!(balance.unwrap(), "0x0");
    for method in ["eth_gasPrice", "eth_maxPriorityFeePerGas", "eth_baseFee"] {
        assert_eq!(world.ask(method, json!([])).await.unwrap(), "0x0", "{method}");
    }
    // Init code that deploys a byte of code. Offers what its tool thinks right.
    let create = json!({
        "from": accounts[0], "data": "0x60fe5f5360015ff3",
        "maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x3b9aca00",
    });
    let gas = world.ask("eth_estimateGas", json!([create])).await.unwrap();
    assert!(gas.as_str().unwrap().len() > 4, "{gas}");
    let mut last = Value::Null;
    for transaction in [
        create,
        json!({"from": accounts[0], "to": accounts[1], "gasPrice": "0x3b9aca00"}),
        json!({"from": accounts[0], "to": accounts[1]}),
    ] {
        let receipt = world.receipt(&world.send(transaction).await).await;
        assert_eq!(receipt["status"], "0x1");
        assert_eq!(receipt["effectiveGasPrice"], "0x0");
        let mined = world
            .ask("eth_getTransactionByHash", json!([receipt["transactionHash"]]))
            .await
            .unwrap();
        // What a type 0 transaction offers is a field of its own, of this name.
        let price = if mined["type"] == "0x0" {
            "0x3b9aca00"
        } else {
            "0x0"
        };
        assert_eq!(mined["gasPrice"], price);
        let trace = world
            .ask("debug_traceTransaction", json!([receipt["transactionHash"]]))
            .await
            .unwrap();
        assert_eq!(trace["failed"], false);
        last = receipt["blockNumber"].clone();
    }
    let block = world
        .ask("eth_getBlockByNumber", json!([last, true]))
        .await
        .unwrap();
    assert_eq!(block["baseFeePerGas"], "0x0");
    assert_eq!(block["transactions"][0]["gasPrice"], "0x0");
    let history = world
        .ask("eth_feeHistory", json!(["0x4", "latest", [25, 75]]))
        .await
        .unwrap();
    let nothing = |list: &Value| list.as_array().unwrap().iter().all(|fee| fee == "0x0");
    assert!(nothing(&history["baseFeePerGas"]), "{history}");
    assert!(
        history["reward"].as_array().unwrap().iter().all(nothing),
        "{history}"
    );
    // Value is another matter.
    let sent = json!([{"from": accounts[0], "to": accounts[1], "value": "0x1", "gas": "0x5208"}]);
    let refused = world.ask("eth_sendTransaction", sent).await.unwrap_err();
    assert!(refused.to_string().contains("insufficient funds"), "{refused}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_a_right_is_told_which_and_whom_to_ask() {
    let validator = Validator {
        name: "zero".into(),
        account: dev_accounts()[0],
        identity: B256::repeat_byte(1),
        voteKey: vec![2; 48].into(),
        possession: vec![3; 96].into(),
        host: String::new(),
    };
    let council = council::genesis_account(1000, vec![validator]).unwrap();
    let world = World::start(|config| {
        config.spec = spec_with(json!({}), |genesis| {
            genesis.alloc.insert(COUNCIL, council);
        });
    })
    .await;
    let accounts = world.accounts().await;
    let decide = |signature: &str, words: &[B256]| {
        let selector = &keccak256(signature)[..4];
        let data = Bytes::from([selector, words.concat().as_slice()].concat());
        json!({"from": accounts[0], "to": COUNCIL, "data": data})
    };
    let word = |rights: u64| B256::from(U256::from(rights));
    let rights = async |account: &Value| world.ask("synod_getRights", json!([account])).await.unwrap();
    let all = json!({"transact": true, "deploy": true, "publish": true});
    assert_eq!(rights(&accounts[1]).await, all);

    let list = world.send(decide("setListed(uint8)", &[word(7)])).await;
    assert_eq!(world.receipt(&list).await["status"], "0x1");
    assert_eq!(rights(&accounts[0]).await, all, "a validator's account");
    let none = json!({"transact": false, "deploy": false, "publish": false});
    assert_eq!(rights(&accounts[1]).await, none);
    let past = world.ask("synod_getRights", json!([accounts[1], "0x0"])).await;
    assert_eq!(past.unwrap(), all);

    let transfer = json!({"from": accounts[1], "to": accounts[2], "gas": "0x5208"});
    let create = json!({"from": accounts[1], "data": "0x60fe5f5360015ff3"});
    let told = |error: Error, what: &str| {
        assert_eq!(code(&error), -32000);
        let expected = format!("not permitted: {} may not {what}", dev_accounts()[1]);
        assert!(error.to_string().contains(&expected), "{error}");
        assert!(error.to_string().contains(&COUNCIL.to_string()), "{error}");
    };
    let refused = world.ask("eth_sendTransaction", json!([transfer])).await;
    told(refused.unwrap_err(), "send transactions");
    // Reading needs no right, and an estimate tells the truth.
    assert_eq!(world.ask("eth_call", json!([transfer])).await.unwrap(), "0x");
    told(
        world.ask("eth_estimateGas", json!([create])).await.unwrap_err(),
        "deploy contracts",
    );
    let chunk = deployment(&chunk_code(b"weights"));
    let chunk = json!({"from": accounts[1], "to": CHUNK_FACTORY, "data": chunk});
    let refused = world.ask("eth_estimateGas", json!([chunk])).await.unwrap_err();
    assert_eq!(code(&refused), 3, "a revert: {refused}");
    assert!(
        refused.to_string().contains("may not publish models"),
        "{refused}"
    );

    let account = dev_accounts()[1].into_word();
    let grant = world
        .send(decide("grant(address,uint8)", &[account, word(1 + 2)]))
        .await;
    assert_eq!(world.receipt(&grant).await["status"], "0x1");
    assert_eq!(
        rights(&accounts[1]).await,
        json!({"transact": true, "deploy": true, "publish": false})
    );
    for transaction in [transfer, create] {
        let receipt = world.receipt(&world.send(transaction).await).await;
        assert_eq!(receipt["status"], "0x1");
    }
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_there_after_a_restart_if_the_node_is_told_to_keep_it() {
    let keep = |config: &mut NodeConfig, keep_pool: bool| {
        config.mining = Mining::Manual;
        config.keep_pool = keep_pool;
    };
    let world = World::start(|config| keep(config, true)).await;
    let accounts = world.accounts().await;
    let mut hashes = Vec::new();
    for value in ["0x1", "0x2"] {
        let transfer = json!({"from": accounts[0], "to": accounts[1], "value": value});
        hashes.push(world.send(transfer).await);
    }
    let World { node, folder, .. } = world;
    node.stop().await.unwrap();
    let mut config = NodeConfig::dev(folder.path());
    keep(&mut config, true);
    let node = Node::start(config).await.unwrap();
    let client = HttpClientBuilder::default()
        .build(format!("http://{}", node.http_addr()))
        .unwrap();
    let _: Value = client.request("evm_mine", rpc_params![]).await.unwrap();
    let block: Value = client
        .request("eth_getBlockByNumber", rpc_params!["latest", false])
        .await
        .unwrap();
    assert_eq!(block["transactions"], json!(hashes));
    node.stop().await.unwrap();
}
