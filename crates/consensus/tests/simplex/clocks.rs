//! Machines whose clocks are wrong.

use crate::{World, simulate_sizes};
use std::{sync::Arc, time::Duration};
use synod_chain::{
    Application, BuildError, ChainApplication, ChainError, Context, Digest, Duty, Finalization,
    FinalizeError, Proposal, Timestamp, Verdict,
};

/// A chain on a machine whose clock is off.
struct Skewed {
    chain: Arc<ChainApplication>,
    ahead_ms: i64,
}

impl Skewed {
    fn context(&self, context: &Context) -> Context {
        Context {
            timestamp: Timestamp(context.timestamp.0.saturating_add_signed(self.ahead_ms)),
            ..context.clone()
        }
    }
}

impl Application for Skewed {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        self.chain.finalized_head()
    }

    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        self.chain.build(&self.context(context), duty)
    }

    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, ChainError> {
        let final_already = proposal.timestamp() == context.timestamp;
        // A final block is followed by its own time; only an open question is asked with the machine's.
        if final_already {
            self.chain.verify(context, proposal)
        } else {
            self.chain.verify(&self.context(context), proposal)
        }
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        self.chain.finalized(finalization)
    }
}

async fn start(world: &mut World, ahead_ms: Vec<i64>) {
    for (index, ahead_ms) in ahead_ms.into_iter().enumerate() {
        let chain = world.nodes[index].application();
        world
            .start_with(index, Arc::new(Skewed { chain, ahead_ms }))
            .await;
    }
}

/// Clocks within what the chain tolerates cost nothing but the wait for them.
#[test]
fn clocks_may_differ_a_little() {
    simulate_sizes(async |world, seed| {
        let off = i64::try_from(seed * 53 % 200).unwrap();
        let clocks = [off, -off, 0, 100].into_iter().cycle().take(world.size());
        start(world, clocks.collect()).await;
        let sent = world.send(2);
        world
            .until("a transaction is final everywhere", |world| {
                (0..world.size()).all(|index| world.has(index, sent))
            })
            .await;
        world.advance(&world.everybody(), 4).await;
    });
}

/// A machine that is far ahead proposes blocks that nobody judges before their time, and one that is far behind judges
/// nobody's. Both follow what the others decide.
async fn one_is_off(world: &mut World, seed: u64, ahead_ms: i64) {
    let wrong = usize::try_from(seed).unwrap() % world.size();
    let mut clocks = vec![0; world.size()];
    clocks[wrong] = ahead_ms;
    start(world, clocks).await;
    let sent = world.send((wrong + 1) % world.size());
    world
        .until("a transaction is final everywhere", |world| {
            (0..world.size()).all(|index| world.has(index, sent))
        })
        .await;
    world.advance(&world.everybody(), 4).await;
    // No block is from the future.
    let now = world.now_ms();
    let chain = &world.nodes[wrong].chain;
    let (_, Timestamp(head)) = chain.head_digest();
    assert!(head <= now + 1000, "the chain's time {head} is ahead of {now}");
}

#[test]
fn a_clock_an_hour_ahead_costs_its_turns() {
    let hour = Duration::from_secs(3600);
    let ms = i64::try_from(hour.as_millis()).unwrap();
    simulate_sizes(async move |world, seed| one_is_off(world, seed, ms).await);
}

#[test]
fn a_clock_far_behind_costs_its_turns() {
    simulate_sizes(async |world, seed| {
        // The simulation begins in 1970: let there be a past to be behind in.
        world.pass(Duration::from_secs(120)).await;
        one_is_off(world, seed, -60_000).await;
    });
}
