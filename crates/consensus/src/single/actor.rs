//! The loop: waits for a reason to make a block, and makes it on a blocking thread.

use super::{
    Clock, Config, EngineError, Handle, Mining, SystemClock,
    ingress::Message,
    state::{Mined, Miner},
};
use futures::FutureExt;
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use synod_chain::Application;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// A block that holds so many transactions was not made for one sender that waits for it: more are on their way.
const MANY: usize = 8;
/// Transactions have stopped arriving when none came for so long.
const LULL: Duration = Duration::from_millis(1);
/// How long the next block waits at most while transactions keep arriving.
const PATIENCE: Duration = Duration::from_millis(50);

/// A block that waits for more transactions.
///
/// What a block costs beside its transactions is a durable commit, and many small blocks leave less of the machine to those
/// who send. So after a block with many transactions the next one waits until they pause: what databases call group commit.
/// A sender that waits for each receipt never meets this.
#[derive(Clone, Copy, Debug)]
struct Filling {
    until: Instant,
    /// When to look whether any arrived.
    next: Instant,
}

impl Filling {
    fn after(mined: Option<Mined>) -> Option<Self> {
        let now = Instant::now();
        mined.filter(|mined| mined.transactions >= MANY).map(|_| Self {
            until: now + PATIENCE,
            next: now + LULL,
        })
    }

    /// Another while, unless it waited long enough.
    fn longer(self) -> Option<Self> {
        let next = self.next + LULL;
        (next <= self.until).then_some(Self { next, ..self })
    }
}

/// A single-node engine, ready to run.
pub struct Single {
    miner: Arc<Mutex<Miner>>,
    mining: Mining,
    messages: mpsc::UnboundedReceiver<Message>,
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single")
            .field("mining", &self.mining)
            .finish_non_exhaustive()
    }
}

/// Starts an engine with the machine's clock on the current runtime. The join handle ends when the last [`Handle`] is gone,
/// or with the fault that stopped the engine.
pub fn start(
    application: Arc<dyn Application>,
    config: Config,
) -> (Handle, JoinHandle<Result<(), EngineError>>) {
    let (engine, handle) = Single::new(application, Arc::new(SystemClock), config);
    (handle, tokio::spawn(engine.run()))
}

impl Single {
    /// An engine for an application, with a clock of the caller's choice.
    #[must_use]
    pub fn new(application: Arc<dyn Application>, clock: Arc<dyn Clock>, config: Config) -> (Self, Handle) {
        let (handle, messages, wake) = Handle::new();
        let miner = Arc::new(Mutex::new(Miner::new(application, clock, config.beneficiary)));
        (
            Self {
                miner,
                mining: config.mining,
                messages,
                wake,
            },
            handle,
        )
    }

    /// Runs until every handle is gone, or a fault.
    pub async fn run(mut self) -> Result<(), EngineError> {
        let mut tick = self.next_tick();
        let mut filling: Option<Filling> = None;
        loop {
            let instant = self.mining == Mining::Instant;
            tokio::select! {
                message = self.messages.recv() => match message {
                    None => return Ok(()),
                    Some(message) => {
                        if let Message::SetMining(_) = &message {
                            self.handle(message).await?;
                            tick = self.next_tick();
                            filling = None;
                            // Transactions may have waited under the old rule.
                            self.wake.notify_one();
                        } else {
                            self.handle(message).await?;
                        }
                    }
                },
                () = self.wake.notified(), if instant && filling.is_none() => {
                    filling = self.mine_waiting().await?;
                }
                () = sleep_until(filling.map_or_else(Instant::now, |filling| filling.next)), if filling.is_some() => {
                    let arrived = self.wake.notified().now_or_never().is_some();
                    filling = match filling.filter(|_| arrived).and_then(Filling::longer) {
                        Some(longer) => Some(longer),
                        None => self.mine_waiting().await?,
                    };
                }
                () = sleep_until(tick.unwrap_or_else(Instant::now)), if tick.is_some() => {
                    self.mine(false).await?;
                    tick = self.next_tick();
                }
            }
        }
    }

    fn next_tick(&self) -> Option<Instant> {
        match self.mining {
            Mining::Interval(interval) => Some(Instant::now() + interval),
            Mining::Instant | Mining::Manual => None,
        }
    }

    /// A block of what waits. One at a time, so that messages are not held up while the pool keeps filling: there is a reason
    /// for another when this one could not hold all.
    async fn mine_waiting(&self) -> Result<Option<Filling>, EngineError> {
        let mined = self.mine(true).await?;
        let filling = Filling::after(mined);
        if mined.is_some() && filling.is_none() {
            self.wake.notify_one();
        }
        Ok(filling)
    }

    async fn mine(&self, needs_transactions: bool) -> Result<Option<Mined>, EngineError> {
        self.blocking(move |miner| miner.mine(needs_transactions)).await
    }

    /// Runs something with the miner on a thread that may block. A panic there goes on here.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&mut Miner) -> T + Send + 'static) -> T {
        let miner = self.miner.clone();
        match tokio::task::spawn_blocking(move || work(&mut miner.lock())).await {
            Ok(done) => done,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn handle(&mut self, message: Message) -> Result<(), EngineError> {
        // Whoever asked may have gone; what was done is done, so replies are best effort.
        match message {
            Message::Mine {
                count,
                spacing,
                reply,
            } => {
                let mined = self
                    .blocking(move |miner| {
                        let mut mined = Vec::new();
                        for index in 0..count {
                            if index > 0 && spacing > Duration::ZERO {
                                miner.advance_time(spacing);
                            }
                            mined.extend(miner.mine(false)?.map(|mined| (mined.height, mined.digest)));
                        }
                        Ok::<_, EngineError>(mined)
                    })
                    .await?;
                let _ = reply.send(mined);
            }
            Message::MineWaiting { reply } => {
                if self.mining == Mining::Instant {
                    self.mine(true).await?;
                }
                let _ = reply.send(());
            }
            Message::SetMining(mining) => self.mining = mining,
            Message::AdvanceTime { by, reply } => {
                let _ = reply.send(self.miner.lock().advance_time(by));
            }
            Message::SetNextTimestamp { seconds, reply } => {
                let _ = reply.send(self.miner.lock().set_next_timestamp(seconds));
            }
            Message::ClockOffset { reply } => {
                let _ = reply.send(self.miner.lock().offset());
            }
            Message::Set(setting) => self.miner.lock().set(setting),
            Message::Exclusive(task) => self.blocking(move |_| task()).await,
        }
        Ok(())
    }
}
