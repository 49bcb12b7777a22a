//! SVMRegressor: a sum of kernels of the input and support vectors. `ai.onnx.ml`, version 1.
//!
//! Chains run over features, then over support vectors, ascending, in f64. Kernels, with d the chain of products:
//! LINEAR d; POLY pow(gamma × d + coef0, degree); SIGMOID tanh(gamma × d + coef0); RBF exp(−gamma × the chain of squared
//! differences).

use super::{PER_OPERATION, PER_ROW, PER_TRANSFORM, READ, Transform, missing, read, rows, store, wrong};
use crate::ops::{
    DType, Definition, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType, Work,
    kernel_with_scratch, streamed,
};
use std::sync::Arc;
use synod_numerics::{float::Float, math};

/// `SVMRegressor`
pub(super) const SVM_REGRESSOR: Definition = Definition {
    name: "SVMRegressor",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let list = |node: &mut NodeSpec<'_>, name| -> Result<Vec<f64>, OpError> {
            let floats = node.attributes.floats(name)?.unwrap_or_default();
            Ok(floats.into_iter().map(f64::from).collect())
        };
        let parameters = list(node, "kernel_params")?;
        let at = |index: usize| parameters.get(index).copied().unwrap_or(0.0);
        let (gamma, offset, degree) = (at(0), at(1), at(2));
        let name = node.attributes.string("kernel_type")?;
        let kernel = match name.as_deref() {
            None | Some("LINEAR") => Similarity::Linear,
            Some("POLY") => Similarity::Polynomial,
            Some("RBF") => Similarity::Radial,
            Some("SIGMOID") => Similarity::Sigmoid,
            Some(other) => return Err(wrong("kernel_type", other, "LINEAR, POLY, RBF, SIGMOID")),
        };
        let coefficients = list(node, "coefficients")?;
        let vectors = list(node, "support_vectors")?;
        let supports = node.attributes.int("n_supports")?.unwrap_or(0);
        let rho = list(node, "rho")?
            .first()
            .copied()
            .ok_or_else(|| missing("rho"))?;
        let supports = usize::try_from(supports).map_err(|_| wrong("n_supports", supports, "0 or more"))?;
        let transform = Transform::parse(node)?;
        if !matches!(transform, Transform::None) {
            return Err(wrong("post_transform", format!("{transform:?}"), "NONE"));
        }
        let fits = if supports == 0 {
            vectors.is_empty() && !coefficients.is_empty()
        } else {
            coefficients.len() == supports && vectors.len().is_multiple_of(supports)
        };
        if !fits {
            return Err(OpError::Shape(format!(
                "{supports} support vectors, {} of their elements and {} coefficients do not fit together",
                vectors.len(),
                coefficients.len()
            )));
        }
        let one_class = node.attributes.flag("one_class", false)?;
        Ok(Box::new(SvmRegressor {
            kernel,
            gamma,
            offset,
            degree,
            coefficients: coefficients.into(),
            vectors: vectors.into(),
            supports,
            rho,
            one_class,
        }))
    },
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Similarity {
    Linear,
    Polynomial,
    Radial,
    Sigmoid,
}

#[derive(Debug, Clone)]
struct SvmRegressor {
    kernel: Similarity,
    gamma: f64,
    offset: f64,
    degree: f64,
    coefficients: Arc<[f64]>,
    vectors: Arc<[f64]>,
    supports: usize,
    rho: f64,
    one_class: bool,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |chain, (&a, &b)| a.fma(b, chain))
}

impl SvmRegressor {
    fn features(&self) -> usize {
        // without support vectors the coefficients are those of the features
        self.vectors
            .len()
            .checked_div(self.supports)
            .unwrap_or(self.coefficients.len())
    }

    fn similarity(&self, x: &[f64], vector: &[f64]) -> f64 {
        match self.kernel {
            Similarity::Linear => dot(x, vector),
            Similarity::Polynomial => math::pow(self.gamma * dot(x, vector) + self.offset, self.degree),
            Similarity::Sigmoid => Float::tanh(self.gamma * dot(x, vector) + self.offset),
            Similarity::Radial => {
                let distance = x
                    .iter()
                    .zip(vector)
                    .fold(0.0, |chain: f64, (&a, &b)| (a - b).fma(a - b, chain));
                Float::exp(-self.gamma * distance)
            }
        }
    }

    fn value(&self, x: &[f64]) -> f64 {
        let sum = if self.supports == 0 {
            dot(x, &self.coefficients)
        } else {
            let vectors = self.vectors.chunks_exact(self.features().max(1));
            vectors
                .zip(&*self.coefficients)
                .fold(0.0, |chain: f64, (vector, &weight)| {
                    weight.fma(self.similarity(x, vector), chain)
                })
        };
        let y = sum + self.rho;
        match self.one_class {
            false => y,
            true if y > 0.0 => 1.0,
            true => -1.0,
        }
    }
}

impl Operator for SvmRegressor {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let (count, features) = rows(&inputs.of_types(0, READ)?)?;
        if features != self.features() {
            return Err(OpError::Shape(format!(
                "{features} features; the support vectors have {}",
                self.features()
            )));
        }
        Ok(vec![TensorType::new(DType::F32, vec![count, 1])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let terms =
            (self.coefficients.len().max(self.vectors.len()) as u64).saturating_mul(2 * PER_OPERATION);
        let of_row = terms
            .saturating_add((self.supports as u64).saturating_mul(PER_TRANSFORM))
            .saturating_add(PER_ROW);
        Work {
            arithmetic: (outputs[0].shape[0] as u64).saturating_mul(of_row),
            bytes: streamed(inputs, outputs).saturating_add(8 * self.vectors.len() as u64),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        Ok(kernel_with_scratch(8 * features, move |io: &mut Io<'_, '_>| {
            let x = io.input(0);
            let (_, outputs, scratch) = io.split();
            let row: &mut [f64] = bytemuck::cast_slice_mut(&mut scratch[..8 * features]);
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            for (index, y) in out.as_mut_slice::<f32>().iter_mut().enumerate() {
                read(&x, index * features, row);
                *y = store(of.value(row));
            }
            Ok(())
        }))
    }
}
