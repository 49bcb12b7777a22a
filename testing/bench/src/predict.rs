//! One predict: gas beside plain Solidity, and time beside the bare engine.

use crate::{
    Options, baseline,
    examples::{self, Example},
    report::{Report, median, thousands},
};
use alloy_primitives::{Address, Bytes, TxKind, U256, address, keccak256};
use alloy_provider::{DynProvider, Provider};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::{SolCall, SolValue, sol};
use eyre::{Result, WrapErr, bail, ensure, eyre};
use std::{path::Path, process::Command, time::Instant};
use synod_model::{ImportOptions, Model, NoExternalData, Unmetered, import_onnx};
use synod_testing::Node;

sol! {
    interface IPredict {
        function classify(string model, bytes input) external view returns (uint256 label, int256 score);
        function run(string model, bytes input) external view returns (bytes output);
    }
    interface IGasMeter {
        function measure(address target, bytes data) external view returns (uint256 used, bytes answer);
        function repeat(address target, bytes data, uint256 times) external view returns (uint256 used);
    }
}

pub(crate) const PREDICT: Address = address!("000000000000000000000000000000000000AE01");
/// How often a call repeats a prediction to be timed.
const REPETITIONS: u64 = 500;
/// How many such calls; the median counts.
const RUNS: usize = 9;

/// Measures both examples on `node`.
pub(crate) async fn measure(options: &Options, node: &Node, report: &mut Report) -> Result<()> {
    // Not the account that publishes: a client numbers its transactions itself.
    let rpc = node.signing(1);
    let meter = deploy(&rpc, &options.root, "GasMeter", &[]).await?;
    let mut gas = Vec::new();
    let mut time = Vec::new();
    for example in examples::load(&options.root)? {
        publish(options, node, &example, &options.root)?;
        let weights = Bytes::from(baseline::weights(example.name, &example.file)?);
        let solidity = deploy(
            &rpc,
            &options.root,
            example.baseline,
            &(weights,).abi_encode_params(),
        )
        .await?;

        let classify = IPredict::classifyCall {
            model: example.published.into(),
            input: example.packed(),
        }
        .abi_encode();
        let (first, answer) = used(&rpc, meter, PREDICT, classify).await?;
        let label = IPredict::classifyCall::abi_decode_returns(&answer)?.label;
        let selector = keccak256(format!("classify({})", example.argument))[..4].to_vec();
        let (plain, answer) = used(&rpc, meter, solidity, [selector, example.q16()].concat()).await?;
        let plain_label = U256::abi_decode(&answer)?;
        ensure!(
            label == plain_label,
            "{}: the network says {label}, its Solidity twin {plain_label}",
            example.name
        );
        let run = IPredict::runCall {
            model: example.published.into(),
            input: example.packed(),
        }
        .abi_encode();
        let again = repeat(&rpc, meter, &run, 2).await?;
        gas.push(vec![
            example.name.to_owned(),
            thousands(first),
            thousands(again),
            thousands(plain),
            format!("{:.1}", plain as f64 / first as f64),
            format!("{:.1}", plain as f64 / again as f64),
        ]);

        let bare = bare(&example)?;
        let empty = seconds(&rpc, meter, &run, 1).await?;
        let many = seconds(&rpc, meter, &run, 1 + REPETITIONS).await?;
        let inside = (many - empty) / REPETITIONS as f64;
        time.push(vec![
            example.name.to_owned(),
            format!("{:.2}", bare * 1e6),
            format!("{:.2}", inside * 1e6),
            format!("{:.2}", (inside - bare) * 1e6),
            format!("{:.0}", again as f64 / inside / 1e6),
        ]);
    }
    report.table(
        "Gas of a predict",
        "Gas of one classification as a contract sees it (`gasleft` before and after): the first of a transaction, which pays for loading \
         the model, and a further one; beside the same network in Solidity fixed point (`contracts/src/bench`: weights in code, four \
         multiply-adds in one MUL, no softmax). Both give the same class.",
        &["network", "predict, first", "predict, again", "plain Solidity", "ratio, first", "ratio, again"],
        &gas,
    );
    report.table(
        "Time of a predict",
        "Microseconds of one `run` inside a contract that makes 500 of them in one `eth_call`, and of the bare engine on the same input \
         with a plan at hand; medians. The difference is what the EVM adds: the call, decoding, names, gas, encoding.",
        &["network", "engine, µs", "in the EVM, µs", "overhead, µs", "Mgas/s in the EVM"],
        &time,
    );
    Ok(())
}

/// `synod model publish`, as a user does it.
pub(crate) fn publish(options: &Options, node: &Node, example: &Example, root: &Path) -> Result<()> {
    let status = Command::new(&options.synod)
        .args(["model", "publish"])
        .arg(root.join("examples").join(example.name).join("model.onnx"))
        .args([
            "--dim",
            "batch<=256",
            "--name",
            example.published,
            "--rpc-url",
            node.url(),
            "--json",
        ])
        .args([
            "--private-key",
            &format!("{}", synod_testing::account(0).to_bytes()),
        ])
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "publishing {} failed", example.name);
    Ok(())
}

pub(crate) async fn deploy(
    rpc: &DynProvider,
    root: &Path,
    contract: &str,
    arguments: &[u8],
) -> Result<Address> {
    let path = root.join("contracts/artifacts").join(format!("{contract}.json"));
    let text = std::fs::read_to_string(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
    let artefact: serde_json::Value = serde_json::from_str(&text)?;
    let code = artefact["bytecode"]
        .as_str()
        .ok_or_else(|| eyre!("{} has no bytecode", path.display()))?;
    let code = [code.parse::<Bytes>()?.to_vec(), arguments.to_vec()].concat();
    let create = TransactionRequest {
        to: Some(TxKind::Create),
        input: Bytes::from(code).into(),
        ..Default::default()
    };
    let receipt = rpc.send_transaction(create).await?.get_receipt().await?;
    if !receipt.status() {
        bail!("{contract} was not deployed");
    }
    receipt
        .contract_address
        .ok_or_else(|| eyre!("{contract} was not deployed"))
}

async fn call(rpc: &DynProvider, to: Address, data: Vec<u8>) -> Result<Bytes> {
    let call = TransactionRequest {
        to: Some(TxKind::Call(to)),
        input: Bytes::from(data).into(),
        ..Default::default()
    };
    Ok(rpc.call(call).await?)
}

/// Gas of a call as a contract sees it, and its answer.
pub(crate) async fn used(
    rpc: &DynProvider,
    meter: Address,
    target: Address,
    data: Vec<u8>,
) -> Result<(u64, Bytes)> {
    let call_data = IGasMeter::measureCall {
        target,
        data: data.into(),
    }
    .abi_encode();
    let answer = IGasMeter::measureCall::abi_decode_returns(&call(rpc, meter, call_data).await?)?;
    Ok((answer.used.to(), answer.answer))
}

async fn repeat(rpc: &DynProvider, meter: Address, data: &[u8], times: u64) -> Result<u64> {
    let repeat = IGasMeter::repeatCall {
        target: PREDICT,
        data: data.to_vec().into(),
        times: U256::from(times),
    };
    let answer = call(rpc, meter, repeat.abi_encode()).await?;
    Ok(IGasMeter::repeatCall::abi_decode_returns(&answer)?.to())
}

/// The median time of a call that makes `times` predictions.
async fn seconds(rpc: &DynProvider, meter: Address, data: &[u8], times: u64) -> Result<f64> {
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        repeat(rpc, meter, data, times).await?;
        runs.push(start.elapsed().as_secs_f64());
    }
    Ok(median(runs))
}

/// The median time of the engine alone.
fn bare(example: &Example) -> Result<f64> {
    let options = ImportOptions {
        dims: [(
            "batch".to_owned(),
            "256".parse::<usize>().map(synod_model::DimSetting::AtMost)?,
        )]
        .into(),
        ..ImportOptions::default()
    };
    let canonical = import_onnx(&example.file, &NoExternalData, &options)?;
    let model = Model::load(canonical.graph, canonical.weights)?;
    let inputs = [example.tensor()?];
    let plan = model.plan(&[inputs[0].shape().to_vec()])?;
    let mut runs = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let start = Instant::now();
        for _ in 0..REPETITIONS {
            std::hint::black_box(plan.run(std::hint::black_box(&inputs), &mut Unmetered)?);
        }
        runs.push(start.elapsed().as_secs_f64() / REPETITIONS as f64);
    }
    Ok(median(runs))
}
