//! Names and versions: the kill switch, who may call what, what a call may cost, and the storage that the engine reads. [`simple`]
//! holds all of it to a simple model.

mod access;
mod calls_out;
mod events;
mod gas_bounds;
mod revocation;
mod simple;
mod storage;

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
