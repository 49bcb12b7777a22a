//! LabelEncoder: from numbers to numbers by a table. `ai.onnx.ml`, versions 2 and 4 (1 knows strings only).
//!
//! Of several equal keys the last counts, as in other runtimes; a NaN key matches NaN.

use super::{PER_OPERATION, missing, wrong};
use crate::{
    Tensor,
    ops::{
        DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work, kernel,
        streamed,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// `LabelEncoder`
pub(super) const LABEL_ENCODER: Definition = Definition {
    name: "LabelEncoder",
    since: &[2, 4],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let keys = side(
            node,
            ["keys_int64s", "keys_floats", "keys_strings", "keys_tensor"],
        )?;
        let values = side(
            node,
            [
                "values_int64s",
                "values_floats",
                "values_strings",
                "values_tensor",
            ],
        )?;
        let (Some(keys), Some(values)) = (keys, values) else {
            return Err(missing("keys_int64s and values_int64s, or their like,"));
        };
        let default_int = node.attributes.int("default_int64")?.unwrap_or(-1);
        let default_float = node.attributes.float("default_float")?.unwrap_or(-0.0);
        node.attributes.bytes("default_string")?;
        let default = if node.version >= 4 {
            node.attributes.tensor("default_tensor")?
        } else {
            None
        };
        if keys.elements() != values.elements() {
            return Err(OpError::Shape(format!(
                "{} keys have {} values",
                keys.elements(),
                values.elements()
            )));
        }
        let default = match default {
            Some(tensor) if tensor.dtype() == values.dtype() && tensor.elements() == 1 => {
                tensor.to_le_bytes()
            }
            Some(tensor) => {
                return Err(wrong(
                    "default_tensor",
                    tensor.dtype(),
                    "one element of the values' type",
                ));
            }
            None => match values.dtype() {
                DType::F32 => default_float.to_le_bytes().to_vec(),
                DType::F64 => f64::from(default_float).to_le_bytes().to_vec(),
                // the low bytes of a negative number are that number, narrower
                dtype => default_int.to_le_bytes()[..dtype.size()].to_vec(),
            },
        };
        let table = bits(&keys).zip(values.bytes().chunks_exact(values.dtype().size()));
        Ok(Box::new(LabelEncoder {
            from: keys.dtype(),
            to: values.dtype(),
            table: Arc::new(table.map(|(key, value)| (key, value.to_vec())).collect()),
            default,
        }))
    },
};

const TYPES: &[DType] = &[DType::I64, DType::F32, DType::I32, DType::I16, DType::F64];

/// Keys or values from whichever attribute has them.
fn side(node: &mut NodeSpec<'_>, names: [&'static str; 4]) -> Result<Option<Tensor>, OpError> {
    let [ints, floats, strings, tensor] = names;
    let given_ints = node.attributes.ints(ints)?;
    let given_floats = node.attributes.floats(floats)?;
    if node.attributes.strings(strings)?.is_some() {
        return Err(wrong(strings, "a list of strings", "numbers"));
    }
    let given_tensor = if node.version >= 4 {
        node.attributes.tensor(tensor)?
    } else {
        None
    };
    let made = |made: Result<Tensor, crate::TensorError>| {
        made.map(Some).map_err(|error| OpError::Value(error.to_string()))
    };
    match (given_ints, given_floats, given_tensor) {
        (Some(ints), None, None) => made(Tensor::from_slice(DType::I64, &[ints.len()], &ints)),
        (None, Some(floats), None) => made(Tensor::from_slice(DType::F32, &[floats.len()], &floats)),
        (None, None, Some(given)) if TYPES.contains(&given.dtype()) => Ok(Some(given)),
        (None, None, None) => Ok(None),
        _ => Err(wrong(
            tensor,
            "given twice, or of another type",
            "one list of numbers",
        )),
    }
}

/// Elements as bits by which equal numbers are equal: zeros have one sign, and there is one NaN.
fn bits(tensor: &Tensor) -> impl Iterator<Item = u64> + '_ {
    let (size, dtype) = (tensor.dtype().size(), tensor.dtype());
    tensor
        .bytes()
        .chunks_exact(size)
        .map(move |bytes| key(dtype, bytes))
}

fn key(dtype: DType, bytes: &[u8]) -> u64 {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    let negative_zero = match dtype {
        DType::F32 => 1 << 31,
        DType::F64 => 1 << 63,
        _ => return bits,
    };
    if bits == negative_zero { 0 } else { bits }
}

#[derive(Debug, Clone)]
struct LabelEncoder {
    from: DType,
    to: DType,
    /// Shared by all plans.
    table: Arc<BTreeMap<u64, Vec<u8>>>,
    default: Vec<u8>,
}

impl Operator for LabelEncoder {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.like(0, self.from)?;
        Ok(vec![TensorType::new(self.to, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        // a search visits a node of the tree for every two or three doublings
        let levels = 2 + u64::from(self.table.len().max(1).ilog2());
        Work {
            arithmetic: (outputs[0].elements() as u64).saturating_mul(levels * 2 * PER_OPERATION),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, _: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let of = self.clone();
        Ok(kernel(move |io: &mut Io<'_, '_>| {
            let x = io.input(0).bytes();
            let Some(out) = io.output(0) else { return Ok(()) };
            let values = out.bytes_mut().chunks_exact_mut(of.to.size());
            for (x, y) in x.chunks_exact(of.from.size()).zip(values) {
                y.copy_from_slice(of.table.get(&key(of.from, x)).unwrap_or(&of.default));
            }
            Ok(())
        }))
    }
}
