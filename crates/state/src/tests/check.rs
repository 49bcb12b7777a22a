//! Whatever is wrong is found, and where.

use super::{crash, extend};
use crate::{
    CheckReport, Store,
    tables::{
        ACCOUNTS, BODIES, CODES, DIGESTS, HASHES, HEADERS, META, META_HEAD, NODES, RECEIPTS, STORAGE,
        TRANSACTIONS,
    },
};
use alloy_primitives::keccak256;
use redb::{ReadableTable, WriteTransaction};
use std::{ops::ControlFlow, sync::Arc};

fn chain() -> Arc<Store> {
    let store = Store::in_memory().unwrap();
    for number in 0..5 {
        let mut changes = crash::block(number);
        let code = alloy_primitives::Bytes::from(vec![number as u8; 40]);
        changes.codes.insert(keccak256(&code), code.clone());
        if let Some(account) = changes
            .accounts
            .values_mut()
            .find_map(|change| change.account.as_mut())
        {
            account.code_hash = keccak256(&code);
        }
        extend(&store, changes).unwrap();
    }
    store
}

fn check(store: &Arc<Store>) -> CheckReport {
    store
        .check(&Default::default(), &|_| true, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// What is damaged, how, and where the check must say so.
type Case = (&'static str, fn(&WriteTransaction), &'static str);

/// The first key of a table.
macro_rules! first {
    ($table:expr) => {{
        let entry = $table.first().unwrap().unwrap();
        entry.0.value().clone()
    }};
}

#[test]
fn each_kind_of_damage_is_found_where_it_is() {
    let clean = check(&chain());
    assert_eq!((clean.wrong, clean.blocks, clean.codes), (0, 5, 5));
    assert!(clean.finished && clean.nodes > 5 && clean.accounts > 2 && clean.slots > 2 && clean.states >= 5);
    let cases: [Case; 16] = [
        (
            "a node's bytes",
            |tx| {
                let mut table = tx.open_table(NODES).unwrap();
                let key = first!(table);
                table.insert(&key, &b"other"[..]).unwrap();
            },
            "nodes 0x",
        ),
        (
            "the head's root node",
            |tx| {
                let meta = tx.open_table(META).unwrap();
                let head = meta.get(META_HEAD).unwrap().unwrap().value().to_vec();
                let root: [u8; 32] = head[72..].try_into().unwrap();
                tx.open_table(NODES).unwrap().remove(&root).unwrap();
            },
            "the head's state",
        ),
        (
            "a code's bytes",
            |tx| {
                let mut table = tx.open_table(CODES).unwrap();
                let key = first!(table);
                table.insert(&key, &b"other"[..]).unwrap();
            },
            "codes 0x",
        ),
        (
            "a code",
            |tx| {
                let mut table = tx.open_table(CODES).unwrap();
                let key = first!(table);
                table.remove(&key).unwrap();
            },
            "codes 0x",
        ),
        (
            "an account's bytes",
            |tx| {
                let mut table = tx.open_table(ACCOUNTS).unwrap();
                let key = first!(table);
                table.insert(&key, &[7; 72][..]).unwrap();
            },
            "accounts 0x",
        ),
        (
            "an account",
            |tx| {
                let mut table = tx.open_table(ACCOUNTS).unwrap();
                let key = first!(table);
                table.remove(&key).unwrap();
            },
            "accounts 0x",
        ),
        (
            "one account too many",
            |tx| {
                tx.open_table(ACCOUNTS)
                    .unwrap()
                    .insert(&[255; 32], &[7; 72][..])
                    .unwrap();
            },
            "accounts 0xff",
        ),
        (
            "a slot's value",
            |tx| {
                let mut table = tx.open_table(STORAGE).unwrap();
                let key = first!(table);
                table.insert(&key, &[9; 32]).unwrap();
            },
            "storage 0x",
        ),
        (
            "a slot",
            |tx| {
                let mut table = tx.open_table(STORAGE).unwrap();
                let key = first!(table);
                table.remove(&key).unwrap();
            },
            "storage 0x",
        ),
        (
            "one slot too many",
            |tx| {
                tx.open_table(STORAGE)
                    .unwrap()
                    .insert(&[0; 64], &[9; 32])
                    .unwrap();
            },
            "storage 0x00",
        ),
        (
            "a header",
            |tx| {
                tx.open_table(HEADERS).unwrap().remove(2).unwrap();
            },
            "block 2",
        ),
        (
            "a header's bytes",
            |tx| {
                let mut table = tx.open_table(HEADERS).unwrap();
                let other = table.get(1).unwrap().unwrap().value().to_vec();
                table.insert(2, &other[..]).unwrap();
            },
            "block 2",
        ),
        (
            "a body",
            |tx| {
                tx.open_table(BODIES).unwrap().insert(3, &b"no body"[..]).unwrap();
            },
            "block 3",
        ),
        (
            "receipts",
            |tx| {
                tx.open_table(RECEIPTS).unwrap().remove(1).unwrap();
            },
            "block 1",
        ),
        (
            "the index of hashes",
            |tx| {
                tx.open_table(HASHES).unwrap().insert(&[1; 32], 3).unwrap();
            },
            "hashes",
        ),
        (
            "the index of transactions",
            |tx| {
                tx.open_table(TRANSACTIONS)
                    .unwrap()
                    .insert(&[1; 32], (3, 0))
                    .unwrap();
                tx.open_table(DIGESTS).unwrap().insert(77, &[1; 32]).unwrap();
            },
            "transactions",
        ),
    ];
    for (what, damage, place) in cases {
        let store = chain();
        let tx = store.begin_write().unwrap();
        damage(&tx);
        tx.commit().unwrap();
        let report = check(&store);
        assert!(report.wrong > 0, "{what}");
        let found = report
            .findings
            .iter()
            .any(|finding| finding.place.starts_with(place));
        assert!(found, "{what}: {:?}", report.findings);
    }
}

#[test]
fn numbers_add_up() {
    let store = chain();
    let stats = store.stats().unwrap();
    let entries = |name: &str| {
        stats
            .tables
            .iter()
            .find(|table| table.name == name)
            .unwrap()
            .entries
    };
    let report = check(&store);
    assert_eq!(stats.head.unwrap().height, 4);
    assert_eq!(stats.oldest_state, 0);
    assert_eq!(
        (
            entries("headers"),
            entries("codes"),
            entries("accounts"),
            entries("storage")
        ),
        (report.blocks, report.codes, report.accounts, report.slots)
    );
    assert_eq!(entries("nodes"), report.nodes);
    let nodes = stats.tables.iter().find(|table| table.name == "nodes").unwrap();
    assert!(nodes.page_bytes >= nodes.stored_bytes && nodes.stored_bytes > 32 * nodes.entries);
    assert!(stats.used_bytes >= nodes.page_bytes);
}
