//! Normalisations by a norm or a neighbourhood: LpNormalization (versions 1, 22), MeanVarianceNormalization (9, 13), LRN (1, 13).
//!
//! - `LpNormalization`: a line along the axis, divided by its 1-norm or 2-norm; by a norm of 0 it is +0.
//! - `MeanVarianceNormalization`: (x - mean) / (√variance + 1e-9) over some axes, in two passes.
//! - `LRN`: x / (bias + alpha / size · Σ x²)^beta, the sum over neighbouring channels.

use super::{
    AttributeError, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    data::{Rows, distinct_axes},
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    normalize_axis,
    reduce::Arrangement,
    streamed,
};
use synod_numerics::{fast, float::Float, math, reference, shape::ReduceShape};

/// `LpNormalization`
pub(super) const LP_NORMALIZATION: Definition = Definition {
    name: "LpNormalization",
    since: &[1, 22],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let axis = node.attributes.int("axis")?.unwrap_or(-1);
        match node.attributes.int("p")?.unwrap_or(2) {
            p @ (1 | 2) => Ok(Box::new(LpNormalization { axis, p })),
            other => Err(AttributeError::Value {
                name: "p",
                value: other.to_string(),
                expected: "1, 2",
            }
            .into()),
        }
    },
};

#[derive(Debug)]
struct LpNormalization {
    axis: i64,
    p: i64,
}

impl LpNormalization {
    fn shape(&self, shape: &[usize]) -> Result<ReduceShape, OpError> {
        let axis = normalize_axis(self.axis, shape.len())?;
        Ok(ReduceShape {
            outer: shape[..axis].iter().product(),
            length: shape[axis],
            inner: shape[axis + 1..].iter().product(),
        })
    }
}

impl Operator for LpNormalization {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        self.shape(x.shape)?;
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let (lines, per_element) = self.shape(&outputs[0].shape).map_or((0, 0), |shape| {
            (shape.outer * shape.inner, if shape.inner == 1 { 60 } else { 100 })
        });
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(per_element)
                .saturating_add((lines as u64).saturating_mul(2_000)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = self.shape(&outputs[0].shape)?;
        Ok(on_floats(&ByNorm { shape, p: self.p }, inputs, outputs))
    }
}

#[derive(Clone)]
struct ByNorm {
    shape: ReduceShape,
    p: i64,
}

impl FloatOperation for ByNorm {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for ByNorm {
    fn scratch(&self) -> usize {
        self.shape.outer * self.shape.inner
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (x, out, shape) = (required(inputs, 0), &mut *outputs[0], &self.shape);
        let norms = &mut scratch[..shape.outer * shape.inner];
        match (self.p, path) {
            (1, _) => {
                out.iter_mut().zip(x).for_each(|(y, x)| *y = x.abs());
                match path {
                    Path::Fast => fast::reduce_sum(shape, out, norms),
                    Path::Reference => reference::reduce_sum(shape, out, norms),
                }
            }
            (_, Path::Fast) => fast::reduce_sum_of_squares(shape, x, norms),
            (_, Path::Reference) => reference::reduce_sum_of_squares(shape, x, norms),
        }
        if self.p == 2 {
            norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
        }
        let quotient = |x: T, norm: T| {
            if norm == T::ZERO {
                T::ZERO
            } else {
                (x / norm).canonical()
            }
        };
        if shape.inner == 1 {
            let lines = out
                .chunks_exact_mut(shape.length.max(1))
                .zip(x.chunks_exact(shape.length.max(1)));
            for ((out, x), &norm) in lines.zip(&*norms) {
                out.iter_mut().zip(x).for_each(|(y, &x)| *y = quotient(x, norm));
            }
            return;
        }
        let lines = out
            .chunks_exact_mut(shape.inner.max(1))
            .zip(x.chunks_exact(shape.inner.max(1)));
        for (number, (out, x)) in lines.enumerate() {
            let norms = &norms[number / shape.length.max(1) * shape.inner..][..shape.inner];
            for ((y, &x), &norm) in out.iter_mut().zip(x).zip(norms) {
                *y = quotient(x, norm);
            }
        }
    }
}

/// `MeanVarianceNormalization`
pub(super) const MEAN_VARIANCE_NORMALIZATION: Definition = Definition {
    name: "MeanVarianceNormalization",
    since: &[9, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let axes = node.attributes.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
        Ok(Box::new(MeanVariance { axes }))
    },
};

#[derive(Debug)]
struct MeanVariance {
    axes: Vec<i64>,
}

impl MeanVariance {
    fn reduced(&self, rank: usize) -> Result<Vec<bool>, OpError> {
        let mut reduced = vec![false; rank];
        for axis in distinct_axes(&self.axes, rank)? {
            reduced[axis] = true;
        }
        Ok(reduced)
    }
}

impl Operator for MeanVariance {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        self.reduced(x.shape.len())?;
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let shape = &outputs[0].shape;
        let groups: usize = self.reduced(shape.len()).map_or(0, |reduced| {
            shape
                .iter()
                .zip(reduced)
                .map(|(&dim, reduced)| if reduced { 1 } else { dim })
                .product()
        });
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(220)
                .saturating_add((groups as u64).saturating_mul(4_000)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = &outputs[0].shape;
        let reduced = self.reduced(shape.len())?;
        let kept: Vec<usize> = shape
            .iter()
            .zip(&reduced)
            .map(|(&dim, &reduced)| if reduced { 1 } else { dim })
            .collect();
        let operation = OfMoments {
            arrangement: Arrangement::new(shape, &reduced),
            rows: Rows::broadcast(shape, [&kept]),
            groups: kept.iter().product(),
        };
        Ok(on_floats(&operation, inputs, outputs))
    }
}

#[derive(Clone)]
struct OfMoments {
    arrangement: Arrangement,
    /// The group of every element.
    rows: Rows<1>,
    groups: usize,
}

impl OfMoments {
    /// y = f(y, value of its group), element by element.
    fn apply<T: Float>(&self, out: &mut [T], values: &[T], f: impl Fn(T, T) -> T) {
        let mut rows = out.chunks_exact_mut(self.rows.length.max(1));
        self.rows.for_each(|[at]| {
            let Some(row) = rows.next() else { return };
            for (i, y) in row.iter_mut().enumerate() {
                // strides of a broadcast are never negative
                *y = f(*y, values[at as usize + i * self.rows.strides[0] as usize]);
            }
        });
    }
}

impl FloatOperation for OfMoments {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for OfMoments {
    fn scratch(&self) -> usize {
        self.arrangement.scratch() + self.groups
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let (x, out, shape) = (required(inputs, 0), &mut *outputs[0], &self.arrangement.shape);
        let (gathered, moments) = scratch.split_at_mut(self.arrangement.scratch());
        let moments = &mut moments[..self.groups];
        let arranged = self.arrangement.arranged(x, gathered);
        match path {
            Path::Fast => fast::reduce_mean(shape, arranged, moments),
            Path::Reference => reference::reduce_mean(shape, arranged, moments),
        }
        out.copy_from_slice(x);
        self.apply(out, moments, |x, mean| x - mean);
        let arranged = self.arrangement.arranged(out, gathered);
        match path {
            Path::Fast => fast::reduce_sum_of_squares(shape, arranged, moments),
            Path::Reference => reference::reduce_sum_of_squares(shape, arranged, moments),
        }
        let (count, epsilon) = (T::from_count(shape.length), T::from_f64(1e-9));
        moments
            .iter_mut()
            .for_each(|m| *m = (*m / count).sqrt() + epsilon);
        self.apply(out, moments, |d, deviation| (d / deviation).canonical());
    }
}

/// `LRN`
pub(super) const LRN: Definition = Definition {
    name: "LRN",
    since: &[1, 13],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let size = node
            .attributes
            .int("size")?
            .ok_or(AttributeError::Missing { name: "size" })?;
        let Some(size) = usize::try_from(size)
            .ok()
            .filter(|size| (1..=1 << 20).contains(size))
        else {
            return Err(AttributeError::Value {
                name: "size",
                value: size.to_string(),
                expected: "1 to 1048576",
            }
            .into());
        };
        Ok(Box::new(Lrn {
            alpha: node.attributes.float("alpha")?.unwrap_or(1e-4),
            beta: node.attributes.float("beta")?.unwrap_or(0.75),
            bias: node.attributes.float("bias")?.unwrap_or(1.0),
            size,
        }))
    },
};

#[derive(Debug, Clone, Copy)]
struct Lrn {
    alpha: f32,
    beta: f32,
    bias: f32,
    size: usize,
}

impl Operator for Lrn {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, FLOATS)?;
        if x.shape.len() < 2 {
            return Err(OpError::Shape(format!("{:?} has no axis of channels", x.shape)));
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let channels = outputs[0].shape.get(1).copied().unwrap_or(1);
        let terms = self.size.min(channels) as u64;
        Work {
            arithmetic: (outputs[0].elements() as u64)
                .saturating_mul(terms.saturating_mul(32).saturating_add(3_500)),
            bytes: streamed(inputs, outputs),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let shape = &outputs[0].shape;
        let operation = Neighbourhood {
            lrn: *self,
            channels: shape[1],
            plane: shape[2..].iter().product(),
        };
        Ok(on_floats(&operation, inputs, outputs))
    }
}

#[derive(Clone)]
struct Neighbourhood {
    lrn: Lrn,
    channels: usize,
    plane: usize,
}

impl FloatOperation for Neighbourhood {
    fn build<T: Compute>(&self, _known: &Known<'_>) -> Box<dyn FloatKernel<T>> {
        Box::new(self.clone())
    }
}

impl<T: Compute> FloatKernel<T> for Neighbourhood {
    fn scratch(&self) -> usize {
        0
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, _path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], _scratch: &mut [T]) {
        let (x, out, lrn) = (required(inputs, 0), &mut *outputs[0], self.lrn);
        let factor = T::from_f32(lrn.alpha) / T::from_count(lrn.size);
        let (bias, beta) = (T::from_f32(lrn.bias), f64::from(lrn.beta));
        let (before, after) = ((lrn.size - 1) / 2, lrn.size / 2);
        let image = self.channels * self.plane;
        if image == 0 {
            return;
        }
        for (x, out) in x.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
            for (channel, out) in out.chunks_exact_mut(self.plane).enumerate() {
                let neighbours = channel.saturating_sub(before)..self.channels.min(channel + after + 1);
                out.fill(T::ZERO);
                for neighbour in neighbours {
                    let plane = &x[neighbour * self.plane..][..self.plane];
                    out.iter_mut()
                        .zip(plane)
                        .for_each(|(sum, &x)| *sum = x.fma(x, *sum));
                }
                let plane = &x[channel * self.plane..][..self.plane];
                for (y, &x) in out.iter_mut().zip(plane) {
                    *y = (x / math::pow(bias + factor * *y, beta)).canonical();
                }
            }
        }
    }
}
