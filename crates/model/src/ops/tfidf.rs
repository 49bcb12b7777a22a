//! TfIdfVectorizer: how often known sequences of numbers (n-grams) occur in rows. ONNX `TfIdfVectorizer`, opset 9, of
//! integers; strings are not part of the profile.
//!
//! For each distance 1 to max_skip_count + 1, sequences of numbers that far apart are looked up at every place; those of one
//! number count at the first distance only. Counts are exact; a weighted result is one product in f32.

use super::{
    AttributeError, DType, Definition, INDICES, Inputs, Io, Kernel, NodeSpec, OpError, Operator, TensorType,
    Work, kernel_with_scratch, streamed,
};
use std::{collections::BTreeMap, sync::Arc};
use synod_numerics::float::Float;

/// `TfIdfVectorizer`
pub(super) const TF_IDF_VECTORIZER: Definition = Definition {
    name: "TfIdfVectorizer",
    since: &[9],
    inputs: 1..=1,
    outputs: 1..=1,
    parse: |node| Ok(Box::new(TfIdf::parse(node)?)),
};

/// What is made of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The count.
    Count,
    /// The weight, if it is not zero.
    Weight,
    /// Count times weight.
    Both,
}

/// A sequence, or the beginning of one.
#[derive(Debug, Default)]
struct Prefix {
    next: BTreeMap<i64, usize>,
    /// The result that it counts for.
    counts: Option<usize>,
}

#[derive(Debug, Clone)]
struct TfIdf {
    mode: Mode,
    /// The first is the empty one.
    prefixes: Arc<[Prefix]>,
    /// Of the results.
    weights: Arc<[f32]>,
    shortest: usize,
    longest: usize,
    distances: usize,
}

impl TfIdf {
    fn parse(node: &mut NodeSpec<'_>) -> Result<Self, OpError> {
        let required = |name: &'static str| move || OpError::from(AttributeError::Missing { name });
        let wrong = |name: &'static str, value: String, expected: &'static str| {
            OpError::from(AttributeError::Value {
                name,
                value,
                expected,
            })
        };
        let mode = match node
            .attributes
            .string("mode")?
            .ok_or_else(required("mode"))?
            .as_str()
        {
            "TF" => Mode::Count,
            "IDF" => Mode::Weight,
            "TFIDF" => Mode::Both,
            other => return Err(wrong("mode", other.into(), "TF, IDF, TFIDF")),
        };
        let whole = |node: &mut NodeSpec<'_>, name: &'static str, least: i64| {
            let value = node.attributes.int(name)?.ok_or_else(required(name))?;
            let fits = usize::try_from(value)
                .ok()
                .filter(|_| (least..=1 << 20).contains(&value));
            fits.ok_or_else(|| wrong(name, value.to_string(), "0 or 1 to 2^20"))
        };
        let shortest = whole(node, "min_gram_length", 1)?;
        let longest = whole(node, "max_gram_length", 1)?;
        let distances = whole(node, "max_skip_count", 0)? + 1;
        let list = |node: &mut NodeSpec<'_>, name: &'static str| {
            let values = node.attributes.ints(name)?.ok_or_else(required(name))?;
            let sizes = values.iter().map(|&value| usize::try_from(value).ok());
            let sizes: Option<Vec<usize>> = sizes.collect();
            sizes.ok_or_else(|| wrong(name, format!("{values:?}"), "numbers from 0"))
        };
        let begins = list(node, "ngram_counts")?;
        let places = list(node, "ngram_indexes")?;
        if node.attributes.strings("pool_strings")?.is_some() {
            return Err(wrong("pool_strings", "given".into(), "pool_int64s"));
        }
        let pool = node
            .attributes
            .ints("pool_int64s")?
            .ok_or_else(required("pool_int64s"))?;
        let given = node.attributes.floats("weights")?;
        let size = places.iter().max().map_or(0, |&last| last.saturating_add(1));
        // A result has one sequence at least that counts for it, so there are no more than the file has numbers, nearly.
        if size > places.len().saturating_mul(16).saturating_add(1 << 16) {
            return Err(wrong("ngram_indexes", size.to_string(), "places close together"));
        }
        let mut prefixes = vec![Prefix::default()];
        let mut weights = vec![1.0f32; size];
        let mut number = 0;
        let fit = || OpError::Shape("ngram_counts, ngram_indexes and the pool do not fit together".into());
        for (index, &begin) in begins.iter().enumerate() {
            let end = begins.get(index + 1).copied().unwrap_or(pool.len());
            let length = index + 1;
            let grams = pool.get(begin..end).ok_or_else(fit)?;
            if grams.len() % length != 0 {
                return Err(fit());
            }
            for gram in grams.chunks_exact(length) {
                let &place = places.get(number).ok_or_else(fit)?;
                if let Some(given) = &given {
                    weights[place] = *given.get(number).ok_or_else(fit)?;
                }
                let mut at = 0;
                for &item in gram {
                    let fresh = prefixes.len();
                    let next = *prefixes[at].next.entry(item).or_insert(fresh);
                    if next == fresh {
                        prefixes.push(Prefix::default());
                    }
                    at = next;
                }
                prefixes[at].counts = Some(place);
                number += 1;
            }
        }
        if number != places.len() || given.is_some_and(|given| given.len() != number) {
            return Err(fit());
        }
        Ok(Self {
            mode,
            prefixes: prefixes.into(),
            weights: weights.into(),
            shortest,
            longest,
            distances,
        })
    }

    fn count(&self, row: &[i64], counts: &mut [i64]) {
        let mut shortest = self.shortest;
        for distance in 1..=self.distances {
            for begin in 0..row.len() {
                if begin.saturating_add(distance.saturating_mul(shortest - 1)) >= row.len() {
                    break;
                }
                let (mut at, mut place) = (0, begin);
                for length in 1..=self.longest {
                    if place >= row.len() {
                        break;
                    }
                    let Some(&next) = self.prefixes[at].next.get(&row[place]) else {
                        break;
                    };
                    at = next;
                    if let Some(result) = self.prefixes[at].counts.filter(|_| length >= shortest) {
                        counts[result] += 1;
                    }
                    place = place.saturating_add(distance);
                }
            }
            if shortest == 1 {
                shortest = 2;
                if shortest > self.longest {
                    break;
                }
            }
        }
    }

    /// Rows, and numbers of a row.
    fn rows(shape: &[usize]) -> Result<(usize, usize), OpError> {
        match *shape {
            [] => Ok((1, 1)),
            [length] => Ok((1, length)),
            [rows, length] => Ok((rows, length)),
            _ => Err(OpError::Shape(format!(
                "the input has {} dimensions, at most 2",
                shape.len()
            ))),
        }
    }
}

impl Operator for TfIdf {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let x = inputs.of_types(0, INDICES)?;
        let (rows, _) = Self::rows(x.shape)?;
        let size = self.weights.len();
        let shape = if x.shape.len() == 2 {
            vec![rows, size]
        } else {
            vec![size]
        };
        Ok(vec![TensorType::new(DType::F32, shape)?])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let elements = inputs.optional(0).map_or(0, |x| x.elements() as u64);
        let levels = 2 + u64::from(u64::BITS - (self.prefixes.len() as u64).leading_zeros());
        let length = inputs
            .optional(0)
            .and_then(|x| x.shape.last().copied())
            .unwrap_or(1);
        let distances = self.distances.min(length.max(1)) as u64;
        Work {
            arithmetic: elements
                .saturating_mul(distances)
                .saturating_mul(self.longest.min(length.max(1)) as u64)
                .saturating_mul(levels * 100)
                .saturating_add((outputs[0].elements() as u64).saturating_mul(240))
                .saturating_add((self.distances as u64).saturating_mul(100)),
            bytes: streamed(inputs, outputs).saturating_mul(2),
        }
    }

    fn specialize(&self, inputs: &Inputs<'_>, _: &[TensorType]) -> Result<Box<dyn Kernel>, OpError> {
        let x = inputs.required(0)?;
        let (rows, length) = Self::rows(x.shape)?;
        let (of, size) = (self.clone(), self.weights.len());
        Ok(kernel_with_scratch(
            8 * (length + size),
            move |io: &mut Io<'_, '_>| {
                let x = io.input(0);
                let (_, outputs, scratch) = io.split();
                let Some(out) = outputs.first_mut().and_then(Option::as_mut) else {
                    return Ok(());
                };
                let scratch: &mut [i64] = bytemuck::cast_slice_mut(&mut scratch[..8 * (length + size)]);
                let (row, counts) = scratch.split_at_mut(length);
                let out = out.as_mut_slice::<f32>();
                for index in 0..rows {
                    if x.dtype() == DType::I64 {
                        row.copy_from_slice(&x.as_slice::<i64>()[index * length..][..length]);
                    } else {
                        let read = &x.as_slice::<i32>()[index * length..][..length];
                        row.iter_mut().zip(read).for_each(|(to, &from)| *to = from.into());
                    }
                    counts.fill(0);
                    of.count(row, counts);
                    let out = &mut out[index * size..][..size];
                    for ((y, &count), &weight) in out.iter_mut().zip(counts.iter()).zip(&*of.weights) {
                        *y = match of.mode {
                            Mode::Count => count as f32,
                            Mode::Weight => {
                                if count > 0 {
                                    weight
                                } else {
                                    0.0
                                }
                            }
                            Mode::Both => (count as f32 * weight).canonical(),
                        };
                    }
                }
                Ok(())
            },
        ))
    }
}
