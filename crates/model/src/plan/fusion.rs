//! Which steps run as one.
//!
//! A group is a kernel that cannot fail, followed by elementwise operators on its output and on each other's, or such operators
//! alone. It runs where its last member stands: what its members read is kept until then. So a step may join a group only while no
//! other step has read one of the group's values. Nothing a caller can see depends on it: members cannot fail, every step is paid
//! for at its own place, and each operator rounds as it does alone.
//!
//! Operators that only change a shape are not run at all: their output is another name of their input (its *root*).
//!
//! What makes floats of bytes is done where the floats are used, in each group that uses them; a tensor of them is written only if
//! a kernel or the caller wants it. If only operators of elements use them, these may join the group that has made the bytes, which are
//! then written only if somebody else wants them.

use crate::{
    DType,
    analysis::{AnalysedStep, Value, operands},
    model::{Block, Node, ValueId},
    ops::{Elementwise, Inputs, TensorType},
    plan::{
        chain::{MAX_READS, MAX_REGISTERS, MAX_WRITES, inner_of_spread},
        schedule::is_of_chain,
    },
};

/// What the executor may do with a step.
pub(super) enum Role {
    /// Nothing is to be done: the outputs are known ([`crate::derived`]).
    Derived,
    /// Nothing is to be done: the output is the input.
    View,
    /// A function of elements.
    Elementwise(Elementwise),
    /// Floats from bytes.
    Load,
    /// A kernel that elementwise operators may follow.
    Anchor,
    /// A kernel that runs at its place.
    Alone,
}

impl Role {
    pub(super) fn of(node: &Node, step: &AnalysedStep, values: &[Value]) -> Self {
        let one_output = node.outputs.iter().skip(1).all(Option::is_none);
        if node.operator.is_view() && one_output && node.inputs.first().is_some_and(Option::is_some) {
            return Self::View;
        }
        let operands = operands(node, values);
        let inputs = Inputs(&operands);
        let output = step.outputs.first();
        let Some(output) = output.filter(|output| one_output && output.elements() > 0) else {
            return Self::Alone;
        };
        if let Some(function) = function_of(node, &inputs, output) {
            let read = operands_of(&function);
            let fits = |index: usize| {
                let operand = inputs.optional(index)?;
                let whole = operand.elements() == output.elements();
                (whole || inner_of_spread(operand.shape, &output.shape).is_some()).then_some(())
            };
            if (0..read).all(|index| fits(index).is_some()) {
                return match function {
                    Elementwise::FromBytes(_) => Self::Load,
                    function => Self::Elementwise(function),
                };
            }
        }
        if node.operator.is_total() && output.dtype == DType::F32 {
            Self::Anchor
        } else {
            Self::Alone
        }
    }
}

/// The function of a node, if it is one of elements.
pub(super) fn function_of(node: &Node, inputs: &Inputs<'_>, output: &TensorType) -> Option<Elementwise> {
    let bytes = |dtype: DType| matches!(dtype, DType::U8 | DType::I8);
    let first = inputs.optional(0)?.dtype;
    let known = match (first, output.dtype) {
        (DType::F32, DType::F32) => inputs.iter().all(|operand| operand.dtype == DType::F32),
        (DType::F32, to) => bytes(to),
        (from, DType::F32) => bytes(from),
        _ => false,
    };
    known.then(|| node.operator.elementwise(inputs)).flatten()
}

/// How many of a node's inputs its function reads.
pub(super) fn operands_of(function: &Elementwise) -> usize {
    match function {
        Elementwise::Binary(_) | Elementwise::Arithmetic(_) => 2,
        Elementwise::Unary(_) | Elementwise::FromBytes(_) | Elementwise::ToBytes(_) => 1,
    }
}

/// Steps that run as one.
pub(super) struct Group {
    pub(super) members: Vec<usize>,
    /// Elements of the values that may be passed on in registers.
    elements: usize,
    /// Nobody may join any more.
    sealed: bool,
}

/// The groups of a plan, in the order in which they run.
pub(super) struct Groups {
    pub(super) groups: Vec<Group>,
    /// For each value, the one whose bytes it has.
    pub(super) roots: Vec<ValueId>,
}

impl Groups {
    /// Every step of these by itself.
    pub(super) fn singles(values: usize, steps: Vec<usize>) -> Self {
        Self {
            groups: steps.into_iter().map(Group::of).collect(),
            roots: (0..values).collect(),
        }
    }

    /// As few groups as the rules allow.
    pub(super) fn new(
        graph: &Block,
        steps: &[AnalysedStep],
        roles: &[Role],
        values: usize,
        wanted: &[ValueId],
    ) -> Self {
        let mut roots: Vec<ValueId> = (0..values).collect();
        let only_elementwise = only_elementwise(graph, steps, roles, values, wanted);
        // for each value that is made of bytes, the step that does it, and whether it is written too
        let mut loads: Vec<Option<(usize, bool)>> = vec![None; values];
        let mut groups: Vec<Group> = Vec::new();
        let mut producers: Vec<Option<usize>> = vec![None; values];
        for (position, (step, role)) in steps.iter().zip(roles).enumerate() {
            let node = &graph.nodes[step.node];
            if matches!(role, Role::Derived) {
                continue;
            }
            let read: Vec<ValueId> = node.inputs.iter().flatten().map(|&value| roots[value]).collect();
            if let (Role::View, Some(&first), Some(&Some(output))) =
                (role, read.first(), node.outputs.first())
            {
                roots[output] = first;
                continue;
            }
            if let (Role::Load, Some(&Some(output))) = (role, node.outputs.first()) {
                // what it reads is complete here, wherever it is done, unless it may be done where that is made
                for other in read.iter().filter_map(|&value| producers[value]) {
                    groups[other].sealed |= !only_elementwise[output];
                }
                loads[output] = Some((position, false));
                continue;
            }
            let elements = step.outputs.first().map_or(0, TensorType::elements);
            let joined = match role {
                Role::Elementwise(_) => {
                    let open = |&value: &ValueId| {
                        producers[value].filter(|&group| {
                            let group: &Group = &groups[group];
                            !group.sealed && group.elements == elements && group.has_room()
                        })
                    };
                    // what is made of bytes can be made in the group that makes the bytes
                    let bytes = |&value: &ValueId| {
                        let (load, _) = loads[value].filter(|_| only_elementwise[value])?;
                        graph.nodes[steps[load].node].inputs.first().copied().flatten()
                    };
                    let made = read.iter().filter_map(bytes).map(|value| roots[value]);
                    // the group that ran last, whose values are still in the cache
                    made.chain(read.iter().copied())
                        .filter_map(|value| open(&value))
                        .max_by_key(|&group| groups[group].members.last())
                }
                _ => None,
            };
            let group = joined.unwrap_or_else(|| {
                groups.push(Group {
                    members: Vec::new(),
                    elements,
                    sealed: matches!(role, Role::Alone),
                });
                groups.len() - 1
            });
            for &value in &read {
                let Some((load, written)) = &mut loads[value] else {
                    continue;
                };
                let bytes = graph.nodes[steps[*load].node].inputs.first().copied().flatten();
                if let Some(other) = bytes
                    .and_then(|bytes| producers[roots[bytes]])
                    .filter(|&other| other != group)
                {
                    groups[other].sealed = true;
                }
                // a spread operand is made whole first
                let whole = steps[*load].outputs[0].elements() == elements;
                if matches!(role, Role::Elementwise(_)) && whole {
                    if !groups[group].members.contains(load) {
                        let load = *load;
                        groups[group].members.push(load);
                    }
                } else if !std::mem::replace(written, true) {
                    groups.push(Group::of(*load));
                }
            }
            groups[group].members.push(position);
            for value in read {
                if let Some(other) = producers[value].filter(|&other| other != group) {
                    groups[other].sealed = true;
                }
            }
            for &value in node.outputs.iter().flatten() {
                producers[value] = Some(group);
            }
        }
        for &value in wanted {
            if let Some((load, false)) = loads[roots[value]].replace((usize::MAX, true)) {
                groups.push(Group::of(load));
            }
        }
        groups.sort_by_key(|group| group.members.last().copied());
        Self { groups, roots }
    }
}

/// For each value, whether all that read it are operators of elements on as many elements: then it is never written.
fn only_elementwise(
    graph: &Block,
    steps: &[AnalysedStep],
    roles: &[Role],
    values: usize,
    wanted: &[ValueId],
) -> Vec<bool> {
    let mut elements = vec![0; values];
    let mut only = vec![true; values];
    wanted.iter().for_each(|&value| only[value] = false);
    for (step, role) in steps.iter().zip(roles) {
        let node = &graph.nodes[step.node];
        let of_step = step.outputs.first().map_or(0, TensorType::elements);
        for &value in node.inputs.iter().flatten() {
            only[value] &= matches!(role, Role::Elementwise(_)) && elements[value] == of_step;
        }
        for (&value, output) in node.outputs.iter().zip(step.outputs.iter()) {
            value
                .into_iter()
                .for_each(|value| elements[value] = output.elements());
        }
    }
    only
}

impl Group {
    /// A step by itself.
    fn of(step: usize) -> Self {
        Self {
            members: vec![step],
            elements: 0,
            sealed: true,
        }
    }

    /// The kernel that its chain follows, if it has one.
    pub(super) fn kernel(&self, roles: &[Option<Role>]) -> Option<usize> {
        let first = self.members.first().copied();
        first.filter(|&first| !is_of_chain(roles, first))
    }

    /// Whether one more operator surely fits, with two operands made of bytes: each member may read two more tensors, take a
    /// register for its result and two for its operands, and write a value that others want too.
    fn has_room(&self) -> bool {
        let members = self.members.len() + 3;
        members <= MAX_WRITES && 2 * members <= MAX_READS && members + 2 <= MAX_REGISTERS
    }
}
