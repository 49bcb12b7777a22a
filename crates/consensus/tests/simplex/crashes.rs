//! Validators die, and come back.

use crate::{World, simulate};
use std::time::Duration;

/// The others go on without `f` of them, and take them back.
async fn crash_of_f(world: &mut World, seed: u64) {
    let size = world.nodes.len();
    let f = (size - 1) / 3;
    world.start_all().await;
    let everybody: Vec<_> = (0..size).collect();
    world.advance(&everybody, 2).await;
    world.pass(Duration::from_millis(seed * 37 % 400)).await;
    let dead: Vec<_> = (0..f)
        .map(|i| (usize::try_from(seed).unwrap() + i) % size)
        .collect();
    for index in &dead {
        world.kill(*index).await;
    }
    let alive: Vec<_> = everybody.iter().copied().filter(|i| !dead.contains(i)).collect();
    let sent = world.send(alive[0]);
    world
        .until("a transaction is final without the dead", |world| {
            alive.iter().all(|index| world.has(*index, sent))
        })
        .await;
    world.advance(&alive, 4).await;
    // With their old disks.
    for index in &dead {
        world.start(*index).await;
    }
    world.advance(&everybody, 4).await;
    assert!(everybody.iter().all(|index| world.has(*index, sent)));
}

#[test]
fn one_of_four_dies_and_comes_back() {
    simulate(4, crash_of_f);
}

#[test]
fn two_of_seven_die_and_come_back() {
    simulate(7, crash_of_f);
}

#[test]
fn three_of_ten_die_and_come_back() {
    simulate(10, crash_of_f);
}

#[test]
fn without_a_quorum_the_chain_waits() {
    simulate(4, async |world, _| {
        world.start_all().await;
        world.advance(&[0, 1, 2, 3], 2).await;
        world.kill(1).await;
        world.kill(2).await;
        world.pass(Duration::from_secs(2)).await;
        let before = world.height(0).max(world.height(3));
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(
            world.height(0).max(world.height(3)),
            before,
            "two of four decided"
        );
        world.start(1).await;
        world.advance(&[0, 1, 3], 3).await;
        world.start(2).await;
        world.advance(&[0, 1, 2, 3], 3).await;
    });
}

#[test]
fn all_die_at_once_and_go_on() {
    simulate(4, async |world, seed| {
        world.start_all().await;
        world.advance(&[0, 1, 2, 3], 3).await;
        world.pass(Duration::from_millis(seed * 61 % 700)).await;
        let heights: Vec<_> = (0..4).map(|index| world.height(index)).collect();
        for index in 0..4 {
            world.kill(index).await;
        }
        world.start_all().await;
        for (index, height) in heights.iter().enumerate() {
            assert!(world.height(index) >= *height, "a final block is gone");
        }
        world.advance(&[0, 1, 2, 3], 3).await;
    });
}

#[test]
fn a_validator_dies_again_and_again() {
    simulate(4, async |world, seed| {
        world.start_all().await;
        for round in 0..5 {
            world.pass(Duration::from_millis(100 + seed * 131 % 900)).await;
            let index = usize::try_from(round + seed).unwrap() % 4;
            world.kill(index).await;
            world.pass(Duration::from_millis(50 * round)).await;
            world.start(index).await;
        }
        world.advance(&[0, 1, 2, 3], 3).await;
    });
}

#[test]
fn an_empty_disk_follows_without_a_vote() {
    simulate(4, async |world, _| {
        world.start_all().await;
        let sent = world.send(1);
        world.advance(&[0, 1, 2, 3], 5).await;
        world.kill(0).await;
        world.wipe(0);
        world.start_following(0).await;
        world.advance(&[0, 1, 2, 3], 5).await;
        assert!(world.has(0, sent), "it has what was final before");
        // It counts against f: without another one there is no quorum.
        world.kill(1).await;
        world.pass(Duration::from_secs(2)).await;
        let before = world.height(2).max(world.height(3));
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.height(2).max(world.height(3)), before, "a follower voted");
        world.start(1).await;
        world.advance(&[0, 1, 2, 3], 3).await;
    });
}
