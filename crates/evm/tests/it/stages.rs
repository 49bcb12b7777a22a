//! Predictions whose shapes depend on the input: paid from stage to stage, the same whether anything is remembered or not.

use crate::{
    onnx::{Dim, F32, Graph, I64},
    world::{Tx, World, import, refusal_data, run, success, unpack},
};
use alloy_evm::revm::context::result::ExecutionResult;
use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::PREDICT,
    interface::IPredict::{self, IPredictErrors as E},
};

/// The elements of x that are not zero, one greater.
fn world() -> World {
    let mut world = World::genesis();
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(6)])
        .i64s("flat", &[-1])
        .node("NonZero", &["x"], &["places"])
        .node("Reshape", &["places", "flat"], &["indices"])
        .node("Gather", &["x", "indices"], &["found"])
        .node("Exp", &["found"], &["y"])
        .output("y", F32, &[Dim::Free("found")]);
    world.publish("test/sparse", &import(&graph.file(), &[]));
    world
}

#[test]
fn an_answer_is_as_long_as_the_input_makes_it() {
    let world = world();
    for (x, count) in [([0.0; 6], 0), ([1.0, 0.0, 0.0, 2.0, 0.0, 0.0], 2), ([1.0; 6], 6)] {
        let answer = world.predict(&run("test/sparse", &x));
        assert_eq!(unpack(&answer).len(), count);
    }
    let signature = world.predict(&IPredict::signatureCall {
        model: "test/sparse".into(),
    });
    assert_eq!(signature.outputs[0].shape[0].symbol, "found");
    assert_eq!(signature.outputs[0].shape[0].size, u64::MAX);
    let tensors = IPredict::runTensorsCall {
        model: "test/sparse".into(),
        inputs: vec![IPredict::Tensor {
            dtype: 1,
            shape: vec![6],
            data: crate::world::pack(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]).into(),
        }],
    };
    assert_eq!(world.predict(&tensors)[0].shape, [1]);
}

#[test]
fn gas_follows_from_the_input_and_from_nothing_remembered() {
    let warm = world();
    let used = |world: &World, x: &[f32]| {
        let call = run("test/sparse", x).abi_encode();
        world.look(&Tx::call(PREDICT, call)).result.tx_gas_used()
    };
    let (few, many) = ([1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [1.0; 6]);
    let first = used(&warm, &few);
    assert!(used(&warm, &many) > first);
    for _ in 0..2 {
        assert_eq!(used(&warm, &few), first);
    }
    assert_eq!(used(&warm.cold(), &few), first);
}

#[test]
fn there_is_no_quote_but_a_limit() {
    let world = world();
    let quote = IPredict::quoteCall {
        model: "test/sparse".into(),
    };
    assert_eq!(
        world.refusal(&quote),
        E::DependsOnInput(IPredict::DependsOnInput {})
    );
    let inner = run("test/sparse", &[1.0; 6]).abi_encode();
    let with = |gas: u64| IPredict::withMaxGasCall {
        maxGas: gas,
        call: inner.clone().into(),
    };
    let enough = world.predict(&with(10_000_000));
    assert!(!enough.is_empty());
    // However short the limit falls, the call ends with it and says so.
    for gas in (1_000..60_000).step_by(2_500) {
        let outcome = world.look(&Tx::call(PREDICT, with(gas).abi_encode()));
        match &outcome.result {
            ExecutionResult::Revert { output, .. } => {
                let E::MaxGasExceeded(error) = refusal_data(output) else {
                    panic!("{:?}", refusal_data(output))
                };
                assert_eq!(error.maxGas, gas);
                assert!(error.used <= gas);
            }
            ExecutionResult::Success { .. } => assert_eq!(success(&outcome.result), enough_bytes(&enough)),
            other => panic!("{other:?}"),
        }
    }
}

/// What `withMaxGas` returns around an answer.
fn enough_bytes(answer: &[u8]) -> alloy_primitives::Bytes {
    IPredict::withMaxGasCall::abi_encode_returns(&answer.to_vec().into()).into()
}

#[test]
fn memory_is_capped_in_every_stage() {
    let mut world = World::genesis();
    // The input says how large the middle gets.
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1)])
        .input("times", I64, &[Dim::Size(1)])
        .node("Tile", &["x", "times"], &["t"])
        .node("ReduceMax", &["t"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    world.publish("test/tile", &import(&graph.file(), &[]));
    let call = |times: i64| IPredict::runTensorsCall {
        model: "test/tile".into(),
        inputs: vec![
            IPredict::Tensor {
                dtype: 1,
                shape: vec![1],
                data: crate::world::pack(&[2.5]).into(),
            },
            IPredict::Tensor {
                dtype: 7,
                shape: vec![1],
                data: times.to_be_bytes().to_vec().into(),
            },
        ],
    };
    assert_eq!(unpack(&world.predict(&call(1000))[0].data), [2.5]);
    let E::MemoryLimitExceeded(error) = world.refusal(&call(1 << 28)) else {
        panic!("{:?}", world.refusal(&call(1 << 28)))
    };
    assert!(error.needed > error.limit);
    assert_eq!(
        world.refusal(&call(-1)),
        E::ExecutionFailed(IPredict::ExecutionFailed { node: U256::ZERO })
    );
}
