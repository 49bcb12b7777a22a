//! The lines between machines: how they behave, who hears what on them.

use commonware_p2p::{
    Message, Receiver as _, Recipients,
    simulated::{self, Link, SplitOrigin},
};
use commonware_runtime::{Clock as _, IoBuf, Spawner as _, Supervisor as _, deterministic::Context};
use commonware_utils::{Probability, probability};
use rand_core::Rng as _;
use std::{num::NonZeroUsize, sync::Arc, time::Duration};
use synod_consensus::simplex::{Channels, Identity};
use tokio::sync::mpsc;

pub(crate) type Sender = simulated::Sender<Identity, Context>;
pub(crate) type Receiver = simulated::Receiver<Identity>;

/// How links behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) latency_ms: u64,
    pub(crate) jitter_ms: u64,
    pub(crate) success: Probability,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            latency_ms: 10,
            jitter_ms: 5,
            success: probability!(1.0),
        }
    }
}

impl From<Links> for Link {
    fn from(links: Links) -> Self {
        Self {
            latency: Duration::from_millis(links.latency_ms),
            jitter: Duration::from_millis(links.jitter_ms),
            success_rate: links.success,
        }
    }
}

/// Whether what a twin sends to a peer arrives.
pub(crate) type Share = Arc<dyn Fn(&SplitOrigin, &Identity) -> bool + Send + Sync>;

/// Two senders in place of one. All nodes have these, whether their messages are shared out or not: the engine is compiled
/// once for each type of line, which takes minutes.
pub(crate) fn outgoing(
    sender: Sender,
    peers: Arc<[Identity]>,
    share: Share,
) -> [impl commonware_p2p::Sender<PublicKey = Identity> + use<>; 2] {
    let (first, second) = sender.split_with(
        move |origin: SplitOrigin, recipients: &Recipients<Identity>, _: &IoBuf| {
            let wanted = match recipients {
                Recipients::All => peers.to_vec(),
                Recipients::Some(some) => some.clone(),
                Recipients::One(one) => vec![one.clone()],
            };
            let some: Vec<_> = wanted.into_iter().filter(|peer| share(&origin, peer)).collect();
            (!some.is_empty()).then_some(Recipients::Some(some))
        },
    );
    [first, second]
}

/// Changes all lines in the same way, in a fixed order.
pub(crate) fn each<S, R, T, U>(
    lines: Channels<S, R>,
    mut change: impl FnMut((S, R)) -> (T, U),
) -> Channels<T, U> {
    Channels {
        votes: change(lines.votes),
        certificates: change(lines.certificates),
        resolver: change(lines.resolver),
        blocks: change(lines.blocks),
        backfill: change(lines.backfill),
        transactions: change(lines.transactions),
    }
}

/// Where messages come in.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// As they arrive.
    Straight(Receiver),
    /// Late, so that they overtake each other, and partly twice.
    Scrambled {
        messages: mpsc::UnboundedReceiver<Message<Identity>>,
        capacity: NonZeroUsize,
    },
}

impl Incoming {
    pub(crate) fn scrambled(mut self, runtime: &Context) -> Self {
        let (sender, messages) = mpsc::unbounded_channel();
        let capacity = commonware_p2p::Receiver::capacity(&self);
        runtime.child("line").spawn(move |mut runtime| async move {
            while let Ok(message) = self.recv().await {
                let copies = if runtime.next_u32().is_multiple_of(4) {
                    2
                } else {
                    1
                };
                for _ in 0..copies {
                    let delay = Duration::from_millis(u64::from(runtime.next_u32() % 300));
                    let (sender, message) = (sender.clone(), message.clone());
                    runtime.child("message").spawn(move |runtime| async move {
                        runtime.sleep(delay).await;
                        // An error means that the validator is gone.
                        let _ = sender.send(message);
                    });
                }
            }
        });
        Self::Scrambled { messages, capacity }
    }
}

impl commonware_p2p::Receiver for Incoming {
    type Error = std::io::Error;
    type PublicKey = Identity;

    async fn recv(&mut self) -> Result<Message<Identity>, Self::Error> {
        let message = match self {
            Self::Straight(receiver) => receiver.recv().await.ok(),
            Self::Scrambled { messages, .. } => messages.recv().await,
        };
        message.ok_or_else(|| std::io::ErrorKind::BrokenPipe.into())
    }

    fn capacity(&self) -> NonZeroUsize {
        match self {
            Self::Straight(receiver) => receiver.capacity(),
            Self::Scrambled { capacity, .. } => *capacity,
        }
    }
}
