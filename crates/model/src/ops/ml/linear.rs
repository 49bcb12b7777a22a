//! LinearRegressor and LinearClassifier. `ai.onnx.ml`, version 1.
//!
//! A score is one chain of fused multiply-adds over the features, ascending, in f64, plus the intercept.

use super::{
    PER_ROW, PER_TRANSFORM, READ, Transform, both_scores, class_labels, greatest, missing, read, rows, store,
    wrong,
};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    kernel_with_scratch, matmul::product_arithmetic, streamed,
};
use std::sync::Arc;
use synod_numerics::{fast::matrix::gemm_generic, reference, shape::Matrix};

/// `LinearRegressor`
pub(super) const LINEAR_REGRESSOR: Definition = Definition {
    name: "LinearRegressor",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let targets = node.attributes.int("targets")?.unwrap_or(1);
        let targets = usize::try_from(targets)
            .ok()
            .filter(|&targets| targets > 0)
            .ok_or_else(|| wrong("targets", targets, "at least 1"))?;
        Ok(Box::new(Linear::parse(node, targets, None)?))
    },
};

/// `LinearClassifier`
pub(super) const LINEAR_CLASSIFIER: Definition = Definition {
    name: "LinearClassifier",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=2,
    parse: |node| {
        let labels = class_labels(node, "classlabels_ints", "classlabels_strings")?;
        // 1 says that every class has scores of its own, which the coefficients say too
        node.attributes.flag("multi_class", false)?;
        let intercepts = node.attributes.floats("intercepts")?;
        let scores = match &intercepts {
            Some(intercepts) if !intercepts.is_empty() => intercepts.len(),
            _ => labels.len(),
        };
        if scores != labels.len() && (scores, labels.len()) != (1, 2) {
            return Err(wrong(
                "intercepts",
                scores,
                "one for each class, or one for two classes",
            ));
        }
        let mut linear = Linear::parse(node, scores, Some(labels))?;
        if let Some(intercepts) = intercepts.filter(|list| !list.is_empty()) {
            linear.intercepts = intercepts.into_iter().map(f64::from).collect();
        }
        Ok(Box::new(linear))
    },
};

#[derive(Debug, Clone)]
struct Linear {
    /// By features, so that scores lie side by side; shared by all plans.
    coefficients: Arc<[f64]>,
    intercepts: Arc<[f64]>,
    scores: usize,
    transform: Transform,
    /// Of a classifier.
    labels: Option<Arc<[i64]>>,
}

impl Linear {
    fn parse(node: &mut NodeSpec<'_>, scores: usize, labels: Option<Vec<i64>>) -> Result<Self, OpError> {
        let name = "coefficients";
        let coefficients = node.attributes.floats(name)?.ok_or_else(|| missing(name))?;
        let intercepts = node.attributes.floats("intercepts")?.unwrap_or_default();
        if !coefficients.len().is_multiple_of(scores) {
            return Err(wrong(name, coefficients.len(), "as many for each score"));
        }
        if !intercepts.is_empty() && intercepts.len() != scores {
            return Err(wrong("intercepts", intercepts.len(), "one for each target"));
        }
        let features = coefficients.len() / scores;
        let intercepts = if intercepts.is_empty() {
            vec![0.0; scores]
        } else {
            intercepts.into_iter().map(f64::from).collect()
        };
        Ok(Self {
            coefficients: (0..coefficients.len())
                .map(|i| coefficients[i % scores * features + i / scores].into())
                .collect(),
            intercepts: intercepts.into(),
            scores,
            transform: Transform::parse(node)?,
            labels: labels.map(Into::into),
        })
    }

    fn features(&self) -> usize {
        self.coefficients.len() / self.scores
    }

    /// Scores that a row gives.
    fn given(&self) -> usize {
        self.labels.as_ref().map_or(self.scores, |labels| labels.len())
    }
}

impl Operator for Linear {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, READ)?;
        let (count, features) = rows(&x)?;
        if features != self.features() {
            return Err(OpError::Shape(format!(
                "{features} features; {} coefficients for each score need as many",
                self.features()
            )));
        }
        let scores = TensorType::new(DType::F32, vec![count, self.given()])?;
        Ok(match &self.labels {
            None => vec![scores],
            Some(_) => vec![TensorType::new(DType::I64, vec![count])?, scores],
        })
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let count = outputs[0].shape[0];
        let of_row = (self.scores as u64)
            .saturating_mul(PER_TRANSFORM)
            .saturating_add(PER_ROW);
        Work {
            arithmetic: product_arithmetic(DType::F64, count, self.scores, self.features())
                .saturating_add((count as u64).saturating_mul(of_row)),
            bytes: streamed(inputs, outputs).saturating_add(8 * self.coefficients.len() as u64),
        }
    }

    fn multiply_adds(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        (outputs[0].shape[0] as u64).saturating_mul(self.coefficients.len() as u64)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (count, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        Ok(kernel_with_scratch(
            8 * (features + of.scores),
            move |io: &mut Io<'_, '_>| {
                let (path, x) = (io.path, io.input(0));
                let (_, outputs, scratch) = io.split();
                let scratch: &mut [f64] =
                    bytemuck::cast_slice_mut(&mut scratch[..8 * (features + of.scores)]);
                let (row, scores) = scratch.split_at_mut(features);
                for index in 0..count {
                    read(&x, index * features, row);
                    let (a, b) = (
                        Matrix::row_major(row, features),
                        Matrix::row_major(&of.coefficients, of.scores),
                    );
                    match path {
                        Path::Fast => gemm_generic(1, of.scores, features, a, b, scores),
                        Path::Reference => reference::gemm(1, of.scores, features, a, b, scores),
                    }
                    scores.iter_mut().zip(&*of.intercepts).for_each(|(x, b)| *x += b);
                    let pair;
                    let (label, given): (usize, &[f64]) = if of.given() > of.scores {
                        pair = match of.transform {
                            Transform::Logistic | Transform::Probit => {
                                both_scores(scores[0], false, of.transform)
                            }
                            _ => [1.0 - scores[0], scores[0]],
                        };
                        (usize::from(scores[0] > 0.0), &pair)
                    } else {
                        let label = greatest(scores);
                        of.transform.apply(scores);
                        (label, scores)
                    };
                    let place = match &of.labels {
                        None => 0,
                        Some(labels) => {
                            if let Some(out) = outputs.first_mut().and_then(Option::as_mut) {
                                out.as_mut_slice::<i64>()[index] = labels[label];
                            }
                            1
                        }
                    };
                    if let Some(out) = outputs.get_mut(place).and_then(Option::as_mut) {
                        let out = &mut out.as_mut_slice::<f32>()[index * given.len()..][..given.len()];
                        out.iter_mut().zip(given).for_each(|(y, &x)| *y = store(x));
                    }
                }
                Ok(())
            },
        ))
    }
}
