//! Inputs and attributes that fit together, for operators that a blind draw would never satisfy.

use super::{random::Random, *};
use std::collections::BTreeMap;
use synod_model::DType;

/// A node's inputs and attributes.
#[derive(Default)]
pub struct Drawn {
    /// Types of the inputs; `None` skips one.
    pub inputs: Vec<Option<(DType, Vec<usize>)>>,
    pub attributes: Vec<Vec<u8>>,
    /// Values of those inputs that are constants of i64 with one dimension, by their position.
    pub numbers: BTreeMap<usize, Vec<i64>>,
    /// The same of f32.
    pub floats: BTreeMap<usize, Vec<f32>>,
    /// The outputs, where there are fewer than the operator may have, or their shapes are not known before a run: types, and
    /// numbers of dimensions to declare.
    pub outputs: Vec<(DType, Option<usize>)>,
}

impl Drawn {
    pub(super) fn input(mut self, dtype: DType, shape: &[usize]) -> Self {
        self.inputs.push(Some((dtype, shape.to_vec())));
        self
    }

    pub(super) fn maybe(mut self, given: bool, dtype: DType, shape: &[usize]) -> Self {
        self.inputs.push(given.then(|| (dtype, shape.to_vec())));
        self
    }

    pub(super) fn numbers(mut self, values: &[i64]) -> Self {
        self.numbers.insert(self.inputs.len(), values.to_vec());
        self.input(DType::I64, &[values.len()])
    }

    pub(super) fn floats(mut self, values: &[f32]) -> Self {
        self.floats.insert(self.inputs.len(), values.to_vec());
        self.input(DType::F32, &[values.len()])
    }

    /// The shape of an input that is given.
    fn shape(&self, index: usize) -> Vec<usize> {
        self.inputs[index]
            .as_ref()
            .map_or_else(Vec::new, |(_, shape)| shape.clone())
    }

    pub(super) fn output(mut self, dtype: DType, rank: Option<usize>) -> Self {
        self.outputs.push((dtype, rank));
        self
    }

    pub(super) fn with(mut self, attribute: Vec<u8>) -> Self {
        self.attributes.push(attribute);
        self
    }
}

pub(super) const FLOAT_TYPES: &[DType] = &[DType::F32, DType::F32, DType::F64, DType::F16, DType::BF16];

/// A draw for this operator, if it has one here.
pub fn draw(operator: &str, random: &mut Random) -> Option<Drawn> {
    Some(match operator {
        "LSTM" => recurrent(4, 3, random),
        "GRU" => recurrent(3, 2, random).with(attr_int("linear_before_reset", random.below(2) as i64)),
        "RNN" => recurrent(1, 1, random),
        "MaxPool" | "AveragePool" => pool(random),
        "If" | "Loop" | "Scan" => super::control::draw(operator, random),
        "NonZero" | "Compress" | "Unique" | "NonMaxSuppression" => super::control::late(operator, random),
        "DFT" | "STFT" | "MelWeightMatrix" | "DeformConv" | "TfIdfVectorizer" => {
            super::control::signal(operator, random)
        }
        "Attention" => attention(random),
        "RotaryEmbedding" => rotary(random),
        "LinearAttention" => linear_attention(random),
        "CausalConvWithState" => {
            let (batch, channels, length, taps) = (
                random.below(3),
                random.below(4),
                random.below(9),
                1 + random.below(4),
            );
            let dtype = random.pick(FLOAT_TYPES);
            Drawn::default()
                .input(dtype, &[batch, channels, length])
                .input(dtype, &[channels, 1, taps])
                .maybe(random.below(2) == 0, dtype, &[channels])
                .maybe(random.below(2) == 0, dtype, &[batch, channels, taps - 1])
                .with(attr_string("activation", random.pick(&["none", "silu", "swish"])))
        }
        "GroupNormalization" => {
            let (groups, of_group) = (1 + random.below(3), 1 + random.below(3));
            let dtype = random.pick(FLOAT_TYPES);
            let channels = groups * of_group;
            let shape = [random.below(3), channels, random.below(5), 1 + random.below(3)];
            Drawn::default()
                .input(dtype, &shape[..2 + random.below(3)])
                .input(dtype, &[channels])
                .input(dtype, &[channels])
                .with(attr_int("num_groups", groups as i64))
        }
        "LpPool" => pool(random).with(attr_int("p", 1 + random.below(4) as i64)),
        "LRN" => image(random)
            .with(attr_int("size", 1 + random.below(5) as i64))
            .with(attr_float("alpha", random.float())),
        "GatherElements" | "ScatterElements" | "Scatter" => by_element(operator, random),
        "GatherND" | "ScatterND" => by_slice(operator, random),
        "TopK" => {
            let drawn = any(random);
            let dims = drawn.shape(0);
            let axis = random.below(dims.len());
            let count = random.below(dims[axis] + 1) as i64;
            drawn
                .numbers(&[count])
                .with(attr_int("axis", axis as i64))
                .with(attr_int("largest", random.below(2) as i64))
        }
        "OneHot" => {
            let drawn = Drawn::default()
                .input(
                    random.pick(&[DType::I64, DType::I32, DType::F32]),
                    &any(random).shape(0),
                )
                .numbers(&[1 + random.below(5) as i64]);
            let axis = random.below(drawn.shape(0).len() + 1);
            drawn
                .input(random.pick(&DType::ALL), &[2])
                .with(attr_int("axis", axis as i64))
        }
        "CenterCropPad" => {
            let drawn = any(random);
            let sizes: Vec<i64> = drawn.shape(0).iter().map(|_| random.below(6) as i64).collect();
            drawn.numbers(&sizes)
        }
        "ReverseSequence" => {
            let dims: Vec<usize> = (0..2 + random.below(3)).map(|_| 3 + random.below(3)).collect();
            Drawn::default()
                .input(random.pick(&DType::ALL), &dims)
                .input(DType::I64, &dims[1..2])
        }
        "TensorScatter" => {
            let (batch, capacity) = (1 + random.below(3), 3 + random.below(4));
            let dtype = random.pick(&DType::ALL);
            Drawn::default()
                .input(dtype, &[batch, 2, capacity, 3])
                .input(dtype, &[batch, 2, 1 + random.below(3), 3])
                .maybe(random.below(2) == 0, DType::I64, &[batch])
                .with(attr_string("mode", random.pick(&["linear", "circular"])))
        }
        "DepthToSpace" | "SpaceToDepth" => {
            let (block, size) = (1 + random.below(3), random.below(4));
            let drawn = if operator == "DepthToSpace" {
                Drawn::default().input(random.pick(&DType::ALL), &[size, 2 * block * block, 3, size])
            } else {
                Drawn::default().input(random.pick(&DType::ALL), &[2, size, 2 * block, block])
            };
            drawn
                .with(attr_int("blocksize", block as i64))
                .with(attr_string("mode", random.pick(&["DCR", "CRD"])))
        }
        "Einsum" => einsum(random),
        "Resize" => resize(random),
        "Upsample" => {
            let drawn = image(random);
            let scales = [1.0, 1.0, random.float().abs() * 3.0, 2.0];
            drawn
                .floats(&scales)
                .with(attr_string("mode", random.pick(&["nearest", "linear"])))
        }
        "GridSample" => {
            let rank = 1 + random.below(3);
            let mut dims = vec![random.below(3), random.below(3)];
            dims.extend((0..rank).map(|_| 1 + random.below(4)));
            let mut grid = vec![dims[0]];
            grid.extend((0..rank).map(|_| random.below(4)));
            grid.push(rank);
            Drawn::default()
                .input(random.pick(FLOAT_TYPES), &dims)
                .input(random.pick(FLOAT_TYPES), &grid)
                .with(attr_string("mode", random.pick(&["linear", "nearest", "cubic"])))
                .with(attr_string(
                    "padding_mode",
                    random.pick(&["zeros", "border", "reflection"]),
                ))
                .with(attr_int("align_corners", random.below(2) as i64))
        }
        "AffineGrid" => {
            let (batch, rank) = (random.below(3), 2 + random.below(2));
            let mut size = vec![batch as i64, 3];
            size.extend((0..rank).map(|_| random.below(4) as i64));
            Drawn::default()
                .input(random.pick(FLOAT_TYPES), &[batch, rank, rank + 1])
                .numbers(&size)
                .with(attr_int("align_corners", random.below(2) as i64))
        }
        "Det" => {
            let rows = random.below(6);
            Drawn::default().input(random.pick(FLOAT_TYPES), &[random.below(3), rows, rows])
        }
        "MaxUnpool" => {
            let dims = [1, 1 + random.below(2), 1 + random.below(3), 1 + random.below(3)];
            Drawn::default()
                .input(random.pick(FLOAT_TYPES), &dims)
                .input(DType::I64, &dims)
                .with(attr_ints("kernel_shape", &[2, 2]))
                .with(attr_ints("strides", &[2, 2]))
        }
        "Col2Im" => {
            let (block, channels) = (1 + random.below(2), random.below(3));
            Drawn::default()
                .input(
                    random.pick(FLOAT_TYPES),
                    &[
                        random.below(3),
                        channels * block * block,
                        (6 - block) * (5 - block),
                    ],
                )
                .numbers(&[5, 4])
                .numbers(&[block as i64, block as i64])
        }
        "RoiAlign" => {
            let (dtype, regions) = (random.pick(FLOAT_TYPES), random.below(4));
            Drawn::default()
                .input(
                    dtype,
                    &[5, random.below(3), 1 + random.below(5), 1 + random.below(5)],
                )
                .input(dtype, &[regions, 4])
                .input(DType::I64, &[regions])
                .with(attr_string("mode", random.pick(&["avg", "max"])))
                .with(attr_int("output_height", 1 + random.below(3) as i64))
                .with(attr_int("sampling_ratio", random.below(3) as i64))
        }
        "MeanVarianceNormalization" => image(random),
        "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss" => loss(random),
        "MatMulInteger" | "QLinearMatMul" => integer_product(operator, random),
        "ConvInteger" | "QLinearConv" => integer_convolution(operator, random),
        "QuantizeLinear" | "DequantizeLinear" => quantization(operator == "QuantizeLinear", random),
        _ => return None,
    })
}

/// One input of any type, of one to four dimensions.
fn any(random: &mut Random) -> Drawn {
    let dims: Vec<usize> = (0..1 + random.below(4))
        .map(|_| random.pick(&[1, 2, 3, 4, 5, 0]))
        .collect();
    Drawn::default().input(random.pick(&DType::ALL), &dims)
}

const REDUCTIONS: &[&str] = &["none", "add", "mul", "max", "min"];

fn by_element(operator: &str, random: &mut Random) -> Drawn {
    let dims: Vec<usize> = (0..1 + random.below(3)).map(|_| 3 + random.below(3)).collect();
    let places: Vec<usize> = dims.iter().map(|&size| random.below(size + 1)).collect();
    let dtype = random.pick(&DType::ALL);
    let drawn = Drawn::default()
        .input(dtype, &dims)
        .input(random.pick(&[DType::I64, DType::I32]), &places)
        .with(attr_int("axis", random.below(dims.len()) as i64));
    match operator {
        "GatherElements" => drawn,
        "Scatter" => drawn.input(dtype, &places),
        _ => drawn
            .input(dtype, &places)
            .with(attr_string("reduction", random.pick(REDUCTIONS))),
    }
}

fn by_slice(operator: &str, random: &mut Random) -> Drawn {
    let dims: Vec<usize> = (0..1 + random.below(3)).map(|_| 3 + random.below(3)).collect();
    let (rows, width) = (random.below(4), 1 + random.below(dims.len()));
    let dtype = random.pick(&DType::ALL);
    let drawn = Drawn::default()
        .input(dtype, &dims)
        .input(DType::I64, &[rows, width]);
    if operator == "GatherND" {
        drawn
    } else {
        let updates = [&[rows], &dims[width..]].concat();
        drawn
            .input(dtype, &updates)
            .with(attr_string("reduction", random.pick(REDUCTIONS)))
    }
}

fn einsum(random: &mut Random) -> Drawn {
    let sizes: Vec<usize> = (0..6).map(|_| random.pick(&[1, 2, 3, 2, 3, 0])).collect();
    // letters are places in the list of sizes
    let (terms, equation): (&[&[usize]], &str) = random.pick(&[
        (&[&[0, 1], &[1, 2]], "ab,bc->ac"),
        (&[&[0, 1, 2], &[0, 2, 3]], "...bc,...cd->...bd"),
        (&[&[0, 1, 2, 3], &[0, 4, 2, 3]], "abcd,aecd->acbe"),
        (&[&[0, 0, 1]], "aab->ba"),
        (&[&[0, 1]], "ab->"),
        (&[&[0, 1], &[1], &[2, 0]], "ab,b,ca"),
        (&[&[0, 1], &[2]], "ab,c->cba"),
        (&[&[0, 1], &[0, 1]], "ab,ab->a"),
        (&[&[0, 1], &[1, 2]], "ab,bc->b"),
        (&[&[]], "->"),
    ]);
    let dtype = random.pick(&DType::ALL);
    let drawn = terms.iter().fold(Drawn::default(), |drawn, term| {
        drawn.input(
            dtype,
            &term.iter().map(|&letter| sizes[letter]).collect::<Vec<_>>(),
        )
    });
    drawn.with(attr_string("equation", equation))
}

fn resize(random: &mut Random) -> Drawn {
    let drawn = image(random);
    let rank = drawn.shape(0).len();
    let coordinates = random.pick(&[
        "half_pixel",
        "half_pixel_symmetric",
        "pytorch_half_pixel",
        "align_corners",
        "asymmetric",
        "tf_crop_and_resize",
    ]);
    let mode = random.pick(&["nearest", "linear", "cubic"]);
    let mut number = |most: usize| random.below(most * 4) as f32 / 4.0;
    let region: Vec<f32> = (0..2 * rank).map(|_| number(2) - 0.25).collect();
    let scales: Vec<f32> = (0..rank).map(|_| number(3) + 0.25).collect();
    let sizes: Vec<i64> = (0..rank).map(|_| random.below(6) as i64).collect();
    let drawn = drawn.floats(&region);
    let drawn = if random.below(2) == 0 {
        drawn.floats(&scales)
    } else {
        drawn.floats(&[]).numbers(&sizes)
    };
    drawn
        .with(attr_string("coordinate_transformation_mode", coordinates))
        .with(attr_string("mode", mode))
        .with(attr_string(
            "nearest_mode",
            random.pick(&["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]),
        ))
        .with(attr_string(
            "keep_aspect_ratio_policy",
            random.pick(&["stretch", "not_larger", "not_smaller"]),
        ))
        .with(attr_int("exclude_outside", random.below(2) as i64))
        .with(attr_int(
            "antialias",
            i64::from(mode != "nearest" && random.below(2) == 0),
        ))
        .with(attr_float("extrapolation_value", random.float()))
}

fn image(random: &mut Random) -> Drawn {
    let dims: Vec<usize> = (0..4).map(|_| random.pick(&[1, 2, 3, 4, 1, 2, 5, 0])).collect();
    Drawn::default().input(random.pick(FLOAT_TYPES), &dims)
}

fn loss(random: &mut Random) -> Drawn {
    let (dtype, classes) = (random.pick(FLOAT_TYPES), 1 + random.below(5));
    let mut dims = vec![random.below(4), classes];
    dims.extend((0..random.below(3)).map(|_| random.below(4)));
    let samples = [&dims[..1], &dims[2..]].concat();
    let drawn = Drawn::default()
        .input(dtype, &dims)
        .input(random.pick(&[DType::I64, DType::I32]), &samples)
        .maybe(random.below(2) == 0, dtype, &[classes])
        .with(attr_string("reduction", random.pick(&["none", "sum", "mean"])));
    if random.below(2) == 0 {
        drawn.with(attr_int("ignore_index", random.below(6) as i64 - 1))
    } else {
        drawn
    }
}

const BYTES: &[DType] = &[DType::U8, DType::I8];

fn integer_product(operator: &str, random: &mut Random) -> Drawn {
    let (batch, m, k, n) = (
        random.below(3),
        random.below(9),
        random.below(20),
        random.below(20),
    );
    let (a, b, y) = (random.pick(BYTES), random.pick(BYTES), random.pick(BYTES));
    let stacked = random.below(2) == 0;
    let a_shape = if stacked { vec![batch, m, k] } else { vec![m, k] };
    let b_shape = if stacked && random.below(2) == 0 {
        vec![batch, k, n]
    } else {
        vec![k, n]
    };
    let mut lines = |of: &[usize], rows: bool| -> Vec<usize> {
        let [rank, lines] = [of.len(), of[of.len() - if rows { 2 } else { 1 }]];
        match random.below(3) {
            0 => vec![],
            1 => vec![lines],
            _ => {
                let mut shape = of.to_vec();
                shape[rank - if rows { 1 } else { 2 }] = 1;
                shape
            }
        }
    };
    let (rows, columns) = (lines(&a_shape, true), lines(&b_shape, false));
    if operator == "MatMulInteger" {
        return Drawn::default()
            .input(a, &a_shape)
            .input(b, &b_shape)
            .maybe(random.below(2) == 0, a, &rows)
            .maybe(random.below(2) == 0, b, &columns);
    }
    Drawn::default()
        .input(a, &a_shape)
        .input(DType::F32, &rows)
        .input(a, &rows)
        .input(b, &b_shape)
        .input(DType::F32, &columns)
        .input(b, &columns)
        .input(DType::F32, &[])
        .input(y, &[])
}

fn integer_convolution(operator: &str, random: &mut Random) -> Drawn {
    let (groups, of_group, channels) = (1 + random.below(2), 1 + random.below(3), 1 + random.below(6));
    let (x, w, y) = (random.pick(BYTES), random.pick(BYTES), random.pick(BYTES));
    let x_shape = [
        random.below(3),
        groups * of_group,
        3 + random.below(5),
        3 + random.below(5),
    ];
    let outputs = groups * channels;
    let w_shape = [outputs, of_group, 1 + random.below(3), 1 + random.below(3)];
    let zeros = if random.below(2) == 0 {
        vec![]
    } else {
        vec![outputs]
    };
    let drawn = Drawn::default()
        .with(attr_int("group", groups as i64))
        .with(attr_ints(
            "strides",
            &[1 + random.below(2) as i64, 1 + random.below(3) as i64],
        ))
        .with(attr_ints("pads", &[0, 1, random.below(3) as i64, 1]));
    if operator == "ConvInteger" {
        return drawn
            .input(x, &x_shape)
            .input(w, &w_shape)
            .maybe(random.below(2) == 0, x, &[])
            .maybe(random.below(2) == 0, w, &zeros);
    }
    drawn
        .input(x, &x_shape)
        .input(DType::F32, &[])
        .input(x, &[])
        .input(w, &w_shape)
        .input(DType::F32, &zeros)
        .input(w, &zeros)
        .input(DType::F32, &[])
        .input(y, &[])
        .maybe(random.below(2) == 0, DType::I32, &[outputs])
}

fn quantization(forwards: bool, random: &mut Random) -> Drawn {
    let float = random.pick(&[DType::F32, DType::F32, DType::F16, DType::BF16]);
    let integer = random.pick(&[DType::I8, DType::U8, DType::I16, DType::U16]);
    let shape = [1 + random.below(4), 1 + random.below(6), 1 + random.below(4)];
    let axis = random.below(3);
    let block = random.below(3);
    let scales = match random.below(3) {
        0 => vec![],
        _ if block == 0 => vec![shape[axis]],
        _ => {
            let mut scales = shape.to_vec();
            scales[axis] = scales[axis].div_ceil(block);
            scales
        }
    };
    let mut drawn = Drawn::default()
        .input(if forwards { float } else { integer }, &shape)
        .input(float, &scales)
        .maybe(random.below(4) > 0, integer, &scales)
        .with(attr_int("axis", axis as i64));
    if !scales.is_empty() {
        drawn = drawn.with(attr_int("block_size", block as i64));
    }
    drawn
}

fn pool(random: &mut Random) -> Drawn {
    let space = 1 + random.below(3);
    let mut dims = vec![random.below(3), 1 + random.below(3)];
    dims.extend((0..space).map(|_| 3 + random.below(4)));
    let mut list = |from: usize, below: usize, count: usize| -> Vec<i64> {
        (0..count).map(|_| (from + random.below(below)) as i64).collect()
    };
    let kernel = list(1, 3, space);
    let (strides, pads) = (list(1, 3, space), list(0, 2, 2 * space));
    Drawn::default()
        .input(random.pick(FLOAT_TYPES), &dims)
        .with(attr_ints("kernel_shape", &kernel))
        .with(attr_ints("strides", &strides))
        .with(attr_ints("pads", &pads))
}

fn attention(random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    let (batch, kv_heads, group) = (1 + random.below(2), 1 + random.below(2), 1 + random.below(2));
    let heads = kv_heads * group;
    let (queries, keys, size, values) = (
        random.pick(&[1, 1, 2, 7]),
        random.below(20),
        1 + random.below(9),
        1 + random.below(4),
    );
    let flat = random.below(2) == 0;
    let shape = |heads: usize, rows: usize, size: usize| {
        if flat {
            vec![batch, rows, heads * size]
        } else {
            vec![batch, heads, rows, size]
        }
    };
    let past = if random.below(2) == 0 {
        1 + random.below(3)
    } else {
        0
    };
    let all = past + keys;
    let mask_type = if random.below(2) == 0 { DType::Bool } else { dtype };
    let mask = [
        random.pick(&[1, batch]),
        random.pick(&[1, heads]),
        queries,
        all - random.below(2).min(all),
    ];
    let mut drawn = Drawn::default()
        .input(dtype, &shape(heads, queries, size))
        .input(dtype, &shape(kv_heads, keys, size))
        .input(dtype, &shape(kv_heads, keys, values))
        .maybe(random.below(2) == 0, mask_type, &mask[random.below(4)..])
        .maybe(past > 0, dtype, &[batch, kv_heads, past, size])
        .maybe(past > 0, dtype, &[batch, kv_heads, past, values])
        .maybe(past == 0 && random.below(2) == 0, DType::I64, &[batch])
        .with(attr_int("is_causal", random.below(2) as i64))
        .with(attr_int("qk_matmul_output_mode", random.below(4) as i64))
        .with(attr_int("left_window_size", random.pick(&[-1, -1, 0, 3])))
        .with(attr_int("right_window_size", random.pick(&[-1, -1, 0, 2])));
    if flat {
        drawn = drawn
            .with(attr_int("q_num_heads", heads as i64))
            .with(attr_int("kv_num_heads", kv_heads as i64));
    }
    if random.below(2) == 0 {
        drawn = drawn.with(attr_float("softcap", random.float().abs()));
    }
    drawn
}

fn rotary(random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    let (batch, heads, rows, half) = (
        random.below(3),
        1 + random.below(3),
        random.below(4),
        1 + random.below(9),
    );
    let size = 2 * half + random.below(3);
    let positions = random.below(2) == 0;
    let shape = if random.below(2) == 0 {
        vec![batch, rows, heads * size]
    } else {
        vec![batch, heads, rows, size]
    };
    let cache = if positions {
        vec![6, half]
    } else {
        vec![batch, rows, half]
    };
    Drawn::default()
        .input(dtype, &shape)
        .input(dtype, &cache)
        .input(dtype, &cache)
        .maybe(positions, DType::I64, &[batch, rows])
        .with(attr_int("num_heads", heads as i64))
        .with(attr_int("rotary_embedding_dim", 2 * half as i64))
        .with(attr_int("interleaved", random.below(2) as i64))
}

fn linear_attention(random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    let (batch, heads, group) = (random.below(3), 1 + random.below(3), 1 + random.below(2));
    let (steps, key, value) = (random.below(4), 1 + random.below(5), random.below(10));
    let rule = random.pick(&["linear", "gated", "delta", "gated_delta"]);
    let decays = heads * random.pick(&[1, key]);
    Drawn::default()
        .input(dtype, &[batch, steps, heads * group * key])
        .input(dtype, &[batch, steps, heads * key])
        .input(dtype, &[batch, steps, heads * value])
        .maybe(random.below(2) == 0, dtype, &[batch, heads, key, value])
        .maybe(rule.starts_with("gated"), dtype, &[batch, steps, decays])
        .maybe(
            rule.ends_with("delta"),
            dtype,
            &[batch, steps, random.pick(&[1, heads])],
        )
        .with(attr_string("update_rule", rule))
        .with(attr_int("q_num_heads", (heads * group) as i64))
        .with(attr_int("kv_num_heads", heads as i64))
}

fn recurrent(gates: usize, functions: usize, random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    let (direction, directions) = random.pick(&[("forward", 1), ("reverse", 1), ("bidirectional", 2)]);
    let (steps, batch, input, hidden) = (
        random.below(4),
        random.pick(&[1, 1, 2, 7]),
        1 + random.below(4),
        1 + random.below(6),
    );
    let layout = random.below(2);
    let (x, state) = if layout == 1 {
        ([batch, steps, input], [batch, directions, hidden])
    } else {
        ([steps, batch, input], [directions, batch, hidden])
    };
    let mut given = || random.below(2) == 0;
    let (bias, lengths, initial) = (given(), given(), given());
    let (peepholes, coupled) = (given(), given());
    let rows = gates * hidden;
    let mut drawn = Drawn::default()
        .input(dtype, &x)
        .input(dtype, &[directions, rows, input])
        .input(dtype, &[directions, rows, hidden])
        .maybe(bias, dtype, &[directions, 2 * rows])
        .maybe(lengths, DType::I32, &[batch])
        .maybe(initial, dtype, &state)
        .with(attr_string("direction", direction))
        .with(attr_int("layout", layout as i64));
    if gates == 4 {
        drawn = drawn
            .maybe(initial, dtype, &state)
            .maybe(peepholes, dtype, &[directions, 3 * hidden])
            .with(attr_int("input_forget", coupled.into()));
    }
    if random.below(2) == 0 {
        drawn = drawn.with(attr_float("clip", random.float().abs()));
    }
    if random.below(2) == 0 {
        let names: Vec<&str> = (0..functions * directions)
            .map(|_| {
                random.pick(&[
                    "Relu",
                    "Tanh",
                    "Sigmoid",
                    "LeakyRelu",
                    "ThresholdedRelu",
                    "HardSigmoid",
                    "Elu",
                    "Softsign",
                    "Softplus",
                ])
            })
            .collect();
        drawn = drawn.with(attr_strings("activations", &names));
    }
    drawn
}
