//! Comparing the engine with another runtime: models with inputs, and the outputs that the other gave.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "each test binary uses its part"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "a tolerance is no arithmetic of the engine"
)]

use std::{collections::BTreeMap, fmt, fs, path::Path};
use synod_model::*;
use synod_numerics::half::{bf16_to_f32, f16_to_f32};

/// One call: the inputs, and what the other runtime answers.
#[derive(Debug, Default)]
pub struct Call {
    pub inputs: Vec<(String, Tensor)>,
    pub outputs: Vec<(String, Tensor)>,
}

/// A model with calls, in the layout of ONNX's own tests.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub file: Vec<u8>,
    pub calls: Vec<Call>,
    /// Outputs that the next call takes as inputs.
    pub carried: Vec<(String, String)>,
}

impl Case {
    /// Reads the folder of a case.
    pub fn read(folder: &Path) -> Self {
        let file = fs::read(folder.join("model.onnx")).expect("a case has its model");
        let tensors = |set: &Path, kind: &str| -> Vec<(String, Tensor)> {
            (0..)
                .map_while(|place| fs::read(set.join(format!("{kind}_{place}.pb"))).ok())
                .map(|bytes| decode_tensor_proto(&bytes).expect("a tensor of the profile's types"))
                .collect()
        };
        let calls = (0..)
            .map(|number| folder.join(format!("test_data_set_{number}")))
            .take_while(|set| set.is_dir())
            .map(|set| Call {
                inputs: tensors(&set, "input"),
                outputs: tensors(&set, "output"),
            })
            .collect();
        let carried = fs::read_to_string(folder.join("carried.txt")).unwrap_or_default();
        let pair = |line: &str| {
            let (output, input) = line.split_once(' ').expect("OUTPUT INPUT");
            (output.to_owned(), input.to_owned())
        };
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            file,
            calls,
            carried: carried.lines().map(pair).collect(),
        }
    }

    /// Every case of a folder, by name.
    pub fn read_all(folder: &Path) -> Vec<Self> {
        let mut folders: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.join("model.onnx").exists())
            .collect();
        folders.sort();
        folders.iter().map(|folder| Self::read(folder)).collect()
    }

    /// Imports the model for the shapes of its calls: a free dimension that is always the same is pinned, another gets the largest
    /// size as its bound.
    pub fn import(&self, external: &dyn ExternalData) -> Result<Model, String> {
        let canonical = self.canonical(external)?;
        Model::load(canonical.graph, canonical.weights).map_err(|error| format!("does not load: {error}"))
    }

    /// The file in canonical form, its free dimensions those of the calls.
    pub fn canonical(&self, external: &dyn ExternalData) -> Result<CanonicalModel, String> {
        let mut options = ImportOptions::default();
        loop {
            match import_onnx(&self.file, external, &options) {
                Err(ImportError::FreeDimension { name, input, axis }) => {
                    let size = |call: &Call| {
                        let (_, tensor) = call.inputs.iter().find(|(name, _)| *name == input)?;
                        tensor.shape().get(axis).copied()
                    };
                    let sizes: Vec<usize> = self.calls.iter().filter_map(size).collect();
                    let largest = *sizes
                        .iter()
                        .max()
                        .ok_or_else(|| format!("no call gives `{input}` its dimension {axis}"))?;
                    let same = sizes.iter().all(|&size| size == largest);
                    let setting = if same { DimSetting::Pin } else { DimSetting::AtMost };
                    options.dims.insert(name, setting(largest));
                }
                other => return other.map_err(|error| error.to_string()),
            }
        }
    }
}

/// The inputs of a call in the model's order.
pub fn arguments(model: &Model, given: &BTreeMap<String, Tensor>) -> Result<Vec<Tensor>, String> {
    let inputs = model.signature().inputs.iter();
    inputs
        .map(|input| {
            let tensor = given.get(&input.name);
            tensor
                .cloned()
                .ok_or_else(|| format!("input `{}` is not given", input.name))
        })
        .collect()
}

/// How far floats may differ: the sum of these.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tolerance {
    /// In parts of the other value.
    pub relative: f64,
    /// In parts of the tensor's largest finite value.
    pub of_largest: f64,
    /// As it is.
    pub absolute: f64,
}

/// The largest difference of two tensors, in parts of the largest finite value.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
pub struct Difference(pub f64);

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e}", self.0)
    }
}

/// Compares with what the other runtime gave: types, shapes, integers, infinities and the places of NaNs exactly, finite floats
/// within the tolerance.
pub fn compare(got: &Tensor, expected: &Tensor, tolerance: Tolerance) -> Result<Difference, String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        return Err(format!(
            "got {}{:?}, expected {}{:?}",
            got.dtype(),
            got.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    let (Some(got_floats), Some(expected_floats)) = (floats(got), floats(expected)) else {
        let place = integers(got)
            .iter()
            .zip(&integers(expected))
            .position(|(a, b)| a != b);
        return match place {
            None => Ok(Difference(0.0)),
            Some(place) => Err(format!(
                "element {place} is {}, expected {}",
                integers(got)[place],
                integers(expected)[place]
            )),
        };
    };
    let largest = expected_floats
        .iter()
        .filter(|x| x.is_finite())
        .fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let mut difference: f64 = 0.0;
    for (place, (&got, &expected)) in got_floats.iter().zip(&expected_floats).enumerate() {
        if got == expected || got.is_nan() && expected.is_nan() {
            continue;
        }
        let apart = (got - expected).abs();
        let allowed =
            tolerance.relative * expected.abs() + tolerance.of_largest * largest + tolerance.absolute;
        let near = apart <= allowed;
        if !(got.is_finite() && expected.is_finite() && near) {
            return Err(format!(
                "element {place} of {} is {got:e}, expected {expected:e} (the largest is {largest:e})",
                got_floats.len()
            ));
        }
        difference = difference.max(apart / largest);
    }
    Ok(Difference(difference))
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    let halves = |widen: fn(u16) -> f32| {
        tensor
            .as_slice::<u16>()
            .iter()
            .map(|&x| widen(x).into())
            .collect()
    };
    Some(match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().iter().map(|&x| x.into()).collect(),
        DType::F64 => tensor.as_slice::<f64>().to_vec(),
        DType::F16 => halves(f16_to_f32),
        DType::BF16 => halves(bf16_to_f32),
        _ => return None,
    })
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.to_i64s().expect("not a float")
}
