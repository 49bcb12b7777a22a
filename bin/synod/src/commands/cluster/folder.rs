//! The folder with which a validator's machine starts.

use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use eyre::{Context as _, Result, ensure};
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};
use synod_consensus::simplex::ValidatorKeys;
use synod_node::History;
use synod_node::cluster::{
    MetricsSection, NodeFile, Passphrase, PeersSection, PoolSection, RpcSection, ballot, write_keys,
    write_secret,
};

/// The account with which a validator decides in the council.
pub(super) enum Account {
    /// Its key is elsewhere.
    Given(Address),
    /// Its key goes into the folder.
    Made(PrivateKeySigner),
}

impl Account {
    /// This one, or a new one.
    pub(super) fn or_new(given: Option<Address>) -> Self {
        given.map_or_else(|| Self::Made(PrivateKeySigner::random()), Self::Given)
    }

    pub(super) fn address(&self) -> Address {
        match self {
            Self::Given(address) => *address,
            Self::Made(signer) => signer.address(),
        }
    }
}

/// Where a validator is, and how it is called if the genesis file does not know it.
pub(super) struct Place {
    pub(super) newcomer: Option<String>,
    pub(super) peers_listen: SocketAddr,
    pub(super) rpc_listen: SocketAddr,
    pub(super) metrics_listen: SocketAddr,
}

/// Keys are never overwritten.
pub(super) fn must_be_empty(folder: &Path) -> Result<()> {
    ensure!(
        !fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()),
        "{} is not empty: keys are never overwritten, choose another folder",
        folder.display()
    );
    Ok(())
}

/// Makes the folder of one validator: genesis file, keys, configuration, and the right to a first vote.
pub(super) fn make(
    folder: &Path,
    genesis: &str,
    (keys, passphrase): (&ValidatorKeys, Option<&Passphrase>),
    account: &Account,
    place: Place,
    addresses: BTreeMap<String, String>,
) -> Result<()> {
    let file = |name: &str| -> PathBuf { folder.join(name) };
    make_folder(folder)?;
    write(&file("genesis.json"), genesis)?;
    write_keys(&file("validator.key"), keys, passphrase)?;
    if let Account::Made(signer) = account {
        let path = file("account.key");
        write_secret(&path, &format!("{}\n", signer.to_bytes()))
            .wrap_err_with(|| format!("cannot write {}", path.display()))?;
    }
    ballot::allow_first_vote(folder).wrap_err_with(|| format!("cannot write to {}", folder.display()))?;
    let node = NodeFile {
        genesis: "genesis.json".into(),
        data_dir: "data".into(),
        key_file: "validator.key".into(),
        passphrase_file: None,
        newcomer: place.newcomer,
        beneficiary: Address::ZERO,
        history: History::Archive,
        rpc: RpcSection {
            listen: place.rpc_listen,
            ..Default::default()
        },
        peers: PeersSection {
            listen: place.peers_listen,
            addresses,
        },
        pool: PoolSection::default(),
        metrics: MetricsSection {
            listen: Some(place.metrics_listen),
        },
    };
    write(&file("node.toml"), &node.to_text())
}

pub(super) fn make_folder(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).wrap_err_with(|| format!("cannot make {}", folder.display()))
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
}
