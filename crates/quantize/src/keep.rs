//! Which layers stay in float.

use crate::{
    LayerReport, Prepared, Work,
    error::QuantizeError,
    evaluate::{Evaluation, evaluate},
    graph::encode,
    layers::Layer,
};
use bytes::Bytes;
use std::{collections::BTreeSet, fmt, str::FromStr};

/// Which layers stay in float.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Keep {
    /// None.
    #[default]
    None,
    /// So many of those that lose most.
    Most(usize),
    /// Those of these names.
    Named(Vec<String>),
    /// As few of those that lose most as a bound on the whole network's loss asks for.
    Until(Bound),
}

/// How much a network may lose, measured on the samples that calibrate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bound {
    /// At most so many answers in a hundred have another class.
    Changed(f64),
    /// The first output is at least so many decibels over its error.
    Decibels(f64),
}

/// Text that is no bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no bound: give a share of answers (1%, 0.2%) or signal over error (30dB)")]
pub struct ParseBoundError(String);

impl FromStr for Bound {
    type Err = ParseBoundError;

    fn from_str(text: &str) -> Result<Self, ParseBoundError> {
        let number = |text: &str| text.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let bound = match (text.strip_suffix('%'), text.strip_suffix("dB")) {
            (Some(share), _) => number(share)
                .filter(|share| (0.0..100.0).contains(share))
                .map(Self::Changed),
            (_, Some(decibels)) => number(decibels).map(Self::Decibels),
            _ => None,
        };
        bound.ok_or_else(|| ParseBoundError(text.to_owned()))
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed(share) => write!(f, "at most {share}% of answers changed"),
            Self::Decibels(decibels) => write!(f, "at least {decibels} dB over its error"),
        }
    }
}

impl Bound {
    fn is_met(self, trial: &Trial) -> bool {
        match self {
            Self::Changed(share) => trial.changed as f64 * 100.0 <= share * trial.answers as f64,
            Self::Decibels(least) => trial.decibels >= least,
        }
    }
}

/// A network that was tried, with so many layers in float.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// Layers in float.
    pub kept: usize,
    /// Answers compared: rows of the first output.
    pub answers: usize,
    /// Those of another class.
    pub changed: usize,
    /// Signal over noise of the first output.
    pub decibels: f64,
    /// Whether that is within the bound.
    pub met: bool,
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} answers changed, {:.1} dB",
            self.changed, self.answers, self.decibels
        )
    }
}

/// The layers that are to stay as they are because of their names.
pub(crate) fn by_name(layers: &[Layer], keep: &Keep) -> Result<BTreeSet<usize>, QuantizeError> {
    let Keep::Named(names) = keep else {
        return Ok(BTreeSet::new());
    };
    let mut kept = BTreeSet::new();
    for name in names {
        let index = layers.iter().position(|layer| layer.name == *name);
        kept.insert(index.ok_or_else(|| QuantizeError::UnknownLayer {
            name: name.clone(),
            layers: layers.iter().map(|layer| layer.name.clone()).collect(),
        })?);
    }
    if kept.len() == layers.len() {
        return Err(QuantizeError::AllKept { layers: layers.len() });
    }
    Ok(kept)
}

/// Layers by what each alone does to the outputs, that which does most first.
pub(crate) fn by_loss(layers: usize, noises: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..layers).collect();
    let noise = |index: usize| noises.get(index).copied().unwrap_or_default();
    order.sort_by(|&a, &b| noise(b).total_cmp(&noise(a)).then(a.cmp(&b)));
    order
}

impl Work<'_> {
    /// The fewest of the first layers of `order` that must stay in float for a bound, and what was measured on the way: as many networks as
    /// halving takes, each on all samples. Where a layer more in float makes the whole worse, fewer may do; those taken do.
    pub(crate) fn keep_until(
        &self,
        bound: Bound,
        prepared: &Prepared,
        order: &[usize],
        float: &Bytes,
        progress: &mut dyn crate::Progress,
    ) -> Result<(usize, Vec<Trial>), QuantizeError> {
        let mut trials = Vec::new();
        let mut meets = |kept: usize| {
            let integers = order.iter().skip(kept).copied().collect();
            let onnx = encode(&prepared.write(&integers));
            progress.begin(&format!("loss with {kept} in float"), self.samples.calls() as u64);
            let Evaluation {
                answers,
                agree,
                decibels,
                ..
            } = evaluate(float, &onnx, self.samples, None, &mut || progress.step())?;
            let mut trial = Trial {
                kept,
                answers,
                changed: answers - agree,
                decibels,
                met: false,
            };
            trial.met = bound.is_met(&trial);
            trials.push(trial);
            Ok::<_, QuantizeError>(trial)
        };
        let first = meets(0)?;
        if first.met {
            return Ok((0, trials));
        }
        let (mut few, mut many) = (0, order.len() - 1);
        let last = if many > 0 { meets(many)? } else { first };
        if !last.met {
            let layers = order.len();
            return Err(QuantizeError::BoundNotMet { bound, layers, last });
        }
        while many - few > 1 {
            let middle = usize::midpoint(few, many);
            if meets(middle)?.met {
                many = middle;
            } else {
                few = middle;
            }
        }
        Ok((many, trials))
    }
}

/// What is said about each layer.
pub(crate) fn reports(layers: &[Layer], noises: &[f64], kept: &BTreeSet<usize>) -> Vec<LayerReport> {
    let reports = layers.iter().enumerate().map(|(index, layer)| LayerReport {
        name: layer.name.clone(),
        op_type: layer.op_type.clone(),
        weights: layer.rows.len(),
        decibels: noises.get(index).copied().map(crate::decibels),
        kept: kept.contains(&index),
    });
    reports.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_and_met() {
        let bound = |text: &str| text.parse::<Bound>();
        assert_eq!(bound("1%"), Ok(Bound::Changed(1.0)));
        assert_eq!(bound("0.25%"), Ok(Bound::Changed(0.25)));
        assert_eq!(bound("32.5dB"), Ok(Bound::Decibels(32.5)));
        for text in ["", "%", "dB", "1", "-1%", "100%", "NaN%", "infdB", "1 percent"] {
            assert_eq!(bound(text), Err(ParseBoundError(text.to_owned())));
        }
        let trial = |changed, decibels| Trial {
            kept: 0,
            answers: 200,
            changed,
            decibels,
            met: false,
        };
        assert!(Bound::Changed(1.0).is_met(&trial(2, 0.0)) && !Bound::Changed(1.0).is_met(&trial(3, 99.0)));
        assert!(
            Bound::Decibels(30.0).is_met(&trial(9, 30.0)) && !Bound::Decibels(30.0).is_met(&trial(0, 29.9))
        );
        assert!(Bound::Changed(0.0).is_met(&trial(0, 0.0)) && !Bound::Changed(0.0).is_met(&trial(1, 0.0)));
    }

    #[test]
    fn what_loses_most_comes_first() {
        assert_eq!(by_loss(4, &[0.1, 0.3, 0.3, 0.2]), [1, 2, 3, 0]);
        assert_eq!(by_loss(3, &[]), [0, 1, 2]);
    }
}
