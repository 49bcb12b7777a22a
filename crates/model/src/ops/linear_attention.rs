//! LinearAttention: attention through a state that each step decays, corrects and writes. ONNX version 27.
//!
//! Step by step, in order; the arithmetic of a step is in `synod_numerics::reference::attention`. `chunk_size` is a hint for
//! other ways of computing and changes nothing.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, FloatKernel, FloatOperation, Known, on_floats, required},
    streamed,
};
use synod_numerics::{
    fast,
    reference::{self, LinearUpdate},
};

/// Multiply-add equivalents of touching an element of a state once.
const PER_ELEMENT: u64 = 12;
/// Of a row of a state, its decay's exponential included.
const PER_ROW: u64 = 800;
/// Of a head's step.
const PER_STEP: u64 = 6_000;

/// `LinearAttention`
pub(super) const LINEAR_ATTENTION: Definition = Definition {
    name: "LinearAttention",
    since: &[27],
    inputs: 3..=6,
    outputs: 1..=2,
    parse: |node| {
        let mut heads = |name| match node.attributes.int(name)? {
            None => Err(OpError::from(AttributeError::Missing { name })),
            Some(heads) => match usize::try_from(heads) {
                Ok(heads) if heads > 0 => Ok(heads),
                _ => Err(AttributeError::Value {
                    name,
                    value: heads.to_string(),
                    expected: "at least 1",
                }
                .into()),
            },
        };
        let (query_heads, heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
        let rule = node.attributes.string("update_rule")?;
        let (gated, delta) = match rule.as_deref() {
            None | Some("gated_delta") => (true, true),
            Some("gated") => (true, false),
            Some("delta") => (false, true),
            Some("linear") => (false, false),
            Some(other) => {
                return Err(AttributeError::Value {
                    name: "update_rule",
                    value: other.to_owned(),
                    expected: "linear, gated, delta, gated_delta",
                }
                .into());
            }
        };
        node.attributes.int("chunk_size")?;
        Ok(Box::new(LinearAttention {
            query_heads,
            heads,
            gated,
            delta,
            scale: node.attributes.float("scale")?.filter(|&scale| scale != 0.0),
        }))
    },
};

#[derive(Debug, Clone)]
struct LinearAttention {
    query_heads: usize,
    heads: usize,
    gated: bool,
    delta: bool,
    scale: Option<f32>,
}

#[derive(Debug, Clone)]
struct Sized {
    of: LinearAttention,
    batch: usize,
    steps: usize,
    /// Elements of a key, of a value.
    key: usize,
    value: usize,
    /// Decays of a head.
    decays: usize,
    /// Heads that have a rate of their own.
    rates: usize,
}

impl LinearAttention {
    fn sized(&self, inputs: &Inputs<'_>) -> Result<Sized, OpError> {
        let [q, k, v] = [0, 1, 2].map(|index| inputs.required(index));
        let (q, k, v) = (q?, k?, v?);
        let (&[batch, steps, queries], &[kb, ks, keys], &[vb, vs, values]) = (q.shape, k.shape, v.shape)
        else {
            return Err(OpError::Shape(
                "query, key and value need three dimensions".into(),
            ));
        };
        let fits = (kb, ks) == (batch, steps)
            && (vb, vs) == (batch, steps)
            && self.query_heads.is_multiple_of(self.heads)
            && queries.is_multiple_of(self.query_heads)
            && keys.is_multiple_of(self.heads)
            && values.is_multiple_of(self.heads)
            && queries / self.query_heads == keys / self.heads;
        if !fits {
            return Err(OpError::Shape(format!(
                "query, key and value of shapes {:?}, {:?} and {:?} do not divide into {} and {} heads",
                q.shape, k.shape, v.shape, self.query_heads, self.heads
            )));
        }
        let (key, value) = (keys / self.heads, values / self.heads);
        if let Some(past) = inputs.optional(3)
            && past.shape != [batch, self.heads, key, value]
        {
            return Err(OpError::Shape(format!(
                "past_state has the shape {:?}; {:?} is needed",
                past.shape,
                [batch, self.heads, key, value]
            )));
        }
        let of_steps = |index: usize, name: &str, wanted: bool, widths: &[usize]| match inputs.optional(index)
        {
            None if !wanted => Ok(0),
            Some(operand) if wanted => match *operand.shape {
                [b, t, width] if (b, t) == (batch, steps) && widths.contains(&width) => Ok(width),
                _ => Err(OpError::Shape(format!(
                    "{name} has the shape {:?}; [{batch}, {steps}, one of {widths:?}] is needed",
                    operand.shape
                ))),
            },
            _ => Err(OpError::Shape(format!(
                "{name} does not go with this update_rule, or is missing for it"
            ))),
        };
        let decays = of_steps(
            4,
            "decay",
            self.gated,
            &[self.heads, self.heads.saturating_mul(key)],
        )? / self.heads;
        let rates = of_steps(5, "beta", self.delta, &[self.heads, 1])?;
        Ok(Sized {
            of: self.clone(),
            batch,
            steps,
            key,
            value,
            decays,
            rates,
        })
    }
}

impl Operator for LinearAttention {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let q = inputs.of_types(0, FLOATS)?;
        for index in [1, 2, 4, 5] {
            if index < 3 || inputs.optional(index).is_some() {
                inputs.like(index, q.dtype)?;
            }
        }
        let state_type = match inputs.optional(3) {
            None => q.dtype,
            Some(_) => inputs.of_types(3, FLOATS)?.dtype,
        };
        let sized = self.sized(inputs)?;
        let width = self
            .query_heads
            .checked_mul(sized.value)
            .ok_or_else(|| OpError::Shape("the output is too large".into()))?;
        Ok(vec![
            TensorType::new(q.dtype, vec![sized.batch, sized.steps, width])?,
            TensorType::new(state_type, vec![sized.batch, self.heads, sized.key, sized.value])?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(sized) = self.sized(inputs) else {
            return Work::default();
        };
        let factor = if inputs.iter().any(|operand| operand.dtype == DType::F64) {
            4
        } else {
            1
        };
        let touches = 3 * self.heads as u64 + self.query_heads as u64;
        let element = (sized.key as u64)
            .saturating_mul(sized.value.next_multiple_of(8) as u64)
            .saturating_mul(touches * PER_ELEMENT * factor);
        let row = (sized.key as u64).saturating_mul(touches * PER_ROW * factor);
        let step = element
            .saturating_add(row)
            .saturating_add((self.heads + self.query_heads) as u64 * PER_STEP);
        Work {
            arithmetic: step.saturating_mul((sized.batch * sized.steps) as u64),
            bytes: streamed(inputs, outputs),
        }
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
        self.key * self.value + self.value
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(&self, path: Path, inputs: &[Option<&[T]>], outputs: &mut [&mut [T]], scratch: &mut [T]) {
        let [q, k, v] = std::array::from_fn(|index| required(inputs, index));
        let given = |index: usize| inputs.get(index).copied().flatten();
        let [y, present] = outputs else {
            unreachable!("inference gives two outputs")
        };
        let (heads, query_heads) = (self.of.heads, self.of.query_heads);
        let (state, rest) = scratch.split_at_mut(self.key * self.value);
        let buffer = &mut rest[..self.value];
        let scale = match self.of.scale {
            Some(scale) => T::from_f32(scale),
            None => T::ONE / T::from_count(self.key).sqrt(),
        };
        for index in 0..self.batch * heads {
            let (batch, head) = (index / heads, index % heads);
            match given(3) {
                Some(past) => state.copy_from_slice(&past[index * state.len()..][..state.len()]),
                None => state.fill(T::ZERO),
            }
            for step in 0..self.steps {
                let row = batch * self.steps + step;
                let of_head = row * heads + head;
                let update = LinearUpdate {
                    decay: given(4).map(|decay| &decay[of_head * self.decays..][..self.decays]),
                    rate: given(5).map(|rate| rate[if self.rates == heads { of_head } else { row }]),
                };
                let k = &k[of_head * self.key..][..self.key];
                let v = &v[of_head * self.value..][..self.value];
                match path {
                    Path::Fast => fast::linear_attention_write(&update, k, v, state, buffer),
                    Path::Reference => reference::linear_attention_write(&update, k, v, state, buffer),
                }
                let group = query_heads / heads;
                for query in head * group..(head + 1) * group {
                    let of_query = row * query_heads + query;
                    let q = &q[of_query * self.key..][..self.key];
                    if y.is_empty() {
                        continue;
                    }
                    let out = &mut y[of_query * self.value..][..self.value];
                    match path {
                        Path::Fast => fast::linear_attention_read(scale, q, state, out),
                        Path::Reference => reference::linear_attention_read(scale, q, state, out),
                    }
                }
            }
            if !present.is_empty() {
                present[index * state.len()..][..state.len()].copy_from_slice(state);
            }
        }
    }
}
