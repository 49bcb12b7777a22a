//! Validators die, and come back.

use crate::{World, simulate, simulate_sizes};
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
    simulate_sizes(crash_of_f);
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
    simulate_sizes(async |world, _| {
        world.start_all().await;
        world.advance(&world.everybody(), 2).await;
        let mut dead = world.everybody();
        let alive = dead.split_off(world.most_faults() + 1);
        for index in &dead {
            world.kill(*index).await;
        }
        world.pass(Duration::from_secs(2)).await;
        let before = world.highest(&alive);
        world.pass(Duration::from_secs(60)).await;
        assert_eq!(world.highest(&alive), before, "fewer than a quorum decided");
        let quorum = &world.everybody()[world.most_faults()..];
        world.start(quorum[0]).await;
        world.advance(quorum, 3).await;
        for index in &dead[..world.most_faults()] {
            world.start(*index).await;
        }
        world.advance(&world.everybody(), 3).await;
    });
}

#[test]
fn all_die_at_once_and_go_on() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        world.advance(&world.everybody(), 3).await;
        world.pass(Duration::from_millis(seed * 61 % 700)).await;
        let heights: Vec<_> = (0..world.size()).map(|index| world.height(index)).collect();
        for index in 0..world.size() {
            world.kill(index).await;
        }
        world.start_all().await;
        for (index, height) in heights.iter().enumerate() {
            assert!(world.height(index) >= *height, "a final block is gone");
        }
        world.advance(&world.everybody(), 3).await;
    });
}

#[test]
fn a_validator_dies_again_and_again() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        for round in 0..5 {
            world.pass(Duration::from_millis(100 + seed * 131 % 900)).await;
            let index = usize::try_from(round + seed).unwrap() % world.size();
            world.kill(index).await;
            world.pass(Duration::from_millis(50 * round)).await;
            world.start(index).await;
        }
        world.advance(&world.everybody(), 3).await;
    });
}

#[test]
fn an_empty_disk_follows_without_a_vote() {
    simulate_sizes(async |world, _| {
        world.start_all().await;
        let sent = world.send(1);
        world.advance(&world.everybody(), 5).await;
        world.kill(0).await;
        world.wipe(0);
        world.start_following(0).await;
        world.advance(&world.everybody(), 5).await;
        assert!(world.has(0, sent), "it has what was final before");
        // It counts against f: without f others there is no quorum.
        let mut dead = world.everybody();
        let alive = dead.split_off(1 + world.most_faults());
        for index in &dead[1..] {
            world.kill(*index).await;
        }
        world.pass(Duration::from_secs(2)).await;
        let before = world.highest(&alive);
        world.pass(Duration::from_secs(30)).await;
        assert_eq!(world.highest(&alive), before, "a follower voted");
        for index in &dead[1..] {
            world.start(*index).await;
        }
        world.advance(&world.everybody(), 3).await;
    });
}

/// Ends f validators for good, which leaves exactly a quorum. Returns that.
async fn silence(world: &mut World, seed: usize) -> Vec<usize> {
    world.start_all().await;
    world.advance(&world.everybody(), 2).await;
    let mut quorum = world.everybody();
    quorum.rotate_left(seed % world.size());
    let silent = quorum.split_off(world.size() - world.most_faults());
    for index in silent {
        world.kill(index).await;
        // It is down, or it lost its disk and follows without a vote.
        if seed.is_multiple_of(2) {
            world.wipe(index);
            world.start_following(index).await;
        }
    }
    quorum
}

/// With f silent for good, the others are exactly a quorum: the chain stands still whenever one of them is away, however
/// long, and goes on soon after it is back with its own disk.
#[test]
fn at_exactly_a_quorum_each_return_is_enough() {
    simulate_sizes(async |world, seed| {
        let turn = usize::try_from(seed).unwrap();
        let quorum = silence(world, turn).await;
        world.advance(&quorum, 2).await;
        let longest = if turn.is_multiple_of(10) { 600 } else { 60 };
        for (round, absence) in (0..).zip([0, 3, 20, longest]) {
            world
                .pass(Duration::from_millis((seed * 531 + round * 77) % 2500))
                .await;
            let away = quorum[usize::try_from(seed + round).unwrap() % quorum.len()];
            world.kill(away).await;
            world.pass(Duration::from_secs(absence)).await;
            world.start(away).await;
            let back = world.now_ms();
            world.advance(&quorum, 2).await;
            let took = world.now_ms() - back;
            assert!(took < 60_000, "{took} ms after {absence} s away");
        }
    });
}

/// The same with a node that forgot its last votes. It may vote once more in a view where it has voted, and then the others
/// have proof of that and cut it off: they stand still, since more than f are gone. If it does not, all goes on, and it
/// finds out by itself as soon as a certificate shows it a vote that it does not remember.
#[test]
fn an_old_journal_at_exactly_a_quorum_is_found_out_or_harmless() {
    simulate_sizes(async |world, seed| {
        let turn = usize::try_from(seed).unwrap();
        let quorum = silence(world, turn).await;
        let (forgetful, others) = quorum.split_first().unwrap();
        let forgetful = *forgetful;
        world.kill(forgetful).await;
        let old = world.copy_votes(forgetful).await;
        world.start(forgetful).await;
        world.advance(&quorum, 2 + seed % 3).await;
        world.pass(Duration::from_millis(seed * 531 % 1700)).await;
        world.kill(forgetful).await;
        world.pass(Duration::from_secs(seed % 7 * 5)).await;
        world.restore_votes(forgetful, old).await;
        let height = world.highest(others);
        world.start(forgetful).await;
        let culprit = world.nodes[forgetful].keys.identity();
        let proven = |world: &World| {
            others.iter().any(|index| {
                let evidence = world.nodes[*index].seen.evidence.lock();
                evidence.iter().any(|(offender, _)| *offender == culprit)
            })
        };
        world
            .until("it is found out, by itself or by others, or harmless", |world| {
                let goes_on = || quorum.iter().all(|index| world.height(*index) >= height + 3);
                world.has_ended(forgetful) || proven(world) || goes_on()
            })
            .await;
        if !world.has_ended(forgetful) && proven(world) {
            world.pass(Duration::from_secs(2)).await;
            let before = world.highest(others);
            world.pass(Duration::from_secs(30)).await;
            assert_eq!(world.highest(others), before, "fewer than a quorum decided");
        }
    });
}
