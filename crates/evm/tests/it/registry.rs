//! Names and versions: the kill switch, who may call what, what a call may cost, and the storage that the engine reads. [`simple`]
//! holds all of it to a simple model.

mod simple;

use crate::onnx::{Dim, F32, Graph};
use crate::world::{ALICE, BOB, Db, Outcome, Tx, World, fixed, import, pack, refusal, run, success, unpack};
use IPredict::IPredictErrors as E;
use ModelRegistry::{ModelRegistryCalls as Calls, ModelRegistryErrors as R};
use alloy_evm::{
    eth::EthEvmContext,
    revm::{
        Inspector,
        bytecode::opcode,
        interpreter::{CallInputs, CallOutcome, CallScheme},
    },
};
use alloy_primitives::{Address, B256, Bytes, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolInterface};
use std::{collections::BTreeSet, sync::OnceLock};
use synod_evm::{
    addresses::{CHUNK_FACTORY, MODEL_REGISTRY, PREDICT},
    gas,
    interface::{IPredict, ModelRegistry},
    manifest::Patch,
    name::ModelName,
    registry,
};
use synod_model::CanonicalModel;

const CAROL: Address = address!("0x000000000000000000000000000000000000ca01");
const ACCOUNTS: [Address; 3] = [ALICE, BOB, CAROL];
const MODELS: usize = 3;

const ACTIVE: u32 = 0;
const DEPRECATED: u32 = 1;
const REVOKED: u32 = 2;

/// `y = x + index + 1`.
fn shift(index: usize) -> CanonicalModel {
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1)])
        .weights("b", &[1], &[index as f32 + 1.0])
        .node("Add", &["x", "b"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    import(&graph.file(), &[])
}

fn id(index: usize) -> B256 {
    static IDS: OnceLock<Vec<B256>> = OnceLock::new();
    IDS.get_or_init(|| (0..MODELS).map(|index| B256::from(shift(index).id().0)).collect())[index]
}

/// A chain on which the bytes of all models lie, without a name.
fn uploaded() -> (World, Vec<Address>) {
    static UPLOADED: OnceLock<(World, Vec<Address>)> = OnceLock::new();
    UPLOADED
        .get_or_init(|| {
            let mut world = World::genesis();
            let manifests = (0..MODELS)
                .map(|index| world.upload(&shift(index)).address())
                .collect();
            (world, manifests)
        })
        .clone()
}

/// A chain with two versions of `org/a` of Alice's, the second deprecated, and an alias of the first.
fn published() -> World {
    static PUBLISHED: OnceLock<World> = OnceLock::new();
    PUBLISHED
        .get_or_init(|| {
            let (mut world, manifests) = uploaded();
            let name = || "org/a".to_owned();
            for manifest in &manifests[..2] {
                done(&mut world, ALICE, &publish("org/a", *manifest));
            }
            let call = ModelRegistry::setAliasCall::new((name(), "stable".into(), U256::ONE));
            done(&mut world, ALICE, &call);
            done(&mut world, ALICE, &deprecate("org/a", 2, "drifts"));
            world
        })
        .clone()
}

fn publish(name: &str, manifest: Address) -> ModelRegistry::publishCall {
    ModelRegistry::publishCall::new((name.into(), manifest))
}

fn deprecate(name: &str, version: u64, reason: &str) -> ModelRegistry::deprecateCall {
    ModelRegistry::deprecateCall::new((name.into(), U256::from(version), reason.into()))
}

fn revoke(name: &str, version: u64, reason: &str) -> ModelRegistry::revokeCall {
    ModelRegistry::revokeCall::new((name.into(), U256::from(version), reason.into()))
}

fn tx(from: Address, data: Vec<u8>) -> Tx {
    Tx {
        from,
        ..Tx::call(MODEL_REGISTRY, data)
    }
}

fn done<C: SolCall>(world: &mut World, from: Address, call: &C) -> Outcome {
    let outcome = world.send(&tx(from, call.abi_encode()));
    assert!(outcome.is_success(), "{}: {outcome:?}", C::SIGNATURE);
    outcome
}

fn error(outcome: &Outcome) -> R {
    let output = outcome.output().unwrap_or_else(|| panic!("{outcome:?}"));
    R::abi_decode(output).unwrap_or_else(|_| panic!("not an error of the registry: {output}"))
}

fn ask<C: SolCall>(world: &World, call: &C) -> C::Return {
    world.ask(MODEL_REGISTRY, call)
}

// ---------------------------------------------------------------------- the kill switch

#[test]
fn a_revoked_version_is_refused_by_every_function_that_takes_a_name_and_runs_by_id() {
    let mut world = published();
    let input: alloy_primitives::Bytes = pack(&[10.0]).into();
    let tensor = IPredict::Tensor {
        dtype: 1,
        shape: vec![1],
        data: input.clone(),
    };
    let by_name = |name: &str| {
        let model = || name.to_owned();
        let values = fixed(&[10]);
        let (inputs, input) = (vec![input.clone()], input.clone());
        let run = IPredict::runCall::new((model(), input.clone())).abi_encode();
        vec![
            run.clone(),
            IPredict::runTensorsCall::new((model(), vec![tensor.clone()])).abi_encode(),
            IPredict::runFixedCall::new((model(), values.clone(), 0, 0)).abi_encode(),
            IPredict::classifyCall::new((model(), input)).abi_encode(),
            IPredict::classifyFixedCall::new((model(), values, 0)).abi_encode(),
            IPredict::runBatchCall::new((model(), inputs)).abi_encode(),
            IPredict::withMaxGasCall::new((1 << 30, run.into())).abi_encode(),
            IPredict::resolveCall::new((model(),)).abi_encode(),
            IPredict::signatureCall::new((model(),)).abi_encode(),
            IPredict::quoteCall::new((model(),)).abi_encode(),
            IPredict::quoteShapesCall::new((model(), vec![vec![1]])).abi_encode(),
        ]
    };
    let digits = alloy_primitives::hex::encode(id(0));
    let names = [
        "org/a@1".to_owned(),
        "org/a@stable".to_owned(),
        format!("org/a@sha256:{digits}"),
    ];
    let look = |world: &World, data: Vec<u8>| world.look(&Tx::call(PREDICT, data)).result;
    for data in names.iter().flat_map(|name| by_name(name)) {
        success(&look(&world, data));
    }
    // A deprecated one runs.
    for data in by_name("org/a@2").into_iter().chain(by_name("org/a")) {
        success(&look(&world, data));
    }
    done(
        &mut world,
        ALICE,
        &revoke("org/a", 1, "leaks what it was trained on"),
    );
    for node in [&world, &world.cold()] {
        for name in &names {
            for data in by_name(name) {
                let error = IPredict::ModelRevoked::new((name.clone(), 1));
                assert_eq!(refusal(&look(node, data)), E::ModelRevoked(error));
            }
        }
        let by_id = IPredict::runIdCall::new((id(0), input.clone()));
        assert_eq!(unpack(&node.predict(&by_id)), [11.0]);
        assert_eq!(unpack(&node.predict(&run("org/a", &[10.0]))), [12.0]);
    }
    let sums = ask(&world, &ModelRegistry::statusOfIdCall::new((id(0),)));
    assert_eq!((sums.publications, sums.revoked), (U256::ONE, U256::ONE));
    // The registry's own question passes the refusal on.
    let resolve = ModelRegistry::resolveCall::new(("org/a@1".into(),));
    let outcome = world.look(&Tx::call(MODEL_REGISTRY, resolve.abi_encode())).result;
    assert!(matches!(refusal(&outcome), E::ModelRevoked(_)));
}

#[test]
fn aliases_are_checked_alike_by_registry_and_engine() {
    let world = published();
    let long = "x".repeat(65);
    let longest = "x".repeat(64);
    let aliases = [
        "",
        "latest",
        "Latest",
        "1",
        "01",
        "18446744073709551616",
        "1a",
        "1.0",
        "a b",
        "-a",
        ".a",
        "_a",
        "a-_.",
        "A",
        "ä",
        "sha256",
        "sha256:",
        "sha256:00",
        "a@b",
        "a/b",
        "a\0",
        &long,
        &longest,
    ];
    for alias in aliases {
        let call = ModelRegistry::setAliasCall::new(("org/a".into(), alias.into(), U256::ONE));
        let mut world = world.clone();
        let outcome = world.send(&tx(ALICE, call.abi_encode()));
        let valid = synod_evm::name::is_alias(alias);
        assert_eq!(outcome.is_success(), valid, "{alias:?}");
        if valid {
            let answer = world.predict(&run(&format!("org/a@{alias}"), &[10.0]));
            assert_eq!(unpack(&answer), [11.0], "{alias:?}");
        } else {
            let expected = ModelRegistry::InvalidAlias::new((alias.to_owned(),));
            assert_eq!(error(&outcome), R::InvalidAlias(expected));
        }
    }
}

#[test]
fn a_reason_has_1_to_256_bytes() {
    for (length, valid) in [(0, false), (1, true), (256, true), (257, false), (100_000, false)] {
        let reason = "r".repeat(length);
        for call in [
            deprecate("org/a", 1, &reason).abi_encode(),
            revoke("org/a", 1, &reason).abi_encode(),
        ] {
            let mut world = published();
            let outcome = world.send(&tx(ALICE, call));
            assert_eq!(outcome.is_success(), valid, "{length}");
            if valid {
                let state = ask(
                    &world,
                    &ModelRegistry::statusOfCall::new(("org/a".into(), U256::ONE)),
                );
                assert_eq!(state.reason, reason);
            } else {
                let length = U256::from(length);
                assert_eq!(error(&outcome), R::InvalidReason(SolError::new((length,))));
            }
        }
    }
}

// ---------------------------------------------------------------------- events

#[test]
fn every_change_is_an_event_with_what_was_and_what_is() {
    let mut world = published();
    let (name_hash, name) = (keccak256("org/a"), "org/a".to_owned());
    let last = |outcome: Outcome| outcome.logs().last().cloned().unwrap();

    let call = ModelRegistry::setLatestCall::new((name.clone(), U256::ONE));
    let log = last(done(&mut world, ALICE, &call));
    let event = ModelRegistry::LatestChanged::decode_log(&log).unwrap().data;
    let expected = ModelRegistry::LatestChanged {
        nameHash: name_hash,
        by: ALICE,
        name: name.clone(),
        from: 2,
        to: 1,
    };
    assert_eq!(event, expected);

    let aliased = |from, to| ModelRegistry::AliasChanged {
        nameHash: name_hash,
        aliasHash: keccak256("stable"),
        by: ALICE,
        name: name.clone(),
        aliasName: "stable".into(),
        from,
        to,
    };
    let set =
        |version: u64| ModelRegistry::setAliasCall::new((name.clone(), "stable".into(), U256::from(version)));
    let log = last(done(&mut world, ALICE, &set(2)));
    assert_eq!(
        ModelRegistry::AliasChanged::decode_log(&log).unwrap().data,
        aliased(1, 2)
    );
    let remove = ModelRegistry::removeAliasCall::new((name.clone(), "stable".into()));
    let log = last(done(&mut world, ALICE, &remove));
    assert_eq!(
        ModelRegistry::AliasChanged::decode_log(&log).unwrap().data,
        aliased(2, 0)
    );
    let log = last(done(&mut world, ALICE, &set(1)));
    assert_eq!(
        ModelRegistry::AliasChanged::decode_log(&log).unwrap().data,
        aliased(0, 1)
    );

    let changed = |from, to, reason: &str| ModelRegistry::StatusChanged {
        nameHash: name_hash,
        id: id(1),
        by: ALICE,
        name: name.clone(),
        version: 2,
        from,
        to,
        reason: reason.into(),
    };
    let steps = [
        (
            deprecate("org/a", 2, "drifts more").abi_encode(),
            changed(DEPRECATED, DEPRECATED, "drifts more"),
        ),
        (
            ModelRegistry::restoreCall::new((name.clone(), U256::from(2))).abi_encode(),
            changed(DEPRECATED, ACTIVE, ""),
        ),
        (
            revoke("org/a", 2, "poisoned").abi_encode(),
            changed(ACTIVE, REVOKED, "poisoned"),
        ),
    ];
    for (data, expected) in steps {
        let log = last(world.send(&tx(ALICE, data)));
        assert_eq!(
            ModelRegistry::StatusChanged::decode_log(&log).unwrap().data,
            expected
        );
    }

    let log = last(done(
        &mut world,
        ALICE,
        &ModelRegistry::transferModelCall::new((name.clone(), BOB)),
    ));
    let event = ModelRegistry::ModelTransferStarted::decode_log(&log)
        .unwrap()
        .data;
    let expected = ModelRegistry::ModelTransferStarted {
        nameHash: name_hash,
        from: ALICE,
        to: BOB,
        name: name.clone(),
    };
    assert_eq!(event, expected);
    let log = last(done(
        &mut world,
        BOB,
        &ModelRegistry::acceptModelCall::new((name.clone(),)),
    ));
    let event = ModelRegistry::ModelTransferred::decode_log(&log).unwrap().data;
    assert_eq!(
        event,
        ModelRegistry::ModelTransferred {
            nameHash: name_hash,
            from: ALICE,
            to: BOB,
            name
        }
    );

    let (org_hash, org) = (keccak256("org"), "org".to_owned());
    let log = last(done(
        &mut world,
        ALICE,
        &ModelRegistry::transferNamespaceCall::new((org.clone(), BOB)),
    ));
    let event = ModelRegistry::NamespaceTransferStarted::decode_log(&log)
        .unwrap()
        .data;
    let expected = ModelRegistry::NamespaceTransferStarted {
        orgHash: org_hash,
        from: ALICE,
        to: BOB,
        org: org.clone(),
    };
    assert_eq!(event, expected);
    let log = last(done(
        &mut world,
        BOB,
        &ModelRegistry::acceptNamespaceCall::new((org.clone(),)),
    ));
    let event = ModelRegistry::NamespaceTransferred::decode_log(&log)
        .unwrap()
        .data;
    assert_eq!(
        event,
        ModelRegistry::NamespaceTransferred {
            orgHash: org_hash,
            from: ALICE,
            to: BOB,
            org
        }
    );
}

// ---------------------------------------------------------------------- who may call what

/// A call that writes, and who may make it on the chain of [`offered`].
struct Change {
    call: Calls,
    /// Alice, who owns namespace and model; Bob, to whom both are offered; Carol, a stranger.
    may: [bool; 3],
}

/// [`published`], with namespace and model offered to Bob.
fn offered() -> World {
    let mut world = published();
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferModelCall::new(("org/a".into(), BOB)),
    );
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferNamespaceCall::new(("org".into(), BOB)),
    );
    // A model that is validated and has no number under the name: anybody may publish it under a name of theirs.
    let manifest = uploaded().1[2];
    done(&mut world, CAROL, &publish("carol/c", manifest));
    world.place(&patch().encode());
    world
}

/// The first model with another weight.
fn patch() -> Patch {
    Patch {
        base_id: id(0),
        base: uploaded().1[0],
        chunks: vec![],
        edits: [&[0, 4][..], &9f32.to_le_bytes()].concat().into(),
    }
}

/// Every function of the registry that writes.
fn changes() -> Vec<Change> {
    let (name, org, aliased) = (|| "org/a".to_owned(), || "org".to_owned(), || "stable".to_owned());
    let (manifest, third, version) = (uploaded().1[2], id(2), U256::ONE);
    let owner = [true, false, false];
    let pending = [false, true, false];
    let of = |may, call| Change { call, may };
    vec![
        of([true; 3], Calls::claim(SolCall::new(("free".into(),)))),
        of(owner, Calls::transferNamespace(SolCall::new((org(), CAROL)))),
        of(pending, Calls::acceptNamespace(SolCall::new((org(),)))),
        of(owner, Calls::publish(publish("org/a", manifest))),
        of(owner, Calls::publishOnly(SolCall::new((name(), manifest)))),
        of(owner, Calls::publishId(SolCall::new((name(), third)))),
        of(owner, Calls::publishIdOnly(SolCall::new((name(), third)))),
        of(
            owner,
            Calls::publishPatch(SolCall::new((name(), patch().address(), Bytes::new(), true))),
        ),
        of(
            owner,
            Calls::publishEdits(SolCall::new((name(), id(1), patch().edits, Bytes::new(), false))),
        ),
        // A new name in a namespace that is owned.
        of(owner, Calls::publishId(SolCall::new(("org/new".into(), third)))),
        of(owner, Calls::setLatest(SolCall::new((name(), version)))),
        of(
            owner,
            Calls::setAlias(SolCall::new((name(), "new".into(), version))),
        ),
        of(owner, Calls::removeAlias(SolCall::new((name(), aliased())))),
        of(owner, Calls::deprecate(deprecate("org/a", 1, "old"))),
        of(owner, Calls::restore(SolCall::new((name(), U256::from(2))))),
        of(owner, Calls::revoke(revoke("org/a", 1, "wrong"))),
        of(owner, Calls::transferModel(SolCall::new((name(), CAROL)))),
        of(pending, Calls::acceptModel(SolCall::new((name(),)))),
    ]
}

/// Every function that only answers.
fn questions() -> Vec<Calls> {
    let (name, aliased) = (|| "org/a".to_owned(), || "stable".to_owned());
    let (id, version) = (id(0), U256::ONE);
    let (offset, limit) = (U256::ZERO, U256::from(10));
    vec![
        Calls::namespaceOwner(SolCall::new(("org".into(),))),
        Calls::pendingNamespaceOwner(SolCall::new(("org".into(),))),
        Calls::resolve(SolCall::new((name(),))),
        Calls::versionOf(SolCall::new((name(),))),
        Calls::countOf(SolCall::new((name(),))),
        Calls::versionOfId(SolCall::new((name(), id))),
        Calls::aliasOf(SolCall::new((name(), aliased()))),
        Calls::versionAt(SolCall::new((name(), version))),
        Calls::statusOf(SolCall::new((name(), version))),
        Calls::statusOfId(SolCall::new((id,))),
        Calls::modelOwner(SolCall::new((name(),))),
        Calls::pendingModelOwner(SolCall::new((name(),))),
        Calls::modelOf(SolCall::new((id,))),
        Calls::modelCount(ModelRegistry::modelCountCall {}),
        Calls::models(SolCall::new((offset, limit))),
        Calls::versions(SolCall::new((name(), offset, limit))),
        Calls::aliases(SolCall::new((name(), offset, limit))),
    ]
}

#[test]
fn the_lists_of_functions_are_complete() {
    let listed: BTreeSet<[u8; 4]> = changes()
        .iter()
        .map(|change| change.call.selector())
        .chain(questions().iter().map(Calls::selector))
        .collect();
    assert_eq!(listed, Calls::selectors().collect());
}

#[test]
fn each_change_is_for_those_alone_who_may_make_it() {
    let world = offered();
    for Change { call, may } in changes() {
        for (from, may) in ACCOUNTS.into_iter().zip(may) {
            let outcome = world.look(&tx(from, call.abi_encode()));
            assert_eq!(outcome.result.is_success(), may, "{call:?} by {from}");
            if may {
                assert!(!outcome.result.logs().is_empty(), "{call:?}");
                continue;
            }
            let error = error(&outcome.result);
            let owned = matches!(
                error,
                R::NotModelOwner(_) | R::NotNamespaceOwner(_) | R::NotPendingOwner(_)
            );
            assert!(owned, "{call:?} by {from}: {error:?}");
            assert_eq!(outcome.state[&MODEL_REGISTRY].changed_storage_slots().count(), 0);
        }
    }
    // An offer withdrawn is none, and what was taken is taken.
    let mut world = offered();
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferModelCall::new(("org/a".into(), Address::ZERO)),
    );
    let accept = ModelRegistry::acceptModelCall::new(("org/a".into(),));
    assert!(matches!(
        error(&world.send(&tx(BOB, accept.abi_encode()))),
        R::NotPendingOwner(_)
    ));
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferModelCall::new(("org/a".into(), BOB)),
    );
    done(&mut world, BOB, &accept);
    assert!(matches!(
        error(&world.send(&tx(BOB, accept.abi_encode()))),
        R::NotPendingOwner(_)
    ));
    assert!(matches!(
        error(&world.send(&tx(ALICE, revoke("org/a", 1, "mine").abi_encode()))),
        R::NotModelOwner(_)
    ));
    done(&mut world, BOB, &revoke("org/a", 1, "mine now"));
}

#[test]
fn questions_write_nothing() {
    let world = offered();
    for call in questions() {
        let outcome = world.look(&tx(CAROL, call.abi_encode()));
        assert!(outcome.result.is_success(), "{call:?}: {:?}", outcome.result);
        assert!(outcome.result.logs().is_empty(), "{call:?}");
        assert_eq!(
            outcome.state[&MODEL_REGISTRY].changed_storage_slots().count(),
            0,
            "{call:?}"
        );
    }
}

// ---------------------------------------------------------------------- re-entrancy

/// Calls that the registry makes.
#[derive(Default)]
struct Outgoing(Vec<(Address, CallScheme)>);

impl Inspector<EthEvmContext<Db>> for Outgoing {
    fn call(&mut self, _context: &mut EthEvmContext<Db>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        if inputs.caller == MODEL_REGISTRY {
            self.0.push((inputs.bytecode_address, inputs.scheme));
        }
        None
    }
}

#[test]
fn the_registry_calls_the_engine_statically_and_the_factory_for_patches_and_nobody_else() {
    let world = offered();
    let (mut engine, mut factory) = (0, 0);
    for call in changes().into_iter().map(|change| change.call).chain(questions()) {
        for from in ACCOUNTS {
            let (_, Outgoing(calls)) = world.look_with(&tx(from, call.abi_encode()), Outgoing::default());
            for made in calls {
                match made {
                    (PREDICT, CallScheme::StaticCall) => engine += 1,
                    // What it deploys there begins with STOP, behind init code that returns it: nobody gets to run.
                    (CHUNK_FACTORY, CallScheme::Call) if matches!(call, Calls::publishEdits(_)) => {
                        factory += 1
                    }
                    other => panic!("{call:?}: {other:?}"),
                }
            }
        }
    }
    assert!(engine > 0, "publish and resolve ask the engine");
    assert_eq!(
        factory,
        ACCOUNTS.len(),
        "whoever may not publish is told after the edits are checked"
    );
    // Nor could it: the code has no other instruction that runs foreign code.
    let mut calls = 0;
    let mut code = ModelRegistry::DEPLOYED_BYTECODE.iter();
    while let Some(&instruction) = code.next() {
        calls += usize::from(instruction == opcode::CALL);
        let leaves = [
            opcode::CALLCODE,
            opcode::DELEGATECALL,
            opcode::CREATE,
            opcode::CREATE2,
            opcode::SELFDESTRUCT,
        ];
        assert!(!leaves.contains(&instruction), "{instruction:02x}");
        if (opcode::PUSH1..=opcode::PUSH32).contains(&instruction) {
            code.nth(usize::from(instruction - opcode::PUSH1));
        }
    }
    assert_eq!(calls, 1, "the one to the factory");
}

// ---------------------------------------------------------------------- gas

/// Gas without what the transaction itself costs.
fn inside(world: &World, from: Address, data: Vec<u8>) -> u64 {
    let outcome = world.look(&tx(from, data.clone())).result;
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    outcome.tx_gas_used() - 21_000 - 4 * zeros - 16 * (data.len() as u64 - zeros)
}

#[test]
fn no_call_costs_more_because_much_is_stored() {
    let small = offered();
    let mut large = small.clone();
    let third = id(2);
    let longest = "r".repeat(256);
    for index in 0..60u64 {
        let name = format!("org/m{index}");
        done(
            &mut large,
            ALICE,
            &ModelRegistry::publishIdCall::new((name, third)),
        );
        let call = ModelRegistry::setAliasCall::new(("org/a".into(), format!("alias-{index}"), U256::ONE));
        done(&mut large, ALICE, &call);
        done(
            &mut large,
            ALICE,
            &ModelRegistry::setLatestCall::new(("org/a".into(), U256::from(1 + index % 2))),
        );
    }
    done(&mut large, ALICE, &deprecate("org/a", 1, &longest));
    // Overwriting the longest reason clears its eight words; nothing else may differ.
    let slack = 8 * 5_000 + 2_000;
    for Change { call, may } in changes() {
        for (from, _) in ACCOUNTS.into_iter().zip(may).filter(|(_, may)| *may) {
            let [before, after] = [&small, &large].map(|world| inside(world, from, call.abi_encode()));
            assert!(after <= before + slack, "{call:?}: {before}, then {after}");
        }
    }
}

#[test]
fn gas_is_bounded_by_the_size_of_the_call() {
    let world = offered();
    for length in [1usize, 64, 1_000, 30_000, 100_000] {
        let text = "a".repeat(length);
        let slashed = format!("a/{text}");
        let manifest = uploaded().1[2];
        let (id, version) = (id(2), U256::ONE);
        let calls = [
            Calls::claim(SolCall::new((text.clone(),))),
            Calls::publish(publish(&slashed, manifest)),
            Calls::publishId(SolCall::new((slashed.clone(), id))),
            Calls::publishIdOnly(SolCall::new((text.clone(), id))),
            Calls::setLatest(SolCall::new((slashed.clone(), version))),
            Calls::setAlias(SolCall::new(("org/a".into(), text.clone(), version))),
            Calls::removeAlias(SolCall::new(("org/a".into(), text.clone()))),
            Calls::deprecate(deprecate("org/a", 1, &text)),
            Calls::revoke(revoke("org/a", 1, &text)),
            Calls::acceptModel(SolCall::new((text.clone(),))),
            Calls::acceptNamespace(SolCall::new((text.clone(),))),
            Calls::transferModel(SolCall::new((text.clone(), BOB))),
            Calls::statusOf(SolCall::new((text.clone(), version))),
        ];
        for call in calls {
            let data = call.abi_encode();
            // The dearest writes some thirty words and validates a model of a few hundred bytes; memory grows with the square of
            // its size, of which this much is a fraction of a gas for each byte; and a byte of call data costs 40 at least (EIP-7623).
            let bound = 900_000 + 30 * data.len() as u64;
            let used = inside(&world, ALICE, data);
            assert!(
                used <= bound,
                "{}… of {length}: {used}",
                &format!("{call:?}")[..30]
            );
        }
    }
}

// ---------------------------------------------------------------------- what the engine reads

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
