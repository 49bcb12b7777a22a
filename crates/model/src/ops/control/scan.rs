//! Scan: a graph that runs once for each place along an axis of its inputs, with states that each step hands to the next and
//! results that are collected along an axis. ONNX `Scan`, opsets 8, 9, 11, 16, 19, 21, 23, 24, 25.
//!
//! Version 8 has a batch dimension in front of everything and runs the graph for each of its places by itself; lengths of
//! their own (`sequence_lens`) are not supported.

use super::{bytes_of, call_work, concatenate, stop};
use crate::{
    Tensor,
    analysis::Value,
    constant::Constant,
    cost::NodeCost,
    limits::MAX_NODE_VALUES,
    ops::{
        AttributeError, Definition, Flow, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
        normalize_axis,
    },
    stages::Stages,
    subgraph::{Control, Nested, SubPlan, Subgraph, UNPLANNABLE, value_of},
    tensor::TensorView,
};
use std::sync::Arc;

pub(in crate::ops) const SCAN: Definition = Definition {
    name: "Scan",
    since: &[8, 9, 11, 16, 19, 21, 23, 24, 25],
    inputs: 1..=MAX_NODE_VALUES,
    outputs: 1..=MAX_NODE_VALUES,
    parse: |node| Ok(Box::new(Scan::parse(node)?)),
};

/// Where a sequence goes on, and in which direction.
#[derive(Debug, Clone, Copy)]
struct Walk {
    axis: i64,
    reverse: bool,
}

#[derive(Debug)]
struct Scan {
    body: Subgraph,
    /// Listed inputs before the states: one in version 8.
    leading: usize,
    states: usize,
    read: Vec<Walk>,
    collected: Vec<Walk>,
}

impl Scan {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let body = node.graph("body")?;
        let leading = usize::from(node.version == 8);
        if leading == 1 && node.inputs[0] {
            return Err(OpError::Shape(
                "lengths of their own (sequence_lens) are not supported".into(),
            ));
        }
        let name = "num_scan_inputs";
        let count = node
            .attributes
            .int(name)?
            .ok_or(AttributeError::Missing { name })?;
        let listed = node.inputs.len() - leading;
        let read = usize::try_from(count)
            .ok()
            .filter(|&read| (1..=listed).contains(&read));
        let Some(read) = read else {
            return Err(AttributeError::Value {
                name,
                value: count.to_string(),
                expected: "1 to the number of inputs",
            }
            .into());
        };
        let states = listed - read;
        let collected = body.outputs().checked_sub(states);
        let Some(collected) = collected.filter(|_| body.inputs == listed) else {
            return Err(OpError::Shape(format!(
                "the body has {} inputs and {} outputs; {states} states and {read} sequences ask for {listed} inputs \
                 and at least {states} outputs",
                body.inputs,
                body.outputs()
            )));
        };
        if node.outputs.len() > states + collected {
            return Err(OpError::OutputCount {
                got: node.outputs.len(),
                min: 1,
                max: states + collected,
            });
        }
        if let Some(index) = (leading..node.inputs.len()).find(|&index| !node.inputs[index]) {
            return Err(OpError::MissingInput { index });
        }
        let (read, collected) = if leading == 1 {
            let directions = list(node, "directions", read)?;
            (
                walks(vec![0; read], directions)?,
                walks(vec![0; collected], vec![0; collected])?,
            )
        } else {
            (
                walks(
                    list(node, "scan_input_axes", read)?,
                    list(node, "scan_input_directions", read)?,
                )?,
                walks(
                    list(node, "scan_output_axes", collected)?,
                    list(node, "scan_output_directions", collected)?,
                )?,
            )
        };
        Ok(Self {
            body,
            leading,
            states,
            read,
            collected,
        })
    }

    fn sequences(&self) -> usize {
        self.leading + self.states
    }

    fn captures(&self) -> usize {
        self.sequences() + self.read.len()
    }

    /// Types and length of what the body takes in a step.
    fn layout(&self, kinds: &[TensorType]) -> Result<Layout, OpError> {
        let batched = self.leading == 1;
        let mut batch = None;
        let mut same_batch = |shape: &[usize]| {
            let size = *shape
                .first()
                .ok_or_else(|| OpError::Shape("a batch dimension is missing".into()))?;
            if *batch.get_or_insert(size) == size {
                Ok(())
            } else {
                Err(OpError::Shape("the inputs have different batch sizes".into()))
            }
        };
        let mut states = Vec::with_capacity(self.states);
        let mut slices = Vec::with_capacity(self.read.len());
        let mut length = None;
        for (index, kind) in kinds.iter().enumerate() {
            let mut shape = kind.shape.clone();
            if batched {
                same_batch(&shape)?;
                shape.remove(0);
            }
            let Some(walk) = index.checked_sub(self.states).map(|index| self.read[index]) else {
                states.push(TensorType::new(kind.dtype, shape)?);
                continue;
            };
            let axis = normalize_axis(walk.axis, shape.len())?;
            let along = shape.remove(axis);
            if *length.get_or_insert(along) != along {
                return Err(OpError::Shape("the sequences have different lengths".into()));
            }
            slices.push(Strides::new(kind.dtype.size(), &shape, axis, along, walk.reverse));
            states.push(TensorType::new(kind.dtype, shape)?);
        }
        let taken = states.split_off(self.states);
        Ok(Layout {
            batch: batch.unwrap_or(1),
            length: length.unwrap_or(0),
            states,
            taken,
            slices,
        })
    }
}

/// What the body takes in a step.
struct Layout {
    batch: usize,
    length: usize,
    states: Vec<TensorType>,
    /// Types of the sequences' parts.
    taken: Vec<TensorType>,
    slices: Vec<Strides>,
}

/// Where the parts of a sequence lie.
#[derive(Debug, Clone, Copy)]
struct Strides {
    /// Runs of a part.
    outer: usize,
    length: usize,
    /// Bytes of a run.
    inner: usize,
    reverse: bool,
}

impl Strides {
    /// Of a sequence of parts of shape `part` along `axis`.
    fn new(size: usize, part: &[usize], axis: usize, length: usize, reverse: bool) -> Self {
        Self {
            outer: part[..axis].iter().product(),
            length,
            inner: part[axis..].iter().product::<usize>() * size,
            reverse,
        }
    }

    fn place(&self, step: usize) -> usize {
        if self.reverse {
            self.length - 1 - step
        } else {
            step
        }
    }

    fn take(&self, sequence: &[u8], step: usize, part: &mut [u8]) {
        for outer in 0..self.outer {
            let from = (outer * self.length + self.place(step)) * self.inner;
            part[outer * self.inner..][..self.inner].copy_from_slice(&sequence[from..][..self.inner]);
        }
    }

    fn put(&self, part: &[u8], step: usize, sequence: &mut [u8]) {
        for outer in 0..self.outer {
            let to = (outer * self.length + self.place(step)) * self.inner;
            sequence[to..][..self.inner].copy_from_slice(&part[outer * self.inner..][..self.inner]);
        }
    }
}

/// An attribute with a number for each of `count` sequences; zeros if it is missing.
fn list(node: &mut NodeSpec<'_>, name: &'static str, count: usize) -> Result<Vec<i64>, OpError> {
    match node.attributes.ints(name)? {
        None => Ok(vec![0; count]),
        Some(values) if values.len() == count => Ok(values),
        Some(values) => Err(AttributeError::Value {
            name,
            value: format!("{} numbers", values.len()),
            expected: "one for each sequence",
        }
        .into()),
    }
}

fn walks(axes: Vec<i64>, directions: Vec<i64>) -> Result<Vec<Walk>, OpError> {
    let walk = |(axis, direction): (i64, i64)| match direction {
        0 | 1 => Ok(Walk {
            axis,
            reverse: direction == 1,
        }),
        other => Err(OpError::Shape(format!("{other} is not a direction: 0 and 1 are"))),
    };
    axes.into_iter().zip(directions).map(walk).collect()
}

impl Operator for Scan {
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

impl Control for Scan {
    fn nested(&self, node: usize, inputs: &Inputs<'_>, foldable: &mut usize) -> Result<Nested, OpError> {
        let kinds = (self.leading..self.captures())
            .map(|index| Ok(inputs.required(index)?.tensor_type()))
            .collect::<Result<Vec<_>, OpError>>()?;
        let layout = self.layout(&kinds)?;
        let mut given: Vec<Value> = layout
            .states
            .iter()
            .chain(&layout.taken)
            .cloned()
            .map(|kind| Value::Computed(kind.into()))
            .collect();
        for index in self.captures()..self.captures() + self.body.captures {
            given.push(value_of(&inputs.required(index)?));
        }
        let body = self.body.plan(given, foldable)?;
        let mut results: Vec<TensorType> = body.output_types().collect();
        let collected = results.split_off(self.states);
        if results != layout.states {
            return Err(UNPLANNABLE);
        }
        let batch: &[usize] = if self.leading == 1 { &[layout.batch] } else { &[] };
        let mut outputs = Vec::with_capacity(self.states + collected.len());
        for state in &layout.states {
            outputs.push(TensorType::new(state.dtype, [batch, &state.shape[..]].concat())?);
        }
        let mut placed = Vec::with_capacity(collected.len());
        for (part, walk) in collected.iter().zip(&self.collected) {
            let axis = normalize_axis(walk.axis, part.shape.len() + 1)?;
            let mut shape = part.shape.clone();
            placed.push(Strides::new(
                part.dtype.size(),
                &shape,
                axis,
                layout.length,
                walk.reverse,
            ));
            shape.insert(axis, layout.length);
            outputs.push(TensorType::new(part.dtype, [batch, &shape[..]].concat())?);
        }
        let times = (layout.batch as u64).saturating_mul(layout.length as u64);
        let parts = bytes_of(&layout.taken).saturating_add(bytes_of(&collected));
        // Short runs of bytes cost as much as a line of the cache.
        let runs = layout
            .slices
            .iter()
            .chain(&placed)
            .map(|strides| strides.outer as u64);
        let mut step = call_work(self.body.inputs + self.body.outputs(), parts);
        step.bytes = step.bytes.saturating_add(runs.sum::<u64>().saturating_mul(64));
        let mut costs = vec![NodeCost {
            node,
            work: step,
            times,
        }];
        costs.extend(body.costs(times));
        let begin = call_work(inputs.len() + outputs.len(), bytes_of(&layout.states));
        Ok(Nested {
            known: Vec::new(),
            work: Work {
                arithmetic: begin.arithmetic.saturating_mul(layout.batch.max(1) as u64),
                bytes: begin.bytes.saturating_mul(layout.batch.max(1) as u64),
            },
            costs,
            bound: body.bound(),
            multiply_adds: body.plan.cost().multiply_adds.saturating_mul(times),
            kernel: Box::new(Steps {
                node,
                step,
                leading: self.leading,
                first_capture: self.captures(),
                layout,
                placed,
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
        if self.leading == 1 {
            return Err(OpError::Shape(
                "version 8 with a body whose shapes depend on values is not supported".into(),
            ));
        }
        let given: Vec<&Arc<Constant>> = inputs.iter().flatten().collect();
        let kinds: Vec<_> = given[..self.captures()]
            .iter()
            .map(|value| TensorType {
                dtype: value.tensor().dtype(),
                shape: value.tensor().shape().to_vec(),
            })
            .collect();
        let layout = self.layout(&kinds)?;
        let parts = bytes_of(&layout.taken);
        let mut states: Vec<(Arc<Constant>, bool)> = given[..self.states]
            .iter()
            .map(|&value| (Arc::clone(value), false))
            .collect();
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); self.collected.len()];
        for step in 0..layout.length {
            let work = call_work(self.body.inputs + self.body.outputs(), parts);
            stages.charge(node, &work).map_err(stop(node, "Scan"))?;
            stages.reserve(parts).map_err(stop(node, "Scan"))?;
            let mut values: Vec<_> = states.iter().map(|(value, _)| Arc::clone(value)).collect();
            for ((kind, strides), sequence) in
                layout.taken.iter().zip(&layout.slices).zip(&given[self.states..])
            {
                let mut part = Tensor::zeros(kind.dtype, &kind.shape)?;
                strides.take(sequence.tensor().bytes(), step, part.view_mut().bytes_mut());
                stages.hold(&part);
                values.push(Arc::new(Constant::new(part)));
            }
            let taken: Vec<_> = values[self.states..].to_vec();
            values.extend(given[self.captures()..].iter().map(|&value| Arc::clone(value)));
            let mut results = stages.run_block(&self.body.block, values)?.into_iter();
            taken.iter().for_each(|part| stages.release(part.tensor()));
            for (value, owned) in &mut states {
                let next = results.next().ok_or(OpError::MissingInput { index: 0 })?;
                if *owned {
                    stages.release(value.tensor());
                }
                (*value, *owned) = (Arc::new(Constant::new(next)), true);
            }
            collected
                .iter_mut()
                .zip(results)
                .for_each(|(list, result)| list.push(result));
        }
        let mut outputs = Vec::with_capacity(self.states + collected.len());
        for (value, owned) in states {
            if !owned {
                let bytes = value.tensor().bytes().len() as u64;
                stages.reserve(bytes).map_err(stop(node, "Scan"))?;
                stages.hold(value.tensor());
            }
            outputs.push(Constant::into_tensor(value));
        }
        for (list, walk) in collected.into_iter().zip(&self.collected) {
            let mut whole = concatenate(node, "Scan", list, stages)?;
            let part = whole.shape()[1..].to_vec();
            let axis = normalize_axis(walk.axis, part.len() + 1)?;
            if axis != 0 || walk.reverse {
                let strides = Strides::new(whole.dtype().size(), &part, axis, layout.length, walk.reverse);
                let mut shape = part.clone();
                shape.insert(axis, layout.length);
                stages
                    .reserve(whole.bytes().len() as u64)
                    .map_err(stop(node, "Scan"))?;
                let mut placed = Tensor::zeros(whole.dtype(), &shape)?;
                let length = whole.bytes().len() / layout.length.max(1);
                for step in 0..layout.length {
                    let part = &whole.bytes()[step * length..][..length];
                    strides.put(part, step, placed.view_mut().bytes_mut());
                }
                whole = placed;
            }
            outputs.push(whole);
        }
        Ok(outputs)
    }
}

struct Steps {
    node: usize,
    /// The work of a step beside its nodes'.
    step: Work,
    leading: usize,
    first_capture: usize,
    layout: Layout,
    placed: Vec<Strides>,
    body: SubPlan,
}

/// The part of a tensor that belongs to one place of the batch.
fn of_batch(bytes: &[u8], batch: usize, place: usize) -> &[u8] {
    let length = bytes.len() / batch.max(1);
    &bytes[place * length..][..length]
}

impl Kernel for Steps {
    fn run(&self, io: &mut Io<'_, '_>) -> Result<(), OpError> {
        let Layout {
            batch,
            length,
            states: state_types,
            taken,
            slices,
        } = &self.layout;
        let (batch, length) = (*batch, *length);
        let (path, inputs) = (io.path, io.inputs);
        let outside = |index: usize| inputs[index].expect("inference checked that it is given");
        let mut parts = Vec::with_capacity(taken.len());
        for kind in taken {
            parts.push(Tensor::zeros(kind.dtype, &kind.shape)?);
        }
        let mut runs = self.body.runs(path);
        for place in 0..batch {
            let mut states = Vec::with_capacity(state_types.len());
            for (index, kind) in state_types.iter().enumerate() {
                let bytes = of_batch(outside(self.leading + index).bytes(), batch, place);
                let mut state = Tensor::zeros(kind.dtype, &kind.shape)?;
                state.view_mut().bytes_mut().copy_from_slice(bytes);
                states.push(state);
            }
            for step in 0..length {
                let fail = stop(self.node, "Scan");
                io.meter.charge(self.node, &self.step).map_err(fail)?;
                for (index, (part, strides)) in parts.iter_mut().zip(slices).enumerate() {
                    let sequence = outside(self.leading + states.len() + index).bytes();
                    strides.take(
                        of_batch(sequence, batch, place),
                        step,
                        part.view_mut().bytes_mut(),
                    );
                }
                let given = |value: usize| -> TensorView<'_> {
                    if let Some(state) = states.get(value) {
                        state.view()
                    } else if let Some(part) = parts.get(value - states.len()) {
                        part.view()
                    } else {
                        outside(value - states.len() - parts.len() + self.first_capture)
                    }
                };
                runs.run(io.meter, given)?;
                let (next, collected) = runs.outputs.split_at_mut(states.len());
                for ((index, part), strides) in collected.iter().enumerate().zip(&self.placed) {
                    if let Some(output) = io.output(states.len() + index) {
                        let whole = output.bytes_mut();
                        let size = whole.len() / batch.max(1);
                        strides.put(part.bytes(), step, &mut whole[place * size..][..size]);
                    }
                }
                states.swap_with_slice(next);
            }
            for (index, state) in states.iter().enumerate() {
                if let Some(output) = io.output(index) {
                    let size = state.bytes().len();
                    output.bytes_mut()[place * size..][..size].copy_from_slice(state.bytes());
                }
            }
        }
        Ok(())
    }

    fn held_bytes(&self) -> u64 {
        let Layout { states, taken, .. } = &self.layout;
        self.body
            .plan
            .own_memory()
            .saturating_add(bytes_of(states))
            .saturating_add(bytes_of(taken))
    }
}
