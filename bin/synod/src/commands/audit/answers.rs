//! What an answer says, in numbers that a person reads.

use crate::{client::proofs::ProvenState, commands::predict::dtype, outputs::word};
use alloy_evm::{Evm as _, EvmEnv, EvmFactory as _};
use alloy_primitives::{Bytes, I256, TxKind, utils::format_units};
use alloy_sol_types::SolCall;
use revm::{
    context::{TxEnv, result::ExecutionResult},
    database::WrapDatabaseRef,
};
use synod_evm::{
    SynodEvmFactory,
    addresses::PREDICT,
    interface::IPredict::{self, Port},
    registry::Record,
    watch::Question,
};
use synod_model::Tensor;

/// Values that are shown of one output.
const SHOWN: usize = 16;

/// Decimals of a score.
const SCORE_DECIMALS: u8 = 18;

/// Gas of a question to the precompile: more than loading any model takes.
const GAS: u64 = 1 << 40;

/// The packed elements in the answer of a function that gives nothing else.
pub(super) fn packed(question: &Question<'_>, answer: &Bytes) -> Option<Bytes> {
    matches!(question.function, "run" | "runId")
        .then(|| IPredict::runCall::abi_decode_returns(answer).ok())
        .flatten()
}

/// The answer in words. `ports` gives the model's outputs, if they are needed.
pub(super) fn show(
    question: &Question<'_>,
    answer: &Bytes,
    ports: impl FnOnce() -> Option<Vec<Port>>,
) -> Option<String> {
    Some(match question.function {
        "classify" | "classifyId" | "classifyFixed" => {
            let best = IPredict::classifyCall::abi_decode_returns(answer).ok()?;
            format!(
                "label {}, score {}",
                best.label,
                units(best.score, SCORE_DECIMALS)
            )
        }
        "run" | "runId" => show_packed(&ports()?, &packed(question, answer)?)?,
        "runTensors" | "runTensorsId" => {
            let tensors = IPredict::runTensorsCall::abi_decode_returns(answer).ok()?;
            let shown = tensors.into_iter().map(|tensor| {
                let shape: Vec<usize> = tensor.shape.iter().map(|&size| size as usize).collect();
                let tensor = Tensor::from_be_bytes(dtype(tensor.dtype).ok()?, &shape, &tensor.data).ok()?;
                Some(format!("{}{shape:?} {}", tensor.dtype().name(), values(&tensor)))
            });
            shown.collect::<Option<Vec<_>>>()?.join("; ")
        }
        "runFixed" | "runFixedId" | "unpack" => {
            let results = IPredict::runFixedCall::abi_decode_returns(answer).ok()?;
            let decimals = question.answer_decimals()?;
            let shown = results.iter().take(SHOWN).map(|value| units(*value, decimals));
            list(&shown.collect::<Vec<_>>(), results.len())
        }
        "runBatch" | "runBatchId" => {
            let outputs = IPredict::runBatchCall::abi_decode_returns(answer).ok()?;
            let ports = ports()?;
            let shown = outputs
                .iter()
                .take(SHOWN)
                .map(|output| show_packed(&ports, output));
            let rest = outputs.len().saturating_sub(SHOWN);
            let more = if rest > 0 {
                format!("; … {} in all", outputs.len())
            } else {
                String::new()
            };
            shown.collect::<Option<Vec<_>>>()?.join("; ") + &more
        }
        "resolve" => IPredict::resolveCall::abi_decode_returns(answer)
            .ok()?
            .to_string(),
        "quote" | "quoteId" | "quoteShapes" | "quoteShapesId" => {
            let quote = IPredict::quoteCall::abi_decode_returns(answer).ok()?;
            format!("{} gas", quote.total)
        }
        "text" | "textId" => said(&IPredict::textCall::abi_decode_returns(answer).ok()?),
        "generate" | "generateId" => {
            let written = IPredict::generateCall::abi_decode_returns(answer).ok()?;
            let end = match written.finish {
                0 => "",
                1 => ", ended by the limit of tokens",
                _ => ", ended by the limit of gas",
            };
            format!("{}{end}", said(&written.text))
        }
        "classifyText" | "classifyImage" | "classifyFile" => {
            let best = IPredict::classifyTextCall::abi_decode_returns(answer).ok()?;
            let score = units(best.score, SCORE_DECIMALS);
            format!("label {} {}, score {score}", best.label, said(&best.name))
        }
        "validate" => {
            let found = IPredict::validateCall::abi_decode_returns(answer).ok()?;
            format!("model {}", found.id)
        }
        _ => return None,
    })
}

/// A text in quotes: nothing in it may reach a terminal as it is.
fn said(text: &str) -> String {
    format!("\"{}\"", text.escape_debug())
}

/// Packed outputs. Sizes of free dimensions follow from the length where there is one output only.
fn show_packed(ports: &[Port], packed: &[u8]) -> Option<String> {
    let mut rest = packed;
    let mut shown = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let dtype = dtype(port.dtype).ok()?;
        let is_fixed = port.shape.iter().all(|dimension| dimension.symbol.is_empty());
        let bytes = if is_fixed {
            let sizes = port.shape.iter().map(|dimension| dimension.size);
            let elements = sizes.fold(1u64, u64::saturating_mul);
            usize::try_from(elements).ok()?.checked_mul(dtype.size())?
        } else if index + 1 == ports.len() {
            rest.len()
        } else {
            return None;
        };
        let (data, behind) = rest.split_at_checked(bytes)?;
        let tensor = Tensor::from_be_bytes(dtype, &[bytes / dtype.size()], data).ok()?;
        shown.push(format!("{} {}", port.name, values(&tensor)));
        rest = behind;
    }
    rest.is_empty().then(|| shown.join("; "))
}

fn values(tensor: &Tensor) -> String {
    let shown = tensor.elements().min(SHOWN);
    let words: Vec<String> = (0..shown).map(|index| word(tensor, index)).collect();
    list(&words, tensor.elements())
}

fn list(shown: &[String], all: usize) -> String {
    let more = if all > shown.len() {
        format!(" … {all} in all")
    } else {
        String::new()
    };
    format!("[{}{more}]", shown.join(" "))
}

/// A fixed-point value.
fn units(value: I256, decimals: u8) -> String {
    let text = format_units(value, decimals).unwrap_or_else(|_| value.to_string());
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

/// The outputs of a model, as the engine tells them in a state that has its record.
pub(super) fn outputs(
    factory: &SynodEvmFactory,
    mut env: EvmEnv,
    state: &ProvenState,
    record: Option<&Record>,
) -> Option<Vec<Port>> {
    let question = IPredict::signatureIdCall { id: record?.id };
    env.block_env.basefee = 0;
    env.block_env.gas_limit = GAS;
    let call = TxEnv {
        kind: TxKind::Call(PREDICT),
        gas_limit: GAS,
        chain_id: None,
        data: question.abi_encode().into(),
        ..Default::default()
    };
    let mut evm = factory.create_evm(WrapDatabaseRef(state), env);
    let outcome = evm.transact_raw(call).ok()?;
    let ExecutionResult::Success { output, .. } = outcome.result else {
        return None;
    };
    let signature = IPredict::signatureIdCall::abi_decode_returns(output.data()).ok()?;
    Some(signature.outputs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::I256;

    #[test]
    fn answers_read_as_numbers() {
        assert_eq!(units(I256::try_from(-1_250_000).unwrap(), 6), "-1.25");
        assert_eq!(units(I256::try_from(7).unwrap(), 0), "7");
        assert_eq!(units(I256::ZERO, 18), "0");

        let call = IPredict::classifyCall {
            model: "a/b".into(),
            input: Bytes::new(),
        }
        .abi_encode();
        let question = Question::of(&call).unwrap();
        let answer = IPredict::classifyCall::abi_encode_returns(&IPredict::classifyReturn {
            label: alloy_primitives::U256::from(2),
            score: I256::try_from(990_000_000_000_000_000u64).unwrap(),
        });
        assert_eq!(
            show(&question, &answer.into(), || None).unwrap(),
            "label 2, score 0.99"
        );
        assert_eq!(show(&question, &Bytes::new(), || None), None);
    }

    #[test]
    fn packed_outputs_are_cut_by_their_ports() {
        let port = |name: &str, dtype, size, symbol: &str| Port {
            name: name.into(),
            dtype,
            shape: vec![IPredict::Dimension {
                symbol: symbol.into(),
                size,
            }],
        };
        let ports = [port("c", 1, 2, ""), port("d", 2, 9, "n")];
        let packed = [&1.5f32.to_be_bytes()[..], &(-2f32).to_be_bytes(), &[7, 8]].concat();
        assert_eq!(show_packed(&ports, &packed).unwrap(), "c [1.5 -2]; d [7 8]");
        assert_eq!(show_packed(&ports, &packed[..7]), None);
        assert_eq!(show_packed(&ports[..1], &packed), None, "bytes are left over");
        let reversed = [ports[1].clone(), ports[0].clone()];
        assert_eq!(
            show_packed(&reversed, &packed),
            None,
            "where the first ends is not known"
        );
    }
}
