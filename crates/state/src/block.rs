//! Blocks as they are stored.

use alloy_consensus::{Block, BlockBody, Header, ReceiptEnvelope, TxEnvelope};
use alloy_primitives::{Address, B256, Bytes};

/// A signed transaction.
pub type Transaction = TxEnvelope;
/// A receipt with its bloom filter.
pub type Receipt = ReceiptEnvelope;
/// Transactions, ommers and withdrawals.
pub type Body = BlockBody<Transaction>;

/// A block with its hash, and the senders of its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedBlock {
    /// keccak-256 of the header's RLP.
    pub hash: B256,
    /// The header.
    pub header: Header,
    /// What the header's roots commit to.
    pub body: Body,
    /// The sender of each transaction, in order.
    pub senders: Vec<Address>,
}

impl SealedBlock {
    /// The block without what was derived from it.
    #[must_use]
    pub fn to_block(&self) -> Block<Transaction> {
        Block {
            header: self.header.clone(),
            body: self.body.clone(),
        }
    }
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionLocation {
    /// Height of its block.
    pub block_number: u64,
    /// Position in the block.
    pub index: u64,
}

/// What consensus says about a block. The store keeps the bytes and compares digests; it does not read more into them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seal {
    /// The digest that consensus decided on.
    pub digest: B256,
    /// What the digest commits to besides the header.
    pub envelope: Bytes,
    /// Proof of finality; empty for the single-node engine.
    pub certificate: Bytes,
}

/// The last whole block in the store, written in the same transaction as all that belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Height.
    pub height: u64,
    /// Digest that consensus decided on.
    pub digest: B256,
    /// Block hash.
    pub hash: B256,
    /// State root.
    pub state_root: B256,
}
