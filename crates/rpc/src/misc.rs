//! The small namespaces: `net_`, `web3_`, `txpool_`.

use std::{collections::BTreeMap, sync::Arc};

use alloy_primitives::{Address, B256, Bytes, U64, keccak256};
use alloy_rpc_types_eth::Transaction;
use jsonrpsee::proc_macros::rpc;
use serde::Serialize;
use synod_chain::pool::PoolTransaction;

use crate::{backend::Backend, convert, error::RpcResult};

#[rpc(server, namespace = "net")]
pub(crate) trait NetApi {
    #[method(name = "version")]
    fn version(&self) -> RpcResult<String>;

    #[method(name = "listening")]
    fn listening(&self) -> RpcResult<bool>;

    #[method(name = "peerCount")]
    fn peer_count(&self) -> RpcResult<U64>;
}

#[rpc(server, namespace = "web3")]
pub(crate) trait Web3Api {
    #[method(name = "clientVersion")]
    fn client_version(&self) -> RpcResult<String>;

    #[method(name = "sha3")]
    fn sha3(&self, data: Bytes) -> RpcResult<B256>;
}

#[rpc(server, namespace = "txpool")]
pub(crate) trait TxpoolApi {
    #[method(name = "status")]
    fn status(&self) -> RpcResult<PoolStatus>;

    #[method(name = "content", blocking)]
    fn content(&self) -> RpcResult<PoolContent>;
}

/// How many transactions wait.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolStatus {
    pending: U64,
    queued: U64,
}

/// The transactions that wait, by sender and nonce.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolContent {
    pending: BTreeMap<Address, BTreeMap<String, Transaction>>,
    queued: BTreeMap<Address, BTreeMap<String, Transaction>>,
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Misc {
    backend: Backend,
}

impl Misc {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
    }
}

impl NetApiServer for Misc {
    fn version(&self) -> RpcResult<String> {
        Ok(self.backend.chain.spec().chain_id().to_string())
    }

    fn listening(&self) -> RpcResult<bool> {
        Ok(true)
    }

    fn peer_count(&self) -> RpcResult<U64> {
        Ok(U64::ZERO)
    }
}

impl Web3ApiServer for Misc {
    fn client_version(&self) -> RpcResult<String> {
        Ok(concat!("synod/v", env!("CARGO_PKG_VERSION"), "/rust").to_owned())
    }

    fn sha3(&self, data: Bytes) -> RpcResult<B256> {
        Ok(keccak256(data))
    }
}

impl TxpoolApiServer for Misc {
    fn status(&self) -> RpcResult<PoolStatus> {
        let status = self.backend.pool.status();
        Ok(PoolStatus {
            pending: U64::from(status.ready),
            queued: U64::from(status.queued),
        })
    }

    fn content(&self) -> RpcResult<PoolContent> {
        let content = self.backend.pool.content();
        Ok(PoolContent {
            pending: by_nonce(content.ready),
            queued: by_nonce(content.queued),
        })
    }
}

/// Each sender's transactions under their nonces.
fn by_nonce(
    senders: BTreeMap<Address, Vec<Arc<PoolTransaction>>>,
) -> BTreeMap<Address, BTreeMap<String, Transaction>> {
    let converted = |transactions: Vec<Arc<PoolTransaction>>| {
        transactions
            .iter()
            .map(|tx| (tx.nonce().to_string(), convert::pending(tx)))
            .collect()
    };
    senders
        .into_iter()
        .map(|(sender, transactions)| (sender, converted(transactions)))
        .collect()
}
