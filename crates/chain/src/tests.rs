//! Blocks built, verified, finalised, dropped and rewound.

use crate::{
    Application, BestTransactions, Chain, ChainApplication, ChainError, ChainEvent, ChainSpec, Context,
    Digest, Duty, Finalization, FinalizeError, InvalidBlock, Pending, Proposal, Skipped, Timestamp,
    TransactionSource, Verdict,
    spec::{dev_accounts, dev_genesis},
};
use alloy_consensus::{SignableTransaction, TxEip1559, transaction::Recovered};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::{MnemonicBuilder, PrivateKeySigner, coins_bip39::English};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use synod_state::Transaction;

mod bounds;
mod export;
mod fees;
mod hostile;
mod inference;
mod replay;
mod rights;
mod size;
mod upkeep;

const ETHER: u128 = 1_000_000_000_000_000_000;

/// A source that hands out a list once.
#[derive(Default)]
struct Queue(Mutex<VecDeque<Recovered<Transaction>>>);

struct Taken(VecDeque<Recovered<Transaction>>);

impl BestTransactions for Taken {
    fn next(&mut self) -> Option<Recovered<Transaction>> {
        self.0.pop_front()
    }
    fn skip(&mut self, skipped: &Skipped) {
        self.0.retain(|t| t.signer() != skipped.sender);
    }
}

impl TransactionSource for Queue {
    fn best(&self, _: u64) -> Box<dyn BestTransactions + '_> {
        Box::new(Taken(std::mem::take(&mut self.0.lock())))
    }
}

fn signer(index: u32) -> PrivateKeySigner {
    MnemonicBuilder::<English>::default()
        .phrase(crate::spec::DEV_MNEMONIC)
        .index(index)
        .unwrap()
        .build()
        .unwrap()
}

fn transfer(from: u32, nonce: u64, to: Address, value: u128) -> Recovered<Transaction> {
    call(from, nonce, TxKind::Call(to), value, Bytes::new(), 100_000)
}

fn call(from: u32, nonce: u64, to: TxKind, value: u128, input: Bytes, gas: u64) -> Recovered<Transaction> {
    let signer = signer(from);
    let tx = TxEip1559 {
        chain_id: crate::spec::DEV_CHAIN_ID,
        nonce,
        gas_limit: gas,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to,
        value: U256::from(value),
        access_list: Default::default(),
        input,
    };
    let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
    Recovered::new_unchecked(tx.into_signed(signature).into(), signer.address())
}

struct Node {
    queue: Arc<Queue>,
    application: ChainApplication,
}

impl Node {
    fn new() -> Self {
        Self::on(Chain::in_memory(ChainSpec::dev()).unwrap())
    }

    fn on(chain: Arc<Chain>) -> Self {
        let queue = Arc::new(Queue::default());
        Self {
            application: ChainApplication::new(chain, queue.clone()),
            queue,
        }
    }

    fn chain(&self) -> &Chain {
        self.application.chain()
    }

    fn context(&self, parent: Digest, view: u64) -> Context {
        Context {
            epoch: 0,
            view,
            parent,
            proposer: Bytes::from_static(b"proposer"),
            timestamp: Timestamp(1_000_000 + 250 * view),
            randomness: B256::repeat_byte(view as u8),
            cancellation: Default::default(),
        }
    }

    fn build(
        &self,
        parent: Digest,
        view: u64,
        transactions: impl IntoIterator<Item = Recovered<Transaction>>,
    ) -> Proposal {
        self.queue.0.lock().extend(transactions);
        self.application
            .build(&self.context(parent, view), &Duty::default())
            .unwrap()
    }

    fn finalize(&self, proposal: &Proposal) {
        self.application.finalized(&finalization(proposal)).unwrap();
    }

    fn balance(&self, address: Address) -> U256 {
        self.chain()
            .state()
            .unwrap()
            .account(address)
            .unwrap()
            .map_or(U256::ZERO, |a| a.balance)
    }
}

fn finalization(proposal: &Proposal) -> Finalization {
    Finalization {
        height: proposal.block.header.number,
        digest: proposal.digest(),
        certificate: Bytes::from_static(b"certificate"),
    }
}

#[test]
fn the_ten_accounts_are_those_of_the_mnemonic() {
    for (index, account) in dev_accounts().into_iter().enumerate() {
        assert_eq!(signer(index as u32).address(), account);
    }
    let node = Node::new();
    assert_eq!(node.balance(dev_accounts()[9]), U256::from(10_000 * ETHER));
    assert_eq!(node.chain().head().number(), 0);
}

#[test]
fn what_one_node_builds_another_accepts() {
    let (proposer, validator) = (Node::new(), Node::new());
    let to = Address::repeat_byte(0x77);
    let mut parent = proposer.chain().head_digest().0;
    for view in 1..=3 {
        let proposal = proposer.build(parent, view, [transfer(0, view - 1, to, ETHER)]);
        assert_eq!(proposal.block.body.transactions.len(), 1);
        let context = validator.context(parent, view);
        assert!(matches!(
            validator.application.verify(&context, &proposal).unwrap(),
            Verdict::Valid
        ));
        parent = proposal.digest();
        if view == 2 {
            // Two blocks at once: the first becomes final with its child.
            proposer.finalize(&proposal);
            validator.finalize(&proposal);
        }
    }
    for node in [&proposer, &validator] {
        assert_eq!(node.chain().head().number(), 2);
        assert_eq!(node.chain().unfinalised(), 1);
        assert_eq!(node.balance(to), U256::from(2 * ETHER));
        let pending = node.chain().state_of(parent).unwrap();
        assert_eq!(
            pending.account(to).unwrap().unwrap().balance,
            U256::from(3 * ETHER)
        );
    }
    assert_eq!(proposer.chain().head(), validator.chain().head());
}

#[test]
fn of_two_children_one_becomes_final_and_the_other_leaves_no_trace() {
    let (proposer, validator) = (Node::new(), Node::new());
    let genesis = proposer.chain().head_digest().0;
    let (left_to, right_to) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let left = proposer.build(genesis, 1, [transfer(0, 0, left_to, ETHER)]);
    let right = proposer.build(genesis, 2, [transfer(0, 0, right_to, 2 * ETHER)]);
    let nephew = proposer.build(left.digest(), 3, [transfer(0, 1, left_to, ETHER)]);
    for (view, parent, proposal) in [
        (2, genesis, &right),
        (1, genesis, &left),
        (3, left.digest(), &nephew),
    ] {
        let context = validator.context(parent, view);
        assert!(matches!(
            validator.application.verify(&context, proposal).unwrap(),
            Verdict::Valid
        ));
    }
    let stale = validator.chain().state_of(left.digest()).unwrap();
    for node in [&proposer, &validator] {
        assert_eq!(node.chain().unfinalised(), 3);
        node.finalize(&right);
        assert_eq!(node.chain().unfinalised(), 0);
        assert_eq!(node.balance(right_to), U256::from(2 * ETHER));
        assert_eq!(node.balance(left_to), U256::ZERO);
        assert!(node.chain().hash_of(2).unwrap().is_none());
        let lost = *left.block.body.transactions[0].tx_hash();
        assert!(node.chain().transaction(lost).unwrap().is_none());
        assert!(matches!(
            node.chain().state_of(left.digest()),
            Err(ChainError::UnknownBlock(digest)) if digest == left.digest()
        ));
        // Nothing can stand on the loser any more.
        let on_loser = node
            .application
            .build(&node.context(left.digest(), 4), &Duty::default());
        assert!(matches!(on_loser, Err(crate::BuildError::UnknownParent(_))));
    }
    // Who held the loser's state before still reads that state, not a mixture.
    assert_eq!(
        stale.account(left_to).unwrap().unwrap().balance,
        U256::from(ETHER)
    );
    assert_eq!(stale.account(right_to).unwrap(), None);
    assert_eq!(
        stale.account(dev_accounts()[1]).unwrap().unwrap().balance,
        U256::from(10_000 * ETHER)
    );
}

#[test]
fn finality_is_idempotent_and_a_rival_is_fatal() {
    let node = Node::new();
    let genesis = node.chain().head_digest().0;
    let left = node.build(genesis, 1, []);
    let right = node.build(genesis, 2, []);
    node.finalize(&left);
    node.finalize(&left);
    let child = node.build(left.digest(), 3, []);
    node.finalize(&child);
    // An old block again, after others: still no work.
    node.finalize(&left);
    assert_eq!(node.chain().head().number(), 2);
    match node.application.finalized(&finalization(&right)) {
        Err(FinalizeError::Conflict {
            height: 1,
            stored,
            offered,
        }) => {
            assert_eq!((stored, offered), (left.digest(), right.digest()));
        }
        other => panic!("{other:?}"),
    }
    // A digest with another height than its block's is no block that is here.
    let grandchild = node.build(child.digest(), 4, []);
    let misplaced = Finalization {
        height: 4,
        ..finalization(&grandchild)
    };
    assert!(matches!(
        node.application.finalized(&misplaced),
        Err(FinalizeError::Unknown { height: 4, .. })
    ));
    let head = Finalization {
        height: 3,
        ..finalization(&child)
    };
    assert!(matches!(
        node.application.finalized(&head),
        Err(FinalizeError::Unknown { height: 3, .. })
    ));
    let unknown = Finalization {
        height: 3,
        digest: right.digest(),
        certificate: Bytes::new(),
    };
    assert!(matches!(
        node.application.finalized(&unknown),
        Err(FinalizeError::Unknown { height: 3, .. })
    ));
}

#[test]
fn verdicts_tell_invalid_from_not_yet() {
    let (proposer, validator) = (Node::new(), Node::new());
    let genesis = proposer.chain().head_digest().0;
    let first = proposer.build(genesis, 1, [transfer(0, 0, Address::repeat_byte(1), 5)]);
    let second = proposer.build(first.digest(), 2, []);
    let verify = |view, parent, proposal: &Proposal| {
        validator
            .application
            .verify(&validator.context(parent, view), proposal)
            .unwrap()
    };

    assert!(matches!(
        verify(2, first.digest(), &second),
        Verdict::Pending(Pending::MissingParent(digest)) if digest == first.digest()
    ));
    let mut early = validator.context(genesis, 1);
    early.timestamp = Timestamp(0);
    assert!(matches!(
        validator.application.verify(&early, &first).unwrap(),
        Verdict::Pending(Pending::ClockSkew { .. })
    ));
    let cancelled = validator.context(genesis, 1);
    cancelled.cancellation.cancel();
    assert!(matches!(
        validator.application.verify(&cancelled, &first).unwrap(),
        Verdict::Pending(Pending::Cancelled)
    ));

    type Edit = fn(&mut Proposal);
    let edits: [(&str, Edit); 14] = [
        ("stateRoot", |p| p.block.header.state_root = B256::ZERO),
        ("gasUsed", |p| p.block.header.gas_used += 1),
        ("gasLimit", |p| p.block.header.gas_limit += 1),
        ("receiptsRoot", |p| p.block.header.receipts_root = B256::ZERO),
        ("logsBloom", |p| p.block.header.logs_bloom.0[0] = 1),
        ("transactionsRoot", |p| {
            p.block.header.transactions_root = B256::ZERO
        }),
        ("baseFeePerGas", |p| p.block.header.base_fee_per_gas = Some(1)),
        ("extraData", |p| p.block.header.extra_data = Bytes::new()),
        ("extraData", |p| {
            p.envelope.randomness_signature = Bytes::from_static(b"other")
        }),
        ("parentBeaconBlockRoot", |p| {
            p.block.header.parent_beacon_block_root = Some(B256::ZERO)
        }),
        ("requestsHash", |p| p.block.header.requests_hash = None),
        ("excessBlobGas", |p| p.block.header.excess_blob_gas = Some(1)),
        ("withdrawalsRoot", |p| p.block.header.withdrawals_root = None),
        ("number", |p| p.block.header.number = 9),
    ];
    for (field, edit) in edits {
        let mut bad = first.clone();
        edit(&mut bad);
        match verify(1, genesis, &bad) {
            Verdict::Invalid(
                InvalidBlock::Field { field: named, .. } | InvalidBlock::Presence { field: named, .. },
            ) => assert_eq!(named, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    for (field, edit) in [
        ("epoch", (|p| p.envelope.epoch = 7) as Edit),
        ("proposer", |p| p.envelope.proposer = Bytes::new()),
        ("mixHash", |p| p.block.header.mix_hash = B256::ZERO),
    ] {
        let mut bad = first.clone();
        edit(&mut bad);
        assert!(matches!(
            verify(1, genesis, &bad),
            Verdict::Invalid(InvalidBlock::Field { field: named, .. }) if named == field
        ));
    }
    let mut twice = first.clone();
    twice
        .block
        .body
        .transactions
        .push(first.block.body.transactions[0].clone());
    twice.block.header.transactions_root =
        alloy_consensus::proofs::calculate_transaction_root(&twice.block.body.transactions);
    assert!(matches!(
        verify(1, genesis, &twice),
        Verdict::Invalid(InvalidBlock::Execution(_))
    ));

    // None of that changed anything.
    assert!(matches!(verify(1, genesis, &first), Verdict::Valid));
    assert!(matches!(verify(2, first.digest(), &second), Verdict::Valid));
}

#[test]
fn a_block_leaves_out_what_cannot_run() {
    let node = Node::new();
    let genesis = node.chain().head_digest().0;
    let to = Address::repeat_byte(3);
    let proposal = node.build(
        genesis,
        1,
        [
            transfer(0, 1, to, 1),
            transfer(0, 2, to, 1),
            transfer(1, 0, to, 1),
            transfer(2, 0, to, 20_000 * ETHER),
        ],
    );
    assert_eq!(proposal.block.body.transactions.len(), 1);
    node.finalize(&proposal);
    assert_eq!(node.balance(to), U256::from(1));
}

#[test]
fn several_blocks_may_share_a_second_but_time_never_goes_back() {
    let node = Node::new();
    let genesis = node.chain().head_digest().0;
    // Views are 250 ms apart.
    let first = node.build(genesis, 1, []);
    let second = node.build(first.digest(), 2, []);
    assert_eq!(first.block.header.timestamp, second.block.header.timestamp);
    assert_eq!((first.envelope.millis, second.envelope.millis), (250, 500));
    let mut back = node.context(second.digest(), 3);
    back.timestamp = Timestamp(second.timestamp().0 - 1);
    assert!(matches!(
        node.application.build(&back, &Duty::default()),
        Err(crate::BuildError::Invalid(InvalidBlock::Time { .. }))
    ));
}

#[test]
fn a_chain_reopens_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let to = Address::repeat_byte(4);
    let (head, digest, hash) = {
        let node = Node::on(Chain::open(dir.path(), ChainSpec::dev()).unwrap());
        assert!(matches!(
            Chain::open(dir.path(), ChainSpec::dev()),
            Err(ChainError::State(synod_state::StateError::Locked { .. }))
        ));
        let genesis = node.chain().head_digest().0;
        let proposal = node.build(genesis, 1, [transfer(0, 0, to, 7)]);
        node.finalize(&proposal);
        // Not final: forgotten by the stop.
        node.build(proposal.digest(), 2, [transfer(0, 1, to, 7)]);
        (
            node.chain().head(),
            proposal.digest(),
            *proposal.block.body.transactions[0].tx_hash(),
        )
    };
    let node = Node::on(Chain::open(dir.path(), ChainSpec::dev()).unwrap());
    assert_eq!(node.chain().head(), head);
    assert_eq!(node.chain().head_digest().0, digest);
    assert_eq!(node.balance(to), U256::from(7));
    let at = node.chain().transaction(hash).unwrap().unwrap();
    assert_eq!((at.block_number, at.index), (1, 0));
    assert_eq!(
        node.chain().seal(1).unwrap().unwrap().certificate,
        Bytes::from_static(b"certificate")
    );
    drop(node);

    let mut other = dev_genesis();
    other.timestamp = 1;
    let other = ChainSpec::from_genesis(other).unwrap();
    assert!(matches!(
        Chain::open(dir.path(), other),
        Err(ChainError::OtherGenesis { .. })
    ));
}

#[test]
fn a_development_chain_rewinds() {
    let node = Node::new();
    let to = Address::repeat_byte(5);
    let mut events = node.chain().subscribe();
    let mut parent = node.chain().head_digest().0;
    let mut heads = vec![node.chain().head()];
    for view in 1..=3 {
        let proposal = node.build(parent, view, [transfer(0, view - 1, to, 1)]);
        node.finalize(&proposal);
        parent = proposal.digest();
        heads.push(node.chain().head());
    }
    node.chain().rewind(1, None).unwrap();
    assert_eq!(node.chain().head(), heads[1]);
    assert_eq!(node.balance(to), U256::from(1));
    assert!(node.chain().block(2).unwrap().is_none());
    assert!(node.chain().block_by_hash(heads[3].hash()).unwrap().is_none());
    for expected in &heads[1..] {
        assert!(matches!(events.try_recv().unwrap(), ChainEvent::Finalized(data) if data == *expected));
    }
    match events.try_recv().unwrap() {
        ChainEvent::Rewound(removed) => assert_eq!(removed, [heads[3].clone(), heads[2].clone()]),
        other @ ChainEvent::Finalized(_) => panic!("{other:?}"),
    }
    // The same height again, with another block.
    let proposal = node.build(node.chain().head_digest().0, 9, [transfer(0, 1, to, 50)]);
    node.finalize(&proposal);
    assert_eq!(node.balance(to), U256::from(51));
    assert!(matches!(
        node.chain().rewind(7, None),
        Err(ChainError::State(synod_state::StateError::NoSuchBlock {
            to: 7,
            head: 2
        }))
    ));
}

#[test]
fn code_of_128_kib_can_be_published_and_not_a_byte_more() {
    let node = Node::new();
    let genesis = node.chain().head_digest().0;
    // PUSH3 size, DUP1, PUSH1 offset, PUSH1 0, CODECOPY, PUSH1 0, RETURN, then the code itself.
    let deploy = |nonce, size: usize| {
        let size_bytes = (size as u32).to_be_bytes();
        let mut initcode = vec![
            0x62,
            size_bytes[1],
            size_bytes[2],
            size_bytes[3],
            0x80,
            0x60,
            0x0d,
            0x60,
            0x00,
            0x39,
        ];
        initcode.extend([0x60, 0x00, 0xf3]);
        initcode.extend(std::iter::repeat_n(0, size));
        call(0, nonce, TxKind::Create, 0, initcode.into(), 8_000_000)
    };
    let limit = 128 << 10;
    let proposal = node.build(genesis, 1, [deploy(0, limit), deploy(1, limit + 1)]);
    node.finalize(&proposal);
    let receipts = node.chain().receipts(1).unwrap().unwrap();
    assert_eq!(
        receipts.iter().map(|r| r.status()).collect::<Vec<_>>(),
        [true, false]
    );
    let published = signer(0).address().create(0);
    assert_eq!(
        node.chain().state().unwrap().code_at(published).unwrap().len(),
        limit
    );
    // The whole price of a published byte, calldata to disk, is what the parameters promise.
    let gas = receipts[0].cumulative_gas_used();
    assert!((12 * limit as u64..15 * limit as u64).contains(&gas), "{gas}");
}
