//! What operators watch: `/metrics`, `/health`, `/ready`.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_primitives::{B256, Bytes, U64};
use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use synod_chain::{Chain, Timestamp, pool::Pool};
use synod_consensus::simplex::{Committee, Identity, Observer};
use synod_rpc::Evidence;
use tokio::{net::TcpListener, task::JoinHandle};

use super::evidence::EvidenceStore;

/// Upper bounds of the finality histogram, in milliseconds.
const LATENCIES: [u64; 12] = [25, 50, 100, 200, 300, 400, 500, 750, 1000, 2000, 5000, 10_000];

/// A chain whose last block is older than this many certification timeouts stands still.
const STALLED_AFTER: u32 = 10;

/// Gives the text of the metrics that the runtime keeps.
pub(super) type Encode = Box<dyn Fn() -> String + Send + Sync>;

/// Everything that is counted.
pub(super) struct Watch {
    /// Of the epoch that runs.
    committee: RwLock<Arc<Committee>>,
    chain: Arc<Chain>,
    pool: Arc<Pool>,
    votes: AtomicBool,
    epoch: AtomicU64,
    view: AtomicU64,
    nullified: AtomicU64,
    evidence: Arc<EvidenceStore>,
    blocks: AtomicU64,
    transactions: AtomicU64,
    latency_sum_ms: AtomicU64,
    latencies: [AtomicU64; LATENCIES.len()],
    runtime: Mutex<Option<Encode>>,
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Observer for Watch {
    fn evidence(&self, offender: &Identity, kind: &'static str, (epoch, view): (u64, u64), proof: Bytes) {
        let committee = self.committee.read().clone();
        let name = committee.name(offender).unwrap_or("a stranger");
        let evidence = Evidence {
            validator: name.to_owned(),
            identity: B256::from_slice(offender),
            kind: kind.to_owned(),
            epoch: U64::from(epoch),
            view: U64::from(view),
            proof: proof.clone(),
        };
        if self.evidence.add(evidence) {
            tracing::error!(validator = name, kind, epoch, view, %proof, "a validator broke the protocol: this is proof");
        }
    }

    fn epoch(&self, epoch: u64, committee: &Arc<Committee>, votes: bool) {
        *self.committee.write() = committee.clone();
        self.epoch.store(epoch, Relaxed);
        self.view.store(0, Relaxed);
        self.votes.store(votes, Relaxed);
    }

    fn view(&self, view: u64, nullified: bool) {
        self.view.fetch_max(view, Relaxed);
        if nullified {
            self.nullified.fetch_add(1, Relaxed);
            tracing::info!(view, "a view ended without a block");
        }
    }

    fn finalization(&self, _: u64, _: &[Identity]) {}
}

impl Watch {
    pub(super) fn new(
        committee: Arc<Committee>,
        chain: Arc<Chain>,
        pool: Arc<Pool>,
        evidence: Arc<EvidenceStore>,
    ) -> Self {
        Self {
            committee: RwLock::new(committee),
            chain,
            pool,
            votes: AtomicBool::default(),
            epoch: AtomicU64::default(),
            view: AtomicU64::default(),
            nullified: AtomicU64::default(),
            evidence,
            blocks: AtomicU64::default(),
            transactions: AtomicU64::default(),
            latency_sum_ms: AtomicU64::default(),
            latencies: Default::default(),
            runtime: Mutex::default(),
        }
    }

    /// The runtime's own metrics are to be shown as well.
    pub(super) fn show(&self, runtime: Encode) {
        *self.runtime.lock() = Some(runtime);
    }

    /// A block became final here.
    pub(super) fn finalized(&self, transactions: usize) {
        self.blocks.fetch_add(1, Relaxed);
        self.transactions
            .fetch_add(u64::try_from(transactions).unwrap_or(u64::MAX), Relaxed);
        let (_, Timestamp(made)) = self.chain.head_digest();
        let latency = now().0.saturating_sub(made);
        self.latency_sum_ms.fetch_add(latency, Relaxed);
        for (bound, count) in LATENCIES.iter().zip(&self.latencies) {
            if latency <= *bound {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// Whether the node votes in the epoch that runs.
    pub(super) fn votes(&self) -> bool {
        self.votes.load(Relaxed)
    }

    fn age(&self) -> Duration {
        let (_, Timestamp(made)) = self.chain.head_digest();
        Duration::from_millis(now().0.saturating_sub(made))
    }

    fn stalled(&self) -> bool {
        let timeout = Duration::from_millis(self.committee.read().params().certification_timeout_ms);
        self.age() > timeout * STALLED_AFTER
    }

    /// In Prometheus' text form.
    fn encode(&self) -> String {
        let mut text = self
            .runtime
            .lock()
            .as_ref()
            .map(|encode| encode())
            .unwrap_or_default();
        // OpenMetrics ends with a line that nothing may follow.
        if let Some(end) = text.find("# EOF") {
            text.truncate(end);
        }
        let pool = self.pool.status();
        let blocks = self.blocks.load(Relaxed);
        let values = [
            (
                "height",
                "gauge",
                "Height of the last final block",
                self.chain.head().number(),
            ),
            ("epoch", "gauge", "Epoch that runs", self.epoch.load(Relaxed)),
            (
                "view",
                "gauge",
                "Last view of the epoch that ended",
                self.view.load(Relaxed),
            ),
            (
                "votes",
                "gauge",
                "1 if this node votes, 0 if it follows",
                u64::from(self.votes()),
            ),
            (
                "validators",
                "gauge",
                "Validators of the epoch that runs",
                u64::from(self.committee.read().size()),
            ),
            (
                "unfinalised_blocks",
                "gauge",
                "Blocks that wait to become final",
                u64::try_from(self.chain.unfinalised()).unwrap_or(u64::MAX),
            ),
            (
                "final_block_age_seconds",
                "gauge",
                "Age of the last final block",
                self.age().as_secs(),
            ),
            (
                "pool_ready",
                "gauge",
                "Transactions that can be mined now",
                u64::try_from(pool.ready).unwrap_or(u64::MAX),
            ),
            (
                "views_without_block_total",
                "counter",
                "Views that ended without a block",
                self.nullified.load(Relaxed),
            ),
            (
                "evidence",
                "gauge",
                "Proofs that a validator broke the protocol",
                u64::try_from(self.evidence.all().len()).unwrap_or(u64::MAX),
            ),
            (
                "blocks_total",
                "counter",
                "Blocks that became final since the start",
                blocks,
            ),
            (
                "transactions_total",
                "counter",
                "Transactions that became final since the start",
                self.transactions.load(Relaxed),
            ),
        ];
        for (name, kind, help, value) in values {
            let _ = writeln!(
                text,
                "# HELP synod_{name} {help}.\n# TYPE synod_{name} {kind}\nsynod_{name} {value}"
            );
        }
        let name = "synod_finality_seconds";
        let _ = writeln!(
            text,
            "# HELP {name} From a block's time to its durable finality on this node.\n# TYPE {name} histogram"
        );
        for (bound, count) in LATENCIES.iter().zip(&self.latencies) {
            let seconds = *bound as f64 / 1000.0;
            let _ = writeln!(text, "{name}_bucket{{le=\"{seconds}\"}} {}", count.load(Relaxed));
        }
        let sum = self.latency_sum_ms.load(Relaxed) as f64 / 1000.0;
        let _ = writeln!(
            text,
            "{name}_bucket{{le=\"+Inf\"}} {blocks}\n{name}_sum {sum}\n{name}_count {blocks}"
        );
        text
    }

    fn health(&self) -> Value {
        json!({
            "height": self.chain.head().number(),
            "epoch": self.epoch.load(Relaxed),
            "view": self.view.load(Relaxed),
            "finalBlockAgeMs": u64::try_from(self.age().as_millis()).unwrap_or(u64::MAX),
            "votes": self.votes(),
            "moves": !self.stalled(),
        })
    }
}

/// Answers operators on a bound socket until the task is aborted.
pub(super) fn serve(listener: TcpListener, address: SocketAddr, watch: Arc<Watch>) -> JoinHandle<()> {
    let ready = |State(watch): State<Arc<Watch>>| async move {
        let code = if watch.stalled() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        (code, Json(watch.health()))
    };
    let router = Router::new()
        .route(
            "/metrics",
            get(|State(watch): State<Arc<Watch>>| async move { watch.encode() }),
        )
        // The process answers, so the engine runs: when it ends, so does the process.
        .route(
            "/health",
            get(|State(watch): State<Arc<Watch>>| async move { Json(watch.health()) }),
        )
        .route("/ready", get(ready))
        .with_state(watch);
    tracing::info!(%address, "metrics are served");
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "metrics are no longer served");
        }
    })
}
