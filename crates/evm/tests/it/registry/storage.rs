//! The words that the engine reads.

use super::access::{offered, patch};
use super::*;

/// `keccak256(key ‖ slot)`, written out here so that the crate's own functions are tested against it.
fn k(key: impl Into<B256>, slot: U256) -> U256 {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(key.into().as_slice());
    bytes[32..].copy_from_slice(&slot.to_be_bytes::<32>());
    keccak256(bytes).into()
}

fn word(world: &World, slot: U256) -> U256 {
    let storage = &world.db.cache.accounts[&MODEL_REGISTRY].storage;
    storage.get(&slot).copied().unwrap_or_default()
}

fn number(value: u64) -> B256 {
    U256::from(value).into()
}

#[test]
fn storage_is_where_the_specification_says() {
    let world = offered();
    let name: ModelName = "org/a".parse().unwrap();
    let m = k(keccak256("org/a"), U256::from(1));
    let at = |offset: u64| m + U256::from(offset);
    let bits = |address: Address| U256::from_be_slice(address.as_slice());
    let v = |version| k(number(version), at(1));

    assert_eq!(registry::model_slot(&name), m);
    assert_eq!(word(&world, m), U256::from(2) | (bits(ALICE) << 64usize));
    assert_eq!(word(&world, at(2)), U256::from(2) | (bits(BOB) << 64usize));

    for version in [1, 2] {
        assert_eq!(registry::version_slot(&name, version), v(version));
        assert_eq!(registry::status_slot(&name, version), v(version) + U256::ONE);
        let id = id(version as usize - 1);
        assert_eq!(B256::from(word(&world, v(version))), id);
        let time = U256::from(World::env().block_env.timestamp) << 160usize;
        let status = if version == 2 {
            U256::ONE << 224usize
        } else {
            U256::ZERO
        };
        assert_eq!(word(&world, v(version) + U256::ONE), bits(ALICE) | time | status);
        assert_eq!(registry::number_slot(&name, id), k(id, at(4)));
        assert_eq!(word(&world, k(id, at(4))), U256::from(version));
    }
    // A short string lies in its own word, twice its length in the last byte.
    assert_eq!(word(&world, v(1) + U256::from(2)), U256::ZERO);
    let mut reason = [0; 32];
    reason[..6].copy_from_slice(b"drifts");
    reason[31] = 12;
    assert_eq!(word(&world, v(2) + U256::from(2)), U256::from_be_bytes(reason));

    let alias = k(keccak256("stable"), at(3));
    assert_eq!(registry::alias_slot(&name, "stable"), alias);
    assert_eq!(word(&world, alias), U256::ONE | (U256::ONE << 64usize));

    let (record, manifests, model) = (k(id(1), U256::from(2)), uploaded().1, shift(1));
    assert_eq!(registry::record_slot(id(1)), record);
    assert_eq!(Address::from_word(B256::from(word(&world, record))), manifests[1]);
    assert_eq!(
        word(&world, record) >> 224usize,
        U256::from(synod_model::limits::PROFILE_VERSION)
    );
    let sizes = [
        model.graph.len() as u64,
        model.weights.len() as u64,
        2,
        1 << 40, // steady, and not patched
    ];
    assert_eq!(word(&world, record + U256::ONE).as_limbs(), &sizes);
    let counts = word(&world, record + U256::from(2));
    assert_eq!(
        counts.as_limbs(),
        &[1 | (1 << 32), 0, 0, 0],
        "one version, deprecated"
    );

    let mut world = world;
    done(
        &mut world,
        ALICE,
        &ModelRegistry::publishPatchCall::new(("org/a".into(), patch().address(), Bytes::new(), true)),
    );
    let model = CanonicalModel {
        graph: shift(0).graph,
        weights: 9f32.to_le_bytes().to_vec().into(),
    };
    let patched = k(B256::from(model.id().0), U256::from(2));
    assert_eq!(
        Address::from_word(B256::from(word(&world, patched))),
        patch().address()
    );
    let sizes = [
        model.graph.len() as u64,
        model.weights.len() as u64,
        // the base's chunks, its manifest; bytes of the patch
        3 | (patch().edits.len() as u64) << 32,
        (1 << 32) | (1 << 40),
    ];
    assert_eq!(word(&world, patched + U256::ONE).as_limbs(), &sizes);
}

#[test]
fn the_engine_obeys_these_words_and_no_others() {
    let name: ModelName = "org/a".parse().unwrap();
    let change = |slot: U256, value: U256| {
        let mut world = published();
        world
            .db
            .insert_account_storage(MODEL_REGISTRY, slot, value)
            .unwrap();
        world
    };
    let leads = |world: &World, name: &str| unpack(&world.predict(&run(name, &[10.0])));
    let published = published();
    assert_eq!(leads(&published, "org/a"), [12.0]);
    assert_eq!(
        leads(&change(registry::model_slot(&name), U256::ONE), "org/a@latest"),
        [11.0]
    );
    assert_eq!(
        leads(
            &change(registry::alias_slot(&name, "new"), U256::from(2)),
            "org/a@new"
        ),
        [12.0]
    );
    let by_id = format!("org/a@sha256:{}", alloy_primitives::hex::encode(id(0)));
    assert_eq!(leads(&published, &by_id), [11.0]);
    let world = change(registry::number_slot(&name, id(0)), U256::ZERO);
    assert!(matches!(world.refusal(&run(&by_id, &[10.0])), E::UnknownModel(_)));
    // Of the word with the state, the state alone counts, and of the states, the one that is revoked.
    let state = registry::status_slot(&name, 1);
    for (value, revoked) in [
        (U256::ZERO, false),
        (U256::MAX >> 32usize, false),
        (U256::ONE << 224usize, false),
        (U256::from(2) << 224usize, true),
        (U256::from(3) << 224usize, false),
        (U256::from(0x1_0002) << 224usize, false),
    ] {
        let world = change(state, value);
        for form in ["org/a@1", "org/a@stable", &by_id] {
            let outcome = world
                .look(&Tx::call(PREDICT, run(form, &[10.0]).abi_encode()))
                .result;
            assert_eq!(outcome.is_success(), !revoked, "{form}, {value:x}");
        }
        assert_eq!(leads(&world, "org/a@2"), [12.0]);
    }
}

#[test]
fn each_form_of_a_name_reads_its_slots_and_costs_their_number() {
    let mut world = published();
    let name: ModelName = "org/a".parse().unwrap();
    let record = |index: usize| {
        [
            registry::record_slot(id(index)),
            registry::record_slot(id(index)) + U256::ONE,
        ]
    };
    let version = |version| {
        [
            registry::version_slot(&name, version),
            registry::status_slot(&name, version),
        ]
    };
    let by_id = format!("org/a@sha256:{}", alloy_primitives::hex::encode(id(0)));
    let forms: [(&str, Vec<U256>, usize); 5] = [
        (
            "org/a",
            [&[registry::model_slot(&name)][..], &version(2)].concat(),
            1,
        ),
        (
            "org/a@latest",
            [&[registry::model_slot(&name)][..], &version(2)].concat(),
            1,
        ),
        ("org/a@1", version(1).to_vec(), 0),
        (
            "org/a@stable",
            [&[registry::alias_slot(&name, "stable")][..], &version(1)].concat(),
            0,
        ),
        (
            &by_id,
            vec![
                registry::number_slot(&name, id(0)),
                registry::status_slot(&name, 1),
            ],
            0,
        ),
    ];
    for (form, of_name, index) in &forms {
        let expected: BTreeSet<U256> = of_name.iter().copied().chain(record(*index)).collect();
        let outcome = world.look(&Tx::call(PREDICT, run(form, &[10.0]).abi_encode()));
        let read: BTreeSet<U256> = outcome.state[&MODEL_REGISTRY].storage.keys().copied().collect();
        assert_eq!(read, expected, "{form}");
        let call = IPredict::resolveCall::new(((*form).to_owned(),));
        let spent = |world: &World| {
            let data = call.abi_encode();
            let used = predict_gas(world, &data);
            used - gas::call(data.len())
        };
        let resolution = gas::NAME + gas::registry(expected.len() as u64);
        assert_eq!(spent(&world), resolution + gas::answer(32), "{form}");
        let quote = world.predict(&IPredict::quoteCall::new(((*form).to_owned(),)));
        assert_eq!(
            predict_gas(&world, &run(form, &[10.0]).abi_encode()),
            quote.total,
            "{form}"
        );
        // A refusal has paid for the whole resolution, however early it ended.
        let nothing = World::genesis();
        assert_eq!(spent(&nothing), resolution, "{form}");
    }
    // A revoked version's record is not read.
    done(&mut world, ALICE, &revoke("org/a", 1, "wrong"));
    for (form, of_name, _) in &forms[2..] {
        let outcome = world.look(&Tx::call(PREDICT, run(form, &[10.0]).abi_encode()));
        let read: BTreeSet<U256> = outcome.state[&MODEL_REGISTRY].storage.keys().copied().collect();
        assert_eq!(read, BTreeSet::from_iter(of_name.iter().copied()), "{form}");
    }
}

/// Gas inside the precompile.
fn predict_gas(world: &World, data: &[u8]) -> u64 {
    let outcome = world.look(&Tx::call(PREDICT, data.to_vec())).result;
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    outcome.tx_gas_used() - 21_000 - 4 * zeros - 16 * (data.len() as u64 - zeros)
}
