//! Making one block after another, without a runtime.

use alloy_primitives::{Address, B256, Bytes, keccak256};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use synod_chain::{
    Application, BuildError, Context, Departures, Digest, Duty, Finalization, FinalizeError, Timestamp,
};

use super::ingress::Setting;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// When to make a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// As soon as a transaction can run. All that wait go into one block; while many arrive, a block waits a moment for more
    /// of them.
    Instant,
    /// At an interval, with or without transactions.
    Interval(Duration),
    /// When told.
    Manual,
}

/// How the engine runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// When to make a block.
    pub mining: Mining,
    /// Who gets the fees.
    pub beneficiary: Address,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mining: Mining::Instant,
            beneficiary: Address::ZERO,
        }
    }
}

/// A fault that ends the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No block could be built.
    #[error("cannot build a block: {0}")]
    Build(#[from] BuildError),
    /// A block could not be made final.
    #[error("cannot make a block final: {0}")]
    Finalize(#[from] FinalizeError),
}

/// A block that was made final.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mined {
    pub(super) height: u64,
    pub(super) digest: Digest,
    /// How many it holds.
    pub(super) transactions: usize,
}

/// The engine's state between two blocks.
pub(super) struct Miner {
    application: Arc<dyn Application>,
    clock: Arc<dyn Clock>,
    beneficiary: Address,
    /// Added to the clock, in milliseconds.
    offset: i64,
    /// The next block's time, when somebody asked for one.
    next: Option<Timestamp>,
    /// Seconds from one block to the next, when the clock is not asked.
    spacing: Option<u64>,
    /// What the next block's header does not take from its parent.
    departures: Departures,
    /// `prevrandao` of the next block, when somebody asked for one.
    randomness: Option<B256>,
}

impl Miner {
    pub(super) fn new(
        application: Arc<dyn Application>,
        clock: Arc<dyn Clock>,
        beneficiary: Address,
    ) -> Self {
        Self {
            application,
            clock,
            beneficiary,
            offset: 0,
            next: None,
            spacing: None,
            departures: Departures::default(),
            randomness: None,
        }
    }

    pub(super) fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Beneficiary(address) => self.beneficiary = address,
            Setting::NextBaseFee(fee) => self.departures.base_fee = Some(fee),
            Setting::NextRandomness(randomness) => self.randomness = Some(randomness),
            Setting::GasLimit(limit) => self.departures.gas_limit = Some(limit),
            Setting::Spacing(seconds) => self.spacing = seconds,
            Setting::ClockOffset(millis) => {
                self.offset = millis;
                self.next = None;
            }
            Setting::Clock(time) => self.go_on_from(time),
        }
    }

    /// How far ahead of the machine's clock this one is, in milliseconds.
    pub(super) const fn offset(&self) -> i64 {
        self.offset
    }

    fn go_on_from(&mut self, time: Timestamp) {
        let ahead = i128::from(time.0) - i128::from(self.clock.now().0);
        self.offset = i64::try_from(ahead).unwrap_or(if ahead > 0 { i64::MAX } else { i64::MIN });
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.clock.now().0.saturating_add_signed(self.offset))
    }

    /// Moves the clock forwards; returns how far ahead it is in all, in seconds.
    pub(super) fn advance_time(&mut self, by: Duration) -> i64 {
        let millis = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset = self.offset.saturating_add(millis);
        self.offset / 1000
    }

    /// The next block gets this time, and the clock goes on from there. `Err` with the least allowed when that is before
    /// the last block's.
    pub(super) fn set_next_timestamp(&mut self, seconds: u64) -> Result<(), u64> {
        let (_, _, last) = self.application.finalized_head();
        if seconds < last.seconds() {
            return Err(last.seconds());
        }
        // Within the last block's second, its milliseconds must not be undercut.
        self.next = Some(Timestamp::from_seconds(seconds).max(last));
        Ok(())
    }

    /// Makes a block final. `None` when only one with transactions was wanted and none can run.
    pub(super) fn mine(&mut self, needs_transactions: bool) -> Result<Option<Mined>, EngineError> {
        let (height, parent, last) = self.application.finalized_head();
        let spaced = self
            .spacing
            .map(|seconds| Timestamp(last.0.saturating_add(seconds.saturating_mul(1000))));
        let timestamp = self.next.or(spaced).unwrap_or_else(|| self.now()).max(last);
        let height = height.saturating_add(1);
        let context = Context {
            epoch: 0,
            view: height,
            parent,
            proposer: Bytes::new(),
            timestamp,
            randomness: self.randomness.unwrap_or_else(|| randomness(parent)),
            cancellation: Default::default(),
        };
        let duty = Duty {
            beneficiary: self.beneficiary,
            needs_transactions,
            departures: self.departures,
            ..Default::default()
        };
        let proposal = match self.application.build(&context, &duty) {
            Err(BuildError::NothingToDo) => return Ok(None),
            built => built?,
        };
        let (digest, transactions) = (proposal.digest(), proposal.block.body.transactions.len());
        self.application.finalized(&Finalization {
            height,
            digest,
            certificate: Bytes::new(),
        })?;
        self.departures = Departures::default();
        self.randomness = None;
        if self.next.take().is_some() {
            self.go_on_from(timestamp);
        }
        Ok(Some(Mined {
            height,
            digest,
            transactions,
        }))
    }
}

fn randomness(parent: Digest) -> B256 {
    keccak256([b"synod/single/randomness/1", parent.0.as_slice()].concat())
}
