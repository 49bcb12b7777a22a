//! A cluster in commonware's deterministic simulator: real chains, real engine, real signatures; time, network, disk and
//! scheduling come from a seed.
//!
//! Each test runs its scenario for several seeds and sizes; after each run [`World::check`] asserts safety (one block a
//! height, one state root, certificates that verify), and the scenario itself asserts liveness where the protocol promises
//! it. A failure names its seed: `SYNOD_SEED=n SYNOD_SEEDS=1` replays exactly that run.
//!
//! `SYNOD_SEEDS` (default 4) is how many seeds each fault is tried with; `cargo xtask simulate` runs thousands.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agreement;
mod crashes;
mod liars;
mod network;
mod world;

pub(crate) use world::{Fate, Links, World, simulate};
