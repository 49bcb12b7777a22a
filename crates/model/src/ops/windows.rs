//! Windows of signal processing: HannWindow, HammingWindow and BlackmanWindow (version 17).
//!
//! Of cosines, in `f64`, and rounded or converted once to the output's type.

use super::{
    DType, Definition, INDICES, Inputs, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
    cast::{cast, dtype_attribute},
    kernel_with_scratch,
};
use crate::tensor::TensorView;
use synod_numerics::math;

/// `HannWindow`
pub(super) const HANN_WINDOW: Definition = Definition {
    name: "HannWindow",
    since: &[17],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| SignalWindow::parse(node, [0.5, 0.5, 0.0]),
};

/// `HammingWindow`
pub(super) const HAMMING_WINDOW: Definition = Definition {
    name: "HammingWindow",
    since: &[17],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| SignalWindow::parse(node, [25.0 / 46.0, 21.0 / 46.0, 0.0]),
};

/// `BlackmanWindow`
pub(super) const BLACKMAN_WINDOW: Definition = Definition {
    name: "BlackmanWindow",
    since: &[17],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| SignalWindow::parse(node, [0.42, 0.5, 0.08]),
};

#[derive(Debug, Clone, Copy)]
struct SignalWindow {
    /// a0 − a1·cos(2πi/N) + a2·cos(4πi/N)
    factors: [f64; 3],
    periodic: bool,
    dtype: DType,
}

impl SignalWindow {
    fn parse(node: &mut NodeSpec<'_>, factors: [f64; 3]) -> Result<Box<dyn Operator>, OpError> {
        let periodic = node.attributes.flag("periodic", true)?;
        let dtype = dtype_attribute(node, "output_datatype")?.unwrap_or(DType::F32);
        Ok(Box::new(Self {
            factors,
            periodic,
            dtype,
        }))
    }

    fn element(&self, index: usize, size: usize) -> f64 {
        let [a, b, c] = self.factors;
        let period = if self.periodic { size } else { size - 1 };
        // a single element that ends where it begins is the middle
        let turn = if period == 0 {
            0.5
        } else {
            index as f64 / period as f64
        };
        let angle = turn * (2.0 * std::f64::consts::PI);
        (a - b * math::cos(angle)) + c * math::cos(2.0 * angle)
    }
}

impl Operator for SignalWindow {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        inputs.of_types(0, INDICES)?;
        match inputs.known_i64s(0)?[..] {
            [size] if size >= 0 => Ok(vec![TensorType::new(
                self.dtype,
                vec![usize::try_from(size).unwrap_or(usize::MAX)],
            )?]),
            ref other => Err(OpError::Value(format!(
                "the size of a window is {other:?}, not one number from 0"
            ))),
        }
    }

    fn work(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = outputs[0].elements() as u64;
        Work {
            arithmetic: elements.saturating_mul(6_000),
            bytes: elements.saturating_mul(16),
        }
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (window, size) = (*self, outputs[0].elements());
        Ok(kernel_with_scratch(size * size_of::<f64>(), move |io| {
            let (_, outputs, scratch) = io.split();
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let bytes = &mut scratch[..size * size_of::<f64>()];
            let values: &mut [f64] = bytemuck::cast_slice_mut(bytes);
            for (index, value) in values.iter_mut().enumerate() {
                *value = window.element(index, size);
            }
            let view = TensorView {
                dtype: DType::F64,
                shape: &[size],
                bytes,
            };
            cast(&view, out);
            Ok(())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_begin_low_and_are_one_in_the_middle() {
        let hann = SignalWindow {
            factors: [0.5, 0.5, 0.0],
            periodic: false,
            dtype: DType::F32,
        };
        assert_eq!(hann.element(0, 5), 0.0);
        assert_eq!(hann.element(2, 5), 1.0);
        assert_eq!(hann.element(0, 1), 1.0);
        let periodic = SignalWindow {
            periodic: true,
            ..hann
        };
        assert_eq!(periodic.element(2, 4), 1.0);
    }
}
