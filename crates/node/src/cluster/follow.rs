//! A node outside the committee: it fetches final blocks from other nodes, checks them, and serves them.
//!
//! ```text
//!   clients ──► RPC ──► submit ──► pool ──► relay ──eth_sendRawTransaction──► sources
//!                │                                                              │ synod_getFinalBlocks
//!                └──── reads ──── Chain ◄── Follower: certificates, execution ◄─┘
//! ```
//!
//! It needs no key, and nobody needs to know of it. What a source says is believed as far as the committee signed it and this
//! node computed the same; a source that is silent or lies costs time, and the next one is asked.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use alloy_primitives::{B256, Bytes, U64};
use alloy_provider::{DynProvider, Provider as _, ProviderBuilder};
use synod_chain::{Chain, ChainApplication, ChainEvent, ChainSpec, pool, pool::PoolError};
use synod_consensus::simplex::{Committee, Committees, FinalBlock, FollowError, Follower};
use synod_rpc::{Backend, Control, DevControl, RpcServer, Wallet};
use tokio::{
    sync::{
        broadcast::{self, error::RecvError},
        mpsc,
    },
    task::JoinHandle,
};

use super::metrics::{self, Watch};
use crate::{
    History, NodeError,
    cluster::evidence::EvidenceStore,
    feed::Feed,
    history::Historian,
    node::{READY_EVENTS, bind, open_chain},
};

/// How soon a source is asked again when it had nothing new.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a source that failed is left alone, when there is no other.
const PENALTY: Duration = Duration::from_secs(2);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Transactions on their way to a source.
const RELAYED: usize = 4096;

/// Configuration of a node that follows a cluster.
#[derive(Clone, Debug)]
pub struct FollowConfig {
    /// Where other nodes of the chain answer clients.
    pub sources: Vec<String>,
    /// The rules of the chain, its genesis and its validators included. It is the only thing that is believed.
    pub spec: ChainSpec,
    /// Where the chain is kept.
    pub data_dir: PathBuf,
    /// Where to listen for clients.
    pub rpc_listen: SocketAddr,
    /// What clients may ask for.
    pub rpc: synod_rpc::Limits,
    /// Where to answer operators.
    pub metrics_listen: Option<SocketAddr>,
    /// Which states are kept.
    pub history: History,
}

/// A running node that follows a cluster.
#[derive(Debug)]
pub struct FollowNode {
    chain: Arc<Chain>,
    server: RpcServer,
    metrics: Option<JoinHandle<()>>,
    following: Option<JoinHandle<FollowError>>,
    others: Vec<JoinHandle<()>>,
    historian: Historian,
}

/// The node's answer to its clients' transactions: they are checked, and sent on.
struct Relay {
    feed: Arc<Feed>,
    line: mpsc::Sender<Bytes>,
}

impl Control for Relay {
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError> {
        let added = self.feed.submit(raw)?;
        if self.line.try_send(Bytes::copy_from_slice(raw)).is_err() {
            tracing::warn!(hash = %added.hash, "too many transactions are on their way: this one stays here");
        }
        Ok(added.hash)
    }

    fn dev(&self) -> Option<&dyn DevControl> {
        None
    }
}

impl FollowNode {
    /// Starts a node. When this returns, it answers clients and begins to fetch.
    ///
    /// # Errors
    /// A port or a folder in use, a folder of another chain, a disk that fails, a source that is no address.
    pub async fn start(config: FollowConfig) -> Result<Self, NodeError> {
        let sources = config
            .sources
            .iter()
            .map(|url| connect(url))
            .collect::<Result<Vec<_>, _>>()?;
        let listener = bind(config.rpc_listen).await?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some((bind(address).await?, address)),
            None => None,
        };
        let chain = open_chain(config.data_dir.join("chain"), config.spec.clone()).await?;
        let committee = Arc::new(Committee::of_genesis(&chain)?);
        let ready = broadcast::Sender::new(READY_EVENTS);
        let feed = Arc::new(Feed::new(chain.clone(), pool::Limits::default(), ready.clone())?);
        let application = Arc::new(ChainApplication::new(chain.clone(), feed.clone()));
        let head = chain.head().number();
        let head = chain.proposal(head)?.ok_or(NodeError::Panicked("head"))?;
        let block_size_limit = config
            .spec
            .block_size_limit(0, config.spec.genesis().timestamp)
            .unwrap_or(usize::MAX);
        let evidence_file = config.data_dir.join("evidence.jsonl");
        let evidence = EvidenceStore::open(&evidence_file).map_err(|source| NodeError::Folder {
            path: evidence_file,
            source,
        })?;
        let watch = Arc::new(Watch::new(
            committee.clone(),
            chain.clone(),
            feed.pool().clone(),
            Arc::new(evidence),
        ));
        let committees = Committees::new(application, committee);
        let follower = Follower::new(committees, head, block_size_limit);
        let (line, relayed) = mpsc::channel(RELAYED);
        let events = chain.subscribe();
        let historian = Historian::start(&chain, config.history);
        let following = tokio::spawn(follow(follower, sources.clone()));
        let others = vec![
            tokio::spawn(relay(relayed, sources)),
            tokio::spawn(keep_pool(feed.clone(), events, watch.clone())),
        ];
        let backend = Backend {
            chain: chain.clone(),
            pool: feed.pool().clone(),
            control: Arc::new(Relay { feed, line }),
            ready,
            wallet: Arc::new(Wallet::empty()),
        };
        let address = config.rpc_listen;
        let server = RpcServer::start(listener, backend, config.rpc)
            .map_err(|source| NodeError::Listen { address, source })?;
        let metrics = metrics_listener.map(|(listener, address)| metrics::serve(listener, address, watch));
        tracing::info!(address = %server.address(), height = chain.head().number(), "the node answers and follows");
        Ok(Self {
            chain,
            server,
            metrics,
            following: Some(following),
            others,
            historian,
        })
    }

    /// Where it answers clients, over HTTP and WebSocket.
    #[must_use]
    pub const fn http_addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its chain.
    #[must_use]
    pub const fn chain(&self) -> &Arc<Chain> {
        &self.chain
    }

    /// Returns when the node cannot go on by itself; it must be stopped then. Tells once.
    ///
    /// # Errors
    /// With the fault.
    pub async fn stopped(&mut self) -> Result<(), NodeError> {
        let Some(following) = &mut self.following else {
            return std::future::pending().await;
        };
        let ended = following.await;
        self.following = None;
        match ended {
            Ok(error) => Err(error.into()),
            Err(_) => Err(NodeError::Panicked("follower")),
        }
    }

    /// Stops the node: no more requests, the block at hand finished, the folder let go.
    pub async fn stop(self) {
        self.server.stop().await;
        self.historian.stop().await;
        for task in self.others.into_iter().chain(self.metrics) {
            task.abort();
            let _ = task.await;
        }
        if let Some(following) = self.following {
            // A block that is being written is written to its end by its own thread, which holds the chain.
            following.abort();
            let _ = following.await;
        }
        tracing::info!("the node has stopped");
    }
}

fn connect(url: &str) -> Result<DynProvider, NodeError> {
    let wrong = || NodeError::Source(url.to_owned());
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(wrong());
    }
    let address = url.parse().map_err(|_| wrong())?;
    Ok(ProviderBuilder::new()
        .disable_recommended_fillers()
        .connect_http(address)
        .erased())
}

/// Fetches and takes blocks until this node's own fault ends it.
async fn follow(mut follower: Follower, sources: Vec<DynProvider>) -> FollowError {
    let mut failures = 0;
    for source in sources.iter().cycle() {
        loop {
            let wanted = follower.wanted();
            let answer = fetch(source, wanted).await;
            let blocks = match answer {
                Ok(blocks) => blocks,
                Err(error) => {
                    tracing::warn!(wanted, error, "a source does not answer");
                    break;
                }
            };
            if blocks.is_empty() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            // Executing takes long, and must not be left half done when this task is aborted.
            let taking = tokio::task::spawn_blocking(move || {
                let taken = follower.take(&blocks);
                (follower, taken)
            });
            let taken;
            (follower, taken) = match taking.await {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            match taken {
                Ok(count) => {
                    failures = 0;
                    tracing::info!(height = follower.wanted() - 1, count, "followed");
                }
                Err(error) if error.is_of_the_source() => {
                    tracing::warn!(%error, "a source gives what is not the chain");
                    break;
                }
                Err(error) => return error,
            }
        }
        failures += 1;
        if failures % sources.len() == 0 {
            tokio::time::sleep(PENALTY).await;
        }
    }
    FollowError::NoCertificate
}

async fn fetch(source: &DynProvider, from: u64) -> Result<Vec<FinalBlock>, String> {
    let request = source.raw_request("synod_getFinalBlocks".into(), (U64::from(from),));
    match tokio::time::timeout(PATIENCE, request).await {
        Ok(Ok(blocks)) => Ok(blocks),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("nothing within {PATIENCE:?}")),
    }
}

/// Sends clients' transactions to the first source that takes them.
async fn relay(mut line: mpsc::Receiver<Bytes>, sources: Vec<DynProvider>) {
    while let Some(raw) = line.recv().await {
        let mut last = None;
        for source in &sources {
            match source.send_raw_transaction(&raw).await {
                Ok(_) => {
                    last = None;
                    break;
                }
                Err(error) => last = Some(error),
            }
        }
        if let Some(error) = last {
            tracing::warn!(%error, "no source took a transaction");
        }
    }
}

/// Keeps the pool at the head.
async fn keep_pool(feed: Arc<Feed>, mut events: broadcast::Receiver<ChainEvent>, watch: Arc<Watch>) {
    loop {
        match events.recv().await {
            Ok(ChainEvent::Finalized(data)) => watch.finalized(data.receipts.len()),
            Ok(ChainEvent::Rewound(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        let feed = feed.clone();
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || feed.follow()).await {
            tracing::error!(%error, "the pool cannot follow the chain");
        }
    }
}
