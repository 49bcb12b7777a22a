//! Publishing large networks, and starting a node that holds them.

use crate::{
    Options,
    report::{Report, thousands},
};
use alloy_provider::Provider;
use eyre::{Result, ensure};
use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use synod_testing::{Node, onnx};

/// Publishes networks of the sizes asked for and starts a node again on what they left.
pub(crate) async fn measure(options: &Options, folder: &Path, report: &mut Report) -> Result<()> {
    let data = folder.join("publish");
    let fresh = Node::synod(&options.synod, &data).await?;
    let mut start = vec![row("empty folder", &fresh)];
    drop(fresh);

    let (mut rows, mut imports, mut updates) = (Vec::new(), Vec::new(), Vec::new());
    for (seed, &megabytes) in options.publish.iter().enumerate() {
        let node = Node::synod(&options.synod, &data).await?;
        let rpc = node.provider();
        let (width, layers) = dimensions(megabytes);
        let file = folder.join(format!("{megabytes}.onnx"));
        std::fs::write(&file, onnx::network(layers, width, seed as u64 + 1))?;
        let first = rpc.get_block_number().await?;
        let begin = Instant::now();
        let name = format!("bench/network-{megabytes}");
        publish(&options.synod, &node, &file, &name, &[])?;
        let seconds = begin.elapsed().as_secs_f64();
        let last = rpc.get_block_number().await?;
        let gas = gas_of(&node, first, last).await?;
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
        imports.push(import(
            &options.synod,
            "ONNX",
            bytes,
            &["inspect".as_ref(), file.as_ref()],
        )?);
        let keras = folder.join(format!("{megabytes}.keras"));
        std::fs::write(
            &keras,
            synod_testing::keras::network(layers, width, seed as u64 + 1)?,
        )?;
        let converted = folder.join(format!("{megabytes}-keras.onnx"));
        let arguments: [&OsStr; 4] = [
            "import".as_ref(),
            keras.as_ref(),
            "-o".as_ref(),
            converted.as_ref(),
        ];
        imports.push(import(&options.synod, "Keras", bytes, &arguments)?);
        updates.extend(update(&options.synod, &node, folder, &name, gas).await?);
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
        "Updating a network",
        "`synod model publish --from` with a file in which so many weights are others. Gas as a share of that of publishing the network afresh, above; the time with \
         reading the base from the chain and comparing.",
        &["network", "weights that differ", "seconds", "gas", "of publishing afresh, %"],
        &updates,
    );
    report.table(
        "Importing a file",
        "Of an ONNX file `synod model inspect`: reading, canonical form, validation, planning. Of a `.keras` file with the same network `synod model import`: reading, \
         conversion, writing the ONNX file. Memory is the process's largest resident set.",
        &["file", "weights", "seconds", "MiB"],
        &imports,
    );
    report.table(
        "Starting a node",
        "From the start of the process to its first answer over HTTP (polled every 5 ms), and resident memory then.",
        &["data folder", "seconds", "resident memory, MiB"],
        &start,
    );
    Ok(())
}

/// Gas of the blocks after `first`, up to `last`.
async fn gas_of(node: &Node, first: u64, last: u64) -> Result<u64> {
    let rpc = node.provider();
    let mut gas = 0;
    for number in first + 1..=last {
        let block = rpc.get_block_by_number(number.into()).await?;
        gas += block.map_or(0, |block| block.header.gas_used);
    }
    Ok(gas)
}

fn publish(synod: &Path, node: &Node, file: &Path, name: &str, more: &[&str]) -> Result<()> {
    let status = Command::new(synod)
        .args(["model", "publish"])
        .arg(file)
        .args(["--name", name, "--rpc-url", node.url(), "--json"])
        .args([
            "--private-key",
            &format!("{}", synod_testing::account(0).to_bytes()),
        ])
        .args(more)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "publishing {name} failed");
    Ok(())
}

/// Changes weights of a published network, publishes the result, and says what it cost beside `afresh`.
async fn update(
    synod: &Path,
    node: &Node,
    folder: &Path,
    name: &str,
    afresh: u64,
) -> Result<Vec<Vec<String>>> {
    const SCATTERED: usize = 100;
    let mut rows = Vec::new();
    for scattered in [false, true] {
        let version = if scattered { 2 } else { 1 };
        let base = format!("{name}@{version}");
        let pulled = folder.join(format!("{}-{version}", name.replace('/', "-")));
        let status = Command::new(synod)
            .args(["model", "pull", &base, "--rpc-url", node.url(), "--output-dir"])
            .arg(&pulled)
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "pulling {base} failed");
        let file = pulled.join("weights.bin");
        let mut weights = std::fs::read(&file)?;
        let count = weights.len() / 4;
        let changed: Vec<usize> = if scattered {
            (0..SCATTERED)
                .map(|index| index * (count / SCATTERED) + index)
                .collect()
        } else {
            (count / 2..count / 2 + count / 100).collect()
        };
        for &index in &changed {
            let bytes = &mut weights[4 * index..4 * index + 4];
            let old = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bytes.copy_from_slice(&(0.75 * old + 0.001).to_le_bytes());
        }
        std::fs::write(&file, weights)?;
        let first = node.provider().get_block_number().await?;
        let begin = Instant::now();
        publish(synod, node, &pulled.join("model.onnx"), name, &["--from", &base])?;
        let seconds = begin.elapsed().as_secs_f64();
        let gas = gas_of(node, first, node.provider().get_block_number().await?).await?;
        rows.push(vec![
            format!("{:.1} MB", 4.0 * count as f64 / 1e6),
            match scattered {
                true => format!("{SCATTERED}, scattered"),
                false => format!("{} (1 %), in one place", thousands(changed.len() as u64)),
            },
            format!("{seconds:.1}"),
            thousands(gas),
            format!("{:.2}", 100.0 * gas as f64 / afresh as f64),
        ]);
    }
    Ok(rows)
}

/// Runs a command about a file in a process of its own.
fn import(synod: &Path, kind: &str, bytes: f64, arguments: &[&OsStr]) -> Result<Vec<String>> {
    let begin = Instant::now();
    let mut process = Command::new(synod)
        .arg("model")
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()?;
    let status = format!("/proc/{}/status", process.id());
    let mut largest = 0;
    let ended = loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        largest = largest.max(kib.unwrap_or(0));
        if let Some(ended) = process.try_wait()? {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    ensure!(ended.success(), "importing a file of {kind} failed");
    Ok(vec![
        kind.to_owned(),
        format!("{:.1} MB", bytes / 1e6),
        format!("{:.2}", begin.elapsed().as_secs_f64()),
        (largest >> 10).to_string(),
    ])
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
