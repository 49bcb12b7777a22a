//! Disks that fail.

use crate::{
    World,
    runs::{power_failure, simulate_failing_disks},
    simulate_sizes,
};
use commonware_runtime::deterministic::{FaultConfig, PartialWriteMode, WriteConfig};
use commonware_utils::probability;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use synod_chain::{
    Application, BuildError, ChainApplication, ChainError, Context, Digest, Duty, Finalization,
    FinalizeError, Proposal, Timestamp, Verdict,
};

/// A chain whose disk takes so many more blocks and then no more.
struct FullDisk {
    chain: Arc<ChainApplication>,
    room: AtomicU64,
}

impl Application for FullDisk {
    fn finalized_head(&self) -> (u64, Digest, Timestamp) {
        self.chain.finalized_head()
    }

    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, BuildError> {
        self.chain.build(context, duty)
    }

    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, ChainError> {
        self.chain.verify(context, proposal)
    }

    fn finalized(&self, finalization: &Finalization) -> Result<(), FinalizeError> {
        let taken = self
            .room
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |room| room.checked_sub(1));
        if taken.is_err() {
            let path = "data/chain".into();
            return Err(ChainError::State(synod_chain::StateError::DiskFull { path }).into());
        }
        self.chain.finalized(finalization)
    }
}

/// Its node stops by itself with the reason, the others go on, and with room it comes back.
#[test]
fn a_full_disk_stops_its_node_alone() {
    simulate_sizes(async |world, seed| {
        let unlucky = usize::try_from(seed).unwrap() % world.size();
        let others: Vec<_> = (0..world.size()).filter(|index| *index != unlucky).collect();
        for index in &others {
            world.start(*index).await;
        }
        let chain = world.nodes[unlucky].application();
        let room = AtomicU64::new(1 + seed % 5);
        world
            .start_with(unlucky, Arc::new(FullDisk { chain, room }))
            .await;
        world
            .until("its disk is full", |world| world.has_ended(unlucky))
            .await;
        let fault = world.fault(unlucky).unwrap();
        assert!(fault.contains("no space left"), "{fault}");
        world.kill(unlucky).await;
        let sent = world.send(others[0]);
        world.advance(&others, 3).await;
        world.start(unlucky).await;
        world.advance(&world.everybody(), 3).await;
        assert!(world.has(unlucky, sent));
    });
}

/// While the disks of all machines refuse a part of what consensus writes, engines die. With whole disks all come back with
/// what they had, and nothing is contradicted.
#[test]
fn failing_writes_end_engines_and_harm_nothing() {
    simulate_failing_disks(async |world, seed| {
        world.start_all().await;
        world.advance(&world.everybody(), 2).await;
        let failing = FaultConfig::default().write(WriteConfig {
            failure_rate: probability!(0.02),
            retention_rate: probability!(0.5),
            mode: PartialWriteMode::Prefix,
        });
        let failing = match seed % 2 {
            0 => failing,
            _ => failing.sync(probability!(0.02)),
        };
        let faults = world.runtime.storage_fault_config();
        *faults.write() = failing;
        world
            .until("an engine has met a failing disk", |world| {
                (0..world.size()).any(|index| world.has_ended(index))
            })
            .await;
        world.pass(Duration::from_millis(seed * 97 % 1500)).await;
        *faults.write() = FaultConfig::default();
        // Those that have just been hit are still on their way down.
        world.pass(Duration::from_secs(1)).await;
        // A write that failed may show only with the next one, for which a quorum must be back: so one after the other.
        for _ in 0..4 {
            restart_the_dead(world).await;
            world.pass(Duration::from_secs(5)).await;
        }
        world.advance(&world.everybody(), 3).await;
    });
}

async fn restart_the_dead(world: &mut World) {
    for index in 0..world.size() {
        if world.has_ended(index) {
            world.kill(index).await;
            world.start(index).await;
        }
    }
}

/// All machines lose power at once, in the middle of their writes.
#[test]
fn power_fails_everywhere() {
    power_failure(
        async |world, seed| {
            world.start_all().await;
            world.send(0);
            world.advance(&world.everybody(), 2).await;
            world.pass(Duration::from_millis(seed * 71 % 900)).await;
        },
        async |world, _| {
            let heights: Vec<_> = (0..world.size()).map(|index| world.height(index)).collect();
            world.start_all().await;
            world.advance(&world.everybody(), 4).await;
            assert!(heights.iter().all(|height| *height >= 2));
        },
    );
}
