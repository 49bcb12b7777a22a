//! The node's door: Ethereum's JSON-RPC and `synod_*`, over HTTP and WebSocket on one port.
//!
//! ```text
//!  client ──► HTTP / WebSocket ──► CORS, size limits ──► one connection's share ──► method ──► View of the chain
//!                                                          (fairness)               │
//!                                                                                   ├─ quick: reads of the disk
//!                                                                                   └─ long: a place among the workers
//! ```
//!
//! Tools take this node for an Ethereum node, so shapes come from `alloy_rpc_types_eth`, and errors follow geth's words
//! and codes ([`RpcError`]). An answer is of one block: each method reads one snapshot.
//!
//! What can go wrong, and what then happens: a client that asks for too much gets an error that names the limit; a
//! client that reads too slowly loses its subscription; a client that sends thousands of calls waits for itself; a fault
//! of the node is logged with its cause and told to the client as "internal error", no more.

mod backend;
mod bounds;
mod brief;
mod config;
mod convert;
mod deadline;
mod debug;
mod dev;
mod discover;
mod error;
mod eth;
mod fairness;
mod fees;
mod filters;
mod logs;
mod misc;
mod params;
mod pending;
mod predictions;
mod pubsub;
mod simulate;
mod simulate_blocks;
mod synod;
mod wallet;
mod workers;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use jsonrpsee::{
    Methods, RpcModule,
    core::middleware::RpcServiceBuilder,
    server::{BatchRequestConfig, PingConfig, Server, ServerConfig, ServerHandle},
};
use tokio::net::TcpListener;
use tower_http::cors::{Any, CorsLayer};

pub use backend::{Backend, Control, DevControl, Evidence, MiningMode, NextBlock};
pub use dev::{Dump, DumpError};
pub use discover::OPENRPC;
pub use error::{RpcError, RpcResult};
pub use wallet::Wallet;

use config::{Config, ConfigApiServer};
use deadline::CallLimits;
use debug::{Debug, DebugApiServer};
use dev::{Dev, DevApiServer};
use discover::{Discover, DiscoverApiServer};
use eth::{Eth, EthApiServer, PersonalApiServer};
use fairness::FairLayer;
use misc::{Misc, NetApiServer, TxpoolApiServer, Web3ApiServer};
use pubsub::{HexIds, PubSub, PubSubApiServer};
use synod::{Synod, SynodApiServer};
use workers::Workers;

/// What clients may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request, batches included.
    pub request_bytes: u32,
    /// Bytes of an answer, batches included.
    pub response_bytes: u32,
    /// Requests in a batch.
    pub batch: u32,
    /// Connections at a time.
    pub connections: u32,
    /// Subscriptions of one connection.
    pub subscriptions: u32,
    /// Requests of one connection in work at a time.
    pub in_work: usize,
    /// Requests of one connection in a second, those of a batch counted; 0 for no limit. Who asks faster waits.
    pub rate: u32,
    /// Long requests of all connections in work at a time.
    pub workers: usize,
    /// Gas of one simulated call; a block's gas limit caps it too.
    pub call_gas: u64,
    /// Time of one simulated call, all its runs together.
    pub call_time: Duration,
    /// Blocks that one search for logs may look at.
    pub log_blocks: u64,
    /// Logs in one answer.
    pub logs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_bytes: 32 << 20,
            response_bytes: 128 << 20,
            batch: 1_000,
            connections: 1_000,
            subscriptions: 1_024,
            in_work: 8,
            rate: 0,
            workers: std::thread::available_parallelism().map_or(2, |cores| cores.get() * 2),
            call_gas: 1_000_000_000,
            call_time: Duration::from_secs(5),
            log_blocks: 100_000,
            logs: 20_000,
        }
    }
}

/// A server that answers until it is stopped.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    handle: ServerHandle,
}

impl RpcServer {
    /// Answers on a bound socket.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn start(listener: TcpListener, backend: Backend, limits: Limits) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let listener = listener.into_std()?;
        let config = ServerConfig::builder()
            .max_request_body_size(limits.request_bytes)
            .max_response_body_size(limits.response_bytes)
            .set_batch_request_config(BatchRequestConfig::Limit(limits.batch))
            .max_connections(limits.connections)
            .max_subscriptions_per_connection(limits.subscriptions)
            .enable_ws_ping(PingConfig::new())
            .set_id_provider(HexIds)
            .set_tcp_no_delay(true)
            .build();
        // A page in a browser may ask: what this node tells and signs for, it tells and signs for anybody who reaches
        // its port. Keeping others from the port is the operator's business.
        let cors = CorsLayer::new()
            .allow_origin(Any)
            .allow_methods(Any)
            .allow_headers(Any);
        let server = Server::builder()
            .set_config(config)
            .set_http_middleware(tower::ServiceBuilder::new().layer(cors))
            .set_rpc_middleware(RpcServiceBuilder::new().layer(FairLayer {
                in_work: limits.in_work,
                rate: limits.rate,
            }))
            .build_from_tcp(listener)?;
        let handle = server.start(methods(backend, limits));
        Ok(Self { address, handle })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests in work finish, and returns when all connections are closed.
    pub async fn stop(self) {
        // An error means that it has stopped already.
        let _ = self.handle.stop();
        self.handle.stopped().await;
    }
}

/// All methods that the server knows, for a server of one's own or to ask without a socket.
#[must_use]
pub fn methods(backend: Backend, limits: Limits) -> Methods {
    let limits = Arc::new(limits);
    let workers = Workers::new(limits.workers);
    let dev_workers = workers.clone();
    let mut module = RpcModule::new(());
    let calls = CallLimits {
        gas: limits.call_gas,
        time: limits.call_time,
    };
    let eth = Eth::new(backend.clone(), workers.clone(), limits, calls);
    let parts: [Methods; 11] = [
        Debug::new(backend.clone(), workers.clone(), calls)
            .into_rpc()
            .into(),
        Synod::new(backend.clone(), workers.clone(), calls)
            .into_rpc()
            .into(),
        PersonalApiServer::into_rpc(eth.clone()).into(),
        EthApiServer::into_rpc(eth).into(),
        Config::new(backend.clone()).into_rpc().into(),
        Discover.into_rpc().into(),
        PubSub::new(backend.clone()).into_rpc().into(),
        NetApiServer::into_rpc(Misc::new(backend.clone())).into(),
        Web3ApiServer::into_rpc(Misc::new(backend.clone())).into(),
        TxpoolApiServer::into_rpc(Misc::new(backend.clone())).into(),
        Dev::new(backend, dev_workers).into_rpc().into(),
    ];
    for part in parts {
        module.merge(part).expect("every namespace has its own names");
    }
    module.into()
}
