//! `synod node`

use super::dev::asked_to_stop;
use crate::{genesis_file, logging, passphrase, show::Form};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, net::SocketAddr, path::PathBuf};
use synod_node::{
    History,
    cluster::{ClusterConfig, ClusterNode, FollowConfig, FollowNode, RpcSection},
};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("role").required(true).args(["config", "follow"])))]
pub(crate) struct NodeArgs {
    /// A validator's configuration; `synod cluster init` makes one for each
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Read and check the configuration, the keys and the genesis file, and do no more
    #[arg(long, requires = "config")]
    check: bool,

    /// Follow a cluster without a key and a vote: fetch final blocks from these nodes, check certificates, execute, serve
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        requires = "genesis",
        requires = "data_dir"
    )]
    follow: Vec<String>,

    /// The cluster's genesis file. It is the only thing that a follower believes
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    genesis: Option<PathBuf>,

    /// Where a follower keeps the chain
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,

    /// Where a follower listens for clients, 127.0.0.1:8545 if nothing else is said
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    rpc_listen: Option<SocketAddr>,

    /// What a follower's clients may ask for: the keys of a node.toml's [rpc] section, in a file of their own
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    rpc_config: Option<PathBuf>,

    /// The states after how many of the last blocks a follower keeps, or `archive` for all; a node.toml has it as `history`
    #[arg(long, value_name = "BLOCKS", default_value_t, conflicts_with = "config")]
    history: History,

    /// Where a follower answers `/metrics`, `/health` and `/ready`
    #[arg(long, value_name = "ADDRESS", conflicts_with = "config")]
    metrics_listen: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Ready {
    rpc_url: String,
    chain_id: u64,
    block: u64,
    votes: bool,
}

impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.votes {
            "votes"
        } else {
            "follows without a vote"
        };
        writeln!(
            f,
            "chain {} at block {}, this node {role}\nlistening on {} (HTTP and WebSocket); Ctrl-C stops",
            self.chain_id, self.block, self.rpc_url
        )
    }
}

#[derive(Serialize)]
struct Checked {
    chain_id: u64,
    validator: String,
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of chain {}: the configuration is in order",
            self.validator, self.chain_id
        )
    }
}

/// What goes to the log: of the libraries, what is wrong.
const LOG: &str =
    "info,commonware_p2p=warn,commonware_consensus=warn,commonware_runtime=warn,commonware_storage=warn";

pub(crate) async fn run(args: NodeArgs, form: Form) -> Result<()> {
    match &args.config {
        Some(file) => vote(ClusterConfig::read(file, &passphrase::ask)?, args.check, form).await,
        None => follow(args, form).await,
    }
}

async fn follow(args: NodeArgs, form: Form) -> Result<()> {
    let (Some(genesis), Some(data_dir)) = (args.genesis, args.data_dir) else {
        eyre::bail!("--follow needs --genesis and --data-dir");
    };
    let spec = genesis_file::read(&genesis)?;
    let chain_id = spec.chain_id();
    let rpc = match &args.rpc_config {
        Some(file) => RpcSection::read(file)?,
        None => RpcSection::default(),
    };
    logging::start(LOG);
    let config = FollowConfig {
        sources: args.follow,
        spec,
        data_dir,
        rpc_listen: args.rpc_listen.unwrap_or(rpc.listen),
        rpc: rpc.limits(),
        metrics_listen: args.metrics_listen,
        history: args.history,
    };
    let mut node = FollowNode::start(config).await?;
    form.print(&Ready {
        rpc_url: format!("http://{}", node.http_addr()),
        chain_id,
        block: node.chain().head().number(),
        votes: false,
    })?;
    let fault = tokio::select! {
        result = node.stopped() => result,
        signal = asked_to_stop() => Ok(signal?),
    };
    node.stop().await;
    Ok(fault?)
}

async fn vote(config: ClusterConfig, check: bool, form: Form) -> Result<()> {
    let chain_id = config.spec.chain_id();
    if check {
        return form.print(&Checked {
            chain_id,
            validator: config.name,
        });
    }
    logging::start(LOG);
    let mut node = ClusterNode::start(config).await?;
    form.print(&Ready {
        rpc_url: format!("http://{}", node.http_addr()),
        chain_id,
        block: node.chain().head().number(),
        votes: node.votes(),
    })?;
    let fault = tokio::select! {
        result = node.stopped() => result,
        signal = asked_to_stop() => Ok(signal?),
    };
    let stopped = node.stop().await;
    fault?;
    Ok(stopped?)
}
