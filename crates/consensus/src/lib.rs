//! What decides the order of blocks.
//!
//! A chain knows what a block is, an engine which one comes next. They meet at one seam, [`synod_chain::Application`]:
//! `build`, `verify`, `finalized`. An engine drives it and brings everything that a pure chain must not know: clocks, keys,
//! peers, a runtime.
//!
//! - [`simplex`] is a cluster's: validators that vote, of which fewer than a third may fail or lie.
//! - [`single`] decides alone, at once: for development and tests.

pub mod simplex;
pub mod single;
