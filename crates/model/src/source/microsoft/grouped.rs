//! `GroupQueryAttention`: several heads of queries share one of keys and values, which are kept in a buffer from step to step.
//!
//! ```text
//!   past     k0 k1 k2 k3  ·  ·          of each row of the batch as many are there as
//!   new      k4 k5                      seqlens_k + 1 less the new ones
//!   present  k0 k1 k2 k3 k4 k5          as long as total_sequence_length, or the buffer if that is longer
//! ```
//!
//! The place of a key in the buffer is its position. A query sees the keys up to its own position, of a local window the last of them.

use super::{
    Operator,
    attention::Heads,
    body::*,
    operator,
    rotary::{Angles, Turning},
};

/// What is known of these, by name.
pub(super) const OPERATORS: &[Operator] = &[Operator {
    outputs: 4,
    ..operator(
        "GroupQueryAttention",
        7..=17,
        &[
            "causal",
            "do_rotary",
            "k_norm_epsilon",
            "k_quant_type",
            "kv_cache_bit_width",
            "kv_num_heads",
            "local_window_size",
            "num_heads",
            "q_norm_epsilon",
            "qk_norm_epsilon",
            "qk_output",
            "rotary_interleaved",
            "scale",
            "sliding_window_cache",
            "smooth_softmax",
            "softcap",
            "v_quant_type",
        ],
        group_query,
    )
}];

/// Inputs query, key, value, keys and values that came before, the last place of each row of the batch, the greatest length, tables of cosines
/// and sines, positions, a bias of scores, a score for each head that no key has.
fn group_query(body: &mut Body<'_>) -> Result<Vec<String>, String> {
    const GATHER_ND_OF_BATCHES: i64 = 12;
    body.needs_opset(GATHER_ND_OF_BATCHES)?;
    body.without(&[
        ("12", "k_scale"),
        ("13", "v_scale"),
        ("14", "q_norm_weight"),
        ("15", "k_norm_weight"),
        ("16", "query_seqlens"),
    ])?;
    body.only("sliding_window_cache", 0)?;
    body.only("qk_output", 0)?;
    body.only("causal", 1)?;
    let (heads, groups) = (body.count("num_heads")?, body.count("kv_num_heads")?);
    if heads % groups != 0 {
        return Err(format!("its {heads} heads do not divide into {groups} groups"));
    }
    let Heads { mut q, mut k, v } = match (body.gives("1"), body.gives("2")) {
        (true, true) => Heads {
            q: body.heads("0", heads),
            k: body.heads("1", groups),
            v: body.heads("2", groups),
        },
        (false, false) => {
            let all = body.heads("0", heads + 2 * groups);
            let bounds = [0, heads, heads + groups, heads + 2 * groups].map(|bound| body.numbers(&[bound]));
            let [q, k, v] = [0, 1, 2].map(|part| body.part(&all, 1, &bounds[part], &bounds[part + 1]));
            Heads { q, k, v }
        }
        _ => return Err("it has one of key and value".into()),
    };

    // positions of the new rows, [batch, rows]
    let rows = body.size(&q, 2);
    let row = body.range(&rows);
    let one = body.numbers(&[1]);
    let ends = body.node("Cast", &["5"], [int("to", INT64)]);
    let ends = body.reshaped(&ends, &[-1, 1]);
    let ends = body.node("Add", &[&ends, &one], []);
    let before = body.node("Sub", &[&ends, &rows], []);
    let zero = body.numbers(&[0]);
    let before = body.node("Max", &[&before, &zero], []);
    let positions = body.node("Add", &[&before, &row], []);

    if body.int("do_rotary").unwrap_or(0) != 0 {
        if !(body.gives("7") && body.gives("8")) {
            return Err("do_rotary is set, and there are no tables of cosines and sines".into());
        }
        let turned_by = if body.gives("9") {
            given_positions(body, &rows, &row)
        } else {
            positions.clone()
        };
        let angles = Angles::at(body, &turned_by, "7", "8");
        let turning = Turning {
            is_interleaved: body.int("rotary_interleaved").unwrap_or(0) != 0,
            is_whole: is_turned_whole(body),
        };
        q = body.turned(&q, &angles, turning);
        k = body.turned(&k, &angles, turning);
    }
    let (k, v) = match (body.gives("3"), body.gives("4")) {
        (false, false) => (k, v),
        (true, true) => {
            let places = kept(body, groups, &before, &rows);
            let mut keep = |past: &str, new: &str| {
                let all = body.joined(&[past, new], 2);
                body.node("GatherND", &[&all, &places], [int("batch_dims", 2)])
            };
            (keep("3", &k), keep("4", &v))
        }
        _ => return Err("it has one of past_key and past_value".into()),
    };

    // rows of the heads of a group, one after the other
    let q = body.scaled_query(&q);
    let q = body.reshaped(&q, &[0, groups, -1, 0]);
    let turned = body.transposed(&k, &[0, 1, 3, 2]);
    let scores = body.node("MatMul", &[&q, &turned], []);
    let mut scores = body.reshaped(&scores, &[0, heads, -1, 0]);
    if let Some(cap) = body.float("softcap").filter(|&cap| cap != 0.0) {
        scores = body.times(&scores, 1.0 / cap);
        scores = body.node("Tanh", &[&scores], []);
        scores = body.times(&scores, cap);
    }
    scores = body.plus(&scores, "10");
    let keys = body.size(&k, 2);
    let columns = body.range(&keys);
    let positions = body.with_axis(&positions, 1);
    let positions = body.with_axis(&positions, 3);
    let mut shut = body.node("Less", &[&positions, &columns], []);
    match body.int("local_window_size") {
        None | Some(-1) => {}
        Some(window) if window > 0 => {
            let window = body.numbers(&[window]);
            let gone = body.node("Sub", &[&positions, &window], []);
            let gone = body.node("LessOrEqual", &[&columns, &gone], []);
            shut = body.node("Or", &[&shut, &gone], []);
        }
        Some(window) => {
            return Err(format!(
                "attribute `local_window_size` is {window}; it counts keys"
            ));
        }
    }
    scores = body.shut(&scores, &shut);
    let probabilities = softmax(body, &scores, heads);
    let probabilities = body.reshaped(&probabilities, &[0, groups, -1, 0]);
    let y = body.node("MatMul", &[&probabilities, &v], []);
    let y = body.reshaped(&y, &[0, heads, -1, 0]);
    let y = body.rows_of(&y);
    Ok(vec![y, k, v])
}

/// The positions that the call gives. Of a prompt, where the new rows are all, ONNX Runtime takes the first alone and counts from there.
fn given_positions(body: &mut Body<'_>, rows: &str, row: &str) -> String {
    let first = body.at("9", 0, 0);
    let first = body.at(&first, 0, 0);
    let counted = body.node("Add", &[&first, row], []);
    let total = body.node("Cast", &["6"], [int("to", INT64)]);
    let total = body.reshaped(&total, &[1]);
    let is_prompt = body.node("Equal", &[&total, rows], []);
    body.node("Where", &[&is_prompt, &counted, "9"], [])
}

/// Which row of the buffer and the new rows behind it each place of the next buffer takes: [batch, groups, places, 1].
fn kept(body: &mut Body<'_>, groups: i64, before: &str, rows: &str) -> String {
    let held = body.size("3", 2);
    let total = body.node("Cast", &["6"], [int("to", INT64)]);
    let total = body.reshaped(&total, &[1]);
    let places = body.node("Max", &[&total, &held], []);
    let places = body.range(&places);
    // counted from where the new rows go
    let after = body.node("Sub", &[&places, before], []);
    let zero = body.numbers(&[0]);
    let not_before = body.node("GreaterOrEqual", &[&after, &zero], []);
    let not_after = body.node("Less", &[&after, rows], []);
    let is_new = body.node("And", &[&not_before, &not_after], []);
    let new = body.node("Add", &[&after, &held], []);
    let taken = body.node("Where", &[&is_new, &new, &places], []);
    let taken = body.with_axis(&taken, 1);
    let taken = body.with_axis(&taken, 3);
    let of_groups = body.numbers(&[1, groups, 1, 1]);
    body.node("Expand", &[&taken, &of_groups], [])
}

/// Softmax, with a score that no key has where the call asks for it: one of each head, or 0.
fn softmax(body: &mut Body<'_>, scores: &str, heads: i64) -> String {
    let axis = || [int("axis", -1)];
    let sink = if body.gives("11") {
        body.reshaped("11", &[1, heads, 1, 1])
    } else if body.int("smooth_softmax").unwrap_or(0) > 0 {
        let nothing = body.constant(0.0, scores);
        body.reshaped(&nothing, &[1, 1, 1, 1])
    } else {
        return body.node("Softmax", &[scores], axis());
    };
    let (zero, one, three) = (body.numbers(&[0]), body.numbers(&[1]), body.numbers(&[3]));
    let shape = body.node("Shape", &[scores], []);
    let shape = body.part(&shape, 0, &zero, &three);
    let shape = body.joined(&[&shape, &one], 0);
    let sink = body.node("Expand", &[&sink, &shape], []);
    let scores = body.joined(&[&sink, scores], 3);
    let probabilities = body.node("Softmax", &[&scores], axis());
    let end = body.numbers(&[i64::MAX]);
    body.part(&probabilities, 3, &one, &end)
}

/// Whether the file declares that all elements of a head turn.
fn is_turned_whole(body: &Body<'_>) -> bool {
    let size = |input, axis: usize| body.shape(input)?.get(axis).copied().flatten();
    size("3", 3).is_some_and(|elements: usize| size("7", 1).is_some_and(|half| elements == 2 * half))
}
