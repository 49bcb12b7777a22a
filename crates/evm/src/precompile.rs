//! PREDICT, the precompile: call data in, answer or typed revert out. docs/spec/predict.md is its specification.
//!
//! A call goes through fixed steps, each charged before it is taken, so that the gas used and the error returned are the
//! same on every node:
//!
//! ```text
//! decode → name → id → record → load (once a transaction) → shapes → plan → memory, elements, answer → nodes → encode
//! ```
//!
//! Pipelines (texts and pictures) are in [`pipelines`].
//!
//! Nothing is written but one thing: that this transaction paid for loading a model. The marker lives in the transient storage
//! of the precompile's own account, which no contract can reach (the account's code never runs), and is set by the engine
//! itself, so it works in static calls too. As part of the journal it is undone when a frame around it reverts.

mod pipelines;

use crate::{
    abi::{Array, Tuple, WORD},
    addresses::PREDICT,
    engine::{Compiled, Engine},
    failure::Failure,
    gas::{self, GasMeter},
    inference::Inference,
    interface::IPredict::{self as interface, Quote},
    name::ModelName,
    patch,
    ports::{self, Shapes, Unit},
    registry::{self, Kind, RECORD_SLOTS, Record, Resolved},
    wire::{
        GivenTensor, SELECTOR, best_score, decimals, execution_failed, pack_outputs, read_shapes,
        read_tensors, result_error, scale, type_code, type_of_code, unknown_function, unsupported_shape,
        value_out_of_range,
    },
};
use alloy_evm::{
    EvmInternals,
    precompiles::{DynPrecompile, PrecompileInput},
    revm::precompile::{PrecompileHalt, PrecompileId, PrecompileOutput, PrecompileResult},
};
use alloy_primitives::{B256, I256, U256};
use alloy_sol_types::SolCall;
use std::sync::Arc;
use synod_model::{Bound, Plan, Stop, Tensor, Work};

/// Bytes around the data in the encoding of one `bytes`: its offset and its length.
const BYTES_ENVELOPE: usize = 2 * WORD;

/// The precompile over an engine.
pub(crate) fn predict(engine: Arc<Engine>, inference: Arc<Inference>) -> DynPrecompile {
    // Stateful: nobody may remember answers by call data, since they depend on the registry.
    DynPrecompile::new_stateful(PrecompileId::custom("PREDICT"), move |input| {
        run(&engine, &inference, input)
    })
}

fn run(engine: &Engine, inference: &Inference, mut input: PrecompileInput<'_>) -> PrecompileResult {
    let mut call = Call {
        engine,
        profile: inference.profile(),
        state: &mut input.internals,
        meter: GasMeter::new(input.gas.min(inference.left())),
    };
    // A DELEGATECALL or CALLCODE reports its caller's value, which does not come here.
    let paid = input.target_address == input.bytecode_address && !input.value.is_zero();
    let answer = if paid {
        Err(interface::NonPayable {}.into())
    } else {
        call.answer(input.data)
    };
    let used = call.meter.used();
    // Whatever the outcome, and whatever becomes of the frames around: the work was done.
    inference.spend(used);
    match answer {
        Ok(answer) => Ok(PrecompileOutput::new(used, answer.into(), input.reservoir)),
        Err(Failure::Refused(refusal)) => Ok(PrecompileOutput::revert(
            used,
            Failure::revert_data(&refusal),
            input.reservoir,
        )),
        Err(Failure::OutOfGas) => Ok(PrecompileOutput::halt(PrecompileHalt::OutOfGas, input.reservoir)),
        Err(Failure::Fatal(error)) => Err(error),
    }
}

/// One call of the precompile.
struct Call<'a, 'b> {
    engine: &'a Engine,
    /// The profile in force.
    profile: u32,
    state: &'a mut EvmInternals<'b>,
    meter: GasMeter,
}

/// A model as a caller names it.
#[derive(Debug, Clone, Copy)]
enum Reference<'a> {
    Name(&'a [u8]),
    Id(B256),
}

impl<'a> Reference<'a> {
    fn name(arguments: &Tuple<'a>) -> Result<Self, Failure> {
        Ok(Self::Name(arguments.bytes(0)?))
    }

    fn id(arguments: &Tuple<'a>) -> Result<Self, Failure> {
        Ok(Self::Id(arguments.word(0)?))
    }

    /// Length of the call data of `run` or `runId` with this model and `input` bytes, as Solidity encodes it.
    fn run_call_data(&self, input: u64) -> u64 {
        let padded = |length: u64| length.div_ceil(WORD as u64).saturating_mul(WORD as u64);
        let name = match self {
            Self::Name(name) => WORD as u64 + padded(name.len() as u64),
            Self::Id(_) => 0,
        };
        // Selector, two heads, length of the input.
        (SELECTOR as u64 + 3 * WORD as u64 + name).saturating_add(padded(input))
    }
}

/// A model specialised for shapes.
struct Prepared {
    plan: Arc<Plan>,
    shapes: Shapes,
    input_bytes: u64,
    /// `None` if the outputs' shapes depend on the input's values.
    output_bytes: Option<u64>,
}

impl Call<'_, '_> {
    /// The answer to call data.
    fn answer(&mut self, data: &[u8]) -> Result<Vec<u8>, Failure> {
        self.meter.charge(gas::call(data.len()))?;
        let Some((selector, arguments)) = data.split_first_chunk::<SELECTOR>() else {
            return Err(unknown_function(data));
        };
        if *selector != interface::withMaxGasCall::SELECTOR {
            return self.dispatch(*selector, Tuple::arguments(arguments));
        }
        let arguments = Tuple::arguments(arguments);
        self.meter.set_max_gas(arguments.u64(0)?);
        self.meter.charge(0)?;
        let inner = arguments.bytes(1)?;
        let (selector, arguments) = inner
            .split_first_chunk::<SELECTOR>()
            .ok_or_else(|| unknown_function(inner))?;
        let answer = self.dispatch(*selector, Tuple::arguments(arguments))?;
        self.meter.charge(gas::answer(BYTES_ENVELOPE + answer.len()))?;
        Ok(interface::withMaxGasCall::abi_encode_returns(&answer.into()))
    }

    fn dispatch(&mut self, selector: [u8; SELECTOR], arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let name = || Reference::name(&arguments);
        let id = || Reference::id(&arguments);
        match selector {
            interface::runCall::SELECTOR => self.run(name()?, arguments.bytes(1)?),
            interface::runIdCall::SELECTOR => self.run(id()?, arguments.bytes(1)?),
            interface::runTensorsCall::SELECTOR => self.run_tensors(name()?, arguments.array(1)?),
            interface::runTensorsIdCall::SELECTOR => self.run_tensors(id()?, arguments.array(1)?),
            interface::runFixedCall::SELECTOR => self.run_fixed(name()?, arguments),
            interface::runFixedIdCall::SELECTOR => self.run_fixed(id()?, arguments),
            interface::classifyCall::SELECTOR => self.classify(name()?, arguments.bytes(1)?),
            interface::classifyIdCall::SELECTOR => self.classify(id()?, arguments.bytes(1)?),
            interface::classifyFixedCall::SELECTOR => self.classify_fixed(name()?, arguments),
            interface::runBatchCall::SELECTOR => self.run_batch(name()?, arguments.array(1)?),
            interface::runBatchIdCall::SELECTOR => self.run_batch(id()?, arguments.array(1)?),
            interface::textCall::SELECTOR => self.text(name()?, arguments.bytes(1)?),
            interface::textIdCall::SELECTOR => self.text(id()?, arguments.bytes(1)?),
            interface::generateCall::SELECTOR => self.generate(name()?, &arguments),
            interface::generateIdCall::SELECTOR => self.generate(id()?, &arguments),
            interface::classifyTextCall::SELECTOR => self.classify_text(name()?, arguments.bytes(1)?),
            interface::classifyImageCall::SELECTOR => self.classify_image(name()?, arguments.bytes(1)?),
            interface::classifyFileCall::SELECTOR => self.classify_file(name()?, arguments.address(1)?),
            interface::tokenizeCall::SELECTOR => self.tokenize(name()?, arguments.bytes(1)?),
            interface::quoteTextCall::SELECTOR => self.quote_text(name()?, &arguments),
            interface::fileSizeCall::SELECTOR => self.file_size(&arguments),
            interface::resolveCall::SELECTOR => self.resolve(name()?),
            interface::signatureCall::SELECTOR => self.signature(name()?),
            interface::signatureIdCall::SELECTOR => self.signature(id()?),
            interface::quoteCall::SELECTOR => self.quote(name()?, None),
            interface::quoteIdCall::SELECTOR => self.quote(id()?, None),
            interface::quoteShapesCall::SELECTOR => self.quote(name()?, Some(arguments.array(1)?)),
            interface::quoteShapesIdCall::SELECTOR => self.quote(id()?, Some(arguments.array(1)?)),
            interface::validateCall::SELECTOR => self.validate(arguments),
            interface::validatePatchCall::SELECTOR => self.validate_patch(arguments),
            interface::packCall::SELECTOR => self.pack(arguments),
            interface::unpackCall::SELECTOR => self.unpack(arguments),
            _ => Err(interface::UnknownFunction {
                selector: selector.into(),
            }
            .into()),
        }
    }

    // ---------------------------------------------------------------- models

    /// The validated-model record that a reference stands for now, of a profile that is in force.
    fn record(&mut self, reference: Reference<'_>) -> Result<Record, Failure> {
        self.meter.charge(resolution_gas(reference)?)?;
        let record = match reference {
            Reference::Id(id) => registry::record(self.state, id)?.ok_or(interface::UnknownModelId { id })?,
            Reference::Name(text) => {
                let name = ModelName::parse(text)?;
                let record = match registry::resolve(self.state, &name)? {
                    Resolved::Id(id) => registry::record(self.state, id)?,
                    Resolved::Unknown => None,
                    Resolved::Revoked { version } => {
                        let name = name.to_string();
                        return Err(interface::ModelRevoked { name, version }.into());
                    }
                };
                record.ok_or_else(|| interface::UnknownModel {
                    name: name.to_string(),
                })?
            }
        };
        record.known_under(self.profile)
    }

    /// The compiled model of a record, loaded at most once a transaction as far as gas is concerned. Its inputs and outputs are
    /// charged for on the way, since whatever comes next looks at each of them.
    fn model(&mut self, record: &Record) -> Result<Arc<Compiled>, Failure> {
        if record.kind != Kind::Network {
            return Err(wrong_task(record.id, record.kind.name()));
        }
        self.charge_loading(record)?;
        let compiled = self.engine.model(self.state, record)?;
        self.meter.charge(ports_gas(&compiled))?;
        Ok(compiled)
    }

    /// Charges for loading what a record is of, if nobody did in this transaction.
    fn charge_loading(&mut self, record: &Record) -> Result<(), Failure> {
        let marker = U256::from_be_bytes(record.id.0);
        if self.state.tload(PREDICT, marker).is_zero() {
            self.meter.charge(record.load_gas())?;
            self.state.tstore(PREDICT, marker, U256::ONE);
        }
        Ok(())
    }

    /// Plans a model for shapes, and checks its memory.
    fn prepare(&mut self, compiled: &Compiled, shapes: Shapes) -> Result<Prepared, Failure> {
        self.meter
            .charge(gas::planning(&compiled.model.planning_work()))?;
        let plan = self
            .engine
            .plan(&compiled.model, &shapes)
            .map_err(unsupported_shape)?;
        within_memory(plan.cost().peak_memory)?;
        let input_bytes = ports::packed_bytes(&compiled.inputs, &shapes);
        let shapes_out = plan.cost().output_shapes.as_ref();
        let output_bytes = shapes_out.map(|out| ports::packed_bytes(&compiled.outputs, out));
        Ok(Prepared {
            plan,
            shapes,
            input_bytes,
            output_bytes,
        })
    }

    /// Charges for inputs, outputs, memory and every node, and runs. Decoding the inputs comes after the charge for it.
    fn execute(
        &mut self,
        prepared: &Prepared,
        inputs: impl FnOnce() -> Result<Vec<Tensor>, Failure>,
    ) -> Result<Vec<Tensor>, Failure> {
        self.meter.charge(gas::elements(prepared.input_bytes))?;
        if let Some(bytes) = prepared.output_bytes {
            self.meter.charge(gas::elements(bytes))?;
        }
        self.meter.charge(gas::memory(prepared.plan.cost().peak_memory))?;
        let inputs = inputs()?;
        let mut meter = NodeMeter {
            meter: &mut self.meter,
            stopped: None,
        };
        let outcome = self.engine.run(&prepared.plan, &inputs, &mut meter);
        match (outcome, meter.stopped) {
            (Ok(outputs), _) => Ok(outputs),
            (Err(_), Some(stopped)) => Err(stopped),
            (Err(error), None) => Err(execution_failed(error)),
        }
    }

    /// Charges for outputs whose size only the run has told: their elements, and an answer with `envelope` bytes around `data`.
    fn late_outputs(
        &mut self,
        prepared: &Prepared,
        outputs: &[Tensor],
        answer: impl Fn(&[Tensor], u64) -> (u64, u64),
    ) -> Result<(), Failure> {
        if prepared.output_bytes.is_some() {
            return Ok(());
        }
        let bytes = outputs.iter().map(|tensor| tensor.bytes().len() as u64).sum();
        let (envelope, data) = answer(outputs, bytes);
        self.meter.charge(gas::elements(bytes))?;
        Ok(self.meter.charge(answer_gas(envelope, data))?)
    }

    /// Runs a prepared plan on packed input.
    fn execute_packed(
        &mut self,
        compiled: &Compiled,
        prepared: &Prepared,
        input: &[u8],
    ) -> Result<Vec<Tensor>, Failure> {
        self.execute(prepared, || {
            ports::unpack_inputs(&compiled.inputs, &prepared.shapes, input)
        })
    }

    // ---------------------------------------------------------------- predictions

    fn run(&mut self, reference: Reference<'_>, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        let shapes = ports::shapes_of_length(&compiled.inputs, Unit::Bytes, input.len() as u64)?;
        let prepared = self.prepare(&compiled, shapes)?;
        if let Some(bytes) = prepared.output_bytes {
            self.meter.charge(answer_gas(BYTES_ENVELOPE as u64, bytes))?;
        }
        let outputs = self.execute_packed(&compiled, &prepared, input)?;
        self.late_outputs(&prepared, &outputs, |_, bytes| (BYTES_ENVELOPE as u64, bytes))?;
        Ok(interface::runCall::abi_encode_returns(&pack_outputs(&outputs)))
    }

    fn run_batch(&mut self, reference: Reference<'_>, inputs: Array<'_>) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        self.meter.charge(gas::answer(BYTES_ENVELOPE))?;
        let mut prepared: Option<(usize, Prepared)> = None;
        let mut outputs = Vec::new();
        for index in 0..inputs.length {
            let input = inputs.heads().bytes(index)?;
            // Equal lengths are equal shapes.
            let prepared = match &mut prepared {
                Some((length, prepared)) if *length == input.len() => prepared,
                stale => {
                    let shapes = ports::shapes_of_length(&compiled.inputs, Unit::Bytes, input.len() as u64)?;
                    &mut stale.insert((input.len(), self.prepare(&compiled, shapes)?)).1
                }
            };
            if let Some(bytes) = prepared.output_bytes {
                self.meter.charge(answer_gas(BYTES_ENVELOPE as u64, bytes))?;
            }
            let results = self.execute_packed(&compiled, prepared, input)?;
            self.late_outputs(prepared, &results, |_, bytes| (BYTES_ENVELOPE as u64, bytes))?;
            outputs.push(pack_outputs(&results));
        }
        Ok(interface::runBatchCall::abi_encode_returns(&outputs))
    }

    fn run_tensors(&mut self, reference: Reference<'_>, tensors: Array<'_>) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        let given = read_tensors(&compiled.inputs, tensors)?;
        let stated: Vec<Vec<u64>> = given.iter().map(|tensor| tensor.shape.clone()).collect();
        let shapes = ports::check_shapes(&compiled.inputs, &stated)?;
        for (input, ((port, shape), GivenTensor { data, .. })) in
            compiled.inputs.iter().zip(&shapes).zip(&given).enumerate()
        {
            let expected = ports::element_count(shape).saturating_mul(port.dtype.size() as u64);
            if data.len() as u64 != expected {
                let (input, expected, got) =
                    (U256::from(input), U256::from(expected), U256::from(data.len()));
                return Err(interface::WrongTensorLength { input, expected, got }.into());
            }
        }
        let prepared = self.prepare(&compiled, shapes)?;
        // Offset of the tensor; its three heads; length and sizes of the shape; length of the data.
        let tensor_envelope = |rank: usize| WORD * (1 + 3 + 1 + rank + 1);
        let ranks = prepared.plan.cost().output_shapes.as_ref();
        let ranks = ranks.map(|shapes| {
            shapes
                .iter()
                .map(|shape| tensor_envelope(shape.len()))
                .sum::<usize>()
        });
        if let (Some(envelope), Some(bytes)) = (ranks, prepared.output_bytes) {
            let envelope = (BYTES_ENVELOPE + envelope) as u64;
            self.meter.charge(answer_gas(envelope, bytes))?;
        }
        let outputs = self.execute(&prepared, || {
            let inputs = compiled
                .inputs
                .iter()
                .zip(&prepared.shapes)
                .zip(&given)
                .enumerate();
            inputs
                .map(|(input, ((port, shape), GivenTensor { data, .. }))| {
                    ports::unpack_tensor(input, port.dtype, shape, data)
                })
                .collect()
        })?;
        self.late_outputs(&prepared, &outputs, |outputs, bytes| {
            let ranks = outputs.iter().map(|tensor| tensor_envelope(tensor.shape().len()));
            ((BYTES_ENVELOPE + ranks.sum::<usize>()) as u64, bytes)
        })?;
        let outputs: Vec<interface::Tensor> = outputs
            .iter()
            .map(|tensor| interface::Tensor {
                dtype: type_code(tensor.dtype()),
                shape: tensor.shape().iter().map(|&size| size as u64).collect(),
                data: tensor.to_be_bytes().into(),
            })
            .collect();
        Ok(interface::runTensorsCall::abi_encode_returns(&outputs))
    }

    fn run_fixed(&mut self, reference: Reference<'_>, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let values = arguments.array(1)?;
        let (in_decimals, out_decimals) = (decimals(arguments.u8(2)?)?, decimals(arguments.u8(3)?)?);
        let (compiled, prepared) = self.prepare_fixed(reference, values)?;
        if let Some(shapes) = &prepared.plan.cost().output_shapes {
            let results = shapes
                .iter()
                .fold(0u64, |sum, shape| sum.saturating_add(ports::element_count(shape)));
            self.meter.charge(answer_gas(
                BYTES_ENVELOPE as u64,
                results.saturating_mul(WORD as u64),
            ))?;
            self.meter.charge(gas::fixed_values(results))?;
        }
        let outputs = self.execute_fixed(&compiled, &prepared, values, in_decimals)?;
        let elements: u64 = outputs.iter().map(|tensor| tensor.elements() as u64).sum();
        self.late_outputs(&prepared, &outputs, |_, _| {
            (BYTES_ENVELOPE as u64, elements.saturating_mul(WORD as u64))
        })?;
        if prepared.output_bytes.is_none() {
            self.meter.charge(gas::fixed_values(elements))?;
        }
        let mut results = Vec::new();
        for (output, tensor) in outputs.iter().enumerate() {
            let first = results.len();
            let scale = scale(tensor.dtype(), out_decimals)?;
            for (element, bytes) in tensor
                .to_be_bytes()
                .chunks_exact(tensor.dtype().size())
                .enumerate()
            {
                results.push(
                    scale
                        .decode(bytes)
                        .map_err(|error| result_error(error, output, element, first))?,
                );
            }
        }
        Ok(interface::runFixedCall::abi_encode_returns(&results))
    }

    fn classify(&mut self, reference: Reference<'_>, input: &[u8]) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        let shapes = ports::shapes_of_length(&compiled.inputs, Unit::Bytes, input.len() as u64)?;
        let prepared = self.prepare(&compiled, shapes)?;
        let output = self.score_output(&compiled, &prepared)?;
        let outputs = self.execute_packed(&compiled, &prepared, input)?;
        self.best_score(&prepared, &outputs, output)
    }

    fn classify_fixed(&mut self, reference: Reference<'_>, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let values = arguments.array(1)?;
        let in_decimals = decimals(arguments.u8(2)?)?;
        let (compiled, prepared) = self.prepare_fixed(reference, values)?;
        let output = self.score_output(&compiled, &prepared)?;
        let outputs = self.execute_fixed(&compiled, &prepared, values, in_decimals)?;
        self.best_score(&prepared, &outputs, output)
    }

    fn best_score(
        &mut self,
        prepared: &Prepared,
        outputs: &[Tensor],
        output: usize,
    ) -> Result<Vec<u8>, Failure> {
        if prepared.output_bytes.is_none() {
            let bytes = outputs.iter().map(|tensor| tensor.bytes().len() as u64).sum();
            self.meter.charge(gas::elements(bytes))?;
            if !ports::is_one_sample(outputs[output].shape()) {
                return Err(interface::NotAClassifier {}.into());
            }
        }
        best_score(outputs, output)
    }

    /// The output with the scores, charged for and known to be those of one sample.
    fn score_output(&mut self, compiled: &Compiled, prepared: &Prepared) -> Result<usize, Failure> {
        let shapes = prepared.plan.cost().output_shapes.as_ref();
        // What only the run tells is looked at when it has.
        let is_one_sample = |output: usize| shapes.is_none_or(|shapes| ports::is_one_sample(&shapes[output]));
        let output = ports::score_port(&compiled.outputs)
            .filter(|&output| is_one_sample(output))
            .ok_or(interface::NotAClassifier {})?;
        self.meter.charge(gas::answer(2 * WORD) + gas::fixed_values(1))?;
        Ok(output)
    }

    fn prepare_fixed(
        &mut self,
        reference: Reference<'_>,
        values: Array<'_>,
    ) -> Result<(Arc<Compiled>, Prepared), Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        let shapes = ports::shapes_of_length(&compiled.inputs, Unit::Values, values.length as u64)?;
        let prepared = self.prepare(&compiled, shapes)?;
        self.meter.charge(gas::fixed_values(values.length as u64))?;
        Ok((compiled, prepared))
    }

    fn execute_fixed(
        &mut self,
        compiled: &Compiled,
        prepared: &Prepared,
        values: Array<'_>,
        decimals: u8,
    ) -> Result<Vec<Tensor>, Failure> {
        self.execute(prepared, || {
            let mut words = values.words().enumerate();
            let mut packed = Vec::new();
            for (port, shape) in compiled.inputs.iter().zip(&prepared.shapes) {
                let scale = scale(port.dtype, decimals)?;
                let count = usize::try_from(ports::element_count(shape)).unwrap_or(usize::MAX);
                for (element, word) in words.by_ref().take(count) {
                    scale
                        .encode(I256::from_be_bytes(*word), &mut packed)
                        .map_err(|_| value_out_of_range(element))?;
                }
            }
            ports::unpack_inputs(&compiled.inputs, &prepared.shapes, &packed)
        })
    }

    // ---------------------------------------------------------------- questions

    fn resolve(&mut self, reference: Reference<'_>) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        self.meter.charge(gas::answer(WORD))?;
        Ok(interface::resolveCall::abi_encode_returns(&record.id))
    }

    fn signature(&mut self, reference: Reference<'_>) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        self.meter.charge(gas::answer(compiled.signature.len()))?;
        Ok(compiled.signature.clone())
    }

    fn quote(&mut self, reference: Reference<'_>, stated: Option<Array<'_>>) -> Result<Vec<u8>, Failure> {
        let record = self.record(reference)?;
        let compiled = self.model(&record)?;
        let shapes = match stated {
            None => ports::largest_shapes(&compiled.inputs),
            Some(stated) => ports::check_shapes(&compiled.inputs, &read_shapes(&compiled.inputs, stated)?)?,
        };
        let prepared = self.prepare(&compiled, shapes)?;
        if prepared.plan.cost().bound == Bound::Open {
            return Err(interface::DependsOnInput {}.into());
        }
        self.meter.charge(gas::answer(7 * WORD))?;
        let quote = quote(reference, &record, &compiled, &prepared)?;
        Ok(interface::quoteCall::abi_encode_returns(&quote))
    }

    fn validate(&mut self, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let address = arguments.address(0)?;
        self.meter.charge(gas::answer(VALIDATED_WORDS * WORD))?;
        let found = self
            .engine
            .validate(self.profile, self.state, &mut self.meter, address)?;
        Ok(interface::validateCall::abi_encode_returns(&found))
    }

    fn validate_patch(&mut self, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let (address, proof) = (arguments.address(0)?, arguments.bytes(1)?);
        self.meter.charge(gas::answer(VALIDATED_WORDS * WORD))?;
        let found = patch::validate(
            self.engine,
            self.profile,
            self.state,
            &mut self.meter,
            address,
            proof,
        )?;
        Ok(interface::validatePatchCall::abi_encode_returns(&found))
    }

    // ---------------------------------------------------------------- numbers

    fn pack(&mut self, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let dtype = type_of_code(arguments.u8(0)?)?;
        let values = arguments.array(1)?;
        let scale = scale(dtype, decimals(arguments.u8(2)?)?)?;
        let bytes = values.length as u64 * dtype.size() as u64;
        self.meter.charge(gas::fixed_values(values.length as u64))?;
        self.meter.charge(answer_gas(BYTES_ENVELOPE as u64, bytes))?;
        let mut packed = Vec::new();
        for (element, word) in values.words().enumerate() {
            scale
                .encode(I256::from_be_bytes(*word), &mut packed)
                .map_err(|_| value_out_of_range(element))?;
        }
        Ok(interface::packCall::abi_encode_returns(&packed.into()))
    }

    fn unpack(&mut self, arguments: Tuple<'_>) -> Result<Vec<u8>, Failure> {
        let dtype = type_of_code(arguments.u8(0)?)?;
        let data = arguments.bytes(1)?;
        let scale = scale(dtype, decimals(arguments.u8(2)?)?)?;
        let (elements, rest) = (data.len() / dtype.size(), data.len() % dtype.size());
        if rest != 0 {
            let (expected, got) = (U256::from(data.len() - rest), U256::from(data.len()));
            return Err(interface::WrongInputLength { expected, got }.into());
        }
        self.meter.charge(gas::fixed_values(elements as u64))?;
        self.meter
            .charge(answer_gas(BYTES_ENVELOPE as u64, elements as u64 * WORD as u64))?;
        let values: Vec<I256> = data
            .chunks_exact(dtype.size())
            .enumerate()
            .map(|(element, bytes)| {
                scale
                    .decode(bytes)
                    .map_err(|error| result_error(error, 0, element, 0))
            })
            .collect::<Result<_, _>>()?;
        Ok(interface::unpackCall::abi_encode_returns(&values))
    }
}

/// Charges nodes on the way and remembers what stopped them.
struct NodeMeter<'a> {
    meter: &'a mut GasMeter,
    stopped: Option<Failure>,
}

impl NodeMeter<'_> {
    fn take(&mut self, gas: u64) -> Result<(), Stop> {
        self.meter.charge(gas).map_err(|exhausted| {
            self.stopped = Some(exhausted.into());
            Stop
        })
    }
}

impl synod_model::Meter for NodeMeter<'_> {
    fn charge(&mut self, _node: usize, work: &Work) -> Result<(), Stop> {
        self.take(gas::node(work))
    }

    fn plan(&mut self, work: &Work) -> Result<(), Stop> {
        self.take(gas::plan_node(work))
    }

    fn reserve(&mut self, bytes: u64, total: u64) -> Result<(), Stop> {
        self.take(gas::memory(bytes))?;
        within_memory(total).map_err(|exceeded| {
            self.stopped = Some(exceeded);
            Stop
        })
    }
}

// -------------------------------------------------------------------- gas of parts

fn resolution_gas(reference: Reference<'_>) -> Result<u64, Failure> {
    Ok(match reference {
        Reference::Id(_) => gas::registry(RECORD_SLOTS),
        Reference::Name(text) => {
            gas::NAME + gas::registry(registry::name_slots(&ModelName::parse(text)?) + RECORD_SLOTS)
        }
    })
}

/// Words of the answer of `validate`.
const VALIDATED_WORDS: usize = 9;

/// Whether a chain gives a call so much memory.
fn within_memory(needed: u64) -> Result<(), Failure> {
    let limit = gas::MAX_PEAK_MEMORY;
    if needed > limit {
        return Err(interface::MemoryLimitExceeded { limit, needed }.into());
    }
    Ok(())
}

fn wrong_task(id: B256, task: &str) -> Failure {
    let task = task.to_owned();
    interface::WrongTask { id, task }.into()
}

fn ports_gas(compiled: &Compiled) -> u64 {
    gas::ports((compiled.inputs.len() + compiled.outputs.len()) as u64)
}

fn answer_gas(envelope: u64, data: u64) -> u64 {
    gas::answer(usize::try_from(envelope.saturating_add(data)).unwrap_or(usize::MAX))
}

/// Everything that a call charges.
fn sum(parts: impl IntoIterator<Item = u64>) -> u64 {
    parts.into_iter().fold(0, u64::saturating_add)
}

/// What `run` charges as the first call of a transaction: the same functions, added up.
fn quote(
    reference: Reference<'_>,
    record: &Record,
    compiled: &Compiled,
    prepared: &Prepared,
) -> Result<Quote, Failure> {
    let call_data = usize::try_from(reference.run_call_data(prepared.input_bytes)).unwrap_or(usize::MAX);
    let cost = prepared.plan.cost();
    let output_bytes = prepared.output_bytes.unwrap_or(u64::MAX);
    let transfer = sum([
        gas::call(call_data),
        resolution_gas(reference)?,
        ports_gas(compiled),
        gas::elements(prepared.input_bytes),
        gas::elements(output_bytes),
        answer_gas(BYTES_ENVELOPE as u64, output_bytes),
    ]);
    let load = record.load_gas();
    let planning = gas::planning(&compiled.model.planning_work());
    let execution = gas::run(cost, 0);
    Ok(Quote {
        total: sum([transfer, load, planning, execution]),
        transfer,
        load,
        planning,
        execution,
        peakMemory: cost.peak_memory,
        multiplyAdds: cost.multiply_adds,
    })
}
