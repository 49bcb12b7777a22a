//! Finding logs: `eth_getLogs` and what log filters share with it.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_rpc_types_eth::{Filter, FilterBlockOption, Log};
use synod_chain::BlockData;

use crate::{
    backend::View,
    convert,
    error::{RpcError, RpcResult},
};

/// How much one search may look at and give back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchLimits {
    /// Blocks in the range.
    pub(crate) blocks: u64,
    /// Logs in the answer.
    pub(crate) logs: usize,
}

/// The logs that a filter asks for.
pub(crate) fn search(view: &View, filter: &Filter, limits: SearchLimits) -> RpcResult<Vec<Log>> {
    match filter.block_option {
        FilterBlockOption::AtBlockHash(hash) => {
            let id = BlockId::from(hash);
            let data = view.block(id)?.ok_or(RpcError::BlockNotFound(id))?;
            Ok(matching(&data, filter))
        }
        FilterBlockOption::Range { from_block, to_block } => {
            let (from, to) = range(view, from_block, to_block)?;
            if from > view.height() || to > view.height() {
                return Err(RpcError::InvalidParams(
                    "block range extends beyond current head block".into(),
                ));
            }
            in_range(view, filter, from, to, limits)
        }
    }
}

/// The bounds of a range, each the head if it is not given.
pub(crate) fn range(
    view: &View,
    from: Option<BlockNumberOrTag>,
    to: Option<BlockNumberOrTag>,
) -> RpcResult<(u64, u64)> {
    let head = view.height();
    let from = from.map_or(head, |tag| view.number(tag));
    let to = to.map_or(head, |tag| view.number(tag));
    if from > to {
        return Err(RpcError::InvalidParams(format!(
            "invalid block range params: from {from} > to {to}"
        )));
    }
    Ok((from, to))
}

/// The matching logs of blocks `from..=to`; blocks above the head have none.
pub(crate) fn in_range(
    view: &View,
    filter: &Filter,
    from: u64,
    to: u64,
    limits: SearchLimits,
) -> RpcResult<Vec<Log>> {
    let to = to.min(view.height());
    if from > to {
        return Ok(Vec::new());
    }
    if to - from >= limits.blocks {
        return Err(RpcError::TooMuch(format!(
            "block range of {} blocks is too wide: at most {} in one request",
            to - from + 1,
            limits.blocks
        )));
    }
    let mut logs = Vec::new();
    for number in from..=to {
        let Some(header) = view.header_at(number)? else {
            continue;
        };
        if !filter.matches_bloom(header.logs_bloom) {
            continue;
        }
        let Some(data) = view.block(number.into())? else {
            continue;
        };
        logs.extend(matching(&data, filter));
        if logs.len() > limits.logs {
            return Err(RpcError::TooMuch(format!(
                "query returned more than {} results: narrow the block range (this one reached block {number})",
                limits.logs
            )));
        }
    }
    Ok(logs)
}

/// The logs of one block that have the filter's addresses and topics.
pub(crate) fn matching(data: &BlockData, filter: &Filter) -> Vec<Log> {
    let mut logs = convert::logs(data);
    logs.retain(|log| filter.matches(&log.inner));
    logs
}
