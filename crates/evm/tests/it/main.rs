//! PREDICT through the whole EVM: real registry, real factory, real models, every transaction by the factory's EVM.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod artifacts;
mod cache;
mod doors;
mod fuzz;
mod gas;
mod onnx;
mod patch;
mod pipelines;
mod predict;
mod property;
mod publish;
mod refusals;
mod registry;
mod stages;
mod watch;
mod world;
