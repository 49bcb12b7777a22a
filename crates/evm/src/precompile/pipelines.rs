//! Texts and pictures: the precompile's functions of pipelines.
//!
//! ```text
//! record → load pipeline and networks (once a transaction) → encode → for each step: plan, memory, nodes, choice → decode → answer
//! ```
//!
//! A pipeline names its networks by their ids. Their records are read in every call, whether the pipeline is in memory or not, so the
//! journal is the same on every node.

use super::{BYTES_ENVELOPE, Call, Reference, answer_gas, resolution_gas, sum, within_memory, wrong_task};
use crate::{
    abi::{Tuple, WORD},
    engine::Engine,
    failure::Failure,
    file,
    fixed::Scale,
    gas::{self, GasMeter},
    interface::IPredict::{self as interface, Quote},
    pipeline::{self, Stored},
    registry::{Kind, RECORD_SLOTS, Record},
    wire::{SCORE_DECIMALS, execution_failed, unsupported_shape},
};
use alloy_primitives::{I256, U256};
use alloy_sol_types::SolCall;
use std::{collections::BTreeMap, sync::Arc};
use synod_model::{DType, Model, Plan, PlanError, RunError, Shape, Tensor};
use synod_pipeline::{
    Charge, Classified, Finish, Generated, Hash, Limits, Meter, Pipeline, PipelineError, Stop,
};
use synod_text::TextError;

/// A pipeline, and the records of its networks.
struct Loaded {
    pipeline: Arc<Pipeline>,
    networks: Vec<Record>,
}

impl Call<'_, '_> {
    /// The pipeline of a record, and its networks: each is loaded at most once a transaction as far as gas is concerned.
    fn pipeline(&mut self, record: &Record) -> Result<Loaded, Failure> {
        if record.kind != Kind::Pipeline {
            return Err(wrong_task(record.id, record.kind.name()));
        }
        self.charge_loading(record)?;
        match self.engine.kept_pipeline(record.id) {
            Some(pipeline) => {
                let named = &pipeline.description().models;
                let networks = named
                    .values()
                    .map(|&id| self.network(id))
                    .collect::<Result<_, _>>()?;
                Ok(Loaded { pipeline, networks })
            }
            None => {
                let stored = Stored::read(self.state, record)?;
                let (mut networks, mut models) = (Vec::new(), BTreeMap::new());
                for (&role, &id) in &stored.description.models {
                    let network = self.network(id)?;
                    models.insert(role, self.engine.model(self.state, &network)?.model.clone());
                    networks.push(network);
                }
                let pipeline = self
                    .engine
                    .keep_pipeline(record.id, stored.assemble(record.id, models)?);
                Ok(Loaded { pipeline, networks })
            }
        }
    }

    /// The record of a network that a pipeline names, and loading it.
    fn network(&mut self, id: Hash) -> Result<Record, Failure> {
        let network = pipeline::network(self.profile, self.state, &mut self.meter, id)?;
        self.charge_loading(&network)?;
        Ok(network)
    }

    /// Runs something of a pipeline. What it charges ends at `max_gas` if there is one, with what it has until then.
    fn with_pipeline<T>(
        &mut self,
        record: &Record,
        max_gas: Option<u64>,
        run: impl FnOnce(&Pipeline, &mut Shared<'_>, &mut Counter<'_>) -> Result<T, PipelineError>,
    ) -> Result<T, Failure> {
        let Loaded { pipeline, .. } = self.pipeline(record)?;
        let mut counter = Counter {
            meter: &mut self.meter,
            max_gas,
            stopped: None,
        };
        let outcome = run(&pipeline, &mut Shared(self.engine), &mut counter);
        let stopped = counter.stopped;
        outcome.map_err(|error| stopped.unwrap_or_else(|| refusal(record, error)))
    }

    pub(super) fn text(&mut self, reference: Reference<'_>, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let (limits, answer) = (Limits::default(), BYTES_ENVELOPE as u64);
        let generated = self.with_pipeline(&record, None, |pipeline, engine, meter| {
            pipeline.generate(input, &limits, engine, meter)
        })?;
        self.meter
            .charge(answer_gas(answer, generated.text.len() as u64))?;
        Ok(interface::textCall::abi_encode_returns(&generated.text))
    }

    pub(super) fn generate(
        &mut self,
        reference: Reference<'_>,
        arguments: &Tuple<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let input = arguments.bytes(1)?;
        let (max_tokens, max_gas) = (arguments.u32(2)?, arguments.u64(3)?);
        let record = self.record(reference)?;
        let limits = limits(max_tokens);
        let max_gas = (max_gas > 0).then_some(max_gas);
        let Generated {
            text,
            tokens,
            prompt_tokens,
            finish,
            ..
        } = self.with_pipeline(&record, max_gas, |pipeline, engine, meter| {
            pipeline.generate(input, &limits, engine, meter)
        })?;
        self.meter
            .charge(answer_gas(GENERATED_ENVELOPE, text.len() as u64))?;
        Ok(interface::generateCall::abi_encode_returns(
            &interface::Generated {
                text,
                inputTokens: prompt_tokens,
                outputTokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX),
                finish: match finish {
                    Finish::Eos => 0,
                    Finish::MaxTokens => 1,
                    Finish::MaxGas => 2,
                },
            },
        ))
    }

    pub(super) fn classify_text(
        &mut self,
        reference: Reference<'_>,
        input: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let found = self.with_pipeline(&record, None, |pipeline, engine, meter| {
            pipeline.classify(input, engine, meter)
        })?;
        self.classified(found)
    }

    pub(super) fn classify_image(
        &mut self,
        reference: Reference<'_>,
        picture: &[u8],
    ) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let found = self.with_pipeline(&record, None, |pipeline, engine, meter| {
            pipeline.classify_picture(picture, engine, meter)
        })?;
        self.classified(found)
    }

    pub(super) fn classify_file(
        &mut self,
        reference: Reference<'_>,
        address: alloy_primitives::Address,
    ) -> Result<Vec<u8>, Failure> {
        let listed = file::open(self.state, &mut self.meter, address)?;
        let picture = file::read(self.state, &mut self.meter, &listed)?;
        self.classify_image(reference, &picture)
    }

    /// The answer of a classification.
    fn classified(&mut self, found: Classified) -> Result<Vec<u8>, Failure> {
        let name = found.label;
        // three heads, length of the name
        self.meter
            .charge(answer_gas(4 * WORD as u64, name.len() as u64) + gas::fixed_values(1))?;
        let scale = Scale::new(DType::F32, SCORE_DECIMALS);
        let score = scale.and_then(|scale| scale.decode(&found.score.to_be_bytes()).ok());
        Ok(interface::classifyTextCall::abi_encode_returns(
            &interface::classifyTextReturn {
                label: U256::from(found.class),
                name,
                score: score.unwrap_or(I256::ZERO),
            },
        ))
    }

    pub(super) fn tokenize(&mut self, reference: Reference<'_>, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let ids = self.with_pipeline(&record, None, |pipeline, _, meter| {
            pipeline.tokenize(input, meter)
        })?;
        self.meter
            .charge(answer_gas(BYTES_ENVELOPE as u64, (ids.len() * WORD) as u64))?;
        Ok(interface::tokenizeCall::abi_encode_returns(&ids))
    }

    pub(super) fn file_size(&mut self, arguments: &Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let address = arguments.address(0)?;
        self.meter.charge(gas::answer(WORD))?;
        let listed = file::open(self.state, &mut self.meter, address)?;
        Ok(interface::fileSizeCall::abi_encode_returns(&listed.bytes))
    }

    /// What `generate` charges for a text at most: the charges of a rehearsal, added up.
    pub(super) fn quote_text(
        &mut self,
        reference: Reference<'_>,
        arguments: &Tuple<'_>,
    ) -> Result<Vec<u8>, Failure> {
        let (input, max_tokens) = (arguments.bytes(1)?, arguments.u32(2)?);
        let record = self.record(reference)?;
        let limits = limits(max_tokens);
        let Loaded { pipeline, networks } = self.pipeline(&record)?;
        self.meter.charge(gas::answer(7 * WORD))?;
        let call_data = usize::try_from(reference.run_call_data(input.len() as u64)).unwrap_or(usize::MAX);
        let mut rehearsal = Rehearsal {
            counter: Counter {
                meter: &mut self.meter,
                max_gas: None,
                stopped: None,
            },
            quote: Quote {
                // two numbers beside the name and the text
                transfer: gas::call(call_data.saturating_add(2 * WORD))
                    .saturating_add(resolution_gas(reference)?),
                load: record.load_gas(),
                total: 0,
                planning: 0,
                execution: 0,
                peakMemory: 0,
                multiplyAdds: 0,
            },
        };
        let outcome = pipeline.rehearse(input, &limits, &mut Shared(self.engine), &mut rehearsal);
        let (mut quote, stopped) = (rehearsal.quote, rehearsal.counter.stopped);
        let tokens = outcome.map_err(|error| stopped.unwrap_or_else(|| refusal(&record, error)))?;
        let registry = gas::registry(RECORD_SLOTS).saturating_mul(networks.len() as u64);
        let text = pipeline
            .tokenizer()
            .map_or(0, |tokenizer| tokenizer.decoded_bytes(tokens));
        let answer = answer_gas(GENERATED_ENVELOPE, text as u64);
        quote.transfer = sum([quote.transfer, registry, answer]);
        quote.load = sum(networks.iter().map(Record::load_gas).chain([quote.load]));
        quote.total = sum([quote.transfer, quote.load, quote.planning, quote.execution]);
        Ok(interface::quoteTextCall::abi_encode_returns(&quote))
    }
}

/// Bytes around the text in the answer of `generate`: the struct's offset, its four heads, the length.
const GENERATED_ENVELOPE: u64 = 6 * WORD as u64;

fn limits(max_tokens: u32) -> Limits {
    Limits {
        max_tokens: (max_tokens > 0).then_some(max_tokens),
    }
}

/// A meter for a call that is only gone through: adds up what it would charge, and charges for what is done on the way.
struct Rehearsal<'a> {
    counter: Counter<'a>,
    quote: Quote,
}

impl Meter for Rehearsal<'_> {
    fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop> {
        let (gas, _) = price(&charge);
        let part = match charge {
            Charge::Text(_) => &mut self.quote.transfer,
            Charge::Planning(_) => &mut self.quote.planning,
            _ => &mut self.quote.execution,
        };
        *part = part.saturating_add(gas);
        if let Charge::Run { cost, held } = charge {
            let peak = cost.peak_memory.saturating_add(held);
            self.quote.peakMemory = self.quote.peakMemory.max(peak);
            self.quote.multiplyAdds = self.quote.multiplyAdds.saturating_add(cost.multiply_adds);
            // its outputs are made as zeros
            return self.counter.take(gas::memory(peak), peak);
        }
        self.counter.charge(charge)
    }
}

/// The node's engine, as a pipeline asks it.
struct Shared<'a>(&'a Engine);

impl synod_pipeline::Engine for Shared<'_> {
    fn plan(&mut self, model: &Model, shapes: &[Shape]) -> Result<Arc<Plan>, PlanError> {
        self.0.plan(model, shapes)
    }

    fn run(&mut self, plan: &Plan, inputs: &[Tensor]) -> Result<Vec<Tensor>, RunError> {
        // paid for as a whole
        self.0.run(plan, inputs, &mut synod_model::Unmetered)
    }

    fn is_reference(&self) -> bool {
        self.0.is_reference()
    }
}

/// Turns what a pipeline is about to do into gas.
struct Counter<'a> {
    meter: &'a mut GasMeter,
    /// The caller's own limit, which ends a call with what there is.
    max_gas: Option<u64>,
    stopped: Option<Failure>,
}

/// Gas of work that is about to be done, and the memory that it takes.
fn price(charge: &Charge<'_>) -> (u64, u64) {
    match *charge {
        Charge::Text(bound) => (gas::nanoseconds(bound), 0),
        Charge::Picture { work, memory } => {
            (gas::nanoseconds(work).saturating_add(gas::memory(memory)), memory)
        }
        Charge::Planning(work) => (gas::planning(&work), 0),
        Charge::Run { cost, held } => (gas::run(cost, held), cost.peak_memory.saturating_add(held)),
        Charge::Step(work) => (gas::node(&work), 0),
        // of a later version of the crate: nothing is done unpaid
        _ => (u64::MAX, 0),
    }
}

impl Counter<'_> {
    /// Takes gas for work that needs so much memory.
    fn take(&mut self, gas: u64, memory: u64) -> Result<(), Stop> {
        if self
            .max_gas
            .is_some_and(|max| self.meter.used().saturating_add(gas) > max)
        {
            return Err(Stop::Limit);
        }
        let charged = self.meter.charge(gas).map_err(Failure::from);
        let fits = charged.and_then(|()| within_memory(memory));
        fits.map_err(|failure| {
            self.stopped = Some(failure);
            Stop::Halt
        })
    }
}

impl Meter for Counter<'_> {
    fn charge(&mut self, charge: Charge<'_>) -> Result<(), Stop> {
        let (gas, memory) = price(&charge);
        self.take(gas, memory)
    }
}

/// What the caller is told of a pipeline that gave no answer.
fn refusal(record: &Record, error: PipelineError) -> Failure {
    let too_long = |limit: usize, got: usize| -> Failure {
        interface::TextTooLong {
            limit: U256::from(limit),
            got: U256::from(got),
        }
        .into()
    };
    match error {
        PipelineError::OtherTask { task, .. } => wrong_task(record.id, task),
        PipelineError::Text(TextError::NotUtf8 { position }) => interface::InvalidUtf8 {
            position: U256::from(position),
        }
        .into(),
        PipelineError::Text(TextError::TooLong { length }) => {
            too_long(synod_text::limits::MAX_TEXT_BYTES, length)
        }
        PipelineError::Text(TextError::Expands { limit }) => too_long(limit, limit + 1),
        PipelineError::Text(TextError::TooManyTokens { count }) => {
            too_long(synod_text::limits::MAX_TOKENS, count)
        }
        PipelineError::Text(TextError::DecodedTooLong) => {
            let limit = synod_text::limits::MAX_DECODED_BYTES;
            too_long(limit, limit + 1)
        }
        PipelineError::TooManyTokens { tokens, limit } => too_long(limit, tokens),
        PipelineError::NoTokens => interface::EmptyText {}.into(),
        PipelineError::Picture(error) => match error.pixels() {
            Some(pixels) => interface::PictureTooLarge {
                limit: U256::from(synod_image::limits::MAX_PIXELS),
                got: U256::from(pixels),
            }
            .into(),
            None => interface::InvalidPicture {}.into(),
        },
        PipelineError::Plan { error, .. } => unsupported_shape(*error),
        PipelineError::Run { error, .. } => execution_failed(*error),
        PipelineError::NotFinite { .. } => interface::OutputNotFinite {
            output: U256::ZERO,
            element: U256::ZERO,
        }
        .into(),
        // how much is to be done depends on the values of the input
        PipelineError::OpenCost { .. } => interface::DependsOnInput {}.into(),
        _ => interface::ExecutionFailed { node: U256::MAX }.into(),
    }
}
