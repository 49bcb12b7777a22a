//! A node that forgets old states while it runs.

use serde_json::{Value, json};
use std::time::Duration;

use super::{World, code};

const STRANGER: &str = "0x00000000000000000000000000000000000000aa";

async fn done(world: &World, method: &str, params: Value) -> Value {
    let answer = world.ask(method, params.clone()).await;
    answer.unwrap_or_else(|error| panic!("{method} {params}: {error}"))
}

/// The balance after a block; `None` if its state is forgotten.
async fn balance(world: &World, block: u64) -> Option<Value> {
    let params = json!([STRANGER, format!("0x{block:x}")]);
    match world.ask("eth_getBalance", params).await {
        Ok(balance) => Some(balance),
        Err(error) => {
            assert_eq!(code(&error), -32000, "{error}");
            let said = error.to_string();
            assert!(
                said.contains("missing trie node") && said.contains("is pruned"),
                "{said}"
            );
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn old_states_go_and_blocks_and_snapshots_stay() {
    let world = World::start(|config| config.history = "3".parse().unwrap()).await;
    done(&world, "evm_mine", json!([])).await;
    done(&world, "hardhat_setBalance", json!([STRANGER, "0x64"])).await;
    // Taken of an edited state, which is edited once more.
    let snapshot = done(&world, "evm_snapshot", json!([])).await;
    done(&world, "hardhat_setBalance", json!([STRANGER, "0x65"])).await;
    let mut blocks = 1;
    // The node prunes by itself; the test's own timeout is the only clock.
    while blocks < 8 || balance(&world, 1).await.is_some() {
        done(
            &world,
            "hardhat_setBalance",
            json!([STRANGER, format!("0x{:x}", 1000 + blocks)]),
        )
        .await;
        done(&world, "evm_mine", json!([])).await;
        blocks += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for block in blocks - 2..=blocks {
        // What was edited after a block counts as its state.
        let expected = format!("0x{:x}", 1000 + block.min(blocks - 1));
        assert_eq!(
            balance(&world, block).await,
            Some(json!(expected)),
            "block {block} of {blocks}"
        );
    }
    for (method, params) in [
        ("eth_getProof", json!([STRANGER, [], "0x1"])),
        ("eth_call", json!([{"to": STRANGER}, "0x1"])),
        ("debug_traceBlockByNumber", json!(["0x2"])),
    ] {
        let error = world.ask(method, params).await.unwrap_err();
        assert_eq!(code(&error), -32000, "{method}: {error}");
        assert!(
            error.to_string().contains("missing trie node"),
            "{method}: {error}"
        );
    }
    assert_eq!(
        done(&world, "eth_getBlockByNumber", json!(["0x1", true])).await["number"],
        "0x1"
    );
    assert_eq!(
        done(&world, "eth_getBlockReceipts", json!(["0x1"])).await,
        json!([])
    );

    // The snapshot's state is there, and counts as the oldest one then; the genesis state is gone.
    assert_eq!(done(&world, "evm_revert", json!([snapshot])).await, true);
    assert_eq!(balance(&world, 1).await, Some(json!("0x64")));
    done(&world, "evm_mine", json!([])).await;
    assert_eq!(balance(&world, 2).await, Some(json!("0x64")));
    let error = world.ask("hardhat_reset", json!([])).await.unwrap_err();
    assert!(error.to_string().contains("block 0 is pruned"), "{error}");
    let error = world.ask("anvil_dumpState", json!([])).await.unwrap_err();
    assert!(error.to_string().contains("--history archive"), "{error}");
    let report = world
        .node
        .chain()
        .check_store(&mut |_| std::ops::ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((report.wrong, report.blocks), (0, 3));
    world.node.stop().await.unwrap();
}
