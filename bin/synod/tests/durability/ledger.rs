//! What clients have been told, and the check that it still holds.

use alloy_primitives::{Address, B256, TxHash, U256};
use alloy_provider::Provider;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};
use synod_testing::Node;

/// One receipt as a client saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) sender: Address,
    pub(crate) nonce: u64,
    pub(crate) to: Address,
    pub(crate) value: U256,
    pub(crate) block: u64,
    pub(crate) block_hash: B256,
}

#[derive(Debug, Default)]
struct Entries {
    receipts: BTreeMap<TxHash, Seen>,
    /// Receipts that no check has looked at yet.
    fresh: Vec<TxHash>,
}

/// Everything that was seen final, over all lives of the node.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no sender panics while it writes")
    }

    pub(crate) fn saw(&self, transaction: TxHash, seen: Seen) {
        let mut entries = self.entries();
        entries.fresh.push(transaction);
        entries.receipts.insert(transaction, seen);
    }

    pub(crate) fn receipts(&self) -> usize {
        self.entries().receipts.len()
    }

    /// Asks the node about what was seen since the last check, or about `all` that was ever seen.
    pub(crate) async fn check(&self, node: &Node, context: &str, all: bool) {
        let wanted: Vec<(TxHash, Seen)> = {
            let mut entries = self.entries();
            let fresh = std::mem::take(&mut entries.fresh);
            if all {
                entries
                    .receipts
                    .iter()
                    .map(|(hash, seen)| (*hash, seen.clone()))
                    .collect()
            } else {
                fresh
                    .into_iter()
                    .map(|hash| (hash, entries.receipts[&hash].clone()))
                    .collect()
            }
        };
        let rpc = node.provider();
        let mut senders = BTreeMap::<Address, u64>::new();
        for (hash, seen) in &wanted {
            let receipt = rpc
                .get_transaction_receipt(*hash)
                .await
                .expect("the node answers");
            let receipt =
                receipt.unwrap_or_else(|| panic!("{context}: the receipt of {hash} is lost: {seen:?}"));
            assert_eq!(
                receipt.block_hash,
                Some(seen.block_hash),
                "{context}: {hash} moved to another block"
            );
            assert_eq!(
                receipt.block_number,
                Some(seen.block),
                "{context}: {hash} moved to another height"
            );
            // Each transfer goes to an address of its own, so the balance says that the state holds it.
            let balance = rpc.get_balance(seen.to).await.expect("the node answers");
            assert_eq!(
                balance, seen.value,
                "{context}: the transfer {hash} is not in the state"
            );
            let next = senders.entry(seen.sender).or_default();
            *next = (*next).max(seen.nonce + 1);
        }
        for (sender, at_least) in senders {
            let nonce = rpc.get_transaction_count(sender).await.expect("the node answers");
            assert!(
                nonce >= at_least,
                "{context}: the nonce of {sender} fell from {at_least} to {nonce}"
            );
        }
        parents(node, context).await;
    }
}

/// The last blocks are a chain by hash, up to the head.
async fn parents(node: &Node, context: &str) {
    let rpc = node.provider();
    let head = rpc.get_block_number().await.expect("the node answers");
    let mut child: Option<B256> = None;
    for number in (head.saturating_sub(20)..=head).rev() {
        let block = rpc
            .get_block_by_number(number.into())
            .await
            .expect("the node answers");
        let block =
            block.unwrap_or_else(|| panic!("{context}: block {number} below the head {head} is missing"));
        if let Some(parent) = child {
            assert_eq!(
                block.header.hash,
                parent,
                "{context}: block {} is not block {number}'s child",
                number + 1
            );
        }
        child = Some(block.header.inner.parent_hash);
    }
}
