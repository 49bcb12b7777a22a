//! A model in memory changes time and nothing else: gas, trace, warm set and state, under access lists, reverted
//! publishes and historical calls.

use crate::world::{Db, Prober, Tx, World, dense, deployments, pack, run};
use alloy_evm::{
    eth::EthEvmContext,
    revm::{
        Inspector,
        context_interface::transaction::{AccessList, AccessListItem},
        interpreter::{CallInputs, CallOutcome, Interpreter, interpreter_types::Jumps},
    },
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::IPredict,
    name::ModelName,
    registry,
};

const X: [f32; 3] = [1.0, -2.0, 0.5];

/// Everything that a tracer can see of an execution.
#[derive(Debug, Default, PartialEq)]
struct Trace {
    /// Program counter, opcode, gas left and depth of every instruction.
    steps: Vec<(usize, u8, u64, usize)>,
    /// Target, input, gas limit; gas used and output of every call.
    calls: Vec<(Address, Bytes, u64)>,
    ends: Vec<(u64, Bytes)>,
    /// Accounts in the journal after each call.
    loaded: Vec<Vec<Address>>,
}

impl Inspector<EthEvmContext<Db>> for Trace {
    fn step(&mut self, interpreter: &mut Interpreter, context: &mut EthEvmContext<Db>) {
        let code = &interpreter.bytecode;
        let depth = context.journaled_state.depth;
        self.steps
            .push((code.pc(), code.opcode(), interpreter.gas.remaining(), depth));
    }

    fn call(&mut self, context: &mut EthEvmContext<Db>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.calls.push((
            inputs.target_address,
            inputs.input.bytes(context),
            inputs.gas_limit,
        ));
        None
    }

    fn call_end(&mut self, context: &mut EthEvmContext<Db>, _inputs: &CallInputs, outcome: &mut CallOutcome) {
        self.ends.push((
            outcome.result.gas.total_gas_spent(),
            outcome.result.output.clone(),
        ));
        let mut loaded: Vec<Address> = context.journaled_state.state.keys().copied().collect();
        loaded.sort();
        self.loaded.push(loaded);
    }
}

/// Asserts that `tx` looks the same on a node that has its models in memory and on one that has not.
fn assert_same(world: &World, tx: &Tx, what: &str) {
    let cold = world.cold();
    let (missed, missed_trace) = cold.look_with(tx, Trace::default());
    let (hit, hit_trace) = cold.look_with(tx, Trace::default());
    let warmed_elsewhere = world.look_with(tx, Trace::default());
    assert_eq!(missed.result, hit.result, "{what}: result");
    assert_eq!(missed_trace, hit_trace, "{what}: trace");
    assert_eq!(missed.state, hit.state, "{what}: journal");
    assert_eq!(
        (warmed_elsewhere.0.result, warmed_elsewhere.0.state),
        (hit.result, hit.state),
        "{what}: another node"
    );
    assert_eq!(warmed_elsewhere.1, hit_trace, "{what}: another node's trace");
}

fn access_lists(world: &World) -> Vec<(&'static str, AccessList)> {
    let item = |address, storage_keys| AccessListItem {
        address,
        storage_keys,
    };
    let name: ModelName = "test/dense".parse().unwrap();
    let id = B256::from(dense().id().0);
    let slots = [
        registry::model_slot(&name),
        registry::version_slot(&name, 1),
        registry::status_slot(&name, 1),
        registry::record_slot(id),
        registry::record_slot(id) + U256::ONE,
    ];
    let manifest = deployments(&dense()).0;
    let mut chunks = vec![item(manifest.address(), vec![])];
    chunks.extend(
        manifest
            .graph
            .iter()
            .chain(&manifest.weights)
            .map(|&chunk| item(chunk, vec![B256::ZERO])),
    );
    assert!(world.db.cache.accounts.contains_key(&chunks[1].address));
    vec![
        ("no access list", AccessList::default()),
        (
            "registry",
            AccessList(vec![item(MODEL_REGISTRY, slots.map(B256::from).to_vec())]),
        ),
        ("chunks", AccessList(chunks)),
        (
            "precompile",
            AccessList(vec![item(PREDICT, vec![B256::from(id)])]),
        ),
    ]
}

fn calls() -> Vec<(&'static str, Vec<u8>)> {
    let input: Bytes = pack(&X).into();
    vec![
        ("run", run("test/dense", &X).abi_encode()),
        (
            "classify",
            IPredict::classifyCall {
                model: "test/dense".into(),
                input: input.clone(),
            }
            .abi_encode(),
        ),
        (
            "signature",
            IPredict::signatureCall {
                model: "test/dense".into(),
            }
            .abi_encode(),
        ),
        (
            "quote",
            IPredict::quoteCall {
                model: "test/dense".into(),
            }
            .abi_encode(),
        ),
        ("wrong length", run("test/dense", &X[..1]).abi_encode()),
        (
            "validate",
            IPredict::validateCall {
                manifest: deployments(&dense()).0.address(),
            }
            .abi_encode(),
        ),
        (
            "missing manifest",
            IPredict::validateCall {
                manifest: Address::repeat_byte(9),
            }
            .abi_encode(),
        ),
    ]
}

#[test]
fn hits_and_misses_look_the_same_under_every_access_list() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    for (list_name, list) in access_lists(&world) {
        for (call_name, call) in calls() {
            let direct = Tx {
                access_list: list.clone(),
                ..Tx::call(PREDICT, call.clone())
            };
            assert_same(&world, &direct, &format!("{call_name}, {list_name}"));
            let inner = Prober::viaDelegatecallCall { call: call.into() }.abi_encode();
            let nested = Tx {
                access_list: list.clone(),
                ..Tx::call(prober, inner)
            };
            assert_same(&world, &nested, &format!("{call_name} nested, {list_name}"));
        }
        for gas in [40_000, 60_000, 70_000] {
            let short = Tx {
                access_list: list.clone(),
                gas,
                ..Tx::call(PREDICT, calls()[0].1.clone())
            };
            assert_same(&world, &short, &format!("{gas} gas, {list_name}"));
        }
    }
}

#[test]
fn the_precompile_costs_the_same_under_every_access_list() {
    let world = World::with_models();
    let mut used = access_lists(&world).into_iter().map(|(name, access_list)| {
        let tx = Tx {
            access_list,
            ..Tx::call(PREDICT, calls()[0].1.clone())
        };
        let (_, trace) = world.look_with(&tx, Trace::default());
        (name, trace.ends[0].0)
    });
    let first = used.next().unwrap().1;
    used.for_each(|(name, used)| assert_eq!(used, first, "{name}"));
}

#[test]
fn chunks_never_enter_the_journal() {
    let world = World::with_models();
    let manifest = deployments(&dense()).0;
    for node in [world.clone(), world.cold()] {
        let (outcome, trace) = node.look_with(&Tx::call(PREDICT, calls()[0].1.clone()), Trace::default());
        let mut accounts: Vec<Address> = outcome.state.keys().copied().collect();
        accounts.sort();
        for chunk in manifest
            .graph
            .iter()
            .chain(&manifest.weights)
            .chain([&manifest.address()])
        {
            assert!(!accounts.contains(chunk), "{chunk}");
            assert!(
                trace.loaded.iter().all(|loaded| !loaded.contains(chunk)),
                "{chunk}"
            );
        }
        let slots = &outcome.state[&MODEL_REGISTRY].storage;
        assert_eq!(slots.len(), 5, "latest version, id, state, record");
        assert!(
            outcome.state[&MODEL_REGISTRY]
                .changed_storage_slots()
                .next()
                .is_none()
        );
    }
}

#[test]
fn a_reverted_publish_looks_the_same_with_and_without_the_model_in_memory() {
    let mut world = World::genesis();
    let prober = world.deploy_prober();
    let (manifest, deployments) = deployments(&dense());
    let manifest = manifest.address();
    let (name, input): (String, Bytes) = ("org/dense".into(), pack(&X).into());
    let reverted = Prober::revertedPublishCall {
        name: name.clone(),
        deployments: deployments.clone(),
        manifest,
        input: input.clone(),
    };
    assert_same(
        &world,
        &Tx::call(prober, reverted.abi_encode()),
        "reverted publish",
    );
    let kept = Prober::publishAndRunCall {
        name,
        deployments,
        manifest,
        input,
    };
    assert_same(&world, &Tx::call(prober, kept.abi_encode()), "publish and run");
}

#[test]
fn a_historical_call_does_not_see_models_that_came_later() {
    let before = World::genesis();
    let mut after = before.clone();
    after.publish("test/dense", &dense());
    assert!(
        after
            .look(&Tx::call(PREDICT, calls()[0].1.clone()))
            .result
            .is_success()
    );
    // The engine is shared, so the model is in memory; the old state has no record of it.
    assert_eq!(before.factory.engine().usage().models, 1);
    for (name, call) in calls() {
        assert_same(
            &before,
            &Tx::call(PREDICT, call),
            &format!("{name} before it was published"),
        );
    }
    let unknown = before.refusal(&run("test/dense", &X));
    assert!(matches!(unknown, IPredict::IPredictErrors::UnknownModel(_)));
}

#[test]
fn a_small_memory_gives_the_same_answers() {
    use std::sync::Arc;
    use synod_evm::{Engine, EngineConfig, SynodEvmFactory};
    let world = World::with_models();
    let tiny = Engine::new(EngineConfig {
        model_bytes: 0,
        plan_bytes: 0,
        pipeline_bytes: 0,
    });
    let forgetful = World {
        db: world.db.clone(),
        factory: SynodEvmFactory::new(Arc::new(tiny)),
        env: world.env.clone(),
    };
    for _ in 0..2 {
        let tx = Tx::call(PREDICT, calls()[0].1.clone());
        assert_eq!(forgetful.look(&tx).result, world.look(&tx).result);
        assert_eq!(forgetful.factory.engine().usage().models, 0);
    }
}
