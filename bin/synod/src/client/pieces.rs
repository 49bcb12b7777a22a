//! Storing pieces: codes of accounts whose address follows from the code, sent through the chunk factory.
//!
//! What is on the chain already is not sent again, so an upload that was interrupted goes on where it stopped.

use super::{Account, Client};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_rpc_types_eth::TransactionReceipt;
use alloy_signer_local::PrivateKeySigner;
use eyre::{Result, ensure};
use std::collections::{BTreeMap, VecDeque};
use synod_evm::{addresses::CHUNK_FACTORY, manifest};

/// Transactions on their way at the same time. More do not help: a block holds only so many of this size.
const IN_FLIGHT: usize = 16;

/// Questions asked at the same time.
const QUESTIONS: usize = 16;

/// What is told while pieces are stored.
pub(crate) trait Progress {
    /// How many bytes are to be sent, out of how many.
    fn begin(&mut self, missing: u64, total: u64);
    /// So many more bytes are on the chain.
    fn advance(&mut self, bytes: u64);
    /// All bytes are there; the registry validates what they are now.
    fn validating(&mut self);
}

/// A piece that has to be sent.
pub(super) struct Missing {
    address: Address,
    pub(super) code: Bytes,
}

/// Totals over receipts.
#[derive(Default)]
pub(super) struct Bill {
    pub(super) gas: u64,
    pub(super) fee: U256,
}

impl Bill {
    pub(super) fn add(&mut self, receipt: &TransactionReceipt) {
        self.gas += receipt.gas_used;
        self.fee += U256::from(receipt.gas_used) * U256::from(receipt.effective_gas_price);
    }
}

/// The pieces that are not on the chain.
pub(super) async fn missing(client: &Client, pieces: &[Bytes]) -> Result<Vec<Missing>> {
    let pieces: Vec<(Address, &Bytes)> = pieces
        .iter()
        .map(|code| (manifest::address_of(code), code))
        .collect();
    let mut missing = Vec::new();
    for group in pieces.chunks(QUESTIONS) {
        let mut questions = tokio::task::JoinSet::new();
        for (index, &(address, _)) in group.iter().enumerate() {
            let client = client.clone();
            questions.spawn(async move { client.exists(address).await.map(|exists| (index, exists)) });
        }
        let mut exists = vec![false; group.len()];
        for answer in questions.join_all().await {
            let (index, there) = answer?;
            exists[index] = there;
        }
        for (&(address, code), _) in group.iter().zip(exists).filter(|(_, there)| !there) {
            missing.push(Missing {
                address,
                code: code.clone(),
            });
        }
    }
    Ok(missing)
}

/// Sends the pieces that are not on the chain; gives how many these were, and what they cost.
pub(super) async fn send_missing(
    account: &mut Account,
    pieces: &[Bytes],
    progress: &mut dyn Progress,
) -> Result<(usize, Bill)> {
    let missing = missing(account.client(), pieces).await?;
    progress.begin(
        missing.iter().map(|piece| piece.code.len() as u64).sum(),
        pieces.iter().map(|code| code.len() as u64).sum(),
    );
    let (mut bill, sent) = (Bill::default(), missing.len());
    send_all(account, missing, &mut bill, progress).await?;
    Ok((sent, bill))
}

/// Sends pieces through the factory, several at a time.
async fn send_all(
    account: &mut Account,
    missing: Vec<Missing>,
    bill: &mut Bill,
    progress: &mut dyn Progress,
) -> Result<()> {
    let mut limits = GasLimits::default();
    let mut waiting: VecDeque<(B256, Address, u64)> = VecDeque::new();
    for piece in missing {
        if waiting.len() == IN_FLIGHT {
            settle(account.client(), &mut waiting, bill, progress).await?;
        }
        let gas = limits.of(account.client(), piece.code.len()).await?;
        let input = manifest::deployment(&piece.code);
        let hash = account
            .send(TxKind::Call(CHUNK_FACTORY), U256::ZERO, input, gas)
            .await?;
        waiting.push_back((hash, piece.address, piece.code.len() as u64));
    }
    while !waiting.is_empty() {
        settle(account.client(), &mut waiting, bill, progress).await?;
    }
    Ok(())
}

/// Waits for the oldest transaction on its way.
async fn settle(
    client: &Client,
    waiting: &mut VecDeque<(B256, Address, u64)>,
    bill: &mut Bill,
    progress: &mut dyn Progress,
) -> Result<()> {
    let Some((hash, address, bytes)) = waiting.pop_front() else {
        return Ok(());
    };
    let receipt = client.wait(hash).await?;
    bill.add(&receipt);
    // The factory reverts where the piece already is: an upload that was interrupted may have sent it before.
    ensure!(
        receipt.status() || client.exists(address).await?,
        "transaction {hash} did not store its piece: the same command again goes on from here"
    );
    progress.advance(bytes);
    Ok(())
}

/// The largest contract on a chain with the shipped genesis.
pub(crate) const SYNOD_CODE_LIMIT: usize = 128 << 10;

/// The largest contract that the chain allows, found by asking: Ethereum's limit, or that of the shipped genesis.
pub(crate) async fn code_size_limit(client: &Client) -> Result<usize> {
    const ETHEREUM: usize = 24_576; // EIP-170
    let piece = manifest::chunk_size(SYNOD_CODE_LIMIT) + 1;
    Ok(if piece_gas(client, piece).await.is_ok() {
        SYNOD_CODE_LIMIT
    } else {
        ETHEREUM
    })
}

/// Gas that storing a piece of this length needs at most.
async fn piece_gas(client: &Client, length: usize) -> Result<u64> {
    client
        .estimate(None, TxKind::Call(CHUNK_FACTORY), U256::ZERO, worst_piece(length))
        .await
}

/// A deployment of `length` bytes of code that nobody has stored and that costs as much as any: zero bytes are cheaper.
fn worst_piece(length: usize) -> Bytes {
    let mut code = vec![0xff; length];
    let unusual = PrivateKeySigner::random().address();
    for (byte, salt) in code.iter_mut().rev().zip(unusual) {
        *byte = salt | 1;
    }
    if let Some(first) = code.first_mut() {
        *first = 0; // as every piece begins; code may not begin with EF
    }
    manifest::deployment(&code)
}

/// What a piece of some length needs at most, asked once for each length.
#[derive(Default)]
pub(super) struct GasLimits(BTreeMap<usize, u64>);

impl GasLimits {
    pub(super) async fn of(&mut self, client: &Client, length: usize) -> Result<u64> {
        if let Some(&gas) = self.0.get(&length) {
            return Ok(gas);
        }
        let gas = piece_gas(client, length).await?;
        self.0.insert(length, gas);
        Ok(gas)
    }
}
