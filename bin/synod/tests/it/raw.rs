//! Raw transactions from a hostile client: whatever the bytes, an error with a standard code, and the node lives on.

use std::path::Path;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Signature, TxKind, U256, hex};
use alloy_provider::Provider;
use alloy_signer::SignerSync;
use synod_testing::{Node, account};

/// Requests of one run.
const REQUESTS: usize = 2_000;
/// All randomness of the run; a failure names the request by its number.
const SEED: u64 = 0x5eed;

/// SplitMix64.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.next() as u8
    }
}

fn signed<T>(tx: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    alloy_consensus::Signed<T>: Into<TxEnvelope>,
{
    let signature = account(9).sign_hash_sync(&tx.signature_hash()).unwrap();
    let envelope: TxEnvelope = tx.into_signed(signature).into();
    envelope.encoded_2718()
}

/// One good transaction of each type. Their nonces are ahead, so that a good one that survives its mutation only waits.
fn good() -> Vec<Vec<u8>> {
    let to = TxKind::Call(Address::repeat_byte(1));
    let (nonce, gas_limit, value) = (1_000, 100_000, U256::from(1));
    vec![
        signed(TxLegacy {
            chain_id: Some(1337),
            nonce,
            gas_price: 1 << 40,
            gas_limit,
            to,
            value,
            ..Default::default()
        }),
        signed(TxEip2930 {
            chain_id: 1337,
            nonce,
            gas_price: 1 << 40,
            gas_limit,
            to,
            value,
            ..Default::default()
        }),
        signed(TxEip1559 {
            chain_id: 1337,
            nonce,
            max_fee_per_gas: 1 << 40,
            gas_limit,
            to,
            value,
            ..Default::default()
        }),
        signed(TxEip7702 {
            chain_id: 1337,
            nonce,
            max_fee_per_gas: 1 << 40,
            gas_limit,
            to: Address::repeat_byte(1),
            value,
            ..Default::default()
        }),
    ]
}

/// Garbage, or a good transaction with some damage.
fn hostile(random: &mut Seeded, good: &[Vec<u8>]) -> Vec<u8> {
    if random.below(4) == 0 {
        let length = random.below(200);
        return (0..length).map(|_| random.byte()).collect();
    }
    let mut raw = good[random.below(good.len())].clone();
    for _ in 0..=random.below(4) {
        let position = random.below(raw.len());
        match random.below(5) {
            0 => raw.truncate(position),
            1 => raw.insert(position, random.byte()),
            2 if !raw.is_empty() => raw[position] ^= 1 << random.below(8),
            3 if !raw.is_empty() => raw[position] = random.byte(),
            // A length prefix that promises more than there is.
            _ => raw
                .splice(
                    position.min(raw.len())..position.min(raw.len()),
                    [0xfb, 0xff, 0xff, 0xff, 0xff],
                )
                .for_each(drop),
        }
    }
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn no_raw_transaction_brings_the_node_down() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::synod(
        Path::new(env!("CARGO_BIN_EXE_synod")),
        &folder.path().join("chain"),
    )
    .await
    .unwrap();
    let rpc = node.provider();
    let (mut random, good) = (Seeded(SEED), good());
    let mut taken = 0;
    for request in 0..REQUESTS {
        let raw = hostile(&mut random, &good);
        match rpc.send_raw_transaction(&raw).await {
            Ok(_) => taken += 1,
            Err(error) => {
                let answer = error.as_error_resp().unwrap_or_else(|| {
                    panic!(
                        "request {request} of seed {SEED:#x}, {}: {error}",
                        hex::encode(&raw)
                    )
                });
                assert!(
                    matches!(answer.code, -32000 | -32602),
                    "request {request} of seed {SEED:#x}, {}: {answer}",
                    hex::encode(&raw)
                );
            }
        }
    }
    assert!(taken < REQUESTS / 10, "{taken} damaged transactions were taken");
    assert_eq!(rpc.get_block_number().await.unwrap(), 0, "nothing was mined");
    assert_eq!(rpc.get_chain_id().await.unwrap(), 1337);
}
