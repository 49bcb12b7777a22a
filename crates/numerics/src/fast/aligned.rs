//! Memory for packed weights.

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// Elements that begin at a cache line, as the widest loads want them: one that lies across two lines takes twice as long.
#[derive(Debug)]
pub(super) struct Aligned<T> {
    data: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// So many elements, all of them zero.
    pub(super) fn zeroed(length: usize) -> Self {
        let line = LINE / size_of::<T>();
        let data = vec![T::default(); length + line - 1];
        // of an allocation of elements of 2ⁿ bytes the next line begins within so many
        let start = data.as_ptr().align_offset(LINE).min(line - 1);
        Aligned { data, start, length }
    }

    pub(super) fn get(&self) -> &[T] {
        &self.data[self.start..][..self.length]
    }

    pub(super) fn get_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..][..self.length]
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.length);
        copy.get_mut().copy_from_slice(self.get());
        copy
    }
}

impl<T: Copy + Default + PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Copy + Default + Eq> Eq for Aligned<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_at_a_cache_line_in_every_copy() {
        for length in [0, 1, 63, 1000] {
            let mut bytes = Aligned::<i8>::zeroed(length);
            bytes.get_mut().fill(7);
            let copy = bytes.clone();
            assert!(copy == bytes && copy.get().len() == length);
            let words = Aligned::<i16>::zeroed(length);
            let floats = Aligned::<f32>::zeroed(length);
            let addresses = [
                bytes.get().as_ptr().addr(),
                copy.get().as_ptr().addr(),
                words.get().as_ptr().addr(),
                floats.get().as_ptr().addr(),
            ];
            assert!(addresses.iter().all(|address| address.is_multiple_of(LINE)));
        }
    }
}
