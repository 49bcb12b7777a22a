//! `eth_subscribe`: heads, logs and waiting transactions as they come.
//!
//! A subscriber who reads too slowly is cut off rather than fed with gaps: it sees its subscription end, and knows that
//! it has to ask for what it missed. After a rewind of a development node, the logs that are gone are sent again with
//! `removed: true`, the youngest first, as Ethereum's nodes do in a reorganisation.

use alloy_primitives::B256;
use alloy_rpc_types_eth::{
    Filter, Log,
    pubsub::{Params, SubscriptionKind},
};
use jsonrpsee::{
    SubscriptionMessage,
    core::{
        SubscriptionResult, async_trait,
        server::{PendingSubscriptionSink, SubscriptionSink},
        traits::IdProvider,
    },
    proc_macros::rpc,
    types::{ErrorObjectOwned, SubscriptionId},
};
use serde::Serialize;
use synod_chain::{BlockData, ChainEvent};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::{backend::Backend, convert, error::RpcError, logs};

#[rpc(server, namespace = "eth")]
pub(crate) trait PubSubApi {
    #[subscription(name = "subscribe" => "subscription", unsubscribe = "unsubscribe", item = serde_json::Value)]
    async fn subscribe(&self, kind: SubscriptionKind, params: Option<Params>) -> SubscriptionResult;
}

/// The subscriptions' implementation.
#[derive(Debug, Clone)]
pub(crate) struct PubSub {
    backend: Backend,
}

impl PubSub {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }

    fn full_transaction(&self, hash: &B256) -> Option<alloy_rpc_types_eth::Transaction> {
        self.backend
            .pool
            .get(hash)
            .map(|transaction| convert::pending(&transaction))
    }
}

#[async_trait]
impl PubSubApiServer for PubSub {
    async fn subscribe(
        &self,
        pending: PendingSubscriptionSink,
        kind: SubscriptionKind,
        params: Option<Params>,
    ) -> SubscriptionResult {
        let params = params.unwrap_or_default();
        match (kind, params) {
            (SubscriptionKind::NewHeads, Params::None) => {
                let events = self.backend.chain.subscribe();
                let sink = pending.accept().await?;
                tokio::spawn(forward(sink, events, |event| match event {
                    ChainEvent::Finalized(data) => vec![convert::header(&data.block)],
                    // The blocks that replace the ones undone are announced when they come.
                    ChainEvent::Rewound(_) => Vec::new(),
                }));
            }
            (SubscriptionKind::Logs, params @ (Params::None | Params::Logs(_))) => {
                let filter = match params {
                    Params::Logs(filter) => *filter,
                    _ => Filter::new(),
                };
                let events = self.backend.chain.subscribe();
                let sink = pending.accept().await?;
                tokio::spawn(forward(sink, events, move |event| match event {
                    ChainEvent::Finalized(data) => block_logs(&data, &filter, false),
                    ChainEvent::Rewound(blocks) => blocks
                        .iter()
                        .flat_map(|data| block_logs(data, &filter, true))
                        .collect(),
                }));
            }
            (SubscriptionKind::NewPendingTransactions, params @ (Params::None | Params::Bool(_))) => {
                let events = self.backend.ready.subscribe();
                let sink = pending.accept().await?;
                if matches!(params, Params::Bool(true)) {
                    let this = self.clone();
                    tokio::spawn(forward(sink, events, move |hash| {
                        this.full_transaction(&hash).into_iter().collect::<Vec<_>>()
                    }));
                } else {
                    tokio::spawn(forward(sink, events, |hash| vec![hash]));
                }
            }
            (SubscriptionKind::Syncing, Params::None) => {
                // This node's chain is never behind itself.
                let sink = pending.accept().await?;
                let _ = sink.send(message(&sink, &false)?).await;
                sink.closed().await;
            }
            (kind, _) => {
                let error = RpcError::InvalidParams(format!("invalid parameters of the subscription {kind}"));
                pending.reject(ErrorObjectOwned::from(error)).await;
            }
        }
        Ok(())
    }
}

fn block_logs(data: &BlockData, filter: &Filter, removed: bool) -> Vec<Log> {
    if !filter.matches_bloom(data.header().logs_bloom) {
        return Vec::new();
    }
    let mut logs = logs::matching(data, filter);
    if removed {
        logs.reverse();
        logs.iter_mut().for_each(|log| log.removed = true);
    }
    logs
}

/// Sends what each event becomes to a subscriber until one of the two ends.
async fn forward<E: Clone, T: Serialize>(
    sink: SubscriptionSink,
    mut events: Receiver<E>,
    items: impl Fn(E) -> Vec<T>,
) {
    loop {
        let event = tokio::select! {
            () = sink.closed() => return,
            event = events.recv() => event,
        };
        let event = match event {
            Ok(event) => event,
            Err(RecvError::Lagged(missed)) => {
                tracing::debug!(missed, "a subscriber is too slow; its subscription ends");
                return;
            }
            Err(RecvError::Closed) => return,
        };
        for item in items(event) {
            let Ok(message) = message(&sink, &item) else {
                return;
            };
            if sink.send(message).await.is_err() {
                return;
            }
        }
    }
}

fn message(sink: &SubscriptionSink, item: &impl Serialize) -> Result<SubscriptionMessage, serde_json::Error> {
    SubscriptionMessage::new(sink.method_name(), sink.subscription_id(), item)
}

/// Names subscriptions as Ethereum's nodes do, by a hexadecimal string; some clients do not take a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HexIds;

impl IdProvider for HexIds {
    fn next_id(&self) -> SubscriptionId<'static> {
        format!("{:#x}", rand::random::<u128>()).into()
    }
}
