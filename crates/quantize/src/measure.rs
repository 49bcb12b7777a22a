//! How far a network with integers is from the one in floats.

use crate::{
    error::QuantizeError,
    graph::{Graph, expose, is},
    layers::moves,
    samples::Samples,
};
use std::collections::BTreeSet;
use synod_model::{DType, Tensor, proto::ModelProto};

/// Operators at the end of a network that flatten differences, or choose: what goes into them tells more.
const DECIDING: &[&str] = &[
    "ArgMax",
    "ArgMin",
    "Flatten",
    "Identity",
    "LogSoftmax",
    "Reshape",
    "Sigmoid",
    "Softmax",
    "Squeeze",
    "TopK",
];

/// The answers of the float network on some calls, to compare others with.
pub(crate) struct Reference<'s> {
    samples: &'s Samples,
    /// Values that are compared: the outputs, or what decides them.
    values: Vec<String>,
    calls: Vec<usize>,
    answers: Vec<Vec<Tensor>>,
}

impl<'s> Reference<'s> {
    /// Runs the float network on some of the calls, spread evenly.
    pub(crate) fn new(graph: &Graph, samples: &'s Samples, calls: usize) -> Result<Self, QuantizeError> {
        let values = compared(graph);
        let calls = calls.clamp(1, samples.calls());
        let calls: Vec<usize> = (0..calls).map(|call| call * samples.calls() / calls).collect();
        let mut reference = Self {
            samples,
            values,
            calls,
            answers: Vec::new(),
        };
        reference.answers = reference.answers_of(graph.to_model())?;
        Ok(reference)
    }

    fn answers_of(&self, model: ModelProto) -> Result<Vec<Vec<Tensor>>, QuantizeError> {
        let model = self.samples.load(&expose(model, &self.values))?;
        let plan = self.samples.plan(&model)?;
        let calls = self.calls.iter();
        calls.map(|&call| self.samples.run(&plan, call)).collect()
    }

    /// The energy of the difference in parts of that of the signal: the mean over the values compared.
    pub(crate) fn noise(&self, model: ModelProto) -> Result<f64, QuantizeError> {
        let answers = self.answers_of(model)?;
        let mut sum = 0.0;
        for value in 0..self.values.len() {
            let pairs = self.answers.iter().zip(&answers);
            let energies = pairs.map(|(a, b)| energies(&a[value], &b[value]));
            let (signal, noise) = energies.fold((0.0, 0.0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
            sum += if signal > 0.0 { noise / signal } else { noise };
        }
        Ok(sum / self.values.len() as f64)
    }
}

/// The energy of the first tensor, and of its difference to the second.
pub(crate) fn energies(a: &Tensor, b: &Tensor) -> (f64, f64) {
    if a.dtype() != DType::F32 || b.dtype() != DType::F32 || a.elements() != b.elements() {
        return (0.0, 0.0);
    }
    let pairs = a.as_slice::<f32>().iter().zip(b.as_slice::<f32>());
    pairs.fold((0.0, 0.0), |(signal, noise), (&a, &b)| {
        let (a, off) = (f64::from(a), f64::from(a) - f64::from(b));
        (signal + a * a, noise + off * off)
    })
}

/// Signal over noise in decibels.
pub fn decibels(noise: f64) -> f64 {
    -10.0 * noise.log10()
}

/// The values that outputs are decided by.
fn compared(graph: &Graph) -> Vec<String> {
    let producers = graph.producers();
    let mut values = Vec::new();
    let mut seen = BTreeSet::new();
    for output in graph.outputs() {
        let (mut value, mut at) = (output, output);
        while let Some(&producer) = producers.get(at) {
            let node = &graph.nodes[producer];
            let before = node.input.first().map_or("", String::as_str);
            let decides = DECIDING.iter().any(|op| is(node, op));
            if !decides || graph.is_input(before) || graph.is_constant(before) {
                break;
            }
            at = before;
            // what a node reads that moves elements may be there as bytes only
            if !moves(graph, node) {
                value = before;
            }
        }
        if producers.contains_key(value) && seen.insert(value) {
            values.push(value.to_owned());
        }
    }
    values
}
