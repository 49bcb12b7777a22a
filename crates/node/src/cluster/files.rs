//! A node's configuration file (TOML).

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::Address;
use serde::{Deserialize, Serialize};
use synod_chain::pool;

use crate::History;

/// A node's configuration file. A key that it does not know is an error, so that a typing mistake is not a silent default.
/// Paths are relative to the file's own folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeFile {
    /// The chain's genesis file, the same on all nodes.
    pub genesis: PathBuf,
    /// Where the node keeps the chain and its votes.
    pub data_dir: PathBuf,
    /// The validator's secret keys.
    pub key_file: PathBuf,
    /// The name of a validator that the genesis file does not know: it joins, or has joined, later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newcomer: Option<String>,
    /// Holds the passphrase of the keys, if they are encrypted. Without it the environment is asked, and then a person.
    #[serde(default)]
    pub passphrase_file: Option<PathBuf>,
    /// Who gets the fees of blocks that this node proposes.
    #[serde(default)]
    pub beneficiary: Address,
    /// Which states the node keeps.
    #[serde(default)]
    pub history: History,
    /// The door for clients.
    #[serde(default)]
    pub rpc: RpcSection,
    /// The line to the other validators.
    pub peers: PeersSection,
    /// What waits for a block.
    #[serde(default)]
    pub pool: PoolSection,
    /// What operators watch.
    #[serde(default)]
    pub metrics: MetricsSection,
}

/// The door for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcSection {
    /// Where to listen for HTTP and WebSocket.
    pub listen: SocketAddr,
    /// Bytes of a request.
    pub request_bytes: u32,
    /// Requests in a batch.
    pub batch: u32,
    /// Connections at a time.
    pub connections: u32,
    /// Requests of one connection in work at a time.
    pub in_work: usize,
    /// Requests of one connection in a second; 0 for no limit.
    pub rate: u32,
    /// Gas of one simulated call.
    pub call_gas: u64,
    /// Milliseconds of one simulated call.
    pub call_ms: u64,
    /// Long requests (calls, traces, searches for logs) of all connections in work at a time; the others wait. Twice the
    /// number of cores if it is left out.
    pub workers: Option<usize>,
    /// Bytes of an answer.
    pub response_bytes: u32,
    /// Subscriptions of one connection.
    pub subscriptions: u32,
    /// Blocks that one search for logs may look at.
    pub log_blocks: u64,
    /// Logs in one answer.
    pub logs: usize,
}

impl Default for RpcSection {
    fn default() -> Self {
        let limits = synod_rpc::Limits::default();
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8545)),
            request_bytes: limits.request_bytes,
            batch: limits.batch,
            connections: limits.connections,
            in_work: limits.in_work,
            rate: limits.rate,
            call_gas: limits.call_gas,
            call_ms: u64::try_from(limits.call_time.as_millis()).unwrap_or(u64::MAX),
            workers: None,
            response_bytes: limits.response_bytes,
            subscriptions: limits.subscriptions,
            log_blocks: limits.log_blocks,
            logs: limits.logs,
        }
    }
}

impl RpcSection {
    /// Reads what `[rpc]` holds from a file of its own.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or has a key that is not known.
    pub fn read(path: &Path) -> Result<Self, NodeFileError> {
        parse(path)
    }

    /// What clients may ask for.
    #[must_use]
    pub fn limits(&self) -> synod_rpc::Limits {
        synod_rpc::Limits {
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            batch: self.batch,
            connections: self.connections,
            subscriptions: self.subscriptions,
            in_work: self.in_work,
            rate: self.rate,
            workers: self.workers.unwrap_or(synod_rpc::Limits::default().workers),
            call_gas: self.call_gas,
            call_time: Duration::from_millis(self.call_ms),
            log_blocks: self.log_blocks,
            logs: self.logs,
        }
    }
}

/// The line to the other validators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeersSection {
    /// Where to listen for them.
    pub listen: SocketAddr,
    /// Where they listen: `host:port` by the validator's name in the genesis file.
    pub addresses: BTreeMap<String, String>,
}

/// What waits for a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolSection {
    /// Transactions.
    pub transactions: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Transactions of one sender.
    pub transactions_per_sender: usize,
    /// How many seconds a transaction may wait behind a gap of nonces.
    pub queued_seconds: u64,
    /// Whether what waits is written down once a minute and at the end, to be taken up again after a restart.
    pub keep: bool,
}

impl Default for PoolSection {
    fn default() -> Self {
        let pool::Limits {
            transactions,
            bytes,
            transactions_per_sender,
            queued_lifetime,
            ..
        } = pool::Limits::default();
        Self {
            transactions,
            bytes,
            transactions_per_sender,
            queued_seconds: queued_lifetime.as_secs(),
            keep: false,
        }
    }
}

impl PoolSection {
    pub(crate) fn limits(&self) -> pool::Limits {
        pool::Limits {
            transactions: self.transactions,
            bytes: self.bytes,
            transactions_per_sender: self.transactions_per_sender,
            queued_lifetime: Duration::from_secs(self.queued_seconds),
            ..pool::Limits::default()
        }
    }
}

/// What operators watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSection {
    /// Where to answer `/metrics`, `/health` and `/ready`; nowhere if it is left out.
    pub listen: Option<SocketAddr>,
}

/// A configuration file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeFileError {
    /// It cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what it must be.
    #[error("the configuration {}: {}", path.display(), source.message())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, NodeFileError> {
    let text = fs::read_to_string(path).map_err(|source| NodeFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|source| NodeFileError::Parse {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

impl NodeFile {
    /// Reads a configuration; its paths come out relative to where the caller is.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, lacks a key or has one too many.
    pub fn read(path: &Path) -> Result<Self, NodeFileError> {
        let mut file: Self = parse(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let paths = [&mut file.genesis, &mut file.data_dir, &mut file.key_file];
        for relative in paths.into_iter().chain(&mut file.passphrase_file) {
            *relative = folder.join(&*relative);
        }
        Ok(file)
    }

    /// The file's text, with every key explained.
    #[must_use]
    pub fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let quoted = |path: &Path| toml::Value::String(path.display().to_string()).to_string();
        let rpc = &self.rpc;
        let newcomer = self.newcomer.as_ref().map(|name| {
            let name = toml::Value::from(name.as_str());
            format!("# This validator is not in the genesis file: the council names it later.\nnewcomer = {name}\n")
        });
        let newcomer = newcomer.unwrap_or_default();
        let mut text = format!(
            "# A node of a Synod cluster. Paths are relative to this file. An unknown key is an error.\n\n\
             # The chain's genesis file; the same bytes on every node. It names the validators.\n\
             genesis = {}\n\
             # The chain and this node's votes. Never run two nodes on copies of it, never restore an old copy of it.\n\
             data_dir = {}\n\
             # The validator's secret keys; readable by its owner only.\n\
             key_file = {}\n\
             {}\
             # A file with the keys' passphrase, if they are encrypted (`synod cluster key encrypt`). Without it: the file that the\n\
             # environment names (SYNOD_KEY_PASSPHRASE_FILE), systemd's credential \"key-passphrase\", or a person at the terminal.\n\
             {}\n\
             # Who gets the fees of the blocks that this node proposes.\n\
             beneficiary = \"{}\"\n\
             # The states after how many of the last blocks are kept for reads and proofs (as many again may be there), or\n\
             # \"archive\" for all. Blocks and receipts are kept always.\n\
             history = {}\n\n\
             # The door for clients: Ethereum's JSON-RPC and synod_*, over HTTP and WebSocket.\n\
             [rpc]\n\
             listen = \"{}\"\n\
             # Bytes of one request, batches included.\n\
             request_bytes = {}\n\
             # Bytes of one answer, batches included.\n\
             response_bytes = {}\n\
             # Requests in a batch.\n\
             batch = {}\n\
             # Connections at a time.\n\
             connections = {}\n\
             # Subscriptions of one connection.\n\
             subscriptions = {}\n\
             # Requests of one connection in work at a time.\n\
             in_work = {}\n\
             # Requests of one connection in a second, those of a batch counted; who asks faster waits. 0 for no limit.\n\
             rate = {}\n\
             # Long requests (calls, traces, searches for logs) of all connections in work at a time. Left out: twice the cores.\n\
             {}\n\
             # Gas of one simulated call (eth_call); a block's gas limit caps it too.\n\
             call_gas = {}\n\
             # Milliseconds of one simulated call; what takes longer is an error.\n\
             call_ms = {}\n\
             # Blocks that one search for logs may look at, and logs in one answer.\n\
             log_blocks = {}\n\
             logs = {}\n\n\
             # The line to the other validators: authenticated, encrypted, and for those of the genesis file only.\n\
             [peers]\n\
             listen = \"{}\"\n\n\
             # Where they can be reached, by name in the genesis file.\n\
             [peers.addresses]\n",
            quoted(&self.genesis),
            quoted(&self.data_dir),
            quoted(&self.key_file),
            newcomer,
            match &self.passphrase_file {
                Some(file) => format!("passphrase_file = {}", quoted(file)),
                None => "# passphrase_file = \"passphrase\"".into(),
            },
            self.beneficiary,
            match self.history {
                History::Archive => format!("\"{}\"", self.history),
                History::Last(blocks) => blocks.to_string(),
            },
            rpc.listen,
            rpc.request_bytes,
            rpc.response_bytes,
            rpc.batch,
            rpc.connections,
            rpc.subscriptions,
            rpc.in_work,
            rpc.rate,
            match rpc.workers {
                Some(workers) => format!("workers = {workers}"),
                None => "# workers = 4".into(),
            },
            rpc.call_gas,
            rpc.call_ms,
            rpc.log_blocks,
            rpc.logs,
            self.peers.listen,
        );
        for (name, address) in &self.peers.addresses {
            let (name, address) = (
                toml::Value::from(name.as_str()),
                toml::Value::from(address.as_str()),
            );
            writeln!(text, "{name} = {address}").expect("writing to a string does not fail");
        }
        text.push_str(
            "\n# /metrics (Prometheus), /health (the engine runs) and /ready (the chain moves). Leave `listen` out for none.\n[metrics]\n",
        );
        match self.metrics.listen {
            Some(listen) => writeln!(text, "listen = \"{listen}\""),
            None => writeln!(text, "# listen = \"127.0.0.1:9600\""),
        }
        .expect("writing to a string does not fail");
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn file() -> NodeFile {
        NodeFile {
            genesis: "genesis.json".into(),
            data_dir: "data".into(),
            key_file: "validator.key".into(),
            newcomer: None,
            passphrase_file: None,
            beneficiary: Address::repeat_byte(7),
            history: History::Archive,
            rpc: RpcSection::default(),
            peers: PeersSection {
                listen: SocketAddr::from(([0, 0, 0, 0], 9545)),
                addresses: BTreeMap::from([("validator-0".into(), "localhost:9545".into())]),
            },
            pool: PoolSection::default(),
            metrics: MetricsSection {
                listen: Some(SocketAddr::from(([127, 0, 0, 1], 9600))),
            },
        }
    }

    #[test]
    fn a_written_configuration_reads_as_it_was() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.toml");
        let secret = Some(PathBuf::from("/run/secrets/passphrase"));
        let last = "1000".parse().unwrap();
        for (metrics, passphrase_file, history) in [
            (file().metrics, None, History::Archive),
            (MetricsSection::default(), secret, last),
        ] {
            let written = NodeFile {
                metrics,
                passphrase_file,
                history,
                ..file()
            };
            fs::write(&path, written.to_text()).unwrap();
            let mut read = NodeFile::read(&path).unwrap();
            assert_eq!(read.data_dir, folder.path().join("data"));
            read = NodeFile {
                genesis: written.genesis.clone(),
                data_dir: written.data_dir.clone(),
                key_file: written.key_file.clone(),
                ..read
            };
            assert_eq!(read, written);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.toml");
        for (from, to) in [("batch =", "bacth ="), ("data_dir =", "datadir =")] {
            fs::write(&path, file().to_text().replace(from, to)).unwrap();
            let error = NodeFile::read(&path).unwrap_err().to_string();
            assert!(error.contains(&to[..to.len() - 2]), "{error}");
        }
    }
}
