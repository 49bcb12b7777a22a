//! Models through the RPC: a network that was really published is listed, described, priced, and predicts the same in a
//! call, in an estimate and in a transaction.

use std::path::Path;

use alloy_primitives::{Address, Bytes, U256};
use alloy_provider::Provider;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::SolCall;
use serde_json::{Value, json};
use synod_evm::{addresses::PREDICT, interface::IPredict};
use synod_testing::{Node, account};
use tokio::process::Command;

const NAME: &str = "orchard/wine";
/// Measurements of one wine, and the classes that its network tells apart.
const MEASUREMENTS: usize = 13;

async fn published() -> (tempfile::TempDir, Node) {
    let folder = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_synod"));
    let node = Node::synod(binary, &folder.path().join("chain")).await.unwrap();
    let output = Command::new(binary)
        .args(["model", "publish"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cellar/model.onnx"))
        .args([
            "--dim",
            "batch<=4",
            "--name",
            NAME,
            "--rpc-url",
            node.url(),
            "--json",
            "--private-key",
        ])
        .arg(format!("{:#x}", account(0).to_bytes()))
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (folder, node)
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no quantity"));
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_model_is_listed_described_priced_and_run() {
    let (_folder, node) = published().await;
    let rpc = node.provider();
    let ask = async |method: &'static str, params: Value| -> Result<Value, _> {
        rpc.raw_request::<Value, Value>(method.into(), params).await
    };

    let listed = ask("synod_listModels", json!([])).await.unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], NAME);
    assert_eq!(number(&listed[0]["version"]), 1);
    let owner: Address = serde_json::from_value(listed[0]["owner"].clone()).unwrap();
    assert_eq!(owner, account(0).address());

    assert_eq!(
        (number(&listed[0]["count"]), &listed[0]["status"]),
        (1, &json!("active"))
    );

    let history = ask("synod_modelHistory", json!([NAME])).await.unwrap();
    assert_eq!((number(&history["latest"]), number(&history["count"])), (1, 1));
    assert_eq!(
        (&history["versions"][0]["id"], &history["aliases"]),
        (&listed[0]["id"], &json!([]))
    );
    assert_eq!(history["versions"][0]["status"], "active");
    let beyond = ask("synod_modelHistory", json!([NAME, "0x1"])).await.unwrap();
    assert_eq!(beyond["versions"], json!([]));
    let versioned = ask("synod_modelHistory", json!([format!("{NAME}@1")]))
        .await
        .unwrap_err();
    assert_eq!(versioned.as_error_resp().unwrap().code, -32602);

    let model = ask("synod_getModel", json!([NAME])).await.unwrap();
    assert_eq!(
        (number(&model["version"]), &model["status"]),
        (1, &json!("active"))
    );
    assert_eq!(model["id"], listed[0]["id"]);
    assert_eq!(
        model["inputs"][0]["shape"][0],
        json!({"symbol": "batch", "maximum": 4})
    );
    assert_eq!(model["inputs"][0]["shape"][1], json!(MEASUREMENTS));
    assert!(number(&model["weightBytes"]) > 0 && number(&model["chunks"]) >= 2);
    let code = rpc
        .get_code_at(serde_json::from_value(model["manifest"].clone()).unwrap())
        .await
        .unwrap();
    assert!(!code.is_empty(), "the manifest is an account with code");

    let small = ask("synod_quote", json!([NAME, [[1, MEASUREMENTS]]]))
        .await
        .unwrap();
    let large = ask("synod_quote", json!([NAME, [[4, MEASUREMENTS]]]))
        .await
        .unwrap();
    assert!(number(&large["multiplyAdds"]) > number(&small["multiplyAdds"]));
    let parts = ["transfer", "load", "planning", "execution"].map(|part| number(&small[part]));
    assert_eq!(parts.iter().sum::<u64>(), number(&small["total"]));

    for unknown in ["synod_getModel", "synod_quote", "synod_modelHistory"] {
        let error = ask(unknown, json!(["orchard/pears"])).await.unwrap_err();
        let error = error.as_error_resp().unwrap();
        assert_eq!(
            (error.code, &*error.message),
            (-32000, "unknown model \"orchard/pears\"")
        );
        let error = ask(unknown, json!(["no name"])).await.unwrap_err();
        assert_eq!(error.as_error_resp().unwrap().code, -32602);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prediction_is_the_same_called_estimated_and_sent() {
    let (_folder, node) = published().await;
    let rpc = node.signing(1);
    let values = vec![alloy_primitives::I256::try_from(1_500).unwrap(); MEASUREMENTS];
    let call = IPredict::classifyFixedCall {
        model: NAME.into(),
        values,
        decimals: 3,
    };
    let request = TransactionRequest::default()
        .from(account(1).address())
        .to(PREDICT)
        .input(Bytes::from(call.abi_encode()).into());

    let answer = rpc.call(request.clone()).await.unwrap();
    let class = IPredict::classifyFixedCall::abi_decode_returns(&answer).unwrap();
    assert!(class.label < U256::from(3), "{class:?}");
    // The same again, now that the compiled model is in memory.
    assert_eq!(rpc.call(request.clone()).await.unwrap(), answer);

    let gas = rpc.estimate_gas(request.clone()).await.unwrap();
    let sent = rpc
        .send_transaction(request.clone().gas_limit(gas))
        .await
        .unwrap();
    let receipt = sent.get_receipt().await.unwrap();
    assert!(receipt.status(), "the estimate {gas} is enough");
    assert!(
        gas <= receipt.gas_used * 102 / 100 + 2_300,
        "{gas} for {}",
        receipt.gas_used
    );

    let starved = rpc
        .send_transaction(request.gas_limit(receipt.gas_used - 1))
        .await
        .unwrap();
    assert!(
        !starved.get_receipt().await.unwrap().status(),
        "one gas less is too little"
    );

    let trace: Value = rpc
        .raw_request(
            "debug_traceTransaction".into(),
            json!([receipt.transaction_hash, {"tracer": "callTracer"}]),
        )
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_value::<Bytes>(trace["output"].clone()).unwrap(),
        answer
    );
}
