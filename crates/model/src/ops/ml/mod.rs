//! Operators of the domain `ai.onnx.ml`: classical models as scikit-learn and its exporters write them.
//!
//! **All arithmetic here is in f64**, whatever the types: numbers are loaded to it (an i64 rounds), each formula is computed in
//! its operations, and results round once, where they are stored. These operators are small next to networks, and an
//! ensemble's sum of many small weights should not depend on luck. Both arithmetics run the same code, except products.
//!
//! Strings are no element type of the profile: operators that would give them are refused.

mod features;
mod label_encoder;
mod linear;
mod svm;
mod tree;
mod tree_attributes;

use super::{AttributeError, DType, Definition, NodeSpec, OpError, Operand};
use crate::tensor::TensorView;
use synod_numerics::{
    float::Float,
    half::{bf16_to_f32, f16_to_f32},
};

/// Every operator of the domain, sorted by name.
pub(super) static OPERATORS: &[&Definition] = &[
    &features::ARRAY_FEATURE_EXTRACTOR,
    &features::BINARIZER,
    &features::FEATURE_VECTORIZER,
    &features::IMPUTER,
    &label_encoder::LABEL_ENCODER,
    &linear::LINEAR_CLASSIFIER,
    &linear::LINEAR_REGRESSOR,
    &features::NORMALIZER,
    &features::ONE_HOT_ENCODER,
    &svm::SVM_CLASSIFIER,
    &svm::SVM_REGRESSOR,
    &features::SCALER,
    &tree::TREE_ENSEMBLE,
    &tree::TREE_ENSEMBLE_CLASSIFIER,
    &tree::TREE_ENSEMBLE_REGRESSOR,
];

/// What the operators read.
const READ: &[DType] = &[DType::F32, DType::F64, DType::I64, DType::I32];

/// Multiply-add equivalents of one operation on f64 in scalar code.
const PER_OPERATION: u64 = 56;
/// Of a post-transform of a score.
const PER_TRANSFORM: u64 = 3_000;
/// Of a row.
const PER_ROW: u64 = 2_000;

/// Numbers from `start` as f64.
fn read(view: &TensorView<'_>, start: usize, out: &mut [f64]) {
    fn each<A: Copy>(from: &[A], out: &mut [f64], convert: impl Fn(A) -> f64) {
        out.iter_mut().zip(from).for_each(|(out, &x)| *out = convert(x));
    }
    match view.dtype() {
        DType::F64 => out.copy_from_slice(&view.as_slice::<f64>()[start..][..out.len()]),
        DType::F32 => each(&view.as_slice::<f32>()[start..], out, f64::from),
        DType::F16 => each(&view.as_slice::<u16>()[start..], out, |x| f16_to_f32(x).into()),
        DType::BF16 => each(&view.as_slice::<u16>()[start..], out, |x| bf16_to_f32(x).into()),
        DType::I64 => each(&view.as_slice::<i64>()[start..], out, |x| x as f64),
        _ => each(&view.as_slice::<i32>()[start..], out, f64::from),
    }
}

/// Rounded to f32, once.
fn store(x: f64) -> f32 {
    (x as f32).canonical()
}

/// Rows and features of an input: one of one dimension is a single row.
fn rows(x: &Operand<'_>) -> Result<(usize, usize), OpError> {
    match *x.shape {
        [features] => Ok((1, features)),
        [rows, features] => Ok((rows, features)),
        _ => Err(OpError::Shape(format!(
            "input of shape {:?}: one or two dimensions are needed",
            x.shape
        ))),
    }
}

fn wrong(name: &'static str, value: impl ToString, expected: &'static str) -> OpError {
    AttributeError::Value {
        name,
        value: value.to_string(),
        expected,
    }
    .into()
}

fn missing(name: &'static str) -> OpError {
    AttributeError::Missing { name }.into()
}

/// Floats of an attribute `name`, or of a tensor attribute that takes its place.
fn floats_or_tensor(
    node: &mut NodeSpec<'_>,
    name: &'static str,
    tensor: &'static str,
) -> Result<Option<Vec<f64>>, OpError> {
    let floats = node.attributes.floats(name)?;
    let tensor = node.attributes.tensor(tensor)?;
    Ok(match (floats, tensor) {
        (_, Some(tensor)) => {
            Some(tensor_floats(&tensor).ok_or_else(|| wrong(name, tensor.dtype(), "floats"))?)
        }
        (Some(floats), None) => Some(floats.into_iter().map(f64::from).collect()),
        (None, None) => None,
    })
}

fn tensor_floats(tensor: &crate::Tensor) -> Option<Vec<f64>> {
    if !tensor.dtype().is_float() {
        return None;
    }
    let mut out = vec![0.0; tensor.elements()];
    read(&tensor.view(), 0, &mut out);
    Some(out)
}

/// The classes of a classifier, which must be numbers.
fn class_labels(
    node: &mut NodeSpec<'_>,
    ints: &'static str,
    strings: &'static str,
) -> Result<Vec<i64>, OpError> {
    if node
        .attributes
        .strings(strings)?
        .is_some_and(|labels| !labels.is_empty())
    {
        return Err(wrong(
            strings,
            "a list of strings",
            "classes that are numbers, in the other attribute: train with numbers as labels, or drop the label output",
        ));
    }
    let labels = node.attributes.ints(ints)?.unwrap_or_default();
    if labels.is_empty() {
        Err(missing(ints))
    } else {
        Ok(labels)
    }
}

/// What becomes of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    None,
    Softmax,
    Logistic,
    SoftmaxZero,
    Probit,
}

impl Transform {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let name = node.attributes.string("post_transform")?;
        Ok(match name.as_deref() {
            None | Some("NONE") => Self::None,
            Some("SOFTMAX") => Self::Softmax,
            Some("LOGISTIC") => Self::Logistic,
            Some("SOFTMAX_ZERO") => Self::SoftmaxZero,
            Some("PROBIT") => Self::Probit,
            Some(other) => {
                return Err(wrong(
                    "post_transform",
                    other,
                    "NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO, PROBIT",
                ));
            }
        })
    }

    /// Scores of a row, in place. Sums run in ascending order.
    fn apply(self, scores: &mut [f64]) {
        match self {
            Self::None => {}
            Self::Logistic => scores.iter_mut().for_each(|x| *x = x.sigmoid()),
            Self::Probit => scores.iter_mut().for_each(|x| *x = probit(*x)),
            Self::Softmax | Self::SoftmaxZero => {
                let max = scores
                    .iter()
                    .fold(f64::NEG_INFINITY, |max, &x| Float::maximum(max, x));
                let at_zero = Float::exp(-max);
                let mut sum = 0.0;
                for x in scores.iter_mut() {
                    // what is as good as zero stays so
                    *x = if self == Self::SoftmaxZero && Float::abs(*x) <= 1e-7 {
                        *x * at_zero
                    } else {
                        Float::exp(*x - max)
                    };
                    sum += *x;
                }
                scores.iter_mut().for_each(|x| *x /= sum);
            }
        }
    }
}

/// √2 × erf⁻¹(2x − 1), by Winitzki's approximation, which other runtimes use.
fn probit(x: f64) -> f64 {
    let y = 2.0 * x - 1.0;
    let log = Float::log((1.0 - y) * (1.0 + y));
    let v = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let root = Float::sqrt(Float::sqrt(v * v - log / 0.147) - v);
    std::f64::consts::SQRT_2 * if y < 0.0 { -root } else { root }
}

/// The index of the greatest score, the first of several; a NaN counts as the greatest.
fn greatest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (index, &score) in scores.iter().enumerate() {
        if scores[best].is_nan() {
            break;
        }
        if score > scores[best] || score.is_nan() {
            best = index;
        }
    }
    best
}

/// Scores of two classes from the only one there is, which speaks for the second: of trees whose weights are `all_positive` or not.
fn both_scores(score: f64, all_positive: bool, transform: Transform) -> [f64; 2] {
    match transform {
        Transform::Probit => [probit(score); 2],
        _ if all_positive => [1.0 - score, score],
        Transform::Logistic => [Float::sigmoid(-score), Float::sigmoid(score)],
        _ => [-score, score],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms() {
        let of = |transform: Transform, scores: &[f64]| {
            let mut scores = scores.to_vec();
            transform.apply(&mut scores);
            scores
        };
        assert_eq!(of(Transform::Softmax, &[1.0, 1.0]), [0.5, 0.5]);
        assert_eq!(of(Transform::Logistic, &[0.0]), [0.5]);
        assert_eq!(of(Transform::SoftmaxZero, &[0.0, 5.0]), [0.0, 1.0]);
        assert!((of(Transform::Probit, &[0.975])[0] - 1.96).abs() < 0.01);
        assert!(
            of(Transform::Softmax, &[f64::NAN, 1.0])
                .iter()
                .all(|x| x.is_nan())
        );
    }

    #[test]
    fn the_first_greatest_wins() {
        assert_eq!(greatest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(greatest(&[f64::NEG_INFINITY, f64::NEG_INFINITY]), 0);
        assert_eq!(greatest(&[1.0, f64::NAN, 3.0]), 1);
    }
}
