//! The two decoders of a file that holds both: without a past and with one.
//!
//! Exporters write them in one graph, in either of two ways, of which both become the two graphs that a pipeline has:
//!
//! - **Merged** (Optimum's `decoder_model_merged.onnx`): an `If` on the input `use_cache_branch`, whose branches are the two decoders with
//!   their weights around them. The graph is taken once for each value of that input: the branch's nodes stand in the place of the `If`.
//!   Of an encoder's keys and values, which steps leave as they are, the branch with a past gives empty constants; they are no outputs here.
//! - **One graph for both** (`model.onnx` of decoders alone): the first step gives it a past of no tokens. In the graph without a past those
//!   inputs are constants without elements.
//!
//! Nothing is computed here, so the bits are those of a pair exported apart.

use super::{FolderError, files::GraphFile};
use crate::{Role, layout::PAST};
use bytes::Bytes;
use std::collections::BTreeSet;
use synod_model::proto::{
    AttributeProto, DimensionValue, GraphProto, NodeProto, TensorProto, ValueInfoProto,
};

/// The input of a merged decoder that says whether there is a past.
const SWITCH: &str = "use_cache_branch";
/// How many of the last places get logits, 0 for all of them: an input of newer exports of decoders alone.
const KEPT: [&str; 2] = ["num_logits_to_keep", "logits_to_keep"];

/// The graphs of both decoders. `two_sided` says whether they follow an encoder.
pub(super) fn split(file: &GraphFile, two_sided: bool) -> Result<[(Role, GraphFile); 2], FolderError> {
    let graph = file.graph()?;
    let merged = graph.input.iter().any(|input| input.name() == SWITCH);
    if !merged && two_sided {
        let reason =
            "there is no such input: a decoder behind an encoder has two branches, or is exported as a pair";
        return Err(file.error(SWITCH, reason));
    }
    if !graph.input.iter().any(|input| input.name().starts_with(PAST)) {
        let reason = "there is no such input: export the decoder with its past, as the task text-generation-with-past does";
        return Err(file.error("past_key_values", reason));
    }
    let of = |with_past: bool| -> Result<_, FolderError> {
        let mut file = file.clone();
        if merged {
            file.take_branch(with_past)?;
        }
        if !merged && !with_past {
            file.empty_past()?;
        }
        file.keep_all_logits();
        let role = if with_past {
            Role::DecoderWithPast
        } else {
            Role::Decoder
        };
        Ok((role, file))
    };
    Ok([of(false)?, of(true)?])
}

impl GraphFile {
    fn graph(&self) -> Result<&GraphProto, FolderError> {
        let graph = self.model.graph.as_ref();
        graph.ok_or_else(|| self.error("graph", "there is none in the file"))
    }

    fn take_graph(&mut self) -> Result<GraphProto, FolderError> {
        let graph = self.model.graph.take();
        graph.ok_or_else(|| self.error("graph", "there is none in the file"))
    }

    fn error(&self, field: &str, reason: impl Into<String>) -> FolderError {
        FolderError::field(&self.name, field, reason)
    }

    /// Puts a branch in the place of the `If` on [`SWITCH`], and takes away the inputs that it does not read.
    fn take_branch(&mut self, with_past: bool) -> Result<(), FolderError> {
        let mut graph = self.take_graph()?;
        let mut found = false;
        for node in std::mem::take(&mut graph.node) {
            if node.op_type() != "If" || node.input.first().is_none_or(|input| input != SWITCH) {
                graph.node.push(node);
                continue;
            }
            found = true;
            self.put_branch(&mut graph, node, with_past)?;
        }
        if !found {
            return Err(self.error(SWITCH, "no `If` of the graph reads it"));
        }
        if with_past {
            let empty = empty_constants(&graph.node, &graph.initializer);
            graph.output.retain(|output| !empty.contains(output.name()));
            // merged, both branches' outputs have the shapes of the one without a past
            let types = graph
                .output
                .iter_mut()
                .filter_map(|output| output.r#type.as_mut());
            types
                .filter_map(|kind| kind.tensor_type.as_mut())
                .for_each(|tensor| tensor.shape = None);
        }
        let mut read: BTreeSet<&str> = graph.output.iter().map(ValueInfoProto::name).collect();
        names_read(&graph.node, &mut read);
        if read.contains(SWITCH) {
            return Err(self.error(SWITCH, "something else than an `If` of the graph reads it, too"));
        }
        graph.input.retain(|input| read.contains(input.name()));
        self.model.graph = Some(graph);
        Ok(())
    }

    fn put_branch(
        &self,
        graph: &mut GraphProto,
        node: NodeProto,
        with_past: bool,
    ) -> Result<(), FolderError> {
        let name = if with_past { "then_branch" } else { "else_branch" };
        let branch = node
            .attribute
            .into_iter()
            .find(|attribute| attribute.name() == name);
        let Some(branch) = branch.and_then(|attribute| attribute.g) else {
            return Err(self.error(name, format!("the `If` on {SWITCH} has no such graph")));
        };
        if !branch.input.is_empty() || branch.output.len() != node.output.len() {
            let reason = format!(
                "it has {} inputs and {} outputs; a branch of this `If` has none and {}",
                branch.input.len(),
                branch.output.len(),
                node.output.len()
            );
            return Err(self.error(name, reason));
        }
        graph.node.extend(branch.node);
        graph.initializer.extend(branch.initializer);
        graph.sparse_initializer.extend(branch.sparse_initializer);
        for (outer, inner) in node.output.into_iter().zip(&branch.output) {
            if outer != inner.name() {
                graph.node.push(NodeProto {
                    op_type: Some("Identity".into()),
                    input: vec![inner.name().into()],
                    output: vec![outer],
                    ..NodeProto::default()
                });
            }
        }
        Ok(())
    }

    /// Makes the past one of no tokens, for one row.
    fn empty_past(&mut self) -> Result<(), FolderError> {
        let mut graph = self.take_graph()?;
        let (past, others): (Vec<_>, _) = std::mem::take(&mut graph.input)
            .into_iter()
            .partition(|input| input.name().starts_with(PAST));
        graph.input = others;
        for input in past {
            let tensor = self.without_tokens(&input)?;
            graph.initializer.retain(|default| default.name != tensor.name);
            graph.initializer.push(tensor);
        }
        self.model.graph = Some(graph);
        Ok(())
    }

    fn without_tokens(&self, input: &ValueInfoProto) -> Result<TensorProto, FolderError> {
        let tensor = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let dims = tensor
            .and_then(|tensor| tensor.shape.as_ref())
            .map(|shape| &shape.dim);
        let dims = dims.map(|dims| {
            let fixed = dims.iter().map(|dim| match dim.value {
                Some(DimensionValue::Value(size)) => Some(size),
                _ => None,
            });
            fixed.collect::<Vec<_>>()
        });
        let Some([_, Some(heads), None, Some(width)]) = dims.as_deref() else {
            let reason =
                "it is a tensor of [rows, heads, places, width], the second and the last of them fixed";
            return Err(self.error(input.name(), reason));
        };
        Ok(TensorProto {
            dims: vec![1, *heads, 0, *width],
            data_type: tensor.and_then(|tensor| tensor.elem_type),
            name: input.name.clone(),
            raw_data: Some(Bytes::new()),
            ..TensorProto::default()
        })
    }

    /// What leaves logits out where nobody looks at them: here they are all asked for.
    fn keep_all_logits(&mut self) {
        let Some(graph) = &mut self.model.graph else {
            return;
        };
        let (kept, others): (Vec<_>, _) = std::mem::take(&mut graph.input)
            .into_iter()
            .partition(|input| KEPT.contains(&input.name()));
        graph.input = others;
        for input in kept {
            graph.initializer.push(TensorProto {
                data_type: Some(INT64),
                int64_data: vec![0],
                name: input.name,
                ..TensorProto::default()
            });
        }
    }
}

/// `TensorProto.DataType.INT64`.
const INT64: i32 = 7;

/// Names of constants without elements.
fn empty_constants<'g>(nodes: &'g [NodeProto], stored: &'g [TensorProto]) -> BTreeSet<&'g str> {
    let is_empty = |tensor: &TensorProto| tensor.dims.contains(&0);
    let value = |attribute: &AttributeProto| attribute.t.as_ref().is_some_and(is_empty);
    let nodes = nodes
        .iter()
        .filter(|node| node.op_type() == "Constant" && node.attribute.iter().any(value));
    let nodes = nodes.flat_map(|node| node.output.iter().map(String::as_str));
    let stored = stored.iter().filter(|tensor| is_empty(tensor));
    nodes.chain(stored.map(TensorProto::name)).collect()
}

/// What nodes read, those of graphs within them too.
fn names_read<'g>(nodes: &'g [NodeProto], names: &mut BTreeSet<&'g str>) {
    for node in nodes {
        names.extend(node.input.iter().map(String::as_str));
        let graphs = node
            .attribute
            .iter()
            .filter_map(|attribute| attribute.g.as_deref());
        for graph in graphs {
            names.extend(graph.output.iter().map(ValueInfoProto::name));
            names_read(&graph.node, names);
        }
    }
}
