//! `synod cluster init`

use super::folder::{self, Account, Place};
use crate::{
    genesis_file,
    passphrase::PassphraseArgs,
    show::{Bar, Form, note},
};
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, U256};
use clap::Args;
use commonware_utils::sys_rng;
use eyre::{Context as _, Result, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use synod_chain::{
    Chain, ChainSpec,
    council::{self, COUNCIL, DEFAULT_EPOCH_BLOCKS},
    spec::{Fees, SynodParams, dev_accounts, dev_genesis},
};
use synod_consensus::simplex::{SimplexParams, ValidatorKeys, net::PeerAddress};

/// Gas of a block, if nothing else is said.
const GAS_LIMIT: u64 = 150_000_000;

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// How many validators; 3f + 1 of them survive the loss of f
    #[arg(long, value_name = "N", default_value_t = 4)]
    validators: u16,

    /// Folder to make, with one folder in it for each validator
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// Where the validators' machines are: one host name or address for each, separated by commas. Without it all are on
    /// this machine, on ports that follow each other
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    hosts: Vec<String>,

    /// Port (the first, if all are on this machine) on which validators meet
    #[arg(long, value_name = "PORT", default_value_t = 9545)]
    peers_port: u16,

    /// Port (the first, if all are on this machine) for clients
    #[arg(long, value_name = "PORT", default_value_t = 8545)]
    rpc_port: u16,

    /// Port (the first, if all are on this machine) for Prometheus and health checks
    #[arg(long, value_name = "PORT", default_value_t = 9600)]
    metrics_port: u16,

    /// The chain's id (EIP-155); drawn at random if it is left out
    #[arg(long, value_name = "ID")]
    chain_id: Option<u64>,

    /// Gas of a block, 150,000,000 if nothing else is said. The clocks of consensus follow from it
    #[arg(long, value_name = "GAS")]
    gas_limit: Option<u64>,

    /// Least time between two blocks, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 200)]
    block_interval_ms: u64,

    /// While nothing waits to be mined, a block is made after this time, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    heartbeat_ms: u64,

    /// Blocks of an epoch. Changes of the validators and upgrades take effect when one ends
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EPOCH_BLOCKS)]
    epoch_blocks: u64,

    /// The accounts with which the validators decide in the council: one for each, separated by commas. Without it each
    /// folder gets the key of a new one
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    accounts: Vec<Address>,

    /// Give this account a million ether at the start; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    fund: Vec<Address>,

    /// Gas costs nothing: accounts need no money, and what transactions offer for gas is not taken
    #[arg(long, conflicts_with = "fee_recipient")]
    free: bool,

    /// Give the base fee of every transaction to this account; without it they are burnt
    #[arg(long, value_name = "ADDRESS")]
    fee_recipient: Option<Address>,

    /// Fund the ten accounts of the test mnemonic, whose keys the whole world knows: only to try things
    #[arg(long)]
    dev_accounts: bool,

    /// Begin with the state in which another chain ended: a node's data folder, which no node may use meanwhile. Its rules and
    /// chain id are taken over
    #[arg(long, value_name = "DIR", requires = "state_genesis", conflicts_with_all = ["fund", "dev_accounts"])]
    state_of: Option<PathBuf>,

    /// The genesis file of the chain in that folder
    #[arg(long, value_name = "FILE", requires = "state_of")]
    state_genesis: Option<PathBuf>,

    /// Encrypt all validators' keys with a passphrase
    #[arg(long)]
    encrypt: bool,

    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Made {
    chain_id: u64,
    genesis: PathBuf,
    validators: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    name: String,
    account: Address,
    folder: PathBuf,
    rpc_url: String,
    peers: String,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "chain {}, genesis {}\n", self.chain_id, self.genesis.display())?;
        for member in &self.validators {
            writeln!(
                f,
                "  {}  {}  rpc {}  peers {}",
                member.name,
                member.folder.display(),
                member.rpc_url,
                member.peers
            )?;
        }
        writeln!(
            f,
            "\ngive each machine its folder and start `synod node --config FOLDER/node.toml` there,\n\
             or all of them here: synod cluster up {}",
            self.genesis.parent().unwrap_or(Path::new(".")).display()
        )
    }
}

pub(crate) fn run(args: InitArgs, form: Form) -> Result<()> {
    let count = usize::from(args.validators);
    ensure!((1..=256).contains(&count), "--validators is from 1 to 256");
    ensure!(
        args.hosts.is_empty() || args.hosts.len() == count,
        "--hosts names {} machines for {count} validators",
        args.hosts.len()
    );
    folder::must_be_empty(&args.out)?;
    let passphrase = args.passphrase.new_if(args.encrypt)?;
    let keys: Vec<_> = (0..count)
        .map(|_| ValidatorKeys::random(&mut sys_rng()))
        .collect();
    let names: Vec<_> = (0..count).map(|index| format!("validator-{index}")).collect();
    let entries = names
        .iter()
        .zip(&keys)
        .map(|(name, keys)| keys.entry(name.clone()));
    let origin = match (&args.state_of, &args.state_genesis) {
        (Some(data), Some(genesis)) => continued(data, genesis)?,
        _ => dev_genesis(),
    };
    let gas_limit = match (args.gas_limit, &args.state_of) {
        (Some(gas), _) => gas,
        (None, Some(_)) => origin.gas_limit,
        (None, None) => GAS_LIMIT,
    };
    let params = SimplexParams::paced(
        entries.collect(),
        gas_limit,
        args.block_interval_ms,
        args.heartbeat_ms,
    )
    .with_epoch_blocks(args.epoch_blocks);
    let places = args.places()?;
    let accounts = args.council_accounts()?;
    let seats = params.validators.iter().zip(&accounts).zip(&places);
    let seats = seats.map(|((entry, account), place)| entry.seat(account.address(), place.peers.clone()));
    let council = council::genesis_account(args.epoch_blocks, seats.collect())?;
    let (genesis, chain_id) = genesis(&args, origin, gas_limit, &params, council, &accounts)?;

    folder::make_folder(&args.out)?;
    let genesis_file = args.out.join("genesis.json");
    folder::write(&genesis_file, &genesis)?;
    let addresses: BTreeMap<_, _> = names
        .iter()
        .zip(&places)
        .map(|(name, place)| (name.clone(), place.peers.clone()))
        .collect();
    let mut validators = Vec::new();
    for (((name, keys), place), account) in names.into_iter().zip(&keys).zip(places).zip(accounts) {
        let folder = args.out.join(&name);
        let rpc_url = format!("http://{}", place.machine.rpc_listen);
        let secrets = (keys, passphrase.as_ref());
        folder::make(
            &folder,
            &genesis,
            secrets,
            &account,
            place.machine,
            addresses.clone(),
        )?;
        validators.push(Member {
            name,
            account: account.address(),
            folder,
            rpc_url,
            peers: place.peers,
        });
    }
    form.print(&Made {
        chain_id,
        genesis: genesis_file,
        validators,
    })
}

/// Where one validator is, for its peers and on its machine.
struct Seat {
    peers: String,
    machine: Place,
}

impl InitArgs {
    fn council_accounts(&self) -> Result<Vec<Account>> {
        let count = usize::from(self.validators);
        if self.accounts.is_empty() {
            return Ok((0..count).map(|_| Account::or_new(None)).collect());
        }
        ensure!(
            self.accounts.len() == count,
            "--accounts names {} accounts for {count} validators",
            self.accounts.len()
        );
        Ok(self.accounts.iter().copied().map(Account::Given).collect())
    }

    fn places(&self) -> Result<Vec<Seat>> {
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if !self.hosts.is_empty() {
            let all = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let place = |host: &String| {
                let peers = format!("{host}:{}", self.peers_port);
                peers
                    .parse::<PeerAddress>()
                    .wrap_err_with(|| format!("--hosts: {host:?} is no host"))?;
                Ok(Seat {
                    peers,
                    machine: Place {
                        newcomer: None,
                        peers_listen: SocketAddr::new(all, self.peers_port),
                        rpc_listen: SocketAddr::new(here, self.rpc_port),
                        metrics_listen: SocketAddr::new(here, self.metrics_port),
                    },
                })
            };
            return self.hosts.iter().map(place).collect();
        }
        let port = |first: u16, index: u16| {
            first
                .checked_add(index)
                .ok_or_else(|| eyre::eyre!("port {first} is too high for {} validators", self.validators))
        };
        (0..self.validators)
            .map(|index| {
                let peers_listen = SocketAddr::new(here, port(self.peers_port, index)?);
                Ok(Seat {
                    peers: peers_listen.to_string(),
                    machine: Place {
                        newcomer: None,
                        peers_listen,
                        rpc_listen: SocketAddr::new(here, port(self.rpc_port, index)?),
                        metrics_listen: SocketAddr::new(here, port(self.metrics_port, index)?),
                    },
                })
            })
            .collect()
    }
}

/// The genesis file's text, and the chain's id.
fn genesis(
    args: &InitArgs,
    mut genesis: Genesis,
    gas_limit: u64,
    params: &SimplexParams,
    council: GenesisAccount,
    accounts: &[Account],
) -> Result<(String, u64)> {
    let continues = args.state_of.is_some();
    let old = continues.then_some(genesis.config.chain_id);
    let chain_id = args.chain_id.or(old).unwrap_or_else(|| {
        // Above the ids that are in use, below what wallets cannot show.
        let random = u64::from_be_bytes(keys_hash(params)[..8].try_into().expect("eight bytes"));
        0x100_0000 + random % 0x7000_0000
    });
    genesis.config.chain_id = chain_id;
    genesis.gas_limit = gas_limit;
    let fields = &mut genesis.config.extra_fields;
    // A chain that goes on keeps its parameters, but for what is asked for.
    let mut synod: SynodParams = match fields.get("synod") {
        Some(value) => serde_json::from_value(value.clone())?,
        None => SynodParams::default(),
    };
    if args.free || args.fee_recipient.is_some() {
        synod.fees = Fees {
            free: args.free,
            recipient: args.fee_recipient,
        };
    }
    if synod.fees.free {
        genesis.base_fee_per_gas = Some(0);
    }
    fields.insert("synod".into(), serde_json::to_value(synod)?);
    genesis
        .config
        .extra_fields
        .insert(SimplexParams::FIELD.into(), serde_json::to_value(params)?);
    genesis.extra_data = params.commitment(&serde_json::to_value(&genesis.config)?).into();
    if !args.dev_accounts && !continues {
        for account in dev_accounts() {
            genesis.alloc.remove(&account);
        }
    }
    genesis.alloc.insert(COUNCIL, council);
    let ether = U256::from(10u64).pow(U256::from(18u64));
    for account in accounts {
        // For the fees of what it decides.
        genesis.alloc.entry(account.address()).or_default().balance = ether * U256::from(1000);
    }
    let million = U256::from(10u64).pow(U256::from(24u64));
    for account in &args.fund {
        genesis.alloc.entry(*account).or_default().balance = million;
    }
    let text = serde_json::to_string_pretty(&genesis)? + "\n";
    let spec = ChainSpec::from_json(&text).wrap_err("these options make no chain")?;
    let chain = synod_chain::Chain::in_memory(spec.clone())?;
    synod_consensus::simplex::Committee::of_genesis(&chain)?;
    Ok((text, chain_id))
}

/// The genesis of a chain that begins where the one in a data folder ended.
fn continued(data: &Path, file: &Path) -> Result<Genesis> {
    let spec = genesis_file::read(file)?;
    let folder = data.join("chain");
    ensure!(
        folder.is_dir(),
        "{} has no chain: --state-of names a node's data folder",
        data.display()
    );
    let mut genesis = spec.genesis().clone();
    let chain = Chain::open(&folder, spec).wrap_err_with(|| format!("cannot open {}", folder.display()))?;
    let last = chain.head().number();
    let mut bar = Bar::count("running blocks again", last);
    let state = chain.export(&mut |_| bar.advance(1))?;
    bar.finish();
    note(format_args!(
        "the state after block {last} ({}, state root {}): {} accounts",
        chain.head().hash(),
        state.header.state_root,
        state.accounts.len()
    ));
    genesis.alloc = state.accounts;
    if let Some(synod) = chain.spec().synod_at(last + 1) {
        // As the council's upgrades have left them.
        let fields = &mut genesis.config.extra_fields;
        fields.insert("synod".into(), serde_json::to_value(&*synod)?);
    }
    // Time goes on.
    genesis.timestamp = state.header.timestamp;
    Ok(genesis)
}

/// Random, since the keys are.
fn keys_hash(params: &SimplexParams) -> alloy_primitives::B256 {
    alloy_primitives::keccak256(params.commitment(&serde_json::Value::Null))
}
