//! What a prediction gives: written to files, shown, or as JSON.

use crate::tensors::{self, file_stem};
use alloy_primitives::{B256, keccak256};
use eyre::{Context as _, Result, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use synod_model::{DType, Tensor};

/// Rows and columns of a tensor that are shown; the rest is in the file.
const SHOWN_ROWS: usize = 8;
const SHOWN_COLUMNS: usize = 8;

/// Elements of an output that go into JSON when no folder is named.
const MAX_JSON_ELEMENTS: usize = 1 << 20;

/// A result of a network.
#[derive(Debug, Serialize)]
pub(crate) struct Output {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    /// Hash of the packed big-endian elements: what a contract gets as `keccak256` of the answer.
    keccak256: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// All elements in row-major order, if they were not written to a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Vec<serde_json::Value>>,
    #[serde(skip)]
    tensor: Tensor,
}

/// Writes outputs to a folder, if one is named, and describes them.
pub(crate) fn collect(
    named: impl IntoIterator<Item = (String, Tensor)>,
    folder: Option<&Path>,
) -> Result<Vec<Output>> {
    let named: Vec<(String, Tensor)> = named.into_iter().collect();
    let mut files = BTreeMap::new();
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder)
            .wrap_err_with(|| format!("cannot make the folder {}", folder.display()))?;
        for (name, _) in &named {
            let file = folder.join(format!("{}.npy", file_stem(name)));
            let taken = files.insert(file.clone(), name.as_str());
            ensure!(
                taken.is_none(),
                "two outputs would both be written to {}",
                file.display()
            );
        }
    }
    named
        .iter()
        .map(|(name, tensor)| {
            let file = folder.map(|folder| folder.join(format!("{}.npy", file_stem(name))));
            if let Some(file) = &file {
                tensors::write_npy(file, tensor)?;
            }
            let values =
                (file.is_none() && tensor.elements() <= MAX_JSON_ELEMENTS).then(|| json_values(tensor));
            Ok(Output {
                name: name.clone(),
                dtype: tensor.dtype().name(),
                shape: tensor.shape().to_vec(),
                keccak256: keccak256(tensor.to_be_bytes()),
                file,
                values,
                tensor: tensor.clone(),
            })
        })
        .collect()
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{:?}", self.name, self.dtype, self.shape)?;
        if let Some(file) = &self.file {
            write!(f, " -> {}", file.display())?;
        }
        writeln!(f)?;
        let columns = self.shape.last().copied().unwrap_or(1).max(1);
        let words = words(&self.tensor, SHOWN_ROWS * columns);
        for row in words.chunks(columns).take(SHOWN_ROWS) {
            let more = if row.len() > SHOWN_COLUMNS { " …" } else { "" };
            writeln!(f, "  {}{more}", row[..row.len().min(SHOWN_COLUMNS)].join(" "))?;
        }
        let rows = self.tensor.elements() / columns;
        if rows > SHOWN_ROWS {
            writeln!(f, "  … {} rows in all", rows)?;
        }
        Ok(())
    }
}

/// The first `count` elements as text: the shortest decimal that gives the same bits back.
fn words(tensor: &Tensor, count: usize) -> Vec<String> {
    fn first<T: fmt::Display>(slice: &[T], count: usize) -> Vec<String> {
        slice.iter().take(count).map(ToString::to_string).collect()
    }
    match tensor.dtype() {
        DType::F32 => first(tensor.as_slice::<f32>(), count),
        DType::F64 => first(tensor.as_slice::<f64>(), count),
        DType::F16 => tensor
            .as_slice::<u16>()
            .iter()
            .take(count)
            .map(|&bits| half(bits, 5).to_string())
            .collect(),
        DType::BF16 => tensor
            .as_slice::<u16>()
            .iter()
            .take(count)
            .map(|&bits| half(bits, 8).to_string())
            .collect(),
        DType::I8 => first(tensor.as_slice::<i8>(), count),
        DType::I16 => first(tensor.as_slice::<i16>(), count),
        DType::I32 => first(tensor.as_slice::<i32>(), count),
        DType::I64 => first(tensor.as_slice::<i64>(), count),
        DType::U8 => first(tensor.as_slice::<u8>(), count),
        DType::U16 => first(tensor.as_slice::<u16>(), count),
        DType::U32 => first(tensor.as_slice::<u32>(), count),
        DType::U64 => first(tensor.as_slice::<u64>(), count),
        DType::Bool => tensor
            .as_slice::<u8>()
            .iter()
            .take(count)
            .map(|&byte| (byte == 1).to_string())
            .collect(),
    }
}

/// JSON has no NaN and no infinity: they are strings.
fn json_values(tensor: &Tensor) -> Vec<serde_json::Value> {
    words(tensor, tensor.elements())
        .into_iter()
        .map(|word| match serde_json::from_str(&word) {
            Ok(value) => value,
            Err(_) => serde_json::Value::String(word),
        })
        .collect()
}

/// The value of a 16-bit float with this many exponent bits; every one of them is an f32.
fn half(bits: u16, exponent_bits: u32) -> f32 {
    let fraction_bits = 15 - exponent_bits;
    let (exponent_mask, fraction_mask) = ((1u32 << exponent_bits) - 1, (1u32 << fraction_bits) - 1);
    let exponent = u32::from(bits) >> fraction_bits & exponent_mask;
    let fraction = u32::from(bits) & fraction_mask;
    let bias = (exponent_mask >> 1) as i32;
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let scaled = |mantissa: u32, power: i32| mantissa as f32 * 2f32.powi(power - fraction_bits as i32);
    sign * match exponent {
        0 => scaled(fraction, 1 - bias),
        e if e == exponent_mask && fraction == 0 => f32::INFINITY,
        e if e == exponent_mask => f32::NAN,
        e => scaled(fraction | 1 << fraction_bits, e as i32 - bias),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_shown_exactly() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x7bff, 65504.0),
        ] {
            assert_eq!(half(bits, 5), value);
        }
        assert_eq!(half(0x7c00, 5), f32::INFINITY);
        assert!(half(0x7e00, 5).is_nan());
        for value in [1.0f32, -3.5, 0.0, 2f32.powi(-126), 3.389_531_4e38] {
            assert_eq!(half((value.to_bits() >> 16) as u16, 8), value);
        }
    }

    #[test]
    fn two_outputs_never_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let tensor = Tensor::from_slice(DType::F32, &[1], &[1f32]).unwrap();
        let named = [
            ("a/b".to_owned(), tensor.clone()),
            ("a:b".to_owned(), tensor.clone()),
        ];
        assert!(collect(named, Some(folder.path())).is_err());
        let outputs = collect([("a/b".to_owned(), tensor)], Some(folder.path())).unwrap();
        assert!(folder.path().join("a_b.npy").is_file());
        assert!(outputs[0].to_string().contains("a_b.npy"));
    }

    #[test]
    fn json_keeps_what_numbers_cannot_say() {
        let tensor = Tensor::from_slice(DType::F32, &[3], &[0.1f32, f32::NAN, f32::NEG_INFINITY]).unwrap();
        assert_eq!(
            serde_json::to_string(&json_values(&tensor)).unwrap(),
            r#"[0.1,"NaN","-inf"]"#
        );
    }
}
