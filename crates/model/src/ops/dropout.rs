//! Dropout at inference: the output is the input, the mask is all true. ONNX `Dropout`, versions 7, 10, 12, 13 and 22.
//!
//! Training mode (an input from version 12) would draw random numbers and is refused unless it is known to be off.

use super::{Definition, FLOATS, Inputs, Kernel, OpError, Operator, TensorType, Work, kernel};
use crate::{DType, tensor::TensorViewMut};

/// `Dropout`
pub(super) const DROPOUT: Definition = Definition {
    name: "Dropout",
    since: &[7, 10, 12, 13, 22],
    inputs: 1..=3,
    outputs: 1..=2,
    parse: |node| {
        if node.version < 12 {
            node.limit_inputs(1)?;
            node.attributes.float("ratio")?;
        } else {
            node.attributes.int("seed")?;
        }
        // Version 7 gives the mask in the data's type.
        Ok(Box::new(Dropout {
            bool_mask: node.version >= 10,
        }))
    },
};

#[derive(Debug)]
struct Dropout {
    bool_mask: bool,
}

impl Operator for Dropout {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let data = inputs.of_types(0, FLOATS)?;
        if inputs.optional(2).is_some() && inputs.known_i64s(2)?.iter().any(|&training| training != 0) {
            return Err(OpError::Value(
                "training mode is on: only inference is supported".into(),
            ));
        }
        let mask = if self.bool_mask { DType::Bool } else { data.dtype };
        Ok(vec![
            data.tensor_type(),
            TensorType::new(mask, data.shape.to_vec())?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        Work::moving(inputs, outputs)
    }

    fn specialize(&self, _inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let one: &'static [u8] = match outputs[1].dtype {
            DType::F64 => &[0, 0, 0, 0, 0, 0, 0xf0, 0x3f],
            DType::F16 => &[0, 0x3c],
            DType::BF16 => &[0x80, 0x3f],
            DType::F32 => &[0, 0, 0x80, 0x3f],
            _ => &[1],
        };
        Ok(kernel(move |io| {
            let data = io.input(0).bytes();
            if let Some(output) = io.output(0) {
                output.bytes_mut().copy_from_slice(data);
            }
            let mask = io.output(1).map_or(&mut [][..], TensorViewMut::bytes_mut);
            mask.chunks_exact_mut(one.len())
                .for_each(|element| element.copy_from_slice(one));
            Ok(())
        }))
    }

    fn is_view(&self) -> bool {
        true
    }
}
