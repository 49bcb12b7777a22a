//! Operators that are small networks of their own: recurrence, attention, normalisations of newer opsets.

use super::{Case, node, node_of};
use crate::build::{FLOAT, attr_float, attr_int, attr_ints, attr_string};

// ONNX's codes of types.
const U8: i32 = 2;
const I8: i32 = 3;
const I32: i32 = 6;
const BOOL: i32 = 9;

/// All of them.
pub(super) fn all(cases: &mut Vec<Case>) {
    recurrence(cases);
    attention(cases);
    normalisations(cases);
    quantised(cases);
}

fn quantised(cases: &mut Vec<Case>) {
    for [rows, width] in [[1024, 1024], [1 << 16, 1], [1, 1 << 16]] {
        for scales in [vec![], vec![width]] {
            cases.push(
                node_of(21, "QuantizeLinear")
                    .input(&[rows, width])
                    .weights(&scales)
                    .case(),
            );
            cases.push(
                node_of(21, "DequantizeLinear")
                    .typed(U8, &[rows, width])
                    .weights(&scales)
                    .case(),
            );
        }
        cases.push(
            node_of(21, "QuantizeLinear")
                .input(&[rows, width])
                .weights(&[rows, width.div_ceil(4)])
                .attribute(attr_int("block_size", 4), "blocks of 4")
                .case(),
        );
    }
    cases.push(
        node_of(11, "DynamicQuantizeLinear")
            .input(&[1 << 16])
            .gives(&[("y", U8), ("s", FLOAT), ("z", U8)])
            .case(),
    );
    for [m, n, k] in [
        [512, 512, 512],
        [1, 1024, 1024],
        [1024, 1, 1024],
        [1024, 1024, 1],
        [7, 17, 33],
        [1, 1, 1],
    ] {
        cases.push(
            node_of(10, "MatMulInteger")
                .typed(U8, &[m, k])
                .typed(I8, &[k, n])
                .gives(&[("y", I32)])
                .case(),
        );
        cases.push(
            node_of(10, "MatMulInteger")
                .typed(U8, &[m, k])
                .typed(I8, &[k, n])
                .typed(U8, &[])
                .typed(I8, &[n])
                .gives(&[("y", I32)])
                .note("zero points")
                .case(),
        );
    }
    for ([batch, channels, side, outputs], groups) in [
        ([1, 64, 56, 64], 1),
        ([1, 256, 14, 256], 1),
        ([1, 96, 56, 96], 96),
        ([4, 1, 5, 1], 1),
        ([1, 3, 64, 8], 1),
    ] {
        for stride in [1, 2] {
            cases.push(
                node_of(10, "ConvInteger")
                    .typed(U8, &[batch, channels, side, side])
                    .typed(I8, &[outputs, channels / groups, 3, 3])
                    .attribute(attr_int("group", groups as i64), &format!("{groups} groups"))
                    .attribute(
                        attr_ints("strides", &[stride, stride]),
                        &format!("stride {stride}"),
                    )
                    .gives(&[("y", I32)])
                    .case(),
            );
        }
    }
}

/// batch, heads, queries, keys, size: prefill, one query on a long past, many tiny heads, thin and long.
const ATTENTIONS: [[usize; 5]; 6] = [
    [1, 12, 128, 128, 64],
    [1, 12, 1, 1024, 64],
    [64, 64, 1, 1, 1],
    [1, 1, 512, 512, 1],
    [1, 1, 2, 4096, 4],
    [8, 8, 7, 7, 8],
];

fn attention(cases: &mut Vec<Case>) {
    for [batch, heads, queries, keys, size] in ATTENTIONS {
        let of = || {
            node_of(25, "Attention")
                .input(&[batch, heads, queries, size])
                .input(&[batch, heads, keys, size])
                .input(&[batch, heads, keys, size])
        };
        cases.push(of().case());
        cases.push(of().attribute(attr_int("is_causal", 1), "causal").case());
        cases.push(
            of().input(&[batch, heads, queries, keys])
                .attribute(attr_float("softcap", 2.0), "mask and cap")
                .case(),
        );
        cases.push(
            of().typed(BOOL, &[queries, keys])
                .input(&[batch, heads, 64, size])
                .input(&[batch, heads, 64, size])
                .gives(&[("y", FLOAT), ("k", FLOAT), ("v", FLOAT), ("qk", FLOAT)])
                .note("past and presents")
                .case(),
        );
        cases.push(
            node_of(25, "Attention")
                .input(&[batch, queries, heads * size])
                .input(&[batch, keys, heads * size])
                .input(&[batch, keys, heads * size])
                .attribute(attr_int("q_num_heads", heads as i64), "")
                .attribute(attr_int("kv_num_heads", heads as i64), "rows first")
                .case(),
        );
    }
    for [batch, heads, rows, size] in [[1, 12, 128, 64], [64, 64, 1, 2], [1, 1, 4096, 256]] {
        for interleaved in [0, 1] {
            cases.push(
                node_of(23, "RotaryEmbedding")
                    .input(&[batch, heads, rows, size])
                    .input(&[batch, rows, size / 2])
                    .input(&[batch, rows, size / 2])
                    .attribute(attr_int("interleaved", interleaved), "interleaved")
                    .case(),
            );
        }
    }
    for [steps, heads, key, value] in [[64, 4, 64, 64], [1, 1, 1, 1], [256, 1, 64, 1], [256, 16, 1, 1]] {
        cases.push(
            node_of(27, "LinearAttention")
                .input(&[1, steps, heads * key])
                .input(&[1, steps, heads * key])
                .input(&[1, steps, heads * value])
                .input(&[1, heads, key, value])
                .input(&[1, steps, heads * key])
                .input(&[1, steps, heads])
                .attribute(attr_int("q_num_heads", heads as i64), "heads")
                .attribute(attr_int("kv_num_heads", heads as i64), &heads.to_string())
                .case(),
        );
    }
    for [channels, length, taps] in [[512, 256, 4], [4096, 1, 4], [1, 65_536, 4], [16, 256, 64]] {
        cases.push(
            node_of(27, "CausalConvWithState")
                .input(&[1, channels, length])
                .weights(&[channels, 1, taps])
                .attribute(attr_string("activation", "silu"), "silu")
                .case(),
        );
    }
}

fn normalisations(cases: &mut Vec<Case>) {
    for [rows, width] in [[128, 768], [4096, 1], [1, 65_536], [64, 17]] {
        cases.push(
            node_of(23, "RMSNormalization")
                .input(&[rows, width])
                .weights(&[width])
                .case(),
        );
    }
    for ([channels, side], groups) in [([64, 56], 8), ([4096, 1], 4096), ([4096, 1], 1), ([3, 3], 3)] {
        cases.push(
            node_of(21, "GroupNormalization")
                .input(&[1, channels, side, side])
                .weights(&[channels])
                .weights(&[channels])
                .attribute(attr_int("num_groups", groups), &format!("{groups} groups"))
                .case(),
        );
    }
}

fn recurrence(cases: &mut Vec<Case>) {
    for (operator, gates) in [("LSTM", 4), ("GRU", 3), ("RNN", 1)] {
        // steps, batch, input, hidden: an ordinary one, one step at a time, long and thin, wide, a single element
        for [steps, batch, input, hidden] in [
            [64, 1, 128, 128],
            [1, 1, 128, 128],
            [512, 1, 8, 1],
            [16, 33, 64, 64],
            [4, 4, 512, 512],
            [256, 256, 1, 1],
        ] {
            let rows = gates * hidden;
            let weighted = || {
                node(operator)
                    .input(&[steps, batch, input])
                    .weights(&[1, rows, input])
                    .weights(&[1, rows, hidden])
                    .weights(&[1, 2 * rows])
            };
            cases.push(weighted().case());
            cases.push(
                node(operator)
                    .input(&[steps, batch, input])
                    .input(&[1, rows, input])
                    .input(&[1, rows, hidden])
                    .case(),
            );
            if operator == "GRU" {
                cases.push(
                    weighted()
                        .attribute(attr_int("linear_before_reset", 1), "linear before reset")
                        .case(),
                );
            }
        }
    }
}
