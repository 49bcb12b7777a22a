//! `synod cluster join`

use super::{
    council::Seat,
    folder::{self, Account, Place},
};
use crate::{genesis_file, passphrase::PassphraseArgs, show::Form};
use alloy_primitives::Address;
use clap::Args;
use commonware_utils::sys_rng;
use eyre::{Context as _, Result, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use synod_chain::{ChainSpec, council::Council};
use synod_consensus::simplex::{SimplexParams, ValidatorKeys, net::PeerAddress};

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
    let (spec, genesis) = genesis_file::read_text(&args.genesis)?;
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
    folder::must_be_empty(&args.out)?;
    let passphrase = args.passphrase.new_if(args.encrypt)?;
    let (keys, account) = (
        ValidatorKeys::random(&mut sys_rng()),
        Account::or_new(args.account),
    );
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let peers_port = args.peers_port.unwrap_or(port);
    let place = Place {
        newcomer: Some(args.name.clone()),
        peers_listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), peers_port),
        rpc_listen: SocketAddr::new(local, args.rpc_port),
        metrics_listen: SocketAddr::new(local, args.metrics_port),
    };
    let secrets = (&keys, passphrase.as_ref());
    folder::make(&args.out, &genesis, secrets, &account, place, first_hosts(spec)?)?;
    let seat = args.out.join("seat.json");
    let entry = Seat {
        account: account.address(),
        host: args.host,
        entry: keys.entry(args.name.clone()),
    };
    folder::write(&seat, &(serde_json::to_string_pretty(&entry)? + "\n"))?;
    form.print(&Made {
        name: args.name,
        seat,
        folder: args.out,
        account: account.address(),
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
