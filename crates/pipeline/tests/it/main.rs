//! Pipelines held to what transformers makes of the same files, and refused where they do not fit.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../fixture/mod.rs"]
mod fixture;

mod decoders;
mod generate;
mod refusals;
mod vectors;
