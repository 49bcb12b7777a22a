//! What happens to features before a model sees them: ArrayFeatureExtractor, Binarizer, FeatureVectorizer, Imputer,
//! Normalizer, OneHotEncoder, Scaler. All version 1 of `ai.onnx.ml`.

use super::{PER_OPERATION, PER_ROW, READ, class_labels, missing, read, rows, store, wrong};
use crate::ops::{
    AttributeError, DType, Definition, Inputs, Io, Kernel, OpError, Operator, TensorType, Work, kernel,
    streamed,
};
use std::{collections::BTreeMap, sync::Arc};
use synod_numerics::float::Float;

/// Elements converted at a time.
const CHUNK: usize = 256;

fn per_element(inputs: &Inputs<'_>, outputs: &[TensorType], operations: u64) -> Work {
    Work {
        arithmetic: (outputs[0].elements() as u64).saturating_mul(operations * PER_OPERATION),
        bytes: streamed(inputs, outputs),
    }
}

/// `Scaler`
pub(super) const SCALER: Definition = Definition {
    name: "Scaler",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let mut list = |name| match node.attributes.floats(name)? {
            Some(values) if !values.is_empty() => Ok(values.into_iter().map(f64::from).collect()),
            _ => Err(missing(name)),
        };
        Ok(Box::new(Scaler {
            offset: list("offset")?,
            scale: list("scale")?,
        }))
    },
};

/// y = (x − offset) × scale.
#[derive(Debug, Clone)]
struct Scaler {
    offset: Arc<[f64]>,
    scale: Arc<[f64]>,
}

impl Operator for Scaler {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, READ)?;
        let (_, features) = rows(&x)?;
        for (name, count) in [("offset", self.offset.len()), ("scale", self.scale.len())] {
            if count != 1 && count != features {
                return Err(OpError::Shape(format!(
                    "attribute `{name}` has {count} values; {features} features need 1 or {features}"
                )));
            }
        }
        Ok(vec![TensorType::new(DType::F32, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        per_element(inputs, outputs, 2)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, features) = rows(&inputs.required(0)?)?;
        let of = self.clone();
        Ok(each_element(move |index, x| {
            let at = |list: &[f64]| list[if list.len() == 1 { 0 } else { index % features }];
            (x - at(&of.offset)) * at(&of.scale)
        }))
    }
}

/// A kernel of a function of index and number, whose results are f32.
fn each_element(function: impl Fn(usize, f64) -> f64 + Send + Sync + 'static) -> Box<dyn Kernel> {
    kernel(move |io: &mut Io<'_, '_>| {
        let x = io.input(0);
        let Some(out) = io.output(0) else { return Ok(()) };
        let mut numbers = [0.0; CHUNK];
        for (chunk, out) in out.as_mut_slice::<f32>().chunks_mut(CHUNK).enumerate() {
            let numbers = &mut numbers[..out.len()];
            read(&x, chunk * CHUNK, numbers);
            for (i, (out, &x)) in out.iter_mut().zip(&*numbers).enumerate() {
                *out = store(function(chunk * CHUNK + i, x));
            }
        }
        Ok(())
    })
}

/// `Binarizer`
pub(super) const BINARIZER: Definition = Definition {
    name: "Binarizer",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        Ok(Box::new(Binarizer {
            threshold: node.attributes.float("threshold")?.unwrap_or(0.0).into(),
        }))
    },
};

/// y = 1 above the threshold, else 0; of the type of x, which must be f32.
#[derive(Debug, Clone)]
struct Binarizer {
    threshold: f64,
}

impl Operator for Binarizer {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        Ok(vec![inputs.of_types(0, &[DType::F32])?.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        per_element(inputs, outputs, 2)
    }

    fn specialize(&self, _: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let threshold = self.threshold;
        Ok(each_element(move |_, x| if x > threshold { 1.0 } else { 0.0 }))
    }
}

/// `Imputer`
pub(super) const IMPUTER: Definition = Definition {
    name: "Imputer",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let floats = node
            .attributes
            .floats("imputed_value_floats")?
            .unwrap_or_default();
        let ints = node.attributes.ints("imputed_value_int64s")?.unwrap_or_default();
        let replaced_float = node.attributes.float("replaced_value_float")?.unwrap_or(0.0);
        let replaced_int = node.attributes.int("replaced_value_int64")?.unwrap_or(0);
        if floats.is_empty() && ints.is_empty() {
            return Err(missing("imputed_value_floats"));
        }
        Ok(Box::new(Imputer {
            floats: floats.into(),
            ints: ints.into(),
            replaced_float,
            replaced_int,
        }))
    },
};

/// Puts other values in the place of one that means "missing": a number, or NaN.
#[derive(Debug, Clone)]
struct Imputer {
    floats: Arc<[f32]>,
    ints: Arc<[i64]>,
    replaced_float: f32,
    replaced_int: i64,
}

impl Operator for Imputer {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, &[DType::F32, DType::I64])?;
        let (_, features) = rows(&x)?;
        let count = if x.dtype == DType::F32 {
            self.floats.len()
        } else {
            self.ints.len()
        };
        if count != 1 && count != features || count == 0 {
            return Err(OpError::Shape(format!(
                "{count} values of type {} to impute; {features} features need 1 or {features}",
                x.dtype
            )));
        }
        Ok(vec![x.tensor_type()])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        per_element(inputs, outputs, 3)
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let (_, features) = rows(&x)?;
        let of = self.clone();
        Ok(kernel(move |io: &mut Io<'_, '_>| {
            fn at<T: Copy>(list: &[T], index: usize, features: usize) -> T {
                list[if list.len() == 1 { 0 } else { index % features }]
            }
            if io.input(0).dtype() == DType::F32 {
                let (x, y) = io.unary::<f32, f32>(0, 0);
                for (index, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                    let gone = x == of.replaced_float || x.is_nan() && of.replaced_float.is_nan();
                    *y = if gone {
                        at(&of.floats, index, features).canonical()
                    } else {
                        x
                    };
                }
            } else {
                let (x, y) = io.unary::<i64, i64>(0, 0);
                for (index, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                    *y = if x == of.replaced_int {
                        at(&of.ints, index, features)
                    } else {
                        x
                    };
                }
            }
            Ok(())
        }))
    }
}

/// `Normalizer`
pub(super) const NORMALIZER: Definition = Definition {
    name: "Normalizer",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let norm = node.attributes.string("norm")?;
        Ok(Box::new(match norm.as_deref() {
            None | Some("MAX") => Normalizer::Max,
            Some("L1") => Normalizer::L1,
            Some("L2") => Normalizer::L2,
            Some(other) => return Err(wrong("norm", other, "MAX, L1, L2")),
        }))
    },
};

/// Each row divided by a norm of it, unless that is 0.
#[derive(Debug, Clone, Copy)]
enum Normalizer {
    /// The greatest magnitude.
    Max,
    /// The sum of magnitudes.
    L1,
    /// The root of the sum of squares.
    L2,
}

impl Operator for Normalizer {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, READ)?;
        rows(&x)?;
        Ok(vec![TensorType::new(DType::F32, x.shape.to_vec())?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let count = inputs
            .optional(0)
            .and_then(|x| rows(&x).ok())
            .map_or(0, |(rows, _)| rows as u64);
        let mut work = per_element(inputs, outputs, 6);
        work.arithmetic = work.arithmetic.saturating_add(count.saturating_mul(PER_ROW));
        work
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let (_, features) = rows(&inputs.required(0)?)?;
        let norm = *self;
        Ok(crate::ops::kernel_with_scratch(
            8 * features,
            move |io: &mut Io<'_, '_>| {
                let x = io.input(0);
                let (_, outputs, scratch) = io.split();
                let row = &mut bytemuck::cast_slice_mut::<u8, f64>(&mut scratch[..8 * features])[..];
                let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                    return Ok(());
                };
                for (index, out) in out
                    .as_mut_slice::<f32>()
                    .chunks_exact_mut(features.max(1))
                    .enumerate()
                {
                    read(&x, index * features, row);
                    let size = row.iter().fold(0.0, |size, &x| match norm {
                        Self::Max => Float::maximum(size, Float::abs(x)),
                        Self::L1 => size + Float::abs(x),
                        Self::L2 => x.fma(x, size),
                    });
                    let size = if matches!(norm, Self::L2) {
                        Float::sqrt(size)
                    } else {
                        size
                    };
                    let size = if size == 0.0 { 1.0 } else { size };
                    out.iter_mut().zip(&*row).for_each(|(y, &x)| *y = store(x / size));
                }
                Ok(())
            },
        ))
    }
}

/// `OneHotEncoder`
pub(super) const ONE_HOT_ENCODER: Definition = Definition {
    name: "OneHotEncoder",
    since: &[1],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| {
        let categories = class_labels(node, "cats_int64s", "cats_strings")?;
        let count = categories.len();
        Ok(Box::new(OneHotEncoder {
            places: Arc::new(categories.into_iter().zip(0..).collect()),
            count,
            unknown_is_zero: node.attributes.flag("zeros", true)?,
        }))
    },
};

/// 1 at the place of the category that x is, 0 elsewhere, along a new last axis.
#[derive(Debug, Clone)]
struct OneHotEncoder {
    /// Of equal categories the last.
    places: Arc<BTreeMap<i64, usize>>,
    count: usize,
    /// Else a number that is no category stops the run.
    unknown_is_zero: bool,
}

impl OneHotEncoder {
    /// The place of a number, whose fraction does not count.
    fn place(&self, x: f64) -> Option<usize> {
        let whole = x.trunc();
        // Outside this range, and if it is NaN, it is no i64.
        let fits = (-9.223_372_036_854_776e18..9.223_372_036_854_776e18).contains(&whole);
        fits.then(|| self.places.get(&(whole as i64)).copied())?
    }
}

impl Operator for OneHotEncoder {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, READ)?;
        let shape = [x.shape, &[self.count]].concat();
        Ok(vec![TensorType::new(DType::F32, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let levels = 2 + u64::from(self.places.len().max(1).ilog2());
        let numbers = inputs.optional(0).map_or(0, |x| x.elements()) as u64;
        let mut work = per_element(inputs, outputs, 1);
        work.arithmetic = work
            .arithmetic
            .saturating_add(numbers.saturating_mul(levels * 3 * PER_OPERATION));
        work
    }

    fn specialize(&self, _: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let of = self.clone();
        Ok(kernel(move |io: &mut Io<'_, '_>| {
            let x = io.input(0);
            let Some(out) = io.output(0) else { return Ok(()) };
            for (index, row) in out.as_mut_slice::<f32>().chunks_exact_mut(of.count).enumerate() {
                row.fill(0.0);
                let place = match x.dtype() {
                    DType::I64 => of.places.get(&x.as_slice::<i64>()[index]).copied(),
                    _ => {
                        let mut number = [0.0];
                        read(&x, index, &mut number);
                        of.place(number[0])
                    }
                };
                match place {
                    Some(place) => row[place] = 1.0,
                    None if of.unknown_is_zero => {}
                    None => {
                        return Err(OpError::Value(format!(
                            "element {index} is none of the categories"
                        )));
                    }
                }
            }
            Ok(())
        }))
    }
}

/// `ArrayFeatureExtractor`
pub(super) const ARRAY_FEATURE_EXTRACTOR: Definition = Definition {
    name: "ArrayFeatureExtractor",
    since: &[1],
    inputs: 2..=2,
    outputs: 1..=1,
    parse: |_| Ok(Box::new(ArrayFeatureExtractor)),
};

/// Picks columns along the last axis.
#[derive(Debug)]
struct ArrayFeatureExtractor;

impl Operator for ArrayFeatureExtractor {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.required(0)?;
        let picked = inputs.of_types(1, &[DType::I64])?.elements();
        let Some((_, before)) = x.shape.split_last() else {
            return Err(OpError::Shape("a scalar has no columns".into()));
        };
        // a vector is a matrix of one row
        let mut shape = if before.is_empty() {
            vec![1]
        } else {
            before.to_vec()
        };
        shape.push(picked);
        Ok(vec![TensorType::new(x.dtype, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        per_element(inputs, outputs, 4)
    }

    fn specialize(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let columns = *inputs.required(0)?.shape.last().unwrap_or(&0);
        let size = outputs[0].dtype.size();
        Ok(kernel(move |io: &mut Io<'_, '_>| {
            let (x, picked) = (io.input(0).bytes(), io.input(1).as_slice::<i64>());
            if let Some(bad) = picked
                .iter()
                .find(|&&column| usize::try_from(column).map_or(true, |column| column >= columns))
            {
                return Err(OpError::Value(format!(
                    "column {bad} is not within {columns} columns"
                )));
            }
            let Some(out) = io.output(0) else { return Ok(()) };
            let rows = x.chunks_exact((columns * size).max(1));
            for (row, out) in rows.zip(out.bytes_mut().chunks_exact_mut((picked.len() * size).max(1))) {
                for (&column, out) in picked.iter().zip(out.chunks_exact_mut(size)) {
                    out.copy_from_slice(&row[column as usize * size..][..size]);
                }
            }
            Ok(())
        }))
    }
}

/// `FeatureVectorizer`
pub(super) const FEATURE_VECTORIZER: Definition = Definition {
    name: "FeatureVectorizer",
    since: &[1],
    inputs: 1..=crate::limits::MAX_NODE_VALUES,
    outputs: 1..=1,
    parse: |node| {
        let name = "inputdimensions";
        let widths = node
            .attributes
            .ints(name)?
            .ok_or(AttributeError::Missing { name })?;
        Ok(Box::new(FeatureVectorizer { widths }))
    },
};

/// Rows of several inputs side by side, as f32.
#[derive(Debug)]
struct FeatureVectorizer {
    widths: Vec<i64>,
}

impl Operator for FeatureVectorizer {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let mut whole: Option<(usize, usize)> = None;
        for index in 0..inputs.len() {
            let (count, width) = rows(&inputs.of_types(index, READ)?)?;
            if self.widths.get(index).is_none_or(|&given| given != width as i64) {
                return Err(OpError::Shape(format!(
                    "input {index} has {width} features; inputdimensions are {:?}",
                    self.widths
                )));
            }
            whole = match whole {
                None => Some((count, width)),
                Some((rows, so_far)) if rows == count => Some((rows, so_far.saturating_add(width))),
                Some((rows, _)) => {
                    return Err(OpError::Shape(format!(
                        "input {index} has {count} rows, the others {rows}"
                    )));
                }
            };
        }
        let (count, width) = whole.ok_or(OpError::MissingInput { index: 0 })?;
        Ok(vec![TensorType::new(DType::F32, vec![count, width])?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let mut work = per_element(inputs, outputs, 2);
        let pieces = (outputs[0].shape[0] as u64).saturating_mul(inputs.len() as u64);
        work.arithmetic = work.arithmetic.saturating_add(pieces.saturating_mul(PER_ROW));
        work
    }

    fn specialize(&self, _: &Inputs<'_>, outputs: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let widths: Vec<usize> = self.widths.iter().map(|&width| width as usize).collect();
        let whole = outputs[0].shape[1];
        Ok(kernel(move |io: &mut Io<'_, '_>| {
            let (inputs, outputs, _) = io.split();
            let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                return Ok(());
            };
            let out = out.as_mut_slice::<f32>();
            let mut numbers = [0.0; CHUNK];
            let mut column = 0;
            for (view, &width) in inputs.iter().flatten().zip(&widths) {
                for row in 0..out.len() / whole.max(1) {
                    let out = &mut out[row * whole + column..][..width];
                    for (chunk, out) in out.chunks_mut(CHUNK).enumerate() {
                        let numbers = &mut numbers[..out.len()];
                        read(view, row * width + chunk * CHUNK, numbers);
                        out.iter_mut().zip(&*numbers).for_each(|(y, &x)| *y = store(x));
                    }
                }
                column += width;
            }
            Ok(())
        }))
    }
}
