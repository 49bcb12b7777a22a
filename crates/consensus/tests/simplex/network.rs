//! The network fails.

use crate::{Links, simulate_sizes};
use commonware_utils::probability;
use std::time::Duration;

#[test]
fn a_partition_heals() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        world.advance(&world.everybody(), 2).await;
        // Two halves: neither can decide.
        let (size, turn) = (world.size(), usize::try_from(seed).unwrap());
        let side = |index: usize| match turn % 2 {
            0 => index.is_multiple_of(2),
            _ => (index + turn) % size < size / 2,
        };
        world.link(Links::default(), |a, b| side(a) == side(b)).await;
        world.pass(Duration::from_secs(2)).await;
        let before = (0..world.size()).map(|index| world.height(index)).max();
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(
            (0..world.size()).map(|index| world.height(index)).max(),
            before,
            "half a cluster decided"
        );
        world.link(Links::default(), |_, _| true).await;
        world.advance(&world.everybody(), 3).await;
    });
}

#[test]
fn a_lonely_validator_catches_up() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        let all = world.everybody();
        world.advance(&all, 2).await;
        let lonely = usize::try_from(seed).unwrap() % world.size();
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
    simulate_sizes(async |world, _| {
        let links = Links {
            latency_ms: 120,
            jitter_ms: 100,
            success: probability!(0.8),
        };
        world.link(links, |_, _| true).await;
        world.start_all().await;
        world.reach(&world.everybody(), 4).await;
        let sent = world.send(2);
        world
            .until("a transaction is final everywhere", |world| {
                (0..world.size()).all(|index| world.has(index, sent))
            })
            .await;
    });
}

#[test]
fn messages_overtake_each_other_and_come_twice() {
    simulate_sizes(async |world, _| {
        for index in 0..world.size() {
            world.start_scrambled(index).await;
        }
        world.reach(&world.everybody(), 3).await;
        let sent = world.send(1);
        world
            .until("a transaction is final everywhere", |world| {
                (0..world.size()).all(|index| world.has(index, sent))
            })
            .await;
    });
}
