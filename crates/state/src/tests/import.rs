//! A state from elsewhere: whole or not at all, whatever comes and whenever the power goes.

use super::{
    Model,
    crash::{self, Disk, Luck},
    extend,
    history::{agree, blocks, changes},
    in_order, latest, set,
};
use crate::{Import, ImportFault, Keep, Marker, Receipt, Seal, SealedBlock, StateChanges, StateError, Store};
use alloy_primitives::{B256, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use proptest::prelude::*;
use std::{io, sync::Arc};

/// What a file would hold.
#[derive(Clone)]
struct Exported {
    blocks: Vec<(SealedBlock, Vec<Receipt>, Seal)>,
    marker: Marker,
    nodes: Vec<Bytes>,
    codes: Vec<Bytes>,
}

fn export(store: &Arc<Store>) -> Exported {
    let snapshot = store.snapshot().unwrap();
    let marker = *snapshot.marker().unwrap();
    let block = |height| {
        (
            snapshot.block(height).unwrap().unwrap(),
            snapshot.receipts(height).unwrap().unwrap(),
            snapshot.seal(height).unwrap().unwrap(),
        )
    };
    let mut nodes = Vec::new();
    let codes = snapshot
        .for_each_node(marker.state_root, &mut |node| {
            nodes.push(node.clone());
            Ok(())
        })
        .unwrap();
    Exported {
        blocks: (0..=marker.height).map(block).collect(),
        marker,
        nodes,
        codes: codes
            .iter()
            .map(|hash| snapshot.code(hash).unwrap().unwrap())
            .collect(),
    }
}

fn import(import: &mut Import, from: &Exported) -> Result<Arc<Store>, ImportFault> {
    for (block, receipts, seal) in &from.blocks {
        import.block(block.clone(), receipts.clone(), seal.clone())?;
    }
    import.state(from.marker.state_root);
    for node in &from.nodes {
        import.node(node.clone())?;
    }
    for code in &from.codes {
        import.code(code.clone())?;
    }
    import.finish(&from.marker, &Keep::default())
}

fn into(disk: &Disk) -> Result<Import, StateError> {
    Ok(Import::on(disk.clone())?.in_batches_of(600))
}

/// Some blocks with accounts, slots and code.
fn chain() -> (Arc<Store>, Model) {
    let store = Store::in_memory().unwrap();
    let mut model = Model::default();
    for number in 0..6 {
        let mut changes = crash::block(number);
        let code = Bytes::from(vec![number as u8; 50]);
        changes.codes.insert(keccak256(&code), code.clone());
        set(&mut changes, 100 + (number % 3) as u8, number, &[(number, 5)]);
        let change = changes
            .accounts
            .get_mut(&alloy_primitives::Address::repeat_byte(100 + (number % 3) as u8));
        if let Some(account) = change.and_then(|change| change.account.as_mut()) {
            account.code_hash = keccak256(&code);
        }
        model.apply(&changes);
        extend(&store, changes).unwrap();
    }
    (store, model)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_taken_up_is_the_state_and_the_chain_goes_on(blocks in blocks(), after in blocks()) {
        let store = Store::in_memory().unwrap();
        let mut model = Model::default();
        for fates in &blocks {
            let changes = changes(fates);
            model.apply(&changes);
            extend(&store, changes).unwrap();
        }
        let disk = Disk::default();
        let taken = import(&mut into(&disk).unwrap(), &export(&store)).unwrap();
        agree(&latest(&taken), &model);
        prop_assert_eq!(in_order(&taken), 0);
        let snapshot = taken.snapshot().unwrap();
        prop_assert_eq!(snapshot.oldest_state(), blocks.len() as u64 - 1);
        drop((snapshot, taken));
        let taken = Store::on(disk).unwrap();
        for fates in &after {
            let changes = changes(fates);
            model.apply(&changes);
            extend(&taken, changes).unwrap();
        }
        agree(&latest(&taken), &model);
        in_order(&taken);
    }
}

#[test]
fn every_node_that_is_missing_changed_or_misplaced_is_refused() {
    let (store, _) = chain();
    let right = export(&store);
    let attempt = |from: &Exported| {
        let disk = Disk::default();
        let fault = import(&mut into(&disk).unwrap(), from).map(drop);
        // Nothing that was refused is a chain.
        if fault.is_err() {
            assert!(matches!(Store::on(disk), Err(StateError::Unfinished { .. })));
        }
        fault
    };
    attempt(&right).unwrap();
    for index in 0..right.nodes.len() {
        let mut missing = right.clone();
        missing.nodes.remove(index);
        assert!(attempt(&missing).is_err(), "node {index} is missing");
        let mut changed = right.clone();
        let mut bytes = changed.nodes[index].to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        changed.nodes[index] = bytes.into();
        let fault = attempt(&changed).unwrap_err();
        assert!(
            matches!(fault, ImportFault::Node { index: at, .. } if at == index as u64),
            "{fault}"
        );
    }
    let mut swapped = right.clone();
    swapped.nodes.swap(1, 2);
    assert!(matches!(attempt(&swapped), Err(ImportFault::Node { .. })));
    let mut longer = right.clone();
    longer.nodes.push(right.nodes[0].clone());
    assert!(matches!(attempt(&longer), Err(ImportFault::Extra(count)) if count == right.nodes.len() as u64));
    let mut short = right.clone();
    short.nodes.pop();
    short.codes.clear();
    assert!(matches!(
        attempt(&short),
        Err(ImportFault::Incomplete { nodes: 1, codes: 1.. })
    ));
    let mut other_code = right.clone();
    other_code.codes[0] = Bytes::from_static(b"not this");
    assert!(matches!(attempt(&other_code), Err(ImportFault::Code(_))));
    let mut no_code = right.clone();
    no_code.codes.pop();
    assert!(matches!(
        attempt(&no_code),
        Err(ImportFault::Incomplete { nodes: 0, codes: 1 })
    ));
    // An older state's account that is to be kept and did not come.
    let disk = Disk::default();
    let mut begun = into(&disk).unwrap();
    begun.state(EMPTY_ROOT_HASH);
    let keep = Keep {
        from: 0,
        accounts: vec![(B256::repeat_byte(3), Default::default())],
    };
    let marker = Marker {
        state_root: EMPTY_ROOT_HASH,
        ..right.marker
    };
    assert!(matches!(
        begun.finish(&marker, &keep),
        Err(ImportFault::State(StateError::MissingNode(_)))
    ));
}

#[test]
fn a_folder_with_a_chain_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    extend(&store, StateChanges::default()).unwrap();
    drop(store);
    let error = Import::begin(dir.path()).unwrap_err();
    assert!(
        matches!(&error, StateError::NotEmpty { height: 0, path } if path == dir.path()),
        "{error}"
    );
    assert_eq!(latest(&Store::open(dir.path()).unwrap()).root(), EMPTY_ROOT_HASH);

    let dir = tempfile::tempdir().unwrap();
    // A file without a block is no chain.
    drop(Store::open(dir.path()).unwrap());
    let begun = Import::begin(dir.path()).unwrap();
    drop(begun);
    let error = Store::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("synod db import"), "{error}");
    let (store, model) = chain();
    let taken = import(&mut Import::begin(dir.path()).unwrap(), &export(&store)).unwrap();
    assert_eq!(latest(&taken).root(), model.root());
    drop(taken);
    Store::open(dir.path()).unwrap();
    let empty = tempfile::tempdir().unwrap();
    Import::begin(empty.path()).unwrap().discard();
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn after_a_loss_of_power_at_any_operation_it_is_whole_or_begins_anew() {
    let (store, model) = chain();
    let exported = export(&store);
    let disk = Disk::default();
    import(&mut into(&disk).unwrap(), &exported).unwrap();
    let operations = disk.operations();
    let (mut unfinished, mut whole) = (0, 0);
    for at in 0..operations {
        for luck in [Luck::NONE, Luck::ALL, Luck(at * 2 + 1)] {
            let disk = Disk::default();
            disk.fail_after(at, io::ErrorKind::Other);
            let promised = into(&disk)
                .map_err(ImportFault::from)
                .and_then(|mut begun| import(&mut begun, &exported))
                .is_ok();
            let disk = disk.after_power_loss(luck);
            match Store::on(disk.after_power_loss(Luck::ALL)) {
                Ok(store) if store.snapshot().unwrap().marker().is_some() => {
                    whole += 1;
                    assert_eq!(latest(&store).root(), model.root());
                    assert_eq!(in_order(&store), 0);
                    continue;
                }
                Ok(_) => {}
                Err(StateError::Unfinished { .. }) => unfinished += 1,
                // The file itself was not made yet.
                Err(_) => {
                    assert!(!promised && unfinished == 0);
                    continue;
                }
            }
            assert!(!promised, "operation {at}");
            let again = import(&mut into(&disk).unwrap(), &exported).unwrap();
            assert_eq!(latest(&again).root(), model.root());
            assert_eq!(in_order(&again), 0);
        }
    }
    assert!(unfinished > 0 && whole > 0, "{unfinished} {whole}");
    assert_ne!(U256::from(operations), U256::ZERO);
}
