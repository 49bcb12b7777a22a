//! Decimal numbers with a shape, from files that know no element types.

use eyre::{Result, bail, eyre};
use synod_model::{DType, Dim, Tensor};

/// Numbers as they were written, in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Numbers {
    shape: Vec<usize>,
    /// Whether the outermost dimension counts rows of a table, whose columns may be several inner dimensions.
    table: bool,
    words: Vec<String>,
}

impl Numbers {
    /// Numbers from nested lists.
    pub(crate) fn nested(shape: Vec<usize>, words: Vec<String>) -> Self {
        Self {
            shape,
            table: false,
            words,
        }
    }

    /// Numbers from a table with this many rows.
    pub(crate) fn table(rows: usize, words: Vec<String>) -> Self {
        let columns = words.len().checked_div(rows).unwrap_or(0);
        Self {
            shape: vec![rows, columns],
            table: true,
            words,
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The shape in which an input with these dimensions takes the numbers, if it can.
    ///
    /// Nested lists say it themselves. A table may be read three ways: as it is; as rows that are samples of several
    /// dimensions (150 columns for `[batch, 6, 25]`); or, where there is only one row or column, as the whole tensor.
    pub(crate) fn shape_for(&self, dims: &[Dim]) -> Option<Vec<usize>> {
        if !self.table || self.shape.len() == dims.len() {
            return Some(self.shape.clone());
        }
        let (rows, columns) = (self.shape[0], self.shape[1]);
        let fixed = |dims: &[Dim]| -> Option<Vec<usize>> {
            dims.iter()
                .map(|dim| match dim {
                    Dim::Fixed(n) => Some(*n),
                    Dim::Symbol { .. } | Dim::Open { .. } => None,
                })
                .collect()
        };
        let product = |shape: &[usize]| shape.iter().try_fold(1usize, |n, &dim| n.checked_mul(dim));
        if let [_, inner @ ..] = dims
            && let Some(inner) = fixed(inner)
            && !inner.is_empty()
            && product(&inner) == Some(columns)
        {
            return Some(std::iter::once(rows).chain(inner).collect());
        }
        if let [_] = dims
            && (rows == 1 || columns == 1)
        {
            return Some(vec![rows * columns]);
        }
        fixed(dims).filter(|shape| (rows == 1 || columns == 1) && product(shape) == Some(rows * columns))
    }

    /// The numbers, each rounded once to `dtype`, in this shape.
    ///
    /// # Errors
    /// If a word is no number, or the type cannot hold it: integers do not take fractions, nothing takes NaN.
    pub(crate) fn round_to(&self, dtype: DType, shape: &[usize]) -> Result<Tensor> {
        let mut bytes = Vec::with_capacity(self.words.len() * dtype.size());
        for (index, word) in self.words.iter().enumerate() {
            let refused = || eyre!("number {} ({word:?}) is not a {dtype}", index + 1);
            match dtype {
                DType::F32 => bytes.extend(finite::<f32>(word).ok_or_else(refused)?.to_le_bytes()),
                DType::F64 => bytes.extend(finite::<f64>(word).ok_or_else(refused)?.to_le_bytes()),
                DType::I8 => bytes.extend(word.parse::<i8>().map_err(|_| refused())?.to_le_bytes()),
                DType::I16 => bytes.extend(word.parse::<i16>().map_err(|_| refused())?.to_le_bytes()),
                DType::I32 => bytes.extend(word.parse::<i32>().map_err(|_| refused())?.to_le_bytes()),
                DType::I64 => bytes.extend(word.parse::<i64>().map_err(|_| refused())?.to_le_bytes()),
                DType::U8 => bytes.extend(word.parse::<u8>().map_err(|_| refused())?.to_le_bytes()),
                DType::U16 => bytes.extend(word.parse::<u16>().map_err(|_| refused())?.to_le_bytes()),
                DType::U32 => bytes.extend(word.parse::<u32>().map_err(|_| refused())?.to_le_bytes()),
                DType::U64 => bytes.extend(word.parse::<u64>().map_err(|_| refused())?.to_le_bytes()),
                DType::Bool => bytes.push(match word.as_str() {
                    "0" | "false" | "False" => 0,
                    "1" | "true" | "True" => 1,
                    _ => return Err(refused()),
                }),
                DType::F16 | DType::BF16 => {
                    bail!("decimal numbers cannot be given for {dtype}: use a .npy or .pb file")
                }
            }
        }
        Ok(Tensor::from_le_bytes(dtype, shape, &bytes)?)
    }
}

/// A finite number that stays finite in `T`.
fn finite<T: std::str::FromStr + Into<f64> + Copy>(word: &str) -> Option<T> {
    word.parse::<T>().ok().filter(|&x| x.into().is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn batch() -> Dim {
        Dim::Symbol {
            name: "batch".into(),
            max: 8,
        }
    }

    #[test]
    fn a_table_is_read_as_samples_rows_or_a_vector() {
        let table = Numbers::table(2, words("1 2 3 4 5 6 7 8 9 10 11 12"));
        assert_eq!(table.shape_for(&[batch(), Dim::Fixed(6)]), Some(vec![2, 6]));
        assert_eq!(
            table.shape_for(&[batch(), Dim::Fixed(2), Dim::Fixed(3)]),
            Some(vec![2, 2, 3])
        );
        assert_eq!(table.shape_for(&[batch(), Dim::Fixed(2), Dim::Fixed(2)]), None);
        assert_eq!(table.shape_for(&[Dim::Fixed(12)]), None);
        let row = Numbers::table(1, words("1 2 3 4"));
        assert_eq!(row.shape_for(&[Dim::Fixed(4)]), Some(vec![4]));
        let column = Numbers::table(4, words("1 2 3 4"));
        assert_eq!(column.shape_for(&[Dim::Fixed(4)]), Some(vec![4]));
        assert_eq!(
            column.shape_for(&[Dim::Fixed(1), Dim::Fixed(2), Dim::Fixed(2)]),
            Some(vec![1, 2, 2])
        );
    }

    #[test]
    fn numbers_are_rounded_once_and_only_if_they_fit() {
        // 1 + 2^-24 + 2^-54 is above the midpoint; by way of f64 it would become the midpoint and then 1.0.
        let word = "1.00000005960464483090";
        let tensor = Numbers::nested(vec![1], words(word))
            .round_to(DType::F32, &[1])
            .unwrap();
        assert_eq!(tensor.as_slice::<f32>()[0].to_bits(), 0x3f80_0001);
        for (dtype, word) in [
            (DType::F32, "NaN"),
            (DType::F32, "inf"),
            (DType::F32, "1e39"),
            (DType::F64, "-infinity"),
            (DType::U8, "256"),
            (DType::I32, "1.5"),
            (DType::Bool, "2"),
            (DType::F32, "twelve"),
            (DType::F16, "1"),
        ] {
            assert!(
                Numbers::nested(vec![1], words(word))
                    .round_to(dtype, &[1])
                    .is_err(),
                "{dtype} {word}"
            );
        }
    }
}
