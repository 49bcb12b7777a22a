//! The crate's tests, as one program: a network in, what must be true of it out.
//!
//! Tests that set how many threads the whole process has, or count its allocations, are programs of their own beside this one.

#[path = "../build/mod.rs"]
mod build;
#[path = "../fuzzing/mod.rs"]
mod fuzzing;
#[path = "../peer/mod.rs"]
mod peer;

mod classical;
mod control_flow;
mod derived;
mod environment;
mod foreign;
mod model;
mod mutations;
mod onnx_node_tests;
mod onnxruntime_fuzz;
mod operators;
mod patch;
mod plans;
mod refusals;
mod sequences;
mod sklearn;
mod special_values;
mod structures;
