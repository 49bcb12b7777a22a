//! The inputs of a node while planning: types and shapes always, values where they are known.

use super::{INDICES, OpError, TensorType};
use crate::{DType, Tensor, constant::Constant, shape::element_count};
use std::{any::Any, sync::Arc};

/// An input of a node while planning: type and shape always, the value where it does not depend on the model's inputs.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: &'a [usize],
    pub(crate) constant: Option<&'a Arc<Constant>>,
}

impl<'a> Operand<'a> {
    /// An operand whose value is not known before the model runs.
    pub fn unknown(dtype: DType, shape: &'a [usize]) -> Self {
        Self {
            dtype,
            shape,
            constant: None,
        }
    }

    pub(crate) fn known(constant: &'a Arc<Constant>) -> Self {
        Self {
            dtype: constant.dtype(),
            shape: constant.shape(),
            constant: Some(constant),
        }
    }

    /// The value, if it is known before the model runs.
    pub fn value(&self) -> Option<&'a Tensor> {
        self.constant.map(|constant| constant.tensor())
    }

    /// Whether the value is known before the model runs.
    pub fn is_known(&self) -> bool {
        self.constant.is_some()
    }

    /// A known value arranged for kernels, as `arrange` does it. It is made once for a model and type `P` and `parameters`
    /// (everything that the arrangement depends on besides the value, but not the shapes of a call) and shared by all plans.
    /// `restore` makes the value's bytes again of an arrangement that holds all of them: the value itself is not kept then where nobody
    /// else reads it.
    pub fn arranged<P: Any + Send + Sync>(
        &self,
        parameters: &[usize],
        arrange: impl FnOnce(&Tensor) -> P,
        restore: Option<impl Fn(&P) -> Vec<u8> + Send + Sync + 'static>,
    ) -> Option<Arc<P>> {
        self.constant
            .map(|constant| constant.arranged(parameters, arrange, restore))
    }

    /// Type and shape.
    pub fn tensor_type(&self) -> TensorType {
        TensorType {
            dtype: self.dtype,
            shape: self.shape.to_vec(),
        }
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        element_count(self.shape)
    }
}

/// The inputs of a node while planning.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a>(pub(crate) &'a [Option<Operand<'a>>]);

impl<'a> Inputs<'a> {
    /// Inputs listed by the node, skipped ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the node lists no inputs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An optional input.
    pub fn optional(&self, index: usize) -> Option<Operand<'a>> {
        self.0.get(index).copied().flatten()
    }

    /// A required input.
    ///
    /// # Errors
    /// If the node skips it.
    pub fn required(&self, index: usize) -> Result<Operand<'a>, OpError> {
        self.optional(index).ok_or(OpError::MissingInput { index })
    }

    /// A required input of one of these element types.
    ///
    /// # Errors
    /// If the node skips it or it has another type.
    pub fn of_types(&self, index: usize, types: &'static [DType]) -> Result<Operand<'a>, OpError> {
        let operand = self.required(index)?;
        if types.contains(&operand.dtype) {
            Ok(operand)
        } else {
            Err(OpError::DType {
                index,
                got: operand.dtype,
                expected: types,
            })
        }
    }

    /// A required input whose element type is that of another one.
    ///
    /// # Errors
    /// If the node skips it or it has another type.
    pub fn like(&self, index: usize, dtype: DType) -> Result<Operand<'a>, OpError> {
        let operand = self.required(index)?;
        if operand.dtype == dtype {
            Ok(operand)
        } else {
            Err(OpError::DTypeMismatch {
                index,
                got: operand.dtype,
                expected: dtype,
            })
        }
    }

    /// The value of a required input that must be known while planning, because a shape depends on it.
    ///
    /// # Errors
    /// If it is skipped, or computed from the model's inputs.
    pub fn known(&self, index: usize) -> Result<&'a Tensor, OpError> {
        self.required(index)?
            .value()
            .ok_or(OpError::DataDependent { index })
    }

    /// [`Self::known`] as integers: axes, sizes, indices.
    ///
    /// # Errors
    /// Also if the elements are floats.
    pub fn known_i64s(&self, index: usize) -> Result<Vec<i64>, OpError> {
        let value = self.known(index)?;
        value.to_i64s().ok_or(OpError::DType {
            index,
            got: value.dtype(),
            expected: INDICES,
        })
    }

    /// [`Self::known_i64s`] of an optional input.
    ///
    /// # Errors
    /// If it is given but not known or not of integers.
    pub fn known_i64s_if_given(&self, index: usize) -> Result<Option<Vec<i64>>, OpError> {
        self.optional(index).map(|_| self.known_i64s(index)).transpose()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Operand<'a>> + '_ {
        self.0.iter().flatten().copied()
    }
}
