//! Unique: the different elements of a tensor, or the different slices along an axis. ONNX `Unique`, opset 11.
//!
//! Zeros of both signs are equal, as are all NaNs, which are greater than every number. Slices are compared element by element
//! in row-major order; the first difference counts. Of equals the first stands for all.

use super::{
    DType, DataDependent, Definition, Extent, Inputs, OpError, Path, TensorType, Work,
    late::{Late, bytes_of},
    normalize_axis,
};
use crate::Tensor;

/// `Unique`
pub(super) const UNIQUE: Definition = Definition {
    name: "Unique",
    since: &[11, 28],
    inputs: 1..=1,
    outputs: 1..=4,
    parse: |node| {
        Ok(Box::new(Late(Unique {
            axis: node.attributes.int("axis")?,
            sorted: node.attributes.flag("sorted", true)?,
        })))
    },
};

#[derive(Debug)]
struct Unique {
    axis: Option<i64>,
    sorted: bool,
}

/// How a tensor is cut into what is compared.
struct Cut {
    outer: usize,
    /// What is compared: so many.
    length: usize,
    inner: usize,
}

impl Unique {
    fn cut(&self, shape: &[usize]) -> Result<Cut, OpError> {
        Ok(match self.axis {
            None => Cut {
                outer: 1,
                length: shape.iter().product(),
                inner: 1,
            },
            Some(axis) => {
                let axis = normalize_axis(axis, shape.len())?;
                Cut {
                    outer: shape[..axis].iter().product(),
                    length: shape[axis],
                    inner: shape[axis + 1..].iter().product(),
                }
            }
        })
    }
}

/// A number in the order of the elements: equal for equals.
fn key(dtype: DType, element: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..element.len()].copy_from_slice(element);
    let bits = u64::from_le_bytes(bytes);
    let width = 8 * element.len() as u32;
    let sign = 1u64 << (width - 1);
    if dtype.is_float() {
        let infinity = match dtype {
            DType::F32 => 0x7f80_0000,
            DType::F64 => 0x7ff0_0000_0000_0000,
            DType::F16 => 0x7c00,
            _ => 0x7f80,
        };
        let magnitude = bits & (sign - 1);
        match () {
            () if magnitude > infinity => u64::MAX,
            () if magnitude == 0 => sign,
            () if bits & sign != 0 => sign - magnitude,
            () => sign + magnitude,
        }
    } else if matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64) {
        bits ^ sign
    } else {
        bits
    }
}

impl DataDependent for Unique {
    fn work(&self, inputs: &Inputs<'_>) -> Result<Work, OpError> {
        let x = inputs.required(0)?;
        let cut = self.cut(x.shape)?;
        // Comparisons while sorting: one for each halving, and a few more; each may look at whole slices.
        let levels = u64::from(u64::BITS - (cut.length as u64).leading_zeros()) + 6;
        Ok(Work {
            arithmetic: (x.elements() as u64)
                .saturating_mul(levels)
                .saturating_mul(130)
                .saturating_add((cut.length as u64).saturating_mul(2_000)),
            bytes: bytes_of(inputs)
                .saturating_mul(4)
                .saturating_add((x.elements() as u64).saturating_mul(32)),
        })
    }

    fn extent(&self, inputs: &[Option<&Tensor>]) -> Result<Extent, OpError> {
        let x = inputs
            .first()
            .copied()
            .flatten()
            .ok_or(OpError::MissingInput { index: 0 })?;
        let cut = self.cut(x.shape())?;
        TensorType::new(DType::I64, vec![cut.length])?;
        // Keys of all elements; order, groups and three lists of what is compared; the result.
        let keys = 8 * x.elements() as u64;
        Ok(Extent {
            work: Work::default(),
            memory: keys
                .saturating_add((cut.length as u64).saturating_mul(56))
                .saturating_add(x.bytes().len() as u64),
        })
    }

    fn evaluate(&self, inputs: &[Option<&Tensor>], _: Path) -> Result<Vec<Tensor>, OpError> {
        let x = inputs
            .first()
            .copied()
            .flatten()
            .ok_or(OpError::MissingInput { index: 0 })?;
        let (dtype, size) = (x.dtype(), x.dtype().size());
        let Cut { outer, length, inner } = self.cut(x.shape())?;
        let width = outer * inner;
        let mut keys = vec![0u64; length * width];
        for (at, element) in x.bytes().chunks_exact(size).enumerate() {
            let (rest, within) = (at / inner, at % inner);
            let (run, slice) = (rest / length, rest % length);
            keys[slice * width + run * inner + within] = key(dtype, element);
        }
        let slice = |index: usize| &keys[index * width..][..width];
        let mut order: Vec<usize> = (0..length).collect();
        // Stable: of equals the first stays first.
        order.sort_by(|&a, &b| slice(a).cmp(slice(b)));
        // The first of each group, in sorted order, with its size.
        let mut groups: Vec<(usize, i64)> = Vec::new();
        let mut group_of = vec![0usize; length];
        for &index in &order {
            match groups.last_mut() {
                Some((first, count)) if slice(*first) == slice(index) => *count += 1,
                _ => groups.push((index, 1)),
            }
            group_of[index] = groups.len() - 1;
        }
        // From sorted order to the order of the result.
        let mut places: Vec<usize> = (0..groups.len()).collect();
        if !self.sorted {
            let mut by_first: Vec<usize> = (0..groups.len()).collect();
            by_first.sort_by_key(|&group| groups[group].0);
            for (place, &group) in by_first.iter().enumerate() {
                places[group] = place;
            }
        }
        let count = groups.len();
        let (mut firsts, mut counts) = (vec![0i64; count], vec![0i64; count]);
        for (&(first, size), &place) in groups.iter().zip(&places) {
            (firsts[place], counts[place]) = (first as i64, size);
        }
        let inverse: Vec<i64> = group_of.iter().map(|&group| places[group] as i64).collect();
        let shape = match self.axis {
            None => vec![count],
            Some(axis) => {
                let mut shape = x.shape().to_vec();
                let axis = normalize_axis(axis, shape.len())?;
                shape[axis] = count;
                shape
            }
        };
        let mut unique = Tensor::zeros(dtype, &shape)?;
        let mut view = unique.view_mut();
        let written = view.bytes_mut();
        let run = inner * size;
        for outer in 0..outer {
            for (place, &first) in firsts.iter().enumerate() {
                let from = (outer * length + first as usize) * run;
                let to = (outer * count + place) * run;
                written[to..to + run].copy_from_slice(&x.bytes()[from..from + run]);
            }
        }
        let list = |values: &[i64]| {
            Tensor::from_slice(DType::I64, &[values.len()], values)
                .map_err(|_| OpError::MissingInput { index: 0 })
        };
        Ok(vec![unique, list(&firsts)?, list(&inverse)?, list(&counts)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers() {
        let floats = [
            f32::NEG_INFINITY,
            -1.0,
            -1e-45,
            0.0,
            1e-45,
            1.0,
            f32::INFINITY,
            f32::NAN,
        ];
        let keys: Vec<u64> = floats.iter().map(|x| key(DType::F32, &x.to_le_bytes())).collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert_eq!(key(DType::F32, &(-0f32).to_le_bytes()), keys[3]);
        let integers = [i64::MIN, -1, 0, 1, i64::MAX];
        let keys: Vec<u64> = integers
            .iter()
            .map(|x| key(DType::I64, &x.to_le_bytes()))
            .collect();
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(key(DType::U64, &u64::MAX.to_le_bytes()) > key(DType::U64, &1u64.to_le_bytes()));
    }
}
