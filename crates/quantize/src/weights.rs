//! Weights as bytes: one scale for each output channel, zero at zero.

use crate::layers::Layer;

/// The largest byte: −128 is left out, so that signs are alike.
const LARGEST: f64 = 127.0;
/// The largest integer of a bias, which leaves room for the sums.
const LARGEST_BIAS: f64 = (1_i64 << 30) as f64;
/// How many scales are tried, each a fiftieth of the largest weight's less.
const SCALES: usize = 25;

/// What becomes of the weights of a layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounded {
    /// As the layer has them: one output channel behind the other.
    pub(crate) weights: Vec<i8>,
    /// Of each output channel.
    pub(crate) scales: Vec<f32>,
    /// In floats, as corrected.
    pub(crate) bias: Option<Vec<f32>>,
}

/// How weights are rounded: found out by measurement, for the whole network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rounding {
    /// Whether the largest weights of a channel are cut off where that makes its mean squared error less.
    pub clipping: bool,
    /// Whether what the rounded weights change in the mean of each channel is taken from its bias.
    pub bias_correction: bool,
}

/// Rounds the weights of a layer whose input has this scale, and these means of its channels.
pub(crate) fn round(layer: &Layer, input_scale: f32, means: &[f64], how: Rounding) -> Rounded {
    let terms = layer.terms();
    let mut rounded = Rounded {
        bias: layer.bias.clone(),
        ..Rounded::default()
    };
    for (channel, row) in layer.rows.chunks_exact(terms).enumerate() {
        let bias = layer.bias.as_ref().map_or(0.0, |bias| f64::from(bias[channel]));
        let scale = scale_of(row, bias, input_scale, how.clipping);
        let bytes = row.iter().map(|&weight| nearest(weight, scale));
        let first = rounded.weights.len();
        rounded.weights.extend(bytes);
        rounded.scales.push(scale);
        if !how.bias_correction {
            continue;
        }
        let bytes = rounded.weights[first..].iter().zip(row).enumerate();
        let shift: f64 = bytes
            .map(|(term, (&byte, &weight))| {
                let off = f64::from(byte) * f64::from(scale) - f64::from(weight);
                let mean = means.get(layer.input_channel(channel, term));
                off * mean.copied().unwrap_or_default()
            })
            .sum();
        let corrected = rounded.bias.get_or_insert_with(|| vec![0.0; layer.channels]);
        corrected[channel] = (bias - shift) as f32;
    }
    rounded
}

fn nearest(weight: f32, scale: f32) -> i8 {
    let steps = f64::from(weight) / f64::from(scale);
    steps.round_ties_even().clamp(-LARGEST, LARGEST) as i8
}

/// The scale of a channel. It is no smaller than the bias needs, whose integers are steps of input times weight.
fn scale_of(row: &[f32], bias: f64, input_scale: f32, clipping: bool) -> f32 {
    let largest = row.iter().fold(0.0, |most: f64, &weight| {
        let weight = f64::from(weight).abs();
        if weight > most { weight } else { most }
    });
    let full = largest / LARGEST;
    let mut best = full as f32;
    if clipping && row.len() > 1 {
        let mut least = f64::INFINITY;
        for part in 0..SCALES {
            let scale = (full * (1.0 - part as f64 / 50.0)) as f32;
            let error: f64 = row
                .iter()
                .map(|&weight| {
                    let off = f64::from(nearest(weight, scale)) * f64::from(scale) - f64::from(weight);
                    off * off
                })
                .sum();
            if error < least {
                (best, least) = (scale, error);
            }
        }
    }
    let needed = (bias.abs() / f64::from(input_scale) / LARGEST_BIAS) as f32;
    let scale = if best > needed { best } else { needed };
    if scale.is_normal() { scale } else { 1.0 }
}

/// The integer of a bias: of steps of input times weight.
pub(crate) fn bias_steps(bias: f32, input_scale: f32, scale: f32) -> i32 {
    let step = f64::from(input_scale) * f64::from(scale);
    let steps = (f64::from(bias) / step).round_ties_even();
    // within i32: the scale was chosen so, and a correction is small beside the limit
    steps.clamp(-LARGEST_BIAS * 1.01, LARGEST_BIAS * 1.01) as i32
}
