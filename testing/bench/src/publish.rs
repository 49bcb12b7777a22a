//! Publishing large networks, and starting a node that holds them.

use crate::{
    Options,
    report::{Report, thousands},
};
use alloy_provider::Provider;
use eyre::{Result, ensure};
use std::{path::Path, process::Command, time::Instant};
use synod_testing::{Node, onnx};

/// Publishes networks of the sizes asked for and starts a node again on what they left.
pub(crate) async fn measure(options: &Options, folder: &Path, report: &mut Report) -> Result<()> {
    let data = folder.join("publish");
    let fresh = Node::synod(&options.synod, &data).await?;
    let mut start = vec![row("empty folder", &fresh)];
    drop(fresh);

    let mut rows = Vec::new();
    for (seed, &megabytes) in options.publish.iter().enumerate() {
        let node = Node::synod(&options.synod, &data).await?;
        let rpc = node.provider();
        let (width, layers) = dimensions(megabytes);
        let file = folder.join(format!("{megabytes}.onnx"));
        std::fs::write(&file, onnx::network(layers, width, seed as u64 + 1))?;
        let first = rpc.get_block_number().await?;
        let begin = Instant::now();
        let status = Command::new(&options.synod)
            .args(["model", "publish"])
            .arg(&file)
            .args([
                "--name",
                &format!("bench/network-{megabytes}"),
                "--rpc-url",
                node.url(),
                "--json",
            ])
            .args([
                "--private-key",
                &format!("{}", synod_testing::account(0).to_bytes()),
            ])
            .stdout(std::process::Stdio::null())
            .status()?;
        let seconds = begin.elapsed().as_secs_f64();
        ensure!(status.success(), "publishing {megabytes} MB failed");
        let last = rpc.get_block_number().await?;
        let mut gas = 0;
        for number in first + 1..=last {
            gas += rpc
                .get_block_by_number(number.into())
                .await?
                .map_or(0, |block| block.header.gas_used);
        }
        let bytes = (4 * layers * width * width) as f64;
        rows.push(vec![
            format!("{:.1} MB", bytes / 1e6),
            format!("{seconds:.1}"),
            format!("{:.1}", bytes / 1e6 / seconds),
            thousands(gas / 1_000_000),
            format!("{:.2}", gas as f64 / bytes),
            thousands(last - first),
        ]);
        start.push(row(
            &format!("after publishing {megabytes} MB, still running"),
            &node,
        ));
        drop(node);
        let again = Node::synod(&options.synod, &data).await?;
        start.push(row(&format!("started again with {megabytes} MB"), &again));
    }
    report.table(
        "Publishing a network",
        "`synod model publish` from start to registered, on a node that mines each transaction at once and makes every block durable.",
        &["weights", "seconds", "MB/s", "Mgas", "gas a byte", "blocks"],
        &rows,
    );
    report.table(
        "Starting a node",
        "From the start of the process to its first answer over HTTP (polled every 5 ms), and resident memory then.",
        &["data folder", "seconds", "resident memory, MiB"],
        &start,
    );
    Ok(())
}

fn row(what: &str, node: &Node) -> Vec<String> {
    let memory = node
        .resident_memory()
        .map_or_else(|| "-".to_owned(), |bytes| (bytes >> 20).to_string());
    vec![
        what.to_owned(),
        format!("{:.3}", node.ready_after().as_secs_f64()),
        memory,
    ]
}

/// Width and number of square layers that make about `megabytes` of weights.
fn dimensions(megabytes: usize) -> (usize, usize) {
    let width = 1024;
    (width, (megabytes * 1_000_000).div_ceil(4 * width * width))
}
