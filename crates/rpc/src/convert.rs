//! Stored blocks, transactions and receipts in the shapes of the RPC.

use alloy_consensus::{
    Header as ConsensusHeader, Transaction as _, TxReceipt,
    transaction::{Recovered, TransactionInfo},
};
use alloy_eips::eip7840::BlobParams;
use alloy_primitives::{Address, B256, Sealed, TxKind, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::{Block, BlockTransactions, Header, Log, Transaction, TransactionReceipt};
use synod_chain::{BlockData, Receipt, SealedBlock, pool::PoolTransaction};

/// What the header of a block does not say of its prices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prices {
    /// Blob parameters in force at the block, for what an imported chain paid.
    pub(crate) blobs: Option<BlobParams>,
    /// Gas costs nothing, whatever transactions offer.
    pub(crate) gas_is_free: bool,
}

impl Prices {
    /// What a transaction of a block pays for a unit of gas.
    fn of_gas(self, transaction: &synod_chain::Transaction, block: &SealedBlock) -> u128 {
        if self.gas_is_free {
            return 0;
        }
        transaction.effective_gas_price(block.header.base_fee_per_gas)
    }
}

/// A block with its transactions, or with their hashes only.
pub(crate) fn block(block: &SealedBlock, full: bool, prices: Prices) -> Block {
    let transactions = if full {
        BlockTransactions::Full(
            (0..block.senders.len())
                .filter_map(|i| transaction(block, i, prices))
                .collect(),
        )
    } else {
        BlockTransactions::Hashes(block.body.transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    Block {
        header: header(block),
        uncles: block.body.ommers.iter().map(ConsensusHeader::hash_slow).collect(),
        transactions,
        withdrawals: block.body.withdrawals.clone(),
    }
}

/// The header, with the size of the whole block.
pub(crate) fn header(block: &SealedBlock) -> Header {
    let size = U256::from(block.to_block().length());
    Header::from_consensus(
        Sealed::new_unchecked(block.header.clone(), block.hash),
        None,
        Some(size),
    )
}

/// The transaction at `index` of a block.
pub(crate) fn transaction(block: &SealedBlock, index: usize, prices: Prices) -> Option<Transaction> {
    let inner = block.body.transactions.get(index)?.clone();
    let price = prices.of_gas(&inner, block);
    let sender = *block.senders.get(index)?;
    let info = TransactionInfo {
        hash: Some(*inner.tx_hash()),
        index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        base_fee: block.header.base_fee_per_gas,
        block_timestamp: Some(block.header.timestamp),
    };
    let transaction = Transaction::from_transaction(Recovered::new_unchecked(inner, sender), info);
    Some(Transaction {
        effective_gas_price: Some(price),
        ..transaction
    })
}

/// A transaction that waits for a block.
pub(crate) fn pending(transaction: &PoolTransaction) -> Transaction {
    Transaction::from_transaction(transaction.transaction().clone(), TransactionInfo::default())
}

/// The receipts of a block.
pub(crate) fn receipts(data: &BlockData, prices: Prices) -> Vec<TransactionReceipt> {
    (0..data.receipts.len())
        .filter_map(|index| receipt(data, index, prices))
        .collect()
}

/// The receipt at `index` of a block.
pub(crate) fn receipt(data: &BlockData, index: usize, prices: Prices) -> Option<TransactionReceipt> {
    let BlockData { block, receipts } = data;
    let transaction = block.body.transactions.get(index)?;
    let sender = *block.senders.get(index)?;
    let stored = receipts.get(index)?;
    let before = receipts.get(..index)?;
    let gas_before = before.last().map_or(0, |receipt| receipt.cumulative_gas_used());
    let first_log = before.iter().map(|receipt| receipt.logs().len() as u64).sum();
    let blob_gas_used = transaction.blob_gas_used();
    let blob_price = prices
        .blobs
        .zip(block.header.excess_blob_gas)
        .map(|(params, excess)| params.calc_blob_fee(excess));
    Some(TransactionReceipt {
        inner: Position {
            block,
            index,
            first_log,
        }
        .receipt(stored),
        transaction_hash: *transaction.tx_hash(),
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.header.number),
        gas_used: stored.cumulative_gas_used().saturating_sub(gas_before),
        effective_gas_price: prices.of_gas(transaction, block),
        blob_gas_used,
        blob_gas_price: blob_gas_used.and(blob_price),
        from: sender,
        to: transaction.to(),
        contract_address: created(sender, transaction.kind(), transaction.nonce()),
    })
}

/// The logs of a block, in order.
pub(crate) fn logs(data: &BlockData) -> Vec<Log> {
    let block = &data.block;
    let mut logs = Vec::new();
    for (index, receipt) in data.receipts.iter().enumerate() {
        let position = Position {
            block,
            index,
            first_log: logs.len() as u64,
        };
        logs.extend(position.logs(receipt));
    }
    logs
}

fn created(sender: Address, kind: TxKind, nonce: u64) -> Option<Address> {
    kind.is_create().then(|| sender.create(nonce))
}

/// Where a receipt stands.
struct Position<'a> {
    block: &'a SealedBlock,
    index: usize,
    /// How many logs of the block come before the receipt's first.
    first_log: u64,
}

impl Position<'_> {
    fn logs<'a>(&'a self, receipt: &'a Receipt) -> impl Iterator<Item = Log> + 'a {
        let transaction_hash: Option<B256> = self
            .block
            .body
            .transactions
            .get(self.index)
            .map(|tx| *tx.tx_hash());
        receipt
            .logs()
            .iter()
            .zip(self.first_log..)
            .map(move |(log, log_index)| Log {
                inner: log.clone(),
                block_hash: Some(self.block.hash),
                block_number: Some(self.block.header.number),
                block_timestamp: Some(self.block.header.timestamp),
                transaction_hash,
                transaction_index: Some(self.index as u64),
                log_index: Some(log_index),
                removed: false,
            })
    }

    fn receipt(&self, receipt: &Receipt) -> alloy_consensus::ReceiptEnvelope<Log> {
        use alloy_consensus::{Receipt as Bare, ReceiptEnvelope, ReceiptWithBloom};
        let bare = ReceiptWithBloom {
            receipt: Bare {
                status: receipt.status_or_post_state(),
                cumulative_gas_used: receipt.cumulative_gas_used(),
                logs: self.logs(receipt).collect(),
            },
            logs_bloom: *receipt.logs_bloom(),
        };
        match receipt {
            Receipt::Legacy(_) => ReceiptEnvelope::Legacy(bare),
            Receipt::Eip2930(_) => ReceiptEnvelope::Eip2930(bare),
            Receipt::Eip1559(_) => ReceiptEnvelope::Eip1559(bare),
            Receipt::Eip4844(_) => ReceiptEnvelope::Eip4844(bare),
            Receipt::Eip7702(_) => ReceiptEnvelope::Eip7702(bare),
        }
    }
}
