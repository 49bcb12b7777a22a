//! The small namespaces: `net_`, `web3_`, `txpool_`.

use std::{collections::BTreeMap, sync::Arc};

use alloy_consensus::Transaction as _;
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

    #[method(name = "contentFrom", blocking)]
    fn content_from(&self, sender: Address) -> RpcResult<SenderContent>;

    #[method(name = "inspect", blocking)]
    fn inspect(&self) -> RpcResult<PoolSummary>;
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

/// The transactions of one sender that wait, by nonce.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SenderContent {
    pending: BTreeMap<String, Transaction>,
    queued: BTreeMap<String, Transaction>,
}

/// The transactions that wait, by sender and nonce, each in a line for a person.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PoolSummary {
    pending: BTreeMap<Address, BTreeMap<String, String>>,
    queued: BTreeMap<Address, BTreeMap<String, String>>,
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
        Ok(self.backend.client_version())
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
            pending: by_nonce(content.ready, convert::pending),
            queued: by_nonce(content.queued, convert::pending),
        })
    }

    fn content_from(&self, sender: Address) -> RpcResult<SenderContent> {
        let mut content = self.content()?;
        Ok(SenderContent {
            pending: content.pending.remove(&sender).unwrap_or_default(),
            queued: content.queued.remove(&sender).unwrap_or_default(),
        })
    }

    fn inspect(&self) -> RpcResult<PoolSummary> {
        let content = self.backend.pool.content();
        Ok(PoolSummary {
            pending: by_nonce(content.ready, summary),
            queued: by_nonce(content.queued, summary),
        })
    }
}

/// geth's line about a transaction.
fn summary(transaction: &PoolTransaction) -> String {
    let tx = transaction.transaction();
    let to = tx
        .to()
        .map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    let (value, gas, price) = (tx.value(), tx.gas_limit(), tx.max_fee_per_gas());
    format!("{to}: {value} wei + {gas} gas × {price} wei")
}

/// Each sender's transactions under their nonces.
fn by_nonce<T>(
    senders: BTreeMap<Address, Vec<Arc<PoolTransaction>>>,
    show: impl Fn(&PoolTransaction) -> T,
) -> BTreeMap<Address, BTreeMap<String, T>> {
    let shown = |transactions: Vec<Arc<PoolTransaction>>| {
        let transactions = transactions.iter();
        transactions
            .map(|tx| (tx.nonce().to_string(), show(tx)))
            .collect()
    };
    senders
        .into_iter()
        .map(|(sender, transactions)| (sender, shown(transactions)))
        .collect()
}
