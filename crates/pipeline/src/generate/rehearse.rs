//! What generation costs at most, found without running a graph.

use super::Limits;
use crate::{Engine, Meter, Pipeline, PipelineError, limits::MAX_TOKENS, pipeline::Shared};
use std::sync::Arc;
use synod_model::{DType, Model, Plan, PlanError, RunError, Shape, Tensor};

impl Pipeline {
    /// Goes through everything that [`Pipeline::generate`] charges if no sequence ends before its limit, without running graphs: the text is
    /// encoded, each step is planned, and tokens are chosen among scores that are all alike. Gives the number of tokens.
    ///
    /// # Errors
    /// As [`Pipeline::generate`].
    pub fn rehearse(
        &self,
        text: &[u8],
        limits: &Limits,
        engine: &mut dyn Engine,
        meter: &mut dyn Meter,
    ) -> Result<usize, PipelineError> {
        let shared = &*self.shared;
        let mut description = shared.description.clone();
        if let Some(rule) = &mut description.generation {
            // no sequence ends
            rule.min_new_tokens = MAX_TOKENS;
        }
        let rehearsed = Pipeline {
            shared: Arc::new(Shared {
                description,
                ..shared.clone()
            }),
        };
        let mut dry = Dry {
            engine,
            outputs: Vec::new(),
        };
        let generated = rehearsed.generate(text, limits, &mut dry, meter)?;
        Ok(generated.tokens.len())
    }
}

/// Plans, and gives zeros of the planned shapes.
struct Dry<'e> {
    engine: &'e mut dyn Engine,
    /// Types of the outputs of the graph that was planned last.
    outputs: Vec<DType>,
}

impl Engine for Dry<'_> {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        self.outputs = model.signature().outputs.iter().map(|port| port.dtype).collect();
        self.engine.plan(model, shapes)
    }

    fn run(&mut self, plan: &Plan, _inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        // of a plan whose cost is known, the shapes are
        let shapes = plan.cost().output_shapes.iter().flatten();
        let zeros = shapes.zip(&self.outputs).map(|(shape, &dtype)| {
            Tensor::zeros(dtype, shape).expect("a planned tensor is within the limits of tensors")
        });
        Ok(zeros.collect())
    }
}
