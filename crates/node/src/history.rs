//! Which states a node keeps, and forgetting the others while it runs.
//!
//! A node that is not an archive prunes when it has twice as many states as it keeps, so that the work is spread over as many
//! blocks. Pruning walks the states that stay; a large one takes seconds, on a thread of its own and in small transactions,
//! beside blocks that are committed. Then it rests for at least twenty times as long as it took.

use std::{
    fmt,
    num::NonZeroU64,
    ops::ControlFlow,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use synod_chain::{Chain, ChainError, Pace, PruneReport};
use tokio::{
    sync::{
        broadcast::error::RecvError,
        watch::{self, Sender},
    },
    task::JoinHandle,
};

/// Rest after pruning, in multiples of what it took.
const REST: u32 = 20;

/// The states that a node keeps. Blocks and receipts are kept always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum History {
    /// All of them.
    #[default]
    Archive,
    /// Those after so many of the last blocks at least, and after twice as many at most.
    Last(NonZeroU64),
}

/// Neither a number of blocks nor `archive`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no history: give a number of blocks from 1 on, or `archive`")]
pub struct HistoryError(String);

/// As it is in a configuration file.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Blocks(u64),
    Word(String),
}

impl TryFrom<Written> for History {
    type Error = HistoryError;

    fn try_from(written: Written) -> Result<Self, HistoryError> {
        match written {
            Written::Blocks(blocks) => NonZeroU64::new(blocks)
                .map(Self::Last)
                .ok_or_else(|| HistoryError(blocks.to_string())),
            Written::Word(word) => word.parse(),
        }
    }
}

impl From<History> for Written {
    fn from(history: History) -> Self {
        match history {
            History::Archive => Self::Word(history.to_string()),
            History::Last(blocks) => Self::Blocks(blocks.get()),
        }
    }
}

impl FromStr for History {
    type Err = HistoryError;

    fn from_str(text: &str) -> Result<Self, HistoryError> {
        if text == "archive" {
            return Ok(Self::Archive);
        }
        text.parse()
            .map(Self::Last)
            .map_err(|_| HistoryError(text.to_owned()))
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Archive => f.write_str("archive"),
            Self::Last(blocks) => blocks.fmt(f),
        }
    }
}

/// Prunes a chain until it is stopped.
#[derive(Debug)]
pub(crate) struct Historian {
    stop: Sender<bool>,
    /// What a sweep looks at between two of its steps.
    stopped: Arc<AtomicBool>,
    task: Option<JoinHandle<()>>,
}

impl Historian {
    /// Begins, if there is something to forget.
    pub(crate) fn start(chain: &Arc<Chain>, history: History) -> Self {
        let (stop, stopping) = watch::channel(false);
        let stopped = Arc::new(AtomicBool::new(false));
        let task = match history {
            History::Archive => None,
            History::Last(blocks) => Some(tokio::spawn(forget(
                chain.clone(),
                blocks.get(),
                stopping,
                stopped.clone(),
            ))),
        };
        Self { stop, stopped, task }
    }

    /// Ends after the transaction at hand.
    pub(crate) async fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        // An error means that it has ended.
        let _ = self.stop.send(true);
        if let Some(task) = self.task {
            let _ = task.await;
        }
    }
}

async fn forget(chain: Arc<Chain>, blocks: u64, mut stop: watch::Receiver<bool>, stopped: Arc<AtomicBool>) {
    let mut events = chain.subscribe();
    loop {
        let (pruned, took) = {
            let (chain, stopped) = (chain.clone(), stopped.clone());
            let start = Instant::now();
            let pruned = tokio::task::spawn_blocking(move || prune_if_due(&chain, blocks, &stopped)).await;
            (pruned, start.elapsed())
        };
        let rest = match pruned {
            Ok(Ok(None)) => Duration::ZERO,
            Ok(Ok(Some(report))) => {
                tracing::info!(
                    oldest = report.oldest,
                    nodes = report.nodes_removed,
                    codes = report.codes_removed,
                    kept = report.nodes_kept,
                    ms = took.as_millis(),
                    "old states forgotten"
                );
                took * REST
            }
            Ok(Err(error)) => {
                // The engine writes to the same disk and decides what that means for the node.
                tracing::error!(%error, "old states cannot be forgotten");
                Duration::from_secs(60)
            }
            Err(_) => return,
        };
        let next = async {
            tokio::time::sleep(rest).await;
            !matches!(events.recv().await, Err(RecvError::Closed))
        };
        tokio::select! {
            open = next => if !open { return },
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Prunes when there are twice as many states as are to be kept.
fn prune_if_due(chain: &Chain, blocks: u64, stopped: &AtomicBool) -> Result<Option<PruneReport>, ChainError> {
    let oldest = chain.oldest_state()?;
    let head = chain.head().number();
    if head.saturating_sub(oldest) < blocks.saturating_mul(2) {
        return Ok(None);
    }
    let mut watch = |_| match stopped.load(Ordering::Acquire) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    chain.prune(blocks, Pace::BESIDE_A_CHAIN, &mut watch).map(Some)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct File {
        history: History,
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let last = |blocks| History::Last(NonZeroU64::new(blocks).unwrap());
        for (text, history) in [
            ("\"archive\"", History::Archive),
            ("1000", last(1000)),
            ("\"7\"", last(7)),
        ] {
            let file: File = toml::from_str(&format!("history = {text}")).unwrap();
            assert_eq!(file.history, history);
            let again: File = toml::from_str(&toml::to_string(&file).unwrap()).unwrap();
            assert_eq!(again.history, history);
            assert_eq!(history.to_string().parse::<History>().unwrap(), history);
        }
        for text in ["0", "\"0\"", "\"all\"", "-1", "\"\""] {
            assert!(
                toml::from_str::<File>(&format!("history = {text}")).is_err(),
                "{text}"
            );
        }
        let error = "all".parse::<History>().unwrap_err().to_string();
        assert!(error.contains("`archive`"), "{error}");
    }
}
