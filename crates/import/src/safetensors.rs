//! A graph and its weights in two files: ONNX for the structure, safetensors for the tensors.
//!
//! Whoever trains in PyTorch exports the graph once and saves `model.safetensors` after every epoch. Tensors find their places by name:
//! they replace initialisers, or become initialisers where the graph lists its weights as inputs (exports without parameters).

use crate::ImportError;
use bytes::Bytes;
use prost::Message;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeSet;
use synod_model::{
    DType,
    proto::{TensorProto, ValueInfoProto, decode_model},
};

/// Names that an error lists.
const SHOWN: usize = 5;

/// Puts the tensors of a safetensors file into an ONNX file, by name.
///
/// Every floating-point tensor must find its place: weights that silently stay what they were are the worst that can happen here. Tensors of integers
/// without a place are left out (PyTorch counts the batches that a normalisation saw).
///
/// # Errors
/// If one of the files cannot be read, a tensor has another type or shape than the graph says, or a floating-point tensor has no place.
pub fn with_safetensors(onnx: Bytes, weights: &[u8]) -> Result<Bytes, ImportError> {
    let fail = |why: String| ImportError::Safetensors { why };
    let tensors = SafeTensors::deserialize(weights).map_err(|error| fail(error.to_string()))?;
    let mut model = decode_model(onnx).map_err(|error| ImportError::Onnx {
        why: error.to_string(),
    })?;
    let graph = model.graph.as_mut().ok_or_else(|| ImportError::Onnx {
        why: "it has no graph".into(),
    })?;
    let mut placed = BTreeSet::new();
    for constant in &mut graph.initializer {
        let Some(name) = constant.name.clone() else {
            continue;
        };
        if let Ok(tensor) = tensors.tensor(&name) {
            *constant = replacement(constant, &name, &tensor)?;
            placed.insert(name);
        }
    }
    let mut failure = None;
    graph.input.retain(|input| {
        let name = input.name.as_deref().unwrap_or_default();
        let Ok(tensor) = tensors.tensor(name) else {
            return true;
        };
        if placed.insert(name.to_owned()) {
            match declared(input, name).and_then(|constant| replacement(&constant, name, &tensor)) {
                Ok(constant) => graph.initializer.push(constant),
                Err(error) => failure = Some(error),
            }
        }
        false // old files list initialisers among the inputs too
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let unplaced: Vec<&str> = tensors
        .iter()
        .filter(|(name, tensor)| !placed.contains(*name) && is_float(tensor.dtype()))
        .map(|(name, _)| name)
        .collect();
    if !unplaced.is_empty() || placed.is_empty() {
        let free = graph
            .initializer
            .iter()
            .filter_map(|constant| constant.name.as_deref());
        return Err(ImportError::UnplacedTensors {
            count: unplaced.len(),
            unplaced: some(unplaced.into_iter()),
            free: some(free.filter(|name| !placed.contains(*name))),
        });
    }
    Ok(model.encode_to_vec().into())
}

/// The first names, with commas between them.
fn some<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    let more = if names.len() > SHOWN { ", …" } else { "" };
    names.truncate(SHOWN);
    match names.is_empty() {
        true => "none".into(),
        false => names.join(", ") + more,
    }
}

fn is_float(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16)
}

/// The ONNX type of a tensor's elements.
fn element_type(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::U16 => DType::U16,
        Dtype::I16 => DType::I16,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::U32 => DType::U32,
        Dtype::I32 => DType::I32,
        Dtype::F32 => DType::F32,
        Dtype::U64 => DType::U64,
        Dtype::I64 => DType::I64,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

/// An initialiser with a tensor's elements in place of its own.
fn replacement(
    constant: &TensorProto,
    name: &str,
    tensor: &TensorView<'_>,
) -> Result<TensorProto, ImportError> {
    let mismatch = |expected: String, got: String| ImportError::TensorMismatch {
        name: name.to_owned(),
        expected,
        got,
    };
    let code = constant.data_type.unwrap_or(0);
    let found = element_type(tensor.dtype());
    if found.map(DType::onnx_code) != Some(code) {
        return Err(mismatch(
            DType::from_onnx_code(code).map_or_else(|| format!("type {code}"), |dtype| dtype.to_string()),
            found.map_or_else(|| format!("{:?}", tensor.dtype()), |dtype| dtype.to_string()),
        ));
    }
    let dims: Vec<i64> = tensor.shape().iter().map(|&size| size as i64).collect();
    if dims != constant.dims {
        let turned = dims.iter().rev().eq(&constant.dims) && dims.len() == 2;
        let hint = if turned {
            " (the exporter turned it: export it as it is)"
        } else {
            ""
        };
        return Err(mismatch(
            format!("{:?}", constant.dims),
            format!("{dims:?}{hint}"),
        ));
    }
    Ok(TensorProto {
        dims,
        data_type: Some(code),
        name: Some(name.to_owned()),
        raw_data: Some(Bytes::copy_from_slice(tensor.data())),
        ..Default::default()
    })
}

/// What an input of the graph says of itself, as an initialiser without elements.
fn declared(input: &ValueInfoProto, name: &str) -> Result<TensorProto, ImportError> {
    use synod_model::proto::DimensionValue;
    let kind = input.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let shape = kind.and_then(|kind| kind.shape.as_ref());
    let dims = shape.and_then(|shape| {
        let sizes = shape.dim.iter().map(|dim| match dim.value {
            Some(DimensionValue::Value(size)) => Some(size),
            _ => None,
        });
        sizes.collect::<Option<Vec<i64>>>()
    });
    let (Some(dims), Some(code)) = (dims, kind.and_then(|kind| kind.elem_type)) else {
        return Err(ImportError::TensorMismatch {
            name: name.to_owned(),
            expected: "an input with a type and a fixed shape".into(),
            got: "one without".into(),
        });
    };
    Ok(TensorProto {
        dims,
        data_type: Some(code),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure is the test's")]

    use super::*;
    use synod_model::{
        ImportOptions, NoExternalData, import_onnx,
        proto::{
            DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
            TensorTypeProto, TypeProto,
        },
    };

    fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
        let dim = dims.iter().map(|&size| DimensionProto {
            value: Some(DimensionValue::Value(size)),
        });
        ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: Some(1),
                    shape: Some(TensorShapeProto { dim: dim.collect() }),
                }),
                ..Default::default()
            }),
        }
    }
    use synod_model::proto::DimensionValue;

    fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
        TensorProto {
            dims: dims.to_vec(),
            data_type: Some(1),
            name: Some(name.into()),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            ..Default::default()
        }
    }

    /// `y = x · fc.weight + fc.bias`, with these initialisers, and these weights as inputs.
    fn file(initializer: Vec<TensorProto>, inputs: Vec<ValueInfoProto>) -> Bytes {
        let node = NodeProto {
            input: ["x", "fc.weight", "fc.bias"].map(String::from).to_vec(),
            output: vec!["y".into()],
            op_type: Some("Gemm".into()),
            ..Default::default()
        };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(GraphProto {
                node: vec![node],
                name: Some("g".into()),
                initializer,
                input: [vec![value("x", &[1, 2])], inputs].concat(),
                output: vec![value("y", &[1, 2])],
                ..Default::default()
            }),
            opset_import: vec![OperatorSetIdProto {
                domain: None,
                version: Some(17),
            }],
            ..Default::default()
        };
        model.encode_to_vec().into()
    }

    fn saved(tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> Vec<u8> {
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, data)| (*name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
        safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
    }

    fn le(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn trained() -> Vec<(&'static str, Dtype, Vec<usize>, Vec<u8>)> {
        vec![
            ("fc.weight", Dtype::F32, vec![2, 2], le(&[1.0, 2.0, 3.0, 4.0])),
            ("fc.bias", Dtype::F32, vec![2], le(&[5.0, 6.0])),
            (
                "norm.num_batches_tracked",
                Dtype::I64,
                vec![],
                vec![7, 0, 0, 0, 0, 0, 0, 0],
            ),
        ]
    }

    #[test]
    fn tensors_replace_initialisers_or_fill_inputs() {
        let old = [
            floats("fc.weight", &[2, 2], &[0.0; 4]),
            floats("fc.bias", &[2], &[0.0; 2]),
        ];
        let bare = [value("fc.weight", &[2, 2]), value("fc.bias", &[2])];
        let ids = [
            (old.to_vec(), vec![]),
            (vec![], bare.to_vec()),
            (old.to_vec(), bare.to_vec()),
        ]
        .map(|(initializer, inputs)| {
            let onnx = with_safetensors(file(initializer, inputs), &saved(&trained())).unwrap();
            import_onnx(&onnx, &NoExternalData, &ImportOptions::default())
                .unwrap()
                .id()
        });
        let new = [
            floats("fc.weight", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
            floats("fc.bias", &[2], &[5.0, 6.0]),
        ];
        let whole = import_onnx(
            &file(new.to_vec(), vec![]),
            &NoExternalData,
            &ImportOptions::default(),
        )
        .unwrap();
        assert!(ids.iter().all(|id| *id == whole.id()));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let initializers = || {
            vec![
                floats("fc.weight", &[2, 2], &[0.0; 4]),
                floats("fc.bias", &[2], &[0.0; 2]),
            ]
        };
        let refused = |initializers, tensors: &[_]| {
            with_safetensors(file(initializers, vec![]), &saved(tensors))
                .unwrap_err()
                .to_string()
        };
        let mut other = trained();
        other[0].0 = "head.weight";
        let error = refused(initializers(), &other);
        assert!(
            error.contains("head.weight") && error.contains("fc.weight"),
            "{error}"
        );
        let mut other = trained();
        other[1].2 = vec![1, 2];
        let error = refused(initializers(), &other);
        assert!(
            error.contains("fc.bias") && error.contains("[2]") && error.contains("[1, 2]"),
            "{error}"
        );
        let mut other = trained();
        (other[1].1, other[1].3) = (Dtype::F16, vec![0; 4]);
        let error = refused(initializers(), &other);
        assert!(error.contains("fc.bias") && error.contains("f16"), "{error}");
        // nothing that fits, and files that are none
        let error = refused(initializers(), &trained()[2..]);
        assert!(error.contains("none"), "{error}");
        let good = saved(&trained());
        for cut in [0, 7, 9, good.len() - 1] {
            assert!(matches!(
                with_safetensors(file(initializers(), vec![]), &good[..cut]),
                Err(ImportError::Safetensors { .. })
            ));
        }
        assert!(matches!(
            with_safetensors(Bytes::from_static(&[8]), &good),
            Err(ImportError::Onnx { .. })
        ));
        let huge = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
        assert!(with_safetensors(file(initializers(), vec![]), &huge).is_err());
    }
}
