//! Control flow: operators that run graphs.
//!
//! Each charges its own steps, so that a loop whose body is empty does not run for nothing, and the nodes in its graphs are
//! charged like all others, before each runs.

mod branch;
mod loops;
mod scan;

pub(super) use branch::IF;
pub(super) use loops::LOOP;
pub(super) use scan::SCAN;

use super::{OpError, TensorType, Work};
use crate::{DType, Element, RunError, Stop, Tensor, import::NodeLabel, stages::Stages, subgraph::SubPlan};

/// Multiply-add equivalents of a branch or an iteration: calling a graph, and the tensors that go in and out.
const CALL: u64 = 16_000;

/// And of each value that goes in or out.
const VALUE: u64 = 2_000;

/// The work of calling a graph to which `values` values go in or come out, of `bytes` bytes together.
fn call_work(values: usize, bytes: u64) -> Work {
    Work {
        arithmetic: (values as u64).saturating_mul(VALUE).saturating_add(CALL),
        bytes: bytes.saturating_mul(2),
    }
}

/// Bytes of tensors of these types together.
fn bytes_of<'a>(kinds: impl IntoIterator<Item = &'a TensorType>) -> u64 {
    let bytes = kinds.into_iter().map(|kind| kind.bytes() as u64);
    bytes.fold(0, u64::saturating_add)
}

/// The largest memory of one of these graphs.
fn weights<'a>(plans: impl Iterator<Item = &'a SubPlan>) -> u64 {
    plans.map(|plan| plan.plan.own_memory()).max().unwrap_or(0)
}

/// The one element of a bool or an integer.
fn single(tensor: &Tensor) -> i64 {
    tensor
        .to_i64s()
        .and_then(|values| values.first().copied())
        .unwrap_or(0)
}

/// The error of a step that was not paid.
fn stop(node: usize, op_type: &'static str) -> impl Fn(Stop) -> OpError {
    move |Stop| {
        OpError::from(RunError::Stopped {
            node: NodeLabel {
                index: node,
                op_type: op_type.into(),
                name: String::new(),
            },
        })
    }
}

/// A scalar.
fn scalar<T: Element>(dtype: DType, value: T) -> Tensor {
    Tensor::from_slice(dtype, &[], &[value]).expect("a scalar has one element")
}

/// The tensors that iterations gave, as one with the iterations as its first axis. What they count as goes over to it.
fn concatenate(
    node: usize,
    op_type: &'static str,
    parts: Vec<Tensor>,
    stages: &mut Stages<'_>,
) -> Result<Tensor, OpError> {
    let Some(first) = parts.first() else {
        return Err(OpError::Shape(
            "without an iteration the shape of what is collected is not known".into(),
        ));
    };
    let (dtype, shape) = (first.dtype(), first.shape().to_vec());
    if parts
        .iter()
        .any(|part| part.dtype() != dtype || part.shape() != shape)
    {
        return Err(OpError::Shape(
            "the collected values differ in shape or type".into(),
        ));
    }
    let kind = TensorType::new(dtype, [&[parts.len()], &shape[..]].concat())?;
    stages.reserve(kind.bytes() as u64).map_err(stop(node, op_type))?;
    let mut whole = Tensor::zeros(dtype, &kind.shape)?;
    let length = first.bytes().len();
    for (index, part) in parts.iter().enumerate() {
        whole.view_mut().bytes_mut()[index * length..][..length].copy_from_slice(part.bytes());
        stages.release(part);
    }
    stages.hold(&whole);
    Ok(whole)
}
