//! The limit on a block's predictions.

use super::*;
use alloy_consensus::TxReceipt;
use alloy_sol_types::SolCall;
use synod_evm::{addresses::PREDICT, interface::IPredict};

const LIMIT: u64 = 1_000_000;
/// What a block can hold twice, and a third of not.
const VALUES: usize = 10_000;
const GAS: u64 = 3_000_000;

/// A chain whose blocks may spend [`LIMIT`] on predictions.
fn limited() -> Node {
    let mut genesis = dev_genesis();
    let params = serde_json::json!({ "limits": { "inferenceGas": LIMIT } });
    genesis.config.extra_fields.insert("synod".into(), params);
    Node::on(Chain::in_memory(ChainSpec::from_genesis(genesis).unwrap()).unwrap())
}

/// Call data that has the precompile convert values, each of which costs a fixed amount.
fn data(values: usize) -> Bytes {
    IPredict::packCall {
        dtype: 1,
        values: vec![alloy_primitives::I256::ONE; values],
        decimals: 0,
    }
    .abi_encode()
    .into()
}

fn pack(from: u32, values: usize, gas: u64) -> Recovered<Transaction> {
    call(from, 0, TxKind::Call(PREDICT), 0, data(values), gas)
}

/// What the precompile charges for it: the price list of the specification.
fn price(values: usize) -> u64 {
    let words = |bytes: usize| bytes.div_ceil(32) as u64;
    500 + 3 * words(data(values).len()) + 40 * values as u64 + 3 * words(64 + 4 * values)
}

fn senders(proposal: &Proposal) -> Vec<Address> {
    let transactions = proposal.block.body.transactions.iter();
    transactions
        .map(|tx| alloy_consensus::transaction::SignerRecoverable::recover_signer(tx).unwrap())
        .collect()
}

fn accounts<const N: usize>(indices: [u32; N]) -> Vec<Address> {
    indices.map(|index| signer(index).address()).into()
}

fn statuses(node: &Node, proposal: &Proposal) -> Vec<bool> {
    node.finalize(proposal);
    let head = node.chain().head();
    head.receipts.iter().map(TxReceipt::status).collect()
}

fn verdict(node: &Node, proposal: &Proposal) -> Verdict {
    let genesis = node.chain().head_digest().0;
    let context = node.context(genesis, 1);
    node.application.verify(&context, proposal).unwrap()
}

#[test]
fn a_block_takes_what_fits_and_leaves_the_rest_for_the_next() {
    assert!(2 * price(VALUES) + 100_000 <= LIMIT && 3 * price(VALUES) > LIMIT);
    let (proposer, validator) = (limited(), limited());
    let to = Address::repeat_byte(7);
    let offered = [
        pack(0, VALUES, GAS),
        pack(1, VALUES, GAS),
        // The third does not fit, so neither does what its sender offers after it.
        pack(2, VALUES, GAS),
        transfer(2, 1, to, 1),
        // From here on, what could be too much by its gas limit is not tried.
        pack(3, 1, GAS),
        transfer(4, 0, to, 1),
        pack(5, 1, 100_000),
    ];
    let first = proposer.build(proposer.chain().head_digest().0, 1, offered);
    assert_eq!(senders(&first), accounts([0, 1, 4, 5]));
    assert!(matches!(verdict(&validator, &first), Verdict::Valid));
    assert_eq!(statuses(&proposer, &first), [true; 4]);
    // Nothing of what was tried and left out stayed.
    let left = proposer.chain().state().unwrap().account(signer(2).address());
    assert_eq!(left.unwrap().unwrap().nonce, 0);
    let second = proposer.build(first.digest(), 2, [pack(2, VALUES, GAS), transfer(2, 1, to, 1)]);
    assert_eq!(statuses(&proposer, &second), [true; 2]);
}

#[test]
fn a_block_above_the_limit_is_invalid() {
    let full = [0, 1, 2].map(|from| pack(from, VALUES, GAS));
    // A chain without the parameter has the same genesis block: parameters are in no header.
    let careless = Node::new();
    let genesis = careless.chain().head_digest().0;
    let proposal = careless.build(genesis, 1, full);
    assert_eq!(proposal.block.body.transactions.len(), 3);
    let validator = limited();
    let Verdict::Invalid(rule) = verdict(&validator, &proposal) else {
        panic!("accepted");
    };
    let (used, limit) = (3 * price(VALUES), LIMIT);
    assert_eq!(
        rule,
        InvalidBlock::InferenceGas {
            index: 2,
            used,
            limit
        }
    );
    assert_eq!(validator.chain().unfinalised(), 0);
}

#[test]
fn a_transaction_above_the_limit_runs_out_of_gas_and_pays() {
    let node = limited();
    assert!(price(3 * VALUES) > LIMIT);
    let offered = [
        pack(0, 3 * VALUES, 10_000_000),
        // What the first could not pay, it did not use.
        pack(1, VALUES, GAS),
        pack(2, VALUES, GAS),
    ];
    let proposal = node.build(node.chain().head_digest().0, 1, offered);
    assert_eq!(senders(&proposal), accounts([0, 1, 2]));
    assert_eq!(statuses(&node, &proposal), [false, true, true]);
    assert_eq!(node.chain().head().receipts[0].cumulative_gas_used(), 10_000_000);
}

#[test]
fn what_a_reverted_frame_spent_counts() {
    let node = limited();
    // Calls PREDICT with its call data, then reverts.
    let code = alloy_primitives::bytes!("6010600a5f3960105ff3" "365f5f375f5f365f61ae015afa5f5ffd");
    let deploy = node.build(
        node.chain().head_digest().0,
        1,
        [call(9, 0, TxKind::Create, 0, code, 1_000_000)],
    );
    assert_eq!(statuses(&node, &deploy), [true]);
    let contract = signer(9).address().create(0);
    let ask = |from| call(from, 0, TxKind::Call(contract), 0, data(VALUES), GAS);
    let proposal = node.build(deploy.digest(), 2, [0, 1, 2].map(ask));
    assert_eq!(senders(&proposal), accounts([0, 1]));
    assert_eq!(statuses(&node, &proposal), [false, false]);
}
