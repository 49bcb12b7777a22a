//! A transaction with what the pool computes once.

use std::cmp::Reverse;

use alloy_consensus::{Transaction, TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, TxHash, U256};

/// A transaction of the pool.
#[derive(Debug, Clone)]
pub struct PoolTransaction {
    transaction: Recovered<TxEnvelope>,
    size: usize,
    cost: Option<U256>,
    /// Order of arrival in the pool: ties of price go to the earlier one.
    pub(super) arrival: u64,
}

impl PoolTransaction {
    pub(super) fn new(transaction: Recovered<TxEnvelope>) -> Self {
        let size = transaction.encode_2718_len();
        let cost = U256::from(transaction.gas_limit())
            .checked_mul(U256::from(transaction.max_fee_per_gas()))
            .and_then(|gas| gas.checked_add(transaction.value()));
        Self {
            transaction,
            size,
            cost,
            arrival: 0,
        }
    }

    /// The transaction and its sender.
    pub fn transaction(&self) -> &Recovered<TxEnvelope> {
        &self.transaction
    }

    /// Its hash.
    pub fn hash(&self) -> &TxHash {
        self.transaction.inner().tx_hash()
    }

    /// Who signed it.
    pub fn sender(&self) -> Address {
        self.transaction.signer()
    }

    /// Its nonce.
    pub fn nonce(&self) -> u64 {
        self.transaction.nonce()
    }

    /// Its encoded length in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The most that it can take from its sender (wei): gas limit × max fee + value. No balance covers more than
    /// `U256::MAX`, so a greater sum is that.
    pub fn cost(&self) -> U256 {
        self.cost.unwrap_or(U256::MAX)
    }

    /// The most it offers the proposer per gas (wei), whatever the base fee.
    pub fn tip_cap(&self) -> u128 {
        self.transaction
            .priority_fee_or_price()
            .min(self.transaction.max_fee_per_gas())
    }
}

/// The order in which last transactions of senders leave a full pool, the first to leave first: queued before ready,
/// then the lower tip, then the later arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EvictionKey {
    pub(super) ready: bool,
    pub(super) tip: u128,
    pub(super) arrival: Reverse<u64>,
    pub(super) sender: Address,
    pub(super) nonce: u64,
}
