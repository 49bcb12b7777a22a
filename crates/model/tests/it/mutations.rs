//! A bounded, seeded run of what the fuzz target does without end: no bytes make the importer or the loader panic, take
//! much memory, or break what they promise. A failing seed is the bug report.

use crate::build::{random::Random, *};
use crate::fuzzing;
use synod_model::*;

/// Numbers that break arithmetic.
const NUMBERS: &[i64] = &[
    0,
    1,
    -1,
    2,
    127,
    128,
    1 << 20,
    1 << 31,
    1 << 32,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
];

fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + random.below(8).min(bytes.len() - at))),
            4 => {
                let piece = varint(NUMBERS[random.below(NUMBERS.len())] as u64);
                bytes.splice(at..(at + random.below(3)).min(bytes.len()), piece);
            }
            5 => {
                let copy = bytes[at..(at + random.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
            6 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len());
                let piece = other[from..(from + random.below(64)).min(other.len())].to_vec();
                bytes.splice(at..at, piece);
            }
            // Keeps the lengths right, so that it gets past the wire form: a number in place of another.
            _ => {
                let value = NUMBERS[random.below(NUMBERS.len())];
                if let Some(slot) = bytes.get_mut(at..at + 8) {
                    slot.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}

/// Valid models of all kinds.
fn seeds() -> Vec<OnnxFile> {
    let conv_like = OnnxFile::new(17)
        .input("x", FLOAT, &["2", "3", "4"])
        .node_with("Transpose", &["x"], &["t"], &[attr_ints("perm", &[2, 0, 1])])
        .node_with("Flatten", &["t"], &["f"], &[attr_int("axis", 1)])
        .floats("W", &[6, 2], &[0.5; 12])
        .floats("b", &[2], &[f32::INFINITY, -1.0])
        .node_with("Gemm", &["f", "W", "b"], &["g"], &[attr_int("transA", 0)])
        .node("Relu", &["g"], &["y"])
        .output("y", FLOAT);
    let shapes = OnnxFile::new(13)
        .input("x", FLOAT, &["2", "6"])
        .node("Shape", &["x"], &["s"])
        .i64s("first", &[1], &[0])
        .i64s("three", &[1], &[3])
        .i64s("minus", &[1], &[-1])
        .node("Gather", &["s", "first"], &["n"])
        .node_with(
            "Concat",
            &["n", "three", "minus"],
            &["to"],
            &[attr_int("axis", 0)],
        )
        .node("Reshape", &["x", "to"], &["r"])
        .node("Unsqueeze", &["r", "first"], &["u"])
        .i64s("starts", &[2], &[-1, 0])
        .i64s("ends", &[2], &[i64::MIN, 9])
        .i64s("axes", &[2], &[1, 2])
        .i64s("steps", &[2], &[-1, 2])
        .node("Slice", &["u", "starts", "ends", "axes", "steps"], &["y"])
        .output("y", FLOAT);
    let data = OnnxFile::new(18)
        .input("x", FLOAT, &["1", "4"])
        .input("c", 9, &["1", "4"])
        .i64s("reps", &[2], &[2, 2])
        .i64s("pads", &[4], &[0, 1, 1, -1])
        .floats("fill", &[], &[7.0])
        .i64s("to", &[3], &[2, 1, 4])
        .node("Tile", &["x", "reps"], &["t"])
        .node_with(
            "Split",
            &["t"],
            &["a", "b"],
            &[attr_int("axis", 1), attr_int("num_outputs", 2)],
        )
        .node("Where", &["c", "a", "b"], &["w"])
        .node("Expand", &["w", "to"], &["e"])
        .node_with("Cast", &["e"], &["i"], &[attr_int("to", 7)])
        .node("Pad", &["w", "pads", "fill"], &["p"])
        .output("i", INT64)
        .output("p", FLOAT);
    let image = OnnxFile::new(15)
        .input("x", FLOAT, &["1", "2", "6", "5"])
        .floats("K", &[4, 2, 3, 3], &[0.25; 72])
        .floats("b", &[4], &[1.0, -1.0, 0.0, 2.0])
        .node_with(
            "Conv",
            &["x", "K", "b"],
            &["c"],
            &[attr_ints("pads", &[1, 1, 1, 1])],
        )
        .node_with(
            "MaxPool",
            &["c"],
            &["m"],
            &[attr_ints("kernel_shape", &[2, 2]), attr_ints("strides", &[2, 1])],
        )
        .node("InstanceNormalization", &["m", "b", "b"], &["i"])
        .node_with(
            "ReduceMean",
            &["i"],
            &["r"],
            &[attr_ints("axes", &[2, 3]), attr_int("keepdims", 0)],
        )
        .node_with("Softmax", &["r"], &["y"], &[attr_int("axis", 1)])
        .node_with("ArgMax", &["y"], &["label"], &[attr_int("axis", 1)])
        .output("label", INT64)
        .output("y", FLOAT);
    vec![conv_like, shapes, data, image]
}

#[test]
fn mutated_models_are_accepted_or_refused() {
    let files: Vec<_> = seeds().into_iter().map(OnnxFile::encode).collect();
    let canonical: Vec<_> = files
        .iter()
        .map(|file| {
            import_onnx(file, &NoExternalData, &ImportOptions::default()).expect("the seeds are valid")
        })
        .collect();
    let graphs: Vec<_> = canonical.iter().map(|model| model.graph.to_vec()).collect();
    for seed in 0..40_000 {
        let mut random = Random(seed);
        let which = random.below(files.len());
        let mut file = files[which].clone();
        mutate(&mut file, &files, &mut random);
        fuzzing::import_any(&file);

        let mut graph = graphs[which].clone();
        mutate(&mut graph, &graphs, &mut random);
        fuzzing::load_any(&graph, &canonical[which].weights);
        let mut weights = canonical[which].weights.to_vec();
        mutate(&mut weights, &graphs, &mut random);
        fuzzing::load_any(&graphs[which], &weights);
    }
    // Every seed model itself runs.
    canonical
        .iter()
        .for_each(|model| fuzzing::load_any(&model.graph, &model.weights));
    fuzzing::assert_memory_stayed_small();
}
