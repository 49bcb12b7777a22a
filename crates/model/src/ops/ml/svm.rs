//! SVMRegressor and SVMClassifier: sums of kernels of the input and support vectors. `ai.onnx.ml`, version 1.
//!
//! Chains run over features, then over support vectors, ascending, in f64. Kernels, with d the chain of products:
//! LINEAR d; POLY pow(gamma × d + coef0, degree); SIGMOID tanh(gamma × d + coef0); RBF exp(−gamma × the chain of squared
//! differences).
//!
//! A classifier asks of each two classes which it is, and the class with the most answers is the label. Probabilities of two
//! (Platt) become those of all by the second method of Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by
//! Pairwise Coupling" (2004), as libsvm has it.

use super::{
    PER_OPERATION, PER_ROW, PER_TRANSFORM, READ, Transform, class_labels, missing, probit, read, rows, store,
    wrong,
};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
    kernel_with_scratch, streamed,
};
use std::sync::Arc;
use synod_numerics::{float::Float, math};

/// `SVMRegressor`
pub(super) const SVM_REGRESSOR: Definition = Definition {
    name: "SVMRegressor",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let kernel = Similarity::parse(node)?;
        let coefficients = list(node, "coefficients")?;
        let vectors = list(node, "support_vectors")?;
        let supports = node.attributes.int("n_supports")?.unwrap_or(0);
        let rho = list(node, "rho")?
            .first()
            .copied()
            .ok_or_else(|| missing("rho"))?;
        let supports = usize::try_from(supports).map_err(|_| wrong("n_supports", supports, "0 or more"))?;
        let transform = Transform::parse(node)?;
        if !matches!(transform, Transform::None) {
            return Err(wrong("post_transform", format!("{transform:?}"), "NONE"));
        }
        let fits = if supports == 0 {
            vectors.is_empty() && !coefficients.is_empty()
        } else {
            coefficients.len() == supports && vectors.len().is_multiple_of(supports)
        };
        if !fits {
            return Err(unfit(supports, &vectors, &coefficients));
        }
        let one_class = node.attributes.flag("one_class", false)?;
        Ok(Box::new(SvmRegressor {
            kernel,
            coefficients: coefficients.into(),
            vectors: vectors.into(),
            supports,
            rho,
            one_class,
        }))
    },
};

/// `SVMClassifier`
pub(super) const SVM_CLASSIFIER: Definition = Definition {
    name: "SVMClassifier",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=2,
    parse: |node| {
        let labels = class_labels(node, "classlabels_ints", "classlabels_strings")?;
        let kernel = Similarity::parse(node)?;
        let coefficients = list(node, "coefficients")?;
        let vectors = list(node, "support_vectors")?;
        let rho = list(node, "rho")?;
        let of_class = node.attributes.ints("vectors_per_class")?.unwrap_or_default();
        let platt = (list(node, "prob_a")?, list(node, "prob_b")?);
        let transform = Transform::parse(node)?;
        let classes = labels.len();
        if classes < 2 || of_class.len() != classes {
            return Err(wrong(
                "vectors_per_class",
                format!("{} numbers for {classes} classes", of_class.len()),
                "one number for each of two classes or more",
            ));
        }
        let mut starts = vec![0usize];
        for &count in &of_class {
            let end = usize::try_from(count)
                .ok()
                .and_then(|count| starts[starts.len() - 1].checked_add(count));
            starts.push(end.ok_or_else(|| wrong("vectors_per_class", count, "0 or more"))?);
        }
        let supports = starts[classes];
        let pairs = classes * (classes - 1) / 2;
        if supports == 0
            || !vectors.len().is_multiple_of(supports)
            || Some(coefficients.len()) != supports.checked_mul(classes - 1)
        {
            return Err(unfit(supports, &vectors, &coefficients));
        }
        for (name, list, most_or_none) in [
            ("rho", &rho, false),
            ("prob_a", &platt.0, true),
            ("prob_b", &platt.1, true),
        ] {
            if list.len() != pairs && !(most_or_none && platt.0.is_empty() && platt.1.is_empty()) {
                return Err(wrong(name, list.len(), "one number for each two classes"));
            }
        }
        let platt: Vec<(f64, f64)> = platt.0.into_iter().zip(platt.1).collect();
        Ok(Box::new(SvmClassifier {
            kernel,
            labels: labels.into(),
            coefficients: coefficients.into(),
            vectors: vectors.into(),
            starts: starts.into(),
            rho: rho.into(),
            platt: platt.into(),
            transform,
        }))
    },
};

/// Floats of an attribute, none if it is not there.
fn list(node: &mut NodeSpec<'_>, name: &'static str) -> Result<Vec<f64>, OpError> {
    let floats = node.attributes.floats(name)?.unwrap_or_default();
    Ok(floats.into_iter().map(f64::from).collect())
}

fn unfit(supports: usize, vectors: &[f64], coefficients: &[f64]) -> OpError {
    OpError::Shape(format!(
        "{supports} support vectors, {} of their elements and {} coefficients do not fit together",
        vectors.len(),
        coefficients.len()
    ))
}

/// How alike two vectors are.
#[derive(Debug, Clone, Copy)]
enum Similarity {
    Linear,
    Polynomial { gamma: f64, offset: f64, degree: f64 },
    Radial { gamma: f64 },
    Sigmoid { gamma: f64, offset: f64 },
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |chain, (&a, &b)| a.fma(b, chain))
}

impl Similarity {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let parameters = list(node, "kernel_params")?;
        let at = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
        let (gamma, offset, degree) = (at(0), at(1), at(2));
        let name = node.attributes.string("kernel_type")?;
        Ok(match name.as_deref() {
            None | Some("LINEAR") => Self::Linear,
            Some("POLY") => Self::Polynomial {
                gamma,
                offset,
                degree,
            },
            Some("RBF") => Self::Radial { gamma },
            Some("SIGMOID") => Self::Sigmoid { gamma, offset },
            Some(other) => return Err(wrong("kernel_type", other, "LINEAR, POLY, RBF, SIGMOID")),
        })
    }

    fn of(self, x: &[f64], vector: &[f64]) -> f64 {
        match self {
            Self::Linear => dot(x, vector),
            Self::Polynomial {
                gamma,
                offset,
                degree,
            } => math::pow(gamma * dot(x, vector) + offset, degree),
            Self::Sigmoid { gamma, offset } => Float::tanh(gamma * dot(x, vector) + offset),
            Self::Radial { gamma } => {
                let distance = x
                    .iter()
                    .zip(vector)
                    .fold(0.0, |chain: f64, (&a, &b)| (a - b).fma(a - b, chain));
                Float::exp(-gamma * distance)
            }
        }
    }
}

#[derive(Debug, Clone)]
struct SvmRegressor {
    kernel: Similarity,
    coefficients: Arc<[f64]>,
    vectors: Arc<[f64]>,
    supports: usize,
    rho: f64,
    one_class: bool,
}

impl SvmRegressor {
    fn features(&self) -> usize {
        // without support vectors the coefficients are those of the features
        self.vectors
            .len()
            .checked_div(self.supports)
            .unwrap_or(self.coefficients.len())
    }

    fn value(&self, x: &[f64]) -> f64 {
        let sum = if self.supports == 0 {
            dot(x, &self.coefficients)
        } else {
            let vectors = self.vectors.chunks_exact(self.features().max(1));
            vectors
                .zip(&*self.coefficients)
                .fold(0.0, |chain: f64, (vector, &weight)| {
                    weight.fma(self.kernel.of(x, vector), chain)
                })
        };
        let y = sum + self.rho;
        match self.one_class {
            false => y,
            true if y > 0.0 => 1.0,
            true => -1.0,
        }
    }
}

impl Operator for SvmRegressor {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (count, features) = rows(&inputs.of_types(0, READ)?)?;
        if features != self.features() {
            return Err(OpError::Shape(format!(
                "{features} features; the support vectors have {}",
                self.features()
            )));
        }
        Ok(vec![TensorType::new(DType::F32, vec![count, 1])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let terms =
            (self.coefficients.len().max(self.vectors.len()) as u64).saturating_mul(2 * PER_OPERATION);
        let of_row = terms
            .saturating_add((self.supports as u64).saturating_mul(PER_TRANSFORM))
            .saturating_add(PER_ROW);
        Work {
            arithmetic: (outputs[0].shape[0] as u64).saturating_mul(of_row),
            bytes: streamed(inputs, outputs).saturating_add(8 * self.vectors.len() as u64),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        Ok(kernel_with_scratch(8 * features, move |io: &mut Io<'_, '_>| {
            let x = io.input(0);
            let (_, outputs, scratch) = io.split();
            let row: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..8 * features]);
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            for (index, y) in out.as_mut_slice::<f32>().iter_mut().enumerate() {
                read(&x, index * features, row);
                *y = store(of.value(row));
            }
            Ok(())
        }))
    }
}

/// Passes of the coupling, at most.
const COUPLING_PASSES: usize = 100;

#[derive(Debug, Clone)]
struct SvmClassifier {
    kernel: Similarity,
    labels: Arc<[i64]>,
    /// A row for each class but one; the columns are support vectors.
    coefficients: Arc<[f64]>,
    vectors: Arc<[f64]>,
    /// Where the support vectors of each class begin, and the end.
    starts: Arc<[usize]>,
    rho: Arc<[f64]>,
    /// Slope and offset for each two classes, or none.
    platt: Arc<[(f64, f64)]>,
    transform: Transform,
}

impl SvmClassifier {
    fn classes(&self) -> usize {
        self.labels.len()
    }

    fn supports(&self) -> usize {
        self.starts[self.classes()]
    }

    fn features(&self) -> usize {
        self.vectors.len() / self.supports()
    }

    /// Every two classes, the smaller first.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let classes = self.classes();
        (0..classes).flat_map(move |i| (i + 1..classes).map(move |j| (i, j)))
    }

    fn has_probabilities(&self) -> bool {
        !self.platt.is_empty()
    }

    /// Scores that a row gives.
    fn given(&self) -> usize {
        match self.classes() {
            2 => 2,
            classes if self.has_probabilities() => classes,
            _ => self.rho.len(),
        }
    }

    /// Numbers that a row needs beside its features: kernels, scores, votes, and what the coupling works with.
    fn scratch(&self) -> usize {
        let classes = self.classes();
        let coupling = if self.has_probabilities() {
            classes * (2 * classes + 2)
        } else {
            0
        };
        self.supports() + self.scores() + classes + coupling
    }

    /// Room for the scores of every two classes, and for both where there are but two.
    fn scores(&self) -> usize {
        self.rho.len().max(2)
    }

    /// The score of two classes from the kernels of all support vectors: positive for the first.
    fn score(&self, pair: usize, (i, j): (usize, usize), kernels: &[f64]) -> f64 {
        let supports = self.supports();
        let part = |sum: f64, row: usize, class: usize| {
            let own = self.starts[class]..self.starts[class + 1];
            let weights = &self.coefficients[row * supports..][own.clone()];
            let terms = weights.iter().zip(&kernels[own]);
            terms.fold(sum, |chain, (&weight, &kernel)| weight.fma(kernel, chain))
        };
        part(part(0.0, j - 1, i), i, j) + self.rho[pair]
    }

    /// The label's place, and the scores of a row.
    fn classify<'s>(&self, x: &[f64], scratch: &'s mut [f64]) -> (usize, &'s [f64]) {
        let classes = self.classes();
        let (kernels, rest) = scratch.split_at_mut(self.supports());
        let (scores, rest) = rest.split_at_mut(self.scores());
        let (votes, coupling) = rest.split_at_mut(classes);
        let vectors = self.vectors.chunks_exact(self.features().max(1));
        for (kernel, vector) in kernels.iter_mut().zip(vectors) {
            *kernel = self.kernel.of(x, vector);
        }
        votes.fill(0.0);
        for (pair, (i, j)) in self.pairs().enumerate() {
            scores[pair] = self.score(pair, (i, j), kernels);
            votes[if scores[pair] > 0.0 { i } else { j }] += 1.0;
        }
        let label = super::greatest(votes);
        if self.has_probabilities() {
            let probabilities = self.couple(scores, coupling);
            self.transform.apply(probabilities);
            return (label, probabilities);
        }
        if classes == 2 {
            let score = scores[0];
            scores.copy_from_slice(&match self.transform {
                Transform::None => [-score, score],
                Transform::Probit => [probit(score); 2],
                _ => [1.0 - score, score],
            });
        } else {
            self.transform.apply(scores);
        }
        (label, scores)
    }

    /// Probabilities of all classes from the scores of each two.
    fn couple<'s>(&self, scores: &[f64], scratch: &'s mut [f64]) -> &'s mut [f64] {
        let classes = self.classes();
        let (of_two, rest) = scratch.split_at_mut(classes * classes);
        let (q, rest) = rest.split_at_mut(classes * classes);
        let (qp, p) = rest.split_at_mut(classes);
        for ((&score, &(slope, offset)), (i, j)) in scores.iter().zip(&*self.platt).zip(self.pairs()) {
            let probability = Float::sigmoid(-(slope * score + offset));
            let kept = Float::minimum(Float::maximum(probability, 1e-7), 1.0 - 1e-7);
            of_two[i * classes + j] = kept;
            of_two[j * classes + i] = 1.0 - kept;
        }
        for t in 0..classes {
            let others = (0..classes).filter(|&j| j != t);
            q[t * classes + t] = others.fold(0.0, |sum: f64, j| {
                of_two[j * classes + t].fma(of_two[j * classes + t], sum)
            });
            for j in (0..classes).filter(|&j| j != t) {
                q[t * classes + j] = -of_two[j * classes + t] * of_two[t * classes + j];
            }
        }
        p.fill(1.0 / classes as f64);
        for _ in 0..COUPLING_PASSES {
            for (product, row) in qp.iter_mut().zip(q.chunks_exact(classes)) {
                *product = dot(row, p);
            }
            let mut pqp = dot(p, qp);
            let error = qp.iter().fold(0.0, |most: f64, &product| {
                Float::maximum(most, Float::abs(product - pqp))
            });
            if error < 0.005 / classes as f64 {
                break;
            }
            for t in 0..classes {
                let row = &q[t * classes..][..classes];
                let step = (pqp - qp[t]) / row[t];
                let grown = 1.0 + step;
                p[t] += step;
                pqp = (pqp + step * (step * row[t] + 2.0 * qp[t])) / grown / grown;
                for ((product, p), &q) in qp.iter_mut().zip(p.iter_mut()).zip(row) {
                    *product = (*product + step * q) / grown;
                    *p /= grown;
                }
            }
        }
        p
    }
}

impl Operator for SvmClassifier {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (count, features) = rows(&inputs.of_types(0, READ)?)?;
        if features != self.features() {
            return Err(OpError::Shape(format!(
                "{features} features; the support vectors have {}",
                self.features()
            )));
        }
        Ok(vec![
            TensorType::new(DType::I64, vec![count])?,
            TensorType::new(DType::F32, vec![count, self.given()])?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let classes = self.classes() as u64;
        let passes = if self.has_probabilities() {
            (COUPLING_PASSES as u64)
                .saturating_mul(classes.saturating_mul(classes))
                .saturating_mul(PER_OPERATION)
        } else {
            0
        };
        let transforms = (self.supports() + self.rho.len() + self.given()) as u64;
        let of_row = (self.vectors.len() as u64)
            .saturating_mul(2 * PER_OPERATION)
            .saturating_add((self.coefficients.len() as u64).saturating_mul(PER_OPERATION))
            .saturating_add(transforms.saturating_mul(PER_TRANSFORM))
            .saturating_add(passes)
            .saturating_add(PER_ROW);
        Work {
            arithmetic: (outputs[0].shape[0] as u64).saturating_mul(of_row),
            bytes: streamed(inputs, outputs)
                .saturating_add(8 * (self.vectors.len() + self.coefficients.len()) as u64),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (count, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        let numbers = features + of.scratch();
        Ok(kernel_with_scratch(8 * numbers, move |io: &mut Io<'_, '_>| {
            let x = io.input(0);
            let (_, outputs, scratch) = io.split();
            let scratch: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..8 * numbers]);
            let (row, scratch) = scratch.split_at_mut(features);
            for index in 0..count {
                read(&x, index * features, row);
                let (label, scores) = of.classify(row, scratch);
                if let Some(out) = outputs.first_mut().and_then(Option::as_mut) {
                    out.as_mut_slice::<i64>()[index] = of.labels[label];
                }
                if let Some(out) = outputs.get_mut(1).and_then(Option::as_mut) {
                    let out = &mut out.as_mut_slice::<f32>()[index * scores.len()..][..scores.len()];
                    out.iter_mut().zip(scores).for_each(|(y, &x)| *y = store(x));
                }
            }
            Ok(())
        }))
    }
}
