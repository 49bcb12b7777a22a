//! What is seen of a transaction's calls, and that looking changes nothing.

use crate::world::{ALICE, Prober, Tx, World, pack, publish_call, run};
use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use std::sync::Arc;
use synod_evm::{
    Arithmetic, Engine, SynodEvmFactory,
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::IPredict,
    watch::{Ended, Question, Watch},
};

const INPUT: [f32; 3] = [1.0, -2.0, 3.0];

#[test]
fn calls_are_seen_with_the_model_as_it_was() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let nested = Prober::nestedCall {
        depth: U256::from(2),
        model: "test/dense".into(),
        input: pack(&INPUT).into(),
    };
    let transaction = Tx::call(prober, nested.abi_encode());
    let (seen, watch) = world.look_with(&transaction, Watch::default());
    let unseen = world.look(&transaction);
    assert_eq!(seen.result, unseen.result);
    assert_eq!(
        seen.state, unseen.state,
        "nothing is warmer for having been looked at"
    );
    let calls = watch.into_calls();
    assert_eq!(calls.len(), 1);
    let call = &calls[0];
    assert_eq!((call.depth, call.caller, call.scheme), (3, prober, "STATICCALL"));
    assert_eq!((call.ended, call.undone), (Ended::Answered, false));
    let (version, record) = (call.version.unwrap(), call.record.unwrap());
    assert_eq!((version.number, version.publisher), (1, ALICE));
    assert_eq!(record.id, version.id);
    let question = Question::of(&call.input).unwrap();
    assert_eq!((question.function, question.input()), ("run", &pack(&INPUT)[..]));
    let direct = world.predict(&run("test/dense", &INPUT));
    assert_eq!(
        IPredict::runCall::abi_decode_returns(&call.output).unwrap(),
        direct
    );
}

#[test]
fn what_reverted_frames_did_is_undone() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let again = Prober::afterRevertCall {
        model: "test/dense".into(),
        input: pack(&INPUT).into(),
    };
    let (_, watch) = world.look_with(&Tx::call(prober, again.abi_encode()), Watch::default());
    let undone: Vec<_> = watch
        .into_calls()
        .iter()
        .map(|call| (call.undone, call.ended))
        .collect();
    assert_eq!(undone, [(true, Ended::Answered), (false, Ended::Answered)]);

    // A name that this transaction gives is seen as it is within it.
    let manifest = world.upload(&crate::world::dense()).address();
    let (_, watch) = world.look_with(
        &Tx::call(MODEL_REGISTRY, publish_call("test/again", manifest)),
        Watch::default(),
    );
    let calls = watch.into_calls();
    assert_eq!(Question::of(&calls[0].input).unwrap().function, "validate");
    assert_eq!(calls[0].record, None);
    let unknown = Tx::call(PREDICT, run("test/none", &INPUT).abi_encode());
    let (_, watch) = world.look_with(&unknown, Watch::default());
    let calls = watch.into_calls();
    assert_eq!(
        (calls[0].ended, calls[0].depth, calls[0].version),
        (Ended::Refused, 0, None)
    );
}

#[test]
fn the_reference_gives_the_same_bits_for_the_same_gas() {
    let world = World::with_models();
    let engine = Engine::default().with_arithmetic(Arithmetic::Reference);
    let reference = World {
        db: world.db.clone(),
        factory: SynodEvmFactory::new(Arc::new(engine)),
        env: world.env.clone(),
    };
    for (model, input) in [
        ("test/dense", &INPUT[..]),
        ("test/batched", &[1.0, 2.0, 3.0, 4.0]),
    ] {
        let call = Tx::call(PREDICT, run(model, input).abi_encode());
        let (fast, slow) = (world.look(&call), reference.look(&call));
        assert!(fast.result.is_success());
        assert_eq!((fast.result, fast.state), (slow.result, slow.state), "{model}");
    }
}
