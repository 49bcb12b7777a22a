//! RMSNormalization (version 23) and GroupNormalization (version 21).
//!
//! Root mean square: x · (1 / √(Σ fma(x, x) / n + epsilon)) · scale, the sum in lanes. Group: the moments of a layer
//! normalisation, over some channels side by side; scale and bias of each channel. `stash_type` must be f32: both compute in
//! `f32`, or in `f64` for `f64`.

use super::{
    AttributeError, Definition, FLOATS, Inputs, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    normalize_axis, streamed,
};
use synod_numerics::{fast, reference};

/// Multiply-add equivalents of normalising an element: sums, a difference, a scaling.
const PER_ELEMENT: u64 = 32;
/// Of a group's moments, and of each of its channels.
const PER_GROUP: u64 = 4_000;
const PER_CHANNEL: u64 = 1_000;

/// `RMSNormalization`
pub(super) const RMS_NORMALIZATION: Definition = Definition {
    name: "RMSNormalization",
    since: &[23],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        check_stash_type(node)?;
        Ok(Box::new(RootMeanSquare {
            axis: node.attributes.int("axis")?.unwrap_or(-1),
            epsilon: node.attributes.float("epsilon")?.unwrap_or(1e-5),
        }))
    },
};

/// `GroupNormalization`
pub(super) const GROUP_NORMALIZATION: Definition = Definition {
    name: "GroupNormalization",
    since: &[21],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        check_stash_type(node)?;
        let name = "num_groups";
        let groups = node
            .attributes
            .int(name)?
            .ok_or(AttributeError::Missing { name })?;
        let groups = usize::try_from(groups)
            .ok()
            .filter(|&groups| groups > 0)
            .ok_or_else(|| AttributeError::Value {
                name,
                value: groups.to_string(),
                expected: "at least 1",
            })?;
        Ok(Box::new(Group {
            groups,
            epsilon: node.attributes.float("epsilon")?.unwrap_or(1e-5),
        }))
    },
};

fn check_stash_type(node: &mut NodeSpec<'_>) -> Result<(), OpError> {
    match node.attributes.int("stash_type")?.unwrap_or(1) {
        1 => Ok(()),
        other => Err(AttributeError::Value {
            name: "stash_type",
            value: other.to_string(),
            expected: "1 (f32)",
        }
        .into()),
    }
}

#[derive(Debug, Clone)]
struct RootMeanSquare {
    axis: i64,
    epsilon: f32,
}

impl Operator for RootMeanSquare {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let axis = normalize_axis(self.axis, x.shape.len())?;
        let normalized = &x.shape[axis..];
        let scale = inputs.of_types(1, FLOATS)?;
        // leading dimensions of 1 change nothing
        let ones = scale.shape.len().saturating_sub(normalized.len());
        if scale.shape[ones..] != *normalized || scale.shape[..ones].iter().any(|&dim| dim != 1) {
            return Err(OpError::Shape(format!(
                "the scale has the shape {:?}; the normalised dimensions are {normalized:?}",
                scale.shape
            )));
        }
        // the result has the type of the scale (ONNX's V)
        Ok(vec![TensorType::new(scale.dtype, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = outputs[0].elements() as u64;
        let row = inputs.optional(1).map_or(1, |scale| scale.elements() as u64);
        Work {
            arithmetic: elements
                .saturating_mul(PER_ELEMENT)
                .saturating_add((elements / row.max(1)).saturating_mul(PER_GROUP)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(self, inputs, outputs))
    }
}

impl FloatOperation for RootMeanSquare {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for RootMeanSquare {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, scale) = (required(inputs, 0), required(inputs, 1));
        let epsilon = T::from_f32(self.epsilon);
        match path {
            Path::Fast => fast::rms_norm(x, scale, epsilon, outputs[0]),
            Path::Reference => reference::rms_norm(x, scale, epsilon, outputs[0]),
        }
    }
}

#[derive(Debug, Clone)]
struct Group {
    groups: usize,
    epsilon: f32,
}

impl Operator for Group {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        let &[_, channels, ..] = x.shape else {
            return Err(OpError::Shape(format!(
                "input of shape {:?} has no channels",
                x.shape
            )));
        };
        if !channels.is_multiple_of(self.groups) {
            return Err(OpError::Shape(format!(
                "{channels} channels do not divide into {} groups",
                self.groups
            )));
        }
        for index in 1..3 {
            if inputs.like(index, x.dtype)?.shape != [channels] {
                return Err(OpError::Shape(format!(
                    "input {index} needs the shape [{channels}]"
                )));
            }
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, shape) = (outputs[0].elements() as u64, &outputs[0].shape);
        let groups = (shape[0] * self.groups.min(shape[1])) as u64;
        Work {
            arithmetic: elements
                .saturating_mul(PER_ELEMENT)
                .saturating_add(groups.saturating_mul(PER_GROUP))
                .saturating_add(((shape[0] * shape[1]) as u64).saturating_mul(PER_CHANNEL)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = &outputs[0].shape;
        let sized = SizedGroup {
            epsilon: self.epsilon,
            size: shape[2..].iter().product(),
            of_group: shape[1] / self.groups,
        };
        Ok(on_floats(&sized, inputs, outputs))
    }
}

#[derive(Debug, Clone)]
struct SizedGroup {
    epsilon: f32,
    size: usize,
    of_group: usize,
}

impl FloatOperation for SizedGroup {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for SizedGroup {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let [x, scale, bias] = std::array::from_fn(|index| required(inputs, index));
        let (epsilon, out) = (T::from_f32(self.epsilon), &mut *outputs[0]);
        match path {
            Path::Fast => fast::group_norm(x, self.size, self.of_group, scale, bias, epsilon, out),
            Path::Reference => reference::group_norm(x, self.size, self.of_group, scale, bias, epsilon, out),
        }
    }
}
