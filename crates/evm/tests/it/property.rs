//! What must hold for any call data whatever: shared by the seeded test and the fuzz target.

use crate::world::{Tx, World};
use alloy_evm::revm::context::result::{ExecutionResult, HaltReason};
use alloy_primitives::Bytes;
use alloy_sol_types::SolInterface;
use synod_evm::{addresses::PREDICT, interface::IPredict::IPredictErrors};

/// How a call of the precompile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    Refused,
    OutOfGas,
}

/// Calls the precompile with `gas` for execution and asserts that the call ends with an answer, with an error of the interface,
/// or out of gas, and in the same way with the same gas on a node that has nothing in memory.
pub(crate) fn ends_as_specified(world: &World, data: Bytes, gas: u64) -> End {
    // Enough for the transaction itself, of which a byte of call data costs at most 40 gas (EIP-7623).
    let gas = 21_000 + 40 * data.len() as u64 + gas;
    let tx = Tx {
        gas,
        ..Tx::call(PREDICT, data)
    };
    let outcome = world.look(&tx).result;
    assert_eq!(
        world.cold().look(&tx).result,
        outcome,
        "a cold node differs: {tx:?}"
    );
    match outcome {
        ExecutionResult::Success { .. } => End::Answered,
        ExecutionResult::Revert { output, .. } => {
            assert!(
                IPredictErrors::abi_decode(&output).is_ok(),
                "a revert without a type: {output}, {tx:?}"
            );
            End::Refused
        }
        ExecutionResult::Halt { reason, .. } => {
            assert!(
                matches!(reason, HaltReason::OutOfGas(_) | HaltReason::PrecompileError),
                "{reason:?}, {tx:?}"
            );
            End::OutOfGas
        }
    }
}
