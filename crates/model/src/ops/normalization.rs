//! BatchNormalization (versions 7 to 15), InstanceNormalization (6, 22) and LayerNormalization (17).
//!
//! Batch: fma(x - mean, scale / √(variance + epsilon), bias). Instance and layer: with the mean and the population variance of
//! the normalised elements, both summed in sixteen lanes, n = (x - mean) · (1 / √(variance + epsilon)), then
//! fma(n, scale, bias). A layer normalisation computes in `f32`, or in `f64` for `f64`, whatever `stash_type` says of its
//! two optional outputs.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    normalize_axis, streamed,
    window::image,
};
use synod_numerics::{fast, reference};

/// Multiply-add equivalents of normalising an element: sums, a difference, a scaling.
const PER_ELEMENT: u64 = 26;
/// Of a group's moments: two trees of lanes, a root, two quotients.
const PER_GROUP: u64 = 4_000;

/// `BatchNormalization`
pub(super) const BATCH_NORMALIZATION: Definition = Definition {
    name: "BatchNormalization",
    since: &[7, 9, 14, 15],
    inputs: 5..=5,
    outputs: 1..=3,
    parse: |node| {
        let epsilon = node.attributes.float("epsilon")?.unwrap_or(1e-5);
        let momentum = node.attributes.float("momentum")?.unwrap_or(0.9);
        if node.version < 9 && !node.attributes.flag("spatial", true)? {
            let expected = "1: statistics of channels";
            return Err(AttributeError::Value {
                name: "spatial",
                value: "0".into(),
                expected,
            }
            .into());
        }
        let training = node.version >= 14 && node.attributes.flag("training_mode", false)?;
        if !training && node.outputs.iter().skip(1).any(|wanted| *wanted) {
            return Err(OpError::OutputCount {
                got: node.outputs.len(),
                min: 1,
                max: 1,
            });
        }
        Ok(Box::new(BatchNormalization {
            epsilon,
            momentum,
            training,
        }))
    },
};

#[derive(Debug, Clone)]
struct BatchNormalization {
    epsilon: f32,
    momentum: f32,
    /// Normalise by the batch's own moments, and give the running ones.
    training: bool,
}

/// Channels of an input, and elements of each in one image. An input of one axis is a batch of one channel.
fn channels(shape: &[usize]) -> Result<(usize, usize), OpError> {
    match shape {
        [] => Err(OpError::Shape("a scalar has no channels".into())),
        [_] => Ok((1, 1)),
        [_, channels, space @ ..] => Ok((*channels, space.iter().product())),
    }
}

impl Operator for BatchNormalization {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let (channels, _) = channels(x.shape)?;
        for index in 1..5 {
            let of_channels = inputs.of_types(index, FLOATS)?;
            if of_channels.shape != [channels] {
                return Err(OpError::Shape(format!(
                    "input {index} has the shape {:?}; {channels} channels need [{channels}]",
                    of_channels.shape
                )));
            }
        }
        let running = |index| inputs.required(index).map(|operand| operand.tensor_type());
        Ok(vec![x.tensor_type(), running(3)?, running(4)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = outputs[0].elements() as u64;
        let runs = channels(&outputs[0].shape).map_or(0, |(_, size)| elements / size.max(1) as u64);
        let per_element = if self.training { 20 * PER_ELEMENT } else { 8 };
        Work {
            arithmetic: elements
                .saturating_mul(per_element)
                .saturating_add(runs.saturating_mul(1_000)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (channels, size) = channels(&outputs[0].shape)?;
        Ok(on_floats(
            &Batch {
                attributes: self.clone(),
                channels,
                size,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Batch {
    attributes: BatchNormalization,
    channels: usize,
    size: usize,
}

impl FloatOperation for Batch {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Batch {
    fn scratch(&self) -> usize {
        if self.attributes.training {
            2 * self.channels
        } else {
            0
        }
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let [x, scale, bias, mean, variance] = std::array::from_fn(|index| required(inputs, index));
        let epsilon = T::from_f32(self.attributes.epsilon);
        let (of_batch, _) = scratch.split_at_mut(FloatKernel::<T>::scratch(self));
        let (batch_mean, batch_variance) = of_batch.split_at_mut(of_batch.len() / 2);
        let (mean, variance) = if self.attributes.training {
            reference::batch_moments(x, self.channels, self.size, batch_mean, batch_variance);
            // running = running · momentum + batch · (1 − momentum), each step rounded
            let momentum = T::from_f32(self.attributes.momentum);
            let rest = T::ONE - momentum;
            let blend = |running: &[T], batch: &[T], out: &mut [T]| {
                for ((out, &running), &batch) in out.iter_mut().zip(running).zip(batch) {
                    *out = (running * momentum + batch * rest).canonical();
                }
            };
            if let [_, running_mean, running_variance] = outputs {
                blend(mean, batch_mean, running_mean);
                blend(variance, batch_variance, running_variance);
            }
            (&*batch_mean, &*batch_variance)
        } else {
            (mean, variance)
        };
        match path {
            Path::Fast => fast::batch_norm(x, self.size, scale, bias, mean, variance, epsilon, outputs[0]),
            Path::Reference => {
                reference::batch_norm(x, self.size, scale, bias, mean, variance, epsilon, outputs[0])
            }
        }
    }
}

/// `InstanceNormalization`
pub(super) const INSTANCE_NORMALIZATION: Definition = Definition {
    name: "InstanceNormalization",
    since: &[6, 22],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(InstanceNormalization {
            epsilon: node.attributes.float("epsilon")?.unwrap_or(1e-5),
        }))
    },
};

#[derive(Debug)]
struct InstanceNormalization {
    epsilon: f32,
}

impl Operator for InstanceNormalization {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let (_, channels, _) = image(x.shape)?;
        for index in 1..3 {
            let of_channels = inputs.like(index, x.dtype)?;
            if of_channels.shape != [channels] {
                return Err(OpError::Shape(format!(
                    "input {index} has the shape {:?}; {channels} channels need [{channels}]",
                    of_channels.shape
                )));
            }
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = outputs[0].elements() as u64;
        let groups = image(&outputs[0].shape).map_or(0, |(batch, channels, _)| (batch * channels) as u64);
        Work {
            arithmetic: elements
                .saturating_mul(PER_ELEMENT)
                .saturating_add(groups.saturating_mul(PER_GROUP)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, _, space) = image(&outputs[0].shape)?;
        Ok(on_floats(
            &Instance {
                epsilon: self.epsilon,
                size: space.iter().product(),
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Instance {
    epsilon: f32,
    size: usize,
}

impl FloatOperation for Instance {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Instance {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let [x, scale, bias] = std::array::from_fn(|index| required(inputs, index));
        let epsilon = T::from_f32(self.epsilon);
        match path {
            Path::Fast => fast::instance_norm(x, self.size, scale, bias, epsilon, outputs[0]),
            Path::Reference => reference::instance_norm(x, self.size, scale, bias, epsilon, outputs[0]),
        }
    }
}

/// `LayerNormalization`
pub(super) const LAYER_NORMALIZATION: Definition = Definition {
    name: "LayerNormalization",
    since: &[17],
    inputs: 2..=3,
    outputs: 1..=3,
    parse: |node| {
        let stash_type = node.attributes.int("stash_type")?.unwrap_or(1);
        if stash_type != 1 {
            let (value, expected) = (stash_type.to_string(), "1 (f32)");
            return Err(AttributeError::Value {
                name: "stash_type",
                value,
                expected,
            }
            .into());
        }
        Ok(Box::new(LayerNormalization {
            axis: node.attributes.int("axis")?.unwrap_or(-1),
            epsilon: node.attributes.float("epsilon")?.unwrap_or(1e-5),
        }))
    },
};

#[derive(Debug)]
struct LayerNormalization {
    axis: i64,
    epsilon: f32,
}

impl Operator for LayerNormalization {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let axis = normalize_axis(self.axis, x.shape.len())?;
        let normalized = &x.shape[axis..];
        for index in 1..inputs.len() {
            if inputs.optional(index).is_none() && index == 2 {
                continue;
            }
            let operand = inputs.like(index, x.dtype)?;
            // leading dimensions of 1 change nothing
            let ones = operand.shape.len().saturating_sub(normalized.len());
            if operand.shape[ones..] != *normalized || operand.shape[..ones].iter().any(|&dim| dim != 1) {
                return Err(OpError::Shape(format!(
                    "input {index} has the shape {:?}; the normalised dimensions are {normalized:?}",
                    operand.shape
                )));
            }
        }
        let mut moments = x.shape[..axis].to_vec();
        moments.resize(x.shape.len(), 1);
        let moments = TensorType::new(DType::F32, moments)?;
        Ok(vec![x.tensor_type(), moments.clone(), moments])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, groups) = (outputs[0].elements() as u64, outputs[1].elements() as u64);
        Work {
            arithmetic: elements
                .saturating_mul(PER_ELEMENT)
                .saturating_add(groups.saturating_mul(PER_GROUP)),
            bytes: streamed(inputs, &outputs[..1]),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(
            &Layer {
                epsilon: self.epsilon,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Layer {
    epsilon: f32,
}

impl FloatOperation for Layer {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Layer {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, scale) = (required(inputs, 0), required(inputs, 1));
        let bias = inputs.get(2).copied().flatten();
        let epsilon = T::from_f32(self.epsilon);
        let [y, means, deviations] = outputs else {
            unreachable!("inference gives three outputs")
        };
        match path {
            Path::Fast => fast::layer_norm(x, scale, bias, epsilon, y, [means, deviations]),
            Path::Reference => {
                let (mut means, mut deviations) = (means.iter_mut(), deviations.iter_mut());
                let report = |row: reference::Moments<T>| {
                    if let Some(mean) = means.next() {
                        *mean = row.mean;
                    }
                    if let Some(deviation) = deviations.next() {
                        *deviation = row.inverse_deviation;
                    }
                };
                reference::layer_norm(x, scale, bias, epsilon, y, report);
            }
        }
    }
}
