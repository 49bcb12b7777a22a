//! The cluster's engine: commonware simplex over marshal.
//!
//! Four or more validators, of which fewer than a third may be down or lie, agree on one chain. Views follow each other;
//! in each, one validator (round robin) proposes a block on a certified parent, all execute it and vote twice:
//!
//! ```text
//!   proposer ── block ──► all      execute      all ── notarize ──► all      execute      all ── finalize ──► all
//!                                                        2f+1: certified                        2f+1: final
//! ```
//!
//! A view whose proposer is silent, or whose block is refused, ends with a nullification and the next proposer's turn.
//! Nothing is voted for by a validator that has not executed it (`voter`).
//!
//! # Parts
//!
//! ```text
//!        peers ◄──► simplex ──propose · verify · certify──► Voter ──► Executor ──build · verify──► Application (the chain)
//!          ▲           │ certificates                        │                                          ▲
//!          │           ▼                                     ▼ blocks                                   │
//!          └──────► marshal (blocks: broadcast, backfill, archive) ──── final blocks, in order ──► Delivery
//! ```
//!
//! - commonware's **simplex** decides; its journal remembers what this node voted for, and is replayed after a crash.
//! - commonware's **marshal** carries blocks: broadcast by the proposer, fetched by those who missed them, kept for those
//!   who come later, delivered in order at least once.
//! - **Voter**, **Executor**, **Delivery** (here) join them to the chain's seam, [`synod_chain::Application`]. Building,
//!   judging and writing run on threads that may block, never on consensus' own.
//! - **Committees**: who votes. The first committee is the genesis file's, to which the first block's hash commits; each later
//!   one is what the council's contract names when an epoch ends.
//! - **Epochs**: one instance of simplex after another, each with its committee and its journal.
//! - **Neighbours**: with whom this node talks.
//! - **Follower** ([`Follower`]): a node outside the committee, which needs none of this but certificates.
//! - **Gossip**: transactions go from the node that got them to every validator.
//!
//! Everything is generic over commonware's runtime and network: the same code runs over TCP on tokio ([`net`]) and in
//! commonware's deterministic simulator, where a seed replays a fault exactly (`tests/`).
//!
//! # What can go wrong
//!
//! - *A validator crashes*: its views end after the leader timeout, or at once when it has been silent for long. It comes
//!   back, replays its journal, and fetches what it missed.
//! - *A validator loses its journal* (an empty disk, a restored backup): it might contradict a vote that it has forgotten.
//!   Its [`Ballot`] says no: it executes and serves but does not vote, and counts against `f`, until an epoch begins that is
//!   younger than its loss.
//! - *Its disk is an old copy, or another node has its key*: a certificate holds a vote of its own that it does not
//!   remember. It stops ([`EngineError::ForgottenVote`]).
//! - *More than f are gone*: the chain stands still, and goes on when enough are back. It never forks for that.
//! - *A proposer sends two blocks in one view, or a voter votes twice*: at most one can get a quorum. The two signatures
//!   are proof to anybody ([`Observer::evidence`]).
//! - *This node computes something else than the quorum*: it refuses the block with the first field that differs, and
//!   when the block becomes final anyway it stops ([`EngineError::Diverged`]) before it serves anything.
//!
//! Votes are BLS12-381 signatures (keys in G1, as Ethereum's validators have them); a certificate is their sum with a
//! bitmap of the signers, which the committee's public keys alone check. `docs/decisions/0006` has the reasons.

mod application;
mod block;
mod committee;
mod committees;
mod delivery;
mod engine;
mod epochs;
mod fault;
mod follow;
mod gossip;
mod keys;
mod neighbours;
pub mod net;
mod own_votes;
mod proof;
mod randomness;
mod voter;

pub use block::{Block, commitment, digest};
pub use committee::{Committee, CommitteeError, MAX_VALIDATORS, SimplexParams, ValidatorEntry};
pub use committees::Committees;
pub use engine::{Channels, Config, Handle, HandleEnd, Observer, max_message_size, run};
pub use epochs::{Ballot, FixedBallot};
pub use fault::EngineError;
pub use follow::{FinalBlock, FollowError, Follower};
pub use gossip::{Gossip, Transactions};
pub use keys::{KeysError, ValidatorKeys};
pub use neighbours::{Directory, FixedDirectory, Hosts};
pub use proof::{BlockProof, ProofError, ProvenBlock};

use commonware_consensus::simplex::{scheme::bls12381_multisig, types};
use commonware_cryptography::{bls12381::primitives::variant::MinPk, ed25519, sha256};

/// By which peers know each other.
pub type Identity = ed25519::PublicKey;

/// How votes are signed and certificates checked.
pub type Scheme = bls12381_multisig::Scheme<Identity, MinPk>;

/// A block's digest in commonware's type for 32 bytes ([`commitment`], [`digest`]).
pub type Commitment = sha256::Digest;

/// The proof that a quorum voted for a block.
pub type Finalization = types::Finalization<Scheme, Commitment>;
