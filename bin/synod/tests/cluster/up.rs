//! `synod cluster up`: the validators of a folder as processes of one command, to try what a cluster survives.

use crate::cluster::{BINARY, Cluster, PATIENCE};
use alloy_provider::{DynProvider, Provider as _, ProviderBuilder};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn signal(signal: &str, pid: &str) {
    let sent = Command::new("kill").args([signal, pid]).status().unwrap();
    assert!(sent.success());
}

/// Waits until the block of this height is final at a node; gives the height of its head.
async fn reaches(node: &DynProvider, height: u64) -> u64 {
    let start = Instant::now();
    loop {
        // an error means that it is not up yet
        let head = node.get_block_number().await.unwrap_or_default();
        if head >= height {
            return head;
        }
        assert!(start.elapsed() < PATIENCE, "no block {height}, only {head}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_killed_stops_nobody_and_comes_back() {
    let mut cluster = Cluster::init(4);
    let mut up = Command::new(BINARY)
        .args(["cluster", "up", "--json"])
        .arg(cluster.genesis().parent().unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = serde_json::Deserializer::from_reader(up.stdout.take().unwrap()).into_iter::<Value>();
    let validators = said.next().unwrap().unwrap()["validators"].clone();
    let provider = |index: usize| {
        let url = validators[index]["rpc_url"].as_str().unwrap();
        ProviderBuilder::new().connect_http(url.parse().unwrap()).erased()
    };
    let (first, last) = (provider(0), provider(3));
    let head = reaches(&first, 1).await;
    reaches(&last, head).await;

    signal("-9", &validators[3]["pid"].to_string());
    let head = reaches(&first, head + 3).await;
    cluster.start(3).await;
    reaches(&last, head).await;

    signal("-TERM", &up.id().to_string());
    let ended = up.wait_with_output().unwrap();
    let notes = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{notes}");
    assert!(
        notes.contains("validator-3 ended with signal: 9") && notes.contains("synod node --config"),
        "{notes}"
    );
}
