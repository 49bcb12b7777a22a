//! Nothing goes wrong.

use crate::{World, simulate, simulate_sizes};
use alloy_primitives::B256;
use std::collections::BTreeSet;

async fn agree(world: &mut World, _: u64) {
    world.start_all().await;
    let everybody: Vec<_> = (0..world.nodes.len()).collect();
    world.advance(&everybody, 2).await;
    // What was sent to a machine before it was up is lost: when its first turn comes it may have no block to build on yet.
    for node in &world.nodes {
        node.seen.nullified.lock().clear();
    }
    let sent: Vec<_> = (0..6).map(|i| world.send(i % everybody.len())).collect();
    world
        .until("all transactions are final everywhere", |world| {
            sent.iter()
                .all(|hash| (0..world.nodes.len()).all(|node| world.has(node, *hash)))
        })
        .await;
    world.advance(&everybody, 2).await;
    // Everybody proposes in turn, and each block has a randomness of its own.
    let chain = &world.nodes[0].chain;
    let headers: Vec<_> = (1..=chain.head().number())
        .map(|height| chain.header(height).unwrap().unwrap())
        .collect();
    let randomness: BTreeSet<B256> = headers.iter().map(|header| header.mix_hash).collect();
    assert_eq!(randomness.len(), headers.len());
    let proposers: BTreeSet<_> = headers.iter().map(|header| header.beneficiary).collect();
    assert!(
        proposers.len() >= everybody.len().min(4),
        "only {proposers:?} proposed"
    );
    for node in &world.nodes {
        let lost = node.seen.nullified.lock();
        assert!(lost.is_empty(), "the views {lost:?} were lost without a fault");
    }
}

#[test]
fn four_validators_agree() {
    simulate(4, agree);
}

#[test]
fn seven_validators_agree() {
    simulate(7, agree);
}

#[test]
fn ten_validators_agree() {
    simulate(10, agree);
}

#[test]
fn predictions_are_the_same_everywhere() {
    simulate_sizes(async |world, seed| {
        world.start_all().await;
        let published = world.publish(0);
        world
            .until("the network is published", |world| world.has(0, published))
            .await;
        let asked = world.ask(usize::try_from(seed).unwrap() % world.size(), 1);
        world
            .until("the answer is final everywhere", |world| {
                (0..world.size()).all(|index| world.has(index, asked))
            })
            .await;
        let kept = world.kept(0);
        assert!(!kept.is_zero());
        assert!((1..world.size()).all(|index| world.kept(index) == kept));
    });
}

#[test]
fn one_validator_agrees_with_itself() {
    simulate(1, async |world, _| {
        world.start_all().await;
        let sent = world.send(0);
        world
            .until("the transaction is final", |world| world.has(0, sent))
            .await;
    });
}

#[test]
fn the_same_seed_is_the_same_chain() {
    let run = |seed: u64| {
        let head = std::cell::Cell::new(B256::ZERO);
        // One seed of our own choice: the environment's does not matter here.
        crate::runs::replay(4, seed, async |world, _| {
            world.start_all().await;
            world.advance(&[0, 1, 2, 3], 4).await;
            let chain = &world.nodes[0].chain;
            head.set(chain.hash_of(4).unwrap().unwrap());
        });
        head.get()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
