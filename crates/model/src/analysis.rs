//! Shapes, types and costs of every value of a graph at concrete input shapes.
//!
//! Values that do not depend on the model's inputs are computed here if they are small: real exports compute shapes
//! (Shape, Gather, Concat, …) and feed them to Reshape, Expand or Slice, which must know them before anything runs.

use crate::{
    Tensor,
    constant::Constant,
    limits::{MAX_FOLDED_ARITHMETIC, MAX_FOLDED_BYTES, MAX_FOLDED_ELEMENTS},
    model::{Node, PlanError, ResolvedGraph},
    ops::{Inputs, Io, OpError, Operand, Path, TensorType, Work},
    shape::Shape,
};
use std::sync::Arc;

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Computed by a step; its type is known.
    Computed(TensorType),
    /// Known entirely.
    Known(Arc<Constant>),
}

impl Value {
    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Computed(kind) => &kind.shape,
            Self::Known(constant) => constant.tensor.shape(),
        }
    }

    fn operand(&self) -> Operand<'_> {
        match self {
            Self::Computed(kind) => Operand::unknown(kind.dtype, &kind.shape),
            Self::Known(constant) => Operand::known(constant),
        }
    }
}

/// A node that has to run.
#[derive(Debug)]
pub(crate) struct AnalysedStep {
    pub(crate) node: usize,
    /// Types of all outputs, skipped ones included.
    pub(crate) outputs: Vec<TensorType>,
    pub(crate) work: Work,
    pub(crate) multiply_adds: u64,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<AnalysedStep>,
}

impl Analysis {
    /// Infers everything; the input shapes have been checked against the signature.
    pub(crate) fn new(graph: &ResolvedGraph, input_shapes: &[Shape]) -> Result<Self, PlanError> {
        let mut values = Vec::with_capacity(graph.values);
        for (input, shape) in graph.signature.inputs.iter().zip(input_shapes) {
            let kind = TensorType::new(input.dtype, shape.clone()).map_err(|error| PlanError::InputSize {
                name: input.name.clone(),
                error,
            })?;
            values.push(Value::Computed(kind));
        }
        values.extend(graph.constants.iter().cloned().map(Value::Known));
        let mut steps = Vec::with_capacity(graph.nodes.len());
        let mut foldable = MAX_FOLDED_BYTES;
        for (index, node) in graph.nodes.iter().enumerate() {
            let fail = |error| PlanError::Node {
                node: node.label.clone(),
                error,
            };
            match analyse(index, node, &values, &mut foldable).map_err(fail)? {
                Outcome::Step(step) => {
                    let wanted = node
                        .outputs
                        .iter()
                        .zip(&step.outputs)
                        .filter(|(value, _)| value.is_some());
                    values.extend(wanted.map(|(_, kind)| Value::Computed(kind.clone())));
                    steps.push(step);
                }
                Outcome::Known(tensors) => {
                    let wanted = node
                        .outputs
                        .iter()
                        .zip(tensors)
                        .filter(|(value, _)| value.is_some());
                    values.extend(wanted.map(|(_, tensor)| Value::Known(Arc::new(Constant::new(tensor)))));
                }
            }
        }
        let mut analysis = Self { values, steps };
        analysis.check_outputs(graph)?;
        analysis.drop_unneeded_steps(graph);
        Ok(analysis)
    }

    fn check_outputs(&self, graph: &ResolvedGraph) -> Result<(), PlanError> {
        for (output, &value) in graph.signature.outputs.iter().zip(&graph.outputs) {
            let computed = self.values[value].operand();
            if computed.dtype != output.dtype {
                return Err(PlanError::OutputType {
                    name: output.name.clone(),
                    declared: output.dtype,
                    computed: computed.dtype,
                });
            }
        }
        Ok(())
    }

    /// Steps whose results only fed what is now known need not run.
    fn drop_unneeded_steps(&mut self, graph: &ResolvedGraph) {
        let mut needed = vec![false; self.values.len()];
        graph.outputs.iter().for_each(|&output| needed[output] = true);
        let mut keep = vec![false; self.steps.len()];
        for (step, keep) in self.steps.iter().zip(&mut keep).rev() {
            let node = &graph.nodes[step.node];
            *keep = node.outputs.iter().flatten().any(|&output| needed[output]);
            if *keep {
                node.inputs
                    .iter()
                    .flatten()
                    .for_each(|&input| needed[input] = true);
            }
        }
        let mut keep = keep.into_iter();
        self.steps.retain(|_| keep.next().unwrap_or(false));
    }
}

enum Outcome {
    Step(AnalysedStep),
    Known(Vec<Tensor>),
}

/// The operands of a node.
pub(crate) fn operands<'a>(node: &Node, values: &'a [Value]) -> Vec<Option<Operand<'a>>> {
    node.inputs
        .iter()
        .map(|input| input.map(|value| values[value].operand()))
        .collect()
}

/// `foldable` is how many bytes may still be computed ahead.
fn analyse(index: usize, node: &Node, values: &[Value], foldable: &mut usize) -> Result<Outcome, OpError> {
    let operands = operands(node, values);
    let inputs = Inputs(&operands);
    let outputs = node.operator.infer(&inputs)?;
    debug_assert!(
        outputs.len() >= node.outputs.len(),
        "{}: too few outputs inferred",
        node.label
    );
    if let Some(value) = node.operator.value_from_types(&inputs) {
        return Ok(Outcome::Known(vec![value]));
    }
    let work = node.operator.work(&inputs, &outputs);
    let small = |elements: usize| elements <= MAX_FOLDED_ELEMENTS;
    let known = inputs
        .iter()
        .all(|operand| operand.value().is_some() && small(operand.elements()));
    let cheap = work.arithmetic <= MAX_FOLDED_ARITHMETIC;
    if known && cheap && outputs.iter().all(|output| small(output.elements())) {
        let bytes = outputs.iter().map(TensorType::bytes).sum();
        if let Some(left) = foldable.checked_sub(bytes) {
            *foldable = left;
            return fold(node, &inputs, &outputs).map(Outcome::Known);
        }
    }
    let multiply_adds = node.operator.multiply_adds(&inputs, &outputs);
    Ok(Outcome::Step(AnalysedStep {
        node: index,
        outputs,
        work,
        multiply_adds,
    }))
}

/// Runs a node whose inputs are all known.
fn fold(node: &Node, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Vec<Tensor>, OpError> {
    let kernel = node.operator.specialize(inputs, outputs)?;
    let read: Vec<_> = inputs
        .0
        .iter()
        .map(|operand| operand.and_then(|o| o.value()).map(Tensor::view))
        .collect();
    let mut tensors = Vec::with_capacity(outputs.len());
    for output in outputs {
        tensors.push(Tensor::zeros(output.dtype, &output.shape)?);
    }
    let mut written: Vec<_> = tensors.iter_mut().map(|tensor| Some(tensor.view_mut())).collect();
    let mut scratch = crate::tensor::Buffer::zeroed(kernel.scratch_bytes());
    kernel.run(&mut Io {
        path: Path::Fast,
        inputs: &read,
        outputs: &mut written,
        scratch: scratch.bytes_mut(),
    })?;
    drop(written);
    Ok(tensors)
}
