//! What predictions cost: the quote, loading once, limits of the frame and of the caller.

use crate::world::{Prober, Tx, World, dense, pack, refusal_data, run};
use alloy_evm::revm::context::result::{ExecutionResult, HaltReason};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::PREDICT,
    gas,
    interface::IPredict::{self, IPredictErrors},
};

const X: [f32; 3] = [1.0, -2.0, 0.5];

/// Gas inside the precompile: a transaction's gas without what Ethereum charges for the transaction itself.
fn inside(world: &World, data: &[u8]) -> u64 {
    let outcome = world.look(&Tx::call(PREDICT, data.to_vec())).result;
    let zeros = data.iter().filter(|byte| **byte == 0).count() as u64;
    outcome.tx_gas_used() - 21_000 - 4 * zeros - 16 * (data.len() as u64 - zeros)
}

#[test]
fn quotes_are_exact() {
    let world = World::with_models();
    let call = run("test/dense", &X);
    let quote = world.predict(&IPredict::quoteCall {
        model: "test/dense".into(),
    });
    assert_eq!(inside(&world, &call.abi_encode()), quote.total);
    assert_eq!(
        quote.total,
        quote.transfer + quote.load + quote.planning + quote.execution
    );
    assert_eq!(quote.multiplyAdds, 6);

    let id = world.predict(&IPredict::resolveCall {
        model: "test/dense".into(),
    });
    let by_id = IPredict::runIdCall {
        id,
        input: pack(&X).into(),
    };
    let quote_id = world.predict(&IPredict::quoteIdCall { id });
    assert_eq!(inside(&world, &by_id.abi_encode()), quote_id.total);
    assert!(quote_id.total < quote.total);

    let pinned = run("test/dense@1", &X);
    let quote_pinned = world.predict(&IPredict::quoteCall {
        model: "test/dense@1".into(),
    });
    assert_eq!(inside(&world, &pinned.abi_encode()), quote_pinned.total);

    for n in 1..=5u64 {
        let call = run("test/batched", &vec![1.0; 2 * n as usize]);
        let shapes = IPredict::quoteShapesCall {
            model: "test/batched".into(),
            shapes: vec![vec![n, 2]],
        };
        let quote = world.predict(&shapes);
        assert_eq!(inside(&world, &call.abi_encode()), quote.total, "n = {n}");
        if n == 5 {
            assert_eq!(
                world.predict(&IPredict::quoteCall {
                    model: "test/batched".into()
                }),
                quote
            );
        }
    }
}

#[test]
fn the_load_follows_from_sizes_in_the_record() {
    let world = World::with_models();
    let quote = world.predict(&IPredict::quoteCall {
        model: "test/dense".into(),
    });
    let model = dense();
    assert_eq!(
        quote.load,
        gas::load(model.graph.len() as u64, model.weights.len() as u64, 2)
    );
}

#[test]
fn loading_is_paid_once_a_transaction() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let quote = world.predict(&IPredict::quoteCall {
        model: "test/dense".into(),
    });
    for _ in 0..2 {
        let call = Prober::thriceCall {
            model: "test/dense".into(),
            input: pack(&X).into(),
        };
        let [first, second, third] = world.ask(prober, &call).map(|used| used.to::<u64>());
        // Around the calls lies the caller's own memory, which grows a little from call to call.
        assert!(
            (first - second).abs_diff(quote.load) < 300,
            "{first} {second}, load {}",
            quote.load
        );
        assert!(second.abs_diff(third) < 300, "{second} {third}");
    }
}

#[test]
fn a_reverted_frame_takes_the_payment_marker_along() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let quote = world.predict(&IPredict::quoteCall {
        model: "test/dense".into(),
    });
    let call = Prober::afterRevertCall {
        model: "test/dense".into(),
        input: pack(&X).into(),
    };
    for node in [world.clone(), world.cold()] {
        let used = node.ask(prober, &call).to::<u64>();
        assert!(
            used > quote.total,
            "{used} must contain the load again: {}",
            quote.total
        );
    }
    assert_eq!(world.ask(prober, &call), world.cold().ask(prober, &call));
}

#[test]
fn every_gas_limit_below_the_price_halts_and_burns() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let call: Bytes = run("test/dense", &X).abi_encode().into();
    let total = world
        .predict(&IPredict::quoteCall {
            model: "test/dense".into(),
        })
        .total;
    let limits = [0, 1, gas::BASE, 5_000, total / 2, total - 1, total, total + 1];
    for node in [world.clone(), world.cold()] {
        for limit in limits {
            let call = Prober::meteredCall {
                call: call.clone(),
                limit: U256::from(limit),
            };
            let answer = node.ask(prober, &call);
            assert_eq!(answer.success, limit >= total, "limit {limit} of {total}");
            let used = answer.used.to::<u64>();
            if limit < total {
                assert!(answer.answer.is_empty(), "limit {limit}");
                assert!(used >= limit && used < limit + 4_000, "burns its {limit}: {used}");
            } else {
                assert!(used < total + 4_000, "gives back what is left of {limit}: {used}");
            }
        }
    }
    let outcome = world
        .look(&Tx {
            gas: 40_000,
            ..Tx::call(PREDICT, call)
        })
        .result;
    assert!(
        matches!(
            outcome,
            ExecutionResult::Halt {
                reason: HaltReason::PrecompileError | HaltReason::OutOfGas(_),
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[test]
fn max_gas_reverts_and_costs_what_was_used() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let inner: Bytes = run("test/dense", &X).abi_encode().into();
    let with_limit = |max_gas: u64| -> Bytes {
        IPredict::withMaxGasCall {
            maxGas: max_gas,
            call: inner.clone(),
        }
        .abi_encode()
        .into()
    };
    let total = inside(&world, &with_limit(u64::MAX));
    let mut last = 0;
    for max_gas in [0, 1_000, 12_000, total / 2, total - 1] {
        let call = Prober::meteredCall {
            call: with_limit(max_gas),
            limit: U256::from(10 * total),
        };
        let answer = world.ask(prober, &call);
        assert!(!answer.success);
        let IPredictErrors::MaxGasExceeded(error) = refusal_data(&answer.answer) else {
            panic!("{max_gas}")
        };
        assert_eq!(error.maxGas, max_gas);
        // The base of a call is charged before its limit is read.
        assert!(
            error.used <= max_gas.max(gas::call(with_limit(0).len())),
            "{} of {max_gas}",
            error.used
        );
        assert!(error.used >= last);
        last = error.used;
        assert!(
            answer.used.to::<u64>() < error.used + 4_000,
            "{} for {}",
            answer.used,
            error.used
        );
        assert_eq!(
            world.cold().ask(prober, &call).answer,
            answer.answer,
            "a cold node stops at the same step"
        );
    }
    for (max_gas, limit, ends_well) in [
        (total, 10 * total, true),
        (total, total, true),
        (10 * total, total - 1, false),
    ] {
        let call = Prober::meteredCall {
            call: with_limit(max_gas),
            limit: U256::from(limit),
        };
        let answer = world.ask(prober, &call);
        assert_eq!(answer.success, ends_well, "{max_gas} {limit}");
        assert!(
            ends_well || answer.answer.is_empty(),
            "the smaller limit is the frame's: a halt"
        );
    }
}

#[test]
fn batches_load_once_and_plan_once_for_equal_lengths() {
    let world = World::with_models();
    let batch = |lengths: &[usize]| {
        let inputs = lengths.iter().map(|n| pack(&vec![1.0; 2 * n]).into()).collect();
        inside(
            &world,
            &IPredict::runBatchCall {
                model: "test/batched".into(),
                inputs,
            }
            .abi_encode(),
        )
    };
    let quote = |n: u64| {
        world.predict(&IPredict::quoteShapesCall {
            model: "test/batched".into(),
            shapes: vec![vec![n, 2]],
        })
    };
    let (one, two) = (quote(1), quote(2));
    let call_data = |before: u64, after: u64| after.abs_diff(before);
    let (single, double) = (batch(&[1]), batch(&[1, 1]));
    assert!(
        call_data(single, double) < one.execution + 100,
        "a second equal input costs its execution: {single} {double}"
    );
    let mixed = batch(&[1, 2]);
    assert!(
        mixed >= single + two.planning + two.execution,
        "another shape is planned: {single} {mixed}"
    );
    assert!(mixed < single + two.planning + two.execution + 200);
}
