//! Threads for work that takes long.
//!
//! A call may run for seconds of a core. If such work ran where requests are read, or on as many threads as there are
//! requests, one client with many calls would stall all others. So it waits, without a thread, for one of a few places;
//! reads that only touch the disk never wait for one. How many places a single connection may hold is limited by
//! [`crate::fairness`].

use std::sync::Arc;

use tokio::sync::Semaphore;

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
        tokio::task::spawn_blocking(move || {
            // The place is held by the work, not by the request: a client that hangs up frees nothing early.
            let _place = place;
            work()
        })
        .await
        .map_err(RpcError::internal)?
    }
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
        assert_eq!(workers.run(|| Ok(7)).await.unwrap(), 7);
    }
}
