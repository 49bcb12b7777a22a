//! The block tag `pending`.
//!
//! It names the block after the last one, which does not exist. What is known of it depends on the question:
//!
//! | question | answer |
//! |---|---|
//! | the block, its header, its transactions | number, time, limits and base fee of the next block, with the transactions that wait, in the order in which a block would take them. Nobody ran them: no gas is used and the state root is the last block's. The hash is that of this header; no block of the chain will have it |
//! | a call, an estimate | the next block's environment on the last block's state |
//! | an account's nonce | the waiting transactions counted |
//! | balances, code, storage, proofs | the last block's |
//! | receipts, logs | none |

use std::sync::Arc;

use alloy_consensus::Transaction;
use synod_chain::BlockData;

use crate::backend::{Backend, now};

/// The next block, as far as it is known.
pub(crate) fn block(backend: &Backend) -> Arc<BlockData> {
    let chain = &backend.chain;
    let head = chain.head();
    let spec = chain.spec();
    let mut gas_left = spec.next_gas_limit(head.header());
    let base_fee = spec.next_base_fee(head.header()).unwrap_or_default();
    let transactions = backend.pool.best(base_fee).map_while(|waiting| {
        let transaction = waiting.transaction();
        gas_left = gas_left.checked_sub(transaction.gas_limit())?;
        Some(transaction.clone())
    });
    Arc::new(chain.pending_block(now(), transactions.collect()))
}
