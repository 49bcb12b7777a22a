//! A node outside the committee: takes final blocks from whoever gives them and believes the committee's signatures alone.
//!
//! Blocks come in order of height, with or without a certificate of their own. They wait until a certificate vouches for the
//! last of them; since each names the digest of its parent, it vouches for all. Then each is executed, and made durable only
//! if this node computes what its header says: a follower checks the committee's signatures *and* its work.

use super::{Committees, application::Executor, block::Block, commitment, proof::finalization};
use alloy_primitives::Bytes;
use commonware_codec::{Decode as _, Encode as _};
use synod_chain::{ChainError, Digest, FinalizeError, Pending, Proposal, Verdict};

/// Blocks that may wait for a certificate.
const MAX_WAITING: usize = 1024;

/// A final block as nodes give it to each other.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FinalBlock {
    /// RLP of the [`Proposal`].
    pub block: Bytes,
    /// The certificate, empty if the block became final with a later one.
    pub certificate: Bytes,
}

/// Why blocks were not taken.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// Bytes that are no block, or not the next one. Nothing was taken of what waited: ask somebody else.
    #[error("block {height} is not what follows: {reason}")]
    Block {
        /// The height that was due.
        height: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A certificate that does not vouch for its block.
    #[error(
        "the certificate of block {height} is not for {digest}, or not signed by a quorum of the genesis file's validators"
    )]
    Certificate {
        /// Height of the block.
        height: u64,
        /// Its digest.
        digest: Digest,
    },
    /// Too many blocks without a certificate.
    #[error("{MAX_WAITING} blocks in a row have no certificate")]
    NoCertificate,
    /// The committee made a block final that this node finds invalid.
    #[error(
        "the cluster made block {height} ({digest}) final, but this node finds it invalid ({reason}): it runs other rules or \
         its hardware is faulty; it stops before it says anything wrong"
    )]
    Diverged {
        /// Height of the block.
        height: u64,
        /// Its digest.
        digest: Digest,
        /// What this node finds.
        reason: String,
    },
    /// This node's chain cannot be read or written.
    #[error("the chain cannot go on: {0}")]
    Chain(#[from] ChainError),
    /// A block could not be made durable.
    #[error("cannot make a block final: {0}")]
    Finalize(#[from] FinalizeError),
}

impl FollowError {
    /// Whether it is the fault of whoever gave the blocks, and somebody else may do better.
    #[must_use]
    pub const fn is_of_the_source(&self) -> bool {
        matches!(
            self,
            Self::Block { .. } | Self::Certificate { .. } | Self::NoCertificate
        )
    }
}

/// Follows a cluster.
pub struct Follower {
    committees: Committees,
    block_size_limit: usize,
    /// The last final block.
    head: Block,
    /// Blocks above it, without a certificate yet.
    waiting: Vec<Block>,
}

impl Follower {
    /// A follower at the chain's last final block.
    #[must_use]
    pub fn new(committees: Committees, head: Proposal, block_size_limit: usize) -> Self {
        Self {
            committees,
            block_size_limit,
            head: Block::new(head),
            waiting: Vec::new(),
        }
    }

    /// The height of the next block that it wants.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.last().proposal().block.header.number + 1
    }

    fn last(&self) -> &Block {
        self.waiting.last().unwrap_or(&self.head)
    }

    /// Takes blocks from [`Follower::wanted`] on. Executes; call it from a thread that may block. Returns how many became
    /// final.
    ///
    /// # Errors
    /// See [`FollowError`]. After an error, what waited is forgotten.
    pub fn take(&mut self, blocks: &[FinalBlock]) -> Result<u64, FollowError> {
        let taken = self.take_all(blocks);
        if taken.is_err() {
            self.waiting.clear();
        }
        taken
    }

    fn take_all(&mut self, blocks: &[FinalBlock]) -> Result<u64, FollowError> {
        let mut count = 0;
        for FinalBlock { block, certificate } in blocks {
            let block = self.next(block)?;
            let (height, digest) = (block.proposal().block.header.number, block.id());
            self.waiting.push(block);
            if certificate.is_empty() {
                if self.waiting.len() >= MAX_WAITING {
                    return Err(FollowError::NoCertificate);
                }
                continue;
            }
            // Blocks wait at most until their epoch ends: its last block has a certificate of its own.
            let epoch = self.committees.epochs().of(height);
            self.committees
                .of(epoch)?
                .and_then(|committee| finalization(&committee, epoch, certificate))
                .filter(|proof| proof.proposal.payload == commitment(digest))
                .ok_or(FollowError::Certificate { height, digest })?;
            for block in std::mem::take(&mut self.waiting) {
                let vouches = if block.id() == digest {
                    certificate.clone()
                } else {
                    Bytes::new()
                };
                self.make_final(block, vouches)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The next block, if these bytes are it.
    fn next(&self, rlp: &Bytes) -> Result<Block, FollowError> {
        let height = self.wanted();
        let wrong = |reason: String| FollowError::Block { height, reason };
        let block = Block::decode_cfg(rlp.0.encode(), &self.block_size_limit)
            .map_err(|error| wrong(error.to_string()))?;
        let (found, parent) = (
            block.proposal().block.header.number,
            block.proposal().envelope.parent,
        );
        if found != height {
            return Err(wrong(format!("it is block {found}")));
        }
        if parent != self.last().id().0 {
            return Err(wrong(format!(
                "it stands on {parent}, not on {}",
                self.last().id()
            )));
        }
        Ok(block)
    }

    fn make_final(&mut self, block: Block, certificate: Bytes) -> Result<(), FollowError> {
        let (height, digest) = (block.proposal().block.header.number, block.id());
        let diverged = |reason| FollowError::Diverged {
            height,
            digest,
            reason,
        };
        Executor::signed(&self.committees, &block)?.map_err(diverged)?;
        // A final block's time is no question any more.
        let context = Executor::context_of(&block, &self.head, block.timestamp());
        match self.committees.application().verify(&context, block.proposal())? {
            Verdict::Valid => {}
            Verdict::Invalid(rule) => return Err(diverged(rule.to_string())),
            Verdict::Pending(Pending::MissingParent(parent)) => {
                return Err(ChainError::UnknownBlock(parent).into());
            }
            Verdict::Pending(pending) => return Err(diverged(pending.to_string())),
        }
        self.committees
            .application()
            .finalized(&synod_chain::Finalization {
                height,
                digest,
                certificate,
            })?;
        self.head = block;
        Ok(())
    }
}
