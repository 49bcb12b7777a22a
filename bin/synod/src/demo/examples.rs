//! The worked examples of `examples/`, embedded in the binary.

use crate::{
    model_file::{self, LoadedModel},
    tensors,
};
use eyre::{Context as _, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use synod_model::{DimSetting, ImportOptions, NoExternalData, Tensor};

/// One example, read and ready.
pub(super) struct Example {
    /// The folder's name.
    pub(super) name: &'static str,
    /// The name under which its contract asks for the network.
    pub(super) model: &'static str,
    pub(super) loaded: LoadedModel,
    /// The held-out samples, one batch.
    pub(super) samples: Tensor,
    /// The truth about each.
    pub(super) labels: Vec<usize>,
    /// What ONNX Runtime said about each when the network was trained.
    pub(super) recorded: Vec<usize>,
    /// Which ONNX Runtime that was.
    pub(super) runtime: String,
}

/// `score.json`, written by `train.py`.
#[derive(Deserialize)]
struct Score {
    runtime: String,
    samples: usize,
    correct: usize,
    predictions: Vec<usize>,
}

/// Wine by its chemical analysis.
pub(super) fn cellar() -> Result<Example> {
    let samples = tensors::parse_csv(include_bytes!("../../../../examples/cellar/heldout.csv"))?;
    Example::new(
        "cellar",
        "cellar/wine",
        include_bytes!("../../../../examples/cellar/model.onnx"),
        |input| samples.fit(input),
        include_str!("../../../../examples/cellar/labels.csv"),
        include_str!("../../../../examples/cellar/score.json"),
    )
}

/// Calm and harsh driving.
pub(super) fn fleet() -> Result<Example> {
    let samples = tensors::parse_npy(include_bytes!("../../../../examples/fleet/heldout.npy"))?;
    Example::new(
        "fleet",
        "fleet/ride",
        include_bytes!("../../../../examples/fleet/model.onnx"),
        |_| Ok(samples),
        include_str!("../../../../examples/fleet/labels.csv"),
        include_str!("../../../../examples/fleet/score.json"),
    )
}

impl Example {
    fn new(
        name: &'static str,
        model: &'static str,
        file: &[u8],
        samples: impl FnOnce(&synod_model::TensorSignature) -> Result<Tensor>,
        labels: &str,
        score: &str,
    ) -> Result<Self> {
        // One call may judge the whole held-out set.
        let options = ImportOptions {
            dims: BTreeMap::from([("batch".to_owned(), DimSetting::AtMost(256))]),
            ..ImportOptions::default()
        };
        let loaded = model_file::from_bytes(file, &NoExternalData, &options)?;
        let samples = samples(&loaded.model.signature().inputs[0])?;
        let score: Score = serde_json::from_str(score)?;
        let labels: Vec<usize> = labels
            .lines()
            .skip(1)
            .map(|line| {
                line.parse()
                    .wrap_err_with(|| format!("examples/{name}/labels.csv: {line:?}"))
            })
            .collect::<Result<_>>()?;
        let correct = labels
            .iter()
            .zip(&score.predictions)
            .filter(|(truth, said)| truth == said)
            .count();
        ensure!(
            samples.shape()[0] == labels.len()
                && score.samples == labels.len()
                && score.predictions.len() == labels.len()
                && score.correct == correct,
            "examples/{name}: samples, labels and score.json do not belong together: run train.py again"
        );
        Ok(Self {
            name,
            model,
            loaded,
            samples,
            labels,
            recorded: score.predictions,
            runtime: score.runtime,
        })
    }

    /// Packed big-endian elements of one sample: what a contract sends to the network.
    pub(super) fn packed(&self, sample: usize) -> Vec<u8> {
        let all = self.samples.to_be_bytes();
        let size = all.len() / self.labels.len();
        all[sample * size..(sample + 1) * size].to_vec()
    }
}

/// The likeliest class of each row: the first of equal ones, as the chain's `classify`.
pub(super) fn labels_of(probabilities: &Tensor) -> Vec<usize> {
    let classes = probabilities.shape().last().copied().unwrap_or(1).max(1);
    let argmax = |row: &[f32]| {
        let mut best = 0;
        for (index, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = index;
            }
        }
        best
    };
    probabilities
        .as_slice::<f32>()
        .chunks_exact(classes)
        .map(argmax)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_files_belong_together() {
        let cellar = cellar().unwrap();
        assert_eq!(
            (cellar.samples.shape(), cellar.packed(0).len()),
            (&[72, 13][..], 52)
        );
        let fleet = fleet().unwrap();
        assert_eq!(
            (fleet.samples.shape(), fleet.packed(159).len()),
            (&[160, 6, 25][..], 600)
        );
    }

    #[test]
    fn the_first_of_equal_classes_counts() {
        let rows = Tensor::from_slice(
            synod_model::DType::F32,
            &[2, 3],
            &[0.4f32, 0.4, 0.2, 0.1, 0.2, 0.7],
        )
        .unwrap();
        assert_eq!(labels_of(&rows), [0, 2]);
    }
}
