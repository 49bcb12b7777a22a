//! GatherElements (versions 11, 13): for each index the element that it names along an axis, all other coordinates being the
//! index's own. GatherND (11, 12, 13): for each row of indices the slice that it names.
//!
//! Indices count from either end; one out of range stops the run.

use super::{
    DType, Definition, INDICES, Inputs, Kernel, OpError, Operator, TensorType, Work,
    data::by_size,
    indices::{from_front, number},
    kernel, normalize_axis,
};
use crate::{
    shape::{element_count, strides},
    tensor::TensorViewMut,
};

/// Multiply-add equivalents of reading from a place that an index names.
pub(super) const PER_INDEX: u64 = 512;

/// `GatherElements`
pub(super) const GATHER_ELEMENTS: Definition = Definition {
    name: "GatherElements",
    since: &[11, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(0);
        Ok(Box::new(GatherElements { axis }))
    },
};

#[derive(Debug)]
struct GatherElements {
    axis: i64,
}

/// Whether indices of this shape name elements of data of that shape along the axis: elsewhere they may be fewer.
pub(super) fn check_shapes(data: &[usize], indices: &[usize], axis: usize) -> Result<(), OpError> {
    let fits = data.len() == indices.len()
        && (0..data.len()).all(|other| other == axis || indices[other] <= data[other]);
    if fits {
        Ok(())
    } else {
        Err(OpError::Shape(format!(
            "indices of shape {indices:?} do not fit data of shape {data:?} along axis {axis}"
        )))
    }
}

/// Walks the places of a shape in row-major order, with their coordinates.
pub(super) fn each_place(shape: &[usize], mut visit: impl FnMut(usize, &[usize])) {
    let mut coordinates = vec![0; shape.len()];
    for place in 0..element_count(shape) {
        visit(place, &coordinates);
        for axis in (0..shape.len()).rev() {
            coordinates[axis] += 1;
            if coordinates[axis] < shape[axis] {
                break;
            }
            coordinates[axis] = 0;
        }
    }
}

impl Operator for GatherElements {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (data, indices) = (inputs.required(0)?, inputs.of_types(1, INDICES)?);
        let axis = normalize_axis(self.axis, data.shape.len())?;
        check_shapes(data.shape, indices.shape, axis)?;
        Ok(vec![TensorType::new(data.dtype, indices.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        picking(inputs, outputs)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        let axis = normalize_axis(self.axis, data.shape.len())?;
        let (steps, shape) = (strides(data.shape), indices.shape.to_vec());
        let (length, size) = (data.shape[axis], data.dtype.size());
        Ok(kernel(move |io| {
            let (data, indices) = (io.input(0).bytes(), io.input(1));
            let out = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            let mut wrong = None;
            by_size!(size, Word => {
                let (data, out): (&[Word], &mut [Word]) = (bytemuck::cast_slice(data), bytemuck::cast_slice_mut(out));
                each_place(&shape, |place, coordinates| match from_front(number(&indices, place), length) {
                    Ok(index) => {
                        let at = |other: usize| if other == axis { index } else { coordinates[other] };
                        let from: usize = (0..steps.len()).map(|other| at(other) * steps[other]).sum();
                        if let Some(out) = out.get_mut(place) {
                            *out = data[from];
                        }
                    }
                    Err(error) => wrong = wrong.take().or(Some(error)),
                });
            });
            wrong.map_or(Ok(()), Err)
        }))
    }
}

/// Work of picking elements or slices by index.
fn picking(inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
    let indices = inputs.optional(1).map_or(0, |indices| indices.elements() as u64);
    Work {
        arithmetic: indices.saturating_mul(PER_INDEX),
        bytes: (outputs[0].bytes() as u64)
            .saturating_mul(2)
            .saturating_add(indices.saturating_mul(8)),
    }
}

/// `GatherND`
pub(super) const GATHER_ND: Definition = Definition {
    name: "GatherND",
    since: &[11, 12, 13],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |node| {
        let batch = if node.version >= 12 {
            node.attributes.int("batch_dims")?.unwrap_or(0)
        } else {
            0
        };
        Ok(Box::new(GatherNd { batch }))
    },
};

#[derive(Debug)]
struct GatherNd {
    batch: i64,
}

/// How rows of indices name slices of data.
#[derive(Debug, Clone)]
pub(super) struct Slices {
    /// Leading dimensions that data and indices share.
    pub(super) batches: usize,
    /// Rows of indices in each batch.
    pub(super) rows: usize,
    /// The dimensions that a row has an index for.
    pub(super) named: Vec<usize>,
    /// Elements of a slice.
    pub(super) slice: usize,
}

impl Slices {
    pub(super) fn new(data: &[usize], indices: &[usize], batch: usize) -> Result<Self, OpError> {
        let refuse = || {
            OpError::Shape(format!(
                "rows of indices {indices:?} do not name slices of {data:?} behind {batch} shared dimensions"
            ))
        };
        let (&width, front) = indices.split_last().ok_or_else(refuse)?;
        let fits =
            batch <= front.len() && batch < data.len().max(1) && width >= 1 && batch + width <= data.len();
        if !fits || data[..batch] != indices[..batch] {
            return Err(refuse());
        }
        Ok(Self {
            batches: element_count(&data[..batch]),
            rows: element_count(&front[batch..]),
            named: data[batch..batch + width].to_vec(),
            slice: element_count(&data[batch + width..]),
        })
    }

    /// The first element of the slice that a row names, and the number of the row, for all of them.
    pub(super) fn each(
        &self,
        indices: &crate::tensor::TensorView<'_>,
        mut visit: impl FnMut(usize, usize),
    ) -> Result<(), OpError> {
        let steps = strides(&self.named);
        let (width, of_batch) = (self.named.len(), element_count(&self.named));
        for row in 0..self.batches * self.rows {
            let mut at = row / self.rows * of_batch;
            for (axis, (&size, &step)) in self.named.iter().zip(&steps).enumerate() {
                at += from_front(number(indices, row * width + axis), size)? * step;
            }
            visit(row, at * self.slice);
        }
        Ok(())
    }
}

impl Operator for GatherNd {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (data, indices) = (inputs.required(0)?, inputs.of_types(1, &[DType::I64])?);
        let batch = usize::try_from(self.batch).unwrap_or(usize::MAX);
        let slices = Slices::new(data.shape, indices.shape, batch)?;
        let front = &indices.shape[..indices.shape.len() - 1];
        let shape = [front, &data.shape[batch + slices.named.len()..]].concat();
        Ok(vec![TensorType::new(data.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        picking(inputs, outputs)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (data, indices) = (inputs.required(0)?, inputs.required(1)?);
        let batch = usize::try_from(self.batch).unwrap_or(usize::MAX);
        let slices = Slices::new(data.shape, indices.shape, batch)?;
        let size = data.dtype.size();
        Ok(kernel(move |io| {
            let (data, indices) = (io.input(0).bytes(), io.input(1));
            let out = io.output(0).map_or(&mut [][..], TensorViewMut::bytes_mut);
            let length = slices.slice * size;
            slices.each(&indices, |row, from| {
                if let Some(out) = out.get_mut(row * length..(row + 1) * length) {
                    out.copy_from_slice(&data[from * size..][..length]);
                }
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_name_slices_behind_shared_dimensions() {
        let slices = Slices::new(&[2, 3, 4], &[2, 5, 1], 1).unwrap();
        assert_eq!((slices.batches, slices.rows, slices.slice), (2, 5, 4));
        assert_eq!(slices.named, [3]);
        for (data, indices, batch) in [
            (&[2, 3][..], &[2, 3][..], 0),
            (&[2, 3], &[3, 1], 1),
            (&[2, 3], &[2, 1], 2),
            (&[], &[1], 0),
            (&[2], &[], 0),
            (&[2], &[3, 0], 0),
        ] {
            assert!(
                Slices::new(data, indices, batch).is_err(),
                "{data:?} {indices:?} {batch}"
            );
        }
    }

    #[test]
    fn places_are_visited_in_order() {
        let mut seen = Vec::new();
        each_place(&[2, 2], |place, coordinates| {
            seen.push((place, coordinates.to_vec()))
        });
        assert_eq!(
            seen,
            [(0, vec![0, 0]), (1, vec![0, 1]), (2, vec![1, 0]), (3, vec![1, 1])]
        );
        each_place(&[2, 0], |_, _| unreachable!("there is no place"));
        let mut count = 0;
        each_place(&[], |_, _| count += 1);
        assert_eq!(count, 1);
    }
}
