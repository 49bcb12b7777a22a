//! What groups compute that a kernel, or one loop, does in registers.

use super::Builder;
use crate::{
    analysis::operands,
    model::ValueId,
    ops::{InRegisters, Inputs},
    plan::chain::SumOfBytes,
};
use std::collections::BTreeMap;
use synod_numerics::quantize::Sum;

/// A chain as [`Simple`](synod_numerics::fast::epilogue::Simple).
pub(super) struct SimpleChain {
    /// Which of the tensors read is a row that is added, if one is, and which is added then.
    pub(super) row: Option<usize>,
    pub(super) add: Option<usize>,
    pub(super) relu: bool,
    pub(super) at_most: Option<f32>,
}

/// Whether a tensor repeats over the rows of another: one element for each of the last dimension.
fn is_row_of(operand: &[usize], output: &[usize]) -> bool {
    match (operand, output) {
        ([ones @ .., row], [.., last]) => row == last && ones.iter().all(|&dim| dim == 1),
        _ => false,
    }
}

impl Builder<'_> {
    /// What follows the kernel of the group, if that is the addition of a row, or of a tensor of its shape, or bounds, or some of these
    /// in this order.
    pub(super) fn simple(&self) -> Option<SimpleChain> {
        let (&kernel, chain) = self.members.split_first()?;
        let mut simple = SimpleChain {
            row: None,
            add: None,
            relu: false,
            at_most: None,
        };
        let mut before = self.node(kernel).outputs.first().copied().flatten()?;
        let kind = self.parts.values[before].kind();
        for (index, &member) in chain.iter().enumerate() {
            let node = self.node(member);
            let operands = operands(node, self.parts.values);
            let mut inputs = node.inputs.iter().flatten().map(|&value| self.roots[value]);
            match node.operator.in_registers(&Inputs(&operands))? {
                InRegisters::Add if simple.add.is_none() && !simple.relu => {
                    let (first, second) = (inputs.next()?, inputs.next()?);
                    let other = match [first == before, second == before] {
                        [true, false] => second,
                        [false, true] => first,
                        _ => return None,
                    };
                    let read = Some(*self.read_of.get(&other)?);
                    if self.parts.values[other].kind() == kind {
                        simple.add = read;
                    } else if index == 0 && is_row_of(self.parts.values[other].shape(), &kind.shape) {
                        simple.row = read;
                    } else {
                        return None;
                    }
                }
                InRegisters::Bounds(at_most) if index + 1 == chain.len() && inputs.next()? == before => {
                    simple.relu = true;
                    simple.at_most = at_most;
                }
                _ => return None,
            }
            before = node.outputs.first().copied().flatten()?;
        }
        Some(simple)
    }

    /// What the group computes, if that is the sum of two quantised tensors of one shape, perhaps within bounds, quantised.
    pub(super) fn sum_of_bytes(&self) -> Option<SumOfBytes> {
        let (mut loaded, mut sum, mut bounds) = (BTreeMap::new(), None, None);
        let (&last, members) = self.members.split_last()?;
        for &member in members {
            let node = self.node(member);
            let operands = operands(node, self.parts.values);
            let inputs: Vec<ValueId> = node
                .inputs
                .iter()
                .flatten()
                .map(|&value| self.roots[value])
                .collect();
            let output = node.outputs.first().copied().flatten()?;
            match (node.operator.in_registers(&Inputs(&operands))?, &inputs[..]) {
                (InRegisters::FromSteps(steps), [bytes, ..]) => {
                    loaded.insert(output, (*self.read_of.get(bytes)?, steps));
                }
                (InRegisters::Add, [a, b]) if sum.is_none() => {
                    let shape = |value: &ValueId| self.parts.values[*value].shape();
                    let of = [*loaded.get(a)?, *loaded.get(b)?];
                    sum = (shape(a) == shape(b)).then_some((of, output));
                }
                (InRegisters::Bounds(at_most), [x]) if bounds.is_none() => {
                    let (of, before) = sum?;
                    sum = (before == *x).then_some((of, output));
                    bounds = Some(at_most);
                }
                _ => return None,
            }
        }
        let node = self.node(last);
        let operands = operands(node, self.parts.values);
        let input = node.inputs.first().copied().flatten()?;
        let (of, before) = sum?;
        match node.operator.in_registers(&Inputs(&operands))? {
            InRegisters::ToSteps(to) if before == self.roots[input] => {
                let steps = of.map(|(_, steps)| steps);
                Some(SumOfBytes {
                    of: of.map(|(read, _)| read),
                    sum: Sum::new(steps, bounds.is_some(), bounds.flatten(), to)?,
                })
            }
            _ => None,
        }
    }
}
