//! A real node process that can be killed for real.

use alloy_provider::{DynProvider, Provider, ProviderBuilder};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

pub(crate) struct Node {
    process: Child,
    url: String,
    /// Asks without signing.
    pub(crate) rpc: DynProvider,
}

impl Node {
    /// Starts `synod dev` on `folder` and waits until it answers.
    pub(crate) async fn start(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.with_extension("log"))
            .expect("a log file beside the data");
        let mut process = Command::new(env!("CARGO_BIN_EXE_synod"))
            .args(["dev", "--port", &port.to_string(), "--data-dir"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the node starts");
        let url = format!("http://127.0.0.1:{port}");
        let rpc = ProviderBuilder::new().connect_http(url.parse().expect("a URL")).erased();
        // Bounded so that a node that can't start fails the test instead of hanging it.
        for _ in 0..1_200 {
            if rpc.get_block_number().await.is_ok() {
                return Self { process, url, rpc };
            }
            if let Some(status) = process.try_wait().expect("the node's status") {
                panic!("the node ended with {status}:\n{}", tail(&folder.with_extension("log")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the node never answered:\n{}", tail(&folder.with_extension("log")));
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// SIGKILL: no handler runs, no buffer is flushed.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the node is ours to kill");
        self.process.wait().expect("a killed process ends");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Best effort: a failed test must not leave a node behind.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
