//! What ends an engine.

use parking_lot::Mutex;
use std::sync::Arc;
use synod_chain::{ChainError, Digest, FinalizeError};
use tokio::sync::oneshot;

/// A fault that ends the engine. The node must not go on as if it still took part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The chain cannot be read or written.
    #[error("the chain cannot go on: {0}")]
    Chain(#[from] ChainError),
    /// A final block could not be made durable, or contradicts what is.
    #[error("cannot make a block final: {0}")]
    Finalize(#[from] FinalizeError),
    /// A quorum made a block final that this node finds invalid: its software, its disk or its memory differs from theirs.
    #[error(
        "the cluster made block {height} ({digest}) final, but this node finds it invalid ({reason}): it runs other rules or its \
         hardware is faulty; it stops before it says anything wrong"
    )]
    Diverged {
        /// Height of the block.
        height: u64,
        /// Its digest.
        digest: Digest,
        /// What this node finds.
        reason: String,
    },
    /// The chain misses blocks that consensus has delivered before.
    #[error(
        "block {height} is final, but the chain on this disk ends at {head} and the blocks between are not in the consensus \
         folder either: the folders are not of one node; empty the data folder and start again"
    )]
    Gap {
        /// Height of the block that arrived.
        height: u64,
        /// Height of the chain.
        head: u64,
    },
    /// This node's key signed something that this node does not remember.
    #[error(
        "a certificate holds this validator's vote in view {view} of epoch {epoch}, which is not in its journal: its disk is an old copy, or another \
         node has its key; it stops, since it might contradict a vote that it has forgotten (docs/operations.md, \"A lost disk\")"
    )]
    ForgottenVote {
        /// The epoch.
        epoch: u64,
        /// The view.
        view: u64,
    },
    /// The council has named more validators than the network was started for.
    #[error(
        "there are {named} peers now, and this process has room for {room}: start it again, which makes room for four times as many \
         validators as there are then"
    )]
    Peers {
        /// Those who vote, those who will, and this node.
        named: usize,
        /// How many fit.
        room: usize,
    },
    /// The consensus folder cannot be used.
    #[error("the consensus folder cannot be used: {0}")]
    Storage(String),
    /// A part of the engine ended by itself.
    #[error("the engine's {0} ended: its disk failed or is full, or this is a bug; the log says which")]
    Ended(&'static str),
}

/// Where the first fault goes.
#[derive(Clone)]
pub(super) struct Fault(Arc<Mutex<Option<oneshot::Sender<EngineError>>>>);

impl Fault {
    pub(super) fn new() -> (Self, oneshot::Receiver<EngineError>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Ends the engine. Only the first fault is told.
    pub(super) fn raise(&self, error: EngineError) {
        if let Some(sender) = self.0.lock().take() {
            // An error means that the engine has ended already.
            let _ = sender.send(error);
        }
    }
}
