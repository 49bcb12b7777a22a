//! What an audit found, for people and for machines. The names of the JSON form are documented in `docs/audit.md`.

use crate::show::{bytes, thousands};
use alloy_primitives::{Address, B256, Bytes, keccak256};
use serde::Serialize;
use std::fmt;

/// Bytes of return data that go into the report as they are.
const SHOWN_OUTPUT: usize = 4096;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) transaction: B256,
    pub(super) index: usize,
    pub(super) succeeded: bool,
    pub(super) gas_used: u64,
    pub(super) block: BlockFacts,
    pub(super) replay: Replay,
    pub(super) receipt: Accord,
    pub(super) effects: Effects,
    pub(super) trace: TraceFacts,
    pub(super) predicts: Vec<Predict>,
}

#[derive(Debug, Serialize)]
pub(super) struct BlockFacts {
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) parent_hash: B256,
    pub(super) timestamp: u64,
    pub(super) state_root: B256,
    pub(super) parent_state_root: B256,
    pub(super) finality: Finality,
}

/// What says that the block is the chain's.
#[derive(Debug, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub(super) enum Finality {
    /// Signatures of a quorum of the validators.
    Certificate {
        signers: Vec<String>,
        validators: u32,
        certified: u64,
    },
    /// Whoever runs the audit gave the hash.
    Given,
    /// Nobody but the node.
    Node,
}

/// What was run again, and what was proven for it.
#[derive(Debug, Serialize)]
pub(super) struct Replay {
    pub(super) engine: String,
    pub(super) transactions: usize,
    pub(super) accounts: usize,
    pub(super) slots: usize,
    pub(super) code_bytes: u64,
}

/// Whether something of the chain's is as recomputed.
#[derive(Debug, Serialize)]
pub(super) struct Accord {
    pub(super) equal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<String>,
}

impl Accord {
    pub(super) fn equal() -> Self {
        Self {
            equal: true,
            difference: None,
        }
    }

    pub(super) fn different(what: String) -> Self {
        Self {
            equal: false,
            difference: Some(what),
        }
    }
}

/// What the transaction wrote, against the state after the block.
#[derive(Debug, Serialize)]
pub(super) struct Effects {
    pub(super) accounts: usize,
    pub(super) slots: usize,
    pub(super) equal: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) differences: Vec<String>,
}

/// The node's trace, against what was recomputed.
#[derive(Debug, Serialize)]
pub(super) struct TraceFacts {
    pub(super) compared: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) equal: Option<bool>,
    /// Why it was not compared, or what differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl TraceFacts {
    pub(super) fn equal() -> Self {
        Self {
            compared: true,
            equal: Some(true),
            reason: None,
        }
    }

    pub(super) fn different(reason: String) -> Self {
        Self {
            compared: true,
            equal: Some(false),
            reason: Some(reason),
        }
    }

    pub(super) fn not_compared(reason: String) -> Self {
        Self {
            compared: false,
            equal: None,
            reason: Some(reason),
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Predict {
    pub(super) index: usize,
    pub(super) depth: usize,
    pub(super) caller: Address,
    pub(super) scheme: &'static str,
    /// Of `IPredict`; empty if the call data are of none.
    pub(super) function: &'static str,
    /// Whether a network ran, or only a question about one was answered.
    pub(super) prediction: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_gas: Option<u64>,
    pub(super) outcome: &'static str,
    /// Whether a frame around it was reverted.
    pub(super) undone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<ModelFacts>,
    pub(super) call_data: Payload,
    pub(super) input: Payload,
    pub(super) output: Payload,
    pub(super) gas_limit: u64,
    pub(super) gas_used: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<String>,
    pub(super) verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) difference: Option<String>,
}

/// What a call asked for, and what the registry knew of it at that moment.
#[derive(Debug, Default, Serialize)]
pub(super) struct ModelFacts {
    /// The name or id in the call data.
    pub(super) asked: String,
    pub(super) id: Option<B256>,
    pub(super) name: Option<String>,
    pub(super) version: Option<u64>,
    pub(super) publisher: Option<Address>,
    pub(super) published_at: Option<u64>,
    pub(super) published_in: Option<PublishedIn>,
    pub(super) manifest: Option<Address>,
    pub(super) validated_at: Option<u64>,
    pub(super) profile: Option<u32>,
    pub(super) kind: Option<&'static str>,
    /// Of a pipeline, of its description.
    pub(super) graph_bytes: Option<u64>,
    /// Of a pipeline, of its files.
    pub(super) weight_bytes: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct PublishedIn {
    pub(super) transaction: B256,
    pub(super) block: u64,
    /// Who says that this block is the chain's: its certificate, or the node.
    pub(super) proof: &'static str,
}

/// Bytes by their hash.
#[derive(Debug, Serialize)]
pub(super) struct Payload {
    pub(super) bytes: usize,
    pub(super) keccak256: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) return_data: Option<Bytes>,
}

impl Payload {
    pub(super) fn of(data: &[u8]) -> Self {
        Self {
            bytes: data.len(),
            keccak256: keccak256(data),
            return_data: None,
        }
    }

    /// With the return data, if they are short.
    pub(super) fn with_content(self, data: &Bytes) -> Self {
        Self {
            return_data: (data.len() <= SHOWN_OUTPUT).then(|| data.clone()),
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// The node's trace has the same bits.
    Equal,
    /// The node's trace has other bits.
    Different,
    /// The node's trace does not show it.
    Recomputed,
}

impl Report {
    /// What differs first; `None` if all agrees. What the block commits to comes before what the node says.
    pub(super) fn difference(&self) -> Option<String> {
        if let Some(difference) = &self.receipt.difference {
            return Some(difference.clone());
        }
        if let Some(difference) = self.effects.differences.first() {
            return Some(difference.clone());
        }
        let reason = self
            .trace
            .reason
            .as_ref()
            .filter(|_| self.trace.equal == Some(false));
        reason.map(|reason| {
            format!("{reason}; what the block commits to is as recomputed, so it is the node's trace that is wrong")
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let block = &self.block;
        writeln!(
            f,
            "transaction {} is number {} of block {} and {}",
            self.transaction,
            self.index,
            block.number,
            if self.succeeded { "succeeded" } else { "failed" }
        )?;
        writeln!(f, "  block      {}", block.hash)?;
        match &block.finality {
            Finality::Certificate {
                signers, validators, ..
            } => writeln!(
                f,
                "  final      signed by {} ({} of {validators})",
                signers.join(", "),
                signers.len()
            ),
            Finality::Given => writeln!(f, "  final      the block's hash is the one you gave"),
            Finality::Node => writeln!(
                f,
                "  final      the block's hash is the node's word: a chain of one node has no certificates (--block-hash)"
            ),
        }?;
        writeln!(
            f,
            "  run again  {} transactions on the state {}, {} arithmetic",
            self.replay.transactions, block.parent_state_root, self.replay.engine
        )?;
        writeln!(
            f,
            "  proven     {} accounts, {} slots, {} of code",
            self.replay.accounts,
            self.replay.slots,
            bytes(self.replay.code_bytes)
        )?;
        match &self.receipt.difference {
            None => writeln!(
                f,
                "  receipt    EQUAL: status, {} gas and logs are those of the block",
                thousands(self.gas_used)
            ),
            Some(difference) => writeln!(f, "  receipt    DIFFERENT: {difference}"),
        }?;
        if self.effects.equal {
            writeln!(
                f,
                "  writes     EQUAL: {} accounts and {} slots are as the state after the block has them",
                self.effects.accounts, self.effects.slots
            )?;
        }
        for difference in &self.effects.differences {
            writeln!(f, "  writes     DIFFERENT: {difference}")?;
        }
        match (&self.trace.equal, &self.trace.reason) {
            (None, Some(reason)) => writeln!(f, "  trace      not compared: {reason}")?,
            (Some(false), Some(reason)) => writeln!(f, "  trace      DIFFERENT: {reason}")?,
            _ => writeln!(f, "  trace      EQUAL: the node's own trace has the same bits")?,
        }
        if self.predicts.is_empty() {
            writeln!(f, "\nthe transaction asks no network")?;
        }
        for predict in &self.predicts {
            writeln!(f)?;
            predict.show(f, self.predicts.len())?;
        }
        let summary = match self.difference() {
            None => "all agrees".to_owned(),
            Some(_) => "the bits DIFFER".to_owned(),
        };
        match self.predicts.len() {
            1 => writeln!(f, "\n1 predict: {summary}"),
            count => writeln!(f, "\n{count} predicts: {summary}"),
        }
    }
}

impl Predict {
    fn show(&self, f: &mut fmt::Formatter<'_>, all: usize) -> fmt::Result {
        let function = if self.function.is_empty() {
            "unknown function"
        } else {
            self.function
        };
        writeln!(
            f,
            "predict {} of {all}: {function}, {} at depth {} by {}",
            self.index, self.scheme, self.depth, self.caller
        )?;
        if let Some(model) = &self.model {
            model.show(f)?;
        }
        let payload = |payload: &Payload| format!("{} bytes, keccak256 {}", payload.bytes, payload.keccak256);
        writeln!(f, "  input      {}", payload(&self.input))?;
        writeln!(f, "  output     {}", payload(&self.output))?;
        write!(f, "  gas        {}", thousands(self.gas_used))?;
        match self.max_gas {
            Some(max_gas) => writeln!(f, " of at most {}", thousands(max_gas))?,
            None => writeln!(f)?,
        }
        match (&self.answer, self.outcome) {
            (Some(answer), "answered") => writeln!(f, "  answer     {answer}")?,
            (Some(refusal), _) => writeln!(f, "  refused    {refusal}")?,
            (None, "halted") => writeln!(f, "  halted     out of gas, or not begun")?,
            (None, _) => {}
        }
        if self.undone {
            writeln!(f, "  undone     a call around it was reverted")?;
        }
        match (self.verdict, &self.difference) {
            (Verdict::Equal, _) => writeln!(f, "  verdict    EQUAL"),
            (Verdict::Different, difference) => writeln!(
                f,
                "  verdict    DIFFERENT: {}",
                difference.as_deref().unwrap_or_default()
            ),
            (Verdict::Recomputed, _) => {
                writeln!(f, "  verdict    recomputed; the node's trace does not show it")
            }
        }
    }
}

impl ModelFacts {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(id) = self.id else {
            return writeln!(f, "  model      {} (unknown then)", self.asked);
        };
        match (&self.name, self.version) {
            (Some(name), Some(version)) => {
                writeln!(f, "  model      {name}@{version}, asked for as {}", self.asked)?
            }
            _ => writeln!(f, "  model      asked for as {}", self.asked)?,
        }
        writeln!(f, "  id         {id}")?;
        if let (Some(publisher), Some(at)) = (self.publisher, self.published_at) {
            writeln!(f, "  published  by {publisher} at {at} (Unix time)")?;
        }
        match &self.published_in {
            Some(place) => writeln!(
                f,
                "             in transaction {} of block {} ({})",
                place.transaction,
                place.block,
                match place.proof {
                    "certificate" => "proven, and the block is certified",
                    _ => "proven; the block is the node's word",
                }
            )?,
            None => writeln!(f, "             in a transaction that was not found")?,
        }
        if let (Some(manifest), Some(graph), Some(weights)) =
            (self.manifest, self.graph_bytes, self.weight_bytes)
        {
            let [head, rest] = match self.kind {
                Some("pipeline") => ["description", "files"],
                _ => ["graph", "weights"],
            };
            writeln!(
                f,
                "  bytes      {} of {head}, {} of {rest}, manifest {manifest}",
                bytes(graph),
                bytes(weights)
            )?;
        }
        Ok(())
    }
}
