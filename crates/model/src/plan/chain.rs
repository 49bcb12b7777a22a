//! Chains: elementwise operators that run as one, block by block.
//!
//! Each operator rounds its result as it does alone, so the bits are those of the operators one by one; but between them a value
//! lives in a register of one block, which stays in the first-level cache, instead of a tensor. A chain may read any number of
//! tensors, whole or broadcast, and write several: a value that others want too is written as well. Quantised tensors are read and
//! written as bytes; what a chain makes of one of them alone is a table of 256 bytes.

use super::simplify::optimise;
use crate::{
    ops::{Elementwise, FromBytes, Map, ToBytes, Zip},
    shape::element_count,
};
use std::{cell::Cell, ops::Range};
use synod_numerics::{
    fast::{
        arithmetic::{self, Operation, Other},
        look_up,
    },
    pool,
    quantize::Sum,
};

/// Elements of a block.
const BLOCK: usize = 1024;
/// Elements that lie in cache lines of their own, of whatever size.
const LINE: usize = 64;
/// The most registers: they fit into the memory that a thread keeps for kernels.
pub(super) const MAX_REGISTERS: usize = 24;
/// The most tensors that a chain reads.
pub(super) const MAX_READS: usize = 24;
/// The most tensors that a chain writes.
pub(super) const MAX_WRITES: usize = 12;
/// The most operations of one [`Instruction::Arithmetic`].
pub(super) const MAX_OPERATIONS: usize = 16;
/// Shorter rows are spread into a register instead of cutting blocks at their ends.
const LEAST_ROW: usize = 512;

/// A tensor that a chain reads.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operand<'a> {
    Floats(&'a [f32]),
    Bytes(&'a [u8]),
}

impl<'a> Operand<'a> {
    pub(super) fn floats(self) -> &'a [f32] {
        match self {
            Self::Floats(floats) => floats,
            Self::Bytes(_) => unreachable!("a role is given to operands of their types only"),
        }
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Floats(_) => unreachable!("a role is given to operands of their types only"),
        }
    }
}

/// Elements of a tensor that a chain writes.
#[derive(Debug)]
pub(super) enum Written<'a> {
    Floats(&'a mut [f32]),
    Bytes(&'a mut [u8]),
}

impl Written<'_> {
    fn floats(&mut self, range: Range<usize>) -> &mut [f32] {
        match self {
            Self::Floats(floats) => &mut floats[range],
            Self::Bytes(_) => unreachable!("what is written has the type of the operator's result"),
        }
    }

    fn bytes(&mut self, range: Range<usize>) -> &mut [u8] {
        match self {
            Self::Bytes(bytes) => &mut bytes[range],
            Self::Floats(_) => unreachable!("what is written has the type of the operator's result"),
        }
    }
}

/// Where an operator of a chain finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The block's elements of a tensor of the chain's size.
    Tensor(usize),
    /// The block's elements of a row of so many elements that repeats: blocks end where it does.
    Row(usize),
    /// One known element, spread.
    Constant(usize),
    /// What the kernel before has left in an output.
    Output(usize),
    Register(usize),
}

/// Where an operator of a chain finds bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bytes {
    /// The block's elements of a tensor of the chain's size.
    Tensor(usize),
    /// The first quarter of a register.
    Register(usize),
}

/// Where it puts its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Output(usize),
    Register(usize),
}

/// What is done to each block in turn.
pub(super) enum Instruction {
    /// Copies what is in an output (a kernel has just written it there) to a register.
    Load { output: usize, register: usize },
    /// Spreads a tensor of fewer elements: element i of the chain reads element (i / inner) mod their number.
    Spread {
        tensor: usize,
        inner: usize,
        register: usize,
    },
    /// A function of one element.
    Map {
        function: Box<Map<f32>>,
        from: Source,
        to: Target,
    },
    /// A function of two.
    Zip {
        function: Box<Zip<f32, f32, f32>>,
        from: [Source; 2],
        to: Target,
    },
    /// Operations one after another: on the first source, each with the next one.
    Arithmetic {
        operations: Vec<Operation>,
        from: Vec<Source>,
        to: Target,
    },
    /// A function of bytes.
    FromBytes {
        function: Box<FromBytes>,
        from: Bytes,
        to: Target,
    },
    /// A function to bytes.
    ToBytes {
        function: Box<ToBytes>,
        from: Source,
        to: Target,
    },
    /// A function of a byte that gives a byte.
    LookUp {
        table: Box<[u8; 256]>,
        from: Bytes,
        to: Target,
    },
    /// Copies a register to an output.
    Store { register: usize, output: usize },
    /// Copies the bytes in a register to an output.
    StoreBytes { register: usize, output: usize },
}

impl Instruction {
    pub(super) fn new(function: Elementwise, from: [Option<Source>; 2], to: Target) -> Option<Self> {
        match (function, from, to) {
            (Elementwise::Unary(function), [Some(from), _], _) => Some(Self::Map { function, from, to }),
            (Elementwise::Binary(function), [Some(a), Some(b)], _) => Some(Self::Zip {
                function,
                from: [a, b],
                to,
            }),
            (Elementwise::Arithmetic(operation), [Some(a), Some(b)], _) => Some(Self::Arithmetic {
                operations: vec![operation],
                from: vec![a, b],
                to,
            }),
            (Elementwise::FromBytes(function), [Some(from), _], _) => {
                let from = match from {
                    Source::Tensor(tensor) => Bytes::Tensor(tensor),
                    Source::Register(register) => Bytes::Register(register),
                    _ => return None,
                };
                Some(Self::FromBytes { function, from, to })
            }
            (Elementwise::ToBytes(function), [Some(from), _], _) => {
                Some(Self::ToBytes { function, from, to })
            }
            _ => None,
        }
    }
}

/// The sum of two quantised tensors, quantised again: what joins the branches of a quantised network. It runs as one loop.
#[derive(Debug)]
pub(super) struct SumOfBytes {
    /// The tensors.
    pub(super) of: [usize; 2],
    pub(super) sum: Sum,
}

/// A chain over tensors of so many elements.
pub(super) struct Chain {
    pub(super) elements: usize,
    instructions: Vec<Instruction>,
    /// About how long it takes on one thread.
    nanoseconds: u64,
    /// Elements of the rows that it reads, if any: those of all of them.
    row: Option<usize>,
    /// Known elements, each spread over a block.
    constants: Vec<[f32; BLOCK]>,
    /// Whether all it takes from the kernel before it is what lies in its output.
    follows: bool,
    /// The same as all instructions, if it is that simple.
    sum: Option<SumOfBytes>,
}

impl Chain {
    /// Instructions that give every register one value only; they get fewer registers, and fewer instructions, where these will do.
    pub(super) fn new(
        elements: usize,
        instructions: Vec<Instruction>,
        row: Option<usize>,
        nanoseconds: u64,
        constants: &[f32],
    ) -> Self {
        Self {
            elements,
            follows: matches!(instructions.first(), Some(Instruction::Load { .. })),
            instructions: optimise(instructions, constants),
            nanoseconds,
            row,
            constants: constants.iter().map(|&constant| [constant; BLOCK]).collect(),
            sum: None,
        }
    }

    /// The same chain, known to be a sum of bytes.
    pub(super) fn with_sum(self, sum: Option<SumOfBytes>) -> Self {
        Self { sum, ..self }
    }

    /// Runs the chain.
    pub(super) fn run(&self, reads: &[Operand<'_>], writes: &mut [Written<'_>]) {
        if let Some(SumOfBytes { sum, .. }) = &self.sum {
            sum.prepare(self.elements);
        }
        let pieces = pool::pieces(self.nanoseconds);
        if pieces <= 1 {
            return self.run_part(0..self.elements, reads, writes);
        }
        let size = self.elements.div_ceil(pieces).next_multiple_of(LINE);
        let count = writes.len();
        let mut of_floats = [false; MAX_WRITES];
        for (of_floats, write) in of_floats.iter_mut().zip(&*writes) {
            *of_floats = matches!(write, Written::Floats(_));
        }
        let mut rest = writes.iter_mut();
        let slices: [_; MAX_WRITES] = std::array::from_fn(|_| match rest.next() {
            Some(Written::Floats(floats)) => (bytemuck::cast_slice_mut(floats), size * size_of::<f32>()),
            Some(Written::Bytes(bytes)) => (&mut **bytes, size),
            None => (&mut [][..], 0),
        });
        pool::chunks_of_each(self.elements.div_ceil(size), slices, |index, parts| {
            let mut of_floats = of_floats.iter();
            let mut parts = parts.map(|part| match of_floats.next() {
                Some(true) => Written::Floats(bytemuck::cast_slice_mut(part)),
                _ => Written::Bytes(part),
            });
            let range = index * size..self.elements.min((index + 1) * size);
            self.run_part(range, reads, &mut parts[..count]);
        });
    }

    /// Runs a range of elements; `writes` hold those only.
    pub(super) fn run_part(&self, range: Range<usize>, reads: &[Operand<'_>], writes: &mut [Written<'_>]) {
        if let (Some(SumOfBytes { of, sum }), [written]) = (&self.sum, &mut *writes) {
            let [a, b] = of.map(|read| &reads[read].bytes()[range.clone()]);
            return sum.write(a, b, written.bytes(0..range.len()));
        }
        with_registers(|registers| {
            let mut state = State {
                first: range.start,
                row: self.row.unwrap_or(usize::MAX),
                constants: &self.constants,
                reads,
                writes,
                registers,
            };
            let mut start = range.start;
            while start < range.end {
                let end = range.end.min(start + BLOCK);
                let block = start..self.row.map_or(end, |row| end.min((start / row + 1) * row));
                start = block.end;
                for instruction in &self.instructions {
                    state.run(instruction, block.clone());
                }
            }
        });
    }

    /// Whether all it takes from the kernel before it is what that leaves in its output.
    pub(super) fn follows(&self) -> bool {
        self.follows
    }
}

/// Lends this thread's registers: taken when first needed, and kept. A chain may run within a kernel, which has the buffer that
/// kernels take ([`pool::with_buffer`]).
fn with_registers<R>(f: impl FnOnce(&mut [[f32; BLOCK]]) -> R) -> R {
    thread_local! {
        static REGISTERS: Cell<Vec<[f32; BLOCK]>> = const { Cell::new(Vec::new()) };
    }
    let mut registers = REGISTERS.take();
    if registers.is_empty() {
        registers = vec![[0.0; BLOCK]; MAX_REGISTERS];
    }
    let result = f(&mut registers);
    REGISTERS.set(registers);
    result
}

/// What a chain runs on: `writes` begin with element `first`.
struct State<'a, 'b, 'w> {
    first: usize,
    row: usize,
    constants: &'b [[f32; BLOCK]],
    reads: &'b [Operand<'a>],
    writes: &'b mut [Written<'w>],
    registers: &'b mut [[f32; BLOCK]],
}

impl<'w> State<'_, '_, 'w> {
    /// Runs an instruction on one block of the chain's elements.
    fn run(&mut self, instruction: &Instruction, block: Range<usize>) {
        let (out, operands) = self.apart(instruction.target(), block);
        match instruction {
            Instruction::Load { output, .. } => {
                out.floats()
                    .copy_from_slice(operands.floats(Source::Output(*output)));
            }
            Instruction::Store { register, .. } => {
                out.floats()
                    .copy_from_slice(operands.floats(Source::Register(*register)));
            }
            Instruction::StoreBytes { register, .. } => {
                out.bytes()
                    .copy_from_slice(operands.bytes(Bytes::Register(*register)));
            }
            Instruction::Spread { tensor, inner, .. } => {
                spread(
                    operands.reads[*tensor].floats(),
                    *inner,
                    operands.block.start,
                    out.floats(),
                );
            }
            Instruction::Map { function, from, .. } => function(operands.floats(*from), out.floats()),
            Instruction::Zip { function, from, .. } => {
                let [a, b] = from.map(|from| operands.floats(from));
                function(a, b, out.floats());
            }
            Instruction::Arithmetic { operations, from, .. } => {
                operate(operations, from, &operands, out.floats());
            }
            Instruction::FromBytes { function, from, .. } => function(operands.bytes(*from), out.floats()),
            Instruction::LookUp { table, from, .. } => look_up(table, operands.bytes(*from), out.bytes()),
            Instruction::ToBytes { function, from, .. } => function(operands.floats(*from), out.bytes()),
        }
    }

    /// Where a block of results goes, and what may be read meanwhile.
    fn apart<'s>(&'s mut self, to: Target, block: Range<usize>) -> (Out<'s, 'w>, Operands<'s>) {
        let written = block.start - self.first..block.end - self.first;
        let (place, registers, outputs) = match to {
            Target::Register(register) => {
                let (out, others) = without(self.registers, register);
                (Place::Register(out), others, [&*self.writes, &[]])
            }
            Target::Output(output) => {
                let (out, others) = without(self.writes, output);
                (Place::Output(out), [&*self.registers, &[]], others)
            }
        };
        let out = Out {
            place,
            written: written.clone(),
        };
        let operands = Operands {
            reads: self.reads,
            constants: self.constants,
            registers,
            outputs,
            in_row: block.start % self.row,
            block,
            written,
        };
        (out, operands)
    }
}

/// One element for writing; those before it and behind it for reading.
fn without<T>(all: &mut [T], written: usize) -> (&mut T, [&[T]; 2]) {
    let (before, rest) = all.split_at_mut(written);
    let (out, after) = rest.split_at_mut(1);
    (&mut out[0], [before, after])
}

/// What [`without`] has left, by its number among all.
fn beside<T>([before, after]: [&[T]; 2], index: usize) -> &T {
    match index.checked_sub(before.len()) {
        None => &before[index],
        // where nothing was taken out, there is nothing behind
        Some(beyond) => &after[beyond - 1],
    }
}

/// A register, or a tensor of the chain's.
enum Place<'s, 'w> {
    Register(&'s mut [f32; BLOCK]),
    Output(&'s mut Written<'w>),
}

/// Where a block of results goes.
struct Out<'s, 'w> {
    place: Place<'s, 'w>,
    written: Range<usize>,
}

impl<'s> Out<'s, '_> {
    fn floats(self) -> &'s mut [f32] {
        match self.place {
            Place::Register(register) => &mut register[..self.written.len()],
            Place::Output(output) => output.floats(self.written),
        }
    }

    fn bytes(self) -> &'s mut [u8] {
        match self.place {
            Place::Register(register) => &mut bytemuck::cast_slice_mut(register)[..self.written.len()],
            Place::Output(output) => output.bytes(self.written),
        }
    }
}

/// What an instruction may read of a block.
struct Operands<'s> {
    reads: &'s [Operand<'s>],
    constants: &'s [[f32; BLOCK]],
    registers: [&'s [[f32; BLOCK]]; 2],
    outputs: [&'s [Written<'s>]; 2],
    /// Its elements in tensors that are read,
    block: Range<usize>,
    /// in those that are written,
    written: Range<usize>,
    /// and where it begins in a row.
    in_row: usize,
}

impl<'s> Operands<'s> {
    fn floats(&self, from: Source) -> &'s [f32] {
        let length = self.block.len();
        match from {
            Source::Tensor(tensor) => &self.reads[tensor].floats()[self.block.clone()],
            Source::Row(tensor) => &self.reads[tensor].floats()[self.in_row..][..length],
            Source::Constant(constant) => &self.constants[constant][..length],
            Source::Register(register) => &beside(self.registers, register)[..length],
            Source::Output(output) => match beside(self.outputs, output) {
                Written::Floats(floats) => &floats[self.written.clone()],
                Written::Bytes(_) => unreachable!("a kernel that is followed leaves floats"),
            },
        }
    }

    fn bytes(&self, from: Bytes) -> &'s [u8] {
        match from {
            Bytes::Tensor(tensor) => &self.reads[tensor].bytes()[self.block.clone()],
            Bytes::Register(register) => {
                let register: &[f32; BLOCK] = beside(self.registers, register);
                &bytemuck::cast_slice(register.as_slice())[..self.block.len()]
            }
        }
    }
}

/// Does operations on the elements of the first source, each with those of the next one.
fn operate(operations: &[Operation], from: &[Source], operands: &Operands<'_>, out: &mut [f32]) {
    let mut steps = [(Operation::Add, Other::Number(0.0)); MAX_OPERATIONS];
    let (&first, others) = from.split_first().expect("an operation has operands");
    for ((step, &operation), &source) in steps.iter_mut().zip(operations).zip(others) {
        let other = match source {
            Source::Constant(constant) => Other::Number(operands.constants[constant][0]),
            source => Other::Elements(operands.floats(source)),
        };
        *step = (operation, other);
    }
    arithmetic::compute(operands.floats(first), &steps[..operations.len()], out);
}

/// Writes elements `start`… of a spread tensor.
fn spread(tensor: &[f32], inner: usize, start: usize, out: &mut [f32]) {
    let mut at = 0;
    while at < out.len() {
        let position = start + at;
        let index = position / inner % tensor.len();
        if inner == 1 {
            let length = (tensor.len() - index).min(out.len() - at);
            out[at..at + length].copy_from_slice(&tensor[index..index + length]);
            at += length;
        } else {
            let length = (inner - position % inner).min(out.len() - at);
            out[at..at + length].fill(tensor[index]);
            at += length;
        }
    }
}

/// How an operand is spread over an output that it broadcasts to: the elements behind each of its own (see
/// [`Instruction::Spread`]); `None` if it repeats in another pattern.
pub(super) fn inner_of_spread(operand: &[usize], output: &[usize]) -> Option<usize> {
    let missing = output.len().checked_sub(operand.len())?;
    let Some(last) = operand.iter().rposition(|&dim| dim != 1) else {
        // a single element, wherever it is read
        return Some(element_count(output).max(1));
    };
    let first = operand.iter().position(|&dim| dim != 1)?;
    let agrees = operand[first..=last] == output[missing + first..=missing + last];
    agrees.then(|| element_count(&output[missing + last + 1..]).max(1))
}

/// Whether a spread operand of so many elements is read in place, as a row (see [`Source::Row`]).
pub(super) fn is_row(elements: usize, inner: usize) -> bool {
    inner == 1 && elements >= LEAST_ROW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_spread_as_they_broadcast() {
        let spread_all = |operand: &[usize], output: &[usize]| {
            let inner = inner_of_spread(operand, output)?;
            let tensor: Vec<f32> = (0..element_count(operand)).map(|i| i as f32).collect();
            let mut whole = vec![-1.0; element_count(output)];
            spread(&tensor, inner, 0, &mut whole);
            // pieces are the same as the whole
            for start in 0..whole.len() {
                let mut part = vec![-1.0; (whole.len() - start).min(5)];
                spread(&tensor, inner, start, &mut part);
                assert_eq!(part, whole[start..start + part.len()]);
            }
            Some(whole)
        };
        assert_eq!(spread_all(&[2], &[2, 2]), Some(vec![0.0, 1.0, 0.0, 1.0]));
        assert_eq!(spread_all(&[2, 1], &[2, 2]), Some(vec![0.0, 0.0, 1.0, 1.0]));
        assert_eq!(
            spread_all(&[2, 1], &[2, 2, 2]),
            Some(vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0])
        );
        assert_eq!(spread_all(&[1], &[3]), Some(vec![0.0; 3]));
        assert_eq!(spread_all(&[], &[3]), Some(vec![0.0; 3]));
        assert_eq!(spread_all(&[2, 1, 2], &[2, 3, 2]), None);
    }
}
