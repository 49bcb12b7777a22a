//! The attributes of tree ensembles: by (tree, node) in versions 1 and 3, by position in version 5.

use super::{
    Transform, class_labels, floats_or_tensor, missing, tensor_floats,
    tree::{Aggregate, Branch, Child, Classes, Ensemble, Question, Trees},
    wrong,
};
use crate::ops::{DType, NodeSpec, OpError};
use std::{collections::BTreeMap, sync::Arc};

/// A required list of integers.
fn ints(node: &mut NodeSpec<'_>, name: &'static str) -> Result<Vec<i64>, OpError> {
    node.attributes.ints(name)?.ok_or_else(|| missing(name))
}

fn check_length(name: &'static str, got: usize, expected: usize) -> Result<(), OpError> {
    if got == expected {
        Ok(())
    } else {
        Err(OpError::Shape(format!(
            "attribute `{name}` has {got} values; there are {expected} nodes"
        )))
    }
}

fn index(name: &'static str, value: i64) -> Result<usize, OpError> {
    // more than any tensor has
    usize::try_from(value)
        .ok()
        .filter(|&index| index < 1 << 31)
        .ok_or_else(|| wrong(name, value, "an index"))
}

fn target(name: &'static str, value: i64, targets: usize) -> Result<usize, OpError> {
    match index(name, value)? {
        target if target < targets => Ok(target),
        target => Err(OpError::Value(format!(
            "attribute `{name}` names target {target} of {targets}"
        ))),
    }
}

/// Nodes as versions 1 and 3 write them, with the leaf of each that is one.
struct Named {
    branches: Vec<Branch>,
    roots: Vec<Child>,
    /// Leaves by tree and node.
    leaves: BTreeMap<(i64, i64), usize>,
}

fn named(node: &mut NodeSpec<'_>) -> Result<Named, OpError> {
    let trees = ints(node, "nodes_treeids")?;
    let ids = ints(node, "nodes_nodeids")?;
    let features = ints(node, "nodes_featureids")?;
    let yes = ints(node, "nodes_truenodeids")?;
    let no = ints(node, "nodes_falsenodeids")?;
    let modes = node
        .attributes
        .strings("nodes_modes")?
        .ok_or_else(|| missing("nodes_modes"))?;
    let values = floats_or_tensor(node, "nodes_values", "nodes_values_as_tensor")?
        .ok_or_else(|| missing("nodes_values"))?;
    let tracks = node
        .attributes
        .ints("nodes_missing_value_tracks_true")?
        .unwrap_or_default();
    // how often a node was visited in training: nothing to compute
    node.attributes.floats("nodes_hitrates")?;
    node.attributes.tensor("nodes_hitrates_as_tensor")?;
    let count = trees.len();
    for (name, got) in [
        ("nodes_nodeids", ids.len()),
        ("nodes_featureids", features.len()),
        ("nodes_truenodeids", yes.len()),
        ("nodes_falsenodeids", no.len()),
        ("nodes_modes", modes.len()),
        ("nodes_values", values.len()),
    ] {
        check_length(name, got, count)?;
    }
    if !tracks.is_empty() {
        check_length("nodes_missing_value_tracks_true", tracks.len(), count)?;
    }

    let mut places: BTreeMap<(i64, i64), Child> = BTreeMap::new();
    let mut leaves = BTreeMap::new();
    let mut branch_count = 0;
    for (i, mode) in modes.iter().enumerate() {
        let key = (trees[i], ids[i]);
        let child = if mode == b"LEAF" {
            leaves.insert(key, leaves.len());
            Child::Leaf(leaves.len() - 1)
        } else {
            branch_count += 1;
            Child::Branch(branch_count - 1)
        };
        if places.insert(key, child).is_some() {
            return Err(OpError::Value(format!(
                "node {} of tree {} is given twice",
                ids[i], trees[i]
            )));
        }
    }
    let mut branches = Vec::with_capacity(branch_count);
    let mut has_parent = std::collections::BTreeSet::new();
    for (i, mode) in modes.iter().enumerate() {
        let question = match mode.as_slice() {
            b"LEAF" => continue,
            b"BRANCH_LEQ" => Question::AtMost,
            b"BRANCH_LT" => Question::Below,
            b"BRANCH_GTE" => Question::AtLeast,
            b"BRANCH_GT" => Question::Above,
            b"BRANCH_EQ" => Question::Equal,
            b"BRANCH_NEQ" => Question::Unequal,
            other => {
                return Err(wrong(
                    "nodes_modes",
                    String::from_utf8_lossy(other),
                    "LEAF, BRANCH_LEQ, BRANCH_LT, BRANCH_GTE, BRANCH_GT, BRANCH_EQ, BRANCH_NEQ",
                ));
            }
        };
        let mut child = |id: i64| {
            let key = (trees[i], id);
            has_parent.insert(key);
            places.get(&key).copied().ok_or_else(|| {
                OpError::Value(format!(
                    "node {} of tree {} leads to node {id}, which is not there",
                    ids[i], trees[i]
                ))
            })
        };
        branches.push(Branch {
            feature: index("nodes_featureids", features[i])?,
            question,
            threshold: values[i],
            missing_is_yes: tracks.get(i).is_some_and(|&tracks| tracks == 1),
            yes: child(yes[i])?,
            no: child(no[i])?,
        });
    }
    // trees in the order in which they begin; the root is the node that nothing leads to
    let mut order = Vec::new();
    let mut roots: BTreeMap<i64, Vec<Child>> = BTreeMap::new();
    for i in 0..count {
        let of_tree = roots.entry(trees[i]).or_insert_with(|| {
            order.push(trees[i]);
            Vec::new()
        });
        if !has_parent.contains(&(trees[i], ids[i])) {
            of_tree.push(places[&(trees[i], ids[i])]);
        }
    }
    let mut found = Vec::with_capacity(order.len());
    for tree in order {
        match roots[&tree].as_slice() {
            [root] => found.push(*root),
            several => {
                return Err(OpError::Value(format!(
                    "tree {tree} has {} roots; it needs one",
                    several.len()
                )));
            }
        }
    }
    Ok(Named {
        branches,
        roots: found,
        leaves,
    })
}

/// The weights of leaves: lists whose names begin with `target_` or `class_`.
fn weights(
    node: &mut NodeSpec<'_>,
    names: [&'static str; 5],
    targets: usize,
    leaves: &BTreeMap<(i64, i64), usize>,
) -> Result<Vec<Vec<(usize, f64)>>, OpError> {
    let [trees_name, nodes_name, ids_name, weights_name, tensor_name] = names;
    let trees = ints(node, trees_name)?;
    let nodes = ints(node, nodes_name)?;
    let ids = ints(node, ids_name)?;
    let weights = floats_or_tensor(node, weights_name, tensor_name)?.ok_or_else(|| missing(weights_name))?;
    for (name, got) in [
        (nodes_name, nodes.len()),
        (ids_name, ids.len()),
        (weights_name, weights.len()),
    ] {
        check_length(name, got, trees.len())?;
    }
    let mut of_leaves = vec![Vec::new(); leaves.len()];
    for i in 0..trees.len() {
        let leaf = leaves.get(&(trees[i], nodes[i])).ok_or_else(|| {
            OpError::Value(format!(
                "attribute `{nodes_name}` gives a weight to node {} of tree {}, which is no leaf",
                nodes[i], trees[i]
            ))
        })?;
        of_leaves[*leaf].push((target(ids_name, ids[i], targets)?, weights[i]));
    }
    Ok(of_leaves)
}

fn base_values(node: &mut NodeSpec<'_>, targets: usize) -> Result<Vec<f64>, OpError> {
    let base = floats_or_tensor(node, "base_values", "base_values_as_tensor")?.unwrap_or_default();
    if base.is_empty() || base.len() == targets {
        Ok(base)
    } else {
        Err(wrong("base_values", base.len(), "one for each target"))
    }
}

fn count(node: &mut NodeSpec<'_>, name: &'static str) -> Result<usize, OpError> {
    let targets = node.attributes.int(name)?.unwrap_or(1);
    usize::try_from(targets)
        .ok()
        .filter(|targets| (1..1 << 24).contains(targets))
        .ok_or_else(|| wrong(name, targets, "1 to 16777215"))
}

/// TreeEnsembleRegressor.
pub(super) fn regressor(node: &mut NodeSpec<'_>) -> Result<Ensemble, OpError> {
    let targets = count(node, "n_targets")?;
    let aggregate = match node.attributes.string("aggregate_function")?.as_deref() {
        None | Some("SUM") => Aggregate::Sum,
        Some("AVERAGE") => Aggregate::Average,
        Some("MIN") => Aggregate::Min,
        Some("MAX") => Aggregate::Max,
        Some(other) => return Err(wrong("aggregate_function", other, "SUM, AVERAGE, MIN, MAX")),
    };
    let nodes = named(node)?;
    let names = [
        "target_treeids",
        "target_nodeids",
        "target_ids",
        "target_weights",
        "target_weights_as_tensor",
    ];
    let leaves = weights(node, names, targets, &nodes.leaves)?;
    Ok(Ensemble {
        trees: Trees::new(nodes.branches, leaves, nodes.roots, Vec::new())?.into(),
        targets,
        aggregate,
        base: base_values(node, targets)?.into(),
        transform: Transform::parse(node)?,
        classes: None,
        own_type: false,
    })
}

/// TreeEnsembleClassifier.
pub(super) fn classifier(node: &mut NodeSpec<'_>) -> Result<Ensemble, OpError> {
    let labels = class_labels(node, "classlabels_int64s", "classlabels_strings")?;
    let nodes = named(node)?;
    let names = [
        "class_treeids",
        "class_nodeids",
        "class_ids",
        "class_weights",
        "class_weights_as_tensor",
    ];
    let leaves = weights(node, names, labels.len(), &nodes.leaves)?;
    let mut base = floats_or_tensor(node, "base_values", "base_values_as_tensor")?.unwrap_or_default();
    let mut of_weights = leaves.iter().flatten();
    let first = of_weights.next().map(|(class, _)| *class);
    let one_class = first.is_some_and(|first| leaves.iter().flatten().all(|(class, _)| *class == first));
    let single =
        (labels.len() == 2 && one_class).then(|| leaves.iter().flatten().all(|(_, weight)| *weight >= 0.0));
    if single.is_some() && base.len() == 1 {
        base.push(0.0);
    } else if single.is_some() && base.len() == 2 {
        // of two, the second counts
        base[0] = 0.0;
    }
    if !base.is_empty() && base.len() != labels.len() {
        return Err(wrong("base_values", base.len(), "one for each class"));
    }
    Ok(Ensemble {
        trees: Trees::new(nodes.branches, leaves, nodes.roots, Vec::new())?.into(),
        targets: labels.len(),
        aggregate: Aggregate::Sum,
        base: base.into(),
        transform: Transform::parse(node)?,
        classes: Some(Classes {
            labels: labels.into(),
            single,
        }),
        own_type: false,
    })
}

/// TreeEnsemble, version 5.
pub(super) fn by_position(node: &mut NodeSpec<'_>) -> Result<Ensemble, OpError> {
    let tensor = |node: &mut NodeSpec<'_>, name| node.attributes.tensor(name)?.ok_or_else(|| missing(name));
    let floats = |node: &mut NodeSpec<'_>, name| {
        let given = tensor(node, name)?;
        tensor_floats(&given).ok_or_else(|| wrong(name, given.dtype(), "floats"))
    };
    let targets = count(node, "n_targets")?;
    let aggregate = match node.attributes.int("aggregate_function")?.unwrap_or(1) {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(wrong("aggregate_function", other, "0 to 3")),
    };
    let transform = match node.attributes.int("post_transform")?.unwrap_or(0) {
        0 => Transform::None,
        1 => Transform::Softmax,
        2 => Transform::Logistic,
        3 => Transform::SoftmaxZero,
        4 => Transform::Probit,
        other => return Err(wrong("post_transform", other, "0 to 4")),
    };
    node.attributes.tensor("nodes_hitrates")?;
    let splits = floats(node, "nodes_splits")?;
    let modes = tensor(node, "nodes_modes")?;
    if modes.dtype() != DType::U8 {
        return Err(wrong("nodes_modes", modes.dtype(), "u8"));
    }
    let features = ints(node, "nodes_featureids")?;
    let (yes, no) = (
        ints(node, "nodes_truenodeids")?,
        ints(node, "nodes_falsenodeids")?,
    );
    let (yes_leafs, no_leafs) = (ints(node, "nodes_trueleafs")?, ints(node, "nodes_falseleafs")?);
    let tracks = node
        .attributes
        .ints("nodes_missing_value_tracks_true")?
        .unwrap_or_default();
    let roots = ints(node, "tree_roots")?;
    let members = match node.attributes.tensor("membership_values")? {
        None => Vec::new(),
        Some(given) => {
            tensor_floats(&given).ok_or_else(|| wrong("membership_values", given.dtype(), "floats"))?
        }
    };
    let leaf_targets = ints(node, "leaf_targetids")?;
    let leaf_weights = floats(node, "leaf_weights")?;
    let count = splits.len();
    for (name, got) in [
        ("nodes_modes", modes.elements()),
        ("nodes_featureids", features.len()),
        ("nodes_truenodeids", yes.len()),
        ("nodes_falsenodeids", no.len()),
        ("nodes_trueleafs", yes_leafs.len()),
        ("nodes_falseleafs", no_leafs.len()),
    ] {
        check_length(name, got, count)?;
    }
    if !tracks.is_empty() {
        check_length("nodes_missing_value_tracks_true", tracks.len(), count)?;
    }
    check_length("leaf_targetids", leaf_targets.len(), leaf_weights.len())?;
    // sets of members, in the order of the nodes that ask for one, each ended by a NaN
    let mut sets = Vec::new();
    let mut start = 0;
    for (end, member) in members.iter().enumerate() {
        if member.is_nan() {
            sets.push((start, end));
            start = end + 1;
        }
    }
    if start < members.len() {
        sets.push((start, members.len()));
    }
    let mut sets = sets.into_iter();
    let mut branches = Vec::with_capacity(count);
    for i in 0..count {
        let question = match modes.as_slice::<u8>()[i] {
            0 => Question::AtMost,
            1 => Question::Below,
            2 => Question::AtLeast,
            3 => Question::Above,
            4 => Question::Equal,
            5 => Question::Unequal,
            6 => {
                let (start, end) = sets.next().ok_or_else(|| {
                    wrong(
                        "membership_values",
                        members.len(),
                        "a set for each node that asks",
                    )
                })?;
                Question::Member { start, end }
            }
            other => return Err(wrong("nodes_modes", other, "0 to 6")),
        };
        let child = |name, id: i64, is_leaf: i64| {
            let at = index(name, id)?;
            Ok::<_, OpError>(if is_leaf == 0 {
                Child::Branch(at)
            } else {
                Child::Leaf(at)
            })
        };
        branches.push(Branch {
            feature: index("nodes_featureids", features[i])?,
            question,
            threshold: splits[i],
            missing_is_yes: tracks.get(i).is_some_and(|&tracks| tracks == 1),
            yes: child("nodes_truenodeids", yes[i], yes_leafs[i])?,
            no: child("nodes_falsenodeids", no[i], no_leafs[i])?,
        });
    }
    let leaves = leaf_targets
        .iter()
        .zip(&leaf_weights)
        .map(|(&id, &weight)| Ok(vec![(target("leaf_targetids", id, targets)?, weight)]))
        .collect::<Result<Vec<_>, OpError>>()?;
    let roots = roots
        .into_iter()
        .map(|root| index("tree_roots", root).map(Child::Branch))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Ensemble {
        trees: Trees::new(branches, leaves, roots, members)?.into(),
        targets,
        aggregate,
        base: Arc::new([]),
        transform,
        classes: None,
        own_type: true,
    })
}
