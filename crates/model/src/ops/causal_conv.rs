//! CausalConvWithState: a convolution of each channel over its past, which it carries from call to call. ONNX version 27.
//!
//! Each output element is one chain over the taps, ascending, from +0.0; then the bias; then, if asked for, y × sigmoid(y).

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    streamed,
};
use synod_numerics::{fast, reference};

/// `CausalConvWithState`
pub(super) const CAUSAL_CONV_WITH_STATE: Definition = Definition {
    name: "CausalConvWithState",
    since: &[27],
    inputs: 2..=4,
    outputs: 1..=2,
    parse: |node| {
        let activation = node.attributes.string("activation")?;
        let swish = match activation.as_deref() {
            None | Some("none") => false,
            Some("silu" | "swish") => true,
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "activation",
                    value: other.to_owned(),
                    expected: "none, silu, swish",
                }
                .into());
            }
        };
        Ok(Box::new(CausalConv { swish }))
    },
};

#[derive(Debug, Clone)]
struct CausalConv {
    swish: bool,
}

#[derive(Debug, Clone)]
struct Sized {
    swish: bool,
    rows: usize,
    channels: usize,
    length: usize,
    taps: usize,
}

impl CausalConv {
    fn sized(&self, inputs: &Inputs<'_>) -> Result<Sized, OpError> {
        let (x, w) = (inputs.required(0)?, inputs.required(1)?);
        match (x.shape, w.shape) {
            (&[batch, channels, length], &[wc, 1, taps]) if wc == channels && taps > 0 => Ok(Sized {
                swish: self.swish,
                rows: batch * channels,
                channels,
                length,
                taps,
            }),
            _ => Err(OpError::Shape(format!(
                "input of shape {:?} and weight of shape {:?}: [batch, channels, length] and [channels, 1, taps] are needed",
                x.shape, w.shape
            ))),
        }
    }
}

impl Operator for CausalConv {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        inputs.like(1, x.dtype)?;
        let sized = self.sized(inputs)?;
        let state = vec![x.shape[0], sized.channels, sized.taps - 1];
        for (index, shape) in [(2, vec![sized.channels]), (3, state.clone())] {
            if inputs.optional(index).is_some() && inputs.like(index, x.dtype)?.shape != shape {
                return Err(OpError::Shape(format!("input {index} needs the shape {shape:?}")));
            }
        }
        // what the channels are laid out in, past and present together, must be a possible tensor too
        let whole = sized.length.saturating_add(sized.taps - 1);
        TensorType::new(x.dtype, vec![x.shape[0], sized.channels, whole])?;
        Ok(vec![x.tensor_type(), TensorType::new(x.dtype, state)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(sized) = self.sized(inputs) else {
            return Work::default();
        };
        let factor = if outputs[0].dtype == DType::F64 { 4 } else { 1 };
        let per_element = (sized.taps as u64)
            .saturating_mul(8)
            .saturating_add(if self.swish { 250 } else { 30 });
        Work {
            arithmetic: ((sized.rows * sized.length.next_multiple_of(8)) as u64)
                .saturating_mul(per_element)
                .saturating_mul(factor)
                .saturating_add((sized.rows as u64).saturating_mul(2_000 + 400 * sized.taps as u64)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> u64 {
        let taps = self.sized(inputs).map_or(0, |sized| sized.taps as u64);
        (outputs[0].elements() as u64).saturating_mul(taps)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_floats(&self.sized(inputs)?, inputs, outputs))
    }
}

impl FloatOperation for Sized {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Sized {
    fn scratch(&self) -> usize {
        self.length + self.taps - 1
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (x, w) = (required(inputs, 0), required(inputs, 1));
        let given = |index: usize| inputs.get(index).copied().flatten();
        let [y, present] = outputs else {
            unreachable!("inference gives two outputs")
        };
        let carried = self.taps - 1;
        let whole = &mut scratch[..carried + self.length];
        for row in 0..self.rows {
            let channel = row % self.channels;
            match given(3) {
                Some(past) => whole[..carried].copy_from_slice(&past[row * carried..][..carried]),
                None => whole[..carried].fill(T::ZERO),
            }
            whole[carried..].copy_from_slice(&x[row * self.length..][..self.length]);
            if !y.is_empty() {
                let out = &mut y[row * self.length..][..self.length];
                let w = &w[channel * self.taps..][..self.taps];
                let bias = given(2).map(|bias| bias[channel]);
                match path {
                    Path::Fast => fast::causal_conv(whole, w, bias, self.swish, out),
                    Path::Reference => reference::causal_conv(whole, w, bias, self.swish, out),
                }
            }
            if !present.is_empty() {
                present[row * carried..][..carried].copy_from_slice(&whole[self.length..]);
            }
        }
    }
}
