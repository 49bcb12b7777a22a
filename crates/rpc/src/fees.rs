//! What to pay: `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_feeHistory`.

use std::collections::BTreeMap;

use alloy_consensus::{Header, Transaction};
use alloy_eips::BlockNumberOrTag;
use alloy_primitives::B256;
use alloy_rpc_types_eth::FeeHistory;
use parking_lot::Mutex;
use synod_chain::{Receipt, SealedBlock};

use crate::{
    backend::View,
    error::{RpcError, RpcResult},
};

/// How many blocks back the suggestion of a tip looks.
const SAMPLED_BLOCKS: u64 = 20;
/// Tips sampled in each of them, from the lowest.
const SAMPLED_TIPS: usize = 3;
/// Of the sampled tips, the one that so many percent are not above is suggested (as geth does).
const SUGGESTED_PERCENTILE: usize = 60;
/// Blocks in one answer of `eth_feeHistory`.
const MAX_HISTORY: u64 = 1024;
/// Percentiles in one request of `eth_feeHistory`.
const MAX_PERCENTILES: usize = 100;

/// Tips of recent blocks, read once for each block: tools ask before every transaction, and blocks may be large.
#[derive(Debug, Default)]
pub(crate) struct Tips {
    /// Hash and lowest tips, by height.
    blocks: Mutex<BTreeMap<u64, (B256, Vec<u128>)>>,
}

impl Tips {
    /// A tip that gets a transaction into a block soon: what others paid lately, and at least `minimum`; nothing where
    /// gas is free.
    pub(crate) fn suggestion(&self, view: &View, minimum: u128) -> RpcResult<u128> {
        if view.gas_is_free() {
            return Ok(0);
        }
        let head = view.height();
        let oldest = head.saturating_sub(SAMPLED_BLOCKS - 1);
        let mut blocks = self.blocks.lock();
        blocks.retain(|number, _| (oldest..=head).contains(number));
        let mut tips: Vec<u128> = Vec::new();
        for number in oldest..=head {
            let hash = view.snapshot().block_hash(number)?.unwrap_or_default();
            // After a rewind another block stands at the height.
            if blocks.get(&number).is_none_or(|(known, _)| *known != hash) {
                let lowest = view
                    .block(number.into())?
                    .map(|data| lowest_tips(&data.block))
                    .unwrap_or_default();
                blocks.insert(number, (hash, lowest));
            }
            if let Some((_, lowest)) = blocks.get(&number) {
                tips.extend(lowest);
            }
        }
        tips.sort_unstable();
        let suggestion = tips
            .len()
            .checked_sub(1)
            .map(|last| tips[last * SUGGESTED_PERCENTILE / 100]);
        Ok(suggestion.unwrap_or_default().max(minimum))
    }
}

/// The lowest tips with which a transaction came into a block.
fn lowest_tips(block: &SealedBlock) -> Vec<u128> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut tips: Vec<u128> = block
        .body
        .transactions
        .iter()
        .filter_map(|tx| tx.effective_tip_per_gas(base_fee))
        .collect();
    tips.sort_unstable();
    tips.truncate(SAMPLED_TIPS);
    tips
}

/// Base fees, fullness and tips of the `count` blocks up to `newest`, and the base fee of the block after them.
pub(crate) fn history(
    view: &View,
    count: u64,
    newest: BlockNumberOrTag,
    percentiles: Option<&[f64]>,
    next_base_fee: impl Fn(&Header) -> Option<u64>,
) -> RpcResult<FeeHistory> {
    if let Some(percentiles) = percentiles {
        check_percentiles(percentiles)?;
    }
    let newest = view.number(newest);
    if newest > view.height() {
        return Err(RpcError::InvalidParams(format!(
            "request beyond head block: requested {newest}, head {}",
            view.height()
        )));
    }
    let count = count.min(MAX_HISTORY).min(newest + 1);
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let oldest = newest + 1 - count;
    let mut history = FeeHistory {
        oldest_block: oldest,
        ..Default::default()
    };
    let mut rewards = Vec::new();
    let mut last = None;
    for number in oldest..=newest {
        let header = view
            .header_at(number)?
            .ok_or_else(|| RpcError::internal(format!("no header at {number}")))?;
        let blobs = view.blob_params(&header);
        history
            .base_fee_per_gas
            .push(header.base_fee_per_gas.unwrap_or_default().into());
        history
            .gas_used_ratio
            .push(ratio(header.gas_used, header.gas_limit));
        history.base_fee_per_blob_gas.push(
            header
                .excess_blob_gas
                .zip(blobs)
                .map(|(excess, blobs)| blobs.calc_blob_fee(excess))
                .unwrap_or_default(),
        );
        history.blob_gas_used_ratio.push(
            header
                .blob_gas_used
                .zip(blobs)
                .map(|(used, blobs)| ratio(used, blobs.max_blob_gas_per_block()))
                .unwrap_or_default(),
        );
        if let Some(percentiles) = percentiles {
            let data = view.block(number.into())?;
            let data = data.ok_or_else(|| RpcError::internal(format!("no block at {number}")))?;
            rewards.push(if view.gas_is_free() {
                vec![0; percentiles.len()]
            } else {
                block_rewards(&data.block, &data.receipts, percentiles)
            });
        }
        last = Some((header, blobs));
    }
    if let Some((header, blobs)) = last {
        history
            .base_fee_per_gas
            .push(next_base_fee(&header).unwrap_or_default().into());
        let next_blob_fee = blobs.and_then(|blobs| header.next_block_blob_fee(blobs));
        history
            .base_fee_per_blob_gas
            .push(next_blob_fee.unwrap_or_default());
    }
    history.reward = percentiles.map(|_| rewards);
    Ok(history)
}

fn check_percentiles(percentiles: &[f64]) -> RpcResult<()> {
    if percentiles.len() > MAX_PERCENTILES {
        return Err(RpcError::InvalidParams(format!(
            "over the query limit {MAX_PERCENTILES}"
        )));
    }
    for (index, percentile) in percentiles.iter().enumerate() {
        if !(0.0..=100.0).contains(percentile) {
            return Err(RpcError::InvalidParams(format!(
                "invalid reward percentile: {percentile}"
            )));
        }
        if index > 0 && percentiles[index - 1] > *percentile {
            let before = percentiles[index - 1];
            return Err(RpcError::InvalidParams(format!(
                "invalid reward percentile: #{}:{before} > #{index}:{percentile}",
                index - 1
            )));
        }
    }
    Ok(())
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// The tips at percentiles of a block's gas: the tip of the transaction at which so many percent of the gas are reached,
/// counted from the lowest tip.
fn block_rewards(block: &SealedBlock, receipts: &[Receipt], percentiles: &[f64]) -> Vec<u128> {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut before = 0;
    let mut paid: Vec<(u128, u64)> = block
        .body
        .transactions
        .iter()
        .zip(receipts)
        .map(|(tx, receipt)| {
            let gas_used = receipt.cumulative_gas_used() - before;
            before = receipt.cumulative_gas_used();
            (tx.effective_tip_per_gas(base_fee).unwrap_or_default(), gas_used)
        })
        .collect();
    paid.sort_unstable();
    let mut rest = paid.iter();
    let Some(mut current) = rest.next() else {
        return vec![0; percentiles.len()];
    };
    let mut gas = current.1;
    percentiles
        .iter()
        .map(|percentile| {
            let threshold = (block.header.gas_used as f64 * percentile / 100.0) as u64;
            while gas < threshold {
                let Some(next) = rest.next() else { break };
                current = next;
                gas += next.1;
            }
            current.0
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_must_rise_within_0_and_100() {
        assert!(check_percentiles(&[0.0, 50.0, 50.0, 100.0]).is_ok());
        for bad in [&[-1.0][..], &[100.5], &[f64::NAN], &[50.0, 20.0], &[1.0; 101]] {
            assert!(
                matches!(check_percentiles(bad), Err(RpcError::InvalidParams(_))),
                "{bad:?}"
            );
        }
    }
}
