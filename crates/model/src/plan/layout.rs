//! Which images lie with their channels last.
//!
//! Convolutions of bytes compute on channels that lie together. Where one hands its result to another, perhaps through elementwise
//! operators or a pool, it stays so: exchanging channels and pixels twice costs as much as a small convolution. Nobody else sees such
//! a value, so nothing depends on the choice.

use super::{
    fusion::{Groups, Role},
    schedule::{Parts, is_of_chain},
};
use crate::{DType, model::ValueId};

/// For each value, whether it lies with its channels last.
pub(super) fn channels_last(
    parts: &Parts<'_>,
    groups: &Groups,
    roles: &[Option<Role>],
    group_of: &[Option<usize>],
    output_of: &[Option<usize>],
    wanted: &[bool],
) -> Vec<bool> {
    let mut last: Vec<bool> = (0..parts.values.len())
        .map(|value| {
            let kind = &parts.values[value];
            let bytes = matches!(kind.dtype(), DType::U8 | DType::I8);
            bytes && kind.shape().len() > 2 && group_of[value].is_some() && output_of[value].is_none()
        })
        .collect();
    if !last.contains(&true) {
        return last;
    }
    let node = |member: usize| &parts.graph.nodes[parts.steps[member].node];
    for (step, role) in roles.iter().enumerate() {
        if matches!(role, Some(Role::View)) {
            for &value in node(step).inputs.iter().flatten() {
                last[groups.roots[value]] = false;
            }
        }
    }
    loop {
        let before = last.clone();
        for (index, group) in groups.groups.iter().enumerate() {
            let members = &group.members;
            let inputs = members
                .iter()
                .flat_map(|&member| node(member).inputs.iter().flatten());
            let inputs: Vec<ValueId> = inputs.map(|&value| groups.roots[value]).collect();
            let outputs: Vec<ValueId> = members
                .iter()
                .flat_map(|&member| node(member).outputs.iter().flatten().copied())
                .collect();
            match members[..] {
                [kernel] if !is_of_chain(roles, kernel) => {
                    let first = node(kernel).inputs.first().copied().flatten();
                    let first = first.map(|value| groups.roots[value]);
                    for &value in inputs.iter().filter(|&&value| Some(value) != first) {
                        last[value] = false;
                    }
                    let again = inputs.iter().filter(|&&value| Some(value) == first).count() > 1;
                    let one = outputs.len() == 1;
                    let asked = [
                        first.is_some_and(|value| last[value]),
                        outputs.iter().any(|&value| last[value]),
                    ];
                    let can = |[input, output]: [bool; 2]| {
                        parts.kernels[kernel].with_channels_last(input, output).is_some()
                    };
                    if asked != [false; 2] && (again || !one || !can(asked)) {
                        first
                            .into_iter()
                            .chain(outputs)
                            .for_each(|value| last[value] = false);
                    }
                }
                _ if members.iter().all(|&member| is_of_chain(roles, member)) => {
                    // elements keep their places if all tensors have theirs; a single element has none
                    let outside: Vec<ValueId> = inputs
                        .into_iter()
                        .filter(|value| !outputs.contains(value))
                        .filter(|&value| crate::shape::element_count(parts.values[value].shape()) != 1)
                        .chain(
                            outputs
                                .iter()
                                .copied()
                                .filter(|&value| wanted[value] && group_of[value] == Some(index)),
                        )
                        .collect();
                    let shape = outside.first().map(|&value| parts.values[value].shape());
                    let alike = outside
                        .iter()
                        .all(|&value| last[value] && Some(parts.values[value].shape()) == shape);
                    if !alike {
                        outside.into_iter().for_each(|value| last[value] = false);
                    }
                }
                _ => inputs
                    .into_iter()
                    .chain(outputs)
                    .for_each(|value| last[value] = false),
            }
        }
        if last == before {
            return last;
        }
    }
}
