//! What a run does, step by step, and where every value lies.

mod in_registers;

use super::{
    Meter,
    chain::{
        Chain, Instruction, MAX_READS, MAX_WRITES, Operand, Source, Target, Written, inner_of_spread, is_row,
    },
    fusion::{Groups, Role, function_of, operands_of},
    layout::channels_together,
    memory::{Lifetime, assign},
    workspace::Workspace,
};
use crate::{
    DType,
    analysis::{AnalysedStep, Value, operands},
    constant::Constant,
    derived::Derived,
    model::{Block, Node, ValueId},
    ops::{Elementwise, Inputs, Io, Kernel, OpError, Path, TensorType},
    tensor::{Buffer, Tensor, TensorView, TensorViewMut},
};
use in_registers::SimpleChain;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use synod_numerics::fast::epilogue::{Epilogue, Simple};

/// Operands of a node without an allocation for them.
const FEW: usize = 8;

/// Where a value lies during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Input(usize),
    Constant(usize),
    Slot(usize),
    Output(usize),
}

/// A value to read.
struct Read {
    place: Place,
    kind: Arc<TensorType>,
    /// Whether it is read at all: what a kernel has arranged for itself is not.
    needed: bool,
}

/// A value to write.
struct Write {
    place: Place,
    kind: Arc<TensorType>,
}

/// Steps that run as one.
pub(super) struct Action {
    /// Which, by position in the graph.
    pub(super) nodes: Vec<usize>,
    kernel: Option<KernelCall>,
    chain: Option<ChainCall>,
    /// The kernel runs the chain on each piece of its output.
    together: bool,
}

/// A kernel and its operands.
struct KernelCall {
    kernel: Arc<dyn Kernel>,
    scratch_bytes: usize,
    /// It allocates memory of its own.
    allocates: bool,
    reads: Vec<Option<Read>>,
    writes: Vec<Option<Write>>,
}

/// A chain and its operands.
struct ChainCall {
    chain: Chain,
    /// The same for kernels that can do it in registers, if it is that simple.
    simple: Option<SimpleChain>,
    reads: Vec<Read>,
    writes: Vec<(Place, DType)>,
}

/// The actions of a plan, and the memory they need.
pub(super) struct Schedule {
    pub(super) actions: Vec<Action>,
    /// For each step, the action that runs once it is paid for.
    pub(super) runs: Vec<Option<usize>>,
    /// Bytes of each slot.
    pub(super) slots: Vec<usize>,
    /// Where each output of the model lies at the end.
    pub(super) outputs: Vec<Place>,
}

/// What planning gives to a schedule.
pub(super) struct Parts<'a> {
    pub(super) graph: &'a Block,
    pub(super) values: &'a [Value],
    pub(super) steps: &'a [AnalysedStep],
    /// The values that a run gives.
    pub(super) wanted: &'a [ValueId],
    pub(super) kernels: &'a [Arc<dyn Kernel>],
    /// Places of the inputs, of what is known, and of what is derived.
    pub(super) known: &'a [Option<Place>],
    pub(super) derived: &'a Derived,
}

impl Schedule {
    /// Lays out the memory of these groups in the order in which they run.
    pub(super) fn new(parts: &Parts<'_>, groups: &Groups, mut roles: Vec<Option<Role>>) -> Self {
        let roots = &groups.roots;
        let mut places: Vec<Option<Place>> = parts.known.to_vec();
        // the first output that has a value's bytes is where they are written
        let mut output_of: Vec<Option<usize>> = vec![None; parts.values.len()];
        for (output, &value) in parts.wanted.iter().enumerate().rev() {
            output_of[roots[value]] = Some(output);
        }
        let group_of = group_of_values(parts, groups, &roles);
        let (last_use, wanted) = uses(parts, groups, &group_of, &output_of, &roles);
        let together = channels_together(parts, groups, &roles, &group_of, &output_of, &wanted);
        let builder = |index| Builder::new(parts, groups, index, &group_of, &wanted, &together);
        let written: Vec<Vec<ValueId>> = (0..groups.groups.len())
            .map(|index| builder(index).written(&roles))
            .collect();
        // what a group writes and what it reads live at the same time: nothing that is read is overwritten
        let mut lifetimes = Vec::new();
        for (first, values) in written.iter().enumerate() {
            for &value in values {
                places[value].get_or_insert_with(|| match output_of[value] {
                    Some(output) => Place::Output(output),
                    None => {
                        lifetimes.push(Lifetime {
                            bytes: parts.values[value].bytes(),
                            first,
                            last: last_use[value].unwrap_or(first),
                        });
                        Place::Slot(lifetimes.len() - 1)
                    }
                });
            }
        }
        let (slot_of, slots) = assign(&lifetimes);
        for place in places.iter_mut().flatten() {
            if let Place::Slot(lifetime) = place {
                *place = Place::Slot(slot_of[*lifetime]);
            }
        }
        let mut runs = vec![None; parts.steps.len()];
        let mut actions = Vec::with_capacity(groups.groups.len());
        for (index, group) in groups.groups.iter().enumerate() {
            let action = builder(index).build(&mut roles, &written[index], &places);
            if let Some(&last) = group.members.last() {
                runs[last] = Some(actions.len());
            }
            actions.push(action);
        }
        let outputs = parts.wanted.iter().map(|&value| {
            places[roots[value]].expect("every output is an input, known, or computed by a step")
        });
        Self {
            outputs: outputs.collect(),
            actions,
            runs,
            slots,
        }
    }

    /// The constants that a run reads as they are.
    pub(super) fn constants(&self) -> BTreeSet<usize> {
        let reads = self.actions.iter().flat_map(|action| {
            let kernel = action.kernel.iter().flat_map(|call| call.reads.iter().flatten());
            kernel.chain(action.chain.iter().flat_map(|call| &call.reads))
        });
        let needed = reads.filter(|read| read.needed).map(|read| read.place);
        let places = needed.chain(self.outputs.iter().copied());
        places
            .filter_map(|place| match place {
                Place::Constant(constant) => Some(constant),
                _ => None,
            })
            .collect()
    }

    /// Bytes of slots.
    pub(super) fn slot_bytes(&self) -> usize {
        self.slots.iter().fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }
}

/// For each value, the group that computes it. What is made of bytes is computed wherever it is used; the group is the one that
/// writes it.
fn group_of_values(parts: &Parts<'_>, groups: &Groups, roles: &[Option<Role>]) -> Vec<Option<usize>> {
    let mut group_of = vec![None; parts.values.len()];
    for (index, group) in groups.groups.iter().enumerate() {
        for &member in &group.members {
            if matches!(roles[member], Some(Role::Load)) && group.members.len() > 1 {
                continue;
            }
            let node = &parts.graph.nodes[parts.steps[member].node];
            node.outputs
                .iter()
                .flatten()
                .for_each(|&value| group_of[value] = Some(index));
        }
    }
    group_of
}

/// For each value, the last group that uses it, and whether anybody outside the group that computes it does.
fn uses(
    parts: &Parts<'_>,
    groups: &Groups,
    group_of: &[Option<usize>],
    output_of: &[Option<usize>],
    roles: &[Option<Role>],
) -> (Vec<Option<usize>>, Vec<bool>) {
    let outputs_of = |member: usize| {
        let node = &parts.graph.nodes[parts.steps[member].node];
        node.outputs.iter().flatten().copied()
    };
    let mut last_use = vec![None; parts.values.len()];
    let mut wanted: Vec<bool> = output_of.iter().map(Option::is_some).collect();
    for (index, group) in groups.groups.iter().enumerate() {
        let own: Vec<ValueId> = group
            .members
            .iter()
            .flat_map(|&member| outputs_of(member))
            .collect();
        for &member in &group.members {
            let node = &parts.graph.nodes[parts.steps[member].node];
            for &value in node.inputs.iter().flatten() {
                let root = groups.roots[value];
                last_use[root] = Some(index);
                // a kernel reads tensors, also of what its chain makes of bytes once more
                wanted[root] |= !is_of_chain(roles, member) || !own.contains(&root);
            }
            for &value in node.outputs.iter().flatten() {
                last_use[value] = Some(index);
            }
        }
    }
    // a kernel is followed in its own output, or, if what is written last has another type, computes into a tensor of its own
    for (index, group) in groups.groups.iter().enumerate() {
        let Some(kernel) = group.kernel(roles).filter(|_| group.members.len() > 1) else {
            continue;
        };
        let chain = &group.members[1..];
        let mut written = chain.iter().flat_map(|&member| outputs_of(member));
        let last = written.rfind(|&value| wanted[value] && group_of[value] == Some(index));
        if last.is_some_and(|last| parts.values[last].dtype() != DType::F32) {
            outputs_of(kernel).for_each(|value| wanted[value] = true);
        }
    }
    (last_use, wanted)
}

/// Whether a step is part of a chain, not a kernel.
pub(super) fn is_of_chain(roles: &[Option<Role>], step: usize) -> bool {
    matches!(roles[step], Some(Role::Elementwise(_) | Role::Load))
}

/// Builds the action of one group.
struct Builder<'a> {
    parts: &'a Parts<'a>,
    roots: &'a [ValueId],
    members: &'a [usize],
    index: usize,
    group_of: &'a [Option<usize>],
    wanted: &'a [bool],
    channels_together: &'a [bool],
    reads: Vec<Read>,
    read_of: BTreeMap<ValueId, usize>,
    /// Known elements that operators read.
    constants: Vec<f32>,
    instructions: Vec<Instruction>,
    /// As many as there are values: each is written once.
    registers: usize,
    register_of: BTreeMap<ValueId, usize>,
    /// Elements of the rows that the chain reads.
    row: Option<usize>,
}

impl<'a> Builder<'a> {
    fn new(
        parts: &'a Parts<'a>,
        groups: &'a Groups,
        index: usize,
        group_of: &'a [Option<usize>],
        wanted: &'a [bool],
        channels_together: &'a [bool],
    ) -> Self {
        Self {
            parts,
            roots: &groups.roots,
            members: &groups.groups[index].members,
            index,
            group_of,
            wanted,
            channels_together,
            reads: Vec::new(),
            read_of: BTreeMap::new(),
            constants: Vec::new(),
            instructions: Vec::new(),
            registers: 0,
            register_of: BTreeMap::new(),
            row: None,
        }
    }

    /// The values of the group that are written to memory, in the order in which they are computed.
    fn written(&self, roles: &[Option<Role>]) -> Vec<ValueId> {
        let is_chain = self.members.iter().any(|&member| is_of_chain(roles, member));
        let outputs = self.members.iter().flat_map(|&member| {
            let node = &self.parts.graph.nodes[self.parts.steps[member].node];
            node.outputs.iter().flatten().copied()
        });
        outputs
            .filter(|&value| !is_chain || (self.wanted[value] && self.group_of[value] == Some(self.index)))
            .collect()
    }

    fn build(mut self, roles: &mut [Option<Role>], written: &[ValueId], places: &[Option<Place>]) -> Action {
        let work = self
            .members
            .iter()
            .map(|&member| self.parts.steps[member].work.arithmetic);
        // a multiply-add equivalent takes 1/45 of a nanosecond
        let nanoseconds = work.fold(0, u64::saturating_add) / 45;
        let place = |value: ValueId| places[value].expect("a value has a place before it is used");
        // what a kernel computes for others too, the chain reads like any other tensor
        let of_chain: Vec<ValueId> = written
            .iter()
            .copied()
            .filter(|&value| self.is_of_chain(value, roles))
            .collect();
        let mut kernel = None;
        let mut elements = 0;
        let members = self.members;
        for (at, &member) in members.iter().enumerate() {
            let step = &self.parts.steps[member];
            let node = &self.parts.graph.nodes[step.node];
            let function = match roles[member].take_if(|role| matches!(role, Role::Elementwise(_))) {
                Some(Role::Elementwise(function)) => Some(function),
                _ if matches!(roles[member], Some(Role::Load)) => {
                    let operands = operands(node, self.parts.values);
                    function_of(node, &Inputs(&operands), &step.outputs[0])
                }
                _ => None,
            };
            let Some(function) = function else {
                let followed = members.len() > 1;
                kernel = Some(self.kernel_call(member, followed.then_some(&of_chain[..]), &place));
                continue;
            };
            let output = node
                .outputs
                .first()
                .copied()
                .flatten()
                .expect("a step computes something");
            let shape = self.parts.values[output].shape();
            elements = crate::shape::element_count(shape);
            let read = operands_of(&function);
            let to_bytes = matches!(function, Elementwise::ToBytes(_));
            let from_bytes = matches!(function, Elementwise::FromBytes(_));
            let mut sources = [None; 2];
            for (source, &value) in sources.iter_mut().zip(node.inputs.iter().flatten().take(read)) {
                *source = Some(self.source(value, shape, from_bytes, &place));
            }
            let later = |value: ValueId, roots: &[ValueId]| {
                members[at + 1..].iter().any(|&member| {
                    let node = &self.parts.graph.nodes[self.parts.steps[member].node];
                    node.inputs.iter().flatten().any(|&input| roots[input] == value)
                })
            };
            let stored = of_chain.iter().position(|&value| value == output);
            let is_read = later(output, self.roots);
            let to = match stored {
                Some(index) if !is_read => Target::Output(index),
                _ => {
                    let register = self.register();
                    self.register_of.insert(output, register);
                    Target::Register(register)
                }
            };
            let instruction = Instruction::new(function, sources, to);
            self.instructions
                .push(instruction.expect("a function has as many operands as it takes"));
            if let (Some(output), Target::Register(register)) = (stored, to) {
                self.instructions.push(if to_bytes {
                    Instruction::StoreBytes { register, output }
                } else {
                    Instruction::Store { register, output }
                });
            }
        }
        let simple = self.simple();
        let sum = if kernel.is_none() && of_chain.len() == 1 {
            self.sum_of_bytes()
        } else {
            None
        };
        let chain = (!self.instructions.is_empty()).then(|| ChainCall {
            simple,
            chain: Chain::new(
                elements,
                self.instructions,
                self.row,
                nanoseconds,
                &self.constants,
            )
            .with_sum(sum),
            reads: self.reads,
            writes: of_chain
                .iter()
                .map(|&value| (place(value), self.parts.values[value].dtype()))
                .collect(),
        });
        let together = match (&kernel, &chain) {
            // a value of the kernel that others want too must be whole when the chain reads it
            (Some(kernel), Some(chain)) => {
                kernel.kernel.takes_epilogue() && chain.writes.len() == 1 && chain.chain.follows()
            }
            _ => false,
        };
        let node = |&member: &usize| self.parts.graph.nodes[self.parts.steps[member].node].label.index;
        Action {
            nodes: members.iter().map(node).collect(),
            kernel,
            chain,
            together,
        }
    }

    /// A new register.
    fn register(&mut self) -> usize {
        self.registers += 1;
        self.registers - 1
    }

    fn node(&self, member: usize) -> &Node {
        &self.parts.graph.nodes[self.parts.steps[member].node]
    }

    /// Whether a value of the group is computed by its chain, not by its kernel.
    fn is_of_chain(&self, value: ValueId, roles: &[Option<Role>]) -> bool {
        self.members.iter().any(|&member| {
            let node = &self.parts.graph.nodes[self.parts.steps[member].node];
            is_of_chain(roles, member) && node.outputs.contains(&Some(value))
        })
    }

    /// The kernel of the group. If a chain follows that writes `of_chain`, and nobody else wants what the kernel computes, it is
    /// computed where the chain's last value will lie.
    fn kernel_call(
        &mut self,
        member: usize,
        of_chain: Option<&[ValueId]>,
        place: &impl Fn(ValueId) -> Place,
    ) -> KernelCall {
        let node = &self.parts.graph.nodes[self.parts.steps[member].node];
        let reads = node.inputs.iter().map(|input| {
            input.map(|value| Read {
                place: place(self.roots[value]),
                kind: Arc::clone(self.parts.values[value].kind()),
                needed: true,
            })
        });
        let mut reads: Vec<Option<Read>> = reads.collect();
        let mut writes = Vec::with_capacity(node.outputs.len());
        for output in &node.outputs {
            writes.push(output.map(|value| {
                let floats = |of_chain: &&[ValueId]| {
                    of_chain
                        .last()
                        .is_some_and(|&last| self.parts.values[last].dtype() == DType::F32)
                };
                let followed = of_chain.filter(|_| !self.wanted[value]).filter(floats);
                let target = match followed.and_then(|of_chain| of_chain.split_last()) {
                    Some((&last, before)) => {
                        let register = self.register();
                        self.register_of.insert(value, register);
                        self.instructions.push(Instruction::Load {
                            output: before.len(),
                            register,
                        });
                        last
                    }
                    None => value,
                };
                Write {
                    place: place(target),
                    kind: Arc::clone(self.parts.values[value].kind()),
                }
            }));
        }
        let input = node.inputs.first().copied().flatten();
        let input = input.is_some_and(|value| self.channels_together[self.roots[value]]);
        let output = node.outputs.first().copied().flatten();
        let output = output.is_some_and(|value| self.channels_together[value]);
        let kernel = self.parts.kernels[member].clone();
        let kernel = if input || output {
            kernel
                .with_channels_together(input, output)
                .expect("values lie so only where kernels take them so")
        } else {
            kernel
        };
        for (index, read) in reads.iter_mut().enumerate() {
            read.iter_mut()
                .for_each(|read| read.needed = kernel.reads_input(index));
        }
        KernelCall {
            scratch_bytes: kernel.scratch_bytes(),
            allocates: kernel.held_bytes() > 0,
            kernel,
            reads,
            writes,
        }
    }

    /// Where a chain finds an operand; an operand to be spread is, into a register.
    fn source(
        &mut self,
        value: ValueId,
        output: &[usize],
        of_bytes: bool,
        place: &impl Fn(ValueId) -> Place,
    ) -> Source {
        let root = self.roots[value];
        if let Some(&register) = self.register_of.get(&root) {
            return Source::Register(register);
        }
        if let (Value::Known(constant), false) = (&self.parts.values[value], of_bytes)
            && constant.bytes() == size_of::<f32>()
            && let [element] = *constant.tensor().as_slice::<f32>()
        {
            self.constants.push(element);
            return Source::Constant(self.constants.len() - 1);
        }
        debug_assert!(self.group_of[root] != Some(self.index) || self.wanted[root]);
        let tensor = *self.read_of.entry(root).or_insert_with(|| {
            self.reads.push(Read {
                place: place(root),
                kind: Arc::clone(self.parts.values[value].kind()),
                needed: true,
            });
            self.reads.len() - 1
        });
        let operand = self.parts.values[value].shape();
        let count = crate::shape::element_count;
        if count(operand) == count(output) {
            return Source::Tensor(tensor);
        }
        let inner = inner_of_spread(operand, output).expect("a role is given to what can be spread only");
        let elements = count(operand);
        if is_row(elements, inner) && self.row.is_none_or(|row| row == elements) {
            self.row = Some(elements);
            return Source::Row(tensor);
        }
        let register = self.register();
        self.instructions.push(Instruction::Spread {
            tensor,
            inner,
            register,
        });
        Source::Register(register)
    }
}

/// The inputs of a run.
#[derive(Clone, Copy)]
pub(crate) enum Arguments<'a> {
    Tensors(&'a [Tensor]),
    Views(&'a [TensorView<'a>]),
}

impl Arguments<'_> {
    fn bytes(&self, index: usize) -> &[u8] {
        match self {
            Self::Tensors(tensors) => tensors[index].bytes(),
            Self::Views(views) => views[index].bytes,
        }
    }
}

/// The memory of a run.
pub(super) struct Memory<'a> {
    pub(super) inputs: Arguments<'a>,
    pub(super) constants: &'a [Arc<Constant>],
    pub(super) workspace: &'a mut Workspace,
    /// Bytes of scratch memory.
    pub(super) scratch: usize,
    pub(super) outputs: &'a mut [Tensor],
}

impl Memory<'_> {
    /// The bytes of a value.
    fn bytes(&self, place: Place) -> &[u8] {
        match place {
            Place::Input(index) => self.inputs.bytes(index),
            Place::Constant(index) => self.constants[index].tensor().bytes(),
            Place::Slot(index) => self.workspace.slots[index].bytes(),
            Place::Output(index) => self.outputs[index].bytes(),
        }
    }

    /// Makes sure that an output is where the caller takes it.
    pub(super) fn copy_to_output(&mut self, place: Place, output: usize) {
        if place == Place::Output(output) {
            return;
        }
        let mut buffer = self.outputs[output].take_buffer();
        let length = buffer.bytes().len();
        buffer.bytes_mut().copy_from_slice(&self.bytes(place)[..length]);
        self.outputs[output].put_buffer(buffer);
    }

    /// Takes out memory that is about to be written.
    fn take(&mut self, place: Place) -> Buffer {
        match place {
            Place::Slot(index) => std::mem::take(&mut self.workspace.slots[index]),
            Place::Output(index) => self.outputs[index].take_buffer(),
            Place::Input(_) | Place::Constant(_) => unreachable!("a step writes slots and outputs only"),
        }
    }

    fn put_back(&mut self, place: Place, buffer: Buffer) {
        match place {
            Place::Slot(index) => self.workspace.slots[index] = buffer,
            Place::Output(index) => self.outputs[index].put_buffer(buffer),
            Place::Input(_) | Place::Constant(_) => {}
        }
    }

    fn view<'b>(&'b self, read: &'b Read) -> TensorView<'b> {
        let bytes: &[u8] = if read.needed {
            &self.bytes(read.place)[..read.kind.bytes()]
        } else {
            &[]
        };
        TensorView {
            dtype: read.kind.dtype,
            shape: &read.kind.shape,
            bytes,
        }
    }
}

/// As many elements as are needed: the array's, or those of a list that is made for many.
fn room<'a, T>(
    few: &'a mut [T],
    many: &'a mut Vec<T>,
    count: usize,
    empty: impl FnMut() -> T,
) -> &'a mut [T] {
    if count <= few.len() {
        return &mut few[..count];
    }
    many.resize_with(count, empty);
    many
}

impl Action {
    /// Runs it.
    pub(super) fn run(&self, memory: &mut Memory<'_>, meter: &mut dyn Meter) -> Result<(), OpError> {
        match (&self.kernel, &self.chain) {
            (Some(kernel), Some(chain)) if self.together => {
                return kernel.run(memory, meter, Some(chain));
            }
            (Some(kernel), _) => kernel.run(memory, meter, None)?,
            (None, _) => {}
        }
        if let Some(chain) = &self.chain {
            chain.run(memory);
        }
        Ok(())
    }
}

impl KernelCall {
    /// Runs the kernel; a chain given runs on what it writes, piece by piece.
    fn run(
        &self,
        memory: &mut Memory<'_>,
        meter: &mut dyn Meter,
        chain: Option<&ChainCall>,
    ) -> Result<(), OpError> {
        // the planner never gives a step one place twice, so the buffers can leave theirs while it runs
        let (mut few, mut many) = ([const { Buffer::EMPTY }; FEW], Vec::new());
        let buffers = room(&mut few, &mut many, self.writes.len(), || Buffer::EMPTY);
        for (buffer, write) in buffers.iter_mut().zip(&self.writes) {
            if let Some(write) = write {
                *buffer = memory.take(write.place);
            }
        }
        let mut scratch = std::mem::take(&mut memory.workspace.scratch);
        if self.allocates {
            // what it allocates is stated beside its own scratch memory, not the others'
            scratch = Buffer::EMPTY;
        }
        let wanted = self.scratch_bytes;
        if scratch.bytes().len() < wanted {
            scratch = Buffer::zeroed(if self.allocates { wanted } else { memory.scratch });
        }
        let result = {
            let (mut few, mut many) = ([None::<TensorView<'_>>; FEW], Vec::new());
            let read = room(&mut few, &mut many, self.reads.len(), || None);
            for (view, operand) in read.iter_mut().zip(&self.reads) {
                *view = operand.as_ref().map(|operand| memory.view(operand));
            }
            let (mut few, mut many) = ([const { None }; FEW], Vec::new());
            let written = room(&mut few, &mut many, self.writes.len(), || None);
            for ((view, buffer), write) in written.iter_mut().zip(&mut *buffers).zip(&self.writes) {
                *view = write.as_ref().map(|write| TensorViewMut {
                    dtype: write.kind.dtype,
                    shape: &write.kind.shape,
                    bytes: &mut buffer.bytes_mut()[..write.kind.bytes()],
                });
            }
            let mut operands = [Operand::Bytes(&[]); MAX_READS];
            let epilogue = chain.map(|chain| chain.epilogue(memory, &mut operands));
            self.kernel.run(&mut Io {
                path: Path::Fast,
                inputs: read,
                outputs: written,
                scratch: &mut scratch.bytes_mut()[..wanted],
                meter,
                epilogue: epilogue.as_ref().map(|epilogue| epilogue as &dyn Epilogue),
            })
        };
        if !self.allocates {
            memory.workspace.scratch = scratch;
        }
        for (buffer, write) in buffers.iter_mut().zip(&self.writes) {
            if let Some(write) = write {
                memory.put_back(write.place, std::mem::take(buffer));
            }
        }
        result
    }
}

impl ChainCall {
    /// The chain with its operands.
    fn epilogue<'a>(
        &'a self,
        memory: &'a Memory<'_>,
        operands: &'a mut [Operand<'a>; MAX_READS],
    ) -> Bound<'a> {
        for (operand, read) in operands.iter_mut().zip(&self.reads) {
            let view = memory.view(read);
            *operand = match read.kind.dtype {
                DType::F32 => Operand::Floats(view.as_slice::<f32>()),
                _ => Operand::Bytes(view.bytes()),
            };
        }
        Bound {
            chain: &self.chain,
            simple: self.simple.as_ref(),
            operands: &operands[..self.reads.len()],
        }
    }

    fn run(&self, memory: &mut Memory<'_>) {
        let mut buffers = [const { Buffer::EMPTY }; MAX_WRITES];
        for (buffer, &(place, _)) in buffers.iter_mut().zip(&self.writes) {
            *buffer = memory.take(place);
        }
        let mut operands = [Operand::Bytes(&[]); MAX_READS];
        let bound = self.epilogue(memory, &mut operands);
        let elements = self.chain.elements;
        let mut writes: [Written<'_>; MAX_WRITES] = std::array::from_fn(|_| Written::Bytes(&mut []));
        for ((write, buffer), (_, dtype)) in writes.iter_mut().zip(&mut buffers).zip(&self.writes) {
            let bytes = &mut buffer.bytes_mut()[..elements * dtype.size()];
            *write = match dtype {
                DType::F32 => Written::Floats(bytemuck::cast_slice_mut(bytes)),
                _ => Written::Bytes(bytes),
            };
        }
        self.chain.run(bound.operands, &mut writes[..self.writes.len()]);
        for (buffer, &(place, _)) in buffers.iter_mut().zip(&self.writes) {
            memory.put_back(place, std::mem::take(buffer));
        }
    }
}

/// A chain that follows a kernel, with its operands.
struct Bound<'a> {
    chain: &'a Chain,
    simple: Option<&'a SimpleChain>,
    operands: &'a [Operand<'a>],
}

impl Epilogue for Bound<'_> {
    fn simple(&self) -> Option<Simple<'_>> {
        let simple = self.simple?;
        Some(Simple {
            row: simple.row.map(|read| self.operands[read].floats()),
            add: simple.add.map(|read| self.operands[read].floats()),
            relu: simple.relu,
            at_most: simple.at_most,
        })
    }

    fn apply(&self, first: usize, y: &mut [f32]) {
        self.chain
            .run_part(first..first + y.len(), self.operands, &mut [Written::Floats(y)]);
    }

    fn apply_rows(&self, first: usize, y: &mut [f32], _row: usize) {
        // a chain knows its rows
        self.apply(first, y);
    }
}
