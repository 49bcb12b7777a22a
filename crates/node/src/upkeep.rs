//! What a pool needs from time to time: that what waits too long behind a gap goes, and, where the node is configured so, that
//! what waits is written down, to be taken up again after a restart.
//!
//! The file is a JSON list of raw transactions in the order of arrival, replaced as a whole once a minute and when the node
//! stops. It is a courtesy to clients, who otherwise send again: what came after the last writing is lost with the process.

use std::{
    collections::VecDeque,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use alloy_primitives::Bytes;
use synod_chain::pool::Pool;
use tokio::{task::JoinHandle, time::Instant};

use crate::feed::Feed;

/// How often the pool is looked at.
const PERIOD: Duration = Duration::from_secs(60);

/// A pool that is looked after until this is stopped.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pool: Arc<Pool>,
    file: Option<PathBuf>,
    task: JoinHandle<()>,
}

impl Upkeep {
    /// Takes up what was written down before, and looks after the pool from now on.
    pub(crate) fn start(feed: &Arc<Feed>, file: Option<PathBuf>) -> Self {
        if let Some(file) = &file {
            take_up(feed, file);
        }
        let pool = feed.pool().clone();
        let task = tokio::spawn(look_after(pool.clone(), file.clone()));
        Self { pool, file, task }
    }

    /// Writes down what waits.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
        write_down(&self.pool, self.file.as_deref());
    }
}

async fn look_after(pool: Arc<Pool>, file: Option<PathBuf>) {
    let lifetime = pool.limits().queued_lifetime;
    // How many transactions had arrived at a time.
    let mut marks = VecDeque::new();
    loop {
        marks.push_back((Instant::now(), pool.arrivals()));
        tokio::time::sleep(PERIOD).await;
        while let Some((_, mark)) = marks.pop_front_if(|(time, _)| time.elapsed() >= lifetime) {
            let expired = pool.expire(mark).len();
            if expired > 0 {
                tracing::debug!(expired, "transactions waited too long behind a gap of nonces");
            }
        }
        let (pool, file) = (pool.clone(), file.clone());
        // An error means that the runtime ends.
        let _ = tokio::task::spawn_blocking(move || write_down(&pool, file.as_deref())).await;
    }
}

fn take_up(feed: &Feed, file: &Path) {
    let read = || -> io::Result<Vec<Bytes>> { Ok(serde_json::from_slice(&std::fs::read(file)?)?) };
    match read() {
        Ok(transactions) => {
            // Some were mined meanwhile.
            let taken = transactions.iter().filter(|raw| feed.submit(raw).is_ok()).count();
            tracing::info!(
                taken,
                of = transactions.len(),
                "waiting transactions taken up again"
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "cannot read the waiting transactions");
        }
    }
}

fn write_down(pool: &Pool, file: Option<&Path>) {
    let Some(file) = file else { return };
    let write = || -> io::Result<()> {
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&pool.journal())?)?;
        std::fs::rename(new, file)
    };
    if let Err(error) = write() {
        tracing::warn!(file = %file.display(), %error, "cannot write down the waiting transactions");
    }
}
