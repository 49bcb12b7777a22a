//! `synod demo`

use super::dev::asked_to_stop;
use crate::{
    client::Client,
    demo::{self, Report, Story},
    logging,
    show::Form,
};
use clap::Args;
use eyre::{Context as _, Result, eyre};
use std::path::Path;
use synod_node::{Node, NodeConfig};

/// One of the held-out analyses, for whoever goes on trying.
const SAMPLE: &str = include_str!("../../../../examples/cellar/sample.csv");

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the node running afterwards, and say what to try next
    #[arg(long)]
    keep: bool,

    /// Port of the demo's node; without it a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

pub(crate) async fn run(args: DemoArgs, form: Form) -> Result<()> {
    logging::start("warn");
    let folder = tempfile::tempdir().wrap_err("cannot make a temporary folder")?;
    let config = NodeConfig {
        port: args.port,
        ..NodeConfig::dev(folder.path().join("chain"))
    };
    let mut node = Node::start(config).await?;
    let url = format!("http://{}", node.http_addr());
    let story = Story::new(form);

    let played = tokio::select! {
        played = play(&url, folder.path(), &story) => played,
        fault = node.stopped() => Err(fault.err().map_or_else(|| eyre!("the node ended"), Into::into)),
        signal = asked_to_stop() => Err(signal.err().map_or_else(|| eyre!("interrupted"), Into::into)),
    };
    let finished = match played {
        Ok(report) if args.keep => {
            story.end(&report)?;
            keep(&mut node, &url, &report, folder.path(), &story).await
        }
        Ok(report) => story.end(&report),
        Err(error) => Err(error),
    };
    let stopped = node.stop().await;
    finished?;
    Ok(stopped?)
}

async fn play(url: &str, folder: &Path, story: &Story) -> Result<Report> {
    let client = Client::connect(url).await?;
    story.chapter("A chain of its own");
    story.line(format_args!(
        "node {url}, chain id {}, kept in {}",
        client.chain_id(),
        folder.display()
    ));
    demo::play(&client, url, story).await
}

/// Says what to try next, and waits.
async fn keep(node: &mut Node, url: &str, report: &Report, folder: &Path, story: &Story) -> Result<()> {
    let sample = folder.join("sample.csv");
    std::fs::write(&sample, SAMPLE).wrap_err_with(|| format!("cannot write {}", sample.display()))?;
    let (sample, pulled) = (sample.display(), folder.join("pulled"));
    let pulled = pulled.display();
    story.chapter("Try next, in another terminal (Ctrl-C here stops the node)");
    story.line(format_args!("export ETH_RPC_URL={url}"));
    story.line("synod model list");
    story.line(format_args!("synod predict cellar/wine --input {sample}"));
    story.line(format_args!("synod model pull cellar/wine --output-dir {pulled}"));
    story.line(format_args!(
        "synod model run {pulled}/model.onnx --input {sample}"
    ));
    story.line("cast block latest");
    for example in &report.examples {
        story.line(format_args!(
            "cast call {} 'MODEL()(string)'          # {}",
            example.contract, example.name
        ));
    }
    story.line("curl -s $ETH_RPC_URL -H content-type:application/json \\");
    story.line(r#"     -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}'"#);
    tokio::select! {
        fault = node.stopped() => Ok(fault?),
        signal = asked_to_stop() => Ok(signal?),
    }
}
