//! Whom the registry calls: nobody who could call back.

use super::access::{changes, offered, questions};
use super::*;

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
fn the_registry_calls_the_engine_statically_and_the_factory_for_patches_and_nobody_else() {
    let world = offered();
    let (mut engine, mut factory) = (0, 0);
    for call in changes().into_iter().map(|change| change.call).chain(questions()) {
        for from in ACCOUNTS {
            let (_, Outgoing(calls)) = world.look_with(&tx(from, call.abi_encode()), Outgoing::default());
            for made in calls {
                match made {
                    (PREDICT, CallScheme::StaticCall) => engine += 1,
                    // What it deploys there begins with STOP, behind init code that returns it: nobody gets to run.
                    (CHUNK_FACTORY, CallScheme::Call) if matches!(call, Calls::publishEdits(_)) => {
                        factory += 1
                    }
                    other => panic!("{call:?}: {other:?}"),
                }
            }
        }
    }
    assert!(engine > 0, "publish and resolve ask the engine");
    assert_eq!(
        factory,
        ACCOUNTS.len(),
        "whoever may not publish is told after the edits are checked"
    );
    // Nor could it: the code has no other instruction that runs foreign code.
    let mut calls = 0;
    let mut code = ModelRegistry::DEPLOYED_BYTECODE.iter();
    while let Some(&instruction) = code.next() {
        calls += usize::from(instruction == opcode::CALL);
        let leaves = [
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
    assert_eq!(calls, 1, "the one to the factory");
}
