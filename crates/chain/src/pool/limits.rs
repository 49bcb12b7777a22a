//! How much may wait, and at what price.

use std::time::Duration;

/// Limits of the pool.
///
/// They are a node's own policy, not part of consensus: two nodes may have different ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Transactions in the pool.
    pub transactions: usize,
    /// Encoded bytes of all transactions in the pool.
    pub bytes: usize,
    /// Transactions of one sender, ready and queued. Publishing a network of 100 MB is about a thousand transactions of
    /// one sender, and its tool sends them ahead of the blocks.
    pub transactions_per_sender: usize,
    /// Encoded bytes of one transaction. A chunk of a model is the largest useful one: code of 128 KiB, its initcode
    /// prefix, and the envelope.
    pub transaction_bytes: usize,
    /// By how many percent both fees of a replacement must exceed those of the transaction that it replaces.
    pub price_bump_percent: u8,
    /// The least tip (wei per gas, at most) that a transaction must offer.
    pub minimum_tip: u128,
    /// Whether to refuse a transaction that cannot pay the base fee of the very next block. An instant mining node makes
    /// no further block until it gets a transaction, so its base fee never falls and the sender would wait for ever.
    pub refuse_below_base_fee: bool,
    /// How long a transaction may wait behind a gap of nonces.
    pub queued_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            transactions: 16_384,
            bytes: 256 << 20,
            transactions_per_sender: 2_048,
            transaction_bytes: 512 << 10,
            price_bump_percent: 10,
            minimum_tip: 0,
            refuse_below_base_fee: false,
            queued_lifetime: Duration::from_secs(3 * 60 * 60),
        }
    }
}
