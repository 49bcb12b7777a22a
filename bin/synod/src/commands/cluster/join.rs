//! `synod cluster join`

use super::{
    council::Seat,
    init::{ACCOUNT_KEY, write_account_key},
};
use crate::{passphrase::PassphraseArgs, show::Form};
use alloy_primitives::Address;
use alloy_signer_local::PrivateKeySigner;
use clap::Args;
use commonware_utils::sys_rng;
use eyre::{Context as _, Result, bail, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use synod_chain::{ChainSpec, council::Council};
use synod_consensus::simplex::{SimplexParams, ValidatorKeys, net::PeerAddress};
use synod_node::cluster::{MetricsSection, NodeFile, PeersSection, RpcSection, ballot, write_keys};

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The cluster's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,

    /// What people will call the validator
    #[arg(long)]
    name: String,

    /// Where the other validators will reach it
    #[arg(long, value_name = "HOST:PORT")]
    host: String,

    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// The account with which it will decide in the council; without it the folder gets the key of a new one
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,

    /// Port on which validators meet; that of --host if it is left out
    #[arg(long, value_name = "PORT")]
    peers_port: Option<u16>,

    /// Port for clients
    #[arg(long, value_name = "PORT", default_value_t = 8545)]
    rpc_port: u16,

    /// Port for Prometheus and health checks
    #[arg(long, value_name = "PORT", default_value_t = 9600)]
    metrics_port: u16,

    /// Encrypt the validator's keys with a passphrase
    #[arg(long)]
    encrypt: bool,

    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Made {
    name: String,
    folder: PathBuf,
    seat: PathBuf,
    account: Address,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}  {}  account {}\n",
            self.name,
            self.folder.display(),
            self.account
        )?;
        writeln!(
            f,
            "1. give {} to the validators; more than two thirds of them run\n     \
             synod cluster council add-validator {} --keystore …\n\
             2. start the node, before or after that: synod node --config {}\n\
             it votes from the next epoch on",
            self.seat.display(),
            self.seat.file_name().unwrap_or_default().display(),
            self.folder.join("node.toml").display()
        )
    }
}

pub(crate) fn run(args: JoinArgs, form: Form) -> Result<()> {
    let text = fs::read_to_string(&args.genesis)
        .wrap_err_with(|| format!("cannot read {}", args.genesis.display()))?;
    let spec = ChainSpec::from_json(&text)
        .wrap_err_with(|| format!("{} is no genesis file", args.genesis.display()))?;
    let params = SimplexParams::of(&spec).wrap_err_with(|| format!("{}", args.genesis.display()))?;
    ensure!(
        (1..=64).contains(&args.name.len()),
        "--name has {} bytes, a name has 1 to 64",
        args.name.len()
    );
    ensure!(
        params
            .validators
            .iter()
            .all(|validator| validator.name != args.name),
        "a validator of the genesis file is called {:?}: choose another name",
        args.name
    );
    let port = match args.host.parse::<PeerAddress>().wrap_err("--host")? {
        PeerAddress::Socket(socket) => socket.port(),
        PeerAddress::Host(_, port) => port,
    };
    if fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!(
            "{} is not empty: keys are never overwritten, choose another folder",
            args.out.display()
        );
    }
    fs::create_dir_all(&args.out).wrap_err_with(|| format!("cannot make {}", args.out.display()))?;
    let file = |name: &str| args.out.join(name);
    write(&file("genesis.json"), &text)?;
    let keys = ValidatorKeys::random(&mut sys_rng());
    let passphrase = match args.encrypt {
        true => Some(args.passphrase.new_passphrase()?),
        false => None,
    };
    write_keys(&file("validator.key"), &keys, passphrase.as_ref())?;
    let account = match args.account {
        Some(account) => account,
        None => {
            let signer = PrivateKeySigner::random();
            write_account_key(&file(ACCOUNT_KEY), &signer)?;
            signer.address()
        }
    };
    let seat = Seat {
        account,
        host: args.host,
        entry: keys.entry(args.name.clone()),
    };
    write(&file("seat.json"), &(serde_json::to_string_pretty(&seat)? + "\n"))?;
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let node = NodeFile {
        genesis: "genesis.json".into(),
        data_dir: "data".into(),
        key_file: "validator.key".into(),
        passphrase_file: None,
        newcomer: Some(args.name.clone()),
        beneficiary: Address::ZERO,
        rpc: RpcSection {
            listen: SocketAddr::new(local, args.rpc_port),
            ..Default::default()
        },
        peers: PeersSection {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), args.peers_port.unwrap_or(port)),
            addresses: first_hosts(spec)?,
        },
        metrics: MetricsSection {
            listen: Some(SocketAddr::new(local, args.metrics_port)),
        },
    };
    write(&file("node.toml"), &node.to_text())?;
    ballot::allow_first_vote(&args.out)
        .wrap_err_with(|| format!("cannot write to {}", args.out.display()))?;
    form.print(&Made {
        name: args.name,
        seat: file("seat.json"),
        folder: args.out,
        account,
    })
}

/// Where the genesis file's validators said that they are: a newcomer begins with these.
fn first_hosts(spec: ChainSpec) -> Result<BTreeMap<String, String>> {
    let chain = synod_chain::Chain::in_memory(spec)?;
    let sitting = chain.sitting()?;
    let named = sitting.map(|sitting| sitting.validators).unwrap_or_default();
    let host = |Council::Validator { name, host, .. }| (name, host);
    Ok(named
        .into_iter()
        .map(host)
        .filter(|(_, host)| !host.is_empty())
        .collect())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
}
