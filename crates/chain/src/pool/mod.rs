//! Transactions that wait for a block.
//!
//! A pool is a waiting room with a doorman. The doorman lets in only what could be mined: the same checks that
//! execution makes (signature, chain id, intrinsic and floor gas, limits, nonce, balance) are made here first, because
//! whatever passes costs every validator memory and bandwidth, and only a mined transaction pays for it.
//!
//! ```text
//!            add ──► checks that need no state ──► checks against the head ──► sender's queue
//!                    (signature, size, gas, type)    (nonce, balance, code)      nonce:  7   8   9  │ 12  13
//!                                                                                     └─ ready ─┘ │ └ queued ┘
//!            best ◄── heads of all ready runs, the highest tip first             state nonce = 7
//! ```
//!
//! * **Ready** transactions of a sender are the unbroken run of nonces that starts at the nonce the sender has in the
//!   state of the head. What follows a gap is **queued** and becomes ready when the gap is filled.
//! * A transaction **replaces** one of the same sender and nonce if it pays at least [`Limits::price_bump_percent`] more
//!   in both of its fees. Otherwise anybody could make all nodes redo work for nothing.
//! * When the pool is full the cheapest last transaction of a sender leaves, queued ones before ready ones. Only last
//!   ones leave, so an eviction never opens a gap.
//! * What stays queued for long expires ([`Pool::expire`]).
//! * All of a sender's ready transactions together must be payable from the sender's balance. This is what keeps one
//!   funded account from filling the pool with transactions of which only the first can ever be paid.
//!
//! The pool holds the head it judges by ([`Head`]) under the same lock as the transactions, so a verdict never mixes
//! two blocks. It knows no clock, no network and no runtime: what happened is in the values that its functions return,
//! and the node passes it on to subscribers.
//!
//! What can go wrong: a verdict is about the head it was given at. A block may still spend a sender's balance in another
//! way (a delegated account, EIP-7702, can be emptied by others), so the builder of a block must be ready for a
//! transaction that fails its checks, and then calls [`Best::skip_sender`].

mod best;
mod error;
mod limits;
mod sender;
#[cfg(test)]
mod simple;
#[cfg(test)]
mod tests;
mod transaction;
mod validate;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_eips::eip2718::Encodable2718;
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, Bytes, TxHash, map::HashMap};
use parking_lot::Mutex;
use revm::{DatabaseRef, database::WrapDatabaseRef};
use synod_evm::rights::Rights;

pub use best::Best;
pub use error::PoolError;
pub use limits::Limits;
pub use transaction::PoolTransaction;

use sender::Sender;
use transaction::EvictionKey;

/// The block that the pool judges by: the environment of the next block, and the accounts after the last one.
#[derive(Clone)]
pub struct Head {
    /// Environment of the block to be built on the head: fork, gas schedule and limits, base fee and gas limit.
    pub env: EvmEnv,
    /// The accounts as the head left them.
    pub accounts: Arc<dyn Accounts>,
    /// Whether gas costs nothing ([`crate::ChainSpec::gas_is_free`]): then offered fees count for nothing.
    pub gas_is_free: bool,
}

impl std::fmt::Debug for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head")
            .field("env", &self.env)
            .finish_non_exhaustive()
    }
}

/// What the pool needs to know of an account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// The nonce that the account's next transaction must have.
    pub nonce: u64,
    /// The balance in wei.
    pub balance: alloy_primitives::U256,
    /// Whether the account has code that is not an EIP-7702 delegation: such an account can send nothing (EIP-3607).
    pub is_contract: bool,
    /// What it may do.
    pub rights: Rights,
}

/// The accounts of one state.
pub trait Accounts: Send + Sync {
    /// The account at `address`, all zero if there is none.
    fn account(&self, address: Address) -> Result<Account, PoolError>;
}

impl<S> Accounts for S
where
    S: DatabaseRef + Send + Sync,
{
    fn account(&self, address: Address) -> Result<Account, PoolError> {
        let state = |e: S::Error| PoolError::State(Box::new(e));
        let rights = Rights::of(&mut WrapDatabaseRef(self), address).map_err(state)?;
        let Some(info) = self.basic_ref(address).map_err(state)? else {
            return Ok(Account {
                rights,
                ..Account::default()
            });
        };
        let is_contract = if info.is_empty_code_hash() {
            false
        } else {
            let code = match info.code {
                Some(code) => code,
                None => self.code_by_hash_ref(info.code_hash).map_err(state)?,
            };
            !code.is_empty() && !code.is_eip7702()
        };
        Ok(Account {
            nonce: info.nonce,
            balance: info.balance,
            is_contract,
            rights,
        })
    }
}

/// Which accounts may differ between the old head and the new one.
#[derive(Debug, Clone, Copy)]
pub enum Touched<'a> {
    /// Only these (the accounts that the new blocks changed).
    Only(&'a [Address]),
    /// Any: after a rewind, or when the changes are not known.
    Any,
}

/// What [`Pool::add`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The transaction's hash.
    pub hash: TxHash,
    /// The transaction that this one replaced.
    pub replaced: Option<TxHash>,
    /// What became ready by this addition, in nonce order: the transaction itself and those that it was the gap before.
    /// Empty if the transaction is queued.
    pub ready: Vec<TxHash>,
}

/// What [`Pool::set_head`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadChange {
    /// What became ready, in nonce order for each sender.
    pub ready: Vec<TxHash>,
    /// What left the pool: mined, overtaken by another transaction of the same nonce, or no longer payable.
    pub removed: Vec<TxHash>,
}

/// How many transactions are in the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Ready to be mined.
    pub ready: usize,
    /// Behind a gap of nonces.
    pub queued: usize,
}

/// Everything in the pool, by sender and nonce.
#[derive(Debug, Clone, Default)]
pub struct Content {
    /// Ready to be mined.
    pub ready: BTreeMap<Address, Vec<Arc<PoolTransaction>>>,
    /// Behind a gap of nonces.
    pub queued: BTreeMap<Address, Vec<Arc<PoolTransaction>>>,
}

/// The transaction pool. See the [module](self) for its rules.
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    head: Head,
    by_hash: HashMap<TxHash, (Address, u64)>,
    senders: BTreeMap<Address, Sender>,
    /// The last transaction of each sender, the first to leave first.
    tails: BTreeSet<EvictionKey>,
    /// Encoded bytes of all transactions.
    bytes: usize,
    /// Order of arrival: breaks ties of price.
    arrivals: u64,
}

impl Pool {
    /// An empty pool that judges by `head`.
    pub fn new(limits: Limits, head: Head) -> Self {
        let inner = Inner {
            head,
            by_hash: HashMap::default(),
            senders: BTreeMap::new(),
            tails: BTreeSet::new(),
            bytes: 0,
            arrivals: 0,
        };
        Self {
            limits,
            inner: Mutex::new(inner),
        }
    }

    /// The limits that the pool was made with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Adds a transaction as it comes over the wire (EIP-2718 bytes).
    ///
    /// # Errors
    /// As [`Pool::add`], and when the bytes are not a transaction or its signature has no signer.
    pub fn add_raw(&self, raw: &[u8]) -> Result<Added, PoolError> {
        self.add(validate::decode(raw, &self.limits)?)
    }

    /// Adds a transaction whose sender is known.
    ///
    /// # Errors
    /// One variant of [`PoolError`] for each rule that can be broken; the pool is then as it was.
    pub fn add(&self, transaction: Recovered<TxEnvelope>) -> Result<Added, PoolError> {
        let mut inner = self.inner.lock();
        let transaction = PoolTransaction::new(transaction, inner.head.gas_is_free);
        if inner.by_hash.contains_key(transaction.hash()) {
            return Err(PoolError::AlreadyKnown);
        }
        validate::without_state(&transaction, &inner.head.env, &self.limits)?;
        let account = inner.head.accounts.account(transaction.sender())?;
        validate::against_account(&transaction, &account)?;
        inner.insert(transaction, account, &self.limits)
    }

    /// Moves the pool to a new head: forgets what was mined, finds what became ready or unpayable.
    ///
    /// # Errors
    /// Only when the state cannot be read; the pool then stays at the old head.
    pub fn set_head(&self, head: Head, touched: Touched<'_>) -> Result<HeadChange, PoolError> {
        self.inner.lock().set_head(head, touched)
    }

    /// The ready transactions in the order in which a block should take them, for a block with this base fee (wei per
    /// gas). A snapshot: later changes of the pool do not show in it.
    pub fn best(&self, base_fee: u64) -> Best {
        let inner = self.inner.lock();
        Best::new(
            inner.senders.values().map(|queue| queue.ready().cloned()),
            base_fee,
        )
    }

    /// The transaction with this hash, if it waits here.
    pub fn get(&self, hash: &TxHash) -> Option<Arc<PoolTransaction>> {
        let inner = self.inner.lock();
        let (sender, nonce) = inner.by_hash.get(hash)?;
        inner.senders.get(sender)?.get(*nonce)
    }

    /// The nonce after the last ready transaction of `sender`; `None` if none is ready, and then the state tells.
    pub fn next_nonce(&self, sender: Address) -> Option<u64> {
        self.inner.lock().senders.get(&sender)?.next_nonce()
    }

    /// How many transactions wait.
    pub fn status(&self) -> Status {
        let inner = self.inner.lock();
        let ready = inner.senders.values().map(Sender::ready_len).sum();
        Status {
            ready,
            queued: inner.by_hash.len() - ready,
        }
    }

    /// Everything that waits.
    pub fn content(&self) -> Content {
        let inner = self.inner.lock();
        let mut content = Content::default();
        for (address, sender) in &inner.senders {
            let (ready, queued): (Vec<_>, Vec<_>) = (
                sender.ready().cloned().collect(),
                sender.queued().cloned().collect(),
            );
            if !ready.is_empty() {
                content.ready.insert(*address, ready);
            }
            if !queued.is_empty() {
                content.queued.insert(*address, queued);
            }
        }
        content
    }

    /// Takes one transaction out, and says whether it was there. What it was the gap before becomes queued.
    ///
    /// For a transaction that the builder of a block found to be unexecutable for ever.
    pub fn remove(&self, hash: &TxHash) -> bool {
        let mut inner = self.inner.lock();
        let Some((sender, nonce)) = inner.by_hash.get(hash).copied() else {
            return false;
        };
        inner.update(sender, |queue| queue.remove(nonce).into_iter().collect());
        true
    }

    /// How many transactions have arrived until now: a mark for [`Pool::expire`].
    pub fn arrivals(&self) -> u64 {
        self.inner.lock().arrivals
    }

    /// Takes out what is behind a gap of nonces and arrived before a mark, and returns it: a gap that was not filled for so long
    /// most likely never is. The pool knows no clock; whoever calls this does ([`Limits::queued_lifetime`]).
    pub fn expire(&self, mark: u64) -> Vec<TxHash> {
        let mut inner = self.inner.lock();
        let senders: Vec<Address> = inner.senders.keys().copied().collect();
        let mut expired = Vec::new();
        for sender in senders {
            let gone = inner.update(sender, |queue| queue.expire(mark));
            expired.extend(gone.iter().map(|tx| *tx.hash()));
        }
        expired
    }

    /// Everything that waits and its sender signed, in the order of arrival and as it travels (EIP-2718): what a node keeps
    /// over a restart.
    pub fn journal(&self) -> Vec<Bytes> {
        let content = self.content();
        let all = content.ready.into_values().chain(content.queued.into_values());
        let mut all: Vec<_> = all
            .flatten()
            .filter(|tx| !crate::edit::impersonated(tx.transaction()))
            .collect();
        all.sort_unstable_by_key(|tx| tx.arrival);
        all.iter()
            .map(|tx| tx.transaction().encoded_2718().into())
            .collect()
    }
}

impl Inner {
    fn insert(
        &mut self,
        mut transaction: PoolTransaction,
        account: Account,
        limits: &Limits,
    ) -> Result<Added, PoolError> {
        let (hash, address, nonce) = (*transaction.hash(), transaction.sender(), transaction.nonce());
        let fresh = Sender::new(account);
        let queue = self.senders.get(&address).unwrap_or(&fresh);
        let replaces = queue.get(nonce);
        if let Some(old) = &replaces {
            validate::replacement(&transaction, old, limits.price_bump_percent)?;
        } else if queue.len() >= limits.transactions_per_sender {
            return Err(PoolError::SenderLimit {
                sender: address,
                limit: limits.transactions_per_sender,
            });
        }
        queue.check_payable(&transaction)?;
        let ready_before = queue.first_missing();

        self.arrivals += 1;
        transaction.arrival = self.arrivals;
        self.bytes += transaction.size();
        self.by_hash.insert(hash, (address, nonce));
        self.senders.entry(address).or_insert(fresh);
        self.update(address, |queue| queue.insert(transaction).into_iter().collect());
        self.evict(limits);
        if !self.by_hash.contains_key(&hash) {
            return Err(PoolError::Full);
        }
        let ready = if nonce < ready_before {
            vec![hash]
        } else {
            self.senders
                .get(&address)
                .map(|queue| queue.ready_from(ready_before).map(|tx| *tx.hash()).collect())
                .unwrap_or_default()
        };
        Ok(Added {
            hash,
            replaced: replaces.map(|old| *old.hash()),
            ready,
        })
    }

    /// Removes the cheapest last transactions until the pool is within its limits.
    fn evict(&mut self, limits: &Limits) {
        while self.by_hash.len() > limits.transactions || self.bytes > limits.bytes {
            let Some(worst) = self.tails.first().copied() else {
                return;
            };
            self.update(worst.sender, |queue| {
                queue.remove(worst.nonce).into_iter().collect()
            });
        }
    }

    fn set_head(&mut self, head: Head, touched: Touched<'_>) -> Result<HeadChange, PoolError> {
        let tighter = head.env.block_env.gas_limit < self.head.env.block_env.gas_limit;
        let touched: Vec<Address> = match touched {
            Touched::Only(addresses) if !tighter => {
                let unique: BTreeSet<_> = addresses.iter().copied().collect();
                unique
                    .into_iter()
                    .filter(|a| self.senders.contains_key(a))
                    .collect()
            }
            _ => self.senders.keys().copied().collect(),
        };
        // All reads come before the first change, so that a fault leaves the pool as it was.
        let accounts = touched
            .into_iter()
            .map(|address| Ok((address, head.accounts.account(address)?)))
            .collect::<Result<Vec<_>, PoolError>>()?;
        self.head = head;
        let gas_limit = self.head.env.block_env.gas_limit;
        let mut change = HeadChange::default();
        for (address, account) in accounts {
            let ready: BTreeSet<TxHash> = self
                .senders
                .get(&address)
                .into_iter()
                .flat_map(Sender::ready)
                .map(|tx| *tx.hash())
                .collect();
            let removed = self.update(address, |queue| queue.settle(account, gas_limit));
            change.removed.extend(removed.iter().map(|tx| *tx.hash()));
            if let Some(queue) = self.senders.get(&address) {
                change.ready.extend(
                    queue
                        .ready()
                        .map(|tx| *tx.hash())
                        .filter(|hash| !ready.contains(hash)),
                );
            }
        }
        Ok(change)
    }

    /// Changes one sender's queue and keeps the indices in step with it; returns what `change` took out.
    fn update(
        &mut self,
        address: Address,
        change: impl FnOnce(&mut Sender) -> Vec<Arc<PoolTransaction>>,
    ) -> Vec<Arc<PoolTransaction>> {
        let Some(queue) = self.senders.get_mut(&address) else {
            return Vec::new();
        };
        if let Some(tail) = queue.eviction_key() {
            self.tails.remove(&tail);
        }
        let removed = change(queue);
        match queue.eviction_key() {
            Some(tail) => {
                self.tails.insert(tail);
            }
            None => {
                self.senders.remove(&address);
            }
        }
        for transaction in &removed {
            self.bytes -= transaction.size();
            self.by_hash.remove(transaction.hash());
        }
        removed
    }
}
