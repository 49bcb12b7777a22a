//! viem, ethers, web3.py and cast; and, by viem, the governance of models.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use synod_chain::spec::dev_genesis;
use synod_testing::Node;
use tokio::process::Command;

/// A flow that takes longer hangs. Whole flows take seconds.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn clients() -> PathBuf {
    root().join("testing/clients")
}

/// Where cargo puts what it builds; the Python environment lies beside it.
fn target() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_synod"));
    built.ancestors().nth(2).expect("target/PROFILE/synod").to_owned()
}

/// A file that installing the clients puts there.
pub(crate) fn installed(path: PathBuf, client: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{client} is not installed ({} is missing): run `cargo xtask test`, which installs all clients",
        path.display()
    );
    path
}

/// One of Foundry's programs.
pub(crate) fn foundry(program: &str) -> PathBuf {
    // The folder of the binary is named after the machine.
    let packages = std::fs::read_dir(clients().join("node_modules/@foundry-rs"));
    let packages = packages.into_iter().flatten().flatten();
    let binary = packages
        .map(|package| package.path().join("bin").join(program))
        .find(|binary| binary.exists());
    let missing = || clients().join(format!("node_modules/@foundry-rs/{program}-*/bin/{program}"));
    installed(binary.unwrap_or_else(missing), program)
}

/// Runs a client's flows against fresh nodes: all that it does with a node of Ethereum's, and what it does with an account
/// without money where gas is free.
async fn flows(program: &Path, [script, free]: [&str; 2]) {
    flow(program, script, &[]).await;
    let mut genesis = dev_genesis();
    let params = serde_json::json!({ "fees": { "free": true } });
    genesis.config.extra_fields.insert("synod".into(), params);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("genesis.json");
    std::fs::write(&file, serde_json::to_string(&genesis).unwrap()).unwrap();
    flow(program, free, &["--genesis".as_ref(), file.as_ref()]).await;
}

/// Starts a fresh node and runs a client's flow against it.
async fn flow(program: &Path, script: &str, options: &[&OsStr]) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::synod_with(
        Path::new(env!("CARGO_BIN_EXE_synod")),
        &folder.path().join("chain"),
        options,
    )
    .await
    .unwrap();
    let mut command = Command::new(program);
    command
        .arg(clients().join(script))
        .arg(node.url())
        .env("SYNOD", env!("CARGO_BIN_EXE_synod"))
        .kill_on_drop(true);
    finished(script, &mut command).await;
}

/// Runs a program to its end, which must be a good one, and gives what it said.
pub(crate) async fn finished(name: &str, command: &mut Command) -> String {
    let run = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = run
        .unwrap_or_else(|_| panic!("{name} did not end within {PATIENCE:?}"))
        .unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{name} ended with {status}\n{said}{}",
        String::from_utf8_lossy(&stderr)
    );
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn viem_takes_the_node_for_ethereum() {
    installed(clients().join("node_modules/viem/package.json"), "viem");
    flows(Path::new("node"), ["viem/flow.mjs", "viem/free.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ethers_takes_the_node_for_ethereum() {
    installed(clients().join("node_modules/ethers/package.json"), "ethers");
    flow(Path::new("node"), "ethers/flow.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web3_py_takes_the_node_for_ethereum() {
    let python = installed(target().join("venv/bin/python"), "web3.py");
    flows(&python, ["web3py/flow.py", "web3py/free.py"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cast_takes_the_node_for_ethereum() {
    foundry("cast");
    flows(Path::new("sh"), ["cast/flow.sh", "cast/free.sh"]).await;
}

/// Runs flows about governance, which know contracts of this project.
async fn governance(scripts: &[&str]) {
    installed(clients().join("node_modules/viem/package.json"), "viem");
    installed(
        root().join("examples/fleet/node_modules/viem/package.json"),
        "viem",
    );
    for script in scripts {
        flow(Path::new("node"), script, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_and_passengers_vote_about_their_judge() {
    governance(&["../../examples/fleet/vote.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_votes_change_a_governed_model() {
    governance(&["viem/governance/access.mjs", "viem/governance/chambers.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_edits_a_models_weights() {
    governance(&["viem/governance/edits.mjs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_lets_only_accurate_models_pass() {
    governance(&["viem/governance/gate.mjs"]).await;
}
