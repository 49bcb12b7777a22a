//! The files of a node: its configuration (TOML) and its keys.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy_primitives::{Address, hex};
use serde::{Deserialize, Serialize};
use synod_consensus::simplex::{KeysError, ValidatorKeys};

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
    /// Who gets the fees of blocks that this node proposes.
    #[serde(default)]
    pub beneficiary: Address,
    /// The door for clients.
    #[serde(default)]
    pub rpc: RpcSection,
    /// The line to the other validators.
    pub peers: PeersSection,
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
        }
    }
}

impl RpcSection {
    pub(super) fn limits(&self) -> synod_rpc::Limits {
        synod_rpc::Limits {
            request_bytes: self.request_bytes,
            batch: self.batch,
            connections: self.connections,
            in_work: self.in_work,
            rate: self.rate,
            call_gas: self.call_gas,
            ..Default::default()
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

impl NodeFile {
    /// Reads a configuration; its paths come out relative to where the caller is.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, lacks a key or has one too many.
    pub fn read(path: &Path) -> Result<Self, NodeFileError> {
        let text = fs::read_to_string(path).map_err(|source| NodeFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let mut file: Self = toml::from_str(&text).map_err(|source| NodeFileError::Parse {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for relative in [&mut file.genesis, &mut file.data_dir, &mut file.key_file] {
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
             # Who gets the fees of the blocks that this node proposes.\n\
             beneficiary = \"{}\"\n\n\
             # The door for clients: Ethereum's JSON-RPC and synod_*, over HTTP and WebSocket.\n\
             [rpc]\n\
             listen = \"{}\"\n\
             # Bytes of one request, batches included.\n\
             request_bytes = {}\n\
             # Requests in a batch.\n\
             batch = {}\n\
             # Connections at a time.\n\
             connections = {}\n\
             # Requests of one connection in work at a time.\n\
             in_work = {}\n\
             # Requests of one connection in a second, those of a batch counted; who asks faster waits. 0 for no limit.\n\
             rate = {}\n\
             # Gas of one simulated call (eth_call); a block's gas limit caps it too.\n\
             call_gas = {}\n\n\
             # The line to the other validators: authenticated, encrypted, and for those of the genesis file only.\n\
             [peers]\n\
             listen = \"{}\"\n\n\
             # Where they can be reached, by name in the genesis file.\n\
             [peers.addresses]\n",
            quoted(&self.genesis),
            quoted(&self.data_dir),
            quoted(&self.key_file),
            newcomer,
            self.beneficiary,
            rpc.listen,
            rpc.request_bytes,
            rpc.batch,
            rpc.connections,
            rpc.in_work,
            rpc.rate,
            rpc.call_gas,
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

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot use the key file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error("the key file {} can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It does not hold keys.
    #[error("the key file {} is not one that `synod cluster init` made: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeysError,
    },
}

/// Writes keys into a new file that only its owner can read.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_keys(path: &Path, keys: &ValidatorKeys) -> Result<(), KeyFileError> {
    write_secret(path, &hex::encode(keys.to_bytes())).map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Writes a line into a new file that only its owner can read.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn write_secret(path: &Path, secret: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

/// Reads keys from a file that only its owner may read.
///
/// # Errors
/// When it cannot be read, others may read it, or it holds no keys.
pub fn read_keys(path: &Path) -> Result<ValidatorKeys, KeyFileError> {
    let io = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path).map_err(io)?) & 0o777;
        if mode & 0o077 != 0 {
            let path = path.to_owned();
            return Err(KeyFileError::Open { path, mode });
        }
    }
    let text = fs::read_to_string(path).map_err(io)?;
    let content = |source| KeyFileError::Content {
        path: path.to_owned(),
        source,
    };
    let bytes = hex::decode(text.trim()).map_err(|_| content(KeysError))?;
    ValidatorKeys::from_bytes(&bytes).map_err(content)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use commonware_utils::sys_rng;
    use tempfile::TempDir;

    fn file() -> NodeFile {
        NodeFile {
            genesis: "genesis.json".into(),
            data_dir: "data".into(),
            key_file: "validator.key".into(),
            newcomer: None,
            beneficiary: Address::repeat_byte(7),
            rpc: RpcSection::default(),
            peers: PeersSection {
                listen: SocketAddr::from(([0, 0, 0, 0], 9545)),
                addresses: BTreeMap::from([("validator-0".into(), "localhost:9545".into())]),
            },
            metrics: MetricsSection {
                listen: Some(SocketAddr::from(([127, 0, 0, 1], 9600))),
            },
        }
    }

    #[test]
    fn a_written_configuration_reads_as_it_was() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("node.toml");
        for metrics in [file().metrics, MetricsSection::default()] {
            let written = NodeFile { metrics, ..file() };
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

    #[test]
    fn keys_are_their_owners_alone() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("validator.key");
        let keys = ValidatorKeys::random(&mut sys_rng());
        write_keys(&path, &keys).unwrap();
        assert_eq!(read_keys(&path).unwrap().to_bytes(), keys.to_bytes());
        assert!(
            matches!(write_keys(&path, &keys), Err(KeyFileError::Io { .. })),
            "never overwritten"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(
                read_keys(&path),
                Err(KeyFileError::Open { mode: 0o640, .. })
            ));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::write(&path, "00").unwrap();
        assert!(matches!(read_keys(&path), Err(KeyFileError::Content { .. })));
    }
}
