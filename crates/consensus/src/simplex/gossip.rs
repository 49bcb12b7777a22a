//! Transactions on their way to whoever proposes next.
//!
//! A node that takes a transaction from a client sends it to all validators. Everybody is connected with everybody, so
//! nothing is passed on: a transaction crosses the network once. One that was lost on the way is sent again by the node
//! that took it, as long as it waits there ([`Transactions::waiting`]). Peers take so many a second; what is beyond that waits here.
//!
//! A peer's transaction is judged like a client's. A bad one costs its check and is dropped; peers are validators, and
//! their number and message rate are bounded.

use super::Identity;
use alloy_primitives::Bytes;
use commonware_macros::select;
use commonware_p2p::{CheckedSender as _, LimitedSender, Receiver, Recipients};
use commonware_runtime::{Clock, IoBuf, Spawner};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

use super::application::blocking;

/// How often what still waits is sent again.
const REPEAT: Duration = Duration::from_secs(2);

/// Transactions that are sent again in one round, at most.
const REPEATED: usize = 512;

/// The node's pool, as gossip sees it.
pub trait Transactions: Send + Sync + 'static {
    /// A peer sent a transaction (EIP-2718 bytes). May block.
    fn received(&self, raw: &[u8]);

    /// Transactions that clients gave to this node and that still wait, at most `limit`.
    fn waiting(&self, limit: usize) -> Vec<Bytes>;
}

/// Sends transactions to the validators. Clones share the line.
#[derive(Clone, Debug)]
pub struct Gossip(mpsc::Sender<Bytes>);

impl Gossip {
    pub(super) fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(4096);
        (Self(sender), receiver)
    }

    /// Sends a transaction to all validators. When the line is full it is left out now, and sent with those that are repeated.
    pub fn send(&self, raw: Bytes) {
        // An error means that the line is full or the engine has ended.
        let _ = self.0.try_send(raw);
    }
}

/// Moves transactions both ways, until the network ends.
pub(super) async fn run<E: Spawner + Clock>(
    runtime: E,
    mut outgoing: mpsc::Receiver<Bytes>,
    transactions: Arc<dyn Transactions>,
    (mut sender, mut receiver): (
        impl LimitedSender<PublicKey = Identity>,
        impl Receiver<PublicKey = Identity>,
    ),
) {
    let mut repeat: SystemTime = runtime.current() + REPEAT;
    let mut again: VecDeque<Bytes> = VecDeque::new();
    // when the peers take more, if they do not now
    let mut until: Option<SystemTime> = None;
    loop {
        // those first that wait
        let own = async {
            if until.is_some() {
                return std::future::pending().await;
            }
            match again.pop_front() {
                Some(raw) => Some(raw),
                None => outgoing.recv().await,
            }
        };
        select! {
            own = own => match own {
                Some(raw) => {
                    if let Err(later) = broadcast(&mut sender, &raw) {
                        until = Some(later);
                        again.push_front(raw);
                    }
                }
                None => return,
            },
            _ = runtime.sleep_until(until.unwrap_or(repeat)) => match until.take() {
                Some(_) => {}
                None => {
                    let transactions = transactions.clone();
                    again.extend(blocking(&runtime, move || transactions.waiting(REPEATED)).await);
                    repeat = runtime.current() + REPEAT;
                }
            },
            message = receiver.recv() => match message {
                Ok((_, raw)) => {
                    let transactions = transactions.clone();
                    blocking(&runtime, move || transactions.received(raw.as_ref())).await;
                }
                Err(_) => return,
            },
        }
    }
}

/// Sends a transaction to all peers, or says when they take it. To those of them whose share of the channel alone is used up it comes
/// with the repetition.
fn broadcast(sender: &mut impl LimitedSender<PublicKey = Identity>, raw: &Bytes) -> Result<(), SystemTime> {
    let peers = sender.check(Recipients::All)?;
    let _ = peers.send(IoBuf::from(raw.0.clone()), false);
    Ok(())
}
