//! What operators have in common whose outputs' shapes follow from values.

use super::{DataDependent, Flow, Inputs, Kernel, OpError, Operator, TensorType, Work};

/// Such an operator, to the planner: it runs by itself, when its inputs are there.
#[derive(Debug)]
pub(super) struct Late<D>(pub(super) D);

impl<D: DataDependent + Send + Sync> Operator for Late<D> {
    fn infer(&self, _: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Err(OpError::DataDependent { index: 0 })
    }

    fn work(&self, _: &Inputs<'_>, _: &[TensorType]) -> Work {
        Work::default()
    }

    fn specialize(&self, _: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Err(OpError::DataDependent { index: 0 })
    }

    fn flow(&self) -> Flow<'_> {
        Flow::Values(&self.0)
    }
}

/// Bytes of all given tensors.
pub(super) fn bytes_of(inputs: &Inputs<'_>) -> u64 {
    let bytes = inputs
        .iter()
        .map(|operand| (operand.elements() * operand.dtype.size()) as u64);
    bytes.fold(0, u64::saturating_add)
}
