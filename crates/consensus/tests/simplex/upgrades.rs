//! The rules in code change with an epoch: an older build stops there with its reason, the others go on, and networks keep
//! their bits.
//!
//! The protocols are the tests': the second one brings Osaka, with its instruction CLZ, to a chain that began with Prague, and
//! a profile of which networks have other ids. It has no other bits, since this build knows no other arithmetic.

use crate::{
    World,
    epochs::{decided, epoch},
    models::{self, COUNTER},
    simulate_upgrades,
};
use alloy_hardforks::EthereumHardfork;
use alloy_primitives::{B256, U256};
use std::time::Duration;
use synod_chain::{Protocol, council::Council};

/// What newer builds know.
const NEWER: &[Protocol] = &[
    Protocol {
        number: 1,
        fork: EthereumHardfork::Prague,
        profile: 1,
    },
    Protocol {
        number: 2,
        fork: EthereumHardfork::Osaka,
        profile: 2,
    },
];

/// What an older build knows.
const OLDER: &[Protocol] = &[NEWER[0]];

/// Blocks of an epoch.
const BLOCKS: u64 = 6;

async fn is_final(world: &World, index: usize, sent: B256) {
    let has = |world: &World| world.has(index, sent);
    world.until("a transaction is final", has).await;
}

/// What the contract keeps of the network's answer.
async fn answer(world: &mut World, index: usize, name: &str, wine: u8) -> U256 {
    let asked = world.ask_as(index, name, wine);
    is_final(world, index, asked).await;
    assert!(world.succeeded(index, asked));
    world.kept(index)
}

/// What CLZ counts, if there is such an instruction.
async fn zeros(world: &mut World, index: usize) -> Option<U256> {
    let sent = world.submit(index, COUNTER, Default::default(), 100_000);
    is_final(world, index, sent).await;
    let state = world.nodes[index].chain.state().unwrap();
    let kept = state.storage(COUNTER, U256::ZERO).unwrap();
    world.succeeded(index, sent).then_some(kept)
}

#[test]
fn an_old_build_stops_where_new_rules_begin() {
    simulate_upgrades(NEWER, 4, 0, BLOCKS, async |world, seed| {
        let old = usize::try_from(seed).unwrap() % 4;
        let others: Vec<_> = (0..4).filter(|index| *index != old).collect();
        let folder = tempfile::tempdir().unwrap();
        world.install(old, folder.path(), OLDER);
        world.start_all().await;
        let published = world.publish(others[0]);
        is_final(world, others[0], published).await;
        let (first, second) = (
            answer(world, old, models::NAME, 1).await,
            answer(world, old, models::NAME, 2).await,
        );
        assert_ne!(first, second);
        assert_eq!(zeros(world, others[0]).await, None, "Prague has no CLZ");

        let begins = epoch(world, others[0]) + 3;
        let upgrade = Council::scheduleUpgradeCall {
            first: begins,
            protocol: 2,
            parameters: String::new(),
        };
        decided(world, &others, &upgrade).await;
        assert_eq!(zeros(world, others[0]).await, None, "not yet");

        world
            .until("the old build stops", |world| world.has_ended(old))
            .await;
        let (fault, last) = (world.fault(old).unwrap(), begins * BLOCKS - 1);
        let says = format!(
            "with epoch {begins} (block {}) the chain goes on under protocol 2",
            last + 1
        );
        assert!(
            fault.contains(&says) && fault.contains("install a newer one"),
            "{fault}"
        );
        assert_eq!(world.height(old), last);

        world.reach(&others, last + 2).await;
        for index in &others {
            let spec = world.nodes[*index].chain.spec();
            assert_eq!([last, last + 1].map(|height| spec.protocol_at(height)), [1, 2]);
        }
        assert_eq!(zeros(world, others[0]).await, Some(U256::from(255)));
        assert_eq!(
            answer(world, others[1], models::NAME, 1).await,
            first,
            "the same bits"
        );
        // What is published from now on is of the new profile.
        let (known, new) = (models::id_under(1), models::id_under(2));
        assert_eq!(world.profile(others[2], new), None);
        let again = world.publish_as(others[0], "cellar/again");
        is_final(world, others[0], again).await;
        let profiles = [known, new].map(|id| world.profile(others[0], id));
        assert_eq!(profiles, [Some(1), Some(2)]);
        assert_eq!(answer(world, others[0], "cellar/again", 2).await, second);

        // Started again it says the same; a newer build goes on from its disk.
        world.kill(old).await;
        world.start(old).await;
        world.until("it stops again", |world| world.has_ended(old)).await;
        assert!(world.fault(old).unwrap().contains(&says));
        world.kill(old).await;
        world.pass(Duration::from_millis(1)).await;
        world.install(old, folder.path(), NEWER);
        assert_eq!(world.height(old), last);
        world.start(old).await;
        world.advance(&[0, 1, 2, 3], 2).await;
        assert_eq!(answer(world, old, models::NAME, 1).await, first);
        assert_eq!(zeros(world, old).await, Some(U256::from(255)));
    });
}
