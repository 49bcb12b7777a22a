//! The loop: waits for a reason to make a block, and makes it on a blocking thread.

use super::{Clock, Config, EngineError, Handle, Mining, SystemClock, ingress::Message, state::Miner};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use synod_chain::Application;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

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
        loop {
            let instant = self.mining == Mining::Instant;
            tokio::select! {
                message = self.messages.recv() => match message {
                    None => return Ok(()),
                    Some(message) => {
                        if let Message::SetMining(_) = &message {
                            self.handle(message).await?;
                            tick = self.next_tick();
                            // Transactions may have waited under the old rule.
                            self.wake.notify_one();
                        } else {
                            self.handle(message).await?;
                        }
                    }
                },
                () = self.wake.notified(), if instant => {
                    // One block at a time, so that messages are not held up while the pool keeps filling.
                    if self.mine(true).await?.is_some() {
                        self.wake.notify_one();
                    }
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

    async fn mine(
        &self,
        needs_transactions: bool,
    ) -> Result<Option<(u64, synod_chain::Digest)>, EngineError> {
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
                            mined.extend(miner.mine(false)?);
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
