//! `synod db`: a real node's chain on the disk, after the node was killed.

use super::{arg, chain::node, synod};
use alloy_primitives::{Address, KECCAK256_EMPTY, U256};
use alloy_provider::Provider as _;
use alloy_rpc_types_eth::TransactionRequest;
use serde_json::Value;
use std::{fs, path::Path};

/// What a command says.
fn json(args: &[&str]) -> Value {
    let ran = synod(["db"].iter().chain(args).chain(&["--json"]));
    serde_json::from_str(&ran.succeeds()).unwrap()
}

async fn send(node: &synod_testing::Node, count: u8) {
    for index in 0..count {
        let to = Address::repeat_byte(index + 1);
        let transfer = TransactionRequest::default().to(to).value(U256::from(7));
        let sent = node.signing(0).send_transaction(transfer).await.unwrap();
        assert!(sent.get_receipt().await.unwrap().status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_nodes_chain_is_checked_pruned_and_given_away() {
    let folder = tempfile::tempdir().unwrap();
    let mut running = node(folder.path()).await;
    send(&running, 12).await;
    let path = |name: &str| folder.path().join(name);
    let data = path("data");
    let data = arg(&data);
    synod(["db", "stats", "--data-dir", data]).refuses(&["another node uses this folder"]);
    running.kill().unwrap();

    let stats = json(&["stats", "--data-dir", data]);
    assert_eq!(
        (&stats["head"]["number"], &stats["oldest_state"]),
        (&12.into(), &0.into())
    );
    let checked = json(&["check", "--data-dir", data]);
    assert_eq!((&checked["wrong"], &checked["blocks"]), (&0.into(), &13.into()));
    assert_eq!(
        (&checked["transactions"], &checked["states"]),
        (&12.into(), &13.into())
    );
    let pruned = json(&["prune", "--keep", "3", "--data-dir", data]);
    assert_eq!(
        (&pruned["head"], &pruned["oldest_state"]),
        (&12.into(), &10.into())
    );
    assert!(pruned["nodes_removed"].as_u64() > Some(10) && pruned["file_bytes"].as_u64() > Some(0));
    let checked = json(&["check", "--data-dir", data]);
    assert_eq!(
        (&checked["wrong"], &checked["unreachable_nodes"]),
        (&0.into(), &0.into())
    );
    let text = synod(["db", "check", "--data-dir", data]).succeeds();
    assert!(text.contains("all in order"), "{text}");
    let text = synod(["db", "stats", "--data-dir", data]).succeeds();
    assert!(text.contains("states from block 10 on"), "{text}");

    // With its state, to a new node.
    let file = path("chain.file");
    let file = arg(&file);
    let exported = json(&["export", file, "--state", "--data-dir", data]);
    assert_eq!(
        (&exported["block"], &exported["proven"]),
        (&12.into(), &false.into())
    );
    synod(["db", "export", file, "--state", "--data-dir", data]).refuses(&["exists"]);
    let hash = exported["hash"].as_str().unwrap();
    let other = path("other");
    let into = ["--data-dir", arg(&other)];
    let import = |more: &[&str]| synod(["db", "import", file].iter().chain(&into).chain(more));
    import(&[]).refuses(&["block 12", "--block-hash"]);
    let wrong = format!("0x{}", "11".repeat(32));
    import(&["--block-hash", &wrong]).refuses(&["--block-hash says 0x1111"]);
    assert!(!other.exists() || fs::read_dir(&other).unwrap().count() == 0);
    let whole = fs::read(file).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for (bytes, said) in [(&flipped[..], "damaged"), (&whole[..whole.len() - 9], "cut off")] {
        fs::write(file, bytes).unwrap();
        import(&["--block-hash", hash]).refuses(&[said, "export or copy it again"]);
    }
    fs::write(file, &whole).unwrap();
    let taken = json(&["import", file, "--block-hash", hash, into[0], into[1]]);
    assert_eq!(
        (&taken["block"], &taken["oldest_state"]),
        (&12.into(), &12.into())
    );
    import(&["--block-hash", hash]).refuses(&["already has a chain, at block 12"]);
    fs::rename(&other, path("data-of-another")).unwrap();
    fs::rename(path("data"), path("data-of-the-first")).unwrap();
    fs::rename(path("data-of-another"), path("data")).unwrap();
    let mut running = node(folder.path()).await;
    send(&running, 2).await;
    let balance = |block: u64| {
        running
            .provider()
            .get_balance(Address::repeat_byte(1))
            .number(block)
    };
    assert_eq!(balance(14).await.unwrap(), U256::from(14));
    let refused = balance(5).await.unwrap_err().to_string();
    assert!(
        refused.contains("missing trie node") && refused.contains("block 12"),
        "{refused}"
    );
    let old = running
        .provider()
        .get_block_by_number(3.into())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(old.transactions.len(), 1);
    running.kill().unwrap();
    assert_eq!(json(&["check", "--data-dir", data])["wrong"], 0);

    // Blocks alone, run once more by somebody who has the first twelve.
    let blocks = path("blocks.file");
    let blocks = arg(&blocks);
    json(&["export", blocks, "--data-dir", data]);
    let first = path("data-of-the-first");
    let taken = json(&["import", blocks, "--data-dir", arg(&first)]);
    assert_eq!((&taken["block"], &taken["blocks"]), (&14.into(), &2.into()));
    damaged(&path("data/state.redb"), data);
}

/// Balances are changed in the file, behind the node's back; the check says so, with exit code 5.
fn damaged(file: &Path, data: &str) {
    let mut bytes = fs::read(file).unwrap();
    // Accounts in the table for fast reads: no nonce, seven wei, no code. Some are in pages that are not used any more.
    let mut account = [0; 72];
    account[39] = 7;
    account[40..].copy_from_slice(KECCAK256_EMPTY.as_slice());
    let places: Vec<_> = bytes
        .windows(72)
        .enumerate()
        .filter_map(|(place, window)| (window == account).then_some(place))
        .collect();
    assert!(places.len() >= 10);
    for place in places {
        bytes[place + 38] = 1;
    }
    fs::write(file, bytes).unwrap();
    let checked = synod(["db", "check", "--data-dir", data]);
    assert_eq!(checked.code, Some(5), "{}\n{}", checked.stdout, checked.stderr);
    assert!(checked.stdout.contains("accounts 0x"), "{}", checked.stdout);
    let last = checked.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error:") && last.contains("is damaged in"),
        "{last}"
    );
}

#[test]
fn a_folder_without_a_chain_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["stats"][..],
        &["check"],
        &["prune", "--keep", "5"],
        &["export", "x"],
    ] {
        let args = ["db"].iter().chain(command);
        synod(args.chain(&["--data-dir", arg(folder.path())])).refuses(&["has no chain", "--data-dir"]);
    }
    let file = folder.path().join("x");
    fs::write(&file, "no such thing").unwrap();
    synod(["db", "import", arg(&file)]).refuses(&["synod db export"]);
}
