//! `cargo xtask bench cluster` and `cargo xtask soak`: four validators as processes on one machine.
//!
//! All four, and the client, share this machine's cores: each block is executed four times on them. On four machines each
//! would have its own.

use crate::{
    examples::{self, Example},
    mobilenet,
    report::{Report, median, thousands},
};
use alloy_network::{Ethereum, EthereumWallet, NetworkTransactionBuilder, TransactionBuilder as _};
use alloy_primitives::{Address, B256, Bytes, U256, address, hex, keccak256};
use alloy_provider::Provider;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::{SolCall, sol};
use eyre::{Result, WrapErr, bail, ensure};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use synod_testing::{Cluster, Node, account};

sol! {
    function run(string model, bytes input) external view returns (bytes output);
}

const PREDICT: Address = address!("000000000000000000000000000000000000AE01");

/// Accounts that send.
const SENDERS: u32 = 10;

/// The examples' free dimension.
const BATCHES: &str = "batch<=64";

/// Predictions of the large network.
const IMAGES: usize = 100;

/// Transactions in one HTTP request.
const BATCH: usize = 50;

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) synod: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) output: PathBuf,
    /// Blocks that an empty node has to fetch.
    pub(crate) blocks: u64,
    /// Transactions of each kind of load.
    pub(crate) transactions: usize,
}

/// The client of a cluster: signs, sends, and waits.
struct Client {
    http: reqwest::Client,
    nonces: Vec<u64>,
    chain_id: u64,
}

impl Client {
    async fn new(node: &Node) -> Result<Self> {
        let rpc = node.provider();
        let mut nonces = Vec::new();
        for index in 0..SENDERS {
            nonces.push(rpc.get_transaction_count(account(index).address()).await?);
        }
        Ok(Self {
            http: reqwest::Client::new(),
            nonces,
            chain_id: rpc.get_chain_id().await?,
        })
    }

    /// Signed transactions, in turn from all accounts.
    async fn sign(&mut self, count: usize, to: Address, input: &Bytes, gas: u64) -> Result<Vec<String>> {
        let wallets: Vec<_> = (0..SENDERS)
            .map(|index| EthereumWallet::from(account(index)))
            .collect();
        let mut signed = Vec::with_capacity(count);
        for position in 0..count {
            let sender = position % wallets.len();
            let request = TransactionRequest::default()
                .with_chain_id(self.chain_id)
                .with_nonce(self.nonces[sender])
                .with_gas_limit(gas)
                .with_max_fee_per_gas(100_000_000_000)
                .with_max_priority_fee_per_gas(1)
                .with_to(to)
                .with_value(U256::ZERO)
                .with_input(input.clone());
            self.nonces[sender] += 1;
            let envelope = NetworkTransactionBuilder::<Ethereum>::build(request, &wallets[sender]).await?;
            signed.push(hex::encode_prefixed(alloy_eips::Encodable2718::encoded_2718(
                &envelope,
            )));
        }
        Ok(signed)
    }

    /// Sends transactions to all running validators in turn. Returns their hashes.
    async fn send(&self, cluster: &Cluster, signed: &[String]) -> Result<Vec<B256>> {
        let running = (0..cluster.size()).filter(|index| cluster.runs(*index));
        let urls: Vec<_> = running
            .map(|index| cluster.node(index).url().to_owned())
            .collect();
        self.send_to(&urls, signed).await
    }

    /// Sends transactions to nodes in turn. Returns their hashes.
    async fn send_to(&self, urls: &[String], signed: &[String]) -> Result<Vec<B256>> {
        let mut tasks = tokio::task::JoinSet::new();
        // The transactions of one account go to one node, in order.
        for (number, url) in urls.iter().enumerate() {
            let mine: Vec<_> = signed
                .iter()
                .enumerate()
                .filter(|(position, _)| position % SENDERS as usize % urls.len() == number)
                .map(|(_, raw)| raw.clone())
                .collect();
            let (http, url) = (self.http.clone(), url.clone());
            tasks.spawn(async move {
                let mut hashes = Vec::new();
                for batch in mine.chunks(BATCH) {
                    let requests: Vec<_> = batch
                        .iter()
                        .enumerate()
                        .map(|(id, raw)| {
                            json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": [raw]})
                        })
                        .collect();
                    let request = http.post(&url).header("content-type", "application/json");
                    let text = request.body(json!(requests).to_string()).send().await?.text().await?;
                    let answers: Vec<Value> = serde_json::from_str(&text)?;
                    for answer in answers {
                        let Some(hash) = answer["result"].as_str() else {
                            bail!("{url} refused a transaction: {answer}");
                        };
                        hashes.push(hash.parse::<B256>()?);
                    }
                }
                Ok(hashes)
            });
        }
        let mut all = Vec::new();
        while let Some(hashes) = tasks.join_next().await {
            all.extend(hashes??);
        }
        Ok(all)
    }

    /// Waits until every account's transactions are final on a node.
    async fn settle(&self, node: &Node) -> Result<()> {
        let rpc = node.provider();
        let start = Instant::now();
        for (sender, nonce) in (0..SENDERS).zip(&self.nonces) {
            let address = account(sender).address();
            while rpc.get_transaction_count(address).await? < *nonce {
                ensure!(
                    start.elapsed() < Duration::from_secs(180),
                    "transactions do not become final"
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }
}

fn publish(synod: &Path, url: &str, file: &Path, name: &str, dims: &[&str]) -> Result<()> {
    let status = Command::new(synod)
        .args(["model", "publish"])
        .arg(file)
        .args(dims.iter().flat_map(|dim| ["--dim", dim]))
        .args(["--name", name, "--rpc-url", url, "--json", "--private-key"])
        .arg(account(0).to_bytes().to_string())
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "publishing {name} failed");
    Ok(())
}

fn question(example: &Example) -> Bytes {
    let call = runCall {
        model: example.published.into(),
        input: example.packed(),
    };
    call.abi_encode().into()
}

/// Milliseconds with one digit.
fn ms(duration: f64) -> String {
    format!("{:.1}", duration * 1000.0)
}

fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

/// The time of each block: its header's second and the envelope's milliseconds are the proposer's; what is taken here is
/// when this client first saw it as final on a node.
async fn watch(cluster: &Cluster, index: usize, time: Duration) -> Result<Vec<f64>> {
    let rpc = cluster.node(index).provider();
    let (start, mut last, mut seen) = (Instant::now(), rpc.get_block_number().await?, Vec::new());
    while start.elapsed() < time {
        let height = rpc.get_block_number().await?;
        // Several at once were apart by less than a question takes.
        for _ in last..height {
            seen.push(start.elapsed().as_secs_f64());
        }
        last = height;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(seen)
}

fn gaps(seen: &[f64]) -> Vec<f64> {
    seen.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// One transfer at a time to one node, until its receipt is at another: what a user waits for.
async fn latencies(cluster: &Cluster, client: &mut Client, count: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::new();
    for round in 0..count {
        let signed = client
            .sign(1, Address::repeat_byte(0xaa), &Bytes::new(), 21_000)
            .await?;
        // The nonces of the others stay where they are: this is the first account's.
        let start = Instant::now();
        let hash = client.send(cluster, &signed).await?[0];
        let rpc = cluster.node(1 + round % (cluster.size() - 1)).provider();
        while rpc.get_transaction_receipt(hash).await?.is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// Bytes below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() {
            size_of(&entry.path())?
        } else {
            std::os::unix::fs::MetadataExt::blocks(&entry.metadata()?) * 512
        };
    }
    Ok(bytes)
}

/// Measures and writes the report.
pub(crate) async fn measure(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut report = Report::named(
        &options.root,
        "A cluster on one machine",
        "cargo xtask bench cluster",
    );
    report.note(
        "Four validators as four processes, each with its own disk folder, and the client share the machine's cores: every block is \
         built once and executed four times on them. A transaction counts when it is final and durable on the node that is asked.",
    );

    eprintln!("==> as shipped: a block at most every 200 ms, one a second when idle");
    let mut shipped = Cluster::init(&options.synod, &folder.path().join("shipped"), 4, &[])?;
    shipped.start_all().await?;
    let mut client = Client::new(shipped.node(0)).await?;
    latencies(&shipped, &mut client, 5).await?;
    let mut latency = vec![row(
        "as shipped, idle",
        latencies(&shipped, &mut client, 40).await?,
    )];
    for index in 0..4 {
        ensure!(
            shipped.take(index).terminate()?.success(),
            "a validator did not stop"
        );
    }

    eprintln!("==> unpaced: blocks as fast as they become final");
    let unpaced = ["--block-interval-ms", "0", "--heartbeat-ms", "0"];
    let mut cluster = Cluster::init(&options.synod, &folder.path().join("unpaced"), 4, &unpaced)?;
    cluster.start_all().await?;
    let mut client = Client::new(cluster.node(0)).await?;
    let empty = watch(&cluster, 0, Duration::from_secs(10)).await?;
    latency.push(row("unpaced, idle", latencies(&cluster, &mut client, 40).await?));
    let examples = examples::load(&options.root)?;
    for example in &examples {
        let file = options
            .root
            .join("examples")
            .join(example.name)
            .join("model.onnx");
        let url = cluster.node(0).url();
        publish(&options.synod, url, &file, example.published, &[BATCHES])?;
    }
    let mut rows = vec![vec![
        "empty blocks".to_owned(),
        "-".into(),
        format!("{:.1}", empty.len() as f64 / 10.0),
        ms(median(gaps(&empty))),
        ms(percentile(gaps(&empty), 99)),
    ]];
    let many = options.transactions;
    let transfer = (Address::repeat_byte(0xaa), Bytes::new(), 21_000);
    let mut loads = vec![("transfers", transfer.0, transfer.1.clone(), transfer.2, many)];
    for example in &examples {
        let title = if example.name == "cellar" {
            "predictions, `cellar`"
        } else {
            "predictions, `fleet`"
        };
        loads.push((title, PREDICT, question(example), 400_000, many));
    }
    let file = mobilenet::write(&options.root, &folder.path().join("mobilenet"))?;
    let url = cluster.node(0).url();
    publish(&options.synod, url, &file, mobilenet::PUBLISHED, &[])?;
    let asker = cluster.node(0).deploy(&mobilenet::contract(PREDICT)).await?;
    let request = TransactionRequest::default()
        .with_from(account(0).address())
        .with_to(asker)
        .with_input(mobilenet::question());
    let gas = cluster.node(0).provider().estimate_gas(request).await?;
    loads.push((
        "predictions, MobileNetV2",
        asker,
        mobilenet::question(),
        gas + gas / 10,
        IMAGES,
    ));
    client = Client::new(cluster.node(0)).await?;
    for (title, to, input, gas, count) in loads {
        eprintln!("==> {title}");
        let signed = client.sign(count, to, &input, gas).await?;
        let start = Instant::now();
        let before = cluster.node(0).provider().get_block_number().await?;
        client.send(&cluster, &signed).await?;
        client.settle(cluster.node(3)).await?;
        let seconds = start.elapsed().as_secs_f64();
        let blocks = cluster.node(0).provider().get_block_number().await? - before;
        rows.push(vec![
            title.to_owned(),
            rate(signed.len() as f64 / seconds),
            format!("{:.1}", blocks as f64 / seconds),
            "-".into(),
            "-".into(),
        ]);
    }
    report.table(
        "Blocks and transactions a second",
        &format!(
            "Unpaced. For the loads, {} transactions of {SENDERS} accounts are sent to all four nodes as fast as they take them; time runs \
             from the first sent to the last final on the fourth. Each prediction is a transaction of its own. MobileNetV2 has 14 MB of \
             weights and takes an image of 224 × 224 pixels in floats; {IMAGES} transactions ask a contract that asks it, for {} Mgas each.",
            thousands(options.transactions as u64),
            gas / 1_000_000,
        ),
        &["load", "transactions/s", "blocks/s", "between blocks, median, ms", "p99, ms"],
        &rows,
    );

    eprintln!("==> latency under load");
    let signed = client
        .sign(
            options.transactions,
            Address::repeat_byte(0xaa),
            &Bytes::new(),
            21_000,
        )
        .await?;
    // A trickle from the other accounts, while the first asks and waits.
    let background: Vec<_> = signed.clone();
    client.send(&cluster, &background).await?;
    let busy = watch(&cluster, 0, Duration::from_secs(3)).await?;
    client.settle(cluster.node(3)).await?;
    latency.push(row("unpaced, blocks under load", gaps(&busy)));
    report.table(
        "Finality",
        "From a transfer sent to one node to its receipt, final, on another (polled every millisecond), one at a time; in the last row, \
         from one final block to the next while transfers are mined.",
        &["", "median, ms", "p90, ms", "p99, ms"],
        &latency,
    );

    eprintln!("==> a crash");
    let mut lost = Vec::new();
    for round in 0..3 {
        let victim = 1 + round;
        let mut node = cluster.take(victim);
        node.kill()?;
        let seen = watch(&cluster, 0, Duration::from_secs(12)).await?;
        lost.push(percentile(gaps(&seen), 100));
        cluster.start(victim).await?;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    report.table(
        "A crash",
        "One of four is killed with SIGKILL, three times; the longest time between two blocks in the 12 s after it. Its next turn ends by \
         the leader timeout (2 s with this gas limit and heartbeat); after a few of them its turns are passed over at once.",
        &["longest gap, median, s", "largest, s"],
        &[vec![
            format!("{:.2}", median(lost.clone())),
            format!("{:.2}", percentile(lost, 100)),
        ]],
    );

    eprintln!("==> {} blocks for an empty node", options.blocks);
    let rpc = cluster.node(0).provider();
    while rpc.get_block_number().await? < options.blocks {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let target = rpc.get_block_number().await?;
    let start = Instant::now();
    let newcomer = cluster.follower(&folder.path().join("newcomer"), &[0]).await?;
    let follower = newcomer.provider();
    while follower.get_block_number().await? < target {
        ensure!(
            start.elapsed() < Duration::from_secs(600),
            "the newcomer does not catch up"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let follow_seconds = start.elapsed().as_secs_f64();
    let memory = |node: &synod_testing::Node| {
        node.resident_memory()
            .map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string())
    };
    let follower_memory = memory(&newcomer);
    drop(newcomer);
    // A validator with an empty disk fetches from its peers, and does not vote.
    let mut node = cluster.take(3);
    ensure!(node.terminate()?.success(), "a validator did not stop");
    let data = cluster.folder(3).join("data");
    let (chain, consensus) = (size_of(&data.join("chain"))?, size_of(&data.join("consensus"))?);
    let height = rpc.get_block_number().await?;
    std::fs::remove_dir_all(&data).wrap_err("the data of a validator")?;
    let start = Instant::now();
    cluster.start(3).await?;
    let validator = cluster.node(3).provider();
    while validator.get_block_number().await? < target {
        ensure!(
            start.elapsed() < Duration::from_secs(600),
            "the validator does not catch up"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let validator_seconds = start.elapsed().as_secs_f64();
    report.table(
        &format!("After {} blocks", thousands(target)),
        "The chain with the three networks and all transactions above. An empty node fetches, checks certificates and executes all of it while \
         the others go on; disk is what a validator's folder takes, divided by its blocks.",
        &["what", "figure"],
        &[
            vec![
                "`synod node --follow`, empty disk, s".into(),
                format!("{follow_seconds:.1}"),
            ],
            vec![
                "a validator on an empty disk, from its peers, s".into(),
                format!("{validator_seconds:.1}"),
            ],
            vec![
                "disk, chain (redb), bytes a block".into(),
                thousands(chain / height.max(1)),
            ],
            vec![
                "disk, consensus (votes, certificates, blocks), bytes a block".into(),
                thousands(consensus / height.max(1)),
            ],
            vec!["memory of a validator, MiB".into(), memory(cluster.node(0))],
            vec!["memory of the follower, MiB".into(), follower_memory],
        ],
    );
    report.write(&options.output)?;
    eprintln!("==> {}", options.output.display());
    Ok(())
}

/// A number a second: `1,234` or `12.3`.
fn rate(a_second: f64) -> String {
    if a_second < 100.0 {
        format!("{a_second:.1}")
    } else {
        thousands(a_second as u64)
    }
}

fn row(title: &str, seconds: Vec<f64>) -> Vec<String> {
    vec![
        title.to_owned(),
        ms(median(seconds.clone())),
        ms(percentile(seconds.clone(), 90)),
        ms(percentile(seconds, 99)),
    ]
}

/// How long a client of the soak waits before it sends again what is not final.
const IMPATIENCE: Duration = Duration::from_secs(5);

/// How long transactions may take to become final while validators come and go.
const PATIENCE: Duration = Duration::from_secs(180);

/// A client that knows what it sent, and sends it again where a node took it along into its death: pools are memory, as everywhere in
/// Ethereum.
struct Persistent {
    client: Client,
    /// By account: what may not be final yet, with its nonce.
    open: Vec<Vec<(u64, String)>>,
    sent: Vec<B256>,
    again: u64,
}

impl Persistent {
    fn new(client: Client) -> Self {
        Self {
            client,
            open: vec![Vec::new(); SENDERS as usize],
            sent: Vec::new(),
            again: 0,
        }
    }

    async fn send(&mut self, cluster: &Cluster, to: Address, input: &Bytes, gas: u64) -> Result<()> {
        const COUNT: usize = 100;
        let mut nonces = self.client.nonces.clone();
        let signed = self.client.sign(COUNT, to, input, gas).await?;
        for (position, raw) in signed.iter().enumerate() {
            let sender = position % nonces.len();
            self.open[sender].push((nonces[sender], raw.clone()));
            nonces[sender] += 1;
        }
        let hashes = self.client.send(cluster, &signed).await?;
        self.sent.extend(hashes);
        Ok(())
    }

    /// Waits until all that was sent is final on a node.
    async fn settle(&mut self, cluster: &Cluster, index: usize) -> Result<()> {
        let rpc = cluster.node(index).provider();
        let start = Instant::now();
        let mut patience = IMPATIENCE;
        loop {
            for (sender, open) in (0..SENDERS).zip(&mut self.open) {
                let next = rpc.get_transaction_count(account(sender).address()).await?;
                open.retain(|(nonce, _)| *nonce >= next);
            }
            if self.open.iter().all(Vec::is_empty) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                bail!(
                    "transactions do not become final: {}",
                    self.describe(cluster).await
                );
            }
            if start.elapsed() > patience {
                patience += IMPATIENCE;
                for raw in self.open.iter().flatten().map(|(_, raw)| raw) {
                    let bytes: Bytes = raw.parse()?;
                    if rpc.get_transaction_by_hash(keccak256(&bytes)).await?.is_none() {
                        // It may be in a block by now: then the node says so, and nothing is wrong.
                        self.again += u64::from(rpc.send_raw_transaction(&bytes).await.is_ok());
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What every node thinks, for somebody who has to find out why nothing goes on.
    async fn describe(&self, cluster: &Cluster) -> String {
        let waiting: Vec<_> = (0..SENDERS)
            .zip(&self.open)
            .filter_map(|(sender, open)| Some((account(sender).address(), open.first()?.0, open.len())))
            .collect();
        let mut nodes = Vec::new();
        for index in (0..cluster.size()).filter(|index| cluster.runs(*index)) {
            let rpc = cluster.node(index).provider();
            let height = rpc.get_block_number().await;
            let pool: Result<Value, _> = rpc.raw_request("txpool_status".into(), ()).await;
            nodes.push(format!("node {index}: height {height:?}, pool {pool:?}"));
        }
        format!(
            "waiting (account, nonce, count) {waiting:?}; {}",
            nodes.join("; ")
        )
    }
}

/// Mixed load with random kills; fails if anything is lost, or nodes disagree.
pub(crate) async fn soak(synod: &Path, root: &Path, time: Duration, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let outcome = soak_in(folder.path(), synod, root, time, seed).await;
    if outcome.is_err() {
        eprintln!(
            "the validators' folders and logs stay in {}",
            folder.keep().display()
        );
    }
    outcome
}

async fn soak_in(folder: &Path, synod: &Path, root: &Path, time: Duration, seed: u64) -> Result<()> {
    let mut cluster = Cluster::init(synod, &folder.join("cluster"), 4, &[])?;
    cluster.start_all().await?;
    let examples = examples::load(root)?;
    for example in &examples {
        let file = root.join("examples").join(example.name).join("model.onnx");
        publish(synod, cluster.node(0).url(), &file, example.published, &[BATCHES])?;
    }
    let mut client = Persistent::new(Client::new(cluster.node(0)).await?);
    let (start, mut random) = (Instant::now(), seed);
    let mut next = move || {
        // A linear congruential generator (Knuth's MMIX): the schedule is the seed's.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        random >> 33
    };
    let mut kills = 0u64;
    while start.elapsed() < time {
        let victim = usize::try_from(next() % 4)?;
        // Half of the time while nothing is sent, half of the time right behind a load.
        let loads = [
            (Address::repeat_byte(0xaa), Bytes::new(), 21_000),
            (PREDICT, question(&examples[0]), 400_000),
            (PREDICT, question(&examples[1]), 400_000),
        ];
        for (to, input, gas) in &loads {
            client.send(&cluster, *to, input, *gas).await?;
        }
        tokio::time::sleep(Duration::from_millis(next() % 1500)).await;
        let mut node = cluster.take(victim);
        if next() % 4 == 0 {
            ensure!(node.terminate()?.success(), "a validator did not stop as asked");
        } else {
            node.kill()?;
        }
        kills += 1;
        let witness = (victim + 1) % 4;
        client.settle(&cluster, witness).await?;
        tokio::time::sleep(Duration::from_millis(next() % 3000)).await;
        cluster.start(victim).await?;
        client.settle(&cluster, victim).await?;
    }
    // Everything that was taken is final everywhere, with the same outcome.
    let mut height = 0;
    for index in 0..4 {
        height = height.max(cluster.node(index).provider().get_block_number().await?);
    }
    for index in 0..4 {
        let (rpc, asked) = (cluster.node(index).provider(), Instant::now());
        while rpc.get_block_number().await? < height {
            ensure!(
                asked.elapsed() < PATIENCE,
                "node {index} does not come to height {height}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut mined = HashSet::new();
    for number in 0..=height {
        let mut blocks = Vec::new();
        for index in 0..4 {
            let rpc = cluster.node(index).provider();
            let block = rpc.get_block_by_number(number.into()).await?;
            let receipts = rpc.get_block_receipts(number.into()).await?.unwrap_or_default();
            blocks.push((
                block.map(|block| (block.header.hash, block.header.state_root)),
                receipts,
            ));
        }
        ensure!(
            blocks.iter().all(|block| *block == blocks[0]),
            "two blocks, or outcomes of one, at height {number}: {blocks:?}"
        );
        mined.extend(blocks[0].1.iter().map(|receipt| receipt.transaction_hash));
    }
    if let Some(hash) = client.sent.iter().find(|hash| !mined.contains(*hash)) {
        bail!("transaction {hash} was taken and is lost");
    }
    println!(
        "{} s, seed {seed}: {kills} validators ended and back, {} transactions sent and final on all four ({} of them sent again, since the \
         node that had taken them ended), {height} equal blocks",
        start.elapsed().as_secs(),
        thousands(client.sent.len() as u64),
        client.again
    );
    Ok(())
}
