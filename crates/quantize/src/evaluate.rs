//! Two networks on the same samples.

use crate::{error::QuantizeError, measure, range::lower, samples::Samples};
use synod_model::{DType, Tensor};

/// How two networks answer the same samples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evaluation {
    /// Answers compared: rows of the first output.
    pub answers: usize,
    /// Rows in which the float network gives the label, if there are labels.
    pub float_correct: Option<usize>,
    /// The same of the network with integers.
    pub integer_correct: Option<usize>,
    /// Rows in which both give the same class.
    pub agree: usize,
    /// Signal over noise of the first output, in decibels.
    pub decibels: f64,
    /// Calls that were made.
    pub calls: usize,
    /// Seconds that the float network took for the fastest of them.
    pub float_seconds: f64,
    /// The same of the network with integers.
    pub integer_seconds: f64,
}

/// Compares two models with the same inputs and outputs on samples, call by call.
///
/// The class of an answer is the position of the largest element of a row of the first output, along its last axis; where that has one
/// element, whether it is above one half; of an output of integers the element itself.
pub(crate) fn evaluate(
    float: &[u8],
    integer: &[u8],
    samples: &Samples,
    labels: Option<&[i64]>,
    step: &mut dyn FnMut(),
) -> Result<Evaluation, QuantizeError> {
    let (float, integer) = (samples.load_file(float)?, samples.load_file(integer)?);
    let (float, integer) = (samples.plan(&float)?, samples.plan(&integer)?);
    let mut result = Evaluation {
        calls: samples.calls(),
        float_seconds: f64::INFINITY,
        integer_seconds: f64::INFINITY,
        ..Evaluation::default()
    };
    let (mut correct, mut signal, mut noise) = ([0, 0], 0.0, 0.0);
    for call in 0..samples.calls() {
        let started = std::time::Instant::now();
        let a = samples.run(&float, call)?;
        let between = std::time::Instant::now();
        let b = samples.run(&integer, call)?;
        let times = [between - started, between.elapsed()].map(|time| time.as_secs_f64());
        result.float_seconds = lower(result.float_seconds, times[0]);
        result.integer_seconds = lower(result.integer_seconds, times[1]);
        let (Some(a), Some(b)) = (a.first(), b.first()) else {
            continue;
        };
        let (of_signal, of_noise) = measure::energies(a, b);
        signal += of_signal;
        noise += of_noise;
        let (a, b) = (classes(a), classes(b));
        result.agree += a.iter().zip(&b).filter(|(a, b)| a == b).count();
        if let Some(labels) = labels {
            let labels = labels.get(result.answers..).unwrap_or_default();
            for (correct, classes) in correct.iter_mut().zip([&a, &b]) {
                *correct += classes.iter().zip(labels).filter(|(a, b)| a == b).count();
            }
        }
        result.answers += a.len();
        step();
    }
    if let Some(labels) = labels {
        if labels.len() != result.answers {
            return Err(QuantizeError::Labels {
                labels: labels.len(),
                answers: result.answers,
            });
        }
        [result.float_correct, result.integer_correct] = correct.map(Some);
    }
    result.decibels = measure::decibels(if signal > 0.0 { noise / signal } else { 0.0 });
    Ok(result)
}

/// The class of each row.
fn classes(tensor: &Tensor) -> Vec<i64> {
    if let Some(integers) = tensor.to_i64s() {
        return integers;
    }
    if tensor.dtype() != DType::F32 {
        return Vec::new();
    }
    let columns = tensor.shape().last().copied().unwrap_or(1);
    let values = tensor.as_slice::<f32>();
    if columns <= 1 {
        return values.iter().map(|&value| i64::from(value > 0.5)).collect();
    }
    let largest = |row: &[f32]| {
        let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
        (0..row.len()).fold(0, better) as i64
    };
    values.chunks_exact(columns).map(largest).collect()
}
