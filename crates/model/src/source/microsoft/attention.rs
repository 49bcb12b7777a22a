//! Attention whose keys and values are as long as what is given: `Attention`, `MultiHeadAttention`, `QAttention`.
//!
//! ```text
//!   softmax(Q·Kᵀ × scale + masks)·V        for every head
//! ```
//!
//! A key that the padding mask shuts is not left out: `mask_filter_value` is added to its score, -10000 unless the call says otherwise. What
//! comes after a query is left out where attention is `unidirectional`.

use super::{Operator, body::*, operator};

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[
    Operator {
        outputs: 2,
        ..operator(
            "Attention",
            2..=7,
            &[
                "do_rotary",
                "mask_filter_value",
                "num_heads",
                "past_present_share_buffer",
                "qkv_hidden_sizes",
                "rotary_embedding_dim",
                "scale",
                "unidirectional",
            ],
            |body| {
                body.without(&[("6", "past_sequence_length")])?;
                let sums = body.node("MatMul", &["0", "1"], []);
                let sums = body.plus(&sums, "2");
                projected(body, &sums, "3", "4", "5")
            },
        )
    },
    Operator {
        outputs: 4,
        ..operator(
            "MultiHeadAttention",
            1..=10,
            &["mask_filter_value", "num_heads", "scale", "unidirectional"],
            multi_head,
        )
    },
    Operator {
        outputs: 2,
        ..operator(
            "QAttention",
            5..=9,
            &[
                "do_rotary",
                "mask_filter_value",
                "num_heads",
                "past_present_share_buffer",
                "scale",
                "unidirectional",
            ],
            |body| {
                let scales = body.node("Mul", &["3", "4"], []);
                let sums = body.scaled_product(["0", "6"], ["1", "7"], &scales, "2");
                projected(body, &sums, "5", "8", "")
            },
        )
    },
];

/// Heads of rows: values of the shape batch, heads, rows, elements.
pub(super) struct Heads {
    pub(super) q: String,
    pub(super) k: String,
    pub(super) v: String,
}

/// Attention of projections that lie side by side, with the names of the inputs that hold a mask, what came before, and a bias of scores.
fn projected(
    body: &mut Body<'_>,
    sums: &str,
    mask: &str,
    past: &str,
    bias: &str,
) -> Result<Vec<String>, String> {
    body.only("do_rotary", 0)?;
    body.only("past_present_share_buffer", 0)?;
    let heads = body.count("num_heads")?;
    let sizes = body.ints("qkv_hidden_sizes");
    let [q, mut k, mut v] = if sizes.is_empty() {
        let parts = body.reshaped(sums, &[0, 0, 3, heads, -1]);
        let parts = body.transposed(&parts, &[2, 0, 3, 1, 4]);
        [0, 1, 2].map(|part| body.at(&parts, 0, part))
    } else {
        let &[q, k, v] = &sizes[..] else {
            return Err("attribute `qkv_hidden_sizes` has not three sizes".into());
        };
        [(0, q), (q, k), (q.saturating_add(k), v)].map(|(from, size)| {
            let (from, to) = (body.numbers(&[from]), body.numbers(&[from.saturating_add(size)]));
            let part = body.part(sums, 2, &from, &to);
            body.heads(&part, heads)
        })
    };
    if body.gives(past) {
        let [before_k, before_v] = [0, 1].map(|part| body.at(past, 0, part));
        k = body.joined(&[&before_k, &k], 2);
        v = body.joined(&[&before_v, &v], 2);
    }
    let present = [&k, &v].map(|part| body.with_axis(part, 0));
    let present = body.joined(&[&present[0], &present[1]], 0);
    let y = body.attended(&Heads { q, k, v }, mask, bias)?;
    Ok(vec![y, present])
}

/// Inputs query, key, value, a bias of the three projections, a mask, a bias of scores, keys and values that came before.
fn multi_head(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    body.without(&[("8", "past_sequence_length"), ("9", "cache_indirection")])?;
    let heads = body.count("num_heads")?;
    let is_packed = !body.gives("2");
    if is_packed && body.gives("3") {
        return Err("a bias of packed projections is not supported".into());
    }
    let Heads { q, mut k, mut v } = if !body.gives("1") {
        // batch, rows, heads, 3, elements
        let parts = body.transposed("0", &[3, 0, 2, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|part| body.at(&parts, 0, part));
        Heads { q, k, v }
    } else {
        let width = body.size("0", 2);
        let twice = body.node("Add", &[&width, &width], []);
        let (zero, end) = (body.numbers(&[0]), body.numbers(&[i64::MAX]));
        let biased = |body: &mut Body<'_>, x: &str, from: &str, to: &str| {
            if !body.gives("3") {
                return x.to_owned();
            }
            let bias = body.part("3", 0, from, to);
            body.node("Add", &[x, &bias], [])
        };
        let q = biased(body, "0", &zero, &width);
        let q = body.heads(&q, heads);
        let rank = body.shape("1").map_or(3, <[_]>::len);
        match (is_packed, rank) {
            (true, _) => {
                // batch, rows, heads, 2, elements
                let parts = body.transposed("1", &[3, 0, 2, 1, 4]);
                let [k, v] = [0, 1].map(|part| body.at(&parts, 0, part));
                Heads { q, k, v }
            }
            // keys and values of another sequence as they were kept: heads already, with their bias
            (false, 4) => Heads {
                q,
                k: "1".into(),
                v: "2".into(),
            },
            (false, _) => {
                // an axis more than was declared, or thought, is refused here
                let [k, v] = ["1", "2"].map(|x| body.transposed(x, &[0, 1, 2]));
                let (k, v) = (biased(body, &k, &width, &twice), biased(body, &v, &twice, &end));
                Heads {
                    q,
                    k: body.heads(&k, heads),
                    v: body.heads(&v, heads),
                }
            }
        }
    };
    if body.gives("6") && body.gives("7") {
        k = body.joined(&["6", &k], 2);
        v = body.joined(&["7", &v], 2);
    }
    let of = Heads { q, k, v };
    let y = body.attended(&of, "4", "5")?;
    Ok(vec![y, of.k, of.v])
}

impl Body<'_> {
    /// Rows of heads side by side, as heads of rows.
    pub(super) fn heads(&mut self, x: &str, heads: i64) -> String {
        let x = self.reshaped(x, &[0, 0, heads, -1]);
        self.transposed(&x, &[0, 2, 1, 3])
    }

    /// Heads of rows, as rows of heads side by side.
    pub(super) fn rows_of(&mut self, heads: &str) -> String {
        let rows = self.transposed(heads, &[0, 2, 1, 3]);
        self.reshaped(&rows, &[0, 0, -1])
    }

    /// The query times the scale of scores.
    pub(super) fn scaled_query(&mut self, q: &str) -> String {
        if let Some(scale) = self.float("scale").filter(|&scale| scale != 0.0) {
            return self.times(q, scale);
        }
        let size = self.size(q, 3);
        let size = self.node("Cast", &[&size], [int("to", FLOAT)]);
        let root = self.node("Sqrt", &[&size], []);
        let root = self.typed(root, q);
        self.node("Div", &[q, &root], [])
    }

    /// Scores, with −∞ for those that are shut.
    pub(super) fn shut(&mut self, scores: &str, shut: &str) -> String {
        let never = self.constant(f32::NEG_INFINITY, scores);
        self.node("Where", &[shut, &never, scores], [])
    }

    /// The whole attention, with the names of the inputs that hold a mask and a bias of scores.
    fn attended(&mut self, of: &Heads, mask: &str, bias: &str) -> Result<String, String> {
        const RANGE: i64 = 11;
        self.needs_opset(RANGE)?;
        let q = self.scaled_query(&of.q);
        let k = self.transposed(&of.k, &[0, 1, 3, 2]);
        let mut scores = self.node("MatMul", &[&q, &k], []);
        if self.gives(mask) {
            let padding = self.padding(mask, &of.k);
            scores = self.node("Add", &[&scores, &padding], []);
        }
        scores = self.plus(&scores, bias);
        if self.int("unidirectional").unwrap_or(0) != 0 {
            let (queries, keys) = (self.size(&of.q, 2), self.size(&of.k, 2));
            let before = self.node("Sub", &[&keys, &queries], []);
            let places = self.range(&queries);
            let places = self.node("Add", &[&places, &before], []);
            let places = self.reshaped(&places, &[-1, 1]);
            let keys = self.range(&keys);
            let later = self.node("Less", &[&places, &keys], []);
            scores = self.shut(&scores, &later);
        }
        let probabilities = self.node("Softmax", &[&scores], [int("axis", -1)]);
        let y = self.node("MatMul", &[&probabilities, &of.v], []);
        Ok(self.rows_of(&y))
    }

    /// What a padding mask adds to scores. Whether it has the number of keys of each row of the batch (one dimension), or says of each key, or
    /// of each query and key, whether it is open, shows in its rank, which planning knows: a key is open if the mask is above a threshold, which
    /// is the key's place in the first case and 0 else.
    fn padding(&mut self, mask: &str, k: &str) -> String {
        let (one, two) = (self.numbers(&[1]), self.numbers(&[2]));
        let (batch, keys) = (self.size(k, 0), self.size(k, 2));
        let rank = self.rank(mask);
        let counts = self.node("Equal", &[&rank, &one], []);
        let counts = self.node("Cast", &[&counts], [int("to", INT64)]);
        // [batch, 1, 1, 1] or [batch, 1, -1, keys]
        let all_but_one = self.node("Sub", &[&keys, &one], []);
        let all_but_one = self.node("Mul", &[&all_but_one, &counts], []);
        let columns = self.node("Sub", &[&keys, &all_but_one], []);
        let rows = self.node("Mul", &[&two, &counts], []);
        let rows = self.node("Sub", &[&rows, &one], []);
        let mask = self.node("Cast", &[mask], [int("to", INT64)]);
        let mask = self.reshaped_to(&mask, &[&batch, &one, &rows, &columns]);
        let thresholds = self.range(&keys);
        let thresholds = self.node("Mul", &[&thresholds, &counts], []);
        let open = self.node("Greater", &[&mask, &thresholds], []);
        let nothing = self.constant(0.0, k);
        let filter = self.float("mask_filter_value").unwrap_or(-10_000.0);
        let filter = self.constant(filter, k);
        self.node("Where", &[&open, &nothing, &filter], [])
    }
}
