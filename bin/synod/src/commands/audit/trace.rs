//! The node's own trace of the transaction. Nothing commits to it: it is what the node *says* the answers were.

use super::report::{Predict, TraceFacts, Verdict};
use crate::client::Client;
use alloy_primitives::{B256, U256};
use alloy_rpc_types_trace::geth::CallFrame;
use eyre::{Result, WrapErr as _, eyre};
use serde_json::{json, value::RawValue};
use synod_evm::{
    addresses::PREDICT,
    watch::{Ended, PredictCall},
};

/// The calls of the precompile in a trace, in the order in which they began.
#[derive(Debug)]
pub(super) struct Trace(Vec<Frame>);

/// A call as the trace has it.
#[derive(Debug)]
struct Frame {
    call: CallFrame,
    depth: usize,
}

impl Trace {
    /// Asks the node. Only on a thread that may block.
    pub(super) fn fetch(client: &Client, transaction: B256) -> Result<Self> {
        let options = json!({ "tracer": "callTracer" });
        let request = client.request::<_, Box<RawValue>>("debug_traceTransaction", (transaction, options));
        let raw = tokio::runtime::Handle::current().block_on(request)?;
        let root: CallFrame = serde_json::from_str(raw.get())
            .map_err(|error| eyre!("the node's trace does not decode: {error}"))
            .wrap_err("no trace")?;
        Ok(Self::of(root))
    }

    fn of(root: CallFrame) -> Self {
        let mut found = Vec::new();
        let mut stack = vec![Frame { call: root, depth: 0 }];
        while let Some(mut frame) = stack.pop() {
            let inner = std::mem::take(&mut frame.call.calls);
            let depth = frame.depth + 1;
            stack.extend(inner.into_iter().rev().map(|call| Frame { call, depth }));
            let is_call =
                ["CALL", "STATICCALL", "DELEGATECALL", "CALLCODE"].contains(&frame.call.typ.as_str());
            if is_call && frame.call.to == Some(PREDICT) {
                found.push(frame);
            }
        }
        Self(found)
    }

    /// Compares it with what was recomputed, and leaves a verdict with each predict. `gas_used` is the transaction's.
    pub(super) fn hold_against(
        &self,
        calls: &[PredictCall],
        gas_used: u64,
        predicts: &mut [Predict],
    ) -> TraceFacts {
        for (frame, (call, predict)) in self.0.iter().zip(calls.iter().zip(predicts.iter_mut())) {
            predict.difference = frame.differs(call, gas_used);
            predict.verdict = match predict.difference {
                None => Verdict::Equal,
                Some(_) => Verdict::Different,
            };
        }
        if self.0.len() != calls.len() {
            return TraceFacts::different(format!(
                "the node's trace has {} calls of the precompile, the transaction makes {}",
                self.0.len(),
                calls.len()
            ));
        }
        match predicts
            .iter()
            .find_map(|predict| Some((predict.index, predict.difference.as_ref()?)))
        {
            None => TraceFacts::equal(),
            Some((index, difference)) => TraceFacts::different(format!("predict {index}: {difference}")),
        }
    }
}

impl Frame {
    /// In what the node's account of a call differs from what was recomputed.
    fn differs(&self, call: &PredictCall, transaction_gas: u64) -> Option<String> {
        let theirs = &self.call;
        // Of the outermost frame a trace tells the gas of the whole transaction.
        let gas = if self.depth == 0 {
            transaction_gas
        } else {
            call.gas_used
        };
        if let Some(at) = first_difference(&theirs.input, &call.input) {
            return Some(format!("the node's trace has another input from byte {at} on"));
        }
        let output = theirs.output.clone().unwrap_or_default();
        if let Some(at) = first_difference(&output, &call.output) {
            return Some(format!(
                "the node's trace has another output from byte {at} on ({} bytes, recomputed {})",
                output.len(),
                call.output.len()
            ));
        }
        if theirs.error.is_some() == (call.ended == Ended::Answered) {
            let word = |failed| if failed { "failed" } else { "answered" };
            return Some(format!(
                "it {} in the node's trace, recomputed it {}",
                word(theirs.error.is_some()),
                word(call.ended != Ended::Answered)
            ));
        }
        (theirs.gas_used != U256::from(gas)).then(|| {
            format!(
                "the node's trace has {} gas, recomputed are {gas}",
                theirs.gas_used
            )
        })
    }
}

/// The first byte in which two strings differ, the end of the shorter one included.
fn first_difference(left: &[u8], right: &[u8]) -> Option<usize> {
    let common = left.iter().zip(right).position(|(left, right)| left != right);
    common.or((left.len() != right.len()).then(|| left.len().min(right.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_counts_the_end() {
        assert_eq!(first_difference(b"abc", b"abc"), None);
        assert_eq!(first_difference(b"abc", b"abd"), Some(2));
        assert_eq!(first_difference(b"abc", b"ab"), Some(2));
        assert_eq!(first_difference(b"", b"x"), Some(0));
    }

    #[test]
    fn calls_are_found_in_the_order_in_which_they_begin() {
        let call = |to, calls, input: &'static [u8]| CallFrame {
            to: Some(to),
            typ: "STATICCALL".into(),
            input: input.into(),
            calls,
            ..Default::default()
        };
        let other = alloy_primitives::Address::repeat_byte(1);
        let inner = call(
            other,
            vec![call(PREDICT, vec![], b"1"), call(PREDICT, vec![], b"2")],
            b"",
        );
        let root = call(other, vec![inner, call(PREDICT, vec![], b"3")], b"");
        let found = Trace::of(root);
        let inputs: Vec<_> = found
            .0
            .iter()
            .map(|frame| (frame.call.input[0], frame.depth))
            .collect();
        assert_eq!(inputs, [(b'1', 2), (b'2', 2), (b'3', 1)]);
    }
}
