//! Models that Keras saved, run on this project's engine, against what Keras gives.
//!
//! `testing/keras/generate.py` makes the fixtures (`cargo xtask regen`); `SYNOD_KERAS` names a folder of others. Networks of Keras'
//! applications are there without their weights, which recipes make.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(
    clippy::disallowed_methods,
    reason = "a tolerance is no arithmetic of the engine"
)]

mod sample;

use sample::Sample;
use sha2::{Digest as _, Sha256};
use std::{fs, path::PathBuf};
use synod_import::{KerasOptions, LAYER_PREFIX, import_keras};
use synod_model::{
    DType, DimSetting, ImportError, ImportOptions, Model, NoExternalData, Tensor, Unmetered, import_onnx,
};

/// How far an element may be from Keras': a part of itself and a part of the tensor's largest. Sums have another order there, and
/// TensorFlow's exponentials and tangents are good to some units in the last place.
const RELATIVE: f64 = 1e-4;
const OF_LARGEST: f64 = 2e-5;
/// The same through the hundred layers of an application.
const OF_LARGEST_DEEP: f64 = 1e-3;

/// The fixtures that must be there.
const CASES: usize = 111;

fn given() -> Option<PathBuf> {
    std::env::var_os("SYNOD_KERAS").map(PathBuf::from)
}

/// Imports an ONNX file with its free dimensions set as the inputs have them.
fn load(file: &[u8], sample: &Sample) -> Result<Model, String> {
    let mut options = ImportOptions::default();
    loop {
        match import_onnx(file, &NoExternalData, &options) {
            Ok(canonical) => {
                return Model::load(canonical.graph, canonical.weights).map_err(|error| error.to_string());
            }
            Err(ImportError::FreeDimension { name, input, axis }) => {
                let tensor = sample.inputs.get(&input).or_else(|| sample.inputs.get(""));
                let size = tensor.ok_or_else(|| format!("no input `{input}`"))?.shape()[axis];
                options.dims.insert(name, DimSetting::Pin(size));
            }
            Err(error) => return Err(format!("the ONNX file is refused: {error}")),
        }
    }
}

/// The largest difference, in parts of the largest element.
fn compare(got: &Tensor, expected: &Tensor, of_largest: f64) -> Result<f64, String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        return Err(format!(
            "got {}{:?}, Keras gives {}{:?}",
            got.dtype(),
            got.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    if got.dtype() != DType::F32 {
        return if got == expected {
            Ok(0.0)
        } else {
            Err("elements differ".to_owned())
        };
    }
    let (got, expected) = (got.as_slice::<f32>(), expected.as_slice::<f32>());
    let largest = expected
        .iter()
        .fold(0.0, |largest: f64, &x| largest.max(f64::from(x.abs())));
    let mut worst: f64 = 0.0;
    for (place, (&a, &b)) in got.iter().zip(expected).enumerate() {
        let (a, b) = (f64::from(a), f64::from(b));
        let apart = (a - b).abs();
        if apart.is_nan() || apart > RELATIVE * b.abs() + of_largest * largest {
            return Err(format!(
                "element {place} of {} is {a:e}, Keras gives {b:e} (the largest is {largest:e})",
                got.len()
            ));
        }
        worst = worst.max(if largest > 0.0 { apart / largest } else { 0.0 });
    }
    Ok(worst)
}

fn run(sample: &Sample) -> Result<f64, String> {
    let options = KerasOptions {
        layer_outputs: !sample.layers.is_empty(),
    };
    let imported = import_keras(sample.file.clone(), options).map_err(|error| error.to_string())?;
    if let Some(folder) = std::env::var_os("SYNOD_KERAS_ONNX") {
        fs::write(
            PathBuf::from(folder).join(format!("{}.onnx", sample.name)),
            &imported.onnx,
        )
        .unwrap();
    }
    let model = load(&imported.onnx, sample)?;
    let inputs: Vec<Tensor> = model
        .signature()
        .inputs
        .iter()
        .map(|input| {
            sample
                .inputs
                .get(&input.name)
                .or_else(|| sample.inputs.get(""))
                .cloned()
        })
        .collect::<Option<_>>()
        .ok_or("the inputs have other names")?;
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).map_err(|error| error.to_string())?;
    let outputs = plan
        .run(&inputs, &mut Unmetered)
        .map_err(|error| error.to_string())?;
    let of_largest = if sample.name.starts_with("application") {
        OF_LARGEST_DEEP
    } else {
        OF_LARGEST
    };
    let mut worst: f64 = 0.0;
    let names = model
        .signature()
        .outputs
        .iter()
        .map(|output| output.name.as_str());
    let mut failures = Vec::new();
    let mut compared = 0;
    for (place, (name, got)) in names.zip(&outputs).enumerate() {
        let expected = match name.strip_prefix(LAYER_PREFIX) {
            Some(layer) => sample.layers.get(layer),
            None => Some(sample.outputs.get(place).ok_or("more outputs than Keras gives")?),
        };
        let Some(expected) = expected else { continue };
        compared += 1;
        match compare(got, expected, of_largest) {
            Ok(difference) => worst = worst.max(difference),
            Err(why) => failures.push(format!("output {place} `{name}`: {why}")),
        }
    }
    if compared != sample.outputs.len() + sample.layers.len() {
        failures.push(format!(
            "{compared} outputs are compared of {} and {} of layers",
            sample.outputs.len(),
            sample.layers.len()
        ));
    }
    if failures.is_empty() {
        Ok(worst)
    } else {
        Err(failures.join("\n    "))
    }
}

#[test]
fn the_fixtures_are_the_ones_that_were_made() {
    let folder = sample::folder();
    let sums = fs::read_to_string(folder.join("SHA256SUMS")).unwrap();
    assert_eq!(sums.lines().count(), sample::archives(&folder).len());
    for line in sums.lines() {
        let (hash, name) = line.split_once("  ").unwrap();
        let found: String = Sha256::digest(fs::read(folder.join(name)).unwrap())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(found, hash, "{name}");
    }
}

#[test]
fn models_give_what_they_give_in_keras() {
    let folder = given().unwrap_or_else(sample::folder);
    let filter = std::env::var("SYNOD_KERAS_CASE").unwrap_or_default();
    let archives = sample::archives(&folder);
    assert!(
        given().is_some() || archives.len() == CASES,
        "{} fixtures",
        archives.len()
    );
    let mut failures = Vec::new();
    for path in archives
        .iter()
        .filter(|path| path.to_string_lossy().contains(&filter))
    {
        let sample = Sample::read(path);
        match run(&sample) {
            Ok(worst) => eprintln!(
                "{}: {} outputs, largest difference {worst:.1e} of the largest",
                sample.name,
                sample.outputs.len()
            ),
            Err(why) => failures.push(format!("{}: {why}", sample.name)),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        archives.len(),
        failures.join("\n")
    );
}
