//! RotaryEmbedding: turns pairs of elements of each head by the angle of their position. ONNX version 23.
//!
//! Of a pair (x, y) with cosine c and sine s: x' = fma(c, x, −(s × y)), y' = fma(c, y, s × x).

use super::{
    AttributeError, Definition, FLOATS, INDICES, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, Known, MixedKernel, MixedOperation, Operands, on_mixed, required},
    streamed,
};
use synod_numerics::{fast, reference};

/// `RotaryEmbedding`
pub(super) const ROTARY_EMBEDDING: Definition = Definition {
    name: "RotaryEmbedding",
    since: &[23],
    inputs: 3..=4,
    outputs: 1..=1,
    parse: |node| {
        let mut count = |name| {
            let value = node.attributes.int(name)?.unwrap_or(0);
            usize::try_from(value).map_err(|_| {
                OpError::from(AttributeError::Value {
                    name,
                    value: value.to_string(),
                    expected: "0 or more",
                })
            })
        };
        Ok(Box::new(RotaryEmbedding {
            heads: count("num_heads")?,
            rotated: count("rotary_embedding_dim")?,
            interleaved: node.attributes.flag("interleaved", false)?,
        }))
    },
};

#[derive(Debug, Clone)]
struct RotaryEmbedding {
    heads: usize,
    rotated: usize,
    interleaved: bool,
}

/// Dimensions of a run.
#[derive(Debug, Clone)]
struct Sized {
    batch: usize,
    heads: usize,
    rows: usize,
    size: usize,
    /// Half of the elements of a head that turn.
    half: usize,
    rows_first: bool,
    interleaved: bool,
    /// Rows of the caches, where positions choose one.
    positions: Option<usize>,
}

impl RotaryEmbedding {
    fn sized(&self, inputs: &Inputs<'_>) -> Result<Sized, OpError> {
        let (x, cosines, sines) = (inputs.required(0)?, inputs.required(1)?, inputs.required(2)?);
        let refuse = |why: &str| OpError::Shape(format!("input of shape {:?}: {why}", x.shape));
        let (batch, heads, rows, size, rows_first) = match *x.shape {
            [batch, heads, rows, size] => (batch, heads, rows, size, false),
            [batch, rows, whole] if self.heads > 0 && whole.is_multiple_of(self.heads) => {
                (batch, self.heads, rows, whole / self.heads, true)
            }
            _ => {
                return Err(refuse(
                    "needs four dimensions, or three and num_heads that divides the last",
                ));
            }
        };
        let rotated = if self.rotated == 0 { size } else { self.rotated };
        if rotated > size || !rotated.is_multiple_of(2) {
            return Err(refuse(
                "rotary_embedding_dim must be even and at most the head's size",
            ));
        }
        let half = rotated / 2;
        let positions = match inputs.optional(3) {
            None => {
                if cosines.shape != [batch, rows, half] {
                    return Err(refuse(
                        "without positions the caches have a row for each of its rows",
                    ));
                }
                None
            }
            Some(positions) => match *cosines.shape {
                [count, width] if width == half && positions.shape == [batch, rows] => Some(count),
                _ => return Err(refuse("positions or caches do not fit")),
            },
        };
        if cosines.shape != sines.shape {
            return Err(refuse("the caches of cosines and sines differ in shape"));
        }
        Ok(Sized {
            batch,
            heads,
            rows,
            size,
            half,
            rows_first,
            interleaved: self.interleaved,
            positions,
        })
    }
}

impl Operator for RotaryEmbedding {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        inputs.like(1, x.dtype)?;
        inputs.like(2, x.dtype)?;
        if inputs.optional(3).is_some() {
            inputs.of_types(3, INDICES)?;
        }
        self.sized(inputs)?;
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let rows = self
            .sized(inputs)
            .map_or(0, |sized| (sized.batch * sized.heads * sized.rows) as u64);
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(40)
                .saturating_add(rows.saturating_mul(1_500)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        Ok(on_mixed(&self.sized(inputs)?, inputs, outputs))
    }
}

impl MixedOperation for Sized {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn MixedKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> MixedKernel<T> for Sized {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(
        &self,
        path: Path,
        operands: &Operands<'_, '_, T>,
        outputs: &mut [&mut [T]],
        _scratch: &mut [T],
    ) -> Result<(), OpError> {
        let [x, cosines, sines] = std::array::from_fn(|index| required(operands.floats, index));
        let positions = operands.views.get(3).copied().flatten();
        let positions = positions.map(|view| match view.dtype() {
            crate::DType::I64 => view.as_slice::<i64>().to_vec(),
            _ => view.as_slice::<i32>().iter().map(|&p| p.into()).collect(),
        });
        let y = &mut *outputs[0];
        if self.size == 0 {
            return Ok(());
        }
        let rows = x.chunks_exact(self.size).zip(y.chunks_exact_mut(self.size));
        for (index, (x, y)) in rows.enumerate() {
            let (batch, row) = if self.rows_first {
                let row = index / self.heads;
                (row / self.rows, row % self.rows)
            } else {
                (index / (self.heads * self.rows), index % self.rows)
            };
            let place = batch * self.rows + row;
            let angle = match (&positions, self.positions) {
                (Some(positions), Some(count)) => {
                    let position = positions[place];
                    match usize::try_from(position) {
                        Ok(position) if position < count => position,
                        _ => {
                            return Err(OpError::Value(format!(
                                "position {position} is not within the {count} rows of the caches"
                            )));
                        }
                    }
                }
                _ => place,
            };
            let cosines = &cosines[angle * self.half..][..self.half];
            let sines = &sines[angle * self.half..][..self.half];
            match path {
                Path::Fast => fast::rotate(self.interleaved, x, cosines, sines, y),
                Path::Reference => reference::rotate(self.interleaved, x, cosines, sines, y),
            }
        }
        Ok(())
    }
}
