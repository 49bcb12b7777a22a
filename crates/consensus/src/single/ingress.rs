//! What others may ask of the engine.

use super::Mining;
use alloy_primitives::{Address, B256};
use std::{sync::Arc, time::Duration};
use synod_chain::{Digest, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

/// The engine has stopped; its own error says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine has stopped; see the log for the reason")]
pub struct EngineStopped;

/// Why no block was made on request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MineError {
    /// The engine stopped.
    #[error(transparent)]
    Stopped(#[from] EngineStopped),
    /// The time asked for is before the last block's.
    #[error("timestamp {got} is before the last block's {least}")]
    TimeGoesBack {
        /// Seconds asked for.
        got: u64,
        /// The least allowed.
        least: u64,
    },
}

/// Something about the blocks to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Who gets their fees.
    Beneficiary(Address),
    /// The base fee of the next one, in wei a gas; EIP-1559 goes on from there.
    NextBaseFee(u64),
    /// `prevrandao` of the next one.
    NextRandomness(B256),
    /// The gas limit of all of them.
    GasLimit(u64),
    /// How many seconds each comes after the one before, whatever the clock says; `None` for the clock.
    Spacing(Option<u64>),
    /// How far ahead of the machine's clock the engine's is, in milliseconds.
    ClockOffset(i64),
    /// What the engine's clock shows now.
    Clock(Timestamp),
}

/// A task to run between two blocks.
pub(super) type Task = Box<dyn FnOnce() + Send>;

pub(super) enum Message {
    Mine {
        count: u64,
        spacing: Duration,
        reply: oneshot::Sender<Vec<(u64, Digest)>>,
    },
    MineWaiting {
        reply: oneshot::Sender<()>,
    },
    SetMining(Mining),
    AdvanceTime {
        by: Duration,
        reply: oneshot::Sender<i64>,
    },
    SetNextTimestamp {
        seconds: u64,
        reply: oneshot::Sender<Result<(), u64>>,
    },
    ClockOffset {
        reply: oneshot::Sender<i64>,
    },
    Set(Setting),
    Exclusive(Task),
}

/// A handle to a running engine. When the last one is dropped, the engine stops after the block at hand.
#[derive(Clone, Debug)]
pub struct Handle {
    messages: mpsc::UnboundedSender<Message>,
    wake: Arc<Notify>,
}

impl Handle {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>, Arc<Notify>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        (
            Self {
                messages,
                wake: wake.clone(),
            },
            receiver,
            wake,
        )
    }

    async fn ask<T>(&self, make: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, EngineStopped> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(make(reply)).map_err(|_| EngineStopped)?;
        answer.await.map_err(|_| EngineStopped)
    }

    /// Tells that the pool has something new. Cheap; wake-ups that come while a block is made count as one.
    pub fn transaction_arrived(&self) {
        self.wake.notify_one();
    }

    /// Makes `count` blocks, with or without transactions, each at least `spacing` after the one before. Returns their
    /// heights and digests; they are final and on the disk.
    pub async fn mine(&self, count: u64, spacing: Duration) -> Result<Vec<(u64, Digest)>, EngineStopped> {
        self.ask(|reply| Message::Mine {
            count,
            spacing,
            reply,
        })
        .await
    }

    /// Makes one block, with or without transactions.
    pub async fn mine_one(&self) -> Result<(), EngineStopped> {
        self.mine(1, Duration::ZERO).await.map(drop)
    }

    /// Returns when what could be mined at the time of the call is mined, if blocks follow transactions; else at once.
    pub async fn mined(&self) -> Result<(), EngineStopped> {
        self.ask(|reply| Message::MineWaiting { reply }).await
    }

    /// Changes when blocks are made.
    pub fn set_mining(&self, mining: Mining) -> Result<(), EngineStopped> {
        self.messages
            .send(Message::SetMining(mining))
            .map_err(|_| EngineStopped)
    }

    /// Moves the engine's clock forwards; returns how far ahead of the machine's it is in all, in seconds.
    pub async fn advance_time(&self, by: Duration) -> Result<i64, EngineStopped> {
        self.ask(|reply| Message::AdvanceTime { by, reply }).await
    }

    /// Gives the next block a time (seconds since 1970); the clock goes on from there.
    pub async fn set_next_timestamp(&self, seconds: u64) -> Result<(), MineError> {
        self.ask(|reply| Message::SetNextTimestamp { seconds, reply })
            .await?
            .map_err(|least| MineError::TimeGoesBack { got: seconds, least })
    }

    /// How far ahead of the machine's clock the engine's is, in milliseconds.
    pub async fn clock_offset(&self) -> Result<i64, EngineStopped> {
        self.ask(|reply| Message::ClockOffset { reply }).await
    }

    /// Settles something about the blocks that are made after this call.
    pub fn set(&self, setting: Setting) -> Result<(), EngineStopped> {
        self.messages
            .send(Message::Set(setting))
            .map_err(|_| EngineStopped)
    }

    /// Runs something between two blocks, on a thread that may block.
    pub async fn exclusive<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EngineStopped> {
        self.ask(|reply| {
            Message::Exclusive(Box::new(move || {
                // The asker may have gone; what was done is done.
                let _ = reply.send(task());
            }))
        })
        .await
    }
}
