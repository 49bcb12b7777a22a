//! How long a simulated call may take.
//!
//! Gas already bounds the work of a call, and a call on a cluster never has more than a block's gas. This bounds it in
//! seconds too: on a slow or busy machine, and for requests that run a call many times (`eth_estimateGas`). Who is cut off
//! gets an error, and the thread is free.

use std::time::{Duration, Instant};

use revm::{
    Inspector,
    handler::FrameResult,
    interpreter::{FrameInput, InstructionResult, Interpreter, interpreter::EthInterpreter},
};

use crate::error::{RpcError, RpcResult};

/// What one simulated call may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CallLimits {
    /// Gas; a block's gas limit caps it too.
    pub(crate) gas: u64,
    /// Time, all its runs together.
    pub(crate) time: Duration,
}

/// Instructions between two looks at the clock: some microseconds.
const STEPS: u32 = 1024;

/// Stops an execution when its time is over: at its next instruction. A prediction that has begun runs to its end, which
/// its gas bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    limit: Duration,
    end: Option<Instant>,
    steps: u32,
    over: bool,
}

impl Deadline {
    /// So long from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self {
            limit,
            // A time that no clock shows never comes.
            end: Instant::now().checked_add(limit),
            steps: 0,
            over: false,
        }
    }

    fn look(&mut self) {
        self.steps = 0;
        self.over |= self.end.is_some_and(|end| Instant::now() >= end);
    }

    /// Whether all that ran until now ran to its own end.
    pub(crate) fn kept(&self) -> RpcResult<()> {
        if self.over {
            return Err(RpcError::TimedOut { limit: self.limit });
        }
        Ok(())
    }
}

impl<C> Inspector<C, EthInterpreter> for Deadline {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        self.steps += 1;
        if self.steps >= STEPS {
            self.look();
        }
        if self.over {
            interpreter.halt(InstructionResult::OutOfGas);
        }
    }

    fn frame_start(&mut self, _: &mut C, _: &mut FrameInput) -> Option<FrameResult> {
        // A frame may be a prediction, which takes long between two instructions.
        self.look();
        None
    }
}
