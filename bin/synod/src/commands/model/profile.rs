//! Where the time of a run goes, node by node, beside the gas.

use super::engine::Engine;
use crate::show::{table, thousands};
use eyre::Result;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};
use synod_evm::gas;
use synod_model::{Model, Observer, Plan, Tensor, TensorView};

/// Rows that are shown; all are in the JSON.
const SHOWN: usize = 24;
/// Characters of the longest bar, and of a node's name.
const BAR: usize = 12;
const NAME: usize = 24;
/// A run is repeated until this much time has passed, or so many times.
const LONG_ENOUGH: Duration = Duration::from_secs(1);
const MOST_RUNS: usize = 50;

/// The time of each step, the shortest of several runs, slowest first.
#[derive(Debug, Serialize)]
pub(super) struct Profile {
    /// Runs that were measured, after one that was not.
    runs: usize,
    /// Of the fastest whole run, which includes what lies between the steps.
    seconds: f64,
    gas: u64,
    steps: Vec<Step>,
}

/// One node, or several that run as one.
#[derive(Debug, Serialize)]
struct Step {
    nodes: Vec<usize>,
    operator: String,
    /// Of its last node.
    name: String,
    seconds: f64,
    /// Of the time of all steps.
    share: f64,
    gas: u64,
}

/// Measures.
pub(super) fn profile(
    engine: Engine,
    model: &Model,
    plan: &Plan,
    inputs: &[Tensor],
) -> Result<(Profile, Vec<Tensor>)> {
    let results = engine.run(plan, inputs, None)?;
    let mut clock = Clock::default();
    let mut best = Duration::MAX;
    let (started, mut runs) = (Instant::now(), 0);
    while runs == 0 || (runs < MOST_RUNS && started.elapsed() < LONG_ENOUGH) {
        let run = Instant::now();
        engine.run(plan, inputs, Some(&mut clock))?;
        best = best.min(run.elapsed());
        runs += 1;
    }
    let work: BTreeMap<usize, u64> = plan
        .cost()
        .nodes
        .iter()
        .map(|node| (node.node, gas::node(&node.work)))
        .collect();
    let total: f64 = clock.shortest.values().map(Duration::as_secs_f64).sum();
    let label = |node: usize| model.node(node).expect("a step's nodes are the model's");
    let mut steps: Vec<Step> = clock
        .shortest
        .iter()
        .map(|(nodes, time)| Step {
            operator: nodes
                .iter()
                .map(|&node| label(node).op_type.as_str())
                .collect::<Vec<_>>()
                .join("+"),
            name: nodes
                .last()
                .map_or_else(String::new, |&node| label(node).name.clone()),
            seconds: time.as_secs_f64(),
            share: if total > 0.0 {
                time.as_secs_f64() / total
            } else {
                0.0
            },
            gas: nodes.iter().filter_map(|node| work.get(node)).sum(),
            nodes: nodes.clone(),
        })
        .collect();
    steps.sort_by(|a, b| {
        b.seconds
            .total_cmp(&a.seconds)
            .then_with(|| a.nodes.cmp(&b.nodes))
    });
    let profile = Profile {
        runs,
        seconds: best.as_secs_f64(),
        gas: gas::memory(plan.cost().peak_memory).saturating_add(work.values().sum()),
        steps,
    };
    Ok((profile, results))
}

/// Keeps each step's shortest time.
#[derive(Default)]
struct Clock {
    began: Option<Instant>,
    shortest: BTreeMap<Vec<usize>, Duration>,
}

impl Observer for Clock {
    fn begin(&mut self, _nodes: &[usize]) {
        self.began = Some(Instant::now());
    }

    fn end(&mut self, nodes: &[usize], _outputs: &[Option<TensorView<'_>>]) {
        let Some(time) = self.began.take().map(|began| began.elapsed()) else {
            return;
        };
        match self.shortest.get_mut(nodes) {
            Some(shortest) => *shortest = time.min(*shortest),
            None => {
                self.shortest.insert(nodes.to_vec(), time);
            }
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // small networks take a few microseconds
        let (unit, factor) = if self.seconds < 1e-3 {
            ("µs", 1e6)
        } else {
            ("ms", 1e3)
        };
        let in_unit = |seconds: f64| format!("{:.3}", seconds * factor);
        writeln!(
            f,
            "\n{} {unit}, the fastest of {} runs; gas {} without loading and planning",
            in_unit(self.seconds),
            self.runs,
            thousands(self.gas)
        )?;
        let slowest = self.steps.first().map_or(0.0, |step| step.share);
        let row = |operator: &str, name: &str, seconds: f64, share: f64, gas: u64| -> Vec<String> {
            let length = if slowest > 0.0 {
                share / slowest * BAR as f64
            } else {
                0.0
            };
            vec![
                in_unit(seconds),
                format!("{:.1}%", share * 100.0),
                thousands(gas),
                shortened(operator, NAME),
                shortened(name, NAME),
                "█".repeat((length.round() as usize).min(BAR)),
            ]
        };
        let mut rows: Vec<Vec<String>> = self
            .steps
            .iter()
            .take(SHOWN)
            .map(|step| row(&step.operator, &step.name, step.seconds, step.share, step.gas))
            .collect();
        if let Some(rest) = self.steps.get(SHOWN..).filter(|rest| !rest.is_empty()) {
            rows.push(row(
                &format!("{} more", rest.len()),
                "",
                rest.iter().map(|step| step.seconds).sum(),
                rest.iter().map(|step| step.share).sum(),
                rest.iter().map(|step| step.gas).sum(),
            ));
        }
        f.write_str(&table(&[unit, "share", "gas", "operator", "node", ""], &rows))
    }
}

/// The end of a long name says more than its beginning: exporters put the path of modules there.
fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end: String = text.chars().skip(count + 1 - most).collect();
    format!("…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_fits_a_terminal() {
        let step = |index: usize| Step {
            nodes: vec![index, index + 1, index + 2],
            operator: "ConvTranspose+BatchNormalization+HardSwish".into(),
            name: "/a/very/long/path/of/modules/conv.1/Conv_output_0".into(),
            seconds: 99.9 / (index + 1) as f64,
            share: 1.0 / (index + 1) as f64,
            gas: 12_345_678_901,
        };
        let profile = Profile {
            runs: 50,
            seconds: 345.6,
            gas: u64::MAX,
            steps: (0..60).map(step).collect(),
        };
        let text = profile.to_string();
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.contains("36 more"), "{text}");
        assert!(text.contains(&"█".repeat(BAR)), "{text}");
        assert_eq!(shortened("/layer/1/conv", 7), "…1/conv");
    }
}
