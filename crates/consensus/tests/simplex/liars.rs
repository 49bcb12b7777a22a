//! Validators that lie.
//!
//! A liar is a real engine with a real key in front of a false [`Application`]: what it signs is well formed, and only
//! execution shows what is wrong with it.

use crate::{Fate, World, simulate};
use alloy_primitives::B256;
use std::sync::Arc;
use synod_chain::{
    Application, BuildError, ChainApplication, ChainError, Context, Digest, Duty, Finalization,
    FinalizeError, Proposal, Timestamp, Verdict,
};
use synod_consensus::simplex::Role;

/// Proposes what the chain built, altered; finds everything valid that it is shown.
struct Liar {
    honest: Arc<ChainApplication>,
    alter: fn(&mut Proposal),
}

impl Application for Liar {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        self.honest.finalized_head()
    }

    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        let mut proposal = self.honest.build(context, duty)?;
        (self.alter)(&mut proposal);
        Ok(proposal)
    }

    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, ChainError> {
        Ok(match self.honest.verify(context, proposal)? {
            Verdict::Invalid(_) => Verdict::Valid,
            verdict => verdict,
        })
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        self.honest.finalized(finalization)
    }
}

/// One of four lies about its blocks; the other three go on, and nobody believes it.
async fn lie(world: &mut World, seed: u64, fate: Fate) {
    let liar = usize::try_from(seed).unwrap() % 4;
    for index in 0..4 {
        let role = Role::Validator(world.nodes[index].keys.clone());
        if index == liar {
            world.start_as(index, role, fate).await;
        } else {
            world.start(index).await;
        }
    }
    let others: Vec<_> = (0..4).filter(|index| *index != liar).collect();
    let sent = world.send(others[0]);
    world.advance(&others, 6).await;
    assert!(others.iter().all(|index| world.has(*index, sent)));
    // Its turns passed without a block.
    let chain = &world.nodes[others[0]].chain;
    let proposer = alloy_primitives::Address::repeat_byte(u8::try_from(liar + 1).unwrap());
    for height in 1..=chain.head().number() {
        assert_ne!(chain.header(height).unwrap().unwrap().beneficiary, proposer);
    }
}

fn lies(fate: Fate) {
    simulate(4, async move |world, seed| lie(world, seed, fate).await);
}

#[test]
fn a_wrong_state_root_is_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| proposal.block.header.state_root = B256::repeat_byte(1);
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn wrong_receipts_are_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| proposal.block.header.receipts_root = B256::repeat_byte(2);
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn wrong_gas_is_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| proposal.block.header.gas_used += 1;
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn a_chosen_randomness_is_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| {
            proposal.envelope.randomness_signature = vec![7; 96].into();
            proposal.block.header.extra_data = proposal.envelope.commitment().into();
        };
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn a_chosen_prevrandao_is_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| proposal.block.header.mix_hash = B256::repeat_byte(3);
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn a_borrowed_name_is_refused() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| {
            proposal.envelope.view += 1;
            proposal.block.header.extra_data = proposal.envelope.commitment().into();
        };
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn a_time_from_the_future_waits() {
    lies(|honest| {
        let alter = |proposal: &mut Proposal| proposal.block.header.timestamp += 3600;
        Arc::new(Liar { honest, alter })
    });
}

#[test]
fn two_machines_with_one_key_are_caught() {
    simulate(4, async |world, seed| {
        let doubled = usize::try_from(seed).unwrap() % 4;
        let others: Vec<_> = (0..4).filter(|index| *index != doubled).collect();
        for index in &others {
            world.start(*index).await;
        }
        world.start_twins(doubled).await;
        let culprit = world.nodes[doubled].keys.identity();
        world
            .until("somebody has proof", |world| {
                others.iter().any(|index| {
                    let evidence = world.nodes[*index].seen.evidence.lock();
                    evidence.iter().any(|(offender, _)| *offender == culprit)
                })
            })
            .await;
        // The rest are a quorum.
        world.advance(&others, 5).await;
        for index in &others {
            let evidence = world.nodes[*index].seen.evidence.lock();
            assert!(
                evidence.iter().all(|(offender, _)| *offender == culprit),
                "an honest validator is accused"
            );
        }
    });
}
