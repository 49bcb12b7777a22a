//! Golden vectors: models, inputs, and the outputs that every implementation of `docs/spec/arithmetic.md` must give.
//!
//! `vectors/README.md` says what they are and how another implementation runs them. Here is what makes them
//! (`cargo xtask vectors`), with the scalar reference, and what runs them on every arithmetic of a machine (the test
//! `golden`, and `cargo xtask cross` under emulated processors).

pub mod check;
pub mod generate;
pub mod manifest;
pub mod networks;
pub mod pictures;
pub mod seeded;
pub mod tensors;

/// The writer of ONNX files of the tests of `synod-model`, with what draws nodes at random.
#[path = "../../../crates/model/tests/build/mod.rs"]
mod build;

/// What is right of the pictures, as the tests of `synod-image` read it.
#[path = "../../../crates/image/tests/it/golden.rs"]
mod golden;

use std::path::PathBuf;

/// The committed vectors.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors"))
}
