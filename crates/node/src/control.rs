//! What the RPC may ask of the node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use alloy_consensus::{TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256};
use parking_lot::Mutex;
use synod_chain::{Chain, ChainError, Edits, Held, Timestamp, edit::StateEdit, pool::PoolError};
use synod_consensus::single::{Handle, Mining, Setting};
use synod_rpc::{Control, DevControl, Dump, MiningMode, NextBlock};

use crate::feed::Feed;

/// The controls of a development node.
pub(crate) struct DevNode {
    chain: Arc<Chain>,
    feed: Arc<Feed>,
    engine: Handle,
    runtime: tokio::runtime::Handle,
    snapshots: Mutex<Snapshots>,
    mining: Mutex<Mining>,
    impersonated: Mutex<Impersonated>,
}

/// Heads to come back to.
#[derive(Debug, Default)]
struct Snapshots {
    last: u64,
    /// By number.
    taken: BTreeMap<u64, Taken>,
}

/// What to come back to.
#[derive(Debug, Clone)]
struct Taken {
    height: u64,
    hash: B256,
    /// Edits that were made on its state.
    edits: Option<Edits>,
    /// Keeps the states that it may take from being forgotten.
    _held: Arc<[Held]>,
    /// How far ahead the clock was, in milliseconds.
    clock: i64,
}

/// Whose transactions need no signature.
#[derive(Debug, Default)]
struct Impersonated {
    everybody: bool,
    accounts: BTreeSet<Address>,
}

impl DevNode {
    /// Must be called within a runtime; the engine's answers are waited for on it.
    pub(crate) fn new(chain: Arc<Chain>, feed: Arc<Feed>, engine: Handle, mining: Mining) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self {
            chain,
            feed,
            engine,
            runtime,
            snapshots: Mutex::default(),
            mining: Mutex::new(mining),
            impersonated: Mutex::default(),
        }
    }

    /// Waits for the engine. The RPC calls from threads that may block.
    fn wait<T, E: std::fmt::Display>(&self, answer: impl Future<Output = Result<T, E>>) -> Result<T, String> {
        self.runtime.block_on(answer).map_err(sentence)
    }

    /// Runs something between two blocks.
    fn between_blocks<T: Send + 'static, E: std::fmt::Display + Send + 'static>(
        &self,
        task: impl FnOnce(&Chain) -> Result<T, E> + Send + 'static,
    ) -> Result<T, String> {
        let chain = self.chain.clone();
        self.wait(self.engine.exclusive(move || task(&chain)))?
            .map_err(sentence)
    }

    fn follow(&self) -> Result<(), String> {
        self.feed.follow().map_err(sentence)
    }

    /// Takes the pool to a state that changed without a block, and mines what that made ready.
    fn look_again(&self) -> Result<(), String> {
        self.feed.look_again().map_err(sentence)?;
        if self.feed.has_ready() {
            self.engine.transaction_arrived();
        }
        Ok(())
    }

    fn rewind(&self, to: impl FnOnce(&Chain) -> Option<u64> + Send + 'static) -> Result<(), String> {
        self.between_blocks(move |chain| match to(chain) {
            Some(height) => chain.rewind(height, None).map(|()| true),
            None => Ok::<_, ChainError>(false),
        })?
        .then_some(())
        .ok_or_else(|| "the chain has not so many blocks".to_owned())?;
        self.look_again()
    }
}

fn sentence(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl Control for DevNode {
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        let added = self.feed.submit(raw)?;
        if !added.ready.is_empty() {
            self.engine.transaction_arrived();
        }
        Ok(added.hash)
    }

    fn submit_at_once(&self, raw: &[u8]) -> Option<Result<B256, PoolError>> {
        self.feed.is_settled().then(|| self.submit(raw))
    }

    fn dev(&self) -> Option<&dyn DevControl> {
        Some(self)
    }
}

impl DevControl for DevNode {
    fn mine(&self, timestamp: Option<u64>) -> Result<(), String> {
        if let Some(seconds) = timestamp {
            self.wait(self.engine.set_next_timestamp(seconds))?;
        }
        self.wait(self.engine.mine(1, Duration::ZERO))?;
        self.follow()
    }

    fn settle(&self) -> Result<(), String> {
        self.wait(self.engine.mined())?;
        self.follow()
    }

    fn set_mining(&self, mode: MiningMode) -> Result<(), String> {
        let mining = match mode {
            MiningMode::Auto => Mining::Instant,
            MiningMode::Interval(interval) => Mining::Interval(interval),
            MiningMode::Manual => Mining::Manual,
        };
        // Under the lock, so that what is remembered is what the engine heard last.
        let mut current = self.mining.lock();
        self.engine.set_mining(mining).map_err(sentence)?;
        *current = mining;
        Ok(())
    }

    fn mining(&self) -> MiningMode {
        match *self.mining.lock() {
            Mining::Instant => MiningMode::Auto,
            Mining::Interval(interval) => MiningMode::Interval(interval),
            Mining::Manual => MiningMode::Manual,
        }
    }

    fn set_next(&self, next: NextBlock) -> Result<(), String> {
        let setting = match next {
            NextBlock::Coinbase(address) => Setting::Beneficiary(address),
            NextBlock::BaseFee(fee) => Setting::NextBaseFee(fee),
            NextBlock::PrevRandao(randomness) => Setting::NextRandomness(randomness),
            NextBlock::GasLimit(limit) => Setting::GasLimit(limit),
            NextBlock::Spacing(seconds) => Setting::Spacing(seconds),
        };
        self.engine.set(setting).map_err(sentence)
    }

    fn snapshot(&self) -> Result<u64, String> {
        let mut snapshots = self.snapshots.lock();
        let clock = self.wait(self.engine.clock_offset())?;
        let taken = self.between_blocks(move |chain| {
            let head = chain.head();
            let edits = chain.snapshot()?.edits(head.number())?;
            let edited = edits.as_ref().map(|edits| edits.root);
            let roots = std::iter::once(head.header().state_root).chain(edited);
            Ok::<_, ChainError>(Taken {
                height: head.number(),
                hash: head.hash(),
                edits,
                _held: roots.map(|root| chain.hold(root)).collect(),
                clock,
            })
        })?;
        snapshots.last += 1;
        let id = snapshots.last;
        snapshots.taken.insert(id, taken);
        Ok(id)
    }

    fn revert(&self, id: u64) -> Result<bool, String> {
        let mut snapshots = self.snapshots.lock();
        let Some(taken) = snapshots.taken.get(&id).cloned() else {
            return Ok(false);
        };
        snapshots.taken.split_off(&id);
        let clock = taken.clock;
        let rewound = self.between_blocks(move |chain| {
            // Heads of later snapshots are forgotten with them, so the block is there unless somebody else rewound.
            if chain.hash_of(taken.height)? != Some(taken.hash) {
                return Ok::<_, ChainError>(false);
            }
            chain.rewind(taken.height, taken.edits.as_ref()).map(|()| true)
        })?;
        if rewound {
            self.engine.set(Setting::ClockOffset(clock)).map_err(sentence)?;
        }
        self.look_again()?;
        Ok(rewound)
    }

    fn reset(&self) -> Result<(), String> {
        let mut snapshots = self.snapshots.lock();
        snapshots.taken.clear();
        self.feed.clear();
        *self.impersonated.lock() = Impersonated::default();
        self.engine.set(Setting::ClockOffset(0)).map_err(sentence)?;
        self.rewind(|chain| Some(chain.spec().genesis().number.unwrap_or_default()))
            .map_err(|reason| format!("cannot go back to the genesis: {reason}"))
    }

    fn rollback(&self, blocks: u64) -> Result<(), String> {
        self.rewind(move |chain| chain.head().number().checked_sub(blocks))
    }

    fn increase_time(&self, seconds: u64) -> Result<i64, String> {
        self.wait(self.engine.advance_time(Duration::from_secs(seconds)))
    }

    fn set_time(&self, timestamp: u64) -> Result<i64, String> {
        let last = self.chain.head().header().timestamp;
        if timestamp < last {
            return Err(format!("timestamp {timestamp} is before the last block's {last}"));
        }
        let time = Timestamp::from_seconds(timestamp);
        self.engine.set(Setting::Clock(time)).map_err(sentence)?;
        Ok(self.wait(self.engine.clock_offset())? / 1000)
    }

    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String> {
        self.wait(self.engine.set_next_timestamp(timestamp))
    }

    fn edit(&self, edits: Vec<StateEdit>) -> Result<(), String> {
        self.between_blocks(move |chain| chain.edit(&edits))?;
        self.look_again()
    }

    fn dump(&self) -> Result<Dump, String> {
        self.between_blocks(|chain| chain.export(&mut |_| ()))
            .map(|state| Dump::new(state.accounts, state.header.number))
    }

    fn impersonate(&self, address: Address, on: bool) -> bool {
        let accounts = &mut self.impersonated.lock().accounts;
        if on {
            !accounts.insert(address)
        } else {
            accounts.remove(&address)
        }
    }

    fn impersonate_all(&self, on: bool) {
        self.impersonated.lock().everybody = on;
    }

    fn impersonates(&self, address: Address) -> bool {
        let impersonated = self.impersonated.lock();
        impersonated.everybody || impersonated.accounts.contains(&address)
    }

    fn submit_impersonated(&self, transaction: Recovered<TxEnvelope>) -> Result<B256, PoolError> {
        let added = self.feed.submit_from(transaction)?;
        if !added.ready.is_empty() {
            self.engine.transaction_arrived();
        }
        Ok(added.hash)
    }
}
