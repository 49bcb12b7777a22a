//! If: one of two graphs. ONNX `If`, opsets 1, 11, 13, 16, 19, 21, 23, 24, 25.

use super::{bytes_of, call_work, single, stop, weights};
use crate::{
    DType, Tensor,
    analysis::Value,
    constant::Constant,
    cost::Bound,
    limits::MAX_NODE_VALUES,
    ops::{Definition, Flow, Inputs, Io, Kernel, OpError, Operator, TensorType, Work},
    stages::Stages,
    subgraph::{Control, Nested, SubPlan, Subgraph, UNPLANNABLE, value_of},
};
use std::sync::Arc;

pub(in crate::ops) const IF: Definition = Definition {
    name: "If",
    since: &[1, 11, 13, 16, 19, 21, 23, 24, 25],
    inputs: 1..=1,
    outputs: 1..=MAX_NODE_VALUES,
    parse: |node| {
        let then = node.graph("then_branch")?;
        let otherwise = node.graph("else_branch")?;
        for (name, graph) in [("then_branch", &then), ("else_branch", &otherwise)] {
            if graph.inputs != 0 || graph.outputs() != node.outputs.len() {
                return Err(OpError::Shape(format!(
                    "{name} has {} inputs and {} outputs; the node takes none and gives {}",
                    graph.inputs,
                    graph.outputs(),
                    node.outputs.len()
                )));
            }
        }
        Ok(Box::new(If { then, otherwise }))
    },
};

#[derive(Debug)]
struct If {
    then: Subgraph,
    otherwise: Subgraph,
}

impl If {
    /// The graph, and where its captures begin among the node's inputs: those of `else_branch` come first, by name.
    fn branch(&self, condition: bool) -> (&Subgraph, usize) {
        if condition {
            (&self.then, 1 + self.otherwise.captures)
        } else {
            (&self.otherwise, 1)
        }
    }

    fn plan(
        &self,
        condition: bool,
        inputs: &Inputs<'_>,
        foldable: &mut usize,
    ) -> Result<(SubPlan, usize), OpError> {
        let (graph, first) = self.branch(condition);
        let captures = (first..first + graph.captures).map(|index| inputs.required(index));
        let given = captures
            .map(|operand| operand.map(|operand| value_of(&operand)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((graph.plan(given, foldable)?, first))
    }
}

impl Operator for If {
    fn infer(&self, _inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Err(UNPLANNABLE)
    }

    fn work(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Work {
        Work::default()
    }

    fn specialize(&self, _inputs: &Inputs<'_>, _outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Err(UNPLANNABLE)
    }

    fn flow(&self) -> Flow<'_> {
        Flow::Control(self)
    }
}

impl Control for If {
    fn nested(&self, _node: usize, inputs: &Inputs<'_>, foldable: &mut usize) -> Result<Nested, OpError> {
        let condition = inputs.of_types(0, &[DType::Bool])?;
        if condition.elements() != 1 {
            return Err(OpError::Shape("the condition is not one bool".into()));
        }
        let chosen = condition.value().map(|value| single(value) != 0);
        let choices: &[bool] = match chosen {
            Some(true) => &[true],
            Some(false) => &[false],
            None => &[true, false],
        };
        let mut plans = Vec::with_capacity(2);
        let mut refused = Vec::new();
        for &choice in choices {
            match self.plan(choice, inputs, foldable) {
                Ok(plan) => plans.push((choice, plan)),
                Err(OpError::DataDependent { index }) => return Err(OpError::DataDependent { index }),
                // A branch for other shapes than these, as of a network for two sampling rates: it may not be taken.
                Err(error) => refused.push(error),
            }
        }
        let Some((_, (first, _))) = plans.first() else {
            return Err(refused.swap_remove(0));
        };
        let outputs: Vec<TensorType> = first.output_types().collect();
        if plans
            .iter()
            .any(|(_, (plan, _))| !plan.output_types().eq(outputs.iter().cloned()))
        {
            // Known once the condition is.
            return Err(OpError::DataDependent { index: 0 });
        }
        let known = |value: &Value| match value {
            Value::Known(constant) if chosen.is_some() => Some(Arc::clone(constant)),
            _ => None,
        };
        let known = plans[0].1.0.outputs.iter().map(known).collect();
        let mut bound = if chosen.is_some() {
            Bound::Exact
        } else {
            Bound::AtMost
        };
        let mut costs = Vec::new();
        let mut multiply_adds = 0;
        for (_, (plan, _)) in &plans {
            bound = bound.max(plan.bound());
            costs.extend(plan.costs(1));
            multiply_adds = multiply_adds.max(plan.plan.cost().multiply_adds);
        }
        Ok(Nested {
            known,
            work: call_work(inputs.len() + outputs.len(), bytes_of(&outputs)),
            costs,
            bound,
            multiply_adds,
            kernel: Box::new(Branches {
                plans,
                condition: chosen,
                refused: refused.pop(),
            }),
            outputs,
        })
    }

    fn run(
        &self,
        node: usize,
        inputs: &[Option<Arc<Constant>>],
        stages: &mut Stages<'_>,
    ) -> Result<Vec<Tensor>, OpError> {
        let condition = inputs
            .first()
            .and_then(Option::as_ref)
            .ok_or(OpError::MissingInput { index: 0 })?;
        let (graph, first) = self.branch(single(condition.tensor()) != 0);
        stages
            .charge(node, &call_work(inputs.len() + graph.outputs(), 0))
            .map_err(stop(node, "If"))?;
        let given = inputs[first..first + graph.captures].iter().flatten().cloned();
        Ok(stages.run_block(&graph.block, given.collect())?)
    }
}

struct Branches {
    /// Each with the condition at which it runs, and where its captures begin.
    plans: Vec<(bool, (SubPlan, usize))>,
    /// The condition, if it was known while planning: then its branch is the only one.
    condition: Option<bool>,
    /// Why the other branch cannot run with inputs of these shapes, if it cannot.
    refused: Option<OpError>,
}

impl Kernel for Branches {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let condition = self.condition.unwrap_or_else(|| io.input(0).bytes()[0] != 0);
        let planned = self.plans.iter().find(|(choice, _)| *choice == condition);
        let Some((_, (plan, first))) = planned else {
            let refused = self.refused.clone();
            return Err(refused.expect("a branch is planned, or there is a reason that it is not"));
        };
        let (path, inputs) = (io.path, io.inputs);
        let given = |value: usize| inputs[first + value].expect("captures are given");
        let results = plan.run(path, io.meter, given)?;
        for (output, result) in results.iter().enumerate() {
            if let Some(output) = io.output(output) {
                output.bytes_mut().copy_from_slice(result.bytes());
            }
        }
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        weights(self.plans.iter().map(|(_, (plan, _))| plan))
    }
}
