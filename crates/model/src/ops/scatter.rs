//! ScatterElements (versions 11, 13, 16, 18), its forerunner Scatter (9), and ScatterND (11, 13, 16, 18): a copy of the data with
//! updates written, or reduced, into the places that indices name.
//!
//! Updates are taken in row-major order: of several for one place the last stays, and a reduction takes them one after
//! another, rounding each time to the element's type. An index out of range stops the run.

use super::{
    AttributeError, DType, Definition, INDICES, Inputs, Io, Kernel, NUMBERS, NodeSpec, OpError, Operator,
    TensorType, Work,
    data::by_size,
    elementwise::{FloatFormat, with_float_format, with_integer},
    gather_elements::{PER_INDEX, Slices, check_shapes, each_place},
    indices::{from_front, number},
    kernel, normalize_axis, streamed,
};
use crate::{
    shape::strides,
    tensor::{Element, TensorViewMut},
};
use synod_numerics::{float::Float, integer::Integer};

/// `ScatterElements`
pub(super) const SCATTER_ELEMENTS: Definition = Definition {
    name: "ScatterElements",
    since: &[11, 13, 16, 18],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(0);
        Ok(Box::new(Scatter {
            places: Places::Elements { axis },
            reduction: Reduction::parse(node)?,
        }))
    },
};

/// `Scatter`
pub(super) const SCATTER: Definition = Definition {
    name: "Scatter",
    since: &[9],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(0);
        Ok(Box::new(Scatter {
            places: Places::Elements { axis },
            reduction: Reduction::None,
        }))
    },
};

/// `ScatterND`
pub(super) const SCATTER_ND: Definition = Definition {
    name: "ScatterND",
    since: &[11, 13, 16, 18],
    inputs: 3..=3,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Scatter {
            places: Places::Slices,
            reduction: Reduction::parse(node)?,
        }))
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        if node.version < 16 {
            return Ok(Self::None);
        }
        match node.attributes.string("reduction")?.as_deref() {
            None | Some("none") => Ok(Self::None),
            Some("add") => Ok(Self::Add),
            Some("mul") => Ok(Self::Mul),
            Some("max") if node.version >= 18 => Ok(Self::Max),
            Some("min") if node.version >= 18 => Ok(Self::Min),
            Some(other) => Err(AttributeError::Value {
                name: "reduction",
                value: other.to_owned(),
                expected: "none, add, mul, and from opset 18 max, min",
            }
            .into()),
        }
    }

    #[inline(always)]
    fn float<T: Float>(self, old: T, new: T) -> T {
        match self {
            Self::None => new,
            Self::Add => (old + new).canonical(),
            Self::Mul => (old * new).canonical(),
            Self::Max => old.maximum(new),
            Self::Min => old.minimum(new),
        }
    }

    #[inline(always)]
    fn integer<T: Integer>(self, old: T, new: T) -> T {
        match self {
            Self::None => new,
            Self::Add => old.add(new),
            Self::Mul => old.mul(new),
            Self::Max => old.max(new),
            Self::Min => old.min(new),
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Places {
    /// One index for each update, along an axis.
    Elements { axis: i64 },
    /// A row of indices for each slice of updates.
    Slices,
}

#[derive(Debug, Clone, Copy)]
struct Scatter {
    places: Places,
    reduction: Reduction,
}

/// [`Places`] for concrete shapes.
#[derive(Debug, Clone)]
enum Target {
    Elements {
        axis: usize,
        length: usize,
        steps: Vec<usize>,
        shape: Vec<usize>,
    },
    Slices(Slices),
}

impl Target {
    fn new(places: Places, inputs: &Inputs<'_>) -> Result<Self, OpError> {
        let (data, updates) = (inputs.required(0)?, inputs.required(2)?);
        let refuse = |indices: &[usize]| {
            OpError::Shape(format!(
                "updates of shape {:?} do not fit indices of shape {indices:?} into {:?}",
                updates.shape, data.shape
            ))
        };
        match places {
            Places::Elements { axis } => {
                let indices = inputs.of_types(1, INDICES)?.shape;
                let axis = normalize_axis(axis, data.shape.len())?;
                check_shapes(data.shape, indices, axis)?;
                if updates.shape != indices {
                    return Err(refuse(indices));
                }
                let (steps, shape) = (strides(data.shape), indices.to_vec());
                Ok(Self::Elements {
                    axis,
                    length: data.shape[axis],
                    steps,
                    shape,
                })
            }
            Places::Slices => {
                let indices = inputs.of_types(1, &[DType::I64])?.shape;
                let slices = Slices::new(data.shape, indices, 0)?;
                let expected = [&indices[..indices.len() - 1], &data.shape[slices.named.len()..]].concat();
                if updates.shape != expected {
                    return Err(refuse(indices));
                }
                Ok(Self::Slices(slices))
            }
        }
    }

    /// out = data, then reduce(out, updates) wherever an index points.
    fn run<W: bytemuck::Pod>(&self, io: &mut Io<'_, '_>, reduce: impl Fn(W, W) -> W) -> Result<(), OpError> {
        let (data, indices) = (io.input(0).bytes(), io.input(1));
        let updates: &[W] = bytemuck::cast_slice(io.input(2).bytes());
        let Some(out) = io.output(0).map(TensorViewMut::bytes_mut) else {
            return Ok(());
        };
        out.copy_from_slice(data);
        let out: &mut [W] = bytemuck::cast_slice_mut(out);
        match self {
            Self::Slices(slices) => slices.each(&indices, |row, at| {
                let updates = &updates[row * slices.slice..][..slices.slice];
                for (y, &update) in out[at..at + slices.slice].iter_mut().zip(updates) {
                    *y = reduce(*y, update);
                }
            }),
            Self::Elements {
                axis,
                length,
                steps,
                shape,
            } => {
                let mut wrong = None;
                each_place(shape, |place, coordinates| {
                    match from_front(number(&indices, place), *length) {
                        Ok(index) => {
                            let at = |other: usize| if other == *axis { index } else { coordinates[other] };
                            let at: usize = (0..steps.len()).map(|other| at(other) * steps[other]).sum();
                            out[at] = reduce(out[at], updates[place]);
                        }
                        Err(error) => wrong = wrong.take().or(Some(error)),
                    }
                });
                wrong.map_or(Ok(()), Err)
            }
        }
    }
}

impl Operator for Scatter {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = match self.reduction {
            Reduction::None => inputs.required(0)?,
            _ => inputs.of_types(0, NUMBERS)?,
        };
        inputs.like(2, data.dtype)?;
        Target::new(self.places, inputs)?;
        Ok(vec![data.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = |index| {
            inputs
                .optional(index)
                .map_or(0, |operand| operand.elements() as u64)
        };
        Work {
            arithmetic: elements(1)
                .saturating_mul(PER_INDEX)
                .saturating_add(elements(2).saturating_mul(32)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn floats<F: FloatFormat, S>(target: Target, reduction: Reduction, _: S) -> Box<dyn Kernel> {
            kernel(move |io| {
                target.run::<F::Stored>(io, |old, new| {
                    F::store(reduction.float(F::load(old), F::load(new)))
                })
            })
        }
        fn integers<T: Integer + Element, S>(target: Target, reduction: Reduction, _: S) -> Box<dyn Kernel> {
            kernel(move |io| target.run::<T>(io, |old, new| reduction.integer(old, new)))
        }
        let (target, reduction, dtype) = (
            Target::new(self.places, inputs)?,
            self.reduction,
            outputs[0].dtype,
        );
        Ok(if reduction == Reduction::None {
            let size = dtype.size();
            kernel(move |io| by_size!(size, Word => target.run::<Word>(io, |_, new| new)))
        } else if dtype.is_float() {
            with_float_format!(dtype, floats(target, reduction, ()))
        } else {
            with_integer!(dtype, integers(target, reduction, ()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_have_the_profile_s_zeros_and_nans() {
        assert_eq!(Reduction::Max.float(0.0_f32, -0.0).to_bits(), 0);
        assert!(Reduction::Min.float(1.0_f32, f32::NAN).is_nan());
        assert_eq!(Reduction::Add.integer(255_u8, 2), 1);
        assert_eq!(Reduction::Mul.integer(-3_i8, 50), 106);
    }
}
