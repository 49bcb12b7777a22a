//! Any history: two tries agree on every root, and every road to a value gives the same value.

use super::{Model, Step, account, latest};
use crate::{AccountChange, Overlay, StateChanges, StateView, Store, hash_slot};
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles, proof::verify_proof};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, sync::Arc};

const ADDRESSES: u8 = 6;
const SLOTS: u64 = 5;

/// What a block does to one account.
#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// It has this nonce, balance and code, and these slots are written. Zero clears.
    Set {
        nonce: u64,
        balance: u64,
        code: Option<u8>,
        slots: Vec<(u64, u64)>,
        wiped: bool,
    },
    /// It is gone.
    Gone,
}

fn fate() -> impl Strategy<Value = Fate> {
    let slots = vec((0..SLOTS, prop_oneof![Just(0u64), 1..4u64, Just(u64::MAX)]), 0..4);
    let set = (
        0..3u64,
        0..1000u64,
        proptest::option::of(0..3u8),
        slots,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(nonce, balance, code, slots, wiped)| Fate::Set {
            nonce,
            balance,
            code,
            slots,
            wiped,
        });
    prop_oneof![4 => set, 1 => Just(Fate::Gone)]
}

pub(super) fn blocks() -> impl Strategy<Value = Vec<Vec<(u8, Fate)>>> {
    vec(vec((0..ADDRESSES, fate()), 0..5), 1..8)
}

fn address(index: u8) -> Address {
    Address::repeat_byte(index)
}

pub(super) fn changes(fates: &[(u8, Fate)]) -> StateChanges {
    let mut changes = StateChanges::default();
    for (index, fate) in fates {
        let change = match fate {
            Fate::Gone => AccountChange {
                account: None,
                wiped: true,
                storage: BTreeMap::new(),
            },
            Fate::Set {
                nonce,
                balance,
                code,
                slots,
                wiped,
            } => {
                let code = code.map(|c| Bytes::from(vec![c; 40]));
                if let Some(code) = &code {
                    changes.codes.insert(keccak256(code), code.clone());
                }
                let storage = slots
                    .iter()
                    .map(|(k, v)| (U256::from(*k), U256::from(*v)))
                    .collect();
                AccountChange {
                    account: Some(account(*nonce, *balance, code.as_ref())),
                    wiped: *wiped,
                    storage,
                }
            }
        };
        changes.accounts.insert(address(*index), change);
    }
    changes
}

/// Every value and every proof of a view is the model's.
pub(super) fn agree(view: &StateView, model: &Model) {
    assert_eq!(view.root(), model.root());
    let slots: Vec<_> = (0..SLOTS).map(U256::from).collect();
    for index in 0..ADDRESSES {
        let address = address(index);
        let expected = model.accounts.get(&address);
        assert_eq!(
            view.account(address).unwrap(),
            expected.map(|(account, _)| *account)
        );
        for slot in &slots {
            let value = expected
                .and_then(|(_, storage)| storage.get(slot).copied())
                .unwrap_or_default();
            assert_eq!(view.storage(address, *slot).unwrap(), value, "{address} {slot}");
        }
        if let Some((account, _)) = expected {
            assert_eq!(
                keccak256(view.code(account.code_hash).unwrap()),
                account.code_hash
            );
        }
        let proof = view.prove(address, &slots).unwrap();
        let leaf = expected.map(|(account, storage)| Model::leaf(account, storage));
        assert_eq!(proof.account, leaf);
        let key = Nibbles::unpack(keccak256(address));
        verify_proof(view.root(), key, leaf.map(alloy_rlp::encode), &proof.proof).unwrap();
        let storage_root = leaf.map_or(EMPTY_ROOT_HASH, |l| l.storage_root);
        for slot in &proof.storage {
            let key = Nibbles::unpack(hash_slot(slot.key));
            let value = (!slot.value.is_zero()).then(|| alloy_rlp::encode(slot.value));
            verify_proof(storage_root, key, value, &slot.proof).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Blocks stored one by one: latest reads go by the flat tables, old ones by the trie, and after a rewind by flat
    /// tables that were filled anew.
    #[test]
    fn stored_history_is_the_models(blocks in blocks(), back in 0..8usize) {
        let store = Store::in_memory().unwrap();
        let mut models = Vec::new();
        let mut model = Model::default();
        for fates in &blocks {
            let changes = changes(fates);
            model.apply(&changes);
            super::extend(&store, changes).unwrap();
            agree(&latest(&store), &model);
            models.push(model.clone());
        }
        let snapshot = store.snapshot().unwrap();
        for (number, model) in models.iter().enumerate() {
            let header = snapshot.header(number as u64).unwrap().unwrap();
            agree(&StateView::at(snapshot.clone(), header.state_root), model);
        }
        let to = back % models.len();
        store.rewind(to as u64, None).unwrap();
        agree(&latest(&store), &models[to]);
        super::in_order(&store);
        prop_assert!(store.snapshot().unwrap().header(to as u64 + 1).unwrap().is_none());
        // What a snapshot shows does not change under its reader.
        agree(&StateView::at(snapshot.clone(), models[models.len() - 1].root()), &models[models.len() - 1]);
        // The chain goes on from there.
        let mut model = models[to].clone();
        let again = changes(&blocks[0]);
        model.apply(&again);
        super::extend(&store, again).unwrap();
        agree(&latest(&store), &model);
    }

    /// Blocks that are not final: each is an overlay on the ones before; storing them changes no answer.
    #[test]
    fn unfinalised_states_are_the_models(blocks in blocks(), stored in 0..8usize) {
        let store = Store::in_memory().unwrap();
        let base = store.snapshot().unwrap();
        let mut steps: Vec<Step> = Vec::new();
        let mut overlays: Vec<Arc<Overlay>> = Vec::new();
        let mut models = vec![Model::default()];
        for (number, fates) in blocks.iter().enumerate() {
            let changes = changes(fates);
            let newest_first: Arc<[_]> = overlays.iter().rev().cloned().collect();
            let view = StateView::over(base.clone(), EMPTY_ROOT_HASH, newest_first);
            agree(&view, &models[number]);
            let mut model = models[number].clone();
            model.apply(&changes);
            models.push(model);
            let parent = steps.last().map_or(B256::ZERO, |s| s.block.hash);
            let step = Step::new(&view, number as u64, parent, changes);
            overlays.push(step.overlay.clone());
            steps.push(step);
        }
        // Some become final in one transaction; the others are read over them, through old and new snapshots.
        let stored = 1 + stored % steps.len();
        let commits: Vec<_> = steps[..stored].iter().map(Step::commit).collect();
        store.commit(&commits).unwrap();
        let last = models.last().unwrap();
        let rest: Arc<[_]> = overlays[stored..].iter().rev().cloned().collect();
        let root = steps[stored - 1].overlay.root;
        agree(&StateView::over(store.snapshot().unwrap(), root, rest), last);
        let all: Arc<[_]> = overlays.iter().rev().cloned().collect();
        agree(&StateView::over(base, EMPTY_ROOT_HASH, all.clone()), last);
        agree(&StateView::over(store.snapshot().unwrap(), EMPTY_ROOT_HASH, all), last);
        agree(&latest(&store), &models[stored]);
    }
}
