//! Indices that an input gives: counted from either end, checked, of either type.

use super::OpError;
use crate::{DType, tensor::TensorView};

/// Number `number` of a tensor of indices, as it stands.
pub(super) fn number(indices: &TensorView<'_>, number: usize) -> i64 {
    match indices.dtype() {
        DType::I32 => i64::from(indices.as_slice::<i32>()[number]),
        _ => indices.as_slice::<i64>()[number],
    }
}

/// An index counted from the front of an axis of `size`.
///
/// # Errors
/// If it is outside `-size..size`.
pub(super) fn from_front(index: i64, size: usize) -> Result<usize, OpError> {
    let position = if index < 0 {
        index.saturating_add(size as i64)
    } else {
        index
    };
    usize::try_from(position)
        .ok()
        .filter(|&position| position < size)
        .ok_or_else(|| OpError::Value(format!("index {index} is out of range for an axis of {size}")))
}

/// Index `number` of a tensor, counted from the front of an axis of `size`.
///
/// # Errors
/// If it is outside `-size..size`.
pub(super) fn position(indices: &TensorView<'_>, place: usize, size: usize) -> Result<usize, OpError> {
    from_front(number(indices, place), size)
}
