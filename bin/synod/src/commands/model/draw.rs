//! A graph as text, in the manner of `git log --graph`: a line for each node, and a lane for each value that is still to be read.

use crate::show::thousands;
use eyre::{OptionExt as _, Result};
use std::collections::BTreeMap;
use synod_model::proto::{GraphProto, NodeProto, decode_model};

/// Draws the graph of a canonical model. `gas` is what each node costs, by its number.
///
/// Numbers count a node before those of the graphs within it, as in costs and errors; these are not drawn.
///
/// # Errors
/// If the bytes are no model.
pub(super) fn draw(graph: &[u8], gas: &BTreeMap<usize, u64>) -> Result<Vec<String>> {
    let model = decode_model(graph.to_vec().into())?;
    let graph = model.graph.ok_or_eyre("the file has no graph")?;
    Ok(Drawing::of(&graph).lines(&graph, gas))
}

/// The state between two lines.
struct Drawing<'g> {
    /// The value in each lane.
    lanes: Vec<Option<&'g str>>,
    /// How often each value is still read.
    reads: BTreeMap<&'g str, usize>,
    /// Shapes of the constants.
    constants: BTreeMap<&'g str, String>,
}

impl<'g> Drawing<'g> {
    fn of(graph: &'g GraphProto) -> Self {
        let mut reads = BTreeMap::new();
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref());
        let inputs = graph.node.iter().flat_map(reads_of);
        inputs
            .chain(outputs)
            .for_each(|name| *reads.entry(name).or_default() += 1);
        let constants = graph.initializer.iter().filter_map(|constant| {
            let dims: Vec<String> = constant.dims.iter().map(ToString::to_string).collect();
            Some((constant.name.as_deref()?, format!("[{}]", dims.join(","))))
        });
        Self {
            lanes: Vec::new(),
            reads,
            constants: constants.collect(),
        }
    }

    fn lines(mut self, graph: &'g GraphProto, gas: &BTreeMap<usize, u64>) -> Vec<String> {
        let mut lines = Vec::new();
        for input in graph.input.iter().filter_map(|input| input.name.as_deref()) {
            let lane = self.place(input, None);
            lines.push(self.line(lane, &[], &[], '○', input));
        }
        let mut number = 0;
        for node in &graph.node {
            lines.push(self.node(node, number, gas.get(&number)));
            number += count(node);
        }
        for output in graph.output.iter().filter_map(|output| output.name.as_deref()) {
            let Some(lane) = self.lane_of(output) else {
                continue; // a constant
            };
            lines.push(self.line(lane, &[], &[], '○', output));
            self.read(output);
        }
        lines
    }

    /// The line of a node; its inputs end where it was the last to read them, and its outputs begin.
    fn node(&mut self, node: &'g NodeProto, number: usize, gas: Option<&u64>) -> String {
        let mut inputs: Vec<usize> = reads_of(node).filter_map(|name| self.lane_of(name)).collect();
        inputs.sort_unstable();
        inputs.dedup();
        let before = self.lanes.clone();
        reads_of(node).for_each(|name| self.read(name));
        let own = inputs.first().copied();
        let mut outputs = Vec::new();
        for name in node.output.iter().map(String::as_str) {
            if self.reads.contains_key(name) {
                // a lane that ends in this line is not taken at once, but for the node's own
                let taken: Vec<usize> = inputs.iter().copied().filter(|lane| Some(*lane) != own).collect();
                outputs.push(self.place_beside(name, own, &taken));
            }
        }
        let own = own.or(outputs.first().copied()).unwrap_or(self.lanes.len());
        let weights: Vec<&str> = reads_of(node)
            .filter_map(|name| self.constants.get(name).map(String::as_str))
            .collect();
        let gas = gas.map_or_else(String::new, |gas| format!("  gas {}", thousands(*gas)));
        let text = format!(
            "{number} {} {}{gas}",
            node.op_type.as_deref().unwrap_or_default(),
            weights.join(" ")
        );
        let after = std::mem::replace(&mut self.lanes, before);
        let ends: Vec<usize> = inputs
            .iter()
            .copied()
            .filter(|&lane| after.get(lane).copied().flatten() != self.lanes[lane])
            .collect();
        // lanes to the right of the node that it is joined with, and whether they end here
        let joined: Vec<(usize, bool)> = inputs.iter().map(|&lane| (lane, ends.contains(&lane))).collect();
        let line = self.line(own, &joined, &outputs, '●', text.trim_end());
        self.lanes = after;
        while self.lanes.last() == Some(&None) {
            self.lanes.pop();
        }
        line
    }

    fn line(&self, own: usize, joined: &[(usize, bool)], begun: &[usize], mark: char, text: &str) -> String {
        let reach = joined.iter().map(|(lane, _)| *lane).chain(begun.iter().copied());
        let last = reach.fold(own, usize::max);
        let mut line = String::new();
        for lane in 0..self.lanes.len().max(last + 1) {
            let live = self.lanes.get(lane).copied().flatten().is_some();
            let ends = joined
                .iter()
                .find(|(joined, _)| *joined == lane)
                .map(|(_, ends)| *ends);
            let begins = begun.contains(&lane);
            let across = lane > own && lane < last;
            line.push(match (ends, begins) {
                _ if lane == own => mark,
                (Some(true), false) if across => '┴',
                (Some(true), false) => '╯',
                (Some(false), _) | (Some(true), true) if across => '┼',
                (Some(false), _) | (Some(true), true) => '┤',
                (None, true) if across => '┬',
                (None, true) => '╮',
                (None, false) if across && live => '┼',
                (None, false) if across => '─',
                (None, false) if live => '│',
                (None, false) => ' ',
            });
            line.push(if lane >= own && lane < last { '─' } else { ' ' });
        }
        format!("{line} {text}")
    }

    fn lane_of(&self, name: &str) -> Option<usize> {
        self.lanes.iter().position(|lane| *lane == Some(name))
    }

    /// One that reads a value has read it.
    fn read(&mut self, name: &'g str) {
        let Some(left) = self.reads.get_mut(name) else {
            return;
        };
        *left -= 1;
        if *left == 0 {
            self.reads.remove(name);
            if let Some(lane) = self.lane_of(name) {
                self.lanes[lane] = None;
            }
        }
    }

    fn place(&mut self, name: &'g str, wanted: Option<usize>) -> usize {
        self.place_beside(name, wanted, &[])
    }

    /// Gives a value a free lane: the wanted one, else the first that is not among `taken`.
    fn place_beside(&mut self, name: &'g str, wanted: Option<usize>, taken: &[usize]) -> usize {
        let is_free = |lane: &usize| self.lanes.get(*lane).copied().flatten().is_none();
        let lane = wanted
            .filter(is_free)
            .or_else(|| (0..).find(|lane| is_free(lane) && !taken.contains(lane)))
            .unwrap_or(self.lanes.len());
        if lane >= self.lanes.len() {
            self.lanes.resize(lane + 1, None);
        }
        self.lanes[lane] = Some(name);
        lane
    }
}

/// The values that a node reads, those that graphs within it capture among them.
fn reads_of(node: &NodeProto) -> impl Iterator<Item = &str> {
    let within = graphs(node).flat_map(|graph| graph.node.iter()).flat_map(|node| {
        let names: Box<dyn Iterator<Item = &str>> = Box::new(reads_of(node));
        names
    });
    let own = node.input.iter().map(String::as_str);
    own.filter(|name| !name.is_empty()).chain(within)
}

/// A node, and those within it.
fn count(node: &NodeProto) -> usize {
    1 + graphs(node)
        .flat_map(|graph| &graph.node)
        .map(count)
        .sum::<usize>()
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute
        .iter()
        .filter_map(|attribute| attribute.g.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        NodeProto {
            op_type: Some(op.into()),
            input: names(inputs),
            output: names(outputs),
            ..Default::default()
        }
    }

    fn drawn(nodes: Vec<NodeProto>, inputs: &[&str], outputs: &[&str]) -> Vec<String> {
        let value = |name: &&str| synod_model::proto::ValueInfoProto {
            name: Some(name.to_string()),
            ..Default::default()
        };
        let graph = GraphProto {
            node: nodes,
            input: inputs.iter().map(value).collect(),
            output: outputs.iter().map(value).collect(),
            ..Default::default()
        };
        Drawing::of(&graph).lines(&graph, &BTreeMap::new())
    }

    #[test]
    fn a_branch_has_a_lane_until_it_is_joined() {
        let nodes = vec![
            node("Relu", &["x"], &["a"]),
            node("Conv", &["a"], &["b"]),
            node("Conv", &["b"], &["c"]),
            node("Add", &["a", "c"], &["y"]),
        ];
        assert_eq!(
            drawn(nodes, &["x"], &["y"]),
            [
                "○  x",
                "●  0 Relu",
                "●─╮  1 Conv",
                "│ ●  2 Conv",
                "●─╯  3 Add",
                "○  y"
            ]
        );
    }

    #[test]
    fn values_that_are_read_later_stay() {
        let nodes = vec![
            node("Split", &["x"], &["a", "b", "unread"]),
            node("Mul", &["a", "s"], &["c"]),
            node("Sum", &["c", "b", "s"], &["y"]),
        ];
        assert_eq!(
            drawn(nodes, &["x", "s"], &["y"]),
            [
                "○  x",
                "│ ○  s",
                "●─┼─╮  0 Split",
                "●─┤ │  1 Mul",
                "●─┴─╯  2 Sum",
                "○  y"
            ]
        );
    }

    #[test]
    fn graphs_within_count_and_capture() {
        let body = GraphProto {
            node: vec![node("Identity", &["x"], &["z"])],
            ..Default::default()
        };
        let mut branch = node("If", &["c"], &["a"]);
        branch.attribute.push(synod_model::proto::AttributeProto {
            g: Some(Box::new(body)),
            ..Default::default()
        });
        let nodes = vec![branch, node("Relu", &["a"], &["y"])];
        assert_eq!(
            drawn(nodes, &["x", "c"], &["y"]),
            ["○  x", "│ ○  c", "●─╯  0 If", "●  2 Relu", "○  y"]
        );
    }
}
