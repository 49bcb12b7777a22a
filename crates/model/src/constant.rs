//! Known values, with what kernels have made of them.
//!
//! Fast kernels want weights arranged their own way (packed panels). Arranging costs about as much as streaming the weights
//! a few times, and does not depend on the shapes of a call: so it is done once for a model and shared by all its plans.
//!
//! A value that nobody reads any more but as it was arranged is not kept beside that ([`Constant::let_go`]). It is made again should
//! it be asked for after all: by the reference, or by a plan for other shapes.

use crate::{DType, Tensor, ops::TensorType};
use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// What an arrangement depends on besides the value: its type and its parameters.
type Key = (TypeId, Vec<usize>);

/// Makes the value again of its arrangement.
type Restore = Arc<dyn Fn() -> Tensor + Send + Sync>;

/// What was made of a value.
#[derive(Default)]
struct Arrangements {
    made: BTreeMap<Key, Arc<dyn Any + Send + Sync>>,
    restore: Option<Restore>,
    /// The value was made again: it is kept from now on, so that shapes in turns cannot make it again and again.
    restored: bool,
}

/// A value known before the model runs.
pub struct Constant {
    kind: Arc<TensorType>,
    /// Not there after [`Self::let_go`], until it is asked for.
    tensor: OnceLock<Tensor>,
    arrangements: Arc<Mutex<Arrangements>>,
    /// Somebody has asked for the value since [`Self::forget_reads`].
    read: AtomicBool,
    /// The constants that this one was computed from by operators that take any values: who reads it reads them.
    origins: Vec<Arc<Constant>>,
}

/// Origins that are kept. With more of them they count as read.
const MAX_ORIGINS: usize = 16;

impl Constant {
    pub(crate) fn new(tensor: Tensor) -> Self {
        Self {
            kind: Arc::new(TensorType {
                dtype: tensor.dtype(),
                shape: tensor.shape().to_vec(),
            }),
            tensor: tensor.into(),
            arrangements: Arc::default(),
            read: AtomicBool::default(),
            origins: Vec::new(),
        }
    }

    /// The value.
    pub(crate) fn tensor(&self) -> &Tensor {
        self.note_read();
        self.peek()
    }

    fn note_read(&self) {
        if !self.read.swap(true, Ordering::Relaxed) {
            self.origins.iter().for_each(|origin| origin.note_read());
        }
    }

    /// A value that was computed ahead of `inputs`, by an operator that takes any values of them.
    pub(crate) fn computed_of<'a>(tensor: Tensor, inputs: impl Iterator<Item = &'a Arc<Self>>) -> Self {
        let mut origins: Vec<Arc<Self>> = Vec::new();
        // flat, so that a long chain neither grows nor is let go of link by link
        let all = inputs.flat_map(|input| match input.origins.is_empty() {
            true => std::slice::from_ref(input),
            false => &input.origins,
        });
        for origin in all {
            if origins.iter().any(|known| Arc::ptr_eq(known, origin)) {
                continue;
            }
            if origins.len() == MAX_ORIGINS {
                origin.note_read();
            } else {
                origins.push(Arc::clone(origin));
            }
        }
        Self {
            origins,
            ..Self::new(tensor)
        }
    }

    /// The value, for an operator that takes any.
    pub(crate) fn peek(&self) -> &Tensor {
        self.tensor.get_or_init(|| {
            let mut arrangements = self.arrangements();
            arrangements.restored = true;
            let restore = arrangements.restore.clone();
            drop(arrangements);
            (restore.expect("a value is let go of only if it can be made again"))()
        })
    }

    /// Whether both are at hand, of one type, and the same to the bit.
    pub(crate) fn is_equal(&self, other: &Self) -> bool {
        match (self.tensor.get(), other.tensor.get()) {
            (Some(own), Some(other_tensor)) => self.kind == other.kind && own.bytes() == other_tensor.bytes(),
            _ => false,
        }
    }

    /// From now on nobody has read the value.
    pub(crate) fn forget_reads(&self) {
        self.read.store(false, Ordering::Relaxed);
    }

    /// Whether somebody has.
    pub(crate) fn was_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Element type and dimensions.
    pub(crate) fn kind(&self) -> &Arc<TensorType> {
        &self.kind
    }

    /// Element type.
    pub(crate) fn dtype(&self) -> DType {
        self.kind.dtype
    }

    /// Dimensions.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.kind.shape
    }

    /// Bytes of the value.
    pub(crate) fn bytes(&self) -> usize {
        self.kind.bytes()
    }

    /// The same constant without its value, if an arrangement is as good as that and it was never missed.
    pub(crate) fn let_go(&self) -> Option<Self> {
        let arrangements = self.arrangements();
        if arrangements.restored || arrangements.restore.is_none() {
            return None;
        }
        drop(arrangements);
        Some(Self {
            kind: Arc::clone(&self.kind),
            tensor: OnceLock::new(),
            arrangements: Arc::clone(&self.arrangements),
            read: AtomicBool::default(),
            origins: Vec::new(),
        })
    }

    /// The same constant with a value of its own, if it shares its bytes with others.
    pub(crate) fn apart(&self) -> Option<Self> {
        let tensor = self.tensor.get().filter(|tensor| tensor.is_shared())?;
        Some(Self {
            kind: Arc::clone(&self.kind),
            tensor: tensor.view().to_tensor().into(),
            arrangements: Arc::clone(&self.arrangements),
            read: AtomicBool::default(),
            origins: Vec::new(),
        })
    }

    /// Whether the value is there.
    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        self.tensor.get().is_some()
    }

    fn arrangements(&self) -> std::sync::MutexGuard<'_, Arrangements> {
        // a panic while it is held leaves the map as it was, so a poisoned lock is as good as any
        self.arrangements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value, without copying it if nothing else has it.
    pub(crate) fn into_tensor(shared: Arc<Self>) -> Tensor {
        let tensor = |constant: &Self| constant.tensor().clone();
        Arc::try_unwrap(shared).map_or_else(
            |shared| tensor(&shared),
            |mut own| own.tensor.take().unwrap_or_else(|| tensor(&own)),
        )
    }

    /// The arrangement of type `P` with these parameters: the one made before, or a new one. `restore` makes the value's bytes again
    /// of it, if it holds all of them.
    pub(crate) fn arranged<P: Any + Send + Sync>(
        &self,
        parameters: &[usize],
        arrange: impl FnOnce(&Tensor) -> P,
        restore: Option<impl Fn(&P) -> Vec<u8> + Send + Sync + 'static>,
    ) -> Arc<P> {
        let key = (TypeId::of::<P>(), parameters.to_vec());
        let made = |arrangements: &Arrangements| arrangements.made.get(&key).cloned();
        // made anew it may have to be restored from another arrangement first
        let missing = made(&self.arrangements()).is_none();
        let tensor = missing.then(|| self.tensor());
        // Held while arranging: of two plans made at once the second waits instead of doing the work again.
        let mut arrangements = self.arrangements();
        if let Some(found) = made(&arrangements) {
            return found.downcast().expect("the key holds the type");
        }
        let new = Arc::new(arrange(
            tensor.unwrap_or_else(|| unreachable!("nothing is taken out of the map")),
        ));
        arrangements.made.insert(key, new.clone());
        if let (None, Some(restore)) = (&arrangements.restore, restore) {
            let (of, kind) = (Arc::clone(&new), Arc::clone(&self.kind));
            arrangements.restore = Some(Arc::new(move || {
                Tensor::from_le_bytes(kind.dtype, &kind.shape, &restore(&of))
                    .expect("an arrangement has all elements of the value")
            }));
        }
        new
    }
}

impl fmt::Debug for Constant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Constant({}{:?})", self.dtype(), self.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    #[test]
    fn an_arrangement_is_made_once() {
        let constant = Constant::new(Tensor::zeros(DType::F32, &[2]).unwrap());
        let nothing = None::<fn(&Vec<u8>) -> Vec<u8>>;
        let first = constant.arranged(&[1], |_| vec![1u8], nothing);
        let again = constant.arranged(&[1], |_| -> Vec<u8> { unreachable!("it is there") }, nothing);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(*constant.arranged(&[2], |_| vec![2u8], nothing), [2]);
        let text = constant.arranged(
            &[1],
            |_| String::from("another type"),
            None::<fn(&String) -> Vec<u8>>,
        );
        assert_eq!(*text, "another type");
        assert!(constant.let_go().is_none(), "none of them holds the value");
    }

    #[test]
    fn a_value_that_was_let_go_of_is_made_again() {
        let tensor = Tensor::from_slice(DType::F32, &[3], &[1.0_f32, -0.0, f32::NAN]).unwrap();
        let constant = Constant::new(tensor.clone());
        let arrange = |tensor: &Tensor| tensor.bytes().iter().rev().copied().collect::<Vec<u8>>();
        let restore = |arranged: &Vec<u8>| arranged.iter().rev().copied().collect();
        let arranged = constant.arranged(&[], arrange, Some(restore));
        let without = constant.let_go().unwrap();
        assert!(!without.is_held());
        assert_eq!(without.shape(), [3]);
        let again = without.arranged(&[], |_| -> Vec<u8> { unreachable!("it is there") }, Some(restore));
        assert!(Arc::ptr_eq(&arranged, &again) && !without.is_held());
        assert_eq!(*without.tensor(), tensor);
        assert!(without.let_go().is_none(), "it is missed once only");
    }
}
