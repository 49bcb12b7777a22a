//! Between chain and pool: the pool follows the head, the engine takes from the pool.

use std::sync::Arc;

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256, BloomInput};
use parking_lot::Mutex;
use synod_chain::{
    BestTransactions, BlockData, Chain, ChainError, Skipped, TransactionSource,
    council::COUNCIL,
    pool::{Added, Best, Head, Limits, Pool, PoolError, Touched},
};
use tokio::sync::broadcast;

/// A pool that follows a chain.
pub(crate) struct Feed {
    chain: Arc<Chain>,
    pool: Arc<Pool>,
    ready: broadcast::Sender<B256>,
    /// The block that the pool judges by. Held while the pool moves, so that it never moves backwards.
    followed: Mutex<Arc<BlockData>>,
}

impl Feed {
    /// A new pool at the chain's head.
    pub(crate) fn new(
        chain: Arc<Chain>,
        limits: Limits,
        ready: broadcast::Sender<B256>,
    ) -> Result<Self, ChainError> {
        let data = chain.head();
        let pool = Arc::new(Pool::new(limits, head(&chain)?));
        Ok(Self {
            chain,
            pool,
            ready,
            followed: Mutex::new(data),
        })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Judges a transaction by the chain's present head and keeps it.
    pub(crate) fn submit(&self, raw: &[u8]) -> Result<Added, PoolError> {
        self.follow()?;
        let added = self.pool.add_raw(raw)?;
        self.announce(&added.ready);
        Ok(added)
    }

    /// Whether the pool is at the chain's head and nobody moves it: then a transaction can be judged without waiting.
    pub(crate) fn is_settled(&self) -> bool {
        let followed = self.followed.try_lock();
        followed.is_some_and(|followed| followed.hash() == self.chain.head().hash())
    }

    /// The same for a transaction whose sender is known, whatever its signature says.
    pub(crate) fn submit_from(&self, transaction: Recovered<TxEnvelope>) -> Result<Added, PoolError> {
        self.follow()?;
        let added = self.pool.add(transaction)?;
        self.announce(&added.ready);
        Ok(added)
    }

    /// Takes the pool to a state that changed without a block.
    pub(crate) fn look_again(&self) -> Result<(), PoolError> {
        let mut followed = self.followed.lock();
        let data = self.chain.head();
        let head = head(&self.chain).map_err(|e| PoolError::State(Box::new(e)))?;
        let change = self.pool.set_head(head, Touched::Any)?;
        *followed = data;
        drop(followed);
        self.announce(&change.ready);
        Ok(())
    }

    /// Takes the pool to the chain's head. Cheap if it is there.
    pub(crate) fn follow(&self) -> Result<(), PoolError> {
        let mut followed = self.followed.lock();
        let data = self.chain.head();
        if data.hash() == followed.hash() {
            return Ok(());
        }
        let head = head(&self.chain).map_err(|e| PoolError::State(Box::new(e)))?;
        // What the council decides may concern any account. It tells of every change of rights.
        let council = BloomInput::Raw(COUNCIL.as_slice());
        let rights_moved = data.header().logs_bloom.contains_input(council);
        let change = if data.header().parent_hash == followed.hash() && !rights_moved {
            self.pool.set_head(head, Touched::Only(&touched(&data)))?
        } else {
            self.pool.set_head(head, Touched::Any)?
        };
        *followed = data;
        drop(followed);
        self.announce(&change.ready);
        Ok(())
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&self) {
        let content = self.pool.content();
        for transaction in content.ready.values().chain(content.queued.values()).flatten() {
            self.pool.remove(transaction.hash());
        }
    }

    /// Whether something waits that could be mined.
    pub(crate) fn has_ready(&self) -> bool {
        self.pool.status().ready > 0
    }

    fn announce(&self, hashes: &[B256]) {
        for hash in hashes {
            // An error means that nobody listens.
            let _ = self.ready.send(*hash);
        }
    }
}

/// What the pool judges by now.
fn head(chain: &Arc<Chain>) -> Result<Head, ChainError> {
    let (_, timestamp) = chain.head_digest();
    Ok(Head {
        env: chain.pending_env(timestamp),
        accounts: Arc::new(chain.state()?),
        gas_is_free: chain.spec().gas_is_free(),
    })
}

/// The accounts whose nonce a block moved, or that spent: senders, and authorities of EIP-7702. An account with a
/// delegation may lose its balance in other ways too; its transactions then fail when a block is built.
fn touched(data: &BlockData) -> Vec<Address> {
    let authorities = data.block.body.transactions.iter().flat_map(|tx: &TxEnvelope| {
        tx.authorization_list()
            .unwrap_or_default()
            .iter()
            .filter_map(|signed| signed.recover_authority().ok())
    });
    data.block.senders.iter().copied().chain(authorities).collect()
}

impl TransactionSource for Feed {
    fn best(&self, base_fee: u64) -> Box<dyn BestTransactions + '_> {
        if let Err(error) = self.follow() {
            // The engine reads the same state next and will say what is wrong with it.
            tracing::error!(%error, "the pool cannot follow the chain");
        }
        Box::new(Taking {
            pool: &self.pool,
            best: self.pool.best(base_fee),
            taken: 0,
        })
    }
}

/// The pool's transactions on their way into one block.
struct Taking<'a> {
    pool: &'a Pool,
    best: Best,
    taken: usize,
}

impl BestTransactions for Taking<'_> {
    fn next(&mut self) -> Option<Recovered<TxEnvelope>> {
        let transaction = Iterator::next(&mut self.best)?;
        self.taken += 1;
        Some(transaction.transaction().clone())
    }

    fn skip(&mut self, skipped: &Skipped) {
        self.taken -= 1;
        self.best.skip_sender(skipped.sender);
        // With nothing before it in the block, it had all of the block's gas and the head's own state: it cannot be
        // executed, and would be tried before every block to come.
        if self.taken == 0 {
            self.pool.remove(&skipped.hash);
        }
    }
}
