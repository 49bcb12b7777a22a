//! Patches through the whole EVM: what they make, what they cost, and everything that is not one.

use crate::onnx::{Dim, F32, Graph};
use crate::world::{
    ALICE, BOB, Outcome, Tx, World, deployments, import, publish_call, refusal, run, success, unpack,
};
use IPredict::IPredictErrors as E;
use alloy_evm::revm::context_interface::cfg::gas_params::GasId;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolInterface};
use synod_evm::{
    addresses::MODEL_REGISTRY,
    gas,
    interface::{
        IPredict,
        ModelRegistry::{self, ModelRegistryErrors as R},
    },
    manifest::{Patch, address_of, chunk_code},
};
use synod_model::{
    CanonicalModel,
    patch::{Edits, LeafProof, WeightMap},
};

const CODE_SIZE_LIMIT: usize = 128 << 10;

/// `y = x·W`, of 2 rows and so many columns; element i is `weight(i)`.
fn wide(columns: usize, weight: impl Fn(usize) -> f32) -> CanonicalModel {
    let weights: Vec<f32> = (0..2 * columns).map(weight).collect();
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1), Dim::Size(2)])
        .weights("W", &[2, columns as i64], &weights)
        .node("MatMul", &["x", "W"], &["y"])
        .output("y", F32, &[Dim::Size(1), Dim::Size(columns as i64)]);
    import(&graph.file(), &[])
}

/// A model whose shape follows from a weight, and one weight beside.
fn resized(by: f32) -> CanonicalModel {
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1), Dim::Size(4)])
        .weights("scales", &[2], &[1.0, 0.5])
        .weights("b", &[1], &[by])
        .node("Resize", &["x", "", "scales"], &["r"])
        .node("Mul", &["r", "b"], &["y"])
        .output("y", F32, &[Dim::Size(1), Dim::Size(2)]);
    import(&graph.file(), &[])
}

/// Edits from one model to the other, and their proof.
fn difference(old: &CanonicalModel, new: &CanonicalModel) -> (Bytes, Bytes) {
    let map = WeightMap::read(old.graph.clone()).unwrap();
    let edits = Edits::between(&map, &old.weights, &new.weights).unwrap();
    let proof = LeafProof::of(&old.weights, &edits).encode();
    (edits.encoded().clone().into(), proof.into())
}

fn id(model: &CanonicalModel) -> B256 {
    B256::from(model.id().0)
}

fn send_as(world: &mut World, from: Address, call: Vec<u8>) -> Outcome {
    world.send(&Tx {
        from,
        ..Tx::call(MODEL_REGISTRY, call)
    })
}

fn edits_call(name: &str, base: B256, edits: &Bytes, proof: &Bytes) -> Vec<u8> {
    ModelRegistry::publishEditsCall {
        name: name.into(),
        base,
        edits: edits.clone(),
        proof: proof.clone(),
        latest: true,
    }
    .abi_encode()
}

fn patch_call(name: &str, manifest: Address, proof: &Bytes) -> Vec<u8> {
    ModelRegistry::publishPatchCall {
        name: name.into(),
        manifest,
        proof: proof.clone(),
        latest: true,
    }
    .abi_encode()
}

fn record_of(world: &World, model: &CanonicalModel) -> ModelRegistry::Record {
    world.ask(MODEL_REGISTRY, &ModelRegistry::modelOfCall { id: id(model) })
}

fn engine_error(outcome: &Outcome) -> E {
    refusal(outcome)
}

#[test]
fn a_patched_model_is_the_model_of_the_same_bytes() {
    for by_hand in [false, true] {
        for proved in [false, true] {
            let (old, new) = (
                wide(3000, |i| i as f32),
                wide(3000, |i| if i == 2500 { -1.0 } else { i as f32 }),
            );
            let mut world = World::genesis();
            world.publish("org/wide", &old);
            let (edits, proof) = difference(&old, &new);
            let proof = if proved { proof } else { Bytes::new() };
            let call = if by_hand {
                let base = record_of(&world, &old).manifest;
                let (patch, chunks) = Patch::cut(id(&old), base, &edits, CODE_SIZE_LIMIT);
                assert!(chunks.is_empty());
                patch_call("org/wide", world.place(&patch.encode()), &proof)
            } else {
                edits_call("org/wide", id(&old), &edits, &proof)
            };
            let outcome = send_as(&mut world, ALICE, call);
            let published = ModelRegistry::publishPatchCall::abi_decode_returns(&success(&outcome)).unwrap();
            assert_eq!((published.id, published.version), (id(&new), U256::from(2)));

            let record = record_of(&world, &new);
            let base = record_of(&world, &old);
            assert_eq!(
                (record.graphBytes, record.weightBytes),
                (base.graphBytes, base.weightBytes)
            );
            assert_eq!(
                (record.patches, record.patchBytes, record.steady),
                (1, edits.len() as u64, true)
            );
            assert_eq!(record.chunks, base.chunks + 1);

            // The same answers as of the model published in full, on a node that has to read it, too.
            let mut other = World::genesis();
            other.publish("org/wide", &new);
            for world in [&world, &world.cold()] {
                let answer = world.predict(&run("org/wide", &[1.0, 2.0]));
                assert_eq!(answer, other.predict(&run("org/wide", &[1.0, 2.0])));
                assert_eq!(unpack(&answer)[2500], -1.0 + 2.0 * 5500.0);
                assert_eq!(
                    unpack(&world.predict(&run("org/wide@1", &[1.0, 2.0])))[2500],
                    2500.0 + 2.0 * 5500.0
                );
            }
            // Loading pays for the base, the patch and its account.
            let quote = |world: &World| {
                world.predict(&IPredict::quoteCall {
                    model: "org/wide".into(),
                })
            };
            let (patched, whole) = (quote(&world), quote(&other));
            assert_eq!(
                patched.load - whole.load,
                gas::CHUNK_ACCOUNT + gas::patches(edits.len() as u64)
            );
            assert_eq!(patched.execution, whole.execution);
        }
    }
}

#[test]
fn patches_lie_upon_patches_up_to_a_limit() {
    let model = |version: usize| {
        wide(1100, move |i| {
            if i % 64 < version {
                -(version as f32)
            } else {
                i as f32
            }
        })
    };
    let mut world = World::genesis();
    world.publish("org/wide", &model(0));
    let limit = usize::from(gas::MAX_PATCHES);
    for version in 1..=limit {
        let (edits, proof) = difference(&model(version - 1), &model(version));
        let call = edits_call("org/wide", id(&model(version - 1)), &edits, &proof);
        let outcome = send_as(&mut world, ALICE, call);
        let published = ModelRegistry::publishEditsCall::abi_decode_returns(&success(&outcome)).unwrap();
        assert_eq!(published.id, id(&model(version)), "{version}");
    }
    for version in [0, 1, limit / 2, limit] {
        let mut other = World::genesis();
        other.publish("org/wide", &model(version));
        let name = format!("org/wide@{}", version + 1);
        let input = [0.25, 3.0];
        assert_eq!(
            world.cold().predict(&run(&name, &input)),
            other.predict(&run("org/wide", &input)),
            "{version}"
        );
    }
    let (edits, proof) = difference(&model(limit), &model(limit + 1));
    let call = edits_call("org/wide", id(&model(limit)), &edits, &proof);
    let outcome = send_as(&mut world, ALICE, call);
    assert!(matches!(engine_error(&outcome), E::TooManyPatches(error) if usize::from(error.limit) == limit));
    // In full it goes on.
    world.publish("org/wide", &model(limit + 1));
}

#[test]
fn what_the_weights_decide_is_validated_in_full() {
    let (old, new) = (resized(1.0), resized(3.0));
    let mut world = World::genesis();
    world.publish("org/resized", &old);
    assert!(!record_of(&world, &old).steady);
    let (edits, proof) = difference(&old, &new);
    // a proof of one leaf is empty: give one that is not
    assert!(proof.is_empty());
    let call = edits_call("org/resized", id(&old), &edits, &vec![0; 32].into());
    assert!(matches!(
        engine_error(&send_as(&mut world, ALICE, call)),
        E::NotSteady(_)
    ));
    success(&send_as(
        &mut world,
        ALICE,
        edits_call("org/resized", id(&old), &edits, &Bytes::new()),
    ));
    let input = [1.0, 2.0, 3.0, 4.0];
    let answers = [1, 2].map(|version| {
        unpack(
            &world
                .cold()
                .predict(&run(&format!("org/resized@{version}"), &input)),
        )
    });
    assert!(
        answers[0]
            .iter()
            .zip(&answers[1])
            .all(|(one, three)| one * 3.0 == *three)
    );
    // The scale of a Resize that leaves another shape than the model declares.
    let map = WeightMap::read(old.graph.clone()).unwrap();
    let mut weights = old.weights.to_vec();
    weights[4..8].copy_from_slice(&2f32.to_le_bytes());
    let edits = Edits::between(&map, &old.weights, &weights).unwrap();
    let call = edits_call(
        "org/resized",
        id(&old),
        &edits.encoded().clone().into(),
        &Bytes::new(),
    );
    assert!(matches!(
        engine_error(&send_as(&mut world, ALICE, call)),
        E::InvalidModel(_)
    ));
}

#[test]
fn what_is_no_patch_changes_nothing() {
    let (old, new) = (
        wide(3000, |i| i as f32),
        wide(3000, |i| if i == 70 { -1.0 } else { i as f32 }),
    );
    let mut world = World::genesis();
    world.publish("org/wide", &old);
    let (edits, proof) = difference(&old, &new);
    let base = record_of(&world, &old).manifest;
    let state = world.clone();
    let mut refused = |call: Vec<u8>| {
        let outcome = send_as(&mut world, ALICE, call);
        assert!(!outcome.is_success(), "{outcome:?}");
        assert_eq!(
            world.ask(
                MODEL_REGISTRY,
                &ModelRegistry::versionOfCall {
                    name: "org/wide".into()
                }
            ),
            U256::from(1)
        );
        outcome.output().cloned().unwrap_or_default()
    };
    let engine = |data: Bytes| E::abi_decode(&data).unwrap();
    let registry = |data: Bytes| R::abi_decode(&data).unwrap();

    // proofs
    for wrong in [
        &proof[1..],
        &proof[32..],
        &[&proof[..], &[0; 32]].concat()[..],
        &vec![7; proof.len()][..],
    ] {
        let wrong = Bytes::copy_from_slice(wrong);
        let error = engine(refused(edits_call("org/wide", id(&old), &edits, &wrong)));
        assert!(matches!(error, E::InvalidProof(_)), "{error:?}");
    }
    // edits
    let end = old.weights.len() as u64;
    let behind = [&[0xff, 0xff, 0x7f][..], &[1, 7]].concat();
    assert!(end < 0x1f_ffff);
    let nan = [&[0][..], &[4], &0x7fa0_0000u32.to_le_bytes()].concat();
    for (wrong, proved) in [(vec![], true), (vec![0x80], false), (behind, true), (nan, true)] {
        let wrong = Bytes::from(wrong);
        let proof = if proved { proof.clone() } else { Bytes::new() };
        let error = engine(refused(edits_call("org/wide", id(&old), &wrong, &proof)));
        assert!(matches!(error, E::InvalidPatch(_)), "{error:?}");
    }
    let nan = Bytes::from([&[0][..], &[4], &0x7fa0_0000u32.to_le_bytes()].concat());
    let error = engine(refused(edits_call("org/wide", id(&old), &nan, &Bytes::new())));
    assert!(matches!(error, E::InvalidModel(_)), "{error:?}");
    // bases
    let unknown = refused(edits_call("org/wide", B256::repeat_byte(7), &edits, &proof));
    assert!(matches!(registry(unknown), R::UnknownModelId(_)));
    // accounts
    let (patch, _) = Patch::cut(id(&old), base, &edits, CODE_SIZE_LIMIT);
    let not_there = patch.address();
    let error = engine(refused(patch_call("org/wide", not_there, &proof)));
    assert!(matches!(error, E::InvalidManifest(_)), "{error:?}");
    let error = engine(refused(patch_call("org/wide", base, &proof)));
    assert!(
        matches!(error, E::InvalidManifest(_)),
        "a manifest is no patch: {error:?}"
    );

    let mut world = state;
    let mut place = |patch: &Patch| world.place(&patch.encode());
    let elsewhere = place(&Patch {
        base: Address::repeat_byte(7),
        ..patch.clone()
    });
    let unknown = place(&Patch {
        base_id: B256::repeat_byte(7),
        ..patch.clone()
    });
    let chunk = chunk_code(b"missing");
    let missing = place(&Patch {
        chunks: vec![address_of(&chunk)],
        edits: Bytes::new(),
        ..patch.clone()
    });
    let patch = place(&patch);
    let refused = |world: &mut World, call: Vec<u8>| refusal(&send_as(world, ALICE, call));
    assert!(matches!(
        refused(&mut world, patch_call("org/wide", elsewhere, &proof)),
        E::InvalidManifest(_)
    ));
    assert!(matches!(
        refused(&mut world, patch_call("org/wide", unknown, &proof)),
        E::UnknownModelId(_)
    ));
    assert!(matches!(
        refused(&mut world, patch_call("org/wide", missing, &proof)),
        E::InvalidChunk(_)
    ));
    // a patch is not what `publish` takes, and only the owner publishes
    assert!(matches!(
        refused(&mut world, publish_call("org/wide", patch)),
        E::InvalidManifest(_)
    ));
    let stranger = send_as(&mut world, BOB, patch_call("org/wide", patch, &proof));
    let error = R::abi_decode(stranger.output().unwrap()).unwrap();
    assert!(matches!(error, R::NotModelOwner(_)));
    success(&send_as(&mut world, ALICE, patch_call("org/wide", patch, &proof)));
}

#[test]
fn large_patches_lie_in_chunks() {
    // 480 KB of weights, every other one of them changed
    let (old, new) = (
        wide(60_000, |i| i as f32),
        wide(60_000, |i| if i % 2 == 0 { -1.5 } else { i as f32 }),
    );
    let mut world = World::genesis();
    world.publish("org/wide", &old);
    let (edits, proof) = difference(&old, &new);
    let base = record_of(&world, &old).manifest;
    let (patch, chunks) = Patch::cut(id(&old), base, &edits, CODE_SIZE_LIMIT);
    assert!(chunks.len() > 1);
    chunks.iter().for_each(|chunk| {
        world.place(chunk);
    });
    let manifest = world.place(&patch.encode());
    // every leaf is touched: nothing stands beside their paths, and a proof of nothing is none
    assert!(proof.is_empty());
    success(&send_as(
        &mut world,
        ALICE,
        patch_call("org/wide", manifest, &proof),
    ));
    let answer = unpack(&world.cold().predict(&run("org/wide", &[1.0, 0.0])));
    assert_eq!(answer[..4], [-1.5, 1.0, -1.5, 3.0]);
    assert_eq!(
        world.predict(&IPredict::resolveCall {
            model: "org/wide".into()
        }),
        id(&new)
    );
}

/// The price of ten megabytes, and of changing little of it: shares of publishing all of it afresh.
#[test]
fn an_update_pays_for_what_changed() {
    const COLUMNS: usize = 1_250_000; // 10 MB
    let element = |i: usize| ((i as u32).wrapping_mul(0x9E37_79B9) >> 8) as f32;
    let old = wide(COLUMNS, element);
    let mut world = World::genesis();
    // the shipped prices of bytes (docs/spec/chain.md §2): at Ethereum's, publishing afresh would cost 17 times as much
    world.env.cfg_env.gas_params.override_gas([
        (GasId::tx_token_non_zero_byte_multiplier(), 1),
        (GasId::tx_floor_token_zero_byte_multiplier(), 1),
        (GasId::tx_token_cost(), 4),
        (GasId::tx_floor_cost_per_token(), 4),
        (GasId::code_deposit_cost(), 8),
    ]);
    let price = |outcome: &Outcome| {
        success(outcome);
        outcome.tx_gas_used()
    };
    let mut afresh = 0;
    let (manifest, codes) = deployments(&old);
    for deployment in codes {
        afresh += price(&world.send(&Tx::call(synod_evm::addresses::CHUNK_FACTORY, deployment)));
    }
    afresh += price(&send_as(
        &mut world,
        ALICE,
        publish_call("org/wide", manifest.address()),
    ));

    let layer = wide(COLUMNS, |i| {
        if (500_000..525_000).contains(&i) {
            -element(i) - 1.0
        } else {
            element(i)
        }
    });
    let scattered = wide(COLUMNS, |i| {
        if i % 25_013 == 17 {
            -element(i) - 1.0
        } else {
            element(i)
        }
    });
    let mut shares = Vec::new();
    for next in [&layer, &scattered] {
        let mut world = world.clone();
        let (edits, proof) = difference(&old, next);
        let outcome = send_as(
            &mut world,
            ALICE,
            edits_call("org/wide", id(&old), &edits, &proof),
        );
        shares.push(price(&outcome) as f64 / afresh as f64);
        let resolved = world.predict(&IPredict::resolveCall {
            model: "org/wide".into(),
        });
        assert_eq!(resolved, id(next));
    }
    eprintln!(
        "afresh {afresh} gas; 1 % in one place {:.2} %, 100 weights {:.2} %",
        shares[0] * 100.0,
        shares[1] * 100.0
    );
    assert!(shares[0] < 0.03 && shares[1] < 0.005, "{shares:?}");
}
