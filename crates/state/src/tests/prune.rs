//! Pruning: what is kept reads and proves as in an archive, what is not is said to be pruned, and neither blocks that are committed
//! meanwhile nor a crash between two steps leave half a state.

use super::{
    Model, account,
    crash::{self, Disk, Luck},
    extend,
    history::{agree, blocks, changes},
    in_order, latest, set,
};
use crate::{AccountChange, Keep, Pace, PruneReport, StateChanges, StateError, StateView, Store};
use alloy_primitives::{Address, U256, keccak256};
use proptest::prelude::*;
use std::{io, ops::ControlFlow, sync::Arc, time::Duration};

/// Looks at so few entries at a time that even small stores take several transactions.
const SMALL: Pace = Pace {
    entries: 3,
    pause: Duration::ZERO,
};

fn from(from: u64) -> Keep {
    Keep {
        from,
        accounts: Vec::new(),
    }
}

fn prune(store: &Arc<Store>, keep: &Keep) -> PruneReport {
    store
        .prune(keep, SMALL, &mut |_| ControlFlow::Continue(()))
        .unwrap()
}

/// Every state from `oldest` on is the model's; older ones are pruned.
fn agree_from(store: &Arc<Store>, models: &[Model], oldest: u64) {
    let snapshot = store.snapshot().unwrap();
    assert_eq!(snapshot.oldest_state(), oldest);
    for (number, model) in (0..).zip(models) {
        let header = snapshot.header(number).unwrap().unwrap();
        match snapshot.state_root(&header) {
            Ok(root) => {
                assert!(number >= oldest);
                agree(&StateView::at(snapshot.clone(), root), model);
            }
            Err(StateError::Pruned { height, oldest: said }) => {
                assert!(number < oldest && height == number && said == oldest);
            }
            Err(other) => panic!("{other}"),
        }
        // Blocks stay.
        assert!(snapshot.block(number).unwrap().is_some() && snapshot.receipts(number).unwrap().is_some());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn kept_states_are_the_archives(before in blocks(), after in blocks(), back in 0..6u64) {
        let store = Store::in_memory().unwrap();
        let (mut model, mut models) = (Model::default(), Vec::new());
        for fates in before.iter().chain(&after) {
            let changes = changes(fates);
            model.apply(&changes);
            extend(&store, changes).unwrap();
            models.push(model.clone());
            // The state before is read through a snapshot that is older than the pruning.
            let snapshot = store.snapshot().unwrap();
            let head = models.len() as u64 - 1;
            let keep = head.saturating_sub(back);
            let report = prune(&store, &from(keep));
            prop_assert!(report.finished);
            agree_from(&store, &models, keep);
            prop_assert_eq!(in_order(&store), 0);
            agree(&StateView::at(snapshot.clone(), snapshot.marker().unwrap().state_root), &model);
        }
        // What was said to be pruned does not come back.
        let oldest = store.snapshot().unwrap().oldest_state();
        prop_assert_eq!(prune(&store, &from(0)).oldest, oldest);
    }

    /// Blocks are committed between any two steps. They bring old values back again and again, and with them nodes that are on
    /// their way out.
    #[test]
    fn blocks_that_come_while_it_sweeps_lose_nothing(before in blocks(), after in blocks(), every in 1..4u64) {
        let store = Store::in_memory().unwrap();
        let (mut model, mut models) = (Model::default(), Vec::new());
        let commit = |fates: &[_], model: &mut Model, models: &mut Vec<Model>| {
            let changes = changes(fates);
            model.apply(&changes);
            extend(&store, changes).unwrap();
            models.push(model.clone());
        };
        for fates in before.iter().chain(&after) {
            commit(fates, &mut model, &mut models);
        }
        let keep = models.len() as u64 - 1;
        let (mut steps, mut coming) = (0, before.iter().chain(&after).rev().cycle().take(12));
        let report = store.prune(&from(keep), SMALL, &mut |_| {
            steps += 1;
            if steps % every == 0 && let Some(fates) = coming.next() {
                commit(fates, &mut model, &mut models);
            }
            ControlFlow::Continue(())
        }).unwrap();
        prop_assert!(report.finished);
        agree_from(&store, &models, keep);
        in_order(&store);
        // Once nothing comes any more, nothing is left over.
        let last = models.len() as u64 - 1;
        prune(&store, &from(last));
        agree_from(&store, &models, last);
        prop_assert_eq!(in_order(&store), 0);
    }
}

fn one(balance: u64, slots: &[(u64, u64)]) -> StateChanges {
    let mut changes = StateChanges::default();
    set(&mut changes, 1, balance, slots);
    changes
}

/// A contract with this code.
fn contract(code: &'static [u8]) -> StateChanges {
    let mut changes = StateChanges::default();
    changes.codes.insert(keccak256(code), code.into());
    let change = AccountChange {
        account: Some(account(1, 0, Some(&code.into()))),
        ..Default::default()
    };
    changes.accounts.insert(Address::repeat_byte(9), change);
    changes
}

/// The classic mistake: a node is marked for deletion, a block makes it anew, and the sweep takes it away.
#[test]
fn a_node_and_a_code_that_come_back_while_they_are_on_the_list_stay() {
    let store = Store::in_memory().unwrap();
    let slots: Vec<_> = (0..20).map(|slot| (slot, slot + 1)).collect();
    let other: Vec<_> = (0..20).map(|slot| (slot, slot + 1000)).collect();
    extend(&store, one(7, &slots)).unwrap();
    extend(&store, contract(b"the first code")).unwrap();
    let first = latest(&store).root();
    extend(&store, one(8, &other)).unwrap();
    extend(&store, contract(b"the second code")).unwrap();
    let mut came_back = false;
    let report = store.prune(&from(3), SMALL, &mut |progress| {
        // All states are marked; nothing is swept yet.
        if progress.stage == "states marked" && progress.done == progress.total {
            extend(&store, one(7, &slots)).unwrap();
            extend(&store, contract(b"the first code")).unwrap();
            came_back = true;
        }
        ControlFlow::Continue(())
    });
    assert!(came_back && report.unwrap().finished);
    assert_eq!(latest(&store).root(), first);
    in_order(&store);
    // Read from the tries, by somebody who has nothing in memory.
    let snapshot = store.snapshot().unwrap();
    let mut nodes = 0;
    let codes = snapshot
        .for_each_node(first, &mut |_| {
            nodes += 1;
            Ok(())
        })
        .unwrap();
    assert!(nodes > 20 && codes == [keccak256("the first code")]);
    assert_eq!(latest(&store).code(codes[0]).unwrap()[..], b"the first code"[..]);
}

#[test]
fn what_is_not_reached_goes_and_code_with_it() {
    let store = Store::in_memory().unwrap();
    extend(&store, contract(b"the first code")).unwrap();
    extend(&store, contract(b"the second code")).unwrap();
    let report = prune(&store, &from(1));
    assert_eq!((report.oldest, report.codes_removed), (1, 1));
    assert!(report.nodes_removed >= 1 && report.bytes_removed > 46);
    let codes = ["the first code", "the second code"].map(|code| {
        let found = latest(&store).code(keccak256(code));
        found.is_ok()
    });
    assert_eq!(codes, [false, true]);
    // Told to stop at once, it says what it did not do.
    extend(&store, contract(b"the third code")).unwrap();
    let stopped = store
        .prune(&from(2), SMALL, &mut |_| ControlFlow::Break(()))
        .unwrap();
    assert!(!stopped.finished && stopped.nodes_removed == 0 && stopped.oldest == 2);
    in_order(&store);
}

#[test]
fn single_accounts_of_old_states_stay_readable_and_provable() {
    let store = Store::in_memory().unwrap();
    let mut changes = contract(b"some code");
    for index in 10..40 {
        set(&mut changes, index, 5, &[(1, 2)]);
    }
    set(&mut changes, 1, 7, &[(1, 11), (2, 22), (3, 33)]);
    extend(&store, changes).unwrap();
    let old = latest(&store).root();
    extend(&store, one(8, &[(1, 0), (2, 23), (4, 44)])).unwrap();
    extend(&store, contract(b"other code")).unwrap();
    let kept = [1, 9].map(Address::repeat_byte);
    let keep = Keep {
        from: 2,
        accounts: kept.map(|address| (old, address)).to_vec(),
    };
    prune(&store, &keep);
    let report = store
        .check(&keep, &|_| true, &mut |_| ControlFlow::Continue(()))
        .unwrap();
    assert_eq!((report.wrong, report.unreachable), (0, 0));
    let view = StateView::at(store.snapshot().unwrap(), old);
    assert_eq!(view.account(kept[0]).unwrap(), Some(account(1, 7, None)));
    for (slot, value) in [(1, 11), (2, 22), (3, 33), (4, 0)] {
        assert_eq!(
            view.storage(kept[0], U256::from(slot)).unwrap(),
            U256::from(value)
        );
    }
    assert_eq!(view.code_at(kept[1]).unwrap()[..], b"some code"[..]);
    assert_eq!(
        view.prove(kept[0], &[U256::from(1)]).unwrap().storage[0].value,
        U256::from(11)
    );
    let (nodes, codes) = store
        .snapshot()
        .unwrap()
        .nodes_of_accounts(&keep.accounts)
        .unwrap();
    assert!(!nodes.is_empty() && codes == [keccak256("some code")]);
}

#[test]
fn a_state_that_somebody_holds_stays_until_he_lets_go() {
    let store = Store::in_memory().unwrap();
    extend(&store, one(1, &[(1, 1)])).unwrap();
    extend(&store, one(2, &[(1, 2), (2, 2)])).unwrap();
    // Edited, twice: what the first edit left is in no table any more.
    let edit = |balance: u64| {
        let changes = one(balance, &[(7, balance)]);
        let committed = latest(&store).commit(&changes).unwrap();
        store.edit(&changes, &committed).unwrap();
    };
    edit(20);
    let edits = store.snapshot().unwrap().edits(1).unwrap().unwrap();
    let left = store.snapshot().unwrap().header(1).unwrap().unwrap().state_root;
    let held = [store.hold(left), store.hold(edits.root), store.hold(left)];
    edit(21);
    for balance in 3..6 {
        extend(&store, one(balance, &[(1, balance), (2, 0)])).unwrap();
    }
    prune(&store, &from(4));
    in_order(&store);
    assert!(matches!(
        store.rewind(0, None),
        Err(StateError::Pruned { height: 0, oldest: 4 })
    ));
    assert!(matches!(
        store.rewind(2, None),
        Err(StateError::Pruned { height: 2, oldest: 4 })
    ));
    store.rewind(1, Some(&edits)).unwrap();
    assert_eq!(latest(&store).root(), edits.root);
    assert_eq!(store.snapshot().unwrap().oldest_state(), 1);
    in_order(&store);
    extend(&store, one(9, &[(1, 9)])).unwrap();
    drop(held);
    prune(&store, &from(2));
    assert_eq!(in_order(&store), 0);
    assert!(matches!(store.rewind(1, None), Err(StateError::Pruned { .. })));
}

/// A state of which every node is gone, and no account has storage.
#[test]
fn nobody_goes_back_to_a_state_that_is_gone() {
    let store = Store::in_memory().unwrap();
    for balance in 1..4 {
        extend(&store, one(balance, &[])).unwrap();
    }
    prune(&store, &from(2));
    let refused = store.rewind(0, None);
    assert!(
        matches!(refused, Err(StateError::Pruned { height: 0, oldest: 2 })),
        "{refused:?}"
    );
    assert_eq!(store.snapshot().unwrap().marker().unwrap().height, 2);
    assert_eq!(in_order(&store), 0);
}

/// A state that is on its way out is taken up again while the sweep runs.
#[test]
fn a_rewind_while_it_sweeps() {
    let store = Store::in_memory().unwrap();
    for number in 0..8 {
        extend(&store, crash::block(number)).unwrap();
    }
    let mut rewound = None;
    let report = store.prune(&from(7), SMALL, &mut |progress| {
        if progress.stage == "nodes swept" && rewound.is_none() {
            rewound = Some(store.rewind(6, None));
        }
        ControlFlow::Continue(())
    });
    assert!(report.unwrap().finished);
    // Either it is whole or it is refused; the store is in order in both cases.
    match rewound.unwrap() {
        Ok(()) => assert_eq!(store.snapshot().unwrap().marker().unwrap().height, 6),
        Err(error) => assert!(matches!(error, StateError::Pruned { .. }), "{error}"),
    }
    in_order(&store);
}

const BLOCKS: u64 = 7;

/// A chain on a disk in memory, and how many operations pruning it takes.
fn chain() -> (Disk, u64) {
    let disk = Disk::default();
    let store = Store::on(disk.clone()).unwrap();
    for number in 0..BLOCKS {
        extend(&store, crash::block(number)).unwrap();
    }
    drop(store);
    let copy = disk.after_power_loss(Luck::ALL);
    let store = Store::on(copy.clone()).unwrap();
    let before = copy.operations();
    prune(&store, &from(BLOCKS - 2));
    (disk, copy.operations() - before)
}

#[test]
fn after_a_loss_of_power_at_any_operation_no_state_is_half_there() {
    let (disk, operations) = chain();
    assert!(operations > 20, "{operations}");
    let mut models = vec![Model::default()];
    for number in 0..BLOCKS {
        let mut model = models.last().cloned().unwrap();
        model.apply(&crash::block(number));
        models.push(model);
    }
    models.remove(0);
    let mut half_done = 0;
    for at in 0..operations {
        for luck in [Luck::NONE, Luck::ALL, Luck(at * 2 + 1)] {
            let disk = disk.after_power_loss(Luck::ALL);
            let store = Store::on(disk.clone()).unwrap();
            disk.fail_after(at, io::ErrorKind::Other);
            let pruned = store.prune(&from(BLOCKS - 2), SMALL, &mut |_| ControlFlow::Continue(()));
            assert!(pruned.is_err(), "operation {at} of {operations}");
            drop(store);
            let store = Store::on(disk.after_power_loss(luck)).unwrap();
            let oldest = store.snapshot().unwrap().oldest_state();
            assert!(oldest == 0 || oldest == BLOCKS - 2);
            let left_over = in_order(&store);
            half_done += u64::from(oldest > 0 && left_over > 0);
            // The chain goes on, and so does pruning.
            extend(&store, crash::block(BLOCKS)).unwrap();
            prune(&store, &from(BLOCKS - 1));
            assert_eq!(in_order(&store), 0);
            let root = latest(&store).root();
            let mut model = models.last().cloned().unwrap();
            model.apply(&crash::block(BLOCKS));
            assert_eq!(root, model.root());
        }
    }
    assert!(half_done > 0);
}
