//! What validators decide together, with real processes: who votes, and by which rules.

use crate::{
    cluster::{Cluster, run},
    prediction,
};
use alloy_primitives::{Address, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::TransactionRequest;

/// Gas of a transaction with a hundred bytes of data.
pub(crate) async fn price_of_data(cluster: &Cluster, index: usize) -> u64 {
    let request = TransactionRequest::default()
        .from(Address::repeat_byte(1))
        .to(Address::repeat_byte(2))
        .input(vec![1; 100].into());
    cluster
        .node(index)
        .provider()
        .estimate_gas(request)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn validators_decide_who_votes_and_by_which_rules() {
    let pace = [
        "--dev-accounts",
        "--epoch-blocks",
        "12",
        "--block-interval-ms",
        "50",
        "--heartbeat-ms",
        "250",
    ];
    let mut cluster = Cluster::init_with(4, &pace);
    // One of them forgets old states while it runs. It proves who voted when as the others do.
    let config = cluster.folder(2).join("node.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("history = \"archive\""));
    std::fs::write(&config, text.replace("history = \"archive\"", "history = 4")).unwrap();
    cluster.start_all().await;
    cluster.publish_cellar(0);
    cluster.advance(&[0, 1, 2, 3], 1).await;
    let answer = cluster.node(1).provider().call(prediction()).await.unwrap();

    // A fifth joins: its machine waits until the others name it.
    let newcomer = cluster.join();
    cluster.start(newcomer).await;
    let seat = cluster.folder(newcomer).join("seat.json");
    let add = ["add-validator", seat.to_str().unwrap()];
    let text: serde_json::Value = serde_json::from_slice(&std::fs::read(&seat).unwrap()).unwrap();
    // Its decisions will cost fees.
    let account: Address = text["account"].as_str().unwrap().parse().unwrap();
    let ether = TransactionRequest::default()
        .to(account)
        .value(U256::from(10u64.pow(18)));
    let funded = cluster.send(0, 2, ether).await;
    cluster.receipts(funded, &[0]).await;
    for (wanted, who) in [(1, 0), (2, 1), (3, 2)] {
        let said = cluster.decide(who, (who + 1) % 4, &add);
        assert_eq!(
            (said["approvals"].as_u64(), said["needed"].as_u64()),
            (Some(wanted), Some(3))
        );
    }
    // where the last decision was seen: other nodes may be a block behind
    let named = cluster.council(3);
    assert_eq!(named["next"].as_array().unwrap().len(), 5, "{named}");
    let joins = named["epoch"].as_u64().unwrap() + 1;
    cluster.epoch(0, joins).await;
    // Four of five decide now, so without another one the newcomer is needed.
    cluster.advance(&[0, newcomer], 1).await;
    cluster.kill(3);
    cluster.advance(&[0, 1, 2, newcomer], 5).await;
    assert_eq!(
        cluster
            .node(newcomer)
            .provider()
            .call(prediction())
            .await
            .unwrap(),
        answer
    );
    cluster.start(3).await;
    cluster.advance(&[0, 1, 2, 3, newcomer], 2).await;

    // The genesis file alone still proves a block.
    let genesis = cluster.genesis();
    let mut verify = vec!["verify-block", "latest", "--genesis", genesis.to_str().unwrap()];
    verify.extend(["--rpc-url", cluster.node(newcomer).url(), "--json"]);
    let verified = run(&verify);
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (said["validators"].as_u64(), said["handovers"].as_u64()),
        (Some(5), Some(1)),
        "{said}"
    );
    // A follower finds its way through the change.
    let follower = cluster.follower(&[newcomer]).await;
    let sent = cluster.send(0, 1, prediction()).await;
    cluster.receipts_at(&follower, sent).await;

    // One goes. Who is no validator decides nothing.
    for who in [0, 1, 2, newcomer] {
        cluster.decide(who, 0, &["remove-validator", "validator-3"]);
    }
    let leaves = cluster.council(0)["epoch"].as_u64().unwrap() + 1;
    cluster.epoch(0, leaves).await;
    cluster.kill(3);
    cluster.kill(1);
    cluster.advance(&[0, 2, newcomer], 4).await;
    cluster.start(1).await;
    cluster.advance(&[0, 1, 2, newcomer], 2).await;

    // Only listed accounts may send transactions now; validators always may.
    for who in [0, 1, 2] {
        cluster.decide(who, 0, &["set-listed", "transact"]);
    }
    let stranger = TransactionRequest::default().to(Address::repeat_byte(3));
    let refused = cluster.node(0).signing(4).send_transaction(stranger).await;
    assert!(refused.unwrap_err().to_string().contains("transact"));
    let known = synod_testing::account(1).address().to_string();
    for who in [0, 1, 2] {
        cluster.decide(who, 1, &["grant", &known, "transact"]);
    }

    // Data gets dearer with an epoch; the network gives the same bits.
    let parameters = cluster.path().join("parameters.json");
    std::fs::write(
        &parameters,
        r#"{"gas": {"calldataByte": 9, "calldataFloorByte": 9}}"#,
    )
    .unwrap();
    let before = price_of_data(&cluster, 0).await;
    let first = (cluster.council(0)["epoch"].as_u64().unwrap() + 2).to_string();
    let schedule = [
        "schedule-upgrade",
        &first,
        "--parameters",
        parameters.to_str().unwrap(),
    ];
    for who in [0, 1, 2] {
        cluster.decide(who, who, &schedule);
    }
    assert_eq!(price_of_data(&cluster, 0).await, before, "not yet");
    cluster.epoch(0, first.parse().unwrap()).await;
    cluster.advance(&[0, 1, 2, newcomer], 1).await;
    for index in [0, 1, 2, newcomer] {
        assert_eq!(
            price_of_data(&cluster, index).await,
            before + 500,
            "five more for each of a hundred bytes"
        );
        assert_eq!(
            cluster.node(index).provider().call(prediction()).await.unwrap(),
            answer
        );
    }
    let asked = cluster.send(2, 1, prediction()).await;
    assert!(
        cluster
            .receipts(asked, &[0, 1, 2, newcomer])
            .await
            .iter()
            .all(|receipt| receipt.status())
    );

    a_new_node_begins_with_a_state_from_one_that_forgets(&mut cluster).await;

    // Rules that this build does not know: every node stops before them, says so, and stays so.
    let first = cluster.council(0)["epoch"].as_u64().unwrap() + 2;
    let epoch = first.to_string();
    for who in [0, 1, 2] {
        cluster.decide(who, who, &["schedule-upgrade", &epoch, "--protocol", "99"]);
    }
    for index in [0, 1, 2, newcomer] {
        let status = cluster.wait(index).await;
        let log = cluster.log(index);
        assert_eq!(status.code(), Some(3), "{log}");
        assert!(log.contains("install a newer one"), "{log}");
    }
    let config = cluster.folder(0).join("node.toml");
    let again = run(&["node", "--config", config.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(3));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    let (begins, protocol) = (format!("epoch {first} (block {})", first * 12), "protocol 99");
    assert!(said.contains(&begins) && said.contains(protocol), "{said}");
}

/// Validator 2 is stopped, looked at, and its chain given away in a file; who has it goes on from there.
async fn a_new_node_begins_with_a_state_from_one_that_forgets(cluster: &mut Cluster) {
    // Its proof of the newest block leads through every change of the validators, as everybody's.
    let genesis = cluster.genesis();
    let genesis = genesis.to_str().unwrap();
    let url = cluster.node(2).url().to_owned();
    let proven = ran(&[
        "verify-block",
        "latest",
        "--genesis",
        genesis,
        "--rpc-url",
        &url,
        "--json",
    ]);
    assert_eq!(proven["handovers"], 2, "{proven}");
    let old = cluster
        .node(2)
        .provider()
        .get_balance(Address::ZERO)
        .number(1)
        .await;
    let refused = old.unwrap_err().to_string();
    assert!(refused.contains("missing trie node"), "{refused}");
    assert_eq!(cluster.terminate(2).code(), Some(0), "{}", cluster.log(2));

    let data = cluster.folder(2).join("data");
    let data = data.to_str().unwrap();
    let stats = ran(&["db", "stats", "--data-dir", data, "--json"]);
    let (head, oldest) = (stats["head"]["number"].as_u64(), stats["oldest_state"].as_u64());
    assert!(
        oldest > Some(12) && head >= oldest.map(|oldest| oldest + 3),
        "{stats}"
    );
    let checked = ran(&["db", "check", "--data-dir", data, "--genesis", genesis, "--json"]);
    assert_eq!(checked["wrong"], 0, "{checked}");
    let file = cluster.path().join("chain.file");
    let file = file.to_str().unwrap();
    let exported = ran(&[
        "db",
        "export",
        file,
        "--state",
        "--data-dir",
        data,
        "--genesis",
        genesis,
        "--json",
    ]);
    assert_eq!(
        (exported["block"].as_u64(), &exported["proven"]),
        (head, &true.into())
    );
    cluster.start(2).await;

    let folder = cluster.path().join("from-a-file");
    let other = folder.to_str().unwrap();
    let taken = ran(&[
        "db",
        "import",
        file,
        "--data-dir",
        other,
        "--genesis",
        genesis,
        "--json",
    ]);
    assert_eq!(
        (taken["block"].as_u64(), taken["oldest_state"].as_u64()),
        (head, head)
    );
    let follower = cluster.follower_in(&folder, &[0]).await;
    let sent = cluster.send(0, 1, prediction()).await;
    assert!(cluster.receipts_at(&follower, sent).await.status());
    // It has every block, and proves them from the genesis file as well.
    let url = follower.url().to_owned();
    for block in ["latest", "13"] {
        ran(&[
            "verify-block",
            block,
            "--genesis",
            genesis,
            "--rpc-url",
            &url,
            "--json",
        ]);
    }
    assert!(
        follower
            .provider()
            .get_block_by_number(1.into())
            .await
            .unwrap()
            .is_some()
    );
    drop(follower);
    let checked = ran(&["db", "check", "--data-dir", other, "--genesis", genesis, "--json"]);
    assert_eq!(checked["wrong"], 0, "{checked}");
}

/// What a command says that does its job.
fn ran(args: &[&str]) -> serde_json::Value {
    let ran = run(args);
    assert!(
        ran.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
    serde_json::from_slice(&ran.stdout).unwrap()
}
