//! `synod dev`

use crate::{genesis_file, logging, show::Form};
use alloy_primitives::{Address, B256};
use alloy_signer_local::{MnemonicBuilder, coins_bip39::English};
use clap::Args;
use eyre::{Result, WrapErr, ensure};
use serde::Serialize;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    time::Duration,
};
use synod_chain::{Chain, ChainSpec, spec::DEV_MNEMONIC};
use synod_node::{History, Mining, Node, NodeConfig};
use synod_rpc::Dump;

/// How many accounts the development chain funds.
const ACCOUNTS: u32 = 10;

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Port for HTTP and WebSocket; 0 takes a free one
    #[arg(long, short, value_name = "PORT", default_value_t = 8545)]
    port: u16,

    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// Folder in which the chain is kept; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = "synod-data")]
    data_dir: PathBuf,

    /// Make a block every so many seconds instead of one for each transaction at once
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_mining")]
    block_time: Option<f64>,

    /// Make blocks only when told to (evm_mine)
    #[arg(long)]
    no_mining: bool,

    /// Genesis file in geth's form; without it the development chain, whose id is 1337
    #[arg(long, value_name = "FILE")]
    genesis: Option<PathBuf>,

    /// Who gets the fees
    #[arg(long, value_name = "ADDRESS", default_value_t = Address::ZERO)]
    beneficiary: Address,

    /// Keep the states after so many of the last blocks for reads and proofs, or `archive` for all of them
    #[arg(long, value_name = "BLOCKS", default_value_t)]
    history: History,

    /// Write down what waits for a block, and take it up again after a restart
    #[arg(long)]
    keep_pool: bool,

    /// Take up the blocks of this file first (RLP, one after another, as geth exports them); those that are there already are
    /// skipped
    #[arg(long, value_name = "FILE")]
    import: Option<PathBuf>,

    /// Put the accounts of this file into the state first (anvil_dumpState's bytes or JSON)
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    load_state: Option<PathBuf>,

    /// Write every account to this file at the end
    #[arg(long, value_name = "FILE", conflicts_with = "state")]
    dump_state: Option<PathBuf>,

    /// Both: load the accounts of this file if it exists, and write them back at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

#[derive(Serialize)]
struct Ready {
    rpc_url: String,
    chain_id: u64,
    data_dir: PathBuf,
    block: u64,
    accounts: Vec<Funded>,
}

/// An account whose key the whole world knows.
#[derive(Serialize)]
struct Funded {
    address: Address,
    private_key: B256,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Accounts of the test mnemonic; anybody has these keys:\n")?;
        for account in &self.accounts {
            writeln!(f, "  {}\n    key {}", account.address, account.private_key)?;
        }
        writeln!(
            f,
            "\nchain {} at block {} in {}\nlistening on {} (HTTP and WebSocket); Ctrl-C stops",
            self.chain_id,
            self.block,
            self.data_dir.display(),
            self.rpc_url
        )
    }
}

pub(crate) async fn run(args: DevArgs, form: Form) -> Result<()> {
    logging::start("info");
    let spec = match &args.genesis {
        Some(file) => genesis_file::read(file)?,
        None => ChainSpec::dev(),
    };
    let config = NodeConfig {
        host: args.host,
        port: args.port,
        mining: args.mining()?,
        spec,
        beneficiary: args.beneficiary,
        keep_pool: args.keep_pool,
        history: args.history,
        ..NodeConfig::dev(&args.data_dir)
    };
    let chain_id = config.spec.chain_id();
    let spec = config.spec.clone();
    args.prepare(&spec)?;
    let mut node = Node::start(config).await?;
    form.print(&Ready {
        rpc_url: format!("http://{}", node.http_addr()),
        chain_id,
        data_dir: args.data_dir.clone(),
        block: node.chain().head().number(),
        accounts: accounts()?,
    })?;
    let fault = tokio::select! {
        result = node.stopped() => result,
        signal = asked_to_stop() => Ok(signal?),
    };
    let stopped = node.stop().await;
    fault?;
    stopped?;
    args.dump(&spec)
}

impl DevArgs {
    /// What goes into the chain before the node starts.
    fn prepare(&self, spec: &ChainSpec) -> Result<()> {
        let existing = self.state.clone().filter(|file| file.exists());
        let state = self.load_state.clone().or(existing);
        if self.import.is_none() && state.is_none() {
            return Ok(());
        }
        let chain = Chain::open(&self.data_dir, spec.clone())?;
        if let Some(file) = &self.import {
            let blocks = read(file)?;
            let imported = chain
                .import_rlp(&blocks)
                .wrap_err_with(|| format!("cannot import {}", file.display()))?;
            tracing::info!(imported, height = chain.head().number(), "blocks imported");
        }
        if let Some(file) = state {
            let dump = Dump::unpack(&read(&file)?)
                .wrap_err_with(|| format!("cannot load the state in {}", file.display()))?;
            chain.edit(&dump.edits())?;
        }
        Ok(())
    }

    /// Writes the state, if that was asked for.
    fn dump(&self, spec: &ChainSpec) -> Result<()> {
        let Some(file) = self.dump_state.as_ref().or(self.state.as_ref()) else {
            return Ok(());
        };
        let chain = Chain::open(&self.data_dir, spec.clone())?;
        let state = chain.export(&mut |_| ())?;
        let dump = Dump::new(state.accounts, state.header.number).pack()?;
        std::fs::write(file, dump).wrap_err_with(|| format!("cannot write {}", file.display()))
    }

    fn mining(&self) -> Result<Mining> {
        match self.block_time {
            Some(seconds) => {
                ensure!(
                    (0.01..=86_400.0).contains(&seconds),
                    "--block-time is from 0.01 to 86400 seconds"
                );
                Ok(Mining::Interval(Duration::from_secs_f64(seconds)))
            }
            None if self.no_mining => Ok(Mining::Manual),
            None => Ok(Mining::Instant),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).wrap_err_with(|| format!("cannot read {}", file.display()))
}

/// The accounts that the development chain funds and the node signs for.
fn accounts() -> Result<Vec<Funded>> {
    (0..ACCOUNTS)
        .map(|index| {
            let signer = MnemonicBuilder::<English>::default()
                .phrase(DEV_MNEMONIC)
                .index(index)?
                .build()?;
            Ok(Funded {
                address: signer.address(),
                private_key: signer.to_bytes(),
            })
        })
        .collect()
}

/// Returns when the process is asked to end: Ctrl-C, or SIGTERM as service managers send it.
pub(crate) async fn asked_to_stop() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}
