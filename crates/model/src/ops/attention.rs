//! Attention: softmax(Q·Kᵀ × scale + bias)·V for every head. ONNX `Attention`, versions 23, 24 and 25.
//!
//! Both products are chains of fused multiply-adds, the first over the head's elements, the second over the keys, ascending;
//! the softmax is that of the operator Softmax. A key that the masks shut counts as −∞ whatever its score, and a query whose
//! keys are all shut gets +0 throughout. 16-bit floats round once, where an output is stored.

use super::{
    AttributeError, DType, Definition, FLOATS, Inputs, Kernel, OpError, Operator, Path, TensorType, Work,
    floats::{Compute, Known, MixedKernel, MixedOperation, Operands, on_mixed, required},
    matmul::product_arithmetic,
    streamed,
};
use crate::{
    shape::{broadcast, broadcast_strides},
    tensor::TensorView,
};
use synod_numerics::{
    fast, reference,
    shape::{Matrix, ReduceShape},
};

/// Rows that arranging keys and values for the products costs as much as.
const PACKING_ROWS: usize = 24;
/// Multiply-add equivalents of a score: scaling, cap, masks, softmax, copies.
const PER_SCORE: u64 = 320;
/// Of a query's softmax.
const PER_QUERY: u64 = 4_000;
/// Of a head.
const PER_HEAD: u64 = 12_000;

/// `Attention`
pub(super) const ATTENTION: Definition = Definition {
    name: "Attention",
    since: &[23, 24, 25],
    inputs: 3..=7,
    outputs: 1..=4,
    parse: |node| {
        if node.version < 24 {
            node.limit_inputs(6)?;
        }
        let wrong = |name, value: String, expected| -> OpError {
            AttributeError::Value {
                name,
                value,
                expected,
            }
            .into()
        };
        let attributes = &mut *node.attributes;
        let mut heads = |name| match attributes.int(name)? {
            None => Ok(None),
            Some(heads) => match usize::try_from(heads) {
                Ok(heads) if heads > 0 => Ok(Some(heads)),
                _ => Err(wrong(name, heads.to_string(), "at least 1")),
            },
        };
        let (query_heads, key_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
        let positive = |name, value: Option<f32>| match value {
            Some(value) if value.is_nan() || value < 0.0 => {
                Err(wrong(name, value.to_string(), "a number that is not negative"))
            }
            other => Ok(other),
        };
        let scale = positive("scale", node.attributes.float("scale")?)?;
        let softcap = positive("softcap", node.attributes.float("softcap")?)?.filter(|&cap| cap > 0.0);
        let mode = node.attributes.int("qk_matmul_output_mode")?.unwrap_or(0);
        let shown = match mode {
            0 => Shown::Scores,
            1 => Shown::Capped,
            2 => Shown::Biased,
            3 => Shown::Probabilities,
            other => return Err(wrong("qk_matmul_output_mode", other.to_string(), "0 to 3")),
        };
        // it says how precise the softmax should be at least; here it is the computing type's
        let precision = node.attributes.int("softmax_precision")?;
        if let Some(code) = precision
            && !i32::try_from(code)
                .ok()
                .and_then(DType::from_onnx_code)
                .is_some_and(DType::is_float)
        {
            return Err(wrong(
                "softmax_precision",
                code.to_string(),
                "a float type: 1, 10, 11, 16",
            ));
        }
        let mut window = |name| match node.attributes.int(name)?.unwrap_or(-1) {
            -1 => Ok(None),
            size if size >= 0 => Ok(Some(size)),
            size => Err(wrong(name, size.to_string(), "-1 or more")),
        };
        let windows = if node.version >= 25 {
            [window("left_window_size")?, window("right_window_size")?]
        } else {
            [None; 2]
        };
        Ok(Box::new(Attention {
            causal: node.attributes.flag("is_causal", false)?,
            query_heads,
            key_heads,
            scale,
            softcap,
            shown,
            windows,
        }))
    },
};

/// What the fourth output shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// The scaled products.
    Scores,
    /// After the cap.
    Capped,
    /// After masks.
    Biased,
    /// After the softmax.
    Probabilities,
}

#[derive(Debug, Clone)]
struct Attention {
    causal: bool,
    query_heads: Option<usize>,
    key_heads: Option<usize>,
    scale: Option<f32>,
    softcap: Option<f32>,
    shown: Shown,
    /// How far a query looks to the left and to the right.
    windows: [Option<i64>; 2],
}

/// An operand as heads of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heads {
    batch: usize,
    heads: usize,
    rows: usize,
    size: usize,
    /// Whether a row has its heads side by side (three dimensions), or a head its rows (four).
    rows_first: bool,
}

impl Heads {
    fn of(index: usize, shape: &[usize], heads: Option<usize>) -> Result<Self, OpError> {
        match (shape, heads) {
            (&[batch, heads, rows, size], given) if given.is_none_or(|given| given == heads) => Ok(Self {
                batch,
                heads,
                rows,
                size,
                rows_first: false,
            }),
            (&[batch, rows, whole], Some(heads)) if whole.is_multiple_of(heads) => Ok(Self {
                batch,
                heads,
                rows,
                size: whole / heads,
                rows_first: true,
            }),
            _ => Err(OpError::Shape(format!(
                "input {index} of shape {shape:?} does not divide into {} heads",
                heads.map_or("its".into(), |heads| heads.to_string())
            ))),
        }
    }

    /// The rows of one head within the operand.
    fn matrix<'a, T: Copy>(&self, data: &'a [T], batch: usize, head: usize) -> Matrix<'a, T> {
        let (start, row_stride) = if self.rows_first {
            (
                (batch * self.rows * self.heads + head) * self.size,
                self.heads * self.size,
            )
        } else {
            ((batch * self.heads + head) * self.rows * self.size, self.size)
        };
        Matrix {
            data: data.get(start..).unwrap_or_default(),
            row_stride,
            column_stride: 1,
        }
    }

    fn elements(&self) -> usize {
        self.batch * self.heads * self.rows * self.size
    }
}

/// An attention of concrete shapes.
#[derive(Debug, Clone)]
struct Sized {
    of: Attention,
    q: Heads,
    k: Heads,
    v: Heads,
    /// Keys and values that came before.
    past: usize,
    /// Strides of the mask over batch, heads and queries, and its keys, padded with shut ones.
    mask: Option<([usize; 3], usize)>,
}

impl Sized {
    /// All keys.
    fn keys(&self) -> usize {
        self.past + self.k.rows
    }

    /// Whether keys and values lie where the products can read them.
    fn in_place(&self) -> bool {
        self.past == 0 && !self.k.rows_first
    }
}

impl Attention {
    fn sized(&self, inputs: &Inputs<'_>) -> Result<Sized, OpError> {
        let [q, k, v] = [0, 1, 2].map(|index| inputs.required(index));
        let (q, k, v) = (q?, k?, v?);
        let rank = q.shape.len();
        if k.shape.len() != rank || v.shape.len() != rank {
            return Err(OpError::Shape(format!(
                "Q, K and V have shapes {:?}, {:?} and {:?}: all need three or all four dimensions",
                q.shape, k.shape, v.shape
            )));
        }
        let q = Heads::of(0, q.shape, self.query_heads)?;
        let k = Heads::of(1, k.shape, self.key_heads)?;
        let v = Heads::of(2, v.shape, self.key_heads)?;
        let fits = q.batch == k.batch
            && k.batch == v.batch
            && k.heads == v.heads
            && k.rows == v.rows
            && q.size == k.size
            && k.heads > 0
            && q.heads.is_multiple_of(k.heads);
        if !fits {
            return Err(OpError::Shape(format!(
                "Q, K and V of {q:?}, {k:?} and {v:?} do not fit together"
            )));
        }
        let past = match (inputs.optional(4), inputs.optional(5)) {
            (None, None) => 0,
            (Some(key), Some(value)) => match (key.shape, value.shape) {
                (&[kb, kh, rows, ks], &[vb, vh, v_rows, vs])
                    if (kb, kh, ks) == (k.batch, k.heads, k.size)
                        && (vb, vh, vs) == (v.batch, v.heads, v.size)
                        && rows == v_rows =>
                {
                    rows
                }
                _ => {
                    return Err(OpError::Shape(format!(
                        "past key and value of shapes {:?} and {:?} do not fit K and V",
                        key.shape, value.shape
                    )));
                }
            },
            _ => {
                return Err(OpError::Shape(
                    "past_key and past_value must be given together".into(),
                ));
            }
        };
        if let Some(lengths) = inputs.optional(6) {
            if past > 0 || inputs.optional(4).is_some() {
                return Err(OpError::Shape(
                    "nonpad_kv_seqlen cannot be combined with past keys".into(),
                ));
            }
            if lengths.shape != [q.batch] {
                return Err(OpError::Shape(format!(
                    "nonpad_kv_seqlen has the shape {:?}; [{}] is needed",
                    lengths.shape, q.batch
                )));
            }
        }
        let keys = past + k.rows;
        let mask = match inputs.optional(3) {
            None => None,
            Some(mask) => {
                let whole = [q.batch, q.heads, q.rows];
                let Some((&last, before)) = mask.shape.split_last() else {
                    return Err(OpError::Shape("attn_mask has no dimensions".into()));
                };
                if before.len() > 3
                    || last > keys
                    || broadcast(&[before, &whole]).as_deref() != Some(&whole[..])
                {
                    return Err(OpError::Shape(format!(
                        "attn_mask of shape {:?} does not broadcast to [{}, {}, {}, {keys}]",
                        mask.shape, q.batch, q.heads, q.rows
                    )));
                }
                let strides = broadcast_strides(before, &whole);
                Some((std::array::from_fn(|axis| strides[axis] * last), last))
            }
        };
        Ok(Sized {
            of: self.clone(),
            q,
            k,
            v,
            past,
            mask,
        })
    }
}

impl Operator for Attention {
    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<TensorType>, OpError> {
        let q = inputs.of_types(0, FLOATS)?;
        inputs.like(1, q.dtype)?;
        let v = inputs.of_types(2, FLOATS)?;
        if inputs.optional(3).is_some() {
            inputs.of_types(3, &[DType::F32, DType::F64, DType::F16, DType::BF16, DType::Bool])?;
        }
        if inputs.optional(4).is_some() {
            inputs.like(4, q.dtype)?;
        }
        if inputs.optional(5).is_some() {
            inputs.like(5, v.dtype)?;
        }
        if inputs.optional(6).is_some() {
            inputs.of_types(6, &[DType::I64])?;
        }
        let sized = self.sized(inputs)?;
        let Sized {
            q: queries,
            k,
            v: values,
            ..
        } = &sized;
        let keys = sized.keys();
        let y = if queries.rows_first {
            let width = queries
                .heads
                .checked_mul(values.size)
                .ok_or_else(|| OpError::Shape("the output is too large".into()))?;
            vec![queries.batch, queries.rows, width]
        } else {
            vec![queries.batch, queries.heads, queries.rows, values.size]
        };
        Ok(vec![
            TensorType::new(q.dtype, y)?,
            TensorType::new(q.dtype, vec![k.batch, k.heads, keys, k.size])?,
            TensorType::new(v.dtype, vec![k.batch, k.heads, keys, values.size])?,
            TensorType::new(q.dtype, vec![queries.batch, queries.heads, queries.rows, keys])?,
        ])
    }

    fn work(&self, inputs: &Inputs<'_>, outputs: &[TensorType]) -> Work {
        let Ok(sized) = self.sized(inputs) else {
            return Work::default();
        };
        let Sized { q, v, .. } = &sized;
        let keys = sized.keys();
        let dtype = if inputs.iter().any(|operand| operand.dtype == DType::F64) {
            DType::F64
        } else {
            DType::F32
        };
        let rows = q.rows + PACKING_ROWS;
        let scores = (q.rows as u64).saturating_mul(keys as u64);
        let factor = if dtype == DType::F64 { 4 } else { 1 };
        let head = product_arithmetic(dtype, rows, keys, q.size)
            // a single query takes its keys as rows
            .saturating_add(if q.rows == 1 {
                (keys as u64)
                    .saturating_mul(q.size as u64 + 12)
                    .saturating_mul(4 * factor)
            } else {
                0
            })
            .saturating_add(product_arithmetic(dtype, rows, v.size, keys))
            .saturating_add(scores.saturating_mul(PER_SCORE * factor))
            .saturating_add(q.rows as u64 * PER_QUERY)
            .saturating_add(PER_HEAD);
        Work {
            arithmetic: head.saturating_mul((q.batch * q.heads) as u64),
            bytes: streamed(inputs, outputs).saturating_mul(3),
        }
    }

    fn multiply_adds(&self, inputs: &Inputs<'_>, _outputs: &[TensorType]) -> u64 {
        self.sized(inputs).map_or(0, |sized| {
            ((sized.q.batch * sized.q.heads * sized.q.rows) as u64)
                .saturating_mul((sized.keys() as u64).saturating_mul((sized.q.size + sized.v.size) as u64))
        })
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

/// Past rows and new ones, head by head.
fn gather_rows<T: Copy>(of: &Heads, past_rows: usize, past: Option<&[T]>, new: &[T], out: &mut [T]) {
    let block = (past_rows + of.rows) * of.size;
    if block == 0 {
        return;
    }
    for (index, out) in out.chunks_exact_mut(block).enumerate() {
        let (before, after) = out.split_at_mut(past_rows * of.size);
        if let Some(past) = past {
            before.copy_from_slice(&past[index * before.len()..][..before.len()]);
        }
        let matrix = of.matrix(new, index / of.heads, index % of.heads);
        for (row, out) in after.chunks_exact_mut(of.size.max(1)).enumerate() {
            out.copy_from_slice(&matrix.data[row * matrix.row_stride..][..of.size]);
        }
    }
}

/// A query's masks.
struct Masks<'a, 'b, T> {
    floats: Option<&'b [T]>,
    bools: Option<&'a [u8]>,
    /// Position of the first query among the keys.
    offset: i64,
    /// Keys that are not padding.
    length: i64,
}

impl Sized {
    /// Brings the masks into a query's scores.
    fn bias<T: Compute>(&self, masks: &Masks<'_, '_, T>, at: [usize; 3], scores: &mut [T]) {
        let shut = -T::INFINITY;
        let position = masks.offset.saturating_add(at[2] as i64);
        if let Some((strides, length)) = &self.mask {
            let start: usize = at.iter().zip(strides).map(|(at, stride)| at * stride).sum();
            let (given, beyond) = scores.split_at_mut(*length);
            if let Some(bools) = masks.bools {
                for (score, &open) in given.iter_mut().zip(&bools[start..][..*length]) {
                    *score = if open == 0 { shut } else { *score };
                }
            } else if let Some(floats) = masks.floats {
                for (score, &bias) in given.iter_mut().zip(&floats[start..][..*length]) {
                    *score = if bias == shut { shut } else { *score + bias };
                }
            }
            beyond.fill(shut);
        }
        // open are the keys from `first` to before `end`
        let mut first = 0;
        let mut end = masks.length;
        if self.of.causal {
            end = end.min(position.saturating_add(1));
        }
        if let Some(left) = self.of.windows[0] {
            first = position.saturating_sub(left);
        }
        if let Some(right) = self.of.windows[1] {
            end = end.min(position.saturating_add(right).saturating_add(1));
        }
        let within = |key: i64| usize::try_from(key).unwrap_or(0).min(scores.len());
        let (first, end) = (within(first), within(end));
        if end <= first {
            scores.fill(shut);
        } else {
            scores[..first].fill(shut);
            scores[end..].fill(shut);
        }
    }
}

impl<T: Compute> MixedKernel<T> for Sized {
    fn scratch(&self) -> usize {
        let (keys, rows) = (self.keys(), self.q.rows);
        let gathered = if self.in_place() {
            0
        } else {
            self.k.batch * self.k.heads * keys * (self.k.size + self.v.size)
        };
        let scores = if rows == 1 {
            T::gemm_scratch(keys, 1, self.q.size)
        } else {
            T::gemm_scratch(rows, keys, self.q.size)
        };
        gathered
            .saturating_add((2 * rows).saturating_mul(keys))
            .saturating_add(rows * self.v.size)
            .saturating_add(scores.max(T::gemm_scratch(rows, self.v.size, keys)))
    }

    fn reads(&self, _path: Path, _input: usize) -> bool {
        true
    }

    fn run(
        &self,
        path: Path,
        operands: &Operands<'_, '_, T>,
        outputs: &mut [&mut [T]],
        scratch: &mut [T],
    ) -> Result<(), OpError> {
        let (queries, keys) = (self.q.rows, self.keys());
        let floats = operands.floats;
        let given = |index: usize| floats.get(index).copied().flatten();
        let view = |index: usize| -> Option<TensorView<'_>> { operands.views.get(index).copied().flatten() };
        let [y, present_key, present_value, shown] = outputs else {
            unreachable!("inference gives four outputs")
        };
        let (k, v) = (required(floats, 1), required(floats, 2));
        let mut scratch = scratch;
        let (k, v) = if self.in_place() {
            (k, v)
        } else {
            let heads = self.k.batch * self.k.heads * keys;
            let (all_keys, rest) = scratch.split_at_mut(heads * self.k.size);
            let (all_values, rest) = rest.split_at_mut(heads * self.v.size);
            scratch = rest;
            gather_rows(&self.k, self.past, given(4), k, all_keys);
            gather_rows(&self.v, self.past, given(5), v, all_values);
            (&*all_keys, &*all_values)
        };
        if !present_key.is_empty() {
            present_key.copy_from_slice(k);
        }
        if !present_value.is_empty() {
            present_value.copy_from_slice(v);
        }
        let (scores, scratch) = scratch.split_at_mut(queries * keys);
        let (probabilities, scratch) = scratch.split_at_mut(queries * keys);
        let (result, scratch) = scratch.split_at_mut(queries * self.v.size);
        let scale = match self.of.scale {
            Some(scale) => T::from_f32(scale),
            None => T::ONE / T::from_count(self.q.size).sqrt(),
        };
        let cap = self.of.softcap.map(T::from_f32);
        let lengths = view(6).map(|lengths| lengths.as_slice::<i64>());
        let group = self.q.heads / self.k.heads;
        let q = required(floats, 0);
        let contiguous = |rows: usize, size: usize| Heads {
            rows,
            size,
            rows_first: false,
            ..self.k
        };
        let lines = ReduceShape {
            outer: queries,
            length: keys,
            inner: 1,
        };
        let mut show = |stage: Shown, index: usize, from: &[T]| {
            if stage == self.of.shown && !shown.is_empty() {
                shown[index * from.len()..][..from.len()].copy_from_slice(from);
            }
        };
        for index in 0..self.q.batch * self.q.heads {
            let (batch, head) = (index / self.q.heads, index % self.q.heads);
            let query = self.q.matrix(q, batch, head);
            let key = contiguous(keys, self.k.size).matrix(k, batch, head / group);
            let value = contiguous(keys, self.v.size).matrix(v, batch, head / group);
            let turned = Matrix {
                data: key.data,
                row_stride: 1,
                column_stride: key.row_stride,
            };
            let size = self.q.size;
            if keys > 0 && queries > 0 {
                match path {
                    // of a single query the keys are the rows: they then need no arranging
                    Path::Fast if queries == 1 => {
                        let column = Matrix::row_major(query.data, 1);
                        T::gemm([keys, 1, size], key, column, None, scores, scratch);
                    }
                    Path::Fast => T::gemm([queries, keys, size], query, turned, None, scores, scratch),
                    Path::Reference => reference::gemm(queries, keys, size, query, turned, scores),
                }
            }
            scores.iter_mut().for_each(|x| *x = (*x * scale).canonical());
            show(Shown::Scores, index, scores);
            if let Some(cap) = cap {
                scores
                    .iter_mut()
                    .for_each(|x| *x = ((*x / cap).tanh() * cap).canonical());
            }
            show(Shown::Capped, index, scores);
            let masks = Masks {
                floats: given(3),
                bools: view(3)
                    .filter(|mask| mask.dtype() == DType::Bool)
                    .map(|mask| mask.as_slice::<u8>()),
                offset: match lengths {
                    Some(lengths) => lengths[batch].saturating_sub(queries as i64),
                    None => self.past as i64,
                },
                length: lengths.map_or(keys as i64, |lengths| lengths[batch].min(keys as i64)),
            };
            if keys > 0 {
                for (row, scores) in scores.chunks_exact_mut(keys).enumerate() {
                    self.bias(&masks, [batch, head, row], scores);
                    scores.iter_mut().for_each(|x| *x = x.canonical());
                }
            }
            show(Shown::Biased, index, scores);
            match path {
                Path::Fast => fast::softmax(&lines, scores, probabilities),
                Path::Reference => reference::softmax(&lines, scores, probabilities),
            }
            if keys > 0 {
                let rows = probabilities
                    .chunks_exact_mut(keys)
                    .zip(scores.chunks_exact(keys));
                for (row, scores) in rows {
                    if scores.iter().all(|&score| score == -T::INFINITY) {
                        row.fill(T::ZERO);
                    }
                }
            }
            show(Shown::Probabilities, index, probabilities);
            if queries == 0 || self.v.size == 0 {
                continue;
            }
            let weights = Matrix::row_major(probabilities, keys);
            let dims = [queries, self.v.size, keys];
            match path {
                Path::Fast => T::gemm(dims, weights, value, None, result, scratch),
                Path::Reference => reference::gemm(queries, self.v.size, keys, weights, value, result),
            }
            let (start, stride) = if self.q.rows_first {
                (
                    (batch * queries * self.q.heads + head) * self.v.size,
                    self.q.heads * self.v.size,
                )
            } else {
                (index * queries * self.v.size, self.v.size)
            };
            for (row, result) in result.chunks_exact(self.v.size).enumerate() {
                y[start + row * stride..][..self.v.size].copy_from_slice(result);
            }
        }
        debug_assert_eq!(q.len(), self.q.elements());
        Ok(())
    }
}
