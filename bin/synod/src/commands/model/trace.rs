//! Traces: the digest of every tensor that the nodes of a run wrote, as a file that travels between machines.
//!
//! A line of JSON says which model, inputs and arithmetic; then comes one for each tensor, in the order in which they were
//! written. Digests are those of `docs/spec/model.md` §6. Nodes that the arithmetic runs as one write only the last one's
//! outputs, so two traces of one run need not have the same tensors: those that both have are compared.

use super::engine::Engine;
use eyre::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};
use synod_model::{Model, Observer, Plan, Tensor, TensorView, limits::PROFILE_VERSION};

/// The version of the file's form.
const FORMAT: u32 = 1;

/// An output of a node: the node's position in the canonical graph, and the output's among the node's.
pub(super) type Place = (usize, usize);

/// What a trace is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    synod_trace: u32,
    profile_version: u32,
    pub(super) model_id: String,
    /// Digests of the inputs.
    pub(super) inputs: Vec<String>,
    /// `fast on x86_64`: who computed it.
    pub(super) by: String,
    /// How many tensors follow: a file that was cut off must not agree with anything.
    tensors: usize,
}

/// A tensor that a node wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) node: usize,
    pub(super) operator: String,
    pub(super) name: String,
    pub(super) output: usize,
    #[serde(rename = "type")]
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
    pub(super) digest: String,
    /// The elements, little-endian and packed, in hexadecimal, if they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) values: Option<String>,
}

impl Entry {
    pub(super) fn place(&self) -> Place {
        (self.node, self.output)
    }
}

/// All of a run.
#[derive(Debug, Clone)]
pub(super) struct Trace {
    pub(super) header: Header,
    pub(super) entries: Vec<Entry>,
}

impl Trace {
    /// Runs the plan and records it.
    pub(super) fn record(
        engine: Engine,
        model: &Model,
        plan: &Plan,
        inputs: &[Tensor],
        with_values: bool,
    ) -> Result<Self> {
        let mut recorder = Recorder {
            model,
            with_values,
            entries: Vec::new(),
        };
        engine.run(plan, inputs, Some(&mut recorder))?;
        Ok(Self {
            header: Header {
                synod_trace: FORMAT,
                profile_version: PROFILE_VERSION,
                model_id: model.id().to_string(),
                inputs: inputs.iter().map(|input| input.digest().to_string()).collect(),
                by: format!("{engine} on {}", std::env::consts::ARCH),
                tensors: recorder.entries.len(),
            },
            entries: recorder.entries,
        })
    }

    /// Reads a trace's file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).wrap_err_with(|| format!("cannot read {}", path.display()))?;
        let wrong = || format!("{} is not a trace of synod model diff-run", path.display());
        let mut lines = text.lines();
        let header: Header = serde_json::from_str(lines.next().unwrap_or_default()).wrap_err_with(wrong)?;
        ensure!(
            header.synod_trace == FORMAT && header.profile_version == PROFILE_VERSION,
            "{} is a trace of form {} and profile {}; this program has form {FORMAT} and profile {PROFILE_VERSION}",
            path.display(),
            header.synod_trace,
            header.profile_version
        );
        let entries: Vec<Entry> = lines
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .wrap_err_with(wrong)?;
        ensure!(
            entries.len() == header.tensors,
            "{} has {} of its {} tensors: it was cut off; write it again",
            path.display(),
            entries.len(),
            header.tensors
        );
        Ok(Self { header, entries })
    }

    /// Writes it.
    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string(&self.header)? + "\n";
        for entry in &self.entries {
            text += &(serde_json::to_string(entry)? + "\n");
        }
        std::fs::write(path, text).wrap_err_with(|| format!("cannot write {}", path.display()))
    }

    /// The first tensor of this trace that the other has otherwise, in both; and how many both have.
    pub(super) fn first_difference<'a>(&'a self, other: &'a Self) -> (Option<(&'a Entry, &'a Entry)>, usize) {
        let theirs: BTreeMap<Place, &Entry> =
            other.entries.iter().map(|entry| (entry.place(), entry)).collect();
        let mut common = 0;
        for entry in &self.entries {
            if let Some(their) = theirs.get(&entry.place()) {
                common += 1;
                if their.digest != entry.digest {
                    return (Some((entry, their)), common);
                }
            }
        }
        (None, common)
    }
}

struct Recorder<'a> {
    model: &'a Model,
    with_values: bool,
    entries: Vec<Entry>,
}

impl Observer for Recorder<'_> {
    fn begin(&mut self, _nodes: &[usize]) {}

    fn end(&mut self, nodes: &[usize], outputs: &[Option<TensorView<'_>>]) {
        let Some(&node) = nodes.last() else { return };
        let Some(label) = self.model.node(node) else {
            return;
        };
        for (output, view) in outputs.iter().enumerate() {
            let Some(view) = view else { continue };
            self.entries.push(Entry {
                node,
                operator: label.op_type.clone(),
                name: label.name.clone(),
                output,
                dtype: view.dtype().name().to_owned(),
                shape: view.shape().to_vec(),
                digest: view.digest().to_string(),
                values: self.with_values.then(|| hex(view.bytes())),
            });
        }
    }
}

/// Runs the plan for one tensor.
pub(super) fn capture(
    engine: Engine,
    plan: &Plan,
    inputs: &[Tensor],
    wanted: Place,
) -> Result<Option<Tensor>> {
    struct Capture {
        wanted: Place,
        found: Option<Tensor>,
    }
    impl Observer for Capture {
        fn begin(&mut self, _nodes: &[usize]) {}

        fn end(&mut self, nodes: &[usize], outputs: &[Option<TensorView<'_>>]) {
            if nodes.last() == Some(&self.wanted.0)
                && let Some(Some(view)) = outputs.get(self.wanted.1)
            {
                self.found = Tensor::from_le_bytes(view.dtype(), view.shape(), view.bytes()).ok();
            }
        }
    }
    let mut capture = Capture { wanted, found: None };
    engine.run(plan, inputs, Some(&mut capture))?;
    Ok(capture.found)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The bytes of `values`.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let digit = |digit: u8| (digit as char).to_digit(16);
    digits
        .chunks(2)
        .map(|pair| match *pair {
            [high, low] => Some((digit(high)? * 16 + digit(low)?) as u8),
            _ => None,
        })
        .collect()
}
