//! What keeps a simulated call from running on: its time among the workers, or that it must be small.

use std::time::Duration;

use revm::{
    Inspector,
    handler::FrameResult,
    interpreter::{
        CallInputs, CallOutcome, CreateInputs, CreateOutcome, FrameInput, Interpreter,
        interpreter::EthInterpreter,
    },
};

use crate::{brief::Brief, deadline::Deadline, error::RpcResult};

/// The bounds of one request's runs, all together.
#[derive(Debug)]
pub(crate) enum Bounds {
    /// It may take so long.
    Time(Deadline),
    /// It must be small.
    Brief(Brief),
}

impl Bounds {
    /// So long from now.
    pub(crate) fn time(limit: Duration) -> Self {
        Self::Time(Deadline::after(limit))
    }

    /// Small.
    pub(crate) const fn brief() -> Self {
        Self::Brief(Brief::new())
    }

    /// Whether it must be small.
    pub(crate) const fn are_brief(&self) -> bool {
        matches!(self, Self::Brief(_))
    }

    /// Whether it had to be small and was.
    pub(crate) const fn were_brief(&self) -> bool {
        matches!(self, Self::Brief(brief) if !brief.is_over())
    }

    /// Whether all that ran until now ran to its own end, as far as time is concerned: of what must be small the caller asks
    /// [`Self::were_brief`], which is no error.
    pub(crate) fn kept(&self) -> RpcResult<()> {
        match self {
            Self::Time(deadline) => deadline.kept(),
            Self::Brief(_) => Ok(()),
        }
    }
}

/// Whichever it is watches.
macro_rules! watching {
    ($self:ident, $bound:ident => $call:expr) => {
        match $self {
            Self::Time($bound) => $call,
            Self::Brief($bound) => $call,
        }
    };
}

impl<C> Inspector<C, EthInterpreter> for Bounds {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        watching!(self, bound => bound.step(interpreter, context));
    }

    fn step_end(&mut self, interpreter: &mut Interpreter<EthInterpreter>, context: &mut C) {
        watching!(self, bound => bound.step_end(interpreter, context));
    }

    fn frame_start(&mut self, context: &mut C, input: &mut FrameInput) -> Option<FrameResult> {
        watching!(self, bound => bound.frame_start(context, input))
    }

    fn call(&mut self, context: &mut C, inputs: &mut CallInputs) -> Option<CallOutcome> {
        watching!(self, bound => bound.call(context, inputs))
    }

    fn call_end(&mut self, context: &mut C, inputs: &CallInputs, outcome: &mut CallOutcome) {
        watching!(self, bound => bound.call_end(context, inputs, outcome));
    }

    fn create(&mut self, context: &mut C, inputs: &mut CreateInputs) -> Option<CreateOutcome> {
        watching!(self, bound => bound.create(context, inputs))
    }
}
