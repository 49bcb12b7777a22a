//! A plan: a model specialised for concrete shapes, with its memory laid out.
//!
//! **Memory.** Each intermediate value lives in a slot, from the step that writes it to the last that reads it; then the
//! slot serves other values. Values are placed in the order of the steps: into the smallest free slot that is large
//! enough, else into the largest free one, which grows. Outputs have slots of their own and are handed over uncopied.
//! Nothing of this depends on the machine, so peak memory can be charged for.

use crate::{
    DType, Tensor,
    analysis::{AnalysedStep, Value, operands},
    constant::Constant,
    cost::{Bound, Cost, NodeCost},
    import::NodeLabel,
    model::{Block, Dim, PlanError, TensorSignature, ValueId},
    ops::{Inputs, Io, Kernel, OpError, Path, TensorType, Work},
    shape::Shape,
    stages::{Rest, Stages},
    tensor::{Buffer, TensorView, TensorViewMut},
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

/// Where a step finds a value.
#[derive(Debug, Clone, Copy)]
enum Location {
    Input(usize),
    Constant(usize),
    Slot(usize),
}

struct Step {
    label: NodeLabel,
    node: usize,
    kernel: Box<dyn Kernel>,
    inputs: Vec<Option<(Location, TensorType)>>,
    outputs: Vec<Option<(usize, TensorType)>>,
    work: Work,
}

/// A model specialised for concrete input shapes; runs any number of times, on any thread.
pub struct Plan {
    inputs: Vec<(String, TensorType)>,
    constants: Vec<Arc<Constant>>,
    steps: Vec<Step>,
    outputs: Vec<(Location, TensorType)>,
    /// Bytes of each slot.
    slots: Vec<usize>,
    scratch: usize,
    cost: Cost,
    /// What comes after, where this plan ends before the graph does: its outputs are then what the rest needs.
    rest: Option<Box<Rest>>,
}

/// A value that is there before a plan runs.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) value: ValueId,
    /// For messages.
    pub(crate) name: String,
    pub(crate) kind: TensorType,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("inputs", &self.inputs)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

/// The slots while planning.
#[derive(Default)]
struct Slots {
    bytes: Vec<usize>,
    /// Free slots, each behind its size: finding one must not take longer the more there are.
    free: BTreeSet<(usize, usize)>,
}

impl Slots {
    /// The smallest free slot that is large enough, else the largest one, which grows, else a new one.
    fn take(&mut self, bytes: usize) -> usize {
        let fitting = self.free.range((bytes, 0)..).next();
        match fitting.or_else(|| self.free.last()).copied() {
            Some(found) => {
                self.free.remove(&found);
                let (size, slot) = found;
                self.bytes[slot] = size.max(bytes);
                slot
            }
            None => self.take_new(bytes),
        }
    }

    fn release(&mut self, slot: usize) {
        self.free.insert((self.bytes[slot], slot));
    }

    fn take_new(&mut self, bytes: usize) -> usize {
        self.bytes.push(bytes);
        self.bytes.len() - 1
    }
}

impl Plan {
    /// Lays out the analysed steps of a graph. `wanted` are the values that a run gives.
    pub(crate) fn new(
        graph: &Block,
        given: Vec<Given>,
        values: &[Value],
        steps: Vec<AnalysedStep>,
        wanted: &[ValueId],
    ) -> Result<Self, PlanError> {
        let mut last_use = vec![None; values.len()];
        for (position, step) in steps.iter().enumerate() {
            let node = &graph.nodes[step.node];
            for &value in node.inputs.iter().chain(&node.outputs).flatten() {
                last_use[value] = Some(position);
            }
        }
        let mut is_output = vec![false; values.len()];
        wanted.iter().for_each(|&output| is_output[output] = true);

        let mut constants = Vec::new();
        let mut locations: Vec<Option<Location>> = vec![None; values.len()];
        let mut locate_known = |value: usize, locations: &mut Vec<Option<Location>>| {
            if let (Value::Known(constant), None) = (&values[value], locations[value]) {
                constants.push(constant.clone());
                locations[value] = Some(Location::Constant(constants.len() - 1));
            }
        };
        for (input, given) in given.iter().enumerate() {
            locations[given.value] = Some(Location::Input(input));
        }

        let mut slots = Slots::default();
        let mut planned = Vec::with_capacity(steps.len());
        let (mut scratch, mut working, mut multiply_adds) = (0, 0u64, 0u64);
        let (mut costs, mut bound) = (Vec::with_capacity(steps.len()), Bound::Exact);
        for (position, step) in steps.into_iter().enumerate() {
            let node = &graph.nodes[step.node];
            let operands = operands(node, values);
            costs.push(NodeCost {
                node: node.label.index,
                work: step.work,
                times: 1,
            });
            let kernel = match step.nested {
                Some(nested) => {
                    costs.extend(nested.costs);
                    bound = bound.max(nested.bound);
                    nested.kernel
                }
                None => node
                    .operator
                    .specialize(&Inputs(&operands), &step.outputs)
                    .map_err(|error| error.of_node(&node.label))?,
            };
            scratch = scratch.max(kernel.scratch_bytes());
            working = working.max((kernel.scratch_bytes() as u64).saturating_add(kernel.held_bytes()));
            multiply_adds = multiply_adds.saturating_add(step.multiply_adds);
            for &value in node.inputs.iter().flatten() {
                locate_known(value, &mut locations);
            }
            let inputs = node.inputs.iter().zip(&operands).map(|(value, operand)| {
                let location = locations[(*value)?].expect("a value is computed before it is read");
                operand.map(|operand| (location, operand.tensor_type()))
            });
            let inputs = inputs.collect();
            let mut outputs = Vec::with_capacity(node.outputs.len());
            for (value, kind) in node.outputs.iter().zip(step.outputs) {
                outputs.push(value.map(|value| {
                    let bytes = kind.bytes();
                    let slot = if is_output[value] {
                        slots.take_new(bytes)
                    } else {
                        slots.take(bytes)
                    };
                    locations[value] = Some(Location::Slot(slot));
                    (slot, kind)
                }));
            }
            let mut done: Vec<usize> = node
                .inputs
                .iter()
                .chain(&node.outputs)
                .flatten()
                .copied()
                .collect();
            done.sort_unstable();
            done.dedup();
            for value in done {
                if let Some(Location::Slot(slot)) = locations[value]
                    && last_use[value] == Some(position)
                    && !is_output[value]
                {
                    slots.release(slot);
                }
            }
            planned.push(Step {
                label: node.label.clone(),
                node: node.label.index,
                kernel,
                inputs,
                outputs,
                work: step.work,
            });
        }

        let mut outputs = Vec::with_capacity(wanted.len());
        for &value in wanted {
            locate_known(value, &mut locations);
            let location = locations[value].expect("every output is given, known, or computed by a step");
            outputs.push((location, values[value].tensor_type()));
        }
        let inputs: Vec<_> = given.into_iter().map(|given| (given.name, given.kind)).collect();
        // Outputs in slots are counted there; those that are copies of inputs or constants are counted here.
        let copied = outputs
            .iter()
            .filter(|(location, _)| !matches!(location, Location::Slot(_)));
        let peak_memory = inputs
            .iter()
            .map(|(_, kind)| kind.bytes())
            .chain(slots.bytes.iter().copied())
            .chain(copied.map(|(_, kind)| kind.bytes()))
            .fold(working, |sum, bytes| sum.saturating_add(bytes as u64));
        let cost = Cost {
            nodes: costs,
            bound,
            peak_memory,
            multiply_adds,
            output_shapes: Some(outputs.iter().map(|(_, kind)| kind.shape.clone()).collect()),
        };
        Ok(Self {
            inputs,
            constants,
            steps: planned,
            outputs,
            slots: slots.bytes,
            scratch,
            cost,
            rest: None,
        })
    }

    /// This plan, as the first stage of a run.
    pub(crate) fn followed_by(mut self, rest: Rest) -> Self {
        self.cost.bound = Bound::Open;
        self.cost.output_shapes = None;
        self.rest = Some(Box::new(rest));
        self
    }

    /// Bytes that a run holds at its peak beside its inputs.
    pub(crate) fn own_memory(&self) -> u64 {
        let inputs = self.inputs.iter().map(|(_, kind)| kind.bytes() as u64);
        self.cost
            .peak_memory
            .saturating_sub(inputs.fold(0, u64::saturating_add))
    }

    /// What a run costs.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// Types of the inputs, in order.
    pub fn input_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.inputs.iter().map(|(_, kind)| kind)
    }

    /// Types of the outputs, in order.
    pub fn output_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.outputs.iter().map(|(_, kind)| kind)
    }

    /// Runs the plan with the fastest arithmetic of this machine.
    ///
    /// # Errors
    /// If the inputs are not of the planned types, the meter stops the run, or an operator meets a value out of its range.
    pub fn run(&self, inputs: &[Tensor], meter: &mut dyn Meter) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Fast, inputs, meter, None)
    }

    /// [`Self::run`], telling an observer what runs and when.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_observed(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Fast, inputs, meter, Some(observer))
    }

    /// Runs the plan with the scalar reference: the same bits, slowly.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_reference(&self, inputs: &[Tensor], meter: &mut dyn Meter) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Reference, inputs, meter, None)
    }

    /// [`Self::run_reference`], telling an observer what runs and when.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_reference_observed(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>, RunError> {
        self.run_on(Path::Reference, inputs, meter, Some(observer))
    }

    fn run_on(
        &self,
        path: Path,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>, RunError> {
        if !synod_numerics::environment::is_default() {
            return Err(RunError::FloatEnvironment);
        }
        let inputs = self.check_inputs(inputs)?;
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let outputs = self.execute(path, &views, meter, observer)?;
        match &self.rest {
            None => Ok(outputs),
            Some(rest) => {
                let inputs = views.iter().map(|input| input.bytes.len() as u64).sum();
                Stages::new(path, meter, inputs).finish(rest, outputs)
            }
        }
    }

    /// Runs the steps; the inputs are of the planned types.
    pub(crate) fn execute(
        &self,
        path: Path,
        inputs: &[TensorView<'_>],
        meter: &mut dyn Meter,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>, RunError> {
        let mut slots: Vec<Buffer> = self.slots.iter().map(|&bytes| Buffer::zeroed(bytes)).collect();
        let mut scratch = Buffer::zeroed(self.scratch);
        for step in &self.steps {
            meter
                .charge(step.node, &step.work)
                .map_err(|Stop| RunError::Stopped {
                    node: step.label.clone(),
                })?;
            let nodes = [step.node];
            if let Some(observer) = &mut observer {
                observer.begin(&nodes);
            }
            self.run_step(step, path, inputs, &mut slots, scratch.bytes_mut(), meter)
                .map_err(|error| error.of_run(&step.label))?;
            if let Some(observer) = &mut observer {
                let outputs: Vec<Option<TensorView<'_>>> = step
                    .outputs
                    .iter()
                    .map(|output| {
                        let (slot, kind) = output.as_ref()?;
                        Some(TensorView {
                            dtype: kind.dtype,
                            shape: &kind.shape,
                            bytes: &slots[*slot].bytes()[..kind.bytes()],
                        })
                    })
                    .collect();
                observer.end(&nodes, &outputs);
            }
        }
        let give = |(location, kind): &(Location, TensorType)| match *location {
            Location::Input(input) => inputs[input].to_tensor(),
            Location::Constant(constant) => self.constants[constant].tensor.clone(),
            Location::Slot(slot) => {
                Tensor::from_buffer(kind.dtype, kind.shape.clone(), std::mem::take(&mut slots[slot]))
            }
        };
        Ok(self.outputs.iter().map(give).collect())
    }

    fn check_inputs<'a>(&self, inputs: &'a [Tensor]) -> Result<Vec<Cow<'a, Tensor>>, RunError> {
        if inputs.len() != self.inputs.len() {
            return Err(RunError::InputCount {
                expected: self.inputs.len(),
                got: inputs.len(),
            });
        }
        let check = |((name, kind), input): (&(String, TensorType), &'a Tensor)| {
            if input.dtype() != kind.dtype || input.shape() != kind.shape {
                return Err(RunError::Input {
                    name: name.clone(),
                    expected: kind.clone(),
                    dtype: input.dtype(),
                    shape: input.shape().to_vec(),
                });
            }
            // A caller may have written other NaNs into the tensor after it was made.
            Ok(if input.has_only_canonical_nans() {
                Cow::Borrowed(input)
            } else {
                let mut canonical = input.clone();
                canonical.canonicalize_nan();
                Cow::Owned(canonical)
            })
        };
        self.inputs.iter().zip(inputs).map(check).collect()
    }

    fn run_step(
        &self,
        step: &Step,
        path: Path,
        inputs: &[TensorView<'_>],
        slots: &mut [Buffer],
        scratch: &mut [u8],
        meter: &mut dyn Meter,
    ) -> Result<(), OpError> {
        // The output buffers leave their slots while the step runs: the planner never gives a step one slot twice.
        let mut buffers: Vec<Option<Buffer>> = step
            .outputs
            .iter()
            .map(|output| output.as_ref().map(|(slot, _)| std::mem::take(&mut slots[*slot])))
            .collect();
        let view = |(location, kind): &'_ (Location, TensorType)| -> &[u8] {
            match *location {
                Location::Input(input) => inputs[input].bytes,
                Location::Constant(constant) => self.constants[constant].tensor.bytes(),
                Location::Slot(slot) => &slots[slot].bytes()[..kind.bytes()],
            }
        };
        let read: Vec<_> = step
            .inputs
            .iter()
            .map(|input| {
                let input = input.as_ref()?;
                Some(TensorView {
                    dtype: input.1.dtype,
                    shape: &input.1.shape,
                    bytes: view(input),
                })
            })
            .collect();
        let mut written: Vec<_> = buffers
            .iter_mut()
            .zip(&step.outputs)
            .map(|(buffer, output)| {
                let (buffer, (_, kind)) = (buffer.as_mut()?, output.as_ref()?);
                let bytes = &mut buffer.bytes_mut()[..kind.bytes()];
                Some(TensorViewMut {
                    dtype: kind.dtype,
                    shape: &kind.shape,
                    bytes,
                })
            })
            .collect();
        let scratch = &mut scratch[..step.kernel.scratch_bytes()];
        let result = step.kernel.run(&mut Io {
            path,
            inputs: &read,
            outputs: &mut written,
            scratch,
            meter,
        });
        for (buffer, output) in buffers.into_iter().zip(&step.outputs) {
            if let (Some(buffer), Some((slot, _))) = (buffer, output) {
                slots[*slot] = buffer;
            }
        }
        result
    }
}

/// Whether an output is what the signature declares.
pub(crate) fn check_output(signature: &TensorSignature, computed: &TensorType) -> Result<(), PlanError> {
    if signature.dtype != computed.dtype {
        return Err(PlanError::OutputType {
            name: signature.name.clone(),
            declared: signature.dtype,
            computed: computed.dtype,
        });
    }
    let agrees = |(dim, size): (&Dim, &usize)| match dim {
        Dim::Fixed(declared) => declared == size,
        Dim::Symbol { max, .. } => size <= max,
        Dim::Open { .. } => true,
    };
    let shape = &computed.shape;
    if signature.dims.len() == shape.len() && signature.dims.iter().zip(shape).all(agrees) {
        Ok(())
    } else {
        Err(PlanError::OutputShape {
            name: signature.name.clone(),
            declared: signature.dims.clone(),
            computed: shape.clone(),
        })
    }
}

/// Charged before each node runs; may stop the run.
///
/// What a plan with one stage and without loops asks is in its [`Cost`] already. Where shapes or the number of steps depend on
/// the inputs' values, the meter is what bounds time and memory.
pub trait Meter {
    /// Takes the price of a node, by its position among all nodes of the model.
    ///
    /// # Errors
    /// If it cannot be paid: the run stops before the node.
    fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop>;

    /// Takes the price of planning a node of a later stage, before it is planned.
    ///
    /// # Errors
    /// If it cannot be paid.
    fn plan(&mut self, work: &Work) -> Result<(), Stop>;

    /// Takes the price of `bytes` of memory that a later stage will allocate. With them the run holds `total`, inputs and
    /// outputs included.
    ///
    /// # Errors
    /// If it cannot be paid, or is too much.
    fn reserve(&mut self, bytes: u64, total: u64) -> Result<(), Stop>;
}

/// Told what runs, before and after: what a profiler is made of. It cannot change the run.
///
/// A step computes one node, or several that run as one; the nodes are positions in the graph.
pub trait Observer {
    /// The step that computes these nodes begins.
    fn begin(&mut self, nodes: &[usize]);

    /// It has ended and left these outputs: those of the last of the nodes, `None` where one is not asked for.
    fn end(&mut self, nodes: &[usize], outputs: &[Option<TensorView<'_>>]);
}

/// The meter stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// A meter that charges nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn charge(&mut self, _node: usize, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn plan(&mut self, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// Why a run gave no outputs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Not one tensor for each input.
    #[error("the model has {expected} inputs, got {got}")]
    InputCount {
        /// Inputs of the model.
        expected: usize,
        /// Given.
        got: usize,
    },
    /// A tensor of another type or shape than planned.
    #[error("input `{name}` is {dtype}{shape:?}; the plan takes {}{:?}", expected.dtype, expected.shape)]
    Input {
        /// The input.
        name: String,
        /// What the plan takes.
        expected: TensorType,
        /// The type given.
        dtype: DType,
        /// The shape given.
        shape: Shape,
    },
    /// Something in the process (a C library) has changed rounding or flushes subnormals: results would differ from
    /// other machines'. An internal fault, never the caller's.
    #[error("this thread's floating-point environment is not the default: a library has changed it")]
    FloatEnvironment,
    /// The meter stopped the run.
    #[error("stopped by the meter before {node}")]
    Stopped {
        /// The node that was not paid for.
        node: NodeLabel,
    },
    /// A later stage does not plan, or an output is not what the model declares.
    #[error(transparent)]
    Plan(PlanError),
    /// A value out of an operator's range.
    #[error("{node}: {error}")]
    Node {
        /// The node.
        node: NodeLabel,
        /// The reason.
        error: OpError,
    },
}
