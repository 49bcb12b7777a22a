//! Known values, with what kernels have made of them.
//!
//! Fast kernels want weights arranged their own way (packed panels). Arranging costs about as much as streaming the weights
//! a few times, and does not depend on the shapes of a call: so it is done once for a model and shared by all its plans.

use crate::Tensor;
use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// What an arrangement depends on besides the value: its type and its parameters.
type Key = (TypeId, Vec<usize>);

/// A value known before the model runs.
pub struct Constant {
    pub(crate) tensor: Tensor,
    arranged: Mutex<BTreeMap<Key, Arc<dyn Any + Send + Sync>>>,
}

impl Constant {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self {
            tensor,
            arranged: Mutex::default(),
        }
    }

    /// The value, without copying it if nothing else has it.
    pub(crate) fn into_tensor(shared: Arc<Self>) -> Tensor {
        Arc::try_unwrap(shared).map_or_else(|shared| shared.tensor.clone(), |own| own.tensor)
    }

    /// The arrangement of type `P` with these parameters: the one made before, or a new one.
    pub(crate) fn arranged<P: Any + Send + Sync>(
        &self,
        parameters: &[usize],
        arrange: impl FnOnce() -> P,
    ) -> Arc<P> {
        // Held while arranging: of two plans made at once the second waits instead of doing the work again. A panic inside
        // leaves the map as it was, so a poisoned lock is as good as any.
        let mut arranged = self.arranged.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (TypeId::of::<P>(), parameters.to_vec());
        let found = arranged.entry(key).or_insert_with(|| Arc::new(arrange())).clone();
        found.downcast().expect("the key holds the type")
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Constant({}{:?})", self.tensor.dtype(), self.tensor.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn an_arrangement_is_made_once() {
        let constant = Constant::new(Tensor::zeros(DType::F32, &[2]).unwrap());
        let first = constant.arranged(&[1], || vec![1u8]);
        let again = constant.arranged(&[1], || -> Vec<u8> { unreachable!("it is there") });
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(*constant.arranged(&[2], || vec![2u8]), [2]);
        assert_eq!(
            *constant.arranged(&[1], || String::from("another type")),
            "another type"
        );
    }
}
