//! `synod model quantize FILE --calibration SAMPLES.npz [-o OUT.onnx] [--evaluate DATA.npz --labels LABELS.csv]`
//!
//! A network of floats as one of 8-bit integers, with what it costs in accuracy and saves in size, gas and time.

use super::inspect;
use crate::{
    model_file::{self, Beside, LoadedModel, ModelArgs},
    show::{Bar, Form, bytes, table, thousands},
    tensors::{self, Candidate, InputArg, Role},
};
use clap::Args;
use eyre::{Context as _, Result, bail, ensure};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};
use synod_model::{DType, ImportOptions, NoExternalData, Tensor, declared_inputs};
use synod_numerics::pool;
use synod_quantize::{
    Bound, Equalization, Evaluation, Keep, LayerReport, Options, ParseBoundError, Progress, Quantized,
    STAGE_MULTIPLY_ADDS,
};

/// The bound of `--keep-float auto`.
const USUAL_BOUND: Bound = Bound::Changed(1.0);

/// Layers and activations that the report shows.
const SHOWN_LAYERS: usize = 8;

#[derive(Debug, Args)]
pub(crate) struct QuantizeArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// Samples of the inputs, as many as there are along the first axis, from which ranges are found (.npz, .npy, .csv, .json); several times
    /// for several inputs
    #[arg(long, short, value_name = "[NAME=]FILE", required = true)]
    calibration: Vec<InputArg>,

    /// Where to write the ONNX file; beside FILE with the extension .int8.onnx, if not given
    #[arg(long, short, value_name = "OUT.onnx")]
    output: Option<PathBuf>,

    /// Leave layers in float: so many of those that lose most, those of these names, or as few as a bound on the loss asks
    /// for: `auto` (at most 1% of the calibration samples change their class), `auto:0.2%`, `auto:30dB`
    #[arg(long, value_name = "N|NAME,…|auto[:BOUND]", default_value = "0")]
    keep_float: KeepFloat,

    /// Other samples, on which both networks are compared; those of --calibration if not given
    #[arg(long, value_name = "[NAME=]FILE")]
    evaluate: Vec<InputArg>,

    /// The right class of each of these samples (.csv, .npy), for accuracies before and after
    #[arg(long, value_name = "FILE", requires = "evaluate")]
    labels: Option<InputArg>,

    /// Multiply-adds, in thousands of millions, that each stage of measurements may take (ranges, weights, layers); 0 measures nothing
    #[arg(long, value_name = "N", default_value_t = STAGE_MULTIPLY_ADDS / 1_000_000_000)]
    effort: u64,

    /// Threads for the kernels; all of the machine's if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=pool::MAX_THREADS as i64))]
    threads: Option<u16>,
}

/// `--keep-float`: a number, names, or a bound.
#[derive(Debug, Clone)]
struct KeepFloat(Keep);

impl FromStr for KeepFloat {
    type Err = ParseBoundError;

    fn from_str(text: &str) -> Result<Self, ParseBoundError> {
        if text == "auto" {
            return Ok(Self(Keep::Until(USUAL_BOUND)));
        }
        if let Some(bound) = text.strip_prefix("auto:") {
            return Ok(Self(Keep::Until(bound.parse()?)));
        }
        Ok(Self(match text.parse() {
            Ok(0) => Keep::None,
            Ok(count) => Keep::Most(count),
            Err(_) => Keep::Named(text.split(',').map(|name| name.trim().to_owned()).collect()),
        }))
    }
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    onnx: PathBuf,
    folded: usize,
    equalization: &'static str,
    clipping: bool,
    bias_correction: bool,
    float: Costs,
    int8: Costs,
    evaluation: Compared,
    /// Those that lose most come first.
    layers: Vec<LayerRow>,
    /// The bound of `--keep-float auto`, and what was measured to meet it on the samples that calibrate.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    trials: Vec<TrialRow>,
    activations: Vec<ActivationRow>,
}

/// What a network is and costs, at the shapes of a call.
#[derive(Serialize)]
struct Costs {
    model_id: String,
    graph_bytes: u64,
    weight_bytes: u64,
    multiply_adds: u64,
    /// The first prediction of a transaction, with loading and planning.
    gas: u64,
    /// The nodes alone.
    execution_gas: u64,
    /// Of the fastest call.
    milliseconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    correct: Option<usize>,
}

#[derive(Serialize)]
struct Compared {
    answers: usize,
    agree: usize,
    /// Signal over noise of the first output; absent where there is no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    decibels: Option<f64>,
}

#[derive(Serialize)]
struct LayerRow {
    layer: String,
    operator: String,
    weights: usize,
    decibels: Option<f64>,
    kept_float: bool,
}

#[derive(Serialize)]
struct TrialRow {
    kept_float: usize,
    answers: usize,
    changed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    decibels: Option<f64>,
    met: bool,
}

#[derive(Serialize)]
struct ActivationRow {
    value: String,
    low: f32,
    high: f32,
    method: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<Vec<String>> = self
            .layers
            .iter()
            .take(SHOWN_LAYERS)
            .map(|row| {
                vec![
                    row.layer.clone(),
                    row.operator.clone(),
                    thousands(row.weights as u64),
                    row.decibels.map_or("none seen".into(), |db| format!("{db:.1}")),
                    if row.kept_float { "float" } else { "int8" }.into(),
                ]
            })
            .collect();
        let header = ["loses most", "operator", "weights", "alone, dB", "now"];
        f.write_str(&table(&header, &rows))?;
        writeln!(f)?;
        self.show_trials(f)?;
        let (float, int8) = (&self.float, &self.int8);
        let ratio = |float: f64, int8: f64| format!("{:.2}", int8 / float);
        let row = |what: &str, words: [String; 2], values: [f64; 2]| {
            let [float, int8] = words;
            vec![what.to_owned(), float, int8, ratio(values[0], values[1])]
        };
        let counts =
            |what: &str, values: [u64; 2]| row(what, values.map(thousands), values.map(|v| v as f64));
        let sizes = [float, int8].map(|of| of.graph_bytes + of.weight_bytes);
        let mut rows = vec![
            row("size", sizes.map(bytes), sizes.map(|size| size as f64)),
            counts("gas of a first predict", [float.gas, int8.gas]),
            counts("gas of the nodes", [float.execution_gas, int8.execution_gas]),
            row(
                "milliseconds",
                [float, int8].map(|of| format!("{:.3}", of.milliseconds)),
                [float, int8].map(|of| of.milliseconds),
            ),
        ];
        if let (Some(a), Some(b)) = (float.correct, int8.correct) {
            let percent = |correct: usize| 100.0 * correct as f64 / self.evaluation.answers as f64;
            rows.push(vec![
                "top-1".to_owned(),
                format!("{:.2}%", percent(a)),
                format!("{:.2}%", percent(b)),
                format!("{:+.2} points", percent(b) - percent(a)),
            ]);
        }
        f.write_str(&table(&["", "float", "int8", "ratio"], &rows))?;
        let Compared {
            answers,
            agree,
            decibels,
        } = &self.evaluation;
        write!(
            f,
            "\nthe same class in {} of {} answers",
            thousands(*agree as u64),
            thousands(*answers as u64)
        )?;
        match decibels {
            Some(decibels) => writeln!(f, "; first output {decibels:.1} dB over its error")?,
            None => writeln!(f, "; first output without a difference")?,
        }
        let kept = self.layers.iter().filter(|layer| layer.kept_float).count();
        writeln!(
            f,
            "{} of {} layers with integers, {} nodes folded into layers; channels equalised: {}; weights {}{}",
            self.layers.len() - kept,
            self.layers.len(),
            self.folded,
            self.equalization,
            if self.clipping {
                "cut off where that is better"
            } else {
                "not cut off"
            },
            if self.bias_correction {
                ", biases corrected"
            } else {
                ""
            },
        )?;
        writeln!(f, "-> {}", self.onnx.display())?;
        writeln!(f, "next: synod model inspect {}", self.onnx.display())
    }
}

impl Report {
    /// How many layers had to stay in float, and how that was found.
    fn show_trials(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bound) = &self.bound else { return Ok(()) };
        let rows: Vec<Vec<String>> = self
            .trials
            .iter()
            .map(|trial| {
                vec![
                    trial.kept_float.to_string(),
                    format!(
                        "{} of {}",
                        thousands(trial.changed as u64),
                        thousands(trial.answers as u64)
                    ),
                    trial.decibels.map_or("none".into(), |db| format!("{db:.1}")),
                    if trial.met { "met" } else { "not met" }.into(),
                ]
            })
            .collect();
        let header = ["in float", "classes changed", "dB over error", bound];
        f.write_str(&table(&header, &rows))?;
        writeln!(f)
    }
}

/// Bars of the stages.
#[derive(Default)]
struct Bars(Option<Bar>);

impl Progress for Bars {
    fn begin(&mut self, stage: &str, steps: u64) {
        self.end();
        self.0 = Some(Bar::count(stage, steps));
    }

    fn step(&mut self) {
        if let Some(bar) = &mut self.0 {
            bar.advance(1);
        }
    }
}

impl Bars {
    fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish();
        }
    }
}

pub(crate) fn run(args: &QuantizeArgs, form: Form) -> Result<()> {
    let path = &args.model.file;
    ensure!(
        !args.model.integers,
        "--integers is for networks that are quantised already: leave it out"
    );
    let file = model_file::read(path)?;
    let onnx = args
        .output
        .clone()
        .unwrap_or_else(|| path.with_extension("int8.onnx"));
    ensure!(
        onnx != *path,
        "the output would replace {}: name another with -o",
        onnx.display()
    );
    let declared = declared_inputs(&file).wrap_err_with(|| format!("{}", path.display()))?;
    let calibration = arrays(&declared, &args.calibration)?;
    let evaluation = if args.evaluate.is_empty() {
        calibration.clone()
    } else {
        arrays(&declared, &args.evaluate)?
    };
    let labels = args.labels.as_ref().map(labels).transpose()?;
    let threads = match args.threads {
        Some(threads) => threads.into(),
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    pool::set_threads(threads);

    let options = Options {
        keep: args.keep_float.0.clone(),
        dims: args.model.settings()?.dims,
        stage_multiply_adds: args.effort.saturating_mul(1_000_000_000),
    };
    let mut bars = Bars::default();
    let beside = Beside::of(path);
    let quantized = synod_quantize::quantize(&file, &beside, &calibration, &options, &mut bars)
        .wrap_err_with(|| format!("{}", path.display()))?;
    let compared = synod_quantize::evaluate(&quantized, &evaluation, labels.as_deref(), &mut bars)?;
    bars.end();
    std::fs::write(&onnx, &quantized.onnx).wrap_err_with(|| format!("cannot write {}", onnx.display()))?;
    let mut report = report(path, onnx, &quantized, &compared)?;
    if let Keep::Until(bound) = options.keep {
        report.bound = Some(bound.to_string());
    }
    form.print(&report)
}

/// The samples for each input that a file declares.
fn arrays(declared: &[(String, Option<DType>)], files: &[InputArg]) -> Result<Vec<(String, Tensor)>> {
    let candidates = tensors::read(files)?;
    let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
    let ordered = tensors::order(Role::Input, &names, &candidates)?;
    let given = declared.iter().zip(ordered);
    given
        .filter_map(|((name, dtype), candidate)| Some((name, (*dtype)?, candidate?)))
        .map(|(name, dtype, candidate)| Ok((name.clone(), candidate.typed(dtype)?)))
        .collect()
}

/// The classes in a file.
fn labels(file: &InputArg) -> Result<Vec<i64>> {
    let candidates = tensors::read(std::slice::from_ref(file))?;
    let [candidate] = &candidates[..] else {
        bail!("the labels are one array, the file has {}", candidates.len());
    };
    integers(candidate).wrap_err("labels are whole numbers, one for each answer")
}

fn integers(candidate: &Candidate) -> Result<Vec<i64>> {
    match candidate.stored() {
        Some(tensor) => tensor
            .to_i64s()
            .ok_or_else(|| eyre::eyre!("the array holds {}", tensor.dtype())),
        None => Ok(candidate.typed(DType::I64)?.as_slice::<i64>().to_vec()),
    }
}

fn report(path: &Path, onnx: PathBuf, quantized: &Quantized, compared: &Evaluation) -> Result<Report> {
    let options = ImportOptions {
        dims: quantized.dims.clone(),
        ..ImportOptions::default()
    };
    let costs = |file: &[u8], seconds: f64, correct: Option<usize>| -> Result<Costs> {
        let loaded: LoadedModel = model_file::from_bytes(file, &NoExternalData, &options)?;
        let inspected = inspect::inspect(&loaded)?;
        Ok(Costs {
            model_id: loaded.id().to_string(),
            graph_bytes: loaded.canonical.graph.len() as u64,
            weight_bytes: loaded.canonical.weights.len() as u64,
            multiply_adds: inspected.multiply_adds(),
            gas: inspected.prediction_gas(),
            execution_gas: inspected.execution_gas(),
            milliseconds: seconds * 1e3,
            correct,
        })
    };
    let finite = |decibels: f64| decibels.is_finite().then_some(decibels);
    let mut layers: Vec<_> = quantized.layers.iter().collect();
    let loss = |layer: &LayerReport| layer.decibels.unwrap_or(f64::INFINITY);
    layers.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
    Ok(Report {
        file: path.to_owned(),
        onnx,
        folded: quantized.folded,
        equalization: match quantized.equalization {
            Equalization::None => "none",
            Equalization::Depthwise => "depthwise",
            Equalization::All => "all",
        },
        clipping: quantized.rounding.clipping,
        bias_correction: quantized.rounding.bias_correction,
        float: costs(&quantized.float, compared.float_seconds, compared.float_correct)?,
        int8: costs(
            &quantized.onnx,
            compared.integer_seconds,
            compared.integer_correct,
        )?,
        evaluation: Compared {
            answers: compared.answers,
            agree: compared.agree,
            decibels: finite(compared.decibels),
        },
        bound: None,
        trials: quantized
            .trials
            .iter()
            .map(|trial| TrialRow {
                kept_float: trial.kept,
                answers: trial.answers,
                changed: trial.changed,
                decibels: finite(trial.decibels),
                met: trial.met,
            })
            .collect(),
        layers: layers
            .into_iter()
            .map(|layer| LayerRow {
                layer: layer.name.clone(),
                operator: layer.op_type.clone(),
                weights: layer.weights,
                decibels: layer.decibels.and_then(finite),
                kept_float: layer.kept,
            })
            .collect(),
        activations: quantized
            .activations
            .iter()
            .map(|activation| {
                let (low, high) = activation.grid.ends();
                ActivationRow {
                    value: activation.name.clone(),
                    low,
                    high,
                    method: activation.method.to_string(),
                }
            })
            .collect(),
    })
}
