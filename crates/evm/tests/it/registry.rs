//! Names and versions: the registry against a simple model of it, who may call what, what a call may cost, and the storage that the
//! engine reads.

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
use alloy_primitives::{Address, B256, U256, address, keccak256};
use alloy_sol_types::{SolCall, SolEvent, SolInterface};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    gas,
    interface::{IPredict, ModelRegistry},
    name::ModelName,
    registry,
};
use synod_model::CanonicalModel;

const CAROL: Address = address!("0x000000000000000000000000000000000000ca01");
const ACCOUNTS: [Address; 3] = [ALICE, BOB, CAROL];
const ORGS: [&str; 2] = ["org", "lab"];
const NAMES: [&str; 3] = ["org/a", "org/b", "lab/a"];
const ALIASES: [&str; 2] = ["stable", "1.x"];
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
            let call = ModelRegistry::setAliasCall {
                name: name(),
                aliasName: "stable".into(),
                version: U256::ONE,
            };
            done(&mut world, ALICE, &call);
            done(&mut world, ALICE, &deprecate("org/a", 2, "drifts"));
            world
        })
        .clone()
}

fn publish(name: &str, manifest: Address) -> ModelRegistry::publishCall {
    ModelRegistry::publishCall {
        name: name.into(),
        manifest,
    }
}

fn deprecate(name: &str, version: u64, reason: &str) -> ModelRegistry::deprecateCall {
    ModelRegistry::deprecateCall {
        name: name.into(),
        version: U256::from(version),
        reason: reason.into(),
    }
}

fn revoke(name: &str, version: u64, reason: &str) -> ModelRegistry::revokeCall {
    ModelRegistry::revokeCall {
        name: name.into(),
        version: U256::from(version),
        reason: reason.into(),
    }
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

// ---------------------------------------------------------------------- against a simple model

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
        let unknown = R::UnknownModel(ModelRegistry::UnknownModel { name: name.into() });
        let model = self.models.get_mut(name).ok_or(unknown)?;
        let owner = model.ownership.owner;
        let error = ModelRegistry::NotModelOwner {
            name: name.into(),
            owner,
        };
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
                    return Err(R::NamespaceTaken(ModelRegistry::NamespaceTaken { org, owner }));
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
                let error = ModelRegistry::NotNamespaceOwner {
                    org: org.into(),
                    owner,
                };
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
                let error = ModelRegistry::UnknownAlias {
                    name,
                    aliasName: alias,
                };
                removed.ok_or(R::UnknownAlias(error))?;
            }
            Action::Deprecate(name, version, reason) => {
                self.set_status(from, NAMES[name], version, DEPRECATED, reason)?;
            }
            Action::Restore(name, version) => {
                let found = self.owned(from, NAMES[name])?.standing(NAMES[name], version)?;
                let name = NAMES[name].into();
                if found.status != DEPRECATED {
                    return Err(R::NotDeprecated(ModelRegistry::NotDeprecated { name, version }));
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
            return Err(R::UnknownModelId(ModelRegistry::UnknownModelId { id: id(model) }));
        }
        if let Some(known) = self.models.get(name) {
            let owner = known.ownership.owner;
            if owner != from {
                let name = name.into();
                return Err(R::NotModelOwner(ModelRegistry::NotModelOwner { name, owner }));
            }
            if let Some(index) = known.versions.iter().position(|version| version.model == model) {
                let (name, version) = (name.into(), index as u64 + 1);
                return Err(R::AlreadyPublished(ModelRegistry::AlreadyPublished {
                    name,
                    version,
                }));
            }
        } else {
            let org = ORGS.into_iter().find(|org| name.starts_with(org)).unwrap();
            let space = self.namespaces.entry(org).or_insert(Ownership {
                owner: from,
                pending: Address::ZERO,
            });
            if space.owner != from {
                let (org, owner) = (org.into(), space.owner);
                return Err(R::NotNamespaceOwner(ModelRegistry::NotNamespaceOwner {
                    org,
                    owner,
                }));
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
            return Err(R::InvalidReason(ModelRegistry::InvalidReason {
                length: U256::ZERO,
            }));
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
        let error = ModelRegistry::NotPendingOwner {
            name: name.into(),
            pendingOwner: self.pending,
        };
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
        let unknown = ModelRegistry::UnknownVersion {
            name: name.into(),
            version: U256::from(version),
        };
        let index = (version as usize).checked_sub(1);
        let found = index
            .and_then(|index| self.versions.get_mut(index))
            .ok_or(R::UnknownVersion(unknown))?;
        if found.status == REVOKED {
            return Err(R::VersionRevoked(ModelRegistry::VersionRevoked {
                name: name.into(),
                version,
            }));
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
        Action::Claim(index) => Calls::claim(ModelRegistry::claimCall { org: org(index) }),
        Action::OfferNamespace(index, to) => Calls::transferNamespace(ModelRegistry::transferNamespaceCall {
            org: org(index),
            to: account(to),
        }),
        Action::AcceptNamespace(index) => {
            Calls::acceptNamespace(ModelRegistry::acceptNamespaceCall { org: org(index) })
        }
        Action::Publish {
            name: index,
            model,
            latest,
            by_id,
        } => {
            let (name, manifest, id) = (name(index), manifests[model], id(model));
            match (by_id, latest) {
                (false, true) => Calls::publish(ModelRegistry::publishCall { name, manifest }),
                (false, false) => Calls::publishOnly(ModelRegistry::publishOnlyCall { name, manifest }),
                (true, true) => Calls::publishId(ModelRegistry::publishIdCall { name, id }),
                (true, false) => Calls::publishIdOnly(ModelRegistry::publishIdOnlyCall { name, id }),
            }
        }
        Action::SetLatest(index, version) => Calls::setLatest(ModelRegistry::setLatestCall {
            name: name(index),
            version: number(version),
        }),
        Action::SetAlias(index, aliased, version) => Calls::setAlias(ModelRegistry::setAliasCall {
            name: name(index),
            aliasName: alias(aliased),
            version: number(version),
        }),
        Action::RemoveAlias(index, aliased) => Calls::removeAlias(ModelRegistry::removeAliasCall {
            name: name(index),
            aliasName: alias(aliased),
        }),
        Action::Deprecate(index, version, reason) => {
            Calls::deprecate(deprecate(NAMES[index], version, reason))
        }
        Action::Restore(index, version) => Calls::restore(ModelRegistry::restoreCall {
            name: name(index),
            version: number(version),
        }),
        Action::Revoke(index, version, reason) => Calls::revoke(revoke(NAMES[index], version, reason)),
        Action::OfferModel(index, to) => Calls::transferModel(ModelRegistry::transferModelCall {
            name: name(index),
            to: account(to),
        }),
        Action::AcceptModel(index) => {
            Calls::acceptModel(ModelRegistry::acceptModelCall { name: name(index) })
        }
        Action::Restart => return None,
    })
}

/// Everything that the chain says is what the simple model says.
fn assert_agrees(world: &World, simple: &Simple) {
    for org in ORGS {
        let expected = simple.namespaces.get(org).cloned().unwrap_or_default();
        let org = org.to_owned();
        let owner = ask(world, &ModelRegistry::namespaceOwnerCall { org: org.clone() });
        let pending = ask(world, &ModelRegistry::pendingNamespaceOwnerCall { org });
        assert_eq!((owner, pending), (expected.owner, expected.pending));
    }
    let (offset, limit) = (U256::ZERO, U256::from(100));
    let listed = ask(world, &ModelRegistry::modelsCall { offset, limit });
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
        ask(world, &ModelRegistry::versionOfCall { name: name() }),
        U256::from(model.latest)
    );
    assert_eq!(
        ask(world, &ModelRegistry::countOfCall { name: name() }),
        U256::from(model.versions.len())
    );
    assert_eq!(
        ask(world, &ModelRegistry::modelOwnerCall { name: name() }),
        model.ownership.owner
    );
    assert_eq!(
        ask(world, &ModelRegistry::pendingModelOwnerCall { name: name() }),
        model.ownership.pending
    );
    let pointers = ask(
        world,
        &ModelRegistry::aliasesCall {
            name: name(),
            offset,
            limit,
        },
    );
    let pointers: BTreeMap<_, _> = pointers
        .iter()
        .filter(|pointer| pointer.version != 0)
        .map(|pointer| (pointer.aliasName.as_str(), pointer.version))
        .collect();
    assert_eq!(pointers, model.aliases);

    let versions = ask(
        world,
        &ModelRegistry::versionsCall {
            name: name(),
            offset,
            limit,
        },
    );
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
            ask(
                world,
                &ModelRegistry::versionAtCall {
                    name: name(),
                    version
                }
            )
        );
        let state = ask(
            world,
            &ModelRegistry::statusOfCall {
                name: name(),
                version,
            },
        );
        assert_eq!(
            (state.status, state.reason.as_str()),
            (expected.status, expected.reason)
        );
        assert_eq!(
            ask(
                world,
                &ModelRegistry::versionOfIdCall {
                    name: name(),
                    id: expected_id
                }
            ),
            version
        );
        assert_leads(world, &format!("{path}@{version}"), model, version.to());
    }
    assert_leads(world, path, model, model.latest);
    assert_leads(world, &format!("{path}@latest"), model, model.latest);
    assert_leads(world, &format!("{path}@{}", model.versions.len() + 1), model, 0);
    for alias in ALIASES {
        let version = model.aliases.get(alias).copied().unwrap_or_default();
        let call = ModelRegistry::aliasOfCall {
            name: name(),
            aliasName: alias.into(),
        };
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
    let (name, resolve) = (
        name.to_owned(),
        IPredict::resolveCall {
            model: name.to_owned(),
        },
    );
    match expected {
        None => {
            let error = E::UnknownModel(IPredict::UnknownModel { name });
            assert_eq!(refusal(&outcome), error);
            assert_eq!(world.refusal(&resolve), error);
        }
        Some(found) if found.status == REVOKED => {
            let error = E::ModelRevoked(IPredict::ModelRevoked { name, version });
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
    let sums = ask(world, &ModelRegistry::statusOfIdCall { id });
    assert_eq!(
        (sums.publications, sums.deprecated, sums.revoked),
        (of(None), of(Some(DEPRECATED)), of(Some(REVOKED)))
    );
    let call = IPredict::runIdCall {
        id,
        input: pack(&[10.0]).into(),
    };
    if simple.validated.contains(&index) {
        assert_eq!(unpack(&world.predict(&call)), [11.0 + index as f32]);
    } else {
        assert!(matches!(world.refusal(&call), E::UnknownModelId(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

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
        let run = IPredict::runCall {
            model: model(),
            input: input.clone(),
        }
        .abi_encode();
        vec![
            run.clone(),
            IPredict::runTensorsCall {
                model: model(),
                inputs: vec![tensor.clone()],
            }
            .abi_encode(),
            IPredict::runFixedCall {
                model: model(),
                values: values.clone(),
                inDecimals: 0,
                outDecimals: 0,
            }
            .abi_encode(),
            IPredict::classifyCall {
                model: model(),
                input,
            }
            .abi_encode(),
            IPredict::classifyFixedCall {
                model: model(),
                values,
                decimals: 0,
            }
            .abi_encode(),
            IPredict::runBatchCall {
                model: model(),
                inputs,
            }
            .abi_encode(),
            IPredict::withMaxGasCall {
                maxGas: 1 << 30,
                call: run.into(),
            }
            .abi_encode(),
            IPredict::resolveCall { model: model() }.abi_encode(),
            IPredict::signatureCall { model: model() }.abi_encode(),
            IPredict::quoteCall { model: model() }.abi_encode(),
            IPredict::quoteShapesCall {
                model: model(),
                shapes: vec![vec![1]],
            }
            .abi_encode(),
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
                let error = IPredict::ModelRevoked {
                    name: name.clone(),
                    version: 1,
                };
                assert_eq!(refusal(&look(node, data)), E::ModelRevoked(error));
            }
        }
        let by_id = IPredict::runIdCall {
            id: id(0),
            input: input.clone(),
        };
        assert_eq!(unpack(&node.predict(&by_id)), [11.0]);
        assert_eq!(unpack(&node.predict(&run("org/a", &[10.0]))), [12.0]);
    }
    let sums = ask(&world, &ModelRegistry::statusOfIdCall { id: id(0) });
    assert_eq!((sums.publications, sums.revoked), (U256::ONE, U256::ONE));
    // The registry's own question passes the refusal on.
    let resolve = ModelRegistry::resolveCall {
        name: "org/a@1".into(),
    };
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
        let call = ModelRegistry::setAliasCall {
            name: "org/a".into(),
            aliasName: alias.into(),
            version: U256::ONE,
        };
        let mut world = world.clone();
        let outcome = world.send(&tx(ALICE, call.abi_encode()));
        let valid = synod_evm::name::is_alias(alias);
        assert_eq!(outcome.is_success(), valid, "{alias:?}");
        if valid {
            let answer = world.predict(&run(&format!("org/a@{alias}"), &[10.0]));
            assert_eq!(unpack(&answer), [11.0], "{alias:?}");
        } else {
            let expected = ModelRegistry::InvalidAlias {
                aliasName: alias.to_owned(),
            };
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
                    &ModelRegistry::statusOfCall {
                        name: "org/a".into(),
                        version: U256::ONE,
                    },
                );
                assert_eq!(state.reason, reason);
            } else {
                let length = U256::from(length);
                assert_eq!(
                    error(&outcome),
                    R::InvalidReason(ModelRegistry::InvalidReason { length })
                );
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

    let call = ModelRegistry::setLatestCall {
        name: name.clone(),
        version: U256::ONE,
    };
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
    let set = |version: u64| ModelRegistry::setAliasCall {
        name: name.clone(),
        aliasName: "stable".into(),
        version: U256::from(version),
    };
    let log = last(done(&mut world, ALICE, &set(2)));
    assert_eq!(
        ModelRegistry::AliasChanged::decode_log(&log).unwrap().data,
        aliased(1, 2)
    );
    let remove = ModelRegistry::removeAliasCall {
        name: name.clone(),
        aliasName: "stable".into(),
    };
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
            ModelRegistry::restoreCall {
                name: name.clone(),
                version: U256::from(2),
            }
            .abi_encode(),
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
        &ModelRegistry::transferModelCall {
            name: name.clone(),
            to: BOB,
        },
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
        &ModelRegistry::acceptModelCall { name: name.clone() },
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
        &ModelRegistry::transferNamespaceCall {
            org: org.clone(),
            to: BOB,
        },
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
        &ModelRegistry::acceptNamespaceCall { org: org.clone() },
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
        &ModelRegistry::transferModelCall {
            name: "org/a".into(),
            to: BOB,
        },
    );
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferNamespaceCall {
            org: "org".into(),
            to: BOB,
        },
    );
    // A model that is validated and has no number under the name: anybody may publish it under a name of theirs.
    let manifest = uploaded().1[2];
    done(&mut world, CAROL, &publish("carol/c", manifest));
    world
}

/// Every function of the registry that writes.
fn changes() -> Vec<Change> {
    let (name, org, aliased) = (|| "org/a".to_owned(), || "org".to_owned(), || "stable".to_owned());
    let (manifest, third, version) = (uploaded().1[2], id(2), U256::ONE);
    let owner = [true, false, false];
    let pending = [false, true, false];
    let of = |may, call| Change { call, may };
    vec![
        of(
            [true; 3],
            Calls::claim(ModelRegistry::claimCall { org: "free".into() }),
        ),
        of(
            owner,
            Calls::transferNamespace(ModelRegistry::transferNamespaceCall {
                org: org(),
                to: CAROL,
            }),
        ),
        of(
            pending,
            Calls::acceptNamespace(ModelRegistry::acceptNamespaceCall { org: org() }),
        ),
        of(owner, Calls::publish(publish("org/a", manifest))),
        of(
            owner,
            Calls::publishOnly(ModelRegistry::publishOnlyCall {
                name: name(),
                manifest,
            }),
        ),
        of(
            owner,
            Calls::publishId(ModelRegistry::publishIdCall {
                name: name(),
                id: third,
            }),
        ),
        of(
            owner,
            Calls::publishIdOnly(ModelRegistry::publishIdOnlyCall {
                name: name(),
                id: third,
            }),
        ),
        // A new name in a namespace that is owned.
        of(
            owner,
            Calls::publishId(ModelRegistry::publishIdCall {
                name: "org/new".into(),
                id: third,
            }),
        ),
        of(
            owner,
            Calls::setLatest(ModelRegistry::setLatestCall {
                name: name(),
                version,
            }),
        ),
        of(
            owner,
            Calls::setAlias(ModelRegistry::setAliasCall {
                name: name(),
                aliasName: "new".into(),
                version,
            }),
        ),
        of(
            owner,
            Calls::removeAlias(ModelRegistry::removeAliasCall {
                name: name(),
                aliasName: aliased(),
            }),
        ),
        of(owner, Calls::deprecate(deprecate("org/a", 1, "old"))),
        of(
            owner,
            Calls::restore(ModelRegistry::restoreCall {
                name: name(),
                version: U256::from(2),
            }),
        ),
        of(owner, Calls::revoke(revoke("org/a", 1, "wrong"))),
        of(
            owner,
            Calls::transferModel(ModelRegistry::transferModelCall {
                name: name(),
                to: CAROL,
            }),
        ),
        of(
            pending,
            Calls::acceptModel(ModelRegistry::acceptModelCall { name: name() }),
        ),
    ]
}

/// Every function that only answers.
fn questions() -> Vec<Calls> {
    let (name, aliased) = (|| "org/a".to_owned(), || "stable".to_owned());
    let (id, version) = (id(0), U256::ONE);
    let (offset, limit) = (U256::ZERO, U256::from(10));
    vec![
        Calls::namespaceOwner(ModelRegistry::namespaceOwnerCall { org: "org".into() }),
        Calls::pendingNamespaceOwner(ModelRegistry::pendingNamespaceOwnerCall { org: "org".into() }),
        Calls::resolve(ModelRegistry::resolveCall { name: name() }),
        Calls::versionOf(ModelRegistry::versionOfCall { name: name() }),
        Calls::countOf(ModelRegistry::countOfCall { name: name() }),
        Calls::versionOfId(ModelRegistry::versionOfIdCall { name: name(), id }),
        Calls::aliasOf(ModelRegistry::aliasOfCall {
            name: name(),
            aliasName: aliased(),
        }),
        Calls::versionAt(ModelRegistry::versionAtCall {
            name: name(),
            version,
        }),
        Calls::statusOf(ModelRegistry::statusOfCall {
            name: name(),
            version,
        }),
        Calls::statusOfId(ModelRegistry::statusOfIdCall { id }),
        Calls::modelOwner(ModelRegistry::modelOwnerCall { name: name() }),
        Calls::pendingModelOwner(ModelRegistry::pendingModelOwnerCall { name: name() }),
        Calls::modelOf(ModelRegistry::modelOfCall { id }),
        Calls::modelCount(ModelRegistry::modelCountCall {}),
        Calls::models(ModelRegistry::modelsCall { offset, limit }),
        Calls::versions(ModelRegistry::versionsCall {
            name: name(),
            offset,
            limit,
        }),
        Calls::aliases(ModelRegistry::aliasesCall {
            name: name(),
            offset,
            limit,
        }),
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
        &ModelRegistry::transferModelCall {
            name: "org/a".into(),
            to: Address::ZERO,
        },
    );
    let accept = ModelRegistry::acceptModelCall { name: "org/a".into() };
    assert!(matches!(
        error(&world.send(&tx(BOB, accept.abi_encode()))),
        R::NotPendingOwner(_)
    ));
    done(
        &mut world,
        ALICE,
        &ModelRegistry::transferModelCall {
            name: "org/a".into(),
            to: BOB,
        },
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
fn the_registry_calls_nobody_but_the_engine_and_that_statically() {
    let world = offered();
    let mut engine = 0;
    for call in changes().into_iter().map(|change| change.call).chain(questions()) {
        for from in ACCOUNTS {
            let (_, Outgoing(calls)) = world.look_with(&tx(from, call.abi_encode()), Outgoing::default());
            engine += calls.len();
            for made in calls {
                assert_eq!(made, (PREDICT, CallScheme::StaticCall), "{call:?}");
            }
        }
    }
    assert!(engine > 0, "publish and resolve ask the engine");
    // Nor could it: the code has no other instruction that runs foreign code.
    let mut code = ModelRegistry::DEPLOYED_BYTECODE.iter();
    while let Some(&instruction) = code.next() {
        let leaves = [
            opcode::CALL,
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
            &ModelRegistry::publishIdCall { name, id: third },
        );
        let call = ModelRegistry::setAliasCall {
            name: "org/a".into(),
            aliasName: format!("alias-{index}"),
            version: U256::ONE,
        };
        done(&mut large, ALICE, &call);
        done(
            &mut large,
            ALICE,
            &ModelRegistry::setLatestCall {
                name: "org/a".into(),
                version: U256::from(1 + index % 2),
            },
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
            Calls::claim(ModelRegistry::claimCall { org: text.clone() }),
            Calls::publish(publish(&slashed, manifest)),
            Calls::publishId(ModelRegistry::publishIdCall {
                name: slashed.clone(),
                id,
            }),
            Calls::publishIdOnly(ModelRegistry::publishIdOnlyCall {
                name: text.clone(),
                id,
            }),
            Calls::setLatest(ModelRegistry::setLatestCall {
                name: slashed.clone(),
                version,
            }),
            Calls::setAlias(ModelRegistry::setAliasCall {
                name: "org/a".into(),
                aliasName: text.clone(),
                version,
            }),
            Calls::removeAlias(ModelRegistry::removeAliasCall {
                name: "org/a".into(),
                aliasName: text.clone(),
            }),
            Calls::deprecate(deprecate("org/a", 1, &text)),
            Calls::revoke(revoke("org/a", 1, &text)),
            Calls::acceptModel(ModelRegistry::acceptModelCall { name: text.clone() }),
            Calls::acceptNamespace(ModelRegistry::acceptNamespaceCall { org: text.clone() }),
            Calls::transferModel(ModelRegistry::transferModelCall {
                name: text.clone(),
                to: BOB,
            }),
            Calls::statusOf(ModelRegistry::statusOfCall {
                name: text.clone(),
                version,
            }),
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
        2 | (1 << 32),
        1,
    ];
    assert_eq!(
        word(&world, record + U256::ONE).as_limbs(),
        &sizes,
        "one version, deprecated"
    );
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
        let call = IPredict::resolveCall {
            model: (*form).to_owned(),
        };
        let spent = |world: &World| {
            let data = call.abi_encode();
            let used = predict_gas(world, &data);
            used - gas::call(data.len())
        };
        let resolution = gas::NAME + gas::registry(expected.len() as u64);
        assert_eq!(spent(&world), resolution + gas::answer(32), "{form}");
        let quote = world.predict(&IPredict::quoteCall {
            model: (*form).to_owned(),
        });
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
