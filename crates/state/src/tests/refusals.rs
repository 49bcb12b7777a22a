//! What the store refuses, and how it says so.

use super::{Step, extend, latest, set};
use crate::{LAYOUT, StateChanges, StateError, StateView, Store};
use alloy_primitives::{Address, B256, U256, keccak256};

fn one(balance: u64) -> StateChanges {
    let mut changes = StateChanges::default();
    set(&mut changes, 1, balance, &[]);
    changes
}

#[test]
fn a_second_node_on_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let first = Store::open(dir.path()).unwrap();
    let error = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&error, StateError::Locked { path } if path == dir.path()));
    assert!(error.to_string().starts_with("another node uses this folder"));
    drop(first);
    Store::open(dir.path()).unwrap();
}

#[test]
fn a_file_that_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("state.redb"), vec![7; 4096]).unwrap();
    assert!(matches!(
        Store::open(dir.path()).unwrap_err(),
        StateError::Corrupt { .. }
    ));
}

#[test]
fn a_folder_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    assert!(matches!(
        Store::open(&file.join("data")).unwrap_err(),
        StateError::Io { .. }
    ));
}

#[test]
fn another_layout() {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path()).unwrap());
    let db = redb::Database::open(dir.path().join("state.redb")).unwrap();
    let tx = db.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, &[u8]>::new("meta");
    tx.open_table(meta)
        .unwrap()
        .insert("layout", &(LAYOUT + 1).to_be_bytes()[..])
        .unwrap();
    tx.commit().unwrap();
    drop(db);
    match Store::open(dir.path()).unwrap_err() {
        StateError::Layout { found, expected, .. } => assert_eq!((found, expected), (LAYOUT + 1, LAYOUT)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_that_does_not_follow() {
    let store = Store::in_memory().unwrap();
    let genesis = extend(&store, one(1)).unwrap();
    let view = latest(&store);
    let wrong_parent = Step::new(&view, 1, keccak256("another"), one(2));
    let wrong_height = Step::new(&view, 2, genesis.block.hash, one(2));
    let right = Step::new(&view, 1, genesis.block.hash, one(2));
    for commits in [
        vec![wrong_parent.commit()],
        vec![wrong_height.commit()],
        vec![genesis.commit()],
        vec![right.commit(), right.commit()],
        vec![right.commit(), wrong_parent.commit()],
    ] {
        assert!(matches!(store.commit(&commits), Err(StateError::NotNext { .. })));
        assert_eq!(store.snapshot().unwrap().marker().unwrap().height, 0);
    }
    store.commit(&[right.commit()]).unwrap();
}

#[test]
fn a_state_that_is_not_here() {
    let store = Store::in_memory().unwrap();
    extend(&store, one(1)).unwrap();
    let nowhere = StateView::at(store.snapshot().unwrap(), B256::repeat_byte(9));
    let address = Address::repeat_byte(1);
    assert!(matches!(
        nowhere.account(address),
        Err(StateError::MissingNode(_))
    ));
    assert!(matches!(
        nowhere.storage(address, U256::ZERO),
        Err(StateError::MissingNode(_))
    ));
    assert!(matches!(
        nowhere.prove(address, &[]),
        Err(StateError::MissingNode(_))
    ));
    assert!(matches!(nowhere.commit(&one(2)), Err(StateError::MissingNode(_))));
    let code = keccak256("no such code");
    assert!(matches!(latest(&store).code(code), Err(StateError::MissingCode(hash)) if hash == code));
}

#[test]
fn a_rewind_beyond_the_head() {
    let store = Store::in_memory().unwrap();
    assert!(matches!(
        store.rewind(0, None),
        Err(StateError::NoSuchBlock { to: 0, .. })
    ));
    extend(&store, one(1)).unwrap();
    assert!(matches!(
        store.rewind(1, None),
        Err(StateError::NoSuchBlock { to: 1, head: 0 })
    ));
    store.rewind(0, None).unwrap();
}
