//! A cluster in commonware's deterministic simulator: real chains, real engine, real signatures; time, network, disk and
//! scheduling come from a seed.
//!
//! ```text
//!   agreement   nothing goes wrong                     liars   proposers whose blocks are false
//!   crashes     machines die and come back             voters  votes that contradict each other, refusals, garbage
//!   disks       writes fail, power fails everywhere    clocks  machines with another time
//!   follow      a node outside the committee           epochs  validators that come and go
//!   network     partitions; late, lost, overtaking and doubled messages
//!   upgrades    rules in code that change, and builds that do not know them
//! ```
//!
//! Each test runs its scenario for several seeds and sizes; after each run [`World::check`] asserts safety (one block a
//! height, one state root, certificates that verify), and the scenario itself asserts liveness where the protocol promises
//! it. A failure names its seed: `SYNOD_SEED=n SYNOD_SEEDS=1` replays exactly that run.
//!
//! `SYNOD_SEEDS` (default 50; 10 where a test says that it is of more than four validators) is how many seeds each fault is tried
//! with; `cargo xtask simulate` runs thousands. Most faults are tried with 4, 7 and 10 validators, as the seed says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agreement;
mod clocks;
mod crashes;
mod disks;
mod epochs;
mod follow;
mod liars;
mod lines;
mod models;
mod network;
mod runs;
mod upgrades;
mod voters;
mod world;

pub(crate) use lines::Links;
pub(crate) use runs::{simulate, simulate_epochs, simulate_sizes, simulate_upgrades};
pub(crate) use world::World;
