//! A plan: a model specialised for concrete shapes, with its memory laid out.
//!
//! **Memory as it is stated.** Each intermediate value lives in a slot, from the step that writes it to the last that reads it; then the
//! slot serves other values. Values are placed in the order of the steps: into the smallest free slot that is large
//! enough, else into the largest free one, which grows. Outputs have slots of their own and are handed over uncopied.
//! Nothing of this depends on the machine, so peak memory can be charged for. The reference runs this way, step by step, and so
//! does a run that is observed.
//!
//! **Memory as it is used.** The fast path may do with less: steps run together ([`fusion`]), values between them live in registers
//! ([`chain`]), and a change of shape is another name. What that needs is laid out in the same manner ([`schedule`]) and never takes
//! more slots' bytes than stated: if it would, nothing runs together. A run takes its memory from the plan's [`workspace`], so that a
//! warm one allocates its outputs and nothing else.
//!
//! **Metering.** Each step is charged at its place, whatever runs together.

mod build;
mod chain;
mod error;
mod fusion;
mod layout;
mod memory;
mod meter;
mod run;
mod schedule;
mod simplify;
mod workspace;

use crate::{
    constant::Constant,
    cost::{Bound, Cost},
    import::NodeLabel,
    model::{Dim, PlanError, TensorSignature, ValueId},
    ops::{Kernel, TensorType, Work},
    stages::Rest,
};
use schedule::Schedule;
use std::{collections::BTreeMap, sync::Arc};
use workspace::Workspaces;

pub use error::RunError;
pub use meter::{Meter, Observer, Stop, Unmetered};
pub(crate) use schedule::Arguments;
pub(crate) use workspace::Workspace;

/// Where a step finds a value.
#[derive(Debug, Clone, Copy)]
enum Location {
    Input(usize),
    Constant(usize),
    Slot(usize),
}

struct Step {
    label: Arc<NodeLabel>,
    node: usize,
    kernel: Arc<dyn Kernel>,
    inputs: Vec<Option<(Location, Arc<TensorType>)>>,
    outputs: Vec<Option<(usize, Arc<TensorType>)>>,
    work: Work,
}

/// A model specialised for concrete input shapes; runs any number of times, on any thread.
pub struct Plan {
    inputs: Vec<(String, TensorType)>,
    constants: Vec<Arc<Constant>>,
    steps: Vec<Step>,
    outputs: Vec<(Location, TensorType)>,
    /// Bytes of each slot.
    slots: Vec<usize>,
    scratch: usize,
    cost: Cost,
    /// What the fast path does.
    schedule: Schedule,
    workspaces: Workspaces,
    /// What comes after, where this plan ends before the graph does: its outputs are then what the rest needs.
    rest: Option<Box<Rest>>,
}

/// A value that is there before a plan runs.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) value: ValueId,
    /// For messages.
    pub(crate) name: String,
    pub(crate) kind: TensorType,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("inputs", &self.inputs)
            .field("cost", &self.cost)
            .finish_non_exhaustive()
    }
}

impl Plan {
    /// This plan, as the first stage of a run.
    pub(crate) fn followed_by(mut self, rest: Rest) -> Self {
        self.cost.bound = Bound::Open;
        self.cost.output_shapes = None;
        self.rest = Some(Box::new(rest));
        self
    }

    /// Lets go of the values of constants that a run reads only as its kernels have arranged them, here and among those of the model.
    pub(crate) fn let_go(&mut self, of_model: &mut [Arc<Constant>]) {
        let needed = self.schedule.constants();
        let mut in_model = by_address(of_model.iter_mut());
        for (index, constant) in self.constants.iter_mut().enumerate() {
            if needed.contains(&index) {
                continue;
            }
            let in_model = in_model.remove(&Arc::as_ptr(constant));
            if let (Some(in_model), Some(without)) = (in_model, constant.let_go()) {
                let without = Arc::new(without);
                *in_model = Arc::clone(&without);
                *constant = without;
            }
        }
    }

    /// Gives the values of constants memory of their own, here and among those of the model.
    pub(crate) fn keep_apart(&mut self, of_model: &mut [Arc<Constant>]) {
        let mut here = by_address(self.constants.iter_mut());
        for in_model in of_model {
            let Some(own) = in_model.apart().map(Arc::new) else {
                continue;
            };
            if let Some(here) = here.remove(&Arc::as_ptr(in_model)) {
                *here = Arc::clone(&own);
            }
            *in_model = own;
        }
    }

    /// Bytes that a run holds at its peak beside its inputs.
    pub(crate) fn own_memory(&self) -> u64 {
        let inputs = self.inputs.iter().map(|(_, kind)| kind.bytes() as u64);
        self.cost
            .peak_memory
            .saturating_sub(inputs.fold(0, u64::saturating_add))
    }

    /// Bytes of memory that the plan keeps between runs, at most.
    pub fn kept_bytes(&self) -> usize {
        self.workspaces.kept_bytes()
    }

    /// What a run costs.
    pub fn cost(&self) -> &Cost {
        &self.cost
    }

    /// Types of the inputs, in order.
    pub fn input_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.inputs.iter().map(|(_, kind)| kind)
    }

    /// Types of the outputs, in order.
    pub fn output_types(&self) -> impl ExactSizeIterator<Item = &TensorType> {
        self.outputs.iter().map(|(_, kind)| kind)
    }
}

/// Constants, each of which is there once, by where they lie: a model may have so many that looking for one among all would take long.
fn by_address<'a>(
    constants: impl Iterator<Item = &'a mut Arc<Constant>>,
) -> BTreeMap<*const Constant, &'a mut Arc<Constant>> {
    constants
        .map(|constant| (Arc::as_ptr(constant), constant))
        .collect()
}

/// Whether an output is what the signature declares.
pub(crate) fn check_output(signature: &TensorSignature, computed: &TensorType) -> Result<(), PlanError> {
    if signature.dtype != computed.dtype {
        return Err(PlanError::OutputType {
            name: signature.name.clone(),
            declared: signature.dtype,
            computed: computed.dtype,
        });
    }
    let agrees = |(dim, size): (&Dim, &usize)| match dim {
        Dim::Fixed(declared) => declared == size,
        Dim::Symbol { max, .. } => size <= max,
        Dim::Open { .. } => true,
    };
    let shape = &computed.shape;
    if signature.dims.len() == shape.len() && signature.dims.iter().zip(shape).all(agrees) {
        Ok(())
    } else {
        Err(PlanError::OutputShape {
            name: signature.name.clone(),
            declared: signature.dims.clone(),
            computed: shape.clone(),
        })
    }
}
