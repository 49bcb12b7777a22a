//! Proof that a transaction and its receipt are in a block, for whoever has the block's header.
//!
//! A header commits to its transactions and receipts by the roots of two Merkle Patricia tries: key RLP(index), value the
//! EIP-2718 encoding. A proof is the nodes from the root down to the value, as `eth_getProof` (EIP-1186) gives them for
//! accounts.

use crate::{BlockData, Receipt, Transaction};
use alloy_consensus::Header;
use alloy_eips::{Decodable2718 as _, Encodable2718 as _};
use alloy_primitives::{B256, Bytes, U64};
use alloy_trie::{
    HashBuilder, Nibbles,
    proof::{ProofRetainer, verify_proof},
    root::adjust_index_for_rlp,
};
use serde::{Deserialize, Serialize};

/// A transaction and its receipt, with the trie nodes that tie them to a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InclusionProof {
    /// Position in the block.
    pub index: U64,
    /// The transaction (EIP-2718).
    pub transaction: Bytes,
    /// Nodes of the transactions' trie, the root first.
    pub transaction_proof: Vec<Bytes>,
    /// The receipt (EIP-2718).
    pub receipt: Bytes,
    /// Nodes of the receipts' trie, the root first.
    pub receipt_proof: Vec<Bytes>,
}

/// A proof that proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InclusionError {
    /// The transaction is not the one that the header commits to.
    #[error("the transaction is not number {index} of the block with transactions root {root}")]
    Transaction {
        /// The position claimed.
        index: u64,
        /// The header's root.
        root: B256,
    },
    /// The receipt is not the one that the header commits to.
    #[error("the receipt is not number {index} of the block with receipts root {root}")]
    Receipt {
        /// The position claimed.
        index: u64,
        /// The header's root.
        root: B256,
    },
}

impl InclusionProof {
    /// The proof for the transaction at a position; `None` if the block has fewer.
    #[must_use]
    pub fn new(data: &BlockData, index: usize) -> Option<Self> {
        let transactions = &data.block.body.transactions;
        let (transaction, receipt) = (transactions.get(index)?, data.receipts.get(index)?);
        let transactions: Vec<_> = transactions.iter().map(|t| t.encoded_2718()).collect();
        let receipts: Vec<_> = data.receipts.iter().map(|r| r.encoded_2718()).collect();
        Some(Self {
            index: U64::from(index),
            transaction: transaction.encoded_2718().into(),
            transaction_proof: prove(&transactions, index),
            receipt: receipt.encoded_2718().into(),
            receipt_proof: prove(&receipts, index),
        })
    }

    /// The transaction and its receipt, if this header commits to both.
    ///
    /// # Errors
    /// When one of them is not at this position of the header's block.
    pub fn verify(&self, header: &Header) -> Result<(Transaction, Receipt), InclusionError> {
        let index = self.index.to::<u64>();
        let key = key(index);
        let holds = |root: B256, value: &Bytes, nodes: &[Bytes]| {
            verify_proof(root, key, Some(value.to_vec()), nodes).is_ok()
        };
        let (root, value) = (header.transactions_root, &self.transaction);
        let transaction = Some(value)
            .filter(|value| holds(root, value, &self.transaction_proof))
            .and_then(|value| Transaction::decode_2718_exact(value).ok())
            .ok_or(InclusionError::Transaction { index, root })?;
        let (root, value) = (header.receipts_root, &self.receipt);
        let receipt = Some(value)
            .filter(|value| holds(root, value, &self.receipt_proof))
            .and_then(|value| Receipt::decode_2718_exact(value).ok())
            .ok_or(InclusionError::Receipt { index, root })?;
        Ok((transaction, receipt))
    }
}

fn key(index: u64) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode_fixed_size(&index))
}

/// The nodes from the root of the trie of these values down to one of them.
fn prove(values: &[Vec<u8>], index: usize) -> Vec<Bytes> {
    let target = key(index as u64);
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(vec![target]));
    for position in 0..values.len() {
        let position = adjust_index_for_rlp(position, values.len());
        builder.add_leaf(key(position as u64), &values[position]);
    }
    builder.root();
    let nodes = builder.take_proof_nodes().into_nodes_sorted();
    nodes.into_iter().map(|(_, node)| node).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use crate::SealedBlock;
    use alloy_consensus::{
        BlockBody, Eip658Value, Receipt as Bare, ReceiptWithBloom, SignableTransaction as _, TxLegacy,
        proofs::{calculate_receipt_root, calculate_transaction_root},
    };
    use alloy_primitives::Signature;

    /// A block of so many transactions, each different.
    fn block(count: u64) -> BlockData {
        let transactions: Vec<Transaction> = (0..count)
            .map(|nonce| {
                let legacy = TxLegacy {
                    nonce,
                    ..Default::default()
                };
                legacy.into_signed(Signature::test_signature()).into()
            })
            .collect();
        let receipts: Vec<Receipt> = (1..=count)
            .map(|number| {
                let bare = Bare {
                    status: Eip658Value::Eip658(number % 3 != 0),
                    cumulative_gas_used: 21_000 * number,
                    logs: Vec::new(),
                };
                Receipt::Legacy(ReceiptWithBloom::new(bare, Default::default()))
            })
            .collect();
        let header = Header {
            transactions_root: calculate_transaction_root(&transactions),
            receipts_root: calculate_receipt_root(&receipts),
            ..Default::default()
        };
        let block = SealedBlock {
            hash: header.hash_slow(),
            senders: Vec::new(),
            header,
            body: BlockBody {
                transactions,
                ..Default::default()
            },
        };
        BlockData { block, receipts }
    }

    /// Positions around where the encoding of the key grows, in blocks of those sizes.
    #[test]
    fn every_position_is_proven_and_nothing_else() {
        for count in [1, 2, 3, 16, 17, 127, 128, 129, 256, 300] {
            let data = block(count);
            for index in [0, 1, 126, 127, 128, 255, 256, count - 1] {
                let position = usize::try_from(index).unwrap();
                let Some(proof) = InclusionProof::new(&data, position) else {
                    assert!(index >= count);
                    continue;
                };
                let (transaction, receipt) = proof.verify(data.header()).unwrap();
                assert_eq!(transaction, data.block.body.transactions[position]);
                assert_eq!(receipt, data.receipts[position]);

                // At another position, under other roots, with a node changed or gone, it proves nothing.
                let elsewhere = InclusionProof {
                    index: U64::from(index + 1),
                    ..proof.clone()
                };
                assert!(elsewhere.verify(data.header()).is_err());
                assert!(proof.verify(&Header::default()).is_err());
                let mut false_receipt = proof.clone();
                let mut bytes = false_receipt.receipt.to_vec();
                *bytes.last_mut().unwrap() ^= 1;
                false_receipt.receipt = bytes.into();
                assert!(matches!(
                    false_receipt.verify(data.header()),
                    Err(InclusionError::Receipt { .. })
                ));
                let mut cut = proof.clone();
                cut.transaction_proof.pop();
                assert!(matches!(
                    cut.verify(data.header()),
                    Err(InclusionError::Transaction { .. })
                ));
            }
        }
    }
}
