//! The limit on a block's bytes (EIP-7934).

use super::*;
use alloy_rlp::Encodable;

/// Bytes of call data of one transaction; what pools take at most.
const BYTES: usize = 500_000;

fn node(block_size: usize) -> Node {
    let mut genesis = dev_genesis();
    let params = serde_json::json!({ "limits": { "blockSize": block_size } });
    genesis.config.extra_fields.insert("synod".into(), params);
    Node::on(Chain::in_memory(ChainSpec::from_genesis(genesis).unwrap()).unwrap())
}

fn bulky(from: u32, nonce: u64, bytes: usize) -> Recovered<Transaction> {
    let to = TxKind::Call(Address::repeat_byte(1));
    call(from, nonce, to, 0, vec![1; bytes].into(), 3_000_000)
}

fn count(proposal: &Proposal) -> usize {
    proposal.block.body.transactions.len()
}

#[test]
fn a_block_takes_what_fits_by_bytes_and_goes_on_with_smaller_ones() {
    let node = node(1 << 20);
    let genesis = node.chain().head_digest().0;
    let to = Address::repeat_byte(7);
    let offered = [
        bulky(0, 0, BYTES),
        bulky(0, 1, BYTES),
        // 2^20 bytes are not three of these. What its sender offers next cannot come before it.
        bulky(1, 0, BYTES),
        transfer(1, 1, to, 1),
        transfer(2, 0, to, 1),
    ];
    let first = node.build(genesis, 1, offered);
    assert_eq!(count(&first), 3);
    assert!(first.block.length() <= 1 << 20);
    let second = node.build(first.digest(), 2, [bulky(1, 0, BYTES), transfer(1, 1, to, 1)]);
    assert_eq!(count(&second), 2);
}

#[test]
fn a_block_of_the_very_last_byte_is_valid_and_one_more_is_not() {
    // What a chain with a higher limit builds, this one judges: parameters are in no header.
    let careless = node(4 << 20);
    let genesis = careless.chain().head_digest().0;
    let build = |last: usize| careless.build(genesis, 1, [bulky(0, 0, BYTES), bulky(0, 1, last)]);
    let limit = 1 << 20;
    let excess = build(BYTES).block.length() + 60_000 - limit;
    let exact = build(BYTES + 60_000 - excess);
    let above = build(BYTES + 60_001 - excess);
    assert_eq!((exact.block.length(), above.block.length()), (limit, limit + 1));
    let verdict = |proposal: &Proposal| {
        let node = node(limit);
        node.application
            .verify(&node.context(genesis, 1), proposal)
            .unwrap()
    };
    assert!(matches!(verdict(&exact), Verdict::Valid));
    let Verdict::Invalid(rule) = verdict(&above) else {
        panic!("accepted");
    };
    let got = limit + 1;
    assert_eq!(rule, InvalidBlock::Size { got, limit });
}
