//! Which tensor of a canonical graph lies where in its weights.

use super::{Edit, Leaves};
use crate::{
    DType, LEAF_BYTES, Tensor,
    import::ImportError,
    proto::{TensorProto, decode_model},
    shape::{byte_length, shape_from_i64s},
};
use bytes::Bytes;
use std::ops::Range;

/// Why an edit of weights would not leave a canonical model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeightsError {
    /// It reaches out of a tensor: into another, or into the zeros between them.
    #[error("the edit of {length} bytes at byte {offset} of the weights does not lie within one tensor")]
    OutsideTensors {
        /// Where it begins.
        offset: u64,
        /// Its bytes.
        length: usize,
    },
    /// It leaves a NaN that is not the canonical one, or a bool that is neither 0 nor 1.
    #[error(
        "at byte {offset} of the weights the edit leaves a {dtype} that is not canonical: NaNs have one form, bools are 0 or 1"
    )]
    NotCanonical {
        /// Where the first such element may lie.
        offset: u64,
        /// The tensor's element type.
        dtype: DType,
    },
}

/// A tensor's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u64,
    end: u64,
    dtype: DType,
}

/// Where the tensors of a canonical graph lie in its weights, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightMap(Vec<Place>);

impl WeightMap {
    /// Reads it from a graph that was validated before.
    ///
    /// # Errors
    /// If the graph is not one.
    pub fn read(graph: Bytes) -> Result<Self, ImportError> {
        let graph = decode_model(graph)?.graph.ok_or(ImportError::NoGraph)?;
        let mut places = Vec::new();
        for constant in &graph.initializer {
            if constant.data_location == Some(1) {
                places.push(place(constant)?);
            }
        }
        Ok(Self(places))
    }

    /// The ranges of the weights that tensors take, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.0
            .iter()
            .map(|place| place.start as usize..place.end as usize)
    }

    /// Checks that an edit lies within a tensor, and that what it leaves in `leaves` (to which it was applied) is canonical.
    ///
    /// # Errors
    /// If it does not, or is not.
    pub fn check(&self, edit: &Edit<'_>, leaves: &Leaves) -> Result<(), WeightsError> {
        let range = edit.range();
        let next = self.0.partition_point(|place| place.end <= range.start);
        let place = self
            .0
            .get(next)
            .filter(|place| place.start <= range.start && range.end <= place.end)
            .ok_or(WeightsError::OutsideTensors {
                offset: edit.offset,
                length: edit.bytes.len(),
            })?;
        // Tensors begin at multiples of 64 and elements have 1 to 8 bytes: no element lies across leaves.
        let size = place.dtype.size() as u64;
        let aligned = range.start / size * size..range.end.next_multiple_of(size).min(place.end);
        for leaf in edit.leaves() {
            let start = leaf * LEAF_BYTES as u64;
            let bytes = leaves.get(leaf);
            let common = aligned.start.max(start)..aligned.end.min(start + bytes.len() as u64);
            let elements = &bytes[(common.start - start) as usize..(common.end - start) as usize];
            let shape = [elements.len() / size as usize];
            let canonical = Tensor::from_le_bytes(place.dtype, &shape, elements)
                .is_ok_and(|tensor| tensor.bytes() == elements);
            if !canonical {
                return Err(WeightsError::NotCanonical {
                    offset: common.start,
                    dtype: place.dtype,
                });
            }
        }
        Ok(())
    }
}

fn place(constant: &TensorProto) -> Result<Place, ImportError> {
    let name = || constant.name.clone().unwrap_or_default();
    let fail = |error| ImportError::Tensor { name: name(), error };
    let code = constant.data_type.unwrap_or(0);
    let dtype = DType::from_onnx_code(code).ok_or_else(|| ImportError::ElementType {
        what: format!("tensor `{}`", name()),
        code: DType::onnx_code_name(code),
    })?;
    let shape = shape_from_i64s(&constant.dims).map_err(|error| fail(error.into()))?;
    let length = byte_length(dtype, &shape).map_err(|error| fail(error.into()))? as u64;
    let offset = constant
        .external_data
        .iter()
        .find(|entry| entry.key.as_deref() == Some("offset"))
        .and_then(|entry| entry.value.as_deref()?.parse::<u64>().ok())
        .filter(|offset| offset.checked_add(length).is_some())
        .ok_or_else(|| ImportError::External {
            name: name(),
            why: "offset is missing or not a number".into(),
        })?;
    Ok(Place {
        start: offset,
        end: offset + length,
        dtype,
    })
}
