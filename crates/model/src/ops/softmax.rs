//! Softmax, LogSoftmax and Hardmax. ONNX versions 1, 11 and 13 of all three.
//!
//! With m the maximum: e^(x - m) / Σ e^(x - m), or (x - m) - log Σ e^(x - m). Every step is rounded, the sum is made in
//! sixteen lanes. Hardmax is 1 where ArgMax points and 0 elsewhere. Until version 11 all dimensions from `axis` on are one; from 13 only `axis` itself is normalised.

use super::{
    Definition, FLOATS, Inputs, Kernel, NodeSpec, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    normalize_axis, streamed,
};
use synod_numerics::{fast, reference, shape::ReduceShape};

/// `Softmax`
pub(super) const SOFTMAX: Definition = Definition {
    name: "Softmax",
    since: &[1, 11, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Softmax::parse(node, Kind::Softmax),
};

/// `LogSoftmax`
pub(super) const LOG_SOFTMAX: Definition = Definition {
    name: "LogSoftmax",
    since: &[1, 11, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Softmax::parse(node, Kind::LogSoftmax),
};

/// `Hardmax`
pub(super) const HARDMAX: Definition = Definition {
    name: "Hardmax",
    since: &[1, 11, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Softmax::parse(node, Kind::Hardmax),
};

/// What is made of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Softmax,
    LogSoftmax,
    Hardmax,
}

#[derive(Debug)]
struct Softmax {
    axis: i64,
    /// All dimensions from the axis on are one.
    flattens: bool,
    kind: Kind,
}

impl Softmax {
    fn parse(node: &mut NodeSpec<'_>, kind: Kind) -> Result<Box<dyn Operator>, OpError> {
        let flattens = node.version < 13;
        let axis = node
            .attributes
            .int("axis")?
            .unwrap_or(if flattens { 1 } else { -1 });
        Ok(Box::new(Softmax { axis, flattens, kind }))
    }

    fn shape(&self, shape: &[usize]) -> Result<ReduceShape, OpError> {
        // a flattening softmax may have its axis behind the last dimension
        let axis = if self.flattens && self.axis == shape.len() as i64 {
            shape.len()
        } else if shape.is_empty() && matches!(self.axis, -1 | 0) {
            return Ok(ReduceShape {
                outer: 1,
                length: 1,
                inner: 1,
            });
        } else {
            normalize_axis(self.axis, shape.len())?
        };
        let product = |dims: &[usize]| dims.iter().product();
        Ok(if self.flattens {
            ReduceShape {
                outer: product(&shape[..axis]),
                length: product(&shape[axis..]),
                inner: 1,
            }
        } else {
            ReduceShape {
                outer: product(&shape[..axis]),
                length: shape[axis],
                inner: product(&shape[axis + 1..]),
            }
        })
    }
}

impl Operator for Softmax {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        self.shape(x.shape)?;
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (elements, columns) = self.shape(&outputs[0].shape).map_or((0, 0), |shape| {
            (
                (shape.outer * shape.length * shape.inner) as u64,
                (shape.outer * shape.inner) as u64,
            )
        });
        // one exponential each, maximum, sum and quotient; along other axes than the last, columns are gathered
        let per_element = if self.shape(&outputs[0].shape).is_ok_and(|shape| shape.inner == 1) {
            130
        } else {
            300
        };
        Work {
            arithmetic: elements
                .saturating_mul(per_element)
                .saturating_add(columns.saturating_mul(3_400)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = self.shape(&outputs[0].shape)?;
        Ok(on_floats(
            &Concrete {
                shape,
                kind: self.kind,
            },
            inputs,
            outputs,
        ))
    }
}

#[derive(Clone)]
struct Concrete {
    shape: ReduceShape,
    kind: Kind,
}

impl FloatOperation for Concrete {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Concrete {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, out) = (required(inputs, 0), &mut *outputs[0]);
        match (path, self.kind) {
            (Path::Fast, Kind::Softmax) => fast::softmax(&self.shape, x, out),
            (Path::Fast, Kind::LogSoftmax) => fast::log_softmax(&self.shape, x, out),
            (Path::Reference, Kind::Softmax) => reference::softmax(&self.shape, x, out),
            (Path::Reference, Kind::LogSoftmax) => reference::log_softmax(&self.shape, x, out),
            (_, Kind::Hardmax) => hardmax(&self.shape, x, out),
        }
    }
}

/// 1 at the first maximum of each line (at the first NaN, if there is one), 0 elsewhere.
fn hardmax<T: Compute>(shape: &ReduceShape, x: &[T], out: &mut [T]) {
    out.fill(T::ZERO);
    for outer in 0..shape.outer {
        for inner in 0..shape.inner {
            let at = |place: usize| (outer * shape.length + place) * shape.inner + inner;
            let first = (1..shape.length).fold(0, |best, place| {
                let (held, seen) = (x[at(best)], x[at(place)]);
                let wins = !held.is_nan() && (seen.is_nan() || seen > held);
                if wins { place } else { best }
            });
            if shape.length > 0 {
                out[at(first)] = T::ONE;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_element_of_each_line_is_one() {
        let mut out = [9.0_f32; 8];
        let shape = ReduceShape {
            outer: 2,
            length: 4,
            inner: 1,
        };
        hardmax(
            &shape,
            &[1.0, 3.0, 3.0, -0.0, 5.0, f32::NAN, 7.0, f32::NAN],
            &mut out,
        );
        assert_eq!(out, [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }
}
