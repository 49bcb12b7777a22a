use std::sync::Arc;

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip4844Variant, TxEip7702, TxEnvelope, TxLegacy,
    transaction::Recovered,
};
use alloy_eips::{eip2718::Encodable2718, eip7702::SignedAuthorization};
use alloy_evm::EvmEnv;
use alloy_primitives::{Address, B256, Bytes, Signature, TxHash, TxKind, U256, address};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;
use proptest::prelude::*;
use revm::{
    bytecode::Bytecode,
    database::{CacheDB, EmptyDB},
    primitives::hardfork::SpecId,
    state::AccountInfo,
};

use super::*;

const CHAIN: u64 = 1337;
const ALICE: Address = address!("00000000000000000000000000000000000a11ce");
const BOB: Address = address!("0000000000000000000000000000000000000b0b");
const ETHER: u128 = 1_000_000_000_000_000_000;

/// The accounts of a test, and heads made of them.
#[derive(Clone, Default)]
pub(super) struct World(CacheDB<EmptyDB>);

impl World {
    pub(super) fn with(mut self, address: Address, nonce: u64, balance: u128) -> Self {
        let info = AccountInfo {
            nonce,
            balance: U256::from(balance),
            ..Default::default()
        };
        self.0.insert_account_info(address, info);
        self
    }

    fn with_code(mut self, address: Address, code: Bytecode) -> Self {
        let balance = U256::from(ETHER);
        let info = AccountInfo {
            balance,
            code_hash: code.hash_slow(),
            code: Some(code),
            ..Default::default()
        };
        self.0.insert_account_info(address, info);
        self
    }

    pub(super) fn head(&self) -> Head {
        let mut env: EvmEnv = EvmEnv::default();
        env.cfg_env.set_spec_and_mainnet_gas_params(SpecId::OSAKA);
        env.cfg_env.chain_id = CHAIN;
        env.block_env.basefee = 10;
        env.block_env.gas_limit = 30_000_000;
        Head {
            env,
            accounts: Arc::new(self.0.clone()),
            gas_is_free: false,
        }
    }

    pub(super) fn pool(&self, limits: Limits) -> Pool {
        Pool::new(limits, self.head())
    }
}

fn world() -> World {
    World::default().with(ALICE, 0, ETHER).with(BOB, 0, ETHER)
}

/// A transfer with these fees; its signature is never looked at, since the sender is given.
pub(super) fn transfer(from: Address, nonce: u64, fee: u128, tip: u128) -> Recovered<TxEnvelope> {
    eip1559(
        from,
        TxEip1559 {
            nonce,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: tip,
            ..template()
        },
    )
}

fn template() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN,
        gas_limit: 21_000,
        max_fee_per_gas: 100,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(BOB),
        ..Default::default()
    }
}

fn eip1559(from: Address, tx: TxEip1559) -> Recovered<TxEnvelope> {
    unsigned(from, tx)
}

fn unsigned<T>(from: Address, tx: T) -> Recovered<TxEnvelope>
where
    T: SignableTransaction<Signature>,
    alloy_consensus::Signed<T>: Into<TxEnvelope>,
{
    // The sender goes into r, so that equal transactions of two senders have two hashes.
    let signature = Signature::new(U256::from_be_slice(from.as_slice()), U256::ONE, false);
    Recovered::new_unchecked(tx.into_signed(signature).into(), from)
}

fn nonces(transactions: impl IntoIterator<Item = Arc<PoolTransaction>>) -> Vec<(Address, u64)> {
    transactions
        .into_iter()
        .map(|tx| (tx.sender(), tx.nonce()))
        .collect()
}

impl Pool {
    /// The indices say what the queues say, and the limits hold.
    pub(super) fn assert_consistent(&self) {
        let inner = self.inner.lock();
        let all: Vec<_> = inner
            .senders
            .values()
            .flat_map(|q| q.ready().chain(q.queued()))
            .cloned()
            .collect();
        assert_eq!(all.len(), inner.by_hash.len());
        assert_eq!(all.iter().map(|tx| tx.size()).sum::<usize>(), inner.bytes);
        for tx in &all {
            assert_eq!(inner.by_hash.get(tx.hash()), Some(&(tx.sender(), tx.nonce())));
        }
        let tails: Vec<_> = inner
            .senders
            .values()
            .map(|q| q.eviction_key().expect("no empty queue"))
            .collect();
        assert_eq!(tails.iter().copied().collect::<BTreeSet<_>>(), inner.tails);
        assert!(all.len() <= self.limits.transactions);
        assert!(inner.bytes <= self.limits.bytes);
        assert!(
            inner
                .senders
                .values()
                .all(|q| q.len() <= self.limits.transactions_per_sender)
        );
    }
}

#[test]
fn a_gap_holds_back_what_follows_until_it_is_filled() {
    let pool = world().pool(Limits::default());
    let hash = |nonce| *PoolTransaction::new(transfer(ALICE, nonce, 100, 1), false).hash();
    assert_eq!(pool.add(transfer(ALICE, 0, 100, 1)).unwrap().ready, [hash(0)]);
    assert_eq!(
        pool.add(transfer(ALICE, 2, 100, 1)).unwrap().ready,
        Vec::<TxHash>::new()
    );
    assert_eq!(
        pool.add(transfer(ALICE, 3, 100, 1)).unwrap().ready,
        Vec::<TxHash>::new()
    );
    assert_eq!(pool.status(), Status { ready: 1, queued: 2 });
    assert_eq!(pool.next_nonce(ALICE), Some(1));

    assert_eq!(
        pool.add(transfer(ALICE, 1, 100, 1)).unwrap().ready,
        [hash(1), hash(2), hash(3)]
    );
    assert_eq!(pool.status(), Status { ready: 4, queued: 0 });
    assert_eq!(pool.next_nonce(ALICE), Some(4));
    assert_eq!(nonces(pool.best(10)), [0, 1, 2, 3].map(|n| (ALICE, n)));
    pool.assert_consistent();
}

#[test]
fn best_takes_the_highest_tip_first_and_keeps_nonce_order() {
    let pool = world().pool(Limits::default());
    pool.add(transfer(ALICE, 0, 100, 1)).unwrap();
    pool.add(transfer(ALICE, 1, 100, 50)).unwrap();
    pool.add(transfer(BOB, 0, 100, 20)).unwrap();
    pool.add(transfer(BOB, 1, 100, 1)).unwrap();
    // Alice's first and Bob's second offer the same: the earlier arrival goes first, and lets Alice's second follow.
    assert_eq!(
        nonces(pool.best(10)),
        [(BOB, 0), (ALICE, 0), (ALICE, 1), (BOB, 1)]
    );
    // A base fee of 90 leaves at most 10 for the tip.
    assert_eq!(
        nonces(pool.best(90)),
        [(BOB, 0), (ALICE, 0), (ALICE, 1), (BOB, 1)]
    );
    // Nobody pays a base fee of 101.
    assert_eq!(nonces(pool.best(101)), []);
}

#[test]
fn a_skipped_sender_gives_nothing_more() {
    let pool = world().pool(Limits::default());
    for nonce in 0..3 {
        pool.add(transfer(ALICE, nonce, 100, 5)).unwrap();
    }
    pool.add(transfer(BOB, 0, 100, 1)).unwrap();
    let mut best = pool.best(10);
    assert_eq!(best.next().unwrap().sender(), ALICE);
    best.skip_sender(ALICE);
    assert_eq!(nonces(best), [(BOB, 0)]);
}

#[test]
fn a_replacement_must_pay_ten_percent_more_in_both_fees() {
    let pool = world().pool(Limits::default());
    let first = pool.add(transfer(ALICE, 0, 100, 10)).unwrap().hash;
    for (fee, tip) in [(100, 11), (109, 11), (110, 10), (200, 10)] {
        let refused = pool.add(transfer(ALICE, 0, fee, tip)).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("replacement transaction underpriced"),
            "{refused}"
        );
    }
    let second = pool.add(transfer(ALICE, 0, 110, 11)).unwrap();
    assert_eq!((second.replaced, second.ready), (Some(first), vec![second.hash]));
    assert!(pool.get(&first).is_none());
    assert_eq!(pool.status(), Status { ready: 1, queued: 0 });
    pool.assert_consistent();
}

#[test]
fn the_same_transaction_twice_is_already_known() {
    let pool = world().pool(Limits::default());
    pool.add(transfer(ALICE, 0, 100, 10)).unwrap();
    assert_eq!(
        pool.add(transfer(ALICE, 0, 100, 10)).unwrap_err().to_string(),
        "already known"
    );
}

#[test]
fn refusals_use_the_words_that_tools_know() {
    let contract = Address::repeat_byte(0xc0);
    let delegated = Address::repeat_byte(0xde);
    let world = world()
        .with(ALICE, 5, ETHER)
        .with_code(contract, Bytecode::new_raw(Bytes::from_static(&[0x00])))
        .with_code(delegated, Bytecode::new_eip7702(BOB));
    let pool = world.pool(Limits {
        minimum_tip: 1,
        refuse_below_base_fee: true,
        ..Limits::default()
    });
    let poor = Address::repeat_byte(0x01);
    let create = |len: usize| TxEip1559 {
        to: TxKind::Create,
        input: vec![0; len].into(),
        ..template()
    };
    let cases: Vec<(&str, Recovered<TxEnvelope>)> = vec![
        (
            "nonce too low: next nonce 5, tx nonce 4",
            transfer(ALICE, 4, 100, 1),
        ),
        ("nonce has max value", transfer(BOB, u64::MAX, 100, 1)),
        (
            "insufficient funds for gas * price + value: balance 0, tx cost 2100000",
            transfer(poor, 0, 100, 1),
        ),
        (
            "insufficient funds for gas * price + value",
            eip1559(
                BOB,
                TxEip1559 {
                    value: U256::MAX,
                    ..template()
                },
            ),
        ),
        (
            "intrinsic gas too low: gas 20999, minimum needed 21000",
            eip1559(
                BOB,
                TxEip1559 {
                    gas_limit: 20_999,
                    ..template()
                },
            ),
        ),
        (
            "insufficient gas for floor data gas cost",
            eip1559(
                BOB,
                TxEip1559 {
                    gas_limit: 21_000 + 16_000,
                    input: vec![1; 1000].into(),
                    ..template()
                },
            ),
        ),
        (
            "exceeds block gas limit: transaction gas 30000001, block gas limit 30000000",
            eip1559(
                BOB,
                TxEip1559 {
                    gas_limit: 30_000_001,
                    ..template()
                },
            ),
        ),
        (
            "transaction gas limit too high (cap: 16777216, tx: 16777217)",
            eip1559(
                BOB,
                TxEip1559 {
                    gas_limit: (1 << 24) + 1,
                    ..template()
                },
            ),
        ),
        (
            "max initcode size exceeded: code size 49153, limit 49152",
            eip1559(
                BOB,
                TxEip1559 {
                    gas_limit: 10_000_000,
                    ..create(49_153)
                },
            ),
        ),
        ("oversized data", eip1559(BOB, create(600 << 10))),
        (
            "max priority fee per gas higher than max fee per gas",
            transfer(BOB, 0, 100, 101),
        ),
        (
            "max fee per gas less than block base fee: maxFeePerGas: 9, baseFee: 10",
            transfer(BOB, 0, 9, 1),
        ),
        (
            "transaction underpriced: gas tip cap 0, minimum needed 1",
            transfer(BOB, 0, 100, 0),
        ),
        (
            "invalid chain id for signer: have 1 want 1337",
            eip1559(
                BOB,
                TxEip1559 {
                    chain_id: 1,
                    ..template()
                },
            ),
        ),
        ("sender not an eoa", transfer(contract, 0, 100, 1)),
        (
            "transaction type not supported: this chain keeps no blobs",
            unsigned::<TxEip4844Variant>(
                BOB,
                TxEip4844 {
                    chain_id: CHAIN,
                    ..Default::default()
                }
                .into(),
            ),
        ),
        (
            "EIP-7702 transaction with empty auth list",
            unsigned(
                BOB,
                TxEip7702 {
                    chain_id: CHAIN,
                    ..Default::default()
                },
            ),
        ),
    ];
    for (words, transaction) in cases {
        let error = pool.add(transaction).expect_err(words);
        assert!(
            error.to_string().starts_with(words),
            "expected {words:?}, got {error}"
        );
        assert!(!error.is_internal());
    }
    assert_eq!(pool.status(), Status::default(), "a refusal changes nothing");
    // EIP-7702: a delegation is code that may send.
    pool.add(transfer(delegated, 0, 100, 1)).unwrap();
}

#[test]
fn every_transaction_type_of_the_fork_is_taken_from_the_wire() {
    let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
    let authority = PrivateKeySigner::from_bytes(&B256::repeat_byte(8)).unwrap();
    let world = World::default().with(signer.address(), 0, ETHER);
    let pool = world.pool(Limits::default());
    let authorization = alloy_eips::eip7702::Authorization {
        chain_id: U256::from(CHAIN),
        address: BOB,
        nonce: 0,
    };
    let by = authority.sign_hash_sync(&authorization.signature_hash()).unwrap();
    let authorization: SignedAuthorization = authorization.into_signed(by);

    fn sign<T>(signer: &PrivateKeySigner, tx: T) -> Vec<u8>
    where
        T: SignableTransaction<Signature>,
        alloy_consensus::Signed<T>: Into<TxEnvelope>,
    {
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        let envelope: TxEnvelope = tx.into_signed(signature).into();
        envelope.encoded_2718()
    }
    let to = TxKind::Call(BOB);
    let raw = [
        sign(
            &signer,
            TxLegacy {
                chain_id: Some(CHAIN),
                gas_price: 50,
                gas_limit: 21_000,
                to,
                ..Default::default()
            },
        ),
        // Before EIP-155: valid on every chain, and on this one.
        sign(
            &signer,
            TxLegacy {
                nonce: 1,
                gas_price: 50,
                gas_limit: 21_000,
                to,
                ..Default::default()
            },
        ),
        sign(
            &signer,
            TxEip2930 {
                chain_id: CHAIN,
                nonce: 2,
                gas_price: 50,
                gas_limit: 21_000,
                to,
                ..Default::default()
            },
        ),
        sign(
            &signer,
            TxEip1559 {
                nonce: 3,
                ..template()
            },
        ),
        sign(
            &signer,
            TxEip7702 {
                chain_id: CHAIN,
                nonce: 4,
                max_fee_per_gas: 100,
                max_priority_fee_per_gas: 1,
                gas_limit: 100_000,
                to: BOB,
                authorization_list: vec![authorization],
                ..Default::default()
            },
        ),
    ];
    for (nonce, raw) in raw.iter().enumerate() {
        let added = pool.add_raw(raw).unwrap();
        assert_eq!(pool.get(&added.hash).unwrap().sender(), signer.address());
        assert_eq!(pool.get(&added.hash).unwrap().nonce(), nonce as u64);
    }
    assert_eq!(
        nonces(pool.best(10)),
        (0..5).map(|n| (signer.address(), n)).collect::<Vec<_>>()
    );

    let mut longer = raw[3].clone();
    longer.push(0);
    assert!(matches!(
        pool.add_raw(&longer),
        Err(PoolError::NotCanonical { excess: 1 })
    ));
    assert!(matches!(pool.add_raw(&[]), Err(PoolError::Decode(_))));
    assert!(matches!(pool.add_raw(&raw[3][..50]), Err(PoolError::Decode(_))));
    assert!(matches!(
        pool.add_raw(&vec![3; 600 << 10]),
        Err(PoolError::BlobsNotSupported)
    ));
    assert!(matches!(
        pool.add_raw(&vec![2; 600 << 10]),
        Err(PoolError::Oversized { .. })
    ));
}

#[test]
fn all_ready_transactions_of_a_sender_must_be_payable_together() {
    // Enough for two transfers at 100 wei per gas.
    let world = World::default().with(ALICE, 0, 2 * 2_100_000);
    let pool = world.pool(Limits::default());
    pool.add(transfer(ALICE, 0, 100, 1)).unwrap();
    pool.add(transfer(ALICE, 1, 100, 1)).unwrap();
    let refused = pool.add(transfer(ALICE, 2, 100, 1)).unwrap_err();
    assert!(
        matches!(refused, PoolError::InsufficientFundsForAll { .. }),
        "{refused}"
    );
    // A replacement counts instead of what it replaces, not beside it.
    let refused = pool.add(transfer(ALICE, 1, 111, 11)).unwrap_err();
    assert!(
        matches!(refused, PoolError::InsufficientFundsForAll { .. }),
        "{refused}"
    );
}

#[test]
fn a_new_head_takes_the_mined_and_the_unpayable_out_and_promotes_the_rest() {
    let world = world();
    let pool = world.pool(Limits::default());
    let mined = pool.add(transfer(ALICE, 0, 100, 1)).unwrap().hash;
    let gapped = pool.add(transfer(ALICE, 2, 100, 1)).unwrap().hash;
    let untouched = pool.add(transfer(BOB, 0, 100, 1)).unwrap().hash;
    // Nonces 0 and 1 were used: the second by a transaction that never was in this pool.
    let after = world.clone().with(ALICE, 2, ETHER);
    let change = pool.set_head(after.head(), Touched::Only(&[ALICE])).unwrap();
    assert_eq!(
        change,
        HeadChange {
            ready: vec![gapped],
            removed: vec![mined]
        }
    );
    assert_eq!(pool.status(), Status { ready: 2, queued: 0 });

    // A sender who spent all is not asked again.
    let broke = after.clone().with(ALICE, 2, 5);
    let change = pool
        .set_head(broke.head(), Touched::Only(&[ALICE, ALICE]))
        .unwrap();
    assert_eq!(
        change,
        HeadChange {
            ready: vec![],
            removed: vec![gapped]
        }
    );

    // A lower gas limit is everybody's concern.
    let mut head = broke.head();
    head.env.block_env.gas_limit = 20_000;
    let change = pool.set_head(head, Touched::Only(&[])).unwrap();
    assert_eq!(
        change,
        HeadChange {
            ready: vec![],
            removed: vec![untouched]
        }
    );
    assert_eq!(pool.status(), Status::default());
    pool.assert_consistent();
}

#[test]
fn a_rewind_makes_later_nonces_wait_again() {
    let world = world();
    let later = world.clone().with(ALICE, 3, ETHER);
    let pool = later.pool(Limits::default());
    pool.add(transfer(ALICE, 3, 100, 1)).unwrap();
    assert_eq!(pool.status(), Status { ready: 1, queued: 0 });
    pool.set_head(world.head(), Touched::Any).unwrap();
    assert_eq!(pool.status(), Status { ready: 0, queued: 1 });
    assert_eq!(pool.next_nonce(ALICE), None);
    pool.assert_consistent();
}

#[test]
fn a_full_pool_prefers_those_who_pay_more_and_never_opens_a_gap() {
    let pool = world().pool(Limits {
        transactions: 3,
        ..Limits::default()
    });
    let cheap = pool.add(transfer(ALICE, 0, 100, 5)).unwrap().hash;
    let last = pool.add(transfer(ALICE, 1, 100, 6)).unwrap().hash;
    let queued = pool.add(transfer(BOB, 7, 100, 90)).unwrap().hash;
    let carol = Address::repeat_byte(0xca);
    let pool_world = world().with(carol, 0, ETHER);
    pool.set_head(pool_world.head(), Touched::Any).unwrap();

    // The queued one goes first although it offers most.
    pool.add(transfer(carol, 0, 100, 1)).unwrap();
    assert!(pool.get(&queued).is_none());
    // Cheaper than all: refused, and nothing else moves.
    let refused = pool.add(transfer(BOB, 0, 100, 1)).unwrap_err();
    assert!(matches!(refused, PoolError::Full), "{refused}");
    assert!(pool.get(&cheap).is_some() && pool.get(&last).is_some());
    // Dearer than Carol's: hers goes.
    pool.add(transfer(BOB, 0, 100, 7)).unwrap();
    // Dearer than Alice's: her last one goes, not her cheapest.
    pool.add(transfer(BOB, 1, 100, 8)).unwrap();
    assert!(pool.get(&cheap).is_some() && pool.get(&last).is_none());
    pool.assert_consistent();
}

#[test]
fn one_sender_has_a_limit() {
    let pool = world().pool(Limits {
        transactions_per_sender: 2,
        ..Limits::default()
    });
    pool.add(transfer(ALICE, 0, 100, 5)).unwrap();
    pool.add(transfer(ALICE, 1, 100, 5)).unwrap();
    assert!(matches!(
        pool.add(transfer(ALICE, 2, 100, 5)),
        Err(PoolError::SenderLimit { limit: 2, .. })
    ));
    pool.add(transfer(ALICE, 1, 111, 6))
        .expect("a replacement takes no room");
    pool.add(transfer(BOB, 0, 100, 5)).expect("the limit is Alice's");
}

#[test]
fn a_removed_transaction_leaves_a_gap() {
    let pool = world().pool(Limits::default());
    let first = pool.add(transfer(ALICE, 0, 100, 5)).unwrap().hash;
    pool.add(transfer(ALICE, 1, 100, 5)).unwrap();
    assert!(pool.remove(&first));
    assert!(!pool.remove(&first));
    assert_eq!(pool.status(), Status { ready: 0, queued: 1 });
    let content = pool.content();
    assert!(content.ready.is_empty());
    assert_eq!(nonces(content.queued[&ALICE].clone()), [(ALICE, 1)]);
    pool.assert_consistent();
}

#[derive(Debug, Clone)]
enum Step {
    Add { sender: u8, nonce: u64, tip: u128 },
    Remove { sender: u8, nonce: u64 },
    Head { sender: u8, nonce: u64, balance: u128 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4u8, 0..8u64, 1..40u128).prop_map(|(sender, nonce, tip)| Step::Add { sender, nonce, tip }),
        1 => (0..4u8, 0..8u64).prop_map(|(sender, nonce)| Step::Remove { sender, nonce }),
        1 => (0..4u8, 0..8u64, 0..20_000_000u128)
            .prop_map(|(sender, nonce, balance)| Step::Head { sender, nonce, balance }),
    ]
}

proptest! {
    #[test]
    fn indices_limits_and_order_hold_after_any_history(steps in prop::collection::vec(step(), 1..80)) {
        let who = |sender: u8| Address::repeat_byte(sender + 1);
        let mut world = (0..4).fold(World::default(), |world, s| world.with(who(s), 0, 12_000_000));
        let pool = world.pool(Limits { transactions: 12, transactions_per_sender: 5, ..Limits::default() });
        for step in steps {
            match step {
                Step::Add { sender, nonce, tip } => {
                    let before = pool.status();
                    if pool.add(transfer(who(sender), nonce, 100 + tip, tip)).is_err() {
                        prop_assert_eq!(pool.status(), before, "a refusal changes nothing");
                    }
                }
                Step::Remove { sender, nonce } => {
                    let content = pool.content();
                    let all = content.ready.values().chain(content.queued.values()).flatten();
                    for tx in all.filter(|tx| tx.sender() == who(sender) && tx.nonce() == nonce) {
                        prop_assert!(pool.remove(tx.hash()));
                    }
                }
                Step::Head { sender, nonce, balance } => {
                    world = world.with(who(sender), nonce, balance);
                    pool.set_head(world.head(), Touched::Only(&[who(sender)])).unwrap();
                }
            }
            pool.assert_consistent();
            let best: Vec<_> = pool.best(10).collect();
            prop_assert_eq!(best.len(), pool.status().ready);
            let mut next: BTreeMap<Address, u64> = BTreeMap::new();
            for tx in best {
                let state = world.head().accounts.account(tx.sender()).unwrap().nonce;
                let expected = next.entry(tx.sender()).or_insert(state);
                prop_assert_eq!(tx.nonce(), *expected);
                *expected += 1;
            }
        }
    }

    #[test]
    fn no_bytes_make_the_pool_panic(raw in prop::collection::vec(any::<u8>(), 0..300)) {
        let pool = world().pool(Limits::default());
        prop_assert!(pool.add_raw(&raw).is_err(), "random bytes carry no valid signature of a funded account");
    }

    #[test]
    fn mutated_transactions_never_panic(position in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
        let signer = PrivateKeySigner::from_bytes(&B256::repeat_byte(7)).unwrap();
        let pool = World::default().with(signer.address(), 0, ETHER).pool(Limits::default());
        let tx = template();
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        let mut raw = TxEnvelope::from(tx.into_signed(signature)).encoded_2718();
        let position = position % raw.len();
        raw[position] = byte;
        raw.truncate(raw.len().saturating_sub(cut / 2).max(1));
        // Either outcome is right: changing a byte into itself leaves a good transaction.
        if let Ok(added) = pool.add_raw(&raw) {
            prop_assert_eq!(pool.get(&added.hash).unwrap().transaction().inner().encoded_2718(), raw);
        }
    }
}
