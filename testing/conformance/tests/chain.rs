//! Ethereum's test chain, imported.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use alloy_consensus::Block;
use alloy_primitives::B256;
use alloy_rlp::Decodable;
use std::fs;
use synod_chain::{Chain, ChainSpec, ImportError, InvalidBlock, Transaction};
use synod_conformance::data;

fn spec() -> ChainSpec {
    let genesis = fs::read_to_string(data("execution-apis").join("genesis.json")).unwrap();
    ChainSpec::from_json(&genesis).unwrap()
}

fn blocks() -> Vec<Block<Transaction>> {
    let file = fs::read(data("execution-apis").join("chain.rlp")).unwrap();
    let mut bytes = &file[..];
    let mut blocks = Vec::new();
    while !bytes.is_empty() {
        blocks.push(Block::decode(&mut bytes).unwrap());
    }
    blocks
}

/// The block that the suite's consensus client makes the head.
fn head() -> B256 {
    let file = fs::read_to_string(data("execution-apis").join("headfcu.json")).unwrap();
    let request: serde_json::Value = serde_json::from_str(&file).unwrap();
    request["params"][0]["headBlockHash"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap()
}

#[test]
fn all_54_headers_come_out_as_they_are() {
    let chain = Chain::in_memory(spec()).unwrap();
    let file = fs::read(data("execution-apis").join("chain.rlp")).unwrap();
    assert_eq!(chain.import_rlp(&file).unwrap(), 54);
    assert_eq!(chain.head().hash(), head());
    let blocks = blocks();
    for block in &blocks {
        let stored = chain.block(block.header.number).unwrap().unwrap();
        assert_eq!(stored.block.to_block(), *block);
        assert_eq!(stored.receipts.len(), block.body.transactions.len());
        // History stays readable: the state of each block is the one its header names.
        assert_eq!(
            chain.state_at(block.header.number).unwrap().unwrap().root(),
            block.header.state_root
        );
    }
    let transactions: usize = blocks.iter().map(|b| b.body.transactions.len()).sum();
    assert_eq!(transactions, 249);
    assert_eq!(chain.unfinalised(), 0);
    // The same file again is no work.
    assert_eq!(chain.import_rlp(&file).unwrap(), 0);
}

#[test]
fn a_header_with_any_wrong_root_is_refused_and_changes_nothing() {
    let chain = Chain::in_memory(spec()).unwrap();
    let blocks = blocks();
    let (last, before) = blocks.split_last().unwrap();
    for block in before {
        assert!(chain.import_block(block.clone()).unwrap());
    }
    let head = chain.head();
    type Edit = fn(&mut Block<Transaction>);
    let edits: [(&str, Edit); 7] = [
        ("stateRoot", |b| b.header.state_root.0[0] ^= 1),
        ("receiptsRoot", |b| b.header.receipts_root.0[0] ^= 1),
        ("transactionsRoot", |b| b.header.transactions_root.0[0] ^= 1),
        ("gasUsed", |b| b.header.gas_used ^= 1),
        ("baseFeePerGas", |b| {
            b.header.base_fee_per_gas = b.header.base_fee_per_gas.map(|f| f + 1)
        }),
        ("requestsHash", |b| b.header.requests_hash = Some(B256::ZERO)),
        ("excessBlobGas", |b| {
            b.header.excess_blob_gas = b.header.excess_blob_gas.map(|g| g + 1)
        }),
    ];
    for (name, edit) in edits {
        let mut block = last.clone();
        edit(&mut block);
        match chain.import_block(block) {
            Err(ImportError::Invalid {
                source: InvalidBlock::Field { field, .. },
                ..
            }) => {
                assert_eq!(field, name);
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(chain.head(), head);
    assert!(chain.import_block(last.clone()).unwrap());
}

#[test]
fn a_chain_survives_being_closed_between_any_two_blocks() {
    let dir = tempfile::tempdir().unwrap();
    for block in blocks() {
        let chain = Chain::open(dir.path(), spec()).unwrap();
        assert_eq!(chain.head().hash(), block.header.parent_hash);
        assert!(chain.import_block(block).unwrap());
    }
    let chain = Chain::open(dir.path(), spec()).unwrap();
    assert_eq!(chain.head().hash(), head());
}
