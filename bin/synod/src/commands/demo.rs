//! `synod demo`

use super::dev::asked_to_stop;
use crate::{
    client::Client,
    demo::{self, Act, Report, Story},
    logging,
    show::{Form, note},
};
use clap::Args;
use eyre::{Context as _, Result, ensure, eyre};
use std::path::{Path, PathBuf};
use synod_node::{Node, NodeConfig};

/// One of the held-out analyses, for whoever goes on trying.
const SAMPLE: &str = include_str!("../../../../examples/cellar/sample.csv");

/// Where the project has a translator.
const TRANSLATOR: &str = "examples/translate/en-de";

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leave the node running afterwards, and say what to try next
    #[arg(long)]
    keep: bool,

    /// Play these acts alone
    #[arg(long, value_name = "ACT", value_enum, value_delimiter = ',', default_values_t = [Act::Cellar, Act::Fleet, Act::Translate])]
    only: Vec<Act>,

    /// Folder with the translator of the last act, which is left out without one
    #[arg(long, value_name = "FOLDER", default_value = TRANSLATOR)]
    translator: PathBuf,

    /// Port of the demo's node; without it a free one
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
}

pub(crate) async fn run(args: DemoArgs, form: Form) -> Result<()> {
    logging::start("warn");
    let mut acts = args.only;
    let translator = args.translator;
    if acts.contains(&Act::Translate) && !translator.is_dir() {
        ensure!(
            acts.len() > 1 && translator == Path::new(TRANSLATOR),
            "there is no folder {}: --translator names one with the networks of examples/translate/en-de",
            translator.display()
        );
        acts.retain(|&act| act != Act::Translate);
        note(format_args!(
            "the act `translate` is left out: {} is not here, and --translator names no other folder",
            translator.display()
        ));
    }
    let folder = tempfile::tempdir().wrap_err("cannot make a temporary folder")?;
    let config = NodeConfig {
        port: args.port,
        ..NodeConfig::dev(folder.path().join("chain"))
    };
    let mut node = Node::start(config).await?;
    let url = format!("http://{}", node.http_addr());
    let story = Story::new(form);

    let played = tokio::select! {
        played = play(&url, folder.path(), &acts, &translator, &story) => played,
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

async fn play(url: &str, folder: &Path, acts: &[Act], translator: &Path, story: &Story) -> Result<Report> {
    let client = Client::connect(url).await?;
    story.chapter("A chain of its own");
    story.line(format_args!(
        "node {url}, chain id {}, kept in {}",
        client.chain_id(),
        folder.display()
    ));
    demo::play(&client, url, acts, translator, story).await
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
    let played = |name: &str| report.examples.iter().any(|example| example.name == name);
    if played("cellar") {
        story.line(format_args!("synod predict cellar/wine --input {sample}"));
        story.line(format_args!("synod model pull cellar/wine --output-dir {pulled}"));
        story.line(format_args!(
            "synod model run {pulled}/model.onnx --input {sample}"
        ));
    }
    if let Some(translate) = &report.translate {
        story.line(format_args!(
            "synod predict {} --text \"I do not understand this question.\" --stream",
            translate.model
        ));
        story.line(format_args!(
            "cast call {} 'tenderAt(uint256)((address,uint64,string,string))' 0",
            translate.contract
        ));
    }
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
