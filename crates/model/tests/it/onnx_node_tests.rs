//! ONNX's own node tests: every one whose operators and types the profile has must pass, on both arithmetics.
//!
//! The cases are generated (see `testing/onnx-node-tests/generate.py`) into `target/onnx-node-tests`, or the folder that
//! `SYNOD_ONNX_NODE_TESTS` names. Outputs are compared as ONNX's runner does: integers and bools exactly, floats within
//! 1e-3 relative and 1e-7 absolute, NaN equal to NaN; 16-bit floats also within two units of their last place, for ONNX's expected
//! values round between the steps of a composed operator where this profile does not, or the other way round. The fast and the reference arithmetic must agree bit for bit.
//!
//! A test that is not run needs a reason that the importer itself gives, and the number of tests for each reason is
//! written down in `testing/onnx-node-tests/not-run.txt`: neither can grow unseen. When operators are added, run with
//! `SYNOD_UPDATE_NOT_RUN=1` and look at the difference.

use crate::build::{self, field};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use synod_model::{ops::OpError, *};
use synod_numerics::half::{bf16_to_f32, f16_to_f32};

/// Tests that are expected to differ, with the reason. Each must name why the profile differs on purpose.
const DIFFERENT_ON_PURPOSE: &[(&str, &str)] = &[
    ("test_dft_inverse", FAR_ZEROS),
    ("test_dft_inverse_opset19", FAR_ZEROS),
];

/// Where the sum is 0, ONNX's expected value is 1.9e-7, beyond the absolute tolerance, and this profile's 3e-15.
const FAR_ZEROS: &str = "an expected value that is further from the truth than the tolerance";

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("SYNOD_ONNX_NODE_TESTS")
        .map_or_else(|| root.join("target/onnx-node-tests"), PathBuf::from);
    assert!(
        folder.join("VERSION").exists(),
        "no ONNX node tests in {}: generate them with\n  python -m pip install -r \
         testing/onnx-node-tests/requirements.txt\n  python testing/onnx-node-tests/generate.py\nor point \
         SYNOD_ONNX_NODE_TESTS at them",
        folder.display()
    );
    folder
}

#[test]
fn every_supported_node_test_passes() {
    let mut folders: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    let (mut passed, mut failures) = (0, Vec::new());
    let mut not_run: BTreeMap<String, usize> = BTreeMap::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_str().unwrap();
        if let Some((_, reason)) = DIFFERENT_ON_PURPOSE.iter().find(|(test, _)| *test == name) {
            *not_run.entry((*reason).to_owned()).or_default() += 1;
            continue;
        }
        match run_test(&folder) {
            Ok(()) => passed += 1,
            Err(Failure::NotRun(reason)) => *not_run.entry(reason).or_default() += 1,
            Err(Failure::Wrong(why)) => failures.push(format!("{name}: {why}")),
        }
    }
    assert!(
        failures.is_empty(),
        "{} of ONNX's node tests fail:\n{}",
        failures.len(),
        failures.join("\n")
    );

    let mut lines = format!("passed: {passed}\n");
    not_run
        .iter()
        .for_each(|(reason, count)| lines += &format!("{reason}: {count}\n"));
    let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testing/onnx-node-tests/not-run.txt");
    if std::env::var_os("SYNOD_UPDATE_NOT_RUN").is_some() {
        fs::write(&expected, &lines).unwrap();
    }
    let expected = fs::read_to_string(expected).unwrap();
    assert!(
        lines == expected,
        "what is run and what is not has changed (SYNOD_UPDATE_NOT_RUN=1 writes it down). Now:\n{lines}"
    );
}

/// Every version at which ONNX changed an operator is in that operator's table, from the first that it supports.
#[test]
fn no_version_of_an_operator_is_missed() {
    let versions = fs::read_to_string(folder().join("operators.txt")).unwrap();
    let mut seen = 0;
    for line in versions.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let all: Vec<i64> = words.map(|word| word.parse().unwrap()).collect();
        let Some(definition) = ops::find(name) else {
            continue;
        };
        seen += 1;
        let first = definition.since[0];
        let known: Vec<i64> = all.iter().copied().filter(|&version| version >= first).collect();
        assert_eq!(definition.since, known, "{name}: ONNX has the versions {all:?}");
        // The version in force at the oldest opset is known, or the operator did not exist then.
        let oldest = all.iter().copied().filter(|&version| version <= 7).max();
        assert!(
            first <= oldest.unwrap_or(all[0]),
            "{name}: versions before {first} are in force at opset 7 or later"
        );
        assert!(
            all.iter().all(|&version| version <= limits::MAX_OPSET),
            "{name} is newer than MAX_OPSET"
        );
    }
    assert_eq!(
        seen,
        ops::OPERATORS.len(),
        "some operators of the table are not ONNX's"
    );
}

enum Failure {
    NotRun(String),
    Wrong(String),
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::Wrong(error.to_string())
}

fn run_test(folder: &Path) -> Result<(), Failure> {
    let file = fs::read(folder.join("model.onnx")).map_err(wrong)?;
    for set in 0.. {
        let set = folder.join(format!("test_data_set_{set}"));
        if !set.is_dir() {
            break;
        }
        run_set(&file, &set)?;
    }
    Ok(())
}

fn run_set(file: &[u8], set: &Path) -> Result<(), Failure> {
    let names = names(file, 11);
    let mut given: BTreeMap<&str, Tensor> = BTreeMap::new();
    for (index, name) in names.iter().enumerate() {
        let path = set.join(format!("input_{index}.pb"));
        // An input that is no tensor, or that the test leaves out, belongs to a model that does not import.
        if let Ok(bytes) = fs::read(path)
            && let Ok((_, tensor)) = decode_tensor_proto(&bytes)
        {
            given.insert(name, tensor);
        }
    }
    let bound = run_file(file, &given, set)?;
    if bound == Bound::Open {
        // The test feeds shapes, axes and the like as inputs. A network may have them as constants: then shapes are known
        // before the run, and the results must be the same. Numbers too: the bounds of a Range decide a shape.
        let mut file = file.to_vec();
        for (name, tensor) in &given {
            let indices = matches!(tensor.dtype(), DType::I64 | DType::I32 | DType::Bool);
            let scales = name.contains("scales") || *name == "roi";
            if tensor.shape().is_empty() || (indices || scales) && tensor.shape().len() <= 1 {
                bind(&mut file, name, tensor);
            }
        }
        run_file(&file, &given, set)?;
    }
    Ok(())
}

fn run_file(file: &[u8], given: &BTreeMap<&str, Tensor>, set: &Path) -> Result<Bound, Failure> {
    let canonical = import(file, given).map_err(refused)?;
    let beside: BTreeMap<_, _> = [(WEIGHTS_FILE.to_owned(), canonical.weights.clone())].into();
    let again = import_onnx(&canonical.graph, &beside, &ImportOptions::default());
    assert_eq!(
        again.as_ref(),
        Ok(&canonical),
        "importing a canonical model changes it"
    );
    let model = Model::load(canonical.graph, canonical.weights).map_err(wrong)?;
    let inputs: Vec<Tensor> = model
        .signature()
        .inputs
        .iter()
        .map(|input| given[input.name.as_str()].clone())
        .collect();
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let plan = model.plan(&shapes).map_err(wrong)?;
    let outputs = plan.run(&inputs, &mut Unmetered).map_err(run_failure)?;
    let reference = plan.run_reference(&inputs, &mut Unmetered).map_err(wrong)?;
    for (index, (output, reference)) in outputs.iter().zip(&reference).enumerate() {
        if output != reference {
            return Err(wrong(format!(
                "output {index}: fast {output:?}\nreference {reference:?}"
            )));
        }
        let bytes = fs::read(set.join(format!("output_{index}.pb"))).map_err(wrong)?;
        let (_, expected) = decode_tensor_proto(&bytes).map_err(refused)?;
        compare(output, &expected).map_err(|why| wrong(format!("output {index}: {why}")))?;
    }
    Ok(plan.cost().bound)
}

/// A later stage of a run may find what the import would have.
fn run_failure(error: RunError) -> Failure {
    match error {
        RunError::Plan(error) => refused(ImportError::Plan(error)),
        error => wrong(error),
    }
}

/// Imports with every free dimension pinned to the size that the test gives.
fn import(file: &[u8], given: &BTreeMap<&str, Tensor>) -> Result<CanonicalModel, ImportError> {
    let mut options = ImportOptions::default();
    loop {
        match import_onnx(file, &NoExternalData, &options) {
            Err(ImportError::FreeDimension { name, input, axis }) if given.contains_key(input.as_str()) => {
                let size = given[input.as_str()].shape()[axis];
                options.dims.insert(name, DimSetting::Pin(size));
            }
            other => return other,
        }
    }
}

/// The reason for which a test is not run, or its failure if there is none.
fn refused(error: ImportError) -> Failure {
    Failure::NotRun(match error {
        ImportError::UnknownOperator { node, .. } => {
            format!("operator {} is not in the profile", node.op_type)
        }
        ImportError::UnknownDomain { domain, .. } => format!("domain {domain} is not in the profile"),
        ImportError::ElementType { code, .. } => format!("elements of type {code}"),
        ImportError::Attribute { why, .. } if why.starts_with("only dense tensors") => {
            "constants that are not dense numbers".into()
        }
        ImportError::Attribute { why, .. } if why.starts_with("its type") => "sparse tensors".into(),
        ImportError::NoOpset => "no operators of ai.onnx".into(),
        ImportError::Plan(PlanError::Node {
            node,
            error: OpError::DType { got, .. },
        }) => {
            format!("{} of {got}", node.op_type)
        }
        ImportError::SparseInitializer => "sparse tensors".into(),
        ImportError::NotTensor { .. } => "sequences, optionals and maps".into(),
        ImportError::Plan(PlanError::Node {
            error: OpError::Value(why),
            ..
        }) if why.starts_with("training") => "training".into(),
        ImportError::Node {
            error: OpError::Attribute(ops::AttributeError::Value { name: "to", .. }),
            ..
        } => "Cast to a type that the profile does not have".into(),
        other => return wrong(other),
    })
}

fn compare(got: &Tensor, expected: &Tensor) -> Result<(), String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        return Err(format!(
            "got {}{:?}, expected {}{:?}",
            got.dtype(),
            got.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    let relative = match got.dtype() {
        DType::F16 => 2.0 / 1024.0,
        DType::BF16 => 2.0 / 128.0,
        _ => 1e-3,
    };
    let agrees = match (floats(got), floats(expected)) {
        (Some(got), Some(expected)) => got.iter().zip(&expected).all(|(&got, &expected)| {
            got == expected
                || got.is_nan() && expected.is_nan()
                || expected.is_finite() && (got - expected).abs() <= 1e-7 + relative * expected.abs()
        }),
        _ => got == expected,
    };
    if agrees {
        Ok(())
    } else {
        Err(format!("got {got:?}\nexpected {expected:?}"))
    }
}

fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    Some(match tensor.dtype() {
        DType::F32 => tensor.as_slice::<f32>().iter().map(|&x| x.into()).collect(),
        DType::F64 => tensor.as_slice::<f64>().to_vec(),
        DType::F16 => tensor
            .as_slice::<u16>()
            .iter()
            .map(|&x| f16_to_f32(x).into())
            .collect(),
        DType::BF16 => tensor
            .as_slice::<u16>()
            .iter()
            .map(|&x| bf16_to_f32(x).into())
            .collect(),
        _ => return None,
    })
}

/// Adds an initialiser to a file by appending to it: protobuf merges a message that comes in two pieces.
fn bind(file: &mut Vec<u8>, name: &str, tensor: &Tensor) {
    let dims: Vec<i64> = tensor.shape().iter().map(|&dim| dim as i64).collect();
    let tensor = build::tensor(name, tensor.dtype().onnx_code(), &dims, tensor.bytes());
    file.extend(field(7, &field(5, &tensor)));
}

/// The names of the graph's inputs (field 11) or outputs (12).
fn names(model: &[u8], number: u64) -> Vec<String> {
    let graph: Vec<u8> = fields(model)
        .filter(|(number, _)| *number == 7)
        .flat_map(|(_, bytes)| bytes.to_vec())
        .collect();
    let infos = fields(&graph).filter(|(found, _)| *found == number);
    infos
        .map(|(_, info)| {
            let name = fields(info)
                .find(|(number, _)| *number == 1)
                .map_or(&[][..], |(_, name)| name);
            String::from_utf8_lossy(name).into_owned()
        })
        .collect()
}

/// The length-delimited fields of a message.
fn fields(mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let key = read_varint(&mut bytes);
            let skipped = match key & 7 {
                0 => {
                    read_varint(&mut bytes);
                    continue;
                }
                1 => 8,
                5 => 4,
                _ => read_varint(&mut bytes) as usize,
            };
            let (field, rest) = bytes.split_at(skipped);
            bytes = rest;
            if key & 7 == 2 {
                return Some((key >> 3, field));
            }
        }
        None
    })
}

fn read_varint(bytes: &mut &[u8]) -> u64 {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return value;
        }
    }
}
