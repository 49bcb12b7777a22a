//! Which images lie with their channels together.
//!
//! Convolutions of bytes compute on channels that lie together, last of all axes; convolutions of floats on channels in blocks of
//! sixteen ([`synod_numerics::fast::blocks`]). Where one hands its result to another, perhaps through elementwise operators or a
//! pool, it stays so: exchanging channels and pixels twice costs as much as a small convolution. Nobody else sees such
//! a value, so nothing depends on the choice.

use super::{
    fusion::{Groups, Role},
    schedule::{Parts, is_of_chain},
};
use crate::{
    DType,
    analysis::Value,
    model::{Node, ValueId},
    shape::element_count,
};
use std::collections::BTreeSet;

/// For each value, whether it lies with its channels together.
pub(super) fn channels_together(
    parts: &Parts<'_>,
    groups: &Groups,
    roles: &[Option<Role>],
    group_of: &[Option<usize>],
    output_of: &[Option<usize>],
    wanted: &[bool],
) -> Vec<bool> {
    let together: Vec<bool> = parts
        .values
        .iter()
        .enumerate()
        .map(|(value, kind)| may_be(kind) && group_of[value].is_some() && output_of[value].is_none())
        .collect();
    if !together.contains(&true) {
        return together;
    }
    // most graphs have no kernel that has a form for it: then there is nothing to choose
    let has_form = |step: usize| {
        let kernel = &parts.kernels[step];
        [(true, true), (true, false), (false, true)]
            .into_iter()
            .any(|(input, output)| kernel.with_channels_together(input, output).is_some())
    };
    let mut kernels = groups.groups.iter().filter_map(|group| group.kernel(roles));
    if !kernels.any(has_form) {
        return vec![false; together.len()];
    }
    let mut layout = Layout {
        parts,
        roots: &groups.roots,
        roles,
        together,
        taken_apart: Vec::new(),
    };
    for (step, role) in roles.iter().enumerate() {
        if matches!(role, Some(Role::View)) {
            layout.take_apart(layout.inputs_of(step));
        }
    }
    let mut groups_with: Vec<Vec<usize>> = vec![Vec::new(); parts.values.len()];
    for (index, group) in groups.groups.iter().enumerate() {
        if let Some(kernel) = group.kernel(roles) {
            layout.settle_for_good(kernel);
        }
        for &member in &group.members {
            let values = layout
                .inputs_of(member)
                .into_iter()
                .chain(layout.outputs_of(member));
            for value in values.filter(|&value| layout.together[value]) {
                let with = &mut groups_with[value];
                if with.last() != Some(&index) {
                    with.push(index);
                }
            }
        }
    }
    // A value taken apart concerns the groups that it joins: only they are looked at again, so that a long graph is not gone
    // through as often as it is long.
    let mut round: BTreeSet<usize> = (0..groups.groups.len()).collect();
    let mut next = BTreeSet::new();
    loop {
        let Some(index) = round.pop_first() else {
            if next.is_empty() {
                return layout.together;
            }
            round = std::mem::take(&mut next);
            continue;
        };
        let group = &groups.groups[index];
        match group.kernel(roles) {
            Some(kernel) => {
                let chain = &group.members[1..];
                if !chain.is_empty() {
                    let of_kernel = layout.outputs_of(kernel);
                    layout.settle_chain(chain, of_kernel, |_| true);
                }
                layout.settle_kernel(kernel);
            }
            None => {
                // what the chain writes; what stays in its registers lies nowhere
                let written = |&value: &ValueId| wanted[value] && group_of[value] == Some(index);
                layout.settle_chain(&group.members, Vec::new(), written);
            }
        }
        for value in layout.taken_apart.drain(..) {
            for &concerned in &groups_with[value] {
                let set = if concerned > index { &mut round } else { &mut next };
                set.insert(concerned);
            }
        }
    }
}

/// Whether a value is an image of bytes, or one of floats whose channels make blocks.
fn may_be(value: &Value) -> bool {
    let shape = value.shape();
    match value.dtype() {
        DType::U8 | DType::I8 => shape.len() > 2,
        DType::F32 => matches!(shape.len(), 3 | 4) && shape[1].is_multiple_of(16) && element_count(shape) > 0,
        _ => false,
    }
}

/// Choices while they are made: values are taken apart until everyone can work with what is left.
struct Layout<'a> {
    parts: &'a Parts<'a>,
    roots: &'a [ValueId],
    roles: &'a [Option<Role>],
    together: Vec<bool>,
    /// Values taken apart that nobody has been told of.
    taken_apart: Vec<ValueId>,
}

impl Layout<'_> {
    fn node(&self, step: usize) -> &Node {
        &self.parts.graph.nodes[self.parts.steps[step].node]
    }

    fn inputs_of(&self, step: usize) -> Vec<ValueId> {
        let inputs = self.node(step).inputs.iter().flatten();
        inputs.map(|&value| self.roots[value]).collect()
    }

    fn outputs_of(&self, step: usize) -> Vec<ValueId> {
        self.node(step).outputs.iter().flatten().copied().collect()
    }

    fn take_apart(&mut self, values: impl IntoIterator<Item = ValueId>) {
        for value in values {
            if std::mem::replace(&mut self.together[value], false) {
                self.taken_apart.push(value);
            }
        }
    }

    /// The first input of a kernel.
    fn first_input(&self, step: usize) -> Option<ValueId> {
        let first = self.node(step).inputs.first().copied().flatten();
        first.map(|value| self.roots[value])
    }

    /// Takes apart what no kernel takes or gives with channels together: inputs other than the first, and outputs of which there are
    /// several.
    fn settle_for_good(&mut self, step: usize) {
        let (first, inputs, outputs) = (
            self.first_input(step),
            self.inputs_of(step),
            self.outputs_of(step),
        );
        let (as_first, others): (Vec<ValueId>, Vec<ValueId>) =
            inputs.into_iter().partition(|&value| Some(value) == first);
        if as_first.len() > 1 || outputs.len() != 1 {
            self.take_apart(as_first.into_iter().chain(outputs));
        }
        self.take_apart(others);
    }

    /// A kernel takes its first input and gives its only output with channels together where it has a form for that.
    fn settle_kernel(&mut self, step: usize) {
        let first = self.first_input(step);
        let output = self.node(step).outputs.iter().flatten().copied().next();
        let is_together = |value: Option<ValueId>| value.is_some_and(|value| self.together[value]);
        let (input_together, output_together) = (is_together(first), is_together(output));
        if (input_together || output_together)
            && self.parts.kernels[step]
                .with_channels_together(input_together, output_together)
                .is_none()
        {
            self.take_apart(first.into_iter().chain(output));
        }
    }

    /// Elements keep their places in a chain if all its tensors have theirs; a single element has none. `values` are the tensors
    /// that it is given beside those that it reads, and `written` says which of its own are tensors too.
    fn settle_chain(
        &mut self,
        members: &[usize],
        mut values: Vec<ValueId>,
        written: impl Fn(&ValueId) -> bool,
    ) {
        if !members.iter().all(|&member| is_of_chain(self.roles, member)) {
            let all = members.iter().flat_map(|&member| {
                let mut all = self.inputs_of(member);
                all.extend(self.outputs_of(member));
                all
            });
            let all: Vec<ValueId> = all.chain(values).collect();
            return self.take_apart(all);
        }
        let outputs: Vec<ValueId> = members
            .iter()
            .flat_map(|&member| self.outputs_of(member))
            .collect();
        let read = members.iter().flat_map(|&member| self.inputs_of(member));
        values.extend(read.filter(|value| {
            !outputs.contains(value) && element_count(self.parts.values[*value].shape()) != 1
        }));
        values.extend(outputs.into_iter().filter(written));
        let like = |value: ValueId| {
            let value = &self.parts.values[value];
            (value.dtype() == DType::F32, value.shape())
        };
        let kind = values.first().map(|&value| like(value));
        let alike = values
            .iter()
            .all(|&value| self.together[value] && Some(like(value)) == kind);
        if !alike {
            self.take_apart(values);
        }
    }
}
