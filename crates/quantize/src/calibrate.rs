//! What values are like on the samples: two runs of the float network over all of them, one for the ends of ranges and the means of
//! channels, one for the histograms between the ends. Memory does not grow with the number of samples.

use crate::{
    error::QuantizeError,
    graph::Graph,
    layers::{Classes, Layer},
    range::Histogram,
    samples::Samples,
};
use std::collections::BTreeMap;
use synod_model::Tensor;

/// The two runs.
pub(crate) struct Calibration {
    /// What was seen of each value.
    pub(crate) values: BTreeMap<String, Histogram>,
    /// For each layer the means of its input's channels.
    pub(crate) means: Vec<Vec<f64>>,
}

/// Runs the float network on every call, and shows these of its values.
pub(crate) fn watch(
    graph: &Graph,
    samples: &Samples,
    values: &[String],
    step: &mut dyn FnMut(),
    mut see: impl FnMut(usize, &[f32], &Tensor),
) -> Result<(), QuantizeError> {
    let inputs: BTreeMap<&str, usize> = graph
        .inputs()
        .iter()
        .enumerate()
        .map(|(place, input)| (input.name.as_deref().unwrap_or_default(), place))
        .collect();
    let computed = values.iter().filter(|value| !inputs.contains_key(value.as_str()));
    let computed: Vec<String> = computed.cloned().collect();
    let plan = if computed.is_empty() {
        None
    } else {
        Some(samples.plan(&samples.load(&graph.exposing(&computed))?)?)
    };
    for call in 0..samples.calls() {
        let given = samples.call(call)?;
        let results = match &plan {
            Some(plan) => samples.run(plan, call)?,
            None => Vec::new(),
        };
        let mut results = results.iter();
        for (place, name) in values.iter().enumerate() {
            let tensor = match inputs.get(name.as_str()) {
                Some(&input) => Some(&given[input]),
                None => results.next(),
            };
            let Some(tensor) = tensor else { continue };
            let numbers = tensor.as_slice::<f32>();
            if let Some(&value) = numbers.iter().find(|value| !value.is_finite()) {
                return Err(QuantizeError::ValueNotFinite {
                    name: name.clone(),
                    call,
                    value,
                });
            }
            see(place, numbers, tensor);
        }
        step();
    }
    Ok(())
}

/// Sums of the elements of each channel, which lie along this axis (from the end if it is negative).
fn add_channels(sums: &mut Vec<f64>, counts: &mut f64, tensor: &Tensor, numbers: &[f32], axis: i64) {
    let shape = tensor.shape();
    let axis = usize::try_from(if axis < 0 { axis + shape.len() as i64 } else { axis }).unwrap_or_default();
    let Some(&channels) = shape.get(axis) else { return };
    let inner: usize = shape[axis + 1..].iter().product();
    sums.resize(channels, 0.0);
    if numbers.is_empty() {
        return;
    }
    for (run, part) in numbers.chunks_exact(inner).enumerate() {
        sums[run % channels] += part.iter().map(|&value| f64::from(value)).sum::<f64>();
    }
    *counts += (numbers.len() / channels) as f64;
}

impl Calibration {
    /// Ends of ranges and means of channels.
    pub(crate) fn first_pass(
        graph: &Graph,
        samples: &Samples,
        layers: &[Layer],
        classes: &Classes,
        step: &mut dyn FnMut(),
    ) -> Result<Self, QuantizeError> {
        let mut values: Vec<String> = classes.roots.iter().flatten().cloned().collect();
        values.extend(layers.iter().map(|layer| layer.input.clone()));
        values.sort_unstable();
        values.dedup();
        let mut histograms = vec![Histogram::default(); values.len()];
        let mut sums = vec![(Vec::new(), 0.0); layers.len()];
        let mut readers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, layer) in layers.iter().enumerate() {
            readers.entry(&layer.input).or_default().push(index);
        }
        watch(graph, samples, &values, step, |place, numbers, tensor| {
            histograms[place].widen(numbers);
            for &layer in readers.get(values[place].as_str()).into_iter().flatten() {
                let (sums, count) = &mut sums[layer];
                add_channels(sums, count, tensor, numbers, layers[layer].input_axis());
            }
        })?;
        let means = sums.into_iter().map(|(sums, count)| {
            let count = if count > 0.0 { count } else { 1.0 };
            sums.into_iter().map(|sum| sum / count).collect()
        });
        Ok(Self {
            means: means.collect(),
            values: values.into_iter().zip(histograms).collect(),
        })
    }

    /// The histogram of each class.
    pub(crate) fn second_pass(
        &self,
        graph: &Graph,
        samples: &Samples,
        classes: &Classes,
        step: &mut dyn FnMut(),
    ) -> Result<Vec<Histogram>, QuantizeError> {
        let roots = classes.roots.iter().enumerate();
        let (values, class_of): (Vec<String>, Vec<usize>) = roots
            .flat_map(|(class, roots)| roots.iter().map(move |root| (root.clone(), class)))
            .unzip();
        let mut histograms = vec![Histogram::default(); classes.roots.len()];
        for (value, &class) in values.iter().zip(&class_of) {
            let seen = &self.values[value];
            histograms[class].low = crate::range::lower(histograms[class].low, seen.low);
            histograms[class].high = crate::range::higher(histograms[class].high, seen.high);
        }
        watch(graph, samples, &values, step, |place, numbers, _| {
            histograms[class_of[place]].count(numbers);
        })?;
        Ok(histograms)
    }
}
