//! Operators that are small networks of their own: recurrence, attention, normalisations of newer opsets.

use super::{Case, name_of_shape, node, node_in, node_of, pseudorandom};
use crate::build::{FLOAT, INT64, attr_float, attr_floats, attr_int, attr_ints, attr_string, attr_strings};
use synod_model::ops::ML_DOMAIN;

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
    requantised(cases);
    classical(cases);
}

/// Trees as deep as they are wide, chains of questions, many small trees; rows that walk all over them.
fn classical(cases: &mut Vec<Case>) {
    let ml = |operator| node_in(ML_DOMAIN, 18, operator);
    for (trees, levels) in [(1, 4), (100, 8), (1, 15), (2000, 1)] {
        let inner = (1usize << levels) - 1;
        let count = 2 * inner + 1;
        let all: Vec<usize> = (0..trees * count).collect();
        let ints = |of: &dyn Fn(usize) -> usize| all.iter().map(|&i| of(i) as i64).collect::<Vec<_>>();
        let child = |i: usize, side: usize| {
            if i % count < inner {
                2 * (i % count) + side
            } else {
                0
            }
        };
        let modes: Vec<&str> = all
            .iter()
            .map(|i| if i % count < inner { "BRANCH_LEQ" } else { "LEAF" })
            .collect();
        let values: Vec<f32> = pseudorandom(all.len(), 1.0);
        let leaves: Vec<usize> = all.iter().copied().filter(|i| i % count >= inner).collect();
        let of_leaves =
            |of: &dyn Fn(usize) -> usize| leaves.iter().map(|&i| of(i) as i64).collect::<Vec<_>>();
        let mut forest = ml("TreeEnsembleRegressor").input(&[256, 16]);
        for (name, values) in [
            ("nodes_treeids", ints(&|i| i / count)),
            ("nodes_nodeids", ints(&|i| i % count)),
            ("nodes_featureids", ints(&|i| i % 16)),
            ("nodes_truenodeids", ints(&|i| child(i, 1))),
            ("nodes_falsenodeids", ints(&|i| child(i, 2))),
            ("target_treeids", of_leaves(&|i| i / count)),
            ("target_nodeids", of_leaves(&|i| i % count)),
            ("target_ids", of_leaves(&|_| 0)),
        ] {
            forest.attributes.push(attr_ints(name, &values));
        }
        forest.attributes.push(attr_strings("nodes_modes", &modes));
        forest.attributes.push(attr_floats("nodes_values", &values));
        forest
            .attributes
            .push(attr_floats("target_weights", &pseudorandom(leaves.len(), 1.0)));
        cases.push(forest.note(&format!("{trees} trees of {levels} levels")).case());
    }
    for [rows, features, targets] in [[256, 64, 8], [4096, 1, 1], [1, 4096, 16]] {
        cases.push(
            ml("LinearRegressor")
                .input(&[rows, features])
                .attribute(
                    attr_floats("coefficients", &pseudorandom(features * targets, 1.0)),
                    &format!("{targets} targets"),
                )
                .attribute(attr_int("targets", targets as i64), "")
                .case(),
        );
        cases.push(
            ml("SVMRegressor")
                .input(&[rows, features])
                .attribute(
                    attr_floats("support_vectors", &pseudorandom(features * 16, 1.0)),
                    "16 vectors",
                )
                .attribute(attr_floats("coefficients", &pseudorandom(16, 1.0)), "")
                .attribute(attr_floats("rho", &[0.5]), "")
                .attribute(attr_floats("kernel_params", &[0.1, 1.0, 2.5]), "")
                .attribute(attr_int("n_supports", 16), "")
                .attribute(attr_string("kernel_type", "POLY"), "POLY")
                .case(),
        );
        for (probabilities, title) in [(false, "3 classes"), (true, "3 classes, probabilities")] {
            let mut machine = ml("SVMClassifier")
                .input(&[rows, features])
                .attribute(
                    attr_floats("support_vectors", &pseudorandom(features * 15, 1.0)),
                    "15 vectors",
                )
                .attribute(attr_floats("coefficients", &pseudorandom(30, 1.0)), "")
                .attribute(attr_floats("rho", &[0.5; 3]), "")
                .attribute(attr_floats("kernel_params", &[0.1, 1.0, 2.5]), "")
                .attribute(attr_ints("vectors_per_class", &[5; 3]), "")
                .attribute(attr_ints("classlabels_ints", &[0, 1, 2]), title)
                .attribute(attr_string("kernel_type", "RBF"), "RBF");
            if probabilities {
                machine = machine
                    .attribute(attr_floats("prob_a", &[-1.0; 3]), "")
                    .attribute(attr_floats("prob_b", &[0.1; 3]), "");
            }
            cases.push(machine.gives(&[("labels", INT64), ("y", FLOAT)]).case());
        }
        cases.push(
            ml("Normalizer")
                .input(&[rows, features])
                .attribute(attr_string("norm", "L2"), "L2")
                .case(),
        );
        cases.push(
            ml("Scaler")
                .input(&[rows, features])
                .attribute(attr_floats("offset", &pseudorandom(features, 1.0)), "")
                .attribute(attr_floats("scale", &pseudorandom(features, 1.0)), "")
                .case(),
        );
    }
    let keys: Vec<i64> = (0..1024).collect();
    cases.push(
        ml("LabelEncoder")
            .typed(INT64, &[1 << 16])
            .attribute(attr_ints("keys_int64s", &keys), "1024 keys")
            .attribute(attr_ints("values_int64s", &keys), "")
            .gives(&[("y", INT64)])
            .case(),
    );
}

fn quantised(cases: &mut Vec<Case>) {
    for [rows, width] in [[1024, 1024], [1 << 16, 1], [1, 1 << 16]] {
        for scales in [vec![], vec![width]] {
            cases.push(
                node_of(21, "QuantizeLinear")
                    .input(&[rows, width])
                    .weights(&scales)
                    .gives(&[("y", U8)])
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
                .gives(&[("y", U8)])
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

/// batch, channels, sides of the image, output channels, groups, kernel, strides, padding: what networks have, and shapes that leave lanes
/// empty, gather their windows, or have few positions.
type Windows = (
    [usize; 2],
    &'static [usize],
    usize,
    usize,
    &'static [usize],
    i64,
    i64,
);
const WINDOWS: [Windows; 26] = [
    ([1, 64], &[56, 56], 64, 1, &[3, 3], 1, 1),
    ([1, 256], &[14, 14], 256, 1, &[3, 3], 1, 1),
    ([1, 256], &[14, 14], 256, 1, &[3, 3], 2, 1),
    ([1, 512], &[7, 7], 512, 1, &[3, 3], 1, 1),
    ([1, 256], &[56, 56], 64, 1, &[1, 1], 1, 0),
    ([1, 2048], &[7, 7], 512, 1, &[1, 1], 1, 0),
    ([1, 3], &[224, 224], 64, 1, &[7, 7], 2, 3),
    ([1, 3], &[64, 64], 8, 1, &[3, 3], 1, 1),
    ([1, 3], &[64, 64], 3, 1, &[3, 3], 1, 1),
    ([1, 1], &[256, 256], 1, 1, &[3, 3], 1, 1),
    ([1, 1], &[256, 256], 4, 1, &[1, 1], 1, 0),
    ([1, 96], &[112, 112], 96, 96, &[3, 3], 2, 1),
    ([1, 96], &[56, 56], 96, 96, &[3, 3], 1, 1),
    ([1, 576], &[14, 14], 576, 576, &[3, 3], 1, 1),
    ([1, 960], &[7, 7], 960, 960, &[5, 5], 1, 2),
    ([1, 7], &[56, 56], 7, 7, &[3, 3], 1, 1),
    ([1, 4096], &[1, 1], 4096, 4096, &[1, 1], 1, 0),
    ([1, 4096], &[2, 1], 4096, 4096, &[3, 3], 1, 1),
    ([1, 1024], &[14, 14], 1024, 512, &[3, 3], 1, 1),
    ([1, 1024], &[7, 7], 512, 512, &[1, 1], 1, 0),
    ([1, 256], &[14, 14], 256, 32, &[3, 3], 1, 1),
    ([64, 1], &[1, 1], 1, 1, &[1, 1], 1, 0),
    ([4, 1], &[5, 5], 1, 1, &[3, 3], 1, 0),
    ([1, 16], &[4096], 16, 1, &[64], 1, 0),
    ([1, 4], &[16, 16, 16], 5, 1, &[3, 3, 3], 1, 1),
    ([1, 64], &[16, 16, 16], 64, 64, &[3, 3, 3], 1, 1),
];

/// Convolutions and products of bytes with weights that are known in advance, requantised.
fn requantised(cases: &mut Vec<Case>) {
    let with_grids = |operator: &'static str, dims: &[usize], weights: &[usize], places: i64| {
        let count = weights.iter().product::<usize>();
        let bytes: Vec<u8> = (0..count).map(|i| (i * 37 % 251) as u8).collect();
        let sizes: Vec<i64> = weights.iter().map(|&dim| dim as i64).collect();
        let scales = vec![2e-3; places as usize];
        let zeros = vec![0; places as usize];
        let mut node = node_of(10, operator).typed(U8, dims);
        node.file = node
            .file
            .floats("x scale", &[], &[0.02])
            .initializer("x zero", U8, &[], &[128])
            .initializer("w", I8, &sizes, &bytes)
            .floats("w scales", &[places], &scales)
            .initializer("w zeros", I8, &[places], &zeros)
            .floats("y scale", &[], &[0.05])
            .initializer("y zero", U8, &[], &[128]);
        let names = [
            "x scale", "x zero", "w", "w scales", "w zeros", "y scale", "y zero",
        ];
        node.inputs.extend(names.map(str::to_owned));
        node.gives(&[("y", U8)])
            .note(&format!("weights {}", name_of_shape(weights)))
    };
    for ([batch, channels], sides, outputs, groups, kernel, stride, pad) in WINDOWS {
        let axes = sides.len();
        let (dims, weights) = (
            [&[batch, channels], sides].concat(),
            [&[outputs, channels / groups], kernel].concat(),
        );
        cases.push(
            with_grids("QLinearConv", &dims, &weights, outputs as i64)
                .attribute(attr_int("group", groups as i64), &format!("{groups} groups"))
                .attribute(
                    attr_ints("strides", &vec![stride; axes]),
                    &format!("stride {stride}"),
                )
                .attribute(attr_ints("pads", &vec![pad; 2 * axes]), &format!("pad {pad}"))
                .case(),
        );
    }
    for [m, n, k] in [
        [512, 512, 512],
        [128, 384, 384],
        [128, 1536, 384],
        [1, 1024, 1024],
        [1, 16, 16],
        [1024, 1, 1024],
        [1024, 1024, 1],
        [65_536, 1, 1],
        [1, 65_536, 1],
        [1, 1, 65_536],
        [7, 17, 33],
    ] {
        cases.push(with_grids("QLinearMatMul", &[m, k], &[k, n], n as i64).case());
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
