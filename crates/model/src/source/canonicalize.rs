//! The canonical form of a graph: which order, which names, and nothing that is not needed.

use super::{Source, SourceGraph, SourceNode};
use crate::import::ImportError;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
};

impl SourceNode {
    /// What it reads of the graph that it is in: its inputs, then what its graphs use of the values around them, each name in
    /// the order of first use, none twice.
    pub(crate) fn reads(&self) -> Vec<&str> {
        let mut uses = Vec::new();
        self.collect_uses(&mut uses);
        let mut defined = BTreeSet::new();
        self.graphs
            .values()
            .for_each(|graph| graph.collect_names(&mut defined));
        let mut seen = BTreeSet::new();
        uses.retain(|name| !name.is_empty() && !defined.contains(name) && seen.insert(*name));
        uses
    }

    fn collect_uses<'a>(&'a self, uses: &mut Vec<&'a str>) {
        uses.extend(self.inputs.iter().map(String::as_str));
        self.graphs.values().for_each(|graph| graph.collect_uses(uses));
    }
}

impl SourceGraph {
    /// What it uses of the values around it, each once, in the order of first use.
    pub(crate) fn captures(&self) -> Vec<&str> {
        let (mut uses, mut defined, mut seen) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        self.collect_uses(&mut uses);
        self.collect_names(&mut defined);
        uses.retain(|name| !name.is_empty() && !defined.contains(name) && seen.insert(*name));
        uses
    }

    fn collect_uses<'a>(&'a self, uses: &mut Vec<&'a str>) {
        self.nodes.iter().for_each(|node| node.collect_uses(uses));
        uses.extend(self.outputs.iter().map(String::as_str));
    }

    fn collect_names<'a>(&'a self, names: &mut BTreeSet<&'a str>) {
        names.extend(self.inputs.iter().map(String::as_str));
        for node in &self.nodes {
            names.extend(node.outputs.iter().map(String::as_str));
            node.graphs.values().for_each(|graph| graph.collect_names(names));
        }
    }
}

impl Source {
    /// Brings the graph to canonical form: nodes in topological order (the given order where it is one), without those
    /// that no output needs, without node names; values between nodes numbered; constants in order of first use, without
    /// unused ones. Graphs within nodes likewise.
    pub(crate) fn canonicalize(&mut self) -> Result<(), ImportError> {
        self.tidy()?;
        self.rename_values();
        Ok(())
    }

    /// The same with the names that the author gave.
    pub(crate) fn tidy(&mut self) -> Result<(), ImportError> {
        self.check_names()?;
        let outputs = self.outputs.iter().map(|output| output.name.clone()).collect();
        let needed = canonicalize_nodes(&mut self.nodes, outputs)?;
        self.constants.retain(|constant| needed.contains(&constant.name));
        let mut domains = BTreeSet::new();
        visit(&self.nodes, &mut |node| _ = domains.insert(node.domain.clone()));
        self.domains.retain(|domain, _| domains.contains(domain));
        self.sort_constants();
        Ok(())
    }

    /// Every name is defined once, and what the model reads and gives is defined.
    fn check_names(&self) -> Result<(), ImportError> {
        let mut defined = BTreeSet::new();
        let given = self.inputs.iter().map(|input| &input.name);
        for name in given.chain(self.constants.iter().map(|constant| &constant.name)) {
            if name.is_empty() {
                return Err(ImportError::Unnamed);
            }
            if !defined.insert(name.as_str()) {
                return Err(ImportError::DuplicateName { name: name.clone() });
            }
        }
        for node in &self.nodes {
            for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                if !defined.insert(name) {
                    return Err(ImportError::DuplicateName { name: name.clone() });
                }
            }
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if let Some(name) = node.reads().into_iter().find(|name| !defined.contains(name)) {
                return Err(ImportError::Undefined {
                    node: node.label(index),
                    name: name.to_owned(),
                });
            }
        }
        let mut outputs = BTreeSet::new();
        for output in &self.outputs {
            if !defined.contains(output.name.as_str()) {
                return Err(ImportError::UndefinedOutput {
                    name: output.name.clone(),
                });
            }
            if !outputs.insert(&output.name) {
                return Err(ImportError::DuplicateName {
                    name: output.name.clone(),
                });
            }
        }
        Ok(())
    }

    fn sort_constants(&mut self) {
        let mut first_use = BTreeMap::new();
        let mut uses = Vec::new();
        self.nodes.iter().for_each(|node| node.collect_uses(&mut uses));
        uses.extend(self.outputs.iter().map(|output| output.name.as_str()));
        for name in uses {
            let next = first_use.len();
            first_use.entry(name).or_insert(next);
        }
        self.constants
            .sort_by_key(|constant| first_use.get(constant.name.as_str()).copied());
    }

    fn rename_values(&mut self) {
        let visible = self.inputs.iter().chain(&self.outputs).map(|value| &value.name);
        let kept: BTreeSet<String> = visible
            .chain(self.constants.iter().map(|constant| &constant.name))
            .cloned()
            .collect();
        let mut names = Names {
            new: kept.iter().map(|name| (name.clone(), name.clone())).collect(),
            kept,
            next: 0,
        };
        names.rename_nodes(&mut self.nodes);
    }
}

/// The canonical names of values.
struct Names {
    /// From the names before.
    new: BTreeMap<String, String>,
    /// Names that the author gave to inputs, outputs and initialisers.
    kept: BTreeSet<String>,
    next: u64,
}

impl Names {
    fn rename(&mut self, name: &mut String) {
        if name.is_empty() {
            return;
        }
        if let Some(new) = self.new.get(name) {
            name.clone_from(new);
            return;
        }
        let new = loop {
            let new = format!("v{}", self.next);
            self.next += 1;
            if !self.kept.contains(&new) {
                break new;
            }
        };
        self.new.insert(std::mem::replace(name, new.clone()), new);
    }

    fn rename_nodes(&mut self, nodes: &mut [SourceNode]) {
        for node in nodes {
            node.name.clear();
            for list in [&mut node.inputs, &mut node.outputs] {
                list.iter_mut().for_each(|name| self.rename(name));
                // An empty name at the end says the same as none.
                while list.last().is_some_and(String::is_empty) {
                    list.pop();
                }
            }
            for graph in node.graphs.values_mut() {
                graph.inputs.iter_mut().for_each(|name| self.rename(name));
                self.rename_nodes(&mut graph.nodes);
                graph.outputs.iter_mut().for_each(|name| self.rename(name));
            }
        }
    }
}

/// Calls `look` with every node, those of subgraphs after the one that holds them.
fn visit(nodes: &[SourceNode], look: &mut impl FnMut(&SourceNode)) {
    for node in nodes {
        look(node);
        node.graphs.values().for_each(|graph| visit(&graph.nodes, look));
    }
}

/// Sorts the nodes of a graph that gives these outputs, and drops what no output needs. Returns every name that is read.
fn canonicalize_nodes(
    nodes: &mut Vec<SourceNode>,
    outputs: BTreeSet<String>,
) -> Result<BTreeSet<String>, ImportError> {
    for graph in nodes.iter_mut().flat_map(|node| node.graphs.values_mut()) {
        let outputs = graph.outputs.iter().cloned().collect();
        canonicalize_nodes(&mut graph.nodes, outputs)?;
    }
    sort_nodes(nodes)?;
    let mut needed = outputs;
    let mut keep = vec![false; nodes.len()];
    for (node, keep) in nodes.iter().zip(&mut keep).rev() {
        if node.outputs.iter().any(|name| needed.contains(name)) {
            *keep = true;
            needed.extend(node.reads().into_iter().map(str::to_owned));
        }
    }
    let mut keep = keep.into_iter();
    nodes.retain(|_| keep.next().unwrap_or(false));
    Ok(needed)
}

/// Kahn's algorithm; of the nodes that are ready the one written first comes first.
fn sort_nodes(nodes: &mut Vec<SourceNode>) -> Result<(), ImportError> {
    let count = nodes.len();
    let producers: BTreeMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(index, node)| node.outputs.iter().map(move |name| (name.as_str(), index)))
        .collect();
    let mut waiting = vec![0usize; count];
    let mut consumers = vec![Vec::new(); count];
    for (index, node) in nodes.iter().enumerate() {
        for producer in node.reads().into_iter().filter_map(|name| producers.get(name)) {
            waiting[index] += 1;
            consumers[*producer].push(index);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        (0..count).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(count);
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for &consumer in &consumers[index] {
            waiting[consumer] -= 1;
            if waiting[consumer] == 0 {
                ready.push(Reverse(consumer));
            }
        }
    }
    if let Some(index) = (0..count).find(|&index| waiting[index] > 0) {
        return Err(ImportError::Cycle {
            node: nodes[index].label(index),
        });
    }
    let mut unsorted: Vec<_> = std::mem::take(nodes).into_iter().map(Some).collect();
    *nodes = order
        .into_iter()
        .filter_map(|index| unsorted[index].take())
        .collect();
    Ok(())
}
