//! `cargo xtask bench`: what a predict costs, in time and gas, how the node carries it, and what a large state costs.
//!
//! Everything is measured in one run on one machine, and where it makes sense beside a peer in the same run, since
//! ratios travel between machines and seconds do not. The report is Markdown for `docs/benchmarks.md`.

mod baseline;
mod cluster;
mod cores;
mod examples;
#[allow(
    clippy::unwrap_used,
    reason = "written for tests, where what cannot go on fails"
)]
#[path = "../../../crates/pipeline/tests/fixture/mod.rs"]
mod fixture;
mod load;
mod mobilenet;
mod predict;
mod publish;
mod report;
mod state;
mod transfers;
mod wire;
mod words;

use clap::Parser;
use eyre::Result;
use report::Report;
use std::path::PathBuf;
use synod_testing::Node;

/// What to measure, and with what.
#[derive(Debug, Parser)]
struct Options {
    /// The `synod` binary, built with the release profile.
    #[arg(long)]
    synod: PathBuf,
    /// The anvil binary to compare with; without it that comparison is left out and the report says so.
    #[arg(long)]
    anvil: Option<PathBuf>,
    /// Root of the project, for its examples and contracts.
    #[arg(long)]
    root: PathBuf,
    /// Where the report goes.
    #[arg(long)]
    output: PathBuf,
    /// Megabytes of weights of the networks that are published.
    #[arg(long, value_delimiter = ',', default_value = "14,100")]
    publish: Vec<usize>,
    /// Measure a cluster of four processes instead.
    #[arg(long)]
    cluster: bool,
    /// Measure calls, transactions or both over RPC alone, and put what comes out in its place in the report that is there.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_missing_value = "calls,transactions")]
    rpc: Option<Vec<String>>,
    /// Measure pipelines instead; the report is a part of another.
    #[arg(long)]
    words: bool,
    /// With `--words`: the Python of `testing/bench/engine/picture.txt`.
    #[arg(long, requires = "words")]
    python: Option<PathBuf>,
    /// Blocks that an empty node of the cluster has to fetch.
    #[arg(long, default_value_t = 2000)]
    blocks: u64,
    /// Transactions of each load of the cluster.
    #[arg(long, default_value_t = 5000)]
    transactions: usize,
    /// Measure the state alone, and put what comes out in its place in the report that is there.
    #[arg(long)]
    state: bool,
    /// Accounts of the states that are measured.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    accounts: Vec<u64>,
    /// Measure one state of so many accounts in this process, and print the figures as JSON.
    #[arg(long, hide = true)]
    state_of: Option<u64>,
    /// Kill validators of a cluster under load for so many seconds instead.
    #[arg(long)]
    soak: Option<u64>,
    /// Seed of the kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(seconds) = options.soak {
        let time = std::time::Duration::from_secs(seconds);
        return cluster::soak(&options.synod, &options.root, time, options.seed).await;
    }
    if let Some(accounts) = options.state_of {
        let measured = tokio::task::spawn_blocking(move || state::measure_one(accounts)).await??;
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    if options.state {
        let mut report = Report::new(&options.root);
        tokio::task::block_in_place(|| state::measure(&options.root, &options.accounts, &mut report))?;
        report.merge(&options.output)?;
        eprintln!("==> {}", options.output.display());
        return Ok(());
    }
    if options.cluster {
        return cluster::measure(&cluster::Options {
            synod: options.synod,
            root: options.root,
            output: options.output,
            blocks: options.blocks,
            transactions: options.transactions,
        })
        .await;
    }
    let folder = tempfile::tempdir()?;
    if options.words {
        let mut report = Report::part();
        words::measure(&options, folder.path(), &mut report).await?;
        return report.write(&options.output);
    }
    let mut report = Report::new(&options.root);
    if let Some(parts) = &options.rpc {
        let wanted = |part: &str| parts.iter().any(|wanted| wanted == part);
        if wanted("calls") {
            let node = Node::synod(&options.synod, &folder.path().join("predict")).await?;
            for example in examples::load(&options.root)? {
                predict::publish(&options, &node, &example, &options.root)?;
            }
            load::measure(&options, &node, folder.path(), &mut report).await?;
        }
        if wanted("transactions") {
            transfers::measure(&options, folder.path(), &mut report).await?;
        }
        report.merge(&options.output)?;
        return Ok(());
    }

    eprintln!("==> predict in the EVM, beside the bare engine and plain Solidity");
    let node = Node::synod(&options.synod, &folder.path().join("predict")).await?;
    predict::measure(&options, &node, &mut report).await?;

    eprintln!("==> calls a second over RPC");
    load::measure(&options, &node, folder.path(), &mut report).await?;
    drop(node);

    eprintln!("==> transactions a second");
    transfers::measure(&options, folder.path(), &mut report).await?;

    eprintln!("==> publishing");
    publish::measure(&options, folder.path(), &mut report).await?;

    eprintln!("==> a large state");
    tokio::task::block_in_place(|| state::measure(&options.root, &options.accounts, &mut report))?;

    report.write(&options.output)?;
    eprintln!("==> {}", options.output.display());
    Ok(())
}
