//! Calls that are over before a thread would have woken.
//!
//! To hand a call to the [`crate::workers`] wakes a thread and then the connection again, which costs more than most calls
//! do. So a call that may be small is tried where it was read, under a [`Brief`]. It runs with all that it would have among
//! the workers, its gas limit above all, since contracts can see how much gas they have (`gasleft`, and the 63/64 that a call
//! passes on). The brief counts what it does and stops it from outside when it is no small call after all. Then nothing of
//! it counts, and it begins anew among the workers.
//!
//! One gas is about 10 ns of work (`synod_evm::gas`), so what is counted is gas, and more where gas may be too little for
//! a thread that must not wait:
//!
//! | what | counts |
//! |---|---|
//! | an instruction | its gas |
//! | an instruction that may load code, a call among them | [`CODE`] more: code may be long, and is analysed |
//! | a hash of an old block | [`HASH`] more: a header is read |
//! | memory further than [`MEMORY`] | too much |
//! | a precompile whose work follows from so much memory (recovery, SHA-256, RIPEMD-160, identity) | its gas |
//! | PREDICT | its gas, of which it may have no more than [`GAS`] ([`inference_gas`]) |
//! | any other precompile, a creation | too much |

use alloy_primitives::{Address, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    Inspector,
    bytecode::opcode::*,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, InstructionResult, Interpreter,
        InterpreterAction,
        interpreter::EthInterpreter,
        interpreter_types::{Jumps, LoopControl},
    },
};
use synod_evm::{addresses::PREDICT, opcode::EXTENSION};

/// What a brief call may come to, in gas: a millisecond at most, some microseconds for most.
pub(crate) const GAS: u64 = 100_000;
/// What loading an account's code counts beside its gas.
const CODE: u64 = 10_000;
/// What the hash of an old block counts beside its gas.
const HASH: u64 = 1_000;
/// How far into memory, and over how much of it, one instruction may reach.
const MEMORY: U256 = U256::from_limbs([32 << 10, 0, 0, 0]);
/// Bytes of call data.
const CALL_DATA: usize = 16 << 10;

/// Whether it makes sense to try this call briefly: what happens before its first instruction must be little too.
pub(crate) fn may_be_brief(request: &TransactionRequest) -> bool {
    let data = request.input.input().map_or(0, |data| data.len());
    data <= CALL_DATA
        && request.to.is_some_and(|to| to.is_call())
        && request.access_list.as_ref().is_none_or(|list| list.0.is_empty())
        && request.authorization_list.is_none()
        && request.blob_versioned_hashes.is_none()
        && request.sidecar.is_none()
}

/// The inference gas that a brief call gets of what the block's rules give it. That it is less shows in nothing but a
/// PREDICT that runs out of gas, and then the call is not brief.
pub(crate) fn inference_gas(limit: u64) -> u64 {
    limit.min(GAS)
}

/// Counts what a call does, and stops it at its next instruction when that is too much.
#[derive(Debug)]
pub(crate) struct Brief {
    left: u64,
    over: bool,
    /// Gas before the instruction that runs.
    before: u64,
}

impl Brief {
    pub(crate) const fn new() -> Self {
        Self {
            left: GAS,
            over: false,
            before: 0,
        }
    }

    /// Whether it was too much: then what came out means nothing.
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }

    const fn count(&mut self, gas: u64) {
        match self.left.checked_sub(gas) {
            Some(left) => self.left = left,
            None => self.over = true,
        }
    }
}

impl<C> Inspector<C, EthInterpreter> for Brief {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        let opcode = interpreter.bytecode.opcode();
        for position in reach(opcode) {
            // A stack that is too short fails by itself.
            self.over |= interpreter
                .stack
                .peek(*position)
                .is_ok_and(|bytes| bytes > MEMORY);
        }
        match opcode {
            EXTCODESIZE | EXTCODECOPY | EXTCODEHASH => self.count(CODE),
            BLOCKHASH => self.count(HASH),
            _ => {}
        }
        self.before = interpreter.gas.remaining();
        if self.over {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }

    fn step_end(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        // The gas that a call passes on is not spent; what the call costs itself is part of what a call counts.
        if !opens_frame(interpreter) {
            self.count(self.before.saturating_sub(interpreter.gas.remaining()));
        }
    }

    fn call(&mut self, _: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        self.count(CODE);
        let address = inputs.bytecode_address;
        self.over |= may_be_precompile(address) && !is_bounded(address) && address != PREDICT;
        self.over.then(|| {
            CallOutcome::new_oog(
                inputs.gas_limit,
                inputs.return_memory_offset.clone(),
                inputs.reservoir,
            )
        })
    }

    fn call_end(&mut self, _: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        let address = inputs.bytecode_address;
        if may_be_precompile(address) {
            self.count(outcome.result.gas.total_gas_spent());
        }
        // Its gas may have been there, and only the brief's share of it used up.
        self.over |= address == PREDICT && outcome.result.result.is_halt();
    }

    fn create(&mut self, _: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        self.over = true;
        Some(CreateOutcome::new_oog(inputs.gas_limit(), inputs.reservoir()))
    }
}

/// Ethereum's precompiles have short numbers, shorter than those of this chain's own contracts.
fn may_be_precompile(address: Address) -> bool {
    let (zeros, number) = address.split_at(18);
    address == PREDICT || zeros.iter().all(|byte| *byte == 0) && number[0] < 0x10
}

/// Whether it is one of the precompiles whose work follows from the length of their input, and is little for a short one.
fn is_bounded(address: Address) -> bool {
    (1..=4).any(|number| address == Address::with_last_byte(number))
}

/// Whether the instruction that ran was a call.
fn opens_frame(interpreter: &mut Interpreter<EthInterpreter>) -> bool {
    matches!(
        interpreter.bytecode.action(),
        Some(InterpreterAction::NewFrame(_))
    )
}

/// Where on the stack an instruction has offsets in memory, and lengths.
const fn reach(opcode: u8) -> &'static [usize] {
    match opcode {
        MLOAD | MSTORE | MSTORE8 => &[0],
        KECCAK256 | RETURN | REVERT | LOG0..=LOG4 => &[0, 1],
        CALLDATACOPY | CODECOPY | RETURNDATACOPY => &[0, 2],
        MCOPY => &[0, 1, 2],
        EXTCODECOPY => &[1, 3],
        CREATE | CREATE2 => &[1, 2],
        CALL | CALLCODE => &[3, 4, 5, 6],
        DELEGATECALL | STATICCALL => &[2, 3, 4, 5],
        EXTENSION => &[0, 1, 2, 3],
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
