//! Epochs end and begin; validators come and go; a lost journal is of no matter in the next epoch.

use crate::{
    World,
    follow::{blocks, follower},
    simulate_epochs,
};
use alloy_primitives::{B256, Bytes};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use synod_chain::{
    Chain, Timestamp,
    council::{Council, Validator},
};
use synod_consensus::simplex::{Ballot, BlockProof, ProofError};

/// The machines that proposed blocks of an epoch.
fn proposers(world: &World, epoch: u64) -> BTreeSet<usize> {
    let chain = &world.nodes[0].chain;
    let proposals = (1..=chain.head().number()).map(|height| chain.proposal(height).unwrap().unwrap());
    proposals
        .filter(|proposal| proposal.envelope.epoch == epoch)
        .map(|proposal| {
            let mine = |node: &crate::world::Node| node.keys.identity()[..] == proposal.envelope.proposer[..];
            world.nodes.iter().position(mine).expect("one of the machines")
        })
        .collect()
}

pub(crate) fn epoch(world: &World, index: usize) -> u64 {
    world.committee.epochs().of(world.height(index) + 1)
}

/// The others decide something in the council.
pub(crate) async fn decided(world: &mut World, validators: &[usize], call: &impl alloy_sol_types::SolCall) {
    let quorum = validators.len() - (validators.len() - 1) / 3;
    let sent: Vec<B256> = validators[..quorum]
        .iter()
        .map(|who| world.decide(validators[0], *who, call))
        .collect();
    let first = validators[0];
    world
        .until("the council has decided", |world| {
            sent.iter().all(|hash| world.has(first, *hash))
        })
        .await;
    for hash in sent {
        assert!(world.succeeded(first, hash), "a decision was refused");
    }
}

/// The first four seat the fifth machine. Returns the first epoch in which it votes.
async fn seated(world: &mut World) -> u64 {
    seated_by(world, &[0, 1, 2, 3], 4).await
}

/// The others seat a machine. Returns the first epoch in which it votes.
async fn seated_by(world: &mut World, validators: &[usize], index: usize) -> u64 {
    let validator = world.seat(index);
    decided(world, validators, &Council::addValidatorCall { validator }).await;
    epoch(world, 0) + 1
}

fn named(world: &World, index: usize) -> Vec<Validator> {
    world.nodes[index].chain.sitting().unwrap().unwrap().next
}

#[test]
fn epochs_follow_each_other() {
    simulate_epochs(4, 0, 4, async |world, _| {
        world.start_all().await;
        let sent = world.send(0);
        world.reach(&[0, 1, 2, 3], 18).await;
        assert!((0..4).all(|index| world.has(index, sent)));
        for past in 0..4 {
            assert!(proposers(world, past).len() >= 2, "epoch {past}");
        }
        for index in 0..4 {
            let chain = &world.nodes[index].chain;
            // An epoch cannot end through a later block.
            for last in [3, 7, 11, 15] {
                assert!(!chain.seal(last).unwrap().unwrap().certificate.is_empty());
            }
        }
    });
}

#[test]
fn validators_die_at_any_time_and_come_back_in_a_later_epoch() {
    simulate_epochs(4, 0, 3, async |world, seed| {
        world.start_all().await;
        world.reach(&[0, 1, 2, 3], 1 + seed % 3).await;
        world.pass(Duration::from_millis(seed * 53 % 900)).await;
        let dead = usize::try_from(seed).unwrap() % 4;
        world.kill(dead).await;
        let alive: Vec<_> = (0..4).filter(|index| *index != dead).collect();
        // Some epochs pass.
        world.advance(&alive, 4 + seed % 7).await;
        world.start(dead).await;
        world.advance(&[0, 1, 2, 3], 4).await;
        // Then all of them, one by one, wherever in an epoch they are.
        for index in 0..4 {
            world.kill(index).await;
            world.pass(Duration::from_millis(seed * 31 % 500)).await;
            world.start(index).await;
            world.advance(&[0, 1, 2, 3], 1).await;
        }
        world.advance(&[0, 1, 2, 3], 4).await;
    });
}

#[test]
fn all_die_at_once_at_an_epochs_end() {
    simulate_epochs(4, 0, 3, async |world, seed| {
        world.start_all().await;
        for round in 0..3 {
            let highest = (0..4).map(|index| world.height(index)).max().unwrap();
            let some = usize::try_from(seed + round).unwrap() % 4;
            world.reach(&[some], highest + 2 + seed % 2).await;
            world.pass(Duration::from_millis(seed * 17 % 90)).await;
            for index in 0..4 {
                world.kill(index).await;
            }
            world.start_all().await;
        }
        world.advance(&[0, 1, 2, 3], 4).await;
    });
}

#[test]
fn a_validator_comes_and_another_goes() {
    simulate_epochs(4, 1, 6, async |world, seed| {
        for index in 0..4 {
            world.start(index).await;
        }
        // The newcomer's machine may be there before, or after its epoch has begun.
        let early = seed % 2 == 0;
        if early {
            world.start(4).await;
        }
        let joins = seated(world).await;
        world.reach(&[0, 1, 2, 3], joins * 6 + 1).await;
        if !early {
            world.start(4).await;
        }
        world.reach(&[0, 1, 2, 3, 4], joins * 6 + 11).await;
        assert!(!proposers(world, 0).contains(&4));
        assert!(proposers(world, joins + 1).contains(&4), "the newcomer proposes");
        let signs = |chain: &Chain| {
            let last = (joins + 2) * 6 - 1;
            chain.proposal(last).unwrap().unwrap().envelope.epoch
        };
        assert_eq!(signs(&world.nodes[4].chain), joins + 1);

        // Now one goes, and is not missed: its machine may die with one other.
        let gone = usize::try_from(seed).unwrap() % 4;
        let identity = B256::from_slice(&world.nodes[gone].keys.identity());
        decided(
            world,
            &[0, 1, 2, 3, 4],
            &Council::removeValidatorCall { identity },
        )
        .await;
        assert_eq!(named(world, 0).len(), 4);
        let leaves = epoch(world, 0) + 1;
        let stay: Vec<_> = (0..5).filter(|index| *index != gone).collect();
        world.reach(&stay, leaves * 6 + 1).await;
        world.kill(gone).await;
        world.kill(stay[3]).await;
        world.advance(&stay[..3], 9).await;
        assert!(!proposers(world, leaves + 1).contains(&gone));
        world.start(stay[3]).await;
        world.advance(&stay, 3).await;
        assert_eq!(
            world.nodes[4].chain.sitting().unwrap().unwrap().validators.len(),
            4
        );
    });
}

/// A validator that lost its disk at a time.
struct Since(Timestamp);

impl Ballot for Since {
    fn may_vote(&self, _: u64, began: Timestamp) -> bool {
        began.0 > self.0.0
    }
}

#[test]
fn a_lost_disk_is_forgiven_in_the_next_epoch() {
    simulate_epochs(4, 0, 8, async |world, seed| {
        world.start_all().await;
        world.reach(&[0, 1, 2, 3], 2 + seed % 4).await;
        let lost = usize::try_from(seed).unwrap() % 4;
        world.kill(lost).await;
        world.wipe(lost);
        let since = Since(Timestamp(world.now_ms()));
        world.start_with_ballot(lost, Arc::new(since)).await;
        let others: Vec<_> = (0..4).filter(|index| *index != lost).collect();
        world.reach(&[0, 1, 2, 3], 9).await;
        assert!(!proposers(world, 0).is_empty());
        // It is needed now, and it is there.
        world.kill(others[0]).await;
        let rest = [others[1], others[2], lost];
        world.advance(&rest, 10).await;
        world.start(others[0]).await;
        world.advance(&[0, 1, 2, 3], 2).await;
        assert!(proposers(world, 2).contains(&lost), "it proposes");
    });
}

#[test]
fn a_newcomer_without_a_true_key_is_passed_over() {
    simulate_epochs(4, 1, 5, async |world, _| {
        for index in 0..4 {
            world.start(index).await;
        }
        let mut seat = world.seat(4);
        // Somebody else's proof of possession.
        seat.possession = world.seat(0).possession;
        decided(
            world,
            &[0, 1, 2, 3],
            &Council::addValidatorCall { validator: seat },
        )
        .await;
        assert_eq!(named(world, 0).len(), 5, "the contract cannot know");
        let next = (epoch(world, 0) + 1) * 5;
        // Two of the five would be missing if it counted.
        world.kill(3).await;
        world.reach(&[0, 1, 2], next + 3).await;
    });
}

#[test]
fn a_proof_leads_from_the_genesis_file_through_all_changes() {
    simulate_epochs(4, 2, 5, async |world, seed| {
        world.start_all().await;
        let joins = seated(world).await;
        world.reach(&[0, 4], joins * 5 + 1).await;
        let host = Council::setHostCall {
            host: "example.org:9545".into(),
        };
        let moved = world.decide(1, 2, &host);
        world.until("a host is set", |world| world.has(1, moved)).await;
        world.reach(&[0, 4], (epoch(world, 0) + 1) * 5 + 1).await;
        assert!(
            named(world, 0)
                .iter()
                .any(|validator| validator.host == host.host)
        );
        let last = seated_by(world, &[0, 1, 2, 3, 4], 5).await;
        world.reach(&[0, 4], last * 5 + 2).await;

        let chain = &world.nodes[0].chain;
        let proof = |height: u64| BlockProof {
            headers: vec![alloy_rlp::encode(chain.header(height).unwrap().unwrap()).into()],
            certificate: chain.seal(height).unwrap().unwrap().certificate,
            handovers: chain.handovers(height).unwrap(),
        };
        let certified = |from: u64| {
            let certificate = |height: &u64| !chain.seal(*height).unwrap().unwrap().certificate.is_empty();
            (from..).find(certificate).unwrap()
        };
        let early = world.committee.verify_block(&proof(certified(1))).unwrap();
        assert_eq!((early.epoch, early.validators), (0, 4));
        let late = proof(certified(last * 5));
        // Whom the host concerns needs no proof: a validator may change it alone, as often as it likes.
        assert_eq!(late.handovers.len(), 2, "one came, and another");
        let proven = world.committee.verify_block(&late).unwrap();
        assert_eq!((proven.epoch, proven.validators), (last, 6));

        // Without the first change nothing follows.
        let mut short = late.clone();
        short.handovers.remove(0);
        assert!(world.committee.verify_block(&short).is_err());
        let mut short = late.clone();
        short.handovers.clear();
        assert!(world.committee.verify_block(&short).is_err());
        // Nor with one that is not as it was.
        for part in 0..5 {
            let mut changed = late.clone();
            let handover = &mut changed.handovers[usize::try_from(seed % 2).unwrap()];
            let bytes = match part {
                0 => &mut handover.header,
                1 => &mut handover.certificate,
                2 => &mut handover.list.validators,
                3 => &mut handover.list.account,
                _ => &mut handover.list.storage_proof[0],
            };
            let mut flipped = bytes.to_vec();
            let at = usize::try_from(seed).unwrap() * 7 % flipped.len();
            flipped[at] ^= 1;
            *bytes = Bytes::from(flipped);
            assert!(
                matches!(
                    world.committee.verify_block(&changed),
                    Err(ProofError::Handover(..))
                ),
                "part {part}"
            );
        }

        // A follower finds the same way.
        let copy = Chain::in_memory(world.spec.clone()).unwrap();
        let mut follower = follower(world, &copy);
        follower.take(&blocks(world, 1)).unwrap();
        assert!(copy.head().number() >= last * 5);
    });
}
