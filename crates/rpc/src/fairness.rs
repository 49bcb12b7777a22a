//! One connection gets a share of the node, not all of it.
//!
//! jsonrpsee answers the requests of a WebSocket connection as fast as they come, all at once. Without this layer one
//! client could put thousands of calls in the line for the [`crate::workers`] before another client's first. A
//! connection may have a few requests in work at a time; the others wait in its own line. It may also be held to a rate:
//! who asks faster is answered later, not refused.

use std::{sync::Arc, time::Duration};

use jsonrpsee::{
    core::middleware::{Batch, Notification, RpcServiceT},
    types::Request,
};
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};
use tower::Layer;

/// Makes a [`Fair`] service for each connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FairLayer {
    /// Requests of one connection in work at a time.
    pub(crate) in_work: usize,
    /// Requests of one connection in a second, those of a batch counted; 0 for as many as it likes.
    pub(crate) rate: u32,
}

impl<S> Layer<S> for FairLayer {
    type Service = Fair<S>;

    fn layer(&self, service: S) -> Fair<S> {
        Fair {
            service: Arc::new(service),
            places: Arc::new(Semaphore::new(self.in_work.max(1))),
            pace: Arc::new(Pace::new(self.rate)),
        }
    }
}

/// When a connection's next request may begin. What was not used is kept for one second.
#[derive(Debug)]
struct Pace {
    /// Time of one request; zero without a limit.
    interval: Duration,
    next: Mutex<Instant>,
}

impl Pace {
    fn new(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1).checked_div(rate).unwrap_or_default(),
            next: Mutex::new(Instant::now()),
        }
    }

    /// Returns when so many requests may begin.
    async fn turn(&self, requests: u32) {
        if !self.interval.is_zero() {
            tokio::time::sleep_until(self.reserve(Instant::now(), requests)).await;
        }
    }

    /// When requests that come now may begin.
    fn reserve(&self, now: Instant, requests: u32) -> Instant {
        let kept = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let mut next = self.next.lock();
        let begin = (*next).max(kept);
        *next = begin + self.interval * requests;
        begin
    }
}

/// A connection's service with a limit of its own.
#[derive(Debug)]
pub(crate) struct Fair<S> {
    service: Arc<S>,
    places: Arc<Semaphore>,
    pace: Arc<Pace>,
}

impl<S> Clone for Fair<S> {
    fn clone(&self) -> Self {
        Self {
            service: self.service.clone(),
            places: self.places.clone(),
            pace: self.pace.clone(),
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
        let Self {
            service,
            places,
            pace,
        } = self.clone();
        async move {
            // The semaphore is never closed; were it, the request would still be right to answer.
            let _place = places.acquire_owned().await.ok();
            pace.turn(1).await;
            service.call(request).await
        }
    }

    fn batch<'a>(&self, batch: Batch<'a>) -> impl Future<Output = Self::BatchResponse> + Send + 'a {
        let Self {
            service,
            places,
            pace,
        } = self.clone();
        async move {
            // A batch is worked off one request after another, so it takes one place.
            let _place = places.acquire_owned().await.ok();
            pace.turn(u32::try_from(batch.len()).unwrap_or(u32::MAX)).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_held_to_its_rate() {
        let pace = Pace::new(10);
        let start = *pace.next.lock();
        let tenths = Duration::from_millis(100);
        // The first begins at once, the thirtieth 29 tenths of a second later, if all come at once.
        let mut last = start;
        for _ in 0..30 {
            last = pace.reserve(start, 1);
        }
        assert_eq!(last, start + tenths * 29);
        // What was not used is kept for a second and no longer; a batch counts as what is in it.
        let later = start + Duration::from_secs(60);
        assert!(pace.reserve(later, 10) <= later);
        assert!(pace.reserve(later, 5) <= later);
        assert_eq!(pace.reserve(later, 1), later + tenths * 5);
    }

    #[test]
    fn without_a_limit_there_is_no_interval() {
        assert!(Pace::new(0).interval.is_zero());
    }
}
