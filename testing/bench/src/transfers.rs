//! Transactions a second, submitted and mined, on this node and on anvil in turn.
//!
//! All are signed before the clock starts. Two loads, since nodes differ in what they are good at:
//!
//! * *one after another*: each sender has one transaction on its way and sends the next when it has the receipt. This is what
//!   programs do.
//! * *a burst*: all at once, each sender's in order; a node that makes no blocks by itself is then told to until nothing waits.
//!   The clock stops at the last receipt. With automine anvil may leave transactions of a burst in no block, so there it gets
//!   them with automine off.

use crate::{
    Options,
    cores::{self, Cores},
    predict,
    report::{Report, median, thousands},
    wire::{Measured, Request, Wire, on_one_thread, rpc, thread_time},
};
use alloy_network::{Ethereum, EthereumWallet, NetworkTransactionBuilder, TransactionBuilder};
use alloy_primitives::{Address, B256, Bytes, U256, hex, keccak256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_signer_local::PrivateKeySigner;
use alloy_sol_types::{SolCall, sol};
use eyre::{Result, ensure};
use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    path::Path,
    time::{Duration, Instant},
};
use synod_testing::Node;

sol! {
    function take() external;
    function transfer(address to, uint256 value) external returns (bool);
}

/// Accounts that send.
const SENDERS: usize = 64;
/// Transactions of each in a round, one after another.
const EACH: usize = 20;
/// Transactions of each in a burst.
const EACH_AT_ONCE: usize = 100;
/// Rounds; the nodes take turns in each, and the median counts.
const ROUNDS: usize = 12;
/// How long a transaction may take into a block.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections of a burst.
const CONNECTIONS: usize = 16;

/// OpenZeppelin's ERC-20, deployed.
pub(crate) async fn token(node: &Node, root: &Path) -> Result<Address> {
    predict::deploy(&node.signing(0), root, "BenchToken", &[]).await
}

/// What the transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Transfer,
    Erc20,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Transfer, Self::Erc20];

    const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfers",
            Self::Erc20 => "ERC-20 transfers",
        }
    }
}

/// A node that takes transactions.
struct Target {
    node: Node,
    senders: Vec<EthereumWallet>,
    addresses: Vec<Address>,
    token: Address,
    chain_id: u64,
}

/// A signed transaction.
#[derive(Debug, Clone)]
struct Signed {
    send: Request,
    receipt: Request,
}

impl Target {
    /// Gives the senders what they need. Whatever the node's way to make blocks, it is told to make one after each step.
    async fn new(node: Node, root: &Path) -> Result<Self> {
        let keys = (0..SENDERS).map(|index| PrivateKeySigner::from_bytes(&keccak256(index.to_be_bytes())));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let mut wire = Wire::connect(node.url()).await?;
        let chain_id: U256 = serde_json::from_value(wire.call("eth_chainId", json!([])).await?)?;
        for key in &keys {
            let balance = U256::from(10).pow(U256::from(24));
            let params = json!([key.address(), balance]);
            wire.call("hardhat_setBalance", params).await?;
        }
        let token = token(&node, root).await?;
        let target = Self {
            node,
            addresses: keys.iter().map(PrivateKeySigner::address).collect(),
            senders: keys.into_iter().map(EthereumWallet::from).collect(),
            token,
            chain_id: chain_id.to(),
        };
        let take = Bytes::from(takeCall {}.abi_encode());
        let takes = target.sign(1, |_| (token, take.clone(), 100_000)).await?;
        one_after_another(&target.node, takes).await?;
        Ok(target)
    }

    /// The next transactions of a round, by sender.
    async fn round(&self, kind: Kind, each: usize) -> Result<Vec<Vec<Signed>>> {
        let next = |sender: usize| self.addresses[(sender + 1) % SENDERS];
        self.sign(each, |sender| match kind {
            Kind::Transfer => (next(sender), Bytes::new(), 21_000),
            Kind::Erc20 => {
                let call = transferCall {
                    to: next(sender),
                    value: U256::ONE,
                };
                (self.token, call.abi_encode().into(), 100_000)
            }
        })
        .await
    }

    async fn sign(
        &self,
        each: usize,
        what: impl Fn(usize) -> (Address, Bytes, u64),
    ) -> Result<Vec<Vec<Signed>>> {
        let mut wire = Wire::connect(self.node.url()).await?;
        let mut all = Vec::with_capacity(SENDERS);
        for (sender, (wallet, address)) in self.senders.iter().zip(&self.addresses).enumerate() {
            let count = wire
                .call("eth_getTransactionCount", json!([address, "latest"]))
                .await?;
            let first: U256 = serde_json::from_value(count)?;
            let first: u64 = first.to();
            let mut mine = Vec::with_capacity(each);
            for nonce in first..first + each as u64 {
                let (to, input, gas) = what(sender);
                let value = U256::from(u64::from(input.is_empty()));
                let request = TransactionRequest::default()
                    .with_chain_id(self.chain_id)
                    .with_nonce(nonce)
                    .with_gas_limit(gas)
                    .with_max_fee_per_gas(100_000_000_000)
                    .with_max_priority_fee_per_gas(1)
                    .with_to(to)
                    .with_value(value)
                    .with_input(input);
                let envelope = NetworkTransactionBuilder::<Ethereum>::build(request, wallet).await?;
                let raw = alloy_eips::Encodable2718::encoded_2718(&envelope);
                let hash: B256 = keccak256(&raw);
                mine.push(Signed {
                    send: Request::new(&rpc("eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]))),
                    receipt: Request::new(&rpc("eth_getTransactionReceipt", json!([hash]))),
                });
            }
            all.push(mine);
        }
        Ok(all)
    }
}

/// Whether a receipt is there. One of a transaction that failed is an error.
fn is_mined(answer: &[u8]) -> Result<bool> {
    let answer: Value = serde_json::from_slice(answer)?;
    let receipt = &answer["result"];
    if receipt.is_null() {
        return Ok(false);
    }
    ensure!(receipt["status"] == "0x1", "a transaction failed: {receipt}");
    Ok(true)
}

/// Each sender sends its next transaction when it has the receipt of the last.
async fn one_after_another(node: &Node, transactions: Vec<Vec<Signed>>) -> Result<Measured> {
    let url = node.url().to_owned();
    on_one_thread(node, Cores::Shared, move || async move {
        let mut wires = Vec::new();
        for _ in &transactions {
            wires.push(Wire::connect(&url).await?);
        }
        let (start, taken) = (Instant::now(), thread_time());
        let tasks = transactions.into_iter().zip(wires).map(|(mine, mut wire)| {
            tokio::spawn(async move {
                let mut latencies = Vec::with_capacity(mine.len());
                for transaction in mine {
                    let sent = Instant::now();
                    wire.ask(&transaction.send).await?;
                    while !is_mined(wire.ask(&transaction.receipt).await?)? {
                        ensure!(
                            sent.elapsed() < PATIENCE,
                            "a transaction is in no block after {PATIENCE:?}"
                        );
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                    latencies.push(sent.elapsed().as_secs_f64());
                }
                Ok::<_, eyre::Report>(latencies)
            })
        });
        let tasks: Vec<_> = tasks.collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.append(&mut task.await??);
        }
        Ok(Measured::new(latencies, start.elapsed(), thread_time() - taken))
    })
    .await
}

/// What a burst came to.
#[derive(Debug, Clone, Copy)]
struct Burst {
    /// Transactions a second.
    rate: f64,
    /// Processor time for each transaction in seconds: of the node, where the system tells it, and of the generator.
    node: Option<f64>,
    generator: f64,
}

/// All at once.
async fn burst(node: &Node, cores: Cores, transactions: Vec<Vec<Signed>>, mine: bool) -> Result<Burst> {
    let url = node.url().to_owned();
    let count: usize = transactions.iter().map(Vec::len).sum();
    let before = node.processor_time();
    let (rate, generator) = on_one_thread(node, cores, move || async move {
        let taken = thread_time();
        let last: Vec<_> = transactions
            .iter()
            .filter_map(|mine| mine.last().cloned())
            .collect();
        let mut shares = vec![Vec::new(); CONNECTIONS];
        for (sender, mine) in transactions.into_iter().enumerate() {
            shares[sender % CONNECTIONS].extend(mine);
        }
        let mut wires = Vec::new();
        for _ in 0..=CONNECTIONS {
            wires.push(Wire::connect(&url).await?);
        }
        let mut control = wires.swap_remove(0);
        let start = Instant::now();
        let tasks = shares.into_iter().zip(wires).map(|(share, mut wire)| {
            tokio::spawn(async move {
                for transaction in share {
                    wire.ask(&transaction.send).await?;
                }
                Ok::<_, eyre::Report>(())
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await??;
        }
        for transaction in last {
            while !is_mined(control.ask(&transaction.receipt).await?)? {
                ensure!(
                    start.elapsed() < PATIENCE,
                    "a transaction of a burst is in no block after {PATIENCE:?}"
                );
                if mine {
                    control.call("evm_mine", json!([])).await?;
                } else {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        let rate = count as f64 / start.elapsed().as_secs_f64();
        Ok((rate, (thread_time() - taken).as_secs_f64() / count as f64))
    })
    .await?;
    let node = node.processor_time().zip(before);
    Ok(Burst {
        rate,
        node: node.map(|(after, before)| (after - before).as_secs_f64() / count as f64),
        generator,
    })
}

/// A node with the way in which it makes blocks.
struct Case {
    name: &'static str,
    target: Target,
    /// Whether it is told when to make blocks, and gets its transactions as a burst only.
    told: bool,
}

/// What the rounds of a node came to.
#[derive(Debug, Default)]
struct Rounds {
    steady: Vec<Measured>,
    /// By [`Cores`].
    bursts: [Vec<Burst>; 2],
}

impl Case {
    /// One round of all loads that this node takes.
    async fn round(&self, kind: Kind, rounds: &mut Rounds) -> Result<()> {
        let node = &self.target.node;
        if !self.told {
            let measured = one_after_another(node, self.target.round(kind, EACH).await?).await?;
            eprintln!("{} {}: {:.0} a second", self.name, kind.name(), measured.rate);
            rounds.steady.push(measured);
        }
        if self.told || self.name == "synod" {
            for cores in Cores::ALL {
                let transactions = self.target.round(kind, EACH_AT_ONCE).await?;
                let burst = burst(node, cores, transactions, self.told).await?;
                eprintln!(
                    "{} {}: burst {:.0} a second, {cores:?} cores",
                    self.name,
                    kind.name(),
                    burst.rate
                );
                rounds.bursts[cores as usize].push(burst);
            }
        }
        Ok(())
    }
}

/// Transfers and ERC-20 transfers here and on anvil.
pub(crate) async fn measure(options: &Options, folder: &Path, report: &mut Report) -> Result<()> {
    let mut cases = vec![Case {
        name: "synod",
        target: Target::new(
            Node::synod(&options.synod, &folder.join("transfers")).await?,
            &options.root,
        )
        .await?,
        told: false,
    }];
    if let Some(binary) = &options.anvil {
        for (name, log, told) in [
            ("anvil", "anvil-mining.log", false),
            ("anvil, told to mine", "anvil-told.log", true),
        ] {
            // The block of `synod dev`.
            let arguments = ["--gas-limit", "300000000"].map(OsStr::new);
            let node = Node::anvil_with(binary, &folder.join(log), &arguments).await?;
            let target = Target::new(node, &options.root).await?;
            if told {
                let mut wire = Wire::connect(target.node.url()).await?;
                wire.call("evm_setAutomine", json!([false])).await?;
            }
            cases.push(Case { name, target, told });
        }
    }
    let (mut rows, mut generator) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let mut measured: Vec<Rounds> = cases.iter().map(|_| Rounds::default()).collect();
        for round in 0..=ROUNDS {
            for (case, measured) in cases.iter().zip(&mut measured) {
                case.round(kind, measured).await?;
                // The first round warms up.
                if round == 0 {
                    *measured = Rounds::default();
                }
            }
        }
        let rates = |rounds: &Rounds, cores: Cores| {
            let rates: Vec<f64> = rounds.bursts[cores as usize]
                .iter()
                .map(|burst| burst.rate)
                .collect();
            (!rates.is_empty()).then(|| median(rates))
        };
        let peer = cases.iter().position(|case| case.told);
        for (index, (case, rounds)) in cases.iter().zip(&measured).enumerate() {
            let of = |value: &dyn Fn(&Measured) -> f64| median(rounds.steady.iter().map(value).collect());
            let mut row = vec![format!("{}: {}", case.name, kind.name())];
            if rounds.steady.is_empty() {
                row.extend(["–", "–", "–"].map(ToOwned::to_owned));
            } else {
                row.push(thousands(of(&|measured| measured.rate) as u64));
                row.push(format!("{:.1}", of(&|measured| measured.percentile(50)) * 1e3));
                row.push(format!("{:.1}", of(&|measured| measured.percentile(99)) * 1e3));
            }
            let figure = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
            for cores in Cores::ALL {
                let rate = rates(rounds, cores);
                let ratio = rate
                    .zip(peer.and_then(|peer| rates(&measured[peer], cores)))
                    .filter(|_| Some(index) != peer)
                    .map(|(rate, peer)| format!("{:.2}", rate / peer));
                row.push(figure(rate.map(|rate| thousands(rate as u64))));
                row.push(figure(ratio));
            }
            let shared = &rounds.bursts[Cores::Shared as usize];
            generator.extend(shared.iter().map(|burst| burst.generator));
            let nodes: Vec<f64> = shared.iter().filter_map(|burst| burst.node).collect();
            // the mean: the system counts hundredths of a second, of which a burst has few
            row.push(figure((!nodes.is_empty()).then(|| {
                format!("{:.0}", nodes.iter().sum::<f64>() / nodes.len() as f64 * 1e6)
            })));
            rows.push(row);
        }
    }
    report.table(
        "Transactions a second, submitted and mined",
        &format!(
            "Transactions of {SENDERS} accounts, signed before the clock starts, over kept-alive HTTP, from the same generator; medians \
             of {ROUNDS} rounds in which the nodes take turns. *One after another*: every account sends its next transaction when it has the \
             receipt of its last (asked for every millisecond), {EACH} times; the latencies are from sending to that receipt. *Burst*: {} \
             over {CONNECTIONS} connections as fast as they are taken, until the last receipt. {} synod mines each transaction at once, as \
             it does by default, and every block is on the disk before anybody sees it; anvil keeps its blocks in memory. Of a burst anvil \
             with automine may leave transactions in no block, so there it has automine off and is told to mine until none waits. \
             *Processor time* is the node's for each transaction of a burst, the system's for it included; the generator took {:.0} µs for \
             each, both on shared cores.",
            SENDERS * EACH_AT_ONCE,
            cores::EXPLAINED,
            median(generator) * 1e6,
        ),
        &[
            "load",
            "one after another, a second",
            "median, ms",
            "99 of 100 within, ms",
            "burst, a second",
            "of anvil's",
            "burst with a core each, a second",
            "of anvil's",
            "processor time, µs",
        ],
        &rows,
    );
    Ok(())
}
