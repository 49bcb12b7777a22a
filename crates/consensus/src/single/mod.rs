//! An engine of one node: what it builds is final.
//!
//! There is nobody to agree with, so a block goes from `build` to `finalized` without a vote and its certificate is empty.
//! Everything else is as in a cluster: the same seam, the same digests, the same durable write before anybody hears of it.
//!
//! When to make a block is [`Mining`]: when a transaction arrives (when many do, at their next pause), at an interval, or when
//! told. A transaction that cannot run yet (a gap before its nonce) makes no block. The clock can be moved ([`Handle::advance_time`],
//! [`Handle::set_next_timestamp`]), forwards only, since a chain's time never goes back.
//!
//! ```text
//!   Handle ──messages──► actor (one task) ──blocking thread──► Miner ──► Application
//!      ▲                   ▲
//!   rpc, tests         the pool's wake-ups, the interval's ticks
//! ```
//!
//! Blocks are made one after another by one task, so [`Handle::exclusive`] can run something *between* two blocks: that is
//! how a development chain is rewound.
//!
//! `prevrandao` here is a hash of the parent's digest: different in each block, the same on each replay, and no secret. Only
//! a cluster has randomness that its proposer did not choose.
//!
//! What can go wrong: a fault of the chain (a full disk) ends the engine with that error, and every later call says
//! [`EngineStopped`]; the node must not go on serving as if it could still mine.

mod actor;
mod ingress;
mod state;
#[cfg(test)]
mod tests;

pub use actor::{Single, start};
pub use ingress::{EngineStopped, Handle, MineError, Setting};
pub use state::{Clock, Config, EngineError, Mining, SystemClock};
