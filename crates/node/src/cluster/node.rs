//! A running node of a cluster.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, thread};

use synod_chain::{Chain, ChainApplication, ChainEvent};
use synod_consensus::simplex::{self, Committee, Committees, EngineError, net};
use synod_rpc::{Backend, RpcServer, Wallet};
use tokio::{
    sync::{
        broadcast::{self, Receiver, error::RecvError},
        oneshot,
    },
    task::JoinHandle,
};

use super::{
    ClusterConfig,
    ballot::Votes,
    consensus::Consensus,
    control::Exchange,
    evidence::EvidenceStore,
    metrics::{self, Watch},
};
use crate::{
    NodeError,
    feed::Feed,
    history::Historian,
    node::{READY_EVENTS, bind, open_chain},
    upkeep::Upkeep,
};

/// A running node of a cluster. Dropping it without [`ClusterNode::stop`] ends it with the process.
pub struct ClusterNode {
    chain: Arc<Chain>,
    server: RpcServer,
    metrics: Option<JoinHandle<()>>,
    watch: Arc<Watch>,
    /// Asks consensus to stop.
    stop: oneshot::Sender<()>,
    /// Why consensus ended; `None` once it was told.
    ended: Option<oneshot::Receiver<Option<EngineError>>>,
    consensus: thread::JoinHandle<()>,
    follower: JoinHandle<()>,
    upkeep: Upkeep,
    historian: Historian,
}

impl std::fmt::Debug for ClusterNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterNode")
            .field("chain", &self.chain)
            .field("votes", &self.votes())
            .finish_non_exhaustive()
    }
}

impl ClusterNode {
    /// Starts a node. When this returns, it answers clients and looks for its peers.
    ///
    /// # Errors
    /// A port or a folder in use, a folder of another chain or validator, a disk that fails: see [`NodeError`].
    pub async fn start(config: ClusterConfig) -> Result<Self, NodeError> {
        let listener = bind(config.rpc_listen).await?;
        let metrics_listener = match config.metrics_listen {
            Some(address) => Some((bind(address).await?, address)),
            None => None,
        };
        // Consensus would only say so in its log.
        drop(bind(config.peers_listen).await?);
        let chain = open_chain(config.data_dir.join("chain"), config.spec.clone()).await?;
        let genesis = chain.proposal(0)?.ok_or(NodeError::Panicked("genesis"))?;
        let committee = Arc::new(Committee::of_genesis(&chain)?);
        let storage = config.data_dir.join("consensus");
        let ballot = Arc::new(Votes::open(&config.keys, &config.key_file, &storage)?);
        if !ballot.remembered() {
            tracing::warn!(
                "this validator's votes are not on this disk: it follows and does not vote until an epoch begins, since it might \
                 contradict a vote that it has forgotten (docs/operations.md, \"A lost disk\")"
            );
        }

        let ready = broadcast::Sender::new(READY_EVENTS);
        let feed = Arc::new(Feed::new(chain.clone(), config.pool, ready.clone())?);
        let application = Arc::new(ChainApplication::new(chain.clone(), feed.clone()));
        let events = chain.subscribe();
        let (engine, engine_end) = simplex::Handle::new();
        let evidence_file = config.data_dir.join("evidence.jsonl");
        let evidence = EvidenceStore::open(&evidence_file).map_err(|source| NodeError::Folder {
            path: evidence_file,
            source,
        })?;
        let evidence = Arc::new(evidence);
        let exchange = Arc::new(Exchange::new(feed.clone(), engine.clone(), evidence.clone()));
        let watch = Arc::new(Watch::new(
            committee.clone(),
            chain.clone(),
            feed.pool().clone(),
            evidence.clone(),
        ));
        let follower = tokio::spawn(follow(feed.clone(), events, engine.clone(), watch.clone()));
        let file = config.keep_pool.then(|| config.data_dir.join("pool.json"));
        let upkeep = Upkeep::start(&feed, file);
        let historian = Historian::start(&chain, config.history);
        engine.transaction_arrived();

        let block_size_limit = config
            .spec
            .block_size_limit(0, config.spec.genesis().timestamp)
            .unwrap_or(usize::MAX);
        let peers = config.peers.into_iter().filter_map(|(name, address)| {
            let validators = committee.params().validators.iter();
            let entry = validators.clone().find(|entry| entry.name == name)?;
            let identity = committee
                .members()
                .keys()
                .iter()
                .find(|id| id[..] == entry.identity[..])?;
            Some((identity.clone(), address))
        });
        let named = chain
            .sitting()?
            .map_or(0, |sitting| sitting.validators.len().max(sitting.next.len()));
        let network = net::Config {
            listen: config.peers_listen,
            peers: peers.collect::<BTreeMap<_, _>>(),
            block_size_limit,
            room: net::room_for(named.max(committee.params().validators.len())),
        };
        let (stop, stopping) = oneshot::channel();
        let (ending, ended) = oneshot::channel();
        let consensus = Consensus {
            committees: Committees::new(application, committee.clone()),
            committee,
            keys: config.keys,
            ballot,
            genesis,
            block_size_limit,
            beneficiary: config.beneficiary,
            transactions: exchange.clone(),
            observer: watch.clone(),
            network,
            storage,
            engine: engine_end,
        };
        let consensus = consensus.start(stopping, ending).map_err(NodeError::Thread)?;

        let backend = Backend {
            chain: chain.clone(),
            pool: feed.pool().clone(),
            control: exchange,
            ready,
            wallet: Arc::new(Wallet::empty()),
        };
        let address = config.rpc_listen;
        let server = RpcServer::start(listener, backend, config.rpc)
            .map_err(|source| NodeError::Listen { address, source })?;
        let metrics =
            metrics_listener.map(|(listener, address)| metrics::serve(listener, address, watch.clone()));
        tracing::info!(address = %server.address(), height = chain.head().number(), "the node answers");
        Ok(Self {
            chain,
            server,
            metrics,
            watch,
            stop,
            ended: Some(ended),
            consensus,
            follower,
            upkeep,
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

    /// Whether it votes in the epoch that runs, or only follows.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.watch.votes()
    }

    /// Returns when the node cannot go on by itself; it must be stopped then. Tells once.
    ///
    /// # Errors
    /// With the fault that ended consensus.
    pub async fn stopped(&mut self) -> Result<(), NodeError> {
        let Some(ended) = &mut self.ended else {
            return std::future::pending().await;
        };
        let result = ended.await;
        self.ended = None;
        consensus_result(result)
    }

    /// Stops the node: no more requests, consensus ended, the folder let go.
    ///
    /// # Errors
    /// When consensus ended with a fault that [`ClusterNode::stopped`] has not told.
    pub async fn stop(self) -> Result<(), NodeError> {
        let Self {
            chain,
            server,
            metrics,
            stop,
            ended,
            consensus,
            follower,
            upkeep,
            historian,
            watch: _,
        } = self;
        server.stop().await;
        upkeep.stop().await;
        historian.stop().await;
        if let Some(metrics) = metrics {
            metrics.abort();
        }
        follower.abort();
        let _ = follower.await;
        // An error means that it has ended by itself.
        let _ = stop.send(());
        let result = match ended {
            Some(ended) => consensus_result(ended.await),
            None => Ok(()),
        };
        // Its runtime waits for the block that is being written.
        let joined = tokio::task::spawn_blocking(move || consensus.join()).await;
        drop(chain);
        if !matches!(joined, Ok(Ok(()))) {
            return Err(NodeError::Panicked("consensus"));
        }
        tracing::info!("the node has stopped");
        result
    }
}

fn consensus_result(ended: Result<Option<EngineError>, oneshot::error::RecvError>) -> Result<(), NodeError> {
    match ended {
        Ok(None) => Ok(()),
        Ok(Some(error)) => Err(error.into()),
        Err(_) => Err(NodeError::Panicked("consensus")),
    }
}

/// Keeps the pool at the head, and the proposer awake while something can be mined.
async fn follow(
    feed: Arc<Feed>,
    mut events: Receiver<ChainEvent>,
    engine: simplex::Handle,
    watch: Arc<Watch>,
) {
    loop {
        match events.recv().await {
            Ok(ChainEvent::Finalized(data)) => watch.finalized(data.receipts.len()),
            Ok(ChainEvent::Rewound(_)) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
        let feed = feed.clone();
        let followed = tokio::task::spawn_blocking(move || feed.follow().map(|()| feed.has_ready())).await;
        match followed {
            Ok(Ok(true)) => engine.transaction_arrived(),
            Ok(Ok(false)) => {}
            // The engine reads the same disk and decides what that means for the node.
            Ok(Err(error)) => tracing::error!(%error, "the pool cannot follow the chain"),
            Err(_) => return,
        }
    }
}
