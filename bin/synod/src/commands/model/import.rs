//! `synod model import FILE.keras [-o OUT.onnx] [--sample SAMPLE.npz]`
//!
//! A Keras model as an ONNX file, and how far each layer is from what Keras gives.

use super::{
    compare::{Difference, difference},
    run::execute,
};
use crate::{
    model_file::{self, LoadedModel},
    show::{Form, bytes, table, thousands},
    tensors,
};
use clap::Args;
use eyre::{Context as _, Result, bail, ensure};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};
use synod_import::{Imported, KerasOptions, LAYER_PREFIX, import_keras, is_keras};
use synod_model::{DimSetting, ImportError, ImportOptions, NoExternalData, Tensor};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Keras file: .keras, or .h5 with a whole model
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Where to write the ONNX file; beside FILE with the extension .onnx, if not given
    #[arg(long, short, value_name = "OUT.onnx")]
    output: Option<PathBuf>,

    /// Inputs with what Keras gives for them (.npz, see docs/keras.md): show the largest difference layer by layer
    #[arg(long, value_name = "SAMPLE.npz")]
    sample: Option<PathBuf>,

    /// With --sample, fail unless |ours − Keras'| ≤ N + N·|Keras'| for every element of the outputs
    #[arg(long, value_name = "N", requires = "sample", value_parser = super::compare::tolerance)]
    tolerance: Option<f64>,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    onnx: PathBuf,
    onnx_bytes: u64,
    layers: Vec<LayerRow>,
    /// What was compared with the sample: layers, then outputs.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<Vec<Difference>>,
}

/// A layer, and the values of the ONNX graph that are its outputs.
#[derive(Serialize)]
struct LayerRow {
    layer: String,
    class: String,
    values: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.differences {
            None => {
                let rows: Vec<Vec<String>> = self
                    .layers
                    .iter()
                    .map(|row| vec![row.layer.clone(), row.class.clone(), row.values.join(" ")])
                    .collect();
                f.write_str(&table(&["layer", "class", "in the ONNX file"], &rows))?;
            }
            Some(differences) => {
                let classes: BTreeMap<&str, &str> = self
                    .layers
                    .iter()
                    .map(|row| (row.layer.as_str(), row.class.as_str()))
                    .collect();
                let rows: Vec<Vec<String>> = differences
                    .iter()
                    .map(|difference| {
                        let [absolute, relative] = difference.shown();
                        let layer = difference.name.strip_prefix(LAYER_PREFIX);
                        vec![
                            layer.unwrap_or(&difference.name).to_owned(),
                            layer
                                .map_or("output", |layer| classes.get(layer).copied().unwrap_or_default())
                                .to_owned(),
                            thousands(difference.elements as u64),
                            absolute,
                            relative,
                        ]
                    })
                    .collect();
                f.write_str(&table(
                    &["layer", "class", "elements", "largest difference", "relative"],
                    &rows,
                ))?;
            }
        }
        writeln!(
            f,
            "\n{} layers -> {} ({})",
            self.layers.len(),
            self.onnx.display(),
            bytes(self.onnx_bytes)
        )?;
        writeln!(
            f,
            "next: synod model inspect {} --dim batch=1",
            self.onnx.display()
        )
    }
}

pub(crate) fn run(args: &ImportArgs, form: Form) -> Result<()> {
    let file = std::fs::read(&args.file).wrap_err_with(|| format!("cannot read {}", args.file.display()))?;
    ensure!(
        is_keras(&file),
        "{} is neither a .keras file nor an .h5 file; an ONNX file needs no import",
        args.file.display()
    );
    let sample = args.sample.as_deref().map(read_sample).transpose()?;
    let for_layers = sample.is_some().then(|| file.clone());
    let imported = convert(&args.file, file, KerasOptions::default())?;
    let onnx = args
        .output
        .clone()
        .unwrap_or_else(|| args.file.with_extension("onnx"));
    ensure!(
        onnx != args.file,
        "the output would replace {}: name another with -o",
        onnx.display()
    );
    std::fs::write(&onnx, &imported.onnx).wrap_err_with(|| format!("cannot write {}", onnx.display()))?;

    let mut beyond = None;
    let differences = match (sample, for_layers) {
        (Some(sample), Some(file)) => {
            let options = KerasOptions { layer_outputs: true };
            let with_layers = convert(&args.file, file, options)?;
            let compared = compare(&with_layers, &sample, args.tolerance)
                .wrap_err("the sample does not fit the model (docs/keras.md says how to make one)")?;
            beyond = compared.1;
            Some(compared.0)
        }
        _ => None,
    };
    let layers = imported
        .layers
        .iter()
        .map(|layer| LayerRow {
            layer: layer.name.clone(),
            class: layer.class.clone(),
            values: layer.outputs.iter().map(|output| output.value.clone()).collect(),
        })
        .collect();
    form.print(&Report {
        file: args.file.clone(),
        onnx,
        onnx_bytes: imported.onnx.len() as u64,
        layers,
        differences,
    })?;
    match (beyond, args.tolerance) {
        (Some(output), Some(tolerance)) => bail!("output {output:?} is beyond the tolerance of {tolerance}"),
        _ => Ok(()),
    }
}

fn convert(path: &Path, file: Vec<u8>, options: KerasOptions) -> Result<Imported> {
    import_keras(file, options).wrap_err_with(|| format!("{}", path.display()))
}

/// The arrays of a sample, by name.
fn read_sample(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let read = || tensors::parse_npz(&std::fs::read(path)?);
    let arrays = read().wrap_err_with(|| format!("cannot read {}", path.display()))?;
    Ok(arrays.into_iter().collect())
}

/// Runs the model on the sample's inputs; the differences of the layers and outputs that the sample has, and the first output that is
/// beyond the tolerance.
fn compare(
    imported: &Imported,
    sample: &BTreeMap<String, Tensor>,
    tolerance: Option<f64>,
) -> Result<(Vec<Difference>, Option<String>)> {
    let input_of = |name: &str, alone: bool| {
        let tensor = sample.get(name).or_else(|| sample.get("input").filter(|_| alone));
        tensor.ok_or_else(|| eyre::eyre!("it has no array {name:?} for the input of that name"))
    };
    let loaded = load(imported, input_of)?;
    let signature = loaded.model.signature();
    let alone = signature.inputs.len() == 1;
    let mut inputs = Vec::with_capacity(signature.inputs.len());
    for input in &signature.inputs {
        let tensor = input_of(&input.name, alone)?;
        ensure!(
            tensor.dtype() == input.dtype,
            "array {:?} holds {}, the input takes {}",
            input.name,
            tensor.dtype(),
            input.dtype
        );
        inputs.push(tensor.clone());
    }
    let results = execute(&loaded, &inputs, super::Engine::Fast)?;
    let outputs = signature
        .outputs
        .iter()
        .filter(|output| !output.name.starts_with(LAYER_PREFIX))
        .count();
    let mut differences = Vec::new();
    let mut beyond = None;
    for (place, (output, ours)) in signature.outputs.iter().zip(&results).enumerate() {
        let theirs = if place < outputs {
            let numbered = format!("output:{place}");
            sample
                .get(&output.name)
                .filter(|_| !signature.inputs.iter().any(|input| input.name == output.name))
                .or_else(|| sample.get(&numbered))
                .or_else(|| sample.get("output").filter(|_| outputs == 1))
        } else {
            sample.get(&output.name)
        };
        let Some(theirs) = theirs else { continue };
        ensure!(
            ours.dtype() == theirs.dtype(),
            "array {:?} holds {}, the network gives {}",
            output.name,
            theirs.dtype(),
            ours.dtype()
        );
        if let Some(tolerance) = tolerance
            && place < outputs
            && beyond.is_none()
            && super::compare::first_beyond(ours, theirs, tolerance).is_some()
        {
            beyond = Some(output.name.clone());
        }
        differences.push((place < outputs, difference(&output.name, ours, theirs)?));
    }
    ensure!(
        !differences.is_empty(),
        "it has neither outputs nor layers to compare"
    );
    // Layers in their order, then the outputs.
    differences.sort_by_key(|(is_output, _)| *is_output);
    Ok((
        differences
            .into_iter()
            .map(|(_, difference)| difference)
            .collect(),
        beyond,
    ))
}

/// Loads the model with its free dimensions as the inputs have them.
fn load<'s>(imported: &Imported, input_of: impl Fn(&str, bool) -> Result<&'s Tensor>) -> Result<LoadedModel> {
    let mut options = ImportOptions::default();
    loop {
        let error = match model_file::from_bytes(&imported.onnx, &NoExternalData, &options) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => error,
        };
        let Some(ImportError::FreeDimension { name, input, axis }) = error.downcast_ref() else {
            return Err(error);
        };
        let tensor = input_of(input, true)?;
        match tensor.shape().get(*axis) {
            Some(&size) if size > 0 => options.dims.insert(name.clone(), DimSetting::Pin(size)),
            _ => bail!(
                "array {input:?} has the shape {:?}, which the input does not take",
                tensor.shape()
            ),
        };
    }
}
