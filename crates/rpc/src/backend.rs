//! What the methods read from and act on.
//!
//! Every method that reads takes one [`Snapshot`] and answers from it alone, so an answer never mixes two blocks. The
//! node's `latest`, `safe` and `finalized` are one block: what consensus has decided does not change. A development
//! node may rewind; that is a new snapshot like any other.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use alloy_consensus::{Header, TxEnvelope, transaction::Recovered};
use alloy_eips::{BlockId, BlockNumberOrTag, RpcBlockHash, eip7840::BlobParams};
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bytes, U64};
use serde::{Deserialize, Serialize};
use synod_chain::{
    BlockData, Chain, StateView, Timestamp,
    edit::StateEdit,
    pool::{Pool, PoolError},
};
use synod_state::Snapshot;
use tokio::sync::broadcast;

use crate::{
    convert::Prices,
    dev::Dump,
    error::{RpcError, RpcResult},
    wallet::Wallet,
};

/// What the methods ask of the node beside reading.
pub trait Control: Send + Sync + 'static {
    /// Puts a signed transaction (EIP-2718 bytes) into the pool, tells subscribers and wakes the engine.
    fn submit(&self, raw: &[u8]) -> Result<B256, PoolError>;

    /// The same if it takes no waiting for a pool that is on its way to a new head; `None` if it would, and nothing has happened.
    fn submit_at_once(&self, raw: &[u8]) -> Option<Result<B256, PoolError>> {
        let _ = raw;
        None
    }

    /// The development controls, on a node whose engine has them.
    fn dev(&self) -> Option<&dyn DevControl>;

    /// Proofs that validators broke the protocol; a node that decides alone has none.
    fn evidence(&self) -> Vec<Evidence> {
        Vec::new()
    }
}

/// Proof that a validator signed two things that exclude each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Its name in the genesis file.
    pub validator: String,
    /// Its identity.
    pub identity: B256,
    /// What it did.
    pub kind: String,
    /// In which epoch.
    #[serde(default)]
    pub epoch: U64,
    /// In which view of it.
    pub view: U64,
    /// Both signatures with what they are for, in the engine's encoding.
    pub proof: Bytes,
}

/// When a development node makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MiningMode {
    /// As soon as a transaction waits.
    Auto,
    /// At an interval.
    Interval(Duration),
    /// When told.
    Manual,
}

impl MiningMode {
    /// At this interval; when told if it is zero.
    #[must_use]
    pub const fn every(interval: Duration) -> Self {
        if interval.is_zero() {
            Self::Manual
        } else {
            Self::Interval(interval)
        }
    }
}

/// Something about the blocks that a development node makes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextBlock {
    /// Who gets their fees.
    Coinbase(Address),
    /// The next one's base fee, in wei a gas.
    BaseFee(u64),
    /// The next one's `prevrandao`.
    PrevRandao(B256),
    /// Their gas limit.
    GasLimit(u64),
    /// Seconds from one to the next; `None` for the clock.
    Spacing(Option<u64>),
}

/// The clock, the miner, the state and the way back of a development node.
///
/// Each error is a sentence for the client.
pub trait DevControl: Send + Sync {
    /// Makes one block now, empty if nothing waits. `timestamp` is its second, if given.
    fn mine(&self, timestamp: Option<u64>) -> Result<(), String>;
    /// Returns when what waits is mined, if blocks follow transactions; else at once.
    fn settle(&self) -> Result<(), String>;
    /// When blocks are made from now on.
    fn set_mining(&self, mode: MiningMode) -> Result<(), String>;
    /// When blocks are made.
    fn mining(&self) -> MiningMode;
    /// Settles something about the next blocks.
    fn set_next(&self, next: NextBlock) -> Result<(), String>;
    /// Remembers the head and the clock; the number names them in [`DevControl::revert`].
    fn snapshot(&self) -> Result<u64, String>;
    /// Goes back to a remembered head and forgets it and all later ones; `false` if the number names none.
    fn revert(&self, id: u64) -> Result<bool, String>;
    /// Goes back to the genesis, with the machine's clock, an empty pool and nobody impersonated.
    fn reset(&self) -> Result<(), String>;
    /// Takes so many of the last blocks away.
    fn rollback(&self, blocks: u64) -> Result<(), String>;
    /// Moves the clock of later blocks forward; returns by how much it is ahead now, in seconds.
    fn increase_time(&self, seconds: u64) -> Result<i64, String>;
    /// Sets the clock of later blocks; returns by how much it is ahead now, in seconds.
    fn set_time(&self, timestamp: u64) -> Result<i64, String>;
    /// The second of the next block, once.
    fn set_next_block_timestamp(&self, timestamp: u64) -> Result<(), String>;
    /// Changes the state, all of it or, with an error, nothing.
    fn edit(&self, edits: Vec<StateEdit>) -> Result<(), String>;
    /// Every account.
    fn dump(&self) -> Result<Dump, String>;
    /// Takes transactions from this account without its key, or no longer; says whether it did so before.
    fn impersonate(&self, address: Address, on: bool) -> bool;
    /// Takes transactions from every account without its key, or no longer.
    fn impersonate_all(&self, on: bool);
    /// Whether it takes transactions from this account without its key.
    fn impersonates(&self, address: Address) -> bool;
    /// Puts a transaction of such an account into the pool.
    fn submit_impersonated(&self, transaction: Recovered<TxEnvelope>) -> Result<B256, PoolError>;
}

/// Everything that the methods need.
#[derive(Clone)]
pub struct Backend {
    /// The chain.
    pub chain: Arc<Chain>,
    /// The transaction pool.
    pub pool: Arc<Pool>,
    /// The rest of the node.
    pub control: Arc<dyn Control>,
    /// Hashes of transactions as they become ready to be mined, for those who subscribed.
    pub ready: broadcast::Sender<B256>,
    /// Accounts that the node signs for: those of a development node, or none.
    pub wallet: Arc<Wallet>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend")
            .field("wallet", &self.wallet)
            .finish_non_exhaustive()
    }
}

impl Backend {
    /// The finalised chain as it is now.
    pub(crate) fn view(&self) -> RpcResult<View> {
        View::of(&self.chain)
    }

    /// What a block's header does not say of its prices.
    pub(crate) fn prices(&self, header: &Header) -> Prices {
        let spec = self.chain.spec();
        Prices {
            blobs: spec.blob_params(header.number, header.timestamp),
            gas_is_free: spec.gas_is_free(),
        }
    }

    pub(crate) fn dev(&self, method: &'static str) -> RpcResult<&dyn DevControl> {
        self.control.dev().ok_or(RpcError::DevOnly(method))
    }

    /// What the node calls itself. A development node says first what it stands in for: test frameworks change the state and the
    /// clock only of nodes whose names they know.
    pub(crate) fn client_version(&self) -> String {
        let name = concat!("synod/v", env!("CARGO_PKG_VERSION"), "/rust");
        if self.control.dev().is_some() {
            format!("anvil-compatible/{name}")
        } else {
            name.to_owned()
        }
    }

    /// The nonce that the next transaction of `address` needs, waiting ones counted.
    pub(crate) fn next_nonce(&self, address: Address) -> RpcResult<u64> {
        if let Some(nonce) = self.pool.next_nonce(address) {
            return Ok(nonce);
        }
        let view = self.view()?;
        let head = view.head()?;
        Ok(view.state(&head)?.account(address)?.unwrap_or_default().nonce)
    }
}

/// The finalised chain as one request sees it.
#[derive(Clone)]
pub(crate) struct View {
    chain: Arc<Chain>,
    snapshot: Arc<Snapshot>,
}

impl View {
    /// The chain now.
    pub(crate) fn of(chain: &Arc<Chain>) -> RpcResult<Self> {
        Ok(Self {
            chain: chain.clone(),
            snapshot: chain.snapshot().map_err(RpcError::internal)?,
        })
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The height of the last block.
    pub(crate) fn height(&self) -> u64 {
        self.snapshot.marker().map_or(0, |marker| marker.height)
    }

    /// The header of the last block.
    pub(crate) fn head(&self) -> RpcResult<Header> {
        self.header_at(self.height())?
            .ok_or_else(|| RpcError::internal("the chain has no head"))
    }

    pub(crate) fn header_at(&self, number: u64) -> RpcResult<Option<Header>> {
        if let Some(marker) = self.snapshot.marker()
            && marker.height == number
            && let Some(head) = self.chain.recent(marker.hash)
        {
            return Ok(Some(head.header().clone()));
        }
        Ok(self.snapshot.header(number)?)
    }

    /// The height that a block number or tag names now. It may be above the head.
    pub(crate) fn number(&self, tag: BlockNumberOrTag) -> u64 {
        match tag {
            BlockNumberOrTag::Number(number) => number,
            BlockNumberOrTag::Earliest => 0,
            BlockNumberOrTag::Latest
            | BlockNumberOrTag::Safe
            | BlockNumberOrTag::Finalized
            | BlockNumberOrTag::Pending => self.height(),
        }
    }

    /// The height of an existing block.
    pub(crate) fn resolve(&self, id: BlockId) -> RpcResult<Option<u64>> {
        match id {
            BlockId::Number(tag) => Ok(Some(self.number(tag)).filter(|number| *number <= self.height())),
            // EIP-1898. There is one canonical chain and nothing else is kept, so `requireCanonical` changes nothing.
            BlockId::Hash(RpcBlockHash { block_hash, .. }) => Ok(self.snapshot.height(&block_hash)?),
        }
    }

    /// A block with its receipts.
    pub(crate) fn block(&self, id: BlockId) -> RpcResult<Option<Arc<BlockData>>> {
        let Some(number) = self.resolve(id)? else {
            return Ok(None);
        };
        if let Some(recent) = self.recent(number)? {
            return Ok(Some(recent));
        }
        let (block, receipts) = (self.snapshot.block(number)?, self.snapshot.receipts(number)?);
        Ok(block
            .zip(receipts)
            .map(|(block, receipts)| Arc::new(BlockData { block, receipts })))
    }

    /// A block that the chain holds in memory: one of the last, about which most questions are.
    pub(crate) fn recent(&self, number: u64) -> RpcResult<Option<Arc<BlockData>>> {
        let hash = self.snapshot.block_hash(number)?;
        Ok(hash.and_then(|hash| self.chain.recent(hash)))
    }

    /// The header of a block that must exist.
    pub(crate) fn header(&self, id: BlockId) -> RpcResult<Header> {
        let number = self.resolve(id)?.ok_or(RpcError::BlockNotFound(id))?;
        self.header_at(number)?.ok_or(RpcError::BlockNotFound(id))
    }

    /// The state after a block: what its transactions left, and what a development chain edited before the next one.
    pub(crate) fn state(&self, header: &Header) -> RpcResult<StateView> {
        let root = self.snapshot.state_root(header)?;
        Ok(StateView::at(self.snapshot.clone(), root))
    }

    /// The state after a block that must exist; the last one if none is named.
    pub(crate) fn state_at(&self, id: Option<BlockId>) -> RpcResult<StateView> {
        self.state(&self.header(id.unwrap_or_default())?)
    }

    /// The environment in which a call at this block runs: the block's own, or, for `pending`, the next one's.
    pub(crate) fn env(&self, id: BlockId, header: &Header) -> EvmEnv {
        if id.is_pending() {
            self.chain.pending_env(now())
        } else {
            self.chain.evm_env(header)
        }
    }

    /// Whether gas costs nothing, whatever transactions offer.
    pub(crate) fn gas_is_free(&self) -> bool {
        self.chain.spec().gas_is_free()
    }

    /// Blob parameters at a block, for chains imported from Ethereum.
    pub(crate) fn blob_params(&self, header: &Header) -> Option<BlobParams> {
        self.chain.spec().blob_params(header.number, header.timestamp)
    }
}

/// This node's clock. Only simulated calls read it here; blocks get their time from the engine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
