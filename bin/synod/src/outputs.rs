//! What a prediction gives: written to files, shown, or as JSON.

use crate::tensors::{self, file_stem};
use alloy_primitives::{B256, keccak256};
use eyre::{Context as _, Result, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};
use synod_model::{DType, Tensor};
use synod_numerics::half::{bf16_to_f32, f16_to_f32};

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
        let words = words(&self.tensor, 0..SHOWN_ROWS * columns);
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

/// An element as text: the shortest decimal that gives the same bits back.
pub(crate) fn word(tensor: &Tensor, index: usize) -> String {
    words(tensor, index..index + 1).concat()
}

/// Elements as text; those that there are.
fn words(tensor: &Tensor, range: Range<usize>) -> Vec<String> {
    let range = range.start.min(tensor.elements())..range.end.min(tensor.elements());
    fn all<T: fmt::Display>(slice: &[T]) -> Vec<String> {
        slice.iter().map(ToString::to_string).collect()
    }
    let halves = |value: fn(u16) -> f32| -> Vec<String> {
        let bits = &tensor.as_slice::<u16>()[range.clone()];
        bits.iter().map(|&bits| value(bits).to_string()).collect()
    };
    match tensor.dtype() {
        DType::F32 => all(&tensor.as_slice::<f32>()[range]),
        DType::F64 => all(&tensor.as_slice::<f64>()[range]),
        DType::F16 => halves(f16_to_f32),
        DType::BF16 => halves(bf16_to_f32),
        DType::I8 => all(&tensor.as_slice::<i8>()[range]),
        DType::I16 => all(&tensor.as_slice::<i16>()[range]),
        DType::I32 => all(&tensor.as_slice::<i32>()[range]),
        DType::I64 => all(&tensor.as_slice::<i64>()[range]),
        DType::U8 => all(&tensor.as_slice::<u8>()[range]),
        DType::U16 => all(&tensor.as_slice::<u16>()[range]),
        DType::U32 => all(&tensor.as_slice::<u32>()[range]),
        DType::U64 => all(&tensor.as_slice::<u64>()[range]),
        DType::Bool => tensor.as_slice::<u8>()[range]
            .iter()
            .map(|&byte| (byte == 1).to_string())
            .collect(),
    }
}

/// JSON has no NaN and no infinity: they are strings.
fn json_values(tensor: &Tensor) -> Vec<serde_json::Value> {
    words(tensor, 0..tensor.elements())
        .into_iter()
        .map(|word| match serde_json::from_str(&word) {
            Ok(value) => value,
            Err(_) => serde_json::Value::String(word),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_shown_exactly() {
        let show = |dtype, bits: u16| word(&Tensor::from_slice(dtype, &[1], &[bits]).unwrap(), 0);
        assert_eq!(show(DType::F16, 0xc000), "-2");
        assert_eq!(show(DType::F16, 0x0001).parse(), Ok(2_f32.powi(-24)));
        assert_eq!(show(DType::F16, 0x7c00), "inf");
        assert_eq!(show(DType::BF16, 0x4049), "3.140625");
        assert_eq!(show(DType::BF16, 0x7fc0), "NaN");
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
