//! Networks of floats into networks of 8-bit integers, in ONNX's standard operators.
//!
//! ```text
//!   in.onnx ──► fold ──► layers ──► calibrate ──► range ──► weights ──► write ──► int8.onnx
//!               BatchNorm  Conv      two runs      of each    of each    QLinearConv,
//!               into Conv  Gemm      over the      activation channel    MatMulInteger,
//!                          MatMul    samples                             the rest in float
//! ```
//!
//! - **Weights** are i8, with a scale for each output channel and zero at zero; **activations** u8, with a scale and a zero point for a
//!   tensor; a convolution's **bias** i32, in steps of input times weight.
//! - **Ranges** of activations come from samples. For each tensor several are tried (all that was seen, percentiles, the least squared error),
//!   each alone in the float network, and the one that changes the network's outputs least is taken.
//! - **Channels** that share a scale are brought to ranges alike where one convolution follows another, if that makes the outputs better.
//! - How **weights** are rounded (cut off or not, with bias correction or not) is measured likewise, for the whole network.
//! - A Relu or Clip behind a convolution is the end of its range. What moves elements (MaxPool, Reshape, …) moves bytes. All else stays in
//!   float between DequantizeLinear and QuantizeLinear, which the engine runs as tables of bytes or in one pass with its neighbours.
//! - **Sensitivity** of a layer: how far the outputs are from those in float when only this layer is computed with integers.
//!
//! The same file, samples and options give the same bytes. What measures is bounded by multiply-adds, not by time.
//!
//! # What can go wrong
//! Samples that are not like what the network will see: ranges are as good as they are. Networks whose channels have very different ranges behind
//! one scale: the report names the layers that lose most, and [`Keep`] leaves them in float.

mod calibrate;
mod equalize;
mod error;
mod evaluate;
mod fold;
mod graph;
mod keep;
mod layers;
mod measure;
mod range;
mod samples;
mod weights;
mod write;

pub use equalize::Equalization;
pub use error::QuantizeError;
pub use evaluate::Evaluation;
pub use keep::{Bound, Keep, ParseBoundError, Trial};
pub use measure::decibels;
pub use range::{Grid, Method};
pub use weights::Rounding;

use bytes::Bytes;
use calibrate::Calibration;
use graph::{Graph, encode, is};
use layers::{Classes, Layer};
use measure::Reference;
use range::{Histogram, METHODS};
use samples::Samples;
use std::collections::{BTreeMap, BTreeSet};
use synod_model::{DimSetting, ExternalData, Tensor, proto::ModelProto};
use write::Scheme;

/// [`Options::stage_multiply_adds`], if not said otherwise: about half a minute on two cores.
pub const STAGE_MULTIPLY_ADDS: u64 = 400_000_000_000;
/// Calls that a measurement looks at, at most.
const MEASURED_CALLS: u64 = 16;
/// Concatenated values get one scale if the widest of their ranges is at most so many times the narrowest.
const ALIKE: f64 = 2.0;

/// Arrays of samples with the names of the inputs that they are for.
pub type Arrays = [(String, Tensor)];

/// What a caller decides.
#[derive(Debug, Clone)]
pub struct Options {
    /// Layers that stay in float.
    pub keep: Keep,
    /// Sizes or bounds of free dimensions. Those that are not named are as the samples have them; the first axis, along which they lie, is 1.
    pub dims: BTreeMap<String, DimSetting>,
    /// Multiply-adds that each of the three stages of measurements (ranges, weights, layers) may take. What cannot be measured for it is not: ranges
    /// then have the least squared error of the value itself, biases are corrected, and losses of layers are known only if
    /// [`Keep::Most`] or [`Keep::Until`] needs them. What a bound needs beside is measured at any price.
    pub stage_multiply_adds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep: Keep::None,
            dims: BTreeMap::new(),
            stage_multiply_adds: STAGE_MULTIPLY_ADDS,
        }
    }
}

/// Is told what goes on.
pub trait Progress {
    /// A stage of so many steps begins.
    fn begin(&mut self, stage: &str, steps: u64);
    /// A step is done.
    fn step(&mut self);
}

/// Nobody is told.
impl Progress for () {
    fn begin(&mut self, _stage: &str, _steps: u64) {}
    fn step(&mut self) {}
}

/// A network with integers, and what became of its parts.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The ONNX file, with all its weights inside.
    pub onnx: Bytes,
    /// The float network with the same foldings.
    pub float: Bytes,
    /// Nodes that were folded into layers.
    pub folded: usize,
    /// Which tensors had their channels equalised.
    pub equalization: Equalization,
    /// How weights were rounded.
    pub rounding: Rounding,
    /// The layers, in the graph's order.
    pub layers: Vec<LayerReport>,
    /// What was measured to find how many layers must stay in float, if a bound was given.
    pub trials: Vec<Trial>,
    /// The activations that are bytes.
    pub activations: Vec<ActivationReport>,
    /// How free dimensions were settled for the calls that calibrated.
    pub dims: BTreeMap<String, DimSetting>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerReport {
    /// The node's name, or its output's.
    pub name: String,
    /// Its operator.
    pub op_type: String,
    /// How many weights it has.
    pub weights: usize,
    /// Signal over noise at the outputs when only this layer is computed with integers, in decibels; `None` if it was not measured.
    pub decibels: Option<f64>,
    /// Whether it stayed in float.
    pub kept: bool,
}

/// An activation that is bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationReport {
    /// The value in the graph of floats.
    pub name: String,
    /// Its range.
    pub grid: Grid,
    /// How the range was found.
    pub method: Method,
}

/// Makes a network of integers of one of floats.
///
/// # Errors
/// If the file does not import, has nothing to quantise, or the samples do not fit its inputs or are not finite.
pub fn quantize(
    file: &[u8],
    external: &dyn ExternalData,
    calibration: &Arrays,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Quantized, QuantizeError> {
    let mut graph = Graph::read(file, external)?;
    if graph.opset() < error::MIN_OPSET {
        return Err(QuantizeError::Opset { opset: graph.opset() });
    }
    let samples = Samples::new(&graph, calibration, &options.dims)?;
    samples.check_finite(&graph)?;
    let folded = fold::fold(&mut graph);
    let layers = layers::find(&graph)?;
    if layers.is_empty() {
        let operators: BTreeSet<String> = graph
            .nodes
            .iter()
            .filter_map(|node| node.op_type.clone())
            .collect();
        return Err(QuantizeError::NothingToQuantize {
            operators: operators.into_iter().collect(),
        });
    }
    let named = keep::by_name(&layers, &options.keep)?;

    let active: BTreeSet<usize> = (0..layers.len()).filter(|index| !named.contains(index)).collect();
    let float = graph.to_model();
    let multiply_adds = samples.plan(&samples.load(&float)?)?.cost().multiply_adds;
    let work = Work {
        float: &graph,
        samples: &samples,
        multiply_adds,
        stage: options.stage_multiply_adds,
    };
    let mut prepared = work.equalize(layers, &active, progress)?;
    let methods = work.choose_ranges(&mut prepared, progress)?;
    let rounding = work.choose_rounding(&mut prepared, &active, progress)?;
    let wanted = matches!(options.keep, Keep::Most(_) | Keep::Until(_));
    let noises = work.sensitivities(&prepared, wanted, progress)?;
    let order = keep::by_loss(prepared.layers.len(), &noises);
    let float = encode(&float);
    let (count, trials) = match options.keep {
        Keep::Most(count) => (count, Vec::new()),
        Keep::Until(bound) => work.keep_until(bound, &prepared, &order, &float, progress)?,
        Keep::None | Keep::Named(_) => (0, Vec::new()),
    };
    let kept: BTreeSet<usize> = named.into_iter().chain(order.into_iter().take(count)).collect();
    let Prepared {
        graph,
        layers,
        scheme,
        equalization,
        ..
    } = prepared;
    if kept.len() == layers.len() {
        return Err(QuantizeError::AllKept { layers: layers.len() });
    }
    let active: BTreeSet<usize> = (0..layers.len()).filter(|index| !kept.contains(index)).collect();
    let onnx = encode(&write::write(&graph, &layers, &scheme, &active, &[]));
    samples.load_file(&onnx)?;

    let activations = scheme.classes.roots.iter().enumerate();
    let activations = activations
        .filter_map(|(class, roots)| {
            Some(ActivationReport {
                name: roots.first()?.clone(),
                grid: scheme.grids[class],
                method: methods[class],
            })
        })
        .collect();
    Ok(Quantized {
        onnx,
        float,
        folded,
        equalization,
        rounding,
        layers: keep::reports(&layers, &noises, &kept),
        trials,
        activations,
        dims: samples.dims().clone(),
    })
}

/// Compares a network with integers with the one of floats that it was made of, on other samples, and with labels if there are some.
///
/// # Errors
/// If the samples do not fit, or there are more or fewer labels than answers.
pub fn evaluate(
    quantized: &Quantized,
    samples: &Arrays,
    labels: Option<&[i64]>,
    progress: &mut dyn Progress,
) -> Result<Evaluation, QuantizeError> {
    let graph = Graph::read(&quantized.float, &synod_model::NoExternalData)?;
    let samples = Samples::new(&graph, samples, &quantized.dims)?;
    progress.begin("evaluation", samples.calls() as u64);
    evaluate::evaluate(&quantized.float, &quantized.onnx, &samples, labels, &mut || {
        progress.step()
    })
}

/// The concatenations whose inputs have ranges alike: they can have one scale, and be made of bytes.
fn alike(graph: &Graph, layers: &[Layer], classes: &Classes, seen: &Calibration) -> BTreeSet<usize> {
    let width = |name: &String| {
        let root = classes.roots[*classes.of.get(name)?].first()?;
        Some(seen.values.get(root)?.width())
    };
    let concatenations = classes.concatenations(graph, layers).into_iter();
    concatenations
        .filter(|&index| {
            let widths: Option<Vec<f64>> = graph.nodes[index].input.iter().map(width).collect();
            let widths = widths.unwrap_or_default();
            let most = widths.iter().copied().fold(0.0, range::higher);
            is(&graph.nodes[index], "Concat") && widths.iter().all(|width| width * ALIKE >= most)
        })
        .collect()
}

/// A graph to be written with integers, and what is known of it.
struct Prepared {
    graph: Graph,
    layers: Vec<Layer>,
    equalization: Equalization,
    means: Vec<Vec<f64>>,
    histograms: Vec<Histogram>,
    scheme: Scheme,
}

impl Prepared {
    /// Runs the samples. Ranges are those of the least error of the value itself, weights are rounded plainly.
    fn new(
        graph: Graph,
        layers: Vec<Layer>,
        equalization: Equalization,
        samples: &Samples,
        step: &mut dyn FnMut(),
    ) -> Result<Self, QuantizeError> {
        let loose = Classes::new(&graph, &layers, &BTreeSet::new());
        let seen = Calibration::first_pass(&graph, samples, &layers, &loose, step)?;
        let classes = Classes::new(&graph, &layers, &alike(&graph, &layers, &loose, &seen));
        let histograms = seen.second_pass(&graph, samples, &classes, step)?;
        let mut prepared = Self {
            scheme: Scheme {
                grids: histograms
                    .iter()
                    .map(|histogram| histogram.grid(Method::Mse))
                    .collect(),
                rounded: Vec::new(),
                classes,
            },
            means: seen.means,
            graph,
            layers,
            equalization,
            histograms,
        };
        prepared.scheme.rounded = prepared.rounded(FIRST_ROUNDING);
        Ok(prepared)
    }

    fn rounded(&self, how: Rounding) -> Vec<weights::Rounded> {
        let layers = self.layers.iter().zip(&self.means);
        layers
            .map(|(layer, means)| {
                let input_scale = self.scheme.grids[self.scheme.classes.of[&layer.input]].scale;
                weights::round(layer, input_scale, means, how)
            })
            .collect()
    }

    fn write(&self, with_integers: &BTreeSet<usize>) -> ModelProto {
        write::write(&self.graph, &self.layers, &self.scheme, with_integers, &[])
    }
}

/// How weights are rounded where nothing is measured.
const FIRST_ROUNDING: Rounding = Rounding {
    clipping: false,
    bias_correction: true,
};

/// What measurements need.
struct Work<'a> {
    /// What is compared with.
    float: &'a Graph,
    samples: &'a Samples,
    /// Of a call.
    multiply_adds: u64,
    /// Of a stage, at most.
    stage: u64,
}

impl Work<'_> {
    /// What so many measurements compare with: the answers to as many calls as there are multiply-adds for; `None` if to none.
    fn reference(&self, measurements: usize) -> Result<Option<Reference<'_>>, QuantizeError> {
        let one = self.multiply_adds.saturating_mul(measurements as u64);
        match self.stage.checked_div(one).unwrap_or(MEASURED_CALLS) {
            0 => Ok(None),
            calls => {
                let calls = calls.min(MEASURED_CALLS) as usize;
                Reference::new(self.float, self.samples, calls).map(Some)
            }
        }
    }

    /// Equalises channels in the way that changes the outputs least, or not at all.
    fn equalize(
        &self,
        layers: Vec<Layer>,
        active: &BTreeSet<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Prepared, QuantizeError> {
        let ways = [Equalization::Depthwise, Equalization::All];
        let calls = self.samples.calls() as u64;
        progress.begin("ranges", 2 * calls);
        let plain = Prepared::new(
            self.float.clone(),
            layers,
            Equalization::None,
            self.samples,
            &mut || progress.step(),
        )?;
        let Some(reference) = self.reference(1 + ways.len())? else {
            return Ok(plain);
        };
        progress.begin("channels", 3 * calls * ways.len() as u64);
        let mut best = (reference.noise(plain.write(active))?, plain);
        let mut last = None;
        for way in ways {
            let plain_layers = layers::find(self.float)?;
            let step = &mut || progress.step();
            let Some(graph) = equalize::equalize(self.float, &plain_layers, self.samples, way, step)? else {
                continue;
            };
            // where all are depthwise, the second way is the first again
            if last.as_ref() == Some(&graph.nodes) {
                continue;
            }
            last = Some(graph.nodes.clone());
            let layers = layers::find(&graph)?;
            let tried = Prepared::new(graph, layers, way, self.samples, step)?;
            let noise = reference.noise(tried.write(active))?;
            if noise < best.0 {
                best = (noise, tried);
            }
        }
        Ok(best.1)
    }

    /// Takes for each class the range that changes the outputs least when it alone is bytes.
    fn choose_ranges(
        &self,
        prepared: &mut Prepared,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Method>, QuantizeError> {
        let candidates: Vec<Vec<(Method, Grid)>> = prepared.histograms.iter().map(candidates).collect();
        let measurements: usize = candidates.iter().map(Vec::len).sum();
        progress.begin("methods", measurements as u64);
        let reference = self.reference(measurements)?;
        let Prepared { graph, scheme, .. } = prepared;
        let mut methods = Vec::with_capacity(candidates.len());
        for (class, candidates) in candidates.into_iter().enumerate() {
            let roots = scheme.classes.roots[class].clone();
            let mut best: Option<(f64, Method, Grid)> = None;
            for (method, grid) in candidates {
                scheme.grids[class] = grid;
                let noise = match &reference {
                    Some(reference) => {
                        let model = write::write(graph, &[], scheme, &BTreeSet::new(), &roots);
                        reference.noise(model)?
                    }
                    None => 0.0,
                };
                progress.step();
                if best.is_none_or(|(least, ..)| noise < least) {
                    best = Some((noise, method, grid));
                }
            }
            let (_, method, grid) = best.unwrap_or((0.0, Method::MinMax, scheme.grids[class]));
            scheme.grids[class] = grid;
            methods.push(method);
        }
        Ok(methods)
    }

    /// Rounds the weights in the way that changes the outputs least.
    fn choose_rounding(
        &self,
        prepared: &mut Prepared,
        active: &BTreeSet<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Rounding, QuantizeError> {
        let ways = [(false, true), (false, false), (true, true), (true, false)];
        let ways = ways.map(|(clipping, bias_correction)| Rounding {
            clipping,
            bias_correction,
        });
        progress.begin("weights", ways.len() as u64);
        let Some(reference) = self.reference(ways.len())? else {
            prepared.scheme.rounded = prepared.rounded(FIRST_ROUNDING);
            return Ok(FIRST_ROUNDING);
        };
        let mut best = (f64::INFINITY, FIRST_ROUNDING);
        for way in ways {
            prepared.scheme.rounded = prepared.rounded(way);
            let noise = reference.noise(prepared.write(active))?;
            progress.step();
            if noise < best.0 {
                best = (noise, way);
            }
        }
        prepared.scheme.rounded = prepared.rounded(best.1);
        Ok(best.1)
    }

    /// What each layer alone does to the outputs; nothing if it is not `wanted` at any price, and takes too much.
    fn sensitivities(
        &self,
        prepared: &Prepared,
        wanted: bool,
        progress: &mut dyn Progress,
    ) -> Result<Vec<f64>, QuantizeError> {
        let layers = prepared.layers.len();
        let reference = match self.reference(layers)? {
            None if wanted => Reference::new(self.float, self.samples, 1)?,
            None => return Ok(Vec::new()),
            Some(reference) => reference,
        };
        progress.begin("layers", layers as u64);
        (0..layers)
            .map(|index| {
                let noise = reference.noise(prepared.write(&BTreeSet::from([index])));
                progress.step();
                noise
            })
            .collect()
    }
}

/// The ranges that are tried for a value: where outputs say the same of two, the one with the smaller error of the value itself, which
/// comes first.
fn candidates(histogram: &Histogram) -> Vec<(Method, Grid)> {
    let mut grids: Vec<(Method, Grid)> = Vec::new();
    for method in METHODS {
        let grid = histogram.grid(method);
        if grids.iter().all(|(_, other)| *other != grid) {
            grids.push((method, grid));
        }
    }
    grids.sort_by(|(_, a), (_, b)| histogram.error(*a).total_cmp(&histogram.error(*b)));
    grids
}
