//! A final block run again on the state of its parent.

use super::*;
use crate::{ReplayError, council, replay};
use alloy_consensus::TxReceipt;
use alloy_primitives::bytes;
use alloy_sol_types::SolCall;
use revm::{database::EmptyDB, inspector::NoOpInspector};
use synod_evm::{
    addresses::{COUNCIL, PREDICT},
    interface::{Council, IPredict},
    watch::{Ended, Watch},
};

/// Stores what PREDICT answers to its call data: `sstore(0, hash of the answer)`, and reverts if it refuses.
const KEEPER: Bytes = bytes!(
    "601f600a5f39601f5ff3" "365f5f375f5f365f5f61ae015af16014575f5ffd5b3d5f5f3e3d5f205f5500"
);

fn keeper() -> (Recovered<Transaction>, Address) {
    let deploy = call(0, 0, TxKind::Create, 0, KEEPER, 1_000_000);
    (deploy, signer(0).address().create(0))
}

fn pack(values: i32) -> Bytes {
    IPredict::packCall {
        dtype: 1,
        values: vec![alloy_primitives::I256::ONE; values as usize],
        decimals: 0,
    }
    .abi_encode()
    .into()
}

#[test]
fn a_block_runs_again_on_its_parents_state() {
    let node = Node::new();
    let (deploy, keeper) = keeper();
    let first = node.build(node.chain().head_digest().0, 1, [deploy]);
    node.finalize(&first);
    let ask = |from, nonce, values| call(from, nonce, TxKind::Call(keeper), 0, pack(values), 200_000);
    let second = node.build(
        first.digest(),
        2,
        [
            ask(1, 0, 2),
            ask(2, 0, 3),
            transfer(3, 0, signer(2).address(), ETHER),
            call(4, 0, TxKind::Call(keeper), 0, bytes!("01020304"), 200_000),
        ],
    );
    node.finalize(&second);
    let head = node.chain().head();
    let statuses: Vec<bool> = head.receipts.iter().map(TxReceipt::status).collect();
    assert_eq!(statuses, [true, true, true, false]);

    let before = node.chain().state_at(1).unwrap().unwrap();
    let after = node.chain().state_at(2).unwrap().unwrap();
    let block = head.block.to_block();
    let again = |watched| {
        let mut watch = Watch::default();
        let (spec, factory) = (node.chain().spec(), node.chain().factory());
        let ran = replay(spec, factory, before.clone(), &block, watched, &mut watch).unwrap();
        assert_eq!(ran.receipts, head.receipts);
        assert_eq!(ran.gas_used, head.header().gas_used);
        (ran, watch.into_calls())
    };
    let (ran, calls) = again(1);
    assert_eq!(calls.len(), 1);
    let predict = &calls[0];
    assert_eq!((predict.depth, predict.caller), (1, keeper));
    assert_eq!((predict.ended, predict.undone), (Ended::Answered, false));
    assert_eq!(predict.input, pack(3));
    let answer = IPredict::packCall::abi_decode_returns(&predict.output).unwrap();
    assert_eq!(answer, 1f32.to_be_bytes().repeat(3));
    assert!(predict.gas_used > 500);
    // What it changed is as the state after the block has it, what later transactions did included.
    assert!(
        ran.changed
            .iter()
            .any(|changed| changed.address == keeper && changed.slots.len() == 1)
    );
    for changed in &ran.changed {
        let account = after.account(changed.address).unwrap();
        assert_eq!(
            changed
                .account
                .as_ref()
                .map(|account| (account.balance, account.nonce)),
            account.map(|account| (account.balance, account.nonce)),
            "{}",
            changed.address
        );
        for (slot, value) in &changed.slots {
            assert_eq!(after.storage(changed.address, *slot).unwrap(), *value);
        }
    }
    // Refused, and everything around it with it.
    let (_, calls) = again(3);
    assert_eq!((calls[0].ended, calls[0].undone), (Ended::Refused, true));
    assert!(again(2).1.is_empty());

    // On another state it is no valid block.
    let (spec, factory) = (node.chain().spec(), node.chain().factory());
    let empty = replay(spec, factory, EmptyDB::default(), &block, 0, NoOpInspector {});
    assert!(matches!(empty, Err(ReplayError::Invalid(_))), "{empty:?}");
}

#[test]
fn the_rules_of_an_epoch_follow_from_the_state() {
    const EPOCH: u64 = 3;
    let validator = council::Validator {
        name: "zero".into(),
        account: signer(0).address(),
        identity: B256::repeat_byte(1),
        voteKey: vec![2; 48].into(),
        possession: vec![3; 96].into(),
        host: String::new(),
    };
    let mut genesis = dev_genesis();
    let account = council::genesis_account(EPOCH, vec![validator]).unwrap();
    genesis.alloc.insert(COUNCIL, account);
    let node = Node::on(Chain::in_memory(ChainSpec::from_genesis(genesis.clone()).unwrap()).unwrap());
    let schedule = Council::scheduleUpgradeCall {
        first: 1,
        protocol: 1,
        parameters: r#"{"gas": {"calldataByte": 9}}"#.into(),
    };
    let schedule = call(
        0,
        0,
        TxKind::Call(COUNCIL),
        0,
        schedule.abi_encode().into(),
        1_000_000,
    );
    let mut parent = node.chain().head_digest().0;
    for view in 1..=4 {
        let data = vec![1; 100].into();
        let ask = call(1, view - 1, TxKind::Call(PREDICT), 0, data, 100_000);
        let mut transactions = vec![ask];
        transactions.extend((view == 1).then(|| schedule.clone()));
        let proposal = node.build(parent, view, transactions);
        node.finalize(&proposal);
        parent = proposal.digest();
    }
    for number in 1..=4u64 {
        // Somebody who knows the genesis file and a state, and no history.
        let spec = ChainSpec::from_genesis(genesis.clone()).unwrap();
        let (factory, state) = (
            node.chain().factory(),
            node.chain().state_at(number - 1).unwrap().unwrap(),
        );
        let header = node.chain().header(number - 1).unwrap().unwrap();
        let data = node.chain().block(number).unwrap().unwrap();
        spec.take_up_from(factory, &header, state.clone()).unwrap();
        let expected = if number < EPOCH { 4 } else { 9 };
        assert_eq!(spec.synod_at(number).unwrap().gas.calldata_byte, expected);
        let ran = replay(&spec, factory, state, &data.block.to_block(), 0, NoOpInspector {}).unwrap();
        assert_eq!(ran.receipts, data.receipts, "block {number}");
    }
}
