//! `synod node`

use super::dev::asked_to_stop;
use crate::{logging, show::Form};
use clap::Args;
use eyre::Result;
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_node::cluster::{ClusterConfig, ClusterNode};

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// The node's configuration; `synod cluster init` makes one for each validator
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Read and check the configuration, the keys and the genesis file, and do no more
    #[arg(long)]
    check: bool,
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

pub(crate) async fn run(args: NodeArgs, form: Form) -> Result<()> {
    let config = ClusterConfig::read(&args.config)?;
    let chain_id = config.spec.chain_id();
    if args.check {
        return form.print(&Checked {
            chain_id,
            validator: config.name,
        });
    }
    logging::start(
        "info,commonware_p2p=warn,commonware_consensus=warn,commonware_runtime=warn,commonware_storage=warn",
    );
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
