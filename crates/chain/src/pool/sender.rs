//! The transactions of one sender, in nonce order.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use alloy_consensus::Transaction;
use alloy_primitives::U256;

use super::{Account, PoolError, PoolTransaction, transaction::EvictionKey};

/// One sender's queue, and the account as the head has it.
#[derive(Debug)]
pub(super) struct Sender {
    account: Account,
    transactions: BTreeMap<u64, Arc<PoolTransaction>>,
    ready: Run,
}

/// The unbroken run of nonces that starts at the account's. Kept, since every transaction that arrives asks for it.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    len: usize,
    /// What its transactions cost at most, in wei.
    cost: U256,
}

impl Run {
    fn and(self, transaction: &PoolTransaction) -> Self {
        Self {
            len: self.len + 1,
            cost: self.cost.saturating_add(transaction.cost()),
        }
    }
}

impl Sender {
    pub(super) fn new(account: Account) -> Self {
        Self {
            account,
            transactions: BTreeMap::new(),
            ready: Run::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.transactions.len()
    }

    pub(super) fn get(&self, nonce: u64) -> Option<Arc<PoolTransaction>> {
        self.transactions.get(&nonce).cloned()
    }

    /// Puts a transaction in its place; returns the one that stood there.
    pub(super) fn insert(&mut self, transaction: PoolTransaction) -> Option<Arc<PoolTransaction>> {
        let (nonce, extended) = (transaction.nonce(), self.ready.and(&transaction));
        let replaced = self.transactions.insert(nonce, Arc::new(transaction));
        let is_last = self
            .transactions
            .last_key_value()
            .is_some_and(|(last, _)| *last == nonce);
        if replaced.is_none() && is_last && nonce == self.first_missing() {
            self.ready = extended;
        } else {
            self.count_ready();
        }
        replaced
    }

    pub(super) fn remove(&mut self, nonce: u64) -> Option<Arc<PoolTransaction>> {
        let removed = self.transactions.remove(&nonce);
        self.count_ready();
        removed
    }

    /// Looks through the queue for the unbroken run.
    fn count_ready(&mut self) {
        let ready = (self.account.nonce..)
            .zip(self.transactions.range(self.account.nonce..))
            .map_while(|(expected, (nonce, transaction))| (expected == *nonce).then_some(transaction))
            .fold(Run::default(), |run, transaction| run.and(transaction));
        self.ready = ready;
    }

    /// The unbroken run of nonces that starts at the account's.
    pub(super) fn ready(&self) -> impl Iterator<Item = &Arc<PoolTransaction>> + '_ {
        self.ready_from(self.account.nonce)
    }

    /// Of the unbroken run what has this nonce or a greater one.
    pub(super) fn ready_from(&self, nonce: u64) -> impl Iterator<Item = &Arc<PoolTransaction>> + '_ {
        let end = self.first_missing();
        self.transactions
            .range(nonce.min(end)..end)
            .map(|(_, transaction)| transaction)
    }

    pub(super) const fn ready_len(&self) -> usize {
        self.ready.len
    }

    /// What follows the first gap.
    pub(super) fn queued(&self) -> impl Iterator<Item = &Arc<PoolTransaction>> + '_ {
        self.transactions.values().skip(self.ready.len)
    }

    /// The first nonce of which no transaction is here.
    pub(super) const fn first_missing(&self) -> u64 {
        self.account.nonce.saturating_add(self.ready.len as u64)
    }

    /// The nonce after the last ready transaction, if one is ready.
    pub(super) fn next_nonce(&self) -> Option<u64> {
        (self.ready.len > 0).then(|| self.first_missing())
    }

    /// Whether the balance covers `new` together with the ready transactions that it would stand among.
    pub(super) fn check_payable(&self, new: &PoolTransaction) -> Result<(), PoolError> {
        if new.nonce() > self.first_missing() {
            // Behind a gap: nobody knows what the balance will be when the gap is filled.
            return Ok(());
        }
        let queued = if new.nonce() == self.first_missing() {
            self.ready.cost
        } else {
            self.ready()
                .filter(|tx| tx.nonce() != new.nonce())
                .fold(U256::ZERO, |sum, tx| sum.saturating_add(tx.cost()))
        };
        let cost = new.cost();
        if queued.saturating_add(cost) > self.account.balance {
            let balance = self.account.balance;
            return Err(PoolError::InsufficientFundsForAll {
                balance,
                queued,
                cost,
            });
        }
        Ok(())
    }

    /// Takes the account's new state over; returns what is used up, unpayable, not permitted or too large for a
    /// block.
    pub(super) fn settle(&mut self, account: Account, gas_limit: u64) -> Vec<Arc<PoolTransaction>> {
        self.account = account;
        let gone: Vec<u64> = self
            .transactions
            .iter()
            .filter(|(nonce, tx)| {
                **nonce < account.nonce
                    || (account.is_contract && !crate::edit::impersonated(tx.transaction()))
                    || account
                        .rights
                        .for_transaction(tx.sender(), tx.transaction().is_create())
                        .is_err()
                    || tx.cost() > account.balance
                    || tx.transaction().gas_limit() > gas_limit
            })
            .map(|(nonce, _)| *nonce)
            .collect();
        let gone = gone
            .into_iter()
            .filter_map(|nonce| self.transactions.remove(&nonce))
            .collect();
        self.count_ready();
        gone
    }

    /// Takes out what is queued and arrived no later than a mark.
    pub(super) fn expire(&mut self, mark: u64) -> Vec<Arc<PoolTransaction>> {
        let old: Vec<u64> = self
            .queued()
            .filter(|tx| tx.arrival <= mark)
            .map(|tx| tx.nonce())
            .collect();
        old.into_iter()
            .filter_map(|nonce| self.transactions.remove(&nonce))
            .collect()
    }

    /// Where the last transaction stands in the order of eviction; `None` for an empty queue.
    pub(super) fn eviction_key(&self) -> Option<EvictionKey> {
        let (nonce, tail) = self.transactions.last_key_value()?;
        let ready = self.ready.len == self.transactions.len();
        Some(EvictionKey {
            ready,
            tip: tail.tip_cap(),
            arrival: Reverse(tail.arrival),
            sender: tail.sender(),
            nonce: *nonce,
        })
    }
}
