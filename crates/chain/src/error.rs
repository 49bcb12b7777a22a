//! What can go wrong: rules that a block breaks ([`InvalidBlock`]) apart from faults of this node ([`ChainError`]).

use crate::{Digest, SpecError};
use alloy_primitives::{Address, B256};
use synod_evm::rights::NotPermitted;
use synod_state::StateError;

/// A rule that a block breaks. It is the same on every node, for ever.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// A field that follows from the parent, the body or the execution has another value.
    #[error("{field} is {got}, but must be {expected}")]
    Field {
        /// Its name in the Ethereum JSON-RPC, or in the envelope.
        field: &'static str,
        /// The proposal's value.
        got: String,
        /// The right one.
        expected: String,
    },
    /// A header field that the block's fork does not have, or lacks one that it has.
    #[error("{field} must be {}", if *.required { "present" } else { "absent" })]
    Presence {
        /// Its name.
        field: &'static str,
        /// Whether the fork has it.
        required: bool,
    },
    /// The time goes backwards.
    #[error("its time {got} is before the least allowed after its parent, {least}")]
    Time {
        /// The block's time.
        got: u64,
        /// The least allowed, in the same unit.
        least: u64,
    },
    /// The gas limit moves faster than a 1/1024th of the parent's, or is below 5,000.
    #[error("its gas limit {got} is too far from its parent's {parent}")]
    GasLimit {
        /// The block's.
        got: u64,
        /// The parent's.
        parent: u64,
    },
    /// Too many bytes of `extraData`.
    #[error("extraData has {0} bytes, more than 32")]
    ExtraData(usize),
    /// Too long.
    #[error("it has {got} bytes, more than {limit}")]
    Size {
        /// Bytes of its RLP.
        got: usize,
        /// The most allowed.
        limit: usize,
    },
    /// Something that blocks of this chain never have.
    #[error("a block of this chain has no {0}")]
    NotAllowed(&'static str),
    /// A transaction whose signature has no signer.
    #[error("transaction {index} has an invalid signature")]
    Signature {
        /// Its position.
        index: usize,
    },
    /// Its predictions are too much work.
    #[error("its predictions use {used} gas up to transaction {index}, more than the {limit} of a block")]
    InferenceGas {
        /// The transaction that goes over the limit.
        index: usize,
        /// Inference gas of the block's transactions up to and with it.
        used: u64,
        /// The chain's limit.
        limit: u64,
    },
    /// A transaction of an account without the right to send it.
    #[error("transaction {index} is {source}")]
    NotPermitted {
        /// Its position.
        index: usize,
        /// Who lacks what.
        source: NotPermitted,
    },
    /// Execution refused a transaction, or a system call that every block makes.
    #[error("execution: {0}")]
    Execution(String),
}

/// A fault of this node. It says nothing about any block.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The store.
    #[error(transparent)]
    State(#[from] StateError),
    /// The genesis file.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The EVM stopped for a reason that is not in the block.
    #[error("the EVM failed: {0}")]
    Evm(String),
    /// The data folder belongs to another chain.
    #[error(
        "the data folder holds the chain with genesis {found}, but this chain's is {expected}; choose another folder or the right genesis file"
    )]
    OtherGenesis {
        /// Genesis hash in the folder.
        found: B256,
        /// Genesis hash of the specification.
        expected: B256,
    },
    /// A block that was asked for is not here.
    #[error("block {0} is not known here")]
    UnknownBlock(Digest),
    /// No block at a height is final here.
    #[error("block {0} is not final here")]
    UnknownHeight(u64),
    /// Blocks follow rules that this build does not know.
    #[error(transparent)]
    Upgrade(#[from] crate::spec::UnknownProtocol),
    /// The council's contract.
    #[error(transparent)]
    Council(#[from] crate::council::CouncilError),
}

/// Why no block was built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The parent is neither final nor waiting to be.
    #[error("cannot build on {0}: it is not known here, or a rival of it is final")]
    UnknownParent(Digest),
    /// Too much waits to become final; build when something has.
    #[error("cannot build: {0}")]
    TooFarAhead(#[from] crate::TooFarAhead),
    /// The view ended first.
    #[error("building was cancelled")]
    Cancelled,
    /// No transaction can go into the block, and the engine wants none without.
    #[error("no transaction waits that could go into a block")]
    NothingToDo,
    /// The block built breaks a rule: a bug, or an instruction that cannot be followed (a time before the parent's).
    #[error("cannot build: {0}")]
    Invalid(#[from] InvalidBlock),
    /// A fault of this node.
    #[error(transparent)]
    Fault(#[from] ChainError),
}

/// Why a block was not made final.
#[derive(Debug, thiserror::Error)]
pub enum FinalizeError {
    /// Another block is final at that height. Two certificates at one height mean that more than a third of the validators
    /// lied, or that this node's disk is of another chain: the node must stop.
    #[error(
        "consensus finalised {offered} at height {height}, but {stored} is final there: stop and find out why"
    )]
    Conflict {
        /// The height.
        height: u64,
        /// What is stored.
        stored: Digest,
        /// What was offered.
        offered: Digest,
    },
    /// The block was never built nor verified here; deliver it first.
    #[error("block {digest} at height {height} was not verified here")]
    Unknown {
        /// The height.
        height: u64,
        /// The digest.
        digest: Digest,
    },
    /// A fault of this node. Nothing was written; the same call may be made again.
    #[error(transparent)]
    Fault(#[from] ChainError),
}

/// Why an imported chain stopped.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not RLP blocks.
    #[error("block {index} of the file does not decode: {source}")]
    Decode {
        /// Its position in the file, from 0.
        index: usize,
        /// The reason.
        source: alloy_rlp::Error,
    },
    /// A block breaks a rule.
    #[error("block {number} ({hash}) is invalid: {source}")]
    Invalid {
        /// Its height.
        number: u64,
        /// Its hash.
        hash: B256,
        /// The rule.
        source: InvalidBlock,
    },
    /// Making it final failed.
    #[error(transparent)]
    Finalize(#[from] FinalizeError),
    /// A fault of this node.
    #[error(transparent)]
    Fault(#[from] ChainError),
}

impl From<StateError> for BuildError {
    fn from(error: StateError) -> Self {
        Self::Fault(error.into())
    }
}

impl From<StateError> for FinalizeError {
    fn from(error: StateError) -> Self {
        Self::Fault(error.into())
    }
}

/// A transaction that a block under construction could not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sender}'s transaction {hash} cannot go into this block: {reason}")]
pub struct Skipped {
    /// Who sent it.
    pub sender: Address,
    /// Its hash.
    pub hash: B256,
    /// Why.
    pub reason: String,
}
