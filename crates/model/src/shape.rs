//! Arithmetic on shapes: checked, because every number in it may come from a stranger.

use crate::{
    DType,
    limits::{MAX_RANK, MAX_TENSOR_BYTES},
};

/// Dimensions of a tensor, outermost first; empty for a scalar.
pub type Shape = Vec<usize>;

/// Why a shape is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Too many dimensions.
    #[error("rank {rank} is above the limit of {MAX_RANK} dimensions")]
    Rank {
        /// Dimensions asked for.
        rank: usize,
    },
    /// Too many bytes.
    #[error("a {dtype} tensor of shape {shape:?} is above the limit of {MAX_TENSOR_BYTES} bytes")]
    Bytes {
        /// Element type.
        dtype: DType,
        /// Shape asked for.
        shape: Shape,
    },
    /// A dimension below zero.
    #[error("dimension {dim} of {dims:?} is negative")]
    Negative {
        /// The dimension.
        dim: i64,
        /// All dimensions.
        dims: Vec<i64>,
    },
}

/// Number of elements of a shape that [`byte_length`] has accepted.
pub(crate) fn element_count(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// Bytes of a tensor, if rank and size are within the limits. A zero dimension does not excuse huge ones beside it.
pub(crate) fn byte_length(dtype: DType, shape: &[usize]) -> Result<usize, SizeError> {
    if shape.len() > MAX_RANK {
        return Err(SizeError::Rank { rank: shape.len() });
    }
    let too_large = || SizeError::Bytes {
        dtype,
        shape: shape.to_vec(),
    };
    let mut bound = dtype.size() as u64;
    for &dim in shape {
        bound = bound
            .checked_mul(dim.max(1) as u64)
            .filter(|&n| n <= MAX_TENSOR_BYTES)
            .ok_or_else(too_large)?;
    }
    Ok(dtype.size() * element_count(shape))
}

/// ONNX dimensions as a shape.
pub(crate) fn shape_from_i64s(dims: &[i64]) -> Result<Shape, SizeError> {
    dims.iter()
        .map(|&dim| {
            usize::try_from(dim).map_err(|_| SizeError::Negative {
                dim,
                dims: dims.to_vec(),
            })
        })
        .collect()
}

/// Row-major strides, in elements.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The shape that NumPy's broadcasting gives to operands of these shapes, or `None` if they do not agree.
pub(crate) fn broadcast(shapes: &[&[usize]]) -> Option<Shape> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut result = vec![1; rank];
    for shape in shapes {
        let offset = rank - shape.len();
        for (axis, &dim) in shape.iter().enumerate() {
            let merged = &mut result[offset + axis];
            match (*merged, dim) {
                (1, dim) => *merged = dim,
                (_, 1) => {}
                (have, dim) if have == dim => {}
                _ => return None,
            }
        }
    }
    Some(result)
}

/// Strides that read an operand of `shape` as if it had the shape `target`: 0 where it is repeated.
pub(crate) fn broadcast_strides(shape: &[usize], target: &[usize]) -> Vec<usize> {
    let offset = target.len() - shape.len();
    let own = strides(shape);
    (0..target.len())
        .map(|axis| match axis.checked_sub(offset) {
            Some(axis) if shape[axis] != 1 => own[axis],
            _ => 0,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked() {
        assert_eq!(byte_length(DType::F32, &[2, 3]), Ok(24));
        assert_eq!(byte_length(DType::F32, &[]), Ok(4));
        assert_eq!(byte_length(DType::F32, &[0, 3]), Ok(0));
        assert!(matches!(
            byte_length(DType::F32, &[0, usize::MAX]),
            Err(SizeError::Bytes { .. })
        ));
        assert!(matches!(
            byte_length(DType::I8, &[1 << 16, 1 << 16]),
            Err(SizeError::Bytes { .. })
        ));
        assert_eq!(byte_length(DType::I8, &[1; 9]), Err(SizeError::Rank { rank: 9 }));
        assert!(matches!(
            shape_from_i64s(&[2, -1]),
            Err(SizeError::Negative { dim: -1, .. })
        ));
    }

    #[test]
    fn broadcasting_is_numpys() {
        assert_eq!(broadcast(&[&[3, 1], &[2]]), Some(vec![3, 2]));
        assert_eq!(broadcast(&[&[0], &[1]]), Some(vec![0]));
        assert_eq!(broadcast(&[&[], &[4]]), Some(vec![4]));
        assert_eq!(broadcast(&[&[3], &[2]]), None);
        assert_eq!(broadcast_strides(&[3, 1], &[2, 3, 4]), [0, 1, 0]);
    }
}
