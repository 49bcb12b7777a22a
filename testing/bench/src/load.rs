//! `eth_call` over kept-alive connections, on this node and on anvil in turn.

use crate::{
    Options, examples,
    report::{Report, median, thousands},
    transfers,
    wire::{self, Measured, Request, Wire, rpc},
};
use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_sol_types::{SolCall, sol};
use eyre::Result;
use serde_json::json;
use std::{path::Path, time::Duration};
use synod_testing::Node;

sol! {
    function run(string model, bytes input) external view returns (bytes output);
    function balanceOf(address account) external view returns (uint256);
}

const PREDICT: Address = address!("000000000000000000000000000000000000AE01");
/// Requests in flight.
const CLIENTS: usize = 16;
/// Calls in one request, where it has many.
const BATCH: usize = 100;
/// Rounds; the nodes take turns in each, and the median counts.
const ROUNDS: usize = 5;
/// How long a round lasts.
const ROUND: Duration = Duration::from_secs(2);

/// A call that is made again and again.
struct Case {
    node: &'static str,
    call: String,
    url: String,
    request: Request,
    /// Calls in one request.
    batch: usize,
    measured: Vec<Measured>,
}

impl Case {
    fn new(node: &'static str, call: &str, url: &str, to: Address, data: Bytes) -> Self {
        Self::batch(node, call, url, to, data, 1)
    }

    /// So many calls in one request.
    fn batch(node: &'static str, call: &str, url: &str, to: Address, data: Bytes, batch: usize) -> Self {
        let one = rpc("eth_call", json!([{ "to": to, "data": data }, "latest"]));
        let body = if batch == 1 { one } else { vec![one; batch].into() };
        Self {
            node,
            call: call.to_owned(),
            url: url.to_owned(),
            request: Request::new(&body),
            batch,
            measured: Vec::new(),
        }
    }

    fn rate(&self) -> f64 {
        self.median(|measured| measured.rate) * self.batch as f64
    }

    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.measured.iter().map(of).collect())
    }
}

/// `eth_call` of contracts and predicts here, and of the same contracts on anvil.
pub(crate) async fn measure(
    options: &Options,
    node: &Node,
    folder: &Path,
    report: &mut Report,
) -> Result<()> {
    let mut cases = contracts("synod", node, &options.root).await?;
    for example in examples::load(&options.root)? {
        let input = runCall {
            model: example.published.into(),
            input: example.packed(),
        }
        .abi_encode();
        let call = format!("predict `{}`", example.name);
        cases.push(Case::new("synod", &call, node.url(), PREDICT, input.into()));
    }
    let anvil = match &options.anvil {
        Some(binary) => Some(Node::anvil(binary, &folder.join("anvil.log")).await?),
        None => None,
    };
    if let Some(anvil) = &anvil {
        cases.extend(contracts("anvil", anvil, &options.root).await?);
    }
    for round in 0..=ROUNDS {
        for case in &mut cases {
            let measured = wire::load(&case.url, case.request.clone(), CLIENTS, ROUND).await?;
            // The first round warms up.
            if round > 0 {
                case.measured.push(measured);
            }
        }
    }
    let rows: Vec<Vec<String>> = cases
        .iter()
        .map(|case| {
            let rate = case.rate();
            let peer = cases
                .iter()
                .find(|peer| peer.node == "anvil" && peer.call == case.call);
            let peer = peer.map(Case::rate);
            vec![
                format!("{}: {}", case.node, case.call),
                thousands(rate as u64),
                peer.map_or_else(|| "–".to_owned(), |peer| format!("{:.2}", rate / peer)),
                format!("{:.2}", case.median(|measured| measured.percentile(50)) * 1e3),
                format!("{:.2}", case.median(|measured| measured.percentile(99)) * 1e3),
            ]
        })
        .collect();
    report.table(
        "`eth_call` a second",
        &format!(
            "{CLIENTS} requests in flight, one on each of as many kept-alive HTTP connections, from a native load generator that writes \
             prepared bytes and takes one thread of the same machine; medians of {ROUNDS} rounds in which the cases take turns. Most of \
             a single call is the system's work for its connection, of which {BATCH} calls in one request show little. The latencies are \
             those of this load's requests."
        ),
        &["call", "a second", "of anvil's", "median, ms", "99 of 100 within, ms"],
        &rows,
    );
    if anvil.is_none() {
        report.note("anvil was not there, so that comparison is missing.");
    }
    Ok(())
}

/// Calls that every EVM has.
async fn contracts(name: &'static str, node: &Node, root: &Path) -> Result<Vec<Case>> {
    // STOP: the cheapest contract there is.
    let empty = node.deploy(&[0]).await?;
    // PUSH0 SLOAD PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
    let reader = node
        .deploy(&[0x5f, 0x54, 0x5f, 0x52, 0x60, 0x20, 0x5f, 0xf3])
        .await?;
    let mut wire = Wire::connect(node.url()).await?;
    let slot = json!([reader, U256::ZERO, B256::with_last_byte(7)]);
    wire.call("hardhat_setStorageAt", slot).await?;
    let token = transfers::token(node, root).await?;
    let balance = balanceOfCall {
        account: synod_testing::account(0).address(),
    };
    let case = |call, to, data| Case::new(name, call, node.url(), to, data);
    let batch = format!("empty contract, {BATCH} in a request");
    Ok(vec![
        Case::batch(name, &batch, node.url(), empty, Bytes::new(), BATCH),
        case("empty contract", empty, Bytes::new()),
        case("a slot", reader, Bytes::new()),
        case("ERC-20 balance", token, balance.abi_encode().into()),
    ])
}
