//! A cluster of real processes on this machine: real sockets, real disks, real `kill -9`.
//!
//! What the simulator shows with seeds (`crates/consensus/tests/simplex`) is shown here once more with nothing simulated:
//! four validators, clients at all of them, predictions in blocks, a validator killed and back with its disk, and back
//! with an empty one. In `council`, validators that come and go, and new parameters; in `upgrade`, new rules in code; in
//! `up`, the command that runs them all.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod council;
mod next_release;
mod up;
mod upgrade;

use alloy_primitives::{Address, B256, Bytes, U256, address};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::TransactionRequest;
use alloy_sol_types::SolCall as _;
use cluster::{Cluster, run, run_in};
use std::{path::Path, time::Duration};
use synod_evm::{addresses::PREDICT, interface::IPredict};

fn transfer(to: Address) -> TransactionRequest {
    TransactionRequest::default().to(to).value(U256::from(7))
}

/// Asks the network of the cellar about one wine, in a transaction.
pub(crate) fn prediction() -> TransactionRequest {
    prediction_of("cellar/wine")
}

/// The same of another model's name.
pub(crate) fn prediction_of(model: &str) -> TransactionRequest {
    let features: Vec<u8> = (0..13u8)
        .flat_map(|i| (f32::from(i) / 4.0).to_be_bytes())
        .collect();
    let call = IPredict::runCall {
        model: model.into(),
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
    cluster.publish_cellar(0);
    // A node that is busy has the block of it a little later.
    cluster.advance(&[0, 1, 2, 3], 1).await;
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
    // Room for messages is set aside for the peers that there may be soon, not for all that there may ever be.
    for index in 0..4 {
        let memory = cluster.node(index).resident_memory();
        assert!(memory.is_none_or(|bytes| bytes < 400 << 20), "{memory:?}");
    }

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
    // And what it asked is recomputed from the validators' signatures and proofs under the state's root.
    let audited = run(&[
        "audit",
        &asked.to_string(),
        "--genesis",
        genesis.to_str().unwrap(),
        "--rpc-url",
        cluster.node(1).url(),
        "--json",
    ]);
    assert!(
        audited.status.success(),
        "{}",
        String::from_utf8_lossy(&audited.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&audited.stdout).unwrap();
    assert_eq!(said["block"]["finality"]["by"], "certificate", "{said:#}");
    assert!(said["block"]["finality"]["signers"].as_array().unwrap().len() >= 3);
    assert_eq!(said["receipt"]["equal"], true);
    let predict = &said["predicts"][0];
    assert_eq!(
        (&predict["verdict"], &predict["function"]),
        (&"equal".into(), &"run".into())
    );
    assert_eq!(predict["model"]["published_in"]["proof"], "certificate");

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

    has_no_methods_for_development(&cluster).await;

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn encrypted_keys_open_with_their_passphrase_alone() {
    let mut cluster = Cluster::init(1);
    let folder = cluster.folder(0);
    let (key, config) = (folder.join("validator.key"), folder.join("node.toml"));
    let (key, config) = (key.to_str().unwrap(), config.to_str().unwrap());
    let plain = std::fs::read_to_string(key).unwrap();
    let secret = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    };
    let (right, wrong) = (
        secret("right", "correct horse\n"),
        secret("wrong", "battery staple\n"),
    );
    let variable = "SYNOD_KEY_PASSPHRASE_FILE";
    let check = ["node", "--check", "--config", config];

    // Without a passphrase, and without a person to ask, nothing is encrypted.
    refused(
        &run(&["cluster", "key", "encrypt", key]),
        "a passphrase is needed",
    );
    let encrypted = run_in(&["cluster", "key", "encrypt", key], &[(variable, &right)]);
    assert!(encrypted.status.success(), "{encrypted:?}");
    let text = std::fs::read_to_string(key).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----") && !text.contains(plain.trim()));
    refused(
        &run_in(&["cluster", "key", "encrypt", key], &[(variable, &right)]),
        "encrypted already",
    );

    // The node, and whoever wants to see its public parts, needs it.
    refused(&run(&check), "is encrypted: set passphrase_file");
    refused(
        &run_in(&check, &[(variable, &wrong)]),
        "does not open with this passphrase",
    );
    refused(
        &run_in(&check, &[(variable, &folder.join("none"))]),
        "cannot read the passphrase",
    );
    assert!(run_in(&check, &[(variable, &right)]).status.success());
    // systemd's way.
    let credentials = folder.join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::copy(&right, credentials.join("key-passphrase")).unwrap();
    let given = run_in(&check, &[("CREDENTIALS_DIRECTORY", &credentials)]);
    assert!(given.status.success(), "{given:?}");
    let show = ["cluster", "key", "show", key, "--name", "validator-0", "--json"];
    let shown = run_in(&show, &[(variable, &right)]);
    let mut shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["encrypted"], true);
    shown.as_object_mut().unwrap().remove("encrypted");
    let genesis = std::fs::read_to_string(cluster.genesis()).unwrap();
    let genesis: serde_json::Value = serde_json::from_str(&genesis).unwrap();
    assert_eq!(shown, genesis["config"]["simplex"]["validators"][0]);

    // The configuration names the passphrase's file: the node runs.
    let text = std::fs::read_to_string(config).unwrap();
    let named = text.replace(
        "# passphrase_file = \"passphrase\"",
        "passphrase_file = \"right\"",
    );
    assert_ne!(named, text);
    std::fs::write(config, named).unwrap();
    cluster.start(0).await;
    cluster.advance(&[0], 2).await;
    assert_eq!(cluster.terminate(0).code(), Some(0));

    let decrypted = run_in(&["cluster", "key", "decrypt", key], &[(variable, &right)]);
    assert!(decrypted.status.success(), "{decrypted:?}");
    assert_eq!(std::fs::read_to_string(key).unwrap(), plain);
    refused(&run(&["cluster", "key", "decrypt", key]), "is not encrypted");

    // All keys of a new cluster at once.
    let out = folder.join("new");
    let made = run_in(
        &[
            "cluster",
            "init",
            "--validators",
            "1",
            "--encrypt",
            "--out",
            out.to_str().unwrap(),
        ],
        &[(variable, &right)],
    );
    assert!(made.status.success(), "{made:?}");
    let text = std::fs::read_to_string(out.join("validator-0/validator.key")).unwrap();
    assert!(text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"));
}

/// A cluster that has lost more than it can bear is gone; what it agreed on goes on in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_begins_where_another_ended() {
    let mut old = Cluster::init(1);
    old.start(0).await;
    old.publish_cellar(0);
    let paid = address!("00000000000000000000000000000000000000bb");
    let sent = old.send(0, 1, transfer(paid)).await;
    old.receipts(sent, &[0]).await;
    let answer = old.node(0).provider().call(prediction()).await.unwrap();
    let sender = synod_testing::account(1).address();
    let (folder, genesis) = (old.folder(0), old.genesis());
    let data = folder.join("data");
    let options = [
        "--state-of",
        data.to_str().unwrap(),
        "--state-genesis",
        genesis.to_str().unwrap(),
    ];
    let out = folder.join("too-early");
    let early = [&["cluster", "init", "--out", out.to_str().unwrap()], &options[..]].concat();
    refused(&run(&early), "another node uses this folder");
    old.terminate(0);

    let mut new = Cluster::init_with(1, &options);
    new.start(0).await;
    let rpc = new.node(0).provider();
    assert_eq!(rpc.get_balance(paid).await.unwrap(), U256::from(7));
    assert_eq!(rpc.get_transaction_count(sender).await.unwrap(), 1);
    assert_eq!(
        rpc.call(prediction()).await.unwrap(),
        answer,
        "the network is there"
    );
    let again = new.send(0, 1, transfer(paid)).await;
    new.receipts(again, &[0]).await;
    assert_eq!(rpc.get_balance(paid).await.unwrap(), U256::from(14));
    new.terminate(0);
}

/// Nobody who reaches a validator's port for clients can steer it.
async fn has_no_methods_for_development(cluster: &Cluster) {
    let rpc = cluster.node(0).provider();
    for (method, code) in [
        ("evm_mine", -32000),
        ("evm_snapshot", -32000),
        ("hardhat_mine", -32000),
        ("admin_addPeer", -32601),
        ("personal_unlockAccount", -32601),
        ("miner_start", -32601),
    ] {
        let answer = rpc.raw_request::<_, serde_json::Value>(method.into(), ()).await;
        let error = answer.expect_err(method);
        let said = error
            .as_error_resp()
            .unwrap_or_else(|| panic!("{method}: {error}"));
        assert_eq!(said.code, code, "{method}: {said}");
    }
    assert!(rpc.get_accounts().await.unwrap().is_empty());
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
