//! Running vectors on one arithmetic.

use crate::{
    manifest::{Manifest, Seeded, Vector},
    seeded, tensors,
};
use eyre::{Result, WrapErr, bail, ensure};
use sha2::{Digest, Sha256};
use std::{fmt, path::Path};
use synod_model::{CanonicalModel, Model, Plan, Tensor, TensorDigest, Unmetered};
use synod_numerics::{
    isa::{self, Isa},
    math, pool,
};

/// Numbers of threads that are tried: one, one for each of two cores, one that divides nothing, more than there are cores.
pub const THREADS: [usize; 4] = [1, 2, 3, 8];

/// An implementation of the arithmetic in this binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `Plan::run_reference`.
    Reference,
    /// `Plan::run` with the kernels of one instruction set.
    Fast(Isa),
}

impl Engine {
    /// Every one that this machine can run.
    pub fn available() -> Vec<Self> {
        let fast = Isa::available().iter().map(|&isa| Self::Fast(isa));
        std::iter::once(Self::Reference).chain(fast).collect()
    }

    /// Runs a plan. Which instruction set is used is a setting of the whole process: one engine at a time.
    ///
    /// # Errors
    /// As the plan.
    pub fn run(self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(match self {
            Self::Reference => plan.run_reference(inputs, &mut Unmetered)?,
            Self::Fast(isa) => {
                isa::force(Some(isa));
                plan.run(inputs, &mut Unmetered)?
            }
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference => f.write_str("reference"),
            Self::Fast(isa) => write!(f, "fast, {isa:?}"),
        }
    }
}

/// A vector in memory, ready to run.
pub struct Loaded {
    name: String,
    plan: Plan,
    inputs: Vec<Tensor>,
    expected: Vec<(String, Tensor)>,
}

impl Loaded {
    /// Reads a vector's files; all hashes of the manifest must hold.
    ///
    /// # Errors
    /// If a file is missing or is not the one that the manifest names.
    pub fn read(folder: &Path, name: &str, vector: &Vector) -> Result<Self> {
        let read = |file: &str| -> Result<Vec<u8>> {
            let Some(hash) = vector.files.get(file) else {
                return Ok(Vec::new());
            };
            let path = folder.join(name).join(file);
            let bytes = std::fs::read(&path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
            ensure!(
                sha256(&bytes) == *hash,
                "{} is not the file that the manifest names",
                path.display()
            );
            Ok(bytes)
        };
        let model = Model::load(read("model.onnx")?.into(), read("weights.bin")?.into())
            .wrap_err_with(|| format!("{name}: the model is refused"))?;
        ensure!(
            model.id().to_string() == vector.model_id,
            "{name}: the model's id is {}, the manifest says {}",
            model.id(),
            vector.model_id
        );
        let tensors = |file: &str| -> Result<Vec<(String, Tensor)>> {
            tensors::read(&read(file)?).wrap_err_with(|| format!("{name}/{file}"))
        };
        let (inputs, expected) = (tensors("inputs.pb")?, tensors("outputs.pb")?);
        for (entries, tensors) in [(&vector.inputs, &inputs), (&vector.outputs, &expected)] {
            let same = entries.len() == tensors.len()
                && entries.iter().zip(tensors).all(|(entry, (name, tensor))| {
                    entry.name == *name
                        && entry.dtype == tensor.dtype().name()
                        && entry.shape == tensor.shape()
                        && entry.digest == tensor.digest().to_string()
                });
            ensure!(same, "{name}: the tensors are not those that the manifest names");
        }
        let inputs: Vec<Tensor> = inputs.into_iter().map(|(_, tensor)| tensor).collect();
        let plan = plan(&model, &inputs).wrap_err_with(|| format!("{name}: the model does not plan"))?;
        Ok(Self {
            name: name.to_owned(),
            plan,
            inputs,
            expected,
        })
    }

    /// Runs the vector and compares every bit; gives the digests of the outputs.
    ///
    /// # Errors
    /// At the first element that differs, naming it.
    pub fn run(&self, engine: Engine) -> Result<Vec<TensorDigest>> {
        let outputs = engine
            .run(&self.plan, &self.inputs)
            .wrap_err_with(|| format!("{} ({engine})", self.name))?;
        for ((name, expected), output) in self.expected.iter().zip(&outputs) {
            if let Some(difference) = difference(output, expected) {
                bail!("{} ({engine}): output {name}: {difference}", self.name);
            }
        }
        ensure!(outputs.len() == self.expected.len(), "{}: outputs", self.name);
        Ok(outputs.iter().map(Tensor::digest).collect())
    }
}

/// A plan for these inputs.
pub(crate) fn plan(model: &Model, inputs: &[Tensor]) -> Result<Plan> {
    let shapes: Vec<_> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    Ok(model.plan(&shapes)?)
}

/// Where two tensors differ.
fn difference(got: &Tensor, expected: &Tensor) -> Option<String> {
    if got.dtype() != expected.dtype() || got.shape() != expected.shape() {
        return Some(format!(
            "it is {}{:?}, must be {}{:?}",
            got.dtype(),
            got.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    let size = got.dtype().size();
    let hex = |element: &[u8]| -> String { element.iter().rev().map(|byte| format!("{byte:02x}")).collect() };
    let mut pairs = got.bytes().chunks(size).zip(expected.bytes().chunks(size));
    let at = pairs.position(|(a, b)| a != b)?;
    let element = |tensor: &Tensor| hex(&tensor.bytes()[at * size..][..size]);
    Some(format!(
        "element {at} of {} is {}, must be {}",
        got.elements(),
        element(got),
        element(expected)
    ))
}

/// Everything that the manifest of `folder` names, on one engine with so many threads; gives the hash of all results, which
/// two machines can compare at a glance.
///
/// # Errors
/// At the first difference, or if the threads do not start.
pub fn all(folder: &Path, manifest: &Manifest, engine: Engine, threads: usize) -> Result<String> {
    let started = pool::set_threads(threads);
    ensure!(started == threads, "only {started} of {threads} threads start");
    let mut hash = Sha256::new();
    for (name, vector) in &manifest.vectors {
        let digests = Loaded::read(folder, name, vector)?.run(engine)?;
        digests.iter().for_each(|digest| hash.update(digest.0));
    }
    for (name, expected) in &manifest.seeded {
        let got = run_seeded(name, engine)?;
        ensure!(
            got == *expected,
            "{name} ({engine}), made from its seed, gives {got:?}, must be {expected:?}"
        );
        got.outputs.iter().for_each(|digest| hash.update(digest));
    }
    for (name, expected) in &manifest.functions {
        let got = function(name)?;
        ensure!(
            got == *expected,
            "{name}: SHA-256 of its results is {got}, must be {expected}"
        );
        hash.update(&got);
    }
    isa::force(None);
    Ok(hex(&hash.finalize()))
}

/// Makes a network from its seed and runs it.
///
/// # Errors
/// If there is no such network.
pub fn run_seeded(name: &str, engine: Engine) -> Result<Seeded> {
    let (canonical, inputs) = seeded::make(name)?;
    let model = load(&canonical)?;
    let outputs = engine.run(&plan(&model, &inputs)?, &inputs)?;
    let digests =
        |tensors: &[Tensor]| -> Vec<String> { tensors.iter().map(|t| t.digest().to_string()).collect() };
    Ok(Seeded {
        model_id: model.id().to_string(),
        inputs: digests(&inputs),
        outputs: digests(&outputs),
    })
}

/// Loads what was imported.
pub(crate) fn load(canonical: &CanonicalModel) -> Result<Model> {
    Ok(Model::load(canonical.graph.clone(), canonical.weights.clone())?)
}

type Function = fn(f32) -> f32;

/// The correctly rounded functions of f32 (`docs/spec/arithmetic.md` §5.1).
pub const FUNCTIONS: [(&str, Function); 16] = [
    ("acos", math::acos),
    ("acosh", math::acosh),
    ("asin", math::asin),
    ("asinh", math::asinh),
    ("atan", math::atan),
    ("atanh", math::atanh),
    ("cos", math::cos),
    ("cosh", math::cosh),
    ("erf", math::erf),
    ("exp", math::exp),
    ("log", math::log),
    ("sigmoid", math::sigmoid),
    ("sin", math::sin),
    ("sinh", math::sinh),
    ("tan", math::tan),
    ("tanh", math::tanh),
];

/// SHA-256 of a function's results at every 65,537th input.
///
/// # Errors
/// If there is no such function.
pub fn function(name: &str) -> Result<String> {
    let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
        bail!("no function {name}");
    };
    let mut hash = Sha256::new();
    for i in 0..1_u32 << 16 {
        hash.update(function(f32::from_bits(i * 65_537)).to_bits().to_le_bytes());
    }
    Ok(hex(&hash.finalize()))
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
