//! Importing a chain from a file of RLP blocks, one after another, as Ethereum's clients export them.
//!
//! Every block is run and every header field checked, proof of work excepted. Imported blocks have no consensus of ours, so
//! their envelopes say only where they stand.

use crate::{
    Chain, ChainError, Envelope, Finalization, ImportError, InvalidBlock, Proposal, execution::ExecutionError,
};
use alloy_consensus::Block;
use alloy_primitives::Bytes;
use alloy_rlp::Decodable;
use synod_state::Transaction;

impl Chain {
    /// Imports blocks onto the last final one; returns how many. Blocks that are final already are skipped.
    pub fn import_rlp(&self, mut blocks: &[u8]) -> Result<usize, ImportError> {
        let mut imported = 0;
        let mut index = 0;
        while !blocks.is_empty() {
            let block = Block::<Transaction>::decode(&mut blocks)
                .map_err(|source| ImportError::Decode { index, source })?;
            index += 1;
            if self.import_block(block)? {
                imported += 1;
            }
        }
        Ok(imported)
    }

    /// Imports one block of Ethereum's; `false` when it is final already.
    pub fn import_block(&self, block: Block<Transaction>) -> Result<bool, ImportError> {
        let envelope = Envelope {
            view: block.header.number,
            parent: self.head_digest().0.0,
            ..Default::default()
        };
        self.import_proposal(Proposal { block, envelope }, Bytes::new())
    }

    /// Imports one block with the envelope that it had in another node of this chain; `false` when it is final already. What its
    /// certificate says is for the caller to know.
    ///
    /// # Errors
    /// When it breaks a rule or does not stand on the last final block, and when the disk cannot be read or written.
    pub fn import_proposal(&self, proposal: Proposal, certificate: Bytes) -> Result<bool, ImportError> {
        let number = proposal.block.header.number;
        let hash = proposal.block.header.hash_slow();
        if self.hash_of(number)? == Some(hash) {
            return Ok(false);
        }
        let (parent_digest, _) = self.head_digest();
        if proposal.envelope.parent != parent_digest.0 {
            let source = InvalidBlock::Field {
                field: "parent",
                got: proposal.envelope.parent.to_string(),
                expected: parent_digest.to_string(),
            };
            return Err(ImportError::Invalid { number, hash, source });
        }
        let parent = self
            .parent(parent_digest)
            .ok_or(ImportError::Fault(ChainError::UnknownBlock(parent_digest)))?;
        let digest = proposal.digest();
        let checked = self
            .check(&parent, parent_digest, &proposal, &|| false)
            .map_err(|e| match e {
                ExecutionError::Invalid(source) => ImportError::Invalid { number, hash, source },
                ExecutionError::Fault(fault) => ImportError::Fault(fault),
                // Nobody can ask an import to stop.
                ExecutionError::Cancelled => ImportError::Fault(ChainError::Evm("cancelled".into())),
            })?;
        self.keep(digest, checked);
        self.finalize(&Finalization {
            height: number,
            digest,
            certificate,
        })?;
        Ok(true)
    }
}
