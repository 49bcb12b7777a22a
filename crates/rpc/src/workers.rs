//! Where work is done: long work among a few places, small work at once.
//!
//! A call may run for seconds of a core. If such work ran where requests are read, or on as many threads as there are
//! requests, one client with many calls would stall all others. So it waits, without a thread, for one of a few places;
//! reads that only touch the disk never wait for one. How many places a single connection may hold is limited by
//! [`crate::fairness`].
//!
//! Waking a thread takes longer than most reads do. What is small for certain, whatever the client asks, is done where it was
//! asked ([`Workers::here`]): a read of the latest state, a call that something else stops when it is not small
//! ([`crate::brief`]).

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::Semaphore,
    task::{coop::consume_budget, spawn_blocking, yield_now},
};

use crate::error::{RpcError, RpcResult};

/// A few places for long work.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    places: Arc<Semaphore>,
}

impl Workers {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.max(1))),
        }
    }

    /// Runs `work` on a thread of its own when a place is free.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> RpcResult<T> + Send + 'static,
    ) -> RpcResult<T> {
        let place = self
            .places
            .clone()
            .acquire_owned()
            .await
            .map_err(RpcError::internal)?;
        spawn_blocking(move || {
            // The place is held by the work, not by the request: a client that hangs up frees nothing early.
            let _place = place;
            work()
        })
        .await
        .map_err(RpcError::internal)?
    }

    /// Runs `work` on a thread that may wait for the disk, without a place.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> RpcResult<T> + Send + 'static,
    ) -> RpcResult<T> {
        spawn_blocking(work).await.map_err(RpcError::internal)?
    }

    /// Does something small here and now, and then lets others have the thread: at once if it was not so small, else in its
    /// turn. A batch of small things is as long as a long one.
    pub(crate) async fn here<T>(&self, work: impl FnOnce() -> T) -> RpcResult<T> {
        let begun = Instant::now();
        // As on a thread of its own, a panic is the request's end and not the connection's.
        let done = catch_unwind(AssertUnwindSafe(work));
        if begun.elapsed() > SMALL {
            yield_now().await;
        } else {
            consume_budget().await;
        }
        done.map_err(|panic| RpcError::internal(message(&*panic)))
    }
}

/// What keeps nobody waiting.
const SMALL: Duration = Duration::from_micros(100);

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a panic: {}", text.as_deref().unwrap_or("without a message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_work_runs_than_there_are_places() {
        let workers = Workers::new(2);
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (workers, running, most) = (workers.clone(), running.clone(), most.clone());
                tokio::spawn(async move {
                    workers
                        .run(move || {
                            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                            std::thread::yield_now();
                            running.fetch_sub(1, Ordering::SeqCst);
                            Ok(())
                        })
                        .await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_frees_its_place() {
        let workers = Workers::new(1);
        let panicked = workers.run::<()>(|| panic!("a bug")).await;
        assert!(matches!(panicked, Err(RpcError::Internal(_))));
        let panicked = workers.here::<()>(|| panic!("a {} bug", "small")).await;
        let Err(RpcError::Internal(error)) = panicked else {
            panic!("{panicked:?}");
        };
        assert_eq!(error.to_string(), "a panic: a small bug");
        assert_eq!(workers.run(|| Ok(7)).await.unwrap(), 7);
    }
}
