//! What a run costs: known from the shapes, before anything runs.

use crate::{ops::Work, shape::Shape};

/// The cost of a run of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Each step in the order it runs. Nodes whose results were computed while planning are not among them.
    pub nodes: Vec<NodeCost>,
    /// Bytes of memory that a run holds at its peak: inputs, intermediate values, scratch and outputs, not the weights.
    pub peak_memory: u64,
    /// Multiply-adds in the literature's sense (unpadded): the figure by which people compare networks.
    pub multiply_adds: u64,
    /// The outputs' shapes.
    pub output_shapes: Vec<Shape>,
}

/// The cost of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCost {
    /// The node, by its position in the graph.
    pub node: usize,
    /// What it takes.
    pub work: Work,
}

impl Cost {
    /// The work of all steps together (which is less than the time of them one by one may be: each step is bound by
    /// either arithmetic or memory).
    pub fn total(&self) -> Work {
        let mut total = Work::default();
        self.nodes.iter().for_each(|node| total += node.work);
        total
    }
}
