//! The state as a genesis file's accounts.

use super::*;
use alloy_primitives::{address, hex};

/// Sets slot CALLDATA[0] to CALLDATA[1]: PUSH1 32 CALLDATALOAD PUSH0 CALLDATALOAD SSTORE.
const SETTER: [u8; 8] = hex!("6020355f35550000");

fn word(number: u64) -> [u8; 32] {
    U256::from(number).to_be_bytes()
}

fn set(from: u32, nonce: u64, contract: Address, slot: u64, value: u64) -> Recovered<Transaction> {
    let input = [word(slot), word(value)].concat();
    call(from, nonce, TxKind::Call(contract), 0, input.into(), 100_000)
}

/// Deploys this code: CODECOPY of what follows the first twelve bytes, RETURN.
fn deploy(from: u32, nonce: u64, code: &[u8]) -> Recovered<Transaction> {
    let size = u8::try_from(code.len()).unwrap();
    let mut input = vec![0x60, size, 0x80, 0x60, 9, 0x5f, 0x39, 0x5f, 0xf3];
    input.extend_from_slice(code);
    call(from, nonce, TxKind::Create, 0, input.into(), 200_000)
}

#[test]
fn a_new_chain_begins_where_another_ended() {
    let node = Node::new();
    let (stranger, contract) = (Address::repeat_byte(7), signer(0).address().create(0));
    // Made and destroyed in one transaction: nothing of it is left. SELFDESTRUCT to the caller.
    let gone = call(1, 0, TxKind::Create, 5, hex!("33ff").into(), 100_000);
    let blocks = [
        vec![deploy(0, 0, &SETTER), gone, transfer(2, 0, stranger, ETHER)],
        vec![set(0, 1, contract, 1, 11), set(0, 2, contract, 2, 22)],
        vec![],
        // One slot is cleared, another changed.
        vec![set(0, 3, contract, 1, 0), set(3, 0, contract, 2, 23)],
    ];
    let mut parent = node.chain().head_digest().0;
    for (view, transactions) in (1..).zip(blocks) {
        let count = transactions.len();
        let proposal = node.build(parent, view, transactions);
        assert_eq!(proposal.block.body.transactions.len(), count);
        node.finalize(&proposal);
        parent = proposal.digest();
    }
    let mut ran = Vec::new();
    let exported = node.chain().export(&mut |number| ran.push(number)).unwrap();
    assert_eq!(ran, [1, 2, 3, 4]);
    assert_eq!(exported.header, *node.chain().head().header());
    let setter = &exported.accounts[&contract];
    assert_eq!(setter.code.as_ref().unwrap()[..], SETTER);
    let slots = [(B256::from(word(2)), B256::from(word(23)))];
    assert_eq!(setter.storage, Some(slots.into()));
    assert_eq!(exported.accounts[&stranger].balance, U256::from(ETHER));
    assert_eq!(exported.accounts[&signer(0).address()].nonce, Some(4));
    assert!(!exported.accounts.contains_key(&signer(1).address().create(0)));
    assert!(
        exported
            .accounts
            .contains_key(&address!("000000000000000000000000000000000000AE02")),
        "the registry"
    );

    // As a genesis file.
    let mut genesis = dev_genesis();
    genesis.alloc = exported.accounts;
    let text = serde_json::to_string(&genesis).unwrap();
    let chain = Chain::in_memory(ChainSpec::from_json(&text).unwrap()).unwrap();
    assert_eq!(chain.head().number(), 0);
    assert_eq!(chain.head().header().state_root, exported.header.state_root);
}
