//! Random small models, against what ONNX Runtime says of them: for the operators of which ONNX's own tests have few.
//!
//! `testing/onnxruntime-fuzz/generate.py` draws the cases (its head describes the file) into `target/onnxruntime-fuzz/cases.bin`, or the
//! file that `SYNOD_ONNXRUNTIME_FUZZ` names. A failing case is a function of the seed and its index:
//! `python testing/onnxruntime-fuzz/generate.py model.onnx --seed S --case INDEX` shows it.
//!
//! Integers, infinities and the places of NaNs must be equal, floats within a tolerance that goes with the number of terms of the sum; and the
//! two arithmetics of the engine must agree bit for bit. What ONNX Runtime runs and the import refuses is listed, a
//! reason each. What it reads otherwise than ONNX is not drawn: the generator says so at each place. What ONNX Runtime refuses must not make the
//! engine panic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::peer::{Tolerance, arguments, compare};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use synod_model::*;

/// What the import refuses although ONNX Runtime runs it: the kind of case, words of the refusal, the reason.
const REFUSED: &[(&str, &str, &str)] = &[];

struct Drawn {
    name: String,
    file: Vec<u8>,
    tolerance: Tolerance,
    inputs: Vec<(String, Tensor)>,
    outputs: Vec<(String, Tensor)>,
    refused: String,
}

fn file() -> Option<PathBuf> {
    let given = std::env::var_os("SYNOD_ONNXRUNTIME_FUZZ").map(PathBuf::from);
    let file = given.clone().unwrap_or_else(|| {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/onnxruntime-fuzz/cases.bin")
    });
    if file.is_file() {
        return Some(file);
    }
    assert!(
        given.is_none(),
        "SYNOD_ONNXRUNTIME_FUZZ names {}, which is not there",
        file.display()
    );
    eprintln!(
        "skipped: no cases in {}; `cargo xtask test` draws them",
        file.display()
    );
    None
}

fn read(mut bytes: &[u8]) -> Vec<Drawn> {
    let mut field = || -> Option<Vec<u8>> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bytes = rest;
        Some(field.to_vec())
    };
    let mut cases = Vec::new();
    while let Some(name) = field() {
        let file = field().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let tolerance = text(field().unwrap());
        let parts: Vec<f64> = tolerance.split(' ').map(|part| part.parse().unwrap()).collect();
        let mut tensors = || -> Vec<(String, Tensor)> {
            let count = u32::from_le_bytes(field().unwrap().try_into().unwrap());
            (0..count)
                .map(|_| decode_tensor_proto(&field().unwrap()).expect("a tensor of the profile's types"))
                .collect()
        };
        let (inputs, outputs) = (tensors(), tensors());
        cases.push(Drawn {
            name: text(name),
            file,
            tolerance: Tolerance {
                relative: parts[0],
                absolute: parts[1],
                of_largest: parts[2],
            },
            inputs,
            outputs,
            refused: text(field().unwrap()),
        });
    }
    cases
}

enum Outcome {
    Same,
    Refused(String),
    Wrong(String),
}

fn run(case: &Drawn) -> Outcome {
    let canonical = match import_onnx(&case.file, &NoExternalData, &ImportOptions::default()) {
        Ok(canonical) => canonical,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let result = || -> Result<(), String> {
        let model = Model::load(canonical.graph, canonical.weights).map_err(|error| error.to_string())?;
        let given: BTreeMap<_, _> = case.inputs.iter().cloned().collect();
        let inputs = arguments(&model, &given)?;
        let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let plan = model.plan(&shapes).map_err(|error| error.to_string())?;
        let outputs = plan.run(&inputs, &mut Unmetered);
        let reference = plan.run_reference(&inputs, &mut Unmetered);
        if outputs != reference {
            return Err(format!(
                "the two arithmetics differ: fast {outputs:?}\nreference {reference:?}"
            ));
        }
        if !case.refused.is_empty() {
            return Ok(());
        }
        for (place, (output, (name, expected))) in outputs
            .map_err(|error| error.to_string())?
            .iter()
            .zip(&case.outputs)
            .enumerate()
        {
            assert_eq!(&model.signature().outputs[place].name, name);
            compare(output, expected, case.tolerance).map_err(|why| format!("output {place}: {why}"))?;
        }
        Ok(())
    };
    match result() {
        Ok(()) => Outcome::Same,
        Err(why) => Outcome::Wrong(why),
    }
}

#[test]
fn random_models_give_what_they_give_elsewhere() {
    let Some(path) = file() else { return };
    let cases = read(&fs::read(&path).unwrap());
    assert!(
        cases.len() >= 500,
        "only {} cases in {}",
        cases.len(),
        path.display()
    );
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut failures = Vec::new();
    for case in &cases {
        let (kind, _) = case.name.split_once('/').unwrap();
        let [same, refused, elsewhere] = counts.entry(kind.to_owned()).or_default();
        match run(case) {
            _ if !case.refused.is_empty() => *elsewhere += 1,
            Outcome::Same => *same += 1,
            Outcome::Refused(why)
                if REFUSED
                    .iter()
                    .any(|(of, words, _)| *of == kind && why.contains(words)) =>
            {
                *refused += 1;
            }
            Outcome::Refused(why) => failures.push(format!("{}: refused: {why}", case.name)),
            Outcome::Wrong(why) => failures.push(format!("{}: {why}", case.name)),
        }
    }
    for (kind, [same, refused, elsewhere]) in &counts {
        eprintln!("{kind}: {same} the same, {refused} refused, {elsewhere} refused elsewhere");
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases fail:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
}
