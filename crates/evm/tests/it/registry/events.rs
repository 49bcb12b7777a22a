//! Every change is an event.

use super::*;

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
