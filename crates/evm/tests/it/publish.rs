//! Publishing: the registry's rules, and everything that is not a model.

use crate::onnx::{Dim, F32, Graph};
use crate::world::{
    ALICE, BOB, Outcome, Prober, Tx, World, dense, dense_output, deployments, import, pack, publish_call,
    refusal, refusal_data, run, success, unpack,
};
use IPredict::IPredictErrors as E;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolEvent, SolInterface};
use synod_evm::{
    addresses::{CHUNK_FACTORY, MODEL_REGISTRY},
    interface::{
        IPredict,
        ModelRegistry::{self, ModelRegistryErrors as R},
    },
    manifest::{Manifest, address_of, chunk_code},
    name::ModelName,
};
use synod_model::CanonicalModel;

const X: [f32; 3] = [1.0, -2.0, 0.5];

/// `y = x + b`: models that differ by a weight.
fn shift(b: f32) -> CanonicalModel {
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1)])
        .weights("b", &[1], &[b])
        .node("Add", &["x", "b"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    import(&graph.file(), &[])
}

fn registry_error(outcome: &Outcome) -> R {
    let output = outcome.output().unwrap_or_else(|| panic!("{outcome:?}"));
    assert!(!outcome.is_success());
    R::abi_decode(output).unwrap_or_else(|_| panic!("not an error of the registry: {output}"))
}

fn send_as(world: &mut World, from: Address, call: Vec<u8>) -> Outcome {
    world.send(&Tx {
        from,
        ..Tx::call(MODEL_REGISTRY, call)
    })
}

#[test]
fn versions_are_numbered_and_stay() {
    let mut world = World::genesis();
    let first = world.publish("org/shift", &shift(1.0));
    let second = world.publish("org/shift", &shift(2.0));
    assert_ne!(first, second);
    for (name, sum) in [("org/shift", 12.0), ("org/shift@2", 12.0), ("org/shift@1", 11.0)] {
        assert_eq!(unpack(&world.predict(&run(name, &[10.0]))), [sum], "{name}");
    }
    // Back to the first model.
    let call = ModelRegistry::setLatestCall {
        name: "org/shift".into(),
        version: U256::ONE,
    };
    success(&send_as(&mut world, ALICE, call.abi_encode()));
    assert_eq!(unpack(&world.predict(&run("org/shift", &[10.0]))), [11.0]);
    assert_eq!(unpack(&world.predict(&run("org/shift@2", &[10.0]))), [12.0]);
    // An id that is validated gets another name at the price of no validation.
    let call = ModelRegistry::publishIdCall {
        name: "org/other".into(),
        id: first,
    };
    assert_eq!(
        ModelRegistry::publishIdCall::abi_decode_returns(&success(&send_as(
            &mut world,
            ALICE,
            call.abi_encode()
        ))),
        Ok(U256::ONE)
    );
    let version = world.ask(
        MODEL_REGISTRY,
        &ModelRegistry::versionAtCall {
            name: "org/shift".into(),
            version: U256::from(2),
        },
    );
    assert_eq!((version.id, version.publisher), (second, ALICE));
    assert_eq!(
        world.ask(
            MODEL_REGISTRY,
            &ModelRegistry::resolveCall {
                name: "org/shift@2".into()
            }
        ),
        second
    );
}

#[test]
fn the_same_model_again_is_refused_and_says_so() {
    let mut world = World::genesis();
    world.publish("org/shift", &shift(1.0));
    let manifest = deployments(&shift(1.0)).0.address();
    let error = registry_error(&send_as(&mut world, ALICE, publish_call("org/shift", manifest)));
    assert!(matches!(error, R::AlreadyPublished(error) if error.version == 1));
}

#[test]
fn namespaces_belong_to_the_first_who_claims_them() {
    let mut world = World::genesis();
    world.publish("org/shift", &shift(1.0));
    let manifest = world.upload(&shift(2.0)).address();
    for name in ["org/shift", "org/other"] {
        let error = registry_error(&send_as(&mut world, BOB, publish_call(name, manifest)));
        assert!(
            matches!(error, R::NotModelOwner(_) | R::NotNamespaceOwner(_)),
            "{name}: {error:?}"
        );
    }
    let claim = ModelRegistry::claimCall { org: "org".into() }.abi_encode();
    let error = registry_error(&send_as(&mut world, BOB, claim));
    assert!(matches!(error, R::NamespaceTaken(error) if error.owner == ALICE));

    // A hand-over takes both.
    let transfer = ModelRegistry::transferNamespaceCall {
        org: "org".into(),
        to: BOB,
    }
    .abi_encode();
    let accept = ModelRegistry::acceptNamespaceCall { org: "org".into() }.abi_encode();
    assert!(matches!(
        registry_error(&send_as(&mut world, BOB, transfer.clone())),
        R::NotNamespaceOwner(_)
    ));
    assert!(matches!(
        registry_error(&send_as(&mut world, BOB, accept.clone())),
        R::NotPendingOwner(_)
    ));
    success(&send_as(&mut world, ALICE, transfer));
    success(&send_as(&mut world, BOB, accept));
    assert_eq!(
        world.ask(
            MODEL_REGISTRY,
            &ModelRegistry::namespaceOwnerCall { org: "org".into() }
        ),
        BOB
    );
    success(&send_as(&mut world, BOB, publish_call("org/other", manifest)));
    // The old model is still Alice's, until she hands it over.
    assert!(matches!(
        registry_error(&send_as(&mut world, BOB, publish_call("org/shift", manifest))),
        R::NotModelOwner(_)
    ));
    let transfer = ModelRegistry::transferModelCall {
        name: "org/shift".into(),
        to: BOB,
    }
    .abi_encode();
    let accept = ModelRegistry::acceptModelCall {
        name: "org/shift".into(),
    }
    .abi_encode();
    success(&send_as(&mut world, ALICE, transfer));
    success(&send_as(&mut world, BOB, accept));
    success(&send_as(&mut world, BOB, publish_call("org/shift", manifest)));
    assert_eq!(
        world.ask(
            MODEL_REGISTRY,
            &ModelRegistry::modelOwnerCall {
                name: "org/shift".into()
            }
        ),
        BOB
    );
}

#[test]
fn names_are_checked_alike_by_registry_and_engine() {
    let mut world = World::genesis();
    let manifest = world.upload(&shift(1.0)).address();
    let long = format!("{}/b", "a".repeat(65));
    let longest = format!("{}/{}", "a".repeat(64), "b".repeat(64));
    let names = [
        "",
        "a",
        "a/",
        "/b",
        "a/b/c",
        "A/b",
        "a/B",
        "-a/b",
        "a/.b",
        "a/b@1",
        "a/b@latest",
        "a/b@stable",
        "ä/b",
        "a b/c",
        &long,
        "a/b",
        "0/x-y_z.1",
        &longest,
    ];
    for name in names {
        let valid = name.parse::<ModelName>().is_ok_and(|name| name.is_bare());
        let outcome = send_as(&mut world.clone(), ALICE, publish_call(name, manifest));
        assert_eq!(outcome.is_success(), valid, "{name:?}");
        if !valid {
            assert!(matches!(registry_error(&outcome), R::InvalidName(_)), "{name:?}");
        }
    }
}

#[test]
fn changes_are_told_by_events_and_listed() {
    let mut world = World::genesis();
    let manifest = world.upload(&shift(1.0)).address();
    let outcome = send_as(&mut world, ALICE, publish_call("org/shift", manifest));
    let topics: Vec<B256> = outcome.logs().iter().map(|log| log.topics()[0]).collect();
    assert_eq!(
        topics,
        [
            ModelRegistry::ModelValidated::SIGNATURE_HASH,
            ModelRegistry::NamespaceClaimed::SIGNATURE_HASH,
            ModelRegistry::ModelCreated::SIGNATURE_HASH,
            ModelRegistry::ModelPublished::SIGNATURE_HASH,
            ModelRegistry::LatestChanged::SIGNATURE_HASH,
        ]
    );
    let id = B256::from(shift(1.0).id().0);
    let published = ModelRegistry::ModelPublished::decode_log(&outcome.logs()[3]).unwrap();
    assert_eq!(
        (
            published.id,
            published.version,
            published.name.as_str(),
            published.publisher
        ),
        (id, 1, "org/shift", ALICE)
    );

    world.publish("org/another", &shift(2.0));
    assert_eq!(
        world.ask(MODEL_REGISTRY, &ModelRegistry::modelCountCall {}),
        U256::from(2)
    );
    let page = |offset: u64, limit: u64| {
        let call = ModelRegistry::modelsCall {
            offset: U256::from(offset),
            limit: U256::from(limit),
        };
        world
            .ask(MODEL_REGISTRY, &call)
            .into_iter()
            .map(|line| line.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(0, 10), ["org/shift", "org/another"]);
    assert_eq!(page(1, 1), ["org/another"]);
    assert!(page(2, 10).is_empty() && page(u64::MAX, u64::MAX).is_empty());
    let record = world.ask(MODEL_REGISTRY, &ModelRegistry::modelOfCall { id });
    assert_eq!(
        (record.manifest, record.graphBytes, record.chunks),
        (manifest, shift(1.0).graph.len() as u64, 2)
    );
}

#[test]
fn published_and_asked_in_one_transaction() {
    let mut world = World::genesis();
    let prober = world.deploy_prober();
    let (manifest, deployments) = deployments(&dense());
    let call = Prober::publishAndRunCall {
        name: "org/dense".into(),
        deployments,
        manifest: manifest.address(),
        input: pack(&X).into(),
    };
    let outcome = world.send(&Tx::call(prober, call.abi_encode()));
    let answer = Prober::publishAndRunCall::abi_decode_returns(&success(&outcome)).unwrap();
    assert_eq!(unpack(&answer), dense_output(X));
    assert_eq!(
        unpack(&world.cold().predict(&run("org/dense", &X))),
        dense_output(X)
    );
}

#[test]
fn a_reverted_publish_leaves_no_model_even_in_memory() {
    let mut world = World::genesis();
    let prober = world.deploy_prober();
    let (manifest, deployments) = deployments(&dense());
    let call = Prober::revertedPublishCall {
        name: "org/dense".into(),
        deployments,
        manifest: manifest.address(),
        input: pack(&X).into(),
    };
    // The second time the compiled model is in this node's memory.
    let first = world.look(&Tx::call(prober, call.abi_encode()));
    assert_eq!(world.factory.engine().usage().models, 1);
    let second = world.look(&Tx::call(prober, call.abi_encode()));
    for outcome in [&first, &second] {
        let answer = Prober::revertedPublishCall::abi_decode_returns(&success(&outcome.result)).unwrap();
        assert!(!answer.success);
        assert!(matches!(refusal_data(&answer.answer), E::UnknownModel(_)));
    }
    assert_eq!(first.result, second.result);
    assert_eq!(first.state, second.state);
    let id = B256::from(dense().id().0);
    let by_id = IPredict::runIdCall {
        id,
        input: pack(&X).into(),
    };
    assert!(matches!(world.refusal(&by_id), E::UnknownModelId(_)));
}

// ---------------------------------------------------------------------- what is not a model

fn validate(world: &World, manifest: Address) -> E {
    world.refusal(&IPredict::validateCall { manifest })
}

#[test]
fn manifests_that_are_none() {
    let mut world = World::genesis();
    let error = |manifest| E::InvalidManifest(IPredict::InvalidManifest { manifest });
    for address in [Address::ZERO, ALICE, CHUNK_FACTORY, MODEL_REGISTRY] {
        assert_eq!(validate(&world, address), error(address));
    }
    for code in [
        &b"\0"[..],
        b"\0SYNOD",
        b"\0SYNOD\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\0SYNOD\x01\0",
    ] {
        let address = world.place(&Bytes::from(code.to_vec()));
        assert_eq!(validate(&world, address), error(address), "{code:02x?}");
    }
    // A good manifest at an address that does not follow from it.
    let good = world.upload(&dense());
    let code = good.encode();
    let mut init = synod_evm::manifest::init_code(&code).to_vec();
    let elsewhere = world.deploy(init.clone());
    assert_eq!(validate(&world, elsewhere), error(elsewhere));
    init.push(0);
    let longer = world.deploy(init);
    assert_eq!(validate(&world, longer), error(longer));
}

#[test]
fn chunks_that_are_missing_foreign_or_empty() {
    let mut world = World::genesis();
    let model = dense();
    let good = world.upload(&model);
    let missing = address_of(&chunk_code(b"nobody deployed this"));
    let foreign = world.deploy(synod_evm::manifest::init_code(&chunk_code(&model.graph)).to_vec());
    let empty = world.place(&Bytes::from_static(b"\0"));
    for chunk in [missing, foreign, empty, Address::ZERO, ALICE] {
        let manifest = Manifest {
            graph: vec![chunk],
            ..good.clone()
        };
        let address = world.place(&manifest.encode());
        assert_eq!(
            validate(&world, address),
            E::InvalidChunk(IPredict::InvalidChunk { chunk })
        );
    }
}

#[test]
fn lengths_that_do_not_add_up() {
    let mut world = World::genesis();
    let good = world.upload(&dense());
    for graph_bytes in [good.graph_bytes - 1, good.graph_bytes + 1] {
        let manifest = Manifest {
            graph_bytes,
            ..good.clone()
        };
        let address = world.place(&manifest.encode());
        let error = IPredict::WrongModelLength {
            expected: graph_bytes,
            got: good.graph_bytes,
        };
        assert_eq!(validate(&world, address), E::WrongModelLength(error));
    }
    // A manifest that announces more than anybody could pay for is out of gas before anything is read or reserved.
    let manifest = Manifest {
        weight_bytes: u64::MAX,
        ..good
    };
    let address = world.place(&manifest.encode());
    let outcome = world.look(&Tx::call(
        synod_evm::addresses::PREDICT,
        IPredict::validateCall { manifest: address }.abi_encode(),
    ));
    assert!(
        !outcome.result.is_success() && outcome.result.output().is_none(),
        "{:?}",
        outcome.result
    );
}

#[test]
fn bytes_that_are_no_model() {
    let mut world = World::genesis();
    let good = dense();
    let mut flipped = good.graph.to_vec();
    flipped[good.graph.len() / 2] ^= 0x55;
    let models = [
        CanonicalModel {
            graph: Bytes::from_static(b"not a graph").into(),
            weights: Default::default(),
        },
        CanonicalModel {
            graph: good.graph.slice(..good.graph.len() - 1),
            weights: good.weights.clone(),
        },
        CanonicalModel {
            graph: good.graph.clone(),
            weights: good.weights.slice(..good.weights.len() - 1),
        },
        CanonicalModel {
            graph: flipped.into(),
            weights: good.weights.clone(),
        },
        CanonicalModel {
            graph: good.weights.clone(),
            weights: good.graph.clone(),
        },
    ];
    for (index, model) in models.iter().enumerate() {
        let manifest = world.upload(model).address();
        assert_eq!(
            validate(&world, manifest),
            E::InvalidModel(IPredict::InvalidModel {}),
            "model {index}"
        );
        // The registry passes the refusal on.
        let outcome = world.look(&Tx::call(MODEL_REGISTRY, publish_call("org/bad", manifest)));
        assert!(
            matches!(refusal(&outcome.result), E::InvalidModel(_)),
            "model {index}"
        );
    }
}
