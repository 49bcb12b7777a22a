//! `synod model run FILE --input [NAME=]FILE … --output-dir DIR [--profile]`
//!
//! The auditor's command: no node, no network, the same bits as the chain.

use super::{
    engine::{Engine, EngineArgs},
    profile::{self, Profile},
};
use crate::{
    model_file::{self, LoadedModel, ModelArgs},
    outputs::{self, Output},
    show::{Form, note},
    tensors::{self, Candidate, InputArg, Role},
};
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, path::PathBuf};
use synod_model::{DType, DimSetting, ImportError, Plan, Tensor, bind_input, declared_inputs};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Input as .npy, .npz, .json, .csv or .pb; several times for several inputs
    #[arg(long = "input", short, value_name = "[NAME=]FILE")]
    inputs: Vec<InputArg>,

    /// Write each output to NAME.npy in this folder
    #[arg(long, short, value_name = "DIR")]
    output_dir: Option<PathBuf>,

    /// Show where the time goes: milliseconds and gas of each node, slowest first
    #[arg(long)]
    profile: bool,

    #[command(flatten)]
    engine: EngineArgs,

    /// The same as --engine reference
    #[arg(long, hide = true, conflicts_with = "engine")]
    reference: bool,
}

#[derive(Serialize)]
struct Report {
    model_id: String,
    outputs: Vec<Output>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profile>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outputs.iter().try_for_each(|output| output.fmt(f))?;
        self.profile.iter().try_for_each(|profile| profile.fmt(f))
    }
}

pub(crate) fn run(args: &RunArgs, form: Form) -> Result<()> {
    let candidates = tensors::read(&args.inputs)?;
    let (loaded, inputs) = load(&args.model, &candidates)?;
    let signature = loaded.model.signature();
    for (tensor, input) in inputs.iter().zip(&signature.inputs) {
        if let Some(index) = tensors::first_non_finite(tensor) {
            note(format_args!(
                "note: element {index} of input {:?} is NaN or infinite, which the chain does not take",
                input.name
            ));
        }
    }
    let started = args.engine.start();
    let engine = if args.reference {
        Engine::Reference
    } else {
        started
    };
    let (profile, results) = if args.profile {
        let plan = plan(&loaded, &inputs)?;
        let (profile, results) = profile::profile(engine, &loaded.model, &plan, &inputs)?;
        (Some(profile), results)
    } else {
        (None, execute(&loaded, &inputs, engine)?)
    };
    let named = signature
        .outputs
        .iter()
        .map(|output| output.name.clone())
        .zip(results);
    let outputs = outputs::collect(named, args.output_dir.as_deref())?;
    form.print(&Report {
        model_id: loaded.id().to_string(),
        outputs,
        profile,
    })
}

/// Runs a model with the chain's arithmetic.
pub(crate) fn execute(loaded: &LoadedModel, inputs: &[Tensor], engine: Engine) -> Result<Vec<Tensor>> {
    engine.run(&plan(loaded, inputs)?, inputs, None)
}

/// A plan for these inputs.
pub(super) fn plan(loaded: &LoadedModel, inputs: &[Tensor]) -> Result<Plan> {
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
    loaded
        .model
        .plan(&shapes)
        .wrap_err("the model cannot take inputs of these shapes")
}

/// Reads the model and the inputs for it. What the file leaves open is settled by the inputs: free dimensions without a
/// `--dim`, and inputs that decide shapes, which a model on a chain has as constants.
pub(super) fn load(args: &ModelArgs, candidates: &[Candidate]) -> Result<(LoadedModel, Vec<Tensor>)> {
    let mut file = args.read()?;
    let declared = declared_inputs(&file).wrap_err_with(|| format!("{}", args.file.display()))?;
    let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
    let given: BTreeMap<&str, &Candidate> = names
        .iter()
        .zip(tensors::order(Role::Input, &names, candidates)?)
        .filter_map(|(&name, candidate)| Some((name, candidate?)))
        .collect();
    let mut options = args.settings()?;
    let mut bound = false;
    let loaded = loop {
        let error = match model_file::load_bytes(&args.file, &file, &options) {
            Ok(loaded) => break loaded,
            Err(error) => error,
        };
        match error.downcast_ref() {
            Some(ImportError::FreeDimension { name, input, axis }) => {
                let size = given
                    .get(input.as_str())
                    .and_then(|candidate| candidate.shape().get(*axis));
                match size {
                    Some(&size) if size > 0 && !options.dims.contains_key(name) => {
                        options.dims.insert(name.clone(), DimSetting::Pin(size));
                    }
                    _ => return Err(error),
                }
            }
            Some(ImportError::OpenRank { .. }) if !bound => {
                bound = true;
                for (name, dtype) in &declared {
                    let Some(dtype @ (DType::I64 | DType::I32 | DType::Bool)) = *dtype else {
                        continue;
                    };
                    if let Some(value) = given
                        .get(name.as_str())
                        .and_then(|candidate| candidate.vector(dtype))
                    {
                        note(format_args!(
                            "note: input {name:?} is taken as a constant, as a chain would need it"
                        ));
                        bind_input(&mut file, name, &value);
                    }
                }
            }
            _ => return Err(error),
        }
    };
    let inputs = loaded
        .model
        .signature()
        .inputs
        .iter()
        .map(|input| tensors::fit(given.get(input.name.as_str()).copied(), input))
        .collect::<Result<_>>()?;
    Ok((loaded, inputs))
}
