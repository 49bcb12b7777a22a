//! Compacting: nothing but the file's size changes, and nothing at all where it does not come to its end.

use super::{Model, crash, extend, in_order, latest, set};
use crate::{StateChanges, StateError, Store};
use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Names and entries of all tables.
fn entries(store: &Arc<Store>) -> Vec<(String, u64)> {
    let tables = store.stats().unwrap().tables;
    tables
        .into_iter()
        .map(|table| (table.name, table.entries))
        .collect()
}

fn length(dir: &Path) -> u64 {
    fs::metadata(dir.join("state.redb")).unwrap().len()
}

#[test]
fn pages_are_full_afterwards_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut model = Model::default();
    let mut commit = |changes: StateChanges| {
        model.apply(&changes);
        extend(&store, changes).unwrap();
    };
    for block in 0..40_u64 {
        let mut changes = StateChanges::default();
        for index in 0..100 {
            let account = (block * 7 + index) % 200;
            set(
                &mut changes,
                account as u8,
                1 + block,
                &[(block * 100 + index, 1)],
            );
        }
        // large values lie between the small ones
        let code = vec![block as u8; 1 << 18];
        changes
            .codes
            .insert(alloy_primitives::keccak256(&code), code.into());
        commit(changes);
    }
    let fill = |store: &Arc<Store>| {
        let tables = store.stats().unwrap().tables;
        let nodes = tables.into_iter().find(|table| table.name == "nodes").unwrap();
        nodes.stored_bytes as f64 / nodes.page_bytes as f64
    };
    let (before, was, unreachable) = (fill(&store), entries(&store), in_order(&store));
    let long = length(dir.path());
    drop(store);

    Store::compact(dir.path()).unwrap();
    let short = length(dir.path());
    assert!(short < long, "{long} and {short} bytes");
    let store = Store::open(dir.path()).unwrap();
    let after = fill(&store);
    assert!(after > before + 0.1 && after > 0.8, "{before}, {after}");
    let stats = store.stats().unwrap();
    assert!(stats.used_bytes > stats.file_bytes * 9 / 10, "{stats:?}");
    assert_eq!(entries(&store), was);
    assert_eq!(latest(&store).root(), model.root());
    assert_eq!(in_order(&store), unreachable);
    // the chain goes on
    extend(&store, crash::block(1)).unwrap();
    model.apply(&crash::block(1));
    assert_eq!(latest(&store).root(), model.root());
}

#[test]
fn what_a_killed_run_leaves_is_of_no_consequence() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("state.redb.copy");
    let store = Store::open(dir.path()).unwrap();
    extend(&store, crash::block(0)).unwrap();
    let (root, was) = (latest(&store).root(), entries(&store));
    drop(store);
    // whole but for its end, and not even begun
    let bytes = fs::read(dir.path().join("state.redb")).unwrap();
    for left in [&bytes[..bytes.len() - 4096], b""] {
        fs::write(&copy, left).unwrap();
        let store = Store::open(dir.path()).unwrap();
        assert_eq!((latest(&store).root(), entries(&store)), (root, was.clone()));
        drop(store);
        Store::compact(dir.path()).unwrap();
        assert!(!copy.exists());
        let store = Store::open(dir.path()).unwrap();
        assert_eq!((latest(&store).root(), entries(&store)), (root, was.clone()));
    }
}

#[test]
fn a_store_that_somebody_has_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    extend(&store, crash::block(0)).unwrap();
    let refused = Store::compact(dir.path()).unwrap_err();
    assert!(matches!(refused, StateError::Locked { .. }), "{refused}");
    extend(&store, crash::block(1)).unwrap();
    assert_eq!(in_order(&store), 1);
    assert!(!dir.path().join("state.redb.copy").exists());
}

#[test]
fn who_opens_while_the_file_is_exchanged_writes_into_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    // whoever comes too early is told so
    fn unless_locked<T>(done: Result<T, StateError>) -> Option<T> {
        match done {
            Err(StateError::Locked { .. }) => None,
            done => Some(done.unwrap()),
        }
    }
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                unless_locked(Store::compact(dir.path()));
            }
        });
        for number in 0..20u64 {
            let store = loop {
                if let Some(store) = unless_locked(Store::open(dir.path())) {
                    break store;
                }
            };
            let height = store.snapshot().unwrap().marker().map(|marker| marker.height);
            assert_eq!(height, number.checked_sub(1));
            extend(&store, crash::block(number)).unwrap();
        }
        ended.store(true, Ordering::Relaxed);
    });
}
