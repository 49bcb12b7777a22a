//! How a node of a cluster runs.

use std::{
    collections::BTreeMap,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use synod_chain::{ChainSpec, pool, spec::SpecError};
use synod_consensus::simplex::{
    CommitteeError, SimplexParams, ValidatorEntry, ValidatorKeys,
    net::{PeerAddress, PeerAddressError},
};

use crate::History;

use super::{
    files::{NodeFile, NodeFileError},
    key_file::{Ask, KeyFileError, read_keys},
};

/// Configuration of a node of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// The validator's name.
    pub name: String,
    /// The rules of the chain, its genesis and its validators included.
    pub spec: ChainSpec,
    /// Where the chain and the votes are kept.
    pub data_dir: PathBuf,
    /// The validator's keys.
    pub keys: ValidatorKeys,
    /// Where they were read from. Beside it lies the right to vote for the first time ([`super::ballot`]).
    pub key_file: PathBuf,
    /// Who gets the fees.
    pub beneficiary: Address,
    /// Where to listen for clients.
    pub rpc_listen: SocketAddr,
    /// What clients may ask for.
    pub rpc: synod_rpc::Limits,
    /// Where to listen for validators.
    pub peers_listen: SocketAddr,
    /// Where the validators listen, by name.
    pub peers: BTreeMap<String, PeerAddress>,
    /// Where to answer operators.
    pub metrics_listen: Option<SocketAddr>,
    /// What may wait for a block.
    pub pool: pool::Limits,
    /// Whether what waits is written down, to be taken up again after a restart.
    pub keep_pool: bool,
    /// Which states are kept.
    pub history: History,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The configuration file.
    #[error(transparent)]
    File(#[from] NodeFileError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The genesis file cannot be read.
    #[error("cannot read the genesis file {}: {source}", path.display())]
    Genesis {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The genesis file is not one.
    #[error("{}: {source}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SpecError,
    },
    /// The genesis file names no usable validators.
    #[error("{}: {source}", path.display())]
    Committee {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CommitteeError,
    },
    /// An address that is none.
    #[error("peers.addresses.{name}: {source}")]
    Address {
        /// Whose.
        name: String,
        /// What is wrong.
        source: PeerAddressError,
    },
    /// An address for somebody who is no validator.
    #[error("peers.addresses names {name:?}, but the genesis file has no such validator; it has {known}")]
    Stranger {
        /// The name.
        name: String,
        /// The validators' names.
        known: String,
    },
    /// The key is not one of the validators'.
    #[error(
        "the keys in {} are not those of a validator of {}; one that joins later has `newcomer` in its configuration \
         (synod cluster join)",
        key_file.display(),
        genesis.display()
    )]
    ForeignKeys {
        /// The key file.
        key_file: PathBuf,
        /// The genesis file.
        genesis: PathBuf,
    },
}

impl ClusterConfig {
    /// Reads a configuration file and everything that it names. Whom to ask for a passphrase is `ask`.
    ///
    /// # Errors
    /// When a file is missing or wrong, or files do not fit each other.
    pub fn read(path: &Path, ask: Ask<'_>) -> Result<Self, ConfigError> {
        let file = NodeFile::read(path)?;
        let genesis = fs::read_to_string(&file.genesis).map_err(|source| ConfigError::Genesis {
            path: file.genesis.clone(),
            source,
        })?;
        let spec = ChainSpec::from_json(&genesis).map_err(|source| ConfigError::Spec {
            path: file.genesis.clone(),
            source,
        })?;
        let params = SimplexParams::of(&spec).map_err(|source| ConfigError::Committee {
            path: file.genesis.clone(),
            source,
        })?;
        let keys = read_keys(&file.key_file, file.passphrase_file.as_deref(), ask)?;
        let mine = keys.entry("");
        let is_mine =
            |entry: &&ValidatorEntry| entry.identity == mine.identity && entry.vote_key == mine.vote_key;
        let name = match (params.validators.iter().find(is_mine), file.newcomer) {
            (Some(me), _) => me.name.clone(),
            (None, Some(name)) => name,
            (None, None) => {
                return Err(ConfigError::ForeignKeys {
                    key_file: file.key_file,
                    genesis: file.genesis,
                });
            }
        };
        let mut peers = BTreeMap::new();
        for (name, address) in file.peers.addresses {
            if !params.validators.iter().any(|entry| entry.name == name) {
                let known: Vec<_> = params
                    .validators
                    .iter()
                    .map(|entry| entry.name.as_str())
                    .collect();
                let known = known.join(", ");
                return Err(ConfigError::Stranger { name, known });
            }
            match address.parse() {
                Ok(address) => peers.insert(name, address),
                Err(source) => return Err(ConfigError::Address { name, source }),
            };
        }
        Ok(Self {
            name,
            spec,
            data_dir: file.data_dir,
            keys,
            key_file: file.key_file,
            beneficiary: file.beneficiary,
            rpc_listen: file.rpc.listen,
            rpc: file.rpc.limits(),
            peers_listen: file.peers.listen,
            peers,
            metrics_listen: file.metrics.listen,
            pool: file.pool.limits(),
            keep_pool: file.pool.keep,
            history: file.history,
        })
    }
}
