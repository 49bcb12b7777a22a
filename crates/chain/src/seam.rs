//! The seam between a chain and whatever decides its order.
//!
//! An engine decides which block comes next; it knows keys, votes, clocks and peers. The chain knows what a block is. They
//! meet in three calls ([`Application`]):
//!
//! ```text
//!   engine                                   chain
//!     │  build(context, duty)                  │  a block on context.parent, kept in memory
//!     │ ─────────────────────────────────────► │
//!     │  verify(context, proposal)             │  Valid (kept in memory), Invalid (for ever), Pending (ask again)
//!     │ ─────────────────────────────────────► │
//!     │  finalized(height, digest, proof)      │  one durable write; the same again is no work, another is fatal
//!     │ ─────────────────────────────────────► │
//! ```
//!
//! **Two commitments that hold each other.** A vote is for a [`Digest`]. It commits to the Ethereum header and to the
//! [`Envelope`]: epoch, view, parent digest, milliseconds, proposer, and the proposer's randomness signature. In return the
//! header's `extraData` is the envelope's commitment (32 bytes, exactly what the field may hold), and its
//! `parentBeaconBlockRoot` is the parent's digest, so an Ethereum client that knows only headers still holds the whole
//! chain of digests, and a contract can read recent digests from EIP-4788's contract.
//!
//! ```text
//!   Digest = keccak256("synod/block/1" ‖ header hash ‖ commitment)
//!   commitment = keccak256("synod/envelope/1" ‖ rlp(envelope)) = header.extraData
//! ```
//!
//! **A verdict is permanent and equal on every honest node.** [`Verdict::Invalid`] depends on nothing but the proposal, its
//! ancestors and the engine's own facts in [`Context`]. What time or delivery could still cure is [`Verdict::Pending`]: an
//! ancestor that has not arrived, a clock that is ahead, too much that waits to become final, a cancelled check. A fault of this node (its disk, say) is an error
//! and no verdict at all.
//!
//! **Time.** [`Timestamp`] is in milliseconds. Seconds go into the header, never decreasing (Ethereum's own rule, strictly
//! increasing, would cap a chain at one block a second); the rest goes into the envelope. For `build` the context carries
//! the time to stamp, for `verify` the verifier's own clock.
//!
//! **Randomness.** `prevrandao` is [`Context::randomness`], the mix of proposers' signatures up to the parent. The proposer's
//! own signature travels in the envelope and enters the next block's mix, so no proposer can try values for its own block.

use alloy_consensus::Block;
use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_rlp::{RlpDecodable, RlpEncodable};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use synod_state::Transaction;

/// What votes are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub B256);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time at the start of a second.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds, as in a header.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds within the second.
    #[must_use]
    pub const fn millis(self) -> u16 {
        (self.0 % 1000) as u16
    }
}

/// Tells work that nobody waits for it any more. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks the work to stop at the next transaction.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the engine knows about the block in question.
#[derive(Clone, Debug)]
pub struct Context {
    /// Epoch: a time with one set of validators.
    pub epoch: u64,
    /// View within the epoch: one proposer's turn.
    pub view: u64,
    /// Digest of the block to stand on.
    pub parent: Digest,
    /// Public key of the view's proposer, in the engine's encoding.
    pub proposer: Bytes,
    /// For `build` the time to stamp; for `verify` the verifier's clock.
    pub timestamp: Timestamp,
    /// `prevrandao` of the block.
    pub randomness: B256,
    /// Set when the view is over.
    pub cancellation: Cancellation,
}

/// What only the proposer knows.
#[derive(Clone, Debug, Default)]
pub struct Duty {
    /// The proposer's signature over (chain id, epoch, view), which enters the next block's randomness.
    pub randomness_signature: Bytes,
    /// Who gets the block's fees.
    pub beneficiary: Address,
    /// Rather no block than one without transactions ([`crate::BuildError::NothingToDo`]).
    pub needs_transactions: bool,
    /// Fields of the header that are not to follow from the parent.
    pub departures: Departures,
}

/// Fields of a header that a development chain takes from its user, where every other chain's follow from the parent. No other
/// node takes a block with one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// Base fee, in wei a gas.
    pub base_fee: Option<u64>,
    /// Gas limit. Later blocks inherit it.
    pub gas_limit: Option<u64>,
}

/// What a digest commits to besides the Ethereum header.
#[derive(Clone, Debug, Default, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Envelope {
    /// Epoch.
    pub epoch: u64,
    /// View.
    pub view: u64,
    /// Digest of the parent.
    pub parent: B256,
    /// Milliseconds within the header's second.
    pub millis: u16,
    /// Public key of the proposer.
    pub proposer: Bytes,
    /// The proposer's randomness signature.
    pub randomness_signature: Bytes,
}

impl Envelope {
    /// What the header's `extraData` holds.
    #[must_use]
    pub fn commitment(&self) -> B256 {
        let mut bytes = b"synod/envelope/1".to_vec();
        alloy_rlp::Encodable::encode(self, &mut bytes);
        keccak256(bytes)
    }

    /// The digest of a block with this envelope.
    #[must_use]
    pub fn digest(&self, header_hash: B256) -> Digest {
        let commitment = self.commitment();
        Digest(keccak256(
            [b"synod/block/1", header_hash.as_slice(), commitment.as_slice()].concat(),
        ))
    }
}

/// A block as it travels between validators.
#[derive(Clone, Debug, PartialEq, Eq, RlpEncodable, RlpDecodable)]
pub struct Proposal {
    /// The Ethereum block.
    pub block: Block<Transaction>,
    /// What its digest commits to besides.
    pub envelope: Envelope,
}

impl Proposal {
    /// What votes are for.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.envelope.digest(self.block.header.hash_slow())
    }

    /// The block's time.
    #[must_use]
    pub const fn timestamp(&self) -> Timestamp {
        let Timestamp(seconds) = Timestamp::from_seconds(self.block.header.timestamp);
        Timestamp(seconds.saturating_add(self.envelope.millis as u64))
    }
}

/// What the chain thinks of a proposal.
#[derive(Debug)]
pub enum Verdict {
    /// It follows the rules. The chain keeps it until it or a rival is final, or until newer rivals need its room.
    Valid,
    /// It breaks a rule, and will for ever, on every node.
    Invalid(crate::InvalidBlock),
    /// It cannot be judged yet.
    Pending(Pending),
}

/// Why a proposal cannot be judged yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Pending {
    /// The block it stands on has not been verified here.
    #[error("its parent {0} is not known here yet")]
    MissingParent(Digest),
    /// Its time is further ahead of this node's clock than the chain tolerates.
    #[error("its time {block_ms} ms is ahead of this node's clock {clock_ms} ms")]
    ClockSkew {
        /// The block's time.
        block_ms: u64,
        /// The verifier's.
        clock_ms: u64,
    },
    /// Too much waits to become final: something must, before this can be kept.
    #[error(transparent)]
    TooFarAhead(crate::TooFarAhead),
    /// The engine gave up waiting.
    #[error("the check was cancelled")]
    Cancelled,
}

/// Which block became final, and why.
#[derive(Clone, Debug)]
pub struct Finalization {
    /// Height of the block.
    pub height: u64,
    /// Its digest.
    pub digest: Digest,
    /// Proof of finality, in the engine's encoding.
    pub certificate: Bytes,
}

/// A chain as an engine sees it. Calls may take as long as a block takes to execute: make them from threads that may block.
pub trait Application: Send + Sync + 'static {
    /// The last final block: its height, digest and time.
    fn finalized_head(&self) -> (u64, Digest, Timestamp);

    /// Makes a block on `context.parent`, and keeps it in memory as if it had been verified.
    fn build(&self, context: &Context, duty: &Duty) -> Result<Proposal, crate::BuildError>;

    /// Judges a block of somebody else, and keeps it in memory when it is valid.
    fn verify(&self, context: &Context, proposal: &Proposal) -> Result<Verdict, crate::ChainError>;

    /// Whether this build knows the rules of the block at a height, whose parent's epoch has ended. An engine asks before an
    /// epoch begins, so that a build that is too old stops there instead of waiting for its turn.
    ///
    /// # Errors
    /// When it does not.
    fn can_judge(&self, height: u64) -> Result<(), crate::ChainError> {
        let _ = height;
        Ok(())
    }

    /// The validators that the chain's own contract names after a final block, for the epoch after the one that the block
    /// ends; `None` if the chain has no such contract.
    ///
    /// # Errors
    /// When the block is not final here, or the chain cannot be read.
    fn validators(&self, height: u64) -> Result<Option<Vec<crate::council::Validator>>, crate::ChainError> {
        let _ = height;
        Ok(None)
    }

    /// What changes whenever [`Application::validators`] does, at little cost.
    ///
    /// # Errors
    /// When the block is not final here, or the chain cannot be read.
    fn validators_mark(&self, height: u64) -> Result<B256, crate::ChainError> {
        let _ = height;
        Ok(B256::ZERO)
    }

    /// Makes a block, and the ancestors that are not final yet, durable. When it returns, they are on the disk. Delivery
    /// at least once is fine: what is final already is no work.
    fn finalized(&self, finalization: &Finalization) -> Result<(), crate::FinalizeError>;
}
