//! Why a node does not run.

use std::{io, net::SocketAddr, path::PathBuf};

use synod_chain::{ChainError, pool::PoolError};
use synod_consensus::{
    simplex::{self, CommitteeError},
    single::EngineError,
};

use crate::cluster::ballot::BallotError;

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// Somebody else listens there.
    #[error("port {} on {} is in use: stop the other program or choose another port", .0.port(), .0.ip())]
    PortInUse(SocketAddr),
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The data folder, or something in it, cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The chain cannot be opened: the folder is in use by another node, holds another chain, or is damaged.
    #[error("cannot open the chain in {}: {source}", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: ChainError,
    },
    /// The words of the node's accounts are no mnemonic.
    #[error("the mnemonic of the node's accounts is not valid: {0}")]
    Mnemonic(String),
    /// The pool could not read the head's state.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The chain could not be read.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The engine ended with a fault; no more blocks are made.
    #[error("the node can make no more blocks: {0}")]
    Engine(#[from] EngineError),
    /// The genesis file is not that of a cluster.
    #[error(transparent)]
    Committee(#[from] CommitteeError),
    /// The folder cannot be used for voting.
    #[error(transparent)]
    Ballot(#[from] BallotError),
    /// Consensus ended with a fault.
    #[error("the node can take no more part in the cluster: {0}")]
    Consensus(#[from] simplex::EngineError),
    /// A follower cannot go on.
    #[error("the node can follow no further: {0}")]
    Follow(#[from] simplex::FollowError),
    /// A source to follow that is no address.
    #[error("{0:?} is no node to follow: write http://HOST:PORT or https://…")]
    Source(String),
    /// No thread for consensus.
    #[error("cannot start a thread for consensus: {0}")]
    Thread(io::Error),
    /// A part of the node panicked: a bug.
    #[error("the node's {0} ended unexpectedly; this is a bug")]
    Panicked(&'static str),
}
