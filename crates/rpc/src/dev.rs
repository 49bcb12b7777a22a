//! Controls of a development node, under the names that test frameworks know (`evm_`, and hardhat's and anvil's
//! `_mine`). Every other node answers them with an error.

use alloy_primitives::U64;
use jsonrpsee::proc_macros::rpc;
use serde::{Deserialize, Deserializer, de};

use crate::{
    backend::Backend,
    error::{RpcError, RpcResult},
};

/// Blocks in one request.
const MAX_BLOCKS: u64 = 10_000;

#[rpc(server)]
pub(crate) trait DevApi {
    #[method(name = "evm_mine", aliases = ["evm_mineBlock"], blocking)]
    fn mine(&self, timestamp: Option<MineOptions>) -> RpcResult<String>;

    #[method(name = "hardhat_mine", aliases = ["anvil_mine"], blocking)]
    fn mine_many(&self, blocks: Option<Number>, interval: Option<Number>) -> RpcResult<()>;

    #[method(name = "evm_snapshot", blocking)]
    fn snapshot(&self) -> RpcResult<U64>;

    #[method(name = "evm_revert", blocking)]
    fn revert(&self, id: Number) -> RpcResult<bool>;

    #[method(name = "evm_increaseTime", blocking)]
    fn increase_time(&self, seconds: Number) -> RpcResult<i64>;

    #[method(name = "evm_setNextBlockTimestamp", blocking)]
    fn set_next_block_timestamp(&self, timestamp: Number) -> RpcResult<()>;
}

/// A number as the frameworks send it: JSON's own, decimal text, or hexadecimal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number(pub(crate) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(number) => Ok(Self(number)),
            Form::Text(text) => {
                let number = match text.strip_prefix("0x") {
                    Some(hex) => u64::from_str_radix(hex, 16),
                    None => text.parse(),
                };
                number
                    .map(Self)
                    .map_err(|_| de::Error::custom(format!("{text:?} is not a number")))
            }
        }
    }
}

/// The parameter of `evm_mine`: nothing, the block's timestamp, or an object with it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
pub(crate) enum MineOptions {
    /// The timestamp.
    Timestamp(Number),
    /// ganache's form.
    Options {
        /// The timestamp of the first block.
        timestamp: Option<Number>,
        /// How many blocks.
        blocks: Option<Number>,
    },
}

/// The methods' implementation.
#[derive(Debug, Clone)]
pub(crate) struct Dev {
    backend: Backend,
}

impl Dev {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend }
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
        let dev = self.backend.dev(method)?;
        (0..blocks).try_for_each(|block| {
            let head = self.backend.view()?.head()?.timestamp;
            dev.mine(timestamp(block, head)).map_err(RpcError::Refused)
        })
    }
}

impl DevApiServer for Dev {
    fn mine(&self, options: Option<MineOptions>) -> RpcResult<String> {
        let (timestamp, blocks) = match options {
            None => (None, 1),
            Some(MineOptions::Timestamp(Number(timestamp))) => (Some(timestamp), 1),
            Some(MineOptions::Options { timestamp, blocks }) => {
                (timestamp.map(|Number(t)| t), blocks.map_or(1, |Number(n)| n))
            }
        };
        self.mine_blocks("evm_mine", blocks, |block, _| timestamp.filter(|_| block == 0))?;
        Ok("0x0".to_owned())
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

    fn snapshot(&self) -> RpcResult<U64> {
        self.backend
            .dev("evm_snapshot")?
            .snapshot()
            .map(U64::from)
            .map_err(RpcError::Refused)
    }

    fn revert(&self, Number(id): Number) -> RpcResult<bool> {
        self.backend
            .dev("evm_revert")?
            .revert(id)
            .map_err(RpcError::Refused)
    }

    fn increase_time(&self, Number(seconds): Number) -> RpcResult<i64> {
        let ahead = self
            .backend
            .dev("evm_increaseTime")?
            .increase_time(seconds)
            .map_err(RpcError::Refused)?;
        Ok(i64::try_from(ahead).unwrap_or(i64::MAX))
    }

    fn set_next_block_timestamp(&self, Number(timestamp): Number) -> RpcResult<()> {
        let dev = self.backend.dev("evm_setNextBlockTimestamp")?;
        dev.set_next_block_timestamp(timestamp).map_err(RpcError::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_in_the_forms_that_frameworks_send() {
        for text in ["16", "\"16\"", "\"0x10\""] {
            assert_eq!(
                serde_json::from_str::<Number>(text).unwrap(),
                Number(16),
                "{text}"
            );
        }
        for text in ["-1", "\"\"", "\"0x\"", "\"ten\"", "1.5", "null"] {
            assert!(serde_json::from_str::<Number>(text).is_err(), "{text}");
        }
    }
}
