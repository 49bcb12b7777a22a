//! Runs of a scenario: with several seeds, sizes, lengths of epochs, or with disks that fail.

use crate::world::{World, machines};
use commonware_runtime::{
    Runner as _,
    deterministic::{self, FaultConfig, PartialWriteMode, WriteConfig},
};
use commonware_utils::probability;
use std::time::Duration;
use synod_chain::{PROTOCOLS, Protocol, council::DEFAULT_EPOCH_BLOCKS};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| {
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name}={value}: not a number"))
    })
}

/// Says how to run this again; printed with a failure only.
fn announce(validators: usize, seed: u64) {
    println!("{validators} validators, SYNOD_SEED={seed} SYNOD_SEEDS=1");
}

/// How many seeds each fault is tried with: runs of large clusters take longer.
fn seeds(validators: usize) -> std::ops::Range<u64> {
    range(if validators <= 4 { 50 } else { 10 })
}

fn range(count: u64) -> std::ops::Range<u64> {
    let (first, count) = (setting("SYNOD_SEED", 1), setting("SYNOD_SEEDS", count));
    first..first + count
}

/// Runs a scenario with several seeds.
pub(crate) fn simulate(validators: usize, scenario: impl AsyncFn(&mut World, u64)) {
    for seed in seeds(validators) {
        announce(validators, seed);
        replay(validators, seed, &scenario);
    }
}

/// How many validators a scenario of any size has with a seed: most runs have four, which are fast.
fn size_of(seed: u64) -> usize {
    match seed % 10 {
        3 => 7,
        7 => 10,
        _ => 4,
    }
}

/// Runs a scenario with several seeds, which choose the size too.
pub(crate) fn simulate_sizes(scenario: impl AsyncFn(&mut World, u64)) {
    for seed in seeds(4) {
        let validators = size_of(seed);
        announce(validators, seed);
        replay(validators, seed, &scenario);
    }
}

/// Runs a scenario with one seed.
pub(crate) fn replay(validators: usize, seed: u64, scenario: impl AsyncFn(&mut World, u64)) {
    replay_epochs(PROTOCOLS, validators, 0, DEFAULT_EPOCH_BLOCKS, seed, scenario);
}

/// Runs a scenario with several seeds, with short epochs, and with machines that are no validators yet, the last ones.
pub(crate) fn simulate_epochs(
    validators: usize,
    newcomers: usize,
    epoch_blocks: u64,
    scenario: impl AsyncFn(&mut World, u64),
) {
    simulate_upgrades(PROTOCOLS, validators, newcomers, epoch_blocks, scenario);
}

/// The same with machines whose builds know these protocols.
pub(crate) fn simulate_upgrades(
    protocols: &'static [Protocol],
    validators: usize,
    newcomers: usize,
    epoch_blocks: u64,
    scenario: impl AsyncFn(&mut World, u64),
) {
    // Such a run is several times as long as others.
    for seed in range(15) {
        announce(validators, seed);
        replay_epochs(protocols, validators, newcomers, epoch_blocks, seed, &scenario);
    }
}

fn replay_epochs(
    protocols: &'static [Protocol],
    validators: usize,
    newcomers: usize,
    epoch_blocks: u64,
    seed: u64,
    scenario: impl AsyncFn(&mut World, u64),
) {
    deterministic::Runner::new(settings(seed)).start(async |runtime| {
        let machines = machines(protocols, validators, newcomers, epoch_blocks, seed);
        let mut world = World::new(runtime, machines).await;
        scenario(&mut world, seed).await;
        world.check();
    });
}

/// Runs two scenarios, one before and one after a power failure that takes all machines at once. What was written but not
/// synced is torn: each of its bytes is on the disk or not, as the seed says.
pub(crate) fn power_failure(before: impl AsyncFn(&mut World, u64), after: impl AsyncFn(&mut World, u64)) {
    for seed in seeds(4) {
        let validators = size_of(seed);
        announce(validators, seed);
        let faults = FaultConfig::default().write(WriteConfig {
            failure_rate: probability!(0.0),
            retention_rate: probability!(0.5),
            mode: PartialWriteMode::Subset,
        });
        let config = settings(seed).with_storage_fault_config(faults);
        let (machines, disks) = deterministic::Runner::new(config).start_and_recover(async |runtime| {
            let machines = machines(PROTOCOLS, validators, 0, DEFAULT_EPOCH_BLOCKS, seed);
            let mut world = World::new(runtime, machines).await;
            before(&mut world, seed).await;
            world.check();
            world.machines()
        });
        deterministic::Runner::from(disks).start(async |runtime| {
            let mut world = World::new(runtime, machines).await;
            after(&mut world, seed).await;
            world.check();
        });
    }
}

/// Runs a scenario in which tasks may die of a failing disk.
pub(crate) fn simulate_failing_disks(scenario: impl AsyncFn(&mut World, u64)) {
    for seed in seeds(4) {
        let validators = size_of(seed);
        announce(validators, seed);
        let config = settings(seed).with_catch_panics(true);
        deterministic::Runner::new(config).start(async |runtime| {
            let machines = machines(PROTOCOLS, validators, 0, DEFAULT_EPOCH_BLOCKS, seed);
            let mut world = World::new(runtime, machines).await;
            scenario(&mut world, seed).await;
            world.check();
        });
    }
}

fn settings(seed: u64) -> deterministic::Config {
    deterministic::Config::new()
        .with_seed(seed)
        .with_timeout(Some(Duration::from_secs(3600)))
}
