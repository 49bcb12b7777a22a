//! The kill switch.

use super::*;

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
