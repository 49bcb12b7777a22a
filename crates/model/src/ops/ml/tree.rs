//! TreeEnsemble (version 5 of `ai.onnx.ml`), TreeEnsembleRegressor and TreeEnsembleClassifier (versions 1 and 3).
//!
//! Whoever wrote the file chose the shape of the trees, so it is checked when the node is parsed: every index in range, every
//! node reached from one parent only, no cycles. What a run takes then follows from the depth of each tree.

use super::{
    PER_OPERATION, PER_ROW, PER_TRANSFORM, READ, Transform, both_scores, greatest, read, rows, store,
    tree_attributes,
};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, OpError, Operator, TensorType, Work, kernel_with_scratch, streamed,
};
use std::sync::Arc;
use synod_numerics::{float::Float, half::f64_to_f16};

/// `TreeEnsemble`
pub(in crate::ops) const TREE_ENSEMBLE: Definition = Definition {
    name: "TreeEnsemble",
    since: &[5],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(tree_attributes::by_position(node)?)),
};

/// `TreeEnsembleRegressor`
pub(in crate::ops) const TREE_ENSEMBLE_REGRESSOR: Definition = Definition {
    name: "TreeEnsembleRegressor",
    since: &[1, 3],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(tree_attributes::regressor(node)?)),
};

/// `TreeEnsembleClassifier`
pub(in crate::ops) const TREE_ENSEMBLE_CLASSIFIER: Definition = Definition {
    name: "TreeEnsembleClassifier",
    since: &[1, 3],
    inputs: 1..=1,
    outputs: 1..=2,
    parse: |node| Ok(Box::new(tree_attributes::classifier(node)?)),
};

/// Nodes beyond which they no longer lie in a cache.
const CACHED_NODES: usize = 1 << 15;
/// Multiply-add equivalents of a step from node to node, cached and not.
const PER_STEP: u64 = 200;
const PER_DISTANT_STEP: u64 = 3_000;

/// How a node asks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Question {
    AtMost,
    Below,
    AtLeast,
    Above,
    Equal,
    Unequal,
    /// Whether the feature is among these members.
    Member {
        start: usize,
        end: usize,
    },
}

/// Where a branch leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Child {
    Branch(usize),
    Leaf(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Branch {
    pub(super) feature: usize,
    pub(super) question: Question,
    pub(super) threshold: f64,
    /// Whether NaN goes the way of yes.
    pub(super) missing_is_yes: bool,
    pub(super) yes: Child,
    pub(super) no: Child,
}

/// How the trees' weights become a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// Trees whose shape has been checked.
#[derive(Debug, Clone)]
pub(super) struct Trees {
    branches: Vec<Branch>,
    /// For each leaf, its weights: target and weight.
    leaves: Vec<Vec<(usize, f64)>>,
    roots: Vec<Child>,
    members: Vec<f64>,
    /// Steps from the roots to the deepest leaves, summed over trees.
    depth: usize,
    /// One more than the greatest feature.
    features: usize,
}

impl Trees {
    /// Checks that the branches are trees.
    pub(super) fn new(
        branches: Vec<Branch>,
        leaves: Vec<Vec<(usize, f64)>>,
        roots: Vec<Child>,
        members: Vec<f64>,
    ) -> Result<Self, OpError> {
        let mut reached = vec![false; branches.len()];
        let mut depth = 0usize;
        for &root in &roots {
            let (mut deepest, mut waiting) = (0, vec![(root, 0usize)]);
            while let Some((child, above)) = waiting.pop() {
                match child {
                    Child::Leaf(leaf) if leaf < leaves.len() => deepest = deepest.max(above),
                    Child::Branch(index) if index < branches.len() => {
                        if std::mem::replace(&mut reached[index], true) {
                            return Err(OpError::Value(format!(
                                "node {index} of the trees is reached twice: they have a cycle or share a part"
                            )));
                        }
                        waiting.push((branches[index].yes, above + 1));
                        waiting.push((branches[index].no, above + 1));
                    }
                    _ => {
                        return Err(OpError::Value(format!(
                            "a node of the trees refers to {child:?}; there are {} branches and {} leaves",
                            branches.len(),
                            leaves.len()
                        )));
                    }
                }
            }
            depth = depth.saturating_add(deepest);
        }
        if let Some(index) = reached.iter().position(|&reached| !reached) {
            return Err(OpError::Value(format!(
                "nothing leads to node {index} of the trees"
            )));
        }
        let features = branches
            .iter()
            .map(|branch| branch.feature + 1)
            .max()
            .unwrap_or(0);
        Ok(Self {
            branches,
            leaves,
            roots,
            members,
            depth,
            features,
        })
    }

    /// The weights of the leaf that a row comes to.
    fn leaf(&self, root: Child, row: &[f64]) -> &[(usize, f64)] {
        let mut at = root;
        loop {
            match at {
                Child::Leaf(leaf) => return &self.leaves[leaf],
                Child::Branch(index) => {
                    let branch = &self.branches[index];
                    let (x, threshold) = (row[branch.feature], branch.threshold);
                    let yes = match branch.question {
                        Question::AtMost => x <= threshold,
                        Question::Below => x < threshold,
                        Question::AtLeast => x >= threshold,
                        Question::Above => x > threshold,
                        Question::Equal => x == threshold,
                        Question::Unequal => x != threshold,
                        Question::Member { start, end } => self.members[start..end].contains(&x),
                    };
                    at = if yes || branch.missing_is_yes && x.is_nan() {
                        branch.yes
                    } else {
                        branch.no
                    };
                }
            }
        }
    }

    /// What reading a row through all trees takes.
    fn work_of_row(&self) -> u64 {
        let step = if self.branches.len() + self.leaves.len() > CACHED_NODES {
            PER_DISTANT_STEP
        } else {
            PER_STEP
        };
        let widest = self.leaves.iter().map(Vec::len).max().unwrap_or(0) as u64;
        (self.depth as u64)
            .saturating_add(2 * self.roots.len() as u64)
            .saturating_mul(step)
            .saturating_add(
                (self.roots.len() as u64)
                    .saturating_mul(widest)
                    .saturating_mul(PER_OPERATION),
            )
            .saturating_add((self.members.len() as u64).saturating_mul(PER_OPERATION))
            .saturating_add(PER_ROW)
    }
}

/// What a classifier adds.
#[derive(Debug, Clone)]
pub(super) struct Classes {
    pub(super) labels: Arc<[i64]>,
    /// Where the weights are of one class of two: whether none is negative.
    pub(super) single: Option<bool>,
}

#[derive(Debug, Clone)]
pub(super) struct Ensemble {
    /// Shared by all plans.
    pub(super) trees: Arc<Trees>,
    pub(super) targets: usize,
    pub(super) aggregate: Aggregate,
    /// None, or one for each target.
    pub(super) base: Arc<[f64]>,
    pub(super) transform: Transform,
    pub(super) classes: Option<Classes>,
    /// Whether the result has the type of the input, not f32.
    pub(super) own_type: bool,
}

impl Ensemble {
    /// The scores of a row.
    fn scores(&self, row: &[f64], scores: &mut [f64]) {
        let start = match self.aggregate {
            Aggregate::Sum | Aggregate::Average => 0.0,
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
        };
        scores.fill(start);
        for &root in &self.trees.roots {
            for &(target, weight) in self.trees.leaf(root, row) {
                let score = &mut scores[target];
                *score = match self.aggregate {
                    Aggregate::Sum | Aggregate::Average => *score + weight,
                    Aggregate::Min => Float::minimum(*score, weight),
                    Aggregate::Max => Float::maximum(*score, weight),
                };
            }
        }
        for (target, score) in scores.iter_mut().enumerate() {
            if self.aggregate == Aggregate::Average {
                *score /= self.trees.roots.len() as f64;
            } else if self.aggregate != Aggregate::Sum && *score == start {
                // no tree has a weight for it
                *score = 0.0;
            }
            if let Some(base) = self.base.get(target) {
                *score += base;
            }
        }
    }
}

impl Operator for Ensemble {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = if self.own_type {
            inputs.of_types(0, &[DType::F32, DType::F64, DType::F16])?
        } else {
            inputs.of_types(0, READ)?
        };
        let (count, features) = rows(&x)?;
        if self.trees.features > features {
            return Err(OpError::Shape(format!(
                "the trees ask for feature {}; the input has {features}",
                self.trees.features - 1
            )));
        }
        let dtype = if self.own_type { x.dtype } else { DType::F32 };
        let scores = TensorType::new(dtype, vec![count, self.targets])?;
        Ok(match &self.classes {
            None => vec![scores],
            Some(_) => vec![TensorType::new(DType::I64, vec![count])?, scores],
        })
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let of_row = (self.targets as u64)
            .saturating_mul(PER_TRANSFORM)
            .saturating_add(self.trees.work_of_row());
        Work {
            arithmetic: (outputs[0].shape[0] as u64).saturating_mul(of_row),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (count, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        let scratch_bytes = 8 * (features + of.targets);
        Ok(kernel_with_scratch(scratch_bytes, move |io: &mut Io<'_, '_>| {
            let x = io.input(0);
            let (_, outputs, scratch) = io.split();
            let scratch: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..scratch_bytes]);
            let (row, scores) = scratch.split_at_mut(features);
            for index in 0..count {
                read(&x, index * features, row);
                of.scores(row, scores);
                let mut place = 0;
                if let Some(classes) = &of.classes {
                    let label = match classes.single {
                        Some(all_positive) => {
                            // one score of two classes, wherever the file keeps it
                            let score = scores.iter().sum::<f64>();
                            let pair = both_scores(score, all_positive, of.transform);
                            scores.copy_from_slice(&pair);
                            usize::from(score > if all_positive { 0.5 } else { 0.0 })
                        }
                        None => {
                            let label = greatest(scores);
                            of.transform.apply(scores);
                            label
                        }
                    };
                    if let Some(out) = outputs.first_mut().and_then(Option::as_mut) {
                        out.as_mut_slice::<i64>()[index] = classes.labels[label];
                    }
                    place = 1;
                } else {
                    of.transform.apply(scores);
                }
                let Some(out) = outputs.get_mut(place).and_then(Option::as_mut) else {
                    continue;
                };
                let range = index * of.targets..(index + 1) * of.targets;
                match out.dtype() {
                    DType::F64 => {
                        let out = &mut out.as_mut_slice::<f64>()[range];
                        out.iter_mut().zip(&*scores).for_each(|(y, x)| *y = x.canonical());
                    }
                    DType::F16 => {
                        let out = &mut out.as_mut_slice::<u16>()[range];
                        out.iter_mut()
                            .zip(&*scores)
                            .for_each(|(y, &x)| *y = f64_to_f16(x));
                    }
                    _ => {
                        let out = &mut out.as_mut_slice::<f32>()[range];
                        out.iter_mut().zip(&*scores).for_each(|(y, &x)| *y = store(x));
                    }
                }
            }
            Ok(())
        }))
    }
}
