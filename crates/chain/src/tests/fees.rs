//! What becomes of fees: burnt, given to somebody, or not asked for.

use super::*;
use alloy_consensus::TxReceipt;
use serde_json::json;

const RECIPIENT: Address = Address::repeat_byte(0xfe);
const TO: Address = Address::repeat_byte(0x70);
const PROPOSER: Address = Address::repeat_byte(0xbe);
/// An account that nobody funded.
const POOR: u32 = 50;

fn node(fees: serde_json::Value) -> Node {
    let mut genesis = dev_genesis();
    let params = json!({ "fees": fees });
    genesis.config.extra_fields.insert("synod".into(), params);
    Node::on(Chain::in_memory(ChainSpec::from_genesis(genesis).unwrap()).unwrap())
}

/// Builds on the head for [`PROPOSER`], has another node verify it, and makes it final.
fn next(node: &Node, verifier: &Node, view: u64, transactions: Vec<Recovered<Transaction>>) -> Proposal {
    node.queue.0.lock().extend(transactions);
    let parent = node.chain().head_digest().0;
    let duty = Duty {
        beneficiary: PROPOSER,
        ..Default::default()
    };
    let context = node.context(parent, view);
    let proposal = node.application.build(&context, &duty).unwrap();
    let verdict = verifier.application.verify(&context, &proposal).unwrap();
    assert!(matches!(verdict, Verdict::Valid), "{verdict:?}");
    node.finalize(&proposal);
    verifier.finalize(&proposal);
    proposal
}

/// All the money there is.
fn supply(node: &Node) -> U256 {
    let everybody = dev_accounts().into_iter().chain([RECIPIENT, TO, PROPOSER]);
    everybody.map(|account| node.balance(account)).sum()
}

/// A transfer, a transaction that fails, one that gets a refund (it clears a slot of the code it runs), and a short one.
fn mixture(nonce: u64) -> Vec<Recovered<Transaction>> {
    // SSTORE(0, 1), SSTORE(0, 0), then as much code as nobody deploys.
    let clears = Bytes::from_static(&[0x60, 1, 0x5f, 0x55, 0x5f, 0x5f, 0x55, 0x00]);
    let fails = Bytes::from_static(&[0xfe]);
    vec![
        transfer(0, nonce, TO, ETHER),
        super::call(1, nonce, TxKind::Create, 0, fails, 100_000),
        super::call(2, nonce, TxKind::Create, 0, clears, 200_000),
        transfer(3, nonce, TO, 1),
    ]
}

#[test]
fn base_fees_go_to_the_recipient_to_the_wei() {
    let fees = json!({ "recipient": RECIPIENT });
    let (proposer, verifier) = (node(fees.clone()), node(fees));
    let before = supply(&proposer);
    let mut expected = U256::ZERO;
    for view in 1..=3 {
        let proposal = next(&proposer, &verifier, view, mixture(view - 1));
        let header = &proposal.block.header;
        assert_eq!(proposal.block.body.transactions.len(), 4);
        let statuses: Vec<_> = proposer
            .chain()
            .head()
            .receipts
            .iter()
            .map(TxReceipt::status)
            .collect();
        assert_eq!(statuses, [true, false, true, true]);
        expected += U256::from(header.base_fee_per_gas.unwrap()) * U256::from(header.gas_used);
        assert_eq!(proposer.balance(RECIPIENT), expected);
        assert_eq!(supply(&proposer), before, "nothing is lost, nothing is made");
    }
    assert!(!expected.is_zero() && !proposer.balance(PROPOSER).is_zero());
    // A block without transactions gives nobody anything, and makes no account.
    let fees = json!({ "recipient": RECIPIENT });
    let (proposer, verifier) = (node(fees.clone()), node(fees));
    next(&proposer, &verifier, 1, vec![]);
    assert_eq!(
        proposer.chain().state().unwrap().account(RECIPIENT).unwrap(),
        None
    );
}

#[test]
fn without_a_recipient_base_fees_are_burnt() {
    let (proposer, verifier) = (node(json!({})), node(json!({})));
    let before = supply(&proposer);
    let header = next(&proposer, &verifier, 1, mixture(0)).block.header;
    let burnt = U256::from(header.base_fee_per_gas.unwrap()) * U256::from(header.gas_used);
    assert_eq!(supply(&proposer), before - burnt);
    // A node that would give them to somebody does not follow.
    let other = node(json!({ "recipient": RECIPIENT }));
    let genesis = other.chain().head_digest().0;
    let burning = node(json!({}));
    let proposal = burning.build(genesis, 1, mixture(0));
    match other
        .application
        .verify(&other.context(genesis, 1), &proposal)
        .unwrap()
    {
        Verdict::Invalid(InvalidBlock::Field { field, .. }) => assert_eq!(field, "stateRoot"),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn where_gas_is_free_accounts_without_money_transact() {
    let fees = json!({ "free": true });
    let (proposer, verifier) = (node(fees.clone()), node(fees));
    let before = supply(&proposer);
    // Offers a fee, as tools do; returns what GASPRICE and BASEFEE say.
    let prices = Bytes::from_static(&[0x3a, 0x5f, 0x52, 0x48, 0x60, 0x20, 0x52, 0x60, 0x40, 0x5f, 0xf3]);
    let transactions = vec![
        super::call(POOR, 0, TxKind::Create, 0, prices, 200_000),
        transfer(POOR, 1, TO, 0),
        // What is sent must be there.
        transfer(POOR, 2, TO, 1),
        transfer(0, 0, TO, 5),
    ];
    let proposal = next(&proposer, &verifier, 1, transactions);
    assert_eq!(proposal.block.body.transactions.len(), 3);
    assert_eq!(proposal.block.header.base_fee_per_gas, Some(0));
    let created = signer(POOR).address().create(0);
    let code = proposer.chain().state().unwrap().code_at(created).unwrap();
    assert_eq!(code, Bytes::from(vec![0; 64]));
    assert_eq!(supply(&proposer), before);
    assert_eq!(proposer.balance(PROPOSER), U256::ZERO, "no tip either");
    assert_eq!(proposer.balance(TO), U256::from(5));

    let child = proposer.build(proposal.digest(), 2, []);
    assert_eq!(child.block.header.base_fee_per_gas, Some(0));
    let mut paid = child.clone();
    paid.block.header.base_fee_per_gas = Some(1);
    let context = verifier.context(proposal.digest(), 2);
    match verifier.application.verify(&context, &paid).unwrap() {
        Verdict::Invalid(InvalidBlock::Field { field, .. }) => assert_eq!(field, "baseFeePerGas"),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn where_gas_is_free_the_pool_keeps_the_order_of_arrival() {
    use crate::pool::{Head, Limits, Pool, PoolError};
    let node = node(json!({ "free": true }));
    let limits = Limits {
        minimum_tip: 1,
        ..Default::default()
    };
    let head = Head {
        env: node.chain().pending_env(Timestamp(1_001_000)),
        accounts: Arc::new(node.chain().state().unwrap()),
        gas_is_free: node.chain().spec().gas_is_free(),
    };
    let pool = Pool::new(limits, head);
    let offering = |from: u32, fee: u128| {
        let signer = signer(from);
        let tx = TxEip1559 {
            chain_id: crate::spec::DEV_CHAIN_ID,
            gas_limit: 21_000,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: fee,
            to: TxKind::Call(TO),
            ..Default::default()
        };
        let signature = signer.sign_hash_sync(&tx.signature_hash()).unwrap();
        Recovered::new_unchecked(tx.into_signed(signature).into(), signer.address())
    };
    let order = [(POOR, 0), (POOR + 1, 1_000_000_000), (0, 7)];
    for (from, fee) in order {
        pool.add(offering(from, fee)).unwrap();
    }
    let senders: Vec<_> = pool.best(0).map(|tx| tx.sender()).collect();
    assert_eq!(senders, order.map(|(from, _)| signer(from).address()));
    // One that waits can be replaced, which costs nothing, by one that says a higher fee.
    assert!(pool.add(offering(POOR, 1)).unwrap().replaced.is_some());
    assert!(matches!(
        pool.add(transfer(POOR, 1, TO, 1)),
        Err(PoolError::InsufficientFunds { .. })
    ));
}
