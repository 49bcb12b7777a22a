//! `eth_call` over kept-alive connections, on this node and on anvil in turn.

use crate::{
    Options,
    cores::{self, Cores},
    examples,
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
struct Case<'a> {
    name: &'static str,
    node: &'a Node,
    call: String,
    request: Request,
    /// Calls in one request.
    batch: usize,
    /// Of each round, by [`Cores`].
    measured: [Vec<Measured>; 2],
    /// Processor time of the node for each call, of each round, in seconds.
    processor: Vec<f64>,
}

impl<'a> Case<'a> {
    fn new(name: &'static str, call: &str, node: &'a Node, to: Address, data: Bytes) -> Self {
        Self::batch(name, call, node, to, data, 1)
    }

    /// So many calls in one request.
    fn batch(name: &'static str, call: &str, node: &'a Node, to: Address, data: Bytes, batch: usize) -> Self {
        let one = rpc("eth_call", json!([{ "to": to, "data": data }, "latest"]));
        let body = if batch == 1 { one } else { vec![one; batch].into() };
        Self {
            name,
            node,
            call: call.to_owned(),
            request: Request::new(&body),
            batch,
            measured: Default::default(),
            processor: Vec::new(),
        }
    }

    /// One round; the first one warms up and does not count.
    async fn round(&mut self, cores: Cores, counts: bool) -> Result<()> {
        let before = self.node.processor_time();
        let measured = wire::load(self.node, cores, self.request.clone(), CLIENTS, ROUND).await?;
        if counts {
            let calls = measured.latencies.len() * self.batch;
            if cores == Cores::Shared {
                let taken = self.node.processor_time().zip(before);
                self.processor
                    .extend(taken.map(|(after, before)| (after - before).as_secs_f64() / calls as f64));
            }
            self.measured[cores as usize].push(measured);
        }
        Ok(())
    }

    fn rate(&self, cores: Cores) -> f64 {
        self.median(cores, |measured| measured.rate) * self.batch as f64
    }

    /// Processor time of the node for each call, in seconds, where the system tells it.
    fn processor(&self) -> Option<f64> {
        (!self.processor.is_empty()).then(|| median(self.processor.clone()))
    }

    fn median(&self, cores: Cores, of: impl Fn(&Measured) -> f64) -> f64 {
        median(self.measured[cores as usize].iter().map(of).collect())
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
        cases.push(Case::new("synod", &call, node, PREDICT, input.into()));
    }
    let anvil = match &options.anvil {
        Some(binary) => Some(Node::anvil(binary, &folder.join("anvil.log")).await?),
        None => None,
    };
    if let Some(anvil) = &anvil {
        cases.extend(contracts("anvil", anvil, &options.root).await?);
    }
    for round in 0..=ROUNDS {
        for cores in Cores::ALL {
            for case in &mut cases {
                case.round(cores, round > 0).await?;
            }
        }
    }
    let rows: Vec<Vec<String>> = cases
        .iter()
        .map(|case| {
            let peer = cases
                .iter()
                .find(|peer| peer.name == "anvil" && peer.call == case.call);
            let figure = |value: Option<f64>, digits: usize| {
                value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
            };
            let processor = case.processor();
            let saved = peer.and_then(Case::processor).zip(processor);
            let mut row = vec![format!("{}: {}", case.name, case.call)];
            for cores in Cores::ALL {
                let rate = case.rate(cores);
                row.push(thousands(rate as u64));
                row.push(figure(peer.map(|peer| rate / peer.rate(cores)), 2));
            }
            row.extend([
                figure(processor.map(|seconds| seconds * 1e6), 1),
                figure(saved.map(|(peer, here)| peer / here), 2),
                milliseconds(case.median(Cores::Shared, |measured| measured.percentile(50))),
                milliseconds(case.median(Cores::Shared, |measured| measured.percentile(99))),
            ]);
            row
        })
        .collect();
    let generator = median(
        cases
            .iter()
            .filter(|case| case.batch == 1)
            .flat_map(|case| &case.measured[Cores::Shared as usize])
            .map(|measured| measured.generator.as_secs_f64() / measured.latencies.len() as f64 * 1e6)
            .collect(),
    );
    report.table(
        "`eth_call` a second",
        &format!(
            "{CLIENTS} requests in flight, one on each of as many kept-alive HTTP connections, from a native load generator that writes \
             prepared bytes and takes one thread of the same machine; medians of {ROUNDS} rounds in which the cases take turns. {} \
             Most of a single call is the system's work for its connection, of which {BATCH} calls in one request show little. \
             *Processor time* is the node's for each call, the system's for it included; the generator took {generator:.1} µs for each \
             request. Processor time and latencies are those of shared cores.",
            cores::EXPLAINED
        ),
        &[
            "call",
            "a second",
            "of anvil's",
            "a core each: a second",
            "of anvil's",
            "processor time, µs",
            "anvil's to it",
            "median, ms",
            "99 of 100 within, ms",
        ],
        &rows,
    );
    if anvil.is_none() {
        report.note("anvil was not there, so that comparison is missing.");
    }
    Ok(())
}

fn milliseconds(seconds: f64) -> String {
    format!("{:.2}", seconds * 1e3)
}

/// Calls that every EVM has.
async fn contracts<'a>(name: &'static str, node: &'a Node, root: &Path) -> Result<Vec<Case<'a>>> {
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
    let case = |call, to, data| Case::new(name, call, node, to, data);
    let batch = format!("empty contract, {BATCH} in a request");
    Ok(vec![
        Case::batch(name, &batch, node, empty, Bytes::new(), BATCH),
        case("empty contract", empty, Bytes::new()),
        case("a slot", reader, Bytes::new()),
        case("ERC-20 balance", token, balance.abi_encode().into()),
    ])
}
