//! Validators as processes.

use crate::next_release;
use alloy_genesis::Genesis;
use alloy_primitives::TxHash;
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::{TransactionReceipt, TransactionRequest};
use std::{
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use synod_consensus::simplex::SimplexParams;
use synod_testing::{Node, free_ports};
use tempfile::TempDir;

/// The first account of the test mnemonic.
pub(crate) const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_synod");

/// Runs `synod`.
pub(crate) fn run(args: &[&str]) -> Output {
    run_in(args, &[])
}

/// Runs `synod` with these variables in its environment.
pub(crate) fn run_in(args: &[&str], environment: &[(&str, &Path)]) -> Output {
    Command::new(BINARY)
        .args(args)
        .env_remove("ETH_RPC_URL")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

pub(crate) struct Cluster {
    folder: TempDir,
    ports: Vec<u16>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    pub(crate) fn init(validators: u16) -> Self {
        Self::init_with(validators, &["--dev-accounts"])
    }

    /// The same with other options.
    pub(crate) fn init_with(validators: u16, options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let first = free_ports(3 * validators).unwrap();
        let out = folder.path().join("cluster");
        let (count, peers, rpc, metrics) = (
            validators.to_string(),
            first.to_string(),
            (first + validators).to_string(),
            (first + 2 * validators).to_string(),
        );
        let mut arguments = vec!["cluster", "init", "--validators", &count];
        arguments.extend(["--out", out.to_str().unwrap(), "--peers-port", &peers]);
        arguments.extend(["--rpc-port", &rpc, "--metrics-port", &metrics]);
        arguments.extend(options);
        let made = run(&arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self {
            folder,
            ports: (0..validators).map(|index| first + validators + index).collect(),
            nodes: (0..validators).map(|_| None).collect(),
        }
    }

    /// Changes the genesis file, before anybody has started with it.
    pub(crate) fn change_genesis(&self, change: impl FnOnce(&mut Genesis)) {
        let text = std::fs::read(self.genesis()).unwrap();
        let mut genesis: Genesis = serde_json::from_slice(&text).unwrap();
        change(&mut genesis);
        let params = genesis.config.extra_fields[SimplexParams::FIELD].clone();
        let params: SimplexParams = serde_json::from_value(params).unwrap();
        let commitment = params.commitment(&serde_json::to_value(&genesis.config).unwrap());
        genesis.extra_data = commitment.into();
        let text = serde_json::to_string_pretty(&genesis).unwrap();
        for index in 0..self.nodes.len() {
            std::fs::write(self.folder(index).join("genesis.json"), &text).unwrap();
        }
        std::fs::write(self.genesis(), text).unwrap();
    }

    /// Makes the folder of a validator that is to join. Returns its index.
    pub(crate) fn join(&mut self) -> usize {
        let (index, first) = (self.nodes.len(), free_ports(3).unwrap());
        let (name, folder) = (format!("validator-{index}"), self.folder(index));
        let (host, rpc, metrics) = (
            format!("127.0.0.1:{first}"),
            (first + 1).to_string(),
            (first + 2).to_string(),
        );
        let (genesis, folder) = (self.genesis(), folder.to_str().unwrap().to_owned());
        let mut arguments = vec!["cluster", "join", "--genesis", genesis.to_str().unwrap()];
        arguments.extend(["--name", &name, "--host", &host, "--out", &folder]);
        arguments.extend(["--rpc-port", &rpc, "--metrics-port", &metrics]);
        let made = run(&arguments);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.ports.push(first + 1);
        self.nodes.push(None);
        index
    }

    /// Publishes the network of the cellar through a node.
    pub(crate) fn publish_cellar(&self, index: usize) {
        self.publish(index, "cellar/wine");
    }

    /// The same under another name.
    pub(crate) fn publish(&self, index: usize, name: &str) {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cellar/model.onnx");
        let mut arguments = vec!["model", "publish", model.to_str().unwrap()];
        arguments.extend(["--dim", "batch<=128", "--name", name]);
        arguments.extend(["--rpc-url", self.node(index).url(), "--private-key", KEY]);
        let published = run(&arguments);
        assert!(
            published.status.success(),
            "{}",
            String::from_utf8_lossy(&published.stderr)
        );
    }

    /// A validator decides something in the council, through a node. Returns what the command says.
    pub(crate) fn decide(&self, who: usize, through: usize, command: &[&str]) -> serde_json::Value {
        let key = std::fs::read_to_string(self.folder(who).join("account.key")).unwrap();
        let url = self.node(through).url().to_owned();
        let mut arguments = vec!["cluster", "council", "--rpc-url", &url, "--json"];
        arguments.extend(command);
        arguments.extend(["--private-key", key.trim()]);
        let decided = run(&arguments);
        assert!(
            decided.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&decided.stderr),
            self.log(through)
        );
        serde_json::from_slice(&decided.stdout).unwrap()
    }

    /// What `synod cluster council show` says at a node.
    pub(crate) fn council(&self, index: usize) -> serde_json::Value {
        let url = self.node(index).url().to_owned();
        let shown = run(&["cluster", "council", "--rpc-url", &url, "--json", "show"]);
        assert!(
            shown.status.success(),
            "{}",
            String::from_utf8_lossy(&shown.stderr)
        );
        serde_json::from_slice(&shown.stdout).unwrap()
    }

    /// Waits until an epoch runs at a node.
    pub(crate) async fn epoch(&self, index: usize, epoch: u64) {
        let start = Instant::now();
        while self.council(index)["epoch"].as_u64().unwrap() < epoch {
            assert!(
                start.elapsed() < PATIENCE,
                "epoch {epoch} does not begin:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("cluster")
    }

    pub(crate) fn genesis(&self) -> PathBuf {
        self.path().join("genesis.json")
    }

    pub(crate) fn folder(&self, index: usize) -> PathBuf {
        self.path().join(format!("validator-{index}"))
    }

    pub(crate) fn log(&self, index: usize) -> String {
        std::fs::read_to_string(self.folder(index).join("node.log")).unwrap_or_default()
    }

    pub(crate) async fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.start(index).await;
        }
    }

    pub(crate) async fn start(&mut self, index: usize) {
        let node = Node::validator(Path::new(BINARY), &self.folder(index), self.ports[index]).await;
        self.nodes[index] = Some(node.unwrap_or_else(|error| panic!("validator {index}: {error}")));
    }

    /// Starts a validator with the next release.
    pub(crate) async fn start_next_release(&mut self, index: usize) {
        let (folder, port) = (self.folder(index), self.ports[index]);
        let node = Node::start(next_release::command(&folder), port, &folder.join("node.log")).await;
        self.nodes[index] = Some(node.unwrap_or_else(|error| panic!("validator {index}: {error}")));
    }

    pub(crate) fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("it runs")
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.nodes[index].take().expect("it runs").kill().unwrap();
    }

    pub(crate) fn terminate(&mut self, index: usize) -> ExitStatus {
        self.nodes[index].take().expect("it runs").terminate().unwrap()
    }

    /// Empties a dead validator's data folder.
    pub(crate) fn wipe(&self, index: usize) {
        assert!(self.nodes[index].is_none(), "it runs");
        std::fs::remove_dir_all(self.folder(index).join("data")).unwrap();
    }

    /// What a validator tells Prometheus.
    pub(crate) fn metrics(&self, index: usize) -> String {
        let port = self.ports[index] + u16::try_from(self.ports.len()).unwrap();
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        answer
    }

    /// Makes one folder of a stopped validator a copy of another.
    pub(crate) fn copy_data(&self, index: usize, from: &str, to: &str) {
        assert!(self.nodes[index].is_none(), "it runs");
        let (from, to) = (self.folder(index).join(from), self.folder(index).join(to));
        if to.exists() {
            std::fs::remove_dir_all(&to).unwrap();
        }
        copy(&from, &to);
    }

    /// Waits until a validator's process ends by itself.
    pub(crate) async fn wait(&mut self, index: usize) -> ExitStatus {
        let mut node = self.nodes[index].take().expect("it runs");
        self.wait_for(&mut node).await
    }

    /// Waits until a node's process ends by itself.
    pub(crate) async fn wait_for(&self, node: &mut Node) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = node.ended().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it goes on:\n{}", self.logs());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts a node that follows these validators.
    pub(crate) async fn follower(&self, sources: &[usize]) -> Node {
        self.follower_in(&self.folder.path().join("newcomer"), sources)
            .await
    }

    /// The same on a folder that may have a chain.
    pub(crate) async fn follower_in(&self, folder: &Path, sources: &[usize]) -> Node {
        let sources: Vec<_> = sources.iter().map(|index| self.node(*index).url()).collect();
        let port = free_ports(1).unwrap();
        let (genesis, sources) = (self.genesis(), sources.join(","));
        let node = Node::follower(Path::new(BINARY), folder, port, &genesis, &sources);
        node.await.unwrap()
    }

    /// Waits until a transaction is final on a node.
    pub(crate) async fn receipts_at(&self, node: &Node, hash: TxHash) -> TransactionReceipt {
        let start = Instant::now();
        loop {
            if let Ok(Some(receipt)) = node.provider().get_transaction_receipt(hash).await {
                return receipt;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{hash} is not final on the newcomer:\n{}",
                self.logs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client gives a transaction of one account to one node.
    pub(crate) async fn send(&self, index: usize, account: u32, request: TransactionRequest) -> TxHash {
        let sent = self.node(index).signing(account).send_transaction(request).await;
        *sent
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log(index)))
            .tx_hash()
    }

    /// Waits until a transaction is final on these nodes.
    pub(crate) async fn receipts(&self, hash: TxHash, nodes: &[usize]) -> Vec<TransactionReceipt> {
        let start = Instant::now();
        let mut receipts = Vec::new();
        for index in nodes {
            let rpc = self.node(*index).provider();
            receipts.push(loop {
                if let Ok(Some(receipt)) = rpc.get_transaction_receipt(hash).await {
                    break receipt;
                }
                assert!(
                    start.elapsed() < PATIENCE,
                    "{hash} is not final on {index}:\n{}",
                    self.logs()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            });
        }
        receipts
    }

    pub(crate) async fn height(&self, index: usize) -> u64 {
        let height = self.node(index).provider().get_block_number().await;
        height.unwrap_or_else(|error| panic!("validator {index}: {error}\n{}", self.log(index)))
    }

    /// Waits until these nodes have so many more blocks.
    pub(crate) async fn advance(&self, nodes: &[usize], blocks: u64) {
        let mut wanted = 0;
        for index in nodes {
            wanted = self.height(*index).await.max(wanted);
        }
        let start = Instant::now();
        for index in nodes {
            while self.height(*index).await < wanted + blocks {
                assert!(
                    start.elapsed() < PATIENCE,
                    "{index} stands still:\n{}",
                    self.logs()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Waits until what was on its way has arrived.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    /// All blocks that all of these nodes have are the same.
    pub(crate) async fn same_hashes(&self, nodes: &[usize]) {
        let mut height = u64::MAX;
        for index in nodes {
            height = self.height(*index).await.min(height);
        }
        assert!(height > 0);
        for number in 0..=height {
            let mut hashes = Vec::new();
            for index in nodes {
                let rpc = self.node(*index).provider();
                let block = rpc
                    .get_block_by_number(number.into())
                    .await
                    .unwrap()
                    .expect("it is final");
                hashes.push((block.header.hash, block.header.state_root));
            }
            assert!(
                hashes.iter().all(|hash| *hash == hashes[0]),
                "block {number}: {hashes:?}"
            );
        }
    }

    fn logs(&self) -> String {
        (0..self.nodes.len())
            .map(|index| {
                let log = self.log(index);
                let lines: Vec<_> = log.lines().collect();
                let last = lines[lines.len().saturating_sub(15)..].join("\n");
                format!("--- validator {index}\n{last}\n")
            })
            .collect()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
