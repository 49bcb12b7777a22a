//! PREDICT as an instruction: `AE 01`.
//!
//! EIP-8163 sets `AE` (EXTENSION) aside for chains other than Ethereum, where it stays invalid for ever. The byte after it
//! selects the instruction. Jump-destination analysis is left as it is, so to it the selector is an instruction of its own: it
//! must never be `5b` (JUMPDEST) nor `60`-`7f` (PUSH1-PUSH32, which would hide what follows).
//!
//! ```text
//! AE 01   stack, top first:  input offset, input size, output offset, output size  →  success
//! ```
//!
//! The instruction opens a static call frame to the precompile. There is one implementation and one price; tracers see a
//! call; the 63/64 rule (EIP-150), revert data and depth limit are those of `STATICCALL`.

use crate::addresses::PREDICT;
use alloy_evm::revm::{
    bytecode::Bytecode,
    interpreter::{
        CallInput, CallInputs, CallScheme, CallValue, FrameInput, Host, InstructionContext,
        InstructionExecResult, InstructionResult, InterpreterAction, InterpreterTypes, gas,
        instructions::contract::get_memory_input_and_out_ranges,
        interpreter_types::{Immediates, InputsTr, Jumps, LoopControl},
    },
    primitives::{KECCAK_EMPTY, U256},
};

/// The EXTENSION byte of EIP-8163.
pub const EXTENSION: u8 = 0xae;

/// The selector of PREDICT.
pub const PREDICT_SELECTOR: u8 = 0x01;

/// What the instruction itself costs: as a call to a warm account (EIP-2929), which a precompile always is.
pub const STATIC_GAS: u16 = 100;

/// The EXTENSION instruction.
pub(crate) fn extension<IT: InterpreterTypes, H: Host + ?Sized>(
    mut context: InstructionContext<'_, H, IT>,
) -> InstructionExecResult {
    // The program counter stands behind the opcode. Code is padded with zeros, so a selector cut off by the end reads as 0.
    let selector = context.interpreter.bytecode.read_u8();
    context.interpreter.bytecode.relative_jump(1);
    match selector {
        PREDICT_SELECTOR => predict(&mut context),
        _ => Err(InstructionResult::OpcodeNotFound),
    }
}

fn predict<IT: InterpreterTypes, H: Host + ?Sized>(
    context: &mut InstructionContext<'_, H, IT>,
) -> InstructionExecResult {
    let (input, return_memory_offset) =
        get_memory_input_and_out_ranges(context.interpreter, context.host.gas_params())?;
    // A frame transfers its (zero) value between accounts that the journal must know; STATICCALL loads its target likewise.
    context
        .host
        .load_account_info_skip_cold_load(PREDICT, false, false)?;
    let gas_limit = context
        .host
        .gas_params()
        .call_stipend_reduction(context.interpreter.gas.remaining());
    gas!(context.interpreter, gas_limit);
    let reservoir = context.interpreter.gas.reservoir();
    let caller = context.interpreter.input.target_address();
    context
        .interpreter
        .bytecode
        .set_action(InterpreterAction::NewFrame(FrameInput::Call(Box::new(
            CallInputs {
                input: CallInput::SharedBuffer(input),
                return_memory_offset,
                gas_limit,
                reservoir,
                bytecode_address: PREDICT,
                known_bytecode: (KECCAK_EMPTY, Bytecode::default()),
                target_address: PREDICT,
                caller,
                value: CallValue::Transfer(U256::ZERO),
                scheme: CallScheme::StaticCall,
                is_static: true,
                charged_new_account_state_gas: false,
            },
        ))));
    Err(InstructionResult::Suspend)
}
