//! What predictions answer, in each form of input.

use crate::world::{World, dense_output, fixed, pack, run, unpack};
use alloy_primitives::{B256, Bytes, I256, U256};
use alloy_sol_types::SolCall;
use synod_evm::interface::IPredict;

#[test]
fn packed_input_by_name_version_and_id() {
    let world = World::with_models();
    let x = [1.0, -2.0, 0.5];
    let expected = dense_output(x);
    assert_eq!(unpack(&world.predict(&run("test/dense", &x))), expected);
    assert_eq!(unpack(&world.predict(&run("test/dense@1", &x))), expected);
    let id = world.predict(&IPredict::resolveCall {
        model: "test/dense".into(),
    });
    let by_id = IPredict::runIdCall {
        id,
        input: pack(&x).into(),
    };
    assert_eq!(unpack(&world.predict(&by_id)), expected);
}

#[test]
fn a_free_dimension_follows_from_the_length() {
    let world = World::with_models();
    for n in 1..=5usize {
        let x: Vec<f32> = (0..2 * n).map(|i| i as f32).collect();
        let expected: Vec<f32> = x
            .chunks(2)
            .flat_map(|row| [row[0] + 3.0 * row[1], 2.0 * row[0] + 4.0 * row[1]])
            .collect();
        assert_eq!(
            unpack(&world.predict(&run("test/batched", &x))),
            expected,
            "n = {n}"
        );
    }
}

#[test]
fn several_inputs_and_outputs_packed_and_as_tensors() {
    let world = World::with_models();
    let packed = [pack(&[1.5, -2.0]), 7i64.to_be_bytes().to_vec()].concat();
    let expected = [pack(&[1.5, 0.0]), 7i64.to_be_bytes().to_vec()].concat();
    let call = IPredict::runCall {
        model: "test/pair".into(),
        input: packed.into(),
    };
    assert_eq!(world.predict(&call), Bytes::from(expected));

    let tensor = |dtype: u8, shape: &[u64], data: Vec<u8>| IPredict::Tensor {
        dtype,
        shape: shape.to_vec(),
        data: data.into(),
    };
    let call = IPredict::runTensorsCall {
        model: "test/pair".into(),
        inputs: vec![
            tensor(1, &[2], pack(&[1.5, -2.0])),
            tensor(7, &[1], 7i64.to_be_bytes().to_vec()),
        ],
    };
    let outputs = world.predict(&call);
    assert_eq!(
        outputs,
        [
            tensor(1, &[2], pack(&[1.5, 0.0])),
            tensor(7, &[1], 7i64.to_be_bytes().to_vec())
        ]
    );

    let batch = tensor(1, &[3, 2], pack(&[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]));
    let call = IPredict::runTensorsCall {
        model: "test/batched".into(),
        inputs: vec![batch],
    };
    assert_eq!(
        world.predict(&call),
        [tensor(1, &[3, 2], pack(&[1.0, 2.0, 3.0, 4.0, 4.0, 6.0]))]
    );
}

#[test]
fn fixed_point_in_and_out() {
    let world = World::with_models();
    let call = IPredict::runFixedCall {
        model: "test/dense".into(),
        values: fixed(&[1_000, -2_000, 500]),
        inDecimals: 3,
        outDecimals: 4,
    };
    let expected: Vec<i64> = dense_output([1.0, -2.0, 0.5])
        .iter()
        .map(|value| (value * 10_000.0) as i64)
        .collect();
    assert_eq!(world.predict(&call), fixed(&expected));
    // Inputs of two types share the decimals; results of two types too.
    let call = IPredict::runFixedCall {
        model: "test/pair".into(),
        values: fixed(&[15, -20, 25]),
        inDecimals: 1,
        outDecimals: 2,
    };
    assert_eq!(
        world.predict(&call),
        fixed(&[150, 0, 200]),
        "2.5 as an integer is 2, to even"
    );
}

#[test]
fn classify_gives_the_first_of_the_greatest() {
    let world = World::with_models();
    let score = |value: f32| I256::try_from((f64::from(value) * 1e18) as i128).unwrap();
    for (x, label) in [
        ([1.0, 1.0, 1.0], 0u64),
        ([-3.0, 0.0, 0.0], 1),
        ([-10.0, 2.0, 0.0], 1),
    ] {
        let best = dense_output(x)[label as usize];
        let answer = world.predict(&IPredict::classifyCall {
            model: "test/dense".into(),
            input: pack(&x).into(),
        });
        assert_eq!(
            (answer.label, answer.score),
            (U256::from(label), score(best)),
            "{x:?}"
        );
        let values = fixed(&x.map(|value| value as i64 * 100));
        let call = IPredict::classifyFixedCall {
            model: "test/dense".into(),
            values,
            decimals: 2,
        };
        let answer = world.predict(&call);
        assert_eq!(
            (answer.label, answer.score),
            (U256::from(label), score(best)),
            "{x:?} in fixed point"
        );
    }
    // Both outputs are zero after Relu.
    let answer = world.predict(&IPredict::classifyCall {
        model: "test/dense".into(),
        input: pack(&[5.0, -4.0, 0.0]).into(),
    });
    assert_eq!((answer.label, answer.score), (U256::ZERO, I256::ZERO));
}

#[test]
fn a_batch_is_its_parts() {
    let world = World::with_models();
    let inputs: Vec<Vec<f32>> = vec![
        vec![1.0, 2.0],
        vec![3.0, 4.0],
        vec![1.0, 2.0, 3.0, 4.0],
        vec![5.0, 6.0],
    ];
    let call = IPredict::runBatchCall {
        model: "test/batched".into(),
        inputs: inputs.iter().map(|input| pack(input).into()).collect(),
    };
    let alone: Vec<Bytes> = inputs
        .iter()
        .map(|input| world.predict(&run("test/batched", input)))
        .collect();
    assert_eq!(world.predict(&call), alone);
    let none = IPredict::runBatchCall {
        model: "test/batched".into(),
        inputs: vec![],
    };
    assert_eq!(world.predict(&none), Vec::<Bytes>::new());
}

#[test]
fn infinities_leave_packed_but_not_as_fixed_point() {
    let world = World::with_models();
    let x = f32::MAX;
    assert_eq!(unpack(&world.predict(&run("test/huge", &[x]))), [f32::INFINITY]);
}

#[test]
fn signatures_name_types_and_dimensions() {
    let world = World::with_models();
    let answer = world.predict(&IPredict::signatureCall {
        model: "test/batched".into(),
    });
    let dimension = |symbol: &str, size| IPredict::Dimension {
        symbol: symbol.into(),
        size,
    };
    let port = |name: &str, dtype, shape: Vec<_>| IPredict::Port {
        name: name.into(),
        dtype,
        shape,
    };
    assert_eq!(
        answer.inputs,
        [port("x", 1, vec![dimension("n", 5), dimension("", 2)])]
    );
    assert_eq!(
        answer.outputs,
        [port("y", 1, vec![dimension("n", 5), dimension("", 2)])]
    );
    let answer = world.predict(&IPredict::signatureCall {
        model: "test/pair".into(),
    });
    assert_eq!(answer.inputs[1], port("b", 7, vec![dimension("", 1)]));
}

#[test]
fn numbers_pack_and_unpack() {
    let world = World::genesis();
    let values = fixed(&[1_500_000, -250_000, 0]);
    let packed = world.predict(&IPredict::packCall {
        dtype: 1,
        values: values.clone(),
        decimals: 6,
    });
    assert_eq!(unpack(&packed), [1.5, -0.25, 0.0]);
    assert_eq!(
        world.predict(&IPredict::unpackCall {
            dtype: 1,
            data: packed,
            decimals: 6
        }),
        values
    );
    let packed = world.predict(&IPredict::packCall {
        dtype: 7,
        values: fixed(&[-1]),
        decimals: 0,
    });
    assert_eq!(packed, Bytes::from((-1i64).to_be_bytes()));
}

#[test]
fn withmaxgas_hands_the_answer_through() {
    let world = World::with_models();
    let inner = run("test/dense", &[1.0, 2.0, 3.0]);
    let call = IPredict::withMaxGasCall {
        maxGas: 1_000_000,
        call: inner.abi_encode().into(),
    };
    let answer = IPredict::runCall::abi_decode_returns(&world.predict(&call)).unwrap();
    assert_eq!(answer, world.predict(&inner));
}

#[test]
fn an_id_of_nothing_is_unknown() {
    let world = World::with_models();
    let call = IPredict::runIdCall {
        id: B256::ZERO,
        input: Bytes::new(),
    };
    assert!(matches!(
        world.refusal(&call),
        IPredict::IPredictErrors::UnknownModelId(_)
    ));
}
