//! A plan: a model specialised for concrete shapes, with its memory laid out.
//!
//! **Memory as it is stated.** Each intermediate value lives in a slot, from the step that writes it to the last that reads it; then the
//! slot serves other values. Values are placed in the order of the steps: into the smallest free slot that is large
//! enough, else into the largest free one, which grows. Outputs have slots of their own and are handed over uncopied.
//! Nothing of this depends on the machine, so peak memory can be charged for. The reference runs this way, step by step, and so
//! does a run that is observed.
//!
//! **Memory as it is used.** The fast path may do with less: steps run together ([`fusion`]), values between them live in registers
//! ([`chain`]), and a change of shape is another name. What that needs is laid out in the same manner ([`schedule`]) and never takes
//! more slots' bytes than stated: if it would, nothing runs together. A run takes its memory from the plan's [`workspace`], so that a
//! warm one allocates its outputs and nothing else.
//!
//! **Metering.** Each step is charged at its place, whatever runs together.

mod chain;
mod fusion;
mod layout;
mod memory;
mod schedule;
mod simplify;
mod workspace;

use crate::{
    DType, Tensor,
    analysis::{AnalysedStep, Value, operands},
    constant::Constant,
    cost::{Bound, Cost, NodeCost},
    derived::Derived,
    import::NodeLabel,
    model::{Block, Dim, Node, PlanError, TensorSignature, ValueId},
    ops::{Flow, Inputs, Io, Kernel, OpError, Operand, Path, TensorType, Work},
    remembered::{Kernels, Remembered},
    shape::Shape,
    stages::{Rest, Stages},
    tensor::{Buffer, TensorView, TensorViewMut},
};
use fusion::{Groups, Role};
use memory::Slots;
use schedule::{Memory, Parts, Place, Schedule};
use std::{collections::BTreeMap, sync::Arc};
use workspace::Workspaces;

pub(crate) use schedule::Arguments;
pub(crate) use workspace::Workspace;

/// Where a step finds a value.
#[derive(Debug, Clone, Copy)]
enum Location {
    Input(usize),
    Constant(usize),
    Slot(usize),
}

struct Step {
    label: Arc<NodeLabel>,
    node: usize,
    kernel: Arc<dyn Kernel>,
    inputs: Vec<Option<(Location, Arc<TensorType>)>>,
    outputs: Vec<Option<(usize, Arc<TensorType>)>>,
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
    /// What the fast path does.
    schedule: Schedule,
    workspaces: Workspaces,
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

impl Plan {
    /// Lays out the analysed steps of a graph. `wanted` are the values that a run gives, `derived` those that the fast path need not
    /// compute.
    pub(crate) fn new(
        graph: &Block,
        given: Vec<Given>,
        values: &[Value],
        steps: &mut [AnalysedStep],
        wanted: &[ValueId],
        derived: &Derived,
    ) -> Result<Self, PlanError> {
        let (plan, _) = Self::after(graph, given, values, steps, wanted, derived, None)?;
        Ok(plan)
    }

    /// [`Self::new`], with the kernels of steps that are what they were in the plan before; gives all of this one, by node.
    pub(crate) fn after(
        graph: &Block,
        given: Vec<Given>,
        values: &[Value],
        steps: &mut [AnalysedStep],
        wanted: &[ValueId],
        derived: &Derived,
        before: Option<&Remembered>,
    ) -> Result<(Self, Vec<Option<Kernels>>), PlanError> {
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
        for (position, step) in steps.iter_mut().enumerate() {
            let node = &graph.nodes[step.node];
            let operands = operands(node, values);
            costs.push(NodeCost {
                node: node.label.index,
                work: step.work,
                times: 1,
            });
            let known = before.filter(|_| step.unchanged);
            let known = known.and_then(|before| before.kernels(step.node));
            let kernel: Arc<dyn Kernel> = match (step.nested.take(), known) {
                (Some(nested), _) => {
                    costs.extend(nested.costs);
                    bound = bound.max(nested.bound);
                    nested.kernel.into()
                }
                (None, Some(known)) => Arc::clone(&known.stated),
                (None, None) => node
                    .operator
                    .specialize(&Inputs(&operands), &step.outputs)
                    .map_err(|error| error.of_node(&node.label))?
                    .into(),
            };
            scratch = scratch.max(kernel.scratch_bytes());
            working = working.max((kernel.scratch_bytes() as u64).saturating_add(kernel.held_bytes()));
            multiply_adds = multiply_adds.saturating_add(step.multiply_adds);
            for &value in node.inputs.iter().flatten() {
                locate_known(value, &mut locations);
            }
            let inputs = node.inputs.iter().map(|value| {
                let location = locations[(*value)?].expect("a value is computed before it is read");
                Some((location, Arc::clone(values[(*value)?].kind())))
            });
            let inputs = inputs.collect();
            let mut outputs = Vec::with_capacity(node.outputs.len());
            for value in &node.outputs {
                outputs.push(value.map(|value| {
                    let kind = Arc::clone(values[value].kind());
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
                label: Arc::clone(&node.label),
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
        let mut known: Vec<_> = locations.iter().map(known_place).collect();
        for (value, constant) in derived.iter().filter(|&(value, _)| !values[value].is_known()) {
            known[value] = Some(Place::Constant(constants.len()));
            constants.push(constant.clone());
        }
        let mut by_node = vec![None; graph.nodes.len()];
        let mut kernels = Vec::with_capacity(planned.len());
        for (planned, step) in planned.iter().zip(&*steps) {
            let known = before.filter(|_| step.unchanged);
            let kernel = match known.and_then(|before| before.kernels(step.node)) {
                Some(known) => known.derived.clone(),
                None => with_derived(&graph.nodes[step.node], step, values, derived),
            };
            // a run has the scratch memory that the plan states
            let fits = kernel.as_ref().filter(|kernel| kernel.scratch_bytes() <= scratch);
            kernels.push(Arc::clone(fits.unwrap_or(&planned.kernel)));
            by_node[step.node] = Some(Kernels {
                stated: Arc::clone(&planned.kernel),
                derived: kernel,
            });
        }
        let parts = Parts {
            graph,
            values,
            steps,
            wanted,
            kernels: &kernels,
            known: &known,
            derived,
        };
        let schedule = lay_out(&parts, slots.total());
        let workspaces = Workspaces::new(schedule.slots.clone(), scratch);
        let cost = Cost {
            nodes: costs,
            bound,
            peak_memory,
            multiply_adds,
            output_shapes: Some(outputs.iter().map(|(_, kind)| kind.shape.clone()).collect()),
        };
        let plan = Self {
            inputs,
            constants,
            steps: planned,
            outputs,
            slots: slots.bytes,
            scratch,
            cost,
            schedule,
            workspaces,
            rest: None,
        };
        Ok((plan, by_node))
    }

    /// This plan, as the first stage of a run.
    pub(crate) fn followed_by(mut self, rest: Rest) -> Self {
        self.cost.bound = Bound::Open;
        self.cost.output_shapes = None;
        self.rest = Some(Box::new(rest));
        self
    }

    /// Lets go of the values of constants that a run reads only as its kernels have arranged them, here and among those of the model.
    pub(crate) fn let_go(&mut self, of_model: &mut [Arc<Constant>]) {
        let needed = self.schedule.constants();
        let mut in_model = by_address(of_model.iter_mut());
        for (index, constant) in self.constants.iter_mut().enumerate() {
            if needed.contains(&index) {
                continue;
            }
            let in_model = in_model.remove(&Arc::as_ptr(constant));
            if let (Some(in_model), Some(without)) = (in_model, constant.let_go()) {
                let without = Arc::new(without);
                *in_model = Arc::clone(&without);
                *constant = without;
            }
        }
    }

    /// Gives the values of constants memory of their own, here and among those of the model.
    pub(crate) fn keep_apart(&mut self, of_model: &mut [Arc<Constant>]) {
        let mut here = by_address(self.constants.iter_mut());
        for in_model in of_model {
            let Some(own) = in_model.apart().map(Arc::new) else {
                continue;
            };
            if let Some(here) = here.remove(&Arc::as_ptr(in_model)) {
                *here = Arc::clone(&own);
            }
            *in_model = own;
        }
    }

    /// Bytes that a run holds at its peak beside its inputs.
    pub(crate) fn own_memory(&self) -> u64 {
        let inputs = self.inputs.iter().map(|(_, kind)| kind.bytes() as u64);
        self.cost
            .peak_memory
            .saturating_sub(inputs.fold(0, u64::saturating_add))
    }

    /// Bytes of memory that the plan keeps between runs, at most.
    pub fn kept_bytes(&self) -> usize {
        self.workspaces.kept_bytes()
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
        if path == Path::Fast && observer.is_none() && self.rest.is_none() {
            let mut outputs = self.new_outputs();
            self.run_warm(inputs, &mut outputs, meter)?;
            return Ok(outputs);
        }
        let canonical = self.check_inputs(inputs)?;
        let inputs = canonical.as_deref().unwrap_or(inputs);
        let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
        let outputs = self.execute(path, &views, meter, observer)?;
        match &self.rest {
            None => Ok(outputs),
            Some(rest) => {
                let inputs = views.iter().map(|input| input.bytes.len() as u64).sum();
                Stages::new(path, meter, inputs).finish(rest, outputs)
            }
        }
    }

    /// [`Self::run`] into tensors that the caller keeps: a warm run allocates nothing. Tensors of other types than the outputs' are
    /// replaced. What they hold after an error is unspecified.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_into(
        &self,
        inputs: &[Tensor],
        outputs: &mut Vec<Tensor>,
        meter: &mut dyn Meter,
    ) -> Result<(), RunError> {
        if self.rest.is_some() {
            *outputs = self.run(inputs, meter)?;
            return Ok(());
        }
        let fits = |(tensor, (_, kind)): (&Tensor, &(Location, TensorType))| {
            tensor.dtype() == kind.dtype && tensor.shape() == kind.shape
        };
        if outputs.len() != self.outputs.len() || !outputs.iter().zip(&self.outputs).all(fits) {
            *outputs = self.new_outputs();
        }
        self.run_warm(inputs, outputs, meter)
    }

    /// Runs the schedule in a workspace that waits, if there is one.
    fn run_warm(
        &self,
        inputs: &[Tensor],
        outputs: &mut [Tensor],
        meter: &mut dyn Meter,
    ) -> Result<(), RunError> {
        let canonical = self.check_inputs(inputs)?;
        let inputs = Arguments::Tensors(canonical.as_deref().unwrap_or(inputs));
        let mut workspace = self.workspaces.take();
        let result = self.execute_in(&mut workspace, inputs, outputs, meter, None);
        self.workspaces.give_back(workspace);
        result
    }

    /// [`Self::run`], telling an observer which nodes run as one, and when. What they leave it is not told: values between them may
    /// live in registers. Of a plan that ends before its graph does, only that much runs.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_watched(
        &self,
        inputs: &[Tensor],
        meter: &mut dyn Meter,
        observer: &mut dyn Observer,
    ) -> Result<(), RunError> {
        let canonical = self.check_inputs(inputs)?;
        let inputs = Arguments::Tensors(canonical.as_deref().unwrap_or(inputs));
        let mut workspace = self.workspaces.take();
        let result = self.execute_in(
            &mut workspace,
            inputs,
            &mut self.new_outputs(),
            meter,
            Some(observer),
        );
        self.workspaces.give_back(workspace);
        result
    }

    /// Memory for runs of [`Self::execute_in`].
    pub(crate) fn workspace(&self) -> Workspace {
        self.workspaces.make()
    }

    /// Tensors for the outputs.
    pub(crate) fn new_outputs(&self) -> Vec<Tensor> {
        let new = |(_, kind): &(Location, TensorType)| {
            Tensor::from_buffer(kind.dtype, kind.shape.clone(), Buffer::zeroed(kind.bytes()))
        };
        self.outputs.iter().map(new).collect()
    }

    /// Runs the steps as they are scheduled, with the fast kernels; inputs and outputs are of the planned types.
    pub(crate) fn execute_in(
        &self,
        workspace: &mut Workspace,
        inputs: Arguments<'_>,
        outputs: &mut [Tensor],
        meter: &mut dyn Meter,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<(), RunError> {
        let mut memory = Memory {
            inputs,
            constants: &self.constants,
            workspace,
            scratch: self.scratch,
            outputs,
        };
        for (step, action) in self.steps.iter().zip(&self.schedule.runs) {
            charge(step, meter)?;
            let Some(action) = *action else { continue };
            let action = &self.schedule.actions[action];
            if let Some(observer) = &mut observer {
                observer.begin(&action.nodes);
            }
            action
                .run(&mut memory, meter)
                .map_err(|error| error.of_run(&step.label))?;
            if let Some(observer) = &mut observer {
                observer.end(&action.nodes, &[]);
            }
        }
        for (index, &place) in self.schedule.outputs.iter().enumerate() {
            memory.copy_to_output(place, index);
        }
        Ok(())
    }

    /// Runs the steps once; the inputs are of the planned types.
    pub(crate) fn execute(
        &self,
        path: Path,
        inputs: &[TensorView<'_>],
        meter: &mut dyn Meter,
        mut observer: Option<&mut dyn Observer>,
    ) -> Result<Vec<Tensor>, RunError> {
        if path == Path::Fast && observer.is_none() {
            let mut outputs = self.new_outputs();
            self.execute_in(
                &mut self.workspace(),
                Arguments::Views(inputs),
                &mut outputs,
                meter,
                None,
            )?;
            return Ok(outputs);
        }
        let mut slots: Vec<Buffer> = self.slots.iter().map(|&bytes| Buffer::zeroed(bytes)).collect();
        let mut scratch = Buffer::zeroed(self.scratch);
        for step in &self.steps {
            charge(step, meter)?;
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
            Location::Constant(constant) => self.constants[constant].tensor().clone(),
            Location::Slot(slot) => {
                Tensor::from_buffer(kind.dtype, kind.shape.clone(), std::mem::take(&mut slots[slot]))
            }
        };
        Ok(self.outputs.iter().map(give).collect())
    }

    /// Checks the thread and the inputs. Gives these with canonical NaNs if they have others: a caller may have written some into
    /// a tensor after it was made.
    fn check_inputs(&self, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, RunError> {
        if !synod_numerics::environment::is_default() {
            return Err(RunError::FloatEnvironment);
        }
        if inputs.len() != self.inputs.len() {
            return Err(RunError::InputCount {
                expected: self.inputs.len(),
                got: inputs.len(),
            });
        }
        for ((name, kind), input) in self.inputs.iter().zip(inputs) {
            if input.dtype() != kind.dtype || input.shape() != kind.shape {
                return Err(RunError::Input {
                    name: name.clone(),
                    expected: kind.clone(),
                    dtype: input.dtype(),
                    shape: input.shape().to_vec(),
                });
            }
        }
        if inputs.iter().all(Tensor::has_only_canonical_nans) {
            return Ok(None);
        }
        let mut inputs = inputs.to_vec();
        inputs.iter_mut().for_each(Tensor::canonicalize_nan);
        Ok(Some(inputs))
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
        let view = |(location, kind): &'_ (Location, Arc<TensorType>)| -> &[u8] {
            match *location {
                Location::Input(input) => inputs[input].bytes,
                Location::Constant(constant) => self.constants[constant].tensor().bytes(),
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
            epilogue: None,
        });
        for (buffer, output) in buffers.into_iter().zip(&step.outputs) {
            if let (Some(buffer), Some((slot, _))) = (buffer, output) {
                slots[*slot] = buffer;
            }
        }
        result
    }
}

fn charge(step: &Step, meter: &mut dyn Meter) -> Result<(), RunError> {
    meter
        .charge(step.node, &step.work)
        .map_err(|Stop| RunError::Stopped {
            node: NodeLabel::clone(&step.label),
        })
}

/// The kernel of a step some of whose inputs, but not all of its outputs, are derived; `None` if that makes no difference.
fn with_derived(
    node: &Node,
    step: &AnalysedStep,
    values: &[Value],
    derived: &Derived,
) -> Option<Arc<dyn Kernel>> {
    let is_derived = |value: &ValueId| derived.contains(*value);
    if !matches!(node.operator.flow(), Flow::Plain)
        || !node.inputs.iter().flatten().any(is_derived)
        || node.outputs.iter().flatten().all(is_derived)
    {
        return None;
    }
    let operands: Vec<_> = operands(node, values)
        .into_iter()
        .zip(&node.inputs)
        .map(
            |(operand, input)| match input.and_then(|value| derived.get(value)) {
                Some(constant) => Some(Operand::known(constant)),
                None => operand,
            },
        )
        .collect();
    let kernel = node.operator.specialize(&Inputs(&operands), &step.outputs);
    kernel.ok().map(Arc::from)
}

/// Constants, each of which is there once, by where they lie: a model may have so many that looking for one among all would take long.
fn by_address<'a>(
    constants: impl Iterator<Item = &'a mut Arc<Constant>>,
) -> BTreeMap<*const Constant, &'a mut Arc<Constant>> {
    constants
        .map(|constant| (Arc::as_ptr(constant), constant))
        .collect()
}

/// Where a value is that no step computes.
fn known_place(location: &Option<Location>) -> Option<Place> {
    match *location {
        Some(Location::Input(input)) => Some(Place::Input(input)),
        Some(Location::Constant(constant)) => Some(Place::Constant(constant)),
        _ => None,
    }
}

/// What the fast path does, in at most `stated` bytes of slots.
fn lay_out(parts: &Parts<'_>, stated: usize) -> Schedule {
    let roles: Vec<_> = parts
        .steps
        .iter()
        .map(|step| {
            let node = &parts.graph.nodes[step.node];
            let mut outputs = node.outputs.iter().flatten();
            if outputs.all(|&value| parts.derived.contains(value)) {
                Role::Derived
            } else {
                Role::of(node, step, parts.values)
            }
        })
        .collect();
    let to_run: Vec<usize> = (0..roles.len())
        .filter(|&step| !matches!(roles[step], Role::Derived))
        .collect();
    let groups = Groups::new(parts.graph, parts.steps, &roles, parts.values.len(), parts.wanted);
    let fused = Schedule::new(parts, &groups, roles.into_iter().map(Some).collect());
    let outputs = parts.wanted.iter().zip(&fused.outputs).enumerate();
    let written = outputs.filter(|(index, (_, place))| **place == Place::Output(*index));
    let outputs: usize = written.map(|(_, (&value, _))| parts.values[value].bytes()).sum();
    if fused.slot_bytes().saturating_add(outputs) <= stated {
        return fused;
    }
    let groups = Groups::singles(parts.values.len(), to_run);
    Schedule::new(parts, &groups, parts.steps.iter().map(|_| None).collect())
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

    /// It has ended and left these outputs: those of the last of the nodes, `None` where one is not asked for; none of a run that is
    /// watched ([`Plan::run_watched`]).
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
