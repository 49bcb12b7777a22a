//! A node: the chain, an engine that makes its blocks, the pool that feeds the engine, and the RPC door.
//!
//! ```text
//!   clients ──► RPC ──► submit ──► Pool ──best──► engine (single) ──build · finalized──► Chain ──► disk
//!                │                  ▲                                                      │
//!                └──── reads ───────┼──────────────────────────────────────────────────────┤
//!                                   └──────────────── head ◄───────────────────────────────┘
//! ```
//!
//! This crate only wires; every rule is in the parts. What it adds is order:
//!
//! * the port is bound before the folder is opened, and the folder is locked before anything is answered, so a second
//!   node says what is wrong and touches nothing;
//! * the pool follows the chain's head *before* the engine asks it for transactions and before a client's transaction is
//!   judged, so a client that has seen a block is judged by that block;
//! * on the way down the door closes first, then the engine stops after the block at hand, then the disk is let go.
//!
//! What can go wrong: a fault of the engine (a full disk) ends the node. [`Node::stopped`] tells; a node that cannot
//! make blocks any more must not look as if it could.

pub mod cluster;
mod config;
mod control;
mod error;
mod feed;
mod history;
mod node;
mod upkeep;

pub use config::{Mining, NodeConfig};
pub use error::NodeError;
pub use history::{History, HistoryError};
pub use node::Node;
