//! The trie's tests: roots after insertions and deletions in the order given, in any order, and the order of keys; by
//! `eth_trie`, which the node's state stands on, and by `alloy_trie`, which computes a root from all leaves at once.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use alloy_primitives::{B256, hex, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};
use eth_trie::{EthTrie, MemoryDB, Trie};
use serde_json::Value;
use std::{collections::BTreeMap, fs, sync::Arc};
use synod_conformance::data;

/// A file's cases by name.
fn cases(file: &str) -> serde_json::Map<String, Value> {
    let text = fs::read_to_string(data("trie-tests").join(file)).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix("0x") {
        Some(digits) => hex::decode(digits).unwrap(),
        None => text.as_bytes().to_vec(),
    }
}

/// Steps of a case: a key with its new value, or with `None` to delete it.
type Steps = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn steps(input: &Value) -> Steps {
    match input {
        Value::Array(list) => list
            .iter()
            .map(|pair| (bytes(pair[0].as_str().unwrap()), pair[1].as_str().map(bytes)))
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(k, v)| (bytes(k), v.as_str().map(bytes)))
            .collect(),
        other => panic!("{other}"),
    }
}

fn root(case: &Value) -> B256 {
    case["root"].as_str().unwrap().parse().unwrap()
}

fn key(key: &[u8], secure: bool) -> Vec<u8> {
    if secure {
        keccak256(key).to_vec()
    } else {
        key.to_vec()
    }
}

/// By `eth_trie`, writing out the trie after each step when `eager`, else only at the end.
fn by_eth_trie(steps: &Steps, secure: bool, eager: bool) -> B256 {
    let mut trie = EthTrie::new(Arc::new(MemoryDB::new(false)));
    for (k, value) in steps {
        match value {
            Some(value) => trie.insert(&key(k, secure), value).unwrap(),
            None => drop(trie.remove(&key(k, secure)).unwrap()),
        }
        if eager {
            trie.root_hash().unwrap();
        }
    }
    trie.root_hash().unwrap()
}

/// By `alloy_trie`; `None` when a key is the beginning of another. Its builder has no branch with a value, which a trie of
/// keys of one length, as every trie of a chain's state is, never needs.
fn by_alloy_trie(steps: &Steps, secure: bool) -> Option<B256> {
    let mut leaves = BTreeMap::new();
    for (k, value) in steps {
        match value {
            Some(value) => leaves.insert(key(k, secure), value.clone()),
            None => leaves.remove(&key(k, secure)),
        };
    }
    let keys: Vec<_> = leaves.keys().collect();
    if keys.windows(2).any(|pair| pair[1].starts_with(pair[0])) {
        return None;
    }
    if leaves.is_empty() {
        return Some(EMPTY_ROOT_HASH);
    }
    let mut builder = HashBuilder::default();
    for (k, value) in &leaves {
        builder.add_leaf(Nibbles::unpack(k), value);
    }
    Some(builder.root())
}

/// Checks a file; returns how many cases there are and how many of them both implementations judged.
fn check(file: &str, secure: bool, any_order: bool) -> (usize, usize) {
    let cases = cases(file);
    let mut both = 0;
    for (name, case) in &cases {
        let mut steps = steps(&case["in"]);
        // In any order: all rotations of the list, forwards and backwards.
        let orders = if any_order { 2 * steps.len() } else { 1 };
        for order in 0..orders {
            if any_order {
                steps.rotate_left(1);
                if order == steps.len() {
                    steps.reverse();
                }
            }
            for eager in [false, true] {
                assert_eq!(
                    by_eth_trie(&steps, secure, eager),
                    root(case),
                    "{file} {name} {order} {eager}"
                );
            }
        }
        if let Some(second) = by_alloy_trie(&steps, secure) {
            assert_eq!(second, root(case), "{file} {name}");
            both += 1;
        }
    }
    (cases.len(), both)
}

#[test]
fn secure_tries_in_order() {
    let (cases, both) = check("trietest_secureTrie.json", true, false);
    assert_eq!((cases, both), (3, 3));
}

#[test]
fn secure_tries_in_any_order() {
    let (cases, both) = check("trieanyorder_secureTrie.json", true, true);
    assert_eq!((cases, both), (7, 7));
    let (cases, both) = check("hex_encoded_securetrie_test.json", true, true);
    assert_eq!((cases, both), (3, 3));
}

#[test]
fn plain_tries() {
    let (cases, both) = check("trietest.json", false, false);
    assert_eq!(cases, 5);
    assert!(
        both < cases,
        "cases with a key that begins another are for one implementation only"
    );
    let (cases, both) = check("trieanyorder.json", false, true);
    assert_eq!(cases, 7);
    assert!(both < cases);
}

#[test]
fn keys_come_in_order() {
    for (name, case) in cases("trietestnextprev.json") {
        let mut trie = EthTrie::new(Arc::new(MemoryDB::new(false)));
        for k in case["in"].as_array().unwrap() {
            trie.insert(k.as_str().unwrap().as_bytes(), b"x").unwrap();
        }
        trie.root_hash().unwrap();
        let keys: Vec<_> = trie
            .iter()
            .map(|leaf| String::from_utf8(leaf.unwrap().0).unwrap())
            .collect();
        for test in case["tests"].as_array().unwrap() {
            let [at, previous, next] = [0, 1, 2].map(|i| test[i].as_str().unwrap());
            let before = keys
                .iter()
                .rev()
                .find(|k| k.as_str() < at)
                .map_or("", String::as_str);
            let after = keys.iter().find(|k| k.as_str() > at).map_or("", String::as_str);
            assert_eq!((before, after), (previous, next), "{name} {at}");
        }
    }
}
