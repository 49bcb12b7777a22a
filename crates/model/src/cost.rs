//! What a run costs: known from the shapes, before anything runs.

use crate::{ops::Work, shape::Shape};

/// The cost of a run of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// Each step in the order it runs. Nodes whose results were computed while planning are not among them. Behind control flow
    /// come the nodes of its graphs, of both branches where it is open which one runs.
    pub nodes: Vec<NodeCost>,
    /// How far a run may be from what `nodes` says.
    pub bound: Bound,
    /// Bytes of memory that a run holds at its peak: inputs, intermediate values, scratch and outputs, not the weights.
    pub peak_memory: u64,
    /// Multiply-adds in the literature's sense (unpadded): the figure by which people compare networks.
    pub multiply_adds: u64,
    /// The outputs' shapes; `None` if they depend on the inputs' values.
    pub output_shapes: Option<Vec<Shape>>,
}

/// How a stated cost relates to that of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bound {
    /// Every run costs this.
    #[default]
    Exact,
    /// No run costs more: a branch may be left out, or a loop end early.
    AtMost,
    /// A run may cost more: its length, or the shapes in it, depend on the inputs' values. The meter bounds it.
    Open,
}

/// The cost of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeCost {
    /// The node, by its position in the graph.
    pub node: usize,
    /// What it takes.
    pub work: Work,
    /// How often it runs.
    pub times: u64,
}

impl NodeCost {
    /// The work of all its runs.
    pub fn total(&self) -> Work {
        Work {
            arithmetic: self.work.arithmetic.saturating_mul(self.times),
            bytes: self.work.bytes.saturating_mul(self.times),
        }
    }
}

impl Cost {
    /// The work of all steps together (which is less than the time of them one by one may be: each step is bound by
    /// either arithmetic or memory).
    pub fn total(&self) -> Work {
        let mut total = Work::default();
        self.nodes.iter().for_each(|node| total += node.total());
        total
    }
}
