//! Losses, forward only: NegativeLogLikelihoodLoss (versions 12, 13, 22), SoftmaxCrossEntropyLoss (12, 13).
//!
//! The loss of a sample is the negated log-probability of its class, times the class's weight; of a sample whose class is
//! `ignore_index` it is 0. `mean` divides the sum of all by the sum of their weights, or without weights by the number of
//! samples that are not ignored. 16-bit floats compute in `f32` throughout. The cross entropy takes the log-probabilities as
//! LogSoftmax does; its second output is all of them.

use super::{
    AttributeError, DType, Definition, FLOATS, INDICES, Inputs, Io, Kernel, NodeSpec, OpError, Operator,
    TensorType, Work,
    elementwise::{FloatFormat, with_float_format},
    kernel,
};
use crate::{
    shape::element_count,
    tensor::{TensorView, TensorViewMut},
};
use synod_numerics::{float::Float, reference::sum_in_lanes};

/// `NegativeLogLikelihoodLoss`
pub(super) const NEGATIVE_LOG_LIKELIHOOD_LOSS: Definition = Definition {
    name: "NegativeLogLikelihoodLoss",
    since: &[12, 13, 22],
    inputs: 2..=3,
    outputs: 1..=1,
    parse: |node| Loss::parse(node, false),
};

/// `SoftmaxCrossEntropyLoss`
pub(super) const SOFTMAX_CROSS_ENTROPY_LOSS: Definition = Definition {
    name: "SoftmaxCrossEntropyLoss",
    since: &[12, 13],
    inputs: 2..=3,
    outputs: 1..=2,
    parse: |node| Loss::parse(node, true),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Sum,
    Mean,
}

#[derive(Debug, Clone, Copy)]
struct Loss {
    /// The scores are not log-probabilities yet.
    softmax: bool,
    reduction: Reduction,
    ignored: Option<i64>,
}

/// Images, classes, and positions of an image.
type Dims = [usize; 3];

impl Loss {
    fn parse(node: &mut NodeSpec<'_>, softmax: bool) -> Result<Box<dyn Operator>, OpError> {
        let reduction = match node.attributes.string("reduction")?.as_deref() {
            None | Some("mean") => Reduction::Mean,
            Some("sum") => Reduction::Sum,
            Some("none") => Reduction::None,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "reduction",
                    value: other.to_owned(),
                    expected: "none, sum, mean",
                }
                .into());
            }
        };
        let ignored = node.attributes.int("ignore_index")?;
        Ok(Box::new(Loss {
            softmax,
            reduction,
            ignored,
        }))
    }

    fn dims(inputs: &Inputs<'_>) -> Result<Dims, OpError> {
        let (x, target) = (inputs.of_types(0, FLOATS)?, inputs.of_types(1, INDICES)?);
        if x.shape.len() < 2 || target.shape.len() + 1 != x.shape.len() {
            return Err(OpError::Shape(format!(
                "classes of shape {:?} do not fit scores of shape {:?}: [N, …] and [N, C, …]",
                target.shape, x.shape
            )));
        }
        if target.shape[0] != x.shape[0] || target.shape[1..] != x.shape[2..] {
            return Err(OpError::Shape(format!(
                "classes of shape {:?} do not fit scores of shape {:?}: [N, …] and [N, C, …]",
                target.shape, x.shape
            )));
        }
        if inputs.optional(2).is_some() && inputs.like(2, x.dtype)?.shape != [x.shape[1]] {
            return Err(OpError::Shape(format!(
                "weights of shape {:?} do not fit {} classes",
                inputs.required(2)?.shape,
                x.shape[1]
            )));
        }
        Ok([x.shape[0], x.shape[1], element_count(&x.shape[2..])])
    }

    fn run<F: FloatFormat>(
        &self,
        [images, classes, positions]: Dims,
        io: &mut Io<'_, '_>,
    ) -> Result<(), OpError> {
        let (x, target) = (io.input(0).as_slice::<F::Stored>(), io.input(1));
        let weights = io
            .optional_input(2)
            .map(|weights| weights.as_slice::<F::Stored>());
        let (_, outputs, _) = io.split();
        let (first, rest) = outputs.split_at_mut(1);
        let mut log_probabilities = rest
            .first_mut()
            .and_then(Option::as_mut)
            .map(|output| output.as_mut_slice::<F::Stored>());
        let (mut wrong, mut counted) = (None, 0);
        let (zero, one) = (F::Value::ZERO, F::Value::ONE);
        // loss and weight of a sample
        let mut sample = |number: usize| -> (F::Value, F::Value) {
            let (image, position) = (number / positions, number % positions);
            let at = |class: usize| (image * classes + class) * positions + position;
            let shift = self.softmax.then(|| {
                let column = || (0..classes).map(|class| F::load(x[at(class)]));
                let top = column().fold(-F::Value::INFINITY, F::Value::maximum);
                (top, sum_in_lanes(column().map(|x| (x - top).exp())).log())
            });
            let log_probability = |class: usize| {
                let x = F::load(x[at(class)]);
                shift.map_or(x, |(top, log)| (x - top) - log)
            };
            if let Some(log_probabilities) = &mut log_probabilities {
                for class in 0..classes {
                    log_probabilities[at(class)] = F::store(log_probability(class).canonical());
                }
            }
            let class = index(&target, number);
            if self.ignored == Some(class) {
                return (zero, zero);
            }
            let Some(class) = usize::try_from(class).ok().filter(|&class| class < classes) else {
                wrong = wrong.or(Some(class));
                return (zero, zero);
            };
            counted += 1;
            let loss = -log_probability(class);
            match weights {
                None => (loss, one),
                Some(weights) => {
                    let weight = F::load(weights[class]);
                    (loss * weight, weight)
                }
            }
        };
        let samples = images * positions;
        if self.reduction == Reduction::None {
            let mut out = first[0].as_mut().map(TensorViewMut::as_mut_slice::<F::Stored>);
            for number in 0..samples {
                let (loss, _) = sample(number);
                if let Some(out) = &mut out {
                    out[number] = F::store(loss.canonical());
                }
            }
        } else {
            let (mut total_weight, mut weight_lanes) = (zero, [zero; 16]);
            let sum = sum_in_lanes((0..samples).map(|number| {
                let (loss, weight) = sample(number);
                weight_lanes[number % 16] = weight_lanes[number % 16] + weight;
                loss
            }));
            if weights.is_some() {
                total_weight = synod_numerics::reference::tree(weight_lanes, |a, b| a + b);
            }
            let divisor = if weights.is_some() {
                total_weight
            } else {
                F::Value::from_count(counted)
            };
            let loss = if self.reduction == Reduction::Mean {
                sum / divisor
            } else {
                sum
            };
            if let Some(out) = &mut first[0] {
                out.as_mut_slice::<F::Stored>()[0] = F::store(loss.canonical());
            }
        }
        match wrong {
            None => Ok(()),
            Some(class) => Err(OpError::Value(format!("class {class} is not below {classes}"))),
        }
    }
}

fn index(indices: &TensorView<'_>, number: usize) -> i64 {
    match indices.dtype() {
        DType::I32 => indices.as_slice::<i32>()[number].into(),
        _ => indices.as_slice::<i64>()[number],
    }
}

impl Operator for Loss {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Self::dims(inputs)?;
        let (x, target) = (inputs.required(0)?, inputs.required(1)?);
        let shape = if self.reduction == Reduction::None {
            target.shape.to_vec()
        } else {
            vec![]
        };
        let mut outputs = vec![TensorType::new(x.dtype, shape)?];
        if self.softmax {
            outputs.push(x.tensor_type());
        }
        Ok(outputs)
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = |index| {
            inputs
                .optional(index)
                .map_or(0, |operand| operand.elements() as u64)
        };
        let (scores, samples) = (elements(0), elements(1));
        let per_score = if self.softmax { 1_200 } else { 0 };
        let arithmetic = scores
            .saturating_mul(per_score)
            .saturating_add(samples.saturating_mul(if self.softmax { 4_000 } else { 1_000 }))
            .saturating_add(4_000);
        Work {
            arithmetic,
            // without a softmax one score of each sample is read, which lies in a line of its own
            bytes: if self.softmax {
                super::streamed(inputs, outputs)
            } else {
                samples.saturating_mul(128)
            },
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn build<F: FloatFormat, S>(loss: Loss, dims: Dims, _: S) -> Box<dyn Kernel> {
            kernel(move |io| loss.run::<F>(dims, io))
        }
        let dims = Self::dims(inputs)?;
        Ok(with_float_format!(
            inputs.required(0)?.dtype,
            build(*self, dims, ())
        ))
    }
}
