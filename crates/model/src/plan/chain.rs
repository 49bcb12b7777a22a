//! Chains: elementwise operators that run as one, block by block.
//!
//! Each operator rounds its result as it does alone, so the bits are those of the operators one by one; but between them a value
//! lives in a register of one block, which stays in the first-level cache, instead of a tensor. A chain may read any number of
//! tensors, whole or broadcast, and write several: a value that others want too is written as well.

use crate::{
    ops::{Elementwise, Map, Zip},
    shape::element_count,
};
use std::{cell::Cell, ops::Range};
use synod_numerics::pool;

/// Elements of a block.
const BLOCK: usize = 1024;
/// The most registers: they fit into the memory that a thread keeps for kernels.
pub(super) const MAX_REGISTERS: usize = 24;
/// The most tensors that a chain reads.
pub(super) const MAX_READS: usize = 20;
/// The most tensors that a chain writes.
pub(super) const MAX_WRITES: usize = 10;

/// Where an operator of a chain finds an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The block's elements of a tensor of the chain's size.
    Tensor(usize),
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
    /// Copies a register to an output.
    Store { register: usize, output: usize },
}

impl Instruction {
    pub(super) fn new(function: Elementwise, from: [Option<Source>; 2], to: Target) -> Option<Self> {
        match (function, from) {
            (Elementwise::Unary(function), [Some(from), _]) => Some(Self::Map { function, from, to }),
            (Elementwise::Binary(function), [Some(a), Some(b)]) => Some(Self::Zip {
                function,
                from: [a, b],
                to,
            }),
            _ => None,
        }
    }
}

/// A chain over tensors of so many elements.
pub(super) struct Chain {
    pub(super) elements: usize,
    pub(super) instructions: Vec<Instruction>,
    /// About how long it takes on one thread.
    pub(super) nanoseconds: u64,
}

impl Chain {
    /// Runs the chain.
    pub(super) fn run(&self, reads: &[&[f32]], writes: &mut [&mut [f32]]) {
        let pieces = pool::pieces(self.nanoseconds);
        if let ([out], true) = (&mut *writes, pieces > 1) {
            let size = self.elements.div_ceil(pieces).next_multiple_of(BLOCK);
            pool::chunks(out, size, |index, part| {
                let start = index * size;
                self.run_part(start..start + part.len(), reads, &mut [part]);
            });
        } else {
            self.run_part(0..self.elements, reads, writes);
        }
    }

    /// Runs a range of elements; `writes` hold those only.
    pub(super) fn run_part(&self, range: Range<usize>, reads: &[&[f32]], writes: &mut [&mut [f32]]) {
        let first = range.start;
        with_registers(|registers| {
            for start in range.clone().step_by(BLOCK) {
                let block = start..range.end.min(start + BLOCK);
                for instruction in &self.instructions {
                    instruction.run(block.clone(), first, reads, writes, registers);
                }
            }
        });
    }

    /// Whether all it takes from the kernel before it is what it loads first.
    pub(super) fn begins_with_load(&self) -> bool {
        matches!(self.instructions.first(), Some(Instruction::Load { .. }))
    }
}

/// Lends this thread's registers: taken when first needed, and kept. A chain may run within a kernel, which has the buffer that
/// kernels take ([`pool::with_buffer`]).
fn with_registers<R>(f: impl FnOnce(&mut [[f32; BLOCK]]) -> R) -> R {
    thread_local! {
        static REGISTERS: Cell<Vec<[f32; BLOCK]>> = const { Cell::new(Vec::new()) };
    }
    let mut registers = REGISTERS.take();
    registers.resize(MAX_REGISTERS, [0.0; BLOCK]);
    let result = f(&mut registers);
    REGISTERS.set(registers);
    result
}

impl Instruction {
    /// Runs on one block of the chain's elements; `writes` begin with element `first`.
    fn run(
        &self,
        block: Range<usize>,
        first: usize,
        reads: &[&[f32]],
        writes: &mut [&mut [f32]],
        registers: &mut [[f32; BLOCK]],
    ) {
        let length = block.len();
        let written = block.start - first..block.end - first;
        match self {
            Self::Load { output, register } => {
                registers[*register][..length].copy_from_slice(&writes[*output][written]);
            }
            Self::Store { register, output } => {
                writes[*output][written].copy_from_slice(&registers[*register][..length]);
            }
            Self::Spread {
                tensor,
                inner,
                register,
            } => spread(
                reads[*tensor],
                *inner,
                block.start,
                &mut registers[*register][..length],
            ),
            Self::Map { function, from, to } => match *to {
                Target::Output(output) => {
                    let x = operand(*from, reads, &block, |register| &registers[register]);
                    function(x, &mut writes[output][written]);
                }
                Target::Register(register) => {
                    let (out, rest) = apart(registers, register);
                    let x = operand(*from, reads, &block, rest);
                    function(x, &mut out[..length]);
                }
            },
            Self::Zip { function, from, to } => match *to {
                Target::Output(output) => {
                    let [a, b] =
                        from.map(|from| operand(from, reads, &block, |register| &registers[register]));
                    function(a, b, &mut writes[output][written]);
                }
                Target::Register(register) => {
                    let (out, rest) = apart(registers, register);
                    let [a, b] = from.map(|from| operand(from, reads, &block, &rest));
                    function(a, b, &mut out[..length]);
                }
            },
        }
    }
}

/// A block of an operand.
fn operand<'a>(
    from: Source,
    reads: &[&'a [f32]],
    block: &Range<usize>,
    register: impl Fn(usize) -> &'a [f32; BLOCK],
) -> &'a [f32] {
    match from {
        Source::Tensor(tensor) => &reads[tensor][block.clone()],
        Source::Register(index) => &register(index)[..block.len()],
    }
}

/// One register for writing, the others for reading.
fn apart<'a>(
    registers: &'a mut [[f32; BLOCK]],
    written: usize,
) -> (&'a mut [f32; BLOCK], impl Fn(usize) -> &'a [f32; BLOCK]) {
    let (before, rest) = registers.split_at_mut(written);
    let (out, after) = rest.split_at_mut(1);
    let (before, after) = (&*before, &*after);
    let others = move |index: usize| {
        if index < written {
            &before[index]
        } else {
            &after[index - written - 1]
        }
    };
    (&mut out[0], others)
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
