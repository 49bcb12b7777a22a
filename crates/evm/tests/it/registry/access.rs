//! Who may call what.

use super::*;

/// A call that writes, and who may make it on the chain of [`offered`].
pub(super) struct Change {
    pub(super) call: Calls,
    /// Alice, who owns namespace and model; Bob, to whom both are offered; Carol, a stranger.
    pub(super) may: [bool; 3],
}

/// [`published`], with namespace and model offered to Bob.
pub(super) fn offered() -> World {
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
    world.upload(&shift(MODELS));
    world
}

/// The manifest of a model that is on that chain, and that nobody had validated.
fn unvalidated() -> Address {
    World::genesis().upload(&shift(MODELS)).address()
}

/// The first model with another weight.
pub(super) fn patch() -> Patch {
    Patch {
        base_id: id(0),
        base: uploaded().1[0],
        chunks: vec![],
        edits: [&[0, 4][..], &9f32.to_le_bytes()].concat().into(),
    }
}

/// Every function of the registry that writes.
pub(super) fn changes() -> Vec<Change> {
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
        // a record without a name is nobody's
        of([true; 3], Calls::register(SolCall::new((unvalidated(),)))),
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
pub(super) fn questions() -> Vec<Calls> {
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
