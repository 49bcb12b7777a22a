//! Loop: a graph that runs a number of times, or while a condition holds, with values that each iteration hands to the next
//! and results that are collected. ONNX `Loop`, opsets 1, 11, 13, 16, 19, 21, 23, 24, 25.
//!
//! Where the number of iterations is known while planning, everything is: types, memory and work. Where it is not, but
//! nothing is collected and the handed values keep their types, the loop is planned too, and the meter bounds it. All else
//! runs iteration by iteration, each planned when its values are there.

use super::{bytes_of, call_work, concatenate, scalar, single, stop};
use crate::{
    DType, Tensor,
    analysis::Value,
    constant::Constant,
    cost::{Bound, NodeCost},
    limits::MAX_NODE_VALUES,
    ops::{Definition, Flow, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work},
    stages::Stages,
    subgraph::{Control, Nested, SubPlan, Subgraph, UNPLANNABLE, value_of},
    tensor::TensorView,
};
use std::sync::Arc;

pub(in crate::ops) const LOOP: Definition = Definition {
    name: "Loop",
    since: &[1, 11, 13, 16, 19, 21, 23, 24, 25],
    inputs: 2..=MAX_NODE_VALUES,
    outputs: 1..=MAX_NODE_VALUES,
    parse: |node| Ok(Box::new(Loop::parse(node)?)),
};

#[derive(Debug)]
struct Loop {
    body: Subgraph,
    /// Values that iterations hand on.
    carried: usize,
    /// Values that are collected.
    collected: usize,
    has_condition: bool,
}

/// The inputs of the body before the handed values: the iteration's number and the condition.
const LEADING: usize = 2;

impl Loop {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let body = node.graph("body")?;
        let carried = node.inputs.len() - LEADING;
        let collected = body.outputs().checked_sub(1 + carried);
        let fits = body.inputs == LEADING + carried;
        let Some(collected) = collected.filter(|_| fits) else {
            return Err(OpError::Shape(format!(
                "the body has {} inputs and {} outputs; {carried} handed values ask for {} inputs and at least {} outputs",
                body.inputs,
                body.outputs(),
                LEADING + carried,
                1 + carried
            )));
        };
        if node.outputs.len() > carried + collected {
            return Err(OpError::OutputCount {
                got: node.outputs.len(),
                min: 1,
                max: carried + collected,
            });
        }
        if let Some(index) = (LEADING..node.inputs.len()).find(|&index| !node.inputs[index]) {
            return Err(OpError::MissingInput { index });
        }
        Ok(Self {
            carried,
            collected,
            has_condition: node.inputs[1],
            body,
        })
    }

    /// Where the captures begin among the node's inputs.
    fn captures(&self) -> usize {
        LEADING + self.carried
    }
}

impl Operator for Loop {
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

impl Control for Loop {
    fn nested(&self, node: usize, inputs: &Inputs<'_>, foldable: &mut usize) -> Result<Nested, OpError> {
        let limit = match inputs.optional(0) {
            None => Some(u64::MAX),
            Some(limit) if limit.dtype == DType::I64 && limit.elements() == 1 => limit.value().map(trips),
            Some(_) => return Err(OpError::Shape("the number of iterations is not one i64".into())),
        };
        let begins = match inputs.optional(1) {
            None => Some(true),
            Some(begins) if begins.dtype == DType::Bool && begins.elements() == 1 => {
                begins.value().map(|value| single(value) != 0)
            }
            Some(_) => return Err(OpError::Shape("the condition is not one bool".into())),
        };
        let number = TensorType::new(DType::I64, Vec::new())?;
        let holds = Arc::new(Constant::new(scalar(DType::Bool, 1u8)));
        let mut given = vec![Value::Computed(number.into()), Value::Known(holds)];
        for index in LEADING..self.captures() {
            given.push(Value::Computed(inputs.required(index)?.tensor_type().into()));
        }
        for index in self.captures()..self.captures() + self.body.captures {
            given.push(value_of(&inputs.required(index)?));
        }
        let body = self.body.plan(given, foldable)?;
        let results: Vec<TensorType> = body.output_types().collect();
        if results[0].dtype != DType::Bool || results[0].elements() != 1 {
            return Err(OpError::Shape(
                "the condition that the body gives is not one bool".into(),
            ));
        }
        let mut handed = Vec::with_capacity(self.carried);
        for (index, result) in results[1..=self.carried].iter().enumerate() {
            let before = inputs.required(LEADING + index)?.tensor_type();
            if before.dtype != result.dtype {
                return Err(OpError::DTypeMismatch {
                    index: LEADING + index,
                    got: before.dtype,
                    expected: result.dtype,
                });
            }
            if before != *result {
                // A value that grows or shrinks: each iteration is planned by itself.
                return Err(UNPLANNABLE);
            }
            handed.push(before);
        }
        let goes_on = match &body.outputs[0] {
            _ if !self.has_condition => Some(true),
            Value::Known(constant) => Some(single(constant.tensor()) != 0),
            Value::Computed(_) => None,
        };
        // How often it runs, if that is known; else how often at most.
        let exact = match (begins, goes_on) {
            (Some(false), _) => Some(0),
            (Some(true), Some(true)) => limit,
            (Some(true), Some(false)) => limit.map(|limit| limit.min(1)),
            _ => None,
        };
        let collected = &results[1 + self.carried..];
        let (times, bound) = match (exact, limit) {
            (Some(times), _) if times < u64::MAX => (times, Bound::Exact),
            _ if self.collected > 0 => {
                return Err(OpError::DataDependent {
                    index: usize::from(limit.is_some()),
                });
            }
            (None, Some(limit)) if limit < u64::MAX => (limit, Bound::AtMost),
            _ => (1, Bound::Open),
        };
        let mut outputs = handed.clone();
        for kind in collected {
            let length = usize::try_from(times).unwrap_or(usize::MAX);
            outputs.push(TensorType::new(
                kind.dtype,
                [&[length], &kind.shape[..]].concat(),
            )?);
        }
        let work = call_work(inputs.len() + outputs.len(), bytes_of(&handed));
        let iteration = call_work(self.body.inputs + results.len(), bytes_of(collected));
        let mut costs = vec![NodeCost {
            node,
            work: iteration,
            times,
        }];
        costs.extend(body.costs(times));
        Ok(Nested {
            known: Vec::new(),
            work,
            costs,
            bound: bound.max(body.bound()),
            multiply_adds: body.plan.cost().multiply_adds.saturating_mul(times),
            kernel: Box::new(Iterations {
                node,
                iteration,
                has_condition: self.has_condition,
                first_capture: self.captures(),
                handed,
                body,
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
        let given = |index: usize| inputs[index].as_ref().map(|value| value.tensor());
        let limit = given(0).map_or(u64::MAX, trips);
        let mut goes_on = given(1).is_none_or(|value| single(value) != 0);
        // Values from outside are counted by who made them.
        let mut handed: Vec<(Arc<Constant>, bool)> = inputs[LEADING..self.captures()]
            .iter()
            .flatten()
            .map(|value| (Arc::clone(value), false))
            .collect();
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); self.collected];
        let mut number = 0;
        while number < limit && goes_on {
            let work = call_work(self.body.inputs + self.body.outputs(), 0);
            stages.charge(node, &work).map_err(stop(node, "Loop"))?;
            let leading = [scalar(DType::I64, number as i64), scalar(DType::Bool, 1u8)];
            let values = leading
                .into_iter()
                .map(|value| Arc::new(Constant::new(value)))
                .chain(handed.iter().map(|(value, _)| Arc::clone(value)))
                .chain(inputs[self.captures()..].iter().flatten().cloned());
            let mut results = stages.run_block(&self.body.block, values.collect())?.into_iter();
            let condition = results.next().ok_or(OpError::MissingInput { index: 0 })?;
            if condition.dtype() != DType::Bool || condition.elements() != 1 {
                return Err(OpError::Shape(
                    "the condition that the body gives is not one bool".into(),
                ));
            }
            goes_on = !self.has_condition || single(&condition) != 0;
            stages.release(&condition);
            for (value, owned) in &mut handed {
                let next = results.next().ok_or(OpError::MissingInput { index: 0 })?;
                if next.dtype() != value.tensor().dtype() {
                    return Err(OpError::Shape("a handed value changes its type".into()));
                }
                if *owned {
                    stages.release(value.tensor());
                }
                (*value, *owned) = (Arc::new(Constant::new(next)), true);
            }
            collected
                .iter_mut()
                .zip(results)
                .for_each(|(list, result)| list.push(result));
            number += 1;
        }
        let mut outputs = Vec::with_capacity(self.carried + self.collected);
        for (value, owned) in handed {
            if !owned {
                let bytes = value.tensor().bytes().len() as u64;
                stages.reserve(bytes).map_err(stop(node, "Loop"))?;
                stages.hold(value.tensor());
            }
            outputs.push(Constant::into_tensor(value));
        }
        for list in collected {
            outputs.push(concatenate(node, "Loop", list, stages)?);
        }
        Ok(outputs)
    }
}

/// A limit of iterations: none below zero.
fn trips(limit: &Tensor) -> u64 {
    u64::try_from(single(limit)).unwrap_or(0)
}

struct Iterations {
    node: usize,
    /// The work of an iteration beside its nodes'.
    iteration: Work,
    has_condition: bool,
    first_capture: usize,
    handed: Vec<TensorType>,
    body: SubPlan,
}

impl Kernel for Iterations {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let (path, inputs) = (io.path, io.inputs);
        let limit = io.optional_input(0).map_or(u64::MAX, |limit| {
            u64::try_from(limit.as_slice::<i64>()[0]).unwrap_or(0)
        });
        let mut goes_on = io.optional_input(1).is_none_or(|begins| begins.bytes()[0] != 0);
        let carried = self.handed.len();
        let holds = scalar(DType::Bool, 1u8);
        let mut number = scalar(DType::I64, 0i64);
        let mut runs = self.body.runs(path);
        let mut handed: Option<Vec<Tensor>> = None;
        let mut trip = 0;
        while trip < limit && goes_on {
            let fail = stop(self.node, "Loop");
            io.meter.charge(self.node, &self.iteration).map_err(fail)?;
            number.as_mut_slice::<i64>()[0] = trip as i64;
            let given = |value: usize| -> TensorView<'_> {
                let outside = |index: usize| inputs[index].expect("inference checked that it is given");
                match (value, &handed) {
                    (0, _) => number.view(),
                    (1, _) => holds.view(),
                    (value, Some(handed)) if value < LEADING + carried => handed[value - LEADING].view(),
                    (value, None) if value < LEADING + carried => outside(value),
                    (value, _) => outside(value - LEADING - carried + self.first_capture),
                }
            };
            runs.run(io.meter, given)?;
            let results = &mut runs.outputs;
            goes_on = !self.has_condition || results[0].bytes()[0] != 0;
            for (output, result) in results[1 + carried..].iter().enumerate() {
                if let Some(output) = io.output(carried + output) {
                    let bytes = result.bytes().len();
                    output.bytes_mut()[trip as usize * bytes..][..bytes].copy_from_slice(result.bytes());
                }
            }
            let results = &mut results[1..=carried];
            match &mut handed {
                Some(handed) => handed.swap_with_slice(results),
                None => {
                    // the next iteration reads these and writes others
                    let mut first = Vec::with_capacity(carried);
                    for (result, kind) in results.iter_mut().zip(&self.handed) {
                        let other = Tensor::zeros(kind.dtype, &kind.shape)?;
                        first.push(std::mem::replace(result, other));
                    }
                    handed = Some(first);
                }
            }
            trip += 1;
        }
        for index in 0..carried {
            let Some(output) = io.output(index) else { continue };
            match &handed {
                Some(handed) => output.bytes_mut().copy_from_slice(handed[index].bytes()),
                None => {
                    let before = inputs[LEADING + index].expect("inference checked that it is given");
                    output.bytes_mut().copy_from_slice(before.bytes());
                }
            }
        }
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        // The values of the last iteration live on in the next one.
        self.body.plan.own_memory().saturating_add(bytes_of(&self.handed))
    }
}
