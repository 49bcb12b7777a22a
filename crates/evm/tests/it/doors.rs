//! The ways in: instruction and precompile, every kind of call, constructors, nesting, `try`/`catch`.

use crate::artifacts::PredictShim;
use crate::world::{
    ALICE, Prober, Tx, World, dense_output, pack, prober_code, refusal_data, run, success, unpack,
};
use alloy_evm::{
    Evm, EvmFactory,
    revm::{
        bytecode::Bytecode,
        context::result::{ExecutionResult, HaltReason},
        context_interface::transaction::{AccessList, AccessListItem},
        state::AccountInfo,
    },
};
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::SolCall;
use synod_evm::{
    addresses::PREDICT,
    interface::IPredict::{self, IPredictErrors},
};

const X: [f32; 3] = [1.0, -2.0, 0.5];

/// A contract that hands its call data to a door and returns the success word, then the return data.
///
/// `door` is the code between the arguments (input offset, input size, output offset, output size on the stack, top first)
/// and the success word.
fn relay(before: &[u8], door: &[u8]) -> Vec<u8> {
    let mut runtime = vec![0x36, 0x5f, 0x5f, 0x37]; // calldatacopy(0, 0, calldatasize)
    runtime.extend([0x5f, 0x5f, 0x36, 0x5f]); // out size, out offset, in size, in offset
    runtime.extend(before);
    runtime.extend(door);
    runtime.extend([0x5f, 0x52]); // mstore(0, success)
    runtime.extend([0x3d, 0x5f, 0x60, 0x20, 0x3e]); // returndatacopy(32, 0, returndatasize)
    runtime.extend([0x3d, 0x60, 0x20, 0x01, 0x5f, 0xf3]); // return(0, returndatasize + 32)
    let mut init = vec![
        0x60,
        runtime.len() as u8,
        0x60,
        0x0a,
        0x5f,
        0x39,
        0x60,
        runtime.len() as u8,
        0x5f,
        0xf3,
    ];
    init.extend(runtime);
    init
}

/// `PUSH2 ae01, GAS` and a call opcode that takes no value.
const STATICCALL: [u8; 5] = [0x61, 0xae, 0x01, 0x5a, 0xfa];
const DELEGATECALL: [u8; 5] = [0x61, 0xae, 0x01, 0x5a, 0xf4];
/// With a zero value below the address.
const CALL: [u8; 6] = [0x5f, 0x61, 0xae, 0x01, 0x5a, 0xf1];
const CALLCODE: [u8; 6] = [0x5f, 0x61, 0xae, 0x01, 0x5a, 0xf2];
const INSTRUCTION: [u8; 2] = [0xae, 0x01];

#[test]
fn every_door_gives_the_same_answer_and_refusal() {
    let mut world = World::with_models();
    let good = run("test/dense", &X).abi_encode();
    let bad = run("test/dense", &X[..2]).abi_encode();
    let direct = success(&world.look(&Tx::call(PREDICT, good.clone())).result);
    let doors: [(&str, &[u8]); 5] = [
        ("instruction", &INSTRUCTION),
        ("STATICCALL", &STATICCALL),
        ("DELEGATECALL", &DELEGATECALL),
        ("CALL", &CALL),
        ("CALLCODE", &CALLCODE),
    ];
    for (name, door) in doors {
        let contract = world.deploy(relay(&[], door));
        let answer = success(&world.look(&Tx::call(contract, good.clone())).result);
        assert_eq!(answer[..32], U256::ONE.to_be_bytes::<32>(), "{name}");
        assert_eq!(answer[32..], direct[..], "{name}");
        let refused = success(&world.look(&Tx::call(contract, bad.clone())).result);
        assert_eq!(refused[..32], [0; 32], "{name}");
        assert!(
            matches!(refusal_data(&refused[32..]), IPredictErrors::WrongInputLength(_)),
            "{name}"
        );
    }
}

#[test]
fn the_instruction_costs_what_a_static_call_costs() {
    let mut world = World::with_models();
    // STATICCALL pushes address and gas: PUSH2 3, GAS 2, which the instruction does not need.
    let instruction = world.deploy(relay(&[], &INSTRUCTION));
    let call = world.deploy(relay(&[], &STATICCALL));
    for data in [
        run("test/dense", &X).abi_encode(),
        run("no/model", &X).abi_encode(),
        vec![],
    ] {
        let gas = |to: Address| world.look(&Tx::call(to, data.clone())).result.tx_gas_used();
        assert_eq!(gas(instruction) + 5, gas(call));
    }
}

#[test]
fn the_yul_shim_is_the_precompile() {
    let mut world = World::with_models();
    let shim = world.deploy(PredictShim::BYTECODE.to_vec());
    let call = run("test/dense", &X);
    assert_eq!(world.ask(shim, &call), world.predict(&call));
    let outcome = world
        .look(&Tx::call(shim, run("no/model", &X).abi_encode()))
        .result;
    assert!(matches!(
        crate::world::refusal(&outcome),
        IPredictErrors::UnknownModel(_)
    ));
}

#[test]
fn other_selectors_halt() {
    let mut world = World::with_models();
    for code in [
        &[0xae, 0x00][..],
        &[0xae, 0x02],
        &[0xae, 0x5b],
        &[0xae, 0xff],
        &[0xae],
    ] {
        let mut init = vec![
            0x60,
            code.len() as u8,
            0x60,
            0x0a,
            0x5f,
            0x39,
            0x60,
            code.len() as u8,
            0x5f,
            0xf3,
        ];
        init.extend(code);
        let contract = world.deploy(init);
        let outcome = world
            .look(&Tx {
                gas: 100_000,
                ..Tx::call(contract, vec![])
            })
            .result;
        let ExecutionResult::Halt { reason, gas, .. } = outcome else {
            panic!("{code:02x?}: {outcome:?}")
        };
        assert_eq!(reason, HaltReason::OpcodeNotFound, "{code:02x?}");
        assert_eq!(gas.tx_gas_used(), 100_000, "{code:02x?}");
    }
}

#[test]
fn a_stack_underflow_halts() {
    let mut world = World::genesis();
    // 5f 5f 5f ae 01: three items where four are needed.
    let contract = world.deploy(vec![
        0x64, 0x5f, 0x5f, 0x5f, 0xae, 0x01, 0x5f, 0x52, 0x60, 0x05, 0x60, 0x1b, 0xf3,
    ]);
    let outcome = world.look(&Tx::call(contract, vec![])).result;
    assert!(
        matches!(
            outcome,
            ExecutionResult::Halt {
                reason: HaltReason::StackUnderflow,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[test]
fn constructors_may_ask() {
    let mut world = World::with_models();
    let prober = world.deploy(prober_code("test/dense", &pack(&X)));
    assert_eq!(unpack(&world.ask(prober, &Prober::bornCall {})), dense_output(X));
    let outcome = world.send(&Tx::create(prober_code("test/dense", &[])));
    assert!(matches!(
        crate::world::refusal(&outcome),
        IPredictErrors::WrongInputLength(_)
    ));
}

#[test]
fn nested_calls_and_delegated_libraries_may_ask() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let input: Bytes = pack(&X).into();
    let expected = dense_output(X);
    for depth in [0, 1, 20] {
        let call = Prober::nestedCall {
            depth: U256::from(depth),
            model: "test/dense".into(),
            input: input.clone(),
        };
        assert_eq!(unpack(&world.ask(prober, &call)), expected, "depth {depth}");
    }
    let call = Prober::viaLibraryCall {
        model: "test/dense".into(),
        input: input.clone(),
    };
    assert_eq!(unpack(&world.ask(prober, &call)), expected);
    let inner = run("test/dense", &X).abi_encode();
    let answer = world.ask(prober, &Prober::viaDelegatecallCall { call: inner.into() });
    assert!(answer.success);
    assert_eq!(
        unpack(&IPredict::runCall::abi_decode_returns(&answer.answer).unwrap()),
        expected
    );
}

#[test]
fn refusals_can_be_caught_and_the_transaction_goes_on() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let call = |input: &[f32]| Prober::caughtCall {
        model: "test/dense".into(),
        input: pack(input).into(),
    };
    let outcome = world.send(&Tx::call(prober, call(&X[..1]).abi_encode()));
    let answer = Prober::caughtCall::abi_decode_returns(&success(&outcome)).unwrap();
    assert!(!answer.success);
    assert!(matches!(
        refusal_data(&answer.answer),
        IPredictErrors::WrongInputLength(_)
    ));
    assert_eq!(
        world.ask(prober, &Prober::keptCall {}),
        answer.answer,
        "the transaction's own writes stay"
    );
    success(&world.send(&Tx::call(prober, call(&X).abi_encode())));
    assert_eq!(unpack(&world.ask(prober, &Prober::keptCall {})), dense_output(X));
}

#[test]
fn ether_is_refused_and_stays_with_the_sender() {
    let mut world = World::with_models();
    let prober = world.deploy_prober();
    let call = Prober::withValueCall {
        call: run("test/dense", &X).abi_encode().into(),
    };
    let outcome = world.send(&Tx {
        value: U256::from(7),
        ..Tx::call(prober, call.abi_encode())
    });
    let answer = Prober::withValueCall::abi_decode_returns(&success(&outcome)).unwrap();
    assert!(!answer.success);
    assert!(matches!(
        refusal_data(&answer.answer),
        IPredictErrors::NonPayable(_)
    ));
    assert_eq!(world.db.cache.accounts[&prober].info.balance, U256::from(7));
    let direct = Tx {
        value: U256::ONE,
        ..Tx::call(PREDICT, run("test/dense", &X).abi_encode())
    };
    assert!(matches!(
        crate::world::refusal(&world.look(&direct).result),
        IPredictErrors::NonPayable(_)
    ));
}

#[test]
fn an_account_that_only_asks_changes_nothing_else() {
    let mut world = World::with_models();
    let before = world.db.clone();
    success(&world.send(&Tx::call(PREDICT, run("test/dense", &X).abi_encode())));
    for (address, account) in &before.cache.accounts {
        if *address != ALICE {
            assert_eq!(
                world.db.cache.accounts[address].storage, account.storage,
                "{address}"
            );
            assert_eq!(world.db.cache.accounts[address].info, account.info, "{address}");
        }
    }
}

#[test]
fn an_access_list_buys_nothing_inside_the_engine() {
    let world = World::with_models();
    let call = run("test/dense", &X).abi_encode();
    let plain = world.look(&Tx::call(PREDICT, call.clone())).result;
    let list = AccessList(vec![AccessListItem {
        address: synod_evm::addresses::MODEL_REGISTRY,
        storage_keys: vec![],
    }]);
    let listed = world
        .look(&Tx {
            access_list: list,
            ..Tx::call(PREDICT, call)
        })
        .result;
    // EIP-2930: 2,400 for an address.
    assert_eq!(plain.tx_gas_used() + 2_400, listed.tx_gas_used());
}

#[test]
fn an_account_delegated_to_the_precompile_halts() {
    use alloy_evm::revm::{bytecode::Bytecode, state::AccountInfo};
    let mut world = World::with_models();
    let account = Address::repeat_byte(0x77);
    let code = Bytecode::new_eip7702(PREDICT);
    let info = AccountInfo {
        code_hash: code.hash_slow(),
        code: Some(code),
        ..Default::default()
    };
    world.db.insert_account_info(account, info);
    let outcome = world
        .look(&Tx::call(account, run("test/dense", &X).abi_encode()))
        .result;
    assert!(
        matches!(
            outcome,
            ExecutionResult::Halt {
                reason: HaltReason::InvalidFEOpcode,
                ..
            }
        ),
        "{outcome:?}"
    );
}

#[test]
fn the_precompile_is_as_warm_as_ethereums() {
    let mut world = World::genesis();
    let reader = Address::repeat_byte(0x66);
    let mut gas = |address: Address| {
        // PUSH20 address, BALANCE.
        let code = [&[0x73], address.as_slice(), &[0x31]].concat();
        let code = Bytecode::new_raw(code.into());
        let info = AccountInfo::default().with_code(code);
        world.db.insert_account_info(reader, info);
        world.look(&Tx::call(reader, vec![])).result.tx_gas_used()
    };
    let ecrecover = Address::with_last_byte(1);
    assert_eq!(gas(PREDICT), gas(ecrecover));
    assert_eq!(gas(PREDICT) + 2_500, gas(Address::with_last_byte(0xff)));
}

#[test]
fn an_evm_may_have_the_precompile_elsewhere() {
    let world = World::with_models();
    let elsewhere = Address::repeat_byte(0x77);
    let call = run("test/dense", &X).abi_encode();
    let mut evm = world.factory.create_evm(world.db.clone(), world.env.clone());
    evm.precompiles_mut()
        .to_mut()
        .move_precompiles([(PREDICT, elsewhere)])
        .unwrap();
    let addresses = evm.precompiles().addresses();
    assert!(addresses.contains(&elsewhere) && !addresses.contains(&PREDICT));
    let mut outcome = |to: Address| {
        let tx = world.tx_env(&Tx::call(to, call.clone()));
        evm.transact_raw(tx).unwrap().result
    };
    let answer = world.look(&Tx::call(PREDICT, call.clone())).result;
    assert_eq!(success(&outcome(elsewhere)), success(&answer));
    // What the account has as code does not run.
    assert!(!outcome(PREDICT).is_success());
    // Others of the same factory have theirs where it was.
    let other = world.factory.create_evm(world.db.clone(), world.env.clone());
    assert!(other.precompiles().get(&PREDICT).is_some());
}
