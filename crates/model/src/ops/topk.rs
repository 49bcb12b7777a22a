//! TopK: the k greatest (or least) elements along an axis, in order, and their indices. ONNX versions 1, 10, 11 and 24.
//!
//! NaN counts as greater than every number; zeros of both signs are equal; of equals the one with the lower index comes first.
//! `sorted` = 0 allows any order, and gets this one.

use super::{
    AttributeError, DType, Definition, Inputs, Kernel, NUMBERS, OpError, Operator, TensorType, Work,
    elementwise::{FloatFormat, with_float_format, with_integer},
    kernel_with_scratch, normalize_axis, streamed,
};
use crate::{
    shape::element_count,
    tensor::{Element, TensorViewMut},
};
use bytemuck::Pod;
use synod_numerics::integer::Integer;

/// `TopK`
pub(super) const TOP_K: Definition = Definition {
    name: "TopK",
    since: &[1, 10, 11, 24],
    inputs: 1..=2,
    outputs: 2..=2,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(-1);
        let count = if node.version < 10 {
            node.limit_inputs(1)?;
            Some(
                node.attributes
                    .int("k")?
                    .ok_or(AttributeError::Missing { name: "k" })?,
            )
        } else {
            None
        };
        let largest = node.version < 11 || node.attributes.flag("largest", true)?;
        if node.version >= 11 {
            node.attributes.flag("sorted", true)?;
        }
        Ok(Box::new(TopK { axis, count, largest }))
    },
};

#[derive(Debug)]
struct TopK {
    axis: i64,
    /// Version 1; later ones have it as an input.
    count: Option<i64>,
    largest: bool,
}

impl TopK {
    /// The axis, and how many are wanted.
    fn axis_and_count(&self, inputs: &Inputs<'_>) -> Result<(usize, usize), OpError> {
        let x = inputs.of_types(0, NUMBERS)?;
        let axis = normalize_axis(self.axis, x.shape.len())?;
        let count = match self.count {
            Some(count) => vec![count],
            None => inputs.known_i64s(1)?,
        };
        match count[..] {
            [count] if (0..=x.shape[axis] as i64).contains(&count) => Ok((axis, count as usize)),
            _ => Err(OpError::Value(format!(
                "k is {count:?}: not one number of 0 to {}",
                x.shape[axis]
            ))),
        }
    }
}

/// Multiply-add equivalents of reading an element and telling whether it is among the first.
const PER_ELEMENT: u64 = 240;

/// Multiply-add equivalents of a comparison while sorting.
const PER_LEVEL: u64 = 60;

impl Operator for TopK {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (axis, count) = self.axis_and_count(inputs)?;
        let x = inputs.required(0)?;
        let mut shape = x.shape.to_vec();
        shape[axis] = count;
        Ok(vec![
            TensorType::new(x.dtype, shape.clone())?,
            TensorType::new(DType::I64, shape)?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, length, count) = match (inputs.optional(0), self.axis_and_count(inputs)) {
            (Some(x), Ok((axis, count))) => (x.elements() as u64, x.shape[axis] as u64, count as u64),
            _ => (0, 0, 0),
        };
        let lines = elements / length.max(1);
        // what comes first is told apart from the rest, then sorted: one comparison for each halving, and a few more
        let levels = u64::from(u64::BITS - count.leading_zeros()) + 4;
        let sorting = lines
            .saturating_mul(count)
            .saturating_mul(levels)
            .saturating_mul(PER_LEVEL);
        let finding = elements
            .saturating_mul(PER_ELEMENT)
            .saturating_add(lines.saturating_mul(2_000));
        Work {
            arithmetic: finding.saturating_add(sorting),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        fn floats<F: FloatFormat<Value: Key>, S>(lines: Lines, _: S) -> Box<dyn Kernel> {
            lines.into_kernel::<F::Stored, F::Value>(F::load)
        }
        fn integers<T: Integer + Element + Key, S>(lines: Lines, _: S) -> Box<dyn Kernel> {
            lines.into_kernel::<T, T>(|x| x)
        }
        let (axis, count) = self.axis_and_count(inputs)?;
        let x = inputs.required(0)?;
        let lines = Lines {
            outer: element_count(&x.shape[..axis]),
            length: x.shape[axis],
            inner: element_count(&x.shape[axis + 1..]),
            count,
            largest: self.largest,
        };
        Ok(if x.dtype.is_float() {
            with_float_format!(x.dtype, floats(lines, ()))
        } else {
            with_integer!(x.dtype, integers(lines, ()))
        })
    }
}

struct Lines {
    outer: usize,
    length: usize,
    inner: usize,
    count: usize,
    largest: bool,
}

impl Lines {
    fn into_kernel<S: Element, V: Key>(
        self,
        load: impl Fn(S) -> V + Copy + Send + Sync + 'static,
    ) -> Box<dyn Kernel> {
        kernel_with_scratch(self.length * size_of::<V::Placed>(), move |io| {
            let x = io.input(0).as_slice::<S>();
            let (_, outputs, scratch) = io.split();
            let [values, indices, ..] = outputs else {
                return Ok(());
            };
            let mut values = values.as_mut().map(TensorViewMut::as_mut_slice::<S>);
            let mut indices = indices.as_mut().map(TensorViewMut::as_mut_slice::<i64>);
            let places: &mut [V::Placed] = bytemuck::cast_slice_mut(scratch);
            let places = &mut places[..self.length];
            for line in 0..self.outer * self.inner {
                let (outer, inner) = (line / self.inner, line % self.inner);
                let element = |place: usize| x[(outer * self.length + place) * self.inner + inner];
                for (number, place) in places.iter_mut().enumerate() {
                    *place = load(element(number)).placed(number as u32, self.largest);
                }
                // every place is another, so the order is total, and whatever sorts gives the same
                if (1..self.length).contains(&self.count) {
                    places.select_nth_unstable(self.count - 1);
                }
                let first = &mut places[..self.count];
                first.sort_unstable();
                for (rank, &place) in first.iter().enumerate() {
                    let place = V::place(place) as usize;
                    let at = (outer * self.count + rank) * self.inner + inner;
                    if let Some(values) = &mut values {
                        values[at] = element(place);
                    }
                    if let Some(indices) = &mut indices {
                        indices[at] = place as i64;
                    }
                }
            }
            Ok(())
        })
    }
}

/// An element as an unsigned number that is ordered as TopK orders elements.
trait Key: Copy + Send + Sync + 'static {
    /// A number with the element's place in its line behind it.
    type Placed: Ord + Pod + Send + Sync;

    /// The element at `place`; if the greatest come first, all bits of its number are turned.
    fn placed(self, place: u32, turned: bool) -> Self::Placed;

    /// The place.
    fn place(placed: Self::Placed) -> u32;
}

/// Numbers of 32 bits fit a word with their place.
macro_rules! narrow_key {
    ($($t:ty: |$x:ident| $key:expr;)+) => {$(
        impl Key for $t {
            type Placed = u64;

            #[inline(always)]
            fn placed(self, place: u32, turned: bool) -> u64 {
                let $x = self;
                let key: u32 = $key;
                u64::from(if turned { !key } else { key }) << 32 | u64::from(place)
            }

            #[inline(always)]
            fn place(placed: u64) -> u32 {
                placed as u32
            }
        }
    )+};
}

/// Those of 64 bits fit two.
macro_rules! wide_key {
    ($($t:ty: |$x:ident| $key:expr;)+) => {$(
        impl Key for $t {
            type Placed = [u64; 2];

            #[inline(always)]
            fn placed(self, place: u32, turned: bool) -> [u64; 2] {
                let $x = self;
                let key: u64 = $key;
                [if turned { !key } else { key }, place.into()]
            }

            #[inline(always)]
            fn place(placed: [u64; 2]) -> u32 {
                placed[1] as u32
            }
        }
    )+};
}

/// The bits of a float, so that they are ordered as numbers are: NaN highest, both zeros equal.
macro_rules! ordered_bits {
    ($x:expr, $unsigned:ty, $sign:expr) => {{
        let (x, sign): (_, $unsigned) = ($x, $sign);
        let bits = x.to_bits();
        if x != x {
            <$unsigned>::MAX
        } else if x == 0.0 {
            sign
        } else if bits & sign == 0 {
            bits | sign
        } else {
            !bits
        }
    }};
}

narrow_key! {
    f32: |x| ordered_bits!(x, u32, 1 << 31);
    i8: |x| (i32::from(x) as u32) ^ 1 << 31;
    i16: |x| (i32::from(x) as u32) ^ 1 << 31;
    i32: |x| (x as u32) ^ 1 << 31;
    u8: |x| x.into();
    u16: |x| x.into();
    u32: |x| x;
}
wide_key! {
    f64: |x| ordered_bits!(x, u64, 1 << 63);
    i64: |x| (x as u64) ^ 1 << 63;
    u64: |x| x;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of elements, sorted by their keys.
    fn sorted<V: Key>(elements: &[V], largest: bool) -> Vec<u32> {
        let mut placed: Vec<_> = elements
            .iter()
            .zip(0..)
            .map(|(x, place)| x.placed(place, largest))
            .collect();
        placed.sort_unstable();
        placed.into_iter().map(V::place).collect()
    }

    #[test]
    fn keys_order_nan_highest_and_both_zeros_alike() {
        let floats = [
            0.0_f32,
            -0.0,
            f32::NAN,
            -1.0,
            f32::INFINITY,
            1e-45,
            -f32::NAN,
            f32::NEG_INFINITY,
        ];
        assert_eq!(sorted(&floats, false), [7, 3, 0, 1, 5, 4, 2, 6]);
        assert_eq!(sorted(&floats, true), [2, 6, 4, 5, 0, 1, 3, 7]);
        let doubles = floats.map(f64::from);
        assert_eq!(sorted(&doubles, false), [7, 3, 0, 1, 5, 4, 2, 6]);
    }

    #[test]
    fn keys_order_integers_of_both_signs() {
        assert_eq!(
            sorted(&[0_i64, i64::MIN, i64::MAX, -1, 0], false),
            [1, 3, 0, 4, 2]
        );
        assert_eq!(sorted(&[0_i8, i8::MIN, i8::MAX, -1, 0], true), [2, 0, 4, 3, 1]);
        assert_eq!(sorted(&[7_u64, u64::MAX, 0], true), [1, 0, 2]);
    }
}
