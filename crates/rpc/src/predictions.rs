//! What the calls of the precompile in a trace ask for.
//!
//! To a tracer a prediction is a call with call data. The frames that geth's call tracer gives get one more field where they
//! are such a call, which tools that do not know it pass over:
//!
//! ```json
//! "predict": { "function": "classifyFixed", "model": "cellar/wine@1", "input": { "values": 13, "decimals": 6 } }
//! ```

use alloy_primitives::hex;
use alloy_rpc_types_trace::geth::GethTrace;
use serde_json::{Map, Value, json};
use synod_evm::{
    addresses::PREDICT,
    watch::{Asked, InputShape, Question},
};

/// Adds the field to the frames of a call trace; other traces stay as they are.
pub(crate) fn named(trace: GethTrace) -> serde_json::Result<GethTrace> {
    let GethTrace::CallTracer(frame) = trace else {
        return Ok(trace);
    };
    let mut frame = serde_json::to_value(frame)?;
    // Frames are at most 1,024 deep, but a stack of its own costs nothing to be sure.
    let mut frames = vec![&mut frame];
    while let Some(frame) = frames.pop() {
        let Value::Object(frame) = frame else { continue };
        if let Some(question) = asked(frame) {
            frame.insert("predict".into(), question);
        }
        if let Some(Value::Array(calls)) = frame.get_mut("calls") {
            frames.extend(calls);
        }
    }
    Ok(GethTrace::JS(frame))
}

fn asked(frame: &Map<String, Value>) -> Option<Value> {
    let to = frame.get("to")?.as_str()?;
    if !to.eq_ignore_ascii_case(&hex::encode_prefixed(PREDICT)) {
        return None;
    }
    let input = hex::decode(frame.get("input")?.as_str()?).ok()?;
    let question = Question::of(&input)?;
    let mut told = Map::new();
    told.insert("function".into(), question.function.into());
    match question.model {
        Some(Asked::Name(name)) => told.insert("model".into(), String::from_utf8_lossy(name).into()),
        Some(Asked::Id(id)) => told.insert("id".into(), json!(id)),
        None => None,
    };
    if let Some(max_gas) = question.max_gas {
        told.insert("maxGas".into(), json!(format!("{max_gas:#x}")));
    }
    if let Some(shape) = question.shape() {
        told.insert("input".into(), described(shape));
    }
    Some(told.into())
}

fn described(shape: InputShape) -> Value {
    match shape {
        InputShape::Packed { bytes } => json!({ "bytes": bytes }),
        InputShape::Fixed { values, decimals } => json!({ "values": values, "decimals": decimals }),
        InputShape::Batch { samples } => json!({ "samples": samples }),
        InputShape::Tensors(tensors) => {
            let tensors = tensors.into_iter();
            let tensors = tensors.map(|(dtype, shape)| json!({ "dtype": dtype, "shape": shape }));
            json!({ "tensors": tensors.collect::<Vec<_>>() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{Address, Bytes};
    use alloy_rpc_types_trace::geth::CallFrame;
    use alloy_sol_types::SolCall;
    use synod_evm::interface::IPredict;

    fn frame(to: Address, input: Vec<u8>, calls: Vec<CallFrame>) -> CallFrame {
        CallFrame {
            to: Some(to),
            input: Bytes::from(input),
            calls,
            ..Default::default()
        }
    }

    fn shown(frame: CallFrame) -> Value {
        match named(GethTrace::CallTracer(frame)).unwrap() {
            GethTrace::JS(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn predictions_are_named_wherever_they_are_and_nothing_else_changes() {
        let run = IPredict::runCall {
            model: "cellar/wine".into(),
            input: vec![0; 52].into(),
        };
        let inner = IPredict::runTensorsIdCall {
            id: [7; 32].into(),
            inputs: vec![IPredict::Tensor {
                dtype: 1,
                shape: vec![2, 3],
                data: vec![0; 24].into(),
            }],
        };
        let limited = IPredict::withMaxGasCall {
            maxGas: 255,
            call: inner.abi_encode().into(),
        };
        let leaves = vec![
            frame(PREDICT, run.abi_encode(), vec![]),
            frame(PREDICT, limited.abi_encode(), vec![]),
            frame(PREDICT, vec![1, 2, 3, 4], vec![]),
        ];
        let plain = frame(Address::repeat_byte(1), run.abi_encode(), leaves);
        let mut found = shown(plain.clone());
        let calls = found["calls"].as_array_mut().unwrap();
        let taken: Vec<Value> = calls
            .iter_mut()
            .map(|call| {
                call.as_object_mut()
                    .unwrap()
                    .remove("predict")
                    .unwrap_or_default()
            })
            .collect();
        assert_eq!(
            taken,
            [
                json!({"function": "run", "model": "cellar/wine", "input": {"bytes": 52}}),
                json!({
                    "function": "runTensorsId",
                    "id": format!("0x{}", "07".repeat(32)),
                    "maxGas": "0xff",
                    "input": {"tensors": [{"dtype": 1, "shape": [2, 3]}]},
                }),
                Value::Null,
            ]
        );
        assert_eq!(found, serde_json::to_value(plain).unwrap());
    }
}
