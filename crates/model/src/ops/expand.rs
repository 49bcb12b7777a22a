//! Expand and Tile: repeat a tensor's elements.
//!
//! - `Expand` (versions 8 and 13): NumPy's broadcasting of the input with a shape.
//! - `Tile` (versions 6 and 13): the whole input side by side, `repeats` times along each axis.

use super::{
    Definition, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::{Strided, signed_strides},
};
use crate::shape::{broadcast, broadcast_strides, shape_from_i64s};

/// `Expand`
pub(super) const EXPAND: Definition = Definition {
    name: "Expand",
    since: &[8, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Expand)),
};

/// `Tile`
pub(super) const TILE: Definition = Definition {
    name: "Tile",
    since: &[6, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(Tile)),
};

#[derive(Debug)]
struct Expand;

impl Operator for Expand {
    fn copies_bits(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let wanted = shape_from_i64s(&inputs.known_i64s(1)?)?;
        let shape = broadcast(&[data.shape, &wanted])
            .ok_or_else(|| OpError::Shape(format!("{:?} does not broadcast with {wanted:?}", data.shape)))?;
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 4)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let data = inputs.required(0)?;
        let shape = &outputs[0].shape;
        let strides = broadcast_strides(data.shape, shape)
            .into_iter()
            .map(|stride| stride as isize)
            .collect();
        Ok(Strided::new(shape, strides, 0).into_kernel(data.dtype.size()))
    }
}

#[derive(Debug)]
struct Tile;

impl Operator for Tile {
    fn copies_bits(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.required(0)?;
        let repeats = shape_from_i64s(&inputs.known_i64s(1)?)?;
        if repeats.len() != data.shape.len() {
            return Err(OpError::Shape(format!(
                "{repeats:?} repeats do not fit the shape {:?}",
                data.shape
            )));
        }
        let shape = data
            .shape
            .iter()
            .zip(&repeats)
            .map(|(size, repeat)| size.saturating_mul(*repeat))
            .collect();
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::elementwise(inputs, outputs, 4)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        // Each axis as two: the repetitions, which stand still in the input, and the axis itself.
        let data = inputs.required(0)?;
        let (mut shape, mut strides) = (Vec::new(), Vec::new());
        for ((&size, &tiled), stride) in data
            .shape
            .iter()
            .zip(&outputs[0].shape)
            .zip(signed_strides(data.shape))
        {
            shape.extend([tiled.checked_div(size).unwrap_or(0), size]);
            strides.extend([0, stride]);
        }
        Ok(Strided::new(&shape, strides, 0).into_kernel(data.dtype.size()))
    }
}
