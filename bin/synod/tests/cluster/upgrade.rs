//! New rules in code, with real processes: the released `synod` and the next release meet in one cluster.

use crate::{
    cluster::{Cluster, run},
    council::price_of_data,
    next_release::PROTOCOL,
    prediction, prediction_of,
};
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Bytes, U64};
use alloy_provider::Provider as _;
use serde_json::{Value, json};

/// Blocks of an epoch.
const BLOCKS: u64 = 20;

/// What all of these nodes answer to a method.
async fn ask(cluster: &Cluster, nodes: &[usize], method: &'static str, params: Value) -> Value {
    let mut answers = Vec::new();
    for index in nodes {
        let provider = cluster.node(*index).provider();
        let answer: Value = provider.raw_request(method.into(), params.clone()).await.unwrap();
        answers.push(answer);
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{method}: {answers:?}"
    );
    answers.swap_remove(0)
}

/// What a network answers at all of these nodes.
async fn answer(cluster: &Cluster, nodes: &[usize], name: &str) -> Bytes {
    let mut answers = Vec::new();
    for index in nodes {
        let answer = cluster.node(*index).provider().call(prediction_of(name)).await;
        answers.push(answer.unwrap());
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{name}: {answers:?}"
    );
    answers.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_release_stops_at_new_rules_and_the_next_goes_on_from_its_folder() {
    let epoch_blocks = BLOCKS.to_string();
    let pace = [
        "--dev-accounts",
        "--epoch-blocks",
        &epoch_blocks,
        "--block-interval-ms",
        "50",
        "--heartbeat-ms",
        "250",
    ];
    let mut cluster = Cluster::init_with(4, &pace);
    // What the fork of the next release brings here. The genesis file knows it, and not when.
    let blobs = BlobParams {
        target_blob_count: 10,
        max_blob_count: 15,
        ..BlobParams::bpo2()
    };
    cluster.change_genesis(|genesis| {
        genesis.config.blob_schedule.insert("bpo3".into(), blobs);
    });
    cluster.start_all().await;
    cluster.publish_cellar(0);
    let (all, upgraded, forgotten) = ([0, 1, 2, 3], [0, 1], [2, 3]);
    cluster.advance(&all, 1).await;
    let before = cluster.send(1, 1, prediction()).await;
    assert!(
        cluster
            .receipts(before, &all)
            .await
            .iter()
            .all(|receipt| receipt.status())
    );
    let known = answer(&cluster, &all, "cellar/wine").await;
    let model = ask(&cluster, &all, "synod_getModel", json!(["cellar/wine"])).await;
    assert_eq!(model["profile"], "0x1");
    let price = price_of_data(&cluster, 0).await;

    // The next release comes to one validator after the other, and two are forgotten. Nothing changes.
    for index in upgraded {
        let status = cluster.terminate(index);
        assert_eq!(status.code(), Some(0), "{}", cluster.log(index));
        cluster.start_next_release(index).await;
        cluster.advance(&all, 2).await;
    }
    assert_eq!(answer(&cluster, &all, "cellar/wine").await, known);
    let config = ask(&cluster, &[0], "eth_config", json!([])).await;
    assert_eq!(config["next"], Value::Null);
    assert_ne!(config["current"]["blobSchedule"]["max"], 15);

    // The validators decide, those of the old release among them.
    let parameters = cluster.path().join("parameters.json");
    let dearer = r#"{"gas": {"calldataByte": 9, "calldataFloorByte": 9}}"#;
    std::fs::write(&parameters, dearer).unwrap();
    let epoch = cluster.council(0)["epoch"].as_u64().unwrap() + 4;
    let (epoch_text, protocol) = (epoch.to_string(), PROTOCOL.to_string());
    let schedule = [
        "schedule-upgrade",
        &epoch_text,
        "--protocol",
        &protocol,
        "--parameters",
        parameters.to_str().unwrap(),
    ];
    for who in [3, 2, 1] {
        cluster.decide(who, who, &schedule);
    }
    let first = epoch * BLOCKS;
    let activates = |rules: &Value| (rules["activationBlock"].clone(), rules["protocol"].clone());
    let activation = (json!(U64::from(first)), json!(U64::from(PROTOCOL)));
    let config = ask(&cluster, &[0], "eth_config", json!([])).await;
    assert_eq!(activates(&config["next"]), activation, "{config}");
    assert_eq!(config["next"]["blobSchedule"]["max"], 15);
    assert_ne!(config["next"]["forkId"], config["current"]["forkId"]);
    let estimate = config["next"]["activationTime"].as_u64().unwrap();
    assert!(estimate >= config["current"]["activationTime"].as_u64().unwrap());
    let config = ask(&cluster, &[2], "eth_config", json!([])).await;
    assert_eq!(
        config["next"],
        Value::Null,
        "nobody can say what it does not know"
    );
    let mut follower = cluster.follower(&upgraded).await;

    // The forgotten end with the epoch before: the validators, and who only follows.
    let line = format!("with epoch {epoch} (block {first}) the chain goes on under protocol {PROTOCOL}");
    let says = |log: &str| {
        let last = log.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains(&line), "{log}");
        assert!(last.contains("install a newer one"), "{log}");
    };
    for index in forgotten {
        let status = cluster.wait(index).await;
        assert_eq!(status.code(), Some(3), "{}", cluster.log(index));
        says(&cluster.log(index));
    }
    // Two of four decide nothing: no block of the new epoch is final while they wait.
    cluster.settle().await;
    for index in upgraded {
        assert!(cluster.height(index).await < first);
    }
    let config = cluster.folder(2).join("node.toml");
    let again = run(&["node", "--config", config.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(3));
    says(&String::from_utf8_lossy(&again.stderr));

    // One of them gets the next release on its folder, as it is, and the chain goes on.
    cluster.start_next_release(2).await;
    let three = [0, 1, 2];
    cluster.advance(&three, 1).await;
    cluster.epoch(0, epoch).await;
    let status = cluster.wait_for(&mut follower).await;
    assert_eq!(status.code(), Some(3));
    let meanwhile = cluster.send(2, 2, prediction()).await;
    assert!(
        cluster
            .receipts(meanwhile, &three)
            .await
            .iter()
            .all(|receipt| receipt.status())
    );
    cluster.advance(&three, BLOCKS).await;

    // The other comes an epoch later, catches up and is needed.
    cluster.start_next_release(3).await;
    assert!(cluster.receipts(meanwhile, &[3]).await[0].status());
    cluster.kill(0);
    let three = [1, 2, 3];
    cluster.advance(&three, 3).await;
    cluster.start_next_release(0).await;
    cluster.advance(&all, 1).await;

    // Fork, parameters and profile are the new ones; the network gives the same bits under the same id.
    let config = ask(&cluster, &all, "eth_config", json!([])).await;
    assert_eq!(activates(&config["current"]), activation, "{config}");
    let block = ask(
        &cluster,
        &all,
        "eth_getBlockByNumber",
        json!([U64::from(first), false]),
    )
    .await;
    let began: U64 = serde_json::from_value(block["timestamp"].clone()).unwrap();
    assert_eq!(config["current"]["activationTime"], began.to::<u64>());
    assert_eq!(config["current"]["blobSchedule"]["max"], 15);
    for index in all {
        assert_eq!(price_of_data(&cluster, index).await, price + 500);
    }
    assert_eq!(answer(&cluster, &all, "cellar/wine").await, known);
    assert_eq!(
        ask(&cluster, &all, "synod_getModel", json!(["cellar/wine"])).await,
        model
    );
    // What is published from now on is of the new profile.
    cluster.publish(1, "cellar/again");
    cluster.advance(&all, 1).await;
    let again = ask(&cluster, &all, "synod_getModel", json!(["cellar/again"])).await;
    assert_eq!(again["profile"], "0x2");
    assert_ne!(again["id"], model["id"]);
    assert_eq!(answer(&cluster, &all, "cellar/again").await, known);

    // The released tools still fetch and recompute what is of the old rules, and do not guess about the new ones.
    let fetch = |name: &str| {
        let folder = cluster.path().join(name.replace('/', "-"));
        let (url, folder) = (cluster.node(2).url(), folder.to_str().unwrap());
        run(&["model", "pull", name, "--output-dir", folder, "--rpc-url", url])
    };
    let fetched = fetch("cellar/wine");
    assert!(
        fetched.status.success(),
        "{}",
        String::from_utf8_lossy(&fetched.stderr)
    );
    let refused = fetch("cellar/again");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("of profile 2"),
        "{said}"
    );
    let genesis = cluster.genesis();
    let audit = |transaction: alloy_primitives::B256| {
        run(&[
            "audit",
            &transaction.to_string(),
            "--genesis",
            genesis.to_str().unwrap(),
            "--rpc-url",
            cluster.node(3).url(),
            "--json",
        ])
    };
    let old = audit(before);
    let said: Value = serde_json::from_slice(&old.stdout).unwrap();
    assert_eq!(said["predicts"][0]["verdict"], "equal", "{said:#}");
    let new = audit(meanwhile);
    assert_eq!(new.status.code(), Some(3));
    says(&String::from_utf8_lossy(&new.stderr));

    cluster.same_hashes(&all).await;
    for index in all {
        let status = cluster.terminate(index);
        assert_eq!(status.code(), Some(0), "{}", cluster.log(index));
    }
}
