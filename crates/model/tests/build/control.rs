//! Draws of operators with graphs, of operators whose outputs' shapes follow from values, and of signal processing.

use super::{
    Graph, attr_floats, attr_int, attr_ints, attr_string,
    random::Random,
    shaped::{Drawn, FLOAT_TYPES},
};
use synod_model::DType;

/// A shape of one to three dimensions.
fn shape(random: &mut Random) -> Vec<usize> {
    (0..1 + random.below(3)).map(|_| 1 + random.below(3)).collect()
}

/// A node of control flow with small graphs.
pub fn draw(operator: &str, random: &mut Random) -> Drawn {
    let dtype = random.pick(&[DType::F32, DType::F64, DType::F16, DType::I64, DType::I32]);
    let shape = shape(random);
    match operator {
        "If" => {
            // Half of the branches give shapes that differ: then the condition has to come first.
            let branch = |random: &mut Random| {
                let scalar = random.below(4) == 0;
                let graph = Graph::new().outputs(&["r"]);
                match random.below(2) {
                    _ if scalar => graph
                        .floats("c", &[2], &[1.5, -0.0])
                        .node("Identity", &["c"], &["r"]),
                    0 => graph.floats("c", &[1], &[0.5]).node("Neg", &["c"], &["r"]),
                    _ => graph.floats("c", &[1], &[3.0]).node("Exp", &["c"], &["e"]).node(
                        "Mul",
                        &["e", "c"],
                        &["r"],
                    ),
                }
            };
            Drawn::default()
                .input(DType::Bool, &[])
                .output(DType::F32, Some(1))
                .with(branch(random).attribute("then_branch"))
                .with(branch(random).attribute("else_branch"))
        }
        "Loop" => {
            let trips = random.below(4) as i64;
            let body = Graph::new()
                .inputs(&["i", "c", "x"])
                .outputs(&["d", "y", "z"])
                .node("Identity", &["c"], &["d"]);
            let grows = random.below(3) == 0;
            let body = if grows {
                body.node_with("Concat", &["x", "x"], &["y"], &[attr_int("axis", 0)])
                    .node("Identity", &["i"], &["z"])
            } else {
                body.node("Add", &["x", "x"], &["y"])
                    .node("Mul", &["x", "y"], &["z"])
            };
            // Without an iteration the shape of what a growing loop collects is not known.
            let trips = if grows { trips.max(1) } else { trips };
            let drawn = Drawn::default()
                .numbers(&[trips])
                .maybe(false, DType::Bool, &[])
                .input(dtype, &shape)
                .with(body.attribute("body"));
            if grows {
                drawn.output(dtype, Some(shape.len())).output(DType::I64, Some(1))
            } else {
                drawn.output(dtype, None).output(dtype, None)
            }
        }
        _ => {
            let length = 1 + random.below(3);
            let sequence = [&[length], &shape[..]].concat();
            let body = Graph::new()
                .inputs(&["s", "x"])
                .outputs(&["t", "y"])
                .node("Add", &["s", "x"], &["t"])
                .node("Mul", &["s", "x"], &["y"]);
            Drawn::default()
                .input(dtype, &shape)
                .input(dtype, &sequence)
                .with(body.attribute("body"))
                .with(attr_int("num_scan_inputs", 1))
                .with(attr_ints("scan_input_directions", &[random.below(2) as i64]))
                .with(attr_ints("scan_output_directions", &[random.below(2) as i64]))
                .with(attr_ints(
                    "scan_output_axes",
                    &[random.below(shape.len() + 1) as i64],
                ))
                .output(dtype, None)
                .output(dtype, None)
        }
    }
}

/// An operator whose outputs' shapes follow from values.
pub fn late(operator: &str, random: &mut Random) -> Drawn {
    let dtype = random.pick(&DType::ALL);
    let shape = shape(random);
    match operator {
        "NonZero" => Drawn::default().input(dtype, &shape).output(DType::I64, Some(2)),
        "Compress" => {
            let axis = random.below(shape.len());
            let flat = random.below(3) == 0;
            let length = if flat { shape.iter().product() } else { shape[axis] };
            let drawn = Drawn::default()
                .input(dtype, &shape)
                .input(DType::Bool, &[random.below(length + 1)]);
            if flat {
                drawn.output(dtype, Some(1))
            } else {
                drawn
                    .with(attr_int("axis", axis as i64))
                    .output(dtype, Some(shape.len()))
            }
        }
        "Unique" => {
            let flat = random.below(2) == 0;
            let rank = if flat { 1 } else { shape.len() };
            let drawn = Drawn::default()
                .input(dtype, &shape)
                .with(attr_int("sorted", random.below(2) as i64))
                .output(dtype, Some(rank))
                .output(DType::I64, Some(1))
                .output(DType::I64, Some(1))
                .output(DType::I64, Some(1));
            if flat {
                drawn
            } else {
                drawn.with(attr_int("axis", random.below(shape.len()) as i64))
            }
        }
        _ => {
            let (images, classes, boxes) = (1 + random.below(2), 1 + random.below(2), 1 + random.below(8));
            Drawn::default()
                .input(DType::F32, &[images, boxes, 4])
                .input(DType::F32, &[images, classes, boxes])
                .numbers(&[random.below(5) as i64])
                .floats(&[0.1 * random.below(8) as f32])
                .floats(&[random.float()])
                .with(attr_int("center_point_box", random.below(2) as i64))
                .output(DType::I64, Some(2))
        }
    }
}

/// An operator of signals, and others whose inputs have to fit together.
pub fn signal(operator: &str, random: &mut Random) -> Drawn {
    let dtype = random.pick(FLOAT_TYPES);
    match operator {
        "DFT" => {
            let (length, parts) = (1 + random.below(6), 1 + random.below(2));
            Drawn::default()
                .input(dtype, &[1 + random.below(2), length, 1 + random.below(2), parts])
                .numbers(&[1 + random.below(8) as i64])
                .numbers(&[random.below(3) as i64])
                .with(attr_int("inverse", random.below(2) as i64))
                .with(attr_int("onesided", random.below(2) as i64))
        }
        "STFT" => {
            let frame = 1 + random.below(6);
            Drawn::default()
                .input(
                    dtype,
                    &[1 + random.below(2), frame + random.below(9), 1 + random.below(2)],
                )
                .numbers(&[1 + random.below(3) as i64])
                .maybe(random.below(2) == 0, dtype, &[frame])
                .numbers(&[frame as i64])
                .with(attr_int("onesided", random.below(2) as i64))
        }
        "MelWeightMatrix" => Drawn::default()
            .numbers(&[1 + random.below(6) as i64])
            .numbers(&[16 + random.below(16) as i64])
            .numbers(&[8192])
            .floats(&[random.below(100) as f32])
            .floats(&[1000.0 + random.below(3000) as f32])
            .with(attr_int("output_datatype", i64::from(dtype.onnx_code()))),
        "DeformConv" => {
            let (groups, offset_groups) = (1 + random.below(2), 1 + random.below(2));
            let channels = groups * offset_groups * (1 + random.below(2));
            let (rows, columns, height, width) = (
                1 + random.below(3),
                1 + random.below(3),
                3 + random.below(3),
                3 + random.below(3),
            );
            let (results, images) = (groups * (1 + random.below(2)), 1 + random.below(2));
            let (stride, pad) = (1 + random.below(2), random.below(2));
            let out = |size: usize, taps: usize| (size + 2 * pad - taps) / stride + 1;
            let (out_height, out_width) = (out(height, rows), out(width, columns));
            let places = offset_groups * rows * columns;
            Drawn::default()
                .input(dtype, &[images, channels, height, width])
                .input(dtype, &[results, channels / groups, rows, columns])
                .input(dtype, &[images, 2 * places, out_height, out_width])
                .maybe(random.below(2) == 0, dtype, &[results])
                .maybe(
                    random.below(2) == 0,
                    dtype,
                    &[images, places, out_height, out_width],
                )
                .with(attr_int("group", groups as i64))
                .with(attr_int("offset_group", offset_groups as i64))
                .with(attr_ints("strides", &[stride as i64; 2]))
                .with(attr_ints("pads", &[pad as i64; 4]))
        }
        _ => {
            let mode = random.pick(&["TF", "IDF", "TFIDF"]);
            Drawn::default()
                .input(
                    random.pick(&[DType::I64, DType::I32]),
                    &[1 + random.below(3), random.below(9)],
                )
                .with(attr_string("mode", mode))
                .with(attr_int("min_gram_length", 1 + random.below(2) as i64))
                .with(attr_int("max_gram_length", 2))
                .with(attr_int("max_skip_count", random.below(4) as i64))
                .with(attr_ints("ngram_counts", &[0, 3]))
                .with(attr_ints("ngram_indexes", &[0, 1, 3, 2, 4]))
                .with(attr_ints("pool_int64s", &[1, 2, 3, 1, 2, -1, 1]))
                .with(attr_floats("weights", &[0.5, 2.0, f32::INFINITY, 1.5, -0.0]))
        }
    }
}
