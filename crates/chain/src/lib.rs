//! A chain: its rules, its blocks, their execution, and what stands above the last final one.
//!
//! ```text
//!        engine (simplex, single)                    rpc, cli
//!             │ build · verify · finalized              │ blocks, receipts, states, events
//!             ▼                                         ▼
//!      ChainApplication ───────────────────────────► Chain
//!             │            keep, finalize              │
//!        execution ── rules                      Tree (memory: not final)
//!             │                                        │ one durable write a block
//!        Factory (EVM with PREDICT)              synod_state::Store (disk: final)
//! ```
//!
//! - [`ChainSpec`] is a genesis file: Ethereum's parameters, and ours in `config.synod`.
//! - [`seam`] is how consensus and chain meet.
//! - [`Chain`] answers what is final, and takes it there. What a reader can see is on the disk: the order is commit,
//!   then the new head, then the event.
//! - Execution is a pure function of a state view, a header and transactions. Building and verifying share it, so what a
//!   node proposes is what it would accept.
//!
//! What can go wrong is of two kinds, never mixed: [`InvalidBlock`] is about a block and the same on every node;
//! [`ChainError`] is about this node. A node that cannot read its disk has no opinion on a block.

mod chain;
pub mod council;
pub mod edit;
mod error;
mod execution;
mod export;
pub mod file;
mod import;
mod inclusion;
mod node;
pub mod pool;
mod recent;
mod replay;
mod rules;
pub mod seam;
pub mod spec;
#[cfg(test)]
mod tests;
pub mod transfer;
mod tree;
mod upkeep;

pub use chain::{BlockData, Chain, ChainEvent, relax};
pub use error::{BuildError, ChainError, FinalizeError, ImportError, InvalidBlock, Skipped};
pub use export::{ExportError, ExportedState};
pub use inclusion::{InclusionError, InclusionProof};
pub use node::{BestTransactions, ChainApplication, NoTransactions, TransactionSource};
pub use replay::{ChangedAccount, ReplayError, Replayed, replay};
pub use seam::{
    Application, Cancellation, Context, Departures, Digest, Duty, Envelope, Finalization, Pending, Proposal,
    Timestamp, Verdict,
};
pub use spec::{ChainSpec, ForksAt, MAX_EXTRA_DATA, PROTOCOLS, Protocol, SpecError, UnknownProtocol};
pub use synod_state::{
    Account, AccountProof, CheckReport, Edits, Finding, Held, Pace, Progress, PruneReport, Receipt, Seal,
    SealedBlock, StateError, StateView, StorageProof, Store, StoreStats, Transaction, TransactionLocation,
    Watch,
};

pub use tree::{TooFarAhead, TreeLimits};

/// Makes the EVMs of this chain.
pub type Factory = synod_evm::SynodEvmFactory;
