//! A cluster of real processes on this machine: real sockets, real disks, real `kill -9`.
//!
//! What the simulator shows with seeds (`crates/consensus/tests/simplex`) is shown here once more with nothing simulated:
//! four validators, clients at all of them, predictions in blocks, a validator killed and back with its disk, and back
//! with an empty one. In `council`, validators that come and go, and upgrades.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod council;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::SolCall as _;
use cluster::{Cluster, run};
use std::{path::Path, time::Duration};
use synod_evm::{addresses::PREDICT, interface::IPredict};

fn transfer(to: Address) -> TransactionRequest {
    TransactionRequest::default().to(to).value(U256::from(7))
}

/// Asks the network of the cellar about one wine, in a transaction.
pub(crate) fn prediction() -> TransactionRequest {
    let features: Vec<u8> = (0..13u8)
        .flat_map(|i| (f32::from(i) / 4.0).to_be_bytes())
        .collect();
    let call = IPredict::runCall {
        model: "cellar/wine".into(),
        input: features.into(),
    };
    TransactionRequest::default()
        .to(PREDICT)
        .input(Bytes::from(call.abi_encode()).into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_are_one_chain_and_survive_kill_9() {
    let mut cluster = Cluster::init(4);
    cluster.start_all().await;

    // A network published at one node can be asked at all, and a transaction given to one is final at all.
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/cellar/model.onnx");
    let published = run(&[
        "model",
        "publish",
        model.to_str().unwrap(),
        "--dim",
        "batch<=128",
        "--name",
        "cellar/wine",
        "--rpc-url",
        cluster.node(0).url(),
        "--private-key",
        cluster::KEY,
    ]);
    assert!(
        published.status.success(),
        "{}",
        String::from_utf8_lossy(&published.stderr)
    );
    let asked = cluster.send(2, 1, prediction()).await;
    let receipts = cluster.receipts(asked, &[0, 1, 2, 3]).await;
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt.status() && *receipt == receipts[0])
    );
    let mut answers = Vec::new();
    for index in 0..4 {
        answers.push(cluster.node(index).provider().call(prediction()).await.unwrap());
    }
    assert!(!answers[0].is_empty() && answers.iter().all(|answer| *answer == answers[0]));

    // `latest`, `safe` and `finalized` are one block, and anybody can check that it is final.
    let number = receipts[0].block_number.unwrap();
    let genesis = cluster.genesis();
    for index in [1, 3] {
        let url = cluster.node(index).url().to_owned();
        let verified = run(&[
            "verify-block",
            &number.to_string(),
            "--genesis",
            genesis.to_str().unwrap(),
            "--rpc-url",
            &url,
            "--json",
        ]);
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stderr)
        );
        let said: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(said["hash"], serde_json::json!(receipts[0].block_hash.unwrap()));
        assert!(said["signers"].as_array().unwrap().len() >= 3);
    }
    // So is a transaction with its receipt.
    let verified = run(&[
        "verify-block",
        "--transaction",
        &asked.to_string(),
        "--genesis",
        genesis.to_str().unwrap(),
        "--rpc-url",
        cluster.node(2).url(),
        "--json",
    ]);
    let said: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(said["number"], number, "{said}");
    assert_eq!(said["transaction"]["hash"], asked.to_string());
    assert_eq!(said["transaction"]["succeeded"], true);

    // A node without a key or a vote fetches everything and checks it; its clients' transactions reach the chain.
    let newcomer = cluster.follower(&[1, 0]).await;
    cluster.receipts_at(&newcomer, asked).await;
    assert_eq!(
        newcomer.provider().call(prediction()).await.unwrap(),
        answers[0],
        "the newcomer has the network"
    );
    let relayed = newcomer.signing(5).send_transaction(prediction()).await.unwrap();
    let relayed = *relayed.tx_hash();
    let receipts = cluster.receipts(relayed, &[0, 1, 2, 3]).await;
    assert_eq!(cluster.receipts_at(&newcomer, relayed).await, receipts[0]);

    // What the dashboard shows, the nodes tell.
    let metrics = cluster.metrics(0);
    let dashboard = include_str!("../../../../docs/grafana.json");
    let dashboard: serde_json::Value = serde_json::from_str(dashboard).unwrap();
    let mut names = 0;
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap();
            let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let prefixes = ["synod_", "engine_", "network_", "runtime_"];
            for name in words.filter(|word| prefixes.iter().any(|prefix| word.starts_with(prefix))) {
                let told = |line: &str| {
                    line.strip_prefix(name)
                        .is_some_and(|rest| rest.starts_with([' ', '{']))
                };
                assert!(metrics.lines().any(told), "no node tells {name}");
                names += 1;
            }
        }
    }
    assert!(names > 15);

    // One is killed. The others go on, predictions included.
    cluster.kill(3);
    let without = cluster.send(0, 2, prediction()).await;
    let receipts = cluster.receipts(without, &[0, 1, 2]).await;
    assert!(receipts.iter().all(|receipt| receipt.status()));
    cluster.advance(&[0, 1, 2], 3).await;

    // It comes back with its disk, catches up, and is needed again.
    cluster.start(3).await;
    cluster.receipts(without, &[3]).await;
    cluster.kill(0);
    let back = cluster
        .send(
            3,
            3,
            transfer(address!("00000000000000000000000000000000000000aa")),
        )
        .await;
    cluster.receipts(back, &[1, 2, 3]).await;
    cluster.start(0).await;
    cluster.receipts(back, &[0]).await;
    cluster.same_hashes(&[0, 1, 2, 3]).await;

    // Stopped like a machine that swaps or is suspended, it is passed over; continued, it catches up.
    #[cfg(unix)]
    {
        cluster.node(1).pause().unwrap();
        let meanwhile = cluster.send(2, 4, prediction()).await;
        cluster.receipts(meanwhile, &[0, 2, 3]).await;
        cluster.advance(&[0, 2, 3], 3).await;
        cluster.node(1).resume().unwrap();
        cluster.receipts(meanwhile, &[1]).await;
    }

    // On an old copy of its disk, it would have forgotten votes: it stops and says so.
    assert_eq!(cluster.terminate(2).code(), Some(0), "{}", cluster.log(2));
    cluster.copy_data(2, "data", "old");
    cluster.start(2).await;
    cluster.advance(&[0, 1, 2, 3], 6).await;
    cluster.kill(2);
    cluster.copy_data(2, "old", "data");
    cluster.start(2).await;
    let status = cluster.wait(2).await;
    assert_eq!(status.code(), Some(1), "{}", cluster.log(2));
    assert!(
        cluster.log(2).contains("is not in its journal"),
        "{}",
        cluster.log(2)
    );

    // With an empty disk it follows, models included, and does not vote.
    cluster.wipe(2);
    cluster.start(2).await;
    cluster.receipts(back, &[2]).await;
    let answer = cluster.node(2).provider().call(prediction()).await.unwrap();
    assert_eq!(answer, answers[0]);
    assert!(
        cluster.log(2).contains("follows and does not vote"),
        "{}",
        cluster.log(2)
    );
    cluster.same_hashes(&[0, 1, 2, 3]).await;
    cluster.kill(1);
    cluster.settle().await;
    let height = cluster.height(0).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(cluster.height(0).await, height, "it voted");
    cluster.start(1).await;
    cluster.advance(&[0, 1, 3], 2).await;

    drop(newcomer);

    // A graceful stop is exit code 0.
    for index in 0..4 {
        let status = cluster.terminate(index);
        assert_eq!(status.code(), Some(0), "{}", cluster.log(index));
    }

    // A folder that is not this node's, or not whole, is refused at the start by one line, and left as it is.
    let other = Cluster::init(4);
    let (mine, theirs) = (cluster.folder(3), other.folder(3));
    let start = |folder: &Path| {
        let config = folder.join("node.toml");
        run(&["node", "--config", config.to_str().unwrap()])
    };
    std::fs::rename(mine.join("data"), theirs.join("data")).unwrap();
    refused(&start(&theirs), "holds the chain with genesis");
    std::fs::rename(theirs.join("data"), mine.join("data")).unwrap();
    std::fs::rename(
        cluster.folder(0).join("data/consensus"),
        mine.join("data/consensus-of-another"),
    )
    .unwrap();
    std::fs::rename(mine.join("data/consensus"), mine.join("data/consensus-of-3")).unwrap();
    std::fs::rename(
        mine.join("data/consensus-of-another"),
        mine.join("data/consensus"),
    )
    .unwrap();
    refused(&start(&mine), "holds the votes of validator");
    std::fs::remove_dir_all(mine.join("data/consensus")).unwrap();
    std::fs::rename(mine.join("data/consensus-of-3"), mine.join("data/consensus")).unwrap();
    let database = mine.join("data/chain/state.redb");
    let whole = std::fs::read(&database).unwrap();
    for damaged in [&b"no database"[..], &whole[..whole.len() / 3]] {
        std::fs::write(&database, damaged).unwrap();
        refused(&start(&mine), "cannot open the chain");
        assert_eq!(std::fs::read(&database).unwrap(), damaged, "it was left as it is");
    }
    std::fs::write(&database, whole).unwrap();
    cluster.start(3).await;
    cluster.receipts(back, &[3]).await;
    cluster.terminate(3);
}

/// The command ended with exit code 1 and one line that says so.
fn refused(ran: &std::process::Output, part: &str) {
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(ran.status.code(), Some(1), "{said}");
    let line = said.lines().last().unwrap_or_default();
    assert!(
        line.starts_with("error:") && line.contains(part),
        "{part:?} is missing in {said}"
    );
    assert_eq!(said.matches("error:").count(), 1, "{said}");
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_harmed() {
    let cluster = Cluster::init(4);
    let other = Cluster::init(4);
    let check = |cluster: &Cluster| {
        let config = cluster.folder(1).join("node.toml");
        run(&["node", "--check", "--config", config.to_str().unwrap()])
    };
    assert!(check(&cluster).status.success());
    // A folder that is not empty is never written into.
    let again = run(&["cluster", "init", "--out", cluster.path().to_str().unwrap()]);
    refused(&again, "is not empty");

    let folder = cluster.folder(1);
    let edit = |file: &str, change: &dyn Fn(String) -> String| {
        let path = folder.join(file);
        let before = std::fs::read_to_string(&path).unwrap();
        let after = change(before.clone());
        assert_ne!(before, after, "nothing was changed");
        std::fs::write(&path, after).unwrap();
        let ran = check(&cluster);
        std::fs::write(&path, before).unwrap();
        ran
    };
    refused(
        &edit("node.toml", &|text| text.replace("in_work", "inwork")),
        "inwork",
    );
    refused(
        &edit("node.toml", &|text| text.replace("genesis.json", "no.json")),
        "no.json",
    );
    refused(
        &edit("node.toml", &|text| {
            text.replace("\"validator-2\" =", "\"validator-9\" =")
        }),
        "validator-9",
    );
    refused(
        &edit("genesis.json", &|text| {
            text.replace("\"heartbeatMs\": 1000", "\"heartbeatMs\": 900")
        }),
        "extraData",
    );
    refused(
        &edit("genesis.json", &|text| text.replace("\"simplex\"", "\"complex\"")),
        "config.simplex",
    );
    let foreign = std::fs::read_to_string(other.folder(1).join("validator.key")).unwrap();
    refused(
        &edit("validator.key", &|_| foreign.clone()),
        "not those of a validator",
    );
    refused(&edit("validator.key", &|_| "zz".into()), "synod cluster init");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let key = folder.join("validator.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        refused(&check(&cluster), "chmod 600");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert!(check(&cluster).status.success());
}

#[test]
fn a_certificate_of_another_cluster_proves_nothing() {
    let (cluster, other) = (Cluster::init(4), Cluster::init(4));
    assert_ne!(
        std::fs::read(cluster.genesis()).unwrap(),
        std::fs::read(other.genesis()).unwrap()
    );
    let spec = |cluster: &Cluster| {
        synod_chain::ChainSpec::from_json(&std::fs::read_to_string(cluster.genesis()).unwrap()).unwrap()
    };
    let hash = |cluster: &Cluster| -> B256 {
        synod_chain::Chain::in_memory(spec(cluster))
            .unwrap()
            .head()
            .hash()
    };
    assert_ne!(
        hash(&cluster),
        hash(&other),
        "the first block names the validators"
    );
}
