//! Runs whose shapes depend on values: a stage is planned as far as shapes are known, and runs; then the values are there that
//! decide how it goes on.
//!
//! ```text
//!   plan ──► run ──► kept values ──► plan on, the small ones known ──► run ──► …
//!                        │
//!                        └─ a node whose outputs' shapes only its run tells (NonZero, a Loop that collects): run by itself
//! ```
//!
//! Nothing here remembers plans: what a stage costs to plan is charged each time, before each node of it is planned, and its
//! memory before it is allocated.

use crate::{
    Meter, RunError, Stop, Tensor,
    analysis::{Analysis, End, Refusal, Value},
    constant::Constant,
    derived::Derived,
    import::NodeLabel,
    limits::{MAX_FOLDED_BYTES, MAX_FOLDED_ELEMENTS},
    model::{Block, Node, TensorSignature, ValueId},
    ops::{Flow, Inputs, OpError, Operand, Path, TensorType, Work},
    plan::{Given, Plan, check_output},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Multiply-add equivalents that a stage takes for each node and value of its graph, whatever it plans of it.
const STAGE_VALUE: u64 = 450;

/// What a value at hand counts as at least: so much its tensor takes beside its elements.
const MIN_VALUE_BYTES: u64 = 256;

/// What follows a plan that ends before its graph does.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) block: Arc<Block>,
    pub(crate) signature: Vec<TensorSignature>,
    pub(crate) end: End,
    /// What is known of the values up to the end.
    pub(crate) values: Vec<Value>,
    /// The plan's outputs.
    pub(crate) kept: Vec<ValueId>,
}

/// For each value, whether it is read by a node from number `from` on, or is an output.
fn read_after(block: &Block, values: usize, from: usize) -> Vec<bool> {
    let mut read = vec![false; values];
    let nodes = block.nodes[from..]
        .iter()
        .flat_map(|node| node.inputs.iter().flatten());
    for &value in nodes.chain(&block.outputs) {
        if let Some(read) = read.get_mut(value) {
            *read = true;
        }
    }
    read
}

/// The values that are computed by the nodes before number `from` and read after them.
pub(crate) fn needed_after(block: &Block, values: &[Value], from: usize) -> Vec<ValueId> {
    let read = read_after(block, values.len(), from);
    (0..values.len())
        .filter(|&value| read[value] && !values[value].is_known())
        .collect()
}

/// A value at hand.
struct Held {
    value: Arc<Constant>,
    /// Whether it is counted here, or by the graph around.
    owned: bool,
}

/// A run that goes from stage to stage.
pub struct Stages<'m> {
    pub(crate) path: Path,
    meter: &'m mut dyn Meter,
    /// Bytes of all tensors at hand.
    alive: u64,
}

impl fmt::Debug for Stages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stages")
            .field("alive", &self.alive)
            .finish_non_exhaustive()
    }
}

/// What a tensor at hand counts as.
pub(crate) fn weight(tensor: &Tensor) -> u64 {
    (tensor.bytes().len() as u64).max(MIN_VALUE_BYTES)
}

impl<'m> Stages<'m> {
    /// A run in which `inputs` bytes are there from the beginning to the end.
    pub(crate) fn new(path: Path, meter: &'m mut dyn Meter, inputs: u64) -> Self {
        Self {
            path,
            meter,
            alive: inputs,
        }
    }

    /// Charges for a step of control flow.
    pub(crate) fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop> {
        self.meter.charge(node, work)
    }

    /// Charges for memory that is about to be allocated.
    pub(crate) fn reserve(&mut self, bytes: u64) -> Result<(), Stop> {
        self.meter.reserve(bytes, self.alive.saturating_add(bytes))
    }

    /// Counts a tensor that is there from now on.
    pub(crate) fn hold(&mut self, tensor: &Tensor) {
        self.alive = self.alive.saturating_add(weight(tensor));
    }

    /// Counts a tensor no more.
    pub(crate) fn release(&mut self, tensor: &Tensor) {
        self.alive = self.alive.saturating_sub(weight(tensor));
    }

    /// Goes on after a plan that gave these values.
    pub(crate) fn finish(mut self, rest: &Rest, kept: Vec<Tensor>) -> Result<Vec<Tensor>, RunError> {
        let mut held = BTreeMap::new();
        for (&value, tensor) in rest.kept.iter().zip(kept) {
            self.hold(&tensor);
            held.insert(
                value,
                Held {
                    value: Arc::new(Constant::new(tensor)),
                    owned: true,
                },
            );
        }
        let outputs = self.go_on(&rest.block, rest.values.clone(), rest.end, held)?;
        for (signature, tensor) in rest.signature.iter().zip(&outputs) {
            let kind = TensorType {
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
            };
            check_output(signature, &kind).map_err(RunError::Plan)?;
        }
        Ok(outputs)
    }

    /// Runs a graph whose given values are all at hand. Its outputs are counted as alive.
    pub(crate) fn run_block(
        &mut self,
        block: &Block,
        given: Vec<Arc<Constant>>,
    ) -> Result<Vec<Tensor>, RunError> {
        let values = given
            .iter()
            .map(|value| Value::Computed(Arc::clone(value.kind())))
            .collect();
        let held = given
            .into_iter()
            .enumerate()
            .map(|(id, value)| (id, Held { value, owned: false }))
            .collect();
        self.go_on(block, values, End { node: 0, asks: None }, held)
    }

    fn go_on(
        &mut self,
        block: &Block,
        mut values: Vec<Value>,
        mut from: End,
        mut held: BTreeMap<ValueId, Held>,
    ) -> Result<Vec<Tensor>, RunError> {
        let mut foldable = MAX_FOLDED_BYTES;
        loop {
            for (&value, Held { value: tensor, .. }) in &held {
                let small = tensor.tensor().elements() <= MAX_FOLDED_ELEMENTS;
                if small || from.asks == Some(value) {
                    values[value] = Value::Known(Arc::clone(tensor));
                }
            }
            let size = (block.nodes.len() + block.values) as u64;
            let begin = Work {
                arithmetic: size.saturating_mul(STAGE_VALUE),
                bytes: 0,
            };
            let label = block
                .nodes
                .get(from.node)
                .map(|node| NodeLabel::clone(&node.label));
            self.meter
                .plan(&begin)
                .map_err(|Stop| stopped(label.unwrap_or_else(no_node)))?;
            let mut pay = |work: &Work| self.meter.plan(work);
            let analysis = Analysis::go_on(block, values, from.node, &mut foldable, &mut pay);
            let Analysis {
                values: analysed,
                mut steps,
                end,
                ..
            } = analysis.map_err(|refusal| match refusal {
                Refusal::Plan(error) => RunError::Plan(error),
                Refusal::Unpaid(node) => stopped(node),
            })?;
            values = analysed;
            if let Some(end) = end
                && end.node == from.node
            {
                from = self.step(block, end, &mut values, &mut held)?;
                self.drop_read(block, from.node, &mut values, &mut held);
                continue;
            }
            let wanted = match end {
                None => block.outputs.clone(),
                Some(end) => needed_after(block, &values, end.node)
                    .into_iter()
                    .filter(|value| !held.contains_key(value))
                    .collect(),
            };
            let given: Vec<&ValueId> = held.keys().filter(|&&value| !values[value].is_known()).collect();
            let views: Vec<_> = given
                .iter()
                .map(|value| held[value].value.tensor().view())
                .collect();
            let kinds = given.iter().map(|&&value| Given {
                value,
                name: String::new(),
                kind: values[value].tensor_type(),
            });
            let plan = Plan::new(
                block,
                kinds.collect(),
                &values,
                &mut steps,
                &wanted,
                &Derived::default(),
            )
            .map_err(RunError::Plan)?;
            let label = block
                .nodes
                .get(from.node)
                .map(|node| NodeLabel::clone(&node.label));
            self.reserve(plan.own_memory())
                .map_err(|Stop| stopped(label.unwrap_or_else(no_node)))?;
            let outputs = plan.execute(self.path, &views, self.meter, None)?;
            outputs.iter().for_each(|tensor| self.hold(tensor));
            let Some(end) = end else {
                held.values()
                    .filter(|held| held.owned)
                    .for_each(|held| self.release(held.value.tensor()));
                return Ok(outputs);
            };
            for (value, tensor) in wanted.into_iter().zip(outputs) {
                let value_at_hand = Held {
                    value: Arc::new(Constant::new(tensor)),
                    owned: true,
                };
                held.insert(value, value_at_hand);
            }
            from = end;
            self.drop_read(block, from.node, &mut values, &mut held);
        }
    }

    /// Runs the node by itself that cannot be planned. Returns where to go on: behind it, or at it again if another value
    /// will do.
    fn step(
        &mut self,
        block: &Block,
        end: End,
        values: &mut Vec<Value>,
        held: &mut BTreeMap<ValueId, Held>,
    ) -> Result<End, RunError> {
        let node = &block.nodes[end.node];
        let fail = |error: OpError| error.of_run(&node.label);
        let inputs: Vec<Option<Arc<Constant>>> = node
            .inputs
            .iter()
            .map(|input| input.map(|value| at_hand(value, values, held)))
            .collect();
        let outputs = match node.operator.flow() {
            Flow::Plain => {
                let unknown = |&value: &ValueId| !values[value].is_known() && held.contains_key(&value);
                return match end.asks.filter(unknown) {
                    Some(_) => Ok(end),
                    None => Err(fail(OpError::DataDependent { index: 0 })),
                };
            }
            Flow::Values(operator) => self.evaluate(node, operator, &inputs)?,
            Flow::Control(operator) => operator.run(node.label.index, &inputs, self).map_err(fail)?,
        };
        for (id, tensor) in node.outputs.iter().zip(outputs) {
            let Some(id) = id else {
                self.release(&tensor);
                continue;
            };
            debug_assert_eq!(*id, values.len(), "values are numbered in the order of the nodes");
            let value = Arc::new(Constant::new(tensor));
            values.push(Value::Computed(Arc::clone(value.kind())));
            held.insert(*id, Held { value, owned: true });
        }
        Ok(End {
            node: end.node + 1,
            asks: None,
        })
    }

    fn evaluate(
        &mut self,
        node: &Node,
        operator: &dyn crate::ops::DataDependent,
        inputs: &[Option<Arc<Constant>>],
    ) -> Result<Vec<Tensor>, RunError> {
        let fail = |error: OpError| error.of_run(&node.label);
        let stop = |Stop| stopped(NodeLabel::clone(&node.label));
        let operands: Vec<_> = inputs
            .iter()
            .map(|input| input.as_ref().map(Operand::known))
            .collect();
        let work = operator.work(&Inputs(&operands)).map_err(fail)?;
        self.meter.charge(node.label.index, &work).map_err(stop)?;
        let tensors: Vec<_> = inputs
            .iter()
            .map(|input| input.as_ref().map(|value| value.tensor()))
            .collect();
        let extent = operator.extent(&tensors).map_err(fail)?;
        self.meter.charge(node.label.index, &extent.work).map_err(stop)?;
        self.reserve(extent.memory).map_err(stop)?;
        let outputs = operator.evaluate(&tensors, self.path).map_err(fail)?;
        outputs.iter().for_each(|tensor| self.hold(tensor));
        Ok(outputs)
    }

    /// Lets go of what no node from number `from` on reads.
    fn drop_read(
        &mut self,
        block: &Block,
        from: usize,
        values: &mut [Value],
        held: &mut BTreeMap<ValueId, Held>,
    ) {
        let read = read_after(block, values.len(), from);
        held.retain(|&value, held| {
            if !read[value] {
                values[value] = Value::Computed(Arc::clone(values[value].kind()));
                if held.owned {
                    self.release(held.value.tensor());
                }
            }
            read[value]
        });
    }
}

/// A value that is held, or known.
fn at_hand(value: ValueId, values: &[Value], held: &BTreeMap<ValueId, Held>) -> Arc<Constant> {
    match (held.get(&value), &values[value]) {
        (Some(held), _) => Arc::clone(&held.value),
        (None, Value::Known(constant)) => Arc::clone(constant),
        (None, Value::Computed(_)) => unreachable!("what later nodes read is kept"),
    }
}

fn stopped(node: NodeLabel) -> RunError {
    RunError::Stopped { node }
}

/// Where a graph has no nodes left.
fn no_node() -> NodeLabel {
    NodeLabel {
        index: 0,
        op_type: String::new(),
        name: String::new(),
    }
}
