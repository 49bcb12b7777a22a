//! A running node.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use synod_chain::{Chain, ChainApplication, ChainEvent, ChainSpec};
use synod_consensus::single::{self, EngineError, Handle};
use synod_rpc::{Backend, RpcServer, Wallet};
use tokio::{
    net::TcpListener,
    sync::broadcast::{self, Receiver, error::RecvError},
    task::{JoinError, JoinHandle},
};

use crate::{NodeConfig, NodeError, control::DevNode, feed::Feed, history::Historian, upkeep::Upkeep};

/// Hashes of ready transactions that a subscriber may fall behind.
pub(crate) const READY_EVENTS: usize = 16_384;

/// A running development node. Dropping it without [`Node::stop`] ends it with the runtime.
#[derive(Debug)]
pub struct Node {
    chain: Arc<Chain>,
    server: RpcServer,
    engine: Handle,
    /// `None` once its end was told.
    engine_task: Option<JoinHandle<Result<(), EngineError>>>,
    follower: JoinHandle<()>,
    upkeep: Upkeep,
    historian: Historian,
}

impl Node {
    /// Starts a node. When this returns, it answers.
    ///
    /// # Errors
    /// A port or a folder in use, a folder of another chain, a disk that fails: see [`NodeError`].
    pub async fn start(config: NodeConfig) -> Result<Self, NodeError> {
        let listener = bind(SocketAddr::new(config.host, config.port)).await?;
        let wallet = wallet(&config)?;
        let chain = open_chain(config.data_dir.clone(), config.spec.clone()).await?;

        let ready = broadcast::Sender::new(READY_EVENTS);
        let feed = Arc::new(Feed::new(chain.clone(), config.pool, ready.clone())?);
        let application = Arc::new(ChainApplication::new(chain.clone(), feed.clone()));
        let events = chain.subscribe();
        let single_config = single::Config {
            mining: config.mining,
            beneficiary: config.beneficiary,
        };
        let (engine, engine_task) = single::start(application, single_config);
        let follower = tokio::spawn(follow(feed.clone(), events, engine.clone()));
        let file = config.keep_pool.then(|| config.data_dir.join("pool.json"));
        let upkeep = Upkeep::start(&feed, file);
        let historian = Historian::start(&chain, config.history);
        engine.transaction_arrived();

        let backend = Backend {
            chain: chain.clone(),
            pool: feed.pool().clone(),
            control: Arc::new(DevNode::new(chain.clone(), feed, engine.clone(), config.mining)),
            ready,
            wallet: Arc::new(wallet),
        };
        let address = SocketAddr::new(config.host, config.port);
        let server = RpcServer::start(listener, backend, config.rpc)
            .map_err(|source| NodeError::Listen { address, source })?;
        tracing::info!(address = %server.address(), height = chain.head().number(), "the node answers");
        Ok(Self {
            chain,
            server,
            engine,
            engine_task: Some(engine_task),
            follower,
            upkeep,
            historian,
        })
    }

    /// Where it answers, over HTTP and WebSocket.
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
    /// With the fault that ended the engine.
    pub async fn stopped(&mut self) -> Result<(), NodeError> {
        let Some(task) = &mut self.engine_task else {
            return std::future::pending().await;
        };
        let ended = task.await;
        self.engine_task = None;
        engine_result(ended)
    }

    /// Stops the node: no more requests, the block at hand finished, the folder let go.
    ///
    /// # Errors
    /// When the engine ended with a fault that [`Node::stopped`] has not told.
    pub async fn stop(self) -> Result<(), NodeError> {
        let Self {
            chain,
            server,
            engine,
            engine_task,
            follower,
            upkeep,
            historian,
        } = self;
        server.stop().await;
        upkeep.stop().await;
        historian.stop().await;
        follower.abort();
        // The handle that the follower held is gone when it is.
        let _ = follower.await;
        drop(engine);
        let result = match engine_task {
            Some(task) => engine_result(task.await),
            None => Ok(()),
        };
        drop(chain);
        tracing::info!("the node has stopped");
        result
    }
}

fn engine_result(ended: Result<Result<(), EngineError>, JoinError>) -> Result<(), NodeError> {
    match ended {
        Ok(result) => Ok(result?),
        Err(_) => Err(NodeError::Panicked("engine")),
    }
}

pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => NodeError::PortInUse(address),
            _ => NodeError::Listen { address, source },
        })
}

fn wallet(config: &NodeConfig) -> Result<Wallet, NodeError> {
    match &config.accounts {
        Some((mnemonic, count)) => {
            Wallet::from_mnemonic(mnemonic, *count).map_err(|e| NodeError::Mnemonic(e.to_string()))
        }
        None => Ok(Wallet::empty()),
    }
}

pub(crate) async fn open_chain(path: PathBuf, spec: ChainSpec) -> Result<Arc<Chain>, NodeError> {
    let opened = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&path).map_err(|source| NodeError::Folder {
            path: path.clone(),
            source,
        })?;
        Chain::open(&path, spec).map_err(|source| NodeError::Open { path, source })
    });
    opened.await.map_err(|_| NodeError::Panicked("disk"))?
}

/// Keeps the pool at the head, and the engine awake while something can be mined.
async fn follow(feed: Arc<Feed>, mut events: Receiver<ChainEvent>, engine: Handle) {
    loop {
        match events.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
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
