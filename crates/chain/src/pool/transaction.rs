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
    /// What it offers counts for nothing.
    gas_is_free: bool,
    /// Order of arrival in the pool: ties of price go to the earlier one.
    pub(super) arrival: u64,
}

impl PoolTransaction {
    pub(super) fn new(transaction: Recovered<TxEnvelope>, gas_is_free: bool) -> Self {
        let size = transaction.encode_2718_len();
        let fee = if gas_is_free {
            0
        } else {
            transaction.max_fee_per_gas()
        };
        let cost = U256::from(transaction.gas_limit())
            .checked_mul(U256::from(fee))
            .and_then(|gas| gas.checked_add(transaction.value()));
        Self {
            transaction,
            size,
            cost,
            gas_is_free,
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

    /// The most that it can take from its sender (wei): gas limit × max fee, where gas is not free, + value. No balance covers more than
    /// `U256::MAX`, so a greater sum is that.
    pub fn cost(&self) -> U256 {
        self.cost.unwrap_or(U256::MAX)
    }

    /// Whether what it offers counts for nothing.
    pub(super) const fn gas_is_free(&self) -> bool {
        self.gas_is_free
    }

    /// The most it offers the proposer per gas (wei), whatever the base fee; 0 where gas is free.
    pub fn tip_cap(&self) -> u128 {
        if self.gas_is_free {
            return 0;
        }
        self.transaction
            .priority_fee_or_price()
            .min(self.transaction.max_fee_per_gas())
    }

    /// What it offers the proposer per gas (wei) in a block with this base fee, `None` if it does not pay that.
    pub fn tip(&self, base_fee: u64) -> Option<u128> {
        if self.gas_is_free {
            return Some(0);
        }
        self.transaction.effective_tip_per_gas(base_fee)
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
