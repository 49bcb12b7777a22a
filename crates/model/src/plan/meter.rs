//! What may stop a run, and what may watch it.

use crate::{ops::Work, tensor::TensorView};

/// Charged before each node runs; may stop the run.
///
/// What a plan with one stage and without loops asks is in its [`Cost`](crate::Cost) already. Where shapes or the number of steps depend on
/// the inputs' values, the meter is what bounds time and memory.
pub trait Meter {
    /// Takes the price of a node, by its position among all nodes of the model.
    ///
    /// # Errors
    /// If it cannot be paid: the run stops before the node.
    fn charge(&mut self, node: usize, work: &Work) -> Result<(), Stop>;

    /// Takes the price of planning a node of a later stage, before it is planned.
    ///
    /// # Errors
    /// If it cannot be paid.
    fn plan(&mut self, work: &Work) -> Result<(), Stop>;

    /// Takes the price of `bytes` of memory that a later stage will allocate. With them the run holds `total`, inputs and
    /// outputs included.
    ///
    /// # Errors
    /// If it cannot be paid, or is too much.
    fn reserve(&mut self, bytes: u64, total: u64) -> Result<(), Stop>;
}

/// Told what runs, before and after: what a profiler is made of. It cannot change the run.
///
/// A step computes one node, or several that run as one; the nodes are positions in the graph.
pub trait Observer {
    /// The step that computes these nodes begins.
    fn begin(&mut self, nodes: &[usize]);

    /// It has ended and left these outputs: those of the last of the nodes, `None` where one is not asked for; none of a run that is
    /// watched ([`Plan::run_watched`](super::Plan::run_watched)).
    fn end(&mut self, nodes: &[usize], outputs: &[Option<TensorView<'_>>]);
}

/// The meter stops the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop;

/// A meter that charges nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn charge(&mut self, _node: usize, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn plan(&mut self, _work: &Work) -> Result<(), Stop> {
        Ok(())
    }

    fn reserve(&mut self, _bytes: u64, _total: u64) -> Result<(), Stop> {
        Ok(())
    }
}
