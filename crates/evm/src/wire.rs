//! Between the interface's types and the model's: what is left of reading arguments and writing answers.

use crate::{
    abi::Array,
    chunks::fatal,
    failure::Failure,
    fixed::{FixedError, MAX_DECIMALS, Scale},
    interface::IPredict as interface,
    ports::{self, Dimension, Port},
};
use alloy_primitives::{Bytes, U256};
use alloy_sol_types::SolCall;
use synod_model::{DType, PlanError, RunError, Tensor, limits::MAX_RANK};

/// Decimals of the scores of `classify`.
pub(crate) const SCORE_DECIMALS: u8 = 18;

/// Bytes of the selector.
pub(crate) const SELECTOR: usize = 4;

pub(crate) fn unknown_function(data: &[u8]) -> Failure {
    let mut selector = [0; SELECTOR];
    let length = data.len().min(SELECTOR);
    selector[..length].copy_from_slice(&data[..length]);
    interface::UnknownFunction {
        selector: selector.into(),
    }
    .into()
}

pub(crate) fn decimals(decimals: u8) -> Result<u8, Failure> {
    if decimals > MAX_DECIMALS {
        return Err(interface::DecimalsOutOfRange { decimals }.into());
    }
    Ok(decimals)
}

pub(crate) fn scale(dtype: DType, decimals: u8) -> Result<Scale, Failure> {
    Scale::new(dtype, decimals).ok_or_else(|| interface::DecimalsOutOfRange { decimals }.into())
}

pub(crate) fn type_of_code(code: u8) -> Result<DType, Failure> {
    DType::from_onnx_code(i32::from(code)).ok_or_else(|| interface::UnsupportedType { dtype: code }.into())
}

pub(crate) fn type_code(dtype: DType) -> u8 {
    u8::try_from(dtype.onnx_code()).expect("ONNX's codes of element types are below 256")
}

pub(crate) fn value_out_of_range(element: usize) -> Failure {
    interface::ValueOutOfRange {
        element: U256::from(element),
    }
    .into()
}

/// Why an element of an output cannot be told in fixed point; `first` is the number of elements before this output.
pub(crate) fn result_error(error: FixedError, output: usize, element: usize, first: usize) -> Failure {
    match error {
        FixedError::NotFinite => interface::OutputNotFinite {
            output: U256::from(output),
            element: U256::from(element),
        }
        .into(),
        FixedError::OutOfRange => value_out_of_range(first + element),
    }
}

pub(crate) fn pack_outputs(outputs: &[Tensor]) -> Bytes {
    let mut packed = Vec::new();
    for tensor in outputs {
        packed.extend_from_slice(&tensor.to_be_bytes());
    }
    packed.into()
}

/// The graph does not fit together at these shapes. The inputs' own shapes were checked before, so a node or an output is at
/// fault; where it is an output, the number is the largest there is.
pub(crate) fn unsupported_shape(error: PlanError) -> Failure {
    let node = match error {
        PlanError::Node { node, .. } => U256::from(node.index),
        _ => U256::MAX,
    };
    interface::UnsupportedShape { node }.into()
}

/// A run that failed though it was paid for.
///
/// A value that an operator refuses is the caller's: a typed revert. All else is this node's own fault, such as a library
/// that changed the rounding mode, and other nodes do not share it: it must stop the transaction here instead of becoming an
/// outcome that only this node sees.
pub(crate) fn execution_failed(error: RunError) -> Failure {
    match error {
        RunError::Node { node, .. } => interface::ExecutionFailed {
            node: U256::from(node.index),
        }
        .into(),
        RunError::Plan(PlanError::Node { node, .. }) => interface::ExecutionFailed {
            node: U256::from(node.index),
        }
        .into(),
        // Another shape or type than the output declares.
        RunError::Plan(_) => interface::ExecutionFailed { node: U256::MAX }.into(),
        fault => fatal(fault).into(),
    }
}

/// The answer of `classify`: label and score of output number `output`.
pub(crate) fn best_score(outputs: &[Tensor], output: usize) -> Result<Vec<u8>, Failure> {
    let scores = outputs.get(output).ok_or(interface::NotAClassifier {})?;
    let (dtype, data) = (scores.dtype(), scores.to_be_bytes());
    if let Some(element) = ports::first_not_finite(dtype, &data) {
        return Err(result_error(FixedError::NotFinite, output, element, 0));
    }
    let (label, best) = ports::arg_max(dtype, &data).ok_or(interface::NotAClassifier {})?;
    let score = scale(dtype, SCORE_DECIMALS)?
        .decode(best)
        .map_err(|error| result_error(error, output, label, 0))?;
    Ok(interface::classifyCall::abi_encode_returns(
        &interface::classifyReturn {
            label: U256::from(label),
            score,
        },
    ))
}

/// A tensor as the caller states it.
pub(crate) struct GivenTensor<'a> {
    pub(crate) shape: Vec<u64>,
    pub(crate) data: &'a [u8],
}

/// Shapes and data of the caller's tensors, whose number and types are the declared ones.
pub(crate) fn read_tensors<'a>(ports: &[Port], tensors: Array<'a>) -> Result<Vec<GivenTensor<'a>>, Failure> {
    check_count(ports, tensors.length)?;
    ports
        .iter()
        .enumerate()
        .map(|(input, port)| {
            let tensor = tensors.heads().tuple(input)?;
            let (expected, got) = (type_code(port.dtype), tensor.u8(0)?);
            if got != expected {
                return Err(interface::WrongInputType {
                    input: U256::from(input),
                    expected,
                    got,
                }
                .into());
            }
            Ok(GivenTensor {
                shape: read_shape(input, port, tensor.array(1)?)?,
                data: tensor.bytes(2)?,
            })
        })
        .collect()
}

pub(crate) fn read_shapes(ports: &[Port], shapes: Array<'_>) -> Result<Vec<Vec<u64>>, Failure> {
    check_count(ports, shapes.length)?;
    ports
        .iter()
        .enumerate()
        .map(|(input, port)| read_shape(input, port, shapes.heads().array(input)?))
        .collect()
}

fn check_count(ports: &[Port], got: usize) -> Result<(), Failure> {
    if got == ports.len() {
        return Ok(());
    }
    Err(interface::WrongInputCount {
        expected: U256::from(ports.len()),
        got: U256::from(got),
    }
    .into())
}

/// A shape of bounded rank: longer ones are refused before they are copied.
fn read_shape(input: usize, port: &Port, sizes: Array<'_>) -> Result<Vec<u64>, Failure> {
    if sizes.length > MAX_RANK {
        let (expected, got) = (U256::from(port.shape.len()), U256::from(sizes.length));
        return Err(interface::WrongInputRank {
            input: U256::from(input),
            expected,
            got,
        }
        .into());
    }
    Ok((0..sizes.length)
        .map(|axis| sizes.heads().u64(axis))
        .collect::<Result<_, _>>()?)
}

/// The answer of `signature`.
pub(crate) fn signature_answer(inputs: &[Port], outputs: &[Port]) -> Vec<u8> {
    interface::signatureCall::abi_encode_returns(&interface::signatureReturn {
        inputs: inputs.iter().map(port_answer).collect(),
        outputs: outputs.iter().map(port_answer).collect(),
    })
}

fn port_answer(port: &Port) -> interface::Port {
    let shape = port
        .shape
        .iter()
        .map(|dimension| match dimension {
            Dimension::Fixed(size) => interface::Dimension {
                symbol: String::new(),
                size: *size,
            },
            Dimension::Free { symbol, maximum } => interface::Dimension {
                symbol: symbol.clone(),
                size: *maximum,
            },
        })
        .collect();
    interface::Port {
        name: port.name.clone(),
        dtype: type_code(port.dtype),
        shape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_node_is_no_outcome_of_the_transaction() {
        let failure = execution_failed(RunError::FloatEnvironment);
        assert!(matches!(failure, Failure::Fatal(_)), "{failure:?}");
    }
}
