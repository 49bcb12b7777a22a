//! What a published byte costs a validator, against what it pays: the measurement behind the chain's prices.
//!
//! `cargo run --release -p synod-chain --example price_of_a_byte` publishes chunks of random bytes on a fresh chain on the
//! disk, and prints for each block the time that a validator spends on it (senders, execution, durable write) and the gas
//! that it cost, for one byte. 1 gas is 10 ns.

use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Bytes, TxKind};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use std::{error::Error, sync::Mutex, time::Instant};
use synod_chain::{
    Application, BestTransactions, Cancellation, Chain, ChainApplication, ChainSpec, Context, Duty,
    Finalization, Skipped, Timestamp, Transaction, TransactionSource, Verdict,
    spec::{DEV_CHAIN_ID, DEV_MNEMONIC},
};
use synod_evm::{addresses::CHUNK_FACTORY, manifest};

const BLOCKS: u64 = 6;
const CHUNKS_A_BLOCK: u64 = 40;
/// 31 leaves of a model's weights, the most that fits a chunk.
const CHUNK_BYTES: usize = 31 * 4096;

/// Transactions of the next block.
#[derive(Default)]
struct Queue(Mutex<Vec<Recovered<Transaction>>>);

struct Taken(std::vec::IntoIter<Recovered<Transaction>>);

impl BestTransactions for Taken {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        self.0.next()
    }
    fn skip(&mut self, skipped: &Skipped) {
        eprintln!("{skipped}");
    }
}

impl TransactionSource for Queue {
    fn best(&self, _: u64) -> Box<dyn BestTransactions + '_> {
        let taken = self
            .0
            .lock()
            .map(|mut queue| std::mem::take(&mut *queue))
            .unwrap_or_default();
        Box::new(Taken(taken.into_iter()))
    }
}

/// Bytes without a pattern, others for each `index`: two equal chunks would want one address.
fn random(index: u64) -> Vec<u8> {
    let mut x = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(2 * index + 1);
    std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    })
    .take(CHUNK_BYTES)
    .collect()
}

fn publish(signer: &PrivateKeySigner, nonce: u64) -> Result<Recovered<Transaction>, Box<dyn Error>> {
    let code = manifest::chunk_code(&random(nonce));
    let tx = TxEip1559 {
        chain_id: DEV_CHAIN_ID,
        nonce,
        gas_limit: 4_000_000,
        max_fee_per_gas: 1_000_000_000_000,
        to: TxKind::Call(CHUNK_FACTORY),
        input: manifest::deployment(&code),
        ..Default::default()
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash())?;
    Ok(Recovered::new_unchecked(
        tx.into_signed(signature).into(),
        signer.address(),
    ))
}

fn main() -> Result<(), Box<dyn Error>> {
    let signer = MnemonicBuilder::<English>::default()
        .phrase(DEV_MNEMONIC)
        .build()?;
    let dir = tempfile::tempdir()?;
    let queue = std::sync::Arc::new(Queue::default());
    let proposer = ChainApplication::new(Chain::in_memory(ChainSpec::dev())?, queue.clone());
    let validator = ChainApplication::new(Chain::open(dir.path(), ChainSpec::dev())?, queue.clone());
    println!(
        "{:>6} {:>12} {:>12} {:>12} {:>12}",
        "block", "verify ns/B", "write ns/B", "gas/B", "paid ns/B"
    );
    for height in 1..=BLOCKS {
        for index in 0..CHUNKS_A_BLOCK {
            let transaction = publish(&signer, (height - 1) * CHUNKS_A_BLOCK + index)?;
            queue.0.lock().map_err(|e| e.to_string())?.push(transaction);
        }
        let (_, parent, _) = proposer.finalized_head();
        let context = Context {
            epoch: 0,
            view: height,
            parent,
            proposer: Bytes::new(),
            timestamp: Timestamp(1_000 * height),
            randomness: Default::default(),
            cancellation: Cancellation::default(),
        };
        let proposal = proposer.build(&context, &Duty::default())?;
        let finalization = Finalization {
            height,
            digest: proposal.digest(),
            certificate: Bytes::new(),
        };
        proposer.finalized(&finalization)?;

        let start = Instant::now();
        let verdict = validator.verify(&context, &proposal)?;
        let verified = start.elapsed();
        if !matches!(verdict, Verdict::Valid) {
            return Err(format!("block {height}: {verdict:?}").into());
        }
        let start = Instant::now();
        validator.finalized(&finalization)?;
        let written = start.elapsed();
        let published = proposer.chain().receipts(height)?.unwrap_or_default();
        if published.len() as u64 != CHUNKS_A_BLOCK || !published.iter().all(|receipt| receipt.status()) {
            return Err(format!("block {height}: not every chunk was published").into());
        }
        let bytes = (CHUNKS_A_BLOCK as usize * CHUNK_BYTES) as f64;
        let gas = proposal.block.header.gas_used as f64 / bytes;
        println!(
            "{height:>6} {:>12.1} {:>12.1} {gas:>12.2} {:>12.1}",
            verified.as_nanos() as f64 / bytes,
            written.as_nanos() as f64 / bytes,
            gas * 10.0
        );
    }
    Ok(())
}
