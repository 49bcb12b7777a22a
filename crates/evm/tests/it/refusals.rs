//! Bad calls: one typed error for each, and nothing but typed errors.

use crate::{
    onnx::{BOOL, Dim, F32, Graph, I64},
    world::{Tx, World, dense, fixed, import, pack, refusal, run},
};
use IPredict::IPredictErrors as E;
use alloy_evm::revm::DatabaseRef;
use alloy_primitives::{B256, Bytes, I256, U256};
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::IPredict,
    registry::record_slot,
};
use synod_model::limits::PROFILE_VERSION;

fn raw(world: &World, data: Vec<u8>) -> E {
    refusal(&world.look(&Tx::call(PREDICT, data)).result)
}

fn tensors(inputs: Vec<(u8, Vec<u64>, Vec<u8>)>, model: &str) -> IPredict::runTensorsCall {
    let inputs = inputs
        .into_iter()
        .map(|(dtype, shape, data)| IPredict::Tensor {
            dtype,
            shape,
            data: data.into(),
        })
        .collect();
    IPredict::runTensorsCall {
        model: model.into(),
        inputs,
    }
}

#[test]
fn lengths() {
    let world = World::with_models();
    let u = |value: u64| U256::from(value);
    for length in [0, 4, 11, 13, 16] {
        let call = IPredict::runCall {
            model: "test/dense".into(),
            input: vec![0; length].into(),
        };
        let error = IPredict::WrongInputLength {
            expected: u(12),
            got: u(length as u64),
        };
        assert_eq!(world.refusal(&call), E::WrongInputLength(error));
    }
    for length in [0, 4, 12, 48] {
        let call = IPredict::runCall {
            model: "test/batched".into(),
            input: vec![0; length].into(),
        };
        let error = IPredict::WrongFreeInputLength {
            fixedBytes: u(0),
            step: u(8),
            maximum: u(5),
            got: u(length as u64),
        };
        assert_eq!(world.refusal(&call), E::WrongFreeInputLength(error));
    }
    let call = IPredict::runFixedCall {
        model: "test/dense".into(),
        values: fixed(&[1]),
        inDecimals: 0,
        outDecimals: 0,
    };
    assert_eq!(
        world.refusal(&call),
        E::WrongValueCount(IPredict::WrongValueCount {
            expected: u(3),
            got: u(1)
        })
    );
    let call = IPredict::runFixedCall {
        model: "test/batched".into(),
        values: fixed(&[1]),
        inDecimals: 0,
        outDecimals: 0,
    };
    assert!(matches!(world.refusal(&call), E::WrongFreeValueCount(_)));
    let inputs = vec![Bytes::from(vec![0; 12]), Bytes::new()];
    let call = IPredict::runBatchCall {
        model: "test/dense".into(),
        inputs,
    };
    assert!(matches!(world.refusal(&call), E::WrongInputLength(_)));
}

#[test]
fn names() {
    let world = World::with_models();
    for name in [
        "",
        "dense",
        "test/",
        "Test/dense",
        "test/dense@0",
        "test/dense@01",
        "test/dense@",
        "test/dense@Latest",
        "test/dense@sha256:00",
        "a/b/c",
    ] {
        let error = E::InvalidName(IPredict::InvalidName { name: name.into() });
        assert_eq!(world.refusal(&run(name, &[])), error, "{name:?}");
    }
    for name in [
        "test/nothing",
        "no/dense",
        "test/dense@2",
        "test/dense@18446744073709551615",
        "test/nothing@latest",
        "test/dense@stable",
        "test/dense@sha256:0000000000000000000000000000000000000000000000000000000000000000",
    ] {
        let error = E::UnknownModel(IPredict::UnknownModel { name: name.into() });
        assert_eq!(world.refusal(&run(name, &[])), error, "{name:?}");
    }
    let id = B256::repeat_byte(7);
    let call = IPredict::signatureIdCall { id };
    assert_eq!(
        world.refusal(&call),
        E::UnknownModelId(IPredict::UnknownModelId { id })
    );
}

#[test]
fn a_profile_of_another_engine() {
    let mut world = World::with_models();
    let id = B256::from(dense().id().0);
    let slot = record_slot(id);
    let head = world.db.storage_ref(MODEL_REGISTRY, slot).unwrap();
    let without = head & (U256::MAX >> 32usize);
    let calls = |world: &World| {
        let (by_name, by_id) = (run("test/dense", &[1.0, 2.0, 3.0]), IPredict::quoteIdCall { id });
        let resolve = IPredict::resolveCall {
            model: "test/dense@1".into(),
        };
        [by_name.abi_encode(), by_id.abi_encode(), resolve.abi_encode()]
            .map(|data| world.look(&Tx::call(PREDICT, data)))
    };
    // The engine has the model in memory from here on: what the record says counts all the same.
    let known = calls(&world);
    assert!(known.iter().all(|outcome| outcome.result.is_success()));
    for profile in [0u32, 2, u32::MAX] {
        let word = without | (U256::from(profile) << 224usize);
        world
            .db
            .insert_account_storage(MODEL_REGISTRY, slot, word)
            .unwrap();
        let expected = E::UnsupportedProfile(IPredict::UnsupportedProfile {
            id,
            profile,
            supported: PROFILE_VERSION,
        });
        let (warm, cold) = (calls(&world), calls(&world.cold()));
        for (warm, cold) in warm.iter().zip(&cold) {
            assert_eq!(refusal(&warm.result), expected);
            assert_eq!(warm.result, cold.result);
            assert_eq!(warm.state, cold.state);
        }
    }
}

#[test]
fn not_a_number() {
    let world = World::with_models();
    for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = E::NotFinite(IPredict::NotFinite {
            input: U256::ZERO,
            element: U256::from(2),
        });
        assert_eq!(world.refusal(&run("test/dense", &[1.0, 2.0, bad])), error);
        let call = tensors(vec![(1, vec![1, 3], pack(&[1.0, 2.0, bad]))], "test/dense");
        assert_eq!(world.refusal(&call), error);
    }
    let overflow = run("test/huge", &[f32::MAX]);
    let call = IPredict::classifyCall {
        model: "test/huge".into(),
        input: overflow.input,
    };
    let error = E::OutputNotFinite(IPredict::OutputNotFinite {
        output: U256::ZERO,
        element: U256::ZERO,
    });
    assert_eq!(world.refusal(&call), error);
    let call = IPredict::runFixedCall {
        model: "test/huge".into(),
        values: fixed(&[1 << 62]),
        inDecimals: 0,
        outDecimals: 0,
    };
    assert_eq!(world.refusal(&call), error, "4e38 is beyond f32");
    let call = IPredict::runFixedCall {
        model: "test/dense".into(),
        values: fixed(&[9; 3]),
        inDecimals: 0,
        outDecimals: 76,
    };
    let error = E::ValueOutOfRange(IPredict::ValueOutOfRange { element: U256::ZERO });
    assert_eq!(
        world.refusal(&call),
        error,
        "54.5 with 76 decimals is beyond int256"
    );
}

#[test]
fn tensors_of_other_types_and_shapes() {
    let world = World::with_models();
    let i64s = || 7i64.to_be_bytes().to_vec();
    type Case = (Vec<(u8, Vec<u64>, Vec<u8>)>, &'static str, fn(&E) -> bool);
    let cases: Vec<Case> = vec![
        (vec![], "test/dense", |e| matches!(e, E::WrongInputCount(_))),
        (vec![(1, vec![2], pack(&[0.0; 2]))], "test/pair", |e| {
            matches!(e, E::WrongInputCount(_))
        }),
        (vec![(11, vec![1, 3], vec![0; 24])], "test/dense", |e| {
            matches!(e, E::WrongInputType(_))
        }),
        (vec![(0, vec![1, 3], vec![0; 12])], "test/dense", |e| {
            matches!(e, E::WrongInputType(_))
        }),
        (vec![(1, vec![3], vec![0; 12])], "test/dense", |e| {
            matches!(e, E::WrongInputRank(_))
        }),
        (vec![(1, vec![1; 100], vec![0; 12])], "test/dense", |e| {
            matches!(e, E::WrongInputRank(_))
        }),
        (vec![(1, vec![3, 1], vec![0; 12])], "test/dense", |e| {
            matches!(e, E::WrongDimension(_))
        }),
        (vec![(1, vec![u64::MAX, 2], vec![])], "test/batched", |e| {
            matches!(e, E::DimensionOutOfRange(_))
        }),
        (vec![(1, vec![0, 2], vec![])], "test/batched", |e| {
            matches!(e, E::DimensionOutOfRange(_))
        }),
        (vec![(1, vec![1, 3], vec![0; 11])], "test/dense", |e| {
            matches!(e, E::WrongTensorLength(_))
        }),
        (
            vec![(1, vec![2], vec![0; 8]), (7, vec![1], vec![0; 9])],
            "test/pair",
            |e| matches!(e, E::WrongTensorLength(error) if error.input == U256::ONE),
        ),
        (
            vec![(7, vec![1], i64s()), (1, vec![2], vec![0; 8])],
            "test/pair",
            |e| matches!(e, E::WrongInputType(_)),
        ),
    ];
    for (inputs, model, expected) in cases {
        let refused = world.refusal(&tensors(inputs.clone(), model));
        assert!(expected(&refused), "{model} {inputs:?}: {refused:?}");
    }
    let shapes = IPredict::quoteShapesCall {
        model: "test/batched".into(),
        shapes: vec![vec![6, 2]],
    };
    assert!(matches!(world.refusal(&shapes), E::DimensionOutOfRange(_)));
}

#[test]
fn fixed_point_out_of_range() {
    let world = World::with_models();
    let call = |values: Vec<I256>, in_decimals, out_decimals| IPredict::runFixedCall {
        model: "test/dense".into(),
        values,
        inDecimals: in_decimals,
        outDecimals: out_decimals,
    };
    assert!(
        matches!(world.refusal(&call(fixed(&[0; 3]), 77, 0)), E::DecimalsOutOfRange(e) if e.decimals == 77)
    );
    assert!(matches!(
        world.refusal(&call(fixed(&[0; 3]), 0, 255)),
        E::DecimalsOutOfRange(_)
    ));
    let mut values = fixed(&[0; 3]);
    values[1] = I256::MAX;
    assert!(matches!(world.refusal(&call(values, 0, 0)), E::ValueOutOfRange(e) if e.element == U256::ONE));
    assert!(matches!(
        world.refusal(&IPredict::packCall { dtype: 8, values: vec![], decimals: 0 }),
        E::UnsupportedType(e) if e.dtype == 8
    ));
    let odd = IPredict::unpackCall {
        dtype: 1,
        data: vec![0; 5].into(),
        decimals: 0,
    };
    assert!(matches!(world.refusal(&odd), E::WrongInputLength(_)));
    let nan = IPredict::unpackCall {
        dtype: 1,
        data: f32::NAN.to_be_bytes().to_vec().into(),
        decimals: 0,
    };
    assert!(matches!(world.refusal(&nan), E::OutputNotFinite(_)));
}

#[test]
fn only_one_sample_is_classified() {
    let world = World::with_models();
    let call = IPredict::classifyCall {
        model: "test/batched".into(),
        input: pack(&[0.0; 4]).into(),
    };
    assert!(matches!(world.refusal(&call), E::NotAClassifier(_)));
}

#[test]
fn call_data_that_is_none() {
    let world = World::with_models();
    for data in [
        vec![],
        vec![1],
        vec![1, 2, 3],
        vec![0xde, 0xad, 0xbe, 0xef],
        vec![0; 100],
    ] {
        assert!(
            matches!(raw(&world, data.clone()), E::UnknownFunction(_)),
            "{data:02x?}"
        );
    }
    let good = run("test/dense", &[1.0, 2.0, 3.0]).abi_encode();
    for cut in 4..good.len() - 20 {
        assert!(
            matches!(raw(&world, good[..cut].to_vec()), E::MalformedCall(_)),
            "cut at {cut}"
        );
    }
    let nested = IPredict::withMaxGasCall {
        maxGas: 1_000_000,
        call: IPredict::withMaxGasCall {
            maxGas: 1,
            call: good.into(),
        }
        .abi_encode()
        .into(),
    };
    assert!(matches!(world.refusal(&nested), E::UnknownFunction(_)));
    let empty = IPredict::withMaxGasCall {
        maxGas: 1_000_000,
        call: Bytes::new(),
    };
    assert!(matches!(world.refusal(&empty), E::UnknownFunction(_)));
}

#[test]
fn shapes_that_no_length_determines() {
    let mut world = World::genesis();
    let dims = [Dim::Free("n"), Dim::Free("m")];
    let graph = Graph::default()
        .input("x", F32, &dims)
        .node("Relu", &["x"], &["y"])
        .output("y", F32, &dims);
    world.publish("test/free", &import(&graph.file(), &[("n", 4), ("m", 4)]));
    assert!(matches!(
        world.refusal(&run("test/free", &[1.0; 4])),
        E::AmbiguousShape(_)
    ));
    let values = fixed(&[1; 4]);
    let call = IPredict::runFixedCall {
        model: "test/free".into(),
        values,
        inDecimals: 0,
        outDecimals: 0,
    };
    assert!(matches!(world.refusal(&call), E::AmbiguousShape(_)));
    let call = tensors(vec![(1, vec![4, 1], pack(&[1.0, -1.0, 2.0, -2.0]))], "test/free");
    assert_eq!(
        world.predict(&call)[0].data,
        Bytes::from(pack(&[1.0, 0.0, 2.0, 0.0]))
    );
}

#[test]
fn shapes_that_the_graph_cannot_take() {
    let mut world = World::genesis();
    let dims = [Dim::Free("n")];
    let graph = Graph::default()
        .input("x", F32, &dims)
        .weights("b", &[3], &[1.0, 2.0, 3.0])
        .node("Relu", &["x"], &["r"])
        .node("Add", &["r", "b"], &["y"])
        .output("y", F32, &[Dim::Size(3)]);
    world.publish("test/add", &import(&graph.file(), &[("n", 3)]));
    assert_eq!(
        world.predict(&run("test/add", &[1.0; 3])),
        Bytes::from(pack(&[2.0, 3.0, 4.0]))
    );
    let error = E::UnsupportedShape(IPredict::UnsupportedShape { node: U256::ONE });
    assert_eq!(world.refusal(&run("test/add", &[1.0; 2])), error);
}

#[test]
fn data_that_an_operator_refuses() {
    let mut world = World::genesis();
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(3)])
        .input("i", I64, &[Dim::Size(1)])
        .node("Relu", &["x"], &["r"])
        .node("Gather", &["r", "i"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    world.publish("test/gather", &import(&graph.file(), &[]));
    let call = |index: i64| {
        let input = [pack(&[1.0, 2.0, 3.0]), index.to_be_bytes().to_vec()].concat();
        IPredict::runCall {
            model: "test/gather".into(),
            input: input.into(),
        }
    };
    assert_eq!(world.predict(&call(2)), Bytes::from(pack(&[3.0])));
    assert_eq!(world.predict(&call(-3)), Bytes::from(pack(&[1.0])));
    for index in [3, -4, i64::MAX, i64::MIN] {
        let error = E::ExecutionFailed(IPredict::ExecutionFailed { node: U256::ONE });
        assert_eq!(world.refusal(&call(index)), error, "index {index}");
    }
}

#[test]
fn booleans_are_zero_or_one() {
    let mut world = World::genesis();
    let dims = [Dim::Size(3)];
    let graph = Graph::default()
        .input("x", BOOL, &dims)
        .node("Not", &["x"], &["y"])
        .output("y", BOOL, &dims);
    world.publish("test/not", &import(&graph.file(), &[]));
    let call = |input: [u8; 3]| IPredict::runCall {
        model: "test/not".into(),
        input: input.to_vec().into(),
    };
    assert_eq!(world.predict(&call([0, 1, 0])), Bytes::from(vec![1, 0, 1]));
    let error = E::InvalidBool(IPredict::InvalidBool {
        input: U256::ZERO,
        element: U256::from(2),
    });
    assert_eq!(world.refusal(&call([0, 1, 2])), error);
}

#[test]
fn memory_above_the_limit() {
    let mut world = World::genesis();
    let graph = Graph::default()
        .input("x", F32, &[Dim::Size(1)])
        .i64s("repeats", &[1 << 28])
        .node("Tile", &["x", "repeats"], &["t"])
        .node("ReduceMax", &["t"], &["y"])
        .output("y", F32, &[Dim::Size(1)]);
    world.publish("test/wide", &import(&graph.file(), &[]));
    let refused = world.refusal(&run("test/wide", &[1.0]));
    let E::MemoryLimitExceeded(error) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(error.limit, synod_evm::gas::MAX_PEAK_MEMORY);
    assert!(
        error.needed > 1 << 30 && error.needed < (1 << 30) + (1 << 20),
        "{}",
        error.needed
    );
    let call = IPredict::quoteCall {
        model: "test/wide".into(),
    };
    assert!(matches!(world.refusal(&call), E::MemoryLimitExceeded(_)));
}
