//! `synod model diff-run FILE --input … [--with ENGINE | --trace FILE | --against FILE]`
//!
//! Two machines that disagree about an output disagree about some node first. This names it.

use super::{
    compare::place,
    engine::{Engine, EngineArgs},
    run::{load, plan},
    trace::{self, Trace},
};
use crate::{
    model_file::ModelArgs,
    outputs::word,
    show::Form,
    tensors::{self, InputArg},
};
use clap::Args;
use eyre::{Result, bail, ensure};
use serde::Serialize;
use std::{fmt, path::PathBuf};
use synod_model::{DType, Tensor};

#[derive(Debug, Args)]
pub(crate) struct DiffRunArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Input as .npy, .npz, .json, .csv or .pb; several times for several inputs
    #[arg(long = "input", short, value_name = "[NAME=]FILE")]
    inputs: Vec<InputArg>,

    #[command(flatten)]
    engine: EngineArgs,

    /// The arithmetic to compare with, on this machine
    #[arg(long = "with", value_enum, value_name = "ENGINE", default_value_t = Engine::Reference)]
    with: Engine,

    /// Write the digest of everything the nodes write to this file, for another machine's --against
    #[arg(long, value_name = "FILE", conflicts_with_all = ["with", "against"])]
    trace: Option<PathBuf>,

    /// Write the elements into the trace as well, so that the other machine can show both values
    #[arg(long, requires = "trace")]
    values: bool,

    /// Compare with the trace that another machine wrote
    #[arg(long, value_name = "FILE", conflicts_with = "with")]
    against: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    model_id: String,
    /// What ran here.
    here: String,
    /// What it is compared with, or the file that was written.
    there: String,
    /// Tensors that were compared, up to the first that differs, or that were written.
    tensors: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Divergence>,
    #[serde(skip)]
    written: bool,
}

/// The first tensor that differs.
#[derive(Debug, Serialize)]
struct Divergence {
    node: usize,
    operator: String,
    name: String,
    output: usize,
    #[serde(rename = "type")]
    dtype: String,
    shape: Vec<usize>,
    digest_here: String,
    digest_there: String,
    /// The first element that differs, if both sides' are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<Element>,
}

#[derive(Debug, Serialize)]
struct Element {
    index: Vec<usize>,
    here: String,
    bits_here: String,
    there: String,
    bits_there: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model  {}", self.model_id)?;
        writeln!(f, "here   {}", self.here)?;
        writeln!(f, "there  {}", self.there)?;
        let Some(first) = &self.first else {
            let what = if self.written {
                "written"
            } else {
                "compared: the same bits"
            };
            return writeln!(f, "{} tensors {what}", self.tensors);
        };
        writeln!(
            f,
            "node {} is the first that differs: {} `{}`, output {}, {}{:?}",
            first.node, first.operator, first.name, first.output, first.dtype, first.shape
        )?;
        writeln!(f, "  here   {}", first.digest_here)?;
        writeln!(f, "  there  {}", first.digest_there)?;
        match &first.element {
            Some(element) => writeln!(
                f,
                "  element {:?}: here {} ({}), there {} ({})",
                element.index, element.here, element.bits_here, element.there, element.bits_there
            ),
            None => writeln!(
                f,
                "  the trace has no elements: write it with --values to see which differ"
            ),
        }
    }
}

pub(crate) fn run(args: &DiffRunArgs, form: Form) -> Result<()> {
    let theirs = args.against.as_deref().map(Trace::read).transpose()?;
    let candidates = tensors::read(&args.inputs)?;
    let (loaded, inputs) = load(&args.model, &candidates)?;
    let plan = plan(&loaded, &inputs)?;
    let engine = args.engine.start();
    let ours = Trace::record(engine, &loaded.model, &plan, &inputs, args.values)?;
    if let Some(path) = &args.trace {
        ours.write(path)?;
        return form.print(&Report {
            model_id: ours.header.model_id,
            here: ours.header.by,
            there: path.display().to_string(),
            tensors: ours.entries.len(),
            first: None,
            written: true,
        });
    }
    let theirs = match theirs {
        Some(theirs) => {
            ensure!(
                theirs.header.model_id == ours.header.model_id,
                "the trace is of the model {}, this is {}",
                theirs.header.model_id,
                ours.header.model_id
            );
            ensure!(
                theirs.header.inputs == ours.header.inputs,
                "the trace is of other inputs: their digests differ"
            );
            theirs
        }
        None => Trace::record(args.with, &loaded.model, &plan, &inputs, false)?,
    };
    let (difference, tensors) = ours.first_difference(&theirs);
    ensure!(
        tensors > 0 || ours.entries.is_empty(),
        "the two runs have no tensor in common that could be compared"
    );
    let first = match difference {
        None => None,
        Some((our, their)) => {
            let here = trace::capture(engine, &plan, &inputs, our.place())?;
            let there = match (&their.values, &args.against) {
                (Some(values), _) => tensor(their, values),
                (None, Some(_)) => None,
                (None, None) => trace::capture(args.with, &plan, &inputs, their.place())?,
            };
            Some(Divergence {
                node: our.node,
                operator: our.operator.clone(),
                name: our.name.clone(),
                output: our.output,
                dtype: our.dtype.clone(),
                shape: our.shape.clone(),
                digest_here: our.digest.clone(),
                digest_there: their.digest.clone(),
                element: here
                    .zip(there)
                    .and_then(|(here, there)| first_element(&here, &there)),
            })
        }
    };
    let differs = first.as_ref().map(|first| {
        format!(
            "node {} ({} `{}`) differs",
            first.node, first.operator, first.name
        )
    });
    form.print(&Report {
        model_id: ours.header.model_id,
        here: ours.header.by,
        there: theirs.header.by,
        tensors,
        first,
        written: false,
    })?;
    match differs {
        Some(differs) => bail!("{differs}"),
        None => Ok(()),
    }
}

/// The tensor that a trace holds, as far as it is one.
fn tensor(entry: &trace::Entry, values: &str) -> Option<Tensor> {
    let dtype = DType::ALL.into_iter().find(|dtype| dtype.name() == entry.dtype)?;
    Tensor::from_le_bytes(dtype, &entry.shape, &trace::unhex(values)?).ok()
}

fn first_element(here: &Tensor, there: &Tensor) -> Option<Element> {
    if here.dtype() != there.dtype() || here.shape() != there.shape() {
        return None;
    }
    let size = here.dtype().size();
    let mut pairs = here.bytes().chunks(size).zip(there.bytes().chunks(size));
    let at = pairs.position(|(a, b)| a != b)?;
    let bits = |tensor: &Tensor| -> String {
        let element = &tensor.bytes()[at * size..][..size];
        element.iter().rev().map(|byte| format!("{byte:02x}")).collect()
    };
    Some(Element {
        index: place(at, here.shape()),
        here: word(here, at),
        bits_here: bits(here),
        there: word(there, at),
        bits_there: bits(there),
    })
}
