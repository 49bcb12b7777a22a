//! Shapes, types and costs of every value of a graph at concrete input shapes.
//!
//! Values that do not depend on the model's inputs are computed here if they are small: real exports compute shapes
//! (Shape, Gather, Concat, …) and feed them to Reshape, Expand or Slice, which must know them before they can be planned.
//! Where such a value does depend on the inputs, the analysis ends; [`stages`](crate::stages) goes on from there.

use crate::{
    DType, Tensor,
    constant::Constant,
    import::NodeLabel,
    limits::{MAX_FOLDED_ARITHMETIC, MAX_FOLDED_BYTES, MAX_FOLDED_ELEMENTS},
    model::{Block, Node, PlanError, ValueId},
    ops::{Flow, Inputs, Io, OpError, Operand, Operator, Path, TensorType, Work},
    plan::{Stop, Unmetered},
    remembered::{Became, Remembered},
    subgraph::Nested,
};
use std::sync::Arc;

/// What is known of a value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// Computed by a step; its type is known.
    Computed(Arc<TensorType>),
    /// Known entirely.
    Known(Arc<Constant>),
}

impl Value {
    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Computed(kind) => &kind.shape,
            Self::Known(constant) => constant.shape(),
        }
    }

    pub(crate) fn dtype(&self) -> DType {
        self.operand().dtype
    }

    pub(crate) fn kind(&self) -> &Arc<TensorType> {
        match self {
            Self::Computed(kind) => kind,
            Self::Known(constant) => constant.kind(),
        }
    }

    pub(crate) fn tensor_type(&self) -> TensorType {
        TensorType::clone(self.kind())
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Computed(kind) => kind.bytes(),
            Self::Known(constant) => constant.bytes(),
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    /// Whether it is computed by a step and has this type.
    pub(crate) fn is_of_type(&self, kind: &TensorType) -> bool {
        matches!(self, Self::Computed(own) if **own == *kind)
    }

    /// Whether nothing is known of the one that is not known of the other.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Computed(own), Self::Computed(other)) => own == other,
            (Self::Known(own), Self::Known(other)) => Arc::ptr_eq(own, other) || own.is_equal(other),
            _ => false,
        }
    }

    pub(crate) fn operand(&self) -> Operand<'_> {
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
    pub(crate) outputs: Arc<[TensorType]>,
    pub(crate) work: Work,
    pub(crate) multiply_adds: u64,
    /// Of control flow: its graphs, planned.
    pub(crate) nested: Option<Nested>,
    /// Its operands are those of the plan before.
    pub(crate) unchanged: bool,
}

/// A node whose outputs' types do not follow from what is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    pub(crate) node: usize,
    /// The value that it asks for.
    pub(crate) asks: Option<ValueId>,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Analysis {
    /// Those of nodes up to the end.
    pub(crate) values: Vec<Value>,
    pub(crate) steps: Vec<AnalysedStep>,
    /// Where the shapes are not known any more; `None` if the whole graph is analysed.
    pub(crate) end: Option<End>,
    /// What each node became; `None` where that depends on more than its operands.
    pub(crate) nodes: Vec<Option<Became>>,
}

/// What stops an analysis.
#[derive(Debug)]
pub(crate) enum Refusal {
    Plan(PlanError),
    /// The planning of this node is not paid.
    Unpaid(NodeLabel),
}

impl Analysis {
    /// Infers everything that follows from the given values.
    pub(crate) fn new(
        block: &Block,
        given: Vec<Value>,
        before: Option<&Remembered>,
    ) -> Result<Self, PlanError> {
        Self::unpaid(block, given, &mut { MAX_FOLDED_BYTES }, before)
    }

    /// [`Self::new`] of a graph within another: `foldable` is how many bytes may still be computed ahead.
    pub(crate) fn of_subgraph(
        block: &Block,
        given: Vec<Value>,
        foldable: &mut usize,
    ) -> Result<Self, PlanError> {
        Self::unpaid(block, given, foldable, None)
    }

    fn unpaid(
        block: &Block,
        given: Vec<Value>,
        foldable: &mut usize,
        before: Option<&Remembered>,
    ) -> Result<Self, PlanError> {
        match Self::infer(block, given, 0, foldable, before, &mut |_| Ok(())) {
            Ok(analysis) => Ok(analysis),
            Err(Refusal::Plan(error)) => Err(error),
            Err(Refusal::Unpaid(_)) => unreachable!("nothing is charged"),
        }
    }

    /// Goes on at node number `from`, whose predecessors' outputs are among the values. `pay` is called before the planning
    /// of each node.
    pub(crate) fn go_on(
        block: &Block,
        values: Vec<Value>,
        from: usize,
        foldable: &mut usize,
        pay: &mut dyn FnMut(&Work) -> Result<(), Stop>,
    ) -> Result<Self, Refusal> {
        Self::infer(block, values, from, foldable, None, pay)
    }

    fn infer(
        block: &Block,
        mut values: Vec<Value>,
        from: usize,
        foldable: &mut usize,
        before: Option<&Remembered>,
        pay: &mut dyn FnMut(&Work) -> Result<(), Stop>,
    ) -> Result<Self, Refusal> {
        let mut steps = Vec::with_capacity(block.nodes.len() - from);
        let mut nodes = Vec::with_capacity(block.nodes.len());
        nodes.resize_with(from, || None);
        // for each value, whether it is what it was in the plan before
        let mut same = before.map_or_else(Vec::new, |before| before.same_given(&values));
        let mut end = None;
        for (index, node) in block.nodes.iter().enumerate().skip(from) {
            pay(&Work {
                arithmetic: node.planning,
                bytes: 0,
            })
            .map_err(|Stop| Refusal::Unpaid(NodeLabel::clone(&node.label)))?;
            let unchanged = before.is_some() && node.inputs.iter().flatten().all(|&input| same[input]);
            if let Some(before) = before.filter(|_| unchanged)
                && let Some(became) = take_over(index, before, foldable)
            {
                let outputs = node.outputs.iter().flatten();
                values.extend(outputs.map(|&output| before.computed(output).clone()));
                same.resize(values.len(), true);
                if let Became::Step {
                    outputs,
                    work,
                    multiply_adds,
                } = became
                {
                    steps.push(AnalysedStep {
                        node: index,
                        outputs: Arc::clone(outputs),
                        work: *work,
                        multiply_adds: *multiply_adds,
                        nested: None,
                        unchanged,
                    });
                }
                nodes.push(Some(became.clone()));
                continue;
            }
            let foldable_before = *foldable;
            match analyse(index, node, &values, foldable) {
                Ok(Outcome::Step(step, depends)) => {
                    nodes.push(match depends {
                        Depends::OnOperands => Some(Became::Step {
                            outputs: Arc::clone(&step.outputs),
                            work: step.work,
                            multiply_adds: step.multiply_adds,
                        }),
                        Depends::OnMore => None,
                    });
                    let known = |output: usize| step.nested.as_ref()?.known.get(output)?.clone();
                    for (output, kind) in step.outputs.iter().enumerate().take(node.outputs.len()) {
                        if node.outputs[output].is_some() {
                            values.push(match known(output) {
                                Some(constant) => Value::Known(constant),
                                None => Value::Computed(Arc::new(kind.clone())),
                            });
                        }
                    }
                    steps.push(step);
                }
                Ok(Outcome::Known(tensors)) => {
                    let origins = || {
                        let known = node
                            .inputs
                            .iter()
                            .flatten()
                            .filter_map(|&input| match &values[input] {
                                Value::Known(constant) => Some(constant),
                                Value::Computed(_) => None,
                            });
                        known.filter(|constant| takes_any(node, constant))
                    };
                    let wanted = node
                        .outputs
                        .iter()
                        .zip(tensors)
                        .filter(|(value, _)| value.is_some());
                    let made: Vec<_> = wanted
                        .map(|(_, tensor)| Value::Known(Arc::new(Constant::computed_of(tensor, origins()))))
                        .collect();
                    values.extend(made);
                    nodes.push(Some(Became::Known {
                        bytes: foldable_before - *foldable,
                    }));
                }
                Err(OpError::DataDependent { index: asked }) => {
                    end = Some(End {
                        node: index,
                        asks: node.inputs.get(asked).copied().flatten(),
                    });
                    break;
                }
                Err(error) => {
                    return Err(Refusal::Plan(error.of_node(&node.label)));
                }
            }
            if let Some(before) = before {
                for (id, value) in values.iter_mut().enumerate().skip(same.len()) {
                    let known = before.computed(id);
                    let is_same = value.is_same(known);
                    if is_same {
                        // what was arranged of it is at hand
                        *value = known.clone();
                    }
                    same.push(is_same);
                }
            }
        }
        let mut analysis = Self {
            values,
            steps,
            end,
            nodes,
        };
        analysis.drop_unneeded_steps(block);
        Ok(analysis)
    }

    /// Steps whose results only fed what is now known need not run.
    fn drop_unneeded_steps(&mut self, block: &Block) {
        let mut needed = vec![false; self.values.len()];
        let later = self.end.map_or(block.nodes.len(), |end| end.node);
        crate::stages::needed_after(block, &self.values, later)
            .into_iter()
            .for_each(|value| needed[value] = true);
        let mut keep = vec![false; self.steps.len()];
        for (step, keep) in self.steps.iter().zip(&mut keep).rev() {
            let node = &block.nodes[step.node];
            let runs = |&&output: &&ValueId| needed[output] && !self.values[output].is_known();
            *keep = node.outputs.iter().flatten().any(|output| runs(&output));
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
    Step(AnalysedStep, Depends),
    Known(Vec<Tensor>),
}

/// What it depends on that a node becomes a step.
enum Depends {
    OnOperands,
    /// On what lies within it, or on how much was computed ahead before.
    OnMore,
}

/// What a node became before with the same operands, if it becomes that again; then what it computes ahead is taken off what may be.
fn take_over<'b>(node: usize, before: &'b Remembered, foldable: &mut usize) -> Option<&'b Became> {
    let became = before.node(node)?;
    if let Became::Known { bytes } = became {
        *foldable = foldable.checked_sub(*bytes)?;
    }
    Some(became)
}

/// The operands of a node.
pub(crate) fn operands<'a>(node: &Node, values: &'a [Value]) -> Vec<Option<Operand<'a>>> {
    node.inputs
        .iter()
        .map(|input| input.map(|value| values[value].operand()))
        .collect()
}

/// Multiply-add equivalents of widening an element of a 16-bit float to `f32`, or of narrowing one.
const PER_WIDENED: u64 = 8;

/// What it takes that 16-bit floats are computed in `f32`, in multiply-add equivalents: operators state their work as if they were
/// `f32` in the first place.
fn widening(operator: &dyn Operator, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
    if operator.copies_bits() {
        return 0;
    }
    let halves = |dtype: DType| matches!(dtype, DType::F16 | DType::BF16);
    let read = inputs
        .iter()
        .filter(|operand| halves(operand.dtype))
        .map(|operand| operand.elements() as u64);
    let written = outputs
        .iter()
        .filter(|output| halves(output.dtype))
        .map(|output| output.elements() as u64);
    read.chain(written)
        .fold(0, u64::saturating_add)
        .saturating_mul(PER_WIDENED)
}

/// `foldable` is how many bytes may still be computed ahead.
fn analyse(index: usize, node: &Node, values: &[Value], foldable: &mut usize) -> Result<Outcome, OpError> {
    let operands = operands(node, values);
    let inputs = Inputs(&operands);
    match node.operator.flow() {
        Flow::Plain => {}
        Flow::Values(operator) => {
            let known: Option<Vec<_>> = operands
                .iter()
                .map(|operand| operand.map(|operand| operand.value().ok_or(())).transpose().ok())
                .collect();
            let cheap = operator.work(&inputs)?.arithmetic <= MAX_FOLDED_ARITHMETIC;
            let small = |operand: Operand<'_>| operand.elements() <= MAX_FOLDED_ELEMENTS;
            if let Some(known) = known.filter(|_| cheap && inputs.iter().all(small)) {
                let extent = operator.extent(&known)?;
                let memory = usize::try_from(extent.memory).unwrap_or(usize::MAX);
                let left = foldable.checked_sub(memory);
                if let Some(left) = left.filter(|_| extent.work.arithmetic <= MAX_FOLDED_ARITHMETIC) {
                    *foldable = left;
                    return operator.evaluate(&known, Path::Fast).map(Outcome::Known);
                }
            }
            let index = operands
                .iter()
                .position(|operand| operand.is_some_and(|operand| !operand.is_known()));
            return Err(OpError::DataDependent {
                index: index.unwrap_or(0),
            });
        }
        Flow::Control(operator) => {
            let mut nested = operator.nested(node.label.index, &inputs, foldable)?;
            let step = AnalysedStep {
                node: index,
                outputs: std::mem::take(&mut nested.outputs).into(),
                work: nested.work,
                multiply_adds: nested.multiply_adds,
                nested: Some(nested),
                unchanged: false,
            };
            return Ok(Outcome::Step(step, Depends::OnMore));
        }
    }
    let outputs = node.operator.infer(&inputs)?;
    debug_assert!(
        outputs.len() >= node.outputs.len(),
        "{}: too few outputs inferred",
        node.label
    );
    if let Some(value) = node.operator.value_from_types(&inputs) {
        return Ok(Outcome::Known(vec![value]));
    }
    let mut work = node.operator.work(&inputs, &outputs);
    work.arithmetic = work
        .arithmetic
        .saturating_add(widening(&*node.operator, &inputs, &outputs));
    let small = |elements: usize| elements <= MAX_FOLDED_ELEMENTS;
    let known = inputs
        .iter()
        .all(|operand| operand.is_known() && small(operand.elements()));
    let cheap = work.arithmetic <= MAX_FOLDED_ARITHMETIC;
    let folds = known && cheap && outputs.iter().all(|output| small(output.elements()));
    if folds {
        let bytes = outputs.iter().map(TensorType::bytes).sum();
        if let Some(left) = foldable.checked_sub(bytes) {
            *foldable = left;
            return fold(node, &inputs, &outputs).map(Outcome::Known);
        }
    }
    let multiply_adds = node.operator.multiply_adds(&inputs, &outputs);
    let step = AnalysedStep {
        node: index,
        outputs: outputs.into(),
        work,
        multiply_adds,
        nested: None,
        unchanged: false,
    };
    let depends = if folds {
        Depends::OnMore
    } else {
        Depends::OnOperands
    };
    Ok(Outcome::Step(step, depends))
}

/// Operators that exports put between weights and what takes them, and that compute something of any floats and bools: that they
/// are computed ahead does not make a model's validity depend on the values.
const TAKE_ANY: [&str; 18] = [
    "Add",
    "Cast",
    "Concat",
    "Div",
    "Exp",
    "Expand",
    "Flatten",
    "Identity",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Reshape",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

/// Whether a node computes something whatever values this input has. What decides its outputs' shape it has asked for before.
fn takes_any(node: &Node, input: &Constant) -> bool {
    let harmless = input.dtype().is_float() || input.dtype() == DType::Bool;
    harmless && TAKE_ANY.binary_search(&node.label.op_type.as_str()).is_ok()
}

/// Runs a node whose inputs are all known.
pub(crate) fn fold(node: &Node, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Vec<Tensor>, OpError> {
    let kernel = node.operator.specialize(inputs, outputs)?;
    let read: Vec<_> = inputs
        .0
        .iter()
        .map(|operand| {
            let constant = operand.and_then(|operand| operand.constant)?;
            let tensor = if takes_any(node, constant) {
                constant.peek()
            } else {
                constant.tensor()
            };
            Some(tensor.view())
        })
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
        meter: &mut Unmetered,
        epilogue: None,
    })?;
    drop(written);
    Ok(tensors)
}
