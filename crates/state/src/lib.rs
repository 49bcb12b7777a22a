//! Accounts, code, blocks and their commitments, on a disk.
//!
//! The chain above decides what a block is and what it changes. This crate keeps the result so that three things hold:
//!
//! - **Whole blocks or nothing.** One redb transaction carries all that a block brings: header, body, receipts, trie
//!   nodes, code, indices and the [`Marker`] (height, digest, hash, state root) that names it as the head. When
//!   [`Store::commit`] returns, it is on the disk; after a crash at any instant the store stands at a marker.
//! - **History is readable.** No block deletes trie nodes, so every state root stays open to reads and proofs, until whoever
//!   runs the node has old states forgotten ([`Store::prune`]).
//! - **What is not final leaves no trace.** An unfinalised block is an [`Overlay`] in memory: its changes, its new trie
//!   nodes, its new code. A [`StateView`] looks through overlays into a [`Snapshot`]; dropping an overlay undoes its
//!   block, and finalising is the one write.
//!
//! ```text
//!            StateView ── DatabaseRef for the EVM, proofs, next root
//!             │      │
//!   overlays (memory) │        newest first, one for each block that is not final
//!                     ▼
//!                 Snapshot     consistent, as of the last whole block
//!                     │
//!                   Store      one redb file: flat tables for latest reads, trie nodes for history and roots
//! ```
//!
//! What can go wrong is named by [`StateError`]: a second node on the folder, a full disk, bytes that do not decode. None
//! of it is a judgement about a block. A block whose *parent* is wrong is refused ([`StateError::NotNext`]), which is the
//! last line of defence: the chain checks digests before it comes here.

mod block;
mod changes;
mod check;
mod commitment;
mod compact;
mod error;
mod import;
mod kept;
mod prune;
mod snapshot;
mod stats;
mod store;
mod tables;
#[cfg(test)]
mod tests;
mod view;
mod walk;

pub use block::{Body, Marker, Receipt, Seal, SealedBlock, Transaction, TransactionLocation};
pub use changes::{Account, AccountChange, EditedAccount, Edits, StateChanges};
pub use check::{CheckReport, Finding};
pub use commitment::{AccountProof, Committed, Mpt, NodeReader, StateCommitment, StorageProof, hash_slot};
pub use error::StateError;
pub use import::{Import, ImportFault};
pub use prune::{Held, Keep, Pace, Progress, PruneReport, Watch};
pub use snapshot::Snapshot;
pub use stats::{StoreStats, TableSize};
pub use store::{BlockCommit, Store};
pub use view::{Overlay, StateView};

/// Version of the tables' layout. A database with another number is refused, never guessed at.
pub const LAYOUT: u64 = 1;
