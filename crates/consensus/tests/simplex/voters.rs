//! Voters that lie, refuse, or talk nonsense.

use crate::{World, simulate_sizes};
use commonware_codec::{DecodeExt as _, Encode as _, varint::UInt};
use commonware_consensus::simplex::types::{Finalize, Notarize, Nullify, Proposal, Vote};
use commonware_p2p::{Receiver as _, Recipients, Sender as _, utils::mux};
use commonware_runtime::{Spawner as _, Supervisor as _};
use rand_core::Rng as _;
use std::sync::Arc;
use synod_chain::{
    Application, BuildError, ChainApplication, ChainError, Context, Digest, Duty, Finalization,
    FinalizeError, InvalidBlock, Proposal as Candidate, Timestamp, Verdict,
};
use synod_consensus::simplex::{Commitment, Scheme};

/// What a liar says when it hears a vote.
type Answer = fn(&Scheme, Vote<Scheme, Commitment>, Commitment) -> Vec<Vote<Scheme, Commitment>>;

/// Votes for what others vote for, and for something else.
fn both(
    scheme: &Scheme,
    heard: Vote<Scheme, Commitment>,
    other: Commitment,
) -> Vec<Vote<Scheme, Commitment>> {
    match heard {
        Vote::Notarize(vote) => {
            let mine = vote.proposal;
            let other = Proposal::new(mine.round, mine.parent, other);
            [other, mine]
                .into_iter()
                .filter_map(|proposal| Notarize::sign(scheme, proposal).map(Vote::Notarize))
                .collect()
        }
        Vote::Finalize(vote) => {
            let mine = vote.proposal;
            let other = Proposal::new(mine.round, mine.parent, other);
            [other, mine]
                .into_iter()
                .filter_map(|proposal| Finalize::sign(scheme, proposal).map(Vote::Finalize))
                .collect()
        }
        Vote::Nullify(_) => Vec::new(),
    }
}

/// Votes to skip the view and to make its block final.
fn skip_and_finalize(
    scheme: &Scheme,
    heard: Vote<Scheme, Commitment>,
    _: Commitment,
) -> Vec<Vote<Scheme, Commitment>> {
    let Vote::Finalize(vote) = heard else {
        return Vec::new();
    };
    let skip = Nullify::sign::<Commitment>(scheme, vote.proposal.round).map(Vote::Nullify);
    let finalize = Finalize::sign(scheme, vote.proposal).map(Vote::Finalize);
    skip.into_iter().chain(finalize).collect()
}

/// Puts a liar with a validator's key on that validator's lines.
async fn start_liar(world: &mut World, index: usize, answer: Answer) {
    world.nodes[index].honest = false;
    let keys = world.nodes[index].keys.clone();
    let scheme = world.committee.signer(&keys).unwrap();
    let (mut sender, mut receiver) = world.lines(index).await.votes;
    world.runtime.child("liar").spawn(move |mut runtime| async move {
        while let Ok((_, message)) = receiver.recv().await {
            // Each message begins with its epoch.
            let Ok((epoch, message)) = mux::parse(message) else {
                continue;
            };
            let Ok(vote) = Vote::<Scheme, Commitment>::decode(message) else {
                continue;
            };
            let mut other = [0; 32];
            runtime.fill_bytes(&mut other);
            for vote in answer(&scheme, vote, other.into()) {
                let mut message = UInt(epoch).encode().to_vec();
                message.extend_from_slice(&vote.encode());
                sender.send(Recipients::All, message, true);
            }
        }
    });
}

async fn lie(world: &mut World, seed: u64, answer: Answer, kinds: &[&'static str]) {
    let liar = usize::try_from(seed).unwrap() % world.size();
    let others: Vec<_> = (0..world.size()).filter(|index| *index != liar).collect();
    for index in &others {
        world.start(*index).await;
    }
    start_liar(world, liar, answer).await;
    let culprit = world.nodes[liar].keys.identity();
    let sent = world.send(others[0]);
    world
        .until("everybody has proof", |world| {
            others.iter().all(|index| {
                let evidence = world.nodes[*index].seen.evidence.lock();
                evidence
                    .iter()
                    .any(|(offender, kind)| *offender == culprit && kinds.contains(kind))
            })
        })
        .await;
    world.advance(&others, 4).await;
    assert!(others.iter().all(|index| world.has(*index, sent)));
}

#[test]
fn a_voter_for_two_blocks_is_caught() {
    simulate_sizes(async |world, seed| {
        lie(world, seed, both, &["two proposals", "two final votes"]).await;
    });
}

#[test]
fn a_voter_to_skip_and_to_finalize_is_caught() {
    simulate_sizes(async |world, seed| {
        lie(world, seed, skip_and_finalize, &["voted to skip and to finalize"]).await;
    });
}

/// Finds every block of others invalid.
struct Refuser(Arc<ChainApplication>);

impl Application for Refuser {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        self.0.finalized_head()
    }

    fn build(&self, _: &Context, _: &Duty) -> Result<Candidate, BuildError> {
        Err(BuildError::Cancelled)
    }

    fn verify(&self, context: &Context, candidate: &Candidate) -> Result<Verdict, ChainError> {
        // What is final it must take, or it would stop.
        if context.timestamp == candidate.timestamp() {
            return self.0.verify(context, candidate);
        }
        Ok(Verdict::Invalid(InvalidBlock::ExtraData(0)))
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        self.0.finalized(finalization)
    }
}

#[test]
fn one_who_refuses_everything_stops_nobody() {
    simulate_sizes(async |world, seed| {
        let refuser = usize::try_from(seed).unwrap() % world.size();
        let others: Vec<_> = (0..world.size()).filter(|index| *index != refuser).collect();
        for index in &others {
            world.start(*index).await;
        }
        let chain = world.nodes[refuser].application();
        world.start_with(refuser, Arc::new(Refuser(chain))).await;
        let sent = world.send(others[1]);
        world.advance(&others, 4).await;
        assert!(others.iter().all(|index| world.has(*index, sent)));
    });
}

/// Sends back what it hears with one bit wrong, and noise, on every line.
#[test]
fn garbage_is_ignored_and_its_sender_cut_off() {
    simulate_sizes(async |world, seed| {
        let babbler = usize::try_from(seed).unwrap() % world.size();
        let others: Vec<_> = (0..world.size()).filter(|index| *index != babbler).collect();
        for index in &others {
            world.start(*index).await;
        }
        world.nodes[babbler].honest = false;
        let lines = world.lines(babbler).await;
        for (mut sender, mut receiver) in [
            lines.votes,
            lines.certificates,
            lines.resolver,
            lines.blocks,
            lines.backfill,
            lines.transactions,
        ] {
            world
                .runtime
                .child("babbler")
                .spawn(move |mut runtime| async move {
                    let mut noise = vec![0; 200];
                    runtime.fill_bytes(&mut noise);
                    sender.send(Recipients::All, noise, false);
                    while let Ok((_, message)) = receiver.recv().await {
                        let mut bytes = message.as_ref().to_vec();
                        if bytes.is_empty() {
                            continue;
                        }
                        let at = usize::try_from(runtime.next_u32()).unwrap() % bytes.len();
                        bytes[at] ^= 1 << (runtime.next_u32() % 8);
                        sender.send(Recipients::All, bytes, false);
                    }
                });
        }
        let sent = world.send(others[0]);
        world.advance(&others, 5).await;
        assert!(others.iter().all(|index| world.has(*index, sent)));
    });
}
