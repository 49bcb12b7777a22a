//! The registry against a simple model of what it is for: any sequence of calls, by anybody, with restarts in between, is allowed or
//! refused as the model says, and leaves names, versions, states and predictions as the model says.

use super::{
    ACCOUNTS, ACTIVE, Calls, DEPRECATED, E, MODELS, R, REVOKED, ask, deprecate, error, id, revoke, tx,
    uploaded,
};
use crate::world::{Tx, World, pack, refusal, run, success, unpack};
use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{SolCall, SolError, SolInterface as _};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use synod_evm::{
    addresses::PREDICT,
    interface::{IPredict, ModelRegistry},
};

const ORGS: [&str; 2] = ["org", "lab"];
const NAMES: [&str; 3] = ["org/a", "org/b", "lab/a"];
const ALIASES: [&str; 2] = ["stable", "1.x"];

/// What somebody asks of the registry. Indices point into the arrays above; versions may be too large by one.
#[derive(Debug, Clone)]
enum Action {
    Claim(usize),
    OfferNamespace(usize, Option<usize>),
    AcceptNamespace(usize),
    Publish {
        name: usize,
        model: usize,
        latest: bool,
        by_id: bool,
    },
    SetLatest(usize, u64),
    SetAlias(usize, usize, u64),
    RemoveAlias(usize, usize),
    Deprecate(usize, u64, &'static str),
    Restore(usize, u64),
    Revoke(usize, u64, &'static str),
    OfferModel(usize, Option<usize>),
    AcceptModel(usize),
    /// The node stops and starts: what it had in memory is gone.
    Restart,
}

fn action() -> impl Strategy<Value = (usize, Action)> {
    use Action as A;
    let (org, name, alias, account) = (0..ORGS.len(), 0..NAMES.len(), 0..ALIASES.len(), 0..ACCOUNTS.len());
    let to = proptest::option::of(account.clone());
    let version = 0..5u64;
    let reason = prop_oneof![
        Just(""),
        Just("wrong"),
        Just("a reason that takes more than one word of storage")
    ];
    let action = prop_oneof![
        1 => org.clone().prop_map(A::Claim),
        1 => (org.clone(), to.clone()).prop_map(|(org, to)| A::OfferNamespace(org, to)),
        1 => org.prop_map(A::AcceptNamespace),
        6 => (name.clone(), 0..MODELS, any::<bool>(), any::<bool>()).prop_map(|(name, model, latest, by_id)| A::Publish {
            name, model, latest, by_id
        }),
        2 => (name.clone(), version.clone()).prop_map(|(name, version)| A::SetLatest(name, version)),
        3 => (name.clone(), alias.clone(), version.clone()).prop_map(|(name, alias, version)| A::SetAlias(name, alias, version)),
        1 => (name.clone(), alias).prop_map(|(name, alias)| A::RemoveAlias(name, alias)),
        2 => (name.clone(), version.clone(), reason.clone()).prop_map(|(name, version, reason)| A::Deprecate(name, version, reason)),
        1 => (name.clone(), version.clone()).prop_map(|(name, version)| A::Restore(name, version)),
        2 => (name.clone(), version, reason).prop_map(|(name, version, reason)| A::Revoke(name, version, reason)),
        2 => (name.clone(), to).prop_map(|(name, to)| A::OfferModel(name, to)),
        2 => name.prop_map(A::AcceptModel),
        1 => Just(A::Restart),
    ];
    // Mostly one account, so that much is allowed.
    (prop_oneof![3 => Just(0usize), 1 => account], action)
}

#[derive(Debug, Default, Clone)]
struct Simple {
    validated: BTreeSet<usize>,
    namespaces: BTreeMap<&'static str, Ownership>,
    models: BTreeMap<&'static str, SimpleModel>,
}

#[derive(Debug, Default, Clone)]
struct Ownership {
    owner: Address,
    pending: Address,
}

#[derive(Debug, Default, Clone)]
struct SimpleModel {
    ownership: Ownership,
    latest: u64,
    versions: Vec<SimpleVersion>,
    aliases: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone)]
struct SimpleVersion {
    model: usize,
    publisher: Address,
    status: u32,
    reason: &'static str,
}

impl Simple {
    /// The model of a name, if it is the sender's.
    fn owned(&mut self, from: Address, name: &'static str) -> Result<&mut SimpleModel, R> {
        let unknown = R::UnknownModel(SolError::new((name.into(),)));
        let model = self.models.get_mut(name).ok_or(unknown)?;
        let owner = model.ownership.owner;
        let error = ModelRegistry::NotModelOwner::new((name.into(), owner));
        if owner == from {
            Ok(model)
        } else {
            Err(R::NotModelOwner(error))
        }
    }

    /// What the action does, or why nothing.
    fn act(&mut self, from: Address, action: &Action) -> Result<(), R> {
        match *action {
            Action::Claim(org) => {
                let org = ORGS[org];
                if let Some(Ownership { owner, .. }) = self.namespaces.get(org) {
                    let (org, owner) = (org.into(), *owner);
                    return Err(R::NamespaceTaken(SolError::new((org, owner))));
                }
                self.namespaces.insert(
                    org,
                    Ownership {
                        owner: from,
                        ..Default::default()
                    },
                );
            }
            Action::OfferNamespace(org, to) => {
                let org = ORGS[org];
                let owner = self
                    .namespaces
                    .get(org)
                    .map_or(Address::ZERO, |space| space.owner);
                let error = ModelRegistry::NotNamespaceOwner::new((org.into(), owner));
                let space = self.namespaces.get_mut(org).filter(|_| owner == from);
                space.ok_or(R::NotNamespaceOwner(error))?.pending = account(to);
            }
            Action::AcceptNamespace(org) => {
                let space = self.namespaces.entry(ORGS[org]).or_default().clone();
                let result = space.accept(from, ORGS[org]);
                if space.owner.is_zero() {
                    self.namespaces.remove(ORGS[org]);
                }
                self.namespaces.insert(ORGS[org], result?);
            }
            Action::Publish {
                name,
                model,
                latest,
                by_id,
            } => {
                return self.publish(from, NAMES[name], model, latest, by_id);
            }
            Action::SetLatest(name, version) => {
                let model = self.owned(from, NAMES[name])?;
                model.standing(NAMES[name], version)?;
                model.latest = version;
            }
            Action::SetAlias(name, alias, version) => {
                let model = self.owned(from, NAMES[name])?;
                model.standing(NAMES[name], version)?;
                model.aliases.insert(ALIASES[alias], version);
            }
            Action::RemoveAlias(name, alias) => {
                let removed = self.owned(from, NAMES[name])?.aliases.remove(ALIASES[alias]);
                let (name, alias) = (NAMES[name].into(), ALIASES[alias].into());
                let error = ModelRegistry::UnknownAlias::new((name, alias));
                removed.ok_or(R::UnknownAlias(error))?;
            }
            Action::Deprecate(name, version, reason) => {
                self.set_status(from, NAMES[name], version, DEPRECATED, reason)?;
            }
            Action::Restore(name, version) => {
                let found = self.owned(from, NAMES[name])?.standing(NAMES[name], version)?;
                let name = NAMES[name].into();
                if found.status != DEPRECATED {
                    return Err(R::NotDeprecated(SolError::new((name, version))));
                }
                (found.status, found.reason) = (ACTIVE, "");
            }
            Action::Revoke(name, version, reason) => {
                self.set_status(from, NAMES[name], version, REVOKED, reason)?;
            }
            Action::OfferModel(name, to) => {
                self.owned(from, NAMES[name])?.ownership.pending = account(to);
            }
            Action::AcceptModel(name) => {
                let model = self.models.get_mut(NAMES[name]);
                let mut nobody = SimpleModel::default();
                let model = model.unwrap_or(&mut nobody);
                model.ownership = model.ownership.accept(from, NAMES[name])?;
            }
            Action::Restart => {}
        }
        Ok(())
    }

    fn publish(
        &mut self,
        from: Address,
        name: &'static str,
        model: usize,
        latest: bool,
        by_id: bool,
    ) -> Result<(), R> {
        if by_id && !self.validated.contains(&model) {
            return Err(R::UnknownModelId(SolError::new((id(model),))));
        }
        if let Some(known) = self.models.get(name) {
            let owner = known.ownership.owner;
            if owner != from {
                let name = name.into();
                return Err(R::NotModelOwner(SolError::new((name, owner))));
            }
            if let Some(index) = known.versions.iter().position(|version| version.model == model) {
                let (name, version) = (name.into(), index as u64 + 1);
                return Err(R::AlreadyPublished(SolError::new((name, version))));
            }
        } else {
            let org = ORGS.into_iter().find(|org| name.starts_with(org)).unwrap();
            let space = self.namespaces.entry(org).or_insert(Ownership {
                owner: from,
                pending: Address::ZERO,
            });
            if space.owner != from {
                let (org, owner) = (org.into(), space.owner);
                return Err(R::NotNamespaceOwner(SolError::new((org, owner))));
            }
        }
        self.validated.insert(model);
        let entry = self.models.entry(name).or_default();
        entry.ownership.owner = from;
        entry.versions.push(SimpleVersion {
            model,
            publisher: from,
            status: ACTIVE,
            reason: "",
        });
        if latest {
            entry.latest = entry.versions.len() as u64;
        }
        Ok(())
    }

    fn set_status(
        &mut self,
        from: Address,
        name: &'static str,
        version: u64,
        status: u32,
        reason: &'static str,
    ) -> Result<(), R> {
        let found = self.owned(from, name)?.standing(name, version)?;
        if reason.is_empty() {
            return Err(R::InvalidReason(SolError::new((U256::ZERO,))));
        }
        (found.status, found.reason) = (status, reason);
        Ok(())
    }
}

fn account(index: Option<usize>) -> Address {
    index.map_or(Address::ZERO, |index| ACCOUNTS[index])
}

impl Ownership {
    fn accept(&self, from: Address, name: &str) -> Result<Self, R> {
        let error = ModelRegistry::NotPendingOwner::new((name.into(), self.pending));
        let accepted = Self {
            owner: from,
            pending: Address::ZERO,
        };
        (self.pending == from)
            .then_some(accepted)
            .ok_or(R::NotPendingOwner(error))
    }
}

impl SimpleModel {
    /// A version that exists and is not revoked.
    fn standing(&mut self, name: &str, version: u64) -> Result<&mut SimpleVersion, R> {
        let unknown = ModelRegistry::UnknownVersion::new((name.into(), U256::from(version)));
        let index = (version as usize).checked_sub(1);
        let found = index
            .and_then(|index| self.versions.get_mut(index))
            .ok_or(R::UnknownVersion(unknown))?;
        if found.status == REVOKED {
            return Err(R::VersionRevoked(SolError::new((name.into(), version))));
        }
        Ok(found)
    }
}

/// The call that an action is.
fn call_of(action: &Action, manifests: &[Address]) -> Option<Calls> {
    let name = |index: usize| NAMES[index].to_owned();
    let org = |index: usize| ORGS[index].to_owned();
    let alias = |index: usize| ALIASES[index].to_owned();
    let number = |version: u64| U256::from(version);
    Some(match *action {
        Action::Claim(index) => Calls::claim(SolCall::new((org(index),))),
        Action::OfferNamespace(index, to) => {
            Calls::transferNamespace(SolCall::new((org(index), account(to))))
        }
        Action::AcceptNamespace(index) => Calls::acceptNamespace(SolCall::new((org(index),))),
        Action::Publish {
            name: index,
            model,
            latest,
            by_id,
        } => {
            let (name, manifest, id) = (name(index), manifests[model], id(model));
            match (by_id, latest) {
                (false, true) => Calls::publish(SolCall::new((name, manifest))),
                (false, false) => Calls::publishOnly(SolCall::new((name, manifest))),
                (true, true) => Calls::publishId(SolCall::new((name, id))),
                (true, false) => Calls::publishIdOnly(SolCall::new((name, id))),
            }
        }
        Action::SetLatest(index, version) => Calls::setLatest(SolCall::new((name(index), number(version)))),
        Action::SetAlias(index, aliased, version) => {
            Calls::setAlias(SolCall::new((name(index), alias(aliased), number(version))))
        }
        Action::RemoveAlias(index, aliased) => {
            Calls::removeAlias(SolCall::new((name(index), alias(aliased))))
        }
        Action::Deprecate(index, version, reason) => {
            Calls::deprecate(deprecate(NAMES[index], version, reason))
        }
        Action::Restore(index, version) => Calls::restore(SolCall::new((name(index), number(version)))),
        Action::Revoke(index, version, reason) => Calls::revoke(revoke(NAMES[index], version, reason)),
        Action::OfferModel(index, to) => Calls::transferModel(SolCall::new((name(index), account(to)))),
        Action::AcceptModel(index) => Calls::acceptModel(SolCall::new((name(index),))),
        Action::Restart => return None,
    })
}

/// Everything that the chain says is what the simple model says.
fn assert_agrees(world: &World, simple: &Simple) {
    for org in ORGS {
        let expected = simple.namespaces.get(org).cloned().unwrap_or_default();
        let org = org.to_owned();
        let owner = ask(world, &ModelRegistry::namespaceOwnerCall::new((org.clone(),)));
        let pending = ask(world, &ModelRegistry::pendingNamespaceOwnerCall::new((org,)));
        assert_eq!((owner, pending), (expected.owner, expected.pending));
    }
    let (offset, limit) = (U256::ZERO, U256::from(100));
    let listed = ask(world, &ModelRegistry::modelsCall::new((offset, limit)));
    assert_eq!(listed.len(), simple.models.len());
    assert_eq!(
        ask(world, &ModelRegistry::modelCountCall {}),
        U256::from(listed.len())
    );
    for line in listed {
        let model = &simple.models[line.name.as_str()];
        let latest = (model.latest as usize)
            .checked_sub(1)
            .map(|index| &model.versions[index]);
        assert_eq!(
            (line.owner, line.latest, line.count),
            (model.ownership.owner, model.latest, model.versions.len() as u64)
        );
        assert_eq!(line.id, latest.map_or(B256::ZERO, |version| id(version.model)));
        assert_eq!(line.status, latest.map_or(ACTIVE, |version| version.status));
    }
    for name in NAMES {
        let model = simple.models.get(name).cloned().unwrap_or_default();
        assert_name_agrees(world, name, &model);
    }
    for index in 0..MODELS {
        assert_id_agrees(world, simple, index);
    }
}

fn assert_name_agrees(world: &World, path: &str, model: &SimpleModel) {
    let name = || path.to_owned();
    let (offset, limit) = (U256::ZERO, U256::from(100));
    assert_eq!(
        ask(world, &ModelRegistry::versionOfCall::new((name(),))),
        U256::from(model.latest)
    );
    assert_eq!(
        ask(world, &ModelRegistry::countOfCall::new((name(),))),
        U256::from(model.versions.len())
    );
    assert_eq!(
        ask(world, &ModelRegistry::modelOwnerCall::new((name(),))),
        model.ownership.owner
    );
    assert_eq!(
        ask(world, &ModelRegistry::pendingModelOwnerCall::new((name(),))),
        model.ownership.pending
    );
    let pointers = ask(world, &ModelRegistry::aliasesCall::new((name(), offset, limit)));
    let pointers: BTreeMap<_, _> = pointers
        .iter()
        .filter(|pointer| pointer.version != 0)
        .map(|pointer| (pointer.aliasName.as_str(), pointer.version))
        .collect();
    assert_eq!(pointers, model.aliases);

    let versions = ask(world, &ModelRegistry::versionsCall::new((name(), offset, limit)));
    assert_eq!(versions.len(), model.versions.len());
    for (index, (found, expected)) in versions.iter().zip(&model.versions).enumerate() {
        let version = U256::from(index + 1);
        let expected_id = id(expected.model);
        assert_eq!(
            (found.id, found.publisher, found.status, found.reason.as_str()),
            (expected_id, expected.publisher, expected.status, expected.reason)
        );
        assert_eq!(
            *found,
            ask(world, &ModelRegistry::versionAtCall::new((name(), version)))
        );
        let state = ask(world, &ModelRegistry::statusOfCall::new((name(), version)));
        assert_eq!(
            (state.status, state.reason.as_str()),
            (expected.status, expected.reason)
        );
        assert_eq!(
            ask(world, &ModelRegistry::versionOfIdCall::new((name(), expected_id))),
            version
        );
        assert_leads(world, &format!("{path}@{version}"), model, version.to());
    }
    assert_leads(world, path, model, model.latest);
    assert_leads(world, &format!("{path}@latest"), model, model.latest);
    assert_leads(world, &format!("{path}@{}", model.versions.len() + 1), model, 0);
    for alias in ALIASES {
        let version = model.aliases.get(alias).copied().unwrap_or_default();
        let call = ModelRegistry::aliasOfCall::new((name(), alias.into()));
        assert_eq!(ask(world, &call), U256::from(version));
        assert_leads(world, &format!("{path}@{alias}"), model, version);
    }
    for index in 0..MODELS {
        let position = model.versions.iter().position(|version| version.model == index);
        let version = position.map_or(0, |position| position as u64 + 1);
        let digits = alloy_primitives::hex::encode(id(index));
        assert_leads(world, &format!("{path}@sha256:{digits}"), model, version);
    }
}

/// A name leads to a version: predictions are that version's, bit for bit, or refused for the right reason.
fn assert_leads(world: &World, name: &str, model: &SimpleModel, version: u64) {
    let outcome = world
        .look(&Tx::call(PREDICT, run(name, &[10.0]).abi_encode()))
        .result;
    let expected = (version as usize)
        .checked_sub(1)
        .and_then(|index| model.versions.get(index));
    let (name, resolve) = (name.to_owned(), IPredict::resolveCall::new((name.to_owned(),)));
    match expected {
        None => {
            let error = E::UnknownModel(SolError::new((name,)));
            assert_eq!(refusal(&outcome), error);
            assert_eq!(world.refusal(&resolve), error);
        }
        Some(found) if found.status == REVOKED => {
            let error = E::ModelRevoked(SolError::new((name, version)));
            assert_eq!(refusal(&outcome), error);
            assert_eq!(world.refusal(&resolve), error);
        }
        Some(found) => {
            let answer = IPredict::runCall::abi_decode_returns(&success(&outcome)).unwrap();
            assert_eq!(unpack(&answer), [11.0 + found.model as f32], "{name}");
            assert_eq!(world.predict(&resolve), id(found.model), "{name}");
        }
    }
}

/// An id runs whatever was revoked, and its sums are right.
fn assert_id_agrees(world: &World, simple: &Simple, index: usize) {
    let id = id(index);
    let all = simple.models.values().flat_map(|model| &model.versions);
    let of = |status: Option<u32>| {
        let count = all
            .clone()
            .filter(|version| version.model == index && status.is_none_or(|status| version.status == status));
        U256::from(count.count())
    };
    let sums = ask(world, &ModelRegistry::statusOfIdCall::new((id,)));
    assert_eq!(
        (sums.publications, sums.deprecated, sums.revoked),
        (of(None), of(Some(DEPRECATED)), of(Some(REVOKED)))
    );
    let call = IPredict::runIdCall::new((id, pack(&[10.0]).into()));
    if simple.validated.contains(&index) {
        assert_eq!(unpack(&world.predict(&call)), [11.0 + index as f32]);
    } else {
        assert!(matches!(world.refusal(&call), E::UnknownModelId(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn names_versions_and_bytes_are_as_a_simple_model_says(actions in proptest::collection::vec(action(), 1..40)) {
        let (mut world, manifests) = uploaded();
        let mut simple = Simple::default();
        for (from, action) in actions {
            let from = ACCOUNTS[from];
            let Some(call) = call_of(&action, &manifests) else {
                world = world.cold();
                assert_agrees(&world, &simple);
                continue;
            };
            let before = simple.clone();
            let expected = simple.act(from, &action);
            let outcome = world.send(&tx(from, call.abi_encode()));
            match expected {
                Ok(()) => {
                    prop_assert!(outcome.is_success(), "{action:?}: {outcome:?}");
                    prop_assert!(!outcome.logs().is_empty(), "{action:?} without an event");
                }
                Err(expected) => {
                    prop_assert_eq!(error(&outcome), expected, "{:?}", action);
                    simple = before;
                }
            }
        }
        assert_agrees(&world, &simple);
        assert_agrees(&world.cold(), &simple);
    }
}
