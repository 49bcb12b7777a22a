//! Making a plan: memory as it is stated, step by step, and the schedule of the fast path.

use super::{
    Given, Location, Plan, Step,
    fusion::{Groups, Role},
    memory::Slots,
    schedule::{Parts, Place, Schedule},
    workspace::Workspaces,
};
use crate::{
    analysis::{AnalysedStep, Value, operands},
    cost::{Bound, Cost, NodeCost},
    derived::Derived,
    model::{Block, Node, PlanError, ValueId},
    ops::{Flow, Inputs, Kernel, Operand},
    remembered::{Kernels, Remembered},
};
use std::sync::Arc;

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
