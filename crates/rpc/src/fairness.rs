//! One connection gets a share of the node, not all of it.
//!
//! jsonrpsee answers the requests of a WebSocket connection as fast as they come, all at once. Without this layer one
//! client could put thousands of calls in the line for the [`crate::workers`] before another client's first. A
//! connection may have a few requests in work at a time; the others wait in its own line.

use std::sync::Arc;

use jsonrpsee::{
    core::middleware::{Batch, Notification, RpcServiceT},
    types::Request,
};
use tokio::sync::Semaphore;
use tower::Layer;

/// Makes a [`Fair`] service for each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FairLayer {
    /// Requests of one connection in work at a time.
    pub(crate) in_work: usize,
}

impl<S> Layer<S> for FairLayer {
    type Service = Fair<S>;

    fn layer(&self, service: S) -> Fair<S> {
        Fair {
            service: Arc::new(service),
            places: Arc::new(Semaphore::new(self.in_work.max(1))),
        }
    }
}

/// A connection's service with a limit of its own.
#[derive(Debug)]
pub(crate) struct Fair<S> {
    service: Arc<S>,
    places: Arc<Semaphore>,
}

impl<S> Clone for Fair<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            places: self.places.clone(),
        }
    }
}

impl<S> RpcServiceT for Fair<S>
where
    S: RpcServiceT + Send + Sync + 'static,
{
    type MethodResponse = S::MethodResponse;
    type NotificationResponse = S::NotificationResponse;
    type BatchResponse = S::BatchResponse;

    fn call<'a>(&self, request: Request<'a>) -> impl Future<Output = Self::MethodResponse> + Send + 'a {
        let Self { service, places } = self.clone();
        async move {
            // The semaphore is never closed; were it, the request would still be right to answer.
            let _place = places.acquire_owned().await.ok();
            service.call(request).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let Self { service, places } = self.clone();
        async move {
            // A batch is worked off one request after another, so it takes one place.
            let _place = places.acquire_owned().await.ok();
            service.batch(batch).await
        }
    }

    fn notification<'a>(
        &self,
        notification: Notification<'a>,
    ) -> impl Future<Output = Self::NotificationResponse> + Send + 'a {
        self.service.notification(notification)
    }
}
