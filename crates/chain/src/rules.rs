//! The rules of headers and bodies, before and after execution.
//!
//! What a block's header must say follows from its parent, its body and its execution. Proof of work is the one thing not
//! checked: blocks from before the merge enter only by import, of a chain whose hashes the importer knows.

use crate::{ChainSpec, Departures, Envelope, InvalidBlock, MAX_EXTRA_DATA, execution::Executed};
use alloy_consensus::{
    Block, Header,
    constants::EMPTY_OMMER_ROOT_HASH,
    proofs::{calculate_receipt_root, calculate_transaction_root},
};
use alloy_hardforks::EthereumHardforks;
use alloy_primitives::{B64, B256, U256};
use alloy_rlp::Encodable;
use std::fmt::Display;
use synod_state::Transaction;

/// Least gas limit of a block.
const MIN_GAS_LIMIT: u64 = 5_000;
/// The gas limit moves by less than a 1/1024th of the parent's.
const GAS_LIMIT_BOUND_DIVISOR: u64 = 1_024;

fn same<T: PartialEq + Display>(field: &'static str, got: T, expected: T) -> Result<(), InvalidBlock> {
    if got == expected {
        return Ok(());
    }
    Err(InvalidBlock::Field {
        field,
        got: got.to_string(),
        expected: expected.to_string(),
    })
}

fn optional<T: PartialEq + Display>(
    field: &'static str,
    got: Option<T>,
    expected: Option<T>,
) -> Result<(), InvalidBlock> {
    match (got, expected) {
        (Some(got), Some(expected)) => same(field, got, expected),
        (None, None) => Ok(()),
        (_, expected) => Err(InvalidBlock::Presence {
            field,
            required: expected.is_some(),
        }),
    }
}

/// What can be checked without running the block, but for [`transactions`].
pub(crate) fn before_execution(
    spec: &ChainSpec,
    parent: &Header,
    parent_hash: B256,
    block: &Block<Transaction>,
    departures: Departures,
) -> Result<(), InvalidBlock> {
    let header = &block.header;
    let body = &block.body;
    if let Some(limit) = spec.block_size_limit(header.number, header.timestamp) {
        // First, so that no other check hashes more than this.
        let got = block.length();
        if got > limit {
            return Err(InvalidBlock::Size { got, limit });
        }
    }
    same("parentHash", header.parent_hash, parent_hash)?;
    same("number", header.number, parent.number.saturating_add(1))?;
    if header.extra_data.len() > MAX_EXTRA_DATA {
        return Err(InvalidBlock::ExtraData(header.extra_data.len()));
    }
    let synod = spec.synod().is_some();
    let least = if synod {
        parent.timestamp
    } else {
        parent.timestamp.saturating_add(1)
    };
    if header.timestamp < least {
        return Err(InvalidBlock::Time {
            got: header.timestamp,
            least,
        });
    }
    match departures.gas_limit {
        Some(limit) => same("gasLimit", header.gas_limit, limit)?,
        None => gas_limit(spec, parent, header)?,
    }
    optional(
        "baseFeePerGas",
        header.base_fee_per_gas,
        departures.base_fee.or(spec.next_base_fee(parent)),
    )?;

    let (time, forks) = (header.timestamp, spec.forks_at(header.number));
    if forks.is_paris_active_at_block(header.number) {
        same("difficulty", header.difficulty, U256::ZERO)?;
        same("nonce", header.nonce, B64::ZERO)?;
        same("sha3Uncles", header.ommers_hash, EMPTY_OMMER_ROOT_HASH)?;
        if !body.ommers.is_empty() {
            return Err(InvalidBlock::NotAllowed("ommers"));
        }
    } else {
        same("sha3Uncles", header.ommers_hash, body.calculate_ommers_root())?;
    }

    if body.withdrawals.is_some() != forks.is_shanghai_active_at_timestamp(time) {
        let required = forks.is_shanghai_active_at_timestamp(time);
        return Err(InvalidBlock::Presence {
            field: "withdrawals",
            required,
        });
    }
    optional(
        "withdrawalsRoot",
        header.withdrawals_root,
        body.calculate_withdrawals_root(),
    )?;
    if synod && body.withdrawals.as_ref().is_some_and(|w| !w.is_empty()) {
        // A withdrawal is new money; on Ethereum the beacon chain vouches for it, here nobody does.
        return Err(InvalidBlock::NotAllowed("withdrawals"));
    }

    let cancun = forks.is_cancun_active_at_timestamp(time);
    let blobs = spec.blob_params(header.number, time).filter(|_| cancun);
    // The first block of Cancun has a parent without blob fields, which counts as none used.
    let excess = blobs.map(|params| parent.next_block_excess_blob_gas(params).unwrap_or_default());
    optional("excessBlobGas", header.excess_blob_gas, excess)?;
    let blob_gas = body
        .transactions
        .iter()
        .filter_map(alloy_consensus::Transaction::blob_gas_used)
        .sum();
    optional("blobGasUsed", header.blob_gas_used, blobs.map(|_| blob_gas))?;
    if let Some(params) = blobs
        && blob_gas > params.max_blob_gas_per_block()
    {
        let expected = format!("at most {}", params.max_blob_gas_per_block());
        return Err(InvalidBlock::Field {
            field: "blobGasUsed",
            got: blob_gas.to_string(),
            expected,
        });
    }
    if synod && blob_gas > 0 {
        // No node of this chain keeps blobs, so their data would be unavailable from the start.
        return Err(InvalidBlock::NotAllowed("blob transactions"));
    }
    if header.parent_beacon_block_root.is_some() != cancun {
        return Err(InvalidBlock::Presence {
            field: "parentBeaconBlockRoot",
            required: cancun,
        });
    }
    let prague = forks.is_prague_active_at_timestamp(time);
    if header.requests_hash.is_some() != prague {
        return Err(InvalidBlock::Presence {
            field: "requestsHash",
            required: prague,
        });
    }
    if header.amsterdam_active() {
        return Err(InvalidBlock::Presence {
            field: "blockAccessListHash",
            required: false,
        });
    }
    Ok(())
}

/// That the header names these transactions. A node that builds a block has just computed what it says.
pub(crate) fn transactions(block: &Block<Transaction>) -> Result<(), InvalidBlock> {
    same(
        "transactionsRoot",
        block.header.transactions_root,
        calculate_transaction_root(&block.body.transactions),
    )
}

fn gas_limit(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), InvalidBlock> {
    if spec.synod().is_some() {
        return same("gasLimit", header.gas_limit, spec.next_gas_limit(parent));
    }
    // At London the limit doubles with the elasticity (EIP-1559).
    let forks = spec.forks_at(header.number);
    let london = forks.is_london_active_at_block(header.number);
    let parent_limit = if london && !forks.is_london_active_at_block(parent.number) {
        parent
            .gas_limit
            .saturating_mul(spec.base_fee_params().elasticity_multiplier as u64)
    } else {
        parent.gas_limit
    };
    let bound = parent_limit / GAS_LIMIT_BOUND_DIVISOR;
    if header.gas_limit.abs_diff(parent_limit) >= bound.max(1) || header.gas_limit < MIN_GAS_LIMIT {
        return Err(InvalidBlock::GasLimit {
            got: header.gas_limit,
            parent: parent_limit,
        });
    }
    Ok(())
}

/// What running the block shows.
pub(crate) fn after_execution(
    spec: &ChainSpec,
    header: &Header,
    executed: &Executed,
) -> Result<(), InvalidBlock> {
    same("gasUsed", header.gas_used, executed.gas_used)?;
    // Before Byzantium (EIP-658) a receipt holds the state root after its transaction, which no one needs any more.
    let forks = spec.forks_at(header.number);
    if forks.is_byzantium_active_at_block(header.number) {
        same(
            "receiptsRoot",
            header.receipts_root,
            calculate_receipt_root(&executed.receipts),
        )?;
    }
    if header.logs_bloom != executed.logs_bloom() {
        return Err(InvalidBlock::Field {
            field: "logsBloom",
            got: header.logs_bloom.to_string(),
            expected: executed.logs_bloom().to_string(),
        });
    }
    if let Some(hash) = header.requests_hash {
        same("requestsHash", hash, executed.requests.requests_hash())?;
    }
    same("stateRoot", header.state_root, executed.committed.root)
}

/// How header and envelope hold each other on a Synod chain.
pub(crate) fn envelope(header: &Header, envelope: &Envelope) -> Result<(), InvalidBlock> {
    if envelope.millis > 999 {
        let expected = "at most 999".into();
        return Err(InvalidBlock::Field {
            field: "millis",
            got: envelope.millis.to_string(),
            expected,
        });
    }
    let commitment = envelope.commitment();
    if header.extra_data[..] != commitment[..] {
        return Err(InvalidBlock::Field {
            field: "extraData",
            got: header.extra_data.to_string(),
            expected: commitment.to_string(),
        });
    }
    optional(
        "parentBeaconBlockRoot",
        header.parent_beacon_block_root,
        Some(envelope.parent),
    )
}
