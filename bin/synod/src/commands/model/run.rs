//! `synod model run FILE --input [NAME=]FILE … --output-dir DIR`
//!
//! The auditor's command: no node, no network, the same bits as the chain.

use crate::{
    model_file::{self, LoadedModel, ModelArgs},
    outputs::{self, Output},
    show::{Form, note},
    tensors::{self, Candidate, InputArg},
};
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_model::{DimSetting, ImportError, Tensor, Unmetered};

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

    /// Use the scalar reference instead of the fast kernels: slow, and the same bits
    #[arg(long)]
    reference: bool,
}

#[derive(Serialize)]
struct Report {
    model_id: String,
    outputs: Vec<Output>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outputs.iter().try_for_each(|output| output.fmt(f))
    }
}

pub(crate) fn run(args: &RunArgs, form: Form) -> Result<()> {
    let candidates = tensors::read(&args.inputs)?;
    let loaded = load(&args.model, &candidates)?;
    let signature = loaded.model.signature();
    let inputs = tensors::assign(&signature.inputs, &candidates)?;
    for (tensor, input) in inputs.iter().zip(&signature.inputs) {
        if let Some(index) = tensors::first_non_finite(tensor) {
            note(format_args!(
                "note: element {index} of input {:?} is NaN or infinite, which the chain does not take",
                input.name
            ));
        }
    }
    let results = execute(&loaded, &inputs, args.reference)?;
    let named = signature
        .outputs
        .iter()
        .map(|output| output.name.clone())
        .zip(results);
    let outputs = outputs::collect(named, args.output_dir.as_deref())?;
    form.print(&Report {
        model_id: loaded.id().to_string(),
        outputs,
    })
}

/// Runs a model with the chain's arithmetic.
pub(crate) fn execute(loaded: &LoadedModel, inputs: &[Tensor], reference: bool) -> Result<Vec<Tensor>> {
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|tensor| tensor.shape().to_vec()).collect();
    let plan = loaded
        .model
        .plan(&shapes)
        .wrap_err("the model cannot take inputs of these shapes")?;
    let results = if reference {
        plan.run_reference(inputs, &mut Unmetered)
    } else {
        plan.run(inputs, &mut Unmetered)
    };
    results.wrap_err("the model refuses the data")
}

/// Reads the model; free dimensions without a `--dim` become what the inputs say.
fn load(args: &ModelArgs, candidates: &[Candidate]) -> Result<LoadedModel> {
    let mut dims = args.settings()?;
    loop {
        let error = match model_file::load(&args.file, &dims) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => error,
        };
        let Some(ImportError::FreeDimension { name, input, axis }) = error.downcast_ref() else {
            return Err(error);
        };
        match tensors::size_of(candidates, input, *axis) {
            Some(size) if size > 0 && !dims.contains_key(name) => {
                dims.insert(name.clone(), DimSetting::Pin(size));
            }
            _ => return Err(error),
        }
    }
}
