//! Compacting: nothing but the file's size changes, whenever the power goes.

use super::{
    Model,
    crash::{self, Disk, Luck},
    extend, in_order, latest, set,
};
use crate::{StateChanges, Store};
use redb::StorageBackend;
use std::io;

const BLOCKS: u64 = 5;

#[test]
fn after_a_loss_of_power_at_any_operation_the_store_is_what_it_was() {
    let disk = Disk::default();
    let store = Store::on(disk.clone()).unwrap();
    let mut model = Model::default();
    for number in 0..BLOCKS {
        extend(&store, crash::block(number)).unwrap();
        model.apply(&crash::block(number));
    }
    let unreachable = in_order(&store);
    drop(store);
    let copy = disk.after_power_loss(Luck::ALL);
    let mut store = Store::on(copy.clone()).unwrap();
    let before = copy.operations();
    assert!(store.compact().unwrap());
    let operations = copy.operations() - before;
    assert!(operations > 20, "{operations}");
    for at in 0..operations {
        for luck in [Luck::NONE, Luck::ALL, Luck(at * 2 + 1)] {
            let disk = disk.after_power_loss(Luck::ALL);
            let mut store = Store::on(disk.clone()).unwrap();
            disk.fail_after(at, io::ErrorKind::Other);
            assert!(store.compact().is_err(), "operation {at} of {operations}");
            drop(store);
            let mut store = Store::on(disk.after_power_loss(luck)).unwrap();
            assert_eq!(latest(&store).root(), model.root());
            assert_eq!(in_order(&store), unreachable);
            assert!(store.compact().unwrap());
            assert_eq!(latest(&store).root(), model.root());
            assert_eq!(in_order(&store), unreachable);
        }
    }
}

#[test]
fn pages_are_full_afterwards_and_the_file_shorter() {
    let disk = Disk::default();
    let mut store = Store::on(disk.clone()).unwrap();
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
        extend(&store, changes).unwrap();
    }
    let fill = |store: &_| {
        let tables = Store::stats(store).unwrap().tables;
        let nodes = tables.into_iter().find(|table| table.name == "nodes").unwrap();
        nodes.stored_bytes as f64 / nodes.page_bytes as f64
    };
    let (root, before, length) = (latest(&store).root(), fill(&store), disk.len().unwrap());
    assert!(store.compact().unwrap());
    assert!(
        fill(&store) > before + 0.1 && fill(&store) > 0.8,
        "{before}, {}",
        fill(&store)
    );
    assert!(disk.len().unwrap() < length);
    assert_eq!(latest(&store).root(), root);
    assert_eq!(in_order(&store), 0);
    // whoever reads keeps it as it is
    let snapshot = store.snapshot().unwrap();
    let mut second = store.clone();
    assert!(!second.compact().unwrap());
    drop(snapshot);
}
