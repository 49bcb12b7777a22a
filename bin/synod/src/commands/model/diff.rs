//! `synod model diff A B`
//!
//! What one model has that another has not: signature, graph, weights, bytes on the chain, gas. Either is a file or a name on the
//! chain; what comes from a chain is checked against its id first.

use super::{
    compare::{self, Difference},
    inspect::{self, inspect},
};
use crate::{
    client::{self, Client, RpcArgs, SYNOD_CODE_LIMIT, Status, Upload},
    model_file::{self, LoadedModel},
    show::{Form, bytes, table, thousands},
    tensors::describe,
};
use alloy_eips::BlockId;
use clap::Args;
use eyre::{Context as _, Result};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};
use synod_evm::name::ModelName;
use synod_model::{DimArgument, ImportOptions, Model, Parts, Tensor, TensorSignature, proto::NodeProto};

/// Lines of each kind that are shown; all are in the JSON.
const SHOWN: usize = 24;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// What was: a file, or a name on the chain (ORG/MODEL, ORG/MODEL@N, @ALIAS, @sha256:ID)
    #[arg(value_name = "A")]
    a: String,

    /// What is instead
    #[arg(value_name = "B")]
    b: String,

    /// For files: fix a free dimension (batch=1) or give it a bound ('seq<=512'); may be given several times
    #[arg(long = "dim", value_name = "NAME=N")]
    dims: Vec<DimArgument>,

    #[command(flatten)]
    rpc: RpcArgs,
}

#[derive(Serialize)]
struct Report {
    a: Side,
    b: Side,
    /// Inputs and outputs that are not the same in both, by place.
    signature: Vec<PortChange>,
    nodes: Nodes,
    initializers: Initializers,
    /// What publishing B adds to a chain that has A.
    new_chunks: usize,
    new_bytes: u64,
}

/// One of the two.
#[derive(Serialize)]
struct Side {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    #[serde(flatten)]
    status: Option<Status>,
    id: String,
    /// Gas and sizes are those of `synod model inspect`.
    #[serde(flatten)]
    facts: inspect::Facts,
}

#[derive(Serialize)]
struct PortChange {
    place: String,
    a: Option<String>,
    b: Option<String>,
}

/// Nodes in graph order. Those that both have are matched in order, by operator, attributes and the initialisers that they read.
#[derive(Serialize)]
struct Nodes {
    same: usize,
    removed: Vec<NodeLine>,
    added: Vec<NodeLine>,
}

#[derive(Serialize)]
struct NodeLine {
    index: usize,
    operator: String,
    reads: Vec<String>,
}

/// Initialisers, matched by name.
#[derive(Serialize)]
struct Initializers {
    same: usize,
    removed: Vec<String>,
    added: Vec<String>,
    /// Of another type or shape.
    retyped: Vec<PortChange>,
    /// Of the same type and shape, with other elements.
    changed: Vec<Difference>,
}

/// A model and where it is from.
struct Given {
    model: String,
    version: Option<u64>,
    status: Option<Status>,
    loaded: LoadedModel,
}

pub(crate) async fn run(args: DiffArgs, form: Form) -> Result<()> {
    let options = model_file::options(&args.dims, false)?;
    let mut client = None;
    let a = open(&args.a, &options, &args.rpc, &mut client).await?;
    let b = open(&args.b, &options, &args.rpc, &mut client).await?;
    let [parts_a, parts_b] = [&a, &b].map(|given| given.loaded.canonical.parts());
    let (parts_a, parts_b) = (parts_a?, parts_b?);
    let initializers = initializers(&parts_a.initializers, &parts_b.initializers)?;
    let nodes = nodes(&Node::all(&parts_a), &Node::all(&parts_b));
    let upload = |given: &Given| Upload::new(&given.loaded.canonical, SYNOD_CODE_LIMIT);
    let (new_chunks, new_bytes) = upload(&b).beyond(&upload(&a));
    form.print(&Report {
        signature: signature(&a.loaded.model, &b.loaded.model),
        nodes,
        initializers,
        new_chunks,
        new_bytes,
        a: side(a)?,
        b: side(b)?,
    })
}

/// Reads a file, or fetches a name; the node is asked for nothing if both are files.
async fn open(
    text: &str,
    options: &ImportOptions,
    rpc: &RpcArgs,
    client: &mut Option<Client>,
) -> Result<Given> {
    let path = PathBuf::from(text);
    if path.exists() {
        return file(text, &path, options);
    }
    let Ok(name) = text.parse::<ModelName>() else {
        return file(text, &path, options);
    };
    let client = match client {
        Some(client) => client,
        None => client.insert(rpc.connect().await?),
    };
    let located = client::locate(client, &name, BlockId::latest()).await?;
    let canonical = client::pull(client, &located).await?;
    let model = Model::load_under(
        located.profile,
        canonical.graph.clone(),
        canonical.weights.clone(),
    )
    .wrap_err_with(|| format!("{name} is no model that this tool's profile knows"))?;
    let file_bytes = located.graph_bytes + located.weight_bytes;
    Ok(Given {
        model: text.to_owned(),
        version: Some(located.version),
        status: Some(located.status),
        loaded: LoadedModel {
            canonical,
            model,
            file_bytes,
        },
    })
}

fn file(text: &str, path: &Path, options: &ImportOptions) -> Result<Given> {
    Ok(Given {
        model: text.to_owned(),
        version: None,
        status: None,
        loaded: model_file::load(path, options)?,
    })
}

fn side(given: Given) -> Result<Side> {
    Ok(Side {
        model: given.model,
        version: given.version,
        status: given.status,
        id: given.loaded.id().to_string(),
        facts: inspect(&given.loaded)?.facts(),
    })
}

fn signature(a: &Model, b: &Model) -> Vec<PortChange> {
    let shown = |value: &TensorSignature| format!("{} {}", value.name, describe(value));
    let mut changes = Vec::new();
    let (a, b) = (a.signature(), b.signature());
    for (kind, a, b) in [
        ("input", &a.inputs, &b.inputs),
        ("output", &a.outputs, &b.outputs),
    ] {
        for index in 0..a.len().max(b.len()) {
            let [a, b] = [a, b].map(|ports| ports.get(index).map(shown));
            if a != b {
                let place = format!("{kind} {index}");
                changes.push(PortChange { place, a, b });
            }
        }
    }
    changes
}

fn initializers(a: &[(String, Tensor)], b: &[(String, Tensor)]) -> Result<Initializers> {
    let theirs: BTreeMap<&str, &Tensor> = b.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let ours: BTreeMap<&str, &Tensor> = a.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let kind = |tensor: &Tensor| format!("{}{:?}", tensor.dtype(), tensor.shape());
    let line = |name: &str, tensor: &Tensor| format!("{name} {}", kind(tensor));
    let mut found = Initializers {
        same: 0,
        removed: Vec::new(),
        added: b
            .iter()
            .filter(|(name, _)| !ours.contains_key(name.as_str()))
            .map(|(name, tensor)| line(name, tensor))
            .collect(),
        retyped: Vec::new(),
        changed: Vec::new(),
    };
    for (name, ours) in a {
        match theirs.get(name.as_str()) {
            None => found.removed.push(line(name, ours)),
            Some(theirs) if kind(ours) != kind(theirs) => found.retyped.push(PortChange {
                place: name.clone(),
                a: Some(kind(ours)),
                b: Some(kind(theirs)),
            }),
            Some(theirs) if ours.bytes() == theirs.bytes() => found.same += 1,
            Some(theirs) => found.changed.push(compare::difference(name, ours, theirs)?),
        }
    }
    Ok(found)
}

/// What makes a node the same in two graphs. The values between nodes are numbered, so that a node more shifts all names behind
/// it; they are left out.
struct Node<'a> {
    operator: String,
    proto: &'a NodeProto,
    reads: Vec<&'a str>,
}

impl<'a> Node<'a> {
    fn all(parts: &'a Parts) -> Vec<Self> {
        let named = parts.initializers.iter().map(|(name, _)| name.as_str()).collect();
        parts.nodes.iter().map(|node| Self::new(node, &named)).collect()
    }

    fn new(proto: &'a NodeProto, initializers: &BTreeSet<&str>) -> Self {
        let domain = proto.domain.as_deref().unwrap_or_default();
        let kind = proto.op_type.as_deref().unwrap_or_default();
        let reads = proto.input.iter().map(String::as_str);
        Self {
            operator: if domain.is_empty() {
                kind.to_owned()
            } else {
                format!("{domain}.{kind}")
            },
            proto,
            reads: reads.filter(|input| initializers.contains(input)).collect(),
        }
    }

    fn matches(&self, other: &Self) -> bool {
        self.operator == other.operator
            && self.reads == other.reads
            && self.proto.attribute == other.proto.attribute
            && self.proto.input.len() == other.proto.input.len()
            && self.proto.output.len() == other.proto.output.len()
    }

    fn line(&self, index: usize) -> NodeLine {
        NodeLine {
            index,
            operator: self.operator.clone(),
            reads: self.reads.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

/// Matches two graphs' nodes in order.
fn nodes(a: &[Node<'_>], b: &[Node<'_>]) -> Nodes {
    let matched = common(a, b);
    let line = |nodes: &[Node<'_>], kept: &[bool]| {
        let others = nodes
            .iter()
            .zip(kept)
            .enumerate()
            .filter(|(_, (_, kept))| !**kept);
        others.map(|(index, (node, _))| node.line(index)).collect()
    };
    Nodes {
        same: matched.0.iter().filter(|kept| **kept).count(),
        removed: line(a, &matched.0),
        added: line(b, &matched.1),
    }
}

/// Which elements belong to a longest common subsequence. Ends that are equal are taken first; of what lies between, too much for a
/// table counts as different.
fn common(a: &[Node<'_>], b: &[Node<'_>]) -> (Vec<bool>, Vec<bool>) {
    const LARGEST_TABLE: usize = 16 << 20;
    let (mut in_a, mut in_b) = (vec![false; a.len()], vec![false; b.len()]);
    let first = a.iter().zip(b).take_while(|(a, b)| a.matches(b)).count();
    let (rest_a, rest_b) = (&a[first..], &b[first..]);
    let ends = rest_a.iter().rev().zip(rest_b.iter().rev());
    let last = ends.take_while(|(a, b)| a.matches(b)).count();
    let (middle_a, middle_b) = (&rest_a[..rest_a.len() - last], &rest_b[..rest_b.len() - last]);
    in_a[..first].fill(true);
    in_b[..first].fill(true);
    in_a[a.len() - last..].fill(true);
    in_b[b.len() - last..].fill(true);
    let width = middle_b.len() + 1;
    if (middle_a.len() + 1).saturating_mul(width) > LARGEST_TABLE {
        return (in_a, in_b);
    }
    // Length of the longest common subsequence of what begins at (i, j).
    let mut table = vec![0u32; (middle_a.len() + 1) * width];
    for i in (0..middle_a.len()).rev() {
        for j in (0..middle_b.len()).rev() {
            table[i * width + j] = if middle_a[i].matches(&middle_b[j]) {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < middle_a.len() && j < middle_b.len() {
        if middle_a[i].matches(&middle_b[j]) {
            (in_a[first + i], in_b[first + j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    (in_a, in_b)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (a, b) = (&self.a, &self.b);
        for (letter, side) in [("A", a), ("B", b)] {
            write!(f, "{letter}  {}", side.model)?;
            if let Some(version) = side.version {
                write!(f, "  version {version}")?;
            }
            if let Some(status) = &side.status {
                write!(f, "  {status}")?;
            }
            writeln!(f, "  id {}", side.id)?;
        }
        if a.id == b.id {
            return writeln!(f, "\nthe same model, byte for byte");
        }
        let rows: Vec<Vec<String>> = a
            .facts
            .rows()
            .into_iter()
            .zip(b.facts.rows())
            .map(|((what, a), (_, b))| vec![what.to_owned(), a, b])
            .collect();
        writeln!(f, "\n{}", table(&["", "A", "B"], &rows))?;
        writeln!(
            f,
            "a chain that has A stores {} pieces, {}, for B",
            self.new_chunks,
            bytes(self.new_bytes)
        )?;
        let none = || "none".to_owned();
        if self.signature.is_empty() {
            writeln!(f, "signature: the same")?;
        }
        for change in &self.signature {
            let [a, b] = [&change.a, &change.b].map(|port| port.clone().unwrap_or_else(none));
            writeln!(f, "{}: {a} -> {b}", change.place)?;
        }
        let nodes = &self.nodes;
        writeln!(
            f,
            "nodes: {} the same, {} only in A, {} only in B",
            nodes.same,
            nodes.removed.len(),
            nodes.added.len()
        )?;
        let line = |node: &NodeLine| format!("{} {} ({})", node.index, node.operator, node.reads.join(", "));
        lines(f, "-", nodes.removed.iter().map(line))?;
        lines(f, "+", nodes.added.iter().map(line))?;
        let weights = &self.initializers;
        writeln!(
            f,
            "initialisers: {} the same, {} changed, {} of another type or shape, {} only in A, {} only in B",
            weights.same,
            weights.changed.len(),
            weights.retyped.len(),
            weights.removed.len(),
            weights.added.len()
        )?;
        lines(f, "-", weights.removed.iter().cloned())?;
        lines(f, "+", weights.added.iter().cloned())?;
        let retyped = weights.retyped.iter().map(|change| {
            let [a, b] = [&change.a, &change.b].map(|kind| kind.clone().unwrap_or_else(none));
            format!("{}: {a} -> {b}", change.place)
        });
        lines(f, "~", retyped)?;
        let changed = weights.changed.iter().map(|change| {
            let [absolute, relative] = change.shown();
            format!(
                "{}: {} of {} elements differ, at most by {absolute}, relatively by {relative}",
                change.name,
                thousands(change.differing as u64),
                thousands(change.elements as u64)
            )
        });
        lines(f, "~", changed)
    }
}

/// The first lines, and how many more there are.
fn lines(f: &mut fmt::Formatter<'_>, sign: &str, all: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    let more = all.len().saturating_sub(SHOWN);
    for line in all.take(SHOWN) {
        writeln!(f, "  {sign} {line}")?;
    }
    if more > 0 {
        writeln!(f, "  {sign} … and {more} more: --json has all")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_more_is_one_node_more() {
        let proto = |kind: &str| NodeProto {
            op_type: Some(kind.to_owned()),
            ..NodeProto::default()
        };
        let protos: Vec<NodeProto> = ["Conv", "Relu", "Conv", "Add", "Relu", "Gemm"].map(proto).into();
        let of = |indices: &[usize]| -> Vec<Node<'_>> {
            let none = BTreeSet::new();
            indices
                .iter()
                .map(|&index| Node::new(&protos[index], &none))
                .collect()
        };
        let shown = |lines: &[NodeLine]| -> Vec<(usize, String)> {
            lines
                .iter()
                .map(|line| (line.index, line.operator.clone()))
                .collect()
        };
        let (a, b) = (of(&[0, 1, 2, 4, 5]), of(&[0, 1, 3, 2, 3, 4, 5]));
        let found = nodes(&a, &b);
        assert_eq!((found.same, found.removed.len()), (5, 0));
        assert_eq!(
            shown(&found.added),
            [(2, "Add".to_owned()), (4, "Add".to_owned())]
        );
        let found = nodes(&b, &of(&[5]));
        assert_eq!((found.same, found.removed.len(), found.added.len()), (1, 6, 0));
        let nothing = nodes(&a, &[]);
        assert_eq!((nothing.same, nothing.removed.len()), (0, 5));
    }
}
