//! The calls of the precompile in a transaction, seen as they happen: who asks, what, which model that is at this very
//! moment, and the answer.
//!
//! [`Watch`] is an inspector. It changes nothing: what it needs of the registry it reads beside the journal, so that
//! nothing becomes warm.

use crate::{
    abi::Tuple,
    addresses::{MODEL_REGISTRY, PREDICT},
    interface::IPredict::{self as interface, IPredictCalls},
    name::ModelName,
    registry::{self, Publication, Record},
    wire::SELECTOR,
};
use alloy_evm::{
    Database,
    eth::EthEvmContext,
    revm::{
        Inspector,
        context_interface::{ContextTr, JournalTr},
        interpreter::{
            CallInputs, CallOutcome, CallScheme, CreateInputs, CreateOutcome, InstructionResult,
            InterpreterResult,
        },
    },
};
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::SolCall;

/// A model as call data name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// By name, which need not be a well-formed one.
    Name(&'a [u8]),
    /// By id.
    Id(B256),
}

/// What call data ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question<'a> {
    /// The function of `IPredict`; where it is called through `withMaxGas`, the inner one.
    pub function: &'static str,
    /// The caller's own limit, if the call goes through `withMaxGas`.
    pub max_gas: Option<u64>,
    /// The model, if the function takes one.
    pub model: Option<Asked<'a>>,
    /// The arguments of the function.
    arguments: &'a [u8],
}

impl<'a> Question<'a> {
    /// Reads call data as the precompile does; `None` if it would refuse them as no call of its interface.
    #[must_use]
    pub fn of(data: &'a [u8]) -> Option<Self> {
        let (selector, arguments) = data.split_first_chunk::<SELECTOR>()?;
        if *selector != interface::withMaxGasCall::SELECTOR {
            return Self::plain(*selector, arguments);
        }
        let arguments = Tuple::arguments(arguments);
        let max_gas = arguments.u64(0).ok()?;
        let (selector, arguments) = arguments.bytes(1).ok()?.split_first_chunk::<SELECTOR>()?;
        (*selector != interface::withMaxGasCall::SELECTOR).then_some(())?;
        Some(Self {
            max_gas: Some(max_gas),
            ..Self::plain(*selector, arguments)?
        })
    }

    fn plain(selector: [u8; SELECTOR], arguments: &'a [u8]) -> Option<Self> {
        let function = IPredictCalls::name_by_selector(selector)?;
        let tuple = Tuple::arguments(arguments);
        // The interface's rule: what takes an id says so at the end of its name.
        let model = match function {
            "validate" | "validatePatch" | "pack" | "unpack" | "fileSize" => None,
            _ if function.ends_with("Id") => tuple.word(0).ok().map(Asked::Id),
            _ => tuple.bytes(0).ok().map(Asked::Name),
        };
        Some(Self {
            function,
            max_gas: None,
            model,
            arguments,
        })
    }

    /// Whether a network runs to answer it.
    #[must_use]
    pub fn is_prediction(&self) -> bool {
        let predicting = ["run", "classify", "text", "generate"];
        predicting.iter().any(|verb| self.function.starts_with(verb))
    }

    /// What the network reads: the encoded arguments behind the model for tensors, values and batches, of packed inputs the packed
    /// elements alone, of texts and pictures their bytes.
    #[must_use]
    pub fn input(&self) -> &'a [u8] {
        match self.function {
            "run" | "runId" | "classify" | "classifyId" | "text" | "textId" | "generate" | "generateId"
            | "classifyText" | "classifyImage" | "tokenize" => {
                Tuple::arguments(self.arguments).bytes(1).unwrap_or_default()
            }
            _ => self.arguments,
        }
    }

    /// The form of what the network reads; `None` if no network runs, or if the arguments are no encoding.
    #[must_use]
    pub fn shape(&self) -> Option<InputShape> {
        /// Tensors and dimensions that are told, at most: call data may claim any number at little cost.
        const TOLD: usize = 64;
        let arguments = Tuple::arguments(self.arguments);
        match self.function {
            "run" | "runId" | "classify" | "classifyId" => {
                let bytes = arguments.bytes(1).ok()?.len();
                Some(InputShape::Packed { bytes })
            }
            "runFixed" | "runFixedId" | "classifyFixed" | "classifyFixedId" => Some(InputShape::Fixed {
                values: arguments.array(1).ok()?.length,
                decimals: arguments.u8(2).ok()?,
            }),
            "runBatch" | "runBatchId" => Some(InputShape::Batch {
                samples: arguments.array(1).ok()?.length,
            }),
            "runTensors" | "runTensorsId" => {
                let tensors = arguments.array(1).ok()?;
                let told = 0..tensors.length.min(TOLD);
                let read = told.map(|index| {
                    let tensor = tensors.heads().tuple(index).ok()?;
                    let shape = tensor.array(1).ok()?;
                    let sizes = (0..shape.length.min(TOLD)).map(|axis| shape.heads().u64(axis).ok());
                    Some((tensor.u8(0).ok()?, sizes.collect::<Option<_>>()?))
                });
                Some(InputShape::Tensors(read.collect::<Option<_>>()?))
            }
            _ => None,
        }
    }

    /// The decimals of the answer's fixed-point values, where they are an argument.
    #[must_use]
    pub fn answer_decimals(&self) -> Option<u8> {
        let index = match self.function {
            "runFixed" | "runFixedId" => 3,
            "unpack" => 2,
            _ => return None,
        };
        Tuple::arguments(self.arguments).u8(index).ok()
    }

    /// The answer of the function in the return data of the call; `None` if these are not what `withMaxGas` returns.
    #[must_use]
    pub fn answer(&self, output: &Bytes) -> Option<Bytes> {
        match self.max_gas {
            None => Some(output.clone()),
            Some(_) => interface::withMaxGasCall::abi_decode_returns(output).ok(),
        }
    }
}

/// The form of a network's input in call data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputShape {
    /// Packed elements of all inputs.
    Packed {
        /// Their length.
        bytes: usize,
    },
    /// Fixed-point values of all inputs.
    Fixed {
        /// How many.
        values: usize,
        /// How many of their decimals are behind the point.
        decimals: u8,
    },
    /// Packed elements, many times.
    Batch {
        /// How many times.
        samples: usize,
    },
    /// Tensors, each with its element type (ONNX's code) and its sizes, slowest axis first.
    Tensors(Vec<(u8, Vec<u64>)>),
}

/// How a call of the precompile ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With an answer.
    Answered,
    /// With a typed revert.
    Refused,
    /// Without gas, or without having begun (too deep, too little ether to pass on).
    Halted,
}

/// A call of the precompile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PredictCall {
    /// How many frames are around it: 0 for a transaction to the precompile itself.
    pub depth: usize,
    /// The account that asks.
    pub caller: Address,
    /// The kind of call, in the EVM's words.
    pub scheme: &'static str,
    /// Call data.
    pub input: Bytes,
    /// Gas that was passed.
    pub gas_limit: u64,
    /// Gas that it used.
    pub gas_used: u64,
    /// How it ended.
    pub ended: Ended,
    /// Return or revert data.
    pub output: Bytes,
    /// Whether a frame around it was reverted, so that nothing but its gas remains.
    pub undone: bool,
    /// The version that its name stood for when it began.
    pub version: Option<Publication>,
    /// The record of its model when it began.
    pub record: Option<Record>,
}

/// Collects the calls of the precompile.
#[derive(Debug, Default)]
pub struct Watch {
    calls: Vec<PredictCall>,
    open: Vec<Open>,
}

/// A frame that has not ended.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Calls seen before it.
    before: usize,
    /// Whether it is one.
    is_call: bool,
}

impl Watch {
    /// The calls, in the order in which they began.
    #[must_use]
    pub fn into_calls(self) -> Vec<PredictCall> {
        self.calls
    }

    fn begin(&mut self, call: Option<PredictCall>) {
        self.open.push(Open {
            before: self.calls.len(),
            is_call: call.is_some(),
        });
        self.calls.extend(call);
    }

    fn end(&mut self, result: &InterpreterResult) {
        let Some(Open { before, is_call }) = self.open.pop() else {
            return;
        };
        if is_call && let Some(call) = self.calls.get_mut(before) {
            call.gas_used = result.gas.total_gas_spent();
            call.output = result.output.clone();
            call.ended = match result.result {
                _ if result.is_ok() => Ended::Answered,
                InstructionResult::Revert => Ended::Refused,
                _ => Ended::Halted,
            };
        } else if !result.is_ok() {
            self.calls
                .iter_mut()
                .skip(before)
                .for_each(|call| call.undone = true);
        }
    }
}

/// What the registry says of a model now. A state that cannot be read says nothing, and lets the transaction fail by itself.
fn look_up<DB: Database>(
    context: &mut EthEvmContext<DB>,
    asked: Asked<'_>,
) -> (Option<Publication>, Option<Record>) {
    let mut read = |slot| peek(context, slot);
    let version = match asked {
        Asked::Id(_) => None,
        Asked::Name(text) => ModelName::parse(text)
            .ok()
            .and_then(|name| registry::version_of(&name, &mut read).ok().flatten()),
    };
    let id = match asked {
        Asked::Id(id) => Some(id),
        Asked::Name(_) => version.map(|version| version.id),
    };
    let record = id.and_then(|id| registry::record_of(id, &mut read).ok().flatten());
    (version, record)
}

/// A slot of the registry as the transaction sees it, read without a trace in the journal.
fn peek<DB: Database>(context: &mut EthEvmContext<DB>, slot: U256) -> Result<U256, DB::Error> {
    let registry = context.journal_ref().evm_state().get(&MODEL_REGISTRY);
    let touched = registry.and_then(|account| account.storage.get(&slot));
    match touched.map(|value| value.present_value) {
        Some(value) => Ok(value),
        None => context.journal_mut().db_mut().storage(MODEL_REGISTRY, slot),
    }
}

impl<DB: Database> Inspector<EthEvmContext<DB>> for Watch {
    fn call(&mut self, context: &mut EthEvmContext<DB>, inputs: &mut CallInputs) -> Option<CallOutcome> {
        let call = (inputs.bytecode_address == PREDICT).then(|| {
            let input = inputs.input.bytes(context);
            let asked = Question::of(&input).and_then(|question| question.model);
            let (version, record) = asked.map_or((None, None), |asked| look_up(context, asked));
            let (scheme, caller) = match inputs.scheme {
                CallScheme::Call => ("CALL", inputs.caller),
                CallScheme::StaticCall => ("STATICCALL", inputs.caller),
                // The code that asks is that of the account in whose name it runs.
                CallScheme::CallCode => ("CALLCODE", inputs.target_address),
                CallScheme::DelegateCall => ("DELEGATECALL", inputs.target_address),
            };
            PredictCall {
                depth: self.open.len(),
                caller,
                scheme,
                input,
                gas_limit: inputs.gas_limit,
                gas_used: 0,
                ended: Ended::Halted,
                output: Bytes::new(),
                undone: false,
                version,
                record,
            }
        });
        self.begin(call);
        None
    }

    fn call_end(&mut self, _: &mut EthEvmContext<DB>, _: &CallInputs, outcome: &mut CallOutcome) {
        self.end(&outcome.result);
    }

    fn create(&mut self, _: &mut EthEvmContext<DB>, _: &mut CreateInputs) -> Option<CreateOutcome> {
        self.begin(None);
        None
    }

    fn create_end(&mut self, _: &mut EthEvmContext<DB>, _: &CreateInputs, outcome: &mut CreateOutcome) {
        self.end(&outcome.result);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read_as_the_precompile_reads_them() {
        let run = interface::runCall {
            model: "orchard/apples".into(),
            input: vec![1, 2, 3].into(),
        }
        .abi_encode();
        let question = Question::of(&run).unwrap();
        assert_eq!((question.function, question.max_gas), ("run", None));
        assert_eq!(question.model, Some(Asked::Name(b"orchard/apples")));
        assert_eq!(question.input(), [1, 2, 3]);
        assert!(question.is_prediction());

        let bounded = interface::withMaxGasCall {
            maxGas: 77,
            call: run.into(),
        };
        let encoded = bounded.abi_encode();
        let question = Question::of(&encoded).unwrap();
        assert_eq!((question.function, question.max_gas), ("run", Some(77)));
        let output = interface::withMaxGasCall::abi_encode_returns(&vec![9].into());
        assert_eq!(question.answer(&output.into()), Some(vec![9].into()));
        let twice = interface::withMaxGasCall {
            maxGas: 1,
            call: encoded.into(),
        };
        assert_eq!(Question::of(&twice.abi_encode()), None);

        let id = B256::repeat_byte(7);
        let fixed = interface::runFixedIdCall {
            id,
            values: vec![],
            inDecimals: 2,
            outDecimals: 5,
        }
        .abi_encode();
        let question = Question::of(&fixed).unwrap();
        assert_eq!(question.model, Some(Asked::Id(id)));
        assert_eq!(question.answer_decimals(), Some(5));
        assert_eq!(Question::of(b"\x01\x02\x03\x04"), None);
        assert_eq!(Question::of(b""), None);
    }
}
