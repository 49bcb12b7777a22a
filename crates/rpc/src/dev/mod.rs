//! Controls of a development node, under the names that test frameworks know: `evm_`, `hardhat_` and `anvil_`. Every other
//! node answers them with an error.
//!
//! What they change is on the disk when they answer, as blocks are: edits of the state, and the blocks that they make. What they
//! settle about blocks to come (automine, the clock, impersonation, snapshots) is forgotten when the node stops.

mod dump;
mod params;

use std::time::Duration;

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_rpc_types_eth::Block;
use jsonrpsee::{core::async_trait, proc_macros::rpc};
use serde_json::{Value, json};
use synod_chain::edit::StateEdit;

pub use dump::{Dump, DumpError};

use crate::{
    backend::{Backend, DevControl, MiningMode, NextBlock},
    convert,
    error::{RpcError, RpcResult},
    params::Slot,
    workers::Workers,
};
use params::{Interval, MineOptions, Number};

/// Blocks in one request.
const MAX_BLOCKS: u64 = 10_000;

#[rpc(server)]
pub(crate) trait DevApi {
    // ------------------------------------------------------------------ blocks

    #[method(name = "evm_mine", aliases = ["evm_mineBlock"], blocking)]
    fn mine(&self, options: Option<MineOptions>) -> RpcResult<String>;

    #[method(name = "anvil_mineDetailed", aliases = ["evm_mine_detailed", "evm_mineDetailed"], blocking)]
    fn mine_detailed(&self, options: Option<MineOptions>) -> RpcResult<Vec<Block>>;

    #[method(name = "hardhat_mine", aliases = ["anvil_mine"], blocking)]
    fn mine_many(&self, blocks: Option<Number>, interval: Option<Number>) -> RpcResult<()>;

    #[method(name = "evm_setAutomine", aliases = ["anvil_setAutomine"], blocking)]
    fn set_automine(&self, on: bool) -> RpcResult<bool>;

    #[method(name = "hardhat_getAutomine", aliases = ["anvil_getAutomine"], blocking)]
    fn automine(&self) -> RpcResult<bool>;

    #[method(name = "evm_setIntervalMining", blocking)]
    fn set_interval_mining(&self, millis: Interval) -> RpcResult<bool>;

    #[method(name = "anvil_setIntervalMining", blocking)]
    fn set_interval_mining_seconds(&self, seconds: Number) -> RpcResult<()>;

    #[method(name = "anvil_getIntervalMining", blocking)]
    fn interval_mining_seconds(&self) -> RpcResult<Option<u64>>;

    // ------------------------------------------------------------------ the way back

    #[method(name = "evm_snapshot", aliases = ["anvil_snapshot"], blocking)]
    fn snapshot(&self) -> RpcResult<U64>;

    #[method(name = "evm_revert", aliases = ["anvil_revert"], blocking)]
    fn revert(&self, id: Number) -> RpcResult<bool>;

    #[method(name = "hardhat_reset", aliases = ["anvil_reset"], blocking)]
    fn reset(&self, options: Option<Value>) -> RpcResult<bool>;

    #[method(name = "anvil_rollback", blocking)]
    fn rollback(&self, blocks: Option<Number>) -> RpcResult<()>;

    // ------------------------------------------------------------------ the clock

    #[method(name = "evm_increaseTime", aliases = ["anvil_increaseTime"], blocking)]
    fn increase_time(&self, seconds: Number) -> RpcResult<i64>;

    #[method(name = "evm_setNextBlockTimestamp", aliases = ["anvil_setNextBlockTimestamp"], blocking)]
    fn set_next_block_timestamp(&self, timestamp: Number) -> RpcResult<()>;

    #[method(name = "evm_setTime", aliases = ["anvil_setTime"], blocking)]
    fn set_time(&self, timestamp: Number) -> RpcResult<i64>;

    #[method(name = "anvil_setBlockTimestampInterval", aliases = ["hardhat_setBlockTimestampInterval"], blocking)]
    fn set_block_timestamp_interval(&self, seconds: Number) -> RpcResult<()>;

    #[method(
        name = "anvil_removeBlockTimestampInterval",
        aliases = ["hardhat_removeBlockTimestampInterval"],
        blocking
    )]
    fn remove_block_timestamp_interval(&self) -> RpcResult<bool>;

    // ------------------------------------------------------------------ the next blocks' headers

    #[method(name = "hardhat_setCoinbase", aliases = ["anvil_setCoinbase"], blocking)]
    fn set_coinbase(&self, address: Address) -> RpcResult<bool>;

    #[method(
        name = "hardhat_setNextBlockBaseFeePerGas",
        aliases = ["anvil_setNextBlockBaseFeePerGas"],
        blocking
    )]
    fn set_next_base_fee(&self, fee: Number) -> RpcResult<bool>;

    #[method(name = "hardhat_setPrevRandao", aliases = ["anvil_setPrevRandao"], blocking)]
    fn set_prev_randao(&self, randomness: Slot) -> RpcResult<bool>;

    #[method(name = "evm_setBlockGasLimit", aliases = ["anvil_setBlockGasLimit"], blocking)]
    fn set_block_gas_limit(&self, limit: Number) -> RpcResult<bool>;

    #[method(name = "hardhat_setMinGasPrice", aliases = ["anvil_setMinGasPrice"], blocking)]
    fn set_min_gas_price(&self, price: U256) -> RpcResult<()>;

    // ------------------------------------------------------------------ the state

    #[method(
        name = "hardhat_setBalance",
        aliases = ["anvil_setBalance", "evm_setAccountBalance"],
        blocking
    )]
    fn set_balance(&self, address: Address, balance: U256) -> RpcResult<bool>;

    #[method(name = "anvil_addBalance", aliases = ["hardhat_addBalance", "evm_addAccountBalance"], blocking)]
    fn add_balance(&self, address: Address, amount: U256) -> RpcResult<()>;

    #[method(name = "hardhat_setNonce", aliases = ["anvil_setNonce", "evm_setAccountNonce"], blocking)]
    fn set_nonce(&self, address: Address, nonce: Number) -> RpcResult<bool>;

    #[method(name = "hardhat_setCode", aliases = ["anvil_setCode", "evm_setAccountCode"], blocking)]
    fn set_code(&self, address: Address, code: Bytes) -> RpcResult<bool>;

    #[method(
        name = "hardhat_setStorageAt",
        aliases = ["anvil_setStorageAt", "evm_setAccountStorageAt"],
        blocking
    )]
    fn set_storage_at(&self, address: Address, slot: Slot, value: Slot) -> RpcResult<bool>;

    #[method(name = "anvil_dumpState", aliases = ["hardhat_dumpState"])]
    async fn dump_state(&self, history: Option<bool>) -> RpcResult<Bytes>;

    #[method(name = "anvil_loadState", aliases = ["hardhat_loadState"])]
    async fn load_state(&self, state: Bytes) -> RpcResult<bool>;

    // ------------------------------------------------------------------ other people's accounts

    #[method(name = "hardhat_impersonateAccount", aliases = ["anvil_impersonateAccount"], blocking)]
    fn impersonate_account(&self, address: Address) -> RpcResult<bool>;

    #[method(
        name = "hardhat_stopImpersonatingAccount",
        aliases = ["anvil_stopImpersonatingAccount"],
        blocking
    )]
    fn stop_impersonating_account(&self, address: Address) -> RpcResult<bool>;

    #[method(
        name = "anvil_autoImpersonateAccount",
        aliases = ["hardhat_autoImpersonateAccount"],
        blocking
    )]
    fn auto_impersonate_account(&self, on: bool) -> RpcResult<()>;

    // ------------------------------------------------------------------ the pool

    #[method(name = "hardhat_dropTransaction", aliases = ["anvil_dropTransaction"], blocking)]
    fn drop_transaction(&self, hash: B256) -> RpcResult<bool>;

    #[method(name = "anvil_dropAllTransactions", aliases = ["hardhat_dropAllTransactions"], blocking)]
    fn drop_all_transactions(&self) -> RpcResult<()>;

    #[method(name = "anvil_removePoolTransactions", blocking)]
    fn remove_pool_transactions(&self, sender: Address) -> RpcResult<()>;

    // ------------------------------------------------------------------ the node

    #[method(name = "anvil_nodeInfo", blocking)]
    fn node_info(&self) -> RpcResult<Value>;

    #[method(name = "hardhat_metadata", aliases = ["anvil_metadata"], blocking)]
    fn metadata(&self) -> RpcResult<Value>;

    #[method(name = "hardhat_setLoggingEnabled", aliases = ["anvil_setLoggingEnabled"], blocking)]
    fn set_logging_enabled(&self, on: bool) -> RpcResult<bool>;
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Dev {
    backend: Backend,
    workers: Workers,
    /// Tells one run of the node from another.
    instance: B256,
}

impl Dev {
    pub(crate) fn new(backend: Backend, workers: Workers) -> Self {
        Self {
            backend,
            workers,
            instance: B256::from(rand::random::<[u8; 32]>()),
        }
    }

    fn control(&self, method: &'static str) -> RpcResult<&dyn DevControl> {
        self.backend.dev(method)
    }

    fn head(&self) -> RpcResult<Header> {
        self.backend.view()?.head()
    }

    /// Makes blocks one after another; `timestamp` says when each is to be, from its index and the head before it.
    fn mine_blocks(
        &self,
        method: &'static str,
        blocks: u64,
        timestamp: impl Fn(u64, u64) -> Option<u64>,
    ) -> RpcResult<()> {
        if blocks > MAX_BLOCKS {
            return Err(RpcError::TooMuch(format!(
                "at most {MAX_BLOCKS} blocks in one request"
            )));
        }
        let dev = self.control(method)?;
        (0..blocks).try_for_each(|block| {
            let head = self.head()?.timestamp;
            dev.mine(timestamp(block, head)).map_err(RpcError::Refused)
        })
    }

    fn edit(&self, method: &'static str, edit: StateEdit) -> RpcResult<()> {
        self.control(method)?.edit(vec![edit]).map_err(RpcError::Refused)
    }

    fn next(&self, method: &'static str, next: NextBlock) -> RpcResult<()> {
        self.control(method)?.set_next(next).map_err(RpcError::Refused)
    }
}

#[async_trait]
impl DevApiServer for Dev {
    fn mine(&self, options: Option<MineOptions>) -> RpcResult<String> {
        let (timestamp, blocks) = MineOptions::of(options);
        self.mine_blocks("evm_mine", blocks, |block, _| timestamp.filter(|_| block == 0))?;
        Ok("0x0".to_owned())
    }

    fn mine_detailed(&self, options: Option<MineOptions>) -> RpcResult<Vec<Block>> {
        let (timestamp, blocks) = MineOptions::of(options);
        let before = self.backend.view()?.height();
        self.mine_blocks("anvil_mineDetailed", blocks, |block, _| {
            timestamp.filter(|_| block == 0)
        })?;
        let view = self.backend.view()?;
        let made = (before + 1..=before.saturating_add(blocks)).map(|number| {
            let data = view.block(number.into())?;
            Ok(data.map(|data| convert::block(&data.block, true, self.backend.prices(data.header()))))
        });
        made.filter_map(Result::transpose).collect()
    }

    fn mine_many(&self, blocks: Option<Number>, interval: Option<Number>) -> RpcResult<()> {
        // Clients send 0 for an interval that they were not given: then the clock decides, as for the first block.
        let interval = interval
            .map(|Number(seconds)| seconds)
            .filter(|seconds| *seconds > 0);
        self.mine_blocks("hardhat_mine", blocks.map_or(1, |Number(n)| n), |block, head| {
            interval
                .filter(|_| block > 0)
                .map(|seconds| head.saturating_add(seconds))
        })
    }

    fn set_automine(&self, on: bool) -> RpcResult<bool> {
        let mode = if on { MiningMode::Auto } else { MiningMode::Manual };
        self.control("evm_setAutomine")?
            .set_mining(mode)
            .map_err(RpcError::Refused)?;
        Ok(true)
    }

    fn automine(&self) -> RpcResult<bool> {
        Ok(self.control("hardhat_getAutomine")?.mining() == MiningMode::Auto)
    }

    fn set_interval_mining(&self, millis: Interval) -> RpcResult<bool> {
        let dev = self.control("evm_setIntervalMining")?;
        dev.set_mining(MiningMode::every(millis.time()))
            .map_err(RpcError::Refused)?;
        Ok(true)
    }

    fn set_interval_mining_seconds(&self, Number(seconds): Number) -> RpcResult<()> {
        let dev = self.control("anvil_setIntervalMining")?;
        dev.set_mining(MiningMode::every(Duration::from_secs(seconds)))
            .map_err(RpcError::Refused)
    }

    fn interval_mining_seconds(&self) -> RpcResult<Option<u64>> {
        Ok(match self.control("anvil_getIntervalMining")?.mining() {
            MiningMode::Interval(interval) => Some(interval.as_secs()),
            MiningMode::Auto | MiningMode::Manual => None,
        })
    }

    fn snapshot(&self) -> RpcResult<U64> {
        self.control("evm_snapshot")?
            .snapshot()
            .map(U64::from)
            .map_err(RpcError::Refused)
    }

    fn revert(&self, Number(id): Number) -> RpcResult<bool> {
        self.control("evm_revert")?.revert(id).map_err(RpcError::Refused)
    }

    fn reset(&self, options: Option<Value>) -> RpcResult<bool> {
        let dev = self.control("hardhat_reset")?;
        let forking = options.as_ref().and_then(|options| options.get("forking"));
        if forking.is_some_and(|forking| !forking.is_null()) {
            return Err(RpcError::InvalidParams(
                "forking is not supported: a development chain starts from its genesis file; anvil_loadState puts accounts into it"
                    .into(),
            ));
        }
        dev.reset().map_err(RpcError::Refused)?;
        Ok(true)
    }

    fn rollback(&self, blocks: Option<Number>) -> RpcResult<()> {
        let blocks = blocks.map_or(1, |Number(blocks)| blocks);
        self.control("anvil_rollback")?
            .rollback(blocks)
            .map_err(RpcError::Refused)
    }

    fn increase_time(&self, Number(seconds): Number) -> RpcResult<i64> {
        self.control("evm_increaseTime")?
            .increase_time(seconds)
            .map_err(RpcError::Refused)
    }

    fn set_next_block_timestamp(&self, Number(timestamp): Number) -> RpcResult<()> {
        let dev = self.control("evm_setNextBlockTimestamp")?;
        dev.set_next_block_timestamp(timestamp).map_err(RpcError::Refused)
    }

    fn set_time(&self, Number(timestamp): Number) -> RpcResult<i64> {
        let dev = self.control("evm_setTime")?;
        dev.set_time(timestamp).map_err(RpcError::Refused)
    }

    fn set_block_timestamp_interval(&self, Number(seconds): Number) -> RpcResult<()> {
        self.next(
            "anvil_setBlockTimestampInterval",
            NextBlock::Spacing(Some(seconds)),
        )
    }

    fn remove_block_timestamp_interval(&self) -> RpcResult<bool> {
        self.next("anvil_removeBlockTimestampInterval", NextBlock::Spacing(None))?;
        Ok(true)
    }

    fn set_coinbase(&self, address: Address) -> RpcResult<bool> {
        self.next("hardhat_setCoinbase", NextBlock::Coinbase(address))?;
        Ok(true)
    }

    fn set_next_base_fee(&self, Number(fee): Number) -> RpcResult<bool> {
        self.next("hardhat_setNextBlockBaseFeePerGas", NextBlock::BaseFee(fee))?;
        Ok(true)
    }

    fn set_prev_randao(&self, randomness: Slot) -> RpcResult<bool> {
        self.next(
            "hardhat_setPrevRandao",
            NextBlock::PrevRandao(randomness.number().into()),
        )?;
        Ok(true)
    }

    fn set_block_gas_limit(&self, Number(limit): Number) -> RpcResult<bool> {
        if limit == 0 {
            return Err(RpcError::InvalidParams(
                "a block needs a gas limit above 0".into(),
            ));
        }
        self.next("evm_setBlockGasLimit", NextBlock::GasLimit(limit))?;
        Ok(true)
    }

    fn set_min_gas_price(&self, _: U256) -> RpcResult<()> {
        self.control("hardhat_setMinGasPrice")?;
        Err(RpcError::Refused(
            "hardhat_setMinGasPrice is of the time before EIP-1559: set the next base fee instead".into(),
        ))
    }

    fn set_balance(&self, address: Address, balance: U256) -> RpcResult<bool> {
        self.edit("hardhat_setBalance", StateEdit::Balance { address, balance })?;
        Ok(true)
    }

    fn add_balance(&self, address: Address, amount: U256) -> RpcResult<()> {
        self.edit("anvil_addBalance", StateEdit::AddBalance { address, amount })
    }

    fn set_nonce(&self, address: Address, Number(nonce): Number) -> RpcResult<bool> {
        self.edit("hardhat_setNonce", StateEdit::Nonce { address, nonce })?;
        Ok(true)
    }

    fn set_code(&self, address: Address, code: Bytes) -> RpcResult<bool> {
        self.edit("hardhat_setCode", StateEdit::Code { address, code })?;
        Ok(true)
    }

    fn set_storage_at(&self, address: Address, slot: Slot, value: Slot) -> RpcResult<bool> {
        let (slot, value) = (slot.number(), value.number().into());
        self.edit(
            "hardhat_setStorageAt",
            StateEdit::Storage { address, slot, value },
        )?;
        Ok(true)
    }

    async fn dump_state(&self, _history: Option<bool>) -> RpcResult<Bytes> {
        let this = self.clone();
        self.workers
            .run(move || {
                let dump = this.control("anvil_dumpState")?.dump();
                dump.map_err(RpcError::Refused)?
                    .pack()
                    .map_err(RpcError::internal)
            })
            .await
    }

    async fn load_state(&self, state: Bytes) -> RpcResult<bool> {
        let this = self.clone();
        self.workers
            .run(move || {
                let dev = this.control("anvil_loadState")?;
                let dump = Dump::unpack(&state).map_err(|e| RpcError::InvalidParams(e.to_string()))?;
                dev.edit(dump.edits()).map_err(RpcError::Refused)?;
                Ok(true)
            })
            .await
    }

    fn impersonate_account(&self, address: Address) -> RpcResult<bool> {
        self.control("hardhat_impersonateAccount")?
            .impersonate(address, true);
        Ok(true)
    }

    fn stop_impersonating_account(&self, address: Address) -> RpcResult<bool> {
        let dev = self.control("hardhat_stopImpersonatingAccount")?;
        Ok(dev.impersonate(address, false))
    }

    fn auto_impersonate_account(&self, on: bool) -> RpcResult<()> {
        self.control("anvil_autoImpersonateAccount")?.impersonate_all(on);
        Ok(())
    }

    fn drop_transaction(&self, hash: B256) -> RpcResult<bool> {
        self.control("hardhat_dropTransaction")?;
        Ok(self.backend.pool.remove(&hash))
    }

    fn drop_all_transactions(&self) -> RpcResult<()> {
        self.control("anvil_dropAllTransactions")?;
        self.drop_where(|_| true);
        Ok(())
    }

    fn remove_pool_transactions(&self, sender: Address) -> RpcResult<()> {
        self.control("anvil_removePoolTransactions")?;
        self.drop_where(|from| *from == sender);
        Ok(())
    }

    fn node_info(&self) -> RpcResult<Value> {
        self.control("anvil_nodeInfo")?;
        let head = self.head()?;
        let spec = self.backend.chain.spec();
        let base_fee = U64::from(spec.next_base_fee(&head).unwrap_or_default());
        Ok(json!({
            "currentBlockNumber": U64::from(head.number),
            "currentBlockTimestamp": head.timestamp,
            "currentBlockHash": self.backend.chain.head().hash(),
            "hardFork": "osaka",
            "transactionOrder": "fees",
            "environment": {
                "baseFee": base_fee,
                "chainId": spec.chain_id(),
                "gasLimit": U64::from(spec.next_gas_limit(&head)),
                "gasPrice": base_fee,
            },
            "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
        }))
    }

    fn metadata(&self) -> RpcResult<Value> {
        self.control("hardhat_metadata")?;
        let head = self.backend.chain.head();
        Ok(json!({
            "clientVersion": self.backend.client_version(),
            "chainId": self.backend.chain.spec().chain_id(),
            "instanceId": self.instance,
            "latestBlockNumber": head.number(),
            "latestBlockHash": head.hash(),
        }))
    }

    fn set_logging_enabled(&self, _: bool) -> RpcResult<bool> {
        // The node does not log requests in the first place.
        self.control("hardhat_setLoggingEnabled")?;
        Ok(true)
    }
}

impl Dev {
    fn drop_where(&self, unwanted: impl Fn(&Address) -> bool) {
        let content = self.backend.pool.content();
        let senders = content.ready.into_iter().chain(content.queued);
        for (sender, transactions) in senders {
            if unwanted(&sender) {
                for transaction in transactions {
                    self.backend.pool.remove(transaction.hash());
                }
            }
        }
    }
}
