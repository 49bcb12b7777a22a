//! What a caller gives: something that runs graphs, and something that is asked before work is done.

use std::{collections::BTreeMap, sync::Arc};
use synod_model::{Cost, Model, ModelId, Plan, PlanError, RunError, Shape, Tensor, Work};

/// Plans and runs graphs.
///
/// Plans may be kept and shared: what [`Charge::Planning`] takes does not depend on it.
pub trait Engine {
    /// A plan of the model for these shapes.
    ///
    /// # Errors
    /// As [`Model::plan`].
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError>;

    /// Runs a plan, which was paid for.
    ///
    /// # Errors
    /// As [`Plan::run`].
    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError>;

    /// Whether the scalar reference does what is not in a graph. The bits are the same.
    fn is_reference(&self) -> bool {
        false
    }
}

/// Work that is about to be done.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Charge<'c> {
    /// Text into tokens or back: units of `synod_text::work`, nanoseconds.
    Text(u64),
    /// Decoding a picture, or bringing it into the form that a network reads.
    Picture {
        /// Units of `synod_image`, nanoseconds.
        work: u64,
        /// Bytes that it takes.
        memory: u64,
    },
    /// Planning a graph: [`Model::planning_work`], before each run, as if no plan were kept.
    Planning(Work),
    /// A run of a graph: everything in the cost, nodes and memory, at once.
    Run {
        /// What the plan says: its bound is never [`Open`](synod_model::Bound::Open).
        cost: &'c Cost,
        /// Bytes that are alive beside what the plan counts.
        held: u64,
    },
    /// Choosing tokens, and moving what is kept between steps.
    Step(Work),
}

/// Asked before every piece of work.
pub trait Meter {
    /// Takes the price.
    ///
    /// # Errors
    /// If the work may not be done.
    fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop>;
}

/// Why work may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// A limit of the caller's own: the call ends with what it has ([`Finish::MaxGas`](crate::Finish::MaxGas)), or, where there is
    /// nothing to have, as the other does.
    Limit,
    /// The call is not to go on: [`PipelineError::Stopped`](crate::PipelineError::Stopped).
    Halt,
}

/// A meter that charges nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn charge(&mut self, _charge: Charge<'_>) -> Result<(), Stop> {
        Ok(())
    }
}

/// Plans that are kept at most.
const KEPT_PLANS: usize = 4_096;

/// An engine for tools and tests: it keeps plans.
#[derive(Debug, Default)]
pub struct Local {
    plans: BTreeMap<(ModelId, Vec<Shape>), Arc<Plan>>,
    reference: bool,
}

impl Local {
    /// One that computes with the scalar reference: the same bits, slowly.
    pub fn reference() -> Self {
        Self {
            plans: BTreeMap::new(),
            reference: true,
        }
    }
}

impl Engine for Local {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        let key = (model.id(), shapes.to_vec());
        if let Some(plan) = self.plans.get(&key) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(model.plan(shapes)?);
        if self.plans.len() >= KEPT_PLANS {
            self.plans.clear();
        }
        self.plans.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        // paid for as a whole
        let meter = &mut synod_model::Unmetered;
        if self.reference {
            plan.run_reference(inputs, meter)
        } else {
            plan.run(inputs, meter)
        }
    }

    fn is_reference(&self) -> bool {
        self.reference
    }
}
