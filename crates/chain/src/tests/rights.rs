//! Who may send transactions, deploy and publish, as the council says.

use super::*;
use crate::council::{self, COUNCIL, Council, Validator};
use alloy_consensus::TxReceipt;
use alloy_evm::{Evm as _, EvmFactory as _};
use alloy_genesis::GenesisAccount;
use alloy_primitives::{address, bytes};
use alloy_sol_types::SolCall;
use revm::{
    context::{
        TxEnv,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    database::WrapDatabaseRef,
};
use synod_evm::{
    addresses::{CHUNK_FACTORY, MODEL_REGISTRY},
    interface::ModelRegistry,
    manifest,
    rights::{NotPermitted, Right},
};
use synod_state::StateError;

const TRANSACT: u8 = Right::Transact as u8;
const DEPLOY: u8 = Right::Deploy as u8;
const PUBLISH: u8 = Right::Publish as u8;

/// Calls the account in the first word of its call data with the rest, and answers or reverts with the answer.
const PROXY: Address = address!("0x00000000000000000000000000000000000f0001");
const PROXY_CODE: Bytes =
    bytes!("36602090038060206000376000600082600060006000355af13d600060003e6026573d6000fd5b3d6000f3");

/// Creates with its call data as init code.
const CREATOR: Address = address!("0x00000000000000000000000000000000000f0002");
const CREATOR_CODE: Bytes = bytes!("3660006000373660006000f060005260206000f3");

/// Calls the council with its call data, then creates an account without code.
const GRANTING_CREATOR: Address = address!("0x00000000000000000000000000000000000f0003");
const GRANTING_CREATOR_CODE: Bytes = bytes!("36600060003760006000366000600061ae035af150600060006000f000");

/// The call data on which [`PROXY`] calls `to` with `data`.
fn through(to: Address, data: &[u8]) -> Bytes {
    [to.into_word().as_slice(), data].concat().into()
}

/// Init code that deploys code that could run: `JUMPDEST`.
fn contract() -> Bytes {
    manifest::init_code(&[0x5b])
}

/// A chain whose only validator decides with `account`.
fn seated(account: Address) -> Node {
    let validator = Validator {
        name: "zero".into(),
        account,
        identity: B256::repeat_byte(1),
        voteKey: vec![2; 48].into(),
        possession: vec![3; 96].into(),
        host: String::new(),
    };
    let mut genesis = dev_genesis();
    let council = council::genesis_account(1000, vec![validator]).unwrap();
    genesis.alloc.insert(COUNCIL, council);
    for (address, code) in [
        (PROXY, PROXY_CODE),
        (CREATOR, CREATOR_CODE),
        (GRANTING_CREATOR, GRANTING_CREATOR_CODE),
    ] {
        let code = Some(code);
        genesis.alloc.insert(
            address,
            GenesisAccount {
                code,
                ..Default::default()
            },
        );
    }
    Node::on(Chain::in_memory(ChainSpec::from_genesis(genesis).unwrap()).unwrap())
}

/// The validator is the first account, and lists others for `listed`.
fn listing(listed: u8) -> Node {
    let node = seated(signer(0).address());
    let proposal = node.build(node.chain().head_digest().0, 1, [set_listed(0, listed)]);
    assert_eq!(statuses(&node, &proposal), [true]);
    node
}

fn decide(nonce: u64, call: impl SolCall) -> Recovered<Transaction> {
    super::call(
        0,
        nonce,
        TxKind::Call(COUNCIL),
        0,
        call.abi_encode().into(),
        300_000,
    )
}

fn set_listed(nonce: u64, rights: u8) -> Recovered<Transaction> {
    decide(nonce, Council::setListedCall { rights })
}

fn grant(nonce: u64, to: u32, rights: u8) -> Recovered<Transaction> {
    let account = signer(to).address();
    decide(nonce, Council::grantCall { account, rights })
}

fn send(from: u32, nonce: u64, to: Address, data: impl Into<Bytes>) -> Recovered<Transaction> {
    super::call(from, nonce, TxKind::Call(to), 0, data.into(), 1_000_000)
}

fn create(from: u32, nonce: u64) -> Recovered<Transaction> {
    super::call(from, nonce, TxKind::Create, 0, contract(), 1_000_000)
}

fn statuses(node: &Node, proposal: &Proposal) -> Vec<bool> {
    node.finalize(proposal);
    let head = node.chain().head();
    head.receipts.iter().map(TxReceipt::status).collect()
}

/// The next block, made final.
fn next(node: &Node, view: u64, transactions: impl IntoIterator<Item = Recovered<Transaction>>) -> Vec<bool> {
    let proposal = node.build(node.chain().head_digest().0, view, transactions);
    statuses(node, &proposal)
}

/// What a verifier says of a block with these transactions, whatever a builder would say.
fn judged(node: &Node, transactions: &[Recovered<Transaction>]) -> InvalidBlock {
    let parent = node.chain().head_digest().0;
    let mut proposal = node.build(parent, 9, []);
    let body: Vec<_> = transactions.iter().map(|tx| tx.inner().clone()).collect();
    proposal.block.header.transactions_root = alloy_consensus::proofs::calculate_transaction_root(&body);
    proposal.block.body.transactions = body;
    let context = node.context(parent, 9);
    match node.application.verify(&context, &proposal).unwrap() {
        Verdict::Invalid(rule) => rule,
        other => panic!("{other:?}"),
    }
}

/// A simulated call.
fn simulate(
    node: &Node,
    from: Address,
    kind: TxKind,
    data: &[u8],
) -> Result<ExecutionResult<HaltReason>, EVMError<StateError>> {
    let chain = node.chain();
    let mut env = chain.call_env(chain.head().header());
    env.block_env.basefee = 0;
    let call = TxEnv {
        caller: from,
        kind,
        data: data.to_vec().into(),
        gas_limit: 1_000_000,
        chain_id: None,
        ..Default::default()
    };
    let db = WrapDatabaseRef(chain.state().unwrap());
    let mut evm = chain.factory().create_evm(db, env);
    let outcome = evm.transact_raw(call)?;
    // Looking rights up leaves no trace: nothing loaded, nothing warm.
    let asked = kind == TxKind::Call(COUNCIL);
    assert_eq!(outcome.state.contains_key(&COUNCIL), asked);
    Ok(outcome.result)
}

/// The account lacks this right for a call, and the answer says so.
fn refused(node: &Node, from: u32, to: Address, data: &[u8], right: Right) {
    let account = signer(from).address();
    let reason = NotPermitted { account, right };
    for (to, data) in [(to, data.to_vec()), (PROXY, through(to, data).to_vec())] {
        match simulate(node, account, TxKind::Call(to), &data).unwrap() {
            ExecutionResult::Revert { output, gas, .. } => {
                assert_eq!(NotPermitted::of_revert(&output), Some(reason), "{to}");
                assert!(
                    gas.tx_gas_used() < 150_000,
                    "what was not used is given back: {gas:?}"
                );
            }
            other => panic!("{to}: {other:?}"),
        }
    }
}

fn allowed(node: &Node, from: u32, to: Address, data: &[u8]) {
    let result = simulate(node, signer(from).address(), TxKind::Call(to), data).unwrap();
    assert!(result.is_success(), "{to}: {result:?}");
}

fn chunk() -> Bytes {
    manifest::deployment(&manifest::chunk_code(b"weights"))
}

fn runnable() -> Bytes {
    [manifest::SALT.as_slice(), &contract()].concat().into()
}

fn claim() -> Vec<u8> {
    ModelRegistry::claimCall {
        org: "orchard".into(),
    }
    .abi_encode()
}

#[test]
fn a_council_that_lists_nobody_leaves_the_chain_open() {
    let node = seated(signer(0).address());
    let done = next(
        &node,
        1,
        [
            create(1, 0),
            send(2, 0, CHUNK_FACTORY, chunk()),
            send(3, 0, CHUNK_FACTORY, runnable()),
            send(4, 0, MODEL_REGISTRY, claim()),
        ],
    );
    assert_eq!(done, [true; 4]);
}

#[test]
fn who_may_not_transact_is_in_no_block_but_may_read() {
    let node = listing(TRANSACT);
    let to = Address::repeat_byte(7);
    assert_eq!(
        next(&node, 2, [transfer(1, 0, to, 5), transfer(0, 1, to, 1)]),
        [true]
    );
    assert_eq!(node.balance(to), U256::from(1));
    let source = NotPermitted {
        account: signer(1).address(),
        right: Right::Transact,
    };
    let rule = judged(&node, &[transfer(0, 2, to, 1), transfer(1, 0, to, 5)]);
    assert_eq!(rule, InvalidBlock::NotPermitted { index: 1, source });
    allowed(&node, 1, to, b"");
    // Deploying and publishing are open, which a simulation tells.
    allowed(&node, 1, CREATOR, &contract());
}

#[test]
fn rights_are_those_before_the_transaction_within_a_block_too() {
    let node = listing(TRANSACT);
    let to = Address::repeat_byte(7);
    let granted = [grant(1, 1, TRANSACT), transfer(1, 0, to, 5)];
    assert_eq!(next(&node, 2, granted), [true, true]);
    let revoked = [grant(2, 1, DEPLOY | PUBLISH), transfer(1, 1, to, 5)];
    assert_eq!(next(&node, 3, revoked.clone()), [true]);
    assert_eq!(node.balance(to), U256::from(5));
    // And the other way round the transaction comes first.
    let node = listing(0);
    let [revoke, last] = [set_listed(1, TRANSACT), transfer(1, 0, to, 5)];
    assert_eq!(
        next(&node, 2, [last, revoke, transfer(1, 1, to, 1)]),
        [true, true]
    );
}

#[test]
fn who_may_not_deploy_creates_by_no_contract() {
    let node = listing(DEPLOY);
    let account = signer(1).address();
    let source = NotPermitted {
        account,
        right: Right::Deploy,
    };
    assert_eq!(
        judged(&node, &[create(1, 0)]),
        InvalidBlock::NotPermitted { index: 0, source }
    );
    assert_eq!(next(&node, 2, [create(1, 0), create(0, 1)]), [true]);
    match simulate(&node, account, TxKind::Create, &contract()) {
        Err(EVMError::Transaction(reason)) => assert_eq!(reason.to_string(), source.to_string()),
        other => panic!("{other:?}"),
    }
    refused(&node, 1, CREATOR, &contract(), Right::Deploy);
    refused(&node, 1, CREATOR, b"", Right::Deploy);
    refused(&node, 1, CHUNK_FACTORY, &runnable(), Right::Deploy);
    // As a transaction: it fails, its sender pays, and nothing stands there.
    assert_eq!(next(&node, 3, [send(1, 0, CREATOR, contract())]), [false]);
    let created = CREATOR.create(0);
    assert_eq!(node.chain().state().unwrap().account(created).unwrap(), None);
    // It may call, and publish, which is open.
    allowed(&node, 1, CHUNK_FACTORY, &chunk());
    allowed(&node, 1, MODEL_REGISTRY, &claim());

    assert_eq!(
        next(
            &node,
            4,
            [grant(2, 1, DEPLOY), create(1, 1), send(1, 2, CREATOR, contract())]
        ),
        [true; 3]
    );
    // Nobody, who signs nothing, may try anything.
    let nobody = simulate(&node, Address::ZERO, TxKind::Create, &contract()).unwrap();
    assert!(nobody.is_success(), "{nobody:?}");
}

#[test]
fn who_may_not_publish_writes_no_chunk_and_no_name() {
    let node = listing(PUBLISH);
    refused(&node, 1, CHUNK_FACTORY, &chunk(), Right::Publish);
    refused(&node, 1, MODEL_REGISTRY, &claim(), Right::Publish);
    allowed(&node, 1, CHUNK_FACTORY, &runnable());
    allowed(
        &node,
        1,
        MODEL_REGISTRY,
        &ModelRegistry::modelCountCall {}.abi_encode(),
    );
    let tried = [
        send(1, 0, CHUNK_FACTORY, chunk()),
        send(1, 1, MODEL_REGISTRY, claim()),
    ];
    assert_eq!(next(&node, 2, tried), [false; 2]);
    let granted = [
        grant(1, 1, PUBLISH),
        send(1, 2, CHUNK_FACTORY, chunk()),
        send(1, 3, MODEL_REGISTRY, claim()),
    ];
    assert_eq!(next(&node, 3, granted), [true; 3]);
    // The namespace cannot be handed on by one who lost the right.
    assert_eq!(next(&node, 4, [grant(2, 1, 0)]), [true]);
    let (org, to) = ("orchard".to_owned(), signer(2).address());
    let hand_on = ModelRegistry::transferNamespaceCall { org, to }.abi_encode();
    assert_eq!(next(&node, 5, [send(1, 4, MODEL_REGISTRY, hand_on)]), [false]);
}

#[test]
fn publishing_is_no_way_to_deploy_nor_the_reverse() {
    let node = listing(DEPLOY | PUBLISH);
    let granted = [grant(1, 1, PUBLISH), grant(2, 2, DEPLOY)];
    assert_eq!(next(&node, 2, granted), [true; 2]);
    allowed(&node, 1, CHUNK_FACTORY, &chunk());
    refused(&node, 1, CHUNK_FACTORY, &runnable(), Right::Deploy);
    refused(
        &node,
        1,
        CREATOR,
        &manifest::init_code(&manifest::chunk_code(b"w")),
        Right::Deploy,
    );
    allowed(&node, 2, CHUNK_FACTORY, &runnable());
    allowed(&node, 2, CREATOR, &contract());
    refused(&node, 2, CHUNK_FACTORY, &chunk(), Right::Publish);
}

#[test]
fn a_right_granted_in_a_transaction_counts_from_the_next_one_on() {
    // The validator is a contract, which does what anybody asks of it.
    let node = seated(GRANTING_CREATOR);
    let ask = |nonce, call: Vec<u8>| send(1, nonce, GRANTING_CREATOR, call);
    let listed = |node: &Node| {
        let call = Council::listedCall {}.abi_encode();
        let outcome = simulate(node, Address::ZERO, TxKind::Call(COUNCIL), &call).unwrap();
        Council::listedCall::abi_decode_returns(outcome.output().unwrap()).unwrap()
    };
    // It creates after it has listed others, since its sender had the right before.
    let list = Council::setListedCall { rights: DEPLOY }.abi_encode();
    assert_eq!(next(&node, 1, [ask(0, list)]), [true]);
    assert_eq!(listed(&node), DEPLOY);
    // And it does not after it has granted its sender the right; all that it did is undone.
    let grant = Council::grantCall {
        account: signer(1).address(),
        rights: DEPLOY,
    };
    assert_eq!(next(&node, 2, [ask(1, grant.abi_encode())]), [false]);
    refused(&node, 1, CREATOR, &contract(), Right::Deploy);
}

#[test]
fn the_pool_refuses_what_no_block_would_take() {
    use crate::pool::{Head, Limits, Pool, PoolError, Touched};
    let node = listing(TRANSACT | DEPLOY);
    let head = || Head {
        env: node.chain().pending_env(Timestamp(1_001_000)),
        accounts: Arc::new(node.chain().state().unwrap()),
        gas_is_free: false,
    };
    let pool = Pool::new(Limits::default(), head());
    let to = Address::repeat_byte(7);
    let error = pool.add(transfer(1, 0, to, 1)).unwrap_err();
    assert!(matches!(error, PoolError::NotPermitted(_)));
    let account = signer(1).address();
    assert_eq!(
        error.to_string(),
        format!(
            "not permitted: {account} may not send transactions on this chain; its validators can grant it that right, in \
             the council contract at {COUNCIL}"
        )
    );
    pool.add(create(0, 1)).unwrap();
    assert_eq!(next(&node, 2, [grant(1, 1, TRANSACT)]), [true]);
    pool.set_head(head(), Touched::Any).unwrap();
    pool.add(transfer(1, 0, to, 1)).unwrap();
    let create = pool.add(create(1, 1)).unwrap_err();
    assert!(
        create.to_string().contains("may not deploy contracts"),
        "{create}"
    );
    // What waits of an account that loses its right leaves.
    assert_eq!(next(&node, 3, [grant(2, 1, 0)]), [true]);
    let change = pool.set_head(head(), Touched::Any).unwrap();
    assert_eq!(change.removed.len(), 1);
    assert_eq!(pool.status().ready, 0);
}
