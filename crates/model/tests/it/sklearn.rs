//! Models that scikit-learn trained and skl2onnx exported, against what ONNX Runtime says of the same rows.
//!
//! The fixtures are made by `testing/sklearn/generate.py` and committed with their hashes. Labels must be equal; numbers may
//! differ by what single precision costs another runtime, which sums in f32.

use sha2::{Digest, Sha256};
use std::{fs, path::Path};
use synod_model::*;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/sklearn/models")
}

fn tensor(path: &Path) -> Tensor {
    let bytes = fs::read(path).expect("the fixture is there");
    decode_tensor_proto(&bytes).expect("it is a tensor").1
}

/// How one fixture differs from what is expected.
fn difference(folder: &Path) -> Result<(), String> {
    let file = fs::read(folder.join("model.onnx")).map_err(|error| error.to_string())?;
    let input = tensor(&folder.join("input_0.pb"));
    let mut options = ImportOptions::default();
    let canonical = loop {
        match import_onnx(&file, &NoExternalData, &options) {
            Err(ImportError::FreeDimension { name, axis, .. }) => {
                options.dims.insert(name, DimSetting::AtMost(input.shape()[axis]));
            }
            other => break other.map_err(|error| error.to_string())?,
        }
    };
    let model = Model::load(canonical.graph, canonical.weights).map_err(|error| error.to_string())?;
    let plan = model
        .plan(&[input.shape().to_vec()])
        .map_err(|error| error.to_string())?;
    let inputs = [input];
    let outputs = plan
        .run(&inputs, &mut Unmetered)
        .map_err(|error| error.to_string())?;
    let reference = plan.run_reference(&inputs, &mut Unmetered);
    if reference.as_ref() != Ok(&outputs) {
        return Err("the two arithmetics differ".into());
    }
    for (place, output) in outputs.iter().enumerate() {
        let expected = tensor(&folder.join(format!("output_{place}.pb")));
        if output.dtype() != expected.dtype() || output.shape() != expected.shape() {
            return Err(format!("output {place} is {output:?}, expected {expected:?}"));
        }
        let same = if output.dtype() == DType::F32 {
            let pairs = output.as_slice::<f32>().iter().zip(expected.as_slice::<f32>());
            // Scores of support vectors are differences of sums that are much larger.
            let largest = expected
                .as_slice::<f32>()
                .iter()
                .map(|x| x.abs())
                .max_by(f32::total_cmp)
                .unwrap_or(0.0);
            pairs
                .into_iter()
                .all(|(&got, &wanted)| (got - wanted).abs() <= 1e-5 + 1e-4 * wanted.abs() + 3e-6 * largest)
        } else {
            *output == expected
        };
        if !same {
            return Err(format!("output {place} is {output:?}, expected {expected:?}"));
        }
    }
    Ok(())
}

#[test]
fn scikit_learns_models_give_what_they_give_elsewhere() {
    let mut folders: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    assert!(folders.len() >= 20, "the fixtures are there");
    let failures: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let why = difference(folder).err()?;
            Some(format!("{}: {why}", folder.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_fixtures_are_the_ones_that_were_made() {
    let sums = fs::read_to_string(folder().join("SHA256SUMS")).unwrap();
    assert!(sums.lines().count() > 60);
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        let bytes = fs::read(folder().join(path)).unwrap();
        let digest: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, sum, "{path}");
    }
}
