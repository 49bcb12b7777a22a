//! The network fails.

use crate::{Links, simulate};
use commonware_utils::probability;
use std::time::Duration;

#[test]
fn a_partition_heals() {
    simulate(4, async |world, seed| {
        world.start_all().await;
        world.advance(&[0, 1, 2, 3], 2).await;
        // Two and two: nobody can decide.
        let other = 1 + usize::try_from(seed).unwrap() % 3;
        let side = |index: usize| index == 0 || index == other;
        world.link(Links::default(), |a, b| side(a) == side(b)).await;
        world.pass(Duration::from_secs(2)).await;
        let before = (0..4).map(|index| world.height(index)).max();
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(
            (0..4).map(|index| world.height(index)).max(),
            before,
            "half a cluster decided"
        );
        world.link(Links::default(), |_, _| true).await;
        world.advance(&[0, 1, 2, 3], 3).await;
    });
}

#[test]
fn a_lonely_validator_catches_up() {
    simulate(7, async |world, seed| {
        world.start_all().await;
        let all: Vec<_> = (0..7).collect();
        world.advance(&all, 2).await;
        let lonely = usize::try_from(seed).unwrap() % 7;
        world
            .link(Links::default(), |a, b| a != lonely && b != lonely)
            .await;
        let others: Vec<_> = all.iter().copied().filter(|index| *index != lonely).collect();
        let sent = world.send(others[0]);
        world.advance(&others, 5).await;
        assert!(!world.has(lonely, sent));
        world.link(Links::default(), |_, _| true).await;
        world.advance(&all, 2).await;
        assert!(world.has(lonely, sent));
    });
}

#[test]
fn messages_are_late_and_lost() {
    simulate(4, async |world, _| {
        let links = Links {
            latency_ms: 120,
            jitter_ms: 100,
            success: probability!(0.8),
        };
        world.link(links, |_, _| true).await;
        world.start_all().await;
        world.reach(&[0, 1, 2, 3], 4).await;
        let sent = world.send(2);
        world
            .until("a transaction is final everywhere", |world| {
                (0..4).all(|index| world.has(index, sent))
            })
            .await;
    });
}

#[test]
fn messages_overtake_each_other_and_come_twice() {
    simulate(4, async |world, _| {
        for index in 0..4 {
            world.start_scrambled(index).await;
        }
        world.reach(&[0, 1, 2, 3], 3).await;
        let sent = world.send(1);
        world
            .until("a transaction is final everywhere", |world| {
                (0..4).all(|index| world.has(index, sent))
            })
            .await;
    });
}
