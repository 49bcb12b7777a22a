//! Running graphs step by step: shapes, the cache, and what each step costs.

use super::{Failure, scores::Masks};
use crate::{
    Charge, Engine, Meter, PipelineError, Role,
    layout::{Graph, Input},
    pipeline::Shared,
};
use synod_model::{Bound, DType, Plan, Shape, Tensor, Work};

/// A call of a pipeline.
pub(crate) struct Call<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) engine: &'c mut dyn Engine,
    pub(crate) meter: &'c mut dyn Meter,
}

/// What graphs are given.
#[derive(Debug, Default)]
pub(crate) struct Given<'g> {
    /// Tokens of each row, all of one length.
    pub(crate) rows: Vec<&'g [u32]>,
    /// Tokens of each row before these.
    pub(crate) before: usize,
    /// What the encoder gave, for one row.
    pub(crate) states: Option<&'g Tensor>,
    /// A picture, for one row.
    pub(crate) pixels: Option<Tensor>,
    /// The cache: handed over to the graph while it runs, since it is large.
    pub(crate) past: Vec<Tensor>,
}

impl Call<'_> {
    /// Plans and runs a graph, paid for with the work that follows.
    pub(crate) fn run(
        &mut self,
        role: Role,
        given: &mut Given<'_>,
        held: u64,
        follows: &[Charge<'_>],
    ) -> Result<Vec<Tensor>, Failure> {
        let graph = &self.shared.graphs[&role];
        let mut inputs: Vec<Tensor> = graph
            .inputs
            .iter()
            .map(|&(input, dtype)| given.tensor(input, dtype))
            .collect();
        let shapes: Vec<Shape> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        self.meter.charge(Charge::Planning(graph.model.planning_work()))?;
        let plan = self
            .engine
            .plan(&graph.model, &shapes)
            .map_err(|error| PipelineError::Plan {
                role,
                error: Box::new(error),
            })?;
        let cost = plan.cost();
        if cost.bound == Bound::Open || cost.output_shapes.is_none() {
            return Err(PipelineError::OpenCost { role }.into());
        }
        check_outputs(graph, self.shared.width, &shapes, &plan)?;
        self.meter.charge(Charge::Run { cost, held })?;
        for &charge in follows {
            self.meter.charge(charge)?;
        }
        let run = self.engine.run(&plan, &inputs);
        for (tensor, &(input, _)) in inputs.iter_mut().zip(&graph.inputs) {
            if let Input::Past(part) = input {
                std::mem::swap(&mut given.past[part], tensor);
            }
        }
        Ok(run.map_err(|error| PipelineError::Run {
            role,
            error: Box::new(error),
        })?)
    }
}

/// Checks that what a run gives has a row for each row that it takes, and what is looked at of them: another shape would be read past
/// its end.
fn check_outputs(graph: &Graph, width: usize, shapes: &[Shape], plan: &Plan) -> Result<(), PipelineError> {
    let ids = graph.inputs.iter().position(|(input, _)| *input == Input::Ids);
    let (rows, length) = ids.map_or((1, 1), |index| (shapes[index][0], shapes[index][1]));
    let outputs: Vec<&Shape> = plan.output_types().map(|kind| &kind.shape).collect();
    let result = outputs[graph.result];
    let fits = match graph.role {
        Role::Encoder => result[..2] == [rows, length],
        Role::Model => *result == [rows, width],
        Role::Decoder | Role::DecoderWithPast => *result == [rows, length, width],
    };
    let mut parts = graph.present.iter().flatten();
    let wrong = if fits {
        parts.find(|&&output| outputs[output].first() != Some(&rows))
    } else {
        Some(&graph.result)
    };
    match wrong {
        None => Ok(()),
        Some(&output) => Err(PipelineError::OutputShape {
            role: graph.role,
            port: graph.model.signature().outputs[output].name.clone(),
            shape: outputs[output].clone(),
            rows,
            length,
        }),
    }
}

impl Given<'_> {
    /// The tensor for an input.
    fn tensor(&mut self, input: Input, dtype: DType) -> Tensor {
        let (batch, length) = (self.rows.len(), self.rows.first().map_or(0, |row| row.len()));
        let integers = |width: usize, values: &mut dyn Iterator<Item = i64>| {
            let shape = [batch, width];
            let tensor = if dtype == DType::I32 {
                Tensor::from_slice(
                    dtype,
                    &shape,
                    &values.map(|value| value as i32).collect::<Vec<_>>(),
                )
            } else {
                Tensor::from_slice(dtype, &shape, &values.collect::<Vec<_>>())
            };
            tensor.expect("as many values as the shape has, and few")
        };
        match input {
            Input::Ids => integers(
                length,
                &mut self.rows.iter().flat_map(|row| row.iter().map(|&id| id.into())),
            ),
            Input::TypeIds => integers(length, &mut std::iter::repeat_n(0, batch * length)),
            Input::Mask => {
                let all = self.before + length;
                integers(all, &mut std::iter::repeat_n(1, batch * all))
            }
            Input::Positions => {
                let places = (0..batch).flat_map(|_| self.before..self.before + length);
                integers(length, &mut places.map(|place| place as i64))
            }
            Input::EncoderStates => taken(self.states(), &vec![0; batch]),
            Input::EncoderMask => {
                let all = self.states().shape()[1];
                integers(all, &mut std::iter::repeat_n(1, batch * all))
            }
            Input::Pixels => self
                .pixels
                .take()
                .expect("a network that looks at pictures gets one"),
            Input::Past(part) => std::mem::replace(&mut self.past[part], nothing()),
        }
    }

    fn states(&self) -> &Tensor {
        self.states
            .expect("a decoder with an encoder gets what that gave")
    }
}

/// The state between steps.
pub(super) struct Steps {
    /// What the encoder gave, for one row.
    states: Option<Tensor>,
    /// The cache, for each row.
    past: Vec<Tensor>,
    /// For each part of it, whether steps leave it as it is: then it is the same for all rows.
    fixed: Vec<bool>,
    /// Tokens of each row that are in the cache.
    before: usize,
}

impl Steps {
    /// Runs the encoder, if there is a text for it.
    pub(super) fn begin(call: &mut Call<'_>, text: Option<&[u32]>) -> Result<Self, Failure> {
        let states = match text {
            None => None,
            Some(text) => {
                let mut given = Given {
                    rows: vec![text],
                    ..Given::default()
                };
                let result = call.shared.graphs[&Role::Encoder].result;
                Some(call.run(Role::Encoder, &mut given, 0, &[])?.swap_remove(result))
            }
        };
        let with_past = &call.shared.graphs[&Role::DecoderWithPast];
        Ok(Self {
            states,
            past: with_past.present.iter().map(|_| nothing()).collect(),
            fixed: with_past.present.iter().map(Option::is_none).collect(),
            before: 0,
        })
    }

    /// Gives the logits of the last token of each row, one row after another. `rows` are the tokens that are not in the cache;
    /// `length` is that of the sequences.
    pub(super) fn run(
        &mut self,
        call: &mut Call<'_>,
        rows: &[&[u32]],
        length: usize,
        masks: &Masks<'_>,
    ) -> Result<Vec<f32>, Failure> {
        let role = if self.before == 0 {
            Role::Decoder
        } else {
            Role::DecoderWithPast
        };
        let shared = call.shared;
        let graph = &shared.graphs[&role];
        let cache: u64 = self.past.iter().map(|part| part.bytes().len() as u64).sum();
        let mut given = Given {
            rows: rows.to_vec(),
            before: self.before,
            states: self.states.as_ref(),
            past: std::mem::take(&mut self.past),
            ..Given::default()
        };
        let beams = masks.rule.num_beams as usize;
        let work = choosing(masks, rows.len(), shared.width, length, cache);
        let follows = [
            Charge::Step(work),
            Charge::Text(shared.tokenizer().decode_work(1)),
        ];
        // beams' caches are moved into place beside those that come out
        let held = if beams > 1 { cache } else { 0 };
        let mut outputs = call.run(role, &mut given, held, &follows)?;
        let logits = last_rows(&outputs[graph.result], rows.len(), shared.width);
        self.past = given.past;
        self.before += rows[0].len();
        for (part, present) in self.past.iter_mut().zip(&graph.present) {
            if let Some(output) = present {
                *part = std::mem::replace(&mut outputs[*output], nothing());
            }
        }
        Ok(logits)
    }

    /// Goes on with these rows, in this order.
    pub(super) fn keep(&mut self, rows: &[usize]) {
        for (part, fixed) in self.past.iter_mut().zip(&self.fixed) {
            let batch = part.shape().first().copied().unwrap_or(0);
            let same = *fixed || rows.iter().copied().eq(0..batch);
            if batch != rows.len() || !same {
                *part = taken(part, rows);
            }
        }
    }
}

/// What choosing tokens takes: functions of each logit, and for beams moving the cache. `docs/spec/pipeline.md` §4.
pub(crate) fn choosing(masks: &Masks<'_>, rows: usize, vocabulary: usize, length: usize, cache: u64) -> Work {
    let rule = masks.rule;
    let (rows, vocabulary, length) = (rows as u64, vocabulary as u64, length as u64);
    let forbidden = rule.bad_words_ids.iter().map(Vec::len).sum::<usize>()
        + rule.suppress_tokens.len()
        + rule.begin_suppress_tokens.len()
        + rule.eos_token_ids.len();
    let repeated = u64::from(rule.no_repeat_ngram_size.min(length as u32)) * length;
    let looks = (forbidden as u64 * 300).saturating_add(repeated * 60);
    let (each, moved) = if rule.num_beams == 1 {
        (60, 0)
    } else {
        let again = u64::from(rule.renormalize_logits) * 280;
        let kept = u64::from(rule.num_beams) * (rule.eos_token_ids.len() as u64 + 2);
        let copies = kept * (length * 30 + 6_000);
        (500 + again, copies)
    };
    let arithmetic = rows
        .saturating_mul(
            vocabulary
                .saturating_mul(each)
                .saturating_add(looks)
                .saturating_add(20_000),
        )
        .saturating_add(moved);
    Work {
        arithmetic,
        bytes: cache.saturating_mul(if rule.num_beams == 1 { 1 } else { 4 }),
    }
}

/// The last row of logits of each sequence.
fn last_rows(logits: &Tensor, batch: usize, width: usize) -> Vec<f32> {
    let length = logits.shape()[1];
    let all = logits.as_slice::<f32>();
    (0..batch)
        .flat_map(|row| &all[((row + 1) * length - 1) * width..][..width])
        .copied()
        .collect()
}

/// In place of a tensor that is elsewhere.
fn nothing() -> Tensor {
    Tensor::zeros(DType::F32, &[0]).expect("an empty tensor is small")
}

/// These rows, in this order.
fn taken(tensor: &Tensor, rows: &[usize]) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    let row = tensor.bytes().len() / shape[0].max(1);
    shape[0] = rows.len();
    let bytes: Vec<u8> = rows
        .iter()
        .flat_map(|&index| &tensor.bytes()[index * row..][..row])
        .copied()
        .collect();
    Tensor::from_le_bytes(tensor.dtype(), &shape, &bytes).expect("whole rows of a tensor, few of them")
}
