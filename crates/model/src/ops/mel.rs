//! MelWeightMatrix: triangles on the mel scale that turn a spectrum into bands. Version 17.
//!
//! In `f64`, mel(f) = 2595 × (ln(1 + f ÷ 700) ÷ ln 10) and its inverse 700 × (pow(10, m ÷ 2595) − 1), and converted once to the
//! output's type.

use super::{
    DType, Definition, FLOATS, INDICES, Inputs, Kernel, OpError, Operator, TensorType, Work,
    cast::{cast, dtype_attribute},
    kernel_with_scratch,
};
use crate::tensor::TensorView;
use synod_numerics::{float::Float, math};

/// `MelWeightMatrix`
pub(super) const MEL_WEIGHT_MATRIX: Definition = Definition {
    name: "MelWeightMatrix",
    since: &[17],
    inputs: 5..=5,
    outputs: 1..=1,
    parse: |node| {
        let dtype = dtype_attribute(node, "output_datatype")?.unwrap_or(DType::F32);
        Ok(Box::new(MelWeightMatrix { dtype }))
    },
};

#[derive(Debug)]
struct MelWeightMatrix {
    dtype: DType,
}

/// The edges of the bands, as numbers of bins: two more than bands.
#[derive(Debug, Clone)]
struct Bands {
    bins: usize,
    edges: Vec<usize>,
}

impl MelWeightMatrix {
    fn bands(&self, inputs: &Inputs<'_>) -> Result<Bands, OpError> {
        let whole = |index: usize| -> Result<i64, OpError> {
            inputs.of_types(index, INDICES)?;
            match inputs.known_i64s(index)?[..] {
                [number] if (1..=1 << 31).contains(&number) => Ok(number),
                ref other => Err(OpError::Value(format!(
                    "input {index} is {other:?}, not one number of 1 to 2^31"
                ))),
            }
        };
        let edge = |index: usize| -> Result<f64, OpError> {
            let dtype = inputs.of_types(index, FLOATS)?.dtype;
            let value = inputs.known(index)?;
            if value.elements() != 1 {
                return Err(OpError::Shape(format!("input {index} is not one number")));
            }
            let mut wide = [0f64];
            let view = TensorView {
                dtype,
                shape: &[1],
                bytes: value.bytes(),
            };
            super::fourier::widen(&view, &mut wide);
            Ok(wide[0])
        };
        let (bands, length, rate) = (whole(0)?, whole(1)?, whole(2)?);
        let (lower, upper) = (edge(3)?, edge(4)?);
        let bins = length as usize / 2 + 1;
        TensorType::new(self.dtype, vec![bins, bands as usize])?;
        let mel = |hertz: f64| 2595.0 * (Float::log(1.0 + hertz / 700.0) / Float::log(10.0f64));
        let (low, high) = (mel(lower), mel(upper));
        let step = (high - low) / (bands + 2) as f64;
        let mut edges = Vec::with_capacity(bands as usize + 2);
        for band in 0..bands + 2 {
            let mel = band as f64 * step + low;
            let hertz = 700.0 * (math::pow(10.0, mel / 2595.0) - 1.0);
            let bin = ((length + 1) as f64 * hertz / rate as f64).floor();
            if !(0.0..bins as f64 + 1.0).contains(&bin) {
                return Err(OpError::Value(format!(
                    "the bands end at {lower} and {upper} hertz, beyond the {bins} bins of the spectrum"
                )));
            }
            edges.push(bin as usize);
        }
        if !edges.is_sorted() || edges[..=bands as usize].iter().any(|&edge| edge >= bins) {
            return Err(OpError::Value(format!(
                "the bands from {lower} to {upper} hertz do not ascend within the {bins} bins of the spectrum"
            )));
        }
        Ok(Bands { bins, edges })
    }
}

impl Operator for MelWeightMatrix {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let Bands { bins, edges } = self.bands(inputs)?;
        Ok(vec![TensorType::new(self.dtype, vec![bins, edges.len() - 2])?])
    }

    fn work(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, bands) = (outputs[0].elements() as u64, outputs[0].shape[1] as u64);
        Work {
            arithmetic: elements
                .saturating_mul(300)
                .saturating_add(bands.saturating_mul(20_000)),
            bytes: elements.saturating_mul(24),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (Bands { bins, edges }, elements) = (self.bands(inputs)?, outputs[0].elements());
        Ok(kernel_with_scratch(8 * elements, move |io| {
            let (_, outputs, scratch) = io.split();
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let bytes = &mut scratch[..8 * elements];
            let weights: &mut [f64] = bytemuck::cast_slice_mut(bytes);
            weights.fill(0.0);
            let bands = edges.len() - 2;
            for (band, edge) in edges.windows(3).enumerate() {
                let [left, centre, right] = [edge[0], edge[1], edge[2]];
                if left == centre {
                    weights[centre * bands + band] = 1.0;
                }
                for bin in left..=centre {
                    if left < centre {
                        weights[bin * bands + band] = (bin - left) as f64 / (centre - left) as f64;
                    }
                }
                for bin in centre..right.min(bins) {
                    weights[bin * bands + band] = (right - bin) as f64 / (right - centre) as f64;
                }
            }
            let view = TensorView {
                dtype: DType::F64,
                shape: &[elements],
                bytes,
            };
            cast(&view, out);
            Ok(())
        }))
    }
}
