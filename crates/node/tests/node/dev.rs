//! What test frameworks do with a development node: `evm_`, `hardhat_`, `anvil_`.

use serde_json::{Value, json};
use synod_node::{Mining, Node, NodeConfig};

use super::{World, code};

const STRANGER: &str = "0x00000000000000000000000000000000000000aa";
/// Returns slot 0: PUSH0 SLOAD PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
const READER: &str = "0x5f545f5260205ff3";

fn word(number: u64) -> String {
    format!("0x{number:064x}")
}

impl World {
    async fn done(&self, method: &str, params: Value) -> Value {
        self.ask(method, params.clone())
            .await
            .unwrap_or_else(|e| panic!("{method} {params}: {e}"))
    }

    async fn number(&self, method: &str, params: Value) -> u64 {
        let answer = self.done(method, params).await;
        let text = answer.as_str().unwrap_or_else(|| panic!("{method}: {answer}"));
        u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
    }

    async fn head(&self) -> Value {
        self.done("eth_getBlockByNumber", json!(["latest", false])).await
    }

    /// What everybody can read about an account of which all was edited.
    async fn looks(&self) -> [Value; 5] {
        let account = json!([STRANGER, "latest"]);
        [
            self.done("eth_getBalance", account.clone()).await,
            self.done("eth_getTransactionCount", account.clone()).await,
            self.done("eth_getCode", account).await,
            self.done("eth_getStorageAt", json!([STRANGER, "0x0", "latest"]))
                .await,
            self.done("eth_call", json!([{"to": STRANGER}, "latest"])).await,
        ]
    }

    async fn edit_all(&self) {
        self.done("hardhat_setBalance", json!([STRANGER, "0x64"])).await;
        self.done("anvil_addBalance", json!([STRANGER, "0x1"])).await;
        self.done("hardhat_setNonce", json!([STRANGER, "0x7"])).await;
        self.done("anvil_setCode", json!([STRANGER, READER])).await;
        self.done("hardhat_setStorageAt", json!([STRANGER, "0x0", word(9)]))
            .await;
    }

    async fn again(self, configure: impl FnOnce(&mut NodeConfig)) -> Self {
        let Self { node, folder, .. } = self;
        node.stop().await.unwrap();
        let mut config = NodeConfig::dev(folder.path());
        configure(&mut config);
        let node = Node::start(config).await.unwrap();
        let client = jsonrpsee::http_client::HttpClientBuilder::default()
            .build(format!("http://{}", node.http_addr()))
            .unwrap();
        Self { node, client, folder }
    }
}

fn edited() -> [Value; 5] {
    [
        json!("0x65"),
        json!("0x7"),
        json!(READER),
        json!(word(9)),
        json!(word(9)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_state_is_there_at_once_survives_a_restart_and_is_built_on() {
    let world = World::start(|_| ()).await;
    let before = world.head().await;
    world.edit_all().await;
    assert_eq!(world.looks().await, edited());
    assert_eq!(world.head().await, before, "no block was made");
    let world = world.again(|_| ()).await;
    assert_eq!(world.looks().await, edited());

    // The next block stands on it: its root is the edited state's with what the block did, as a proof shows.
    world.done("evm_mine", json!([])).await;
    assert_eq!(world.looks().await, edited());
    let root = world.head().await["stateRoot"].clone();
    assert_ne!(root, before["stateRoot"]);
    let proof = world
        .done("eth_getProof", json!([STRANGER, ["0x0"], "latest"]))
        .await;
    let first = proof["accountProof"][0].as_str().unwrap();
    let node = alloy_primitives::hex::decode(first).unwrap();
    assert_eq!(json!(alloy_primitives::keccak256(node)), root);
    assert_eq!(proof["balance"], "0x65");
    assert_eq!(proof["storageProof"][0]["value"], "0x9");
    // Block 1 can be looked at and traced after another edit.
    world.done("hardhat_setBalance", json!([STRANGER, "0x1"])).await;
    let accounts = world.accounts().await;
    let hash = world
        .send(json!({"from": accounts[0], "to": STRANGER, "value": "0x2", "gas": "0x186a0"}))
        .await;
    assert_eq!(world.receipt(&hash).await["status"], "0x1");
    assert_eq!(
        world.done("eth_getBalance", json!([STRANGER, "latest"])).await,
        "0x3"
    );
    let options = json!({"tracer": "prestateTracer"});
    let trace = world.done("debug_traceTransaction", json!([hash, options])).await;
    assert_eq!(trace[STRANGER]["balance"], "0x1", "{trace}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_takes_edits_and_the_clock_back_and_keeps_those_before() {
    let world = World::start(|_| ()).await;
    world.edit_all().await;
    let first = world.done("evm_snapshot", json!([])).await;
    let head = world.head().await;
    world.done("hardhat_setBalance", json!([STRANGER, "0x0"])).await;
    world
        .done("anvil_setStorageAt", json!([STRANGER, "0x0", word(1)]))
        .await;
    world.done("evm_increaseTime", json!([1_000_000])).await;
    world.done("hardhat_mine", json!(["0x3", "0x3c"])).await;
    let later = world.head().await;
    assert_eq!(later["number"], "0x3");
    assert_eq!(world.done("evm_revert", json!([first])).await, true);
    assert_eq!(world.head().await, head);
    assert_eq!(world.looks().await, edited());
    assert_eq!(
        world.done("evm_revert", json!([first])).await,
        false,
        "a snapshot serves once"
    );
    world.done("evm_mine", json!([])).await;
    let time = |block: &Value| {
        let text = block["timestamp"].as_str().unwrap();
        u64::from_str_radix(&text[2..], 16).unwrap()
    };
    assert!(time(&world.head().await) < time(&later) - 900_000);
    assert_eq!(world.looks().await, edited());

    world.done("anvil_rollback", json!([])).await;
    assert_eq!(world.head().await["number"], "0x0");
    let error = world.ask("anvil_rollback", json!([5])).await.unwrap_err();
    assert_eq!(code(&error), -32000, "{error}");
    world.edit_all().await;
    assert_eq!(world.done("hardhat_reset", json!([])).await, true);
    assert_eq!(world.looks().await[0], "0x0");
    let forked = json!([{"forking": {"jsonRpcUrl": "http://127.0.0.1:1"}}]);
    let error = world.ask("hardhat_reset", forked).await.unwrap_err();
    assert_eq!(code(&error), -32602, "{error}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_comes_from_an_account_without_a_key_even_a_contract() {
    let world = World::start(|_| ()).await;
    let accounts = world.accounts().await;
    world.edit_all().await;
    world
        .done("hardhat_setBalance", json!([STRANGER, "0xde0b6b3a7640000"]))
        .await;
    let transfer = json!({"from": STRANGER, "to": accounts[1], "value": "0x1"});
    let refused = world
        .ask("eth_sendTransaction", json!([transfer]))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("unknown account"), "{refused}");

    world.done("hardhat_impersonateAccount", json!([STRANGER])).await;
    let hash = world.send(transfer.clone()).await;
    let receipt = world.receipt(&hash).await;
    assert_eq!(
        (&receipt["status"], &receipt["from"]),
        (&json!("0x1"), &json!(STRANGER))
    );
    assert_eq!(
        world
            .done("eth_getTransactionCount", json!([STRANGER, "latest"]))
            .await,
        "0x8"
    );
    let traced = json!([hash, {"tracer": "callTracer"}]);
    let trace = world.done("debug_traceTransaction", traced.clone()).await;
    assert_eq!(trace["from"], STRANGER);
    // Whoever has the raw transaction alone finds another sender in it, or none.
    let raw = world.done("eth_getRawTransactionByHash", json!([hash])).await;
    let error = world
        .ask("eth_sendRawTransaction", json!([raw]))
        .await
        .unwrap_err();
    assert_eq!(code(&error), -32000, "{error}");

    assert_eq!(
        world
            .done("hardhat_stopImpersonatingAccount", json!([STRANGER]))
            .await,
        true
    );
    assert!(world.ask("eth_sendTransaction", json!([transfer])).await.is_err());
    world.done("anvil_autoImpersonateAccount", json!([true])).await;
    let hash = world.send(transfer.clone()).await;
    assert_eq!(world.receipt(&hash).await["status"], "0x1");
    world.done("anvil_autoImpersonateAccount", json!([false])).await;
    let unsigned = world.done("eth_sendUnsignedTransaction", json!([transfer])).await;
    assert_eq!(world.receipt(unsigned.as_str().unwrap()).await["status"], "0x1");

    // All of it is on the disk.
    let world = world.again(|_| ()).await;
    assert_eq!(world.receipt(&hash).await["from"], STRANGER);
    assert_eq!(world.done("debug_traceTransaction", traced).await, trace);
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_when_the_suite_wants_them_and_look_as_it_wants() {
    let world = World::start(|config| config.mining = Mining::Manual).await;
    assert_eq!(world.done("hardhat_getAutomine", json!([])).await, false);
    let accounts = world.accounts().await;
    let transfer = json!({"from": accounts[0], "to": accounts[1], "value": "0x1"});
    let first = world.send(transfer.clone()).await;
    let second = world.send(transfer.clone()).await;
    assert_eq!(world.done("hardhat_dropTransaction", json!([second])).await, true);
    assert_eq!(world.done("anvil_dropTransaction", json!([second])).await, false);
    let inspected = world.done("txpool_inspect", json!([])).await;
    assert_eq!(inspected["pending"].as_object().unwrap().len(), 1, "{inspected}");
    let content = world.done("txpool_contentFrom", json!([accounts[0]])).await;
    assert_eq!(content["pending"]["0"]["hash"], first.as_str(), "{content}");

    world.done("hardhat_setCoinbase", json!([STRANGER])).await;
    world
        .done("hardhat_setNextBlockBaseFeePerGas", json!(["0x3b9aca00"]))
        .await;
    world.done("hardhat_setPrevRandao", json!([word(5)])).await;
    world.done("evm_setBlockGasLimit", json!(["0x1c9c380"])).await;
    let made = world.done("anvil_mineDetailed", json!([])).await;
    let block = &made[0];
    assert_eq!(block["transactions"][0]["hash"], first.as_str());
    assert_eq!(block["miner"], STRANGER);
    assert_eq!(block["baseFeePerGas"], "0x3b9aca00");
    assert_eq!(block["mixHash"], word(5));
    assert_eq!(block["gasLimit"], "0x1c9c380");
    world.done("anvil_setBlockTimestampInterval", json!([12])).await;
    world.done("hardhat_mine", json!([2])).await;
    let next = world.head().await;
    assert_eq!(
        (&next["miner"], &next["gasLimit"]),
        (&json!(STRANGER), &json!("0x1c9c380"))
    );
    assert_ne!(next["mixHash"], word(5));
    let times: Vec<u64> = {
        let mut times = Vec::new();
        for number in ["0x1", "0x2", "0x3"] {
            let block = world.done("eth_getBlockByNumber", json!([number, false])).await;
            times.push(u64::from_str_radix(&block["timestamp"].as_str().unwrap()[2..], 16).unwrap());
        }
        times
    };
    assert_eq!([times[1] - times[0], times[2] - times[1]], [12, 12]);

    world.done("evm_setTime", json!([times[2] + 5_000])).await;
    world.done("anvil_removeBlockTimestampInterval", json!([])).await;
    let hash = world.send(transfer.clone()).await;
    world.done("anvil_dropAllTransactions", json!([])).await;
    assert_eq!(
        world.done("eth_getTransactionByHash", json!([hash])).await,
        Value::Null
    );
    world.done("evm_setAutomine", json!([true])).await;
    let hash = world.send(transfer).await;
    assert_eq!(world.receipt(&hash).await["status"], "0x1");
    let head = world.head().await;
    let time = u64::from_str_radix(&head["timestamp"].as_str().unwrap()[2..], 16).unwrap();
    assert!(time >= times[2] + 5_000);

    world.done("evm_setIntervalMining", json!([20])).await;
    assert_eq!(world.done("hardhat_getAutomine", json!([])).await, false);
    let from = world.number("eth_blockNumber", json!([])).await;
    while world.number("eth_blockNumber", json!([])).await < from + 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    world.done("anvil_setIntervalMining", json!([0])).await;
    assert_eq!(
        world.done("anvil_getIntervalMining", json!([])).await,
        Value::Null
    );
    assert!(world.ask("hardhat_setMinGasPrice", json!(["0x1"])).await.is_err());
    let info = world.done("anvil_nodeInfo", json!([])).await;
    assert_eq!(info["environment"]["chainId"], 1337);
    assert_eq!(world.done("hardhat_metadata", json!([])).await["chainId"], 1337);
    let name = world.done("web3_clientVersion", json!([])).await;
    assert!(name.as_str().unwrap().starts_with("anvil"), "{name}");
    world.node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_goes_from_one_node_into_another() {
    let world = World::start(|_| ()).await;
    let accounts = world.accounts().await;
    world.edit_all().await;
    let hash = world
        .send(json!({"from": accounts[0], "data": "0x6001600155"}))
        .await;
    let created = world.receipt(&hash).await["contractAddress"].clone();
    let slot = json!([created, "0x1", "latest"]);
    assert_eq!(world.done("eth_getStorageAt", slot.clone()).await, word(1));
    let state = world.done("anvil_dumpState", json!([])).await;
    let balance = world.done("eth_getBalance", json!([accounts[0], "latest"])).await;
    world.node.stop().await.unwrap();

    let other = World::start(|_| ()).await;
    assert_eq!(other.done("anvil_loadState", json!([state])).await, true);
    assert_eq!(other.looks().await, edited());
    assert_eq!(other.done("eth_getStorageAt", slot).await, word(1));
    assert_eq!(
        other.done("eth_getBalance", json!([accounts[0], "latest"])).await,
        balance
    );
    // What was loaded can be given away again: gzip's first bytes.
    let again = other.done("hardhat_dumpState", json!([])).await;
    assert!(again.as_str().unwrap().starts_with("0x1f8b"), "{again}");
    let hash = other
        .send(json!({"from": accounts[0], "to": accounts[1], "value": "0x1"}))
        .await;
    assert_eq!(other.receipt(&hash).await["status"], "0x1");
    let error = other.ask("anvil_loadState", json!(["0x1234"])).await.unwrap_err();
    assert_eq!(code(&error), -32602, "{error}");
    let error = other
        .ask("hardhat_setCode", json!([STRANGER, "0xef0100aa"]))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot have this code"), "{error}");
    other.node.stop().await.unwrap();
}
